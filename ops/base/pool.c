/* SPDX-License-Identifier: MIT
 *
 * The pool. A run is one 64-bit ticket, { generation : 32 | pieces left : 32 }. Whoever lowers it by compare-and-swap owns
 * one piece, and a run with a piece that is owned and not done cannot end, so its function and argument stand still for
 * the owner; a thread that comes late finds no piece left and touches nothing. `open_pieces` counts those not done; who
 * brings it to 0 wakes the caller.
 *
 *     caller:  task, open_pieces := n → ticket := {g+1, n} → signal += 1 → wake sleepers → take pieces → wait for 0
 *     worker:  spin or sleep until signal moves → take pieces → again
 *
 * Both sleeps are the usual pair: announce that one sleeps, then look again; the other side first changes what is looked
 * at, then looks for sleepers. That needs sequentially consistent order, which the defaults of stdatomic give. */
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

enum { SPIN_NS = 20000, MAX_THREADS = 1024, LINE = 64 };

struct worker {
    struct hn_pool *pool;
    pthread_t thread;
    int index;
};

struct hn_pool {
    struct hn_mem *mem;
    struct worker *workers; /* [threads - 1] */
    int threads, started;
    long spins; /* how often to look before sleeping */
    void (*fn)(void *user, int i, int worker);
    void *user;
    int n;
    uint32_t generation; /* of the caller */
    _Alignas(LINE) atomic_ullong ticket;
    _Alignas(LINE) atomic_uint open_pieces; /* a futex: the caller sleeps on it */
    atomic_int caller_sleeps;
    _Alignas(LINE) atomic_uint signal; /* a futex: workers sleep on it */
    atomic_int sleepers, stop;
};

static void pause_cpu(void)
{
#if defined(__SSE2__)
    _mm_pause();
#endif
}

/* The kernel looks at *word itself: it returns at once when that is not `seen` any more. */
static void futex_wait(atomic_uint *word, unsigned seen)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int n)
{
    syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* ---- one run ---- */

static void take_pieces(struct hn_pool *p, int worker)
{
    unsigned long long t = atomic_load(&p->ticket);
    while ((uint32_t)t) {
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t - 1)) continue;
        p->fn(p->user, p->n - (int)(uint32_t)t, worker);
        if (atomic_fetch_sub(&p->open_pieces, 1) == 1 && atomic_load(&p->caller_sleeps))
            futex_wake(&p->open_pieces, 1);
        t = atomic_load(&p->ticket);
    }
}

static void wait_until_done(struct hn_pool *p)
{
    unsigned left;
    for (long i = 0; i < p->spins; i++) {
        if (atomic_load(&p->open_pieces) == 0) return;
        pause_cpu();
    }
    atomic_store(&p->caller_sleeps, 1);
    while ((left = atomic_load(&p->open_pieces)) != 0) futex_wait(&p->open_pieces, left);
    atomic_store(&p->caller_sleeps, 0);
}

/* The signal after `seen`. */
static unsigned wait_for_signal(struct hn_pool *p, unsigned seen)
{
    unsigned now;
    for (long i = 0; i < p->spins; i++) {
        if ((now = atomic_load(&p->signal)) != seen) return now;
        pause_cpu();
    }
    atomic_fetch_add(&p->sleepers, 1);
    while ((now = atomic_load(&p->signal)) == seen) futex_wait(&p->signal, seen);
    atomic_fetch_sub(&p->sleepers, 1);
    return now;
}

static void *work(void *user)
{
    struct worker *w = user;
    struct hn_pool *p = w->pool;
    unsigned seen = 0;
    hn_denormals_off();
    for (;;) {
        seen = wait_for_signal(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        take_pieces(p, w->index);
    }
}

static void raise_signal(struct hn_pool *p, int wake)
{
    atomic_fetch_add(&p->signal, 1);
    if (atomic_load(&p->sleepers)) futex_wake(&p->signal, wake);
}

void hn_pool_run(struct hn_pool *p, int n, void (*fn)(void *user, int i, int worker), void *user)
{
    if (!p || p->threads == 1 || n < 2) {
        for (int i = 0; i < n; i++) fn(user, i, 0);
        return;
    }
    p->fn = fn;
    p->user = user;
    p->n = n;
    atomic_store(&p->open_pieces, (unsigned)n);
    atomic_store(&p->ticket, (unsigned long long)++p->generation << 32 | (unsigned)n);
    raise_signal(p, n - 1);
    take_pieces(p, 0);
    wait_until_done(p);
}

/* ---- life ---- */

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* How many looks take SPIN_NS: counted once, so that a run never asks for the time. The fastest of a few measurements
 * is the one nothing interrupted. */
static long count_spins(struct hn_pool *p)
{
    enum { LOOKS = 500 };
    int64_t best = INT64_MAX;
    if (p->threads > hn_cpu_count())
        return 1; /* spinning would keep the one that works from its core */
    for (int k = 0; k < 5; k++) {
        int64_t t = now_ns();
        for (int i = 0; i < LOOKS; i++) {
            (void)atomic_load(&p->signal);
            pause_cpu();
        }
        t = now_ns() - t;
        if (t < best) best = t;
    }
    return best > 0 ? SPIN_NS * (int64_t)LOOKS / best + 1 : LOOKS;
}

/* Workers inherit a full signal mask, so that signals go to the host's threads. */
static int start_workers(struct hn_pool *p)
{
    sigset_t all, saved;
    int rc = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    while (rc == 0 && p->started < p->threads - 1) {
        struct worker *w = &p->workers[p->started];
        *w = (struct worker){ .pool = p, .index = p->started + 1 };
        rc = pthread_create(&w->thread, NULL, work, w);
        p->started += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return rc;
}

hone_status hn_pool_create(struct hn_mem *m, int threads, struct hn_pool **out, hone_error *err)
{
    char text[96];
    *out = NULL;
    if (threads < 1 || threads > MAX_THREADS)
        return hn_fail(err, HONE_E_USAGE, "threads", "found %d, wanted 1 to %d", threads,
                       MAX_THREADS);
    struct hn_pool *p = hn_calloc(m, 1, sizeof *p);
    if (!p) return hn_nomem(err, "the thread pool", sizeof *p);
    p->mem = m;
    p->threads = threads;
    p->workers = hn_calloc(m, (size_t)threads, sizeof *p->workers);
    if (!p->workers) {
        hn_free(m, p);
        return hn_nomem(err, "the thread pool", (size_t)threads * sizeof *p->workers);
    }
    p->spins = count_spins(p);
    int rc = start_workers(p);
    if (rc) {
        hone_status st = hn_fail(err, HONE_E_NOMEM, "threads", "started %d of %d, then: %s",
                                 p->started + 1, threads, strerror_r(rc, text, sizeof text));
        hn_pool_destroy(p);
        return st;
    }
    *out = p;
    return HONE_OK;
}

void hn_pool_destroy(struct hn_pool *p)
{
    if (!p) return;
    atomic_store(&p->stop, 1);
    raise_signal(p, p->threads);
    for (int i = 0; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
    hn_free(p->mem, p->workers);
    hn_free(p->mem, p);
}

int hn_pool_threads(const struct hn_pool *p) { return p ? p->threads : 1; }

int hn_cpu_count(void)
{
    unsigned long mask[1024]; /* 65,536 processors: the kernel refuses a mask that is too small */
    memset(mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)(void *)mask) != 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        return n > 0 ? (int)n : 1;
    }
    int n = 0;
    for (size_t i = 0; i < sizeof mask / sizeof *mask; i++) n += __builtin_popcountl(mask[i]);
    return n > 0 ? n : 1;
}

int hn_threads_with_room(int most)
{
    size_t each = 0;
    pthread_attr_t usual;
    if (pthread_attr_init(&usual) == 0) {
        pthread_attr_getstacksize(&usual, &each);
        pthread_attr_destroy(&usual);
    }
    each += (size_t)64 << 20;
    for (; most > 1; most--) {
        const size_t bytes = (size_t)most * each;
        void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p != MAP_FAILED) {
            munmap(p, bytes);
            return most;
        }
    }
    return 1;
}

/* MXCSR: bit 15 flushes tiny results to zero, bit 6 reads tiny operands as zero. */
unsigned hn_denormals_off(void)
{
#if defined(__SSE2__)
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040);
    return saved;
#else
    return 0;
#endif
}

void hn_denormals_restore(unsigned saved)
{
#if defined(__SSE2__)
    _mm_setcsr((_mm_getcsr() & ~0x8040u) | (saved & 0x8040));
#else
    (void)saved;
#endif
}
