/* SPDX-License-Identifier: MIT
 *
 * Finding patterns. Each matcher starts at the node that would end the pattern and walks back through values that have
 * one consumer and are no graph output. Constants are compared as the float32 the exporters write. */
#include "ops/graph/pattern.h"
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

/* Node of that type whose first output is v, or NULL. */
static const struct hn_node *made_by(const struct hn_graph *g, int32_t v, const char *type)
{
    if (v < 0 || g->values[v].producer < 0) return NULL;
    const struct hn_node *n = &g->nodes[g->values[v].producer];
    const struct hn_node_fact *f = &g->facts->nodes[g->values[v].producer];
    int fits = n->row && f->state == HN_NODE_OK && f->owner < 0 &&
               hn_is_default_domain(n->domain) && strcmp(n->type, type) == 0 && n->out[0] == v;
    return fits ? n : NULL;
}

/* The same, and nobody else sees v. */
static const struct hn_node *inner(const struct hn_graph *g, int32_t v, const char *type)
{
    return v >= 0 && g->values[v].n_uses == 1 && !g->values[v].is_output ? made_by(g, v, type)
                                                                         : NULL;
}

static int scalar_is(const struct hn_graph *g, int32_t v, double want)
{
    double x;
    return hn_value_scalar(g, v, &x) && fabs(x - want) <= 1e-6 * fabs(want);
}

/* A commutative node with the number c as one operand: the other operand, or -1. */
static int32_t beside_scalar(const struct hn_graph *g, const struct hn_node *n, double c)
{
    if (!n || n->n_in != 2) return -1;
    if (scalar_is(g, n->in[1], c)) return n->in[0];
    return scalar_is(g, n->in[0], c) ? n->in[1] : -1;
}

static int32_t beside(const struct hn_node *n, int32_t v)
{
    if (!n || n->n_in != 2) return -1;
    return n->in[0] == v ? n->in[1] : n->in[1] == v ? n->in[0] : -1;
}

static void add_inner(const struct hn_graph *g, struct hn_pattern *p, const struct hn_node *n)
{
    p->inner[p->n_inner++] = (int32_t)(n - g->nodes);
}

/* x * y for n a Mul: y made by `type`; 1 and *x, *made when so. */
static const struct hn_node *factor(const struct hn_graph *g, const struct hn_node *n,
                                    const char *type, int32_t *x)
{
    for (int k = 0; k < 2 && n->n_in == 2; k++) {
        const struct hn_node *m = inner(g, n->in[k], type);
        *x = n->in[1 - k];
        if (m) return m;
    }
    return NULL;
}

static int unary(struct hn_pattern *p, enum hn_unary_kind kind, const char *name, int32_t x)
{
    p->kind = HN_PT_UNARY, p->unary = kind, p->name = name;
    p->in[0] = x;
    return 1;
}

/* x * sigmoid(x); x * tanh(softplus(x)) */
static int match_silu_mish(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    int32_t x;
    const struct hn_node *s = factor(g, n, "Sigmoid", &x);
    if (s && s->in[0] == x) {
        add_inner(g, p, s);
        return unary(p, HN_U_SILU, "SiLU", x);
    }
    const struct hn_node *t = factor(g, n, "Tanh", &x),
                         *sp = t ? inner(g, t->in[0], "Softplus") : NULL;
    if (!sp || sp->in[0] != x) return 0;
    add_inner(g, p, t);
    add_inner(g, p, sp);
    return unary(p, HN_U_MISH, "Mish", x);
}

/* 1 + erf(x / sqrt 2), or * 0.7071…: the Add node; fills in x and the nodes inside. */
static int match_erf_sum(const struct hn_graph *g, const struct hn_node *add, struct hn_pattern *p,
                         int32_t *x)
{
    int32_t v = beside_scalar(g, add, 1);
    const struct hn_node *erf = inner(g, v, "Erf"), *div = erf ? inner(g, erf->in[0], "Div") : NULL;
    const struct hn_node *mul = erf && !div ? inner(g, erf->in[0], "Mul") : NULL;
    if (div && scalar_is(g, div->in[1], 1.4142135623730951))
        *x = div->in[0];
    else if (!mul || (*x = beside_scalar(g, mul, 0.70710678118654752)) < 0)
        return 0;
    add_inner(g, p, add);
    add_inner(g, p, erf);
    add_inner(g, p, div ? div : mul);
    return 1;
}

/* x^3 as x * (x * x) or Pow(x, 3). */
static int match_cube(const struct hn_graph *g, int32_t v, int32_t x, struct hn_pattern *p)
{
    const struct hn_node *pow = inner(g, v, "Pow"), *mul = inner(g, v, "Mul");
    if (pow && pow->in[0] == x && scalar_is(g, pow->in[1], 3)) {
        add_inner(g, p, pow);
        return 1;
    }
    const struct hn_node *square = inner(g, beside(mul, x), "Mul");
    if (!square || square->in[0] != x || square->in[1] != x) return 0;
    add_inner(g, p, mul);
    add_inner(g, p, square);
    return 1;
}

/* 1 + tanh(0.7978845608 * (x + 0.044715 x^3)): as match_erf_sum. x is known from outside. */
static int match_tanh_sum(const struct hn_graph *g, const struct hn_node *add, struct hn_pattern *p,
                          int32_t x)
{
    const struct hn_node *tanh_node = inner(g, beside_scalar(g, add, 1), "Tanh");
    const struct hn_node *scale = tanh_node ? inner(g, tanh_node->in[0], "Mul") : NULL;
    const struct hn_node *sum = inner(g, beside_scalar(g, scale, 0.79788456080286535588), "Add");
    const struct hn_node *small = inner(g, beside(sum, x), "Mul");
    if (!small || !match_cube(g, beside_scalar(g, small, 0.044715), x, p)) return 0;
    add_inner(g, p, add);
    add_inner(g, p, tanh_node);
    add_inner(g, p, scale);
    add_inner(g, p, sum);
    add_inner(g, p, small);
    return 1;
}

/* a * b where b is the sum of one of the two forms and a is x: *x. */
static int match_gelu_core(const struct hn_graph *g, int32_t a, int32_t b, struct hn_pattern *p,
                           int32_t x, enum hn_unary_kind *kind)
{
    const struct hn_node *add = inner(g, b, "Add");
    int32_t seen = -1;
    (void)a;
    if (!add) return 0;
    if (match_erf_sum(g, add, p, &seen) && seen == x) return *kind = HN_U_GELU, 1;
    p->n_inner = seen >= 0 ? 0 : p->n_inner;
    if (match_tanh_sum(g, add, p, x)) return *kind = HN_U_GELU_TANH, 1;
    return 0;
}

/* Half of x times the sum, in any association: (x * s) * 0.5, (0.5 * s) * x, (0.5 * x) * s. */
static int match_gelu(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    enum hn_unary_kind kind;
    for (int k = 0; k < 2 && n->n_in == 2; k++) {
        int32_t a = n->in[k], b = n->in[1 - k];
        const struct hn_node *m = inner(g, a, "Mul");
        struct hn_pattern fresh = *p;
        if (!m) continue;
        for (int i = 0; i < 2 && scalar_is(g, b, 0.5); i++) { /* n: m * 0.5, m: x * s */
            *p = fresh;
            if (match_gelu_core(g, m->in[i], m->in[1 - i], p, m->in[i], &kind)) {
                add_inner(g, p, m);
                return unary(p, kind, "Gelu", m->in[i]);
            }
        }
        *p = fresh;
        int32_t s = beside_scalar(g, m, 0.5);
        if (s >= 0 && match_gelu_core(g, b, s, p, b, &kind)) { /* n: m * x, m: 0.5 * s */
            add_inner(g, p, m);
            return unary(p, kind, "Gelu", b);
        }
        *p = fresh;
        if (s >= 0 && match_gelu_core(g, s, b, p, s, &kind)) { /* n: m * s, m: 0.5 * x */
            add_inner(g, p, m);
            return unary(p, kind, "Gelu", s);
        }
        *p = fresh;
    }
    return 0;
}

/* Where(x > threshold, x, softplus(x)): PyTorch's guard; the stable form needs none. */
static int match_softplus(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    const struct hn_node *big = inner(g, n->in[0], "Greater"),
                         *soft = inner(g, n->in[2], "Softplus");
    int32_t x = n->in[1];
    double threshold;
    if (!big || !soft || soft->in[0] != x || big->in[0] != x ||
        !hn_value_scalar(g, big->in[1], &threshold) || threshold < 15)
        return 0;
    add_inner(g, p, big);
    add_inner(g, p, soft);
    return unary(p, HN_U_SOFTPLUS, "Softplus", x);
}

/* v in front of Casts from a float type to itself that nobody else sees; they become inner ones. */
static int32_t before_casts(const struct hn_graph *g, int32_t v, struct hn_pattern *p)
{
    const struct hn_node *cast;
    while (p->n_inner < 4 && (cast = inner(g, v, "Cast")) &&
           g->values[cast->in[0]].dtype == g->values[v].dtype) {
        add_inner(g, p, cast);
        v = cast->in[0];
    }
    return v;
}

/* A MatMul or FusedMatMul that makes v for one consumer, and its factor. */
static const struct hn_node *inner_matmul(const struct hn_graph *g, int32_t v, double *alpha)
{
    const struct hn_node *n = inner(g, v, "MatMul");
    *alpha = 1;
    if (n || v < 0 || g->values[v].producer < 0) return n;
    n = &g->nodes[g->values[v].producer];
    const struct hn_node_fact *f = &g->facts->nodes[g->values[v].producer];
    if (!n->row || n->row->infer != hn_infer_matmul || f->state != HN_NODE_OK || f->owner >= 0)
        return NULL;
    *alpha = f->attrs->alpha;
    return g->values[v].n_uses == 1 && !g->values[v].is_output ? n : NULL;
}

/* x W, by a MatMul or by a Gemm that adds nothing, whose result nobody else sees: x and W in p->in. */
static const struct hn_node *inner_product(const struct hn_graph *g, int32_t v,
                                           struct hn_pattern *p)
{
    const struct hn_node *n = inner_matmul(g, v, &p->alpha);
    if (n) return hn_matmul_weight(g, n, &p->in[0], &p->in[1], &p->trans_w) ? n : NULL;
    if (!(n = inner(g, v, "Gemm"))) return NULL;
    const struct hn_onnx_attrs *a = g->facts->nodes[n - g->nodes].attrs;
    if (a->trans_a || (n->n_in > 2 && n->in[2] >= 0 && a->beta != 0) ||
        !g->values[n->in[1]].constant || g->values[n->in[0]].constant)
        return NULL;
    p->in[0] = n->in[0], p->in[1] = n->in[1];
    p->alpha = a->alpha, p->trans_w = a->trans_b != 0;
    return n;
}

/* x W + b, either order; b is [n] or [1,…,n]. */
static int match_dense(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    for (int k = 0; k < 2 && n->n_in == 2; k++) {
        p->n_inner = 0;
        const struct hn_node *mm = inner_product(g, before_casts(g, n->in[k], p), p);
        const struct hn_value *b = &g->values[n->in[1 - k]];
        if (!mm || !b->constant) continue;
        int64_t out = g->values[p->in[1]].shape.d[p->trans_w ? 0 : 1].fixed;
        if (b->shape.rank < 1 || b->constant->n != out ||
            b->shape.d[b->shape.rank - 1].fixed != out ||
            !hn_same_shape(&g->values[n->out[0]].shape, &g->values[n->in[k]].shape))
            continue;
        p->kind = HN_PT_DENSE, p->name = "Dense";
        p->in[2] = n->in[1 - k];
        add_inner(g, p, mm);
        return 1;
    }
    return 0;
}

/* ---- layer normalisation: (x - mean) / sqrt(mean((x - mean)^2) + eps) [* scale] [+ bias] ------------------------------ */

/* How many trailing dims a ReduceMean that keeps them is over; 0: another form. */
static int trailing_mean(const struct hn_graph *g, const struct hn_node *n)
{
    const struct hn_onnx_attrs *a = g->facts->nodes[n - g->nodes].attrs;
    int rank = g->values[n->in[0]].shape.rank;
    int64_t count = n->n_in > 1 && n->in[1] >= 0 ? hn_int_count(g, n->in[1]) : (int64_t)a->axes.n;
    uint32_t mask = 0;
    for (int64_t i = 0; i < count; i++) {
        struct hn_dim d = { 0, 0 };
        if (n->n_in > 1)
            (void)hn_int_at(g, n->in[1], i, &d);
        else
            d.fixed = a->axes.i[i];
        mask |= 1u << (d.fixed < 0 ? d.fixed + rank : d.fixed);
    }
    for (int k = 1; k < rank && a->keepdims; k++)
        if (mask == (((1u << k) - 1) << (rank - k))) return k;
    return 0;
}

/* The plain form, ended by its Div. */
static int match_normalised(const struct hn_graph *g, const struct hn_node *div,
                            struct hn_pattern *p)
{
    const struct hn_node *root = inner(g, div->in[1], "Sqrt"),
                         *eps = root ? inner(g, root->in[0], "Add") : NULL;
    const struct hn_node *sub = made_by(g, div->in[0], "Sub"),
                         *mean = sub ? inner(g, sub->in[1], "ReduceMean") : NULL;
    if (!eps || !mean || g->values[div->in[0]].is_output || mean->in[0] != sub->in[0]) return 0;
    const struct hn_node *var = NULL;
    for (int k = 0; k < 2 && !var; k++)
        if (hn_value_scalar(g, eps->in[1 - k], &p->eps)) var = inner(g, eps->in[k], "ReduceMean");
    const struct hn_node *pow = var ? inner(g, var->in[0], "Pow") : NULL,
                         *mul = var ? inner(g, var->in[0], "Mul") : NULL;
    int square = (pow && pow->in[0] == div->in[0] && scalar_is(g, pow->in[1], 2)) ||
                 (mul && mul->in[0] == div->in[0] && mul->in[1] == div->in[0]);
    int uses = mul ? 3 : 2;
    if (!square || hn_n_uses(g, div->in[0]) != uses || !(p->eps >= 0)) return 0;
    p->axes = trailing_mean(g, mean);
    if (!p->axes || trailing_mean(g, var) != p->axes) return 0;
    const struct hn_node *all[] = { root, eps, sub, mean, var, pow ? pow : mul };
    for (int i = 0; i < 6; i++) add_inner(g, p, all[i]);
    p->kind = HN_PT_LAYERNORM, p->name = "LayerNormalization";
    p->in[0] = sub->in[0];
    return 1;
}

/* Is v a constant with one number for each element of the trailing dims of x? */
static int spans_tail(const struct hn_graph *g, int32_t v, int32_t x, int axes)
{
    const struct hn_shape *s = &g->values[x].shape, *c = &g->values[v].shape;
    if (!g->values[v].constant || c->rank < axes) return 0;
    for (int i = 0; i < c->rank; i++) {
        struct hn_dim want = i < axes ? s->d[s->rank - 1 - i] : (struct hn_dim){ 0, 1 };
        if (!hn_same_dim(c->d[c->rank - 1 - i], want)) return 0;
    }
    return 1;
}

/* …* scale and …* scale + bias: the Mul or Add that ends it. */
static int match_layernorm(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    if (strcmp(n->type, "Div") == 0) return match_normalised(g, n, p);
    int add = strcmp(n->type, "Add") == 0;
    for (int k = 0; k < 2 && n->n_in == 2; k++) {
        struct hn_pattern q = *p;
        const struct hn_node *before = inner(g, n->in[k], add ? "Mul" : "Div");
        if (!before || !(add ? match_layernorm(g, before, &q) : match_normalised(g, before, &q)))
            continue;
        if (!spans_tail(g, n->in[1 - k], q.in[0], q.axes) || (add && q.in[1] < 0)) continue;
        q.in[add ? 2 : 1] = n->in[1 - k];
        add_inner(g, &q, before);
        *p = q;
        return 1;
    }
    return 0;
}

/* TensorFlow's form: k = scale / sqrt(var + eps), x k + (-mean k [+ bias]). k is in[i] of the Mul `a`. */
static int match_by_factor(const struct hn_graph *g, const struct hn_node *a, int i,
                           const struct hn_node *b, struct hn_pattern *p)
{
    const int32_t k = a->in[i], x = a->in[1 - i];
    const struct hn_node *neg = inner(g, beside(b, k), "Neg"), *by = made_by(g, k, "Mul");
    const struct hn_node *mean = neg ? made_by(g, neg->in[0], "ReduceMean") : NULL, *turn = NULL;
    for (int j = 0; j < 2 && by && !turn; j++) {
        turn = inner(g, by->in[j], "Reciprocal");
        p->in[1] = by->in[1 - j];
    }
    const struct hn_node *root = turn ? inner(g, turn->in[0], "Sqrt") : NULL,
                         *eps = root ? inner(g, root->in[0], "Add") : NULL, *var = NULL;
    if (!mean || !eps || mean->in[0] != x || hn_n_uses(g, k) != 2 ||
        hn_n_uses(g, mean->out[0]) != 2)
        return 0;
    for (int j = 0; j < 2 && !var; j++)
        if (hn_value_scalar(g, eps->in[1 - j], &p->eps)) var = inner(g, eps->in[j], "ReduceMean");
    const struct hn_node *square = var ? inner(g, var->in[0], "Mul") : NULL,
                         *sub = square ? made_by(g, square->in[0], "Sub") : NULL;
    if (!sub || square->in[1] != square->in[0] || hn_n_uses(g, square->in[0]) != 2 ||
        sub->in[0] != x || sub->in[1] != mean->out[0] || !(p->eps >= 0))
        return 0;
    p->axes = trailing_mean(g, mean);
    if (!p->axes || trailing_mean(g, var) != p->axes || !spans_tail(g, p->in[1], x, p->axes))
        return 0;
    const struct hn_node *all[] = { a, b, neg, by, mean, turn, root, eps, var, square, sub };
    p->n_inner = 0;
    for (int j = 0; j < 11; j++) add_inner(g, p, all[j]);
    p->kind = HN_PT_LAYERNORM, p->name = "LayerNormalization";
    p->in[0] = x;
    return 1;
}

static int match_factored(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    for (int j = 0; j < 2 && n->n_in == 2; j++) {
        const struct hn_node *a = inner(g, n->in[j], "Mul"), *b = inner(g, n->in[1 - j], "Mul"),
                             *sum = inner(g, n->in[1 - j], "Add");
        int32_t bias = -1;
        for (int k = 0; k < 2 && sum && !b; k++)
            b = inner(g, sum->in[k], "Mul"), bias = sum->in[1 - k];
        for (int i = 0; i < 2 && a && b; i++) {
            if (!match_by_factor(g, a, i, b, p)) continue;
            if (sum && !spans_tail(g, bias, p->in[0], p->axes)) return 0;
            if (sum) p->in[2] = bias, add_inner(g, p, sum);
            return 1;
        }
    }
    return 0;
}

/* ---- batch normalisation of constants: Keras' with JAX ---------------------------------------------------------------- */

/* Input k of the node is one number a column, a whole tensor of the file's of rank 1 that nothing else uses. */
static int is_column_tensor(const struct hn_graph *g, const struct hn_node *n, int k, int64_t width)
{
    const struct hn_value_fact *f = &g->facts->values[n->in[k]];
    const struct hn_value *root = f->root >= 0 ? &g->values[f->root] : NULL;
    const struct hn_shape *s = &g->values[n->in[k]].shape;
    return root && !f->quant && root->constant && root->constant->rank == 1 && root->n_uses == 1 &&
           !root->is_output && hn_dtype_is_float(root->dtype) && root->constant->n == width &&
           g->values[n->in[k]].n_uses == 1 && s->d[s->rank - 1].fixed == width;
}

/* One of the two inputs is a column tensor: *rest is the other. */
static int column_beside(const struct hn_graph *g, const struct hn_node *n, int64_t width,
                         struct hn_consumer *at, int32_t *rest)
{
    for (int k = 0; k < 2; k++) {
        if (!is_column_tensor(g, n, k, width)) continue;
        *at = (struct hn_consumer){ (int32_t)(n - g->nodes), k };
        *rest = n->in[1 - k];
        return 1;
    }
    return 0;
}

/* 1 / sqrt(var + eps) */
static int match_inverse_deviation(const struct hn_graph *g, int32_t v, int64_t width,
                                   struct hn_pattern *p)
{
    const struct hn_node *turn = made_by(g, v, "Reciprocal"), *div = made_by(g, v, "Div");
    if (!turn && (!div || !scalar_is(g, div->in[0], 1))) return 0;
    const struct hn_node *root = inner(g, turn ? turn->in[0] : div->in[1], "Sqrt"),
                         *eps = root ? inner(g, root->in[0], "Add") : NULL;
    int32_t number;
    if (!eps || !column_beside(g, eps, width, &p->reads[3], &number) ||
        !hn_value_scalar(g, number, &p->eps) || !(p->eps >= 0))
        return 0;
    add_inner(g, p, turn ? turn : div);
    add_inner(g, p, root);
    add_inner(g, p, eps);
    return 1;
}

/* scale / sqrt(var + eps), or without a scale; with two uses */
static int match_column_factor(const struct hn_graph *g, int32_t k, int64_t width,
                               struct hn_pattern *p)
{
    const struct hn_node *by = made_by(g, k, "Mul");
    int32_t deviation;
    if (g->values[k].n_uses != 2 || g->values[k].is_output) return 0;
    if (!by) return match_inverse_deviation(g, k, width, p);
    if (!column_beside(g, by, width, &p->reads[0], &deviation) ||
        g->values[deviation].n_uses != 1 || !match_inverse_deviation(g, deviation, width, p))
        return 0;
    p->in[1] = g->facts->values[by->in[p->reads[0].input]].root;
    add_inner(g, p, by);
    return 1;
}

/* bias - mean k, or without a bias */
static int match_column_shift(const struct hn_graph *g, int32_t v, int32_t k, int64_t width,
                              struct hn_pattern *p)
{
    const struct hn_node *sum = inner(g, v, "Add");
    int32_t product = v;
    if (sum && !column_beside(g, sum, width, &p->reads[1], &product)) return 0;
    if (sum) p->in[2] = g->facts->values[sum->in[p->reads[1].input]].root, add_inner(g, p, sum);
    const struct hn_node *mul = inner(g, product, "Mul"), *neg = inner(g, beside(mul, k), "Neg");
    if (!neg || !is_column_tensor(g, neg, 0, width)) return 0;
    p->reads[2] = (struct hn_consumer){ (int32_t)(neg - g->nodes), 0 };
    add_inner(g, p, mul);
    add_inner(g, p, neg);
    return 1;
}

static int is_declared_parameter(const struct hn_graph *g, struct hn_consumer at)
{
    return g->values[g->facts->values[g->nodes[at.node].in[at.input]].root].hint ==
           HN_HINT_PARAMETER;
}

static int match_batchnorm(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    const struct hn_shape *y = &g->values[n->out[0]].shape;
    const struct hn_dim *width = y->rank > 1 ? &y->d[y->rank - 1] : NULL;
    for (int j = 0; j < 2 && n->n_in == 2 && width && !width->per_row; j++) {
        const struct hn_node *mul = inner(g, n->in[j], "Mul");
        for (int i = 0; i < 2 && mul && mul->n_in == 2; i++) {
            const int32_t x = mul->in[1 - i], k = mul->in[i];
            *p = (struct hn_pattern){ .in = { x, -1, -1 } };
            for (int r = 0; r < 4; r++) p->reads[r].node = -1;
            if (!g->values[k].constant || g->values[x].constant ||
                !hn_same_shape(&g->values[x].shape, y) ||
                !match_column_factor(g, k, width->fixed, p) ||
                !match_column_shift(g, n->in[1 - j], k, width->fixed, p))
                continue;
            if (is_declared_parameter(g, p->reads[2]) || is_declared_parameter(g, p->reads[3]))
                return 0;
            add_inner(g, p, mul);
            p->kind = HN_PT_BATCHNORM, p->name = "BatchNormalization";
            return 1;
        }
    }
    return 0;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static int match(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p)
{
    static const struct {
        const char *type;
        int (*match)(const struct hn_graph *g, const struct hn_node *n, struct hn_pattern *p);
    } table[] = { { "Add", match_dense },     { "Mul", match_silu_mish },
                  { "Mul", match_gelu },      { "Where", match_softplus },
                  { "Add", match_layernorm }, { "Mul", match_layernorm },
                  { "Div", match_layernorm }, { "Add", match_factored },
                  { "Add", match_batchnorm } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        *p = (struct hn_pattern){ .in = { -1, -1, -1 } };
        if (strcmp(n->type, table[i].type) == 0 && table[i].match(g, n, p)) return 1;
    }
    return 0;
}

/* Backwards, so that the longest form is found from its end. */
hone_status hn_graph_patterns(struct hn_graph *g, hone_error *err)
{
    for (size_t i = g->n_nodes; i-- > 0;) {
        int32_t at = g->order[i];
        const struct hn_node *n = &g->nodes[at];
        struct hn_node_fact *f = &g->facts->nodes[at];
        struct hn_pattern p;
        if (!f->live || f->state != HN_NODE_OK || f->owner >= 0 || n->n_out != 1 ||
            g->values[n->out[0]].constant || !hn_dtype_is_float(g->values[n->out[0]].dtype) ||
            !hn_is_default_domain(n->domain) || !match(g, n, &p))
            continue;
        struct hn_pattern *kept = hn_arena_alloc(&g->arena, 1, sizeof *kept);
        if (!kept) return hn_nomem(err, "the patterns", sizeof *kept);
        *kept = p;
        f->pattern = kept;
        f->owner = at;
        for (int k = 0; k < p.n_inner; k++) {
            g->facts->nodes[p.inner[k]].absorbed = 1;
            g->facts->nodes[p.inner[k]].owner = at;
        }
    }
    return HONE_OK;
}
