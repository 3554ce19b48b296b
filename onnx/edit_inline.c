/* SPDX-License-Identifier: MIT
 *
 * Calls of the model's own functions written out as ordinary nodes, under the names that the import gives them (they come
 * from the same place, onnx/expand.h): so an edit can name what inspect shows. A function may mean other operator
 * versions than the model; where the difference matters for one of its nodes, or where a body holds a graph of its own,
 * the model cannot be written without the function and the edit is refused. */
#include "onnx/edit_list.h"
#include "onnx/expand.h"
#include "onnx/import.h"
#include "onnx/model.h"
#include "ops/base/status.h"
#include "ops/graph/graph.h"
#include <string.h>

static const char remedy[] =
    "export the model without functions, or write them out before with onnx.inliner (and compare: "
    "onnx 1.22 forgets the defaults of attributes)";

static int64_t opset_of(const struct hn_modify *e, const char *domain)
{
    int64_t best = 0;
    for (size_t i = 0; i < e->model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = e->model->opset_import[i];
        int same = strcmp(hn_import_domain(o->domain), hn_import_domain(domain)) == 0;
        if (same && o->version > best) best = o->version;
    }
    return best;
}

static hone_status import_domain(struct hn_modify *e, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *o = hn_arena_alloc(e->arena, 1, sizeof *o);
    if (!o) return hn_md_nomem(e);
    onnx__operator_set_id_proto__init(o);
    o->domain = hn_arena_strdup(e->arena, domain);
    o->has_version = 1;
    o->version = version;
    if (!o->domain || !hn_md_append(e, &e->model->opset_import, &e->model->n_opset_import, o))
        return hn_md_nomem(e);
    if (!*domain) e->opset = version;
    return HONE_OK;
}

static int holds_graph(const Onnx__NodeProto *n)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->g || n->attribute[i]->n_graphs) return 1;
    return 0;
}

/* The node must mean in the main graph what it means in its function. */
static hone_status check_node(struct hn_modify *e, const struct hn_flat_node *flat)
{
    const Onnx__NodeProto *n = flat->node;
    const char *domain = hn_import_domain(n->domain), *type = n->op_type ? n->op_type : "";
    int64_t in_function = hn_function_opset(flat->from, domain), in_model = opset_of(e, domain);
    if (holds_graph(n)) {
        hone_status st = hn_fail(e->err, HONE_E_UNSUPPORTED, flat->from->label,
                                 "this edit needs the function's nodes in the graph, and node "
                                 "'%.100s' holds a graph of its own",
                                 n->name);
        return hn_hint(e->err, st, "%s", remedy);
    }
    if (!in_function || in_function == in_model) return HONE_OK;
    if (!in_model) return import_domain(e, domain, in_function);
    int since = hn_onnx_since(domain, type, in_function);
    if (since && since == hn_onnx_since(domain, type, in_model)) return HONE_OK;
    hone_status st = hn_fail(e->err, HONE_E_UNSUPPORTED, flat->from->label,
                             "this edit needs the function's nodes in the graph, and %.60s is of "
                             "opset %lld in the function, of opset %lld in the model",
                             type, (long long)in_function, (long long)in_model);
    return hn_hint(e->err, st, "%s", remedy);
}

static hone_status replace_nodes(struct hn_modify *e, const struct hn_expanded *x)
{
    Onnx__NodeProto **nodes = hn_arena_alloc(e->arena, x->n + 1, sizeof *nodes);
    int graphs = 0, idle = 0;
    if (!nodes) return hn_md_nomem(e);
    for (size_t i = 0; i < x->n; i++) {
        nodes[i] = x->nodes[i].node;
        graphs |= holds_graph(nodes[i]);
        if (x->nodes[i].from) HN_TRY(check_node(e, &x->nodes[i]));
    }
    for (size_t i = 0; i < x->functions.n; i++) idle |= x->functions.v[i].state == HN_FN_UNSEEN;
    e->g->node = nodes;
    e->g->n_node = x->n;
    if (!graphs && !idle) e->model->n_functions = 0; /* else something may still call them */
    return HONE_OK;
}

/* What calls shared was one place in the file. That this is a tie the author meant, and no merging of equal values by an
 * exporter, would not be seen any more. */
static hone_status note_shared(struct hn_modify *e, const struct hn_expanded *x)
{
    const char **names = NULL;
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++)
        if (x->nodes[i].shared && !hn_md_append(e, &names, &n, x->nodes[i].node->output[0]))
            return hn_md_nomem(e);
    return n ? hn_md_note(e, HN_META_SHARED, names, n) : HONE_OK;
}

hone_status hn_md_inline(struct hn_modify *e)
{
    struct hn_expanded x = { 0 };
    int calls = 0;
    if (!e->model->n_functions) return HONE_OK;
    HN_TRY(hn_expand(&x, e->mem, e->arena, e->proto, e->n_bytes, e->err));
    for (size_t i = 0; i < x.functions.n; i++) calls |= x.functions.v[i].state != HN_FN_UNSEEN;
    hone_status st = calls ? replace_nodes(e, &x) : HONE_OK;
    if (st == HONE_OK && calls) st = note_shared(e, &x);
    hn_expand_free(&x);
    return st;
}
