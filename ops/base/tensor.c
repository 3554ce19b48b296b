/* SPDX-License-Identifier: MIT
 *
 * Element types and conversion between them. Integers go to integers through 64-bit integers, so that nothing passes
 * through a double and loses bits; a double goes to a half type through a float rounded to odd, so that it is rounded
 * once. Floats outside an integer's range become its nearest end, NaN becomes 0. The pairs that large data take have
 * loops of their own, simple enough for the compiler to vectorise. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* -O2 of gcc 12 leaves these loops scalar */
#endif
#include "ops/base/tensor.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned char size, is_float;
} types[] = {
    [HN_F32] = { "float32", 4, 1 },      [HN_U8] = { "uint8", 1, 0 },
    [HN_I8] = { "int8", 1, 0 },          [HN_U16] = { "uint16", 2, 0 },
    [HN_I16] = { "int16", 2, 0 },        [HN_I32] = { "int32", 4, 0 },
    [HN_I64] = { "int64", 8, 0 },        [HN_STR] = { "string", 0, 0 },
    [HN_BOOL] = { "bool", 1, 0 },        [HN_F16] = { "float16", 2, 1 },
    [HN_F64] = { "float64", 8, 1 },      [HN_U32] = { "uint32", 4, 0 },
    [HN_U64] = { "uint64", 8, 0 },       [HN_C64] = { "complex64", 8, 0 },
    [HN_C128] = { "complex128", 16, 0 }, [HN_BF16] = { "bfloat16", 2, 1 },
};

static int known(enum hn_dtype t)
{
    return (size_t)t < sizeof types / sizeof *types && types[t].name;
}
size_t hn_dtype_size(enum hn_dtype t) { return known(t) ? types[t].size : 0; }
const char *hn_dtype_name(enum hn_dtype t) { return known(t) ? types[t].name : "unknown"; }
int hn_dtype_is_float(enum hn_dtype t) { return known(t) && types[t].is_float; }

int hn_numel(int rank, const int64_t *dims, int64_t *n)
{
    int64_t product = 1;
    int zero = 0;
    if (rank < 0 || rank > HN_MAX_RANK) return 0;
    for (int i = 0; i < rank;
         i++) { /* zeros apart: {0, 2^62, 4} overflows in any order of its dims */
        if (dims[i] < 0) return 0;
        if (dims[i] == 0)
            zero = 1;
        else if (!hn_mul_i64(product, dims[i], &product))
            return 0;
    }
    *n = zero ? 0 : product;
    return 1;
}

/* ---- one element ---- */

/* An element on its way: floats in f, signed and unsigned integers in i and u. */
enum way { AS_F, AS_I, AS_U };
struct value {
    enum way way;
    double f;
    int64_t i;
    uint64_t u;
};

#define LOAD(type, as, field, wide)                                                                \
    {                                                                                              \
        type x;                                                                                    \
        memcpy(&x, p, sizeof x);                                                                   \
        return (struct value){ .way = as, .field = (wide)x };                                      \
    }
static struct value load(enum hn_dtype t, const void *p)
{
    uint16_t h;
    switch (t) {
    case HN_F32: LOAD(float, AS_F, f, double)
    case HN_F64: LOAD(double, AS_F, f, double)
    case HN_U8: LOAD(uint8_t, AS_U, u, uint64_t)
    case HN_U16: LOAD(uint16_t, AS_U, u, uint64_t)
    case HN_U32: LOAD(uint32_t, AS_U, u, uint64_t)
    case HN_U64: LOAD(uint64_t, AS_U, u, uint64_t)
    case HN_I8: LOAD(int8_t, AS_I, i, int64_t)
    case HN_I16: LOAD(int16_t, AS_I, i, int64_t)
    case HN_I32: LOAD(int32_t, AS_I, i, int64_t)
    case HN_I64: LOAD(int64_t, AS_I, i, int64_t)
    case HN_BOOL: return (struct value){ .way = AS_U, .u = *(const unsigned char *)p != 0 };
    case HN_F16:
        memcpy(&h, p, sizeof h);
        return (struct value){ .way = AS_F, .f = (double)hn_half_to_float(h) };
    case HN_BF16:
        memcpy(&h, p, sizeof h);
        return (struct value){ .way = AS_F, .f = (double)hn_bf16_to_float(h) };
    default: return (struct value){ .way = AS_F, .f = (double)NAN };
    }
}

static double as_double(struct value v)
{
    return v.way == AS_F ? v.f : v.way == AS_I ? (double)v.i : (double)v.u;
}

static float as_float(struct value v)
{
    return v.way == AS_F ? (float)v.f : v.way == AS_I ? (float)v.i : (float)v.u;
}

/* The nearest integer of [lo, hi], towards zero. 2^63 and 2^64 are doubles, the largest integers below are not. */
static int64_t as_signed(struct value v, int64_t lo, int64_t hi)
{
    int64_t i = v.i;
    if (v.way == AS_U) i = v.u > INT64_MAX ? INT64_MAX : (int64_t)v.u;
    if (v.way == AS_F)
        i = isnan(v.f)                     ? 0
            : v.f >= 9223372036854775808.0 ? INT64_MAX
            : v.f < -9223372036854775808.0 ? INT64_MIN
                                           : (int64_t)v.f;
    return i < lo ? lo : i > hi ? hi : i;
}

static uint64_t as_unsigned(struct value v, uint64_t hi)
{
    uint64_t u = v.u;
    if (v.way == AS_I) u = v.i < 0 ? 0 : (uint64_t)v.i;
    if (v.way == AS_F)
        u = !(v.f > 0) ? 0 : v.f >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)v.f;
    return u > hi ? hi : u;
}

/* A float from which rounding to a half type gives what rounding d itself would: the last bit remembers lost ones.
 * Integers that a double cannot hold lose bits far below a half type's last one, and a tie needs all of them to be 0:
 * their lowest bit is set instead. */
static float round_to_odd(struct value v)
{
    double d = as_double(v);
    if (v.way != AS_F && fabs(d) > 9007199254740992.0) {
        uint64_t u = v.way == AS_I && v.i < 0 ? 0 - (uint64_t)v.i
                     : v.way == AS_I          ? (uint64_t)v.i
                                              : v.u;
        u = (u & ~(uint64_t)0xFFF) | (u & 0xFFF ? 0x1000 : 0);
        d = d < 0 ? -(double)u : (double)u;
    }
    float f = (float)d;
    if ((double)f == d || isnan(f)) return f;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (fabs((double)f) > fabs(d)) bits--; /* towards zero; infinity becomes the largest float */
    bits |= 1;
    memcpy(&f, &bits, sizeof f);
    return f;
}

#define STORE(type, x)                                                                             \
    {                                                                                              \
        type y = (type)(x);                                                                        \
        memcpy(p, &y, sizeof y);                                                                   \
        return;                                                                                    \
    }
static void store(enum hn_dtype t, void *p, struct value v)
{
    switch (t) {
    case HN_F32: STORE(float, as_float(v))
    case HN_F64: STORE(double, as_double(v))
    case HN_U8: STORE(uint8_t, as_unsigned(v, UINT8_MAX))
    case HN_U16: STORE(uint16_t, as_unsigned(v, UINT16_MAX))
    case HN_U32: STORE(uint32_t, as_unsigned(v, UINT32_MAX))
    case HN_U64: STORE(uint64_t, as_unsigned(v, UINT64_MAX))
    case HN_I8: STORE(int8_t, as_signed(v, INT8_MIN, INT8_MAX))
    case HN_I16: STORE(int16_t, as_signed(v, INT16_MIN, INT16_MAX))
    case HN_I32: STORE(int32_t, as_signed(v, INT32_MIN, INT32_MAX))
    case HN_I64: STORE(int64_t, as_signed(v, INT64_MIN, INT64_MAX))
    case HN_BOOL: STORE(uint8_t, v.way == AS_F ? v.f != 0 : v.i != 0 || v.u != 0)
    case HN_F16: STORE(uint16_t, hn_float_to_half(round_to_odd(v)))
    case HN_BF16: STORE(uint16_t, hn_float_to_bf16(round_to_odd(v)))
    default: return;
    }
}

double hn_tensor_f64(const struct hn_tensor *t, int64_t i)
{
    size_t size = hn_dtype_size(t->dtype);
    return as_double(load(t->dtype, (const char *)t->data + (size_t)i * size));
}

int64_t hn_tensor_i64(const struct hn_tensor *t, int64_t i)
{
    size_t size = hn_dtype_size(t->dtype);
    struct value v = load(t->dtype, (const char *)t->data + (size_t)i * size);
    return as_signed(v, INT64_MIN, INT64_MAX);
}

/* ---- many elements ---- */

typedef float any_f32 __attribute__((aligned(1), may_alias));
typedef double any_f64 __attribute__((aligned(1), may_alias));
typedef int64_t any_i64 __attribute__((aligned(1), may_alias));
typedef int32_t any_i32 __attribute__((aligned(1), may_alias));

#define LOOP(name, to, from)                                                                       \
    static void name(void *dst, const void *src, int64_t n)                                        \
    {                                                                                              \
        to *restrict y = dst;                                                                      \
        const from *restrict x = src;                                                              \
        for (int64_t i = 0; i < n; i++) y[i] = (to)x[i];                                           \
    }
LOOP(u8_to_f32, any_f32, uint8_t)
LOOP(i32_to_f32, any_f32, any_i32)
LOOP(i64_to_f32, any_f32, any_i64)
LOOP(f64_to_f32, any_f32, any_f64)
LOOP(f32_to_f64, any_f64, any_f32)

static void u8_to_f32_scaled(void *dst, const uint8_t *restrict x, int64_t n, float scale)
{
    any_f32 *restrict y = dst;
    for (int64_t i = 0; i < n; i++) y[i] = (float)x[i] * scale;
}

static void f32_scaled(void *dst, const void *src, int64_t n, float scale)
{
    any_f32 *restrict y = dst;
    const any_f32 *restrict x = src;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * scale;
}

static const struct {
    enum hn_dtype to, from;
    void (*loop)(void *dst, const void *src, int64_t n);
} fast[] = {
    { HN_F32, HN_U8, u8_to_f32 },   { HN_F32, HN_F64, f64_to_f32 }, { HN_F32, HN_I64, i64_to_f32 },
    { HN_F32, HN_I32, i32_to_f32 }, { HN_F64, HN_F32, f32_to_f64 },
};

void hn_convert(void *dst, enum hn_dtype to, const void *src, enum hn_dtype from, int64_t n)
{
    size_t to_size = hn_dtype_size(to), from_size = hn_dtype_size(from);
    if (n <= 0) return;
    if (to == from) {
        memcpy(dst, src, (size_t)n * to_size);
        return;
    }
    for (size_t k = 0; k < sizeof fast / sizeof *fast; k++)
        if (fast[k].to == to && fast[k].from == from) {
            fast[k].loop(dst, src, n);
            return;
        }
    for (size_t i = 0; i < (size_t)n; i++)
        store(to, (char *)dst + i * to_size, load(from, (const char *)src + i * from_size));
}

void hn_convert_scaled(void *dst, enum hn_dtype to, const void *src, enum hn_dtype from, int64_t n,
                       double scale)
{
    size_t to_size = hn_dtype_size(to), from_size = hn_dtype_size(from);
    if (scale == 1.0) {
        hn_convert(dst, to, src, from, n);
        return;
    }
    if (to == HN_F32 && from == HN_U8) {
        u8_to_f32_scaled(dst, src, n, (float)scale);
        return;
    }
    if (to == HN_F32 && from == HN_F32) {
        f32_scaled(dst, src, n, (float)scale);
        return;
    }
    for (size_t i = 0; i < (size_t)n; i++) {
        struct value v = load(from, (const char *)src + i * from_size);
        v.f = to == HN_F64 || !hn_dtype_is_float(to) ? as_double(v) * scale
                                                     : (double)(as_float(v) * (float)scale);
        v.way = AS_F;
        store(to, (char *)dst + i * to_size, v);
    }
}
