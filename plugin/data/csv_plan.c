/* SPDX-License-Identifier: MIT
 *
 * What a CSV file's columns are called and where each goes. The header is guessed from the first two rows: row 1 is a
 * header when, over the columns that are numbers in row 2, it has text, and at least as often as numbers; or when it is
 * all text, no two cells alike, and no cell of it comes again below itself. Every guess is said. A header line that begins
 * with "#", as numpy.savetxt writes it, has names behind that; a name is kept as it stands where it is asked for so. */
#include "plugin/data/csv.h"

#include "ops/base/json.h"
#include <stdio.h>

struct cells {
    const char **s;
    int64_t n;
};

enum cell_kind { NUMBER, MISSING, TEXT };
enum { REPEAT_ROWS = 1000 }; /* rows looked at for a repeated first row */

static enum cell_kind kind_of(const struct hn_csv_reader *r, const char *s)
{
    double v;
    size_t n = strlen(s);
    if (!n || hn_words_find(&r->missing, s, n) >= 0) return MISSING;
    return hn_csv_number(r, s, n, &v) ? NUMBER : TEXT;
}

static hone_status count_cells(struct hn_csv_reader *r, int64_t *n)
{
    struct hn_csv_cell c = { .end = HN_CSV_DELIMITER };
    for (*n = 0; c.end == HN_CSV_DELIMITER; ++*n) HN_TRY(hn_csv_next(&r->t, &c, r->err));
    return HONE_OK;
}

/* The cells of the row at p, copied. */
static hone_status read_cells(struct hn_csv_reader *r, struct cells *out)
{
    const char *p = r->t.p;
    int64_t line = r->t.line;
    struct hn_csv_cell c;
    HN_TRY(count_cells(r, &out->n));
    r->t.p = p, r->t.line = line;
    out->s = hn_arena_alloc(&r->arena, (size_t)out->n, sizeof *out->s);
    if (!out->s) return hn_nomem(r->err, "the cells of a row", (size_t)out->n * sizeof *out->s);
    for (int64_t i = 0; i < out->n; i++) {
        HN_TRY(hn_csv_next(&r->t, &c, r->err));
        if (!(out->s[i] = hn_arena_strndup(&r->arena, c.s, c.n)))
            return hn_nomem(r->err, "a cell", c.n);
    }
    return HONE_OK;
}

/* Whether a cell of row 1 comes again in its own column: then row 1 is data. Stands behind row 1. */
static hone_status first_row_repeats(struct hn_csv_reader *r, const struct cells *first,
                                     int *repeats)
{
    *repeats = 0;
    for (int row = 0; row < REPEAT_ROWS && r->t.p < r->t.end && !*repeats; row++) {
        struct hn_csv_cell c = { .end = HN_CSV_DELIMITER };
        for (int64_t j = 0; c.end == HN_CSV_DELIMITER; j++) {
            HN_TRY(hn_csv_next(&r->t, &c, r->err));
            if (j < first->n && c.n && strlen(first->s[j]) == c.n &&
                memcmp(first->s[j], c.s, c.n) == 0)
                *repeats = 1;
        }
    }
    return HONE_OK;
}

/* "a" of "# a"; a name without the mark, or without anything behind it, as it is. */
static const char *unmarked(const char *name)
{
    const char *p = name + (*name == '#');
    while (p > name && *p == ' ') p++;
    return *p ? p : name;
}

/* Is the name as it stands a column that is named, or that a model learned from? */
static int is_asked(const struct hn_csv_reader *r, const char *name)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct hn_csv_part *p = &r->parts[i];
        if (p->like && hn_recipe_find(p->like, name, 0)) return 1;
        for (size_t k = 0; k < p->n_columns; k++)
            if (strcmp(p->columns[k], name) == 0) return 1;
    }
    return 0;
}

/* Stands behind row 1 and stays there. */
static hone_status guess_header(struct hn_csv_reader *r, const struct cells *first)
{
    struct cells second = { 0 };
    const char *p = r->t.p;
    int64_t line = r->t.line, text = 0, number = 0, all_text = 1;
    int repeats = 0;
    if (!hn_csv_at_end(&r->t)) HN_TRY(read_cells(r, &second));
    for (int64_t j = 0; j < first->n; j++) {
        enum cell_kind k = kind_of(r, first->s[j]);
        if (k != TEXT) all_text = 0;
        if (j >= second.n || kind_of(r, second.s[j]) != NUMBER) continue;
        text += k == TEXT;
        number += k == NUMBER;
    }
    r->t.p = p, r->t.line = line;
    r->header = text > 0 && text >= number;
    if (!r->header && all_text) {
        HN_TRY(first_row_repeats(r, first, &repeats));
        r->t.p = p, r->t.line = line;
        r->header = !repeats;
    }
    return HONE_OK;
}

static hone_status name_columns(struct hn_csv_reader *r, const struct cells *first)
{
    for (int64_t j = 0; j < r->n_columns; j++) {
        const char *name = r->header ? first->s[j] : "";
        if (!*name && !(name = hn_arena_printf(&r->arena, "c%lld", (long long)j)))
            return hn_nomem(r->err, "a column name", 0);
        HN_TRY(hn_csv_check_text(r, 1, j, name, strlen(name)));
        int64_t id = hn_words_add(&r->names, name, strlen(name));
        if (id < 0) return hn_nomem(r->err, "the column names", 0);
        if (id != j) {
            struct hn_shown s;
            return hn_fail(r->err, HONE_E_DATA, r->t.path,
                           "%scolumns %lld and %lld (from 0) are both called '%s', wanted "
                           "different names",
                           r->input->foreign ? "" : "row 1: ", (long long)id, (long long)j,
                           hn_show(&s, name, strlen(name)));
        }
        r->columns[j] = (struct hn_csv_column){
            .name = r->names.word[j].text, .part = -1, .at = -1, .rare = -1
        };
    }
    return HONE_OK;
}

static hone_status find_header(struct hn_csv_reader *r)
{
    struct cells first;
    struct hn_shown a, b;
    const char *start = r->t.p;
    if (hn_csv_at_end(&r->t))
        return hn_fail(r->err, HONE_E_DATA, r->t.path, "the file is empty, wanted rows");
    HN_TRY(read_cells(r, &first));
    r->n_columns = first.n;
    r->header = r->o->header == HN_HEADER_YES;
    if (r->o->header == HN_HEADER_AUTO) HN_TRY(guess_header(r, &first));
    r->columns = hn_arena_alloc(&r->arena, (size_t)first.n, sizeof *r->columns);
    r->runs = hn_arena_alloc(&r->arena, (size_t)first.n, sizeof *r->runs);
    if (!r->columns || !r->runs) return hn_nomem(r->err, "the columns of a table", (size_t)first.n);
    if (r->header && *start == '#' && !is_asked(r, first.s[0])) first.s[0] = unmarked(first.s[0]);
    HN_TRY(name_columns(r, &first));
    if (!r->header) r->t.p = start, r->t.line = 1, r->t.broken_lines = 0;
    if (r->o->header != HN_HEADER_AUTO) return HONE_OK;
    const char *one = r->columns[0].name, *end = r->columns[first.n - 1].name;
    if (r->header)
        hn_note_add(r->src->note, "%s: row 1 is taken as the header (%s%s%s)", r->t.path,
                    hn_show(&a, one, strlen(one)), first.n > 1 ? " ... " : "",
                    first.n > 1 ? hn_show(&b, end, strlen(end)) : "");
    else
        hn_note_add(r->src->note, "%s: no header row, columns are called c0 to c%lld", r->t.path,
                    (long long)first.n - 1);
    return HONE_OK;
}

/* ---- References ---- */

static hone_status unknown_column(struct hn_csv_reader *r, const char *ref)
{
    struct hn_shown a, b;
    size_t n = (size_t)r->n_columns;
    const char **list = hn_arena_alloc(&r->arena, n + 1, sizeof *list);
    if (!list) return hn_nomem(r->err, "the column names", n * sizeof *list);
    for (size_t j = 0; j < n; j++) list[j] = r->columns[j].name;
    const char *close = hn_suggest(ref, list), *first = list[0], *last = list[n - 1];
    hone_status st =
        hn_fail(r->err, HONE_E_DATA, r->t.path,
                "found no column '%s', wanted one of the %zu from '%s' to '%s', or an index from 0",
                hn_show(&a, ref, strlen(ref)), n, hn_show(&b, first, strlen(first)),
                hn_show(&(struct hn_shown){ 0 }, last, strlen(last)));
    if (hn_csv_hint_form(r, st, "", 0) != HONE_OK) return st;
    if (close) return hn_hint(r->err, st, "did you mean '%s'?", hn_show(&a, close, strlen(close)));
    if (!r->header)
        return hn_hint(r->err, st, "the file has no header row, so columns are c0, c1, ...");
    return st;
}

static int has_column(const struct hn_csv_reader *r, const char *ref, int64_t *column)
{
    *column = hn_words_find(&r->names, ref, strlen(ref));
    return *column >= 0 ||
           (hn_parse_i64(ref, strlen(ref), column) && *column >= 0 && *column < r->n_columns);
}

hone_status hn_csv_resolve(struct hn_csv_reader *r, const char *ref, int64_t *column)
{
    return has_column(r, ref, column) ? HONE_OK : unknown_column(r, ref);
}

int hn_is_spelled(const char *column, const char *name)
{
    if (name[0] == '_' && column[0] >= '0' && column[0] <= '9') name++;
    for (; *column && *name; column++, name++) {
        const unsigned char c = (unsigned char)*column;
        const int kept =
            c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (*name != *column && (kept || *name != '_')) return 0;
    }
    return !*column && !*name;
}

/* A column of this name, else the only one that is spelled so, for a part marked by_name; -1: there is none to be had. */
static int64_t find_named(const struct hn_csv_reader *r, const char *name)
{
    int64_t column = hn_words_find(&r->names, name, strlen(name)), n = 0;
    for (int64_t j = 0; column < 0 && j < r->n_columns; j++)
        if (hn_is_spelled(r->columns[j].name, name)) n++;
    if (n > 1) return -1;
    for (int64_t j = 0; column < 0 && j < r->n_columns; j++)
        if (hn_is_spelled(r->columns[j].name, name)) column = j;
    const struct hn_csv_column *c = column >= 0 ? &r->columns[column] : NULL;
    return c && c->part < 0 && !c->ignored ? column : -1;
}

static hone_status resolve_for(struct hn_csv_reader *r, const struct hn_csv_part *part,
                               const char *ref, int64_t *column)
{
    if (!part->by_name) return hn_csv_resolve(r, ref, column);
    *column = find_named(r, ref);
    return *column >= 0 ? HONE_OK : unknown_column(r, ref);
}

static hone_status assign(struct hn_csv_reader *r, size_t part, int64_t column)
{
    struct hn_csv_column *c = &r->columns[column];
    struct hn_csv_matrix *m = &r->matrix[part];
    struct hn_shown s;
    if (c->part >= 0)
        return hn_fail(r->err, HONE_E_USAGE, r->t.path,
                       "column '%s' is asked for twice, wanted once among features, targets, "
                       "groups and weights",
                       hn_show(&s, c->name, strlen(c->name)));
    c->part = (int64_t)part;
    c->at = m->width++;
    m->columns[c->at] = column;
    return HONE_OK;
}

static hone_status know(struct hn_csv_reader *r, struct hn_csv_column *c,
                        const struct hn_table_column *like)
{
    c->encoding = like->encoding;
    c->known = like->encoding ? like : NULL;
    c->unknown = like->unknown, c->unknown_code = like->unknown_code;
    for (int64_t i = 0; c->known && i < like->n_category; i++)
        if (hn_words_add(&c->words, like->category[i], strlen(like->category[i])) != i)
            return hn_nomem(r->err, "the categories of a column", 0);
    return HONE_OK;
}

static void begin_words(struct hn_csv_reader *r, struct hn_csv_column *c)
{
    hn_words_init(&c->words, r->src->mem, &r->parts[c->part].array.arena);
    c->words.decimal = r->t.decimal;
}

/* What like says of the k-th column that is named: by its name, in a file without names by its place. */
static const struct hn_recipe_column *
known_column(const struct hn_csv_reader *r, struct hn_csv_part *part, const char *name, size_t k)
{
    const struct hn_recipe *like = part->like;
    const struct hn_recipe_column *known = like ? hn_recipe_find(like, name, (int64_t)k) : NULL;
    if (known || !like || r->header || like->n_columns != (int64_t)part->n_columns) return known;
    part->by_order = 1;
    return &like->columns[k];
}

/* The part of columns that are named. */
static hone_status assign_listed(struct hn_csv_reader *r, size_t i)
{
    struct hn_csv_part *part = &r->parts[i];
    int64_t column;
    for (size_t k = 0; k < part->n_columns; k++) {
        if (part->optional && !has_column(r, part->columns[k], &column)) continue;
        HN_TRY(resolve_for(r, part, part->columns[k], &column));
        HN_TRY(assign(r, i, column));
        struct hn_csv_column *c = &r->columns[column];
        begin_words(r, c);
        const struct hn_recipe_column *known = known_column(r, part, c->name, k);
        if (known) HN_TRY(know(r, c, &known->raw));
    }
    return HONE_OK;
}

/* What is not there need not be ignored: where all columns count, it is a mistake. */
static hone_status ignore_columns(struct hn_csv_reader *r)
{
    int64_t column;
    int strict = 0;
    for (size_t i = 0; i < r->n_parts; i++) strict |= !r->parts[i].columns && !r->parts[i].like;
    strict &= !r->o->ignore_missing;
    for (size_t k = 0; k < r->o->n_ignore; k++) {
        if (!strict && !has_column(r, r->o->ignore[k], &column)) continue;
        HN_TRY(hn_csv_resolve(r, r->o->ignore[k], &column));
        r->columns[column].ignored = 1;
    }
    return HONE_OK;
}

/* The parts that go by name, when all of their columns are there to be had. */
static hone_status assign_named(struct hn_csv_reader *r)
{
    int some = 0, all = 1;
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct hn_csv_part *p = &r->parts[i];
        if (!p->by_name) continue;
        some = 1;
        for (size_t k = 0; k < p->n_columns; k++) all &= find_named(r, p->columns[k]) >= 0;
    }
    r->named = some && all;
    for (size_t i = 0; i < r->n_parts && r->named; i++)
        if (r->parts[i].by_name) HN_TRY(assign_listed(r, i));
    return HONE_OK;
}

/* ---- Columns of a table that is known ---- */

static int64_t find_free(const struct hn_csv_reader *r, const char *name)
{
    int64_t column = hn_words_find(&r->names, name, strlen(name));
    return column >= 0 && r->columns[column].part < 0 && !r->columns[column].ignored ? column : -1;
}

static hone_status no_feature(struct hn_csv_reader *r, const struct hn_recipe *like,
                              const char *name)
{
    struct hn_shown a, b, c;
    const char *first = like->columns[0].raw.name,
               *last = like->columns[like->n_columns - 1].raw.name;
    const int64_t column = hn_words_find(&r->names, name, strlen(name));
    const char **list = hn_arena_alloc(&r->arena, (size_t)r->n_columns + 1, sizeof *list);
    if (!list) return hn_nomem(r->err, "the column names", (size_t)r->n_columns * sizeof *list);
    for (int64_t j = 0; j < r->n_columns; j++) list[j] = r->columns[j].name;
    hone_status st = hn_fail(r->err, HONE_E_DATA, r->t.path,
                             "%s column '%s', wanted the %lld that the model learned from, '%s' to "
                             "'%s'",
                             column >= 0 && r->columns[column].ignored ? "leaves out (--ignore)"
                             : column >= 0 ? "has as no feature (--target and others)"
                                           : "found no",
                             hn_show(&a, name, strlen(name)), (long long)like->n_columns,
                             hn_show(&b, first, strlen(first)), hn_show(&c, last, strlen(last)));
    const char *close = column < 0 ? hn_suggest(name, list) : NULL;
    if (close) return hn_hint(r->err, st, "did you mean '%s'?", hn_show(&a, close, strlen(close)));
    if (column < 0 && !r->header)
        return hn_hint(r->err, st, "the file has no header row, so columns are c0, c1, ...");
    return hn_hint(r->err, st,
                   "--features, or --input, names other columns to take instead, in their order");
}

/* The part of the columns that like has, by their names; *rest is set where the file has none of them. */
static hone_status assign_known(struct hn_csv_reader *r, size_t i, size_t *rest)
{
    const struct hn_recipe *like = r->parts[i].like;
    const char *missing = NULL;
    int64_t found = 0;
    for (int64_t k = 0; k < like->n_columns; k++)
        if (find_free(r, like->columns[k].raw.name) >= 0)
            found++;
        else if (!missing)
            missing = like->columns[k].raw.name;
    if (!found && *rest == r->n_parts) {
        *rest = i;
        return HONE_OK;
    }
    if (missing) return no_feature(r, like, missing);
    for (int64_t k = 0; k < like->n_columns; k++) {
        const struct hn_table_column *raw = &like->columns[k].raw;
        const int64_t column = find_free(r, raw->name);
        if (column < 0) return no_feature(r, like, raw->name); /* like has it twice */
        HN_TRY(assign(r, i, column));
        begin_words(r, &r->columns[column]);
        HN_TRY(know(r, &r->columns[column], raw));
    }
    return HONE_OK;
}

/* Columns of other names go by their order, where there are as many. */
static hone_status know_by_order(struct hn_csv_reader *r, size_t i)
{
    struct hn_csv_part *part = &r->parts[i];
    const struct hn_csv_matrix *m = &r->matrix[i];
    if (m->width != part->like->n_columns)
        return no_feature(r, part->like, part->like->columns[0].raw.name);
    for (int64_t k = 0; k < m->width; k++)
        HN_TRY(know(r, &r->columns[m->columns[k]], &part->like->columns[k].raw));
    part->by_order = 1;
    return HONE_OK;
}

/* The part that takes what no other part named and nobody ignores. */
static hone_status assign_rest(struct hn_csv_reader *r, size_t i)
{
    for (int64_t column = 0; column < r->n_columns; column++) {
        if (r->columns[column].part >= 0 || r->columns[column].ignored) continue;
        HN_TRY(assign(r, i, column));
        begin_words(r, &r->columns[column]);
    }
    return r->parts[i].like ? know_by_order(r, i) : HONE_OK;
}

/* Text as it is, targets and others are neither encoded nor filled; what: "encode". */
static hone_status check_feature(struct hn_csv_reader *r, const struct hn_csv_column *c,
                                 const char *what, const char *hint)
{
    struct hn_shown s;
    const char *name = hn_show(&s, c->name, strlen(c->name));
    if (c->part >= 0 && r->parts[c->part].kind == HN_PART_TEXT)
        return hn_fail(r->err, HONE_E_USAGE, r->t.path,
                       "cannot %s column '%s': the model takes its text as it is", what, name);
    if (c->part < 0 || r->parts[c->part].kind == HN_PART_VALUES)
        return hn_hint(r->err,
                       hn_fail(r->err, HONE_E_USAGE, r->t.path,
                               "cannot %s column '%s': it is not a feature", what, name),
                       "%s", hint);
    return HONE_OK;
}

static hone_status assign_encodings(struct hn_csv_reader *r)
{
    for (size_t k = 0; k < r->o->n_encode; k++) {
        int64_t column;
        HN_TRY(hn_csv_resolve(r, r->o->encode[k].column, &column));
        struct hn_csv_column *c = &r->columns[column];
        HN_TRY(check_feature(r, c, "encode", "text labels need no encoding"));
        if (!r->parts[c->part].like) c->encoding = r->o->encode[k].encoding;
    }
    return HONE_OK;
}

/* Of the table that fills are computed from: others are read by what came of it. */
static hone_status check_filled(struct hn_csv_reader *r)
{
    int64_t column;
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].like) return HONE_OK;
    for (size_t k = 0; k < r->o->n_filled; k++) {
        HN_TRY(hn_csv_resolve(r, r->o->filled[k], &column));
        HN_TRY(check_feature(r, &r->columns[column], "impute",
                             "a row without its target is removed from the file"));
    }
    return HONE_OK;
}

static enum hn_csv_action action_of(const struct hn_csv_reader *r, const struct hn_csv_column *c)
{
    if (c->part < 0) return HN_CSV_SKIP;
    if (c->encoding) return HN_CSV_CODE;
    return r->matrix[c->part].text ? HN_CSV_TEXT : HN_CSV_NUMBERS;
}

static void lay_out_runs(struct hn_csv_reader *r)
{
    for (int64_t j = 0; j < r->n_columns; j++) {
        const struct hn_csv_column *c = &r->columns[j];
        enum hn_csv_action action = action_of(r, c);
        struct hn_csv_run *last = r->n_runs ? &r->runs[r->n_runs - 1] : NULL;
        int joins =
            last && last->action == action &&
            (action == HN_CSV_SKIP || (action == HN_CSV_NUMBERS && (int64_t)last->part == c->part &&
                                       last->at + last->count == c->at));
        if (joins)
            last->count++;
        else
            r->runs[r->n_runs++] = (struct hn_csv_run){ .action = action,
                                                        .part = c->part < 0 ? 0 : (size_t)c->part,
                                                        .column = j,
                                                        .at = c->at,
                                                        .count = 1 };
    }
    r->runs[r->n_runs - 1].last = 1;
}

static hone_status choose_types(struct hn_csv_reader *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct hn_csv_matrix *m = &r->matrix[i];
        struct hn_csv_part *part = &r->parts[i];
        const int passed_over = r->named ? !part->columns && !part->like : part->by_name;
        if (m->width == 0 && !part->optional && !passed_over)
            return hn_fail(
                r->err, HONE_E_DATA, r->t.path, "no columns are left for %s (the file has %lld)",
                *part->array.name ? part->array.name : "the data", (long long)r->n_columns);
        if (part->kind == HN_PART_EITHER && m->width == 1 && !r->o->keep_missing && !r->o->n_encode)
            part->kind = HN_PART_VALUES;
        else if (part->kind == HN_PART_EITHER)
            part->kind = HN_PART_NUMBERS;
        m->dtype = part->kind == HN_PART_VALUES || r->o->real == HN_F64 ? HN_F64 : HN_F32;
        if (m->text) m->dtype = HN_STR;
        m->row_bytes = (size_t)m->width * (m->text ? sizeof(char *) : hn_dtype_size(m->dtype));
        if (part->kind == HN_PART_VALUES && m->width == 1 && !m->text)
            HN_TRY(hn_csv_spelling_begin(r, m));
    }
    return HONE_OK;
}

/* Those that are named first, so that what is left is known. */
static hone_status assign_parts(struct hn_csv_reader *r)
{
    size_t rest = r->n_parts;
    for (size_t i = 0; i < r->n_parts; i++) {
        r->matrix[i].columns = hn_arena_alloc(&r->arena, (size_t)r->n_columns, sizeof(int64_t));
        if (!r->matrix[i].columns)
            return hn_nomem(r->err, "the columns of a table", (size_t)r->n_columns);
        r->parts[i].by_order = 0;
        if (r->parts[i].columns && !r->parts[i].by_name) HN_TRY(assign_listed(r, i));
    }
    HN_TRY(ignore_columns(r));
    for (size_t i = 0; i < r->n_parts; i++) {
        if (r->parts[i].columns) continue;
        if (r->parts[i].like) {
            HN_TRY(assign_known(r, i, &rest));
            continue;
        }
        if (rest < r->n_parts)
            return hn_fail(r->err, HONE_E_USAGE, r->t.path, "two parts take the remaining columns");
        rest = i;
    }
    HN_TRY(assign_named(r));
    return rest < r->n_parts && !r->named ? assign_rest(r, rest) : HONE_OK;
}

hone_status hn_csv_plan(struct hn_csv_reader *r)
{
    HN_TRY(find_header(r));
    HN_TRY(assign_parts(r));
    HN_TRY(assign_encodings(r));
    HN_TRY(check_filled(r));
    HN_TRY(hn_csv_assign_unknown(r));
    HN_TRY(choose_types(r));
    lay_out_runs(r);
    return HONE_OK;
}
