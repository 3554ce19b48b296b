/* SPDX-License-Identifier: MIT
 *
 * Reductions, and the operators that are a few element-wise program ops around one: RMS and Lp normalisation, means of
 * several tensors. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <float.h>
#include <math.h>

static int rank_of(const struct hn_lowering *l, const struct hn_node *n)
{
    return l->g->values[n->in[0]].shape.rank;
}

/* The dims a Reduce names, from its attribute or its second input; none named: all, or none where it says so. */
static uint32_t named_dims(const struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    int rank = rank_of(l, n);
    uint32_t mask = 0;
    int64_t count =
        n->n_in > 1 && n->in[1] >= 0 ? hn_int_count(l->g, n->in[1]) : (int64_t)a->axes.n;
    for (int64_t i = 0; i < count; i++) {
        struct hn_dim axis = { 0, 0 };
        if (n->n_in > 1)
            (void)hn_int_at(l->g, n->in[1], i, &axis);
        else
            axis.fixed = a->axes.i[i];
        mask |= 1u << (axis.fixed < 0 ? axis.fixed + rank : axis.fixed);
    }
    return mask == 0 && !a->noop ? (1u << rank) - 1 : mask;
}

static hone_status reduce(struct hn_lowering *l, enum hn_reduce_kind kind, uint32_t mask, int keep,
                          int32_t x, int32_t *y)
{
    struct hn_reduce attrs = { kind, mask, keep };
    return hn_l_op(l, &hn_op_reduce, &attrs, &x, 1, y);
}

/* Along the dimensions that n names; none: the numbers as they are. */
static hone_status reduce_named(struct hn_lowering *l, enum hn_reduce_kind kind,
                                const struct hn_node *n, const struct hn_onnx_attrs *a, int32_t *y)
{
    const uint32_t mask = named_dims(l, n, a);
    return mask ? reduce(l, kind, mask, a->keepdims != 0, *y, y) : HONE_OK;
}

hone_status hn_lower_reduce(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(reduce_named(l, (enum hn_reduce_kind)n->row->kind, n, a, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_global_pool(struct hn_lowering *l, const struct hn_node *n,
                                 const struct hn_onnx_attrs *a)
{
    const uint32_t all = (1u << rank_of(l, n)) - 1;
    int32_t y;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(reduce(l, (enum hn_reduce_kind)n->row->kind, all & ~3u, 1, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* min x = -max -x */
hone_status hn_lower_reduce_min(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, y, &y));
    HN_TRY(reduce_named(l, HN_R_MAX, n, a, &y));
    HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* The product along one dim: halves by halves, so that a zero among the factors has its gradient, too. */
static hone_status product(struct hn_lowering *l, int axis, int32_t *x)
{
    for (int64_t len = l->values[*x].shape.d[axis].fixed; len > 1; len = len / 2 + len % 2) {
        const int64_t half = len / 2;
        int32_t in[2], y;
        for (int i = 0; i < 2; i++)
            HN_TRY(hn_l_op(l, &hn_op_slice, &(struct hn_slice){ axis, i * half, half, 1 }, x, 1,
                           &in[i]));
        HN_TRY(hn_l_binary(l, HN_B_MUL, in[0], in[1], &y));
        if (len % 2) {
            in[0] = y;
            HN_TRY(
                hn_l_op(l, &hn_op_slice, &(struct hn_slice){ axis, len - 1, 1, 1 }, x, 1, &in[1]));
            HN_TRY(hn_l_op(l, &hn_op_concat, &(struct hn_concat){ axis }, in, 2, &y));
        }
        *x = y;
    }
    return HONE_OK;
}

hone_status hn_lower_reduce_prod(struct hn_lowering *l, const struct hn_node *n,
                                 const struct hn_onnx_attrs *a)
{
    const uint32_t mask = named_dims(l, n, a);
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    for (int i = 0; i < rank_of(l, n); i++)
        if (mask >> i & 1u) {
            if (l->values[y].shape.d[i].per_row || l->values[y].shape.d[i].fixed < 1)
                return hn_fail(l->err, HONE_E_UNSUPPORTED, n->name, "ReduceProd of no fixed dim");
            HN_TRY(product(l, i, &y));
        }
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_reduce_l1(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_unary(l, HN_U_ABS, 0, 0, y, &y));
    HN_TRY(reduce_named(l, HN_R_SUM, n, a, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_reduce_squares(struct hn_lowering *l, const struct hn_node *n,
                                    const struct hn_onnx_attrs *a)
{
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_binary(l, HN_B_MUL, y, y, &y));
    HN_TRY(reduce_named(l, HN_R_SUM, n, a, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_reduce_log(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(reduce_named(l, HN_R_SUM, n, a, &y));
    HN_TRY(hn_l_unary(l, HN_U_LOG, 0, 0, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* m + log sum exp(x - m), m = max x: what the sum says of m's gradient is what m itself says, with the other sign */
hone_status hn_lower_reduce_log_exp(struct hn_lowering *l, const struct hn_node *n,
                                    const struct hn_onnx_attrs *a)
{
    uint32_t mask = named_dims(l, n, a);
    int32_t x, m, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (!mask) return hn_l_bind(l, n->out[0], x);
    HN_TRY(reduce(l, HN_R_MAX, mask, 1, x, &m));
    HN_TRY(hn_l_binary(l, HN_B_SUB, x, m, &y));
    HN_TRY(hn_l_unary(l, HN_U_EXP, 0, 0, y, &y));
    HN_TRY(reduce(l, HN_R_SUM, mask, 1, y, &y));
    HN_TRY(hn_l_unary(l, HN_U_LOG, 0, 0, y, &y));
    HN_TRY(hn_l_binary(l, HN_B_ADD, m, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_mean(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    int32_t y, x;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    for (int i = 1; i < n->n_in; i++) {
        HN_TRY(hn_l_value(l, n->in[i], &x));
        HN_TRY(hn_l_binary(l, HN_B_ADD, y, x, &y));
    }
    if (n->n_in > 1) HN_TRY(hn_l_unary(l, HN_U_AFFINE, 1.0 / n->n_in, 0, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* ---- normalisations without a mean ------------------------------------------------------------------------------ */

hone_status hn_l_rmsnorm(struct hn_lowering *l, int32_t x, int32_t scale, int axis, double eps,
                         int32_t *y)
{
    uint32_t mask = ((1u << l->values[x].shape.rank) - 1) & ~((1u << axis) - 1);
    HN_TRY(hn_l_binary(l, HN_B_MUL, x, x, y));
    HN_TRY(reduce(l, HN_R_MEAN, mask, 1, *y, y));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, 1, eps, *y, y));
    HN_TRY(hn_l_unary(l, HN_U_SQRT, 0, 0, *y, y));
    HN_TRY(hn_l_binary(l, HN_B_DIV, x, *y, y));
    return hn_l_binary(l, HN_B_MUL, *y, scale, y);
}

hone_status hn_lower_rmsnorm(struct hn_lowering *l, const struct hn_node *n,
                             const struct hn_onnx_attrs *a)
{
    int axis = (int)(a->axis < 0 ? a->axis + rank_of(l, n) : a->axis);
    int32_t x, scale, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_value(l, n->in[1], &scale));
    HN_TRY(hn_l_rmsnorm(l, x, scale, axis, a->epsilon, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* x / norm, 0 where the norm is 0 */
hone_status hn_lower_lpnorm(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    int rank = rank_of(l, n), axis = (int)(a->axis < 0 ? a->axis + rank : a->axis);
    int32_t x, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (a->p == 1) {
        HN_TRY(hn_l_unary(l, HN_U_ABS, 0, 0, x, &y));
        HN_TRY(reduce(l, HN_R_SUM, 1u << axis, 1, y, &y));
    } else {
        HN_TRY(reduce(l, HN_R_L2, 1u << axis, 1, x, &y));
    }
    HN_TRY(hn_l_unary(l, HN_U_CLIP, (double)FLT_MIN, (double)INFINITY, y, &y));
    HN_TRY(hn_l_binary(l, HN_B_DIV, x, y, &y));
    return hn_l_bind(l, n->out[0], y);
}
