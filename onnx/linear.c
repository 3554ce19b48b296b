/* SPDX-License-Identifier: MIT
 *
 * Which nodes there are, whether they are of a form that is understood, and where their numbers lie: protobuf-c's view of the
 * file says what, a walk over the wire bytes of the same nodes says where. */
#include "onnx/linear.h"
#include "ops/base/status.h"
#include <string.h>

enum { F_GRAPH = 7, F_NODE = 1, F_ATTRIBUTE = 5 };

struct finder {
    struct hn_linears *out;
    struct hn_arena *arena;
    const Onnx__ModelProto *model;
    const unsigned char *p;
    size_t n;
    hone_error *err;
};

static hone_status nomem(const struct finder *f)
{
    return hn_nomem(f->err, "the linear models", f->model->graph->n_node * sizeof *f->out->v);
}

static int is_linear(const Onnx__NodeProto *n, int *classifier)
{
    if (!n->domain || strcmp(n->domain, "ai.onnx.ml") != 0 || !n->op_type) return 0;
    *classifier = strcmp(n->op_type, "LinearClassifier") == 0;
    return *classifier || strcmp(n->op_type, "LinearRegressor") == 0;
}

/* ---- the form ---------------------------------------------------------------------------------------------------- */

#define TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

static const Onnx__AttributeProto *attr(const struct hn_linear *l, const char *name,
                                        Onnx__AttributeProto__AttributeType type)
{
    for (size_t i = 0; i < l->node->n_attribute; i++) {
        const Onnx__AttributeProto *a = l->node->attribute[i];
        if (a->name && strcmp(a->name, name) == 0)
            return a->has_type && a->type != type && a->type != TYPE(UNDEFINED) ? NULL : a;
    }
    return NULL;
}

/* Never NULL, which would say that all is well. */
static const char *said(const char *text) { return text ? text : "its lists do not fit together"; }

static size_t count_floats(const Onnx__AttributeProto *a) { return a ? a->n_floats : 0; }

/* 1 and *post, or 0: another name. */
static int read_post(const struct hn_linear *l, enum hn_linear_post *post)
{
    static const char *const names[] = { "NONE", "LOGISTIC", "SOFTMAX" };
    const Onnx__AttributeProto *a = attr(l, "post_transform", TYPE(STRING));
    *post = HN_LINEAR_NONE;
    for (int i = 0; a && i < 3; i++)
        if (a->s.len == strlen(names[i]) && memcmp(a->s.data, names[i], a->s.len) == 0)
            return *post = (enum hn_linear_post)i, 1;
    return a == NULL;
}

static size_t read_labels(struct hn_linear *l)
{
    const Onnx__AttributeProto *texts = attr(l, "classlabels_strings", TYPE(STRINGS)),
                               *ints = attr(l, "classlabels_ints", TYPE(INTS));
    l->labels = texts && texts->n_strings ? texts : ints;
    return texts && texts->n_strings ? texts->n_strings : ints ? ints->n_ints : 0;
}

/* Its numbers and their number: NULL, or what is wrong with them. */
static const char *check_classifier(const struct finder *f, struct hn_linear *l, size_t n, size_t k)
{
    const size_t labels = read_labels(l), wanted = k == 1 ? 2 : k;
    if (!k) return "it has no 'intercepts', by which ONNX Runtime counts its classes";
    l->rows = (int64_t)k;
    if (labels != wanted)
        return said(hn_arena_printf(f->arena, "%zu class labels for %zu intercepts, wanted %zu",
                                    labels, k, wanted));
    if (n % k == 0) return NULL;
    return said(hn_arena_printf(f->arena, "%zu coefficients for %zu intercepts", n, k));
}

static const char *check_regressor(const struct finder *f, struct hn_linear *l, size_t n, size_t k)
{
    const Onnx__AttributeProto *targets = attr(l, "targets", TYPE(INT));
    l->rows = targets ? targets->i : 1;
    if (l->rows < 1 || (uint64_t)l->rows > n || n % (size_t)l->rows)
        return said(
            hn_arena_printf(f->arena, "%zu coefficients for %lld targets", n, (long long)l->rows));
    if (!k || k == (size_t)l->rows) return NULL;
    return said(
        hn_arena_printf(f->arena, "%zu intercepts for %lld targets", k, (long long)l->rows));
}

static const char *check(const struct finder *f, struct hn_linear *l)
{
    const size_t n = count_floats(attr(l, "coefficients", TYPE(FLOATS))),
                 k = count_floats(attr(l, "intercepts", TYPE(FLOATS)));
    if (!n) return "it has no 'coefficients'";
    const char *why = l->classifier ? check_classifier(f, l, n, k) : check_regressor(f, l, n, k);
    if (why) return why;
    if (!read_post(l, &l->post))
        return "its 'post_transform' is not supported, wanted NONE, LOGISTIC or SOFTMAX";
    if (l->rows == 1 && (l->post == HN_LINEAR_SOFTMAX || (l->post && !l->classifier)))
        return "its 'post_transform' of a single number, which ONNX Runtime leaves out, is not "
               "supported";
    return NULL;
}

/* Inputs, outputs and attributes as the operator has them? Otherwise the graph says what is wrong. */
static int is_regular(const struct finder *f, const struct hn_linear *l)
{
    const Onnx__NodeProto *n = l->node;
    int imported = 0;
    for (size_t i = 0; i < f->model->n_opset_import; i++)
        imported |= f->model->opset_import[i]->domain &&
                    strcmp(f->model->opset_import[i]->domain, "ai.onnx.ml") == 0;
    if (!imported || n->n_input != 1 || !*n->input[0] || n->n_output < 1 ||
        n->n_output > 1 + (size_t)l->classifier || n->n_attribute > 16)
        return 0;
    for (size_t i = 0; i < n->n_attribute; i++) {
        static const char *const known[] = { "coefficients",     "intercepts",
                                             "post_transform",   "classlabels_strings",
                                             "classlabels_ints", "multi_class",
                                             "targets" };
        const Onnx__AttributeProto *a = n->attribute[i];
        size_t k = 0;
        while (k < 7 && a->name && strcmp(known[k], a->name) != 0) k++;
        if (k == 7 || !a->name || (a->ref_attr_name && *a->ref_attr_name)) return 0;
        for (size_t j = 0; j < i; j++)
            if (strcmp(n->attribute[j]->name, a->name) == 0) return 0;
    }
    return 1;
}

/* ---- the numbers ------------------------------------------------------------------------------------------------- */

static int mirrors(const Onnx__AttributeProto *a)
{
    const size_t half = a->n_floats / 2;
    for (size_t i = 0; i < half; i++)
        if (a->floats[i] != -a->floats[half + i]) return 0;
    return 1;
}

static int32_t add_floats(const struct finder *f, const struct hn_linear *l,
                          const Onnx__AttributeProto *a, int rank)
{
    struct hn_floats *to = &f->out->floats[f->out->n_floats];
    if (!count_floats(a)) return -1;
    *to = (struct hn_floats){
        .name = a->name, .all = a->floats, .n = a->n_floats, .mirrored = l->mirrored
    };
    const size_t skipped = l->mirrored ? to->n / 2 : 0;
    const int64_t n = (int64_t)(to->n - skipped);
    to->t = (struct hn_tensor){ .dtype = HN_F32,
                                .rank = rank,
                                .dims = { l->rows, n / l->rows },
                                .n = n,
                                .data = to->all + skipped };
    return (int32_t)f->out->n_floats++;
}

static void take_floats(const struct finder *f, struct hn_linear *l)
{
    const Onnx__AttributeProto *w = attr(l, "coefficients", TYPE(FLOATS)),
                               *b = attr(l, "intercepts", TYPE(FLOATS));
    l->mirrored = l->classifier && l->rows == 2 && mirrors(w) && mirrors(b);
    if (l->mirrored) l->rows = 1;
    l->coefficients = add_floats(f, l, w, 2);
    l->intercepts = add_floats(f, l, b, 1);
}

float *hn_floats_written(const struct hn_floats *f, struct hn_arena *arena, const void *values,
                         enum hn_dtype from)
{
    const size_t half = f->n - (size_t)f->t.n;
    float *out = hn_arena_alloc(arena, f->n + 1, sizeof *out);
    if (!out) return NULL;
    hn_convert(out + half, HN_F32, values, from, f->t.n);
    for (size_t i = 0; i < half; i++)
        out[i] = memcmp(&out[half + i], &f->all[half + i], sizeof *out) == 0 ? f->all[i]
                                                                             : -out[half + i];
    return out;
}

/* ---- the places -------------------------------------------------------------------------------------------------- */

/* Field `number` in [*at, end) from *at on; *at: behind it. 0: there is none any more. */
static int next(const struct finder *f, size_t *at, size_t end, uint32_t number,
                struct hn_field *found)
{
    while (*at < end && !hn_field_get(f->p, *at, end, found)) {
        *at = found->data + found->n;
        if (found->number == number) return 1;
    }
    return 0;
}

static void place_attributes(const struct finder *f, const struct hn_linear *l,
                             const struct hn_field *node)
{
    size_t at = node->data;
    struct hn_field a;
    for (size_t i = 0; i < l->node->n_attribute; i++) {
        if (!next(f, &at, node->data + node->n, F_ATTRIBUTE, &a)) return;
        for (int k = 0; k < 2; k++) {
            const int32_t id = k ? l->intercepts : l->coefficients;
            struct hn_floats *to = id < 0 ? NULL : &f->out->floats[id];
            if (!to || to->name != l->node->attribute[i]->name) continue;
            to->body = a.data, to->end = a.data + a.n;
        }
    }
}

static hone_status place(const struct finder *f)
{
    size_t at = 0, done = 0;
    struct hn_field graph, node;
    if (!next(f, &at, f->n, F_GRAPH, &graph)) return HONE_OK;
    at = graph.data;
    for (size_t i = 0; done < f->out->n && i < f->model->graph->n_node; i++) {
        const struct hn_linear *l = &f->out->v[done];
        if (!next(f, &at, graph.data + graph.n, F_NODE, &node)) break;
        if (f->model->graph->node[i] != l->node) continue;
        if (!l->why) place_attributes(f, l, &node);
        done++;
    }
    for (size_t i = 0; i < f->out->n_floats; i++)
        if (!f->out->floats[i].end)
            return hn_fail(f->err, HONE_E_INTERNAL, f->out->floats[i].name,
                           "the attribute is not found in the file's bytes");
    return HONE_OK;
}

hone_status hn_linear_find(struct hn_linears *out, struct hn_arena *arena,
                           const Onnx__ModelProto *model, const unsigned char *p, size_t n,
                           hone_error *err)
{
    struct finder f = { out, arena, model, p, n, err };
    const Onnx__GraphProto *g = model->graph;
    int classifier;
    *out = (struct hn_linears){ 0 };
    for (size_t i = 0; i < g->n_node; i++) out->n += (size_t)is_linear(g->node[i], &classifier);
    if (!out->n) return HONE_OK;
    out->v = hn_arena_alloc(arena, out->n, sizeof *out->v);
    out->floats = hn_arena_alloc(arena, 2 * out->n, sizeof *out->floats);
    if (!out->v || !out->floats) return nomem(&f);
    out->n = 0;
    for (size_t i = 0; i < g->n_node; i++) {
        if (!is_linear(g->node[i], &classifier)) continue;
        struct hn_linear *l = &out->v[out->n++];
        *l = (struct hn_linear){
            .node = g->node[i], .classifier = classifier, .coefficients = -1, .intercepts = -1
        };
        l->why = is_regular(&f, l) ? check(&f, l) : "";
        if (!l->why) take_floats(&f, l);
    }
    return place(&f);
}
