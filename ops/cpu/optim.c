/* SPDX-License-Identifier: MIT
 *
 * One optimizer step in one pass over a run of elements: average, L1, clipping, decay and the update of hn_optim_reference
 * (ops/math/optim.c), in float in PyTorch's order; bias corrections and rates are computed in double once. */
#include "ops/cpu/isa.h"
#include "ops/cpu/vmath.h"
#include <math.h>

struct factors { /* hoisted out of the loops */
    float scale, l1, decay, lr, mu, a, b1, b2, eps, step, inv_root2, keep;
};

static struct factors factors_of(const struct hn_cpu_optim *o)
{
    const struct hn_hyper *h = o->hyper;
    double root2 = sqrt(o->bias2);
    return (struct factors){ .scale = (float)o->scale,
                             .l1 = (float)(h->l1 * o->l1_scale),
                             .decay = (float)o->decay,
                             .lr = (float)o->lr,
                             .mu = (float)h->momentum,
                             .a = (float)h->alpha,
                             .b1 = (float)(1 - h->beta1),
                             .b2 = (float)h->beta2,
                             .eps = (float)h->eps,
                             .step = (float)(o->lr / o->bias1),
                             .inv_root2 = (float)(1 / root2),
                             .keep = (float)(1 - o->lr * o->decay) };
}

static inline float sign(float w) { return w > 0 ? 1.0f : w < 0 ? -1.0f : 0.0f; }

/* The gradient with everything but decay; plain: neither averaged nor clipped nor L1. */
static inline float gradient(const struct factors *f, float g, float w, int plain)
{
    return plain ? g : hn_fma(f->l1, sign(w), f->scale * g);
}

static void sgd(const struct hn_cpu_optim *o, const struct factors *f, int plain)
{
    float *restrict w = o->w;
    const float *restrict dw = o->dw;
    for (size_t i = 0; i < o->n; i++)
        w[i] -= f->lr * hn_fma(f->decay, w[i], gradient(f, dw[i], w[i], plain));
}

static void momentum(const struct hn_cpu_optim *o, const struct factors *f, int nesterov)
{
    float *restrict w = o->w, *restrict m = o->m;
    const float *restrict dw = o->dw;
    for (size_t i = 0; i < o->n; i++) {
        float g = hn_fma(f->decay, w[i], gradient(f, dw[i], w[i], 0));
        m[i] = hn_fma(f->mu, m[i], g);
        w[i] -= f->lr * (nesterov ? hn_fma(f->mu, m[i], g) : m[i]);
    }
}

static void adagrad(const struct hn_cpu_optim *o, const struct factors *f)
{
    float *restrict w = o->w, *restrict v = o->v;
    const float *restrict dw = o->dw;
    for (size_t i = 0; i < o->n; i++) {
        float g = hn_fma(f->decay, w[i], gradient(f, dw[i], w[i], 0));
        v[i] = hn_fma(g, g, v[i]);
        w[i] -= f->lr * g / (__builtin_sqrtf(v[i]) + f->eps);
    }
}

static void rmsprop(const struct hn_cpu_optim *o, const struct factors *f)
{
    float *restrict w = o->w, *restrict v = o->v;
    const float *restrict dw = o->dw;
    const float b = (float)(1 - o->hyper->alpha);
    for (size_t i = 0; i < o->n; i++) {
        float g = hn_fma(f->decay, w[i], gradient(f, dw[i], w[i], 0));
        v[i] = hn_fma(f->a, v[i], b * g * g);
        w[i] -= f->lr * g / (__builtin_sqrtf(v[i]) + f->eps);
    }
}

static void rmsprop_momentum(const struct hn_cpu_optim *o, const struct factors *f)
{
    float *restrict w = o->w, *restrict m = o->m, *restrict v = o->v;
    const float *restrict dw = o->dw;
    const float b = (float)(1 - o->hyper->alpha);
    for (size_t i = 0; i < o->n; i++) {
        float g = hn_fma(f->decay, w[i], gradient(f, dw[i], w[i], 0));
        v[i] = hn_fma(f->a, v[i], b * g * g);
        m[i] = hn_fma(f->mu, m[i], g / (__builtin_sqrtf(v[i]) + f->eps));
        w[i] -= f->lr * m[i];
    }
}

/* adamw: w is decayed first; adam: decay goes into the gradient. */
static inline void adam_loop(const struct hn_cpu_optim *o, const struct factors *f, int decoupled,
                             int plain)
{
    float *restrict w = o->w, *restrict m = o->m, *restrict v = o->v;
    const float *restrict dw = o->dw;
    const float b = (float)(1 - o->hyper->beta2), keep = decoupled ? f->keep : 1.0f,
                decay = decoupled ? 0.0f : f->decay;
    const float b1 = f->b1, b2 = f->b2, eps = f->eps, step = f->step, inv = f->inv_root2;
    for (size_t i = 0; i < o->n; i++) {
        float g = hn_fma(decay, w[i], gradient(f, dw[i], w[i], plain));
        float mi = hn_fma(b1, g - m[i], m[i]), vi = hn_fma(b2, v[i], b * g * g);
        m[i] = mi, v[i] = vi;
        w[i] = hn_fma(keep, w[i], -step * mi / hn_fma(__builtin_sqrtf(vi), inv, eps));
    }
}

static void adam(const struct hn_cpu_optim *o, const struct factors *f, int decoupled, int plain)
{
    if (plain)
        adam_loop(o, f, decoupled, 1);
    else
        adam_loop(o, f, decoupled, 0);
}

void HN_ISA_NAME(hn_cpu_optim)(const struct hn_cpu_optim *o)
{
    const struct factors f = factors_of(o);
    const int plain = o->scale == 1 && f.l1 == 0;
    switch (o->hyper->optimizer) {
    case HN_SGD:
    case HN_MOMENTUM:
    case HN_NESTEROV:
        if (o->m)
            momentum(o, &f, o->hyper->optimizer == HN_NESTEROV);
        else
            sgd(o, &f, plain);
        break;
    case HN_ADAGRAD: adagrad(o, &f); break;
    case HN_RMSPROP:
        if (o->m)
            rmsprop_momentum(o, &f);
        else
            rmsprop(o, &f);
        break;
    case HN_ADAM: adam(o, &f, 0, plain); break;
    case HN_ADAMW: adam(o, &f, 1, plain); break;
    case HN_OPTIMIZERS: break;
    }
}

void HN_ISA_NAME(hn_cpu_follow)(float *average, const float *w, size_t n, double share)
{
    float *restrict a = average;
    const float near = (float)share, far = (float)(1 - share);
    if (share < 0.5)
        for (size_t i = 0; i < n; i++) a[i] = hn_fma(near, w[i] - a[i], a[i]);
    else
        for (size_t i = 0; i < n; i++) a[i] = hn_fma(-far, w[i] - a[i], w[i]);
}

double HN_ISA_NAME(hn_cpu_square_sum)(const struct hn_cpu_optim *o)
{
    const struct factors f = factors_of(o);
    const float *w = o->w, *dw = o->dw;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < o->n; i++) {
        double g = (double)gradient(&f, dw[i], w[i], 0);
        sum += g * g;
    }
    return sum;
}
