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
#include "gpu/norm.h"
#include "gpu/sum.h"

/* threads of a block: lane t / 4, and the t % 4-th of 4 across the channels */
enum { LANES = HN_K_NORM, ACROSS = HN_BLOCK / LANES, KEEP = 512 / HN_BITS };

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

/* Sums over the lanes of `wide` columns, lane after lane in sh, in two rounds: end in sh[column]. */
#define ADD_LANES(sh, wide)                                                                        \
    for (int w_ = 8 * (wide); w_ > 0; w_ = w_ > (wide) ? (wide) : 0)                               \
    HN_EACH(t_) if (t_ < w_) hn_add_up(sh, t_, w_, LANES / 8)

/* ---- few channels: a block each ----------------------------------------------------------------------------------------- */

enum {
    ALONE = HN_K_ALONE / HN_BLOCK
}; /* rows that a thread has at once; more than that are read twice */
HN_DEVICE int64_t mine(int t, int e, int64_t r0) { return r0 + t + e * HN_BLOCK; }

/* The thread's rows of a channel from r0 on. What is not there is the first. */
HN_DEVICE void take_rows(real *to, const real *x, int64_t channels, int64_t r0, int64_t n, int t)
{
    HN_UNROLL
    for (int e = 0; e < ALONE; e++) to[e] = x[(mine(t, e, r0) < n ? mine(t, e, r0) : 0) * channels];
}

/* Both sums at once, around the first row's number: the variance is at least 1 / n of that one's square around the mean, so what
 * cancels is little. */
HN_KERNEL_SOON(norm1, hn_k_norm, 1)
{
    HN_SHARED double sh[2 * HN_WARPS];
    HN_PRIVATE(real, kept, ALONE);
    HN_PRIVATE(double, sums, 2);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const int64_t ch = HN_X, n = hn_n(a.outer, s->rows);
    const real *x = hn_at(&a.env, a.x, HN_Z) + ch, *scale = hn_at(&a.env, a.scale, HN_Z) + ch,
               *bias = hn_at(&a.env, a.bias, HN_Z) + ch;
    real *y = hn_at(&a.env, a.y, HN_Z) + ch;
    const struct copy copy = copy_of(&a, HN_Z, n);
    double mean = 0, var = 0;
    const double share = 1 / (double)(n > 0 ? n : 1);
    HN_TURN();
    if (s->stop) return;
    const real by = *scale, plus = *bias, first = *x;
    HN_EACH(t)
    {
        real *v = HN_MINE(kept, t);
        double one = 0, two = 0;
        for (int64_t r0 = 0; r0 < n; r0 += HN_K_ALONE) {
            take_rows(v, x, a.channels, r0, n, t);
            HN_UNROLL
            for (int e = 0; e < ALONE; e++) {
                if (mine(t, e, r0) >= n) continue;
                const double d = (double)v[e] - (double)first;
                one += d, two += d * d;
            }
        }
        HN_MINE(sums, t)[0] = one, HN_MINE(sums, t)[1] = two;
    }
    if (a.batch) {
        HN_ADD_WARPS(sums, 2, sh);
        const double off = hn_all(sh) * share;
        mean = (double)first + off;
        var = hn_all(sh + HN_WARPS) * share - off * off;
        if (var < 0) var = 0;
    } else {
        mean = (double)hn_at(&a.env, a.mean, HN_Z)[ch],
        var = (double)hn_at(&a.env, a.var, HN_Z)[ch];
    }
    const double inv = inverse_root(var + a.eps);
    const real m = (real)mean, k = (real)((double)by * inv);
    HN_EACH(t)
    {
        for (int64_t r0 = 0; r0 < n; r0 += HN_K_ALONE) {
            if (n > HN_K_ALONE) take_rows(HN_MINE(kept, t), x, a.channels, r0, n, t);
            HN_UNROLL
            for (int e = 0; e < ALONE; e++) {
                const int64_t row = mine(t, e, r0);
                if (row >= n) continue;
                real u = normal(HN_MINE(kept, t)[e], m, k, plus);
                if (a.fuse_relu && u <= 0) u = 0;
                y[row * a.channels] = u;
                leave(&copy, &u, row, ch, 1);
            }
        }
        if (t == 0) keep_statistics(&a, HN_Z, ch, n, mean, var, inv);
    }
}

struct alone { /* of a channel: x and dy in rows, and what a ReLU behind the norm is found with */
    const real *x, *dy;
    int64_t channels, n;
    double mean;
    real m, k, b;
    int relu;
};
/* The thread's dy from r0 on, where it was let through. */
HN_DEVICE void take_slopes(const struct alone *c, const real *x, real *g, int64_t r0, int t)
{
    take_rows(g, c->dy, c->channels, r0, c->n, t);
    HN_UNROLL
    for (int e = 0; e < ALONE; e++)
        if (mine(t, e, r0) >= c->n || (c->relu && !(normal(x[e], c->m, c->k, c->b) > 0))) g[e] = 0;
}

HN_KERNEL_SOON(norm1_back, hn_k_norm, 1)
{
    HN_SHARED double sh[2 * HN_WARPS], below[HN_WARPS];
    HN_PRIVATE(real, kept, 2 * ALONE);
    HN_PRIVATE(double, sums, 2);
    HN_PRIVATE(double, given, 1);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const int64_t ch = HN_X, n = hn_n(a.outer, s->rows);
    const double *mean = hn_double_at(&a.env, a.save_mean, HN_Z) + ch,
                 *inverse = hn_double_at(&a.env, a.save_inv, HN_Z) + ch;
    const real *scale = hn_at(&a.env, a.scale, HN_Z) + ch, *bias = hn_at(&a.env, a.bias, HN_Z) + ch;
    struct alone c = { .x = hn_at(&a.env, a.x, HN_Z) + ch, .dy = hn_at(&a.env, a.dy, HN_Z) + ch };
    c.channels = a.channels, c.n = n, c.relu = a.fuse_relu;
    real *dx = a.dx.space ? hn_at(&a.env, a.dx, HN_Z) + ch : 0;
    const double share = a.batch && n > 0 ? 1 / (double)n : 0;
    const struct copy copy = copy_of(&a, HN_Z, n);
    HN_TURN();
    if (s->stop) return;
    const double inv = *inverse, slope = (double)*scale * inv;
    c.mean = *mean, c.m = (real)c.mean, c.k = (real)slope, c.b = *bias;
    HN_EACH(t)
    {
        real *v = HN_MINE(kept, t), *g = v + ALONE;
        double one = 0, two = 0;
        for (int64_t r0 = 0; r0 < n; r0 += HN_K_ALONE) {
            take_rows(v, c.x, c.channels, r0, n, t);
            take_slopes(&c, v, g, r0, t);
            HN_UNROLL
            for (int e = 0; e < ALONE; e++)
                one += (double)g[e], two += (double)g[e] * ((double)v[e] - c.mean);
        }
        HN_MINE(sums, t)[0] = one, HN_MINE(sums, t)[1] = two;
    }
    HN_ADD_WARPS(sums, 2, sh);
    const double sum = hn_all(sh), dot = hn_all(sh + HN_WARPS) * inv;
    const real g0 = (real)(sum * share), g1 = (real)(dot * share * inv);
    HN_EACH(t)
    {
        real *v = HN_MINE(kept, t), *g = v + ALONE;
        double all = 0;
        for (int64_t r0 = 0; dx && r0 < n; r0 += HN_K_ALONE) {
            if (n > HN_K_ALONE) {
                take_rows(v, c.x, c.channels, r0, n, t);
                take_slopes(&c, v, g, r0, t);
            }
            HN_UNROLL
            for (int e = 0; e < ALONE; e++) {
                const int64_t row = mine(t, e, r0);
                if (row >= n) continue;
                real d = c.k * (g[e] - g0 - (v[e] - c.m) * g1);
                if (a.acc & 1) d += dx[row * a.channels];
                dx[row * a.channels] = d;
                leave(&copy, &d, row, ch, 1);
                all += (double)d;
            }
        }
        HN_MINE(given, t)[0] = all;
        if (t == 0) channel_back(&a, HN_Z, ch, sum, dot, slope, inv);
    }
    if (a.below.space == HN_KS_NONE) return;
    HN_ADD_WARPS(given, 1, below);
    HN_EACH(t) if (t == 0) bias_back(&a, HN_Z, ch, hn_all(below));
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
