/* SPDX-License-Identifier: MIT
 *
 * A draw from the posterior as a function of the point. The prior part is sqrt(2 s / D) Σ_j c_j cos(ω_j·u + b_j) with ω drawn
 * from the spectrum of Matérn-5/2 (a normal vector over sqrt(χ²_5 / 5), by length-scale); a categorical axis is a one-hot
 * vector over √2, so that two different choices are at distance 1. The data's part is kᵀ C⁻¹ (y - prior(X) - ε). */
#include "ops/base/rng.h"
#include "plugin/tune/acquire.h"
#include "plugin/tune/sampler_own.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

enum { FEATURES = 512 };

struct hn_path {
    const struct hn_gp *gp;
    const int *levels;
    int *first;     /* [d]: column of axis a in omega */
    int width;      /* columns: one a numeric axis, levels + 1 a categorical one */
    double *omega;  /* [width][FEATURES] */
    double *offset; /* [FEATURES] */
    double *weight; /* [FEATURES]: sqrt(2 s / D) c */
    double *alpha;  /* [n] */
    double *work;   /* FEATURES + 2 n */
};

static double wave(const struct hn_path *p, const double *e, double *angle)
{
    double f = 0;
    memcpy(angle, p->offset, FEATURES * sizeof *angle);
    for (int a = 0; a < p->gp->d; a++) {
        const double *w = p->omega + (size_t)p->first[a] * FEATURES;
        if (p->levels[a])
            cblas_daxpy(FEATURES, 0.7071067811865476, w + ((size_t)e[a] + 1) * FEATURES, 1, angle,
                        1);
        else
            cblas_daxpy(FEATURES, e[a], w, 1, angle, 1);
    }
    for (int j = 0; j < FEATURES; j++) f += p->weight[j] * cos(angle[j]);
    return f;
}

double hn_path_at(const struct hn_path *p, const double *e, double *grad)
{
    const struct hn_gp *g = p->gp;
    double *angle = p->work, *k = angle + FEATURES, *dk = k + g->n;
    double f = wave(p, e, angle);
    hn_gp_kernel(g->theta, g->d, g->categorical, g->x, (size_t)g->n, g->n, e, k, grad ? dk : NULL);
    f += cblas_ddot(g->n, k, 1, p->alpha, 1);
    if (!grad) return f;
    for (int j = 0; j < FEATURES; j++) angle[j] = -p->weight[j] * sin(angle[j]);
    for (int i = 0; i < g->n; i++) dk[i] *= p->alpha[i];
    for (int a = 0; a < g->d; a++) {
        const double *x = g->x + (size_t)a * (size_t)g->n;
        double sum = 0;
        grad[a] = 0;
        if (g->categorical[a]) continue;
        for (int i = 0; i < g->n; i++) sum += dk[i] * (e[a] - x[i]);
        grad[a] = 2 * exp(g->theta[a]) * sum +
                  cblas_ddot(FEATURES, p->omega + (size_t)p->first[a] * FEATURES, 1, angle, 1);
    }
    return f;
}

static void draw_waves(struct hn_path *p, const uint32_t key[2])
{
    const struct hn_gp *g = p->gp;
    uint64_t at = 0;
    for (int j = 0; j < FEATURES; j++) {
        double chi2 = 0;
        for (int k = 0; k < 5; k++) {
            double v = hn_rng_normal(key, HN_SEARCH_WAVE, at++);
            chi2 += v * v;
        }
        double spread = 1 / sqrt(fmax(chi2, 1e-12) / 5);
        for (int a = 0; a < g->d; a++)
            for (int c = 0; c < (p->levels[a] ? p->levels[a] + 1 : 1); c++)
                p->omega[(size_t)(p->first[a] + c) * FEATURES + (size_t)j] =
                    hn_rng_normal(key, HN_SEARCH_WAVE, at++) * spread * exp(0.5 * g->theta[a]);
        p->offset[j] = 6.283185307179586 * hn_rng_uniform(key, HN_SEARCH_WAVE, at++);
        p->weight[j] =
            sqrt(2 * exp(g->theta[g->d]) / FEATURES) * hn_rng_normal(key, HN_SEARCH_WAVE, at++);
    }
}

static void correct(struct hn_path *p, const uint32_t key[2])
{
    const struct hn_gp *g = p->gp;
    double v = HN_GP_NOISE_FLOOR + exp(g->theta[g->d + 1]), e[HN_GP_AXES];
    for (int i = 0; i < g->n; i++) {
        for (int a = 0; a < g->d; a++) e[a] = g->x[(size_t)a * (size_t)g->n + (size_t)i];
        p->alpha[i] = g->y[i] - wave(p, e, p->work) -
                      sqrt(v + g->noise[i]) * hn_rng_normal(key, HN_SEARCH_FANTASY, (uint64_t)i);
    }
    cblas_dtrsv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, g->n, g->l, g->n, p->alpha,
                1);
    cblas_dtrsv(CblasColMajor, CblasLower, CblasTrans, CblasNonUnit, g->n, g->l, g->n, p->alpha, 1);
}

hone_status hn_path_draw(const struct hn_gp *gp, const int *levels, const uint32_t key[2],
                         struct hn_path **out, hone_error *err)
{
    struct hn_path *p = hn_calloc(gp->mem, 1, sizeof *p);
    *out = NULL;
    if (!p) return hn_nomem(err, "a draw from the posterior", sizeof *p);
    p->gp = gp;
    p->levels = levels;
    p->first = hn_calloc(gp->mem, (size_t)gp->d + 1, sizeof *p->first);
    for (int a = 0; p->first && a < gp->d; a++) {
        p->first[a] = p->width;
        p->width += levels[a] ? levels[a] + 1 : 1;
    }
    size_t room = ((size_t)p->width + 3) * FEATURES + 3 * (size_t)gp->n;
    p->omega = p->first ? hn_alloc(gp->mem, room * sizeof(double)) : NULL;
    if (!p->omega) {
        hn_path_free(p);
        return hn_nomem(err, "a draw from the posterior", room * sizeof(double));
    }
    p->offset = p->omega + (size_t)p->width * FEATURES;
    p->weight = p->offset + FEATURES;
    p->work = p->weight + FEATURES;
    p->alpha = p->work + FEATURES + 2 * gp->n;
    draw_waves(p, key);
    correct(p, key);
    *out = p;
    return HONE_OK;
}

void hn_path_free(struct hn_path *p)
{
    if (!p) return;
    hn_free(p->gp->mem, p->first);
    hn_free(p->gp->mem, p->omega);
    hn_free(p->gp->mem, p);
}
