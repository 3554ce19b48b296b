/* SPDX-License-Identifier: MIT
 *
 * What a person sees of a search: the table of the best trials, at the end and, with a bar under it, while it runs. */
#ifndef HONE_TUNE_TABLE_H
#define HONE_TUNE_TABLE_H

#include "tools/cli.h"

/* tune_table.c */
struct trial_row {
    char label[24];    /* "21", "0 default", "imported" */
    double value, std; /* NaN: none */
    double epochs, seconds;
    char state[12]; /* shown where there is no value */
    char **setting; /* n_names texts; NULL: not set */
};
struct trial_table {
    char *monitor;
    char **names; /* of the settings */
    size_t n_names;
    struct trial_row *rows; /* in the order they are shown */
    size_t n_rows;
};

void trial_table_free(struct trial_table *t); /* a zeroed one is fine */
/* The index of the setting, added when it is new; -1: no memory. */
int trial_table_name(struct trial_table *t, const char *name, size_t length);
/* A new row at position `at`, its settings empty; NULL: no memory. */
struct trial_row *trial_table_insert(struct trial_table *t, size_t at);
void trial_table_drop(struct trial_table *t, size_t row);
/* A setting as it is shown: reals with four digits. NULL: no memory. */
char *setting_text(const char *text);
/* The best `shown` trials of a result, and the imported model. 0: no memory. */
int trial_table_of(struct trial_table *t, const json_t *result, size_t shown);
/* Settings that are the same in all rows stand once, under the table; the others have a column each where `width` columns
 * allow it (0: any), else they are listed at the end of the row. cut: one line a row, what does not fit goes; else lists go on
 * in lines of their own. best: how the first row begins and ends on a terminal with colours; NULL: plainly. */
void trial_table_print(FILE *f, const struct trial_table *t, int width, int cut,
                       const char *const best[2]);
int text_width(const char *s); /* code points */
/* Lines broken between words where they are longer than width columns (0: not at all), the rest indented. */
void print_wrapped(FILE *f, const char *text, int width);

/* live.c */
struct live;
/* Columns of a terminal behind the file, at least 20; 0: it is none. */
int terminal_width(FILE *f);
/* NULL: no memory. What is printed in between goes between live_hide and the next draw. */
struct live *live_start(const char *monitor, int colour);
void live_trial(struct live *l, const hone_trial *t);
void live_hide(void *live);
void live_end(struct live *l); /* takes the table from the screen; NULL is fine */
#endif
