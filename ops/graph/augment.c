/* SPDX-License-Identifier: MIT
 *
 * Augmentation on a draft program: what a body reads goes through mixup and noise, targets through the same mixup (classes as rows
 * of zeros with a one), indices through none: what they choose is mixed. In passes that do not train the ops are copies, so that
 * one program serves both. */
#include "ops/graph/cutter.h"

static int augments(const struct hn_lowering *l)
{
    return l->opts->part != HN_PART_HEAD && (l->opts->noise > 0 || l->opts->mixup > 0);
}

/* stream: of the noise; -1: none. */
static hone_status add(struct hn_lowering *l, int32_t v, int stream, int32_t *out)
{
    const struct hn_value_ref *x = &l->values[v];
    const struct hn_noise noise = { l->opts->noise, HN_STREAM_AUGMENT + 1 + (uint32_t)stream };
    const struct hn_mixup mixup = { l->opts->mixup };
    char text[128];
    *out = v;
    if (x->shape.rank < 1 || x->shape.d[0].per_row != 1 || x->shape.d[0].fixed != 0)
        return hn_fail(l->err, HONE_E_UNSUPPORTED, x->name,
                       "no augmentation of this: it is %s, wanted rows of the batch in front",
                       hn_shape_text(&x->shape, text, sizeof text));
    if (mixup.alpha > 0) HN_TRY(hn_l_op(l, &hn_op_mixup, &mixup, out, 1, out));
    if (noise.std > 0 && stream >= 0) HN_TRY(hn_l_op(l, &hn_op_noise, &noise, out, 1, out));
    return HONE_OK;
}

hone_status hn_l_mix_target(struct hn_lowering *l, int64_t classes, int32_t *target)
{
    const struct hn_onehot onehot = { classes };
    const struct hn_mixup mixup = { l->opts->mixup };
    if (!(mixup.alpha > 0) || !augments(l)) return HONE_OK;
    if (classes > 0) HN_TRY(hn_l_op(l, &hn_op_onehot, &onehot, target, 1, target));
    return hn_l_op(l, &hn_op_mixup, &mixup, target, 1, target);
}

/* Op i of the part reads the augmented value in place of v, or a view of it. */
static hone_status read_instead(struct hn_cutter *c, size_t i, int32_t v, int32_t augmented)
{
    struct hn_lowering *l = &c->l;
    for (int k = 0; k < l->ops[i].n_in; k++) {
        const int32_t in = l->ops[i].in[k];
        int32_t to = augmented;
        if (in < 0 || hn_cut_root(c, in) != v) continue;
        if (in != v) {
            const struct hn_shape shape = l->values[in].shape;
            HN_TRY(hn_l_view(l, augmented, &shape, &to));
        }
        ((int32_t *)(uintptr_t)l->ops[i].in)[k] = to;
    }
    return HONE_OK;
}

static int part_reads(const struct hn_cutter *c, int32_t v)
{
    for (size_t i = 0; i < c->n_judged; i++)
        for (int k = 0; k < c->l.ops[i].n_in && hn_cut_takes(c, i); k++)
            if (c->l.ops[i].in[k] >= 0 && hn_cut_root(c, c->l.ops[i].in[k]) == v) return 1;
    return 0;
}

/* Is v where the part begins: an input of the graph, or what the head leaves? */
static int begins_part(const struct hn_cutter *c, int32_t v)
{
    if (c->l.opts->part != HN_PART_BODY || c->n_boundary < 0)
        return c->l.values[v].kind == HN_INPUT && c->l.values[v].view_of < 0;
    for (int i = 0; i < c->n_boundary; i++)
        if (c->boundary[i] == v) return 1;
    return 0;
}

/* Indices of an embedding are not numbers to add noise to; what they choose is mixed in their place. */
static int are_indices(const struct hn_cutter *c, int32_t v)
{
    for (size_t i = 0; i < c->n_judged; i++)
        if (c->l.ops[i].row == &hn_op_embedding && hn_cut_takes(c, i) &&
            hn_cut_root(c, c->l.ops[i].in[0]) == v)
            return 1;
    return 0;
}

static int is_chosen(const struct hn_cutter *c, int32_t v)
{
    const struct hn_value_ref *x = &c->l.values[v];
    return x->kind == HN_ACT && x->view_of < 0 && x->producer >= 0 &&
           c->l.ops[x->producer].row == &hn_op_embedding && hn_cut_takes(c, (size_t)x->producer);
}

hone_status hn_cut_augment(struct hn_cutter *c)
{
    const int32_t n = (int32_t)c->l.n_values;
    int stream = 0;
    c->ahead = c->l.n_ops;
    for (int32_t v = 0; v < n && augments(&c->l); v++) {
        const int number = begins_part(c, v) && !are_indices(c, v), chosen = is_chosen(c, v);
        int32_t augmented;
        if (!(number || (chosen && c->l.opts->mixup > 0)) || !part_reads(c, v)) continue;
        HN_TRY(add(&c->l, v, number ? stream++ : -1, &augmented));
        for (size_t i = 0; i < c->n_judged; i++)
            if (hn_cut_takes(c, i)) HN_TRY(read_instead(c, i, v, augmented));
    }
    return HONE_OK;
}

/* The embedding whose result op i of augmentation works on; -1: none, it comes first. */
int32_t hn_cut_behind(const struct hn_cutter *c, size_t i)
{
    const int32_t from = c->l.values[hn_cut_root(c, c->l.ops[i].in[0])].producer;
    if (from >= (int32_t)c->ahead) return hn_cut_behind(c, (size_t)from);
    return from >= 0 && c->l.ops[from].row == &hn_op_embedding && hn_cut_takes(c, (size_t)from)
               ? from
               : -1;
}
