/* SPDX-License-Identifier: MIT
 *
 * Which nodes some output needs at run time, and which values a program can compute. What has been folded needs
 * nothing: Shape of an activation does not keep the activation alive. */
#include "ops/graph/rows.h"

#include "ops/graph/pattern.h"

static int known(const struct hn_graph *g, int32_t v)
{
    const struct hn_value_fact *f = &g->facts->values[v];
    return (g->values[v].constant && !f->computed) || f->ints || f->splat;
}

int hn_input_needed(const struct hn_graph *g, const struct hn_node *n, int i)
{
    const struct hn_node_fact *f = &g->facts->nodes[n - g->nodes];
    if (n->in[i] < 0) return 0;
    if (!n->row || f->state == HN_NODE_FAILED) return 1;
    return (int)(n->row->data >> (i < 31 ? i : 31) & 1u);
}

static void mark(struct hn_graph *g, int32_t v)
{
    if (v < 0) return;
    g->facts->values[v].live = 1;
    if (g->values[v].producer >= 0 && !known(g, v)) g->facts->nodes[g->values[v].producer].live = 1;
}

/* What a live node needs: its run-time inputs; the end of a pattern needs the pattern's operands. */
static void mark_inputs(struct hn_graph *g, const struct hn_node *n, const struct hn_node_fact *f)
{
    if (f->pattern) {
        for (int i = 0; i < HN_PATTERN_OPERANDS; i++) mark(g, f->pattern->in[i]);
        for (int i = 0; i < f->pattern->n_inner; i++)
            g->facts->nodes[f->pattern->inner[i]].live = 1;
        return;
    }
    for (int i = 0; i < n->n_in; i++)
        if (hn_input_needed(g, n, i)) mark(g, n->in[i]);
}

static int node_computable(const struct hn_graph *g, const struct hn_node *n,
                           const struct hn_node_fact *f)
{
    if (f->state != HN_NODE_OK || f->absorbed || (!f->pattern && !n->row->lower)) return 0;
    if (f->pattern) {
        for (int i = 0; i < HN_PATTERN_OPERANDS; i++)
            if (f->pattern->in[i] >= 0 && !g->facts->values[f->pattern->in[i]].computable) return 0;
        return 1;
    }
    for (int i = 0; i < n->n_in; i++)
        if (hn_input_needed(g, n, i) && !g->facts->values[n->in[i]].computable) return 0;
    return 1;
}

/* Only the first output of BatchNormalization, Dropout and LayerNormalization is computed; all of Split's and TopK's. */
static int n_computed(const struct hn_node *n)
{
    return n->row->out_max == 255 || n->row->infer == hn_infer_topk ? n->n_out : 1;
}

static void find_computable(struct hn_graph *g)
{
    struct hn_value_fact *f = g->facts->values;
    for (size_t v = 0; v < g->n_values; v++)
        f[v].computable =
            g->values[v].shape_known && (g->values[v].constant || f[v].splat ||
                                         (g->values[v].is_input && g->values[v].producer < 0));
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[g->order[i]];
        if (!node_computable(g, n, &g->facts->nodes[g->order[i]])) continue;
        for (int k = 0; k < n_computed(n) && k < n->n_out; k++)
            if (n->out[k] >= 0) f[n->out[k]].computable = 1;
    }
}

void hn_graph_liveness(struct hn_graph *g)
{
    struct hn_facts *f = g->facts;
    for (size_t v = 0; v < g->n_values; v++) f->values[v].live = 0;
    for (size_t i = 0; i < g->n_nodes; i++) f->nodes[i].live = 0;
    for (size_t i = 0; i < g->n_outputs; i++) mark(g, g->outputs[i]);
    for (size_t i = g->n_nodes; i-- > 0;) {
        int32_t at = g->order[i];
        if (f->nodes[at].live) mark_inputs(g, &g->nodes[at], &f->nodes[at]);
    }
    find_computable(g);
}
