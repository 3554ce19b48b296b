/* SPDX-License-Identifier: MIT
 *
 * Pruning rules; see prune.h. */
#include "plugin/tune/prune.h"
#include <math.h>

const char *const hn_pruner_names[HN_PRUNERS + 1] = { "none", "median", "hyperband", NULL };

/* Lower is better from here on. */
static double score(const struct hn_pruner *p, double v) { return p->maximize ? -v : v; }

/* The best value up to and at a step; NaN: there is none at a later or the same step to compare with. */
static double best_at(const struct hn_pruner *p, const struct hn_curve *c, int64_t step)
{
    double best = (double)NAN;
    int reached = 0;
    for (size_t i = 0; i < c->n && c->steps[i].step <= step; i++) {
        best = fmin(best, score(p, c->steps[i].value)); /* fmin passes over NaN */
        reached = c->steps[i].step == step;
    }
    return reached ? best : (double)NAN;
}

/* Is x above the median of the others' bests at this step? The median of an even number is the mean of its middle two. */
static int above_median(const struct hn_pruner *p, double x, int64_t step,
                        const struct hn_curve *others, size_t n)
{
    size_t m = 0;
    double low = (double)NAN, high = (double)NAN;
    for (size_t i = 0; i < n; i++) m += !isnan(best_at(p, &others[i], step));
    for (size_t i = 0; i < n; i++) {
        double v = best_at(p, &others[i], step);
        size_t below = 0, equal = 0;
        if (isnan(v)) continue;
        for (size_t k = 0; k < n; k++) {
            double w = best_at(p, &others[k], step);
            below += w < v;
            equal += w == v;
        }
        if (below <= (m - 1) / 2 && (m - 1) / 2 < below + equal) low = v;
        if (below <= m / 2 && m / 2 < below + equal) high = v;
    }
    return m > 0 && x > 0.5 * (low + high);
}

static int prune_median(const struct hn_pruner *p, const struct hn_curve *own,
                        const struct hn_curve *others, size_t n)
{
    int64_t step = own->steps[own->n - 1].step;
    size_t finished = 0;
    for (size_t i = 0; i < n; i++) finished += others[i].finished != 0;
    if (finished < (size_t)(p->startup > 0 ? p->startup : 5) || step <= p->warmup) return 0;
    return above_median(p, best_at(p, own, step), step, others, n);
}

/* ---- hyperband ------------------------------------------------------------------------------------------------------ */

static int eta_of(const struct hn_pruner *p) { return p->eta > 1 ? p->eta : 3; }

static int64_t first_of(const struct hn_pruner *p)
{
    int64_t first = p->first > 0 ? p->first : p->last / 100;
    return first > 0 ? first : 1;
}

int hn_prune_brackets(const struct hn_pruner *p)
{
    int n = 1;
    for (int64_t r = first_of(p); r <= p->last / eta_of(p); r *= eta_of(p)) n++;
    return n;
}

/* Brackets get trials in proportion to what makes their budgets equal: one of bracket s costs about eta^s times as much, so
 * that eta times fewer come into the next one. */
int hn_prune_bracket(const struct hn_pruner *p, int64_t number)
{
    int n = hn_prune_brackets(p), eta = eta_of(p);
    int64_t round = 0, size = 1;
    for (int s = 0; s < n; s++, size *= eta) round += size;
    int64_t at = number % round;
    for (int s = 0; s < n; s++) {
        size /= eta;
        if (at < size) return s;
        at -= size;
    }
    return n - 1;
}

static int is_rung(const struct hn_pruner *p, int bracket, int64_t step)
{
    int64_t r = first_of(p);
    for (int k = 0; r <= p->last; k++, r *= eta_of(p)) {
        if (k >= bracket && r == step) return r < p->last;
        if (r > p->last / eta_of(p)) break;
    }
    return 0;
}

static int prune_hyperband(const struct hn_pruner *p, const struct hn_curve *own,
                           const struct hn_curve *others, size_t n)
{
    int64_t step = own->steps[own->n - 1].step;
    int bracket = hn_prune_bracket(p, own->number);
    if (!is_rung(p, bracket, step)) return 0;
    double x = best_at(p, own, step);
    size_t m = 1, better = 0;
    for (size_t i = 0; i < n; i++) {
        double v = best_at(p, &others[i], step);
        if (isnan(v) || hn_prune_bracket(p, others[i].number) != bracket) continue;
        m++;
        better += v < x;
    }
    size_t stay = m / (size_t)eta_of(p);
    return better >= (stay > 0 ? stay : 1);
}

int hn_prune(const struct hn_pruner *p, const struct hn_curve *own, const struct hn_curve *others,
             size_t n)
{
    if (p->kind == HN_PRUNER_NONE || own->n == 0) return 0;
    if (isnan(own->steps[own->n - 1].value)) return 1;
    return p->kind == HN_PRUNER_MEDIAN ? prune_median(p, own, others, n)
                                       : prune_hyperband(p, own, others, n);
}
