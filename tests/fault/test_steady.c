/* SPDX-License-Identifier: MIT
 *
 * After the first step a training step allocates nothing and makes no system call; with several threads only futex waits.
 * Allocations: malloc and its family are interposed for the whole process. System calls: a child trains, the parent
 * follows it and all its threads with ptrace and counts what they do between two marks (a getppid each). OpenBLAS starts
 * idle threads of its own unless OPENBLAS_NUM_THREADS=1, as CTest sets it; their going to sleep would be counted. */
#include "plugin/session_own.h"
#include "plugin/train/cohort.h"
#include "plugin/train/init.h"
#include "tests/harness.h"
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
int main(void) { return hn_skip("needs x86-64 and its own malloc; sanitizers have theirs"); }
#else
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static atomic_long allocations;
#ifndef SANITIZED
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t n)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(p, n);
}
int posix_memalign(void **p, size_t align, size_t n)
{
    atomic_fetch_add(&allocations, 1);
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}
void *aligned_alloc(size_t align, size_t n)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(align, n);
}
#endif

struct job {
    hone_context *ctx;
    hone_model *m;
    hone_data *d;
    hone_params *p;
    struct hn_session *s;
    struct hn_cohort *c;
};
enum { ROWS = 260, IN = 20, OUT = 5 };
static float x[ROWS * IN];
static int64_t y[ROWS];

static void open_job(struct job *j, const char *spec, const char *optimizer, int threads)
{
    hone_error err;
    char text[16];
    for (int i = 0; i < ROWS * IN; i++) x[i] = (float)((i * 37) % 101) / 50 - 1;
    for (int i = 0; i < ROWS; i++) y[i] = i % OUT;
    hone_array ax = { sizeof ax, NULL, HONE_F32, ROWS, IN, x },
               ay = { sizeof ay, NULL, HONE_I64, ROWS, 1, y };
    memset(j, 0, sizeof *j);
    snprintf(text, sizeof text, "%d", threads);
    HN_OK(hone_context_create(NULL, &j->ctx, &err), err);
    HN_OK(hone_params_create(j->ctx, &j->p, &err), err);
    HN_OK(hone_params_set(j->p, "threads", text, &err), err);
    HN_OK(hone_params_set(j->p, "optimizer", optimizer, &err), err);
    HN_OK(hone_params_set(j->p, "clip-norm", "5", &err), err);
    HN_OK(hone_params_set(j->p, "l1", "1e-5", &err), err);
    HN_OK(hone_model_new(j->ctx, spec, 1, &j->m, &err), err);
    HN_OK(hone_data_wrap(j->ctx, HONE_TRAIN, &ax, 1, &ay, 1, &j->d, &err), err);
    HN_OK(hn_session_open(j->m, j->d, j->p, HN_USE_TRAIN, &j->s, &err), err);
    struct hn_cohort_opts o = { &j->ctx->mem, j->s->backend, j->s->dev, j->s->prog, 64, 1 };
    HN_OK(hn_cohort_create(&o, &j->c, &err), err);
    struct hn_member_opts mo = { .schedule = { .kind = 0, .lr = 0.01, .epochs = 1000 },
                                 .data = j->s->bound[0],
                                 .rows = j->s->rows[0].rows,
                                 .n_rows = j->s->rows[0].n,
                                 .batch = 64,
                                 .shuffle = 1 };
    double lr;
    HN_OK(hn_params_hyper(j->p, &mo.hyper, &lr, &err), err);
    HN_OK(hn_cohort_add(j->c, 0, &mo, &err), err);
    size_t bytes = j->s->prog->n_slab * j->s->backend->elem;
    void *w = calloc(bytes, 1);
    HN_OK(hn_model_get_weights(j->m, j->s->prog, w, j->s->backend->elem, &err), err);
    HN_OK(hn_member_put(j->c, 0, HN_SLAB_W, w, &err), err);
    free(w);
}

static void close_job(struct job *j)
{
    hn_cohort_destroy(j->c);
    hn_session_close(j->s);
    hone_data_destroy(j->d);
    hone_model_destroy(j->m);
    hone_params_destroy(j->p);
    hone_context_destroy(j->ctx);
}

/* No ck_assert in here: even a successful one makes a system call. */
static int epochs(struct job *j, int n)
{
    int bad = 0;
    for (int e = 0; e < n; e++) {
        int64_t rows;
        hn_cohort_begin_epoch(j->c, 0);
        while (!bad && j->c->member[0].state == HN_MEMBER_RUNNING)
            bad = hn_cohort_advance(j->c, 3, &rows, NULL) != HONE_OK;
    }
    return bad;
}

static const char *const specs[] = { "20-16-5 relu batchnorm dropout=0.3",
                                     "20-64-32-5 tanh layernorm", "20-8-5 tanh" };
static const char *const optimizers[] = { "adam", "sgd", "rmsprop" };

START_TEST(no_allocation_after_the_first_step)
{
    struct job j;
    open_job(&j, specs[_i % 3], optimizers[_i % 3], _i < 3 ? 1 : 3);
    int bad = epochs(&j, 1);
    size_t hone = atomic_load(&j.ctx->mem.count);
    long before = atomic_load(&allocations);
    bad |= epochs(&j, 3);
    long after = atomic_load(&allocations);
    ck_assert_int_eq(bad, 0);
    ck_assert_uint_eq(atomic_load(&j.ctx->mem.count), hone);
    ck_assert_int_eq(after, before);
    close_job(&j);
}
END_TEST

/* The child: trains between two getppid calls, then leaves. */
static void child(const char *spec, const char *optimizer, int threads)
{
    struct job j;
    open_job(&j, spec, optimizer, threads);
    int bad = epochs(&j, 1);
    syscall(SYS_getppid);
    bad |= epochs(&j, 3);
    syscall(SYS_getppid);
    _exit(bad);
}

struct counts {
    long futex, other, first_other;
    int marks;
};

static void note_call(struct counts *c, long number)
{
    if (number == SYS_getppid)
        c->marks++;
    else if (c->marks == 1 && number == SYS_futex)
        c->futex++;
    else if (c->marks == 1) {
        if (!c->other++) c->first_other = number;
    }
}

/* Follows every thread of pid until all have ended. Entry and exit of a call are two stops: counted by thread parity. */
static void follow(pid_t pid, struct counts *c)
{
    struct {
        pid_t tid;
        int inside;
    } thread[64] = { { pid, 0 } };
    int n = 1, status, alive = 1;
    ck_assert_int_eq(waitpid(pid, &status, __WALL), pid);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, pid, 0,
                            PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL),
                     0);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    while (alive) {
        pid_t t = waitpid(-1, &status, __WALL);
        if (t < 0) break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (t == pid) {
                ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                              "the child ended with status %x", status);
                alive = 0;
            }
            continue;
        }
        int i = 0, deliver = 0;
        while (i < n && thread[i].tid != t) i++;
        if (i == n && n < 64) thread[n++].tid = t;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80) && i < 64) {
            struct user_regs_struct r;
            thread[i].inside = !thread[i].inside;
            if (thread[i].inside && ptrace(PTRACE_GETREGS, t, 0, &r) == 0)
                note_call(c, (long)r.orig_rax);
        } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
            deliver = WSTOPSIG(status);
        }
        ptrace(PTRACE_SYSCALL, t, 0, deliver);
    }
}

static void count_calls(int i, int threads, struct counts *c)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(77);
        raise(SIGSTOP);
        child(specs[i], optimizers[i], threads);
    }
    follow(pid, c);
    ck_assert_int_eq(c->marks, 2);
}

START_TEST(no_system_call_in_a_step)
{
    struct counts c = { 0 };
    count_calls(_i, 1, &c);
    ck_assert_msg(c.futex + c.other == 0,
                  "%ld futex and %ld other calls, the first of them number %ld", c.futex, c.other,
                  c.first_other);
}
END_TEST

START_TEST(only_futex_with_threads)
{
    struct counts c = { 0 };
    count_calls(_i, 3, &c);
    ck_assert_msg(c.other == 0, "%ld calls other than futex, the first of them number %ld", c.other,
                  c.first_other);
}
END_TEST

HN_TEST_MAIN("steady state",
#ifndef SANITIZED
             tcase_add_loop_test(tc, no_allocation_after_the_first_step, 0, 6);
             tcase_add_loop_test(tc, no_system_call_in_a_step, 0, 3);
             tcase_add_loop_test(tc, only_futex_with_threads, 0, 3);
#endif
)
#endif
