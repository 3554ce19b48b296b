/* SPDX-License-Identifier: MIT
 *
 * What the files of the samplers share. */
#ifndef HN_SAMPLER_OWN_H
#define HN_SAMPLER_OWN_H

#include "plugin/tune/sampler.h"

/* Random numbers of one proposal: the key of (seed, trial), a stream for each use. */
enum hn_search_stream {
    HN_SEARCH_POINT = 0x40000000, /* HN_STREAM_SEARCH + */
    HN_SEARCH_SCRAMBLE,
    HN_SEARCH_CANDIDATE,
    HN_SEARCH_PICK,
    HN_SEARCH_FANTASY,
    HN_SEARCH_WAVE,
    HN_SEARCH_RETRY
};

/* Points that were asked for already, to be found fast. */
struct hn_tried {
    const struct hn_ask *ask;
    uint32_t *slots; /* position + 1 */
    size_t mask;
};
hone_status hn_tried_init(struct hn_tried *t, const struct hn_ask *ask, hone_error *err);
int hn_tried_has(const struct hn_tried *t, const double *x);
void hn_tried_free(struct hn_tried *t);

/* The i-th point of the scrambled Sobol sequence of `seed` (shared by all trials of a study), settled. */
void hn_sobol_point(const struct hn_search_space *s, uint64_t seed, uint64_t i, double *x);
/* A random settled point: the attempt-th of this trial. */
void hn_random_point(const struct hn_ask *ask, uint32_t attempt, double *x);
/* One of a finite space's points that was not tried; 0: there is none (or the space is not finite). */
int hn_any_left(const struct hn_ask *ask, const struct hn_tried *tried, double *x);

/* The samplers: 1 in *exhausted when there is nothing left. */
hone_status hn_grid_propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                            int *exhausted, hone_error *err);
hone_status hn_gp_propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                          struct hn_memo *memo, hone_error *err);
hone_status hn_tpe_propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                           hone_error *err);
/* Trials before the model speaks. */
int hn_startup(const struct hn_ask *ask);
/* How many of the samples have this outcome. */
size_t hn_count_outcome(const struct hn_ask *ask, enum hn_outcome outcome);
#endif
