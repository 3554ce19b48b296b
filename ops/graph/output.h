/* SPDX-License-Identifier: MIT
 *
 * What the last op of an output is: shared by hn_graph_output and the losses. */
#ifndef HN_OUTPUT_H
#define HN_OUTPUT_H

#include "ops/graph/graph.h"

/* The tail that makes value v, and the value before it (v itself where there is no tail, -1 where it is inside a node).
 * first: its Softmax or LogSoftmax goes over the axis behind the rows, and there are others behind that. */
enum hn_tail hn_output_tail(const struct hn_graph *g, int32_t v, int32_t *before, int *first);
#endif
