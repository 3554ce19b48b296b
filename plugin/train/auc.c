/* SPDX-License-Identifier: MIT
 *
 * The area under the ROC curve: see auc.h. */
#include "plugin/train/auc.h"
#include "ops/base/status.h"
#include <math.h>

struct score {
    double value;
    int yes;
};

struct hn_auc {
    struct hn_mem *mem;
    int64_t columns, max_rows;
    struct score *score; /* column after column */
};

hone_status hn_auc_create(struct hn_mem *mem, int64_t columns, int64_t max_rows,
                          struct hn_auc **out, hone_error *err)
{
    int64_t n = 0;
    struct hn_auc *a = hn_calloc(mem, 1, sizeof *a);
    *out = a;
    if (!a) return hn_nomem(err, "the scores of auc", sizeof *a);
    *a = (struct hn_auc){ .mem = mem, .columns = columns, .max_rows = max_rows };
    if (hn_mul_i64(columns, max_rows, &n)) a->score = hn_calloc(mem, (size_t)n, sizeof *a->score);
    if (a->score) return HONE_OK;
    hn_auc_destroy(a);
    *out = NULL;
    return hn_nomem(err, "the scores of auc", (size_t)n * sizeof *a->score);
}

void hn_auc_destroy(struct hn_auc *a)
{
    if (!a) return;
    hn_free(a->mem, a->score);
    hn_free(a->mem, a);
}

void hn_auc_put(struct hn_auc *a, int64_t column, int64_t row, double score, int yes)
{
    if (row < a->max_rows) a->score[column * a->max_rows + row] = (struct score){ score, yes };
}

/* Heap sort: no memory, and the same order on every machine (equal scores are treated alike below). */
static void sift(struct score *a, int64_t i, int64_t n)
{
    struct score x = a[i];
    for (int64_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && a[c + 1].value > a[c].value) c++;
        if (!(a[c].value > x.value)) break;
        a[i] = a[c];
    }
    a[i] = x;
}

static void sort(struct score *a, int64_t n)
{
    for (int64_t i = n / 2; i-- > 0;) sift(a, i, n);
    for (int64_t last = n - 1; last > 0; last--) {
        struct score top = a[0];
        a[0] = a[last];
        a[last] = top;
        sift(a, 0, last);
    }
}

/* Every yes counts the noes below it, and half of those level with it. */
static int area(struct score *s, int64_t n, double *out)
{
    double yes = 0, no = 0, won = 0;
    sort(s, n);
    for (int64_t i = 0, end; i < n; i = end) {
        double level_yes = 0, level_no = 0;
        for (end = i; end < n && !(s[end].value > s[i].value); end++)
            level_yes += s[end].yes, level_no += !s[end].yes;
        won += level_yes * (no + level_no / 2);
        yes += level_yes;
        no += level_no;
    }
    if (yes == 0 || no == 0) return 0;
    *out = won / (yes * no);
    return 1;
}

int hn_auc_mean(struct hn_auc *a, int64_t rows, double *out)
{
    double sum = 0, one;
    int64_t have = 0;
    if (rows > a->max_rows) rows = a->max_rows;
    for (int64_t j = 0; j < a->columns; j++)
        if (area(a->score + j * a->max_rows, rows, &one)) sum += one, have++;
    if (have) *out = sum / (double)have;
    return have > 0;
}

void hn_auc_odds(double *z, int64_t n)
{
    int64_t best = 0, next = 1;
    for (int64_t k = 1; k < n; k++)
        if (z[k] > z[best]) best = k;
    next = best == 0;
    for (int64_t k = 0; k < n; k++)
        if (k != best && z[k] > z[next]) next = k;
    const double top = z[best], second = z[next];
    double all = 0, rest = 0; /* of all above top, of all but the best above the second */
    for (int64_t k = 0; k < n; k++) {
        all += exp(z[k] - top);
        if (k != best) rest += exp(z[k] - second);
    }
    for (int64_t k = 0; k < n; k++)
        z[k] = k == best ? top - second - log(rest) : z[k] - top - log(all - exp(z[k] - top));
}
