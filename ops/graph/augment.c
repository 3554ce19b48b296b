/* SPDX-License-Identifier: MIT
 *
 * Augmentation on a draft program: what a body reads goes through noise and mixup, targets through the same mixup (classes as rows
 * of zeros with a one). In passes that do not train the ops are copies, so that one program serves both. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"

int hn_l_augments(const struct hn_lowering *l)
{
    return l->opts->part != HN_PART_HEAD && (l->opts->noise > 0 || l->opts->mixup > 0);
}

hone_status hn_l_augment(struct hn_lowering *l, int32_t v, int stream, int32_t *out)
{
    const struct hn_value_ref *x = &l->values[v];
    const struct hn_noise noise = { l->opts->noise, HN_STREAM_AUGMENT + 1 + (uint32_t)stream };
    const struct hn_mixup mixup = { l->opts->mixup };
    char text[128];
    *out = v;
    if (x->shape.rank < 1 || x->shape.d[0].per_row != 1 || x->shape.d[0].fixed != 0)
        return hn_fail(l->err, HONE_E_UNSUPPORTED, x->name,
                       "no augmentation of this input: it is %s, wanted rows of the batch in front",
                       hn_shape_text(&x->shape, text, sizeof text));
    if (mixup.alpha > 0) HN_TRY(hn_l_op(l, &hn_op_mixup, &mixup, out, 1, out));
    if (noise.std > 0) HN_TRY(hn_l_op(l, &hn_op_noise, &noise, out, 1, out));
    return HONE_OK;
}

hone_status hn_l_mix_target(struct hn_lowering *l, int64_t classes, int32_t *target)
{
    const struct hn_onehot onehot = { classes };
    const struct hn_mixup mixup = { l->opts->mixup };
    if (classes > 0) HN_TRY(hn_l_op(l, &hn_op_onehot, &onehot, target, 1, target));
    return hn_l_op(l, &hn_op_mixup, &mixup, target, 1, target);
}
