/* SPDX-License-Identifier: MIT
 *
 * How much each parameter of a search mattered: how differently it is distributed among the best quarter of the trials and
 * among all of them (Watanabe, Bansal, Hutter, "PED-ANOVA", IJCAI 2023: the Pearson divergence of the two densities), the
 * shares adding up to 1. Pruned trials count with
 * the estimate of their value. A parameter under a condition is looked at among the trials in which it counts (12 at least), and
 * matters by their share. A statement about the trials there are, not about settings nobody tried. */
#ifndef HN_IMPORTANCE_H
#define HN_IMPORTANCE_H

#include "plugin/tune/study.h"

enum { HN_IMPORTANCE_TRIALS = 12 }; /* with fewer finished ones nothing is said */

/* out: space->n shares. *said 0: too few trials, or all alike. */
hone_status hn_importances(struct hn_mem *mem, const struct hn_search_space *space,
                           const struct hn_trial *trials, size_t n, int maximize, double *out,
                           int *said, hone_error *err);
#endif
