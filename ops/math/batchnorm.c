/* SPDX-License-Identifier: MIT
 *
 * BatchNorm over channel axis 1 (a rank-1 x has one channel): y = scale * (x - m) / sqrt(v + eps) + bias. m and v are
 * the batch's mean and population variance, or the running ones, by mode and call.train. With update_state the running
 * values take in the batch: running = momentum * running + (1 - momentum) * batch, where the running variance gets
 * N/(N-1) of the batch's (factor 1 at N = 1) unless `population`. Outputs 1 and 2, where present, are the running mean
 * and variance after that update, whether or not it is stored (ONNX's training form); they have no gradient.
 * save[0], save[1]: m and 1/sqrt(v + eps) of each channel, in double. update_state is set by an executor only where
 * inputs 3 and 4 are STATE. */
#include "ops/math/row.h"
#include <math.h>

struct sizes { /* x[o, ch, i] is at (o * channels + ch) * inner + i */
    int64_t outer, channels, inner, count;
};

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_extent *x = &c->xs[0];
    struct sizes s = { .outer = x->d[0], .channels = x->rank > 1 ? x->d[1] : 1, .inner = 1 };
    s.inner = hn_span(x, 2, x->rank);
    s.count = s.outer * s.inner;
    return s;
}

static int by_batch(const struct hn_call *c)
{
    const struct hn_batchnorm *b = c->op->attrs;
    return b->mode == 2 || (b->mode == 0 && c->train);
}

static hone_status batchnorm_shape(const struct hn_op *op, const struct hn_shape *xs,
                                   struct hn_shape *ys, const char *where, hone_error *err)
{
    static const char *const names[] = { "x", "scale", "bias", "mean", "variance" };
    char tx[128], ts[128];
    struct hn_dim channels = { 0, 1 };
    if (xs[0].rank > 1) channels = xs[0].d[1];
    if (xs[0].rank < 1 || channels.per_row)
        return hn_fail(err, HONE_E_MODEL, where,
                       "BatchNormalization: x is %s, wanted [batch,channels,...]",
                       hn_shape_text(&xs[0], tx, sizeof tx));
    for (int i = 1; i < 5; i++) {
        if (!hn_has(op, i) || !hn_same_dim(hn_shape_count(&xs[i]), channels))
            return hn_fail(err, HONE_E_MODEL, where,
                           "BatchNormalization: %s is %s, wanted %lld elements for x %s", names[i],
                           hn_has(op, i) ? hn_shape_text(&xs[i], ts, sizeof ts) : "absent",
                           (long long)channels.fixed, hn_shape_text(&xs[0], tx, sizeof tx));
    }
    ys[0] = xs[0];
    for (int i = 1; i < op->n_out; i++) ys[i] = xs[2 + i];
    return HONE_OK;
}

static void batchnorm_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op;
    int64_t bytes = 8 * (xs[0].rank > 1 ? xs[0].d[1].fixed : 1);
    need->x = 1 | 2;
    need->n_save = 2;
    need->save[0] = need->save[1] = (struct hn_dim){ 0, bytes };
}

static void moments(const struct sizes *s, const double *x, int64_t ch, double *mean, double *var)
{
    double sum = 0, squares = 0;
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < s->inner; i++) sum += x[(o * s->channels + ch) * s->inner + i];
    *mean = s->count > 0 ? sum / (double)s->count : 0;
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < s->inner; i++) {
            double d = x[(o * s->channels + ch) * s->inner + i] - *mean;
            squares += d * d;
        }
    *var = s->count > 0 ? squares / (double)s->count : 0;
}

/* Where the running values of a channel would be after this batch. One value says nothing of the variance of those it was
 * drawn from. */
static void running_after(const struct hn_call *c, int64_t count, int64_t ch, double mean[1],
                          double var[1])
{
    const struct hn_batchnorm *b = c->op->attrs;
    const double before = hn_ptr(c->x, 4)[ch];
    *mean = b->momentum * hn_ptr(c->x, 3)[ch] + (1 - b->momentum) * *mean;
    if (!b->population) *var = count > 1 ? *var * (double)count / (double)(count - 1) : before;
    *var = b->momentum * before + (1 - b->momentum) * *var;
}

static void batchnorm_forward(const struct hn_call *c)
{
    const struct hn_batchnorm *b = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const double *x = c->x[0], *scale = c->x[1], *bias = c->x[2];
    double *rm = c->x[3], *rv = c->x[4], *y = c->y[0];
    int batch = by_batch(c);
    for (int64_t ch = 0; ch < s.channels; ch++) {
        double mean = rm[ch], var = rv[ch];
        if (batch) moments(&s, x, ch, &mean, &var);
        double inv = 1 / sqrt(var + b->eps), after_mean = mean, after_var = var;
        hn_ptr(c->save, 0)[ch] = mean;
        hn_ptr(c->save, 1)[ch] = inv;
        for (int64_t o = 0; o < s.outer; o++)
            for (int64_t i = 0; i < s.inner; i++) {
                int64_t at = (o * s.channels + ch) * s.inner + i;
                y[at] = scale[ch] * ((x[at] - mean) * inv) + bias[ch];
            }
        if (batch) running_after(c, s.count, ch, &after_mean, &after_var);
        if (batch && c->update_state) rm[ch] = after_mean, rv[ch] = after_var;
        if (c->op->n_out > 1 && c->y[1]) hn_ptr(c->y, 1)[ch] = after_mean;
        if (c->op->n_out > 2 && c->y[2]) hn_ptr(c->y, 2)[ch] = after_var;
    }
}

/* With h = (x - m) * inv:  dbias = sum dy,  dscale = sum dy * h,
 * batch statistics:    dx = scale * inv * (dy - dbias / count - h * dscale / count)
 * running statistics:  dx = scale * inv * dy,  dm = -scale * inv * dbias,  dv = -scale * inv^2 * dscale / 2 */
static void batchnorm_backward(const struct hn_call *c)
{
    const struct sizes s = sizes_of(c);
    const double *x = c->x[0], *scale = c->x[1], *mean = c->save[0], *inv = c->save[1],
                 *dy = c->dy[0];
    double *dx = c->dx[0], *dscale = hn_grad(c, 1), *dbias = hn_grad(c, 2), *dm = hn_grad(c, 3),
           *dv = hn_grad(c, 4);
    int batch = by_batch(c);
    for (int64_t ch = 0; dy && ch < s.channels; ch++) {
        double sum = 0, dot = 0, k = scale[ch] * inv[ch], n = (double)s.count;
        for (int64_t o = 0; o < s.outer; o++)
            for (int64_t i = 0; i < s.inner; i++) {
                int64_t at = (o * s.channels + ch) * s.inner + i;
                sum += dy[at];
                dot += dy[at] * ((x[at] - mean[ch]) * inv[ch]);
            }
        for (int64_t o = 0; dx && o < s.outer; o++)
            for (int64_t i = 0; i < s.inner; i++) {
                int64_t at = (o * s.channels + ch) * s.inner + i;
                double h = (x[at] - mean[ch]) * inv[ch];
                double g = batch ? k * (dy[at] - sum / n - h * dot / n) : k * dy[at];
                dx[at] = (hn_adds(c, 0) ? dx[at] : 0) + g;
            }
        if (dscale) dscale[ch] += dot;
        if (dbias) dbias[ch] += sum;
        if (dm && !batch) dm[ch] -= k * sum;
        if (dv && !batch) dv[ch] -= 0.5 * k * inv[ch] * dot;
    }
    if (!dy && dx) hn_grad(c, 0);
}

static const struct hn_batchnorm usual = { 1e-5, 0.9, 0, 0 }, wide_eps = { 1e-1, 0.3, 0, 1 },
                                 frozen = { 1e-5, 0.9, 1, 0 }, always = { 1e-3, 0.9, 2, 0 },
                                 still = { 1e-5, 1.0, 0, 0 }, last = { 1e-5, 0.0, 0, 0 };
#define CASE(label, attrs, shape, ch, train)                                                       \
    {                                                                                              \
        label, attrs, 5,                                                                           \
            { shape, HN_S1(HN_D(ch)), HN_S1(HN_D(ch)), HN_S1(HN_D(ch)), HN_S1(HN_D(ch)) },         \
            { HN_ACT, HN_PARAM, HN_PARAM, HN_STATE, HN_STATE }, { 0, 0, 0, 0, 1 }, train           \
    }
#define ROWS_OF_THREE                                                                              \
    {                                                                                              \
        3, 0                                                                                       \
    }
static const struct hn_sample samples[] = {
    CASE("batch statistics", &usual, HN_S2(HN_ROWS, HN_D(7)), 7, 1),
    CASE("inference", &usual, HN_S2(HN_ROWS, HN_D(7)), 7, 0),
    CASE("large eps, population variance", &wide_eps, HN_S2(HN_ROWS, HN_D(3)), 3, 1),
    CASE("frozen", &frozen, HN_S2(HN_ROWS, HN_D(5)), 5, 1),
    CASE("always the batch", &always, HN_S2(HN_ROWS, HN_D(5)), 5, 0),
    CASE("momentum 1", &still, HN_S2(HN_ROWS, HN_D(4)), 4, 1),
    CASE("momentum 0", &last, HN_S2(HN_ROWS, HN_D(4)), 4, 1),
    CASE("rank 1", &usual, HN_S1(HN_ROWS), 1, 1),
    CASE("rank 3", &usual, HN_S3(HN_ROWS, HN_D(3), HN_D(5)), 3, 1),
    CASE("rank 4", &usual, HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(2)), 2, 1),
    CASE("rank 4, inference", &usual, HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(2)), 2, 0),
    CASE("rows of several places", &usual, HN_S2(ROWS_OF_THREE, HN_D(5)), 5, 1),
    CASE("one channel", &usual, HN_S2(HN_ROWS, HN_D(1)), 1, 1),
    { "constant scale",
      &usual,
      5,
      { HN_S2(HN_ROWS, HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)) },
      { HN_ACT, HN_CONST, HN_CONST, HN_STATE, HN_STATE },
      { 0, 0, 0, 0, 1 },
      1 },
    { "running values with gradients",
      &frozen,
      5,
      { HN_S2(HN_ROWS, HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)) },
      { HN_ACT, HN_PARAM, HN_PARAM, HN_ACT, HN_ACT },
      { 0, 0, 0, 0, 1 },
      0 },
    { 0 },
};
#undef CASE
#undef ROWS_OF_THREE

const struct hn_op_row hn_op_batchnorm = {
    .name = "batchnorm",
    .attrs_size = sizeof(struct hn_batchnorm),
    .in_min = 5,
    .in_max = 5,
    .out_max = 3,
    .shape = batchnorm_shape,
    .need = batchnorm_need,
    .forward = batchnorm_forward,
    .backward = batchnorm_backward,
    .samples = samples,
    .tolerance = 1e-4,
};
