/* SPDX-License-Identifier: MIT
 *
 * hone_model_describe: the graph as a result, in the words of `hone inspect --json`. Only reads. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/hidden.h"

enum { MOST_CLASSES = 10000 }; /* that are listed */

static const char *severity_name(enum hn_severity s)
{
    switch (s) {
    case HN_NOTE: return "note";
    case HN_WARNING: return "warning";
    case HN_BLOCKS_TRAINING: return "blocks training";
    case HN_BLOCKS_ALL: break;
    }
    return "error";
}

/* As the file declares it: a number, a name, null where it says nothing. */
static void put_dims(hone_result *r, const struct hn_value *v)
{
    if (v->decl_rank < 0) {
        hn_result_null(r, "dims");
        return;
    }
    hn_result_array(r, "dims");
    for (int i = 0; i < v->decl_rank; i++) {
        if (v->decl_dims[i] >= 0)
            hn_result_int(r, NULL, v->decl_dims[i]);
        else
            hn_result_string(r, NULL, v->decl_names[i]);
    }
    hn_result_close(r);
}

static void put_value(hone_result *r, const struct hn_value *v)
{
    hn_result_string(r, "name", v->name);
    hn_result_string(r, "dtype", v->is_sequence ? "sequence" : hn_dtype_name(v->dtype));
    put_dims(r, v);
}

static void put_inputs(hone_result *r, const struct hn_graph *g)
{
    hn_result_array(r, "inputs");
    for (size_t i = 0; i < g->n_inputs; i++) {
        hn_result_object(r, NULL);
        put_value(r, &g->values[g->inputs[i]]);
        hn_result_close(r);
    }
    hn_result_close(r);
}

static void put_class_list(hone_result *r, const struct hn_class_list *list)
{
    if (list->n == 0) {
        hn_result_null(r, "classes");
        return;
    }
    hn_result_array(r, "classes");
    for (size_t i = 0; i < list->n; i++) hn_result_string(r, NULL, list->names[i]);
    hn_result_close(r);
}

/* What the labels that an output gives are, as text. */
static hone_status labels_of(const struct hn_tensor *t, struct hn_arena *a,
                             struct hn_class_list *list, hone_error *err)
{
    char number[40];
    const size_t n = t->n > MOST_CLASSES ? 0 : (size_t)t->n;
    const char **names = hn_arena_alloc(a, n + 1, sizeof *names);
    for (size_t i = 0; names && i < n; i++) {
        if (hn_dtype_is_float(t->dtype)) hn_format_double(number, hn_tensor_f64(t, (int64_t)i));
        names[i] = t->dtype == HN_STR ? ((const char *const *)t->data)[i]
                   : hn_dtype_is_float(t->dtype)
                       ? hn_arena_strdup(a, number)
                       : hn_arena_printf(a, "%lld", (long long)hn_tensor_i64(t, (int64_t)i));
        if (!names[i]) names = NULL;
    }
    *list = (struct hn_class_list){ .names = names, .n = n };
    return names ? HONE_OK : hn_nomem(err, "the list of labels", n * sizeof *names);
}

/* What training asks of an output, too: does it learn on its own, how many values a row has (0: no rows), the op it ends in,
 * what it calls its classes. */
static hone_status put_outputs(hone_result *r, hone_model *m, struct hn_arena *a, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    static const char *const tails[] = { NULL,   "softmax", "logsoftmax", "sigmoid",
                                         "both", "each",    "shares" };
    hn_result_array(r, "outputs");
    for (size_t i = 0; i < g->n_outputs; i++) {
        const struct hn_value *v = &g->values[g->outputs[i]];
        struct hn_output_info info;
        struct hn_class_list list;
        hn_graph_output(g, i, &info);
        HN_TRY(info.labels ? labels_of(info.labels, a, &list, err)
                           : hn_model_classes(m, v->name, a, &list, err));
        hn_result_object(r, NULL);
        put_value(r, v);
        hn_result_bool(r, "learns", info.trainable && !info.derived);
        hn_result_int(r, "per_row", info.per_row);
        hn_result_string(r, "tail", tails[info.tail]);
        put_class_list(r, &list);
        hn_result_close(r);
    }
    hn_result_close(r);
    return HONE_OK;
}

static void put_header(hone_result *r, const struct hn_graph *g)
{
    hn_result_int(r, "ir_version", g->ir_version);
    hn_result_array(r, "opsets");
    for (size_t i = 0; i < g->n_opsets; i++) {
        hn_result_object(r, NULL);
        hn_result_string(r, "domain", g->opsets[i].domain);
        hn_result_int(r, "version", g->opsets[i].version);
        hn_result_close(r);
    }
    hn_result_close(r);
    hn_result_string(r, "producer", g->producer);
    hn_result_string(r, "producer_version", g->producer_version);
    hn_result_string(r, "graph", g->name);
    hn_result_string(r, "dtype", hn_dtype_name(g->dtype));
    hn_result_int(r, "fixed_batch", g->fixed_batch);
    hn_result_bool(r, "batch_lifted", g->batch_lifted);
    put_inputs(r, g);
}

static void put_nodes(hone_result *r, const struct hn_graph *g)
{
    hn_result_array(r, "nodes");
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        hn_result_object(r, NULL);
        hn_result_string(r, "name", n->name);
        hn_result_string(r, "op", n->type);
        hn_result_string(r, "domain", n->domain);
        hn_result_string(r, "verdict", hn_verdict_name(n->verdict));
        hn_result_string(r, "why", n->why);
        hn_result_close(r);
    }
    hn_result_close(r);
}

static void put_issues(hone_result *r, const struct hn_graph *g)
{
    char label[256];
    hn_result_array(r, "issues");
    for (size_t i = 0; i < g->n_issues; i++) {
        const struct hn_issue *s = &g->issues[i];
        hn_result_object(r, NULL);
        hn_result_string(r, "severity", severity_name(s->severity));
        hn_result_string(
            r, "node", s->node < 0 ? NULL : hn_node_label(&g->nodes[s->node], label, sizeof label));
        hn_result_string(r, "what", s->what);
        hn_result_string(r, "remedy", s->remedy);
        hn_result_close(r);
    }
    hn_result_close(r);
}

static int is_copied(const struct hn_untie *t, const struct hn_graph *g, const struct hn_use *u)
{
    for (int i = 0; i < t->n_at; i++)
        if (t->at[i].node == u->at_node && t->at[i].input == u->at_input) return 1;
    return t->n_at == 0 && g->nodes[u->at_node].in[u->at_input] == t->value;
}

/* Is this use to get a copy of the parameter before training? */
static int comes_apart(const struct hn_graph *g, const struct hn_use *u)
{
    for (size_t i = 0; i < g->n_unties; i++)
        if (is_copied(&g->unties[i], g, u)) return 1;
    return 0;
}

/* The uses of a parameter that will train as one; r NULL: only counts them. */
static int put_uses(hone_result *r, const struct hn_graph *g, size_t param)
{
    const struct hn_param_list *list = hn_graph_params(g);
    char label[256];
    int n = 0;
    for (size_t i = 0; i < list->n_uses; i++) {
        const struct hn_use *u = &list->uses[i];
        if ((size_t)u->param != param || comes_apart(g, u)) continue;
        n++;
        if (!r) continue;
        hn_result_object(r, NULL);
        hn_result_string(r, "node", hn_node_label(&g->nodes[u->node], label, sizeof label));
        hn_result_int(r, "input", u->input);
        hn_result_bool(r, "transposed", u->trans);
        hn_result_close(r);
    }
    return n;
}

static void put_ties(hone_result *r, const struct hn_graph *g)
{
    const struct hn_param_list *list = hn_graph_params(g);
    hn_result_array(r, "ties");
    for (size_t i = 0; i < list->n_params; i++) {
        if (put_uses(NULL, g, i) < 2) continue;
        hn_result_object(r, NULL);
        hn_result_string(r, "parameter", g->values[list->params[i].value].name);
        hn_result_array(r, "uses");
        put_uses(r, g, i);
        hn_result_close(r);
        hn_result_close(r);
    }
    hn_result_close(r);
    hn_result_array(r, "unties");
    for (size_t i = 0; i < g->n_unties; i++) hn_result_string(r, NULL, g->unties[i].line);
    hn_result_close(r);
}

/* How many copies of a parameter the unties make: a merged statistic's copy is none. */
static int copies(const struct hn_graph *g, size_t param)
{
    const struct hn_param_list *list = hn_graph_params(g);
    int n = 0;
    for (size_t k = 0; k < g->n_unties; k++)
        for (size_t i = 0; i < list->n_uses; i++)
            if ((size_t)list->uses[i].param == param &&
                is_copied(&g->unties[k], g, &list->uses[i])) {
                n++;
                break;
            }
    return n;
}

/* Parameters one by one, then those that several nodes share, then the counts as they will be in
 * training. */
static void put_parameters(hone_result *r, const struct hn_graph *g)
{
    const struct hn_param_list *list = hn_graph_params(g);
    int64_t all = 0, trained = 0;
    hn_result_array(r, "weights");
    for (size_t i = 0; i < list->n_params; i++) {
        const struct hn_gparam *p = &list->params[i];
        const struct hn_tensor *t = g->values[p->value].constant;
        int64_t n = t ? t->n * (1 + copies(g, i)) : 0;
        hn_result_object(r, NULL);
        hn_result_string(r, "name", g->values[p->value].name);
        hn_result_array(r, "dims");
        for (int k = 0; t && k < t->rank; k++) hn_result_int(r, NULL, t->dims[k]);
        hn_result_close(r);
        hn_result_string(r, "dtype", hn_dtype_name(g->values[p->value].dtype));
        hn_result_bool(r, "trained", p->trained);
        hn_result_string(r, "why", p->why);
        hn_result_close(r);
        all += n;
        trained += p->trained ? n : 0;
    }
    hn_result_close(r);
    put_ties(r, g);
    hn_result_int(r, "parameters", all);
    hn_result_int(r, "trainable_parameters", trained);
}

/* The hidden layers that could be rebuilt, or why they could not. */
static hone_status put_hidden(hone_result *r, hone_model *m, hone_error *err)
{
    struct hn_hidden_info info = { 0 };
    hone_error why = { 0 };
    hone_status st = hn_hidden_look(m, NULL, &info, &why);
    if (st == HONE_E_NOMEM) return hn_nomem(err, "the hidden layers", 0);
    hn_result_object(r, "hidden");
    if (st == HONE_OK) {
        hn_result_array(r, "units");
        for (int i = 0; i < info.n; i++) hn_result_int(r, NULL, info.width[i]);
        hn_result_close(r);
        hn_result_string(r, "activation", info.activation);
    } else {
        hn_result_null(r, "units");
        hn_result_string(r, "node", why.where);
        hn_result_string(r, "why", why.text);
    }
    hn_result_close(r);
    return HONE_OK;
}

static hone_status describe(hone_model *m, hone_result *r, struct hn_arena *a, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    struct hn_class_list list;
    put_header(r, g);
    HN_TRY(put_outputs(r, m, a, err));
    put_nodes(r, g);
    put_issues(r, g);
    put_parameters(r, g);
    HN_TRY(hn_model_classes(m, NULL, a, &list, err));
    put_class_list(r, &list);
    hn_result_array(r, "edits");
    for (size_t i = 0; i < hn_model_n_edits(m); i++)
        hn_result_string(r, NULL, hn_model_edit_line(m, i));
    hn_result_close(r);
    HN_TRY(put_hidden(r, m, err));
    return hn_result_done(r, err);
}

static hone_status describe_model(hone_model *m, hone_result **out, hone_error *err)
{
    hone_context *ctx = hn_model_context(m);
    struct hn_arena lists;
    HN_TRY(hn_result_create(ctx, "hone.inspect/1", out, err));
    hn_arena_init(&lists, &ctx->mem);
    hone_status st = describe(m, *out, &lists, err);
    hn_arena_clear(&lists);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

hone_status hone_model_describe(hone_model *m, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, describe_model(m, out, err), err);
}
