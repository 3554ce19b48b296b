/* SPDX-License-Identifier: MIT
 *
 * Rounding to whole steps of a scale (ops/math/quantize.c), in float32 for any element type; a division is IEEE's.
 *     t = round(x / scale) in [low - zero, high - zero]
 *     y[i] = t * scale, or t + zero (whole)        dx[i] (+)= dy[i], or dy[i] / scale, where t was in there by itself, else 0 */
#include "gpu/kernel.h"

struct one {
    float steps, scale, low, high, zero;
};

HN_DEVICE struct one round_one(const struct hn_k_quantize *k, const real *x, const real *scale,
                               const real *zero, int64_t i)
{
    struct one o;
    const int64_t at = k->scales > 1 ? i / k->inner % k->scales : 0;
    o.scale = (float)scale[at];
    o.zero = zero ? (float)zero[k->zeros > 1 ? at : 0] : 0;
    o.low = (float)k->low - o.zero, o.high = (float)k->high - o.zero;
    o.steps = rintf((float)x[i] / o.scale);
    return o;
}

HN_KERNEL(quantize, hn_k_quantize)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *zero = hn_at(&a.env, a.zero, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        const struct one o = round_one(&a, x, scale, zero, i);
        const float v = o.steps < o.low ? o.low : o.steps > o.high ? o.high : o.steps;
        y[i] = a.whole ? (real)(v + o.zero) : (real)(v * o.scale);
    }
}

HN_KERNEL(quantize_back, hn_k_quantize)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *zero = hn_at(&a.env, a.zero, HN_Z), *dy = hn_at(&a.env, a.dy, HN_Z);
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        const struct one o = round_one(&a, x, scale, zero, i);
        const real g = a.whole ? dy[i] / (real)o.scale : dy[i];
        const real v = o.steps >= o.low && o.steps <= o.high ? g : 0;
        dx[i] = a.acc ? dx[i] + v : v;
    }
}
