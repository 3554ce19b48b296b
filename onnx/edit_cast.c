/* SPDX-License-Identifier: MIT
 *
 * Casts from a float type to itself, as Keras on PyTorch writes one or two behind every operation, go before layers are rebuilt:
 * what stands between them are plain layers. */
#include "onnx/edit_list.h"
#include "onnx/layer.h"
#include "ops/base/tensor.h"
#include <string.h>

enum { FAR = 256 }; /* nodes that a type is looked for through */

/* The type of the output is that of the first input. */
static int keeps_type(const Onnx__NodeProto *n)
{
    static const char *const list[] = {
        "Gemm",      "MatMul",     "Add",        "Sub",
        "Mul",       "Div",        "Relu",       "LeakyRelu",
        "PRelu",     "Elu",        "Celu",       "Selu",
        "Tanh",      "Sigmoid",    "Softplus",   "Softsign",
        "Gelu",      "Mish",       "HardSwish",  "HardSigmoid",
        "Erf",       "Exp",        "Log",        "Neg",
        "Abs",       "Sqrt",       "Reciprocal", "Pow",
        "Clip",      "Dropout",    "Identity",   "BatchNormalization",
        "Reshape",   "Flatten",    "Squeeze",    "Unsqueeze",
        "Softmax",   "LogSoftmax", "Concat",     "LayerNormalization",
        "Transpose", NULL
    };
    for (int i = 0; list[i]; i++)
        if (hn_md_is(n, list[i])) return n->n_input > 0;
    return 0;
}

/* 0: it cannot be told. */
static int32_t type_of(const struct hn_modify *e, const char *value)
{
    for (int i = 0; i < FAR; i++) {
        const Onnx__TensorProto *t = hn_md_constant(e, value);
        if (t) return t->data_type;
        const Onnx__NodeProto *n = hn_md_producer(e, value, NULL);
        const Onnx__ValueInfoProto *v = n ? NULL : hn_md_input(e, value);
        const Onnx__AttributeProto *to = n && hn_md_is(n, "Cast") ? hn_md_attr(n, "to") : NULL;
        if (v && v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            return v->type->tensor_type->elem_type;
        if (to) return (int32_t)to->i;
        if (!n || !keeps_type(n)) return 0;
        value = n->input[0];
    }
    return 0;
}

void hn_edit_drop_casts(struct hn_modify *e)
{
    for (size_t i = 0; i < e->g->n_node; i++) {
        Onnx__NodeProto *n = e->g->node[i];
        const Onnx__AttributeProto *to = hn_md_is(n, "Cast") ? hn_md_attr(n, "to") : NULL;
        if (!to || n->n_input != 1 || n->n_output != 1 ||
            !hn_dtype_is_float((enum hn_dtype)to->i) || hn_md_is_output(e, n->output[0]) ||
            type_of(e, n->input[0]) != to->i || !strcmp(n->input[0], n->output[0]))
            continue;
        hn_layer_forget(e, n->output[0]);
        hn_md_rewire(e, n->output[0], n->input[0], n);
        hn_md_remove(&e->g->node, &e->g->n_node, i--);
    }
}
