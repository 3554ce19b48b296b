/* SPDX-License-Identifier: MIT
 *
 * LayerNorm over the last `axes` dims (n elements together): h = (x - mean) / sqrt(var + eps), population variance;
 * y = scale * h + bias, where scale and bias have n elements and bias may be absent.
 * save[0], save[1]: mean and 1/sqrt(var + eps) of each group, in double. */
#include "ops/math/row.h"
#include <math.h>

static hone_status layernorm_shape(const struct hn_op *op, const struct hn_shape *xs,
                                   struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_layernorm *l = op->attrs;
    char tx[128], ts[128];
    if (l->axes < 1 || l->axes > xs[0].rank)
        return hn_fail(err, HONE_E_MODEL, where, "LayerNormalization over the last %d dims of x %s",
                       l->axes, hn_shape_text(&xs[0], tx, sizeof tx));
    struct hn_shape tail = { .rank = l->axes };
    for (int i = 0; i < l->axes; i++) tail.d[i] = xs[0].d[xs[0].rank - l->axes + i];
    struct hn_dim n = hn_shape_count(&tail);
    if (n.per_row != 0 || n.fixed < 0)
        return hn_fail(
            err, HONE_E_UNSUPPORTED, where,
            "LayerNormalization over the last %d dims of x %s would mix the rows of a batch",
            l->axes, hn_shape_text(&xs[0], tx, sizeof tx));
    for (int i = 1; i < 3; i++)
        if (hn_has(op, i) && !hn_same_dim(hn_shape_count(&xs[i]), n))
            return hn_fail(err, HONE_E_MODEL, where,
                           "LayerNormalization: %s is %s, wanted %lld elements",
                           i == 1 ? "scale" : "bias", hn_shape_text(&xs[i], ts, sizeof ts),
                           (long long)n.fixed);
    ys[0] = xs[0];
    return HONE_OK;
}

static void layernorm_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    const struct hn_layernorm *l = op->attrs;
    struct hn_shape head = xs[0];
    head.rank -= l->axes;
    struct hn_dim groups = hn_shape_count(&head);
    need->x = 1 | 2;
    need->n_save = 2;
    need->save[0] = need->save[1] = (struct hn_dim){ 8 * groups.per_row, 8 * groups.fixed };
}

static void layernorm_forward(const struct hn_call *c)
{
    const struct hn_layernorm *l = c->op->attrs;
    const struct hn_extent *e = &c->xs[0];
    int64_t groups = hn_span(e, 0, e->rank - l->axes), n = hn_span(e, e->rank - l->axes, e->rank);
    const double *x = c->x[0], *scale = c->x[1], *bias = hn_has(c->op, 2) ? c->x[2] : NULL;
    double *y = c->y[0], *save_mean = c->save[0], *save_inv = c->save[1];
    for (int64_t g = 0; g < groups; g++, x += n, y += n) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) sum += x[i];
        double mean = sum / (double)n;
        for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
        double inv = 1 / sqrt(squares / (double)n + l->eps);
        for (int64_t i = 0; i < n; i++)
            y[i] = scale[i] * ((x[i] - mean) * inv) + (bias ? bias[i] : 0);
        save_mean[g] = mean, save_inv[g] = inv;
    }
}

/* dscale[i] += sum_g dy h;  dbias[i] += sum_g dy;  with t = dy * scale:  dx += inv * (t - mean(t) - h * mean(t h)) */
static void layernorm_backward(const struct hn_call *c)
{
    const struct hn_layernorm *l = c->op->attrs;
    const struct hn_extent *e = &c->xs[0];
    int64_t groups = hn_span(e, 0, e->rank - l->axes), n = hn_span(e, e->rank - l->axes, e->rank);
    const double *x = c->x[0], *scale = c->x[1], *means = c->save[0], *invs = c->save[1],
                 *dy = c->dy[0];
    double *dx = hn_grad(c, 0), *dscale = hn_grad(c, 1),
           *dbias = hn_has(c->op, 2) ? hn_grad(c, 2) : NULL;
    for (int64_t g = 0; g < groups; g++, x += n, dy += n) {
        double t = 0, th = 0, mean = means[g], inv = invs[g];
        for (int64_t i = 0; i < n; i++) {
            double h = (x[i] - mean) * inv;
            t += dy[i] * scale[i] / (double)n;
            th += dy[i] * scale[i] * h / (double)n;
            if (dscale) dscale[i] += dy[i] * h;
            if (dbias) dbias[i] += dy[i];
        }
        for (int64_t i = 0; dx && i < n; i++)
            dx[g * n + i] += inv * (dy[i] * scale[i] - t - (x[i] - mean) * inv * th);
    }
}

static const struct hn_layernorm one = { 1e-5, 1 }, two = { 1e-3, 2 }, three = { 1e-5, 3 };
static const struct hn_sample samples[] = {
    { "last dim",
      &one,
      3,
      { HN_S2(HN_ROWS, HN_D(9)), HN_S1(HN_D(9)), HN_S1(HN_D(9)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "no bias",
      &one,
      2,
      { HN_S2(HN_ROWS, HN_D(8)), HN_S1(HN_D(8)) },
      { HN_ACT, HN_PARAM },
      { 0 },
      1 },
    { "inference",
      &one,
      3,
      { HN_S2(HN_ROWS, HN_D(5)), HN_S1(HN_D(5)), HN_S1(HN_D(5)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      0 },
    { "rank 3, last dim",
      &one,
      3,
      { HN_S3(HN_ROWS, HN_D(3), HN_D(4)), HN_S1(HN_D(4)), HN_S1(HN_D(4)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "rank 3, two dims",
      &two,
      3,
      { HN_S3(HN_ROWS, HN_D(3), HN_D(4)), HN_S2(HN_D(3), HN_D(4)), HN_S2(HN_D(3), HN_D(4)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "rank 4, three dims",
      &three,
      3,
      { HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(2)), HN_S3(HN_D(2), HN_D(3), HN_D(2)),
        HN_S3(HN_D(2), HN_D(3), HN_D(2)) },
      { HN_ACT, HN_CONST, HN_PARAM },
      { 0 },
      1 },
    { "one element",
      &one,
      3,
      { HN_S2(HN_ROWS, HN_D(1)), HN_S1(HN_D(1)), HN_S1(HN_D(1)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "rank 1",
      &one,
      3,
      { HN_S1(HN_D(6)), HN_S1(HN_D(6)), HN_S1(HN_D(6)) },
      { HN_PARAM, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { 0 },
};

const struct hn_op_row hn_op_layernorm = {
    .name = "layernorm",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_layernorm),
    .in_min = 2,
    .in_max = 3,
    .out_max = 1,
    .shape = layernorm_shape,
    .need = layernorm_need,
    .forward = layernorm_forward,
    .backward = layernorm_backward,
    .samples = samples,
    .tolerance = 1e-4,
};
