/* SPDX-License-Identifier: MIT
 *
 * The learning rate range test (Smith 2017, "Cyclical learning rates"), in the form of fastai and Lightning: the rate grows
 * exponentially from step to step, the batches' losses are smoothed (an exponential mean of 0.98, bias-corrected), and the
 * test is over when the smoothed loss exceeds four times its least, or a loss is not finite. Two places of the curve are
 * told: where the smoothed loss falls most steeply over the logarithm of the rate on its way to its lowest (Lightning), once a
 * quarter of that way is done and it lies three standard errors below the mean of all batches so far: in the beginning of the mean a
 * single batch moves it; and half way down its longest valley (fastai's
 * default, `valley` in fastai/callback/schedule.py). The mean lags behind the batches, so the first is often too high; the second is
 * often too low. Suggested is the rate in the middle, their geometric mean. */
#ifndef HN_RANGE_H
#define HN_RANGE_H

#include "ops/base/memory.h"

struct hn_range_point {
    double lr, loss, smoothed;
};
enum { HN_RANGE_MOST = 10000 }; /* points: the valley is searched in their square */

struct hn_range {
    struct hn_range_point *point;
    int n, steps;      /* taken; at most */
    double mean, best; /* before the correction; the least smoothed loss */
};

/* The rate of step k of `steps`: low first, high last. */
double hn_range_rate(double low, double high, int k, int steps);
/* The next point. 0: the loss has grown too much, the point is the last one. Never in the first tenth of the steps, where
 * batches differ more than rates. */
int hn_range_add(struct hn_range *r, double lr, double loss);
/* Points without the first tenth and the end of the curve; -1: the loss does not fall there. valley needs an int per point. */
int hn_range_steepest(const struct hn_range *r);
int hn_range_valley(const struct hn_range *r, int *room);
/* The rate to suggest, from these two, of which the first is there. */
double hn_range_suggestion(const struct hn_range *r, int steepest, int valley);
/* From where on the smoothed loss stays a tenth above its lowest; -1: nowhere. */
int hn_range_rises(const struct hn_range *r);
#endif
