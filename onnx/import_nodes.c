/* SPDX-License-Identifier: MIT
 *
 * Nodes with their attributes, those of functions' bodies where they are called (onnx/expand.h), and the names that
 * subgraphs define. Constant nodes stay nodes. Subgraphs
 * (If, Loop, Scan) are carried as opaque attributes: only their names are looked at. */
#include "onnx/import.h"
#include "ops/base/status.h"
#include <string.h>

static hone_status nomem(const struct hn_import *im) { return hn_nomem(im->err, "the graph", 0); }

enum { MOST_ATTRIBUTES = 256 }; /* the search for duplicates is quadratic */

static const char *text(const char *s) { return s ? s : ""; }

static enum hn_attr_type type_of(const Onnx__AttributeProto *a)
{
    if (a->has_type && a->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
        return a->type >= 1 && a->type <= 9 ? (enum hn_attr_type)a->type : HN_ATTR_OTHER;
    if (a->has_f) return HN_ATTR_F32; /* IR 1 does not write the type */
    if (a->has_i) return HN_ATTR_I64;
    if (a->has_s) return HN_ATTR_STR;
    if (a->t) return HN_ATTR_TENSOR;
    if (a->g) return HN_ATTR_GRAPH;
    if (a->n_floats) return HN_ATTR_F32S;
    if (a->n_ints) return HN_ATTR_I64S;
    if (a->n_strings) return HN_ATTR_STRS;
    return a->n_tensors ? HN_ATTR_TENSORS : HN_ATTR_OTHER;
}

/* How many of the value fields are filled. */
static int values_of(const Onnx__AttributeProto *a)
{
    return !!a->has_f + !!a->has_i + !!a->has_s + !!a->t + !!a->g + !!a->n_floats + !!a->n_ints +
           !!a->n_strings + !!a->n_tensors + !!a->n_graphs + !!a->sparse_tensor +
           !!a->n_sparse_tensors + !!a->tp + !!a->n_type_protos;
}

static hone_status take_text(struct hn_import *im, struct hn_attr *to, const ProtobufCBinaryData *s)
{
    to->s_len = s->len;
    to->s = hn_arena_strndup(&im->g->arena, s->len ? (const char *)s->data : "", s->len);
    return to->s ? HONE_OK : nomem(im);
}

static hone_status take_texts(struct hn_import *im, struct hn_attr *to,
                              const Onnx__AttributeProto *a)
{
    const char **list = hn_arena_alloc(&im->g->arena, a->n_strings + 1, sizeof *list);
    if (!list) return nomem(im);
    for (size_t i = 0; i < a->n_strings; i++) {
        list[i] = hn_arena_strndup(&im->g->arena,
                                   a->strings[i].len ? (const char *)a->strings[i].data : "",
                                   a->strings[i].len);
        if (!list[i]) return nomem(im);
    }
    to->strings = list;
    to->n = a->n_strings;
    return HONE_OK;
}

static hone_status take_tensor(struct hn_import *im, struct hn_attr *to,
                               const Onnx__AttributeProto *a, int32_t node)
{
    if (!a->t) return HONE_OK;
    const struct hn_onnx_tensor *t = hn_import_tensor(im, a->t, &to->tensor_id);
    to->tensor = t ? &t->t : NULL;
    if (t) return HONE_OK;
    return hn_graph_issue(im->g, HN_WARNING, node, HONE_E_UNSUPPORTED, NULL, "attribute '%s': %s",
                          to->name, im->m->tensors[to->tensor_id].why)
               ? nomem(im)
               : HONE_OK;
}

/* protobuf-c's lists live as long as the model, so numbers are borrowed. */
static hone_status take_attr(struct hn_import *im, struct hn_attr *to,
                             const Onnx__AttributeProto *a, int32_t node)
{
    to->type = type_of(a);
    to->tensor_id = -1;
    to->is_ref = a->ref_attr_name && *a->ref_attr_name;
    switch (to->type) {
    case HN_ATTR_F32: to->f = a->f; break;
    case HN_ATTR_I64: to->i = a->i; break;
    case HN_ATTR_STR: return take_text(im, to, &a->s);
    case HN_ATTR_F32S: to->floats = a->floats, to->n = a->n_floats; break;
    case HN_ATTR_I64S: to->ints = a->ints, to->n = a->n_ints; break;
    case HN_ATTR_STRS: return take_texts(im, to, a);
    case HN_ATTR_TENSOR: return take_tensor(im, to, a, node);
    case HN_ATTR_GRAPH:
        return hn_graph_issue(im->g, HN_NOTE, node, HONE_E_UNSUPPORTED, NULL,
                              "attribute '%s' is a graph of its own; it is kept, not run", to->name)
                   ? nomem(im)
                   : HONE_OK;
    default: break;
    }
    return HONE_OK;
}

static hone_status import_attrs(struct hn_import *im, struct hn_node *n, const Onnx__NodeProto *p,
                                const char *where)
{
    if (p->n_attribute > MOST_ATTRIBUTES)
        return hn_fail(im->err, HONE_E_BUDGET, where, "%zu attributes, at most %d are taken",
                       p->n_attribute, MOST_ATTRIBUTES);
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *a = p->attribute[i];
        struct hn_attr *to = &n->attrs[i];
        if (!a->name || !*a->name)
            return hn_fail(im->err, HONE_E_MODEL, where, "attribute %zu has no name", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(p->attribute[k]->name, a->name) == 0)
                return hn_fail(im->err, HONE_E_MODEL, where, "attribute '%.80s' is given twice",
                               a->name);
        if (values_of(a) > 1)
            return hn_fail(im->err, HONE_E_MODEL, where, "attribute '%.80s' has two values",
                           a->name);
        to->name = hn_arena_strdup(&im->g->arena, a->name);
        if (!to->name) return nomem(im);
        HN_TRY(take_attr(im, to, a, n->index));
        if (to->is_ref)
            return hn_fail(im->err, HONE_E_MODEL, where,
                           "attribute '%.80s' refers to a function's, outside of one", a->name);
    }
    return HONE_OK;
}

/* Where the node stands decides which version its operator is of, and what a tie of its constant means. */
static void take_place(struct hn_import *im, struct hn_node *n, const struct hn_flat_node *flat)
{
    const struct hn_function *from = flat->from;
    n->version = flat->version;
    n->unfit = flat->why;
    if (!from) return;
    n->version = hn_function_opset(from, n->domain);
    for (int k = 0; k < n->n_out && strcmp(n->type, "Constant") == 0; k++)
        if (n->out[k] >= 0) im->g->values[n->out[k]].in_function = 1;
}

static hone_status import_node(struct hn_import *im, const struct hn_flat_node *flat, size_t i)
{
    const Onnx__NodeProto *p = flat->node;
    char where[128];
    if (!p->op_type || !*p->op_type)
        return hn_fail(im->err, HONE_E_MODEL, text(p->name),
                       "node %zu does not say which operator it is", i);
    struct hn_node *n =
        hn_graph_add_node(im->g, text(p->name), hn_import_domain(p->domain), p->op_type,
                          (int)p->n_input, (int)p->n_output, (int)p->n_attribute);
    if (!n) return nomem(im);
    n->index = (int32_t)i;
    (void)hn_node_label(n, where, sizeof where);
    for (size_t k = 0; k < p->n_input; k++) {
        if (!*p->input[k]) continue;
        n->in[k] = hn_graph_value(im->g, p->input[k]);
        if (n->in[k] < 0) return nomem(im);
    }
    for (size_t k = 0; k < p->n_output; k++) {
        if (!*p->output[k]) continue;
        n->out[k] = hn_graph_value(im->g, p->output[k]);
        if (n->out[k] < 0) return nomem(im);
        im->g->values[n->out[k]].producer =
            (int32_t)i; /* finish looks whether it is the only one */
    }
    take_place(im, n, flat);
    return import_attrs(im, n, p, where);
}

/* The names that onnx/edit_inline.c left, one a line, with \\ and \n for a backslash and a line feed. */
static hone_status take_shared(struct hn_import *im, const char *names)
{
    char *name = hn_arena_alloc(&im->arena, strlen(names) + 1, 1);
    if (!name) return nomem(im);
    while (*names) {
        size_t n = 0;
        for (; *names && *names != '\n'; names++) {
            int escaped = *names == '\\' && names[1];
            if (escaped) names++;
            name[n++] = escaped && *names == 'n' ? '\n' : *names;
        }
        if (*names) names++;
        name[n] = 0;
        int32_t at = hn_graph_find(im->g, name);
        if (at >= 0) im->g->values[at].in_function = 1;
    }
    return HONE_OK;
}

hone_status hn_import_nodes(struct hn_import *im)
{
    for (size_t i = 0; i < im->flat.n; i++) HN_TRY(import_node(im, &im->flat.nodes[i], i));
    const char *names = hn_onnx_meta(im->m, HN_META_SHARED);
    return names ? take_shared(im, names) : HONE_OK;
}

/* A name that a subgraph defines must not be one of the graph around it. Depth is bounded by the scan. */
static hone_status check_shadow(struct hn_import *im, const Onnx__GraphProto *sub,
                                const char *where);

static hone_status shadows(struct hn_import *im, const char *name, const char *where)
{
    int32_t at = name && *name ? hn_graph_find(im->g, name) : -1;
    const struct hn_value *v = at < 0 ? NULL : &im->g->values[at];
    if (!v || (v->producer < 0 && !v->is_input && !v->is_initializer)) return HONE_OK;
    return hn_fail(im->err, HONE_E_MODEL, where,
                   "its subgraph defines '%.100s', a name of the graph around it", name);
}

static hone_status check_subgraphs(struct hn_import *im, const Onnx__NodeProto *p,
                                   const char *where)
{
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *a = p->attribute[i];
        if (a->g) HN_TRY(check_shadow(im, a->g, where));
        for (size_t k = 0; k < a->n_graphs; k++) HN_TRY(check_shadow(im, a->graphs[k], where));
    }
    return HONE_OK;
}

static hone_status check_shadow(struct hn_import *im, const Onnx__GraphProto *sub,
                                const char *where)
{
    for (size_t i = 0; i < sub->n_input; i++) HN_TRY(shadows(im, sub->input[i]->name, where));
    for (size_t i = 0; i < sub->n_initializer; i++)
        HN_TRY(shadows(im, sub->initializer[i]->name, where));
    for (size_t i = 0; i < sub->n_node; i++) {
        for (size_t k = 0; k < sub->node[i]->n_output; k++)
            HN_TRY(shadows(im, sub->node[i]->output[k], where));
        HN_TRY(check_subgraphs(im, sub->node[i], where));
    }
    return HONE_OK;
}

hone_status hn_import_check(struct hn_import *im)
{
    char where[128];
    for (size_t i = 0; i < im->flat.n; i++)
        if (!im->flat.nodes[i].from) /* a function's names are none of the graph's */
            HN_TRY(check_subgraphs(im, im->flat.nodes[i].node,
                                   hn_node_label(&im->g->nodes[i], where, sizeof where)));
    return HONE_OK;
}
