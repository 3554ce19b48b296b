/* SPDX-License-Identifier: MIT
 *
 * What is learned from rows before training: splits, scalers; and arrays as the trainer uses them. */
#include "tests/data/parse.h"

#include <math.h>

/* ---- Splits ---- */

/* Every row once, each list ascending. */
static void check_lists(const struct hn_split *s, int64_t rows)
{
    char *seen = calloc((size_t)rows, 1);
    const uint32_t *list[3] = { s->train, s->val, s->test };
    int64_t n[3] = { s->n_train, s->n_val, s->n_test };
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < n[k]; i++) {
            ck_assert_int_lt(list[k][i], rows);
            ck_assert_int_eq(seen[list[k][i]]++, 0);
            if (i) ck_assert_uint_gt(list[k][i], list[k][i - 1]);
        }
    ck_assert_int_eq(n[0] + n[1] + n[2], rows);
    free(seen);
}

START_TEST(sizes_are_rounded)
{
    static const struct {
        int64_t rows;
        double test, val;
        int64_t n_test, n_val;
    } cases[] = {
        { 10000, 0.2, 0, 2000, 0 },    { 10, 0.15, 0, 2, 0 }, { 10, 0.14, 0, 1, 0 },
        { 1000, 0.2, 0.25, 200, 200 }, { 7, 0, 0.5, 0, 4 },   { 3, 0.5, 0.5, 2, 1 },
        { 150, 0, 0.2, 0, 30 },        { 10000, 0, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_split s;
        struct hn_split_options o = { .seed = 7, .test = cases[i].test, .val = cases[i].val };
        hone_status st = hn_split_rows(&s, &mem, cases[i].rows, &o, &err);
        if (cases[i].rows == 3) { /* one row left, half of it: one row, none for training */
            ck_assert_int_eq(st, HONE_E_DATA);
            continue;
        }
        ck_assert_int_eq(st, HONE_OK);
        ck_assert_int_eq(s.n_test, cases[i].n_test);
        ck_assert_int_eq(s.n_val, cases[i].n_val);
        check_lists(&s, cases[i].rows);
        hn_split_free(&s);
    }
}
END_TEST

START_TEST(splits_follow_the_seed)
{
    struct hn_split a, b, c;
    struct hn_split_options o = { .seed = 1, .test = 0.3, .val = 0.3 };
    HN_OK(hn_split_rows(&a, &mem, 1000, &o, &err), err);
    HN_OK(hn_split_rows(&b, &mem, 1000, &o, &err), err);
    o.seed = 2;
    HN_OK(hn_split_rows(&c, &mem, 1000, &o, &err), err);
    ck_assert_mem_eq(a.test, b.test, 300 * sizeof *a.test);
    ck_assert_mem_eq(a.val, b.val, 210 * sizeof *a.val);
    ck_assert(memcmp(a.test, c.test, 300 * sizeof *a.test) != 0);
    int64_t low = 0; /* drawn from all over the file */
    for (int64_t i = 0; i < a.n_test; i++) low += a.test[i] < 500;
    ck_assert_int_gt(low, 110);
    ck_assert_int_lt(low, 190);
    hn_split_free(&a);
    hn_split_free(&b);
    hn_split_free(&c);
}
END_TEST

START_TEST(stratified_by_largest_remainders)
{
    int32_t classes[100];
    for (int i = 0; i < 100; i++)
        classes[i] = i < 50 ? 0 : i < 83 ? 1 : i < 99 ? 2 : 3; /* 50 33 16 1 */
    struct hn_split s;
    struct hn_split_options o = { .seed = 3, .test = 0.1, .val = 0.2, .classes = classes };
    HN_OK(hn_split_rows(&s, &mem, 100, &o, &err), err);
    check_lists(&s, 100);
    int64_t test[4] = { 0 }, val[4] = { 0 };
    for (int64_t i = 0; i < s.n_test; i++) test[classes[s.test[i]]]++;
    for (int64_t i = 0; i < s.n_val; i++) val[classes[s.val[i]]]++;
    /* 10 of 100: 5, 3.3, 1.6, 0.1 → 5 3 2 0;  18 of 90 with 45 30 14 1: 9, 6, 2.8, 0.2 → 9 6 3 0 */
    ck_assert(test[0] == 5 && test[1] == 3 && test[2] == 2 && test[3] == 0);
    ck_assert(val[0] == 9 && val[1] == 6 && val[2] == 3 && val[3] == 0);
    hn_split_free(&s);
    int32_t pair[4] = { 0, 1, 1, 0 }; /* a tie of remainders goes to the lower class */
    o = (struct hn_split_options){ .seed = 3, .val = 0.25, .classes = pair };
    HN_OK(hn_split_rows(&s, &mem, 4, &o, &err), err);
    ck_assert_int_eq(s.n_val, 1);
    ck_assert_int_eq(pair[s.val[0]], 0);
    hn_split_free(&s);
}
END_TEST

START_TEST(groups_stay_whole)
{
    enum { N = 500, GROUPS = 60 };
    uint32_t group[N];
    int32_t classes[N];
    for (int i = 0; i < N; i++)
        group[i] = (uint32_t)(i * 7919 % 1009) % GROUPS, classes[i] = group[i] % 2;
    for (int stratified = 0; stratified < 2; stratified++) {
        struct hn_split s;
        struct hn_split_options o = { .seed = 5,
                                      .test = 0.2,
                                      .val = 0.25,
                                      .groups = group,
                                      .n_groups = GROUPS,
                                      .classes = stratified ? classes : NULL };
        HN_OK(hn_split_rows(&s, &mem, N, &o, &err), err);
        check_lists(&s, N);
        int where[GROUPS] = { 0 };
        const uint32_t *list[3] = { s.train, s.val, s.test };
        int64_t n[3] = { s.n_train, s.n_val, s.n_test }, odd = 0;
        for (int k = 0; k < 3; k++)
            for (int64_t i = 0; i < n[k]; i++) where[group[list[k][i]]] |= 1 << k;
        for (int g = 0; g < GROUPS; g++) ck_assert(where[g] == 1 || where[g] == 2 || where[g] == 4);
        ck_assert_int_le(llabs(s.n_test - 100), 8);
        ck_assert_int_le(llabs(s.n_val - 100), 8);
        for (int64_t i = 0; i < s.n_test; i++) odd += classes[s.test[i]];
        if (stratified) ck_assert_int_le(llabs(2 * odd - s.n_test), 16);
        hn_split_free(&s);
    }
    uint32_t one[4] = { 0, 0, 0, 0 };
    struct hn_split s;
    struct hn_split_options o = { .val = 0.5, .groups = one, .n_groups = 1 };
    REFUSED(hn_split_rows(&s, &mem, 4, &o, &err), HONE_E_DATA, "--val-split",
            "groups are too large");
    uint32_t uneven[6] = {
        0, 0, 0, 0, 0, 1
    }; /* nothing comes near 3 rows: the nearest group is taken */
    o = (struct hn_split_options){ .val = 0.17, .groups = uneven, .n_groups = 2 };
    HN_OK(hn_split_rows(&s, &mem, 6, &o, &err), err);
    ck_assert_int_eq(s.n_val, 1);
    hn_split_free(&s);
}
END_TEST

START_TEST(bad_splits)
{
    struct hn_split s;
    struct hn_split_options o = { .val = 1 };
    REFUSED(hn_split_rows(&s, &mem, 10, &o, &err), HONE_E_USAGE, "--val-split", "less than 1");
    o = (struct hn_split_options){ .test = -0.1 };
    REFUSED(hn_split_rows(&s, &mem, 10, &o, &err), HONE_E_USAGE, "--test-split");
    o = (struct hn_split_options){ .test = (double)NAN };
    REFUSED(hn_split_rows(&s, &mem, 10, &o, &err), HONE_E_USAGE, "--test-split");
    o = (struct hn_split_options){ .val = 0.2 };
    REFUSED(hn_split_rows(&s, &mem, 2, &o, &err), HONE_E_DATA,
            "0.2 of 2 rows is 0 rows, wanted 1 to 1");
}
END_TEST

/* ---- Scalers ---- */

static const double table[5][4] = {
    /* plain, constant, constant with rounding, large offset */
    { 1, 7, 0.1, 1e6 + 1 },
    { 2, 7, 0.1, 1e6 + 2 },
    { 3, 7, 0.1, 1e6 + 3 },
    { 4, 7, 0.1, 1e6 + 4 },
    { 100, 8, 5, 0 } /* left out by rows */
};

static void wrap_table(struct hn_array *a)
{
    struct hn_tensor t = { .dtype = HN_F64, .rank = 2, .dims = { 5, 4 }, .n = 20, .data = table };
    HN_OK(hn_array_wrap(a, &mem, "x", &t, 0, &err), err);
}

START_TEST(standard_scaler)
{
    struct hn_array a;
    struct hn_scaler s;
    uint32_t rows[4] = { 0, 1, 2, 3 };
    wrap_table(&a);
    HN_OK(hn_scaler_fit(&s, &mem, HN_SCALE_STANDARD, &a, rows, 4, &err), err);
    ck_assert(s.offset[0] == 2.5 && s.scale[0] == 1 / sqrt(1.25)); /* population: divided by 4 */
    ck_assert(s.offset[1] == 7 && s.scale[1] == 1);
    ck_assert(s.offset[2] == 0.1 && s.scale[2] == 1);
    ck_assert(fabs(s.offset[3] - 1000002.5) < 1e-9 && fabs(s.scale[3] - 1 / sqrt(1.25)) < 1e-12);
    float x[4] = { 4, 7, 0.1f, 1000002.5f };
    hn_scaler_apply(&s, HN_F32, x, 1);
    ck_assert(x[0] == 1.5f * (float)(1 / sqrt(1.25)) && x[1] == 0 && x[2] == 0 && x[3] == 0);
    hn_scaler_free(&s);
    a.scale = 2; /* --x-scale comes first */
    HN_OK(hn_scaler_fit(&s, &mem, HN_SCALE_STANDARD, &a, rows, 4, &err), err);
    ck_assert(s.offset[0] == 5 && s.scale[0] == 1 / sqrt(5));
    hn_scaler_free(&s);
    hn_array_close(&a);
}
END_TEST

START_TEST(minmax_scaler)
{
    struct hn_array a;
    struct hn_scaler s;
    wrap_table(&a);
    HN_OK(hn_scaler_fit(&s, &mem, HN_SCALE_MINMAX, &a, NULL, 0, &err), err); /* all rows */
    ck_assert(s.offset[0] == 1 && s.scale[0] == 1.0 / 99);
    double x[4] = { 100, 7, 5, 1e6 + 4 };
    hn_scaler_apply(&s, HN_F64, x, 1);
    ck_assert(fabs(x[0] - 1) < 1e-15 && x[1] == 0 && fabs(x[2] - 1) < 1e-15 &&
              fabs(x[3] - 1) < 1e-15);
    hn_scaler_free(&s);
    uint32_t one = 2;
    HN_OK(hn_scaler_fit(&s, &mem, HN_SCALE_MINMAX, &a, &one, 1, &err), err);
    for (int j = 0; j < 4; j++) ck_assert(s.scale[j] == 1 && s.offset[j] == table[2][j]);
    hn_scaler_free(&s);
    HN_OK(hn_scaler_fit(&s, &mem, HN_SCALE_NONE, &a, NULL, 0, &err), err);
    double before = x[0];
    hn_scaler_apply(&s, HN_F64, x, 1);
    ck_assert(x[0] == before);
    hn_scaler_free(&s);
    hn_array_close(&a);
    double far[2] = { -1e308, 1e308 };
    struct hn_tensor t = { .dtype = HN_F64, .rank = 1, .dims = { 2 }, .n = 2, .data = far };
    HN_OK(hn_array_wrap(&a, &mem, "far", &t, 0, &err), err);
    REFUSED(hn_scaler_fit(&s, &mem, HN_SCALE_MINMAX, &a, NULL, 0, &err), HONE_E_DATA, "far",
            "too far apart");
    hn_array_close(&a);
}
END_TEST

/* ---- Arrays ---- */

START_TEST(gather_and_range)
{
    uint8_t v[6] = { 0, 51, 102, 153, 204, 255 };
    struct hn_array a;
    struct hn_tensor t = { .dtype = HN_U8, .rank = 3, .dims = { 3, 1, 2 }, .n = 6, .data = v };
    uint32_t rows[3] = { 2, 0, 2 };
    float out[6];
    uint8_t bytes[4];
    HN_OK(hn_array_wrap(&a, &mem, "x", &t, 0, &err), err);
    ck_assert_ptr_eq(a.data, v);
    a.scale = 1.0 / 255;
    hn_array_gather(&a, rows, 3, HN_F32, out);
    float wanted[6] = { 0.8f, 1, 0, 0.2f, 0.8f, 1 };
    for (int i = 0; i < 6; i++) ck_assert(fabsf(out[i] - wanted[i]) < 1e-6f);
    hn_array_range(&a, 1, 1, HN_F32, out);
    ck_assert(fabsf(out[0] - 0.4f) < 1e-6f);
    a.scale = 1;
    hn_array_gather(&a, rows, 2, HN_U8, bytes);
    ck_assert_mem_eq(bytes, ((uint8_t[]){ 204, 255, 0, 51 }), 4);
    hn_array_gather(&a, NULL, 2, HN_U8, bytes);
    ck_assert_mem_eq(bytes, v, 4);
    hn_array_close(&a);
}
END_TEST

START_TEST(wrapping)
{
    _Alignas(8) char raw_bytes[16];
    float one[3] = { 1, 2, 3 };
    struct hn_array a;
    memcpy(raw_bytes + 1, one, sizeof one);
    struct hn_tensor t = {
        .dtype = HN_F32, .rank = 1, .dims = { 3 }, .n = 3, .data = raw_bytes + 1
    };
    HN_OK(hn_array_wrap(&a, &mem, "x", &t, 0, &err), err);
    ck_assert_ptr_nonnull(a.block); /* unaligned: copied */
    ck_assert(f32(&a, 2, 0) == 3);
    hn_array_close(&a);
    t.data = one;
    t.rank = 0, t.n = 1;
    HN_OK(hn_array_wrap(&a, &mem, NULL, &t, 1, &err), err);
    ck_assert_int_eq(a.rows, 1);
    ck_assert_str_eq(a.name, "");
    ck_assert_ptr_ne(a.data, one);
    hn_array_close(&a);
    t.dtype = HN_C64;
    REFUSED(hn_array_wrap(&a, &mem, "x", &t, 0, &err), HONE_E_DATA, "complex64");
    t.dtype = HN_STR;
    REFUSED(hn_array_wrap(&a, &mem, "x", &t, 0, &err), HONE_E_DATA, "string");
    hn_array_close(&a); /* again: harmless */
}
END_TEST

START_TEST(checks)
{
    float v[4] = { 1, 2, (float)INFINITY, 4 };
    uint16_t half[2] = { 0x3C00, 0x7E00 };
    struct hn_array x, y;
    struct hn_tensor t = { .dtype = HN_F32, .rank = 2, .dims = { 2, 2 }, .n = 4, .data = v };
    HN_OK(hn_array_wrap(&x, &mem, "x", &t, 0, &err), err);
    REFUSED(hn_array_check_finite(&x, &err), HONE_E_DATA,
            "row 2, column 0 (from 0): found inf, wanted a finite number");
    t = (struct hn_tensor){ .dtype = HN_F16, .rank = 1, .dims = { 2 }, .n = 2, .data = half };
    HN_OK(hn_array_wrap(&y, &mem, "y", &t, 0, &err), err);
    REFUSED(hn_array_check_finite(&y, &err), HONE_E_DATA, "row 2", "NaN");
    HN_OK(hn_array_check_rows(&x, &y, &err), err);
    hn_array_close(&y);
    t.dims[0] = t.n = 1;
    HN_OK(hn_array_wrap(&y, &mem, "y", &t, 0, &err), err);
    REFUSED(hn_array_check_rows(&x, &y, &err), HONE_E_DATA, "x has 2 rows, y has 1");
    hn_array_close(&x);
    hn_array_close(&y);
}
END_TEST

START_TEST(fingerprints)
{
    float v[4] = { 1, 2, 3, 4 };
    struct hn_array a;
    struct hn_tensor t = { .dtype = HN_F32, .rank = 2, .dims = { 2, 2 }, .n = 4, .data = v };
    const struct hn_array *list[2] = { &a, &a };
    uint64_t first[2], other[2];
    HN_OK(hn_array_wrap(&a, &mem, "x", &t, 0, &err), err);
    HN_OK(hn_data_fingerprint(list, 1, &mem, first, &err), err);
    HN_OK(hn_data_fingerprint(list, 1, &mem, other, &err), err);
    ck_assert_mem_eq(first, other, sizeof first);
#define CHANGES(what, back)                                                                        \
    what;                                                                                          \
    HN_OK(hn_data_fingerprint(list, 1, &mem, other, &err), err);                                   \
    ck_assert(memcmp(first, other, sizeof first) != 0);                                            \
    back;
    CHANGES(v[3] = 5, v[3] = 4)
    CHANGES(a.name = "z", a.name = "x")
    CHANGES(a.dtype = HN_I32, a.dtype = HN_F32)
    CHANGES((a.rows = 4, a.per_row = 1), (a.rows = 2, a.per_row = 2))
    CHANGES(a.scale = 2, a.scale = 1)
    a.rank = 3, a.dims[2] = 1; /* [2, 2, 1] holds the same rows */
    HN_OK(hn_data_fingerprint(list, 1, &mem, other, &err), err);
    ck_assert_mem_eq(first, other, sizeof first);
    HN_OK(hn_data_fingerprint(list, 2, &mem, other, &err), err);
    ck_assert(memcmp(first, other, sizeof first) != 0);
    hn_array_close(&a);
    struct hn_csv_part p = { .kind = HN_PART_VALUES }, q = { .kind = HN_PART_VALUES };
    HN_OK(csv("y\nab\nc\n", NULL, &p, 1), err);
    HN_OK(csv("y\na\nbc\n", NULL, &q, 1), err);
    list[0] = &p.array;
    HN_OK(hn_data_fingerprint(list, 1, &mem, first, &err), err);
    list[0] = &q.array;
    HN_OK(hn_data_fingerprint(list, 1, &mem, other, &err), err);
    ck_assert(memcmp(first, other, sizeof first) != 0);
    hn_array_close(&p.array);
    hn_array_close(&q.array);
}
END_TEST

START_TEST(doors)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *wanted;
    } strangers[] = {
        { "PAR1xxxx", 8, "a Parquet file" },
        { "\x89HDF\r\n\x1a\n", 8, "an HDF5 file" },
        { "\x80\x04\x95", 3, "a Python pickle" },
        { "", 0, "empty" },
        { "\0\0\0\0", 4, "type code 0x00" },
        { "\x1F\x8B\x08", 3, "gzip" },
        { "PK\3\4", 4, "zip" },
    };
    struct hn_array a;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%zu", i);
        scratch_write(name, strangers[i].bytes, strangers[i].n);
        struct hn_source s = source(scratch(name));
        memset(&err, 0, sizeof err);
        ck_assert_int_eq(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_DATA);
        ck_assert_msg(strstr(err.text, strangers[i].wanted), "%s: %s", strangers[i].wanted,
                      err.text);
    }
    struct hn_source s = source(scratch("absent.csv"));
    REFUSED(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_IO, "absent.csv", "No such file");
    scratch_write("t.csv", "a,b\n1,2\n", 8);
    s = source(scratch("t.csv"));
    s.max_bytes = 7;
    REFUSED(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_BUDGET, "t.csv");
    struct hn_csv_options o = { .real = HN_F64 };
    s.max_bytes = 0;
    HN_OK(hn_array_open(&a, &s, "x", &o, &err), err);
    ck_assert(f64(&a, 0, 1) == 2);
    ck_assert_str_eq(a.name, "x");
    hn_array_close(&a);
}
END_TEST

HN_TEST_MAIN("prepare", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_test(tc, sizes_are_rounded); tcase_add_test(tc, splits_follow_the_seed);
             tcase_add_test(tc, stratified_by_largest_remainders);
             tcase_add_test(tc, groups_stay_whole); tcase_add_test(tc, bad_splits);
             tcase_add_test(tc, standard_scaler); tcase_add_test(tc, minmax_scaler);
             tcase_add_test(tc, gather_and_range); tcase_add_test(tc, wrapping);
             tcase_add_test(tc, checks); tcase_add_test(tc, fingerprints);
             tcase_add_test(tc, doors);)
