/* SPDX-License-Identifier: MIT
 *
 * The seam between a study and a database: six calls that carry SQL of the common subset of SQLite and PostgreSQL (arguments
 * $1, $2, …; INSERT … ON CONFLICT; columns BIGINT, DOUBLE PRECISION, TEXT). What differs between databases (how a transaction
 * that will write begins, time limits, how a file is recognised) is behind it. Only the file of a store sees its library. */
#ifndef HN_STORE_H
#define HN_STORE_H

#include "ops/base/io.h"
#include "ops/base/status.h"

enum hn_cell_type { HN_CELL_NULL, HN_CELL_INT, HN_CELL_REAL, HN_CELL_TEXT };
struct hn_cell {
    enum hn_cell_type type;
    int64_t i;
    double d;
    const char *s; /* of a row: valid during the call */
};
#define HN_INT(v)  ((struct hn_cell){ .type = HN_CELL_INT, .i = (v) })
#define HN_REAL(v) ((struct hn_cell){ .type = HN_CELL_REAL, .d = (v) })
#define HN_TEXT(v) ((struct hn_cell){ .type = HN_CELL_TEXT, .s = (v) })
#define HN_NULL    ((struct hn_cell){ .type = HN_CELL_NULL })

struct hn_query {
    const char *sql;            /* one statement */
    const struct hn_cell *args; /* $1 … */
    int n_args;
    /* For each row; HONE_OK to go on. NULL: rows are not wanted. */
    hone_status (*row)(void *user, const struct hn_cell *cells, int n, hone_error *err);
    void *user;
    int64_t *changed; /* rows changed; NULL: not wanted */
};

struct hn_store;
struct hn_store_kind {
    const char *name;
    /* Opens or, unless must_exist, creates. HONE_E_USAGE when something is there that Hone did not write. */
    hone_status (*open)(struct hn_mem *m, const struct hn_io *io, const char *where, int must_exist,
                        struct hn_store **out, hone_error *err);
    void (*close)(struct hn_store *s);
    hone_status (*begin)(struct hn_store *s,
                         hone_error *err); /* to write: nobody else does until the end */
    hone_status (*commit)(struct hn_store *s, hone_error *err); /* durable on return */
    void (*rollback)(struct hn_store *s);                       /* harmless without begin */
    hone_status (*query)(struct hn_store *s, const struct hn_query *q, hone_error *err);
};
struct hn_store { /* the first member of a store's own struct */
    const struct hn_store_kind *kind;
};
extern const struct hn_store_kind hn_store_sqlite;
#endif
