/* SPDX-License-Identifier: MIT
 *
 * What the losses of a draft reach (see cutter.h). A parameter without a way back from a loss has no gradient: weight decay,
 * L1 or fresh weights would be all that ever moves it, so it is not trained. A way that can only bring zeros is none: through a
 * comparison, a rounding, a sign, an index. Reached once is reached, for a parameter that is used in several places too.
 *
 * A running statistic follows the losses through any op, for a forward pass takes the batch in. */
#include "ops/graph/cutter.h"

/* Does the op's backward bring its input k more than zeros? */
static int passes(const struct hn_op *op, int k)
{
    if (!op->row->backward) return 0;
    if (op->row->flags & HN_OP_LOSS) return k == 0;
    if (op->row == &hn_op_embedding) return k == 1;
    if (op->row == &hn_op_unary) switch (((const struct hn_unary *)op->attrs)->kind) {
        case HN_U_TRUNC:
        case HN_U_SIGN:
        case HN_U_FLOOR:
        case HN_U_CEIL:
        case HN_U_ROUND: return 0;
        default: return 1;
        }
    if (op->row == &hn_op_binary) switch (((const struct hn_binary *)op->attrs)->kind) {
        case HN_B_GREATER:
        case HN_B_NOT_LESS:
        case HN_B_EQUAL: return 0;
        case HN_B_KEEP: return k == 0;
        default: return 1;
        }
    return 1;
}

enum { RUNS = 1, GRADIENT = 2 };

/* Per value, of roots: does a loss need it, does it have a gradient? */
static void walk_back(const struct hn_cutter *c, uint8_t *mark)
{
    for (size_t i = c->n_judged; i-- > 0;) {
        const struct hn_op *op = &c->l.ops[i];
        uint8_t has = op->row->flags & HN_OP_LOSS ? RUNS | GRADIENT : 0;
        for (int k = 0; k < op->n_out; k++) has |= mark[hn_cut_root(c, op->out[k])];
        for (int k = 0; k < op->n_in && has; k++)
            if (op->in[k] >= 0) mark[hn_cut_root(c, op->in[k])] |= passes(op, k) ? has : has & RUNS;
    }
}

hone_status hn_cut_reach(struct hn_cutter *c)
{
    const struct hn_facts *f = c->l.g->facts;
    const size_t n = f->params.n_params;
    uint8_t *mark = hn_cut_alloc(c, c->l.n_values, 1);
    c->idle = hn_cut_alloc(c, n + f->n_states, 1);
    if (!mark || !c->idle) return hn_cut_nomem(c);
    if (!c->l.opts->n_losses) return HONE_OK;
    walk_back(c, mark);
    for (size_t i = 0; i < n + f->n_states; i++) c->idle[i] = 1;
    for (size_t v = 0; v < c->l.n_values; v++) {
        const struct hn_value_ref *x = &c->l.values[v];
        if (x->kind == HN_PARAM && mark[v] & GRADIENT) c->idle[x->index] = 0;
        if (x->kind == HN_STATE && mark[v]) c->idle[n + (size_t)f->states[x->index].first] = 0;
    }
    return HONE_OK;
}
