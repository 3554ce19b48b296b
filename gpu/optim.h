/* SPDX-License-Identifier: MIT
 *
 * How one element of a trained parameter moves: formulas and order of ops/math/optim.c (average, L1, clip, coupled decay, update),
 * in the element type, for kernels. */
#ifndef HN_GPU_OPTIM_H
#define HN_GPU_OPTIM_H

#include "gpu/kernel.h"

enum { SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW }; /* enum hn_optimizer */

HN_DEVICE real averaged(real scale, real l1, real dw, real w)
{
    real g = dw * scale;
    return l1 != 0 ? g + l1 * (real)((w > 0) - (w < 0)) : g;
}

struct rule { /* what is the same for all elements of a chunk */
    real lr, decay, mu, beta1, beta2, eps, alpha, step, root2, scale, l1, clip;
    int optimizer, has_m;
};

/* a / (sqrt(v) root2 + eps), for v >= 0; float32: to the last two bits, which is far below what a step's rounding is of the weight. */
HN_DEVICE real over_root(real a, real v, real root2, real eps)
{
#if defined(__CUDACC__) && HN_BITS == 32
    float root;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(v));
    return __fdividef(a, root * root2 + eps);
#else
    return a / (HN_FN(sqrt)(v) * root2 + eps);
#endif
}

/* How far the element moves down along g; takes g into its state. */
HN_DEVICE real descent(const struct rule *r, int optimizer, real *m, real *v, real g)
{
    switch (optimizer) {
    case MOMENTUM:
    case NESTEROV:
        if (!r->has_m) break;
        *m = r->mu * *m + g;
        return r->lr * (optimizer == MOMENTUM ? *m : g + r->mu * *m);
    case ADAGRAD: *v += g * g; return over_root(r->lr * g, *v, 1, r->eps);
    case RMSPROP:
        *v = r->alpha * *v + (1 - r->alpha) * g * g;
        if (!r->has_m) return over_root(r->lr * g, *v, 1, r->eps);
        *m = r->mu * *m + over_root(g, *v, 1, r->eps);
        return r->lr * *m;
    case ADAM:
    case ADAMW:
        *m +=
            r->beta1 *
            (g -
             *m); /* beta1 here is 1 - beta1, beta2 its complement below: rounded once, from double */
        *v += r->beta2 * (g * g - *v);
        return over_root(r->step * *m, *v, r->root2, r->eps);
    default: break;
    }
    return r->lr * g;
}

/* optimizer: the rule's; a constant makes code for that one alone. */
HN_DEVICE real moved(const struct rule *r, int optimizer, real e, real dw, real *m, real *v)
{
    real g = averaged(r->scale, r->l1, dw, e) * r->clip;
    if (optimizer == ADAMW)
        e -= r->lr * r->decay * e;
    else
        g += r->decay * e;
    return e - descent(r, optimizer, m, v, g);
}

/* An element of the average behind that of the weights (hn_ema_share in ops/math/op.h). */
HN_DEVICE real followed(real share, real a, real w)
{
    return share < (real)0.5 ? a + share * (w - a) : w - (1 - share) * (w - a);
}

HN_DEVICE double share_of(const struct hn_k_slot *s) { return s->step == 0 ? 1 : 1 - s->ema; }

/* What the optimizer's next step needs of its clock. */
HN_DEVICE void rates(struct hn_k_slot *s)
{
    const double t = (double)(s->step + 1);
    s->rate = s->lr[s->ahead];
    s->grow1 = 1 / (1 - pow(s->beta1, t));
    s->root2 = 1 / sqrt(1 - pow(s->beta2, t));
}

/* For parameters with these multipliers of learning rate and decay, in the step at hand. */
HN_DEVICE struct rule rule_of(const struct hn_k_slot *s, float lr_mult, float decay_mult)
{
    const double lr = s->rate * (double)lr_mult;
    struct rule r;
    r.lr = (real)lr, r.step = (real)(lr * s->grow1);
    r.decay = (real)(s->weight_decay * (double)decay_mult);
    r.mu = (real)s->momentum;
    r.beta1 = (real)(1 - s->beta1), r.beta2 = (real)(1 - s->beta2);
    r.eps = (real)s->eps, r.alpha = (real)s->alpha, r.root2 = (real)s->root2;
    r.scale = (real)s->scale, r.l1 = (real)s->l1, r.clip = (real)s->clip;
    r.has_m = s->m != 0;
    r.optimizer = s->optimizer == SGD && r.has_m ? MOMENTUM : s->optimizer;
    return r;
}
#endif
