/* SPDX-License-Identifier: MIT
 *
 * Projected L-BFGS; see lbfgs.h. */
#include "plugin/tune/lbfgs.h"
#include <math.h>
#include <string.h>

struct state {
    const struct hn_lbfgs *p;
    double *x, *g, *xn, *gn, *d; /* n each */
    double *s[HN_LBFGS_PAIRS], *y[HN_LBFGS_PAIRS];
    int pairs, newest, evals;
};

size_t hn_lbfgs_work(int n) { return (size_t)n * (5 + 2 * HN_LBFGS_PAIRS); }

static double scale_of(const struct hn_lbfgs *p, int i) { return p->scale ? p->scale[i] : 1.0; }

static double clip(const struct hn_lbfgs *p, int i, double v)
{
    if (p->low && v < p->low[i]) return p->low[i];
    if (p->high && v > p->high[i]) return p->high[i];
    return v;
}

/* At a bound, and downhill leads out. */
static int held(const struct state *t, int i)
{
    const struct hn_lbfgs *p = t->p;
    if (p->low && t->x[i] <= p->low[i] && t->g[i] > 0) return 1;
    return p->high && t->x[i] >= p->high[i] && t->g[i] < 0;
}

static double free_dot(const struct state *t, const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < t->p->n; i++)
        if (!held(t, i)) sum += a[i] * b[i];
    return sum;
}

static double steepest(const struct state *t)
{
    double worst = 0;
    for (int i = 0; i < t->p->n; i++)
        if (!held(t, i)) worst = fmax(worst, fabs(t->g[i]) * scale_of(t->p, i));
    return worst;
}

/* d = -H g over the free variables; returns d·g. */
static double direction(struct state *t)
{
    int n = t->p->n;
    double a[HN_LBFGS_PAIRS], gamma = 0;
    for (int i = 0; i < n; i++) t->d[i] = held(t, i) ? 0 : -t->g[i];
    for (int k = 0; k < t->pairs; k++) {
        int q = (t->newest - k + HN_LBFGS_PAIRS) % HN_LBFGS_PAIRS;
        double sy = free_dot(t, t->s[q], t->y[q]);
        a[k] = sy > 0 ? free_dot(t, t->s[q], t->d) / sy : 0;
        for (int i = 0; i < n && sy > 0; i++)
            if (!held(t, i)) t->d[i] -= a[k] * t->y[q][i];
        if (gamma == 0 && sy > 0) {
            double yy = 0;
            for (int i = 0; i < n; i++) {
                double v = t->y[q][i] * scale_of(t->p, i);
                if (!held(t, i)) yy += v * v;
            }
            gamma = yy > 0 ? sy / yy : 0;
        }
    }
    for (int i = 0; i < n; i++) {
        double c = scale_of(t->p, i);
        t->d[i] *= (gamma > 0 ? gamma : 1.0) * c * c;
    }
    for (int k = t->pairs - 1; k >= 0; k--) {
        int q = (t->newest - k + HN_LBFGS_PAIRS) % HN_LBFGS_PAIRS;
        double sy = free_dot(t, t->s[q], t->y[q]);
        if (!(sy > 0)) continue;
        double b = free_dot(t, t->y[q], t->d) / sy;
        for (int i = 0; i < n; i++)
            if (!held(t, i)) t->d[i] += (a[k] - b) * t->s[q][i];
    }
    return free_dot(t, t->d, t->g);
}

static double call(struct state *t, const double *x, double *g)
{
    double f = t->p->f(t->p->user, x, g);
    t->evals++;
    for (int i = 0; i < t->p->n; i++)
        if (!isfinite(g[i])) return (double)INFINITY;
    return isnan(f) ? (double)INFINITY : f;
}

/* Along P(x + step d); 1 when f fell enough: then xn, gn and *f are the new point's. */
static int search(struct state *t, double slope, double step, double *f)
{
    int n = t->p->n;
    for (int tries = 0; tries < 20 && t->evals < t->p->max_evals; tries++) {
        double moved = 0, along = 0;
        for (int i = 0; i < n; i++) {
            t->xn[i] = clip(t->p, i, t->x[i] + step * t->d[i]);
            moved = fmax(moved, fabs(t->xn[i] - t->x[i]));
            along += t->g[i] * (t->xn[i] - t->x[i]);
        }
        if (moved == 0) return 0;
        double fn = call(t, t->xn, t->gn);
        if (fn <= *f + 1e-4 * along && isfinite(fn)) {
            *f = fn;
            return 1;
        }
        double q = isfinite(fn) ? -0.5 * slope * step / ((fn - *f) / step - slope) : 0;
        q = isfinite(q) && q > 0 ? q / step : 0;
        step *= q < 0.1 ? 0.1 : q > 0.5 ? 0.5 : q;
    }
    return 0;
}

static void remember(struct state *t)
{
    int n = t->p->n, q = (t->newest + 1) % HN_LBFGS_PAIRS;
    double sy = 0, yy = 0;
    for (int i = 0; i < n; i++) {
        double s = t->xn[i] - t->x[i], y = t->gn[i] - t->g[i];
        t->s[q][i] = s, t->y[q][i] = y;
        sy += s * y, yy += y * y;
    }
    if (!(sy > 1e-10 * yy)) return;
    t->newest = q;
    if (t->pairs < HN_LBFGS_PAIRS) t->pairs++;
}

double hn_lbfgs_run(const struct hn_lbfgs *p, double *x, double *work, int *evals)
{
    size_t n = (size_t)p->n;
    struct state t = { .p = p, .x = x, .newest = HN_LBFGS_PAIRS - 1 };
    t.g = work, t.xn = t.g + n, t.gn = t.xn + n, t.d = t.gn + n;
    for (int k = 0; k < HN_LBFGS_PAIRS; k++)
        t.s[k] = t.d + n * (size_t)(1 + 2 * k), t.y[k] = t.s[k] + n;
    for (int i = 0; i < p->n; i++) x[i] = clip(p, i, x[i]);
    double f = call(&t, x, t.g);
    while (isfinite(f) && t.evals < p->max_evals) {
        double top = steepest(&t);
        if (top <= p->gtol) break;
        double slope = direction(&t);
        if (!(slope < 0)) {
            if (!t.pairs) break;
            t.pairs = 0;
            continue;
        }
        double before = f;
        if (search(&t, slope, t.pairs ? 1.0 : fmin(1.0, 0.5 / top), &f)) {
            remember(&t);
            memcpy(x, t.xn, n * sizeof *x);
            memcpy(t.g, t.gn, n * sizeof *x);
            if (before - f <= 1e-12 * (1 + fabs(f))) break;
        } else if (t.pairs) {
            t.pairs = 0; /* once more, straight downhill */
        } else {
            break;
        }
    }
    if (evals) *evals = t.evals;
    return f;
}
