/* SPDX-License-Identifier: MIT
 *
 * Lists, makers and finders over protobuf-c's structures. */
#include "onnx/modify.h"
#include "onnx/model.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hone_status hn_md_nomem(const struct hn_modify *e)
{
    return hn_nomem(e->err, "the edited model", 0);
}

char *hn_md_text(const struct hn_modify *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : hn_arena_alloc(e->arena, (size_t)n + 1, 1);
    va_start(ap, fmt);
    if (p) vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

int hn_md_insert(const struct hn_modify *e, void *list, size_t *n, size_t at, void *item)
{
    void **old, **v = hn_arena_alloc(e->arena, *n + 1, sizeof *v);
    if (!v || !item) return 0;
    memcpy(&old, list, sizeof old);
    if (at) memcpy(v, old, at * sizeof *v);
    v[at] = item;
    if (*n > at) memcpy(v + at + 1, old + at, (*n - at) * sizeof *v);
    memcpy(list, &v, sizeof v);
    ++*n;
    return 1;
}

int hn_md_append(const struct hn_modify *e, void *list, size_t *n, void *item)
{
    return hn_md_insert(e, list, n, *n, item);
}

static Onnx__StringStringEntryProto *metadata(struct hn_modify *e, const char *key)
{
    for (size_t i = 0; i < e->model->n_metadata_props; i++)
        if (e->model->metadata_props[i]->key && !strcmp(e->model->metadata_props[i]->key, key))
            return e->model->metadata_props[i];
    Onnx__StringStringEntryProto *entry = hn_arena_alloc(e->arena, 1, sizeof *entry);
    if (!entry) return NULL;
    onnx__string_string_entry_proto__init(entry);
    entry->key = hn_arena_strdup(e->arena, key);
    const int ok = entry->key &&
                   hn_md_append(e, &e->model->metadata_props, &e->model->n_metadata_props, entry);
    return ok ? entry : NULL;
}

hone_status hn_md_note(struct hn_modify *e, const char *key, const char *const *names, size_t n)
{
    Onnx__StringStringEntryProto *entry = metadata(e, key);
    struct hn_class_list list = { 0 };
    if (!entry) return hn_md_nomem(e);
    if (entry->value && *entry->value)
        HN_TRY(hn_classes_read(e->arena, entry->value, &list, e->err));
    const char **all = hn_arena_alloc(e->arena, list.n + n, sizeof *all);
    size_t total = list.n;
    if (!all) return hn_md_nomem(e);
    for (size_t i = 0; i < list.n; i++) all[i] = list.names[i];
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < total && strcmp(all[k], names[i]) != 0) k++;
        all[k] = names[i];
        total += k == total;
    }
    struct hn_buffer b;
    hn_buffer_init(&b, e->mem);
    hone_status st = hn_classes_write(&b, all, total, e->err);
    entry->value = st == HONE_OK ? hn_arena_strdup(e->arena, b.p) : NULL;
    hn_buffer_free(&b);
    return st != HONE_OK || entry->value ? st : hn_md_nomem(e);
}

void hn_md_remove(void *list, size_t *n, size_t at)
{
    void **v;
    memcpy(&v, list, sizeof v);
    memmove(v + at, v + at + 1, (*n - at - 1) * sizeof *v);
    --*n;
}

/* NULL stays NULL: a text that could not be made fails where it is used. */
static char *copy(const struct hn_modify *e, const char *s)
{
    return s ? hn_arena_strdup(e->arena, s) : NULL;
}

static int copy_names(const struct hn_modify *e, const char *const *from, char ***list, size_t *n)
{
    for (; *from; from++)
        if (!hn_md_append(e, list, n, copy(e, *from))) return 0;
    return 1;
}

Onnx__NodeProto *hn_md_node(const struct hn_modify *e, const char *op, const char *name,
                            const char *const *in, const char *const *out)
{
    Onnx__NodeProto *n = hn_arena_alloc(e->arena, 1, sizeof *n);
    if (!n) return NULL;
    onnx__node_proto__init(n);
    n->op_type = copy(e, op);
    n->name = copy(e, name);
    if (!n->op_type || !n->name || !copy_names(e, in, &n->input, &n->n_input)) return NULL;
    return copy_names(e, out, &n->output, &n->n_output) ? n : NULL;
}

static Onnx__AttributeProto *add_attr(const struct hn_modify *e, Onnx__NodeProto *n,
                                      const char *name)
{
    Onnx__AttributeProto *a = hn_md_attr(n, name);
    if (a) return a;
    if (!(a = hn_arena_alloc(e->arena, 1, sizeof *a))) return NULL;
    onnx__attribute_proto__init(a);
    a->name = copy(e, name);
    a->has_type = 1;
    return a->name && hn_md_append(e, &n->attribute, &n->n_attribute, a) ? a : NULL;
}

int hn_md_attr_int(const struct hn_modify *e, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = add_attr(e, n, name);
    if (!a) return 0;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    a->has_i = 1;
    a->i = v;
    return 1;
}

int hn_md_attr_float(const struct hn_modify *e, Onnx__NodeProto *n, const char *name, float v)
{
    Onnx__AttributeProto *a = add_attr(e, n, name);
    if (!a) return 0;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    a->has_f = 1;
    a->f = v;
    return 1;
}

Onnx__AttributeProto *hn_md_attr(const Onnx__NodeProto *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && strcmp(n->attribute[i]->name, name) == 0)
            return n->attribute[i];
    return NULL;
}

static Onnx__TensorProto *empty_tensor(const struct hn_modify *e, const char *name,
                                       enum hn_dtype dtype, int rank, const int64_t *dims,
                                       int64_t n)
{
    Onnx__TensorProto *t = hn_arena_alloc(e->arena, 1, sizeof *t);
    if (!t) return NULL;
    onnx__tensor_proto__init(t);
    t->name = copy(e, name);
    t->dims = hn_arena_alloc(e->arena, (size_t)rank + 1, sizeof *t->dims);
    t->has_data_type = t->has_raw_data = 1;
    t->data_type = (int32_t)dtype;
    t->raw_data.len = (size_t)n * hn_dtype_size(dtype);
    t->raw_data.data = hn_arena_alloc(e->arena, (size_t)n + 1, hn_dtype_size(dtype));
    if (!t->name || !t->dims || !t->raw_data.data) return NULL;
    t->n_dims = (size_t)rank;
    if (rank) memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    return t;
}

Onnx__TensorProto *hn_md_tensor(const struct hn_modify *e, const char *name, enum hn_dtype dtype,
                                const struct hn_tensor *values)
{
    Onnx__TensorProto *t = empty_tensor(e, name, dtype, values->rank, values->dims, values->n);
    if (t) hn_convert(t->raw_data.data, dtype, values->data, values->dtype, values->n);
    return t;
}

Onnx__TensorProto *hn_md_full(const struct hn_modify *e, const char *name, enum hn_dtype dtype,
                              int rank, const int64_t *dims, double v)
{
    int64_t n;
    if (!hn_numel(rank, dims, &n)) return NULL;
    Onnx__TensorProto *t = empty_tensor(e, name, dtype, rank, dims, n);
    size_t size = hn_dtype_size(dtype);
    for (int64_t i = 0; t && i < n; i++)
        hn_convert(t->raw_data.data + (size_t)i * size, dtype, &v, HN_F64, 1);
    return t;
}

static Onnx__TensorShapeProto *shape_of(const struct hn_modify *e, int rank, const int64_t *dims,
                                        const char *const *names)
{
    Onnx__TensorShapeProto *s = hn_arena_alloc(e->arena, 1, sizeof *s);
    if (!s) return NULL;
    onnx__tensor_shape_proto__init(s);
    for (int i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = hn_arena_alloc(e->arena, 1, sizeof *d);
        if (!d) return NULL;
        onnx__tensor_shape_proto__dimension__init(d);
        if (dims[i] >= 0) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = dims[i];
        } else if (names && names[i]) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            if (!(d->dim_param = copy(e, names[i]))) return NULL;
        }
        if (!hn_md_append(e, &s->dim, &s->n_dim, d)) return NULL;
    }
    return s;
}

Onnx__ValueInfoProto *hn_md_info(const struct hn_modify *e, const char *name, int32_t type,
                                 int rank, const int64_t *dims, const char *const *names)
{
    Onnx__ValueInfoProto *v = hn_arena_alloc(e->arena, 1, sizeof *v);
    Onnx__TypeProto *t = hn_arena_alloc(e->arena, 1, sizeof *t);
    Onnx__TypeProto__Tensor *tensor = hn_arena_alloc(e->arena, 1, sizeof *tensor);
    if (!v || !t || !tensor) return NULL;
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(tensor);
    tensor->has_elem_type = 1;
    tensor->elem_type = type;
    tensor->shape = shape_of(e, rank, dims, names);
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = tensor;
    v->type = t;
    v->name = copy(e, name);
    return v->name && tensor->shape ? v : NULL;
}

int hn_md_add_initializer(const struct hn_modify *e, Onnx__TensorProto *t)
{
    if (!t || !hn_md_append(e, &e->g->initializer, &e->g->n_initializer, t)) return 0;
    if (e->model->ir_version > 3 || hn_md_input(e, t->name)) return 1;
    Onnx__ValueInfoProto *v = hn_md_info(e, t->name, t->data_type, (int)t->n_dims, t->dims, NULL);
    return v && hn_md_append(e, &e->g->input, &e->g->n_input, v);
}

/* ---- finding -------------------------------------------------------------------------------------------------------- */

static int same(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

Onnx__TensorProto *hn_md_initializer(const struct hn_modify *e, const char *name)
{
    for (size_t i = 0; i < e->g->n_initializer; i++)
        if (same(e->g->initializer[i]->name, name)) return e->g->initializer[i];
    return NULL;
}

Onnx__TensorProto *hn_md_constant(const struct hn_modify *e, const char *name)
{
    Onnx__TensorProto *t = hn_md_initializer(e, name);
    if (t) return t;
    const Onnx__NodeProto *n = hn_md_producer(e, name, NULL);
    const Onnx__AttributeProto *a = n && hn_md_is(n, "Constant") ? hn_md_attr(n, "value") : NULL;
    return a ? a->t : NULL;
}

Onnx__TensorProto *hn_md_root(const struct hn_modify *e, const char *name)
{
    for (size_t hops = 0; hops <= e->g->n_node; hops++) {
        Onnx__TensorProto *t = hn_md_constant(e, name);
        if (t) return t;
        const Onnx__NodeProto *n = hn_md_producer(e, name, NULL);
        if (!n || !hn_md_is(n, "Identity") || n->n_input != 1) return NULL;
        name = n->input[0];
    }
    return NULL;
}

Onnx__NodeProto *hn_md_producer(const struct hn_modify *e, const char *name, size_t *at)
{
    for (size_t i = 0; i < e->g->n_node; i++)
        for (size_t k = 0; k < e->g->node[i]->n_output; k++)
            if (same(e->g->node[i]->output[k], name)) {
                if (at) *at = i;
                return e->g->node[i];
            }
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct hn_md_made *)a)->name, ((const struct hn_md_made *)b)->name);
}

struct hn_md_made *hn_md_index_made(const struct hn_modify *e, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < e->g->n_node; i++) *n += e->g->node[i]->n_output;
    struct hn_md_made *v = hn_arena_alloc(e->arena, *n + 1, sizeof *v), *to = v;
    for (size_t i = 0; i < e->g->n_node && v; i++)
        for (size_t k = 0; k < e->g->node[i]->n_output; k++)
            *to++ = (struct hn_md_made){ e->g->node[i]->output[k], i };
    if (v && *n > 1) qsort(v, *n, sizeof *v, by_name);
    return v;
}

const struct hn_md_made *hn_md_find_made(const struct hn_md_made *made, size_t n, const char *name)
{
    struct hn_md_made key = { name, 0 };
    return n ? bsearch(&key, made, n, sizeof key, by_name) : NULL;
}

Onnx__NodeProto *hn_md_node_named(const struct hn_modify *e, const char *word, size_t *at)
{
    Onnx__NodeProto *found = NULL;
    for (size_t i = 0; i < e->g->n_node; i++) {
        if (!same(e->g->node[i]->name, word)) continue;
        if (found) return NULL;
        found = e->g->node[i];
        *at = i;
    }
    if (found || word[0] != '#') return found;
    int64_t k;
    if (!hn_parse_i64(word + 1, strlen(word + 1), &k) || k < 0 || (uint64_t)k >= e->g->n_node)
        return NULL;
    *at = (size_t)k;
    return e->g->node[k];
}

int hn_md_is(const Onnx__NodeProto *n, const char *op)
{
    return same(n->op_type, op) && (!n->domain || !*n->domain || strcmp(n->domain, "ai.onnx") == 0);
}

int hn_md_is_output(const struct hn_modify *e, const char *name)
{
    for (size_t i = 0; i < e->g->n_output; i++)
        if (same(e->g->output[i]->name, name)) return 1;
    return 0;
}

Onnx__ValueInfoProto *hn_md_input(const struct hn_modify *e, const char *name)
{
    for (size_t i = 0; i < e->g->n_input; i++)
        if (same(e->g->input[i]->name, name)) return e->g->input[i];
    return NULL;
}

/* Goes through the node inputs of a graph and the graphs inside it; to NULL: only counts. Depth is bounded by the scan. */
static size_t walk_uses(Onnx__GraphProto *g, const char *name, char *to,
                        const Onnx__NodeProto *except);

static size_t walk_node(Onnx__NodeProto *n, const char *name, char *to,
                        const Onnx__NodeProto *except)
{
    size_t found = 0;
    for (size_t k = 0; k < n->n_input && n != except; k++) {
        if (!same(n->input[k], name)) continue;
        found++;
        if (to) n->input[k] = to;
    }
    for (size_t i = 0; i < n->n_attribute; i++) {
        Onnx__AttributeProto *a = n->attribute[i];
        if (a->g) found += walk_uses(a->g, name, to, except);
        for (size_t k = 0; k < a->n_graphs; k++) found += walk_uses(a->graphs[k], name, to, except);
    }
    return found;
}

static size_t walk_uses(Onnx__GraphProto *g, const char *name, char *to,
                        const Onnx__NodeProto *except)
{
    size_t found = 0;
    for (size_t i = 0; i < g->n_node; i++) found += walk_node(g->node[i], name, to, except);
    for (size_t i = 0; i < g->n_output; i++) found += same(g->output[i]->name, name);
    return found;
}

size_t hn_md_uses(const struct hn_modify *e, const char *name)
{
    return walk_uses(e->g, name, NULL, NULL);
}

void hn_md_rewire(const struct hn_modify *e, char *from, char *to, const Onnx__NodeProto *except)
{
    (void)walk_uses(e->g, from, to, except);
}

static int is_named(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_input; i++)
        if (same(g->input[i]->name, name)) return 1;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (same(g->initializer[i]->name, name)) return 1;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        for (size_t k = 0; k < n->n_output; k++)
            if (same(n->output[k], name)) return 1;
        for (size_t a = 0; a < n->n_attribute; a++) {
            if (n->attribute[a]->g && is_named(n->attribute[a]->g, name)) return 1;
            for (size_t k = 0; k < n->attribute[a]->n_graphs; k++)
                if (is_named(n->attribute[a]->graphs[k], name)) return 1;
        }
    }
    return 0;
}

char *hn_md_unique(const struct hn_modify *e, const char *base)
{
    char *name = copy(e, base);
    for (unsigned k = 1; name && is_named(e->g, name); k++) name = hn_md_text(e, "%s_%u", base, k);
    return name;
}

static int is_node(const struct hn_modify *e, const char *name)
{
    for (size_t i = 0; i < e->g->n_node; i++)
        if (same(e->g->node[i]->name, name)) return 1;
    return 0;
}

char *hn_md_unique_node(const struct hn_modify *e, const char *base)
{
    char *name = copy(e, base);
    for (unsigned k = 1; name && *name && is_node(e, name); k++)
        name = hn_md_text(e, "%s_%u", base, k);
    return name;
}

static void drop_initializer(Onnx__GraphProto *g, const char *name)
{
    size_t i = 0;
    while (i < g->n_initializer && !same(g->initializer[i]->name, name)) i++;
    if (i == g->n_initializer) return;
    hn_md_remove(&g->initializer, &g->n_initializer, i);
    for (size_t k = 0; k < g->n_input; k++)
        if (same(g->input[k]->name, name)) hn_md_remove(&g->input, &g->n_input, k--);
}

void hn_md_drop_unused(const struct hn_modify *e, const char *name)
{
    size_t at;
    while (name && !hn_md_uses(e, name)) {
        const Onnx__NodeProto *n = hn_md_producer(e, name, &at);
        if (!n) drop_initializer(e->g, name);
        name = NULL;
        if (n && hn_md_is(n, "Identity") && n->n_input == 1) name = n->input[0];
        if (n && (name || hn_md_is(n, "Constant"))) hn_md_remove(&e->g->node, &e->g->n_node, at);
    }
}
