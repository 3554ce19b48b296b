/* SPDX-License-Identifier: MIT
 *
 * Matrix products in small tiles, and column sums. One launch makes one or two products (the gradients of a layer's
 * input and weights); rows of the data set are read where they lie; the gradient of a bias is one more row of ones; the way out:
 * product.h.                                                                            d[j] (+)= scale sum_r x[r,j] */
#include "gpu/column.h"
#include "gpu/product.h"

struct
    operand { /* elements [unit of line l]: base + l * stride + unit, or of the data set's row that is line l */
    const real *base;
    struct rows rows;
    int64_t stride;
    int n, k, along;     /* how many i and k there are; lines run along k */
    int gathered, fours; /* lines are rows of the data set; four neighbours are one load */
    int ones;            /* the i that is one for every k; -1: none */
};
struct tile { /* of one product */
    struct job job;
    struct operand a, b;
};

HN_DEVICE struct operand operand_of(const struct hn_k_gemm *g, const struct hn_k_slot *s,
                                    const struct hn_k_matrix *x, int64_t z, int n, int k, int ones)
{
    struct operand o;
    o.base = hn_at(&g->env, x->at, z);
    o.stride = x->stride, o.along = x->along, o.ones = ones ? n : -1;
    o.n = n, o.k = k, o.gathered = 0;
    if (x->column >= 0) {
        o.rows = rows_from(s, g->columns[z * g->n_columns + x->column]);
        o.gathered = o.rows.c.in_place;
        if (o.gathered) o.base = (const real *)o.rows.c.data;
    }
    o.fours = hn_is_aligned(o.base) && ((o.stride | (o.along ? k : n)) & 3) == 0;
    return o;
}

/* The tile of block x, in slot z; 0: there is none. */
HN_DEVICE int find_job(const struct hn_k_gemm *g, const struct hn_k_slot *s, int x, int tile,
                       int64_t z, struct tile *to)
{
    for (int i = 0; i < g->n; i++) {
        const struct hn_k_product *p = &g->p[i];
        const int m = (int)hn_n(p->m, s->rows), n = (int)hn_n(p->n, s->rows),
                  k = (int)hn_n(p->k, s->rows);
        const int down = (m + (p->ones == 1) + tile - 1) / tile,
                  across = (n + (p->ones == 2) + HN_K_TILE - 1) / HN_K_TILE;
        if (m <= 0 || n <= 0) continue;
        if (x >= down * across) {
            x -= down * across;
            continue;
        }
        const int row = (int)((uint32_t)x / (uint32_t)across);
        struct job *const j = &to->job;
        j->which = i, j->m = m, j->n = n, j->k = k, j->z = z;
        j->i0 = row * tile, j->j0 = (x - row * across) * HN_K_TILE;
        to->a = operand_of(g, s, &p->a, z, m, k, p->ones == 1);
        to->b = operand_of(g, s, &p->b, z, n, k, p->ones == 2);
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

/* Where this thread's loads of the first chunk are; lines along k are found once, for all chunks. */
HN_DEVICE void aim(const struct operand *o, int i0, int tile, int fours, int t, uint32_t *from)
{
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const struct place at = place_of(o->along, tile, f * HN_BLOCK + t);
        int64_t row = o->along ? i0 + at.i : at.k;
        if (o->along && o->gathered) row = rows_at(&o->rows, row < o->n ? row : 0);
        from[f] = (uint32_t)(row * o->stride) + (uint32_t)(o->along ? at.k : i0 + at.i);
    }
}

/* Loads without a branch: what is not there is read from the operand's beginning, and left out when it is stored. */
HN_DEVICE const real *safe(const struct operand *o, int ok, uint32_t from)
{
    return o->base + (ok ? from : 0);
}

/* Is all of a tile's chunk there? */
HN_DEVICE int is_inside(const struct operand *o, int i0, int k0, int tile, int fours)
{
    return i0 + tile <= o->n && k0 + 4 * HN_BLOCK * fours / tile <= o->k;
}

/* A chunk's loads follow each other, and nothing waits for them before the chunk before is multiplied. */
HN_DEVICE void load_lines(const struct operand *o, int along, int inside, int i0, int k0, int tile,
                          int fours, int t, const uint32_t *from, real *to)
{
    const uint32_t on = (uint32_t)(along ? k0 : k0 * o->stride);
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const struct place at = place_of(along, tile, f * HN_BLOCK + t);
        const int ok = inside || (i0 + at.i < o->n && k0 + at.k < o->k);
        hn_copy4(to + 4 * f, safe(o, ok, from[f] + on));
    }
}

/* The same element by element, where lines are not whole fours. */
HN_DEVICE void load_elements(const struct operand *o, int along, int i0, int k0, int tile,
                             int fours, int t, const uint32_t *from, real *to)
{
    const uint32_t on = (uint32_t)(along ? k0 : k0 * o->stride);
    HN_UNROLL
    for (int f = 0; f < 4 * fours; f++) {
        const struct place at = place_of(along, tile, f / 4 * HN_BLOCK + t);
        const int k = k0 + at.k + (along ? f % 4 : 0), i = i0 + at.i + (along ? 0 : f % 4);
        to[f] = *safe(o, i < o->n && k < o->k, from[f / 4] + on + (uint32_t)f % 4);
    }
}

/* Rows of the data set as terms: their numbers first, then the rows. */
HN_DEVICE void load_rows(const struct operand *o, int whole, int i0, int k0, int tile, int fours,
                         int t, real *to)
{
    uint32_t from[4] = { 0 };
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const int k = k0 + place_of(0, tile, f * HN_BLOCK + t).k;
        from[f] = (uint32_t)(rows_at(&o->rows, k < o->k ? k : 0) * o->stride);
    }
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const struct place at = place_of(0, tile, f * HN_BLOCK + t);
        const int i = i0 + at.i, ok = k0 + at.k < o->k;
        if (whole) {
            hn_copy4(to + 4 * f, safe(o, ok && i < o->n, from[f] + (uint32_t)i));
        } else {
            HN_UNROLL
            for (int e = 0; e < 4; e++)
                to[4 * f + e] = *safe(o, ok && i + e < o->n, from[f] + (uint32_t)(i + e));
        }
    }
}

/* This thread's part of the chunk that begins at k0, of the tile that begins at i0. The constants make code without branches of
 * each way. */
HN_DEVICE void fetch(const struct operand *o, int i0, int k0, int tile, int fours, int t,
                     const uint32_t *from, real *to)
{
    const int all = is_inside(o, i0, k0, tile, fours);
    if (o->along && o->fours && all)
        load_lines(o, 1, 1, i0, k0, tile, fours, t, from, to);
    else if (o->along && o->fours)
        load_lines(o, 1, 0, i0, k0, tile, fours, t, from, to);
    else if (o->along)
        load_elements(o, 1, i0, k0, tile, fours, t, from, to);
    else if (o->gathered && o->fours)
        load_rows(o, 1, i0, k0, tile, fours, t, to);
    else if (o->gathered)
        load_rows(o, 0, i0, k0, tile, fours, t, to);
    else if (o->fours && all)
        load_lines(o, 0, 1, i0, k0, tile, fours, t, from, to);
    else if (o->fours)
        load_lines(o, 0, 0, i0, k0, tile, fours, t, from, to);
    else
        load_elements(o, 0, i0, k0, tile, fours, t, from, to);
}

/* … and into shared memory, k by k: zeros where there is nothing, ones where they are asked for. */
HN_DEVICE void store_lines(real *sh, const struct operand *o, int along, int inside, int i0, int k0,
                           int tile, int fours, int t, const real *from)
{
    const int wide = tile + 4;
    HN_UNROLL
    for (int f = 0; f < fours; f++) {
        const struct place at = place_of(along, tile, f * HN_BLOCK + t);
        HN_UNROLL
        for (int e = 0; e < 4; e++) {
            const int i = at.i + (along ? 0 : e), k = at.k + (along ? e : 0);
            const int there = inside || (k0 + k < o->k && i0 + i < o->n);
            sh[k * wide + i] = there ? from[4 * f + e] : i0 + i == o->ones ? 1 : 0;
        }
    }
}
HN_DEVICE void store(real *sh, const struct operand *o, int i0, int k0, int tile, int fours, int t,
                     const real *from)
{
    const int all = is_inside(o, i0, k0, tile, fours);
    if (o->along && all)
        store_lines(sh, o, 1, 1, i0, k0, tile, fours, t, from);
    else if (o->along)
        store_lines(sh, o, 1, 0, i0, k0, tile, fours, t, from);
    else if (all)
        store_lines(sh, o, 0, 1, i0, k0, tile, fours, t, from);
    else
        store_lines(sh, o, 0, 0, i0, k0, tile, fours, t, from);
}

/* A result on its way out; those of ones are the sums of the other operand. */
HN_DEVICE void put(const struct hn_k_gemm *g, const struct hn_k_slot *s, const struct job *j,
                   const struct way_out *o, const struct mask *m, int row, int col, real v)
{
    const struct hn_k_product *p = &g->p[j->which];
    const real sum[4] = { v };
    if (row < j->m && col < j->n) {
        const struct ahead ahead = look_ahead(g, j, o, row, col, 1);
        finish(g, j, o, &ahead, dropped(s, m, g->p[j->which].tail.drop.stream, row, col, 1),
               m->scale, row, col, sum, 0);
    } else if (p->ones == 1 ? row == j->m && col < j->n
                            : p->ones == 2 && col == j->n && row < j->m) {
        real *sums = hn_at(&g->env, p->sums, j->z) + (p->ones == 1 ? col : row);
        v *= (real)p->beta;
        *sums = p->acc_sums ? *sums + v : v;
    }
}

/* The 8 warps of a block share out the terms of a tile's sums: each adds up its share of every chunk of CHUNK terms for the whole
 * tile, a few results a thread; in the end the 8 partial sums are added in order. So small products with long sums, the usual ones
 * of a small network, keep a whole GPU busy. While a chunk is multiplied the next one is on its way from memory. Which terms a
 * warp adds depends on k alone: a result does not depend on its place in the grid or on company. */
enum {
    CHUNK = 2048 / HN_K_TILE,
    WIDE = HN_K_TILE + 4,
    OWN = HN_K_TILE / 8, /* rows a thread has, with 4 columns each */
    FOURS =
        HN_K_TILE * CHUNK / 4 / HN_BLOCK, /* loads of four elements a thread, operand and chunk */
    OPERANDS = CHUNK * 2 * WIDE,
    PARTS = 8 * HN_K_TILE * HN_K_TILE,
    SHARED = OPERANDS > PARTS ? OPERANDS : PARTS
};

/* A warp's share of a chunk. */
HN_DEVICE void multiply(const real *as, const real *bs, int share, int t, real *acc)
{
    const real *pa = as + t / 32 * share * WIDE + t % 32 / 4 * OWN,
               *pb = bs + t / 32 * share * WIDE + t % 4 * 4;
    HN_UNROLL4
    for (int k = 0; k < share; k++, pa += WIDE, pb += WIDE) {
        real x[OWN], y[4];
        HN_UNROLL
        for (int e = 0; e < OWN; e++) x[e] = pa[e];
        hn_copy4(y, pb);
        HN_UNROLL
        for (int e = 0; e < OWN * 4; e++) acc[e] += x[e / 4] * y[e % 4];
    }
}

HN_KERNEL_SOON(gemm, hn_k_gemm, 2)
{
    HN_SHARED HN_ALIGNED real sh[SHARED];
    HN_PRIVATE(real, acc, OWN * 4);
    HN_PRIVATE(real, next_a, FOURS * 4);
    HN_PRIVATE(real, next_b, FOURS * 4);
    HN_PRIVATE(uint32_t, from_a, FOURS);
    HN_PRIVATE(uint32_t, from_b, FOURS);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    struct tile at;
    if (!find_job(&a, s, (int)HN_X, HN_K_TILE, HN_Z, &at)) return;
    real *const as = sh, *const bs = sh + CHUNK * WIDE;
    struct mask mask = { 0 };
    const struct hn_k_drop *const drop = &a.p[at.job.which].tail.drop;
    const int drops = a.p[at.job.which].tail.drops;
    if (drops) mask = mask_from(s, drop);
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < OWN * 4; e++) HN_MINE(acc, t)[e] = 0;
        if (!at.a.gathered) aim(&at.a, at.job.i0, HN_K_TILE, FOURS, t, HN_MINE(from_a, t));
        if (!at.b.gathered) aim(&at.b, at.job.j0, HN_K_TILE, FOURS, t, HN_MINE(from_b, t));
    }
    HN_TURN();
    const int goes_on = s->stop == 0;
    if (drops && !drop->still) mask.batch += (uint32_t)s->ahead;
    if (at.a.gathered || at.b.gathered) { /* rows of this step */
        const int64_t by = s->ahead * s->rows;
        if (at.a.gathered) rows_move(&at.a.rows, by);
        if (at.b.gathered) rows_move(&at.b.rows, by);
        HN_EACH(t)
        {
            if (at.a.gathered) aim(&at.a, at.job.i0, HN_K_TILE, FOURS, t, HN_MINE(from_a, t));
            if (at.b.gathered) aim(&at.b, at.job.j0, HN_K_TILE, FOURS, t, HN_MINE(from_b, t));
        }
    }
    for (int k0 = -CHUNK; k0 < at.job.k; k0 += CHUNK) {
        if (k0 >= 0) {
            HN_EACH(t)
            {
                store(as, &at.a, at.job.i0, k0, HN_K_TILE, FOURS, t, HN_MINE(next_a, t));
                store(bs, &at.b, at.job.j0, k0, HN_K_TILE, FOURS, t, HN_MINE(next_b, t));
            }
        }
        if (!goes_on) return;
        const int rest = at.job.k - k0 < CHUNK ? at.job.k - k0 : CHUNK,
                  share = k0 < 0 ? 0 : (rest + 7) / 8, k1 = k0 + CHUNK;
        HN_EACH(t)
        {
            if (k1 < at.job.k) {
                fetch(&at.a, at.job.i0, k1, HN_K_TILE, FOURS, t, HN_MINE(from_a, t),
                      HN_MINE(next_a, t));
                fetch(&at.b, at.job.j0, k1, HN_K_TILE, FOURS, t, HN_MINE(from_b, t),
                      HN_MINE(next_b, t));
            }
            multiply(as, bs, share, t, HN_MINE(acc, t));
        }
    }
    HN_EACH(t)
    {
        const int ti = t % 32 / 4 * OWN, tj = t % 4 * 4;
        HN_UNROLL
        for (int e = 0; e < OWN * 4; e++)
            sh[(t / 32 * HN_K_TILE + ti + e / 4) * HN_K_TILE + tj + e % 4] = HN_MINE(acc, t)[e];
    }
    const struct bases bases =
        bases_of(&a.env, (unsigned char *)s->w, (unsigned char *)s->dw, HN_Z);
    const struct way_out way = way_out_of(&a, &bases, &at.job);
    HN_EACH(t)
    for (int e = t; e < HN_K_TILE * HN_K_TILE; e += HN_BLOCK) {
        real v = 0;
        HN_UNROLL
        for (int w = 0; w < 8; w++) v += sh[w * HN_K_TILE * HN_K_TILE + e];
        put(&a, s, &at.job, &way, &mask, at.job.i0 + e / HN_K_TILE, at.job.j0 + e % HN_K_TILE, v);
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
