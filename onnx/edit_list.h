/* SPDX-License-Identifier: MIT
 *
 * The edits, one function each: they find what the line names, change the model, and say what is wrong. The line is
 * split already; e->words[0] is the command, words are as many as edit.c's table says. */
#ifndef HN_ONNX_EDIT_LIST_H
#define HN_ONNX_EDIT_LIST_H

#include "onnx/modify.h"

hone_status hn_edit_untie(struct hn_modify *e);
hone_status hn_edit_inference(struct hn_modify *e);
hone_status hn_edit_scale_input(struct hn_modify *e);
hone_status hn_edit_scale_output(struct hn_modify *e);
hone_status hn_edit_rescale_output(struct hn_modify *e);
hone_status hn_edit_batch_symbolic(struct hn_modify *e);
hone_status hn_edit_batchnorm(struct hn_modify *e);
hone_status hn_edit_rename_metadata(struct hn_modify *e);
hone_status hn_edit_hidden(struct hn_modify *e);
hone_status hn_edit_ensemble(struct hn_modify *e);

/* Before layers are looked for: Casts from a float type to itself go. */
void hn_edit_drop_casts(struct hn_modify *e);
/* A Gemm without C, or whose C counts for nothing. */
int hn_edit_adds_nothing(const Onnx__NodeProto *gemm);
/* For batchnorm insert and its list of sites: the output of a Dense layer at node `at` (its Add's, when it has one), and how
 * many columns it has; NULL when the node is none. */
char *hn_edit_dense_output(const struct hn_modify *e, size_t at, int64_t *width);
/* Calls fn for every hidden Dense output, in node order; stops when fn returns 0. */
int hn_edit_each_hidden(const struct hn_modify *e,
                        int (*fn)(void *user, char *value, int64_t width), void *user);
#endif
