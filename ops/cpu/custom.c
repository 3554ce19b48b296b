/* SPDX-License-Identifier: MIT
 *
 * Custom: a function that came from outside, in float where it has that, else in double and rounded once, a piece at a
 * time. */
#include "ops/cpu/isa.h"

enum { PIECE = 256 };

static void custom_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = hn_cpu_batched(&u->xs[0]);
    n->main_x = 1;
    n->cost = 16.0 * (double)hn_cpu_width(&u->xs[0]);
}

static void widen(double *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (double)from[i];
}

static void custom_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_custom *u = c->op->attrs;
    const float *x = c->x[0];
    float *y = c->y[0];
    double in[PIECE], out[PIECE];
    size_t n = (size_t)hn_extent_numel(&c->xs[0]);
    if (u->f->forward32) {
        u->f->forward32(u->a, n, x, y);
        return;
    }
    for (size_t at = 0, m; at < n; at += m) {
        m = n - at < PIECE ? n - at : PIECE;
        widen(in, x + at, m);
        u->f->forward64(u->a, m, in, out);
        for (size_t i = 0; i < m; i++) y[at + i] = (float)out[i];
    }
}

static void piece_backward(const struct hn_custom *u, size_t n, const float *x, const float *dy,
                           float *dx)
{
    double in[PIECE], up[PIECE], out[PIECE];
    if (u->f->backward32) {
        u->f->backward32(u->a, n, x, dy, dx);
        return;
    }
    widen(in, x, n);
    widen(up, dy, n);
    u->f->backward64(u->a, n, in, up, out);
    for (size_t i = 0; i < n; i++) dx[i] = (float)out[i];
}

static void custom_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_custom *u = c->op->attrs;
    const float *x = c->x[0], *dy = c->dy[0];
    float *dx = c->dx[0], out[PIECE];
    size_t n = (size_t)hn_extent_numel(&c->xs[0]);
    if (!dx) return;
    for (size_t at = 0, m; at < n; at += m) {
        m = n - at < PIECE ? n - at : PIECE;
        piece_backward(u, m, x + at, dy + at, out);
        if (c->acc & 1)
            for (size_t i = 0; i < m; i++) dx[at + i] += out[i];
        else
            for (size_t i = 0; i < m; i++) dx[at + i] = out[i];
    }
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_custom) = {
    .row = &hn_op_custom,
    .need = custom_need,
    .forward = { .main = custom_forward },
    .backward = { .main = custom_backward },
};
