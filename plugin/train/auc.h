/* SPDX-License-Identifier: MIT
 *
 * The area under the ROC curve, by ranks: the chance that a row that is a yes scores above one that is a no, ties half. One
 * column of scores, or several whose areas are averaged with equal weights: classes one against the rest, or outputs that
 * are a yes or no each. A column whose rows are all yes or all no has no area and does not count. scikit-learn calls it
 * roc_auc_score(multi_class="ovr", average="macro"). */
#ifndef HN_AUC_H
#define HN_AUC_H

#include "plugin/internal.h"

struct hn_auc;
/* Room for max_rows scores in each column, none of it allocated later. */
hone_status hn_auc_create(struct hn_mem *mem, int64_t columns, int64_t max_rows,
                          struct hn_auc **out, hone_error *err);
void hn_auc_destroy(struct hn_auc *a); /* NULL allowed */
void hn_auc_put(struct hn_auc *a, int64_t column, int64_t row, double score, int yes);
/* Of rows 0…rows-1: 1 and *out, or 0 where no column has an area. Puts the scores in another order. */
int hn_auc_mean(struct hn_auc *a, int64_t rows, double *out);
/* n logits as log(p / (1 - p)) of their Softmax p: one score a class, which orders rows as p does and goes on where p is
 * rounded to 0 or 1. In place; n >= 2. */
void hn_auc_odds(double *z, int64_t n);
#endif
