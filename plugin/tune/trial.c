/* SPDX-License-Identifier: MIT
 *
 * One replica: see trial.h. */
#include "plugin/tune/trial.h"
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include <math.h>
#include <string.h>

struct eyes {
    const struct hn_replica_task *task;
    struct hn_watch watch;
};

/* What the fit looks at after each epoch. */
static hone_status look(void *user, struct hn_fit *f, const struct hn_epoch *e, hone_error *err)
{
    struct eyes *eyes = user;
    double v = (double)NAN;
    (void)err;
    if (f->reason == HN_STOP_NONE && eyes->task->cancel && atomic_load(eyes->task->cancel))
        f->reason = HN_STOP_INTERRUPTED;
    if (f->reason == HN_STOP_NONE && e->epoch == eyes->task->until) f->reason = HN_STOP_MAX_EPOCHS;
    if (!eyes->task->watch) return HONE_OK;
    hn_epoch_value(e, f->opts.monitor, &v);
    hn_watch_value(&eyes->watch, v);
    if (f->reason == HN_STOP_NONE && hn_watch_fails(&eyes->watch, e->epoch))
        f->reason = HN_STOP_CALLBACK;
    return HONE_OK;
}

/* Cancelled between epochs of an autoencoder, too. */
static hone_status look_before(void *user, struct hn_fit *f, const struct hn_pretrain_line *l,
                               hone_error *err)
{
    const struct eyes *eyes = user;
    (void)l, (void)err;
    if (f->reason == HN_STOP_NONE && eyes->task->cancel && atomic_load(eyes->task->cancel))
        f->reason = HN_STOP_INTERRUPTED;
    return HONE_OK;
}

static hone_status run(struct hn_job *j, const struct hn_replica_task *t, struct hone_data *d,
                       hone_error *err)
{
    struct eyes eyes = { .task = t };
    if (t->watch) eyes.watch = *t->watch;
    j->trial = t->trial;
    j->fold = t->fold;
    j->before[HONE_VAL] = t->rows->before; /* what hn_job_judge would find */
    HN_TRY(hn_job_open(j, d, NULL, err));
    j->fit->hooks = (struct hn_fit_hooks){ .user = &eyes, .epoch = look, .pretrain = look_before };
    HN_TRY(hn_job_start(j, err));
    HN_TRY(hn_fit_start(j->fit, err));
    return hn_fit_run(j->fit, err);
}

/* The monitored value of the weights that would be exported. */
static double value_of(const struct hn_fit *f)
{
    double v = (double)NAN;
    if (f->opts.save_best) return f->stop.best_epoch < 0 ? (double)NAN : f->stop.best;
    if (f->n_curve) hn_epoch_value(&f->curve[f->n_curve - 1], f->opts.monitor, &v);
    return v;
}

/* What was monitored after each epoch; epoch 0, the model before training, is not of the curve. */
static hone_status keep_curve(const struct hn_fit *f, struct hn_mem *mem,
                              struct hn_fold_result *out, hone_error *err)
{
    if (!f->n_curve) return HONE_OK;
    out->curve = hn_alloc(mem, f->n_curve * sizeof *out->curve);
    if (!out->curve) return hn_nomem(err, "a learning curve", f->n_curve * sizeof *out->curve);
    for (size_t i = 0; i < f->n_curve; i++) {
        double v = (double)NAN;
        hn_epoch_value(&f->curve[i], f->opts.monitor, &v);
        if (f->curve[i].epoch > 0)
            out->curve[out->n_curve++] = v;
        else
            out->start = v;
    }
    return HONE_OK;
}

static void report(const struct hn_fit *f, struct hn_fold_result *out)
{
    out->value = value_of(f);
    out->best_epoch = f->opts.save_best ? hn_fit_result_epoch(f) : f->done;
    out->epochs = f->done;
    out->save_best = f->opts.save_best;
    out->state = f->reason == HN_STOP_CALLBACK ? HN_FOLD_PRUNED : HN_FOLD_COMPLETE;
    if (f->reason == HN_STOP_INTERRUPTED) {
        out->state = HN_FOLD_INTERRUPTED;
    } else if (f->reason == HN_STOP_DIVERGED || !isfinite(out->value)) {
        out->state = HN_FOLD_DIVERGED;
        hn_fail(&out->why, HONE_E_DIVERGED, "training", "epoch %lld: %s is not finite",
                (long long)f->done + 1, f->bad[0] ? f->bad : "the loss");
    }
}

/* After epoch e, or the last one before it. */
static double value_after(const struct hn_fold_result *r, size_t e)
{
    return !e ? r->start : r->curve[(e < r->n_curve ? e : r->n_curve) - 1];
}

void hn_folds_same_epoch(struct hn_fold_result *r, int n, int maximize)
{
    double sign = maximize ? -1 : 1, best = (double)NAN;
    size_t most = 0, at = 0;
    for (int i = 0; i < n; i++) {
        if (!r[i].save_best || !r[i].n_curve) return;
        if (r[i].n_curve > most) most = r[i].n_curve;
    }
    for (size_t e = 0; e <= most; e++) {
        double mean = 0;
        for (int i = 0; i < n; i++) mean += value_after(&r[i], e) / n;
        if (!isfinite(mean) || !(isnan(best) || sign * mean < sign * best)) continue;
        best = mean;
        at = e;
    }
    for (int i = 0; i < n && isfinite(best); i++) {
        r[i].value = value_after(&r[i], at);
        r[i].best_epoch = (int64_t)at;
    }
}

void hn_fold_cut(struct hn_fold_result *r, int64_t epochs, int maximize)
{
    r->epochs = epochs;
    r->n_curve = (size_t)epochs;
    r->best_epoch = r->save_best ? 0 : epochs;
    r->value = r->save_best ? r->start : r->curve[epochs - 1];
    hn_folds_same_epoch(r, 1, maximize);
}

hone_status hn_replica_run(const struct hn_replica_task *t, struct hn_fold_result *out,
                           hone_error *err)
{
    struct hn_job j;
    struct hn_model_mark *mark;
    struct hone_data d = *t->data; /* arrays are read only */
    double start = hn_seconds();
    d.ctx = hn_model_context(t->model);
    d.given = t->rows->rows;
    d.device = t->device;
    d.kept = t->kept;
    *out = (struct hn_fold_result){ .state = HN_FOLD_FAILED,
                                    .value = (double)NAN,
                                    .start = (double)NAN };
    HN_TRY(hn_model_mark(t->model, &mark, err));
    hone_status st = hn_job_init(&j, t->model, t->params, &out->why);
    if (st == HONE_OK) st = run(&j, t, &d, &out->why);
    if (st == HONE_OK) st = keep_curve(j.fit, t->mem, out, &out->why);
    if (st == HONE_OK) report(j.fit, out);
    if (st == HONE_OK && t->keep && out->state == HN_FOLD_COMPLETE) {
        st = hn_job_finish(&j, &out->why);
        if (st == HONE_OK) st = hn_model_bytes(t->model, t->keep, &out->why);
        if (st != HONE_OK) out->state = HN_FOLD_FAILED;
    }
    hn_job_close(&j);
    st = hn_model_rewind(t->model, mark, err);
    hn_model_mark_free(mark);
    out->seconds = hn_seconds() - start;
    return st;
}
