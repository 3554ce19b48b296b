/* SPDX-License-Identifier: MIT
 *
 * MatMul: y = alpha * op(a) op(b), numpy's rules: the last two dims are matrices, the dims before them broadcast; a
 * one-dimensional a is a row, a one-dimensional b a column, and that dim is dropped from y. trans_a and trans_b swap
 * the last two dims (of operands with at least two). Any operand may be an activation, a parameter or a constant. */
#include "ops/math/row.h"

struct
    side { /* an operand as a stack of matrices: element (r, c) of one is at r * step_r + c * step_c */
    struct hn_extent stack;
    int64_t rows, cols, step_r, step_c;
};
struct sizes {
    struct side a, b;
    struct hn_extent stack; /* of y */
    int64_t n_stack, m, k, n;
};

static struct side side_of(const struct hn_extent *e, int trans, int is_row)
{
    struct side s = { .rows = 1, .cols = 1, .step_r = 1, .step_c = 1 };
    if (e->rank == 1) {
        *(is_row ? &s.cols : &s.rows) = e->d[0];
        return s;
    }
    int64_t p = e->d[e->rank - 2], q = e->d[e->rank - 1];
    s.stack.rank = e->rank - 2;
    for (int i = 0; i < s.stack.rank; i++) s.stack.d[i] = e->d[i];
    s.rows = trans ? q : p, s.cols = trans ? p : q;
    s.step_r = trans ? 1 : q, s.step_c = trans ? q : 1;
    return s;
}

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_matmul *t = c->op->attrs;
    struct sizes s = { .a = side_of(&c->xs[0], t->trans_a, 1),
                       .b = side_of(&c->xs[1], t->trans_b, 0) };
    s.m = s.a.rows, s.k = s.a.cols, s.n = s.b.cols;
    s.stack.rank = s.a.stack.rank > s.b.stack.rank ? s.a.stack.rank : s.b.stack.rank;
    for (int i = 0; i < s.stack.rank; i++) s.stack.d[i] = c->ys[0].d[i];
    s.n_stack = hn_extent_numel(&s.stack);
    return s;
}

static hone_status matmul_shape(const struct hn_op *op, const struct hn_shape *xs,
                                struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_matmul *t = op->attrs;
    const struct hn_shape *a = &xs[0], *b = &xs[1];
    char ta[128], tb[128];
    if (a->rank < 1 || b->rank < 1)
        return hn_fail(err, HONE_E_MODEL, where,
                       "MatMul: found %s times %s, wanted at least one dim each",
                       hn_shape_text(a, ta, sizeof ta), hn_shape_text(b, tb, sizeof tb));
    struct hn_dim ka = a->d[a->rank - (a->rank > 1 && t->trans_a ? 2 : 1)];
    struct hn_dim kb = b->rank == 1 ? b->d[0] : b->d[b->rank - (t->trans_b ? 1 : 2)];
    if (!hn_same_dim(ka, kb))
        return hn_fail(err, HONE_E_MODEL, where, "MatMul: %s%s times %s%s: the inner dims differ",
                       hn_shape_text(a, ta, sizeof ta), t->trans_a ? " (transposed)" : "",
                       hn_shape_text(b, tb, sizeof tb), t->trans_b ? " (transposed)" : "");
    struct hn_shape sa = *a, sb = *b, y;
    sa.rank = a->rank > 2 ? a->rank - 2 : 0;
    sb.rank = b->rank > 2 ? b->rank - 2 : 0;
    HN_TRY(hn_shape_broadcast(&sa, &sb, &y, where, err));
    if (a->rank > 1) y.d[y.rank++] = a->d[a->rank - (t->trans_a ? 1 : 2)];
    if (b->rank > 1) y.d[y.rank++] = b->d[b->rank - (t->trans_b ? 2 : 1)];
    ys[0] = y;
    return HONE_OK;
}

static void matmul_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs;
    need->x = 1 | 2;
}

static void matmul_forward(const struct hn_call *c)
{
    const struct hn_matmul *t = c->op->attrs;
    const struct sizes s = sizes_of(c);
    double *y = c->y[0];
    for (int64_t p = 0; p < s.n_stack; p++, y += s.m * s.n) {
        const double *a = hn_ptr(c->x, 0) + hn_broadcast_at(&s.stack, &s.a.stack, p) * s.m * s.k;
        const double *b = hn_ptr(c->x, 1) + hn_broadcast_at(&s.stack, &s.b.stack, p) * s.k * s.n;
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < s.n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < s.k; k++)
                    sum += a[i * s.a.step_r + k * s.a.step_c] * b[k * s.b.step_r + j * s.b.step_c];
                y[i * s.n + j] = t->alpha * sum;
            }
    }
}

/* da[i,k] += alpha * sum_j dy[i,j] b[k,j]   db[k,j] += alpha * sum_i a[i,k] dy[i,j], both summed over a broadcast stack */
static void backward_to(const struct hn_call *c, int which)
{
    const struct hn_matmul *t = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const struct side *d = which == 0 ? &s.a : &s.b, *o = which == 0 ? &s.b : &s.a;
    const double *other = c->x[1 - which], *dy = c->dy[0];
    double *grad = hn_grad(c, which);
    for (int64_t p = 0; grad && p < s.n_stack; p++, dy += s.m * s.n) {
        double *g = grad + hn_broadcast_at(&s.stack, &d->stack, p) * d->rows * d->cols;
        const double *v = other + hn_broadcast_at(&s.stack, &o->stack, p) * o->rows * o->cols;
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < s.n; j++)
                for (int64_t k = 0; k < s.k; k++) {
                    int64_t at =
                        which == 0 ? i * d->step_r + k * d->step_c : k * d->step_r + j * d->step_c;
                    int64_t from =
                        which == 0 ? k * o->step_r + j * o->step_c : i * o->step_r + k * o->step_c;
                    g[at] += t->alpha * dy[i * s.n + j] * v[from];
                }
    }
}

static void matmul_backward(const struct hn_call *c)
{
    backward_to(c, 0);
    backward_to(c, 1);
}

static const struct hn_matmul plain = { 1, 0, 0 }, ta = { 1, 1, 0 }, tb = { 1, 0, 1 },
                              both = { -0.5, 1, 1 };
#define CASE(label, attrs, a, b, ka, kb)                                                           \
    {                                                                                              \
        label, attrs, 2, { a, b }, { ka, kb }, { 0 }, 1                                            \
    }
static const struct hn_sample samples[] = {
    CASE("plain", &plain, HN_S2(HN_ROWS, HN_D(4)), HN_S2(HN_D(4), HN_D(3)), HN_ACT, HN_PARAM),
    CASE("trans_a", &ta, HN_S2(HN_D(4), HN_ROWS), HN_S2(HN_D(4), HN_D(3)), HN_ACT, HN_PARAM),
    CASE("trans_b", &tb, HN_S2(HN_ROWS, HN_D(4)), HN_S2(HN_D(3), HN_D(4)), HN_ACT, HN_PARAM),
    CASE("both transposed, alpha", &both, HN_S2(HN_D(5), HN_ROWS), HN_S2(HN_D(2), HN_D(5)), HN_ACT,
         HN_ACT),
    CASE("row times matrix", &plain, HN_S1(HN_D(4)), HN_S2(HN_D(4), HN_D(3)), HN_PARAM, HN_PARAM),
    CASE("matrix times column", &plain, HN_S2(HN_ROWS, HN_D(4)), HN_S1(HN_D(4)), HN_ACT, HN_PARAM),
    CASE("row times column", &plain, HN_S1(HN_D(6)), HN_S1(HN_D(6)), HN_PARAM, HN_PARAM),
    CASE("matrix left", &plain, HN_S2(HN_D(2), HN_D(3)), HN_S2(HN_D(3), HN_ROWS), HN_PARAM, HN_ACT),
    CASE("over the batch", &ta, HN_S2(HN_ROWS, HN_D(3)), HN_S2(HN_ROWS, HN_D(2)), HN_ACT, HN_ACT),
    CASE("stack times matrix", &plain, HN_S3(HN_ROWS, HN_D(2), HN_D(4)), HN_S2(HN_D(4), HN_D(3)),
         HN_ACT, HN_PARAM),
    CASE("stack times stack", &plain, HN_S3(HN_ROWS, HN_D(2), HN_D(4)),
         HN_S3(HN_ROWS, HN_D(4), HN_D(3)), HN_ACT, HN_ACT),
    CASE("stack times one", &tb, HN_S3(HN_ROWS, HN_D(2), HN_D(4)), HN_S3(HN_D(1), HN_D(3), HN_D(4)),
         HN_ACT, HN_PARAM),
    CASE("matrix times stack", &both, HN_S2(HN_D(4), HN_D(2)), HN_S3(HN_ROWS, HN_D(3), HN_D(4)),
         HN_PARAM, HN_ACT),
    CASE("stacks broadcast both ways", &plain, HN_S4(HN_ROWS, HN_D(1), HN_D(2), HN_D(3)),
         HN_S3(HN_D(2), HN_D(3), HN_D(2)), HN_ACT, HN_PARAM),
    CASE("row times stack", &plain, HN_S1(HN_D(3)), HN_S3(HN_ROWS, HN_D(3), HN_D(2)), HN_PARAM,
         HN_ACT),
    CASE("stack times column", &ta, HN_S3(HN_ROWS, HN_D(3), HN_D(2)), HN_S1(HN_D(3)), HN_ACT,
         HN_PARAM),
    { 0 },
};
#undef CASE

const struct hn_op_row hn_op_matmul = {
    .name = "matmul",
    .attrs_size = sizeof(struct hn_matmul),
    .in_min = 2,
    .in_max = 2,
    .out_max = 1,
    .shape = matmul_shape,
    .need = matmul_need,
    .forward = matmul_forward,
    .backward = matmul_backward,
    .samples = samples,
    .tolerance = 2e-5,
};
