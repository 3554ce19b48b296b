/* SPDX-License-Identifier: MIT
 *
 * One layer of a hidden stack (onnx/stack.h) for the edit that rebuilds it: other numbers in other shapes, and copies. */
#ifndef HN_ONNX_LAYER_H
#define HN_ONNX_LAYER_H

#include "onnx/stack.h"

enum hn_dtype hn_layer_dtype(const struct hn_modify *e, const struct hn_stack_layer *l);
/* What node i of the layer takes: the output of the one before it. i == n: what the layer computes. */
char *hn_layer_value(const struct hn_stack_layer *l, size_t i);
/* Takes away the declared shape of a value whose shape may change. */
void hn_layer_forget(struct hn_modify *e, const char *name);

struct hn_layer_fresh { /* of a layer that begins anew */
    struct hn_modify *e;
    const uint32_t
        *key; /* of Philox; element i of the weight in the file's order is number i of stream
                            HN_STREAM_INIT + stream */
    int64_t in, out;
    int he; /* He-uniform, else Xavier-uniform */
    int stream;
    int copy; /* the nodes are those of this copy (from 1) and get tensors of their own; 0: the layer itself, whose tensors
                 change in their place */
};
/* All numbers of the layer whose nodes l lists. HONE_E_UNSUPPORTED for a tensor that others use as well, HONE_E_BUDGET for
 * one that no file can hold. */
hone_status hn_layer_begin_anew(const struct hn_layer_fresh *f, const struct hn_stack_layer *l);

struct hn_layer_copy {
    struct hn_modify *e;
    const struct hn_stack_layer *from;
    int copy; /* its number, for names: "fc2.weight" → "fc2_1.weight", "/3/Gemm" → "/3_1/Gemm", "h" → "h_1" */
    char *entry; /* the value that the copy takes */
    size_t at;   /* where the next node goes */
};
/* The nodes again, with names of their own and still the same constants. */
hone_status hn_layer_copy(struct hn_layer_copy *c, struct hn_stack_layer *to);
#endif
