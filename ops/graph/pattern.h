/* SPDX-License-Identifier: MIT
 *
 * Groups of ONNX nodes that are one program op: found once, on the inferred graph. The last node carries the pattern and
 * is lowered as the op; the nodes inside are absorbed. Collapses only through values with one consumer that are no graph
 * output, so that nothing anybody can see disappears. */
#ifndef HN_PATTERN_H
#define HN_PATTERN_H

#include "ops/graph/facts.h"

enum hn_pattern_kind {
    HN_PT_UNARY,     /* x -> unary(kind): GELU, SiLU, Mish, Softplus with a threshold */
    HN_PT_DENSE,     /* MatMul or Gemm without C, + Add: x, w, bias */
    HN_PT_LAYERNORM, /* ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div[, Mul, Add], and TensorFlow's form: x, scale, bias */
    HN_PT_BATCHNORM /* x k + (bias - mean k), k = scale / sqrt(var + eps), all constants but x: x, scale, bias */
};
enum { HN_PATTERN_OPERANDS = 3 };
struct hn_pattern {
    enum hn_pattern_kind kind;
    const char *name;                /* "Gelu", for listings */
    int32_t in[HN_PATTERN_OPERANDS]; /* values, -1: absent */
    int32_t inner[12];               /* the nodes inside, the last one excepted */
    int n_inner;
    double alpha; /* Dense: a factor of the product */
    int trans_w;  /* the weight stands on the left of a single row */
    int unary;    /* enum hn_unary_kind */
    double eps;
    int axes; /* layer normalisation: how many trailing dims */
    struct hn_consumer reads
        [4]; /* BatchNormalization: which nodes' inputs are scale, bias, mean and variance; node -1: none */
};
int hn_input_needed(const struct hn_graph *g, const struct hn_node *n,
                    int i); /* at run time, patterns aside */
#endif
