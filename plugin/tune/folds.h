/* SPDX-License-Identifier: MIT
 *
 * Folds: which rows judge and which ones train. The same index lists as scikit-learn's KFold, StratifiedKFold, GroupKFold and
 * StratifiedGroupKFold, but for GroupKFold also with shuffle=True and random_state=seed: the random numbers are those of numpy's RandomState (MT19937, masked
 * rejection), whose stream is frozen. Positions are 0 … n-1; the caller knows which rows they stand for. */
#ifndef HN_FOLDS_H
#define HN_FOLDS_H

#include "ops/base/memory.h"
#include "ops/base/status.h"

struct hn_fold_options {
    int64_t n; /* positions, at most UINT32_MAX */
    int k;     /* folds, at least 2 */
    int shuffle;
    uint32_t seed;
    int repeat; /* 0: the first shuffle; r: the folds of the r-th repetition (RepeatedKFold) */
    const int32_t *classes; /* stratified: class of each position, any numbers >= 0; NULL: not */
    /* Whole groups, numbered 0 … n_groups-1 in the order of their names; NULL: none. Without classes they are not shuffled:
     * among groups of equal size the one with the higher number is placed first. */
    const uint32_t *groups;
    uint32_t n_groups;
};
struct hn_folds {
    struct hn_mem *mem;
    int k;
    int64_t n;
    int32_t *fold; /* of each position */
    int64_t *size; /* positions of each fold */
    int small_classes; /* some folds lack a class: it has fewer members than there are folds, or too few groups */
};
/* HONE_E_DATA: more folds than rows, than groups, or than members of the largest class; no group left for a fold. */
hone_status hn_folds_make(struct hn_folds *f, struct hn_mem *mem, const struct hn_fold_options *o,
                          hone_error *err);
void hn_folds_free(struct hn_folds *f); /* a zeroed struct is fine */
/* The positions of fold i (test 1) or of all others (test 0), ascending; dst has room for them. Returns how many. */
int64_t hn_fold_rows(const struct hn_folds *f, int i, int test, uint32_t *dst);
#endif
