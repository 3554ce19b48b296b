/* SPDX-License-Identifier: MIT
 *
 * What training will not do, and nobody would notice: warnings about what an exporter left out or set so.
 *
 *   a parameter of the PyTorch module that its optimizer dropped (a bias of zeros), folded into the layer before it
 *     (BatchNormalization) or into what was computed from it (weight norm): such a node says which rule made it what it is, and
 *     a tensor with the name of an operation is in no list of the module's
 *   a weight that is there a second time, transposed: the tie is gone
 *   a tensor of the module's, by its name, that the legacy exporter does not call a parameter, and its place does not either
 *   a row of zeros in a table, which may be nn.Embedding's padding_idx, of which the legacy exporter says nothing
 *   running statistics that stay as they are (momentum 1: PyTorch's momentum=None) */
#include "ops/graph/facts.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

enum { NAMED = 3 };

static int is_trained_root(const struct hn_graph *g, size_t v)
{
    const int32_t p = g->facts->param_of[v];
    return p >= 0 && g->facts->params.params[p].trained && g->values[v].is_initializer;
}

static int ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* Marks what node n has lost, in `lost`, and what it speaks of at all, in `spoken`. */
static void look_at_node(const struct hn_graph *g, const struct hn_node *n, uint8_t *lost,
                         uint8_t *spoken)
{
    int missing = 0;
    for (int i = 0; i < n->n_reads; i++) {
        const struct hn_exported *x = &g->exported[n->reads[i]];
        spoken[n->reads[i]] = 1;
        missing += x->hint == HN_HINT_PARAMETER && x->value < 0;
    }
    for (int i = 0; i < n->n_reads && n->rewritten; i++) {
        const struct hn_exported *x = &g->exported[n->reads[i]];
        const int bias = missing == 1 || ends_with(x->target, "bias");
        if (x->hint == HN_HINT_PARAMETER && x->value < 0 && (n->rewritten & HN_FUSED_NORM || bias))
            lost[n->reads[i]] = 1;
    }
}

/* A tensor that learns and is called as an operation of the module, "mul_5": it was computed from parameters. */
static int has_folded(const struct hn_graph *g, const uint8_t *listed)
{
    for (size_t v = 0; v < g->n_values; v++)
        if (is_trained_root(g, v) && !listed[v] && strncmp(g->values[v].name, "val_", 4) != 0 &&
            !strpbrk(g->values[v].name, ".:/"))
            return 1;
    return 0;
}

static hone_status say_lost(struct hn_graph *g, const uint8_t *lost)
{
    const char *names = "";
    size_t n = 0;
    for (size_t i = 0; i < g->n_exported && names; i++)
        if (lost[i] && n++ < NAMED)
            names = hn_arena_printf(&g->arena, "%s%s'%.80s'", names, n > 1 ? ", " : "",
                                    g->exported[i].target);
    if (!names) return HONE_E_NOMEM;
    const char *more = n > NAMED ? hn_arena_printf(&g->arena, " and %zu more", n - NAMED) : "";
    if (!more) return HONE_E_NOMEM;
    return n == 0 ? HONE_OK
                  : hn_graph_issue(g, HN_WARNING, -1, HONE_OK,
                                   "export with optimize=False (or dynamo=False) to keep them",
                                   "%s%s %s in PyTorch and %s not in the file: the exporter's "
                                   "optimizer took %s out",
                                   names, more, n > 1 ? "were parameters" : "was a parameter",
                                   n > 1 ? "are" : "is", n > 1 ? "them" : "it");
}

static int is_transpose(const struct hn_tensor *a, const struct hn_tensor *b)
{
    if (a->rank != 2 || b->rank != 2 || a->dims[0] != b->dims[1] || a->dims[1] != b->dims[0])
        return 0;
    for (int64_t i = 0; i < a->n; i++)
        if (hn_tensor_f64(a, i) != hn_tensor_f64(b, i % a->dims[1] * b->dims[1] + i / a->dims[1]))
            return 0;
    return !hn_all_equal(a, a->n);
}

static hone_status say_untied(struct hn_graph *g, const uint8_t *listed)
{
    for (size_t v = 0; v < g->n_values; v++) {
        if (!is_trained_root(g, v) || listed[v]) continue;
        for (size_t i = 0; i < g->n_exported; i++) {
            const int32_t w = g->exported[i].value;
            if (w < 0 || !is_trained_root(g, (size_t)w) ||
                !is_transpose(g->values[v].constant, g->values[w].constant))
                continue;
            if (hn_graph_issue(g, HN_WARNING, -1, HONE_OK,
                               "export with optimize=False (or dynamo=False) to keep them one",
                               "'%s' is '%s' transposed by the exporter's optimizer: one weight in "
                               "PyTorch, two that learn apart here",
                               g->values[v].name, g->values[w].name))
                return HONE_E_NOMEM;
            break;
        }
    }
    return HONE_OK;
}

static hone_status tell_lost(struct hn_graph *g)
{
    if (g->n_exported == 0) return HONE_OK;
    uint8_t *lost = hn_arena_alloc(&g->arena, g->n_exported, 1),
            *spoken = hn_arena_alloc(&g->arena, g->n_exported, 1),
            *listed = hn_arena_alloc(&g->arena, g->n_values + 1, 1);
    if (!lost || !spoken || !listed) return HONE_E_NOMEM;
    for (size_t i = 0; i < g->n_exported; i++)
        if (g->exported[i].value >= 0) listed[g->exported[i].value] = 1;
    for (size_t i = 0; i < g->n_nodes; i++) look_at_node(g, &g->nodes[i], lost, spoken);
    const int folded = has_folded(g, listed);
    for (size_t i = 0; i < g->n_exported; i++)
        lost[i] |= folded && !spoken[i] && g->exported[i].hint == HN_HINT_PARAMETER &&
                   g->exported[i].value < 0;
    if (say_lost(g, lost) != HONE_OK) return HONE_E_NOMEM;
    return say_untied(g, listed);
}

/* In a file of the legacy exporter, whose own constants are called onnx::Sub_12 or /Constant_output_0. */
static hone_status tell_constants(struct hn_graph *g)
{
    const struct hn_param_list *l = &g->facts->params;
    const char *names = "", *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < l->n_params && g->as_traced && names; i++) {
        const struct hn_value *v = &g->values[l->params[i].value];
        char shape[128];
        if (l->params[i].trained || l->params[i].why != hn_why_element || !v->is_initializer ||
            strpbrk(v->name, ":/"))
            continue;
        if (!first) first = v->name;
        if (n++ < NAMED)
            names = hn_arena_printf(&g->arena, "%s%s'%.80s' %s", names, n > 1 ? ", " : "", v->name,
                                    hn_shape_text(&v->shape, shape, sizeof shape));
    }
    if (n == 0) return HONE_OK;
    const char *more = n > NAMED ? hn_arena_printf(&g->arena, " and %zu more", n - NAMED) : "",
               *remedy = hn_arena_printf(&g->arena, "--unfreeze %s lets it learn", first);
    if (!names || !more || !remedy) return HONE_E_NOMEM;
    return hn_graph_issue(g, HN_WARNING, -1, HONE_OK, remedy,
                          "%s%s %s: the file does not say "
                          "whether PyTorch had a parameter there",
                          names, more,
                          n > 1 ? "are taken for constants" : "is taken for a constant");
}

static hone_status tell_still(struct hn_graph *g)
{
    int32_t first = -1;
    int n = 0;
    for (size_t i = 0; i + 1 < g->facts->n_states; i += 2) {
        const struct hn_state *s = &g->facts->states[i];
        const struct hn_onnx_attrs *a = g->facts->nodes[s->node].attrs;
        if (s->computed || s->fixed || !a || a->momentum != 1) continue;
        if (n++ == 0) first = s->node;
    }
    if (n == 0) return HONE_OK;
    const char *more = n > 1 ? hn_arena_printf(&g->arena, " (and of %d more)", n - 1) : "";
    if (!more) return HONE_E_NOMEM;
    return hn_graph_issue(
        g, HN_WARNING, first, HONE_OK,
        "set a momentum in PyTorch (0.1) and export again, or --batchnorm freeze",
        "momentum 1 (PyTorch's momentum=None)%s: the running statistics stay as they are, while "
        "training goes by those of each batch",
        more);
}

/* The only row of a table that is all zero; -1. */
static int64_t zero_row(const struct hn_tensor *t)
{
    const int64_t width = t->n / t->dims[0];
    int64_t found = -1;
    for (int64_t r = 0; r < t->dims[0]; r++) {
        int64_t k = 0;
        while (k < width && hn_tensor_f64(t, r * width + k) == 0) k++;
        if (k < width) continue;
        if (found >= 0) return -1;
        found = r;
    }
    return t->dims[0] > 2 ? found : -1;
}

/* Where the file does not say what is padding. */
static hone_status tell_padding(struct hn_graph *g)
{
    const struct hn_param_list *l = &g->facts->params;
    for (size_t i = 0; i < l->n_uses; i++) {
        struct hn_gparam *q = &l->params[l->uses[i].param];
        const struct hn_value *v = &g->values[q->value];
        const int64_t row = q->looked_up && q->trained && !q->kept && !q->padding && !q->told &&
                                    !g->nodes[l->uses[i].node].padding &&
                                    hn_dtype_is_float(v->constant->dtype)
                                ? zero_row(v->constant)
                                : -1;
        if (row < 0) continue;
        q->told = 1;
        const char *remedy = hn_arena_printf(
            &g->arena, "--freeze '%s[%lld]' keeps it, as PyTorch does", v->name, (long long)row);
        if (!remedy ||
            hn_graph_issue(g, HN_NOTE, -1, HONE_OK, remedy,
                           "row %lld of '%s' is all zero and learns: the file does not say "
                           "whether it is a padding row",
                           (long long)row, v->name))
            return HONE_E_NOMEM;
    }
    return HONE_OK;
}

hone_status hn_graph_tell(struct hn_graph *g, hone_error *err)
{
    const size_t before = g->n_issues;
    if (tell_lost(g) != HONE_OK || tell_constants(g) != HONE_OK || tell_still(g) != HONE_OK ||
        tell_padding(g) != HONE_OK)
        return hn_nomem(err, "the list of issues", 0);
    for (size_t i = before; i < g->n_issues; i++) g->issues[i].told = 1;
    return HONE_OK;
}
