/* SPDX-License-Identifier: MIT
 *
 * BatchNorm, forward one kernel: statistics (mean, then squares around it, in double), normalisation, and a ReLU behind it where
 * the plan allows. A block owns 4, 8 or 16 channels (channels.h, once a width), 64 lanes of rows each, whatever the width: so a
 * channel's numbers have the same bits in all of them. Running statistics are not touched by forward: judge.cu moves them once the
 * step turned out good.
 *     y = scale (x - m) inv + bias,  inv = 1 / sqrt(v + eps)
 *     batch statistics:    dx = scale inv (dy - sum dy / n - h sum(dy h) / n),  h = (x - m) inv
 *     running statistics:  dx = scale inv dy,  dm = -scale inv sum dy,  dv = -scale inv^2 sum(dy h) / 2
 *     dscale = sum dy h,  dbias = sum dy,  and of a layer's bias in front of it: db = sum dx */
#include "gpu/narrow.h"

/* threads of a block: lane t / 4, and the t % 4-th of 4 across the channels */
enum { LANES = HN_K_NORM, ACROSS = HN_BLOCK / LANES, KEEP = 512 / HN_BITS };

HN_DEVICE double inverse_root(double v) { return 1 / sqrt(v); }

/* y, rounded alike wherever it is found. */
HN_DEVICE real normal(real x, real m, real k, real b) { return HN_FN(fma)(k, x - m, b); }

/* Where row j of a channel's count = outer * inner elements lies. */
HN_DEVICE int64_t place(const struct hn_k_norm *a, int64_t ch, int64_t j)
{
    return a->inner == 1 ? j * a->channels + ch
                         : (j / a->inner * a->channels + ch) * a->inner + j % a->inner;
}

/* Row e of thread t's own. */
HN_DEVICE int own(int t, int e) { return t / ACROSS + e * LANES; }
/* A channel of at most KEEP rows a thread is read once and kept in registers, if rows follow each other. */
HN_DEVICE int keeps(const struct hn_k_norm *a, int64_t n)
{
    return a->inner == 1 && n <= KEEP * LANES;
}

/* n neighbours, 1, 2 or 4, at once: both places are multiples of their size. */
HN_DEVICE void move(real *to, const real *from, int n)
{
#ifdef __CUDACC__
    struct __align__(2 * sizeof(real)) two { real v[2]; };
    if (n == 2) {
        *(two *)to = *(const two *)from;
        return;
    }
#endif
    if (n == 4) {
        hn_copy4(to, from);
        return;
    }
    for (int i = 0; i < n; i++) to[i] = from[i];
}

/* Sums over the lanes of `wide` columns, lane after lane in sh, in two rounds: end in sh[column]. */
#define ADD_LANES(sh, wide)                                                                        \
    for (int w_ = 8 * (wide); w_ > 0; w_ = w_ > (wide) ? (wide) : 0)                               \
    HN_EACH(t_) if (t_ < w_) hn_add_up(sh, t_, w_, LANES / 8)

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

/* What becomes of a channel's mean and variance. */
HN_DEVICE void keep_statistics(const struct hn_k_norm *a, int64_t z, int64_t ch, int64_t n,
                               double mean, double var, double inv)
{
    double *keep_m = hn_double_at(&a->env, a->save_mean, z),
           *keep_i = hn_double_at(&a->env, a->save_inv, z);
    double *stats = a->copied ? 0 : hn_double_at(&a->env, a->stats, z);
    const real *rm = hn_at(&a->env, a->mean, z), *rv = hn_at(&a->env, a->var, z);
    real *after_m = hn_at(&a->env, a->mean_out, z), *after_v = hn_at(&a->env, a->var_out, z);
    const double k = a->momentum,
                 bessel = !a->population && n > 1 ? (double)n / (double)(n - 1) : 1;
    if (keep_m) keep_m[ch] = mean;
    if (keep_i) keep_i[ch] = inv;
    if (stats) stats[ch] = mean, stats[a->channels + ch] = var * bessel;
    if (after_m) after_m[ch] = (real)(a->batch ? k * (double)rm[ch] + (1 - k) * mean : mean);
    if (after_v) after_v[ch] = (real)(a->batch ? k * (double)rv[ch] + (1 - k) * var * bessel : var);
}

/* Gradients of a channel's scale, bias and, with running statistics, mean and variance. */
HN_DEVICE void channel_back(const struct hn_k_norm *a, int64_t z, int64_t ch, double sum,
                            double dot, double k, double inv)
{
    real *d1 = hn_at(&a->env, a->dscale, z), *d2 = hn_at(&a->env, a->dbias, z);
    real *d3 = hn_at(&a->env, a->dmean, z), *d4 = hn_at(&a->env, a->dvar, z);
    const double gm = a->batch ? 0 : -k * sum, gv = a->batch ? 0 : -0.5 * k * inv * dot;
    if (d1) d1[ch] = (real)((a->acc & 2 ? (double)d1[ch] : 0) + dot);
    if (d2) d2[ch] = (real)((a->acc & 4 ? (double)d2[ch] : 0) + sum);
    if (d3) d3[ch] = (real)((a->acc & 8 ? (double)d3[ch] : 0) + gm);
    if (d4) d4[ch] = (real)((a->acc & 16 ? (double)d4[ch] : 0) + gv);
}

/* The gradient of the bias in front of the norm. */
HN_DEVICE void bias_back(const struct hn_k_norm *a, int64_t z, int64_t ch, double sum)
{
    real *d = hn_at(&a->env, a->below, z);
    d[ch] = (real)((a->below_acc ? (double)d[ch] : 0) + a->below_scale * sum);
}

#define CN_(name, n) name##_##n
#define CN2(name, n) CN_(name, n)
#define CN(name)     CN2(name, NEIGHBOURS)

#define NEIGHBOURS   1
#define FORWARD      HN_KERNEL(norm, hn_k_norm)
#define BACKWARD     HN_KERNEL_OF(norm_back, hn_k_norm, 2)
#include "gpu/channels.h"
#undef NEIGHBOURS
#undef FORWARD
#undef BACKWARD
#define NEIGHBOURS 2
#define FORWARD    HN_KERNEL_OF(norm8, hn_k_norm, 2)
#define BACKWARD   HN_KERNEL_OF(norm8_back, hn_k_norm, 64 / HN_BITS)
#include "gpu/channels.h"
#undef NEIGHBOURS
#undef FORWARD
#undef BACKWARD
#define NEIGHBOURS 4
#define FORWARD    HN_KERNEL_OF(norm16, hn_k_norm, 64 / HN_BITS)
#define BACKWARD   HN_KERNEL(norm16_back, hn_k_norm)
#include "gpu/channels.h"
