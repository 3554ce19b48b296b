/* SPDX-License-Identifier: MIT
 *
 * Custom: an element-wise function that is not Hone's own (a plug-in's): y[i] = f(x[i]), dx[i] = dy[i] f'(x[i]). It writes
 * where it is told and adds nowhere; adding happens here, a piece at a time. */
#include "ops/math/row.h"

enum { PIECE = 256 };

static hone_status custom_shape(const struct hn_op *op, const struct hn_shape *xs,
                                struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_custom *c = op->attrs;
    if (!c->f || !c->f->forward64 || !c->f->backward64)
        return hn_fail(err, HONE_E_INTERNAL, where, "a custom operator without functions");
    ys[0] = xs[0];
    return HONE_OK;
}

static void custom_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->x = 1;
}

static void custom_forward(const struct hn_call *c)
{
    const struct hn_custom *u = c->op->attrs;
    u->f->forward64(u->a, (size_t)hn_extent_numel(&c->xs[0]), c->x[0], c->y[0]);
}

static void custom_backward(const struct hn_call *c)
{
    const struct hn_custom *u = c->op->attrs;
    const double *x = c->x[0], *dy = c->dy[0];
    double *dx = c->dx[0], piece[PIECE];
    size_t n = (size_t)hn_extent_numel(&c->xs[0]);
    if (!dx) return;
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < PIECE ? n - at : PIECE;
        for (size_t i = 0; i < k; i++) piece[i] = 0;
        if (dy) u->f->backward64(u->a, k, x + at, dy + at, piece);
        for (size_t i = 0; i < k; i++) dx[at + i] = (c->acc & 1 ? dx[at + i] : 0) + piece[i];
    }
}

/* The samples' function: a x^2 + b x, in double alone and in both types. */
static void square64(const double *a, size_t n, const double *x, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (a[0] * x[i] + a[1]) * x[i];
}
static void square_slope64(const double *a, size_t n, const double *x, const double *dy, double *dx)
{
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * (2 * a[0] * x[i] + a[1]);
}
static void square32(const double *a, size_t n, const float *x, float *y)
{
    const float s = (float)a[0], t = (float)a[1];
    for (size_t i = 0; i < n; i++) y[i] = (s * x[i] + t) * x[i];
}
static void square_slope32(const double *a, size_t n, const float *x, const float *dy, float *dx)
{
    const float s = (float)a[0], t = (float)a[1];
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * (2 * s * x[i] + t);
}
static const struct hn_elementwise in_double = { square64, square_slope64, NULL, NULL };
static const struct hn_elementwise in_both = { square64, square_slope64, square32, square_slope32 };

static const struct hn_sample samples[] = {
    { "in double",
      &(const struct hn_custom){ &in_double, { 0.5, -1.5 } },
      1,
      { HN_S2(HN_ROWS, HN_D(300)) },
      { HN_ACT },
      { 0 },
      1 },
    { "in both types",
      &(const struct hn_custom){ &in_both, { -0.75, 2 } },
      1,
      { HN_S2(HN_ROWS, HN_D(5)) },
      { HN_ACT },
      { 0 },
      1 },
    { "rank 1",
      &(const struct hn_custom){ &in_both, { 1, 0 } },
      1,
      { HN_S1(HN_ROWS) },
      { HN_ACT },
      { 0 },
      1 },
    { "of a parameter",
      &(const struct hn_custom){ &in_double, { 0.25, 1 } },
      1,
      { HN_S2(HN_D(3), HN_D(5)) },
      { HN_PARAM },
      { 0 },
      1 },
    { 0 },
};

const struct hn_op_row hn_op_custom = {
    .name = "custom",
    .flags = HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_custom),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = custom_shape,
    .need = custom_need,
    .forward = custom_forward,
    .backward = custom_backward,
    .samples = samples,
    .tolerance = 1e-5,
};
