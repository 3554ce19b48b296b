/* SPDX-License-Identifier: MIT
 *
 * The optimizer: all trained parameters of all slots in one launch, a block for each chunk of one parameter, formulas and order
 * of ops/math/optim.c: average, L1, clip by the global norm, coupled decay, update. Padding is not touched. Gradients of one
 * batch (env.grads) are added up by `sums` when several batches make a step. */
#include "gpu/kernel.h"

enum { SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW }; /* enum hn_optimizer */

HN_KERNEL(sums, hn_k_optim)
{
    struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    HN_EACH(t) if (a.last && HN_X == 0 && t == 0) hn_move_on(s);
    if (s->failing) return;
    const struct hn_k_chunk c = a.chunks[HN_X];
    real *dw = (real *)s->dw + c.off;
    const real *g = (const real *)(a.env.grads + (uint64_t)HN_Z * a.env.grad_stride) + c.off;
    HN_EACH(t) for (int64_t i = t; i < c.n; i += HN_BLOCK) dw[i] = s->adds ? dw[i] + g[i] : g[i];
}

HN_DEVICE real averaged(real scale, real l1, real dw, real w)
{
    real g = dw * scale;
    return l1 != 0 ? g + l1 * (real)((w > 0) - (w < 0)) : g;
}

HN_KERNEL(squares, hn_k_optim)
{
    HN_SHARED double sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s) || s->failing || !s->apply) return;
    const struct hn_k_chunk c = a.chunks[HN_X];
    const real *w = (const real *)s->w + c.off, *dw = (const real *)s->dw + c.off;
    HN_EACH(t)
    {
        sum[t] = 0;
        for (int64_t i = t; i < c.n; i += HN_BLOCK) {
            double g = (double)averaged((real)s->scale, (real)s->l1, dw[i], w[i]);
            sum[t] += g * g;
        }
    }
    HN_TREE(sum, HN_BLOCK);
    HN_EACH(t) if (t == 0) a.squares[HN_Z * a.n_chunks + HN_X] = sum[0];
}

HN_KERNEL(clip, hn_k_optim)
{
    HN_SHARED double sum[HN_BLOCK];
    struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s) || s->failing || !s->apply || !(s->clip_norm > 0)) return;
    HN_EACH(t)
    {
        sum[t] = 0;
        for (int64_t i = t; i < a.n_chunks; i += HN_BLOCK)
            sum[t] += a.squares[HN_Z * a.n_chunks + i];
    }
    HN_TREE(sum, HN_BLOCK);
    HN_EACH(t) if (t == 0)
    {
        double k = s->clip_norm / (sqrt(sum[0]) + 1e-6);
        s->clip = k > 1 ? 1 : k; /* NaN stays NaN */
    }
}

struct rule { /* what is the same for all elements of a chunk */
    real lr, decay, mu, beta1, beta2, eps, alpha, step, root2, scale, l1, clip;
    int optimizer, has_m;
};

/* How far the element moves down along g; takes g into its state. */
HN_DEVICE real descent(const struct rule *r, real *m, real *v, real g)
{
    switch (r->optimizer) {
    case MOMENTUM:
    case NESTEROV:
        if (!r->has_m) break;
        *m = r->mu * *m + g;
        return r->lr * (r->optimizer == MOMENTUM ? *m : g + r->mu * *m);
    case ADAGRAD: *v += g * g; return r->lr * g / (HN_FN(sqrt)(*v) + r->eps);
    case RMSPROP:
        *v = r->alpha * *v + (1 - r->alpha) * g * g;
        return r->lr * g / (HN_FN(sqrt)(*v) + r->eps);
    case ADAM:
    case ADAMW:
        *m +=
            r->beta1 *
            (g -
             *m); /* beta1 here is 1 - beta1, beta2 its complement below: rounded once, from double */
        *v += r->beta2 * (g * g - *v);
        return r->step * *m / (HN_FN(sqrt)(*v) / r->root2 + r->eps);
    default: break;
    }
    return r->lr * g;
}

HN_DEVICE real moved(const struct rule *r, real e, real dw, real *m, real *v)
{
    real g = averaged(r->scale, r->l1, dw, e) * r->clip;
    if (r->optimizer == ADAMW)
        e -= r->lr * r->decay * e;
    else
        g += r->decay * e;
    return e - descent(r, m, v, g);
}

/* A thread has four neighbours of a chunk, which begins at a multiple of 16 elements. */
HN_KERNEL(optim, hn_k_optim)
{
    struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    HN_EACH(t) if (a.last && HN_X == 0 && t == 0) hn_move_on(s);
    if (s->failing || !s->apply) return;
    const struct hn_k_chunk c = a.chunks[a.first + HN_X];
    const double lr = s->rate * (double)c.lr_mult;
    const struct rule r = { (real)lr,
                            (real)(s->weight_decay * (double)c.decay_mult),
                            (real)s->momentum,
                            (real)(1 - s->beta1),
                            (real)(1 - s->beta2),
                            (real)s->eps,
                            (real)s->alpha,
                            (real)(lr * s->grow1),
                            (real)s->root2,
                            (real)s->scale,
                            (real)s->l1,
                            (real)s->clip,
                            s->optimizer,
                            s->m != 0 };
    real *const w = (real *)s->w + c.off, *const m = s->m ? (real *)s->m + c.off : 0,
                *const v = s->v ? (real *)s->v + c.off : 0;
    const real *const dw = (const real *)s->dw + c.off;
    HN_EACH(t)
    for (int i = 4 * t; i < c.n; i += 4 * HN_BLOCK) {
        real e[4] = { 0 }, g[4] = { 0 }, mi[4] = { 0 }, vi[4] = { 0 };
        if (i + 4 <= c.n) {
            hn_copy4(e, w + i), hn_copy4(g, dw + i);
            if (m) hn_copy4(mi, m + i);
            if (v) hn_copy4(vi, v + i);
            HN_UNROLL
            for (int k = 0; k < 4; k++) e[k] = moved(&r, e[k], g[k], &mi[k], &vi[k]);
            hn_copy4(w + i, e);
            if (m) hn_copy4(m + i, mi);
            if (v) hn_copy4(v + i, vi);
            continue;
        }
        for (int k = i; k < c.n; k++) {
            real mk = m ? m[k] : 0, vk = v ? v[k] : 0;
            w[k] = moved(&r, w[k], dw[k], &mk, &vk);
            if (m) m[k] = mk;
            if (v) v[k] = vk;
        }
    }
}
