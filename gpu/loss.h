/* SPDX-License-Identifier: MIT
 *
 * Losses, for kernels: a team of threads owns a row; the row's weighted loss and weight are kept in double and summed by
 * judge (judge.cu), in a fixed order.
 * Formulas as in ops/math/loss_ce.c and loss_element.c. */
#ifndef HN_GPU_LOSS_H
#define HN_GPU_LOSS_H

#include "gpu/column.h"

enum { CE, NLL, BCE, REGRESSION };
enum { MSE, MAE, HUBER };

HN_DEVICE double log_not_below(double x)
{
    double l = log(x);
    return l < -100 ? -100 : l;
}

HN_DEVICE double element_value(const struct hn_k_loss *a, double p, double t)
{
    double d = p - t, m = fabs(d);
    if (a->form == BCE && a->from_logits) return (p > 0 ? p : 0) - p * t + log1p(exp(-fabs(p)));
    if (a->form == BCE) return -t * log_not_below(p) - (1 - t) * log_not_below(1 - p);
    if (a->kind == MSE) return d * d;
    if (a->kind == MAE) return m;
    return m < a->delta ? 0.5 * d * d : a->delta * (m - 0.5 * a->delta);
}

HN_DEVICE double element_slope(const struct hn_k_loss *a, double p, double t)
{
    double d = p - t, sign = (double)((d > 0) - (d < 0)), v = p * (1 - p);
    if (a->form == BCE && a->from_logits) {
        double e = exp(-fabs(p));
        return (p < 0 ? e : 1) / (1 + e) - t;
    }
    if (a->form == BCE) return d / (v < 1e-12 ? 1e-12 : v);
    if (a->kind == MSE) return 2 * d;
    if (a->kind == MAE) return sign;
    return fabs(d) < a->delta ? d : a->delta * sign;
}

/* Of a thread: its row among the block's, its place in the row's team, and the first thread of that; teams are powers of two. */
HN_DEVICE int team_of(const struct hn_k_loss *a, int t) { return t >> a->team_bits; }
HN_DEVICE int lane_of(const struct hn_k_loss *a, int t) { return t & (a->team - 1); }
HN_DEVICE int first_of(const struct hn_k_loss *a, int t) { return t & -a->team; }

struct labels { /* targets, gathered or where the data set lies; each: elements of a row */
    const real *p;
    struct rows rows;
    int64_t each;
};
/* Rows of a column of the data set, those of the run's first step (rows_move); or, gathered, of the slot's memory. */
HN_DEVICE struct labels labels_of(const struct hn_k_loss *a, const struct hn_k_slot *s, int64_t z,
                                  int64_t cols)
{
    struct labels l;
    l.each = a->form < BCE && !a->dense ? 1 : cols;
    l.p = a->column < 0 ? hn_at(&a->env, a->target, z) : 0;
    if (a->column >= 0) l.rows = rows_from(s, a->columns[z * a->n_columns + a->column]);
    return l;
}
HN_DEVICE real label_at(const struct labels *l, int64_t row, int64_t k)
{
    if (l->p) return l->p[row * l->each + k];
    return rows_load(&l->rows, rows_at(&l->rows, row) * l->each + k);
}

HN_DEVICE int64_t class_of(const struct labels *l, int64_t row, int64_t n)
{
    const real c = label_at(l, row, 0);
    return c >= 0 && c < (real)n ? (int64_t)c : -1;
}

/* One element's share of the row's loss. */
HN_DEVICE double share(const struct hn_k_loss *a, int64_t cols, const real *x,
                       const struct labels *l, int64_t row, int64_t k, double lse)
{
    const double v = (double)x[row * cols + k];
    if (a->form >= BCE) return element_value(a, v, (double)label_at(l, row, k)) / (double)cols;
    if (a->dense) {
        const double share = (double)label_at(l, row, k);
        return share != 0 ? share * (lse - v) : 0;
    }
    int64_t c = class_of(l, row, cols);
    if (c < 0) return k == 0 ? (double)NAN : 0;
    return k == c ? lse - v : 0;
}

struct slopes { /* of the rows a block has: see write_slopes */
    const struct hn_k_loss *a;
    struct labels labels;
    const real *x, *w;
    real *dx;
    int64_t rows, cols, share_of;
    double scale;
};

/* ce: dx_c = w (e^(x_c - lse) sum_k t_k - t_c)   nll: -w t_c   by element: w / cols slope
 * The log of the sum of exponentials of thread t's row is lse[row], or top[first thread of its team]. */
HN_DEVICE void write_slopes(const struct slopes *g, int64_t r0, const double *lse,
                            const double *top, double *total)
{
    const struct hn_k_loss *a = g->a;
    const int64_t cols = g->cols;
    if (a->form == CE && a->dense) {
        HN_EACH(t)
        {
            int64_t row = r0 + team_of(a, t);
            total[t] = 0;
            for (int64_t k = lane_of(a, t); row < g->rows && k < cols; k += a->team)
                total[t] += (double)label_at(&g->labels, row, k);
        }
        HN_TREE(total, a->team);
    }
    HN_EACH(t)
    {
        int64_t row = r0 + team_of(a, t), c = -1;
        const int first = first_of(a, t), skip = row >= g->rows;
        double f = skip ? 0 : g->scale * (g->w ? (double)g->w[row / g->share_of] : 1);
        double labels = a->dense && a->form == CE ? total[first] : 1, base = 0;
        if (!skip && a->form == CE) base = top ? top[first] : lse[row];
        if (!skip && a->form < BCE && !a->dense) c = class_of(&g->labels, row, cols);
        const int known = a->form < BCE && (a->dense || c >= 0);
        for (int64_t k = lane_of(a, t); !skip && k < cols; k += a->team) {
            int64_t at = row * cols + k;
            double v = a->form == NLL ? 0 : (double)g->x[at], d = 0; /* nll needs no x */
            if (a->form >= BCE)
                d = f / (double)cols * element_slope(a, v, (double)label_at(&g->labels, row, k));
            else if (known)
                d = f * ((a->form == CE ? (double)HN_FN(exp)((real)(v - base)) * labels : 0) -
                         (a->dense ? (double)label_at(&g->labels, row, k) : (double)(k == c)));
            g->dx[at] = a->acc ? g->dx[at] + (real)d : (real)d;
        }
    }
}

/* All rows of slot z. */
HN_DEVICE struct slopes slopes_of(const struct hn_k_loss *a, const struct hn_k_slot *s, int64_t z,
                                  int64_t rows, int64_t cols, double scale)
{
    const real *w = hn_at(&a->env, a->weights, z);
    const struct slopes g = { a,
                              labels_of(a, s, z, cols),
                              hn_at(&a->env, a->x, z),
                              w,
                              hn_at(&a->env, a->dx, z),
                              rows,
                              cols,
                              w ? rows / hn_n(a->n_weights, s->rows) : 1,
                              scale };
    return g;
}

struct outcome {                 /* doubles, one a row: see struct hn_k_loss */
    double *loss, *weight, *lse; /* lse: NULL where nobody asks */
};
HN_DEVICE struct outcome outcome_of(const struct hn_k_loss *a, int64_t z)
{
    return (struct outcome){ hn_double_at(&a->env, a->row_loss, z),
                             hn_double_at(&a->env, a->row_weight, z),
                             hn_double_at(&a->env, a->lse, z) };
}

/* Cross-entropy of a row of at most FEW classes, by one thread. The sum of exponentials is one for the largest, and `rest`: so that
 * small losses keep their digits. known: the row's class, where it has been looked up. */
enum { FEW = HN_K_FEW, NO_CLASS = -2 };
HN_DEVICE real
power(real x) /* e^x, x <= 0: what is far below the largest is rounded by as much as x is */
{
#if defined(__CUDACC__) && HN_BITS == 32
    return __expf(x);
#else
    return HN_FN(exp)(x);
#endif
}
HN_DEVICE void few_classes(const struct slopes *g, const struct outcome *o, int64_t row, int known)
{
    const int cols = (int)g->cols;
    const real *x = g->x + row * cols;
    real e[FEW], own = 0, rest = 0;
    int best = 0;
    HN_UNROLL
    for (int k = 0; k < FEW; k++) e[k] = x[k < cols ? k : 0];
    const int c = known == NO_CLASS ? (int)class_of(&g->labels, row, cols) : known;
    real top = e[0];
    HN_UNROLL
    for (int k = 0; k < FEW; k++) {
        if (k == c) own = e[k];
        if (k < cols && e[k] > top) top = e[k], best = k;
    }
    HN_UNROLL
    for (int k = 0; k < FEW; k++) {
        e[k] = k < cols ? power(e[k] - top) : 0;
        if (k != best) rest += e[k];
    }
    rest += e[0] - e[0]; /* NaN where the first number is */
    const double log_sum = (double)HN_FN(log1p)(rest),
                 weight = g->w ? (double)g->w[row / g->share_of] : 1;
    o->loss[row] = c < 0 ? (double)NAN : weight * (log_sum + ((double)top - (double)own));
    o->weight[row] = weight;
    if (o->lse) o->lse[row] = (double)top + log_sum;
    if (!g->a->both) return;
    real *dx = g->dx + row * cols;
    const real f = (real)(g->scale * weight), each = f / (1 + rest);
    HN_UNROLL
    for (int k = 0; k < FEW; k++) {
        const real d = c < 0 ? 0 : e[k] * each - (k == c ? f : 0);
        if (k < cols) dx[k] = g->a->acc ? dx[k] + d : d;
    }
}

/* The losses of a block's rows from r0 on: as many as it has teams, those below g->rows; `top` and `sum` are shared, a number a
 * thread. */
HN_DEVICE void loss_rows(const struct slopes *g, const struct outcome *o, int64_t r0, double *top,
                         double *sum)
{
    const struct hn_k_loss *a = g->a;
    const int64_t cols = g->cols;
    HN_EACH(t)
    {
        int64_t row = r0 + team_of(a, t);
        top[t] = sum[t] = 0;
        if (a->form == CE && row < g->rows) {
            top[t] = (double)g->x[row * cols];
            for (int64_t k = lane_of(a, t); k < cols; k += a->team)
                top[t] =
                    (double)g->x[row * cols + k] > top[t] ? (double)g->x[row * cols + k] : top[t];
        }
    }
    for (int v = a->team / 2; a->form == CE && v > 0; v /= 2)
        HN_EACH(t) if (lane_of(a, t) < v) top[t] = top[t + v] > top[t] ? top[t + v] : top[t];
    HN_EACH(t)
    {
        int64_t row = r0 + team_of(a, t);
        for (int64_t k = lane_of(a, t); a->form == CE && row < g->rows && k < cols; k += a->team)
            sum[t] +=
                (double)HN_FN(exp)((real)((double)g->x[row * cols + k] - top[first_of(a, t)]));
    }
    HN_TREE(sum, a->team);
    HN_EACH(t) if (a->form == CE && lane_of(a, t) == 0) top[t] += log(sum[t]);
    HN_EACH(t)
    {
        int64_t row = r0 + team_of(a, t);
        double base = a->form == CE ? top[first_of(a, t)] : 0;
        sum[t] = 0;
        for (int64_t k = lane_of(a, t); row < g->rows && k < cols; k += a->team)
            sum[t] += share(a, cols, g->x, &g->labels, row, k, base);
    }
    HN_TREE(sum, a->team);
    HN_EACH(t)
    {
        int64_t row = r0 + team_of(a, t);
        if (lane_of(a, t) == 0 && row < g->rows) {
            double weight = g->w ? (double)g->w[row / g->share_of] : 1;
            o->loss[row] = weight * sum[t], o->weight[row] = weight;
            if (a->form == CE) o->lse[row] = top[t];
        }
    }
    if (a->both) write_slopes(g, r0, o->lse, top, sum);
}
#endif
