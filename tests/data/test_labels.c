/* SPDX-License-Identifier: MIT
 *
 * Class labels: which rule applies, and that no label lands on an output it does not belong to. */
#include "tests/data/parse.h"

static struct hn_array y;
static struct hn_classes classes;

/* One value a row, from text. */
static void labels(const char *text)
{
    struct hn_csv_options o = { .header = HN_HEADER_NO };
    struct hn_csv_part p = { .kind = HN_PART_VALUES, .name = "y" };
    HN_OK(csv(text, &o, &p, 1), err);
    y = p.array;
}

static hone_status fit(const struct hn_classes *model, int64_t n)
{
    struct hn_label_request q = { .y = &y, .model = model, .n_classes = n, .note = &note };
    memset(&note, 0, sizeof note);
    return hn_labels_fit(&classes, &mem, &q, &err);
}

static void map_is(const int32_t *wanted)
{
    struct hn_array out;
    HN_OK(hn_labels_map(&classes, &mem, &y, &out, &err), err);
    ck_assert_int_eq(out.dtype, HN_I32);
    ck_assert_int_eq(out.rows, y.rows);
    for (int64_t i = 0; i < y.rows; i++)
        ck_assert_int_eq(((const int32_t *)out.data)[i], wanted[i]);
    hn_array_close(&out);
}

#define FITS(text, model, n, ...)                                                                  \
    do {                                                                                           \
        labels(text);                                                                              \
        HN_OK(fit(model, n), err);                                                                 \
        map_is((const int32_t[]){ __VA_ARGS__ });                                                  \
        hn_array_close(&y);                                                                        \
        hn_classes_free(&classes);                                                                 \
    } while (0)

#define FAILS(text, model, n, ...)                                                                 \
    do {                                                                                           \
        labels(text);                                                                              \
        REFUSED(fit(model, n), HONE_E_DATA, __VA_ARGS__);                                          \
        hn_array_close(&y);                                                                        \
    } while (0)

START_TEST(class_numbers_stay)
{
    FITS("0\n2\n1\n", NULL, 3, 0, 2, 1);
    ck_assert_str_eq(note.text, "");
    FITS("0\n2\n", NULL, 10, 0, 2);
    FITS("1\n1\n", NULL, 2, 1, 1);
    FITS("3\n9\n", NULL, 10, 3, 9);
    FITS("1\n0\n2\n", NULL, 0, 1, 0, 2); /* number of classes unknown, all of 0…2 there */
    labels("0\n1\n");
    HN_OK(fit(NULL, 3), err);
    ck_assert_int_eq(classes.n, 3);
    ck_assert_int_eq(classes.identity, 1);
    ck_assert_str_eq(classes.text[2], "2");
    hn_array_close(&y);
    hn_classes_free(&classes);
}
END_TEST

START_TEST(other_sets_are_sorted)
{
    FITS("2\n1\n2\n", NULL, 2, 1, 0, 1);
    ck_assert_ptr_nonnull(strstr(note.text, "sorted order: 1, 2"));
    FITS("-1\n1\n-1\n", NULL, 2, 0, 1, 0);
    FITS("10\n9\n10\n", NULL, 2, 1, 0, 1);
    FITS("b\na\nB\n", NULL, 3, 2, 1, 0);
    FITS("0.5\n-0.5\n", NULL, 2, 1, 0);
    FITS("3\n4\n5\n6\n7\n8\n9\n", NULL, 7, 0, 1, 2, 3, 4, 5, 6);
    FITS("1\n2\n", NULL, 0, 0, 1);
    FITS("yes\nno\n", NULL, 0, 1, 0);
    FITS("10\n9\nx\n", NULL, 3, 0, 1, 2); /* one is text: bytes */
}
END_TEST

START_TEST(ambiguous_sets_are_refused)
{
    FAILS("0\n1\n2\n3\n", NULL, 3, "row 4: found label '3'",
          "wanted 3 labels or the integers 0 to 2");
    FAILS("0\n1\n7\n", NULL, 10 - 6, "row 3: found label '7'", "3 different ones",
          "integers 0 to 3");
    FAILS("a\nb\n", NULL, 3, "found label 'a'", "2 different ones, wanted 3 labels");
    FAILS("a\nb\nc\nd\n", NULL, 3, "row 4: found label 'd'");
    FAILS("0\n1\n-1\n", NULL, 2, "row 3: found label '-1'");
    FAILS("0\n1\n0.5\n", NULL, 2, "row 3: found label '0.5'");
    struct hn_csv_part p = { .kind = HN_PART_VALUES };
    HN_OK(csv("1,2\n3,4\n", NULL, &p, 1), err);
    y = p.array;
    REFUSED(fit(NULL, 2), HONE_E_DATA, "found 2 values a row, wanted one class label");
    hn_array_close(&y);
    double nan[2] = { 0, 0.0 / 0.0 };
    struct hn_tensor t = { .dtype = HN_F64, .rank = 1, .dims = { 2 }, .n = 2, .data = nan };
    HN_OK(hn_array_wrap(&y, &mem, "y", &t, 0, &err), err);
    REFUSED(fit(NULL, 2), HONE_E_DATA, "row 2", "NaN");
    hn_array_close(&y);
}
END_TEST

START_TEST(model_lists)
{
    struct hn_classes model;
    HN_OK(hn_classes_from_text(&model, &mem, (const char *const[]){ "no", "maybe", "ja" }, 3, &err),
          err);
    FITS("ja\nno\nmaybe\n", &model, 3, 2, 0, 1);
    ck_assert_ptr_nonnull(strstr(note.text, "as the model lists them: no, maybe, ja"));
    FITS("no\nno\n", &model, 3, 0, 0);
    FITS("2\n0\n", &model, 3, 2, 0); /* class numbers, although the list has names */
    FAILS("no\nnein\n", &model, 3,
          "row 2: found label 'nein', wanted one of the 3 classes: no, maybe, ja");
    FAILS("no\n", &model, 4, "lists 3 classes for outputs that tell 4 apart");
    hn_classes_free(&model);
    HN_OK(hn_classes_from_i64(&model, &mem, (const int64_t[]){ 5, -3, 8 }, 3, &err), err);
    FITS("8\n5\n-3\n", &model, 3, 2, 0, 1);
    FITS("0\n2\n", &model, 3, 0, 2);
    FAILS("8\n4\n", &model, 3, "row 2: found label '4', wanted one of the 3 classes: 5, -3, 8");
    hn_classes_free(&model);
    HN_OK(hn_classes_from_i64(&model, &mem, (const int64_t[]){ 1, 0 }, 2, &err), err);
    FITS("0\n1\n", &model, 2, 1, 0); /* the label 0 is the model's second class */
    hn_classes_free(&model);
    HN_OK(hn_classes_from_text(&model, &mem, (const char *const[]){ "1", "2", "other" }, 3, &err),
          err);
    FITS("other\n2\n", &model, 3, 2, 1);
    hn_classes_free(&model);
    REFUSED(hn_classes_from_text(&model, &mem, (const char *const[]){ "a", "a" }, 2, &err),
            HONE_E_DATA, "twice");
    REFUSED(hn_classes_from_text(&model, &mem, (const char *const[]){ "1", "1.0" }, 2, &err),
            HONE_E_DATA, "same number");
    REFUSED(hn_classes_from_i64(&model, &mem, NULL, 0, &err), HONE_E_DATA, "0 classes");
}
END_TEST

/* The classes are called so, and are no class numbers. */
static void names_are(const char *text, int64_t n, const char *const *wanted)
{
    labels(text);
    HN_OK(fit(NULL, n), err);
    ck_assert_int_eq(classes.n, n);
    ck_assert_int_eq(classes.identity, 0);
    for (int64_t k = 0; k < n; k++) ck_assert_str_eq(classes.text[k], wanted[k]);
    hn_array_close(&y);
    hn_classes_free(&classes);
}

START_TEST(spelling_stays)
{
    names_are("02\n00\n01\n02\n", 3, (const char *const[]){ "00", "01", "02" });
    names_are("\"01\"\n 02\n02\n", 2, (const char *const[]){ "01", "02" });
    names_are("+1\n-1\n+1\n", 2, (const char *const[]){ "-1", "+1" });
    names_are("007\n1.5\n", 2, (const char *const[]){ "1.5", "007" });
    names_are("0\n1.0\n2\n", 3, (const char *const[]){ "0", "1.0", "2" });
    FITS("02\n00\n01\n02\n", NULL, 3, 2, 0, 1, 2);
    FAILS("00\n01\n", NULL, 3, "found label '00'", "2 different ones, wanted 3 labels");
    labels("01\n00\n");
    HN_OK(fit(NULL, 2), err);
    hn_array_close(&y);
    labels("0\n1\n"); /* the zeros were lost on the way: nothing else can be meant */
    map_is((const int32_t[]){ 0, 1 });
    hn_array_close(&y);
    hn_classes_free(&classes);
}
END_TEST

START_TEST(numbers_stay_numbers)
{
    FITS("0.0\n2.0\n1.0\n", NULL, 3, 0, 2,
         1); /* as pandas writes integers once a value was missing */
    labels("1.000000000000000000e+00\n0.000000000000000000e+00\n"); /* numpy.savetxt */
    HN_OK(fit(NULL, 2), err);
    ck_assert_int_eq(classes.identity, 1);
    hn_array_close(&y);
    hn_classes_free(&classes);
    labels("1\n2.5\n3.0\n007\n");
    ck_assert_int_eq(y.dtype, HN_F64); /* targets of a regression, whatever they look like */
    ck_assert(f64(&y, 3, 0) == 7);
    hn_array_close(&y);
    labels("1\n2.5\n3.0\n");
    ck_assert_int_eq(y.n_spelling, 0);
    hn_array_close(&y);
}
END_TEST

START_TEST(two_spellings_are_refused)
{
    FAILS("01\n2\n1\n", NULL, 2, "t.csv", "found label '01' in row 1 and '1' in row 3",
          "wanted one spelling");
    FAILS("0\n1.0\n2\n1\n", NULL, 3, "found label '1.0' in row 2 and '1' in row 4");
    const char *const texts[] = { "2", "1", "01" };
    HN_OK(hn_array_wrap_text(&y, &mem, "y", texts, 3, &err), err);
    REFUSED(fit(NULL, 3), HONE_E_DATA, "found label '1' in row 2 and '01' in row 3");
    hn_array_close(&y);
    labels("1\n2\n");
    HN_OK(fit(NULL, 2), err);
    hn_array_close(&y);
    struct hn_array out;
    labels("1\n02\n2\n");
    REFUSED(hn_labels_map(&classes, &mem, &y, &out, &err), HONE_E_DATA,
            "found label '02' in row 2 and '2' in row 3");
    hn_array_close(&y);
    hn_classes_free(&classes);
}
END_TEST

START_TEST(text_stays_text)
{
    const char *const texts[] = { "1.0", "0.0", "2.0" };
    HN_OK(hn_array_wrap_text(&y, &mem, "y", texts, 3, &err), err);
    HN_OK(fit(NULL, 3), err);
    ck_assert_int_eq(classes.identity, 0);
    ck_assert_str_eq(classes.text[1], "1.0");
    map_is((const int32_t[]){ 1, 0, 2 });
    hn_array_close(&y);
    hn_classes_free(&classes);
    struct hn_classes model; /* what a column of numbers is called, in a list that is text */
    HN_OK(hn_classes_from_text(&model, &mem, (const char *const[]){ "01", "02", "other" }, 3, &err),
          err);
    FITS("02\n01\n", &model, 3, 1, 0);
    hn_classes_free(&model);
}
END_TEST

START_TEST(yes_and_no_of_python)
{
    struct hn_classes model;
    HN_OK(hn_classes_from_i64(&model, &mem, (const int64_t[]){ 0, 1 }, 2, &err), err);
    FITS("True\nFalse\nTRUE\n", &model, 2, 1, 0, 1);
    FAILS("True\nyes\n", &model, 2, "row 2: found label yes");
    hn_classes_free(&model);
    HN_OK(hn_classes_from_i64(&model, &mem, (const int64_t[]){ 1, 0 }, 2, &err), err);
    FITS("true\nfalse\n", &model, 2, 0, 1);
    hn_classes_free(&model);
    HN_OK(hn_classes_from_i64(&model, &mem, (const int64_t[]){ 1, 2 }, 2, &err), err);
    FAILS("True\nFalse\n", &model, 2, "row 1: found label 'True'");
    hn_classes_free(&model);
}
END_TEST

START_TEST(validation_uses_the_training_list)
{
    labels("b\na\nc\n");
    HN_OK(fit(NULL, 3), err);
    hn_array_close(&y);
    labels("c\nc\na\n");
    map_is((const int32_t[]){ 2, 2, 0 });
    hn_array_close(&y);
    labels("c\nd\n");
    struct hn_array out;
    REFUSED(hn_labels_map(&classes, &mem, &y, &out, &err), HONE_E_DATA, "t.csv",
            "row 2: found label 'd', wanted one of the 3 classes: a, b, c");
    hn_array_close(&y);
    hn_classes_free(&classes);
    labels("0\n1\n");
    HN_OK(fit(NULL, 2), err);
    hn_array_close(&y);
    labels("1\n2\n");
    REFUSED(hn_labels_map(&classes, &mem, &y, &out, &err), HONE_E_DATA,
            "row 2: found label 2, wanted an integer from 0 to 1");
    hn_array_close(&y);
    hn_classes_free(&classes);
}
END_TEST

START_TEST(integer_arrays)
{
    uint8_t v[4] = { 9, 0, 3, 9 };
    struct hn_tensor t = { .dtype = HN_U8, .rank = 2, .dims = { 4, 1 }, .n = 4, .data = v };
    HN_OK(hn_array_wrap(&y, &mem, "y", &t, 0, &err), err);
    HN_OK(fit(NULL, 10), err);
    map_is((const int32_t[]){ 9, 0, 3, 9 });
    hn_classes_free(&classes);
    REFUSED(fit(NULL, 9), HONE_E_DATA, "row 1: found label '9'");
    hn_array_close(&y);
}
END_TEST

START_TEST(groups)
{
    uint32_t ids[4], n;
    labels("p7\np1\np7\nq\n");
    HN_OK(hn_group_ids(&y, &mem, ids, &n, &err), err);
    ck_assert_uint_eq(n, 3);
    ck_assert(ids[0] == 0 && ids[1] == 1 && ids[2] == 0 && ids[3] == 2);
    hn_array_close(&y);
    labels("0\n-0\n5\n");
    HN_OK(hn_group_ids(&y, &mem, ids, &n, &err), err);
    ck_assert_uint_eq(n, 2);
    hn_array_close(&y);
}
END_TEST

HN_TEST_MAIN("labels", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_test(tc, class_numbers_stay); tcase_add_test(tc, other_sets_are_sorted);
             tcase_add_test(tc, ambiguous_sets_are_refused); tcase_add_test(tc, model_lists);
             tcase_add_test(tc, spelling_stays); tcase_add_test(tc, numbers_stay_numbers);
             tcase_add_test(tc, two_spellings_are_refused); tcase_add_test(tc, text_stays_text);
             tcase_add_test(tc, yes_and_no_of_python);
             tcase_add_test(tc, validation_uses_the_training_list);
             tcase_add_test(tc, integer_arrays); tcase_add_test(tc, groups);)
