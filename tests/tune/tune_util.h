/* SPDX-License-Identifier: MIT
 *
 * What the tests of the search share: a space from one text with ';' between its lines, a search over a function. */
#ifndef HN_TEST_TUNE_UTIL_H
#define HN_TEST_TUNE_UTIL_H

#include "plugin/tune/sampler.h"
#include "tests/harness.h"
#include <math.h>

static inline hone_status space_from(struct hn_search_space *s, struct hn_mem *m, const char *text,
                                     hone_error *err)
{
    char line[512];
    hone_status st = HONE_OK;
    hn_space_init(s, m);
    for (const char *p = text; st == HONE_OK && *p;) {
        size_t n = strcspn(p, ";");
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        st = hn_space_add(s, line, NULL, err);
        p += n + (p[n] == ';');
    }
    return st == HONE_OK ? hn_space_finish(s, err) : st;
}

enum { UTIL_TRIALS = 300, UTIL_AXES = 12 };
struct search {
    struct hn_mem *mem;
    struct hn_search_space *space;
    struct hn_sampler_opts opts;
    int lag; /* 1: sequential */
    double (*f)(const double *x);
    int n;
    double x[UTIL_TRIALS][UTIL_AXES], y[UTIL_TRIALS];
    struct hn_past past[UTIL_TRIALS];
    struct hn_memo memo[UTIL_TRIALS];
};

/* Proposes trial s->n, which sees results up to s->n - lag; *done 1: exhausted. */
static inline hone_status search_step(struct search *s, int *done, hone_error *err)
{
    struct hn_past seen[UTIL_TRIALS];
    const struct hn_memo *memo = NULL;
    int t = s->n;
    for (int i = 0; i < t; i++) {
        seen[i] = s->past[i];
        if (i > t - s->lag) seen[i].outcome = HN_PAST_PENDING, seen[i].value = 1e9;
        if (s->memo[i].n) memo = &s->memo[i];
    }
    struct hn_ask ask = { s->mem, s->space, &s->opts, (uint32_t)t, seen, (size_t)t, memo };
    hone_status st = hn_sampler_propose(&ask, s->x[t], &s->memo[t], done, err);
    if (st != HONE_OK || *done) return st;
    s->y[t] = s->f(s->x[t]);
    s->past[t] = (struct hn_past){ s->x[t], s->y[t], 0,
                                   isfinite(s->y[t]) ? HN_PAST_VALUED : HN_PAST_FAILED };
    s->n++;
    return HONE_OK;
}

static inline double search_best(const struct search *s)
{
    double best = (double)INFINITY;
    for (int i = 0; i < s->n; i++) best = fmin(best, isfinite(s->y[i]) ? s->y[i] : best);
    return best;
}
#endif
