/* SPDX-License-Identifier: MIT
 *
 * Softmax and log-softmax along dims [axis, axis + axes) together, seen as [outer, len, inner].
 *   softmax: dx = y (dy - sum dy y)      log-softmax: dx = dy - e^y sum dy */
#include "ops/cpu/isa.h"
#include "ops/cpu/rowexp.h"
#include <math.h>

struct sizes {
    int64_t outer, len, inner;
};

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_softmax *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0];
    struct sizes s = { 1, 1, 1 };
    for (int i = 0; i < x->rank; i++)
        *(i < a->axis ? &s.outer : i < a->axis + a->axes ? &s.len : &s.inner) *= x->d[i];
    return s;
}

static void softmax_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_softmax *a = u->op->attrs;
    n->local = hn_cpu_batched(&u->xs[0]) && a->axis > 0;
    n->inplace = 3;
    n->main_y = 1;
    n->cost = 20.0 * (double)hn_cpu_width(&u->xs[0]);
}

static void rows_forward(const float *x, float *y, const struct sizes *s, int log_form)
{
    float top[HN_EXP_ROWS], sum[HN_EXP_ROWS];
    for (int64_t r = 0; r < s->outer;
         r += HN_EXP_ROWS, x += HN_EXP_ROWS * s->len, y += HN_EXP_ROWS * s->len) {
        int64_t rows = s->outer - r < HN_EXP_ROWS ? s->outer - r : HN_EXP_ROWS;
        if (!log_form) {
            hn_row_exp(x, y, rows, s->len, top, sum);
            for (int64_t i = 0; i < rows; i++)
                for (int64_t k = 0; k < s->len; k++) y[i * s->len + k] *= 1.0f / sum[i];
            continue;
        }
        for (int64_t i = 0; i < rows; i++) {
            const float *v = x + i * s->len;
            const float m = hn_row_max(v, s->len);
            float t = 0;
#pragma omp simd reduction(+ : t)
            for (int64_t k = 0; k < s->len; k++) t += hn_expf(v[k] - m);
            const float l = logf(t);
            for (int64_t k = 0; k < s->len; k++) y[i * s->len + k] = v[k] - m - l;
        }
    }
}

/* Groups with a stride: k-th element at k * inner. */
static void strided_forward(const float *x, float *y, const struct sizes *s, int log_form)
{
    for (int64_t g = 0; g < s->outer * s->inner; g++) {
        const int64_t first = g / s->inner * s->len * s->inner + g % s->inner;
        const float *v = x + first;
        float *o = y + first, m = v[0], sum = 0;
        for (int64_t k = 1; k < s->len; k++) m = v[k * s->inner] > m ? v[k * s->inner] : m;
        for (int64_t k = 0; k < s->len; k++) sum += hn_expf(v[k * s->inner] - m);
        const float l = logf(sum);
        for (int64_t k = 0; k < s->len; k++) {
            float d = v[k * s->inner] - m;
            o[k * s->inner] = log_form ? d - l : hn_expf(d) / sum;
        }
    }
}

static void softmax_forward(const struct hn_cpu_call *k)
{
    const struct hn_softmax *a = k->c.op->attrs;
    const struct sizes s = sizes_of(&k->c);
    if (s.outer * s.len * s.inner == 0) return;
    (s.inner == 1 ? rows_forward : strided_forward)(k->c.x[0], k->c.y[0], &s, a->log);
}

static void softmax_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_softmax *a = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const int add = (int)(c->acc & 1);
    const float *py = c->y[0], *pdy = c->dy[0];
    float *pdx = c->dx[0];
    if (!pdx) return;
    for (int64_t g = 0; g < s.outer * s.inner; g++) {
        const int64_t first = g / s.inner * s.len * s.inner + g % s.inner, step = s.inner;
        const float *y = py + first, *dy = pdy + first;
        float *dx = pdx + first, sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < s.len; i++)
            sum += a->log ? dy[i * step] : dy[i * step] * y[i * step];
        for (int64_t i = 0; i < s.len; i++) {
            const float v = y[i * step], d = dy[i * step];
            dx[i * step] =
                (a->log ? d - hn_expf(v) * sum : v * (d - sum)) + (add ? dx[i * step] : 0.0f);
        }
    }
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_softmax) = {
    .row = &hn_op_softmax,
    .need = softmax_need,
    .forward = { .main = softmax_forward },
    .backward = { .main = softmax_backward },
};
