/* SPDX-License-Identifier: MIT
 *
 * What the Gaussian process sampler is made of: values made gentle (gp_values.c), points as the kernel sees them and the search
 * for the largest acquisition (gp_search.c); gp_propose.c puts them together.
 *
 * A latent point has one number an axis, also of inactive ones: the place in the unit cube (discrete axes: the middle of a
 * cell), the index of a choice. An encoded point is what the kernel sees: inactive axes are 0.5, or -1 as a choice. */
#ifndef HN_GP_SEARCH_H
#define HN_GP_SEARCH_H

#include "plugin/tune/acquire.h"
#include "plugin/tune/sampler_own.h"

/* y[0..n): values far worse than the median (beyond three spreads of the better half; where that is all ties, median and
 * spread of the different values) are compressed to their logarithm (losses have heavy tails); then mean 0, variance 1. noise
 * is scaled along. */
hone_status hn_gp_tame(struct hn_mem *m, double *y, double *noise, int n, hone_error *err);

struct hn_gp_space {
    const struct hn_search_space *s;
    unsigned char categorical[HN_GP_AXES];
    int levels[HN_GP_AXES]; /* choices, of categorical axes */
};
void hn_gp_space_init(struct hn_gp_space *p, const struct hn_search_space *s);
void hn_gp_encode(const struct hn_gp_space *p, const double *x,
                  double *e); /* a point of the space */
void hn_gp_latent(const struct hn_gp_space *p, const double *x,
                  double *z); /* inactive axes: the middle */
void hn_gp_settle(const struct hn_gp_space *p, const double *z,
                  double *x); /* the point a latent one stands for */

struct hn_gp_search {
    const struct hn_ask *ask;
    const struct hn_tried *tried;
    const struct hn_gp_space *space;
    const struct hn_acquire *acquire;
    const double *theta;
    uint32_t key[2];
};
/* The untried point with the largest acquisition that was found. When all that was found has been tried, the best one. */
hone_status hn_gp_maximize(const struct hn_gp_search *q, double *x, hone_error *err);
#endif
