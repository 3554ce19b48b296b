/* SPDX-License-Identifier: MIT
 *
 * A search over the training of one model, from parameters to the exported best: hone_tune. The order:
 *
 *     tune_rows.c   which rows judge (folds or the validation rows), what the imported model is worth on them
 *     tune.c        settings, the study, and all of this in order
 *     tune_run.c    claims trials, gives their folds to the crew, writes down what came of them
 *     refit.c       the best settings trained once more for the model that leaves; judged on the test rows
 *     record.c      the result, trials.csv, study.json, best.yaml
 *
 * The study is the one truth about trials: what the result says of them is read from it. */
#ifndef HN_TUNE_H
#define HN_TUNE_H

#include "plugin/tune/study.h"
#include "plugin/tune/trial.h"

enum { HN_REFIT_FOLD = 0xffffff }; /* of the random numbers of a refit */
enum { HN_MAX_FOLDS = 1000 };

struct hn_judging {
    struct hn_mem *mem;
    struct hn_fold *fold; /* n */
    int n, k;         /* k: folds of one draw, n = k * repeats; 0: fold 0 is the validation rows */
    uint32_t **lists; /* 2 per fold: what trains, what judges */
    uint32_t *all, *test;
    struct hn_given_rows refit[3];             /* all rows but the test's train */
    int separate;                              /* the validation rows are in files of their own */
    struct hn_figures before_all, before_test; /* of the imported model over refit[TRAIN], [TEST] */
    unsigned char data_hash[16];
    double value, std; /* of the imported model: mean over the folds of the monitor */
};

struct hn_score { /* of a trial, over its folds */
    int n, k;     /* k: folds of one draw; 0: as n */
    struct hn_fold_result *fold;
    double mean, std, noise;    /* noise: variance of the mean, folds share their training rows */
    int64_t epochs, best_epoch; /* of all folds together; the middle one of the best epochs */
};

struct hn_refit {
    int done, accepted;
    const char *kind; /* "all", "train", "none" */
    const char *why;  /* not accepted: a reason; else NULL */
    int64_t epochs;
    double seconds;
    struct hn_figures train, test;
};

struct hn_tune {
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    const hone_params *params;
    hone_params *base; /* of a trial without its settings */
    const hone_tune_callbacks *cb;
    struct hn_arena arena;
    struct hn_search_space space;
    struct hn_judging judging;
    struct hn_study *study;
    const char *dir, *path; /* run folder or NULL; the study's file */
    const char *monitor;    /* "val_loss" */
    int maximize, jobs, interrupted, out_of_time, running;
    int64_t limit;                   /* trials */
    double start, deadline, watched; /* watched: when study.json is to be written again */
    int64_t best;                    /* number of the best trial, -1 */
    int beaten, gained;
    struct hn_refit refit;
    hone_error first_failure; /* of a trial */
};

/* tune_rows.c */
hone_status hn_judging_make(struct hn_tune *t, hone_error *err);
void hn_judging_free(struct hn_judging *j);
/* XXH3 of all that a trial's value depends on but its settings, as text. */
hone_status hn_judging_fingerprint(struct hn_tune *t, char text[33], hone_error *err);
int hn_tune_better(const struct hn_tune *t, double a, double b);

/* tune_score.c: folds' figures, and as a line of text that is kept with the trial. */
void hn_score_sum(struct hn_score *s);
hone_status hn_score_write(const struct hn_score *s, struct hn_buffer *out, hone_error *err);
hone_status hn_score_read(struct hn_score *s, struct hn_arena *arena, const char *note,
                          hone_error *err);
/* base with the settings of a trial; the text form of one setting (NULL: not active). */
hone_status hn_tune_settings(struct hn_tune *t, const struct hn_trial *trial, hone_params **out,
                             hone_error *err);

/* tune_run.c: until there are no more trials, or until it is told to stop. */
hone_status hn_tune_run(struct hn_tune *t, hone_error *err);

/* refit.c */
hone_status hn_tune_refit(struct hn_tune *t, const struct hn_trial *best, hone_error *err);

/* record.c */
hone_status hn_tune_result(struct hn_tune *t, hone_result **out, hone_error *err);
hone_status hn_tune_write_files(struct hn_tune *t, const hone_result *r, hone_error *err);
/* study.json while the search runs ("stop_reason": "running"), now and then. A failure is no failure of the search. */
void hn_tune_watch(struct hn_tune *t);
#endif
