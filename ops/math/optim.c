/* SPDX-License-Identifier: MIT
 *
 * One optimizer step over a whole slab, in double: PyTorch's formulas. For every trained element
 *     g = dw * inv_accumulate + l1 * sign(w), times min(1, clip_norm / (|g| + 1e-6)) with |g| over all trained elements,
 *     g = g + wd * w (all but adamw, which instead starts with w = w - lr * wd * w)
 *     sgd, momentum   m = mu m + g;  w -= lr m          nesterov   m = mu m + g;  w -= lr (g + mu m)
 *     adagrad    v = v + g^2;                   w -= lr g / (sqrt v + eps)
 *     rmsprop    v = alpha v + (1 - alpha) g^2; m = mu m + g / (sqrt v + eps);  w -= lr m
 *     adam(w)    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
 *                w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 * lr and wd are multiplied by the parameter's lr_mult and decay_mult. dw is not changed; padding between parameters,
 * frozen parameters and state are not touched. m starts at 0, which gives PyTorch's first step (m = g). */
#include "ops/math/op.h"
#include <math.h>

uint32_t hn_optim_slabs(enum hn_optimizer o, double momentum)
{
    const uint32_t m = momentum != 0 ? 1u : 0u;
    switch (o) {
    case HN_SGD:
    case HN_MOMENTUM:
    case HN_NESTEROV: return m;
    case HN_ADAGRAD: return 2u;
    case HN_RMSPROP: return 2u | m;
    case HN_ADAM:
    case HN_ADAMW: return 3u;
    case HN_OPTIMIZERS: break;
    }
    return 0;
}

static double averaged(const struct hn_optim_call *c, size_t i)
{
    double g = c->dw[i] * c->inv_accumulate, w = c->w[i];
    return c->hyper->l1 != 0 ? g + c->hyper->l1 * ((w > 0) - (w < 0)) : g;
}

static double clip_factor(const struct hn_optim_call *c)
{
    if (!(c->hyper->clip_norm > 0)) return 1;
    double sum = 0;
    for (int p = 0; p < c->prog->n_params; p++) {
        const struct hn_param *q = &c->prog->params[p];
        if (!(q->flags & HN_PARAM_TRAINED)) continue;
        for (size_t i = q->off; i < q->off + q->n; i++) sum += averaged(c, i) * averaged(c, i);
    }
    double k = c->hyper->clip_norm / (sqrt(sum) + 1e-6);
    return k > 1 ? 1 : k; /* NaN stays NaN */
}

struct rule {                      /* what is the same for all elements of a parameter */
    double lr, decay, step, root2; /* adam: step = lr / (1 - b1^t), root2 = sqrt(1 - b2^t) */
};

/* How far element i moves down along gradient g; takes g into the element's state. */
static double descent(const struct hn_optim_call *c, const struct rule *r, size_t i, double g)
{
    const struct hn_hyper *h = c->hyper;
    double *m = c->m ? &c->m[i] : NULL, *v = c->v ? &c->v[i] : NULL;
    switch (h->optimizer) {
    case HN_SGD:
    case HN_MOMENTUM:
    case HN_NESTEROV:
        if (!m) break;
        *m = h->momentum * *m + g;
        return r->lr * (h->optimizer == HN_NESTEROV ? g + h->momentum * *m : *m);
    case HN_ADAGRAD: *v += g * g; return r->lr * g / (sqrt(*v) + h->eps);
    case HN_RMSPROP:
        *v = h->alpha * *v + (1 - h->alpha) * g * g;
        if (!m) return r->lr * g / (sqrt(*v) + h->eps);
        *m = h->momentum * *m + g / (sqrt(*v) + h->eps);
        return r->lr * *m;
    case HN_ADAM:
    case HN_ADAMW:
        *m += (1 - h->beta1) * (g - *m);
        *v = h->beta2 * *v + (1 - h->beta2) * g * g;
        return r->step * *m / (sqrt(*v) / r->root2 + h->eps);
    case HN_OPTIMIZERS: break;
    }
    return r->lr * g;
}

void hn_optim_reference(const struct hn_optim_call *c)
{
    const struct hn_hyper *h = c->hyper;
    double clip = clip_factor(c), t = (double)c->t;
    for (int p = 0; p < c->prog->n_params; p++) {
        const struct hn_param *q = &c->prog->params[p];
        if (!(q->flags & HN_PARAM_TRAINED)) continue;
        struct rule r = { .lr = c->lr * (double)q->lr_mult,
                          .decay = h->weight_decay * (double)q->decay_mult };
        r.step = r.lr / (1 - pow(h->beta1, t));
        r.root2 = sqrt(1 - pow(h->beta2, t));
        for (size_t i = q->off; i < q->off + q->n; i++) {
            double g = averaged(c, i) * clip, *w = &c->w[i];
            if (h->optimizer == HN_ADAMW)
                *w -= r.lr * r.decay * *w;
            else
                g += r.decay * *w;
            *w -= descent(c, &r, i, g);
        }
    }
}
