/* SPDX-License-Identifier: MIT
 *
 * Pad with a constant: y is x between numbers, which a program says as a join. Negative pads cut. The pads are an attribute before
 * opset 11, an input since; which axes they are for may be said from opset 18 on. The rows of the data are not padded. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

struct pads {
    int64_t before[HN_MAX_RANK], after[HN_MAX_RANK];
};

static int axis_at(const struct hn_graph *g, const struct hn_node *n, int rank, int64_t i)
{
    struct hn_dim d = { 0, i };
    if (n->n_in > 3 && n->in[3] >= 0 && (!hn_int_at(g, n->in[3], i, &d) || d.per_row)) return -1;
    const int64_t at = d.fixed < 0 ? d.fixed + rank : d.fixed;
    return at >= 0 && at < rank ? (int)at : -1;
}

/* How many axes are padded; -1: not known. */
static int64_t n_axes(const struct hn_graph *g, const struct hn_node *n,
                      const struct hn_onnx_attrs *a)
{
    const int64_t pads = a->pads.present ? (int64_t)a->pads.n
                         : n->n_in > 1   ? hn_int_count(g, n->in[1])
                                         : -1;
    if (pads < 0 || pads % 2 || pads > (int64_t)2 * HN_MAX_RANK) return -1;
    if (n->n_in > 3 && n->in[3] >= 0 && hn_int_count(g, n->in[3]) != pads / 2) return -1;
    return pads / 2;
}

static hone_status read_pads(const struct hn_graph *g, const struct hn_node *n,
                             const struct hn_onnx_attrs *a, struct pads *p, hone_error *err)
{
    const int rank = g->values[n->in[0]].shape.rank;
    const int64_t axes = n_axes(g, n, a);
    char label[200];
    uint32_t seen = 0;
    hn_node_label(n, label, sizeof label);
    *p = (struct pads){ { 0 }, { 0 } };
    if (axes < 0 || (!(n->n_in > 3 && n->in[3] >= 0) && axes != rank))
        return hn_fail(err, HONE_E_UNSUPPORTED, label,
                       "Pad: the pads are computed, or not two for each of %d axes", rank);
    for (int64_t i = 0; i < 2 * axes; i++) {
        struct hn_dim d = { 0, 0 };
        const int at = axis_at(g, n, rank, i % axes);
        if (a->pads.present) d.fixed = a->pads.i[i];
        if ((!a->pads.present && !hn_int_at(g, n->in[1], i, &d)) || d.per_row || at < 0 ||
            (i < axes && seen >> at & 1u))
            return hn_fail(err, HONE_E_UNSUPPORTED, label,
                           "Pad: pad %lld or its axis is computed or not valid here", (long long)i);
        seen |= 1u << at;
        (i < axes ? p->before : p->after)[at] = d.fixed;
    }
    return HONE_OK;
}

static int is_constant(const struct hn_onnx_attrs *a)
{
    return !a->mode || !strcmp(a->mode, "constant");
}

hone_status hn_infer_pad(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    struct pads p;
    double fill;
    if (!is_constant(c->a))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Pad: mode '%s', wanted constant",
                       c->a->mode);
    if (hn_in(c, 2) >= 0 && !hn_value_scalar(c->g, hn_in(c, 2), &fill))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Pad: the number '%s' is computed",
                       hn_in_value(c, 2)->name);
    HN_TRY(read_pads(c->g, c->n, c->a, &p, c->err));
    for (int i = 0; i < y.rank; i++) {
        int64_t n = y.d[i].fixed;
        if (!p.before[i] && !p.after[i]) continue;
        if (y.d[i].per_row)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "Pad along dim %d, which follows the batch size", i);
        if (p.before[i] < -n || p.after[i] < -n || !hn_add_i64(n, p.before[i], &n) ||
            !hn_add_i64(n, p.after[i], &n) || n < 0)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Pad: %lld and %lld around the %lld numbers of dim %d",
                           (long long)p.before[i], (long long)p.after[i], (long long)y.d[i].fixed,
                           i);
        y.d[i].fixed = n;
    }
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

/* n numbers along the axis, beside x. */
static hone_status filled(struct hn_lowering *l, int32_t x, int axis, int64_t n, double fill,
                          int32_t *out)
{
    struct hn_shape s = l->values[x].shape;
    s.d[axis].fixed = n;
    HN_TRY(hn_l_fill(l, &s, fill, out));
    return hn_shape_count(&s).per_row ? hn_l_rows(l, *out, &s, out) : HONE_OK;
}

static hone_status pad_axis(struct hn_lowering *l, int axis, int64_t before, int64_t after,
                            double fill, int32_t *x)
{
    const struct hn_concat join = { axis };
    const int64_t left = before < 0 ? -before : 0, right = after < 0 ? -after : 0,
                  whole = l->values[*x].shape.d[axis].fixed;
    const struct hn_slice cut = { axis, left, whole - left - right, 1 };
    int32_t in[3];
    int n = 0;
    if (left || right) HN_TRY(hn_l_op(l, &hn_op_slice, &cut, x, 1, x));
    if (before > 0) HN_TRY(filled(l, *x, axis, before, fill, &in[n++]));
    in[n++] = *x;
    if (after > 0) HN_TRY(filled(l, *x, axis, after, fill, &in[n++]));
    return n > 1 ? hn_l_op(l, &hn_op_concat, &join, in, n, x) : HONE_OK;
}

hone_status hn_lower_pad(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_onnx_attrs *a)
{
    struct pads p;
    double fill = a->pads.present ? a->fill : 0;
    int32_t y;
    HN_TRY(read_pads(l->g, n, a, &p, l->err));
    if (n->n_in > 2 && n->in[2] >= 0) (void)hn_value_scalar(l->g, n->in[2], &fill);
    HN_TRY(hn_l_value(l, n->in[0], &y));
    for (int i = 0; i < l->values[y].shape.rank; i++)
        HN_TRY(pad_axis(l, i, p.before[i], p.after[i], fill, &y));
    return hn_l_bind(l, n->out[0], y);
}
