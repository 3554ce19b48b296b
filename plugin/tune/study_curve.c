/* SPDX-License-Identifier: MIT
 *
 * Learning curves of trials that have ended: a row a fold, the values as numbers between blanks. */
#include "ops/base/json.h"
#include "plugin/tune/study_own.h"
#include <string.h>

static hone_status text_of(const struct hn_fold_curve *c, struct hn_buffer *out, hone_error *err)
{
    char number[33];
    for (size_t i = 0; i < c->n; i++) {
        hn_format_double(number, c->v[i]);
        if (i) HN_TRY(hn_sink_str(&out->sink, " ", err));
        HN_TRY(hn_sink_str(&out->sink, number, err));
    }
    return HONE_OK;
}

hone_status hn_study_insert_curves(struct hn_study *s, int64_t number,
                                   const struct hn_fold_curve *curves, size_t n, hone_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct hn_buffer text;
        hn_buffer_init(&text, &s->ctx->mem);
        hone_status st = text_of(&curves[i], &text, err);
        if (st == HONE_OK) {
            struct hn_cell args[] = { HN_INT(number), HN_INT((int64_t)i),
                                      HN_TEXT(text.n ? text.p : "") };
            struct hn_query q = { .sql =
                                      "INSERT INTO curve(trial, fold, points) VALUES($1, $2, $3)",
                                  .args = args,
                                  .n_args = 3 };
            st = hn_study_query(s, &q, err);
        }
        hn_buffer_free(&text);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

struct reading {
    struct hn_study *s;
    struct hn_arena *arena;
    int64_t number;
    struct hn_fold_curve *v;
    size_t n, cap;
};

static hone_status damaged(const struct reading *r, hone_error *err)
{
    return hn_fail(err, HONE_E_CORRUPT, r->s->opts.path,
                   "the study is damaged: the learning curve of trial %lld makes no sense",
                   (long long)r->number);
}

static hone_status take_curve(void *user, const struct hn_cell *c, int n, hone_error *err)
{
    struct reading *r = user;
    if (n != 2 || c[0].type != HN_CELL_INT || c[1].type != HN_CELL_TEXT || c[0].i != (int64_t)r->n)
        return damaged(r, err);
    size_t most = 1;
    for (const char *p = c[1].s; *p; p++) most += *p == ' ';
    double *v = hn_arena_alloc(r->arena, most, sizeof *v);
    struct hn_fold_curve curve = { v, 0 };
    if (!v || !HN_PUSH(&r->s->ctx->mem, r->v, r->n, r->cap, curve))
        return hn_nomem(err, "a learning curve", most * sizeof *v);
    for (const char *p = c[1].s; *p;) {
        size_t len = strcspn(p, " ");
        if (!hn_parse_double(p, len, &v[r->v[r->n - 1].n++])) return damaged(r, err);
        p += len + (p[len] == ' ');
    }
    return HONE_OK;
}

hone_status hn_study_curves(struct hn_study *s, int64_t number, struct hn_arena *arena,
                            struct hn_fold_curve **curves, size_t *n, hone_error *err)
{
    struct reading r = { .s = s, .arena = arena, .number = number };
    struct hn_cell args[] = { HN_INT(number) };
    struct hn_query q = { .sql = "SELECT fold, points FROM curve WHERE trial=$1 ORDER BY fold",
                          .args = args,
                          .n_args = 1,
                          .row = take_curve,
                          .user = &r };
    *curves = NULL;
    *n = 0;
    hone_status st = hn_study_query(s, &q, err);
    if (st == HONE_OK && r.n) {
        *curves = hn_arena_alloc(arena, r.n, sizeof **curves);
        if (*curves)
            memcpy(*curves, r.v, r.n * sizeof **curves);
        else
            st = hn_nomem(err, "a trial's learning curves", r.n * sizeof **curves);
        *n = *curves ? r.n : 0;
    }
    hn_free(&s->ctx->mem, r.v);
    return st;
}
