/* SPDX-License-Identifier: MIT
 *
 * Columns of one table that are to have one list of categories: every category of any of them, sorted as ever, and the cells'
 * numbers by that list. */
#include "plugin/data/internal.h"

#include <math.h>

static struct hn_table_column *column_of(const struct hn_column_at *at)
{
    return &at->array->columns[at->column];
}

static int same_lists(const struct hn_table_column *a, const struct hn_table_column *b)
{
    if (a->n_category != b->n_category) return 0;
    for (int64_t i = 0; i < a->n_category; i++)
        if (strcmp(a->category[i], b->category[i]) != 0) return 0;
    return 1;
}

static hone_status join_words(struct hn_words *w, const struct hn_column_at *at, size_t n,
                              hone_error *err)
{
    for (size_t k = 0; k < n; k++) {
        const struct hn_table_column *c = column_of(&at[k]);
        for (int64_t i = 0; i < c->n_category; i++)
            if (hn_words_add(w, c->category[i], strlen(c->category[i])) < 0)
                return hn_nomem(err, "the categories of columns", 0);
    }
    return HONE_OK;
}

/* What unknown categories are to be, a category of the column's or a number that none has. */
static hone_status move_unknown(const struct hn_column_at *at, const double *to, int64_t n,
                                hone_error *err)
{
    struct hn_table_column *c = column_of(at);
    struct hn_shown s;
    const double code = c->unknown_code;
    if (c->unknown != HN_UNKNOWN_CODE || code < 0 || code != floor(code)) return HONE_OK;
    if (code < (double)c->n_category) {
        c->unknown_code = to[(size_t)code];
        return HONE_OK;
    }
    if (code > (double)n) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, at->array->source,
                   "--unknown '%g': 0 to %lld are the numbers of the categories that column '%s' "
                   "shares with others and of missing cells, wanted another",
                   code, (long long)n, hn_show(&s, c->name, strlen(c->name)));
}

static void move_cells(const struct hn_column_at *at, const double *to)
{
    const struct hn_array *a = at->array;
    float *f = (float *)a->block;
    double *d = (double *)a->block;
    for (int64_t i = at->column; i < a->rows * a->per_row; i += a->per_row) {
        if (a->dtype == HN_F32 && !isnan(f[i])) f[i] = (float)to[(size_t)f[i]];
        if (a->dtype == HN_F64 && !isnan(d[i])) d[i] = to[(size_t)d[i]];
    }
}

static hone_status move_column(const struct hn_column_at *at, const struct hn_words *w,
                               const uint32_t *order, const double *place, double *to,
                               hone_error *err)
{
    struct hn_table_column *c = column_of(at);
    const char **category = hn_arena_alloc(&at->array->arena, w->n + 1, sizeof *category);
    if (!category) return hn_nomem(err, "the categories of a column", w->n * sizeof *category);
    for (size_t i = 0; i < w->n; i++)
        if (!(category[i] = hn_arena_strdup(&at->array->arena, w->word[order[i]].text)))
            return hn_nomem(err, "the categories of a column", 0);
    for (int64_t i = 0; i < c->n_category; i++)
        to[i] = place[hn_words_find(w, c->category[i], strlen(c->category[i]))];
    HN_TRY(move_unknown(at, to, (int64_t)w->n, err));
    move_cells(at, to);
    c->category = category;
    c->n_category = (int64_t)w->n;
    return HONE_OK;
}

static hone_status share(struct hn_words *w, struct hn_arena *arena, const struct hn_column_at *at,
                         size_t n, hone_error *err)
{
    HN_TRY(join_words(w, at, n, err));
    uint32_t *order = hn_arena_alloc(arena, w->n + 1, sizeof *order);
    double *place = hn_arena_alloc(arena, w->n + 1, sizeof *place),
           *to = hn_arena_alloc(arena, w->n + 1, sizeof *to);
    if (!order || !place || !to) return hn_nomem(err, "the categories", w->n * sizeof *to);
    hn_words_sort(w, order, to);
    for (size_t i = 0; i < w->n; i++) place[order[i]] = (double)i;
    for (size_t k = 0; k < n; k++) HN_TRY(move_column(&at[k], w, order, place, to, err));
    return HONE_OK;
}

hone_status hn_categories_share(struct hn_mem *mem, const struct hn_column_at *at, size_t n,
                                int *changed, hone_error *err)
{
    struct hn_arena arena;
    struct hn_words words;
    *changed = 0;
    for (size_t k = 1; k < n; k++) *changed |= !same_lists(column_of(&at[0]), column_of(&at[k]));
    if (!*changed) return HONE_OK;
    hn_arena_init(&arena, mem);
    hn_words_init(&words, mem, &arena);
    const hone_status st = share(&words, &arena, at, n, err);
    hn_words_free(&words);
    hn_arena_clear(&arena);
    return st;
}
