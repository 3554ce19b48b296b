/* SPDX-License-Identifier: MIT
 *
 * The Gaussian process sampler: trials become data, the kernel is fitted (from where the last fit stood, which the memo
 * carries), the acquisition is maximised. A failed trial counts as one spread worse than the worst value, a pruned one with the
 * estimate of its value and the noise of that. With many trials the
 * better half and the newest of the others are kept. */
#include "ops/base/rng.h"
#include "plugin/tune/blas.h"
#include "plugin/tune/gp_search.h"
#include <math.h>
#include <string.h>

enum { MOST = 1000, EVERY_TRIAL = 50, REFINING = 5 };

struct data {
    uint32_t *known, *pending; /* positions among the samples */
    int n, n_pending;
};

/* How many values are lower: the rank decides who is kept when there are too many. */
static int in_better_half(const struct hn_ask *ask, size_t i)
{
    size_t lower = 0, valued = 0;
    for (size_t k = 0; k < ask->n; k++) {
        const struct hn_past *v = &ask->samples[k];
        if (v->outcome != HN_PAST_VALUED) continue;
        valued++;
        lower += v->value < ask->samples[i].value;
    }
    return 2 * lower < valued && lower < MOST / 2;
}

static hone_status choose(const struct hn_ask *ask, struct data *d, hone_error *err)
{
    size_t known = ask->n - hn_count_outcome(ask, HN_PAST_PENDING), newest = 0;
    d->known = hn_calloc(ask->mem, 2 * ask->n + 1, sizeof *d->known);
    if (!d->known) return hn_nomem(err, "the trials of a proposal", ask->n);
    d->pending = d->known + ask->n;
    for (size_t i = ask->n; i-- > 0;) {
        const struct hn_past *v = &ask->samples[i];
        if (v->outcome == HN_PAST_PENDING) {
            if (d->n_pending < 64) d->pending[d->n_pending++] = (uint32_t)i;
            continue;
        }
        int keep = known <= MOST || newest++ < MOST / 2 ||
                   (v->outcome == HN_PAST_VALUED && in_better_half(ask, i));
        if (keep && d->n < MOST) d->known[d->n++] = (uint32_t)i;
    }
    return HONE_OK;
}

static hone_status fill(const struct hn_ask *ask, const struct data *d,
                        const struct hn_gp_space *sp, struct hn_gp *g, hone_error *err)
{
    double e[HN_GP_AXES], worst = 0, mean = 0, var = 0;
    int valued = 0;
    for (int k = 0; k < d->n; k++) {
        const struct hn_past *v = &ask->samples[d->known[k]];
        hn_gp_encode(sp, v->x, e);
        for (int a = 0; a < g->d; a++) g->x[(size_t)a * (size_t)g->n + (size_t)k] = e[a];
        if (v->outcome == HN_PAST_FAILED) continue;
        g->y[k] = v->value, g->noise[k] = v->noise;
        worst = valued ? fmax(worst, v->value) : v->value;
        double delta = v->value - mean;
        mean += delta / ++valued;
        var += delta * (v->value - mean);
    }
    double bad = worst + fmax(sqrt(var / (valued ? valued : 1)), 1e-10 * (1 + fabs(worst)));
    for (int k = 0; k < d->n; k++)
        if (ask->samples[d->known[k]].outcome == HN_PAST_FAILED) g->y[k] = bad;
    return hn_gp_tame(ask->mem, g->y, g->noise, g->n, err);
}

/* The memo: how many trials the fit saw, then theta. */
static hone_status fit(const struct hn_ask *ask, struct hn_gp *g, struct hn_memo *memo,
                       hone_error *err)
{
    const struct hn_memo *last = ask->memo;
    int p = g->d + 2, have = last && last->n == p + 1;
    int due = !have || g->n <= EVERY_TRIAL || g->n - (int)last->v[0] >= (g->n + 19) / 20 ||
              g->n < (int)last->v[0];
    if (have)
        memcpy(g->theta, last->v + 1, (size_t)p * sizeof(double));
    else
        hn_gp_start(g, g->theta);
    int evals = g->n <= 100 ? 60 : g->n <= 250 ? 30 : 8;
    if (due)
        HN_TRY(hn_gp_fit(g, have && g->n <= 100, evals, err));
    else
        HN_TRY(hn_gp_factor(g, err));
    if (p + 1 > HN_MEMO) return HONE_OK;
    memo->n = p + 1;
    memo->v[0] = due ? g->n : last->v[0];
    memcpy(memo->v + 1, g->theta, (size_t)p * sizeof(double));
    return HONE_OK;
}

/* ucb's κ. At 2 it may stay for good where the model, sure of itself, sees the best place: nothing is left to learn there, so
 * the model never changes. Some trials that the kernel cannot tell from others refine what was found; each one beyond those
 * makes κ larger, for the trial after it only, so that the best place is still refined. The newest of g comes first. */
static double boldness(const struct hn_gp *g)
{
    double same = (1 - 1e-4) * exp(g->theta[g->d]);
    size_t n = (size_t)g->n;
    int repeats = 0, newest = 0;
    for (size_t i = 0; i < n; i++) {
        int near = 0;
        for (size_t j = 0; j < i && !near; j++) {
            near = g->k[j * n + i] > same;
            newest |= near && j == 0;
        }
        repeats += near;
    }
    return newest && repeats > REFINING ? 2 + 0.25 * (repeats - REFINING) : 2;
}

static hone_status maximize(const struct hn_ask *ask, const struct data *d, struct hn_gp *g,
                            struct hn_gp_search *q, double *x, hone_error *err)
{
    struct hn_belief belief = { 0 };
    struct hn_acquire acquire = { .kind = ask->opts->acquisition, .gp = g, .kappa = boldness(g) };
    double *pending =
        hn_alloc(ask->mem, (size_t)(d->n_pending + 1) * (size_t)g->d * sizeof *pending);
    if (!pending) return hn_nomem(err, "the running trials", (size_t)d->n_pending);
    for (int k = 0; k < d->n_pending; k++)
        hn_gp_encode(q->space, ask->samples[d->pending[k]].x, pending + (size_t)k * (size_t)g->d);
    hone_status st;
    if (acquire.kind == HN_ACQ_THOMPSON) {
        st = hn_path_draw(g, q->space->levels, q->key, &acquire.path, err);
    } else {
        st = hn_belief_init(&belief, g, pending, d->n_pending, q->key, err);
        acquire.belief = &belief;
    }
    q->acquire = &acquire;
    q->theta = g->theta;
    if (st == HONE_OK) st = hn_gp_maximize(q, x, err);
    hn_path_free(acquire.path);
    hn_belief_free(&belief);
    hn_free(ask->mem, pending);
    return st;
}

static hone_status propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                           struct hn_memo *memo, hone_error *err)
{
    struct data d = { 0 };
    struct hn_gp g = { 0 };
    struct hn_gp_space space;
    struct hn_gp_search q = { .ask = ask, .tried = tried, .space = &space };
    hn_gp_space_init(&space, ask->space);
    hn_rng_key(ask->opts->seed, ask->trial, 0, q.key);
    hone_status st = choose(ask, &d, err);
    if (st == HONE_OK) st = hn_gp_init(&g, ask->mem, d.n, ask->space->n, space.categorical, err);
    if (st == HONE_OK) st = fill(ask, &d, &space, &g, err);
    if (st == HONE_OK) st = fit(ask, &g, memo, err);
    if (st == HONE_OK) st = maximize(ask, &d, &g, &q, x, err);
    hn_gp_free(&g);
    hn_free(ask->mem, d.known);
    return st;
}

/* OpenBLAS runs on one thread while this works: the matrices are small, and the threads belong to training. */
hone_status hn_gp_propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                          struct hn_memo *memo, hone_error *err)
{
    HN_TRY(hn_blas_hold(1, err));
    hone_status st = propose(ask, tried, x, memo, err);
    hn_blas_release(1);
    return st;
}
