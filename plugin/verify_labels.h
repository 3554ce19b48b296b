/* SPDX-License-Identifier: MIT
 *
 * Labels, integers and bools against those of test vectors. */
#ifndef HN_VERIFY_LABELS_H
#define HN_VERIFY_LABELS_H

#include "plugin/discrete.h"

struct hn_label_check {
    const struct hn_discrete *what;
    const void *found; /* of a program, elem bytes each */
    size_t elem;
    const struct hn_tensor *wanted; /* as many elements */
    /* what ArgMax or ArgMin chose them by, [before, size, behind] numbers of the same program, one choice for each element; NULL: nothing did */
    const void *scores;
    int64_t size, behind;
    double rtol, atol;
    /* comes out: */
    int64_t wrong, ties;
    char first[192]; /* the first difference, "element 3: found 'low', wanted 'high'" */
};

/* Equal or different, but for ties: another label was wanted than the one found, and the scores of both are within
 * 2 (atol + rtol |score|) of each other: each could be off by the tolerance once. */
void hn_labels_compare(struct hn_label_check *c);
#endif
