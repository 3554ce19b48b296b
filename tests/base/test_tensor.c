/* SPDX-License-Identifier: MIT
 *
 * Element types: half types over all their values, conversion of every pair against a slow truth, unaligned data. */
#include "ops/base/rng.h"
#include "ops/base/tensor.h"
#include "tests/harness.h"
#include <float.h>
#include <math.h>

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* The value of a half by the definition; exponent bits and fraction bits given. */
static double definition(uint16_t h, int fraction_bits, int bias)
{
    int fraction = h & ((1 << fraction_bits) - 1), exponent = (h & 0x7FFF) >> fraction_bits;
    double v = exponent ? ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits)
                        : ldexp(fraction, 1 - bias - fraction_bits);
    return h & 0x8000 ? -v : v;
}

START_TEST(every_half_round_trips)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = hn_half_to_float((uint16_t)h);
        if (hn_float_to_half(f) != h) ck_abort_msg("half %04x became %04x", h, hn_float_to_half(f));
        if ((h & 0x7C00) == 0x7C00) {
            if (h & 0x3FF ? !isnan(f) : !isinf(f)) ck_abort_msg("half %04x is %a", h, (double)f);
        } else if ((double)f != definition((uint16_t)h, 10, 15) || !signbit(f) != (h < 0x8000)) {
            ck_abort_msg("half %04x is %a", h, (double)f);
        }
    }
    ck_assert_uint_eq(hn_float_to_half(INFINITY), 0x7C00);
}
END_TEST

START_TEST(every_bf16_round_trips)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = hn_bf16_to_float((uint16_t)h);
        if (hn_float_to_bf16(f) != h) ck_abort_msg("bf16 %04x became %04x", h, hn_float_to_bf16(f));
        if (isfinite(f) && (double)f != definition((uint16_t)h, 7, 127))
            ck_abort_msg("bf16 %04x", h);
    }
}
END_TEST

/* Between neighbours a and b: below the middle a, above it b, at it the even one. From a float and from a double. */
static void between(enum hn_dtype t, uint16_t (*narrow)(float), float (*widen)(uint16_t),
                    uint16_t top)
{
    for (uint32_t h = 0; h < top; h++)
        for (int sign = 0; sign < 2; sign++) {
            uint16_t a = (uint16_t)(h | (unsigned)sign << 15), b = (uint16_t)(a + 1),
                     even = h & 1 ? b : a, got[5];
            double x = (double)widen(a), y = (double)widen(b), middle = (x + y) / 2;
            if (isinf(y)) middle = x + (x - (double)widen((uint16_t)(a - 1))) / 2;
            double v[5] = { middle, nextafter(middle, x), nextafter(middle, 2 * middle), x,
                            (double)nextafterf((float)middle, (float)x) };
            uint16_t wanted[5] = { even, a, b, a, a };
            hn_convert(got, t, v, HN_F64, 5);
            if (memcmp(got, wanted, sizeof got))
                ck_abort_msg("%04x: %04x %04x %04x", a, got[0], got[1], got[2]);
            if (narrow((float)middle) != even || narrow(nextafterf((float)middle, (float)x)) != a ||
                narrow(nextafterf((float)middle, (float)(2 * middle))) != b)
                ck_abort_msg("%04x from float", a);
        }
}

START_TEST(halves_round_to_nearest_even)
{
    between(HN_F16, hn_float_to_half, hn_half_to_float, 0x7C00);
    ck_assert_uint_eq(hn_float_to_half(65519.996f), 0x7BFF);
    ck_assert_uint_eq(hn_float_to_half(65520.0f), 0x7C00);
    ck_assert_uint_eq(hn_float_to_half(-FLT_MAX), 0xFC00);
    ck_assert_uint_eq(hn_float_to_half(0x1p-25f), 0);
    ck_assert_uint_eq(hn_float_to_half(0x1.000002p-25f), 1);
    ck_assert_uint_eq(hn_float_to_half(-0x1p-149f), 0x8000);
    between(HN_BF16, hn_float_to_bf16, hn_bf16_to_float, 0x7F7F);
    ck_assert_uint_eq(hn_float_to_bf16(FLT_MAX), 0x7F80);
}
END_TEST

START_TEST(nan_stays_nan)
{
    for (uint32_t u = 0x7F800001; u < 0x80000000; u += 0x1FF7) {
        float f;
        memcpy(&f, &u, sizeof f);
        ck_assert((hn_float_to_half(f) & 0x3FF) && (hn_float_to_bf16(f) & 0x7F));
    }
    double nan = (double)NAN;
    uint16_t h;
    hn_convert(&h, HN_F16, &nan, HN_F64, 1);
    ck_assert(isnan(hn_half_to_float(h)));
}
END_TEST

START_TEST(names_and_sizes)
{
    ck_assert_uint_eq(hn_dtype_size(HN_F32), 4);
    ck_assert_uint_eq(hn_dtype_size(HN_BF16), 2);
    ck_assert_uint_eq(hn_dtype_size(HN_C128), 16);
    ck_assert_uint_eq(hn_dtype_size(HN_STR), 0);
    ck_assert_uint_eq(hn_dtype_size((enum hn_dtype)23), 0);
    ck_assert_str_eq(hn_dtype_name(HN_I64), "int64");
    ck_assert_str_eq(hn_dtype_name((enum hn_dtype)23), "unknown");
    ck_assert_str_eq(hn_dtype_name(HN_NONE), "unknown");
    ck_assert(hn_dtype_is_float(HN_F16) && hn_dtype_is_float(HN_F64) && !hn_dtype_is_float(HN_I8));
    ck_assert(!hn_dtype_is_float((enum hn_dtype)(-1)));
}
END_TEST

START_TEST(counting_elements)
{
    int64_t n = -1, big = INT64_C(1) << 62;
    ck_assert(hn_numel(0, NULL, &n) && n == 1);
    ck_assert(hn_numel(3, (int64_t[]){ 2, 3, 4 }, &n) && n == 24);
    ck_assert(hn_numel(2, (int64_t[]){ 0, 4 }, &n) && n == 0);
    n = 5;
    ck_assert(!hn_numel(2, (int64_t[]){ big, 4 }, &n));
    ck_assert(!hn_numel(3, (int64_t[]){ big, 4, 0 }, &n));
    ck_assert(!hn_numel(3, (int64_t[]){ 0, big, 4 }, &n));
    ck_assert(!hn_numel(2, (int64_t[]){ 2, -1 }, &n));
    ck_assert(!hn_numel(9, (int64_t[9]){ 0 }, &n));
    ck_assert(!hn_numel(-1, NULL, &n));
    ck_assert_int_eq(n, 5);
}
END_TEST

static const enum hn_dtype numeric[] = { HN_F32, HN_U8,  HN_I8,  HN_U16, HN_I16,  HN_I32, HN_I64,
                                         HN_F16, HN_F64, HN_U32, HN_U64, HN_BF16, HN_BOOL };
enum { TYPES = sizeof numeric / sizeof *numeric };

/* Small integers survive every pair; at odd addresses on both sides. */
START_TEST(every_pair_of_types)
{
    unsigned char a[8 * 100 + 1], b[8 * 100 + 1], c[8 * 100 + 1];
    for (int i = 0; i < TYPES; i++)
        for (int k = 0; k < TYPES; k++) {
            enum hn_dtype from = numeric[i], to = numeric[k];
            int64_t small[100];
            for (int e = 0; e < 100; e++) small[e] = from == HN_BOOL || to == HN_BOOL ? e % 2 : e;
            hn_convert(a + 1, from, small, HN_I64, 100);
            hn_convert(b + 1, to, a + 1, from, 100);
            struct hn_tensor t = { .dtype = to, .n = 100, .data = b + 1 };
            for (int e = 0; e < 100; e++)
                if (hn_tensor_i64(&t, e) != small[e] || hn_tensor_f64(&t, e) != (double)small[e])
                    ck_abort_msg("%s to %s: %d", hn_dtype_name(from), hn_dtype_name(to), e);
            hn_convert_scaled(c + 1, to, a + 1, from, 100, 1.0);
            ck_assert_mem_eq(b + 1, c + 1, 100 * hn_dtype_size(to));
        }
}
END_TEST

START_TEST(integers_keep_every_bit)
{
    int64_t v[] = { INT64_MAX, INT64_MIN, (INT64_C(1) << 53) + 1, -1 }, back[4];
    uint64_t u[4], w = UINT64_MAX;
    hn_convert(u, HN_U64, v, HN_I64, 4);
    ck_assert_uint_eq(u[0], INT64_MAX);
    ck_assert_uint_eq(u[1], 0); /* no negative numbers there: the nearest end */
    ck_assert_uint_eq(u[2], (UINT64_C(1) << 53) + 1);
    hn_convert(back, HN_I64, u, HN_U64, 4);
    ck_assert_int_eq(back[2], v[2]);
    struct hn_tensor t = { .dtype = HN_U64, .n = 1, .data = &w };
    ck_assert_int_eq(hn_tensor_i64(&t, 0), INT64_MAX);
    int64_t n =
        (INT64_C(1) << 60) + (INT64_C(1) << 36) + 1; /* a tie of float but for the last bit */
    float f;
    hn_convert(&f, HN_F32, &n, HN_I64, 1);
    ck_assert_uint_eq(bits(f), bits(0x1.000002p60f));
    uint16_t h;
    n = (INT64_C(1) << 62) + (INT64_C(1) << 54) +
        1; /* the same for bfloat16, and lost in a double */
    hn_convert(&h, HN_BF16, &n, HN_I64, 1);
    ck_assert_uint_eq(h, 0x5E81);
    n--;
    hn_convert(&h, HN_BF16, &n, HN_I64, 1);
    ck_assert_uint_eq(h, 0x5E80);
    n = -(INT64_C(1) << 62) - (INT64_C(1) << 54) - 1;
    hn_convert(&h, HN_BF16, &n, HN_I64, 1);
    ck_assert_uint_eq(h, 0xDE81);
}
END_TEST

START_TEST(floats_to_integers_saturate)
{
    double v[] = {
        300.9, -300.9, (double)NAN, (double)INFINITY, -(double)INFINITY, 1e300, 2.9, -2.9
    };
    uint8_t u[8], wanted_u[8] = { 255, 0, 0, 255, 0, 255, 2, 0 };
    int8_t s[8], wanted_s[8] = { 127, -128, 0, 127, -128, 127, 2, -2 };
    int64_t l[8];
    uint64_t ul[8];
    hn_convert(u, HN_U8, v, HN_F64, 8);
    hn_convert(s, HN_I8, v, HN_F64, 8);
    hn_convert(l, HN_I64, v, HN_F64, 8);
    hn_convert(ul, HN_U64, v, HN_F64, 8);
    ck_assert_mem_eq(u, wanted_u, 8);
    ck_assert_mem_eq(s, wanted_s, 8);
    ck_assert(l[3] == INT64_MAX && l[4] == INT64_MIN && l[5] == INT64_MAX && l[2] == 0 &&
              l[7] == -2);
    ck_assert(ul[3] == UINT64_MAX && ul[4] == 0 && ul[1] == 0 && ul[0] == 300);
    uint8_t b[8], wanted_b[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    hn_convert(b, HN_BOOL, v, HN_F64, 8);
    ck_assert_mem_eq(b, wanted_b, 8);
}
END_TEST

START_TEST(fast_loops_are_the_slow_ones)
{
    static const uint32_t key[2] = { 1, 2 };
    enum { N = 1003 };
    static unsigned char raw[8 * N + 1];
    static float f[N];
    for (size_t i = 0; i < 2 * N; i++) {
        uint32_t w = hn_rng_u32(key, 3, i);
        memcpy(raw + 1 + 4 * i, &w, 4);
    }
    static const enum hn_dtype from[] = { HN_U8, HN_I32, HN_I64, HN_F64 };
    for (int k = 0; k < 4; k++) {
        struct hn_tensor t = { .dtype = from[k], .n = N, .data = raw + 1 };
        hn_convert(f, HN_F32, raw + 1, from[k], N);
        for (int i = 0; i < N; i++) {
            float wanted =
                from[k] == HN_F64 ? (float)hn_tensor_f64(&t, i) : (float)hn_tensor_i64(&t, i);
            if (bits(f[i]) != bits(wanted) && !isnan(wanted))
                ck_abort_msg("%s %d", hn_dtype_name(from[k]), i);
        }
    }
    hn_convert_scaled(f, HN_F32, raw + 1, HN_U8, N, 1.0 / 255);
    for (int i = 0; i < N; i++)
        if (f[i] != (float)raw[1 + i] * (float)(1.0 / 255)) ck_abort_msg("scaled %d", i);
    float x[3] = { 1, 2, 3 }, y[3];
    double d[3];
    hn_convert_scaled(y, HN_F32, x, HN_F32, 3, 0.1);
    ck_assert(y[2] == 3 * 0.1f);
    hn_convert_scaled(d, HN_F64, x, HN_F32, 3, 0.1);
    ck_assert(d[2] == 3 * 0.1);
    int32_t n[3];
    hn_convert_scaled(n, HN_I32, x, HN_F32, 3, 1.5);
    ck_assert(n[0] == 1 && n[1] == 3 && n[2] == 4);
    hn_convert(y, HN_F32, x, HN_F32, 0);
    hn_convert(y, HN_F32, x, HN_F32, 3);
    ck_assert_mem_eq(x, y, sizeof x);
}
END_TEST

START_TEST(what_is_no_number)
{
    const char *strings[2] = { "a", "b" };
    struct hn_tensor t = { .dtype = HN_STR, .n = 2, .data = strings };
    ck_assert(isnan(hn_tensor_f64(&t, 1)));
    double c[2] = { 1, 2 }, copy[2];
    hn_convert(copy, HN_C128, c, HN_C128, 1);
    ck_assert_mem_eq(c, copy, sizeof c);
}
END_TEST

HN_TEST_MAIN("tensor", tcase_add_test(tc, every_half_round_trips);
             tcase_add_test(tc, every_bf16_round_trips);
             tcase_add_test(tc, halves_round_to_nearest_even); tcase_add_test(tc, nan_stays_nan);
             tcase_add_test(tc, names_and_sizes); tcase_add_test(tc, counting_elements);
             tcase_add_test(tc, every_pair_of_types); tcase_add_test(tc, integers_keep_every_bit);
             tcase_add_test(tc, floats_to_integers_saturate);
             tcase_add_test(tc, fast_loops_are_the_slow_ones);
             tcase_add_test(tc, what_is_no_number);)
