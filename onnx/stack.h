/* SPDX-License-Identifier: MIT
 *
 * The hidden stack of a model: a chain of blocks
 *
 *     Dense (Gemm, or MatMul or a Gemm that adds nothing with its Add) → normalisation, activation, Dropout in any order, each of them optional
 *
 * from the first Dense layer to the last one, which is no part of it. What lies in front (normalisers, Flatten, Concat) is
 * the head, what lies behind the last Dense is the tail; several last layers may take the stack's output. Understood are
 * BatchNormalization, LayerNormalization, the latter also as the nodes PyTorch writes below opset 17, and activations of one
 * node or several that depend on nothing else. Everything else is an obstacle that is named. */
#ifndef HN_ONNX_STACK_H
#define HN_ONNX_STACK_H

#include "onnx/modify.h"

enum { HN_STACK_HEADS = 16 };
enum hn_step { HN_STEP_NORM, HN_STEP_ACTIVATION, HN_STEP_DROPOUT };

struct hn_stack_layer {
    Onnx__NodeProto *dense, *add; /* add: the bias of a MatMul, or of a Gemm without one; or NULL */
    int64_t in, out;
    Onnx__NodeProto **nodes; /* behind the Dense layer, in order */
    enum hn_step *steps;     /* what each of them is part of */
    size_t n;
    char *exit; /* the value that the next layer takes */
};

struct hn_stack {
    struct hn_stack_layer layer[HN_HIDDEN_MAX];
    int n; /* hidden layers; 0: the first Dense layer is the last one */
    struct hn_stack_layer last[HN_STACK_HEADS];
    int n_last;
};

/* HONE_E_UNSUPPORTED, naming the node, when the hidden part is something else. */
hone_status hn_stack_find(struct hn_modify *e, struct hn_stack *s);
/* The activation's nodes of a layer: from *first on, *n of them. 0: they stand in several places. */
int hn_stack_activation(const struct hn_stack_layer *l, size_t *first, size_t *n);
/* Input k of this node holds one number a column (a normalisation's, a slope); *fresh: what it starts with. */
int hn_stack_column_input(const struct hn_modify *e, const struct hn_stack_layer *l, size_t node,
                          size_t k, double *fresh);
#endif
