/* SPDX-License-Identifier: MIT
 *
 * Losses on a draft program. A Softmax, LogSoftmax or Sigmoid tail is fused: the loss takes what stands before the tail,
 * and the tail stays for the output. A target column is [N,...] like the prediction, or one class index for each row of
 * classes; a weight column is one number for each row. Two classes by one Sigmoid, as 1 - p and p, are a binary cross-entropy, and
 * so are several labels a row, where 1 - p has the opposite target. */
#include "ops/graph/lower.h"
#include "ops/graph/output.h"

#include "ops/base/status.h"
#include "ops/math/row.h"

static hone_status column(struct hn_lowering *l, const struct hn_shape *s, const char *name,
                          int32_t *out)
{
    struct hn_value_ref v = {
        .kind = HN_TARGET, .shape = *s, .index = l->n_targets, .view_of = -1, .producer = -1
    };
    v.name = hn_arena_printf(l->arena, "%s#%d", name, l->n_targets);
    if (!v.name || !HN_PUSH(l->g->mem, l->values, l->n_values, l->cap_values, v))
        return hn_nomem(l->err, "the program", 0);
    l->n_targets++;
    *out = (int32_t)l->n_values - 1;
    return HONE_OK;
}

struct choice {
    const struct hn_op_row *row;
    struct hn_loss attrs;
    int fused;
};

/* cross-entropy of logits and nll of log-softmax are one loss; a bce without a Sigmoid tail is one of logits. */
static struct choice choose(const struct hn_loss_spec *s, enum hn_tail tail)
{
    struct choice c = { .attrs = { s->weight, s->dense, 0, 0, s->delta, s->output } };
    if (tail == HN_TAIL_BOTH && !s->dense && (s->kind == HN_LOSS_CE || s->kind == HN_LOSS_NLL)) {
        c.row = &hn_op_loss_bce, c.attrs.from_logits = 1, c.fused = 1;
        return c;
    }
    int soft = tail == HN_TAIL_SOFTMAX || tail == HN_TAIL_LOGSOFTMAX;
    switch (s->kind) {
    case HN_LOSS_CE: c.row = &hn_op_loss_ce, c.fused = soft || tail == HN_TAIL_SHARES; break;
    case HN_LOSS_NLL:
        c.row = tail == HN_TAIL_LOGSOFTMAX ? &hn_op_loss_ce : &hn_op_loss_nll;
        c.fused = tail == HN_TAIL_LOGSOFTMAX;
        break;
    case HN_LOSS_BCE:
        c.row = &hn_op_loss_bce, c.attrs.from_logits = 1;
        c.fused = tail == HN_TAIL_SIGMOID || tail == HN_TAIL_EACH;
        break;
    case HN_LOSS_MSE: c.row = &hn_op_loss_regression, c.attrs.kind = 0; break;
    case HN_LOSS_MAE: c.row = &hn_op_loss_regression, c.attrs.kind = 1; break;
    case HN_LOSS_HUBER: c.row = &hn_op_loss_regression, c.attrs.kind = 2; break;
    }
    return c;
}

/* What a Sigmoid inside a node is of: the operand of the op that makes v. */
static hone_status inside_node(struct hn_lowering *l, int32_t v, int32_t *logit)
{
    HN_TRY(hn_l_value(l, v, logit));
    const struct hn_value_ref *r = &l->values[*logit];
    if (r->view_of >= 0) r = &l->values[r->view_of];
    const struct hn_op *op = r->producer >= 0 ? &l->ops[r->producer] : NULL;
    if (!op || op->row != &hn_op_unary)
        return hn_fail(l->err, HONE_E_INTERNAL, l->g->values[v].name, "its Sigmoid is not there");
    *logit = op->in[0];
    return HONE_OK;
}

/* 1 - p is the Sigmoid of -z where p is that of z. */
static hone_status both_signs(struct hn_lowering *l, int32_t *z)
{
    const struct hn_concat columns = { 1 };
    int32_t in[2] = { -1, *z };
    HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, *z, &in[0]));
    return hn_l_op(l, &hn_op_concat, &columns, in, 2, z);
}

/* [N, classes, ...] as [N, places, classes]. */
static hone_status classes_last(struct hn_lowering *l, int32_t *x, struct hn_shape *shape)
{
    static const struct hn_transpose swap = { .perm = { 0, 2, 1 } };
    struct hn_shape three = { .rank = 3, .d = { shape->d[0], shape->d[1], { 0, 1 } } };
    for (int i = 2; i < shape->rank; i++) three.d[2].fixed *= shape->d[i].fixed;
    HN_TRY(hn_l_view(l, *x, &three, x));
    HN_TRY(hn_l_op(l, &hn_op_transpose, &swap, x, 1, x));
    *shape = l->values[*x].shape;
    return HONE_OK;
}

/* Numbers v divided by their sum are the Softmax of their logarithms: of a Sigmoid's without its rounding to 0. */
static hone_status logarithms(struct hn_lowering *l, int32_t v, int32_t *out)
{
    const int32_t producer = l->g->values[v].producer;
    const struct hn_node *n = producer >= 0 ? &l->g->nodes[producer] : NULL;
    int32_t least;
    if (n && n->row->infer == hn_infer_unary && n->row->kind == HN_U_SIGMOID) {
        HN_TRY(hn_l_value(l, n->in[0], out));
        HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, *out, out));
        HN_TRY(hn_l_unary(l, HN_U_SOFTPLUS, 0, 0, *out, out));
        return hn_l_unary(l, HN_U_NEG, 0, 0, *out, out);
    }
    HN_TRY(hn_l_value(l, v, out));
    HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, 1.17549435e-38, &least));
    HN_TRY(hn_l_binary(l, HN_B_MAX, *out, least, out));
    return hn_l_unary(l, HN_U_LOG, 0, 0, *out, out);
}

static hone_status add_loss(struct hn_lowering *l, const struct hn_loss_spec *s)
{
    const struct hn_graph *g = l->g;
    if (s->output < 0 || (size_t)s->output >= g->n_outputs)
        return hn_fail(l->err, HONE_E_USAGE, "loss", "output %d, the model has %zu", s->output,
                       g->n_outputs);
    int32_t v = g->outputs[s->output], before, in[3] = { -1, -1, -1 }, none;
    int first;
    struct hn_unscaler u;
    const struct hn_value *y = &g->values[v];
    if (!g->facts->values[v].computable)
        return hn_fail(l->err, HONE_E_UNSUPPORTED, y->name,
                       "no loss on this output: no program computes it");
    if (s->scaled && !hn_graph_unscaler(g, v, &u))
        return hn_fail(l->err, HONE_E_INTERNAL, y->name, "no scaling of targets is undone there");
    if (s->scaled) v = u.raw;
    enum hn_tail tail = hn_output_tail(g, v, &before, &first);
    if (first != s->first && (tail == HN_TAIL_SOFTMAX || tail == HN_TAIL_LOGSOFTMAX))
        tail = HN_TAIL_NONE; /* over other classes than the loss's */
    struct choice c = choose(s, tail);
    struct hn_shape target = y->shape, rows = y->shape;
    int classes = s->kind == HN_LOSS_CE || s->kind == HN_LOSS_NLL;
    HN_TRY(c.fused && before < 0 ? inside_node(l, v, &in[0])
                                 : hn_l_value(l, c.fused ? before : v, &in[0]));
    if (c.fused && tail == HN_TAIL_SHARES) HN_TRY(logarithms(l, before, &in[0]));
    if (c.fused && tail == HN_TAIL_EACH) HN_TRY(both_signs(l, &in[0]));
    const int both =
        classes && c.row == &hn_op_loss_bce; /* the class is the target of its one logit */
    if (!both && !hn_same_shape(&l->values[in[0]].shape, &y->shape))
        HN_TRY(hn_l_view(l, in[0], &y->shape, &in[0]));
    if (s->first) HN_TRY(classes_last(l, &in[0], &target));
    const int64_t n_classes = target.rank > 0 ? target.d[target.rank - 1].fixed : 0;
    if (classes && !s->dense && target.rank > 0) target.rank--;
    rows.rank = rows.rank > 0;
    HN_TRY(column(l, &target, y->name, &in[1]));
    if (s->row_weights) HN_TRY(column(l, &rows, "weight", &in[2]));
    if (l->opts->mixup > 0 && l->opts->part != HN_PART_HEAD) {
        const int indices = classes && !s->dense && !both;
        HN_TRY(hn_l_mix_target(l, indices ? n_classes : 0, &in[1]));
        c.attrs.dense |= indices;
    }
    return hn_l_op(l, c.row, &c.attrs, in, s->row_weights ? 3 : 2, &none);
}

hone_status hn_l_losses(struct hn_lowering *l)
{
    for (int i = 0; i < l->opts->n_losses; i++) HN_TRY(add_loss(l, &l->opts->losses[i]));
    return HONE_OK;
}
