/* SPDX-License-Identifier: MIT
 *
 * Minimising a smooth function over a box: limited-memory BFGS (Nocedal and Wright, "Numerical Optimization", ch. 7) with
 * projection. In each step the variables that stand at a bound and want to leave are held, the two-loop recursion runs over
 * the others, and a backtracking search goes along the projected path until f has fallen enough (Armijo). */
#ifndef HN_LBFGS_H
#define HN_LBFGS_H

#include <stddef.h>

enum { HN_LBFGS_PAIRS = 8 };

struct hn_lbfgs {
    int n;
    const double *low, *high; /* NULL: no bounds */
    const double *scale;      /* typical sizes of steps, one a variable; NULL: 1 */
    int max_evals;
    double gtol; /* done when no component of scale * projected gradient is larger */
    /* f at x and its gradient; not finite: x is out of the question. */
    double (*f)(void *user, const double *x, double *g);
    void *user;
};
size_t hn_lbfgs_work(int n); /* doubles of work */
/* x: from, then the best point found. Returns f there; *evals (may be NULL) counts calls. */
double hn_lbfgs_run(const struct hn_lbfgs *p, double *x, double *work, int *evals);
#endif
