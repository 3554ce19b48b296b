/* SPDX-License-Identifier: MIT
 *
 * The standard error of a loss over rows: how far it would be off if other rows of the same kind had been drawn. With l the
 * losses of the rows, w their weights and L = sum(w l) / sum(w):
 *     sqrt(sum(w^2 (l - L)^2)) / sum(w)       without weights: the deviation of l / sqrt(rows)
 * The losses are worked out from the model's outputs as the file has them, the tail included. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <float.h>
#include <math.h>

static double at(const void *p, size_t elem, int64_t i) { return hn_elem_get(p, elem, (size_t)i); }

/* -log of a probability; outputs in single precision end at 0 long before the logarithm does. */
static double minus_log(double p) { return -log(p > (double)FLT_MIN ? p : (double)FLT_MIN); }

static int gives_probabilities(const struct hn_target *g)
{
    return g->tail == HN_TAIL_SOFTMAX || g->tail == HN_TAIL_SIGMOID || g->tail == HN_TAIL_BOTH ||
           g->tail == HN_TAIL_EACH || g->tail == HN_TAIL_SHARES;
}

static double log_sum_exp(const void *x, size_t elem, int64_t from, int64_t n)
{
    double top = at(x, elem, from), sum = 0;
    for (int64_t k = 1; k < n; k++) top = fmax(top, at(x, elem, from + k));
    for (int64_t k = 0; k < n; k++) sum += exp(at(x, elem, from + k) - top);
    return top + log(sum);
}

/* Of one place of a row: place i of all. */
static double class_loss(const struct hn_target *g, size_t elem, const void *x, const void *y,
                         int64_t i)
{
    const int64_t n = g->n_classes, from = i * n;
    const int probability = gives_probabilities(g);
    double lse = 0, sum = 0;
    if (!probability && g->loss == HN_LOSS_CE) lse = log_sum_exp(x, elem, from, n);
    for (int64_t k = 0; k < n; k++) {
        const double t = g->dense ? at(y, elem, from + k) : (int64_t)at(y, elem, i) == k;
        const double v = at(x, elem, from + k);
        if (t != 0) sum += t * (probability ? minus_log(v) : lse - v);
    }
    return sum;
}

static double element_loss(const struct hn_target *g, double p, double t)
{
    const double d = fabs(p - t);
    if (g->loss == HN_LOSS_BCE && gives_probabilities(g))
        return t * minus_log(p) + (1 - t) * minus_log(1 - p);
    if (g->loss == HN_LOSS_BCE) return fmax(p, 0) - p * t + log1p(exp(-fabs(p)));
    if (g->loss == HN_LOSS_MAE) return d;
    if (g->loss == HN_LOSS_HUBER) return d < 1 ? d * d / 2 : d - 0.5;
    return d * d;
}

static double row_loss(const struct hn_target *g, size_t elem, const void *x, const void *y,
                       int64_t i)
{
    double sum = 0;
    if (g->loss == HN_LOSS_CE || g->loss == HN_LOSS_NLL) {
        for (int64_t k = i * g->places; k < (i + 1) * g->places; k++)
            sum += class_loss(g, elem, x, y, k);
        return sum / (double)g->places;
    }
    for (int64_t k = i * g->per_row; k < (i + 1) * g->per_row; k++)
        sum += element_loss(g, at(x, elem, k), at(y, elem, k));
    return sum / (double)g->per_row;
}

void hn_loss_error_add(struct hn_loss_error *e, const struct hn_target *g, size_t elem,
                       const void *outputs, const void *targets, const double *weights, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double w = weights ? weights[i] : 1, l = row_loss(g, elem, outputs, targets, i);
        e->w += w;
        e->wl += w * l;
        e->ww += w * w;
        e->wwl += w * w * l;
        e->wwll += w * w * l * l;
    }
}

double hn_loss_error_of(const struct hn_loss_error *e, double loss)
{
    const double mean = e->wl / e->w;
    const double v = e->wwll - 2 * mean * e->wwl + mean * mean * e->ww;
    if (!(e->w > 0) || !(fabs(mean - loss) <= 1e-3 * fabs(loss)))
        return 0; /* not the loss that was measured: probabilities beyond single precision */
    return v > 0 ? sqrt(v) / e->w : 0;
}
