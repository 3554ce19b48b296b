/* SPDX-License-Identifier: MIT
 *
 * The parts of a draft (see cutter.h): what is needed, the frozen head, where head and body meet. */
#include "ops/graph/cutter.h"

#include <string.h>

hone_status hn_cut_needed(struct hn_cutter *c)
{
    uint8_t *wanted = hn_cut_alloc(c, c->l.n_values, 1);
    c->n_judged = c->l.n_ops;
    c->needed = hn_cut_alloc(c, c->l.n_ops, 1);
    c->head = hn_cut_alloc(c, c->l.n_ops, 1);
    if (!wanted || !c->needed || !c->head) return hn_cut_nomem(c);
    for (int i = 0; i < c->n_outputs; i++) wanted[hn_cut_root(c, c->outputs[i])] = 1;
    for (size_t i = c->l.n_ops; i-- > 0;) {
        const struct hn_op *op = &c->l.ops[i];
        int need = op->row->flags & HN_OP_LOSS ? 1 : 0;
        for (int k = 0; k < op->n_out; k++) need |= wanted[op->out[k]];
        c->needed[i] = need != 0;
        for (int k = 0; k < op->n_in && need; k++)
            if (op->in[k] >= 0) wanted[hn_cut_root(c, op->in[k])] = 1;
    }
    return HONE_OK;
}

static int leads_with_rows(const struct hn_shape *s)
{
    return s->rank > 0 && s->d[0].per_row == 1 && s->d[0].fixed == 0;
}

/* Follows N in some dim. */
static int follows(const struct hn_shape *s) { return hn_shape_count(s).per_row != 0; }

/* Does row i of the result need row i of the operands only? */
static int row_by_row(const struct hn_cutter *c, const struct hn_op *op)
{
    const struct hn_shape *y = &c->l.values[op->out[0]].shape;
    if (!(op->row->flags & HN_OP_ROW_LOCAL) && op->row != &hn_op_reduce &&
        op->row != &hn_op_transpose)
        return 0;
    int copies = op->row == &hn_op_unary &&
                 ((const struct hn_unary *)op->attrs)->kind == HN_U_COPY; /* own_output's */
    if (op->row == &hn_op_dropout || copies || !leads_with_rows(y)) return 0;
    for (int k = 0; k < op->n_in; k++) {
        const struct hn_shape *x = op->in[k] >= 0 ? &c->l.values[op->in[k]].shape : NULL;
        if (!x || !follows(x)) continue;
        if (!leads_with_rows(x)) return 0;
        if (op->row == &hn_op_binary && x->rank != y->rank) return 0;
    }
    if (op->row == &hn_op_softmax) return ((const struct hn_softmax *)op->attrs)->axis > 0;
    if (op->row == &hn_op_reduce) return !(((const struct hn_reduce *)op->attrs)->mask & 1u);
    if (op->row == &hn_op_concat) return ((const struct hn_concat *)op->attrs)->axis > 0;
    if (op->row == &hn_op_slice) return ((const struct hn_slice *)op->attrs)->axis > 0;
    if (op->row == &hn_op_transpose) return ((const struct hn_transpose *)op->attrs)->perm[0] == 0;
    return 1;
}

int hn_cut_learns(const struct hn_cutter *c, int32_t param)
{
    const struct hn_facts *f = c->l.g->facts;
    if (c->l.opts->freeze_batchnorm && f->info[param].of_batchnorm) return 0;
    return f->params.params[param].trained;
}

/* An operand the head may read. */
static int head_operand(const struct hn_cutter *c, int32_t v)
{
    const struct hn_value_ref *x = &c->l.values[hn_cut_root(c, v)];
    switch (x->kind) {
    case HN_INPUT:
    case HN_CONST: return 1;
    case HN_PARAM: return !hn_cut_learns(c, x->index);
    case HN_ACT: return c->head[x->producer];
    default: return 0;
    }
}

void hn_cut_head(struct hn_cutter *c)
{
    for (size_t i = 0; i < c->l.n_ops; i++) {
        const struct hn_op *op = &c->l.ops[i];
        if (!c->needed[i] || op->n_out != 1 || !row_by_row(c, op)) continue;
        int all = 1, some = 0;
        for (int k = 0; k < op->n_in; k++) {
            if (op->in[k] < 0) continue;
            all &= head_operand(c, op->in[k]);
            some |= follows(&c->l.values[op->in[k]].shape);
        }
        c->head[i] = (uint8_t)(all && some);
    }
}

/* Values the body reads of inputs and head, roots only, each once, in value order. Does not work out (no boundary, so no
 * head) when one of them is no column of rows. */
hone_status hn_cut_boundary(struct hn_cutter *c)
{
    struct hn_lowering *l = &c->l;
    uint8_t *at = hn_cut_alloc(c, l->n_values, 1);
    int any_head = 0, fits = 1;
    c->boundary = hn_cut_alloc(c, l->n_values, sizeof *c->boundary);
    if (!at || !c->boundary) return hn_cut_nomem(c);
    for (size_t i = 0; i < l->n_ops; i++) any_head |= c->head[i];
    for (size_t i = 0; i < l->n_ops; i++)
        for (int k = 0; k < l->ops[i].n_in && c->needed[i] && !c->head[i]; k++)
            if (l->ops[i].in[k] >= 0) at[hn_cut_root(c, l->ops[i].in[k])] = 1;
    for (int i = 0; i < c->n_outputs; i++) at[hn_cut_root(c, c->outputs[i])] = 1;
    for (size_t v = 0; v < l->n_values; v++) {
        const struct hn_value_ref *x = &l->values[v];
        int crosses =
            x->kind == HN_INPUT || (x->kind == HN_ACT && x->view_of < 0 && c->head[x->producer]);
        if (!at[v] || !crosses) continue;
        fits &= leads_with_rows(&x->shape);
        c->boundary[c->n_boundary++] = (int32_t)v;
    }
    if (any_head && fits) return HONE_OK;
    memset(c->head, 0, l->n_ops);
    c->n_boundary = -1;
    return HONE_OK;
}

int hn_cut_takes(const struct hn_cutter *c, size_t op)
{
    if (op >= c->n_judged) return 1; /* what was put in later */
    switch (c->l.opts->part) {
    case HN_PART_HEAD: return c->needed[op] && c->head[op];
    case HN_PART_BODY: return c->needed[op] && !c->head[op];
    default: return c->needed[op];
    }
}
