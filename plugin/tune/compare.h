/* SPDX-License-Identifier: MIT
 *
 * Is one model better than another on the same folds? Folds share training rows, so the plain t-test takes differences for
 * real that are not; Nadeau and Bengio (Inference for the generalization error, Machine Learning 52, 2003, section 3) widen
 * the variance of the mean of n differences by the ratio of judging to training rows, which is 1 : k - 1 for folds:
 *
 *     se = sqrt((1 / n + 1 / (k - 1)) * s^2)      s^2 = sum (d - mean)^2 / (n - 1)
 *     t = mean / se, n - 1 degrees of freedom, p from both sides of Student's distribution
 *
 * n = k for one draw of the folds, k * repeats for several. A pure function of its numbers. */
#ifndef HN_COMPARE_H
#define HN_COMPARE_H

struct hn_paired {
    int n, k;          /* differences; folds of one draw */
    int better, equal; /* differences above 0; at 0 */
    double mean, std;  /* std: over n, as everywhere where folds are reported */
    double se;         /* NaN for n < 2: nothing to judge by */
    double t, p;       /* t infinite where all differences are the same; p 1 where all are 0 */
};
/* difference: n numbers, positive where the first is better. */
void hn_paired_compare(const double *difference, int n, int k, struct hn_paired *out);

/* The chance that |T| exceeds |t|, of Student's distribution with df degrees of freedom. */
double hn_student_two_sided(double t, double df);
#endif
