/* SPDX-License-Identifier: MIT
 *
 * BatchNorm in strips of rows, backward: two launches (strips.h). No block sees all of a channel's dx, so the bias gradient of the
 * layer in front, their sum, follows from the sums of the terms they are made of. */
#include "gpu/strips.h"

struct given { /* backward: x and dy from the block's first channel on */
    const real *x, *dy;
    int channels, end, relu;
};
struct terms { /* of a square: dy that got through, 0 in a row that is not there; x */
    real g[SQUARE], x[SQUARE];
};
HN_DEVICE void take_terms(const struct given *d, struct terms *k, int at, int row, int spare)
{
    take(k->g, d->dy + at, d->channels, row, d->end, spare);
    take(k->x, d->x + at, d->channels, row, d->end, spare);
}
HN_DEVICE void let_through(const struct given *d, const struct affine *f, int at, struct terms *k,
                           int row)
{
    HN_UNROLL
    for (int c = 0; c < SIDE; c++) {
        const real m = f->m[at + c], by = f->k[at + c], b = f->b[at + c];
        HN_UNROLL
        for (int e = 0; e < SIDE; e++) {
            const int i = SIDE * e + c;
            if (row + e >= d->end || (d->relu && !(normal(k->x[i], m, by, b) > 0))) k->g[i] = 0;
        }
    }
}

struct found { /* of a channel: what is read, and its two sums */
    double mean, inv, sum, dot;
    real scale, bias;
};
HN_DEVICE void read_found(struct found *c, const struct channels *of, int64_t ch)
{
    c->mean = of->save_mean[ch], c->inv = of->save_inv[ch];
    c->scale = of->scale[ch], c->bias = of->bias[ch];
}
/* The numbers of the block's channel t, as forward had them. */
HN_DEVICE void affine_of(struct affine *f, const struct found *c, int t)
{
    f->m[t] = (real)c->mean, f->k[t] = (real)((double)c->scale * c->inv), f->b[t] = c->bias;
}

/* Of each strip the sums of dy, and of dy times x around its mean. */
HN_KERNEL_SOON(strips_back_sums, hn_k_norm, 2)
{
    HN_SHARED double sh[2 * CELLS], mean[WIDE];
    HN_SHARED struct affine affine;
    HN_PRIVATE(struct terms, kept, 1);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const struct strip strip = strip_of(hn_n(a.outer, s->rows), HN_Y);
    if (HN_Y >= strip.count) return;
    const int64_t c0 = HN_X * WIDE;
    struct given d = { .x = hn_at(&a.env, a.x, HN_Z) + c0, .dy = hn_at(&a.env, a.dy, HN_Z) + c0 };
    d.channels = (int)a.channels, d.end = strip.end, d.relu = a.fuse_relu;
    const struct channels of = channels_of(&a, HN_Z);
    HN_TURN();
    const int stop = s->stop;
    HN_EACH(t)
    {
        take_terms(&d, HN_MINE(kept, t), c0 + beside(t) < a.channels ? beside(t) : 0,
                   strip.first + above(t), strip.first);
        if (t < WIDE && c0 + t < a.channels) {
            struct found c;
            read_found(&c, &of, c0 + t);
            affine_of(&affine, &c, t);
            mean[t] = c.mean;
        }
    }
    if (stop) return;
    HN_EACH(t)
    {
        double one[SIDE], two[SIDE];
        const int at = beside(t), own = strip.first + above(t);
        struct terms *k = HN_MINE(kept, t);
        HN_UNROLL
        for (int c = 0; c < SIDE; c++) one[c] = two[c] = 0;
        for (int r0 = own; c0 + at < a.channels && r0 < strip.end; r0 += ROUND) {
            if (r0 != own) take_terms(&d, k, at, r0, own);
            let_through(&d, &affine, at, k, r0);
            HN_UNROLL
            for (int i = 0; i < SQUARE; i++) {
                const double g = (double)k->g[i];
                one[i % SIDE] += g, two[i % SIDE] += g * ((double)k->x[i] - mean[at + i % SIDE]);
            }
        }
        HN_UNROLL
        for (int c = 0; c < SIDE; c++) sh[t * SIDE + c] = one[c], sh[CELLS + t * SIDE + c] = two[c];
    }
    ADD_STRIP(sh, &a, HN_Z, HN_Y, c0);
}

HN_DEVICE void find_slopes(struct found *c, double share, const double *parts, struct affine *f,
                           int t)
{
    c->sum = added_up(parts, 0, t), c->dot = added_up(parts, 1, t) * c->inv;
    f->g0[t] = (real)(c->sum * share), f->g1[t] = (real)(c->dot * share * c->inv);
}
/* The sum of a channel's dx in so many rows. */
HN_DEVICE double sum_of_dx(const struct found *c, const struct affine *f, double rows, int t)
{
    const double off = rows * (c->mean - (double)f->m[t]);
    return (double)f->k[t] * (c->sum - rows * (double)f->g0[t] - off * (double)f->g1[t]);
}

HN_DEVICE void give_square(const struct affine *f, int at, struct terms *k)
{
    HN_UNROLL
    for (int c = 0; c < SIDE; c++) {
        const real m = f->m[at + c], by = f->k[at + c], g0 = f->g0[at + c], g1 = f->g1[at + c];
        HN_UNROLL
        for (int e = 0; e < SIDE; e++) {
            const int i = SIDE * e + c;
            k->g[i] = by * (k->g[i] - g0 - (k->x[i] - m) * g1);
        }
    }
}

/* What is in memory already. */
HN_DEVICE void add_square(real *v, const real *to, int channels, int row, int end)
{
    HN_UNROLL
    for (int e = 0; e < SIDE; e++) {
        real before[SIDE];
        if (row + e >= end) continue;
        hn_copy4(before, to + row_at(row + e, channels));
        HN_UNROLL
        for (int c = 0; c < SIDE; c++) v[SIDE * e + c] += before[c];
    }
}

HN_KERNEL_SOON(strips_back, hn_k_norm, 2)
{
    HN_SHARED double parts[HN_BLOCK];
    HN_SHARED struct affine affine;
    HN_SHARED struct found told[WIDE];
    HN_PRIVATE(struct terms, kept, 1);
    HN_PRIVATE(struct found, found, 1);
    HN_PRIVATE(struct gradients_at, to, 1);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const struct strip strip = strip_of(hn_n(a.outer, s->rows), HN_Y);
    if (HN_Y > 0 && HN_Y >= strip.count) return;
    const int64_t c0 = HN_X * WIDE;
    struct given d = { .x = hn_at(&a.env, a.x, HN_Z) + c0, .dy = hn_at(&a.env, a.dy, HN_Z) + c0 };
    d.channels = (int)a.channels, d.end = strip.end, d.relu = a.fuse_relu;
    real *dx = a.dx.space ? hn_at(&a.env, a.dx, HN_Z) + c0 : 0;
    const struct copy copy = copy_of(&a, HN_Z, strip.n);
    const struct channels of = channels_of(&a, HN_Z);
    double share = a.batch && strip.n > 0 ? 1 / (double)strip.n : 0;
    HN_NOW(share);
    HN_TURN();
    const int stop = s->stop;
    HN_EACH(t)
    {
        if (dx && strip.count)
            take_terms(&d, HN_MINE(kept, t), c0 + beside(t) < a.channels ? beside(t) : 0,
                       strip.first + above(t), strip.first);
        if (t < WIDE && c0 + t < a.channels) read_found(HN_MINE(found, t), &of, c0 + t);
        parts[t] = part_of(&a, HN_Z, strip.count, c0, t);
    }
    if (stop) return;
    HN_EACH(t)
    {
        struct found *c = HN_MINE(found, t);
        if (t < WIDE && c0 + t < a.channels) {
            HN_NOW(c->scale);
            affine_of(&affine, c, t);
            find_slopes(c, share, parts, &affine, t);
            told[t] = *c;
        }
        if (HN_Y == 0 && tells(t)) *HN_MINE(to, t) = gradients_at(&a, HN_Z);
    }
    HN_EACH(t)
    {
        const int at = beside(t), own = strip.first + above(t);
        struct terms *k = HN_MINE(kept, t);
        for (int r0 = own; dx && c0 + at < a.channels && r0 < strip.end; r0 += ROUND) {
            if (r0 != own) take_terms(&d, k, at, r0, own);
            let_through(&d, &affine, at, k, r0);
            give_square(&affine, at, k);
            if (a.acc & 1) add_square(k->g, dx + at, d.channels, r0, strip.end);
            store_square(dx + at, k->g, d.channels, r0, strip.end);
            leave_square(&copy, k->g, r0, strip.end, c0 + at);
        }
        const struct found *c = told + t % WIDE;
        const int64_t ch = c0 + t % WIDE;
        if (HN_Y > 0 || !tells(t) || ch >= a.channels) continue;
        give_there(&a, HN_MINE(to, t), ch, c->sum, c->dot, (double)c->scale * c->inv, c->inv);
        give_below(&a, HN_MINE(to, t), ch, sum_of_dx(c, &affine, (double)strip.n, t % WIDE));
    }
}
