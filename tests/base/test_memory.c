/* SPDX-License-Identifier: MIT
 *
 * Blocks, budgets, the arena, growable arrays, checked arithmetic; every allocation failing in turn. */
#include "ops/base/memory.h"
#include "ops/base/status.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <pthread.h>

START_TEST(blocks_are_aligned_and_counted)
{
    struct hn_mem m;
    void *p[100];
    hn_mem_init(&m, 0);
    for (size_t i = 0; i < 100; i++) {
        p[i] = hn_alloc(&m, i);
        ck_assert_uint_eq((uintptr_t)p[i] % 64, 0);
        memset(p[i], 0xAB, i);
    }
    ck_assert_uint_eq(m.count, 100);
    ck_assert_uint_ge(m.used, 4950);
    ck_assert_uint_eq(m.used, m.peak);
    for (int i = 0; i < 100; i++) hn_free(&m, p[i]);
    hn_free(&m, NULL);
    ck_assert_uint_eq(m.used, 0);
    ck_assert_uint_ge(m.peak, 4950);
}
END_TEST

START_TEST(realloc_keeps_the_bytes)
{
    struct hn_mem m;
    hn_mem_init(&m, 0);
    unsigned char *p = hn_realloc(&m, NULL, 10, 1);
    for (int i = 0; i < 10; i++) p[i] = (unsigned char)i;
    p = hn_realloc(&m, p, 1000, 3);
    for (int i = 0; i < 10; i++) ck_assert_int_eq(p[i], i);
    p = hn_realloc(&m, p, 5, 1);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(p[i], i);
    unsigned char *q = hn_realloc(&m, p, SIZE_MAX / 2, 3);
    ck_assert_ptr_null(q);
    ck_assert_int_eq(p[4], 4);
    hn_free(&m, p);
    ck_assert_uint_eq(m.used, 0);
}
END_TEST

START_TEST(absurd_sizes_are_refused)
{
    struct hn_mem m;
    hn_mem_init(&m, 0);
    ck_assert_ptr_null(hn_alloc(&m, SIZE_MAX));
    ck_assert_ptr_null(hn_alloc(&m, SIZE_MAX - 80));
    ck_assert_ptr_null(hn_alloc(&m, (size_t)PTRDIFF_MAX));
    ck_assert_ptr_null(hn_calloc(&m, SIZE_MAX / 2, 3));
    struct hn_arena a;
    hn_arena_init(&a, &m);
    ck_assert_ptr_null(hn_arena_alloc(&a, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(hn_arena_alloc(&a, SIZE_MAX, 1));
    ck_assert_ptr_null(hn_arena_alloc(&a, SIZE_MAX - 8, 1));
    ck_assert_uint_eq(m.used, 0);
}
END_TEST

START_TEST(budget_holds)
{
    struct hn_mem m;
    hn_mem_init(&m, 10000);
    void *p = hn_alloc(&m, 9000);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(hn_alloc(&m, 2000));
    ck_assert_ptr_null(hn_alloc(&m, SIZE_MAX - 200));
    hn_free(&m, p);
    p = hn_alloc(&m, 9000);
    ck_assert_ptr_nonnull(p);
    hn_free(&m, p);
    int tiny = 0; /* many tiny blocks cost the budget as well */
    void *blocks[10000];
    while (tiny < 10000 && (blocks[tiny] = hn_alloc(&m, 1))) tiny++;
    ck_assert_int_lt(tiny, 10000 / 64);
    while (tiny > 0) hn_free(&m, blocks[--tiny]);
    ck_assert_uint_le(m.peak, 10000);
}
END_TEST

static void *refused(void *user, size_t size)
{
    (void)user, (void)size;
    return NULL;
}

START_TEST(who_refused_is_known)
{
    struct hn_mem m;
    hone_error e = { 0 };
    hn_mem_init(&m, 10000);
    void *p = hn_alloc(&m, 6000);
    ck_assert_ptr_null(hn_alloc(&m, 5000));
    ck_assert_int_eq(hn_nomem_why(&m, HONE_OK, &e), HONE_OK);
    ck_assert_int_eq(hn_nomem_why(&m, HONE_E_DATA, &e), HONE_E_DATA);
    ck_assert_int_eq(hn_nomem_why(&m, HONE_E_NOMEM, NULL), HONE_E_BUDGET);
    ck_assert_int_eq(hn_nomem_why(&m, hn_nomem(&e, "a block", 5000), &e), HONE_E_BUDGET);
    ck_assert_int_eq(e.code, HONE_E_BUDGET);
    char text[200];
    snprintf(text, sizeof text,
             "out of memory: 5000 bytes for a block (memory_budget is 10000 bytes: %zu were in "
             "use, %zu more were asked for)",
             atomic_load(&m.used), atomic_load(&m.used) - 1000);
    ck_assert_str_eq(e.text, text);
    ck_assert(e.hint[0]);
    m.alloc = refused; /* within the budget, but there is none */
    ck_assert_ptr_null(hn_alloc(&m, 100));
    ck_assert_int_eq(hn_nomem_why(&m, hn_nomem(&e, "a block", 0), &e), HONE_E_NOMEM);
    ck_assert_str_eq(e.text, "out of memory for a block");
    hn_free(&m, p);
    hn_mem_init(&m, 0); /* no budget has refused anything */
    m.alloc = refused;
    ck_assert_ptr_null(hn_alloc(&m, PTRDIFF_MAX - 4096));
    ck_assert_int_eq(hn_nomem_why(&m, HONE_E_NOMEM, &e), HONE_E_NOMEM);
}
END_TEST

static void *hammer(void *user)
{
    struct hn_mem *m = user;
    for (int i = 0; i < 20000; i++) hn_free(m, hn_alloc(m, (size_t)(i % 300)));
    return NULL;
}

START_TEST(threads_share_a_budget)
{
    struct hn_mem m;
    pthread_t t[4];
    hn_mem_init(&m, 1000);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, hammer, &m), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    ck_assert_uint_eq(m.used, 0);
    ck_assert_uint_le(m.peak, 1000);
}
END_TEST

START_TEST(arena_gives_cleared_separate_memory)
{
    struct hn_mem m;
    struct hn_arena a = { 0 };
    hn_mem_init(&m, 0);
    hn_arena_clear(&a); /* a zeroed one is allowed */
    hn_arena_init(&a, &m);
    unsigned char *p[500];
    for (size_t i = 0; i < 500; i++) {
        size_t n = i * 37 % 3000;
        p[i] = hn_arena_alloc(&a, n, 1);
        ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < n; k++) ck_assert_int_eq(p[i][k], 0);
        memset(p[i], (int)i, n);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i * 37 % 3000; k++) ck_assert_int_eq(p[i][k], i % 256);
    char *big = hn_arena_alloc(&a, 5, 1 << 20);
    ck_assert_int_eq(big[(5 << 20) - 1], 0);
    ck_assert_str_eq(hn_arena_strdup(&a, "hello"), "hello");
    ck_assert_str_eq(hn_arena_strndup(&a, "hello", 2), "he");
    ck_assert_str_eq(hn_arena_strndup(&a, NULL, 0), "");
    ck_assert_str_eq(hn_arena_printf(&a, "%s/%d %.3f", "x", 7, 0.5), "x/7 0.500");
    hn_arena_clear(&a);
    ck_assert_uint_eq(m.used, 0);
    ck_assert_str_eq(hn_arena_strdup(&a, "again"), "again");
    hn_arena_clear(&a);
}
END_TEST

static int job(struct hn_mem *m)
{
    struct hn_arena a;
    int *v = NULL, ok = 1;
    size_t n = 0, cap = 0;
    hn_arena_init(&a, m);
    char *s = hn_strdup(m, "text");
    ok = ok && s;
    for (int i = 0; ok && i < 100; i++) ok = HN_PUSH(m, v, n, cap, i);
    for (size_t i = 0; ok && i < n; i++) ck_assert_int_eq(v[i], (int)i);
    ok = ok && hn_arena_alloc(&a, 1, 100) && hn_arena_alloc(&a, 10000, 1);
    ok = ok && hn_arena_printf(&a, "%05000d", 3);
    hn_free(m, v);
    hn_free(m, s);
    hn_arena_clear(&a);
    return ok;
}

START_TEST(every_allocation_may_fail)
{
    struct hn_fault f;
    for (int persistent = 0; persistent < 2; persistent++)
        for (long n = 1;; n++) {
            hn_fault_init(&f);
            f.mem_fail.at = n;
            f.mem_fail.persistent = persistent;
            int ok = job(&f.mem);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            ck_assert_uint_eq(f.mem.used, 0);
            if (!f.mem_fail.hits) {
                ck_assert(ok);
                ck_assert_int_ge(n, 7);
                break;
            }
            ck_assert(!ok);
        }
}
END_TEST

START_TEST(arithmetic)
{
    int64_t r = 5;
    ck_assert(hn_mul_i64(3, 4, &r));
    ck_assert_int_eq(r, 12);
    ck_assert(!hn_mul_i64(INT64_MAX, 2, &r));
    ck_assert(!hn_mul_i64(-1, 2, &r));
    ck_assert(!hn_add_i64(INT64_MAX, 1, &r));
    ck_assert(!hn_add_i64(-3, 2, &r));
    ck_assert_int_eq(r, 12);
    ck_assert(hn_add_i64(INT64_MAX, 0, &r));
    ck_assert_int_eq(r, INT64_MAX);
}
END_TEST

HN_TEST_MAIN("memory", tcase_add_test(tc, blocks_are_aligned_and_counted);
             tcase_add_test(tc, realloc_keeps_the_bytes);
             tcase_add_test(tc, absurd_sizes_are_refused); tcase_add_test(tc, budget_holds);
             tcase_add_test(tc, who_refused_is_known); tcase_add_test(tc, threads_share_a_budget);
             tcase_add_test(tc, arena_gives_cleared_separate_memory);
             tcase_add_test(tc, every_allocation_may_fail); tcase_add_test(tc, arithmetic);)
