/* SPDX-License-Identifier: MIT
 *
 * Several threads of one program: each with a context of its own trains, searches and saves at the same time as the others,
 * with the bytes of one that is alone; a plug-in is loaded in all of them at once; a run is asked to stop by other threads.
 * Under ThreadSanitizer this is where data races between them would be seen. */
#include "hone.h"
#include "tests/harness.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { THREADS = 4, ROWS = 160, IN = 6 };

static float x[ROWS * IN];
static int64_t y[ROWS];
static char folder[256], so[300];

struct job {
    pthread_t thread;
    char dir[320];
    uint64_t train, tune; /* the models, hashed */
};

static void set_up(void)
{
    char command[2000];
    for (int i = 0; i < ROWS * IN; i++) x[i] = (float)(i * 7919 % 101) / 50 - 1;
    for (int i = 0; i < ROWS; i++) y[i] = x[i * IN] + x[i * IN + 1] > 0;
    snprintf(folder, sizeof folder, "%s/threads-XXXXXX", HN_BINARY_DIR);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(so, sizeof so, "%s/snake.so", folder);
    snprintf(command, sizeof command,
             "cc -shared -fPIC -O1 -o '%s' '%s/examples/plugins/snake.c' -I'%s/plugin' "
             "-I'%s/include' -lm",
             so, HN_SOURCE_DIR, HN_SOURCE_DIR, HN_BINARY_DIR);
    ck_assert_int_eq(system(command), 0);
}

static void tear_down(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static int hash_piece(void *state, const void *p, size_t n)
{
    return XXH3_64bits_update(state, p, n) == XXH_ERROR;
}

static uint64_t hash_of(hone_model *m)
{
    XXH3_state_t state;
    hone_error err;
    XXH3_64bits_reset(&state);
    HN_OK(hone_model_save_bytes(m, hash_piece, &state, &err), err);
    return XXH3_64bits_digest(&state);
}

struct rig {
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    hone_params *params;
};

static void rig_open(struct rig *r, const char *const (*set)[2])
{
    hone_error err;
    const hone_array a[2] = { { sizeof(hone_array), NULL, HONE_F32, ROWS - 40, IN, x },
                              { sizeof(hone_array), NULL, HONE_F32, 40, IN,
                                x + (ROWS - 40) * IN } };
    const hone_array b[2] = { { sizeof(hone_array), NULL, HONE_I64, ROWS - 40, 1, y },
                              { sizeof(hone_array), NULL, HONE_I64, 40, 1, y + ROWS - 40 } };
    *r = (struct rig){ 0 };
    HN_OK(hone_context_create(NULL, &r->ctx, &err), err);
    HN_OK(hone_plugin_load(r->ctx, so, &err), err);
    HN_OK(hone_model_new(r->ctx, "6-24-16-2 relu batchnorm dropout=0.1", 3, &r->model, &err), err);
    HN_OK(hone_params_create(r->ctx, &r->params, &err), err);
    for (; (*set)[0]; set++) HN_OK(hone_params_set(r->params, (*set)[0], (*set)[1], &err), err);
    HN_OK(hone_data_wrap(r->ctx, HONE_TRAIN, &a[0], 1, &b[0], 1, &r->data, &err), err);
    HN_OK(hone_data_wrap(r->ctx, HONE_VAL, &a[1], 1, &b[1], 1, &r->data, &err), err);
}

static void rig_close(struct rig *r)
{
    hone_data_destroy(r->data);
    hone_params_destroy(r->params);
    hone_model_destroy(r->model);
    hone_context_destroy(r->ctx);
}

static const char *const training[][2] = { { "epochs", "4" },      { "threads", "2" },
                                           { "ema", "0.9" },       { "pretrain", "1" },
                                           { "batch-size", "16" }, { "device", "cpu" },
                                           { NULL, NULL } };
static const char *const search[][2] = { { "epochs", "2" },
                                         { "jobs", "2" },
                                         { "trials", "4" },
                                         { "device", "cpu" },
                                         { "search", "lr=log:1e-3..1e-1" },
                                         { "search", "swa_start=0,1" },
                                         { NULL, NULL } };

static void *work(void *user)
{
    struct job *j = user;
    struct rig r;
    hone_result *result = NULL;
    hone_error err;
    rig_open(&r, training);
    HN_OK(hone_train(r.model, r.data, r.params, NULL, &result, &err), err);
    j->train = hash_of(r.model);
    hone_result_destroy(result);
    rig_close(&r);
    rig_open(&r, search);
    HN_OK(hone_params_set(r.params, "run-dir", j->dir, &err), err);
    HN_OK(hone_tune(r.model, r.data, r.params, NULL, &result, &err), err);
    j->tune = hash_of(r.model);
    hone_result_destroy(result);
    rig_close(&r);
    return NULL;
}

START_TEST(contexts_at_once)
{
    struct job alone, j[THREADS];
    set_up();
    snprintf(alone.dir, sizeof alone.dir, "%s/alone.run", folder);
    work(&alone);
    for (int i = 0; i < THREADS; i++) {
        snprintf(j[i].dir, sizeof j[i].dir, "%s/%d.run", folder, i);
        ck_assert_int_eq(pthread_create(&j[i].thread, NULL, work, &j[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(j[i].thread, NULL), 0);
        ck_assert_msg(j[i].train == alone.train, "thread %d trained another model", i);
        ck_assert_msg(j[i].tune == alone.tune, "thread %d found another model", i);
    }
    tear_down();
}
END_TEST

/* ---- stopped by other threads ---------------------------------------------------------------------------------------------- */

struct endless { /* a run that ends when it is asked to */
    struct rig rig;
    pthread_t thread;
    atomic_int running;
    int interrupted;
};

static int note_progress(void *user, const hone_progress *p)
{
    struct endless *e = user;
    (void)p;
    atomic_store(&e->running, 1);
    return 0;
}

static void *run(void *user)
{
    struct endless *e = user;
    hone_result *result = NULL;
    hone_error err;
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = note_progress;
    cb.user = e;
    HN_OK(hone_train(e->rig.model, e->rig.data, e->rig.params, &cb, &result, &err), err);
    const char *why = hone_result_text(result, "stop_reason");
    e->interrupted = why && !strcmp(why, "interrupted");
    hone_result_destroy(result);
    return NULL;
}

static void *ask_to_stop(void *user)
{
    struct endless *e = user;
    const struct timespec pause = { 0, 1000 * 1000 };
    while (!atomic_load(&e->running)) nanosleep(&pause, NULL);
    hone_request_stop(e->rig.ctx);
    return NULL;
}

START_TEST(stopped_by_others)
{
    static const char *const set[][2] = { { "epochs", "1000000000" }, { "threads", "2" },
                                          { "ema", "0.9" },           { "batch-size", "8" },
                                          { "device", "cpu" },        { NULL, NULL } };
    struct endless e = { .interrupted = 0 };
    pthread_t others[2];
    set_up();
    rig_open(&e.rig, set);
    ck_assert_int_eq(pthread_create(&e.thread, NULL, run, &e), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&others[i], NULL, ask_to_stop, &e), 0);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_join(others[i], NULL), 0);
    ck_assert_int_eq(pthread_join(e.thread, NULL), 0);
    ck_assert_int_eq(e.interrupted, 1);
    rig_close(&e.rig);
    tear_down();
}
END_TEST

HN_TEST_MAIN("threads", tcase_add_test(tc, contexts_at_once);
             tcase_add_test(tc, stopped_by_others);)
