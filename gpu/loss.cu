/* SPDX-License-Identifier: MIT
 *
 * Losses: a team of threads owns a row; the row's weighted loss and weight are kept in double and summed by judge (judge.cu), in a
 * fixed order.
 * Formulas as in ops/math/loss_ce.c and loss_element.c. */
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

struct labels { /* targets, gathered or where the data set lies; each: elements of a row */
    const real *p;
    struct rows rows;
    int64_t each;
};
HN_DEVICE struct labels labels_of(const struct hn_k_loss *a, const struct hn_k_slot *s, int64_t z,
                                  int64_t cols)
{
    struct labels l;
    l.p = a->column < 0 ? hn_at(&a->env, a->target, z) : 0;
    l.each = a->form < BCE && !a->dense ? 1 : cols;
    if (a->column >= 0) l.rows = rows_of(s, a->columns[z * a->n_columns + a->column]);
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
            int64_t row = r0 + t / a->team;
            total[t] = 0;
            for (int64_t k = t % a->team; row < g->rows && k < cols; k += a->team)
                total[t] += (double)label_at(&g->labels, row, k);
        }
        HN_TREE(total, a->team);
    }
    HN_EACH(t)
    {
        int64_t row = r0 + t / a->team, c = -1;
        const int first = t / a->team * a->team, skip = row >= g->rows;
        double f = skip ? 0 : g->scale * (g->w ? (double)g->w[row / g->share_of] : 1);
        double labels = a->dense && a->form == CE ? total[first] : 1, base = 0;
        if (!skip && a->form == CE) base = top ? top[first] : lse[row];
        if (!skip && a->form < BCE && !a->dense) c = class_of(&g->labels, row, cols);
        const int known = a->form < BCE && (a->dense || c >= 0);
        for (int64_t k = t % a->team; !skip && k < cols; k += a->team) {
            int64_t at = row * cols + k;
            double v = a->form == NLL ? 0 : (double)g->x[at], d = 0; /* nll needs no x */
            if (a->form >= BCE)
                d = f / (double)cols * element_slope(a, v, (double)label_at(&g->labels, row, k));
            else if (known)
                d = f * ((a->form == CE ? exp(v - base) * labels : 0) -
                         (a->dense ? (double)label_at(&g->labels, row, k) : (double)(k == c)));
            g->dx[at] = a->acc ? g->dx[at] + (real)d : (real)d;
        }
    }
}

HN_KERNEL(loss, hn_k_loss)
{
    HN_SHARED double top[HN_BLOCK], sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *w = hn_at(&a.env, a.weights, HN_Z);
    double *row_loss = hn_double_at(&a.env, a.row_loss, HN_Z),
           *row_weight = hn_double_at(&a.env, a.row_weight, HN_Z);
    double *lse = hn_double_at(&a.env, a.lse, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), cols = hn_n(a.cols, s->rows),
                  per = HN_BLOCK / a.team;
    const int64_t share_of = w ? rows / hn_n(a.n_weights, s->rows) : 1;
    const struct labels labels = labels_of(&a, s, HN_Z, cols);
    const struct slopes g = { &a,   labels, x,        w, hn_at(&a.env, a.dx, HN_Z),
                              rows, cols,   share_of, a.weight / (double)(rows > 0 ? rows : 1) };
    for (int64_t r0 = HN_X * per; r0 < rows; r0 += HN_NX * per) {
        HN_EACH(t)
        {
            int64_t row = r0 + t / a.team;
            top[t] = sum[t] = 0;
            if (a.form == CE && row < rows) {
                top[t] = (double)x[row * cols];
                for (int64_t k = t % a.team; k < cols; k += a.team)
                    top[t] =
                        (double)x[row * cols + k] > top[t] ? (double)x[row * cols + k] : top[t];
            }
        }
        for (int v = a.team / 2; a.form == CE && v > 0; v /= 2)
            HN_EACH(t) if (t % a.team < v) top[t] = top[t + v] > top[t] ? top[t + v] : top[t];
        HN_EACH(t)
        {
            int64_t row = r0 + t / a.team;
            for (int64_t k = t % a.team; a.form == CE && row < rows && k < cols; k += a.team)
                sum[t] += exp((double)x[row * cols + k] - top[t / a.team * a.team]);
        }
        HN_TREE(sum, a.team);
        HN_EACH(t) if (a.form == CE && t % a.team == 0) top[t] += log(sum[t]);
        HN_EACH(t)
        {
            int64_t row = r0 + t / a.team;
            double base = a.form == CE ? top[t / a.team * a.team] : 0;
            sum[t] = 0;
            for (int64_t k = t % a.team; row < rows && k < cols; k += a.team)
                sum[t] += share(&a, cols, x, &labels, row, k, base);
        }
        HN_TREE(sum, a.team);
        HN_EACH(t)
        {
            int64_t row = r0 + t / a.team;
            if (t % a.team == 0 && row < rows) {
                double weight = w ? (double)w[row / share_of] : 1;
                row_loss[row] = weight * sum[t], row_weight[row] = weight;
                if (a.form == CE) lse[row] = top[t];
            }
        }
        if (a.both) write_slopes(&g, r0, lse, top, sum);
    }
}

HN_KERNEL(loss_back, hn_k_loss)
{
    HN_SHARED double total[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *w = hn_at(&a.env, a.weights, HN_Z);
    const double *lse = hn_double_at(&a.env, a.lse, HN_Z),
                 *sums = hn_double_at(&a.env, a.sums, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), cols = hn_n(a.cols, s->rows),
                  per = HN_BLOCK / a.team;
    const struct slopes g = { &a,
                              labels_of(&a, s, HN_Z, cols),
                              hn_at(&a.env, a.x, HN_Z),
                              w,
                              hn_at(&a.env, a.dx, HN_Z),
                              rows,
                              cols,
                              w ? rows / hn_n(a.n_weights, s->rows) : 1,
                              sums[1] != 0 ? a.weight / sums[1] : 0 };
    for (int64_t r0 = HN_X * per; r0 < rows; r0 += HN_NX * per) write_slopes(&g, r0, lse, 0, total);
}
