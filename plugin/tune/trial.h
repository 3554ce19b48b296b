/* SPDX-License-Identifier: MIT
 *
 * One replica of a search: the settings of a trial trained on the rows of one fold, judged on the others. It is an ordinary
 * training job (early stopping, scalers fitted on the fold's training rows only), whose random numbers are keyed by (seed,
 * trial, fold): its result is a function of these and of nothing else. The model is as it was afterwards. */
#ifndef HN_TRIAL_H
#define HN_TRIAL_H

#include "plugin/data_open.h"
#include "plugin/internal.h"
#include "plugin/tune/prune.h"
#include <stdatomic.h>

struct hn_fold { /* rows by role; those of the test role are never among them */
    struct hn_given_rows rows[3];
    struct hn_figures before; /* of the imported model over the judging rows */
};

enum hn_fold_state {
    HN_FOLD_NONE,
    HN_FOLD_COMPLETE,
    HN_FOLD_PRUNED, /* ended by the watch */
    HN_FOLD_DIVERGED,
    HN_FOLD_FAILED, /* it could not be run: why says what was wrong */
    HN_FOLD_INTERRUPTED
};
struct hn_fold_result {
    enum hn_fold_state state;
    double value; /* of the monitor at best_epoch */
    int64_t best_epoch, epochs;
    double seconds;
    hone_error why;
    double *curve; /* the monitor from epoch 1 on, in the task's memory; NULL: none */
    size_t n_curve;
    double
        start; /* the monitor of the model before training, where that may be exported; else NaN */
    int save_best; /* else the last weights are exported */
};
/* As if it had been ended after so many epochs. */
void hn_fold_cut(struct hn_fold_result *r, int64_t epochs, int maximize);
/* All n folds of a trial are judged after the same epoch, the one with the best mean (of equals the earliest; epoch 0 is among
 * them where it may be exported): if each took the epoch that is best on its own few rows, noise alone would win against what
 * came. A fold that has ended before counts with its last epoch. With --save last it is nothing to choose. */
void hn_folds_same_epoch(struct hn_fold_result *r, int n, int maximize);

struct hn_replica_task {
    struct hn_mem *mem; /* of the result */
    hone_model *model;
    const struct hone_data *data; /* whatever rows: the fold's are taken */
    const hone_params *params;
    const struct hn_device
        *device; /* of the model's dtype, for one thread at a time or a gang's; NULL: its own */
    struct hn_kept *kept; /* of the sessions before over these data; NULL: nothing */
    uint32_t trial, fold;
    const struct hn_fold *rows;
    struct hn_buffer *keep;       /* gets the trained model's bytes; NULL: not wanted */
    const struct hn_watch *watch; /* NULL: nobody prunes it */
    int64_t until;                /* ends it after this epoch; 0: it ends by itself */
    const atomic_int *cancel;     /* not 0: ends it at the end of an epoch, interrupted */
};
/* Runs it. An error is a result, too. HONE_OK, or why the model could not be put back as it was. */
hone_status hn_replica_run(const struct hn_replica_task *t, struct hn_fold_result *out,
                           hone_error *err);
#endif
