/* SPDX-License-Identifier: MIT
 *
 * Weights that the graph computes from parameters: weight normalisation, masks of pruning, W + B A of low rank, a classifier's
 * directions of length 1, W times a scale, standardised weights, spectral normalisation.
 *
 * Such a value is folded at import like everything that no input reaches (unless it is too large, or random as Dropout of a
 * weight is), so that a Gemm with it is a Dense of a known matrix.
 * Where a tensor it is computed from learns, the value is `computed`: its node is lowered all the same, to program ops on
 * values without a batch, in front of all others; they run once a step, and gradients go back through them. The file keeps its
 * nodes; only the tensors change.
 *
 *   --freeze, --unfreeze, and what the exporter says     as for every tensor
 *   in a place where a tensor would not learn            does not learn either
 *   a single number                                      no parameter
 *   zeros and ones that a tensor is multiplied by        a mask, frozen: of the size of the product, or with a zero in it
 *   a vector in a product of matrices                    power iteration of a spectral normalisation: frozen
 *   a Constant beside initializers                       the author's, frozen
 *   v of sqrt(v + eps), and m of -m beside it            statistics of a normalisation, frozen, which is said
 *   others                                               trained */
#include "ops/graph/params.h"
#include "ops/graph/pattern.h"

#include "ops/base/status.h"
#include <string.h>

enum { WALKS = 64, FEW = 100000 };

hone_status hn_computed_begin(struct hn_finder *f)
{
    struct hn_graph *g = f->g;
    size_t n = g->n_values + 1;
    f->seen = hn_arena_alloc(&g->arena, n, sizeof *f->seen);
    f->leaf_of = hn_arena_alloc(&g->arena, n, sizeof *f->leaf_of);
    f->stack = hn_arena_alloc(&g->arena, n, sizeof *f->stack);
    f->leaves = hn_arena_alloc(&g->arena, n, sizeof *f->leaves);
    f->decided = hn_arena_alloc(&g->arena, n, sizeof *f->decided);
    f->inputs = hn_arena_alloc(&g->arena, g->n_nodes + 1, sizeof *f->inputs);
    f->left = WALKS * (int64_t)g->n_nodes + FEW;
    if (!f->seen || !f->leaf_of || !f->stack || !f->leaves || !f->decided || !f->inputs)
        return hn_nomem(f->err, "the list of parameters", n * sizeof *f->leaves);
    for (size_t i = 0; i < g->n_nodes; i++) f->inputs[i + 1] = f->inputs[i] + g->nodes[i].n_in;
    f->noted = hn_arena_alloc(&g->arena, (size_t)f->inputs[g->n_nodes] + 1, sizeof *f->noted);
    return f->noted ? HONE_OK : hn_nomem(f->err, "the list of parameters", n);
}

/* ---- what a value is computed from --------------------------------------------------------------------------------- */

/* v of sqrt(v + eps) */
static int is_variance(const struct hn_graph *g, const struct hn_leaf *leaf)
{
    const struct hn_node *n = &g->nodes[leaf->node];
    double eps;
    if (strcmp(n->type, "Add") != 0 || n->n_in != 2 ||
        !hn_value_scalar(g, n->in[1 - leaf->input], &eps) || hn_n_uses(g, n->out[0]) != 1)
        return 0;
    const struct hn_consumer *u = &g->facts->uses[g->facts->use_first[n->out[0]]];
    return u->node >= 0 && strcmp(g->nodes[u->node].type, "Sqrt") == 0;
}

static void add_leaf(struct hn_finder *f, int32_t node, int32_t input, int32_t root)
{
    if (f->seen[root] == f->walk) {
        struct hn_leaf *l = &f->leaves[f->leaf_of[root]];
        const struct hn_node *nodes = f->g->nodes;
        if (nodes[node].in[input] != nodes[l->node].in[l->input]) l->often = 2;
        if (!l->often) l->often = 1;
        return;
    }
    f->seen[root] = f->walk, f->leaf_of[root] = (int32_t)f->n_leaves;
    f->leaves[f->n_leaves++] = (struct hn_leaf){ node, input, root, 0 };
    f->some_variance |= is_variance(f->g, &f->leaves[f->n_leaves - 1]);
    f->some_initializer |= f->g->values[root].is_initializer;
}

int hn_is_free(const struct hn_graph *g, int32_t v)
{
    const struct hn_value *x = &g->values[v];
    const struct hn_value_fact *f = &g->facts->values[v];
    if (x->constant) return 1;
    return !f->from_input && !f->ints && !f->splat && x->shape_known && x->producer >= 0 &&
           g->facts->nodes[x->producer].state == HN_NODE_OK;
}

/* A node whose result is floats, or what these are rounded to, free and no tensor's own. */
static int is_step(const struct hn_graph *g, int32_t v)
{
    const struct hn_value *x = &g->values[v];
    const struct hn_node *n = x->producer >= 0 ? &g->nodes[x->producer] : NULL;
    return n && hn_is_free(g, v) && (hn_dtype_is_float(x->dtype) || hn_is_quantize(n)) &&
           g->facts->nodes[x->producer].state == HN_NODE_OK && n->row->lower;
}

/* The tensors that v is computed from, through floats alone. 0: too much was looked at in this graph. */
static int find_leaves(struct hn_finder *f, int32_t v)
{
    const struct hn_graph *g = f->g;
    f->walk++, f->n_leaves = 0, f->n_stack = 0, f->some_initializer = f->some_variance = 0;
    if (!is_step(g, v)) return 1;
    f->seen[v] = f->walk;
    f->stack[f->n_stack++] = g->values[v].producer;
    while (f->n_stack > 0 && --f->left > 0) {
        const int32_t at = f->stack[--f->n_stack];
        const struct hn_node *n = &g->nodes[at];
        for (int k = 0; k < n->n_in; k++) {
            if (!hn_input_needed(g, n, k)) continue;
            const int32_t x = n->in[k], root = g->facts->values[x].root;
            if (root >= 0)
                add_leaf(f, at, k, root);
            else if (f->seen[x] != f->walk && is_step(g, x))
                f->seen[x] = f->walk, f->stack[f->n_stack++] = g->values[x].producer;
        }
    }
    return f->left > 0;
}

/* ---- which of them learn -------------------------------------------------------------------------------------------- */

static int has(const struct hn_tensor *t, double x)
{
    for (int64_t i = 0; i < t->n; i++)
        if (hn_tensor_f64(t, i) == x) return 1;
    return 0;
}

static int64_t count_of(const struct hn_graph *g, int32_t v)
{
    return hn_shape_count(&g->values[v].shape).fixed;
}

/* Zeros alone are none, but where something begins (B of W + B A), and a number takes no mask. */
static int is_mask(const struct hn_graph *g, const struct hn_leaf *leaf)
{
    const struct hn_node *n = &g->nodes[leaf->node];
    const struct hn_tensor *t = g->values[leaf->root].constant;
    if (strcmp(n->type, "Mul") != 0 || n->n_in != 2 || !hn_zeros_and_ones(t) || !has(t, 1) ||
        count_of(g, n->in[1 - leaf->input]) == 1)
        return 0;
    return t->n == count_of(g, n->out[0]) || has(t, 0);
}

/* u or v of a spectral normalisation: the direction in which a matrix is largest, as training has left it. */
static int is_direction(const struct hn_graph *g, const struct hn_leaf *leaf)
{
    return g->values[leaf->root].constant->rank == 1 &&
           strcmp(g->nodes[leaf->node].type, "MatMul") == 0;
}

/* The running variance or mean of a normalisation that is no BatchNormalization (pattern.c). */
static int is_statistic(const struct hn_finder *f, const struct hn_leaf *leaf)
{
    return is_variance(f->g, leaf) ||
           (f->some_variance && strcmp(f->g->nodes[leaf->node].type, "Neg") == 0);
}

/* Where parameters are initializers, a Constant is a number that the author wrote. */
static int is_written(const struct hn_finder *f, const struct hn_leaf *leaf)
{
    const struct hn_value *v = &f->g->values[leaf->root];
    return f->some_initializer && !v->is_initializer && !v->in_function;
}

static const char why_statistic[] = "a running statistic of a normalisation";

static struct hn_decision decide(const struct hn_finder *f, const struct hn_leaf *leaf,
                                 struct hn_decision place)
{
    const struct hn_graph *g = f->g;
    const struct hn_node *n = &g->nodes[leaf->node];
    const struct hn_value *v = &g->values[leaf->root];
    struct hn_decision d = { v->constant->n > 1, 0, place.why };
    if (!hn_dtype_is_float(g->values[n->in[leaf->input]].dtype) ||
        (!hn_dtype_is_float(v->dtype) && !g->facts->values[n->in[leaf->input]].quant))
        return (struct hn_decision){ 0, 0, "no float type" };
    if (hn_decide_by_name(f, v, &d) || !place.trained) return d;
    if (v->constant->n == 1)
        d.why = "a single number";
    else if (is_mask(g, leaf))
        d.why = "a mask of zeros and ones";
    else if (is_statistic(f, leaf))
        d.why = why_statistic;
    else if (is_written(f, leaf))
        d.why = "a constant of the author";
    else if (is_direction(g, leaf))
        d.why = "a vector of a power iteration (spectral normalisation)";
    else
        d.trained = 1, d.why = "a weight, bias or scale is computed from it";
    return d;
}

/* Some of it was to learn, and nothing does. */
static hone_status warn(struct hn_finder *f, int32_t node, int32_t v)
{
    hone_status st = hn_graph_issue(
        f->g, HN_WARNING, node, HONE_OK, "export with the weight as a plain parameter to train it",
        "the weight '%s' is computed in the graph from other constants: it stays as it is",
        f->g->values[v].name);
    return st == HONE_OK ? st : hn_nomem(f->err, "the list of issues", 0);
}

static hone_status say_statistic(struct hn_finder *f, const struct hn_leaf *leaf)
{
    hone_status st = hn_graph_issue(
        f->g, HN_WARNING, leaf->node, HONE_OK, "--unfreeze NAME trains it as a weight",
        "'%s' is taken for the running %s of a normalisation: it stays as it is",
        f->g->values[leaf->root].name, is_variance(f->g, leaf) ? "variance" : "mean");
    return st == HONE_OK ? st : hn_nomem(f->err, "the list of issues", 0);
}

hone_status hn_find_computed(struct hn_finder *f, int32_t node, int input, enum hn_slot_kind slot,
                             struct hn_decision place)
{
    const int32_t v = f->g->nodes[node].in[input];
    int learns = 0, asked = 0, directed = 0;
    if (f->g->values[v].producer < 0) return HONE_OK;
    const int found = find_leaves(f, v);
    for (size_t i = 0; i < f->n_leaves && found; i++) {
        f->decided[i] = decide(f, &f->leaves[i], place);
        learns |= f->decided[i].trained;
        asked |= f->decided[i].why == hn_why_asked;
        directed |= !f->decided[i].trained && is_direction(f->g, &f->leaves[i]);
    }
    if (!learns && !asked) return slot == HN_SLOT_WEIGHT ? warn(f, node, v) : HONE_OK;
    f->g->facts->values[v].from_param |= learns != 0;
    /* a direction would not fit another matrix: what it belongs to is not drawn anew */
    if (slot != HN_SLOT_NORM) slot = directed ? HN_SLOT_ELEMENT : HN_SLOT_FACTOR;
    for (size_t i = 0; i < f->n_leaves; i++) {
        const struct hn_leaf *leaf = &f->leaves[i];
        uint8_t *noted = &f->noted[f->inputs[leaf->node] + leaf->input];
        if (!f->decided[i].record || *noted) continue;
        *noted = 1;
        if (f->decided[i].why == why_statistic) HN_TRY(say_statistic(f, leaf));
        const struct hn_use use = { .node = node,
                                    .input = input,
                                    .at_node = leaf->node,
                                    .at_input = leaf->input,
                                    .often = leaf->often };
        HN_TRY(hn_note_use(f, &use, slot, f->decided[i]));
    }
    return HONE_OK;
}

/* ---- what runs -------------------------------------------------------------------------------------------------------- */

/* Does input k change as parameters learn, without any input of the graph? */
static int changes(const struct hn_graph *g, const struct hn_node *n, int k)
{
    const struct hn_facts *f = g->facts;
    const struct hn_value_fact *x = n->in[k] >= 0 ? &f->values[n->in[k]] : NULL;
    if (!x) return 0;
    return x->computed || (x->root >= 0 && f->param_of[x->root] >= 0 &&
                           hn_dtype_is_float(g->values[n->in[k]].dtype) &&
                           f->params.params[f->param_of[x->root]].trained);
}

static void mark(struct hn_graph *g, const struct hn_node *n)
{
    int some = 0;
    for (int k = 0; k < n->n_in; k++) some |= hn_input_needed(g, n, k) && changes(g, n, k);
    for (int k = 0; k < n->n_out && some; k++)
        if (n->out[k] >= 0 && hn_is_free(g, n->out[k]) && g->facts->values[n->out[k]].root < 0)
            g->facts->values[n->out[k]].computed = 1;
}

/* What a node has to know at import must not be computed from what learns. */
static hone_status check(struct hn_finder *f, int32_t at)
{
    struct hn_graph *g = f->g;
    const struct hn_node *n = &g->nodes[at];
    if (!g->facts->nodes[at].live || g->facts->nodes[at].state != HN_NODE_OK) return HONE_OK;
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] < 0 || hn_input_needed(g, n, k) || !g->facts->values[n->in[k]].computed ||
            !n->row->lower)
            continue;
        hone_status st = hn_graph_issue(
            g, HN_BLOCKS_TRAINING, at, HONE_E_UNSUPPORTED, "--freeze what it is computed from",
            "input %d '%s' of %s has to be known, but is computed from what learns", k,
            g->values[n->in[k]].name, n->type);
        if (st != HONE_OK) return hn_nomem(f->err, "the list of issues", 0);
    }
    return HONE_OK;
}

hone_status hn_mark_computed(struct hn_finder *f)
{
    struct hn_graph *g = f->g;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->facts->nodes[g->order[i]].state == HN_NODE_OK &&
            !g->facts->nodes[g->order[i]].absorbed && g->nodes[g->order[i]].row->lower)
            mark(g, &g->nodes[g->order[i]]);
    hn_graph_liveness(g);
    for (size_t i = 0; i < g->n_nodes; i++) HN_TRY(check(f, g->order[i]));
    return HONE_OK;
}
