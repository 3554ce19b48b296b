/* SPDX-License-Identifier: MIT
 *
 * CSV as text (RFC 4180): cells, quotes, line ends. A quoted cell may hold delimiters, line ends and doubled quotes; an
 * unquoted one is trimmed of blanks. Lines end with LF, CRLF or CR. Never: guesses what a cell means. */
#include "plugin/data/csv.h"

static int is_blank(const struct hn_csv_text *t, char c)
{
    return c == ' ' || (c == '\t' && t->delimiter != '\t');
}

static hone_status refuse_nul(const struct hn_csv_text *t, const char *nul, hone_error *err)
{
    long long line = 1, column = 0;
    for (const char *p = t->begin; p < nul; p++) {
        if (*p == '\n') line++, column = 0;
        if (*p == t->delimiter) column++;
    }
    return hn_fail(err, HONE_E_DATA, t->path,
                   "row %lld, column %lld (from 0): found a NUL byte, wanted text", line, column);
}

/* Where numbers have commas, ';' and tabs come first, and a line without any of them is one cell. */
static char choose_delimiter(const struct hn_csv_text *t)
{
    size_t semicolons = 0, tabs = 0, commas = 0;
    int quoted = 0;
    for (const char *p = t->p; p < t->end && (quoted || (*p != '\n' && *p != '\r')); p++) {
        if (*p == '"') quoted = !quoted;
        if (quoted) continue;
        commas += *p == ',';
        semicolons += *p == ';';
        tabs += *p == '\t';
    }
    if (commas && (t->decimal != ',' || (!semicolons && !tabs))) return ',';
    if (semicolons && semicolons >= tabs) return ';';
    return tabs ? '\t' : t->decimal == ',' && !t->decimal_kept ? ';' : ',';
}

hone_status hn_csv_text_begin(struct hn_csv_text *t, struct hn_note *note, hone_error *err)
{
    size_t n = (size_t)(t->end - t->begin);
    t->p = t->begin;
    t->line = 1;
    if (n >= 2 && (memcmp(t->p, "\xFF\xFE", 2) == 0 || memcmp(t->p, "\xFE\xFF", 2) == 0))
        return hn_fail(err, HONE_E_DATA, t->path, "found UTF-16 text, wanted UTF-8");
    if (n >= 3 && memcmp(t->p, "\xEF\xBB\xBF", 3) == 0) t->p += 3;
    if (!t->delimiter) {
        t->delimiter = choose_delimiter(t);
        if (t->delimiter != ',')
            hn_note_add(note, "%s: cells are separated by %s", t->path,
                        t->delimiter == ';' ? "';'" : "tabs");
    }
    if (t->delimiter == ',' && t->decimal_kept) t->decimal = '.';
    t->point = t->decimal == t->delimiter ? 0 : t->decimal;
    const char *nul = memchr(t->p, 0, (size_t)(t->end - t->p));
    return nul ? refuse_nul(t, nul, err) : HONE_OK;
}

int hn_csv_at_end(struct hn_csv_text *t)
{
    const char *p = t->p;
    while (p < t->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
        if (*p == t->delimiter) return 0; /* a tab that separates empty cells */
        p++;
    }
    if (p == t->end) t->p = p;
    return p == t->end;
}

/* The terminator at p (blanks before it already skipped). 0: something else stands there. */
static int take_end(struct hn_csv_text *t, struct hn_csv_cell *c)
{
    if (t->p == t->end)
        c->end = HN_CSV_FILE;
    else if (*t->p == t->delimiter)
        c->end = HN_CSV_DELIMITER, t->p++;
    else if (*t->p == '\n' || *t->p == '\r')
        c->end = HN_CSV_LINE, hn_csv_newline(t);
    else
        return 0;
    return 1;
}

/* s[0,n) is what stands between the quotes; doubled ones become one in the scratch. */
static hone_status undouble(struct hn_csv_text *t, struct hn_csv_cell *c, hone_error *err)
{
    if (c->n > t->scratch_cap) {
        size_t cap = c->n < 256 ? 256 : c->n * 2;
        char *p = hn_alloc(t->mem, cap);
        if (!p) return hn_nomem(err, "a quoted cell", cap);
        hn_free(t->mem, t->scratch);
        t->scratch = p;
        t->scratch_cap = cap;
    }
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        t->scratch[n++] = c->s[i];
        if (c->s[i] == '"') i++;
    }
    c->s = t->scratch;
    c->n = n;
    return HONE_OK;
}

/* p is behind the opening quote. */
static hone_status quoted_cell(struct hn_csv_text *t, struct hn_csv_cell *c, hone_error *err)
{
    int64_t first = t->line;
    int doubled = 0;
    c->s = t->p;
    for (;;) {
        while (t->p < t->end && *t->p != '"') {
            if (*t->p == '\n' || *t->p == '\r') {
                hn_csv_newline(t);
                t->broken_lines = 1;
            } else {
                t->p++;
            }
        }
        if (t->p == t->end)
            return hn_fail(err, HONE_E_DATA, t->path,
                           "row %lld: a quote is opened and never closed", (long long)first);
        if (t->p + 1 == t->end || t->p[1] != '"') break;
        doubled = 1;
        t->p += 2;
    }
    c->n = (size_t)(t->p - c->s);
    t->p++;
    while (t->p < t->end && is_blank(t, *t->p)) t->p++;
    if (!take_end(t, c)) {
        struct hn_shown s;
        size_t left = (size_t)(t->end - t->p), n = 0;
        while (n < left && n < 16 && t->p[n] != '\n' && t->p[n] != '\r') n++;
        return hn_fail(
            err, HONE_E_DATA, t->path,
            "row %lld: found '%s' behind a closing quote, wanted a delimiter or the end of the row",
            (long long)t->line, hn_show(&s, t->p, n));
    }
    return doubled ? undouble(t, c, err) : HONE_OK;
}

hone_status hn_csv_next(struct hn_csv_text *t, struct hn_csv_cell *c, hone_error *err)
{
    while (t->p < t->end && is_blank(t, *t->p)) t->p++;
    if (t->p < t->end && *t->p == '"') {
        t->p++;
        return quoted_cell(t, c, err);
    }
    c->s = t->p;
    while (t->p < t->end && *t->p != t->delimiter && *t->p != '\n' && *t->p != '\r') t->p++;
    c->n = (size_t)(t->p - c->s);
    while (c->n && is_blank(t, c->s[c->n - 1])) c->n--;
    take_end(t, c);
    return HONE_OK;
}
