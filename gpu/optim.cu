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

/* A thread has four neighbours of a chunk, which begins at a multiple of 16 elements. */
HN_KERNEL_OF(optim, hn_k_optim, 128 / HN_BITS)
{
    struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    HN_EACH(t) if (a.last && HN_X == 0 && t == 0) hn_move_on(s);
    if (s->failing || !s->apply) return;
    const struct hn_k_chunk c = a.chunks[a.first + HN_X];
    const struct rule r = rule_of(s, c.lr_mult, c.decay_mult);
    real *const w = (real *)s->w + c.off, *const m = s->m ? (real *)s->m + c.off : 0,
                *const v = s->v ? (real *)s->v + c.off : 0,
                *const average = s->average ? (real *)s->average + c.off : 0;
    const real *const dw = (const real *)s->dw + c.off, share = (real)s->share;
    uint16_t *const copy =
        c.copy ? (uint16_t *)(a.env.arena + (uint64_t)HN_Z * a.env.stride + c.copy) : 0;
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
            if (copy) follow(copy + i, e);
            if (average) {
                real to[4];
                hn_copy4(to, average + i);
                for (int k = 0; k < 4; k++) to[k] = followed(share, to[k], e[k]);
                hn_copy4(average + i, to);
            }
            if (m) hn_copy4(m + i, mi);
            if (v) hn_copy4(v + i, vi);
            continue;
        }
        for (int k = i; k < c.n; k++) {
            real mk = m ? m[k] : 0, vk = v ? v[k] : 0;
            w[k] = moved(&r, w[k], dw[k], &mk, &vk);
            if (m) m[k] = mk;
            if (v) v[k] = vk;
            if (average) average[k] = followed(share, average[k], w[k]);
        }
    }
}
