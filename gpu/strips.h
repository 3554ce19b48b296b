/* SPDX-License-Identifier: MIT
 *
 * BatchNorm of many channels and many rows, where rows follow each other: a block takes a strip of rows of 32 channels, so that
 * what it asks memory for are whole lines. No block sees all rows of a channel: a first launch leaves each strip's sums, and a
 * second one adds them up in order and makes the result (strips.cu forward, strips_back.cu backward). The formulas are norm.cu's.
 * How rows are dealt out follows from a slot's own rows alone. */
#ifndef HN_GPU_STRIPS_H
#define HN_GPU_STRIPS_H

#include "gpu/norm.h"

/* A thread has squares of 4 rows of 4 channels. Its 4 channels lie beside 7 other threads', its square's rows above 31 others':
 * so many rows are a round. */
enum {
    SIDE = 4,
    SQUARE = SIDE * SIDE,
    WIDE = HN_K_LINE,
    ACROSS = WIDE / SIDE,
    ROUND = HN_BLOCK / ACROSS * SIDE,
    SQUARES = 64 / HN_BITS, /* that are on their way at once, forward */
    CELLS = HN_BLOCK * SIDE,
    LANES = HN_BLOCK / (2 * WIDE)
};

struct strip { /* rows [first, end) of n; count of them in all */
    int first, end, count;
    int64_t n;
};
HN_DEVICE struct strip strip_of(int64_t n, int64_t which)
{
    enum { MOST = HN_K_STRIPS * HN_K_STRIP };
    const uint32_t rows = (uint32_t)n,
                   each = (rows > 0 ? (rows - 1) / MOST + 1 : 1) * (uint32_t)HN_K_STRIP,
                   first = (uint32_t)which * each;
    struct strip s;
    s.n = n, s.count = (int)((rows + each - 1) / each);
    s.first = (int)(first < rows ? first : rows);
    s.end = (int)(first + each < rows ? first + each : rows);
    return s;
}

/* Where thread t's channels begin among the block's, and its square of a round. */
HN_DEVICE int beside(int t) { return t % ACROSS * SIDE; }
HN_DEVICE int above(int t) { return t / ACROSS * SIDE; }

/* Where a row of `channels` numbers begins. */
HN_DEVICE uint64_t row_at(int row, int channels)
{
    return (uint64_t)(uint32_t)row * (uint32_t)channels;
}

/* A square of rows; for a row that is not in front of `end` comes row `spare`. */
HN_DEVICE void take(real *v, const real *x, int channels, int row, int end, int spare)
{
    HN_GLOBAL(x);
    HN_UNROLL
    for (int e = 0; e < SIDE; e++)
        hn_copy4(v + SIDE * e, x + row_at(row + e < end ? row + e : spare, channels));
}
HN_DEVICE void take_round(real *v, const real *x, int channels, int row, int end, int spare)
{
    HN_UNROLL
    for (int q = 0; q < SQUARES; q++)
        take(v + q * SQUARE, x, channels, row + q * ROUND, end, spare);
}

/* Where the block's sums of its strip go, of the two for each channel one after the other: added up over the threads. */
HN_DEVICE double *sums_of(const struct hn_k_norm *a, int64_t z, int64_t strip)
{
    unsigned char *slot = a->env.arena + (uint64_t)z * a->env.stride;
    return (double *)(slot + a->partials.off) + 2 * strip * a->channels;
}
#define ADD_STRIP(sh, a, z, strip, c0)                                                             \
    HN_EACH(t_)                                                                                    \
    {                                                                                              \
        hn_add_up(sh, t_, HN_BLOCK, SIDE);                                                         \
        hn_add_up((sh) + CELLS, t_, HN_BLOCK, SIDE);                                               \
    }                                                                                              \
    HN_EACH(t_) if (t_ < 2 * WIDE) keep_sums(sh, a, sums_of(a, z, strip), c0, t_)
HN_DEVICE void keep_sums(double *sh, const struct hn_k_norm *a, double *to, int64_t c0, int t)
{
    double *from = sh + t / WIDE * CELLS;
    const int64_t ch = c0 + t % WIDE;
    if (ch >= a->channels) return;
    hn_add_up(from, t % WIDE, WIDE, HN_BLOCK / WIDE);
    to[t / WIDE * a->channels + ch] = from[t % WIDE];
}

/* Thread t's share of the sums over the strips, for added_up. */
HN_DEVICE double part_of(const struct hn_k_norm *a, int64_t z, int count, int64_t c0, int t)
{
    const int64_t ch = c0 + t % WIDE;
    const double *from = sums_of(a, z, 0) + t / WIDE % 2 * a->channels + ch;
    double v = 0;
    HN_UNROLL4
    for (int p = t / (2 * WIDE); ch < a->channels && p < count; p += LANES)
        v += from[2 * p * a->channels];
    return v;
}
/* The first or second sum of a channel of the block. */
HN_DEVICE double added_up(const double *parts, int second, int ch)
{
    double v = 0;
    HN_UNROLL
    for (int k = 0; k < LANES; k++) v += parts[(2 * k + second) * WIDE + ch];
    return v;
}

HN_DEVICE void store_square(real *to, const real *v, int channels, int row, int end)
{
    HN_UNROLL
    for (int e = 0; e < SIDE; e++)
        if (row + e < end) hn_store(to + row_at(row + e, channels), v + SIDE * e, SIDE);
}

/* The copy of a square, and of a transposed one whole rows, where they begin at multiples of 16 bytes. */
HN_DEVICE void leave_square(const struct copy *c, const real *v, int row, int end, int64_t ch)
{
    if (!c->at || row >= end) return;
    if (c->turned && c->rows % SIDE == 0) {
        HN_UNROLL
        for (int k = 0; k < SIDE; k++) {
            const real turned[SIDE] = { v[k], v[SIDE + k], v[2 * SIDE + k], v[3 * SIDE + k] };
            hn_store((real *)c->at + (ch + k) * c->rows + row, turned, SIDE);
        }
        return;
    }
    HN_UNROLL
    for (int e = 0; e < SIDE; e++)
        if (row + e < end) leave(c, v + SIDE * e, row + e, ch, SIDE);
}

/* Of the block's channels: y = k (x - m) + b, dx = k (g - g0 - (x - m) g1). */
struct HN_ALIGNED affine {
    real m[WIDE], k[WIDE], b[WIDE], g0[WIDE], g1[WIDE];
};

/* Does thread t tell of channel t % WIDE? Others are busy with its numbers while it finds out where they go. */
HN_DEVICE int tells(int t) { return t / WIDE == 1; }

struct channels { /* where the numbers of channels are: found before a launch's turn */
    const real *mean, *var, *scale, *bias;
    const double *save_mean, *save_inv;
};
HN_DEVICE struct channels channels_of(const struct hn_k_norm *a, int64_t z)
{
    struct channels c;
    c.mean = a->batch ? 0 : hn_at(&a->env, a->mean, z);
    c.var = a->batch ? 0 : hn_at(&a->env, a->var, z);
    c.scale = hn_at(&a->env, a->scale, z), c.bias = hn_at(&a->env, a->bias, z);
    c.save_mean = hn_double_at(&a->env, a->save_mean, z);
    c.save_inv = hn_double_at(&a->env, a->save_inv, z);
    return c;
}
#endif
