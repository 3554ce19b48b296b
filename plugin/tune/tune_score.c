/* SPDX-License-Identifier: MIT
 *
 * What a trial is worth, as a line of text that is kept with it, and the settings it stands for. The line is
 *
 *     [default ]VALUE:BEST_EPOCH:EPOCHS VALUE:BEST_EPOCH:EPOCHS …[ | why it failed]
 *
 * with one item a fold; "default" marks the trial of the default settings. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/tune/graph_knobs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void hn_score_sum(struct hn_score *s)
{
    int64_t best[HN_MAX_FOLDS];
    double squares = 0;
    s->mean = 0;
    s->epochs = 0;
    for (int i = 0; i < s->n; i++) {
        s->mean += s->fold[i].value / s->n;
        s->epochs += s->fold[i].epochs;
        best[i] = s->fold[i].best_epoch;
    }
    for (int i = 0; i < s->n; i++) {
        double d = s->fold[i].value - s->mean;
        squares += d * d;
    }
    s->std = s->n ? sqrt(squares / s->n) : 0;
    int k = s->k ? s->k : s->n; /* rows that judge: those that train = 1 : k - 1 */
    s->noise = s->n > 1 && k > 1 ? squares / (s->n - 1) * (1.0 / s->n + 1.0 / (k - 1)) : 0;
    qsort(best, (size_t)s->n, sizeof *best, ascending);
    if (s->n) s->best_epoch = (best[(s->n - 1) / 2] + best[s->n / 2] + 1) / 2;
}

hone_status hn_score_write(const struct hn_score *s, struct hn_buffer *out, hone_error *err)
{
    char number[32];
    const struct hn_fold_result *bad = NULL;
    for (int i = 0; i < s->n; i++) {
        const struct hn_fold_result *f = &s->fold[i];
        hn_format_double(number, f->value);
        HN_TRY(hn_sink_printf(&out->sink, err, "%s%s:%lld:%lld", i ? " " : "", number,
                              (long long)f->best_epoch, (long long)f->epochs));
        if (!bad && f->state != HN_FOLD_COMPLETE) bad = f;
    }
    if (!bad) return HONE_OK;
    return hn_sink_printf(&out->sink, err, " | %s%s%s", bad->why.where,
                          bad->why.where[0] ? ": " : "", bad->why.text);
}

/* Sums of them are taken. */
static int is_epoch(int64_t n) { return n >= -1 && n <= INT64_MAX / 4 / HN_MAX_FOLDS; }

/* One item, of n bytes: 1 when it is one. */
static int read_item(const char *p, size_t n, struct hn_fold_result *f)
{
    size_t a = 0, b;
    while (a < n && p[a] != ':') a++;
    for (b = a + 1; b < n && p[b] != ':';) b++;
    return b < n && hn_parse_double(p, a, &f->value) &&
           hn_parse_i64(p + a + 1, b - a - 1, &f->best_epoch) &&
           hn_parse_i64(p + b + 1, n - b - 1, &f->epochs) && is_epoch(f->best_epoch) &&
           is_epoch(f->epochs);
}

hone_status hn_score_read(struct hn_score *s, struct hn_arena *arena, const char *note,
                          hone_error *err)
{
    size_t most = 1;
    for (const char *c = note; *c && *c != '|'; c++) most += *c == ' ';
    if (most > HN_MAX_FOLDS) most = HN_MAX_FOLDS;
    *s = (struct hn_score){ .fold = hn_arena_alloc(arena, most, sizeof *s->fold) };
    if (!s->fold) return hn_nomem(err, "a trial's folds", most * sizeof *s->fold);
    while (*note && *note != '|' && s->n < (int)most) {
        size_t n = strcspn(note, " |");
        struct hn_fold_result *f = &s->fold[s->n];
        if (read_item(note, n, f)) {
            f->state = isfinite(f->value) ? HN_FOLD_COMPLETE : HN_FOLD_FAILED;
            s->n++;
        }
        note += n + (note[n] == ' ');
    }
    hn_score_sum(s);
    return HONE_OK;
}

hone_status hn_tune_settings(struct hn_tune *t, const struct hn_trial *trial, hone_params **out,
                             hone_error *err)
{
    char buf[32];
    hone_params *p;
    *out = NULL;
    HN_TRY(hn_params_copy(t->base, &p, err));
    hone_status st = HONE_OK;
    int is_default = !strncmp(trial->note, "default", 7);
    for (int i = 0; st == HONE_OK && !is_default && i < t->space.n; i++) {
        const char *name = t->space.axes[i].name;
        if (isnan(trial->x[i]) || hn_knob_layer(name)) continue;
        if (strcmp(name, "impute")) /* a list begins anew; the last rule for all columns counts */
            st = hone_params_set(p, name, NULL, err);
        if (st == HONE_OK)
            st = hone_params_set(p, name, hn_axis_text(&t->space.axes[i], trial->x[i], buf), err);
    }
    if (st == HONE_OK && !is_default) st = hn_knobs_settings(t, trial, p, err);
    if (st != HONE_OK)
        hone_params_destroy(p);
    else
        *out = p;
    return st;
}
