/* SPDX-License-Identifier: MIT
 *
 * The trials of a search: see tune.h. The calling thread owns the study and hands the folds of claimed trials to the crew; with
 * the lag of the study the same trials are claimed whatever the number of workers and whoever finishes first. */
#include "ops/base/status.h"
#include "plugin/train/fit.h"
#include "plugin/tune/tune.h"
#include "plugin/tune/tune_crew.h"
#include <math.h>
#include <string.h>

static const double WAIT_SECONDS = 0.05; /* between looks at the stop flag */
static const double RENEW_SECONDS = 20;

/* ---- trials that run ------------------------------------------------------------------------------------------------------ */

struct running {
    struct running *next;
    int64_t number;
    int is_default, folds;
    int given, out,
        judged;      /* folds handed out; of these with the crew; in order, seen to the end */
    int lost, ended; /* lost: another worker has taken it over */
    hone_params *params;
    struct hn_task *task; /* one a fold */
    struct hn_fold_result *fold;
    char *text;
    hone_setting *settings; /* n_settings */
    size_t n_settings;
    struct hn_arena arena; /* of what prunes it, of its settings, of what is told of its folds */
    struct hn_watch watch; /* over fold `judged`; its rule NULL: nothing does */
};

struct round {
    struct hn_tune *t;
    struct hn_crew *crew;
    struct running *running;
    int out;           /* tasks with the crew */
    int done, stopped; /* nothing is left to claim; told to stop */
    int64_t finished;
    double started, renewed;
};

static void running_free(struct hn_mem *m, struct running *r)
{
    if (!r) return;
    for (int i = 0; r->fold && i < r->folds; i++) hn_free(m, r->fold[i].curve);
    for (int i = 0; r->task && i < r->folds; i++) hn_free(m, r->task[i].result.curve);
    hone_params_destroy(r->params);
    hn_arena_clear(&r->arena);
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

/* The same one by one, of a default trial too. */
static hone_status settings_list(struct running *r, const struct hn_search_space *space,
                                 const double *x, hone_error *err)
{
    r->settings = hn_arena_alloc(&r->arena, (size_t)space->n, sizeof *r->settings);
    if (!r->settings) return hn_nomem(err, "a trial", (size_t)space->n * sizeof *r->settings);
    for (int i = 0; i < space->n; i++) {
        char number[32];
        if (isnan(x[i])) continue;
        const char *value =
            hn_arena_printf(&r->arena, "%s", hn_axis_text(&space->axes[i], x[i], number));
        if (!value) return hn_nomem(err, "a trial", sizeof number);
        r->settings[r->n_settings++] = (hone_setting){ space->axes[i].name, value };
    }
    return HONE_OK;
}

/* Hands out the next fold. It is watched when all folds before have ended. */
static void give_fold(struct round *o, struct running *r)
{
    int i = r->given++;
    struct hn_task *task = &r->task[i];
    *task = (struct hn_task){ .owner = r,
                              .params = r->params,
                              .trial = (uint32_t)r->number,
                              .fold = (uint32_t)i,
                              .rows = &o->t->judging.fold[i] };
    if (i == r->judged) task->watch = r->watch;
    r->out++;
    o->out++;
    hn_crew_give(o->crew, task);
}

static hone_status running_init(struct running *r, struct hn_tune *t, const struct hn_trial *trial,
                                hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    size_t n = (size_t)t->judging.n;
    hn_arena_init(&r->arena, m);
    r->number = trial->number;
    r->is_default = !strncmp(trial->note, "default", 7);
    r->folds = t->judging.n;
    r->task = hn_calloc(m, n, sizeof *r->task);
    r->fold = hn_calloc(m, n, sizeof *r->fold);
    r->text = settings_text(t, trial);
    if (!r->task || !r->fold || !r->text) return hn_nomem(err, "a trial", n * sizeof *r->task);
    HN_TRY(settings_list(r, &t->space, trial->x, err));
    HN_TRY(hn_tune_settings(t, trial, &r->params, err));
    if (r->is_default) return HONE_OK; /* what all others are compared with */
    struct hn_rule *rule;
    HN_TRY(hn_pruning_rule(t, r->number, &r->arena, &rule, err)); /* trial is no more */
    r->watch = (struct hn_watch){ .rule = rule, .best = (double)NAN };
    return HONE_OK;
}

static hone_status start_trial(struct round *o, const struct hn_trial *trial, hone_error *err)
{
    struct hn_mem *m = &o->t->ctx->mem;
    struct running *r = hn_calloc(m, 1, sizeof *r);
    if (!r) return hn_nomem(err, "a trial", sizeof *r);
    hone_status st = running_init(r, o->t, trial, err);
    if (st != HONE_OK) {
        running_free(m, r);
        return st;
    }
    r->next = o->running;
    o->running = r;
    do give_fold(o, r);
    while (!r->watch.rule && r->given < r->folds);
    return HONE_OK;
}

/* Workers that have nothing to do train folds whose turn has not come: of the oldest trial. */
static void give_ahead(struct round *o)
{
    while (!o->stopped && o->out < o->t->jobs) {
        struct running *oldest = NULL;
        for (struct running *r = o->running; r; r = r->next)
            if (!r->ended && !r->lost && r->given < r->folds &&
                (!oldest || r->number < oldest->number))
                oldest = r;
        if (!oldest) return;
        give_fold(o, oldest);
    }
}

static int out_of_time(const struct hn_tune *t)
{
    return t->deadline > 0 && hn_seconds() >= t->deadline;
}

/* However little time there is, one trial is run: a search has a result, on a busy machine too. */
static hone_status time_ends(const struct round *o, int *ends, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    *ends = out_of_time(o->t);
    if (!*ends || o->running) return HONE_OK;
    HN_TRY(hn_study_trials(o->t->study, &trials, &n, err));
    for (size_t i = 0; i < n; i++)
        if (trials[i].state > HN_TRIAL_RUNNING) return HONE_OK;
    *ends = 0;
    return HONE_OK;
}

/* As many trials as keep the crew busy. */
static hone_status claim_trials(struct round *o, hone_error *err)
{
    while (!o->done && !o->stopped && hn_crew_waiting(o->crew) < o->t->jobs) {
        struct hn_claimed c;
        int ends;
        HN_TRY(time_ends(o, &ends, err));
        if (ends) {
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
    give_ahead(o);
    return HONE_OK;
}

/* ---- trials that end ------------------------------------------------------------------------------------------------------ */

static hone_status tell_folds(struct running *r, const struct hn_score *s, hone_trial *e,
                              hone_error *err)
{
    hone_fold *f = hn_arena_alloc(&r->arena, (size_t)s->n, sizeof *f);
    if (!f) return hn_nomem(err, "the folds of a trial", (size_t)s->n * sizeof *f);
    for (int i = 0; i < s->n; i++)
        f[i] = (hone_fold){ s->fold[i].value, s->fold[i].best_epoch, s->fold[i].curve,
                            s->fold[i].n_curve };
    e->folds = f;
    e->n_folds = (size_t)s->n;
    return HONE_OK;
}

static hone_status tell(struct round *o, struct running *r, const struct hn_score *s,
                        const struct hn_outcome_report *report, hone_error *err)
{
    struct hn_tune *t = o->t;
    hone_trial e = { .size = sizeof e,
                     .trial = r->number,
                     .trials = t->limit,
                     .settings = r->settings,
                     .n_settings = r->n_settings };
    const struct hn_trial *trials;
    size_t n;
    if (!t->cb || !t->cb->trial || t->told)
        return HONE_OK; /* who has ended it is not asked again */
    HN_TRY(tell_folds(r, s, &e, err));
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    e.best_trial = hn_best_trial(trials, n, t->maximize);
    e.best_value = e.best_trial < 0 ? (double)NAN : trials[e.best_trial].value;
    for (size_t i = 0; i < n; i++) e.finished += trials[i].state > HN_TRIAL_RUNNING;
    int failed = report->state == HN_TRIAL_FAILED;
    e.state = hn_trial_state_names[report->state];
    e.why = failed ? s->fold[s->n - 1].why.text : "";
    e.params = r->text;
    e.value = failed ? (double)NAN : s->mean;
    e.std = failed ? (double)NAN : s->std;
    e.epochs = s->epochs;
    for (int i = 0; i < s->n; i++) e.seconds += s->fold[i].seconds;
    e.baseline = t->judging.value;
    e.elapsed = hn_seconds() - t->start;
    double left = (double)(t->limit - e.finished);
    if (t->outer) left += (double)t->limit * (t->nested.k - t->outer + 1); /* the other searches */
    double took = (hn_seconds() - o->started) / (double)++o->finished;
    e.seconds_left = t->limit ? took * left : (double)NAN;
    e.outer = t->outer;
    e.outers = t->outer ? t->nested.k : 0;
    if (t->cb->trial(t->cb->user, &e)) t->told = o->stopped = o->done = 1;
    return HONE_OK;
}

static hone_status write_down(struct hn_tune *t, const struct running *r, const struct hn_score *s,
                              struct hn_outcome_report *report, hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    struct hn_buffer note;
    struct hn_fold_curve *curves = hn_alloc(m, (size_t)s->n * sizeof *curves);
    if (!curves) return hn_nomem(err, "the curves of a trial", (size_t)s->n * sizeof *curves);
    for (int i = 0; i < s->n; i++) {
        curves[i] = (struct hn_fold_curve){ s->fold[i].curve, s->fold[i].n_curve };
        report->seconds += s->fold[i].seconds;
    }
    hn_buffer_init(&note, m);
    hone_status st = r->is_default ? hn_sink_str(&note.sink, "default ", err) : HONE_OK;
    if (st == HONE_OK) st = hn_score_write(s, &note, err);
    report->note = note.p;
    report->curves = curves;
    report->n_curves = (size_t)s->n;
    if (st == HONE_OK) st = hn_study_finish(t->study, r->number, report, err);
    hn_buffer_free(&note);
    hn_free(m, curves);
    return st;
}

/* This process slept, or could not reach the study, until its lease had run out: somebody else runs the trial now, with the
 * same outcome. */
static hone_status drop_lost(struct round *o, struct running *r, hone_status st)
{
    if (st != HONE_E_CORRUPT) return st;
    r->lost = 1;
    hn_log(o->t->ctx, HONE_LOG_NOTE, "trial %lld was taken over by another worker",
           (long long)r->number);
    return HONE_OK;
}

enum verdict { GOES_ON, DONE, PRUNED, FAILED, INTERRUPTED };

/* Looks at the folds that have ended, in order: the first that is bad or pruned ends the trial, and those behind do not count,
 * however far they are. */
static enum verdict judge(struct running *r)
{
    while (r->judged < r->folds) {
        struct hn_fold_result *f = &r->fold[r->judged];
        if (f->state == HN_FOLD_NONE) return GOES_ON;
        if (f->state == HN_FOLD_INTERRUPTED) return INTERRUPTED;
        int watched = r->task[r->judged].watch.rule != NULL;
        r->judged++;
        if (f->state == HN_FOLD_DIVERGED || f->state == HN_FOLD_FAILED) return FAILED;
        if (!r->watch.rule) continue;
        if (hn_pruning_judge(&r->watch, f, watched)) {
            if (isfinite(f->value)) return PRUNED;
            f->state = HN_FOLD_DIVERGED;
            hn_fail(&f->why, HONE_E_DIVERGED, "training", "what is monitored is not a number");
            return FAILED;
        }
        r->watch.fold++;
        r->watch.best = (double)NAN;
    }
    return DONE;
}

static hone_status finish_trial(struct round *o, struct running *r, enum verdict v, hone_error *err)
{
    struct hn_tune *t = o->t;
    struct hn_score s = { .n = r->judged, .k = t->judging.k, .fold = r->fold };
    struct hn_fold_result *last = &r->fold[r->judged - 1];
    struct hn_outcome_report report = { .state = HN_TRIAL_DONE };
    last->why.code = hn_nomem_why(&t->ctx->mem, last->why.code, &last->why);
    if (v == FAILED && last->state == HN_FOLD_FAILED && r->is_default) {
        if (err) *err = last->why; /* the fixed settings themselves are wrong */
        return last->why.code;
    }
    if (v == FAILED && !t->first_failure.code) t->first_failure = last->why;
    if (v == DONE && r->judged > 1) hn_folds_same_epoch(r->fold, r->judged, t->maximize);
    hn_score_sum(&s);
    report.value = s.mean;
    report.noise = s.noise;
    report.epochs = s.epochs;
    if (v == FAILED) {
        report.state = HN_TRIAL_FAILED;
        report.value = (double)NAN;
        report.noise = 0;
    } else if (v == PRUNED) {
        report.state = HN_TRIAL_PRUNED;
        HN_TRY(hn_pruning_estimate(t, &r->watch, last, &report.value, &report.noise, err));
    }
    HN_TRY(drop_lost(o, r, write_down(t, r, &s, &report, err)));
    return r->lost ? HONE_OK : tell(o, r, &s, &report, err);
}

/* Whether there is nothing more to do for a trial; what is on its way for it is called off. */
static hone_status settle(struct round *o, struct running *r, hone_error *err)
{
    enum verdict v = r->lost ? DONE : judge(r);
    if (v == GOES_ON && o->t->interrupted && !r->out) v = INTERRUPTED;
    if (v == GOES_ON) {
        if (r->given == r->judged && !o->t->interrupted) give_fold(o, r);
        return HONE_OK;
    }
    r->ended = 1;
    for (int i = 0; i < r->given; i++) atomic_store(&r->task[i].cancel, 1);
    if (r->lost) return HONE_OK;
    if (v == INTERRUPTED) return drop_lost(o, r, hn_study_release(o->t->study, r->number, err));
    return finish_trial(o, r, v, err);
}

static hone_status take_fold(struct round *o, struct hn_task *task, hone_error *err)
{
    struct running *r = task->owner, **at = &o->running;
    r->out--;
    o->out--;
    r->fold[task->fold] = task->result;
    task->result.curve = NULL; /* taken */
    hone_status st = r->ended ? HONE_OK : settle(o, r, err);
    if (st != HONE_OK || !r->ended || r->out) return st;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    running_free(&o->t->ctx->mem, r);
    return HONE_OK;
}

static hone_status renew(struct round *o, hone_error *err)
{
    if (hn_seconds() - o->renewed < RENEW_SECONDS) return HONE_OK;
    o->renewed = hn_seconds();
    for (struct running *r = o->running; r; r = r->next) {
        if (!r->lost && !r->ended)
            HN_TRY(drop_lost(o, r, hn_study_renew(o->t->study, r->number, err)));
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
        hn_tune_watch(o->t);
    }
}

/* After a failure: what was claimed is given back; the first error counts. */
static void give_back(struct round *o)
{
    while (o->running) {
        struct running *r = o->running;
        o->running = r->next;
        if (!r->ended && hn_study_release(o->t->study, r->number, NULL) != HONE_OK)
            hn_log(o->t->ctx, HONE_LOG_WARNING, "trial %lld stays claimed until its lease ends",
                   (long long)r->number);
        running_free(&o->t->ctx->mem, r);
    }
}

hone_status hn_tune_run(struct hn_tune *t, hone_error *err)
{
    struct round o = { .t = t, .stopped = t->told, .done = t->told };
    struct hn_buffer bytes;
    o.started = o.renewed = hn_seconds();
    hn_pruning_init(t);
    hn_buffer_init(&bytes, &t->ctx->mem);
    hone_status st = hn_model_bytes(t->model, &bytes, err);
    if (st == HONE_OK) st = hn_crew_create(t->ctx, &bytes, t->data, t->jobs, &o.crew, err);
    if (st == HONE_OK) st = run_round(&o, err);
    hn_crew_destroy(o.crew);
    give_back(&o);
    hn_pruning_free(t);
    hn_buffer_free(&bytes);
    return st;
}
