/* SPDX-License-Identifier: MIT
 *
 * Dropout: in training y[i] = x[i] * k(i) / (1 - rate) with k(i) in {0, 1}; else y = x. The decisions are those of
 * hn_dropout_threshold (ops/base/rng.h): a function of (key, batch, stream, row, column) and nothing else, so that
 * backward computes them again instead of keeping a mask. Rows are the first dim, columns all others together. */
#include "ops/math/row.h"

static hone_status dropout_shape(const struct hn_op *op, const struct hn_shape *xs,
                                 struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_dropout *d = op->attrs;
    if (!(d->rate >= 0 && d->rate < 1))
        return hn_fail(err, HONE_E_MODEL, where, "Dropout: the ratio is %g, wanted 0 <= ratio < 1",
                       d->rate);
    ys[0] = xs[0];
    return HONE_OK;
}

static void dropout_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs, (void)need;
}

/* to[i] (+)= from[i] * k(i) / (1 - rate): forward and backward are the same map. */
static void dropout_apply(const struct hn_call *c, double *to, const double *from, int add)
{
    const struct hn_dropout *d = c->op->attrs;
    const struct hn_extent *e = &c->xs[0];
    int64_t rows = e->rank > 0 ? e->d[0] : 1, cols = hn_span(e, 1, e->rank);
    uint32_t below = c->train ? hn_dropout_threshold(c->rate) : 0;
    double scale = 1 / (1 - c->rate);
    for (int64_t r = 0; to && r < rows; r++)
        for (int64_t k = 0; k < cols; k++) {
            double v = from[r * cols + k];
            if (below > 0) {
                uint32_t ctr[4] = { (uint32_t)k, (uint32_t)(r / 8), (uint32_t)c->batch, d->stream },
                         bits[4];
                hn_philox(ctr, c->key, bits);
                uint32_t lane = (uint32_t)(r % 8), word = bits[lane / 2];
                v = ((lane & 1 ? word >> 16 : word) & 0xffffu) < below ? 0 : v * scale;
            }
            to[r * cols + k] = (add ? to[r * cols + k] : 0) + v;
        }
}

static void dropout_forward(const struct hn_call *c) { dropout_apply(c, c->y[0], c->x[0], 0); }
static void dropout_backward(const struct hn_call *c)
{
    dropout_apply(c, c->dx[0], c->dy[0], hn_adds(c, 0));
}

static const struct hn_dropout half = { 0.5, HN_STREAM_DROPOUT + 3, 0 },
                               fifth = { 0.2, HN_STREAM_DROPOUT, 0 },
                               none = { 0, HN_STREAM_DROPOUT + 1, 0 },
                               most = { 0.9, HN_STREAM_DROPOUT + 7, 1 };
static const struct hn_sample samples[] = {
    { "half", &half, 1, { HN_S2(HN_ROWS, HN_D(17)) }, { HN_ACT }, { 0 }, 1 },
    { "a fifth", &fifth, 1, { HN_S2(HN_ROWS, HN_D(33)) }, { HN_ACT }, { 0 }, 1 },
    { "nothing", &none, 1, { HN_S2(HN_ROWS, HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "most", &most, 1, { HN_S2(HN_ROWS, HN_D(16)) }, { HN_ACT }, { 0 }, 1 },
    { "inference", &half, 1, { HN_S2(HN_ROWS, HN_D(17)) }, { HN_ACT }, { 0 }, 0 },
    { "rank 1", &half, 1, { HN_S1(HN_ROWS) }, { HN_ACT }, { 0 }, 1 },
    { "rank 3", &half, 1, { HN_S3(HN_ROWS, HN_D(3), HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "of a parameter", &half, 1, { HN_S2(HN_D(9), HN_D(4)) }, { HN_PARAM }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_dropout = {
    .name = "dropout",
    .flags = HN_OP_INPLACE | HN_OP_ROW_LOCAL | HN_OP_RANDOM,
    .attrs_size = sizeof(struct hn_dropout),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = dropout_shape,
    .need = dropout_need,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .samples = samples,
    .tolerance = 1e-6,
};
