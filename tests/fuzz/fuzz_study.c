/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over the cells of a study: a small study of a few trials, in whose tables the input changes settings, trials and
 * curves (a line each: a letter, KEY and VALUE), is opened, read, asked, told and exported. SQLite itself reads the file and
 * is fuzzed elsewhere. Properties: no crash, no leak of Hone's memory, a refusal says why. */
#include "plugin/tune/importance.h"
#include "plugin/tune/study_own.h"
#include "plugin/tune/tune.h"
#include "tests/fault.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hone_error err;
static char folder[64], path[128];
static sqlite3 *db;

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s: %s: %s\n", what, err.where, err.text);
    abort();
}

static void run(const char *sql)
{
    must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sql);
}

static void make_study(void)
{
    static const char *const lines[] = { "lr=log:1e-4..1e-1", "units=int:1..64",
                                         "momentum=0..0.9?optimizer=momentum",
                                         "optimizer=adam,momentum" };
    struct hn_search_space space;
    struct hn_study *s;
    hone_context *ctx;
    double curve[3] = { 3, 2, 1.5 };
    struct hn_fold_curve folds[2] = { { curve, 3 }, { curve, 2 } };
    must(hone_context_create(NULL, &ctx, &err) == HONE_OK, "context");
    hn_space_init(&space, &ctx->mem);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        must(hn_space_add(&space, lines[i], NULL, &err) == HONE_OK, lines[i]);
    must(hn_space_finish(&space, &err) == HONE_OK, "space");
    struct hn_study_opts o = { .path = path,
                               .space = &space,
                               .sampler = { .kind = HN_SAMPLER_GP, .startup = 2 },
                               .pruner = { HN_PRUNER_MEDIAN, 2, 1, 3 },
                               .fingerprint = "" };
    must(hn_study_open(ctx, &o, &s, &err) == HONE_OK, "study");
    for (int i = 0; i < 5; i++) {
        struct hn_claimed c;
        struct hn_outcome_report r = { .state = i == 3 ? HN_TRIAL_PRUNED : HN_TRIAL_DONE,
                                       .value = 1.0 / (i + 1),
                                       .epochs = 3,
                                       .note = "0.5 0.25",
                                       .curves = folds,
                                       .n_curves = 2 };
        must(hn_study_claim(s, &c, &err) == HONE_OK, "claim");
        if (i < 4) must(hn_study_finish(s, c.trial.number, &r, &err) == HONE_OK, "finish");
    }
    hn_study_close(s);
    hn_space_clear(&space);
    hone_context_destroy(ctx);
}

static void clean_up(void)
{
    char command[160];
    sqlite3_close(db);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) return;
}

static void set_up(void)
{
    (void)snprintf(folder, sizeof folder, "/dev/shm/hone-fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL, folder);
    atexit(clean_up);
    (void)snprintf(path, sizeof path, "%s/study.db", folder);
    make_study();
    must(sqlite3_open(path, &db) == SQLITE_OK, path);
    run("PRAGMA synchronous=OFF");
    run("CREATE TABLE meta0 AS SELECT * FROM meta");
    run("CREATE TABLE trial0 AS SELECT * FROM trial");
    run("CREATE TABLE curve0 AS SELECT * FROM curve");
}

/* A cell of any type: a whole number, a number, or text (which may end in "\n" as two letters for a line break). */
static void bind(sqlite3_stmt *q, int i, char *text)
{
    char *stop;
    long long whole = strtoll(text, &stop, 10);
    if (*text && !*stop) {
        sqlite3_bind_int64(q, i, whole);
        return;
    }
    double real = strtod(text, &stop);
    if (*text && !*stop) {
        sqlite3_bind_double(q, i, real);
        return;
    }
    char *to = text;
    for (const char *p = text; *p; p++) {
        int line_break = p[0] == '\\' && p[1] == 'n';
        *to++ = line_break ? '\n' : *p;
        p += line_break;
    }
    *to = '\0';
    sqlite3_bind_text(q, i, text, -1, SQLITE_TRANSIENT);
}

static void change(char *line)
{
    static const char *const sql[] = {
        "UPDATE meta SET value=?2 WHERE key=?1",
        "UPDATE trial SET state=?2 WHERE number=?1",
        "UPDATE trial SET value=?2 WHERE number=?1",
        "UPDATE trial SET noise=?2 WHERE number=?1",
        "UPDATE trial SET params=?2 WHERE number=?1",
        "UPDATE trial SET memo=?2 WHERE number=?1",
        "UPDATE trial SET owner=?2 WHERE number=?1",
        "UPDATE trial SET lease=?2 WHERE number=?1",
        "UPDATE trial SET attempts=?2 WHERE number=?1",
        "UPDATE trial SET epochs=?2 WHERE number=?1",
        "UPDATE trial SET seconds=?2 WHERE number=?1",
        "UPDATE trial SET note=?2 WHERE number=?1",
        "UPDATE trial SET number=?2 WHERE number=?1",
        "UPDATE curve SET points=?2 WHERE trial=?1",
        "UPDATE curve SET fold=?2 WHERE trial=?1 AND fold=0",
        "DELETE FROM meta WHERE key=?1",
        "DELETE FROM trial WHERE number=?1",
        "DELETE FROM curve WHERE trial=?1",
    };
    char *key = strchr(line, ' '), *value = key ? strchr(key + 1, ' ') : NULL;
    size_t which = (size_t)(line[0] - 'a');
    if (!value || which >= sizeof sql / sizeof *sql) return;
    *key++ = *value++ = '\0';
    sqlite3_stmt *q;
    must(sqlite3_prepare_v2(db, sql[which], -1, &q, NULL) == SQLITE_OK, sql[which]);
    bind(q, 1, key);
    if (sqlite3_bind_parameter_count(q) > 1) bind(q, 2, value);
    (void)sqlite3_step(q); /* a constraint may refuse it */
    sqlite3_finalize(q);
}

static hone_status read_all(struct hn_study *s, hone_context *ctx)
{
    const struct hn_trial *t;
    size_t n;
    struct hn_arena arena;
    const struct hn_search_space *space = hn_study_space(s);
    int said, maximize = hn_study_settings(s)->maximize;
    hone_status st = hn_study_trials(s, &t, &n, &err);
    if (st != HONE_OK) return st;
    (void)hn_best_trial(t, n, maximize);
    hn_arena_init(&arena, &ctx->mem);
    double *share = hn_arena_alloc(&arena, (size_t)space->n + 1, sizeof *share);
    if (share) st = hn_importances(&ctx->mem, space, t, n, maximize, share, &said, &err);
    for (size_t i = 0; st == HONE_OK && i < n; i++) {
        struct hn_fold_curve *curves;
        struct hn_score score;
        size_t n_curves;
        st = hn_score_read(&score, &arena, t[i].note, &err);
        if (st == HONE_OK) st = hn_study_curves(s, (int64_t)i, &arena, &curves, &n_curves, &err);
    }
    hn_arena_clear(&arena);
    return st;
}

static hone_status ask_and_tell(struct hn_study *s)
{
    struct hn_claimed c;
    struct hn_outcome_report r = { .state = HN_TRIAL_DONE, .value = 0.5, .epochs = 1 };
    hone_status st = hn_study_claim(s, &c, &err);
    if (st == HONE_OK && c.what == HN_CLAIM_TRIAL)
        st = hn_study_finish(s, c.trial.number, &r, &err);
    return st;
}

static hone_status export(hone_context *ctx, const char *name)
{
    char file[128];
    hone_params *p;
    hone_result *r;
    (void)snprintf(file, sizeof file, "%s/%s", folder, name);
    must(hone_params_create(ctx, &p, &err) == HONE_OK, "params");
    must(hone_params_set(p, "optuna", file, &err) == HONE_OK, file);
    must(hone_params_set(p, "force", "true", &err) == HONE_OK, "force");
    err.text[0] = '\0';
    hone_status st = hone_study_export(ctx, path, p, &r, &err);
    if (st == HONE_OK) hone_result_destroy(r);
    hone_params_destroy(p);
    return st;
}

static void said(hone_status st)
{
    must(st == HONE_OK || err.text[0], "no reason");
    must(st != HONE_E_INTERNAL, "a contradiction inside");
}

static void use(const struct hn_study_opts *o)
{
    static struct hn_fault f;
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    hone_context *ctx;
    struct hn_study *s = NULL;
    hn_fault_init(&f);
    opts.alloc = f.mem.alloc;
    opts.release = f.mem.release;
    opts.alloc_user = f.mem.user;
    must(hn_context_create_with(&opts, &f.io, &ctx, &err) == HONE_OK, "context");
    err.text[0] = '\0';
    hone_status st = hn_study_open(ctx, o, &s, &err);
    if (st == HONE_OK) st = read_all(s, ctx);
    if (st == HONE_OK && !o->read_only) st = ask_and_tell(s);
    said(st);
    hn_study_close(s);
    if (o->read_only) said(export(ctx, "exported.log"));
    hone_context_destroy(ctx);
    must(hn_fault_leaks(&f) == 0, "a leak");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!db) set_up();
    if (size > 4096) return 0;
    char *text = malloc(size + 1), *rest = text, *line;
    must(text != NULL, "memory");
    memcpy(text, data, size);
    text[size] = '\0';
    run("BEGIN; DELETE FROM meta; INSERT INTO meta SELECT * FROM meta0; DELETE FROM trial; "
        "INSERT INTO trial SELECT * FROM trial0; DELETE FROM curve; "
        "INSERT INTO curve SELECT * FROM curve0;");
    while ((line = strsep(&rest, "\n"))) change(line);
    run("COMMIT");
    free(text);
    use(&(struct hn_study_opts){ .path = path, .keep = HN_KEEP_ALL, .read_only = 1 });
    use(&(struct hn_study_opts){ .path = path, .keep = HN_KEEP_ALL });
    return 0;
}
