/* SPDX-License-Identifier: MIT
 *
 * Concat along one axis, which must be free of the batch. Any number of inputs; a plan can add gradients into the first
 * 32 of them only (call.acc has 32 bits), so that longer ones are better lowered to a tree. */
#include "ops/math/row.h"

static hone_status concat_shape(const struct hn_op *op, const struct hn_shape *xs,
                                struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_concat *a = op->attrs;
    char t0[128], ti[128];
    if (a->axis < 0 || a->axis >= xs[0].rank)
        return hn_fail(err, HONE_E_MODEL, where, "Concat along dim %d of %s", a->axis,
                       hn_shape_text(&xs[0], t0, sizeof t0));
    struct hn_shape y = xs[0];
    for (int i = 0; i < op->n_in; i++) {
        struct hn_shape x = xs[i];
        if (x.rank == y.rank && x.d[a->axis].per_row != 0)
            return hn_fail(err, HONE_E_UNSUPPORTED, where, "Concat along the batch dim %d of %s",
                           a->axis, hn_shape_text(&xs[i], ti, sizeof ti));
        if (x.rank == y.rank && i > 0 &&
            !hn_add_i64(y.d[a->axis].fixed, x.d[a->axis].fixed, &y.d[a->axis].fixed))
            return hn_fail(err, HONE_E_BUDGET, where, "Concat: the sum of the dims overflows");
        x.d[a->axis] = y.d[a->axis];
        if (!hn_same_shape(&x, &y))
            return hn_fail(err, HONE_E_MODEL, where,
                           "Concat along dim %d: input %d is %s, input 0 is %s", a->axis, i,
                           hn_shape_text(&xs[i], ti, sizeof ti),
                           hn_shape_text(&xs[0], t0, sizeof t0));
    }
    ys[0] = y;
    return HONE_OK;
}

static void concat_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs, (void)need;
}

static void concat_forward(const struct hn_call *c)
{
    const struct hn_concat *a = c->op->attrs;
    const struct hn_extent *e = &c->ys[0];
    int64_t outer = hn_span(e, 0, a->axis), width = hn_span(e, a->axis, e->rank), at = 0;
    for (int i = 0; i < c->op->n_in; i++) {
        int64_t w = hn_span(&c->xs[i], a->axis, e->rank);
        const double *x = c->x[i];
        for (int64_t o = 0; o < outer; o++)
            for (int64_t k = 0; k < w; k++) hn_ptr(c->y, 0)[o * width + at + k] = x[o * w + k];
        at += w;
    }
}

/* dx_i += the part of dy that x_i became */
static void concat_backward(const struct hn_call *c)
{
    const struct hn_concat *a = c->op->attrs;
    const struct hn_extent *e = &c->ys[0];
    int64_t outer = hn_span(e, 0, a->axis), width = hn_span(e, a->axis, e->rank), at = 0;
    for (int i = 0; i < c->op->n_in; i++) {
        int64_t w = hn_span(&c->xs[i], a->axis, e->rank);
        double *dx = c->dx[i];
        int add = i < 32 && hn_adds(c, i);
        for (int64_t o = 0; dx && o < outer; o++)
            for (int64_t k = 0; k < w; k++)
                dx[o * w + k] = (add ? dx[o * w + k] : 0) + hn_ptr(c->dy, 0)[o * width + at + k];
        at += w;
    }
}

static const struct hn_concat at0 = { 0 }, at1 = { 1 }, at2 = { 2 };
static const struct hn_sample samples[] = {
    { "two",
      &at1,
      2,
      { HN_S2(HN_ROWS, HN_D(3)), HN_S2(HN_ROWS, HN_D(4)) },
      { HN_ACT, HN_ACT },
      { 0 },
      1 },
    { "one", &at1, 1, { HN_S2(HN_ROWS, HN_D(3)) }, { HN_ACT }, { 0 }, 1 },
    { "five, one of them data",
      &at1,
      5,
      { HN_S2(HN_ROWS, HN_D(1)), HN_S2(HN_ROWS, HN_D(2)), HN_S2(HN_ROWS, HN_D(7)),
        HN_S2(HN_ROWS, HN_D(1)), HN_S2(HN_ROWS, HN_D(4)) },
      { HN_ACT, HN_INPUT, HN_ACT, HN_ACT, HN_ACT },
      { 0 },
      1 },
    { "middle of rank 3",
      &at1,
      2,
      { HN_S3(HN_ROWS, HN_D(2), HN_D(3)), HN_S3(HN_ROWS, HN_D(4), HN_D(3)) },
      { HN_ACT, HN_ACT },
      { 0 },
      1 },
    { "last of rank 3",
      &at2,
      2,
      { HN_S3(HN_ROWS, HN_D(2), HN_D(3)), HN_S3(HN_ROWS, HN_D(2), HN_D(1)) },
      { HN_ACT, HN_ACT },
      { 0 },
      1 },
    { "parameters", &at0, 2, { HN_S1(HN_D(2)), HN_S1(HN_D(3)) }, { HN_PARAM, HN_PARAM }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_concat = {
    .name = "concat",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_concat),
    .in_min = 1,
    .in_max = 255,
    .out_max = 1,
    .shape = concat_shape,
    .need = concat_need,
    .forward = concat_forward,
    .backward = concat_backward,
    .samples = samples,
    .tolerance = 0,
};
