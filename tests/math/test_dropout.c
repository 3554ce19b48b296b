/* SPDX-License-Identifier: MIT
 *
 * Dropout's contract (ops/base/rng.h), computed again here from hn_philox alone. */
#include "ops/math/op.h"
#include "tests/harness.h"
#include <math.h>

enum { MOST = 1 << 18 };
static double x[MOST], y[MOST], z[MOST];

struct ask { /* one call */
    int rank;
    int64_t d[3];
    double rate;
    uint32_t stream, key[2];
    uint64_t batch;
    int off, backward;
};

static void apply(const struct ask *a, const double *from, double *to)
{
    const struct hn_dropout attrs = { 0.9, a->stream, 0 }; /* call.rate is what counts */
    struct hn_op op = { &hn_op_dropout,         &attrs, 1, 1, (const int32_t[]){ 0 },
                        (const int32_t[]){ 1 }, "d",    0 };
    struct hn_extent e = { a->rank, { a->d[0], a->d[1], a->d[2] } };
    void *in[1] = { (void *)(uintptr_t)from }, *out[1] = { to };
    struct hn_call c = { .op = &op,
                         .xs = &e,
                         .ys = &e,
                         .x = in,
                         .y = out,
                         .dx = out,
                         .dy = in,
                         .rows = a->d[0],
                         .train = !a->off,
                         .rate = a->rate,
                         .key = a->key,
                         .batch = a->batch };
    (a->backward ? hn_op_dropout.backward : hn_op_dropout.forward)(&c);
}

static void ones(int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = 1;
}

static int dropped(const struct ask *a, uint32_t row, uint32_t col)
{
    uint32_t ctr[4] = { col, row / 8, (uint32_t)a->batch, a->stream }, out[4];
    hn_philox(ctr, a->key, out);
    uint32_t word = out[row % 8 / 2], bits = row % 2 ? word >> 16 : word & 0xffff;
    return bits < (uint32_t)floor(a->rate * 65536 + 0.5);
}

START_TEST(masks_follow_the_contract)
{
    static const double rates[] = { 0, 1.0 / 65536, 0.1, 0.5, 0.875, 65535.0 / 65536 };
    static const int64_t sizes[][2] = { { 1, 1 },  { 1, 37 }, { 7, 5 },  { 8, 16 },
                                        { 9, 17 }, { 33, 3 }, { 64, 64 } };
    for (int r = 0; r < 6; r++)
        for (int s = 0; s < 7; s++) {
            struct ask a = { 2,          { sizes[s][0], sizes[s][1] },
                             rates[r],   HN_STREAM_DROPOUT + 7,
                             { 11, 22 }, 5000000000u,
                             0,          0 };
            ones(a.d[0] * a.d[1]);
            apply(&a, x, y);
            for (uint32_t i = 0; i < a.d[0]; i++)
                for (uint32_t k = 0; k < a.d[1]; k++) {
                    double want = rates[r] > 0 && dropped(&a, i, k) ? 0 : 1 / (1 - rates[r]);
                    ck_assert_msg(y[i * a.d[1] + k] == want, "rate %g, row %u, column %u: %g",
                                  rates[r], i, k, y[i * a.d[1] + k]);
                }
            a.backward = 1;
            apply(&a, x, z);
            ck_assert_mem_eq(y, z, (size_t)(a.d[0] * a.d[1]) * 8);
        }
}
END_TEST

START_TEST(rates_are_kept)
{
    static const double rates[] = { 0.05, 0.2, 0.5, 0.8 };
    for (int r = 0; r < 4; r++) {
        struct ask a = { 2, { 512, 512 }, rates[r], HN_STREAM_DROPOUT, { 3, 4 }, 1, 0, 0 };
        double n = 512.0 * 512, zeros = 0, pairs = 0, sum = 0;
        ones(512 * 512);
        apply(&a, x, y);
        for (int i = 0; i < 512 * 512; i++)
            zeros += y[i] == 0, sum += y[i], pairs += y[i] == 0 && y[(i + 512) % (512 * 512)] == 0;
        double sigma = sqrt(n * rates[r] * (1 - rates[r]));
        ck_assert_double_le(fabs(zeros - n * rates[r]), 5 * sigma);
        ck_assert_double_le(fabs(sum / n - 1),
                            5 * sigma / n / (1 - rates[r])); /* the mean is kept */
        ck_assert_double_le(fabs(pairs - n * rates[r] * rates[r]),
                            6 * sqrt(n) * rates[r]); /* rows are independent */
    }
}
END_TEST

START_TEST(masks_do_not_depend_on_layout)
{
    struct ask flat = { 2, { 13, 15, 1 }, 0.4, HN_STREAM_DROPOUT + 1, { 9, 9 }, 77, 0, 0 },
               deep = flat, part = flat, row = flat;
    ones(13 * 15);
    apply(&flat, x, y);
    deep.rank = 3, deep.d[1] = 3, deep.d[2] = 5;
    apply(&deep, x, z);
    ck_assert_mem_eq(y, z, 13 * 15 * 8);
    part.d[0] = 6; /* a shorter batch has the first rows of a longer one */
    apply(&part, x, z);
    ck_assert_mem_eq(y, z, 6 * 15 * 8);
    row.rank = 1; /* rank 1: one column */
    apply(&row, x, z);
    for (int i = 0; i < 13; i++) ck_assert_double_eq(z[i], y[i * 15]);
    apply(&flat, x, x); /* in place */
    ck_assert_mem_eq(x, y, 13 * 15 * 8);
}
END_TEST

START_TEST(every_word_of_the_counter_matters)
{
    const struct ask base = { 2, { 32, 32 }, 0.5, HN_STREAM_DROPOUT, { 1, 2 }, 3, 0, 0 };
    for (int i = 0; i < 4; i++) {
        struct ask other = base;
        other.stream += i == 0, other.key[0] += i == 1, other.key[1] += i == 2,
            other.batch += i == 3;
        ones(1024);
        apply(&base, x, y);
        apply(&other, x, z);
        int equal = 0;
        for (int k = 0; k < 1024; k++) equal += y[k] == z[k];
        ck_assert_msg(equal > 400 && equal < 624, "%d of 1024 decisions are the same", equal);
    }
}
END_TEST

START_TEST(inference_is_the_identity)
{
    struct ask a = { 2, { 4, 5 }, 0.5, HN_STREAM_DROPOUT, { 1, 2 }, 3, 1, 0 };
    for (int i = 0; i < 20; i++) x[i] = i - 7.25;
    apply(&a, x, y);
    ck_assert_mem_eq(x, y, 20 * 8);
    a.backward = 1;
    apply(&a, x, y);
    ck_assert_mem_eq(x, y, 20 * 8);
}
END_TEST

HN_TEST_MAIN("dropout", {
    tcase_add_test(tc, masks_follow_the_contract);
    tcase_add_test(tc, rates_are_kept);
    tcase_add_test(tc, masks_do_not_depend_on_layout);
    tcase_add_test(tc, every_word_of_the_counter_matters);
    tcase_add_test(tc, inference_is_the_identity);
})
