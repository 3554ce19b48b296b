/* SPDX-License-Identifier: MIT
 *
 * The learning rate range test: its curve against formulas written down here a second time, and hone_lr_find on small models:
 * what a step of it is, what it leaves alone, when it ends, what it refuses. */
#include "ops/base/rng.h"
#include "plugin/train/range.h"
#include "tests/train/kit.h"
#include <math.h>

static hone_error err;
static struct hn_range_point points[HN_RANGE_MOST];
static int room[HN_RANGE_MOST];

static hone_result *find(struct kit *k, const struct kit_pair *pairs)
{
    hone_result *r;
    HN_OK(kit_set(k, pairs, &err), err);
    HN_OK(hone_lr_find(k->model, k->data, k->params, NULL, &r, &err), err);
    return r;
}

static double of_point(const hone_result *r, int i, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "points.%d.%s", i, name);
    return kit_number(r, path);
}

/* ---- the curve ---- */

/* A curve that is flat, falls in a logistic step around point `fall`, and rises at the end; noise of that size. */
static struct hn_range curve_with(uint32_t seed, int n, double fall, double noise, int rise)
{
    const uint32_t key[2] = { seed, 6 };
    struct hn_range r = { .point = points, .steps = n };
    for (int i = 0; i < n; i++) {
        double loss = 1 + 1 / (1 + exp((i - fall) / 3));
        loss += noise * hn_rng_normal(key, HN_STREAM_AUGMENT, (uint64_t)i);
        if (i >= rise) loss += pow(3, i - rise);
        if (!hn_range_add(&r, hn_range_rate(1e-6, 1, i, n), loss)) break;
    }
    return r;
}

static struct hn_range curve_of(int n, double fall, double noise, int rise)
{
    return curve_with(5, n, fall, noise, rise);
}

START_TEST(rates_and_smoothing)
{
    struct hn_range r = curve_of(100, 60, 0.1, 1000);
    ck_assert_int_eq(r.n, 100);
    ck_assert_double_eq(points[0].lr, 1e-6);
    ck_assert_double_eq(points[99].lr, 1);
    for (int i = 1; i < 100; i++)
        ck_assert_double_eq_tol(points[i].lr / points[i - 1].lr, pow(1e6, 1 / 99.0), 1e-9);
    for (int i = 0; i < 100; i++) {
        double sum = 0, weight = 0; /* an exponential mean with its bias taken out */
        for (int k = 0; k <= i; k++)
            sum += pow(0.98, i - k) * points[k].loss, weight += pow(0.98, i - k);
        ck_assert_double_eq_tol(points[i].smoothed, sum / weight, 1e-12);
    }
}
END_TEST

START_TEST(it_ends_at_four_times_the_lowest)
{
    struct hn_range r = curve_of(100, 40, 0.01, 70);
    ck_assert_int_lt(r.n, 100);
    for (int i = 0; i < r.n; i++)
        ck_assert(i + 1 < r.n ? points[i].smoothed <= 4 * r.best : points[i].smoothed > 4 * r.best);
    r = curve_of(100, 40, 0.01, 3); /* not in the first tenth */
    ck_assert_int_eq(r.n, 11);
}
END_TEST

/* fastai's valley as its page has it: the longest falling subsequence, in quadratic time. */
static int valley_again(const struct hn_range *r)
{
    int first = r->steps / 10, n = r->n - 5 - first, lds[1000], max_start = 0, max_end = 0;
    const struct hn_range_point *p = points + first;
    for (int i = 0; i < n; i++) lds[i] = 1;
    for (int i = 1; i < n; i++)
        for (int j = 0; j < i; j++) {
            if (p[i].smoothed < p[j].smoothed && lds[i] < lds[j] + 1) lds[i] = lds[j] + 1;
            if (lds[max_end] < lds[i]) max_end = i, max_start = max_end - lds[max_end];
        }
    double sections = (max_end - max_start) / 3.0;
    return first + max_start + (int)sections + (int)(sections / 2);
}

START_TEST(suggestions)
{
    for (int fall = 30; fall <= 70; fall += 10) {
        struct hn_range r = curve_of(100, fall, 0.02, 90);
        int steep = hn_range_steepest(&r), valley = hn_range_valley(&r, room),
            rises = hn_range_rises(&r);
        ck_assert_msg(abs(steep - fall - 3) <= 9, "falls around %d, steepest at %d", fall, steep);
        ck_assert_int_eq(valley, valley_again(&r));
        ck_assert_msg(rises >= 89 && rises <= 93, "rises at %d", rises);
    }
    for (int trial = 0; trial < 20; trial++) { /* noise alone is no fall */
        struct hn_range r = curve_of(100, 1e9, 0.3 + 0.01 * trial, 95);
        ck_assert_int_eq(hn_range_steepest(&r), -1);
        ck_assert_int_eq(hn_range_valley(&r, room), -1);
        ck_assert_int_gt(hn_range_rises(&r), 80);
    }
    int found = 0;
    for (uint32_t seed = 0; seed < 200;
         seed++) { /* few batches differ by more than a quarter of the fall */
        struct hn_range r = curve_with(seed, 100, 75, 0.6, 1000);
        int steep = hn_range_steepest(&r);
        ck_assert_msg(steep < 0 || steep >= 45, "seed %u: steepest at %d", seed, steep);
        found += steep >= 0;
    }
    ck_assert_int_ge(found, 160);
    struct hn_range r = curve_of(10, 1e9, 0, 100); /* flat, and short */
    ck_assert_int_eq(hn_range_steepest(&r), -1);
    ck_assert_int_eq(hn_range_rises(&r), -1);
}
END_TEST

/* ---- hone_lr_find ---- */

static const char *const models[] = { "bn_f32", "ln_f64", "bn_f64", "ln_f32", "bn_f16", "ln_bf16" };
enum { N_MODELS = sizeof models / sizeof *models };

START_TEST(the_model_stays_and_the_curve_repeats)
{
    struct kit k;
    double loss[2][30];
    HN_OK(kit_open(&k, models[_i], 0, NULL, NULL, &err), err);
    uint64_t came = kit_file_hash(k.model);
    for (int run = 0; run < 2; run++) {
        hone_result *r =
            find(&k, PAIRS({ "steps", "30" }, { "lr-to", "0.1" }, { "batch-size", "16" },
                           { "dropout", "0.2" }, { "threads", run ? "3" : "1" }));
        ck_assert_str_eq(hone_result_text(r, "schema"), "hone.lr-find/1");
        ck_assert_str_eq(hone_result_text(r, "stop_reason"), "steps");
        ck_assert_double_eq(kit_number(r, "steps"), 30);
        ck_assert_double_eq(of_point(r, 0, "lr"), 1e-7);
        ck_assert_double_eq(of_point(r, 29, "lr"), 0.1);
        for (int i = 0; i < 30; i++) loss[run][i] = of_point(r, i, "loss");
        hone_result_destroy(r);
        ck_assert_uint_eq(kit_file_hash(k.model), came);
        ck_assert_int_eq(hn_model_n_edits(k.model), 0);
    }
    ck_assert_mem_eq(loss[0], loss[1], sizeof loss[0]);
    kit_close(&k);
}
END_TEST

/* While nothing moves a step's loss is the mean over its batches: two epochs of one rate are a training's. */
START_TEST(steps_are_those_of_training)
{
    struct kit k;
    HN_OK(kit_open(&k, models[_i], 0, NULL, NULL, &err), err);
    HN_OK(kit_set(&k,
                  PAIRS({ "batch-size", "10" }, { "accumulate", "2" }, { "lr-from", "0.02" },
                        { "lr-to", "0.0200000001" }, { "steps", "12" }, { "lr", "0.02" },
                        { "epochs", "4" }, { "optimizer", "sgd" }, { "monitor", "train_loss" }),
                  &err),
          err);
    hone_result *r = find(&k, PAIRS({ "seed", "4" })), *t;
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &t, &err), err);
    ck_assert(!hone_result_number(t, "curve.4.train_loss", &(double){ 0 })); /* none of epoch 0 */
    for (int e = 0; e < 4; e++) { /* 50 rows: steps of 20, 20 and 10 */
        double mean = 0.4 * of_point(r, 3 * e, "loss") + 0.4 * of_point(r, 3 * e + 1, "loss") +
                      0.2 * of_point(r, 3 * e + 2, "loss");
        char path[64];
        snprintf(path, sizeof path, "curve.%d.train_loss", e);
        ck_assert_double_eq_tol(mean, kit_number(t, path), 1e-6 * mean);
    }
    hone_result_destroy(r);
    hone_result_destroy(t);
    kit_close(&k);
}
END_TEST

START_TEST(a_fresh_model_gets_a_rate_that_trains)
{
    struct kit k;
    char rate[32];
    HN_OK(kit_open(&k, models[_i], 0, NULL, NULL, &err), err);
    hone_result *r =
        find(&k, PAIRS({ "init", "fresh" }, { "batch-size", "10" }, { "optimizer", "sgd" },
                       { "steps", "200" }, { "lr-from", "1e-5" }));
    double lr = kit_number(r, "suggestion");
    const double steep = kit_number(r, "suggestions.steepest"),
                 valley = kit_number(r, "suggestions.valley");
    ck_assert_double_eq_tol(lr * lr / (steep * valley), 1, 1e-12);
    ck_assert_double_lt(lr, kit_number(r, "lowest"));
    hone_result_destroy(r);
    snprintf(rate, sizeof rate, "%.17g", lr);
    HN_OK(kit_set(&k, PAIRS({ "lr", rate }, { "epochs", "10" }, { "monitor", "train_loss" }), &err),
          err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "max_epochs");
    ck_assert_double_lt(kit_number(r, "curve.9.train_loss"),
                        0.97 * kit_number(r, "curve.0.train_loss"));
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(a_loss_that_is_not_finite_ends_it)
{
    struct kit k;
    HN_OK(kit_open(&k, "ln_f32", 0, NULL, NULL, &err), err);
    uint64_t came = kit_hash(k.model);
    hone_result *r = find(&k, PAIRS({ "lr-from", "1e20" }, { "lr-to", "1e38" },
                                    { "optimizer", "sgd" }, { "steps", "50" }));
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "not_finite");
    ck_assert_double_lt(kit_number(r, "steps"), 50);
    ck_assert(!hone_result_number(r, "suggestion", &(double){ 0 }));
    ck_assert_uint_eq(kit_hash(k.model), came);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

static int stop_it(void *user, const hone_progress *p)
{
    *(hone_progress *)user = *p;
    return 1;
}

START_TEST(the_caller_is_told_and_may_stop_it)
{
    struct kit k;
    hone_result *r;
    hone_progress told = { 0 };
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = stop_it;
    cb.user = &told;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    HN_OK(kit_set(&k, PAIRS({ "steps", "40" }, { "lr-from", "1e-5" }), &err), err);
    HN_OK(hone_lr_find(k.model, k.data, k.params, &cb, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "interrupted");
    ck_assert_double_eq(kit_number(r, "steps"), 1);
    ck_assert_int_eq(told.epochs, 0);
    ck_assert_int_eq(told.row, 1);
    ck_assert_int_eq(told.rows, 40);
    ck_assert_double_eq(told.lr, 1e-5);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        struct kit_pair pairs[3];
        const char *where;
    } cases[] = {
        { { { "lr-from", "1" }, { "lr-to", "0.1" } }, "lr-to" },
        { { { "freeze", "*" } }, "" },
        { { { "loss", "bce" } }, "" },
    };
    struct kit k;
    hone_result *r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
        uint64_t came = kit_hash(k.model);
        HN_OK(kit_set(&k, cases[i].pairs, &err), err);
        ck_assert_int_ne(hone_lr_find(k.model, k.data, k.params, NULL, &r, &err), HONE_OK);
        if (cases[i].where[0]) ck_assert_str_eq(err.where, cases[i].where);
        ck_assert(err.text[0]);
        ck_assert_ptr_null(r);
        ck_assert_uint_eq(kit_hash(k.model), came);
        kit_close(&k);
    }
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    ck_assert_int_eq(hone_lr_find(k.model, NULL, k.params, NULL, &r, &err), HONE_E_USAGE);
    kit_close(&k);
}
END_TEST

HN_TEST_MAIN("range", tcase_add_test(tc, rates_and_smoothing);
             tcase_add_test(tc, it_ends_at_four_times_the_lowest); tcase_add_test(tc, suggestions);
             tcase_add_loop_test(tc, the_model_stays_and_the_curve_repeats, 0, N_MODELS);
             tcase_add_loop_test(tc, steps_are_those_of_training, 0, 4);
             tcase_add_loop_test(tc, a_fresh_model_gets_a_rate_that_trains, 0, 4);
             tcase_add_test(tc, a_loss_that_is_not_finite_ends_it);
             tcase_add_test(tc, the_caller_is_told_and_may_stop_it); tcase_add_test(tc, refusals);)
