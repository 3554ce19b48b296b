/* SPDX-License-Identifier: MIT
 *
 * Opening a study: the settings it was made with are in its table "meta"; who opens it again must mean the same search. */
#include "ops/base/io.h"
#include "ops/base/json.h"
#include "plugin/tune/made_of.h"
#include "plugin/tune/study_own.h"
#include <math.h>
#include <string.h>

static const char meta_table[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)";
static const char trial_table[] =
    "CREATE TABLE IF NOT EXISTS trial(number BIGINT PRIMARY KEY, state BIGINT NOT NULL, "
    "value DOUBLE PRECISION, noise DOUBLE PRECISION NOT NULL, params TEXT NOT NULL, "
    "memo TEXT NOT NULL, owner TEXT NOT NULL, lease BIGINT NOT NULL, attempts BIGINT NOT NULL, "
    "epochs BIGINT NOT NULL, seconds DOUBLE PRECISION NOT NULL, note TEXT NOT NULL, "
    "started BIGINT, finished BIGINT)";
static const char curve_table[] =
    "CREATE TABLE IF NOT EXISTS curve(trial BIGINT NOT NULL, fold BIGINT NOT NULL, "
    "points TEXT NOT NULL, PRIMARY KEY(trial, fold))";
static const char *const tables[] = { meta_table, trial_table, curve_table };

hone_status hn_study_query(struct hn_study *s, const struct hn_query *q, hone_error *err)
{
    return s->store->kind->query(s->store, q, err);
}

/* Commits when st is HONE_OK, else rolls back and returns st. */
static hone_status end(struct hn_study *s, hone_status st, hone_error *err)
{
    if (st == HONE_OK) return s->store->kind->commit(s->store, err);
    s->store->kind->rollback(s->store);
    return st;
}

hone_status hn_study_transact(struct hn_study *s,
                              hone_status (*body)(struct hn_study *, void *, hone_error *),
                              void *arg, hone_error *err)
{
    const struct hn_store_kind *kind = s->store->kind;
    for (;;) {
        hone_status st = kind->begin(s->store, err);
        if (st == HONE_OK) st = body(s, arg, err);
        st = end(s, st, err);
        if (st == HONE_OK || !kind->again || !kind->again(s->store, err)) return st;
    }
}

/* ---- settings -------------------------------------------------------------------------------------------------------- */

struct reply {
    struct hn_arena *arena;
    const char *text;
};

static hone_status take_text(void *user, const struct hn_cell *c, int n, hone_error *err)
{
    struct reply *r = user;
    if (n < 1 || c[0].type != HN_CELL_TEXT) return HONE_OK;
    r->text = hn_arena_strdup(r->arena, c[0].s);
    return r->text ? HONE_OK : hn_nomem(err, "a study's settings", strlen(c[0].s));
}

/* *out NULL: the study does not say. */
static hone_status get(struct hn_study *s, const char *key, const char **out, hone_error *err)
{
    struct reply r = { &s->arena, NULL };
    struct hn_cell args[] = { HN_TEXT(key) };
    struct hn_query q = { "SELECT value FROM meta WHERE key=$1", args, 1, take_text, &r, NULL };
    hone_status st = hn_study_query(s, &q, err);
    *out = r.text;
    return st;
}

static hone_status put(struct hn_study *s, const char *key, const char *value, hone_error *err)
{
    struct hn_cell args[] = { HN_TEXT(key), HN_TEXT(value) };
    struct hn_query q = {
        "INSERT INTO meta(key, value) VALUES($1, $2)", args, 2, NULL, NULL, NULL
    };
    return hn_study_query(s, &q, err);
}

static hone_status put_number(struct hn_study *s, const char *key, uint64_t v, hone_error *err)
{
    const char *text = hn_arena_printf(&s->arena, "%llu", (unsigned long long)v);
    return text ? put(s, key, text, err) : hn_nomem(err, "a study's settings", 24);
}

static hone_status damaged(struct hn_study *s, const char *key, hone_error *err)
{
    return hn_fail(err, HONE_E_CORRUPT, s->opts.path,
                   "the study is damaged: its '%s' is missing or "
                   "makes no sense",
                   key);
}

static hone_status differs(struct hn_study *s, const char *what, const char *theirs,
                           const char *ours, hone_error *err)
{
    hone_status st = hn_fail(err, HONE_E_USAGE, s->opts.path,
                             "the study has another %s: found %s, wanted %s", what, theirs, ours);
    return hn_hint(err, st, "use another study file, or the settings this one was made with");
}

/* A word of a list: kept from the study, or compared with what is wanted. */
static hone_status match_word(struct hn_study *s, const char *key, const char *const *words,
                              int keep, int *value, hone_error *err)
{
    const char *text;
    int i = 0;
    HN_TRY(get(s, key, &text, err));
    while (text && words[i] && strcmp(words[i], text) != 0) i++;
    if (!text || !words[i]) return damaged(s, key, err);
    if (!keep && i != *value) return differs(s, key, words[i], words[*value], err);
    *value = i;
    return HONE_OK;
}

static hone_status match_number(struct hn_study *s, const char *key, int keep, uint64_t *value,
                                hone_error *err)
{
    const char *text;
    uint64_t v = 0;
    HN_TRY(get(s, key, &text, err));
    if (!text || !*text || strspn(text, "0123456789") != strlen(text)) return damaged(s, key, err);
    for (const char *p = text; *p; p++) v = v * 10 + (uint64_t)(*p - '0');
    if (!keep && v != *value) {
        const char *ours = hn_arena_printf(&s->arena, "%llu", (unsigned long long)*value);
        return differs(s, key, text, ours ? ours : "another", err);
    }
    *value = v;
    return HONE_OK;
}

/* A study without a word about it is one from before there was pruning. */
static hone_status match_pruner(struct hn_study *s, int keep, hone_error *err)
{
    struct hn_pruner *p = &s->opts.pruner;
    const char *text;
    int kind = (int)p->kind;
    uint64_t startup = (uint64_t)p->startup, warmup = (uint64_t)p->warmup, eta = (uint64_t)p->eta;
    HN_TRY(get(s, "pruner", &text, err));
    if (!text && (keep || !kind)) {
        p->kind = HN_PRUNER_NONE;
        return HONE_OK;
    }
    if (!text) return differs(s, "pruner", "none", hn_pruner_names[kind], err);
    HN_TRY(match_word(s, "pruner", hn_pruner_names, keep, &kind, err));
    HN_TRY(match_number(s, "prune-startup", keep, &startup, err));
    HN_TRY(match_number(s, "prune-warmup", keep, &warmup, err));
    HN_TRY(match_number(s, "prune-eta", keep, &eta, err));
    *p = (struct hn_pruner){ (enum hn_pruner_kind)kind, (int)startup, (int)warmup, (int)eta };
    return HONE_OK;
}

/* Another model, other data or settings: which, where the study says what it was made of. */
static hone_status made_else(struct hn_study *s, const char *print, hone_error *err)
{
    const char *theirs, *ours = s->opts.made_of, *wanted = s->opts.fingerprint;
    struct hn_buffer what;
    HN_TRY(get(s, "made_of", &theirs, err));
    hn_buffer_init(&what, &s->ctx->mem);
    hone_status st = theirs && ours ? hn_made_differs(theirs, ours, &what, err) : HONE_OK;
    if (st == HONE_OK && what.n)
        st = hn_hint(err,
                     hn_fail(err, HONE_E_USAGE, s->opts.path,
                             "the study was made with something else: %.300s", what.p),
                     "use another study file, or the settings this one was made with");
    else if (st == HONE_OK)
        st = differs(s, "model, data or fixed setting", print[0] ? print : "none",
                     wanted[0] ? wanted : "none", err);
    hn_buffer_free(&what);
    return st;
}

/* A study from before it was kept is given it now. */
static hone_status keep_made_of(struct hn_study *s, hone_error *err)
{
    const char *text;
    if (!s->opts.made_of || s->opts.read_only) return HONE_OK;
    HN_TRY(get(s, "made_of", &text, err));
    return text ? HONE_OK : put(s, "made_of", s->opts.made_of, err);
}

static const char *const directions[] = { "minimize", "maximize", NULL };

static hone_status match_settings(struct hn_study *s, hone_error *err)
{
    struct hn_study_opts *o = &s->opts;
    int kind = (int)o->sampler.kind, acquisition = (int)o->sampler.acquisition;
    uint64_t startup = (uint64_t)o->sampler.startup, lag = (uint64_t)o->lag;
    unsigned keep = o->keep;
    const char *print;
    HN_TRY(match_word(s, "sampler", hn_sampler_names, keep & HN_KEEP_SAMPLER, &kind, err));
    HN_TRY(match_word(s, "acquisition", hn_acquisition_names, keep & HN_KEEP_ACQUISITION,
                      &acquisition, err));
    HN_TRY(match_word(s, "direction", directions, keep & HN_KEEP_DIRECTION, &o->maximize, err));
    HN_TRY(match_number(s, "seed", keep & HN_KEEP_SEED, &o->sampler.seed, err));
    HN_TRY(match_number(s, "startup", keep & HN_KEEP_STARTUP, &startup, err));
    HN_TRY(match_number(s, "lag", keep & HN_KEEP_LAG, &lag, err));
    HN_TRY(match_pruner(s, (keep & HN_KEEP_PRUNER) != 0, err));
    HN_TRY(get(s, "fingerprint", &print, err));
    if (!print) return damaged(s, "fingerprint", err);
    if (o->fingerprint && strcmp(print, o->fingerprint) != 0) return made_else(s, print, err);
    HN_TRY(keep_made_of(s, err));
    o->sampler.kind = (enum hn_sampler_kind)kind;
    o->sampler.acquisition = (enum hn_acquisition)acquisition;
    o->sampler.startup = (int)startup;
    o->lag = (int)lag;
    o->fingerprint = print;
    return HONE_OK;
}

/* A space's text on one line, for a message. */
static const char *flat(struct hn_study *s, const char *text)
{
    char *copy = hn_arena_strdup(&s->arena, text);
    for (char *p = copy; p && *p; p++)
        if (*p == '\n') *p = ';';
    return copy ? copy : "another";
}

static hone_status match(struct hn_study *s, const struct hn_search_space *wanted, hone_error *err)
{
    const char *text;
    HN_TRY(get(s, "space", &text, err));
    if (!text) return damaged(s, "space", err);
    if (wanted && strcmp(text, wanted->text) != 0 && strcmp(text, wanted->loose) != 0) {
        text = flat(s, text);
        const char *ours = flat(s, wanted->text);
        hone_status st = hn_fail(err, HONE_E_USAGE, s->opts.path,
                                 "the study has another search space: found '%.300s', wanted "
                                 "'%.300s'",
                                 text, ours);
        return hn_hint(err, st, "use another study file for another space");
    }
    HN_TRY(hn_space_read(&s->space, &s->ctx->mem, text, err));
    return match_settings(s, err);
}

/* ---- the first time --------------------------------------------------------------------------------------------------- */

static hone_status write_settings(struct hn_study *s, const struct hn_search_space *space,
                                  hone_error *err)
{
    const struct hn_study_opts *o = &s->opts;
    HN_TRY(hn_sampler_check(space, &o->sampler, err));
    HN_TRY(put(s, "format", "hone.study/1", err));
    HN_TRY(put(s, "space", space->text, err));
    HN_TRY(put(s, "sampler", hn_sampler_names[o->sampler.kind], err));
    HN_TRY(put(s, "acquisition", hn_acquisition_names[o->sampler.acquisition], err));
    HN_TRY(put(s, "direction", directions[o->maximize], err));
    HN_TRY(put_number(s, "seed", o->sampler.seed, err));
    HN_TRY(put_number(s, "startup", (uint64_t)o->sampler.startup, err));
    HN_TRY(put_number(s, "lag", (uint64_t)o->lag, err));
    HN_TRY(put(s, "pruner", hn_pruner_names[o->pruner.kind], err));
    HN_TRY(put_number(s, "prune-startup", (uint64_t)o->pruner.startup, err));
    HN_TRY(put_number(s, "prune-warmup", (uint64_t)o->pruner.warmup, err));
    HN_TRY(put_number(s, "prune-eta", (uint64_t)o->pruner.eta, err));
    return put(s, "fingerprint", o->fingerprint ? o->fingerprint : "", err);
}

/* In the transaction that opening began, so that of two that come at once the second finds what the first has written. */
static hone_status settle(struct hn_study *s, const struct hn_search_space *space, hone_error *err)
{
    const char *format;
    for (size_t i = 0; s->store->fresh && i < sizeof tables / sizeof *tables; i++)
        HN_TRY(hn_study_query(s, &(struct hn_query){ .sql = tables[i] }, err));
    HN_TRY(get(s, "format", &format, err));
    if (!format && !space)
        return hn_fail(err, HONE_E_USAGE, s->opts.path,
                       "the study has no search space yet: wanted --space or --search");
    if (!format) HN_TRY(write_settings(s, space, err));
    if (format && strcmp(format, "hone.study/1") != 0) return damaged(s, "format", err);
    return match(s, space, err);
}

static hone_status open_study(struct hn_study *s, const struct hn_study_opts *opts, hone_error *err)
{
    s->opts = *opts;
    s->opts.space = NULL;
    if (s->opts.attempts == 0) s->opts.attempts = 3;
    s->opts.path = hn_store_shown(&s->arena, opts->path);
    if (!s->opts.path) return hn_nomem(err, "a study", strlen(opts->path));
    if (opts->fingerprint) {
        s->opts.fingerprint = hn_arena_strdup(&s->arena, opts->fingerprint);
        if (!s->opts.fingerprint) return hn_nomem(err, "a study", strlen(opts->fingerprint));
    }
    if (opts->lease_ms > 0) hn_owner_self(s->ctx->io, s, s->owner);
    const struct hn_store_kind *kind =
        hn_store_is_uri(opts->path) ? &hn_store_postgres : &hn_store_sqlite;
    enum hn_store_open how = opts->space       ? HN_STORE_MAKE
                             : opts->read_only ? HN_STORE_READ
                                               : HN_STORE_USE;
    HN_TRY(kind->open(s->ctx, opts->path, how, &s->store, err));
    HN_TRY(end(s, settle(s, opts->space, err), err));
    s->opts.space = &s->space;
    return HONE_OK;
}

hone_status hn_study_open(hone_context *ctx, const struct hn_study_opts *opts,
                          struct hn_study **out, hone_error *err)
{
    struct hn_study *s = hn_calloc(&ctx->mem, 1, sizeof *s);
    *out = NULL;
    if (!s) return hn_nomem(err, "a study", sizeof *s);
    s->ctx = ctx;
    hn_arena_init(&s->arena, &ctx->mem);
    hn_arena_init(&s->rows, &ctx->mem);
    hone_status st = open_study(s, opts, err);
    if (st == HONE_OK)
        *out = s;
    else
        hn_study_close(s);
    return st;
}

void hn_study_close(struct hn_study *s)
{
    if (!s) return;
    if (s->store) s->store->kind->close(s->store);
    hn_space_clear(&s->space);
    hn_arena_clear(&s->rows);
    hn_arena_clear(&s->arena);
    hn_free(&s->ctx->mem, s->trials);
    hn_free(&s->ctx->mem, s);
}

const struct hn_search_space *hn_study_space(const struct hn_study *s) { return &s->space; }
const struct hn_study_opts *hn_study_settings(const struct hn_study *s) { return &s->opts; }
