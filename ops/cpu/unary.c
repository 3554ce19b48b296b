/* SPDX-License-Identifier: MIT
 *
 * Unary: y[i] = f(x[i]), dx[i] = f'(x[i]) dy[i]. Where it can be, the slope is taken from y, so that y may lie on x. */
#include "ops/cpu/isa.h"
#include "ops/cpu/vmath.h"

/* Whether the slope is computed from x (1), y (2) or neither (0): the row's own choice. */
static unsigned slope_from(const struct hn_op *op, const struct hn_shape *xs)
{
    struct hn_need need = { 0 };
    op->row->need(op, xs, &need);
    return need.x & 1 ? 1 : need.y & 1 ? 2 : 0;
}

static void unary_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    unsigned from = slope_from(u->op, u->xs);
    n->local = hn_cpu_batched(&u->xs[0]);
    n->inplace = 3;
    n->main_x = from & 1;
    n->main_y = from >> 1;
    n->cost = 4.0 * (double)hn_cpu_width(&u->xs[0]);
}

/* exp of the standard normal's density exponent: phi(x) = e^(-x^2/2) / sqrt(2 pi). */
static inline float normal_pdf(float x) { return 0.398942280f * hn_expf(-0.5f * x * x); }

static inline float gelu_tanh(float x, float *t)
{
    *t = hn_tanhf(0.797884561f * hn_fma(0.044715f * x * x, x, x));
    return 0.5f * x * (1.0f + *t);
}

static inline float gelu_tanh_slope(float x)
{
    float t, u = 0.797884561f * hn_fma(0.134145f * x, x, 1.0f);
    gelu_tanh(x, &t);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * u;
}

static inline float clip(float x, float lo, float hi)
{
    float t = x < lo ? lo : x;
    return t > hi ? hi : t; /* low above high: high */
}

static inline float silu_slope(float x)
{
    float s = hn_sigmoidf(x);
    return s * hn_fma(x, 1.0f - s, 1.0f);
}

static inline float mish_slope(float x)
{
    float t = hn_tanhf(hn_softplusf(x));
    return t + x * (1.0f - t * t) * hn_sigmoidf(x);
}

/* Angles that the polynomials are not for. */
static int any_far(const float *x, size_t n)
{
    int far = 0;
    for (size_t i = 0; i < n; i++) far |= !(hn_absf(x[i]) <= HN_SIN_MOST);
    return far;
}

#define LOOP(expr)                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                               \
        float v = x[i];                                                                            \
        y[i] = expr;                                                                               \
    }                                                                                              \
    break

static void unary_loop(const struct hn_unary *u, const float *x, float *y, size_t n)
{
    const float a = (float)u->a, b = (float)u->b, ia = 1.0f / a;
    switch (u->kind) {
    case HN_U_RELU: LOOP(v <= 0 ? 0.0f : v);
    case HN_U_LEAKY_RELU: LOOP(v < 0 ? a * v : v);
    case HN_U_ELU: LOOP(v < 0 ? a * hn_expm1f(v) : v);
    case HN_U_SELU: LOOP(b * (v > 0 ? v : a * hn_expm1f(v)));
    case HN_U_CELU: LOOP(v < 0 ? a * hn_expm1f(v * ia) : v);
    case HN_U_SIGMOID: LOOP(hn_sigmoidf(v));
    case HN_U_TANH: LOOP(hn_tanhf(v));
    case HN_U_SOFTPLUS: LOOP(hn_softplusf(v));
    case HN_U_GELU: LOOP(v * hn_phif(v));
    case HN_U_GELU_TANH: LOOP(gelu_tanh(v, &(float){ 0 }));
    case HN_U_ERF: LOOP(hn_erff(v));
    case HN_U_CLIP: LOOP(clip(v, a, b));
    case HN_U_NEG: LOOP(-v);
    case HN_U_ABS: LOOP(hn_absf(v));
    case HN_U_EXP: LOOP(hn_expf(v));
    case HN_U_LOG: LOOP(hn_logf(v));
    case HN_U_SQRT: LOOP(__builtin_sqrtf(v));
    case HN_U_RECIPROCAL: LOOP(1.0f / v);
    case HN_U_SILU: LOOP(v * hn_sigmoidf(v));
    case HN_U_AFFINE: LOOP(hn_fma(a, v, b));
    case HN_U_HARD_SIGMOID: LOOP(clip(hn_fma(a, v, b), 0.0f, 1.0f));
    case HN_U_HARD_SWISH: LOOP(v * clip(hn_fma(v, 1.0f / 6.0f, 0.5f), 0.0f, 1.0f));
    case HN_U_MISH: LOOP(v * hn_tanhf(hn_softplusf(v)));
    case HN_U_SOFTSIGN: LOOP(v / (1.0f + hn_absf(v)));
    case HN_U_THRESHOLDED_RELU: LOOP(v <= a ? 0.0f : v);
    case HN_U_TRUNC: LOOP(__builtin_truncf(v));
    case HN_U_SIN:
        if (any_far(x, n)) { LOOP(__builtin_sinf(v)); }
        LOOP(hn_sinf(v));
    case HN_U_COS:
        if (any_far(x, n)) { LOOP(__builtin_cosf(v)); }
        LOOP(hn_cosf(v));
    case HN_U_SIGN: LOOP(v != v ? v : (float)(v > 0) - (float)(v < 0));
    case HN_U_FLOOR: LOOP(__builtin_floorf(v));
    case HN_U_CEIL: LOOP(__builtin_ceilf(v));
    case HN_U_ROUND: LOOP(__builtin_nearbyintf(v));
    case HN_U_TAN: LOOP(__builtin_tanf(v));
    case HN_U_ASIN: LOOP(__builtin_asinf(v));
    case HN_U_ACOS: LOOP(__builtin_acosf(v));
    case HN_U_ATAN: LOOP(__builtin_atanf(v));
    case HN_U_SINH: LOOP(__builtin_sinhf(v));
    case HN_U_COSH: LOOP(__builtin_coshf(v));
    case HN_U_ASINH: LOOP(__builtin_asinhf(v));
    case HN_U_ATANH: LOOP(__builtin_atanhf(v));
    default:
        if (y != x) memcpy(y, x, n * sizeof *y);
    }
}
#undef LOOP

static void unary_forward(const struct hn_cpu_call *k)
{
    unary_loop(k->c.op->attrs, k->c.x[0], k->c.y[0], (size_t)hn_extent_numel(&k->c.xs[0]));
}

/* The slope as an expression of v, which is x or y as slope_from says. Ends the function. */
#define SLOPE(expr)                                                                                \
    {                                                                                              \
        if (add)                                                                                   \
            for (size_t i = 0; i < n; i++) {                                                       \
                float v = from[i];                                                                 \
                dx[i] += dy[i] * (expr);                                                           \
            }                                                                                      \
        else                                                                                       \
            for (size_t i = 0; i < n; i++) {                                                       \
                float v = from[i];                                                                 \
                dx[i] = dy[i] * (expr);                                                            \
            }                                                                                      \
        return;                                                                                    \
    }

struct slope {
    const float *from, *dy;
    float *dx;
    size_t n;
    int add, by_y;
};

static void linear_slope(const struct slope *s, float a)
{
    const float *dy = s->dy;
    float *dx = s->dx;
    if (s->add)
        for (size_t i = 0; i < s->n; i++) dx[i] += a * dy[i];
    else if (a != 1.0f || dx != dy)
        for (size_t i = 0; i < s->n; i++) dx[i] = a * dy[i];
}

static void unary_slope(const struct hn_unary *u, const struct slope *s)
{
    const float a = (float)u->a, b = (float)u->b, ia = 1.0f / a, *from = s->from, *dy = s->dy;
    float *dx = s->dx;
    size_t n = s->n;
    int add = s->add;
    switch (u->kind) {
    case HN_U_RELU: SLOPE(v > 0 ? 1.0f : 0.0f)
    case HN_U_LEAKY_RELU: SLOPE(v > 0 ? 1.0f : a)
    case HN_U_ELU:
        if (s->by_y) SLOPE(v > 0 ? 1.0f : v + a)
        SLOPE(v > 0 ? 1.0f : a * hn_expf(v))
    case HN_U_SELU:
        if (s->by_y) SLOPE(v > 0 ? b : v + a * b)
        SLOPE(v > 0 ? b : a * b * hn_expf(v))
    case HN_U_CELU:
        if (s->by_y) SLOPE(v > 0 ? 1.0f : hn_fma(v, ia, 1.0f))
        SLOPE(v > 0 ? 1.0f : hn_expf(v * ia))
    case HN_U_SIGMOID: SLOPE(v * (1.0f - v))
    case HN_U_TANH: SLOPE(1.0f - v * v)
    case HN_U_SOFTPLUS: SLOPE(-hn_expm1f(-v))
    case HN_U_GELU: SLOPE(hn_fma(v, normal_pdf(v), hn_phif(v)))
    case HN_U_GELU_TANH: SLOPE(gelu_tanh_slope(v))
    case HN_U_ERF: SLOPE(1.128379167f * hn_expf(-v * v))
    case HN_U_CLIP: SLOPE(v >= a && v <= b ? 1.0f : 0.0f)
    case HN_U_NEG: linear_slope(s, -1.0f); return;
    case HN_U_ABS: SLOPE(v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f)
    case HN_U_EXP: SLOPE(v)
    case HN_U_LOG: SLOPE(1.0f / v)
    case HN_U_SQRT: SLOPE(0.5f / v)
    case HN_U_RECIPROCAL: SLOPE(-v * v)
    case HN_U_SILU: SLOPE(silu_slope(v))
    case HN_U_AFFINE: linear_slope(s, a); return;
    case HN_U_HARD_SIGMOID: SLOPE(v > 0.0f && v < 1.0f ? a : 0.0f)
    case HN_U_HARD_SWISH: SLOPE(v <= -3.0f ? 0.0f : v >= 3.0f ? 1.0f : hn_fma(v, 1.0f / 3.0f, 0.5f))
    case HN_U_MISH: SLOPE(mish_slope(v))
    case HN_U_SOFTSIGN: SLOPE(1.0f / ((1.0f + hn_absf(v)) * (1.0f + hn_absf(v))))
    case HN_U_THRESHOLDED_RELU:
        if (s->by_y) SLOPE(v > 0 ? 1.0f : 0.0f)
        SLOPE(v > a ? 1.0f : 0.0f)
    case HN_U_TRUNC:
    case HN_U_SIGN:
    case HN_U_FLOOR:
    case HN_U_CEIL:
    case HN_U_ROUND: linear_slope(s, 0.0f); return;
    case HN_U_SIN:
        if (any_far(from, n)) SLOPE(__builtin_cosf(v))
        SLOPE(hn_cosf(v))
    case HN_U_COS:
        if (any_far(from, n)) SLOPE(-__builtin_sinf(v))
        SLOPE(-hn_sinf(v))
    case HN_U_TAN: SLOPE(1.0f + __builtin_tanf(v) * __builtin_tanf(v))
    case HN_U_ASIN: SLOPE(1.0f / __builtin_sqrtf(1.0f - v * v))
    case HN_U_ACOS: SLOPE(-1.0f / __builtin_sqrtf(1.0f - v * v))
    case HN_U_ATAN: SLOPE(1.0f / (1.0f + v * v))
    case HN_U_SINH: SLOPE(__builtin_coshf(v))
    case HN_U_COSH: SLOPE(__builtin_sinhf(v))
    case HN_U_ASINH: SLOPE(1.0f / __builtin_sqrtf(v * v + 1.0f))
    case HN_U_ATANH: SLOPE(1.0f / (1.0f - v * v))
    default: linear_slope(s, 1.0f);
    }
}
#undef SLOPE

static void unary_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_shape none = { 0 };
    if (!c->dx[0]) return;
    unsigned from = slope_from(c->op, &none);
    struct slope s = { from == 1 ? c->x[0] : c->y[0],      c->dy[0],          c->dx[0],
                       (size_t)hn_extent_numel(&c->xs[0]), (int)(c->acc & 1), from == 2 };
    unary_slope(c->op->attrs, &s);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_unary) = {
    .row = &hn_op_unary,
    .need = unary_need,
    .forward = { .main = unary_forward },
    .backward = { .main = unary_backward },
};
