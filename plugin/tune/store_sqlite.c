/* SPDX-License-Identifier: MIT
 *
 * A study in an SQLite file: write-ahead log, synchronous=FULL, so that a committed transaction survives a kill and a power
 * cut, and a torn one leaves no trace. Writers wait for each other (BEGIN IMMEDIATE, 30 s). The file is known by its
 * application id. SQLite keeps its own memory and files.
 *
 * To read only (HN_STORE_READ): as long as there is a log with something in it, as another reader beside the writers. Without
 * one everything is in the file, which is then taken for unchanging ("immutable"), because SQLite else makes a log and an
 * index beside it, leaves them there, and needs a folder where it may. A file that changes meanwhile is noticed. */
#include "plugin/tune/owner.h"
#include "plugin/tune/store.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { APPLICATION = 0x486f6e65 /* "Hone" */, VERSION = 1, WAIT_MS = 30000 };

struct sqlite {
    struct hn_store store;
    struct hn_mem *mem;
    sqlite3 *db;
    char *path;
    const char *shown;      /* the path as it was given */
    int writing, reading;   /* in a transaction that writes; opened to read */
    const struct hn_io *io; /* not NULL: the file is taken for unchanging */
    struct hn_stat was;     /* it, when it was opened */
};

static hone_status not_a_study(const char *path, hone_error *err)
{
    hone_status st = hn_fail(err, HONE_E_USAGE, path, "the file is there and is no study");
    return hn_hint(err, st, "give a new name, or a file that hone ask or hone tune has made");
}

static hone_status log_unusable(const struct sqlite *s, const char *action, hone_error *err)
{
    return hn_hint(err,
                   hn_fail(err, HONE_E_IO, s->shown,
                           "cannot %s: the newest of it is in the log beside the file, which "
                           "cannot be used where the folder is read-only",
                           action),
                   "copy the file and FILE-wal or FILE-journal to a folder that can be written");
}

static hone_status failed(struct sqlite *s, int rc, const char *action, hone_error *err)
{
    int number = 0;
    char why[128];
    const char *text = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
    if (s->reading && ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY))
        return log_unusable(s, action, err);
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return hn_nomem(err, "the study's database", 0);
    case SQLITE_NOTADB: return not_a_study(s->shown, err);
    case SQLITE_CORRUPT:
        return hn_fail(err, HONE_E_CORRUPT, s->shown, "the study is damaged: %s", text);
    case SQLITE_FULL:
        return hn_fail(err, HONE_E_IO, s->shown, "cannot %s: the disk is full", action);
    case SQLITE_READONLY:
        return hn_hint(
            err, hn_fail(err, HONE_E_IO, s->shown, "cannot %s: the file is read-only", action),
            "the study and its folder, where its log lies, must both be writable");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return hn_fail(err, HONE_E_IO, s->shown,
                       "cannot %s: another process has held the study for %d seconds", action,
                       WAIT_MS / 1000);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR: number = sqlite3_system_errno(s->db); break;
    default: break;
    }
    if (number)
        return hn_fail(err, HONE_E_IO, s->shown, "cannot %s: %s: %s", action, text,
                       strerror_r(number, why, sizeof why));
    return hn_fail(err, HONE_E_IO, s->shown, "cannot %s: %s", action, text);
}

/* ---- queries ------------------------------------------------------------------------------------------------------ */

static int bind(sqlite3_stmt *st, int at, const struct hn_cell *c)
{
    switch (c->type) {
    case HN_CELL_INT: return sqlite3_bind_int64(st, at, c->i);
    case HN_CELL_REAL: return sqlite3_bind_double(st, at, c->d);
    case HN_CELL_TEXT: return sqlite3_bind_text(st, at, c->s, -1, SQLITE_STATIC);
    default: return sqlite3_bind_null(st, at);
    }
}

static int bind_all(sqlite3_stmt *st, const struct hn_query *q)
{
    for (int i = 0; i < q->n_args; i++) {
        char name[3] = { '$', (char)('1' + i), 0 };
        char name2[4] = { '$', '1', (char)('0' + (i + 1) % 10), 0 };
        int at = sqlite3_bind_parameter_index(st, i < 9 ? name : name2);
        int rc = at ? bind(st, at, &q->args[i]) : SQLITE_RANGE;
        if (rc != SQLITE_OK) return rc;
    }
    return SQLITE_OK;
}

static struct hn_cell cell(sqlite3_stmt *st, int i)
{
    switch (sqlite3_column_type(st, i)) {
    case SQLITE_INTEGER: return HN_INT(sqlite3_column_int64(st, i));
    case SQLITE_FLOAT: return HN_REAL(sqlite3_column_double(st, i));
    case SQLITE_TEXT: return HN_TEXT((const char *)sqlite3_column_text(st, i));
    default: return HN_NULL;
    }
}

static hone_status one_row(struct sqlite *s, sqlite3_stmt *st, const struct hn_query *q,
                           hone_error *err)
{
    struct hn_cell cells[24];
    int n = sqlite3_column_count(st);
    if (n > 24) return hn_fail(err, HONE_E_INTERNAL, "store", "a row of %d columns", n);
    for (int i = 0; i < n; i++) {
        cells[i] = cell(st, i);
        if (cells[i].type == HN_CELL_TEXT && !cells[i].s)
            return failed(s, SQLITE_NOMEM, "read the study", err);
    }
    return q->row(q->user, cells, n, err);
}

/* What was taken for unchanging has to be the same still. */
static hone_status check_unchanged(const struct sqlite *s, hone_error *err)
{
    struct hn_stat now;
    if (!s->io) return HONE_OK;
    int rc = s->io->stat_path(s->io->user, s->path, &now);
    if (rc < 0) return hn_io_fail(err, s->shown, "look at", rc);
    if (now.mtime_ns == s->was.mtime_ns && now.size == s->was.size && now.ino == s->was.ino)
        return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_IO, s->shown, "somebody wrote the study while it was read"),
                   "once more, now that its log is there");
}

static hone_status query(struct hn_store *store, const struct hn_query *q, hone_error *err)
{
    struct sqlite *s = (struct sqlite *)store;
    sqlite3_stmt *st = NULL;
    hone_status done = HONE_OK;
    int rc = sqlite3_prepare_v2(s->db, q->sql, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = bind_all(st, q);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW && q->row && (done = one_row(s, st, q, err)) != HONE_OK) break;
    }
    if (done == HONE_OK && rc != SQLITE_DONE)
        done = failed(s, rc, s->writing ? "write the study" : "read the study", err);
    if (done == HONE_OK && q->changed) *q->changed = sqlite3_changes64(s->db);
    sqlite3_finalize(st);
    return done == HONE_OK ? check_unchanged(s, err) : done;
}

static hone_status run(struct sqlite *s, const char *sql, hone_error *err)
{
    return query(&s->store, &(struct hn_query){ .sql = sql }, err);
}

static hone_status begin(struct hn_store *store, hone_error *err)
{
    struct sqlite *s = (struct sqlite *)store;
    if (s->reading) return run(s, "BEGIN", err);
    s->writing = 1;
    hone_status st = run(s, "BEGIN IMMEDIATE", err);
    if (st != HONE_OK) s->writing = 0;
    store->now_ms = hn_now_ms();
    return st;
}

static void rollback(struct hn_store *store)
{
    struct sqlite *s = (struct sqlite *)store;
    if (!s->writing && !s->reading) return;
    s->writing = 0;
    if (s->db && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static hone_status commit(struct hn_store *store, hone_error *err)
{
    struct sqlite *s = (struct sqlite *)store;
    hone_status st = run(s, "COMMIT", err);
    if (st != HONE_OK) {
        rollback(store);
        return st;
    }
    s->writing = 0;
    return HONE_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static hone_status take_int(void *user, const struct hn_cell *c, int n, hone_error *err)
{
    (void)n, (void)err;
    *(int64_t *)user = c[0].type == HN_CELL_INT ? c[0].i : 0;
    return HONE_OK;
}

static hone_status number(struct sqlite *s, const char *sql, int64_t *out, hone_error *err)
{
    *out = 0;
    return query(&s->store, &(struct hn_query){ .sql = sql, .row = take_int, .user = out }, err);
}

/* An empty database becomes ours; another one must be ours already, and of a version we know. */
static hone_status recognise(struct sqlite *s, hone_error *err)
{
    int64_t tables, application, version;
    HN_TRY(number(s, "SELECT count(*) FROM sqlite_master", &tables, err));
    HN_TRY(number(s, "PRAGMA application_id", &application, err));
    HN_TRY(number(s, "PRAGMA user_version", &version, err));
    s->store.fresh = tables == 0;
    if (application == APPLICATION && version > VERSION)
        return hn_fail(err, HONE_E_USAGE, s->shown,
                       "the study was written by a newer Hone: format %lld, this one knows %d",
                       (long long)version, VERSION);
    if (application == APPLICATION) return HONE_OK;
    if (tables || application || s->reading) return not_a_study(s->shown, err);
    HN_TRY(run(s, "PRAGMA application_id=1215262309", err));
    return run(s, "PRAGMA user_version=1", err);
}

static hone_status look(const struct hn_io *io, const char *path, enum hn_store_open how,
                        hone_error *err)
{
    struct hn_stat st;
    char head[16] = { 0 };
    int64_t got = 0;
    int rc = io->stat_path(io->user, path, &st);
    if (rc == -ENOENT && how != HN_STORE_MAKE)
        return hn_hint(err, hn_fail(err, HONE_E_IO, path, "there is no such study"),
                       "hone tune, or hone ask with a search space (--space FILE.yaml), makes one");
    if (rc < 0) return HONE_OK; /* SQLite says what is wrong */
    if (st.is_dir || !st.is_regular) return not_a_study(path, err);
    if (st.size == 0) return HONE_OK;
    /* To write, so that one we may not write is refused before SQLite makes a log beside it that nobody may write either. */
    int fd = io->open(io->user, path, how == HN_STORE_READ ? O_RDONLY : O_RDWR, 0);
    if (fd < 0) return hn_io_fail(err, path, "open the study", fd);
    got = io->read(io->user, fd, head, sizeof head);
    io->close(io->user, fd);
    if (got < 0) return hn_io_fail(err, path, "read the study", got);
    return got == 16 && !memcmp(head, "SQLite format 3", 16) ? HONE_OK : not_a_study(path, err);
}

static void close_store(struct hn_store *store)
{
    struct sqlite *s = (struct sqlite *)store;
    if (!s) return;
    rollback(store);
    sqlite3_close(s->db);
    hn_free(s->mem, s->path);
    hn_free(s->mem, s);
}

/* SQLite does not wait for others when the journal changes its form, as it does when two processes make one study: so we do. */
static hone_status use_wal(struct sqlite *s, hone_error *err)
{
    enum { NAP_MS = 5 };
    const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
    int rc = SQLITE_BUSY;
    for (int waited = 0; (rc & 0xff) == SQLITE_BUSY && waited < WAIT_MS; waited += NAP_MS) {
        if (waited) nanosleep(&nap, NULL);
        rc = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
    }
    return rc == SQLITE_OK ? HONE_OK : failed(s, rc, "read the study", err);
}

/* SQLite does not say why: it tries to read, too, and remembers what came of that. */
static hone_status not_opened(struct sqlite *s, const struct hn_io *io, int rc, hone_error *err)
{
    if ((rc & 0xff) != SQLITE_CANTOPEN) return failed(s, rc, "open the study", err);
    int fd = io->open(io->user, s->path, O_RDWR | O_CREAT, 0666);
    if (fd < 0) return hn_io_fail(err, s->shown, "open the study", fd);
    io->close(io->user, fd);
    return failed(s, rc, "open the study", err);
}

/* Is there something in a log beside the file: FILE-wal, or FILE-journal? */
static hone_status look_for_log(const struct sqlite *s, const struct hn_io *io, struct hn_arena *a,
                                int *any, hone_error *err)
{
    static const char *const ends[] = { "-wal", "-journal" };
    *any = 0;
    for (int i = 0; i < 2; i++) {
        struct hn_stat st;
        const char *path = hn_arena_printf(a, "%s%s", s->path, ends[i]);
        if (!path) return hn_nomem(err, "a study", strlen(s->path));
        int rc = io->stat_path(io->user, path, &st);
        *any |= rc < 0 ? rc != -ENOENT : st.size > 0;
    }
    return HONE_OK;
}

/* "file:…?immutable=1"; NULL: out of memory. */
static const char *unchanging_name(const char *path, struct hn_arena *a)
{
    struct hn_buffer b;
    hone_status st;
    hn_buffer_init(&b, a->mem);
    st = hn_sink_str(&b.sink, "file:", NULL);
    for (const char *c = path; *c && st == HONE_OK; c++)
        st = hn_sink_printf(&b.sink, NULL, strchr("%?#", *c) ? "%%%02x" : "%c", (unsigned char)*c);
    if (st == HONE_OK) st = hn_sink_str(&b.sink, "?immutable=1", NULL);
    const char *name = st == HONE_OK ? hn_arena_strdup(a, b.p) : NULL;
    hn_buffer_free(&b);
    return name;
}

static hone_status open_reading(struct sqlite *s, const struct hn_io *io, struct hn_arena *a,
                                hone_error *err)
{
    enum { HOW = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX };
    int log, rc = io->stat_path(io->user, s->path, &s->was); /* before the log is looked for */
    if (rc < 0) return hn_io_fail(err, s->shown, "open the study", rc);
    HN_TRY(look_for_log(s, io, a, &log, err));
    if (log) {
        rc = sqlite3_open_v2(s->path, &s->db, HOW, NULL);
    } else {
        const char *name = unchanging_name(s->path, a);
        if (!name) return hn_nomem(err, "a study", strlen(s->path));
        s->io = io;
        rc = sqlite3_open_v2(name, &s->db, HOW | SQLITE_OPEN_URI, NULL);
    }
    return rc == SQLITE_OK ? HONE_OK : failed(s, rc, "open the study", err);
}

static hone_status set_up_reading(struct sqlite *s, const struct hn_io *io, hone_error *err)
{
    struct hn_arena a;
    hn_arena_init(&a, s->mem);
    hone_status st = open_reading(s, io, &a, err);
    hn_arena_clear(&a);
    HN_TRY(st);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, WAIT_MS);
    HN_TRY(begin(&s->store, err));
    return recognise(s, err);
}

/* SQLite takes no path of any length (the real one, links followed), and puts files beside it: NAME-wal, NAME-journal. Else it
 * says that there is no such file, once it has made one. */
static hone_status check_length(const struct sqlite *s, hone_error *err)
{
    enum { LONGEST_NAME = 255, JOURNAL = 8 };
    static const char hint[] = "a shorter name, or --study FILE in another folder";
    const int most = sqlite3_vfs_find(NULL)->mxPathname - JOURNAL;
    const size_t name = strlen(hn_path_base(s->path));
    char real[PATH_MAX], *dir = hn_path_dir(s->mem, s->path);
    if (!dir) return hn_nomem(err, "a study", strlen(s->path));
    const size_t n = (realpath(dir, real) ? strlen(real) : strlen(dir)) + 1 + name;
    hn_free(s->mem, dir);
    if (name > LONGEST_NAME - JOURNAL)
        return hn_hint(err,
                       hn_fail(err, HONE_E_IO, s->shown,
                               "the study's name has %zu bytes, wanted %d at most", name,
                               LONGEST_NAME - JOURNAL),
                       hint);
    if (most > 0 && n > (size_t)most)
        return hn_hint(err,
                       hn_fail(err, HONE_E_IO, s->shown,
                               "the study's path has %zu bytes, SQLite takes %d at most", n, most),
                       hint);
    return HONE_OK;
}

static hone_status set_up(struct sqlite *s, const struct hn_io *io, hone_error *err)
{
    HN_TRY(check_length(s, err));
    if (s->reading) return set_up_reading(s, io, err);
    int rc = sqlite3_open_v2(
        s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) return not_opened(s, io, rc, err);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, WAIT_MS);
    HN_TRY(run(s, "PRAGMA synchronous=FULL", err));
    HN_TRY(use_wal(s, err));
    HN_TRY(begin(&s->store, err));
    return recognise(s, err);
}

static hone_status open_store(hone_context *ctx, const char *where, enum hn_store_open how,
                              struct hn_store **out, hone_error *err)
{
    struct hn_mem *m = &ctx->mem;
    *out = NULL;
    if (!where[0]) return hn_fail(err, HONE_E_USAGE, "study", "the study has no file name");
    HN_TRY(look(ctx->io, where, how, err));
    struct sqlite *s = hn_calloc(m, 1, sizeof *s);
    if (!s) return hn_nomem(err, "a study", sizeof *s);
    s->store.kind = &hn_store_sqlite;
    s->mem = m;
    s->reading = how == HN_STORE_READ;
    /* "./" so that no name is special to SQLite (":memory:", "file:…") */
    s->path = where[0] == '/' ? hn_strdup(m, where) : hn_path_join(m, ".", where);
    if (s->path) s->shown = s->path + (where[0] == '/' ? 0 : strlen("./"));
    hone_status st = s->path ? set_up(s, ctx->io, err) : hn_nomem(err, "a study", strlen(where));
    if (st == HONE_OK)
        *out = &s->store;
    else
        close_store(&s->store);
    return st;
}

const char *hn_sqlite_version(void) { return sqlite3_libversion(); }

const struct hn_store_kind hn_store_sqlite = { .name = "sqlite",
                                               .open = open_store,
                                               .close = close_store,
                                               .begin = begin,
                                               .commit = commit,
                                               .rollback = rollback,
                                               .query = query };
