/* SPDX-License-Identifier: MIT
 *
 * Quantize: x in whole steps of a scale, at the nearest end where it is beyond a type's range ("fake quantisation").
 *
 *     t = round(x / scale), to even, then into [low - zero, high - zero]      y = t * scale, or t + zero (attrs.whole)
 *
 * in float32 in every backend, as ONNX Runtime rounds. The function is a staircase, whose derivative is 0 or does not exist. Its
 * backward is a definition, the straight-through estimator, and PyTorch's fake_quantize_per_tensor_affine and per_channel_affine
 * have the same: the gradient passes as if there were no rounding where round(x / scale) + zero lies in [low, high], and is 0
 * elsewhere. Scales and zeros are constants. Example: scale 0.5, zero 1, uint8: x = 1.3 gives 1.5 and passes, -0.8 gives -0.5 and 0. */
#include "ops/base/quant.h"
#include "ops/math/row.h"

static hone_status quantize_shape(const struct hn_op *op, const struct hn_shape *xs,
                                  struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_quantize *a = op->attrs;
    const struct hn_dim scales = hn_shape_count(&xs[1]);
    ys[0] = xs[0];
    if (scales.per_row == 0 && scales.fixed == 1) return HONE_OK;
    if (a->axis < 0 || a->axis >= xs[0].rank || !hn_same_dim(scales, xs[0].d[a->axis]) ||
        scales.per_row)
        return hn_fail(
            err, HONE_E_MODEL, where, "Quantize: %lld scales do not go by dimension %d of %s",
            (long long)scales.fixed, a->axis, hn_shape_text(&xs[0], (char[160]){ 0 }, 160));
    if (hn_has(op, 2) && !hn_same_dim(hn_shape_count(&xs[2]), scales))
        return hn_fail(err, HONE_E_MODEL, where, "Quantize: not as many zero points as scales");
    return HONE_OK;
}

static void quantize_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->x = 7;
}

/* Element by element: which scale and ends are its. */
struct walk {
    const double *scale, *zero;
    int64_t n_scales, n_zeros, inner;
    double low, high;
};

static struct walk begin(const struct hn_call *c)
{
    const struct hn_quantize *a = c->op->attrs;
    const int zeros = hn_has(c->op, 2);
    const int64_t n = hn_extent_numel(&c->xs[1]);
    return (struct walk){ c->x[1],
                          zeros ? c->x[2] : NULL,
                          n,
                          zeros ? hn_extent_numel(&c->xs[2]) : 0,
                          n == 1 ? 1 : hn_span(&c->xs[0], a->axis + 1, c->xs[0].rank),
                          a->low,
                          a->high };
}

static float scale_at(const struct walk *w, int64_t i, double *zero)
{
    const int64_t k = w->n_scales == 1 ? 0 : i / w->inner % w->n_scales;
    *zero = w->zero ? w->zero[w->n_zeros == 1 ? 0 : k] : 0;
    return (float)w->scale[k];
}

static void quantize_forward(const struct hn_call *c)
{
    const struct hn_quantize *a = c->op->attrs;
    const struct walk w = begin(c);
    const double *x = c->x[0];
    double *y = c->y[0], zero;
    const int64_t n = hn_extent_numel(&c->ys[0]);
    for (int64_t i = 0; i < n; i++) {
        const float s = scale_at(&w, i, &zero);
        const float t =
            hn_quant_steps((float)x[i], s, (float)(w.low - zero), (float)(w.high - zero));
        y[i] = a->whole ? (double)t + zero : (double)(t * s);
    }
}

/* dx[i] += dy[i] where x[i] is inside, divided by the scale where the forward pass left whole numbers. */
static void quantize_backward(const struct hn_call *c)
{
    const struct hn_quantize *a = c->op->attrs;
    const struct walk w = begin(c);
    const double *x = c->x[0], *dy = c->dy[0];
    double *dx = c->dx[0], zero;
    const int64_t n = dx ? hn_extent_numel(&c->xs[0]) : 0;
    for (int64_t i = 0; i < n; i++) {
        const float s = scale_at(&w, i, &zero);
        const int inside =
            hn_quant_inside((float)x[i], s, (float)(w.low - zero), (float)(w.high - zero));
        const double g = !inside ? 0 : a->whole ? dy[i] / (double)s : dy[i];
        dx[i] = (hn_adds(c, 0) ? dx[i] : 0) + g;
    }
}

#define CASE(label, axis, low, high, whole, n, x, scales)                                          \
    {                                                                                              \
        label, &(const struct hn_quantize){ low, high, axis, whole }, n, { x, scales, scales },    \
            { HN_ACT, HN_CONST, HN_CONST }, { 0, 1, 4 }, 1                                         \
    }
#define X  HN_S2(HN_ROWS, HN_D(19))
#define X3 HN_S3(HN_ROWS, HN_D(3), HN_D(5))
static const struct hn_sample samples[] = {
    CASE("int8, one scale", 0, -128, 127, 0, 2, X, HN_S0),
    CASE("uint8, one scale and zero", 0, 0, 255, 0, 3, X, HN_S1(HN_D(1))),
    CASE("uint8, whole numbers", 0, 0, 255, 1, 3, X, HN_S0),
    CASE("short, a scale and zero a column", 1, -2, 1, 0, 3, X, HN_S1(HN_D(19))),
    CASE("short, whole numbers, a scale a column", 1, -1, 2, 1, 2, X, HN_S1(HN_D(19))),
    CASE("int8, scales by the middle dim", 1, -128, 127, 0, 3, X3, HN_S1(HN_D(3))),
    { "int8, a parameter, scales by its first dim",
      &(const struct hn_quantize){ -128, 127, 0, 0 },
      3,
      { HN_S2(HN_D(3), HN_D(17)), HN_S1(HN_D(3)), HN_S1(HN_D(3)) },
      { HN_PARAM, HN_CONST, HN_CONST },
      { 0, 1, 4 },
      1 },
    { 0 },
};
#undef CASE
#undef X
#undef X3

const struct hn_op_row hn_op_quantize = {
    .name = "quantize",
    .flags = HN_OP_INPLACE | HN_OP_ROW_LOCAL | HN_OP_STRAIGHT,
    .attrs_size = sizeof(struct hn_quantize),
    .in_min = 2,
    .in_max = 3,
    .out_max = 1,
    .shape = quantize_shape,
    .need = quantize_need,
    .forward = quantize_forward,
    .backward = quantize_backward,
    .samples = samples,
    .tolerance = 1e-6,
};
