/* SPDX-License-Identifier: MIT
 *
 * Activations by the words that people use ("relu", "gelu"): which nodes of a graph are one, and writing one. Formulas are
 * PyTorch's: gelu x·Φ(x) (Hendrycks and Gimpel 2016), silu x·sigmoid(x), mish x·tanh(softplus(x)); "linear" is none. */
#ifndef HN_ONNX_ACTIVATION_H
#define HN_ONNX_ACTIVATION_H

#include "onnx/modify.h"

/* Is it one of hn_activation_words (onnx/edit.h)? */
int hn_activation_known(const char *word);
/* What the n nodes, in order, compute together: a word, "linear" for none, NULL for something else. */
const char *hn_activation_name(Onnx__NodeProto *const *nodes, size_t n);
/* Weights in front of such nodes start He-uniform (as in plugin/train/init.c). */
int hn_activation_rectifies(Onnx__NodeProto *const *nodes, size_t n);

struct hn_activation_place {
    const char *word;
    const char *in, *out; /* values; out is new */
    const char *name;     /* of the node; several get it as a prefix */
    enum hn_dtype dtype;  /* of constants that are needed */
    size_t at;            /* position of the first node */
};
/* HONE_E_UNSUPPORTED when the model's opset has no way to say it. "linear" is not for this function. */
hone_status hn_activation_write(struct hn_modify *e, const struct hn_activation_place *p);
/* The operator that stands for the word in names of nodes: "Relu", "Gelu". */
const char *hn_activation_op(const char *word);
#endif
