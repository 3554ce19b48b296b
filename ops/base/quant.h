/* SPDX-License-Identifier: MIT
 *
 * Whole numbers that stand for floats, as ONNX's QuantizeLinear and DequantizeLinear have it:
 *
 *     x = (q - zero) * scale          q = round(x / scale) + zero, at the nearest end of its type where it is beyond
 *
 * with one scale (and zero) for all elements, or one for each index of a dim. Both are computed in float32, as ONNX Runtime does:
 * which way a tie goes is decided there, and it goes to the even number. */
#ifndef HN_QUANT_H
#define HN_QUANT_H

#include "ops/base/tensor.h"
#include <math.h>

struct hn_quant {
    enum hn_dtype dtype;           /* of q */
    const struct hn_tensor *scale; /* floats */
    const struct hn_tensor *zero;  /* of q's type, as many as scales; NULL: 0 */
    int axis; /* the dim whose indices scales go by, where there is more than one */
};

/* The ends of a type that may be quantised to: int8, uint8, int16, uint16, int32; 0: it is another. */
int hn_quant_range(enum hn_dtype t, double *low, double *high);

/* x / scale rounded to a whole number, at the nearest of the ends [low, high]; NaN stays NaN. Ends are zero's distance away from
 * those of the type. */
static inline float hn_quant_steps(float x, float scale, float low, float high)
{
    const float t = __builtin_rintf(x / scale);
    return t < low ? low : t > high ? high : t;
}
/* Is it between the ends? Then a straight-through gradient passes. */
static inline int hn_quant_inside(float x, float scale, float low, float high)
{
    const float t = __builtin_rintf(x / scale);
    return t >= low && t <= high;
}

/* What the whole numbers of q stand for, as floats or doubles. */
void hn_dequantize(const struct hn_quant *how, const struct hn_tensor *q, void *dst,
                   enum hn_dtype to);
/* The other way, from floats or doubles into as many numbers as `was` has. One that is still what was's stands for stays was's,
 * which has more digits than a float where it has 32 bits. */
void hn_quantize(const struct hn_quant *how, const struct hn_tensor *was, const void *src,
                 enum hn_dtype from, void *dst);
/* Do both say the same of a tensor? */
int hn_quant_same(const struct hn_quant *a, const struct hn_quant *b);
#endif
