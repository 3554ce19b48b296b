/* SPDX-License-Identifier: MIT
 *
 * Where the buffers of a prepared plan lie. First, a result goes onto its operand where the kernel allows it and nothing
 * reads the operand later. Then every buffer that is used by the tiled pieces of one segment only gets a place in tile
 * memory, by the groups in which it lives; the others get one in the slot's arena, by the segments. Both are first-fit
 * over the buffers placed before. Places are 64-byte aligned, with a gap so that no two start at the same cache set. */
#include "ops/base/status.h"
#include "ops/cpu/exec.h"

enum { ALIGN = 64, GAP = 320 };

static int32_t owner_of(const struct hn_cpu_exec *e, int32_t buf)
{
    while (e->bufs[buf].alias >= 0) buf = e->bufs[buf].alias;
    return buf;
}

static int64_t key_of(const struct hn_cpu_piece *p, int order)
{
    return ((int64_t)p->seg * 2 + p->after) << 32 | order;
}

/* Lets `to` lie on `on`, which piece number `order` reads last. */
static void put_on(struct hn_cpu_exec *e, const struct hn_cpu_place *to,
                   const struct hn_cpu_place *on, int order)
{
    if (to->buf < 0 || on->buf < 0 || on->column) return;
    int32_t a = owner_of(e, on->buf);
    struct hn_cpu_buf *t = &e->bufs[to->buf], *o = &e->bufs[a];
    if (t->alias >= 0 || a == to->buf || t->per8 != o->per8 || t->fixed != o->fixed) return;
    if (o->last != key_of(&e->pieces[order], order) || t->first != o->last) return;
    t->alias = a;
    o->last = t->last;
    if (t->seg != o->seg) o->seg = -2;
    o->full |= t->full;
}

static void share(struct hn_cpu_exec *e)
{
    for (int i = 0; i < e->n_pieces; i++) {
        const struct hn_cpu_piece *p = &e->pieces[i];
        if (p->kind != HN_CPU_MAIN || p->op->n_in < 1 || p->op->n_out < 1) continue;
        if (!p->backward && p->inplace & 1) put_on(e, &p->y[0], &p->x[0], i);
        int twice = 0; /* dx[0] is also the gradient of another input */
        for (int k = 1; k < p->op->n_in; k++)
            twice |= p->dx[k].buf >= 0 && p->dx[k].buf == p->dx[0].buf;
        if (p->backward && p->inplace & 2 && !(p->acc & 1) && !twice)
            put_on(e, &p->dx[0], &p->dy[0], i);
    }
}

struct span { /* a buffer to place: alive in [first, last] */
    int32_t first, last;
    size_t off, bytes;
};

/* Lowest offset free of the n spans before it that live at the same time. */
static size_t fit(const struct span *spans, int n, const struct span *s)
{
    size_t off = 0;
    for (int i = 0; i < n; i++) {
        const struct span *o = &spans[i];
        if (o->last < s->first || o->first > s->last) continue;
        if (off < o->off + o->bytes && o->off < off + s->bytes) {
            off = o->off + o->bytes;
            i = -1; /* look at all of them again from the new place */
        }
    }
    return off;
}

static size_t round_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN + GAP; }

/* Places all buffers with full == which; returns the bytes needed. */
static size_t place_all(struct hn_cpu_exec *e, struct span *spans, int which)
{
    size_t end = 0, rows8 = (size_t)((which ? e->plan->max_rows : e->tile) + 7) / 8;
    int n = 0;
    for (int i = 0; i < e->n_bufs; i++) {
        struct hn_cpu_buf *f = &e->bufs[i];
        if (f->last < 0 || f->alias >= 0 || f->full != which) continue;
        struct span *s = &spans[n];
        s->first = which ? (int32_t)(f->first >> 32) : f->group_first;
        s->last = which ? (int32_t)(f->last >> 32) : f->group_last;
        s->bytes = round_up(f->per8 * rows8 + f->fixed);
        s->off = f->off = fit(spans, n, s);
        if (s->off + s->bytes > end) end = s->off + s->bytes;
        n++;
    }
    return end;
}

/* Groups in which the tile buffers live; tile memory is free again after each segment. */
static void find_groups(struct hn_cpu_exec *e, struct hn_cpu_place *at,
                        const struct hn_cpu_piece *p)
{
    if (at->buf < 0) return;
    struct hn_cpu_buf *f = &e->bufs[owner_of(e, at->buf)];
    int32_t group = p->seg << 16 | p->group;
    if (f->group_first < 0 || group < f->group_first) f->group_first = group;
    if (group > f->group_last) f->group_last = group;
}

static void each_place(struct hn_cpu_exec *e,
                       void (*fn)(struct hn_cpu_exec *, struct hn_cpu_place *,
                                  const struct hn_cpu_piece *))
{
    for (int i = 0; i < e->n_pieces; i++) {
        struct hn_cpu_piece *p = &e->pieces[i];
        int n = p->op ? 2 * (p->op->n_in + p->op->n_out) : 1;
        for (int k = 0; k < n; k++) fn(e, &p->x[k], p); /* x, y, dx, dy lie in a row */
        for (int k = 0; k < 2 && p->op; k++) fn(e, &p->save[k], p);
    }
}

static void resolve(struct hn_cpu_exec *e, struct hn_cpu_place *at, const struct hn_cpu_piece *p)
{
    (void)p;
    if (at->buf < 0) return;
    const struct hn_cpu_buf *f = &e->bufs[owner_of(e, at->buf)];
    at->space = f->full ? HN_CPU_FULL : HN_CPU_TILE;
    at->off = f->off;
}

hone_status hn_cpu_layout(struct hn_cpu_exec *e, hone_error *err)
{
    struct span *spans = hn_arena_alloc(&e->arena, (size_t)e->n_bufs + 1, sizeof *spans);
    if (!spans) return hn_nomem(err, "the execution plan", (size_t)e->n_bufs * sizeof *spans);
    share(e);
    for (int i = 0; i < e->n_bufs; i++) {
        e->bufs[i].group_first = e->bufs[i].group_last = -1;
        if (e->bufs[i].seg == -2) e->bufs[i].full = 1;
    }
    each_place(e, find_groups);
    e->full_bytes = place_all(e, spans, 1);
    e->tile_bytes = place_all(e, spans, 0);
    each_place(e, resolve);
    return HONE_OK;
}
