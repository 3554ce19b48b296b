/* SPDX-License-Identifier: MIT
 *
 * The main graph's nodes with every call of a function of the model's own replaced by the nodes of its body, calls inside
 * bodies too. The model is not changed: a node of a body appears as a copy with names of its own for every call, while
 * attributes and tensors stay the file's own messages, so that a tensor of a body keeps its place in the file.
 *
 *     fc1 = my.Linear(x, w)        my.Linear(a, b) → c: { h = MatMul(a, b); c = Relu(h) }
 *     →  fc1/MatMul#0: fc1/h = MatMul(x, w);  fc1/Relu#1: fc1's output = Relu(fc1/h)
 *
 * A name is the call's name, or its operator and position in its list ("Linear#3"), a slash, and the name in the body; a
 * number is added where it is taken. Constant nodes that hold a tensor of the file stand there once, however many calls
 * give it: one place in the file is one parameter. Attribute references get the call's attribute, the default, or go.
 * An output that is an input handed through becomes an Identity. What all this would take is counted before and while it
 * is done, against the budget of the scan, so that a small file cannot grow without bound. */
#ifndef HN_ONNX_EXPAND_H
#define HN_ONNX_EXPAND_H

#include "onnx/function.h"

struct hn_flat_node {
    Onnx__NodeProto *node;
    const struct hn_function *from; /* the function it stands in, NULL: the main graph */
    int shared;                     /* a Constant that stands for those of several calls */
    int64_t version; /* of its domain, where it is not the model's or the function's; 0 */
    const char *why; /* a linear model that import_linear.c leaves as it is: why; NULL */
};
struct hn_expanded {
    struct hn_mem *mem;
    struct hn_flat_node *nodes;
    size_t n, cap;
    struct hn_functions functions;
    size_t n_unread; /* tensors that calls give as attributes and functions do not read */
    const char *unread, *unread_call; /* the first one, and its call */
};

/* The arena holds what is made and must outlive the result; n_bytes: the file's size. */
hone_status hn_expand(struct hn_expanded *x, struct hn_mem *m, struct hn_arena *arena,
                      const struct hn_proto *p, size_t n_bytes, hone_error *err);
/* expand_if.c: the branches of the main graph's If nodes, behind all other nodes. */
hone_status hn_expand_ifs(struct hn_expanded *x, struct hn_arena *arena, const Onnx__GraphProto *g,
                          hone_error *err);
void hn_expand_free(struct hn_expanded *x); /* a zeroed struct is fine */
#endif
