/* SPDX-License-Identifier: MIT
 *
 * What a launch may take in from the steps around it, and what may be read where it lies. A plan gives every step its memory as if
 * steps ran one after the other; a launch that does the work of several must not write what another of its blocks still reads,
 * so places are compared before anything is taken in. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

int hn_gpu_overlap(struct hn_ref a, size_t a_bytes, struct hn_ref b, size_t b_bytes)
{
    return a.space == HN_SP_ARENA && b.space == HN_SP_ARENA && a.off < b.off + b_bytes &&
           b.off < a.off + a_bytes;
}

size_t hn_gpu_bytes(const struct hn_gpu_build *b, int32_t value)
{
    const struct hn_shape *s = hn_gpu_shape(b, value);
    return (size_t)hn_gpu_n(hn_gpu_span(s, 0, s->rank), b->e->plan->max_rows) * b->e->dev->elem;
}

static const struct hn_step *ahead(const struct hn_gpu_build *b, int n)
{
    return b->s + n < b->end ? b->s + n : NULL;
}

static int is(const struct hn_gpu_build *b, const struct hn_step *s, const char *row)
{
    return s && strcmp(b->p->ops[s->op].row->name, row) == 0;
}

/* May a result of the layer at work be written to `to` while its operands are read? */
static int writable(const struct hn_gpu_build *b, struct hn_ref to, size_t bytes)
{
    for (int i = 0; i < b->op->n_in; i++)
        if (hn_gpu_overlap(to, bytes, b->s->x[i], hn_gpu_bytes(b, b->op->in[i]))) return 0;
    return !b->s->backward ||
           !hn_gpu_overlap(to, bytes, b->s->dy[0], hn_gpu_bytes(b, b->op->out[0]));
}

/* A Dropout over [rows, columns], one row a row of the batch, with masks of our own. */
static int plain_drop(const struct hn_gpu_build *b, const struct hn_step *s)
{
    const struct hn_shape *x = hn_gpu_shape(b, b->p->ops[s->op].in[0]);
    return x->rank == 2 && !x->d[1].per_row && !hn_gpu_drop_by_library(b);
}

static void take_function(const struct hn_gpu_build *b, const struct hn_op *op,
                          struct hn_k_tail *tail)
{
    const struct hn_unary *u = op->attrs;
    tail->how = 1 + hn_gpu_slope_by(b, op);
    tail->kind = (int32_t)u->kind, tail->a = u->a, tail->b = u->b;
}

/* c, y and z: where each of the three is wanted. A place that the next one overwrites is not written. */
void hn_gpu_tail_forward(struct hn_gpu_build *b, struct hn_k_tail *tail)
{
    const size_t bytes = hn_gpu_bytes(b, b->op->out[0]);
    struct hn_ref at = b->s->y[0];
    const struct hn_step *s = ahead(b, 1);
    tail->c = hn_gpu_ref(b, at);
    if (is(b, s, "unary") && hn_gpu_same(s->x[0], at) && writable(b, s->y[0], bytes)) {
        take_function(b, &b->p->ops[s->op], tail);
        tail->y = hn_gpu_ref(b, s->y[0]);
        if (hn_gpu_same(s->y[0], at)) tail->c.space = HN_KS_NONE;
        at = s->y[0];
        b->fused++;
        s = ahead(b, 2);
    }
    if (is(b, s, "dropout") && plain_drop(b, s) && hn_gpu_same(s->x[0], at) &&
        writable(b, s->y[0], bytes)) {
        tail->drops = 1;
        tail->drop = hn_gpu_drop_of(b, b->p->ops[s->op].attrs);
        tail->z = hn_gpu_ref(b, s->y[0]);
        if (hn_gpu_same(s->y[0], at)) *(tail->how ? &tail->y : &tail->c) = (struct hn_k_ref){ 0 };
        b->fused++;
    }
}

/* c: the gradient behind all that was taken in. The steps are the next ones, so that nobody else asks for what lies between. */
void hn_gpu_tail_backward(struct hn_gpu_build *b, struct hn_k_tail *tail)
{
    const size_t bytes = hn_gpu_bytes(b, b->op->in[0]);
    struct hn_ref at = b->s->dx[0];
    const struct hn_step *s = ahead(b, 1);
    tail->backward = 1;
    if (is(b, s, "dropout") && plain_drop(b, s) && hn_gpu_same(s->dy[0], at) && !(s->acc & 1) &&
        s->dx[0].space != HN_SP_NONE && writable(b, s->dx[0], bytes)) {
        tail->drops = 1;
        tail->drop = hn_gpu_drop_of(b, b->p->ops[s->op].attrs);
        at = s->dx[0];
        b->fused++;
        s = ahead(b, 2);
    }
    if (is(b, s, "unary") && hn_gpu_same(s->dy[0], at) && !(s->acc & 1) &&
        s->dx[0].space != HN_SP_NONE && writable(b, s->dx[0], bytes)) {
        const struct hn_op *op = &b->p->ops[s->op];
        const int by = hn_gpu_slope_by(b, op);
        const struct hn_ref from = by == 2 ? s->y[0] : by == 1 ? s->x[0] : (struct hn_ref){ 0 };
        if (hn_gpu_same(from, s->dx[0]) || !hn_gpu_overlap(from, bytes, s->dx[0], bytes)) {
            take_function(b, op, tail);
            tail->by = hn_gpu_ref(b, from);
            at = s->dx[0];
            b->fused++;
        }
    }
    tail->c = hn_gpu_ref(b, at);
}

/* ---- columns ------------------------------------------------------------------------------------------------------ */

/* The value that this one is a view of. */
static int32_t root(const struct hn_gpu_build *b, int32_t v)
{
    while (v >= 0 && b->p->values[v].view_of >= 0) v = b->p->values[v].view_of;
    return v;
}

/* Position of a value among the columns, -1: it is none. */
static int32_t column_of(const struct hn_gpu_build *b, int32_t value)
{
    const int32_t v = root(b, value);
    for (int i = 0; i < b->p->n_inputs; i++)
        if (b->p->inputs[i] == v) return i;
    for (int i = 0; i < b->p->n_targets; i++)
        if (b->p->targets[i] == v) return b->p->n_inputs + i;
    return -1;
}

static int is_batch(struct hn_dim d) { return d.per_row == 1 && d.fixed == 0; }

/* Can op read its k-th operand row by row from the data set? */
static int reads_rows(const struct hn_gpu_build *b, const struct hn_op *op, int k)
{
    const struct hn_shape *s = hn_gpu_shape(b, op->in[0]);
    if (s->rank != 2 || !is_batch(s->d[0]) || s->d[1].per_row) return 0;
    if (strcmp(op->row->name, "dense") == 0) {
        const int64_t out = hn_gpu_shape(b, op->out[0])->d[1].fixed;
        return k == 0 && hn_gpu_native_product(b->e, b->e->plan->max_rows, out, s->d[1].fixed);
    }
    if (k != 1 || !(op->row->flags & HN_OP_LOSS)) return 0;
    const struct hn_shape *t = hn_gpu_shape(b, op->in[1]);
    const struct hn_loss *l = op->attrs;
    const int classes = !l->dense && (strcmp(op->row->name, "loss_ce") == 0 ||
                                      strcmp(op->row->name, "loss_nll") == 0);
    if (t->rank < 1 || !is_batch(t->d[0])) return 0;
    return hn_gpu_span(t, 1, t->rank).fixed == (classes ? 1 : s->d[1].fixed) &&
           !hn_gpu_span(t, 1, t->rank).per_row;
}

hone_status hn_gpu_find_in_place(struct hn_gpu_build *b)
{
    const struct hn_plan *plan = b->e->plan;
    const int n = b->e->n_columns;
    b->in_place = hn_arena_alloc(&b->e->mem, (size_t)n + 1, 1);
    if (!b->in_place) return hn_nomem(b->err, "the execution plan", (size_t)n);
    memset(b->in_place, 1, (size_t)n);
    for (int i = 0; i < plan->n_steps; i++) {
        const struct hn_op *op = &b->p->ops[plan->steps[i].op];
        for (int k = 0; k < op->n_in; k++) {
            const int32_t c = op->in[k] < 0 ? -1 : column_of(b, op->in[k]);
            if (c >= 0 && !reads_rows(b, op, k)) b->in_place[c] = 0;
        }
    }
    for (int i = 0; i < b->p->n_outputs; i++) {
        const int32_t c = column_of(b, b->p->outputs[i]);
        if (c >= 0) b->in_place[c] = 0;
    }
    return HONE_OK;
}

int32_t hn_gpu_in_place(const struct hn_gpu_build *b, int32_t value)
{
    const int32_t c = column_of(b, value);
    return c >= 0 && b->in_place[c] ? c : -1;
}
