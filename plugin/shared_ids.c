/* SPDX-License-Identifier: MIT
 *
 * Columns of --encode COLUMN=ordinal whose numbers are looked up in one table of the model (an item, and the items before it) have
 * one list of categories: what they call the same is one row. Found when the training table has been read; the lists travel with the
 * model like others. */
#include "ops/base/format.h"
#include "ops/base/status.h"
#include "plugin/data_own.h"
#include "plugin/table_rules.h"
#include <string.h>

enum { NAMED = 5 };

struct column {
    struct hn_column_at at;
    size_t first; /* the first column of its group; its own place: it is that */
};
struct seen { /* a table, and a column that is looked up in it */
    const char *table;
    size_t column;
};
struct finder {
    struct hn_arena arena;
    hone_data *d;
    struct column *columns;
    struct seen *seen;
    size_t n_columns, n_seen, cap_seen;
    const struct hn_recipe *recipe; /* of the array at work, which has the columns from `from` on */
    size_t from;
};

static size_t first_of(const struct finder *f, size_t k)
{
    while (f->columns[k].first != k) k = f->columns[k].first;
    return k;
}

static void join(struct finder *f, size_t a, size_t b)
{
    a = first_of(f, a), b = first_of(f, b);
    f->columns[a > b ? a : b].first = a > b ? b : a;
}

/* A table's first column is kept; those after it join that one's group. What the model adds something to keeps its own list:
 * it has rows of its own. */
static hone_status see(void *user, const struct hn_lookup *l, hone_error *err)
{
    struct finder *f = user;
    size_t k = f->from, i = 0;
    if (l->changed || !l->named) return HONE_OK;
    while (k < f->n_columns && f->recipe->columns[f->columns[k].at.column].first != l->element) k++;
    if (k == f->n_columns) return HONE_OK;
    while (i < f->n_seen && strcmp(f->seen[i].table, l->table) != 0) i++;
    if (i < f->n_seen) {
        join(f, f->seen[i].column, k);
        return HONE_OK;
    }
    const char *table = hn_arena_strdup(&f->arena, l->table);
    if (!table ||
        !HN_PUSH(&f->d->ctx->mem, f->seen, f->n_seen, f->cap_seen, ((struct seen){ table, k })))
        return hn_nomem(err, "the tables", 0);
    return HONE_OK;
}

static int is_ordinal(const struct hn_array *a, int64_t j)
{
    return a->columns && a->dtype != HN_STR && a->columns[j].encoding == HN_ENCODE_ORDINAL;
}

static size_t count_ordinal(const struct hn_role_data *r)
{
    size_t n = 0;
    for (size_t k = 0; k < r->n_x; k++)
        for (int64_t j = 0; j < r->x[k].a.per_row; j++) n += (size_t)is_ordinal(&r->x[k].a, j);
    return n;
}

/* The graph input that array k is for; -1: none. */
static int64_t input_of(const struct hn_graph *g, const struct hn_role_data *r, size_t k)
{
    if (!r->x[k].value) return k < g->n_inputs ? (int64_t)k : -1;
    for (size_t i = 0; i < g->n_inputs; i++)
        if (strcmp(g->values[g->inputs[i]].name, r->x[k].value) == 0) return (int64_t)i;
    return -1;
}

/* Columns of array k and their tables. What cannot be computed, or encoded, is refused later, in words of its own. */
static hone_status find_tables(struct finder *f, hone_model *m, size_t k,
                               const struct hn_impute_rules *rules, hone_error *err)
{
    const struct hn_role_data *r = &f->d->role[HONE_TRAIN];
    struct hn_array *a = &r->x[k].a;
    struct hn_recipe recipe;
    const struct hn_recipe_fitting fit = { .table = a, .rules = rules->rule, .n_rules = rules->n };
    const int64_t input = input_of(hn_model_graph(m), r, k);
    struct hn_lookups each = { see, f };
    hone_error later = { 0 };
    f->from = f->n_columns;
    for (int64_t j = 0; j < a->per_row; j++)
        if (is_ordinal(a, j)) {
            f->columns[f->n_columns] = (struct column){ { a, j }, f->n_columns };
            f->n_columns++;
        }
    if (f->from == f->n_columns || input < 0) return HONE_OK;
    hone_status st = hn_recipe_fit(&recipe, &f->d->ctx->mem, &fit, &later);
    f->recipe = &recipe;
    if (st == HONE_OK) st = hn_model_lookups(m, (size_t)input, &each, &later);
    hn_recipe_free(&recipe);
    return st == HONE_E_NOMEM ? hn_nomem(err, "the tables of columns", 0) : HONE_OK;
}

static void list_names(const struct hn_column_at *at, size_t n, char *text, size_t size)
{
    size_t len = 0;
    for (size_t k = 0; k < n && k < NAMED && len < size; k++)
        len += hn_print(text + len, size - len, "%s'%.40s'", k ? ", " : "",
                        at[k].array->columns[at[k].column].name);
    if (n > NAMED && len < size) hn_print(text + len, size - len, " and %zu more", n - NAMED);
}

static int has_rare(const struct hn_column_at *at)
{
    const struct hn_table_column *c = &at->array->columns[at->column];
    for (int64_t i = 0; i < c->n_category; i++)
        if (strcmp(c->category[i], HN_RARE_NAME) == 0) return 1;
    return 0;
}

static hone_status share_group(struct finder *f, const struct hn_column_at *at, size_t n,
                               hone_error *err)
{
    char names[NAMED * 50 + 40];
    int changed;
    list_names(at, n, names, sizeof names);
    for (size_t k = 0; k < n; k++)
        if (has_rare(&at[k]))
            return hn_hint(err,
                           hn_fail(err, HONE_E_USAGE, "unknown",
                                   "columns %s are looked up in one table and have one list of "
                                   "categories, whose rare ones infrequent:N would count in each "
                                   "column by itself",
                                   names),
                           "--unknown error, missing, or COLUMN=CATEGORY for those");
    HN_TRY(hn_categories_share(&f->d->ctx->mem, at, n, &changed, err));
    if (changed)
        hn_log(f->d->ctx, HONE_LOG_NOTE,
               "columns %s are looked up in one table of the model: they have one list of %lld "
               "categories",
               names, (long long)at[0].array->columns[at[0].column].n_category);
    return HONE_OK;
}

static hone_status share_groups(struct finder *f, hone_error *err)
{
    struct hn_column_at *at = hn_arena_alloc(&f->arena, f->n_columns + 1, sizeof *at);
    if (!at) return hn_nomem(err, "the columns of tables", f->n_columns * sizeof *at);
    for (size_t k = 0; k < f->n_columns; k++) {
        size_t n = 0;
        for (size_t i = k; i < f->n_columns; i++)
            if (first_of(f, i) == k) at[n++] = f->columns[i].at;
        if (n > 1) HN_TRY(share_group(f, at, n, err));
    }
    return HONE_OK;
}

static hone_status find_groups(struct finder *f, hone_model *m, const hone_params *p,
                               hone_error *err)
{
    const struct hn_role_data *r = &f->d->role[HONE_TRAIN];
    struct hn_impute_rules rules;
    HN_TRY(hn_impute_rules_read(&rules, &f->arena, p, err));
    HN_TRY(hn_impute_rules_name(&rules, r->x, r->n_x, err));
    for (size_t k = 0; k < r->n_x; k++) HN_TRY(find_tables(f, m, k, &rules, err));
    return share_groups(f, err);
}

hone_status hn_table_share(hone_data *d, const hone_model *m, const hone_params *p, hone_error *err)
{
    const size_t n = count_ordinal(&d->role[HONE_TRAIN]);
    struct finder f = { .d = d };
    if (!m || !hone_params_get(p, "encode", 0) || n < 2) return HONE_OK;
    hn_arena_init(&f.arena, &d->ctx->mem);
    f.columns = hn_arena_alloc(&f.arena, n, sizeof *f.columns);
    hone_status st = f.columns ? find_groups(&f, (hone_model *)(uintptr_t)m, p, err)
                               : hn_nomem(err, "the columns of tables", n * sizeof *f.columns);
    hn_free(&d->ctx->mem, f.seen);
    hn_arena_clear(&f.arena);
    return st;
}
