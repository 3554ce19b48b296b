/* SPDX-License-Identifier: MIT
 *
 * The skeleton, the capped allocator, and the walk that ties tensors back to their bytes. */
#include "onnx/read.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

/* In the skeleton a tensor carries raw_data (field 9) with 4 bytes: its id. */
#define MARK 6
static void put_mark(unsigned char *p, uint32_t id)
{
    p[0] = 9 << 3 | HN_WIRE_BYTES;
    p[1] = 4;
    for (int i = 0; i < 4; i++) p[2 + i] = (unsigned char)(id >> 8 * i);
}

static hone_status build_skeleton(struct hn_mem *m, const unsigned char *bytes, size_t n,
                                  const struct hn_scan *s, struct hn_buffer *out, hone_error *err)
{
    struct hn_cut *cuts = hn_calloc(m, s->n_tensors + 1, sizeof *cuts);
    unsigned char *marks = hn_calloc(m, s->n_tensors + 1, MARK);
    hone_status st = HONE_E_NOMEM;
    if (!cuts || !marks) {
        st = hn_nomem(err, "the list of tensors", s->n_tensors * (sizeof *cuts + MARK));
        goto done;
    }
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct hn_scan_tensor *t = &s->tensors[i];
        struct hn_cut c = {
            .at = s->frames[t->frame].end, .frame = t->frame, .p = marks + i * MARK, .n_new = MARK
        };
        if (t->has_raw) c.at = t->raw_at, c.n = t->raw + t->n_raw - t->raw_at;
        put_mark(marks + i * MARK, (uint32_t)i);
        cuts[i] = c;
    }
    st = hn_splice(m, bytes, n, s->frames, s->n_frames, cuts, s->n_tensors, &out->sink, err);
done:
    hn_free(m, cuts);
    hn_free(m, marks);
    return st;
}

static void *capped_alloc(void *user, size_t size)
{
    struct hn_proto *p = user;
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > p->left) {
        p->failed = 2;
        return NULL;
    }
    void *block = hn_arena_alloc(&p->arena, rounded ? rounded : 16, 1);
    if (block) p->left -= rounded;
    if (!block && !p->failed) p->failed = 1;
    return block;
}

static void capped_free(void *user, void *block)
{
    (void)user;
    (void)block; /* the arena frees all at once */
}

static int each(ProtobufCMessage *m, int depth, int (*fn)(void *user, Onnx__TensorProto *t),
                void *user);

static int each_of_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *d, int depth,
                         int (*fn)(void *user, Onnx__TensorProto *t), void *user)
{
    const char *base = (const char *)m;
    if (d->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = *(const size_t *)(base + d->quantifier_offset);
        ProtobufCMessage **list = *(ProtobufCMessage ***)(base + d->offset);
        for (size_t i = 0; i < n; i++) {
            int r = each(list[i], depth + 1, fn, user);
            if (r) return r;
        }
        return 0;
    }
    if (d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
        *(const uint32_t *)(base + d->quantifier_offset) != d->id)
        return 0;
    ProtobufCMessage *sub = *(ProtobufCMessage **)(base + d->offset);
    return sub ? each(sub, depth + 1, fn, user) : 0;
}

/* Recursion is bounded: what the scan let through is at most HN_SCAN_DEPTH deep, edits add no level below that. */
static int each(ProtobufCMessage *m, int depth, int (*fn)(void *user, Onnx__TensorProto *t),
                void *user)
{
    if (m->descriptor == &onnx__tensor_proto__descriptor) return fn(user, (Onnx__TensorProto *)m);
    if (depth > HN_SCAN_DEPTH + 8) return 0;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *d = &m->descriptor->fields[i];
        if (d->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        int r = each_of_field(m, d, depth, fn, user);
        if (r) return r;
    }
    return 0;
}

int hn_proto_each_tensor(ProtobufCMessage *m, int (*fn)(void *user, Onnx__TensorProto *t),
                         void *user)
{
    return each(m, 0, fn, user);
}

struct attach {
    struct hn_proto *p;
    const unsigned char *bytes;
    const struct hn_scan *s;
};

/* Takes the mark off one tensor and points it at its numbers. */
static int attach_one(void *user, Onnx__TensorProto *t)
{
    struct attach *a = user;
    if (!t->has_raw_data || t->raw_data.len != 4) return 1;
    uint32_t id = 0;
    for (int i = 0; i < 4; i++) id |= (uint32_t)t->raw_data.data[i] << 8 * i;
    if (id >= a->s->n_tensors || a->p->by_id[id]) return 1;
    const struct hn_scan_tensor *src = &a->s->tensors[id];
    t->has_raw_data = src->has_raw;
    t->raw_data.data =
        src->has_raw ? (uint8_t *)(uintptr_t)(a->bytes + src->raw) : NULL; /* never written to */
    t->raw_data.len = src->n_raw;
    a->p->by_id[id] = t;
    a->p->by_address[a->p->n_tensors++] = (struct hn_proto_tensor){ t, id };
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct hn_proto_tensor *x = a, *y = b;
    return (uintptr_t)x->t < (uintptr_t)y->t ? -1 : (uintptr_t)x->t > (uintptr_t)y->t;
}

static hone_status attach(struct hn_proto *p, ProtobufCMessage *root, const unsigned char *bytes,
                          const struct hn_scan *s, const char *name, hone_error *err)
{
    struct attach a = { p, bytes, s };
    p->by_id = hn_arena_alloc(&p->arena, s->n_tensors + 1, sizeof *p->by_id);
    p->by_address = hn_arena_alloc(&p->arena, s->n_tensors + 1, sizeof *p->by_address);
    if (!p->by_id || !p->by_address) return hn_nomem(err, "the list of tensors", s->n_tensors * 24);
    if (hn_proto_each_tensor(root, attach_one, &a) || p->n_tensors != s->n_tensors)
        return hn_fail(err, HONE_E_INTERNAL, name, "%zu of %zu tensors found again after unpacking",
                       p->n_tensors, s->n_tensors);
    qsort(p->by_address, p->n_tensors, sizeof *p->by_address, by_address);
    return HONE_OK;
}

static hone_status unpack(struct hn_proto *p, const ProtobufCMessageDescriptor *type,
                          const unsigned char *bytes, size_t n, const struct hn_scan *s,
                          const char *name, hone_error *err)
{
    struct hn_buffer skeleton;
    hn_buffer_init(&skeleton, p->mem);
    hone_status st = build_skeleton(p->mem, bytes, n, s, &skeleton, err);
    if (st != HONE_OK) goto done;
    p->left = 2 * s->unpacked + ((size_t)1 << 20) + 64 * s->n_tensors;
    ProtobufCMessage *root = protobuf_c_message_unpack(
        type, &p->allocator, skeleton.n, (const uint8_t *)(skeleton.p ? skeleton.p : ""));
    if (!root && p->failed == 1)
        st = hn_nomem(err, "the unpacked model", s->unpacked);
    else if (!root && p->failed == 2)
        st = hn_fail(err, HONE_E_BUDGET, name,
                     "unpacking takes more memory than the scan allowed (%zu bytes)",
                     2 * s->unpacked);
    else if (!root)
        st = hn_fail(err, HONE_E_MODEL, name, "the file does not follow the ONNX schema");
    else if (type == &onnx__model_proto__descriptor)
        p->model = (Onnx__ModelProto *)root;
    else
        p->tensor = (Onnx__TensorProto *)root;
    if (root) st = attach(p, root, bytes, s, name, err);
done:
    hn_buffer_free(&skeleton);
    return st;
}

static hone_status read_as(struct hn_proto *p, struct hn_mem *m,
                           const ProtobufCMessageDescriptor *type, const unsigned char *bytes,
                           size_t n, const struct hn_scan *s, const char *name, hone_error *err)
{
    *p = (struct hn_proto){ .mem = m };
    hn_arena_init(&p->arena, m);
    p->allocator = (ProtobufCAllocator){ capped_alloc, capped_free, p };
    hone_status st = unpack(p, type, bytes, n, s, name ? name : "", err);
    if (st != HONE_OK) hn_proto_free(p);
    return st;
}

hone_status hn_proto_read_model(struct hn_proto *p, struct hn_mem *m, const unsigned char *bytes,
                                size_t n, const struct hn_scan *s, const char *name,
                                hone_error *err)
{
    return read_as(p, m, &onnx__model_proto__descriptor, bytes, n, s, name, err);
}

hone_status hn_proto_read_tensor(struct hn_proto *p, struct hn_mem *m, const unsigned char *bytes,
                                 size_t n, const struct hn_scan *s, const char *name,
                                 hone_error *err)
{
    return read_as(p, m, &onnx__tensor_proto__descriptor, bytes, n, s, name, err);
}

void hn_proto_free(struct hn_proto *p)
{
    if (p->mem) hn_arena_clear(&p->arena);
    *p = (struct hn_proto){ 0 };
}

int64_t hn_proto_id(const struct hn_proto *p, const Onnx__TensorProto *t)
{
    struct hn_proto_tensor key = { (Onnx__TensorProto *)(uintptr_t)t, 0 };
    const struct hn_proto_tensor *found =
        bsearch(&key, p->by_address, p->n_tensors, sizeof key, by_address);
    return found ? (int64_t)found->id : -1;
}

struct pack {
    ProtobufCBuffer base;
    struct hn_sink *sink;
    hone_error *err;
    hone_status st;
};

static void pack_append(ProtobufCBuffer *b, size_t n, const uint8_t *p)
{
    struct pack *k = (struct pack *)b;
    if (k->st == HONE_OK && n) k->st = k->sink->write(k->sink, p, n, k->err);
}

hone_status hn_proto_pack(const ProtobufCMessage *m, struct hn_sink *sink, hone_error *err)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    if (n > INT32_MAX)
        return hn_fail(err, HONE_E_BUDGET, "",
                       "the model would have %zu bytes; an ONNX file has less than 2 GiB", n);
    struct pack k = { { pack_append }, sink, err, HONE_OK };
    protobuf_c_message_pack_to_buffer(m, &k.base);
    return k.st;
}
