/* SPDX-License-Identifier: MIT
 *
 * Dense and MatMul as nodes. Dense is one product forward and two backward; with one slot they go to the library, which adds the
 * bias, applies a ReLU that follows in place and sums the bias gradient where it can; else to the native kernel.
 *     y = alpha x w + beta b      dx = alpha dy w'      dw = alpha x' dy      db = beta sum_r dy */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

struct dense { /* of one step */
    const struct hn_dense *a;
    struct hn_k_dim rows;
    int64_t in, out;
    struct hn_k_ref x, w, b, y; /* backward: y is dy */
    int has_bias, one_bias;
};

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_gpu_node));
}

static struct dense dense_of(const struct hn_gpu_build *b)
{
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]), *w = hn_gpu_shape(b, b->op->in[1]);
    struct dense d = { .a = b->op->attrs, .rows = hn_gpu_span(x, 0, x->rank - 1) };
    d.in = w->d[d.a->trans_w ? 1 : 0].fixed, d.out = w->d[d.a->trans_w ? 0 : 1].fixed;
    d.x = hn_gpu_ref(b, b->s->x[0]), d.w = hn_gpu_ref(b, b->s->x[1]);
    d.y = hn_gpu_ref(b, b->s->backward ? b->s->dy[0] : b->s->y[0]);
    d.has_bias = b->op->n_in > 2 && b->op->in[2] >= 0;
    if (d.has_bias) {
        d.b = hn_gpu_ref(b, b->s->x[2]);
        d.one_bias = hn_shape_count(hn_gpu_shape(b, b->op->in[2])).fixed != d.out;
    }
    return d;
}

/* Native: strides of both operands; blocks are tiles of the result. */
static hone_status native(struct hn_gpu_build *b, const struct hn_k_gemm *k)
{
    struct hn_gpu_node *n = hn_gpu_add(b, HN_KN_gemm, k, sizeof *k, k->m, HN_K_TILE);
    if (!n) return no_memory(b);
    n->y = k->n, n->per_y = HN_K_TILE;
    return HONE_OK;
}

/* Behind a product comes the kernel for where the library cannot (behind one with sums the caller's, for the sums alone). */
static hone_status library(struct hn_gpu_build *b, const struct hn_k_gemm *k,
                           const struct hn_gpu_gemm *g)
{
    int at = b->e->n_nodes;
    if (!hn_gpu_library(b, HN_GPU_GEMM)) return no_memory(b);
    if (!g->sums) {
        HN_TRY(native(b, k));
        b->e->nodes[at + 1].stage = HN_GPU_INSTEAD;
    }
    struct hn_gpu_node *n = &b->e->nodes[at];
    n->m = k->m, n->n = k->n, n->k = k->k;
    n->a = k->a, n->b = k->b, n->c = k->c, n->bias = k->bias;
    n->gemm = *g;
    n->gemm.acc = k->acc, n->gemm.relu = k->relu, n->gemm.alpha = k->alpha;
    n->gemm.elem = b->e->dev->elem, n->gemm.math = b->e->dev->o.math;
    return HONE_OK;
}

static hone_status forward(struct hn_gpu_build *b, const struct dense *d)
{
    struct hn_k_gemm k = { .a = d->x,
                           .b = d->w,
                           .c = d->y,
                           .bias = d->b,
                           .m = d->rows,
                           .alpha = d->a->alpha,
                           .beta = d->a->beta };
    k.n = hn_gpu_fixed(d->out), k.k = hn_gpu_fixed(d->in);
    k.ai = d->in, k.ak = 1, k.cn = d->out, k.one_bias = d->one_bias;
    k.bk = d->a->trans_w ? 1 : d->out, k.bj = d->a->trans_w ? d->in : 1;
    k.relu = b->fused = hn_gpu_relu_follows(b);
    int simple = !d->has_bias || (d->a->beta == 1 && !d->one_bias);
    if (!b->e->library || !simple) return native(b, &k);
    struct hn_gpu_gemm g = { .trans_b = d->a->trans_w, .bias = d->has_bias };
    return library(b, &k, &g);
}

static hone_status bias_gradient(struct hn_gpu_build *b, const struct dense *d)
{
    struct hn_k_colsum s = { .x = d->y,
                             .d = hn_gpu_ref(b, b->s->dx[2]),
                             .rows = d->rows,
                             .cols = d->out,
                             .acc = hn_gpu_acc(b, 2) };
    s.one = d->one_bias, s.scale = d->a->beta;
    struct hn_k_dim x = hn_gpu_fixed(d->one_bias ? 1 : d->out);
    return hn_gpu_add(b, HN_KN_colsum, &s, sizeof s, x, HN_BLOCK / HN_K_LANES) ? HONE_OK
                                                                               : no_memory(b);
}

static hone_status weight_gradient(struct hn_gpu_build *b, const struct dense *d, int sums)
{
    const int t = d->a->trans_w; /* c is [in,out] = x' dy, or [out,in] = dy' x */
    struct hn_k_gemm k = { .a = t ? d->y : d->x,
                           .b = t ? d->x : d->y,
                           .c = hn_gpu_ref(b, b->s->dx[1]),
                           .alpha = d->a->alpha };
    k.m = hn_gpu_fixed(t ? d->out : d->in), k.n = hn_gpu_fixed(t ? d->in : d->out), k.k = d->rows;
    k.ai = 1, k.ak = k.m.fixed, k.bk = k.n.fixed, k.bj = 1, k.cn = k.n.fixed,
    k.acc = hn_gpu_acc(b, 1);
    if (!b->e->library) return native(b, &k);
    struct hn_gpu_gemm g = { .trans_a = 1, .sums = !sums ? 0 : t ? 1 : 2 };
    if (!sums) return library(b, &k, &g);
    k.bias = hn_gpu_ref(b, b->s->dx[2]);
    HN_TRY(library(b, &k, &g));
    HN_TRY(bias_gradient(b, d));
    b->e->nodes[b->e->n_nodes - 1].stage = HN_GPU_INSTEAD;
    return HONE_OK;
}

static hone_status input_gradient(struct hn_gpu_build *b, const struct dense *d)
{
    const int t = d->a->trans_w;
    struct hn_k_gemm k = {
        .a = d->y, .b = d->w, .c = hn_gpu_ref(b, b->s->dx[0]), .m = d->rows, .alpha = d->a->alpha
    };
    k.n = hn_gpu_fixed(d->in), k.k = hn_gpu_fixed(d->out);
    k.ai = d->out, k.ak = 1, k.cn = d->in, k.acc = hn_gpu_acc(b, 0);
    k.bk = t ? d->in : 1, k.bj = t ? 1 : d->out;
    if (!b->e->library) return native(b, &k);
    struct hn_gpu_gemm g = { .trans_b = !t };
    return library(b, &k, &g);
}

hone_status hn_gpu_dense(struct hn_gpu_build *b)
{
    struct dense d = dense_of(b);
    if (!b->s->backward) return forward(b, &d);
    int bias = d.has_bias && hn_gpu_wants(b, 2), weights = hn_gpu_wants(b, 1);
    /* with the product where the library may do it: not scaled, not added to, and not one number for all */
    int sums = bias && weights && b->e->library && d.a->beta == 1 && d.a->alpha == 1 &&
               !d.one_bias && !hn_gpu_acc(b, 2);
    if (hn_gpu_wants(b, 0)) HN_TRY(input_gradient(b, &d));
    if (weights) HN_TRY(weight_gradient(b, &d, sums));
    if (bias && !sums) HN_TRY(bias_gradient(b, &d));
    return HONE_OK;
}

/* ---- MatMul ---------------------------------------------------------------------------------------------------- */

static struct hn_shape stack_of(const struct hn_shape *s, int rank)
{
    struct hn_shape k = *s;
    k.rank = rank > 0 ? rank : 0;
    return k;
}

hone_status hn_gpu_matmul(struct hn_gpu_build *b)
{
    const struct hn_matmul *t = b->op->attrs;
    const struct hn_shape *xa = hn_gpu_shape(b, b->op->in[0]), *xb = hn_gpu_shape(b, b->op->in[1]);
    const struct hn_shape *y = hn_gpu_shape(b, b->op->out[0]);
    struct hn_k_matmul k = { .alpha = t->alpha,
                             .trans_a = t->trans_a && xa->rank > 1,
                             .trans_b = t->trans_b && xb->rank > 1 };
    struct hn_shape sa = stack_of(xa, xa->rank - 2), sb = stack_of(xb, xb->rank - 2);
    struct hn_shape sy = stack_of(y, sa.rank > sb.rank ? sa.rank : sb.rank);
    k.sa = hn_gpu_dims(&sa), k.sb = hn_gpu_dims(&sb), k.stack = hn_gpu_dims(&sy);
    k.m = xa->rank > 1 ? hn_gpu_dim(xa->d[xa->rank - (t->trans_a ? 1 : 2)]) : hn_gpu_fixed(1);
    k.k = hn_gpu_dim(xa->d[xa->rank - (xa->rank > 1 && t->trans_a ? 2 : 1)]);
    k.n = xb->rank > 1 ? hn_gpu_dim(xb->d[xb->rank - (t->trans_b ? 2 : 1)]) : hn_gpu_fixed(1);
    k.a = hn_gpu_ref(b, b->s->x[0]), k.b = hn_gpu_ref(b, b->s->x[1]);
    k.y = hn_gpu_ref(b, b->s->backward ? b->s->dy[0] : b->s->y[0]);
    if (!b->s->backward)
        return hn_gpu_add(b, HN_KN_matmul, &k, sizeof k, hn_gpu_span(y, 0, y->rank), HN_BLOCK)
                   ? HONE_OK
                   : no_memory(b);
    for (k.which = 0; k.which < 2; k.which++) {
        const struct hn_shape *x = k.which ? xb : xa;
        if (!hn_gpu_wants(b, k.which)) continue;
        k.d = hn_gpu_ref(b, b->s->dx[k.which]), k.acc = hn_gpu_acc(b, k.which);
        if (!hn_gpu_add(b, HN_KN_matmul_back, &k, sizeof k, hn_gpu_span(x, 0, x->rank), HN_BLOCK))
            return no_memory(b);
    }
    return HONE_OK;
}
