/* SPDX-License-Identifier: MIT
 *
 * Hidden layers from parameters: see hidden.h. The work is done by the edit "hidden" (onnx/edit.h), so that a model that is
 * opened again from its source bytes becomes the same one. */
#include "plugin/hidden.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include <string.h>

static const char *activation_of(const hone_params *p)
{
    const char *word = hn_param_s(p, "activation");
    return strcmp(word, "keep") ? word : NULL;
}

int hn_hidden_asked(const hone_params *p)
{
    return hone_params_is_set(p, "hidden-layers") || hn_param_count(p, "hidden-units") > 0 ||
           activation_of(p);
}

/* ---- the plan ---------------------------------------------------------------------------------------------------------- */

static hone_status read_units(const hone_params *p, size_t i, int64_t *out, hone_error *err)
{
    const char *text = hone_params_get(p, "hidden-units", i);
    if (hn_parse_i64(text, strlen(text), out) && *out >= 1 && *out <= INT32_MAX) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "hidden-units",
                   "found '%.40s', wanted whole numbers from 1: one, or one a layer", text);
}

hone_status hn_hidden_plan(const struct hn_hidden_info *has, const hone_params *p,
                           struct hn_hidden_plan *plan, hone_error *err)
{
    size_t given = hn_param_count(p, "hidden-units");
    int64_t layers = hn_param_i(p, "hidden-layers");
    *plan = (struct hn_hidden_plan){ .activation = activation_of(p) };
    if (given > HN_HIDDEN_MAX)
        return hn_fail(err, HONE_E_USAGE, "hidden-units", "found %zu layers, at most %d are taken",
                       given, HN_HIDDEN_MAX);
    if (given > 1 && layers && layers != (int64_t)given)
        return hn_fail(
            err, HONE_E_USAGE, "hidden-units",
            "found %zu numbers and hidden-layers %lld, wanted one number, or one a layer", given,
            (long long)layers);
    plan->n = layers ? (int)layers : given > 1 ? (int)given : has->n;
    for (int i = 0; i < plan->n; i++) {
        if (given)
            HN_TRY(read_units(p, given > 1 ? (size_t)i : 0, &plan->width[i], err));
        else
            plan->width[i] = has->width[i < has->n ? i : has->n - 1];
    }
    return HONE_OK;
}

/* The first Dense layer of the runtime's own, which edits do not take apart, or NULL. */
static const struct hn_node *fused(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (hn_node_is_product(&g->nodes[i]) && !strncmp(g->nodes[i].type, "Fused", 5))
            return &g->nodes[i];
    return NULL;
}

/* Of a model in plain form. */
static hone_status read_stack(hone_model *m, struct hn_hidden_info *info, hone_error *err)
{
    const struct hn_onnx *o = hn_model_onnx(m);
    HN_TRY(hn_edit_hidden_info(&m->ctx->mem, o->p, o->n, info, err));
    if (info->n) return HONE_OK;
    const struct hn_node *n = fused(hn_model_graph(m));
    char label[200];
    if (n) {
        (void)hn_fail(err, HONE_E_UNSUPPORTED, hn_node_label(n, label, sizeof label),
                      "%s: layers that a runtime fused cannot be rebuilt", n->type);
        return hn_hint(err, HONE_E_UNSUPPORTED,
                       "take the model from before ONNX Runtime's optimizer");
    }
    return hn_fail(err, HONE_E_UNSUPPORTED, "hidden-layers",
                   "the model has no hidden layer that could be rebuilt");
}

hone_status hn_hidden_look(hone_model *m, const hone_params *p, struct hn_hidden_info *info,
                           hone_error *err)
{
    struct hn_model_mark *mark;
    HN_TRY(hn_model_mark(m, &mark, err));
    hone_status st = hn_model_plain_form(m, p, err);
    if (st == HONE_OK) st = read_stack(m, info, err);
    hone_status back = hn_model_rewind(m, mark, st == HONE_OK ? err : NULL);
    hn_model_mark_free(mark);
    return st == HONE_OK ? back : st;
}

/* ---- the edit ---------------------------------------------------------------------------------------------------------- */

static int same_widths(const struct hn_hidden_info *has, const struct hn_hidden_plan *plan)
{
    if (has->n != plan->n) return 0;
    for (int i = 0; i < has->n; i++)
        if (has->width[i] != plan->width[i]) return 0;
    return 1;
}

static hone_status write_line(struct hn_buffer *b, const struct hn_hidden_info *has,
                              const struct hn_hidden_plan *plan, const uint32_t key[2],
                              hone_error *err)
{
    HN_TRY(hn_sink_str(&b->sink, "hidden", err));
    for (int i = 0; i < plan->n && !same_widths(has, plan); i++)
        HN_TRY(hn_sink_printf(&b->sink, err, "%s%lld",
                              i ? "," : " units=", (long long)plan->width[i]));
    if (plan->activation) HN_TRY(hn_sink_printf(&b->sink, err, " activation=%s", plan->activation));
    return hn_sink_printf(&b->sink, err, " key=%08x%08x", key[0], key[1]);
}

static hone_status reshape(hone_model *m, const hone_params *p, const uint32_t key[2],
                           hone_error *err)
{
    struct hn_hidden_info has;
    struct hn_hidden_plan plan;
    struct hn_buffer line;
    HN_TRY(read_stack(m, &has, err));
    HN_TRY(hn_hidden_plan(&has, p, &plan, err));
    int same = !plan.activation || (has.activation && !strcmp(has.activation, plan.activation));
    if (same && same_widths(&has, &plan)) return HONE_OK;
    hn_buffer_init(&line, &m->ctx->mem);
    hone_status st = write_line(&line, &has, &plan, key, err);
    if (st == HONE_OK) st = hone_model_edit(m, line.p, err);
    hn_buffer_free(&line);
    return st;
}

hone_status hn_model_reshape(hone_model *m, const hone_params *p, const uint32_t key[2],
                             hone_error *err)
{
    if (!hn_hidden_asked(p)) return HONE_OK;
    HN_TRY(hn_model_plain_form(m, p, err));
    return reshape(m, p, key, err);
}

/* ---- the first layers ---------------------------------------------------------------------------------------------------- */

/* Dense layers on the longest path to each node, itself included. */
static void count_layers(const struct hn_graph *g, const struct hn_param_list *list, int32_t *depth)
{
    for (size_t i = 0; i < list->n_uses; i++) {
        const struct hn_node *n = &g->nodes[list->uses[i].node];
        if (hn_node_is_product(n)) depth[list->uses[i].node] = 1;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        int32_t at = g->order[i], most = 0;
        const struct hn_node *n = &g->nodes[at];
        for (int k = 0; k < n->n_in; k++) {
            int32_t from = n->in[k] >= 0 ? g->values[n->in[k]].producer : -1;
            if (from >= 0 && depth[from] > most) most = depth[from];
        }
        depth[at] += most;
    }
}

hone_status hn_model_first_layers(hone_model *m, int64_t k,
                                  hone_status (*add)(void *user, const char *name, hone_error *err),
                                  void *user, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    const struct hn_param_list *list = hn_graph_params(g);
    int32_t most = 0, *depth = hn_calloc(&m->ctx->mem, g->n_nodes + 1, sizeof *depth);
    hone_status st = HONE_OK;
    if (!depth) return hn_nomem(err, "the layers", g->n_nodes * sizeof *depth);
    count_layers(g, list, depth);
    for (size_t i = 0; i < g->n_nodes; i++)
        if (depth[i] > most) most = depth[i];
    if (k >= most)
        st = hn_fail(err, HONE_E_USAGE, "freeze-layers",
                     "found %lld, the model has %d Dense layers one behind the other, and the last "
                     "one has to learn",
                     (long long)k, (int)most);
    for (size_t i = 0; st == HONE_OK && i < list->n_uses; i++) {
        const int32_t d = depth[list->uses[i].node];
        const int table = !strcmp(g->nodes[list->uses[i].node].type, "Gather");
        if ((d < 1 && !table) || d > k || k < 1) continue; /* tables stand in front of the first */
        st = add(user, g->values[list->params[list->uses[i].param].value].name, err);
    }
    hn_free(&m->ctx->mem, depth);
    return st;
}
