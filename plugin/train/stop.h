/* SPDX-License-Identifier: MIT
 *
 * When to stop, and which epoch was the best. Two bests: the one to restore takes any strict improvement; the one for
 * patience moves only when the watched value improved on it by more than min_delta (absolute), as Keras. Epoch 0, the model
 * before training, is a candidate for both. A run stops for patience when the epochs since that improvement reach it and
 * min_epochs are done; nothing latches, so a run that improves before min_epochs goes on. NaN never improves. */
#ifndef HN_STOP_H
#define HN_STOP_H

#include "ops/base/hone_status.h"

enum hn_stop_reason {
    HN_STOP_NONE,
    HN_STOP_MAX_EPOCHS,
    HN_STOP_PATIENCE,
    HN_STOP_TARGET,
    HN_STOP_TIME,
    HN_STOP_DIVERGED,
    HN_STOP_INTERRUPTED,
    HN_STOP_CALLBACK
};
/* "max_epochs", "patience", …; "running" for NONE. */
const char *hn_stop_name(enum hn_stop_reason r);

struct hn_stopper_opts {
    int maximize;
    int64_t patience; /* 0: no early stopping */
    double min_delta;
    int64_t min_epochs, epochs;
    int has_target, target_maximize;
    double target;
};

struct hn_stopper {
    struct hn_stopper_opts opts;
    /* state: all of it belongs into a checkpoint */
    double best;        /* to restore */
    int64_t best_epoch; /* -1: none yet */
    double mark;        /* for patience */
    int64_t wait;       /* epochs since mark moved */
};

void hn_stopper_init(struct hn_stopper *s, const struct hn_stopper_opts *opts);
/* The watched value of `epoch` (0: before training). Returns 1 when it is the new best to restore. */
int hn_stopper_see(struct hn_stopper *s, int64_t epoch, double watched);
/* After `epoch` epochs, with the target metric's value (ignored without a target): why to stop, or NONE. Target before
 * patience before max_epochs; none but max_epochs before min_epochs. */
enum hn_stop_reason hn_stopper_verdict(const struct hn_stopper *s, int64_t epoch,
                                       double target_value);
#endif
