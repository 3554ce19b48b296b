/* SPDX-License-Identifier: MIT
 *
 * The result of a search. All trials are read from the study. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/data/data.h"
#include "plugin/model.h"
#include "plugin/plugins.h"
#include "plugin/train/job.h"
#include "plugin/tune/importance.h"
#include "plugin/tune/study_open.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <string.h>

/* ---- the result ---------------------------------------------------------------------------------------------------------- */

static void put_folds(hone_result *r, const struct hn_score *s)
{
    hn_result_array(r, "folds");
    for (int i = 0; i < s->n; i++) {
        hn_result_object(r, NULL);
        hn_result_double(r, "value", s->fold[i].value);
        hn_result_int(r, "best_epoch", s->fold[i].best_epoch);
        hn_result_int(r, "epochs", s->fold[i].epochs);
        hn_result_close(r);
    }
    hn_result_close(r);
}

/* The folds' mean by epoch; a fold that has stopped counts with its last value. */
static void put_means(hone_result *r, const struct hn_fold_curve *curves, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        if (curves[i].n > longest) longest = curves[i].n;
    hn_result_array(r, "curve");
    for (size_t e = 0; e < longest; e++) {
        double sum = 0;
        int folds = 0;
        for (size_t i = 0; i < n; i++) {
            if (!curves[i].n) continue;
            sum += curves[i].v[e < curves[i].n ? e : curves[i].n - 1];
            folds++;
        }
        hn_result_double(r, NULL, sum / folds);
    }
    hn_result_close(r);
}

static hone_status put_curve(struct hn_tune *t, hone_result *r, int64_t number, hone_error *err)
{
    struct hn_fold_curve *curves;
    struct hn_arena arena;
    size_t n;
    hn_arena_init(&arena, &t->ctx->mem);
    hone_status st = hn_study_curves(t->study, number, &arena, &curves, &n, err);
    if (st == HONE_OK) put_means(r, curves, n);
    hn_arena_clear(&arena);
    return st;
}

static hone_status put_trial(struct hn_tune *t, hone_result *r, const struct hn_trial *trial,
                             hone_error *err)
{
    struct hn_score s;
    const char *why = strstr(trial->note, " | ");
    HN_TRY(hn_score_read(&s, &t->arena, trial->note, err));
    hn_result_object(r, NULL);
    hn_result_int(r, "number", trial->number);
    hn_result_string(r, "state", hn_trial_state_names[trial->state]);
    if (!strncmp(trial->note, "default", 7)) hn_result_bool(r, "default", 1);
    hn_result_object(r, "params");
    hn_result_settings(r, &t->space, trial->x);
    hn_result_close(r);
    if (trial->state == HN_TRIAL_DONE || trial->state == HN_TRIAL_PRUNED) {
        hn_result_double(r, "value", trial->state == HN_TRIAL_DONE ? trial->value : s.mean);
        hn_result_double(r, "std", s.std);
    } else {
        hn_result_null(r, "value");
        hn_result_null(r, "std");
    }
    put_folds(r, &s);
    HN_TRY(put_curve(t, r, trial->number, err));
    hn_result_int(r, "epochs", trial->epochs);
    hn_result_double(r, "seconds", trial->seconds);
    if (why) hn_result_string(r, "why", why + 3);
    hn_result_close(r);
    return HONE_OK;
}

static void put_figures(hone_result *r, const char *key, const struct hn_figures *f)
{
    if (f->rows)
        hn_figures_result(r, key, f);
    else
        hn_result_null(r, key);
}

static void put_baseline(struct hn_tune *t, hone_result *r, const struct hn_trial *trials, size_t n)
{
    const struct hn_judging *j = &t->judging;
    double v;
    hn_result_object(r, "baseline");
    hn_result_object(r, "imported");
    hn_result_double(r, "value", j->value);
    hn_result_double(r, "std", j->std);
    hn_result_array(r, "folds");
    for (int i = 0; i < j->n; i++)
        if (hn_metric_get(&j->fold[i].before, t->monitor + strlen("val_"), &v))
            hn_result_double(r, NULL, v);
    hn_result_close(r);
    put_figures(r, "test", &j->before_test);
    hn_result_close(r);
    if (n && trials[0].state == HN_TRIAL_DONE && !strncmp(trials[0].note, "default", 7)) {
        hn_result_object(r, "trial_0");
        hn_result_double(r, "value", trials[0].value);
        hn_result_close(r);
    } else {
        hn_result_null(r, "trial_0");
    }
    if (isnan(j->guess)) {
        hn_result_null(r, "guess");
    } else {
        hn_result_object(r, "guess");
        hn_result_double(r, "value", j->guess);
        hn_result_close(r);
    }
    hn_result_close(r);
}

static void put_refit(const struct hn_tune *t, hone_result *r)
{
    const struct hn_refit *f = &t->refit;
    if (!f->done) {
        hn_result_null(r, "refit");
        return;
    }
    hn_result_object(r, "refit");
    hn_result_string(r, "kind", f->kind);
    hn_result_bool(r, "accepted", f->accepted);
    hn_result_string(r, "why", f->why);
    hn_result_int(r, "epochs", f->epochs);
    put_figures(r, "train", &f->train);
    hn_result_double(r, "seconds", f->seconds);
    hn_result_close(r);
}

static void put_search(const struct hn_tune *t, hone_result *r)
{
    const struct hn_study_opts *o = hn_study_settings(t->study);
    hn_result_string(r, "monitor", t->monitor);
    hn_result_string(r, "direction", t->maximize ? "maximize" : "minimize");
    hn_result_string(r, "sampler", hn_sampler_names[o->sampler.kind]);
    hn_result_int(r, "lag", o->lag);
    hn_result_string(r, "pruner", hn_pruner_names[o->pruner.kind]);
    hn_result_int(r, "n_folds", t->judging.k);
    hn_result_int(r, "repeats", t->judging.k ? t->judging.n / t->judging.k : 1);
    hn_result_int(r, "jobs", t->jobs);
    hn_result_string(r, "stop_reason",
                     t->failed        ? "error"
                     : t->running     ? "running"
                     : t->interrupted ? "interrupted"
                     : t->out_of_time ? "time"
                     : t->told        ? "callback"
                                      : "trials");
}

static void put_error(const struct hn_tune *t, hone_result *r)
{
    if (!t->failed) return;
    hn_result_object(r, "error");
    hn_result_string(r, "where", t->failed->where);
    hn_result_string(r, "text", t->failed->text);
    hn_result_close(r);
}

/* What was asked for: the parameters that were set, as text; lists as lists. Of a study's address what may be shown. */
static void put_asked(const struct hn_tune *t, hone_result *r)
{
    hone_param_info info = { .size = sizeof info };
    const char *path = hn_model_path(t->model), *text;
    hn_result_string(r, "version", hone_version());
    hn_result_string(r, "input", path && path[0] ? path : NULL);
    hn_plugins_result(r, t->ctx);
    hn_result_object(r, "settings");
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        int list = !strcmp(info.type, "list");
        if (!hone_params_is_set(t->params, info.name)) continue;
        if (list) hn_result_array(r, info.name);
        for (size_t k = 0; (text = hone_params_get(t->params, info.name, k)); k++)
            hn_result_string(r, list ? NULL : info.name,
                             strcmp(info.name, "study") ? text : hn_study_settings(t->study)->path);
        if (list) hn_result_close(r);
    }
    hn_result_close(r);
    hn_result_space(r, &t->space);
}

static hone_status put_importances(struct hn_tune *t, hone_result *r, const struct hn_trial *trials,
                                   size_t n, hone_error *err)
{
    int said;
    double *share = hn_arena_alloc(&t->arena, (size_t)t->space.n, sizeof *share);
    if (!share) return hn_nomem(err, "the importances", (size_t)t->space.n * sizeof *share);
    HN_TRY(hn_importances(&t->ctx->mem, &t->space, trials, n, t->maximize, share, &said, err));
    if (!said) {
        hn_result_null(r, "importances");
        return HONE_OK;
    }
    hn_result_object(r, "importances");
    for (int i = 0; i < t->space.n; i++) hn_result_double(r, t->space.axes[i].name, share[i]);
    hn_result_close(r);
    return HONE_OK;
}

static hone_status put_all(struct hn_tune *t, hone_result *r, hone_error *err)
{
    const struct hn_trial *trials;
    const char *out = hn_param_s(t->params, "out");
    int changed = t->ensemble.exported || (t->refit.done && t->refit.accepted);
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    hn_result_array(r, "trials");
    for (size_t i = 0; i < n; i++) HN_TRY(put_trial(t, r, &trials[i], err));
    hn_result_close(r);
    if (t->best >= 0)
        hn_result_int(r, "best_trial", t->best);
    else
        hn_result_null(r, "best_trial");
    if (t->best >= 0)
        hn_result_double(r, "best_value", trials[t->best].value);
    else
        hn_result_null(r, "best_value");
    HN_TRY(put_importances(t, r, trials, n, err));
    put_baseline(t, r, trials, n);
    hn_result_bool(r, "beaten", t->beaten && (changed || !t->refit.done));
    if (hone_params_is_set(t->params, "min-gain"))
        hn_result_bool(r, "min_gain_met", t->gained && t->best >= 0);
    const struct hn_trial *best = t->best >= 0 ? &trials[t->best] : NULL;
    HN_TRY(hn_result_comparison(t, r, best, err));
    put_refit(t, r);
    hn_result_ensemble(t, r, best);
    hn_class_weights_result(r, t->refit.done       ? &t->refit.classes
                               : t->ensemble.refit ? &t->ensemble.refit[0].classes
                                                   : &t->refit.classes);
    HN_TRY(hn_result_nested(t, r, err));
    put_figures(r, "test",
                t->ensemble.exported ? &t->ensemble.test
                : changed            ? &t->refit.test
                                     : &t->judging.before_test);
    put_search(t, r);
    put_error(t, r);
    put_asked(t, r);
    hn_result_bool(r, "changed", changed);
    hn_result_string(r, "model", out[0] ? out : NULL);
    hn_result_string(r, "run_dir", t->dir);
    hn_result_string(r, "study", hn_study_settings(t->study)->path);
    hn_result_double(r, "seconds", hn_seconds() - t->start);
    return hn_result_done(r, err);
}

hone_status hn_tune_result(struct hn_tune *t, hone_result **out, hone_error *err)
{
    HN_TRY(hn_result_create(t->ctx, "hone.tune/1", out, err));
    hone_status st = put_all(t, *out, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}
