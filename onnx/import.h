/* SPDX-License-Identifier: MIT
 *
 * From protobuf-c's view of a model to struct hn_graph: values, nodes, attributes, constants, declared types, hints and
 * class lists; hn_graph_finish then understands them. Shared by the files of the import only; callers use
 * hn_onnx_graph (onnx/model.h). Names and text are copied into the graph; numbers of tensors stay the model's. */
#ifndef HN_ONNX_IMPORT_H
#define HN_ONNX_IMPORT_H

#include "onnx/expand.h"
#include "onnx/model.h"

struct hn_weight { /* a list of floats that is an initializer here: its name and id */
    const char *name;
    int32_t id;
};
struct hn_import {
    const struct hn_onnx *m;
    const Onnx__ModelProto *model;
    struct hn_graph *g;
    hone_error *err;
    struct hn_expanded flat;   /* the nodes, calls of the model's own functions expanded */
    struct hn_arena arena;     /* holds what flat points to */
    struct hn_weight *weights; /* of linear models */
    size_t n_weights;
};

/* "" for the standard operators, however the file spells them. */
const char *hn_import_domain(const char *domain);
/* The tensor with its id; NULL when its type or form is not supported. */
const struct hn_onnx_tensor *hn_import_tensor(const struct hn_import *im,
                                              const Onnx__TensorProto *t, int32_t *id);

hone_status hn_import_linears(struct hn_import *im); /* in flat, before the nodes */
hone_status hn_import_values(struct hn_import *im);  /* inputs and initializers, before the nodes */
hone_status hn_import_nodes(struct hn_import *im);
hone_status
hn_import_declared(struct hn_import *im); /* outputs, value_info, hints: after the nodes */
hone_status
hn_import_check(struct hn_import *im); /* no subgraph shadows a name; finish checks the rest */
hone_status hn_import_classes(struct hn_import *im);
hone_status hn_import_torch(struct hn_import *im); /* after the nodes */
#endif
