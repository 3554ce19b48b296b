/* SPDX-License-Identifier: MIT
 *
 * Values of trials for a Gaussian process: heavy tails tamed, mean 0, variance 1. The order of values stays, and the better
 * half of them keeps its shape. */
#include "plugin/tune/gp_search.h"
#include <math.h>
#include <string.h>

struct ranked {
    double y;
    int i;
};

static int before(const struct ranked *a, const struct ranked *b)
{
    return a->y < b->y || (a->y == b->y && a->i < b->i);
}

/* Heapsort: no call of the host's library whose order among equals is its own. */
static void sift(struct ranked *v, int root, int n)
{
    for (int child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(&v[child], &v[child + 1])) child++;
        if (!before(&v[root], &v[child])) return;
        struct ranked t = v[root];
        v[root] = v[child], v[child] = t;
    }
}

static void sort(struct ranked *v, int n)
{
    for (int i = n / 2 - 1; i >= 0; i--) sift(v, i, n);
    for (int i = n - 1; i > 0; i--) {
        struct ranked t = v[0];
        v[0] = v[i], v[i] = t;
        sift(v, 0, i);
    }
}

static void half_rank(struct ranked *v, double *y, int n)
{
    double median = n % 2 ? v[n / 2].y : 0.5 * (v[n / 2 - 1].y + v[n / 2].y), spread = 0;
    int good = 0;
    while (good < n && v[good].y <= median) {
        spread += (v[good].y - median) * (v[good].y - median);
        good++;
    }
    spread = sqrt(spread / good);
    if (!(spread > 0)) return;
    for (int i = good; i < n;) {
        int j = i;
        while (j < n && v[j].y == v[i].y) j++;
        double q = hn_normal_quantile((0.5 * (i + j - 1) + 0.5) / n);
        for (; i < j; i++) y[v[i].i] = median + spread * fmax(q, 0);
    }
}

hone_status hn_gp_tame(struct hn_mem *m, double *y, double *noise, int n, hone_error *err)
{
    struct ranked *v = hn_alloc(m, (size_t)n * sizeof *v);
    double mean = 0, var = 0;
    if (!v) return hn_nomem(err, "the values of a search", (size_t)n * sizeof *v);
    for (int i = 0; i < n; i++) v[i] = (struct ranked){ y[i], i };
    sort(v, n);
    if (n >= 4) half_rank(v, y, n);
    hn_free(m, v);
    for (int i = 0; i < n; i++) mean += y[i] / n;
    for (int i = 0; i < n; i++) var += (y[i] - mean) * (y[i] - mean) / n;
    double sd = fmax(sqrt(var), 1e-10);
    for (int i = 0; i < n; i++) {
        y[i] = (y[i] - mean) / sd;
        noise[i] = fmin(noise[i] / (sd * sd), 10);
    }
    return HONE_OK;
}
