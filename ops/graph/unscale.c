/* SPDX-License-Identifier: MIT
 *
 * The inverse of scaled targets that --scale-target has left at the end of a model: y = raw · factor + offset, in float32
 * between Casts where y is of a half type (onnx/edit_scale.c). It is known by the names of its tensors, or by the outputs
 * that the file's metadata list where something has renamed those. It never learns by itself: a step that is right for
 * weights is none for factors of 1e-9 or 1e11. */
#include "ops/graph/pattern.h"
#include "ops/graph/rows.h"

#include "ops/math/row.h"
#include <string.h>

static const struct hn_node *maker(const struct hn_graph *g, int32_t v, const char *type)
{
    const struct hn_node *n =
        v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;
    return n && n->row && strcmp(n->type, type) == 0 &&
                   g->facts->nodes[n - g->nodes].state == HN_NODE_OK
               ? n
               : NULL;
}

/* Behind Casts from one float type to another. */
static int32_t before_casts(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *n;
    while ((n = maker(g, v, "Cast")) && hn_dtype_is_float(g->values[n->in[0]].dtype) &&
           hn_dtype_is_float(g->values[v].dtype))
        v = n->in[0];
    return v;
}

/* The input of a sum or product that is a tensor of the file; -1: neither is. */
static int own_tensor(const struct hn_graph *g, const struct hn_node *n)
{
    for (int k = 1; n->n_in == 2 && k >= 0; k--)
        if (g->values[n->in[k]].constant && g->facts->values[n->in[k]].root >= 0 &&
            !g->values[n->in[1 - k]].constant)
            return k;
    return -1;
}

static int is_named(const struct hn_graph *g, int32_t root, const char *name)
{
    return strstr(g->values[root].name, name) != NULL;
}

int hn_graph_unscaler(const struct hn_graph *g, int32_t v, struct hn_unscaler *u)
{
    const struct hn_node *add = maker(g, before_casts(g, v), "Add"), *mul;
    const int a = add ? own_tensor(g, add) : -1;
    mul = a >= 0 ? maker(g, add->in[1 - a], "Mul") : NULL;
    const int b = mul ? own_tensor(g, mul) : -1;
    if (b < 0) return 0;
    const struct hn_node_fact *f = g->facts->nodes;
    *u = (struct hn_unscaler){ .raw = before_casts(g, mul->in[1 - b]),
                               .factor = g->facts->values[mul->in[b]].root,
                               .offset = g->facts->values[add->in[a]].root };
    u->learns = !f[add - g->nodes].unscales || !f[mul - g->nodes].unscales ||
                f[add - g->nodes].owner >= 0 || f[mul - g->nodes].owner >= 0;
    return (g->values[v].unscaled || (is_named(g, u->factor, HN_UNSCALE_FACTOR) &&
                                      is_named(g, u->offset, HN_UNSCALE_OFFSET))) &&
           hn_same_shape(&g->values[u->raw].shape, &g->values[v].shape);
}

static void mark_chain(struct hn_graph *g, int32_t v)
{
    const struct hn_node *add = maker(g, before_casts(g, v), "Add");
    const int32_t product = add->in[1 - own_tensor(g, add)];
    g->facts->nodes[add - g->nodes].unscales = HN_UNSCALES_OUTPUT;
    g->facts->nodes[g->values[product].producer].unscales = HN_UNSCALES_OUTPUT;
}

void hn_graph_find_unscalers(struct hn_graph *g)
{
    struct hn_unscaler u;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        const int mul = strcmp(n->type, "Mul") == 0, add = strcmp(n->type, "Add") == 0;
        const int k = n->row && (mul || add) ? own_tensor(g, n) : -1;
        if (k >= 0 && is_named(g, g->facts->values[n->in[k]].root,
                               mul ? HN_UNSCALE_FACTOR : HN_UNSCALE_OFFSET))
            g->facts->nodes[i].unscales = HN_UNSCALES;
    }
    for (size_t i = 0; i < g->n_outputs; i++)
        if (hn_graph_unscaler(g, g->outputs[i], &u)) mark_chain(g, g->outputs[i]);
}
