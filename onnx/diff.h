/* SPDX-License-Identifier: MIT
 *
 * What differs between two models: tensors by value, everything else field by field over the whole schema, so that a
 * field nobody thought of is compared too. Where numbers lie (raw, typed, external) is a field, not a value. */
#ifndef HN_ONNX_DIFF_H
#define HN_ONNX_DIFF_H

#include "onnx/model.h"

struct hn_difference {
    int is_tensor;
    const char *path; /* "graph.node[3].attribute[1].f", "graph.initializer[0]" */
    const char *
        name; /* of the tensor; of the node or value that the field belongs to, "" when there is none */
    const char
        *what; /* "values", "dims", "type", or of fields: "1 against 2", "only in the first" */
    int64_t n, n_differing;  /* elements, of tensors whose values differ */
    double max_abs, max_ulp; /* infinite when only one of two numbers is finite */
};

/* Calls each for every difference, in file order of `a`; stops when it fails and returns that. Strings are valid during
 * the call only. */
hone_status hn_onnx_diff(const struct hn_onnx *a, const struct hn_onnx *b,
                         hone_status (*each)(void *user, const struct hn_difference *d), void *user,
                         hone_error *err);
#endif
