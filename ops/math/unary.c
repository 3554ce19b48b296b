/* SPDX-License-Identifier: MIT
 *
 * Unary: y[i] = f(x[i]), one line per kind: f, and its slope from x or from y. Slopes at kinks are PyTorch's: relu 0,
 * leaky relu its alpha, elu alpha, abs 0, clip 1 on both bounds. A kind whose slope follows from y works in place.
 *
 * Which one backward reads depends on the attributes only (hn_op_unary.need): y for relu, sigmoid, tanh, softplus, exp,
 * sqrt, reciprocal, hard sigmoid, and for leaky relu, elu, selu, celu, thresholded relu with attributes that keep the
 * sign (alpha >= 0, gamma > 0); nothing for copy, neg, affine and what has slope 0; x for the rest. NaN stays NaN in every kind. */
#include "ops/math/row.h"
#include <math.h>

static const double inv_sqrt2 = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;
static const double sqrt_2_pi = 0.79788456080286535588, two_sqrt_pi = 1.12837916709551257390;

static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}
static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

/* f(x, a, b): the attributes of struct hn_unary */
static double f_copy(double x, double a, double b) { return (void)a, (void)b, x; }
static double f_relu(double x, double a, double b) { return (void)a, (void)b, x <= 0 ? 0 : x; }
static double f_leaky(double x, double a, double b) { return (void)b, x < 0 ? a * x : x; }
static double f_elu(double x, double a, double b) { return (void)b, x < 0 ? a * expm1(x) : x; }
static double f_selu(double x, double a, double b) { return x <= 0 ? b * a * expm1(x) : b * x; }
static double f_sigmoid(double x, double a, double b) { return (void)a, (void)b, sigmoid(x); }
static double f_tanh(double x, double a, double b) { return (void)a, (void)b, tanh(x); }
static double f_softplus(double x, double a, double b) { return (void)a, (void)b, softplus(x); }
static double f_gelu(double x, double a, double b)
{
    return (void)a, (void)b, 0.5 * x * (1 + erf(x * inv_sqrt2));
}
static double f_gelu_tanh(double x, double a, double b)
{
    (void)a, (void)b;
    return 0.5 * x * (1 + tanh(sqrt_2_pi * (x + 0.044715 * x * x * x)));
}
static double f_erf(double x, double a, double b) { return (void)a, (void)b, erf(x); }
static double f_clip(double x, double a, double b)
{
    double t = x < a ? a : x;
    return t > b ? b : t; /* low above high: high, as ONNX has it */
}
static double f_neg(double x, double a, double b) { return (void)a, (void)b, -x; }
static double f_abs(double x, double a, double b) { return (void)a, (void)b, fabs(x); }
static double f_exp(double x, double a, double b) { return (void)a, (void)b, exp(x); }
static double f_log(double x, double a, double b) { return (void)a, (void)b, log(x); }
static double f_sqrt(double x, double a, double b) { return (void)a, (void)b, sqrt(x); }
static double f_reciprocal(double x, double a, double b) { return (void)a, (void)b, 1 / x; }
static double f_silu(double x, double a, double b) { return (void)a, (void)b, x * sigmoid(x); }
static double f_affine(double x, double a, double b) { return a * x + b; }
static double f_celu(double x, double a, double b) { return (void)b, x < 0 ? a * expm1(x / a) : x; }
static double f_hard_sigmoid(double x, double a, double b) { return f_clip(a * x + b, 0, 1); }
static double f_hard_swish(double x, double a, double b)
{
    return (void)a, (void)b, x * f_clip(x / 6 + 0.5, 0, 1);
}
static double f_mish(double x, double a, double b)
{
    return (void)a, (void)b, x * tanh(softplus(x));
}
static double f_softsign(double x, double a, double b)
{
    return (void)a, (void)b, x / (1 + fabs(x));
}
static double f_thresholded(double x, double a, double b) { return (void)b, x <= a ? 0 : x; }

static double f_sin(double x, double a, double b) { return (void)a, (void)b, sin(x); }
static double f_cos(double x, double a, double b) { return (void)a, (void)b, cos(x); }
static double f_trunc(double x, double a, double b) { return (void)a, (void)b, trunc(x); }
static double f_sign(double x, double a, double b)
{
    return (void)a, (void)b, isnan(x) ? x : (x > 0) - (x < 0);
}
static double f_floor(double x, double a, double b) { return (void)a, (void)b, floor(x); }
static double f_ceil(double x, double a, double b) { return (void)a, (void)b, ceil(x); }
static double f_round(double x, double a, double b) { return (void)a, (void)b, nearbyint(x); }
static double f_tan(double x, double a, double b) { return (void)a, (void)b, tan(x); }
static double f_asin(double x, double a, double b) { return (void)a, (void)b, asin(x); }
static double f_acos(double x, double a, double b) { return (void)a, (void)b, acos(x); }
static double f_atan(double x, double a, double b) { return (void)a, (void)b, atan(x); }
static double f_sinh(double x, double a, double b) { return (void)a, (void)b, sinh(x); }
static double f_cosh(double x, double a, double b) { return (void)a, (void)b, cosh(x); }
static double f_asinh(double x, double a, double b) { return (void)a, (void)b, asinh(x); }
static double f_atanh(double x, double a, double b) { return (void)a, (void)b, atanh(x); }

/* slope(v, a, b): v is y for the kinds marked BY_Y, else x */
static double d_one(double v, double a, double b) { return (void)v, (void)a, (void)b, 1; }
static double d_sin(double x, double a, double b) { return (void)a, (void)b, cos(x); }
static double d_cos(double x, double a, double b) { return (void)a, (void)b, -sin(x); }
static double d_zero(double v, double a, double b) { return (void)v, (void)a, (void)b, 0; }
static double d_relu(double y, double a, double b) { return (void)a, (void)b, y > 0 ? 1 : 0; }
static double d_leaky(double v, double a, double b) { return (void)b, v > 0 ? 1 : a; }
static double d_elu(double y, double a, double b) { return (void)b, y > 0 ? 1 : y + a; }
static double d_elu_x(double x, double a, double b) { return (void)b, x > 0 ? 1 : a * exp(x); }
static double d_selu(double y, double a, double b) { return y > 0 ? b : y + b * a; }
static double d_selu_x(double x, double a, double b) { return x > 0 ? b : b * a * exp(x); }
static double d_sigmoid(double y, double a, double b) { return (void)a, (void)b, y * (1 - y); }
static double d_tanh(double y, double a, double b) { return (void)a, (void)b, 1 - y * y; }
static double d_softplus(double y, double a, double b) { return (void)a, (void)b, -expm1(-y); }
static double d_gelu(double x, double a, double b)
{
    (void)a, (void)b;
    return 0.5 * (1 + erf(x * inv_sqrt2)) + x * inv_sqrt_2pi * exp(-0.5 * x * x);
}
static double d_gelu_tanh(double x, double a, double b)
{
    (void)a, (void)b;
    double t = tanh(sqrt_2_pi * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt_2_pi * (1 + 3 * 0.044715 * x * x);
}
static double d_erf(double x, double a, double b)
{
    return (void)a, (void)b, two_sqrt_pi * exp(-x * x);
}
static double d_clip(double x, double a, double b) { return x >= a && x <= b ? 1 : 0; }
static double d_neg(double v, double a, double b) { return (void)v, (void)a, (void)b, -1; }
static double d_abs(double x, double a, double b) { return (void)a, (void)b, (x > 0) - (x < 0); }
static double d_exp(double y, double a, double b) { return (void)a, (void)b, y; }
static double d_log(double x, double a, double b) { return (void)a, (void)b, 1 / x; }
static double d_sqrt(double y, double a, double b) { return (void)a, (void)b, 0.5 / y; }
static double d_reciprocal(double y, double a, double b) { return (void)a, (void)b, -y * y; }
static double d_silu(double x, double a, double b)
{
    (void)a, (void)b;
    double s = sigmoid(x);
    return s * (1 + x * (1 - s));
}
static double d_affine(double v, double a, double b) { return (void)v, (void)b, a; }
static double d_celu(double y, double a, double b) { return (void)b, y > 0 ? 1 : y / a + 1; }
static double d_celu_x(double x, double a, double b) { return (void)b, x > 0 ? 1 : exp(x / a); }
static double d_hard_sigmoid(double y, double a, double b)
{
    return (void)b, y > 0 && y < 1 ? a : 0;
}
static double d_hard_swish(double x, double a, double b)
{
    (void)a, (void)b;
    if (x <= -3) return 0;
    return x < 3 ? x / 3 + 0.5 : 1;
}
static double d_mish(double x, double a, double b)
{
    (void)a, (void)b;
    double t = tanh(softplus(x));
    return t + x * (1 - t * t) * sigmoid(x);
}
static double d_softsign(double x, double a, double b)
{
    (void)a, (void)b;
    double d = 1 + fabs(x);
    return 1 / (d * d);
}
static double d_thresholded(double y, double a, double b)
{
    return (void)a, (void)b, y > 0 ? 1 : 0;
}
static double d_thresholded_x(double x, double a, double b) { return (void)b, x > a ? 1 : 0; }
static double d_tan(double x, double a, double b) { return (void)a, (void)b, 1 + tan(x) * tan(x); }
static double d_asin(double x, double a, double b) { return (void)a, (void)b, 1 / sqrt(1 - x * x); }
static double d_acos(double x, double a, double b)
{
    return (void)a, (void)b, -1 / sqrt(1 - x * x);
}
static double d_atan(double x, double a, double b) { return (void)a, (void)b, 1 / (1 + x * x); }
static double d_sinh(double x, double a, double b) { return (void)a, (void)b, cosh(x); }
static double d_cosh(double x, double a, double b) { return (void)a, (void)b, sinh(x); }
static double d_asinh(double x, double a, double b)
{
    return (void)a, (void)b, 1 / sqrt(x * x + 1);
}
static double d_atanh(double x, double a, double b) { return (void)a, (void)b, 1 / (1 - x * x); }

enum source {
    BY_NOTHING,
    BY_X,
    BY_Y,
    BY_SIGN /* by y when the attributes keep the sign, else by x */
};
static const struct {
    double (*f)(double x, double a, double b);
    double (*slope)(double v, double a, double b);
    double (*slope_x)(double x, double a, double b); /* BY_SIGN's other form */
    enum source source;
} kinds[HN_U_COUNT] = {
    [HN_U_COPY] = { f_copy, d_one, NULL, BY_NOTHING },
    [HN_U_RELU] = { f_relu, d_relu, NULL, BY_Y },
    [HN_U_LEAKY_RELU] = { f_leaky, d_leaky, d_leaky, BY_SIGN },
    [HN_U_ELU] = { f_elu, d_elu, d_elu_x, BY_SIGN },
    [HN_U_SELU] = { f_selu, d_selu, d_selu_x, BY_SIGN },
    [HN_U_SIGMOID] = { f_sigmoid, d_sigmoid, NULL, BY_Y },
    [HN_U_TANH] = { f_tanh, d_tanh, NULL, BY_Y },
    [HN_U_SOFTPLUS] = { f_softplus, d_softplus, NULL, BY_Y },
    [HN_U_GELU] = { f_gelu, d_gelu, NULL, BY_X },
    [HN_U_GELU_TANH] = { f_gelu_tanh, d_gelu_tanh, NULL, BY_X },
    [HN_U_ERF] = { f_erf, d_erf, NULL, BY_X },
    [HN_U_CLIP] = { f_clip, d_clip, NULL, BY_X },
    [HN_U_NEG] = { f_neg, d_neg, NULL, BY_NOTHING },
    [HN_U_ABS] = { f_abs, d_abs, NULL, BY_X },
    [HN_U_EXP] = { f_exp, d_exp, NULL, BY_Y },
    [HN_U_LOG] = { f_log, d_log, NULL, BY_X },
    [HN_U_SQRT] = { f_sqrt, d_sqrt, NULL, BY_Y },
    [HN_U_RECIPROCAL] = { f_reciprocal, d_reciprocal, NULL, BY_Y },
    [HN_U_SILU] = { f_silu, d_silu, NULL, BY_X },
    [HN_U_AFFINE] = { f_affine, d_affine, NULL, BY_NOTHING },
    [HN_U_CELU] = { f_celu, d_celu, d_celu_x, BY_SIGN },
    [HN_U_HARD_SIGMOID] = { f_hard_sigmoid, d_hard_sigmoid, NULL, BY_Y },
    [HN_U_HARD_SWISH] = { f_hard_swish, d_hard_swish, NULL, BY_X },
    [HN_U_MISH] = { f_mish, d_mish, NULL, BY_X },
    [HN_U_SOFTSIGN] = { f_softsign, d_softsign, NULL, BY_X },
    [HN_U_THRESHOLDED_RELU] = { f_thresholded, d_thresholded, d_thresholded_x, BY_SIGN },
    [HN_U_TRUNC] = { f_trunc, d_zero, NULL, BY_NOTHING },
    [HN_U_SIN] = { f_sin, d_sin, NULL, BY_X },
    [HN_U_COS] = { f_cos, d_cos, NULL, BY_X },
    [HN_U_SIGN] = { f_sign, d_zero, NULL, BY_NOTHING },
    [HN_U_FLOOR] = { f_floor, d_zero, NULL, BY_NOTHING },
    [HN_U_CEIL] = { f_ceil, d_zero, NULL, BY_NOTHING },
    [HN_U_ROUND] = { f_round, d_zero, NULL, BY_NOTHING },
    [HN_U_TAN] = { f_tan, d_tan, NULL, BY_X },
    [HN_U_ASIN] = { f_asin, d_asin, NULL, BY_X },
    [HN_U_ACOS] = { f_acos, d_acos, NULL, BY_X },
    [HN_U_ATAN] = { f_atan, d_atan, NULL, BY_X },
    [HN_U_SINH] = { f_sinh, d_sinh, NULL, BY_X },
    [HN_U_COSH] = { f_cosh, d_cosh, NULL, BY_X },
    [HN_U_ASINH] = { f_asinh, d_asinh, NULL, BY_X },
    [HN_U_ATANH] = { f_atanh, d_atanh, NULL, BY_X },
};

static enum source source_of(const struct hn_unary *u)
{
    if (kinds[u->kind].source != BY_SIGN) return kinds[u->kind].source;
    if (u->kind == HN_U_CELU && !(u->a > 0)) return BY_X;
    if (u->kind == HN_U_SELU && !(u->b > 0)) return BY_X;
    return u->a >= 0 ? BY_Y : BY_X;
}

static hone_status unary_shape(const struct hn_op *op, const struct hn_shape *xs,
                               struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_unary *u = op->attrs;
    if ((unsigned)u->kind >= HN_U_COUNT)
        return hn_fail(err, HONE_E_INTERNAL, where, "Unary: kind %d is unknown", (int)u->kind);
    ys[0] = xs[0];
    return HONE_OK;
}

static void unary_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)xs;
    enum source s = source_of(op->attrs);
    need->x = s == BY_X;
    need->y = s == BY_Y;
}

static void unary_forward(const struct hn_call *c)
{
    const struct hn_unary *u = c->op->attrs;
    const double *x = c->x[0];
    double *y = c->y[0];
    int64_t n = hn_extent_numel(&c->ys[0]);
    for (int64_t i = 0; i < n; i++) y[i] = kinds[u->kind].f(x[i], u->a, u->b);
}

/* dx[i] += dy[i] * f'(x[i]) */
static void unary_backward(const struct hn_call *c)
{
    const struct hn_unary *u = c->op->attrs;
    enum source s = source_of(u);
    const double *v = s == BY_Y ? c->y[0] : s == BY_X ? c->x[0] : c->dy[0], *dy = c->dy[0];
    double (*slope)(double, double, double) = kinds[u->kind].slope;
    if (s == BY_X && kinds[u->kind].slope_x) slope = kinds[u->kind].slope_x;
    double *dx = c->dx[0];
    int64_t n = dx ? hn_extent_numel(&c->xs[0]) : 0;
    for (int64_t i = 0; i < n; i++)
        dx[i] = (hn_adds(c, 0) ? dx[i] : 0) + dy[i] * slope(v[i], u->a, u->b);
}

#define CASE(label, k, a, b, v)                                                                    \
    {                                                                                              \
        label, &(const struct hn_unary){ k, a, b }, 1, { HN_S2(HN_ROWS, HN_D(19)) }, { HN_ACT },   \
            { v }, 1                                                                               \
    }
static const struct hn_sample samples[] = {
    CASE("copy", HN_U_COPY, 0, 0, 0),
    CASE("relu", HN_U_RELU, 0, 0, 0),
    CASE("leaky relu", HN_U_LEAKY_RELU, 0.01, 0, 0),
    CASE("leaky relu, alpha above 1", HN_U_LEAKY_RELU, 1.5, 0, 0),
    CASE("leaky relu, negative alpha", HN_U_LEAKY_RELU, -0.3, 0, 0),
    CASE("leaky relu, alpha 0", HN_U_LEAKY_RELU, 0, 0, 0),
    CASE("elu", HN_U_ELU, 1, 0, 0),
    CASE("elu, alpha 0.3", HN_U_ELU, 0.3, 0, 0),
    CASE("elu, negative alpha", HN_U_ELU, -0.5, 0, 0),
    CASE("selu", HN_U_SELU, 1.67326319217681884765625, 1.05070102214813232421875, 0),
    CASE("selu, negative gamma", HN_U_SELU, 1.5, -2, 0),
    CASE("sigmoid", HN_U_SIGMOID, 0, 0, 0),
    CASE("tanh", HN_U_TANH, 0, 0, 0),
    CASE("softplus", HN_U_SOFTPLUS, 0, 0, 0),
    CASE("gelu", HN_U_GELU, 0, 0, 0),
    CASE("gelu, tanh form", HN_U_GELU_TANH, 0, 0, 0),
    CASE("erf", HN_U_ERF, 0, 0, 0),
    CASE("clip", HN_U_CLIP, -0.5, 0.7, 0),
    CASE("clip, relu6", HN_U_CLIP, 0, 6, 0),
    CASE("clip, low only", HN_U_CLIP, -0.25, (double)INFINITY, 0),
    CASE("clip, high only", HN_U_CLIP, -(double)INFINITY, 0.25, 0),
    CASE("clip, low above high", HN_U_CLIP, 0.5, -0.5, 0),
    CASE("neg", HN_U_NEG, 0, 0, 0),
    CASE("abs", HN_U_ABS, 0, 0, 0),
    CASE("exp", HN_U_EXP, 0, 0, 0),
    CASE("log", HN_U_LOG, 0, 0, 1),
    CASE("sqrt", HN_U_SQRT, 0, 0, 1),
    CASE("reciprocal", HN_U_RECIPROCAL, 0, 0, 1),
    CASE("silu", HN_U_SILU, 0, 0, 0),
    CASE("affine", HN_U_AFFINE, -2.5, 0.75, 0),
    CASE("celu", HN_U_CELU, 1, 0, 0),
    CASE("celu, alpha 2", HN_U_CELU, 2, 0, 0),
    CASE("celu, negative alpha", HN_U_CELU, -2, 0, 0),
    CASE("hard sigmoid", HN_U_HARD_SIGMOID, 0.2, 0.5, 0),
    CASE("hard sigmoid, steep", HN_U_HARD_SIGMOID, -1.3, 0.4, 0),
    CASE("hard swish", HN_U_HARD_SWISH, 0, 0, 0),
    CASE("mish", HN_U_MISH, 0, 0, 0),
    CASE("softsign", HN_U_SOFTSIGN, 0, 0, 0),
    CASE("thresholded relu", HN_U_THRESHOLDED_RELU, 1, 0, 0),
    CASE("thresholded relu, negative threshold", HN_U_THRESHOLDED_RELU, -0.5, 0, 0),
    CASE("trunc", HN_U_TRUNC, 0, 0, 0),
    CASE("sin", HN_U_SIN, 0, 0, 0),
    CASE("cos", HN_U_COS, 0, 0, 0),
    CASE("sign", HN_U_SIGN, 0, 0, 0),
    CASE("floor", HN_U_FLOOR, 0, 0, 0),
    CASE("ceil", HN_U_CEIL, 0, 0, 0),
    CASE("round", HN_U_ROUND, 0, 0, 0),
    CASE("tan", HN_U_TAN, 0, 0, 3),
    CASE("asin", HN_U_ASIN, 0, 0, 3),
    CASE("acos", HN_U_ACOS, 0, 0, 3),
    CASE("atan", HN_U_ATAN, 0, 0, 0),
    CASE("sinh", HN_U_SINH, 0, 0, 0),
    CASE("cosh", HN_U_COSH, 0, 0, 0),
    CASE("asinh", HN_U_ASINH, 0, 0, 0),
    CASE("atanh", HN_U_ATANH, 0, 0, 3),
    { "relu, rank 0",
      &(const struct hn_unary){ HN_U_RELU, 0, 0 },
      1,
      { HN_S0 },
      { HN_ACT },
      { 0 },
      1 },
    { "tanh, rank 1",
      &(const struct hn_unary){ HN_U_TANH, 0, 0 },
      1,
      { HN_S1(HN_ROWS) },
      { HN_ACT },
      { 0 },
      1 },
    { "relu, rank 4",
      &(const struct hn_unary){ HN_U_RELU, 0, 0 },
      1,
      { HN_S4(HN_ROWS, HN_D(2), HN_D(3), HN_D(5)) },
      { HN_ACT },
      { 0 },
      1 },
    { "sigmoid of a parameter",
      &(const struct hn_unary){ HN_U_SIGMOID, 0, 0 },
      1,
      { HN_S2(HN_D(3), HN_D(5)) },
      { HN_PARAM },
      { 0 },
      1 },
    { 0 },
};
#undef CASE

const struct hn_op_row hn_op_unary = {
    .name = "unary",
    .flags = HN_OP_INPLACE | HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_unary),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = unary_shape,
    .need = unary_need,
    .forward = unary_forward,
    .backward = unary_backward,
    .samples = samples,
    .tolerance = 1e-5,
};
