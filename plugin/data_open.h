/* SPDX-License-Identifier: MIT
 *
 * The insides of hone_data: for each role the input and target arrays with the model value each is meant for. */
#ifndef HN_DATA_OPEN_H
#define HN_DATA_OPEN_H

#include "plugin/data/data.h"
#include "plugin/internal.h"
#include "plugin/kept.h"

struct hn_named_array {
    char *value; /* model input or output this is for; NULL: by position */
    struct hn_array a;
};
struct hn_role_data {
    struct hn_named_array *x, *y;
    size_t n_x, n_y, cap_x, cap_y;
    struct hn_array group;  /* which group each row is of; rows 0: none */
    int group_apart;        /* it is no column of the table */
    struct hn_array weight; /* one number a row; rows 0: none */
};
/* of such arrays, for messages and fingerprints */
#define HN_WEIGHTS_NAME "sample-weights"
#define HN_GROUPS_NAME  "groups"
struct hn_device;
struct hn_given_rows { /* rows of one role: in which role's arrays, and which of them */
    const uint32_t *rows;
    int64_t n; /* 0: the role has none */
    int set;
};
enum { HN_TABLES = 256 }; /* x arrays that may come from a table */
/* Which sessions over the data say what losses and classes they found: all but judging ones; in a search the one that judges
 * the imported model at its beginning, then none. */
enum hn_saying { HN_SAY_UNLESS_JUDGING, HN_SAY, HN_SAY_NOTHING };

struct hone_data {
    hone_context *ctx;
    struct hn_role_data role[HN_ROLES];
    const struct hn_given_rows *given; /* of all roles (a fold); NULL: the session draws them */
    const struct hn_device *device;    /* to run on, stays open; NULL: the session opens its own */
    struct hn_kept
        *kept; /* by whoever opens sessions over these arrays and rows; NULL: nothing is */
    struct hn_arena arena;
    struct hn_cells *cells; /* of the training table, for predict --with-input; NULL: none */
    /* the columns of each x array of a table and how they become numbers; n_columns 0: as they are. asked: --encode or --impute,
     * fills are for a session to compute; known: the model's metadata say how, fills included */
    struct hn_recipe recipe[HN_TABLES];
    uint8_t table_asked, table_known;
    uint8_t table_changed;     /* what the model knows of its table is another now */
    struct hn_markers markers; /* of missing cells in tables; n 0: the usual ones */
    char decimal;              /* ',': of numbers in tables */
    enum hn_saying saying;
};

/* table.c, in this order: options of the readers; before the training table is read, for its i-th x array; after any table was. */
hone_status hn_table_options(hone_data *d, const hone_params *p, const hone_model *m,
                             struct hn_csv_options *o, hone_error *err);
hone_status hn_table_known(hone_data *d, const hone_model *m, size_t i, const char *input,
                           enum hn_dtype real, hone_error *err);
hone_status hn_table_settle(hone_data *d, size_t i, int role, int by_order, struct hn_array *a,
                            hone_error *err);

/* shared_ids.c: between both, when the training table's arrays are there: columns of one table of the model share their categories. */
hone_status hn_table_share(hone_data *d, const hone_model *m, const hone_params *p,
                           hone_error *err);

/* index_elements.c: see for each element of graph input `input` and each table that it is looked up in. */
struct hn_lookup {
    int64_t element, rows; /* of the table */
    const char *table;
    int named;   /* it is a tensor of the file, or computed from one */
    int changed; /* not the element itself, but what is computed from it */
};
struct hn_lookups {
    hone_status (*see)(void *user, const struct hn_lookup *at, hone_error *err);
    void *user;
};
hone_status hn_model_lookups(hone_model *m, size_t input, struct hn_lookups *each, hone_error *err);

/* feed.c: is graph input i one row for all, [1, ...] in the file beside an input with an open batch? */
int hn_input_is_one_row(const struct hn_graph *g, size_t i);
int64_t hn_role_rows(const struct hn_role_data *r); /* 0: the role has no data */
/* A place for one more array, zeroed; the list owns it from now on. */
hone_status hn_role_add(struct hn_mem *m, struct hn_role_data *r, int is_target, const char *value,
                        struct hn_named_array **out, hone_error *err);
/* Gives up the arrays behind the first n_x inputs and n_y targets. */
void hn_role_keep(struct hn_mem *m, struct hn_role_data *r, size_t n_x, size_t n_y);
/* Inputs and targets have rows, and as many of each. */
hone_status hn_role_check(const struct hn_role_data *r, hone_role role, hone_error *err);
#endif
