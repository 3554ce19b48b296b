/* SPDX-License-Identifier: MIT
 *
 * What may stand as a weight for a row, or as its group. */
#include "plugin/data/internal.h"
#include <float.h>
#include <math.h>
#include <stdio.h>

static hone_status bad_row(const struct hn_array *w, int64_t row, const char *found,
                           hone_error *err)
{
    char name[48], column[80];
    return hn_fail(err, HONE_E_DATA, w->source,
                   "%s, column %s: found %s, wanted a weight: a number, 0 or more",
                   hn_array_row_name(w, row, name),
                   hn_array_column_name(w, 0, column, sizeof column), found);
}

/* A column that is not all numbers: its first cell that is none. */
static hone_status bad_text(const struct hn_array *w, hone_error *err)
{
    const char *const *text = w->data;
    int64_t row = 0;
    double v;
    char found[96];
    struct hn_shown s;
    while (row + 1 < w->rows && hn_cell_number(text[row], strlen(text[row]), &v)) row++;
    snprintf(found, sizeof found, "'%s'", hn_show(&s, text[row], strlen(text[row])));
    return bad_row(w, row, found, err);
}

hone_status hn_array_check_weights(const struct hn_array *w, const struct hn_array *first,
                                   hone_error *err)
{
    char found[32];
    if (w->per_row != 1)
        return hn_fail(err, HONE_E_DATA, w->source, "a row has %lld numbers, wanted one weight",
                       (long long)w->per_row);
    if (first) HN_TRY(hn_array_check_rows(first, w, err));
    if (w->dtype == HN_STR) return bad_text(w, err);
    for (int64_t i = 0; i < w->rows; i++) {
        double v = hn_array_at(w, i, 0);
        if (v >= 0 && v <= (double)FLT_MAX) continue;
        snprintf(found, sizeof found, "%.9g", v);
        return bad_row(w, i, isnan(v) ? "NaN" : found, err);
    }
    return HONE_OK;
}

hone_status hn_array_check_groups(const struct hn_array *g, const struct hn_array *first,
                                  hone_error *err)
{
    if (g->per_row != 1)
        return hn_fail(err, HONE_E_DATA, g->source, "a row has %lld values, wanted one group",
                       (long long)g->per_row);
    HN_TRY(hn_array_check_rows(first, g, err));
    return g->dtype == HN_STR ? HONE_OK : hn_array_check_finite(g, err);
}
