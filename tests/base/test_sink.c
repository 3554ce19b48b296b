/* SPDX-License-Identifier: MIT
 *
 * Buffers, appenders, paths, and the format engine against the C library's. */
#include "ops/base/format.h"
#include "ops/base/status.h"
#include "tests/base/scratch.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>

static hone_error err;

#define SAME(...)                                                                                  \
    do {                                                                                           \
        char wanted[2000];                                                                         \
        struct hn_buffer b;                                                                        \
        struct hn_mem m;                                                                           \
        hn_mem_init(&m, 0);                                                                        \
        hn_buffer_init(&b, &m);                                                                    \
        int n = snprintf(wanted, sizeof wanted, __VA_ARGS__);                                      \
        HN_OK(hn_sink_printf(&b.sink, &err, __VA_ARGS__), err);                                    \
        ck_assert_str_eq(b.p ? b.p : "", wanted);                                                  \
        ck_assert_uint_eq(b.n, (size_t)n);                                                         \
        hn_buffer_free(&b);                                                                        \
    } while (0)

START_TEST(conversions_are_those_of_printf)
{
    SAME("%s", "");
    SAME("plain %% text %c|%5c|%-5c|", 'x', 'y', 'z');
    SAME("%d %i %u %x %X %o %#x %+d % d %05d %-5d| %.3d", 1, -2, 3u, 0xabcu, 0xdefu, 8u, 255u, 4, 5,
         6, 7, 8);
    SAME("%hhd %hd %hhu %hu", (signed char)-1, (short)-2, (unsigned char)255,
         (unsigned short)65535);
    SAME("%ld %lld %lu %llu", LONG_MIN, LLONG_MIN, ULONG_MAX, ULLONG_MAX);
    SAME("%zu %zd %td %jd %ju", SIZE_MAX, (ssize_t)-1, (ptrdiff_t)-5, INTMAX_MIN, UINTMAX_MAX);
    SAME("%" PRId64 " %" PRIu64 " %" PRIx32, INT64_MIN, UINT64_MAX, UINT32_MAX);
    SAME("[%s] [%10s] [%-10s] [%.2s] [%*s] [%-*s] [%.*s] [%*s]", "abc", "abc", "abc", "abc", 6,
         "abc", 6, "abc", 1, "abc", -6, "abc");
    SAME("[%100s] [%-40s]", "right", "left");
    SAME("%e %E %f %F %g %G %a", 1.5, -2.5e300, 3.25, 1e10, 1e-10, 1e20, 0.1);
    SAME("%.0f %.10f %10.3f %-10.3f| %+.2e %08.3f %#.0f", 0.5, 1.0 / 3, M_PI, M_E, 12345.678, -1.5,
         2.0);
    SAME("%g %f %e %5g", (double)NAN, (double)INFINITY, (double)-INFINITY, (double)NAN);
    SAME("%f %.17g", DBL_MAX, DBL_MIN);
    SAME("%*.*f", 12, 4, 3.14159);
    SAME("%p", (void *)&err);
}
END_TEST

START_TEST(long_strings_and_bad_formats)
{
    struct hn_mem m;
    struct hn_buffer b;
    static char text[100001];
    const char *fmt = "%y"; /* not a literal: the compiler would refuse */
    hn_mem_init(&m, 0);
    hn_buffer_init(&b, &m);
    memset(text, 'x', sizeof text - 1);
    HN_OK(hn_sink_printf(&b.sink, &err, "<%s>", text), err);
    ck_assert_uint_eq(b.n, 100002);
    ck_assert_int_eq(b.p[100001], '>');
    ck_assert_int_eq(hn_sink_printf(&b.sink, &err, fmt, 1), HONE_E_INTERNAL);
    hn_buffer_free(&b);
    ck_assert_uint_eq(m.used, 0);
    struct hn_buffer zero = { 0 };
    hn_buffer_free(&zero);
    hn_fail(&err, HONE_E_DATA, "", "%s", text); /* longer than any message */
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
}
END_TEST

START_TEST(locale_changes_nothing) /* where one with a decimal comma is installed */
{
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ps_AF.UTF-8" };
    struct hn_mem m;
    struct hn_buffer b;
    size_t i = 0;
    hn_mem_init(&m, 0);
    hn_buffer_init(&b, &m);
    while (i < 4 && !setlocale(LC_ALL, names[i])) i++;
    HN_OK(hn_sink_printf(&b.sink, &err, "%.2f %g %e %a %s", 0.5, -1.25, 2.5, 0.1, "a,b"), err);
    ck_assert_str_eq(b.p, "0.50 -1.25 2.500000e+00 0x1.999999999999ap-4 a,b");
    setlocale(LC_ALL, "C");
    hn_buffer_free(&b);
}
END_TEST

static hone_status format_list(struct hn_buffer *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static hone_status format_list(struct hn_buffer *b, const char *fmt, ...)
{
    char small[6];
    va_list ap;
    va_start(ap, fmt);
    size_t n = hn_format_into(small, sizeof small, fmt, ap); /* twice from one list */
    ck_assert_uint_eq(n, 5);
    n = hn_format_into(small, sizeof small, fmt, ap);
    va_end(ap);
    return b->sink.write(&b->sink, small, n, &err);
}

START_TEST(cut_to_fit)
{
    struct hn_mem m;
    struct hn_buffer b;
    hn_mem_init(&m, 0);
    hn_buffer_init(&b, &m);
    HN_OK(format_list(&b, "%d-%s", 12, "abcdef"), err);
    ck_assert_str_eq(b.p, "12-ab");
    hn_buffer_free(&b);
}
END_TEST

static hone_status sink_job(struct hn_fault *f)
{
    struct hn_buffer b;
    struct hn_appender a;
    hn_buffer_init(&b, &f->mem);
    hone_status st = HONE_OK;
    for (int i = 0; i < 100 && st == HONE_OK; i++)
        st = hn_sink_printf(&b.sink, &err, "line %d\n", i);
    if (st == HONE_OK) st = hn_appender_open(&a, &f->io, scratch("log"), 1, &err);
    if (st == HONE_OK) {
        st = a.sink.write(&a.sink, b.p, b.n, &err);
        hn_appender_close(&a);
        hn_appender_close(&a);
    }
    if (st == HONE_OK) st = hn_appender_open(&a, &f->io, scratch("log"), 0, &err);
    if (st == HONE_OK) {
        st = hn_sink_str(&a.sink, "end\n", &err);
        hn_appender_close(&a);
    }
    hn_buffer_free(&b);
    return st;
}

START_TEST(appending_and_failing)
{
    struct hn_fault f;
    scratch_begin();
    hn_fault_init(&f);
    f.short_writes = 7;
    f.interrupt = 1;
    HN_OK(sink_job(&f), err);
    size_t n;
    char *p = scratch_read("log", &n);
    ck_assert_uint_eq(n, 10 * 7 + 90 * 8 + 4);
    ck_assert_str_eq(p + n - 12, "line 99\nend\n");
    free(p);
    for (int io = 0; io < 2; io++)
        for (long k = 1;; k++) {
            hn_fault_init(&f);
            (io ? &f.io_fail : &f.mem_fail)->at = k;
            hone_status st = sink_job(&f);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            if (!f.mem_fail.hits && !f.io_fail.hits) break;
            if (!io) ck_assert_int_eq(st, HONE_E_NOMEM);
        }
    ck_assert_int_eq(
        hn_appender_open(&(struct hn_appender){ 0 }, &f.io, scratch("no/log"), 0, &err), HONE_E_IO);
    struct hn_appender zero = { 0 };
    hn_appender_close(&zero);
    scratch_end();
}
END_TEST

/* What the file holds after `line` was added to `before`. */
static void check_added(const char *before, const char *after)
{
    struct hn_fault f;
    struct hn_appender a;
    size_t n;
    for (int interrupt = 0; interrupt < 2; interrupt++) {
        scratch_write("lines", before, strlen(before));
        hn_fault_init(&f);
        f.interrupt = interrupt;
        HN_OK(hn_appender_open(&a, &f.io, scratch("lines"), 0, &err), err);
        HN_OK(hn_sink_str(&a.sink, "{\"b\":2}\n", &err), err);
        hn_appender_close(&a);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        char *p = scratch_read("lines", &n);
        ck_assert_uint_eq(n, strlen(after));
        ck_assert_mem_eq(p, after, n);
        free(p);
    }
}

START_TEST(a_broken_last_line)
{
    struct hn_fault f;
    struct hn_appender a;
    scratch_begin();
    check_added("", "{\"b\":2}\n");
    check_added("{\"a\":1}\n", "{\"a\":1}\n{\"b\":2}\n");
    check_added("{\"a\":1}\n{\"a\":", "{\"a\":1}\n{\"b\":2}\n");
    check_added("{\"a\":1}\n{", "{\"a\":1}\n{\"b\":2}\n");
    check_added("{\"ev", "{\"b\":2}\n");
    check_added("{\"a\":1}\n{\"a\":1}", "{\"a\":1}\n{\"a\":1}\n{\"b\":2}\n");
    check_added("a text, ", "a text, {\"b\":2}\n"); /* whose is it? */
    for (long k = 1;; k++) {
        scratch_write("lines", "{\"a\":1}\n{\"a", 11);
        hn_fault_init(&f);
        f.io_fail.at = k;
        hone_status st = hn_appender_open(&a, &f.io, scratch("lines"), 0, &err);
        hn_appender_close(&a);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!f.io_fail.hits) break;
        ck_assert(st == HONE_OK || st == HONE_E_IO);
    }
    scratch_end();
}
END_TEST

START_TEST(paths)
{
    static const char *const dirs[][2] = { { "x.onnx", "." }, { "a/x.onnx", "a" },
                                           { "/x", "/" },     { "/a/b/x", "/a/b" },
                                           { "a//x", "a" },   { "a/b/", "a" },
                                           { "/", "/" },      { "", "." },
                                           { "a/", "." } };
    static const char *const joins[][3] = { { "a", "b", "a/b" }, { "a/", "b", "a/b" },
                                            { "", "b", "b" },    { ".", "b", "./b" },
                                            { "a", "/b", "/b" }, { "/", "b", "/b" } };
    struct hn_mem m;
    hn_mem_init(&m, 0);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *p = hn_path_dir(&m, dirs[i][0]);
        ck_assert_str_eq(p, dirs[i][1]);
        hn_free(&m, p);
    }
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *p = hn_path_join(&m, joins[i][0], joins[i][1]);
        ck_assert_str_eq(p, joins[i][2]);
        hn_free(&m, p);
    }
    ck_assert_str_eq(hn_path_base("a/b.c"), "b.c");
    ck_assert_str_eq(hn_path_base("b.c"), "b.c");
    ck_assert_int_eq(hn_path_exists(&hn_io_system, "/"), 1);
    ck_assert_int_eq(hn_path_exists(&hn_io_system, "/no/such"), 0);
    ck_assert_uint_eq(m.used, 0);
}
END_TEST

HN_TEST_MAIN("sink", tcase_add_test(tc, conversions_are_those_of_printf);
             tcase_add_test(tc, long_strings_and_bad_formats);
             tcase_add_test(tc, locale_changes_nothing); tcase_add_test(tc, cut_to_fit);
             tcase_add_test(tc, appending_and_failing); tcase_add_test(tc, a_broken_last_line);
             tcase_add_test(tc, paths);)
