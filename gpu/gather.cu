/* SPDX-License-Identifier: MIT
 *
 * Rows of the data set into a step's memory, converted and scaled as hn_convert_scaled does; and a step's outputs out of it. */
#include "gpu/kernel.h"

enum {
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
    BF16 = 16
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

HN_DEVICE real load(const void *p, int dtype, int64_t i)
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

HN_KERNEL(gather, hn_k_gather)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s) || HN_Y >= a.n) return;
    const struct hn_k_column c = a.columns[HN_Z * a.n_columns + a.c[HN_Y].column];
    const int64_t each = a.c[HN_Y].each, rows = a.c[HN_Y].batched ? s->rows : 1,
                  from = s->ahead * s->rows;
    real *to = hn_at(&a.env, a.c[HN_Y].to, HN_Z);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < rows * each; i += HN_STRIDE) {
        int64_t r = i / each;
        int64_t row = s->index ? (int64_t)s->index[from + r] : s->first + from + r;
        real v = load(c.data, c.dtype, row * each + i % each);
        to[i] = c.scale != 1 ? v * (real)c.scale : v;
    }
}

HN_KERNEL(fill, hn_k_fill)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    HN_EACH(t) for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) to[i] = 0;
}

HN_KERNEL(emit, hn_k_emit)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    real *to = (real *)a.to + HN_Z * a.stride + s->ahead * n;
    HN_EACH(t) for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) to[i] = from[i];
}
