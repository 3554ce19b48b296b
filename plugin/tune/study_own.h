/* SPDX-License-Identifier: MIT
 *
 * What the files behind a study share (study.c, study_trial.c, study_curve.c, study_claim.c). */
#ifndef HN_STUDY_OWN_H
#define HN_STUDY_OWN_H

#include "plugin/tune/owner.h"
#include "plugin/tune/store.h"
#include "plugin/tune/study.h"

struct hn_study {
    hone_context *ctx;
    struct hn_store *store;
    struct hn_study_opts opts; /* in force */
    struct hn_search_space space;
    char owner[HN_OWNER];  /* "" when leases never run out */
    struct hn_arena arena; /* settings */
    struct hn_arena rows;  /* trials, as read last */
    struct hn_trial *trials;
    size_t n, cap;
};

hone_status hn_study_query(struct hn_study *s, const struct hn_query *q, hone_error *err);
/* Ends a transaction: commits when st is HONE_OK, else rolls back and returns st. */
hone_status hn_study_end(struct hn_study *s, hone_status st, hone_error *err);

/* study_trial.c: reads all trials into s->trials; writes one that is new. */
hone_status hn_study_load(struct hn_study *s, hone_error *err);
hone_status hn_study_insert(struct hn_study *s, const struct hn_trial *t, hone_error *err);
/* study_curve.c: those of a trial that has just ended. */
hone_status hn_study_insert_curves(struct hn_study *s, int64_t number,
                                   const struct hn_fold_curve *curves, size_t n, hone_error *err);
#endif
