/* SPDX-License-Identifier: MIT
 *
 * What a search leaves: its result, and in the run folder study.json (the result), trials.csv (a line a trial), best.yaml
 * (the best settings for train --config); from the start on tune.yaml (the parameters, for hone resume). All trials are read from the study. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/data/data.h"
#include "plugin/model.h"
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

static const double WATCH_SECONDS = 1; /* between study.json of a search that runs, at least */
static const double WATCH_COST = 50;   /* it may take 1/50 of the time */

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static hone_status write_named(struct hn_tune *t, const char *name, const struct hn_buffer *b,
                               hone_error *err)
{
    char *path = hn_path_join(&t->ctx->mem, t->dir, name);
    if (!path) return hn_nomem(err, name, strlen(t->dir));
    hone_status st = hn_write_file(t->ctx->io, &t->ctx->mem, path, b->p ? b->p : "", b->n, err);
    hn_free(&t->ctx->mem, path);
    return st;
}

static hone_status csv_line(struct hn_tune *t, struct hn_sink *s, const struct hn_trial *trial,
                            hone_error *err)
{
    char number[32];
    struct hn_score score;
    int done = trial->state == HN_TRIAL_DONE, valued = done || trial->state == HN_TRIAL_PRUNED;
    HN_TRY(hn_score_read(&score, &t->arena, trial->note, err));
    HN_TRY(hn_sink_printf(s, err, "%lld,%s,", (long long)trial->number,
                          hn_trial_state_names[trial->state]));
    hn_format_double(number, done ? trial->value : score.mean); /* pruned: what it had then */
    if (valued) HN_TRY(hn_sink_str(s, number, err));
    hn_format_double(number, score.std);
    HN_TRY(hn_sink_printf(s, err, ",%s,%lld,%.6f", valued ? number : "", (long long)trial->epochs,
                          trial->seconds));
    for (int i = 0; i < t->space.n; i++) {
        HN_TRY(hn_sink_str(s, ",", err));
        if (!isnan(trial->x[i]))
            HN_TRY(hn_csv_write_cell(s, hn_axis_text(&t->space.axes[i], trial->x[i], number), err));
    }
    return hn_sink_str(s, "\n", err);
}

static hone_status write_csv(struct hn_tune *t, struct hn_buffer *b, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    HN_TRY(hn_sink_str(&b->sink, "number,state,value,std,epochs,seconds", err));
    for (int i = 0; i < t->space.n; i++) {
        HN_TRY(hn_sink_str(&b->sink, ",", err));
        HN_TRY(hn_csv_write_cell(&b->sink, t->space.axes[i].name, err));
    }
    HN_TRY(hn_sink_str(&b->sink, "\n", err));
    for (size_t i = 0; i < n; i++) HN_TRY(csv_line(t, &b->sink, &trials[i], err));
    return write_named(t, "trials.csv", b, err);
}

/* In quotes, unless it is a plain word or number. */
static hone_status yaml_text(struct hn_sink *s, const char *text, hone_error *err)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
    if (text[0] && text[0] != '-' && strspn(text, plain) == strlen(text))
        return hn_sink_str(s, text, err);
    HN_TRY(hn_sink_str(s, "'", err));
    for (const char *c = text; *c; c++)
        HN_TRY(hn_sink_printf(s, err, *c == '\'' ? "'%c" : "%c", *c));
    return hn_sink_str(s, "'", err);
}

static hone_status yaml_param(struct hn_sink *s, const hone_params *p, const hone_param_info *i,
                              hone_error *err)
{
    const char *text;
    int list = !strcmp(i->type, "list");
    HN_TRY(hn_sink_printf(s, err, "%s: %s", i->name, list ? "[" : ""));
    for (size_t k = 0; (text = hone_params_get(p, i->name, k)); k++) {
        if (k) HN_TRY(hn_sink_str(s, ", ", err));
        HN_TRY(yaml_text(s, text, err));
    }
    return hn_sink_str(s, list ? "]\n" : "\n", err);
}

static hone_status write_best(struct hn_tune *t, struct hn_buffer *b, hone_error *err)
{
    const struct hn_trial *trials;
    hone_param_info info = { .size = sizeof info };
    hone_params *p;
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    HN_TRY(hn_tune_settings(t, &trials[t->best], &p, err));
    hone_status st = hn_sink_printf(&b->sink, err, "# trial %lld\n", (long long)t->best);
    for (size_t i = 0; st == HONE_OK && hone_param_at(i, &info); i++) {
        int matters = !strcmp(info.group, "training") || strstr(info.name, "scale") != NULL;
        if (matters && hone_params_is_set(p, info.name)) st = yaml_param(&b->sink, p, &info, err);
    }
    hone_params_destroy(p);
    return st == HONE_OK ? write_named(t, "best.yaml", b, err) : st;
}

/* As it was given, but for the folder itself and its own study, which may move, and for a study's password. NULL: left out. */
static const char *setting_text(struct hn_tune *t, const char *name, size_t at)
{
    static const char *const left[] = { "run-dir", "force" };
    const char *text = hone_params_get(t->params, name, at);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (!strcmp(name, left[i])) return NULL;
    if (strcmp(name, "study") != 0 || !text) return text;
    const char *own = hn_arena_printf(&t->arena, "%s/study.db", t->dir);
    return own && !strcmp(own, t->path) ? NULL : hn_study_settings(t->study)->path;
}

static hone_status put_settings(struct hn_tune *t, struct hn_buffer *b, hone_error *err)
{
    hone_param_info info = { .size = sizeof info };
    const char *model = hn_model_path(t->model);
    int searched = hone_params_get(t->params, "search", 0) != NULL ||
                   hone_params_get(t->params, "setting", 0) != NULL;
    HN_TRY(hn_sink_str(&b->sink, "# hone resume goes on from here\n", err));
    if (model) {
        HN_TRY(hn_sink_str(&b->sink, "model: ", err));
        HN_TRY(yaml_text(&b->sink, model, err));
        HN_TRY(hn_sink_str(&b->sink, "\n", err));
    }
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        const char *text;
        int list = !strcmp(info.type, "list");
        if (!hone_params_is_set(t->params, info.name) || !setting_text(t, info.name, 0)) continue;
        if (searched && !strcmp(info.name, "space")) continue; /* the file was read into these */
        HN_TRY(hn_sink_printf(&b->sink, err, "%s: %s", info.name, list ? "[" : ""));
        for (size_t k = 0; (text = setting_text(t, info.name, k)); k++) {
            if (k && !list) break;
            if (k) HN_TRY(hn_sink_str(&b->sink, ", ", err));
            HN_TRY(yaml_text(&b->sink, text, err));
        }
        HN_TRY(hn_sink_str(&b->sink, list ? "]\n" : "\n", err));
    }
    return HONE_OK;
}

hone_status hn_tune_write_settings(struct hn_tune *t, hone_error *err)
{
    struct hn_buffer b;
    if (!t->dir) return HONE_OK;
    hn_buffer_init(&b, &t->ctx->mem);
    hone_status st = put_settings(t, &b, err);
    if (st == HONE_OK) st = write_named(t, "tune.yaml", &b, err);
    hn_buffer_free(&b);
    return st;
}

static hone_status write_json(struct hn_tune *t, const hone_result *r, struct hn_buffer *b,
                              hone_error *err)
{
    HN_TRY(hn_result_write(r, 1, &b->sink, err));
    HN_TRY(hn_sink_str(&b->sink, "\n", err));
    if (!t->running) return write_named(t, "study.json", b, err);
    char *path = hn_path_join(&t->ctx->mem, t->dir, "study.json");
    if (!path) return hn_nomem(err, "study.json", strlen(t->dir));
    hone_status st = hn_replace_file(t->ctx->io, &t->ctx->mem, path, b->p, b->n, err);
    hn_free(&t->ctx->mem, path);
    return st;
}

hone_status hn_tune_write_files(struct hn_tune *t, const hone_result *r, hone_error *err)
{
    struct hn_buffer csv, best, json;
    if (!t->dir) return HONE_OK;
    hn_buffer_init(&csv, &t->ctx->mem);
    hn_buffer_init(&best, &t->ctx->mem);
    hn_buffer_init(&json, &t->ctx->mem);
    hone_status st = write_csv(t, &csv, err);
    if (st == HONE_OK && t->best >= 0) st = write_best(t, &best, err);
    if (st == HONE_OK) st = write_json(t, r, &json, err);
    hn_buffer_free(&csv);
    hn_buffer_free(&best);
    hn_buffer_free(&json);
    return st;
}

static hone_status write_running(struct hn_tune *t, hone_error *err)
{
    const struct hn_trial *trials;
    hone_result *r = NULL;
    struct hn_buffer json;
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    t->best = hn_best_trial(trials, n, t->maximize);
    t->beaten = t->best >= 0 && hn_tune_better(t, trials[t->best].value, t->judging.value);
    HN_TRY(hn_tune_result(t, &r, err));
    hn_buffer_init(&json, &t->ctx->mem);
    hone_status st = write_json(t, r, &json, err);
    hn_buffer_free(&json);
    hone_result_destroy(r);
    return st;
}

void hn_tune_watch(struct hn_tune *t)
{
    struct hn_arena own = t->arena; /* what is written now is forgotten after */
    double start = hn_seconds();
    if (!t->dir || start < t->watched) return;
    hn_arena_init(&t->arena, &t->ctx->mem);
    t->running = 1;
    hone_status st = write_running(t, NULL);
    hn_arena_clear(&t->arena);
    t->arena = own;
    t->running = t->beaten = 0;
    t->best = -1;
    double end = hn_seconds(), wait = WATCH_COST * (end - start);
    if (wait < WATCH_SECONDS) wait = WATCH_SECONDS;
    t->watched = end + (st == HONE_OK ? wait : 30 * wait); /* if it still fails, the end says so */
}

void hn_tune_failed(struct hn_tune *t, const hone_error *why)
{
    if (!t->study) return;
    t->failed = why;
    t->watched = 0;
    hn_tune_watch(t);
    t->failed = NULL;
}
