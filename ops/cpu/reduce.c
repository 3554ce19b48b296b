/* SPDX-License-Identifier: MIT
 *
 * Reduce over the dims of a mask. Element j of y is computed by itself: its elements of x are found with two odometers,
 * one over the dims that stay, one over those that go. Sums are in double.
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

static float reduce_one(enum hn_reduce_kind kind, const float *x, const struct group *go)
{
    double s = kind == HN_R_MAX ? -(double)INFINITY : 0;
    for (int64_t i = 0; i < go->n; i++) {
        double v = (double)x[group_at(go, i)];
        if (kind == HN_R_MAX)
            s = v > s || v != v ? v : s;
        else
            s += kind == HN_R_L2 ? v * v : v;
    }
    return (float)(kind == HN_R_MEAN ? s / (double)go->n : kind == HN_R_L2 ? sqrt(s) : s);
}

static void reduce_forward(const struct hn_cpu_call *k)
{
    const struct hn_reduce *a = k->c.op->attrs;
    const float *x = k->c.x[0];
    float *y = k->c.y[0];
    struct group stay, go;
    groups_of(&k->c, &stay, &go);
    for (int64_t j = 0; j < stay.n; j++) y[j] = reduce_one(a->kind, x + group_at(&stay, j), &go);
}

struct spread { /* dx of the elements of one y */
    enum hn_reduce_kind kind;
    const float *x;
    float *dx, y, dy;
    int add;
};

static void spread_one(const struct spread *s, const struct group *go)
{
    float each = s->kind == HN_R_MEAN ? s->dy / (float)go->n : s->dy;
    if (s->kind == HN_R_MAX) {
        int64_t ties = 0;
        for (int64_t i = 0; i < go->n; i++) ties += s->x[group_at(go, i)] == s->y;
        each = ties ? s->dy / (float)ties : 0.0f;
    }
    for (int64_t i = 0; i < go->n; i++) {
        int64_t at = group_at(go, i);
        float g = each;
        if (s->kind == HN_R_MAX) g = s->x[at] == s->y ? each : 0.0f;
        if (s->kind == HN_R_L2) g = s->y > 0 ? s->dy * s->x[at] / s->y : 0.0f;
        s->dx[at] = g + (s->add ? s->dx[at] : 0.0f);
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
        struct spread s = { a->kind, x ? x + at : NULL, dx + at, y ? y[j] : 0.0f,
                            dy[j],   (int)(c->acc & 1) };
        spread_one(&s, &go);
    }
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_reduce) = {
    .row = &hn_op_reduce,
    .need = reduce_need,
    .forward = { .main = reduce_forward },
    .backward = { .main = reduce_backward },
};
