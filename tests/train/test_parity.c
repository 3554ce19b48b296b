/* SPDX-License-Identifier: MIT
 *
 * Whole trainings against PyTorch: the final tensors of two small models under every optimizer and schedule, 3 epochs with a
 * short last batch, rows in order; and averaged weights, 6 epochs. Recorded by tests/data/make_train_refs.py. Allowed difference, as a part of the tensor's
 * largest value: 2e-5 in float32, 1e-10 in float64. Not compared where the optimizer divides by the gradient's size: a bias in
 * front of BatchNorm and that layer's running mean, whose gradient is rounding noise. */
#include "plugin/data/data.h"
#include "tests/train/kit.h"
#include <math.h>

struct train_tensor {
    const char *name;
    size_t n;
};
struct train_case {
    struct kit_pair pairs[12];
};
#include "tests/data/train/refs.h"
enum {
    N_CASES = sizeof train_cases / sizeof *train_cases,
    N_AVERAGES = sizeof average_cases / sizeof *average_cases
};

static const struct suite {
    const char *name;
    const struct train_tensor *tensors;
    double tolerance;
} suites[] = {
    { "bn_f32", bn_tensors, 2e-5 },
    { "ln_f32", ln_tensors, 2e-5 },
    { "bn_f64", bn_tensors, 1e-10 },
    { "ln_f64", ln_tensors, 1e-10 },
};
enum { N_SUITES = sizeof suites / sizeof *suites };

static const char *value_of(const struct train_case *c, const char *name)
{
    for (const struct kit_pair *p = c->pairs; p->name; p++)
        if (!strcmp(p->name, name)) return p->value;
    return "";
}

static int is_noise(const struct suite *s, const struct train_case *c, const char *tensor)
{
    static const char *const names[] = { "fc1.bias", "fc2.bias", "norm1.running_mean",
                                         "norm2.running_mean" };
    const char *optimizer = value_of(c, "optimizer");
    if (s->tensors != bn_tensors || !strcmp(optimizer, "sgd") || !strcmp(optimizer, "momentum") ||
        !strcmp(optimizer, "nesterov"))
        return 0;
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], tensor)) return 1;
    return 0;
}

static void train(struct kit *k, const struct suite *s, const struct train_case *c)
{
    static const struct kit_pair all[] = { { "epochs", "3" },  { "batch-size", "20" },
                                           { "save", "last" }, { "no-shuffle", "true" },
                                           { "threads", "1" }, { NULL, NULL } };
    hone_error err;
    hone_result *r;
    HN_OK(kit_open(k, s->name, 0, NULL, NULL, &err), err);
    HN_OK(kit_set(k, all, &err), err);
    HN_OK(kit_set(k, c->pairs, &err), err);
    HN_OK(hone_train(k->model, k->data, k->params, NULL, &r, &err), err);
    hone_result_destroy(r);
}

static double compare(const struct suite *s, const struct train_case *c, struct kit *k,
                      const double *wanted)
{
    double worst = 0, found[64];
    for (const struct train_tensor *t = s->tensors; t->name; wanted += t++->n) {
        double largest = 0, off = 0;
        if (is_noise(s, c, t->name)) continue;
        kit_tensor(k->model, t->name, found, t->n);
        for (size_t i = 0; i < t->n; i++) {
            largest = fmax(largest, fabs(wanted[i]));
            off = fmax(off, fabs(found[i] - wanted[i]));
        }
        ck_assert_msg(off <= s->tolerance * largest, "%s, %s, %s, %s: off by %.3g of %.3g", s->name,
                      value_of(c, "optimizer"), value_of(c, "lr-schedule"), t->name, off, largest);
        worst = fmax(worst, off / largest);
    }
    return worst;
}

static void compare_all(const struct suite *s, const char *what, const struct train_case *cases,
                        int n)
{
    char path[512];
    struct hn_mem mem;
    struct hn_array refs = { 0 };
    hone_error err;
    double worst = 0;
    hn_mem_init(&mem, 0);
    snprintf(path, sizeof path, "%s/tests/data/train/%s%s.npy", HN_SOURCE_DIR, s->name, what);
    struct hn_source src = { .io = &hn_io_system, .mem = &mem, .path = path };
    HN_OK(hn_array_open(&refs, &src, "", NULL, &err), err);
    ck_assert_int_eq(refs.rows, n);
    double *wanted = calloc((size_t)refs.per_row, sizeof *wanted);
    for (int i = 0; i < n; i++) {
        struct kit k;
        hn_array_range(&refs, i, 1, HN_F64, wanted);
        train(&k, s, &cases[i]);
        worst = fmax(worst, compare(s, &cases[i], &k, wanted));
        kit_close(&k);
    }
    printf("%s%s: %d trainings, worst difference %.2g of a tensor's largest value\n", s->name, what,
           n, worst);
    free(wanted);
    hn_array_close(&refs);
    ck_assert_double_gt(worst, 0);
}

START_TEST(same_as_pytorch) { compare_all(&suites[_i], "", train_cases, N_CASES); }
END_TEST

START_TEST(averages_as_pytorch) { compare_all(&suites[_i], "_average", average_cases, N_AVERAGES); }
END_TEST

HN_TEST_MAIN("parity", tcase_add_loop_test(tc, same_as_pytorch, 0, N_SUITES);
             tcase_add_loop_test(tc, averages_as_pytorch, 0, N_SUITES);)
