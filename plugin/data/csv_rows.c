/* SPDX-License-Identifier: MIT
 *
 * The rows of a CSV file into row-major matrices. Numbers take one of three ways, each falling back on the next:
 *   fast    up to 7 digits, a point, up to 7 digits: eight bytes at a time, no loop
 *   middle  any plain decimal number; up to 2^53 and 10^22 by one exact operation, else by hn_parse_double
 *   slow    the cell as text: quotes, missing markers, signs, messages
 * All give the double nearest to the decimal number; HN_F32 is that double rounded once more. */
#include "ops/base/json.h"
#include "plugin/data/csv.h"

#include <math.h>

enum { READ_AHEAD = 32 };

static const double power10[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
static const uint32_t power10_int[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000 };

/* The number of leading digits of eight bytes (8: all of them), *digits prepared for eight_digits. */
static inline unsigned leading_digits(const char *p, uint64_t *digits)
{
    uint64_t w;
    memcpy(&w, p, 8);
    w ^= 0x3030303030303030u; /* digits become 0…9 */
    uint64_t other = ((w + 0x7676767676767676u) | w) & 0x8080808080808080u;
    *digits = w;
    return other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;
}

/* The value of the first n (1…7) digits: shifted so that zeros stand in front, then pairs, fours, eight at once. */
static inline uint32_t digits_value(uint64_t w, unsigned n)
{
    w <<= 64 - 8 * n;
    w = w * 10 + (w >> 8);
    return (uint32_t)(((w & 0x000000FF000000FFu) * 0x000F424000000064u +
                       ((w >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u) >>
                      32);
}

/* What follows the number, or NULL when it is not one of the simple kind. Reads READ_AHEAD bytes at most. */
static inline const char *fast_number(const char *p, char point, double *out)
{
    uint64_t w;
    p += *p == ' ';
    int minus = *p == '-';
    p += minus;
    unsigned n = leading_digits(p, &w);
    if (n - 1 > 6) return NULL;
    uint64_t v = digits_value(w, n);
    p += n;
    double x = (double)v;
    if (*p == point) {
        n = leading_digits(p + 1, &w);
        if (n > 7) return NULL;
        p += n + 1;
        if (n) x = (double)(v * power10_int[n] + digits_value(w, n)) / power10[n];
    }
    p += *p == ' ';
    *out = minus ? -x : x;
    return p;
}

/* mantissa × 10^exponent when both are exact doubles, so that one operation rounds once. */
static int scale_decimal(uint64_t mantissa, int exponent, double *out)
{
    if (mantissa > (uint64_t)1 << 53 || exponent < -22 || exponent > 22) return 0;
    *out =
        exponent < 0 ? (double)mantissa / power10[-exponent] : (double)mantissa * power10[exponent];
    return 1;
}

static int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static const char *exponent_part(const char *p, const char *end, int *exponent)
{
    int minus = 0, v = 0;
    const char *start;
    if (p < end && (*p == '-' || *p == '+')) minus = *p++ == '-';
    for (start = p; p < end && is_digit(*p); p++)
        if (v < 10000) v = v * 10 + (*p - '0');
    *exponent += minus ? -v : v;
    return p == start ? NULL : p;
}

static const char *middle_number(const char *p, const char *end, char point, double *out)
{
    uint64_t m = 0;
    int digits = 0, exponent = 0, minus = 0, any = 0;
    while (p < end && *p == ' ') p++;
    const char *start = p;
    if (p < end && *p == '-') minus = *p++ == '-';
    for (; p < end && is_digit(*p); p++, any = 1)
        m = m * 10 + (uint64_t)(*p - '0'), digits += digits || m;
    if (p < end && *p == point)
        for (p++; p < end && is_digit(*p); p++, any = 1)
            m = m * 10 + (uint64_t)(*p - '0'), digits += digits || m, exponent--;
    if (!any) return NULL;
    if (p < end && (*p == 'e' || *p == 'E') && !(p = exponent_part(p + 1, end, &exponent)))
        return NULL;
    if (digits <= 19 && scale_decimal(m, exponent, out))
        *out = minus ? -*out : *out;
    else if (point == ',' || !hn_parse_double(start, (size_t)(p - start), out))
        return NULL;
    while (p < end && *p == ' ') p++;
    return isfinite(*out) ? p : NULL;
}

/* ---- Cells that are not plain numbers ---- */

/* The row at `line` has another number of cells than the table; `column` was read last. */
static hone_status ragged(struct hn_csv_reader *r, int64_t line, int64_t column,
                          const struct hn_csv_cell *last)
{
    struct hn_csv_cell c = *last;
    long long found = column + 1;
    for (; c.end == HN_CSV_DELIMITER; found++) HN_TRY(hn_csv_next(&r->t, &c, r->err));
    hone_status st = hn_fail(r->err, HONE_E_DATA, r->t.path,
                             "row %lld: found %lld cells, wanted %lld as in row 1", (long long)line,
                             found, (long long)r->n_columns);
    hn_csv_hint_form(r, st, "", 0);
    return st;
}

static hone_status next_cell(struct hn_csv_reader *r, int64_t column, int last,
                             struct hn_csv_cell *c)
{
    int64_t line = r->t.line;
    HN_TRY(hn_csv_next(&r->t, c, r->err));
    if ((c->end != HN_CSV_DELIMITER) != last) return ragged(r, line, column, c);
    return HONE_OK;
}

static hone_status slow_number(struct hn_csv_reader *r, int64_t column, int last, double *out)
{
    struct hn_csv_cell c;
    HN_TRY(next_cell(r, column, last, &c));
    return hn_csv_take_number(r, column, &c, out);
}

/* As many cells of the run as are simple and end with the delimiter. */
static int64_t fast_floats(struct hn_csv_text *t, float *dst, int64_t n)
{
    const char *p = t->p, *q, delimiter = t->delimiter;
    int64_t k = 0;
    double v;
    for (; k < n && t->end - p > READ_AHEAD; k++, p = q + 1) {
        /* A bare integer first: the way from p to the next p is short then, and that is what time goes into. */
        uint64_t w;
        unsigned digits = leading_digits(p, &w);
        q = p + digits;
        if (*q == delimiter && digits - 1 <= 6) {
            dst[k] = (float)digits_value(w, digits);
            continue;
        }
        q = fast_number(p, t->point, &v);
        if (!q || *q != delimiter) break;
        dst[k] = (float)v;
    }
    t->p = p;
    return k;
}

/* Whether the number before q ends as it must: with the delimiter, or with the row when it is the last cell. */
static inline int accept(struct hn_csv_text *t, const char *q, int last)
{
    if (!q) return 0;
    if (q == t->end) return last ? (t->p = q, 1) : 0;
    if (!last) return *q == t->delimiter ? (t->p = q + 1, 1) : 0;
    if (*q != '\n' && *q != '\r') return 0;
    t->p = q;
    hn_csv_newline(t);
    return 1;
}

static hone_status one_number(struct hn_csv_reader *r, int64_t column, int last, double *v)
{
    struct hn_csv_text *t = &r->t;
    if (r->numbers_missing) return slow_number(r, column, last, v);
    if (t->end - t->p > READ_AHEAD && accept(t, fast_number(t->p, t->point, v), last))
        return HONE_OK;
    if (accept(t, middle_number(t->p, t->end, t->point, v), last)) return HONE_OK;
    return slow_number(r, column, last, v);
}

static hone_status numbers(struct hn_csv_reader *r, const struct hn_csv_run *run, char *row)
{
    struct hn_csv_matrix *m = &r->matrix[run->part];
    int64_t k = 0;
    while (k < run->count) {
        if (m->dtype == HN_F32 && !r->numbers_missing) {
            k += fast_floats(&r->t, (float *)(void *)row + run->at + k, run->count - run->last - k);
            if (k == run->count) break;
        }
        const char *cell = r->t.p;
        double v;
        HN_TRY(one_number(r, run->column + k, run->last && k == run->count - 1, &v));
        if (m->spelled) HN_TRY(hn_csv_spell(r, m, cell, (size_t)(r->t.p - cell), v));
        if (m->dtype == HN_F32 && !isfinite((float)v) && isfinite(v)) {
            struct hn_shown s;
            return hn_fail(r->err, HONE_E_DATA, r->t.path,
                           "row %lld, column '%s': found %g, wanted a number that float32 can hold",
                           (long long)(r->t.line - (run->last && k == run->count - 1)),
                           hn_csv_column_name(r, run->column + k, &s), v);
        }
        hn_csv_store(m, row, run->at + k++, v);
    }
    return HONE_OK;
}

static hone_status one_word(struct hn_csv_reader *r, const struct hn_csv_run *run, char *row)
{
    struct hn_csv_cell c;
    HN_TRY(next_cell(r, run->column, run->last, &c));
    return run->action == HN_CSV_CODE ? hn_csv_take_code(r, run, &c, row)
                                      : hn_csv_take_text(r, run, &c, row);
}

static hone_status skip(struct hn_csv_reader *r, const struct hn_csv_run *run)
{
    struct hn_csv_cell c;
    for (int64_t k = 0; k < run->count; k++)
        HN_TRY(next_cell(r, run->column + k, run->last && k == run->count - 1, &c));
    return HONE_OK;
}

/* ---- Rows ---- */

hone_status hn_csv_reserve(struct hn_csv_reader *r, int64_t rows)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct hn_csv_matrix *m = &r->matrix[i];
        m->cap = rows;
        if (!m->width) continue; /* of columns that the file does not have */
        char *p = hn_realloc(r->src->mem, m->block, (size_t)rows, m->row_bytes);
        if (!p) return hn_nomem(r->err, "the rows of a table", (size_t)rows * m->row_bytes);
        m->block = p;
    }
    return HONE_OK;
}

/* Extrapolated from the lines in the first part of the file, but never more rows than bytes allow. */
static int64_t guess_rows(const struct hn_csv_reader *r)
{
    size_t left = (size_t)(r->t.end - r->t.p), sample = left < 1 << 18 ? left : 1 << 18, lines = 1;
    for (size_t i = 0; i < sample; i++) lines += r->t.p[i] == '\n';
    double guess = (double)lines * ((double)left / (double)(sample ? sample : 1));
    if (sample < left) guess *= 1.05;
    int64_t most = (int64_t)left / r->n_columns + 1;
    return guess < (double)most ? (int64_t)guess + 1 : most;
}

static hone_status one_row(struct hn_csv_reader *r)
{
    for (size_t i = 0; i < r->n_runs; i++) {
        const struct hn_csv_run *run = &r->runs[i];
        struct hn_csv_matrix *m = &r->matrix[run->part];
        char *row = m->block + (size_t)r->rows * m->row_bytes;
        switch (run->action) {
        case HN_CSV_SKIP: HN_TRY(skip(r, run)); break;
        case HN_CSV_NUMBERS: HN_TRY(numbers(r, run, row)); break;
        case HN_CSV_CODE:
        case HN_CSV_TEXT: HN_TRY(one_word(r, run, row)); break;
        }
    }
    return HONE_OK;
}

hone_status hn_csv_rows(struct hn_csv_reader *r)
{
    struct hn_csv_text *t = &r->t;
    HN_TRY(hn_csv_reserve(r, guess_rows(r)));
    while (t->p < t->end) {
        if ((*t->p == '\n' || *t->p == '\r' || *t->p == ' ' || *t->p == '\t') && hn_csv_at_end(t))
            break;
        if (r->rows == r->matrix[0].cap) HN_TRY(hn_csv_reserve(r, r->rows + r->rows / 2 + 16));
        HN_TRY(one_row(r));
        r->rows++;
    }
    return r->rows ? HONE_OK
                   : hn_fail(r->err, HONE_E_DATA, t->path, "found no rows%s, wanted at least one",
                             r->header ? " behind the header" : "");
}
