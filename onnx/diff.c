/* SPDX-License-Identifier: MIT
 *
 * A walk over two messages at once, driven by the schema's descriptors. Lists are compared by position, initializers by
 * name, nodes by name where all have one of their own. */
#include "onnx/diff.h"
#include "onnx/read.h"
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct diff {
    const struct hn_onnx *a, *b;
    hone_status (*each)(void *user, const struct hn_difference *d);
    void *user;
    hone_error *err;
    char path[512];
    size_t n;         /* length of path */
    const char *name; /* the nearest name above */
};

static hone_status report(struct diff *d, const char *what)
{
    struct hn_difference r = { .path = d->path, .name = d->name, .what = what };
    return d->each(d->user, &r);
}

/* Lengthens the path; the old length comes back, for taking it off again. A path too long stays cut. */
static size_t enter(struct diff *d, const char *field, int64_t index)
{
    size_t old = d->n, room = sizeof d->path - old;
    int k = index < 0
                ? snprintf(d->path + old, room, "%s%s", old ? "." : "", field)
                : snprintf(d->path + old, room, "%s%s[%" PRId64 "]", old ? "." : "", field, index);
    d->n = k < 0 ? old : (size_t)k < room ? old + (size_t)k : sizeof d->path - 1;
    return old;
}

static void leave(struct diff *d, size_t old)
{
    d->n = old;
    d->path[old] = 0;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------ */

/* Position of a number on the line of its type's numbers. */
static double rank_of(double v, enum hn_dtype t)
{
    if (t == HN_F64) {
        int64_t i;
        memcpy(&i, &v, 8);
        return i < 0 ? -(double)(i & INT64_MAX) : (double)i;
    }
    int32_t i;
    float f = (float)v;
    if (t == HN_F16)
        i = hn_float_to_half(f), i = i & 0x8000 ? -(i & 0x7fff) : i;
    else if (t == HN_BF16)
        i = hn_float_to_bf16(f), i = i & 0x8000 ? -(i & 0x7fff) : i;
    else
        memcpy(&i, &f, 4), i = i < 0 ? -(i & INT32_MAX) : i;
    return i;
}

static void compare_numbers(const struct hn_tensor *a, const struct hn_tensor *b,
                            struct hn_difference *r)
{
    size_t size = hn_dtype_size(a->dtype);
    const char *p = a->data, *q = b->data;
    for (int64_t i = 0; i < a->n; i++) {
        if (memcmp(p + (size_t)i * size, q + (size_t)i * size, size) == 0) continue;
        double x = hn_tensor_f64(a, i), y = hn_tensor_f64(b, i), gap = fabs(x - y), ulp = 0;
        r->n_differing++;
        if (!isfinite(x) || !isfinite(y))
            gap = ulp = HUGE_VAL;
        else if (hn_dtype_is_float(a->dtype))
            ulp = fabs(rank_of(x, a->dtype) - rank_of(y, a->dtype));
        if (gap > r->max_abs) r->max_abs = gap;
        if (ulp > r->max_ulp) r->max_ulp = ulp;
    }
}

static void compare_strings(const struct hn_tensor *a, const struct hn_tensor *b,
                            struct hn_difference *r)
{
    const char *const *p = a->data, *const *q = b->data;
    for (int64_t i = 0; i < a->n; i++) r->n_differing += strcmp(p[i], q[i]) != 0;
}

static hone_status diff_values(struct diff *d, const struct hn_tensor *a, const struct hn_tensor *b,
                               const char *name)
{
    struct hn_difference r = {
        .is_tensor = 1, .path = d->path, .name = name, .what = "values", .n = a->n
    };
    size_t bytes;
    if (a->dtype != b->dtype)
        r.what = "type";
    else if (a->rank != b->rank || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0)
        r.what = "dims";
    else if (!a->data || !b->data)
        return HONE_OK;
    else if (a->dtype == HN_STR)
        compare_strings(a, b, &r);
    else if (hn_dtype_size(a->dtype))
        compare_numbers(a, b, &r);
    else if (hn_onnx_type_bytes((int32_t)a->dtype, a->n, &bytes))
        r.n_differing = memcmp(a->data, b->data, bytes) != 0;
    int differs = r.n_differing || strcmp(r.what, "values") != 0;
    return differs ? d->each(d->user, &r) : HONE_OK;
}

/* ---- fields --------------------------------------------------------------------------------------------------------------- */

static hone_status diff_message(struct diff *d, const ProtobufCMessage *a,
                                const ProtobufCMessage *b, int depth);

struct slot { /* one value of a field, in one of the messages */
    const ProtobufCFieldDescriptor *f;
    const void *p; /* NULL: absent */
};

static size_t scalar_size(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE: return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    default: return 4;
    }
}

static void print_slot(char *text, size_t size, struct slot s)
{
    if (!s.p) {
        snprintf(text, size, "nothing");
        return;
    }
    switch (s.f->type) {
    case PROTOBUF_C_TYPE_STRING: snprintf(text, size, "'%.80s'", *(char *const *)s.p); break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = s.p;
        snprintf(text, size, "'%.*s'", (int)(b->len < 80 ? b->len : 80),
                 b->data ? (const char *)b->data : "");
        break;
    }
    case PROTOBUF_C_TYPE_FLOAT: snprintf(text, size, "%.9g", (double)*(const float *)s.p); break;
    case PROTOBUF_C_TYPE_DOUBLE: snprintf(text, size, "%.17g", *(const double *)s.p); break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: snprintf(text, size, "%" PRId64, *(const int64_t *)s.p); break;
    default: snprintf(text, size, "%" PRId32, *(const int32_t *)s.p);
    }
}

static int same_scalar(struct slot a, struct slot b)
{
    if (a.f->type == PROTOBUF_C_TYPE_STRING)
        return strcmp(*(char *const *)a.p, *(char *const *)b.p) == 0;
    if (a.f->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *x = a.p, *y = b.p;
        return x->len == y->len && (!x->len || memcmp(x->data, y->data, x->len) == 0);
    }
    return memcmp(a.p, b.p, scalar_size(a.f->type)) == 0;
}

static hone_status diff_slot(struct diff *d, struct slot a, struct slot b, int depth)
{
    char text[256], left[100], right[100];
    if (!a.p && !b.p) return HONE_OK;
    if (a.f->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (!a.p || !b.p) return report(d, a.p ? "only in the first" : "only in the second");
        return diff_message(d, *(ProtobufCMessage *const *)a.p, *(ProtobufCMessage *const *)b.p,
                            depth + 1);
    }
    if (a.p && b.p && same_scalar(a, b)) return HONE_OK;
    print_slot(left, sizeof left, a);
    print_slot(right, sizeof right, b);
    snprintf(text, sizeof text, "%s against %s", left, right);
    return report(d, text);
}

/* Where message m keeps a single value of field f; p NULL when it is not there. */
static struct slot single(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)m;
    struct slot s = { f, base + f->offset };
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        if (*(const uint32_t *)(base + f->quantifier_offset) != f->id) s.p = NULL;
    } else if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (!*(void *const *)s.p) s.p = NULL;
    } else if (f->label == PROTOBUF_C_LABEL_OPTIONAL &&
               !*(const protobuf_c_boolean *)(base + f->quantifier_offset)) {
        s.p = NULL;
    }
    return s;
}

/* As many floats, which may be weights (onnx/linear.h), count as the values of a tensor. */
static hone_status diff_floats(struct diff *d, const struct slot *a, const struct slot *b, size_t n)
{
    const struct hn_tensor x = { HN_F32, 1, { (int64_t)n }, (int64_t)n, *(void *const *)a->p },
                           y = { HN_F32, 1, { (int64_t)n }, (int64_t)n, *(void *const *)b->p };
    size_t old = enter(d, a->f->name, -1);
    hone_status st = diff_values(d, &x, &y, d->name);
    leave(d, old);
    return st;
}

static hone_status diff_list(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                             const ProtobufCFieldDescriptor *f, int depth)
{
    const char *pa = (const char *)a, *pb = (const char *)b;
    size_t na = *(const size_t *)(pa + f->quantifier_offset),
           nb = *(const size_t *)(pb + f->quantifier_offset);
    const char *la = *(const char *const *)(pa + f->offset),
               *lb = *(const char *const *)(pb + f->offset);
    size_t size = scalar_size(f->type);
    char text[64];
    if (f->type == PROTOBUF_C_TYPE_FLOAT && na == nb && na > 1)
        return diff_floats(d, &(struct slot){ f, pa + f->offset },
                           &(struct slot){ f, pb + f->offset }, na);
    if (na != nb) {
        size_t old = enter(d, f->name, -1);
        snprintf(text, sizeof text, "%zu entries against %zu", na, nb);
        HN_TRY(report(d, text));
        leave(d, old);
    }
    for (size_t i = 0; i < na && i < nb; i++) {
        size_t old = enter(d, f->name, (int64_t)i);
        HN_TRY(diff_slot(d, (struct slot){ f, la + i * size }, (struct slot){ f, lb + i * size },
                         depth));
        leave(d, old);
    }
    return HONE_OK;
}

static const char *name_of(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "name");
    if (!f || f->type != PROTOBUF_C_TYPE_STRING) return NULL;
    return *(char *const *)((const char *)m + f->offset);
}

static int same_unknown(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (a->n_unknown_fields != b->n_unknown_fields) return 0;
    for (unsigned i = 0; i < a->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *x = &a->unknown_fields[i], *y = &b->unknown_fields[i];
        if (x->tag != y->tag || x->len != y->len ||
            (x->len && memcmp(x->data, y->data, x->len) != 0))
            return 0;
    }
    return 1;
}

/* Is this field of a TensorProto about where and how numbers are stored, or the numbers themselves? */
static int is_value_field(const ProtobufCFieldDescriptor *f)
{
    return f->id == 1 || f->id == 2 || (f->id >= 4 && f->id <= 7) || (f->id >= 9 && f->id <= 11);
}

static const char *storage(const Onnx__TensorProto *t)
{
    if (t->has_data_location && t->data_location) return "external_data";
    return t->has_raw_data && t->raw_data.len ? "raw_data" : "typed fields";
}

/* Tensors of the model: values through the views, which know every form; then the other fields. */
static hone_status diff_tensor(struct diff *d, const Onnx__TensorProto *a,
                               const Onnx__TensorProto *b)
{
    char text[64];
    int64_t ia = hn_proto_id(d->a->proto, a), ib = hn_proto_id(d->b->proto, b);
    if (ia < 0 || ib < 0)
        return hn_fail(d->err, HONE_E_INTERNAL, d->path, "a tensor without an id");
    HN_TRY(diff_values(d, &d->a->tensors[ia].t, &d->b->tensors[ib].t, d->a->tensors[ia].name));
    if (strcmp(storage(a), storage(b)) == 0) return HONE_OK;
    snprintf(text, sizeof text, "stored in %s against %s", storage(a), storage(b));
    return report(d, text);
}

/* Initializers go by name: those of a, each with its namesake in b (mostly at the same position), then those only in b. */
static const Onnx__TensorProto *namesake(const Onnx__GraphProto *g, size_t i, const char *name)
{
    if (!name) return NULL;
    if (i < g->n_initializer && g->initializer[i]->name &&
        strcmp(g->initializer[i]->name, name) == 0)
        return g->initializer[i];
    for (size_t k = 0; k < g->n_initializer; k++)
        if (g->initializer[k]->name && strcmp(g->initializer[k]->name, name) == 0)
            return g->initializer[k];
    return NULL;
}

static hone_status diff_initializers(struct diff *d, const Onnx__GraphProto *a,
                                     const Onnx__GraphProto *b, int depth)
{
    for (int back = 0; back < 2; back++) {
        const Onnx__GraphProto *from = back ? b : a, *to = back ? a : b;
        for (size_t i = 0; i < from->n_initializer; i++) {
            const Onnx__TensorProto *t = from->initializer[i], *other = namesake(to, i, t->name);
            struct hn_difference r = { 1,
                                       d->path,
                                       t->name ? t->name : "",
                                       back ? "only in the second" : "only in the first",
                                       0,
                                       0,
                                       0,
                                       0 };
            size_t old = enter(d, "initializer", (int64_t)i);
            if (!other)
                HN_TRY(d->each(d->user, &r));
            else if (!back)
                HN_TRY(diff_message(d, &t->base, &other->base, depth + 1));
            leave(d, old);
        }
    }
    return HONE_OK;
}

/* Whether every node has a name that no other has; large graphs are not asked, each would look at each. */
static int all_named(const Onnx__GraphProto *g)
{
    enum { MOST = 4096 };
    if (g->n_node > MOST) return 0;
    for (size_t i = 0; i < g->n_node; i++) {
        if (!g->node[i]->name || !g->node[i]->name[0]) return 0;
        for (size_t k = 0; k < i; k++)
            if (strcmp(g->node[k]->name, g->node[i]->name) == 0) return 0;
    }
    return 1;
}

static size_t node_at(const Onnx__GraphProto *g, const char *name)
{
    size_t i = 0;
    while (i < g->n_node && strcmp(g->node[i]->name, name) != 0) i++;
    return i;
}

/* A node more in front does not make every node behind it another one. An order that changed is said once. */
static hone_status diff_nodes(struct diff *d, const Onnx__GraphProto *a, const Onnx__GraphProto *b,
                              int depth)
{
    size_t last = 0;
    int moved = 0;
    for (int back = 0; back < 2; back++) {
        const Onnx__GraphProto *from = back ? b : a, *to = back ? a : b;
        for (size_t i = 0; i < from->n_node; i++) {
            const char *name = from->node[i]->name, *above = d->name;
            size_t old = enter(d, "node", (int64_t)i), k = node_at(to, name);
            d->name = name;
            if (k == to->n_node)
                HN_TRY(report(d, back ? "only in the second" : "only in the first"));
            else if (!back)
                HN_TRY(diff_message(d, &a->node[i]->base, &b->node[k]->base, depth + 1));
            if (!back && k < to->n_node && k < last && !moved++)
                HN_TRY(report(d, "in another order"));
            if (!back && k < to->n_node) last = k;
            d->name = above;
            leave(d, old);
        }
    }
    return HONE_OK;
}

static hone_status diff_fields(struct diff *d, const ProtobufCMessage *a, const ProtobufCMessage *b,
                               int depth)
{
    int is_tensor = a->descriptor == &onnx__tensor_proto__descriptor;
    int is_graph = a->descriptor == &onnx__graph_proto__descriptor;
    for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &a->descriptor->fields[i];
        if (is_tensor && is_value_field(f)) continue;
        if (is_graph && f->id == 5) {
            HN_TRY(diff_initializers(d, (const Onnx__GraphProto *)a, (const Onnx__GraphProto *)b,
                                     depth));
        } else if (is_graph && f->id == 1 && all_named((const Onnx__GraphProto *)a) &&
                   all_named((const Onnx__GraphProto *)b)) {
            HN_TRY(diff_nodes(d, (const Onnx__GraphProto *)a, (const Onnx__GraphProto *)b, depth));
        } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            HN_TRY(diff_list(d, a, b, f, depth));
        } else {
            size_t old = enter(d, f->name, -1);
            HN_TRY(diff_slot(d, single(a, f), single(b, f), depth));
            leave(d, old);
        }
    }
    if (same_unknown(a, b)) return HONE_OK;
    size_t old = enter(d, "(unknown fields)", -1);
    hone_status st = report(d, "differ");
    leave(d, old);
    return st;
}

/* Depth is bounded: both files passed the scan. */
static hone_status diff_message(struct diff *d, const ProtobufCMessage *a,
                                const ProtobufCMessage *b, int depth)
{
    const char *above = d->name, *own = name_of(a);
    if (depth > HN_SCAN_DEPTH + 1) return HONE_OK;
    if (own && *own) d->name = own;
    hone_status st = HONE_OK;
    if (a->descriptor == &onnx__tensor_proto__descriptor)
        st = diff_tensor(d, (const Onnx__TensorProto *)a, (const Onnx__TensorProto *)b);
    if (st == HONE_OK) st = diff_fields(d, a, b, depth);
    d->name = above;
    return st;
}

hone_status hn_onnx_diff(const struct hn_onnx *a, const struct hn_onnx *b,
                         hone_status (*each)(void *user, const struct hn_difference *d), void *user,
                         hone_error *err)
{
    struct diff d = { .a = a, .b = b, .each = each, .user = user, .err = err, .name = "" };
    return diff_message(&d, &a->proto->model->base, &b->proto->model->base, 0);
}
