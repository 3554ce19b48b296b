/* SPDX-License-Identifier: MIT
 *
 * What the kernels of products in tiles of several shapes (panel.cu, mma.cu) share: which tile a block has, the gradient of a bias
 * in blocks of its own, and the way of a tile's partial sums out of shared memory (product.h). The shape of each product's tiles is
 * the host's choice (panel.c). */
#ifndef HN_GPU_TILE_H
#define HN_GPU_TILE_H

#include "gpu/product.h"
#include "gpu/source.h"

enum { SUM_LANES = HN_BLOCK / HN_K_SUMS };

struct parts { /* a tile's partial sums in shared memory */
    int rows, cols, pitch, n;
    uint32_t magic; /* 2^16 / cols, rounded up */
};
HN_DEVICE struct parts parts_of(int rows, int cols, int pitch, int n)
{
    return (struct parts){ rows, cols, pitch, n, (65535 + (uint32_t)cols) / (uint32_t)cols };
}
/* The tile of block x, in slot z, and its operands: 1; 2: sums of an operand, b, for the gradient of a bias, beginning at
 * j0; 0: nothing. */
HN_DEVICE int find_panel(const struct hn_k_gemm *g, const struct known *w,
                         const struct bases *bases, uint32_t x, int64_t z, struct job *j,
                         struct source *a, struct source *b)
{
    for (int i = 0; i < g->n; i++) {
        const struct hn_k_product *p = &g->p[i];
        const int m = (int)hn_n(p->m, w->rows), n = (int)hn_n(p->n, w->rows);
        const uint32_t down = (uint32_t)((m + (1 << p->row_bits) - 1) >> p->row_bits),
                       tiles = down * (uint32_t)p->across, sums = (uint32_t)p->sums_blocks;
        if (m <= 0) continue;
        if (x >= tiles + sums) {
            x -= tiles + sums;
            continue;
        }
        const uint32_t row = (uint32_t)((uint64_t)x * p->magic >> 31);
        j->which = i, j->m = m, j->n = n, j->k = (int)hn_n(p->k, w->rows), j->z = z;
        j->i0 = (int)row << p->row_bits, j->j0 = (int)(x - row * (uint32_t)p->across) * p->cols;
        if (x < tiles) {
            *a = source_of(w, bases, &p->a, m, j->k, j->i0);
            *b = source_of(w, bases, &p->b, n, j->k, j->j0);
            return 1;
        }
        j->j0 = (int)(x - tiles) * HN_K_SUMS;
        *b = source_of(w, bases, p->ones == 1 ? &p->b : &p->a, p->ones == 1 ? n : m, j->k, j->j0);
        return 2;
    }
    return 0;
}

/* A thread's results leave in strips: up to four rows of a column, HN_BLOCK strips after each other. */
struct strip {
    int row, col, n;
};
HN_DEVICE int strip_rows(const struct parts *is)
{
    return is->rows * is->cols < 4 * HN_BLOCK ? is->rows * is->cols / HN_BLOCK : 4;
}
HN_DEVICE struct strip strip_of(const struct parts *is, uint32_t u)
{
    const uint32_t down = u * is->magic >> 16;
    const int n = strip_rows(is);
    return (struct strip){ (int)down * n, (int)(u - down * (uint32_t)is->cols), n };
}
HN_DEVICE uint32_t strips_of(const struct parts *is)
{
    return (uint32_t)(is->rows * is->cols / strip_rows(is));
}
struct chance { /* what Dropout does to a thread's results: 4 bits a strip */
    uint32_t off;
    int live; /* the slot has not been stopped */
    real scale;
};
/* Found while the first chunk is on its way. */
HN_DEVICE struct chance chance_of(const struct hn_k_gemm *g, const struct hn_k_slot *s,
                                  const struct job *j, const struct parts *is, int t)
{
    struct chance c = { 0, s->stop == 0, 1 };
    if (!g->p[j->which].tail.drops) return c;
    const struct mask m = mask_of(s, &g->p[j->which].tail.drop);
    c.scale = m.scale;
    HN_ROLLED
    for (uint32_t u = (uint32_t)t, at = 0; u < strips_of(is); u += HN_BLOCK, at += 4) {
        const struct strip x = strip_of(is, u);
        c.off |= dropped(s, &m, g->p[j->which].tail.drop.stream, j->i0 + x.row, j->j0 + x.col, x.n)
                 << at;
    }
    return c;
}
/* What a thread's first strip needs, for which there is time until the last partial sums are there. */
HN_DEVICE struct ahead first_ahead(const struct hn_k_gemm *g, const struct bases *bases,
                                   const struct job *j, const struct parts *is, int t)
{
    const struct way_out way = way_out_of(g, bases, j);
    const struct strip x = strip_of(is, (uint32_t)t);
    return look_ahead(g, j, &way, j->i0 + x.row, j->j0 + x.col, x.n);
}

struct leaving { /* what a thread has for its results, before they are there */
    struct chance chance;
    struct ahead ahead; /* of the next strip */
    int known;          /* the class of row t of the tile, where a loss follows */
};

/* ---- sums of a bias ---------------------------------------------------------------------------------------- */

/* Sums over the terms of an operand whose lines are terms, the gradient of a bias. */
HN_DEVICE void add_terms(const struct hn_k_gemm *g, const struct bases *bases, const struct job *j,
                         const struct source *o, double *sum)
{
    const struct hn_k_product *p = &g->p[j->which];
    real *sums = at_base(bases, p->sums);
    HN_EACH(t)
    {
        const int at = j->j0 + t % HN_K_SUMS;
        const real *from = o->base + (at < o->n ? at : 0);
        double v = 0;
        HN_UNROLL8
        for (int k = t / HN_K_SUMS; k < o->k; k += SUM_LANES) v += (double)from[line_at(o, k)];
        sum[t] = v;
    }
    HN_LANES(sum, HN_K_SUMS);
    HN_EACH(t)
    if (t < HN_K_SUMS && j->j0 + t < o->n) {
        const double v = p->beta * sum[t] + (p->acc_sums ? (double)sums[j->j0 + t] : 0);
        sums[j->j0 + t] = (real)v;
    }
}

/* Partial sums are added in order. */
HN_DEVICE void add_parts(const struct parts *is, const struct strip *x, const real *sh, real *sum)
{
    const int step = is->rows * is->pitch;
    const real *first = sh + x->row * is->pitch + x->col;
    HN_UNROLL
    for (int e = 0; e < 4; e++) {
        sum[e] = 0;
        if (e >= x->n) continue;
        HN_ROLLED
        for (int w = 0; w < is->n; w += 8) HN_UNROLL
        for (int i = 0; i < 8; i++)
            if (w + i < is->n) sum[e] += first[(w + i) * step + e * is->pitch];
    }
}

HN_DEVICE void let_out(const struct hn_k_gemm *g, const struct bases *bases, const struct job *j,
                       const struct parts *is, const real *sh, real *left,
                       HN_PRIVATE(struct leaving, leaving, 1))
{
    const struct way_out way = way_out_of(g, bases, j);
    HN_EACH(t)
    HN_ROLLED
    for (uint32_t u = (uint32_t)t, at = 0; HN_MINE(leaving, t)->chance.live && u < strips_of(is);
         u += HN_BLOCK, at += 4) {
        const struct strip x = strip_of(is, u), y = strip_of(is, u + HN_BLOCK);
        const struct ahead now = HN_MINE(leaving, t)->ahead;
        real sum[4];
        if (u + HN_BLOCK < strips_of(is))
            HN_MINE(leaving, t)->ahead = look_ahead(g, j, &way, j->i0 + y.row, j->j0 + y.col, y.n);
        add_parts(is, &x, sh, sum);
        finish(g, j, &way, &now, HN_MINE(leaving, t)->chance.off >> at,
               HN_MINE(leaving, t)->chance.scale, j->i0 + x.row, j->j0 + x.col, sum,
               left ? left + x.row * HN_K_LEFT + x.col : 0);
    }
}
#endif
