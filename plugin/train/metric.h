/* SPDX-License-Identifier: MIT
 *
 * Metrics from outputs and targets, in double. One hn_metric accumulates one target of a model over the rows of one
 * role, piece by piece in the order of rows; no allocation after create. Row weights do not enter: a metric counts rows.
 *
 *   accuracy  share of rows whose class is right: the largest output (the first of equals) against the target's class; with
 *             one output, class 1 above the threshold. Multi-label: share of right cells.
 *   mae rmse  mean of |p - y|, root of the mean of (p - y)^2, per column, then the mean of the columns
 *   r2        1 - sum (p - y)^2 / sum (y - mean y)^2 per column, then the mean of the columns. A constant column counts 1
 *             when it is met exactly, else 0. Absent below two rows.
 *   f1        two classes: 2 tp / (2 tp + fp + fn) of class 1; more: the mean over the classes seen in targets or
 *             predictions; multi-label: the mean over the columns. 0 / 0 counts 0.
 *   auc       two classes: the chance that a row of class 1 scores above one of class 0, ties half; more: the mean over the
 *             classes, each against the rest by its probability; multi-label: the mean over the columns. A class or column
 *             without both kinds of rows does not count; absent when none is left. */
#ifndef HN_METRIC_H
#define HN_METRIC_H

#include "plugin/internal.h"

struct hn_metric_spec {
    int64_t per_row;  /* outputs of a row, or of one of its places */
    int64_t places;   /* of a row that have a class each, and count like rows; 0 is 1 */
    int n_classes;    /* 0: regression; else classes (2 with one output) */
    int multilabel;   /* every output is a yes or no of its own */
    int softmax;      /* outputs of several classes lie before a Softmax, or are logarithms */
    int dense;        /* targets are per_row numbers a row, else one class index */
    double threshold; /* one output, multi-label: yes above it (0.5 probabilities, 0 logits) */
    unsigned want;    /* HN_HAS_… bits; those that make no sense for the target are left out */
    size_t elem;      /* bytes of an element of outputs and targets: 4 or 8 */
    int64_t max_rows; /* rows at most between reset and figures (auc keeps their scores) */
};

/* The spec of a session's target. logits: the outputs handed to hn_metric_add lie before the Softmax or Sigmoid tail. With
 * want 0 it is what the contract prints: accuracy for classes, else mae and r2. */
void hn_metric_spec_of(const struct hn_target *t, int64_t per_row, int logits, unsigned want,
                       struct hn_metric_spec *spec);

/* What means something for such a target: HN_HAS_… bits. */
unsigned hn_metric_sensible(const struct hn_target *t, int64_t per_row);

struct hn_metric;
hone_status hn_metric_create(struct hn_mem *mem, const struct hn_metric_spec *spec,
                             struct hn_metric **out, hone_error *err);
void hn_metric_destroy(struct hn_metric *m); /* NULL allowed */
void hn_metric_reset(struct hn_metric *m);
/* rows rows of outputs and of targets, elements of spec.elem bytes. A class index outside 0…n_classes-1 counts as wrong. */
void hn_metric_add(struct hn_metric *m, const void *outputs, const void *targets, int64_t rows);
/* Metrics of n targets into f (their mean, over the targets that have it) and their bits into f->has; loss and rows are
 * left alone. */
void hn_metric_figures(struct hn_metric *const *m, int n, struct hn_figures *f);

/* Names: "accuracy", "mae", "rmse", "r2", "f1", "auc". 0 for an unknown name. */
unsigned hn_metric_bit(const char *name);
/* Is more better? By name with or without "train_", "val_", "test_": 1 for accuracy, r2, f1, auc; 0 for loss, mae, rmse;
 * -1 unknown. */
int hn_metric_direction(const char *name);
/* The figure called name ("loss", "accuracy", …): 1 when f has it. */
int hn_metric_get(const struct hn_figures *f, const char *name, double *out);
/* The i-th name in the order of columns and keys ("loss" first), NULL past the end. */
const char *hn_metric_name(size_t i);
#endif
