/* SPDX-License-Identifier: MIT
 *
 * The training loop through hone_train: what a run returns, when it stops, which weights it leaves, what it says. */
#include "tests/train/kit.h"
#include <math.h>

static hone_error err;

static hone_result *train(struct kit *k, const struct kit_pair *pairs, const hone_callbacks *cb)
{
    hone_result *r;
    HN_OK(kit_set(k, pairs, &err), err);
    HN_OK(hone_train(k->model, k->data, k->params, cb, &r, &err), err);
    return r;
}

static int has(const hone_result *r, const char *path)
{
    double v;
    return hone_result_number(r, path, &v) || hone_result_text(r, path);
}

/* ---- results ---- */

START_TEST(learns_and_says_so)
{
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 10, NULL, NULL, &err), err);
    hone_result *r =
        train(&k, PAIRS({ "epochs", "15" }, { "lr", "0.02" }, { "batch-size", "8" }), NULL);
    ck_assert_str_eq(hone_result_text(r, "schema"), "hone.train/1");
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "max_epochs");
    ck_assert_str_eq(hone_result_text(r, "monitor"), "val_loss");
    ck_assert_str_eq(hone_result_text(r, "device"), "cpu");
    ck_assert_double_eq(kit_number(r, "epochs"), 15);
    ck_assert_double_eq(kit_number(r, "parameters"), 145); /* running statistics are state */
    ck_assert_double_eq(kit_number(r, "trainable_parameters"), 145);
    ck_assert_double_lt(kit_number(r, "curve.15.train_loss"),
                        0.7 * kit_number(r, "curve.1.train_loss"));
    ck_assert_double_le(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    ck_assert(has(r, "val.accuracy") && has(r, "train.accuracy") && !has(r, "test.loss"));
    ck_assert(!has(r, "before.train.loss"));
    ck_assert_double_eq(kit_number(r, "hyperparameters.lr"), 0.02);
    ck_assert_double_gt(kit_number(r, "samples_per_second"), 0);
    char path[64];
    snprintf(path, sizeof path, "curve.%d.val_loss", (int)kit_number(r, "best_epoch"));
    ck_assert_double_eq(kit_number(r, path), kit_number(r, "val.loss"));
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* The best epoch's weights are the result: evaluating the model gives its figures, to the last bit. */
START_TEST(the_best_weights_come_back)
{
    struct kit k;
    hone_result *r, *e;
    HN_OK(kit_open(&k, "bn_f32", 20, NULL, NULL, &err), err);
    r = train(&k, PAIRS({ "epochs", "40" }, { "lr", "0.1" }, { "batch-size", "4" }), NULL);
    double best = kit_number(r, "best_epoch"), lowest = HUGE_VAL;
    char path[64];
    for (int i = 0; i <= 40; i++) {
        snprintf(path, sizeof path, "curve.%d.val_loss", i);
        lowest = fmin(lowest, kit_number(r, path));
    }
    ck_assert_double_lt(best, 40); /* a rate this high overfits */
    ck_assert_double_eq(kit_number(r, "val.loss"), lowest);
    hone_data *val = NULL;
    hone_array x = { sizeof x, NULL, HONE_F32, 20, KIT_IN, k.xf + 30 * KIT_IN };
    hone_array y = { sizeof y, NULL, HONE_I64, 20, 1, k.labels + 30 };
    HN_OK(hone_data_wrap(k.ctx, HONE_TRAIN, &x, 1, &y, 1, &val, &err), err);
    HN_OK(hone_evaluate(k.model, val, k.params, &e, &err), err);
    ck_assert_double_eq(kit_number(e, "loss"), kit_number(r, "val.loss"));
    ck_assert_double_eq(kit_number(e, "accuracy"), kit_number(r, "val.accuracy"));
    hone_result_destroy(e);
    hone_result_destroy(r);
    hone_data_destroy(val);
    kit_close(&k);
}
END_TEST

START_TEST(never_worse_than_what_came)
{
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 20, NULL, NULL, &err), err);
    uint64_t before = kit_hash(k.model);
    hone_result *r = train(&k,
                           PAIRS({ "epochs", "30" }, { "optimizer", "sgd" }, { "lr", "30" },
                                 { "early-stop-patience", "3" }),
                           NULL);
    ck_assert_double_eq(kit_number(r, "best_epoch"), 0);
    ck_assert_double_eq(kit_number(r, "epochs"), 3); /* patience counts from epoch 0 */
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "patience");
    ck_assert_double_eq(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    ck_assert_uint_eq(kit_hash(k.model), before);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

static char said[2048]; /* all warnings, a line each */

static void listen(void *user, hone_log_level level, const char *text)
{
    (void)user;
    size_t n = strlen(said);
    if (level == HONE_LOG_WARNING) snprintf(said + n, sizeof said - n, "%s\n", text);
}

/* Epoch 0 is then another model than the one that came. */
START_TEST(a_start_that_stays_worse_is_said)
{
    static const char *const starts[][3] = { { "scale", "standard", "with --scale" },
                                             { "init", "fresh", "from the weights of --init" },
                                             { "hidden-units", "5", "with other hidden layers" } };
    const char *const *start = starts[_i];
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 20, NULL, NULL, &err), err);
    hone_result_destroy(train(&k, PAIRS({ "epochs", "60" }, { "lr", "0.02" }), NULL));
    k.ctx->log = listen;
    said[0] = 0;
    hone_result *r =
        train(&k, PAIRS({ "epochs", "1" }, { "lr", "1e-9" }, { start[0], start[1] }), NULL);
    ck_assert_double_gt(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    char wanted[128];
    snprintf(wanted, sizeof wanted, "%s it did not become as good", start[2]);
    ck_assert_msg(strstr(said, wanted), "%s", said);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(last_weights_when_asked_or_without_validation)
{
    struct kit a, b;
    HN_OK(kit_open(&a, "bn_f32", 20, NULL, NULL, &err), err);
    HN_OK(kit_open(&b, "bn_f32", 20, NULL, NULL, &err), err);
    hone_result *r =
        train(&a, PAIRS({ "epochs", "12" }, { "lr", "0.1" }, { "save", "last" }), NULL);
    ck_assert_double_lt(kit_number(r, "best_epoch"), 12);
    ck_assert_double_eq(kit_number(r, "curve.12.val_loss"), kit_number(r, "val.loss"));
    hone_result_destroy(r);
    r = train(&b, PAIRS({ "epochs", "12" }, { "lr", "0.1" }), NULL);
    ck_assert_uint_ne(kit_hash(a.model), kit_hash(b.model));
    hone_result_destroy(r);
    kit_close(&a);
    kit_close(&b);
    HN_OK(kit_open(&a, "bn_f32", 0, NULL, NULL, &err), err);
    r = train(&a, PAIRS({ "epochs", "4" }), NULL);
    ck_assert_ptr_null(hone_result_text(r, "monitor"));
    ck_assert_double_eq(kit_number(r, "best_epoch"), 4);
    ck_assert(has(r, "before.train.loss") && !has(r, "val.loss"));
    hone_result_destroy(r);
    kit_close(&a);
}
END_TEST

/* ---- stopping ---- */

struct watch {
    int calls, epochs, best, stop_at_epoch, stop_inside;
    double last_row;
    hone_context *ctx;
    int request_at_epoch;
};

static int watch_progress(void *user, const hone_progress *p)
{
    struct watch *w = user;
    w->calls++;
    w->epochs += p->epoch_end;
    w->best += p->is_best;
    w->last_row = (double)p->row;
    ck_assert_int_eq(p->size, sizeof *p);
    ck_assert(p->row >= 0 && p->row <= p->rows);
    if (p->epoch_end && p->epoch > 0) {
        ck_assert_str_eq(p->metrics[0].name, "train_loss");
        ck_assert_double_eq(p->metrics[0].value, p->train_loss);
    }
    if (w->request_at_epoch && p->epoch == w->request_at_epoch) hone_request_stop(w->ctx);
    return w->stop_at_epoch && p->epoch_end && p->epoch == w->stop_at_epoch;
}

START_TEST(callbacks_see_every_epoch_and_may_stop)
{
    struct kit k;
    struct watch w = { .stop_at_epoch = 5 };
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = watch_progress;
    cb.user = &w;
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    hone_result *r = train(&k, PAIRS({ "epochs", "9" }), &cb);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "callback");
    ck_assert_double_eq(kit_number(r, "epochs"), 5);
    ck_assert_int_eq(w.epochs, 6); /* epoch 0 too */
    ck_assert_int_ge(w.best, 1);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(requested_stop)
{
    struct kit k;
    struct watch w = { .request_at_epoch = 2 };
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = watch_progress;
    cb.user = &w;
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    w.ctx = k.ctx;
    hone_request_stop(k.ctx); /* an old request does not count */
    hone_result *r = train(&k, PAIRS({ "epochs", "9" }), &cb);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "interrupted");
    ck_assert_double_eq(kit_number(r, "epochs"), 2);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(target_time_and_least_epochs)
{
    struct kit k;
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    hone_result *r = train(
        &k, PAIRS({ "epochs", "99" }, { "target-metric", "val_mae:1e9" }, { "min-epochs", "4" }),
        NULL);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "target");
    ck_assert_double_eq(kit_number(r, "epochs"), 4);
    hone_result_destroy(r);
    kit_close(&k);
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    r = train(&k, PAIRS({ "epochs", "1000000000" }, { "max-seconds", "0.05" }), NULL);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "time");
    ck_assert_double_lt(kit_number(r, "seconds"), 5);
    ck_assert_double_ge(kit_number(r, "epochs"), 1);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* ---- divergence ---- */

START_TEST(diverged_names_the_tensor_and_keeps_good_weights)
{
    struct kit k;
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    uint64_t before = kit_hash(k.model);
    hone_result *r = train(&k,
                           PAIRS({ "epochs", "50" }, { "optimizer", "sgd" }, { "lr", "1e30" },
                                 { "no-shuffle", "true" }),
                           NULL);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "diverged");
    ck_assert_ptr_nonnull(hone_result_text(r, "diverged.tensor"));
    ck_assert(isfinite(kit_number(r, "val.loss")));
    ck_assert_double_le(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    if (kit_number(r, "best_epoch") == 0) ck_assert_uint_eq(kit_hash(k.model), before);
    hone_result_destroy(r);
    kit_close(&k);
    HN_OK(kit_open(&k, "ln_f32", 0, NULL, NULL, &err),
          err); /* nothing to judge by: the last good weights */
    r = train(&k, PAIRS({ "epochs", "50" }, { "optimizer", "sgd" }, { "lr", "1e30" }), NULL);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "diverged");
    double w[48];
    kit_tensor(k.model, "fc1.weight", w, 48);
    for (int i = 0; i < 48; i++) ck_assert(isfinite(w[i]));
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(an_activation_that_overflows_is_named)
{
    struct kit k;
    HN_OK(kit_open(&k, "ln_f32", 0, NULL, NULL, &err), err);
    for (int i = 0; i < KIT_ROWS * 2; i++) k.yf[i] = 3e38f; /* the squared error overflows */
    hone_result *r = train(&k, PAIRS({ "epochs", "3" }), NULL);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "diverged");
    ck_assert_str_eq(hone_result_text(r, "diverged.tensor"), "the loss");
    ck_assert_double_eq(kit_number(r, "epochs"), 0);
    ck_assert_double_eq(kit_number(r, "best_epoch"), 0);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* ---- determinism ---- */

static uint64_t hash_after(const char *name, const struct kit_pair *pairs)
{
    struct kit k;
    HN_OK(kit_open(&k, name, 10, NULL, NULL, &err), err);
    hone_result_destroy(train(&k, pairs, NULL));
    uint64_t hash = kit_hash(k.model);
    kit_close(&k);
    return hash;
}

START_TEST(same_seed_same_bits)
{
    static const struct kit_pair a[] = { { "epochs", "6" },
                                         { "save", "last" },
                                         { "dropout", "0.3" },
                                         { "threads", "1" },
                                         { NULL, NULL } };
    static const struct kit_pair b[] = { { "epochs", "6" },
                                         { "save", "last" },
                                         { "dropout", "0.3" },
                                         { "threads", "3" },
                                         { NULL, NULL } };
    static const struct kit_pair c[] = {
        { "epochs", "6" }, { "save", "last" }, { "dropout", "0.3" }, { "seed", "1" }, { NULL, NULL }
    };
    ck_assert_uint_eq(hash_after("bn_f32", a), hash_after("bn_f32", a));
    ck_assert_uint_eq(hash_after("bn_f32", a), hash_after("bn_f32", b));
    ck_assert_uint_ne(hash_after("bn_f32", a), hash_after("bn_f32", c));
}
END_TEST

START_TEST(fresh_weights_depend_on_the_seed)
{
    static const struct kit_pair a[] = {
        { "epochs", "1" }, { "save", "last" }, { "init", "fresh" }, { NULL, NULL }
    };
    static const struct kit_pair b[] = {
        { "epochs", "1" }, { "init", "fresh" }, { "seed", "7" }, { NULL, NULL }
    };
    static const struct kit_pair c[] = { { "epochs", "1" }, { "save", "last" }, { NULL, NULL } };
    ck_assert_uint_eq(hash_after("ln_f64", a), hash_after("ln_f64", a));
    ck_assert_uint_ne(hash_after("ln_f64", a), hash_after("ln_f64", b));
    ck_assert_uint_ne(hash_after("ln_f64", a), hash_after("ln_f64", c));
}
END_TEST

START_TEST(frozen_parameters_stay)
{
    struct kit k;
    double before[48], after[48], out[10], trained[10];
    HN_OK(kit_open(&k, "ln_f64", 0, NULL, NULL, &err), err);
    kit_tensor(k.model, "fc1.weight", before, 48);
    kit_tensor(k.model, "out.weight", out, 10);
    hone_result *r =
        train(&k, PAIRS({ "epochs", "2" }, { "freeze", "fc*" }, { "freeze", "norm1.*" }), NULL);
    kit_tensor(k.model, "fc1.weight", after, 48);
    kit_tensor(k.model, "out.weight", trained, 10);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_mem_ne(out, trained, sizeof out);
    ck_assert_double_lt(kit_number(r, "trainable_parameters"), kit_number(r, "parameters"));
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* What is put into a trained network starts as what was there, in inference and in training alike. */
START_TEST(inserted_batchnorm_keeps_the_function)
{
    static const char *const models[] = { "ln_f32", "ln_f64" };
    struct kit k;
    HN_OK(kit_open(&k, models[_i], 0, NULL, NULL, &err), err);
    hone_result *r = train(&k,
                           PAIRS({ "batchnorm", "insert" }, { "epochs", "1" },
                                 { "batch-size", "50" }, { "lr", "1e-12" }),
                           NULL);
    double before = kit_number(r, "before.train.loss");
    ck_assert_double_eq_tol(kit_number(r, "curve.0.train_loss"), before, 1e-4 * before);
    ck_assert_double_eq_tol(kit_number(r, "train.loss"), before, 1e-3 * before); /* N / (N - 1) */
    ck_assert_double_gt(kit_number(r, "trainable_parameters"), 135);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* ---- wrong use ---- */

START_TEST(refusals)
{
    static const struct {
        int val;
        struct kit_pair pair;
        const char *text, *hint;
    } cases[] = {
        { 0, { "early-stop-patience", "3" }, "validation data", "--val-split 0.2" },
        { 0, { "lr-schedule", "plateau" }, "validation data", "--val-split 0.2" },
        { 0, { "monitor", "val_loss" }, "validation data", "--monitor train_loss" },
        { 0, { "target-metric", "val_loss:1" }, "validation data", "--val-split" },
        { 10, { "monitor", "val_acuracy" }, "no metric 'val_acuracy'", "accuracy" },
        { 10, { "monitor", "val_accuracy" }, "'accuracy' for targets that are numbers", "" },
        { 10, { "metric", "auc" }, "for targets that are numbers, wanted mae, rmse or r2", "" },
        { 10, { "require", "val_f1:0.5" }, "found 'f1' for targets that are numbers", "" },
        { 10, { "target-metric", "train_auc:1" }, "found 'auc' for targets", "" },
        { 10, { "monitor", "test_loss" }, "for the end", "" },
        { 10, { "target-metric", "val_loss" }, "METRIC:VALUE", "" },
        { 10, { "require", "val_los:1" }, "no metric", "" },
        { 10, { "require", "test_loss:1" }, "test_loss needs test data", "--test-split" },
        { 0, { "require", "val_loss:1" }, "needs validation data", "--val-split" },
        { 10, { "init", "orthogonal" }, "normal=STD", "" },
        { 10, { "lr-schedule", "multistep" }, "1 to 64", "" },
        { 10, { "lr-milestones", "3,x" }, "found 'x'", "" },
        { 10, { "metric", "accurcy" }, "found 'accurcy'", "" },
        { 10, { "freeze", "*" }, "nothing to train", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kit k;
        hone_result *r;
        HN_OK(kit_open(&k, "ln_f32", cases[i].val, NULL, NULL, &err), err);
        uint64_t before = kit_hash(k.model);
        if (!strcmp(cases[i].pair.name, "lr-milestones"))
            HN_OK(hone_params_set(k.params, "lr-schedule", "multistep", &err), err);
        HN_OK(hone_params_set(k.params, cases[i].pair.name, cases[i].pair.value, &err), err);
        hone_status st = hone_train(k.model, k.data, k.params, NULL, &r, &err);
        ck_assert_msg(st != HONE_OK, "%s %s was taken", cases[i].pair.name, cases[i].pair.value);
        ck_assert_msg(strstr(err.text, cases[i].text), "%s: %s", cases[i].pair.name, err.text);
        ck_assert_msg(strstr(err.hint, cases[i].hint), "%s: %s", cases[i].pair.name, err.hint);
        if (strstr(err.text, "for targets")) ck_assert_str_eq(err.where, cases[i].pair.name);
        ck_assert_ptr_null(r);
        ck_assert_uint_eq(kit_hash(k.model), before);
        kit_close(&k);
    }
}
END_TEST

START_TEST(no_epochs_and_no_data)
{
    struct kit k;
    hone_result *r;
    HN_OK(kit_open(&k, "ln_f32", 0, NULL, NULL, &err), err);
    ck_assert_int_eq(hone_train(k.model, NULL, k.params, NULL, &r, &err), HONE_E_USAGE);
    HN_OK(hone_params_set(k.params, "epochs", "0", &err), err);
    HN_OK(hone_train(k.model, NULL, k.params, NULL, &r, &err), err);
    ck_assert_double_eq(kit_number(r, "epochs"), 0);
    ck_assert_int_eq(hn_model_n_edits(k.model), 0);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(dry_run_changes_nothing)
{
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 10, NULL, NULL, &err), err);
    uint64_t before = kit_hash(k.model);
    hone_result *r = train(&k, PAIRS({ "dry-run", "true" }), NULL);
    ck_assert_double_eq(kit_number(r, "dry_run"), 1);
    ck_assert_double_eq(kit_number(r, "rows.train"), 40);
    ck_assert_double_gt(kit_number(r, "loss"), 0);
    ck_assert_uint_eq(kit_hash(k.model), before);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(requirements)
{
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 10, NULL, NULL, &err), err);
    hone_result *r = train(
        &k, PAIRS({ "epochs", "2" }, { "require", "val_loss:100" }, { "require", "accuracy:0" }),
        NULL);
    ck_assert_double_eq(kit_number(r, "require_met"), 1);
    hone_result_destroy(r);
    r = train(&k, PAIRS({ "require", "train_loss:1e-9" }), NULL);
    ck_assert_double_eq(kit_number(r, "require_met"), 0);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

HN_TEST_MAIN("fit", tcase_add_test(tc, learns_and_says_so);
             tcase_add_test(tc, the_best_weights_come_back);
             tcase_add_test(tc, never_worse_than_what_came);
             tcase_add_loop_test(tc, a_start_that_stays_worse_is_said, 0, 3);
             tcase_add_test(tc, last_weights_when_asked_or_without_validation);
             tcase_add_test(tc, callbacks_see_every_epoch_and_may_stop);
             tcase_add_test(tc, requested_stop); tcase_add_test(tc, target_time_and_least_epochs);
             tcase_add_test(tc, diverged_names_the_tensor_and_keeps_good_weights);
             tcase_add_test(tc, an_activation_that_overflows_is_named);
             tcase_add_test(tc, same_seed_same_bits);
             tcase_add_test(tc, fresh_weights_depend_on_the_seed);
             tcase_add_loop_test(tc, inserted_batchnorm_keeps_the_function, 0, 2);
             tcase_add_test(tc, frozen_parameters_stay); tcase_add_test(tc, refusals);
             tcase_add_test(tc, no_epochs_and_no_data); tcase_add_test(tc, dry_run_changes_nothing);
             tcase_add_test(tc, requirements);)
