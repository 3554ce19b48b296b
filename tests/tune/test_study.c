/* SPDX-License-Identifier: MIT
 *
 * Studies: what is written survives kill -9, two processes share one, dead workers' trials are taken over, the lag, other
 * studies and files refused, full and read-only disks. */
#include "plugin/tune/owner.h"
#include "plugin/tune/study.h"
#include "tests/each_allocation.h"
#include "tests/tune/tune_util.h"
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static hone_context *ctx;
static struct hn_search_space sp;
static struct hn_mem mem;
static hone_error err;
static char folder[64], path[400];

/* The address of a PostgreSQL database with at least one option: the tests that are not about files run on it. */
static const char *server(void) { return getenv("HONE_TEST_DATABASE"); }

static void new_path(void)
{
    static int n;
    if (server())
        snprintf(path, sizeof path, "%s&hone_study=c%ld-%d", server(), (long)getpid(), n++);
    else
        snprintf(path, sizeof path, "%s/%d.db", folder, n++);
}

static void setup(void)
{
    memcpy(folder, "/tmp/hone-study-XXXXXX", 23);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    new_path();
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hn_mem_init(&mem, 0);
    HN_OK(space_from(&sp, &mem, "lr=log:1e-4..1;c=a,b;n=int:1..9?c=b", &err), err);
}

static void teardown(void)
{
    char command[200];
    hn_space_clear(&sp);
    hone_context_destroy(ctx);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static struct hn_study_opts opts(void)
{
    return (struct hn_study_opts){
        .path = path,
        .space = &sp,
        .sampler = { .kind = HN_SAMPLER_RANDOM, .acquisition = HN_ACQ_LOGEI, .seed = 7 },
        .fingerprint = "model+data"
    };
}

static struct hn_study *open_with(struct hn_study_opts o)
{
    struct hn_study *s;
    HN_OK(hn_study_open(ctx, &o, &s, &err), err);
    return s;
}

static struct hn_claimed claim(struct hn_study *s)
{
    struct hn_claimed c;
    HN_OK(hn_study_claim(s, &c, &err), err);
    return c;
}

static void finish(struct hn_study *s, int64_t number, double value)
{
    HN_OK(hn_study_finish(s, number,
                          &(struct hn_outcome_report){ .state = HN_TRIAL_DONE, .value = value },
                          &err),
          err);
}

START_TEST(what_is_written_is_read)
{
    struct hn_study *s = open_with(opts());
    const struct hn_trial *t;
    size_t n;
    double x[3] = { 5.0, 1, 3 }; /* lr outside its bounds */
    HN_OK(hn_study_enqueue(s, x, "first", HN_ENQUEUE_FIRST, &err), err);
    HN_OK(hn_study_enqueue(s, x, "again", HN_ENQUEUE_FIRST, &err), err);
    HN_OK(hn_study_enqueue(s, x, "again", HN_ENQUEUE_NEW, &err), err);
    struct hn_claimed c = claim(s);
    ck_assert(c.what == HN_CLAIM_TRIAL && c.trial.number == 0 && c.trial.x[0] == 5.0 &&
              c.trial.x[2] == 3);
    static const double first[] = { 0.1 + 0.2, (double)NAN, 1e-300 }, third[] = { -3 };
    const struct hn_fold_curve folds[] = { { first, 3 }, { NULL, 0 }, { third, 1 } };
    struct hn_outcome_report r = { HN_TRIAL_DONE, 0.1, 0.002, 3.5, 12, "folds", folds, 3 };
    HN_OK(hn_study_finish(s, 0, &r, &err), err);
    c = claim(s);
    ck_assert_int_eq(c.trial.number, 1);
    double x1[3] = { c.trial.x[0], c.trial.x[1], c.trial.x[2] };
    finish(s, 1, (double)INFINITY); /* not a value */
    hn_study_close(s);

    s = open_with(opts());
    HN_OK(hn_study_trials(s, &t, &n, &err), err);
    ck_assert_uint_eq(n, 2);
    ck_assert(t[0].state == HN_TRIAL_DONE && t[0].value == 0.1 && t[0].noise == 0.002 &&
              t[0].seconds == 3.5);
    ck_assert(t[0].epochs == 12 && t[0].attempts == 1 && !t[0].owner[0]);
    ck_assert_str_eq(t[0].note, "folds");
    ck_assert(t[1].state == HN_TRIAL_FAILED && isnan(t[1].value));
    for (int i = 0; i < 3; i++) ck_assert(t[1].x[i] == x1[i] || (isnan(x1[i]) && isnan(t[1].x[i])));
    ck_assert_int_eq(hn_best_trial(t, n, 0), 0);
    struct hn_fold_curve *curves;
    struct hn_arena arena;
    hn_arena_init(&arena, &ctx->mem);
    HN_OK(hn_study_curves(s, 0, &arena, &curves, &n, &err), err);
    ck_assert(n == 3 && curves[0].n == 3 && curves[1].n == 0 && curves[2].n == 1);
    ck_assert(curves[0].v[0] == 0.1 + 0.2 && isnan(curves[0].v[1]) && curves[0].v[2] == 1e-300);
    ck_assert(curves[2].v[0] == -3);
    HN_OK(hn_study_curves(s, 1, &arena, &curves, &n, &err), err);
    ck_assert_uint_eq(n, 0);
    hn_arena_clear(&arena);
    hn_study_close(s);
}
END_TEST

/* However long names and choices are, what a study has written it reads again. */
START_TEST(long_words_are_read_again)
{
    enum { NAME = 400, CHOICE = 5000 };
    static char line[NAME + CHOICE + 8];
    struct hn_search_space wide;
    const struct hn_trial *t;
    size_t n;
    memset(line, 'n', NAME);
    line[NAME] = '=';
    memset(line + NAME + 1, 'c', CHOICE);
    memcpy(line + NAME + 1 + CHOICE, ",d", 3);
    hn_space_init(&wide, &mem);
    HN_OK(hn_space_add(&wide, line, NULL, &err), err);
    HN_OK(hn_space_finish(&wide, &err), err);
    struct hn_study_opts o = opts();
    o.space = &wide;
    struct hn_study *s = open_with(o);
    for (double x = 0; x < 2; x++) HN_OK(hn_study_enqueue(s, &x, "", HN_ENQUEUE_ALWAYS, &err), err);
    hn_study_close(s);
    s = open_with(o);
    HN_OK(hn_study_trials(s, &t, &n, &err), err);
    ck_assert(n == 2 && t[0].x[0] == 0 && t[1].x[0] == 1);
    hn_study_close(s);
    hn_space_clear(&wide);
}
END_TEST

/* Rows that Hone has not written like this. */
START_TEST(damaged_rows_are_told)
{
    static const struct {
        const char *sql, *text;
    } damage[] = {
        { "UPDATE trial SET params='lr' WHERE number=1", "trial 1 makes no sense" },
        { "UPDATE trial SET params='speed=3' WHERE number=1", "trial 1 makes no sense" },
        { "UPDATE trial SET params='lr=fast' WHERE number=1", "trial 1 makes no sense" },
        { "UPDATE trial SET state=9 WHERE number=0", "trial 0 makes no sense" },
        { "UPDATE trial SET attempts=2147483647 WHERE number=1", "trial 1 makes no sense" },
        { "UPDATE trial SET attempts=-1 WHERE number=1", "trial 1 makes no sense" },
        { "UPDATE trial SET memo='1 x' WHERE number=0", "trial 0 makes no sense" },
        { "UPDATE trial SET lease='soon' WHERE number=1", "trial 1 makes no sense" },
        { "DELETE FROM trial WHERE number=0", "trial 0 makes no sense" },
        { "UPDATE curve SET points='1 x' WHERE trial=0", "learning curve of trial 0" },
        { "UPDATE curve SET fold=5 WHERE trial=0", "learning curve of trial 0" },
        { "UPDATE meta SET value='fast' WHERE key='sampler'", "its 'sampler'" },
        { "UPDATE meta SET value='-1' WHERE key='seed'", "its 'seed'" },
        { "DELETE FROM meta WHERE key='space'", "its 'space'" },
        { "DELETE FROM meta WHERE key='fingerprint'", "its 'fingerprint'" },
        { "UPDATE meta SET value='hone.study/9' WHERE key='format'", "its 'format'" },
    };
    static const double v[] = { 1, 2 };
    const struct hn_fold_curve curve = { v, 2 };
    struct hn_study *s = open_with(opts());
    struct hn_outcome_report r = { HN_TRIAL_DONE, 0.5, 0, 1, 2, "", &curve, 1 };
    (void)claim(s);
    HN_OK(hn_study_finish(s, 0, &r, &err), err);
    (void)claim(s);
    hn_study_close(s);
    const struct hn_trial *t;
    struct hn_fold_curve *curves;
    size_t n;
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        char command[2000];
        struct hn_arena arena;
        snprintf(command, sizeof command, "cp '%s' '%s.kept'", path, path);
        ck_assert_int_eq(system(command), 0);
        ck_assert_int_eq(sqlite3_exec(db, damage[i].sql, NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
        struct hn_study_opts o = opts();
        hn_arena_init(&arena, &mem);
        hone_status st = hn_study_open(ctx, &o, &s, &err);
        if (st == HONE_OK) st = hn_study_trials(s, &t, &n, &err);
        if (st == HONE_OK) st = hn_study_curves(s, 0, &arena, &curves, &n, &err);
        ck_assert_msg(st == HONE_E_CORRUPT && strstr(err.text, damage[i].text), "%s: %d %s",
                      damage[i].sql, (int)st, err.text);
        hn_study_close(s);
        s = NULL;
        hn_arena_clear(&arena);
        snprintf(command, sizeof command, "rm -f '%s-wal' '%s-shm'; mv '%s.kept' '%s'", path, path,
                 path, path);
        ck_assert_int_eq(system(command), 0);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    }
    sqlite3_close(db);
}
END_TEST

START_TEST(wrong_calls_are_told)
{
    struct hn_study *s = open_with(opts());
    struct hn_outcome_report r = { .state = HN_TRIAL_DONE, .value = 1 };
    ck_assert_int_eq(hn_study_finish(s, 0, &r, &err), HONE_E_USAGE);
    ck_assert_msg(strstr(err.text, "there is no trial 0") != NULL, "%s", err.text);
    claim(s);
    finish(s, 0, 2);
    ck_assert_int_eq(hn_study_finish(s, 0, &r, &err), HONE_E_USAGE);
    ck_assert_msg(strstr(err.text, "ended before: it is done") != NULL, "%s", err.text);
    ck_assert_int_eq(hn_study_renew(s, 0, &err), HONE_E_CORRUPT);
    hn_study_close(s);
}
END_TEST

static void refused(struct hn_study_opts o, hone_status want, const char *says)
{
    struct hn_study *s;
    hone_status st = hn_study_open(ctx, &o, &s, &err);
    ck_assert_msg(st == want && strstr(err.text, says), "%d: %s: %s, wanted %s", (int)st, err.where,
                  err.text, says);
    ck_assert_ptr_null(s);
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    ck_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

START_TEST(other_studies_are_refused)
{
    struct hn_study_opts o = opts();
    o.lag = 4;
    hn_study_close(open_with(o));
    o.lag = 5;
    refused(o, HONE_E_USAGE, "another lag: found 4, wanted 5");
    o = opts();
    o.keep = HN_KEEP_LAG;
    o.sampler.kind = HN_SAMPLER_GP;
    refused(o, HONE_E_USAGE, "another sampler: found random, wanted gp");
    o.keep |= HN_KEEP_SAMPLER;
    o.maximize = 1;
    refused(o, HONE_E_USAGE, "another direction");
    o.maximize = 0;
    o.fingerprint = "other";
    refused(o, HONE_E_USAGE, "found model+data, wanted other");
    o.fingerprint = NULL;
    o.space = NULL; /* brings its own space and lag */
    struct hn_study *s = open_with(o);
    ck_assert_str_eq(hn_study_space(s)->text, sp.text);
    ck_assert(hn_study_settings(s)->lag == 4 &&
              hn_study_settings(s)->sampler.kind == HN_SAMPLER_RANDOM);
    hn_study_close(s);
    struct hn_search_space other;
    HN_OK(space_from(&other, &mem, "x=0..1", &err), err);
    o.space = &other;
    refused(o, HONE_E_USAGE, "another search space");
    hn_space_clear(&other);
}
END_TEST

START_TEST(other_files_are_refused)
{
    struct hn_study_opts o = opts();
    char command[600];
    write_file(path, "lr: {type: float}\n");
    refused(o, HONE_E_USAGE, "is no study");
    unlink(path);
    o.space = NULL;
    refused(o, HONE_E_IO, "no such study");
    o = opts();
    o.path = folder;
    refused(o, HONE_E_USAGE, "is no study");
    o.path = "/no/such/folder/s.db";
    refused(o, HONE_E_IO, "cannot open");
    o.path = path;
    snprintf(command, sizeof command,
             "command -v sqlite3 >/dev/null && sqlite3 '%s' 'create table t(x)'", path);
    if (system(command) == 0)
        refused(o, HONE_E_USAGE, "is no study"); /* a database of somebody else */
    unlink(path);
    hn_study_close(open_with(o));
    FILE *f = fopen(path, "r+"); /* damage in the middle */
    ck_assert_ptr_nonnull(f);
    fseek(f, 100, SEEK_SET);
    for (int i = 0; i < 4000; i++) fputc(0x5a, f);
    fclose(f);
    struct hn_study *s;
    hone_status st = hn_study_open(ctx, &o, &s, &err);
    ck_assert_msg(st == HONE_E_CORRUPT, "%d %s", (int)st, err.text);
}
END_TEST

START_TEST(read_only_and_full_disks)
{
    struct hn_study *s = open_with(opts());
    struct rlimit limit = { 20000, 20000 };
    struct hn_claimed c;
    hone_status st = HONE_OK;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE,
              &limit); /* the file system takes no more: this test runs in a process of its own */
    for (int i = 0; i < 200 && st == HONE_OK; i++) st = hn_study_claim(s, &c, &err);
    ck_assert_msg(st == HONE_E_IO, "%d %s", (int)st, err.text);
    hn_study_close(s);
    if (geteuid() == 0) return; /* root writes where it may not */
    chmod(path, 0400);
    refused(opts(), HONE_E_IO, "cannot open");
}
END_TEST

START_TEST(lag_waits_for_results)
{
    struct hn_study_opts o = opts();
    o.lag = 3;
    o.sampler = (struct hn_sampler_opts){ .kind = HN_SAMPLER_TPE, .seed = 5, .startup = 1 };
    struct hn_study *s = open_with(o);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(claim(s).trial.number, i);
    struct hn_claimed c = claim(s);
    ck_assert(c.what == HN_CLAIM_WAIT && c.blocker == 0);
    finish(s, 2, 1);
    ck_assert_int_eq(claim(s).what, HN_CLAIM_WAIT);
    finish(s, 0, 1);
    ck_assert_int_eq(claim(s).trial.number, 3);
    ck_assert(claim(s).what == HN_CLAIM_WAIT);
    hn_study_close(s);
    o.trials = 4;
    s = open_with(o);
    ck_assert_int_eq(claim(s).what, HN_CLAIM_DONE); /* limit */
    hn_study_close(s);
}
END_TEST

/* Random points, and those before a model speaks, need no results: no worker waits for them; with a pruner trials are compared. */
START_TEST(lag_without_results)
{
    struct hn_study_opts o = opts();
    o.lag = 2;
    struct hn_study *s = open_with(o);
    for (int i = 0; i < 9; i++) ck_assert_int_eq(claim(s).trial.number, i);
    hn_study_close(s);
    new_path();
    o.sampler = (struct hn_sampler_opts){ .kind = HN_SAMPLER_GP, .seed = 5, .startup = 6 };
    s = open_with(o);
    for (int i = 0; i < 6; i++) ck_assert_int_eq(claim(s).trial.number, i);
    ck_assert_int_eq(claim(s).blocker, 0);
    hn_study_close(s);
    new_path();
    o = opts();
    o.lag = 2, o.pruner.kind = HN_PRUNER_MEDIAN;
    s = open_with(o);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(claim(s).trial.number, i);
    ck_assert_int_eq(claim(s).what, HN_CLAIM_WAIT);
    hn_study_close(s);
}
END_TEST

/* Workers of any number and speed: the same search, for a sampler that looks at results. */
static void search_with(int workers, int64_t n, double *out)
{
    struct hn_study_opts o = opts();
    int64_t running[9];
    int busy = 0;
    o.lag = 4, o.trials = n;
    o.sampler.kind = HN_SAMPLER_GP;
    new_path();
    struct hn_study *s = open_with(o);
    for (int tick = 0;; tick++) {
        struct hn_claimed c = { .what = HN_CLAIM_WAIT };
        if (busy < workers) c = claim(s);
        if (c.what == HN_CLAIM_TRIAL) {
            for (int i = 0; i < 3; i++) out[3 * c.trial.number + i] = c.trial.x[i];
            running[busy++] = c.trial.number;
            continue;
        }
        if (!busy) break;
        int k = tick * 7 % busy; /* whoever is ready first */
        const double *x = out + 3 * running[k];
        double lr = log(x[0]) + 3;
        finish(s, running[k], lr * lr + x[1] + (isnan(x[2]) ? 0 : 0.1 * x[2]));
        running[k] = running[--busy];
    }
    hn_study_close(s);
}

START_TEST(any_number_of_workers_makes_the_same_search)
{
    double one[60], other[60];
    search_with(1, 20, one);
    for (int workers = 2; workers <= 9; workers++) {
        search_with(workers, 20, other);
        for (int i = 0; i < 60; i++)
            ck_assert_msg(one[i] == other[i] || (isnan(one[i]) && isnan(other[i])),
                          "%d workers, trial %d", workers, i / 3);
    }
}
END_TEST

START_TEST(leases)
{
    struct hn_study_opts o = opts();
    o.lease_ms = 60000;
    struct hn_study *s = open_with(o);
    claim(s);
    HN_OK(hn_study_renew(s, 0, &err), err);
    HN_OK(hn_study_release(s, 0, &err), err);
    ck_assert_int_eq(claim(s).trial.number, 0);
    ck_assert_int_eq(claim(s).trial.number, 1); /* ours are alive */
    pid_t child = fork();
    if (child == 0) { /* a worker that dies with trial 2 */
        struct hn_study *mine;
        struct hn_claimed c;
        hone_context *own;
        if (hone_context_create(NULL, &own, NULL) != HONE_OK ||
            hn_study_open(own, &o, &mine, NULL) != HONE_OK ||
            hn_study_claim(mine, &c, NULL) != HONE_OK)
            _exit(9);
        _exit(c.trial.number == 2 ? 0 : 8);
    }
    int status;
    ck_assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct hn_claimed c = claim(s);
    ck_assert(c.trial.number == 2 && c.trial.attempts == 2); /* long before its lease runs out */
    hn_study_close(s);

    o.lease_ms = 1; /* runs out at once, as if the worker were on another machine */
    struct hn_study *two[] = { open_with(o), open_with(o) };
    int64_t last = claim(two[0]).trial.number;
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    ck_assert_int_ne(claim(two[0]).trial.number, last); /* nobody loses a trial to himself */
    int gone = 0;
    for (int i = 1; i < 10 && !gone; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
        gone = claim(two[i % 2]).trial.number > last + 1;
    }
    s = two[0];
    ck_assert_int_eq(gone, 1); /* given up after three attempts */
    const struct hn_trial *t;
    size_t n;
    HN_OK(hn_study_trials(s, &t, &n, &err), err);
    ck_assert_int_eq(t[last].state, HN_TRIAL_FAILED);
    ck_assert_int_eq(t[last].attempts, 3);
    hn_study_close(two[0]);
    hn_study_close(two[1]);
}
END_TEST

START_TEST(owners)
{
    char self[HN_OWNER], other[HN_OWNER + 8];
    hn_owner_self(&hn_io_system, &err, self);
    ck_assert_int_eq(hn_owner_is_dead(&hn_io_system, self, self), 0);
    /* our number, started at another time */
    const char *handle = strrchr(self, ':');
    snprintf(other, sizeof other, "%.*s7%s", (int)(handle - self), self, handle);
    ck_assert_int_eq(hn_owner_is_dead(&hn_io_system, self, other), 1);
    snprintf(other, sizeof other, "x%s", self); /* another machine */
    ck_assert_int_eq(hn_owner_is_dead(&hn_io_system, self, other), 0);
    ck_assert_int_eq(hn_owner_is_dead(&hn_io_system, self, ""), 0);
    ck_assert_int_eq(hn_owner_is_dead(&hn_io_system, self, "?:1:2:3"), 0);
}
END_TEST

static void worker(struct hn_study_opts o, int acknowledge)
{
    struct hn_study *s;
    struct hn_claimed c;
    hone_context *own;
    hone_error e;
    if (hone_context_create(NULL, &own, &e) != HONE_OK || hn_study_open(own, &o, &s, &e) != HONE_OK)
        _exit(3);
    for (;;) {
        if (hn_study_claim(s, &c, &e) != HONE_OK) _exit(4);
        if (c.what == HN_CLAIM_DONE) _exit(0);
        struct hn_outcome_report r = { .state = HN_TRIAL_DONE, .value = (double)c.trial.number };
        int64_t number = c.trial.number;
        if (c.what != HN_CLAIM_TRIAL) continue;
        if (hn_study_finish(s, number, &r, &e) != HONE_OK) _exit(5);
        if (write(acknowledge, &number, sizeof number) != sizeof number) _exit(6);
    }
}

/* Children are killed at any moment; what they have said to be finished is finished, and nothing else is wrong. */
START_TEST(kill_9)
{
    struct hn_study_opts o = opts();
    o.lease_ms = 60000;
    o.attempts = 100;
    unsigned char done[4000] = { 0 };
    for (int round = 0; round < 15; round++) {
        int ends[2];
        int64_t number;
        ck_assert_int_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) worker(o, ends[1]);
        close(ends[1]);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 + 3700000L * round }, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(ends[0], &number, sizeof number) == sizeof number) done[number] = 1;
        close(ends[0]);
        struct hn_study *s = open_with(o);
        const struct hn_trial *t;
        size_t n, running = 0;
        HN_OK(hn_study_trials(s, &t, &n, &err), err);
        for (size_t i = 0; i < n; i++) {
            ck_assert(!done[i] || (t[i].state == HN_TRIAL_DONE && t[i].value == (double)i));
            running += t[i].state == HN_TRIAL_RUNNING;
        }
        for (size_t i = n; i < sizeof done; i++) ck_assert(!done[i]);
        ck_assert_uint_le(running, 1);
        hn_study_close(s);
    }
}
END_TEST

START_TEST(processes_share_a_study)
{
    struct hn_study_opts o = opts();
    int ends[2], counts[60] = { 0 };
    int64_t number;
    o.lease_ms = 60000;
    o.trials = 60;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) worker(o, ends[1]);
    }
    close(ends[1]);
    while (read(ends[0], &number, sizeof number) == sizeof number) counts[number]++;
    for (int i = 0; i < 3; i++) {
        int status;
        waitpid(children[i], &status, 0);
        ck_assert_int_eq(status, 0);
    }
    for (int i = 0; i < 60; i++)
        ck_assert_msg(counts[i] == 1, "trial %d was run %d times", i, counts[i]);
    close(ends[0]);
}
END_TEST

static hone_status job(struct hn_fault *f)
{
    hone_context_opts co = HONE_CONTEXT_OPTS;
    hone_context *own;
    struct hn_study *s = NULL;
    struct hn_claimed c;
    const struct hn_trial *t;
    size_t n;
    struct hn_study_opts o = opts();
    co.alloc = f->mem.alloc, co.release = f->mem.release, co.alloc_user = f;
    o.lease_ms = 1000;
    HN_TRY(hn_context_create_with(&co, &f->io, &own, &err));
    hone_status st = hn_study_open(own, &o, &s, &err);
    if (st == HONE_OK) st = hn_study_claim(s, &c, &err);
    if (st == HONE_OK)
        st = hn_study_finish(s, c.trial.number,
                             &(struct hn_outcome_report){ .state = HN_TRIAL_DONE, .value = 1 },
                             &err);
    if (st == HONE_OK) st = hn_study_trials(s, &t, &n, &err);
    hn_study_close(s);
    hone_context_destroy(own);
    return st;
}

START_TEST(every_allocation_may_fail) { ck_assert_int_gt(hn_each_allocation_fails(job), 5); }
END_TEST

HN_TEST_MAIN("study", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, what_is_written_is_read);
             tcase_add_test(tc, long_words_are_read_again);
             if (!server()) tcase_add_test(tc, damaged_rows_are_told);
             tcase_add_test(tc, wrong_calls_are_told);
             tcase_add_test(tc, other_studies_are_refused);
             if (!server()) tcase_add_test(tc, other_files_are_refused);
             if (!server()) tcase_add_test(tc, read_only_and_full_disks);
             tcase_add_test(tc, lag_waits_for_results); tcase_add_test(tc, lag_without_results);
             tcase_add_test(tc, any_number_of_workers_makes_the_same_search);
             tcase_add_test(tc, leases); tcase_add_test(tc, owners); tcase_add_test(tc, kill_9);
             tcase_add_test(tc, processes_share_a_study);
             tcase_add_test(tc, every_allocation_may_fail);)
