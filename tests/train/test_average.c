/* SPDX-License-Identifier: MIT
 *
 * Averaged weights (--swa-start, --ema) through hone_train: what is judged and exported is the average, training itself goes
 * on from its own weights. Their values are compared with PyTorch's in test_parity. */
#include "tests/train/kit.h"
#include <math.h>

static hone_error err;
static char said[2048]; /* all warnings, a line each */

static hone_result *train(struct kit *k, const struct kit_pair *pairs)
{
    hone_result *r;
    HN_OK(kit_set(k, pairs, &err), err);
    HN_OK(hone_train(k->model, k->data, k->params, NULL, &r, &err), err);
    return r;
}

static double of_epoch(const hone_result *r, int epoch, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "curve.%d.%s", epoch, name);
    return kit_number(r, path);
}

static const char *const models[] = { "bn_f32", "ln_f32", "bn_f64", "ln_f64", "bn_f16", "ln_bf16" };
enum { N_MODELS = sizeof models / sizeof *models };

START_TEST(the_average_is_judged_and_exported)
{
    const struct kit_pair *common =
        PAIRS({ "epochs", "7" }, { "lr", "0.03" }, { "batch-size", "8" });
    struct kit k[2];
    hone_result *r[2];
    for (int i = 0; i < 2; i++) {
        HN_OK(kit_open(&k[i], models[_i], 10, NULL, NULL, &err), err);
        HN_OK(kit_set(&k[i], common, &err), err);
        HN_OK(hone_params_set(k[i].params, "save", "last", &err), err);
        r[i] = train(&k[i], PAIRS({ "swa-start", i ? "4" : "0" }));
    }
    ck_assert_double_eq(kit_number(r[1], "averaged_epochs"), 4);
    ck_assert(!hone_result_number(r[0], "averaged_epochs", &(double){ 0 }));
    for (int e = 1; e <= 7; e++) {
        ck_assert_double_eq(of_epoch(r[0], e, "train_loss"), of_epoch(r[1], e, "train_loss"));
        ck_assert_double_eq(of_epoch(r[0], e, "lr"), of_epoch(r[1], e, "lr"));
        double plain = of_epoch(r[0], e, "val_loss"), mean = of_epoch(r[1], e, "val_loss");
        if (e < 4 || (e == 4 && models[_i][0] == 'l')) /* the first one alone is its own mean */
            ck_assert_double_eq(plain, mean);
        else
            ck_assert_double_ne(plain, mean); /* at 4 by its measured statistics */
    }
    ck_assert_double_eq(kit_number(r[1], "val.loss"), of_epoch(r[1], 7, "val_loss"));
    ck_assert_double_eq(kit_number(r[1], "hyperparameters.swa_start"), 4);
    ck_assert(!hone_result_number(r[1], "hyperparameters.swa_lr", &(double){ 0 }));
    for (int i = 0; i < 2; i++) {
        hone_result_destroy(r[i]);
        kit_close(&k[i]);
    }
}
END_TEST

START_TEST(ema_is_judged_and_exported)
{
    struct kit k[3];
    hone_result *r[3];
    static const char *const decay[] = { "0", "0.8", "1e-9" };
    for (int i = 0; i < 3; i++) {
        HN_OK(kit_open(&k[i], models[_i], 10, NULL, NULL, &err), err);
        r[i] = train(&k[i], PAIRS({ "epochs", "4" }, { "lr", "0.03" }, { "batch-size", "8" },
                                  { "save", "last" }, { "ema", decay[i] }));
        ck_assert_double_eq(kit_number(r[i], "val.loss"), of_epoch(r[i], 4, "val_loss"));
        ck_assert(!hone_result_number(r[i], "averaged_epochs", &(double){ 0 }));
        ck_assert_double_eq(kit_number(r[i], "hyperparameters.ema"), atof(decay[i]));
    }
    ck_assert_double_eq(of_epoch(r[1], 0, "val_loss"), of_epoch(r[0], 0, "val_loss"));
    for (int e = 1; e <= 4; e++) {
        double plain = of_epoch(r[0], e, "val_loss");
        for (int i = 1; i < 3; i++)
            ck_assert_double_eq(of_epoch(r[0], e, "train_loss"), of_epoch(r[i], e, "train_loss"));
        ck_assert_double_ne(of_epoch(r[1], e, "val_loss"), plain);
        ck_assert_double_eq_tol(of_epoch(r[2], e, "val_loss"), plain, 1e-5 * plain); /* no memory */
    }
    for (int i = 0; i < 3; i++) {
        hone_result_destroy(r[i]);
        kit_close(&k[i]);
    }
}
END_TEST

START_TEST(ema_is_never_worse_than_what_came)
{
    struct kit k;
    HN_OK(kit_open(&k, models[_i], 10, NULL, NULL, &err), err);
    uint64_t came = kit_hash(k.model);
    hone_result *r =
        train(&k, PAIRS({ "epochs", "3" }, { "lr", "4" }, { "batch-size", "8" }, { "ema", "0.5" }));
    ck_assert_double_le(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    ck_assert_double_eq(kit_number(r, "best_epoch"), 0);
    ck_assert_uint_eq(kit_hash(k.model), came);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* Frozen parameters are no part of the average: they leave with the bits they came with. */
START_TEST(ema_leaves_what_is_frozen)
{
    struct kit k;
    double before[48], after[48], out[2][15];
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    kit_tensor(k.model, "fc1.weight", before, 48);
    kit_tensor(k.model, "out.weight", out[0], 15);
    hone_result_destroy(
        train(&k, PAIRS({ "epochs", "3" }, { "freeze", "fc1.*" }, { "ema", "0.37" })));
    kit_tensor(k.model, "fc1.weight", after, 48);
    kit_tensor(k.model, "out.weight", out[1], 15);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_mem_ne(out[0], out[1], sizeof out[0]);
    kit_close(&k);
}
END_TEST

START_TEST(never_worse_than_what_came)
{
    struct kit k;
    HN_OK(kit_open(&k, models[_i], 10, NULL, NULL, &err), err);
    uint64_t came = kit_hash(k.model);
    hone_result *r = train(&k, PAIRS({ "epochs", "6" }, { "lr", "1e-12" }, { "batch-size", "40" },
                                     { "swa-start", "0.5" }, { "swa-lr", "3" }));
    ck_assert_double_eq(kit_number(r, "averaged_epochs"), 3);
    ck_assert_double_eq(of_epoch(r, 3, "lr"), 1e-12);
    ck_assert_double_eq(of_epoch(r, 4, "lr"), 3);
    ck_assert_double_le(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    if (kit_number(r, "best_epoch") == 0) ck_assert_uint_eq(kit_hash(k.model), came);
    ck_assert_double_lt(kit_number(r, "best_epoch"), 4);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(the_best_average_comes_back)
{
    struct kit k;
    HN_OK(kit_open(&k, models[_i], 10, NULL, NULL, &err), err);
    hone_result *r =
        train(&k, PAIRS({ "epochs", "9" }, { "lr", "0.02" }, { "batch-size", "8" },
                        { "swa-start", "2" }, { "swa-lr", "0.05" }, { "swa-anneal", "2" }));
    int best = (int)kit_number(r, "best_epoch");
    for (int e = 0; e <= 9; e++)
        ck_assert_double_ge(of_epoch(r, e, "val_loss"), of_epoch(r, best, "val_loss"));
    ck_assert_double_eq(kit_number(r, "val.loss"), of_epoch(r, best, "val_loss"));
    ck_assert_double_eq(of_epoch(r, 2, "lr"), 0.02);
    ck_assert_double_eq_tol(of_epoch(r, 3, "lr"), 0.035, 1e-12);
    ck_assert_double_eq(of_epoch(r, 4, "lr"), 0.05);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* Mean and variance of one batch of all rows can be had from the model itself: a training of rate 0 with momentum 0. */
START_TEST(statistics_are_those_of_the_training_rows)
{
    struct kit k[2];
    double whole[8], pieces[8], variance[8];
    for (int i = 0; i < 2; i++) { /* one batch; and 20, 20, 10 rows */
        HN_OK(kit_open(&k[i], "bn_f64", 0, NULL, NULL, &err), err);
        hone_result_destroy(
            train(&k[i], PAIRS({ "epochs", "1" }, { "lr", "1e-30" }, { "swa-start", "1" },
                               { "batch-size", i ? "20" : "50" })));
        kit_tensor(k[i].model, "norm1.running_mean", i ? pieces : whole, 8);
        kit_tensor(k[i].model, "norm1.running_var", variance, 8);
    }
    double w[48], b[8];
    kit_tensor(k[0].model, "fc1.weight", w, 48);
    kit_tensor(k[0].model, "fc1.bias", b, 8);
    for (int c = 0; c < 8; c++) {
        double sum = 0;
        for (int i = 0; i < KIT_ROWS; i++) {
            sum += b[c];
            for (int j = 0; j < KIT_IN; j++) sum += w[c * KIT_IN + j] * k[0].x[i * KIT_IN + j];
        }
        ck_assert_double_eq_tol(whole[c], sum / KIT_ROWS, 1e-12);
        ck_assert_double_eq_tol(pieces[c], sum / KIT_ROWS, 1e-12);
        ck_assert_double_gt(variance[c], 0);
    }
    kit_close(&k[0]);
    kit_close(&k[1]);
}
END_TEST

START_TEST(any_number_of_threads)
{
    uint64_t hash[6];
    for (int i = 0; i < 6; i++) {
        struct kit k;
        const char threads[] = { (char)('1' + i % 3), 0 };
        HN_OK(kit_open(&k, models[_i], 10, NULL, NULL, &err), err);
        hone_result_destroy(
            train(&k, PAIRS({ "epochs", "5" }, { "batch-size", "16" },
                            { "swa-start", i < 3 ? "2" : "0" }, { "ema", i < 3 ? "0" : "0.9" },
                            { "save", "last" }, { "dropout", "0.2" }, { "threads", threads })));
        hash[i] = kit_hash(k.model);
        kit_close(&k);
    }
    for (int i = 0; i < 6; i++) ck_assert_uint_eq(hash[i], hash[i / 3 * 3]);
    ck_assert_uint_ne(hash[0], hash[3]);
}
END_TEST

static void listen(void *user, hone_log_level level, const char *text)
{
    (void)user;
    size_t n = strlen(said);
    if (level == HONE_LOG_WARNING) snprintf(said + n, sizeof said - n, "%s\n", text);
}

START_TEST(an_average_that_never_began_is_said)
{
    struct kit k;
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    k.ctx->log = listen;
    hone_result *r = train(&k, PAIRS({ "epochs", "50" }, { "lr", "5" },
                                     { "early-stop-patience", "2" }, { "swa-start", "0.9" }));
    ck_assert_double_eq(kit_number(r, "averaged_epochs"), 0);
    ck_assert_double_lt(kit_number(r, "epochs"), 46);
    ck_assert_msg(strstr(said, "before --swa-start"), "%s", said);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        struct kit_pair pairs[3];
        const char *where, *text;
    } cases[] = {
        { { { "swa-start", "21" } }, "swa-start", "at most the 20 of --epochs" },
        { { { "swa-start", "2.5" } }, "swa-start", "found 2.5, wanted a whole epoch" },
        { { { "swa-lr", "0.1" } }, "swa-lr", "without --swa-start" },
        { { { "swa-anneal", "3" } }, "swa-anneal", "without --swa-lr" },
        { { { "swa-start", "3" }, { "ema", "0.9" } }, "swa-start", "cannot be with --ema" },
        { { { "swa-start", "3" }, { "swa-anneal", "3" } }, "swa-anneal", "without --swa-lr" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kit k;
        hone_result *r;
        HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
        HN_OK(kit_set(&k, cases[i].pairs, &err), err);
        ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_USAGE);
        ck_assert_str_eq(err.where, cases[i].where);
        ck_assert_msg(strstr(err.text, cases[i].text), "%s: %s", err.where, err.text);
        kit_close(&k);
    }
}
END_TEST

HN_TEST_MAIN("average", tcase_add_loop_test(tc, the_average_is_judged_and_exported, 0, N_MODELS);
             tcase_add_loop_test(tc, ema_is_judged_and_exported, 0, N_MODELS);
             tcase_add_loop_test(tc, ema_is_never_worse_than_what_came, 0, N_MODELS);
             tcase_add_test(tc, ema_leaves_what_is_frozen);
             tcase_add_loop_test(tc, never_worse_than_what_came, 0, N_MODELS);
             tcase_add_loop_test(tc, the_best_average_comes_back, 0, N_MODELS);
             tcase_add_test(tc, statistics_are_those_of_the_training_rows);
             tcase_add_loop_test(tc, any_number_of_threads, 0, N_MODELS);
             tcase_add_test(tc, an_average_that_never_began_is_said); tcase_add_test(tc, refusals);)
