/* SPDX-License-Identifier: MIT
 *
 * Pruning: is a running trial worth going on? Pure functions of curves. Who wants the same decisions for any number of workers
 * shows the trials that the lag lets count (study.h), which have all ended when the trial begins.
 *
 * A trial is its folds one after another, whoever trains them when. It stands at step f * epochs + e after e epochs of fold f;
 * a fold that stopped early stands at its later epochs with what it had. Its score there is the mean over folds 0 … f of the
 * best value each has shown so far, those of the folds before complete. So scores at one step are means over the same rows
 * after the same work, and one rule prunes over epochs and over folds. Lower scores are better. Two rules:
 *
 * median     the score is no worse than the median of the others' scores at this step; asks for some completed trials
 * hyperband  brackets by the trial's number; in bracket s the rungs are at steps first * eta^(s+k). At a rung the score is
 *            among the best floor(m/eta) of the m scores there of its bracket, its own included; of the first eta - 1 to
 *            arrive it must be the best (Li and others, "Hyperband", JMLR 18, 2018; Jamieson and Talwalkar for the halving)
 *
 * Either says at a step: no worse than so much; a score that is no number is worse. Epoch 0, the model before training, is
 * in no score: where it is hard to beat, all trials would be equal. */
#ifndef HN_PRUNE_H
#define HN_PRUNE_H

#include "ops/base/hone_status.h"
#include <stddef.h>
#include <stdint.h>

enum hn_pruner_kind { HN_PRUNER_NONE, HN_PRUNER_MEDIAN, HN_PRUNER_HYPERBAND, HN_PRUNERS };
extern const char *const hn_pruner_names[HN_PRUNERS + 1]; /* "none", "median", "hyperband", NULL */

struct hn_pruner {
    enum hn_pruner_kind kind;
    int startup; /* median: completed trials before it speaks */
    int warmup; /* the first step that is judged; 0: a tenth of a fold (median), a hundredth of all (hyperband) */
    int eta; /* hyperband: one of so many goes on, at least 2 */
};
/* What was monitored in one fold of a trial, from its epoch 1 on; NaN: no number. */
struct hn_fold_curve {
    const double *v;
    size_t n;
};
struct hn_steps { /* of a whole trial */
    int folds, maximize;
    int64_t epochs; /* of a fold, at most */
};
struct hn_course {                     /* an ended trial */
    int complete;                      /* not pruned */
    int bracket;                       /* hyperband's */
    int folds;                         /* that it reached */
    const struct hn_fold_curve *score; /* of each fold by epoch, as far as it was trained */
    double value;                      /* what it came to; lower is better */
};
struct hn_rule { /* for one trial */
    struct hn_pruner pruner;
    struct hn_steps steps;
    int bracket;
    const struct hn_course *others;
    size_t n;
    double *work; /* n doubles, of one thread */
};

/* From values to scores: out holds as many doubles as all folds together. Returns how many folds are of use. */
int hn_course_scores(const struct hn_steps *s, const struct hn_fold_curve *fold, int n, double *out,
                     struct hn_fold_curve *scores);
/* After `epoch` (from 1 on) epochs of a fold; NaN: it did not come so far, or has no number. */
double hn_course_at(const struct hn_course *c, int fold, int64_t epoch);
/* The score that must not be exceeded there; infinite: any will do. */
double hn_prune_bar(const struct hn_rule *r, int fold, int64_t epoch);
/* hyperband: how many brackets, and the one of a trial. */
int hn_prune_brackets(const struct hn_pruner *p, const struct hn_steps *s);
int hn_prune_bracket(const struct hn_pruner *p, const struct hn_steps *s, int64_t number);

struct hn_watch { /* over one fold of a running trial */
    const struct hn_rule *rule;
    int fold;
    double before; /* sum of the best values of the folds before, lower being better */
    double best;   /* so far in this one; NaN: none yet */
};
/* What was monitored after the next epoch. */
void hn_watch_value(struct hn_watch *w, double value);
/* After so many epochs of the fold, their values being seen: 1, end the trial. */
int hn_watch_fails(const struct hn_watch *w, int64_t epoch);
/* After so many epochs the fold has ended by itself: 1, end the trial. After its last fold a trial is complete: 0. */
int hn_watch_end(const struct hn_watch *w, int64_t epochs);

/* What a trial that was pruned there with this score would have come to, from what the complete ones came to that had been
 * there: their values as a function of their scores that never falls (isotonic regression; Barlow and others, 1972), straight
 * lines in between, and beyond the worst as much worse as the score is. So it is never better than those it stood behind.
 * noise: the mean square of the values' distances from that line. Without any complete ones: the score. work: 3n doubles. */
double hn_prune_estimate(const struct hn_rule *r, int fold, int64_t epoch, double score,
                         double *work, double *noise);
#endif
