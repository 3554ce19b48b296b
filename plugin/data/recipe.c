/* SPDX-License-Identifier: MIT
 *
 * Raw table columns into the numbers a model takes: missing cells filled, one-hot columns spread. Fitted once on training
 * rows, applied alike to every file. In a raw array a missing cell is NaN and an encoded column holds category numbers. */
#include "plugin/data/internal.h"

#include <math.h>
#include <stdio.h>

void hn_recipe_free(struct hn_recipe *r)
{
    if (r->arena.mem) hn_arena_clear(&r->arena);
    memset(r, 0, sizeof *r);
}

static hone_status copy_column(struct hn_recipe *r, const struct hn_table_column *from,
                               struct hn_table_column *to, hone_error *err)
{
    const char **category =
        hn_arena_alloc(&r->arena, (size_t)from->n_category + 1, sizeof *category);
    *to = *from;
    to->name = hn_arena_strdup(&r->arena, from->name);
    if (!category || !to->name) return hn_nomem(err, "the categories of a column", 0);
    for (int64_t i = 0; i < from->n_category; i++)
        if (!(category[i] = hn_arena_strdup(&r->arena, from->category[i])))
            return hn_nomem(err, "the categories of a column", 0);
    to->category = category;
    return HONE_OK;
}

/* ---- Other columns ---- */

const struct hn_recipe_column *hn_recipe_find(const struct hn_recipe *r, const char *name,
                                              int64_t hint)
{
    if (hint < r->n_columns && strcmp(r->columns[hint].raw.name, name) == 0)
        return &r->columns[hint];
    for (int64_t k = 0; k < r->n_columns; k++)
        if (strcmp(r->columns[k].raw.name, name) == 0) return &r->columns[k];
    return NULL;
}

static hone_status suit(const struct hn_recipe *r, const struct hn_array *a, int by_order,
                        struct hn_recipe *out, hone_error *err)
{
    out->real = r->real;
    out->columns = hn_arena_alloc(&out->arena, (size_t)a->per_row, sizeof *out->columns);
    if (!out->columns) return hn_nomem(err, "a recipe", (size_t)a->per_row * sizeof *out->columns);
    for (int64_t j = 0; j < a->per_row; j++) {
        const struct hn_recipe_column *known =
            by_order ? &r->columns[j] : hn_recipe_find(r, a->columns[j].name, j);
        struct hn_recipe_column *c = &out->columns[j];
        struct hn_table_column raw = known ? known->raw : (struct hn_table_column){ 0 };
        raw.name = a->columns[j].name;
        HN_TRY(copy_column(out, &raw, &c->raw, err));
        c->fill = known ? known->fill : (double)NAN;
        c->first = out->width;
        c->width = known ? known->width : 1;
        out->width += c->width;
        out->any |= raw.encoding != HN_ENCODE_NONE || !isnan(c->fill);
        out->n_columns++;
    }
    return HONE_OK;
}

hone_status hn_recipe_suit(struct hn_recipe *r, const struct hn_array *a, int by_order,
                           hone_error *err)
{
    struct hn_recipe out = { 0 };
    hn_arena_init(&out.arena, r->arena.mem);
    hone_status st = suit(r, a, by_order, &out, err);
    if (st != HONE_OK) {
        hn_recipe_free(&out);
        return st;
    }
    hn_recipe_free(r);
    *r = out;
    return HONE_OK;
}

/* ---- Fills ---- */

/* The values of column j among the rows, without the missing ones. */
static int64_t gather_column(const struct hn_array *a, int64_t j, const uint32_t *rows,
                             int64_t n_rows, double *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        double v = hn_array_at(a, rows ? rows[i] : i, j);
        if (!isnan(v)) out[n++] = v;
    }
    return n;
}

static void sift(double *v, int64_t root, int64_t n)
{
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child] < v[child + 1]) child++;
        if (v[root] >= v[child]) return;
        double t = v[root];
        v[root] = v[child], v[child] = t;
    }
}

static void sort_doubles(double *v, int64_t n)
{
    for (int64_t i = n / 2; i-- > 0;) sift(v, i, n);
    for (; n > 1; n--) {
        double t = v[0];
        v[0] = v[n - 1], v[n - 1] = t;
        sift(v, 0, n - 1);
    }
}

/* The most frequent of sorted values; the smallest of them when several are as frequent. */
static double most_frequent(const double *v, int64_t n)
{
    double best = v[0];
    int64_t most = 0;
    for (int64_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && v[j] == v[i]; j++) {}
        if (j - i > most) most = j - i, best = v[i];
    }
    return best;
}

static double mean_of(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    return sum / (double)n;
}

static double fill_of(double *v, int64_t n, enum hn_impute impute, int encoded)
{
    if (impute == HN_IMPUTE_MEAN && !encoded) return mean_of(v, n);
    sort_doubles(v, n);
    if (impute == HN_IMPUTE_MEDIAN && !encoded)
        return n % 2 ? v[n / 2] : v[n / 2 - 1] / 2 + v[n / 2] / 2;
    return most_frequent(v, n);
}

static hone_status fixed_fill(struct hn_recipe_column *c, const char *value, const char *source,
                              hone_error *err)
{
    struct hn_shown a, b;
    if (!c->raw.encoding) {
        if (hn_cell_number(value, strlen(value), &c->fill) && isfinite(c->fill)) return HONE_OK;
        return hn_fail(err, HONE_E_USAGE, source,
                       "--impute '%s': column '%s' wants a number, mean, median or most",
                       hn_show(&a, value, strlen(value)),
                       hn_show(&b, c->raw.name, strlen(c->raw.name)));
    }
    for (int64_t i = 0; i < c->raw.n_category; i++)
        if (strcmp(c->raw.category[i], value) == 0) {
            c->fill = (double)i;
            return HONE_OK;
        }
    hone_status st = hn_fail(err, HONE_E_USAGE, source,
                             "--impute '%s' is not among the %lld categories of column '%s'",
                             hn_show(&a, value, strlen(value)), (long long)c->raw.n_category,
                             hn_show(&b, c->raw.name, strlen(c->raw.name)));
    return hn_hint(err, st, "a category of its own for missing cells: --impute %s=missing", b.text);
}

static int has_missing(const struct hn_array *a, int64_t j)
{
    for (int64_t i = 0; i < a->rows; i++)
        if (isnan(hn_array_at(a, i, j))) return 1;
    return 0;
}

static int has_missing_among(const struct hn_recipe_fitting *f, int64_t j)
{
    for (int64_t i = 0; i < f->n_rows; i++)
        if (isnan(hn_array_at(f->table, f->rows ? f->rows[i] : i, j))) return 1;
    return 0;
}

/* A value for all columns need not suit those that miss nothing here: their fill stays NaN. */
static hone_status fit_fixed(struct hn_recipe_column *c, const struct hn_array *a, int64_t j,
                             const struct hn_impute_rule *rule, hone_error *err)
{
    hone_error unsuited;
    const int must = rule->column || has_missing(a, j);
    hone_status st = fixed_fill(c, rule->value, a->source, must ? err : &unsuited);
    if (st == HONE_OK || must) return st;
    c->fill = (double)NAN;
    return HONE_OK;
}

static const struct hn_impute_rule *rule_of(const struct hn_recipe_fitting *f, const char *column)
{
    const struct hn_impute_rule *general = NULL;
    for (size_t k = f->n_rules; k-- > 0;) {
        const struct hn_impute_rule *rule = &f->rules[k];
        if (rule->column && strcmp(rule->column, column) == 0) return rule;
        if (!rule->column && !general) general = rule;
    }
    return general;
}

/* From the training rows; v has room for them. */
static hone_status fit_computed(struct hn_recipe_column *c, const struct hn_recipe_fitting *f,
                                int64_t j, const struct hn_impute_rule *rule, double *v,
                                hone_error *err)
{
    struct hn_shown s;
    const char *source = f->table->source, *name = hn_show(&s, c->raw.name, strlen(c->raw.name));
    if (rule->column && c->raw.encoding && rule->how != HN_IMPUTE_MOST)
        return hn_fail(
            err, HONE_E_USAGE, source,
            "--impute '%s': the column is encoded, wanted missing, most or one of its %lld "
            "categories, not %s",
            name, (long long)c->raw.n_category, rule->how == HN_IMPUTE_MEAN ? "mean" : "median");
    const int64_t n = gather_column(f->table, j, f->rows, f->n_rows, v);
    if (!n)
        return hn_hint(err,
                       hn_fail(err, HONE_E_DATA, source,
                               "column '%s' has no value among %lld training rows, wanted one",
                               name, (long long)f->n_rows),
                       "--ignore %s", name);
    c->fill = fill_of(v, n, rule->how, c->raw.encoding != HN_ENCODE_NONE);
    if (isfinite(c->fill)) return HONE_OK;
    return hn_fail(err, HONE_E_DATA, source, "column '%s': the values are too large to be averaged",
                   name);
}

static hone_status fit_fills(struct hn_recipe *r, const struct hn_recipe_fitting *f,
                             hone_error *err)
{
    struct hn_mem *mem = r->arena.mem;
    double *v = hn_calloc(mem, (size_t)f->n_rows, sizeof *v);
    hone_status st =
        v ? HONE_OK : hn_nomem(err, "a column of a table", (size_t)f->n_rows * sizeof *v);
    for (int64_t j = 0; j < r->n_columns && st == HONE_OK; j++) {
        struct hn_recipe_column *c = &r->columns[j];
        const struct hn_impute_rule *rule = rule_of(f, c->raw.name);
        if (!rule || rule->how == HN_IMPUTE_OWN) continue;
        st = rule->how == HN_IMPUTE_VALUE ? fit_fixed(c, f->table, j, rule, err)
                                          : fit_computed(c, f, j, rule, v, err);
    }
    hn_free(mem, v);
    return st;
}

/* A category behind the others, for cells that are missing. */
static hone_status add_own(struct hn_recipe_column *c, const struct hn_recipe_fitting *f, int64_t j,
                           const struct hn_impute_rule *rule, hone_error *err)
{
    struct hn_shown s;
    const char *name = hn_show(&s, c->raw.name, strlen(c->raw.name));
    if (!c->raw.encoding) {
        if (!rule->column && !has_missing(f->table, j)) return HONE_OK;
        return hn_fail(err, HONE_E_USAGE, f->table->source,
                       "--impute missing: column '%s' has numbers and no categories, wanted a "
                       "number, mean, median or most",
                       name);
    }
    for (int64_t i = 0; i < c->raw.n_category; i++)
        if (strcmp(c->raw.category[i], "missing") == 0)
            return hn_hint(err,
                           hn_fail(err, HONE_E_USAGE, f->table->source,
                                   "--impute missing: column '%s' has a category that is called so",
                                   name),
                           "--impute %s=constant:missing for that one", name);
    ((const char **)(uintptr_t)c->raw.category)[c->raw.n_category] = ""; /* copy_column left room */
    c->fill = (double)c->raw.n_category++;
    c->untaught = !has_missing_among(f, j);
    return HONE_OK;
}

static hone_status fit(struct hn_recipe *r, const struct hn_recipe_fitting *f, hone_error *err)
{
    const struct hn_array *a = f->table;
    r->real = a->dtype;
    r->n_columns = a->per_row;
    r->columns = hn_arena_alloc(&r->arena, (size_t)a->per_row, sizeof *r->columns);
    if (!r->columns) return hn_nomem(err, "a recipe", (size_t)a->per_row * sizeof *r->columns);
    for (int64_t j = 0; j < a->per_row; j++) {
        struct hn_recipe_column *c = &r->columns[j];
        HN_TRY(copy_column(r, &a->columns[j], &c->raw, err));
        c->fill = (double)NAN;
        const struct hn_impute_rule *rule = rule_of(f, c->raw.name);
        if (rule && rule->how == HN_IMPUTE_OWN) HN_TRY(add_own(c, f, j, rule, err));
        c->first = r->width;
        c->width = c->raw.encoding == HN_ENCODE_ONEHOT ? c->raw.n_category : 1;
        r->width += c->width;
        r->any |= c->raw.encoding != HN_ENCODE_NONE;
    }
    r->any |= f->n_rules > 0;
    return f->n_rules ? fit_fills(r, f, err) : HONE_OK;
}

hone_status hn_recipe_fit(struct hn_recipe *r, struct hn_mem *mem,
                          const struct hn_recipe_fitting *f, hone_error *err)
{
    struct hn_recipe_fitting g = *f;
    memset(r, 0, sizeof *r);
    if (!g.rows) g.n_rows = g.table->rows;
    if (!g.table->columns) { /* no table: nothing to encode, and missing cells were refused */
        r->width = g.table->per_row;
        return HONE_OK;
    }
    hn_arena_init(&r->arena, mem);
    hone_status st = fit(r, &g, err);
    if (st != HONE_OK) hn_recipe_free(r);
    return st;
}

/* ---- Applying ---- */

static hone_status check_columns(const struct hn_recipe *r, const struct hn_array *a,
                                 hone_error *err)
{
    struct hn_shown s, t;
    if (!a->columns || a->per_row != r->n_columns || a->dtype != r->real)
        return hn_fail(err, HONE_E_DATA, a->source,
                       "found %lld columns of %s, wanted the %lld of %s of the training table",
                       (long long)a->per_row, hn_dtype_name(a->dtype), (long long)r->n_columns,
                       hn_dtype_name(r->real));
    for (int64_t j = 0; j < r->n_columns; j++) {
        const char *found = a->columns[j].name, *wanted = r->columns[j].raw.name;
        if (strcmp(found, wanted) != 0)
            return hn_fail(err, HONE_E_DATA, a->source, "column %lld (from 0) is '%s', wanted '%s'",
                           (long long)j, hn_show(&s, found, strlen(found)),
                           hn_show(&t, wanted, strlen(wanted)));
    }
    return HONE_OK;
}

static void put(void *row, enum hn_dtype real, int64_t at, double v)
{
    if (real == HN_F32)
        ((float *)row)[at] = (float)v;
    else
        ((double *)row)[at] = v;
}

/* Finished row i into dst. */
static hone_status finish_row(const struct hn_recipe *r, const struct hn_array *a, int64_t i,
                              void *dst, hone_error *err)
{
    for (int64_t j = 0; j < r->n_columns; j++) {
        const struct hn_recipe_column *c = &r->columns[j];
        double v = hn_array_at(a, i, j);
        if (isnan(v)) v = c->fill;
        if (isnan(v)) {
            struct hn_shown s;
            char row[48];
            hone_status st = hn_fail(err, HONE_E_DATA, a->source,
                                     "%s, column '%s': found a missing cell, wanted a value",
                                     hn_array_row_name(a, i, row),
                                     hn_show(&s, c->raw.name, strlen(c->raw.name)));
            return hn_hint(err, st, "--impute %s=%s", s.text,
                           c->raw.encoding ? "missing|most|CATEGORY" : "mean|median|most|VALUE");
        }
        if (c->raw.encoding != HN_ENCODE_ONEHOT)
            put(dst, r->real, c->first, v);
        else
            for (int64_t k = 0; k < c->width; k++) put(dst, r->real, c->first + k, v == (double)k);
    }
    return HONE_OK;
}

/* The finished columns of a, in an arena. */
static hone_status name_finished(const struct hn_recipe *r, const struct hn_array *a,
                                 struct hn_arena *arena, struct hn_table_column **out,
                                 hone_error *err)
{
    struct hn_table_column *columns = hn_arena_alloc(arena, (size_t)r->width, sizeof *columns);
    if (!columns)
        return hn_nomem(err, "the columns of a table", (size_t)r->width * sizeof *columns);
    for (int64_t j = 0; j < r->n_columns; j++) {
        const struct hn_recipe_column *c = &r->columns[j];
        for (int64_t k = 0; k < c->width; k++) {
            const char *name =
                c->raw.encoding == HN_ENCODE_ONEHOT
                    ? hn_arena_printf(arena, "%s=%s", c->raw.name, c->raw.category[k])
                    : a->columns[j].name;
            if (!name) return hn_nomem(err, "a column name", 0);
            columns[c->first + k].name = name;
        }
    }
    *out = columns;
    return HONE_OK;
}

/* Finished rows of a as a block of its own. */
static hone_status finish_rows(const struct hn_recipe *r, const struct hn_array *a, char **out,
                               hone_error *err)
{
    size_t size = hn_dtype_size(a->dtype), row_bytes = (size_t)r->width * size;
    int64_t bytes;
    if (!hn_mul_i64(r->width, (int64_t)size, &bytes) || !hn_mul_i64(bytes, a->rows, &bytes))
        return hn_fail(err, HONE_E_BUDGET, a->source, "%lld rows of %lld columns are too many",
                       (long long)a->rows, (long long)r->width);
    struct hn_array plain = *a;
    plain.scale =
        1; /* category numbers are compared as they are; the factor is for what comes out */
    char *block = hn_alloc(a->mem, (size_t)bytes + 1);
    if (!block) return hn_nomem(err, "the encoded table", (size_t)bytes);
    hone_status st = HONE_OK;
    for (int64_t i = 0; i < a->rows && st == HONE_OK; i++)
        st = finish_row(r, &plain, i, block + (size_t)i * row_bytes, err);
    if (st != HONE_OK) {
        hn_free(a->mem, block);
        return st;
    }
    *out = block;
    return HONE_OK;
}

hone_status hn_recipe_apply(const struct hn_recipe *r, struct hn_array *a, hone_error *err)
{
    if (!r->any) return HONE_OK;
    struct hn_table_column *columns = NULL;
    char *block;
    HN_TRY(check_columns(r, a, err));
    HN_TRY(name_finished(r, a, &a->arena, &columns, err));
    HN_TRY(finish_rows(r, a, &block, err));
    hn_free(a->mem, a->block);
    a->data = a->block = block;
    a->columns = columns;
    a->per_row = a->dims[1] = r->width;
    a->n_missing = 0;
    return HONE_OK;
}

hone_status hn_recipe_make(const struct hn_recipe *r, const struct hn_array *a,
                           struct hn_array *out, hone_error *err)
{
    memset(out, 0, sizeof *out);
    if (!r->any) return hn_fail(err, HONE_E_INTERNAL, a->source, "a recipe that changes nothing");
    HN_TRY(check_columns(r, a, err));
    struct hn_array made = { .name = a->name, /* of a, which lives longer */
                             .source = a->source,
                             .dtype = a->dtype,
                             .rank = 2,
                             .dims = { a->rows, r->width },
                             .rows = a->rows,
                             .per_row = r->width,
                             .scale = a->scale,
                             .first_line = a->first_line,
                             .mem = a->mem };
    char *block = NULL;
    hn_arena_init(&made.arena, a->mem);
    hone_status st = name_finished(r, a, &made.arena, &made.columns, err);
    if (st == HONE_OK) st = finish_rows(r, a, &block, err);
    made.data = made.block = block;
    if (st != HONE_OK)
        hn_array_close(&made);
    else
        *out = made;
    return st;
}
