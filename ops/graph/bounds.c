/* SPDX-License-Identifier: MIT
 *
 * Between which numbers a value lies whatever the weights are, by the last activation in front of it: seen through views,
 * Dropout, single numbers that are added or multiplied, and Clip. Nothing is known of anything else. */
#include "ops/graph/output.h"
#include "ops/graph/pattern.h"
#include "ops/graph/rows.h"

#include "ops/math/row.h"
#include <math.h>
#include <string.h>

enum { MOST_NODES = 64 };
static const double infinite = (double)INFINITY;
static const struct hn_bounds unbounded = { -(double)INFINITY, (double)INFINITY, -1 };

/* Least values of SiLU, Mish, GELU and HardSwish, rounded down. */
static double least_of(enum hn_unary_kind kind, const struct hn_onnx_attrs *a)
{
    switch (kind) {
    case HN_U_RELU:
    case HN_U_SIGMOID:
    case HN_U_HARD_SIGMOID:
    case HN_U_SOFTPLUS:
    case HN_U_ABS:
    case HN_U_EXP:
    case HN_U_SQRT:
    case HN_U_ACOS: return 0;
    case HN_U_THRESHOLDED_RELU: return a ? fmin(a->alpha, 0) : -infinite;
    case HN_U_ELU:
    case HN_U_CELU: return a ? -fabs(a->alpha) : -infinite;
    case HN_U_SELU: return a ? -fabs(a->alpha * a->gamma) : -infinite;
    case HN_U_TANH:
    case HN_U_ERF:
    case HN_U_SOFTSIGN:
    case HN_U_SIN:
    case HN_U_COS:
    case HN_U_SIGN: return -1;
    case HN_U_ATAN:
    case HN_U_ASIN: return -1.5707963267948967;
    case HN_U_COSH: return 1;
    case HN_U_SILU: return !a || a->alpha == 1 ? -0.2785 : -infinite;
    case HN_U_GELU:
    case HN_U_GELU_TANH: return -0.1701;
    case HN_U_MISH: return -0.3089;
    case HN_U_HARD_SWISH: return -0.375;
    default: return -infinite;
    }
}

static double most_of(enum hn_unary_kind kind)
{
    switch (kind) {
    case HN_U_SIGMOID:
    case HN_U_HARD_SIGMOID:
    case HN_U_TANH:
    case HN_U_ERF:
    case HN_U_SOFTSIGN:
    case HN_U_SIN:
    case HN_U_COS:
    case HN_U_SIGN: return 1;
    case HN_U_ATAN:
    case HN_U_ASIN: return 1.5707963267948967;
    case HN_U_ACOS: return 3.1415926535897932;
    default: return infinite;
    }
}

static struct hn_bounds of_unary(enum hn_unary_kind kind, const struct hn_onnx_attrs *a,
                                 int32_t node)
{
    const struct hn_bounds r = { least_of(kind, a), most_of(kind), node };
    return isinf(r.lo) && isinf(r.hi) ? unbounded : r;
}

/* factor r + offset */
static struct hn_bounds affine(struct hn_bounds r, double factor, double offset)
{
    const double a = factor * r.lo + offset, b = factor * r.hi + offset;
    if (r.node < 0 || factor == 0 || isnan(a) || isnan(b)) return unbounded;
    return (struct hn_bounds){ fmin(a, b), fmax(a, b), r.node };
}

static struct hn_bounds clipped(struct hn_bounds r, double lo, double hi, int32_t node)
{
    if (!(lo > r.lo) && !(hi < r.hi)) return r;
    return (struct hn_bounds){ fmin(fmax(r.lo, lo), hi), fmax(fmin(r.hi, hi), lo), node };
}

static struct hn_bounds range_of(const struct hn_graph *g, int32_t v, int left);

static struct hn_bounds of_clip(const struct hn_graph *g, int32_t at, int left)
{
    const struct hn_node *n = &g->nodes[at];
    const struct hn_onnx_attrs *a = g->facts->nodes[at].attrs;
    double lo = n->row->attrs && a ? a->lo : -infinite, hi = n->row->attrs && a ? a->hi : infinite;
    if (n->n_in > 1 && n->in[1] >= 0 && !hn_value_scalar(g, n->in[1], &lo)) return unbounded;
    if (n->n_in > 2 && n->in[2] >= 0 && !hn_value_scalar(g, n->in[2], &hi)) return unbounded;
    return clipped(range_of(g, n->in[0], left), lo, hi, at);
}

static struct hn_bounds of_power(struct hn_bounds r, double c, int32_t at)
{
    if (c == 1) return r;
    return c != 0 && fmod(c, 2) != 1 && fmod(c, 2) != -1 ? (struct hn_bounds){ 0, infinite, at }
                                                         : unbounded;
}

static struct hn_bounds of_binary(const struct hn_graph *g, int32_t at, int left)
{
    const struct hn_node *n = &g->nodes[at];
    double c;
    if (n->n_in != 2) return unbounded;
    if (n->row->kind == HN_B_MUL && n->in[0] == n->in[1])
        return (struct hn_bounds){ 0, infinite, at };
    const int k = hn_value_scalar(g, n->in[1], &c) ? 1 : 0;
    if (!k && !hn_value_scalar(g, n->in[0], &c)) return unbounded;
    const struct hn_bounds r = range_of(g, n->in[1 - k], left);
    switch ((enum hn_binary_kind)n->row->kind) {
    case HN_B_ADD: return affine(r, 1, c);
    case HN_B_SUB: return k ? affine(r, 1, -c) : affine(r, -1, c);
    case HN_B_MUL: return affine(r, c, 0);
    case HN_B_DIV: return k && c != 0 ? affine(r, 1 / c, 0) : unbounded;
    case HN_B_MAX: return clipped(r, c, infinite, at);
    case HN_B_MIN: return clipped(r, -infinite, c, at);
    case HN_B_POW: return k ? of_power(r, c, at) : unbounded;
    default: return unbounded;
    }
}

static struct hn_bounds range_of(const struct hn_graph *g, int32_t v, int left)
{
    const int32_t at = v >= 0 ? g->values[v].producer : -1;
    const struct hn_node_fact *f = at >= 0 ? &g->facts->nodes[at] : NULL;
    struct hn_onnx_attrs of;
    if (!f || left <= 0 || f->state != HN_NODE_OK) return unbounded;
    const struct hn_node *n = &g->nodes[at];
    if (f->pattern)
        return f->pattern->kind == HN_PT_UNARY
                   ? of_unary((enum hn_unary_kind)f->pattern->unary, NULL, at)
                   : unbounded;
    if (!n->row || v != n->out[0]) return unbounded;
    if ((n->row->flags & HN_ROW_VIEW) || n->row->infer == hn_infer_dropout)
        return range_of(g, n->in[0], left - 1);
    if (n->row->infer == hn_infer_unary && n->row->kind == HN_U_NEG)
        return affine(range_of(g, n->in[0], left - 1), -1, 0);
    if (n->row->infer == hn_infer_unary)
        return of_unary((enum hn_unary_kind)n->row->kind, f->attrs, at);
    if (n->row->infer == hn_infer_bias_gelu)
        return of_unary((enum hn_unary_kind)n->row->kind, NULL, at);
    if (n->row->infer == hn_infer_clip) return of_clip(g, at, left - 1);
    if (n->row->infer == hn_infer_binary) return of_binary(g, at, left - 1);
    if (n->row->infer != hn_infer_fused_gemm) return unbounded;
    const struct hn_onnx_row *row = hn_fused_activation(n, f->attrs, &of);
    return row ? of_unary((enum hn_unary_kind)row->kind, &of, at) : unbounded;
}

struct hn_bounds hn_graph_bounds(const struct hn_graph *g, int32_t v)
{
    return range_of(g, v, MOST_NODES);
}
