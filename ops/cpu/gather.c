/* SPDX-License-Identifier: MIT
 *
 * Rows of a data set's column as floats: gathered by index, converted, then scaled, in one pass; the same numbers as
 * hn_convert_scaled. */
#include "ops/cpu/isa.h"
#include <string.h>

#define ROWS(type)                                                                                 \
    for (int64_t r = 0; r < g->n; r++, dst += w) {                                                 \
        int64_t row = g->index ? (int64_t)g->index[r] : g->first + r;                              \
        const unsigned char *p = src + (size_t)row * (size_t)w * sizeof(type);                     \
        for (int64_t i = 0; i < w; i++) {                                                          \
            type v;                                                                                \
            memcpy(&v, p + (size_t)i * sizeof(type), sizeof v);                                    \
            dst[i] = (float)v * scale;                                                             \
        }                                                                                          \
    }                                                                                              \
    break

static void copy_rows(const struct hn_cpu_gather *g)
{
    size_t bytes = (size_t)g->col->per_row * sizeof(float);
    const unsigned char *src = g->col->data;
    float *dst = g->dst;
    for (int64_t r = 0; r < g->n; r++, dst += g->col->per_row) {
        if (g->index && r + 2 < g->n) { /* the rows are far apart: fetch the next ones early */
            const unsigned char *next = src + g->index[r + 2] * bytes;
            for (size_t b = 0; b < bytes; b += 64) __builtin_prefetch(next + b);
        }
        memcpy(dst, src + (size_t)(g->index ? (int64_t)g->index[r] : g->first + r) * bytes, bytes);
    }
}

/* Types without a loop of their own, row by row. */
static void convert_rows(const struct hn_cpu_gather *g)
{
    size_t w = (size_t)g->col->per_row, bytes = w * hn_dtype_size(g->col->dtype);
    const unsigned char *src = g->col->data;
    for (int64_t r = 0; r < g->n; r++) {
        size_t row = (size_t)(g->index ? (int64_t)g->index[r] : g->first + r);
        hn_convert_scaled(g->dst + (size_t)r * w, HN_F32, src + row * bytes, g->col->dtype,
                          (int64_t)w, g->col->scale);
    }
}

void HN_ISA_NAME(hn_cpu_gather)(const struct hn_cpu_gather *g)
{
    const unsigned char *src = g->col->data;
    const int64_t w = g->col->per_row;
    const float scale = (float)g->col->scale;
    float *dst = g->dst;
    switch (g->col->dtype) {
    case HN_F32:
        if (scale == 1) {
            copy_rows(g);
            break;
        }
        ROWS(float);
    case HN_U8:
    case HN_BOOL: ROWS(uint8_t);
    case HN_I8: ROWS(int8_t);
    case HN_U16: ROWS(uint16_t);
    case HN_I16: ROWS(int16_t);
    case HN_I32: ROWS(int32_t);
    case HN_I64: ROWS(int64_t);
    case HN_F64: ROWS(double);
    default: convert_rows(g);
    }
}
#undef ROWS
