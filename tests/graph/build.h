/* SPDX-License-Identifier: MIT
 *
 * Graphs in a few lines:
 *     struct tb t; tb_open(&t, 17);
 *     tb_input(&t, "x", HN_F32, 2, -1, 4);
 *     tb_floats(&t, "w", 2, 3, 4);                         // 1st, 2nd, … number: a fixed formula; tb_set changes them
 *     tb_node(&t, "Gemm", "x w", "y", "transB=1 alpha=0.5");   // "-" is an absent name; lists: "axes=1,2"
 *     tb_output(&t, "y"); tb_finish(&t, NULL); */
#ifndef HN_TEST_GRAPH_BUILD_H
#define HN_TEST_GRAPH_BUILD_H

#include "ops/graph/facts.h"
#include "ops/math/op.h"
#include "tests/harness.h"

struct tb {
    struct hn_mem mem;
    struct hn_graph *g;
    hone_error err;
};
void tb_open(struct tb *t, int64_t opset);
void tb_close(struct tb *t); /* asserts that nothing leaks */
int32_t tb_input(struct tb *t, const char *name, enum hn_dtype dtype, int rank,
                 ...);                                            /* int dims; -1: open */
int32_t tb_floats(struct tb *t, const char *name, int rank, ...); /* int dims */
int32_t tb_doubles(struct tb *t, const char *name, int rank, ...);
int32_t tb_halves(struct tb *t, const char *name, enum hn_dtype dtype, int rank, ...);
int32_t tb_ints(struct tb *t, const char *name, int n, ...); /* int64 list */
int32_t tb_number(struct tb *t, const char *name, double x); /* float32 scalar */
void tb_set(struct tb *t, const char *name, double x);       /* every element */
int32_t tb_node(struct tb *t, const char *type, const char *in, const char *out, const char *attrs);
void tb_constant(struct tb *t, const char *name, int rank,
                 ...); /* a Constant node over floats, int dims */
void tb_output(struct tb *t, const char *name);
void tb_finish(struct tb *t, const struct hn_graph_opts *opts); /* asserts success */

const struct hn_value *tb_value(const struct tb *t, const char *name);
const char *tb_shape(const struct tb *t, const char *name); /* "[N,4]", static text; "?" unknown */
enum hn_verdict tb_verdict(const struct tb *t, const char *output); /* of the node that makes it */
const struct hn_issue *tb_issue(const struct tb *t,
                                const char *part);       /* first whose text has it, or NULL */
int tb_is_trained(const struct tb *t, const char *name); /* 1, 0, -1: no parameter */

struct hn_program *tb_lower(struct tb *t, const struct hn_lower_opts *opts); /* asserts success */
int tb_count_ops(const struct hn_program *p, const char *row);
const struct hn_op *tb_op(const struct hn_program *p, const char *row); /* the first, or NULL */
/* Inference on `rows` rows, inputs x[input][…]; the first output, allocated in t->mem. */
double *tb_run(struct tb *t, const struct hn_program *p, int64_t rows, const double *const *x);
#endif
