/* SPDX-License-Identifier: MIT
 *
 * Matrix products with what stands before and behind them, and column sums. One launch makes one or two products (the gradients
 * of a layer's input and weights); rows of the data set are read where they lie; bias, activation and Dropout are applied on
 * the way out, forward and backward; the gradient of a bias is one more row of ones. Tiles: tile.h.
 *     c[i,j] (+)= f(alpha sum_k a[i,k] b[k,j] + beta bias[j])        d[j] (+)= scale sum_r x[r,j] */
#include "gpu/act.h"
#include "gpu/column.h"
#include "gpu/mask.h"

struct operand { /* elements [unit of line l]: base + l * stride + unit, or of the data set's row that is line l */
    const real *base;
    struct rows rows;
    int64_t stride, lines, units;
    int along, ones;
    int gathered, fours; /* gathered: 1 rows of the data set as they are, 2 to be converted; fours: four neighbours are one load.
                            ones: one more i, of ones */
};
struct job { /* of a block: a tile of one product */
    const struct hn_k_product *p;
    struct operand a, b;
    int64_t m, n, k, i0, j0, z;
};

HN_DEVICE struct operand operand_of(const struct hn_k_gemm *g, const struct hn_k_slot *s,
                                    const struct hn_k_matrix *x, int64_t z, int64_t n, int64_t k,
                                    int ones)
{
    struct operand o;
    o.base = hn_at(&g->env, x->at, z);
    o.stride = x->stride, o.along = x->along, o.ones = ones, o.gathered = 0;
    o.lines = x->along ? n : k, o.units = x->along ? k : n;
    if (x->column >= 0) {
        o.rows = rows_of(s, g->columns[z * g->n_columns + x->column]);
        o.gathered = o.rows.c.dtype == REAL && o.rows.c.scale == 1 ? 1 : 2;
        o.base = (const real *)o.rows.c.data;
    }
    o.fours = o.gathered != 2 && hn_is_aligned(o.base) && (o.stride & 3) == 0;
    return o;
}

/* The tile of block x, in slot z; 0: there is none. */
HN_DEVICE int find_job(const struct hn_k_gemm *g, const struct hn_k_slot *s, int64_t x, int tile,
                       int64_t z, struct job *j)
{
    for (int i = 0; i < g->n; i++) {
        const struct hn_k_product *p = &g->p[i];
        const int64_t m = hn_n(p->m, s->rows), n = hn_n(p->n, s->rows), k = hn_n(p->k, s->rows);
        const int64_t down = (m + (p->ones == 1) + tile - 1) / tile,
                      across = (n + (p->ones == 2) + HN_K_TILE - 1) / HN_K_TILE;
        if (m <= 0 || n <= 0) continue;
        if (x >= down * across) {
            x -= down * across;
            continue;
        }
        j->p = p, j->m = m, j->n = n, j->k = k, j->z = z;
        j->i0 = x / across * tile, j->j0 = x % across * HN_K_TILE;
        j->a = operand_of(g, s, &p->a, z, m, k, p->ones == 1);
        j->b = operand_of(g, s, &p->b, z, n, k, p->ones == 2);
        return 1;
    }
    return 0;
}

/* Where four neighbours lie in a tile: i, k of the first; the other three follow along the lines. */
struct place {
    int i, k;
};
HN_DEVICE struct place place_of(int along, int tile, int p)
{
    struct place at;
    if (along) /* 16 terms of the tile's lines in a row: neighbouring threads store into different banks */
        at.i = p / 4 % tile, at.k = p % 4 * 4 + p / (4 * tile) * 16;
    else
        at.i = p % (tile / 4) * 4, at.k = p / (tile / 4);
    return at;
}

HN_DEVICE real one_element(const struct operand *o, int64_t line, int64_t unit)
{
    const int64_t i = o->along ? line : unit, n = o->along ? o->lines : o->units,
                  k = o->along ? unit : line, nk = o->along ? o->units : o->lines;
    if (k >= nk || i >= n) return k < nk && i == n && o->ones ? 1 : 0;
    if (!o->gathered) return o->base[line * o->stride + unit];
    return rows_load(&o->rows, rows_at(&o->rows, line) * o->stride + unit);
}

/* This thread's part of the chunk that begins at k0, of the tile that begins at i0. */
HN_DEVICE void fetch(const struct operand *o, int64_t i0, int64_t k0, int tile, int chunk,
                     int fours, int t, real *to)
{
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const struct place at = place_of(o->along, tile, f * HN_BLOCK + t);
        const int64_t line = o->along ? i0 + at.i : k0 + at.k, unit = o->along ? k0 + at.k : i0 + at.i;
        if (at.k >= chunk) continue;
        if (o->fours && line < o->lines && unit + 3 < o->units) {
            const int64_t row = o->gathered ? rows_at(&o->rows, line) : line;
            hn_load4(to + 4 * f, o->base + row * o->stride + unit);
        } else {
            HN_UNROLL
            for (int e = 0; e < 4; e++) to[4 * f + e] = one_element(o, line, unit + e);
        }
    }
}

/* … and into shared memory, k by k. */
HN_DEVICE void store(real *sh, int along, int tile, int chunk, int fours, int t, const real *from)
{
    const int wide = tile + 4;
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const struct place at = place_of(along, tile, f * HN_BLOCK + t);
        if (at.k >= chunk) continue;
        HN_UNROLL
        for (int e = 0; e < 4; e++)
            sh[(at.k + (along ? e : 0)) * wide + at.i + (along ? 0 : e)] = from[4 * f + e];
    }
}

HN_DEVICE real dropped(const struct hn_k_slot *s, const struct hn_k_drop *d, int64_t i, int64_t j,
                       real v)
{
    const struct mask m = mask_of(s, d);
    if (!m.below) return v * m.scale;
    struct bits r =
        philox((uint32_t)j, (uint32_t)(i / 8), m.batch, d->stream, s->key[0], s->key[1]);
    return bits_of(r, (int)(i % 8)) < m.below ? 0 : v * m.scale;
}

HN_DEVICE void put(const struct hn_k_gemm *g, const struct job *j, struct hn_k_ref to, int64_t at,
                   real v)
{
    if (to.space) hn_at(&g->env, to, j->z)[at] = v;
}

/* A result on its way out. */
HN_DEVICE void finish(const struct hn_k_gemm *g, const struct hn_k_slot *s, const struct job *j,
                      int64_t row, int64_t col, real v)
{
    const struct hn_k_product *p = j->p;
    const struct hn_k_tail *tail = &p->tail;
    if (row > j->m || col > j->n) return;
    if (row == j->m || col == j->n) { /* of ones */
        const int is = p->ones == 1 ? row == j->m && col < j->n
                                    : p->ones == 2 && col == j->n && row < j->m;
        if (!is) return;
        real *sums = hn_at(&g->env, p->sums, j->z) + (p->ones == 1 ? col : row);
        v *= (real)p->beta;
        *sums = p->acc_sums ? *sums + v : v;
        return;
    }
    const int64_t at = row * j->n + col;
    v *= (real)p->alpha;
    if (p->bias.space) v += (real)p->beta * hn_at(&g->env, p->bias, j->z)[p->one_bias ? 0 : col];
    if (p->acc) v += hn_at(&g->env, tail->c, j->z)[at];
    if (tail->backward && tail->drops) v = dropped(s, &tail->drop, row, col, v);
    if (tail->backward && tail->how) {
        real x = tail->by.space ? hn_at(&g->env, tail->by, j->z)[at] : 0;
        v *= slope(tail->kind, tail->how - 1, x, (real)tail->a, (real)tail->b);
    }
    put(g, j, tail->c, at, v);
    if (tail->backward) return;
    if (tail->how) {
        v = value(tail->kind, v, (real)tail->a, (real)tail->b);
        put(g, j, tail->y, at, v);
    }
    if (tail->drops) put(g, j, tail->z, at, dropped(s, &tail->drop, row, col, v));
}

#define TN(name) TN_(name, TILE)
#define TN_(name, tile) TN2_(name, tile)
#define TN2_(name, tile) name##_##tile
#define TILE 16
#define TILE_KERNEL HN_KERNEL(gemm16, hn_k_gemm)
#include "gpu/tile.h"
#undef TILE
#undef TILE_KERNEL
#define TILE 32
#define TILE_KERNEL HN_KERNEL(gemm32, hn_k_gemm)
#include "gpu/tile.h"

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
