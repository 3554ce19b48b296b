/* SPDX-License-Identifier: MIT
 *
 * Dense and MatMul as nodes. Dense is one product forward and two backward. With one slot large ones go to the library, which
 * adds the bias, applies a ReLU that follows in place and sums the bias gradient where it can. Small ones, and all with several
 * slots, go to the native kernel, which reads the data set's rows where they lie, takes in the function and the Dropout beside
 * the layer and makes both gradients in one launch.
 *     y = alpha x w + beta b      dx = alpha dy w'      dw = alpha x' dy      db = beta sum_r dy */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

/* A layer is native when all three of its products are small: there the library's time is that of its launches. Measured:
 * RESULTS.md. */
static const double MOST_RESULTS = 5e5, MOST_WORK = 8e7;
enum { MOST_TERMS = 1024 };
/* Tiles of 32 x 16 from which on panels are quicker: between 144 (C's last layer) and 256 (A, 8 together). */
enum { BUSY_BLOCKS = 256 };

struct dense { /* of one step */
    const struct hn_dense *a;
    struct hn_k_dim rows;
    int64_t in, out;
    struct hn_k_ref x, w, b, y; /* backward: y is dy */
    int32_t column;             /* of the data set that is x; -1: x is in the arena */
    int has_bias, one_bias, native;
};

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_gpu_node));
}

int hn_gpu_native_product(const struct hn_gpu_exec *e, int64_t m, int64_t n, int64_t k)
{
    const double a = (double)m, b = (double)n, c = (double)k;
    if (!e->library || e->dev->o.gemm == HN_GPU_NATIVE) return 1;
    return e->dev->o.gemm == HN_GPU_AUTO && a * b * c <= MOST_WORK && a * b <= MOST_RESULTS &&
           a * c <= MOST_RESULTS && b * c <= MOST_RESULTS && m <= MOST_TERMS && n <= MOST_TERMS &&
           k <= MOST_TERMS;
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
    d.native = hn_gpu_native_product(b->e, hn_gpu_n(d.rows, b->e->plan->max_rows), d.out, d.in);
    d.column = d.native ? hn_gpu_in_place(b, b->op->in[0]) : -1;
    return d;
}

/* ---- the native kernel ---------------------------------------------------------------------------------------------- */

/* Matrices by how their lines lie: x and dy in rows of the batch, w as it is stored. */
static struct hn_k_matrix lines(struct hn_k_ref at, int64_t stride, int along)
{
    return (struct hn_k_matrix){ .at = at, .stride = stride, .along = along, .column = -1 };
}
static struct hn_k_matrix rows_of_x(const struct dense *d, int along)
{
    struct hn_k_matrix x = lines(d->x, d->in, along);
    x.column = d->column;
    return x;
}

/* Tiles of so many rows in all slots. */
static int64_t blocks(const struct hn_gpu_exec *e, const struct hn_k_gemm *k, int64_t rows,
                      int64_t tile)
{
    int64_t n = 0;
    for (int i = 0; i < k->n; i++) {
        const struct hn_k_product *p = &k->p[i];
        int64_t pm = hn_gpu_n(p->m, rows), pn = hn_gpu_n(p->n, rows);
        if (pm <= 0 || pn <= 0) continue;
        pm += p->ones == 1, pn += p->ones == 2;
        n += (pm + tile - 1) / tile * ((pn + HN_K_TILE - 1) / HN_K_TILE);
    }
    return n * e->max_slots;
}

int64_t hn_gpu_gemm_blocks(const struct hn_gpu_node *n, int64_t rows)
{
    const struct hn_gpu_exec one = { .max_slots = 1 };
    const struct hn_k_gemm *g = n->args;
    int64_t tiles = 0;
    if (n->kernel == HN_KN_gemm) return blocks(&one, n->args, rows, HN_K_TILE);
    for (int i = 0; i < g->n; i++) tiles += hn_gpu_panel_blocks(&g->p[i], rows);
    return tiles;
}

/* Does the kernel, which counts an operand's elements in 32 bits, take these? */
static int fits(const struct hn_k_matrix *x, int64_t lines, int64_t units)
{
    return lines <= 0 || units <= 0 || x->stride * (lines - 1) + units <= INT32_MAX;
}

int hn_gpu_gemm_fits(const struct hn_gpu_node *node, int64_t rows)
{
    const struct hn_k_gemm *g = node->args;
    for (int i = 0; i < g->n; i++) {
        const struct hn_k_product *p = &g->p[i];
        const int64_t m = hn_gpu_n(p->m, rows), n = hn_gpu_n(p->n, rows), k = hn_gpu_n(p->k, rows);
        if (!fits(&p->a, p->a.along ? m : k, p->a.along ? k : m) ||
            !fits(&p->b, p->b.along ? n : k, p->b.along ? k : n))
            return 0;
    }
    return 1;
}

/* Panels where they keep all of a GPU busy. It follows from the plan and the number of slots alone, and so do their shapes. */
static enum hn_k_id kernel_for(const struct hn_gpu_exec *e, const struct hn_k_gemm *k)
{
    const int asked = e->dev->o.native;
    if (asked == HN_GPU_TILES || !hn_gpu_panel_takes(e, k)) return HN_KN_gemm;
    if (asked == HN_GPU_MMA || asked >= HN_GPU_MMA_SHAPE) return HN_KN_mma;
    if (asked != HN_GPU_BY_SIZE) return HN_KN_panel;
    return blocks(e, k, e->plan->max_rows, 2 * HN_K_TILE) >= BUSY_BLOCKS ? HN_KN_panel : HN_KN_gemm;
}

static hone_status native(struct hn_gpu_build *b, const struct hn_k_gemm *k)
{
    const enum hn_k_id kernel = kernel_for(b->e, k);
    struct hn_k_gemm tiled = *k;
    tiled.column = -1;
    for (int i = 0; kernel != HN_KN_gemm && i < k->n; i++) {
        hn_gpu_panel_shape(b->e, kernel, &tiled.p[i]);
        if (k->p[i].a.column >= 0) tiled.column = k->p[i].a.column;
        if (k->p[i].b.column >= 0) tiled.column = k->p[i].b.column;
    }
    int taken = 0;
    HN_TRY(hn_gpu_chain_product(b, kernel, &tiled, &taken));
    return taken || hn_gpu_add(b, kernel, &tiled, sizeof tiled, hn_gpu_fixed(1), 1) ? HONE_OK
                                                                                    : no_memory(b);
}

/* The three products of a layer; where their results go, and what is taken in on the way, is the caller's. */
static struct hn_k_product output_of(const struct dense *d)
{
    return (struct hn_k_product){ .a = rows_of_x(d, 1),
                                  .b = lines(d->w, d->a->trans_w ? d->in : d->out, d->a->trans_w),
                                  .bias = d->b,
                                  .m = d->rows,
                                  .n = hn_gpu_fixed(d->out),
                                  .k = hn_gpu_fixed(d->in),
                                  .one_bias = d->one_bias,
                                  .alpha = d->a->alpha,
                                  .beta = d->a->beta };
}

static struct hn_k_product input_gradient(const struct hn_gpu_build *b, const struct dense *d)
{
    struct hn_k_product p = { .a = lines(d->y, d->out, 1),
                              .b = lines(d->w, d->a->trans_w ? d->in : d->out, !d->a->trans_w),
                              .m = d->rows,
                              .n = hn_gpu_fixed(d->in),
                              .k = hn_gpu_fixed(d->out),
                              .acc = hn_gpu_acc(b, 0),
                              .alpha = d->a->alpha };
    p.tail.c = hn_gpu_ref(b, b->s->dx[0]);
    return p;
}

/* c is [in, out] = x' dy, or [out, in] = dy' x; sums: the gradient of the bias, too. */
static struct hn_k_product weight_gradient(const struct hn_gpu_build *b, const struct dense *d,
                                           int sums)
{
    const int t = d->a->trans_w;
    const struct hn_k_matrix x = rows_of_x(d, 0), dy = lines(d->y, d->out, 0);
    struct hn_k_product p = { .a = t ? dy : x,
                              .b = t ? x : dy,
                              .m = hn_gpu_fixed(t ? d->out : d->in),
                              .n = hn_gpu_fixed(t ? d->in : d->out),
                              .k = d->rows,
                              .acc = hn_gpu_acc(b, 1),
                              .alpha = d->a->alpha,
                              .beta = d->a->beta };
    p.tail.c = hn_gpu_ref(b, b->s->dx[1]);
    if (!sums) return p;
    p.ones = t ? 2 : 1, p.acc_sums = hn_gpu_acc(b, 2);
    p.sums = hn_gpu_ref(b, b->s->dx[2]);
    return p;
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

static hone_status forward(struct hn_gpu_build *b, const struct dense *d)
{
    struct hn_k_gemm k = { .n_columns = b->e->n_columns, .n = 1, .p = { output_of(d) } };
    hn_gpu_tail_forward(b, &k.p[0].tail);
    return native(b, &k);
}

static hone_status backward(struct hn_gpu_build *b, const struct dense *d, int weights, int bias)
{
    struct hn_k_gemm k = { .n_columns = b->e->n_columns };
    const int sums = bias && weights && !d->one_bias;
    /* what reads dy comes before the launch that may write over the place behind it */
    if (bias && !sums) HN_TRY(bias_gradient(b, d));
    if (hn_gpu_wants(b, 0)) {
        k.p[0] = input_gradient(b, d);
        if (!k.p[0].acc) hn_gpu_tail_backward(b, &k.p[0].tail);
        k.n = 1;
    }
    if (weights) k.p[k.n++] = weight_gradient(b, d, sums);
    return k.n ? native(b, &k) : HONE_OK;
}

/* ---- the library ------------------------------------------------------------------------------------------------------ */

static struct hn_gpu_operand operand_of(const struct hn_gpu_build *b, const struct dense *d,
                                        struct hn_k_ref at)
{
    const int x = at.space == d->x.space && at.off == d->x.off,
              w = at.space == d->w.space && at.off == d->w.off;
    return (struct hn_gpu_operand){ x ? b->op->in[0] : w ? b->op->in[1] : b->op->out[0], !x && !w };
}

/* Behind a product comes the kernel for where the library cannot (behind one with sums: for the sums alone). */
static hone_status library(struct hn_gpu_build *b, const struct dense *d,
                           const struct hn_k_product *p, const struct hn_gpu_gemm *as)
{
    struct hn_k_gemm k = { .n_columns = b->e->n_columns, .n = 1, .p = { *p } };
    struct hn_gpu_gemm g = *as;
    struct hn_k_ref ab[2] = { p->a.at, p->b.at };
    const struct hn_gpu_operand is[2] = { operand_of(b, d, ab[0]), operand_of(b, d, ab[1]) };
    HN_TRY(hn_gpu_operands(b, p, is, &g, ab));
    const int at = b->e->n_nodes;
    if (!hn_gpu_library(b, HN_GPU_GEMM)) return no_memory(b);
    b->e->n_gemms++;
    if (!g.sums) {
        HN_TRY(native(b, &k));
        b->e->nodes[at + 1].stage = HN_GPU_INSTEAD;
    }
    struct hn_gpu_node *n = &b->e->nodes[at];
    n->m = p->m, n->n = p->n, n->k = p->k;
    n->a = ab[0], n->b = ab[1], n->c = p->tail.how ? p->tail.y : p->tail.c;
    n->bias = g.sums ? p->sums : p->bias;
    n->gemm = g;
    n->gemm.acc = p->acc, n->gemm.relu = p->tail.how != 0, n->gemm.alpha = p->alpha;
    n->gemm.elem = b->e->dev->elem, n->gemm.math = b->e->dev->o.math;
    return HONE_OK;
}

static hone_status library_forward(struct hn_gpu_build *b, const struct dense *d)
{
    struct hn_gpu_gemm g = { .trans_b = d->a->trans_w, .bias = d->has_bias };
    struct hn_k_product p = output_of(d);
    p.tail.c = d->y;
    if ((b->fused = hn_gpu_relu_follows(b)))
        p.tail = (struct hn_k_tail){ .y = d->y, .kind = HN_U_RELU, .how = 1 };
    return library(b, d, &p, &g);
}

static hone_status library_backward(struct hn_gpu_build *b, const struct dense *d, int weights,
                                    int bias)
{
    const int t = d->a->trans_w;
    /* with the product where the library may do it: not scaled, not added to, and not one number for all */
    const int sums =
        bias && weights && d->a->beta == 1 && d->a->alpha == 1 && !d->one_bias && !hn_gpu_acc(b, 2);
    if (hn_gpu_wants(b, 0)) {
        struct hn_gpu_gemm g = { .trans_b = !t };
        struct hn_k_product p = input_gradient(b, d);
        HN_TRY(library(b, d, &p, &g));
    }
    if (weights) {
        struct hn_gpu_gemm g = { .trans_a = 1, .sums = !sums ? 0 : t ? 1 : 2 };
        struct hn_k_product p = weight_gradient(b, d, sums);
        HN_TRY(library(b, d, &p, &g));
    }
    if (!bias) return HONE_OK;
    HN_TRY(bias_gradient(b, d));
    if (sums) b->e->nodes[b->e->n_nodes - 1].stage = HN_GPU_INSTEAD;
    return HONE_OK;
}

/* Can the library add the bias? */
static int is_simple(const struct dense *d)
{
    return !d->has_bias || (d->a->beta == 1 && !d->one_bias);
}

hone_status hn_gpu_dense(struct hn_gpu_build *b)
{
    const struct dense d = dense_of(b);
    if (!b->s->backward) {
        if (!d.native) HN_TRY(hn_gpu_chain_end(b));
        return d.native || !is_simple(&d) ? forward(b, &d) : library_forward(b, &d);
    }
    const int bias = d.has_bias && hn_gpu_wants(b, 2) && b->summed != b->s->op,
              weights = hn_gpu_wants(b, 1);
    return d.native ? backward(b, &d, weights, bias) : library_backward(b, &d, weights, bias);
}

static struct dense dense_at(const struct hn_gpu_build *b, const struct hn_step *s)
{
    struct hn_gpu_build at = *b;
    at.s = s, at.op = &b->p->ops[s->op];
    return dense_of(&at);
}

int hn_gpu_by_library(const struct hn_gpu_build *b, const struct hn_step *s, int multiple)
{
    const struct dense d = dense_at(b, s);
    return !d.native && (s->backward || is_simple(&d)) && d.in % multiple == 0 &&
           d.out % multiple == 0;
}

int hn_gpu_layer_below(const struct hn_gpu_build *b, struct hn_ref dx)
{
    const struct hn_step *s = b->s + 1;
    if (s == b->end || !hn_gpu_same(s->dy[0], dx)) return 0;
    const struct hn_op *op = &b->p->ops[s->op];
    return strcmp(op->row->name, "dense") == 0 && op->out[0] == b->op->in[0];
}

int hn_gpu_bias_below(struct hn_gpu_build *b, struct hn_ref dx, struct hn_k_ref *bias, int *acc,
                      double *scale)
{
    const struct hn_step *s = b->s + 1;
    if (b->e->dev->o.layer_sums || !hn_gpu_layer_below(b, dx)) return 0;
    const struct dense d = dense_at(b, s);
    if (d.native || !d.has_bias || d.one_bias || s->dx[2].space != HN_SP_DW) return 0;
    *bias = hn_gpu_ref(b, s->dx[2]), *acc = (int)(s->acc >> 2 & 1u), *scale = d.a->beta;
    b->summed = s->op;
    return 1;
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
