/* SPDX-License-Identifier: MIT
 *
 * BatchNorm in strips of rows, forward: two launches (strips.h), with running statistics one. Sums are around the first row's
 * number, as norm1's. */
#include "gpu/strips.h"

/* Of each strip the sums of x around the first row, and their squares'; behind those of all strips that row. */
HN_KERNEL_SOON(strips_sums, hn_k_norm, 3)
{
    HN_SHARED double sh[2 * CELLS];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const struct strip strip = strip_of(hn_n(a.outer, s->rows), HN_Y);
    if (HN_Y >= strip.count) return;
    const int64_t c0 = HN_X * WIDE;
    const real *x = hn_at(&a.env, a.x, HN_Z) + c0;
    double *around = sums_of(&a, HN_Z, HN_K_STRIPS) + c0;
    HN_TURN();
    const int stop = s->stop;
    HN_EACH(t)
    {
        const int there = c0 + beside(t) < a.channels, channels = (int)a.channels;
        const real *from = x + (there ? beside(t) : 0);
        real v[SQUARES * SQUARE], first[SIDE];
        double one[SIDE], two[SIDE];
        int row = strip.first + above(t);
        take_round(v, from, channels, row, strip.end, 0);
        hn_copy4(first, from);
        HN_UNROLL
        for (int c = 0; c < SIDE; c++) one[c] = two[c] = 0;
        for (;;) { /* what is not there is the first row */
            HN_UNROLL
            for (int e = 0; e < SQUARES * SQUARE; e++) {
                const double d = (double)v[e] - (double)first[e % SIDE];
                one[e % SIDE] += d, two[e % SIDE] += d * d;
            }
            row += SQUARES * ROUND;
            if (row >= strip.end) break;
            take_round(v, from, channels, row, strip.end, 0);
        }
        HN_UNROLL
        for (int c = 0; c < SIDE; c++) {
            sh[t * SIDE + c] = one[c], sh[CELLS + t * SIDE + c] = two[c];
            if (HN_Y == 0 && t < ACROSS && there && !stop) around[beside(t) + c] = (double)first[c];
        }
    }
    if (stop) return;
    ADD_STRIP(sh, &a, HN_Z, HN_Y, c0);
}

struct numbers { /* of a channel forward: first what is read, on its way while sums are added up */
    double around, mean, var, inv;
    real scale, bias;
};
HN_DEVICE void read_numbers(struct numbers *c, const struct hn_k_norm *a, const struct channels *of,
                            const double *around, int64_t ch)
{
    c->around = a->batch ? around[ch] : 0;
    c->mean = a->batch ? 0 : (double)of->mean[ch], c->var = a->batch ? 0 : (double)of->var[ch];
    c->scale = of->scale[ch], c->bias = of->bias[ch];
}
HN_DEVICE void find_numbers(struct numbers *c, const struct hn_k_norm *a, double share,
                            const double *parts, struct affine *f, int t)
{
    HN_NOW(c->scale); /* nothing waits for it in front of the sums' loads */
    const double off = added_up(parts, 0, t) * share,
                 var = added_up(parts, 1, t) * share - off * off;
    if (a->batch) c->mean = c->around + off, c->var = var < 0 ? 0 : var;
    c->inv = inverse_root(c->var + a->eps);
    f->m[t] = (real)c->mean, f->k[t] = (real)((double)c->scale * c->inv), f->b[t] = c->bias;
}

/* y of a square, and its ReLU. */
HN_DEVICE void put_square(const struct affine *f, int at, real *v, int relu)
{
    HN_UNROLL
    for (int c = 0; c < SIDE; c++) {
        const real m = f->m[at + c], k = f->k[at + c], b = f->b[at + c];
        HN_UNROLL
        for (int e = 0; e < SIDE; e++) {
            const real u = normal(v[SIDE * e + c], m, k, b);
            v[SIDE * e + c] = relu && u <= 0 ? 0 : u;
        }
    }
}

/* The rows that come first are on their way while the sums are added up. */
HN_KERNEL_SOON(strips, hn_k_norm, 2)
{
    HN_SHARED double parts[HN_BLOCK];
    HN_SHARED struct affine affine;
    HN_SHARED struct numbers told[WIDE];
    HN_PRIVATE(real, kept, SQUARES * SQUARE);
    HN_PRIVATE(struct numbers, numbers, 1);
    HN_PRIVATE(struct statistics_at, to, 1);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const struct strip strip = strip_of(hn_n(a.outer, s->rows), HN_Y);
    if (HN_Y > 0 && HN_Y >= strip.count) return;
    const int64_t c0 = HN_X * WIDE;
    const int channels = (int)a.channels;
    const real *x = hn_at(&a.env, a.x, HN_Z) + c0;
    real *y = hn_at(&a.env, a.y, HN_Z) + c0;
    const struct copy copy = copy_of(&a, HN_Z, strip.n);
    const struct channels of = channels_of(&a, HN_Z);
    const double *around = sums_of(&a, HN_Z, HN_K_STRIPS);
    double share = 1 / (double)(strip.n > 0 ? strip.n : 1);
    HN_NOW(share);
    HN_TURN();
    const int stop = s->stop;
    HN_EACH(t)
    {
        const real *from = x + (c0 + beside(t) < a.channels ? beside(t) : 0);
        if (strip.count)
            take_round(HN_MINE(kept, t), from, channels, strip.first + above(t), strip.end,
                       strip.first);
        if (t < WIDE && c0 + t < a.channels)
            read_numbers(HN_MINE(numbers, t), &a, &of, around, c0 + t);
        parts[t] = a.batch ? part_of(&a, HN_Z, strip.count, c0, t) : 0;
    }
    if (stop) return;
    HN_EACH(t)
    {
        if (t < WIDE && c0 + t < a.channels) {
            find_numbers(HN_MINE(numbers, t), &a, share, parts, &affine, t);
            told[t] = *HN_MINE(numbers, t);
        }
        if (HN_Y == 0 && tells(t)) *HN_MINE(to, t) = statistics_at(&a, HN_Z, strip.n);
    }
    HN_EACH(t)
    {
        const int64_t ch = c0 + beside(t);
        real *v = HN_MINE(kept, t);
        const int own = strip.first + above(t);
        for (int r0 = own; ch < a.channels && r0 < strip.end; r0 += SQUARES * ROUND) {
            if (r0 != own) take_round(v, x + beside(t), channels, r0, strip.end, own);
            HN_UNROLL
            for (int q = 0; q < SQUARES; q++) {
                put_square(&affine, beside(t), v + q * SQUARE, a.fuse_relu);
                store_square(y + beside(t), v + q * SQUARE, channels, r0 + q * ROUND, strip.end);
                leave_square(&copy, v + q * SQUARE, r0 + q * ROUND, strip.end, ch);
            }
        }
        const struct numbers *c = told + t % WIDE;
        if (HN_Y == 0 && tells(t) && c0 + t % WIDE < a.channels)
            keep_there(&a, HN_MINE(to, t), c0 + t % WIDE, c->mean, c->var, c->inv);
    }
}
