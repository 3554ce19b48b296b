/* SPDX-License-Identifier: MIT
 *
 * The pool: each piece exactly once, whatever the threads, over very many tiny runs; failures of create; denormals; how many threads there is room for. */
#include "ops/base/pool.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <float.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const int thread_counts[] = { 1, 2, 3, 5, 16 };

struct marks {
    int done[64];
    int per_worker[16];
};

static void mark(void *user, int i, int worker)
{
    struct marks *m = user;
    m->done
        [i]++; /* plain: a piece that ran twice at once is a data race the thread sanitizer sees */
    m->per_worker[worker]++;
}

static void check_runs(struct hn_pool *p, int threads, int runs)
{
    struct marks m = { 0 };
    long wanted[64] = { 0 }, total = 0, seen = 0, wrong = 0;
    for (int r = 0; r < runs; r++) {
        int n = r * 7 % 65;
        hn_pool_run(p, n, mark, &m);
        for (int i = 0; i < n; i++) wrong += m.done[i] != ++wanted[i];
        total += n;
    }
    ck_assert_int_eq(wrong, 0);
    for (int w = 0; w < 16; w++) {
        if (w >= threads) ck_assert_int_eq(m.per_worker[w], 0);
        seen += m.per_worker[w];
    }
    ck_assert_int_eq(seen, total);
}

START_TEST(each_piece_once)
{
    struct hn_mem m;
    struct hn_pool *p;
    hone_error err;
    hn_mem_init(&m, 0);
    int threads = thread_counts[_i];
    HN_OK(hn_pool_create(&m, threads, &p, &err), err);
    ck_assert_int_eq(hn_pool_threads(p), threads);
    size_t allocations = m.count;
    check_runs(p, threads, threads > 5 ? 20000 : 100000);
    ck_assert_uint_eq(m.count, allocations);
    hn_pool_destroy(p);
    ck_assert_uint_eq(m.used, 0);
}
END_TEST

START_TEST(pauses_between_runs) /* workers asleep at some, spinning at others */
{
    struct hn_mem m;
    struct hn_pool *p;
    hone_error err;
    hn_mem_init(&m, 0);
    HN_OK(hn_pool_create(&m, thread_counts[_i], &p, &err), err);
    for (int r = 0; r < 300; r++) {
        struct timespec t = { 0, (r % 5) * 20000 };
        check_runs(p, thread_counts[_i], 5);
        nanosleep(&t, NULL);
    }
    hn_pool_destroy(p);
}
END_TEST

START_TEST(born_and_gone)
{
    struct hn_mem m;
    struct hn_pool *p;
    hone_error err;
    hn_mem_init(&m, 0);
    for (int i = 0; i < 200; i++) {
        HN_OK(hn_pool_create(&m, 1 + i % 4, &p, &err), err);
        if (i & 1) check_runs(p, 1 + i % 4, i % 3);
        hn_pool_destroy(p);
    }
    hn_pool_destroy(NULL);
    ck_assert_uint_eq(m.used, 0);
}
END_TEST

START_TEST(no_pool_is_a_loop)
{
    check_runs(NULL, 1, 100);
    ck_assert_int_eq(hn_pool_threads(NULL), 1);
    ck_assert_int_ge(hn_cpu_count(), 1);
}
END_TEST

struct barrier {
    atomic_int here;
    double tiny[4];
    int blocked[4];
};

/* Each of two pieces waits for the other, so two threads take part. */
static void look_around(void *user, int i, int worker)
{
    struct barrier *b = user;
    sigset_t set;
    volatile double smallest = DBL_MIN;
    atomic_fetch_add(&b->here, 1);
    while (atomic_load(&b->here) < 2) {}
    b->tiny[worker] = smallest / 4;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    b->blocked[worker] = sigismember(&set, SIGINT) && sigismember(&set, SIGTERM);
    (void)i;
}

START_TEST(workers_block_signals_and_flush_denormals)
{
    struct hn_mem m;
    struct hn_pool *p;
    hone_error err;
    struct barrier b = { 0 };
    hn_mem_init(&m, 0);
    HN_OK(hn_pool_create(&m, 2, &p, &err), err);
    unsigned saved = hn_denormals_off();
    hn_pool_run(p, 2, look_around, &b);
    hn_denormals_restore(saved);
    hn_pool_destroy(p);
    ck_assert_int_eq(b.blocked[0], 0);
    ck_assert_int_eq(b.blocked[1], 1);
#if defined(__SSE2__)
    ck_assert(b.tiny[0] == 0 && b.tiny[1] == 0);
#endif
    volatile double smallest = DBL_MIN;
    ck_assert(smallest / 4 > 0); /* restored */
}
END_TEST

START_TEST(bad_requests)
{
    struct hn_fault f;
    hone_error err;
    struct hn_pool *p = (struct hn_pool *)&f;
    hn_fault_init(&f);
    ck_assert_int_eq(hn_pool_create(&f.mem, 0, &p, &err), HONE_E_USAGE);
    ck_assert_ptr_null(p);
    ck_assert_int_eq(hn_pool_create(&f.mem, 100000, &p, &err), HONE_E_USAGE);
    for (long n = 1; n <= 2; n++) {
        hn_fault_init(&f);
        f.mem_fail.at = n;
        ck_assert_int_eq(hn_pool_create(&f.mem, 3, &p, &err), HONE_E_NOMEM);
        ck_assert_ptr_null(p);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
    }
}
END_TEST

/* Threads that are not asked for by number are no more than there is address space for. */
START_TEST(short_address_space)
{
    struct rlimit was, little;
    pthread_attr_t usual;
    size_t each;
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &was), 0);
    pthread_attr_init(&usual);
    pthread_attr_getstacksize(&usual, &each);
    pthread_attr_destroy(&usual);
    each += (size_t)64 << 20;
    for (int room = 0; room < 6; room++) {
        little = was;
        little.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + each * (rlim_t)room + each / 2;
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &little), 0);
        int few = hn_threads_with_room(4), one = hn_threads_with_room(1);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &was), 0);
        ck_assert_int_eq(few, room < 1 ? 1 : room < 4 ? room : 4);
        ck_assert_int_eq(one, 1);
    }
}
END_TEST

HN_TEST_MAIN("pool", tcase_add_loop_test(tc, each_piece_once, 0, 5);
             tcase_add_loop_test(tc, pauses_between_runs, 0, 5); tcase_add_test(tc, born_and_gone);
             tcase_add_test(tc, no_pool_is_a_loop);
             tcase_add_test(tc, workers_block_signals_and_flush_denormals);
             tcase_add_test(tc, bad_requests); tcase_add_test(tc, short_address_space);)
