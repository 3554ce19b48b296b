/* SPDX-License-Identifier: MIT
 *
 * Reduce over the dims of a mask. Element j of y is computed by itself, in the order of x, a few neighbours side by side: its
 * elements of x are found with two odometers, one over the dims that stay, one over those that go. Sums are in double.
 *   sum: dx = dy   mean: dx = dy / n   max: dx = dy / ties where x = y   L2: dx = dy x / y (0 where y is 0) */
#include "ops/cpu/isa.h"
#include <math.h>

struct group { /* dims of one side of the mask with x's strides, innermost last */
    int rank;
    int64_t d[HN_MAX_RANK], step[HN_MAX_RANK], n;
};

static void groups_of(const struct hn_call *c, struct group *stay, struct group *go)
{
    const struct hn_reduce *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0];
    int64_t stride = hn_extent_numel(x);
    *stay = *go = (struct group){ .n = 1 };
    for (int i = 0; i < x->rank; i++) {
        struct group *g = a->mask >> i & 1u ? go : stay;
        stride = x->d[i] ? stride / x->d[i] : 0;
        g->d[g->rank] = x->d[i], g->step[g->rank++] = stride;
        g->n *= x->d[i];
    }
}

/* Offset of the i-th element of a group. */
static int64_t group_at(const struct group *g, int64_t i)
{
    int64_t at = 0;
    for (int k = g->rank - 1; k >= 0; k--) {
        at += i % g->d[k] * g->step[k];
        i /= g->d[k];
    }
    return at;
}

static void reduce_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_reduce *a = u->op->attrs;
    n->local = hn_cpu_batched(&u->xs[0]) && !(a->mask & 1u);
    n->main_x = n->main_y = a->kind == HN_R_MAX || a->kind == HN_R_L2;
    n->cost = 4.0 * (double)hn_cpu_width(&u->xs[0]);
}

/* Offsets of the elements of a group, one after the other. */
struct odometer {
    int64_t at[HN_MAX_RANK], off;
};

static inline void next(struct odometer *o, const struct group *g)
{
    for (int k = g->rank - 1; k >= 0; k--) {
        o->off += g->step[k];
        if (++o->at[k] < g->d[k]) return;
        o->off -= g->step[k] * g->d[k];
        o->at[k] = 0;
    }
}

enum { SIDE = 8 };

static inline __attribute__((always_inline)) void
take(enum hn_reduce_kind kind, const float *x, const int64_t *at, const struct group *go, double *s)
{
    struct odometer o = { .off = 0 };
    for (int64_t i = 0; i < go->n; i++, next(&o, go))
        for (int q = 0; q < SIDE; q++) {
            double v = (double)x[at[q] + o.off];
            if (kind == HN_R_MAX)
                s[q] = v > s[q] || v != v ? v : s[q];
            else
                s[q] += kind == HN_R_L2 ? v * v : v;
        }
}

static void reduce_forward(const struct hn_cpu_call *k)
{
    const struct hn_reduce *a = k->c.op->attrs;
    const float *x = k->c.x[0];
    float *y = k->c.y[0];
    struct group stay, go;
    groups_of(&k->c, &stay, &go);
    for (int64_t j = 0; j < stay.n; j += SIDE) {
        double s[SIDE];
        int64_t at[SIDE];
        for (int q = 0; q < SIDE; q++) { /* beyond the end: the last one again */
            at[q] = group_at(&stay, j + q < stay.n ? j + q : stay.n - 1);
            s[q] = a->kind == HN_R_MAX ? -(double)INFINITY : 0;
        }
        switch (a->kind) {
        case HN_R_MAX: take(HN_R_MAX, x, at, &go, s); break;
        case HN_R_L2: take(HN_R_L2, x, at, &go, s); break;
        default: take(HN_R_SUM, x, at, &go, s);
        }
        for (int q = 0; q < SIDE && j + q < stay.n; q++)
            y[j + q] = (float)(a->kind == HN_R_MEAN ? s[q] / (double)go.n
                               : a->kind == HN_R_L2 ? sqrt(s[q])
                                                    : s[q]);
    }
}

struct spread { /* dx of the elements of one y */
    const float *x;
    float *dx, y, dy;
    int64_t n, step;
    int add;
};

static inline __attribute__((always_inline)) void run(enum hn_reduce_kind kind,
                                                      const struct spread *s, int64_t step)
{
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t at = i * step;
        float g = s->dy;
        if (kind == HN_R_MAX) g = s->x[at] == s->y ? s->dy : 0.0f;
        if (kind == HN_R_L2) g = s->y > 0 ? s->dy * s->x[at] / s->y : 0.0f;
        s->dx[at] = g + (s->add ? s->dx[at] : 0.0f);
    }
}

/* dy is each element's share already where it is the same for all. Neighbours are loops of their own, for vector code. */
static void spread_run(enum hn_reduce_kind kind, const struct spread *s)
{
    switch (kind) {
    case HN_R_MAX: run(HN_R_MAX, s, s->step); break;
    case HN_R_L2: s->step == 1 ? run(HN_R_L2, s, 1) : run(HN_R_L2, s, s->step); break;
    default: s->step == 1 ? run(HN_R_SUM, s, 1) : run(HN_R_SUM, s, s->step);
    }
}

static void spread_one(enum hn_reduce_kind kind, struct spread s, const struct group *go)
{
    struct odometer o = { .off = 0 };
    struct group outer = *go;
    const float *x = s.x;
    float *dx = s.dx;
    if (go->rank > 0) outer.rank--, s.n = go->d[outer.rank], s.step = go->step[outer.rank];
    if (kind == HN_R_MEAN) s.dy /= (float)go->n;
    if (kind == HN_R_MAX) {
        int64_t ties = 0;
        for (int64_t i = 0; i < go->n; i++) ties += x[group_at(go, i)] == s.y;
        s.dy = ties ? s.dy / (float)ties : 0.0f;
    }
    for (int64_t i = 0; s.n > 0 && i < go->n / s.n; i++, next(&o, &outer)) {
        s.x = x ? x + o.off : NULL, s.dx = dx + o.off;
        spread_run(kind, &s);
    }
}

static void reduce_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_reduce *a = c->op->attrs;
    const float *x = c->x[0], *y = c->y[0], *dy = c->dy[0];
    float *dx = c->dx[0];
    struct group stay, go;
    if (!dx) return;
    groups_of(c, &stay, &go);
    for (int64_t j = 0; j < stay.n; j++) {
        int64_t at = group_at(&stay, j);
        struct spread s = { x ? x + at : NULL, dx + at, y ? y[j] : 0.0f, dy[j], 1, 1,
                            (int)(c->acc & 1) };
        spread_one(a->kind, s, &go);
    }
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_reduce) = {
    .row = &hn_op_reduce,
    .need = reduce_need,
    .forward = { .main = reduce_forward },
    .backward = { .main = reduce_backward },
};
