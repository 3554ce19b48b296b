/* SPDX-License-Identifier: MIT
 *
 * Lowering's workbench: a draft program that grows op by op, kept in growable arrays until program.c cuts and packs it.
 * Also used by fold.c for one node on constants (fold = 1: then there are no parameters and no graph around it). */
#ifndef HN_LOWER_H
#define HN_LOWER_H

#include "ops/graph/pattern.h"
#include "ops/graph/rows.h"

struct hn_lowering {
    const struct hn_graph *g;
    const struct hn_lower_opts *opts;
    struct hn_arena *arena; /* attributes, names and index lists */
    hone_error *err;
    struct hn_value_ref *values;
    struct hn_op *ops;
    struct hn_tensor *consts;
    size_t n_values, n_ops, n_consts, cap_values, cap_ops, cap_consts;
    int32_t *map;       /* ONNX value -> program value + 1, 0: none yet */
    int32_t *param_map; /* parameter -> program value + 1 */
    int32_t node;       /* the ONNX node being lowered, for names and streams; -1: none */
    int n_targets;
    int fold;
};

/* The program value of an ONNX value, made on first use (parameter, constant). */
hone_status hn_l_value(struct hn_lowering *l, int32_t v, int32_t *out);
/* A rank-2 weight without a transpose of its own: *trans says that it is used transposed. */
hone_status hn_l_weight(struct hn_lowering *l, int32_t v, int32_t *out, int *trans);
/* A constant: n numbers of a given shape (rank 0: one number). */
hone_status hn_l_const(struct hn_lowering *l, const struct hn_tensor *t, int32_t *out);
hone_status hn_l_fill(struct hn_lowering *l, const struct hn_shape *s, double x,
                      int32_t *out); /* dims that follow N: 1 */
/* Appends an op with one output; shapes are checked by the op's row. attrs is copied. in[]: program values or -1. */
hone_status hn_l_op(struct hn_lowering *l, const struct hn_op_row *row, const void *attrs,
                    const int32_t *in, int n_in, int32_t *out);
hone_status hn_l_unary(struct hn_lowering *l, enum hn_unary_kind kind, double a, double b,
                       int32_t x, int32_t *out);
hone_status hn_l_binary(struct hn_lowering *l, enum hn_binary_kind kind, int32_t a, int32_t b,
                        int32_t *out);
/* quantize.c: x rounded as q says, to what the whole numbers stand for or (whole) to these. */
hone_status hn_l_quantize(struct hn_lowering *l, const struct hn_quant *q, int whole, int32_t x,
                          int32_t *y);
hone_status hn_l_view(struct hn_lowering *l, int32_t x, const struct hn_shape *s, int32_t *out);
/* ONNX value v is program value y (viewed in v's shape where the ranks differ). v < 0: nothing. */
hone_status hn_l_bind(struct hn_lowering *l, int32_t v, int32_t y);
/* An activation with its attributes on a program value; finish: dropout behind it, and node n's output is y. */
hone_status hn_l_activation(struct hn_lowering *l, enum hn_unary_kind kind,
                            const struct hn_onnx_attrs *a, int32_t x, int32_t *y);
hone_status hn_l_finish(struct hn_lowering *l, const struct hn_node *n, enum hn_unary_kind kind,
                        int32_t y);
hone_status hn_l_gemm(struct hn_lowering *l, const struct hn_node *n, const struct hn_onnx_attrs *a,
                      int32_t *y);
/* scale * x / sqrt(mean(x^2) + eps), the mean over the dims from `axis` on. */
hone_status hn_l_rmsnorm(struct hn_lowering *l, int32_t x, int32_t scale, int axis, double eps,
                         int32_t *y);
/* x in shape `to`, whose batch dim x has not: every row alike. */
hone_status hn_l_rows(struct hn_lowering *l, int32_t x, const struct hn_shape *to, int32_t *y);
/* x at `count` positions of dim `axis`. */
hone_status hn_l_pick(struct hn_lowering *l, const struct hn_node *n, int axis, const int64_t *at,
                      int64_t count, int32_t *x);
/* After a hidden activation y of node n: a dropout op where the options ask for one. */
hone_status hn_l_hidden(struct hn_lowering *l, const struct hn_node *n, int32_t *y);
hone_status hn_l_pattern(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_pattern *p);
/* Everything live, in order: the draft is complete but for losses and parts. */
hone_status hn_l_graph(struct hn_lowering *l);
hone_status hn_l_losses(struct hn_lowering *l); /* loss.c */
/* augment.c: a target mixed as the inputs are, where the options ask for it (classes > 0: it has class indices). */
hone_status hn_l_mix_target(struct hn_lowering *l, int64_t classes, int32_t *target);
void hn_l_clear(struct hn_lowering *l); /* frees the draft's arrays, not the arena */
#endif
