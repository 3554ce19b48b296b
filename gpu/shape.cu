/* SPDX-License-Identifier: MIT
 *
 * Moving elements: a span of one dim (concat, slice, both directions) and transposition. */
#include "gpu/kernel.h"

HN_KERNEL(span, hn_k_span)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t inner = hn_n(a.inner, s->rows), n = hn_n(a.outer, s->rows) * a.len * inner;
    HN_EACH(t)
    for (int64_t p = HN_FIRST(t); p < n; p += HN_STRIDE) {
        int64_t i = p % inner, k = p / inner % a.len, o = p / inner / a.len;
        real v = from[(o * a.from_len + a.from_at + k * a.from_step) * inner + i];
        int64_t at = (o * a.to_len + a.to_at + k * a.to_step) * inner + i;
        to[at] = a.acc ? to[at] + v : v;
    }
}

HN_KERNEL(transpose, hn_k_transpose)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t n = hn_count(&a.shape, s->rows);
    HN_EACH(t)
    for (int64_t p = HN_FIRST(t); p < n; p += HN_STRIDE) {
        int64_t at = 0, rest = p;
        for (int k = a.shape.rank - 1; k >= 0; k--) {
            int64_t stride = 1, d = hn_n(a.shape.d[a.perm[k]], s->rows);
            for (int j = a.perm[k] + 1; j < a.shape.rank; j++)
                stride *= hn_n(a.shape.d[j], s->rows);
            at += rest % d * stride;
            rest /= d;
        }
        to[p] = a.acc ? to[p] + from[at] : from[at];
    }
}
