/* SPDX-License-Identifier: MIT
 *
 * Finding the bytes of a tensor. raw_data was noted by the scan; typed values, external_data entries and the like are
 * found by going through the tensor's own fields once more. */
#include "onnx/patch.h"
#include "onnx/linear.h"
#include "ops/base/quant.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

enum {
    F_FLOAT = 4,
    F_INT32 = 5,
    F_FLOATS = 7, /* of an attribute */
    F_RAW = 9,
    F_DOUBLE = 10,
    F_EXTERNAL = 13,
    F_LOCATION = 14,
    F_META = 14
};

struct job {
    struct hn_patch_set *s;
    const struct hn_onnx *m;
    hone_error *err;
    const struct hn_patch *p; /* NULL: the tensor's own numbers (taken inline) */
    const struct hn_onnx_tensor *t;
    const struct hn_scan_tensor *at;
};

static hone_status add(struct hn_patch_set *s, struct hn_cuts *to, struct hn_cut c, hone_error *err)
{
    return HN_PUSH(s->mem, to->v, to->n, to->cap, c)
               ? HONE_OK
               : hn_nomem(err, "the list of changes", to->n * sizeof c);
}

/* The cut that puts elements [first, first+n) of the new numbers at bytes [at, at+len). */
static struct hn_cut values_cut(const struct job *j, size_t at, size_t len, int64_t first,
                                int64_t n)
{
    size_t size = hn_dtype_size(j->t->t.dtype);
    struct hn_cut c = { .at = at, .n = len, .n_new = (size_t)n * size };
    if (j->p) {
        c.from = j->p->dtype;
        c.to = j->t->t.dtype;
        c.p = (const unsigned char *)j->p->values + (size_t)first * hn_dtype_size(j->p->dtype);
    } else {
        c.p = (const unsigned char *)j->t->t.data + (size_t)first * size;
    }
    return c;
}

static hone_status cut_values(const struct job *j, size_t at, size_t len, int64_t first, int64_t n)
{
    struct hn_cut c = values_cut(j, at, len, first, n);
    c.frame = j->at->frame;
    return add(j->s, &j->s->file, c, j->err);
}

/* float_data or double_data: packed runs and single values, in any mixture. */
static hone_status cut_fixed(const struct job *j, uint32_t number)
{
    const struct hn_frame *f = &j->m->scan.frames[j->at->frame];
    size_t size = hn_dtype_size(j->t->t.dtype);
    struct hn_field v;
    int64_t done = 0;
    for (size_t at = f->body; at < f->end && !hn_field_get(j->m->p, at, f->end, &v);
         at = v.data + v.n) {
        if (v.number != number) continue;
        HN_TRY(cut_values(j, v.data, v.n, done, (int64_t)(v.n / size)));
        done += (int64_t)(v.n / size);
    }
    return done == j->t->t.n
               ? HONE_OK
               : hn_fail(j->err, HONE_E_INTERNAL, j->t->name, "%lld of %lld values found",
                         (long long)done, (long long)j->t->t.n);
}

/* int32_data holding integers or the bit patterns of half types: one packed run of new varints where the first one stood. */
static hone_status cut_varints(const struct job *j)
{
    const struct hn_frame *f = &j->m->scan.frames[j->at->frame];
    const enum hn_dtype type = j->t->t.dtype;
    size_t n = (size_t)j->t->t.n, used = 10;
    struct hn_tensor t = { .dtype = hn_dtype_is_float(type) ? HN_U16 : type, .n = (int64_t)n };
    void *data = hn_arena_alloc(&j->s->arena, n, hn_dtype_size(type));
    unsigned char *bytes = hn_arena_alloc(&j->s->arena, n * 10 + 20, 1);
    if (!data || !bytes) return hn_nomem(j->err, j->t->name, n * 12);
    hn_convert(data, type, j->p->values, j->p->dtype, (int64_t)n);
    t.data = data;
    for (size_t i = 0; i < n; i++)
        used += hn_varint_put(bytes + used, (uint64_t)hn_tensor_i64(&t, (int64_t)i));
    unsigned char head[10];
    size_t k = hn_varint_put(head, F_INT32 << 3 | HN_WIRE_BYTES);
    k += hn_varint_put(head + k, used - 10);
    memcpy(bytes + 10 - k, head, k);
    struct hn_field v;
    int first = 1;
    for (size_t at = f->body; at < f->end && !hn_field_get(j->m->p, at, f->end, &v);
         at = v.data + v.n) {
        if (v.number != F_INT32) continue;
        struct hn_cut c = { .at = v.at, .n = v.data + v.n - v.at, .frame = j->at->frame };
        if (first) c.p = bytes + 10 - k, c.n_new = used - 10 + k;
        first = 0;
        HN_TRY(add(j->s, &j->s->file, c, j->err));
    }
    return HONE_OK;
}

/* An external tensor becomes raw_data: its external_data and data_location go, the numbers stand at the end. */
static hone_status cut_inline(const struct job *j)
{
    const struct hn_frame *f = &j->m->scan.frames[j->at->frame];
    unsigned char *head = hn_arena_alloc(&j->s->arena, 16, 1);
    if (!head) return hn_nomem(j->err, j->t->name, 16);
    struct hn_field v;
    size_t bytes = (size_t)j->t->t.n * hn_dtype_size(j->t->t.dtype), k;
    if (bytes > INT32_MAX)
        return hn_fail(j->err, HONE_E_BUDGET, j->t->name, "%zu bytes do not fit in an ONNX file",
                       bytes);
    for (size_t at = f->body; at < f->end && !hn_field_get(j->m->p, at, f->end, &v);
         at = v.data + v.n) {
        if (v.number != F_EXTERNAL && v.number != F_LOCATION) continue;
        struct hn_cut c = { .at = v.at, .n = v.data + v.n - v.at, .frame = j->at->frame };
        if (head) { /* the header takes the first one's place, the numbers follow right behind it */
            k = hn_varint_put(head, F_RAW << 3 | HN_WIRE_BYTES);
            c.n_new = k + hn_varint_put(head + k, bytes);
            c.p = head;
            head = NULL;
            HN_TRY(cut_values(j, v.data + v.n, 0, 0, j->t->t.n));
        }
        HN_TRY(add(j->s, &j->s->file, c, j->err));
    }
    return HONE_OK;
}

/* A list of floats that is a tensor, value by value as it lies there. */
static hone_status cut_floats(const struct job *j, const struct hn_floats *f)
{
    const float *values = hn_floats_written(f, &j->s->arena, j->p->values, j->p->dtype);
    struct hn_field v;
    size_t done = 0;
    if (!values) return hn_nomem(j->err, f->name, f->n * sizeof *values);
    for (size_t at = f->body; at < f->end && !hn_field_get(j->m->p, at, f->end, &v);
         at = v.data + v.n) {
        if (v.number != F_FLOATS) continue;
        const struct hn_cut c = {
            .at = v.data, .n = v.n, .p = values + done, .n_new = v.n
        }; /* no length around it changes */
        done += v.n / sizeof *values;
        if (done > f->n) break;
        HN_TRY(add(j->s, &j->s->file, c, j->err));
    }
    return done == f->n
               ? HONE_OK
               : hn_fail(j->err, HONE_E_INTERNAL, f->name, "%zu of %zu values found", done, f->n);
}

static hone_status patch_one(const struct job *j, int inlined)
{
    const struct hn_tensor *t = &j->t->t;
    if (j->t->sidecar >= 0 && inlined) {
        j->s->inlined[j->t - j->m->tensors] = 1;
        return cut_inline(j);
    }
    if (t->n == 0) return HONE_OK;
    if (j->t->sidecar >= 0) {
        struct hn_cut c =
            values_cut(j, j->t->sidecar_at, (size_t)t->n * hn_dtype_size(t->dtype), 0, t->n);
        return add(j->s, &j->s->side[j->t->sidecar], c, j->err);
    }
    if (j->at->has_raw && j->at->n_raw) return cut_values(j, j->at->raw, j->at->n_raw, 0, t->n);
    switch (t->dtype) {
    case HN_F32: return cut_fixed(j, F_FLOAT);
    case HN_F64: return cut_fixed(j, F_DOUBLE);
    default: return cut_varints(j);
    }
}

/* ---- external ranges that several tensors share --------------------------------------------------------------- */

struct range {
    int32_t sidecar;
    uint32_t id;
    size_t at, end;
};

static int by_place(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->sidecar != y->sidecar) return x->sidecar < y->sidecar ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* shared[id] = 1 for tensors whose range meets another's. */
static hone_status find_shared(const struct hn_onnx *m, unsigned char *shared, hone_error *err)
{
    struct range *r = hn_calloc(m->mem, m->n_tensors + 1, sizeof *r);
    size_t n = 0, widest = 0;
    if (!r) return hn_nomem(err, "the list of data ranges", m->n_tensors * sizeof *r);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct hn_onnx_tensor *t = &m->tensors[i];
        size_t size = t->sidecar < 0 ? 0 : (size_t)t->t.n * hn_dtype_size(t->t.dtype);
        if (size)
            r[n++] = (struct range){ t->sidecar, (uint32_t)i, t->sidecar_at, t->sidecar_at + size };
    }
    if (n > 1) qsort(r, n, sizeof *r, by_place);
    for (size_t i = 1; i < n; i++) { /* widest: of those before, the one that reaches furthest */
        if (r[i].sidecar == r[widest].sidecar && r[i].at < r[widest].end)
            shared[r[i].id] = shared[r[widest].id] = 1;
        if (r[i].sidecar != r[widest].sidecar || r[i].end > r[widest].end) widest = i;
    }
    hn_free(m->mem, r);
    return HONE_OK;
}

/* ---- metadata --------------------------------------------------------------------------------------------------- */

static int names_key(const struct hn_onnx *m, const struct hn_scan_meta *e, const char *key)
{
    return e->n_key == strlen(key) && memcmp(m->p + e->key, key, e->n_key) == 0;
}

static hone_status build_metas(struct hn_patch_set *s, const struct hn_onnx *m,
                               const struct hn_changes *c, hone_error *err)
{
    struct hn_buffer all, entry;
    hone_status st = HONE_OK;
    hn_buffer_init(&all, s->mem);
    hn_buffer_init(&entry, s->mem);
    for (size_t i = 0; i < c->n_metas && st == HONE_OK; i++) {
        const struct hn_meta *w = &c->metas[i];
        for (size_t k = 0; k < m->scan.n_metas && st == HONE_OK; k++) {
            const struct hn_scan_meta *e = &m->scan.metas[k];
            struct hn_cut cut = { .at = e->at, .n = e->n };
            if (names_key(m, e, w->key)) st = add(s, &s->file, cut, err);
        }
        if (!w->value) continue;
        entry.n = 0;
        if (st == HONE_OK) st = hn_put_bytes_field(&entry.sink, 1, w->key, strlen(w->key), err);
        if (st == HONE_OK) st = hn_put_bytes_field(&entry.sink, 2, w->value, strlen(w->value), err);
        if (st == HONE_OK) st = hn_put_bytes_field(&all.sink, F_META, entry.p, entry.n, err);
    }
    if (st == HONE_OK && all.n) {
        struct hn_cut cut = { .at = m->n, .n_new = all.n };
        char *copy = hn_arena_alloc(&s->arena, all.n, 1);
        if (copy) memcpy(copy, all.p, all.n);
        cut.p = copy;
        st = copy ? add(s, &s->file, cut, err) : hn_nomem(err, "the metadata", all.n);
    }
    hn_buffer_free(&all);
    hn_buffer_free(&entry);
    return st;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

/* Floats, and the integers that weights are quantised to. */
static int can_be_new(enum hn_dtype t)
{
    double low, high;
    return hn_dtype_is_float(t) || hn_quant_range(t, &low, &high);
}

static hone_status check_patch(const struct hn_onnx *m, const struct hn_patch *p, hone_error *err)
{
    if (p->tensor >= m->n_tensors)
        return hn_fail(err, HONE_E_INTERNAL, m->name, "tensor %u of %zu", p->tensor, m->n_tensors);
    const struct hn_onnx_tensor *t = &m->tensors[p->tensor];
    if (!t->t.data || !can_be_new(t->t.dtype))
        return hn_fail(err, HONE_E_UNSUPPORTED, t->name, "new values for a tensor of type %s",
                       hn_dtype_name(t->t.dtype));
    return HONE_OK;
}

static hone_status build_tensors(struct hn_patch_set *s, const struct hn_onnx *m,
                                 const struct hn_changes *c, int inline_all, unsigned char *mark,
                                 hone_error *err)
{
    enum { SHARED = 1, PATCHED = 2 };
    HN_TRY(find_shared(m, mark, err));
    for (size_t i = 0; i < c->n_patches; i++) {
        HN_TRY(check_patch(m, &c->patches[i], err));
        uint32_t id = c->patches[i].tensor;
        if (mark[id] & PATCHED)
            return hn_fail(err, HONE_E_INTERNAL, m->tensors[id].name, "patched twice");
        mark[id] |= PATCHED;
        struct job j = { s, m, err, &c->patches[i], &m->tensors[id], NULL };
        if (id >= m->scan.n_tensors) {
            HN_TRY(cut_floats(&j, &m->linears->floats[id - m->scan.n_tensors]));
            continue;
        }
        j.at = &m->scan.tensors[id];
        HN_TRY(patch_one(&j, inline_all || mark[id] & SHARED));
    }
    for (size_t i = 0; i < m->scan.n_tensors && inline_all; i++) {
        struct job j = { s, m, err, NULL, &m->tensors[i], &m->scan.tensors[i] };
        if (mark[i] & PATCHED || j.t->sidecar < 0) continue;
        if (!hn_dtype_size(j.t->t.dtype))
            return hn_fail(err, HONE_E_UNSUPPORTED, j.t->name,
                           "external data of this type cannot be taken into the file");
        HN_TRY(cut_inline(&j));
    }
    return HONE_OK;
}

hone_status hn_patch_build(struct hn_patch_set *s, const struct hn_onnx *m,
                           const struct hn_changes *c, int inline_all, hone_error *err)
{
    *s = (struct hn_patch_set){ .mem = m->mem, .n_side = m->external.n };
    hn_arena_init(&s->arena, m->mem);
    s->side = hn_calloc(m->mem, m->external.n + 1, sizeof *s->side);
    s->inlined = hn_arena_alloc(&s->arena, m->n_tensors + 1, 1);
    unsigned char *mark = hn_calloc(m->mem, m->n_tensors + 1, 1);
    hone_status st = s->side && s->inlined && mark
                         ? HONE_OK
                         : hn_nomem(err, "the list of changes", m->n_tensors);
    if (st == HONE_OK) st = build_tensors(s, m, c, inline_all, mark, err);
    if (st == HONE_OK) st = build_metas(s, m, c, err);
    hn_free(m->mem, mark);
    if (st != HONE_OK) hn_patch_free(s);
    return st;
}

/* An external_data entry that says location = from. */
static int is_location(const unsigned char *p, const struct hn_field *entry, const char *from)
{
    struct hn_field v;
    int key = 0, value = 0;
    size_t end = entry->data + entry->n;
    for (size_t at = entry->data; at < end && !hn_field_get(p, at, end, &v); at = v.data + v.n) {
        if (v.number == 1) key = v.n == 8 && memcmp(p + v.data, "location", 8) == 0;
        if (v.number == 2) value = v.n == strlen(from) && memcmp(p + v.data, from, v.n) == 0;
    }
    return key && value;
}

hone_status hn_patch_location(struct hn_patch_set *s, const struct hn_onnx *m, const char *from,
                              const char *to, hone_error *err)
{
    struct hn_buffer entry, field;
    hn_buffer_init(&entry, s->mem);
    hn_buffer_init(&field, s->mem);
    hone_status st = hn_put_bytes_field(&entry.sink, 1, "location", 8, err);
    if (st == HONE_OK) st = hn_put_bytes_field(&entry.sink, 2, to, strlen(to), err);
    if (st == HONE_OK) st = hn_put_bytes_field(&field.sink, F_EXTERNAL, entry.p, entry.n, err);
    char *bytes = st == HONE_OK ? hn_arena_alloc(&s->arena, field.n, 1) : NULL;
    if (bytes) memcpy(bytes, field.p, field.n);
    if (st == HONE_OK && !bytes) st = hn_nomem(err, to, field.n);
    for (size_t i = 0; i < m->scan.n_tensors && st == HONE_OK; i++) {
        if (!m->scan.tensors[i].is_external || s->inlined[i]) continue;
        uint32_t frame = m->scan.tensors[i].frame;
        struct hn_field v;
        for (size_t at = m->scan.frames[frame].body, end = m->scan.frames[frame].end;
             at < end && st == HONE_OK && !hn_field_get(m->p, at, end, &v); at = v.data + v.n) {
            struct hn_cut c = {
                .at = v.at, .n = v.data + v.n - v.at, .frame = frame, .p = bytes, .n_new = field.n
            };
            if (v.number == F_EXTERNAL && is_location(m->p, &v, from))
                st = add(s, &s->file, c, err);
        }
    }
    hn_buffer_free(&entry);
    hn_buffer_free(&field);
    return st;
}

void hn_patch_free(struct hn_patch_set *s)
{
    if (!s->mem) return;
    hn_free(s->mem, s->file.v);
    for (size_t i = 0; i < s->n_side && s->side; i++) hn_free(s->mem, s->side[i].v);
    hn_free(s->mem, s->side);
    hn_arena_clear(&s->arena);
    *s = (struct hn_patch_set){ 0 };
}
