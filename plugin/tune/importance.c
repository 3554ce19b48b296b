/* SPDX-License-Identifier: MIT
 *
 * Importances: see importance.h. Numbers are compared in the unit cube through a kernel density with a uniform part that
 * weighs as much as one trial; choices through their counts, one added to each. */
#include "plugin/tune/importance.h"
#include "ops/base/status.h"
#include <math.h>
#include <stdlib.h>

enum { CELLS = 64 };
static const double NARROWEST = 0.03; /* kernel width */

struct sample {
    const double *x;
    double cost; /* lower is better */
};

static int by_cost(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->cost, y = ((const struct sample *)b)->cost;
    return (x > y) - (x < y);
}

static double width_of(const struct hn_axis *a, int axis, const struct sample *s, size_t n)
{
    double sum = 0, squares = 0, count = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(s[i].x[axis])) continue;
        double u = hn_axis_encode(a, s[i].x[axis]);
        sum += u;
        squares += u * u;
        count++;
    }
    if (count < 2) return 1;
    double variance = squares / count - sum / count * (sum / count);
    double h = 1.06 * sqrt(variance > 0 ? variance : 0) * pow(count, -0.2);
    return h > NARROWEST ? h : NARROWEST;
}

/* The density of the axis among the first n samples over cells of the unit interval, or over choices; sums to 1. */
static void density(const struct hn_axis *a, int axis, const struct sample *s, size_t n, int cells,
                    double *p)
{
    double total = 0, h = a->kind == HN_AXIS_CHOICE ? 0 : width_of(a, axis, s, n);
    for (int c = 0; c < cells; c++) p[c] = a->kind == HN_AXIS_CHOICE ? 1 : 1.0 / cells;
    for (size_t i = 0; i < n; i++) {
        double v = s[i].x[axis], mass = 0, k[CELLS];
        if (isnan(v)) continue;
        if (a->kind == HN_AXIS_CHOICE) {
            p[(int)v]++;
            continue;
        }
        double u = hn_axis_encode(a, v);
        for (int c = 0; c < cells; c++) {
            double z = ((c + 0.5) / cells - u) / h;
            mass += k[c] = exp(-0.5 * z * z);
        }
        for (int c = 0; c < cells && mass > 0; c++) p[c] += k[c] / mass;
    }
    for (int c = 0; c < cells; c++) total += p[c];
    for (int c = 0; c < cells; c++) p[c] /= total;
}

/* Those of the n samples, in their order, in which the axis counts. */
static size_t where_active(int axis, const struct sample *s, size_t n, struct sample *active)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(s[i].x[axis])) active[count++] = s[i];
    return count;
}

static hone_status divergence(struct hn_mem *mem, const struct hn_axis *a, int axis,
                              const struct sample *s, size_t n, double *out, hone_error *err)
{
    int cells = a->kind == HN_AXIS_CHOICE ? a->n_choices : CELLS;
    double *all = hn_alloc(mem, 2 * (size_t)cells * sizeof *all), *top = all + cells;
    if (!all) return hn_nomem(err, "the importances", 2 * (size_t)cells * sizeof *all);
    density(a, axis, s, n, cells, all);
    density(a, axis, s, (n + 3) / 4, cells, top);
    *out = 0;
    for (int c = 0; c < cells; c++) {
        double ratio = top[c] / all[c] - 1;
        *out += all[c] * ratio * ratio;
    }
    hn_free(mem, all);
    return HONE_OK;
}

hone_status hn_importances(struct hn_mem *mem, const struct hn_search_space *space,
                           const struct hn_trial *trials, size_t n, int maximize, double *out,
                           int *said, hone_error *err)
{
    size_t count = 0;
    double total = 0;
    *said = 0;
    struct sample *s = hn_alloc(mem, 2 * (n + 1) * sizeof *s), *active = s ? s + n + 1 : NULL;
    if (!s) return hn_nomem(err, "the importances", 2 * (n + 1) * sizeof *s);
    for (size_t i = 0; i < n; i++)
        if (trials[i].state == HN_TRIAL_DONE || trials[i].state == HN_TRIAL_PRUNED)
            s[count++] =
                (struct sample){ trials[i].x, maximize ? -trials[i].value : trials[i].value };
    qsort(s, count, sizeof *s, by_cost);
    hone_status st = HONE_OK;
    int enough = count >= HN_IMPORTANCE_TRIALS && s[0].cost < s[count - 1].cost;
    for (int a = 0; a < space->n && enough && st == HONE_OK; a++) {
        size_t k = where_active(a, s, count, active);
        out[a] = 0;
        if (k >= HN_IMPORTANCE_TRIALS)
            st = divergence(mem, &space->axes[a], a, active, k, &out[a], err);
        out[a] *= (double)k / (double)count;
        total += out[a];
    }
    hn_free(mem, s);
    if (st != HONE_OK || !enough || total <= 0) return st;
    for (int a = 0; a < space->n; a++) out[a] /= total;
    *said = 1;
    return HONE_OK;
}
