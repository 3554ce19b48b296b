/* SPDX-License-Identifier: MIT
 *
 * Shapes and types of the operators that compute: element-wise, products, normalisations, reductions. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

hone_status hn_infer_unary(struct hn_infer *c)
{
    if (c->a->approximate && strcmp(c->a->approximate, "none") != 0 &&
        strcmp(c->a->approximate, "tanh") != 0)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Gelu: approximate is '%s', wanted none or tanh", c->a->approximate);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, hn_in_shape(c, 0));
}

hone_status hn_broadcast_inputs(struct hn_infer *c, struct hn_shape *s)
{
    for (int i = 0; i < c->n->n_in && c->g->facts->unbatched; i++)
        if (hn_in_value(c, i) && hn_in_value(c, i)->constant && hn_in_shape(c, i)->rank > 1)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s with a matrix", c->n->type);
    *s = *hn_in_shape(c, 0);
    for (int i = 1; i < c->n->n_in; i++) {
        struct hn_shape y;
        if (hn_in(c, i) < 0)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: input %d is missing", c->n->type,
                           i);
        HN_TRY(hn_shape_broadcast(s, hn_in_shape(c, i), &y, c->label, c->err));
        *s = y;
    }
    return HONE_OK;
}

hone_status hn_same_types(struct hn_infer *c, int from)
{
    enum hn_dtype t = hn_in_value(c, from)->dtype;
    for (int i = from + 1; i < c->n->n_in; i++)
        if (hn_in(c, i) >= 0 && hn_in_value(c, i)->dtype != t)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: '%s' is %s but '%s' is %s",
                           c->n->type, hn_in_value(c, from)->name, hn_dtype_name(t),
                           hn_in_value(c, i)->name, hn_dtype_name(hn_in_value(c, i)->dtype));
    return HONE_OK;
}

static int is_index(enum hn_dtype t) { return t == HN_I64 || t == HN_I32; }

int hn_comes_as_integers(const struct hn_infer *c, int i)
{
    const struct hn_value *v = hn_in_value(c, i);
    return v && !hn_dtype_is_float(v->dtype) && !v->constant && hn_int_count(c->g, c->n->in[i]) < 0;
}

hone_status hn_wants_floats(const struct hn_infer *c, int i)
{
    const struct hn_value *v = hn_in_value(c, i);
    return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                   "%s of '%s', which is %s: wanted a float type", c->n->type, v->name,
                   hn_dtype_name(v->dtype));
}

/* Integers are computed at import only, as constants or as shape arithmetic; but for sums, differences, products and quotients
 * that end as indices of a table. */
static hone_status no_integers(struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++) {
        if (!hn_comes_as_integers(c, i)) continue;
        if (is_index(hn_in_value(c, i)->dtype) && c->row->kind <= HN_B_DIV &&
            hn_feeds_indices(c->g, c->n->out[0]))
            continue;
        return hn_wants_floats(c, i);
    }
    return HONE_OK;
}

hone_status hn_infer_mod(struct hn_infer *c)
{
    struct hn_shape s;
    HN_TRY(hn_same_types(c, 0));
    HN_TRY(hn_broadcast_inputs(c, &s));
    for (int i = 0; i < 2; i++)
        if (hn_comes_as_integers(c, i)) return hn_wants_floats(c, i);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &s);
}

hone_status hn_infer_binary(struct hn_infer *c)
{
    struct hn_shape s;
    if (c->row->kind != HN_B_POW) HN_TRY(hn_same_types(c, 0));
    HN_TRY(hn_broadcast_inputs(c, &s));
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &s));
    return no_integers(c);
}

/* Does `s` broadcast to `to` without changing it? */
static int broadcasts_to(const struct hn_shape *s, const struct hn_shape *to)
{
    struct hn_shape y;
    return hn_shape_broadcast(s, to, &y, "", NULL) == HONE_OK && hn_same_shape(&y, to);
}

hone_status hn_infer_gemm(struct hn_infer *c)
{
    const struct hn_shape *a = hn_in_shape(c, 0), *b = hn_in_shape(c, 1), *bias = hn_in_shape(c, 2);
    char ta[160], tb[160];
    HN_TRY(hn_same_types(c, 0));
    if (a->rank != 2 || b->rank != 2)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "%s: A is %s and B is %s, wanted two matrices", c->n->type,
                       hn_shape_text(a, ta, sizeof ta), hn_shape_text(b, tb, sizeof tb));
    int i = c->a->trans_a != 0, j = c->a->trans_b != 0;
    if (!hn_same_dim(a->d[1 - i], b->d[j]))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "%s: A is %s%s and B is %s%s: the inner sizes differ", c->n->type,
                       hn_shape_text(a, ta, sizeof ta), i ? " transposed" : "",
                       hn_shape_text(b, tb, sizeof tb), j ? " transposed" : "");
    struct hn_shape y = { 2, { a->d[i], b->d[1 - j] } };
    if (bias && !broadcasts_to(bias, &y))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "%s: C is %s, which does not broadcast to %s", c->n->type,
                       hn_shape_text(bias, ta, sizeof ta), hn_shape_text(&y, tb, sizeof tb));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

int hn_matmul_weight(const struct hn_graph *g, const struct hn_node *n, int32_t *x, int32_t *w,
                     int *trans)
{
    const struct hn_onnx_attrs *a = g->facts->nodes[n - g->nodes].attrs;
    for (*trans = 0; *trans < 2; ++*trans) { /* W x, on a single row, is x W^T */
        *x = n->in[*trans ? 1 : 0], *w = n->in[*trans ? 0 : 1];
        if (g->values[*w].constant && g->values[*w].shape.rank == 2 && !g->values[*x].constant &&
            g->values[*x].shape.rank >= 1 && (!*trans || g->facts->unbatched))
            break;
    }
    if (*trans > 1 || !a || (n->row && !n->row->attrs)) return *trans < 2;
    *trans = a->trans_b != 0; /* FusedMatMul, which has no form for single rows */
    return !a->trans_a;
}

/* A single row with N in front: [N,k] times a constant matrix on either side. */
static hone_status single_row_matmul(struct hn_infer *c)
{
    char tx[160], tw[160];
    int32_t x, w;
    int trans;
    if (!hn_matmul_weight(c->g, c->n, &x, &w, &trans))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "MatMul without a constant matrix");
    const struct hn_shape *xs = &c->g->values[x].shape, *ws = &c->g->values[w].shape;
    if (xs->rank != 2 || !hn_same_dim(xs->d[1], ws->d[trans]))
        return hn_fail(c->err, HONE_E_MODEL, c->label, "MatMul: %s and %s: the inner sizes differ",
                       hn_shape_text(xs, tx, sizeof tx), hn_shape_text(ws, tw, sizeof tw));
    struct hn_shape y = { 2, { xs->d[0], ws->d[1 - trans] } };
    return hn_out(c, 0, c->g->values[x].dtype, &y);
}

/* FusedMatMul alone has attributes. */
static hone_status turn(struct hn_infer *c, struct hn_shape *a, struct hn_shape *b)
{
    struct hn_shape *const s[2] = { a, b };
    if (c->a->batch_a || c->a->batch_b)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s: transposes of the batch dims are not supported", c->n->type);
    for (int i = 0; i < 2; i++) {
        if (!(i ? c->a->trans_b : c->a->trans_a)) continue;
        if (s[i]->rank < 2)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s: a transposed vector",
                           c->n->type);
        struct hn_dim last = s[i]->d[s[i]->rank - 1];
        s[i]->d[s[i]->rank - 1] = s[i]->d[s[i]->rank - 2], s[i]->d[s[i]->rank - 2] = last;
    }
    return HONE_OK;
}

/* Numpy's rules: 1-D operands get a dim that is dropped again, leading dims broadcast. */
hone_status hn_infer_matmul(struct hn_infer *c)
{
    struct hn_shape a = *hn_in_shape(c, 0), b = *hn_in_shape(c, 1), y;
    char ta[160], tb[160];
    HN_TRY(hn_same_types(c, 0));
    if (c->g->facts->unbatched && !(hn_in_value(c, 0)->constant && hn_in_value(c, 1)->constant))
        return single_row_matmul(c);
    if (c->row->attrs) HN_TRY(turn(c, &a, &b));
    int one_a = a.rank == 1, one_b = b.rank == 1;
    if (one_a) a = (struct hn_shape){ 2, { { 0, 1 }, a.d[0] } };
    if (one_b) b = (struct hn_shape){ 2, { b.d[0], { 0, 1 } } };
    if (a.rank < 2 || b.rank < 2 || !hn_same_dim(a.d[a.rank - 1], b.d[b.rank - 2]))
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: %s times %s: the inner sizes differ",
                       c->n->type, hn_shape_text(hn_in_shape(c, 0), ta, sizeof ta),
                       hn_shape_text(hn_in_shape(c, 1), tb, sizeof tb));
    struct hn_dim m = a.d[a.rank - 2], n = b.d[b.rank - 1];
    a.rank -= 2, b.rank -= 2;
    HN_TRY(hn_shape_broadcast(&a, &b, &y, c->label, c->err));
    if (!one_a) y.d[y.rank++] = m;
    if (!one_b) y.d[y.rank++] = n;
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

int hn_needless(const struct hn_onnx_row *row, int k)
{
    return (row->infer == hn_infer_batchnorm && k >= 3) || (row->infer == hn_infer_if && k != 1);
}

hone_status hn_infer_batchnorm(struct hn_infer *c)
{
    static const char *const names[] = { "x", "scale", "B", "mean", "var" };
    const struct hn_shape *x = hn_in_shape(c, 0);
    char text[160];
    int full = c->row->kind ? 3 : 5;
    if (x->rank < 2 || x->d[1].per_row != 0)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "BatchNormalization of %s: wanted [N,C,...] with a fixed C",
                       hn_shape_text(x, text, sizeof text));
    for (int i = 1; i < 5; i++) {
        const struct hn_shape *s = hn_in_shape(c, i);
        if (!hn_in_value(c, i)->shape_known) continue;
        if (s->rank != 1 || !hn_same_dim(s->d[0], x->d[1]))
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "BatchNormalization: %s is %s, wanted [%lld]", names[i],
                           hn_shape_text(s, text, sizeof text), (long long)x->d[1].fixed);
    }
    if (c->n->n_out != 1 && c->n->n_out != full)
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "BatchNormalization has %d outputs, wanted 1 or %d", c->n->n_out, full);
    if (x->rank > 2 && !c->a->spatial)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "BatchNormalization with spatial 0 on %s",
                       hn_shape_text(x, text, sizeof text));
    if (!(c->a->epsilon >= 0) || !(c->a->momentum >= 0 && c->a->momentum <= 1))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "BatchNormalization: epsilon %g, momentum %g", c->a->epsilon,
                       c->a->momentum);
    for (int i = 1; i < 5; i++) {
        int statistic = i >= 3;
        if (hn_in_value(c, i)->constant || (statistic && hn_batchnorm_form(c->n, c->a))) continue;
        if (hn_in_value(c, i)->is_input)
            return hn_fail(
                c->err, HONE_E_UNSUPPORTED, c->label,
                "BatchNormalization: %s '%s' is a graph input: the file has no values for it",
                names[i], hn_in_value(c, i)->name);
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "BatchNormalization: %s is computed, wanted a constant", names[i]);
    }
    for (int k = 1; k < c->n->n_out; k++)
        HN_TRY(hn_out(c, k, hn_in_value(c, 3)->dtype, hn_in_shape(c, 1)));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_infer_dropout(struct hn_infer *c)
{
    double ratio = c->row->kind ? 0.5 : c->a->ratio;
    if (hn_in(c, 1) >= 0 && !hn_value_scalar(c->g, hn_in(c, 1), &ratio))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "Dropout: the ratio '%s' is computed, wanted a constant",
                       hn_in_value(c, 1)->name);
    if (!(ratio >= 0 && ratio < 1))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "Dropout: the ratio is %g, wanted 0 <= ratio < 1", ratio);
    HN_TRY(hn_out(c, 1, HN_BOOL, hn_in_shape(c, 0)));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, hn_in_shape(c, 0));
}

hone_status hn_infer_layernorm(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char ts[160], tx[160];
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &axis));
    struct hn_shape tail = { .rank = x->rank - axis }, stats = *x;
    for (int i = axis; i < x->rank; i++)
        tail.d[i - axis] = x->d[i], stats.d[i] = (struct hn_dim){ 0, 1 };
    for (int i = 0; i < tail.rank; i++)
        if (tail.d[i].per_row)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "LayerNormalization of %s over the batch",
                           hn_shape_text(x, tx, sizeof tx));
    for (int i = 1; i < 3; i++)
        if (hn_in(c, i) >= 0 &&
            hn_shape_count(hn_in_shape(c, i)).fixed != hn_shape_count(&tail).fixed)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "LayerNormalization of %s from axis %d: found %s, wanted %s",
                           hn_shape_text(x, tx, sizeof tx), axis, hn_in_value(c, i)->name,
                           hn_shape_text(&tail, ts, sizeof ts));
    for (int k = 1; k < 3; k++) HN_TRY(hn_out(c, k, HN_F32, &stats));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_infer_rmsnorm(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char tx[160], ts[160];
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &axis));
    for (int i = axis; i < x->rank; i++)
        if (x->d[i].per_row)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s of %s over the batch",
                           c->n->type, hn_shape_text(x, tx, sizeof tx));
    if (!broadcasts_to(hn_in_shape(c, 1), x))
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: the scale %s does not broadcast to %s",
                       c->n->type, hn_shape_text(hn_in_shape(c, 1), ts, sizeof ts),
                       hn_shape_text(x, tx, sizeof tx));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_infer_lpnorm(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char text[160];
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &axis));
    if (c->a->p != 1 && c->a->p != 2)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "LpNormalization: p is %lld, wanted 1 or 2",
                       (long long)c->a->p);
    if (x->d[axis].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "LpNormalization of %s over the batch",
                       hn_shape_text(x, text, sizeof text));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_infer_softmax(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char text[160];
    int axis = 0, per_axis = c->row->kind & 2;
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &axis));
    for (int i = axis; i < (per_axis ? axis + 1 : x->rank); i++)
        if (x->d[i].per_row)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s of %s along the batch dim %d",
                           c->n->type, hn_shape_text(x, text, sizeof text), i);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_infer_clip(struct hn_infer *c)
{
    double bound;
    for (int i = 1; i < 3; i++)
        if (hn_in(c, i) >= 0 && !hn_value_scalar(c->g, hn_in(c, i), &bound))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "Clip: the bound '%s' is not a constant scalar",
                           hn_in_value(c, i)->name);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, hn_in_shape(c, 0));
}

hone_status hn_infer_prelu(struct hn_infer *c)
{
    char tx[160], ts[160];
    HN_TRY(hn_same_types(c, 0));
    if (!broadcasts_to(hn_in_shape(c, 1), hn_in_shape(c, 0)))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "PRelu: the slope %s does not broadcast to %s",
                       hn_shape_text(hn_in_shape(c, 1), ts, sizeof ts),
                       hn_shape_text(hn_in_shape(c, 0), tx, sizeof tx));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, hn_in_shape(c, 0));
}

/* Over all dims behind the channels, which stay as ones */
hone_status hn_infer_global_pool(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    if (y.rank < 3 || y.d[1].per_row)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s of %d dims, wanted [N, C, ...]",
                       c->n->type, y.rank);
    for (int i = 2; i < y.rank; i++) y.d[i] = (struct hn_dim){ 0, 1 };
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

hone_status hn_infer_reduce(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    struct hn_shape y = { 0 };
    uint32_t mask;
    int present;
    HN_TRY(hn_axes_mask(c, 1, x->rank, &mask, &present));
    if (mask == 0) mask = c->a->noop ? 0 : (1u << x->rank) - 1;
    for (int i = 0; i < x->rank; i++) {
        int gone = (int)(mask >> i & 1u);
        if (!gone || c->a->keepdims) y.d[y.rank++] = gone ? (struct hn_dim){ 0, 1 } : x->d[i];
    }
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    return no_integers(c);
}
