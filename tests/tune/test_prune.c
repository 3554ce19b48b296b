/* SPDX-License-Identifier: MIT
 *
 * Pruning rules, and the one epoch that folds are judged after, on small curves whose scores and verdicts can be counted by
 * hand. */
#include "plugin/tune/prune.h"
#include "plugin/tune/trial.h"
#include "tests/harness.h"
#include <math.h>
#include <string.h>

enum { MOST = 40, EPOCHS = 10, FOLDS = 3 };

static struct others {
    double v[MOST][FOLDS * EPOCHS], score[MOST][FOLDS * EPOCHS], work[3 * MOST];
    struct hn_fold_curve fold[MOST][FOLDS], scores[MOST][FOLDS];
    struct hn_course course[MOST];
    struct hn_rule rule;
} g;

static void begin(enum hn_pruner_kind kind, int maximize)
{
    g.rule = (struct hn_rule){ .pruner = { .kind = kind, .startup = 1, .eta = 3 },
                               .steps = { .folds = FOLDS, .maximize = maximize, .epochs = EPOCHS },
                               .others = g.course,
                               .work = g.work };
}

/* A trial with the constant value v for these epochs in each fold; complete when it is in all of them. */
static void add(double v, int a, int b, int c)
{
    size_t i = g.rule.n++;
    const int n[FOLDS] = { a, b, c };
    int folds = 0;
    double *at = g.v[i];
    for (int f = 0; f < FOLDS && n[f]; f++, folds++) {
        g.fold[i][f] = (struct hn_fold_curve){ at, (size_t)n[f] };
        for (int e = 0; e < n[f]; e++) *at++ = v;
    }
    g.course[i] = (struct hn_course){ .complete = folds == FOLDS,
                                      .score = g.scores[i],
                                      .value = g.rule.steps.maximize ? -v : v };
    g.course[i].folds = hn_course_scores(&g.rule.steps, g.fold[i], folds, g.score[i], g.scores[i]);
}

/* Is a trial with the constant value v ended after this epoch of a fold? */
static int ended(int fold, int64_t epoch, double v)
{
    double before = fold * (g.rule.steps.maximize ? -v : v);
    struct hn_watch w = { .rule = &g.rule, .fold = fold, .before = before, .best = (double)NAN };
    hn_watch_value(&w, v);
    return hn_watch_fails(&w, epoch);
}

START_TEST(scores)
{
    static const double a[] = { 5, 3, 4 }, b[] = { (double)NAN, 2, 1, 6 }, c[] = { 9 };
    const struct hn_fold_curve fold[] = { { a, 3 }, { b, 4 }, { c, 1 } };
    struct hn_fold_curve score[3];
    double out[8];
    begin(HN_PRUNER_MEDIAN, 0);
    struct hn_course x = { .complete = 1, .score = score };
    x.folds = hn_course_scores(&g.rule.steps, fold, 3, out, score);
    ck_assert_int_eq(x.folds, 3);
    ck_assert(hn_course_at(&x, 0, 1) == 5 && hn_course_at(&x, 0, 2) == 3 &&
              hn_course_at(&x, 0, 3) == 3);
    ck_assert(hn_course_at(&x, 0, 10) == 3); /* it stopped at 3 and stands there with what it had */
    ck_assert(isnan(hn_course_at(&x, 1, 1)));
    ck_assert(hn_course_at(&x, 1, 2) == 2.5 && hn_course_at(&x, 1, 4) == 2);
    ck_assert(hn_course_at(&x, 2, 1) == 13.0 / 3 && hn_course_at(&x, 2, 10) == 13.0 / 3);
    x.complete = 0; /* pruned in its third fold */
    ck_assert(hn_course_at(&x, 1, 10) == 2 && isnan(hn_course_at(&x, 2, 2)));
    x.folds = 2;
    ck_assert(isnan(hn_course_at(&x, 2, 1)));
    begin(HN_PRUNER_MEDIAN, 1);
    hn_course_scores(&g.rule.steps, fold, 3, out, score);
    ck_assert(out[0] == -5 && out[2] == -5 && out[4] == -3.5 && out[6] == -5.5);
}
END_TEST

START_TEST(median)
{
    begin(HN_PRUNER_MEDIAN, 0);
    for (int v = 1; v <= 5; v++) add(v, 10, 10, 10);
    ck_assert_int_eq(ended(0, 1, 3), 0); /* no worse than the median of five */
    ck_assert_int_eq(ended(0, 1, 3.1), 1);
    add(6, 4, 0, 0); /* pruned after four epochs: counts as far as it came */
    ck_assert_int_eq(ended(0, 4, 3.4), 0);
    ck_assert_int_eq(ended(0, 4, 3.6), 1);
    ck_assert_int_eq(ended(0, 5, 3.4), 1);
    ck_assert_int_eq(ended(2, 10, 3), 0);
    ck_assert_int_eq(ended(2, 10, 3.1), 1);
    ck_assert_int_eq(ended(1, 1, (double)NAN), 1);
    g.rule.pruner.warmup = 14; /* the fourth epoch of the second fold */
    ck_assert_int_eq(ended(1, 3, 99), 0);
    ck_assert_int_eq(ended(1, 4, 99), 1);
    g.rule.pruner.startup = 6; /* five are complete */
    ck_assert_int_eq(ended(1, 4, 99), 0);
    g.rule.pruner.kind = HN_PRUNER_NONE;
    ck_assert_int_eq(ended(2, 10, 99), 0);
    begin(HN_PRUNER_MEDIAN, 1);
    for (int v = 1; v <= 5; v++) add(v, 10, 10, 10);
    ck_assert_int_eq(ended(1, 7, 2.9), 1);
    ck_assert_int_eq(ended(1, 7, 3), 0);
}
END_TEST

/* The scores in a fold go by the folds before, too, and the best counts, not the last. */
START_TEST(over_folds)
{
    begin(HN_PRUNER_MEDIAN, 0);
    add(2, 10, 10, 10);
    struct hn_watch w = { .rule = &g.rule, .fold = 1, .before = 1, .best = (double)NAN };
    hn_watch_value(&w, 3); /* the mean of 1 and 3 */
    ck_assert_int_eq(hn_watch_fails(&w, 1), 0);
    hn_watch_value(&w, 99);
    ck_assert_int_eq(hn_watch_fails(&w, 2), 0);
    w.before = 1.5;
    ck_assert_int_eq(hn_watch_fails(&w, 2), 1);
    ck_assert_int_eq(hn_watch_end(&w, 2), 1); /* stopped early: judged where the fold would end */
    w.before = 1;
    ck_assert_int_eq(hn_watch_end(&w, 2), 0);
    w.before = 9, w.fold = 2;
    ck_assert_int_eq(hn_watch_end(&w, 2), 0); /* complete */
}
END_TEST

START_TEST(brackets_of_hyperband)
{
    struct hn_pruner p = { .kind = HN_PRUNER_HYPERBAND, .warmup = 1, .eta = 3 };
    struct hn_steps s = { .folds = 3, .epochs = 9 };
    int counts[4] = { 0 };
    ck_assert_int_eq(hn_prune_brackets(&p, &s), 4); /* rungs 1, 3, 9 and the end */
    for (int64_t t = 0; t < 80; t++) counts[hn_prune_bracket(&p, &s, t)]++;
    ck_assert(counts[0] == 54 && counts[1] == 18 && counts[2] == 6 && counts[3] == 2);
    counts[1] = 0;
    for (int64_t t = 0; t < 9; t++) counts[1] += hn_prune_bracket(&p, &s, t) == 1;
    ck_assert_int_eq(counts[1], 2); /* spread, not 27 of one bracket first */
    p.warmup = 27;
    ck_assert_int_eq(hn_prune_brackets(&p, &s), 1);
    p.warmup = 0, s.folds = 1, s.epochs = 5;
    ck_assert_int_eq(hn_prune_brackets(&p, &s), 2);
}
END_TEST

START_TEST(rungs_of_hyperband)
{
    begin(HN_PRUNER_HYPERBAND, 0);       /* 30 steps: rungs 1, 3, 9, 27 */
    ck_assert_int_eq(ended(0, 3, 9), 0); /* the first to arrive */
    add(1, 10, 10, 10);
    ck_assert_int_eq(ended(0, 3, 0.5), 0); /* the second, and the best */
    ck_assert_int_eq(ended(0, 3, 1.5), 1);
    for (int v = 2; v <= 8; v++) add(v, 3, 0, 0);
    ck_assert_int_eq(ended(0, 3, 3), 0); /* among the best three of nine */
    ck_assert_int_eq(ended(0, 3, 3.5), 1);
    ck_assert_int_eq(ended(0, 3, (double)NAN), 1);
    ck_assert_int_eq(ended(0, 2, 99), 0);  /* no rung */
    ck_assert_int_eq(ended(2, 7, 1.5), 1); /* step 27: only one was there */
    ck_assert_int_eq(ended(2, 10, 99), 0); /* the end is no rung */
    g.rule.bracket = 1;
    ck_assert_int_eq(ended(0, 3, 99), 0); /* nobody of its bracket */
    for (int i = 0; i < 8; i++) g.course[i].bracket = 1;
    ck_assert_int_eq(ended(0, 3, 99), 1);
    ck_assert_int_eq(ended(0, 1, 99), 0); /* no rung of this bracket */
    g.rule.bracket = 0;
    g.rule.pruner.warmup = 4; /* rungs 4 and 12 */
    for (int i = 0; i < 8; i++) g.course[i].bracket = 0;
    ck_assert_int_eq(ended(0, 3, 99), 0);
    ck_assert_int_eq(ended(0, 4, 99), 1);
    struct hn_watch w = { .rule = &g.rule, .best = 99 };
    ck_assert_int_eq(hn_watch_end(&w, 3), 1); /* stopped before the rung at 4, and stands there */
    ck_assert_int_eq(hn_watch_end(&w, 5), 0);
}
END_TEST

START_TEST(estimates)
{
    double noise, work[3 * MOST];
    begin(HN_PRUNER_MEDIAN, 0);
    ck_assert(hn_prune_estimate(&g.rule, 0, 2, 7, work, &noise) == 7 && noise == 0);
    for (int v = 1; v <= 4; v++) add(v, 10, 10, 10);
    add(0, 5, 0, 0); /* pruned ones tell nothing */
    static const double came_to[] = { 0.1, 0.4, 0.2, 0.8 };
    for (int i = 0; i < 4; i++) g.course[i].value = came_to[i];
    /* scores 1 2 3 4 came to 0.1, 0.3, 0.3 (two that fall, averaged), 0.8 */
    ck_assert_double_eq_tol(hn_prune_estimate(&g.rule, 0, 2, 2.5, work, &noise), 0.3, 1e-15);
    ck_assert_double_eq_tol(noise, 2 * 0.01 / 4, 1e-15);
    ck_assert_double_eq_tol(hn_prune_estimate(&g.rule, 0, 2, 1.5, work, &noise), 0.2, 1e-15);
    ck_assert_double_eq_tol(hn_prune_estimate(&g.rule, 0, 2, 3.5, work, &noise), 0.55, 1e-15);
    ck_assert_double_eq_tol(hn_prune_estimate(&g.rule, 0, 2, 6, work, &noise), 2.8, 1e-15);
    ck_assert_double_eq_tol(hn_prune_estimate(&g.rule, 0, 2, 0.5, work, &noise), 0.1, 1e-15);
}
END_TEST

START_TEST(one_epoch_for_all_folds)
{
    double a[] = { 5, 1, 9, 8 }, b[] = { 1, 6, 7 }, c[] = { 6, 8, (double)NAN, 1 };
    const struct hn_fold_result fold[] = {
        { .value = 1, .best_epoch = 2, .curve = a, .n_curve = 4, .start = 6, .save_best = 1 },
        { .value = 1, .best_epoch = 1, .curve = b, .n_curve = 3, .start = 6, .save_best = 1 },
        { .value = 1, .best_epoch = 4, .curve = c, .n_curve = 4, .start = 6, .save_best = 1 },
    };
    struct hn_fold_result f[3];
    memcpy(f, fold, sizeof f); /* means 6, 4, 5, none, 16/3: the second fold stays at 7 */
    hn_folds_same_epoch(f, 3, 0);
    ck_assert(f[0].value == 5 && f[1].value == 1 && f[2].value == 6);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(f[i].best_epoch, 1);
    memcpy(f, fold, sizeof f);
    f[0].start = f[1].start = f[2].start = 4; /* of equals the first */
    hn_folds_same_epoch(f, 3, 0);
    for (int i = 0; i < 3; i++) ck_assert(f[i].best_epoch == 0 && f[i].value == 4);
    memcpy(f, fold, sizeof f);
    f[1].start = (double)NAN; /* may not be exported */
    hn_folds_same_epoch(f, 3, 1);
    ck_assert(f[0].value == 8 && f[1].value == 7 && f[2].value == 1 && f[1].best_epoch == 4);
    memcpy(f, fold, sizeof f);
    f[2].save_best = 0;
    hn_folds_same_epoch(f, 3, 0);
    ck_assert(f[0].best_epoch == 2 && f[1].best_epoch == 1 && f[0].value == 1);
    memcpy(f, fold, sizeof f);
    hn_folds_same_epoch(&f[2], 1, 0); /* one fold: what the run took */
    ck_assert(f[2].best_epoch == 4 && f[2].value == 1);
}
END_TEST

HN_TEST_MAIN("prune", tcase_add_test(tc, one_epoch_for_all_folds); tcase_add_test(tc, scores);
             tcase_add_test(tc, median); tcase_add_test(tc, over_folds);
             tcase_add_test(tc, brackets_of_hyperband); tcase_add_test(tc, rungs_of_hyperband);
             tcase_add_test(tc, estimates);)
