/* SPDX-License-Identifier: MIT
 *
 * The pieces of the CSV reader. One file's way: csv.c opens it → csv_text.c looks at the bytes (BOM, NUL, delimiter) and
 * cuts cells → csv_plan.c finds the header, resolves column references and lays out runs → csv_rows.c fills matrices
 * (csv_cells.c: with what is no plain number; csv_unknown.c: categories nobody saw; csv_spelling.c: remembers 007), or foreign_rows.c does with a plug-in's cells → csv.c sorts categories and hands out arrays. */
#ifndef HN_DATA_CSV_H
#define HN_DATA_CSV_H

#include "plugin/data/internal.h"

/* The text and where reading stands. */
struct hn_csv_text {
    const char *begin, *p, *end;
    char delimiter, decimal;
    char
        point; /* the decimal sign of numbers that need no quotes; 0: there is none, they would be two cells */
    int decimal_kept;
    int64_t line;     /* of p, from 1 */
    int broken_lines; /* a quoted cell held a line end: rows are not lines any more */
    const char *path;
    struct hn_mem *mem;
    char *scratch; /* a cell with doubled quotes, without them */
    size_t scratch_cap;
};

enum hn_csv_end { HN_CSV_DELIMITER, HN_CSV_LINE, HN_CSV_FILE };

struct hn_csv_cell {
    const char *s; /* valid until the next cell */
    size_t n;
    enum hn_csv_end end; /* what stood behind it, already consumed */
};

/* Skips a BOM, refuses UTF-16 and NUL bytes, chooses the delimiter when it is 0, and the decimal sign. */
hone_status hn_csv_text_begin(struct hn_csv_text *t, struct hn_note *note, hone_error *err);
/* The next cell without its quotes, or without the blanks around it. */
hone_status hn_csv_next(struct hn_csv_text *t, struct hn_csv_cell *c, hone_error *err);
/* Whether nothing but blank lines is left (they are consumed then). */
int hn_csv_at_end(struct hn_csv_text *t);
/* Steps over the line end at p. */
static inline void hn_csv_newline(struct hn_csv_text *t)
{
    t->p += *t->p == '\r' && t->p + 1 < t->end && t->p[1] == '\n' ? 2 : 1;
    t->line++;
}

/* What happens to consecutive cells that go to consecutive places. */
enum hn_csv_action { HN_CSV_SKIP, HN_CSV_NUMBERS, HN_CSV_CODE, HN_CSV_TEXT };

struct hn_csv_run {
    enum hn_csv_action action;
    int last; /* its last cell ends the row */
    size_t part;
    int64_t column, at, count; /* first file column, first place in the part's row, cells */
};

struct hn_csv_column {
    const char *name;
    int64_t part, at; /* -1: not wanted */
    int ignored;
    enum hn_encoding encoding;
    struct hn_words words; /* categories, numbered as they appear, or as `like` has them */
    const struct hn_table_column *known; /* of `like`: no new categories */
    const struct hn_unknown_rule *rule;  /* for categories that are unknown; NULL: as below */
    enum hn_unknown unknown;
    double unknown_code;
    int64_t rare; /* number of the category that the rare ones became; -1: there is none */
    int64_t n_unknown, first_line; /* cells that had one, and the first of them */
    const char *first_text;
};

struct hn_csv_matrix { /* a part while it grows */
    enum hn_dtype dtype;
    int64_t width, cap;
    size_t row_bytes;
    int text;         /* the one column of values is not all numbers */
    int64_t *columns; /* file column of each place */
    char *block;
    struct hn_csv_spelling *spelled; /* one column of values that are numbers so far, and few */
};

/* How whole numbers are spelled that may turn out to be labels. */
enum { HN_SPELLED_INT = 1, HN_SPELLED_FLOAT = 2, HN_SPELLED_ODD = 4 }; /* 7, 7.0, 007 */
struct hn_csv_spelling {
    struct hn_words words; /* distinct cells */
    int64_t *row;          /* the first of each */
    size_t cap;
    int fraction; /* 0.5 was there: 7 beside 7.0 says nothing */
    unsigned seen;
};

/* The text, or the header alone and a plug-in's reader for the rows. */
struct hn_foreign_file;
struct hn_csv_input {
    const unsigned char *p;
    size_t n;
    struct hn_foreign_file *foreign; /* NULL: the rows are text, too */
};

struct hn_csv_reader {
    const struct hn_source *src;
    const struct hn_csv_input *input;
    const struct hn_csv_options *o;
    struct hn_csv_part *parts;
    size_t n_parts;
    hone_error *err;
    struct hn_csv_text t;
    struct hn_note *late;  /* for what is known when all rows are read */
    struct hn_arena arena; /* names and plan */
    struct hn_words missing, names;
    int numbers_missing; /* a number like -999 stands for a missing cell: every cell is compared */
    int header;
    struct hn_csv_column *columns;
    int64_t n_columns, rows;
    struct hn_csv_matrix *matrix; /* one a part */
    struct hn_csv_run *runs;
    size_t n_runs;
    int named; /* the parts marked by_name are taken */
    int again; /* a part turned out to be text: start over */
};

static inline void hn_csv_store(struct hn_csv_matrix *m, char *row, int64_t at, double v)
{
    if (m->dtype == HN_F32)
        ((float *)(void *)row)[at] = (float)v;
    else
        ((double *)(void *)row)[at] = v;
}

/* csv_cells.c: text that is kept (labels, categories, names of columns) must be UTF-8; `column` may be the name's own. */
hone_status hn_csv_check_text(struct hn_csv_reader *r, int64_t line, int64_t column, const char *s,
                              size_t n);
/* A cell of the row at t.line, and where its number, category number or text belongs. A number sets `again` and
 * fails without a message when the column turns out to be text. */
int hn_csv_number(const struct hn_csv_reader *r, const char *s, size_t n, double *out);
/* To an error about cells or columns that are not there: what to do where commas look like decimal signs, or blanks seem to
 * separate the cells. HONE_OK: neither. */
hone_status hn_csv_hint_form(struct hn_csv_reader *r, hone_status st, const char *s, size_t n);
const char *hn_csv_column_name(const struct hn_csv_reader *r, int64_t column, struct hn_shown *s);
hone_status hn_csv_take_number(struct hn_csv_reader *r, int64_t column, const struct hn_csv_cell *c,
                               double *out);
hone_status hn_csv_take_code(struct hn_csv_reader *r, const struct hn_csv_run *run,
                             const struct hn_csv_cell *c, char *row);
hone_status hn_csv_take_text(struct hn_csv_reader *r, const struct hn_csv_run *run,
                             const struct hn_csv_cell *c, char *row);

/* csv_plan.c: the column of a name, else of an index. */
hone_status hn_csv_resolve(struct hn_csv_reader *r, const char *ref, int64_t *column);

/* csv_unknown.c: the rules of the options to their columns, whose encodings are known. */
hone_status hn_csv_assign_unknown(struct hn_csv_reader *r);
/* Of the words in their final order the rare ones go behind the others, if c's rule says so; then all from c->rare on are one
 * category. *kept: how many there are. */
hone_status hn_csv_join_rare(struct hn_csv_reader *r, struct hn_csv_column *c, uint32_t *order,
                             size_t *kept);
/* The text of the i-th category, of words the one called `word`. */
const char *hn_csv_category(const struct hn_csv_column *c, uint32_t word, size_t i);
/* What stands for a cell with an unknown category: an error, or its number. */
hone_status hn_csv_take_unknown(struct hn_csv_reader *r, int64_t column,
                                const struct hn_csv_cell *cell, int64_t line, double *code);
/* All rows are read: what the next tables do, and how often it was done here. */
hone_status hn_csv_finish_unknown(struct hn_csv_reader *r, const struct hn_csv_column *c,
                                  struct hn_table_column *out);

/* csv_spelling.c: the cell s[0,n) of m was read as v; blanks, quotes and what ends the cell may stand around it. */
hone_status hn_csv_spell(struct hn_csv_reader *r, struct hn_csv_matrix *m, const char *s, size_t n,
                         double v);
hone_status hn_csv_spelling_begin(struct hn_csv_reader *r, struct hn_csv_matrix *m);
/* What a class could be named by goes into the finished array. */
hone_status hn_csv_spelling_keep(struct hn_csv_reader *r, const struct hn_csv_matrix *m,
                                 struct hn_array *a);
void hn_csv_spelling_end(struct hn_csv_reader *r, struct hn_csv_matrix *m);

/* Room for `rows` rows in every matrix. */
hone_status hn_csv_reserve(struct hn_csv_reader *r, int64_t rows);
/* Header, columns, parts, runs. */
hone_status hn_csv_plan(struct hn_csv_reader *r);
/* All rows into the matrices. Sets `again` and fails without a message when values turn out to be text. */
hone_status hn_csv_rows(struct hn_csv_reader *r);
hone_status hn_csv_foreign_rows(struct hn_csv_reader *r);
/* cells.c: room for cells that are kept, whose file is *ff, and src's path with them; what a reader has found. */
hone_status hn_cells_create(struct hn_cells **out, struct hn_source *src,
                            struct hn_foreign_file **ff, hone_error *err);
void hn_cells_of(struct hn_cells *c, const struct hn_csv_reader *r);
/* hn_csv_parse of either kind of input. */
hone_status hn_csv_parse_input(const struct hn_source *src, const struct hn_csv_input *in,
                               const struct hn_csv_options *o, struct hn_csv_part *parts,
                               size_t n_parts, hone_error *err);
#endif
