/* SPDX-License-Identifier: MIT
 *
 * A tile of a matrix product in float64 on the tensor cores (mma.cu, chain.cu), whatever the model's precision: products of two
 * floats are exact in double, and a share of a sum is rounded once. On an H200 a multiplication there costs what one in float32
 * costs elsewhere, and one instruction of a warp does 2048 of them, straight from registers: a product of a small layer is few
 * instructions in a row.
 *
 * A warp has 16 rows and 8 nt columns of a tile and every `shares`-th chunk of 16 terms; the block's 8 warps are the shares of the
 * terms of 8 / shares bands of rows. What a share comes to is left in shared memory, and tile.h adds the shares up in order: which
 * terms are added to which follows from k and the shape alone. Operands are read where they lie, some chunks ahead, into
 * registers; the order of a chunk's terms and of a tile's lines is free as long as both operands have the same, and is such that
 * loads are of several neighbours. */
#ifndef HN_GPU_MMA_TILE_H
#define HN_GPU_MMA_TILE_H

#include "gpu/loss.h"
#include "gpu/mma.h"
#include "gpu/norm.h"
#include "gpu/tile.h"

enum {
    TERMS = 16,             /* of a chunk */
    MOST_N = 6,             /* slots of 8 columns of a warp, at most */
    RAW = 4 * (2 + MOST_N), /* elements of a chunk that a thread loads */
    DEEPEST = 4             /* chunks on their way */
};

/* ---- which line of a tile is where ---------------------------------------------------------------------------------- */

/* Lines are dealt out to `slots` of 8: four neighbours to four slots, so that one load of four across the terms serves them; in
 * the end two to two. */
HN_DEVICE int together(int slots, int s) { return s / 4 * 4 + 4 <= slots ? 4 : 2; }
HN_DEVICE int line_of(int slots, int s, int i)
{
    const int first = s / 4 * 4;
    return 8 * first + together(slots, s) * i + s - first;
}

struct view { /* a thread's lines of an operand, or where the terms begin that it loads next */
    uint32_t line[MOST_N], term[4];
};

HN_DEVICE void find_them(const struct source *o, int n, uint32_t *at)
{
    if (o->index) {
        HN_UNROLL
        for (int i = 0; i < n; i++) at[i] = o->index[at[i]];
    }
    HN_UNROLL
    for (int i = 0; i < n; i++) at[i] = (at[i] + o->first) * o->stride;
}

/* Lines that are not there are others of the tile: nobody looks at what they come to. */
HN_DEVICE void look_at_lines(const struct source *o, int slots, int lane, struct view *v)
{
    HN_UNROLL
    for (int s = 0; s < slots; s++) {
        const int line = o->i0 + line_of(slots, s, lane / 4);
        v->line[s] = (uint32_t)(line < o->n ? line : 0);
    }
    if (o->along) find_them(o, slots, v->line);
}
/* The terms from k on, of an operand whose lines are terms. */
HN_DEVICE void look_at_terms(const struct source *o, int k, struct view *v)
{
    if (o->along) return;
    HN_UNROLL
    for (int q = 0; q < 4; q++) v->term[q] = (uint32_t)(k + q < o->k ? k + q : 0);
    find_them(o, 4, v->term);
}

/* ---- a chunk ---------------------------------------------------------------------------------------------------------- */

/* How a kernel's code reads an operand: its lines run along the terms or across them; by several neighbours at once, or, slow,
 * one by one, whatever runs where. */
struct way {
    int along, slow;
};
/* The terms k … k + 3 of each slot's line: raw[4 * slot + term]. */
HN_DEVICE void load_along(const struct source *o, int slots, int k, const struct view *v, real *raw)
{
    HN_UNROLL
    for (int s = 0; s < slots; s++) {
        HN_UNROLL
        for (int q = 0; q < 4; q++) raw[4 * s + q] = 0;
        if (k < o->k) hn_copy4(raw + 4 * s, o->base + v->line[s] + k);
    }
}
HN_DEVICE void load_across(const struct source *o, int slots, int k, const struct view *v,
                           real *raw)
{
    HN_UNROLL
    for (int q = 0; q < 4; q++) HN_UNROLL
    for (int s = 0; s < slots; s += together(slots, s)) {
        const int n = together(slots, s);
        const real *from = o->base + v->term[q] + v->line[s];
        HN_ALIGNED real x[4] = { 0 };
        if (k + q < o->k) hn_move(x, from, n);
        HN_UNROLL
        for (int e = 0; e < n; e++) raw[4 * (s + e) + q] = x[e];
    }
}
HN_DEVICE void load_slowly(const struct source *o, int slots, int k, const struct view *v,
                           real *raw)
{
    HN_UNROLL
    for (int i = 0; i < 4 * slots; i++) {
        const int q = i % 4;
        const uint32_t term = o->along ? (uint32_t)(k + q) : v->term[q];
        raw[i] = k + q < o->k ? o->base[v->line[i / 4] + term] : 0;
    }
}
/* Chunk c, of which this lane has terms 4 (lane % 4) …; `next`: the one whose terms are looked up meanwhile. */
HN_DEVICE void load(const struct source *o, struct way way, int slots, int c, int next, int lane,
                    struct view *v, real *raw)
{
    const int k = c * TERMS + lane % 4 * 4;
    if (way.slow)
        load_slowly(o, slots, k, v, raw);
    else if (way.along)
        load_along(o, slots, k, v, raw);
    else
        load_across(o, slots, k, v, raw);
    if (way.slow ? !o->along : !way.along) look_at_terms(o, next * TERMS + lane % 4 * 4, v);
}

/* ---- a tile ----------------------------------------------------------------------------------------------------------- */

struct
    shape { /* 8 nt columns; `shares` of a tile's terms; chunks on their way; a's lines, and b's */
    int nt, shares, deep;
    struct way a, b;
};
struct
    share { /* of a warp: its first chunk, those it leaves out, all chunks; its 16 rows of the tile */
    int first, step, chunks, band;
};
HN_DEVICE struct share share_of(int shares, int k, int w)
{
    return (struct share){ w % shares, shares, (k + TERMS - 1) / TERMS, w / shares };
}

HN_DEVICE void load_both(const struct source *a, const struct source *b, struct shape is,
                         const struct share *own, int c, int lane, struct view *va, struct view *vb,
                         real *to)
{
    load(b, is.b, is.nt, c, c + own->step, lane, vb, to + 8);
    load(a, is.a, 2, c, c + own->step, lane, va, to);
}

/* A lane's sums: rows line_of(2, half, lane / 4) of its band; of a group of slots the columns are neighbours. */
HN_DEVICE void leave_shares(const struct parts *is, const struct share *own, int nt, int lane,
                            const double *acc, real *sh)
{
    HN_UNROLL
    for (int half = 0; half < 2; half++) {
        const int row = 16 * own->band + line_of(2, half, lane / 4);
        real *to = sh + (own->first * is->rows + row) * is->pitch;
        HN_UNROLL
        for (int s = 0; s < nt; s += together(nt, s)) {
            const int n = together(nt, s);
            HN_ALIGNED real v[8];
            HN_UNROLL
            for (int e = 0; e < 2 * n; e++) v[e] = (real)acc[4 * (s + e % n) + 2 * half + e / n];
            HN_UNROLL
            for (int e = 0; e < 2 * n; e += 4) hn_copy4(to + 8 * s + 2 * n * (lane % 4) + e, v + e);
        }
    }
}

struct block { /* what one is at */
    const struct hn_k_gemm *g;
    const struct hn_k_slot *s;
    const struct hn_k_loss *loss; /* of what it makes; NULL: none */
    struct bases bases;
    struct job j;
    struct source a, b;
    struct labels labels;         /* of the loss, in the run's first step */
    const struct hn_k_norm *norm; /* in front of it; NULL: none */
    const struct spread
        *spreads; /* of the norm's input: one for every tile's rows, channel by channel */
    double *sums; /* shared: 2 a thread */
    real *affine; /* shared: m, k and b of y = k (x - m) + b, HN_K_CHAIN each */
};
struct HN_ALIGNED spread { /* of a column of a tile: its mean, and the sum of squares around it */
    double mean, squares;
};

/* 0: nothing; 1: a tile; 2: sums of an operand, b. In front of the kernel's turn, but where an operand is this step's rows. */
HN_DEVICE int begin(struct block *b, const struct hn_k_gemm *g, uint32_t x, int64_t z)
{
    struct source of[2] = { { .by = 0 } };
    const struct known known = know(g, z);
    int what = 0;
    if (known.rows <= 0) return 0;
    b->g = g, b->s = &g->env.slots[z], b->loss = 0, b->norm = 0;
    b->bases = bases_of(&g->env, known.w, known.dw, z);
    what = find_panel(g, &known, &b->bases, x, z, &b->j, &of[0], &of[1]);
    if (what == 2 || (what && (of[0].gathered || of[1].gathered))) {
        HN_TURN();
        const int64_t by = b->s->ahead * known.rows;
        source_move(&of[0], by);
        source_move(&of[1], by);
    }
    b->a = of[0], b->b = of[1];
    return what;
}

/* A row's class is looked up while the sums are made. */
HN_DEVICE void look_up(const struct block *b, const struct parts *is, int t,
                       struct leaving *leaving)
{
    const int row = b->j.i0 + t;
    struct labels l = b->labels;
    leaving->known = NO_CLASS;
    if (!b->loss || t >= is->rows || row >= b->j.m) return;
    if (b->loss->column >= 0) rows_move(&l.rows, b->s->ahead * b->s->rows);
    leaving->known = (int)class_of(&l, row, b->j.n);
}

/* ---- a norm in front ---------------------------------------------------------------------------------------------------- */

/* Spreads of all tiles, by four threads a channel, around the first tile's mean: so that nothing cancels. Every block makes them;
 * the first one keeps them. */
enum { PER_PASS = HN_BLOCK / 4 };
HN_DEVICE void find_affine(const struct block *b, int64_t z, int first)
{
    const struct hn_k_norm *a = b->norm;
    const int n = b->j.m, channels = b->j.k, tiles = (n + 15) / 16;
    const real *scale = hn_at(&a->env, a->scale, z), *bias = hn_at(&a->env, a->bias, z);
    for (int c0 = 0; c0 < (channels + TERMS - 1) / TERMS * TERMS; c0 += PER_PASS) {
        HN_EACH(t)
        {
            const int ch = c0 + t % PER_PASS, there = ch < channels;
            const struct spread *s = b->spreads + (there ? ch : 0);
            const double around = s->mean;
            double sum = 0, squares = 0;
            HN_UNROLL8
            for (int i = t / PER_PASS; i < tiles; i += 4) {
                const struct spread at = s[i * channels];
                const double d = at.mean - around, rows = i * 16 + 16 <= n ? 16 : n - i * 16;
                sum += rows * d, squares += at.squares + rows * d * d;
            }
            b->sums[t] = sum, b->sums[HN_BLOCK + t] = squares;
        }
        HN_EACH(t)
        {
            const int ch = c0 + t;
            if (t < PER_PASS && ch < HN_K_CHAIN) {
                const int at = ch < channels ? ch : 0;
                double sum = 0, squares = 0;
                HN_UNROLL
                for (int l = 0; l < 4; l++)
                    sum += b->sums[l * PER_PASS + t],
                        squares += b->sums[HN_BLOCK + l * PER_PASS + t];
                const double off = sum / n, mean = b->spreads[at].mean + off,
                             var = squares / n - off * off,
                             inv = inverse_root((var > 0 ? var : 0) + a->eps);
                b->affine[ch] = (real)mean;
                b->affine[HN_K_CHAIN + ch] = ch < channels ? (real)((double)scale[at] * inv) : 0;
                b->affine[2 * HN_K_CHAIN + ch] = ch < channels ? bias[at] : 0;
                if (first && ch < channels)
                    keep_statistics(a, z, ch, n, mean, var > 0 ? var : 0, inv);
            }
        }
    }
}

/* What a lane has of chunk c becomes the norm's result; blocks of the first columns write it, too. */
HN_DEVICE void normalise(const struct block *b, int c, int lane, int writes, real *y, real *raw)
{
    const int k = c * TERMS + lane % 4 * 4, whole = b->j.k % 4 == 0 && hn_is_aligned(y);
    HN_ALIGNED real m[4], f[4], bias[4];
    hn_copy4(m, b->affine + k);
    hn_copy4(f, b->affine + HN_K_CHAIN + k);
    hn_copy4(bias, b->affine + 2 * HN_K_CHAIN + k);
    HN_UNROLL
    for (int half = 0; half < 2; half++) {
        const int row = b->j.i0 + line_of(2, half, lane / 4), there = writes && row < b->j.m;
        real *v = raw + 4 * half, *to = y + row * b->j.k + k;
        HN_UNROLL
        for (int q = 0; q < 4; q++) {
            const real u = k + q < b->j.k ? normal(v[q], m[q], f[q], bias[q]) : 0;
            v[q] = b->norm->fuse_relu && u <= 0 ? 0 : u;
        }
        if (there && whole && k < b->j.k) hn_store(to, v, 4);
        HN_UNROLL
        for (int q = 0; q < 4; q++)
            if (there && !whole && k + q < b->j.k) to[q] = v[q];
    }
}

HN_DEVICE struct parts tile(const struct block *of, struct shape is, real *sh,
                            HN_PRIVATE(struct leaving, leaving, 1))
{
    HN_PRIVATE(double, acc, 4 * MOST_N);
    HN_PRIVATE(real, raw, DEEPEST * RAW);
    HN_PRIVATE(struct view, va, 1);
    HN_PRIVATE(struct view, vb, 1);
    const struct parts parts =
        parts_of(16 * HN_WARPS / is.shares, 8 * is.nt, 8 * is.nt + HN_K_MMA_PAD, is.shares);
    struct source a = of->a, b = of->b;
    HN_GLOBAL(a.base);
    HN_GLOBAL(b.base);
    HN_WARP(w)
    {
        const struct share own = share_of(is.shares, of->j.k, w);
        a.i0 = of->a.i0 + 16 * own.band;
        HN_LANE(t, w)
        {
            const int k = own.first * TERMS + t % 4 * 4;
            HN_UNROLL
            for (int e = 0; e < 4 * is.nt; e++) HN_MINE(acc, t)[e] = 0;
            look_at_lines(&a, 2, t % 32, HN_MINE(va, t));
            look_at_lines(&b, is.nt, t % 32, HN_MINE(vb, t));
            look_at_terms(&a, k, HN_MINE(va, t));
            look_at_terms(&b, k, HN_MINE(vb, t));
        }
    }
    HN_TURN();
    HN_WARP(w)
    {
        const struct share own = share_of(is.shares, of->j.k, w);
        HN_UNROLL
        for (int d = 0; d < is.deep; d++) {
            const int c = own.first + d * own.step;
            HN_LANE(t, w)
            if (c < own.chunks)
                load_both(&a, &b, is, &own, c, t % 32, HN_MINE(va, t), HN_MINE(vb, t),
                          HN_MINE(raw, t) + d * RAW);
        }
        HN_LANE(t, w)
        {
            HN_MINE(leaving, t)->chance = chance_of(of->g, of->s, &of->j, &parts, t);
            look_up(of, &parts, t, HN_MINE(leaving, t));
        }
    }
    if (of->norm) find_affine(of, of->j.z, of->j.i0 == 0 && of->j.j0 == 0 && of->s->stop == 0);
    real *const y = of->norm ? hn_at(&of->norm->env, of->norm->y, of->j.z) : 0;
    const int writes = of->norm && of->j.j0 == 0 && of->s->stop == 0;
    HN_WARP(w)
    {
        const struct share own = share_of(is.shares, of->j.k, w);
        HN_ROLLED
        for (int from = own.first; from < own.chunks; from += is.deep * own.step) {
            HN_UNROLL
            for (int d = 0; d < is.deep; d++) {
                const int c = from + d * own.step, next = c + is.deep * own.step;
                HN_LANE(t, w)
                if (of->norm && c < own.chunks)
                    normalise(of, c, t % 32, writes, y, HN_MINE(raw, t) + d * RAW);
                if (c < own.chunks)
                    HN_MULTIPLY(is.nt, raw, DEEPEST * RAW, d * RAW, acc, 4 * MOST_N, w);
                HN_LANE(t, w)
                if (next < own.chunks)
                    load_both(&a, &b, is, &own, next, t % 32, HN_MINE(va, t), HN_MINE(vb, t),
                              HN_MINE(raw, t) + d * RAW);
            }
        }
        HN_LANE(t, w)
        {
            HN_MINE(leaving, t)->ahead = first_ahead(of->g, &of->bases, &of->j, &parts, t);
            leave_shares(&parts, &own, is.nt, t % 32, HN_MINE(acc, t), sh);
        }
    }
    HN_MEET();
    return parts;
}

/* Are loads of several neighbours possible? */
HN_DEVICE int is_slow(const struct block *b, int nt)
{
    return b->a.by < (b->a.along ? 4 : 2) || b->b.by < (b->b.along ? 4 : together(nt, 0));
}
#define TILE(nt, shares, deep, along_a, along_b, slow)                                             \
    is = tile(&b, (struct shape){ nt, shares, deep, { along_a, slow }, { along_b, slow } }, sh,    \
              leaving)
#endif
