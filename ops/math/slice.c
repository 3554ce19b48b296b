/* SPDX-License-Identifier: MIT
 *
 * Slice of one axis that is free of the batch: elements start, start + step, … (len of them). The step may be negative;
 * every element must lie inside the dim. */
#include "ops/math/row.h"

static hone_status slice_shape(const struct hn_op *op, const struct hn_shape *xs,
                               struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_slice *a = op->attrs;
    char tx[128];
    if (a->axis < 0 || a->axis >= xs[0].rank || xs[0].d[a->axis].per_row)
        return hn_fail(err, HONE_E_UNSUPPORTED, where,
                       "Slice of dim %d of %s, wanted a dim of fixed size", a->axis,
                       hn_shape_text(&xs[0], tx, sizeof tx));
    int64_t n = xs[0].d[a->axis].fixed, last = 0, span;
    int ok = a->len >= 0 && a->step != 0;
    if (ok && a->len > 0) {
        ok = (a->step > -n && a->step < n) || a->len == 1;
        ok = ok && a->len <= n;
        span = ok ? (a->len - 1) * a->step : 0;
        last = a->start + span;
        ok = ok && a->start >= 0 && a->start < n && last >= 0 && last < n;
    }
    if (!ok)
        return hn_fail(err, HONE_E_MODEL, where,
                       "Slice of %lld elements from %lld by %lld leaves dim %d of %s",
                       (long long)a->len, (long long)a->start, (long long)a->step, a->axis,
                       hn_shape_text(&xs[0], tx, sizeof tx));
    ys[0] = xs[0];
    ys[0].d[a->axis].fixed = a->len;
    return HONE_OK;
}

static void slice_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs, (void)need;
}

static void slice_forward(const struct hn_call *c)
{
    const struct hn_slice *a = c->op->attrs;
    const struct hn_extent *e = &c->xs[0];
    int64_t outer = hn_span(e, 0, a->axis), inner = hn_span(e, a->axis + 1, e->rank),
            n = e->d[a->axis];
    const double *x = c->x[0];
    double *y = c->y[0];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < a->len; k++)
            for (int64_t i = 0; i < inner; i++)
                y[(o * a->len + k) * inner + i] = x[(o * n + a->start + k * a->step) * inner + i];
}

/* dx at the taken places += dy; the other places get nothing (zero when dx is overwritten) */
static void slice_backward(const struct hn_call *c)
{
    const struct hn_slice *a = c->op->attrs;
    const struct hn_extent *e = &c->xs[0];
    int64_t outer = hn_span(e, 0, a->axis), inner = hn_span(e, a->axis + 1, e->rank),
            n = e->d[a->axis];
    const double *dy = c->dy[0];
    double *dx = hn_grad(c, 0);
    for (int64_t o = 0; dx && o < outer; o++)
        for (int64_t k = 0; k < a->len; k++)
            for (int64_t i = 0; i < inner; i++)
                dx[(o * n + a->start + k * a->step) * inner + i] +=
                    dy[(o * a->len + k) * inner + i];
}

static const struct hn_slice front = { 1, 0, 3, 1 }, back = { 1, 2, 5, 1 }, stride = { 1, 1, 3, 2 },
                             reverse = { 1, 6, 7, -1 }, skip = { 1, 6, 3, -3 },
                             single = { 2, 1, 1, 5 }, rows = { 0, 1, 2, 1 };
static const struct hn_sample samples[] = {
    { "front", &front, 1, { HN_S2(HN_ROWS, HN_D(7)) }, { HN_ACT }, { 0 }, 1 },
    { "back", &back, 1, { HN_S2(HN_ROWS, HN_D(7)) }, { HN_ACT }, { 0 }, 1 },
    { "step 2", &stride, 1, { HN_S2(HN_ROWS, HN_D(7)) }, { HN_ACT }, { 0 }, 1 },
    { "reversed", &reverse, 1, { HN_S2(HN_ROWS, HN_D(7)) }, { HN_ACT }, { 0 }, 1 },
    { "step -3", &skip, 1, { HN_S2(HN_ROWS, HN_D(7)) }, { HN_ACT }, { 0 }, 1 },
    { "one of the last dim",
      &single,
      1,
      { HN_S3(HN_ROWS, HN_D(3), HN_D(2)) },
      { HN_ACT },
      { 0 },
      1 },
    { "middle of rank 3", &stride, 1, { HN_S3(HN_ROWS, HN_D(7), HN_D(2)) }, { HN_ACT }, { 0 }, 1 },
    { "rows of a parameter", &rows, 1, { HN_S2(HN_D(4), HN_D(3)) }, { HN_PARAM }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_slice = {
    .name = "slice",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_slice),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = slice_shape,
    .need = slice_need,
    .forward = slice_forward,
    .backward = slice_backward,
    .samples = samples,
    .tolerance = 0,
};
