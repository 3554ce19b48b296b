/* SPDX-License-Identifier: MIT
 *
 * A Gaussian process over encoded points: Matérn-5/2 with one length-scale an axis (ARD).
 *
 *     k(a, b) = s (1 + r + r²/3) e^-r,   r² = 5 q,   q = sum_i w_i Δ_i²        cov(y) = K + diag(v + noise_i)
 *
 * Δ_i is the difference on a numeric axis, and 0 or 1 (same or not) on a categorical one. Parameters are θ = (log w_1 … log
 * w_d, log s, log(v - floor)), fitted to the maximum of likelihood times prior. Derivatives go through q, which has no 0/0 at
 * a = b: dk/dq = -(5/6) s (1 + r) e^-r. Doubles only; matrices by columns, lower triangles. */
#ifndef HN_GP_H
#define HN_GP_H

#include "ops/base/memory.h"
#include "ops/base/status.h"

enum { HN_GP_AXES = 256 };

struct hn_gp {
    struct hn_mem *mem;
    int n, d;
    const unsigned char *categorical; /* d flags; borrowed */
    double *x;                        /* [d][n]: axis by axis */
    double *y, *noise;                /* n; noise: known variance of y */
    double *theta;                    /* d + 2 */
    double *l;                        /* n x n: Cholesky factor of cov(y) */
    double *k, *dk;                   /* n x n: signal part and dk/dq, then work */
    double *alpha;                    /* n: cov(y)^-1 y */
};
#define HN_GP_NOISE_FLOOR 1e-8

/* Room for n points on d axes; the caller fills x, y and noise. */
hone_status hn_gp_init(struct hn_gp *g, struct hn_mem *m, int n, int d,
                       const unsigned char *categorical, hone_error *err);
void hn_gp_free(struct hn_gp *g); /* a zeroed one is fine */

void hn_gp_start(const struct hn_gp *g,
                 double *theta); /* where a fit begins without better knowledge */
/* -log(likelihood × prior) at theta up to a constant, and its gradient (NULL: not wanted); +inf when the covariance is not
 * positive definite. Leaves l and alpha of theta behind. */
double hn_gp_loss(struct hn_gp *g, const double *theta, double *grad);
/* Fits theta from where it stands and from hn_gp_start (two = 1), at most max_evals losses each, and factors at the better. */
hone_status hn_gp_fit(struct hn_gp *g, int two, int max_evals, hone_error *err);
/* Factors at g->theta; adds to the diagonal when rounding asks for it. HONE_E_INTERNAL when even that does not help. */
hone_status hn_gp_factor(struct hn_gp *g, hone_error *err);

/* k and dk/dq (NULL: not wanted) between n points x ([d][n], leading dimension ld) and the point e (d doubles). */
void hn_gp_kernel(const double *theta, int d, const unsigned char *categorical, const double *x,
                  size_t ld, int n, const double *e, double *k, double *dk);
/* In place: the lower Cholesky factor of the n x n matrix a; 0 when it is not positive definite. */
int hn_cholesky(double *a, int n);
#endif
