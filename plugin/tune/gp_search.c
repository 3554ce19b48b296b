/* SPDX-License-Identifier: MIT
 *
 * The search for the largest acquisition: many candidates (Sobol points, and neighbours of the best trials), the best of them
 * and some drawn by their promise as starts; from each, L-BFGS over the continuous axes and explicit search over the discrete
 * ones in turn until neither helps. A continuous optimum is never rounded. */
#include "plugin/tune/gp_search.h"
#include "ops/base/rng.h"
#include "plugin/tune/lbfgs.h"
#include "plugin/tune/sobol.h"
#include <math.h>
#include <string.h>

enum { STARTS = 10, ROUNDS = 4, ENUMERATE = 16, PARENTS = 4, CHILDREN = 48, CHUNK = 128 };

/* ---- points ----------------------------------------------------------------------------------------------------------- */

void hn_gp_space_init(struct hn_gp_space *p, const struct hn_search_space *s)
{
    *p = (struct hn_gp_space){ .s = s };
    for (int a = 0; a < s->n; a++) {
        p->categorical[a] = s->axes[a].kind == HN_AXIS_CHOICE;
        p->levels[a] = p->categorical[a] ? s->axes[a].n_choices : 0;
    }
}

void hn_gp_encode(const struct hn_gp_space *p, const double *x, double *e)
{
    for (int a = 0; a < p->s->n; a++) {
        if (isnan(x[a]))
            e[a] = p->categorical[a] ? -1 : 0.5;
        else
            e[a] = p->categorical[a] ? x[a] : hn_axis_encode(&p->s->axes[a], x[a]);
    }
}

void hn_gp_latent(const struct hn_gp_space *p, const double *x, double *z)
{
    hn_gp_encode(p, x, z);
    for (int a = 0; a < p->s->n; a++) {
        if (p->categorical[a])
            z[a] = z[a] < 0 ? 0 : z[a];
        else
            z[a] = z[a] < 0 ? 0 : z[a] > 1 ? 1 : z[a];
    }
}

void hn_gp_settle(const struct hn_gp_space *p, const double *z, double *x)
{
    for (int a = 0; a < p->s->n; a++)
        x[a] = p->categorical[a] ? z[a] : hn_axis_decode(&p->s->axes[a], z[a]);
    hn_space_settle(p->s, x);
}

static int is_continuous(const struct hn_gp_space *p, int a)
{
    return !p->categorical[a] && p->s->axes[a].step <= 0;
}

/* The middle of the cell of the nearest level. */
static double middle(const struct hn_axis *a, double u)
{
    return hn_axis_encode(a, hn_axis_decode(a, u));
}

/* ---- one start ----------------------------------------------------------------------------------------------------- */

struct climb {
    const struct hn_gp_search *q;
    double z[HN_GP_AXES], e[HN_GP_AXES], x[HN_GP_AXES], grad[HN_GP_AXES];
    double low[HN_GP_AXES], high[HN_GP_AXES], scale[HN_GP_AXES], at[HN_GP_AXES];
    int moving[HN_GP_AXES], n_moving;
    double f;
    double *work;
};

/* The encoded point of z. */
static void see(struct climb *c)
{
    hn_gp_settle(c->q->space, c->z, c->x);
    for (int a = 0; a < c->q->space->s->n; a++) {
        if (isnan(c->x[a]))
            c->e[a] = c->q->space->categorical[a] ? -1 : 0.5;
        else
            c->e[a] = c->z[a];
    }
}

static double judge(struct climb *c)
{
    see(c);
    return hn_acquire_at(c->q->acquire, c->e, NULL);
}

static double downhill(void *user, const double *v, double *g)
{
    struct climb *c = user;
    for (int k = 0; k < c->n_moving; k++) c->e[c->moving[k]] = v[k];
    double f = hn_acquire_at(c->q->acquire, c->e, c->grad);
    for (int k = 0; k < c->n_moving; k++) g[k] = -c->grad[c->moving[k]];
    return -f;
}

static int climb_continuous(struct climb *c, int max_evals)
{
    c->n_moving = 0;
    see(c);
    for (int a = 0; a < c->q->space->s->n; a++) {
        if (!is_continuous(c->q->space, a) || isnan(c->x[a])) continue;
        int k = c->n_moving++;
        c->moving[k] = a;
        c->low[k] = 0, c->high[k] = 1;
        c->scale[k] = fmin(1, fmax(1e-3, exp(-0.5 * c->q->theta[a])));
        c->at[k] = c->z[a];
    }
    if (!c->n_moving) return 0;
    struct hn_lbfgs job = { .n = c->n_moving,
                            .low = c->low,
                            .high = c->high,
                            .scale = c->scale,
                            .max_evals = max_evals,
                            .gtol = 1e-5,
                            .f = downhill,
                            .user = c };
    double f = -hn_lbfgs_run(&job, c->at, c->work, NULL);
    if (!(f > c->f)) return 0;
    int better = f > c->f + 1e-9 * (1 + fabs(c->f));
    for (int k = 0; k < c->n_moving; k++) c->z[c->moving[k]] = c->at[k];
    c->f = f;
    return better;
}

/* Takes z[a] = v when that is better. */
static int attempt(struct climb *c, int a, double v)
{
    double was = c->z[a];
    c->z[a] = v;
    double f = judge(c);
    if (f > c->f) {
        c->f = f;
        return 1;
    }
    c->z[a] = was;
    return 0;
}

static double level_at(const struct climb *c, int a, int64_t i)
{
    const struct hn_axis *axis = &c->q->space->s->axes[a];
    return c->q->space->categorical[a] ? (double)i : hn_axis_encode(axis, hn_axis_level(axis, i));
}

static int64_t level_of(const struct climb *c, int a)
{
    const struct hn_axis *axis = &c->q->space->s->axes[a];
    if (c->q->space->categorical[a]) return (int64_t)c->z[a];
    return (int64_t)round((hn_axis_decode(axis, c->z[a]) - axis->low) / axis->step);
}

static int climb_discrete(struct climb *c)
{
    int any = 0;
    for (int a = 0; a < c->q->space->s->n; a++) {
        if (is_continuous(c->q->space, a)) continue;
        see(c);
        if (isnan(c->x[a])) continue;
        int64_t n = hn_axis_levels(&c->q->space->s->axes[a]), was = level_of(c, a);
        if (c->q->space->categorical[a] || n <= ENUMERATE) {
            for (int64_t i = 0; i < n; i++)
                if (i != was) any |= attempt(c, a, level_at(c, a, i));
            continue;
        }
        for (int64_t step = n / 4; step; step /= 2) /* long steps first, then neighbours */
            for (int side = -1; side <= 1; side += 2)
                for (int64_t i = level_of(c, a) + side * step; i >= 0 && i < n; i += side * step) {
                    if (!attempt(c, a, level_at(c, a, i))) break;
                    any = 1;
                }
    }
    return any;
}

static void climb(struct climb *c, int max_evals)
{
    for (int round = 0; round < ROUNDS; round++) {
        int moved = climb_continuous(c, max_evals);
        if (!climb_discrete(c) && (!moved || round)) return;
    }
}

/* ---- candidates ------------------------------------------------------------------------------------------------------ */

struct pool {
    int n, d;
    double *z, *e, *f; /* latent and encoded points, their acquisition */
    double *work;
    unsigned char *used;
};

static void sobol_candidates(const struct hn_gp_search *q, struct pool *p, int n)
{
    const struct hn_search_space *s = q->space->s;
    for (int a = 0; a < s->n; a++) {
        struct hn_sobol axis;
        hn_sobol_init(&axis, a, q->key, HN_SEARCH_CANDIDATE);
        for (int i = 0; i < n; i++) {
            double u = hn_sobol_at(&axis, (uint32_t)i);
            p->z[(size_t)i * (size_t)s->n + (size_t)a] =
                q->space->categorical[a]     ? floor(u * q->space->levels[a])
                : is_continuous(q->space, a) ? u
                                             : middle(&s->axes[a], u);
        }
    }
    p->n = n;
}

/* The number of the rank-th best valued trial; -1: there are not so many. */
static long best_trial(const struct hn_ask *ask, int rank)
{
    long last = -1;
    for (int r = 0; r <= rank; r++) {
        long best = -1;
        for (size_t i = 0; i < ask->n; i++) {
            const struct hn_past *v = &ask->samples[i];
            if (v->outcome != HN_PAST_VALUED) continue;
            int later = last < 0 || v->value > ask->samples[last].value ||
                        (v->value == ask->samples[last].value && (long)i > last);
            if (later && (best < 0 || v->value < ask->samples[best].value)) best = (long)i;
        }
        if (best < 0) return -1;
        last = best;
    }
    return last;
}

/* z moved a little: normal steps of a tenth, a hundredth or a thousandth of a length-scale, now and then another level. */
static void neighbour(const struct hn_gp_search *q, const double *z, double *out, int which)
{
    static const double sizes[] = { 0.3, 0.03, 0.003 };
    const struct hn_search_space *s = q->space->s;
    for (int a = 0; a < s->n; a++) {
        uint64_t at = (uint64_t)which * HN_GP_AXES + (uint64_t)a;
        double size = sizes[which % 3] * fmin(1, exp(-0.5 * q->theta[a]));
        out[a] = z[a];
        if (q->space->categorical[a]) {
            if (hn_rng_uniform(q->key, HN_SEARCH_PICK, 2 * at + 1) < 1.0 / s->n)
                out[a] =
                    floor(hn_rng_uniform(q->key, HN_SEARCH_PICK, 2 * at) * q->space->levels[a]);
            continue;
        }
        if (hn_rng_uniform(q->key, HN_SEARCH_PICK, 2 * at + 1) > 0.7 && s->n > 1) continue;
        double v = z[a] + size * hn_rng_normal(q->key, HN_SEARCH_PICK, at + (1u << 30));
        v = v < 0 ? 0 : v > 1 ? 1 : v;
        out[a] = is_continuous(q->space, a) ? v : middle(&s->axes[a], v);
    }
}

static void add_neighbours(const struct hn_gp_search *q, struct pool *p)
{
    size_t d = (size_t)p->d;
    for (int r = 0; r < PARENTS; r++) {
        long t = best_trial(q->ask, r);
        if (t < 0) return;
        double *z = p->z + (size_t)p->n * d;
        hn_gp_latent(q->space, q->ask->samples[t].x, z);
        for (int k = 1; k < CHILDREN; k++) neighbour(q, z, z + (size_t)k * d, r * CHILDREN + k);
        p->n += CHILDREN;
    }
}

static hone_status make_pool(const struct hn_gp_search *q, struct pool *p, hone_error *err)
{
    int n = q->acquire->path ? 512 : q->ask->n > 200 ? 1024 : 2048;
    size_t d = (size_t)q->space->s->n, room = (size_t)(n + PARENTS * CHILDREN);
    size_t many =
        (size_t)CHUNK * ((q->acquire->belief ? (size_t)q->acquire->belief->n : 0) + HN_FANTASIES);
    size_t total = room * (2 * d + 2) + many + hn_lbfgs_work((int)d);
    *p = (struct pool){ .d = (int)d, .z = hn_calloc(q->ask->mem, total, sizeof(double)) };
    if (!p->z) return hn_nomem(err, "the candidates of a proposal", total * sizeof(double));
    p->e = p->z + room * d;
    p->f = p->e + room * d;
    p->used = (unsigned char *)(p->f + room); /* room doubles are more than room bytes */
    p->work = p->f + 2 * room;
    sobol_candidates(q, p, n);
    add_neighbours(q, p);
    double x[HN_GP_AXES];
    for (int i = 0; i < p->n; i++) {
        hn_gp_settle(q->space, p->z + (size_t)i * d, x);
        for (size_t a = 0; a < d; a++) {
            double z = p->z[(size_t)i * d + a];
            p->e[(size_t)i * d + a] = !isnan(x[a]) ? z : q->space->categorical[a] ? -1 : 0.5;
        }
    }
    hn_acquire_many(q->acquire, p->e, p->n, p->work, p->f);
    return HONE_OK;
}

/* The best candidate first, then draws with weights e^(f - best), without replacement. -1: none is left. */
static int pick_start(const struct hn_gp_search *q, struct pool *p, int which)
{
    int best = -1;
    double sum = 0;
    for (int i = 0; i < p->n; i++)
        if (!p->used[i] && isfinite(p->f[i]) && (best < 0 || p->f[i] > p->f[best])) best = i;
    if (best < 0 || which == 0) return best;
    for (int i = 0; i < p->n; i++)
        if (!p->used[i] && isfinite(p->f[i])) sum += exp(p->f[i] - p->f[best]);
    double at = sum * hn_rng_uniform(q->key, HN_SEARCH_RETRY, (uint64_t)which);
    for (int i = 0; i < p->n; i++) {
        if (p->used[i] || !isfinite(p->f[i])) continue;
        at -= exp(p->f[i] - p->f[best]);
        if (at <= 0) return i;
    }
    return best;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

static double unit_of(const struct hn_gp_search *q, const struct pool *p)
{
    if (q->acquire->kind != HN_ACQ_EI || p->n == 0) return 1;
    double top = 0; /* ei: weights by its share of the best, not by its tiny size */
    for (int i = 0; i < p->n; i++) top = fmax(top, p->f[i]);
    return top > 0 ? top : 1;
}

static hone_status climb_all(const struct hn_gp_search *q, struct pool *p, double *x,
                             hone_error *err)
{
    size_t d = (size_t)p->d;
    struct climb *c = hn_alloc(q->ask->mem, sizeof *c);
    double best = -(double)INFINITY, unit = unit_of(q, p);
    int found = 0, n = q->acquire->belief ? q->acquire->belief->n : 0;
    if (!c) return hn_nomem(err, "a proposal", sizeof *c);
    for (int i = 0; i < p->n && unit != 1; i++) p->f[i] = log(p->f[i] / unit + 1e-300);
    for (int k = 0; k < STARTS; k++) {
        int from = pick_start(q, p, k);
        if (from < 0) break;
        p->used[from] = 1;
        c->q = q;
        c->work = p->work;
        memcpy(c->z, p->z + (size_t)from * d, d * sizeof(double));
        c->f = judge(c);
        climb(c, n > 200 ? 30 : 100);
        hn_gp_settle(q->space, c->z, c->x);
        int fresh = !hn_tried_has(q->tried, c->x);
        if (fresh < found || (fresh == found && !(c->f > best))) continue;
        found = fresh, best = c->f;
        memcpy(x, c->x, d * sizeof(double));
    }
    hn_free(q->ask->mem, c);
    for (int k = 0; k < p->n && !found;
         k++) { /* nothing new at the tops: the best candidate that is */
        int i = pick_start(q, p, 0);
        if (i < 0) break;
        p->used[i] = 1;
        hn_gp_settle(q->space, p->z + (size_t)i * d, x);
        found = !hn_tried_has(q->tried, x);
    }
    return HONE_OK;
}

hone_status hn_gp_maximize(const struct hn_gp_search *q, double *x, hone_error *err)
{
    struct pool p;
    hone_status st = make_pool(q, &p, err);
    if (st == HONE_OK) st = climb_all(q, &p, x, err);
    hn_free(q->ask->mem, p.z);
    return st;
}
