/* SPDX-License-Identifier: MIT
 *
 * What the kernels of matrix products share: a block's job, and what becomes of a result on its way out: bias, function, Dropout,
 * forward and backward.
 *     c[i,j] (+)= f(alpha sum_k a[i,k] b[k,j] + beta bias[j]) */
#ifndef HN_GPU_PRODUCT_H
#define HN_GPU_PRODUCT_H

#include "gpu/act.h"
#include "gpu/mask.h"

struct job {   /* of a block: a tile of one product */
    int which; /* by number: nvcc reads an argument's member from constant memory, what a pointer points to from the other */
    int m, n, k, i0, j0;
    int64_t z;
};

/* What places are counted from, in one slot. */
struct bases {
    unsigned char *arena, *w, *dw;
    const unsigned char *consts;
};
HN_DEVICE struct bases bases_of(const struct hn_k_env *e, unsigned char *w, unsigned char *dw,
                                int64_t z)
{
    struct bases b = { .arena = e->arena + (uint64_t)z * e->stride, .w = w, .consts = e->consts };
    b.dw = e->grads ? e->grads + (uint64_t)z * e->grad_stride : dw;
    return b;
}
HN_DEVICE real *at_base(const struct bases *b, struct hn_k_ref r) /* without a branch */
{
    uintptr_t from = r.space == HN_KS_ARENA ? (uintptr_t)b->arena
                     : r.space == HN_KS_W   ? (uintptr_t)b->w
                     : r.space == HN_KS_DW  ? (uintptr_t)b->dw
                                            : (uintptr_t)b->consts;
    return (real *)(r.space == HN_KS_NONE ? 0 : from + r.off);
}

/* Where results go, and what all of them need. */
struct way_out {
    real *c, *y, *z; /* NULL: not wanted */
    const real *by, *bias;
};
HN_DEVICE struct way_out way_out_of(const struct hn_k_gemm *g, const struct bases *b,
                                    const struct job *j)
{
    const struct hn_k_tail *tail = &g->p[j->which].tail;
    const int forward = !tail->backward;
    struct way_out o = { .c = at_base(b, tail->c), .bias = at_base(b, g->p[j->which].bias) };
    o.by = !forward && tail->how ? at_base(b, tail->by) : 0;
    o.y = forward && tail->how ? at_base(b, tail->y) : 0;
    o.z = forward && tail->drops ? at_base(b, tail->z) : 0;
    return o;
}

/* One of four, in registers whatever i is. */
HN_DEVICE real pick(const real *v, int i)
{
    return i & 2 ? (i & 1 ? v[3] : v[2]) : (i & 1 ? v[1] : v[0]);
}

/* What n results (4 at most) of one column need from memory on their way out, loaded before anything is written. */
struct ahead {
    real before[4], by[4], bias;
    int n; /* those that are there */
};
HN_DEVICE struct ahead look_ahead(const struct hn_k_gemm *g, const struct job *j,
                                  const struct way_out *o, int row, int col, int n)
{
    const struct hn_k_product *p = &g->p[j->which];
    struct ahead a = { .n = 0 };
    if (col >= j->n || row >= j->m) return a;
    a.n = j->m - row < n ? j->m - row : n;
    if (o->bias) a.bias = o->bias[p->one_bias ? 0 : col];
    HN_UNROLL
    for (int e = 0; e < n; e++) {
        const int64_t at = (int64_t)(row + (e < a.n ? e : 0)) * j->n + col;
        if (p->acc) a.before[e] = o->c[at];
        if (o->by) a.by[e] = o->by[at];
    }
    return a;
}

/* off: of `dropped`; scale: of the mask; left: where results are left as well, HN_K_LEFT apart, or NULL. */
HN_DEVICE void finish(const struct hn_k_gemm *g, const struct job *j, const struct way_out *o,
                      const struct ahead *a, uint32_t off, real scale, int row, int col,
                      const real *sum, real *left)
{
    const struct hn_k_product *p = &g->p[j->which];
    const struct hn_k_tail *tail = &p->tail;
    HN_ROLLED
    for (int e = 0; e < a->n; e++) {
        const int64_t at = (int64_t)(row + e) * j->n + col;
        const int drop = (int)(off >> e & 1);
        real v = pick(sum, e) * (real)p->alpha;
        if (o->bias) v += (real)p->beta * a->bias;
        if (p->acc) v += pick(a->before, e);
        if (left) left[e * HN_K_LEFT] = v;
        if (tail->backward) {
            if (tail->drops) v = drop ? 0 : v * scale;
            if (tail->how)
                v *= slope(tail->kind, tail->how - 1, pick(a->by, e), (real)tail->a, (real)tail->b);
            if (o->c) o->c[at] = v;
            continue;
        }
        if (o->c) o->c[at] = v;
        if (tail->how) v = value(tail->kind, v, (real)tail->a, (real)tail->b);
        if (o->y) o->y[at] = v;
        if (o->z) o->z[at] = drop ? 0 : v * scale;
    }
}
#endif
