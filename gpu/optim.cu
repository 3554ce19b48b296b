/* SPDX-License-Identifier: MIT
 *
 * The optimizer: all trained parameters of all slots in one launch, a block for each chunk of one parameter, formulas and order
 * of ops/math/optim.c: average, L1, clip by the global norm, coupled decay, update. Padding is not touched. Gradients of one
 * batch (env.grads) are added up by `sums` when several batches make a step. A parameter that products take as bfloat16
 * (operand.c; a multiple of 8 elements) is written as such, too. Where an average of the weights is kept it follows them here. */
#include "gpu/narrow.h"
#include "gpu/optim.h"

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

/* Four neighbours of a parameter to its copy. */
HN_DEVICE void follow(uint16_t *to, const real *v)
{
    const uint32_t low = narrowed(v[0]) | (uint32_t)narrowed(v[1]) << 16,
                   high = narrowed(v[2]) | (uint32_t)narrowed(v[3]) << 16;
    hn_at_once(to, 8);
    *(uint64_t *)to = low | (uint64_t)high << 32;
}

/* What the optimizer does not move: running statistics, which have been moved. */
HN_KERNEL(average, hn_k_average)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s) || s->failing || !s->apply || !s->average) return;
    real *const to = (real *)s->average + a.first;
    const real *const w = (const real *)s->w + a.first, share = (real)s->share;
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < a.n; i += HN_STRIDE) to[i] = followed(share, to[i], w[i]);
}

struct kept { /* of a thread's four elements */
    real w[4], g[4], m[4], v[4];
};
struct places { /* of a chunk; NULL: there is none */
    real *w, *m, *v, *average;
    const real *dw;
    uint16_t *copy;
    int n;
};

/* The optimizer's own state is read once a step, and leaves the cache to the others. */
HN_DEVICE void take_four(const struct places *c, int i, struct kept *k)
{
    HN_UNROLL
    for (int e = 0; e < 4; e++) k->w[e] = k->g[e] = k->m[e] = k->v[e] = 0;
    if (i + 4 <= c->n) {
        hn_copy4(k->w, c->w + i), hn_copy4(k->g, c->dw + i);
        if (c->m) hn_load_once(k->m, c->m + i);
        if (c->v) hn_load_once(k->v, c->v + i);
        return;
    }
    HN_UNROLL
    for (int e = 0; e < 4; e++) {
        if (i + e >= c->n) continue;
        k->w[e] = c->w[i + e], k->g[e] = c->dw[i + e];
        if (c->m) k->m[e] = c->m[i + e];
        if (c->v) k->v[e] = c->v[i + e];
    }
}

HN_DEVICE void move_four(const struct rule *r, int optimizer, struct kept *k)
{
    HN_UNROLL
    for (int i = 0; i < 4; i++) k->w[i] = moved(r, optimizer, k->w[i], k->g[i], &k->m[i], &k->v[i]);
}

HN_DEVICE void leave_four(const struct places *c, int i, const struct kept *k, real share)
{
    if (i + 4 <= c->n) {
        hn_copy4(c->w + i, k->w);
        if (c->copy) follow(c->copy + i, k->w);
        if (c->average) {
            real to[4];
            hn_copy4(to, c->average + i);
            HN_UNROLL
            for (int e = 0; e < 4; e++) to[e] = followed(share, to[e], k->w[e]);
            hn_copy4(c->average + i, to);
        }
        if (c->m) hn_store_once(c->m + i, k->m);
        if (c->v) hn_store_once(c->v + i, k->v);
        return;
    }
    HN_UNROLL
    for (int e = 0; e < 4; e++) {
        if (i + e >= c->n) continue;
        c->w[i + e] = k->w[e];
        if (c->m) c->m[i + e] = k->m[e];
        if (c->v) c->v[i + e] = k->v[e];
        if (c->average) c->average[i + e] = followed(share, c->average[i + e], k->w[e]);
    }
}

/* A thread has four neighbours of a chunk, which begins at a multiple of 16 elements. They are on their way before it is known what
 * becomes of them. */
HN_KERNEL_OF(optim, hn_k_optim, 128 / HN_BITS)
{
    HN_PRIVATE(struct kept, kept, 1);
    HN_SHARED struct rule rule[1] HN_BLANK;
    struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const struct hn_k_chunk c = a.chunks[HN_X];
    const struct places at = {
        (real *)s->w + c.off,
        s->m ? (real *)s->m + c.off : 0,
        s->v ? (real *)s->v + c.off : 0,
        s->average ? (real *)s->average + c.off : 0,
        (const real *)s->dw + c.off,
        c.copy ? (uint16_t *)(a.env.arena + (uint64_t)HN_Z * a.env.stride + c.copy) : 0,
        c.n
    };
    const int moves = !s->failing && s->apply;
    HN_EACH(t)
    {
        take_four(&at, 4 * t, HN_MINE(kept, t));
        if (t == 0) rule[0] = rule_of(s, c.lr_mult, c.decay_mult);
    }
    HN_EACH(t) if (a.last && HN_X == 0 && t == 0) hn_move_on(s);
    if (!moves) return;
    const struct rule r = rule[0];
    const real share = (real)s->share;
    HN_EACH(t)
    {
        struct kept *const k = HN_MINE(kept, t);
        if (r.optimizer == ADAM) /* code for the usual ones alone */
            move_four(&r, ADAM, k);
        else if (r.optimizer == ADAMW)
            move_four(&r, ADAMW, k);
        else if (r.optimizer == SGD)
            move_four(&r, SGD, k);
        else
            move_four(&r, r.optimizer, k);
        leave_four(&at, 4 * t, k, share);
    }
}
