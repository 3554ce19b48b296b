/* SPDX-License-Identifier: MIT
 *
 * What a block of `whole` has in its memory, and the first half of what it does there: its rows through the layers, forward and
 * backward. Everything is between two meetings of the slot's blocks (whole.cu). */
#ifndef HN_GPU_WHOLE_H
#define HN_GPU_WHOLE_H

#include "gpu/act.h"
#include "gpu/block.h"
#include "gpu/mask.h"
#include "gpu/optim.h"

struct tail { /* with its places found */
    const struct hn_k_slot *s;
    const struct hn_k_tail *k;
    real *c, *y, *z;
    const real *by;
    struct mask mask;
    int width;
};
struct places { /* of an item, found once */
    real *x, *g, *w, *b, *mean, *var, *c, *y, *z, *by;
    double *parts, *parts_back;
};
struct shared { /* a block's memory, for the whole run */
    union workspace w;
    struct hn_k_slot slot; /* its own copy: it counts the steps itself */
    struct hn_k_item items[HN_K_ITEMS];
    struct places places[HN_K_ITEMS];
    struct hn_k_column input, target;
    double *loss, *weight, *lse;
    struct hn_k_act acts[HN_K_ACTS];
    double mean[HN_K_CHANNELS], var[HN_K_CHANNELS], inv[HN_K_CHANNELS];
    double sum[HN_K_CHANNELS],
        dot[HN_K_CHANNELS]; /* backward: of the gradient, and of it times the normalised value */
    struct side x, y;       /* operands of the product at work */
    struct rule rule[2];    /* for weights and bias, or scale and bias */
    struct tail tail;       /* and what becomes of its results */
    int from, to;           /* its rows */
    uint32_t met;
};
#ifdef __CUDACC__
static_assert(sizeof(struct shared) <= HN_K_SHARED, "a block's memory");
#else
_Static_assert(sizeof(struct shared) <= HN_K_SHARED, "a block's memory");
#endif

struct block { /* x of n blocks of slot z */
    int x, n, z;
};
/* Where an item's things lie. */
HN_DEVICE void find_places(const struct hn_k_env *e, const struct hn_k_item *it, int64_t z,
                           struct places *p)
{
    p->x = hn_at(e, it->x, z), p->g = hn_at(e, it->g, z);
    p->w = hn_at(e, it->w, z), p->b = hn_at(e, it->b, z);
    p->mean = hn_at(e, it->mean, z), p->var = hn_at(e, it->var, z);
    p->c = hn_at(e, it->tail.c, z), p->y = hn_at(e, it->tail.y, z);
    p->z = hn_at(e, it->tail.z, z), p->by = hn_at(e, it->tail.by, z);
    p->parts = hn_double_at(e, it->parts, z), p->parts_back = hn_double_at(e, it->parts_back, z);
}

/* ---- function and Dropout behind an item ------------------------------------------------------------------------- */

HN_DEVICE void find_tail(struct shared *sh, int item)
{
    const struct places *p = &sh->places[item];
    struct tail *t = &sh->tail;
    t->s = &sh->slot, t->k = &sh->items[item].tail, t->width = sh->items[item].out;
    t->c = p->c, t->y = p->y, t->z = p->z, t->by = p->by;
    t->mask = mask_of(t->s, &t->k->drop);
}
HN_DEVICE real masked(const struct tail *t, int row, int col, real v)
{
    return dropped(t->s, &t->mask, t->k->drop.stream, row, col, 1) ? 0 : v * t->mask.scale;
}
HN_APART real other_value(int kind, real v, real a, real b) { return value(kind, v, a, b); }
HN_APART real other_slope(int kind, int by, real v, real a, real b)
{
    return slope(kind, by, v, a, b);
}
HN_DEVICE void leave(const struct tail *t, int row, int col, real v)
{
    const int64_t at = (int64_t)row * t->width + col;
    if (t->c) t->c[at] = v;
    if (t->k->how && t->k->kind == RELU)
        v = v <= 0 ? 0 : v;
    else if (t->k->how)
        v = other_value(t->k->kind, v, (real)t->k->a, (real)t->k->b);
    if (t->y) t->y[at] = v;
    if (t->k->drops) t->z[at] = masked(t, row, col, v);
}
HN_DEVICE real come_back(const struct tail *t, int row, int col, real v)
{
    if (t->k->drops) v = masked(t, row, col, v);
    if (!t->k->how) return v;
    const real from = t->by ? t->by[(int64_t)row * t->width + col] : 0;
    if (t->k->kind == RELU) return from > 0 ? v : 0 * v;
    return v * other_slope(t->k->kind, t->k->how - 1, from, (real)t->k->a, (real)t->k->b);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* fours: stored lines are multiples of four elements, so that any four from a multiple of four on are one copy. */
HN_DEVICE struct side side_of(const real *base, int stride, int lines, int terms)
{
    struct side o;
    o.base = base, o.stride = stride, o.lines = lines, o.terms = terms;
    o.fours = hn_is_aligned(base) && (stride & 3) == 0;
    o.gathered = o.ones = 0;
    return o;
}
/* The rows that come into an item; along: as lines, else as terms. */
HN_DEVICE struct side rows_in(const struct shared *sh, int item, int rows, int along)
{
    const struct hn_k_item *it = &sh->items[item];
    struct side o =
        side_of(sh->places[item].x, it->in, along ? rows : it->in, along ? it->in : rows);
    if (it->column < 0 || !sh->input.in_place) return o;
    o.rows = rows_of(&sh->slot, sh->input);
    o.base = (const real *)sh->input.data;
    o.fours = hn_is_aligned(o.base) && (it->in & 3) == 0;
    o.gathered = 1;
    return o;
}

/* This block's rows of the data set, converted, where products cannot read them as they lie. */
HN_DEVICE void gather(struct shared *sh)
{
    const int n = sh->items[0].in;
    const struct rows rows = rows_of(&sh->slot, sh->input);
    real *x = sh->places[0].x;
    if (sh->input.in_place) return;
    HN_EACH(t)
    HN_UNROLL4
    for (int e = sh->from * n + t; e < sh->to * n; e += HN_BLOCK)
        x[e] = rows_load(&rows, rows_at(&rows, e / n) * n + e % n);
}

/* A tile of a Dense's product of rows below `rows` with its weights: forward, or the gradient of what comes into it. */
HN_DEVICE void rows_tile(struct shared *sh, int item, int back, int tile, int i0, int j0, int rows)
{
    const struct hn_k_item *it = &sh->items[item];
    const int out = back ? it->in : it->out;
    const int along = back != it->trans;
    const real *bias = back ? 0 : sh->places[item].b;
    real *g = sh->places[back ? item - 1 : item].g;
    if (tile == DOWN && along)
        product(1, 1, 8, &sh->w, &sh->x, &sh->y, i0, j0);
    else if (tile == DOWN)
        product(1, 0, 8, &sh->w, &sh->x, &sh->y, i0, j0);
    else if (along)
        product(1, 1, 4, &sh->w, &sh->x, &sh->y, i0, j0);
    else
        product(1, 0, 4, &sh->w, &sh->x, &sh->y, i0, j0);
    HN_EACH(t)
    for (int e = t; e < tile * ACROSS; e += HN_BLOCK) {
        const int row = i0 + e / ACROSS, col = j0 + e % ACROSS;
        if (row >= rows || col >= out) continue;
        real v = (real)it->alpha * result(&sh->w, e / ACROSS, e % ACROSS);
        if (bias) v += (real)it->beta * bias[col];
        if (back)
            g[(int64_t)row * out + col] = come_back(&sh->tail, row, col, v);
        else
            leave(&sh->tail, row, col, v);
    }
}

/* Of this block's rows; or, spread, the tiles of all rows dealt out among the blocks. */
HN_DEVICE void rows_product(struct shared *sh, struct block at, int item, int back, int spread)
{
    const struct hn_k_item *it = &sh->items[item];
    const int out = back ? it->in : it->out, across = (out + ACROSS - 1) / ACROSS,
              from = spread ? 0 : sh->from, to = spread ? (int)sh->slot.rows : sh->to;
    const int small = (to - from + DOWN / 2 - 1) / (DOWN / 2);
    const int tile = (spread ? small * across <= at.n : small < 2) ? DOWN / 2 : DOWN;
    const int tiles = (to - from + tile - 1) / tile * across;
    HN_EACH(t) if (t == 0)
    {
        sh->x = back ? side_of(sh->places[item].g, it->out, to, it->out) : rows_in(sh, item, to, 1);
        sh->y =
            side_of(sh->places[item].w, it->trans ? it->in : it->out, out, back ? it->out : it->in);
        find_tail(sh, back ? item - 1 : item);
    }
    for (int k = spread ? at.x : 0; k < tiles; k += spread ? at.n : 1)
        rows_tile(sh, item, back, tile, from + k / across * tile, k % across * ACROSS, to);
}
#endif
