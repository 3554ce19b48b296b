/* SPDX-License-Identifier: MIT
 *
 * Binary: y = a op b with numpy broadcasting both ways. Gradients of a broadcast operand are summed over the broadcast
 * dims. max and min split the gradient of a tie evenly, as PyTorch does. pow: the gradient of the exponent is 0 where
 * the base is 0 and the exponent is not negative, and both are 0 where the power is NaN, so that a NaN that is replaced
 * behind it leaves nothing. Comparisons give 1 or 0 and have slope 0; keep is a where b is not 0, else 0:
 * what is not kept has no gradient, and neither has b. */
#include "ops/math/row.h"
#include <math.h>

static double value(enum hn_binary_kind kind, double a, double b)
{
    switch (kind) {
    case HN_B_ADD: return a + b;
    case HN_B_SUB: return a - b;
    case HN_B_MUL: return a * b;
    case HN_B_DIV: return a / b;
    case HN_B_MAX: return a > b || isnan(a) ? a : b;
    case HN_B_MIN: return a < b || isnan(a) ? a : b;
    case HN_B_POW: return pow(a, b);
    case HN_B_GREATER: return a > b;
    case HN_B_NOT_LESS: return a >= b;
    case HN_B_EQUAL: return a == b;
    case HN_B_KEEP: return b != 0 ? a : 0;
    case HN_B_COUNT: break;
    }
    return (double)NAN;
}

static double slope_a(enum hn_binary_kind kind, double a, double b)
{
    switch (kind) {
    case HN_B_ADD:
    case HN_B_SUB: return 1;
    case HN_B_MUL: return b;
    case HN_B_DIV: return 1 / b;
    case HN_B_MAX: return a == b ? 0.5 : a > b || isnan(a) ? 1 : 0;
    case HN_B_MIN: return a == b ? 0.5 : a < b || isnan(a) ? 1 : 0;
    case HN_B_POW: return b == 0 || isnan(pow(a, b - 1)) ? 0 : b * pow(a, b - 1);
    case HN_B_GREATER:
    case HN_B_NOT_LESS:
    case HN_B_EQUAL: return 0;
    case HN_B_KEEP: return b != 0;
    case HN_B_COUNT: break;
    }
    return (double)NAN;
}

static double slope_b(enum hn_binary_kind kind, double a, double b)
{
    switch (kind) {
    case HN_B_ADD: return 1;
    case HN_B_SUB: return -1;
    case HN_B_MUL: return a;
    case HN_B_DIV: return -a / (b * b);
    case HN_B_MAX: return a == b ? 0.5 : a > b || isnan(a) ? 0 : 1;
    case HN_B_MIN: return a == b ? 0.5 : a < b || isnan(a) ? 0 : 1;
    case HN_B_POW: return (a == 0 && b >= 0) || isnan(pow(a, b)) ? 0 : pow(a, b) * log(a);
    case HN_B_GREATER:
    case HN_B_NOT_LESS:
    case HN_B_EQUAL:
    case HN_B_KEEP: return 0;
    case HN_B_COUNT: break;
    }
    return (double)NAN;
}

static hone_status binary_shape(const struct hn_op *op, const struct hn_shape *xs,
                                struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_binary *b = op->attrs;
    if ((unsigned)b->kind >= HN_B_COUNT)
        return hn_fail(err, HONE_E_INTERNAL, where, "Binary: kind %d is unknown", (int)b->kind);
    return hn_shape_broadcast(&xs[0], &xs[1], &ys[0], where, err);
}

static void binary_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)xs;
    const struct hn_binary *b = op->attrs;
    switch (b->kind) {
    case HN_B_ADD:
    case HN_B_SUB:
    case HN_B_GREATER:
    case HN_B_NOT_LESS:
    case HN_B_EQUAL: break;
    case HN_B_KEEP: need->x = 2; break;
    default: need->x = 1 | 2;
    }
}

static void binary_forward(const struct hn_call *c)
{
    const struct hn_binary *k = c->op->attrs;
    const double *a = c->x[0], *b = c->x[1];
    double *y = c->y[0];
    int64_t n = hn_extent_numel(&c->ys[0]);
    for (int64_t i = 0; i < n; i++)
        y[i] = value(k->kind, a[hn_broadcast_at(&c->ys[0], &c->xs[0], i)],
                     b[hn_broadcast_at(&c->ys[0], &c->xs[1], i)]);
}

/* da += sum over a's broadcast dims of dy * dy/da, db likewise. An operand of y's size is written element by element:
 * da may lie where dy lies. */
static void backward_to(const struct hn_call *c, int which)
{
    const struct hn_binary *k = c->op->attrs;
    const double *a = c->x[0], *b = c->x[1], *dy = c->dy[0];
    int64_t n = hn_extent_numel(&c->ys[0]);
    int same = hn_extent_numel(&c->xs[which]) == n, keep = !same || hn_adds(c, which);
    double *d = same ? c->dx[which] : hn_grad(c, which);
    for (int64_t i = 0; d && i < n; i++) {
        double va = a ? a[hn_broadcast_at(&c->ys[0], &c->xs[0], i)] : 0;
        double vb = b ? b[hn_broadcast_at(&c->ys[0], &c->xs[1], i)] : 0;
        double g = dy[i] * (which == 0 ? slope_a(k->kind, va, vb) : slope_b(k->kind, va, vb));
        int64_t at = hn_broadcast_at(&c->ys[0], &c->xs[which], i);
        d[at] = (keep ? d[at] : 0) + g;
    }
}

static void binary_backward(const struct hn_call *c)
{
    backward_to(c, 0);
    backward_to(c, 1);
}

static const struct hn_binary add = { HN_B_ADD }, sub = { HN_B_SUB }, mul = { HN_B_MUL },
                              divide = { HN_B_DIV }, max = { HN_B_MAX }, min = { HN_B_MIN },
                              power = { HN_B_POW }, greater = { HN_B_GREATER },
                              not_less = { HN_B_NOT_LESS }, equal = { HN_B_EQUAL },
                              keep = { HN_B_KEEP };
#define CASE(label, attrs, a, b, ka, kb, v)                                                        \
    {                                                                                              \
        label, attrs, 2, { a, b }, { ka, kb }, { v, v }, 1                                         \
    }
#define KEPT(label, a, b)                                                                          \
    {                                                                                              \
        label, &keep, 2, { a, b }, { HN_ACT, HN_INPUT }, { 0, 4 }, 1                               \
    }
#define FULL HN_S2(HN_ROWS, HN_D(7))
#define WIDE HN_S3(HN_ROWS, HN_D(3), HN_D(4))
#define EACH(name, attrs, v)                                                                       \
    CASE(name, attrs, FULL, FULL, HN_ACT, HN_ACT, v),                                              \
        CASE(name ", row vector right", attrs, FULL, HN_S1(HN_D(7)), HN_ACT, HN_PARAM, v),         \
        CASE(name ", row vector left", attrs, HN_S2(HN_D(1), HN_D(7)), FULL, HN_PARAM, HN_ACT, v), \
        CASE(name ", scalar right", attrs, FULL, HN_S0, HN_ACT, HN_PARAM, v),                      \
        CASE(name ", scalar left", attrs, HN_S1(HN_D(1)), FULL, HN_CONST, HN_ACT, v),              \
        CASE(name ", column right", attrs, FULL, HN_S2(HN_ROWS, HN_D(1)), HN_ACT, HN_ACT, v),      \
        CASE(name ", both ways", attrs, HN_S3(HN_ROWS, HN_D(3), HN_D(1)), HN_S2(HN_D(1), HN_D(4)), \
             HN_ACT, HN_PARAM, v),                                                                 \
        CASE(name ", middle", attrs, WIDE, HN_S2(HN_D(3), HN_D(1)), HN_ACT, HN_PARAM, v)
static const struct hn_sample samples[] = {
    EACH("add", &add, 0),
    EACH("sub", &sub, 0),
    EACH("mul", &mul, 0),
    EACH("div", &divide, 1),
    EACH("max", &max, 0),
    EACH("min", &min, 0),
    EACH("pow", &power, 1),
    EACH("greater", &greater, 0),
    EACH("not less", &not_less, 0),
    EACH("equal", &equal, 0),
    EACH("keep", &keep, 0),
    KEPT("keep, some", FULL, FULL),
    KEPT("keep, some columns", FULL, HN_S1(HN_D(7))),
    KEPT("keep, some rows of a vector", HN_S1(HN_D(7)), HN_S2(HN_ROWS, HN_D(1))),
    KEPT("keep, some of rank 3", WIDE, HN_S2(HN_D(3), HN_D(1))),
    CASE("add, outer", &add, HN_S2(HN_ROWS, HN_D(1)), HN_S1(HN_D(5)), HN_ACT, HN_ACT, 0),
    CASE("mul, rank 4", &mul, HN_S4(HN_ROWS, HN_D(2), HN_D(1), HN_D(3)),
         HN_S3(HN_D(2), HN_D(5), HN_D(1)), HN_ACT, HN_PARAM, 0),
    CASE("add, rank 1", &add, HN_S1(HN_ROWS), HN_S1(HN_ROWS), HN_ACT, HN_ACT, 0),
    CASE("add, two scalars", &add, HN_S0, HN_S0, HN_PARAM, HN_PARAM, 0),
    CASE("sub, of an input", &sub, FULL, HN_S2(HN_D(1), HN_D(7)), HN_INPUT, HN_CONST, 0),
    { 0 },
};
#undef EACH
#undef CASE
#undef KEPT
#undef FULL
#undef WIDE

const struct hn_op_row hn_op_binary = {
    .name = "binary",
    .flags = HN_OP_INPLACE | HN_OP_ROW_LOCAL,
    .attrs_size = sizeof(struct hn_binary),
    .in_min = 2,
    .in_max = 2,
    .out_max = 1,
    .shape = binary_shape,
    .need = binary_need,
    .forward = binary_forward,
    .backward = binary_backward,
    .samples = samples,
    .tolerance = 2e-5,
};
