/* SPDX-License-Identifier: MIT
 *
 * Rows, weights and shapes of the losses (see loss.h). */
#include "ops/math/loss.h"

void hn_loss_rows_of(const struct hn_call *c, int classes, struct hn_loss_rows *r)
{
    const struct hn_extent *x = &c->xs[0];
    int64_t n = hn_extent_numel(x);
    r->cols = x->rank == 0 ? 1 : classes ? x->d[x->rank - 1] : hn_span(x, 1, x->rank);
    r->rows = x->rank == 0 ? 1 : classes ? hn_span(x, 0, x->rank - 1) : x->d[0];
    if (n == 0) r->rows = 0;
    r->w = hn_has(c->op, 2) ? c->x[2] : NULL;
    r->per_weight = r->w && r->rows > 0 ? r->rows / hn_extent_numel(&c->xs[2]) : 1;
}

double hn_loss_scale(const struct hn_call *c, const struct hn_loss_rows *r)
{
    const struct hn_loss *a = c->op->attrs;
    double sum = 0;
    for (int64_t i = 0; i < r->rows; i++) sum += hn_loss_weight(r, i);
    return sum != 0 ? a->weight / sum : 0;
}

int64_t hn_loss_class(const double *target, int64_t i, int64_t n_classes)
{
    return target[i] >= 0 && target[i] < (double)n_classes ? (int64_t)target[i] : -1;
}

/* Weights must be one for each row, or one for each run of the same number of rows. */
static hone_status check_weights(const struct hn_op *op, const struct hn_shape *xs,
                                 struct hn_dim rows, const char *where, hone_error *err)
{
    char tw[128], tx[128];
    if (!hn_has(op, 2)) return HONE_OK;
    struct hn_dim w = hn_shape_count(&xs[2]);
    int64_t share = w.per_row > 0 ? rows.per_row / w.per_row
                    : w.fixed > 0 ? rows.fixed / w.fixed
                                  : 0;
    if (w.per_row < 0 || w.fixed < 0 || share < 1 || share * w.per_row != rows.per_row ||
        share * w.fixed != rows.fixed)
        return hn_fail(err, HONE_E_DATA, where, "the row weights are %s, the prediction is %s",
                       hn_shape_text(&xs[2], tw, sizeof tw), hn_shape_text(&xs[0], tx, sizeof tx));
    return HONE_OK;
}

hone_status hn_loss_shape_classes(const struct hn_op *op, const struct hn_shape *xs,
                                  struct hn_shape *ys, const char *where, hone_error *err)
{
    (void)ys;
    const struct hn_loss *a = op->attrs;
    char tx[128], tt[128];
    struct hn_shape lead = xs[0];
    lead.rank = xs[0].rank > 0 ? xs[0].rank - 1 : 0;
    if (xs[0].rank < 1 || xs[0].d[lead.rank].per_row)
        return hn_fail(err, HONE_E_MODEL, where, "the prediction is %s, wanted [...,classes]",
                       hn_shape_text(&xs[0], tx, sizeof tx));
    struct hn_dim want = hn_shape_count(a->dense ? &xs[0] : &lead);
    if (!hn_same_dim(hn_shape_count(&xs[1]), want))
        return hn_fail(err, HONE_E_DATA, where, "the target is %s, the prediction %s: wanted %s",
                       hn_shape_text(&xs[1], tt, sizeof tt), hn_shape_text(&xs[0], tx, sizeof tx),
                       a->dense ? "a number for each class" : "one class index for each row");
    return check_weights(op, xs, hn_shape_count(&lead), where, err);
}

hone_status hn_loss_shape_elements(const struct hn_op *op, const struct hn_shape *xs,
                                   struct hn_shape *ys, const char *where, hone_error *err)
{
    (void)ys;
    char tx[128], tt[128];
    const struct hn_dim one = { 0, 1 };
    if (!hn_same_dim(hn_shape_count(&xs[1]), hn_shape_count(&xs[0])))
        return hn_fail(err, HONE_E_DATA, where,
                       "the target is %s, the prediction %s: wanted as many numbers",
                       hn_shape_text(&xs[1], tt, sizeof tt), hn_shape_text(&xs[0], tx, sizeof tx));
    return check_weights(op, xs, xs[0].rank > 0 ? xs[0].d[0] : one, where, err);
}
