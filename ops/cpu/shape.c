/* SPDX-License-Identifier: MIT
 *
 * Ops that only move elements: concat, slice, transpose. Tensors are seen as [outer, axis, inner]. */
#include "ops/cpu/isa.h"
#include <string.h>

static int64_t span(const struct hn_extent *e, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= e->d[i];
    return n;
}

/* Rows of len elements from one matrix to another, overwriting or adding. */
struct move {
    const float *from;
    float *to;
    int64_t rows, len, from_step, to_step;
    int add;
};

static void move_rows(const struct move *m)
{
    const float *from = m->from;
    float *to = m->to;
    for (int64_t r = 0; r < m->rows; r++, from += m->from_step, to += m->to_step) {
        if (m->add)
            for (int64_t i = 0; i < m->len; i++) to[i] += from[i];
        else
            memcpy(to, from, (size_t)m->len * sizeof *to);
    }
}

/* ---- concat -------------------------------------------------------------------------------------------------- */

static void concat_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_concat *a = u->op->attrs;
    n->local = a->axis > 0 && hn_cpu_batched(&u->ys[0]);
    for (int i = 0; i < u->op->n_in; i++) n->local &= (uint8_t)hn_cpu_batched(&u->xs[i]);
    n->cost = (double)hn_cpu_width(&u->ys[0]);
}

static void concat_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_concat *a = c->op->attrs;
    const struct hn_extent *y = &c->ys[0];
    struct move m = { .rows = span(y, 0, a->axis), .to_step = span(y, a->axis, y->rank) };
    m.to = c->y[0];
    for (int i = 0; i < c->op->n_in; i++) {
        m.from = c->x[i], m.len = m.from_step = span(&c->xs[i], a->axis, y->rank);
        move_rows(&m);
        m.to += m.len;
    }
}

static void concat_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_concat *a = c->op->attrs;
    const struct hn_extent *y = &c->ys[0];
    struct move m = { .rows = span(y, 0, a->axis), .from_step = span(y, a->axis, y->rank) };
    m.from = c->dy[0];
    for (int i = 0; i < c->op->n_in; i++) {
        m.to = c->dx[i], m.len = m.to_step = span(&c->xs[i], a->axis, y->rank);
        m.add = i < 32 && (c->acc >> i & 1);
        if (m.to) move_rows(&m);
        m.from += m.len;
    }
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_concat) = {
    .row = &hn_op_concat,
    .need = concat_need,
    .forward = { .main = concat_forward },
    .backward = { .main = concat_backward },
};

/* ---- slice --------------------------------------------------------------------------------------------------- */

static void slice_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_slice *a = u->op->attrs;
    n->local = a->axis > 0 && hn_cpu_batched(&u->xs[0]);
    n->cost = (double)hn_cpu_width(&u->ys[0]);
}

/* forward: y row (o, k) from x row (o, start + k step); back: the other way, adding. */
static void slice_move(const struct hn_call *c, const float *from, float *to, int back)
{
    const struct hn_slice *a = c->op->attrs;
    const struct hn_extent *x = &c->xs[0];
    const int64_t outer = span(x, 0, a->axis), dim = x->d[a->axis],
                  inner = span(x, a->axis + 1, x->rank);
    const int64_t x_step = dim * inner, y_step = a->len * inner;
    if (a->step == 1) {
        struct move m = { from + (back ? 0 : a->start * inner),
                          to + (back ? a->start * inner : 0),
                          outer,
                          y_step,
                          back ? y_step : x_step,
                          back ? x_step : y_step,
                          back };
        move_rows(&m);
        return;
    }
    for (int64_t k = 0; k < a->len; k++) {
        const int64_t at_x = (a->start + k * a->step) * inner, at_y = k * inner;
        struct move m = { from + (back ? at_y : at_x), to + (back ? at_x : at_y), outer, inner,
                          back ? y_step : x_step,      back ? x_step : y_step,    back };
        move_rows(&m);
    }
}

static void slice_forward(const struct hn_cpu_call *k)
{
    slice_move(&k->c, k->c.x[0], k->c.y[0], 0);
}

static void slice_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    if (!c->dx[0]) return;
    if (!(c->acc & 1)) memset(c->dx[0], 0, (size_t)hn_extent_numel(&c->xs[0]) * sizeof(float));
    slice_move(c, c->dy[0], c->dx[0], 1);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_slice) = {
    .row = &hn_op_slice,
    .need = slice_need,
    .forward = { .main = slice_forward },
    .backward = { .main = slice_backward },
};

/* ---- transpose ----------------------------------------------------------------------------------------------- */

static void transpose_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_transpose *a = u->op->attrs;
    n->local = hn_cpu_batched(&u->xs[0]) && a->perm[0] == 0;
    n->cost = 4.0 * (double)hn_cpu_width(&u->ys[0]);
}

/* Walks y in order; x is at the matching place. back: x is written from y. */
static void transpose_move(const struct hn_call *c, float *x, float *y, int mode)
{
    const struct hn_transpose *a = c->op->attrs;
    const struct hn_extent *ex = &c->xs[0], *ey = &c->ys[0];
    int64_t step[HN_MAX_RANK], at[HN_MAX_RANK] = { 0 }, n = hn_extent_numel(ey), from = 0;
    const int last = ey->rank - 1;
    for (int i = 0; i < ey->rank; i++) step[i] = span(ex, a->perm[i] + 1, ex->rank);
    const int64_t len = last < 0 ? 1 : ey->d[last], s = last < 0 ? 1 : step[last];
    for (int64_t i = 0; i < n; i += len, y += len) {
        if (mode == 0)
            for (int64_t j = 0; j < len; j++) y[j] = x[from + j * s];
        else if (mode == 1)
            for (int64_t j = 0; j < len; j++) x[from + j * s] = y[j];
        else
            for (int64_t j = 0; j < len; j++) x[from + j * s] += y[j];
        for (int k = last - 1; k >= 0; k--) {
            from += step[k];
            if (++at[k] < ey->d[k]) break;
            from -= step[k] * ey->d[k];
            at[k] = 0;
        }
    }
}

static void transpose_forward(const struct hn_cpu_call *k)
{
    transpose_move(&k->c, k->c.x[0], k->c.y[0], 0);
}

static void transpose_backward(const struct hn_cpu_call *k)
{
    if (k->c.dx[0]) transpose_move(&k->c, k->c.dx[0], k->c.dy[0], k->c.acc & 1 ? 2 : 1);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_transpose) = {
    .row = &hn_op_transpose,
    .need = transpose_need,
    .forward = { .main = transpose_forward },
    .backward = { .main = transpose_backward },
};
