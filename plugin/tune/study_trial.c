/* SPDX-License-Identifier: MIT
 *
 * Trials as rows: settings as lines "name=value" (what a space has no word for is left out), the sampler's memo as numbers
 * between blanks, a value that is not there as NULL. */
#include "ops/base/json.h"
#include "plugin/tune/study_own.h"
#include <math.h>
#include <string.h>

const char *const hn_trial_state_names[] = { "waiting", "running", "done", "pruned", "failed" };

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static hone_status bad_row(struct hn_study *s, int64_t number, hone_error *err)
{
    return hn_fail(err, HONE_E_CORRUPT, s->opts.path,
                   "the study is damaged: trial %lld makes no sense", (long long)number);
}

/* One line "name=value", taken to pieces in its place. */
static int read_param(const struct hn_search_space *space, char *line, double *x)
{
    char *value = strchr(line, '=');
    if (!value) return 0;
    *value++ = '\0';
    int i = hn_space_find(space, line);
    return i >= 0 && hn_axis_read(&space->axes[i], value, &x[i]);
}

/* 1, 0 for what makes no sense, -1: out of memory. */
static int read_params(struct hn_study *s, const char *text, double *x)
{
    char *copy = hn_arena_strdup(&s->rows, text), *rest = copy, *line;
    int ok = copy ? 1 : -1;
    for (int i = 0; i < s->space.n; i++) x[i] = (double)NAN;
    while (ok > 0 && rest && *rest && (line = strsep(&rest, "\n")))
        ok = read_param(&s->space, line, x);
    return ok;
}

static int read_memo(const char *text, struct hn_memo *memo)
{
    memo->n = 0;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " ");
        if (memo->n == HN_MEMO || !hn_parse_double(p, n, &memo->v[memo->n])) return 0;
        memo->n++;
        p += n + (p[n] == ' ');
    }
    return 1;
}

static double real(const struct hn_cell *c)
{
    if (c->type == HN_CELL_REAL) return c->d;
    return c->type == HN_CELL_INT ? (double)c->i : (double)NAN;
}

enum { MOST_ATTEMPTS = 1000000000 };

static const char columns[] =
    "SELECT number, state, value, noise, params, memo, owner, lease, attempts, "
    "epochs, seconds, note FROM trial ORDER BY number";

static hone_status take_trial(void *user, const struct hn_cell *c, int n, hone_error *err)
{
    struct hn_study *s = user;
    static const enum hn_cell_type want[] = { HN_CELL_INT,  HN_CELL_INT,  HN_CELL_NULL,
                                              HN_CELL_NULL, HN_CELL_TEXT, HN_CELL_TEXT,
                                              HN_CELL_TEXT, HN_CELL_INT,  HN_CELL_INT,
                                              HN_CELL_INT,  HN_CELL_NULL, HN_CELL_TEXT };
    int64_t number = (int64_t)s->n;
    if (n != 12 || c[0].i != number) return bad_row(s, number, err);
    for (int i = 0; i < 12; i++)
        if (want[i] != HN_CELL_NULL && c[i].type != want[i]) return bad_row(s, number, err);
    if (c[1].i < 0 || c[1].i > HN_TRIAL_FAILED || c[8].i < 0 || c[8].i > MOST_ATTEMPTS)
        return bad_row(s, number, err);
    struct hn_trial t = { .number = number,
                          .state = (enum hn_trial_state)c[1].i,
                          .x = hn_arena_alloc(&s->rows, (size_t)s->space.n, sizeof(double)),
                          .value = real(&c[2]),
                          .noise = real(&c[3]),
                          .owner = hn_arena_strdup(&s->rows, c[6].s),
                          .lease_until_ms = c[7].i,
                          .attempts = (int)c[8].i,
                          .epochs = c[9].i,
                          .seconds = real(&c[10]),
                          .note = hn_arena_strdup(&s->rows, c[11].s) };
    if (!t.x || !t.owner || !t.note) return hn_nomem(err, "the trials of a study", s->n);
    int ok = read_params(s, c[4].s, t.x);
    if (ok < 0) return hn_nomem(err, "the trials of a study", strlen(c[4].s));
    if (!ok || !read_memo(c[5].s, &t.memo)) return bad_row(s, number, err);
    if (!HN_PUSH(&s->ctx->mem, s->trials, s->n, s->cap, t))
        return hn_nomem(err, "the trials of a study", s->n);
    return HONE_OK;
}

hone_status hn_study_load(struct hn_study *s, hone_error *err)
{
    hn_arena_clear(&s->rows);
    s->n = 0;
    return hn_study_query(s, &(struct hn_query){ .sql = columns, .row = take_trial, .user = s },
                          err);
}

hone_status hn_study_trials(struct hn_study *s, const struct hn_trial **trials, size_t *n,
                            hone_error *err)
{
    HN_TRY(hn_study_load(s, err));
    *trials = s->trials;
    *n = s->n;
    return HONE_OK;
}

int64_t hn_best_trial(const struct hn_trial *trials, size_t n, int maximize)
{
    int64_t best = -1;
    for (size_t i = 0; i < n; i++) {
        const struct hn_trial *t = &trials[i];
        if (t->state != HN_TRIAL_DONE || !isfinite(t->value)) continue;
        if (best < 0 || (maximize ? t->value > trials[best].value : t->value < trials[best].value))
            best = (int64_t)i;
    }
    return best;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static hone_status params_text(const struct hn_search_space *space, const double *x,
                               struct hn_sink *out, hone_error *err)
{
    char buf[32];
    int any = 0;
    for (int i = 0; i < space->n; i++) {
        const struct hn_axis *a = &space->axes[i];
        if (isnan(x[i])) continue;
        HN_TRY(hn_sink_printf(out, err, "%s%s=%s", any ? "\n" : "", a->name,
                              hn_axis_text(a, x[i], buf)));
        any = 1;
    }
    return HONE_OK;
}

static hone_status memo_text(const struct hn_memo *memo, struct hn_sink *out, hone_error *err)
{
    char buf[32];
    for (int i = 0; i < memo->n; i++) {
        hn_format_double(buf, memo->v[i]);
        HN_TRY(hn_sink_printf(out, err, "%s%s", i ? " " : "", buf));
    }
    return HONE_OK;
}

hone_status hn_study_insert(struct hn_study *s, const struct hn_trial *t, hone_error *err)
{
    struct hn_buffer params, memo;
    hn_buffer_init(&params, &s->ctx->mem);
    hn_buffer_init(&memo, &s->ctx->mem);
    hone_status st = params_text(&s->space, t->x, &params.sink, err);
    if (st == HONE_OK) st = memo_text(&t->memo, &memo.sink, err);
    if (st == HONE_OK) {
        struct hn_cell args[] = { HN_INT(t->number),
                                  HN_INT(t->state),
                                  HN_TEXT(params.n ? params.p : ""),
                                  HN_TEXT(memo.n ? memo.p : ""),
                                  HN_TEXT(t->owner ? t->owner : ""),
                                  HN_INT(t->lease_until_ms),
                                  HN_INT(t->attempts),
                                  HN_TEXT(t->note ? t->note : ""),
                                  HN_INT(s->store->now_ms) };
        struct hn_query q = {
            "INSERT INTO trial(number, state, value, noise, params, memo, owner, lease, attempts, "
            "epochs, seconds, note, started) VALUES($1, $2, NULL, 0, $3, $4, $5, $6, $7, 0, 0, $8, "
            "$9)",
            args,
            9,
            NULL,
            NULL,
            NULL
        };
        st = hn_study_query(s, &q, err);
    }
    hn_buffer_free(&params);
    hn_buffer_free(&memo);
    return st;
}
