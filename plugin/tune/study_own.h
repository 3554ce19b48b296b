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
/* One durable transaction around body(s, arg, err), which is run once more from its beginning where the database says so
 * (hn_store_kind.again): it reads afresh what it needs and leaves no trace outside the database when it fails. */
hone_status hn_study_transact(struct hn_study *s,
                              hone_status (*body)(struct hn_study *, void *, hone_error *),
                              void *arg, hone_error *err);

/* study_trial.c: reads all trials into s->trials; writes one that is new. */
hone_status hn_study_load(struct hn_study *s, hone_error *err);
hone_status hn_study_insert(struct hn_study *s, const struct hn_trial *t, hone_error *err);
/* study_curve.c: those of a trial that has just ended. */
hone_status hn_study_insert_curves(struct hn_study *s, int64_t number,
                                   const struct hn_fold_curve *curves, size_t n, hone_error *err);
#endif
