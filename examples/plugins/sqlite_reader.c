/* SPDX-License-Identifier: MIT
 *
 * A plug-in of Hone that reads a table (or view) of an SQLite database: FILE.db, or FILE.db:TABLE where there are several.
 *
 *     cc -O2 -Wall -shared -fPIC -o sqlite_reader.so sqlite_reader.c -lsqlite3
 *
 * NULL is a missing cell, numbers stay numbers, texts are what cells of a CSV file would be; a BLOB is an error. */
#include <hone_plugin.h>
#include <sqlite3.h>
#include <string.h>

struct table {
    const hone_host *host;
    const char *name; /* of the file, for messages */
    sqlite3 *db;
    sqlite3_stmt *rows;
    const char **columns; /* and their texts behind them */
    hone_cell *cells;     /* of one row */
    int n;
    long long row;
    char file[256];
};

static void close_table(void *handle)
{
    struct table *t = handle;
    const hone_host *host = t->host;
    sqlite3_finalize(t->rows);
    sqlite3_close(t->db);
    host->release(host, t->columns);
    host->release(host, t->cells);
    host->release(host, t);
}

static hone_status failed(const struct table *t, hone_error *err)
{
    return t->host->fail(err, sqlite3_errcode(t->db) == SQLITE_NOMEM ? HONE_E_NOMEM : HONE_E_DATA,
                         t->file, "SQLite says: %s", sqlite3_errmsg(t->db));
}

/* The file itself, so that a write-ahead log beside it is seen, too; else its bytes. */
static int open_database(struct table *t, const hone_reader_file *f)
{
    int rc = sqlite3_open_v2(f->path ? f->path : ":memory:", &t->db,
                             f->path ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, NULL);
    if (rc != SQLITE_OK || f->path) return rc;
    return sqlite3_deserialize(t->db, "main", (unsigned char *)f->bytes, (sqlite3_int64)f->n_bytes,
                               (sqlite3_int64)f->n_bytes, SQLITE_DESERIALIZE_READONLY);
}

/* The only table there is. */
static hone_status only_table(struct table *t, char **name, hone_error *err)
{
    sqlite3_stmt *s = NULL;
    const char *sql = "SELECT name, count(*), group_concat(name, ', ') FROM sqlite_schema WHERE "
                      "type = 'table' AND "
                      "name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    hone_status st = HONE_OK;
    if (sqlite3_prepare_v2(t->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        st = failed(t, err);
    else if (sqlite3_column_int(s, 1) == 1)
        *name = sqlite3_mprintf("%s", sqlite3_column_text(s, 0));
    else
        st = t->host->fail(
            err, HONE_E_DATA, t->file,
            "found %d tables (%.200s), wanted one, or its name behind the file's: FILE.db:TABLE",
            sqlite3_column_int(s, 1),
            sqlite3_column_int(s, 1) ? (const char *)sqlite3_column_text(s, 2) : "");
    sqlite3_finalize(s);
    return st;
}

static hone_status prepare(struct table *t, const char *key, hone_error *err)
{
    char *name = key ? sqlite3_mprintf("%s", key) : NULL;
    hone_status st = key ? HONE_OK : only_table(t, &name, err);
    char *sql = name ? sqlite3_mprintf("SELECT * FROM \"%w\"", name) : NULL;
    if (st == HONE_OK && !sql) st = t->host->fail(err, HONE_E_NOMEM, t->file, "out of memory");
    if (st == HONE_OK && sqlite3_prepare_v2(t->db, sql, -1, &t->rows, NULL) != SQLITE_OK)
        st = failed(t, err);
    sqlite3_free(sql);
    sqlite3_free(name);
    return st;
}

static hone_status copy_columns(struct table *t, hone_error *err)
{
    size_t bytes = 0;
    t->n = sqlite3_column_count(t->rows);
    for (int i = 0; i < t->n; i++)
        bytes += sizeof *t->columns + strlen(sqlite3_column_name(t->rows, i)) + 1;
    t->columns = t->host->alloc(t->host, bytes);
    t->cells = t->host->alloc(t->host, (size_t)t->n * sizeof *t->cells);
    if (!t->columns || !t->cells) return t->host->fail(err, HONE_E_NOMEM, t->file, "out of memory");
    char *text = (char *)(t->columns + t->n);
    for (int i = 0; i < t->n; i++) {
        const char *name = sqlite3_column_name(t->rows, i);
        t->columns[i] = memcpy(text, name, strlen(name) + 1);
        text += strlen(name) + 1;
    }
    return HONE_OK;
}

static hone_status open_table(const hone_host *host, const hone_reader_file *f,
                              hone_reader_form *form, void **handle, hone_error *err)
{
    struct table *t = host->alloc(host, sizeof *t);
    if (!t) return host->fail(err, HONE_E_NOMEM, f->name, "out of memory");
    memset(t, 0, sizeof *t);
    t->host = host;
    strncpy(t->file, f->name, sizeof t->file - 1);
    hone_status st = open_database(t, f) == SQLITE_OK ? HONE_OK : failed(t, err);
    if (st == HONE_OK) st = prepare(t, f->key, err);
    if (st == HONE_OK) st = copy_columns(t, err);
    if (st != HONE_OK) {
        close_table(t);
        return st;
    }
    form->kind = HONE_READER_TABLE;
    form->n_columns = t->n;
    form->columns = t->columns;
    *handle = t;
    return HONE_OK;
}

/* One row at a time: its texts are SQLite's until the next one. */
static hone_status read_row(void *handle, hone_reader_rows *rows, hone_error *err)
{
    struct table *t = handle;
    int rc = sqlite3_step(t->rows);
    if (rc == SQLITE_DONE) return HONE_OK;
    if (rc != SQLITE_ROW) return failed(t, err);
    t->row++;
    for (int i = 0; i < t->n; i++) {
        hone_cell c = { .type = HONE_CELL_MISSING };
        switch (sqlite3_column_type(t->rows, i)) {
        case SQLITE_NULL: break;
        case SQLITE_INTEGER:
            c.type = HONE_CELL_WHOLE, c.value.whole = sqlite3_column_int64(t->rows, i);
            break;
        case SQLITE_FLOAT:
            c.type = HONE_CELL_NUMBER, c.value.number = sqlite3_column_double(t->rows, i);
            break;
        case SQLITE_TEXT:
            c.type = HONE_CELL_TEXT;
            c.value.text = (const char *)sqlite3_column_text(t->rows, i);
            c.length = (size_t)sqlite3_column_bytes(t->rows, i);
            if (!c.value.text) return failed(t, err);
            break;
        default:
            return t->host->fail(err, HONE_E_DATA, t->file,
                                 "row %lld, column '%s': found a BLOB, wanted a number or text",
                                 t->row, t->columns[i]);
        }
        t->cells[i] = c;
    }
    rows->n = 1;
    rows->cells = t->cells;
    return HONE_OK;
}

static const char *const extensions[] = { ".db", ".sqlite", ".sqlite3", NULL };
static const hone_reader reader = {
    .size = sizeof reader,
    .name = "sqlite",
    .magic = "SQLite format 3", /* and a NUL byte */
    .magic_size = 16,
    .extensions = extensions,
    .open = open_table,
    .read = read_row,
    .close = close_table,
};

static hone_status init(const hone_host *host, void **state, hone_error *err)
{
    const hone_reader_interface *readers = host->get_interface(host, "hone.reader/1");
    *state = NULL;
    if (!readers)
        return host->fail(err, HONE_E_USAGE, NULL, "this Hone (%s) takes no readers",
                          host->version);
    return readers->add(host, &reader, err);
}

HONE_PLUGIN_EXPORT extern const hone_plugin hone_plugin_v1;
const hone_plugin hone_plugin_v1 = {
    .size = sizeof(hone_plugin),
    .abi_major = HONE_PLUGIN_MAJOR,
    .abi_minor = HONE_PLUGIN_MINOR,
    .id = "hone.example.sqlite",
    .version = "1.0",
    .license = "MIT",
    .init = init,
};
