/* SPDX-License-Identifier: MIT
 *
 * Acquisition functions; see acquire.h. */
#include "plugin/tune/acquire.h"
#include "ops/base/rng.h"
#include "plugin/tune/sampler_own.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

static const double LOG_2PI = 1.8378770664093453, SQRT_HALF = 0.7071067811865476,
                    SQRT_HALF_PI = 1.2533141373155003, LEAST_VARIANCE = 1e-12, XI = 0.01;
enum { CHUNK = 128 };

/* ---- the normal distribution -------------------------------------------------------------------------------------- */

static double phi(double z) { return exp(-0.5 * z * z - 0.5 * LOG_2PI); }
static double cdf(double z) { return 0.5 * erfc(-z * SQRT_HALF); }

double hn_log_h(double z)
{
    if (z > -1) return log(phi(z) + z * cdf(z));
    double a = -0.5 * z * z - 0.5 * LOG_2PI;
    if (z > -20) return a + log1p(z * SQRT_HALF_PI * exp(0.5 * z * z) * erfc(-z * SQRT_HALF));
    double w = 1 / (z * z);
    return a - 2 * log(-z) + log1p(w * (-3 + w * (15 + w * (-105 + w * (945 - 10395 * w)))));
}

double hn_log_h_slope(double z)
{
    if (z > -1) return cdf(z) / (phi(z) + z * cdf(z));
    if (z > -20) return exp(log(cdf(z)) - hn_log_h(z));
    double w = 1 / (z * z);
    return -z * (1 - w * (1 - w * (3 - w * (15 - w * (105 - w * 945))))) /
           (1 - w * (3 - w * (15 - w * (105 - w * 945))));
}

double hn_log_normal_cdf(double z)
{
    if (z > -20) return log(cdf(z));
    double w = 1 / (z * z);
    return -0.5 * z * z - 0.5 * LOG_2PI - log(-z) + log1p(-w * (1 - w * (3 - w * (15 - w * 105))));
}

/* Bisection's safety with Newton's speed on log Φ of the lower tail. */
double hn_normal_quantile(double p)
{
    if (p > 0.5) return -hn_normal_quantile(1 - p);
    double z = p < 1e-300 ? -37 : -1, want = log(p < 1e-300 ? 1e-300 : p);
    if (p > 0.1) z = -0.5;
    for (int i = 0; i < 60; i++) {
        double f = hn_log_normal_cdf(z) - want;
        double slope = exp(-0.5 * z * z - 0.5 * LOG_2PI - hn_log_normal_cdf(z)), step = f / slope;
        z -= step > 2 ? 2 : step < -2 ? -2 : step;
        if (fabs(step) < 1e-14 * (1 + fabs(z))) break;
    }
    return z;
}

/* ---- the posterior -------------------------------------------------------------------------------------------------- */

static void copy_points(struct hn_belief *b, const double *pending, int n_pending)
{
    const struct hn_gp *g = b->gp;
    size_t n = (size_t)b->n;
    for (int a = 0; a < g->d; a++) {
        memcpy(b->x + (size_t)a * n, g->x + (size_t)a * (size_t)g->n,
               (size_t)g->n * sizeof(double));
        for (int i = 0; i < n_pending; i++)
            b->x[(size_t)a * n + (size_t)(g->n + i)] =
                pending[(size_t)i * (size_t)g->d + (size_t)a];
    }
}

/* The factor of all points. The first n of them have the process's own (the same numbers, computed again). */
static int factor(struct hn_belief *b)
{
    const struct hn_gp *g = b->gp;
    size_t n = (size_t)b->n;
    double v = HN_GP_NOISE_FLOOR + exp(g->theta[g->d + 1]), e[HN_GP_AXES];
    for (int k = 0; k <= 5; k++) {
        double jitter = k ? 1e-9 * pow(10, k) * exp(g->theta[g->d]) : 0;
        for (size_t j = 0; j < n; j++) {
            for (int a = 0; a < g->d; a++) e[a] = b->x[(size_t)a * n + j];
            double *column = b->l + j * n;
            hn_gp_kernel(g->theta, g->d, g->categorical, b->x + j, n, (int)(n - j), e, column + j,
                         NULL);
            column[j] += v + jitter + (j < (size_t)g->n ? g->noise[j] : 0.0);
        }
        if (hn_cholesky(b->l, b->n)) return 1;
    }
    return 0;
}

/* With w = L⁻¹ (y, fantasies), the fantasies are drawn by giving w normal numbers below the data. */
static void fantasise(struct hn_belief *b, const uint32_t key[2])
{
    const struct hn_gp *g = b->gp;
    int n = b->n;
    double v = HN_GP_NOISE_FLOOR + exp(g->theta[g->d + 1]);
    for (int m = 0; m < b->fantasies; m++) {
        double *w = b->alpha + (size_t)m * (size_t)n, *y = b->work;
        memcpy(w, g->y, (size_t)g->n * sizeof(double));
        cblas_dtrsv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, g->n, b->l, n, w, 1);
        for (int i = g->n; i < n; i++)
            w[i] = hn_rng_normal(key, HN_SEARCH_FANTASY, (uint64_t)m * (uint64_t)n + (uint64_t)i);
        memcpy(y, w, (size_t)n * sizeof(double));
        cblas_dtrmv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, n, b->l, n, y, 1);
        cblas_dtrsv(CblasColMajor, CblasLower, CblasTrans, CblasNonUnit, n, b->l, n, w, 1);
        b->best[m] = (double)INFINITY;
        for (int i = 0; i < n; i++)
            b->best[m] = fmin(b->best[m], y[i] - (v + (i < g->n ? g->noise[i] : 0.0)) * w[i]);
    }
}

hone_status hn_belief_init(struct hn_belief *b, const struct hn_gp *gp, const double *pending,
                           int n_pending, const uint32_t key[2], hone_error *err)
{
    size_t n = (size_t)(gp->n + n_pending), m = n_pending ? HN_FANTASIES : 1;
    *b = (struct hn_belief){ .gp = gp, .n = (int)n, .fantasies = (int)m };
    size_t room = n * (size_t)gp->d + n * n + m * n + m + 4 * n;
    b->x = hn_alloc(gp->mem, room * sizeof(double));
    if (!b->x) return hn_nomem(err, "the posterior", room * sizeof(double));
    b->l = b->x + n * (size_t)gp->d;
    b->alpha = b->l + n * n;
    b->best = b->alpha + m * n;
    b->work = b->best + m;
    copy_points(b, pending, n_pending);
    if (!factor(b)) {
        hn_belief_free(b);
        return hn_fail(err, HONE_E_INTERNAL, "gp",
                       "the covariance of %zu trials is not positive definite", n);
    }
    fantasise(b, key);
    return HONE_OK;
}

void hn_belief_free(struct hn_belief *b)
{
    if (b->gp) hn_free(b->gp->mem, b->x);
    *b = (struct hn_belief){ 0 };
}

/* k and v = L⁻¹ k; returns the standard deviation, 0 when it is at its least. dk may be NULL. */
static double solve_at(const struct hn_belief *b, const double *e, double *k, double *dk, double *v)
{
    const struct hn_gp *g = b->gp;
    hn_gp_kernel(g->theta, g->d, g->categorical, b->x, (size_t)b->n, b->n, e, k, dk);
    memcpy(v, k, (size_t)b->n * sizeof *v);
    cblas_dtrsv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, b->n, b->l, b->n, v, 1);
    double var = exp(g->theta[g->d]) - cblas_ddot(b->n, v, 1, v, 1);
    return var > LEAST_VARIANCE ? sqrt(var) : 0;
}

void hn_belief_at(const struct hn_belief *b, const double *e, double *mean, double *sd)
{
    double *k = b->work, *v = k + b->n;
    *sd = fmax(solve_at(b, e, k, NULL, v), sqrt(LEAST_VARIANCE));
    *mean = cblas_ddot(b->n, k, 1, b->alpha, 1);
}

/* ---- acquisition ---------------------------------------------------------------------------------------------------- */

struct term {
    double f, dmu, dsd;
};

static struct term term_of(const struct hn_acquire *q, double mu, double sd, double best)
{
    double z = (best - mu) / sd, r;
    if (q->kind == HN_ACQ_UCB) return (struct term){ q->kappa * sd - mu, -1, q->kappa };
    if (q->kind == HN_ACQ_PI) {
        z -= XI / sd;
        double f = hn_log_normal_cdf(z);
        r = exp(-0.5 * z * z - 0.5 * LOG_2PI - f);
        return (struct term){ f, -r / sd, -r * z / sd };
    }
    r = hn_log_h_slope(z);
    return (struct term){ log(sd) + hn_log_h(z), -r / sd, (1 - r * z) / sd };
}

/* The mean over fantasies (of logarithms' exponentials, except for ucb); weights: each term's share in the derivative. */
static double combine(enum hn_acquisition kind, const struct term *t, int m, double *weights)
{
    double top = t[0].f, sum = 0, f = 0;
    if (kind == HN_ACQ_UCB) {
        for (int i = 0; i < m; i++) f += t[i].f / m, weights[i] = 1.0 / m;
        return f;
    }
    for (int i = 1; i < m; i++) top = fmax(top, t[i].f);
    for (int i = 0; i < m; i++) sum += weights[i] = exp(t[i].f - top);
    for (int i = 0; i < m; i++) weights[i] /= sum;
    f = top + log(sum / m);
    if (kind != HN_ACQ_EI) return f;
    f = exp(f);
    for (int i = 0; i < m; i++) weights[i] *= f;
    return f;
}

static double value(const struct hn_acquire *q, const double *mean, double sd, struct term *t,
                    double *weights)
{
    int m = q->belief->fantasies;
    for (int i = 0; i < m; i++) t[i] = term_of(q, mean[i], sd, q->belief->best[i]);
    return combine(q->kind, t, m, weights);
}

double hn_acquire_at(const struct hn_acquire *q, const double *e, double *grad)
{
    const struct hn_belief *b = q->belief;
    if (q->path) {
        double f = hn_path_at(q->path, e, grad);
        for (int a = 0; grad && a < q->gp->d; a++) grad[a] = -grad[a];
        return -f;
    }
    const struct hn_gp *g = b->gp;
    struct term t[HN_FANTASIES];
    double mean[HN_FANTASIES], weights[HN_FANTASIES];
    int n = b->n;
    double *k = b->work, *v = k + n, *dk = v + n, *c = dk + n;
    double sd = solve_at(b, e, k, grad ? dk : NULL, v), dsd = 0;
    for (int m = 0; m < b->fantasies; m++)
        mean[m] = cblas_ddot(n, k, 1, b->alpha + (size_t)m * (size_t)n, 1);
    double f = value(q, mean, fmax(sd, sqrt(LEAST_VARIANCE)), t, weights);
    if (!grad) return f;
    memset(c, 0, (size_t)n * sizeof *c);
    for (int m = 0; m < b->fantasies; m++) {
        cblas_daxpy(n, weights[m] * t[m].dmu, b->alpha + (size_t)m * (size_t)n, 1, c, 1);
        dsd += weights[m] * t[m].dsd;
    }
    if (sd > 0) { /* ∇σ = -(∂k)ᵀ C⁻¹ k / σ */
        cblas_dtrsv(CblasColMajor, CblasLower, CblasTrans, CblasNonUnit, n, b->l, n, v, 1);
        cblas_daxpy(n, -dsd / sd, v, 1, c, 1);
    }
    for (int i = 0; i < n; i++) c[i] *= dk[i];
    for (int a = 0; a < g->d; a++) {
        const double *p = b->x + (size_t)a * (size_t)n;
        double sum = 0;
        for (int i = 0; i < n && !g->categorical[a]; i++) sum += c[i] * (e[a] - p[i]);
        grad[a] = 2 * exp(g->theta[a]) * sum;
    }
    return f;
}

void hn_acquire_many(const struct hn_acquire *q, const double *e, int m, double *work, double *out)
{
    const struct hn_belief *b = q->belief;
    const struct hn_gp *g = q->gp;
    struct term t[HN_FANTASIES];
    double mean[HN_FANTASIES], weights[HN_FANTASIES];
    size_t d = (size_t)g->d;
    if (q->path) {
        for (int j = 0; j < m; j++) out[j] = hn_acquire_at(q, e + (size_t)j * d, NULL);
        return;
    }
    size_t n = (size_t)b->n;
    double *means = work + n * CHUNK;
    for (int from = 0; from < m; from += CHUNK) {
        int now = m - from < CHUNK ? m - from : CHUNK;
        for (int j = 0; j < now; j++)
            hn_gp_kernel(g->theta, g->d, g->categorical, b->x, n, b->n, e + (size_t)(from + j) * d,
                         work + (size_t)j * n, NULL);
        cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, now, b->fantasies, b->n, 1.0, work,
                    b->n, b->alpha, b->n, 0.0, means, CHUNK);
        cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, b->n, now,
                    1.0, b->l, b->n, work, b->n);
        for (int j = 0; j < now; j++) {
            const double *v = work + (size_t)j * n;
            double var = exp(g->theta[g->d]) - cblas_ddot(b->n, v, 1, v, 1);
            for (int k = 0; k < b->fantasies; k++) mean[k] = means[k * CHUNK + j];
            out[from + j] = value(q, mean, sqrt(fmax(var, LEAST_VARIANCE)), t, weights);
        }
    }
}
