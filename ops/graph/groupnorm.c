/* SPDX-License-Identifier: MIT
 *
 * GroupNormalization and InstanceNormalization (groups of one channel): x [N,C,...] seen as [N,groups,rest] is a layer
 * normalisation of its last dim; scale and bias follow, one number a channel, or one a group before opset 21. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"

enum { INSTANCE, BY_GROUP, BY_CHANNEL }; /* the row's kind */

static int64_t groups_of(const struct hn_onnx_row *row, const struct hn_onnx_attrs *a,
                         int64_t channels)
{
    return row->kind == INSTANCE ? channels : a->groups;
}

hone_status hn_infer_groupnorm(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char tx[160], ts[160];
    int fixed = x->rank >= 2;
    for (int i = 1; i < x->rank; i++) fixed &= x->d[i].per_row == 0;
    if (!fixed)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s of %s: wanted [N,C,...] with a fixed row", c->n->type,
                       hn_shape_text(x, tx, sizeof tx));
    int64_t channels = x->d[1].fixed, groups = groups_of(c->row, c->a, channels);
    if (groups < 1 || channels % groups != 0)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: %lld channels in %lld groups",
                       c->n->type, (long long)channels, (long long)groups);
    int64_t want = c->row->kind == BY_GROUP ? groups : channels;
    for (int i = 1; i < 3; i++)
        if (hn_in_shape(c, i)->rank != 1 || !hn_is_fixed(hn_in_shape(c, i)->d[0], want))
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: '%s' is %s, wanted [%lld]",
                           c->n->type, hn_in_value(c, i)->name,
                           hn_shape_text(hn_in_shape(c, i), ts, sizeof ts), (long long)want);
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

/* y op v, v's numbers along dim 1 of y */
static hone_status along(struct hn_lowering *l, enum hn_binary_kind kind, int32_t v, int32_t *y)
{
    struct hn_shape s = { .rank = l->values[*y].shape.rank - 1 };
    int32_t x;
    HN_TRY(hn_l_value(l, v, &x));
    for (int i = 0; i < s.rank; i++)
        s.d[i] = i ? (struct hn_dim){ 0, 1 } : l->values[*y].shape.d[1];
    HN_TRY(hn_l_view(l, x, &s, &x));
    return hn_l_binary(l, kind, *y, x, y);
}

hone_status hn_lower_groupnorm(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    const struct hn_shape x = l->g->values[n->in[0]].shape;
    const struct hn_layernorm attrs = { a->epsilon, 1 };
    int64_t groups = groups_of(n->row, a, x.d[1].fixed), row = 1;
    for (int i = 1; i < x.rank; i++) row *= x.d[i].fixed;
    const struct hn_shape grouped = { 3, { x.d[0], { 0, groups }, { 0, row / groups } } };
    const struct hn_shape last = { 1, { { 0, row / groups } } };
    int32_t in[3] = { -1, -1, -1 }, y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_view(l, y, &grouped, &in[0]));
    HN_TRY(hn_l_fill(l, &last, 1, &in[1]));
    HN_TRY(hn_l_op(l, &hn_op_layernorm, &attrs, in, 3, &y));
    if (n->row->kind != BY_GROUP) HN_TRY(hn_l_view(l, y, &x, &y));
    HN_TRY(along(l, HN_B_MUL, n->in[1], &y));
    HN_TRY(along(l, HN_B_ADD, n->in[2], &y));
    return hn_l_bind(l, n->out[0], y);
}
