/* SPDX-License-Identifier: MIT
 *
 * Outputs that are labels, integers or bools, as they are handed out. A program computes them as floats; what these stand for
 * (ops/graph/labels.c) is looked up here. */
#ifndef HN_DISCRETE_H
#define HN_DISCRETE_H

#include "ops/graph/graph.h"

struct hn_discrete {
    const char *name; /* of the output */
    enum hn_dtype
        dtype; /* as handed out: integers are HN_I64; HN_BOOL, HN_STR, of lists of floats HN_F32 or HN_F64 */
    enum hn_dtype stored;           /* as the model has it */
    const struct hn_tensor *labels; /* NULL: the numbers themselves */
    int as_given; /* integers of an input, rounded where the program's floats cannot hold them */
};

/* Is the graph's output of that name (borrowed from the graph) such a one, and which? Text, integers, bools, or floats of a list; 0: ordinary numbers. */
int hn_discrete_find(const struct hn_graph *g, const char *output, struct hn_discrete *d);
size_t hn_discrete_size(enum hn_dtype t); /* of an element; text: a pointer */
/* n elements of a program's output (elem bytes each) as d->dtype. Text points into the graph. HONE_E_UNSUPPORTED for an integer that
 * was too large to come through. */
hone_status hn_discrete_read(const struct hn_discrete *d, const void *from, size_t elem, int64_t n,
                             void *out, hone_error *err);
#endif
