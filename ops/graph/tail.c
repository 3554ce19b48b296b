/* SPDX-License-Identifier: MIT
 *
 * What the last op of an output is: by that losses are fused with it, and the automatic choice of a loss goes. Seen through views, and
 * through a division of a row by its sum where it changes nothing; means of rows of probabilities are found out, too. */
#include "ops/graph/output.h"
#include "ops/graph/rows.h"

#include "ops/math/row.h"
#include <math.h>
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
        g->values[z].shape.rank != 2 || g->values[z].shape.d[1].fixed != 1 ||
        seen_through(g, neg->in[0]) != z)
        return -1;
    return z;
}

/* ---- rows that are divided by their sum -------------------------------------------------------------------------- */

static int is_plain(const struct hn_node *n, enum hn_binary_kind kind)
{
    return n && n->row->infer == hn_infer_binary && n->row->kind == kind && n->n_in == 2;
}

static int is_row_sum(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *n = maker(g, v);
    const struct hn_shape *s = &g->values[v].shape;
    return n && n->row->infer == hn_infer_reduce && strcmp(n->type, "ReduceSum") == 0 &&
           s->rank == 2 && s->d[0].per_row && !s->d[1].per_row && s->d[1].fixed == 1;
}

/* Is v 1, or another number, where `sum` is 0, and 0 elsewhere? So scikit-learn's converter replaces rows of zeros. */
static int is_of_zeros(const struct hn_graph *g, int32_t v, int32_t sum)
{
    const struct hn_node *n = maker(g, v);
    double x;
    if (is_plain(n, HN_B_MUL)) v = n->in[hn_value_scalar(g, n->in[0], &x)];
    n = maker(g, seen_through(g, v));
    return n && strcmp(n->type, "Not") == 0 && seen_through(g, n->in[0]) == sum;
}

/* v, or what is added there to something of rows of zeros alone. */
static int32_t but_for_zeros(const struct hn_graph *g, int32_t v, int32_t sum)
{
    const struct hn_node *n = maker(g, v);
    for (int k = 0; is_plain(n, HN_B_ADD) && k < 2; k++)
        if (is_of_zeros(g, n->in[k], sum)) return n->in[1 - k];
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
    const struct hn_node *add = maker(g, n->in[1]);
    int32_t sum = n->in[1];
    for (int k = 0; is_plain(add, HN_B_ADD) && k < 2; k++)
        if (is_row_sum(g, add->in[k])) sum = add->in[k];
    if (!is_row_sum(g, sum) || but_for_zeros(g, n->in[1], sum) != sum) return -1;
    const int32_t x = maker(g, sum)->in[0];
    return but_for_zeros(g, n->in[0], sum) == x ? x : -1;
}

static int is_mean(const struct hn_node *n)
{
    return n->row->infer == hn_infer_reduce && strcmp(n->type, "ReduceMean") == 0;
}

static int is_sum(const struct hn_node *n)
{
    return n->row->infer == hn_infer_reduce && strncmp(n->type, "ReduceLog", 9) != 0;
}

static int is_positive_unary(enum hn_unary_kind kind)
{
    return kind == HN_U_SIGMOID || kind == HN_U_EXP || kind == HN_U_ABS || kind == HN_U_RELU ||
           kind == HN_U_SOFTPLUS || kind == HN_U_SQRT;
}

static int not_negative(const struct hn_graph *g, int32_t v, int *left);

/* Is p 1 / (1 + something that is not negative), as a Sigmoid and its decomposition are? */
static int at_most_one(const struct hn_graph *g, int32_t p, int *left)
{
    const struct hn_node *n = maker(g, p);
    double x;
    if (!n || n->row->infer == hn_infer_fused_gemm) return 0;
    if (n->row->infer == hn_infer_unary && n->row->kind == HN_U_SIGMOID) return 1;
    const int inverse = n->row->infer == hn_infer_unary && n->row->kind == HN_U_RECIPROCAL;
    if (!inverse && !(is_plain(n, HN_B_DIV) && hn_value_scalar(g, n->in[0], &x) && x == 1))
        return 0;
    const struct hn_node *sum = maker(g, n->in[inverse ? 0 : 1]);
    if (!is_plain(sum, HN_B_ADD)) return 0;
    const int k = hn_value_scalar(g, sum->in[0], &x) ? 1 : 0;
    return hn_value_scalar(g, sum->in[1 - k], &x) && x >= 1 && not_negative(g, sum->in[k], left);
}

/* Is nothing in v below 0, for all that is known? *left: values that may still be looked at. */
static int not_negative(const struct hn_graph *g, int32_t v, int *left)
{
    double x;
    if (--*left < 0 || v < 0) return 0;
    if (hn_value_scalar(g, v, &x)) return x >= 0;
    if (g->values[v].dtype == HN_BOOL) return 1;
    const struct hn_node *n = maker(g, v);
    if (!n) return 0;
    if (n->row->infer == hn_infer_softmax) return !(n->row->kind & 1);
    if (n->row->infer == hn_infer_unary && is_positive_unary((enum hn_unary_kind)n->row->kind))
        return 1;
    if (is_plain(n, HN_B_SUB))
        return hn_value_scalar(g, n->in[0], &x) && x >= 1 && at_most_one(g, n->in[1], left);
    const int binary = n->row->infer == hn_infer_binary,
              all = n->row->infer == hn_infer_concat ||
                    (binary && (n->row->kind == HN_B_ADD || n->row->kind == HN_B_MUL ||
                                n->row->kind == HN_B_DIV));
    const int first = (n->row->flags & HN_ROW_VIEW) || n->row->infer == hn_infer_slice ||
                      n->row->infer == hn_infer_extractor || n->row->infer == hn_infer_normalizer ||
                      n->row->infer == hn_infer_lpnorm || is_sum(n) ||
                      (n->row->infer == hn_infer_unary && n->row->kind == HN_U_RECIPROCAL);
    for (int k = 0; k < n->n_in && all; k++)
        if (!not_negative(g, n->in[k], left)) return 0;
    return all || (first && not_negative(g, n->in[0], left));
}

/* ---- rows that add up to 1: means of such ------------------------------------------------------------------------ */

/* Columns 1 - p and p, whatever p is. */
static int is_complement(const struct hn_graph *g, const struct hn_node *n)
{
    const struct hn_shape *y = &g->values[n->out[0]].shape;
    double one;
    if (n->row->infer != hn_infer_concat || n->n_in != 2 || y->rank != 2 || y->d[1].fixed != 2 ||
        g->values[n->in[1]].shape.d[1].fixed != 1)
        return 0;
    const struct hn_node *rest = maker(g, n->in[0]);
    return is_plain(rest, HN_B_SUB) && hn_value_scalar(g, rest->in[0], &one) && one == 1 &&
           rest->in[1] == n->in[1];
}

static int same_last(const struct hn_graph *g, int32_t a, int32_t b)
{
    const struct hn_shape *x = &g->values[a].shape, *y = &g->values[b].shape;
    return x->rank > 0 && y->rank > 0 && hn_same_dim(x->d[x->rank - 1], y->d[y->rank - 1]);
}

static double row_sum(const struct hn_graph *g, int32_t v, int *left);

/* Of a sum of several, a mean of several, or several one below the other, which have to agree. */
static double sum_of_all(const struct hn_graph *g, const struct hn_node *n, int *left)
{
    const int below = n->row->infer == hn_infer_concat;
    double sum = 0, first = 0;
    for (int k = 0; k < n->n_in; k++) {
        const double one = same_last(g, n->in[k], n->out[0]) ? row_sum(g, n->in[k], left) : 0;
        if (one == 0 || (below && k && one != first)) return 0;
        if (!k) first = one;
        sum += one;
    }
    return below ? first : strcmp(n->type, "Mean") == 0 ? sum / n->n_in : sum;
}

/* What every row of v adds up to along the last dim; 0: nothing is known. */
static double row_sum(const struct hn_graph *g, int32_t v, int *left)
{
    const struct hn_node *n = maker(g, v);
    const int rank = g->values[v].shape.rank;
    double x;
    if (--*left < 0 || !n || v != n->out[0] || rank < 2) return 0;
    const struct hn_onnx_attrs *a = g->facts->nodes[n - g->nodes].attrs;
    if (n->row->infer == hn_infer_softmax)
        return !(n->row->kind & 1) && (a->axis == -1 || a->axis == rank - 1);
    if ((rank == 2 && divided(g, n, a) >= 0) || is_complement(g, n) || either_sign(g, n) >= 0)
        return 1;
    if (n->row->infer == hn_infer_concat)
        return a->axis == -1 || a->axis == rank - 1 ? 0 : sum_of_all(g, n, left);
    if (n->row->infer == hn_infer_binary && n->row->kind == HN_B_ADD) return sum_of_all(g, n, left);
    if (is_plain(n, HN_B_DIV))
        return hn_value_scalar(g, n->in[1], &x) && x != 0 ? row_sum(g, n->in[0], left) / x : 0;
    if (is_plain(n, HN_B_MUL)) {
        const int k = hn_value_scalar(g, n->in[0], &x);
        return hn_value_scalar(g, n->in[1 - k], &x) ? row_sum(g, n->in[k], left) * x : 0;
    }
    const int passes = (n->row->flags & HN_ROW_VIEW) || is_mean(n);
    return passes && same_last(g, n->in[0], v) ? row_sum(g, n->in[0], left) : 0;
}

static int adds_up_to_one(const struct hn_graph *g, int32_t v)
{
    const struct hn_shape *y = &g->values[v].shape;
    int left = MOST_LOOKED_AT, more = MOST_LOOKED_AT;
    return y->rank == 2 && y->d[0].per_row && !y->d[1].per_row && y->d[1].fixed > 1 &&
           fabs(row_sum(g, v, &left) - 1) < 1e-5 && not_negative(g, v, &more);
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
    const int shares = x >= 0 && g->values[x].shape.rank == 2 &&
                       hn_same_shape(&g->values[x].shape, &g->values[v].shape);
    int left = MOST_LOOKED_AT;
    enum hn_tail tail = last_op(g, shares ? x : v, before, first);
    if (!shares && tail == HN_TAIL_NONE && *before == v && adds_up_to_one(g, v))
        return HN_TAIL_SHARES;
    if (!shares || tail == HN_TAIL_SOFTMAX || tail == HN_TAIL_BOTH) return tail;
    *before = not_negative(g, x, &left) ? x : v;
    return *before == x ? HN_TAIL_SHARES : HN_TAIL_NONE;
}
