/* SPDX-License-Identifier: MIT
 *
 * Pre-training: which layers and parameters it moves, that it sees the rows it may see and no others, that it is a function of
 * seed and position, that an interrupted one is continued to the same bytes, what is refused. Its numbers are compared with
 * PyTorch's in tests/interop/pretrain.py. */
#include "plugin/data_open.h"
#include "plugin/train/job.h"
#include "tests/train/kit.h"
#include <math.h>

static hone_error err;

#define USUAL                                                                                      \
    { "pretrain", "4" }, { "batch-size", "8" }, { "pretrain-lr", "0.01" }, { "epochs", "2" },      \
    {                                                                                              \
        "save", "last"                                                                             \
    }

static void open_with(struct kit *k, const char *model, const struct kit_pair *pairs)
{
    HN_OK(kit_open(k, model, 10, NULL, NULL, &err), err);
    HN_OK(kit_set(k, PAIRS(USUAL), &err), err);
    HN_OK(kit_set(k, pairs, &err), err);
}

/* The bytes of the model that comes out. */
static uint64_t trained(const char *model, const struct kit_pair *pairs)
{
    struct kit k;
    hone_result *r;
    open_with(&k, model, pairs);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    uint64_t hash = kit_hash(k.model);
    hone_result_destroy(r);
    kit_close(&k);
    return hash;
}

/* ---- pre-training alone ---- */

struct alone { /* pre-trained, not trained */
    struct kit k;
    struct hn_job job;
    double *w; /* slab W */
};

static void read_weights(struct alone *a)
{
    const struct hn_session *s = a->job.s;
    HN_OK(hn_member_get(a->job.cohort, 0, HN_SLAB_W, a->job.fit->host, &err), err);
    hn_convert(a->w, HN_F64, a->job.fit->host, s->backend->elem == 4 ? HN_F32 : HN_F64,
               (int64_t)s->prog->n_slab);
}

static void begin_alone(struct alone *a)
{
    HN_OK(hn_job_init(&a->job, a->k.model, a->k.params, &err), err);
    HN_OK(hn_job_open(&a->job, a->k.data, NULL, &err), err);
    HN_OK(hn_job_start(&a->job, &err), err);
    HN_OK(hn_fit_start(a->job.fit, &err), err);
    a->w = calloc(a->job.s->prog->n_slab, sizeof *a->w);
    a->job.fit->hooks = (struct hn_fit_hooks){ .user = NULL };
}

static void run_alone(struct alone *a)
{
    begin_alone(a);
    HN_OK(hn_pretrain_run(a->job.fit, &err), err);
    ck_assert_int_eq(a->job.fit->reason, HN_STOP_NONE);
    read_weights(a);
}

static void close_alone(struct alone *a)
{
    free(a->w);
    hn_job_close(&a->job);
    kit_close(&a->k);
}

static const struct hn_param *param(const struct alone *a, const char *name)
{
    const struct hn_program *p = a->job.s->prog;
    for (int i = 0; i < p->n_params; i++)
        if (!strcmp(p->params[i].name, name)) return &p->params[i];
    ck_abort_msg("no parameter %s", name);
    return NULL;
}

/* How far a parameter is from the file's. */
static double moved(const struct alone *a, const char *name)
{
    const struct hn_param *p = param(a, name);
    double most = 0;
    for (size_t i = 0; i < p->n; i++) {
        double d = fabs(a->w[p->off + i] - hn_tensor_f64(p->init, (int64_t)i));
        if (d > most) most = d;
    }
    return most;
}

START_TEST(hidden_layers_move_and_restore_better)
{
    static const char *const hidden[] = { "fc1.weight", "fc1.bias", "norm1.weight", "norm1.bias",
                                          "fc2.weight", "fc2.bias", "norm2.weight", "norm2.bias" };
    static const char *const models[] = { "bn_f32", "bn_f64", "ln_f32", "ln_f64", "bn_f16" };
    struct alone a;
    open_with(&a.k, models[_i], PAIRS({ "pretrain", "30" }));
    run_alone(&a);
    const struct hn_pretrain *p = &a.job.fit->pretrain;
    ck_assert_int_eq(p->layers.n, 2);
    ck_assert_int_eq(p->done, 2);
    ck_assert_int_eq(p->layers.n_skip, 0);
    ck_assert_str_eq(p->layers.layer[0].name, "/fc1/Gemm");
    ck_assert_int_eq((int)p->layers.layer[0].in, KIT_IN);
    ck_assert_int_eq((int)p->layers.layer[1].in, 8);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(p->layers.layer[i].after < 0.7 * p->layers.layer[i].before,
                      "%s, layer %d: %g, then %g", models[_i], i, p->layers.layer[i].before,
                      p->layers.layer[i].after);
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (models[_i][0] == 'l' || hidden[i][0] == 'n' ||
            !strstr(hidden[i], "bias")) /* BatchNormalization undoes it */
            ck_assert_msg(moved(&a, hidden[i]) > 1e-3, "%s stays", hidden[i]);
    if (models[_i][0] == 'b') ck_assert_double_gt(moved(&a, "norm2.running_mean"), 1e-3);
    ck_assert_double_eq(moved(&a, "out.weight"), 0);
    ck_assert_double_eq(moved(&a, "out.bias"), 0);
    close_alone(&a);
}
END_TEST

START_TEST(frozen_layers_stay)
{
    struct alone a;
    open_with(&a.k, "bn_f32", PAIRS({ "freeze", "fc2.*" }));
    run_alone(&a);
    const struct hn_layers *l = &a.job.fit->pretrain.layers;
    ck_assert_int_eq(l->n, 1);
    ck_assert_int_eq(l->n_skip, 1);
    ck_assert_str_eq(l->skip[0].name, "/fc2/Gemm");
    ck_assert_str_eq(l->skip[0].why, "its weight is frozen");
    ck_assert_double_gt(moved(&a, "fc1.weight"), 1e-3);
    ck_assert_double_eq(moved(&a, "fc2.weight"), 0);
    ck_assert_double_eq(moved(&a, "norm2.weight"), 0);
    close_alone(&a);
    open_with(&a.k, "ln_f32", PAIRS({ "freeze-layers", "1" })); /* a head that ran before */
    run_alone(&a);
    l = &a.job.fit->pretrain.layers;
    ck_assert_int_eq(l->n, 1);
    ck_assert_int_eq(l->n_skip, 1);
    ck_assert_str_eq(l->skip[0].name, "/fc1/Gemm");
    ck_assert_double_gt(moved(&a, "fc2.weight"), 1e-3);
    close_alone(&a);
    open_with(&a.k, "ln_f32", PAIRS({ "freeze", "fc1.bias" })); /* the rest of the layer learns */
    run_alone(&a);
    ck_assert_int_eq(a.job.fit->pretrain.done, 2);
    ck_assert_double_eq(moved(&a, "fc1.bias"), 0);
    ck_assert_double_gt(moved(&a, "fc1.weight"), 1e-3);
    close_alone(&a);
}
END_TEST

/* ---- which rows ---- */

static double *weights_after(const char *model, const struct kit_pair *pairs,
                             void (*change)(struct kit *k), size_t *n)
{
    struct alone a;
    open_with(&a.k, model, pairs);
    if (change) change(&a.k);
    run_alone(&a);
    double *w = a.w;
    *n = a.job.s->prog->n_slab;
    a.w = NULL;
    close_alone(&a);
    return w;
}

static int same_after(const char *model, const struct kit_pair *pairs, void (*one)(struct kit *k),
                      void (*other)(struct kit *k))
{
    size_t n, m;
    double *a = weights_after(model, pairs, one, &n), *b = weights_after(model, pairs, other, &m);
    int same = n == m && !memcmp(a, b, n * sizeof *a);
    free(a);
    free(b);
    return same;
}

static const uint32_t some[] = { 0, 2, 3, 5, 8, 13, 21, 34, 30, 29, 1, 4 },
                      others[] = { 6, 7, 9, 10, 11 };
static const struct hn_given_rows fold[3] = { { some, 12, HONE_TRAIN },
                                              { others, 5, HONE_TRAIN },
                                              { NULL, 0, 0 } };

static void in_fold(struct kit *k) { k->data->given = fold; }

static void disturb(struct kit *k, int row)
{
    for (int j = 0; j < KIT_IN; j++) k->xf[row * KIT_IN + j] *= -3;
}

static void rows_that_judge(struct kit *k)
{
    in_fold(k);
    for (int i = 0; i < 5; i++) disturb(k, (int)others[i]);
}

static void rows_that_teach(struct kit *k)
{
    in_fold(k);
    disturb(k, 34);
}

static void validation_rows(struct kit *k)
{
    for (int i = KIT_ROWS - 10; i < KIT_ROWS; i++) disturb(k, i);
}

static void other_targets(struct kit *k)
{
    for (int i = 0; i < KIT_ROWS; i++) k->labels[i] = (k->labels[i] + 1) % 3;
}

START_TEST(only_inputs_of_training_rows_count)
{
    const struct kit_pair *none = PAIRS({ "seed", "1" });
    ck_assert(same_after("bn_f32", none, NULL, NULL));
    ck_assert(same_after("bn_f32", none, NULL, validation_rows));
    ck_assert(same_after("bn_f32", none, NULL, other_targets));
    ck_assert(same_after("bn_f32", none, in_fold, rows_that_judge));
    ck_assert(!same_after("bn_f32", none, in_fold, rows_that_teach));
    ck_assert(!same_after("bn_f32", none, NULL, in_fold));
}
END_TEST

static void wrap_unlabelled(struct kit *k, int first, int rows)
{
    hone_array x = { sizeof x, NULL, HONE_F32, rows, KIT_IN, k->xf + first * KIT_IN };
    HN_OK(hone_data_wrap(k->ctx, HONE_PRETRAIN, &x, 1, NULL, 0, &k->data, &err), err);
}

static void the_same_rows(struct kit *k) { wrap_unlabelled(k, 0, KIT_ROWS - 10); }
static void all_rows(struct kit *k) { wrap_unlabelled(k, 0, KIT_ROWS); }
static void few_labelled(struct kit *k)
{
    in_fold(k);
    wrap_unlabelled(k, 0, KIT_ROWS - 10);
}

START_TEST(rows_without_targets)
{
    const struct kit_pair *none = PAIRS({ "seed", "1" });
    ck_assert(same_after("bn_f32", none, NULL, the_same_rows));
    ck_assert(!same_after("bn_f32", none, NULL, all_rows));
    ck_assert(same_after("bn_f32", none, the_same_rows, few_labelled));
    /* behind a frozen head, which has to run over them too */
    const struct kit_pair *frozen = PAIRS({ "freeze-layers", "1" });
    ck_assert(same_after("ln_f32", frozen, NULL, the_same_rows));
    ck_assert(!same_after("ln_f32", frozen, NULL, all_rows));
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    hone_array x = { sizeof x, NULL, HONE_F32, KIT_ROWS, KIT_IN, k.xf };
    ck_assert_int_eq(hone_data_wrap(k.ctx, HONE_PRETRAIN, &x, 1, &x, 1, &k.data, &err),
                     HONE_E_USAGE);
    ck_assert_str_eq(err.where, "role");
    kit_close(&k);
}
END_TEST

/* ---- a function of seed and position ---- */

START_TEST(threads_do_not_count)
{
    static const char *const models[] = { "bn_f32", "ln_f32" };
    uint64_t one = trained(models[_i], PAIRS({ "threads", "1" }));
    ck_assert(one == trained(models[_i], PAIRS({ "threads", "1" })));
    ck_assert(one == trained(models[_i], PAIRS({ "threads", "2" })));
    ck_assert(one == trained(models[_i], PAIRS({ "threads", "5" })));
    ck_assert(one != trained(models[_i], PAIRS({ "seed", "1" })));
    ck_assert(one != trained(models[_i], PAIRS({ "pretrain-noise", "0" })));
    ck_assert(one != trained(models[_i], PAIRS({ "pretrain", "3" })));
    ck_assert(one != trained(models[_i], PAIRS({ "pretrain", "0" })));
}
END_TEST

/* An average of the training's steps begins with the weights that pre-training left. */
START_TEST(averages_begin_behind_it)
{
    const struct kit_pair *plain = PAIRS({ "seed", "3" }),
                          *average = PAIRS({ "ema", "0.9" }, { "seed", "3" });
    size_t n, m;
    double *a = weights_after("bn_f32", plain, NULL, &n),
           *b = weights_after("bn_f32", average, NULL, &m);
    ck_assert(n == m && !memcmp(a, b, n * sizeof *a));
    free(a);
    free(b);
    struct alone one;
    open_with(&one.k, "bn_f32", average);
    run_alone(&one);
    HN_OK(hn_member_get(one.job.cohort, 0, HN_SLAB_AVERAGE, one.job.fit->host, &err), err);
    for (size_t i = 0; i < n; i++)
        ck_assert_double_eq((double)((float *)(void *)one.job.fit->host)[i], one.w[i]);
    close_alone(&one);
}
END_TEST

/* The model's own Dropout and augmentation are not an autoencoder's. */
START_TEST(chance_of_training_stays_out)
{
    const struct kit_pair *plain = PAIRS({ "seed", "3" });
    size_t n, m;
    double *a = weights_after("ln_f32", plain, NULL, &n);
    double *b =
        weights_after("ln_f32", PAIRS({ "seed", "3" }, { "augment", "noise=0.5" }), NULL, &m);
    ck_assert(n == m && !memcmp(a, b, n * sizeof *a));
    free(b);
    b = weights_after("ln_f32", PAIRS({ "seed", "3" }, { "dropout", "0.5" }), NULL, &m);
    ck_assert(n == m && !memcmp(a, b, n * sizeof *a));
    free(a);
    free(b);
}
END_TEST

START_TEST(the_imported_weights_stay_a_candidate)
{
    struct kit k;
    hone_result *r;
    HN_OK(kit_open(&k, "bn_f32", 10, NULL, NULL, &err), err);
    uint64_t before = kit_hash(k.model);
    HN_OK(kit_set(&k,
                  PAIRS({ "pretrain", "20" }, { "pretrain-lr", "0.3" }, { "epochs", "1" },
                        { "lr", "1e-12" }, { "optimizer", "sgd" }),
                  &err),
          err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    ck_assert_double_eq(kit_number(r, "best_epoch"), 0);
    ck_assert(kit_hash(k.model) == before);
    ck_assert_double_eq(kit_number(r, "val.loss"), kit_number(r, "before.val.loss"));
    ck_assert_double_gt(kit_number(r, "curve.1.val_loss"), kit_number(r, "before.val.loss"));
    ck_assert_double_gt(kit_number(r, "pretrain.layers.1.before"),
                        kit_number(r, "pretrain.layers.1.after"));
    ck_assert_str_eq(hone_result_text(r, "pretrain.layers.0.layer"), "/fc1/Gemm");
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* ---- stopped ---- */

struct stop {
    struct hn_job *job;
    int at, seen; /* lines of pre-training */
    enum hn_stop_reason how;
};

static hone_status stop_at_line(void *user, struct hn_fit *f, const struct hn_pretrain_line *l,
                                hone_error *e)
{
    struct stop *s = user;
    (void)f, (void)l, (void)e;
    if (++s->seen == s->at) hone_request_stop(s->job->ctx);
    return HONE_OK;
}

static void open_files(struct kit *k, const char *model, const char *dir)
{
    char run[600], path[600];
    open_with(k, model, PAIRS({ "threads", "1" }, { "pretrain", "2" }));
    kit_files(k, dir, 10);
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(path, sizeof path, "%s/x.npy", dir);
    HN_OK(kit_set(k, PAIRS({ "run-dir", run }, { "pretrain-x", path }), &err), err);
    hone_data_destroy(k->data);
    k->data = NULL;
    HN_OK(hone_data_open(k->ctx, k->model, k->params, &k->data, &err), err);
}

static uint64_t undisturbed(const char *model, const char *dir)
{
    struct kit k;
    hone_result *r;
    open_files(&k, model, dir);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    uint64_t hash = kit_file_hash(k.model);
    hn_rundir_remove(k.ctx, hn_param_s(k.params, "run-dir"));
    hone_result_destroy(r);
    kit_close(&k);
    return hash;
}

static int count(const char *dir, const char *word)
{
    char path[700], line[4096];
    int n = 0;
    snprintf(path, sizeof path, "%s/run/events.jsonl", dir);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) n += strstr(line, word) != NULL;
    fclose(f);
    return n;
}

/* Lines are: two epochs, the end of layer 1, two epochs, the end of layer 2. */
START_TEST(an_interrupted_one_goes_on)
{
    static const char *const models[] = { "bn_f32", "ln_f64" };
    static const int done[] = { 0, 1, 1, 1, 2, 2 }; /* a request is heard after the next batches */
    char dir[512];
    kit_folder("pretrain-stops", dir);
    uint64_t wanted = undisturbed(models[_i], dir);
    for (int at = 1; at <= 6; at++) {
        struct kit k;
        struct hn_job j;
        struct stop s = { &j, .at = at };
        hone_model *m;
        hone_result *r;
        char run[600];
        snprintf(run, sizeof run, "%s/run", dir);
        open_files(&k, models[_i], dir);
        HN_OK(hn_job_init(&j, k.model, k.params, &err), err);
        HN_OK(hn_job_origin(&j, &err), err);
        HN_OK(hn_job_open(&j, k.data, NULL, &err), err);
        HN_OK(hn_job_start(&j, &err), err);
        HN_OK(hn_rundir_open(&j.dir, j.ctx, run, "", HN_RUNDIR_NEW, &err), err);
        HN_OK(hn_fit_start(j.fit, &err), err);
        HN_OK(hn_rundir_begin(&j.dir, j.fit, &j.origin, &err), err);
        j.fit->hooks = (struct hn_fit_hooks){ .user = &s, .pretrain = stop_at_line };
        HN_OK(hn_job_run(&j, &err), err);
        ck_assert_int_eq(j.fit->reason, HN_STOP_INTERRUPTED);
        ck_assert_int_eq(j.fit->pretrain.done, done[at - 1]);
        HN_OK(hn_job_finish(&j, &err), err);
        hn_job_close(&j);
        HN_OK(hone_resume(k.ctx, run, NULL, NULL, &m, &r, &err), err);
        ck_assert_msg(kit_file_hash(m) == wanted, "%s: another result when stopped at line %d",
                      models[_i], at);
        ck_assert_int_eq(count(dir, "\"pretrained\""),
                         2 - done[at - 1]); /* what was done stays done */
        ck_assert_double_gt(kit_number(r, "pretrain.layers.0.after"), 0);
        ck_assert_double_gt(kit_number(r, "pretrain.layers.1.after"), 0);
        hone_result_destroy(r);
        hone_model_destroy(m);
        hn_rundir_remove(k.ctx, run);
        kit_close(&k);
    }
    hone_context *ctx;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hn_rundir_remove(ctx, dir);
    hone_context_destroy(ctx);
}
END_TEST

static int stop_second_layer(void *user, const hone_progress *p)
{
    *(int *)user += p->pretrain && p->epoch_end;
    return p->pretrain && p->layer == 2;
}

START_TEST(a_callback_or_the_clock_ends_it)
{
    struct kit k;
    hone_result *r;
    int ends = 0;
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = stop_second_layer, cb.user = &ends;
    open_with(&k, "bn_f32", PAIRS({ "threads", "1" }));
    HN_OK(hone_train(k.model, k.data, k.params, &cb, &r, &err), err);
    ck_assert_int_eq(ends, 5);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "callback");
    ck_assert_double_eq(kit_number(r, "epochs"), 0);
    hone_result_destroy(r);
    kit_close(&k);
    open_with(&k, "bn_f32", PAIRS({ "pretrain", "1000000000" }, { "max-seconds", "0.2" }));
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "time");
    ck_assert_double_eq(kit_number(r, "epochs"),
                        1); /* a batch, so that there is something to judge */
    ck_assert_double_gt(kit_number(r, "pretrain.layers.0.after"), 0);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(numbers_beyond_all_bounds)
{
    struct kit k;
    hone_result *r;
    HN_OK(kit_open(&k, "ln_f32", 10, NULL, NULL, &err), err);
    uint64_t before = kit_hash(k.model);
    HN_OK(kit_set(&k,
                  PAIRS({ "pretrain", "50" }, { "pretrain-lr", "1e30" }, { "optimizer", "sgd" }),
                  &err),
          err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "diverged");
    ck_assert_ptr_nonnull(strstr(hone_result_text(r, "diverged.tensor"), "/fc1/Gemm"));
    ck_assert(kit_hash(k.model) == before);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* All of its state is in what a checkpoint is hashed by. */
START_TEST(state_is_state)
{
    struct alone a;
    uint64_t was, is;
    open_with(&a.k, "bn_f32", PAIRS({ "seed", "1" }));
    run_alone(&a);
    struct hn_pretrain *p = &a.job.fit->pretrain;
    struct hn_layer *l = p->layers.layer;
    HN_OK(hn_fit_hash(a.job.fit, &was, &err), err);
    for (int i = 0; i < 4; i++) {
        struct hn_pretrain before = *p;
        struct hn_layer second = l[1];
        if (i == 0) p->done = 1;
        if (i == 1) p->over = 0;
        if (i == 2) l[1].before += 1;
        if (i == 3) l[1].after += 1;
        HN_OK(hn_fit_hash(a.job.fit, &is, &err), err);
        ck_assert_msg(is != was, "field %d is not in it", i);
        *p = before;
        l[1] = second;
    }
    HN_OK(hn_fit_hash(a.job.fit, &is, &err), err);
    ck_assert(is == was);
    close_alone(&a);
}
END_TEST

/* ---- refused ---- */

static void refuse(const char *model, const struct kit_pair *pairs, hone_status st,
                   const char *where, const char *text)
{
    struct kit k;
    hone_result *r = NULL;
    HN_OK(kit_open(&k, model, 10, NULL, NULL, &err), err);
    HN_OK(kit_set(&k, pairs, &err), err);
    uint64_t before = kit_hash(k.model);
    hone_status got = hone_train(k.model, k.data, k.params, NULL, &r, &err);
    ck_assert_int_eq(got, st);
    ck_assert_str_eq(err.where, where);
    ck_assert_msg(strstr(err.text, text) || strstr(err.hint, text), "%s; %s", err.text, err.hint);
    ck_assert_ptr_null(r);
    ck_assert(kit_hash(k.model) == before);
    kit_close(&k);
}

START_TEST(refusals)
{
    refuse("bn_f32", PAIRS({ "pretrain", "2" }, { "freeze", "fc*" }), HONE_E_UNSUPPORTED,
           "pretrain", "/fc1/Gemm: its weight is frozen");
    refuse("bn_f32", PAIRS({ "pretrain", "2" }, { "freeze-layers", "2" }), HONE_E_UNSUPPORTED,
           "pretrain", "no hidden Dense layer");
    refuse("bn_f32", PAIRS({ "pretrain", "2" }, { "epochs", "0" }), HONE_E_USAGE, "pretrain",
           "--epochs 0");
    refuse("bn_f32", PAIRS({ "pretrain-x", "x.npy" }), HONE_E_USAGE, "pretrain-x",
           "--pretrain EPOCHS");
    struct kit k;
    hone_result *r;
    HN_OK(kit_open(&k, "bn_f32", 10, NULL, NULL, &err), err);
    all_rows(&k);
    ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "pretrain");
    kit_close(&k);
}
END_TEST

HN_TEST_MAIN("pretrain", tcase_add_loop_test(tc, hidden_layers_move_and_restore_better, 0, 5);
             tcase_add_test(tc, frozen_layers_stay);
             tcase_add_test(tc, only_inputs_of_training_rows_count);
             tcase_add_test(tc, rows_without_targets);
             tcase_add_loop_test(tc, threads_do_not_count, 0, 2);
             tcase_add_test(tc, chance_of_training_stays_out);
             tcase_add_test(tc, averages_begin_behind_it);
             tcase_add_test(tc, the_imported_weights_stay_a_candidate);
             tcase_add_loop_test(tc, an_interrupted_one_goes_on, 0, 2);
             tcase_add_test(tc, a_callback_or_the_clock_ends_it);
             tcase_add_test(tc, numbers_beyond_all_bounds); tcase_add_test(tc, state_is_state);
             tcase_add_test(tc, refusals);)
