/* SPDX-License-Identifier: MIT
 *
 * A fresh MLP from a line of text:
 *     IN-H1-H2-…-OUT [ACTIVATION] [batchnorm|layernorm] [dropout=R] [softmax|sigmoid]
 * Each hidden block is Dense → norm → activation → Dropout (an ONNX Dropout node, off at inference); a tail stands behind
 * the last Dense. `softmax` and `sigmoid` alone are tails; `activation=sigmoid` is the hidden activation.
 * The file: IR 8, opset 17, Gemm with transB 1, fc1.weight [out, in] and fc1.bias, bn1.weight, bn1.bias,
 * bn1.running_mean, bn1.running_var, ln1.weight, ln1.bias; input x [N, IN], output y [N, OUT]; float32. */
#ifndef HN_ONNX_NEW_H
#define HN_ONNX_NEW_H

#include "ops/base/io.h"

enum { HN_NEW_WIDTHS = 66 }; /* input, 64 hidden layers, output */
enum hn_new_norm { HN_NEW_PLAIN, HN_NEW_BATCHNORM, HN_NEW_LAYERNORM };

struct hn_new_spec {
    int64_t widths[HN_NEW_WIDTHS];
    int n_widths;
    const char *
        activation; /* ONNX operator ("Relu"), "Gelu" (written as Erf and arithmetic), NULL: none */
    const char *tail; /* "Softmax", "Sigmoid" or NULL */
    enum hn_new_norm norm;
    double dropout; /* 0: none */
};

/* HONE_E_USAGE names the word that is wrong. The strings of spec are static. */
hone_status hn_new_parse(struct hn_new_spec *spec, const char *text, hone_error *err);
/* Appends the model's bytes. All weights and biases are 0, scales and variances 1: the caller fills in the weights. */
hone_status hn_new_model(struct hn_mem *m, const struct hn_new_spec *spec, struct hn_buffer *out,
                         hone_error *err);
#endif
