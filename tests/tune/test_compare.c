/* SPDX-License-Identifier: MIT
 *
 * The paired comparison against recorded numbers: 2 * scipy.stats.t.sf(abs(t), df) of SciPy 1.17.1, and the corrected
 * statistic of Nadeau and Bengio computed with NumPy from the same differences. */
#include "plugin/tune/compare.h"
#include "tests/harness.h"
#include <math.h>

static const struct {
    double t, df, p;
} student[] = {
    { 0.0, 1, 1 },
    { 0.001, 1, 0.99936338043981587 },
    { 0.5, 1, 0.70483276469913347 },
    { 1.7, 1, 0.33850605466066541 },
    { -2.776445105, 1, 0.22008489475562734 },
    { 4.3, 1, 0.14546547849274274 },
    { 12.0, 1, 0.052929352119179755 },
    { 60.0, 1, 0.010609347265246543 },
    { 0.0, 2, 1 },
    { 0.001, 2, 0.99929289339559013 },
    { 0.5, 2, 0.66666666666666674 },
    { 1.7, 2, 0.23123342620157122 },
    { -2.776445105, 2, 0.10893430042304637 },
    { 4.3, 2, 0.050057154117091593 },
    { 12.0, 2, 0.0068729336771584599 },
    { 60.0, 2, 0.00027766209059467876 },
    { 0.0, 4, 1 },
    { 0.001, 4, 0.99925000015624998 },
    { 0.5, 4, 0.64332996318186331 },
    { 1.7, 4, 0.16435494127004999 },
    { -2.776445105, 4, 0.050000000010119457 },
    { 4.3, 4, 0.012645618935102639 },
    { 12.0, 4, 0.00027642854850297303 },
    { 60.0, 4, 4.6210687276351278e-07 },
    { 0.0, 9, 1 },
    { 0.001, 9, 0.99922393032597334 },
    { 0.5, 9, 0.62907129982602628 },
    { 1.7, 9, 0.12334766214382385 },
    { -2.776445105, 9, 0.02152549293256005 },
    { 4.3, 9, 0.0019906522744612557 },
    { 12.0, 9, 7.699886222985653e-07 },
    { 60.0, 9, 5.0011904716729005e-13 },
    { 0.0, 49, 1 },
    { 0.001, 49, 0.99920617576563997 },
    { 0.5, 49, 0.61931318621013143 },
    { 1.7, 49, 0.095471084841178569 },
    { -2.776445105, 49, 0.0077626640707252614 },
    { 4.3, 49, 8.1085683080717139e-05 },
    { 12.0, 49, 3.3808104947974039e-16 },
    { 60.0, 49, 1.5631136077041515e-47 },
    { 0.0, 999, 1 },
    { 0.001, 999, 0.99920231521807357 },
    { 0.5, 999, 0.61718519093028945 },
    { 1.7, 999, 0.089442198219931421 },
    { -2.776445105, 999, 0.0055984322492929851 },
    { 4.3, 999, 1.8754014478436611e-05 },
    { 12.0, 999, 4.3431039077163299e-31 },
    { 60.0, 999, 0 },
};

START_TEST(student_as_scipy)
{
    for (size_t i = 0; i < sizeof student / sizeof *student; i++) {
        double p = hn_student_two_sided(student[i].t, student[i].df), want = student[i].p;
        /* the last one is below the smallest double there */
        ck_assert_msg(fabs(p - want) <= 1e-11 * want + 1e-300, "t %g, df %g: %.17g, wanted %.17g",
                      student[i].t, student[i].df, p, want);
    }
    ck_assert_double_eq(hn_student_two_sided((double)INFINITY, 4), 0);
    ck_assert(isnan(hn_student_two_sided((double)NAN, 4)));
    ck_assert(isnan(hn_student_two_sided(1, 0)));
}
END_TEST

static const struct {
    int n, k, better, equal;
    double d[10], mean, std, se, t, p;
} pairs[] = {
    { 5,
      5,
      4,
      0,
      { 0.02, 0.05, -0.01, 0.04, 0.03 },
      0.026000000000000002,
      0.020591260281974003,
      0.015443445211480502,
      1.683562161419258,
      0.16755322147892307 },
    { 10, /* two draws of five folds */
      5,
      7,
      1,
      { 0.02, 0.05, -0.01, 0.04, 0.03, 0.0, -0.02, 0.06, 0.01, 0.02 },
      0.019999999999999997,
      0.024494897427831782,
      0.015275252316519468,
      1.309307341415954,
      0.22286835013352033 },
    { 3,
      3,
      0,
      0,
      { -1.5, -2.25, -0.75 },
      -1.5,
      0.61237243569579447,
      0.68465319688145765,
      -2.1908902300206643,
      0.15983194958319416 },
};

START_TEST(corrected_for_shared_rows)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct hn_paired c;
        hn_paired_compare(pairs[i].d, pairs[i].n, pairs[i].k, &c);
        ck_assert_int_eq(c.n, pairs[i].n);
        ck_assert_int_eq(c.better, pairs[i].better);
        ck_assert_int_eq(c.equal, pairs[i].equal);
        ck_assert_double_eq_tol(c.mean, pairs[i].mean, 1e-15);
        ck_assert_double_eq_tol(c.std, pairs[i].std, 1e-15);
        ck_assert_double_eq_tol(c.se, pairs[i].se, 1e-15);
        ck_assert_double_eq_tol(c.t, pairs[i].t, 1e-12);
        ck_assert_double_eq_tol(c.p, pairs[i].p, 1e-12);
    }
}
END_TEST

START_TEST(no_spread)
{
    struct hn_paired c;
    hn_paired_compare((const double[]){ 0.5 }, 1, 0, &c); /* one validation split */
    ck_assert(c.mean == 0.5 && c.better == 1 && isnan(c.se) && isnan(c.t) && isnan(c.p));
    hn_paired_compare((const double[]){ 0.5, 0.5, 0.5 }, 3, 3, &c);
    ck_assert(c.se == 0 && isinf(c.t) && c.t > 0 && c.p == 0);
    hn_paired_compare((const double[]){ -0.5, -0.5 }, 2, 2, &c);
    ck_assert(c.better == 0 && isinf(c.t) && c.t < 0 && c.p == 0);
    hn_paired_compare((const double[]){ 0, 0, 0 }, 3, 3, &c); /* the imported model won */
    ck_assert(c.equal == 3 && c.t == 0 && c.p == 1);
}
END_TEST

HN_TEST_MAIN("compare", tcase_add_test(tc, student_as_scipy);
             tcase_add_test(tc, corrected_for_shared_rows); tcase_add_test(tc, no_spread);)
