/* SPDX-License-Identifier: MIT
 *
 * The walk itself. It is driven by the message descriptors that protoc-c generates (tables of field numbers and types),
 * so that a field added to the schema is walked too; protobuf-c's parser is not involved. A level of the stack is a
 * message that is open; a message nested deeper than HN_SCAN_DEPTH is refused before its first byte is read. */
#include "onnx/scan.h"
#include "onnx.pb-c.h"
#include "ops/base/status.h"
#include <string.h>

#define MODEL  (&onnx__model_proto__descriptor)
#define GRAPH  (&onnx__graph_proto__descriptor)
#define NODE   (&onnx__node_proto__descriptor)
#define FUNC   (&onnx__function_proto__descriptor)
#define ATTR   (&onnx__attribute_proto__descriptor)
#define TENSOR (&onnx__tensor_proto__descriptor)
#define ENTRY  (&onnx__string_string_entry_proto__descriptor)
#define NONE   UINT32_MAX

const struct hn_scan_limits hn_scan_defaults = { 10000000, 1000000, 1000000, 0 };

size_t hn_scan_budget(size_t n_bytes) { return 2 * n_bytes + ((size_t)48 << 20); }

struct level {
    const ProtobufCMessageDescriptor *type;
    const ProtobufCFieldDescriptor *via; /* the field of the level above that it is the value of */
    size_t at, len_at, body, end;
    size_t fields;
    uint64_t
        seen; /* by position in the descriptor: single messages, raw_data, what the root must have */
    uint32_t frame, tensor;
};

struct walk {
    struct hn_scan *s;
    const unsigned char *p;
    struct hn_scan_limits limit;
    const char *name;
    hone_error *err;
    int top;
    struct level stack[HN_SCAN_DEPTH + 1];
};

/* "graph.node.attribute": where the walk stands. */
static void describe(const struct walk *w, char *text, size_t size)
{
    size_t n = 0;
    text[0] = 0;
    for (int i = 1; i <= w->top && i <= 6 && n + 1 < size; i++) {
        const char *field = w->stack[i].via->name;
        size_t k = strlen(field) < size - n - 2 ? strlen(field) : size - n - 2;
        if (n) text[n++] = '.';
        memcpy(text + n, field, k);
        n += k;
        text[n] = 0;
    }
}

static hone_status refuse(struct walk *w, hone_status code, size_t at, const char *what)
{
    char path[160];
    describe(w, path, sizeof path);
    return hn_fail(w->err, code, w->name, "%s at byte %zu%s%s", what, at, path[0] ? " in " : "",
                   path);
}

static hone_status over(struct walk *w, const char *what, size_t limit)
{
    return hn_fail(w->err, HONE_E_BUDGET, w->name, "the file has more than %zu %s", limit, what);
}

static hone_status spend(struct walk *w, size_t bytes)
{
    w->s->unpacked += bytes;
    if (w->s->unpacked <= w->limit.unpacked) return HONE_OK;
    hone_status st = hn_fail(
        w->err, HONE_E_BUDGET, w->name,
        "unpacking the file would take more than %zu MiB, far more than its %zu bytes justify",
        w->limit.unpacked >> 20, w->stack[0].end);
    return hn_hint(w->err, st, "a file like this is damaged or made to exhaust memory");
}

/* Frame numbers are given out when a tensor needs them, outer messages first. */
static hone_status frame_of(struct walk *w, int depth, uint32_t *frame)
{
    struct hn_scan *s = w->s;
    for (int i = 1; i <= depth; i++) {
        struct level *l = &w->stack[i];
        if (l->frame != NONE) continue;
        struct hn_frame f = { w->stack[i - 1].frame, l->len_at, l->body, l->end };
        l->frame = (uint32_t)s->n_frames;
        if (!HN_PUSH(s->mem, s->frames, s->n_frames, s->cap_frames, f))
            return hn_nomem(w->err, "the table of messages", s->n_frames * sizeof f);
    }
    *frame = w->stack[depth].frame;
    return HONE_OK;
}

static enum hn_place place_of(const struct walk *w)
{
    const struct level *s = w->stack;
    if (w->top < 2 || s[0].type != MODEL) return HN_AT_ELSEWHERE;
    int body = s[1].type == GRAPH || s[1].type == FUNC;
    if (s[1].type == GRAPH && w->top == 2) return HN_AT_INITIALIZER;
    if (body && w->top == 4 && s[2].type == NODE && s[3].type == ATTR) return HN_AT_ATTRIBUTE;
    if (s[1].type == FUNC && w->top == 3 && s[2].type == ATTR) return HN_AT_ATTRIBUTE;
    return HN_AT_ELSEWHERE;
}

static hone_status begin_tensor(struct walk *w)
{
    struct hn_scan *s = w->s;
    struct level *l = &w->stack[w->top];
    struct hn_scan_tensor t = { .place = (uint8_t)place_of(w) };
    if (s->n_tensors >= w->limit.tensors) return over(w, "tensors", w->limit.tensors);
    HN_TRY(frame_of(w, w->top, &t.frame));
    l->tensor = (uint32_t)s->n_tensors;
    if (!HN_PUSH(s->mem, s->tensors, s->n_tensors, s->cap_tensors, t))
        return hn_nomem(w->err, "the table of tensors", s->n_tensors * sizeof t);
    return spend(w, 2 * (sizeof t + sizeof(struct hn_frame)));
}

static hone_status begin_meta(struct walk *w)
{
    struct hn_scan *s = w->s;
    struct level *l = &w->stack[w->top];
    struct hn_scan_meta m = { l->at, l->end - l->at, 0, 0 };
    if (!HN_PUSH(s->mem, s->metas, s->n_metas, s->cap_metas, m))
        return hn_nomem(w->err, "the table of metadata", s->n_metas * sizeof m);
    return HONE_OK;
}

static int is_model_meta(const struct walk *w)
{
    return w->top == 1 && w->stack[0].type == MODEL && w->stack[1].type == ENTRY;
}

/* Opens the message that field f holds; its memory is charged before a byte of it is read. */
static hone_status descend(struct walk *w, const ProtobufCFieldDescriptor *d,
                           const struct hn_field *f)
{
    if (w->top == HN_SCAN_DEPTH)
        return hn_fail(w->err, HONE_E_BUDGET, w->name, "messages nested deeper than %d at byte %zu",
                       HN_SCAN_DEPTH, f->at);
    const ProtobufCMessageDescriptor *type = d->descriptor;
    size_t used = f->data - f->at, tag = 1;
    while (w->p[f->at + tag - 1] & 0x80) tag++;
    struct level l = {
        type, d, f->at, f->at + tag, f->at + used, f->data + f->n, 0, 0, NONE, NONE
    };
    w->stack[++w->top] = l;
    if (++w->s->n_messages > w->limit.messages) return over(w, "messages", w->limit.messages);
    if (type == NODE && ++w->s->n_nodes > w->limit.nodes) return over(w, "nodes", w->limit.nodes);
    HN_TRY(spend(w, (type->sizeof_message + 31) & ~(size_t)15));
    if (type == TENSOR) return begin_tensor(w);
    return is_model_meta(w) ? begin_meta(w) : HONE_OK;
}

/* How many numbers a packed field unpacks to, in bytes. */
static size_t packed_size(const unsigned char *p, size_t n, ProtobufCType type)
{
    size_t count = 0;
    switch (type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE: return n;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        for (size_t i = 0; i < n; i++) count += p[i] < 0x80;
        return 4 * count;
    default:
        for (size_t i = 0; i < n; i++) count += p[i] < 0x80;
        return 8 * count;
    }
}

static int wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FLOAT: return HN_WIRE_32;
    case PROTOBUF_C_TYPE_DOUBLE: return HN_WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return HN_WIRE_BYTES;
    default: return HN_WIRE_VARINT;
    }
}

/* What the tables want to know of a tensor and of a metadata entry. */
static void note(struct walk *w, const ProtobufCFieldDescriptor *d, const struct hn_field *f)
{
    struct level *l = &w->stack[w->top];
    if (l->type == TENSOR && l->tensor != NONE) {
        struct hn_scan_tensor *t = &w->s->tensors[l->tensor];
        if (d->id == 9) t->has_raw = 1, t->raw_at = f->at, t->raw = f->data, t->n_raw = f->n;
        if (d->id == 14) t->is_external = f->v == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    } else if (d->id == 1 && is_model_meta(w)) {
        struct hn_scan_meta *m = &w->s->metas[w->s->n_metas - 1];
        m->key = f->data;
        m->n_key = f->n;
    }
}

static hone_status text_field(struct walk *w, const struct hn_field *f)
{
    if (f->n && memchr(w->p + f->data, 0, f->n))
        return refuse(w, HONE_E_MODEL, f->at, "a text with a NUL byte inside");
    return HONE_OK;
}

/* One field that the schema knows. */
static hone_status known_field(struct walk *w, const ProtobufCFieldDescriptor *d,
                               const struct hn_field *f)
{
    struct level *l = &w->stack[w->top];
    int wanted = wire_type(d->type), repeated = d->label == PROTOBUF_C_LABEL_REPEATED;
    int packed = repeated && wanted != HN_WIRE_BYTES && f->type == HN_WIRE_BYTES;
    if (f->type != wanted && !packed)
        return refuse(w, HONE_E_MODEL, f->at, "a field of the wrong wire type");
    uint64_t bit = (uint64_t)1 << ((d - l->type->fields) & 63);
    int single =
        !repeated && (d->type == PROTOBUF_C_TYPE_MESSAGE || (l->type == TENSOR && d->id == 9));
    if (single && l->seen & bit) return refuse(w, HONE_E_MODEL, f->at, "a field given twice");
    l->seen |= bit;
    note(w, d, f);
    if (repeated) HN_TRY(spend(w, 8));
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) return descend(w, d, f);
    if (packed) return spend(w, packed_size(w->p + f->data, f->n, d->type));
    if (d->type == PROTOBUF_C_TYPE_STRING) {
        HN_TRY(text_field(w, f));
        return spend(w, (f->n + 16) & ~(size_t)15);
    }
    if (d->type == PROTOBUF_C_TYPE_BYTES && !(l->type == TENSOR && d->id == 9))
        return spend(w, (f->n + 32) & ~(size_t)15);
    return HONE_OK;
}

static hone_status step(struct walk *w, size_t *at)
{
    struct level *l = &w->stack[w->top];
    struct hn_field f;
    const char *wrong = hn_field_get(w->p, *at, l->end, &f);
    if (wrong && l->end == w->stack[0].end) {
        hone_status st = refuse(w, HONE_E_MODEL, *at, wrong);
        return hn_hint(w->err, st, "the file may be cut off: compare its size with the original");
    }
    if (wrong) return refuse(w, HONE_E_MODEL, *at, wrong);
    *at = f.data + f.n;
    if (++l->fields > 16)
        HN_TRY(spend(w, 64)); /* protobuf-c's list of the fields it found, beyond its first 16 */
    const ProtobufCFieldDescriptor *d = protobuf_c_message_descriptor_get_field(l->type, f.number);
    if (!d) return spend(w, 64 + f.n);
    HN_TRY(known_field(w, d, &f));
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) *at = f.data;
    return HONE_OK;
}

static hone_status run(struct walk *w)
{
    size_t at = 0;
    for (;;) {
        while (w->top > 0 && at == w->stack[w->top].end) w->top--;
        if (at == w->stack[0].end) return HONE_OK;
        HN_TRY(step(w, &at));
    }
}

static hone_status scan_as(struct walk *w, const ProtobufCMessageDescriptor *type, struct hn_mem *m,
                           size_t n, const struct hn_scan_limits *limits)
{
    struct hn_scan *s = w->s;
    *s = (struct hn_scan){ .mem = m };
    w->limit = limits ? *limits : hn_scan_defaults;
    if (!w->limit.unpacked) w->limit.unpacked = hn_scan_budget(n);
    w->top = 0;
    w->stack[0] = (struct level){ type, NULL, 0, 0, 0, n, 0, 0, 0, NONE };
    struct hn_frame whole = { 0, 0, 0, n };
    if (!HN_PUSH(m, s->frames, s->n_frames, s->cap_frames, whole))
        return hn_nomem(w->err, "the table of messages", 64);
    if (type == TENSOR) HN_TRY(begin_tensor(w));
    return run(w);
}

static int has(const struct walk *w, const char *field)
{
    const ProtobufCMessageDescriptor *type = w->stack[0].type;
    const ProtobufCFieldDescriptor *d =
        protobuf_c_message_descriptor_get_field_by_name(type, field);
    return d && w->stack[0].seen >> (d - type->fields) & 1;
}

/* Bytes that are a well-formed TensorProto with a type and nothing unknown. */
static int looks_like_tensor(struct hn_mem *m, const unsigned char *p, size_t n)
{
    struct hn_scan s;
    struct walk w = { .s = &s, .p = p, .name = "" };
    int yes = scan_as(&w, TENSOR, m, n, NULL) == HONE_OK && has(&w, "data_type") && has(&w, "dims");
    hn_scan_free(&s);
    return yes;
}

static hone_status not_a_model(struct walk *w, struct hn_mem *m, size_t n, hone_status st)
{
    const char *what = hn_detect(w->p, n);
    if (!what && st == HONE_E_MODEL && looks_like_tensor(m, w->p, n))
        what = "a single tensor (test data, .pb), not an ONNX model";
    return what ? hn_fail(w->err, HONE_E_MODEL, w->name, "this is %s", what) : st;
}

hone_status hn_scan_model(struct hn_scan *s, struct hn_mem *m, const unsigned char *p, size_t n,
                          const struct hn_scan_limits *limits, const char *name, hone_error *err)
{
    struct walk w = { .s = s, .p = p, .name = name ? name : "", .err = err };
    hone_status st = HONE_E_BUDGET;
    *s = (struct hn_scan){ .mem = m };
    if (n > INT32_MAX)
        return hn_fail(err, HONE_E_BUDGET, w.name,
                       "the file has %zu bytes; an ONNX file has less than 2 GiB", n);
    st = scan_as(&w, MODEL, m, n, limits);
    if (st == HONE_OK && !has(&w, "graph"))
        st = hn_fail(err, HONE_E_MODEL, w.name, "the file holds no graph");
    if (st == HONE_OK && !has(&w, "ir_version"))
        st = hn_fail(err, HONE_E_MODEL, w.name,
                     "the file does not say its ir_version, which every ONNX model has");
    if (st == HONE_E_MODEL) st = not_a_model(&w, m, n, st);
    if (st != HONE_OK) hn_scan_free(s);
    return st;
}

hone_status hn_scan_tensor(struct hn_scan *s, struct hn_mem *m, const unsigned char *p, size_t n,
                           const char *name, hone_error *err)
{
    struct walk w = { .s = s, .p = p, .name = name ? name : "", .err = err };
    *s = (struct hn_scan){ .mem = m };
    if (n > INT32_MAX)
        return hn_fail(err, HONE_E_BUDGET, w.name,
                       "the file has %zu bytes; a tensor file has less than 2 GiB", n);
    hone_status st = scan_as(&w, TENSOR, m, n, NULL);
    if (st == HONE_OK && !has(&w, "data_type"))
        st = hn_fail(err, HONE_E_MODEL, w.name, "the file holds no tensor: it has no data_type");
    if (st != HONE_OK) hn_scan_free(s);
    return st;
}

void hn_scan_free(struct hn_scan *s)
{
    if (!s->mem) return;
    hn_free(s->mem, s->frames);
    hn_free(s->mem, s->tensors);
    hn_free(s->mem, s->metas);
    *s = (struct hn_scan){ 0 };
}
