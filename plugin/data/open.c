/* SPDX-License-Identifier: MIT
 *
 * One door for every data file. The bytes decide first (gzip, NPY, zip, IDX, formats that are not read), then the name;
 * what is left is text. */
#include "plugin/data/internal.h"

/* Formats people try, and what to do about them. */
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
    { "\xFD" "7zXZ", 5, "xz data" },        { "\x89PNG", 4, "a PNG picture" },
};

static int starts(const struct hn_file *f, const char *magic, size_t n)
{
    return f->n >= n && memcmp(f->p, magic, n) == 0;
}

/* "dir/a.npz:KEY" → the length of "dir/a.npz" and KEY; without a key the whole length and NULL. */
static size_t split_key(const char *path, const char **key)
{
    const char *last = NULL;
    for (const char *p = path; (p = strstr(p, ".npz:")); p++) last = p;
    *key = last && last[5] ? last + 5 : NULL;
    return *key ? (size_t)(last + 4 - path) : strlen(path);
}

/* A table of which everything is wanted: numbers, or one column of text. */
static hone_status parse_table(struct hn_array *a, const struct hn_source *src, struct hn_file *f, const char *name,
                               const struct hn_csv_options *csv, hone_error *err)
{
    struct hn_csv_options o = { 0 };
    static const char *const first[] = { "0" };
    struct hn_csv_part part = { .name = name };
    if (csv) o = *csv;
    hone_status st = hn_csv_parse(src, f->p, f->n, &o, &part, 1, err);
    if (st == HONE_OK || !part.columns) {
        hone_error other;
        struct hn_source quiet = *src;
        quiet.note = NULL;
        if (st == HONE_E_DATA && !csv) { /* one column of labels? */
            struct hn_csv_part values = { .name = name, .kind = HN_PART_VALUES, .columns = first, .n_columns = 1 };
            struct hn_csv_part all = { .name = name, .kind = HN_PART_VALUES };
            (void)values;
            if (hn_csv_parse(&quiet, f->p, f->n, &o, &all, 1, &other) == HONE_OK) {
                *a = all.array;
                return HONE_OK;
            }
        }
    }
    *a = part.array;
    return st;
}
