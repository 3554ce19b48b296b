/* SPDX-License-Identifier: MIT
 *
 * Values of the program ops: recorded from PyTorch (kinks and ties included) or worked out by hand; the shapes they
 * refuse, and what they say then. */
#include "ops/math/op.h"
#include "tests/harness.h"
#include <math.h>

enum { MAX = 64, POINTS = 14 };
struct unary_ref {
    enum hn_unary_kind kind;
    double a, b, y[POINTS], slope[POINTS];
};
struct loss_ref {
    const struct hn_op_row *row;
    struct hn_loss attrs;
    int target_rank;
    double loss, p[12], t[12], dp[12];
};
struct batchnorm_ref {
    double x[6], dy[6], y[6], dx[6], dscale[2], dbias[2], mean[2], var[2];
};
struct quantize_ref {
    struct hn_quantize attrs;
    int n_scales;
    double scale[4], zero[4], y[16], dx[16];
};
#include "tests/data/value_refs.h"
enum {
    N_QUANTIZE = sizeof quantize_refs / sizeof *quantize_refs,
    N_UNARY = sizeof unary_refs / sizeof *unary_refs,
    N_LOSS = sizeof loss_refs / sizeof *loss_refs
};

/* ---- one op on plain arrays -------------------------------------------------------------------------------------- */

struct one {
    struct hn_op op;
    struct hn_shape xshape[6], yshape[3];
    struct hn_extent xs[6], ys[3];
    double x[6][MAX], y[3][MAX], dx[6][MAX], dy[3][MAX], save[4][MAX], loss[2];
    void *px[6], *py[3], *pdx[6], *pdy[3], *psave[4];
    struct hn_call call;
};
static const int32_t numbers[] = { 0, 1, 2, 3, 4, 5 };

static struct hn_shape shape(int rank, int a, int b, int c)
{
    return (struct hn_shape){ rank, { { 0, a }, { 0, b }, { 0, c } } };
}

static void start(struct one *o, const struct hn_op_row *row, const void *attrs, int n_in,
                  int n_out)
{
    memset(o, 0, sizeof *o);
    o->op = (struct hn_op){ row, attrs, n_in, n_out, numbers, numbers, "n", 0 };
}

static void input(struct one *o, int i, struct hn_shape s, const double *v)
{
    o->xshape[i] = s;
    hn_extent_of(&s, 1, &o->xs[i]);
    if (v) memcpy(o->x[i], v, sizeof *v * (size_t)hn_extent_numel(&o->xs[i]));
}

static void go(struct one *o, int train)
{
    hone_error err = { 0 };
    HN_OK(o->op.row->shape(&o->op, o->xshape, o->yshape, "n", &err), err);
    for (int i = 0; i < 6; i++) o->px[i] = o->x[i], o->pdx[i] = o->dx[i];
    for (int i = 0; i < 3; i++) o->py[i] = o->y[i], o->pdy[i] = o->dy[i];
    for (int i = 0; i < 4; i++) o->psave[i] = o->save[i];
    for (int i = 0; i < o->op.n_out; i++) hn_extent_of(&o->yshape[i], 1, &o->ys[i]);
    static const uint32_t key[2] = { 1, 2 };
    o->call = (struct hn_call){ .op = &o->op,
                                .xs = o->xs,
                                .ys = o->ys,
                                .x = o->px,
                                .y = o->py,
                                .dx = o->pdx,
                                .dy = o->pdy,
                                .save = o->psave,
                                .rows = 1,
                                .train = (uint8_t)train,
                                .key = key,
                                .loss = o->loss };
    o->op.row->forward(&o->call);
}

static void close_to(const char *what, const double *got, const double *want, int n,
                     double tolerance)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(got[i] == want[i] ||
                          fabs(got[i] - want[i]) <= tolerance * fmax(1, fabs(want[i])),
                      "%s: element %d is %.17g, wanted %.17g", what, i, got[i], want[i]);
}
static void equal(const char *what, const double *got, const double *want, int n)
{
    close_to(what, got, want, n, 1e-13);
}

/* ---- against PyTorch ----------------------------------------------------------------------------------------------- */

START_TEST(activations_are_pytorchs)
{
    const struct unary_ref *r = &unary_refs[_i];
    struct hn_unary a = { r->kind, r->a, r->b };
    char label[64];
    static struct one o;
    start(&o, &hn_op_unary, &a, 1, 1);
    input(&o, 0, shape(1, POINTS, 0, 0), unary_points);
    go(&o, 1);
    snprintf(label, sizeof label, "unary kind %d", (int)r->kind);
    equal(label, o.y[0], r->y, POINTS);
    for (int i = 0; i < POINTS; i++) o.dy[0][i] = 1;
    hn_op_unary.backward(&o.call);
    /* PyTorch's hard sigmoid has a sixth in float */
    close_to(label, o.dx[0], r->slope, POINTS, r->kind == HN_U_HARD_SIGMOID ? 1e-8 : 1e-13);
}
END_TEST

START_TEST(losses_are_pytorchs)
{
    const struct loss_ref *r = &loss_refs[_i];
    static struct one o;
    start(&o, r->row, &r->attrs, 2, 0);
    input(&o, 0, shape(2, 4, 3, 0), r->p);
    input(&o, 1, r->target_rank == 1 ? shape(1, 4, 0, 0) : shape(2, 4, 3, 0), r->t);
    go(&o, 1);
    ck_assert_double_eq(o.loss[1], 4);
    double loss = o.loss[0] / o.loss[1];
    equal(r->row->name, &loss, &r->loss, 1);
    r->row->backward(&o.call);
    /* PyTorch's bound of p (1 - p) is 1e-12 in float */
    close_to(r->row->name, o.dx[0], r->dp, 12,
             r->row == &hn_op_loss_bce && !r->attrs.from_logits ? 1e-8 : 1e-13);
}
END_TEST

/* The rounding, and the gradient that is its definition. */
START_TEST(fake_quantisation_is_pytorchs)
{
    const struct quantize_ref *r = &quantize_refs[_i];
    static struct one o;
    start(&o, &hn_op_quantize, &r->attrs, 3, 1);
    input(&o, 0, shape(2, 4, 4, 0), quantize_points);
    input(&o, 1, shape(r->n_scales > 1, r->n_scales, 0, 0), r->scale);
    input(&o, 2, shape(r->n_scales > 1, r->n_scales, 0, 0), r->zero);
    go(&o, 1);
    close_to("quantize", o.y[0], r->y, 16, 0);
    memcpy(o.dy[0], quantize_dy, sizeof quantize_dy);
    hn_op_quantize.backward(&o.call);
    close_to("quantize", o.dx[0], r->dx, 16, 0);
}
END_TEST

START_TEST(whole_numbers_by_hand)
{
    static const double x[5] = { -0.8, 0.25, 1.3, 200, (double)NAN }, scale = 0.5, zero = 1;
    static const struct hn_quantize a = { 0, 255, 0, 1 };
    static struct one o;
    start(&o, &hn_op_quantize, &a, 3, 1);
    input(&o, 0, shape(1, 5, 0, 0), x);
    input(&o, 1, shape(0, 0, 0, 0), &scale);
    input(&o, 2, shape(0, 0, 0, 0), &zero);
    go(&o, 1);
    close_to("whole", o.y[0], (const double[]){ 0, 1, 4, 255 }, 4, 0);
    ck_assert(isnan(o.y[0][4]));
    for (int i = 0; i < 5; i++) o.dy[0][i] = i + 1;
    hn_op_quantize.backward(&o.call);
    close_to("whole", o.dx[0], (const double[]){ 0, 4, 6, 0 }, 4, 0);
}
END_TEST

START_TEST(batchnorm_is_pytorchs)
{
    static struct one o;
    const struct batchnorm_ref *r = &batchnorm_ref;
    const struct hn_batchnorm a = { 1e-5, 0.7, 0,
                                    0 }; /* ONNX's momentum is the weight of the old value */
    start(&o, &hn_op_batchnorm, &a, 5, 3);
    input(&o, 0, shape(2, 3, 2, 0), r->x);
    input(&o, 1, shape(1, 2, 0, 0), (const double[]){ 1.5, -0.5 });
    input(&o, 2, shape(1, 2, 0, 0), (const double[]){ 0.25, 2 });
    input(&o, 3, shape(1, 2, 0, 0), (const double[]){ 0.1, 0.2 });
    input(&o, 4, shape(1, 2, 0, 0), (const double[]){ 2, 3 });
    go(&o, 1);
    equal("y", o.y[0], r->y, 6);
    equal("running mean, as an output", o.y[1], r->mean, 2);
    equal("running variance, as an output", o.y[2], r->var, 2);
    ck_assert_double_eq(o.x[3][0], 0.1); /* not asked to update */
    memcpy(o.dy[0], r->dy, sizeof r->dy);
    o.pdy[1] = o.pdy[2] = NULL;
    hn_op_batchnorm.backward(&o.call);
    equal("dx", o.dx[0], r->dx, 6);
    equal("dscale", o.dx[1], r->dscale, 2);
    equal("dbias", o.dx[2], r->dbias, 2);
    o.call.update_state = 1;
    hn_op_batchnorm.forward(&o.call);
    equal("running mean", o.x[3], r->mean, 2);
    equal("running variance", o.x[4], r->var, 2);
}
END_TEST

/* ---- by hand ------------------------------------------------------------------------------------------------------- */

START_TEST(batchnorm_of_one_row)
{
    static struct one o;
    const struct hn_batchnorm a = { 0, 0.5, 0, 0 }, population = { 1, 0.75, 0, 1 },
                              frozen = { 0, 0.5, 1, 0 };
    const double x[2] = { 4, 8 };
    const struct hn_batchnorm *const each[] = { &a, &population, &frozen };
    for (int i = 0; i < 3; i++) {
        start(&o, &hn_op_batchnorm, each[i], 5, 1);
        input(&o, 0, i == 1 ? shape(1, 2, 0, 0) : shape(1, 1, 0, 0), x); /* rank 1: one channel */
        for (int k = 1; k < 5; k++) input(&o, k, shape(1, 1, 0, 0), (const double[]){ k });
        o.x[0][0] = 4;
        if (i == 0) {
            go(&o, 0);
            ck_assert_double_eq(o.y[0][0],
                                1 * (4 - 3) / 2.0 + 2); /* inference: the running values */
        }
        go(&o, 1);
        o.call.update_state = 1;
        o.op.row->forward(&o.call);
        if (i == 0) ck_assert_double_eq(o.x[3][0], 3.5); /* 0.5 * 3 + 0.5 * 4 */
        if (i == 0) ck_assert_double_eq(o.x[4][0], 4);   /* one value says nothing of it */
        if (i == 1)
            ck_assert_double_eq(o.x[4][0], 0.75 * 4 + 0.25 * 4); /* variance of 4 and 8 is 4 */
        if (i == 2) ck_assert_double_eq(o.x[3][0], 3);           /* frozen: nothing moves */
    }
}
END_TEST

START_TEST(dense_by_hand)
{
    static struct one o;
    const struct hn_dense a = { 2, 3, 0 }, t = { 1, 1, 1 };
    const double x[] = { 1, 2, 3, 4 }, w[] = { 1, 0, -1, 2, 1, 0 }, b[] = { 1, 2, 3 };
    start(&o, &hn_op_dense, &a, 3, 1);
    input(&o, 0, shape(2, 2, 2, 0), x);
    input(&o, 1, shape(2, 2, 3, 0), w);
    input(&o, 2, shape(2, 1, 3, 0), b);
    go(&o, 1);
    equal("dense", o.y[0], (const double[]){ 13, 10, 7, 25, 14, 3 }, 6);
    start(&o, &hn_op_dense, &t, 2, 1);
    input(&o, 0, shape(2, 2, 2, 0), x);
    input(&o, 1, shape(2, 3, 2, 0), w);
    go(&o, 1);
    equal("dense, transposed", o.y[0], (const double[]){ 1, 3, 1, 3, 5, 3 }, 6);
}
END_TEST

START_TEST(binary_ties_and_powers)
{
    static struct one o;
    const struct hn_binary max = { HN_B_MAX }, min = { HN_B_MIN }, power = { HN_B_POW },
                           sub = { HN_B_SUB };
    const double a[] = { 1, 2, 0 }, b[] = { 1, 3, 2 };
    const struct {
        const struct hn_binary *k;
        double y[3], da[3], db[3];
    } want[] = {
        { &max, { 1, 3, 2 }, { 0.5, 0, 0 }, { 0.5, 1, 1 } },
        { &min, { 1, 2, 0 }, { 0.5, 1, 1 }, { 0.5, 0, 0 } },
        { &power, { 1, 8, 0 }, { 1, 12, 0 }, { 0, 5.5451774444795623, 0 } },
        { &sub, { 0, -1, -2 }, { 1, 1, 1 }, { -1, -1, -1 } },
    };
    for (int i = 0; i < 4; i++) {
        start(&o, &hn_op_binary, want[i].k, 2, 1);
        input(&o, 0, shape(1, 3, 0, 0), a);
        input(&o, 1, shape(1, 3, 0, 0), b);
        go(&o, 1);
        equal("binary", o.y[0], want[i].y, 3);
        for (int k = 0; k < 3; k++) o.dy[0][k] = 1;
        hn_op_binary.backward(&o.call);
        equal("da", o.dx[0], want[i].da, 3);
        equal("db", o.dx[1], want[i].db, 3);
    }
}
END_TEST

/* Where the power is NaN, and may be replaced behind it, it has no slope: 0 times NaN is NaN. */
START_TEST(powers_that_are_none)
{
    static struct one o;
    const struct hn_binary power = { HN_B_POW };
    const double a[] = { -2, (double)NAN, -2, 4 }, b[] = { 2.5, 2, 2, 0.5 };
    start(&o, &hn_op_binary, &power, 2, 1);
    input(&o, 0, shape(1, 4, 0, 0), a);
    input(&o, 1, shape(1, 4, 0, 0), b);
    go(&o, 1);
    ck_assert(isnan(o.y[0][0]) && isnan(o.y[0][1]));
    for (int k = 0; k < 4; k++) o.dy[0][k] = k > 1;
    hn_op_binary.backward(&o.call);
    equal("da", o.dx[0], (const double[]){ 0, 0, -4, 0.25 }, 4);
    equal("db", o.dx[1], (const double[]){ 0, 0 }, 2);
}
END_TEST

START_TEST(comparisons_by_hand)
{
    static struct one o;
    const double inf = (double)INFINITY, nan = (double)NAN;
    const double a[] = { 1, 3, 2, nan, 0, inf }, b[] = { 1, 2, 3, 1, 0, 0 };
    const struct {
        struct hn_binary k;
        double y[6], da[6];
    } want[] = {
        { { HN_B_GREATER }, { 0, 1, 0, 0, 0, 1 }, { 0 } },
        { { HN_B_NOT_LESS }, { 1, 1, 0, 0, 1, 1 }, { 0 } },
        { { HN_B_EQUAL }, { 1, 0, 0, 0, 1, 0 }, { 0 } },
        { { HN_B_KEEP }, { 1, 3, 2, 5, 0, 0 }, { 1, 1, 1, 1, 0, 0 } },
    };
    static const double none[6] = { 0 };
    for (int i = 0; i < 4; i++) {
        start(&o, &hn_op_binary, &want[i].k, 2, 1);
        input(&o, 0, shape(1, 6, 0, 0), a);
        input(&o, 1, shape(1, 6, 0, 0), b);
        go(&o, 1);
        if (want[i].k.kind == HN_B_KEEP) {
            ck_assert(isnan(o.y[0][3]));
            o.y[0][3] = 5;
        }
        equal("comparison", o.y[0], want[i].y, 6);
        for (int k = 0; k < 6; k++) o.dy[0][k] = 1;
        hn_op_binary.backward(&o.call);
        equal("da", o.dx[0], want[i].da, 6);
        equal("db", o.dx[1], none, 6);
    }
}
END_TEST

START_TEST(nan_stays_nan)
{
    static struct one o;
    for (int k = 0; k < HN_U_COUNT; k++) {
        const struct hn_unary a = { (enum hn_unary_kind)k, 1, 2 };
        start(&o, &hn_op_unary, &a, 1, 1);
        input(&o, 0, shape(1, 1, 0, 0), (const double[]){ (double)NAN });
        go(&o, 1);
        ck_assert_msg(isnan(o.y[0][0]), "unary kind %d hides a NaN", k);
    }
    for (int k = 0; k <= HN_B_POW; k++)
        for (int side = 0; side < 2; side++) {
            const struct hn_binary a = { (enum hn_binary_kind)k };
            start(&o, &hn_op_binary, &a, 2, 1);
            input(&o, side, shape(1, 1, 0, 0), (const double[]){ (double)NAN });
            input(&o, 1 - side, shape(1, 1, 0, 0), (const double[]){ 2 });
            go(&o, 1);
            ck_assert_msg(isnan(o.y[0][0]), "binary kind %d hides a NaN in operand %d", k, side);
        }
    const struct hn_reduce max = { HN_R_MAX, 1, 0 };
    start(&o, &hn_op_reduce, &max, 1, 1);
    input(&o, 0, shape(1, 3, 0, 0), (const double[]){ 1, (double)NAN, 2 });
    go(&o, 1);
    ck_assert(isnan(o.y[0][0]));
}
END_TEST

START_TEST(moving_ops_by_hand)
{
    static struct one o;
    const double x[] = { 1, 2, 3, 4, 5, 6 };
    const struct hn_concat join = { 1 };
    start(&o, &hn_op_concat, &join, 2, 1);
    input(&o, 0, shape(2, 2, 2, 0), (const double[]){ 1, 2, 3, 4 });
    input(&o, 1, shape(2, 2, 1, 0), (const double[]){ 5, 6 });
    go(&o, 0);
    equal("concat", o.y[0], (const double[]){ 1, 2, 5, 3, 4, 6 }, 6);
    const struct hn_slice back = { 1, 2, 2, -2 };
    start(&o, &hn_op_slice, &back, 1, 1);
    input(&o, 0, shape(2, 2, 3, 0), x);
    go(&o, 0);
    equal("slice", o.y[0], (const double[]){ 3, 1, 6, 4 }, 4);
    const struct hn_transpose swap = { { 1, 0 } };
    start(&o, &hn_op_transpose, &swap, 1, 1);
    input(&o, 0, shape(2, 2, 3, 0), x);
    go(&o, 0);
    equal("transpose", o.y[0], (const double[]){ 1, 4, 2, 5, 3, 6 }, 6);
    const struct hn_matmul t = { 0.5, 1, 0 };
    start(&o, &hn_op_matmul, &t, 2, 1);
    input(&o, 0, shape(2, 2, 3, 0), x);
    input(&o, 1, shape(1, 2, 0, 0), (const double[]){ 2, 4 });
    go(&o, 0);
    equal("matmul", o.y[0], (const double[]){ 9, 12, 15 }, 3);
}
END_TEST

START_TEST(softmax_and_reduce_by_hand)
{
    static struct one o;
    const struct hn_softmax last = { 1, 1, 0 }, all = { 1, 2, 1 };
    start(&o, &hn_op_softmax, &last, 1, 1);
    input(&o, 0, shape(2, 1, 3, 0), (const double[]){ 1000, 1000, 1000 + log(2) });
    go(&o, 0);
    equal("softmax", o.y[0], (const double[]){ 0.25, 0.25, 0.5 }, 3);
    start(&o, &hn_op_softmax, &all, 1, 1);
    input(&o, 0, shape(3, 1, 2, 2), (const double[]){ 7, 7, 7, 7 });
    go(&o, 0);
    equal("log-softmax over two dims", o.y[0],
          (const double[]){ -log(4), -log(4), -log(4), -log(4) }, 4);
    static const double want[4] = { 7, 7.0 / 3, 4, 4.5825756949558398 };
    for (int k = 0; k < 4; k++) {
        const struct hn_reduce r = { (enum hn_reduce_kind)k, 1, 0 };
        start(&o, &hn_op_reduce, &r, 1, 1);
        input(&o, 0, shape(1, 3, 0, 0), (const double[]){ 1, 2, 4 });
        go(&o, 0);
        equal("reduce", o.y[0], &want[k], 1);
    }
    const struct hn_reduce max = { HN_R_MAX, 1, 0 };
    start(&o, &hn_op_reduce, &max, 1, 1);
    input(&o, 0, shape(1, 3, 0, 0), (const double[]){ 4, 2, 4 });
    go(&o, 0);
    o.dy[0][0] = 1;
    hn_op_reduce.backward(&o.call);
    equal("the gradient of a tie", o.dx[0], (const double[]){ 0.5, 0, 0.5 }, 3);
}
END_TEST

START_TEST(row_weights_divide_by_their_sum)
{
    static struct one o;
    const struct hn_loss mse = { .weight = 10 };
    start(&o, &hn_op_loss_regression, &mse, 3, 0);
    input(&o, 0, shape(2, 2, 2, 0), (const double[]){ 1, 2, 3, 4 });
    input(&o, 1, shape(2, 2, 2, 0), (const double[]){ 0, 0, 0, 0 });
    input(&o, 2, shape(1, 2, 0, 0), (const double[]){ 3, 1 });
    go(&o, 1);
    equal("sums", o.loss, (const double[]){ 3 * 2.5 + 12.5, 4 }, 2);
    hn_op_loss_regression.backward(&o.call);
    equal("dp", o.dx[0], (const double[]){ 7.5, 15, 7.5, 10 }, 4);
    o.x[2][0] = o.x[2][1] = 0; /* no weight at all: no gradient, not NaN */
    hn_op_loss_regression.backward(&o.call);
    equal("dp", o.dx[0], (const double[]){ 0, 0, 0, 0 }, 4);
}
END_TEST

START_TEST(a_class_out_of_range_is_no_number)
{
    static struct one o;
    const struct hn_loss ce = { .weight = 1 };
    static const double bad[] = { -1, 3, 1e300, (double)NAN };
    for (int i = 0; i < 4; i++)
        for (int nll = 0; nll < 2; nll++) {
            start(&o, nll ? &hn_op_loss_nll : &hn_op_loss_ce, &ce, 2, 0);
            input(&o, 0, shape(2, 1, 3, 0), (const double[]){ 0, 0, 0 });
            input(&o, 1, shape(1, 1, 0, 0), &bad[i]);
            go(&o, 1);
            ck_assert(isnan(o.loss[0]));
            o.op.row->backward(&o.call);
            equal("dp", o.dx[0], (const double[]){ 0, 0, 0 }, 3);
        }
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------------------------------- */

static const struct hn_dim rows = { 1, 0 };
#define F(n)                                                                                       \
    {                                                                                              \
        0, (n)                                                                                     \
    }
#define S1(a)                                                                                      \
    {                                                                                              \
        1, { a }                                                                                   \
    }
#define S2(a, b)                                                                                   \
    {                                                                                              \
        2, { a, b }                                                                                \
    }
#define BATCH                                                                                      \
    {                                                                                              \
        1, 0                                                                                       \
    }
static const struct {
    const struct hn_op_row *row;
    const void *attrs;
    int n_in;
    struct hn_shape x[5];
    const char *says;
} refused[] = {
    { &hn_op_dense,
      &(const struct hn_dense){ 1, 1, 0 },
      2,
      { S2(BATCH, F(5)), S2(F(4), F(3)) },
      "[N,5] has not the 4" },
    { &hn_op_dense,
      &(const struct hn_dense){ 1, 1, 1 },
      2,
      { S2(BATCH, F(5)), S2(F(5), F(3)) },
      "transposed" },
    { &hn_op_dense,
      &(const struct hn_dense){ 1, 1, 0 },
      2,
      { S2(BATCH, F(5)), S1(F(5)) },
      "fixed matrix" },
    { &hn_op_dense,
      &(const struct hn_dense){ 1, 1, 0 },
      3,
      { S2(BATCH, F(5)), S2(F(5), F(3)), S1(F(2)) },
      "bias [2]" },
    { &hn_op_matmul,
      &(const struct hn_matmul){ 1, 0, 0 },
      2,
      { S2(BATCH, F(5)), S2(F(4), F(3)) },
      "inner dims" },
    { &hn_op_matmul,
      &(const struct hn_matmul){ 1, 0, 0 },
      2,
      { { .rank = 0 }, S2(F(4), F(3)) },
      "at least one dim" },
    { &hn_op_unary, &(const struct hn_unary){ HN_U_COUNT, 0, 0 }, 1, { S1(F(5)) }, "unknown" },
    { &hn_op_binary,
      &(const struct hn_binary){ HN_B_ADD },
      2,
      { S2(BATCH, F(5)), S1(F(4)) },
      "[N,5] and [4]" },
    { &hn_op_binary,
      &(const struct hn_binary){ HN_B_COUNT },
      2,
      { S1(F(5)), S1(F(5)) },
      "unknown" },
    { &hn_op_batchnorm,
      &(const struct hn_batchnorm){ 1e-5, 0.9, 0, 0 },
      5,
      { S2(BATCH, F(5)), S1(F(5)), S1(F(5)), S1(F(4)), S1(F(5)) },
      "mean is [4]" },
    { &hn_op_batchnorm,
      &(const struct hn_batchnorm){ 1e-5, 0.9, 0, 0 },
      5,
      { S2(F(4), BATCH) },
      "[4,N]" },
    { &hn_op_layernorm,
      &(const struct hn_layernorm){ 1e-5, 3 },
      2,
      { S2(BATCH, F(5)), S1(F(5)) },
      "last 3 dims" },
    { &hn_op_layernorm,
      &(const struct hn_layernorm){ 1e-5, 2 },
      2,
      { S2(BATCH, F(5)), S1(F(5)) },
      "mix the rows" },
    { &hn_op_layernorm,
      &(const struct hn_layernorm){ 1e-5, 1 },
      2,
      { S2(BATCH, F(5)), S1(F(4)) },
      "scale is [4]" },
    { &hn_op_dropout, &(const struct hn_dropout){ 1, 0, 0 }, 1, { S1(F(5)) }, "ratio is 1" },
    { &hn_op_dropout, &(const struct hn_dropout){ -0.5, 0, 0 }, 1, { S1(F(5)) }, "ratio is -0.5" },
    { &hn_op_softmax,
      &(const struct hn_softmax){ 1, 2, 0 },
      1,
      { S2(BATCH, F(5)) },
      "dims 1 to 2" },
    { &hn_op_softmax,
      &(const struct hn_softmax){ 0, 1, 0 },
      1,
      { S2(BATCH, F(5)) },
      "mix the rows" },
    { &hn_op_concat,
      &(const struct hn_concat){ 1 },
      2,
      { S2(BATCH, F(5)), S2(F(3), F(5)) },
      "input 1 is [3,5]" },
    { &hn_op_concat,
      &(const struct hn_concat){ 0 },
      2,
      { S2(BATCH, F(5)), S2(BATCH, F(5)) },
      "batch dim" },
    { &hn_op_concat, &(const struct hn_concat){ 2 }, 1, { S2(BATCH, F(5)) }, "dim 2" },
    { &hn_op_slice,
      &(const struct hn_slice){ 1, 3, 3, 1 },
      1,
      { S2(BATCH, F(5)) },
      "leaves dim 1" },
    { &hn_op_slice,
      &(const struct hn_slice){ 1, 0, 2, -1 },
      1,
      { S2(BATCH, F(5)) },
      "leaves dim 1" },
    { &hn_op_slice,
      &(const struct hn_slice){ 1, 0, 5, INT64_MAX / 2 },
      1,
      { S2(BATCH, F(5)) },
      "leaves dim 1" },
    { &hn_op_slice,
      &(const struct hn_slice){ 1, 0, 2, 0 },
      1,
      { S2(BATCH, F(5)) },
      "leaves dim 1" },
    { &hn_op_slice, &(const struct hn_slice){ 0, 0, 1, 1 }, 1, { S2(BATCH, F(5)) }, "fixed size" },
    { &hn_op_transpose,
      &(const struct hn_transpose){ { 1, 1 } },
      1,
      { S2(BATCH, F(5)) },
      "permutation" },
    { &hn_op_transpose,
      &(const struct hn_transpose){ { 0, 2 } },
      1,
      { S2(BATCH, F(5)) },
      "permutation" },
    { &hn_op_reduce, &(const struct hn_reduce){ HN_R_SUM, 4, 0 }, 1, { S2(BATCH, F(5)) }, "axes" },
    { &hn_op_loss_ce,
      &(const struct hn_loss){ .weight = 1 },
      2,
      { S2(BATCH, F(5)), S2(BATCH, F(5)) },
      "one class index" },
    { &hn_op_loss_ce,
      &(const struct hn_loss){ .weight = 1, .dense = 1 },
      2,
      { S2(BATCH, F(5)), S1(BATCH) },
      "each class" },
    { &hn_op_loss_nll,
      &(const struct hn_loss){ .weight = 1 },
      3,
      { S2(BATCH, F(5)), S1(BATCH), S1(F(5)) },
      "row weights" },
    { &hn_op_loss_bce,
      &(const struct hn_loss){ .weight = 1 },
      2,
      { S2(BATCH, F(5)), S1(BATCH) },
      "as many numbers" },
    { &hn_op_loss_regression,
      &(const struct hn_loss){ .weight = 1, .kind = 3 },
      2,
      { S1(BATCH), S1(BATCH) },
      "kind 3" },
    { &hn_op_loss_regression,
      &(const struct hn_loss){ .weight = 1, .kind = 2 },
      2,
      { S1(BATCH), S1(BATCH) },
      "delta is 0" },
};
enum { N_REFUSED = sizeof refused / sizeof *refused };

START_TEST(shapes_that_do_not_fit_are_refused)
{
    hone_error err = { 0 };
    struct hn_shape y[3];
    int n_out = refused[_i].row->flags & HN_OP_LOSS ? 0 : 1;
    struct hn_op op = {
        refused[_i].row, refused[_i].attrs, refused[_i].n_in, n_out, numbers, numbers, "fc2", 0
    };
    ck_assert_int_ne(op.row->shape(&op, refused[_i].x, y, "fc2", &err), HONE_OK);
    ck_assert_str_eq(err.where, "fc2");
    ck_assert_msg(strstr(err.text, refused[_i].says), "%s: '%s' does not say '%s'", op.row->name,
                  err.text, refused[_i].says);
}
END_TEST

START_TEST(counting_elements)
{
    struct hn_shape s = { 3, { { 0, 3 }, { 2, 1 }, { 0, 4 } } },
                    big = { 2, { { 0, INT64_MAX }, { 0, 2 } } };
    struct hn_shape twice = { 2, { rows, rows } }, none = { 0 };
    struct hn_dim n = hn_shape_count(&s), o = hn_shape_count(&big), t = hn_shape_count(&twice),
                  z = hn_shape_count(&none);
    ck_assert(n.per_row == 24 && n.fixed == 12);
    ck_assert(o.per_row == -1 && o.fixed == -1);
    ck_assert(t.per_row == -1 && t.fixed == -1);
    ck_assert(z.per_row == 0 && z.fixed == 1);
    struct hn_extent e;
    hn_extent_of(&s, 5, &e);
    ck_assert(e.d[1] == 11 && hn_extent_numel(&e) == 132);
}
END_TEST

HN_TEST_MAIN("values", {
    tcase_add_loop_test(tc, activations_are_pytorchs, 0, N_UNARY);
    tcase_add_loop_test(tc, losses_are_pytorchs, 0, N_LOSS);
    tcase_add_loop_test(tc, fake_quantisation_is_pytorchs, 0, N_QUANTIZE);
    tcase_add_test(tc, whole_numbers_by_hand);
    tcase_add_test(tc, batchnorm_is_pytorchs);
    tcase_add_test(tc, batchnorm_of_one_row);
    tcase_add_test(tc, dense_by_hand);
    tcase_add_test(tc, binary_ties_and_powers);
    tcase_add_test(tc, powers_that_are_none);
    tcase_add_test(tc, comparisons_by_hand);
    tcase_add_test(tc, nan_stays_nan);
    tcase_add_test(tc, moving_ops_by_hand);
    tcase_add_test(tc, softmax_and_reduce_by_hand);
    tcase_add_test(tc, row_weights_divide_by_their_sum);
    tcase_add_test(tc, a_class_out_of_range_is_no_number);
    tcase_add_loop_test(tc, shapes_that_do_not_fit_are_refused, 0, N_REFUSED);
    tcase_add_test(tc, counting_elements);
})
