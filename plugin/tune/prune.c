/* SPDX-License-Identifier: MIT
 *
 * Pruning rules; see prune.h. */
#include "plugin/tune/prune.h"
#include <math.h>
#include <stdlib.h>

const char *const hn_pruner_names[HN_PRUNERS + 1] = { "none", "median", "hyperband", NULL };

static double lower_is_better(const struct hn_steps *s, double v) { return s->maximize ? -v : v; }
static int64_t last_of(const struct hn_steps *s) { return s->folds * s->epochs; }

/* ---- scores ----------------------------------------------------------------------------------------------------------- */

int hn_course_scores(const struct hn_steps *s, const struct hn_fold_curve *fold, int n, double *out,
                     struct hn_fold_curve *scores)
{
    double before = 0;
    int f = 0;
    for (; f < n && fold[f].n > 0; f++) {
        double best = (double)NAN;
        scores[f] = (struct hn_fold_curve){ out, fold[f].n };
        for (size_t e = 0; e < fold[f].n; e++) {
            best = fmin(best, lower_is_better(s, fold[f].v[e])); /* passes over NaN */
            *out++ = (before + best) / (f + 1);
        }
        before += best;
    }
    return f;
}

double hn_course_at(const struct hn_course *c, int fold, int64_t epoch)
{
    if (fold >= c->folds) return (double)NAN;
    const struct hn_fold_curve *s = &c->score[fold];
    if (epoch <= (int64_t)s->n) return s->v[epoch - 1];
    return c->complete || fold + 1 < c->folds ? s->v[s->n - 1] : (double)NAN;
}

/* The scores of the others that have been there: how many. */
static size_t gather(const struct hn_rule *r, int fold, int64_t epoch, int bracket)
{
    size_t m = 0;
    for (size_t i = 0; i < r->n; i++) {
        double v = hn_course_at(&r->others[i], fold, epoch);
        if (!isnan(v) && (bracket < 0 || r->others[i].bracket == bracket)) r->work[m++] = v;
    }
    return m;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- median ----------------------------------------------------------------------------------------------------------- */

/* The median of an even number is the mean of its middle two. */
static double median_bar(const struct hn_rule *r, int fold, int64_t epoch)
{
    int complete = 0;
    int64_t warmup = r->pruner.warmup > 0 ? r->pruner.warmup : r->steps.epochs / 10;
    if (fold * r->steps.epochs + epoch < warmup) return (double)INFINITY;
    for (size_t i = 0; i < r->n; i++) complete += r->others[i].complete != 0;
    size_t m = complete < r->pruner.startup ? 0 : gather(r, fold, epoch, -1);
    if (!m) return (double)INFINITY;
    qsort(r->work, m, sizeof *r->work, ascending);
    return 0.5 * (r->work[(m - 1) / 2] + r->work[m / 2]);
}

/* ---- hyperband -------------------------------------------------------------------------------------------------------- */

static int64_t first_rung(const struct hn_pruner *p, const struct hn_steps *s)
{
    int64_t first = p->warmup > 0 ? p->warmup : last_of(s) / 100;
    return first > 0 ? first : 1;
}

int hn_prune_brackets(const struct hn_pruner *p, const struct hn_steps *s)
{
    int n = 1;
    for (int64_t r = first_rung(p, s); r <= last_of(s) / p->eta; r *= p->eta) n++;
    return n;
}

/* Brackets get trials in proportion to what makes their budgets equal: one of bracket s costs about eta^s times as much, so
 * that eta times fewer come into the next one, evenly spread: each trial goes where most are missing. */
int hn_prune_bracket(const struct hn_pruner *p, const struct hn_steps *s, int64_t number)
{
    enum { MOST = 64 };
    int n = hn_prune_brackets(p, s), pick = 0;
    int64_t size[MOST], missing[MOST] = { 0 }, round = 0, w = 1;
    for (int b = n; b-- > 0; w *= p->eta) size[b] = w, round += w;
    for (int64_t t = 0; t <= number % round; t++) {
        pick = 0;
        for (int b = 0; b < n; b++) {
            missing[b] += size[b];
            if (missing[b] > missing[pick]) pick = b;
        }
        missing[pick] -= round;
    }
    return pick;
}

static int is_rung(const struct hn_rule *r, int64_t step)
{
    int64_t rung = first_rung(&r->pruner, &r->steps), last = last_of(&r->steps);
    for (int k = 0; rung <= step && rung < last; k++, rung *= r->pruner.eta) {
        if (rung == step) return k >= r->bracket;
        if (rung > last / r->pruner.eta) break;
    }
    return 0;
}

static double hyperband_bar(const struct hn_rule *r, int fold, int64_t epoch)
{
    if (!is_rung(r, fold * r->steps.epochs + epoch)) return (double)INFINITY;
    size_t m = gather(r, fold, epoch, r->bracket), stay = (m + 1) / (size_t)r->pruner.eta;
    if (stay == 0) stay = 1;
    if (m < stay) return (double)INFINITY;
    qsort(r->work, m, sizeof *r->work, ascending);
    return r->work[stay - 1];
}

double hn_prune_bar(const struct hn_rule *r, int fold, int64_t epoch)
{
    if (r->pruner.kind == HN_PRUNER_MEDIAN) return median_bar(r, fold, epoch);
    if (r->pruner.kind == HN_PRUNER_HYPERBAND) return hyperband_bar(r, fold, epoch);
    return (double)INFINITY;
}

/* ---- a running trial -------------------------------------------------------------------------------------------------- */

void hn_watch_value(struct hn_watch *w, double value)
{
    w->best = fmin(w->best, lower_is_better(&w->rule->steps, value));
}

int hn_watch_fails(const struct hn_watch *w, int64_t epoch)
{
    double bar = hn_prune_bar(w->rule, w->fold, epoch);
    return bar < (double)INFINITY && !((w->before + w->best) / (w->fold + 1) <= bar);
}

/* Judged at the later epochs, too, at which the fold stands with what it has: by the median at the last of them. */
int hn_watch_end(const struct hn_watch *w, int64_t epochs)
{
    const struct hn_steps *s = &w->rule->steps;
    const struct hn_pruner *p = &w->rule->pruner;
    int64_t first = w->fold * s->epochs + epochs, last = (w->fold + 1) * s->epochs;
    if (w->fold + 1 == s->folds || epochs >= s->epochs) return 0;
    if (p->kind != HN_PRUNER_HYPERBAND) return hn_watch_fails(w, s->epochs);
    for (int64_t r = first_rung(p, s); r <= last; r *= p->eta) {
        if (r > first && hn_watch_fails(w, r - w->fold * s->epochs)) return 1;
        if (r > last / p->eta) break;
    }
    return 0;
}

/* ---- what it would have come to --------------------------------------------------------------------------------------- */

static int by_score(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Pairs (score, value) in order: levels that never fall, made by averaging neighbours that do. */
static void level(const double *pair, size_t m, double *out)
{
    for (size_t i = 0; i < m; i++) {
        size_t from = i;
        double sum = pair[2 * i + 1], mean = sum;
        while (from > 0 && out[from - 1] >= mean) {
            sum += pair[2 * --from + 1];
            mean = sum / (double)(i - from + 1);
        }
        for (size_t k = from; k <= i; k++) out[k] = mean;
    }
}

double hn_prune_estimate(const struct hn_rule *r, int fold, int64_t epoch, double score,
                         double *work, double *noise)
{
    double *pair = work, *line = work + 2 * r->n;
    size_t m = 0, i = 0;
    *noise = 0;
    for (size_t k = 0; k < r->n; k++) {
        double there = hn_course_at(&r->others[k], fold, epoch);
        if (!r->others[k].complete || isnan(there)) continue;
        pair[2 * m] = there;
        pair[2 * m++ + 1] = r->others[k].value;
    }
    if (!m) return score;
    qsort(pair, m, 2 * sizeof *pair, by_score);
    level(pair, m, line);
    for (size_t k = 0; k < m; k++) {
        double d = pair[2 * k + 1] - line[k];
        *noise += d * d / (double)m;
    }
    while (i < m && pair[2 * i] <= score) i++;
    if (i == 0) return line[0];
    if (i == m) return line[m - 1] + (score - pair[2 * m - 2]);
    double part = (score - pair[2 * i - 2]) / (pair[2 * i] - pair[2 * i - 2]);
    return line[i - 1] + part * (line[i] - line[i - 1]);
}
