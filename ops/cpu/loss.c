/* SPDX-License-Identifier: MIT
 *
 * Losses. Forward adds sum(w l) and sum(w) of a tile to part; join adds the tiles in order to call.loss and, where rows
 * have weights, leaves sum(w) for backward. Without weights sum(w) is the number of rows, known beforehand, so that
 * forward and backward of a tile need not wait for the other tiles.
 *   ce      dx = s w (softmax(x) sum(t) - t), softmax saved by forward        s = weight / sum(w)
 *   nll     dx = -s w t
 *   bce     dp = s w / cols * (sigmoid(p) - t)   or, from probabilities, (p - t) / max(p (1 - p), 1e-12)
 *   regression: mse 2 d, mae sign d, huber d or delta sign d, with d = p - t, also over cols */
#include "ops/cpu/isa.h"
#include "ops/cpu/rowexp.h"
#include <math.h>

struct rows {
    int64_t n, cols, per_weight;
    const float *w; /* NULL: 1 each */
};

static int has_weights(const struct hn_op *op) { return op->n_in > 2 && op->in[2] >= 0; }

static struct rows rows_of(const struct hn_call *c, int classes)
{
    const struct hn_extent *x = &c->xs[0];
    struct rows r = { 1, 1, 1, has_weights(c->op) ? c->x[2] : NULL };
    int split = classes ? x->rank - 1 : 1;
    for (int i = 0; i < x->rank; i++) *(i < split ? &r.n : &r.cols) *= x->d[i];
    if (r.cols == 0) r.n = 0;
    if (r.w && r.n > 0) r.per_weight = r.n / hn_extent_numel(&c->xs[2]);
    return r;
}

static inline double weight_of(const struct rows *r, int64_t i)
{
    return r->w ? (double)r->w[i / r->per_weight] : 1;
}

/* attrs.weight / sum(w) over the whole batch */
static double gradient_scale(const struct hn_cpu_call *k, const struct rows *r)
{
    const struct hn_loss *a = k->c.op->attrs;
    double sum = r->w ? *(const double *)k->c.save[1]
                      : (double)k->total * (double)(k->c.rows ? r->n / k->c.rows : 0);
    return sum != 0 ? a->weight / sum : 0;
}

static void need_common(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = hn_cpu_batched(&u->xs[0]) && hn_cpu_batched(&u->xs[1]) &&
               (!has_weights(u->op) || hn_cpu_batched(&u->xs[2]));
    n->join_after = 1;
    n->joined[0] = 2;
    n->main_x = 7;
    n->part[0] = 2;
    if (has_weights(u->op)) n->save_fixed[1] = sizeof(double);
    n->cost = 20.0 * (double)hn_cpu_width(&u->xs[0]);
}

static void loss_join(const struct hn_cpu_call *k)
{
    double loss = 0, weight = 0;
    for (int t = 0; t < k->n_parts; t++) loss += k->part[2 * t], weight += k->part[2 * t + 1];
    k->c.loss[0] += loss, k->c.loss[1] += weight;
    if (k->c.save[1]) *(double *)k->c.save[1] = weight;
}

/* ---- ce and nll ---------------------------------------------------------------------------------------------- */

static void ce_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_shape *x = &u->xs[0];
    size_t classes = (size_t)x->d[x->rank - 1].fixed;
    struct hn_dim count = hn_shape_count(x);
    need_common(u, n);
    n->local = n->local && x->rank > 1;
    n->scratch = HN_EXP_ROWS * classes * sizeof(float);
    if (u->pass != HN_PASS_TRAIN && u->pass != HN_PASS_GRAD) return;
    n->save_per8[0] = (size_t)count.per_row * 8 * sizeof(float);
    n->save_fixed[0] = (size_t)count.fixed * sizeof(float);
}

static void nll_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    need_common(u, n);
    n->local = n->local && u->xs[0].rank > 1;
    n->main_x = 6;
}

static int64_t class_of(const float *t, int64_t i, int64_t classes)
{
    return t[i] >= 0 && t[i] < (float)classes ? (int64_t)t[i] : -1;
}

/* lse - x[class], or the sum over soft labels; lse is 0 for nll. */
static double class_loss(const struct hn_loss *a, const float *x, const float *t, int64_t row,
                         int64_t cols, double lse)
{
    if (!a->dense) {
        int64_t k = class_of(t, row, cols);
        return k < 0 ? (double)NAN : lse - (double)x[k];
    }
    double sum = 0;
    for (int64_t k = 0; k < cols; k++)
        if (t[row * cols + k] != 0) sum += (double)t[row * cols + k] * (lse - (double)x[k]);
    return sum;
}

static void ce_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct rows r = rows_of(c, 1);
    const float *x = c->x[0], *t = c->x[1];
    float *save = c->save[0], top[HN_EXP_ROWS], sum[HN_EXP_ROWS];
    for (int64_t i0 = 0; i0 < r.n; i0 += HN_EXP_ROWS) {
        const int64_t n = r.n - i0 < HN_EXP_ROWS ? r.n - i0 : HN_EXP_ROWS;
        float *e = save ? save + i0 * r.cols : k->scratch;
        hn_row_exp(x + i0 * r.cols, e, n, r.cols, top, sum);
        for (int64_t i = 0; i < n; i++) {
            const float inv = 1.0f / sum[i];
            const double lse = (double)top[i] + log((double)sum[i]), w = weight_of(&r, i0 + i);
            for (int64_t j = 0; j < r.cols; j++) e[i * r.cols + j] *= inv;
            k->part[0] +=
                w * class_loss(c->op->attrs, x + (i0 + i) * r.cols, t, i0 + i, r.cols, lse);
            k->part[1] += w;
        }
    }
}

static void nll_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct rows r = rows_of(c, 1);
    const float *x = c->x[0], *t = c->x[1];
    for (int64_t i = 0; i < r.n; i++) {
        k->part[0] += weight_of(&r, i) * class_loss(c->op->attrs, x + i * r.cols, t, i, r.cols, 0);
        k->part[1] += weight_of(&r, i);
    }
}

/* dx = w (p total - t); p NULL (nll): dx = -w t. */
static void class_row(const float *p, const float *t, float *dx, const struct rows *r, float w)
{
    float total = 0;
    for (int64_t j = 0; j < r->cols; j++) total += t[j];
    for (int64_t j = 0; j < r->cols; j++) dx[j] += w * ((p ? p[j] * total : 0.0f) - t[j]);
}

static void classes_backward(const struct hn_cpu_call *k, const float *p)
{
    const struct hn_call *c = &k->c;
    const struct hn_loss *a = c->op->attrs;
    const struct rows r = rows_of(c, 1);
    const double scale = gradient_scale(k, &r);
    const float *t = c->x[1];
    float *dx = c->dx[0];
    if (!dx) return;
    if (!(c->acc & 1)) memset(dx, 0, (size_t)(r.n * r.cols) * sizeof *dx);
    for (int64_t i = 0; i < r.n; i++, dx += r.cols, p = p ? p + r.cols : NULL) {
        const float w = (float)(scale * weight_of(&r, i));
        const int64_t k0 = a->dense ? 0 : class_of(t, i, r.cols);
        if (k0 < 0) continue;
        if (a->dense) {
            class_row(p, t + i * r.cols, dx, &r, w);
            continue;
        }
        for (int64_t j = 0; p && j < r.cols; j++) dx[j] += w * p[j];
        dx[k0] -= w;
    }
}

static void ce_backward(const struct hn_cpu_call *k) { classes_backward(k, k->c.save[0]); }
static void nll_backward(const struct hn_cpu_call *k) { classes_backward(k, NULL); }

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_loss_ce) = {
    .row = &hn_op_loss_ce,
    .need = ce_need,
    .forward = { .main = ce_forward, .join = loss_join },
    .backward = { .main = ce_backward },
};
const struct hn_cpu_op HN_ISA_NAME(hn_cpu_loss_nll) = {
    .row = &hn_op_loss_nll,
    .need = nll_need,
    .forward = { .main = nll_forward, .join = loss_join },
    .backward = { .main = nll_backward },
};

/* ---- losses by element --------------------------------------------------------------------------------------- */

enum form { BCE_LOGITS, BCE, MSE, MAE, HUBER };

static enum form form_of(const struct hn_op *op)
{
    const struct hn_loss *a = op->attrs;
    if (op->row == &hn_op_loss_bce) return a->from_logits ? BCE_LOGITS : BCE;
    return a->kind == 0 ? MSE : a->kind == 1 ? MAE : HUBER;
}

static inline float log_not_below(float x)
{
    float l = hn_logf(x);
    return l < -100.0f ? -100.0f : l;
}

static inline float bce_logits(float p, float t)
{
    return (p < 0 ? 0.0f : p) - p * t + hn_log1pf(hn_expf(-hn_absf(p)));
}
static inline float bce(float p, float t)
{
    return -t * log_not_below(p) - (1.0f - t) * log_not_below(1.0f - p);
}
static inline float huber(float d, float delta)
{
    float m = hn_absf(d);
    return m < delta ? 0.5f * d * d : delta * (m - 0.5f * delta);
}

#define SUM(expr)                                                                                  \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++) sum += (double)(expr);  \
    break

static double element_sum(enum form form, float delta, const float *p, const float *t, int64_t n)
{
    double sum = 0;
    switch (form) {
    case BCE_LOGITS: SUM(bce_logits(p[i], t[i]));
    case BCE: SUM(bce(p[i], t[i]));
    case MSE: SUM((p[i] - t[i]) * (p[i] - t[i]));
    case MAE: SUM(hn_absf(p[i] - t[i]));
    case HUBER: SUM(huber(p[i] - t[i], delta));
    }
    return sum;
}
#undef SUM

static void element_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_loss *a = c->op->attrs;
    const struct rows r = rows_of(c, 0);
    const enum form form = form_of(c->op);
    const float *p = c->x[0], *t = c->x[1];
    if (!r.w && r.n > 0) {
        k->part[0] += element_sum(form, (float)a->delta, p, t, r.n * r.cols) / (double)r.cols;
        k->part[1] += (double)r.n;
        return;
    }
    for (int64_t i = 0; i < r.n; i++, p += r.cols, t += r.cols) {
        k->part[0] +=
            weight_of(&r, i) * element_sum(form, (float)a->delta, p, t, r.cols) / (double)r.cols;
        k->part[1] += weight_of(&r, i);
    }
}

static inline float sign(float d) { return d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f; }
static inline float bce_slope(float p, float t)
{
    float v = p * (1.0f - p);
    return (p - t) / (v < 1e-12f ? 1e-12f : v);
}

#define EACH(expr)                                                                                 \
    for (int64_t i = 0; i < n; i++) dp[i] = w * (expr) + (add ? dp[i] : 0.0f);                     \
    break

struct slope {
    enum form form;
    float delta;
    int add;
};

static void element_slopes(const struct slope *s, const float *p, const float *t, float *dp,
                           int64_t n, float w)
{
    const int add = s->add;
    switch (s->form) {
    case BCE_LOGITS: EACH(hn_sigmoidf(p[i]) - t[i]);
    case BCE: EACH(bce_slope(p[i], t[i]));
    case MSE: EACH(2.0f * (p[i] - t[i]));
    case MAE: EACH(sign(p[i] - t[i]));
    case HUBER: EACH(hn_absf(p[i] - t[i]) < s->delta ? p[i] - t[i] : s->delta * sign(p[i] - t[i]));
    }
}
#undef EACH

static void element_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_loss *a = c->op->attrs;
    const struct rows r = rows_of(c, 0);
    const struct slope s = { form_of(c->op), (float)a->delta, (int)(c->acc & 1) };
    const double scale = r.n > 0 ? gradient_scale(k, &r) / (double)r.cols : 0;
    const float *p = c->x[0], *t = c->x[1];
    float *dp = c->dx[0];
    if (!dp) return;
    if (!r.w) {
        element_slopes(&s, p, t, dp, r.n * r.cols, (float)scale);
        return;
    }
    for (int64_t i = 0; i < r.n; i++, p += r.cols, t += r.cols, dp += r.cols)
        element_slopes(&s, p, t, dp, r.cols, (float)(scale * weight_of(&r, i)));
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_loss_bce) = {
    .row = &hn_op_loss_bce,
    .need = need_common,
    .forward = { .main = element_forward, .join = loss_join },
    .backward = { .main = element_backward },
};
const struct hn_cpu_op HN_ISA_NAME(hn_cpu_loss_regression) = {
    .row = &hn_op_loss_regression,
    .need = need_common,
    .forward = { .main = element_forward, .join = loss_join },
    .backward = { .main = element_backward },
};
