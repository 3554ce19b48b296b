/* SPDX-License-Identifier: MIT
 *
 * Pruning rules on small curves whose verdicts can be counted by hand. */
#include "plugin/tune/prune.h"
#include "tests/harness.h"
#include <math.h>

enum { MOST = 40, STEPS = 30 };
static struct hn_trial_step steps[MOST][STEPS];
static struct hn_curve curves[MOST];

/* Trial i has the constant value v[i] for n steps. */
static void constant(const double *v, int trials, int n)
{
    for (int i = 0; i < trials; i++) {
        for (int k = 0; k < n; k++) steps[i][k] = (struct hn_trial_step){ k + 1, v[i] };
        curves[i] = (struct hn_curve){ i, 1, steps[i], (size_t)n };
    }
}

static int judged(const struct hn_pruner *p, int64_t number, int64_t step, double v, size_t others)
{
    struct hn_trial_step own[STEPS];
    for (int64_t k = 1; k <= step; k++) own[k - 1] = (struct hn_trial_step){ k, v };
    return hn_prune(p, &(struct hn_curve){ number, 0, own, (size_t)step }, curves, others);
}

START_TEST(median)
{
    static const double v[] = { 1, 2, 3, 4, 5, 6 };
    struct hn_pruner p = { .kind = HN_PRUNER_MEDIAN, .warmup = 2 };
    constant(v, 6, 10);
    ck_assert_int_eq(judged(&p, 9, 5, 3.4, 6), 0); /* the median of six is 3.5 */
    ck_assert_int_eq(judged(&p, 9, 5, 3.6, 6), 1);
    ck_assert_int_eq(judged(&p, 9, 5, 3.0, 5), 0); /* of five it is 3, and equal is no worse */
    ck_assert_int_eq(judged(&p, 9, 5, 3.1, 5), 1);
    ck_assert_int_eq(judged(&p, 9, 5, 99, 4), 0);  /* too few finished */
    ck_assert_int_eq(judged(&p, 9, 2, 99, 6), 0);  /* warming up */
    ck_assert_int_eq(judged(&p, 9, 12, 99, 6), 0); /* nobody has been there */
    ck_assert_int_eq(judged(&p, 9, 2, (double)NAN, 0), 1);
    p.maximize = 1;
    ck_assert_int_eq(judged(&p, 9, 5, 3.4, 6), 1);
    ck_assert_int_eq(judged(&p, 9, 5, 3.6, 6), 0);
    p.maximize = 0;
    struct hn_trial_step own[3] = { { 1, 0.5 }, { 2, 9 }, { 3, 9 } }; /* its best so far counts */
    ck_assert_int_eq(hn_prune(&p, &(struct hn_curve){ 9, 0, own, 3 }, curves, 6), 0);
    p.kind = HN_PRUNER_NONE;
    ck_assert_int_eq(judged(&p, 9, 5, 99, 6), 0);
}
END_TEST

START_TEST(brackets_of_hyperband)
{
    struct hn_pruner p = { .kind = HN_PRUNER_HYPERBAND, .first = 1, .last = 27 };
    int counts[4] = { 0 };
    ck_assert_int_eq(hn_prune_brackets(&p), 4); /* rungs 1, 3, 9 and the end */
    for (int64_t t = 0; t < 40; t++) counts[hn_prune_bracket(&p, t)]++;
    ck_assert(counts[0] == 27 && counts[1] == 9 && counts[2] == 3 && counts[3] == 1);
    p.first = 27;
    ck_assert_int_eq(hn_prune_brackets(&p), 1);
    p.first = 0, p.last = 5;
    ck_assert_int_eq(hn_prune_brackets(&p), 2);
}
END_TEST

START_TEST(rungs_of_hyperband)
{
    struct hn_pruner p = { .kind = HN_PRUNER_HYPERBAND, .first = 1, .last = 27 };
    static const double v[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    constant(v, 8, 3);                             /* numbers 0 to 7: bracket 0 */
    ck_assert_int_eq(judged(&p, 8, 3, 2.5, 8), 0); /* third of nine */
    ck_assert_int_eq(judged(&p, 8, 3, 3.5, 8), 1); /* fourth */
    ck_assert_int_eq(judged(&p, 8, 2, 99, 8), 0);  /* no rung */
    ck_assert_int_eq(judged(&p, 8, 3, 0.5, 1), 0); /* the second to arrive, the best */
    ck_assert_int_eq(judged(&p, 8, 3, 1.5, 1), 1);
    ck_assert_int_eq(judged(&p, 8, 3, 9, 0), 0);   /* the first */
    ck_assert_int_eq(judged(&p, 39, 3, 99, 8), 0); /* bracket 3 has no rung before the end */
    ck_assert_int_eq(judged(&p, 8, 27, 99, 8), 0); /* the end is no rung */
}
END_TEST

HN_TEST_MAIN("prune", tcase_add_test(tc, median); tcase_add_test(tc, brackets_of_hyperband);
             tcase_add_test(tc, rungs_of_hyperband);)
