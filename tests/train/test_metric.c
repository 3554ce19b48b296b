/* SPDX-License-Identifier: MIT
 *
 * Metrics against closed forms and against values computed by hand. */
#include "plugin/train/auc.h"
#include "plugin/train/metric.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <math.h>

static struct hn_figures figures_of(const struct hn_metric_spec *spec, const double *p,
                                    const double *y, int64_t rows, int64_t piece)
{
    struct hn_mem mem;
    struct hn_metric *m;
    struct hn_figures f = { .loss = 7, .rows = rows };
    hone_error err;
    hn_mem_init(&mem, 0);
    HN_OK(hn_metric_create(&mem, spec, &m, &err), err);
    int64_t target = spec->dense || spec->n_classes == 0 || spec->multilabel ? spec->per_row : 1;
    for (int round = 0; round < 2; round++) { /* the second time after a reset */
        hn_metric_reset(m);
        for (int64_t at = 0; at < rows; at += piece) {
            int64_t n = rows - at < piece ? rows - at : piece;
            hn_metric_add(m, p + at * spec->per_row, y + at * target, n);
        }
        hn_metric_figures(&m, 1, &f);
    }
    ck_assert_double_eq(f.loss, 7);
    hn_metric_destroy(m);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
    return f;
}

static const unsigned ALL =
    HN_HAS_ACCURACY | HN_HAS_MAE | HN_HAS_RMSE | HN_HAS_R2 | HN_HAS_F1 | HN_HAS_AUC;

START_TEST(classes)
{
    static const double p[] = { 9, 1, 0, /**/ 1, 5, 2, /**/ 0, 3, 3, /**/ 0, 0, 1, /**/ 2, 1, 0 };
    static const double y[] = { 0, 1, 2, 2, 1 };
    struct hn_metric_spec spec = {
        .per_row = 3, .n_classes = 3, .want = ALL, .elem = 8, .max_rows = 5
    };
    struct hn_figures f = figures_of(&spec, p, y, 5, 2);
    ck_assert_uint_eq(f.has, HN_HAS_ACCURACY | HN_HAS_F1 | HN_HAS_AUC);
    ck_assert_double_eq_tol(f.accuracy, 3.0 / 5, 1e-15);
    /* class 0: hit 1, false alarm 1; class 1: hit 1, false alarm 1, miss 1; class 2: hit 1, miss 1 */
    ck_assert_double_eq_tol(f.f1, (2.0 / 3 + 0.5 + 2.0 / 3) / 3, 1e-15);
}
END_TEST

START_TEST(one_hot_targets_and_absent_classes)
{
    static const double p[] = { 1, 2, 0, 0, 3, 1, 0, 0 };
    static const double y[] = { 0, 1, 0, 0, 0, 0.9, 0.1, 0 };
    struct hn_metric_spec spec = {
        .per_row = 4, .n_classes = 4, .dense = 1, .want = ALL, .elem = 8, .max_rows = 2
    };
    struct hn_figures f = figures_of(&spec, p, y, 2, 1);
    ck_assert_double_eq(f.accuracy, 0.5);
    ck_assert_double_eq_tol(f.f1, (0 + 2.0 / 3) / 2, 1e-15); /* classes 0 and 1 were seen */
}
END_TEST

START_TEST(two_classes_on_one_output)
{
    static const double p[] = { 0.9, 0.8, 0.4, 0.5, 0.1, 0.4 };
    static const double y[] = { 1, 0, 1, 0, 0, 0 };
    struct hn_metric_spec spec = { .per_row = 1,
                                   .n_classes = 2,
                                   .dense = 1,
                                   .threshold = 0.5,
                                   .want = ALL,
                                   .elem = 8,
                                   .max_rows = 6 };
    struct hn_figures f = figures_of(&spec, p, y, 6, 4);
    ck_assert_double_eq_tol(f.accuracy, 4.0 / 6, 1e-15); /* 0.5 itself is a no */
    ck_assert_double_eq_tol(f.f1, 2.0 / (2 + 1 + 1), 1e-15);
    /* pairs (1, 0): 0.9 beats four; 0.4 beats 0.1, ties 0.4, loses to 0.8 and 0.5 */
    ck_assert_double_eq_tol(f.auc, (4 + 1.5) / 8, 1e-15);
}
END_TEST

START_TEST(two_classes_on_two_outputs)
{
    static const double p[] = { 0, 3, 0, 1, 2, 0, 0, 2 };
    static const double y[] = { 1, 0, 0, 1 };
    struct hn_metric_spec spec = {
        .per_row = 2, .n_classes = 2, .want = ALL, .elem = 8, .max_rows = 4
    };
    struct hn_figures f = figures_of(&spec, p, y, 4, 4);
    ck_assert_double_eq_tol(f.accuracy, 0.75, 1e-15);
    ck_assert_double_eq_tol(f.auc, 1, 1e-15);
    static const double one[] = { 1, 1, 1, 1 };
    f = figures_of(&spec, p, one, 4, 4);
    ck_assert_uint_eq(f.has & HN_HAS_AUC, 0); /* only one class is there */
}
END_TEST

START_TEST(labels_that_are_no_class)
{
    static const double p[] = { 1, 0, 1, 0 };
    static const double y[] = { 5, -1 };
    struct hn_metric_spec spec = {
        .per_row = 2, .n_classes = 2, .want = HN_HAS_ACCURACY | HN_HAS_F1, .elem = 8, .max_rows = 2
    };
    struct hn_figures f = figures_of(&spec, p, y, 2, 2);
    ck_assert_double_eq(f.accuracy, 0);
}
END_TEST

START_TEST(many_yes_or_no)
{
    static const double p[] = { 2, -1, 3, -2, -1, 1 };
    static const double y[] = { 1, 0, 0, 1, 0, 1 };
    struct hn_metric_spec spec = { .per_row = 3,
                                   .multilabel = 1,
                                   .dense = 1,
                                   .want = HN_HAS_ACCURACY | HN_HAS_F1,
                                   .elem = 8,
                                   .max_rows = 2 };
    struct hn_figures f = figures_of(&spec, p, y, 2, 1);
    ck_assert_double_eq_tol(f.accuracy, 4.0 / 6, 1e-15);
    ck_assert_double_eq_tol(f.f1, (2.0 / 3 + 0 + 2.0 / 3) / 3, 1e-15);
}
END_TEST

START_TEST(numbers)
{
    enum { N = 1000 };
    static double p[2 * N], y[2 * N];
    for (int i = 0; i < N; i++) { /* far from zero: a naive sum of squares would lose r2 */
        y[2 * i] = 1e8 + i;
        p[2 * i] = 1e8 + i + (i % 2 ? 1 : -1);
        y[2 * i + 1] = 0.5 * i;
        p[2 * i + 1] = 0.5 * i;
    }
    struct hn_metric_spec spec = { .per_row = 2, .want = ALL, .elem = 8, .max_rows = N };
    struct hn_figures f = figures_of(&spec, p, y, N, 64);
    double spread = (double)N * ((double)N * N - 1) / 12;
    ck_assert_uint_eq(f.has, HN_HAS_MAE | HN_HAS_RMSE | HN_HAS_R2);
    ck_assert_double_eq_tol(f.mae, 0.5, 1e-15);
    ck_assert_double_eq_tol(f.rmse, 0.5, 1e-15); /* the mean of 1 and 0, the columns' */
    ck_assert_double_eq_tol(f.r2, ((1 - N / spread) + 1) / 2, 1e-12);
    struct hn_figures other = figures_of(&spec, p, y, N, 1);
    ck_assert_double_eq(f.r2, other.r2); /* the pieces do not matter, to the bit */
    ck_assert_double_eq(f.rmse, other.rmse);
}
END_TEST

START_TEST(constant_columns_and_single_rows)
{
    static const double y[] = { 3, 3 }, right[] = { 3, 3 }, wrong[] = { 3, 4 };
    struct hn_metric_spec spec = { .per_row = 1, .want = ALL, .elem = 8, .max_rows = 2 };
    ck_assert_double_eq(figures_of(&spec, right, y, 2, 2).r2, 1);
    ck_assert_double_eq(figures_of(&spec, wrong, y, 2, 2).r2, 0);
    struct hn_figures f = figures_of(&spec, wrong, y, 1, 1);
    ck_assert_uint_eq(f.has, HN_HAS_MAE | HN_HAS_RMSE);
    f = figures_of(&spec, wrong, y, 0, 1);
    ck_assert_uint_eq(f.has, 0);
}
END_TEST

START_TEST(floats_too)
{
    static const float p[] = { 1.5f, 2.5f }, y[] = { 1, 2 };
    struct hn_metric_spec spec = { .per_row = 1, .want = ALL, .elem = 4, .max_rows = 2 };
    struct hn_mem mem;
    struct hn_metric *m;
    struct hn_figures f = { 0 };
    hn_mem_init(&mem, 0);
    ck_assert_int_eq(hn_metric_create(&mem, &spec, &m, NULL), HONE_OK);
    hn_metric_add(m, p, y, 2);
    hn_metric_figures(&m, 1, &f);
    ck_assert_double_eq(f.mae, 0.5);
    hn_metric_destroy(m);
}
END_TEST

START_TEST(auc_against_all_pairs)
{
    enum { N = 257 };
    static double p[N], y[N];
    uint32_t key[2] = { 1, 2 };
    double won = 0, pairs = 0;
    for (int i = 0; i < N; i++) {
        y[i] = hn_rng_u32(key, 1, (uint64_t)i) % 3 == 0;
        p[i] = (double)(hn_rng_u32(key, 2, (uint64_t)i) % 40) + 5 * y[i];
    }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            if (!(y[i] > y[k])) continue;
            won += p[i] > p[k] ? 1 : p[i] < p[k] ? 0 : 0.5;
            pairs++;
        }
    struct hn_metric_spec spec = {
        .per_row = 1, .n_classes = 2, .dense = 1, .want = HN_HAS_AUC, .elem = 8, .max_rows = N
    };
    ck_assert_double_eq_tol(figures_of(&spec, p, y, N, 50).auc, won / pairs, 1e-12);
}
END_TEST

/* scikit-learn's roc_auc_score(y, p, multi_class="ovr", average="macro") of these very numbers */
START_TEST(auc_of_three_classes)
{
    static const double y[] = { 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 1, 2 };
    static const double p[] = { 0.5, 0.3, 0.2, 0.1, 0.8, 0.1, 0.2, 0.2, 0.6, 0.4, 0.2,
                                0.4, 0.3, 0.4, 0.3, 0.6, 0.2, 0.2, 0.4, 0.4, 0.2, 0.2,
                                0.5, 0.3, 0.2, 0.3, 0.5, 0.5, 0.2, 0.3, 0.3, 0.3, 0.4,
                                0.5, 0.4, 0.1, 0.1, 0.7, 0.2, 0.2, 0.4, 0.4 };
    static const double z[] = { -2.5, -3.1, -4.2, -1.6, 0.5,  -1.8, 4.2,  6.8,  4.3,  -5.9, -3.7,
                                -2.7, 2.8,  1.9,  2.5,  2.9,  -2.3, -0.6, -4.5, -4.5, -5.6, 5.5,
                                4.7,  6.5,  2.6,  1.9,  -1.5, -4.7, -3.7, -2.2, -2.8, 0.5,  -1.7,
                                1.3,  3.9,  0.1,  -0.6, 2.4,  -1.7, 1.8,  2.3,  3.4 };
    struct hn_metric_spec spec = {
        .per_row = 3, .n_classes = 3, .want = HN_HAS_AUC, .elem = 8, .max_rows = 14
    };
    ck_assert_double_eq_tol(figures_of(&spec, p, y, 14, 5).auc, 0.9162037037037036, 1e-15);
    spec.softmax = 1; /* of z itself it would be 0.561 */
    ck_assert_double_eq_tol(figures_of(&spec, z, y, 14, 14).auc, 0.6814814814814815, 1e-15);
}
END_TEST

START_TEST(auc_of_many_yes_or_no)
{
    static const double y[] = { 0, 0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0,
                                0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1 };
    static const double p[] = { -1.7, -2.0, 0.7,  -0.9, 0.2,  3.2,  0.2,  0.4, 1.2,  0.5, 0.8,
                                -0.2, 1.7,  0.5,  -0.0, -0.1, 0.0,  -0.1, 0.3, -0.9, 1.0, 0.2,
                                1.1,  0.4,  -0.1, -2.0, -0.1, 0.4,  -2.1, 1.8, -1.7, 1.8, 0.2,
                                1.8,  0.1,  -0.5, 1.2,  2.4,  -0.1, 0.7,  0.8, 0.0 };
    double flat[42];
    struct hn_metric_spec spec = {
        .per_row = 3, .multilabel = 1, .dense = 1, .want = HN_HAS_AUC, .elem = 8, .max_rows = 14
    };
    ck_assert_double_eq_tol(figures_of(&spec, p, y, 14, 3).auc, 0.8361111111111111, 1e-15);
    for (int i = 0; i < 42; i++) flat[i] = i % 3 == 1 ? 1 : y[i];
    ck_assert_double_eq_tol(figures_of(&spec, p, flat, 14, 3).auc, 0.7645833333333334, 1e-15);
    for (int i = 0; i < 42; i++) flat[i] = 1; /* no column has both */
    ck_assert_uint_eq(figures_of(&spec, p, flat, 14, 3).has, 0);
}
END_TEST

START_TEST(odds_go_on_where_probabilities_end)
{
    double sure[] = { 800, 0, -5 }, surer[] = { -5, 0, 900 }, level[] = { 1, 1, 1 };
    hn_auc_odds(sure, 3);
    hn_auc_odds(surer, 3);
    hn_auc_odds(level, 3);
    ck_assert_double_eq_tol(sure[0], 800, 0.01);
    ck_assert_double_eq_tol(surer[2], 900, 0.01);
    ck_assert_double_eq_tol(surer[0], -905, 0.01);
    for (int k = 0; k < 3; k++) ck_assert_double_eq_tol(level[k], log(0.5), 1e-15);
}
END_TEST

START_TEST(spec_of_targets)
{
    struct hn_target t = { .loss = HN_LOSS_CE, .n_classes = 10 };
    struct hn_metric_spec s;
    hn_metric_spec_of(&t, 10, 0, 0, &s);
    ck_assert_uint_eq(s.want, HN_HAS_ACCURACY);
    hn_metric_spec_of(&t, 10, 0, ALL, &s);
    ck_assert_uint_eq(s.want, HN_HAS_ACCURACY | HN_HAS_F1 | HN_HAS_AUC);
    ck_assert_int_eq(s.softmax, 1);
    t.tail = HN_TAIL_SOFTMAX;
    hn_metric_spec_of(&t, 10, 0, ALL, &s);
    ck_assert_int_eq(s.softmax, 0);
    t = (struct hn_target){ .loss = HN_LOSS_MSE, .dense = 1 };
    hn_metric_spec_of(&t, 1, 0, HN_HAS_RMSE | HN_HAS_AUC, &s);
    ck_assert_uint_eq(s.want, HN_HAS_MAE | HN_HAS_RMSE | HN_HAS_R2);
    t = (struct hn_target){ .loss = HN_LOSS_BCE, .dense = 1, .n_classes = 2 };
    hn_metric_spec_of(&t, 1, 1, HN_HAS_AUC, &s);
    ck_assert_uint_eq(s.want, HN_HAS_ACCURACY | HN_HAS_AUC);
    ck_assert_double_eq(s.threshold, 0);
    hn_metric_spec_of(&t, 5, 0, HN_HAS_AUC, &s);
    ck_assert_int_eq(s.multilabel, 1);
    ck_assert_double_eq(s.threshold, 0.5);
    ck_assert_uint_eq(s.want, HN_HAS_ACCURACY | HN_HAS_AUC);
}
END_TEST

START_TEST(names)
{
    struct hn_figures f = { .loss = 1, .accuracy = 2, .f1 = 3, .has = HN_HAS_ACCURACY };
    double v;
    ck_assert_int_eq(hn_metric_direction("val_loss"), 0);
    ck_assert_int_eq(hn_metric_direction("rmse"), 0);
    ck_assert_int_eq(hn_metric_direction("train_accuracy"), 1);
    ck_assert_int_eq(hn_metric_direction("test_r2"), 1);
    ck_assert_int_eq(hn_metric_direction("val_acc"), -1);
    ck_assert_uint_eq(hn_metric_bit("auc"), HN_HAS_AUC);
    ck_assert_uint_eq(hn_metric_bit("loss"), 0);
    ck_assert_int_eq(hn_metric_get(&f, "loss", &v), 1);
    ck_assert_double_eq(v, 1);
    ck_assert_int_eq(hn_metric_get(&f, "accuracy", &v), 1);
    ck_assert_double_eq(v, 2);
    ck_assert_int_eq(hn_metric_get(&f, "f1", &v), 0);
    ck_assert_ptr_null(hn_metric_name(7));
}
END_TEST

START_TEST(out_of_memory)
{
    struct hn_metric_spec spec = {
        .per_row = 1, .n_classes = 2, .want = ALL, .elem = 8, .max_rows = 9
    };
    for (long n = 1;; n++) {
        struct hn_fault fault;
        struct hn_metric *m;
        hn_fault_init(&fault);
        fault.mem_fail.at = n;
        hone_status st = hn_metric_create(&fault.mem, &spec, &m, NULL);
        hn_metric_destroy(m);
        ck_assert_int_eq(hn_fault_leaks(&fault), 0);
        if (!atomic_load(&fault.mem_fail.hits)) {
            ck_assert_int_eq(st, HONE_OK);
            ck_assert_int_gt(n, 3);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
}
END_TEST

HN_TEST_MAIN("metric", tcase_add_test(tc, classes);
             tcase_add_test(tc, one_hot_targets_and_absent_classes);
             tcase_add_test(tc, two_classes_on_one_output);
             tcase_add_test(tc, two_classes_on_two_outputs);
             tcase_add_test(tc, labels_that_are_no_class); tcase_add_test(tc, many_yes_or_no);
             tcase_add_test(tc, numbers); tcase_add_test(tc, constant_columns_and_single_rows);
             tcase_add_test(tc, floats_too); tcase_add_test(tc, auc_against_all_pairs);
             tcase_add_test(tc, auc_of_three_classes); tcase_add_test(tc, auc_of_many_yes_or_no);
             tcase_add_test(tc, odds_go_on_where_probabilities_end);
             tcase_add_test(tc, spec_of_targets); tcase_add_test(tc, names);
             tcase_add_test(tc, out_of_memory);)
