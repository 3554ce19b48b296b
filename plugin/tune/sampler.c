/* SPDX-License-Identifier: MIT
 *
 * Which sampler speaks, and the rules all of them share: nothing is proposed twice while there is anything new, and a space
 * that has been tried completely is exhausted. */
#include "plugin/tune/sampler.h"
#include "ops/base/rng.h"
#include "plugin/tune/sampler_own.h"
#include "plugin/tune/sobol.h"
#include <math.h>
#include <string.h>

enum { GRID_WITHOUT_LIMIT = 1000000, RETRIES = 64 };

const char *const hn_sampler_names[HN_SAMPLERS + 1] = { "manual", "grid", "random", "sobol",
                                                        "gp",     "tpe",  NULL };
const char *const hn_acquisition_names[HN_ACQUISITIONS + 1] = { "ei",  "logei",    "pi",
                                                                "ucb", "thompson", NULL };

/* ---- what was tried --------------------------------------------------------------------------------------------------- */

static uint64_t hash_point(const double *x, int n)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < n; i++) {
        double v = isnan(x[i]) ? (double)NAN : x[i] + 0.0; /* one NaN, one zero */
        uint64_t b;
        memcpy(&b, &v, sizeof b);
        h = (h ^ b) * 0xff51afd7ed558ccdu;
        h ^= h >> 33;
    }
    return h;
}

static int same_point(const double *a, const double *b, int n)
{
    for (int i = 0; i < n; i++)
        if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])))) return 0;
    return 1;
}

hone_status hn_tried_init(struct hn_tried *t, const struct hn_ask *ask, hone_error *err)
{
    size_t size = 16;
    while (size < 2 * ask->n) size *= 2;
    *t = (struct hn_tried){ ask, hn_calloc(ask->mem, size, sizeof *t->slots), size - 1 };
    if (!t->slots) return hn_nomem(err, "the tried points", size);
    for (size_t i = 0; i < ask->n; i++) {
        size_t at = (size_t)hash_point(ask->samples[i].x, ask->space->n) & t->mask;
        while (t->slots[at]) at = (at + 1) & t->mask;
        t->slots[at] = (uint32_t)i + 1;
    }
    return HONE_OK;
}

int hn_tried_has(const struct hn_tried *t, const double *x)
{
    int n = t->ask->space->n;
    size_t at = (size_t)hash_point(x, n) & t->mask;
    for (; t->slots[at]; at = (at + 1) & t->mask)
        if (same_point(t->ask->samples[t->slots[at] - 1].x, x, n)) return 1;
    return 0;
}

void hn_tried_free(struct hn_tried *t) { hn_free(t->ask->mem, t->slots); }

size_t hn_count_outcome(const struct hn_ask *ask, enum hn_outcome outcome)
{
    size_t n = 0;
    for (size_t i = 0; i < ask->n; i++) n += ask->samples[i].outcome == outcome;
    return n;
}

/* ---- points --------------------------------------------------------------------------------------------------------- */

static void settle_cube(const struct hn_search_space *s, double *x)
{
    for (int i = 0; i < s->n; i++) x[i] = hn_axis_decode(&s->axes[i], x[i]);
    hn_space_settle(s, x);
}

void hn_sobol_point(const struct hn_search_space *s, uint64_t seed, uint64_t i, double *x)
{
    uint32_t key[2];
    hn_rng_key(seed, 0, 0, key);
    for (int k = 0; k < s->n; k++) {
        struct hn_sobol axis;
        hn_sobol_init(&axis, k, key, HN_SEARCH_SCRAMBLE);
        x[k] = hn_sobol_at(&axis, (uint32_t)i);
    }
    settle_cube(s, x);
}

void hn_random_point(const struct hn_ask *ask, uint32_t attempt, double *x)
{
    uint32_t key[2];
    hn_rng_key(ask->opts->seed, ask->trial, 0, key);
    for (int k = 0; k < ask->space->n; k++)
        x[k] = hn_rng_uniform(key, HN_SEARCH_POINT, ((uint64_t)attempt << 32) + (uint64_t)k);
    settle_cube(ask->space, x);
}

int hn_any_left(const struct hn_ask *ask, const struct hn_tried *tried, double *x)
{
    int exact;
    uint32_t key[2];
    uint64_t count = hn_space_count(ask->space, 0, &exact);
    if (count > UINT32_MAX) return 0;
    hn_rng_key(ask->opts->seed, ask->trial, 0, key);
    uint64_t first = hn_rng_below(key, HN_SEARCH_RETRY, 0, (uint32_t)count);
    for (uint64_t k = 0; k < count; k++) {
        hn_space_point(ask->space, (first + k) % count, 0, x);
        if (!hn_tried_has(tried, x)) return 1;
    }
    return 0;
}

/* ---- proposing ------------------------------------------------------------------------------------------------------ */

static int startup_of(const struct hn_sampler_opts *o) { return o->startup > 0 ? o->startup : 10; }
int hn_startup(const struct hn_ask *ask) { return startup_of(ask->opts); }

static int is_modelled(const struct hn_sampler_opts *o)
{
    return o->kind == HN_SAMPLER_GP || o->kind == HN_SAMPLER_TPE;
}
int hn_sampler_learns(const struct hn_sampler_opts *o, int64_t trial)
{
    return is_modelled(o) && trial >= startup_of(o);
}

/* A point in place of one that was tried: random ones, then whatever is left of a finite space. 0: nothing is left. */
static int replace(const struct hn_ask *ask, const struct hn_tried *tried, double *x)
{
    int exact;
    for (uint32_t k = 1; k <= RETRIES; k++) {
        hn_random_point(ask, k, x);
        if (!hn_tried_has(tried, x)) return 1;
    }
    if (hn_space_count(ask->space, 0, &exact) == UINT64_MAX) return 1; /* as good as never */
    return hn_any_left(ask, tried, x);
}

static hone_status first_choice(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                                struct hn_memo *memo, hone_error *err)
{
    size_t valued = hn_count_outcome(ask, HN_PAST_VALUED);
    if (ask->opts->kind == HN_SAMPLER_SOBOL ||
        (ask->opts->kind == HN_SAMPLER_GP &&
         (ask->trial < (uint32_t)hn_startup(ask) || valued < 2))) {
        hn_sobol_point(ask->space, ask->opts->seed, ask->trial, x);
        return HONE_OK;
    }
    if (!is_modelled(ask->opts) || valued < 1 || ask->trial < (uint32_t)hn_startup(ask)) {
        hn_random_point(ask, 0, x);
        return HONE_OK;
    }
    if (ask->opts->kind == HN_SAMPLER_TPE) return hn_tpe_propose(ask, tried, x, err);
    return hn_gp_propose(ask, tried, x, memo, err);
}

hone_status hn_sampler_propose(const struct hn_ask *ask, double *x, struct hn_memo *memo,
                               int *exhausted, hone_error *err)
{
    struct hn_tried tried;
    memo->n = 0;
    *exhausted = ask->opts->kind == HN_SAMPLER_MANUAL;
    if (*exhausted) return HONE_OK;
    HN_TRY(hn_tried_init(&tried, ask, err));
    hone_status st;
    if (ask->opts->kind == HN_SAMPLER_GRID) {
        st = hn_grid_propose(ask, &tried, x, exhausted, err);
    } else {
        st = first_choice(ask, &tried, x, memo, err);
        if (st == HONE_OK && hn_tried_has(&tried, x)) *exhausted = !replace(ask, &tried, x);
    }
    hn_tried_free(&tried);
    return st;
}

/* ---- checking ------------------------------------------------------------------------------------------------------- */

hone_status hn_sampler_check(const struct hn_search_space *s, const struct hn_sampler_opts *o,
                             hone_error *err)
{
    int exact;
    if (o->kind != HN_SAMPLER_GRID) return HONE_OK;
    for (int i = 0; i < s->n; i++) {
        const struct hn_axis *a = &s->axes[i];
        if (hn_axis_levels(a) > 0 || a->points) continue;
        hone_status st = hn_fail(err, HONE_E_USAGE, a->place,
                                 "%s: a grid needs a step or a number of points", a->name);
        return hn_hint(err, st, "points: 5 (inline %s=…:points=5), or choices", a->name);
    }
    uint64_t n = hn_space_count(s, 1, &exact);
    if (o->limit || n <= GRID_WITHOUT_LIMIT) return HONE_OK;
    hone_status st = n == UINT64_MAX
                         ? hn_fail(err, HONE_E_USAGE, "grid", "the grid has more than 10^18 points")
                         : hn_fail(err, HONE_E_USAGE, "grid", "the grid has %s%llu points",
                                   exact ? "" : "up to ", (unsigned long long)n);
    return hn_hint(err, st, "say with --trials N how many of them to try, or take another sampler");
}
