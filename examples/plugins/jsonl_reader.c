/* SPDX-License-Identifier: MIT
 *
 * A plug-in of Hone that reads JSON Lines: an object a line, .jsonl or .ndjson, also gzipped.
 *
 *     cc -O2 -Wall -shared -fPIC -o jsonl_reader.so jsonl_reader.c -ljansson
 *
 * The first line's keys are the columns. A key that a later line lacks, or null, is a missing cell; true and false are 1 and
 * 0. A key that the first line has not, a list or an object is an error. */
#include <hone_plugin.h>
#include <jansson.h>
#include <string.h>

struct lines {
    const hone_host *host;
    const char *at, *end;
    long long line;
    json_t *first, *row; /* the first one's keys are the columns */
    const char **columns;
    hone_cell *cells;
    size_t n;
    int given; /* row has been handed out */
    char file[256];
};

static void close_lines(void *handle)
{
    struct lines *l = handle;
    const hone_host *host = l->host;
    json_decref(l->first);
    json_decref(l->row);
    host->release(host, l->columns);
    host->release(host, l->cells);
    host->release(host, l);
}

/* The next line that is not blank; *out stays NULL at the end. */
static hone_status next_object(struct lines *l, json_t **out, hone_error *err)
{
    json_error_t why;
    while (!*out && l->at < l->end) {
        const char *newline = memchr(l->at, '\n', (size_t)(l->end - l->at)), *p = l->at;
        const char *stop = newline ? newline : l->end;
        l->at = newline ? newline + 1 : l->end;
        l->line++;
        while (p < stop && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
        if (p == stop) continue;
        *out = json_loadb(p, (size_t)(stop - p), 0, &why);
        if (!*out)
            return l->host->fail(err, HONE_E_DATA, l->file, "line %lld: %s", l->line, why.text);
        if (!json_is_object(*out))
            return l->host->fail(err, HONE_E_DATA, l->file, "line %lld: found no object", l->line);
    }
    return HONE_OK;
}

static hone_status find_columns(struct lines *l, hone_error *err)
{
    size_t k = 0;
    const char *key;
    json_t *value;
    hone_status st = next_object(l, &l->first, err);
    if (st != HONE_OK) return st;
    l->n = json_object_size(l->first);
    if (!l->n)
        return l->host->fail(err, HONE_E_DATA, l->file, "found no columns in its first line");
    l->columns = l->host->alloc(l->host, l->n * sizeof *l->columns);
    l->cells = l->host->alloc(l->host, l->n * sizeof *l->cells);
    if (!l->columns || !l->cells) return l->host->fail(err, HONE_E_NOMEM, l->file, "out of memory");
    json_object_foreach(l->first, key, value) l->columns[k++] = key;
    l->row = json_incref(l->first);
    return HONE_OK;
}

static hone_status open_lines(const hone_host *host, const hone_reader_file *f,
                              hone_reader_form *form, void **handle, hone_error *err)
{
    struct lines *l = host->alloc(host, sizeof *l);
    if (!l) return host->fail(err, HONE_E_NOMEM, f->name, "out of memory");
    memset(l, 0, sizeof *l);
    l->host = host;
    l->at = f->bytes;
    l->end = l->at + f->n_bytes;
    strncpy(l->file, f->name, sizeof l->file - 1);
    hone_status st = find_columns(l, err);
    if (st != HONE_OK) {
        close_lines(l);
        return st;
    }
    form->kind = HONE_READER_TABLE;
    form->n_columns = (int64_t)l->n;
    form->columns = l->columns;
    *handle = l;
    return HONE_OK;
}

static int set_cell(hone_cell *c, const json_t *v)
{
    *c = (hone_cell){ .type = HONE_CELL_MISSING };
    if (json_is_integer(v))
        c->type = HONE_CELL_WHOLE, c->value.whole = json_integer_value(v);
    else if (json_is_boolean(v))
        c->type = HONE_CELL_WHOLE, c->value.whole = json_is_true(v);
    else if (json_is_real(v))
        c->type = HONE_CELL_NUMBER, c->value.number = json_real_value(v);
    else if (json_is_string(v))
        c->type = HONE_CELL_TEXT, c->value.text = json_string_value(v),
        c->length = json_string_length(v);
    return !json_is_array(v) && !json_is_object(v);
}

static hone_status read_line(void *handle, hone_reader_rows *rows, hone_error *err)
{
    struct lines *l = handle;
    size_t found = 0;
    if (l->given) { /* its texts were ours until now */
        json_decref(l->row);
        l->row = NULL;
        hone_status st = next_object(l, &l->row, err);
        if (st != HONE_OK) return st;
    }
    l->given = 1;
    if (!l->row) return HONE_OK;
    for (size_t i = 0; i < l->n; i++) {
        const json_t *v = json_object_get(l->row, l->columns[i]);
        found += v != NULL;
        if (!set_cell(&l->cells[i], v))
            return l->host->fail(err, HONE_E_DATA, l->file,
                                 "line %lld, '%s': found a list or an object, wanted a value",
                                 l->line, l->columns[i]);
    }
    if (found != json_object_size(l->row))
        return l->host->fail(err, HONE_E_DATA, l->file,
                             "line %lld: found a key that the first line has not", l->line);
    rows->n = 1;
    rows->cells = l->cells;
    return HONE_OK;
}

static const char *const extensions[] = { ".jsonl", ".ndjson", NULL };
static const hone_reader reader = {
    .size = sizeof reader,
    .name = "jsonl",
    .extensions = extensions,
    .open = open_lines,
    .read = read_line,
    .close = close_lines,
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
    .id = "hone.example.jsonl",
    .version = "1.0",
    .license = "MIT",
    .init = init,
};
