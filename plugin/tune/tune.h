/* SPDX-License-Identifier: MIT
 *
 * A search over the training of one model, from parameters to the exported best: hone_tune. The order:
 *
 *     graph_knobs.c the space, and what of it concerns the hidden layers
 *     tune_rows.c   which rows judge (folds or the validation rows), what the imported model is worth on them
 *     tune.c        settings, the study, and all of this in order
 *     tune_run.c    claims trials, gives their folds to the crew, writes down what came of them
 *     tune_prune.c  which of them end early
 *     finish.c      which trial won and whether that is better than the imported model
 *     refit.c       the best settings trained once more for the model that leaves; judged on the test rows
 *     ensemble.c    --ensemble: the best few of them as one graph, judged on the same rows as the trials
 *     nested.c      --nested: the same search in each of some outer folds, judged by their other rows
 *     record.c      the result
 *     record_files.c trials.csv, study.json, best.yaml
 *
 * The study is the one truth about trials: what the result says of them is read from it. */
#ifndef HN_TUNE_H
#define HN_TUNE_H

#include "plugin/hidden.h"
#include "plugin/tune/compare.h"
#include "plugin/tune/gang.h"
#include "plugin/tune/study.h"
#include "plugin/tune/trial.h"

enum { HN_REFIT_FOLD = 0xffffff }; /* of the random numbers of an ensemble's members */
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
    double guess;      /* of a constant guess; NaN: it has none of the monitor */
};

struct hn_score { /* of a trial, over its folds */
    int n, k;     /* k: folds of one draw; 0: as n */
    struct hn_fold_result *fold;
    double mean, std, noise; /* noise: variance of the mean, folds share their training rows */
    int64_t epochs;          /* of all folds together */
    int64_t best_epoch;      /* that all were judged after; else the middle one */
};

struct hn_refit {
    int done, accepted;
    const char *kind; /* "all", "train", "none" */
    const char *why;  /* not accepted: a reason; else NULL */
    int64_t epochs;
    double seconds;
    struct hn_figures train, test;
    struct hn_class_weights classes; /* that it was trained with */
};

struct hn_ensemble {        /* --ensemble */
    int asked;              /* members wanted; 0: no ensemble */
    const char *line;       /* the edit that makes one graph of them */
    int64_t *trial;         /* n members, the best first */
    struct hn_refit *refit; /* of each, for the model that leaves */
    int n;
    double *fold;      /* its monitor by fold, over the rows that judge */
    double value, std; /* mean and std of these */
    int exported;
    const char *why; /* not exported: a reason; else NULL */
    double seconds;
    struct hn_figures train, test; /* of the exported model */
};

struct hn_outer { /* one outer fold of --nested */
    uint32_t *lists[3];
    struct hn_given_rows rows[3]; /* test: those that judge what the search finds in the others */
    double value, imported; /* the monitor over them, of what would be exported and of what came */
    int64_t best;           /* trial of its search */
    double best_value;
    int changed;
};
struct hn_nested {
    int k, done; /* outer folds, 0: none; how many of them have been judged */
    struct hn_outer *fold;
};

struct hn_pruning {
    struct hn_pruner pruner;
    struct hn_steps steps;
    int lag;
    struct hn_course *course; /* of trials 0 … n - 1, which have ended */
    size_t n, cap;
};

struct hn_tune {
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    const hone_params *params;
    hone_params *base;   /* of a trial without its settings */
    hone_params *listed; /* params with the sampler that a list of settings means; NULL: as given */
    const hone_tune_callbacks *cb;
    struct hn_arena arena;
    struct hn_search_space space;
    struct hn_hidden_info hidden;   /* of the model, where the search asks for it; n 0: not known */
    struct hn_hidden_plan start_as; /* that with the fixed settings: what trial 0 has */
    struct hn_judging judging;
    struct hn_study *study;
    struct hn_pruning pruning;
    const char *dir, *path; /* run folder or NULL; the study's file */
    int made_dir;
    const char *monitor;    /* "val_loss" */
    struct hn_device gpu;   /* one for all replicas; backend NULL: each opens a device of its own */
    struct hn_gang *gang;   /* in front of it */
    struct hn_device front; /* what the data name: the gang as a device */
    int maximize, jobs, interrupted, out_of_time, running;
    const hone_error *failed; /* NULL: it has not */
    int told;                 /* by the callback: no more trials */
    int quiet;                /* a refit says nothing: another one of this search says the same */
    int outer; /* of nested.k: the search is that of this outer fold; 0: it is the one that exports */
    int64_t limit;                   /* trials */
    double start, deadline, watched; /* watched: when study.json is to be written again */
    int64_t best;                    /* number of the best trial, -1 */
    int beaten, gained;
    struct hn_refit refit;
    struct hn_ensemble ensemble;
    struct hn_nested nested;
    hone_error first_failure; /* of a trial */
};

/* tune.c */
/* The judging rows and the study of t->path, which is made or continued. */
hone_status hn_tune_open(struct hn_tune *t, hone_error *err);
/* Removes a study's files. */
void hn_tune_forget(struct hn_tune *t, const char *path);

/* tune_rows.c */
hone_status hn_judging_make(struct hn_tune *t, hone_error *err);
struct hn_draw { /* of folds */
    const struct hn_rows *rows;
    int k, repeat;
};
struct hn_folds;
hone_status hn_draw_folds(struct hn_tune *t, const struct hn_session *s, const struct hn_draw *d,
                          struct hn_folds *f, hone_error *err);
void hn_judging_free(struct hn_judging *j);
/* XXH3 of all that a trial's value depends on but its settings, as text. */
/* made_of.c: the same by name, as lines for hn_made_differs, in the arena. */
hone_status hn_made_of(struct hn_tune *t, const char **out, hone_error *err);
hone_status hn_judging_fingerprint(struct hn_tune *t, char text[33], hone_error *err);
int hn_tune_better(const struct hn_tune *t, double a, double b);
/* The figures of a model over given rows, as the imported one's were found; what fills missing cells is that of the rows it
 * was trained on. */
hone_status hn_judge_model(struct hn_tune *t, hone_model *m, const struct hn_given_rows *trained,
                           const struct hn_given_rows *rows, struct hn_figures *out,
                           hone_error *err);

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

/* finish.c: after the last trial; the model becomes what leaves. */
hone_status hn_tune_finish(struct hn_tune *t, hone_error *err);
/* The trial's, or the ensemble's, gain over the imported model, fold by fold; n: how many folds there were. */
hone_status hn_tune_compare(struct hn_tune *t, const struct hn_trial *trial, struct hn_paired *out,
                            hone_error *err);

/* tune_prune.c: for the time of a run of trials. */
void hn_pruning_init(struct hn_tune *t);
void hn_pruning_free(struct hn_tune *t);
/* By what trial `number` is judged; NULL: by nothing, it will be complete. */
hone_status hn_pruning_rule(struct hn_tune *t, int64_t number, struct hn_arena *arena,
                            struct hn_rule **out, hone_error *err);
/* The next fold of a trial in order, which has ended: 1, it ends the trial, and is cut where it does. watched: it was trained
 * under this watch. Moves w->before and w->best. */
int hn_pruning_judge(struct hn_watch *w, struct hn_fold_result *f, int watched);
/* What a trial that this fold ended would have come to, in the study's direction. */
hone_status hn_pruning_estimate(struct hn_tune *t, const struct hn_watch *w,
                                const struct hn_fold_result *f, double *value, double *noise,
                                hone_error *err);

/* refit.c */
hone_status hn_tune_refit(struct hn_tune *t, const struct hn_trial *best, hone_error *err);
/* The rows of a refit by role; 1: all rows but the test's train. */
int hn_refit_rows(const struct hn_tune *t, struct hn_given_rows rows[3]);
/* Trains the model by a trial's settings; it is left so, also where that was not accepted. Not done: interrupted. */
hone_status hn_refit_train(struct hn_tune *t, const struct hn_trial *trial, int alone,
                           struct hn_refit *r, hone_error *err);
/* What it trains with: the trial's settings, on all rows for a fixed number of epochs. */
hone_status hn_refit_settings(struct hn_tune *t, const struct hn_trial *best, int all,
                              hone_params **out, hone_error *err);
/* Why the figures over the rows of refit[TRAIN] forbid to take a model; NULL: they do not. */
const char *hn_refit_objection(const struct hn_tune *t, const struct hn_figures *train);

/* ensemble.c */
/* Before the search: which values are averaged, and whether this graph allows it. */
hone_status hn_ensemble_prepare(struct hn_tune *t, const struct hn_session *s, hone_error *err);
/* Picks the members and finds what they are worth together: ensemble.value. Nothing to do without --ensemble, or with fewer
 * than two trials of different settings. */
hone_status hn_ensemble_judge(struct hn_tune *t, const struct hn_trial *trials, size_t n,
                              hone_error *err);
/* Trains the members again and makes the model their average. */
hone_status hn_ensemble_make(struct hn_tune *t, const struct hn_trial *trials, hone_error *err);

/* record.c */
hone_status hn_tune_result(struct hn_tune *t, hone_result **out, hone_error *err);
/* nested.c */
/* Draws the outer folds over all rows but the test's, before the search. */
hone_status hn_nested_rows(struct hn_tune *t, const struct hn_session *s, hone_error *err);
void hn_nested_free(struct hn_tune *t);
/* The searches in the outer folds; the model is as it was afterwards. */
hone_status hn_nested_run(struct hn_tune *t, hone_error *err);

/* record_end.c: what the result says of the end. best NULL: there is no trial with a value. */
hone_status hn_result_comparison(struct hn_tune *t, hone_result *r, const struct hn_trial *best,
                                 hone_error *err);
void hn_result_ensemble(const struct hn_tune *t, hone_result *r, const struct hn_trial *best);
hone_status hn_result_nested(struct hn_tune *t, hone_result *r, hone_error *err);
/* record_files.c */
hone_status hn_tune_write_settings(struct hn_tune *t,
                                   hone_error *err); /* tune.yaml: at the start */
hone_status hn_tune_write_files(struct hn_tune *t, const hone_result *r, hone_error *err);
/* study.json while the search runs ("stop_reason": "running"), now and then. A failure is no failure of the search. */
void hn_tune_watch(struct hn_tune *t);
/* The same at the end of a search that fails: "stop_reason": "error", and why; also where the study cannot be read any more. */
void hn_tune_failed(struct hn_tune *t, const hone_error *why);
#endif
