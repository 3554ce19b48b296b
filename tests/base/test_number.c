/* SPDX-License-Identifier: MIT
 *
 * Numbers as text and back: round trips, agreement with strtod bit for bit, hard cases, other locales. */
#include "ops/base/json.h"
#include "ops/base/rng.h"
#include "tests/harness.h"
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>

static uint64_t bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static uint64_t random64(uint64_t i)
{
    static const uint32_t key[2] = { 11, 12 };
    return (uint64_t)hn_rng_u32(key, 1, 2 * i) << 32 | hn_rng_u32(key, 1, 2 * i + 1);
}

static void same_as_strtod(const char *text)
{
    double v = 0, wanted = strtod(text, NULL); /* an assertion a call would cost a system call */
    if (!hn_parse_double(text, strlen(text), &v)) ck_abort_msg("'%s' refused", text);
    if (bits(v) != bits(wanted)) ck_abort_msg("'%s': %a, wanted %a", text, v, wanted);
}

START_TEST(a_million_doubles_round_trip)
{
    char text[32];
    for (uint64_t i = 0; i < 1000000; i++) {
        uint64_t u = random64(i);
        double v, back;
        memcpy(&v, &u, sizeof v);
        if (isnan(v) || isinf(v)) continue;
        hn_format_double(text, v);
        if (strlen(text) > 24 || !hn_parse_double(text, strlen(text), &back) ||
            bits(v) != bits(back))
            ck_abort_msg("%a became '%s'", v, text);
        if (i % 4 == 0) same_as_strtod(text);
    }
}
END_TEST

START_TEST(tables_of_all_shapes_agree_with_strtod)
{
    char text[64];
    for (uint64_t i = 0; i < 400000; i++) {
        uint64_t u = random64(i);
        uint64_t mantissa = u >> (u % 64);
        int e = (int)(random64(i + 1) % 60) - 30;
        switch (i % 4) {
        case 0: snprintf(text, sizeof text, "%" PRIu64 "e%d", mantissa, e); break;
        case 1:
            snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64, mantissa % 1000000,
                     u % 10000000000);
            break;
        case 2: snprintf(text, sizeof text, "-0.%0*" PRIu64, (int)(u % 25) + 1, mantissa); break;
        default:
            snprintf(text, sizeof text, "%.*f", (int)(u % 20), (double)(int64_t)u * 1e-15);
            break;
        }
        same_as_strtod(text);
    }
}
END_TEST

/* Halfway cases: the middle of two neighbours, exactly, a little less, a little more. */
START_TEST(ties_and_their_neighbours)
{
    static char text[1200], other[1300];
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t u = random64(i) & 0x7FFFFFFFFFFFFFFF;
        if (i % 3 == 0) u = (u & 0xFFFFFFFFFFFFF) | (uint64_t)(1023 + (int)(i % 100) - 50) << 52;
        if (i % 7 == 0) u &= 0xFFFFFFFFFFFFF; /* subnormal */
        double v;
        memcpy(&v, &u, sizeof v);
        if (isnan(v) || isinf(v)) continue;
        long double middle = (long double)v + (long double)(nextafter(v, (double)INFINITY) - v) / 2;
        snprintf(text, sizeof text, "%.1100Lg", middle);
        same_as_strtod(text);
        char *e = strchr(text, 'e');
        int n = e ? (int)(e - text) : (int)strlen(text);
        if (!memchr(text, '.', (size_t)n)) continue;
        snprintf(other, sizeof other, "%.*s0000000000000000000000000001%s", n, text, e ? e : "");
        same_as_strtod(other);
        if (text[n - 1] > '0' && text[n - 1] <= '9') {
            text[n - 1]--;
            same_as_strtod(text);
        }
    }
}
END_TEST

START_TEST(chosen_values)
{
    static const char *const texts[] = { "0",
                                         "-0",
                                         "1",
                                         "+1",
                                         "1.",
                                         ".5",
                                         "-.5e1",
                                         "1e5",
                                         "1E+5",
                                         "1e-5",
                                         "0.1",
                                         "123456789012345678",
                                         "1234567890123456789",
                                         "12345678901234567890",
                                         "9007199254740993",
                                         "9007199254740992.5",
                                         "9007199254740993.00000000000000000000000000001",
                                         "1e22",
                                         "1e23",
                                         "1e308",
                                         "1.7976931348623157e308",
                                         "1.7976931348623159e308",
                                         "1e309",
                                         "1e99999999999999999999",
                                         "1e-99999999999999999999",
                                         "4.9e-324",
                                         "2.4703282292062327e-324",
                                         "2.4703282292062328e-324",
                                         "2.2250738585072011e-308",
                                         "2.2250738585072014e-308",
                                         "8.41e21",
                                         "9.5e-18",
                                         "9999999999999999999e-18",
                                         "18446744073709551616",
                                         "0.000000000000000000000000000000000000000000001",
                                         "1e0000000000000000000005",
                                         "0e999999999999",
                                         "9999999999999999999e19",
                                         "1e19",
                                         "1e-19",
                                         "5e-324",
                                         "3e-324",
                                         "2e-324",
                                         "0.30000000000000004" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) same_as_strtod(texts[i]);
    static char zeros[300100]; /* 0.000…0001e300000, and 1000…000e-300000 */
    double v;
    memset(zeros, '0', sizeof zeros);
    memcpy(zeros, "0.", 2);
    memcpy(zeros + 300002 - 1, "1e300000", 8);
    ck_assert(hn_parse_double(zeros, 300009, &v));
    ck_assert_double_eq(v, 1);
    memset(zeros, '0', sizeof zeros);
    zeros[0] = '1';
    memcpy(zeros + 300001, "e-300000", 8);
    ck_assert(hn_parse_double(zeros, 300009, &v));
    ck_assert_double_eq(v, 1);
}
END_TEST

START_TEST(words)
{
    double v = 0;
    ck_assert(hn_parse_double("inf", 3, &v) && isinf(v) && v > 0);
    ck_assert(hn_parse_double("-Infinity", 9, &v) && isinf(v) && v < 0);
    ck_assert(hn_parse_double("NaN", 3, &v) && isnan(v));
    ck_assert(hn_parse_double("+nan", 4, &v) && isnan(v));
}
END_TEST

START_TEST(what_is_no_number)
{
    static const char *const texts[] = { "",      "+",         "-",    ".",    "+.",   "e5",
                                         "1e",    "1e+",       "1e5x", " 1",   "1 ",   "1,5",
                                         "1.2.3", "0x10",      "--1",  "+-1",  "in",   "infi",
                                         "nanx",  "infinityx", "1_0",  "-.e1", "1e5.", "\xD9\xA1" };
    double v = 7;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!hn_parse_double(texts[i], strlen(texts[i]), &v), "'%s' taken", texts[i]);
    ck_assert_double_eq(v, 7);
    ck_assert(hn_parse_double("12345", 2, &v)); /* exactly n bytes, no NUL needed */
    ck_assert_double_eq(v, 12);
    ck_assert(!hn_parse_double("1\0", 2, &v));
}
END_TEST

START_TEST(shortest_text)
{
    static const struct {
        double v;
        const char *text;
    } t[] = { { 0.1, "0.1" },
              { 1e-5, "1e-05" },
              { 1, "1" },
              { -0.0, "-0" },
              { 5e-324, "5e-324" },
              { 1e22, "1e+22" },
              { 100, "100" },
              { 0.1 + 0.2, "0.30000000000000004" },
              { 1.0 / 3, "0.3333333333333333" },
              { DBL_MAX, "1.7976931348623157e+308" },
              { (double)NAN, "nan" },
              { (double)INFINITY, "inf" },
              { -(double)INFINITY, "-inf" } };
    char text[32];
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        hn_format_double(text, t[i].v);
        ck_assert_str_eq(text, t[i].text);
    }
}
END_TEST

START_TEST(integers)
{
    static const char *const bad[] = { "",
                                       "-",
                                       "+",
                                       "1.0",
                                       " 1",
                                       "1 ",
                                       "9223372036854775808",
                                       "-9223372036854775809",
                                       "99999999999999999999",
                                       "0x1",
                                       "--1" };
    int64_t v = 3;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!hn_parse_i64(bad[i], strlen(bad[i]), &v), "'%s' taken", bad[i]);
    ck_assert_int_eq(v, 3);
    ck_assert(hn_parse_i64("9223372036854775807", 19, &v) && v == INT64_MAX);
    ck_assert(hn_parse_i64("-9223372036854775808", 20, &v) && v == INT64_MIN);
    ck_assert(hn_parse_i64("+0012", 5, &v) && v == 12);
}
END_TEST

/* Any locale with another decimal point will do; none need be installed. */
START_TEST(locale_changes_nothing)
{
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR",
                                         "ps_AF.UTF-8" };
    char text[64];
    size_t i = 0;
    while (i < 5 && !setlocale(LC_ALL, names[i])) i++;
    hn_format_double(text, 0.5);
    ck_assert_str_eq(text, "0.5");
    double v = 0;
    ck_assert(hn_parse_double("0.5", 3, &v) && v == 0.5);
    static const char many_digits[] = "1.23456789012345678901234567890e-200";
    ck_assert(hn_parse_double(many_digits, sizeof many_digits - 1, &v));
    ck_assert_double_eq(v, 1.23456789012345678901234567890e-200);
    ck_assert(!hn_parse_double("0,5", 3, &v));
    setlocale(LC_ALL, "C");
}
END_TEST

HN_TEST_MAIN("number", tcase_add_test(tc, a_million_doubles_round_trip);
             tcase_add_test(tc, tables_of_all_shapes_agree_with_strtod);
             tcase_add_test(tc, ties_and_their_neighbours); tcase_add_test(tc, chosen_values);
             tcase_add_test(tc, words); tcase_add_test(tc, what_is_no_number);
             tcase_add_test(tc, shortest_text); tcase_add_test(tc, integers);
             tcase_add_test(tc, locale_changes_nothing);)
