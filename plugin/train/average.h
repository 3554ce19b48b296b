/* SPDX-License-Identifier: MIT
 *
 * Stochastic weight averaging (Izmailov et al. 2018), as PyTorch's AveragedModel and update_bn: the weights at the ends of
 * epochs, each counting the same, average += (w - average) / (n + 1), the first one copied. The running statistics of
 * BatchNormalization are no average: they are measured anew for the averaged weights, each time, over the training rows in
 * their order and in batches of the run's size: means of the batches' mean and (N - 1) variance, each batch weighted by its rows
 * (update_bn counts all batches alike, which differs by the short last one). Dropout and augmentation are off there. Training itself
 * goes on from its own weights and statistics. */
#ifndef HN_AVERAGE_H
#define HN_AVERAGE_H

#include "plugin/train/cohort.h"

struct hn_averager;

/* For member 0 of the cohort, which has slab AVERAGE; borrowed. Whatever it needs is allocated here. */
hone_status hn_averager_create(struct hn_cohort *c, struct hn_averager **out, hone_error *err);
void hn_averager_destroy(struct hn_averager *a); /* NULL allowed */
/* Slab W joins slab AVERAGE as its n-th, counted from 0; host: room for a slab. */
hone_status hn_averager_take(struct hn_averager *a, int64_t n, void *host, hone_error *err);
#endif
