/* SPDX-License-Identifier: MIT
 *
 * Categories that the training table did not have, as the user chose in training: an error, none of its categories, a missing
 * cell, one of them, a number of their own; or the category that its rare ones became. The choice is a number, which stands where
 * a category's number would: -1 is none of a one-hot column's. */
#include "ops/base/json.h"
#include "plugin/data/csv.h"

#include <math.h>

static hone_status as_value(struct hn_csv_reader *r, const struct hn_unknown_rule *rule,
                            struct hn_table_column *c)
{
    struct hn_shown a, b;
    double v = (double)NAN;
    const char *value = hn_show(&a, rule->value, strlen(rule->value)),
               *name = hn_show(&b, c->name, strlen(c->name));
    for (int64_t i = 0; i < c->n_category; i++)
        if (strcmp(c->category[i], rule->value) == 0) {
            c->unknown_code = (double)i;
            return HONE_OK;
        }
    const int number = c->encoding == HN_ENCODE_ORDINAL &&
                       hn_cell_number(rule->value, strlen(rule->value), &v) && isfinite((float)v);
    if (!number)
        return hn_fail(r->err, HONE_E_USAGE, r->t.path,
                       "--unknown '%s': column '%s' wants error, ignore, missing, infrequent:N%s "
                       "one of its %lld categories",
                       value, name, c->encoding == HN_ENCODE_ORDINAL ? ", a number or" : " or",
                       (long long)c->n_category);
    if (v == floor(v) && v >= 0 && v <= (double)c->n_category)
        return hn_hint(r->err,
                       hn_fail(r->err, HONE_E_USAGE, r->t.path,
                               "--unknown '%s': 0 to %lld are the numbers of the categories of "
                               "column '%s' and of its missing cells, wanted another",
                               value, (long long)c->n_category, name),
                       "%lld is one", (long long)c->n_category + 1);
    c->unknown_code = v;
    return HONE_OK;
}

/* By c's rule: encoding and categories of out are known. */
static hone_status settle(struct hn_csv_reader *r, const struct hn_csv_column *c,
                          struct hn_table_column *out)
{
    const struct hn_unknown_rule *rule = c->rule;
    struct hn_shown s;
    out->unknown = HN_UNKNOWN_CODE;
    out->unknown_code = c->rare >= 0 ? (double)c->rare : -1;
    switch (rule->how) {
    case HN_UNKNOWN_AS_ERROR: out->unknown = HN_UNKNOWN_ERROR; break;
    case HN_UNKNOWN_AS_MISSING: out->unknown = HN_UNKNOWN_MISSING; break;
    case HN_UNKNOWN_AS_NONE: break;
    case HN_UNKNOWN_AS_RARE:
        if (!c->known) break;
        return hn_hint(r->err,
                       hn_fail(r->err, HONE_E_USAGE, r->t.path,
                               "--unknown infrequent:%lld: the categories of column '%s' are "
                               "those that the model learned from",
                               (long long)rule->rows, hn_show(&s, c->name, strlen(c->name))),
                       "in training, together with --encode");
    case HN_UNKNOWN_AS_VALUE: return as_value(r, rule, out);
    }
    return HONE_OK;
}

static hone_status assign(struct hn_csv_reader *r, struct hn_csv_column *c,
                          const struct hn_unknown_rule *rule)
{
    struct hn_table_column known;
    c->rule = rule;
    if (!c->known) return HONE_OK; /* its categories are not */
    known = *c->known;
    known.name = c->name;
    HN_TRY(settle(r, c, &known));
    c->unknown = known.unknown, c->unknown_code = known.unknown_code;
    return HONE_OK;
}

/* Rules for all columns first, so that a column's own one counts. */
hone_status hn_csv_assign_unknown(struct hn_csv_reader *r)
{
    struct hn_shown s;
    int64_t n = 0, column;
    for (int64_t j = 0; j < r->n_columns; j++) n += r->columns[j].encoding != HN_ENCODE_NONE;
    if (r->o->n_unknown && !n)
        return hn_hint(r->err,
                       hn_fail(r->err, HONE_E_USAGE, r->t.path,
                               "--unknown is for encoded columns, found none"),
                       "--encode COLUMN=onehot|ordinal");
    for (size_t k = 0; k < r->o->n_unknown; k++)
        for (int64_t j = 0; j < r->n_columns && !r->o->unknown[k].column; j++)
            if (r->columns[j].encoding) HN_TRY(assign(r, &r->columns[j], &r->o->unknown[k]));
    for (size_t k = 0; k < r->o->n_unknown; k++) {
        const struct hn_unknown_rule *rule = &r->o->unknown[k];
        if (!rule->column) continue;
        HN_TRY(hn_csv_resolve(r, rule->column, &column));
        struct hn_csv_column *c = &r->columns[column];
        if (!c->encoding)
            return hn_fail(r->err, HONE_E_USAGE, r->t.path,
                           "--unknown names column '%s', which is not encoded",
                           hn_show(&s, c->name, strlen(c->name)));
        HN_TRY(assign(r, c, rule));
    }
    return HONE_OK;
}

/* ---- rare categories ---- */

static int64_t code_at(const struct hn_csv_reader *r, const struct hn_csv_column *c, int64_t row)
{
    const struct hn_csv_matrix *m = &r->matrix[c->part];
    const char *p = m->block + (size_t)row * m->row_bytes;
    const double v = m->dtype == HN_F32 ? (double)((const float *)(const void *)p)[c->at]
                                        : ((const double *)(const void *)p)[c->at];
    return isnan(v) ? -1 : (int64_t)v;
}

static int is_rare(const struct hn_csv_column *c, const int64_t *count, uint32_t word)
{
    return count[word] < c->rule->rows || strcmp(c->words.word[word].text, HN_RARE_NAME) == 0;
}

hone_status hn_csv_join_rare(struct hn_csv_reader *r, struct hn_csv_column *c, uint32_t *order,
                             size_t *kept)
{
    const size_t n = *kept = c->words.n;
    struct hn_shown s;
    size_t at = 0, rare = 0;
    if (!c->rule || c->rule->how != HN_UNKNOWN_AS_RARE || c->known || !n) return HONE_OK;
    int64_t *count = hn_arena_alloc(&r->arena, n, sizeof *count), code;
    uint32_t *others = hn_arena_alloc(&r->arena, n, sizeof *others);
    if (!count || !others) return hn_nomem(r->err, "the rows of categories", n * sizeof *count);
    memset(count, 0, n * sizeof *count);
    for (int64_t i = 0; i < r->rows; i++)
        if ((code = code_at(r, c, i)) >= 0) count[code]++;
    for (size_t i = 0; i < n; i++)
        if (is_rare(c, count, order[i]))
            others[rare++] = order[i];
        else
            order[at++] = order[i];
    if (!rare) return HONE_OK;
    memcpy(order + at, others, rare * sizeof *others);
    *kept = at + 1;
    c->rare = (int64_t)at;
    hn_note_add(
        r->late, "%s: column '%s': %zu of %zu categories have fewer than %lld rows and are one",
        r->t.path, hn_show(&s, c->name, strlen(c->name)), rare, n, (long long)c->rule->rows);
    return HONE_OK;
}

const char *hn_csv_category(const struct hn_csv_column *c, uint32_t word, size_t i)
{
    return c->rare >= 0 && i == (size_t)c->rare ? HN_RARE_NAME : c->words.word[word].text;
}

/* ---- while and after rows are read ---- */

hone_status hn_csv_take_unknown(struct hn_csv_reader *r, int64_t column,
                                const struct hn_csv_cell *cell, int64_t line, double *code)
{
    struct hn_csv_column *c = &r->columns[column];
    struct hn_shown a, b;
    if (c->unknown == HN_UNKNOWN_ERROR) {
        hone_status st = hn_fail(r->err, HONE_E_DATA, r->t.path,
                                 "row %lld, column '%s': found '%s', wanted one of the %lld "
                                 "categories of the training table",
                                 (long long)line, hn_csv_column_name(r, column, &a),
                                 hn_show(&b, cell->s, cell->n), (long long)c->known->n_category);
        return hn_hint(r->err, st,
                       c->encoding == HN_ENCODE_ONEHOT
                           ? "--unknown %s=ignore takes it as none of them"
                           : "--unknown %s=CATEGORY takes it as one of them",
                       a.text);
    }
    if (!c->n_unknown++) {
        c->first_line = line;
        if (!(c->first_text = hn_arena_strndup(&r->arena, cell->s, cell->n)))
            return hn_nomem(r->err, "a category", cell->n);
    }
    r->parts[c->part].array.n_missing += c->unknown == HN_UNKNOWN_MISSING;
    *code = c->unknown == HN_UNKNOWN_MISSING ? (double)NAN : c->unknown_code;
    return HONE_OK;
}

static void say(struct hn_csv_reader *r, const struct hn_csv_column *c)
{
    struct hn_shown a, b, as;
    char number[40];
    const char *what = "missing", *open = "", *close = "";
    hn_format_double(number, c->unknown_code);
    if (c->unknown == HN_UNKNOWN_CODE && c->unknown_code >= 0 &&
        c->unknown_code < (double)c->known->n_category &&
        c->unknown_code == floor(c->unknown_code)) {
        const char *text = c->known->category[(size_t)c->unknown_code];
        what = hn_show(&as, text, strlen(text)), open = close = "'";
    } else if (c->unknown == HN_UNKNOWN_CODE) {
        what = c->encoding == HN_ENCODE_ONEHOT ? "none of them" : number;
    }
    hn_note_add(
        r->late,
        "%s: column '%s': %lld %s no category of the training table (the first in row %lld: "
        "'%s'), taken as %s%s%s",
        r->t.path, hn_show(&a, c->name, strlen(c->name)), (long long)c->n_unknown,
        c->n_unknown == 1 ? "cell is" : "cells are", (long long)c->first_line,
        hn_show(&b, c->first_text, strlen(c->first_text)), open, what, close);
}

hone_status hn_csv_finish_unknown(struct hn_csv_reader *r, const struct hn_csv_column *c,
                                  struct hn_table_column *out)
{
    if (c->n_unknown) say(r, c);
    if (c->rule && !c->known) return settle(r, c, out);
    out->unknown = c->unknown, out->unknown_code = c->unknown_code;
    return HONE_OK;
}
