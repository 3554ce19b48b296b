/* SPDX-License-Identifier: MIT
 *
 * Philox against the published known-answer vectors of Random123; the distributions on top; and recorded values, so
 * that a change of any stream, which would change every seed's results, does not pass unnoticed. */
#include "ops/base/rng.h"
#include "tests/harness.h"
#include <math.h>

START_TEST(known_answers)
{
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } v[] = {
        { { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        uint32_t out[4];
        hn_philox(v[i].ctr, v[i].key, out);
        for (int k = 0; k < 4; k++) ck_assert_uint_eq(out[k], v[i].out[k]);
    }
}
END_TEST

START_TEST(keys_differ_by_each_word)
{
    uint32_t a[2], b[2];
    hn_rng_key(1, 0, 0, a);
    hn_rng_key(1, 0, 0, b);
    ck_assert_mem_eq(a, b, sizeof a);
    hn_rng_key(2, 0, 0, b);
    ck_assert_mem_ne(a, b, sizeof a);
    hn_rng_key(1 | 1ull << 32, 0, 0, b);
    ck_assert_mem_ne(a, b, sizeof a);
    hn_rng_key(1, 1, 0, b);
    ck_assert_mem_ne(a, b, sizeof a);
    hn_rng_key(1, 0, 1, b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(streams_are_as_recorded)
{
    uint32_t key[2], rows[10];
    hn_rng_key(42, 3, 1, key);
    ck_assert_uint_eq(key[0], 0x397d8e69);
    ck_assert_uint_eq(key[1], 0x911f5fef);
    ck_assert_uint_eq(hn_rng_u32(key, HN_STREAM_INIT, 5), 0x68d96b1f);
    ck_assert_double_eq(hn_rng_uniform(key, HN_STREAM_INIT, 5), 0.5830253468298904);
    ck_assert_double_eq_tol(hn_rng_normal(key, HN_STREAM_INIT, 5), -0.9249944160934024, 1e-12);
    ck_assert_uint_eq(hn_rng_below(key, HN_STREAM_SPLIT, 5, 1000), 673);
    for (uint32_t i = 0; i < 10; i++) rows[i] = i;
    hn_rng_shuffle(key, HN_STREAM_SHUFFLE, 7, rows, 10);
    static const uint32_t recorded[10] = { 0, 6, 2, 9, 1, 8, 5, 7, 3, 4 };
    for (int i = 0; i < 10; i++) ck_assert_uint_eq(rows[i], recorded[i]);
}
END_TEST

START_TEST(uniform_moments)
{
    enum { N = 200000 };
    uint32_t key[2] = { 1, 2 };
    double sum = 0, squares = 0;
    int cells[10] = { 0 };
    for (int i = 0; i < N; i++) {
        double u = hn_rng_uniform(key, 9, (uint64_t)i);
        ck_assert(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
        cells[(int)(u * 10)]++;
    }
    ck_assert_double_eq_tol(sum / N, 0.5, 0.003);
    ck_assert_double_eq_tol(squares / N, 1.0 / 3, 0.003);
    for (int i = 0; i < 10; i++) ck_assert_double_eq_tol(cells[i], N / 10, 6 * sqrt(N * 0.09));
}
END_TEST

START_TEST(normal_moments)
{
    enum { N = 200000 };
    uint32_t key[2] = { 3, 4 };
    double m[5] = { 0 }, neighbours = 0, before = 0;
    for (int i = 0; i < N; i++) {
        double z = hn_rng_normal(key, 9, (uint64_t)i), p = 1;
        for (int k = 0; k < 5; k++, p *= z) m[k] += p / N;
        neighbours += z * before / N;
        before = z;
    }
    ck_assert_double_eq_tol(m[1], 0, 0.012);
    ck_assert_double_eq_tol(m[2], 1, 0.02);
    ck_assert_double_eq_tol(m[3], 0, 0.05);
    ck_assert_double_eq_tol(m[4], 3, 0.15);
    ck_assert_double_eq_tol(neighbours, 0, 0.012); /* the two of a pair do not know each other */
}
END_TEST

START_TEST(below_is_fair)
{
    uint32_t key[2] = { 5, 6 };
    int cells[7] = { 0 };
    for (int i = 0; i < 70000; i++) cells[hn_rng_below(key, 1, (uint64_t)i, 7)]++;
    for (int i = 0; i < 7; i++) ck_assert_double_eq_tol(cells[i], 10000, 600);
    /* 3·2^30: plain multiplication would give thirds of the range 1.5 times as often as others */
    int thirds[3] = { 0 };
    for (int i = 0; i < 30000; i++) thirds[hn_rng_below(key, 1, (uint64_t)i, 3u << 30) % 3]++;
    for (int i = 0; i < 3; i++) ck_assert_double_eq_tol(thirds[i], 10000, 500);
    ck_assert_uint_eq(hn_rng_below(key, 1, 3, 1), 0);
    ck_assert_uint_eq(hn_rng_below(key, 1, 3, 0), 0);
}
END_TEST

START_TEST(shuffle_is_fisher_yates_by_position)
{
    uint32_t key[2] = { 7, 8 }, rows[1000], slow[1000];
    for (size_t n = 0; n < 1000; n = n < 20 ? n + 1 : n * 2 + 1) {
        for (uint32_t i = 0; i < n; i++) rows[i] = slow[i] = i;
        hn_rng_shuffle(key, HN_STREAM_SHUFFLE, 3, rows, n);
        for (size_t i = n; i-- > 1;) {
            uint32_t j = hn_rng_below(key, HN_STREAM_SHUFFLE, 3ull << 32 | i, (uint32_t)i + 1);
            uint32_t t = slow[i];
            slow[i] = slow[j];
            slow[j] = t;
        }
        ck_assert_mem_eq(rows, slow, n * sizeof *rows);
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) sum += rows[i];
        ck_assert_uint_eq(sum, n ? n * (n - 1) / 2 : 0);
    }
    hn_rng_shuffle(key, HN_STREAM_SHUFFLE, 4, slow, 1000);
    ck_assert_mem_ne(rows, slow, sizeof rows);
}
END_TEST

START_TEST(every_order_of_four_is_as_likely)
{
    int count[256] = { 0 }, orders = 0;
    for (uint32_t epoch = 0; epoch < 24000; epoch++) {
        uint32_t key[2] = { 1, 1 }, rows[4] = { 0, 1, 2, 3 };
        hn_rng_shuffle(key, HN_STREAM_SHUFFLE, epoch, rows, 4);
        count[rows[0] | rows[1] << 2 | rows[2] << 4 | rows[3] << 6]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!count[i]) continue;
        orders++;
        ck_assert_double_eq_tol(count[i], 1000, 190);
    }
    ck_assert_int_eq(orders, 24);
}
END_TEST

START_TEST(dropout_threshold)
{
    ck_assert_uint_eq(hn_dropout_threshold(0), 0);
    ck_assert_uint_eq(hn_dropout_threshold(0.5), 32768);
    ck_assert_uint_eq(hn_dropout_threshold(1), 65536);
    ck_assert_uint_eq(hn_dropout_threshold(0.2), 13107);
}
END_TEST

HN_TEST_MAIN("rng", tcase_add_test(tc, known_answers); tcase_add_test(tc, keys_differ_by_each_word);
             tcase_add_test(tc, streams_are_as_recorded); tcase_add_test(tc, uniform_moments);
             tcase_add_test(tc, normal_moments); tcase_add_test(tc, below_is_fair);
             tcase_add_test(tc, shuffle_is_fisher_yates_by_position);
             tcase_add_test(tc, every_order_of_four_is_as_likely);
             tcase_add_test(tc, dropout_threshold);)
