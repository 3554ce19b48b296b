/* SPDX-License-Identifier: MIT
 *
 * Pruning: is a running trial worth going on? A function of the values it is shown and of nothing
 * else; who wants the same decisions for any number of workers shows the trials that the lag
 * lets count (study.h), as they will be when they have ended.
 *
 * median     goes on when its best value so far is no worse than the median of what the others had
 *            at the same step at best; asks nothing of the first steps, and needs some finished
 *            trials
 * hyperband  brackets by the trial's number; in bracket s the rungs are at steps first * eta^(s+k).
 *            At a rung a trial goes on when it is among the best floor(m/eta) of the m values
 *            recorded there by its bracket, its own included; of the first eta - 1 to arrive only
 *            when it is the best (Li and others, "Hyperband", JMLR 18, 2018; Jamieson and Talwalkar
 *            for the halving)
 *
 * A value that is not a number is pruned by both. Steps count from 1 and rise. */
#ifndef HN_PRUNE_H
#define HN_PRUNE_H

#include "plugin/tune/study.h"

enum hn_pruner_kind { HN_PRUNER_NONE, HN_PRUNER_MEDIAN, HN_PRUNER_HYPERBAND, HN_PRUNERS };
extern const char *const hn_pruner_names[HN_PRUNERS + 1]; /* "none", "median", "hyperband", NULL */

struct hn_pruner {
    enum hn_pruner_kind kind;
    int maximize;
    int startup;    /* median: finished trials before it speaks; 0: 5 */
    int64_t warmup; /* median: steps that are always run */
    int64_t first;  /* hyperband: the first rung of bracket 0; 0: last / 100, at least 1 */
    int64_t last;   /* hyperband: steps of a whole trial */
    int eta;        /* hyperband; 0: 3 */
};
struct hn_trial_step {
    int64_t step;
    double value;
};
struct hn_curve {
    int64_t number; /* of the trial */
    int finished;   /* ended, not by being pruned */
    const struct hn_trial_step *steps;
    size_t n;
};
/* 1: end the trial whose newest value is the last of own->steps. */
int hn_prune(const struct hn_pruner *p, const struct hn_curve *own, const struct hn_curve *others,
             size_t n);
/* hyperband: how many brackets, and the one of a trial. */
int hn_prune_brackets(const struct hn_pruner *p);
int hn_prune_bracket(const struct hn_pruner *p, int64_t number);
#endif
