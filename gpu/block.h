/* SPDX-License-Identifier: MIT
 *
 * A product of up to 16 by 64 results made by one block, as a part of a larger kernel: operands come to shared memory by
 * asynchronous copies, chunk after chunk, the next one on its way while one is multiplied; the 8 warps share out the terms of
 * every chunk, and in the end their sums are added in order. Which terms a warp adds depends on the number of terms alone, so a
 * result does not depend on who makes it. */
#ifndef HN_GPU_BLOCK_H
#define HN_GPU_BLOCK_H

#include "gpu/column.h"
#include "gpu/send.h"

enum {
    CHUNK = HN_K_TERMS / sizeof(real),
    LINE = CHUNK + 4, /* from one line to the next: neighbours lie in different banks */
    DOWN = HN_K_DOWN,
    ACROSS = HN_K_ACROSS,
    WIDE_DOWN = DOWN + 4,
    ROOM_A = DOWN * LINE > CHUNK *WIDE_DOWN ? DOWN *LINE : CHUNK *WIDE_DOWN,
    ROOM_B = ACROSS * LINE > CHUNK *ACROSS ? ACROSS *LINE : CHUNK *ACROSS,
    PART = ACROSS + 1 /* from one row of a warp's sums to the next */
};
struct operands {
    real a[ROOM_A], b[ROOM_B];
};
union workspace {
    struct operands in[2];
    real parts[HN_BLOCK / 32][DOWN * PART];
    struct {
        double one[HN_BLOCK], two[HN_BLOCK];
    }; /* for what is no product: a number a thread */
};

/* An operand: element (line, term). Stored lines are its own where they run `along` the terms, else one for each term; they are
 * rows of memory or of the data set. Where a line's end is not a multiple of four, neither is any line's beginning, and fours is 0. */
struct side {
    const real *base;
    int stride, lines, terms;
    int fours;    /* four neighbours from a multiple of four on are one copy */
    int gathered; /* stored lines are rows of the data set */
    int ones;     /* line `lines` is one for every term */
    struct rows rows;
};

/* Element (i, k) of the tile in shared memory: as it is stored. */
HN_DEVICE int spot(int along, int wide, int i, int k)
{
    return along ? i * LINE + k : k * wide + i;
}

/* A chunk of an operand whose lines are whole fours: each thread has the same four neighbours of some stored lines. */
HN_DEVICE void bring_fours(const struct side *o, int along, int may_gather, real *sh, int tile,
                           int wide, int i0, int k0, int fill, int t)
{
    enum { MOST = ACROSS * CHUNK / 4 / HN_BLOCK };
    const int per_line = along ? CHUNK / 4 : tile / 4, step = HN_BLOCK / per_line,
              times = (along ? tile : CHUNK) / step > 0 ? (along ? tile : CHUNK) / step : 1;
    const int first = t % per_line * 4, at = (along ? k0 : i0) + first,
              there = at < (along ? o->terms : o->lines), l0 = t / per_line;
    const int line0 = along ? i0 : k0, left = (along ? o->lines : o->terms) - line0,
              lines = along ? tile : fill, stride = o->stride;
    const real *const base = o->base + (there ? at : 0);
    real *const to = sh + (along ? l0 * LINE + first : l0 * wide + first);
    const real *from[MOST];
    if (along && first >= fill) return;
    HN_UNROLL
    for (int n = 0; n < times; n++) { /* rows' numbers first, so that none waits for another */
        const int l = l0 + n * step, line = line0 + (l < left ? l : 0);
        from[n] = base + (may_gather && o->gathered ? rows_at(&o->rows, line) : line) * stride;
    }
    HN_UNROLL
    for (int n = 0; n < times; n++)
        if (l0 + n * step < lines)
            hn_send(hn_place_of(to + n * step * (along ? LINE : wide)), from[n], 0,
                    there && l0 + n * step < left, 4);
}

/* Element by element: any width, and the line of ones. */
HN_DEVICE void bring_singles(const struct side *o, int along, int may_gather, real *sh, int tile,
                             int wide, int i0, int k0, int fill, int t)
{
    const int per_line = along ? CHUNK : tile, lines = along ? tile : fill;
    const int first = t % per_line, at = (along ? k0 : i0) + first,
              there = at < (along ? o->terms : o->lines), ones = o->ones && at == o->lines;
    const int line0 = along ? i0 : k0, left = (along ? o->lines : o->terms) - line0,
              stride = o->stride;
    const real *const base = o->base + (there ? at : 0);
    if (along && first >= fill) return;
    HN_UNROLL4
    for (int l = t / per_line; l < lines; l += HN_BLOCK / per_line) {
        const int line = line0 + (l < left ? l : 0);
        real *const to = sh + (along ? l * LINE + first : l * wide + first);
        if (ones)
            *to = l < left;
        else
            hn_send(hn_place_of(to),
                    base + (may_gather && o->gathered ? rows_at(&o->rows, line) : line) * stride, 0,
                    there && l < left, 1);
    }
}

/* A chunk of `fill` terms (a multiple of 4) of `tile` lines. */
HN_DEVICE void bring_chunk(const struct side *o, int along, int may_gather, real *sh, int tile,
                           int wide, int i0, int k0, int fill, int t)
{
    if (o->fours && !(o->ones && i0 + tile > o->lines))
        bring_fours(o, along, may_gather, sh, tile, wide, i0, k0, fill, t);
    else
        bring_singles(o, along, may_gather, sh, tile, wide, i0, k0, fill, t);
}

/* Which row and column of the tile a thread's result (e, f) is. */
HN_DEVICE int row_of(int along, int own, int t, int e)
{
    const int half = t % 32 / 16;
    return along ? e * 2 + half : half * own + e;
}
HN_DEVICE int column_at(int along, int t, int f)
{
    const int group = t % 16;
    return along ? f * 16 + group : group * 4 + f;
}

/* Terms [from, to) of a chunk; own: rows a thread has, with 4 columns each. */
HN_DEVICE void multiply(const struct operands *in, int along_a, int along_b, int own, int from,
                        int to, int t, real *acc)
{
    for (int k = from; k < to; k += 4) {
        real x[DOWN / 2][4], y[4][4]; /* [row or column][term] */
        HN_UNROLL
        for (int e = 0; e < own; e += along_a ? 1 : 4) {
            if (along_a) {
                hn_copy4(x[e], in->a + spot(1, 0, row_of(1, own, t, e), k));
            } else {
                HN_UNROLL
                for (int q = 0; q < 4; q++) {
                    real v[4];
                    hn_copy4(v, in->a + spot(0, WIDE_DOWN, row_of(0, own, t, e), k + q));
                    HN_UNROLL
                    for (int i = 0; i < 4; i++) x[e + i][q] = v[i];
                }
            }
        }
        HN_UNROLL
        for (int q = 0; q < 4; q++) {
            real v[4];
            hn_copy4(v, in->b + (along_b ? spot(1, 0, column_at(1, t, q), k)
                                         : spot(0, ACROSS, column_at(0, t, 0), k + q)));
            HN_UNROLL
            for (int i = 0; i < 4; i++) *(along_b ? &y[q][i] : &y[i][q]) = v[i];
        }
        HN_UNROLL
        for (int q = 0; q < 4; q++) HN_UNROLL
        for (int e = 0; e < own; e++) HN_UNROLL
        for (int f = 0; f < 4; f++) acc[e * 4 + f] += x[e][q] * y[f][q];
    }
}

/* The tile's sums, warp by warp, into w->parts; own: 4 or 8, half the rows of the tile. The first three are constants. */
HN_DEVICE void product(int along_a, int along_b, int own, union workspace *w, const struct side *a,
                       const struct side *b, int i0, int j0)
{
    HN_PRIVATE(real, acc, DOWN / 2 * 4);
    const int terms = a->terms;
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < own * 4; e++) HN_MINE(acc, t)[e] = 0;
    }
    for (int k0 = -CHUNK, n = 0; k0 < terms; k0 += CHUNK, n++) {
        const int next = k0 + CHUNK;
        HN_EACH(t)
        {
            if (next < terms) {
                struct operands *to = &w->in[n & 1];
                const int left = terms - next < CHUNK ? terms - next : CHUNK,
                          fill = (left + 31) / 32 * 32;
                bring_chunk(a, along_a, 1, to->a, 2 * own, WIDE_DOWN, i0, next, fill, t);
                bring_chunk(b, along_b, 0, to->b, ACROSS, ACROSS, j0, next, fill, t);
            }
            HN_SENT();
            HN_ARRIVED(1);
        }
        if (k0 < 0) continue;
        HN_EACH(t)
        {
            const int left = terms - k0 < CHUNK ? terms - k0 : CHUNK,
                      share = ((left + 7) / 8 + 3) / 4 * 4, from = t / 32 * share;
            if (from < left)
                multiply(&w->in[(n & 1) ^ 1], along_a, along_b, own, from, from + share, t,
                         HN_MINE(acc, t));
        }
    }
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < own * 4; e++)
            w->parts[t / 32][row_of(along_a, own, t, e / 4) * PART + column_at(along_b, t, e % 4)] =
                HN_MINE(acc, t)[e];
    }
}
/* A result: the warps' sums in order. */
HN_DEVICE real result(const union workspace *w, int row, int col)
{
    real v = 0;
    HN_UNROLL
    for (int k = 0; k < HN_BLOCK / 32; k++) v += w->parts[k][row * PART + col];
    return v;
}
#endif
