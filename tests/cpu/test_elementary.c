/* SPDX-License-Identifier: MIT
 *
 * The elementary functions of the unary kernels against libm in double: how many units in the last place they are off at
 * most, what they make of infinities, zero and NaN; for every instruction set this machine has. */
#include "ops/cpu/backend.h"
#include "ops/cpu/exec.h"
#include "tests/harness.h"
#include <float.h>
#include <math.h>

enum { POINTS = 200000 };

static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double f_gelu(double x) { return 0.5 * x * erfc(-x * sqrt(0.5)); }
static double f_silu(double x) { return x / (1 + exp(-x)); }
static double f_elu(double x) { return x < 0 ? expm1(x) : x; }
static double f_mish(double x) { return x * tanh(f_softplus(x)); }

static const struct function {
    const char *name;
    enum hn_unary_kind kind;
    double (*f)(double);
    double low, high, ulps; /* where it is looked at; the most it may be off */
} functions[] = {
    { "exp", HN_U_EXP, exp, -87, 88.7, 2 },
    { "log", HN_U_LOG, log, 1e-30, 1e30, 2 },
    { "log near 1", HN_U_LOG, log, 0.5, 2, 2 },
    { "tanh", HN_U_TANH, tanh, -12, 12, 3 },
    { "tanh near 0", HN_U_TANH, tanh, -0.1, 0.1, 3 },
    { "sigmoid", HN_U_SIGMOID, f_sigmoid, -80, 80, 3 },
    { "softplus", HN_U_SOFTPLUS, f_softplus, -80, 80, 3 },
    { "erf", HN_U_ERF, erf, -5, 5, 3 },
    { "erf near 0", HN_U_ERF, erf, -0.01, 0.01, 3 },
    { "gelu", HN_U_GELU, f_gelu, -3, 8,
      16 }, /* e^(-x^2/2) doubles the error of its argument with x^2 */
    { "silu", HN_U_SILU, f_silu, -80, 80, 4 },
    { "elu", HN_U_ELU, f_elu, -20, 20, 2 },
    { "mish", HN_U_MISH, f_mish, -80, 80, 6 },
    { "sin", HN_U_SIN, sin, -3.2, 3.2, 2 },
    { "cos", HN_U_COS, cos, -3.2, 3.2, 2 },
    { "sin of many turns", HN_U_SIN, sin, -8000, 8000, 24 },
    { "cos of many turns", HN_U_COS, cos, -8000, 8000, 24 },
    { "sin, far away", HN_U_SIN, sin, 1e4, 1e9, 2 },
};
enum { FUNCTIONS = (int)(sizeof functions / sizeof *functions) };

/* The kernels of the i-th instruction set, NULL where this machine lacks it. */
static const struct hn_cpu_isa *isa_at(int i)
{
    static const char *const names[] = { "base", "avx2", "avx512" };
    char option[16];
    hone_error err = { 0 };
    struct hn_mem mem;
    void *dev;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    snprintf(option, sizeof option, "isa=%s", names[i]);
    HN_OK(hn_backend_cpu.open(&host, option, &dev, &err), err);
    const struct hn_cpu_isa *isa = ((struct hn_cpu_dev *)dev)->isa;
    hn_backend_cpu.close(dev);
    return !strcmp(isa->name, names[i]) ? isa : NULL;
}

static void apply(const struct hn_cpu_isa *isa, enum hn_unary_kind kind, const float *x, float *y,
                  int64_t n)
{
    const struct hn_unary attrs = { kind, 1, 0 };
    const struct hn_op op = { .row = &hn_op_unary, .attrs = &attrs, .n_in = 1, .n_out = 1 };
    const struct hn_extent e = { 1, { n } };
    void *xs[1] = { (void *)(uintptr_t)x }, *ys[1] = { y };
    struct hn_cpu_call k = { .c = { .op = &op, .xs = &e, .ys = &e, .x = xs, .y = ys, .rows = n } };
    for (int i = 0; hn_op_rows[i]; i++)
        if (hn_op_rows[i] == &hn_op_unary) isa->ops[i]->forward.main(&k);
}

static double ulps_off(double want, float got)
{
    int e;
    frexp(want, &e);
    double unit = ldexp(1, e - FLT_MANT_DIG);
    return fabs(want - (double)got) / (unit > (double)FLT_MIN ? unit : (double)FLT_MIN);
}

START_TEST(accuracy)
{
    const struct function *f = &functions[_i];
    float *x = malloc(POINTS * sizeof *x), *y = malloc(POINTS * sizeof *y);
    for (int i = 0; i < POINTS; i++) {
        double u = (i + 0.5) / POINTS;
        x[i] = (float)(f->high > 1e20 ? f->low * pow(f->high / f->low, u)
                                      : f->low + (f->high - f->low) * u);
    }
    for (int s = 0; s < 3; s++) {
        const struct hn_cpu_isa *isa = isa_at(s);
        double worst = 0;
        int at = 0;
        if (!isa) continue;
        apply(isa, f->kind, x, y, POINTS);
        for (int i = 0; i < POINTS; i++) {
            double off = ulps_off(f->f((double)x[i]), y[i]);
            if (!(off <= worst)) worst = off, at = i;
        }
        ck_assert_msg(worst <= f->ulps, "%s, %s: %.2f units off at %.9g: %.9g", f->name, isa->name,
                      worst, (double)x[at], (double)y[at]);
    }
    free(x), free(y);
}
END_TEST

START_TEST(limits)
{
    static const struct {
        enum hn_unary_kind kind;
        float at_low, at_zero, at_high; /* at -inf, 0, +inf */
    } want[] = {
        { HN_U_EXP, 0, 1, INFINITY },
        { HN_U_LOG, NAN, -INFINITY, INFINITY },
        { HN_U_TANH, -1, 0, 1 },
        { HN_U_SIGMOID, 0, 0.5f, 1 },
        { HN_U_SOFTPLUS, 0, 0.693147181f, INFINITY },
        { HN_U_ERF, -1, 0, 1 },
        { HN_U_ELU, -1, 0, INFINITY },
        { HN_U_RELU, 0, 0, INFINITY },
    };
    const float x[4] = { -INFINITY, 0, INFINITY, NAN };
    for (int s = 0; s < 3; s++) {
        const struct hn_cpu_isa *isa = isa_at(s);
        for (size_t i = 0; isa && i < sizeof want / sizeof *want; i++) {
            const float w[3] = { want[i].at_low, want[i].at_zero, want[i].at_high };
            float y[4];
            apply(isa, want[i].kind, x, y, 4);
            for (int k = 0; k < 3; k++)
                ck_assert_msg((isnan(w[k]) && isnan(y[k])) || (double)fabsf(y[k] - w[k]) < 1e-7 ||
                                  y[k] == w[k],
                              "%s kind %d at %g: %g, wanted %g", isa->name, (int)want[i].kind,
                              (double)x[k], (double)y[k], (double)w[k]);
        }
        for (int kind = 0; isa && kind < HN_U_COUNT; kind++) {
            float y[4];
            apply(isa, (enum hn_unary_kind)kind, x, y, 4);
            ck_assert_msg(isnan(y[3]), "%s kind %d makes %g of NaN", isa->name, kind, (double)y[3]);
        }
    }
}
END_TEST

HN_TEST_MAIN("cpu elementary", tcase_add_loop_test(tc, accuracy, 0, FUNCTIONS);
             tcase_add_test(tc, limits);)
