/* SPDX-License-Identifier: MIT
 *
 * The structure of a graph: who produces and who consumes every value, and a topological order of the nodes (the file's
 * own where it is one). Damage is found here: undefined values, values defined twice, cycles. */
#include "ops/graph/facts.h"

#include "ops/base/status.h"
#include <string.h>

static hone_status find_producers(struct hn_graph *g, hone_error *err)
{
    char label[256], other[256];
    for (size_t i = 0; i < g->n_values; i++) g->values[i].producer = -1;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        for (int k = 0; k < n->n_out; k++) {
            if (n->out[k] < 0) continue;
            struct hn_value *v = &g->values[n->out[k]];
            hn_node_label(n, label, sizeof label);
            if (v->producer >= 0)
                return hn_fail(err, HONE_E_MODEL, label,
                               "output '%s' is also an output of node '%s'", v->name,
                               hn_node_label(&g->nodes[v->producer], other, sizeof other));
            if (v->is_input || v->is_initializer)
                return hn_fail(err, HONE_E_MODEL, label,
                               "output '%s' is also the name of a graph %s", v->name,
                               v->is_input ? "input" : "initializer");
            v->producer = (int32_t)i;
        }
    }
    return HONE_OK;
}

static hone_status check_defined(const struct hn_graph *g, hone_error *err)
{
    char label[256];
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k] < 0) continue;
            const struct hn_value *v = &g->values[n->in[k]];
            if (v->producer < 0 && !v->is_input && !v->is_initializer)
                return hn_fail(
                    err, HONE_E_MODEL, hn_node_label(n, label, sizeof label),
                    "input '%s' is not defined: no node, graph input or initializer has that name",
                    v->name);
        }
    }
    for (size_t i = 0; i < g->n_outputs; i++) {
        const struct hn_value *v = &g->values[g->outputs[i]];
        if (v->producer < 0 && !v->is_input && !v->is_initializer)
            return hn_fail(err, HONE_E_MODEL, v->name,
                           "graph output '%s' is not defined by any node", v->name);
    }
    return HONE_OK;
}

/* Consumers of every value as one array, in node order; graph outputs come last. */
static hone_status find_consumers(struct hn_graph *g, hone_error *err)
{
    struct hn_facts *f = g->facts;
    size_t total = g->n_outputs;
    for (size_t i = 0; i < g->n_nodes; i++) total += (size_t)g->nodes[i].n_in;
    if (total > INT32_MAX)
        return hn_fail(err, HONE_E_BUDGET, g->name, "the graph has %zu node inputs", total);
    f->use_first = hn_arena_alloc(&g->arena, g->n_values + 3, sizeof *f->use_first);
    f->uses = hn_arena_alloc(&g->arena, total + 1, sizeof *f->uses);
    if (!f->use_first || !f->uses)
        return hn_nomem(err, "the graph's consumers", total * sizeof *f->uses);
    int32_t *first =
        f->use_first; /* counted two places up; filling moves each start to its end, the next one's start */
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] >= 0) first[g->nodes[i].in[k] + 2]++;
    for (size_t i = 0; i < g->n_outputs; i++) first[g->outputs[i] + 2]++;
    for (size_t v = 0; v < g->n_values; v++) first[v + 2] += first[v + 1];
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] >= 0)
                f->uses[first[g->nodes[i].in[k] + 1]++] = (struct hn_consumer){ (int32_t)i, k };
    for (size_t i = 0; i < g->n_outputs; i++)
        f->uses[first[g->outputs[i] + 1]++] = (struct hn_consumer){ -1, (int32_t)i };
    for (size_t v = 0; v < g->n_values; v++) g->values[v].n_uses = hn_n_uses(g, (int32_t)v);
    return HONE_OK;
}

/* Value v is there: its consumers wait for one less; those that now wait for none are appended at ready. */
static size_t release(const struct hn_graph *g, int32_t v, int32_t *waiting, int32_t *ready)
{
    const struct hn_facts *f = g->facts;
    size_t n = 0;
    for (int32_t u = v < 0 ? 0 : f->use_first[v]; v >= 0 && u < f->use_first[v + 1]; u++)
        if (f->uses[u].node >= 0 && --waiting[f->uses[u].node] == 0) ready[n++] = f->uses[u].node;
    return n;
}

/* Kahn's algorithm; waiting[i]: inputs of node i whose producer has not been placed yet. Nodes that are ready are placed
 * in file order as long as the file's order is topological. */
static hone_status order_nodes(struct hn_graph *g, hone_error *err)
{
    size_t n = g->n_nodes, placed = 0;
    int32_t *waiting = hn_calloc(g->mem, n + 1, sizeof *waiting);
    g->order = hn_arena_alloc(&g->arena, n + 1, sizeof *g->order);
    if (!waiting || !g->order) {
        hn_free(g->mem, waiting);
        return hn_nomem(err, "the order of the nodes", n * sizeof *waiting);
    }
    int sorted = 1;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            int32_t v = g->nodes[i].in[k];
            int32_t p = v >= 0 ? g->values[v].producer : -1;
            waiting[i] += p >= 0;
            sorted &= p < (int32_t)i;
        }
    if (sorted)
        for (; placed < n; placed++) g->order[placed] = (int32_t)placed;
    for (size_t i = 0; i < n && !sorted; i++)
        if (waiting[i] == 0) g->order[placed++] = (int32_t)i;
    for (size_t at = 0; at < placed && !sorted; at++) {
        const struct hn_node *p = &g->nodes[g->order[at]];
        for (int k = 0; k < p->n_out; k++)
            placed += release(g, p->out[k], waiting, g->order + placed);
    }
    hone_status st = HONE_OK;
    char label[256];
    for (size_t i = 0; i < n && placed < n && st == HONE_OK; i++)
        if (waiting[i] > 0)
            st = hn_fail(err, HONE_E_MODEL, hn_node_label(&g->nodes[i], label, sizeof label),
                         "the graph has a cycle: this node needs its own output");
    hn_free(g->mem, waiting);
    return st;
}

hone_status hn_graph_sort(struct hn_graph *g, hone_error *err)
{
    HN_TRY(find_producers(g, err));
    HN_TRY(check_defined(g, err));
    HN_TRY(find_consumers(g, err));
    return order_nodes(g, err);
}
