/* SPDX-License-Identifier: MIT
 *
 * The seam between a study and a database: seven calls that carry SQL of the common subset of SQLite and PostgreSQL (arguments
 * $1, $2, …; INSERT … ON CONFLICT; columns BIGINT, DOUBLE PRECISION, TEXT). What differs between databases (how a transaction
 * that will write begins, time limits, how a file is recognised) is behind it, and so are clocks and servers that
 * go away. Only the file of a store sees its library. */
#ifndef HN_STORE_H
#define HN_STORE_H

#include "ops/base/status.h"
#include "plugin/internal.h"

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

enum hn_store_open {
    HN_STORE_MAKE, /* what is not there is made */
    HN_STORE_USE,  /* it must be there */
    HN_STORE_READ  /* it must be there, need not be writable, and stays as it is to the bit */
};

struct hn_store;
struct hn_store_kind {
    const char *name;
    /* Opens and begins a transaction: what is there can be looked at and made ready in one piece. HONE_E_USAGE when something
     * is there that Hone did not write. */
    hone_status (*open)(hone_context *ctx, const char *where, enum hn_store_open how,
                        struct hn_store **out, hone_error *err);
    void (*close)(struct hn_store *s);
    hone_status (*begin)(struct hn_store *s,
                         hone_error *err); /* to write: nobody else does until the end */
    hone_status (*commit)(struct hn_store *s, hone_error *err); /* durable on return */
    void (*rollback)(struct hn_store *s);                       /* harmless without begin */
    /* Outside of a transaction to read only. */
    hone_status (*query)(struct hn_store *s, const struct hn_query *q, hone_error *err);
    /* After a transaction that failed and was rolled back: 1 when the reason has passed (a server that went away is back),
     * so that the whole of it should be run once more. NULL: never. May wait; on 0 err may say more. */
    int (*again)(struct hn_store *s, hone_error *err);
};
struct hn_store { /* the first member of a store's own struct */
    const struct hn_store_kind *kind;
    int fresh;      /* open found nothing: the tables are still to be made */
    int64_t now_ms; /* of the transaction: the clock all workers go by, ms since 1970 */
    int64_t
        since_ms; /* the database has been up since then: nobody could renew a lease before. 0: always */
};
extern const struct hn_store_kind hn_store_sqlite, hn_store_postgres;

/* "postgresql://…" or "postgres://…", what libpq calls a connection URI? All else is a file. */
int hn_store_is_uri(const char *where);
/* An address as messages and files may show it: without passwords and options. NULL: out of memory. */
const char *hn_store_shown(struct hn_arena *a, const char *where);
/* What hone_doctor says: a version, or why there is none. */
const char *hn_sqlite_version(void);
const char *hn_postgres_version(char buf[32]);

/* A URI taken apart (store_uri.c). */
struct hn_uri {
    char *libpq;    /* what libpq is given: without the options that are Hone's. Secret. */
    char *shown;    /* without password */
    char *name;     /* hone_study=NAME, else "study" */
    char *schema;   /* "hone_NAME" */
    int64_t wait_s; /* hone_wait=SECONDS: how long to wait for a server that went away; else 600 */
};
hone_status hn_uri_read(struct hn_arena *a, const char *where, struct hn_uri *u, hone_error *err);
#endif
