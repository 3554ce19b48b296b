/* SPDX-License-Identifier: MIT
 *
 * What the loss rows share. A loss sees rows (for ce and nll all dims of the prediction but the last, else the first
 * dim), a weight for each (absent: 1; fewer weights than rows: each serves a run of rows), and adds sum(w l) and sum(w)
 * to call.loss. attrs.weight and the division belong to whoever reads call.loss:
 *     loss = attrs.weight * sum(w l) / sum(w), and 0 where sum(w) is 0
 * The gradient that backward writes is of that loss, seed 1. */
#ifndef HN_LOSS_H
#define HN_LOSS_H

#include "ops/math/row.h"

struct hn_loss_rows {
    int64_t rows, cols, per_weight; /* rows that share one weight */
    const double *w;                /* NULL: 1 each */
};
/* classes: 1 for ce and nll. */
void hn_loss_rows_of(const struct hn_call *c, int classes, struct hn_loss_rows *r);
static inline double hn_loss_weight(const struct hn_loss_rows *r, int64_t i)
{
    return r->w ? r->w[i / r->per_weight] : 1;
}
/* attrs.weight / sum(w): what a row's gradient is multiplied with, beside its own weight. */
double hn_loss_scale(const struct hn_call *c, const struct hn_loss_rows *r);
/* The class of row i, or -1 when the target is not a class (then the row's loss is NaN and its gradient nothing). */
int64_t hn_loss_class(const double *target, int64_t i, int64_t n_classes);

/* Shapes of ce and nll: target [rows] or [rows,1], or the prediction's shape when dense. */
hone_status hn_loss_shape_classes(const struct hn_op *op, const struct hn_shape *xs,
                                  struct hn_shape *ys, const char *where, hone_error *err);
/* Shapes of the losses by element: target as many elements as the prediction. */
hone_status hn_loss_shape_elements(const struct hn_op *op, const struct hn_shape *xs,
                                   struct hn_shape *ys, const char *where, hone_error *err);
#endif
