/* SPDX-License-Identifier: MIT
 *
 * Learning rates over a run, PyTorch's values. Epochs are counted from 0 here: epoch 0 trains at the first rate.
 *
 *   constant     lr
 *   step         lr * gamma^floor(epoch / step)
 *   multistep    lr * gamma^(milestones <= epoch)
 *   exponential  lr * gamma^epoch
 *   cosine       min + (lr - min) * (1 + cos(pi * epoch / epochs)) / 2
 *   poly         lr * (1 - epoch / epochs)^gamma
 *   onecycle     once an optimizer step k of all steps T: up from max / 25 to max over 0.3 T - 1 steps, down to max / 250000
 *                at T - 1, both along a half cosine
 *   range        lr * (max / lr)^(k / (T - 1)) in optimizer step k of all T: no choice of the parameters, of hone_lr_find alone
 *   plateau      lr * gamma each time the watched value was not better than best * (1 ± threshold) for more than
 *                `patience` epochs; then `cooldown` epochs do not count; never below min; changes of 1e-8 or less are not made
 *
 * Weight averaging (SWA) has its own rate: with swa_lr, from epoch swa_start - 1 on (counted from 0 as above) half a cosine over
 * swa_anneal epochs from the rate that epoch would begin with to swa_lr, then swa_lr, as PyTorch's SWALR; plateau rests then.
 *
 * min is also a floor below step, multistep, exponential and poly (0: none, as in PyTorch). Warm-up multiplies the rate of
 * optimizer step k by (k + 1) / warmup while k < warmup. All mutable state is in the struct. */
#ifndef HN_SCHEDULE_H
#define HN_SCHEDULE_H

#include "ops/base/hone_status.h"

enum hn_schedule_kind {
    HN_LR_CONSTANT,
    HN_LR_STEP,
    HN_LR_MULTISTEP,
    HN_LR_EXPONENTIAL,
    HN_LR_COSINE,
    HN_LR_ONECYCLE,
    HN_LR_POLY,
    HN_LR_PLATEAU,
    HN_LR_RANGE,
    HN_LR_KINDS
};
enum { HN_MAX_MILESTONES = 64 };

struct hn_schedule_opts {
    enum hn_schedule_kind kind;
    double lr, gamma, lr_min, lr_max, threshold;
    int64_t step, patience, cooldown, warmup;
    int64_t milestones[HN_MAX_MILESTONES];
    int n_milestones;
    int64_t epochs;                /* of the run */
    int64_t steps_per_epoch;       /* optimizer steps */
    int maximize;                  /* plateau: more of the watched value is better */
    double swa_lr;                 /* 0: none */
    int64_t swa_start, swa_anneal; /* the first epoch that is averaged, from 1; 0: never */
};

struct hn_schedule {
    struct hn_schedule_opts opts;
    /* state: all of it belongs into a checkpoint */
    double lr;            /* plateau: the current rate */
    double best;          /* plateau: best value seen */
    int64_t bad, resting; /* plateau: epochs without improvement, epochs of cooldown left */
    int64_t swa_start;    /* as the run began: more epochs do not move it */
};

/* "step", … to kind; -1: unknown. And the name of a kind. */
int hn_schedule_kind_of(const char *name);
const char *hn_schedule_name(enum hn_schedule_kind kind);
void hn_schedule_init(struct hn_schedule *s, const struct hn_schedule_opts *opts);
/* The rate of optimizer step `step` (from 0 over the whole run) in epoch `epoch` (from 0). */
double hn_schedule_lr(const struct hn_schedule *s, int64_t epoch, int64_t step);
/* The first epoch (from 1) that is averaged: `start` itself, or below 1 the one behind that share of the epochs. */
int64_t hn_swa_epoch(double start, int64_t epochs);
/* Is `epoch` (from 0) one whose weights are averaged? */
int hn_schedule_averages(const struct hn_schedule *s, int64_t epoch);
/* The end of epoch `epoch` (from 0) with its watched value: plateau decides. NaN is not an improvement. */
void hn_schedule_epoch_end(struct hn_schedule *s, int64_t epoch, double watched);
#endif
