/* SPDX-License-Identifier: MIT
 *
 * BatchNorm and LayerNorm, each forward one kernel: statistics (mean, then squares around it, in double), normalisation, and a
 * ReLU behind it where the plan allows. BatchNorm: a block owns 8 channels, 32 lanes of rows each. LayerNorm: a team of threads
 * owns a group. Running statistics are not touched by forward: judge.cu moves them once the step turned out good.
 *     y = scale (x - m) inv + bias,  inv = 1 / sqrt(v + eps)
 *     batch statistics:    dx = scale inv (dy - sum dy / n - h sum(dy h) / n),  h = (x - m) inv
 *     running statistics:  dx = scale inv dy,  dm = -scale inv sum dy,  dv = -scale inv^2 sum(dy h) / 2
 *     dscale = sum dy h,  dbias = sum dy */
#include "gpu/kernel.h"

enum { LANES = HN_K_NORM, WIDE = HN_BLOCK / LANES, KEEP = 32 };

HN_DEVICE double inverse_root(double v) { return 1 / sqrt(v); }

/* Where row j of a channel's count = outer * inner elements lies. */
HN_DEVICE int64_t place(const struct hn_k_norm *a, int64_t ch, int64_t j)
{
    return a->inner == 1 ? j * a->channels + ch
                         : (j / a->inner * a->channels + ch) * a->inner + j % a->inner;
}

/* Row e of thread t's own. A channel of at most KEEP * LANES rows is read once and kept, if rows follow each other. */
HN_DEVICE int own(int t, int e) { return t / WIDE + e * LANES; }
HN_DEVICE int keeps(const struct hn_k_norm *a, int64_t n)
{
    return a->inner == 1 && n <= KEEP * LANES;
}

/* Sum, or with `around` sum of squares around it, of what the thread has of its channel. */
HN_DEVICE double part(const struct hn_k_norm *a, const real *x, const real *kept, int64_t ch,
                      int64_t n, int t, int squares, double around)
{
    double v = 0;
    if (ch >= a->channels) return 0;
    if (keeps(a, n)) {
        HN_UNROLL
        for (int e = 0; e < KEEP; e++) {
            double d = own(t, e) < n ? (double)kept[e] - around : 0;
            v += squares ? d * d : d;
        }
        return v;
    }
    for (int64_t j = t / WIDE; j < n; j += LANES) {
        double d = (double)x[place(a, ch, j)] - around;
        v += squares ? d * d : d;
    }
    return v;
}

HN_KERNEL(norm, hn_k_norm)
{
    HN_SHARED double sum[HN_BLOCK], mean[WIDE], var[WIDE];
    HN_PRIVATE(real, kept, KEEP);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *bias = hn_at(&a.env, a.bias, HN_Z);
    const real *rm = hn_at(&a.env, a.mean, HN_Z), *rv = hn_at(&a.env, a.var, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z), *after_m = hn_at(&a.env, a.mean_out, HN_Z),
         *after_v = hn_at(&a.env, a.var_out, HN_Z);
    double *keep_m = hn_double_at(&a.env, a.save_mean, HN_Z),
           *keep_i = hn_double_at(&a.env, a.save_inv, HN_Z);
    double *stats = a.copied ? 0 : hn_double_at(&a.env, a.stats, HN_Z);
    const int64_t n = hn_n(a.outer, s->rows) * a.inner, c0 = HN_X * WIDE;
    HN_EACH(t)
    {
        const int64_t ch = c0 + t % WIDE;
        if (keeps(&a, n)) { /* what is not there is read from the beginning and not used */
            HN_UNROLL
            for (int e = 0; e < KEEP; e++)
                HN_MINE(kept, t)[e] = x[ch < a.channels && own(t, e) < n ? own(t, e) * a.channels + ch : 0];
        }
        if (a.batch) sum[t] = part(&a, x, HN_MINE(kept, t), ch, n, t, 0, 0);
    }
    if (a.batch) {
        HN_LANES(sum, WIDE);
        HN_EACH(t) if (t < WIDE) mean[t] = n > 0 ? sum[t] / (double)n : 0;
        HN_EACH(t)
        sum[t] = part(&a, x, HN_MINE(kept, t), c0 + t % WIDE, n, t, 1, mean[t % WIDE]);
        HN_LANES(sum, WIDE);
        HN_EACH(t) if (t < WIDE) var[t] = n > 0 ? sum[t] / (double)n : 0;
    }
    HN_EACH(t)
    {
        int64_t ch = c0 + t;
        if (t < WIDE && ch < a.channels) {
            double k = a.momentum,
                   bessel = !a.population && n > 1 ? (double)n / (double)(n - 1) : 1;
            if (!a.batch) mean[t] = (double)rm[ch], var[t] = (double)rv[ch];
            if (keep_m) keep_m[ch] = mean[t];
            if (keep_i) keep_i[ch] = inverse_root(var[t] + a.eps);
            if (stats) stats[ch] = mean[t], stats[a.channels + ch] = var[t] * bessel;
            if (after_m)
                after_m[ch] = (real)(a.batch ? k * (double)rm[ch] + (1 - k) * mean[t] : mean[t]);
            if (after_v)
                after_v[ch] =
                    (real)(a.batch ? k * (double)rv[ch] + (1 - k) * var[t] * bessel : var[t]);
        }
    }
    HN_EACH(t)
    {
        int64_t ch = c0 + t % WIDE;
        if (ch < a.channels) {
            const real m = (real)mean[t % WIDE],
                       k = (real)((double)scale[ch] * inverse_root(var[t % WIDE] + a.eps)),
                       b = bias[ch];
            if (keeps(&a, n)) {
                HN_UNROLL
                for (int e = 0; e < KEEP; e++) {
                    real v = k * (HN_MINE(kept, t)[e] - m) + b;
                    if (own(t, e) < n)
                        y[own(t, e) * a.channels + ch] = a.fuse_relu && v <= 0 ? 0 : v;
                }
            } else {
                for (int64_t j = t / WIDE; j < n; j += LANES) {
                    real v = k * (x[place(&a, ch, j)] - m) + b;
                    y[place(&a, ch, j)] = a.fuse_relu && v <= 0 ? 0 : v;
                }
            }
        }
    }
}

struct terms { /* of one element backward: dy where the ReLU let it through, and x around its mean */
    real g, x;
};
HN_DEVICE struct terms terms_at(const real *dy, const real *relu, const real *x, real mean,
                                int64_t at)
{
    struct terms t;
    t.g = relu && !(relu[at] > 0) ? 0 : dy[at];
    t.x = x[at] - mean;
    return t;
}

/* All that a thread keeps: loads first, then what becomes of them. `relu` is dy where there is none. */
HN_DEVICE void keep_terms(const struct hn_k_norm *a, const real *dy, const real *relu,
                          const real *x, real mean, int64_t ch, int64_t n, int t,
                          struct terms *kept)
{
    const int masked = relu != dy;
    HN_UNROLL
    for (int e = 0; e < KEEP; e++) {
        const int64_t at = own(t, e) < n ? own(t, e) * a->channels + ch : 0;
        const real r = relu[at], g = dy[at];
        kept[e].x = x[at];
        kept[e].g = own(t, e) >= n || (masked && !(r > 0)) ? 0 : g;
    }
    HN_UNROLL
    for (int e = 0; e < KEEP; e++) kept[e].x = own(t, e) < n ? kept[e].x - mean : 0;
}

struct sums { /* of a thread's elements of one channel: dy, and dy times x around its mean */
    double g, dot;
};
HN_DEVICE void add_terms(struct sums *s, struct terms k)
{
    s->g += (double)k.g, s->dot += (double)k.g * (double)k.x;
}

/* Gradients of a channel's scale, bias and, with running statistics, mean and variance. */
HN_DEVICE void channel_back(const struct hn_k_norm *a, int64_t z, int64_t ch, double sum, double dot,
                            double k, double inv)
{
    real *d1 = hn_at(&a->env, a->dscale, z), *d2 = hn_at(&a->env, a->dbias, z);
    real *d3 = hn_at(&a->env, a->dmean, z), *d4 = hn_at(&a->env, a->dvar, z);
    const double gm = a->batch ? 0 : -k * sum, gv = a->batch ? 0 : -0.5 * k * inv * dot;
    if (d1) d1[ch] = (real)((a->acc & 2 ? (double)d1[ch] : 0) + dot);
    if (d2) d2[ch] = (real)((a->acc & 4 ? (double)d2[ch] : 0) + sum);
    if (d3) d3[ch] = (real)((a->acc & 8 ? (double)d3[ch] : 0) + gm);
    if (d4) d4[ch] = (real)((a->acc & 16 ? (double)d4[ch] : 0) + gv);
}

HN_KERNEL_OF(norm_back, hn_k_norm, 2)
{
    HN_SHARED double sum[HN_BLOCK], dot[HN_BLOCK];
    HN_PRIVATE(struct terms, kept, KEEP);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *dy = hn_at(&a.env, a.dy, HN_Z), *relu = hn_at(&a.env, a.relu, HN_Z);
    const double *mean = hn_double_at(&a.env, a.save_mean, HN_Z),
                 *inv = hn_double_at(&a.env, a.save_inv, HN_Z);
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const int64_t n = hn_n(a.outer, s->rows) * a.inner, c0 = HN_X * WIDE;
    HN_EACH(t)
    {
        const int64_t ch = c0 + t % WIDE;
        struct sums v = { 0, 0 };
        if (ch < a.channels) {
            const real m = (real)mean[ch];
            if (keeps(&a, n)) {
                keep_terms(&a, dy, relu ? relu : dy, x, m, ch, n, t, HN_MINE(kept, t));
                HN_UNROLL
                for (int e = 0; e < KEEP; e++) add_terms(&v, HN_MINE(kept, t)[e]);
            } else {
                for (int64_t j = t / WIDE; j < n; j += LANES)
                    add_terms(&v, terms_at(dy, relu, x, m, place(&a, ch, j)));
            }
            v.dot = (v.dot - (mean[ch] - (double)m) * v.g) * inv[ch]; /* around the mean itself */
        }
        sum[t] = v.g, dot[t] = v.dot;
    }
    HN_LANES(sum, WIDE);
    HN_LANES(dot, WIDE);
    HN_EACH(t)
    {
        const int64_t ch = c0 + t % WIDE;
        if (dx && ch < a.channels) {
            const real m = (real)mean[ch], i = (real)inv[ch],
                       k = (real)((double)scale[ch] * inv[ch]);
            const real g0 = a.batch ? (real)(sum[t % WIDE] / (double)n) : 0,
                       g1 = a.batch ? (real)(dot[t % WIDE] / (double)n) : 0;
            if (keeps(&a, n)) {
                HN_UNROLL
                for (int e = 0; e < KEEP; e++) {
                    const struct terms v = HN_MINE(kept, t)[e];
                    const real g = k * (v.g - g0 - v.x * i * g1);
                    const int64_t at = own(t, e) * a.channels + ch;
                    if (own(t, e) < n) dx[at] = a.acc & 1 ? dx[at] + g : g;
                }
            }
            for (int64_t j = t / WIDE; !keeps(&a, n) && j < n; j += LANES) {
                const int64_t at = place(&a, ch, j);
                const struct terms e = terms_at(dy, relu, x, m, at);
                const real g = k * (e.g - g0 - e.x * i * g1);
                dx[at] = a.acc & 1 ? dx[at] + g : g;
            }
        }
    }
    HN_EACH(t)
    if (t < WIDE && c0 + t < a.channels)
        channel_back(&a, HN_Z, c0 + t, sum[t], dot[t], (double)scale[c0 + t] * inv[c0 + t],
                     inv[c0 + t]);
}

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
