/* SPDX-License-Identifier: MIT
 *
 * What a worker of a search keeps from replica to replica (a device, scalers, prepared plans) does not show: after trials of other shapes, types
 * of step and ends, also those where memory ran out, a replica's bytes are those it has with everything fresh. */
#include "plugin/tune/trial.h"
#include "tests/fault.h"
#include "tests/train/kit.h"
#include <math.h>
#include <xxhash.h>

enum { FOLDS = 2, MOST = 3 };

static hone_error err;
static const char *const names[] = { "bn_f32", "ln_f32", "bn_f64", "ln_f64" };

struct setting {
    struct kit_pair pairs[MOST + 1];
    int cancelled;
    enum hn_fold_state state; /* how it ends */
};
/* clang-format off */
static const struct setting settings[] = {
    { { { "scale", "standard" } }, .state = HN_FOLD_COMPLETE },
    { { { "batch-size", "7" } }, .state = HN_FOLD_COMPLETE },
    { { { "optimizer", "sgd" }, { "lr", "1e300" } }, .state = HN_FOLD_DIVERGED },
    { { { "scale", "standard" }, { "batch-size", "64" }, { "optimizer", "nesterov" } }, .state = HN_FOLD_COMPLETE },
    { { { "scale", "minmax" }, { "dropout", "0.3" } }, .state = HN_FOLD_COMPLETE },
    { { { "dropout", "0.1" }, { "scale", "minmax" } }, .state = HN_FOLD_COMPLETE },
    { { { "freeze", "*" } }, .state = HN_FOLD_FAILED },
    { { { "hidden-layers", "2" }, { "hidden-units", "9" }, { "init", "fresh" } }, .state = HN_FOLD_COMPLETE },
    { { { "scale", "minmax" }, { "epochs", "50" } }, .cancelled = 1, .state = HN_FOLD_INTERRUPTED },
    { { { "optimizer", "rmsprop" }, { "accumulate", "3" }, { "clip-norm", "0.5" } }, .state = HN_FOLD_COMPLETE },
    { { { "scale", "standard" }, { "hidden-layers", "1" }, { "hidden-units", "40" } }, .state = HN_FOLD_COMPLETE },
    { { { "optimizer", "adagrad" }, { "scale", "standard" }, { "batchnorm", "insert" } }, .state = HN_FOLD_COMPLETE },
};
/* clang-format on */
enum { SETTINGS = sizeof settings / sizeof *settings };

struct bench { /* what a worker has */
    struct hn_fault fault;
    struct kit kit;
    const char *name;
    struct hn_device device;
    struct hn_kept kept;
    int keeps; /* else each replica opens and computes all for itself */
    uint32_t lists[FOLDS][2][KIT_ROWS];
    struct hn_fold fold[FOLDS];
};

static void draw_folds(struct bench *b)
{
    memset(b->fold, 0, sizeof b->fold);
    for (uint32_t i = 0; i < KIT_ROWS; i++)
        for (int f = 0; f < FOLDS; f++) {
            int role = i % 5 == (uint32_t)f ? HONE_VAL : HONE_TRAIN;
            struct hn_given_rows *r = &b->fold[f].rows[role];
            r->rows = b->lists[f][role];
            b->lists[f][role][r->n++] = i;
        }
}

static void keep_nothing_yet(struct bench *b)
{
    hn_kept_free(&b->kept);
    b->kept.mem = &b->kit.ctx->mem;
    hn_prepared_init(&b->kept.prepared, b->kept.mem, b->device.backend, b->device.dev);
}

static void load(struct bench *b)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    opts.alloc = hn_fault_alloc, opts.release = hn_fault_release, opts.alloc_user = &b->fault;
    HN_OK(kit_open(&b->kit, b->name, 0, &opts, &b->fault.io, &err), err);
    enum hn_dtype dtype = hn_model_graph(b->kit.model)->dtype;
    if (!b->keeps) return;
    HN_OK(hn_device_open_cpu(b->kit.ctx, 1, dtype, &b->device, &err), err);
    keep_nothing_yet(b);
}

static void set_up(struct bench *b, const char *name, int keeps)
{
    memset(b, 0, sizeof *b);
    hn_fault_init(&b->fault);
    b->name = name;
    b->keeps = keeps;
    draw_folds(b);
    load(b);
}

static void tear_down(struct bench *b)
{
    hn_kept_free(&b->kept);
    hn_device_close(&b->device);
    kit_close(&b->kit);
    ck_assert_int_eq(hn_fault_leaks(&b->fault), 0);
}

struct outcome {
    enum hn_fold_state state;
    int64_t best_epoch, epochs;
    uint64_t value, curve, model; /* bits; hashes */
    hone_error why;
};

/* 0: the model is not as it was. */
static int run(struct bench *b, const struct setting *s, int fold, struct outcome *out)
{
    static const struct kit_pair base[] = { { "epochs", "4" },
                                            { "batch-size", "16" },
                                            { NULL, NULL } };
    hone_params *params;
    struct hn_buffer bytes;
    struct hn_fold_result r;
    atomic_int cancel = s->cancelled;
    hone_params *own = b->kit.params;
    memset(out, 0, sizeof *out);
    out->state = HN_FOLD_FAILED;
    if (hone_params_create(b->kit.ctx, &params, &err) != HONE_OK) return 1;
    b->kit.params = params;
    hone_status st = kit_set(&b->kit, base, &err);
    if (st == HONE_OK) st = kit_set(&b->kit, s->pairs, &err);
    b->kit.params = own;
    hn_buffer_init(&bytes, &b->kit.ctx->mem);
    struct hn_replica_task task = { .mem = &b->kit.ctx->mem,
                                    .model = b->kit.model,
                                    .data = b->kit.data,
                                    .params = params,
                                    .device = b->keeps ? &b->device : NULL,
                                    .kept = b->keeps ? &b->kept : NULL,
                                    .trial = 7,
                                    .fold = (uint32_t)fold,
                                    .rows = &b->fold[fold],
                                    .keep = &bytes,
                                    .cancel = &cancel };
    int whole = 1;
    if (st == HONE_OK) {
        whole = hn_replica_run(&task, &r, &err) == HONE_OK;
        out->state = r.state;
        out->best_epoch = r.best_epoch;
        out->epochs = r.epochs;
        out->why = r.why;
        memcpy(&out->value, &r.value, sizeof out->value);
        out->curve = XXH3_64bits(r.curve ? r.curve : &r.value, r.n_curve * sizeof *r.curve);
        out->model = XXH3_64bits(bytes.n ? bytes.p : "", bytes.n);
        hn_free(&b->kit.ctx->mem, r.curve);
    }
    hn_buffer_free(&bytes);
    hone_params_destroy(params);
    return whole;
}

static void fresh(const char *name, int setting, int fold, struct outcome *out)
{
    struct bench b;
    set_up(&b, name, 0);
    ck_assert(run(&b, &settings[setting], fold, out));
    tear_down(&b);
}

static void compare(const struct outcome *is, const struct outcome *was, const char *what, int i)
{
    ck_assert_msg(is->state == was->state, "%s, setting %d: state %d, fresh %d: %s", what, i,
                  (int)is->state, (int)was->state, is->why.text);
    ck_assert_str_eq(is->why.text, was->why.text);
    ck_assert_msg(is->value == was->value && is->curve == was->curve && is->model == was->model &&
                      is->best_epoch == was->best_epoch && is->epochs == was->epochs,
                  "%s, setting %d: other numbers", what, i);
}

/* Every setting after every other one: the pairs of a walk with growing strides. */
START_TEST(same_as_fresh)
{
    static struct outcome was[SETTINGS][FOLDS];
    struct outcome is;
    struct bench b;
    for (int i = 0; i < SETTINGS; i++)
        for (int f = 0; f < FOLDS; f++) {
            fresh(names[_i], i, f, &was[i][f]);
            ck_assert_msg(was[i][f].state == settings[i].state, "setting %d ends as %d: %s", i,
                          (int)was[i][f].state, was[i][f].why.text);
        }
    ck_assert_uint_ne(was[0][0].model, was[0][1].model);
    set_up(&b, names[_i], 1);
    for (int stride = 1; stride < SETTINGS; stride++)
        for (int k = 0, i = 0; k < SETTINGS; k++, i = (i + stride) % SETTINGS) {
            int f = (k + stride) % FOLDS;
            ck_assert(run(&b, &settings[i], f, &is));
            compare(&is, &was[i][f], names[_i], i);
        }
    tear_down(&b);
}
END_TEST

static int n_prepared(const struct bench *b)
{
    int n = 0;
    for (int i = 0; i < HN_PREPARED; i++) {
        n += b->kept.prepared.item[i].exec != NULL;
        ck_assert_int_eq(b->kept.prepared.item[i].busy, 0);
    }
    return n;
}

/* A plan for training and one for judging serve all folds, scalers and learning rates; more rows a step need another one. */
START_TEST(planned_once_a_shape)
{
    static const struct setting same[] = {
        { { { "scale", "standard" }, { "lr", "0.1" } }, .state = HN_FOLD_COMPLETE },
        { { { "scale", "minmax" }, { "optimizer", "sgd" } }, .state = HN_FOLD_COMPLETE },
        { { { "scale", "minmax" }, { "batch-size", "32" } }, .state = HN_FOLD_COMPLETE },
    };
    struct outcome is;
    struct bench b;
    set_up(&b, names[_i], 1);
    for (int i = 0; i < 2 * FOLDS; i++) {
        ck_assert(run(&b, &same[i / FOLDS], i % FOLDS, &is));
        ck_assert_int_eq(is.state, HN_FOLD_COMPLETE);
        ck_assert_int_eq(n_prepared(&b), 2);
    }
    ck_assert(run(&b, &same[2], 0, &is));
    ck_assert_int_eq(n_prepared(&b), 3);
    tear_down(&b);
}
END_TEST

/* One replica runs out of memory at its n-th allocation; the next ones are as if it had not been. */
START_TEST(after_no_memory)
{
    static const int disturbed[] = { 0, 4, 7 };
    struct outcome was[FOLDS], is;
    struct bench b;
    const struct setting *s = &settings[disturbed[_i]];
    for (int f = 0; f < FOLDS; f++) fresh(names[0], 0, f, &was[f]);
    set_up(&b, names[0], 1);
    long before = atomic_load(&b.fault.mem_fail.calls);
    ck_assert(run(&b, s, 0, &is));
    long calls = atomic_load(&b.fault.mem_fail.calls) - before;
    for (long n = 1; n <= calls; n += 1 + calls / 150) {
        keep_nothing_yet(&b);
        b.fault.mem_fail.at = atomic_load(&b.fault.mem_fail.calls) + n;
        int whole = run(&b, s, 0, &is);
        b.fault.mem_fail.at = 0;
        ck_assert_msg(is.state != HN_FOLD_FAILED || !is.why.code || is.why.code == HONE_E_NOMEM,
                      "allocation %ld: %s", n, is.why.text);
        if (!whole) { /* as a worker does */
            tear_down(&b);
            set_up(&b, names[0], 1);
        }
        ck_assert(run(&b, &settings[0], (int)(n % FOLDS), &is));
        compare(&is, &was[n % FOLDS], "after no memory", 0);
    }
    ck_assert_int_gt(atomic_load(&b.fault.mem_fail.hits), 0);
    tear_down(&b);
}
END_TEST

HN_TEST_MAIN("kept", tcase_add_loop_test(tc, same_as_fresh, 0, 4);
             tcase_add_loop_test(tc, planned_once_a_shape, 0, 4);
             tcase_add_loop_test(tc, after_no_memory, 0, 3);)
