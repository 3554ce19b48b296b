/* SPDX-License-Identifier: MIT
 *
 * What hone_predict computes, and the files it writes it to. */
#ifndef HN_PREDICT_H
#define HN_PREDICT_H

#include "plugin/discrete.h"
#include "plugin/session_own.h"

enum { HN_PREDICT_OUTPUTS = 64 };

struct hn_predicted { /* one output that is written */
    int output;       /* of the program */
    const char *name;
    int64_t per_row; /* as computed */
    int64_t width;   /* as written: places for class numbers */
    int discrete;    /* what it is then: */
    struct hn_discrete of;
    enum hn_dtype dtype;        /* as written */
    char *all;                  /* every row, for formats that want whole arrays */
    char *chunk;                /* discrete: some rows, as written */
    double half;                /* one score a row: above it is class 1 */
    int64_t n_classes, places;  /* of a row that have a class each */
    int first;                  /* [classes, places], else [places, classes] */
    const char *const *classes; /* their labels in order; NULL: 0, 1, ... */
};

struct hn_predictor {
    struct hn_session *s;
    const hone_params *params;
    struct hn_plan *plan;
    void *exec;
    struct hn_replica r;
    struct hn_hyper hyper;
    int64_t rows;
    void *out[HN_PREDICT_OUTPUTS];
    struct hn_predicted col[HN_PREDICT_OUTPUTS];
    int n_col, argmax;
    int whole;     /* every row is kept, for a file */
    int one_array; /* the file holds one */
    hone_predict_fn each;
    void *user;
};

/* predict.c: which outputs, as the parameters say, everything they need for blocks of so many rows, the weights; p->s and
 * p->params are set, and p->whole and p->rows where a file is to be written. hn_predict_close also after a failure, with the session. */
enum { HN_PREDICT_ROWS = 1024 };
hone_status hn_predict_open(struct hn_predictor *p, int64_t block, hone_error *err);
/* n rows of output k as they are handed out, from those the program computed last. */
hone_status hn_predict_hand_out(struct hn_predictor *p, int k, int64_t n, const void **out,
                                hone_error *err);
void hn_predict_close(struct hn_predictor *p);

/* Is path free to be written and of a type that is known, and do the parameters fit it? */
hone_status hn_predict_check_path(const hone_params *params, const struct hn_io *io,
                                  const char *path, hone_error *err);
/* May the path hold one array only? */
int hn_predict_one_array(const char *path);
/* Every row of every column: .csv, .npy (one column) or .npz. Labels, integers and bools are what the model calls them. With argmax a class is written as its label: in a CSV as it
 * is called; in arrays int64, float64 where a label is no whole number, the class's number where it is text. */
hone_status hn_predict_write(struct hn_predictor *p, const char *path, hone_error *err);

#endif
