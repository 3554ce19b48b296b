/* SPDX-License-Identifier: MIT
 *
 * After the first step a run neither allocates nor calls the system: malloc is interposed, and a seccomp filter ends the
 * process at any system call (with several threads, any but futex). The window reaches over ends of epochs with their
 * validation, best snapshots and shuffles. */
#include "plugin/train/job.h"
#include "tests/train/kit.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
int main(void) { return hn_skip("the sanitizer allocates and calls the system by itself"); }
#else
#include "tests/steady.h"

enum { REACHED = 40, ALLOCATED = 41, NO_SECCOMP = 42, LAST = 10 };

/* Has this thread slept? A worker does when it has nothing to do; one whose turn on a busy machine has not come yet is still in
 * the C library's own start, which calls the system. */
static int has_slept(const char *id)
{
    char path[300], line[200];
    long times = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", id);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "voluntary_ctxt_switches: %ld", &times);
    if (f) fclose(f);
    return times > 0;
}

static void await_workers(void)
{
    for (int waiting = 1, turns = 0; waiting && turns < 30000; turns++) {
        DIR *tasks = opendir("/proc/self/task");
        waiting = 0;
        for (struct dirent *e; tasks && (e = readdir(tasks));)
            waiting |= e->d_name[0] != '.' && atol(e->d_name) != getpid() && !has_slept(e->d_name);
        if (tasks) closedir(tasks);
        if (waiting) usleep(1000);
    }
}

struct window {
    int calls, threads;
    long before;
    int64_t last_epoch;
};

/* Opens after the first steps, closes in a later epoch. */
static hone_status watch(void *user, struct hn_fit *f, hone_error *err)
{
    struct window *w = user;
    (void)err;
    if (w->calls++ == 0) {
        await_workers();
        w->before = allocations;
        if (!hn_forbid_calls(w->threads > 1)) _exit(NO_SECCOMP);
    }
    if (f->cohort->member[0].r.now.epoch > w->last_epoch)
        _exit(allocations == w->before ? REACHED : ALLOCATED);
    return HONE_OK;
}

static void child(const char *model, const char *threads, const char *swa, const char *ema)
{
    static const struct kit_pair pairs[] = { { "epochs", "9" },     { "batch-size", "7" },
                                             { "dropout", "0.3" },  { "clip-norm", "1" },
                                             { "accumulate", "2" }, { "early-stop-patience", "99" },
                                             { NULL, NULL } };
    struct kit k;
    struct hn_job j;
    hone_error err;
    struct window w = { .threads = threads[0] - '0', .last_epoch = 6 };
    HN_OK(kit_open(&k, model, 10, NULL, NULL, &err), err);
    HN_OK(kit_set(&k, pairs, &err), err);
    HN_OK(hone_params_set(k.params, "threads", threads, &err), err);
    const int classes = strncmp(model, "ln", 2) != 0;
    HN_OK(hone_params_set(k.params, "metric", classes ? "f1,auc" : "rmse", &err), err);
    HN_OK(hone_params_set(k.params, "swa-start", swa, &err), err);
    HN_OK(hone_params_set(k.params, "ema", ema, &err), err);
    HN_OK(hn_job_init(&j, k.model, k.params, &err), err);
    HN_OK(hn_job_open(&j, k.data, NULL, &err), err);
    HN_OK(hn_job_start(&j, &err), err);
    j.fit->hooks = (struct hn_fit_hooks){ .user = &w, .tick = watch };
    HN_OK(hn_fit_start(j.fit, &err), err);
    HN_OK(hn_fit_run(j.fit, &err), err);
    _exit(1);
}

START_TEST(nothing_after_the_first_step)
{
    static const struct {
        const char *model, *threads, *swa, *ema;
    } cases[] = { { "bn_f32", "1", "0", "0" },   { "ln_f32", "1", "0", "0" },
                  { "bn_f64", "1", "0", "0" },   { "bn_f32", "2", "0", "0" },
                  { "bn_f16", "1", "0", "0" },   { "bn_f32", "1", "2", "0" },
                  { "bn_f32", "2", "1", "0" },   { "ln_f64", "1", "3", "0" },
                  { "bn_f32", "2", "0", "0.9" }, { "bn_f64", "1", "0", "0.9" },
                  { "bn_f16", "1", "0", "0.9" } };
    enum { N_CASES = sizeof cases / sizeof *cases };
    ck_assert_int_eq(N_CASES, LAST + 1);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) child(cases[_i].model, cases[_i].threads, cases[_i].swa, cases[_i].ema);
    int status;
    waitpid(pid, &status, 0);
    ck_assert_msg(!WIFSIGNALED(status), "%s, %s threads: a system call in a step (signal %d)",
                  cases[_i].model, cases[_i].threads, WTERMSIG(status));
    if (WEXITSTATUS(status) == NO_SECCOMP) {
        printf("no seccomp here\n");
        return;
    }
    ck_assert_msg(WEXITSTATUS(status) != ALLOCATED, "%s, %s threads: a step allocates",
                  cases[_i].model, cases[_i].threads);
    ck_assert_int_eq(WEXITSTATUS(status), REACHED);
    ck_assert_int_gt(allocations, 0);
}
END_TEST

HN_TEST_MAIN("steady", tcase_add_loop_test(tc, nothing_after_the_first_step, 0, LAST + 1);)
#endif
