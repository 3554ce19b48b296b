/* SPDX-License-Identifier: MIT
 *
 * Reduce over the dims of a mask: sum, mean, max (the gradient of a tie is split evenly), or L2 norm (gradient 0 at 0).
 * Reduced dims stay as 1 when `keep`. */
#include "ops/math/row.h"
#include <math.h>

static hone_status reduce_shape(const struct hn_op *op, const struct hn_shape *xs,
                                struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_reduce *a = op->attrs;
    char tx[128];
    if (xs[0].rank < 32 && a->mask >> xs[0].rank)
        return hn_fail(err, HONE_E_MODEL, where, "Reduce: the axes leave the dims of %s",
                       hn_shape_text(&xs[0], tx, sizeof tx));
    struct hn_shape y = { .rank = 0 };
    for (int i = 0; i < xs[0].rank; i++) {
        int reduced = (int)(a->mask >> i & 1u);
        if (!reduced || a->keep) y.d[y.rank++] = reduced ? (struct hn_dim){ 0, 1 } : xs[0].d[i];
    }
    ys[0] = y;
    return HONE_OK;
}

static void reduce_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)xs;
    const struct hn_reduce *a = op->attrs;
    if (a->kind == HN_R_MAX || a->kind == HN_R_L2) need->x = need->y = 1;
}

/* x's extents with the reduced dims as 1: broadcasting y over x finds the place of each element. */
static struct hn_extent kept_of(const struct hn_call *c)
{
    const struct hn_reduce *a = c->op->attrs;
    struct hn_extent e = c->xs[0];
    for (int i = 0; i < e.rank; i++)
        if (a->mask >> i & 1u) e.d[i] = 1;
    return e;
}

static void reduce_forward(const struct hn_call *c)
{
    const struct hn_reduce *a = c->op->attrs;
    const struct hn_extent kept = kept_of(c);
    int64_t n = hn_extent_numel(&c->xs[0]), m = hn_extent_numel(&kept);
    const double *x = c->x[0];
    double *y = c->y[0];
    for (int64_t j = 0; j < m; j++) y[j] = a->kind == HN_R_MAX ? -(double)INFINITY : 0;
    for (int64_t i = 0; i < n; i++) {
        double *v = &y[hn_broadcast_at(&c->xs[0], &kept, i)];
        if (a->kind == HN_R_MAX)
            *v = x[i] > *v || isnan(x[i]) ? x[i] : *v;
        else
            *v += a->kind == HN_R_L2 ? x[i] * x[i] : x[i];
    }
    for (int64_t j = 0; j < m; j++) {
        if (a->kind == HN_R_MEAN) y[j] *= (double)m / (double)n;
        if (a->kind == HN_R_L2) y[j] = sqrt(y[j]);
    }
}

/* sum: dx += dy   mean: dx += dy / count   max: dx += dy / ties where x = y   L2: dx += dy * x / y */
static void reduce_backward(const struct hn_call *c)
{
    const struct hn_reduce *a = c->op->attrs;
    const struct hn_extent kept = kept_of(c);
    int64_t n = hn_extent_numel(&c->xs[0]), m = hn_extent_numel(&kept);
    const double *x = c->x[0], *y = c->y[0], *dy = c->dy[0];
    double *dx = hn_grad(c, 0);
    for (int64_t i = 0; dx && i < n; i++) {
        int64_t j = hn_broadcast_at(&c->xs[0], &kept, i);
        if (a->kind == HN_R_SUM) dx[i] += dy[j];
        if (a->kind == HN_R_MEAN) dx[i] += dy[j] * (double)m / (double)n;
        if (a->kind == HN_R_L2 && y[j] > 0) dx[i] += dy[j] * x[i] / y[j];
        if (a->kind != HN_R_MAX || x[i] != y[j]) continue;
        int64_t ties = 0;
        for (int64_t k = 0; k < n; k++)
            ties += hn_broadcast_at(&c->xs[0], &kept, k) == j && x[k] == y[j];
        dx[i] += dy[j] / (double)ties;
    }
}

#define CASE(label, kind, mask, keep, shape)                                                       \
    {                                                                                              \
        label, &(const struct hn_reduce){ kind, mask, keep }, 1, { shape }, { HN_ACT }, { 0 }, 1   \
    }
#define EACH(name, kind)                                                                           \
    CASE(name ", last", kind, 2, 0, HN_S2(HN_ROWS, HN_D(7))),                                      \
        CASE(name ", last, kept", kind, 2, 1, HN_S2(HN_ROWS, HN_D(7))),                            \
        CASE(name ", over rows", kind, 1, 0, HN_S2(HN_ROWS, HN_D(3))),                             \
        CASE(name ", all", kind, 3, 0, HN_S2(HN_ROWS, HN_D(3))),                                   \
        CASE(name ", all, kept", kind, 3, 1, HN_S2(HN_ROWS, HN_D(3))),                             \
        CASE(name ", middle of rank 3", kind, 2, 0, HN_S3(HN_ROWS, HN_D(4), HN_D(3))),             \
        CASE(name ", two of rank 4", kind, 10, 1, HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(4))),      \
        CASE(name ", nothing", kind, 0, 0, HN_S2(HN_ROWS, HN_D(3)))
static const struct hn_sample samples[] = {
    EACH("sum", HN_R_SUM),
    EACH("mean", HN_R_MEAN),
    EACH("max", HN_R_MAX),
    EACH("l2", HN_R_L2),
    { 0 },
};
#undef EACH
#undef CASE

const struct hn_op_row hn_op_reduce = {
    .name = "reduce",
    .attrs_size = sizeof(struct hn_reduce),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = reduce_shape,
    .need = reduce_need,
    .forward = reduce_forward,
    .backward = reduce_backward,
    .samples = samples,
    .tolerance = 2e-5,
};
