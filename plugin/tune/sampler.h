/* SPDX-License-Identifier: MIT
 *
 * Samplers: where to look next. A proposal is a function of what is passed in and of nothing else: the space, the options, the
 * number of the trial and the trials so far. Random numbers come from hn_rng keyed by (seed, trial). So a search that is
 * killed and continued, or run by more workers, proposes the same points as long as it shows the sampler the same trials;
 * the study sees to that (study.h, --lag).
 *
 * Values are to be minimised; who maximises passes -value. */
#ifndef HN_SAMPLER_H
#define HN_SAMPLER_H

#include "plugin/tune/space.h"

enum hn_sampler_kind {
    HN_SAMPLER_MANUAL, /* only the settings that were enqueued: never proposes */
    HN_SAMPLER_GRID,
    HN_SAMPLER_RANDOM,
    HN_SAMPLER_SOBOL,
    HN_SAMPLER_GP,
    HN_SAMPLER_TPE,
    HN_SAMPLERS
};
enum hn_acquisition {
    HN_ACQ_EI,
    HN_ACQ_LOGEI,
    HN_ACQ_PI,
    HN_ACQ_UCB,
    HN_ACQ_THOMPSON,
    HN_ACQUISITIONS
};
extern const char *const hn_sampler_names[HN_SAMPLERS + 1]; /* "manual", …, NULL */
extern const char *const hn_acquisition_names[HN_ACQUISITIONS + 1];

struct hn_sampler_opts {
    enum hn_sampler_kind kind;
    enum hn_acquisition acquisition;
    uint64_t seed;
    int startup; /* trials of gp and tpe before the model speaks; 0: the sampler's own number */
    uint64_t
        limit; /* how many trials there will be; 0: not known. A grid needs it when it is large */
};

enum hn_outcome {
    HN_PAST_PENDING, /* asked for, no value that may be used yet */
    HN_PAST_VALUED,
    HN_PAST_PRUNED, /* value and noise are an estimate of what it would have come to: never the best */
    HN_PAST_FAILED /* no value: kept as information that this is a bad place */
};
struct hn_past {     /* one earlier trial */
    const double *x; /* space->n doubles; an enqueued one may lie outside the bounds */
    double value;
    double noise; /* known variance of the value (mean of folds); 0: not known */
    enum hn_outcome outcome;
};

/* What a sampler wants to find again at its next proposal (the fitted kernel): stored with the trial, handed in with the
 * following ones. Never needed: without it the proposal may differ, so a study always keeps it. */
enum { HN_MEMO = 80 };
struct hn_memo {
    int n;
    double v[HN_MEMO];
};

struct hn_ask {
    struct hn_mem *mem;
    const struct hn_search_space *space;
    const struct hn_sampler_opts *opts;
    uint32_t trial;                /* number of the trial to propose */
    const struct hn_past *samples; /* trials 0 … trial - 1 in order of their numbers */
    size_t n;
    const struct hn_memo *memo; /* of the newest trial that has one; NULL: none */
};

/* Does the proposal of this trial depend on results? Random, Sobol and grid points, and those before a model speaks, follow from
 * the number of the trial and the points before it alone. */
int hn_sampler_learns(const struct hn_sampler_opts *o, int64_t trial);
/* Checks options against the space: a grid over a continuous axis without points, a grid of more than a million points
 * without a limit (says how many). Call once, before the first trial. */
hone_status hn_sampler_check(const struct hn_search_space *s, const struct hn_sampler_opts *o,
                             hone_error *err);
/* Writes a settled point into x and the memo to keep. *exhausted 1: there is nothing left to propose (x is not written): the
 * grid is done, or every point of a finite space has been tried. */
hone_status hn_sampler_propose(const struct hn_ask *ask, double *x, struct hn_memo *memo,
                               int *exhausted, hone_error *err);
#endif
