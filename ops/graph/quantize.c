/* SPDX-License-Identifier: MIT
 *
 * Quantised models in QDQ form: QuantizeLinear and DequantizeLinear with constant scales and zero points.
 *
 *   DequantizeLinear of an initializer   a weight in quantised form: the value has the initializer for its root, and in `quant` what
 *                                        its whole numbers stand for. Where it is used, the program rounds the parameter as the file
 *                                        would (ops/math/quantize.c), in training, too
 *   Quantize-, DequantizeLinear behind   the same of a weight that is stored in floats
 *     one another, of an initializer
 *   the two on an activation             one rounding; the second is a view where it undoes what the first has done and nobody
 *                                        else reads the whole numbers
 *   one of them alone                    whole numbers, which a program holds as floats: (q - zero) * scale written out
 *
 * Nothing is folded here by lowering: constants are computed as the file's are. Scales that the graph computes (dynamic
 * quantisation) and blocks of scales are refused. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

int hn_is_quantize(const struct hn_node *n) { return n->row && n->row->infer == hn_infer_quantize; }

int hn_is_dequantize(const struct hn_node *n)
{
    return n->row && n->row->infer == hn_infer_dequantize;
}

/* ---- what a node says of its numbers ------------------------------------------------------------------------------ */

static hone_status read_scales(struct hn_infer *c, struct hn_quant *q)
{
    const struct hn_value *scale = hn_in_value(c, 1), *zero = hn_in_value(c, 2);
    if (!scale->constant || (zero && !zero->constant))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s: '%s' is computed at run time (dynamic quantisation)", c->n->type,
                       scale->constant ? zero->name : scale->name);
    q->scale = scale->constant;
    q->zero = zero ? zero->constant : NULL;
    if (!hn_dtype_is_float(scale->dtype))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s: scales of type %s", c->n->type,
                       hn_dtype_name(scale->dtype));
    for (int64_t i = 0; i < q->scale->n; i++) {
        const double s = hn_tensor_f64(q->scale, i);
        if (!(s > 0) || isinf(s))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s: scale %lld is %g, wanted a number above 0", c->n->type,
                           (long long)i, s);
    }
    return HONE_OK;
}

/* One scale, or one for each index of the axis. */
static hone_status read_axis(struct hn_infer *c, struct hn_quant *q)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    const int64_t n = q->scale->n;
    q->axis = 0;
    if (q->zero && q->zero->n != n)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: %lld scales and %lld zero points",
                       c->n->type, (long long)n, (long long)q->zero->n);
    if (n == 1 && q->scale->rank <= 1) return HONE_OK;
    if (c->a->block || q->scale->rank != 1)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s by blocks: wanted one scale, or one for each index of a dimension",
                       c->n->type);
    HN_TRY(hn_axis(c, c->a->axis, x->rank, &q->axis));
    if (!hn_is_fixed(x->d[q->axis], n))
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: %lld scales do not go by dimension %d",
                       c->n->type, (long long)n, q->axis);
    return HONE_OK;
}

static hone_status read_quant(struct hn_infer *c, enum hn_dtype type, const struct hn_quant **out)
{
    const struct hn_value *zero = hn_in_value(c, 2);
    struct hn_quant *q = hn_infer_alloc(c, 1, sizeof *q);
    double low, high;
    *out = q;
    if (!q) return HONE_E_NOMEM;
    q->dtype = type;
    if (!hn_quant_range(type, &low, &high))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s with element type %s, wanted int8, uint8, int16, uint16 or int32",
                       c->n->type, hn_dtype_name(type));
    if (zero && zero->dtype != type)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: '%s' is %s, wanted %s", c->n->type,
                       zero->name, hn_dtype_name(zero->dtype), hn_dtype_name(type));
    HN_TRY(read_scales(c, q));
    return read_axis(c, q);
}

/* ---- constants ------------------------------------------------------------------------------------------------------ */

static hone_status make_constant(struct hn_infer *c, void *data)
{
    struct hn_value *v = &c->g->values[c->n->out[0]];
    const struct hn_tensor *x = hn_in_value(c, 0)->constant;
    struct hn_tensor *t = hn_infer_alloc(c, 1, sizeof *t);
    if (!t) return HONE_E_NOMEM;
    *t = *x;
    t->dtype = v->dtype;
    t->data = data;
    v->constant = t;
    return HONE_OK;
}

/* The output's numbers are those of input 0's root seen through q, whose axis is turned into one of the root's dims. Not known
 * where scales go by a dim of another shape than the root's. */
static hone_status keep_root(struct hn_infer *c, const struct hn_quant *q)
{
    const struct hn_value_fact *x = &c->g->facts->values[c->n->in[0]];
    struct hn_value_fact *y = &c->g->facts->values[c->n->out[0]];
    const struct hn_shape *from = hn_in_shape(c, 0);
    const struct hn_shape *root = x->root >= 0 ? &c->g->values[x->root].shape : NULL;
    if (!root) return HONE_OK;
    struct hn_quant *of_root = hn_infer_alloc(c, 1, sizeof *of_root);
    if (!of_root) return HONE_E_NOMEM;
    *of_root = *q;
    if (q->scale->n > 1) {
        const int turned = x->trans && root->rank == 2;
        if (turned ? from->rank != 2 : !hn_same_shape(from, root)) return HONE_OK;
        if (turned) of_root->axis = 1 - q->axis;
    }
    if (x->quant && !hn_quant_same(x->quant, of_root)) return HONE_OK;
    y->root = x->root, y->trans = x->trans;
    y->quant = x->quant ? x->quant : of_root;
    return HONE_OK;
}

hone_status hn_infer_quantize(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0), *zero = hn_in_value(c, 2);
    enum hn_dtype type = zero                 ? zero->dtype
                         : c->a->output_dtype ? (enum hn_dtype)c->a->output_dtype
                                              : HN_U8;
    const struct hn_quant *q;
    HN_TRY(read_quant(c, type, &q));
    HN_TRY(hn_out(c, 0, type, &x->shape));
    if (!x->constant || c->n->out[0] < 0) return HONE_OK;
    double *wide = hn_infer_alloc(c, (size_t)x->constant->n + 1, sizeof *wide);
    void *data = hn_infer_alloc(c, (size_t)x->constant->n + 1, hn_dtype_size(type));
    if (!wide || !data) return HONE_E_NOMEM;
    hn_convert(wide, HN_F64, x->constant->data, x->dtype, x->constant->n);
    hn_quantize(q, x->constant, wide, HN_F64, data);
    HN_TRY(make_constant(c, data));
    return c->g->facts->values[c->n->in[0]].quant ? HONE_OK : keep_root(c, q);
}

hone_status hn_infer_dequantize(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0), *scale = hn_in_value(c, 1);
    const enum hn_dtype to = c->a->output_dtype ? (enum hn_dtype)c->a->output_dtype : scale->dtype;
    const struct hn_quant *q;
    HN_TRY(read_quant(c, x->dtype, &q));
    HN_TRY(hn_out(c, 0, to, &x->shape));
    if (!x->constant || c->n->out[0] < 0) return HONE_OK;
    void *data = hn_infer_alloc(c, (size_t)x->constant->n + 1, hn_dtype_size(to));
    if (!data) return HONE_E_NOMEM;
    hn_dequantize(q, x->constant, data, to);
    HN_TRY(make_constant(c, data));
    return keep_root(c, q);
}

/* ---- as program ops --------------------------------------------------------------------------------------------------- */

static struct hn_quant quant_of(const struct hn_graph *g, const struct hn_node *n)
{
    const struct hn_onnx_attrs *a = g->facts->nodes[n - g->nodes].attrs;
    const int32_t zero = n->n_in > 2 ? n->in[2] : -1;
    struct hn_quant q = { .dtype = hn_is_quantize(n) ? g->values[n->out[0]].dtype
                                                     : g->values[n->in[0]].dtype,
                          .scale = g->values[n->in[1]].constant,
                          .zero = zero >= 0 ? g->values[zero].constant : NULL,
                          .axis = (int)a->axis };
    if (q.axis < 0) q.axis += g->values[n->in[0]].shape.rank;
    if (q.scale->n == 1) q.axis = 0;
    return q;
}

/* Its scale and attributes were read, and it has an output: others have neither. */
static int is_understood(const struct hn_graph *g, const struct hn_node *n)
{
    return g->facts->nodes[n - g->nodes].state == HN_NODE_OK && n->out[0] >= 0;
}

int hn_quantize_is_undone(const struct hn_graph *g, const struct hn_node *n)
{
    if (!hn_is_quantize(n) || !is_understood(g, n) || g->values[n->out[0]].is_output) return 0;
    const struct hn_quant q = quant_of(g, n);
    const struct hn_facts *f = g->facts;
    for (int32_t i = f->use_first[n->out[0]]; i < f->use_first[n->out[0] + 1]; i++) {
        const struct hn_node *u = f->uses[i].node >= 0 ? &g->nodes[f->uses[i].node] : NULL;
        if (!u || !hn_is_dequantize(u) || f->uses[i].input != 0 || !is_understood(g, u)) return 0;
        const struct hn_quant back = quant_of(g, u);
        if (!hn_quant_same(&q, &back)) return 0;
    }
    return hn_n_uses(g, n->out[0]) > 0;
}

int hn_dequantize_is_view(const struct hn_graph *g, const struct hn_node *n)
{
    if (!hn_is_dequantize(n) || !is_understood(g, n)) return 0;
    const int32_t from = g->values[n->in[0]].producer;
    return from >= 0 && hn_quantize_is_undone(g, &g->nodes[from]);
}

int hn_quantize_is_relu(const struct hn_graph *g, const struct hn_node *n)
{
    if (!hn_is_quantize(n) || !is_understood(g, n)) return 0;
    const struct hn_quant q = quant_of(g, n);
    const struct hn_node *from =
        g->values[n->in[0]].producer >= 0 ? &g->nodes[g->values[n->in[0]].producer] : NULL;
    double low, high;
    if (!from || !from->row || !hn_quant_range(q.dtype, &low, &high)) return 0;
    for (int64_t i = 0; i < q.scale->n; i++)
        if ((q.zero ? hn_tensor_f64(q.zero, i) : 0) != low) return 0;
    return hn_node_is_product(from) || from->row->infer == hn_infer_binary ||
           from->row->infer == hn_infer_batchnorm;
}

int hn_dequantize_is_weight(const struct hn_graph *g, const struct hn_node *n)
{
    if (!hn_is_dequantize(n) || n->out[0] < 0) return 0;
    const struct hn_value_fact *f = &g->facts->values[n->out[0]];
    return f->quant && f->root >= 0 && g->facts->param_of[f->root] >= 0;
}

const char *hn_quantized_why(struct hn_graph *g, const struct hn_node *n)
{
    const int32_t root = g->facts->values[n->out[0]].root;
    const struct hn_quant q = quant_of(g, n);
    const char *stored = hn_dtype_name(g->values[root].dtype), *rounded = hn_dtype_name(q.dtype);
    const char *how = g->facts->params.params[g->facts->param_of[root]].trained
                          ? "it trains in float and is rounded as here"
                          : "it stays as it is";
    const int same = g->values[root].dtype == q.dtype;
    return hn_arena_printf(&g->arena, "a weight in %s%s%s, %lld scale%s: %s", stored,
                           same ? "" : ", rounded to ", same ? "" : rounded, (long long)q.scale->n,
                           q.scale->n > 1 ? "s" : "", how);
}

int32_t hn_graph_quantized(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        if (is_understood(g, n) && hn_dequantize_is_weight(g, n)) return (int32_t)i;
    }
    return -1;
}

static double largest_step(const struct hn_graph *g, const struct hn_node *n)
{
    const struct hn_tensor *scale = quant_of(g, n).scale;
    double most = 0;
    for (int64_t i = 0; i < scale->n; i++) most = fmax(most, hn_tensor_f64(scale, i));
    return most;
}

double hn_graph_step(const struct hn_graph *g, int32_t v)
{
    const int32_t from = g->values[v].producer;
    double most = 0;
    if (from >= 0 && hn_dequantize_is_view(g, &g->nodes[from]))
        return largest_step(g, &g->nodes[from]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        if (!hn_is_quantize(n) || !is_understood(g, n)) continue;
        if (g->facts->values[n->out[0]].from_param) most = fmax(most, largest_step(g, n));
    }
    return most;
}

hone_status hn_l_quantize(struct hn_lowering *l, const struct hn_quant *q, int whole, int32_t x,
                          int32_t *y)
{
    struct hn_quantize attrs = { .axis = q->axis, .whole = whole };
    int32_t in[3] = { x, -1, -1 };
    if (!hn_quant_range(q->dtype, &attrs.low, &attrs.high))
        return hn_fail(l->err, HONE_E_INTERNAL, "Quantize", "a type without a range");
    HN_TRY(hn_l_const(l, q->scale, &in[1]));
    if (q->zero) HN_TRY(hn_l_const(l, q->zero, &in[2]));
    return hn_l_op(l, &hn_op_quantize, &attrs, in, q->zero ? 3 : 2, y);
}

hone_status hn_lower_quantize(struct hn_lowering *l, const struct hn_node *n,
                              const struct hn_onnx_attrs *a)
{
    const struct hn_quant q = quant_of(l->g, n);
    int32_t x;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_quantize(l, &q, !hn_quantize_is_undone(l->g, n), x, &x));
    if (hn_quantize_is_relu(l->g, n)) HN_TRY(hn_l_hidden(l, n, &x));
    return hn_l_bind(l, n->out[0], x);
}

/* Scales or zeros as an operand that broadcasts: along the axis of a value of so many dims. */
static hone_status along_axis(struct hn_lowering *l, const struct hn_tensor *t, int axis, int rank,
                              int32_t *out)
{
    struct hn_tensor as = *t;
    as.rank = t->n == 1 ? 0 : rank - axis;
    for (int i = 0; i < as.rank; i++) as.dims[i] = i == 0 ? t->n : 1;
    return hn_l_const(l, &as, out);
}

hone_status hn_lower_dequantize(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    const struct hn_quant q = quant_of(l->g, n);
    const int rank = l->g->values[n->in[0]].shape.rank;
    int32_t x, by;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (hn_dequantize_is_view(l->g, n)) return hn_l_bind(l, n->out[0], x);
    if (q.zero) {
        HN_TRY(along_axis(l, q.zero, q.axis, rank, &by));
        HN_TRY(hn_l_binary(l, HN_B_SUB, x, by, &x));
    }
    HN_TRY(along_axis(l, q.scale, q.axis, rank, &by));
    HN_TRY(hn_l_binary(l, HN_B_MUL, x, by, &x));
    return hn_l_bind(l, n->out[0], x);
}
