/* SPDX-License-Identifier: MIT
 *
 * hone_tune in the library: a trial's result does not depend on its company, a trial's line reads back, the callback can end
 * a search, and with memory and disks failing in turn nothing leaks and the model is as it was. */
#include "plugin/tune/importance.h"
#include "tests/tune/rig.h"
#include <math.h>
#include <sys/stat.h>
#include <xxhash.h>

static hone_error err;
static const char *members, *outers; /* --ensemble, --nested; NULL: none */

static hone_status set_params(struct rig *g, const char *folds, const char *pruner)
{
    const char *const list[][2] = { { "search", "lr=log:1e-3..1e-1" },
                                    { "search", "batch_size=8,16" },
                                    { "sampler", "random" },
                                    { "trials", "3" },
                                    { "jobs", "1" },
                                    { "epochs", "2" },
                                    { "scale", "standard" },
                                    { "folds", folds },
                                    { "lag", "1" },
                                    { strcmp(pruner, "median") ? "pruner" : "prune-startup",
                                      strcmp(pruner, "median") ? pruner : "1" },
                                    { "pruner", pruner },
                                    { "run-dir", g->dir } };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        hone_status st = hone_params_set(g->params, list[i][0], list[i][1], &err);
        if (st != HONE_OK) return st;
    }
    hone_status st = members ? hone_params_set(g->params, "ensemble", members, &err) : HONE_OK;
    return st == HONE_OK && outers ? hone_params_set(g->params, "nested", outers, &err) : st;
}

static hone_status rig_open(struct rig *g, const char *name, const char *folds)
{
    char folder[64];
    snprintf(folder, sizeof folder, "tune-%s", name);
    hone_status st = rig_begin(g, folder, "4-6-3 relu softmax", &err);
    /* where things fail, the paths of pruning are among what fails */
    return st == HONE_OK ? set_params(g, folds, strcmp(name, "fault") ? "none" : "median") : st;
}

static int hash_piece(void *user, const void *p, size_t n)
{
    uint64_t *h = user;
    *h = XXH3_64bits_withSeed(p, n, *h);
    return 0;
}

static uint64_t model_hash(hone_model *m)
{
    uint64_t h = 1;
    HN_OK(hone_model_save_bytes(m, hash_piece, &h, &err), err);
    return h;
}

/* ---- what it does --------------------------------------------------------------------------------------------------------- */

START_TEST(same_in_company)
{
    uint64_t hash[3];
    double value[3];
    for (int i = 0; i < 3; i++) {
        struct rig g;
        hone_result *r;
        char jobs[2] = { (char)('1' + i), 0 };
        hn_fault_init(&g.fault);
        HN_OK(rig_open(&g, "company", "4"), err);
        uint64_t before = model_hash(g.model);
        HN_OK(hone_params_set(g.params, "jobs", jobs, &err), err);
        HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
        hash[i] = model_hash(g.model);
        ck_assert_uint_ne(before, hash[i]);
        ck_assert(hone_result_number(r, "best_value", &value[i]));
        ck_assert(hone_result_number(r, "trials.2.folds.3.value", &value[i]));
        ck_assert_uint_eq(hash[i], hash[0]);
        ck_assert(value[i] == value[0]);
        hone_result_destroy(r);
        rig_close(&g);
    }
}
END_TEST

/* A trial begins when the one before it has ended: it is proposed from what came of it. */
static void one_by_one(const struct rig *g)
{
    HN_OK(hone_params_set(g->params, "lag", "1", &err), err);
    HN_OK(hone_params_set(g->params, "sampler", "tpe", &err), err);
    HN_OK(hone_params_set(g->params, "startup", "1", &err), err);
}

static int stop_at_once(void *user, const hone_trial *t)
{
    ++*(int *)user;
    ck_assert_str_eq(t->state, "done");
    ck_assert_str_eq(t->params, "default");
    ck_assert_int_eq(t->best_trial, 0);
    return 1;
}

START_TEST(an_ensemble_in_company)
{
    uint64_t hash[3];
    members = "2";
    for (int i = 0; i < 3; i++) {
        struct rig g;
        hone_result *r;
        double v;
        char jobs[2] = { (char)('1' + i), 0 };
        hn_fault_init(&g.fault);
        HN_OK(rig_open(&g, "ensemble", "4"), err);
        HN_OK(hone_params_set(g.params, "jobs", jobs, &err), err);
        HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
        ck_assert(hone_result_number(r, "ensemble.members.1", &v));
        ck_assert(!hone_result_number(r, "ensemble.members.2", &v));
        ck_assert(hone_result_number(r, "ensemble.exported", &v) && v == 1);
        hash[i] = model_hash(g.model);
        ck_assert_uint_eq(hash[i], hash[0]);
        hone_result_destroy(r);
        rig_close(&g);
    }
}
END_TEST

START_TEST(callback_ends_it)
{
    struct rig g;
    hone_result *r;
    int calls = 0;
    double v;
    hone_tune_callbacks cb = HONE_TUNE_CALLBACKS;
    cb.trial = stop_at_once;
    cb.user = &calls;
    hn_fault_init(&g.fault);
    HN_OK(rig_open(&g, "callback", "2"), err);
    one_by_one(&g);
    HN_OK(hone_tune(g.model, g.data, g.params, &cb, &r, &err), err);
    ck_assert_int_eq(calls, 1);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "callback");
    ck_assert(hone_result_number(r, "best_trial", &v) && v == 0);
    hone_result_destroy(r);
    /* run again on the same model it goes on: the study has trial 0 */
    hone_model_destroy(g.model);
    g.model = NULL;
    HN_OK(hone_model_new(g.ctx, "4-6-3 relu softmax", 1, &g.model, &err), err);
    HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "trials");
    ck_assert(hone_result_number(r, "trials.2.number", &v) && v == 2);
    ck_assert(!hone_result_number(r, "trials.3.number", &v));
    hone_result_destroy(r);
    rig_close(&g);
}
END_TEST

struct seen {
    int calls[4]; /* by outer fold; 0: of the search that exports */
    int stop_at;  /* outer fold, 0: none */
};

static int count_outer(void *user, const hone_trial *t)
{
    struct seen *seen = user;
    ck_assert_int_eq(t->outers, t->outer ? 3 : 0);
    ck_assert_int_le(t->outer, 3);
    seen->calls[t->outer]++;
    return t->outer && t->outer == seen->stop_at;
}

/* The callback is told whose search a trial is of, and ends all of them. */
START_TEST(nested_in_order)
{
    for (int stop = 0; stop < 3; stop += 2) {
        struct rig g;
        hone_result *r;
        double v;
        struct seen seen = { .stop_at = stop };
        hone_tune_callbacks cb = HONE_TUNE_CALLBACKS;
        cb.trial = count_outer;
        cb.user = &seen;
        outers = "3";
        hn_fault_init(&g.fault);
        HN_OK(rig_open(&g, "nested", "2"), err);
        one_by_one(&g);
        uint64_t before = model_hash(g.model);
        HN_OK(hone_tune(g.model, g.data, g.params, &cb, &r, &err), err);
        ck_assert_int_eq(seen.calls[1], 3);
        ck_assert_int_eq(seen.calls[2], stop ? 1 : 3);
        ck_assert_int_eq(seen.calls[3], stop ? 0 : 3);
        ck_assert_int_eq(seen.calls[0], stop ? 0 : 3);
        ck_assert(hone_result_number(r, "nested.complete", &v) && v == !stop);
        ck_assert_int_eq(hone_result_number(r, "nested.values.2", &v), !stop);
        ck_assert(stop || hone_result_number(r, "nested.mean", &v));
        ck_assert_int_eq(model_hash(g.model) == before, stop != 0);
        ck_assert_str_eq(hone_result_text(r, "stop_reason"), stop ? "callback" : "trials");
        hone_result_destroy(r);
        rig_close(&g);
    }
}
END_TEST

/* A trial whose plan does not fit the memory there is costs that trial only. */
START_TEST(memory_of_a_trial)
{
    struct rig g;
    hone_result *r;
    hn_fault_init(&g.fault);
    HN_OK(rig_open(&g, "large", "3"), err);
    static const char *const settings[][2] = { { "search", NULL },
                                               { "search", "hidden_units=5,1000000" },
                                               { "sampler", "grid" } };
    for (size_t i = 0; i < 3; i++)
        HN_OK(hone_params_set(g.params, settings[i][0], settings[i][1], &err), err);
    g.ctx->mem.budget =
        atomic_load(&g.ctx->mem.used) + ((size_t)32 << 20); /* 28 MB of weights, many times over */
    HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
    int failed = 0, done = 0;
    for (int i = 0; i < 3; i++) {
        char key[32];
        snprintf(key, sizeof key, "trials.%d.state", i);
        const char *state = hone_result_text(r, key);
        snprintf(key, sizeof key, "trials.%d.why", i);
        const char *why = hone_result_text(r, key);
        done += state && !strcmp(state, "done");
        if (!state || strcmp(state, "failed") != 0) continue;
        failed++;
        ck_assert_msg(why && strstr(why, "memory"), "%s", why ? why : "no reason");
    }
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(done, 2);
    hone_result_destroy(r);
    rig_close(&g);
}
END_TEST

START_TEST(scores_read_back)
{
    struct hn_mem mem;
    struct hn_arena arena;
    struct hn_buffer b;
    struct hn_fold_result fold[4] = {
        { .state = HN_FOLD_COMPLETE, .value = 0.1, .best_epoch = 3, .epochs = 8 },
        { .state = HN_FOLD_COMPLETE, .value = 0.30000000000000004, .best_epoch = 5, .epochs = 9 },
        { .state = HN_FOLD_COMPLETE, .value = 1e-300, .best_epoch = 20, .epochs = 20 },
        { .state = HN_FOLD_COMPLETE, .value = 0.2, .best_epoch = 4, .epochs = 7 }
    };
    struct hn_score s = { .n = 4, .fold = fold }, back;
    hn_mem_init(&mem, 0);
    hn_arena_init(&arena, &mem);
    hn_buffer_init(&b, &mem);
    hn_score_sum(&s);
    ck_assert_int_eq(s.epochs, 44);
    ck_assert_int_eq(s.best_epoch, 5); /* between 4 and 5, up */
    ck_assert_double_eq_tol(s.mean, 0.15, 1e-12);
    ck_assert_double_eq_tol(s.std, sqrt(0.0125), 1e-12);
    ck_assert_double_eq_tol(s.noise, 0.05 / 3 * (0.25 + 1.0 / 3), 1e-12);
    HN_OK(hn_sink_str(&b.sink, "default ", &err), err);
    HN_OK(hn_score_write(&s, &b, &err), err);
    HN_OK(hn_score_read(&back, &arena, b.p, &err), err);
    ck_assert_int_eq(back.n, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert(back.fold[i].value == fold[i].value);
        ck_assert_int_eq(back.fold[i].best_epoch, fold[i].best_epoch);
        ck_assert_int_eq(back.fold[i].epochs, fold[i].epochs);
    }
    for (int placed = 0; placed < 2;
         placed++) { /* a failure that has no place has none in the text */
        s.n = 1, fold[0].state = HN_FOLD_FAILED, b.n = 0;
        hn_fail(&fold[0].why, HONE_E_NOMEM, placed ? "fc1" : "", "out of memory");
        HN_OK(hn_score_write(&s, &b, &err), err);
        ck_assert_str_eq(strstr(b.p, " | "), placed ? " | fc1: out of memory" : " | out of memory");
    }
    HN_OK(hn_score_read(&back, &arena, "", &err), err);
    ck_assert_int_eq(back.n, 0);
    HN_OK(hn_score_read(&back, &arena, "setting", &err), err);
    ck_assert_int_eq(back.n, 0);
    HN_OK(hn_score_read(&back, &arena, "nan:0:0 0.5:1:2 | training: a:b:c failed", &err), err);
    ck_assert_int_eq(back.n, 2);
    ck_assert_int_eq(back.fold[0].state, HN_FOLD_FAILED);
    hn_buffer_free(&b);
    hn_arena_clear(&arena);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}
END_TEST

/* 40 trials of three axes in a fixed scatter; what the value follows gets the share. */
START_TEST(what_mattered)
{
    enum { TRIALS = 40 };
    static const char *const axes[] = { "a=log:1e-4..1", "b=0..1", "c=x,y" };
    static double x[TRIALS][3];
    struct hn_trial trials[TRIALS];
    struct hn_mem mem;
    struct hn_search_space s;
    double share[3];
    int said;
    hn_mem_init(&mem, 0);
    hn_space_init(&s, &mem);
    for (int i = 0; i < 3; i++) HN_OK(hn_space_add(&s, axes[i], NULL, &err), err);
    HN_OK(hn_space_finish(&s, &err), err);
    for (int follows = 0; follows < 3; follows++)
        for (int maximize = 0; maximize < 2; maximize++) {
            for (int i = 0; i < TRIALS; i++) {
                x[i][0] = pow(10, -4 * fmod(i * 0.6180339887, 1));
                x[i][1] = fmod(i * 0.4142135624, 1);
                x[i][2] = i * 7 / 3 % 2;
                double v = follows == 0 ? log10(x[i][0]) : x[i][follows];
                trials[i] = (struct hn_trial){ .number = i, .state = HN_TRIAL_DONE, .x = x[i] };
                trials[i].value = (maximize ? -v : v) + 1e-3 * i / TRIALS;
            }
            HN_OK(hn_importances(&mem, &s, trials, TRIALS, maximize, share, &said, &err), err);
            ck_assert_int_eq(said, 1);
            ck_assert_double_eq_tol(share[0] + share[1] + share[2], 1, 1e-12);
            ck_assert_msg(share[follows] > 0.6, "axis %d has %g", follows, share[follows]);
        }
    HN_OK(hn_importances(&mem, &s, trials, 5, 0, share, &said, &err), err);
    ck_assert_int_eq(said, 0);
    hn_space_clear(&s);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}
END_TEST

/* What counts in a few of the best trials only has not mattered because it is there in a few places. */
START_TEST(what_mattered_under_a_condition)
{
    enum { TRIALS = 40 };
    static const char *const axes[] = { "a=log:1e-4..1", "c=x,y", "b=0..1?c=y" };
    static double x[TRIALS][3];
    struct hn_trial trials[TRIALS];
    struct hn_mem mem;
    struct hn_search_space s;
    double share[3];
    int said;
    hn_mem_init(&mem, 0);
    hn_space_init(&s, &mem);
    for (int i = 0; i < 3; i++) HN_OK(hn_space_add(&s, axes[i], NULL, &err), err);
    HN_OK(hn_space_finish(&s, &err), err);
    for (int i = 0; i < TRIALS; i++) {
        x[i][0] = pow(10, -4 * fmod(i * 0.6180339887, 1));
        x[i][1] = i % 5 < 3;
        x[i][2] = i % 5 < 3 ? fmod(i * 0.4142135624, 1) : (double)NAN;
        trials[i] = (struct hn_trial){ .number = i, .state = HN_TRIAL_DONE, .x = x[i] };
        trials[i].value = log10(x[i][0]) + 0.7 * x[i][1];
    }
    HN_OK(hn_importances(&mem, &s, trials, TRIALS, 0, share, &said, &err), err);
    ck_assert_int_eq(said, 1);
    ck_assert_msg(share[0] > 0.6 && share[2] < 0.1, "a %g, c %g, b %g", share[0], share[1],
                  share[2]);
    hn_space_clear(&s);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}
END_TEST

/* ---- failures -------------------------------------------------------------------------------------------------------------- */

/* One search with the n-th call failing. Returns 1 when there was no such call. */
static int search_once(long mem, long io, int persistent, uint64_t untouched)
{
    struct rig g;
    hone_result *r = NULL;
    hn_fault_init(&g.fault);
    g.fault.mem_fail.at = mem;
    g.fault.io_fail.at = io;
    g.fault.io_fail.code = ENOSPC;
    g.fault.mem_fail.persistent = g.fault.io_fail.persistent = persistent;
    hone_status st = rig_open(&g, "fault", "2");
    int opened = st == HONE_OK;
    if (opened) st = hone_tune(g.model, g.data, g.params, NULL, &r, &err);
    long hits = atomic_load(&g.fault.mem_fail.hits) + atomic_load(&g.fault.io_fail.hits);
    ck_assert(st == HONE_OK ? r || !opened : !r);
    ck_assert_msg(st == HONE_OK || st == HONE_E_NOMEM || st == HONE_E_IO,
                  "call %ld/%ld: status %d %s: %s", mem, io, (int)st, err.where, err.text);
    g.fault.mem_fail.at = g.fault.io_fail.at = 0;
    if (opened && st != HONE_OK) ck_assert_uint_eq(model_hash(g.model), untouched);
    hone_result_destroy(r);
    rig_close(&g);
    return hits == 0;
}

static uint64_t untouched_hash(long *calls)
{
    struct rig g;
    hone_result *r;
    hn_fault_init(&g.fault);
    HN_OK(rig_open(&g, "fault", "2"), err);
    uint64_t h = model_hash(g.model);
    HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
    *calls = atomic_load(&g.fault.mem_fail.calls);
    const char *state = hone_result_text(r, "trials.2.state");
    ck_assert_str_eq(state ? state : "", "pruned");
    hone_result_destroy(r);
    rig_close(&g);
    return h;
}

START_TEST(memory_runs_out)
{
    long calls;
    uint64_t untouched = untouched_hash(&calls);
    for (int persistent = 0; persistent < 2; persistent++)
        for (long n = 1; n <= calls; n += 1 + calls / 100) search_once(n, 0, persistent, untouched);
}
END_TEST

/* 0: the end with an ensemble; 1: outer folds before the search */
START_TEST(memory_runs_out_in_more)
{
    long calls, plain;
    (void)untouched_hash(&plain);
    if (_i)
        outers = "2";
    else
        members = "3";
    uint64_t untouched = untouched_hash(&calls);
    ck_assert_int_gt(calls, plain + 1000);
    for (int persistent = 0; persistent < 2; persistent++)
        for (long n = _i ? 1 : plain; n <= calls; n += 1 + (calls - plain) / 30)
            search_once(n, 0, persistent, untouched);
}
END_TEST

START_TEST(disk_fails)
{
    long calls;
    uint64_t untouched = untouched_hash(&calls);
    for (int persistent = 0; persistent < 2; persistent++) {
        long n = 1;
        while (!search_once(0, n, persistent, untouched)) n++;
        ck_assert_int_gt(n, 10); /* three files were written */
    }
}
END_TEST

static void nothing_more(void) { members = outers = NULL; }

HN_TEST_MAIN("tune", tcase_add_checked_fixture(tc, nothing_more, NULL);
             tcase_add_test(tc, same_in_company); tcase_add_test(tc, an_ensemble_in_company);
             tcase_add_test(tc, callback_ends_it); tcase_add_test(tc, nested_in_order);
             tcase_add_test(tc, memory_of_a_trial); tcase_add_test(tc, scores_read_back);
             tcase_add_test(tc, what_mattered); tcase_add_test(tc, what_mattered_under_a_condition);
             tcase_add_test(tc, memory_runs_out);
             tcase_add_loop_test(tc, memory_runs_out_in_more, 0, 2);
             tcase_add_test(tc, disk_fails);)
