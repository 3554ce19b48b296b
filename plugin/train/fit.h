/* SPDX-License-Identifier: MIT
 *
 * The training loop of one replica: epochs of batches, validation, schedule, stopping, the best weights kept. It reads a
 * session and moves a cohort of one; what is written to disk hangs in hooks.
 *
 * Epoch 0 is the model before training. It is a candidate for the best when its figures mean what later ones mean (judge_start,
 * and the monitor is no train_loss: that is a running mean over an epoch's batches). A value that is not finite ends the
 * run as diverged; then, as after any other stop, the weights to export are the best ones, or the last good ones when
 * nothing is monitored. Weights of half types train in float32; what is judged is always what the file would hold, so that
 * the figures are those of the exported model, and a number beyond the range of its type is not finite. A stop by time or callback inside an epoch ends that epoch where it is and judges it; a requested
 * stop leaves it as it is, to be resumed. Where weights are averaged (average.h) it is the average that is judged, kept as the
 * best and exported; training goes on from the weights. */
#ifndef HN_FIT_H
#define HN_FIT_H

#include "plugin/internal.h"
#include "plugin/train/average.h"
#include "plugin/train/cohort.h"
#include "plugin/train/metric.h"
#include "plugin/train/pretrain.h"
#include "plugin/train/stop.h"

struct hn_fit_opts {
    const char
        *monitor; /* "val_loss", …; NULL: nothing to judge by, the last weights are the result */
    const char *target; /* metric of stop.target, or NULL */
    struct hn_stopper_opts stop;
    double max_seconds; /* 0: no limit */
    int save_best;      /* else the last weights */
    int judge_start;    /* epoch 0 is a candidate */
    int judge_again;    /* its figures are not those in `before` */
    struct hn_pretrain_opts pretrain;
};

struct hn_epoch { /* one line of the curve */
    int64_t epoch;
    double train_loss, lr, seconds;
    struct hn_figures val, train; /* rows 0: not evaluated */
};

struct hn_fit;
struct hn_fit_hooks { /* all may be NULL; an error ends the run with it */
    void *user;
    hone_status (*epoch)(void *user, struct hn_fit *f, const struct hn_epoch *e, hone_error *err);
    hone_status (*tick)(void *user, struct hn_fit *f,
                        hone_error *err); /* after every call of the backend */
    hone_status (*pretrain)(void *user, struct hn_fit *f, const struct hn_pretrain_line *l,
                            hone_error *err);
};

struct hn_fit {
    struct hn_session *s;
    struct hn_cohort *cohort; /* one slot */
    struct hn_evaluator *eval;
    struct hn_fit_opts opts;
    struct hn_fit_hooks hooks;
    hone_callbacks callbacks;
    struct hn_averager *averager; /* NULL: no SWA */
    unsigned char *host;          /* slab W on the host */
    void *stored; /* a slab on the device: weights as the file holds them; NULL: as they are */
    /* state: visited by checkpoints */
    struct hn_stopper stop;
    enum hn_stop_reason reason;
    int64_t done;       /* finished epochs */
    int64_t good_epoch; /* of slab GOOD */
    int64_t averaged;   /* epochs whose weights are in slab AVERAGE (SWA) */
    int64_t rows_trained;
    double seconds, train_seconds; /* spent in earlier processes; in batches only */
    struct hn_figures before[3];   /* of the imported model, by role; rows 0: not evaluated */
    struct hn_epoch *curve;
    size_t n_curve, cap_curve;
    struct hn_pretrain pretrain;
    /* not state */
    double started, last_progress, seconds_per_row;
    char bad[192]; /* diverged: the first tensor that is not finite */
};

/* Seconds of a clock that never goes back. */
double hn_seconds(void);
/* Seconds of the whole run so far, those before a resume included. */
double hn_fit_seconds(const struct hn_fit *f);

/* The cohort's member 0 must be there, with weights in slab W. */
hone_status hn_fit_create(struct hn_session *s, struct hn_cohort *c, struct hn_evaluator *e,
                          const struct hn_fit_opts *o, struct hn_fit **out, hone_error *err);
void hn_fit_destroy(
    struct hn_fit *f); /* NULL allowed; session, cohort and evaluator are not the fit's */

/* Epoch 0: snapshot of the starting weights, their figures as a candidate for the best. Not after a checkpoint was loaded. */
hone_status hn_fit_start(struct hn_fit *f, hone_error *err);
/* Pre-trains where asked for, and trains until there is a reason to stop: f->reason. */
hone_status hn_fit_run(struct hn_fit *f, hone_error *err);
/* The slab that is judged after an epoch: the weights, or their average once there is one. */
enum hn_slab hn_fit_judged_slab(const struct hn_fit *f);
/* The slab that holds the result, and the epoch it is from. */
enum hn_slab hn_fit_result_slab(const struct hn_fit *f);
/* A replica whose slab W has the numbers of slab `from` as the file holds them: rounded, where parameters are of half types.
 * *beyond: a parameter that its type cannot hold, else NULL. Valid until the next call. */
hone_status hn_fit_as_stored(struct hn_fit *f, enum hn_slab from, struct hn_replica *r,
                             const struct hn_param **beyond, hone_error *err);
int64_t hn_fit_result_epoch(const struct hn_fit *f);
/* The value of "val_accuracy", "train_loss", … in a line of the curve: 1 when it is there. */
int hn_epoch_value(const struct hn_epoch *e, const char *name, double *out);
/* All values of a line but lr and seconds, with static names; v holds HN_EPOCH_VALUES at most. */
enum { HN_EPOCH_VALUES = 16 };
size_t hn_epoch_values(const struct hn_epoch *e, hone_metric *v);
#endif
