/* SPDX-License-Identifier: MIT
 *
 * What the kernels of matrix products share: where an operand's elements are, a block's job, and what becomes of a result on its
 * way out: bias, function, Dropout, forward and backward.
 *     c[i,j] (+)= f(alpha sum_k a[i,k] b[k,j] + beta bias[j]) */
#ifndef HN_GPU_PRODUCT_H
#define HN_GPU_PRODUCT_H

#include "gpu/act.h"
#include "gpu/column.h"
#include "gpu/mask.h"

struct
    operand { /* elements [unit of line l]: base + l * stride + unit, or of the data set's row that is line l */
    const real *base;
    struct rows rows;
    int64_t stride;
    int n, k, along;     /* how many i and k there are; lines run along k */
    int gathered, fours; /* lines are rows of the data set; four neighbours are one load */
    int ones;            /* the i that is one for every k; -1: none */
};
struct job { /* of a block: a tile of one product */
    const struct hn_k_product *p;
    struct operand a, b;
    int m, n, k, i0, j0;
    int64_t z;
};

HN_DEVICE struct operand operand_of(const struct hn_k_gemm *g, const struct hn_k_slot *s,
                                    const struct hn_k_matrix *x, int64_t z, int n, int k, int ones)
{
    struct operand o;
    o.base = hn_at(&g->env, x->at, z);
    o.stride = x->stride, o.along = x->along, o.ones = ones ? n : -1;
    o.n = n, o.k = k, o.gathered = 0;
    if (x->column >= 0) {
        o.rows = rows_of(s, g->columns[z * g->n_columns + x->column]);
        o.gathered = o.rows.c.in_place;
        if (o.gathered) o.base = (const real *)o.rows.c.data;
    }
    o.fours = hn_is_aligned(o.base) && ((o.stride | (o.along ? k : n)) & 3) == 0;
    return o;
}

/* Where results go, and what all of them need: found once, before a block's last phase. */
struct way_out {
    real *c, *y, *z; /* NULL: not wanted */
    const real *by, *bias;
    struct mask mask;
};
HN_DEVICE struct way_out way_out_of(const struct hn_k_gemm *g, const struct hn_k_slot *s,
                                    const struct job *j)
{
    const struct hn_k_tail *tail = &j->p->tail;
    struct way_out o = { 0 };
    o.c = hn_at(&g->env, tail->c, j->z);
    o.bias = hn_at(&g->env, j->p->bias, j->z);
    if (tail->drops) o.mask = mask_of(s, &tail->drop);
    if (tail->backward) {
        if (tail->how) o.by = hn_at(&g->env, tail->by, j->z);
    } else {
        if (tail->how) o.y = hn_at(&g->env, tail->y, j->z);
        if (tail->drops) o.z = hn_at(&g->env, tail->z, j->z);
    }
    return o;
}

/* One of four, in registers whatever i is. */
HN_DEVICE real pick(const real *v, int i)
{
    return i & 2 ? (i & 1 ? v[3] : v[2]) : (i & 1 ? v[1] : v[0]);
}

/* n results (4 at most) of one column on their way out; `row` is a multiple of n, so that one block of random bits serves them.
 * Everything they need is loaded before anything is written. */
HN_DEVICE void finish(const struct hn_k_slot *s, const struct job *j, const struct way_out *o,
                      int row, int col, int n, const real *sum)
{
    const struct hn_k_product *p = j->p;
    const struct hn_k_tail *tail = &p->tail;
    real before[4] = { 0 }, by[4] = { 0 }, bias = 0;
    struct bits r = { { 0 } };
    if (col >= j->n || row >= j->m) return;
    const int rest = j->m - row < n ? j->m - row : n;
    if (o->bias) bias = (real)p->beta * o->bias[p->one_bias ? 0 : col];
    HN_UNROLL
    for (int e = 0; e < n; e++) {
        const int64_t at = (int64_t)(row + (e < rest ? e : 0)) * j->n + col;
        if (p->acc) before[e] = o->c[at];
        if (o->by) by[e] = o->by[at];
    }
    if (tail->drops && o->mask.below)
        r = philox((uint32_t)col, (uint32_t)row / 8, o->mask.batch, tail->drop.stream, s->key[0],
                   s->key[1]);
    HN_ROLLED
    for (int e = 0; e < rest; e++) {
        const int64_t at = (int64_t)(row + e) * j->n + col;
        const int off = bits_of(r, (row + e) % 8) < o->mask.below;
        real v = pick(sum, e) * (real)p->alpha;
        if (o->bias) v += bias;
        if (p->acc) v += pick(before, e);
        if (tail->backward) {
            if (tail->drops) v = off ? 0 : v * o->mask.scale;
            if (tail->how)
                v *= slope(tail->kind, tail->how - 1, pick(by, e), (real)tail->a, (real)tail->b);
            if (o->c) o->c[at] = v;
            continue;
        }
        if (o->c) o->c[at] = v;
        if (tail->how) v = value(tail->kind, v, (real)tail->a, (real)tail->b);
        if (o->y) o->y[at] = v;
        if (o->z) o->z[at] = off ? 0 : v * o->mask.scale;
    }
}
#endif
