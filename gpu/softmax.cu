/* SPDX-License-Identifier: MIT
 *
 * Softmax and log-softmax, shifted by the group's largest element; a team of threads owns a group.
 *     y = e^(x - top) / sum e^(x - top)   or   x - top - log sum e^(x - top)
 *     dx = y (dy - sum dy y)              or   dy - e^y sum dy */
#include "gpu/kernel.h"

HN_DEVICE int64_t first_of(const struct hn_k_softmax *a, int64_t g)
{
    return g / a->inner * a->len * a->inner + g % a->inner;
}

HN_KERNEL(softmax, hn_k_softmax)
{
    HN_SHARED double top[HN_BLOCK], sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const int64_t groups = hn_n(a.outer, s->rows) * a.inner, per = HN_BLOCK / a.team;
    for (int64_t g0 = HN_X * per; g0 < groups && a.len > 0; g0 += HN_NX * per) {
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            const real *v = x + (g < groups ? first_of(&a, g) : 0);
            top[t] = (double)v[0], sum[t] = 0;
            for (int64_t k = t % a.team; g < groups && k < a.len; k += a.team)
                top[t] = (double)v[k * a.inner] > top[t] ? (double)v[k * a.inner] : top[t];
        }
        for (int w = a.team / 2; w > 0; w /= 2)
            HN_EACH(t) if (t % a.team < w) top[t] = top[t + w] > top[t] ? top[t + w] : top[t];
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            const real *v = x + (g < groups ? first_of(&a, g) : 0);
            for (int64_t k = t % a.team; g < groups && k < a.len; k += a.team)
                sum[t] += (double)HN_FN(exp)(v[k * a.inner] - (real)top[t / a.team * a.team]);
        }
        HN_TREE(sum, a.team);
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team, at = g < groups ? first_of(&a, g) : 0;
            real high = (real)top[t / a.team * a.team], total = (real)sum[t / a.team * a.team];
            for (int64_t k = t % a.team; g < groups && k < a.len; k += a.team) {
                real d = x[at + k * a.inner] - high;
                y[at + k * a.inner] = a.log ? d - HN_FN(log)(total) : HN_FN(exp)(d) / total;
            }
        }
    }
}

HN_KERNEL(softmax_back, hn_k_softmax)
{
    HN_SHARED double sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *y = hn_at(&a.env, a.y, HN_Z), *dy = hn_at(&a.env, a.dy, HN_Z);
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const int64_t groups = hn_n(a.outer, s->rows) * a.inner, per = HN_BLOCK / a.team;
    for (int64_t g0 = HN_X * per; g0 < groups; g0 += HN_NX * per) {
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team, at = g < groups ? first_of(&a, g) : 0;
            sum[t] = 0;
            for (int64_t k = t % a.team; g < groups && k < a.len; k += a.team)
                sum[t] += (double)dy[at + k * a.inner] * (a.log ? 1 : (double)y[at + k * a.inner]);
        }
        HN_TREE(sum, a.team);
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team, at = g < groups ? first_of(&a, g) : 0;
            real total = (real)sum[t / a.team * a.team];
            for (int64_t k = t % a.team; g < groups && k < a.len; k += a.team) {
                int64_t i = at + k * a.inner;
                real v = a.log ? dy[i] - HN_FN(exp)(y[i]) * total : y[i] * (dy[i] - total);
                dx[i] = a.acc ? dx[i] + v : v;
            }
        }
    }
}
