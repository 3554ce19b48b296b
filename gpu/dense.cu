/* SPDX-License-Identifier: MIT
 *
 * The native matrix product and column sums. 64x64 tiles of the result, 16 terms a step through shared memory, 16 results a
 * thread; every operand has its own two strides, so that one kernel serves y = x w, dx = dy w' and dw = x' dy. The terms of a
 * result are added in order, whatever the slot count: a replica's numbers do not depend on its company.
 *     c[i,j] (+)= relu(alpha sum_k a[i,k] b[k,j] + beta bias[j])        d[j] (+)= scale sum_r x[r,j] */
#include "gpu/kernel.h"

enum { TILE = HN_K_TILE, STEP = HN_K_STEP, EACH = 4, PAD = 4 };

/* Loads tile element p of one operand: (i, k) walks along whichever stride is 1. */
HN_DEVICE real tile_load(const real *m, int64_t i, int64_t k, int64_t si, int64_t sk, int64_t ni,
                         int64_t nk)
{
    return i < ni && k < nk ? m[i * si + k * sk] : 0;
}

HN_KERNEL(gemm, hn_k_gemm)
{
    HN_SHARED real as[STEP][TILE + PAD], bs[STEP][TILE + PAD];
    HN_PRIVATE(real, acc, EACH * EACH);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const int64_t m = hn_n(a.m, s->rows), n = hn_n(a.n, s->rows), nk = hn_n(a.k, s->rows);
    const int64_t i0 = HN_X * TILE, j0 = HN_Y * TILE;
    if (i0 >= m || j0 >= n) return;
    const real *pa = hn_at(&a.env, a.a, HN_Z), *pb = hn_at(&a.env, a.b, HN_Z),
               *bias = hn_at(&a.env, a.bias, HN_Z);
    real *c = hn_at(&a.env, a.c, HN_Z);
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < EACH * EACH; e++) HN_MINE(acc, t)[e] = 0;
    }
    for (int64_t k0 = 0; k0 < nk; k0 += STEP) {
        HN_EACH(t)
        for (int p = t; p < TILE * STEP; p += HN_BLOCK) {
            int i = a.ak == 1 ? p / STEP : p % TILE, k = a.ak == 1 ? p % STEP : p / TILE;
            as[k][i] = tile_load(pa, i0 + i, k0 + k, a.ai, a.ak, m, nk);
            int j = a.bk == 1 ? p / STEP : p % TILE, l = a.bk == 1 ? p % STEP : p / TILE;
            bs[l][j] = tile_load(pb, j0 + j, k0 + l, a.bj, a.bk, n, nk);
        }
        HN_EACH(t)
        {
            const int ti = t / 16 * EACH, tj = t % 16 * EACH;
            HN_UNROLL
            for (int k = 0; k < STEP; k++) {
                HN_UNROLL
                for (int e = 0; e < EACH * EACH; e++)
                    HN_MINE(acc, t)[e] += as[k][ti + e / EACH] * bs[k][tj + e % EACH];
            }
        }
    }
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < EACH * EACH; e++) {
            int64_t i = i0 + t / 16 * EACH + e / EACH, j = j0 + t % 16 * EACH + e % EACH;
            if (i >= m || j >= n) continue;
            real v = (real)a.alpha * HN_MINE(acc, t)[e];
            if (bias) v += (real)a.beta * bias[a.one_bias ? 0 : j];
            if (a.acc) v += c[i * a.cn + j];
            c[i * a.cn + j] = a.relu && v <= 0 ? 0 : v;
        }
    }
}

/* Blocks of 8 columns and 32 lanes of rows, neighbouring threads on neighbouring columns; or, for a single sum, one block over
 * all elements. */
HN_KERNEL(colsum, hn_k_colsum)
{
    HN_SHARED double sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s) || (a.one && HN_X > 0)) return;
    const int64_t rows = hn_n(a.rows, s->rows);
    const int wide = a.one ? 1 : HN_BLOCK / HN_K_LANES, lanes = HN_BLOCK / wide;
    const int64_t cols = a.one ? 1 : a.cols, n = a.one ? rows * a.cols : rows;
    const real *x = hn_at(&a.env, a.x, HN_Z);
    real *d = hn_at(&a.env, a.d, HN_Z);
    HN_EACH(t)
    {
        int64_t col = HN_X * wide + t % wide;
        double v = 0;
        for (int64_t r = t / wide; col < cols && r < n; r += lanes) v += (double)x[r * cols + col];
        sum[t] = v;
    }
    HN_LANES(sum, wide);
    HN_EACH(t)
    {
        int64_t col = HN_X * wide + t;
        if (t < wide && col < cols)
            d[col] = (real)((a.acc ? (double)d[col] : 0) + a.scale * sum[t]);
    }
}
