/* SPDX-License-Identifier: MIT
 *
 * Dense: y[r,out] = alpha * x[r,in] w + beta * b, w being [in,out] or (trans_w) [out,in].
 *   main      dx = alpha * dy w^T
 *   late      dw = alpha * x^T dy (or dy^T x), db = beta * column sums of dy; split by rows of dw, never by the batch */
#include "ops/cpu/gemm.h"
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

struct sizes {
    int rows, in, out;
};

static struct sizes sizes_of(const struct hn_call *c)
{
    const struct hn_extent *x = &c->xs[0], *y = &c->ys[0];
    struct sizes s = { 1, (int)x->d[x->rank - 1], (int)y->d[y->rank - 1] };
    for (int i = 0; i + 1 < x->rank; i++) s.rows *= (int)x->d[i];
    return s;
}

/* Tasks for dw [m,n]: big enough for the matrix product to be efficient. Depends on shapes alone. */
static int task_count(int64_t m, int64_t n)
{
    int64_t by_work = m * n / 16384, by_rows = m / 192;
    int64_t t = by_work < by_rows ? by_work : by_rows;
    return t < 1 ? 1 : t > 64 ? 64 : (int)t;
}

/* Tasks by columns for a product with n of them, for a batch that is a single tile. */
static int column_count(int64_t in, int64_t out, int64_t n)
{
    int64_t by_work = in * out / 32768, by_columns = n / 96;
    int64_t t = by_work < by_columns ? by_work : by_columns;
    return t < 1 ? 1 : t > 16 ? 16 : (int)t;
}

/* This task's columns of a result with n. */
static int columns_of(const struct hn_cpu_call *k, int n, int *from)
{
    int block = ((n + k->n_tasks - 1) / k->n_tasks + 47) / 48 * 48;
    *from = k->task * block < n ? k->task * block : n;
    return n - *from < block ? n - *from : block;
}

static void dense_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_dense *a = u->op->attrs;
    const struct hn_shape *x = &u->xs[0], *y = &u->ys[0];
    int64_t in = x->d[x->rank - 1].fixed, out = y->d[y->rank - 1].fixed;
    n->local = hn_cpu_batched(x) && hn_cpu_batched(y) && x->rank > 1 && hn_cpu_fixed(&u->xs[1]);
    n->blas = 1;
    n->main_x = 1u << 1;
    n->late_x = 1u << 0;
    n->late = 1u << 1 | 1u << 2;
    n->n_tasks = a->trans_w ? task_count(out, in) : task_count(in, out);
    n->n_columns[0] = column_count(in, out, out);
    n->n_columns[1] = column_count(in, out, in);
    n->indexed_x = x->rank == 2 && x->d[0].per_row == 1 && !hn_gemm_is_narrow(out) &&
                   !hn_gemm_is_narrow(a->trans_w ? in : out);
    n->scratch = hn_gemm_bytes();
    n->cost = 2.0 * (double)hn_cpu_width(x) * (double)out;
}

static void dense_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_dense *a = c->op->attrs;
    struct sizes s = sizes_of(c);
    const float *bias = c->op->n_in > 2 ? c->x[2] : NULL;
    int from, n = columns_of(k, s.out, &from);
    float *y = (float *)c->y[0] + from;
    struct hn_gemm g = { .m = s.rows,
                         .n = n,
                         .k = s.in,
                         .whole_n = s.out,
                         .a = c->x[0],
                         .lda = s.in,
                         .b = c->x[1],
                         .c = y,
                         .ldc = s.out,
                         .alpha = (float)a->alpha,
                         .bias_scale = (float)a->beta };
    g.trans_b = a->trans_w, g.ldb = a->trans_w ? s.in : s.out, g.scratch = k->scratch;
    g.b += (ptrdiff_t)from * (a->trans_w ? s.in : 1), g.a_index = k->index;
    if (bias && s.out > 1 &&
        hn_extent_numel(&c->xs[2]) == 1) { /* one number for all: laid down first, then added to */
        for (int r = 0; r < s.rows; r++)
            for (int j = 0; j < n; j++) y[(ptrdiff_t)r * s.out + j] = g.bias_scale * bias[0];
        g.add = 1;
    } else if (bias) {
        g.bias = bias + from;
    }
    hn_gemm_run(&g);
}

static void dense_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_dense *a = c->op->attrs;
    struct sizes s = sizes_of(c);
    if (!c->dx[0] || !c->dy[0]) return;
    int from, n = columns_of(k, s.in, &from);
    struct hn_gemm g = { .m = s.rows,
                         .n = n,
                         .k = s.out,
                         .whole_n = s.in,
                         .a = c->dy[0],
                         .lda = s.out,
                         .b = c->x[1],
                         .c = (float *)c->dx[0] + from,
                         .ldc = s.in,
                         .add = (int)(c->acc & 1) };
    g.trans_b = !a->trans_w, g.ldb = a->trans_w ? s.in : s.out, g.alpha = (float)a->alpha,
    g.scratch = k->scratch;
    g.b += (ptrdiff_t)from * (a->trans_w ? 1 : s.out);
    hn_gemm_run(&g);
}

enum { STRIP = 32, EIGHT = 8 };
typedef float floats __attribute__((vector_size(4 * EIGHT)));
typedef double doubles __attribute__((vector_size(8 * EIGHT)));

static inline __attribute__((always_inline)) void add_eight(doubles *sum, const float *p)
{
#ifdef __AVX512F__
    *sum += _mm512_cvtps_pd(_mm256_loadu_ps(p));
#else
    floats v;
    memcpy(&v, p, sizeof v);
    *sum += __builtin_convertvector(v, doubles);
#endif
}

/* sum[j] = the sum of n columns, in the order of the rows; n is a constant where it is inlined: the sums are registers. */
static inline __attribute__((always_inline)) void sum_eights(const float *dy, ptrdiff_t stride,
                                                             int rows, double *sum, const int n)
{
    doubles s[STRIP / EIGHT] = { { 0 } };
    for (int r = 0; r < rows; r++, dy += stride)
        for (int i = 0; i < n / EIGHT; i++) add_eight(&s[i], dy + EIGHT * i);
    memcpy(sum, s, (size_t)n * sizeof *sum);
}

static inline __attribute__((always_inline)) void sum_few(const float *dy, ptrdiff_t stride,
                                                          int rows, double *sum, const int n)
{
    double s[4] = { 0 };
    for (int r = 0; r < rows; r++, dy += stride)
        for (int j = 0; j < n; j++) s[j] += (double)dy[j];
    memcpy(sum, s, (size_t)n * sizeof *sum);
}

/* The sums of the first columns of n; returns of how many. */
static int sum_columns(const float *dy, ptrdiff_t stride, int rows, double *sum, int n)
{
    const int width = n >= 32 ? 32 : n >= 16 ? 16 : n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
    switch (width) {
    case 32: sum_eights(dy, stride, rows, sum, 32); break;
    case 16: sum_eights(dy, stride, rows, sum, 16); break;
    case 8: sum_eights(dy, stride, rows, sum, 8); break;
    case 4: sum_few(dy, stride, rows, sum, 4); break;
    case 2: sum_few(dy, stride, rows, sum, 2); break;
    default: sum_few(dy, stride, rows, sum, 1);
    }
    return width;
}

/* db[j] (+)= beta * sum over rows of dy[., j], sums in double. */
static void bias_gradient(const struct hn_call *c, const struct sizes *s, float beta)
{
    const float *dy = c->dy[0];
    float *db = c->dx[2];
    int add = (int)(c->acc >> 2 & 1), one = hn_extent_numel(&c->xs[2]) == 1;
    double total = 0;
    for (int j0 = 0, n; j0 < s->out; j0 += n) {
        double sum[STRIP] = { 0 };
        n = sum_columns(dy + j0, s->out, s->rows, sum, s->out - j0);
        for (int j = 0; j < n; j++) {
            total += sum[j];
            if (!one) db[j0 + j] = (float)((double)beta * sum[j]) + (add ? db[j0 + j] : 0.0f);
        }
    }
    if (one) db[0] = (float)((double)beta * total) + (add ? db[0] : 0.0f);
}

static void dense_late(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_dense *a = c->op->attrs;
    struct sizes s = sizes_of(c);
    if (c->dx[1]) { /* dw [m,n] = left^T right, this task's rows of it */
        const float *left = a->trans_w ? c->dy[0] : c->x[0],
                    *right = a->trans_w ? c->x[0] : c->dy[0];
        int m = a->trans_w ? s.out : s.in, n = a->trans_w ? s.in : s.out;
        int block = ((m + k->n_tasks - 1) / k->n_tasks + 15) & ~15;
        int from = k->task * block, len = m - from < block ? m - from : block;
        struct hn_gemm g = { .m = len,
                             .n = n,
                             .k = s.rows,
                             .a = left + from,
                             .lda = m,
                             .trans_a = 1,
                             .b = right,
                             .ldb = n,
                             .ldc = n,
                             .add = (int)(c->acc >> 1 & 1),
                             .alpha = (float)a->alpha };
        g.c = (float *)c->dx[1] + (size_t)from * (size_t)n, g.scratch = k->scratch;
        *(a->trans_w ? &g.b_index : &g.a_index) = k->index;
        if (len > 0) hn_gemm_run(&g);
    }
    if (c->op->n_in > 2 && c->dx[2] && k->task == k->n_tasks - 1)
        bias_gradient(c, &s, (float)a->beta);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_dense) = {
    .row = &hn_op_dense,
    .need = dense_need,
    .forward = { .main = dense_forward },
    .backward = { .main = dense_backward, .late = dense_late },
};
