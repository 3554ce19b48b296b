/* SPDX-License-Identifier: MIT
 *
 * The order of an import, and the ends of the graph: header, inputs, initializers, outputs, declared types. An input
 * may be an initializer too (the old way of listing weights); that names are defined once is checked by finish. */
#include "onnx/import.h"
#include "ops/base/status.h"
#include <string.h>

const char *hn_import_domain(const char *domain)
{
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

const struct hn_onnx_tensor *hn_import_tensor(const struct hn_import *im,
                                              const Onnx__TensorProto *t, int32_t *id)
{
    int64_t i = hn_proto_id(im->m->proto, t);
    *id = (int32_t)i;
    return i >= 0 && im->m->tensors[i].t.data ? &im->m->tensors[i] : NULL;
}

static hone_status nomem(const struct hn_import *im) { return hn_nomem(im->err, "the graph", 0); }

static hone_status import_opsets(struct hn_import *im)
{
    const Onnx__ModelProto *model = im->model;
    struct hn_graph *g = im->g;
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = model->opset_import[i];
        struct hn_opset entry = { hn_arena_strdup(&g->arena, hn_import_domain(o->domain)),
                                  o->version };
        if (!entry.domain) return nomem(im);
        if (o->version < 1)
            return hn_fail(im->err, HONE_E_MODEL, im->m->name,
                           "opset_import of domain '%.80s' has version %lld", entry.domain,
                           (long long)o->version);
        for (size_t k = 0; k < g->n_opsets; k++)
            if (strcmp(g->opsets[k].domain, entry.domain) == 0 &&
                g->opsets[k].version != entry.version)
                return hn_fail(im->err, HONE_E_MODEL, im->m->name,
                               "domain '%.80s' is imported as version %lld and as %lld",
                               entry.domain, (long long)g->opsets[k].version,
                               (long long)entry.version);
        if (!HN_PUSH(g->mem, g->opsets, g->n_opsets, g->cap_opsets, entry)) return nomem(im);
    }
    if (g->n_opsets) return HONE_OK;
    if (model->ir_version >= 3)
        return hn_fail(im->err, HONE_E_MODEL, im->m->name,
                       "no opset_import, which IR version %lld needs",
                       (long long)model->ir_version);
    struct hn_opset first = { "", 1 };
    return HN_PUSH(g->mem, g->opsets, g->n_opsets, g->cap_opsets, first) ? HONE_OK : nomem(im);
}

static hone_status import_header(struct hn_import *im)
{
    const Onnx__ModelProto *model = im->model;
    struct hn_graph *g = im->g;
    g->ir_version = model->ir_version;
    g->name = hn_arena_strdup(&g->arena, model->graph->name ? model->graph->name : "");
    g->producer = hn_arena_strdup(&g->arena, model->producer_name ? model->producer_name : "");
    g->producer_version =
        hn_arena_strdup(&g->arena, model->producer_version ? model->producer_version : "");
    if (!g->name || !g->producer || !g->producer_version) return nomem(im);
    if (model->ir_version < 1)
        return hn_fail(im->err, HONE_E_MODEL, im->m->name, "ir_version is %lld",
                       (long long)model->ir_version);
    if (model->ir_version > ONNX__VERSION__IR_VERSION &&
        hn_graph_issue(g, HN_NOTE, -1, HONE_OK, NULL,
                       "IR version %lld is newer than %d, the newest one known here",
                       (long long)model->ir_version, (int)ONNX__VERSION__IR_VERSION))
        return nomem(im);
    return import_opsets(im);
}

static hone_status declare_shape(struct hn_import *im, struct hn_value *v,
                                 const Onnx__TensorShapeProto *s)
{
    if (s->n_dim > HN_MAX_RANK) return HONE_OK; /* rank stays unknown; the operators decide */
    v->decl_rank = (int)s->n_dim;
    for (size_t i = 0; i < s->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[i];
        v->decl_dims[i] = -1;
        v->decl_names[i] = NULL;
        if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
            d->dim_value >= 0)
            v->decl_dims[i] = d->dim_value;
        if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param &&
            *d->dim_param) {
            v->decl_names[i] = hn_arena_strdup(&im->g->arena, d->dim_param);
            if (!v->decl_names[i]) return nomem(im);
        }
    }
    return HONE_OK;
}

static void take_hint(struct hn_value *v, const Onnx__ValueInfoProto *info)
{
    static const char key[] = "pkg.torch.export.graph_signature.InputSpec.kind";
    for (size_t i = 0; i < info->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = info->metadata_props[i];
        if (!e->key || !e->value || strcmp(e->key, key)) continue;
        if (!strcmp(e->value, "PARAMETER"))
            v->hint = HN_HINT_PARAMETER;
        else if (!strcmp(e->value, "BUFFER"))
            v->hint = HN_HINT_BUFFER;
        else if (!strcmp(e->value, "CONSTANT_TENSOR"))
            v->hint = HN_HINT_CONSTANT;
    }
}

static hone_status declare(struct hn_import *im, int32_t at, const Onnx__ValueInfoProto *info)
{
    struct hn_value *v = &im->g->values[at];
    const Onnx__TypeProto *t = info->type;
    take_hint(v, info);
    if (!t) return HONE_OK;
    if (t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
        v->is_sequence = t->value_case != ONNX__TYPE_PROTO__VALUE__NOT_SET;
        return HONE_OK;
    }
    v->declared = 1;
    if (t->tensor_type->has_elem_type && v->dtype == HN_NONE)
        v->dtype = (enum hn_dtype)t->tensor_type->elem_type;
    return t->tensor_type->shape ? declare_shape(im, v, t->tensor_type->shape) : HONE_OK;
}

static hone_status define_initializer(struct hn_import *im, const char *name,
                                      const Onnx__TensorProto *t)
{
    struct hn_graph *g = im->g;
    if (!name || !*name)
        return hn_fail(im->err, HONE_E_MODEL, im->m->name, "an initializer has no name");
    int32_t at = hn_graph_value(g, name);
    if (at < 0) return nomem(im);
    struct hn_value *v = &g->values[at];
    if (v->is_initializer)
        return hn_fail(im->err, HONE_E_MODEL, name, "two initializers have this name");
    v->is_initializer = 1;
    if (!t)
        return hn_graph_issue(g, HN_BLOCKS_ALL, -1, HONE_E_UNSUPPORTED,
                              "export it as an ordinary tensor", "initializer '%s' is sparse", name)
                   ? nomem(im)
                   : HONE_OK;
    int32_t id;
    const struct hn_onnx_tensor *view = hn_import_tensor(im, t, &id);
    v->tensor_id = id;
    if (view) {
        v->constant = &view->t;
        v->dtype = view->t.dtype;
        return HONE_OK;
    }
    v->dtype = (enum hn_dtype)(t->has_data_type ? t->data_type : 0);
    return hn_graph_issue(g, HN_BLOCKS_ALL, -1, HONE_E_UNSUPPORTED, NULL, "initializer '%s': %s",
                          name, im->m->tensors[id].why)
               ? nomem(im)
               : HONE_OK;
}

static hone_status import_initializers(struct hn_import *im)
{
    const Onnx__GraphProto *graph = im->model->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        HN_TRY(define_initializer(im, graph->initializer[i]->name, graph->initializer[i]));
    for (size_t i = 0; i < graph->n_sparse_initializer; i++) {
        const Onnx__TensorProto *values = graph->sparse_initializer[i]->values;
        HN_TRY(define_initializer(im, values ? values->name : NULL, NULL));
    }
    return HONE_OK;
}

static hone_status import_weights(struct hn_import *im)
{
    for (size_t i = 0; i < im->n_weights; i++) {
        const struct hn_weight *w = &im->weights[i];
        const int32_t at = hn_graph_value(im->g, w->name);
        if (at < 0) return nomem(im);
        struct hn_value *v = &im->g->values[at];
        v->is_initializer = 1, v->tensor_id = w->id;
        v->constant = &im->m->tensors[w->id].t, v->dtype = HN_F32;
    }
    return HONE_OK;
}

hone_status hn_import_values(struct hn_import *im)
{
    struct hn_graph *g = im->g;
    const Onnx__GraphProto *graph = im->model->graph;
    HN_TRY(import_header(im));
    HN_TRY(import_initializers(im));
    HN_TRY(import_weights(im));
    for (size_t i = 0; i < graph->n_input; i++) {
        const Onnx__ValueInfoProto *info = graph->input[i];
        if (!info->name || !*info->name)
            return hn_fail(im->err, HONE_E_MODEL, im->m->name, "input %zu has no name", i);
        int32_t at = hn_graph_value(g, info->name);
        if (at < 0) return nomem(im);
        if (g->values[at].is_input)
            return hn_fail(im->err, HONE_E_MODEL, info->name, "two inputs have this name");
        g->values[at].is_input = 1;
        HN_TRY(declare(im, at, info));
        if (!g->values[at].is_initializer &&
            !HN_PUSH(g->mem, g->inputs, g->n_inputs, g->cap_inputs, at))
            return nomem(im);
    }
    return HONE_OK;
}

static hone_status import_output(struct hn_import *im, const Onnx__ValueInfoProto *info, size_t i)
{
    struct hn_graph *g = im->g;
    if (!info->name || !*info->name)
        return hn_fail(im->err, HONE_E_MODEL, im->m->name, "output %zu has no name", i);
    int32_t at = hn_graph_value(g, info->name);
    if (at < 0) return nomem(im);
    if (g->values[at].is_output)
        return hn_fail(im->err, HONE_E_MODEL, info->name,
                       "two outputs of the graph have this name");
    g->values[at].is_output = 1;
    if (!HN_PUSH(g->mem, g->outputs, g->n_outputs, g->cap_outputs, at)) return nomem(im);
    return declare(im, at, info);
}

/* Outputs that an earlier training has left in the units of their targets. */
static hone_status note_unscaled(struct hn_import *im)
{
    const char *names = hn_onnx_meta(im->m, HN_META_UNSCALED);
    struct hn_class_list list;
    if (!names || !*names) return HONE_OK;
    HN_TRY(hn_classes_read(&im->g->arena, names, &list, im->err));
    for (size_t i = 0; i < list.n; i++) {
        const int32_t at = hn_graph_find(im->g, list.names[i]);
        if (at >= 0) im->g->values[at].unscaled = 1;
    }
    return HONE_OK;
}

hone_status hn_import_declared(struct hn_import *im)
{
    const Onnx__GraphProto *graph = im->model->graph;
    for (size_t i = 0; i < graph->n_output; i++) HN_TRY(import_output(im, graph->output[i], i));
    for (size_t i = 0; i < graph->n_value_info; i++) {
        const Onnx__ValueInfoProto *info = graph->value_info[i];
        int32_t at = info->name ? hn_graph_find(im->g, info->name) : -1;
        if (at >= 0) HN_TRY(declare(im, at, info));
    }
    if (!graph->n_output)
        return hn_fail(im->err, HONE_E_MODEL, im->m->name, "the graph has no outputs");
    return HONE_OK;
}

static hone_status note_functions(struct hn_import *im)
{
    const struct hn_expanded *x = &im->flat;
    const struct hn_functions *f = &x->functions;
    size_t idle = 0, first = 0;
    for (size_t i = f->n; i-- > 0;) {
        if (f->v[i].state == HN_FN_UNSEEN)
            idle++, first = i;
        else if (!*hn_import_domain(f->v[i].p->domain) &&
                 hn_graph_issue(im->g, HN_WARNING, -1, HONE_OK, NULL,
                                "the file's own function '%s' stands in the domain of the standard "
                                "operators: it runs here, another runtime may run the operator",
                                f->v[i].label))
            return nomem(im);
    }
    if (idle && hn_graph_issue(im->g, HN_NOTE, -1, HONE_OK, NULL,
                               "the file defines %zu functions that its graph does not call, the "
                               "first one '%s'; they are kept",
                               idle, f->v[first].label))
        return nomem(im);
    if (x->n_unread &&
        hn_graph_issue(im->g, HN_NOTE, -1, HONE_OK, NULL,
                       "calls give %zu tensors as attributes that their functions do not read, the "
                       "first one '%s' of '%s': copies of weights there keep their old values",
                       x->n_unread, x->unread, x->unread_call))
        return nomem(im);
    return HONE_OK;
}

static hone_status note_extras(struct hn_import *im)
{
    const Onnx__ModelProto *model = im->model;
    HN_TRY(note_functions(im));
    if (model->n_training_info &&
        hn_graph_issue(
            im->g, HN_NOTE, -1, HONE_OK, NULL,
            "the file holds training information (TrainingInfoProto); it is kept, not used"))
        return nomem(im);
    return HONE_OK;
}

static hone_status import(struct hn_import *im)
{
    const struct hn_onnx *m = im->m;
    HN_TRY(hn_expand(&im->flat, m->mem, &im->arena, m->proto, m->n, im->err));
    HN_TRY(hn_import_linears(im));
    HN_TRY(hn_import_values(im));
    HN_TRY(hn_import_nodes(im));
    HN_TRY(hn_import_declared(im));
    HN_TRY(note_unscaled(im));
    HN_TRY(hn_import_check(im));
    HN_TRY(hn_import_classes(im));
    HN_TRY(hn_import_torch(im));
    return note_extras(im);
}

hone_status hn_onnx_graph(const struct hn_onnx *m, const struct hn_graph_opts *opts,
                          struct hn_graph **out, hone_error *err)
{
    struct hn_import im = {
        .m = m, .model = m->proto->model, .g = hn_graph_create(m->mem), .err = err
    };
    *out = NULL;
    if (!im.g) return hn_nomem(err, "the graph", sizeof *im.g);
    hn_arena_init(&im.arena, m->mem);
    hone_status st = import(&im);
    hn_expand_free(&im.flat);
    hn_arena_clear(&im.arena);
    if (st == HONE_OK) st = hn_graph_finish(im.g, opts, err);
    if (st == HONE_OK)
        *out = im.g;
    else
        hn_graph_destroy(im.g);
    return st;
}
