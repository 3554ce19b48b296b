/* SPDX-License-Identifier: MIT
 *
 * How the operators that only move numbers are said in program ops: views, cuts, joins. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"

hone_status hn_lower_view(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    int32_t x;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    return hn_l_bind(l, n->out[0], x);
}

/* To an integer, a float goes towards zero, to a bool it is what is not 0; other types are elements all alike. */
hone_status hn_lower_cast(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    int32_t x, zero;
    if (!hn_dtype_is_float(l->g->values[n->in[0]].dtype) ||
        hn_dtype_is_float(l->g->values[n->out[0]].dtype))
        return hn_lower_view(l, n, a);
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (l->g->values[n->out[0]].dtype == HN_BOOL) {
        HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, 0, &zero));
        HN_TRY(hn_l_binary(l, HN_B_EQUAL, x, zero, &x));
        HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, x, &x));
    } else {
        HN_TRY(hn_l_unary(l, HN_U_TRUNC, 0, 0, x, &x));
    }
    return hn_l_bind(l, n->out[0], x);
}

hone_status hn_lower_transpose(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    int rank = l->g->values[n->in[0]].shape.rank;
    struct hn_transpose attrs = { { 0 } };
    int32_t y;
    for (int i = 0; i < rank; i++)
        attrs.perm[i] = a->perm.present ? (int)a->perm.i[i] : rank - 1 - i;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_op(l, &hn_op_transpose, &attrs, &y, 1, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_concat(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    int rank = l->g->values[n->in[0]].shape.rank;
    struct hn_concat attrs = { (int)(a->axis < 0 ? a->axis + rank : a->axis) };
    int32_t *in = hn_arena_alloc(l->arena, (size_t)n->n_in, sizeof *in), y;
    if (!in) return hn_nomem(l->err, "the program", 0);
    for (int i = 0; i < n->n_in; i++) {
        struct hn_shape s = l->g->values[n->in[i]].shape;
        if (attrs.axis > 0 && hn_is_one(s.d[0])) s.d[0] = l->g->values[n->out[0]].shape.d[0];
        HN_TRY(hn_l_value(l, n->in[i], &in[i]));
        if (hn_shape_count(&s).per_row && !hn_shape_count(&l->values[in[i]].shape).per_row)
            HN_TRY(hn_l_rows(l, in[i], &s, &in[i]));
    }
    y = in[0];
    if (n->n_in > 1) HN_TRY(hn_l_op(l, &hn_op_concat, &attrs, in, n->n_in, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* Length of piece k of a Split of `len`. */
static int64_t piece(const struct hn_lowering *l, const struct hn_node *n,
                     const struct hn_onnx_attrs *a, int64_t len, int k)
{
    int64_t pieces = a->num_outputs ? a->num_outputs : n->n_out, each = (len + pieces - 1) / pieces;
    struct hn_dim d;
    if (a->split.present) return a->split.i[k];
    if (n->n_in > 1 && n->in[1] >= 0) return hn_int_at(l->g, n->in[1], k, &d) ? d.fixed : 0;
    return k < pieces - 1 ? each : len - each * (pieces - 1);
}

hone_status hn_lower_split(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    const struct hn_shape *s = &l->g->values[n->in[0]].shape;
    struct hn_slice attrs = { (int)(a->axis < 0 ? a->axis + s->rank : a->axis), 0, 0, 1 };
    int32_t x, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    for (int k = 0; k < n->n_out; k++) {
        attrs.start += attrs.len;
        attrs.len = piece(l, n, a, s->d[attrs.axis].fixed, k);
        if (n->out[k] < 0 || (!l->fold && !l->g->facts->values[n->out[k]].live)) continue;
        HN_TRY(hn_l_op(l, &hn_op_slice, &attrs, &x, 1, &y));
        HN_TRY(hn_l_bind(l, n->out[k], y));
    }
    return HONE_OK;
}

hone_status hn_lower_slice(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    struct hn_cut cuts[HN_MAX_RANK];
    int n_cuts;
    int32_t y;
    HN_TRY(hn_slice_cuts(l->g, n, a, cuts, &n_cuts, l->err));
    HN_TRY(hn_l_value(l, n->in[0], &y));
    for (int i = 0; i < n_cuts; i++) {
        struct hn_dim whole = l->g->values[n->in[0]].shape.d[cuts[i].axis];
        struct hn_slice attrs = { cuts[i].axis, cuts[i].start, cuts[i].len.fixed, cuts[i].step };
        if (hn_same_dim(whole, cuts[i].len) && cuts[i].start == 0 && cuts[i].step == 1) continue;
        HN_TRY(hn_l_op(l, &hn_op_slice, &attrs, &y, 1, &y));
    }
    return hn_l_bind(l, n->out[0], y);
}

static int64_t index_at(const struct hn_tensor *t, int64_t i, int64_t len)
{
    int64_t k = hn_tensor_i64(t, i);
    return k < 0 ? k + len : k;
}

static hone_status lower_embedding(struct hn_lowering *l, const struct hn_node *n)
{
    const struct hn_embedding attrs = { l->g->values[n->in[0]].shape.d[0].fixed,
                                        hn_still_row(l->g, n) };
    const int32_t given = hn_counted_from_end(l->g, n->in[1], attrs.rows);
    int32_t in[2], y;
    HN_TRY(
        hn_l_value(l, given >= 0 ? given : n->in[1], &in[0])); /* an Embedding counts so itself */
    HN_TRY(hn_l_value(l, n->in[0], &in[1]));
    HN_TRY(hn_l_op(l, &hn_op_embedding, &attrs, in, 2, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_one_hot(struct hn_lowering *l, const struct hn_node *n,
                             const struct hn_onnx_attrs *a)
{
    const struct hn_shape *y = &l->g->values[n->out[0]].shape;
    const int64_t depth = y->d[y->rank - 1].fixed;
    const struct hn_tensor *values = l->g->values[n->in[2]].constant;
    const double off = hn_tensor_f64(values, 0), on = hn_tensor_f64(values, 1);
    const struct hn_embedding attrs = { depth, 0 };
    double *table = hn_arena_alloc(l->arena, (size_t)(depth * depth), sizeof *table);
    int32_t in[2], out;
    (void)a;
    if (!table) return hn_nomem(l->err, "the program", 0);
    for (int64_t i = 0; i < depth * depth; i++) table[i] = i % (depth + 1) == 0 ? on : off;
    const struct hn_tensor t = {
        .dtype = HN_F64, .rank = 2, .dims = { depth, depth }, .n = depth * depth, .data = table
    };
    HN_TRY(hn_l_value(l, n->in[0], &in[0]));
    HN_TRY(hn_l_const(l, &t, &in[1]));
    HN_TRY(hn_l_op(l, &hn_op_embedding, &attrs, in, 2, &out));
    return hn_l_bind(l, n->out[0], out);
}

/* Evenly spaced indices are one slice, others one slice each, joined. */
hone_status hn_l_pick(struct hn_lowering *l, const struct hn_node *n, int axis, const int64_t *at,
                      int64_t count, int32_t *x)
{
    int even = 1;
    if (count == 0) return hn_fail(l->err, HONE_E_UNSUPPORTED, n->name, "%s of no index", n->type);
    const int64_t step = count > 1 ? at[1] - at[0] : 1;
    for (int64_t i = 1; i < count; i++) even &= step != 0 && at[i] - at[i - 1] == step;
    struct hn_slice attrs = { axis, at[0], count, step };
    if (even) return hn_l_op(l, &hn_op_slice, &attrs, x, 1, x);
    int32_t *in = hn_arena_alloc(l->arena, (size_t)count, sizeof *in);
    if (!in) return hn_nomem(l->err, "the program", 0);
    for (int64_t i = 0; i < count; i++) {
        attrs = (struct hn_slice){ axis, at[i], 1, 1 };
        HN_TRY(hn_l_op(l, &hn_op_slice, &attrs, x, 1, &in[i]));
    }
    struct hn_concat join = { axis };
    return hn_l_op(l, &hn_op_concat, &join, in, (int)count, x);
}

hone_status hn_lower_gather(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    const struct hn_shape *s = &l->g->values[n->in[0]].shape;
    const struct hn_tensor *t = l->g->values[n->in[1]].constant;
    int32_t x;
    if (!l->fold && l->g->facts->values[n->out[0]].labels) { /* the positions stay */
        HN_TRY(hn_l_value(l, n->in[1], &x));
        return hn_l_bind(l, n->out[0], x);
    }
    if (!t) return lower_embedding(l, n);
    int axis = (int)(a->axis < 0 ? a->axis + s->rank : a->axis);
    int64_t *at = hn_arena_alloc(l->arena, (size_t)t->n + 1, sizeof *at);
    if (!at) return hn_nomem(l->err, "the program", 0);
    for (int64_t i = 0; i < t->n; i++) at[i] = index_at(t, i, s->d[axis].fixed);
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_pick(l, n, axis, at, t->n, &x));
    return hn_l_bind(l, n->out[0], x);
}

/* Broadcasting is what a sum with zeros of the new shape does. */
hone_status hn_lower_expand(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    const struct hn_shape *to = &l->g->values[n->out[0]].shape;
    int32_t x, zeros;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (hn_same_shape(&l->values[x].shape, to)) return hn_l_bind(l, n->out[0], x);
    HN_TRY(hn_l_fill(l, to, 0, &zeros));
    HN_TRY(hn_l_binary(l, HN_B_ADD, x, zeros, &x));
    return hn_l_bind(l, n->out[0], x);
}
