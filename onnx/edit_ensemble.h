/* SPDX-License-Identifier: MIT
 *
 * What the two files behind the edit "ensemble" share: edit_ensemble.c puts several models side by side in one graph,
 * edit_average.c makes one value of theirs. */
#ifndef HN_ONNX_EDIT_ENSEMBLE_H
#define HN_ONNX_EDIT_ENSEMBLE_H

#include "onnx/edit_list.h"

struct hn_average {
    const char *kind;   /* "mean", "softmax", "sigmoid" */
    char *value;        /* what it is called in the graph */
    char **from;        /* the members' values */
    size_t n;           /* members */
    const char *prefix; /* new names begin with it: nothing else in the graph does */
    int softmax_axis; /* -1, or 1 where the operators count so; that of the tail where there is one */
};
/* Appends the nodes (and initializers) that compute a->value. */
hone_status hn_edit_average(struct hn_modify *e, const struct hn_average *a);
#endif
