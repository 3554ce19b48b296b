/* SPDX-License-Identifier: MIT
 *
 * Cross-entropy from logits (loss_ce) and from log-probabilities (loss_nll). With t the class of a row, or its soft
 * labels t_c when dense:
 *     ce:  l = lse(x) - x_t   or  sum_c t_c (lse(x) - x_c)      nll:  l = -x_t  or  -sum_c t_c x_c
 * A class index outside the prediction makes the row's loss NaN. ce saves lse(x) = log sum_c e^x_c of each row. */
#include "ops/math/loss.h"
#include <math.h>

static void ce_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op;
    struct hn_shape lead = xs[0];
    lead.rank = xs[0].rank - 1;
    struct hn_dim rows = hn_shape_count(&lead);
    need->x = 1 | 2 | 4;
    need->n_save = 1;
    need->save[0] = (struct hn_dim){ 8 * rows.per_row, 8 * rows.fixed };
}

static void nll_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->x = 2 | 4;
}

static double log_sum_exp(const double *x, int64_t n)
{
    double top = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - top);
    return top + log(sum);
}

/* The loss of one row: lse is 0 for nll. */
static double row_loss(const struct hn_call *c, const struct hn_loss_rows *r, int64_t row,
                       double lse)
{
    const struct hn_loss *a = c->op->attrs;
    const double *x = hn_ptr(c->x, 0) + row * r->cols, *t = c->x[1];
    if (!a->dense) {
        int64_t k = hn_loss_class(t, row, r->cols);
        return k < 0 ? (double)NAN : lse - x[k];
    }
    double sum = 0;
    for (int64_t k = 0; k < r->cols; k++)
        if (t[row * r->cols + k] != 0) sum += t[row * r->cols + k] * (lse - x[k]);
    return sum;
}

static void ce_forward(const struct hn_call *c)
{
    struct hn_loss_rows r;
    hn_loss_rows_of(c, 1, &r);
    double *lse = c->save[0];
    for (int64_t i = 0; i < r.rows; i++) {
        lse[i] = log_sum_exp(hn_ptr(c->x, 0) + i * r.cols, r.cols);
        c->loss[0] += hn_loss_weight(&r, i) * row_loss(c, &r, i, lse[i]);
        c->loss[1] += hn_loss_weight(&r, i);
    }
}

static void nll_forward(const struct hn_call *c)
{
    struct hn_loss_rows r;
    hn_loss_rows_of(c, 1, &r);
    for (int64_t i = 0; i < r.rows; i++) {
        c->loss[0] += hn_loss_weight(&r, i) * row_loss(c, &r, i, 0);
        c->loss[1] += hn_loss_weight(&r, i);
    }
}

/* ce: dx_c += w (e^(x_c - lse) sum_k t_k - t_c)   nll: dx_c += -w t_c,  with t one-hot for a class index */
static void classes_backward(const struct hn_call *c, int from_logits)
{
    const struct hn_loss *a = c->op->attrs;
    const double *x = c->x[0], *t = c->x[1], *lse = from_logits ? c->save[0] : NULL;
    struct hn_loss_rows r;
    hn_loss_rows_of(c, 1, &r);
    double *dx = hn_grad(c, 0), scale = hn_loss_scale(c, &r);
    for (int64_t i = 0; dx && i < r.rows; i++) {
        double w = scale * hn_loss_weight(&r, i), total = 1;
        int64_t k = a->dense ? 0 : hn_loss_class(t, i, r.cols), at = i * r.cols;
        if (k < 0) continue;
        if (a->dense) total = 0;
        for (int64_t j = 0; a->dense && j < r.cols; j++) total += t[at + j];
        for (int64_t j = 0; j < r.cols; j++) {
            double label = a->dense ? t[at + j] : j == k;
            dx[at + j] += w * ((from_logits ? exp(x[at + j] - lse[i]) * total : 0) - label);
        }
    }
}

static void ce_backward(const struct hn_call *c) { classes_backward(c, 1); }
static void nll_backward(const struct hn_call *c) { classes_backward(c, 0); }

static const struct hn_loss plain = { .weight = 1 }, third = { .weight = 0.3 },
                            soft = { .weight = 1, .dense = 1 },
                            soft_half = { .weight = 0.5, .dense = 1 };
#define X10 HN_S2(HN_ROWS, HN_D(10))
#define KINDS                                                                                      \
    {                                                                                              \
        HN_ACT, HN_TARGET, HN_TARGET                                                               \
    }
#define SAMPLES                                                                                      \
    { "classes", &plain, 2, { X10, HN_S1(HN_ROWS) }, KINDS, { 0, 2 }, 1 },                           \
        { "classes [N,1]", &third, 2, { X10, HN_S2(HN_ROWS, HN_D(1)) }, KINDS, { 0, 2 }, 1 },        \
        { "classes, weights", &plain, 3, { X10, HN_S1(HN_ROWS), HN_S1(HN_ROWS) }, KINDS,             \
          { 0, 2, 1 },        1 },                                                                   \
        { "soft labels", &soft, 2, { X10, X10 }, KINDS, { 0, 3 }, 1 },                               \
        { "soft labels, weights",                                                                    \
          &soft_half,                                                                                \
          3,                                                                                         \
          { X10, X10, HN_S2(HN_ROWS, HN_D(1)) },                                                     \
          KINDS,                                                                                     \
          { 0, 3, 1 },                                                                               \
          1 },                                                                                       \
        { "one class", &plain, 2, { HN_S2(HN_ROWS, HN_D(1)), HN_S1(HN_ROWS) }, KINDS, { 0, 2 }, 1 }, \
        { "two classes",                                                                             \
          &third,                                                                                    \
          3,                                                                                         \
          { HN_S2(HN_ROWS, HN_D(2)), HN_S1(HN_ROWS), HN_S1(HN_ROWS) },                               \
          KINDS,                                                                                     \
          { 0, 2, 1 },                                                                               \
          1 },                                                                                       \
        { "rank 3, weights",                                                                         \
          &plain,                                                                                    \
          3,                                                                                         \
          { HN_S3(HN_ROWS, HN_D(3), HN_D(4)), HN_S2(HN_ROWS, HN_D(3)), HN_S1(HN_ROWS) },             \
          KINDS,                                                                                     \
          { 0, 2, 1 },                                                                               \
          1 },                                                                                       \
        { "evaluation", &plain, 2, { X10, HN_S1(HN_ROWS) }, KINDS, { 0, 2 }, 0 },                    \
    {                                                                                                \
        0                                                                                            \
    }
static const struct hn_sample ce_samples[] = { SAMPLES }, nll_samples[] = { SAMPLES };
#undef SAMPLES
#undef KINDS
#undef X10

const struct hn_op_row hn_op_loss_ce = {
    .name = "loss_ce",
    .flags = HN_OP_LOSS,
    .attrs_size = sizeof(struct hn_loss),
    .in_min = 2,
    .in_max = 3,
    .out_max = 0,
    .shape = hn_loss_shape_classes,
    .need = ce_need,
    .forward = ce_forward,
    .backward = ce_backward,
    .samples = ce_samples,
    .tolerance = 2e-5,
};
const struct hn_op_row hn_op_loss_nll = {
    .name = "loss_nll",
    .flags = HN_OP_LOSS,
    .attrs_size = sizeof(struct hn_loss),
    .in_min = 2,
    .in_max = 3,
    .out_max = 0,
    .shape = hn_loss_shape_classes,
    .need = nll_need,
    .forward = nll_forward,
    .backward = nll_backward,
    .samples = nll_samples,
    .tolerance = 2e-5,
};
