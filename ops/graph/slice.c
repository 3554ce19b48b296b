/* SPDX-License-Identifier: MIT
 *
 * Slice: starts, ends, axes and steps from attributes (opset 1) or inputs (10 and later), brought into one form that
 * inference, shape arithmetic and lowering share. Negative positions count from the end; positions are clamped. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"

/* Number i of starts (which 0), ends (1), axes (2) or steps (3); 0: not known. */
static int number(const struct hn_node *n, const struct hn_graph *g, const struct hn_onnx_attrs *a,
                  int which, int64_t i, struct hn_dim *d)
{
    const struct hn_int_list *lists[] = { &a->starts, &a->ends, &a->axes };
    *d = (struct hn_dim){ 0, which == 2 ? i : 1 };
    if (a->starts.present) {
        if (which == 3 || (which == 2 && !a->axes.present)) return 1;
        if ((size_t)i >= lists[which]->n) return 0;
        d->fixed = lists[which]->i[i];
        return 1;
    }
    int32_t v = which + 1 < n->n_in ? n->in[which + 1] : -1;
    return v < 0 ? which >= 2 : hn_int_at(g, v, i, d);
}

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) { return x < lo ? lo : x > hi ? hi : x; }

static hone_status cut(const char *label, struct hn_dim len, struct hn_dim start, struct hn_dim end,
                       struct hn_cut *y, hone_error *err)
{
    if (len.per_row || start.per_row || end.per_row) {
        int whole = y->step == 1 && hn_is_fixed(start, 0) &&
                    (hn_same_dim(end, len) || end.fixed >= INT32_MAX);
        y->start = 0, y->len = len;
        return whole ? HONE_OK
                     : hn_fail(err, HONE_E_UNSUPPORTED, label,
                               "Slice along dim %d, which follows the batch size, or to a "
                               "bound that does",
                               y->axis);
    }
    int64_t d = len.fixed, s = start.fixed, e = end.fixed, n;
    s = s < 0 ? clamp(s, -d - 1, -1) + d : s, e = e < 0 ? clamp(e, -d - 1, -1) + d : e;
    if (y->step > 0) {
        s = clamp(s, 0, d), e = clamp(e, 0, d);
        n = e > s ? (e - s - 1) / y->step + 1 : 0;
    } else {
        s = clamp(s, 0, d - 1), e = end.fixed < -d ? -1 : clamp(e, -1, d - 1);
        n = d > 0 && s > e ? (s - e - 1) / -y->step + 1 : 0;
    }
    y->start = n > 0 ? s : 0;
    y->len = (struct hn_dim){ 0, n };
    return HONE_OK;
}

hone_status hn_slice_cuts(const struct hn_graph *g, const struct hn_node *n,
                          const struct hn_onnx_attrs *a, struct hn_cut *cuts, int *n_cuts,
                          hone_error *err)
{
    const struct hn_shape *x = &g->values[n->in[0]].shape;
    char label[200];
    int64_t count = a->starts.present ? (int64_t)a->starts.n
                    : n->n_in > 1     ? hn_int_count(g, n->in[1])
                                      : -1;
    uint32_t seen = 0;
    hn_node_label(n, label, sizeof label);
    if (count < 0 || count > x->rank)
        return hn_fail(err, HONE_E_UNSUPPORTED, label,
                       "Slice: the starts are computed, or more than the rank %d", x->rank);
    *n_cuts = (int)count;
    for (int i = 0; i < *n_cuts; i++) {
        struct hn_dim start, end, axis, step;
        if (!number(n, g, a, 0, i, &start) || !number(n, g, a, 1, i, &end) ||
            !number(n, g, a, 2, i, &axis) || !number(n, g, a, 3, i, &step))
            return hn_fail(err, HONE_E_UNSUPPORTED, label,
                           "Slice: starts, ends, axes or steps are computed or differ in number");
        int64_t at = axis.fixed < 0 ? axis.fixed + x->rank : axis.fixed;
        if (axis.per_row || at < 0 || at >= x->rank || seen >> at & 1u || step.per_row ||
            step.fixed == 0 || step.fixed == INT64_MIN)
            return hn_fail(err, HONE_E_MODEL, label,
                           "Slice: axis %lld or step %lld is not valid here", (long long)axis.fixed,
                           (long long)step.fixed);
        seen |= 1u << at;
        cuts[i] = (struct hn_cut){ .axis = (int)at, .step = step.fixed };
        HN_TRY(cut(label, x->d[at], start, end, &cuts[i], err));
    }
    return HONE_OK;
}

hone_status hn_infer_slice(struct hn_infer *c)
{
    struct hn_cut cuts[HN_MAX_RANK];
    struct hn_shape y = *hn_in_shape(c, 0);
    int n;
    HN_TRY(hn_slice_cuts(c->g, c->n, c->a, cuts, &n, c->err));
    for (int i = 0; i < n; i++) y.d[cuts[i].axis] = cuts[i].len;
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

hone_status hn_ints_slice(struct hn_infer *c)
{
    struct hn_cut cut;
    int64_t n;
    int n_cuts, nomem;
    if (hn_in_shape(c, 0)->rank != 1) return HONE_OK;
    const struct hn_dim *x = hn_value_ints(c->g, hn_in(c, 0), &n, &nomem);
    if (nomem) return hn_nomem(c->err, "shape arithmetic", 0);
    if (!x) return HONE_OK;
    HN_TRY(hn_slice_cuts(c->g, c->n, c->a, &cut, &n_cuts, c->err));
    if (n_cuts != 1) return hn_ints_copy(c);
    struct hn_dim *y = hn_infer_alloc(c, (size_t)cut.len.fixed + 1, sizeof *y);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < cut.len.fixed; i++) y[i] = x[cut.start + i * cut.step];
    c->g->facts->values[c->n->out[0]].ints = y;
    c->g->facts->values[c->n->out[0]].n_ints = cut.len.fixed;
    return HONE_OK;
}
