/* SPDX-License-Identifier: MIT
 *
 * A toy evaluator of imported graphs, in double, for two-dimensional values and a dozen operators: an oracle for edits
 * that shares no code with Hone's own kernels. */
#ifndef HN_TEST_ONNX_EVAL_H
#define HN_TEST_ONNX_EVAL_H

#include "onnx/model.h"
#include "tests/onnx/build.h"
#include <math.h>

/* A model and its graph, opened from bytes. */
struct pair {
    struct hn_onnx *m;
    struct hn_graph *g;
};
static inline struct pair open_graph(const struct hn_buffer *b)
{
    struct pair p;
    hone_error err;
    HN_OK(hn_onnx_open_bytes(&p.m, &test_mem, &hn_io_system, b->p, b->n, NULL, "t", &err), err);
    HN_OK(hn_onnx_graph(p.m, NULL, &p.g, &err), err);
    return p;
}
static inline void close_graph(struct pair p)
{
    hn_graph_destroy(p.g);
    hn_onnx_close(p.m);
}

struct ev_value {
    int64_t rows, cols;
    double *v;
};

static inline double ev_attr(const struct hn_node *n, const char *name, double otherwise)
{
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0)
            return n->attrs[i].type == HN_ATTR_F32 ? (double)n->attrs[i].f : (double)n->attrs[i].i;
    return otherwise;
}

static inline struct ev_value ev_constant(const struct hn_tensor *t)
{
    struct ev_value c = { 1, 1, calloc((size_t)t->n + 1, sizeof(double)) };
    if (t->rank) c.cols = t->dims[t->rank - 1];
    for (int i = 0; i + 1 < t->rank; i++) c.rows *= t->dims[i];
    for (int64_t i = 0; i < t->n; i++) c.v[i] = hn_tensor_f64(t, i);
    return c;
}

static inline double ev_at(struct ev_value a, int64_t r, int64_t c)
{
    return a.v[(a.rows == 1 ? 0 : r) * a.cols + (a.cols == 1 ? 0 : c)];
}

static inline double ev_scalar(const char *op, double a, double b)
{
    if (!strcmp(op, "Add")) return a + b;
    if (!strcmp(op, "Sub")) return a - b;
    if (!strcmp(op, "Mul")) return a * b;
    if (!strcmp(op, "Div")) return a / b;
    if (!strcmp(op, "Relu")) return a > 0 ? a : 0;
    if (!strcmp(op, "Tanh")) return tanh(a);
    if (!strcmp(op, "Sigmoid")) return 1 / (1 + exp(-a));
    if (!strcmp(op, "Erf")) return erf(a);
    if (!strcmp(op, "Max")) return fmax(a, b);
    if (!strcmp(op, "Exp")) return exp(a);
    if (!strcmp(op, "Log")) return log(a);
    if (!strcmp(op, "Neg")) return -a;
    if (!strcmp(op, "Softplus")) return fmax(a, 0) + log1p(exp(-fabs(a)));
    if (!strcmp(op, "Identity") || !strcmp(op, "Cast") || !strcmp(op, "Dropout")) return a;
    ck_abort_msg("operator %s", op);
}

static inline struct ev_value ev_product(const struct hn_node *n, struct ev_value *in)
{
    int tb = ev_attr(n, "transB", 0) != 0;
    double alpha = ev_attr(n, "alpha", 1), beta = ev_attr(n, "beta", 1);
    struct ev_value y = { in[0].rows, tb ? in[1].rows : in[1].cols, NULL };
    y.v = calloc((size_t)(y.rows * y.cols), sizeof(double));
    ck_assert_int_eq(in[0].cols, tb ? in[1].cols : in[1].rows);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) {
            double sum = 0;
            for (int64_t k = 0; k < in[0].cols; k++)
                sum += in[0].v[r * in[0].cols + k] *
                       (tb ? in[1].v[c * in[1].cols + k] : in[1].v[k * in[1].cols + c]);
            y.v[r * y.cols + c] = alpha * sum + (n->n_in > 2 ? beta * ev_at(in[2], r, c) : 0);
        }
    return y;
}

/* Over the columns. */
static inline struct ev_value ev_softmax(struct ev_value x, int logarithm)
{
    struct ev_value y = { x.rows, x.cols, calloc((size_t)(x.rows * x.cols), sizeof(double)) };
    for (int64_t r = 0; r < x.rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < x.cols; c++) sum += exp(ev_at(x, r, c));
        for (int64_t c = 0; c < x.cols; c++) {
            double l = ev_at(x, r, c) - log(sum);
            y.v[r * x.cols + c] = logarithm ? l : exp(l);
        }
    }
    return y;
}

/* One operand after the other. */
static inline struct ev_value ev_fold(const struct hn_node *n, const struct ev_value *in)
{
    struct ev_value y = in[0];
    size_t bytes = (size_t)(y.rows * y.cols) * sizeof(double);
    y.v = memcpy(malloc(bytes), y.v, bytes);
    for (int k = 1; k < n->n_in; k++) {
        ck_assert(in[k].rows == y.rows && in[k].cols == y.cols);
        for (int64_t i = 0; i < y.rows * y.cols; i++)
            y.v[i] = ev_scalar(strcmp(n->type, "Max") ? "Add" : "Max", y.v[i], in[k].v[i]);
    }
    return y;
}

/* Columns of two, side by side. */
static inline struct ev_value ev_columns(const struct ev_value *in)
{
    struct ev_value y = { in[0].rows, in[0].cols + in[1].cols, NULL };
    y.v = calloc((size_t)(y.rows * y.cols), sizeof(double));
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            y.v[r * y.cols + c] = c < in[0].cols ? in[0].v[r * in[0].cols + c]
                                                 : in[1].v[r * in[1].cols + c - in[0].cols];
    return y;
}

static inline struct ev_value ev_node(const struct hn_node *n, struct ev_value *in)
{
    if (!strcmp(n->type, "Gemm") || !strcmp(n->type, "MatMul")) return ev_product(n, in);
    if (!strcmp(n->type, "Softmax") || !strcmp(n->type, "LogSoftmax"))
        return ev_softmax(in[0], n->type[0] == 'L');
    if (!strcmp(n->type, "Concat")) return ev_columns(in);
    if (!strcmp(n->type, "Sum") || !strcmp(n->type, "Max")) return ev_fold(n, in);
    int two = n->n_in > 1 && strcmp(n->type, "Dropout") != 0;
    struct ev_value y = in[0];
    if (two && in[1].rows * in[1].cols > y.rows * y.cols) y = in[1];
    y.v = calloc((size_t)(y.rows * y.cols), sizeof(double));
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) {
            double *to = &y.v[r * y.cols + c], x = ev_at(in[0], r, c);
            if (!strcmp(n->type, "BatchNormalization"))
                *to =
                    in[1].v[c] * (x - in[3].v[c]) / sqrt(in[4].v[c] + ev_attr(n, "epsilon", 1e-5)) +
                    in[2].v[c];
            else
                *to = ev_scalar(n->type, x, two ? ev_at(in[1], r, c) : 0);
        }
    return y;
}

/* Runs the graph on its first input, [rows, cols]; the first output's numbers go to y (n of them). */
static inline void ev_run(const struct hn_graph *g, const double *x, int64_t rows, int64_t cols,
                          double *y, int64_t n)
{
    struct ev_value *v = calloc(g->n_values + 1, sizeof *v), in[8];
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i].is_initializer && g->values[i].constant)
            v[i] = ev_constant(g->values[i].constant);
    v[g->inputs[0]] = (struct ev_value){ rows, cols,
                                         memcpy(malloc((size_t)(rows * cols) * sizeof *x), x,
                                                (size_t)(rows * cols) * sizeof *x) };
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *node = &g->nodes[g->order[i]];
        if (!strcmp(node->type, "Constant")) {
            v[node->out[0]] = ev_constant(node->attrs[0].tensor);
            continue;
        }
        for (int k = 0; k < node->n_in; k++)
            in[k] = node->in[k] < 0 ? (struct ev_value){ 0 } : v[node->in[k]];
        v[node->out[0]] = ev_node(node, in);
    }
    struct ev_value out = v[g->outputs[0]];
    ck_assert_int_eq(out.rows * out.cols, n);
    memcpy(y, out.v, (size_t)n * sizeof *y);
    for (size_t i = 0; i < g->n_values; i++) free(v[i].v);
    free(v);
}
#endif
