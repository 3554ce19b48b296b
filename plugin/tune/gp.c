/* SPDX-License-Identifier: MIT
 *
 * Gaussian process regression with LAPACK; see gp.h. The prior is what keeps a fit to five points sane:
 *   length-scales              log-normal around half an axis, exp(-0.7 ± 1)
 *   signal                     Gamma(2, 1)
 *   noise                      Gamma(1.1, 30): small, but free to grow */
#include "plugin/tune/gp.h"
#include "plugin/tune/lbfgs.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

/* LAPACK as Fortran sees it; the last argument is the length of the text. */
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t len);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t len);

int hn_cholesky(double *a, int n)
{
    int info = 0;
    dpotrf_("L", &n, a, &n, &info, 1);
    return info == 0;
}

hone_status hn_gp_init(struct hn_gp *g, struct hn_mem *m, int n, int d,
                       const unsigned char *categorical, hone_error *err)
{
    size_t nn = (size_t)n * (size_t)n;
    *g = (struct hn_gp){ .mem = m, .n = n, .d = d, .categorical = categorical };
    g->x = hn_calloc(m, (size_t)n * (size_t)d, sizeof *g->x);
    g->y = hn_calloc(m, (size_t)n, sizeof *g->y);
    g->noise = hn_calloc(m, (size_t)n, sizeof *g->noise);
    g->theta = hn_calloc(m, (size_t)d + 2, sizeof *g->theta);
    g->l = hn_calloc(m, nn, sizeof *g->l);
    g->k = hn_calloc(m, nn, sizeof *g->k);
    g->dk = hn_calloc(m, nn, sizeof *g->dk);
    g->alpha = hn_calloc(m, (size_t)n, sizeof *g->alpha);
    if (g->x && g->y && g->noise && g->theta && g->l && g->k && g->dk && g->alpha) return HONE_OK;
    hn_gp_free(g);
    return hn_nomem(err, "the Gaussian process", 3 * nn * sizeof *g->l);
}

void hn_gp_free(struct hn_gp *g)
{
    if (!g->mem) return;
    double *all[] = { g->x, g->y, g->noise, g->theta, g->l, g->k, g->dk, g->alpha };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) hn_free(g->mem, all[i]);
    *g = (struct hn_gp){ 0 };
}

void hn_gp_start(const struct hn_gp *g, double *theta)
{
    for (int i = 0; i <= g->d; i++) theta[i] = 0;
    theta[g->d + 1] = log(0.01);
}

/* ---- the kernel ------------------------------------------------------------------------------------------------------ */

void hn_gp_kernel(const double *theta, int d, const unsigned char *categorical, const double *x,
                  size_t ld, int n, const double *e, double *k, double *dk)
{
    double s = exp(theta[d]);
    for (int i = 0; i < n; i++) k[i] = 0;
    for (int a = 0; a < d; a++) {
        const double *p = x + (size_t)a * ld;
        double w = exp(theta[a]), at = e[a];
        if (categorical[a])
            for (int i = 0; i < n; i++) k[i] += p[i] == at ? 0.0 : w;
        else
            for (int i = 0; i < n; i++) k[i] += w * (p[i] - at) * (p[i] - at);
    }
    for (int i = 0; i < n; i++) {
        double q = k[i], r = sqrt(5 * q), e0 = s * exp(-r);
        k[i] = e0 * (1 + r + (5.0 / 3.0) * q);
        if (dk) dk[i] = -(5.0 / 6.0) * e0 * (1 + r);
    }
}

/* Lower triangles of k, dk and of cov(y) in l. */
static void covariance(struct hn_gp *g, const double *theta, int want_dk)
{
    double v = HN_GP_NOISE_FLOOR + exp(theta[g->d + 1]), e[HN_GP_AXES];
    size_t n = (size_t)g->n;
    for (int j = 0; j < g->n; j++) {
        size_t at = (size_t)j * n + (size_t)j;
        for (int a = 0; a < g->d; a++) e[a] = g->x[(size_t)a * n + (size_t)j];
        hn_gp_kernel(theta, g->d, g->categorical, g->x + j, n, g->n - j, e, g->k + at,
                     want_dk ? g->dk + at : NULL);
        memcpy(g->l + at, g->k + at, (n - (size_t)j) * sizeof(double));
        g->l[at] += v + g->noise[j];
    }
}

/* ---- the loss ---------------------------------------------------------------------------------------------------------- */

static double prior(int d, const double *theta, double *grad)
{
    static const double middle = -0.7, variance = 1; /* of the logarithm of a length-scale */
    double f = 0, s = exp(theta[d]), v = exp(theta[d + 1]);
    for (int a = 0; a < d; a++) {
        double off = -0.5 * theta[a] - middle;
        f += 0.5 * off * off / variance;
        if (grad) grad[a] -= 0.5 * off / variance;
    }
    f += s - theta[d];
    f += 30 * (v + HN_GP_NOISE_FLOOR) - 0.1 * log(v + HN_GP_NOISE_FLOOR);
    if (grad) {
        grad[d] += s - 1;
        grad[d + 1] += 30 * v - 0.1 * v / (v + HN_GP_NOISE_FLOOR);
    }
    return f;
}

static void solve(const double *l, int n, double *b)
{
    cblas_dtrsv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, n, l, n, b, 1);
    cblas_dtrsv(CblasColMajor, CblasLower, CblasTrans, CblasNonUnit, n, l, n, b, 1);
}

/* grad = ½ tr((C⁻¹ - α αᵀ) dC/dθ), with C⁻¹ in `inverse`. */
static void likelihood_gradient(const struct hn_gp *g, const double *theta, const double *inverse,
                                double *grad)
{
    size_t n = (size_t)g->n;
    double signal = 0, noise = 0;
    for (size_t j = 0; j < n; j++) {
        const double *inv = inverse + j * n, *k = g->k + j * n;
        double *c = g->dk + j * n, aj = g->alpha[j], diagonal = inv[j] - aj * aj;
        signal += 0.5 * diagonal * k[j];
        noise += 0.5 * diagonal;
        for (size_t i = j + 1; i < n; i++) {
            double m = inv[i] - g->alpha[i] * aj;
            signal += m * k[i];
            c[i] *= m;
        }
        for (int a = 0; a < g->d; a++) {
            const double *p = g->x + (size_t)a * n;
            double at = p[j], sum = 0;
            if (g->categorical[a])
                for (size_t i = j + 1; i < n; i++) sum += p[i] == at ? 0.0 : c[i];
            else
                for (size_t i = j + 1; i < n; i++) sum += c[i] * (p[i] - at) * (p[i] - at);
            grad[a] += sum * exp(theta[a]);
        }
    }
    grad[g->d] += signal;
    grad[g->d + 1] += noise * exp(theta[g->d + 1]);
}

double hn_gp_loss(struct hn_gp *g, const double *theta, double *grad)
{
    int n = g->n, info = 0;
    double f = 0;
    covariance(g, theta, grad != NULL);
    if (!hn_cholesky(g->l, n)) return (double)INFINITY;
    memcpy(g->alpha, g->y, (size_t)n * sizeof(double));
    solve(g->l, n, g->alpha);
    for (int i = 0; i < n; i++)
        f += 0.5 * g->y[i] * g->alpha[i] + log(g->l[(size_t)i * (size_t)n + (size_t)i]);
    if (!grad) return f + prior(g->d, theta, NULL);
    memset(grad, 0, ((size_t)g->d + 2) * sizeof *grad);
    /* the inverse takes the place of the factor, which is made again when the fit is done */
    dpotri_("L", &n, g->l, &n, &info, 1);
    if (info != 0) return (double)INFINITY;
    likelihood_gradient(g, theta, g->l, grad);
    return f + prior(g->d, theta, grad);
}

/* ---- fitting ----------------------------------------------------------------------------------------------------------- */

static double loss_of(void *user, const double *x, double *grad)
{
    return hn_gp_loss(user, x, grad);
}

hone_status hn_gp_factor(struct hn_gp *g, hone_error *err)
{
    for (int k = 0; k <= 5; k++) {
        covariance(g, g->theta, 0);
        double jitter = k ? 1e-9 * pow(10, k) * exp(g->theta[g->d]) : 0;
        for (int i = 0; i < g->n; i++) g->l[(size_t)i * (size_t)g->n + (size_t)i] += jitter;
        if (!hn_cholesky(g->l, g->n)) continue;
        memcpy(g->alpha, g->y, (size_t)g->n * sizeof(double));
        solve(g->l, g->n, g->alpha);
        return HONE_OK;
    }
    return hn_fail(err, HONE_E_INTERNAL, "gp",
                   "the covariance of %d trials is not positive definite", g->n);
}

hone_status hn_gp_fit(struct hn_gp *g, int two, int max_evals, hone_error *err)
{
    enum { BOUND = 12 };
    int p = g->d + 2;
    size_t room = 4 * (size_t)p + hn_lbfgs_work(p);
    double *low = hn_alloc(g->mem, room * sizeof(double));
    if (!low) return hn_nomem(err, "the fit of a Gaussian process", room * sizeof(double));
    double *high = low + p, *other = high + p, *work = other + p;
    for (int i = 0; i < p; i++) low[i] = -BOUND, high[i] = BOUND;
    low[p - 1] = -20, high[p - 1] = 1;
    struct hn_lbfgs job = { .n = p,
                            .low = low,
                            .high = high,
                            .max_evals = max_evals,
                            .gtol = 1e-2,
                            .f = loss_of,
                            .user = g };
    double f = hn_lbfgs_run(&job, g->theta, work, NULL);
    if (two || !isfinite(f)) {
        hn_gp_start(g, other);
        double f2 = hn_lbfgs_run(&job, other, work, NULL);
        if (f2 < f || !isfinite(f)) memcpy(g->theta, other, (size_t)p * sizeof(double));
    }
    hn_free(g->mem, low);
    return hn_gp_factor(g, err);
}
