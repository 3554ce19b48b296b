/* SPDX-License-Identifier: MIT
 *
 * One door for every data file. A plug-in's reader comes first; else the bytes decide (gzip, NPY, zip, IDX, formats that are refused by name); what is left
 * is a table of text. */
#include "plugin/data/foreign.h"

/* Formats people try. */
static const struct {
    const char *magic;
    size_t n;
    const char *what;
} strangers[] = {
    { "PAR1", 4, "a Parquet file" },        { "\x89HDF\r\n\x1a\n", 8, "an HDF5 file" },
    { "ARROW1", 6, "an Arrow file" },       { "SQLite format 3", 15, "an SQLite database" },
    { "\x80\x02", 2, "a Python pickle" },   { "\x80\x03", 2, "a Python pickle" },
    { "\x80\x04", 2, "a Python pickle" },   { "\x80\x05", 2, "a Python pickle" },
    { "\x28\xB5\x2F\xFD", 4, "zstd data" }, { "BZh", 3, "bzip2 data" },
    { "\xFD\x37zXZ", 5, "xz data" },        { "\x89PNG", 4, "a PNG picture" },
};

static int starts(const struct hn_file *f, const char *magic, size_t n)
{
    return f->n >= n && memcmp(f->p, magic, n) == 0;
}

/* "dir/a.npz:KEY" → "dir/a.npz" in out and KEY; without a key the whole path and NULL. */
static hone_status split_key(const char *path, struct hn_arena *arena, const char **out,
                             const char **key, hone_error *err)
{
    const char *last = NULL;
    for (const char *p = path; (p = strstr(p, ".npz:")); p++) last = p;
    *key = last && last[5] ? last + 5 : NULL;
    *out = *key ? hn_arena_strndup(arena, path, (size_t)(last + 4 - path)) : path;
    return *out ? HONE_OK : hn_nomem(err, "a path", strlen(path));
}

static hone_status parse(struct hn_array *a, const struct hn_source *src, struct hn_file *f,
                         const char *key, const struct hn_csv_options *csv, hone_error *err)
{
    const char *path = strcmp(src->path, "-") == 0 ? "standard input" : src->path;
    if (f->n == 0) return hn_fail(err, HONE_E_DATA, path, "the file is empty, wanted rows");
    if (key && !starts(f, "PK", 2)) return hn_fail(err, HONE_E_DATA, path, "is not a zip archive");
    if (starts(f, "\x93NUMPY", 6)) return hn_npy_parse(a, src->mem, f, path, err);
    if (starts(f, "PK\3\4", 4) || starts(f, "PK\5\6", 4))
        return hn_npz_parse(a, src->mem, f, path, key, err);
    if (starts(f, "\0\0", 2)) return hn_idx_parse(a, src->mem, f, path, err);
    for (size_t i = 0; i < HN_COUNT(strangers); i++)
        if (starts(f, strangers[i].magic, strangers[i].n))
            return hn_hint(
                err, hn_fail(err, HONE_E_DATA, path, "is %s, which is not read", strangers[i].what),
                "convert it to .csv, .npy, .npz or IDX, or give a plug-in that reads it "
                "(--plugin)");
    struct hn_csv_part part = { .kind = HN_PART_EITHER };
    HN_TRY(hn_csv_parse(src, f->p, f->n, csv, &part, 1, err));
    *a = part.array;
    return HONE_OK;
}

hone_status hn_array_open(struct hn_array *a, const struct hn_source *src, const char *name,
                          const struct hn_csv_options *csv, hone_error *err)
{
    struct hn_source from = *src;
    struct hn_foreign_file ff = { .by = NULL };
    struct hn_arena arena;
    const char *key;
    memset(a, 0, sizeof *a);
    hn_arena_init(&arena, src->mem);
    hone_status st = split_key(src->path, &arena, &from.path, &key, err);
    if (st == HONE_OK) st = hn_foreign_begin(&ff, &from, err);
    if (st == HONE_OK)
        st = ff.by ? hn_foreign_array(&ff, &from, csv, a, err)
                   : parse(a, &from, &ff.f, key, csv, err);
    hn_foreign_end(&ff);
    if (st == HONE_OK && !a->n_missing) st = hn_array_check_finite(a, err);
    if (st == HONE_OK && !(a->name = hn_arena_strdup(&a->arena, name ? name : "")))
        st = hn_nomem(err, "the name of an array", 0);
    hn_arena_clear(&arena);
    if (st != HONE_OK) hn_array_close(a);
    return st;
}
