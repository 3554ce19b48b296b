/* SPDX-License-Identifier: MIT
 *
 * The tree-structured Parzen estimator (Bergstra and others, "Algorithms for hyper-parameter optimization", 2011), with
 * products over all axes as kernels: trials are split into the best ceil(n/10), at most 25, and the others (running, pruned
 * and failed ones among them); each part becomes a density l, g: one kernel a trial and one wide one. Of 24 points drawn from l the one
 * with the largest l/g is proposed.
 *
 * On an axis of the unit cube a kernel is a normal density cut to [0,1] around the trial's place, as wide as the larger gap to
 * its neighbours (at least 1/min(100, 1 + kernels)); on a discrete axis its mass over the cell; on a choice mostly the trial's
 * own one. Where the axis is inactive in the trial the kernel is the wide one. Of more than 25 trials older ones weigh less. */
#include "ops/base/rng.h"
#include "plugin/tune/acquire.h"
#include "plugin/tune/sampler_own.h"
#include <math.h>
#include <string.h>

enum { CANDIDATES = 24, FLAT = 25 };

struct part {
    int n;           /* kernels: the last one is the wide one */
    uint32_t *trial; /* n - 1 positions among the samples, by number */
    double *weight;  /* log of its share */
    double *mu, *sd; /* [kernels][axes]; of a choice mu is the index, -1 in a wide kernel */
};

struct tpe {
    const struct hn_ask *ask;
    struct part below, above;
    uint32_t key[2];
    double *memory;
};

static double mass(double mu, double sd, double low, double high)
{
    double a = (low - mu) / sd, b = (high - mu) / sd;
    if (a > 0) return mass(-mu, sd, -high, -low); /* the tail where differences are exact */
    return 0.5 * (erfc(-b * 0.7071067811865476) - erfc(-a * 0.7071067811865476));
}

/* ---- splitting ------------------------------------------------------------------------------------------------------ */

/* Is trial i among the m best valued ones? */
static int is_below(const struct hn_ask *ask, size_t i, size_t m)
{
    size_t better = 0;
    const struct hn_past *t = &ask->samples[i];
    if (t->outcome != HN_PAST_VALUED) return 0;
    for (size_t k = 0; k < ask->n; k++) {
        const struct hn_past *o = &ask->samples[k];
        better += o->outcome == HN_PAST_VALUED &&
                  (o->value < t->value || (o->value == t->value && k < i));
    }
    return better < m;
}

static void weigh(struct part *p)
{
    int n = p->n - 1;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        int ramp = n - FLAT; /* the oldest ones rise from 1/n to 1 */
        double w = i >= ramp ? 1 : ramp == 1 ? 1.0 / n : 1.0 / n + (1 - 1.0 / n) * i / (ramp - 1);
        p->weight[i] = w;
        sum += w;
    }
    p->weight[n] = 1;
    sum += 1;
    for (int i = 0; i <= n; i++) p->weight[i] = log(p->weight[i] / sum);
}

/* The larger gap of u to its neighbours among the kernels of this axis; the ends of the axis count only for few trials. */
static double gap(const struct part *p, int axes, int a, int self)
{
    double u = p->mu[(size_t)self * (size_t)axes + (size_t)a], left = -1, right = 2;
    int equal = 0, lower = 0, higher = 0, n = 0;
    for (int k = 0; k < p->n - 1; k++) {
        double v = p->mu[(size_t)k * (size_t)axes + (size_t)a];
        if (v < 0) continue;
        n++;
        if (k == self) continue;
        if (v == u) equal |= k < self ? 1 : 2;
        if (v < u) lower = 1, left = fmax(left, v);
        if (v > u) higher = 1, right = fmin(right, v);
    }
    double down = equal & 1 ? 0
                  : lower   ? u - left
                            : u,
           up = equal & 2 ? 0
                : higher  ? right - u
                          : 1 - u;
    if (n >= 2 && !lower && !(equal & 1)) down = 0;
    if (n >= 2 && !higher && !(equal & 2)) up = 0;
    return fmax(down, up);
}

static void shape(struct tpe *t, struct part *p)
{
    const struct hn_search_space *s = t->ask->space;
    double least = 1 / fmin(100, 1.0 + p->n);
    for (int k = 0; k < p->n; k++)
        for (int a = 0; a < s->n; a++) {
            double x = k < p->n - 1 ? t->ask->samples[p->trial[k]].x[a] : (double)NAN;
            double u = isnan(x)                            ? -1
                       : s->axes[a].kind == HN_AXIS_CHOICE ? x
                                                           : hn_axis_encode(&s->axes[a], x);
            p->mu[(size_t)k * (size_t)s->n + (size_t)a] =
                s->axes[a].kind == HN_AXIS_CHOICE || u < 0 ? u : fmin(u, 1);
        }
    for (int k = 0; k < p->n; k++)
        for (int a = 0; a < s->n; a++) {
            size_t at = (size_t)k * (size_t)s->n + (size_t)a;
            p->sd[at] = p->mu[at] < 0 ? 1 : fmin(1, fmax(least, gap(p, s->n, a, k)));
        }
    weigh(p);
}

static hone_status split(struct tpe *t, hone_error *err)
{
    const struct hn_ask *ask = t->ask;
    size_t known = ask->n - hn_count_outcome(ask, HN_PAST_PENDING), m = (known + 9) / 10;
    size_t axes = (size_t)ask->space->n, room = (ask->n + 2) * (2 * axes + 2);
    if (m > 25) m = 25;
    t->memory = hn_alloc(ask->mem, room * sizeof(double));
    if (!t->memory) return hn_nomem(err, "a proposal", room * sizeof(double));
    double *p = t->memory;
    uint32_t *trials = (uint32_t *)p;
    p += ask->n + 2;
    t->below.trial = trials;
    for (size_t i = 0; i < ask->n; i++)
        if (is_below(ask, i, m)) t->below.trial[t->below.n++] = (uint32_t)i;
    t->above.trial = trials + t->below.n;
    for (size_t i = 0; i < ask->n; i++)
        if (!is_below(ask, i, m)) t->above.trial[t->above.n++] = (uint32_t)i;
    struct part *parts[] = { &t->below, &t->above };
    for (int k = 0; k < 2; k++) {
        size_t n = (size_t)++parts[k]->n;
        parts[k]->weight = p, p += n;
        parts[k]->mu = p, p += n * axes;
        parts[k]->sd = p, p += n * axes;
        shape(t, parts[k]);
    }
    return HONE_OK;
}

/* ---- densities --------------------------------------------------------------------------------------------------------- */

static double log_choice(const struct part *p, const struct hn_axis *a, double mu, double x)
{
    double prior = 1.0 / p->n, sum = prior * a->n_choices + 1;
    if (mu < 0) return -log(a->n_choices);
    return log((prior + (mu == x)) / sum);
}

static double log_kernel(const struct part *p, const struct hn_axis *a, size_t at, double x)
{
    double mu = p->mu[at], sd = p->sd[at];
    if (a->kind == HN_AXIS_CHOICE) return log_choice(p, a, mu, x);
    if (mu < 0) mu = 0.5;
    double all = mass(mu, sd, 0, 1), u = hn_axis_encode(a, x);
    if (a->step <= 0) {
        double z = (u - mu) / sd;
        return -0.5 * z * z - log(sd * all);
    }
    double low = hn_axis_encode(a, x - a->step / 2), high = hn_axis_encode(a, x + a->step / 2);
    return log(fmax(mass(mu, sd, low, high), 1e-300) / all);
}

static double log_density(const struct tpe *t, const struct part *p, const double *x)
{
    const struct hn_search_space *s = t->ask->space;
    double top = -(double)INFINITY, sum = 0;
    for (int k = 0; k < p->n; k++) {
        double f = p->weight[k];
        for (int a = 0; a < s->n; a++)
            if (!isnan(x[a]))
                f += log_kernel(p, &s->axes[a], (size_t)k * (size_t)s->n + (size_t)a, x[a]);
        /* a running sum of exponentials that never overflows */
        if (f > top)
            sum = sum * exp(top - f) + 1, top = f;
        else
            sum += exp(f - top);
    }
    return top + log(sum);
}

/* ---- drawing ------------------------------------------------------------------------------------------------------------ */

static double draw_choice(const struct part *p, const struct hn_axis *a, double mu, double u)
{
    double prior = 1.0 / p->n, sum = prior * a->n_choices + 1;
    if (mu < 0) return floor(u * a->n_choices);
    for (int c = 0; c < a->n_choices; c++) {
        u -= (prior + (mu == c)) / sum;
        if (u <= 0) return c;
    }
    return a->n_choices - 1;
}

static double draw_normal(double mu, double sd, double u)
{
    double low = 0.5 * erfc(mu / sd * 0.7071067811865476), all = mass(mu, sd, 0, 1);
    double p = fmin(fmax(low + u * all, 1e-15), 1 - 1e-15);
    return fmin(1, fmax(0, mu + sd * hn_normal_quantile(p)));
}

static void draw(const struct tpe *t, int which, double *x)
{
    const struct hn_search_space *s = t->ask->space;
    const struct part *p = &t->below;
    uint64_t at = (uint64_t)which << 32;
    double u = hn_rng_uniform(t->key, HN_SEARCH_CANDIDATE, at++);
    int k = 0;
    while (k < p->n - 1 && (u -= exp(p->weight[k])) > 0) k++;
    for (int a = 0; a < s->n; a++) {
        size_t i = (size_t)k * (size_t)s->n + (size_t)a;
        const struct hn_axis *axis = &s->axes[a];
        u = hn_rng_uniform(t->key, HN_SEARCH_CANDIDATE, at++);
        if (axis->kind == HN_AXIS_CHOICE)
            x[a] = draw_choice(p, axis, p->mu[i], u);
        else
            x[a] = hn_axis_decode(axis, draw_normal(p->mu[i] < 0 ? 0.5 : p->mu[i], p->sd[i], u));
    }
    hn_space_settle(s, x);
}

hone_status hn_tpe_propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                           hone_error *err)
{
    struct tpe t = { .ask = ask };
    double best = -(double)INFINITY, *y;
    int found = 0;
    hn_rng_key(ask->opts->seed, ask->trial, 0, t.key);
    HN_TRY(split(&t, err));
    y = hn_alloc(ask->mem, (size_t)ask->space->n * sizeof *y);
    if (!y) {
        hn_free(ask->mem, t.memory);
        return hn_nomem(err, "a proposal", (size_t)ask->space->n * sizeof *y);
    }
    for (int k = 0; k < CANDIDATES; k++) {
        draw(&t, k, y);
        double f = log_density(&t, &t.below, y) - log_density(&t, &t.above, y);
        int fresh = !hn_tried_has(tried, y);
        if (fresh < found || (fresh == found && !(f > best) && k > 0)) continue;
        found = fresh, best = f;
        memcpy(x, y, (size_t)ask->space->n * sizeof *x);
    }
    hn_free(ask->mem, y);
    hn_free(ask->mem, t.memory);
    return HONE_OK;
}
