/* SPDX-License-Identifier: MIT
 *
 * Comparisons, logic and Where. A bool is 1 or 0 at run time, so that And is a product, Or the larger one, Not 1 - x; Where keeps
 * each branch where it is chosen and adds them, so that what a branch has elsewhere (an overflow, a NaN) is never seen. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <float.h>
#include <math.h>

/* Are all numbers of the other operand such as float32 holds whatever integer they are compared with is rounded to? */
static int exact(const struct hn_infer *c, int i)
{
    const struct hn_tensor *t = hn_in_value(c, 1 - i)->constant;
    for (int64_t k = 0; t && k < t->n; k++)
        if (!(fabs(hn_tensor_f64(t, k)) < 0x1p24)) return 0;
    return t != NULL;
}

/* Integers are chosen between at import only, or on their way to the indices of a table; at run time they are compared with
 * constants only, such as the classes of a written-out one-hot encoding. */
static hone_status no_integers(struct hn_infer *c, int from)
{
    const int compares = c->row->lower == hn_lower_compare;
    for (int i = from; i < c->n->n_in; i++) {
        const struct hn_value *v = hn_in_value(c, i);
        if (!hn_comes_as_integers(c, i) || v->dtype == HN_BOOL) continue;
        const int index = v->dtype == HN_I64 || v->dtype == HN_I32;
        if (!compares && index && hn_feeds_indices(c->g, c->n->out[0])) continue;
        if (!compares || !index) return hn_wants_floats(c, i);
        if (!exact(c, i))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s of '%s', which is %s, with '%s': wanted constants below 2^24",
                           c->n->type, v->name, hn_dtype_name(v->dtype),
                           hn_in_value(c, 1 - i)->name);
    }
    return HONE_OK;
}

hone_status hn_infer_compare(struct hn_infer *c)
{
    struct hn_shape s;
    HN_TRY(hn_same_types(c, 0));
    HN_TRY(hn_broadcast_inputs(c, &s));
    HN_TRY(hn_out(c, 0, HN_BOOL, &s));
    if (c->n->out[0] >= 0) c->g->facts->values[c->n->out[0]].n_positions = 2;
    return no_integers(c, 0);
}

hone_status hn_infer_logic(struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++)
        if (hn_in_value(c, i)->dtype != HN_BOOL)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s of '%s', which is %s: wanted bool",
                           c->n->type, hn_in_value(c, i)->name,
                           hn_dtype_name(hn_in_value(c, i)->dtype));
    return hn_infer_compare(c);
}

hone_status hn_infer_where(struct hn_infer *c)
{
    struct hn_shape s;
    HN_TRY(hn_same_types(c, 1));
    if (hn_in_value(c, 0)->dtype != HN_BOOL)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Where: '%s' is %s, wanted bool",
                       hn_in_value(c, 0)->name, hn_dtype_name(hn_in_value(c, 0)->dtype));
    HN_TRY(hn_broadcast_inputs(c, &s));
    HN_TRY(hn_out(c, 0, hn_in_value(c, 1)->dtype, &s));
    return no_integers(c, 1);
}

/* IsNaN and IsInf */
hone_status hn_infer_nan(struct hn_infer *c)
{
    if (c->row->kind && !(c->a->positive && c->a->negative))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "IsInf of one sign");
    HN_TRY(hn_out(c, 0, HN_BOOL, hn_in_shape(c, 0)));
    if (c->n->out[0] >= 0) c->g->facts->values[c->n->out[0]].n_positions = 2;
    return HONE_OK;
}

/* What is not itself; what is larger than every number. */
hone_status hn_lower_nan(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_onnx_attrs *a)
{
    const double most = l->g->values[n->in[0]].dtype == HN_F64 ? DBL_MAX : (double)FLT_MAX;
    int32_t x, y;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (n->row->kind) {
        HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, most, &y));
        HN_TRY(hn_l_unary(l, HN_U_ABS, 0, 0, x, &x));
        HN_TRY(hn_l_binary(l, HN_B_GREATER, x, y, &y));
    } else {
        HN_TRY(hn_l_binary(l, HN_B_EQUAL, x, x, &y));
        HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, y, &y));
    }
    return hn_l_bind(l, n->out[0], y);
}

/* Less and LessOrEqual are the other two with their operands changed over. */
hone_status hn_lower_compare(struct hn_lowering *l, const struct hn_node *n,
                             const struct hn_onnx_attrs *a)
{
    const int less = n->type[0] == 'L';
    int32_t x, y;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[less], &x));
    HN_TRY(hn_l_value(l, n->in[1 - less], &y));
    HN_TRY(hn_l_binary(l, (enum hn_binary_kind)n->row->kind, x, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_not(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_onnx_attrs *a)
{
    int32_t x;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, x, &x));
    return hn_l_bind(l, n->out[0], x);
}

hone_status hn_lower_where(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    int32_t yes, no, x, y;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &yes));
    HN_TRY(hn_l_value(l, n->in[1], &x));
    HN_TRY(hn_l_value(l, n->in[2], &y));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, yes, &no));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, x, yes, &x));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, y, no, &y));
    HN_TRY(hn_l_binary(l, HN_B_ADD, x, y, &y));
    if (!l->fold && l->g->facts->values[n->in[0]].from_param)
        HN_TRY(hn_l_hidden(l, n, &y)); /* an activation in two pieces */
    return hn_l_bind(l, n->out[0], y);
}
