/* SPDX-License-Identifier: MIT
 *
 * What every Check program shares:  HN_TEST_MAIN("rng", tcase_add_test(tc, vectors); tcase_add_test(tc, keys);)
 * A test whose material is absent calls hn_skip("why") from main (exit 77, shown as skipped by CTest). */
#ifndef HN_TEST_HARNESS_H
#define HN_TEST_HARNESS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs s with its tc: what main returns. */
static inline int hn_run(Suite *s, TCase *tc)
{
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}

#define HN_TEST_MAIN(name, ...)                                                                    \
    int main(void)                                                                                 \
    {                                                                                              \
        Suite *s = suite_create(name);                                                             \
        TCase *tc = tcase_create(name);                                                            \
        tcase_set_timeout(tc, 300);                                                                \
        __VA_ARGS__                                                                                \
        return hn_run(s, tc);                                                                      \
    }

/* ck_assert that a call succeeded, printing the error it left. */
#define HN_OK(call, err)                                                                           \
    do {                                                                                           \
        hone_status hn_st_ = (call);                                                               \
        ck_assert_msg(hn_st_ == HONE_OK, "%s: %d %s: %s", #call, (int)hn_st_, (err).where,         \
                      (err).text);                                                                 \
    } while (0)

static inline int hn_skip(const char *why)
{
    printf("skipped: %s\n", why);
    return 77;
}
#endif
