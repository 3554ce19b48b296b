/* SPDX-License-Identifier: MIT
 *
 * Element-wise functions and their slopes, one line per kind; the table of ops/math/unary.c in the element type, for kernels. A
 * kind's slope is taken from x or from y as the row says (by: 0 nothing, 1 x, 2 y). */
#ifndef HN_GPU_ACT_H
#define HN_GPU_ACT_H

#include "gpu/kernel.h"

enum { /* enum hn_unary_kind; checked where the host fills in `kind` */
       COPY,
       RELU,
       LEAKY,
       ELU,
       SELU,
       SIGMOID,
       TANH,
       SOFTPLUS,
       GELU,
       GELU_TANH,
       ERF,
       CLIP,
       NEG,
       ABS,
       EXP,
       LOG,
       SQRT,
       RECIPROCAL,
       SILU,
       AFFINE,
       CELU,
       HARD_SIGMOID,
       HARD_SWISH,
       MISH,
       SOFTSIGN,
       THRESHOLDED,
       TRUNC,
       SIN,
       COS,
       SIGN,
       FLOOR,
       CEIL,
       ROUND,
       TAN,
       ASIN,
       ACOS,
       ATAN,
       SINH,
       COSH,
       ASINH,
       ATANH
};
enum { BY_NOTHING, BY_X, BY_Y };

HN_DEVICE real sigmoid(real x)
{
    real e = HN_FN(exp)(-HN_FN(fabs)(x));
    return (x < 0 ? e : 1) / (1 + e);
}
HN_DEVICE real softplus(real x)
{
    return (x > 0 ? x : 0) + HN_FN(log1p)(HN_FN(exp)(-HN_FN(fabs)(x)));
}
HN_DEVICE real clip(real x, real low, real high)
{
    real t = x < low ? low : x;
    return t > high ? high : t;
}

HN_DEVICE real value(int kind, real x, real a, real b)
{
    const real inv_sqrt2 = (real)0.70710678118654752440, sqrt_2_pi = (real)0.79788456080286535588;
    switch (kind) {
    case RELU: return x <= 0 ? 0 : x;
    case LEAKY: return x < 0 ? a * x : x;
    case ELU: return x < 0 ? a * HN_FN(expm1)(x) : x;
    case SELU: return x <= 0 ? b * a * HN_FN(expm1)(x) : b * x;
    case SIGMOID: return sigmoid(x);
    case TANH: return HN_FN(tanh)(x);
    case SOFTPLUS: return softplus(x);
    case GELU: return (real)0.5 * x * HN_FN(erfc)(-x * inv_sqrt2);
    case GELU_TANH:
        return (real)0.5 * x * (1 + HN_FN(tanh)(sqrt_2_pi * (x + (real)0.044715 * x * x * x)));
    case ERF: return HN_FN(erf)(x);
    case CLIP: return clip(x, a, b);
    case NEG: return -x;
    case ABS: return HN_FN(fabs)(x);
    case EXP: return HN_FN(exp)(x);
    case LOG: return HN_FN(log)(x);
    case SQRT: return HN_FN(sqrt)(x);
    case RECIPROCAL: return 1 / x;
    case SILU: return x * sigmoid(x);
    case AFFINE: return a * x + b;
    case CELU: return x < 0 ? a * HN_FN(expm1)(x / a) : x;
    case HARD_SIGMOID: return clip(a * x + b, 0, 1);
    case HARD_SWISH: return x * clip(x / 6 + (real)0.5, 0, 1);
    case MISH: return x * HN_FN(tanh)(softplus(x));
    case SOFTSIGN: return x / (1 + HN_FN(fabs)(x));
    case THRESHOLDED: return x <= a ? 0 : x;
    case TRUNC: return HN_FN(trunc)(x);
    case SIN: return HN_FN(sin)(x);
    case COS: return HN_FN(cos)(x);
    case SIGN: return x != x ? x : (real)((x > 0) - (x < 0));
    case FLOOR: return HN_FN(floor)(x);
    case CEIL: return HN_FN(ceil)(x);
    case ROUND: return HN_FN(nearbyint)(x);
    case TAN: return HN_FN(tan)(x);
    case ASIN: return HN_FN(asin)(x);
    case ACOS: return HN_FN(acos)(x);
    case ATAN: return HN_FN(atan)(x);
    case SINH: return HN_FN(sinh)(x);
    case COSH: return HN_FN(cosh)(x);
    case ASINH: return HN_FN(asinh)(x);
    case ATANH: return HN_FN(atanh)(x);
    default: return x;
    }
}

HN_DEVICE real slope_gelu_tanh(real x)
{
    const real k = (real)0.79788456080286535588, c = (real)0.044715;
    real t = HN_FN(tanh)(k * (x + c * x * x * x));
    return (real)0.5 * (1 + t) + (real)0.5 * x * (1 - t * t) * k * (1 + 3 * c * x * x);
}
HN_DEVICE real slope_mish(real x)
{
    real t = HN_FN(tanh)(softplus(x));
    return t + x * (1 - t * t) * sigmoid(x);
}

/* v is y or x, as `by` says */
HN_DEVICE real slope(int kind, int by, real v, real a, real b)
{
    const real inv_sqrt2 = (real)0.70710678118654752440,
               inv_sqrt_2pi = (real)0.39894228040143267794;
    switch (kind) {
    case RELU: return v > 0 ? 1 : 0;
    case LEAKY: return v > 0 ? 1 : a;
    case ELU: return v > 0 ? 1 : by == BY_Y ? v + a : a * HN_FN(exp)(v);
    case SELU: return v > 0 ? b : by == BY_Y ? v + b * a : b * a * HN_FN(exp)(v);
    case SIGMOID: return v * (1 - v);
    case TANH: return 1 - v * v;
    case SOFTPLUS: return -HN_FN(expm1)(-v);
    case GELU:
        return (real)0.5 * HN_FN(erfc)(-v * inv_sqrt2) +
               v * inv_sqrt_2pi * HN_FN(exp)((real)-0.5 * v * v);
    case GELU_TANH: return slope_gelu_tanh(v);
    case ERF: return (real)1.12837916709551257390 * HN_FN(exp)(-v * v);
    case CLIP: return v >= a && v <= b ? 1 : 0;
    case NEG: return -1;
    case ABS: return (real)((v > 0) - (v < 0));
    case EXP: return v;
    case LOG: return 1 / v;
    case SQRT: return (real)0.5 / v;
    case RECIPROCAL: return -v * v;
    case SILU: return sigmoid(v) * (1 + v * (1 - sigmoid(v)));
    case AFFINE: return a;
    case CELU: return v > 0 ? 1 : by == BY_Y ? v / a + 1 : HN_FN(exp)(v / a);
    case HARD_SIGMOID: return v > 0 && v < 1 ? a : 0;
    case HARD_SWISH: return v <= -3 ? 0 : v < 3 ? v / 3 + (real)0.5 : 1;
    case MISH: return slope_mish(v);
    case SOFTSIGN: return 1 / ((1 + HN_FN(fabs)(v)) * (1 + HN_FN(fabs)(v)));
    case THRESHOLDED: return by == BY_Y ? (v > 0 ? 1 : 0) : (v > a ? 1 : 0);
    case TRUNC:
    case SIGN:
    case FLOOR:
    case CEIL:
    case ROUND: return 0;
    case SIN: return HN_FN(cos)(v);
    case COS: return -HN_FN(sin)(v);
    case TAN: return 1 + HN_FN(tan)(v) * HN_FN(tan)(v);
    case ASIN: return 1 / HN_FN(sqrt)(1 - v * v);
    case ACOS: return -1 / HN_FN(sqrt)(1 - v * v);
    case ATAN: return 1 / (1 + v * v);
    case SINH: return HN_FN(cosh)(v);
    case COSH: return HN_FN(sinh)(v);
    case ASINH: return 1 / HN_FN(sqrt)(v * v + 1);
    case ATANH: return 1 / (1 - v * v);
    default: return 1;
    }
}
#endif
