/* SPDX-License-Identifier: MIT
 *
 * Acquisition functions: how much a point promises, given what a Gaussian process thinks of it. Values are minimised, the
 * acquisition is maximised; z = (best - μ) / σ.
 *
 *     ei       σ h(z), h = φ + z Φ                 logei   its logarithm, exact far into the tail
 *     pi       log Φ((best - ξ - μ) / σ), ξ = 0.01
 *     ucb      κ σ - μ, κ = 2, more after a trial that repeated another one (gp_propose.c)
 *     thompson a random draw from the posterior, as a function (Wilson and others, "Efficiently sampling functions from
 *              Gaussian process posteriors", 2020): a prior draw from random Fourier features plus the data's correction
 *
 * Trials that are running have no value: ei, logei, pi and ucb are means over fantasies, joint draws of what those values may
 * turn out to be, so that a second proposal keeps away from where the first one will already tell. */
#ifndef HN_ACQUIRE_H
#define HN_ACQUIRE_H

#include "plugin/tune/gp.h"
#include "plugin/tune/sampler.h"

/* log(φ(z) + z Φ(z)) and its derivative Φ/h, for any z. */
double hn_log_h(double z);
double hn_log_h_slope(double z);
double hn_log_normal_cdf(double z);
double hn_normal_quantile(double p); /* p in (0,1) */

enum { HN_FANTASIES = 16 };
struct
    hn_belief { /* the posterior with `pending` points appended to the n of the process, and fantasies of their values */
    const struct hn_gp *gp;
    int n, fantasies; /* points; 1 without pending points */
    double *x;        /* [d][n] */
    double *l;        /* n x n */
    double *alpha;    /* [fantasies][n] */
    double *best;     /* [fantasies]: lowest posterior mean at a point */
    double *work;     /* 4 n */
};
/* pending: n_pending points of d doubles, row by row. Random numbers from key, stream HN_SEARCH_FANTASY. */
hone_status hn_belief_init(struct hn_belief *b, const struct hn_gp *gp, const double *pending,
                           int n_pending, const uint32_t key[2], hone_error *err);
void hn_belief_free(struct hn_belief *b);
/* Posterior mean of fantasy 0 and standard deviation at e. */
void hn_belief_at(const struct hn_belief *b, const double *e, double *mean, double *sd);

/* A draw from the posterior. levels[a]: choices of a categorical axis (values -1 … levels-1), else 0. */
struct hn_path;
hone_status hn_path_draw(const struct hn_gp *gp, const int *levels, const uint32_t key[2],
                         struct hn_path **out, hone_error *err);
void hn_path_free(struct hn_path *p);
double hn_path_at(const struct hn_path *p, const double *e, double *grad); /* grad may be NULL */

struct hn_acquire {
    enum hn_acquisition kind;
    const struct hn_gp *gp;
    struct hn_belief *belief; /* all but thompson */
    struct hn_path *path;     /* thompson */
    double kappa;             /* ucb */
};
/* The acquisition at e and its gradient (d doubles; 0 on categorical axes; NULL: not wanted). */
double hn_acquire_at(const struct hn_acquire *q, const double *e, double *grad);
/* The same for m points, row by row, without gradients. work: 128 n + 128 HN_FANTASIES doubles. */
void hn_acquire_many(const struct hn_acquire *q, const double *e, int m, double *work, double *out);
#endif
