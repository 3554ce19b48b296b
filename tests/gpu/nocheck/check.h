/* SPDX-License-Identifier: MIT
 *
 * What our tests use of Check, for machines without it (tools/gpu-check.sh): cases run one after the other in this process; a
 * failed assertion leaves its case and is counted. */
#ifndef HN_NO_CHECK_H
#define HN_NO_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void TestFunction(int);
typedef struct Suite {
    int unused;
} Suite;
typedef struct TCase {
    int unused;
} TCase;
typedef struct SRunner {
    int unused;
} SRunner;
enum { CK_NORMAL };

static jmp_buf no_check_out;
static int no_check_failed, no_check_run, no_check_seen;

static inline void no_check_fail(const char *file, int line)
{
    fprintf(stderr, " (%s:%d)\n", file, line);
    no_check_failed++;
    longjmp(no_check_out, 1);
}
#define ck_assert_msg(expr, ...)                                                                   \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "FAILED: " __VA_ARGS__);                                               \
            no_check_fail(__FILE__, __LINE__);                                                     \
        }                                                                                          \
    } while (0)
#define ck_assert(expr) ck_assert_msg(expr, "%s", #expr)
#define NO_CHECK_INT(a, op, b)                                                                     \
    ck_assert_msg((long long)(a)op(long long)(b), "%s %s %s: %lld and %lld", #a, #op, #b,          \
                  (long long)(a), (long long)(b))
#define ck_assert_int_eq(a, b)    NO_CHECK_INT(a, ==, b)
#define ck_assert_uint_eq(a, b)   NO_CHECK_INT(a, ==, b)
#define ck_assert_int_lt(a, b)    NO_CHECK_INT(a, <, b)
#define ck_assert_int_gt(a, b)    NO_CHECK_INT(a, >, b)
#define ck_assert_ptr_nonnull(p)  ck_assert_msg((p) != NULL, "%s is NULL", #p)
#define ck_assert_mem_eq(a, b, n) ck_assert_msg(memcmp(a, b, n) == 0, "%s and %s differ", #a, #b)
#define ck_assert_double_eq_tol(a, b, t)                                                           \
    ck_assert_msg(fabs((a) - (b)) <= (t), "%s and %s: %.12g and %.12g", #a, #b, (double)(a),       \
                  (double)(b))

#define START_TEST(name)                                                                           \
    static void name(int _i)                                                                       \
    {                                                                                              \
        (void)_i;
#define END_TEST }

/* HN_TEST_PART=I/N: this process has every N-th case, from the I-th on; HN_TEST_EVERY=K: of these only every K-th. */
static inline int no_check_mine(int index)
{
    const char *part = getenv("HN_TEST_PART"), *every = getenv("HN_TEST_EVERY");
    int i = 0, n = 1, k = every ? atoi(every) : 1;
    if (part && sscanf(part, "%d/%d", &i, &n) != 2) i = 0, n = 1;
    return index % n == i && index / n % (k < 1 ? 1 : k) == 0;
}

static inline void no_check_case(TestFunction *f, const char *name, int from, int to)
{
    for (volatile int i = from; i < to; i++) {
        if (!no_check_mine(no_check_seen++)) continue;
        no_check_run++;
        if (setjmp(no_check_out) == 0)
            f(i);
        else
            fprintf(stderr, "        case %s %d\n", name, i);
    }
}
#define tcase_add_test(tc, f)                ((void)(tc), no_check_case(f, #f, 0, 1))
#define tcase_add_loop_test(tc, f, from, to) ((void)(tc), no_check_case(f, #f, from, to))
static inline Suite *suite_create(const char *name)
{
    static Suite s;
    printf("%s:\n", name);
    return &s;
}
static inline TCase *tcase_create(const char *name)
{
    static TCase t;
    return (void)name, &t;
}
static inline void tcase_set_timeout(TCase *t, int seconds) { (void)t, (void)seconds; }
static inline void suite_add_tcase(Suite *s, TCase *t) { (void)s, (void)t; }
static inline SRunner *srunner_create(Suite *s)
{
    static SRunner r;
    return (void)s, &r;
}
static inline void srunner_run_all(SRunner *r, int how)
{
    (void)r, (void)how;
    printf("    %d cases, %d failed\n", no_check_run, no_check_failed);
}
static inline int srunner_ntests_failed(SRunner *r) { return (void)r, no_check_failed; }
static inline void srunner_free(SRunner *r) { (void)r; }
#endif
