/* SPDX-License-Identifier: MIT
 *
 * The paired comparison: see compare.h. */
#include "plugin/tune/compare.h"
#include <math.h>

/* The continued fraction of the incomplete beta function (DLMF 8.17.22), from its front by Lentz's method: each step
 * multiplies in two more convergents. It converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    enum { STEPS = 10000 };
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < STEPS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int k = 0; k < 2; k++) {
            double q = k ? odd : even;
            d = 1 + q * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + q / c;
            if (fabs(c) < tiny) c = tiny;
            step *= c * d;
        }
        f *= step;
        if (fabs(step - 1) < 1e-16) break;
    }
    return f;
}

/* I_x(a, b); y = 1 - x, handed in because it may be known better. */
static double incomplete_beta(double a, double b, double x, double y)
{
    if (x <= 0) return 0;
    if (y <= 0) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, y) / b;
}

double hn_student_two_sided(double t, double df)
{
    if (isnan(t) || !(df > 0)) return (double)NAN;
    if (isinf(t)) return 0;
    double sum = df + t * t;
    return incomplete_beta(df / 2, 0.5, df / sum, t * t / sum);
}

void hn_paired_compare(const double *difference, int n, int k, struct hn_paired *out)
{
    double squares = 0;
    *out = (struct hn_paired){ .n = n, .k = k };
    out->se = out->t = out->p = (double)NAN;
    for (int i = 0; i < n; i++) {
        out->mean += difference[i] / n;
        out->better += difference[i] > 0;
        out->equal += !(difference[i] > 0) && !(difference[i] < 0);
    }
    for (int i = 0; i < n; i++)
        squares += (difference[i] - out->mean) * (difference[i] - out->mean);
    out->std = n ? sqrt(squares / n) : 0;
    if (n < 2 || k < 2) return;
    out->se = sqrt(squares / (n - 1) * (1.0 / n + 1.0 / (k - 1)));
    if (out->se > 0) {
        out->t = out->mean / out->se;
        out->p = hn_student_two_sided(out->t, n - 1);
    } else if (out->mean != 0) {
        out->t = out->mean > 0 ? (double)INFINITY : -(double)INFINITY;
        out->p = 0;
    } else {
        out->t = 0;
        out->p = 1;
    }
}
