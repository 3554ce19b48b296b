/* SPDX-License-Identifier: MIT
 *
 * BatchNorm over channels (axis 1) and LayerNorm over the last dims. Sums are in double, per tile, added up in tile
 * order.
 *   BatchNorm  part: sums of x, x^2; join: mean, 1/sqrt(var + eps); main: y = (x - mean) inv scale + bias
 *              backward part: sums of dy and dy xhat; join: dbias, dscale;
 *              main: dx = scale inv (dy - sum(dy)/n - xhat sum(dy xhat)/n), or scale inv dy on running statistics
 *   LayerNorm  per row: dx = inv (g - mean(g) - xhat mean(g xhat)), g = dy scale; dscale and dbias are late */
#include "ops/cpu/isa.h"
#include "ops/cpu/vmath.h"
#include <math.h>
#include <string.h>

enum { STRIP = 32 }; /* columns summed together in registers */

/* ---- BatchNorm ----------------------------------------------------------------------------------------------- */

struct layout { /* [n, channels, inner] */
    int64_t n, channels, inner;
};

static struct layout layout_of(const struct hn_call *c)
{
    const struct hn_extent *x = &c->xs[0];
    struct layout l = { x->d[0], x->rank > 1 ? x->d[1] : 1, 1 };
    for (int i = 2; i < x->rank; i++) l.inner *= x->d[i];
    return l;
}

/* save[0]: what join leaves for main, backward and commit. */
struct stats {
    double *mean, *var;
    float *fmean, *inv;
};

static struct stats stats_of(void *save, int64_t channels)
{
    struct stats s;
    s.mean = save;
    s.var = s.mean + channels;
    s.fmean = (float *)(s.var + channels);
    s.inv = s.fmean + channels;
    return s;
}

static int uses_batch(const struct hn_cpu_use *u)
{
    const struct hn_batchnorm *a = u->op->attrs;
    int training = u->pass == HN_PASS_TRAIN || u->pass == HN_PASS_GRAD || u->pass == HN_PASS_STATS;
    return a->mode == 2 || (a->mode == 0 && training);
}

static void batchnorm_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_shape *x = &u->xs[0];
    size_t channels = x->rank > 1 ? (size_t)x->d[1].fixed : 1;
    n->local = hn_cpu_batched(x) && u->op->n_out == 1;
    n->joined[0] = 1, n->joined[1] = 2;
    n->stats = (uint8_t)uses_batch(u);
    n->inplace = n->stats ? 2 : 3;
    n->main_x = 1 | 2 | 8 | 16;
    n->late = 2 | 4 | 8 | 16;
    n->part[0] = n->part[1] = 2 * channels;
    if (n->stats) {
        n->save_fixed[0] = channels * (2 * sizeof(double) + 2 * sizeof(float));
        n->save_fixed[1] = channels * 2 * sizeof(float);
    }
    n->scratch = channels * 2 * sizeof(float);
    n->cost = 8.0 * (double)hn_cpu_width(x);
}

/* sum[c] += x, sum[channels + c] += x * z over the tile, z = x or (z - mean) * inv. */
struct sums {
    const float *x, *z, *mean, *inv; /* mean NULL: z is x */
    double *sum;
    struct layout l;
};

static void sum_rows(const struct sums *s)
{
    const int64_t channels = s->l.channels;
    for (int64_t c0 = 0; c0 < channels; c0 += STRIP) {
        const int m = channels - c0 < STRIP ? (int)(channels - c0) : STRIP;
        double a[STRIP] = { 0 }, b[STRIP] = { 0 };
        float mean[STRIP] = { 0 }, inv[STRIP] = { 0 };
        for (int j = 0; s->mean && j < m; j++) mean[j] = s->mean[c0 + j], inv[j] = s->inv[c0 + j];
        for (int64_t r = 0; r < s->l.n; r++) {
            const float *restrict x = s->x + r * channels + c0, *restrict z =
                                                                    s->z + r * channels + c0;
            if (!s->mean && m == STRIP)
                for (int j = 0; j < STRIP; j++)
                    a[j] += (double)x[j], b[j] += (double)x[j] * (double)x[j];
            else if (!s->mean)
                for (int j = 0; j < m; j++)
                    a[j] += (double)x[j], b[j] += (double)x[j] * (double)x[j];
            else if (m == STRIP)
                for (int j = 0; j < STRIP; j++)
                    a[j] += (double)x[j], b[j] += (double)(x[j] * ((z[j] - mean[j]) * inv[j]));
            else
                for (int j = 0; j < m; j++)
                    a[j] += (double)x[j], b[j] += (double)(x[j] * ((z[j] - mean[j]) * inv[j]));
        }
        for (int j = 0; j < m; j++) s->sum[c0 + j] += a[j], s->sum[channels + c0 + j] += b[j];
    }
}

static void sum_planes(const struct sums *s)
{
    const struct layout l = s->l;
    for (int64_t i = 0; i < l.n * l.channels; i++) {
        const int64_t c = i % l.channels;
        const float *x = s->x + i * l.inner, *z = s->z + i * l.inner;
        double a = 0, b = 0;
        for (int64_t j = 0; j < l.inner; j++) {
            a += (double)x[j];
            b += s->mean ? (double)(x[j] * ((z[j] - s->mean[c]) * s->inv[c]))
                         : (double)x[j] * (double)x[j];
        }
        s->sum[c] += a, s->sum[l.channels + c] += b;
    }
}

static void batchnorm_part(const struct hn_cpu_call *k)
{
    struct sums s = { .x = k->c.x[0], .z = k->c.x[0], .sum = k->part, .l = layout_of(&k->c) };
    if (s.l.inner == 1)
        sum_rows(&s);
    else
        sum_planes(&s);
}

/* Elements of a channel in the whole batch. In a join, extents are those of the whole batch. */
static double per_channel(const struct hn_call *c)
{
    struct layout l = layout_of(c);
    return (double)(l.n * l.inner);
}

static double part_sum(const struct hn_cpu_call *k, int64_t stride, int64_t i)
{
    double s = 0;
    for (int t = 0; t < k->n_parts; t++) s += k->part[t * stride + i];
    return s;
}

static void batchnorm_join(const struct hn_cpu_call *k)
{
    const struct hn_batchnorm *a = k->c.op->attrs;
    int64_t channels = layout_of(&k->c).channels;
    struct stats s = stats_of(k->c.save[0], channels);
    double n = per_channel(&k->c);
    for (int64_t i = 0; i < channels; i++) {
        double mean = part_sum(k, 2 * channels, i) / n;
        double var = part_sum(k, 2 * channels, channels + i) / n - mean * mean;
        var = var < 0 ? 0 : var;
        s.mean[i] = mean, s.var[i] = var;
        s.fmean[i] = (float)mean, s.inv[i] = (float)(1 / sqrt(var + a->eps));
    }
}

/* Mean and 1/deviation of each channel: the batch's, or the running ones, into scratch. */
static void channel_stats(const struct hn_cpu_call *k, const float **mean, const float **inv)
{
    const struct hn_call *c = &k->c;
    const struct hn_batchnorm *a = c->op->attrs;
    int64_t channels = layout_of(c).channels;
    if (c->save[0]) {
        struct stats s = stats_of(c->save[0], channels);
        *mean = s.fmean, *inv = s.inv;
        return;
    }
    const float *var = c->x[4];
    float *t = k->scratch;
    for (int64_t i = 0; i < channels; i++) t[i] = (float)(1 / sqrt((double)var[i] + a->eps));
    *mean = c->x[3], *inv = t;
}

/* running = momentum * running + (1 - momentum) * batch; to may be the running values themselves. */
static void running_after(const struct hn_cpu_call *k, float *to_mean, float *to_var)
{
    const struct hn_call *c = &k->c;
    const struct hn_batchnorm *a = c->op->attrs;
    const float *mean = c->x[3], *var = c->x[4];
    struct layout l = layout_of(c);
    struct stats s = { 0 };
    double n = (double)k->total * (double)(c->rows ? l.n / c->rows : 0) * (double)l.inner;
    const int one = !a->population && n < 2; /* says nothing of the variance */
    double correct = a->population || one ? 1 : n / (n - 1);
    if (c->save[0]) s = stats_of(c->save[0], l.channels);
    for (int64_t i = 0; i < l.channels; i++) {
        double m = (double)mean[i], v = (double)var[i];
        if (to_mean)
            to_mean[i] = (float)(s.mean ? a->momentum * m + (1 - a->momentum) * s.mean[i] : m);
        if (to_var)
            to_var[i] =
                (float)(s.mean && !one ? a->momentum * v + (1 - a->momentum) * s.var[i] * correct
                                       : v);
    }
}

/* Outputs 1 and 2, where present: the running values as they would be after this batch. */
static void running_outputs(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    float *mean = c->op->n_out > 1 ? c->y[1] : NULL, *var = c->op->n_out > 2 ? c->y[2] : NULL;
    if (mean || var) running_after(k, mean, var);
}

static void batchnorm_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct layout l = layout_of(c);
    const float *mean, *inv, *scale = c->x[1], *bias = c->x[2], *x = c->x[0];
    float *y = c->y[0];
    channel_stats(k, &mean, &inv);
    if (k->row0 == 0) running_outputs(k);
    if (l.inner == 1) {
        for (int64_t r = 0; r < l.n; r++, x += l.channels, y += l.channels)
            for (int64_t i = 0; i < l.channels; i++)
                y[i] = hn_fma(x[i] - mean[i], inv[i] * scale[i], bias[i]);
        return;
    }
    for (int64_t p = 0; p < l.n * l.channels; p++, x += l.inner, y += l.inner) {
        const int64_t i = p % l.channels;
        for (int64_t j = 0; j < l.inner; j++)
            y[j] = hn_fma(x[j] - mean[i], inv[i] * scale[i], bias[i]);
    }
}

static void batchnorm_backward_part(const struct hn_cpu_call *k)
{
    struct sums s = { .x = k->c.dy[0], .z = k->c.x[0], .sum = k->part, .l = layout_of(&k->c) };
    channel_stats(k, &s.mean, &s.inv);
    if (s.l.inner == 1)
        sum_rows(&s);
    else
        sum_planes(&s);
}

static void batchnorm_backward_join(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    int64_t channels = layout_of(c).channels;
    const float *mean, *inv, *scale = c->x[1];
    float *ds = c->dx[1], *db = c->dx[2], *dm = c->dx[3], *dv = c->dx[4], *means = c->save[1];
    double n = per_channel(c);
    channel_stats(k, &mean, &inv);
    for (int64_t i = 0; i < channels; i++) {
        double sum = part_sum(k, 2 * channels, i),
               product = part_sum(k, 2 * channels, channels + i);
        if (db) db[i] = (float)sum + (c->acc & 4 ? db[i] : 0.0f);
        if (ds) ds[i] = (float)product + (c->acc & 2 ? ds[i] : 0.0f);
        double slope =
            c->save[0] ? 0 : (double)scale[i] * (double)inv[i]; /* batch statistics: no gradient */
        if (dm) dm[i] = (float)(-slope * sum) + (c->acc & 8 ? dm[i] : 0.0f);
        if (dv)
            dv[i] = (float)(-0.5 * slope * (double)inv[i] * product) + (c->acc & 16 ? dv[i] : 0.0f);
        if (means) means[i] = (float)(sum / n), means[channels + i] = (float)(product / n);
    }
}

static void batchnorm_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct layout l = layout_of(c);
    const float *mean, *inv, *scale = c->x[1], *x = c->x[0], *dy = c->dy[0], *m1 = c->save[1];
    const int add = (int)(c->acc & 1);
    float *dx = c->dx[0];
    if (!dx) return;
    channel_stats(k, &mean, &inv);
    const float *m2 = m1 ? m1 + l.channels : NULL;
    for (int64_t p = 0; p < l.n * (l.inner == 1 ? 1 : l.channels); p++) {
        /* inner 1: a row of channels; else: a plane of one channel, its statistics constant */
        const int64_t len = l.inner == 1 ? l.channels : l.inner, step = l.inner == 1,
                      at = step ? 0 : p % l.channels;
        const float *mu = mean + at, *iv = inv + at, *sc = scale + at;
        if (m1 && step && !add)
            for (int64_t i = 0; i < len; i++)
                dx[i] = (dy[i] - m1[i] - (x[i] - mu[i]) * iv[i] * m2[i]) * (iv[i] * sc[i]);
        else
            for (int64_t i = 0; i < len; i++) {
                const int64_t s = i * step;
                float g = m1 ? dy[i] - m1[at + s] - (x[i] - mu[s]) * iv[s] * m2[at + s] : dy[i];
                dx[i] = g * (iv[s] * sc[s]) + (add ? dx[i] : 0.0f);
            }
        x += len, dy += len, dx += len;
    }
}

static void batchnorm_commit(const struct hn_cpu_call *k)
{
    running_after(k, k->c.x[3], k->c.x[4]);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_batchnorm) = {
    .row = &hn_op_batchnorm,
    .need = batchnorm_need,
    .forward = { .part = batchnorm_part,
                 .join = batchnorm_join,
                 .main = batchnorm_forward,
                 .commit = batchnorm_commit },
    .backward = { .part = batchnorm_backward_part,
                  .join = batchnorm_backward_join,
                  .main = batchnorm_backward },
};

/* ---- LayerNorm ----------------------------------------------------------------------------------------------- */

static int64_t norm_width(const struct hn_call *c)
{
    const struct hn_layernorm *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0];
    int64_t n = 1;
    for (int i = x->rank - a->axes; i < x->rank; i++) n *= x->d[i];
    return n;
}

static void layernorm_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_layernorm *a = u->op->attrs;
    const struct hn_shape *x = &u->xs[0];
    struct hn_shape lead = *x;
    size_t width = 1;
    for (int i = x->rank - a->axes; i < x->rank; i++) width *= (size_t)x->d[i].fixed;
    lead.rank -= a->axes;
    struct hn_dim rows = hn_shape_count(&lead);
    n->local = hn_cpu_batched(x) && a->axes < x->rank;
    n->inplace = 2;
    n->main_x = 1 | 2;
    n->late_x = 1;
    n->late = 2 | 4;
    n->save_per8[0] = (size_t)rows.per_row * 8 * 2 * sizeof(float);
    n->save_fixed[0] = (size_t)rows.fixed * 2 * sizeof(float);
    n->scratch = width * 2 * sizeof(double);
    n->cost = 10.0 * (double)hn_cpu_width(x);
}

/* save[0]: mean and 1/deviation of every row */
static void layernorm_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_layernorm *a = c->op->attrs;
    const int64_t w = norm_width(c), rows = w ? hn_extent_numel(&c->xs[0]) / w : 0;
    const float *x = c->x[0], *scale = c->x[1], *bias = c->op->n_in > 2 ? c->x[2] : NULL;
    float *y = c->y[0], *save = c->save[0];
    for (int64_t r = 0; r < rows; r++, x += w, y += w) {
        double sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < w; i++) sum += (double)x[i];
        const double mean = sum / (double)w;
#pragma omp simd reduction(+ : square)
        for (int64_t i = 0; i < w; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean);
        const float m = (float)mean, inv = (float)(1 / sqrt(square / (double)w + a->eps));
        if (save) save[2 * r] = m, save[2 * r + 1] = inv;
        if (bias)
            for (int64_t i = 0; i < w; i++) y[i] = hn_fma((x[i] - m) * inv, scale[i], bias[i]);
        else
            for (int64_t i = 0; i < w; i++) y[i] = (x[i] - m) * inv * scale[i];
    }
}

static void layernorm_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const int64_t w = norm_width(c), rows = w ? hn_extent_numel(&c->xs[0]) / w : 0;
    const float *x = c->x[0], *scale = c->x[1], *dy = c->dy[0], *save = c->save[0];
    const int add = (int)(c->acc & 1);
    float *dx = c->dx[0];
    for (int64_t r = 0; dx && r < rows; r++, x += w, dy += w, dx += w) {
        const float m = save[2 * r], inv = save[2 * r + 1];
        double s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s1, s2)
        for (int64_t i = 0; i < w; i++) {
            double g = (double)dy[i] * (double)scale[i];
            s1 += g;
            s2 += g * (double)((x[i] - m) * inv);
        }
        const float m1 = (float)(s1 / (double)w), m2 = (float)(s2 / (double)w);
        if (add)
            for (int64_t i = 0; i < w; i++)
                dx[i] += inv * (dy[i] * scale[i] - m1 - (x[i] - m) * inv * m2);
        else
            for (int64_t i = 0; i < w; i++)
                dx[i] = inv * (dy[i] * scale[i] - m1 - (x[i] - m) * inv * m2);
    }
}

static void layernorm_late(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const int64_t w = norm_width(c), rows = w ? hn_extent_numel(&c->xs[0]) / w : 0;
    const float *x = c->x[0], *dy = c->dy[0], *save = c->save[0];
    float *ds = c->dx[1], *db = c->op->n_in > 2 ? c->dx[2] : NULL;
    double *product = k->scratch, *sum = product + w;
    memset(product, 0, (size_t)w * 2 * sizeof *product);
    for (int64_t r = 0; r < rows; r++, x += w, dy += w) {
        const float m = save[2 * r], inv = save[2 * r + 1];
        for (int64_t i = 0; i < w; i++) {
            product[i] += (double)(dy[i] * ((x[i] - m) * inv));
            sum[i] += (double)dy[i];
        }
    }
    for (int64_t i = 0; ds && i < w; i++) ds[i] = (float)product[i] + (c->acc & 2 ? ds[i] : 0.0f);
    for (int64_t i = 0; db && i < w; i++) db[i] = (float)sum[i] + (c->acc & 4 ? db[i] : 0.0f);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_layernorm) = {
    .row = &hn_op_layernorm,
    .need = layernorm_need,
    .forward = { .main = layernorm_forward },
    .backward = { .main = layernorm_backward, .late = layernorm_late },
};
