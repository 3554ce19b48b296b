/* SPDX-License-Identifier: MIT
 *
 * hone_resume: whatever interrupts a run, the continued one ends with the same bytes as an undisturbed one. */
#include "plugin/train/job.h"
#include "tests/fault.h"
#include "tests/train/kit.h"
#include <sys/wait.h>

static hone_error err;

/* A model with files for data and a run folder under `dir`. */
static void open_run(struct kit *k, const char *model, const char *dir,
                     const struct kit_pair *pairs, const struct hn_io *io)
{
    char run[600];
    HN_OK(kit_open(k, model, 10, NULL, io, &err), err);
    kit_files(k, dir, 10);
    snprintf(run, sizeof run, "%s/run", dir);
    HN_OK(kit_set(k, PAIRS({ "batch-size", "8" }, { "threads", "1" }, { "save", "last" }), &err),
          err);
    HN_OK(kit_set(k, pairs, &err), err);
    HN_OK(hone_params_set(k->params, "run-dir", run, &err), err);
    hone_data_destroy(k->data);
    k->data = NULL;
    HN_OK(hone_data_open(k->ctx, k->model, k->params, &k->data, &err), err);
}

static void remove_run(const char *dir)
{
    char command[700];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

/* The file an undisturbed run gives. */
static uint64_t undisturbed(const char *model, const char *dir, const struct kit_pair *pairs)
{
    struct kit k;
    hone_result *r;
    open_run(&k, model, dir, pairs, NULL);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    uint64_t hash = kit_file_hash(k.model);
    char run[600];
    snprintf(run, sizeof run, "%s/run", dir);
    hn_rundir_remove(k.ctx, run);
    hone_result_destroy(r);
    kit_close(&k);
    return hash;
}

static hone_result *resume(hone_context *ctx, const char *dir, const hone_params *overrides,
                           const hone_callbacks *cb, hone_model **m)
{
    hone_result *r;
    char run[600];
    snprintf(run, sizeof run, "%s/run", dir);
    HN_OK(hone_resume(ctx, run, overrides, cb, m, &r, &err), err);
    return r;
}

/* ---- stopped by request ---- */

static int ask_to_stop(void *user, const hone_progress *p)
{
    if (p->epoch_end) hone_request_stop(user);
    return 0;
}

struct stop_at {
    struct hn_job *job;
    int64_t batch;
};

static hone_status stop_after(void *user, struct hn_fit *f, hone_error *e)
{
    struct stop_at *s = user;
    (void)e;
    f->seconds_per_row = 1e9; /* one step a call */
    if (f->cohort->member[0].r.now.batch >= s->batch) hone_request_stop(s->job->ctx);
    return HONE_OK;
}

static hone_status keep_records(void *user, struct hn_fit *f, const struct hn_epoch *epoch,
                                hone_error *e)
{
    struct stop_at *s = user;
    return hn_rundir_epoch(&s->job->dir, f, epoch, e);
}

/* What hone_train does, with other hooks. */
static hone_status run_with(struct hn_job *j, struct kit *k, const struct hn_fit_hooks *hooks,
                            hone_error *e)
{
    hone_status st = hn_job_init(j, k->model, k->params, e);
    if (st == HONE_OK) st = hn_job_origin(j, e);
    if (st == HONE_OK) st = hn_job_open(j, k->data, NULL, e);
    if (st == HONE_OK) st = hn_job_start(j, e);
    if (st == HONE_OK)
        st =
            hn_rundir_open(&j->dir, j->ctx, hn_param_s(j->params, "run-dir"), "", HN_RUNDIR_NEW, e);
    if (st == HONE_OK) {
        j->fit->hooks = *hooks;
        st = hn_fit_start(j->fit, e);
    }
    if (st == HONE_OK) st = hn_rundir_begin(&j->dir, j->fit, &j->origin, e);
    if (st == HONE_OK) st = hn_job_run(j, e);
    if (st == HONE_OK) st = hn_job_finish(j, e);
    hn_job_close(j);
    return st;
}

static void stop_in_mid_epoch(const char *model, int64_t batch, const struct kit_pair *pairs)
{
    struct kit k;
    struct hn_job j;
    struct stop_at s = { &j, batch };
    struct hn_fit_hooks hooks = { .user = &s, .epoch = keep_records, .tick = stop_after };
    char dir[512];
    hone_model *m;
    kit_folder("stops", dir);
    uint64_t wanted = undisturbed(model, dir, pairs);
    open_run(&k, model, dir, pairs, NULL);
    HN_OK(run_with(&j, &k, &hooks, &err), err);
    hone_result *r = resume(k.ctx, dir, NULL, NULL, &m);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "max_epochs");
    ck_assert_msg(kit_file_hash(m) == wanted,
                  "%s %s %s: another result when stopped after batch %d", model, pairs[0].value,
                  pairs[1].value, (int)batch);
    hone_result_destroy(r);
    hone_model_destroy(m);
    kit_close(&k);
    remove_run(dir);
}

static const char *const optimizers[] = { "sgd",     "momentum", "nesterov", "adagrad",
                                          "rmsprop", "adam",     "adamw" };
static const char *const schedules[] = { "constant", "step",     "multistep", "exponential",
                                         "cosine",   "onecycle", "poly",      "plateau" };

/* Every optimizer with every schedule, stopped after any of the 25 batches. */
START_TEST(interrupted_runs_end_the_same)
{
    const int multistep = !strcmp(schedules[_i % 8], "multistep"),
              plateau = !strcmp(schedules[_i % 8], "plateau");
    struct kit_pair pairs[] = { { "optimizer", optimizers[_i % 7] },
                                { "lr-schedule", schedules[_i % 8] },
                                { "epochs", "5" },
                                { multistep ? "lr-milestones" : "epochs", multistep ? "2,3" : "5" },
                                { plateau ? "lr-patience" : "epochs", plateau ? "0" : "5" },
                                { "accumulate", _i % 3 ? "1" : "2" },
                                { "dropout", _i % 2 ? "0.3" : "0" },
                                { "warmup", _i % 5 ? "0" : "7" },
                                { "monitor", "train_loss" },
                                { "swa-start", _i % 3 == 1 ? "2" : "0" },
                                { "ema", _i % 3 == 2 ? "0.8" : "0" },
                                { "swa-lr", "0.003" },
                                { "swa-anneal", "3" },
                                { "save", _i % 4 ? "last" : "best" },
                                { NULL, NULL } };
    static const char *const models[] = { "bn_f32", "ln_f64", "ln_f32",
                                          "bn_f64", "bn_f16", "ln_bf16" };
    stop_in_mid_epoch(models[_i % 6], _i * 11 % 24, pairs);
}
END_TEST

START_TEST(interrupted_again_and_again)
{
    static const struct kit_pair pairs[] = { { "epochs", "9" },
                                             { "dropout", "0.2" },
                                             { NULL, NULL } };
    struct kit k;
    char dir[512];
    hone_callbacks cb = HONE_CALLBACKS;
    hone_result *r;
    hone_model *m = NULL;
    kit_folder("again", dir);
    uint64_t wanted = undisturbed("bn_f32", dir, pairs);
    open_run(&k, "bn_f32", dir, pairs, NULL);
    cb.progress = ask_to_stop;
    cb.user = k.ctx;
    HN_OK(hone_train(k.model, k.data, k.params, &cb, &r, &err), err);
    int rounds = 0;
    while (!strcmp(hone_result_text(r, "stop_reason"), "interrupted")) {
        hone_result_destroy(r);
        hone_model_destroy(m);
        r = resume(k.ctx, dir, NULL, &cb, &m);
        ck_assert_int_lt(++rounds, 20);
    }
    ck_assert_int_ge(rounds, 3);
    ck_assert_uint_eq(kit_file_hash(m), wanted);
    hone_result_destroy(r);
    hone_model_destroy(m);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

/* ---- killed at every call ---- */

/* A run that writes a checkpoint after every single step. */
static hone_status save_each_step(void *user, struct hn_fit *f, hone_error *e)
{
    struct hn_job *j = user;
    f->seconds_per_row = 1e9;
    return hn_checkpoint_write(j->dir.dir, &j->origin, f, e);
}

static hone_status save_each_epoch(void *user, struct hn_fit *f, const struct hn_epoch *epoch,
                                   hone_error *e)
{
    struct hn_job *j = user;
    hone_status st = hn_rundir_epoch(&j->dir, f, epoch, e);
    return st == HONE_OK ? hn_checkpoint_write(j->dir.dir, &j->origin, f, e) : st;
}

static hone_status anxious_run(struct kit *k, hone_error *e)
{
    struct hn_job j;
    return run_with(
        &j, k,
        &(struct hn_fit_hooks){ .user = &j, .epoch = save_each_epoch, .tick = save_each_step }, e);
}

static const struct kit_pair killed_job[] = {
    { "epochs", "2" },    { "batch-size", "20" },       { "optimizer", "adam" },
    { "dropout", "0.2" }, { "lr-schedule", "plateau" }, { "lr-patience", "0" },
    { NULL, NULL }
};

/* The child trains and dies right after its n-th call; 1 when it came to the end. */
static int killed_at(const char *dir, long n)
{
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        static struct hn_fault f;
        struct kit k;
        hn_fault_init(&f);
        open_run(&k, "bn_f32", dir, killed_job, &f.io);
        f.exit_after = n ? atomic_load(&f.io_fail.calls) + n : 0;
        f.exit_code = 42;
        _exit(anxious_run(&k, &err) == HONE_OK ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    ck_assert(WIFEXITED(status));
    ck_assert_msg(WEXITSTATUS(status) == 42 || WEXITSTATUS(status) == 0, "the run failed: %d",
                  WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0;
}

START_TEST(killed_at_every_call)
{
    char dir[512], run[600];
    int before_first = 0, resumed = 0;
    kit_folder("kills", dir);
    snprintf(run, sizeof run, "%s/run", dir);
    uint64_t wanted = undisturbed("bn_f32", dir, killed_job);
    for (long n = 1; !killed_at(dir, n); n++) {
        hone_context *ctx;
        HN_OK(hone_context_create(NULL, &ctx, &err), err);
        if (hn_checkpoint_exists(ctx, run)) {
            hone_model *m;
            hone_result *r = resume(ctx, dir, NULL, NULL, &m);
            ck_assert_msg(kit_file_hash(m) == wanted, "another result when killed after call %ld",
                          n);
            hone_result_destroy(r);
            hone_model_destroy(m);
            resumed++;
        } else {
            before_first++;
        }
        hn_rundir_remove(ctx, run);
        struct hn_stat st;
        ck_assert_msg(hn_io_system.stat_path(NULL, run, &st) < 0,
                      "something is left in the folder");
        hone_context_destroy(ctx);
    }
    printf("killed after each of %d calls, %d times before the first checkpoint\n",
           resumed + before_first, before_first);
    ck_assert_int_gt(resumed, 60);
    ck_assert_int_lt(before_first, 40);
    remove_run(dir);
}
END_TEST

/* ---- what resume may be told, and what not ---- */

static void interrupted_run(struct kit *k, char dir[512], const struct kit_pair *pairs)
{
    hone_callbacks cb = HONE_CALLBACKS;
    hone_result *r;
    kit_folder("resume", dir);
    open_run(k, "ln_f32", dir, pairs, NULL);
    cb.progress = ask_to_stop;
    cb.user = k->ctx;
    HN_OK(hone_train(k->model, k->data, k->params, &cb, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "interrupted");
    hone_result_destroy(r);
}

START_TEST(finished_runs_say_so_and_can_be_given_more)
{
    struct kit k;
    char dir[512];
    double v;
    hone_model *m;
    hone_params *more;
    interrupted_run(&k, dir, PAIRS({ "epochs", "3" }));
    hone_result *r = resume(k.ctx, dir, NULL, NULL, &m);
    ck_assert(hone_result_number(r, "finished", &v) && v == 0);
    ck_assert(hone_result_number(r, "epochs", &v) && v == 3);
    uint64_t hash = kit_file_hash(m);
    hone_result_destroy(r);
    hone_model_destroy(m);
    r = resume(k.ctx, dir, NULL, NULL, &m);
    ck_assert(hone_result_number(r, "finished", &v) && v == 1);
    ck_assert_uint_eq(kit_file_hash(m), hash);
    hone_result_destroy(r);
    hone_model_destroy(m);
    HN_OK(hone_params_create(k.ctx, &more, &err), err);
    HN_OK(hone_params_set(more, "epochs", "+4", &err), err);
    r = resume(k.ctx, dir, more, NULL, &m);
    ck_assert(hone_result_number(r, "finished", &v) && v == 0);
    ck_assert(hone_result_number(r, "epochs", &v) && v == 7);
    ck_assert(hone_result_number(r, "curve.7.train_loss", &v));
    hone_result_destroy(r);
    hone_model_destroy(m);
    hone_params_destroy(more);
    struct kit whole; /* seven epochs in one go are the same */
    open_run(&whole, "ln_f32", dir, PAIRS({ "epochs", "7" }, { "force", "true" }), NULL);
    HN_OK(hone_train(whole.model, whole.data, whole.params, NULL, &r, &err), err);
    hone_result_destroy(r);
    r = resume(k.ctx, dir, NULL, NULL, &m);
    ck_assert_uint_eq(kit_hash(m), kit_hash(whole.model));
    hone_result_destroy(r);
    hone_model_destroy(m);
    kit_close(&whole);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

START_TEST(more_epochs_do_not_move_the_average)
{
    struct kit k;
    char dir[512];
    double v;
    hone_model *m;
    hone_params *more;
    interrupted_run(&k, dir, PAIRS({ "epochs", "3" }, { "swa-start", "0.5" }));
    HN_OK(hone_params_create(k.ctx, &more, &err), err);
    HN_OK(hone_params_set(more, "epochs", "+4", &err), err);
    hone_result *r = resume(k.ctx, dir, more, NULL, &m);
    ck_assert(hone_result_number(r, "epochs", &v) && v == 7);
    ck_assert(hone_result_number(r, "averaged_epochs", &v) && v == 6); /* from the second on */
    hone_result_destroy(r);
    hone_model_destroy(m);
    hone_params_destroy(more);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

START_TEST(overrides)
{
    struct kit k;
    char dir[512], path[700], moved[700];
    hone_model *m;
    hone_result *r;
    hone_params *o;
    interrupted_run(&k, dir, PAIRS({ "epochs", "3" }));
    snprintf(path, sizeof path, "%s/run", dir);
    HN_OK(hone_params_create(k.ctx, &o, &err), err);
    HN_OK(hone_params_set(o, "lr", "0.5", &err), err);
    ck_assert_int_eq(hone_resume(k.ctx, path, o, NULL, &m, &r, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "lr");
    ck_assert_ptr_null(m);
    HN_OK(hone_params_set(o, "lr", NULL, &err), err);
    snprintf(moved, sizeof moved, "%s/moved.npy", dir);
    snprintf(path, sizeof path, "%s/x.npy", dir);
    ck_assert_int_eq(rename(path, moved), 0);
    snprintf(path, sizeof path, "%s/run", dir);
    ck_assert_int_eq(hone_resume(k.ctx, path, NULL, NULL, &m, &r, &err), HONE_E_IO);
    HN_OK(hone_params_set(o, "x", moved, &err), err);
    hone_result_destroy(resume(k.ctx, dir, o, NULL, &m));
    hone_model_destroy(m);
    hone_params_destroy(o);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

START_TEST(other_data_are_refused)
{
    struct kit k;
    char dir[512], path[700];
    hone_model *m;
    hone_result *r;
    interrupted_run(&k, dir, PAIRS({ "epochs", "3" }));
    k.xf[7] += 1;
    kit_files(&k, dir, 10);
    snprintf(path, sizeof path, "%s/run", dir);
    ck_assert_int_eq(hone_resume(k.ctx, path, NULL, NULL, &m, &r, &err), HONE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "not those"));
    ck_assert_ptr_null(m);
    ck_assert_ptr_null(r);
    ck_assert_int_eq(hone_resume(k.ctx, dir, NULL, NULL, &m, &r, &err), HONE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "no checkpoint"));
    snprintf(path, sizeof path, "%s/tune.yaml", dir); /* as a search leaves one */
    FILE *f = fopen(path, "w");
    ck_assert(f && !fclose(f));
    ck_assert_int_eq(hone_resume(k.ctx, dir, NULL, NULL, &m, &r, &err), HONE_E_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "a search"));
    ck_assert_int_eq(remove(path), 0);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

START_TEST(the_model_file_is_not_needed)
{
    struct kit k;
    char dir[512], path[700], command[1500];
    hone_result *r;
    hone_model *m, *copy;
    hone_callbacks cb = HONE_CALLBACKS;
    kit_folder("model", dir);
    uint64_t wanted = undisturbed("ln_f32", dir, PAIRS({ "epochs", "3" }));
    open_run(&k, "ln_f32", dir, PAIRS({ "epochs", "3" }), NULL);
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    snprintf(command, sizeof command, "cp '%s/tests/data/train/ln_f32.onnx' '%s'", HN_SOURCE_DIR,
             path);
    ck_assert_int_eq(system(command), 0);
    HN_OK(hone_model_load(k.ctx, path, &copy, &err), err);
    cb.progress = ask_to_stop;
    cb.user = k.ctx;
    HN_OK(hone_train(copy, k.data, k.params, &cb, &r, &err), err);
    hone_result_destroy(r);
    hone_model_destroy(copy);
    snprintf(command, sizeof command, "echo rubbish > '%s'", path);
    ck_assert_int_eq(system(command), 0);
    r = resume(k.ctx, dir, NULL, NULL, &m);
    ck_assert_uint_eq(kit_file_hash(m), wanted);
    hone_result_destroy(r);
    hone_model_destroy(m);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

/* ---- the folder ---- */

static long lines_of(const char *dir, const char *name, const char *starts)
{
    char path[700], line[4096];
    long n = 0;
    snprintf(path, sizeof path, "%s/run/%s", dir, name);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) n += !strncmp(line, starts, strlen(starts));
    fclose(f);
    return n;
}

START_TEST(no_line_of_metrics_is_lost_or_doubled)
{
    struct kit k;
    char dir[512];
    hone_callbacks cb = HONE_CALLBACKS;
    hone_model *m = NULL;
    cb.progress = ask_to_stop;
    interrupted_run(&k, dir, PAIRS({ "epochs", "4" }));
    cb.user = k.ctx;
    for (int i = 0; i < 9; i++) {
        hone_result_destroy(resume(k.ctx, dir, NULL, &cb, &m));
        hone_model_destroy(m);
    }
    ck_assert_int_eq(lines_of(dir, "metrics.csv", ""), 6);
    ck_assert_int_eq(lines_of(dir, "metrics.csv", "epoch,train_loss,val_loss,"), 1);
    ck_assert_int_eq(lines_of(dir, "metrics.csv", "0,,"), 1);
    ck_assert_int_eq(lines_of(dir, "metrics.csv", "4,"), 1);
    ck_assert_int_ge(lines_of(dir, "events.jsonl", "{\"event\":\"epoch\""), 4);
    ck_assert_int_eq(lines_of(dir, "status.json", "  \"state\": \"finished\""), 1);
    ck_assert_int_eq(lines_of(dir, "run.json", "  \"schema\": \"hone.run/1\""), 1);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

START_TEST(a_folder_in_use_is_refused)
{
    struct kit k;
    char dir[512], path[700];
    hone_result *r;
    kit_folder("inuse", dir);
    open_run(&k, "ln_f32", dir, PAIRS({ "epochs", "1" }), NULL);
    snprintf(path, sizeof path, "%s/run", dir);
    ck_assert_int_eq(hn_io_system.mkdir(NULL, path, 0777), 0); /* an empty one is fine */
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    hone_result_destroy(r);
    ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "not empty"));
    ck_assert_ptr_nonnull(strstr(err.hint, "hone resume"));
    HN_OK(hone_params_set(k.params, "force", "true", &err), err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    hone_result_destroy(r);
    HN_OK(hone_params_set(k.params, "run-dir", "/dev/null", &err), err);
    ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_IO);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

static int busy(void *user, const char *path)
{
    (void)user, (void)path;
    return -EBUSY;
}

/* A folder that cannot be removed to see whether it is empty: what lies in it is looked for. */
START_TEST(a_mount_point_may_be_the_folder)
{
    struct kit k;
    struct hn_io io = hn_io_system;
    char dir[512], path[700];
    hone_result *r;
    io.rmdir = busy;
    kit_folder("mount", dir);
    open_run(&k, "ln_f32", dir, PAIRS({ "epochs", "1" }), &io);
    snprintf(path, sizeof path, "%s/run", dir);
    ck_assert_int_eq(io.mkdir(NULL, path, 0777), 0);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    hone_result_destroy(r);
    ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "not empty"));
    hn_checkpoint_remove(k.ctx, path); /* its curve alone */
    ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_USAGE);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

START_TEST(the_default_folder_goes_when_the_model_is_saved)
{
    struct kit k;
    char dir[512], out[600], run[700];
    struct hn_stat st;
    hone_result *r;
    kit_folder("saved", dir);
    snprintf(out, sizeof out, "%s/out.onnx", dir);
    snprintf(run, sizeof run, "%s.run", out);
    open_run(&k, "ln_f32", dir, PAIRS({ "epochs", "1" }), NULL);
    HN_OK(hone_params_set(k.params, "run-dir", NULL, &err), err);
    HN_OK(hone_params_set(k.params, "out", out, &err), err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "run_dir"), run);
    hone_result_destroy(r);
    ck_assert_int_eq(hn_io_system.stat_path(NULL, run, &st), 0);
    HN_OK(hone_model_save(k.model, out, k.params, &err), err);
    ck_assert_int_lt(hn_io_system.stat_path(NULL, run, &st), 0);
    HN_OK(hone_params_set(k.params, "force", "true", &err), err);
    HN_OK(hone_params_set(k.params, "keep-run", "true", &err), err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    hone_result_destroy(r);
    HN_OK(hone_model_save(k.model, out, k.params, &err), err);
    ck_assert_int_eq(hn_io_system.stat_path(NULL, run, &st), 0);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

/* "finished" of a run that is resumed with these parameters. */
static int is_finished(struct kit *k, const char *dir, const hone_params *given, uint64_t *hash)
{
    double v = -1;
    hone_model *m;
    hone_result *r = resume(k->ctx, dir, given, NULL, &m);
    ck_assert(hone_result_number(r, "finished", &v));
    *hash = kit_file_hash(m);
    hone_result_destroy(r);
    hone_model_destroy(m);
    return v != 0;
}

static void put_another(struct kit *k, const char *out)
{
    hone_model *m;
    HN_OK(hone_model_new(k->ctx, "3-2", 1, &m, &err), err);
    HN_OK(hone_model_save(m, out, k->params, &err), err);
    hone_model_destroy(m);
}

/* As a kill behind the last checkpoint leaves it: nothing says how the run ended, and the model is not where it belongs. */
static void cut_end(const char *dir)
{
    static const char *const names[] = { "status.json", "result.json", "metrics.json" };
    char path[700];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/run/%s", dir, names[i]);
        ck_assert_int_eq(remove(path), 0);
    }
}

static void check_end(const char *dir)
{
    ck_assert_int_eq(lines_of(dir, "status.json", "  \"state\": \"finished\""), 1);
    ck_assert_int_eq(lines_of(dir, "result.json", " \"stop_reason\": \"max_epochs\""), 1);
    ck_assert_int_eq(lines_of(dir, "metrics.json", " \"epochs\": 2"), 1);
}

START_TEST(a_result_that_was_not_put_in_place)
{
    struct kit k;
    char dir[512], out[600];
    uint64_t hash, wanted;
    hone_result *r;
    hone_params *force;
    int told = _i; /* to replace what is there */
    kit_folder("place", dir);
    snprintf(out, sizeof out, "%s/out.onnx", dir);
    open_run(&k, "ln_f32", dir, PAIRS({ "epochs", "2" }, { "out", out }), NULL);
    if (told) {
        HN_OK(hone_params_set(k.params, "force", "true", &err), err);
        put_another(&k, out);
    }
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    hone_result_destroy(r);
    wanted = kit_file_hash(k.model);
    cut_end(dir);
    ck_assert(!is_finished(&k, dir, NULL, &hash));
    ck_assert_uint_eq(hash, wanted);
    check_end(dir);
    HN_OK(hone_model_save(k.model, out, k.params, &err), err);
    ck_assert(is_finished(&k, dir, NULL, &hash));
    ck_assert_uint_eq(hash, wanted);
    HN_OK(hone_params_create(k.ctx, &force, &err), err);
    HN_OK(hone_params_set(force, "force", "true", &err), err);
    HN_OK(hone_params_set(force, "epochs", "1", &err), err);
    ck_assert(is_finished(&k, dir, force, &hash)); /* fewer epochs than it has: it is this run's */
    HN_OK(hone_params_set(force, "epochs", NULL, &err), err);
    ck_assert_int_eq(remove(out), 0);
    put_another(&k, out); /* somebody's, of later */
    ck_assert(is_finished(&k, dir, NULL, &hash));
    ck_assert(!is_finished(&k, dir, force, &hash));
    ck_assert_uint_eq(hash, wanted);
    hone_params_destroy(force);
    kit_close(&k);
    remove_run(dir);
}
END_TEST

HN_TEST_MAIN("resume", tcase_add_loop_test(tc, interrupted_runs_end_the_same, 0, 56);
             tcase_add_test(tc, interrupted_again_and_again);
             tcase_add_test(tc, killed_at_every_call);
             tcase_add_test(tc, finished_runs_say_so_and_can_be_given_more);
             tcase_add_test(tc, more_epochs_do_not_move_the_average); tcase_add_test(tc, overrides);
             tcase_add_test(tc, other_data_are_refused);
             tcase_add_test(tc, the_model_file_is_not_needed);
             tcase_add_test(tc, no_line_of_metrics_is_lost_or_doubled);
             tcase_add_test(tc, a_folder_in_use_is_refused);
             tcase_add_test(tc, a_mount_point_may_be_the_folder);
             tcase_add_test(tc, the_default_folder_goes_when_the_model_is_saved);
             tcase_add_loop_test(tc, a_result_that_was_not_put_in_place, 0, 2);)
