/* SPDX-License-Identifier: MIT
 *
 * Operators that repeat, pick, pad and mask by numbers known at import: Tile, GatherND, Pad, Trilu, CumSum, and the
 * pieces that SplitToSequence cuts and SequenceAt picks. Rows
 * of a constant, one for each row of the batch, get their number from an input. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

static const struct hn_shape *shape_of(const struct hn_lowering *l, int32_t v)
{
    return &l->g->values[v].shape;
}

/* ---- rows that all are alike ------------------------------------------------------------------------------------------ */

/* Zeros with N in dim `axis` of `rank` dims, the others 1: the first column of an input, kept nowhere. */
static hone_status zero_rows(struct hn_lowering *l, int rank, int axis, int32_t *y)
{
    struct hn_shape flat = { .rank = 2 }, s = { .rank = rank };
    int32_t x = -1, none;
    for (size_t i = 0; i < l->g->n_inputs && x < 0; i++) {
        const struct hn_shape *in = shape_of(l, l->g->inputs[i]);
        if (in->rank < 1 || in->d[0].per_row != 1 || in->d[0].fixed != 0) continue;
        flat.d[0] = in->d[0], flat.d[1] = (struct hn_dim){ 0, 1 };
        for (int k = 1; k < in->rank; k++) flat.d[1].fixed *= in->d[k].fixed;
        if (flat.d[1].fixed > 0) HN_TRY(hn_l_value(l, l->g->inputs[i], &x));
    }
    if (x < 0)
        return hn_fail(l->err, HONE_E_UNSUPPORTED, NULL,
                       "a constant of N rows, where no input has N rows");
    HN_TRY(hn_l_view(l, x, &flat, &x));
    if (flat.d[1].fixed > 1)
        HN_TRY(hn_l_op(l, &hn_op_slice, &(struct hn_slice){ 1, 0, 1, 1 }, &x, 1, &x));
    HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, 0, &none));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, x, none, &x));
    for (int k = 0; k < rank; k++) s.d[k] = k == axis ? flat.d[0] : (struct hn_dim){ 0, 1 };
    return hn_l_view(l, x, &s, y);
}

hone_status hn_l_rows(struct hn_lowering *l, int32_t x, const struct hn_shape *to, int32_t *y)
{
    struct hn_shape have;
    int axis = 0;
    int32_t zero;
    while (axis < to->rank && !to->d[axis].per_row) axis++;
    if (axis == to->rank || to->d[axis].per_row != 1 || to->d[axis].fixed != 0)
        return hn_fail(l->err, HONE_E_UNSUPPORTED, NULL,
                       "a constant of several rows for each of N");
    HN_TRY(zero_rows(l, to->rank, axis, &zero));
    HN_TRY(hn_l_binary(l, HN_B_ADD, x, zero, y));
    have = l->values[*y].shape;
    if (hn_same_shape(&have, to)) return HONE_OK;
    HN_TRY(hn_l_fill(l, to, 0, &zero));
    return hn_l_binary(l, HN_B_ADD, *y, zero, y);
}

/* ---- Tile --------------------------------------------------------------------------------------------------------- */

hone_status hn_infer_tile(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const int64_t *times;
    int64_t n;
    HN_TRY(hn_in_i64s(c, 1, &times, &n));
    if (n != y.rank)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Tile: %lld repeats of %d dims",
                       (long long)n, y.rank);
    for (int i = 0; i < y.rank; i++) {
        if (y.d[i].per_row && times[i] != 1)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Tile along the batch dim");
        if (times[i] < 0 || __builtin_mul_overflow(y.d[i].fixed, times[i], &y.d[i].fixed))
            return hn_fail(c->err, HONE_E_MODEL, c->label, "Tile: %lld repeats",
                           (long long)times[i]);
    }
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

/* x with dim `axis` repeated: seen as [..., 1, d, ...], a sum with zeros of [..., times, d, ...]. */
static hone_status repeat(struct hn_lowering *l, int axis, int64_t times, int32_t *x)
{
    struct hn_shape s = l->values[*x].shape, in = { .rank = s.rank + 1 }, zeros;
    int32_t zero;
    if (s.rank == HN_MAX_RANK)
        return hn_fail(l->err, HONE_E_UNSUPPORTED, NULL, "Tile of %d dims", s.rank);
    for (int i = 0; i <= s.rank; i++)
        in.d[i] = i < axis ? s.d[i] : i == axis ? (struct hn_dim){ 0, 1 } : s.d[i - 1];
    zeros = in, zeros.d[axis].fixed = times;
    HN_TRY(hn_l_view(l, *x, &in, x));
    HN_TRY(hn_l_fill(l, &zeros, 0, &zero));
    HN_TRY(hn_l_binary(l, HN_B_ADD, *x, zero, x));
    s.d[axis].fixed *= times;
    return hn_l_view(l, *x, &s, x);
}

hone_status hn_lower_tile(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    struct hn_dim times;
    int32_t x;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    for (int i = 0; i < shape_of(l, n->in[0])->rank; i++)
        if (hn_int_at(l->g, n->in[1], i, &times) && times.fixed != 1)
            HN_TRY(repeat(l, i, times.fixed, &x));
    return hn_l_bind(l, n->out[0], x);
}

/* ---- GatherND: as one Gather along the dims that the indices choose among, taken as one ------------------------------ */

hone_status hn_infer_gather_nd(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0), *at = hn_in_shape(c, 1);
    const struct hn_tensor *t = hn_in_value(c, 1)->constant;
    struct hn_shape y = { 0 };
    if (c->a->batch_dims != 0 || !t || at->rank < 1)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "GatherND by computed indices or with batch_dims is not supported");
    const int64_t depth = at->d[at->rank - 1].fixed;
    if (depth < 1 || depth > x->rank || at->rank - 1 + x->rank - depth > HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "GatherND: indices of %lld dims of %d",
                       (long long)depth, x->rank);
    for (int i = 0; i < depth; i++)
        if (x->d[i].per_row)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "GatherND along the batch dim");
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t len = x->d[i % depth].fixed, k = hn_tensor_i64(t, i);
        if (k < -len || k >= len)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "GatherND: index %lld outside of a dim of %lld", (long long)k,
                           (long long)len);
    }
    for (int i = 0; i < at->rank - 1; i++) y.d[y.rank++] = at->d[i];
    for (int i = (int)depth; i < x->rank; i++) y.d[y.rank++] = x->d[i];
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

hone_status hn_lower_gather_nd(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    const struct hn_shape *x = shape_of(l, n->in[0]), *at = shape_of(l, n->in[1]);
    const struct hn_tensor *t = l->g->values[n->in[1]].constant;
    const int depth = (int)at->d[at->rank - 1].fixed;
    const int64_t count = t->n / depth;
    int64_t *flat = hn_arena_alloc(l->arena, (size_t)count + 1, sizeof *flat);
    struct hn_shape rows = { .rank = 1 + x->rank - depth, .d = { { 0, 1 } } };
    int32_t y;
    (void)a;
    if (!flat) return hn_nomem(l->err, "the program", 0);
    for (int i = 0; i < depth; i++) rows.d[0].fixed *= x->d[i].fixed;
    for (int i = depth; i < x->rank; i++) rows.d[1 + i - depth] = x->d[i];
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < depth; k++) {
            const int64_t len = x->d[k].fixed, at_k = hn_tensor_i64(t, i * depth + k);
            flat[i] = flat[i] * len + (at_k < 0 ? at_k + len : at_k);
        }
    HN_TRY(hn_l_value(l, n->in[0], &y));
    if (!hn_same_shape(&rows, x)) HN_TRY(hn_l_view(l, y, &rows, &y));
    HN_TRY(hn_l_pick(l, n, 0, flat, count, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* ---- a sequence of pieces, and one of them ------------------------------------------------------------------------------ */

hone_status hn_infer_split_to_sequence(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    int axis;
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &axis));
    if (x->d[axis].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "SplitToSequence of the batch dim");
    if (c->n->out[0] >= 0 && c->g->values[c->n->out[0]].is_output)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "a sequence as an output");
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

/* Where piece `at` of the sequence v lies, by the node that cut it; 0: there is none. */
static int piece(const struct hn_graph *g, int32_t v, int64_t at, struct hn_slice *cut, int *drop)
{
    const int32_t p = g->values[v].producer;
    const struct hn_node *n = p >= 0 ? &g->nodes[p] : NULL;
    if (!n || !n->row || n->row->infer != hn_infer_split_to_sequence) return 0;
    const struct hn_onnx_attrs *a = g->facts->nodes[p].attrs;
    const struct hn_shape *x = &g->values[n->in[0]].shape;
    const int given = n->n_in > 1 && n->in[1] >= 0,
              listed = given && g->values[n->in[1]].shape.rank;
    struct hn_dim each = { 0, 1 };
    *cut = (struct hn_slice){ (int)(a->axis < 0 ? a->axis + x->rank : a->axis), 0, 0, 1 };
    *drop = !given && !a->keepdims;
    const int64_t len = x->d[cut->axis].fixed;
    for (int64_t i = 0, start = 0; start < len; i++) {
        if (given && !hn_int_at(g, n->in[1], listed ? i : 0, &each)) return 0;
        if (each.fixed < 1 || each.per_row) return 0;
        cut->start = start, cut->len = each.fixed < len - start ? each.fixed : len - start;
        if (i == at) return 1;
        start += cut->len;
    }
    return 0;
}

static int64_t n_pieces(const struct hn_graph *g, int32_t v)
{
    struct hn_slice cut;
    int drop;
    int64_t n = 0;
    while (piece(g, v, n, &cut, &drop)) n++;
    return n;
}

static int picked(const struct hn_graph *g, const struct hn_node *n, struct hn_slice *cut,
                  int *drop)
{
    struct hn_dim at;
    if (!hn_int_at(g, n->in[1], 0, &at) || at.per_row) return 0;
    if (at.fixed < 0) at.fixed += n_pieces(g, n->in[0]);
    return piece(g, n->in[0], at.fixed, cut, drop);
}

hone_status hn_infer_sequence_at(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    struct hn_slice cut;
    int drop, nomem;
    int64_t n;
    (void)hn_value_ints(c->g, hn_in(c, 1), &n, &nomem);
    if (!picked(c->g, c->n, &cut, &drop))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "SequenceAt of '%s': wanted a piece, known at import, of a SplitToSequence",
                       hn_in_value(c, 0)->name);
    y.d[cut.axis].fixed = cut.len;
    if (drop) {
        for (int i = cut.axis; i + 1 < y.rank; i++) y.d[i] = y.d[i + 1];
        y.rank--;
    }
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

hone_status hn_lower_sequence_at(struct hn_lowering *l, const struct hn_node *n,
                                 const struct hn_onnx_attrs *a)
{
    struct hn_slice cut;
    int32_t x;
    int drop;
    (void)a;
    if (!picked(l->g, n, &cut, &drop))
        return hn_fail(l->err, HONE_E_INTERNAL, n->name, "SequenceAt");
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_op(l, &hn_op_slice, &cut, &x, 1, &x));
    return hn_l_bind(l, n->out[0], x);
}

/* ---- masks ------------------------------------------------------------------------------------------------------------- */

/* A constant [rows, cols] with 1 where column - row lies in [from, to]. */
static hone_status band(struct hn_lowering *l, int64_t rows, int64_t cols, int64_t from, int64_t to,
                        int32_t *y)
{
    struct hn_tensor t = { .dtype = HN_F64, .rank = 2, .dims = { rows, cols }, .n = rows * cols };
    double *data = hn_arena_alloc(l->arena, (size_t)t.n + 1, sizeof *data);
    if (!data) return hn_nomem(l->err, "the program", 0);
    for (int64_t i = 0; i < t.n; i++) {
        const int64_t k = i % cols - i / cols;
        data[i] = k >= from && k <= to;
    }
    t.data = data;
    return hn_l_const(l, &t, y);
}

static hone_status fixed_dims(struct hn_infer *c, int from)
{
    enum { MOST = 1 << 12 };
    const struct hn_shape *x = hn_in_shape(c, 0);
    for (int i = from; i < x->rank; i++)
        if (x->d[i].per_row || x->d[i].fixed > MOST)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s: wanted fixed dims of at most %d", c->n->type, MOST);
    return HONE_OK;
}

hone_status hn_infer_trilu(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    double k;
    if (x->rank < 2) return hn_fail(c->err, HONE_E_MODEL, c->label, "Trilu of %d dims", x->rank);
    HN_TRY(fixed_dims(c, x->rank - 2));
    if (hn_in(c, 1) >= 0 && !hn_value_scalar(c->g, hn_in(c, 1), &k))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Trilu: '%s' is no constant",
                       hn_in_value(c, 1)->name);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_lower_trilu(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    const struct hn_shape *s = shape_of(l, n->in[0]);
    const int64_t rows = s->d[s->rank - 2].fixed, cols = s->d[s->rank - 1].fixed;
    const int64_t most = rows + cols;
    double k = 0;
    int32_t x, mask;
    if (n->n_in > 1) (void)hn_value_scalar(l->g, n->in[1], &k);
    const int64_t from = k < (double)-most ? -most : k > (double)most ? most : (int64_t)k;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(band(l, rows, cols, a->upper ? from : -most, a->upper ? most : from, &mask));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, x, mask, &x));
    return hn_l_bind(l, n->out[0], x);
}

hone_status hn_infer_cumsum(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    const int64_t *axes;
    int64_t n;
    int axis;
    HN_TRY(hn_in_i64s(c, 1, &axes, &n));
    if (n != 1) return hn_fail(c->err, HONE_E_MODEL, c->label, "CumSum: wanted one axis");
    HN_TRY(hn_axis(c, axes[0], x->rank, &axis));
    if (x->d[axis].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "CumSum along the batch dim");
    if (x->d[axis].fixed > 4096)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "CumSum of %lld numbers, at most 4096",
                       (long long)x->d[axis].fixed);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

/* A product with a triangle of ones, along the last dim. */
hone_status hn_lower_cumsum(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    const int rank = shape_of(l, n->in[0])->rank;
    const int64_t off = a->exclusive != 0;
    struct hn_transpose swap = { { 0 } };
    struct hn_dim axis;
    int32_t in[2], y;
    (void)hn_int_at(l->g, n->in[1], 0, &axis);
    if (axis.fixed < 0) axis.fixed += rank;
    for (int i = 0; i < rank; i++) swap.perm[i] = i;
    swap.perm[axis.fixed] = rank - 1, swap.perm[rank - 1] = (int)axis.fixed;
    const int64_t len = shape_of(l, n->in[0])->d[axis.fixed].fixed;
    HN_TRY(hn_l_value(l, n->in[0], &in[0]));
    if (axis.fixed != rank - 1) HN_TRY(hn_l_op(l, &hn_op_transpose, &swap, in, 1, in));
    HN_TRY(band(l, len, len, a->reverse ? -len : off, a->reverse ? -off : len, &in[1]));
    HN_TRY(hn_l_op(l, &hn_op_matmul, &(struct hn_matmul){ 1, 0, 0 }, in, 2, &y));
    if (axis.fixed != rank - 1) HN_TRY(hn_l_op(l, &hn_op_transpose, &swap, &y, 1, &y));
    return hn_l_bind(l, n->out[0], y);
}
