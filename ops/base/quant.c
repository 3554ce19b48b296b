/* SPDX-License-Identifier: MIT
 *
 * Quantised tensors: see quant.h. */
#include "ops/base/quant.h"

int hn_quant_range(enum hn_dtype t, double *low, double *high)
{
    switch (t) {
    case HN_I8: return *low = INT8_MIN, *high = INT8_MAX, 1;
    case HN_U8: return *low = 0, *high = UINT8_MAX, 1;
    case HN_I16: return *low = INT16_MIN, *high = INT16_MAX, 1;
    case HN_U16: return *low = 0, *high = UINT16_MAX, 1;
    case HN_I32: return *low = INT32_MIN, *high = INT32_MAX, 1;
    default: return 0;
    }
}

/* Of which scale is element i: the dims behind the axis have `inner` elements together. */
static int64_t inner_of(const struct hn_quant *how, const struct hn_tensor *t)
{
    int64_t inner = 1;
    for (int d = how->axis + 1; d < t->rank; d++) inner *= t->dims[d];
    return inner > 0 ? inner : 1;
}

static int64_t scale_at(const struct hn_quant *how, int64_t inner, int64_t i)
{
    return how->scale->n == 1 ? 0 : i / inner % how->scale->n;
}

static float scale_of(const struct hn_quant *how, int64_t k)
{
    return (float)hn_tensor_f64(how->scale, k);
}

static double zero_of(const struct hn_quant *how, int64_t k)
{
    return how->zero ? hn_tensor_f64(how->zero, how->zero->n == 1 ? 0 : k) : 0;
}

static float stands_for(const struct hn_quant *how, const struct hn_tensor *q, int64_t i, int64_t k)
{
    return (float)(hn_tensor_f64(q, i) - zero_of(how, k)) * scale_of(how, k);
}

void hn_dequantize(const struct hn_quant *how, const struct hn_tensor *q, void *dst,
                   enum hn_dtype to)
{
    const int64_t inner = inner_of(how, q);
    const size_t size = hn_dtype_size(to);
    for (int64_t i = 0; i < q->n; i++) {
        const float x = stands_for(how, q, i, scale_at(how, inner, i));
        hn_convert((char *)dst + (size_t)i * size, to, &x, HN_F32, 1);
    }
}

void hn_quantize(const struct hn_quant *how, const struct hn_tensor *was, const void *src,
                 enum hn_dtype from, void *dst)
{
    const int64_t inner = inner_of(how, was);
    const size_t in = hn_dtype_size(from), out = hn_dtype_size(how->dtype);
    double low = 0, high = 0;
    (void)hn_quant_range(how->dtype, &low, &high);
    for (int64_t i = 0; i < was->n; i++) {
        const int64_t k = scale_at(how, inner, i);
        const double zero = zero_of(how, k);
        float x;
        hn_convert(&x, HN_F32, (const char *)src + (size_t)i * in, from, 1);
        double q = zero + (double)hn_quant_steps(x, scale_of(how, k), (float)(low - zero),
                                                 (float)(high - zero));
        if (was->dtype == how->dtype && x == stands_for(how, was, i, k)) q = hn_tensor_f64(was, i);
        hn_convert((char *)dst + (size_t)i * out, how->dtype, &q, HN_F64, 1);
    }
}

static int same_numbers(const struct hn_tensor *a, const struct hn_tensor *b)
{
    if (!a || !b) return a == b;
    if (a == b) return 1;
    if (a->n != b->n) return 0;
    for (int64_t i = 0; i < a->n; i++)
        if (hn_tensor_f64(a, i) != hn_tensor_f64(b, i)) return 0;
    return 1;
}

static int all_zero(const struct hn_tensor *t)
{
    for (int64_t i = 0; t && i < t->n; i++)
        if (hn_tensor_f64(t, i) != 0) return 0;
    return 1;
}

int hn_quant_same(const struct hn_quant *a, const struct hn_quant *b)
{
    return a->dtype == b->dtype && (a->scale->n == 1 || a->axis == b->axis) &&
           same_numbers(a->scale, b->scale) &&
           (same_numbers(a->zero, b->zero) || (all_zero(a->zero) && all_zero(b->zero)));
}
