/* SPDX-License-Identifier: MIT
 *
 * MatMul by numpy's rules: y = alpha * op(a) op(b), each operand a stack of matrices whose stacks broadcast; one sgemm
 * per matrix of y.   da = alpha * dy op(b)^T, db = alpha * op(a)^T dy, summed over a broadcast stack in order. */
#include "ops/cpu/isa.h"
#include <cblas.h>
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
    n->cost = 32.0 * (double)hn_cpu_width(&u->ys[0]);
}

static CBLAS_TRANSPOSE flip(int trans) { return trans ? CblasTrans : CblasNoTrans; }

static void matmul_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_matmul *t = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const float *a = c->x[0], *b = c->x[1];
    const int m = s.a.rows, d = s.a.cols, n = s.b.cols;
    float *y = c->y[0];
    for (int64_t p = 0; p < s.n_stack && m && n; p++, y += (size_t)m * (size_t)n)
        cblas_sgemm(CblasRowMajor, flip(s.a.trans), flip(s.b.trans), m, n, d, (float)t->alpha,
                    a + matrix_at(c, &s.a, s.rank, p), s.a.trans ? m : d,
                    b + matrix_at(c, &s.b, s.rank, p), s.b.trans ? d : n, 0.0f, y, n);
}

static void backward_to(const struct hn_call *c, int which)
{
    const struct hn_matmul *t = c->op->attrs;
    const struct sizes s = sizes_of(c);
    const float *dy = c->dy[0], *other = c->x[1 - which], alpha = (float)t->alpha;
    const int m = s.a.rows, d = s.a.cols, n = s.b.cols;
    float *grad = c->dx[which];
    if (!grad) return;
    if (!(c->acc >> which & 1))
        memset(grad, 0, (size_t)hn_extent_numel(&c->xs[which]) * sizeof *grad);
    for (int64_t p = 0; p < s.n_stack && m && n && d; p++, dy += (size_t)m * (size_t)n) {
        const float *a = other + matrix_at(c, &s.a, s.rank, p),
                    *b = other + matrix_at(c, &s.b, s.rank, p);
        float *ga = grad + matrix_at(c, &s.a, s.rank, p),
              *gb = grad + matrix_at(c, &s.b, s.rank, p);
        if (which == 0 && !s.a.trans) /* da [m,d] = dy op(b)^T */
            cblas_sgemm(CblasRowMajor, CblasNoTrans, flip(!s.b.trans), m, d, n, alpha, dy, n, b,
                        s.b.trans ? d : n, 1.0f, ga, d);
        else if (which == 0) /* stored [d,m] = op(b) dy^T */
            cblas_sgemm(CblasRowMajor, flip(s.b.trans), CblasTrans, d, m, n, alpha, b,
                        s.b.trans ? d : n, dy, n, 1.0f, ga, m);
        else if (!s.b.trans) /* db [d,n] = op(a)^T dy */
            cblas_sgemm(CblasRowMajor, flip(!s.a.trans), CblasNoTrans, d, n, m, alpha, a,
                        s.a.trans ? m : d, dy, n, 1.0f, gb, n);
        else /* stored [n,d] = dy^T op(a) */
            cblas_sgemm(CblasRowMajor, CblasTrans, flip(s.a.trans), n, d, m, alpha, dy, n, a,
                        s.a.trans ? m : d, 1.0f, gb, d);
    }
}

static void matmul_backward(const struct hn_cpu_call *k)
{
    backward_to(&k->c, 0);
    backward_to(&k->c, 1);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_matmul) = {
    .row = &hn_op_matmul,
    .need = matmul_need,
    .forward = { .main = matmul_forward },
    .backward = { .main = matmul_backward, .late = matmul_backward },
};
