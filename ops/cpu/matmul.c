/* SPDX-License-Identifier: MIT
 *
 * MatMul by numpy's rules: y = alpha * op(a) op(b), each operand a stack of matrices whose stacks broadcast; one product
 * per matrix of y.   da = alpha * dy op(b)^T, db = alpha * op(a)^T dy, summed over a broadcast stack in order. */
#include "ops/cpu/gemm.h"
#include <string.h>

struct side { /* rows x cols after op(); trans: stored as cols x rows */
    int rows, cols, trans, stack_rank;
    int64_t stack[HN_MAX_RANK];
};
struct sizes {
    struct side a, b;
    int64_t n_stack;
    int rank; /* of y's stack */
};

static struct side side_of(const struct hn_extent *e, int trans, int is_row)
{
    struct side s = { .rows = 1, .cols = 1 };
    if (e->rank == 1) {
        *(is_row ? &s.cols : &s.rows) = (int)e->d[0];
        return s;
    }
    int p = (int)e->d[e->rank - 2], q = (int)e->d[e->rank - 1];
    s.rows = trans ? q : p, s.cols = trans ? p : q, s.trans = trans;
    s.stack_rank = e->rank - 2;
    for (int i = 0; i < s.stack_rank; i++) s.stack[i] = e->d[i];
    return s;
}

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_matmul *t = c->op->attrs;
    struct sizes s = { side_of(&c->xs[0], t->trans_a, 1), side_of(&c->xs[1], t->trans_b, 0), 1, 0 };
    s.rank = s.a.stack_rank > s.b.stack_rank ? s.a.stack_rank : s.b.stack_rank;
    for (int i = 0; i < s.rank; i++) s.n_stack *= c->ys[0].d[i];
    return s;
}

/* Offset of the operand's matrix that goes with matrix p of y. */
static size_t matrix_at(const struct hn_call *c, const struct side *s, int rank, int64_t p)
{
    int64_t at = 0, stride = 1;
    for (int k = rank - 1, j = s->stack_rank - 1; j >= 0; k--, j--) {
        int64_t pos = p % c->ys[0].d[k];
        p /= c->ys[0].d[k];
        if (s->stack[j] != 1) at += pos * stride;
        stride *= s->stack[j];
    }
    return (size_t)at * (size_t)s->rows * (size_t)s->cols;
}

/* Local when y's rows come from dim 0 of a stack, or of a as a plain matrix: then the other operand is fixed or, being
 * a stack of the same rank, has the same rows. */
static int is_local(const struct hn_cpu_use *u)
{
    const struct hn_matmul *t = u->op->attrs;
    const struct hn_shape *y = &u->ys[0];
    if (!hn_cpu_batched(y)) return 0;
    for (int i = 0; i < 2; i++) {
        const struct hn_shape *x = &u->xs[i];
        if (hn_cpu_fixed(x)) continue;
        int in_stack = x->rank > 2, other = u->xs[1 - i].rank;
        int rows_of_a = i == 0 && x->rank == 2 && !t->trans_a && other <= 2;
        if (!hn_cpu_batched(x) || (!in_stack && !rows_of_a) || (in_stack && other > x->rank))
            return 0;
    }
    return 1;
}

static void matmul_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = (uint8_t)is_local(u);
    n->blas = 1;
    n->main_x = n->late_x = 3;
    n->late = (hn_cpu_fixed(&u->xs[0]) ? 1u : 0u) | (hn_cpu_fixed(&u->xs[1]) ? 2u : 0u);
    n->scratch = hn_gemm_bytes();
    n->cost = 32.0 * (double)hn_cpu_width(&u->ys[0]);
}

struct operand { /* a matrix as it is stored, with cols to a row */
    const float *at;
    int trans, cols;
};

static struct operand operand_of(const float *at, const struct side *s)
{
    return (struct operand){ at, s->trans, s->trans ? s->rows : s->cols };
}
static struct operand turned(struct operand o)
{
    return (struct operand){ o.at, !o.trans, o.cols };
}

/* c [m,n] = alpha * a b, or that much more. */
static void multiply(struct hn_gemm g, int m, int n, int k, struct operand a, struct operand b,
                     float *c)
{
    g.m = m, g.n = g.ldc = n, g.k = k, g.c = c;
    g.a = a.at, g.lda = a.cols, g.trans_a = a.trans;
    g.b = b.at, g.ldb = b.cols, g.trans_b = b.trans;
    hn_gemm_run(&g);
}

static void matmul_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_matmul *t = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const struct hn_gemm g = { .alpha = (float)t->alpha, .scratch = k->scratch };
    const float *a = c->x[0], *b = c->x[1];
    const int m = s.a.rows, d = s.a.cols, n = s.b.cols;
    float *y = c->y[0];
    for (int64_t p = 0; p < s.n_stack && m && n; p++, y += (size_t)m * (size_t)n)
        multiply(g, m, n, d, operand_of(a + matrix_at(c, &s.a, s.rank, p), &s.a),
                 operand_of(b + matrix_at(c, &s.b, s.rank, p), &s.b), y);
}

static void backward_to(const struct hn_cpu_call *k, int which)
{
    const struct hn_call *c = &k->c;
    const struct hn_matmul *t = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const struct hn_gemm g = { .alpha = (float)t->alpha, .add = 1, .scratch = k->scratch };
    const float *dy = c->dy[0], *x = c->x[1 - which];
    const int m = s.a.rows, d = s.a.cols, n = s.b.cols;
    float *grad = c->dx[which];
    if (!grad) return;
    if (!(c->acc >> which & 1))
        memset(grad, 0, (size_t)hn_extent_numel(&c->xs[which]) * sizeof *grad);
    for (int64_t p = 0; p < s.n_stack && m && n && d; p++, dy += (size_t)m * (size_t)n) {
        const struct side *mine = which ? &s.b : &s.a, *others = which ? &s.a : &s.b;
        const struct operand up = { dy, 0, n },
                             other = operand_of(x + matrix_at(c, others, s.rank, p), others);
        float *to = grad + matrix_at(c, mine, s.rank, p);
        if (which == 0 && !mine->trans) /* da [m,d] = dy op(b)^T */
            multiply(g, m, d, n, up, turned(other), to);
        else if (which == 0) /* stored [d,m] = op(b) dy^T */
            multiply(g, d, m, n, other, turned(up), to);
        else if (!mine->trans) /* db [d,n] = op(a)^T dy */
            multiply(g, d, n, m, turned(other), up, to);
        else /* stored [n,d] = dy^T op(a) */
            multiply(g, n, d, m, turned(up), other, to);
    }
}

static void matmul_backward(const struct hn_cpu_call *k)
{
    backward_to(k, 0);
    backward_to(k, 1);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_matmul) = {
    .row = &hn_op_matmul,
    .need = matmul_need,
    .forward = { .main = matmul_forward },
    .backward = { .main = matmul_backward, .late = matmul_backward },
};
