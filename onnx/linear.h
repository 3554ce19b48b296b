/* SPDX-License-Identifier: MIT
 *
 * LinearClassifier and LinearRegressor of ai.onnx.ml, scikit-learn's linear models, whose weights are attributes of the node. Each
 * list of them counts as a tensor of the file, with an id behind those of the TensorProtos, so that it learns and is written back
 * in place as other tensors are; import_linear.c says the node in ordinary operators. What ONNX Runtime makes of a node is meant.
 *
 * Two classes mostly stand there as two rows of coefficients, -w and w. Those are one row that learns, and written back as both.
 *
 *     coefficients = [-1, -2, 1, 2], intercepts = [-3, 3]      →  tensors [1, 2] of 1, 2 and [1] of 3 */
#ifndef HN_ONNX_LINEAR_H
#define HN_ONNX_LINEAR_H

#include "onnx.pb-c.h"
#include "onnx/wire.h"

enum hn_linear_post { HN_LINEAR_NONE, HN_LINEAR_LOGISTIC, HN_LINEAR_SOFTMAX };

struct hn_floats { /* a list of floats that is a tensor */
    struct hn_tensor t;
    const char *name; /* of the attribute */
    const float *
        all; /* n numbers in the file: those of t, or, mirrored, before them as many of the other sign */
    size_t n;
    int mirrored;
    size_t body, end; /* of the attribute's message in the file */
};

struct hn_linear {
    const Onnx__NodeProto *node; /* of the main graph */
    const char *why; /* what keeps it from being said in ordinary operators; NULL: nothing */
    const Onnx__AttributeProto *labels; /* of the classes: ints or strings */
    enum hn_linear_post post;
    int classifier, mirrored;
    int64_t rows;                     /* of coefficients, as they learn */
    int32_t coefficients, intercepts; /* positions among the floats; -1: none */
};

struct hn_linears { /* in the file's order */
    struct hn_linear *v;
    struct hn_floats *floats;
    size_t n, n_floats;
};

/* All of a model's main graph; p[0..n) are its bytes, which the result borrows from. */
hone_status hn_linear_find(struct hn_linears *out, struct hn_arena *arena,
                           const Onnx__ModelProto *model, const unsigned char *p, size_t n,
                           hone_error *err);
/* The numbers as the file has them when those of the tensor are `values` (of type from). Where one keeps its bits, so does the one
 * of the other sign. In the arena; NULL: no memory. */
float *hn_floats_written(const struct hn_floats *f, struct hn_arena *arena, const void *values,
                         enum hn_dtype from);
#endif
