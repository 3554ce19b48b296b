/* SPDX-License-Identifier: MIT
 *
 * A study in a PostgreSQL database, for workers on many machines: a schema "hone_NAME" a study. Transactions of one study are
 * serialized by an advisory lock, which they hold from beginning to end; times are the server's.
 *
 * A server that goes away is waited for: the transaction is run again when it is back. Whether one whose commit was not
 * answered has happened is not guessed: each writes its number into a row of its worker (table hone_commit), and that is read,
 * under the lock, so that an old backend that still works on it has ended.
 *
 * Without libpq at build time there is only a message. */
#include "plugin/tune/store.h"
#ifdef HN_POSTGRES
#include "ops/base/json.h"
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

enum { BUSY_S = 300, AGAIN = 20, OLDEST = 100000 };
enum {
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700
};

struct postgres {
    struct hn_store store;
    hone_context *ctx;
    struct hn_arena arena;
    struct hn_uri at;
    PGconn *c;
    long long key; /* of the advisory lock */
    char worker[64];
    long long number; /* of the transaction begun last */
    int reading;      /* opened to read: no lock, no word of ours in it */
    int busy;         /* a transaction has begun */
    int gone;         /* the connection is of no use */
    int passing;      /* the last failure: it may go well another time */
    int tries;        /* of the same transaction */
};

/* ---- what went wrong ---------------------------------------------------------------------------------------------------- */

/* libpq's text on one line. */
static void one_line(char *to, size_t size, const char *text)
{
    size_t n = 0;
    for (; *text && n + 3 < size; text++) {
        int end = *text == '\n';
        if (!end)
            to[n++] = *text == '\t' ? ' ' : *text;
        else if (text[1] && n)
            to[n++] = ';', to[n++] = ' ';
    }
    to[n] = '\0';
}

static int state_is(const char *state, const char *list)
{
    return state && strstr(list, state) != NULL;
}

/* Has the server, or the way to it, gone? An error without a state is libpq's own: it could not send or read, whatever
 * PQstatus says. 57P0x: the server shuts down, crashed, starts; 25P03: it took us for dead. */
static int is_gone(const char *state)
{
    return !state || !strncmp(state, "08", 2) || state_is(state, "57P01 57P02 57P03 25P03");
}

static hone_status not_a_study(struct postgres *p, hone_error *err)
{
    hone_status st = hn_fail(err, HONE_E_USAGE, p->at.shown,
                             "schema \"%s\" is there and is no study", p->at.schema);
    return hn_hint(err, st, "another name: hone_study=NAME");
}

static hone_status no_rights(struct postgres *p, const char *action, const char *text,
                             hone_error *err)
{
    hone_status st = hn_fail(err, HONE_E_IO, p->at.shown, "cannot %s: %s", action, text);
    return hn_hint(
        err, st,
        "the first worker's role needs CREATE on the database, or a schema \"%s\" of its "
        "own; the others USAGE on the schema and all rights on its tables",
        p->at.schema);
}

static hone_status failed(struct postgres *p, const PGresult *r, const char *action,
                          hone_error *err)
{
    char text[300];
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    one_line(text, sizeof text, primary ? primary : PQerrorMessage(p->c));
    p->gone = is_gone(state);
    p->passing = p->gone || state_is(state, "40001 40P01");
    if (p->gone)
        return hn_fail(err, HONE_E_IO, p->at.shown, "cannot %s: the server has gone: %s", action,
                       text);
    if (state_is(state, "55P03"))
        return hn_fail(err, HONE_E_IO, p->at.shown,
                       "cannot %s: another worker has held the study for %d seconds", action,
                       BUSY_S);
    if (state_is(state, "42501"))
        return hn_hint(
            err, hn_fail(err, HONE_E_IO, p->at.shown, "cannot %s: %s", action, text),
            "the first worker's role needs CREATE on the database, or a schema \"%s\" of "
            "its own; the others USAGE on the schema and all rights on its tables",
            p->at.schema);
    if (state_is(state, "42P01 42703")) return not_a_study(p, err);
    if (state_is(state, "53100"))
        return hn_fail(err, HONE_E_IO, p->at.shown, "cannot %s: the server's disk is full", action);
    return hn_fail(err, HONE_E_IO, p->at.shown, "cannot %s: %s", action, text);
}

/* ---- connection --------------------------------------------------------------------------------------------------------- */

static void quiet(void *user, const char *text) { (void)user, (void)text; }

static hone_status run(struct postgres *p, const char *action, hone_error *err, const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));

/* Statements, or one with a result: *r is the last one's, the caller's. */
static hone_status exec(struct postgres *p, const char *sql, const char *action, PGresult **r,
                        hone_error *err)
{
    *r = PQexec(p->c, sql);
    ExecStatusType st = PQresultStatus(*r);
    if (st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK) return HONE_OK;
    hone_status failure = failed(p, *r, action, err);
    PQclear(*r);
    *r = NULL;
    return failure;
}

static hone_status run(struct postgres *p, const char *action, hone_error *err, const char *fmt,
                       ...)
{
    char sql[1024];
    PGresult *r;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof sql)
        return hn_fail(err, HONE_E_INTERNAL, "store", "a statement of %d bytes", n);
    hone_status st = exec(p, sql, action, &r, err);
    PQclear(r);
    return st;
}

/* What a session of ours relies on, whatever the server's or the role's settings say. */
static hone_status set_up(struct postgres *p, hone_error *err)
{
    PGresult *r;
    HN_TRY(run(p, "use the database", err,
               "SET search_path TO \"%s\", pg_catalog; SET extra_float_digits TO 3; "
               "SET lock_timeout TO '%ds'; SET idle_in_transaction_session_timeout TO '%ds'; "
               "SET statement_timeout TO 0; SET standard_conforming_strings TO on; "
               "SELECT set_config('synchronous_commit', 'on', false) "
               "WHERE current_setting('synchronous_commit') = 'off'",
               p->at.schema, BUSY_S, BUSY_S / 2));
    if (p->reading)
        return run(p, "use the database", err, "SET default_transaction_read_only TO on");
    if (p->worker[0]) return HONE_OK;
    HN_TRY(exec(p,
                "SELECT pg_backend_pid() || '-' || "
                "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
                "use the database", &r, err));
    one_line(p->worker, sizeof p->worker, PQgetvalue(r, 0, 0));
    PQclear(r);
    return HONE_OK;
}

static hone_status connect(struct postgres *p, hone_error *err)
{
    /* What comes before "dbname" may be set otherwise by the address. */
    static const char *const keys[] = { "fallback_application_name", "connect_timeout",
                                        "keepalives_idle",           "keepalives_interval",
                                        "keepalives_count",          "tcp_user_timeout",
                                        "target_session_attrs",      "dbname",
                                        "client_encoding",           NULL };
    const char *session = p->reading ? "any" : "read-write"; /* a standby will do */
    const char *values[] = { "hone",  "10",    "30",        "10",   "3",
                             "60000", session, p->at.libpq, "UTF8", NULL };
    char text[300];
    PQfinish(p->c);
    p->c = PQconnectdbParams(keys, values, 1);
    p->passing = p->gone = 1;
    if (!p->c) return hn_nomem(err, "a connection", 0);
    if (PQstatus(p->c) != CONNECTION_OK) {
        one_line(text, sizeof text, PQerrorMessage(p->c));
        return hn_fail(err, HONE_E_IO, p->at.shown, "cannot open the study: %s", text);
    }
    p->gone = 0;
    PQsetNoticeProcessor(p->c, quiet, NULL);
    if (PQserverVersion(p->c) < OLDEST) {
        p->passing = 0;
        return hn_fail(err, HONE_E_IO, p->at.shown, "found PostgreSQL %d.%d, wanted 10 or later",
                       PQserverVersion(p->c) / 10000, PQserverVersion(p->c) / 100 % 100);
    }
    return set_up(p, err);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 0: asked to stop. */
static int nap(struct postgres *p, double length)
{
    double end = seconds() + length;
    while (seconds() < end) {
        if (atomic_load(&p->ctx->stop)) return 0;
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    return !atomic_load(&p->ctx->stop);
}

/* Until the server is back: 0.1, 0.2, 0.4, … 10 s apart, workers a little apart from each other. */
static hone_status reconnect(struct postgres *p, hone_error *err)
{
    double start = seconds(), pause = 0.1;
    double spread = 0.8 + 0.4 * (double)(XXH3_64bits(p->worker, strlen(p->worker)) % 997) / 997;
    hone_status st = connect(p, err);
    for (int said = 0; st == HONE_E_IO && p->passing;) {
        double left = (double)p->at.wait_s - (seconds() - start);
        if (left <= 0) {
            p->passing = 0;
            return hn_hint(err, st,
                           "waited %lld seconds for the server; hone_wait=SECONDS in the address "
                           "changes that; run again to go on",
                           (long long)p->at.wait_s);
        }
        if (!said++)
            hn_log(p->ctx, HONE_LOG_WARNING,
                   "%s: the server has gone; trying again for %lld seconds", p->at.shown,
                   (long long)p->at.wait_s);
        if (!nap(p, (pause < left ? pause : left) * spread)) {
            p->passing = 0;
            return hn_fail(err, HONE_E_IO, p->at.shown,
                           "stopped while waiting for the server to come back");
        }
        pause = pause < 5 ? 2 * pause : 10;
        st = connect(p, err);
    }
    if (st == HONE_OK)
        hn_log(p->ctx, HONE_LOG_NOTE, "%s: the server is back after %.1f seconds", p->at.shown,
               seconds() - start);
    return st;
}

/* ---- queries ------------------------------------------------------------------------------------------------------------ */

static struct hn_cell cell(const PGresult *r, int row, int col)
{
    const char *text = PQgetvalue(r, row, col);
    size_t n = (size_t)PQgetlength(r, row, col);
    struct hn_cell c = HN_TEXT(text);
    if (PQgetisnull(r, row, col)) return HN_NULL;
    switch (PQftype(r, col)) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
        if (hn_parse_i64(text, n, &c.i)) c.type = HN_CELL_INT;
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        if (hn_parse_double(text, n, &c.d)) c.type = HN_CELL_REAL;
        break;
    default: break;
    }
    return c;
}

static hone_status give_rows(const PGresult *r, const struct hn_query *q, hone_error *err)
{
    struct hn_cell cells[24];
    int n = PQnfields(r);
    if (n > 24) return hn_fail(err, HONE_E_INTERNAL, "store", "a row of %d columns", n);
    for (int row = 0; q->row && row < PQntuples(r); row++) {
        for (int i = 0; i < n; i++) cells[i] = cell(r, row, i);
        HN_TRY(q->row(q->user, cells, n, err));
    }
    return HONE_OK;
}

static hone_status query_once(struct postgres *p, const struct hn_query *q, hone_error *err)
{
    enum { ARGS = 16 };
    char numbers[ARGS][32];
    const char *values[ARGS];
    if (q->n_args > ARGS)
        return hn_fail(err, HONE_E_INTERNAL, "store", "a query with %d values", q->n_args);
    for (int i = 0; i < q->n_args; i++) {
        const struct hn_cell *c = &q->args[i];
        values[i] = c->type == HN_CELL_NULL ? NULL : c->type == HN_CELL_TEXT ? c->s : numbers[i];
        if (c->type == HN_CELL_INT)
            snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)c->i);
        if (c->type == HN_CELL_REAL) hn_format_double(numbers[i], c->d);
    }
    PGresult *r = PQexecParams(p->c, q->sql, q->n_args, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(r);
    hone_status st;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        int64_t n = 0;
        const char *changed = PQcmdTuples(r);
        if (q->changed && hn_parse_i64(changed, strlen(changed), &n)) *q->changed = n;
        st = give_rows(r, q, err);
        p->passing = 0;
    } else {
        st = failed(p, r, p->busy && !p->reading ? "write the study" : "read the study", err);
    }
    PQclear(r);
    return st;
}

static int again(struct hn_store *store, hone_error *err)
{
    struct postgres *p = (struct postgres *)store;
    if (!p->passing || ++p->tries > AGAIN) return 0;
    if (!p->gone) return 1;
    return reconnect(p, err) == HONE_OK;
}

static hone_status query(struct hn_store *store, const struct hn_query *q, hone_error *err)
{
    struct postgres *p = (struct postgres *)store;
    for (;;) {
        hone_status st = query_once(p, q, err);
        if (st == HONE_OK && !p->busy) p->tries = 0;
        if (st == HONE_OK || p->busy || !again(store, err)) return st;
    }
}

/* ---- transactions -------------------------------------------------------------------------------------------------------- */

static int64_t int_at(const PGresult *r, int col)
{
    struct hn_cell c = cell(r, 0, col);
    return c.type == HN_CELL_INT ? c.i : 0;
}

/* The clock is read when the lock is ours: what another worker did before lies before it. */
static hone_status lock(struct postgres *p, hone_error *err)
{
    char sql[400];
    PGresult *r;
    snprintf(sql, sizeof sql,
             "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(%lld); "
             "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
             "(extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint",
             p->key);
    p->busy = 1;
    HN_TRY(exec(p, sql, "write the study", &r, err));
    p->store.now_ms = int_at(r, 0);
    p->store.since_ms = int_at(r, 1);
    PQclear(r);
    return HONE_OK;
}

static hone_status begin(struct hn_store *store, hone_error *err)
{
    struct postgres *p = (struct postgres *)store;
    if (p->reading) {
        p->busy = 1;
        return run(p, "read the study", err, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
    }
    p->number++;
    return lock(p, err);
}

static void rollback(struct hn_store *store)
{
    struct postgres *p = (struct postgres *)store;
    if (!p->busy) return;
    p->busy = 0;
    if (!p->gone && PQtransactionStatus(p->c) != PQTRANS_IDLE) PQclear(PQexec(p->c, "ROLLBACK"));
}

/* Is the transaction whose end we did not hear of in the database? Under the lock, so that its backend has ended. */
static hone_status look_back(struct postgres *p, int *there, hone_error *err)
{
    char sql[200];
    PGresult *r;
    HN_TRY(lock(p, err));
    snprintf(sql, sizeof sql, "SELECT n FROM hone_commit WHERE worker='%s'", p->worker);
    HN_TRY(exec(p, sql, "read the study", &r, err));
    *there = PQntuples(r) == 1 && int_at(r, 0) == p->number;
    PQclear(r);
    return HONE_OK;
}

static hone_status commit(struct hn_store *store, hone_error *err)
{
    struct postgres *p = (struct postgres *)store;
    int there = 0;
    if (p->reading) {
        p->busy = 0;
        return run(p, "read the study", err, "COMMIT");
    }
    hone_status st = run(p, "write the study", err,
                         "INSERT INTO hone_commit(worker, n, at) VALUES('%s', %lld, now()) "
                         "ON CONFLICT(worker) DO UPDATE SET n=excluded.n, at=excluded.at; COMMIT",
                         p->worker, p->number);
    int unsure = st != HONE_OK && p->gone;
    rollback(store);
    while (unsure && again(store, err)) {
        st = look_back(p, &there, err);
        unsure = st != HONE_OK && p->gone;
        rollback(store);
        if (st == HONE_OK && there) break;
        if (st == HONE_OK) { /* it is to be run once more */
            p->passing = 1;
            return hn_fail(err, HONE_E_IO, p->at.shown, "the server has lost a change");
        }
    }
    if (st == HONE_OK) p->tries = 0;
    return st;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------- */

/* What is under the name: nothing, an empty schema, a study, something else. Makes what is needed for a new study. */
static hone_status recognise(struct postgres *p, enum hn_store_open how, hone_error *err)
{
    char sql[700];
    PGresult *r;
    snprintf(sql, sizeof sql,
             "SELECT (SELECT has_schema_privilege(oid, 'USAGE')::int FROM pg_namespace "
             "WHERE nspname='%s'), count(*), "
             "count(*) FILTER (WHERE c.relname IN ('meta', 'trial', 'hone_commit')) "
             "FROM pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace "
             "WHERE n.nspname='%s' AND c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p')",
             p->at.schema, p->at.schema);
    HN_TRY(exec(p, sql, "open the study", &r, err));
    int schema = !PQgetisnull(r, 0, 0), usable = !schema || int_at(r, 0);
    int64_t tables = int_at(r, 1), ours = int_at(r, 2);
    PQclear(r);
    p->store.fresh = tables == 0;
    if (!usable) return no_rights(p, "open the study", "permission denied for the schema", err);
    if (tables && ours != 3) return not_a_study(p, err);
    if (tables && how == HN_STORE_READ) return HONE_OK;
    if (tables)
        return run(p, "open the study", err,
                   "DELETE FROM hone_commit WHERE at < now() - interval '30 days'");
    if (how != HN_STORE_MAKE)
        return hn_hint(err, hn_fail(err, HONE_E_IO, p->at.shown, "there is no such study"),
                       "hone tune, or hone ask with a search space (--space FILE.yaml), makes one");
    if (!schema) HN_TRY(run(p, "make the study", err, "CREATE SCHEMA \"%s\"", p->at.schema));
    return run(p, "make the study", err,
               "CREATE TABLE hone_commit(worker TEXT PRIMARY KEY, n BIGINT NOT NULL, "
               "at TIMESTAMPTZ NOT NULL)");
}

static void close_store(struct hn_store *store)
{
    struct postgres *p = (struct postgres *)store;
    char sql[200];
    if (!p) return;
    rollback(store);
    snprintf(sql, sizeof sql, "DELETE FROM hone_commit WHERE worker='%s'", p->worker);
    if (p->number && !p->gone) PQclear(PQexec(p->c, sql));
    PQfinish(p->c);
    hn_arena_clear(&p->arena);
    hn_free(&p->ctx->mem, p);
}

/* Can libpq read it? Its own words could quote a password. */
static hone_status check_uri(struct postgres *p, hone_error *err)
{
    PQconninfoOption *o = PQconninfoParse(p->at.libpq, NULL);
    int good = o != NULL;
    for (PQconninfoOption *k = o; k && k->keyword; k++)
        if (!strcmp(k->keyword, "port") && k->val &&
            strspn(k->val, "0123456789,") != strlen(k->val))
            good = 0;
    PQconninfoFree(o);
    if (good) return HONE_OK;
    return hn_hint(err, hn_fail(err, HONE_E_USAGE, "study", "libpq cannot read the address"),
                   "postgresql://USER@HOST:PORT/DATABASE?hone_study=NAME, and libpq's own options "
                   "such as sslmode=require; other bytes in user and password as %%XX");
}

static hone_status open_study(struct postgres *p, const char *where, enum hn_store_open how,
                              hone_error *err)
{
    p->reading = how == HN_STORE_READ;
    HN_TRY(hn_uri_read(&p->arena, where, &p->at, err));
    HN_TRY(check_uri(p, err));
    p->key = (long long)XXH3_64bits(p->at.schema, strlen(p->at.schema));
    HN_TRY(connect(p, err));
    HN_TRY(begin(&p->store, err));
    return recognise(p, how, err);
}

static hone_status open_store(hone_context *ctx, const char *where, enum hn_store_open how,
                              struct hn_store **out, hone_error *err)
{
    struct postgres *p = hn_calloc(&ctx->mem, 1, sizeof *p);
    *out = NULL;
    if (!p) return hn_nomem(err, "a study", sizeof *p);
    p->store.kind = &hn_store_postgres;
    p->ctx = ctx;
    hn_arena_init(&p->arena, &ctx->mem);
    hone_status st = open_study(p, where, how, err);
    if (st == HONE_OK)
        *out = &p->store;
    else
        close_store(&p->store);
    return st;
}

const char *hn_postgres_version(char buf[32])
{
    snprintf(buf, 32, "libpq %d.%d", PQlibVersion() / 10000, PQlibVersion() % 10000);
    return buf;
}

const struct hn_store_kind hn_store_postgres = { .name = "postgresql",
                                                 .open = open_store,
                                                 .close = close_store,
                                                 .begin = begin,
                                                 .commit = commit,
                                                 .rollback = rollback,
                                                 .query = query,
                                                 .again = again };
#else

static hone_status open_store(hone_context *ctx, const char *where, enum hn_store_open how,
                              struct hn_store **out, hone_error *err)
{
    (void)ctx, (void)where, (void)how;
    *out = NULL;
    return hn_hint(err, hn_fail(err, HONE_E_USAGE, "study", "this build of Hone has no PostgreSQL"),
                   "install libpq-dev and build again, or give a file");
}

const char *hn_postgres_version(char buf[32])
{
    buf[0] = '\0';
    return "not in this build";
}

const struct hn_store_kind hn_store_postgres = { .name = "postgresql", .open = open_store };
#endif
