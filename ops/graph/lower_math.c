/* SPDX-License-Identifier: MIT
 *
 * How the operators that compute are said in program ops. Scalars become attributes (x * 2 is an affine Unary), constant
 * matrices make a Dense of a Gemm or MatMul, everything else stays as general as the file has it. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

static const double infinite = (double)INFINITY;

static const struct hn_shape *shape_of(const struct hn_lowering *l, int32_t v)
{
    return &l->g->values[v].shape;
}

/* A parameter, or made of those: no number that is known. */
static int is_param(const struct hn_lowering *l, int32_t v)
{
    const struct hn_value_fact *f = &l->g->facts->values[v];
    return !l->fold && (f->computed || (f->root >= 0 && l->g->facts->param_of[f->root] >= 0));
}

/* ---- element-wise ----------------------------------------------------------------------------------------------- */

static int is_activation(enum hn_unary_kind k)
{
    switch (k) {
    case HN_U_COPY:
    case HN_U_ERF:
    case HN_U_NEG:
    case HN_U_ABS:
    case HN_U_EXP:
    case HN_U_LOG:
    case HN_U_SQRT:
    case HN_U_RECIPROCAL:
    case HN_U_AFFINE:
    case HN_U_TRUNC:
    case HN_U_SIGN:
    case HN_U_FLOOR:
    case HN_U_CEIL:
    case HN_U_ROUND:
    case HN_U_COUNT: return 0;
    default: return 1;
    }
}

/* A gate: its only consumer multiplies it with another activation. */
static int is_gate(const struct hn_graph *g, int32_t v)
{
    const struct hn_consumer *u = &g->facts->uses[g->facts->use_first[v]];
    if (hn_n_uses(g, v) != 1 || u->node < 0) return 0;
    const struct hn_node *n = &g->nodes[u->node];
    return strcmp(n->type, "Mul") == 0 && n->n_in == 2 && !g->values[n->in[1 - u->input]].constant;
}

hone_status hn_l_hidden(struct hn_lowering *l, const struct hn_node *n, int32_t *y)
{
    const struct hn_value_fact *f = &l->g->facts->values[n->out[0]];
    if (l->fold || f->computed || !l->opts->insert_dropout || l->g->facts->has_dropout ||
        !f->from_param || !f->before_dense || is_gate(l->g, n->out[0]) ||
        hn_shape_count(shape_of(l, n->out[0])).per_row == 1) /* a norm, say: no layer */
        return HONE_OK;
    struct hn_dropout attrs = { l->opts->dropout > 0 ? l->opts->dropout : 0,
                                HN_STREAM_DROPOUT + (uint32_t)n->index, 0 };
    return hn_l_op(l, &hn_op_dropout, &attrs, y, 1, y);
}

hone_status hn_l_finish(struct hn_lowering *l, const struct hn_node *n, enum hn_unary_kind kind,
                        int32_t y)
{
    if (is_activation(kind)) HN_TRY(hn_l_hidden(l, n, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_l_activation(struct hn_lowering *l, enum hn_unary_kind kind,
                            const struct hn_onnx_attrs *a, int32_t x, int32_t *y)
{
    double alpha = a->alpha, beta = kind == HN_U_SELU ? a->gamma : a->beta;
    if (kind == HN_U_GELU && a->approximate && strcmp(a->approximate, "tanh") == 0)
        kind = HN_U_GELU_TANH;
    if (kind != HN_U_SILU || alpha == 1) return hn_l_unary(l, kind, alpha, beta, x, y);
    if (alpha == 0) return hn_l_unary(l, HN_U_AFFINE, 0.5, 0, x, y);
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, alpha, 0, x, y)); /* silu(alpha x) / alpha */
    HN_TRY(hn_l_unary(l, HN_U_SILU, 0, 0, *y, y));
    return hn_l_unary(l, HN_U_AFFINE, 1 / alpha, 0, *y, y);
}

hone_status hn_lower_unary(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    enum hn_unary_kind kind = (enum hn_unary_kind)n->row->kind;
    int32_t x, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_activation(l, kind, a, x, &y));
    return hn_l_finish(l, n, kind, y);
}

/* log(x + sqrt(x^2 - 1)) */
hone_status hn_lower_acosh(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    int32_t x, y;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_binary(l, HN_B_MUL, x, x, &y));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, 1, -1, y, &y));
    HN_TRY(hn_l_unary(l, HN_U_SQRT, 0, 0, y, &y));
    HN_TRY(hn_l_binary(l, HN_B_ADD, x, y, &y));
    HN_TRY(hn_l_unary(l, HN_U_LOG, 0, 0, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_clip(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    double lo = n->n_in > 1 || n->row->attrs == NULL ? -infinite : a->lo;
    double hi = n->n_in > 1 || n->row->attrs == NULL ? infinite : a->hi;
    int32_t x;
    if (n->n_in > 1) (void)hn_value_scalar(l->g, n->in[1], &lo);
    if (n->n_in > 2) (void)hn_value_scalar(l->g, n->in[2], &hi);
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (lo == -infinite && hi == infinite) return hn_l_bind(l, n->out[0], x);
    if (lo == 0 && hi == infinite)
        HN_TRY(hn_l_unary(l, HN_U_RELU, 0, 0, x, &x));
    else
        HN_TRY(hn_l_unary(l, HN_U_CLIP, lo, hi, x, &x));
    return hn_l_finish(l, n, HN_U_CLIP, x);
}

/* max(x, 0) - slope * max(-x, 0) */
hone_status hn_lower_prelu(struct hn_lowering *l, const struct hn_node *n,
                           const struct hn_onnx_attrs *a)
{
    int32_t x, slope, up, down;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_value(l, n->in[1], &slope));
    HN_TRY(hn_l_unary(l, HN_U_RELU, 0, 0, x, &up));
    HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, x, &down));
    HN_TRY(hn_l_unary(l, HN_U_RELU, 0, 0, down, &down));
    HN_TRY(hn_l_binary(l, HN_B_MUL, down, slope, &down));
    HN_TRY(hn_l_binary(l, HN_B_SUB, up, down, &up));
    return hn_l_finish(l, n, HN_U_LEAKY_RELU, up);
}

/* x op c (or, swapped, c op x) for a number c, as one Unary; *done 0: there is no such form. */
static hone_status with_scalar(struct hn_lowering *l, enum hn_binary_kind kind, int32_t x, double c,
                               int swapped, int32_t *y)
{
    int e;
    switch (kind) {
    case HN_B_ADD: return hn_l_unary(l, HN_U_AFFINE, 1, c, x, y);
    case HN_B_SUB: return hn_l_unary(l, HN_U_AFFINE, swapped ? -1 : 1, swapped ? c : -c, x, y);
    case HN_B_MUL: return hn_l_unary(l, HN_U_AFFINE, c, 0, x, y);
    case HN_B_DIV: /* exact only for powers of two: others keep their division */
        if (!swapped && c != 0 && fabs(frexp(c, &e)) == 0.5)
            return hn_l_unary(l, HN_U_AFFINE, 1 / c, 0, x, y);
        if (swapped && c == 1) return hn_l_unary(l, HN_U_RECIPROCAL, 0, 0, x, y);
        break;
    case HN_B_MAX:
        return c == 0 ? hn_l_unary(l, HN_U_RELU, 0, 0, x, y)
                      : hn_l_unary(l, HN_U_CLIP, c, infinite, x, y);
    case HN_B_MIN: return hn_l_unary(l, HN_U_CLIP, -infinite, c, x, y);
    case HN_B_POW:
        if (!swapped && c == 2) return hn_l_binary(l, HN_B_MUL, x, x, y);
        if (!swapped && c == 0.5) return hn_l_unary(l, HN_U_SQRT, 0, 0, x, y);
        if (!swapped && c == -1) return hn_l_unary(l, HN_U_RECIPROCAL, 0, 0, x, y);
        break;
    default: break;
    }
    *y = -1;
    return HONE_OK;
}

/* Two operands of which one is a plain number that does not widen the other: *y -1 when they are not. */
static hone_status try_scalar(struct hn_lowering *l, const struct hn_node *n, int32_t *y)
{
    *y = -1;
    for (int k = 0; k < 2 && n->n_in == 2 && *y < 0; k++) {
        int32_t c = n->in[1 - k], other = n->in[k], x;
        double number;
        if (is_param(l, c) || !hn_value_scalar(l->g, c, &number) || isnan(number) ||
            !hn_same_shape(shape_of(l, other), shape_of(l, n->out[0])))
            continue;
        HN_TRY(hn_l_value(l, other, &x));
        HN_TRY(with_scalar(l, (enum hn_binary_kind)n->row->kind, x, number, k == 1, y));
    }
    return HONE_OK;
}

hone_status hn_lower_binary(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    const int quotient =
        n->row->kind == HN_B_DIV && /* of integers: towards zero, and divided, not multiplied */
        !hn_dtype_is_float(l->g->values[n->out[0]].dtype);
    int32_t y = -1, x;
    (void)a;
    if (!quotient) HN_TRY(try_scalar(l, n, &y));
    if (y >= 0) {
        if (n->row->kind == HN_B_MAX)
            HN_TRY(hn_l_hidden(l, n, &y)); /* Max(x, 0) is how some exporters say Relu */
        return hn_l_bind(l, n->out[0], y);
    }
    HN_TRY(hn_l_value(l, n->in[0], &y));
    for (int i = 1; i < n->n_in; i++) {
        HN_TRY(hn_l_value(l, n->in[i], &x));
        HN_TRY(hn_l_binary(l, (enum hn_binary_kind)n->row->kind, y, x, &y));
    }
    if (quotient) HN_TRY(hn_l_unary(l, HN_U_TRUNC, 0, 0, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* a - b * q, where q is a / b rounded down, or, as C's fmod has it, towards zero */
hone_status hn_lower_mod(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_onnx_attrs *a)
{
    int32_t x, y, q;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_value(l, n->in[1], &y));
    HN_TRY(hn_l_binary(l, HN_B_DIV, x, y, &q));
    HN_TRY(hn_l_unary(l, a->fmod ? HN_U_TRUNC : HN_U_FLOOR, 0, 0, q, &q));
    HN_TRY(hn_l_binary(l, HN_B_MUL, y, q, &q));
    HN_TRY(hn_l_binary(l, HN_B_SUB, x, q, &q));
    return hn_l_bind(l, n->out[0], q);
}

/* ---- products ------------------------------------------------------------------------------------------------- */

static int is_constant(const struct hn_lowering *l, int32_t v)
{
    return l->g->values[v].constant != NULL;
}

/* A bias that Dense takes: a constant of `out` elements in the last dim, or of one element. */
static int is_bias(const struct hn_lowering *l, int32_t v, int64_t out)
{
    const struct hn_shape *s = shape_of(l, v);
    int64_t n = hn_shape_count(s).fixed;
    return is_constant(l, v) &&
           (n == 1 || (n == out && s->rank > 0 && s->d[s->rank - 1].fixed == out));
}

static hone_status emit_dense(struct hn_lowering *l, int32_t x, int32_t w_value, int32_t bias_value,
                              struct hn_dense attrs, int32_t *y)
{
    int32_t in[3] = { x, -1, -1 };
    int trans;
    HN_TRY(hn_l_weight(l, w_value, &in[1], &trans));
    attrs.trans_w = attrs.trans_w ^ trans;
    if (bias_value >= 0) HN_TRY(hn_l_value(l, bias_value, &in[2]));
    return hn_l_op(l, &hn_op_dense, &attrs, in, bias_value >= 0 ? 3 : 2, y);
}

static hone_status emit_matmul(struct hn_lowering *l, int32_t a, int32_t b, struct hn_matmul attrs,
                               int32_t *y)
{
    int32_t in[2];
    int trans;
    HN_TRY(hn_l_weight(l, a, &in[0], &trans));
    attrs.trans_a ^= trans;
    HN_TRY(hn_l_weight(l, b, &in[1], &trans));
    attrs.trans_b ^= trans;
    return hn_l_op(l, &hn_op_matmul, &attrs, in, 2, y);
}

/* y + beta * c */
static hone_status add_scaled(struct hn_lowering *l, int32_t c, double beta, int32_t *y)
{
    int32_t x;
    HN_TRY(hn_l_value(l, c, &x));
    if (beta != 1) HN_TRY(hn_l_unary(l, HN_U_AFFINE, beta, 0, x, &x));
    return hn_l_binary(l, HN_B_ADD, *y, x, y);
}

hone_status hn_l_gemm(struct hn_lowering *l, const struct hn_node *n, const struct hn_onnx_attrs *a,
                      int32_t *y)
{
    static const struct hn_transpose swap = { { 1, 0 } };
    int32_t c = n->n_in > 2 && a->beta != 0 ? n->in[2] : -1;
    if (is_constant(l, n->in[1]) && (l->fold || !is_constant(l, n->in[0]))) {
        int64_t out = shape_of(l, n->out[0])->d[1].fixed;
        int32_t bias = c >= 0 && is_bias(l, c, out) ? c : -1;
        HN_TRY(hn_l_value(l, n->in[0], y));
        if (a->trans_a) HN_TRY(hn_l_op(l, &hn_op_transpose, &swap, y, 1, y));
        HN_TRY(emit_dense(l, *y, n->in[1], bias,
                          (struct hn_dense){ a->alpha, a->beta, a->trans_b != 0 }, y));
        if (bias >= 0) c = -1;
    } else {
        struct hn_matmul attrs = { a->alpha, a->trans_a != 0, a->trans_b != 0 };
        HN_TRY(emit_matmul(l, n->in[0], n->in[1], attrs, y));
    }
    return c >= 0 ? add_scaled(l, c, a->beta, y) : HONE_OK;
}

hone_status hn_lower_gemm(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    int32_t y;
    HN_TRY(hn_l_gemm(l, n, a, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* MatMul, and FusedMatMul with a factor and transposes. */
hone_status hn_lower_matmul(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    double alpha = n->row->attrs ? a->alpha : 1;
    int32_t x, w, y;
    int trans;
    if (hn_matmul_weight(l->g, n, &x, &w, &trans)) {
        HN_TRY(hn_l_value(l, x, &y));
        HN_TRY(emit_dense(l, y, w, -1, (struct hn_dense){ alpha, 1, trans }, &y));
    } else {
        struct hn_matmul attrs = { alpha, a->trans_a != 0, a->trans_b != 0 };
        HN_TRY(emit_matmul(l, n->in[0], n->in[1], attrs, &y));
    }
    return hn_l_bind(l, n->out[0], y);
}

/* ---- normalisations, dropout, softmax ---------------------------------------------------------------------------- */

static hone_status state_value(struct hn_lowering *l, int32_t at, int32_t *out)
{
    const struct hn_state *s = &l->g->facts->states[at];
    struct hn_value_ref v = { .kind = HN_STATE,
                              .name = s->name,
                              .shape = { 1, { { 0, s->init->n } } },
                              .index = at,
                              .view_of = -1,
                              .producer = -1 };
    if (!HN_PUSH(l->g->mem, l->values, l->n_values, l->cap_values, v))
        return hn_nomem(l->err, "the program", 0);
    *out = (int32_t)l->n_values - 1;
    return HONE_OK;
}

/* mode 2 (always the batch's statistics) for a node whose mean and variance are computed in the graph, and for training
 * forms in verify; such a node has no running statistics to keep: those it gets here are read by nobody. */
hone_status hn_lower_batchnorm(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    const struct hn_node_fact *f = &l->g->facts->nodes[n - l->g->nodes];
    const struct hn_state *mean = &l->g->facts->states[f->state_at], *var = mean + 1;
    int form = hn_batchnorm_form(n, a);
    int batch_only = mean->computed || (form && l->opts->training_form);
    int frozen = l->opts->freeze_batchnorm || mean->fixed || var->fixed;
    struct hn_batchnorm attrs = { a->epsilon, a->momentum, batch_only ? 2 : frozen,
                                  form && l->opts->training_form };
    int32_t in[5] = { -1, -1, -1, -1, -1 }, y;
    for (int i = 0; i < 3; i++) HN_TRY(hn_l_value(l, n->in[i], &in[i]));
    HN_TRY(state_value(l, f->state_at, &in[3]));
    HN_TRY(state_value(l, f->state_at + 1, &in[4]));
    HN_TRY(hn_l_op(l, &hn_op_batchnorm, &attrs, in, 5, &y));
    return hn_l_bind(l, n->out[0], y);
}

int hn_batchnorm_form(const struct hn_node *n, const struct hn_onnx_attrs *a)
{
    return n->row->kind ? a->training_mode != 0 : n->n_out > 1;
}

hone_status hn_lower_dropout(struct hn_lowering *l, const struct hn_node *n,
                             const struct hn_onnx_attrs *a)
{
    struct hn_dropout attrs = { n->row->kind ? 0.5 : a->ratio,
                                HN_STREAM_DROPOUT + (uint32_t)n->index, 0 };
    int32_t y;
    if (n->n_in > 1) (void)hn_value_scalar(l->g, n->in[1], &attrs.rate);
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_op(l, &hn_op_dropout, &attrs, &y, 1, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_layernorm(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    int rank = shape_of(l, n->in[0])->rank;
    struct hn_layernorm attrs = { a->epsilon, (int)(a->axis < 0 ? -a->axis : rank - a->axis) };
    int32_t in[3] = { -1, -1, -1 }, y;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] >= 0) HN_TRY(hn_l_value(l, n->in[i], &in[i]));
    HN_TRY(hn_l_op(l, &hn_op_layernorm, &attrs, in, 3, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_lower_softmax(struct hn_lowering *l, const struct hn_node *n,
                             const struct hn_onnx_attrs *a)
{
    int rank = shape_of(l, n->in[0])->rank;
    int axis = (int)(a->axis < 0 ? a->axis + rank : a->axis);
    struct hn_softmax attrs = { axis, n->row->kind & 2 ? 1 : rank - axis, n->row->kind & 1 };
    int32_t y;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    HN_TRY(hn_l_op(l, &hn_op_softmax, &attrs, &y, 1, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* ---- patterns ------------------------------------------------------------------------------------------------- */

/* [N, a, b, columns] as [N a b, columns] */
static hone_status as_rows(struct hn_lowering *l, const struct hn_shape *x, int32_t *v)
{
    struct hn_shape lead = *x;
    lead.rank--;
    const struct hn_shape rows = { 2, { hn_shape_count(&lead), x->d[x->rank - 1] } };
    return x->rank == 2 ? HONE_OK : hn_l_view(l, *v, &rows, v);
}

/* Over the last axis. With Keras' own momentum: the file says none. A scale or bias that is not there is 1 or 0. */
static hone_status lower_column_norm(struct hn_lowering *l, const struct hn_node *n,
                                     const struct hn_pattern *p)
{
    const int32_t at = l->g->facts->nodes[n - l->g->nodes].state_at;
    const struct hn_shape *x = shape_of(l, p->in[0]), row = { 1, { x->d[x->rank - 1] } };
    const struct hn_batchnorm attrs = { p->eps, 0.99, l->opts->freeze_batchnorm, 1 };
    int32_t in[5], y;
    HN_TRY(hn_l_value(l, p->in[0], &in[0]));
    HN_TRY(as_rows(l, x, &in[0]));
    for (int i = 1; i < 3; i++) {
        if (p->in[i] >= 0)
            HN_TRY(hn_l_value(l, p->in[i], &in[i]));
        else
            HN_TRY(hn_l_fill(l, &row, i == 1, &in[i]));
    }
    HN_TRY(state_value(l, at, &in[3]));
    HN_TRY(state_value(l, at + 1, &in[4]));
    HN_TRY(hn_l_op(l, &hn_op_batchnorm, &attrs, in, 5, &y));
    if (x->rank > 2) HN_TRY(hn_l_view(l, y, x, &y));
    return hn_l_bind(l, n->out[0], y);
}

hone_status hn_l_pattern(struct hn_lowering *l, const struct hn_node *n, const struct hn_pattern *p)
{
    int32_t in[3] = { -1, -1, -1 }, y;
    if (p->kind == HN_PT_BATCHNORM) return lower_column_norm(l, n, p);
    HN_TRY(hn_l_value(l, p->in[0], &in[0]));
    if (p->kind == HN_PT_UNARY) {
        HN_TRY(hn_l_unary(l, (enum hn_unary_kind)p->unary, 0, 0, in[0], &y));
        return hn_l_finish(l, n, (enum hn_unary_kind)p->unary, y);
    }
    if (p->kind == HN_PT_DENSE) {
        HN_TRY(emit_dense(l, in[0], p->in[1], p->in[2],
                          (struct hn_dense){ p->alpha, 1, p->trans_w }, &y));
        return hn_l_bind(l, n->out[0], y);
    }
    struct hn_layernorm attrs = { p->eps, p->axes };
    struct hn_shape tail = { .rank = p->axes };
    for (int i = 1; i < 3; i++)
        if (p->in[i] >= 0) HN_TRY(hn_l_value(l, p->in[i], &in[i]));
    for (int i = 0; i < p->axes; i++) {
        const struct hn_shape *x = shape_of(l, p->in[0]);
        tail.d[i] = x->d[x->rank - p->axes + i];
    }
    if (in[1] < 0) HN_TRY(hn_l_fill(l, &tail, 1, &in[1]));
    HN_TRY(hn_l_op(l, &hn_op_layernorm, &attrs, in, 3, &y));
    return hn_l_bind(l, n->out[0], y);
}
