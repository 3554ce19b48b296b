/* SPDX-License-Identifier: MIT
 *
 * Real files as people have them: no headers, missing marks, text columns, labels that are not 0…C-1, gzipped IDX. */
#include "tests/data/parse.h"

#define FOLDER HN_SOURCE_DIR "/../shared/data/"
#define LIST(...)                                                                                  \
    (const char *const[]){ __VA_ARGS__ },                                                          \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static struct hn_csv_part p[2];

static hone_status table(const char *path, const struct hn_csv_options *o, const char *target)
{
    static const char *column;
    column = target;
    struct hn_source s = source(path);
    const struct hn_recipe *like = p[0].like;
    p[0] = (struct hn_csv_part){ .name = "x", .like = like };
    p[1] = (struct hn_csv_part){
        .name = "y", .kind = HN_PART_VALUES, .columns = &column, .n_columns = 1
    };
    return hn_csv_read(&s, o, p, 2, &err);
}

static void close_parts(void)
{
    hn_array_close(&p[0].array);
    hn_array_close(&p[1].array);
}

START_TEST(headerless_numbers)
{
    static const struct {
        const char *file;
        int64_t rows, features;
        const char *target;
    } files[] = {
        { FOLDER "banknote_authentication.csv", 1372, 4, "4" },
        { FOLDER "pima-indians-diabetes.csv", 768, 8, "c8" },
        { FOLDER "housing.csv", 506, 13, "13" },
        { FOLDER "winequality-white.csv", 4898, 11, "11" },
        { FOLDER "iris.csv", 150, 4, "4" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        HN_OK(table(files[i].file, NULL, files[i].target), err);
        ck_assert_int_eq(p[0].array.rows, files[i].rows);
        ck_assert_int_eq(p[0].array.per_row, files[i].features);
        ck_assert_int_eq(p[0].array.first_line, 1);
        close_parts();
    }
    HN_OK(table(FOLDER "banknote_authentication.csv", NULL, "4"), err);
    ck_assert(f32(&p[0].array, 0, 0) == 3.6216f && f32(&p[0].array, 0, 3) == -0.44699f);
    double sum = 0;
    for (int64_t i = 0; i < 1372; i++) sum += f64(&p[1].array, i, 0);
    ck_assert(sum == 610);
    close_parts();
}
END_TEST

START_TEST(adult)
{
    static const struct hn_encode encode[] = {
        { "1", HN_ENCODE_ONEHOT }, { "3", HN_ENCODE_ORDINAL }, { "5", HN_ENCODE_ONEHOT },
        { "6", HN_ENCODE_ONEHOT }, { "7", HN_ENCODE_ONEHOT },  { "8", HN_ENCODE_ONEHOT },
        { "9", HN_ENCODE_ONEHOT }, { "13", HN_ENCODE_ONEHOT },
    };
    struct hn_csv_options o = { .encode = encode, .n_encode = 8 };
    struct hn_recipe recipe;
    struct hn_classes classes;
    struct hn_array labels;
    p[0].like = NULL;
    REFUSED(table(FOLDER "adult-train.csv", NULL, "14"), HONE_E_DATA, "adult-train.csv",
            "row 1, column 'c1': found 'State-gov', wanted a number", "--encode c1=onehot|ordinal");
    REFUSED(table(FOLDER "adult-train.csv", &o, "14"), HONE_E_DATA,
            "row 15, column 'c13': found '?' (missing)", "--impute");
    o.keep_missing = 1;
    HN_OK(table(FOLDER "adult-train.csv", &o, "14"), err);
    ck_assert_int_eq(p[0].array.rows, 32561);
    ck_assert_int_eq(p[0].array.n_missing, 4262);
    ck_assert_ptr_nonnull(strstr(note.text, "no header row, columns are called c0 to c14"));
    const struct hn_impute_rule most = { .how = HN_IMPUTE_MOST };
    struct hn_recipe_fitting f = { .table = &p[0].array, .rules = &most, .n_rules = 1 };
    HN_OK(hn_recipe_fit(&recipe, &mem, &f, &err), err);
    HN_OK(hn_recipe_apply(&recipe, &p[0].array, &err), err);
    ck_assert_int_eq(p[0].array.per_row, 6 + 1 + 8 + 7 + 14 + 6 + 5 + 2 + 41);
    struct hn_label_request q = { .y = &p[1].array, .n_classes = 2, .note = &note };
    HN_OK(hn_labels_fit(&classes, &mem, &q, &err), err);
    ck_assert_str_eq(classes.text[0], "<=50K");
    HN_OK(hn_labels_map(&classes, &mem, &p[1].array, &labels, &err), err);
    int64_t rich = 0;
    for (int64_t i = 0; i < labels.rows; i++) rich += ((const int32_t *)labels.data)[i];
    ck_assert_int_eq(rich, 7841);
    hn_array_close(&labels);
    close_parts();
    p[0].like = &recipe; /* the test file has the same categories, but labels with a dot */
    HN_OK(table(FOLDER "adult-test.csv", &o, "14"), err);
    ck_assert_int_eq(p[0].array.rows, 16281);
    HN_OK(hn_recipe_apply(&recipe, &p[0].array, &err), err);
    REFUSED(hn_labels_map(&classes, &mem, &p[1].array, &labels, &err), HONE_E_DATA,
            "adult-test.csv",
            "row 1: found label '<=50K.', wanted one of the 2 classes: <=50K, >50K");
    close_parts();
    p[0].like = NULL;
    hn_recipe_free(&recipe);
    hn_classes_free(&classes);
}
END_TEST

START_TEST(abalone_german_and_wine)
{
    struct hn_encode sex = { "c0", HN_ENCODE_ONEHOT };
    struct hn_csv_options o = { .encode = &sex, .n_encode = 1 };
    struct hn_classes classes;
    p[0].like = NULL;
    HN_OK(table(FOLDER "abalone.csv", &o, "8"), err);
    ck_assert_int_eq(p[0].array.columns[0].n_category, 3);
    ck_assert_str_eq(p[0].array.columns[0].category[2], "M");
    ck_assert(f32(&p[0].array, 0, 0) == 2 && f32(&p[0].array, 0, 1) == 0.455f &&
              f64(&p[1].array, 0, 0) == 15);
    close_parts();
    o = (struct hn_csv_options){ .ignore = LIST("0", "2", "3", "5", "6", "8", "9", "11", "13", "14",
                                                "16", "18", "19") };
    HN_OK(table(FOLDER "german.csv", &o, "20"), err);
    ck_assert_int_eq(p[0].array.per_row, 7);
    struct hn_label_request q = { .y = &p[1].array, .n_classes = 2, .note = &note };
    HN_OK(hn_labels_fit(&classes, &mem, &q, &err), err); /* 1 and 2 */
    ck_assert(!classes.identity && classes.number[1] == 2);
    ck_assert_ptr_nonnull(strstr(note.text, "sorted order: 1, 2"));
    hn_classes_free(&classes);
    close_parts();
    HN_OK(table(FOLDER "winequality-white.csv", NULL, "11"), err);
    q.n_classes = 7; /* 3 … 9 */
    HN_OK(hn_labels_fit(&classes, &mem, &q, &err), err);
    ck_assert(classes.number[0] == 3 && classes.number[6] == 9);
    hn_classes_free(&classes);
    REFUSED((q.n_classes = 8, hn_labels_fit(&classes, &mem, &q, &err)), HONE_E_DATA,
            "7 different ones, wanted 8 labels");
    close_parts();
}
END_TEST

START_TEST(mnist)
{
    struct hn_array x, y;
    struct hn_source s = source(FOLDER "mnist-t10k-images-idx3-ubyte.gz");
    HN_OK(hn_array_open(&x, &s, "x", NULL, &err), err);
    s.path = FOLDER "mnist-t10k-labels-idx1-ubyte.gz";
    HN_OK(hn_array_open(&y, &s, "y", NULL, &err), err);
    ck_assert_int_eq(x.dtype, HN_U8);
    ck_assert_int_eq(x.per_row, 784);
    ck_assert_int_eq(x.rows, 10000);
    ck_assert_ptr_null(x.block); /* in the inflated bytes, not copied again */
    HN_OK(hn_array_check_rows(&x, &y, &err), err);
    ck_assert(hn_array_at(&y, 0, 0) == 7 && hn_array_at(&y, 1, 0) == 2);
    int64_t ones = 0;
    for (int64_t i = 0; i < y.rows; i++) ones += hn_array_at(&y, i, 0) == 1;
    ck_assert_int_eq(ones, 1135);
    struct hn_label_request q = { .y = &y, .n_classes = 10, .note = &note };
    struct hn_classes classes;
    HN_OK(hn_labels_fit(&classes, &mem, &q, &err), err);
    ck_assert(classes.identity);
    hn_classes_free(&classes);
    hn_array_close(&x);
    hn_array_close(&y);
}
END_TEST

int main(void)
{
    if (access(FOLDER "iris.csv", R_OK) != 0) return hn_skip("no " FOLDER);
    Suite *s = suite_create("real");
    TCase *tc = tcase_create("real");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, headerless_numbers);
    tcase_add_test(tc, adult);
    tcase_add_test(tc, abalone_german_and_wine);
    tcase_add_test(tc, mnist);
    return hn_run(s, tc);
}
