/* SPDX-License-Identifier: MIT
 *
 * hone_tune: see tune.h. The calling thread owns the study and hands the folds of claimed trials to the crew; with the lag of
 * the study the same trials are claimed whatever the number of workers and whoever finishes first. */
#include "plugin/tune/tune.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include "plugin/tune/study_open.h"
#include "plugin/tune/tune_crew.h"
#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <string.h>

enum { LEASE_MS = 60000, ATTEMPTS = 100, DEFAULT_TRIALS = 50 };
static const double WAIT_SECONDS = 0.05; /* between looks at the stop flag */
static const double RENEW_SECONDS = 20;

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

/* Trials write no files, ask for nothing at the end and have one thread each. */
static hone_status make_base(struct hn_tune *t, hone_error *err)
{
    static const char *const unset[] = { "out",    "run-dir", "keep-run",
                                         "events", "require", "max-seconds" };
    HN_TRY(hn_params_copy(t->params, &t->base, err));
    HN_TRY(hn_options_metrics(t->base, err));
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        HN_TRY(hone_params_set(t->base, unset[i], NULL, err));
    return hone_params_set(t->base, "threads", "1", err);
}

static hone_status read_monitor(struct hn_tune *t, hone_error *err)
{
    const char *text = hn_param_s(t->params, "monitor"), *plain = text;
    if (!strncmp(text, "val_", 4)) plain += 4;
    if (!strncmp(text, "train_", 6))
        return hn_fail(err, HONE_E_USAGE, "monitor",
                       "found '%s': trials are judged by rows they were not trained on", text);
    t->monitor = hn_arena_printf(&t->arena, "val_%s", plain);
    t->maximize = hn_metric_direction(plain) > 0;
    return t->monitor ? HONE_OK : hn_nomem(err, "the monitor", strlen(text));
}

/* The loss of scaled targets is in units of its own. */
static hone_status check_units(const struct hn_tune *t, hone_error *err)
{
    int scaled = strcmp(hn_param_s(t->params, "scale-target"), "none") != 0 ||
                 hn_space_find(&t->space, "scale-target") >= 0;
    if (!scaled || strcmp(t->monitor, "val_loss") != 0) return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "monitor",
                           "the loss of scaled targets cannot be compared with the imported "
                           "model's"),
                   "--monitor val_rmse, val_mae or val_r2");
}

static hone_status make_space(struct hn_tune *t, hone_error *err)
{
    static const struct hn_knob none[] = { { .name = NULL } };
    static const char *const automatic[] = { "lr=log:1e-4..1e-1", "batch_size=16,32,64,128",
                                             "weight_decay=log:1e-6..1e-2",
                                             "dropout=0..0.5:step=0.1" };
    int given = 0;
    if (!hone_params_get(t->params, "search", 0) && !strcmp(hn_param_s(t->params, "space"), "auto"))
        for (size_t i = 0; i < sizeof automatic / sizeof *automatic; i++)
            HN_TRY(hn_space_add(&t->space, automatic[i], NULL, err));
    HN_TRY(hn_space_of_params(t->params, none, &t->space, &given, err));
    if (given) return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "space", "found none, wanted what is to be searched"),
                   "--search lr=log:1e-4..1e-1, --space FILE.yaml, or --space auto");
}

/* ---- the folder and the study -------------------------------------------------------------------------------------------- */

static void forget_study(struct hn_tune *t)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    const struct hn_io *io = t->ctx->io;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *path = hn_arena_printf(&t->arena, "%s%s", t->path, ends[i]);
        if (path) io->unlink(io->user, path);
    }
}

/* A folder with a study in it is continued, another one that is not empty is refused. */
static hone_status open_folder(struct hn_tune *t, int own_study, hone_error *err)
{
    const struct hn_io *io = t->ctx->io;
    int force = hn_param_b(t->params, "force");
    int rc = io->mkdir(io->user, t->dir, 0777);
    if (rc == -EEXIST) {
        rc = io->rmdir(io->user, t->dir);
        if (rc == 0) rc = io->mkdir(io->user, t->dir, 0777);
        if (rc == -ENOTDIR)
            return hn_fail(err, HONE_E_IO, t->dir, "found a file, wanted a folder for the run");
        if (rc == -ENOTEMPTY || rc == -EEXIST) {
            if (force && own_study) forget_study(t);
            if (!force && !hn_path_exists(io, t->path))
                return hn_hint(err,
                               hn_fail(err, HONE_E_USAGE, t->dir, "the run folder is not empty"),
                               "--force starts anew in it");
            rc = 0;
        }
    }
    return rc < 0 ? hn_io_fail(err, t->dir, "create", rc) : HONE_OK;
}

static hone_status name_files(struct hn_tune *t, hone_error *err)
{
    const char *out = hn_param_s(t->params, "out"), *dir = hn_param_s(t->params, "run-dir"),
               *study = hn_param_s(t->params, "study");
    if (dir[0])
        t->dir = hn_arena_strdup(&t->arena, dir);
    else if (out[0])
        t->dir = hn_arena_printf(&t->arena, "%s.run", out);
    else if (!study[0])
        return hn_fail(err, HONE_E_USAGE, "study",
                       "found no place for the trials, wanted "
                       "\"out\", \"run-dir\" or \"study\"");
    if (study[0])
        t->path = hn_arena_strdup(&t->arena, study);
    else if (t->dir)
        t->path = hn_arena_printf(&t->arena, "%s/study.db", t->dir);
    if (!t->path) return hn_nomem(err, "the study's path", 0);
    return t->dir ? open_folder(t, !study[0], err) : HONE_OK;
}

/* The numbers that stand for a default that depends on the optimizer. */
static const char *default_text(struct hn_tune *t, const char *name, const struct hn_hyper *h,
                                double lr)
{
    const struct {
        const char *name;
        double value;
    } known[] = { { "lr", lr },
                  { "momentum", h->momentum },
                  { "eps", h->eps },
                  { "weight_decay", h->weight_decay } };
    char number[32];
    const char *text = hone_params_get(t->base, name, 0);
    if (text && text[0]) return text;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (hn_space_find(&t->space, known[i].name) == hn_space_find(&t->space, name)) {
            hn_format_double(number, known[i].value);
            return hn_arena_strdup(&t->arena, number);
        }
    return "";
}

/* Trial 0: the settings as they are without a search. */
static hone_status enqueue_default(struct hn_tune *t, hone_error *err)
{
    const struct hn_search_space *s = &t->space;
    struct hn_hyper hyper;
    double lr, *x = hn_arena_alloc(&t->arena, (size_t)s->n, sizeof *x);
    if (!x) return hn_nomem(err, "a setting", (size_t)s->n * sizeof *x);
    HN_TRY(hn_params_hyper(t->base, &hyper, &lr, err));
    for (int k = 0; k < s->n; k++) {
        int i = s->order[k];
        const char *text = default_text(t, s->axes[i].name, &hyper, lr);
        if (!text) return hn_nomem(err, "a setting", 32);
        if (!hn_space_active(s, x, i) || !hn_axis_read(&s->axes[i], text, &x[i]))
            x[i] = (double)NAN;
    }
    return hn_study_enqueue(t->study, x, "default", HN_ENQUEUE_FIRST, err);
}

static void read_limit(struct hn_tune *t, struct hn_study_opts *o)
{
    int enough = o->sampler.kind == HN_SAMPLER_GRID || o->sampler.kind == HN_SAMPLER_MANUAL ||
                 hone_params_is_set(t->params, "max-seconds");
    if (!o->trials && !enough) {
        o->trials = DEFAULT_TRIALS;
        hn_log(t->ctx, HONE_LOG_NOTE, "%d trials; --trials N for another number", DEFAULT_TRIALS);
    }
    t->limit = o->trials;
}

static hone_status open_study(struct hn_tune *t, hone_error *err)
{
    char fingerprint[33];
    struct hn_study_opts o = {
        .path = t->path, .space = &t->space, .lease_ms = LEASE_MS, .attempts = ATTEMPTS
    };
    HN_TRY(hn_judging_fingerprint(t, fingerprint, err));
    HN_TRY(hn_study_opts_of_params(t->params, &o, err));
    HN_TRY(hn_sampler_check(&t->space, &o.sampler, err));
    read_limit(t, &o);
    o.fingerprint = fingerprint;
    o.maximize = t->maximize;
    o.lag = (int)hn_param_i(t->params, "lag");
    o.keep &= ~(unsigned)(HN_KEEP_DIRECTION | HN_KEEP_SEED);
    if (!hone_params_is_set(t->params, "lag")) o.keep |= HN_KEEP_LAG;
    HN_TRY(hn_study_open(t->ctx, &o, &t->study, err));
    HN_TRY(enqueue_default(t, err));
    return hn_study_enqueue_settings(t->study, t->params, err);
}

/* ---- trials that run ------------------------------------------------------------------------------------------------------ */

struct running {
    struct running *next;
    int64_t number;
    int is_default, left, lost; /* lost: another worker has taken it over */
    hone_params *params;
    struct hn_task *task; /* one a fold */
    struct hn_fold_result *fold;
    char *text;
};

struct round {
    struct hn_tune *t;
    struct hn_crew *crew;
    struct running *running;
    int done, stopped; /* nothing is left to claim; told to stop */
    int64_t finished;
    double renewed;
};

static void running_free(struct hn_mem *m, struct running *r)
{
    if (!r) return;
    hone_params_destroy(r->params);
    hn_free(m, r->task);
    hn_free(m, r->fold);
    hn_free(m, r->text);
    hn_free(m, r);
}

/* "lr=0.01, batch_size=32" */
static char *settings_text(struct hn_tune *t, const struct hn_trial *trial)
{
    struct hn_buffer b;
    char number[32];
    int any = 0, failed = 0;
    if (!strncmp(trial->note, "default", 7)) return hn_strdup(&t->ctx->mem, "default");
    hn_buffer_init(&b, &t->ctx->mem);
    for (int i = 0; i < t->space.n; i++) {
        const struct hn_axis *a = &t->space.axes[i];
        if (isnan(trial->x[i])) continue;
        failed |= hn_sink_printf(&b.sink, NULL, "%s%s=%s", any++ ? ", " : "", a->name,
                                 hn_axis_text(a, trial->x[i], number)) != HONE_OK;
    }
    char *text = failed ? NULL : hn_strdup(&t->ctx->mem, any ? b.p : "");
    hn_buffer_free(&b);
    return text;
}

static hone_status start_trial(struct round *o, const struct hn_trial *trial, hone_error *err)
{
    struct hn_tune *t = o->t;
    struct hn_mem *m = &t->ctx->mem;
    size_t n = (size_t)t->judging.n;
    struct running *r = hn_calloc(m, 1, sizeof *r);
    if (!r) return hn_nomem(err, "a trial", sizeof *r);
    r->number = trial->number;
    r->is_default = !strncmp(trial->note, "default", 7);
    r->left = t->judging.n;
    r->task = hn_calloc(m, n, sizeof *r->task);
    r->fold = hn_calloc(m, n, sizeof *r->fold);
    r->text = settings_text(t, trial);
    hone_status st = r->task && r->fold && r->text ? hn_tune_settings(t, trial, &r->params, err)
                                                   : hn_nomem(err, "a trial", n * sizeof *r->task);
    if (st != HONE_OK) {
        running_free(m, r);
        return st;
    }
    r->next = o->running;
    o->running = r;
    for (int i = 0; i < t->judging.n; i++) {
        r->task[i] = (struct hn_task){ .owner = r,
                                       .params = r->params,
                                       .trial = (uint32_t)r->number,
                                       .fold = (uint32_t)i,
                                       .rows = &t->judging.fold[i] };
        hn_crew_give(o->crew, &r->task[i]);
    }
    return HONE_OK;
}

static int out_of_time(const struct hn_tune *t)
{
    return t->deadline > 0 && hn_seconds() >= t->deadline;
}

/* As many trials as keep the crew busy. */
static hone_status claim_trials(struct round *o, hone_error *err)
{
    while (!o->done && !o->stopped && hn_crew_waiting(o->crew) < o->t->jobs) {
        struct hn_claimed c;
        if (out_of_time(o->t)) {
            o->t->out_of_time = o->done = 1;
            break;
        }
        HN_TRY(hn_study_claim(o->t->study, &c, err));
        if (c.what == HN_CLAIM_WAIT) break;
        if (c.what == HN_CLAIM_DONE)
            o->done = 1;
        else
            HN_TRY(start_trial(o, &c.trial, err));
    }
    return HONE_OK;
}

/* ---- trials that end ------------------------------------------------------------------------------------------------------ */

static hone_status tell(struct round *o, const struct running *r, const struct hn_score *s,
                        const struct hn_fold_result *bad, hone_error *err)
{
    struct hn_tune *t = o->t;
    hone_trial e = { .size = sizeof e, .trial = r->number, .trials = t->limit };
    const struct hn_trial *trials;
    size_t n;
    if (!t->cb || !t->cb->trial) return HONE_OK;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    e.best_trial = hn_best_trial(trials, n, t->maximize);
    e.best_value = e.best_trial < 0 ? (double)NAN : trials[e.best_trial].value;
    for (size_t i = 0; i < n; i++) e.finished += trials[i].state > HN_TRIAL_RUNNING;
    e.state = bad ? "failed" : "done";
    e.why = bad ? bad->why.text : "";
    e.params = r->text;
    e.value = bad ? (double)NAN : s->mean;
    e.std = bad ? (double)NAN : s->std;
    e.epochs = s->epochs;
    for (int i = 0; i < s->n; i++) e.seconds += s->fold[i].seconds;
    e.baseline = t->judging.value;
    e.elapsed = hn_seconds() - t->start;
    double left = (double)(t->limit - e.finished);
    e.seconds_left = t->limit ? e.elapsed / (double)++o->finished * left : (double)NAN;
    if (t->cb->trial(t->cb->user, &e)) o->stopped = o->done = 1;
    return HONE_OK;
}

static hone_status finish_trial(struct round *o, struct running *r, hone_error *err)
{
    struct hn_tune *t = o->t;
    struct hn_score s = { .n = t->judging.n, .k = t->judging.k, .fold = r->fold };
    const struct hn_fold_result *bad = NULL;
    struct hn_buffer note;
    for (int i = 0; i < s.n && !r->lost; i++) {
        if (r->fold[i].state == HN_FOLD_INTERRUPTED)
            return hn_study_release(t->study, r->number, err);
        if (!bad && r->fold[i].state != HN_FOLD_COMPLETE) bad = &r->fold[i];
    }
    if (r->lost) return HONE_OK;
    if (bad && bad->state == HN_FOLD_FAILED && r->is_default) {
        if (err) *err = bad->why; /* the fixed settings themselves are wrong */
        return bad->why.code;
    }
    if (bad && !t->first_failure.code) t->first_failure = bad->why;
    hn_score_sum(&s);
    struct hn_outcome_report report = { .state = bad ? HN_TRIAL_FAILED : HN_TRIAL_DONE,
                                        .value = bad ? (double)NAN : s.mean,
                                        .noise = bad ? 0 : s.noise,
                                        .epochs = s.epochs };
    for (int i = 0; i < s.n; i++) report.seconds += s.fold[i].seconds;
    hn_buffer_init(&note, &t->ctx->mem);
    hone_status st = r->is_default ? hn_sink_str(&note.sink, "default ", err) : HONE_OK;
    if (st == HONE_OK) st = hn_score_write(&s, &note, err);
    report.note = note.p;
    if (st == HONE_OK) st = hn_study_finish(t->study, r->number, &report, err);
    hn_buffer_free(&note);
    return st == HONE_OK ? tell(o, r, &s, bad, err) : st;
}

static hone_status take_fold(struct round *o, struct hn_task *task, hone_error *err)
{
    struct running *r = task->owner, **at = &o->running;
    r->fold[task->fold] = task->result;
    if (--r->left) return HONE_OK;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    hone_status st = finish_trial(o, r, err);
    running_free(&o->t->ctx->mem, r);
    return st;
}

static hone_status renew(struct round *o, hone_error *err)
{
    if (hn_seconds() - o->renewed < RENEW_SECONDS) return HONE_OK;
    o->renewed = hn_seconds();
    for (struct running *r = o->running; r; r = r->next) {
        hone_status st = r->lost ? HONE_OK : hn_study_renew(o->t->study, r->number, err);
        if (st == HONE_E_CORRUPT)
            r->lost = 1;
        else if (st != HONE_OK)
            return st;
    }
    return HONE_OK;
}

/* Other processes on this study still have trials to finish; one of theirs that died is claimed again. */
static hone_status look_around(struct round *o, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    if (o->running || !o->done || o->stopped || out_of_time(o->t)) return HONE_OK;
    HN_TRY(hn_study_trials(o->t->study, &trials, &n, err));
    for (size_t i = 0; i < n; i++)
        if (trials[i].state == HN_TRIAL_RUNNING) o->done = 0;
    return HONE_OK;
}

static hone_status run_round(struct round *o, hone_error *err)
{
    for (;;) {
        HN_TRY(claim_trials(o, err));
        HN_TRY(look_around(o, err));
        if (!o->running && (o->done || o->stopped)) return HONE_OK;
        struct hn_task *task = hn_crew_take(o->crew, WAIT_SECONDS);
        if (task) HN_TRY(take_fold(o, task, err));
        if (atomic_load(&o->t->ctx->stop) && !o->t->interrupted) {
            o->t->interrupted = o->stopped = 1;
            hn_crew_stop(o->crew);
        }
        HN_TRY(renew(o, err));
    }
}

/* After a failure: what was claimed is given back; the first error counts. */
static void give_back(struct round *o)
{
    while (o->running) {
        struct running *r = o->running;
        o->running = r->next;
        if (hn_study_release(o->t->study, r->number, NULL) != HONE_OK)
            hn_log(o->t->ctx, HONE_LOG_WARNING, "trial %lld stays claimed until its lease ends",
                   (long long)r->number);
        running_free(&o->t->ctx->mem, r);
    }
}

static hone_status run_trials(struct hn_tune *t, hone_error *err)
{
    struct round o = { .t = t, .renewed = hn_seconds() };
    struct hn_buffer bytes;
    hn_buffer_init(&bytes, &t->ctx->mem);
    hone_status st = hn_model_bytes(t->model, &bytes, err);
    if (st == HONE_OK) st = hn_crew_create(t->ctx, &bytes, t->data, t->jobs, &o.crew, err);
    if (st == HONE_OK) st = run_round(&o, err);
    hn_crew_destroy(o.crew);
    give_back(&o);
    hn_buffer_free(&bytes);
    return st;
}

/* ---- the end -------------------------------------------------------------------------------------------------------------- */

static hone_status choose(struct hn_tune *t, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    t->best = hn_best_trial(trials, n, t->maximize);
    if (t->best < 0) {
        if (t->interrupted || !t->first_failure.code) return HONE_OK;
        if (err) *err = t->first_failure; /* every trial failed: why the first one did */
        return t->first_failure.code;
    }
    double value = trials[t->best].value,
           gain = t->maximize ? value - t->judging.value : t->judging.value - value;
    double wanted = hn_param_f(t->params, "min-gain");
    t->gained = isnan(wanted) || gain >= wanted;
    t->beaten = hn_tune_better(t, value, t->judging.value);
    if (t->interrupted || !t->beaten || !t->gained || !strcmp(t->refit.kind, "none"))
        return HONE_OK;
    return hn_tune_refit(t, &trials[t->best], err);
}

static hone_status tune(struct hn_tune *t, hone_result **out, hone_error *err)
{
    HN_TRY(make_base(t, err));
    HN_TRY(read_monitor(t, err));
    HN_TRY(make_space(t, err));
    HN_TRY(check_units(t, err));
    HN_TRY(hn_judging_make(t, err));
    HN_TRY(name_files(t, err));
    HN_TRY(open_study(t, err));
    HN_TRY(run_trials(t, err));
    HN_TRY(choose(t, err));
    HN_TRY(hn_tune_result(t, out, err));
    hone_status st = hn_tune_write_files(t, *out, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

static void close_tune(struct hn_tune *t)
{
    hn_study_close(t->study);
    hn_judging_free(&t->judging);
    hn_space_clear(&t->space);
    hone_params_destroy(t->base);
    hn_arena_clear(&t->arena);
}

hone_status hone_tune(hone_model *m, hone_data *d, const hone_params *params,
                      const hone_tune_callbacks *cb, hone_result **out, hone_error *err)
{
    struct hn_tune t = { .ctx = hn_model_context(m),
                         .model = m,
                         .data = d,
                         .params = params,
                         .cb = cb,
                         .jobs = (int)hn_param_i(params, "jobs"),
                         .start = hn_seconds(),
                         .best = -1,
                         .refit = { .kind = hn_param_s(params, "refit") } };
    struct hn_model_mark *mark;
    const char *path = hn_param_s(params, "out");
    double seconds = hn_param_f(params, "max-seconds");
    *out = NULL;
    if (!params || !d)
        return hn_fail(err, HONE_E_USAGE, "data", "found none, wanted rows and a search space");
    atomic_store(&t.ctx->stop, 0);
    if (path[0]) HN_TRY(hn_model_check_output(m, path, hn_param_b(params, "force"), err));
    if (t.jobs < 1) t.jobs = hn_cpu_count();
    if (seconds > 0) t.deadline = t.start + seconds;
    HN_TRY(hone_model_check(m, 1, err));
    HN_TRY(hn_model_mark(m, &mark, err));
    hn_arena_init(&t.arena, &t.ctx->mem);
    hn_space_init(&t.space, &t.ctx->mem);
    /* The number of BLAS threads belongs to the process. Workers and sampler each want one; were it put back between their
     * calls, one would now and then compute with more, and the last digits would tell. */
    int blas_threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    hone_status st = tune(&t, out, err);
    openblas_set_num_threads(blas_threads);
    close_tune(&t);
    if (st != HONE_OK && hn_model_rewind(m, mark, NULL) != HONE_OK)
        hn_log(t.ctx, HONE_LOG_WARNING, "the model could not be put back as it was");
    hn_model_mark_free(mark);
    return st;
}
