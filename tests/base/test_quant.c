/* SPDX-License-Identifier: MIT
 *
 * Quantised tensors: what whole numbers stand for, and the way back. */
#include "ops/base/quant.h"
#include "tests/harness.h"

static const float one_scale[1] = { 0.5f };
static const uint8_t one_zero[1] = { 3 };
static const struct hn_tensor scale = { HN_F32, 0, { 0 }, 1, one_scale };
static const struct hn_tensor zero = { HN_U8, 0, { 0 }, 1, one_zero };

START_TEST(values_stand_for_their_distance_from_zero)
{
    const uint8_t q[4] = { 0, 3, 4, 255 };
    const struct hn_tensor t = { HN_U8, 1, { 4 }, 4, q };
    const struct hn_quant how = { HN_U8, &scale, &zero, 0 };
    const float want[4] = { -1.5f, 0, 0.5f, 126 };
    float x[4];
    double wide[4];
    hn_dequantize(&how, &t, x, HN_F32);
    hn_dequantize(&how, &t, wide, HN_F64);
    for (int i = 0; i < 4; i++) {
        ck_assert(x[i] == want[i]);
        ck_assert_double_eq(wide[i], (double)want[i]);
    }
}
END_TEST

/* Ties go to the even number, what is beyond to the nearest end. */
START_TEST(numbers_are_rounded_into_the_range)
{
    const float x[8] = { -1.75f, -1.5f, 0.25f, 0.75f, 0.26f, 1000, -1000, 126 };
    const uint8_t want[8] = { 0, 0, 3, 5, 4, 255, 0, 255 }, was[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };
    const struct hn_tensor t = { HN_U8, 1, { 8 }, 8, was };
    const struct hn_quant how = { HN_U8, &scale, &zero, 0 };
    uint8_t q[8];
    hn_quantize(&how, &t, x, HN_F32, q);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(q[i], want[i]);
}
END_TEST

/* Every whole number of a type comes back from what it stands for, with awkward scales, too. */
START_TEST(the_way_back_is_exact)
{
    static int16_t q[65536], back[65536];
    static float x[65536];
    const float awkward[3] = { 0.0078431377f, 3.0517578e-5f, 123.456f };
    for (int s = 0; s < 3; s++) {
        const struct hn_tensor by = { HN_F32, 1, { 1 }, 1, awkward + s };
        const struct hn_quant how = { HN_I16, &by, NULL, 0 };
        const struct hn_tensor t = { HN_I16, 1, { 65536 }, 65536, q };
        for (int i = 0; i < 65536; i++) q[i] = (int16_t)(i - 32768);
        hn_dequantize(&how, &t, x, HN_F32);
        struct hn_tensor other = t; /* not helped by what was there */
        static const int16_t far[65536] = { 0 };
        other.data = far;
        hn_quantize(&how, &other, x, HN_F32, back);
        ck_assert_mem_eq(q, back, sizeof q);
    }
}
END_TEST

START_TEST(scales_by_a_dim)
{
    const float by[2] = { 1, 0.25f };
    const int8_t zeros[2] = { 0, -4 }, q[6] = { 1, -4, 2, 0, 3, 4 };
    const struct hn_tensor s = { HN_F32, 1, { 2 }, 2, by }, z = { HN_I8, 1, { 2 }, 2, zeros };
    const struct hn_tensor columns = { HN_I8, 2, { 3, 2 }, 6, q },
                           rows = { HN_I8, 2, { 2, 3 }, 6, q };
    const struct hn_quant last = { HN_I8, &s, &z, 1 }, first = { HN_I8, &s, &z, 0 };
    const float want[2][6] = { { 1, 0, 2, 1, 3, 2 }, { 1, -4, 2, 1, 1.75f, 2 } };
    float x[6];
    int8_t back[6];
    hn_dequantize(&last, &columns, x, HN_F32);
    for (int i = 0; i < 6; i++) ck_assert(x[i] == want[0][i]);
    hn_dequantize(&first, &rows, x, HN_F32);
    for (int i = 0; i < 6; i++) ck_assert(x[i] == want[1][i]);
    hn_quantize(&first, &rows, x, HN_F32, back);
    ck_assert_mem_eq(q, back, 6);
    ck_assert(!hn_quant_same(&last, &first));
    ck_assert(hn_quant_same(&last, &last));
}
END_TEST

/* A float cannot hold a bias of 32 bits; one that did not move keeps them. */
START_TEST(what_did_not_move_keeps_its_bits)
{
    const int32_t was[3] = { 16777217, -2147483647, 5 };
    const struct hn_tensor t = { HN_I32, 1, { 3 }, 3, was };
    const struct hn_quant how = { HN_I32, &scale, NULL, 0 };
    float x[3];
    int32_t q[3];
    hn_dequantize(&how, &t, x, HN_F32);
    hn_quantize(&how, &t, x, HN_F32, q);
    ck_assert_mem_eq(q, was, sizeof q);
    x[2] = 1e30f, x[0] = -1e30f;
    hn_quantize(&how, &t, x, HN_F32, q);
    ck_assert_int_eq(q[2], INT32_MAX);
    ck_assert_int_eq(q[0], INT32_MIN);
    ck_assert_int_eq(q[1], was[1]);
}
END_TEST

START_TEST(types)
{
    double low, high;
    ck_assert(hn_quant_range(HN_I8, &low, &high));
    ck_assert_double_eq(low, -128);
    ck_assert_double_eq(high, 127);
    ck_assert(!hn_quant_range(HN_I64, &low, &high));
    ck_assert(!hn_quant_range(HN_F32, &low, &high));
}
END_TEST

HN_TEST_MAIN("quant", {
    tcase_add_test(tc, values_stand_for_their_distance_from_zero);
    tcase_add_test(tc, numbers_are_rounded_into_the_range);
    tcase_add_test(tc, the_way_back_is_exact);
    tcase_add_test(tc, scales_by_a_dim);
    tcase_add_test(tc, what_did_not_move_keeps_its_bits);
    tcase_add_test(tc, types);
})
