/* SPDX-License-Identifier: MIT
 *
 * The cells of a table as they stand in its file, for who writes them again beside something else. The file stays open, so
 * that nothing is copied: its rows are cut, or a plug-in's read, once more when they are written. */
#include "plugin/data/csv.h"
#include "plugin/data/foreign.h"

struct hn_cells {
    struct hn_mem *mem;
    struct hn_arena arena;
    struct hn_foreign_file ff;
    struct hn_csv_text t; /* of a file that no plug-in reads */
    int header;
    int64_t n_columns, at; /* at: row of the plug-in's block */
    const char **names;
    hone_reader_rows rows;
};

void hn_cells_close(struct hn_cells *c)
{
    if (!c) return;
    struct hn_mem *mem = c->mem;
    hn_foreign_end(&c->ff);
    hn_free(mem, c->t.scratch);
    hn_arena_clear(&c->arena);
    hn_free(mem, c);
}

hone_status hn_cells_create(struct hn_cells **out, struct hn_source *src,
                            struct hn_foreign_file **ff, hone_error *err)
{
    struct hn_cells *c = *out = hn_calloc(src->mem, 1, sizeof *c);
    if (!c) return hn_nomem(err, "the cells of a table", sizeof *c);
    c->mem = src->mem;
    hn_arena_init(&c->arena, src->mem);
    src->path = hn_arena_strdup(&c->arena, src->path);
    *ff = &c->ff;
    return src->path ? HONE_OK : hn_nomem(err, "a path", 0);
}

void hn_cells_of(struct hn_cells *c, const struct hn_csv_reader *r)
{
    c->header = r->header;
    c->n_columns = r->n_columns;
    c->t = (struct hn_csv_text){ .begin = r->t.begin,
                                 .end = r->t.end,
                                 .delimiter = r->t.delimiter,
                                 .path = c->ff.path,
                                 .mem = c->mem };
}

/* Behind the header, whose cells are the names. */
static hone_status read_header(struct hn_cells *c, hone_error *err)
{
    struct hn_csv_cell cell;
    for (int64_t j = 0; j < c->n_columns && c->header; j++) {
        HN_TRY(hn_csv_next(&c->t, &cell, err));
        c->names[j] = hn_arena_strndup(&c->arena, cell.s, cell.n);
    }
    for (int64_t j = 0; j < c->n_columns && !c->header; j++)
        c->names[j] = hn_arena_printf(&c->arena, "c%lld", (long long)j);
    return HONE_OK;
}

hone_status hn_cells_begin(struct hn_cells *c, const char *const **names, int64_t *n,
                           hone_error *err)
{
    c->names = hn_arena_alloc(&c->arena, (size_t)c->n_columns, sizeof *c->names);
    if (!c->names) return hn_nomem(err, "the column names", (size_t)c->n_columns);
    if (c->ff.by) {
        HN_TRY(hn_foreign_rewind(&c->ff, err));
        for (int64_t j = 0; j < c->n_columns; j++)
            c->names[j] = hn_arena_strdup(&c->arena, c->ff.form.columns[j]);
    } else {
        HN_TRY(hn_csv_text_begin(&c->t, NULL, err));
        HN_TRY(read_header(c, err));
    }
    for (int64_t j = 0; j < c->n_columns; j++)
        if (!c->names[j]) return hn_nomem(err, "a column name", 0);
    c->rows.n = c->at = 0;
    *names = c->names;
    *n = c->n_columns;
    return HONE_OK;
}

/* ---- writing ---- */

static int is_quoted(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr(",\"\r\n\t", s[i])) return 1;
    return n && (s[0] == ' ' || s[n - 1] == ' ');
}

static hone_status put(struct hn_sink *s, const char *text, size_t n, hone_error *err)
{
    if (!is_quoted(text, n)) return n ? s->write(s, text, n, err) : HONE_OK;
    HN_TRY(s->write(s, "\"", 1, err));
    while (n) {
        const char *q = memchr(text, '"', n);
        const size_t piece = q ? (size_t)(q - text) + 1 : n;
        HN_TRY(s->write(s, text, piece, err));
        if (q) HN_TRY(s->write(s, "\"", 1, err));
        text += piece, n -= piece;
    }
    return s->write(s, "\"", 1, err);
}

hone_status hn_cells_write_names(const struct hn_cells *c, struct hn_sink *s, hone_error *err)
{
    for (int64_t j = 0; j < c->n_columns; j++) {
        if (j) HN_TRY(s->write(s, ",", 1, err));
        HN_TRY(put(s, c->names[j], strlen(c->names[j]), err));
    }
    return HONE_OK;
}

/* The next row's cells in c->rows. */
static hone_status next_row(struct hn_cells *c, hone_error *err)
{
    if (++c->at < c->rows.n) return HONE_OK;
    HN_TRY(hn_foreign_read(&c->ff, &c->rows, err));
    c->at = 0;
    return c->rows.n ? HONE_OK
                     : hn_foreign_blame(&c->ff, err, "gave fewer rows when it was asked once more");
}

hone_status hn_cells_write_row(struct hn_cells *c, struct hn_sink *s, hone_error *err)
{
    struct hn_csv_cell cell;
    char buf[HN_FOREIGN_NUMBER];
    if (c->ff.by) HN_TRY(next_row(c, err));
    for (int64_t j = 0; j < c->n_columns; j++) {
        if (j) HN_TRY(s->write(s, ",", 1, err));
        if (!c->ff.by) {
            HN_TRY(hn_csv_next(&c->t, &cell, err));
        } else {
            const char *why = hn_foreign_text(&c->rows.cells[c->at * c->n_columns + j], &cell, buf);
            if (why)
                return hn_foreign_blame(&c->ff, err, "gave %s when it was asked once more", why);
        }
        HN_TRY(put(s, cell.s, cell.n, err));
    }
    return HONE_OK;
}
