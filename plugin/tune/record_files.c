/* SPDX-License-Identifier: MIT
 *
 * What a search leaves in its run folder: study.json (the result, from the first trials on), trials.csv (a line a trial),
 * metrics.json (its figures alone), best.yaml (the best settings for train --config), and from the start on tune.yaml (the parameters, for hone resume). */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "ops/base/utf8.h"
#include "plugin/data/data.h"
#include "plugin/model.h"
#include "plugin/plugins.h"
#include "plugin/train/job.h"
#include "plugin/tune/store.h"
#include "plugin/tune/study_open.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <string.h>

static const double WATCH_SECONDS = 1; /* between study.json of a search that runs, at least */
static const double WATCH_COST = 50;   /* it may take 1/50 of the time */

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

/* What a quoted text of YAML cannot hold as it is: bytes that are no UTF-8 (names of files may be any), control characters,
 * what counts as a line break or a mark of byte order. */
static int is_binary(const char *text)
{
    static const char *const odd[] = { "\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF",
                                       "\xEF\xBF\xBE", "\xEF\xBF\xBF" };
    size_t n = strlen(text), len;
    for (const char *c = text; *c; c += len, n -= len) {
        len = hn_utf8_len(c, n);
        if (!len || (unsigned char)*c < 32 || *c == 127) return 1;
        if (len == 2 && *c == '\xC2' && (unsigned char)c[1] < 0xA0) return 1;
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
            if (!strncmp(c, odd[i], strlen(odd[i]))) return 1;
    }
    return 0;
}

static hone_status yaml_binary(struct hn_sink *s, const char *text, hone_error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)text;
    size_t n = strlen(text), step;
    HN_TRY(hn_sink_str(s, "!!binary '", err));
    for (; n; n -= step, p += step) {
        step = n < 3 ? n : 3;
        unsigned v = p[0] * 65536u + (n > 1 ? p[1] * 256u : 0) + (n > 2 ? p[2] : 0);
        HN_TRY(hn_sink_printf(s, err, "%c%c%c%c", digits[v >> 18], digits[v >> 12 & 63],
                              n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='));
    }
    return hn_sink_str(s, "'", err);
}

/* In quotes, unless it is a plain word or number. */
static hone_status yaml_text(struct hn_sink *s, const char *text, hone_error *err)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
    if (text[0] && text[0] != '-' && strspn(text, plain) == strlen(text))
        return hn_sink_str(s, text, err);
    if (is_binary(text)) return yaml_binary(s, text, err);
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

/* What the data are made into before they are learned from belongs to the settings; where they are does not. */
static int is_of_best(const hone_param_info *i)
{
    static const char *const data[] = { "x-scale", "scale", "scale-target", "scale-again",
                                        "impute" };
    for (size_t k = 0; k < sizeof data / sizeof *data; k++)
        if (!strcmp(i->name, data[k])) return 1;
    return !strcmp(i->group, "training");
}

/* The settings of the model that leaves, where the best trial was trained again on all rows; else the trial's own. */
static hone_status write_best(struct hn_tune *t, struct hn_buffer *b, hone_error *err)
{
    const struct hn_trial *trials;
    hone_param_info info = { .size = sizeof info };
    hone_params *p;
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    int again = t->refit.done && t->refit.accepted && !strcmp(t->refit.kind, "all");
    HN_TRY(again ? hn_refit_settings(t, &trials[t->best], 1, &p, err)
                 : hn_tune_settings(t, &trials[t->best], &p, err));
    hone_status st =
        hn_sink_printf(&b->sink, err, "# trial %lld%s\n", (long long)t->best,
                       again ? " as it was trained again: hone train --config with this, the "
                               "same data and test rows gives the same weights"
                             : "");
    for (size_t i = 0; st == HONE_OK && hone_param_at(i, &info); i++) {
        if (!is_of_best(&info) || hn_options_idle(p, &info)) continue;
        if (hone_params_is_set(p, info.name)) st = yaml_param(&b->sink, p, &info, err);
    }
    hone_params_destroy(p);
    return st == HONE_OK ? write_named(t, "best.yaml", b, err) : st;
}

/* With its hash: what continues the search must be the same. */
static const char *plugin_text(struct hn_tune *t, const char *text)
{
    char pinned[HN_PLUGIN_PINNED];
    const char *copy = hn_arena_strdup(&t->arena, hn_plugin_pinned(t->ctx, text, pinned));
    return copy ? copy : text;
}

/* As it was given, but for the folder itself and its own study, which may move, and for a study's password. NULL: left out. */
static const char *setting_text(struct hn_tune *t, const char *name, size_t at)
{
    static const char *const left[] = { "run-dir", "force" };
    const char *text = hone_params_get(t->params, name, at);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        if (!strcmp(name, left[i])) return NULL;
    if (text && !strcmp(name, "plugin")) return plugin_text(t, text);
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

/* For people who look at it meanwhile: it may be lost with the machine. */
static hone_status replace_json(struct hn_tune *t, const struct hn_buffer *b, hone_error *err)
{
    char *path = hn_path_join(&t->ctx->mem, t->dir, "study.json");
    if (!path) return hn_nomem(err, "study.json", strlen(t->dir));
    hone_status st = hn_replace_file(t->ctx->io, &t->ctx->mem, path, b->p, b->n, err);
    hn_free(&t->ctx->mem, path);
    return st;
}

static hone_status write_json(struct hn_tune *t, const hone_result *r, struct hn_buffer *b,
                              hone_error *err)
{
    HN_TRY(hn_result_write(r, 1, &b->sink, err));
    HN_TRY(hn_sink_str(&b->sink, "\n", err));
    return t->running ? replace_json(t, b, err) : write_named(t, "study.json", b, err);
}

static hone_status write_figures(struct hn_tune *t, const hone_result *r, hone_error *err)
{
    static const char *const figures[] = { "best_trial", "best_value", "baseline", "comparison",
                                           "refit",      "ensemble",   "nested",   "test" };
    struct hn_buffer b;
    if (t->running) return HONE_OK;
    hn_buffer_init(&b, &t->ctx->mem);
    hone_status st =
        hn_result_write_figures(r, figures, sizeof figures / sizeof *figures, &b.sink, err);
    if (st == HONE_OK) st = write_named(t, "metrics.json", &b, err);
    hn_buffer_free(&b);
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
    if (st == HONE_OK) st = write_figures(t, r, err);
    if (st == HONE_OK) st = write_json(t, r, &json, err);
    hn_buffer_free(&csv);
    hn_buffer_free(&best);
    hn_buffer_free(&json);
    return st;
}

/* ---- while it runs, and when it fails -------------------------------------------------------------------------------------- */

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

static hone_status watch(struct hn_tune *t)
{
    struct hn_arena own = t->arena; /* what is written now is forgotten after */
    hn_arena_init(&t->arena, &t->ctx->mem);
    t->running = 1;
    hone_status st = write_running(t, NULL);
    hn_arena_clear(&t->arena);
    t->arena = own;
    t->running = t->beaten = 0;
    t->best = -1;
    return st;
}

void hn_tune_watch(struct hn_tune *t)
{
    double start = hn_seconds();
    if (!t->dir || start < t->watched) return;
    hone_status st = watch(t);
    double end = hn_seconds(), wait = WATCH_COST * (end - start);
    if (wait < WATCH_SECONDS) wait = WATCH_SECONDS;
    t->watched = end + (st == HONE_OK ? wait : 30 * wait); /* if it still fails, the end says so */
}

/* "stop_reason" and "error" as study.json has them: lines of the outermost object, without its braces. */
static hone_status end_lines(const hone_error *why, struct hn_buffer *b, hone_error *err)
{
    struct hn_json j;
    hn_json_begin(&j, &b->sink, 1, err);
    hn_json_object(&j, NULL);
    hn_json_string(&j, "stop_reason", "error");
    hn_json_object(&j, "error");
    hn_json_string(&j, "where", why->where);
    hn_json_string(&j, "text", why->text);
    hn_json_close(&j);
    hn_json_close(&j);
    return hn_json_end(&j);
}

/* text: study.json as it was last written. One blank at the start of a line is a key of the outermost object. */
static hone_status put_end(const char *text, const hone_error *why, struct hn_buffer *out,
                           hone_error *err)
{
    static const char key[] = "\n \"stop_reason\": \"", more[] = ",\n \"error\": {";
    struct hn_buffer lines;
    const char *from = strstr(text, key), *to = from ? from + strlen(key) : NULL;
    if (to && (to = strchr(to, '"'))) to++;
    if (to && !strncmp(to, more, strlen(more)) && (to = strstr(to, "\n }"))) to += strlen("\n }");
    if (!to) return hn_fail(err, HONE_E_CORRUPT, "study.json", "was not written by a search");
    hn_buffer_init(&lines, out->mem);
    hone_status st = end_lines(why, &lines, err);
    if (st == HONE_OK) st = out->sink.write(&out->sink, text, (size_t)(from - text), err);
    if (st == HONE_OK) /* without { and \n} */
        st = out->sink.write(&out->sink, lines.p + 1, lines.n - strlen("{\n}"), err);
    if (st == HONE_OK) st = hn_sink_str(&out->sink, to, err);
    hn_buffer_free(&lines);
    return st;
}

/* The study cannot be read any more: what was last written stays, but for its end. */
static hone_status rewrite_end(struct hn_tune *t, hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    struct hn_file f = { 0 };
    struct hn_buffer was, now;
    char *path = hn_path_join(m, t->dir, "study.json");
    hn_buffer_init(&was, m);
    hn_buffer_init(&now, m);
    hone_status st = path ? hn_file_open(&f, t->ctx->io, m, path, 0, err)
                          : hn_nomem(err, "study.json", strlen(t->dir));
    if (st == HONE_OK) st = was.sink.write(&was.sink, f.p, f.n, err);
    hn_file_close(&f);
    if (st == HONE_OK) st = put_end(was.p, t->failed, &now, err);
    if (st == HONE_OK) st = replace_json(t, &now, err);
    hn_buffer_free(&was);
    hn_buffer_free(&now);
    hn_free(m, path);
    return st;
}

/* Were the options, not the study, what did not fit? A file that is no database any more is refused as wrong use, too. */
static int is_other_use(struct hn_tune *t, const hone_error *why)
{
    static const char magic[] = "SQLite format 3";
    struct hn_file f;
    if (why->code != HONE_E_USAGE) return 0;
    if (hn_store_is_uri(t->path)) return 1;
    if (hn_file_open(&f, t->ctx->io, &t->ctx->mem, t->path, 0, NULL) != HONE_OK) return 1;
    const int database = f.n >= sizeof magic && !memcmp(f.p, magic, sizeof magic);
    hn_file_close(&f);
    return database;
}

/* A study that could not be opened is that of a search which is to go on, or there is nothing to write of. Who gave other
 * options than it was begun with has not made it fail. */
static int has_record(struct hn_tune *t, const hone_error *why)
{
    if (!t->dir || !t->path) return 0;
    if (t->study) return 1;
    char *path = hn_path_join(&t->ctx->mem, t->dir, "study.json");
    const int there = path && hn_path_exists(t->ctx->io, path) && !is_other_use(t, why);
    hn_free(&t->ctx->mem, path);
    return there;
}

void hn_tune_failed(struct hn_tune *t, const hone_error *why)
{
    if (!has_record(t, why)) return;
    t->failed = why;
    if ((!t->study || watch(t) != HONE_OK) && rewrite_end(t, NULL) != HONE_OK)
        hn_log(t->ctx, HONE_LOG_WARNING, "%s/study.json could not be told that the search failed",
               t->dir);
    t->failed = NULL;
}
