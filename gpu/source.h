/* SPDX-License-Identifier: MIT
 *
 * Operands of the kernel `panel` and their way to shared memory, in chunks of `deep` terms of the `lines` lines of a tile. Lines
 * that run along k lie there line by line, their fours of terms exchanged by `twist`, lines across it k by k: both ways
 * neighbouring threads read and write different banks. Rows of the data set are read where they lie. */
#ifndef HN_GPU_SOURCE_H
#define HN_GPU_SOURCE_H

#include "gpu/product.h"
#include "gpu/send.h"

struct
    known { /* of the slot and its column: all of it is loaded at once, as each load is a wait of its own */
    int64_t rows, first;
    const uint32_t *index;
    unsigned char *w, *dw;
    const void *data; /* of the column; NULL: none is read in place */
};
struct source { /* an operand; lines: as in struct hn_k_matrix */
    const real *base;
    const uint32_t
        *index; /* line l begins at stride * index[l], or, without one, at stride * (first + l) */
    uint32_t first, stride;
    int n, k, i0;  /* how many i and k there are; where the tile begins */
    int along, by; /* by: neighbours that one copy takes: 4, 2 or 1 */
    int gathered;  /* lines are rows of the data set, those of the run's first step (source_move) */
    uint32_t step; /* from a chunk to the next */
};
struct piece {     /* four elements of an operand that a thread sends every chunk */
    uint32_t from; /* where they are in the chunk to be sent next */
    int last;      /* they are there while the chunk's first k is below this */
    int to;        /* where they are kept */
};

HN_DEVICE struct known know(const struct hn_k_gemm *g, int64_t z)
{
    const struct hn_k_slot *s = &g->env.slots[z];
    struct known k = { .rows = s->rows, .first = s->first };
    int in_place = 0;
    k.index = s->index, k.w = (unsigned char *)s->w, k.dw = (unsigned char *)s->dw;
    if (g->column >= 0) {
        const struct hn_k_column *c = &g->columns[z * g->n_columns + g->column];
        k.data = c->data, in_place = c->in_place;
    }
    HN_HERE(k.first);
    HN_HERE(k.index);
    HN_HERE(k.w);
    HN_HERE(k.dw);
    HN_HERE(k.data);
    if (!in_place) k.data = 0;
    return k;
}

HN_DEVICE struct source source_of(const struct known *w, const struct bases *bases,
                                  const struct hn_k_matrix *x, int n, int k, int i0)
{
    struct source s = { .stride = (uint32_t)x->stride, .n = n, .k = k, .i0 = i0 };
    s.along = x->along;
    s.base = at_base(bases, x->at);
    if (x->column >= 0 && w->data) {
        s.base = (const real *)w->data, s.gathered = 1;
        s.index = w->index;
        s.first = w->index ? 0 : (uint32_t)w->first;
    }
    const int64_t length = x->stride | (x->along ? k : n);
    s.by = (length & 3) == 0 && hn_is_aligned(s.base)                         ? 4
           : (length & 1) == 0 && (uintptr_t)s.base % (2 * sizeof(real)) == 0 ? 2
                                                                              : 1;
    return s;
}

HN_DEVICE void source_move(struct source *s, int64_t by)
{
    if (!s->gathered) return;
    if (s->index)
        s->index += by;
    else
        s->first += (uint32_t)by;
}

/* Where element k of line i of a chunk is kept. */
HN_DEVICE int twist(int i, int four) { return four ^ (i >> 2 & 7); }
HN_DEVICE int kept_at(int along, int i, int k, int lines, int deep)
{
    return along ? i * deep + 4 * twist(i, k >> 2) + (k & 3) : k * lines + i;
}

/* The place of piece f of thread t in a chunk: its first element's i and k. */
struct spot {
    int i, k;
};
HN_DEVICE struct spot spot_of(int along, int lines, int deep, int f, int t)
{
    const uint32_t each = (uint32_t)(along ? deep : lines) / 4, p = (uint32_t)(f * HN_BLOCK + t);
    uint32_t line = p / each, unit = p % each * 4;
    if (HN_BLOCK % each == 0) { /* the same, of what all pieces of a thread share */
        line = (uint32_t)t / each + (uint32_t)f * (HN_BLOCK / each);
        unit = (uint32_t)t % each * 4;
    }
    return along ? (struct spot){ (int)line, (int)unit } : (struct spot){ (int)unit, (int)line };
}

/* Where lines begin, counted from the base; in: their numbers. */
HN_DEVICE void find_lines(const struct source *o, int pieces, struct piece *at)
{
    if (o->index) {
        HN_UNROLL
        for (int f = 0; f < pieces; f++) at[f].from = o->index[at[f].from];
    }
    HN_UNROLL
    for (int f = 0; f < pieces; f++) at[f].from = (at[f].from + o->first) * o->stride;
}

/* Where this thread's pieces of the first chunk are. */
HN_DEVICE void aim_as(const struct source *o, int along, int lines, int deep, int pieces, int t,
                      struct piece *at)
{
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        const struct spot x = spot_of(along, lines, deep, f, t);
        const int line = along ? o->i0 + x.i : x.k, most = along ? o->n : o->k;
        const int i = o->i0 + x.i, there = i < o->n && f * HN_BLOCK + t < lines * deep / 4;
        at[f].from = (uint32_t)(line < most ? line : 0);
        at[f].last = (there ? o->k : 0) - x.k;
        at[f].to = kept_at(along, x.i, x.k, lines, deep);
    }
    find_lines(o, pieces, at);
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        const struct spot x = spot_of(along, lines, deep, f, t);
        at[f].from += (uint32_t)(along ? x.k : o->i0 + x.i);
    }
}
HN_DEVICE void aim(const struct source *o, int lines, int deep, int pieces, int t, struct piece *at)
{
    if (o->by == 4 && o->along)
        aim_as(o, 1, lines, deep, pieces, t, at);
    else if (o->by == 4)
        aim_as(o, 0, lines, deep, pieces, t, at);
}
/* The same for chunk c, from those of the chunk before it. Rows of the data set that are terms are looked up here, a chunk ahead
 * of the one that is sent. */
HN_DEVICE void aim_on(const struct source *o, int lines, int deep, int pieces, int c, int t,
                      const struct piece *before, struct piece *at)
{
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        at[f] = before[f];
        at[f].from += o->step;
    }
    if (o->along || !o->index || o->by != 4) return;
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        const int k = c * deep + spot_of(0, lines, deep, f, t).k;
        at[f].from = (uint32_t)(k < o->k ? k : 0);
    }
    find_lines(o, pieces, at);
    HN_UNROLL
    for (int f = 0; f < pieces; f++)
        at[f].from += (uint32_t)(o->i0 + spot_of(0, lines, deep, f, t).i);
}

/* Chunk c on its way to `to`; zeros where there is nothing. */
HN_DEVICE void send(const struct source *o, int lines, int deep, int pieces, int c, int t,
                    const struct piece *at, hn_place to)
{
    if (o->by != 4) return;
    HN_UNROLL
    for (int f = 0; f < pieces; f++)
        if (lines * deep / 4 % HN_BLOCK == 0 || f * HN_BLOCK + t < lines * deep / 4)
            hn_send(hn_place_on(to, at[f].to), o->base, at[f].from, c * deep < at[f].last, 4);
}
HN_DEVICE uint32_t line_at(const struct source *o, int line)
{
    return ((o->index ? o->index[line] : (uint32_t)line) + o->first) * o->stride;
}
/* The same where lines are not whole fours, only for those: by twos or element by element. */
HN_DEVICE void send_by(const struct source *o, int along, int few, int lines, int deep, int c,
                       int t, hn_place to)
{
    const uint32_t each = (uint32_t)((along ? deep : lines) / few);
    HN_UNROLL2
    for (uint32_t p = (uint32_t)t; p < (uint32_t)(lines * deep / few); p += HN_BLOCK) {
        const int line = (int)(p / each), unit = (int)(p % each) * few;
        const int i = along ? line : unit, k = along ? unit : line;
        const int at_i = o->i0 + i, at_k = c * deep + k, there = at_i < o->n && at_k < o->k;
        const uint32_t from =
            line_at(o, there ? (along ? at_i : at_k) : 0) + (uint32_t)(along ? at_k : at_i);
        hn_send(hn_place_on(to, kept_at(along, i, k, lines, deep)), o->base, from, there, few);
    }
}
HN_DEVICE void send_few(const struct source *o, int lines, int deep, int c, int t, hn_place to)
{
    if (o->by == 4) return;
    HN_ANEW(t);
    if (o->along && o->by == 2)
        send_by(o, 1, 2, lines, deep, c, t, to);
    else if (o->along)
        send_by(o, 1, 1, lines, deep, c, t, to);
    else if (o->by == 2)
        send_by(o, 0, 2, lines, deep, c, t, to);
    else
        send_by(o, 0, 1, lines, deep, c, t, to);
}
#endif
