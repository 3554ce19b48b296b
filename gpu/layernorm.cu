/* SPDX-License-Identifier: MIT
 *
 * LayerNorm: a team of threads owns a group (statistics as in norm.cu: mean, then squares around it, in double); the gradients of
 * scale and bias are sums over the groups, 4 columns a block.
 *     y = scale (x - m) inv + bias,  inv = 1 / sqrt(v + eps) */
#include "gpu/kernel.h"

enum { LANES = HN_K_NORM, WIDE = HN_BLOCK / LANES };

HN_DEVICE double inverse_root(double v) { return 1 / sqrt(v); }

HN_KERNEL(layernorm, hn_k_layernorm)
{
    HN_SHARED double sum[HN_BLOCK], squares[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *bias = hn_at(&a.env, a.bias, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    double *keep_m = hn_double_at(&a.env, a.save_mean, HN_Z),
           *keep_i = hn_double_at(&a.env, a.save_inv, HN_Z);
    const int64_t groups = hn_n(a.groups, s->rows), per = HN_BLOCK / a.team;
    for (int64_t g0 = HN_X * per; g0 < groups; g0 += HN_NX * per) {
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            sum[t] = squares[t] = 0;
            for (int64_t i = t % a.team; g < groups && i < a.n; i += a.team)
                sum[t] += (double)x[g * a.n + i];
        }
        HN_TREE(sum, a.team);
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            double mean = sum[t / a.team * a.team] / (double)a.n;
            for (int64_t i = t % a.team; g < groups && i < a.n; i += a.team) {
                double d = (double)x[g * a.n + i] - mean;
                squares[t] += d * d;
            }
        }
        HN_TREE(squares, a.team);
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            double mean = sum[t / a.team * a.team] / (double)a.n;
            double inv = inverse_root(squares[t / a.team * a.team] / (double)a.n + a.eps);
            for (int64_t i = t % a.team; g < groups && i < a.n; i += a.team)
                y[g * a.n + i] =
                    scale[i] * (real)(((double)x[g * a.n + i] - mean) * inv) + (bias ? bias[i] : 0);
            if (g < groups && t % a.team == 0 && keep_m) keep_m[g] = mean, keep_i[g] = inv;
        }
    }
}

/* with u = dy scale:  dx = inv (u - mean(u) - h mean(u h)) */
HN_KERNEL(layernorm_back, hn_k_layernorm)
{
    HN_SHARED double sum[HN_BLOCK], dot[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *dy = hn_at(&a.env, a.dy, HN_Z);
    const double *means = hn_double_at(&a.env, a.save_mean, HN_Z),
                 *invs = hn_double_at(&a.env, a.save_inv, HN_Z);
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const int64_t groups = hn_n(a.groups, s->rows), per = HN_BLOCK / a.team;
    for (int64_t g0 = HN_X * per; g0 < groups; g0 += HN_NX * per) {
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            sum[t] = dot[t] = 0;
            for (int64_t i = t % a.team; g < groups && i < a.n; i += a.team) {
                double u = (double)dy[g * a.n + i] * (double)scale[i];
                sum[t] += u, dot[t] += u * (((double)x[g * a.n + i] - means[g]) * invs[g]);
            }
        }
        HN_TREE(sum, a.team);
        HN_TREE(dot, a.team);
        HN_EACH(t)
        {
            int64_t g = g0 + t / a.team;
            double u = sum[t / a.team * a.team] / (double)a.n,
                   uh = dot[t / a.team * a.team] / (double)a.n;
            for (int64_t i = t % a.team; g < groups && i < a.n; i += a.team) {
                double h = ((double)x[g * a.n + i] - means[g]) * invs[g];
                real v =
                    (real)(invs[g] * ((double)dy[g * a.n + i] * (double)scale[i] - u - h * uh));
                dx[g * a.n + i] = a.acc & 1 ? dx[g * a.n + i] + v : v;
            }
        }
    }
}

/* dscale[i] = sum over groups of dy h,  dbias[i] = sum of dy */
HN_KERNEL(layernorm_params, hn_k_layernorm)
{
    HN_SHARED double sum[HN_BLOCK], dot[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *dy = hn_at(&a.env, a.dy, HN_Z);
    const double *means = hn_double_at(&a.env, a.save_mean, HN_Z),
                 *invs = hn_double_at(&a.env, a.save_inv, HN_Z);
    real *dscale = hn_at(&a.env, a.dscale, HN_Z), *dbias = hn_at(&a.env, a.dbias, HN_Z);
    const int64_t groups = hn_n(a.groups, s->rows), i0 = HN_X * WIDE;
    HN_EACH(t)
    {
        int64_t i = i0 + t % WIDE;
        sum[t] = dot[t] = 0;
        for (int64_t g = t / WIDE; i < a.n && g < groups; g += LANES) {
            double d = (double)dy[g * a.n + i];
            sum[t] += d, dot[t] += d * (((double)x[g * a.n + i] - means[g]) * invs[g]);
        }
    }
    HN_LANES(sum, WIDE);
    HN_LANES(dot, WIDE);
    HN_EACH(t)
    {
        int64_t i = i0 + t;
        if (t < WIDE && i < a.n) {
            if (dscale) dscale[i] = (real)((a.acc & 2 ? (double)dscale[i] : 0) + dot[t]);
            if (dbias) dbias[i] = (real)((a.acc & 4 ? (double)dbias[i] : 0) + sum[t]);
        }
    }
}
