/* SPDX-License-Identifier: MIT
 *
 * A training job from opening to result: what hone_train and hone_resume share. A job owns everything it opens; the model
 * is the caller's and is as it was when a step fails (the caller rewinds). */
#ifndef HN_JOB_H
#define HN_JOB_H

#include "plugin/train/options.h"
#include "plugin/train/rundir.h"

struct hn_job {
    hone_context *ctx;
    hone_model *model;
    uint32_t trial, fold; /* of the random numbers' key; 0, 0 but in a search */
    hone_params *params;  /* own copy, with what monitor and target add */
    struct hn_session *s;
    struct hn_train_opts opts;
    struct hn_evaluator *eval;
    struct hn_cohort *cohort;
    struct hn_fit *fit;
    struct hn_rundir dir;
    struct hn_origin origin;
    struct hn_buffer bytes; /* of the model before training */
    struct hn_arena arena;  /* the origin's texts */
    int unscales;           /* the model that came ends in the inverse of scaled targets */
    struct hn_figures before[3],
        after[3];               /* by role; before: only where judged apart (hn_job_judge) */
    struct hn_figures guess[3]; /* of a constant */
};

/* A zeroed job with a copy of params. */
hone_status hn_job_init(struct hn_job *j, hone_model *m, const hone_params *params,
                        hone_error *err);
void hn_job_close(struct hn_job *j); /* a zeroed struct allowed */

/* Notes down what resume will need. Before hn_job_open, which changes the model. */
hone_status hn_job_origin(struct hn_job *j, hone_error *err);
/* The figures of the model as it came, where training begins with an edit that changes what it computes (a scaler), or where
 * its losses are in other units than the model's. */
hone_status hn_job_judge(struct hn_job *j, hone_data *d, hone_error *err);
/* Session, evaluator, cohort with the model's weights, fit. */
hone_status hn_job_open(struct hn_job *j, hone_data *d, const hone_callbacks *cb, hone_error *err);
/* Figures of the model as it came; then the weights training starts from (--init). Not after a checkpoint was loaded. */
hone_status hn_job_start(struct hn_job *j, hone_error *err);
/* The second half of it alone: --init, and BatchNormalization that was put into what is kept. */
hone_status hn_job_weights(struct hn_job *j, hone_error *err);
/* Notes which trained tensors fresh weights leave as they are. */
void hn_job_say_left(hone_context *ctx, const struct hn_program *prog);
/* Trains until there is a reason to stop, leaving checkpoints in j->dir. */
hone_status hn_job_run(struct hn_job *j, hone_error *err);
/* The resulting weights, statistics and provenance go into the model; figures of the result. */
hone_status hn_job_finish(struct hn_job *j, hone_error *err);
/* A warning where the model that came could not be among the candidates and was better than what became of it. */
void hn_job_say_when_worse(const struct hn_job *j);

/* untrained.c: --epochs 0 without data, and the refusal where some are needed. */
hone_status hn_train_nothing(hone_model *m, const hone_params *p, hone_result **out,
                             hone_error *err);
hone_status hn_train_no_data(const hone_params *p, hone_error *err);

/* report.c: the JSON result, and what travels in the exported file. */
/* finished: 1 or 0 for a resumed run (was there nothing left to do?), -1 for a new one. A run with a folder
 * leaves the result there, too. */
hone_status hn_job_result(struct hn_job *j, int finished, hone_result **out, hone_error *err);
/* worth.c: how a finished run compares with a constant guess, and whether the validation rows can tell; said, and written. */
hone_status hn_worth_measure(struct hn_job *j, hone_error *err);
void hn_worth_result(hone_result *r, const struct hn_job *j);
hone_status hn_job_metadata(const struct hn_job *j, hone_error *err);
void hn_report_hyperparameters(hone_result *r, const hone_params *p, const struct hn_train_opts *o);
/* Where the hidden layers were rebuilt: the edits, into the model's metadata. */
hone_status hn_report_edits(hone_model *m, const hone_params *p, hone_error *err);
/* All parameters of the model's graph, and those that prog trains; NULL: that could be trained. */
void hn_report_parameters(hone_result *r, hone_model *m, const struct hn_program *prog);
#endif
