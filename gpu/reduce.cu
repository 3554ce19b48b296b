/* SPDX-License-Identifier: MIT
 *
 * Sum, mean, maximum and L2 norm over the dims of a mask: one block a result, strided, then a tree. The gradient of a tied
 * maximum is split evenly; the L2 norm's is 0 at 0. */
#include "gpu/kernel.h"

enum { SUM, MEAN, MAX, L2 }; /* enum hn_reduce_kind */

/* x's dims with the reduced ones as 1: what a result lines up with. */
HN_DEVICE struct hn_k_dims kept_of(const struct hn_k_reduce *a)
{
    struct hn_k_dims k = a->shape;
    for (int i = 0; i < k.rank; i++)
        if (a->mask >> i & 1u) k.d[i].per_row = 0, k.d[i].fixed = 1;
    return k;
}

HN_KERNEL(reduce, hn_k_reduce)
{
    HN_SHARED double sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const struct hn_k_dims kept = kept_of(&a);
    const struct hn_k_fold f = hn_fold(&a.shape, &kept, s->rows);
    for (int64_t q = HN_X; q < f.kept; q += HN_NX) {
        HN_EACH(t)
        {
            double v = a.kind == MAX ? -(double)INFINITY : 0;
            for (int64_t p = t; p < f.folded; p += HN_BLOCK) {
                double e = (double)x[hn_unfold(&a.shape, &kept, s->rows, q, p)];
                v = a.kind == MAX ? (e > v || e != e ? e : v) : v + (a.kind == L2 ? e * e : e);
            }
            sum[t] = v;
        }
        for (int w = HN_BLOCK / 2; w > 0; w /= 2) HN_EACH(t) if (t < w)
            {
                double u = sum[t], v = sum[t + w];
                sum[t] = a.kind == MAX ? (v > u || v != v ? v : u) : u + v;
            }
        HN_EACH(t)
        if (t == 0)
            y[q] = (real)(a.kind == MEAN ? sum[0] / (double)f.folded
                          : a.kind == L2 ? sqrt(sum[0])
                                         : sum[0]);
    }
}

HN_KERNEL(reduce_back, hn_k_reduce)
{
    HN_SHARED double ties[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *y = hn_at(&a.env, a.y, HN_Z),
               *dy = hn_at(&a.env, a.dy, HN_Z);
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const struct hn_k_dims kept = kept_of(&a);
    const struct hn_k_fold f = hn_fold(&a.shape, &kept, s->rows);
    for (int64_t q = HN_X; q < f.kept; q += HN_NX) {
        HN_EACH(t)
        {
            ties[t] = 0;
            for (int64_t p = t; a.kind == MAX && p < f.folded; p += HN_BLOCK)
                ties[t] += x[hn_unfold(&a.shape, &kept, s->rows, q, p)] == y[q];
        }
        HN_TREE(ties, HN_BLOCK);
        HN_EACH(t)
        for (int64_t p = t; p < f.folded; p += HN_BLOCK) {
            int64_t i = hn_unfold(&a.shape, &kept, s->rows, q, p);
            real g = dy[q];
            if (a.kind == MEAN) g /= (real)f.folded;
            if (a.kind == L2) g = y[q] > 0 ? g * x[i] / y[q] : 0;
            if (a.kind == MAX) g = x[i] == y[q] ? g / (real)ties[0] : 0;
            dx[i] = a.acc ? dx[i] + g : g;
        }
    }
}
