/* SPDX-License-Identifier: MIT
 *
 * Softmax and log-softmax along dims [axis, axis + axes) taken together, shifted by the group's largest element.
 *   y = e^(x - top) / sum e^(x - top),  or  y = x - top - log sum e^(x - top) */
#include "ops/math/row.h"
#include <math.h>

struct sizes { /* element k of group (o, i) is at (o * len + k) * inner + i */
    int64_t outer, len, inner;
};

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_softmax *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0];
    return (struct sizes){ hn_span(x, 0, a->axis), hn_span(x, a->axis, a->axis + a->axes),
                           hn_span(x, a->axis + a->axes, x->rank) };
}

static hone_status softmax_shape(const struct hn_op *op, const struct hn_shape *xs,
                                 struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_softmax *a = op->attrs;
    char tx[128];
    if (a->axis < 0 || a->axes < 0 || a->axis + a->axes > xs[0].rank)
        return hn_fail(err, HONE_E_MODEL, where, "Softmax along dims %d to %d of x %s", a->axis,
                       a->axis + a->axes - 1, hn_shape_text(&xs[0], tx, sizeof tx));
    for (int i = a->axis; i < a->axis + a->axes; i++)
        if (xs[0].d[i].per_row)
            return hn_fail(err, HONE_E_UNSUPPORTED, where,
                           "Softmax along dim %d of x %s would mix the rows of a batch", i,
                           hn_shape_text(&xs[0], tx, sizeof tx));
    ys[0] = xs[0];
    return HONE_OK;
}

static void softmax_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->y = 1;
}

static void softmax_forward(const struct hn_call *c)
{
    const struct hn_softmax *a = c->op->attrs;
    const struct sizes s = sizes_of(c);
    for (int64_t g = 0; g < s.outer * s.inner; g++) {
        int64_t first = g / s.inner * s.len * s.inner + g % s.inner;
        const double *x = hn_ptr(c->x, 0) + first;
        double *y = hn_ptr(c->y, 0) + first;
        double top = s.len > 0 ? x[0] : 0, sum = 0;
        for (int64_t k = 1; k < s.len; k++) top = x[k * s.inner] > top ? x[k * s.inner] : top;
        for (int64_t k = 0; k < s.len; k++) sum += exp(x[k * s.inner] - top);
        for (int64_t k = 0; k < s.len; k++) {
            double d = x[k * s.inner] - top;
            y[k * s.inner] = a->log ? d - log(sum) : exp(d) / sum;
        }
    }
}

/* softmax: dx = y * (dy - sum dy y)   log-softmax: dx = dy - e^y sum dy */
static void softmax_backward(const struct hn_call *c)
{
    const struct hn_softmax *a = c->op->attrs;
    const struct sizes s = sizes_of(c);
    double *grad = hn_grad(c, 0);
    for (int64_t g = 0; grad && g < s.outer * s.inner; g++) {
        int64_t first = g / s.inner * s.len * s.inner + g % s.inner;
        const double *y = hn_ptr(c->y, 0) + first, *dy = hn_ptr(c->dy, 0) + first;
        double *dx = grad + first, sum = 0;
        for (int64_t k = 0; k < s.len; k++) sum += dy[k * s.inner] * (a->log ? 1 : y[k * s.inner]);
        for (int64_t k = 0; k < s.len; k++) {
            double v = y[k * s.inner], d = dy[k * s.inner];
            dx[k * s.inner] += a->log ? d - exp(v) * sum : v * (d - sum);
        }
    }
}

static const struct hn_softmax last = { 1, 1, 0 }, last_log = { 1, 1, 1 }, middle = { 1, 1, 0 },
                               tail = { 1, 2, 0 }, tail_log = { 1, 2, 1 }, third = { 2, 1, 1 },
                               first = { 0, 1, 0 };
static const struct hn_sample samples[] = {
    { "last", &last, 1, { HN_S2(HN_ROWS, HN_D(10)) }, { HN_ACT }, { 0 }, 1 },
    { "last, log", &last_log, 1, { HN_S2(HN_ROWS, HN_D(10)) }, { HN_ACT }, { 0 }, 1 },
    { "one class", &last, 1, { HN_S2(HN_ROWS, HN_D(1)) }, { HN_ACT }, { 0 }, 1 },
    { "two classes, log", &last_log, 1, { HN_S2(HN_ROWS, HN_D(2)) }, { HN_ACT }, { 0 }, 1 },
    { "middle of rank 3", &middle, 1, { HN_S3(HN_ROWS, HN_D(4), HN_D(3)) }, { HN_ACT }, { 0 }, 1 },
    { "trailing dims together",
      &tail,
      1,
      { HN_S3(HN_ROWS, HN_D(4), HN_D(3)) },
      { HN_ACT },
      { 0 },
      1 },
    { "trailing dims together, log",
      &tail_log,
      1,
      { HN_S3(HN_ROWS, HN_D(4), HN_D(3)) },
      { HN_ACT },
      { 0 },
      1 },
    { "middle of rank 4, log",
      &third,
      1,
      { HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(2)) },
      { HN_ACT },
      { 0 },
      1 },
    { "rank 1", &first, 1, { HN_S1(HN_D(7)) }, { HN_PARAM }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_softmax = {
    .name = "softmax",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_softmax),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = softmax_shape,
    .need = softmax_need,
    .forward = softmax_forward,
    .backward = softmax_backward,
    .samples = samples,
    .tolerance = 2e-5,
};
