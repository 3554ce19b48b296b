/* SPDX-License-Identifier: MIT
 *
 * Dense: y[r,j] = alpha * sum_i x[r,i] w[i,j] + beta * b[j], with w stored [in,out] or, trans_w, [out,in].
 * x [..., in]: all dims but the last are rows. b is absent, has `out` elements in any rank, or one element for all. */
#include "ops/math/row.h"

struct sizes {
    int64_t rows, in, out, step_i, step_j; /* w[i,j] is at i * step_i + j * step_j */
};

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_dense *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0], *w = &c->xs[1];
    struct sizes s = { .in = w->d[a->trans_w ? 1 : 0], .out = w->d[a->trans_w ? 0 : 1] };
    s.rows = hn_span(x, 0, x->rank - 1);
    s.step_i = a->trans_w ? 1 : s.out;
    s.step_j = a->trans_w ? s.in : 1;
    return s;
}

static hone_status dense_shape(const struct hn_op *op, const struct hn_shape *xs,
                               struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_dense *a = op->attrs;
    const struct hn_shape *x = &xs[0], *w = &xs[1];
    char tx[128], tw[128];
    if (x->rank < 1 || w->rank != 2 || w->d[0].per_row || w->d[1].per_row)
        return hn_fail(err, HONE_E_MODEL, where,
                       "Dense: found x %s and w %s, wanted [...,in] and a fixed matrix",
                       hn_shape_text(x, tx, sizeof tx), hn_shape_text(w, tw, sizeof tw));
    int64_t in = w->d[a->trans_w ? 1 : 0].fixed, out = w->d[a->trans_w ? 0 : 1].fixed;
    if (!hn_is_fixed(x->d[x->rank - 1], in))
        return hn_fail(err, HONE_E_MODEL, where,
                       "Dense: x %s has not the %lld columns that w %s%s takes",
                       hn_shape_text(x, tx, sizeof tx), (long long)in,
                       hn_shape_text(w, tw, sizeof tw), a->trans_w ? " (transposed)" : "");
    if (hn_has(op, 2)) {
        struct hn_dim n = hn_shape_count(&xs[2]);
        if (!hn_is_one(n) && !hn_is_fixed(n, out))
            return hn_fail(err, HONE_E_MODEL, where, "Dense: bias %s, wanted %lld elements or one",
                           hn_shape_text(&xs[2], tx, sizeof tx), (long long)out);
    }
    ys[0] = *x;
    ys[0].d[x->rank - 1].fixed = out;
    return HONE_OK;
}

static void dense_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->x = 1 | 2;
}

static void dense_forward(const struct hn_call *c)
{
    const struct hn_dense *a = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const double *x = c->x[0], *w = c->x[1], *b = hn_has(c->op, 2) ? c->x[2] : NULL;
    int64_t step_b = b && hn_extent_numel(&c->xs[2]) == s.out ? 1 : 0;
    double *y = c->y[0];
    for (int64_t r = 0; r < s.rows; r++, x += s.in, y += s.out) {
        for (int64_t j = 0; j < s.out; j++) {
            const double *wj = w + j * s.step_j;
            double sum = 0;
            for (int64_t i = 0; i < s.in; i++) sum += x[i] * wj[i * s.step_i];
            y[j] = a->alpha * sum + (b ? a->beta * b[j * step_b] : 0);
        }
    }
}

/* dx[r,i] += alpha * sum_j dy[r,j] w[i,j]   dw[i,j] += alpha * sum_r x[r,i] dy[r,j]   db[j] += beta * sum_r dy[r,j] */
static void dense_backward(const struct hn_call *c)
{
    const struct hn_dense *a = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const double *x = c->x[0], *w = c->x[1], *dy = c->dy[0];
    double *dx = hn_grad(c, 0);
    for (int64_t r = 0; dx && r < s.rows; r++)
        for (int64_t j = 0; j < s.out; j++) {
            double g = a->alpha * dy[r * s.out + j];
            for (int64_t i = 0; i < s.in; i++)
                dx[r * s.in + i] += g * w[i * s.step_i + j * s.step_j];
        }
    double *dw = hn_grad(c, 1);
    for (int64_t r = 0; dw && r < s.rows; r++)
        for (int64_t j = 0; j < s.out; j++) {
            double g = a->alpha * dy[r * s.out + j];
            for (int64_t i = 0; i < s.in; i++)
                dw[i * s.step_i + j * s.step_j] += g * x[r * s.in + i];
        }
    double *db = hn_has(c->op, 2) ? hn_grad(c, 2) : NULL;
    int64_t step_b = db && hn_extent_numel(&c->xs[2]) == s.out ? 1 : 0;
    for (int64_t r = 0; db && r < s.rows; r++)
        for (int64_t j = 0; j < s.out; j++) db[j * step_b] += a->beta * dy[r * s.out + j];
}

static const struct hn_dense plain = { 1, 1, 0 }, torch = { 1, 1, 1 }, scaled = { 0.5, -2, 0 },
                             scaled_t = { -1.5, 0.25, 1 };
static const struct hn_sample samples[] = {
    { "plain",
      &plain,
      3,
      { HN_S2(HN_ROWS, HN_D(5)), HN_S2(HN_D(5), HN_D(3)), HN_S1(HN_D(3)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "trans_w",
      &torch,
      3,
      { HN_S2(HN_ROWS, HN_D(7)), HN_S2(HN_D(4), HN_D(7)), HN_S1(HN_D(4)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "no bias",
      &plain,
      2,
      { HN_S2(HN_ROWS, HN_D(1)), HN_S2(HN_D(1), HN_D(9)) },
      { HN_ACT, HN_PARAM },
      { 0 },
      1 },
    { "no bias trans_w",
      &torch,
      2,
      { HN_S2(HN_ROWS, HN_D(9)), HN_S2(HN_D(1), HN_D(9)) },
      { HN_ACT, HN_PARAM },
      { 0 },
      1 },
    { "alpha beta",
      &scaled,
      3,
      { HN_S2(HN_ROWS, HN_D(3)), HN_S2(HN_D(3), HN_D(2)), HN_S2(HN_D(1), HN_D(2)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "alpha beta trans_w, one bias for all",
      &scaled_t,
      3,
      { HN_S2(HN_ROWS, HN_D(3)), HN_S2(HN_D(17), HN_D(3)), HN_S1(HN_D(1)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "scalar bias",
      &plain,
      3,
      { HN_S2(HN_ROWS, HN_D(2)), HN_S2(HN_D(2), HN_D(4)), HN_S0 },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "rank 1",
      &torch,
      3,
      { HN_S1(HN_D(6)), HN_S2(HN_D(5), HN_D(6)), HN_S1(HN_D(5)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "rank 3",
      &plain,
      3,
      { HN_S3(HN_ROWS, HN_D(3), HN_D(4)), HN_S2(HN_D(4), HN_D(5)), HN_S1(HN_D(5)) },
      { HN_ACT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { "rank 4, frozen w",
      &torch,
      3,
      { HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(4)), HN_S2(HN_D(3), HN_D(4)), HN_S1(HN_D(3)) },
      { HN_ACT, HN_CONST, HN_PARAM },
      { 0 },
      1 },
    { "data input",
      &plain,
      3,
      { HN_S2(HN_ROWS, HN_D(33)), HN_S2(HN_D(33), HN_D(18)), HN_S1(HN_D(18)) },
      { HN_INPUT, HN_PARAM, HN_PARAM },
      { 0 },
      1 },
    { 0 },
};

const struct hn_op_row hn_op_dense = {
    .name = "dense",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_dense),
    .in_min = 2,
    .in_max = 3,
    .out_max = 1,
    .shape = dense_shape,
    .need = dense_need,
    .forward = dense_forward,
    .backward = dense_backward,
    .samples = samples,
    .tolerance = 2e-5,
};
