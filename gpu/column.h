/* SPDX-License-Identifier: MIT
 *
 * Elements of a data set, converted and scaled as hn_convert_scaled does. */
#ifndef HN_GPU_COLUMN_H
#define HN_GPU_COLUMN_H

#include "gpu/kernel.h"

enum { /* enum hn_dtype */
       F32 = 1,
       U8 = 2,
       I8 = 3,
       U16 = 4,
       I16 = 5,
       I32 = 6,
       I64 = 7,
       BOOL = 9,
       F16 = 10,
       F64 = 11,
       U32 = 12,
       U64 = 13,
       BF16 = 16,
       REAL = HN_BITS == 32 ? F32 : F64
};

union word {
    uint32_t u;
    float f;
};

HN_DEVICE float half_to_float(uint16_t h)
{
    union word v;
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = h >> 10 & 31u, m = h & 0x3ffu;
    if (e == 0) {
        v.f = (float)m * 5.9604644775390625e-8f; /* 2^-24: subnormal halves are exact floats */
        v.u |= sign;
    } else {
        v.u = sign | (e == 31 ? 0xffu : e + 112) << 23 | m << 13;
    }
    return v.f;
}

HN_DEVICE real column_load(const void *p, int dtype, int64_t i)
{
    union word v;
    switch (dtype) {
    case F32: return (real)((const float *)p)[i];
    case U8:
    case BOOL: return (real)((const uint8_t *)p)[i];
    case I8: return (real)((const int8_t *)p)[i];
    case U16: return (real)((const uint16_t *)p)[i];
    case I16: return (real)((const int16_t *)p)[i];
    case I32: return (real)((const int32_t *)p)[i];
    case I64: return (real)((const int64_t *)p)[i];
    case F16: return (real)half_to_float(((const uint16_t *)p)[i]);
    case F64: return (real)((const double *)p)[i];
    case U32: return (real)((const uint32_t *)p)[i];
    case U64: return (real)((const uint64_t *)p)[i];
    case BF16: v.u = (uint32_t)((const uint16_t *)p)[i] << 16; return (real)v.f;
    default: return 0;
    }
}

/* The rows of this step in a column. */
struct rows {
    struct hn_k_column c;
    const uint32_t *index;
    int64_t first;
};
/* Of the run's first step: it may be found in front of a kernel's turn. */
HN_DEVICE struct rows rows_from(const struct hn_k_slot *s, struct hn_k_column c)
{
    struct rows r;
    r.c = c, r.index = s->index, r.first = s->first;
    return r;
}
HN_DEVICE void rows_move(struct rows *r, int64_t by)
{
    if (r->index) r->index += by;
    r->first += by;
}
HN_DEVICE struct rows rows_of(const struct hn_k_slot *s, struct hn_k_column c)
{
    struct rows r = rows_from(s, c);
    rows_move(&r, s->ahead * s->rows);
    return r;
}
/* The data set's number of row r of the step. */
HN_DEVICE int64_t rows_at(const struct rows *s, int64_t r)
{
    return s->index ? (int64_t)s->index[r] : s->first + r;
}
HN_DEVICE real rows_load(const struct rows *s, int64_t element)
{
    real v = column_load(s->c.data, s->c.dtype, element);
    return s->c.scale != 1 ? v * (real)s->c.scale : v;
}
#endif
