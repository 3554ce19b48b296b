/* SPDX-License-Identifier: MIT
 *
 * Element types and plain tensors (constants, initializers, test vectors). Row-major, contiguous. */
#ifndef HN_TENSOR_H
#define HN_TENSOR_H

#include "ops/base/hone_status.h"
#include "ops/base/memory.h"

#define HN_MAX_RANK 8

/* The numbers are ONNX's TensorProto.DataType. */
enum hn_dtype {
    HN_NONE = 0,
    HN_F32 = 1,
    HN_U8 = 2,
    HN_I8 = 3,
    HN_U16 = 4,
    HN_I16 = 5,
    HN_I32 = 6,
    HN_I64 = 7,
    HN_STR = 8,
    HN_BOOL = 9,
    HN_F16 = 10,
    HN_F64 = 11,
    HN_U32 = 12,
    HN_U64 = 13,
    HN_C64 = 14,
    HN_C128 = 15,
    HN_BF16 = 16
};

size_t
hn_dtype_size(enum hn_dtype t); /* bytes of an element; 0 for strings and types of other widths */
const char *hn_dtype_name(
    enum hn_dtype
        t); /* "float32", "int64", …; "dtype 23" style for unknown (static text "unknown") */
int hn_dtype_is_float(enum hn_dtype t); /* f16, bf16, f32, f64 */

struct hn_tensor {
    enum hn_dtype dtype;
    int rank; /* 0 = a scalar with one element */
    int64_t dims[HN_MAX_RANK];
    int64_t n; /* product of dims */
    const void *
        data; /* borrowed; may be unaligned (a span of a mapped file). Strings: const char *const * */
};

/* Product of dims with overflow and sign checks; 0 on failure. */
int hn_numel(int rank, const int64_t *dims, int64_t *n);

/* Element i as a number, whatever the type (NaN and 0 for strings and complex numbers); handles unaligned data. */
double hn_tensor_f64(const struct hn_tensor *t, int64_t i);
int64_t hn_tensor_i64(const struct hn_tensor *t, int64_t i);

/* Element i of floats (elem 4) or doubles (8), as a double. */
static inline double hn_elem_get(const void *p, size_t elem, size_t i)
{
    return elem == 4 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}
static inline void hn_elem_set(void *p, size_t elem, size_t i, double v)
{
    if (elem == 4)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

/* n elements from one type to another, unaligned allowed on both sides, not overlapping. Rounds to nearest even once; floats
 * go to integers towards zero, at the nearest end when out of range, NaN as 0. Strings and complex numbers only copy. */
void hn_convert(void *dst, enum hn_dtype to, const void *src, enum hn_dtype from, int64_t n);
/* The same, each multiplied by scale (in the precision of dst, double for integers) when scale != 1. */
void hn_convert_scaled(void *dst, enum hn_dtype to, const void *src, enum hn_dtype from, int64_t n,
                       double scale);

float hn_half_to_float(uint16_t h);
uint16_t hn_float_to_half(float f);
float hn_bf16_to_float(uint16_t h);
uint16_t hn_float_to_bf16(float f);
#endif
