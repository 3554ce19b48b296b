/* SPDX-License-Identifier: MIT
 *
 * Quantize: y = round(x / scale) * scale between two ends; dx = dy between them, else 0. Elements come in runs: of one scale and zero
 * (all of them, or those behind the axis), or with one each for every element, the same for every run, where the axis is the last. */
#include "ops/base/quant.h"
#include "ops/cpu/isa.h"

static void quantize_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = hn_cpu_batched(&u->xs[0]);
    n->inplace = 3;
    n->main_x = 1;
    n->cost = 6.0 * (double)hn_cpu_width(&u->xs[0]);
}

struct run { /* n elements; scale and zero of element i are at i * step */
    const float *x, *scale, *zero;
    int64_t n;
    float low, high;
    int whole, add;
};

/* The steps are constants where these are called, so that they become vector code. */
static inline void forward_run(const struct run *r, float *y, const int step, const int zero_step)
{
    for (int64_t i = 0; i < r->n; i++) {
        const float s = r->scale[i * step], z = r->zero[i * zero_step];
        const float t = hn_quant_steps(r->x[i], s, r->low - z, r->high - z);
        y[i] = r->whole ? t + z : t * s;
    }
}

static inline void backward_run(const struct run *r, const float *dy, float *dx, const int step,
                                const int zero_step)
{
    for (int64_t i = 0; i < r->n; i++) {
        const float s = r->scale[i * step], z = r->zero[i * zero_step];
        const float g = r->whole ? dy[i] / s : dy[i], rest = r->add ? dx[i] : 0.0f;
        dx[i] = rest + (hn_quant_inside(r->x[i], s, r->low - z, r->high - z) ? g : 0.0f);
    }
}

static void one_run(const struct run *r, const float *dy, float *to, int step, int zero_step)
{
    if (dy && !step)
        backward_run(r, dy, to, 0, 0);
    else if (dy && !zero_step)
        backward_run(r, dy, to, 1, 0);
    else if (dy)
        backward_run(r, dy, to, 1, 1);
    else if (!step)
        forward_run(r, to, 0, 0);
    else if (!zero_step)
        forward_run(r, to, 1, 0);
    else
        forward_run(r, to, 1, 1);
}

/* dy NULL: forward into `to`, else backward. */
static void all_runs(const struct hn_cpu_call *k, const float *dy, float *to)
{
    static const float nothing = 0;
    const struct hn_call *c = &k->c;
    const struct hn_quantize *a = c->op->attrs;
    const int has_zero = c->op->n_in > 2 && c->op->in[2] >= 0;
    const float *x = c->x[0], *scale = c->x[1], *zero = has_zero ? c->x[2] : &nothing;
    const int64_t all = hn_extent_numel(&c->xs[0]), scales = hn_extent_numel(&c->xs[1]);
    const int64_t zeros = has_zero ? hn_extent_numel(&c->xs[2]) : 1;
    int64_t behind = scales == 1 ? all : 1;
    for (int d = a->axis + 1; scales > 1 && d < c->xs[0].rank; d++) behind *= c->xs[0].d[d];
    const int each = scales > 1 && behind == 1;
    struct run r = { .n = each ? scales : behind,
                     .low = (float)a->low,
                     .high = (float)a->high,
                     .whole = a->whole,
                     .add = (int)(c->acc & 1) };
    for (int64_t at = 0, i = 0; at < all; at += r.n, i++) {
        const int64_t which = each || scales == 1 ? 0 : i % scales;
        r.x = x + at, r.scale = scale + which, r.zero = zero + (zeros > 1 ? which : 0);
        one_run(&r, dy ? dy + at : NULL, to + at, each, each && zeros > 1);
    }
}

static void quantize_forward(const struct hn_cpu_call *k) { all_runs(k, NULL, k->c.y[0]); }

static void quantize_backward(const struct hn_cpu_call *k)
{
    if (k->c.dx[0]) all_runs(k, k->c.dy[0], k->c.dx[0]);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_quantize) = {
    .row = &hn_op_quantize,
    .need = quantize_need,
    .forward = { .main = quantize_forward },
    .backward = { .main = quantize_backward },
};
