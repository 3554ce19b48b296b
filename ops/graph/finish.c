/* SPDX-License-Identifier: MIT
 *
 * hn_graph_finish, and the facts about outputs the training side asks for. */
#include "ops/graph/output.h"
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

static hone_status make_facts(struct hn_graph *g, hone_error *err)
{
    struct hn_facts *f = g->facts = hn_arena_alloc(&g->arena, 1, sizeof *f);
    if (f) f->values = hn_arena_alloc(&g->arena, g->n_values + 1, sizeof *f->values);
    if (f) f->nodes = hn_arena_alloc(&g->arena, g->n_nodes + 1, sizeof *f->nodes);
    if (f) f->fold_map = hn_arena_alloc(&g->arena, g->n_values + 1, sizeof *f->fold_map);
    if (!f || !f->values || !f->nodes || !f->fold_map)
        return hn_nomem(err, "the graph's facts", g->n_values * sizeof *f->values);
    return HONE_OK;
}

hone_status hn_graph_finish(struct hn_graph *g, const struct hn_graph_opts *opts, hone_error *err)
{
    g->custom = opts ? opts->custom : NULL;
    HN_TRY(make_facts(g, err));
    HN_TRY(hn_graph_sort(g, err));
    HN_TRY(hn_graph_infer(g, opts, err));
    HN_TRY(hn_graph_patterns(g, err));
    hn_graph_liveness(g);
    HN_TRY(hn_graph_find_params(g, opts, err));
    HN_TRY(hn_graph_find_ties(g, err));
    HN_TRY(hn_graph_tell(g, err));
    return hn_graph_verdicts(g, err);
}

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

/* Does a view of a softmax's result leave the classes where they are: in the last dim, or behind the rows? */
static int keeps_classes(const struct hn_shape *s, const struct hn_shape *x, int first)
{
    if (first) return s->rank > 2 && hn_same_dim(s->d[0], x->d[0]) && hn_same_dim(s->d[1], x->d[1]);
    return s->rank > 0 && hn_same_dim(s->d[s->rank - 1], x->d[x->rank - 1]);
}

/* Seen through views; a softmax may only be seen through those that leave the classes where they are. */
enum hn_tail hn_output_tail(const struct hn_graph *g, int32_t v, int32_t *before, int *first)
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
        const int32_t logit = both_of(g, n, f->attrs);
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

/* Classes along the axis behind the rows, where others come behind it. */
static int64_t classes_first(const struct hn_shape *y)
{
    if (y->rank < 3 || y->d[0].per_row != 1 || y->d[0].fixed) return 0;
    for (int i = 1; i < y->rank; i++)
        if (y->d[i].per_row) return 0;
    return y->d[1].fixed;
}

void hn_graph_output(const struct hn_graph *g, size_t i, struct hn_output_info *info)
{
    int32_t v = g->outputs[i], before;
    const struct hn_value *y = &g->values[v];
    const struct hn_value_fact *f = &g->facts->values[v];
    int is_float = hn_dtype_is_float(y->dtype);
    *info = (struct hn_output_info){ .value = v,
                                     .computable = f->computable,
                                     .discrete = !is_float || f->chosen,
                                     .labels = f->labels };
    info->as_given = !is_float && f->from_input && !f->n_positions && !f->from_param;
    info->trainable = f->computable && f->from_param && is_float && !f->chosen && !f->computed;
    info->derived = info->trainable && f->derived;
    if (!y->shape_known) return;
    if (f->computable) info->tail = hn_output_tail(g, v, &before, &info->tail_first);
    struct hn_dim n = hn_shape_count(&y->shape);
    if (n.per_row > 0 && n.fixed == 0) info->per_row = n.per_row;
    if (n.per_row == 0 && g->fixed_batch > 0 && !g->batch_lifted && n.fixed % g->fixed_batch == 0)
        info->per_row = n.fixed / g->fixed_batch;
    const struct hn_dim *last = &y->shape.d[y->shape.rank > 0 ? y->shape.rank - 1 : 0];
    info->classes = y->shape.rank > 1 && !last->per_row ? last->fixed : info->per_row;
    info->classes_first = classes_first(&y->shape);
}

int hn_graph_heads(const struct hn_graph *g)
{
    struct hn_output_info info;
    int n = 0;
    for (size_t i = 0; i < g->n_outputs; i++) {
        hn_graph_output(g, i, &info);
        n += info.trainable && !info.derived;
    }
    return n;
}

const struct hn_class_list *hn_graph_classes(const struct hn_graph *g, const char *output)
{
    for (size_t i = 0; g->output_classes && i < g->n_outputs; i++)
        if (g->output_classes[i].n && !strcmp(g->values[g->outputs[i]].name, output))
            return &g->output_classes[i];
    return &g->classes;
}
