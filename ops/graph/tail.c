/* SPDX-License-Identifier: MIT
 *
 * What the last op of an output is: by that losses are fused with it, and the automatic choice of a loss goes. Seen through views, and
 * through a division of a row by its sum where it changes nothing. */
#include "ops/graph/output.h"
#include "ops/graph/rows.h"

#include "ops/math/row.h"
#include <string.h>

enum { MOST_LOOKED_AT = 256 };

/* A softmax over the axis behind the rows alone, and there are more. */
static int is_first(const struct hn_onnx_row *row, const struct hn_onnx_attrs *a, int rank)
{
    return row->infer == hn_infer_softmax && (row->kind & 2) && rank > 2 &&
           (a->axis == 1 || a->axis == 1 - rank);
}

static enum hn_tail tail_of(const struct hn_graph *g, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    int rank = g->values[n->in[0]].shape.rank;
    struct hn_onnx_attrs of;
    if (n->row->infer == hn_infer_unary && n->row->kind == HN_U_SIGMOID) return HN_TAIL_SIGMOID;
    if (n->row->infer == hn_infer_fused_gemm) {
        const struct hn_onnx_row *row = hn_fused_activation(n, a, &of);
        return row && row->kind == HN_U_SIGMOID ? HN_TAIL_SIGMOID : HN_TAIL_NONE;
    }
    if (n->row->infer != hn_infer_softmax ||
        (a->axis != -1 && a->axis != rank - 1 && !is_first(n->row, a, rank)))
        return HN_TAIL_NONE;
    return n->row->kind & 1 ? HN_TAIL_LOGSOFTMAX : HN_TAIL_SOFTMAX;
}

/* Behind views. */
static int32_t seen_through(const struct hn_graph *g, int32_t v)
{
    while (v >= 0 && g->values[v].producer >= 0) {
        const struct hn_node *n = &g->nodes[g->values[v].producer];
        if (!n->row || !(n->row->flags & HN_ROW_VIEW)) break;
        v = n->in[0];
    }
    return v;
}

static const struct hn_node *maker(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *n =
        v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;
    return n && n->row && g->facts->nodes[n - g->nodes].state == HN_NODE_OK ? n : NULL;
}

/* Concat of 1 - p and p: what p is the Sigmoid of; -1: it is something else. */
static int32_t both_of(const struct hn_graph *g, const struct hn_node *n,
                       const struct hn_onnx_attrs *a)
{
    const struct hn_shape *y = &g->values[n->out[0]].shape;
    double one;
    if (n->row->infer != hn_infer_concat || n->n_in != 2 || y->rank != 2 || y->d[1].per_row ||
        (a->axis != 1 && a->axis != -1))
        return -1;
    const int32_t p = seen_through(g, n->in[1]);
    const struct hn_node *rest = maker(g, seen_through(g, n->in[0])), *s = maker(g, p);
    if (!rest || !s || rest->row->infer != hn_infer_binary || rest->row->kind != HN_B_SUB ||
        !hn_value_scalar(g, rest->in[0], &one) || one != 1 || seen_through(g, rest->in[1]) != p)
        return -1;
    return s->row->infer == hn_infer_unary && s->row->kind == HN_U_SIGMOID ? s->in[0] : -1;
}

/* Sigmoid of -z and z: z; -1: it is something else. */
static int32_t either_sign(const struct hn_graph *g, const struct hn_node *n)
{
    const struct hn_shape *y = &g->values[n->out[0]].shape;
    if (n->row->infer != hn_infer_unary || n->row->kind != HN_U_SIGMOID || y->rank != 2 ||
        y->d[1].per_row || y->d[1].fixed != 2)
        return -1;
    const struct hn_node *join = maker(g, seen_through(g, n->in[0]));
    if (!join || join->row->infer != hn_infer_concat || join->n_in != 2) return -1;
    const int32_t z = seen_through(g, join->in[1]);
    const struct hn_node *neg = maker(g, seen_through(g, join->in[0]));
    if (!neg || neg->row->infer != hn_infer_unary || neg->row->kind != HN_U_NEG ||
        g->values[z].shape.rank != 2 || seen_through(g, neg->in[0]) != z)
        return -1;
    return z;
}

/* ---- rows that are divided by their sum -------------------------------------------------------------------------- */

static int is_plain(const struct hn_node *n, enum hn_binary_kind kind)
{
    return n && n->row->infer == hn_infer_binary && n->row->kind == kind && n->n_in == 2;
}

/* v, or of a sum with something that no gradient passes through (what replaces rows of zeros) the other part. */
static int32_t without_chosen(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *n = maker(g, v);
    if (!is_plain(n, HN_B_ADD)) return v;
    for (int k = 0; k < 2; k++)
        if (g->facts->values[n->in[k]].chosen) return n->in[1 - k];
    return v;
}

/* What is divided by its sum along the last dim; -1: n does something else. */
static int32_t divided(const struct hn_graph *g, const struct hn_node *n,
                       const struct hn_onnx_attrs *a)
{
    if (n->row->infer == hn_infer_normalizer)
        return a->norm && strcmp(a->norm, "L1") == 0 ? n->in[0] : -1;
    if (n->row->infer == hn_infer_lpnorm)
        return a->p == 1 && (a->axis == -1 || a->axis == 1) ? n->in[0] : -1;
    if (!is_plain(n, HN_B_DIV)) return -1;
    const int32_t x = without_chosen(g, n->in[0]);
    const struct hn_node *sum = maker(g, without_chosen(g, n->in[1]));
    if (!sum || sum->row->infer != hn_infer_reduce || strcmp(sum->type, "ReduceSum") != 0 ||
        sum->in[0] != x)
        return -1;
    const struct hn_shape *s = &g->values[sum->out[0]].shape;
    return s->rank == 2 && s->d[0].per_row && !s->d[1].per_row && s->d[1].fixed == 1 ? x : -1;
}

static int is_positive_unary(enum hn_unary_kind kind)
{
    return kind == HN_U_SIGMOID || kind == HN_U_EXP || kind == HN_U_ABS || kind == HN_U_RELU ||
           kind == HN_U_SOFTPLUS || kind == HN_U_SQRT;
}

/* Is nothing in v below 0, for all that is known? *left: values that may still be looked at. */
static int not_negative(const struct hn_graph *g, int32_t v, int *left)
{
    double x;
    if (--*left < 0 || v < 0) return 0;
    if (hn_value_scalar(g, v, &x)) return x >= 0;
    const struct hn_node *n = maker(g, v);
    if (!n) return 0;
    if (n->row->infer == hn_infer_softmax) return !(n->row->kind & 1);
    if (n->row->infer == hn_infer_unary && is_positive_unary((enum hn_unary_kind)n->row->kind))
        return 1;
    if (is_plain(n, HN_B_SUB)) {
        const struct hn_node *p = maker(g, n->in[1]);
        return hn_value_scalar(g, n->in[0], &x) && x >= 1 && p && p->row->infer == hn_infer_unary &&
               p->row->kind == HN_U_SIGMOID;
    }
    const int all = n->row->infer == hn_infer_concat || is_plain(n, HN_B_ADD) ||
                    is_plain(n, HN_B_MUL) || is_plain(n, HN_B_DIV);
    const int first = (n->row->flags & HN_ROW_VIEW) || n->row->infer == hn_infer_slice ||
                      n->row->infer == hn_infer_extractor || n->row->infer == hn_infer_normalizer ||
                      (n->row->infer == hn_infer_unary && n->row->kind == HN_U_RECIPROCAL);
    for (int k = 0; k < n->n_in && all; k++)
        if (!not_negative(g, n->in[k], left)) return 0;
    return all || (first && not_negative(g, n->in[0], left));
}

/* Does a view of a softmax's result leave the classes where they are: in the last dim, or behind the rows? */
static int keeps_classes(const struct hn_shape *s, const struct hn_shape *x, int first)
{
    if (first) return s->rank > 2 && hn_same_dim(s->d[0], x->d[0]) && hn_same_dim(s->d[1], x->d[1]);
    return s->rank > 0 && hn_same_dim(s->d[s->rank - 1], x->d[x->rank - 1]);
}

/* Seen through views; a softmax may only be seen through those that leave the classes where they are. */
static enum hn_tail last_op(const struct hn_graph *g, int32_t v, int32_t *before, int *first)
{
    const struct hn_shape *s = &g->values[v].shape;
    *before = v;
    *first = 0;
    for (int32_t at = v; g->values[at].producer >= 0 && !g->values[at].constant;) {
        const struct hn_node *n = &g->nodes[g->values[at].producer];
        const struct hn_node_fact *f = &g->facts->nodes[g->values[at].producer];
        if (f->state != HN_NODE_OK || f->pattern || !n->row || at != n->out[0]) return HN_TAIL_NONE;
        if ((n->row->flags & HN_ROW_VIEW) || hn_dequantize_is_view(g, n) ||
            hn_quantize_is_undone(g, n)) {
            at = n->in[0];
            continue;
        }
        int32_t logit = both_of(g, n, f->attrs);
        if (logit < 0) logit = either_sign(g, n);
        if (logit >= 0) *before = logit;
        if (logit >= 0) return g->values[at].shape.d[1].fixed == 2 ? HN_TAIL_BOTH : HN_TAIL_EACH;
        enum hn_tail t = tail_of(g, n, f->attrs);
        const struct hn_shape *x = &g->values[at].shape;
        if (t == HN_TAIL_NONE) return t;
        *first = is_first(n->row, f->attrs, x->rank);
        if (t != HN_TAIL_SIGMOID && !keeps_classes(s, x, *first)) return HN_TAIL_NONE;
        *before = n->row->infer == hn_infer_fused_gemm ? -1 : n->in[0];
        return t;
    }
    return HN_TAIL_NONE;
}

/* A Softmax's rows, or 1 - p and p, add up to 1 already. */
enum hn_tail hn_output_tail(const struct hn_graph *g, int32_t v, int32_t *before, int *first)
{
    const int32_t at = seen_through(g, v);
    const struct hn_node *n = at >= 0 && !g->values[at].constant ? maker(g, at) : NULL;
    const int32_t x = n && !g->facts->nodes[n - g->nodes].pattern
                          ? divided(g, n, g->facts->nodes[n - g->nodes].attrs)
                          : -1;
    int left = MOST_LOOKED_AT;
    if (x < 0 || g->values[x].shape.rank != 2 ||
        !hn_same_shape(&g->values[x].shape, &g->values[v].shape))
        return last_op(g, v, before, first);
    const enum hn_tail inner = last_op(g, x, before, first);
    if (inner == HN_TAIL_SOFTMAX || inner == HN_TAIL_BOTH) return inner;
    *before = not_negative(g, x, &left) ? x : v;
    return *before == x ? HN_TAIL_SHARES : HN_TAIL_NONE;
}
