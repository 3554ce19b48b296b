/* SPDX-License-Identifier: MIT
 *
 * A study: a search written down. It is the one truth of a search: trials, their settings, states and results, in a database
 * (SQLite or PostgreSQL; store.h is the seam) that survives kill -9 at any moment and that several processes may use at once.
 * Every call below that changes something is one durable transaction.
 *
 *     hn_study_open → enqueue… → loop { claim → HN_CLAIM_TRIAL: run it, renew while it runs, finish;
 *                                              HN_CLAIM_WAIT: another one must finish first; HN_CLAIM_DONE: leave } → close
 *
 * Numbers of trials are 0, 1, 2, … without gaps. With lag W > 0 the proposal of trial t is made from the results of the
 * trials before t-W+1 (that is 0 … t-W) and from the settings alone of the later ones: whoever finishes first and however many
 * workers there are up to W, the search is the same. With lag 0 (ask and tell) every result there is counts.
 *
 * A running trial belongs to an owner (machine, process namespace, process, start time, handle) with a lease that the owner
 * renews; times are the database's. When the lease has run out, or when the owner is a process of this machine that is no more, the next claim takes the trial
 * over: same number, same settings. A trial that is claimed more than `attempts` times (its workers die) is failed instead.
 * One handle belongs to one thread at a time; different handles and processes share a study. */
#ifndef HN_STUDY_H
#define HN_STUDY_H

#include "plugin/internal.h"
#include "plugin/tune/prune.h"
#include "plugin/tune/sampler.h"

enum hn_trial_state {                       /* the numbers are in the file */
                      HN_TRIAL_WAITING = 0, /* enqueued */
                      HN_TRIAL_RUNNING = 1,
                      HN_TRIAL_DONE = 2,
                      /* ended early; its value is what it would have come to, an estimate for the sampler with the noise of one */
                      HN_TRIAL_PRUNED = 3,
                      HN_TRIAL_FAILED = 4
};
extern const char
    *const hn_trial_state_names[]; /* "waiting", "running", "done", "pruned", "failed" */

struct hn_trial {
    int64_t number;
    enum hn_trial_state state;
    double *x;      /* space.n doubles */
    double value;   /* as reported, in the study's own direction; NaN: none */
    double noise;   /* variance of the value; 0: not known */
    int64_t epochs; /* as reported */
    double seconds;
    int attempts; /* how often it was claimed */
    const char
        *note; /* what the job wants to keep with it (folds' figures as a line of text); "" */
    struct hn_memo memo;    /* the sampler's */
    const char *owner;      /* "" unless running */
    int64_t lease_until_ms; /* of the wall clock since 1970; 0: never runs out */
};

struct hn_study_opts {
    const char *path; /* FILE.db, or postgresql://…; hn_study_settings has it without password */
    const struct hn_search_space
        *space; /* copied as text; NULL: the study must exist and brings its own */
    struct hn_sampler_opts sampler;
    int maximize;
    struct hn_pruner
        pruner; /* whoever runs the trials prunes; then trial t begins when 0 … t-lag have ended */
    int lag;    /* 0: every result that is there counts */
    int64_t trials;   /* no more proposals than this; 0: no limit. Not kept in the study */
    int64_t lease_ms; /* 0: claims never run out (ask and tell) */
    int attempts;     /* 0: 3 */
    const char *
        fingerprint; /* of everything else that values depend on (model, data, fixed settings): a study with another
                                one is refused. "" for ask and tell; NULL: not compared */
    const char *
        made_of; /* of the fingerprint by name (made_of.h), so that a refusal says what differs; NULL: not known */
    int read_only; /* space NULL: nothing is changed or made, and it need not be writable */
    unsigned
        keep; /* HN_KEEP_… bits: take this setting from an existing study whatever is said above */
};
enum {
    HN_KEEP_SAMPLER = 1,
    HN_KEEP_DIRECTION = 2,
    HN_KEEP_LAG = 4,
    HN_KEEP_SEED = 8,
    HN_KEEP_ACQUISITION = 16,
    HN_KEEP_STARTUP = 32,
    HN_KEEP_PRUNER = 64,
    HN_KEEP_ALL = 127
};

struct hn_study;
/* Opens or creates. An existing study keeps its space, which may lack the conditions that are implied (space.h: loose): who
 * opened it with others goes by hn_study_space. One of another space, direction, sampler, seed, lag or fingerprint is refused
 * (HONE_E_USAGE, saying both), a file that is no study too (HONE_E_USAGE), a damaged one is HONE_E_CORRUPT, a disk that is
 * full or read-only HONE_E_IO. */
hone_status hn_study_open(hone_context *ctx, const struct hn_study_opts *opts,
                          struct hn_study **out, hone_error *err);
void hn_study_close(struct hn_study *s); /* NULL allowed */

const struct hn_search_space *hn_study_space(const struct hn_study *s);
const struct hn_study_opts *hn_study_settings(const struct hn_study *s); /* what is in force */

/* Adds a trial with given settings (hn_space_setting; may lie outside the bounds, NaN where the
 * space has no word for it), to be claimed before any proposal. */
enum hn_enqueue {
    HN_ENQUEUE_ALWAYS,
    HN_ENQUEUE_FIRST, /* only into a study without trials: trial 0 of a search that is continued */
    HN_ENQUEUE_NEW    /* only when no trial has these settings */
};
hone_status hn_study_enqueue(struct hn_study *s, const double *x, const char *note,
                             enum hn_enqueue how, hone_error *err);

enum hn_claim {
    HN_CLAIM_TRIAL, /* *out is yours */
    HN_CLAIM_WAIT, /* the lag asks for a result of a trial that is still running; blocker: its number */
    HN_CLAIM_DONE /* limit reached, grid done or space exhausted; others may still run theirs */
};
struct hn_claimed {
    enum hn_claim what;
    struct hn_trial trial; /* strings and x live until the next call on this study */
    int64_t blocker;
};
/* The next thing to do: a trial whose worker died, an enqueued one, or a new proposal. */
hone_status hn_study_claim(struct hn_study *s, struct hn_claimed *out, hone_error *err);
/* Extends the lease. HONE_E_CORRUPT, here and below, when another worker has taken the trial over: drop it. */
hone_status hn_study_renew(struct hn_study *s, int64_t number, hone_error *err);

struct hn_outcome_report { /* zeroed is a beginning */
    enum hn_trial_state
        state; /* DONE, PRUNED or FAILED; a value that is not finite becomes FAILED */
    double value, noise, seconds;
    int64_t epochs;
    const char *note;                   /* NULL: as it was */
    const struct hn_fold_curve *curves; /* of folds 0 … n_curves - 1 */
    size_t n_curves;
};
/* Ends a running trial. A trial that is not running (told already, unknown) is HONE_E_USAGE, for owners with a lease
 * HONE_E_CORRUPT. */
hone_status hn_study_finish(struct hn_study *s, int64_t number, const struct hn_outcome_report *r,
                            hone_error *err);
/* Gives a claimed trial back unfinished (interrupted): it is the first thing the next claim returns. */
hone_status hn_study_release(struct hn_study *s, int64_t number, hone_error *err);

/* All trials by number, read afresh; they live until the next call on this study. */
hone_status hn_study_trials(struct hn_study *s, const struct hn_trial **trials, size_t *n,
                            hone_error *err);
/* The learning curves of a trial that has ended, by fold, in the arena; n 0: it has none. */
hone_status hn_study_curves(struct hn_study *s, int64_t number, struct hn_arena *arena,
                            struct hn_fold_curve **curves, size_t *n, hone_error *err);
/* Best finished (DONE) trial, the lowest number among equals; -1: none. */
int64_t hn_best_trial(const struct hn_trial *trials, size_t n, int maximize);
#endif
