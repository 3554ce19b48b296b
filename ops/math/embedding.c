/* SPDX-License-Identifier: MIT
 *
 * Embedding: y[i, :] = table[row(x[i]), :], what ONNX's Gather along axis 0 does with computed indices. An index is taken towards
 * zero, as a cast to an integer does; a negative one counts from the end. One outside the table gives a row of NaN, which
 * nothing learns from: whoever has the data looks at them beforehand (plugin/feed.c). The gradient of the table is dense,
 * as PyTorch's nn.Embedding has it unless it is asked for a sparse one; zeros in the row `still`, as in that of padding_idx. */
#include "ops/math/row.h"
#include <math.h>

static hone_status embedding_shape(const struct hn_op *op, const struct hn_shape *xs,
                                   struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_embedding *a = op->attrs;
    char text[128];
    if (xs[1].rank < 1 || hn_shape_count(&xs[1]).per_row != 0 || xs[1].d[0].fixed < 1 ||
        xs[1].d[0].fixed != a->rows)
        return hn_fail(err, HONE_E_MODEL, where,
                       "Embedding: the table is %s, wanted %lld rows of fixed size",
                       hn_shape_text(&xs[1], text, sizeof text), (long long)a->rows);
    if (xs[0].rank + xs[1].rank - 1 > HN_MAX_RANK)
        return hn_fail(err, HONE_E_BUDGET, where, "Embedding: the result's rank is above %d",
                       HN_MAX_RANK);
    ys[0] = xs[0];
    for (int i = 1; i < xs[1].rank; i++) ys[0].d[ys[0].rank++] = xs[1].d[i];
    return HONE_OK;
}

static void embedding_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->x = 1;
}

static void embedding_forward(const struct hn_call *c)
{
    const int64_t n = hn_extent_numel(&c->xs[0]), rows = c->xs[1].d[0],
                  width = hn_span(&c->xs[1], 1, c->xs[1].rank);
    const double *x = c->x[0], *table = c->x[1];
    double *y = c->y[0];
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = hn_table_row(x[i], rows);
        for (int64_t k = 0; k < width; k++)
            y[i * width + k] = row < 0 ? (double)NAN : table[row * width + k];
    }
}

static void embedding_backward(const struct hn_call *c)
{
    const int64_t n = hn_extent_numel(&c->xs[0]), rows = c->xs[1].d[0],
                  width = hn_span(&c->xs[1], 1, c->xs[1].rank);
    const int64_t still = ((const struct hn_embedding *)c->op->attrs)->still - 1;
    const double *x = c->x[0], *dy = c->dy[0];
    double *d = hn_grad(c, 1);
    (void)hn_grad(c, 0); /* an index has none: zeros */
    for (int64_t i = 0; d && dy && i < n; i++) {
        const int64_t row = hn_table_row(x[i], rows);
        for (int64_t k = 0; row >= 0 && row != still && k < width; k++)
            d[row * width + k] += dy[i * width + k];
    }
}

static const struct hn_embedding of1 = { 1, 0 }, of2 = { 2, 0 }, of4 = { 4, 0 }, of6 = { 6, 0 },
                                 of7 = { 7, 0 }, of9 = { 9, 0 }, of23 = { 23, 0 }, still = { 4, 2 };
static const struct hn_sample samples[] = {
    { "one index a row",
      &of1,
      2,
      { HN_S2(HN_ROWS, HN_D(1)), HN_S2(HN_D(1), HN_D(5)) },
      { HN_TARGET, HN_PARAM },
      { 2 },
      1 },
    { "three a row",
      &of7,
      2,
      { HN_S2(HN_ROWS, HN_D(3)), HN_S2(HN_D(7), HN_D(4)) },
      { HN_TARGET, HN_PARAM },
      { 2 },
      1 },
    { "wide rows",
      &of2,
      2,
      { HN_S2(HN_ROWS, HN_D(2)), HN_S2(HN_D(2), HN_D(37)) },
      { HN_TARGET, HN_PARAM },
      { 2 },
      1 },
    { "many rows",
      &of23,
      2,
      { HN_S2(HN_ROWS, HN_D(20)), HN_S2(HN_D(23), HN_D(2)) },
      { HN_TARGET, HN_PARAM },
      { 2 },
      1 },
    { "a table of numbers",
      &of6,
      2,
      { HN_S2(HN_ROWS, HN_D(6)), HN_S1(HN_D(6)) },
      { HN_TARGET, HN_PARAM },
      { 2 },
      1 },
    { "of negative indices",
      &of9,
      2,
      { HN_S2(HN_ROWS, HN_D(5)), HN_S2(HN_D(9), HN_D(3)) },
      { HN_TARGET, HN_PARAM },
      { 5 },
      1 },
    { "a row that stays",
      &still,
      2,
      { HN_S2(HN_ROWS, HN_D(4)), HN_S2(HN_D(4), HN_D(3)) },
      { HN_TARGET, HN_PARAM },
      { 5 },
      1 },
    { "rank 3",
      &of4,
      2,
      { HN_S3(HN_ROWS, HN_D(2), HN_D(3)), HN_S2(HN_D(4), HN_D(3)) },
      { HN_TARGET, HN_PARAM },
      { 2 },
      1 },
    { 0 },
};

const struct hn_op_row hn_op_embedding = {
    .name = "embedding",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_embedding),
    .in_min = 2,
    .in_max = 2,
    .out_max = 1,
    .shape = embedding_shape,
    .need = embedding_need,
    .forward = embedding_forward,
    .backward = embedding_backward,
    .samples = samples,
    .tolerance = 1e-6,
};
