/* SPDX-License-Identifier: MIT
 *
 * The training loop: see fit.h. hn_fit_run is the recipe; what follows it up to the head of the file are its steps. */
#include "plugin/train/fit.h"
#include "ops/base/status.h"
#include "plugin/train/diagnose.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const double CHUNK_SECONDS = 0.03; /* a call of the backend: stop requests wait no longer */
static const double PROGRESS_SECONDS = 0.1; /* between calls of the progress callback */
enum { CURVE_START = 256 };                 /* lines of the curve before it has to grow */

double hn_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double hn_fit_seconds(const struct hn_fit *f) { return f->seconds + hn_seconds() - f->started; }

static struct hn_member *member(const struct hn_fit *f) { return &f->cohort->member[0]; }

/* ---- values of a line of the curve ------------------------------------------------------------------------------- */

static const char *const train_names[] = { "train_loss", "train_accuracy", "train_mae",
                                           "train_rmse", "train_r2",       "train_f1",
                                           "train_auc" };
static const char *const val_names[] = { "val_loss", "val_accuracy", "val_mae", "val_rmse",
                                         "val_r2",   "val_f1",       "val_auc" };
enum { N_NAMES = sizeof val_names / sizeof *val_names };

size_t hn_epoch_values(const struct hn_epoch *e, hone_metric *v)
{
    size_t n = 0;
    if (e->epoch > 0) v[n++] = (hone_metric){ train_names[0], e->train_loss };
    for (size_t i = 1; e->train.rows && i < N_NAMES; i++)
        if (hn_metric_get(&e->train, hn_metric_name(i), &v[n].value)) v[n++].name = train_names[i];
    for (size_t i = 0; e->val.rows && i < N_NAMES; i++)
        if (hn_metric_get(&e->val, hn_metric_name(i), &v[n].value)) v[n++].name = val_names[i];
    return n;
}

int hn_epoch_value(const struct hn_epoch *e, const char *name, double *out)
{
    hone_metric v[HN_EPOCH_VALUES];
    size_t n = hn_epoch_values(e, v);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(v[i].name, name) != 0) continue;
        *out = v[i].value;
        return 1;
    }
    return 0;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

enum hn_slab hn_fit_judged_slab(const struct hn_fit *f)
{
    int average = f->averaged > 0 || member(f)->hyper.ema > 0;
    return average ? HN_SLAB_AVERAGE : HN_SLAB_W;
}

enum hn_slab hn_fit_result_slab(const struct hn_fit *f)
{
    if (f->opts.save_best && f->opts.monitor) return HN_SLAB_BEST;
    return f->reason == HN_STOP_DIVERGED ? HN_SLAB_GOOD : hn_fit_judged_slab(f);
}

int64_t hn_fit_result_epoch(const struct hn_fit *f)
{
    if (!f->opts.monitor) return f->reason == HN_STOP_DIVERGED ? f->good_epoch : f->done;
    return f->stop.best_epoch > 0 ? f->stop.best_epoch : 0;
}

/* ---- callbacks -------------------------------------------------------------------------------------------------- */

static void call_progress(struct hn_fit *f, const struct hn_epoch *line, int is_best)
{
    if (!f->callbacks.progress) return;
    const struct hn_member *m = member(f);
    hone_metric values[HN_EPOCH_VALUES];
    double seconds = hn_fit_seconds(f), rate = 0;
    if (f->train_seconds > 0) rate = (double)f->rows_trained / f->train_seconds;
    int64_t epochs = f->opts.stop.epochs, rows = m->n_rows;
    int64_t past = line ? line->epoch * rows : (m->r.now.epoch - 1) * rows + m->r.now.row;
    double left = (double)NAN;
    if (past > 0) left = seconds / (double)past * (double)(epochs * rows - past);
    hone_progress p = { .size = sizeof p,
                        .epoch = line ? line->epoch : m->r.now.epoch,
                        .epochs = epochs,
                        .row = line ? m->n_rows : m->r.now.row,
                        .rows = m->n_rows,
                        .train_loss = line ? line->train_loss : hn_member_loss(f->cohort, 0),
                        .metrics = values,
                        .n_metrics = line ? hn_epoch_values(line, values) : 0,
                        .lr = m->last_lr,
                        .seconds = seconds,
                        .rows_per_second = rate,
                        .seconds_left = left,
                        .best_epoch = f->stop.best_epoch,
                        .is_best = is_best,
                        .epoch_end = line != NULL };
    f->last_progress = hn_seconds();
    if (f->callbacks.progress(f->callbacks.user, &p) && f->reason == HN_STOP_NONE)
        f->reason = HN_STOP_CALLBACK;
}

/* ---- weights worth keeping ---------------------------------------------------------------------------------------- */

static void diverged(struct hn_fit *f, const char *what)
{
    f->reason = HN_STOP_DIVERGED;
    size_t n = strlen(what);
    if (n >= sizeof f->bad) n = sizeof f->bad - 1;
    memmove(f->bad, what, n);
    f->bad[n] = '\0';
}

static void beyond_range(struct hn_fit *f, const struct hn_param *p)
{
    char text[sizeof f->bad];
    snprintf(text, sizeof text, "%.150s as %s", p->name, hn_dtype_name(p->init->dtype));
    diverged(f, text);
}

/* Copies what is judged aside if all of it is finite, in the file too, else the run has diverged. */
static hone_status snapshot(struct hn_fit *f, enum hn_slab to, hone_error *err)
{
    const enum hn_slab from = hn_fit_judged_slab(f);
    HN_TRY(hn_member_get(f->cohort, 0, from, f->host, err));
    const char *bad = hn_first_bad_param(f->s->prog, f->host, f->s->backend->elem);
    const struct hn_param *beyond = hn_round_as_stored(f->s->prog, f->host, f->s->backend->elem);
    if (!bad && !beyond) return hn_member_copy(f->cohort, 0, to, from, err);
    if (bad)
        diverged(f, bad);
    else
        beyond_range(f, beyond);
    return HONE_OK;
}

hone_status hn_fit_as_stored(struct hn_fit *f, enum hn_slab from, struct hn_replica *r,
                             const struct hn_param **beyond, hone_error *err)
{
    const struct hn_backend *b = f->s->backend;
    *r = member(f)->r;
    *beyond = NULL;
    r->slab[HN_SLAB_W] = r->slab[from];
    if (!f->stored) return HONE_OK;
    HN_TRY(hn_member_get(f->cohort, 0, from, f->host, err));
    *beyond = hn_round_as_stored(f->s->prog, f->host, b->elem);
    r->slab[HN_SLAB_W] = f->stored;
    return b->put(f->s->dev, f->stored, 0, f->host, f->s->prog->n_slab * b->elem, err);
}

static hone_status find_bad_number(struct hn_fit *f, hone_error *err)
{
    struct hn_member *m = member(f);
    HN_TRY(hn_member_get(f->cohort, 0, HN_SLAB_W, f->host, err));
    int64_t left = m->n_rows - m->bad_row;
    struct hn_interpret_opts o = { .prog = f->s->prog,
                                   .r = &m->r,
                                   .set = f->s->sets[f->s->set_of[HONE_TRAIN]],
                                   .rows = m->order + m->bad_row,
                                   .n_rows = left < m->batch ? left : m->batch,
                                   .w = f->host,
                                   .elem = f->s->backend->elem,
                                   .train = 1 };
    diverged(f, "the loss");
    return hn_diagnose_batch(&f->s->ctx->mem, &o, f->bad, sizeof f->bad, err);
}

/* ---- the end of an epoch -------------------------------------------------------------------------------------------- */

static int wants_train_figures(const struct hn_fit *f)
{
    const char *names[] = { f->opts.monitor, f->opts.target };
    for (int i = 0; i < 2; i++)
        if (names[i] && strncmp(names[i], "train_", 6) == 0 && strcmp(names[i], "train_loss") != 0)
            return 1;
    return 0;
}

static hone_status evaluate(struct hn_fit *f, struct hn_epoch *e, hone_error *err)
{
    struct hn_replica r;
    const struct hn_param *beyond;
    int val = f->s->rows[HONE_VAL].n > 0, train = wants_train_figures(f);
    if (!val && !train) return HONE_OK;
    HN_TRY(hn_fit_as_stored(f, hn_fit_judged_slab(f), &r, &beyond, err));
    if (beyond) return beyond_range(f, beyond), HONE_OK;
    if (val) HN_TRY(hn_evaluator_run(f->eval, &r, HONE_VAL, &e->val, err));
    if (train) HN_TRY(hn_evaluator_run(f->eval, &r, HONE_TRAIN, &e->train, err));
    return HONE_OK;
}

static hone_status remember(struct hn_fit *f, const struct hn_epoch *e, hone_error *err)
{
    if (HN_PUSH(&f->s->ctx->mem, f->curve, f->n_curve, f->cap_curve, *e)) return HONE_OK;
    return hn_nomem(err, "the learning curve", (f->n_curve + 1) * sizeof *e);
}

/* Is this epoch the best so far? Keeps its weights if so (or, nothing being monitored, as the last good ones). */
static hone_status judge(struct hn_fit *f, const struct hn_epoch *e, int *is_best, hone_error *err)
{
    double watched = (double)NAN;
    *is_best = 0;
    if (f->reason == HN_STOP_DIVERGED) return HONE_OK; /* by what it would be in the file */
    if (!isfinite(e->train_loss)) return diverged(f, "train_loss"), HONE_OK;
    if (e->val.rows && !isfinite(e->val.loss)) return diverged(f, "val_loss"), HONE_OK;
    if (f->opts.monitor) {
        hn_epoch_value(e, f->opts.monitor, &watched);
        struct hn_stopper before = f->stop;
        *is_best = hn_stopper_see(&f->stop, e->epoch, watched);
        if (*is_best && f->opts.save_best) HN_TRY(snapshot(f, HN_SLAB_BEST, err));
        if (f->reason == HN_STOP_DIVERGED) f->stop = before, *is_best = 0;
    }
    if (!f->opts.save_best || !f->opts.monitor) {
        HN_TRY(snapshot(f, HN_SLAB_GOOD, err));
        if (f->reason != HN_STOP_DIVERGED) f->good_epoch = e->epoch;
    }
    hn_schedule_epoch_end(&member(f)->schedule, e->epoch - 1, watched);
    return HONE_OK;
}

/* The epoch's weights join the average. A loss that is not finite ends the run, by what is there already. */
static hone_status average(struct hn_fit *f, const struct hn_epoch *e, hone_error *err)
{
    const struct hn_schedule *s = &member(f)->schedule;
    if (!f->averager || !hn_schedule_averages(s, e->epoch - 1)) return HONE_OK;
    if (!isfinite(e->train_loss)) return HONE_OK;
    HN_TRY(hn_averager_take(f->averager, f->averaged, f->host, err));
    f->averaged++;
    return HONE_OK;
}

static hone_status end_epoch(struct hn_fit *f, hone_error *err)
{
    struct hn_member *m = member(f);
    int is_best;
    struct hn_epoch e = { .epoch = m->r.now.epoch,
                          .train_loss = hn_member_loss(f->cohort, 0),
                          .lr = m->last_lr };
    HN_TRY(average(f, &e, err));
    HN_TRY(evaluate(f, &e, err));
    HN_TRY(judge(f, &e, &is_best, err));
    e.seconds = hn_fit_seconds(f);
    HN_TRY(remember(f, &e, err));
    f->done = e.epoch;
    m->r.now.row = 0;
    m->state = HN_MEMBER_READY;
    double target = (double)NAN;
    if (f->opts.target) hn_epoch_value(&e, f->opts.target, &target);
    if (f->reason == HN_STOP_NONE) f->reason = hn_stopper_verdict(&f->stop, f->done, target);
    call_progress(f, &e, is_best);
    return f->hooks.epoch ? f->hooks.epoch(f->hooks.user, f, &e, err) : HONE_OK;
}

/* ---- inside an epoch ------------------------------------------------------------------------------------------------ */

/* As many steps as fit into CHUNK_SECONDS by the speed seen so far; one to learn it. */
static int chunk_steps(const struct hn_fit *f)
{
    if (f->seconds_per_row <= 0) return 1;
    double steps = CHUNK_SECONDS / (f->seconds_per_row * (double)member(f)->batch);
    return steps < 1 ? 1 : steps > HN_CHUNK_STEPS ? HN_CHUNK_STEPS : (int)steps;
}

static hone_status train_chunk(struct hn_fit *f, hone_error *err)
{
    int64_t rows;
    double start = hn_seconds();
    HN_TRY(hn_cohort_advance(f->cohort, chunk_steps(f), &rows, err));
    double took = hn_seconds() - start, worked = f->cohort->slot[0].seconds;
    f->train_seconds += took;
    f->rows_trained += rows;
    /* waiting for a device that others use as well says nothing of how many steps fit */
    if (rows > 0) f->seconds_per_row = (worked > 0 ? worked : took) / (double)rows;
    return HONE_OK;
}

static void look_up(struct hn_fit *f)
{
    double now = hn_seconds();
    if (atomic_load(&f->s->ctx->stop))
        f->reason = HN_STOP_INTERRUPTED;
    else if (f->opts.max_seconds > 0 && hn_fit_seconds(f) >= f->opts.max_seconds)
        f->reason = HN_STOP_TIME;
    else if (now - f->last_progress >= PROGRESS_SECONDS && member(f)->state == HN_MEMBER_RUNNING)
        call_progress(f, NULL, 0);
}

/* One epoch, or the rest of one. Leaves the member in EPOCH_END, or with a reason to stop. */
static hone_status train_epoch(struct hn_fit *f, hone_error *err)
{
    struct hn_member *m = member(f);
    if (m->state == HN_MEMBER_READY) hn_cohort_begin_epoch(f->cohort, 0);
    while (m->state == HN_MEMBER_RUNNING && f->reason == HN_STOP_NONE) {
        HN_TRY(train_chunk(f, err));
        if (m->state == HN_MEMBER_DIVERGED) return find_bad_number(f, err);
        look_up(f);
        if (f->hooks.tick) HN_TRY(f->hooks.tick(f->hooks.user, f, err));
    }
    return HONE_OK;
}

/* An epoch that was cut short by time or callback still counts, if a batch of it was trained. */
static int epoch_counts(const struct hn_fit *f)
{
    const struct hn_member *m = member(f);
    if (m->state == HN_MEMBER_EPOCH_END) return 1;
    return (f->reason == HN_STOP_TIME || f->reason == HN_STOP_CALLBACK) && m->r.now.row > 0;
}

hone_status hn_fit_run(struct hn_fit *f, hone_error *err)
{
    f->started = f->last_progress = hn_seconds();
    if (f->done >= f->opts.stop.epochs) f->reason = HN_STOP_MAX_EPOCHS;
    if (f->reason == HN_STOP_NONE) HN_TRY(hn_pretrain_run(f, err));
    while (f->reason == HN_STOP_NONE) {
        HN_TRY(train_epoch(f, err));
        if (epoch_counts(f)) HN_TRY(end_epoch(f, err));
    }
    return HONE_OK;
}

/* ---- beginning and end ---------------------------------------------------------------------------------------------- */

hone_status hn_fit_start(struct hn_fit *f, hone_error *err)
{
    struct hn_epoch e = { .lr = member(f)->last_lr, .train_loss = (double)NAN };
    double watched = (double)NAN;
    enum hn_slab keep = f->opts.save_best && f->opts.monitor ? HN_SLAB_BEST : HN_SLAB_GOOD;
    HN_TRY(hn_member_copy(f->cohort, 0, keep, HN_SLAB_W, err));
    if (member(f)->hyper.ema > 0)
        HN_TRY(hn_member_copy(f->cohort, 0, HN_SLAB_AVERAGE, HN_SLAB_W, err));
    f->started = hn_seconds();
    if (!f->opts.judge_start) return HONE_OK;
    e.val = f->before[HONE_VAL];
    if (wants_train_figures(f)) e.train = f->before[HONE_TRAIN];
    if (f->opts.judge_again) HN_TRY(evaluate(f, &e, err));
    if (f->opts.monitor && hn_epoch_value(&e, f->opts.monitor, &watched) && isfinite(watched))
        hn_stopper_see(&f->stop, 0, watched);
    if (e.val.rows || e.train.rows) HN_TRY(remember(f, &e, err));
    call_progress(f, &e, f->stop.best_epoch == 0);
    return HONE_OK;
}

hone_status hn_fit_create(struct hn_session *s, struct hn_cohort *c, struct hn_evaluator *e,
                          const struct hn_fit_opts *o, struct hn_fit **out, hone_error *err)
{
    struct hn_mem *mem = &s->ctx->mem;
    size_t bytes = s->prog->n_slab * s->backend->elem;
    *out = NULL;
    struct hn_fit *f = hn_calloc(mem, 1, sizeof *f);
    if (!f) return hn_nomem(err, "the run", sizeof *f);
    f->s = s;
    f->cohort = c;
    f->eval = e;
    f->opts = *o;
    hn_stopper_init(&f->stop, &o->stop);
    f->cap_curve = CURVE_START;
    f->curve = hn_alloc(mem, f->cap_curve * sizeof *f->curve);
    f->host = hn_alloc(mem, bytes);
    hone_status st = f->curve && f->host ? HONE_OK : hn_nomem(err, "the run", bytes);
    if (st == HONE_OK && hn_program_has_half(s->prog))
        st = s->backend->alloc(s->dev, bytes, &f->stored, err);
    if (st == HONE_OK && c->member[0].schedule.swa_start > 0)
        st = hn_averager_create(c, &f->averager, err);
    if (st == HONE_OK) st = hn_pretrain_open(&f->pretrain, s, &o->pretrain, err);
    if (st != HONE_OK) {
        hn_fit_destroy(f);
        return st;
    }
    *out = f;
    return HONE_OK;
}

void hn_fit_destroy(struct hn_fit *f)
{
    if (!f) return;
    struct hn_mem *mem = &f->s->ctx->mem;
    hn_averager_destroy(f->averager);
    if (f->stored) f->s->backend->release(f->s->dev, f->stored);
    hn_pretrain_close(&f->pretrain);
    hn_free(mem, f->curve);
    hn_free(mem, f->host);
    hn_free(mem, f);
}
