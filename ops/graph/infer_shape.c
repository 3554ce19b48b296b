/* SPDX-License-Identifier: MIT
 *
 * Shapes, types and shared constants of the operators that only move numbers: reshapes, joins, cuts, constants. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

/* Which initializer the numbers of output 0 are those of: input 0's, in the same order. */
static void pass_root(struct hn_infer *c, int flip)
{
    struct hn_value_fact *f = c->g->facts->values;
    if (c->n->out[0] < 0) return;
    f[c->n->out[0]].root = f[c->n->in[0]].root;
    f[c->n->out[0]].trans = f[c->n->in[0]].trans ^ (flip != 0);
    f[c->n->out[0]].quant = f[c->n->in[0]].quant;
}

/* The output is a constant over `data` with the inferred type and shape. */
static hone_status make_constant(struct hn_infer *c, int32_t y, const void *data)
{
    if (y < 0) return HONE_OK;
    struct hn_value *v = &c->g->values[y];
    struct hn_tensor *t = hn_infer_alloc(c, 1, sizeof *t);
    if (!t) return HONE_E_NOMEM;
    *t = (struct hn_tensor){ .dtype = v->dtype, .rank = v->shape.rank, .data = data };
    for (int i = 0; i < t->rank; i++) t->dims[i] = v->shape.d[i].fixed;
    if (!hn_numel(t->rank, t->dims, &t->n))
        return hn_fail(c->err, HONE_E_BUDGET, c->label, "the constant '%s' is too large", v->name);
    v->constant = t;
    return HONE_OK;
}

hone_status hn_fold_view(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0);
    struct hn_value_fact *f = c->g->facts->values;
    if (c->n->out[0] < 0) return HONE_OK;
    pass_root(c, 0);
    f[c->n->out[0]].splat = f[c->n->in[0]].splat;
    f[c->n->out[0]].splat_value = f[c->n->in[0]].splat_value;
    hn_same_labels(c);
    return x->constant ? make_constant(c, c->n->out[0], x->constant->data) : HONE_OK;
}

hone_status hn_infer_identity(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0);
    HN_TRY(hn_out(c, 0, x->dtype, &x->shape));
    if (c->n->out[0] >= 0 && (x->is_initializer || x->alias_of >= 0))
        c->g->values[c->n->out[0]].alias_of = x->is_initializer ? c->n->in[0] : x->alias_of;
    return hn_fold_view(c);
}

/* The branch that a known condition chooses becomes input 0 (onnx/expand_if.c put both there); only that one is needed. */
hone_status hn_infer_if(struct hn_infer *c)
{
    struct hn_dim yes;
    double x;
    if (c->n->n_in != 4)
        return hn_fail(
            c->err, HONE_E_UNSUPPORTED, c->label,
            "If: it has several outputs or stands in a function, or its branches have tensors of "
            "floats, subgraphs, or names that other nodes have");
    if (hn_value_scalar(c->g, hn_in(c, 1), &x))
        yes = (struct hn_dim){ 0, x != 0 };
    else if (!hn_int_at(c->g, hn_in(c, 1), 0, &yes) || yes.per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "If: the condition '%s' is not known at import", hn_in_value(c, 1)->name);
    c->n->in[0] = c->n->in[yes.fixed ? 2 : 3];
    if (!hn_in_value(c, 0)->shape_known)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "If: '%s' of the branch that is chosen cannot be computed",
                       hn_in_value(c, 0)->name);
    return hn_infer_identity(c);
}

/* Product of dims [from, to): at most one of them follows N. */
static struct hn_dim product(const struct hn_shape *s, int from, int to)
{
    struct hn_shape part = { .rank = to - from };
    for (int i = from; i < to; i++) part.d[i - from] = s->d[i];
    return hn_shape_count(&part);
}

hone_status hn_infer_flatten(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    int axis = (int)c->a->axis;
    if (c->a->axis != x->rank) HN_TRY(hn_axis(c, c->a->axis, x->rank ? x->rank : 1, &axis));
    struct hn_shape y = { 2, { product(x, 0, axis), product(x, axis, x->rank) } };
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    return hn_fold_view(c);
}

/* a / b for element counts: exact, and the same for every N; 0: it is not. */
static int divide(struct hn_dim a, struct hn_dim b, struct hn_dim *q)
{
    if (b.per_row == 0 && b.fixed > 0 && a.per_row % b.fixed == 0 && a.fixed % b.fixed == 0)
        return *q = (struct hn_dim){ a.per_row / b.fixed, a.fixed / b.fixed }, 1;
    if (b.per_row > 0 && b.fixed == 0 && a.fixed == 0 && a.per_row % b.per_row == 0)
        return *q = (struct hn_dim){ 0, a.per_row / b.per_row }, 1;
    return 0;
}

/* The target of a Reshape with zeros copied; *hole: position of -1, or -1. */
static hone_status reshape_target(struct hn_infer *c, struct hn_shape *y, int *hole)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    int64_t n;
    int nomem;
    if (hn_in(c, 1) < 0)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Reshape: input 1 (the shape) is missing");
    const struct hn_dim *to = hn_value_ints(c->g, hn_in(c, 1), &n, &nomem);
    if (nomem) return hn_nomem(c->err, "shape inference", 0);
    if (!to)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "Reshape: the shape '%s' depends on the data", hn_in_value(c, 1)->name);
    if (n > HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_BUDGET, c->label, "Reshape: rank %lld, at most %d",
                       (long long)n, HN_MAX_RANK);
    *hole = -1;
    y->rank = (int)n;
    for (int i = 0; i < y->rank; i++) {
        int fixed = to[i].per_row == 0;
        y->d[i] = to[i];
        if (fixed && to[i].fixed == 0 && !c->a->allowzero) {
            if (i >= x->rank)
                return hn_fail(c->err, HONE_E_MODEL, c->label,
                               "Reshape: dim %d copies a dim the input has not", i);
            y->d[i] = x->d[i];
        } else if (fixed && to[i].fixed == -1 && *hole < 0) {
            *hole = i;
        } else if (to[i].per_row < 0 || (fixed && to[i].fixed < 0)) {
            return hn_fail(c->err, HONE_E_MODEL, c->label, "Reshape: dim %d is %lld", i,
                           (long long)to[i].fixed);
        }
    }
    return HONE_OK;
}

/* A constant first dim of the file's own batch size is that batch where the rest is what a row has: rows stay rows. */
static void lift_target(const struct hn_infer *c, struct hn_shape *y, int hole)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    struct hn_dim row, rest;
    if (!c->lifted || hole == 0 || x->rank < 1 || y->rank < 1 || y->d[0].per_row ||
        y->d[0].fixed != c->lifted || x->d[0].per_row != 1 || x->d[0].fixed != 0)
        return;
    row = product(x, 1, x->rank);
    struct hn_shape known = *y;
    if (hole > 0) known.d[hole] = (struct hn_dim){ 0, 1 };
    rest = product(&known, 1, y->rank);
    if (rest.per_row || rest.fixed < 1 ||
        (hole > 0 ? row.fixed % rest.fixed : row.fixed - rest.fixed))
        return;
    y->d[0] = x->d[0];
}

static hone_status reshape_shape(struct hn_infer *c, struct hn_shape *y)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char tx[160], ty[160];
    int hole = -1;
    HN_TRY(reshape_target(c, y, &hole));
    lift_target(c, y, hole);
    if (c->lifted && x->rank > 0 && x->d[0].per_row && y->rank > 0 && hole != 0 &&
        y->d[0].per_row == 0)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Reshape to a constant first dim of %lld",
                       (long long)y->d[0].fixed);
    struct hn_dim have = hn_shape_count(x);
    if (hole >= 0) {
        int follow = 0;
        y->d[hole] = (struct hn_dim){ 0, 1 };
        for (int i = 0; i < y->rank; i++) follow += y->d[i].per_row != 0;
        if (follow > 1 || !divide(have, hn_shape_count(y), &y->d[hole]))
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Reshape of %s: -1 in dim %d is no whole number",
                           hn_shape_text(x, tx, sizeof tx), hole);
    }
    if (!hn_same_dim(have, hn_shape_count(y)))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Reshape of %s to %s: the element counts differ",
                       hn_shape_text(x, tx, sizeof tx), hn_shape_text(y, ty, sizeof ty));
    return HONE_OK;
}

hone_status hn_infer_reshape(struct hn_infer *c)
{
    struct hn_shape y;
    HN_TRY(reshape_shape(c, &y));
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    return hn_fold_view(c);
}

hone_status hn_infer_squeeze(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    struct hn_shape y = { 0 };
    char text[160];
    uint32_t mask;
    int present;
    HN_TRY(hn_axes_mask(c, 1, x->rank, &mask, &present));
    for (int i = 0; i < x->rank; i++) {
        int one = hn_is_one(x->d[i]);
        int gone = present ? (int)(mask >> i & 1u) : one;
        if (gone && !one)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "Squeeze of %s: dim %d is not 1",
                           hn_shape_text(x, text, sizeof text), i);
        if (!present && c->lifted == 1 && x->d[i].per_row)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Squeeze without axes also removes the batch dim");
        if (!gone) y.d[y.rank++] = x->d[i];
    }
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    return hn_fold_view(c);
}

hone_status hn_infer_unsqueeze(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    const int64_t *axes = c->a->axes.i;
    int64_t n = (int64_t)c->a->axes.n;
    if (c->n->n_in > 1) HN_TRY(hn_in_i64s(c, 1, &axes, &n));
    if (n < 0 || n + x->rank > HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Unsqueeze: %lld axes on rank %d",
                       (long long)n, x->rank);
    struct hn_shape y = { .rank = x->rank + (int)n };
    uint32_t mask = 0;
    for (int64_t i = 0; i < n; i++) {
        int axis = 0;
        HN_TRY(hn_axis(c, axes[i], y.rank, &axis));
        if (mask >> axis & 1u)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "Unsqueeze: axis %d is named twice",
                           axis);
        mask |= 1u << axis;
    }
    for (int i = 0, from = 0; i < y.rank; i++)
        y.d[i] = mask >> i & 1u ? (struct hn_dim){ 0, 1 } : x->d[from++];
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    return hn_fold_view(c);
}

hone_status hn_infer_transpose(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    const struct hn_int_list *perm = &c->a->perm;
    struct hn_shape y = { .rank = x->rank };
    uint32_t seen = 0;
    if (perm->present && perm->n != (size_t)x->rank)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Transpose: perm has %zu numbers, the input rank %d", perm->n, x->rank);
    for (int i = 0; i < x->rank; i++) {
        int64_t from = perm->present ? perm->i[i] : x->rank - 1 - i;
        if (from < 0 || from >= x->rank || seen >> from & 1u)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Transpose: perm is no permutation of %d dims", x->rank);
        seen |= 1u << from;
        y.d[i] = x->d[from];
    }
    if (x->rank == 2) pass_root(c, !perm->present || perm->i[0] == 1);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

/* The shape of input i of a Concat: one row beside rows of the file's own batch of 1 is one for each of them. */
static const struct hn_shape *joined(const struct hn_infer *c, int i, int axis, struct hn_shape *as)
{
    const struct hn_shape *s = hn_in_shape(c, i);
    if (!s || c->lifted != 1 || axis == 0 || s->rank < 1 || !hn_is_one(s->d[0])) return s;
    *as = *s;
    for (int k = 0; k < c->n->n_in; k++) {
        const struct hn_shape *other = hn_in_shape(c, k);
        if (other && other->rank == s->rank && other->d[0].per_row == 1 && other->d[0].fixed == 0)
            as->d[0] = other->d[0];
    }
    return as;
}

hone_status hn_infer_concat(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0), row;
    char ta[160], tb[160];
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, y.rank, &axis));
    y = *joined(c, 0, axis, &row);
    for (int i = 1; i < c->n->n_in; i++) {
        const struct hn_shape *s = joined(c, i, axis, &row);
        int fits = s && s->rank == y.rank && hn_in_value(c, i)->dtype == hn_in_value(c, 0)->dtype;
        for (int k = 0; fits && k < y.rank; k++) fits = k == axis || hn_same_dim(s->d[k], y.d[k]);
        if (!fits && s && hn_in_value(c, i)->dtype != hn_in_value(c, 0)->dtype)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Concat: '%s' is %s, '%s' %s, wanted one type", hn_in_value(c, i)->name,
                           hn_dtype_name(hn_in_value(c, i)->dtype), hn_in_value(c, 0)->name,
                           hn_dtype_name(hn_in_value(c, 0)->dtype));
        if (!fits)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Concat along axis %d: input %d is %s, input 0 %s", axis, i,
                           s ? hn_shape_text(s, ta, sizeof ta) : "missing",
                           hn_shape_text(hn_in_shape(c, 0), tb, sizeof tb));
        if (!hn_add_i64(y.d[axis].fixed, s->d[axis].fixed, &y.d[axis].fixed))
            return hn_fail(c->err, HONE_E_BUDGET, c->label, "Concat: the result is too large");
        y.d[axis].per_row += s->d[axis].per_row;
    }
    if (y.d[axis].per_row && c->n->n_in > 1)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Concat along the batch dim");
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

/* Sizes of the pieces of a Split of `len` in n_out. */
static hone_status split_sizes(struct hn_infer *c, int64_t len, const int64_t **sizes)
{
    int64_t n = c->a->split.present ? (int64_t)c->a->split.n : -1, sum = 0;
    *sizes = c->a->split.i;
    if (c->n->n_in > 1) HN_TRY(hn_in_i64s(c, 1, sizes, &n));
    if (n < 0) {
        int64_t pieces = c->a->num_outputs ? c->a->num_outputs : c->n->n_out;
        int64_t each = pieces > 0 ? (len + pieces - 1) / pieces : 0;
        if (pieces != c->n->n_out || (!c->a->num_outputs && len % pieces != 0))
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Split of %lld into %lld pieces with %d outputs", (long long)len,
                           (long long)pieces, c->n->n_out);
        int64_t *made = hn_infer_alloc(c, (size_t)pieces, sizeof *made);
        if (!made) return HONE_E_NOMEM;
        for (int64_t i = 0; i < pieces; i++)
            made[i] = i < pieces - 1 ? each : len - each * (pieces - 1);
        *sizes = made, n = pieces;
    }
    for (int64_t i = 0; i < n && (*sizes)[i] >= 0 && sum <= len; i++)
        sum += (*sizes)[i] <= len ? (*sizes)[i] : len + 1;
    if (n != c->n->n_out || sum != len)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Split: %lld sizes for %d outputs do not make up %lld", (long long)n,
                       c->n->n_out, (long long)len);
    return HONE_OK;
}

hone_status hn_infer_split(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const int64_t *sizes;
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, y.rank, &axis));
    if (y.d[axis].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Split of the batch dim");
    HN_TRY(split_sizes(c, y.d[axis].fixed, &sizes));
    for (int k = 0; k < c->n->n_out; k++) {
        y.d[axis].fixed = sizes[k];
        HN_TRY(hn_out(c, k, hn_in_value(c, 0)->dtype, &y));
    }
    return HONE_OK;
}

/* An embedding: computed indices choose among the rows of a table. */
static hone_status check_table(struct hn_infer *c, int axis)
{
    const struct hn_value *x = hn_in_value(c, 0), *at = hn_in_value(c, 1);
    const int64_t most = (int64_t)1 << (x->dtype == HN_F64 ? 53 : 24);
    if (axis != 0 || !hn_dtype_is_float(x->dtype) || (at->dtype != HN_I64 && at->dtype != HN_I32))
        return hn_fail(
            c->err, HONE_E_UNSUPPORTED, c->label,
            "Gather of %s '%s' along axis %d by computed indices of %s: wanted rows of a table "
            "of floats",
            hn_dtype_name(x->dtype), x->name, axis, hn_dtype_name(at->dtype));
    if (x->shape.d[0].fixed < 1 || x->shape.d[0].fixed > most)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "Gather of '%s': a table of %lld rows, wanted 1 to %lld", x->name,
                       (long long)x->shape.d[0].fixed, (long long)most);
    return HONE_OK;
}

/* Other indices must be known. */
static hone_status check_indices(struct hn_infer *c, int axis)
{
    const struct hn_value *x = hn_in_value(c, 0);
    const struct hn_tensor *t = hn_in_value(c, 1)->constant;
    int64_t len = x->shape.d[axis].fixed;
    if (!t && x->constant) return check_table(c, axis);
    if (!t)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "Gather by computed indices is not supported");
    if (x->shape.d[axis].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Gather along the batch dim");
    for (int64_t i = 0; i < t->n; i++) {
        int64_t k = hn_tensor_i64(t, i);
        if (k < -len || k >= len)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Gather: index %lld outside of a dim of %lld", (long long)k,
                           (long long)len);
    }
    return HONE_OK;
}

hone_status hn_infer_gather(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0), *at = hn_in_shape(c, 1);
    struct hn_shape y = { 0 };
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &axis));
    if (x->rank - 1 + at->rank > HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_BUDGET, c->label, "Gather: rank above %d", HN_MAX_RANK);
    for (int i = 0; i < axis; i++) y.d[y.rank++] = x->d[i];
    for (int i = 0; i < at->rank; i++) y.d[y.rank++] = at->d[i];
    for (int i = axis + 1; i < x->rank; i++) y.d[y.rank++] = x->d[i];
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    if (x->rank == 1 && !hn_dtype_is_float(hn_in_value(c, 0)->dtype)) {
        int done = 0;
        HN_TRY(hn_pick_labels(c, 1, hn_in_value(c, 0)->constant, &done));
        if (done) return HONE_OK;
    }
    HN_TRY(hn_wants_numbers(c));
    return check_indices(c, axis);
}

static int computed_in_float32(enum hn_dtype t) { return hn_dtype_is_float(t) && t != HN_F64; }

/* To a type that does not hold every number of `from`, but for int64 to int32. */
static int narrows(enum hn_dtype from, enum hn_dtype to)
{
    return from != to && from != HN_BOOL && !hn_dtype_is_float(from) && !hn_dtype_is_float(to) &&
           (to == HN_BOOL || (hn_dtype_size(to) < 4 && hn_dtype_size(to) < hn_dtype_size(from)));
}

/* Between types that are computed in float32 nothing is rounded, and a weight behind it is the one that is stored; a constant
 * that is no parameter has the numbers of the type it is cast to. */
static hone_status cast_to(struct hn_infer *c, enum hn_dtype to)
{
    const struct hn_value *x = hn_in_value(c, 0);
    const struct hn_value_fact *known = &c->g->facts->values[c->n->in[0]];
    if (known->labels || (known->n_positions && (to == HN_STR || narrows(x->dtype, to))))
        return hn_cast_labels(c, to);
    if (hn_dtype_size(to) == 0 || to == HN_STR || x->dtype == HN_STR)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s from %s to type %d is not supported", c->n->type,
                       hn_dtype_name(x->dtype), (int)to);
    HN_TRY(hn_out(c, 0, to, &x->shape));
    if (to == x->dtype || c->n->out[0] < 0) return hn_fold_view(c);
    if (x->constant) {
        void *data = hn_infer_alloc(c, (size_t)x->constant->n + 1, hn_dtype_size(to));
        if (!data) return HONE_E_NOMEM;
        hn_convert(data, to, x->constant->data, x->dtype, x->constant->n);
        if (computed_in_float32(x->dtype) && computed_in_float32(to)) pass_root(c, 0);
        return make_constant(c, c->n->out[0], data);
    }
    if (!hn_dtype_is_float(to) && to != x->dtype && hn_dtype_is_float(x->dtype) &&
        !((to == HN_I64 || to == HN_I32) && hn_feeds_outputs(c->g, c->n->out[0])) && to != HN_BOOL)
        return hn_fail(
            c->err, HONE_E_UNSUPPORTED, c->label,
            "%s from %s to %s: integers are computed with at run time only where they end "
            "as indices, categories or outputs",
            c->n->type, hn_dtype_name(x->dtype), hn_dtype_name(to));
    if (narrows(x->dtype, to) && hn_int_count(c->g, c->n->in[0]) < 0)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s from %s to %s of numbers that are not known at import", c->n->type,
                       hn_dtype_name(x->dtype), hn_dtype_name(to));
    hn_same_labels(c);
    return HONE_OK;
}

/* Rows of a table with `on` where the index says and `off` elsewhere: an embedding that does not learn. */
hone_status hn_infer_one_hot(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const struct hn_value *values = hn_in_value(c, 2);
    double depth = 0;
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, y.rank + 1, &axis));
    if (axis != y.rank || y.rank >= HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "OneHot along axis %lld, wanted the last one", (long long)c->a->axis);
    if (!hn_value_scalar(c->g, hn_in(c, 1), &depth) || !(depth >= 1 && depth <= HN_MOST_ONE_HOT))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "OneHot of depth %g, wanted a constant from 1 to %d", depth,
                       HN_MOST_ONE_HOT);
    if (!values->constant || values->constant->n != 2)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "OneHot: '%s' is no pair of constants",
                       values->name);
    y.d[y.rank++] = (struct hn_dim){ 0, (int64_t)depth };
    return hn_out(c, 0, values->dtype, &y);
}

hone_status hn_infer_cast(struct hn_infer *c) { return cast_to(c, (enum hn_dtype)c->a->to); }

hone_status hn_infer_cast_like(struct hn_infer *c) { return cast_to(c, hn_in_value(c, 1)->dtype); }

hone_status hn_infer_shape(struct hn_infer *c)
{
    struct hn_shape y = { 1, { { 0, 0 } } };
    int64_t rank = hn_in_shape(c, 0)->rank;
    int64_t start = c->a->start, end = hn_has_attr(c->n, "end") ? c->a->end : rank;
    start = start < 0 ? start + rank : start, end = end < 0 ? end + rank : end;
    start = start < 0      ? 0
            : start > rank ? rank
                           : start,
    end = end < 0      ? 0
          : end > rank ? rank
                       : end;
    y.d[0].fixed = end > start ? end - start : 0;
    return hn_out(c, 0, HN_I64, &y);
}

hone_status hn_infer_size(struct hn_infer *c)
{
    return hn_out(c, 0, HN_I64, &(struct hn_shape){ .rank = 0 });
}

static hone_status constant_of(struct hn_infer *c, enum hn_dtype t, int rank, int64_t n,
                               const void *data)
{
    struct hn_shape s = { rank, { { 0, n } } };
    HN_TRY(hn_out(c, 0, t, &s));
    return make_constant(c, c->n->out[0], data);
}

hone_status hn_infer_constant(struct hn_infer *c)
{
    const struct hn_onnx_attrs *a = c->a;
    if (c->n->n_attrs != 1)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Constant has %d attributes, wanted one value", c->n->n_attrs);
    if (c->n->n_out < 1 || c->n->out[0] < 0) return HONE_OK;
    if (a->value) {
        struct hn_value *v = &c->g->values[c->n->out[0]];
        struct hn_shape s = { .rank = a->value->rank };
        for (int i = 0; i < s.rank; i++) s.d[i] = (struct hn_dim){ 0, a->value->dims[i] };
        HN_TRY(hn_out(c, 0, a->value->dtype, &s));
        v->constant = a->value;
        v->tensor_id = c->n->attrs[0].tensor_id;
        c->g->facts->values[c->n->out[0]].root = c->n->out[0];
        return HONE_OK;
    }
    if (a->value_ints.present)
        return constant_of(c, HN_I64, 1, (int64_t)a->value_ints.n, a->value_ints.i);
    if (a->value_floats.present)
        return constant_of(c, HN_F32, 1, (int64_t)a->value_floats.n, a->value_floats.f);
    float *f = hn_infer_alloc(c, 1, sizeof *f);
    if (!f) return HONE_E_NOMEM;
    *f = (float)a->value_float;
    return hn_has_attr(c->n, "value_int") ? constant_of(c, HN_I64, 0, 1, &a->value_int)
                                          : constant_of(c, HN_F32, 0, 1, f);
}

/* The integers of input i as a shape. */
static hone_status shape_input(struct hn_infer *c, int i, struct hn_shape *s)
{
    int64_t n;
    int nomem;
    const struct hn_dim *d = hn_value_ints(c->g, hn_in(c, i), &n, &nomem);
    if (nomem) return hn_nomem(c->err, "shape inference", 0);
    if (!d || n > HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s: the shape '%s' depends on the data or has rank above 8", c->n->type,
                       hn_in_value(c, i)->name);
    s->rank = (int)n;
    for (int k = 0; k < s->rank; k++) {
        s->d[k] = d[k];
        if (d[k].per_row < 0 || d[k].fixed < 0)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: dim %d is negative", c->n->type, k);
    }
    return HONE_OK;
}

hone_status hn_infer_expand(struct hn_infer *c)
{
    struct hn_value_fact *f = c->g->facts->values;
    struct hn_shape to, y;
    double x;
    int number = hn_value_scalar(c->g, c->n->in[0], &x);
    HN_TRY(shape_input(c, 1, &to));
    const struct hn_shape *from = hn_in_shape(c, 0);
    if (c->lifted && from->rank == to.rank && to.rank > 0 && from->d[0].per_row == 1 &&
        from->d[0].fixed == 0 && !to.d[0].per_row && to.d[0].fixed == c->lifted)
        to.d[0] = from->d[0]; /* the file's own batch size is the batch */
    HN_TRY(hn_shape_broadcast(hn_in_shape(c, 0), &to, &y, c->label, c->err));
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    if (c->n->out[0] >= 0 && number) {
        f[c->n->out[0]].splat = 1;
        f[c->n->out[0]].splat_value = x;
    }
    return HONE_OK;
}

hone_status hn_infer_constant_of_shape(struct hn_infer *c)
{
    const struct hn_tensor *t = c->a->value;
    struct hn_shape y;
    HN_TRY(shape_input(c, 0, &y));
    if (t && (t->n != 1 || t->dtype == HN_STR))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "ConstantOfShape: value has %lld elements, wanted one", (long long)t->n);
    HN_TRY(hn_out(c, 0, t ? t->dtype : HN_F32, &y));
    struct hn_value_fact *f = c->g->facts->values;
    if (c->n->out[0] < 0) return HONE_OK;
    f[c->n->out[0]].splat = 1;
    f[c->n->out[0]].splat_value = t ? hn_tensor_f64(t, 0) : 0;
    return HONE_OK;
}

/* ---- Range: from numbers that are known --------------------------------------------------------------------------------- */

/* A constant, or shape arithmetic without N. */
static int number_of(struct hn_infer *c, int i, double *x)
{
    int nomem = 0;
    int64_t n;
    const struct hn_dim *d;
    if (hn_value_scalar(c->g, hn_in(c, i), x)) return 1;
    d = hn_value_ints(c->g, hn_in(c, i), &n, &nomem);
    if (!d || n != 1 || d->per_row) return 0;
    return *x = (double)d->fixed, 1;
}

hone_status hn_infer_range(struct hn_infer *c)
{
    enum { MOST = 1 << 24 };
    double v[3]; /* start, limit, delta */
    const enum hn_dtype type = hn_in_value(c, 0)->dtype;
    HN_TRY(hn_same_types(c, 0));
    for (int i = 0; i < 3; i++)
        if (!number_of(c, i, &v[i]))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "Range: '%s' is not known at import", hn_in_value(c, i)->name);
    const double n = v[2] != 0 ? ceil((v[1] - v[0]) / v[2]) : HUGE_VAL;
    if (!(n <= MOST))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Range from %g to %g by %g, wanted at most %d numbers", v[0], v[1], v[2],
                       MOST);
    const int64_t count = n > 0 ? (int64_t)n : 0;
    const struct hn_shape y = { .rank = 1, .d = { { 0, count } } };
    HN_TRY(hn_out(c, 0, type, &y));
    double *numbers = hn_infer_alloc(c, (size_t)count + 1, sizeof *numbers);
    void *data = hn_infer_alloc(c, (size_t)count + 1, hn_dtype_size(type));
    if (!numbers || !data) return HONE_E_NOMEM;
    for (int64_t i = 0; i < count; i++) numbers[i] = v[0] + (double)i * v[2];
    hn_convert(data, type, numbers, HN_F64, count);
    return make_constant(c, c->n->out[0], data);
}
