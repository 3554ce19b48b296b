/* SPDX-License-Identifier: MIT
 *
 * Operators of the domain com.microsoft that ONNX Runtime's optimizer writes in place of several: a Gemm with its activation, Gelu in
 * four forms, a normalised sum. Each becomes the program ops of what it was made from. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

/* ---- FusedGemm --------------------------------------------------------------------------------------------------- */

enum {
    ACTIVATIONS_OF = 13
}; /* the opset whose defaults hold where the node has no number of its own */

const struct hn_onnx_row *hn_fused_activation(const struct hn_node *n,
                                              const struct hn_onnx_attrs *a,
                                              struct hn_onnx_attrs *of)
{
    int known;
    if (!a || !a->activation || !a->activation[0]) return NULL;
    const struct hn_onnx_row *row = hn_onnx_row_find("", a->activation, ACTIVATIONS_OF, &known);
    if (!row || row->infer != hn_infer_unary) return NULL;
    *of = (struct hn_onnx_attrs){ .alpha = 0 };
    hn_onnx_attrs_default(row, of);
    if (hn_has_attr(n, "activation_alpha")) of->alpha = a->act_alpha;
    if (hn_has_attr(n, "activation_beta")) of->beta = a->act_beta;
    if (hn_has_attr(n, "activation_gamma")) of->gamma = a->act_gamma;
    return row;
}

hone_status hn_infer_fused_gemm(struct hn_infer *c)
{
    struct hn_onnx_attrs of;
    const char *name = c->a->activation;
    if (name && name[0] && !hn_fused_activation(c->n, c->a, &of))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "FusedGemm: the activation '%s' is not supported", name);
    return hn_infer_gemm(c);
}

hone_status hn_lower_fused_gemm(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    struct hn_onnx_attrs of;
    const struct hn_onnx_row *row = hn_fused_activation(n, a, &of);
    int32_t y;
    HN_TRY(hn_l_gemm(l, n, a, &y));
    if (!row) return hn_l_bind(l, n->out[0], y);
    enum hn_unary_kind kind = (enum hn_unary_kind)row->kind;
    HN_TRY(hn_l_activation(l, kind, &of, y, &y));
    return hn_l_finish(l, n, kind, y);
}

/* ---- BiasGelu, FastGelu ------------------------------------------------------------------------------------------ */

hone_status hn_infer_bias_gelu(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0), *bias = hn_in_shape(c, 1);
    char tx[160], tb[160];
    if (bias && (bias->rank != 1 || x->rank < 1 || !hn_same_dim(bias->d[0], x->d[x->rank - 1])))
        return hn_fail(c->err, HONE_E_MODEL, c->label,
                       "%s: the bias is %s, wanted one number for each column of %s", c->n->type,
                       hn_shape_text(bias, tb, sizeof tb), hn_shape_text(x, tx, sizeof tx));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_lower_bias_gelu(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    enum hn_unary_kind kind = (enum hn_unary_kind)n->row->kind;
    int32_t y, bias;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    if (n->n_in > 1 && n->in[1] >= 0) {
        HN_TRY(hn_l_value(l, n->in[1], &bias));
        HN_TRY(hn_l_binary(l, HN_B_ADD, y, bias, &y));
    }
    HN_TRY(hn_l_unary(l, kind, 0, 0, y, &y));
    return hn_l_finish(l, n, kind, y);
}

/* ---- SkipLayerNormalization: of input + skip [+ bias]; simplified (kind 1): without a mean -------------------------- */

hone_status hn_infer_skip_norm(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    char tx[160], ts[160];
    if (x->rank < 2 || x->d[x->rank - 1].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s of %s: wanted rows of fixed width",
                       c->n->type, hn_shape_text(x, tx, sizeof tx));
    for (int i = 1; i < c->n->n_in; i++) {
        const struct hn_shape *s = hn_in_shape(c, i);
        const struct hn_shape row = { 1, { x->d[x->rank - 1] } };
        if (s && !hn_same_shape(s, i == 1 ? x : &row))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s: '%s' is %s beside %s",
                           c->n->type, hn_in_value(c, i)->name, hn_shape_text(s, ts, sizeof ts),
                           hn_shape_text(x, tx, sizeof tx));
    }
    for (int k = 1; k < c->n->n_out && k < 3; k++)
        if (c->n->out[k] >= 0)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s: its mean and deviation as outputs are not supported", c->n->type);
    HN_TRY(hn_out(c, 3, hn_in_value(c, 0)->dtype, x));
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, x);
}

hone_status hn_lower_skip_norm(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    const int simple = n->row->kind, bias_at = simple ? 3 : 4;
    const struct hn_layernorm attrs = { a->epsilon, 1 };
    int32_t in[3] = { -1, -1, -1 }, x, skip, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_value(l, n->in[1], &skip));
    HN_TRY(hn_l_binary(l, HN_B_ADD, x, skip, &x));
    if (n->n_in > bias_at && n->in[bias_at] >= 0) {
        HN_TRY(hn_l_value(l, n->in[bias_at], &skip));
        HN_TRY(hn_l_binary(l, HN_B_ADD, x, skip, &x));
    }
    in[0] = x;
    HN_TRY(hn_l_value(l, n->in[2], &in[1]));
    if (!simple && n->n_in > 3 && n->in[3] >= 0) HN_TRY(hn_l_value(l, n->in[3], &in[2]));
    if (simple)
        HN_TRY(hn_l_rmsnorm(l, x, in[1], l->values[x].shape.rank - 1, a->epsilon, &y));
    else
        HN_TRY(hn_l_op(l, &hn_op_layernorm, &attrs, in, 3, &y));
    if (n->n_out > 3) HN_TRY(hn_l_bind(l, n->out[3], x));
    return hn_l_bind(l, n->out[0], y);
}
