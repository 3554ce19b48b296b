/* SPDX-License-Identifier: MIT
 *
 * Files that a plug-in reads (plugin/hone_plugin.h). Nothing a reader hands over is believed: forms, counts, pointers and
 * texts are looked at before they are used, and what is wrong is said with the reader's name. */
#ifndef HN_FOREIGN_H
#define HN_FOREIGN_H

#include "hone_plugin.h"
#include "plugin/data/internal.h"

/* A reader, and what it is called with. A list in the order they were given. */
struct hn_foreign {
    const hone_reader *reader;
    const hone_host *host;
    const char *plugin; /* its id, for messages */
    struct hn_foreign *next;
};

/* The KEY of "FILE.ext:KEY" where a reader of the list has claimed .ext, else NULL. */
const char *hn_foreign_key(const struct hn_foreign *list, const char *path);

/* A file's contents, and the reader that claims it; by NULL: none does. */
struct hn_foreign_file {
    struct hn_file f; /* inflated */
    struct hn_arena arena;
    const char *path; /* without the key */
    const struct hn_foreign *by;
    hone_reader_file file;
    hone_reader_form form;
    void *handle;
    int is_open, was_read;
};
/* Opens src's file. On failure nothing is open; close is safe on a zeroed struct. */
hone_status hn_foreign_begin(struct hn_foreign_file *ff, const struct hn_source *src,
                             hone_error *err);
void hn_foreign_end(struct hn_foreign_file *ff);

/* The parts of a table, as hn_csv_parse. An array is refused. */
hone_status hn_foreign_table(struct hn_foreign_file *ff, const struct hn_source *src,
                             const struct hn_csv_options *o, struct hn_csv_part *parts,
                             size_t n_parts, hone_error *err);
/* The whole of it, as hn_array_open: an array, or a table's columns. */
hone_status hn_foreign_array(struct hn_foreign_file *ff, const struct hn_source *src,
                             const struct hn_csv_options *o, struct hn_array *a, hone_error *err);

/* The steps of both, for foreign_rows.c and checks: open and close; from the first row on; the next block, n 0 at the end; an
 * error of the reader's. */
hone_status hn_foreign_open(struct hn_foreign_file *ff, hone_error *err);
void hn_foreign_close(struct hn_foreign_file *ff);
const char *hn_foreign_bad_cell(const hone_cell *c); /* "a text at NULL"; NULL: it is fine */
/* foreign_rows.c: a cell as a CSV file would have it, a number's digits in buf; returns what hn_foreign_bad_cell does. */
enum { HN_FOREIGN_NUMBER = 32 };
struct hn_csv_cell;
const char *hn_foreign_text(const hone_cell *in, struct hn_csv_cell *c,
                            char buf[HN_FOREIGN_NUMBER]);
hone_status hn_foreign_rewind(struct hn_foreign_file *ff, hone_error *err);
hone_status hn_foreign_read(struct hn_foreign_file *ff, hone_reader_rows *rows, hone_error *err);
hone_status hn_foreign_blame(const struct hn_foreign_file *ff, hone_error *err, const char *fmt,
                             ...) __attribute__((format(printf, 3, 4)));
#endif
