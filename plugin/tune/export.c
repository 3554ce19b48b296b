/* SPDX-License-Identifier: MIT
 *
 * hone_study_export: a study as a file that optuna.load_study opens. What the two have in common is kept: settings with their
 * distributions, states, values, times; the mean over the folds by epoch as intermediate values; the folds' figures and what
 * else Hone knows of a trial as user attributes. */
#include "plugin/tune/export.h"
#include "ops/base/json.h"
#include "plugin/tune/study_own.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct exporter {
    hone_context *ctx;
    struct hn_study *study;
    struct hn_arena arena;
    const struct hn_trial *trials;
    struct hn_out_study out;
    int64_t *times;             /* 2 a trial: started, finished; 0: not yet */
    const char **distributions; /* one an axis */
};

/* ---- pieces of JSON ------------------------------------------------------------------------------------------------------ */

const char *hn_out_quote(struct hn_arena *a, const char *text)
{
    struct hn_buffer b;
    struct hn_json j;
    hn_buffer_init(&b, a->mem);
    hn_json_begin(&j, &b.sink, 0, NULL);
    hn_json_string(&j, NULL, text);
    const char *quoted = hn_json_end(&j) == HONE_OK ? hn_arena_strdup(a, b.p) : NULL;
    hn_buffer_free(&b);
    return quoted;
}

/* A float of Python's: "1.0", not "1". */
static const char *real(struct hn_arena *a, double v)
{
    char text[33];
    if (!isfinite(v)) return "null";
    hn_format_double(text, v);
    return hn_arena_printf(a, strpbrk(text, ".e") ? "%s" : "%s.0", text);
}

static const char *choice(struct hn_arena *a, const struct hn_choice *c)
{
    int64_t i;
    double d;
    size_t n = strlen(c->text);
    if (c->type == HN_CHOICE_BOOL) return c->text[0] == 't' ? "true" : "false";
    if (c->type == HN_CHOICE_INT && hn_parse_i64(c->text, n, &i))
        return hn_arena_printf(a, "%lld", (long long)i);
    if (c->type == HN_CHOICE_FLOAT && hn_parse_double(c->text, n, &d) && isfinite(d))
        return real(a, d);
    return hn_out_quote(a, c->text);
}

static const char *choices(struct hn_arena *a, const struct hn_axis *x)
{
    const char *list = "";
    for (int i = 0; list && i < x->n_choices; i++) {
        const char *c = choice(a, &x->choices[i]);
        list = c ? hn_arena_printf(a, "%s%s%s", list, i ? ", " : "", c) : NULL;
    }
    return list;
}

/* Bounds that hold all values: settings that were asked for may lie outside of the space's, or off its grid, and Optuna
 * takes it for granted that no value does. */
static struct hn_axis widened(const struct exporter *e, int i)
{
    struct hn_axis x = hn_study_space(e->study)->axes[i];
    int off = 0;
    for (size_t k = 0; k < e->out.n && x.kind != HN_AXIS_CHOICE; k++) {
        double v = e->trials[k].x[i], at = (v - x.low) / x.step;
        if (isnan(v)) continue;
        if (x.step > 0 && fabs(at - round(at)) > 1e-6) off = 1;
        x.low = v < x.low ? v : x.low;
        x.high = v > x.high ? v : x.high;
    }
    if (off) x.step = x.kind == HN_AXIS_INT ? 1 : 0;
    return x;
}

/* As Optuna writes them: distributions.distribution_to_json. */
static const char *distribution(struct hn_arena *a, const struct hn_axis *x)
{
    const char *log = x->log ? "true" : "false", *list;
    if (x->kind == HN_AXIS_CHOICE)
        return (list = choices(a, x))
                   ? hn_arena_printf(a,
                                     "{\"name\": \"CategoricalDistribution\", \"attributes\": "
                                     "{\"choices\": [%s]}}",
                                     list)
                   : NULL;
    if (x->kind == HN_AXIS_INT)
        return hn_arena_printf(a,
                               "{\"name\": \"IntDistribution\", \"attributes\": {\"log\": %s, "
                               "\"step\": %lld, \"low\": %lld, \"high\": %lld}}",
                               log, (long long)(x->step > 1 ? x->step : 1), (long long)x->low,
                               (long long)x->high);
    const char *low = real(a, x->low), *high = real(a, x->high),
               *step = x->step > 0 ? real(a, x->step) : "null";
    if (!low || !high || !step) return NULL;
    return hn_arena_printf(a,
                           "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": %s, "
                           "\"low\": %s, \"high\": %s, \"log\": %s}}",
                           step, low, high, log);
}

static hone_status distributions(struct exporter *e, hone_error *err)
{
    int n = hn_study_space(e->study)->n;
    e->distributions = hn_arena_alloc(&e->arena, (size_t)n, sizeof *e->distributions);
    for (int i = 0; e->distributions && i < n; i++) {
        struct hn_axis x = widened(e, i);
        e->distributions[i] = distribution(&e->arena, &x);
        if (!e->distributions[i]) return hn_nomem(err, "an export", 64);
    }
    return e->distributions ? HONE_OK : hn_nomem(err, "an export", 64);
}

/* The value of a setting itself, not its index. */
static const char *setting(struct hn_arena *a, const struct hn_axis *x, double v)
{
    if (x->kind == HN_AXIS_CHOICE) return choice(a, &x->choices[(int)v]);
    return x->kind == HN_AXIS_INT ? hn_arena_printf(a, "%lld", (long long)v) : real(a, v);
}

static const char *utc(struct hn_arena *a, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    if (ms <= 0 || !gmtime_r(&seconds, &t)) return NULL;
    return hn_arena_printf(a, "%04d-%02d-%02d %02d:%02d:%02d.%03d000", t.tm_year + 1900,
                           t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                           (int)(ms % 1000));
}

/* ---- a trial -------------------------------------------------------------------------------------------------------------- */

static int put_attr(struct hn_out_trial *o, const char *key, const char *json)
{
    o->attrs[o->n_attrs++] = (struct hn_out_attr){ key, json };
    return json != NULL;
}

/* "[0.5, 0.25]" of the folds' values or best epochs. */
static const char *fold_list(struct hn_arena *a, const struct hn_score *s, int epochs)
{
    const char *list = "[";
    for (int i = 0; list && i < s->n; i++) {
        const char *v = epochs ? hn_arena_printf(a, "%lld", (long long)s->fold[i].best_epoch)
                               : real(a, s->fold[i].value);
        list = v ? hn_arena_printf(a, "%s%s%s", list, i ? ", " : "", v) : NULL;
    }
    return list ? hn_arena_printf(a, "%s]", list) : NULL;
}

static hone_status attributes(struct exporter *e, const struct hn_trial *t, struct hn_out_trial *o,
                              hone_error *err)
{
    enum { MOST = 8 };
    struct hn_arena *a = &e->arena;
    struct hn_score s;
    const char *why = strstr(t->note, " | ");
    int ok = 1;
    HN_TRY(hn_score_read(&s, a, t->note, err));
    o->attrs = hn_arena_alloc(a, MOST, sizeof *o->attrs);
    if (!o->attrs) return hn_nomem(err, "an export", MOST * sizeof *o->attrs);
    if (!strncmp(t->note, "default", 7)) ok &= put_attr(o, "default", "true");
    if (s.n) ok &= put_attr(o, "folds", fold_list(a, &s, 0));
    if (s.n) ok &= put_attr(o, "best_epochs", fold_list(a, &s, 1));
    if (s.n > 1) ok &= put_attr(o, "std", real(a, s.std));
    if (t->epochs) ok &= put_attr(o, "epochs", hn_arena_printf(a, "%lld", (long long)t->epochs));
    if (t->seconds > 0) ok &= put_attr(o, "seconds", real(a, t->seconds));
    if (why) ok &= put_attr(o, "why", hn_out_quote(a, why + 3));
    return ok ? HONE_OK : hn_nomem(err, "an export", 64);
}

static hone_status settings(struct exporter *e, const struct hn_trial *t, struct hn_out_trial *o,
                            hone_error *err)
{
    const struct hn_search_space *space = hn_study_space(e->study);
    struct hn_arena *a = &e->arena;
    const char *fixed = "";
    o->params = hn_arena_alloc(a, (size_t)space->n, sizeof *o->params);
    int ok = o->params != NULL;
    for (int i = 0; ok && i < space->n; i++) {
        const struct hn_axis *x = &space->axes[i];
        if (isnan(t->x[i])) continue;
        const char *v = setting(a, x, t->x[i]), *name = hn_out_quote(a, x->name);
        fixed = name && v ? hn_arena_printf(a, "%s%s%s: %s", fixed, fixed[0] ? ", " : "", name, v)
                          : NULL;
        ok = fixed != NULL;
        o->params[o->n_params++] = (struct hn_out_param){ x->name, e->distributions[i], t->x[i] };
    }
    if (ok) o->fixed = hn_arena_printf(a, "{%s}", fixed);
    if (!ok || !o->fixed) return hn_nomem(err, "an export", 64);
    if (t->state == HN_TRIAL_WAITING) o->n_params = 0;
    return HONE_OK;
}

/* The mean over the folds by epoch, as far as all of them go. */
static hone_status steps(struct exporter *e, const struct hn_trial *t, struct hn_out_trial *o,
                         hone_error *err)
{
    struct hn_fold_curve *curves;
    size_t n, most = 0;
    HN_TRY(hn_study_curves(e->study, t->number, &e->arena, &curves, &n, err));
    for (size_t i = 0; i < n; i++)
        if (i == 0 || curves[i].n < most) most = curves[i].n;
    o->steps = hn_arena_alloc(&e->arena, most, sizeof *o->steps);
    if (!o->steps) return hn_nomem(err, "an export", most * sizeof *o->steps);
    for (size_t k = 0; k < most; k++)
        for (size_t i = 0; i < n; i++) o->steps[k] += curves[i].v[k] / (double)n;
    o->n_steps = most;
    return HONE_OK;
}

static hone_status take_trial(struct exporter *e, size_t i, hone_error *err)
{
    const struct hn_trial *t = &e->trials[i];
    struct hn_out_trial *o = &e->out.trials[i];
    int ended = t->state > HN_TRIAL_RUNNING;
    o->state = t->state;
    o->value = t->state == HN_TRIAL_DONE || t->state == HN_TRIAL_PRUNED ? t->value : (double)NAN;
    if (t->state != HN_TRIAL_WAITING) o->started = utc(&e->arena, e->times[2 * i]);
    if (ended) o->finished = utc(&e->arena, e->times[2 * i + 1]);
    HN_TRY(settings(e, t, o, err));
    HN_TRY(attributes(e, t, o, err));
    return steps(e, t, o, err);
}

/* ---- the study ------------------------------------------------------------------------------------------------------------ */

static hone_status take_times(void *user, const struct hn_cell *c, int n, hone_error *err)
{
    struct exporter *e = user;
    (void)err;
    if (n != 3 || c[0].type != HN_CELL_INT || c[0].i < 0 || (uint64_t)c[0].i >= e->out.n)
        return HONE_OK; /* one that has come since */
    for (int k = 0; k < 2; k++)
        e->times[2 * c[0].i + k] = c[1 + k].type == HN_CELL_INT ? c[1 + k].i : 0;
    return HONE_OK;
}

static hone_status study_attributes(struct exporter *e, hone_error *err)
{
    const struct hn_study_opts *o = hn_study_settings(e->study);
    struct hn_arena *a = &e->arena;
    struct hn_out_attr attrs[] = {
        { "hone:version", hn_out_quote(a, hone_version()) },
        { "hone:sampler", hn_out_quote(a, hn_sampler_names[o->sampler.kind]) },
        { "hone:seed", hn_arena_printf(a, "%llu", (unsigned long long)o->sampler.seed) },
        { "hone:lag", hn_arena_printf(a, "%d", o->lag) },
        { "hone:space", hn_out_quote(a, hn_study_space(e->study)->text) }
    };
    e->out.n_attrs = sizeof attrs / sizeof *attrs;
    e->out.attrs = hn_arena_alloc(a, e->out.n_attrs, sizeof *attrs);
    if (!e->out.attrs) return hn_nomem(err, "an export", sizeof attrs);
    memcpy(e->out.attrs, attrs, sizeof attrs);
    for (size_t i = 0; i < e->out.n_attrs; i++)
        if (!attrs[i].json) return hn_nomem(err, "an export", 64);
    return HONE_OK;
}

static hone_status collect(struct exporter *e, hone_error *err)
{
    struct hn_query q = { .sql = "SELECT number, started, finished FROM trial ORDER BY number",
                          .row = take_times,
                          .user = e };
    HN_TRY(hn_study_trials(e->study, &e->trials, &e->out.n, err));
    e->out.maximize = hn_study_settings(e->study)->maximize;
    e->out.trials = hn_arena_alloc(&e->arena, e->out.n, sizeof *e->out.trials);
    e->times = hn_arena_alloc(&e->arena, 2 * e->out.n, sizeof *e->times);
    if (!e->out.trials || !e->times) return hn_nomem(err, "an export", e->out.n * 64);
    HN_TRY(hn_study_query(e->study, &q, err));
    HN_TRY(distributions(e, err));
    for (size_t i = 0; i < e->out.n; i++) HN_TRY(take_trial(e, i, err));
    return study_attributes(e, err);
}

/* ---- the call ------------------------------------------------------------------------------------------------------------- */

static int ends_in(const char *path, const char *const *ends)
{
    size_t n = strlen(path);
    for (; *ends; ends++)
        if (n > strlen(*ends) && !strcmp(path + n - strlen(*ends), *ends)) return 1;
    return 0;
}

/* "runs/wine.db" is "wine"; in a database it has a name. */
static const char *default_name(struct hn_arena *a, const char *study)
{
    struct hn_uri u;
    if (hn_store_is_uri(study)) return hn_uri_read(a, study, &u, NULL) == HONE_OK ? u.name : NULL;
    const char *base = hn_path_base(study), *dot = strrchr(base, '.');
    return hn_arena_strndup(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static hone_status check_file(hone_context *ctx, const char *study, const char *path, int force,
                              hone_error *err)
{
    struct hn_stat theirs, ours;
    if (!path[0])
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "optuna", "found none, wanted a file to write"),
                       "--optuna FILE.db or --optuna FILE.log");
    if (ctx->io->stat_path(ctx->io->user, path, &theirs) < 0) return HONE_OK;
    if (!hn_store_is_uri(study) && ctx->io->stat_path(ctx->io->user, study, &ours) == 0 &&
        ours.dev == theirs.dev && ours.ino == theirs.ino)
        return hn_fail(err, HONE_E_USAGE, path, "the file is the study itself");
    if (force) return HONE_OK;
    return hn_hint(err, hn_fail(err, HONE_E_USAGE, path, "the file is there already"),
                   "--force replaces it");
}

static hone_status result_of(const struct exporter *e, const char *path, int journal,
                             hone_result **out, hone_error *err)
{
    int64_t count[HN_TRIAL_FAILED + 1] = { 0 };
    for (size_t i = 0; i < e->out.n; i++) count[e->out.trials[i].state]++;
    HN_TRY(hn_result_create(e->ctx, "hone.export/1", out, err));
    hn_result_string(*out, "file", path);
    hn_result_string(*out, "format", journal ? "optuna-journal" : "optuna-sqlite");
    hn_result_string(*out, "study_name", e->out.name);
    hn_result_string(*out, "direction", e->out.maximize ? "maximize" : "minimize");
    hn_result_int(*out, "trials", (int64_t)e->out.n);
    hn_result_object(*out, "states");
    for (int i = 0; i <= HN_TRIAL_FAILED; i++)
        hn_result_int(*out, hn_trial_state_names[i], count[i]);
    hn_result_close(*out);
    hone_status st = hn_result_done(*out, err);
    if (st != HONE_OK) {
        hone_result_destroy(*out);
        *out = NULL;
    }
    return st;
}

static hone_status export(struct exporter *e, const char *study, const hone_params *params,
                          hone_result **out, hone_error *err)
{
    static const char *const journals[] = { ".log", ".journal", ".jsonl", NULL };
    static const char *const databases[] = { ".db", ".sqlite", ".sqlite3", NULL };
    const char *path = hn_param_s(params, "optuna"), *name = hn_param_s(params, "study-name");
    struct hn_study_opts o = { .path = study, .keep = HN_KEEP_ALL, .read_only = 1 };
    struct hn_buffer bytes;
    HN_TRY(check_file(e->ctx, study, path, hn_param_b(params, "force"), err));
    int journal = ends_in(path, journals);
    if (!journal && !ends_in(path, databases))
        return hn_fail(err, HONE_E_USAGE, path,
                       "wanted a name that ends in .db, .sqlite or .sqlite3 (a database), or in "
                       ".log, .jsonl or .journal (Optuna's journal)");
    HN_TRY(hn_study_open(e->ctx, &o, &e->study, err));
    e->out.name = name[0] ? hn_arena_strdup(&e->arena, name) : default_name(&e->arena, study);
    if (!e->out.name) return hn_nomem(err, "an export", 64);
    HN_TRY(collect(e, err));
    hn_buffer_init(&bytes, &e->ctx->mem);
    hone_status st =
        journal ? hn_out_journal(&e->out, &bytes, err) : hn_out_sqlite(&e->out, &bytes, err);
    if (st == HONE_OK) st = hn_write_file(e->ctx->io, &e->ctx->mem, path, bytes.p, bytes.n, err);
    hn_buffer_free(&bytes);
    return st == HONE_OK ? result_of(e, path, journal, out, err) : st;
}

static hone_status export_study(hone_context *ctx, const char *study, const hone_params *params,
                                hone_result **out, hone_error *err)
{
    struct exporter e = { .ctx = ctx };
    *out = NULL;
    hn_arena_init(&e.arena, &ctx->mem);
    hone_status st = export(&e, study, params, out, err);
    hn_study_close(e.study);
    hn_arena_clear(&e.arena);
    return st;
}

hone_status hone_study_export(hone_context *ctx, const char *study, const hone_params *params,
                              hone_result **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, export_study(ctx, study, params, out, err), err);
}
