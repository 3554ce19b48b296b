/* SPDX-License-Identifier: MIT
 *
 * Values of trials for a Gaussian process: heavy tails tamed, mean 0, variance 1. The order of
 * values stays, and all but the far tail keeps its shape. */
#include "plugin/tune/gp_search.h"
#include <math.h>
#include <string.h>

static const double FAR = 3, ROOM = 20, LARGEST = 1e100, ROUNDING = 1e-15;

/* Heapsort: allocates nothing. */
static void sift(double *v, int root, int n)
{
    for (int child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child] < v[child + 1]) child++;
        if (v[root] >= v[child]) return;
        double t = v[root];
        v[root] = v[child], v[child] = t;
    }
}

static void sort(double *v, int n)
{
    for (int i = n / 2 - 1; i >= 0; i--) sift(v, i, n);
    for (int i = n - 1; i > 0; i--) {
        double t = v[0];
        v[0] = v[i], v[i] = t;
        sift(v, 0, i);
    }
}

/* Keeps one of the values that are the same but for rounding; returns how many are left. */
static int distinct(double *sorted, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (!kept || sorted[i] - sorted[kept - 1] > ROUNDING * fabs(sorted[i]))
            sorted[kept++] = sorted[i];
    return kept;
}

/* Beyond three spreads of the better half above the median a value grows with its logarithm only,
 * and stays below 23. sorted: `of` values in order. */
static void compress(const double *sorted, int of, double *y, int n)
{
    double median = 0.5 * (sorted[(of - 1) / 2] + sorted[of / 2]), spread = 0;
    int good = 0;
    for (; good < of && sorted[good] <= median; good++)
        spread += (sorted[good] - median) * (sorted[good] - median);
    spread = sqrt(spread / good);
    for (int i = 0; i < n; i++) {
        double z = (y[i] - median) / spread, l = log1p(z - FAR);
        if (z > FAR) y[i] = median + spread * (FAR + l / (1 + l / ROOM));
    }
}

hone_status hn_gp_tame(struct hn_mem *m, double *y, double *noise, int n, hone_error *err)
{
    double mean = 0, var = 0, *sorted = hn_alloc(m, (size_t)n * sizeof *sorted);
    if (!sorted) return hn_nomem(err, "the values of a search", (size_t)n * sizeof *sorted);
    for (int i = 0; i < n; i++) y[i] = fmax(-LARGEST, fmin(LARGEST, y[i]));
    memcpy(sorted, y, (size_t)n * sizeof *sorted);
    sort(sorted, n);
    int of = n; /* a better half that is all ties has no spread: each value counts once then */
    if (sorted[n / 2] - sorted[0] <= ROUNDING * fabs(sorted[0])) of = distinct(sorted, n);
    if (of >= 4) compress(sorted, of, y, n);
    hn_free(m, sorted);
    for (int i = 0; i < n; i++) mean += y[i] / n;
    for (int i = 0; i < n; i++) var += (y[i] - mean) * (y[i] - mean) / n;
    double sd = fmax(sqrt(var), 1e-10);
    for (int i = 0; i < n; i++) {
        y[i] = (y[i] - mean) / sd;
        noise[i] = fmin(noise[i] / (sd * sd), 10);
    }
    return HONE_OK;
}
