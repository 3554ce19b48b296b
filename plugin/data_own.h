/* SPDX-License-Identifier: MIT
 *
 * What the files that open data share: data_open.c, data_table.c. */
#ifndef HN_DATA_OWN_H
#define HN_DATA_OWN_H

#include "plugin/data_open.h"

struct hn_opener {
    hone_context *ctx;
    const hone_model *model;
    const hone_params *params;
    hone_data *d;
    struct hn_csv_options csv, table; /* table: of --data, which may be encoded */
    struct hn_note note;
    int role;
    int weight_column, group_column; /* --sample-weights, --group is a column of --data */
    int by_name;                     /* --data fed each input from the column of its name */
    const char *na[64], *ignore[1024];
};

/* data_open.c */
struct hn_source hn_opener_source(struct hn_opener *o, const char *path);
/* Does a file of this name lie there? Of "dir/a.npz:KEY" the part before the colon is the file. */
int hn_opener_is_file(const struct hn_opener *o, const char *text);
/* What --val-sample-weights or --test-sample-weights names for the role at work; "" for the training rows. */
const char *hn_opener_weights(const struct hn_opener *o);

/* data_table.c: the table at path into the arrays of the role at work. */
hone_status hn_open_table(struct hn_opener *o, const char *path, hone_error *err);
#endif
