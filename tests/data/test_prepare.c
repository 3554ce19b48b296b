/* SPDX-License-Identifier: MIT
 *
 * What is learned from rows before training: splits, scalers, recipes; and arrays as the trainer uses them. */
#include "tests/data/parse.h"

#include <math.h>

#define LIST(...)                                                                                  \
    (const char *const[]){ __VA_ARGS__ },                                                          \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

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

/* ---- Recipes ---- */

static struct hn_csv_part part;

static struct hn_array *raw(const char *text, const struct hn_recipe *like)
{
    static const struct hn_encode encode[] = { { "colour", HN_ENCODE_ONEHOT },
                                               { "size", HN_ENCODE_ORDINAL } };
    struct hn_csv_options o = { .encode = encode, .n_encode = 2, .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x", .like = like };
    HN_OK(csv(text, &o, &part, 1), err);
    return &part.array;
}

static const char train[] = "age,colour,size\n1,red,L\n2,blue,\n,green,S\n9,,S\n2,blue,S\n";

static hone_status fit_rules(struct hn_recipe *r, const struct hn_array *a,
                             const struct hn_impute_rule *rules, size_t n)
{
    static const uint32_t rows[4] = { 0, 1, 2, 3 };
    struct hn_recipe_fitting f = {
        .table = a, .rows = rows, .n_rows = 4, .rules = rules, .n_rules = n
    };
    return hn_recipe_fit(r, &mem, &f, &err);
}

static hone_status fit(struct hn_recipe *r, const struct hn_array *a, enum hn_impute how,
                       const char *value)
{
    const struct hn_impute_rule rule = { .how = how, .value = value };
    return fit_rules(r, a, &rule, 1);
}

static void row_is(const struct hn_array *a, int64_t row, float age, float blue, float green,
                   float red, float size)
{
    ck_assert_int_eq(a->per_row, 5);
    float wanted[5] = { age, blue, green, red, size };
    for (int j = 0; j < 5; j++)
        ck_assert_msg(f32(a, row, j) == wanted[j], "row %d, %d: %g, wanted %g", (int)row, j,
                      (double)f32(a, row, j), (double)wanted[j]);
}

START_TEST(recipes)
{
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    ck_assert_int_eq(a->n_missing, 3);
    HN_OK(fit(&r, a, HN_IMPUTE_MEAN, NULL), err);
    ck_assert_int_eq(r.width, 5);
    ck_assert(r.columns[1].first == 1 && r.columns[1].width == 3 && r.columns[2].first == 4);
    ck_assert(r.columns[0].fill == 4); /* of 1, 2, 9: row 4 is no training row */
    HN_OK(hn_recipe_apply(&r, a, &err), err);
    ck_assert_str_eq(a->columns[1].name, "colour=blue");
    ck_assert_str_eq(a->columns[4].name, "size");
    ck_assert_int_eq(a->dims[1], 5);
    row_is(a, 0, 1, 0, 0, 1, 0); /* sizes: L 0, S 1 */
    row_is(a, 1, 2, 1, 0, 0, 1);
    row_is(a, 2, 4, 0, 1, 0, 1);
    row_is(a, 3, 9, 1, 0, 0, 1); /* blue, green, red occur once each: the first */
    hn_array_close(a);
    /* another file, columns in another order, by the same map */
    a = raw("size,extra,colour,age\nS,7,red,\nL,8,,3\n", &r);
    HN_OK(hn_recipe_apply(&r, a, &err), err);
    row_is(a, 0, 4, 0, 0, 1, 1);
    row_is(a, 1, 3, 1, 0, 0, 0);
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x", .like = &r };
    REFUSED(csv("age,colour,size\n1,mauve,L\n", &o, &part, 1), HONE_E_DATA,
            "row 2, column 'colour': found 'mauve'", "3 categories of the training table");
    REFUSED(csv("age,color,size\n1,red,L\n", &o, &part, 1), HONE_E_DATA, "no column 'colour'",
            "did you mean 'color'?");
    hn_recipe_free(&r);
}
END_TEST

START_TEST(fills)
{
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    HN_OK(fit(&r, a, HN_IMPUTE_MEDIAN, NULL), err);
    ck_assert(r.columns[0].fill == 2);
    hn_recipe_free(&r);
    HN_OK(fit(&r, a, HN_IMPUTE_MOST, NULL), err);
    ck_assert(r.columns[0].fill == 1 && r.columns[2].fill == 1);
    hn_recipe_free(&r);
    REFUSED(fit(&r, a, HN_IMPUTE_VALUE, "-1"), HONE_E_USAGE,
            "--impute '-1' is not among the 3 categories", "'colour'");
    REFUSED(fit(&r, a, HN_IMPUTE_VALUE, "red"), HONE_E_USAGE,
            "--impute 'red': column 'age' wants a number");
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a,b\n1,\n2,\n3,\n4,\n5,6\n", &o, &part, 1), err);
    REFUSED(fit(&r, &part.array, HN_IMPUTE_MEDIAN, NULL), HONE_E_DATA,
            "column 'b' has no value among 4 training rows", "--ignore b");
    HN_OK(fit(&r, &part.array, HN_IMPUTE_VALUE, "-1"), err);
    HN_OK(hn_recipe_apply(&r, &part.array, &err), err);
    ck_assert(f32(&part.array, 0, 1) == -1 && f32(&part.array, 4, 1) == 6);
    hn_array_close(&part.array);
    hn_recipe_free(&r);
    part = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a,b\n1,2\n2,3\n3,4\n4,5\n", &o, &part, 1), err);
    HN_OK(fit_rules(&r, &part.array, NULL, 0), err);
    ck_assert_int_eq(r.any, 0);
    hn_array_close(&part.array);
    hn_recipe_free(&r);
    a = raw(train, NULL); /* encoded, but nothing said about missing cells */
    HN_OK(fit_rules(&r, a, NULL, 0), err);
    REFUSED(hn_recipe_apply(&r, a, &err), HONE_E_DATA, "row 3, column 'size': found a missing cell",
            "--impute size=most|CATEGORY");
    hn_array_close(a);
    part = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a,b\n1,2\n2,3\n3,4\n4,5\n", &o, &part, 1), err);
    REFUSED(hn_recipe_apply(&r, &part.array, &err), HONE_E_DATA, "found 2 columns", "wanted the 3");
    hn_array_close(&part.array);
    hn_recipe_free(&r);
}
END_TEST

/* A column's own rule, else the last for all; what has neither keeps its gaps, which are errors. */
START_TEST(fills_by_column)
{
    const struct hn_impute_rule some[] = { { .how = HN_IMPUTE_VALUE, .value = "-1" },
                                           { "age", HN_IMPUTE_MEAN, NULL },
                                           { .how = HN_IMPUTE_MOST },
                                           { "colour", HN_IMPUTE_VALUE, "red" } },
                                wrong[] = { { "age", HN_IMPUTE_VALUE, "red" },
                                            { "colour", HN_IMPUTE_MEDIAN, NULL },
                                            { "size", HN_IMPUTE_VALUE, "XL" } };
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    HN_OK(fit_rules(&r, a, some, 4), err);
    ck_assert(r.columns[0].fill == 4 && r.columns[1].fill == 2 && r.columns[2].fill == 1);
    hn_recipe_free(&r);
    HN_OK(fit_rules(&r, a, some + 3, 1), err);
    ck_assert(isnan(r.columns[0].fill) && r.columns[1].fill == 2 && isnan(r.columns[2].fill));
    REFUSED(hn_recipe_apply(&r, a, &err), HONE_E_DATA, "row 3, column 'size'");
    hn_recipe_free(&r);
    REFUSED(fit_rules(&r, a, wrong, 1), HONE_E_USAGE, "'red': column 'age' wants a number");
    REFUSED(fit_rules(&r, a, wrong + 1, 1), HONE_E_USAGE, "'colour': the column is encoded",
            "one of its 3 categories, not median");
    REFUSED(fit_rules(&r, a, wrong + 2, 1), HONE_E_USAGE, "'XL' is not among the 2 categories");
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x" }; /* asked for by name, it must suit in any case */
    HN_OK(csv("age,b\n1,2\n2,3\n3,4\n4,5\n", &o, &part, 1), err);
    REFUSED(fit_rules(&r, &part.array, wrong, 1), HONE_E_USAGE, "column 'age' wants a number");
    hn_array_close(&part.array);
    o.filled = (const char *const[]){ "c" }, o.n_filled = 1;
    part = (struct hn_csv_part){ .name = "x" };
    REFUSED(csv("a,b\n1,2\n", &o, &part, 1), HONE_E_DATA, "no column 'c'");
    struct hn_csv_part two[2] = { { .name = "x" },
                                  { .kind = HN_PART_VALUES, .columns = LIST("b") } };
    o.filled = (const char *const[]){ "1" };
    REFUSED(csv("a,b\n1,2\n", &o, two, 2), HONE_E_USAGE, "cannot impute column 'b'",
            "not a feature");
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

/* Other names than the recipe's: by order where all are other and as many are left; columns that are named, by name. */
START_TEST(other_columns)
{
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    HN_OK(fit(&r, a, HN_IMPUTE_MEAN, NULL), err);
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1,
                                .ignore = (const char *const[]){ "id" },
                                .n_ignore = 1 };
    struct hn_csv_part p[2] = { { .name = "x", .like = &r },
                                { .name = "y",
                                  .kind = HN_PART_VALUES,
                                  .columns = (const char *const[]){ "t" },
                                  .n_columns = 1 } };
    HN_OK(csv("id,p,t,q,s\nz,,1,blue,S\n", &o, p, 2), err);
    ck_assert(p[0].by_order && p[0].array.named);
    HN_OK(hn_recipe_suit(&r, &p[0].array, 1, &err), err);
    ck_assert_str_eq(r.columns[1].raw.name, "q");
    HN_OK(hn_recipe_apply(&r, &p[0].array, &err), err);
    row_is(&p[0].array, 0, 4, 1, 0, 0, 1);
    hn_array_close(&p[0].array);
    hn_array_close(&p[1].array);
    o.header = HN_HEADER_NO, o.n_ignore = 0;
    HN_OK(csv("7,blue,S\n", &o, p, 1), err);
    ck_assert(p[0].by_order && !p[0].array.named);
    hn_array_close(&p[0].array);
    REFUSED(csv("7,blue\n", &o, p, 1), HONE_E_DATA, "found no column 'p'", "no header row");
    o.header = HN_HEADER_YES;
    REFUSED(csv("p,b,c\n7,blue,S\n", &o, p, 1), HONE_E_DATA, "found no column 'q', wanted the 3",
            "'p' to 's'");
    p[0].columns = (const char *const[]){ "s", "more" }, p[0].n_columns = 2;
    HN_OK(csv("q,more,p,s\nred,5,3,L\n", &o, p, 1), err);
    ck_assert(!p[0].by_order && p[0].array.per_row == 2);
    HN_OK(hn_recipe_suit(&r, &p[0].array, 0, &err), err);
    ck_assert(r.n_columns == 2 && r.width == 2 && r.any);
    ck_assert(r.columns[0].raw.n_category == 2 && r.columns[0].fill == 1);
    ck_assert(!r.columns[1].raw.encoding && isnan(r.columns[1].fill));
    HN_OK(hn_recipe_apply(&r, &p[0].array, &err), err);
    ck_assert(f32(&p[0].array, 0, 0) == 0 && f32(&p[0].array, 0, 1) == 5);
    hn_array_close(&p[0].array);
    hn_recipe_free(&r);
}
END_TEST

/* A recipe written and read again does the same; lines of another input stay apart. */
START_TEST(recipe_text)
{
    static const char odd[] =
        "age,colour,size\n1,\"a\tb\",\"1\\2\"\n2,\"c\nd\",x\n,,x\n9,\"a\tb\",x\n";
    struct hn_recipe r, back;
    struct hn_buffer b;
    hn_buffer_init(&b, &mem);
    struct hn_array *a = raw(odd, NULL), made;
    HN_OK(fit(&r, a, HN_IMPUTE_MEAN, NULL), err);
    HN_OK(hn_recipe_write(&b, "other", &r, &err), err);
    HN_OK(hn_recipe_write(&b, "in\tput", &r, &err), err);
    HN_OK(hn_recipe_read(&back, &mem, b.p, "in\tput", HN_F32, &err), err);
    ck_assert_int_eq(back.n_columns, 3);
    ck_assert_int_eq(back.width, r.width);
    ck_assert(back.any);
    for (int64_t j = 0; j < 3; j++) {
        const struct hn_recipe_column *x = &r.columns[j], *y = &back.columns[j];
        ck_assert_str_eq(x->raw.name, y->raw.name);
        ck_assert(x->fill == y->fill && x->first == y->first && x->width == y->width);
        ck_assert_int_eq(x->raw.n_category, y->raw.n_category);
        for (int64_t k = 0; k < x->raw.n_category; k++)
            ck_assert_str_eq(x->raw.category[k], y->raw.category[k]);
    }
    HN_OK(hn_recipe_make(&back, a, &made, &err), err);
    HN_OK(hn_recipe_apply(&r, a, &err), err);
    ck_assert_int_eq(made.per_row, a->per_row);
    ck_assert(memcmp(made.data, a->data, (size_t)(a->rows * a->per_row) * sizeof(float)) == 0);
    hn_array_close(&made);
    hn_array_close(a);
    hn_recipe_free(&back);
    HN_OK(hn_recipe_read(&back, &mem, b.p, "absent", HN_F32, &err), err);
    ck_assert_int_eq(back.n_columns, 0);
    hn_recipe_free(&back);
    hn_recipe_free(&r);
    hn_buffer_free(&b);
    REFUSED(hn_recipe_read(&back, &mem, "x\tage", "x", HN_F32, &err), HONE_E_CORRUPT, "hone.table",
            "ends too early");
    REFUSED(hn_recipe_read(&back, &mem, "x\tage\tbinary\t-", "x", HN_F32, &err), HONE_E_CORRUPT,
            "'binary' as an encoding");
    REFUSED(hn_recipe_read(&back, &mem, "x\tage\tonehot\t2\ta\tb", "x", HN_F32, &err),
            HONE_E_CORRUPT, "'2' as the value");
    REFUSED(hn_recipe_read(&back, &mem, "x\tage\tnone\tnan", "x", HN_F32, &err), HONE_E_CORRUPT,
            "'nan' as the value");
}
END_TEST

/* What missing cells look like, beside the lines of inputs, wherever it stands among them. */
START_TEST(marker_text)
{
    static const char *const odd[] = { "-999", "a\tb", "" }, *const same[] = { "a\tb", "-999" },
                             *const usual[] = { "?", "null", "nan", "NaN", "NA" };
    const struct hn_markers m = { odd, 3 };
    struct hn_markers back;
    struct hn_recipe r, again;
    struct hn_buffer b;
    struct hn_arena arena;
    hn_arena_init(&arena, &mem);
    hn_buffer_init(&b, &mem);
    HN_OK(fit(&r, raw(train, NULL), HN_IMPUTE_MEAN, NULL), err);
    HN_OK(hn_recipe_write(&b, "x", &r, &err), err);
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert_uint_eq(back.n, 0);
    HN_OK(hn_markers_write(&b, m, &err), err);
    HN_OK(hn_recipe_write(&b, "z", &r, &err), err);
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert_uint_eq(back.n, 3);
    for (int i = 0; i < 3; i++) ck_assert_str_eq(back.text[i], odd[i]);
    for (int i = 0; i < 2; i++) {
        HN_OK(hn_recipe_read(&again, &mem, b.p, i ? "x" : "z", HN_F32, &err), err);
        ck_assert_int_eq(again.n_columns, 3);
        hn_recipe_free(&again);
    }
    b.n = 0;
    HN_OK(hn_markers_write(&b, m, &err), err);
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert(back.n == 3 && hn_markers_same(back, m));
    ck_assert(hn_markers_same(m, (struct hn_markers){ same, 2 }));
    ck_assert(!hn_markers_same(m, (struct hn_markers){ same, 1 }));
    ck_assert(!hn_markers_same((struct hn_markers){ same, 1 }, m));
    ck_assert(hn_markers_same(hn_markers_usual(), (struct hn_markers){ usual, 5 }));
    hn_recipe_free(&r);
    hn_array_close(&part.array);
    hn_buffer_free(&b);
    hn_arena_clear(&arena);
}
END_TEST

HN_TEST_MAIN("prepare", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_test(tc, sizes_are_rounded); tcase_add_test(tc, splits_follow_the_seed);
             tcase_add_test(tc, stratified_by_largest_remainders);
             tcase_add_test(tc, groups_stay_whole); tcase_add_test(tc, bad_splits);
             tcase_add_test(tc, standard_scaler); tcase_add_test(tc, minmax_scaler);
             tcase_add_test(tc, recipes); tcase_add_test(tc, recipe_text);
             tcase_add_test(tc, other_columns); tcase_add_test(tc, marker_text);
             tcase_add_test(tc, fills); tcase_add_test(tc, fills_by_column);
             tcase_add_test(tc, gather_and_range); tcase_add_test(tc, wrapping);
             tcase_add_test(tc, checks); tcase_add_test(tc, fingerprints);
             tcase_add_test(tc, doors);)
