/* SPDX-License-Identifier: MIT
 *
 * BatchNorm: what its kernels share (norm.cu, strips.cu), the numbers of a channel and copies of a result. */
#ifndef HN_GPU_NORM_H
#define HN_GPU_NORM_H

#include "gpu/narrow.h"

HN_DEVICE double inverse_root(double v)
{
#ifdef __CUDACC__
    return rsqrt(v);
#else
    return 1 / sqrt(v);
#endif
}

/* y, rounded alike wherever it is found. */
HN_DEVICE real normal(real x, real m, real k, real b) { return HN_FN(fma)(k, x - m, b); }

struct copy { /* of a result: bfloat16, or transposed; at is NULL where nobody wants one */
    unsigned char *at;
    int64_t rows, channels;
    int turned;
};
HN_DEVICE struct copy copy_of(const struct hn_k_norm *a, int64_t z, int64_t rows)
{
    struct copy c;
    c.at = hn_bytes_at(&a->env, a->copy, z), c.turned = a->copy_turned;
    c.rows = rows, c.channels = a->channels;
    return c;
}
/* n neighbours of a row, 1, 2 or 4. */
HN_DEVICE void leave(const struct copy *c, const real *v, int64_t row, int64_t ch, int n)
{
    if (!c->at) return;
    if (c->turned) {
        HN_UNROLL
        for (int k = 0; k < n; k++) ((real *)c->at)[(ch + k) * c->rows + row] = v[k];
        return;
    }
    uint16_t *const to = (uint16_t *)c->at + row * c->channels + ch;
    if (n == 1) to[0] = narrowed(v[0]);
    if (n == 1) return;
    const uint32_t low = narrowed(v[0]) | (uint32_t)narrowed(v[1]) << 16,
                   high = narrowed(v[n - 2]) | (uint32_t)narrowed(v[n - 1]) << 16;
    if (n == 2)
        *(uint32_t *)to = low;
    else
        *(uint64_t *)to = low | (uint64_t)high << 32;
}

/* Where a channel's mean and variance go, and what the variance is multiplied by for the running one; 0: one value says nothing of
 * it. */
struct statistics_at {
    double *mean, *inv, *stats, bessel;
    const real *before_m, *before_v;
    real *after_m, *after_v;
};
HN_DEVICE struct statistics_at statistics_at(const struct hn_k_norm *a, int64_t z, int64_t n)
{
    struct statistics_at s;
    s.mean = hn_double_at(&a->env, a->save_mean, z), s.inv = hn_double_at(&a->env, a->save_inv, z);
    s.stats = a->copied ? 0 : hn_double_at(&a->env, a->stats, z);
    s.before_m = hn_at(&a->env, a->mean, z), s.before_v = hn_at(&a->env, a->var, z);
    s.after_m = hn_at(&a->env, a->mean_out, z), s.after_v = hn_at(&a->env, a->var_out, z);
    s.bessel = a->population ? 1 : n > 1 ? (double)n / (double)(n - 1) : 0;
    return s;
}
HN_DEVICE void keep_there(const struct hn_k_norm *a, const struct statistics_at *s, int64_t ch,
                          double mean, double var, double inv)
{
    const double k = a->momentum,
                 of_all = s->bessel > 0 || !s->before_v ? var * s->bessel : (double)s->before_v[ch];
    if (s->mean) s->mean[ch] = mean;
    if (s->inv) s->inv[ch] = inv;
    if (s->stats) s->stats[ch] = mean, s->stats[a->channels + ch] = of_all;
    if (s->after_m)
        s->after_m[ch] = (real)(a->batch ? k * (double)s->before_m[ch] + (1 - k) * mean : mean);
    if (s->after_v)
        s->after_v[ch] = (real)(a->batch ? k * (double)s->before_v[ch] + (1 - k) * of_all : var);
}
HN_DEVICE void keep_statistics(const struct hn_k_norm *a, int64_t z, int64_t ch, int64_t n,
                               double mean, double var, double inv)
{
    const struct statistics_at s = statistics_at(a, z, n);
    keep_there(a, &s, ch, mean, var, inv);
}

/* Where the gradients of a channel's scale, bias and, with running statistics, mean and variance go, and that of the bias in front
 * of the norm. */
struct gradients_at {
    real *scale, *bias, *mean, *var, *below;
};
HN_DEVICE struct gradients_at gradients_at(const struct hn_k_norm *a, int64_t z)
{
    struct gradients_at d;
    d.scale = hn_at(&a->env, a->dscale, z), d.bias = hn_at(&a->env, a->dbias, z);
    d.mean = hn_at(&a->env, a->dmean, z), d.var = hn_at(&a->env, a->dvar, z);
    d.below = hn_at(&a->env, a->below, z);
    return d;
}
HN_DEVICE void add_gradient(real *d, int adds, double v)
{
    *d = (real)((adds ? (double)*d : 0) + v);
}
HN_DEVICE void give_there(const struct hn_k_norm *a, const struct gradients_at *d, int64_t ch,
                          double sum, double dot, double k, double inv)
{
    if (d->scale) add_gradient(d->scale + ch, a->acc & 2, dot);
    if (d->bias) add_gradient(d->bias + ch, a->acc & 4, sum);
    if (d->mean) add_gradient(d->mean + ch, a->acc & 8, a->batch ? 0 : -k * sum);
    if (d->var) add_gradient(d->var + ch, a->acc & 16, a->batch ? 0 : -0.5 * k * inv * dot);
}
HN_DEVICE void channel_back(const struct hn_k_norm *a, int64_t z, int64_t ch, double sum,
                            double dot, double k, double inv)
{
    const struct gradients_at d = gradients_at(a, z);
    give_there(a, &d, ch, sum, dot, k, inv);
}
/* The gradient of the bias in front, of the sum of dx. */
HN_DEVICE void give_below(const struct hn_k_norm *a, const struct gradients_at *d, int64_t ch,
                          double sum)
{
    if (d->below) add_gradient(d->below + ch, a->below_acc, a->below_scale * sum);
}
HN_DEVICE void bias_back(const struct hn_k_norm *a, int64_t z, int64_t ch, double sum)
{
    const struct gradients_at d = gradients_at(a, z);
    give_below(a, &d, ch, sum);
}
#endif
