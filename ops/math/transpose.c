/* SPDX-License-Identifier: MIT
 *
 * Transpose: dim i of y is dim perm[i] of x. */
#include "ops/math/row.h"

static hone_status transpose_shape(const struct hn_op *op, const struct hn_shape *xs,
                                   struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_transpose *a = op->attrs;
    struct hn_shape y = { .rank = xs[0].rank };
    unsigned seen = 0;
    for (int i = 0; i < y.rank; i++) {
        int p = a->perm[i];
        if (p < 0 || p >= y.rank || seen >> p & 1u)
            return hn_fail(
                err, HONE_E_MODEL, where,
                "Transpose: entry %d of the permutation is %d, wanted each of 0 to %d once", i, p,
                y.rank - 1);
        seen |= 1u << p;
        y.d[i] = xs[0].d[p];
    }
    ys[0] = y;
    return HONE_OK;
}

static void transpose_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs, (void)need;
}

/* Where element i of y comes from in x. */
static int64_t source_of(const struct hn_call *c, int64_t i)
{
    const struct hn_transpose *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0], *y = &c->ys[0];
    int64_t at = 0;
    for (int k = y->rank - 1; k >= 0; k--) {
        at += i % y->d[k] * hn_span(x, a->perm[k] + 1, x->rank);
        i /= y->d[k];
    }
    return at;
}

static void transpose_forward(const struct hn_call *c)
{
    const double *x = c->x[0];
    double *y = c->y[0];
    int64_t n = hn_extent_numel(&c->ys[0]);
    for (int64_t i = 0; i < n; i++) y[i] = x[source_of(c, i)];
}

/* dx[source(i)] += dy[i] */
static void transpose_backward(const struct hn_call *c)
{
    double *dx = hn_grad(c, 0);
    const double *dy = c->dy[0];
    int64_t n = dx ? hn_extent_numel(&c->ys[0]) : 0;
    for (int64_t i = 0; i < n; i++) dx[source_of(c, i)] += dy[i];
}

static const struct hn_transpose swap = { { 1, 0 } }, same = { { 0, 1 } }, cycle = { { 2, 0, 1 } },
                                 inner = { { 0, 2, 1 } }, four = { { 3, 1, 0, 2 } },
                                 one = { { 0 } };
static const struct hn_sample samples[] = {
    { "matrix", &swap, 1, { HN_S2(HN_ROWS, HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "parameter", &swap, 1, { HN_S2(HN_D(3), HN_D(4)) }, { HN_PARAM }, { 0 }, 1 },
    { "identity", &same, 1, { HN_S2(HN_ROWS, HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "rank 3, cycle", &cycle, 1, { HN_S3(HN_ROWS, HN_D(2), HN_D(4)) }, { HN_ACT }, { 0 }, 1 },
    { "rank 3, inner", &inner, 1, { HN_S3(HN_ROWS, HN_D(2), HN_D(4)) }, { HN_ACT }, { 0 }, 1 },
    { "rank 4", &four, 1, { HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(4)) }, { HN_ACT }, { 0 }, 1 },
    { "rank 1", &one, 1, { HN_S1(HN_ROWS) }, { HN_ACT }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_transpose = {
    .name = "transpose",
    .attrs_size = sizeof(struct hn_transpose),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = transpose_shape,
    .need = transpose_need,
    .forward = transpose_forward,
    .backward = transpose_backward,
    .samples = samples,
    .tolerance = 0,
};
