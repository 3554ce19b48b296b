/* SPDX-License-Identifier: MIT
 *
 * Failing memory and failing disks: hone_train and hone_resume with every allocation and every file call failing in turn, once
 * and from then on. An error of the right kind, nothing leaked, the model as it was, and the run folder good for a resume
 * whenever it has a checkpoint. */
#include "plugin/train/rundir.h"
#include "tests/fault.h"
#include "tests/train/kit.h"

static hone_error err;

static const struct kit_pair job[] = { { "epochs", "2" },   { "batch-size", "16" },
                                       { "threads", "1" },  { "early-stop-patience", "9" },
                                       { "metric", "f1" },  { "class-weights", "2,1,0.5" },
                                       { "pretrain", "1" }, { NULL, NULL } };

struct rig {
    struct hn_fault fault;
    hone_context_opts opts;
    struct kit kit;
    char dir[512], run[600];
};

static void rig_init(struct rig *g, const char *name)
{
    memset(g, 0, sizeof *g);
    kit_folder(name, g->dir);
    snprintf(g->run, sizeof g->run, "%s/run", g->dir);
}

static void rig_remove(struct rig *g)
{
    char command[700];
    snprintf(command, sizeof command, "rm -rf '%s'", g->dir);
    ck_assert_int_eq(system(command), 0);
}

static void arm(struct rig *g, long mem, long io, int persistent, int code)
{
    hn_fault_init(&g->fault);
    g->fault.mem_fail.at = mem;
    g->fault.io_fail.at = io;
    g->fault.mem_fail.persistent = g->fault.io_fail.persistent = persistent;
    g->fault.io_fail.code = code;
    g->opts = (hone_context_opts)HONE_CONTEXT_OPTS;
    g->opts.alloc = hn_fault_alloc;
    g->opts.release = hn_fault_release;
    g->opts.alloc_user = &g->fault;
}

static int failed(struct rig *g)
{
    return atomic_load(&g->fault.mem_fail.hits) + atomic_load(&g->fault.io_fail.hits) > 0;
}

/* One whole job under the armed faults: load, open data, train with a run folder. */
static hone_status train_once(struct rig *g, uint64_t *before, uint64_t *after)
{
    static const uint8_t weight[KIT_ROWS - 10] = { 3, 1, 0, 2, 1, 9, 0, 0, 1, 1 };
    const hone_array weights = { sizeof weights, NULL, HONE_U8, KIT_ROWS - 10, 1, weight };
    struct kit *k = &g->kit;
    hone_result *r = NULL;
    hone_status st = kit_open(k, "bn_f32", 10, &g->opts, &g->fault.io, &err);
    *before = *after = 0;
    if (st != HONE_OK) return st;
    st = kit_set(k, job, &err);
    if (st == HONE_OK) st = hone_params_set(k->params, "run-dir", g->run, &err);
    if (st == HONE_OK) st = hone_data_weights(k->data, HONE_TRAIN, &weights, &err);
    if (st == HONE_OK) st = hone_train(k->model, k->data, k->params, NULL, &r, &err);
    ck_assert(st == HONE_OK || !r);
    long mem = g->fault.mem_fail.at;
    g->fault.mem_fail.at = 0; /* looking costs memory */
    if (st != HONE_OK) *after = kit_hash(k->model);
    g->fault.mem_fail.at = mem;
    hone_result_destroy(r);
    kit_close(k);
    return st;
}

static uint64_t untouched(void)
{
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    uint64_t hash = kit_hash(k.model);
    kit_close(&k);
    return hash;
}

static void clean_run(struct rig *g)
{
    hone_context *ctx;
    struct hn_stat st;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hn_rundir_remove(ctx, g->run);
    ck_assert_msg(hn_io_system.stat_path(NULL, g->run, &st) < 0, "something is left in %s", g->run);
    hone_context_destroy(ctx);
}

START_TEST(every_allocation_fails)
{
    struct rig g;
    uint64_t model = untouched(), before, after;
    rig_init(&g, "memory");
    for (long n = 1;; n++) {
        arm(&g, n, 0, _i, 0);
        hone_status st = train_once(&g, &before, &after);
        ck_assert_msg(hn_fault_leaks(&g.fault) == 0, "allocation %ld: %ld leaked", n,
                      hn_fault_leaks(&g.fault));
        clean_run(&g);
        if (!failed(&g)) {
            HN_OK(st, err);
            printf("%ld allocations\n", n - 1);
            ck_assert_int_gt(n, 200);
            break;
        }
        ck_assert_msg(st == HONE_OK || st == HONE_E_NOMEM, "allocation %ld: %d %s: %s", n, (int)st,
                      err.where, err.text);
        ck_assert_msg(st == HONE_E_NOMEM || !_i,
                      "allocation %ld failed for good and nobody noticed", n);
        ck_assert_msg(after == 0 || after == model, "allocation %ld: the model changed", n);
    }
    rig_remove(&g);
}
END_TEST

/* ---- files ---- */

/* The folder an attempt left is good for a resume that ends as if nothing had happened, when it has a checkpoint. */
static int resume_what_is_left(struct rig *g, uint64_t wanted)
{
    hone_context *ctx;
    hone_model *m;
    hone_result *r;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    int there = hn_checkpoint_exists(ctx, g->run);
    if (there) {
        HN_OK(hone_resume(ctx, g->run, NULL, NULL, &m, &r, &err), err);
        ck_assert_uint_eq(kit_hash(m), wanted);
        hone_result_destroy(r);
        hone_model_destroy(m);
    }
    hone_context_destroy(ctx);
    return there;
}

static hone_status train_from_files(struct rig *g, uint64_t *hash)
{
    struct kit *k = &g->kit;
    hone_result *r = NULL;
    hone_status st = kit_open(k, "bn_f32", 10, &g->opts, &g->fault.io, &err);
    *hash = 0;
    if (st != HONE_OK) return st;
    HN_OK(kit_set(k, job, &err), err);
    kit_files(k, g->dir, 10);
    HN_OK(hone_params_set(k->params, "run-dir", g->run, &err), err);
    hone_data_destroy(k->data);
    k->data = NULL;
    st = hone_data_open(k->ctx, k->model, k->params, &k->data, &err);
    if (st == HONE_OK) st = hone_train(k->model, k->data, k->params, NULL, &r, &err);
    if (st == HONE_OK) *hash = kit_hash(k->model);
    hone_result_destroy(r);
    kit_close(k);
    return st;
}

START_TEST(every_file_call_fails)
{
    static const int codes[] = { EIO, ENOSPC };
    struct rig g;
    uint64_t wanted, hash;
    int resumed = 0, refused = 0;
    rig_init(&g, "disk");
    arm(&g, 0, 0, 0, 0);
    HN_OK(train_from_files(&g, &wanted), err);
    clean_run(&g);
    for (long n = 1;; n++) {
        arm(&g, 0, n, _i % 2, codes[_i / 2]);
        hone_status st = train_from_files(&g, &hash);
        ck_assert_msg(hn_fault_leaks(&g.fault) == 0, "call %ld: %ld leaked", n,
                      hn_fault_leaks(&g.fault));
        ck_assert_msg(st == HONE_OK || st == HONE_E_IO, "call %ld: %d %s: %s", n, (int)st,
                      err.where, err.text);
        if (st == HONE_OK) ck_assert_uint_eq(hash, wanted);
        refused += st != HONE_OK;
        resumed += resume_what_is_left(&g, wanted);
        clean_run(&g);
        if (!failed(&g)) break;
    }
    printf("%d runs failed, %d were resumed\n", refused, resumed);
    ck_assert_int_gt(refused, 30);
    ck_assert_int_gt(resumed, 10);
    rig_remove(&g);
}
END_TEST

/* Interrupted and short calls change nothing. */
START_TEST(interrupted_and_short_calls)
{
    struct rig g;
    uint64_t wanted, hash;
    rig_init(&g, "short");
    arm(&g, 0, 0, 0, 0);
    HN_OK(train_from_files(&g, &wanted), err);
    clean_run(&g);
    arm(&g, 0, 0, 0, 0);
    g.fault.short_writes = 7;
    g.fault.short_reads = 5;
    g.fault.interrupt = 1;
    HN_OK(train_from_files(&g, &hash), err);
    ck_assert_uint_eq(hash, wanted);
    ck_assert_int_eq(resume_what_is_left(&g, wanted), 1);
    clean_run(&g);
    rig_remove(&g);
}
END_TEST

/* ---- resuming under the same conditions ---- */

static int stop_at_once(void *user, const hone_progress *p)
{
    if (p->epoch_end) hone_request_stop(user);
    return 0;
}

START_TEST(resume_with_failing_memory)
{
    struct rig g;
    struct kit *k = &g.kit;
    hone_callbacks cb = HONE_CALLBACKS;
    hone_result *r;
    hone_model *m;
    rig_init(&g, "resume-memory");
    HN_OK(kit_open(k, "bn_f32", 10, NULL, NULL, &err), err);
    HN_OK(kit_set(k, job, &err), err);
    kit_files(k, g.dir, 10);
    HN_OK(hone_params_set(k->params, "run-dir", g.run, &err), err);
    cb.progress = stop_at_once;
    cb.user = k->ctx;
    hone_data *d;
    HN_OK(hone_data_open(k->ctx, k->model, k->params, &d, &err), err);
    HN_OK(hone_train(k->model, d, k->params, &cb, &r, &err), err);
    hone_result_destroy(r);
    hone_data_destroy(d);
    for (long n = 1;; n++) {
        hone_context *ctx;
        arm(&g, n, 0, 1, 0);
        hone_status st = hn_context_create_with(&g.opts, &g.fault.io, &ctx, &err);
        if (st == HONE_OK) {
            st = hone_resume(ctx, g.run, NULL, NULL, &m, &r, &err);
            ck_assert((st == HONE_OK) == (m != NULL) && (st == HONE_OK) == (r != NULL));
            if (st == HONE_OK) {
                hone_result_destroy(r);
                hone_model_destroy(m);
            }
            hone_context_destroy(ctx);
        }
        ck_assert_msg(hn_fault_leaks(&g.fault) == 0, "allocation %ld: %ld leaked", n,
                      hn_fault_leaks(&g.fault));
        if (!failed(&g)) {
            HN_OK(st, err);
            break;
        }
        ck_assert_msg(st == HONE_E_NOMEM, "allocation %ld: %d %s: %s", n, (int)st, err.where,
                      err.text);
    }
    kit_close(k);
    rig_remove(&g);
}
END_TEST

HN_TEST_MAIN("faults", tcase_set_timeout(tc, 600);
             tcase_add_loop_test(tc, every_allocation_fails, 0, 2);
             tcase_add_loop_test(tc, every_file_call_fails, 0, 4);
             tcase_add_test(tc, interrupted_and_short_calls);
             tcase_add_test(tc, resume_with_failing_memory);)
