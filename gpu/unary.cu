/* SPDX-License-Identifier: MIT
 *
 * Element-wise functions, forward and backward; the functions themselves: act.h.
 *     y[i] = f(x[i])        dx[i] (+)= dy[i] * f'(…) */
#include "gpu/act.h"

HN_KERNEL(unary, hn_k_unary)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE)
        y[i] = value(a.kind, x[i], (real)a.a, (real)a.b);
}

HN_KERNEL(unary_back, hn_k_unary)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *dy = hn_at(&a.env, a.dy, HN_Z);
    const real *v = a.by == BY_Y   ? hn_at(&a.env, a.y, HN_Z)
                    : a.by == BY_X ? hn_at(&a.env, a.x, HN_Z)
                                   : dy;
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        real g = dy[i] * slope(a.kind, a.by, v[i], (real)a.a, (real)a.b);
        dx[i] = a.acc ? dx[i] + g : g;
    }
}
