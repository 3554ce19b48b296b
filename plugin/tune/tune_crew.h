/* SPDX-License-Identifier: MIT
 *
 * Workers of a search: each has a context, a copy of the model and a device of its own and trains one replica at a time on one
 * thread. The device is that of the first task's settings: those that choose one are no part of a search space. Where the data
 * name a device (a gang's, on a GPU) it is all workers'.
 * What they share is read only: the opened data, the row lists, the settings. All memory comes from the search's context, so
 * its budget holds for all of them together; a result's curve is the taker's to free. One thread hands out tasks and takes them back. */
#ifndef HN_TUNE_CREW_H
#define HN_TUNE_CREW_H

#include "plugin/tune/trial.h"

struct hn_task {
    struct hn_task *next; /* the crew's */
    void *owner;          /* the caller's */
    const hone_params *params;
    uint32_t trial, fold;
    const struct hn_fold *rows;
    struct hn_buffer *keep; /* as in trial.h */
    struct hn_watch watch;  /* its rule NULL: nobody prunes it */
    int64_t until;          /* as in trial.h */
    atomic_int cancel;      /* set by whoever needs no result: it comes back interrupted */
    struct hn_fold_result result;
};

struct hn_crew;
/* The model's bytes and the data must outlive the crew. */
hone_status hn_crew_create(hone_context *ctx, const struct hn_buffer *model,
                           const struct hone_data *data, int workers, struct hn_crew **out,
                           hone_error *err);
void hn_crew_destroy(struct hn_crew *c); /* waits for what is running; NULL allowed */
void hn_crew_give(struct hn_crew *c, struct hn_task *t);
int hn_crew_waiting(struct hn_crew *c); /* tasks nobody has begun */
/* A task that is done, in the order they ended; NULL when none is after so many seconds. */
struct hn_task *hn_crew_take(struct hn_crew *c, double seconds);
/* Interrupts what runs; tasks that were not begun come back interrupted as well. */
void hn_crew_stop(struct hn_crew *c);
#endif
