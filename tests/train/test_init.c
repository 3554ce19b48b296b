/* SPDX-License-Identifier: MIT
 *
 * Fresh weights: distributions, roles of parameters, independence of the slab's orientation. */
#include "plugin/train/init.h"
#include "tests/harness.h"
#include <math.h>

enum { W, B, SCALE, SHIFT, MEAN, VAR, LN_SCALE, LN_SHIFT, FROZEN, FACTOR, SLOPE, N_PARAMS };
enum { IN = 300, OUT = 200 };

/* dense(w, b) → batchnorm → layernorm, beside a frozen weight and a factor without a fan. */
struct toy {
    struct hn_program prog;
    struct hn_param params[N_PARAMS];
    struct hn_value_ref values[N_PARAMS + 1];
    struct hn_op ops[2];
    int32_t bn_in[5], ln_in[3], out[2];
    struct hn_batchnorm bn;
    float *w;
};

static void toy_init(struct toy *t)
{
    static const size_t n[N_PARAMS] = { IN * OUT, OUT, OUT, OUT, OUT, OUT, OUT, OUT, 6, 4, 4 };
    *t = (struct toy){ 0 };
    for (int i = 0; i < N_PARAMS; i++) {
        struct hn_param *p = &t->params[i];
        p->n = n[i];
        p->rank = 1;
        p->dims[0] = (int64_t)n[i];
        p->off = i ? t->params[i - 1].off + (n[i - 1] + 15) / 16 * 16 : 0;
        p->flags = i == MEAN || i == VAR ? HN_PARAM_STATE : i == FROZEN ? 0 : HN_PARAM_TRAINED;
        if (i == B) p->flags |= HN_PARAM_BIAS;
        if (i == SCALE || i == SHIFT || i == LN_SCALE || i == LN_SHIFT) p->flags |= HN_PARAM_NORM;
        p->feeds = -1;
        t->values[i] = (struct hn_value_ref){ .kind = i == MEAN || i == VAR ? HN_STATE : HN_PARAM,
                                              .index = i,
                                              .view_of = -1,
                                              .producer = -1 };
    }
    struct hn_param *w = &t->params[W];
    w->rank = 2, w->dims[0] = OUT, w->dims[1] = IN;
    w->fan_in = IN, w->fan_out = OUT;
    t->params[SLOPE].flags |= HN_PARAM_STARTS, t->params[SLOPE].start = 0.25;
    t->params[FROZEN].fan_in = t->params[FROZEN].fan_out = 2;
    t->values[N_PARAMS] = (struct hn_value_ref){ .kind = HN_ACT, .view_of = -1 };
    for (int i = 0; i < 5; i++) t->bn_in[i] = i ? SCALE + i - 1 : N_PARAMS;
    for (int i = 0; i < 3; i++) t->ln_in[i] = i ? LN_SCALE + i - 1 : N_PARAMS;
    t->ops[0] = (struct hn_op){
        .row = &hn_op_batchnorm, .attrs = &t->bn, .n_in = 5, .in = t->bn_in, .out = t->out
    };
    t->ops[1] = (struct hn_op){ .row = &hn_op_layernorm, .n_in = 3, .in = t->ln_in, .out = t->out };
    t->prog = (struct hn_program){ .values = t->values,
                                   .ops = t->ops,
                                   .params = t->params,
                                   .n_values = N_PARAMS + 1,
                                   .n_ops = 2,
                                   .n_params = N_PARAMS };
    t->prog.n_slab = t->params[SLOPE].off + 16;
    t->w = malloc(t->prog.n_slab * sizeof *t->w);
    for (size_t i = 0; i < t->prog.n_slab; i++) t->w[i] = 42;
}

static const uint32_t key[2] = { 11, 22 };

static float *at(struct toy *t, int param) { return t->w + t->params[param].off; }

static void moments(struct toy *t, double *mean, double *std, double *widest)
{
    const float *w = at(t, W);
    double sum = 0, squares = 0;
    *widest = 0;
    for (int i = 0; i < IN * OUT; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
        if (fabs((double)w[i]) > *widest) *widest = fabs((double)w[i]);
    }
    *mean = sum / (IN * OUT);
    *std = sqrt(squares / (IN * OUT));
}

static void check_width(enum hn_init kind, int32_t feeds, double bound)
{
    struct toy t;
    double mean, std, widest;
    toy_init(&t);
    t.params[W].feeds = feeds;
    hn_init_weights(&t.prog, kind, 0.02, key, t.w, 4);
    moments(&t, &mean, &std, &widest);
    ck_assert_double_lt(fabs(mean), bound * 0.01);
    ck_assert_double_le(widest, bound * (1 + 1e-7)); /* rounded to float */
    ck_assert_double_gt(widest, bound * 0.999);
    ck_assert_double_eq_tol(std, bound / sqrt(3), bound * 0.01);
    free(t.w);
}

START_TEST(uniform_widths)
{
    double he = sqrt(6.0 / IN), xavier = sqrt(6.0 / (IN + OUT));
    check_width(HN_INIT_HE, -1, he);
    check_width(HN_INIT_XAVIER, HN_U_RELU, xavier);
    check_width(HN_INIT_FRESH, HN_U_RELU, he);
    check_width(HN_INIT_FRESH, HN_U_GELU, he);
    check_width(HN_INIT_FRESH, HN_U_TANH, xavier);
    check_width(HN_INIT_FRESH, HN_U_SIGMOID, xavier);
    check_width(HN_INIT_FRESH, -1, xavier);
}
END_TEST

START_TEST(normal_deviation)
{
    struct toy t;
    double mean, std, widest;
    toy_init(&t);
    hn_init_weights(&t.prog, HN_INIT_NORMAL, 0.02, key, t.w, 4);
    moments(&t, &mean, &std, &widest);
    ck_assert_double_lt(fabs(mean), 0.02 * 0.02);
    ck_assert_double_eq_tol(std, 0.02, 0.0003);
    ck_assert_double_gt(widest, 0.07);
    free(t.w);
}
END_TEST

START_TEST(roles)
{
    static const float wanted[N_PARAMS] = {
        [B] = 0,        [SCALE] = 1,    [SHIFT] = 0,   [MEAN] = 0,    [VAR] = 1,
        [LN_SCALE] = 1, [LN_SHIFT] = 0, [FROZEN] = 42, [FACTOR] = 42, [SLOPE] = 0.25
    };
    struct toy t;
    toy_init(&t);
    hn_init_weights(&t.prog, HN_INIT_FRESH, 0, key, t.w, 4);
    for (int i = 1; i < N_PARAMS; i++)
        for (size_t k = 0; k < t.params[i].n; k++) ck_assert(t.w[t.params[i].off + k] == wanted[i]);
    for (size_t k = 0; k < t.prog.n_slab; k++) t.w[k] = 42;
    for (int i = 0; i < N_PARAMS; i++) ck_assert_int_eq(hn_init_leaves(&t.prog, i), i == FACTOR);
    t.bn.mode = 1; /* frozen statistics stay */
    hn_init_weights(&t.prog, HN_INIT_FRESH, 0, key, t.w, 4);
    ck_assert(*at(&t, MEAN) == 42);
    ck_assert(*at(&t, SCALE) == 1);
    for (size_t k = 0; k < t.prog.n_slab; k++) t.w[k] = 42;
    hn_init_weights(&t.prog, HN_INIT_KEEP, 0, key, t.w, 4);
    for (size_t k = 0; k < t.prog.n_slab; k++) ck_assert(t.w[k] == 42);
    free(t.w);
}
END_TEST

START_TEST(precision_does_not_matter)
{
    struct toy a;
    toy_init(&a);
    hn_init_weights(&a.prog, HN_INIT_FRESH, 0, key, a.w, 4);
    double *wide = malloc(a.prog.n_slab * sizeof *wide);
    hn_init_weights(&a.prog, HN_INIT_FRESH, 0, key, wide, 8);
    for (int i = 0; i < IN * OUT; i++) ck_assert((float)wide[i] == at(&a, W)[i]);
    free(wide);
    free(a.w);
}
END_TEST

START_TEST(names)
{
    enum hn_init kind;
    double std;
    hone_error err;
    HN_OK(hn_init_parse("normal=0.25", &kind, &std, &err), err);
    ck_assert_int_eq(kind, HN_INIT_NORMAL);
    ck_assert_double_eq(std, 0.25);
    HN_OK(hn_init_parse("xavier", &kind, &std, &err), err);
    ck_assert_int_eq(kind, HN_INIT_XAVIER);
    static const char *const bad[] = { "", "normal", "normal=", "normal=-1", "normal=nan", "He" };
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(hn_init_parse(bad[i], &kind, &std, &err), HONE_E_USAGE);
        ck_assert_ptr_nonnull(strstr(err.text, "normal=STD"));
    }
}
END_TEST

HN_TEST_MAIN("init", tcase_add_test(tc, uniform_widths); tcase_add_test(tc, normal_deviation);
             tcase_add_test(tc, roles); tcase_add_test(tc, precision_does_not_matter);
             tcase_add_test(tc, names);)
