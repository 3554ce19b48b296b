/* SPDX-License-Identifier: MIT
 *
 * Scalers: x' = (x - offset) * scale per element of a row, fitted over given rows. Standard takes the mean and the
 * population standard deviation (division by N), minmax the range. Two passes in double, in the order of the rows, so
 * that the result is a function of the data alone. A column is constant, with scale 1, when all its values are equal or
 * its variance is no more than what rounding of its mean explains. */
#include "plugin/data/internal.h"

#include <float.h>
#include <math.h>

void hn_scaler_free(struct hn_scaler *s)
{
    if (s->mem) {
        hn_free(s->mem, s->offset);
        hn_free(s->mem, s->scale);
    }
    memset(s, 0, sizeof *s);
}

struct fitting {
    const struct hn_array *a;
    const uint32_t *rows;
    int64_t n;
    double *row, *low, *high, *squares;
};

static void load_row(const struct fitting *f, int64_t i)
{
    uint32_t r = f->rows ? f->rows[i] : (uint32_t)i;
    hn_array_gather(f->a, &r, 1, HN_F64, f->row);
}

/* Sums into mean (then divided), extremes into low and high. */
static void first_pass(struct fitting *f, double *mean, int64_t width)
{
    for (int64_t i = 0; i < f->n; i++) {
        load_row(f, i);
        for (int64_t j = 0; j < width; j++) {
            double x = f->row[j];
            mean[j] += x;
            if (i == 0 || x < f->low[j]) f->low[j] = x;
            if (i == 0 || x > f->high[j]) f->high[j] = x;
        }
    }
    for (int64_t j = 0; j < width; j++) mean[j] /= (double)f->n;
}

static void standard(struct fitting *f, struct hn_scaler *s)
{
    double n = (double)f->n;
    for (int64_t i = 0; i < f->n; i++) {
        load_row(f, i);
        for (int64_t j = 0; j < s->n; j++) {
            double d = f->row[j] - s->offset[j];
            f->squares[j] += d * d;
        }
    }
    for (int64_t j = 0; j < s->n; j++) {
        double variance = f->squares[j] / n, m = n * s->offset[j] * DBL_EPSILON;
        int constant = f->low[j] == f->high[j] || variance <= n * DBL_EPSILON * variance + m * m;
        if (f->low[j] == f->high[j]) s->offset[j] = f->low[j];
        s->scale[j] = constant ? 1 : 1 / sqrt(variance);
    }
}

static void minmax(struct fitting *f, struct hn_scaler *s)
{
    for (int64_t j = 0; j < s->n; j++) {
        double range = f->high[j] - f->low[j];
        s->offset[j] = f->low[j];
        s->scale[j] = range > 0 ? 1 / range : 1;
    }
}

/* What cannot be scaled: overflow in the sums, or a range that has no reciprocal. */
static hone_status check_result(const struct hn_scaler *s, const struct hn_array *a,
                                hone_error *err)
{
    char column[80];
    for (int64_t j = 0; j < s->n; j++)
        if (!isfinite(s->offset[j]) || !isfinite(s->scale[j]) || s->scale[j] == 0)
            return hn_fail(err, HONE_E_DATA, a->source,
                           "column %s: the values are too far apart to be scaled",
                           hn_array_column_name(a, j, column, sizeof column));
    return HONE_OK;
}

hone_status hn_scaler_fit(struct hn_scaler *s, struct hn_mem *mem, enum hn_scaling kind,
                          const struct hn_array *a, const uint32_t *rows, int64_t n_rows,
                          hone_error *err)
{
    size_t width = (size_t)a->per_row;
    *s = (struct hn_scaler){ .mem = mem, .kind = kind, .n = a->per_row };
    if (a->dtype == HN_STR)
        return hn_fail(err, HONE_E_DATA, a->source, "found text, wanted numbers to scale");
    struct fitting f = { .a = a, .rows = rows, .n = rows ? n_rows : a->rows };
    if (f.n <= 0) return hn_fail(err, HONE_E_DATA, a->source, "no rows to fit a scaler on");
    s->offset = hn_calloc(mem, width, sizeof *s->offset);
    s->scale = hn_calloc(mem, width, sizeof *s->scale);
    f.row = hn_calloc(mem, 4 * width, sizeof *f.row);
    hone_status st = HONE_OK;
    if (s->offset && s->scale && f.row) {
        f.low = f.row + width, f.high = f.low + width, f.squares = f.high + width;
        for (size_t j = 0; j < width; j++) s->scale[j] = 1;
        if (kind != HN_SCALE_NONE) first_pass(&f, s->offset, s->n);
        if (kind == HN_SCALE_STANDARD) standard(&f, s);
        if (kind == HN_SCALE_MINMAX) minmax(&f, s);
        st = check_result(s, a, err);
    } else {
        st = hn_nomem(err, "a scaler", 6 * width * sizeof *f.row);
    }
    hn_free(mem, f.row);
    if (st != HONE_OK) hn_scaler_free(s);
    return st;
}

void hn_scaler_apply(const struct hn_scaler *s, enum hn_dtype dtype, void *x, int64_t n)
{
    if (s->kind == HN_SCALE_NONE) return;
    float *f = x;
    double *d = x;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < s->n; j++)
            if (dtype == HN_F32)
                f[i * s->n + j] = (f[i * s->n + j] - (float)s->offset[j]) * (float)s->scale[j];
            else
                d[i * s->n + j] = (d[i * s->n + j] - s->offset[j]) * s->scale[j];
}
