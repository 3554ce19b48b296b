/* SPDX-License-Identifier: MIT
 *
 * A plug-in's reader at work: which one claims a file, what it says the file holds, its blocks of rows, arrays. Tables go
 * the way of CSV files (foreign_rows.c). */
#include "plugin/data/foreign.h"
#include "ops/base/format.h"
#include "ops/base/utf8.h"
#include "plugin/data/csv.h"

#include <stdarg.h>
#include <strings.h>

enum { TEXT_MAX = 1 << 30, COLUMNS_MAX = 1 << 20, NAME_MAX_BYTES = 1 << 16, BLOCK_ROWS = 1 << 20 };

hone_status hn_foreign_blame(const struct hn_foreign_file *ff, hone_error *err, const char *fmt,
                             ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    hn_format_into(text, sizeof text, fmt, ap);
    va_end(ap);
    return hn_fail(err, HONE_E_DATA, ff->path, "reader '%s' of plug-in '%s' %s",
                   ff->by->reader->name, ff->by->plugin, text);
}

/* A call of the reader failed and left e. */
static hone_status pass_on(const struct hn_foreign_file *ff, hone_status st, hone_error *e,
                           const char *call, hone_error *err)
{
    if (!hn_is_status(st))
        return hn_foreign_blame(ff, err, "returned %d from %s, which is no status", (int)st, call);
    e->where[sizeof e->where - 1] = e->text[sizeof e->text - 1] = '\0';
    if (!e->text[0])
        return hn_foreign_blame(ff, err, "failed in %s without a reason (%s)", call,
                                hn_status_name(st));
    hn_fail(err, st, e->where[0] ? e->where : ff->path, "%s", e->text);
    return hn_hint(err, st, "said by reader '%s' of plug-in '%s'", ff->by->reader->name,
                   ff->by->plugin);
}

/* ---- which reader ---- */

static int has_end(const char *s, size_t n, const char *end)
{
    size_t k = strlen(end);
    return n >= k && strncasecmp(s + n - k, end, k) == 0;
}

/* "t.xyz", or "t.xyz.gz" where that may be. */
static int claims_name(const hone_reader *r, const char *path, size_t n, int gz)
{
    if (gz && has_end(path, n, ".gz")) n -= 3;
    for (const char *const *e = r->extensions; e && *e; e++)
        if (has_end(path, n, *e)) return 1;
    return 0;
}

const char *hn_foreign_key(const struct hn_foreign *list, const char *path)
{
    const char *key = NULL;
    for (const char *p = path; list && (p = strchr(p, ':')); p++)
        for (const struct hn_foreign *x = list; x && p[1]; x = x->next)
            if (claims_name(x->reader, path, (size_t)(p - path), 1)) key = p + 1;
    return key;
}

static const struct hn_foreign *find(const struct hn_foreign *list, const char *path, int inflated,
                                     const struct hn_file *f)
{
    for (const struct hn_foreign *x = list; x; x = x->next) {
        const hone_reader *r = x->reader;
        if (r->magic_size && f->n >= r->magic_size && !memcmp(f->p, r->magic, r->magic_size))
            return x;
        if (claims_name(r, path, strlen(path), inflated)) return x;
    }
    return NULL;
}

hone_status hn_foreign_begin(struct hn_foreign_file *ff, const struct hn_source *src,
                             hone_error *err)
{
    const char *key = hn_foreign_key(src->readers, src->path);
    *ff = (struct hn_foreign_file){ .path = src->path };
    hn_arena_init(&ff->arena, src->mem);
    if (key) ff->path = hn_arena_strndup(&ff->arena, src->path, (size_t)(key - 1 - src->path));
    hone_status st = ff->path ? HONE_OK : hn_nomem(err, "a path", strlen(src->path));
    if (st == HONE_OK) st = hn_file_open(&ff->f, src->io, src->mem, ff->path, src->max_bytes, err);
    const unsigned char *stored = ff->f.p;
    if (st == HONE_OK) st = hn_file_gunzip(&ff->f, src->mem, ff->path, src->max_bytes, err);
    if (st != HONE_OK) {
        hn_foreign_end(ff);
        return st;
    }
    int is_stdin = strcmp(ff->path, "-") == 0, inflated = stored != ff->f.p;
    ff->by = ff->f.n ? find(src->readers, ff->path, inflated, &ff->f) : NULL;
    if (is_stdin) ff->path = "standard input";
    ff->file = (hone_reader_file){ .size = sizeof ff->file,
                                   .name = ff->path,
                                   .path = is_stdin || inflated ? NULL : ff->path,
                                   .key = key,
                                   .bytes = ff->f.p,
                                   .n_bytes = ff->f.n };
    return HONE_OK;
}

/* ---- open, read, close ---- */

void hn_foreign_close(struct hn_foreign_file *ff)
{
    if (ff->is_open) ff->by->reader->close(ff->handle);
    ff->is_open = ff->was_read = 0;
    ff->handle = NULL;
}

void hn_foreign_end(struct hn_foreign_file *ff)
{
    hn_foreign_close(ff);
    hn_file_close(&ff->f);
    hn_arena_clear(&ff->arena);
    memset(ff, 0, sizeof *ff);
}

static hone_status check_name(const struct hn_foreign_file *ff, int64_t j, struct hn_words *seen,
                              hone_error *err)
{
    const char *name = ff->form.columns[j];
    size_t n = name ? strnlen(name, NAME_MAX_BYTES) : NAME_MAX_BYTES;
    struct hn_shown s;
    if (n == NAME_MAX_BYTES)
        return hn_foreign_blame(
            ff, err, "gives column %lld (from 0) no name, or one that does not end", (long long)j);
    if (!hn_utf8_all(name, n))
        return hn_foreign_blame(ff, err,
                                "gives column %lld (from 0) the name '%s', which is not UTF-8",
                                (long long)j, hn_show(&s, name, n));
    int64_t id = hn_words_add(seen, name, n);
    if (id < 0) return hn_nomem(err, "the column names", n);
    if (id == j) return HONE_OK;
    return hn_foreign_blame(ff, err,
                            "calls columns %lld and %lld (from 0) both '%s', wanted "
                            "different names",
                            (long long)id, (long long)j, hn_show(&s, name, n));
}

static hone_status check_names(const struct hn_foreign_file *ff, hone_error *err)
{
    struct hn_mem *mem = ff->arena.mem;
    struct hn_arena arena;
    struct hn_words seen;
    hone_status st = HONE_OK;
    hn_arena_init(&arena, mem);
    hn_words_init(&seen, mem, &arena);
    for (int64_t j = 0; st == HONE_OK && j < ff->form.n_columns; j++)
        st = check_name(ff, j, &seen, err);
    hn_words_free(&seen);
    hn_arena_clear(&arena);
    return st;
}

static hone_status check_table(const struct hn_foreign_file *ff, hone_error *err)
{
    const hone_reader_form *form = &ff->form;
    if (form->n_columns < 1 || form->n_columns > COLUMNS_MAX)
        return hn_foreign_blame(ff, err, "found %lld columns, wanted 1 to %d",
                                (long long)form->n_columns, COLUMNS_MAX);
    if (!form->columns) return hn_foreign_blame(ff, err, "gives its columns no names (NULL)");
    if (form->rows < -1) return hn_foreign_blame(ff, err, "found %lld rows", (long long)form->rows);
    return check_names(ff, err);
}

static hone_status check_form(const struct hn_foreign_file *ff, hone_error *err)
{
    const hone_reader_form *form = &ff->form;
    if (form->kind == HONE_READER_TABLE) return check_table(ff, err);
    if (form->kind != HONE_READER_ARRAY)
        return hn_foreign_blame(ff, err, "found kind %d, wanted a table (%d) or an array (%d)",
                                form->kind, HONE_READER_TABLE, HONE_READER_ARRAY);
    int number = form->dtype >= HN_F32 && form->dtype <= HN_BF16 && form->dtype != HN_BOOL;
    if (!number || !hn_dtype_size((enum hn_dtype)form->dtype) || form->dtype == HN_C64 ||
        form->dtype == HN_C128)
        return hn_foreign_blame(ff, err, "found elements of type %d, wanted numbers", form->dtype);
    if (form->rank < 1 || form->rank > HN_MAX_RANK)
        return hn_foreign_blame(ff, err, "found %d dimensions, wanted 1 to %d", form->rank,
                                HN_MAX_RANK);
    return HONE_OK;
}

hone_status hn_foreign_open(struct hn_foreign_file *ff, hone_error *err)
{
    hone_error e = { .code = HONE_OK };
    ff->form = (hone_reader_form){ .size = sizeof ff->form, .rows = -1 };
    ff->handle = NULL;
    hone_status st = ff->by->reader->open(ff->by->host, &ff->file, &ff->form, &ff->handle, &e);
    if (st != HONE_OK) return pass_on(ff, st, &e, "open", err);
    ff->is_open = 1;
    st = check_form(ff, err);
    if (st != HONE_OK) hn_foreign_close(ff);
    return st;
}

hone_status hn_foreign_rewind(struct hn_foreign_file *ff, hone_error *err)
{
    int64_t columns = ff->form.n_columns;
    if (ff->is_open && !ff->was_read) return HONE_OK;
    hn_foreign_close(ff);
    HN_TRY(hn_foreign_open(ff, err));
    if (ff->form.kind == HONE_READER_TABLE && ff->form.n_columns == columns) return HONE_OK;
    return hn_foreign_blame(ff, err, "found %lld columns, and %lld when it was asked again",
                            (long long)columns, (long long)ff->form.n_columns);
}

hone_status hn_foreign_read(struct hn_foreign_file *ff, hone_reader_rows *rows, hone_error *err)
{
    hone_error e = { .code = HONE_OK };
    int table = ff->form.kind == HONE_READER_TABLE;
    *rows = (hone_reader_rows){ .size = sizeof *rows };
    ff->was_read = 1;
    hone_status st = ff->by->reader->read(ff->handle, rows, &e);
    if (st != HONE_OK) return pass_on(ff, st, &e, "read", err);
    if (rows->n < 0 || rows->n > BLOCK_ROWS)
        return hn_foreign_blame(ff, err, "gave a block of %lld rows, wanted 0 to %d",
                                (long long)rows->n, BLOCK_ROWS);
    if (rows->n && !(table ? (const void *)rows->cells : rows->data))
        return hn_foreign_blame(ff, err, "gave %lld rows without %s (NULL)", (long long)rows->n,
                                table ? "cells" : "data");
    return HONE_OK;
}

const char *hn_foreign_bad_cell(const hone_cell *c)
{
    if (c->type < HONE_CELL_MISSING || c->type > HONE_CELL_TEXT) return "a cell of no known type";
    if (c->type != HONE_CELL_TEXT || !c->length) return NULL;
    if (!c->value.text) return "a text at NULL";
    if (c->length > TEXT_MAX) return "a text of more than 1 GiB";
    if (memchr(c->value.text, 0, c->length)) return "a text with a NUL byte";
    return hn_utf8_all(c->value.text, c->length) ? NULL : "a text that is not UTF-8";
}

/* ---- arrays ---- */

static hone_status fill_array(struct hn_foreign_file *ff, struct hn_array *a, hone_error *err)
{
    hone_reader_rows rows;
    size_t bytes, row = (size_t)a->per_row * hn_dtype_size(a->dtype);
    void *p;
    int64_t got = 0;
    bytes = (size_t)a->rows * row;
    HN_TRY(hn_array_own(a, bytes, &p, err));
    for (;; got += rows.n) {
        HN_TRY(hn_foreign_read(ff, &rows, err));
        if (!rows.n) break;
        if (rows.n > a->rows - got)
            return hn_foreign_blame(ff, err, "gave more rows than the %lld it said",
                                    (long long)a->rows);
        memcpy((char *)p + (size_t)got * row, rows.data, (size_t)rows.n * row);
    }
    if (got == a->rows) return HONE_OK;
    return hn_foreign_blame(ff, err, "gave %lld rows, and had said %lld", (long long)got,
                            (long long)a->rows);
}

static hone_status take_array(struct hn_foreign_file *ff, const struct hn_source *src,
                              struct hn_array *a, hone_error *err)
{
    HN_TRY(hn_array_begin(a, src->mem, NULL, ff->path, err));
    hone_status st =
        hn_array_shape(a, (enum hn_dtype)ff->form.dtype, ff->form.rank, ff->form.dims, NULL, err);
    if (st == HONE_OK) st = fill_array(ff, a, err);
    if (st != HONE_OK) hn_array_close(a);
    return st;
}

/* ---- the two ways in ---- */

static void say(const struct hn_foreign_file *ff, const struct hn_source *src)
{
    hn_note_add(src->note, "%s: read by '%s' of plug-in '%s'", ff->path, ff->by->reader->name,
                ff->by->plugin);
}

/* The names of the columns as a CSV file has them: the plan of a table needs no more. */
static hone_status header_of(const struct hn_foreign_file *ff, struct hn_buffer *b, hone_error *err)
{
    for (int64_t j = 0; j < ff->form.n_columns; j++) {
        HN_TRY(hn_sink_str(&b->sink, j ? ",\"" : "\"", err));
        for (const char *p = ff->form.columns[j]; *p; p++)
            HN_TRY(b->sink.write(&b->sink, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1, err));
        HN_TRY(hn_sink_str(&b->sink, "\"", err));
    }
    return hn_sink_str(&b->sink, "\n", err);
}

static hone_status parse_table(struct hn_foreign_file *ff, const struct hn_source *src,
                               const struct hn_csv_options *o, struct hn_csv_part *parts,
                               size_t n_parts, hone_error *err)
{
    struct hn_csv_options options = { .header = HN_HEADER_YES };
    struct hn_source from = *src;
    struct hn_buffer header;
    if (o) options = *o;
    options.header = HN_HEADER_YES;
    options.delimiter = ',';
    from.path = ff->path;
    hn_buffer_init(&header, src->mem);
    hone_status st = header_of(ff, &header, err);
    const struct hn_csv_input in = { (const unsigned char *)header.p, header.n, ff };
    if (st == HONE_OK) st = hn_csv_parse_input(&from, &in, &options, parts, n_parts, err);
    hn_buffer_free(&header);
    return st;
}

hone_status hn_foreign_table(struct hn_foreign_file *ff, const struct hn_source *src,
                             const struct hn_csv_options *o, struct hn_csv_part *parts,
                             size_t n_parts, hone_error *err)
{
    say(ff, src);
    HN_TRY(hn_foreign_open(ff, err));
    if (ff->form.kind == HONE_READER_TABLE) return parse_table(ff, src, o, parts, n_parts, err);
    hone_status st = hn_fail(err, HONE_E_DATA, ff->path,
                             "reader '%s' of plug-in '%s' finds an array in it, wanted a table",
                             ff->by->reader->name, ff->by->plugin);
    return hn_hint(err, st, "--x takes arrays");
}

hone_status hn_foreign_array(struct hn_foreign_file *ff, const struct hn_source *src,
                             const struct hn_csv_options *o, struct hn_array *a, hone_error *err)
{
    struct hn_csv_part part = { .kind = HN_PART_EITHER };
    say(ff, src);
    HN_TRY(hn_foreign_open(ff, err));
    if (ff->form.kind == HONE_READER_ARRAY) return take_array(ff, src, a, err);
    HN_TRY(parse_table(ff, src, o, &part, 1, err));
    *a = part.array;
    return HONE_OK;
}
