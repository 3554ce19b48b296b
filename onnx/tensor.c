/* SPDX-License-Identifier: MIT
 *
 * What ONNX says of tensor storage, as a table: width in bits, and which typed field holds a type's values when
 * raw_data does not. */
#include "onnx/tensor.h"
#include "onnx/read.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include <stdio.h>
#include <string.h>

enum field { NO_FIELD, FLOATS, INT32S, STRINGS, INT64S, DOUBLES, UINT64S };
static const char *const field_names[] = { "no field",   "float_data",  "int32_data", "string_data",
                                           "int64_data", "double_data", "uint64_data" };

static const struct {
    const char *name;
    unsigned char bits, field;
} types[] = {
    { "undefined", 0, NO_FIELD },    { "float32", 32, FLOATS },   { "uint8", 8, INT32S },
    { "int8", 8, INT32S },           { "uint16", 16, INT32S },    { "int16", 16, INT32S },
    { "int32", 32, INT32S },         { "int64", 64, INT64S },     { "string", 0, STRINGS },
    { "bool", 8, INT32S },           { "float16", 16, INT32S },   { "float64", 64, DOUBLES },
    { "uint32", 32, UINT64S },       { "uint64", 64, UINT64S },   { "complex64", 64, FLOATS },
    { "complex128", 128, DOUBLES },  { "bfloat16", 16, INT32S },  { "float8e4m3fn", 8, INT32S },
    { "float8e4m3fnuz", 8, INT32S }, { "float8e5m2", 8, INT32S }, { "float8e5m2fnuz", 8, INT32S },
    { "uint4", 4, INT32S },          { "int4", 4, INT32S },       { "float4e2m1", 4, INT32S },
    { "float8e8m0", 8, INT32S },     { "uint2", 2, INT32S },      { "int2", 2, INT32S },
};
enum { N_TYPES = sizeof types / sizeof *types };

const char *hn_onnx_type_name(int32_t t)
{
    return t >= 0 && t < N_TYPES ? types[t].name : "unknown";
}

int hn_onnx_type_bytes(int32_t t, int64_t n, size_t *bytes)
{
    if (t <= 0 || t >= N_TYPES || !types[t].bits) return 0;
    int64_t bits;
    if (types[t].bits < 8)
        *bytes = ((uint64_t)n + 8 / types[t].bits - 1) / (8 / types[t].bits);
    else if (hn_mul_i64(n, types[t].bits / 8, &bits))
        *bytes = (size_t)bits;
    else
        return 0;
    return 1;
}

/* One tensor being looked at. */
struct view {
    const Onnx__TensorProto *t;
    struct hn_tensor *out;
    struct hn_external *x;
    struct hn_arena *arena;
    hone_error *err;
    int32_t type;
    size_t bytes; /* its values' size */
    char where[200];
};

static hone_status bad(struct view *v, const char *what, long long found, long long wanted)
{
    return hn_fail(v->err, HONE_E_MODEL, v->where, "%s: found %lld, its dims and type %s need %lld",
                   what, found, hn_onnx_type_name(v->type), wanted);
}

static hone_status check_dims(struct view *v)
{
    const Onnx__TensorProto *t = v->t;
    v->out->rank = 0;
    if (t->n_dims > HN_MAX_RANK)
        return hn_fail(v->err, HONE_E_UNSUPPORTED, v->where, "rank %zu, at most %d is handled",
                       t->n_dims, HN_MAX_RANK);
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0)
            return hn_fail(v->err, HONE_E_MODEL, v->where, "dimension %zu is %lld", i,
                           (long long)t->dims[i]);
        v->out->dims[i] = t->dims[i];
    }
    v->out->rank = (int)t->n_dims;
    if (!hn_numel(v->out->rank, v->out->dims, &v->out->n))
        return hn_fail(v->err, HONE_E_MODEL, v->where, "the product of its %zu dims overflows",
                       t->n_dims);
    return HONE_OK;
}

static hone_status check_type(struct view *v)
{
    v->type = v->t->has_data_type ? v->t->data_type : 0;
    if (v->type <= 0) return hn_fail(v->err, HONE_E_MODEL, v->where, "the tensor has no data type");
    if (v->type >= N_TYPES)
        return hn_fail(v->err, HONE_E_UNSUPPORTED, v->where, "data type %d is not known",
                       (int)v->type);
    v->out->dtype = (enum hn_dtype)v->type;
    if (v->t->segment)
        return hn_fail(v->err, HONE_E_UNSUPPORTED, v->where,
                       "tensors stored in segments are not supported");
    if (types[v->type].bits && !hn_onnx_type_bytes(v->type, v->out->n, &v->bytes))
        return hn_fail(v->err, HONE_E_MODEL, v->where,
                       "%lld elements of type %s are more than memory can hold",
                       (long long)v->out->n, hn_onnx_type_name(v->type));
    return HONE_OK;
}

/* The typed field that is filled, how many entries it has, and how many fields are. */
static enum field filled(const Onnx__TensorProto *t, size_t *count, int *fields)
{
    const size_t n[] = { 0,
                         t->n_float_data,
                         t->n_int32_data,
                         t->n_string_data,
                         t->n_int64_data,
                         t->n_double_data,
                         t->n_uint64_data };
    enum field f = NO_FIELD;
    *fields = *count = 0;
    for (int i = 1; i < 7; i++)
        if (n[i]) f = (enum field)i, *count = n[i], ++*fields;
    return f;
}

static hone_status take_entry(struct view *v, const Onnx__StringStringEntryProto *e,
                              struct hn_external_ref *ref, unsigned *seen)
{
    static const char *const keys[] = { "location", "offset", "length", "checksum", "basepath" };
    const char *key = e->key ? e->key : "", *value = e->value ? e->value : "";
    unsigned k = 0;
    int64_t number = 0;
    while (k < 5 && strcmp(keys[k], key)) k++;
    if (k == 5)
        return hn_fail(v->err, HONE_E_MODEL, v->where, "external data with the unknown key '%.60s'",
                       key);
    if (*seen & 1u << k)
        return hn_fail(v->err, HONE_E_MODEL, v->where, "external data with the key '%s' twice",
                       key);
    *seen |= 1u << k;
    if (k == 0) ref->location = value;
    if (k != 1 && k != 2) return HONE_OK;
    if (!hn_parse_i64(value, strlen(value), &number) || number < 0)
        return hn_fail(v->err, HONE_E_MODEL, v->where,
                       "external data with %s '%.60s', wanted a number from 0 up", key, value);
    *(k == 1 ? &ref->offset : &ref->length) = number;
    return HONE_OK;
}

static hone_status view_external(struct view *v)
{
    const Onnx__TensorProto *t = v->t;
    struct hn_external_ref ref = { NULL, 0, -1 };
    unsigned seen = 0;
    size_t count;
    int fields;
    (void)filled(t, &count, &fields);
    if (t->has_raw_data || fields)
        return hn_fail(v->err, HONE_E_MODEL, v->where,
                       "the tensor has external data and data of its own");
    for (size_t i = 0; i < t->n_external_data; i++)
        HN_TRY(take_entry(v, t->external_data[i], &ref, &seen));
    if (!ref.location || !*ref.location)
        return hn_fail(v->err, HONE_E_MODEL, v->where, "external data without a location");
    if (!types[v->type].bits)
        return hn_fail(v->err, HONE_E_MODEL, v->where, "%s data cannot be external",
                       hn_onnx_type_name(v->type));
    return hn_external_get(v->x, &ref, v->bytes, v->where, &v->out->data, v->err);
}

/* Entries wider than the type: each is put into 1, 2 or 4 bytes. Writers differ in the sign of bit patterns, so any
 * value that the width can mean is taken. */
static hone_status narrow(struct view *v, size_t count, int width)
{
    unsigned char *to = hn_arena_alloc(v->arena, count, (size_t)width);
    if (!to) return hn_nomem(v->err, v->where, count * (size_t)width);
    int64_t low = -((int64_t)1 << (8 * width - 1)), high = ((int64_t)1 << (8 * width)) - 1;
    for (size_t i = 0; i < count; i++) {
        int64_t x = v->t->n_int32_data ? v->t->int32_data[i] : (int64_t)v->t->uint64_data[i];
        if (x < low || x > high) return bad(v, "a value out of range", x, high);
        for (int k = 0; k < width; k++)
            to[i * (size_t)width + (size_t)k] = (unsigned char)((uint64_t)x >> 8 * k);
    }
    v->out->data = to;
    return HONE_OK;
}

static hone_status copy_strings(struct view *v)
{
    const Onnx__TensorProto *t = v->t;
    const char **list = hn_arena_alloc(v->arena, t->n_string_data + 1, sizeof *list);
    if (!list) return hn_nomem(v->err, v->where, t->n_string_data * sizeof *list);
    for (size_t i = 0; i < t->n_string_data; i++) {
        const ProtobufCBinaryData *s = &t->string_data[i];
        if (s->len && memchr(s->data, 0, s->len))
            return hn_fail(v->err, HONE_E_UNSUPPORTED, v->where, "string %zu has a NUL byte inside",
                           i);
        list[i] = hn_arena_strndup(v->arena, s->len ? (const char *)s->data : "", s->len);
        if (!list[i]) return hn_nomem(v->err, v->where, s->len);
    }
    v->out->data = list;
    return HONE_OK;
}

static hone_status view_typed(struct view *v, enum field f, size_t count)
{
    const Onnx__TensorProto *t = v->t;
    size_t want = (size_t)v->out->n, width = types[v->type].bits / 8u;
    enum field right = (enum field)types[v->type].field;
    if (v->type == ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX64 ||
        v->type == ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX128)
        want *= 2;
    if (types[v->type].bits && types[v->type].bits < 8) want = v->bytes, width = 1;
    if (f == NO_FIELD && want) return bad(v, "values", 0, (long long)want);
    if (f != right && f != NO_FIELD)
        return hn_fail(v->err, HONE_E_MODEL, v->where, "%s values in %s, wanted raw_data or %s",
                       hn_onnx_type_name(v->type), field_names[f], field_names[right]);
    if (count != want) return bad(v, field_names[right], (long long)count, (long long)want);
    switch (right) {
    case FLOATS: v->out->data = t->float_data; break;
    case DOUBLES: v->out->data = t->double_data; break;
    case INT64S: v->out->data = t->int64_data; break;
    case STRINGS: return copy_strings(v);
    case UINT64S:
        if (width == 4) return narrow(v, count, 4);
        v->out->data = t->uint64_data;
        break;
    default:
        if (width < 4) return narrow(v, count, (int)width);
        v->out->data = t->int32_data;
    }
    return HONE_OK;
}

static hone_status view_any(struct view *v)
{
    const Onnx__TensorProto *t = v->t;
    size_t count;
    int fields;
    HN_TRY(check_dims(v));
    HN_TRY(check_type(v));
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return view_external(v);
    enum field f = filled(t, &count, &fields);
    if (fields > 1 || (fields && t->has_raw_data && t->raw_data.len))
        return hn_fail(v->err, HONE_E_MODEL, v->where,
                       "the tensor has values in two fields, one of them %s", field_names[f]);
    if (fields || !t->has_raw_data) return view_typed(v, f, count);
    if (!types[v->type].bits && v->out->n)
        return hn_fail(v->err, HONE_E_MODEL, v->where,
                       "string values in raw_data, wanted string_data");
    if (t->raw_data.len != v->bytes)
        return bad(v, "bytes of raw_data", (long long)t->raw_data.len, (long long)v->bytes);
    v->out->data = t->raw_data.data;
    return HONE_OK;
}

hone_status hn_onnx_tensor_view(struct hn_tensor *out, const Onnx__TensorProto *t,
                                struct hn_external *x, struct hn_arena *arena, const char *file,
                                hone_error *err)
{
    struct view v = { .t = t, .out = out, .x = x, .arena = arena, .err = err };
    snprintf(v.where, sizeof v.where, "%.100s: tensor '%.80s'", file ? file : "",
             t->name ? t->name : "");
    *out = (struct hn_tensor){ 0 };
    hone_status st = view_any(&v);
    if (st != HONE_OK)
        out->data = NULL;
    else if (!out->data)
        out->data = ""; /* no elements; never NULL when all is well */
    return st;
}

hone_status hn_onnx_read_tensor_pb(struct hn_tensor_pb *out, const struct hn_io *io,
                                   struct hn_mem *m, const char *path, size_t max_bytes,
                                   hone_error *err)
{
    struct hn_scan s = { 0 };
    *out = (struct hn_tensor_pb){ .mem = m };
    hn_arena_init(&out->arena, m);
    hone_status st = hn_file_open(&out->file, io, m, path, max_bytes, err);
    if (st != HONE_OK) return st;
    out->dir = hn_path_dir(m, path);
    out->proto = hn_calloc(m, 1, sizeof *out->proto);
    if (!out->dir || !out->proto) st = hn_nomem(err, path, sizeof *out->proto);
    hn_external_init(&out->external, m, io, out->dir);
    if (st == HONE_OK) st = hn_scan_tensor(&s, m, out->file.p, out->file.n, path, err);
    if (st == HONE_OK)
        st = hn_proto_read_tensor(out->proto, m, out->file.p, out->file.n, &s, path, err);
    if (st == HONE_OK)
        st = hn_onnx_tensor_view(&out->t, out->proto->tensor, &out->external, &out->arena, path,
                                 err);
    if (st == HONE_OK) out->name = out->proto->tensor->name ? out->proto->tensor->name : "";
    hn_scan_free(&s);
    if (st != HONE_OK) hn_onnx_free_tensor_pb(out);
    return st;
}

void hn_onnx_free_tensor_pb(struct hn_tensor_pb *t)
{
    if (!t->mem) return;
    if (t->proto) hn_proto_free(t->proto);
    hn_free(t->mem, t->proto);
    hn_free(t->mem, t->dir);
    hn_external_close(&t->external);
    hn_arena_clear(&t->arena);
    hn_file_close(&t->file);
    *t = (struct hn_tensor_pb){ 0 };
}

hone_status hn_onnx_write_tensor_pb(struct hn_sink *s, const char *name, const struct hn_tensor *t,
                                    hone_error *err)
{
    size_t bytes = 0;
    for (int i = 0; i < t->rank; i++) HN_TRY(hn_put_varint_field(s, 1, (uint64_t)t->dims[i], err));
    HN_TRY(hn_put_varint_field(s, 2, (uint64_t)t->dtype, err));
    if (name && *name) HN_TRY(hn_put_bytes_field(s, 8, name, strlen(name), err));
    if (t->dtype == HN_STR) {
        const char *const *list = t->data;
        for (int64_t i = 0; i < t->n; i++)
            HN_TRY(hn_put_bytes_field(s, 6, list[i], strlen(list[i]), err));
        return HONE_OK;
    }
    if (!hn_onnx_type_bytes((int32_t)t->dtype, t->n, &bytes) || bytes > INT32_MAX)
        return hn_fail(err, HONE_E_BUDGET, name ? name : "",
                       "a tensor of %lld elements does not fit in a TensorProto", (long long)t->n);
    return hn_put_bytes_field(s, 9, t->data, bytes, err);
}
