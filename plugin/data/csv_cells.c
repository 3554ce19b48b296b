/* SPDX-License-Identifier: MIT
 *
 * What a cell of a table means where it is no plain number: missing, a category, a label, or an error with its place. Cells
 * come from the text of a file, or from a plug-in that reads one. */
#include "ops/base/utf8.h"
#include "plugin/data/csv.h"

#include <math.h>

enum { CATEGORIES_MAX = 65536 };

const char *hn_csv_column_name(const struct hn_csv_reader *r, int64_t column, struct hn_shown *s)
{
    const char *name = r->columns[column].name;
    return hn_show(s, name, strlen(name));
}

static int is_missing(const struct hn_csv_reader *r, const struct hn_csv_cell *c)
{
    return c->n == 0 || hn_words_find(&r->missing, c->s, c->n) >= 0;
}

/* The line of a cell that was just read, although its line end may be consumed. */
static long long line_of(const struct hn_csv_reader *r, const struct hn_csv_cell *c)
{
    return (long long)(r->t.line - (c->end == HN_CSV_LINE));
}

hone_status hn_csv_check_text(struct hn_csv_reader *r, int64_t line, int64_t column, const char *s,
                              size_t n)
{
    struct hn_shown a;
    size_t at = 0, len;
    while (at < n && (len = hn_utf8_len(s + at, n - at))) at += len;
    if (at == n) return HONE_OK;
    return hn_hint(r->err,
                   hn_fail(r->err, HONE_E_DATA, r->t.path,
                           "row %lld, column %lld (from 0): found the byte 0x%02X in '%s', wanted "
                           "text in UTF-8",
                           (long long)line, (long long)column, (unsigned char)s[at],
                           hn_show(&a, s, n)),
                   "iconv -f latin1 -t utf8 OLD.csv > NEW.csv, or the encoding it has for latin1");
}

static hone_status refuse_missing(struct hn_csv_reader *r, int64_t column,
                                  const struct hn_csv_cell *c, const char *wanted)
{
    struct hn_shown a, b;
    const struct hn_csv_part *part = &r->parts[r->columns[column].part];
    hone_status st = hn_fail(
        r->err, HONE_E_DATA, r->t.path, "row %lld, column '%s': found '%s' (missing), wanted %s",
        line_of(r, c), hn_csv_column_name(r, column, &a), hn_show(&b, c->s, c->n), wanted);
    if (part->kind == HN_PART_VALUES)
        return hn_hint(r->err, st, "remove the row: values cannot be imputed");
    if (r->columns[column].encoding)
        return hn_hint(
            r->err, st,
            "--impute %s=missing (a category of its own), most or a category, or --ignore "
            "%s",
            a.text, a.text);
    return hn_hint(r->err, st, "--impute mean|median|most|VALUE, or --ignore %s", a.text);
}

static int reads_values(const struct hn_csv_reader *r)
{
    size_t i = 0;
    while (i < r->n_parts && r->parts[i].kind != HN_PART_VALUES) i++;
    return i < r->n_parts;
}

int hn_csv_number(const struct hn_csv_reader *r, const char *s, size_t n, double *out)
{
    return hn_decimal_number(s, n, r->t.decimal, out);
}

/* Are the cells of the first line, which commas cut, cut by ';' as well? */
static int has_semicolons(const struct hn_csv_text *t)
{
    int quoted = 0;
    if (t->delimiter != ',') return 0;
    for (const char *p = t->begin; p < t->end && (quoted || (*p != '\n' && *p != '\r')); p++) {
        if (*p == '"') quoted = !quoted;
        if (*p == ';' && !quoted) return 1;
    }
    return 0;
}

/* Is the line at p nothing but numbers with blanks between them, two at least? */
static int has_blanks(const struct hn_csv_reader *r, const char *p)
{
    int words = 0;
    double v;
    while (p < r->t.end && *p != '\n' && *p != '\r') {
        const char *word = p;
        while (p < r->t.end && !strchr(" \n\r", *p)) p++;
        const size_t n = (size_t)(p - word);
        if (n && !hn_csv_number(r, word, n, &v)) return 0;
        words += n > 0;
        while (p < r->t.end && *p == ' ') p++;
    }
    return words > 1;
}

/* As numpy.savetxt writes them: row 2, where there is one, for row 1 may have names. */
static int blanks_separate(const struct hn_csv_reader *r)
{
    const char *p = r->t.begin;
    if (r->n_columns != 1 || r->input->foreign) return 0;
    while (p < r->t.end && *p != '\n') p++;
    return has_blanks(r, p + 1 < r->t.end ? p + 1 : r->t.begin);
}

hone_status hn_csv_hint_form(struct hn_csv_reader *r, hone_status st, const char *s, size_t n)
{
    const char other = r->t.decimal == ',' ? '.' : ',';
    double v;
    if (r->t.decimal != ',' && has_semicolons(&r->t))
        return hn_hint(r->err, st,
                       "--decimal , if ';' separates the cells and numbers have a decimal comma");
    if (blanks_separate(r))
        return hn_hint(r->err, st,
                       "cells look separated by blanks, wanted commas, semicolons or tabs "
                       "(numpy.savetxt: delimiter=',')");
    if (!n || !memchr(s, other, n) || !hn_decimal_number(s, n, other, &v)) return HONE_OK;
    if (other == ',')
        return hn_hint(r->err, st, "--decimal , if numbers have a decimal comma, here %g", v);
    return hn_hint(r->err, st,
                   "numbers are read with a decimal comma%s: --decimal . if they have a point",
                   r->t.decimal_kept ? ", as those that the model learned from" : "");
}

static hone_status refuse_text(struct hn_csv_reader *r, int64_t column, const struct hn_csv_cell *c)
{
    struct hn_shown a, b;
    long long line = line_of(r, c);
    hone_status st = hn_fail(r->err, HONE_E_DATA, r->t.path,
                             "row %lld, column '%s': found '%s', wanted a number", line,
                             hn_csv_column_name(r, column, &a), hn_show(&b, c->s, c->n));
    if (hn_csv_hint_form(r, st, c->s, c->n) != HONE_OK) return st;
    if (r->parts[r->columns[column].part].kind == HN_PART_VALUES) return st;
    if (line == 1 && !r->header)
        return hn_hint(r->err, st,
                       "--header yes if row 1 holds names; text: --encode %s=onehot|ordinal",
                       a.text);
    if (!reads_values(r)) /* then this may be the target, left in a file to predict from */
        return hn_hint(r->err, st,
                       "--ignore %s if it is no feature, else --encode %s=onehot|ordinal", a.text,
                       a.text);
    return hn_hint(r->err, st, "--encode %s=onehot|ordinal, or --ignore %s", a.text, a.text);
}

hone_status hn_csv_take_number(struct hn_csv_reader *r, int64_t column, const struct hn_csv_cell *c,
                               double *out)
{
    struct hn_shown a, b;
    struct hn_csv_part *part = &r->parts[r->columns[column].part];
    struct hn_csv_matrix *m = &r->matrix[r->columns[column].part];
    if (is_missing(r, c)) {
        if (part->kind != HN_PART_NUMBERS || !r->o->keep_missing)
            return refuse_missing(r, column, c, "a number");
        part->array.n_missing++;
        *out = (double)NAN;
        return HONE_OK;
    }
    if (!hn_csv_number(r, c->s, c->n, out)) {
        if (part->kind == HN_PART_NUMBERS || m->width > 1) return refuse_text(r, column, c);
        m->text = r->again = 1;
        return HONE_E_DATA;
    }
    if (isfinite(*out) && (m->dtype == HN_F64 || isfinite((float)*out))) return HONE_OK;
    return hn_fail(r->err, HONE_E_DATA, r->t.path,
                   "row %lld, column '%s': found '%s', wanted a finite %s number", line_of(r, c),
                   hn_csv_column_name(r, column, &a), hn_show(&b, c->s, c->n),
                   hn_dtype_name(m->dtype));
}

hone_status hn_csv_take_code(struct hn_csv_reader *r, const struct hn_csv_run *run,
                             const struct hn_csv_cell *c, char *row)
{
    struct hn_csv_column *col = &r->columns[run->column];
    struct hn_shown a;
    double code;
    if (is_missing(r, c)) {
        if (!r->o->keep_missing) return refuse_missing(r, run->column, c, "a category");
        r->parts[run->part].array.n_missing++;
        hn_csv_store(&r->matrix[run->part], row, run->at, (double)NAN);
        return HONE_OK;
    }
    const int64_t before = (int64_t)col->words.n;
    int64_t id =
        col->known ? hn_words_find(&col->words, c->s, c->n) : hn_words_add(&col->words, c->s, c->n);
    if (id < 0 || id == before)
        HN_TRY(hn_csv_check_text(r, line_of(r, c), run->column, c->s, c->n));
    if (id < 0 && col->known) {
        HN_TRY(hn_csv_take_unknown(r, run->column, c, line_of(r, c), &code));
        hn_csv_store(&r->matrix[run->part], row, run->at, code);
        return HONE_OK;
    }
    if (id < 0) return hn_nomem(r->err, "the categories of a column", c->n);
    if (id >= CATEGORIES_MAX)
        return hn_fail(
            r->err, HONE_E_DATA, r->t.path,
            "row %lld, column '%s': found more than %d different texts, wanted categories",
            line_of(r, c), hn_csv_column_name(r, run->column, &a), CATEGORIES_MAX);
    hn_csv_store(&r->matrix[run->part], row, run->at, (double)id);
    return HONE_OK;
}

hone_status hn_csv_take_text(struct hn_csv_reader *r, const struct hn_csv_run *run,
                             const struct hn_csv_cell *c, char *row)
{
    struct hn_csv_column *col = &r->columns[run->column];
    const int64_t before = (int64_t)col->words.n;
    if (r->parts[run->part].kind != HN_PART_TEXT && is_missing(r, c))
        return refuse_missing(r, run->column, c, "a label");
    int64_t id = hn_words_add(&col->words, c->s, c->n);
    if (id < 0) return hn_nomem(r->err, "the texts of a column", c->n);
    if (id == before) HN_TRY(hn_csv_check_text(r, line_of(r, c), run->column, c->s, c->n));
    ((const char **)(void *)row)[run->at] = col->words.word[id].text;
    return HONE_OK;
}
