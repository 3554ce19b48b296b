/* SPDX-License-Identifier: MIT
 *
 * Losses by element, the mean over a row's elements: binary cross-entropy (loss_bce) and squared, absolute and Huber
 * error (loss_regression). With p the prediction, t the target, d = p - t:
 *     bce from logits         max(p,0) - p t + log(1 + e^-|p|)                    sigmoid(p) - t
 *     bce from probabilities  -t log p - (1 - t) log(1 - p), logs not below -100  (p - t) / max(p (1 - p), 1e-12)
 *     mse                     d^2                                                 2 d
 *     mae                     |d|                                                 sign d
 *     huber                   d^2 / 2 if |d| < delta, else delta (|d| - delta/2)  d, else delta sign d */
#include "ops/math/loss.h"
#include <math.h>

static double log_not_below(double x)
{
    double l = log(x);
    return l < -100 ? -100 : l;
}

static double bce_value(const struct hn_loss *a, double p, double t)
{
    if (a->from_logits) return (p > 0 ? p : 0) - p * t + log1p(exp(-fabs(p)));
    return -t * log_not_below(p) - (1 - t) * log_not_below(1 - p);
}

static double bce_slope(const struct hn_loss *a, double p, double t)
{
    if (a->from_logits) {
        double e = exp(-fabs(p));
        return (p < 0 ? e : 1) / (1 + e) - t;
    }
    double v = p * (1 - p);
    return (p - t) / (v < 1e-12 ? 1e-12 : v);
}

enum { MSE, MAE, HUBER };

static double regression_value(const struct hn_loss *a, double p, double t)
{
    double d = p - t, m = fabs(d);
    if (a->kind == MSE) return d * d;
    if (a->kind == MAE) return m;
    return m < a->delta ? 0.5 * d * d : a->delta * (m - 0.5 * a->delta);
}

static double regression_slope(const struct hn_loss *a, double p, double t)
{
    double d = p - t, sign = (d > 0) - (d < 0);
    if (a->kind == MSE) return 2 * d;
    if (a->kind == MAE) return sign;
    return fabs(d) < a->delta ? d : a->delta * sign;
}

static void need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *n)
{
    (void)op, (void)xs;
    n->x = 1 | 2 | 4;
}

static hone_status regression_shape(const struct hn_op *op, const struct hn_shape *xs,
                                    struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_loss *a = op->attrs;
    if (a->kind < MSE || a->kind > HUBER)
        return hn_fail(err, HONE_E_INTERNAL, where, "regression loss: kind %d is unknown", a->kind);
    if (a->kind == HUBER && !(a->delta > 0))
        return hn_fail(err, HONE_E_USAGE, where, "Huber loss: delta is %g, wanted more than 0",
                       a->delta);
    return hn_loss_shape_elements(op, xs, ys, where, err);
}

typedef double element(const struct hn_loss *a, double p, double t);

static void forward(const struct hn_call *c, element *value)
{
    const double *p = c->x[0], *t = c->x[1];
    struct hn_loss_rows r;
    hn_loss_rows_of(c, 0, &r);
    for (int64_t i = 0; i < r.rows; i++) {
        double sum = 0;
        for (int64_t k = i * r.cols; k < (i + 1) * r.cols; k++)
            sum += value(c->op->attrs, p[k], t[k]);
        c->loss[0] += hn_loss_weight(&r, i) * sum / (double)r.cols;
        c->loss[1] += hn_loss_weight(&r, i);
    }
}

/* dp += w / cols * slope(p, t) */
static void backward(const struct hn_call *c, element *slope)
{
    const double *p = c->x[0], *t = c->x[1];
    struct hn_loss_rows r;
    hn_loss_rows_of(c, 0, &r);
    double *dp = hn_grad(c, 0), scale = hn_loss_scale(c, &r) / (double)r.cols;
    for (int64_t i = 0; dp && i < r.rows; i++)
        for (int64_t k = i * r.cols; k < (i + 1) * r.cols; k++)
            dp[k] += scale * hn_loss_weight(&r, i) * slope(c->op->attrs, p[k], t[k]);
}

static void bce_forward(const struct hn_call *c) { forward(c, bce_value); }
static void bce_backward(const struct hn_call *c) { backward(c, bce_slope); }
static void regression_forward(const struct hn_call *c) { forward(c, regression_value); }
static void regression_backward(const struct hn_call *c) { backward(c, regression_slope); }

static const struct hn_loss logits = { .weight = 1, .from_logits = 1 },
                            logits_2 = { .weight = 2, .from_logits = 1 }, probs = { .weight = 1 },
                            mse = { .weight = 1 }, mae = { .weight = 0.7, .kind = MAE },
                            huber = { .weight = 1, .kind = HUBER, .delta = 1 },
                            huber_small = { .weight = 1, .kind = HUBER, .delta = 0.3 };
#define P3 HN_S2(HN_ROWS, HN_D(3))
#define KINDS                                                                                      \
    {                                                                                              \
        HN_ACT, HN_TARGET, HN_TARGET                                                               \
    }
#define CASE(label, a, shape, vp, vt)                                                              \
    {                                                                                              \
        label, a, 2, { shape, shape }, KINDS, { vp, vt }, 1                                        \
    }
#define WEIGHTED(label, a, vp, vt)                                                                 \
    {                                                                                              \
        label ", weights", a, 3, { P3, P3, HN_S1(HN_ROWS) }, KINDS, { vp, vt, 1 }, 1               \
    }
static const struct hn_sample bce_samples[] = {
    CASE("logits", &logits, P3, 0, 4),
    CASE("logits, soft", &logits_2, P3, 0, 3),
    WEIGHTED("logits", &logits, 0, 4),
    CASE("probabilities", &probs, P3, 3, 4),
    WEIGHTED("probabilities", &probs, 3, 3),
    CASE("logits, rank 1", &logits, HN_S1(HN_ROWS), 0, 4),
    { "logits, [N,1] against [N]",
      &logits,
      2,
      { HN_S2(HN_ROWS, HN_D(1)), HN_S1(HN_ROWS) },
      KINDS,
      { 0, 4 },
      1 },
    CASE("logits, rank 3", &logits, HN_S3(HN_ROWS, HN_D(2), HN_D(2)), 0, 4),
    { 0 },
};
static const struct hn_sample regression_samples[] = {
    CASE("mse", &mse, P3, 0, 0),
    WEIGHTED("mse", &mse, 0, 0),
    CASE("mae", &mae, P3, 0, 0),
    WEIGHTED("mae", &mae, 0, 0),
    CASE("huber", &huber, P3, 0, 0),
    CASE("huber, delta 0.3", &huber_small, P3, 0, 0),
    WEIGHTED("huber", &huber_small, 0, 0),
    CASE("mse, rank 1", &mse, HN_S1(HN_ROWS), 0, 0),
    CASE("mse, rank 3", &mse, HN_S3(HN_ROWS, HN_D(2), HN_D(5)), 0, 0),
    { 0 },
};
#undef WEIGHTED
#undef CASE
#undef KINDS
#undef P3

const struct hn_op_row hn_op_loss_bce = {
    .name = "loss_bce",
    .flags = HN_OP_LOSS,
    .attrs_size = sizeof(struct hn_loss),
    .in_min = 2,
    .in_max = 3,
    .out_max = 0,
    .shape = hn_loss_shape_elements,
    .need = need,
    .forward = bce_forward,
    .backward = bce_backward,
    .samples = bce_samples,
    .tolerance = 2e-5,
};
const struct hn_op_row hn_op_loss_regression = {
    .name = "loss_regression",
    .flags = HN_OP_LOSS,
    .attrs_size = sizeof(struct hn_loss),
    .in_min = 2,
    .in_max = 3,
    .out_max = 0,
    .shape = regression_shape,
    .need = need,
    .forward = regression_forward,
    .backward = regression_backward,
    .samples = regression_samples,
    .tolerance = 2e-5,
};
