/* SPDX-License-Identifier: MIT
 *
 * Error text: names, cutting, hostile bytes, aliasing, suggestions. */
#include "ops/base/status.h"
#include "ops/base/utf8.h"
#include "tests/harness.h"

START_TEST(names_and_texts)
{
    ck_assert_str_eq(hn_status_name(HONE_OK), "HONE_OK");
    ck_assert_str_eq(hn_status_name(HONE_E_IO), "HONE_E_IO");
    ck_assert_str_eq(hn_status_text(HONE_E_IO), "reading or writing a file failed");
    ck_assert_str_eq(hn_status_name((hone_status)-1234), "HONE_E_?");
    ck_assert_ptr_nonnull(hn_status_text((hone_status)-1234));
    ck_assert_int_eq(HONE_E_INTERNAL, -70);
}
END_TEST

START_TEST(fail_fills_everything)
{
    hone_error e = { .hint = "old" };
    ck_assert_int_eq(hn_fail(&e, HONE_E_MODEL, "fc1", "found %d, wanted %s", 3, "four"),
                     HONE_E_MODEL);
    ck_assert_int_eq(e.code, HONE_E_MODEL);
    ck_assert_str_eq(e.where, "fc1");
    ck_assert_str_eq(e.text, "found 3, wanted four");
    ck_assert_str_eq(e.hint, "");
    ck_assert_int_eq(hn_hint(&e, e.code, "try %s", "this"), HONE_E_MODEL);
    ck_assert_str_eq(e.hint, "try this");
    ck_assert_int_eq(hn_fail(&e, HONE_E_IO, NULL, "x"), HONE_E_IO);
    ck_assert_str_eq(e.where, "");
    ck_assert_int_eq(hn_fail(NULL, HONE_E_DATA, "a", "b"), HONE_E_DATA);
    ck_assert_int_eq(hn_hint(NULL, HONE_E_DATA, "b"), HONE_E_DATA);
    ck_assert_int_eq(hn_nomem(&e, "the arena", 12), HONE_E_NOMEM);
    ck_assert_str_eq(e.text, "out of memory: 12 bytes for the arena");
}
END_TEST

START_TEST(arguments_may_point_into_the_error)
{
    hone_error e;
    hn_fail(&e, HONE_E_DATA, "place", "inner");
    hn_fail(&e, HONE_E_CORRUPT, e.where, "outer: %s (%s)", e.text, e.where);
    ck_assert_str_eq(e.where, "place");
    ck_assert_str_eq(e.text, "outer: inner (place)");
}
END_TEST

static int is_utf8(const char *s)
{
    for (size_t n = strlen(s), i = 0, k; i < n; i += k)
        if ((k = hn_utf8_len(s + i, n - i)) == 0) return 0;
    return 1;
}

START_TEST(cut_between_characters)
{
    char text[4 * 1024 + 8];
    hone_error e;
    for (int shift = 0; shift < 4;
         shift++) { /* 1, 2, 3 or 4 bytes of the last character would fit */
        memset(text, 'a', (size_t)shift);
        for (int i = 0; i < 1000; i++) memcpy(text + shift + 4 * i, "\xF0\x9F\x98\x80", 5);
        hn_fail(&e, HONE_E_DATA, text, "%s", text);
        ck_assert(is_utf8(e.text) && is_utf8(e.where));
        ck_assert_uint_ge(strlen(e.text), sizeof e.text - 4);
        ck_assert_uint_ge(strlen(e.where), sizeof e.where - 4);
        ck_assert_ptr_null(strchr(e.text, '?'));
    }
}
END_TEST

/* A name of a file in another encoding keeps its length: nothing of it was cut. */
START_TEST(names_that_are_no_utf8)
{
    hone_error e;
    hn_fail(&e, HONE_E_IO, "caf\xe9", "x");
    ck_assert_str_eq(e.where, "caf?");
    hn_fail(&e, HONE_E_IO, "\xff", "x");
    ck_assert_str_eq(e.where, "?");
}
END_TEST

START_TEST(hostile_bytes_do_not_reach_a_terminal)
{
    hone_error e;
    hn_fail(&e, HONE_E_MODEL, "a\x1b[31m\nb",
            "x\x07y\xFFz\xC0\x80\xED\xA0\x80 \xC2\x9B \x7F\n\xC3\xA9");
    ck_assert_str_eq(e.where, "a?[31m?b");
    ck_assert_str_eq(e.text, "x?y?z?\?\?\?? ? ?\n\xC3\xA9");
}
END_TEST

START_TEST(suggestions)
{
    static const char *const list[] = { "epochs", "patience", "lr",   "lr-decay",
                                        "batch",  "Relu",     "Gelu", NULL };
    ck_assert_str_eq(hn_suggest("epoch", list), "epochs");
    ck_assert_str_eq(hn_suggest("patinece", list), "patience"); /* a swap is one edit */
    ck_assert_str_eq(hn_suggest("lr_decay", list), "lr-decay");
    ck_assert_str_eq(hn_suggest("rl", list), "lr");
    ck_assert_str_eq(hn_suggest("relu", list), "Relu");
    ck_assert_ptr_null(hn_suggest("momentum", list));
    ck_assert_ptr_null(hn_suggest("x", list));
    ck_assert_ptr_null(hn_suggest("", list));
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    ck_assert_ptr_null(hn_suggest(longer, list));
}
END_TEST

START_TEST(utf8_lengths)
{
    ck_assert_uint_eq(hn_utf8_len("a", 1), 1);
    ck_assert_uint_eq(hn_utf8_len("\xC3\xA9", 2), 2);
    ck_assert_uint_eq(hn_utf8_len("\xC3\xA9", 1), 0);
    ck_assert_uint_eq(hn_utf8_len("\xE2\x82\xAC", 3), 3);
    ck_assert_uint_eq(hn_utf8_len("\xF4\x8F\xBF\xBF", 4), 4);
    ck_assert_uint_eq(hn_utf8_len("\xF4\x90\x80\x80", 4), 0);
    ck_assert_uint_eq(hn_utf8_len("\xE0\x80\x80", 3), 0);
    ck_assert_uint_eq(hn_utf8_len("\xF0\x80\x80\x80", 4), 0);
    ck_assert_uint_eq(hn_utf8_len("", 0), 0);
}
END_TEST

HN_TEST_MAIN("status", tcase_add_test(tc, names_and_texts);
             tcase_add_test(tc, fail_fills_everything);
             tcase_add_test(tc, arguments_may_point_into_the_error);
             tcase_add_test(tc, cut_between_characters); tcase_add_test(tc, names_that_are_no_utf8);
             tcase_add_test(tc, hostile_bytes_do_not_reach_a_terminal);
             tcase_add_test(tc, suggestions); tcase_add_test(tc, utf8_lengths);)
