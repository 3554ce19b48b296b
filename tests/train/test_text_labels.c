/* SPDX-License-Identifier: MIT
 *
 * Class labels as text in arrays of the host: the same training as by class numbers, their names in the model afterwards, and
 * what is refused. */
#include "tests/train/kit.h"

static hone_error err;
static const char *const names[] = { "ant", "bee", "cat", "dog", "eel" };

static hone_data *wrapped(struct kit *k, const char *const *text)
{
    hone_data *d = NULL;
    hone_array x = { sizeof x, NULL, HONE_F32, KIT_ROWS, KIT_IN, k->xf };
    hone_array y = { sizeof y, NULL, HONE_STR, KIT_ROWS, 1, text };
    HN_OK(hone_data_wrap(k->ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), err);
    return d;
}

/* How many classes there are. */
static int name_labels(const struct kit *k, const char **text)
{
    int64_t most = 0;
    for (int i = 0; i < KIT_ROWS; i++) {
        text[i] = names[k->labels[i]];
        if (k->labels[i] > most) most = k->labels[i];
    }
    return (int)most + 1;
}

static void train(struct kit *k, hone_data *d)
{
    hone_result *r;
    HN_OK(hone_params_set(k->params, "epochs", "3", &err), err);
    HN_OK(hone_train(k->model, d, k->params, NULL, &r, &err), err);
    hone_result_destroy(r);
}

static hone_result *described(struct kit *k)
{
    hone_result *r;
    HN_OK(hone_model_describe(k->model, &r, &err), err);
    return r;
}

START_TEST(trains_as_by_numbers_and_keeps_the_names)
{
    const char *text[KIT_ROWS];
    char path[64];
    struct kit by_number, by_name;
    double learns;
    HN_OK(kit_open(&by_number, "bn_f32", 0, NULL, NULL, &err), err);
    HN_OK(kit_open(&by_name, "bn_f32", 0, NULL, NULL, &err), err);
    int classes = name_labels(&by_name, text);
    ck_assert_int_gt(classes, 1);
    hone_data *d = wrapped(&by_name, text);
    train(&by_number, by_number.data);
    train(&by_name, d);
    ck_assert_uint_eq(kit_hash(by_name.model), kit_hash(by_number.model));

    hone_result *r = described(&by_name);
    for (int c = 0; c < classes; c++) {
        snprintf(path, sizeof path, "outputs.0.classes.%d", c);
        const char *found = hone_result_text(r, path);
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found, names[c]);
    }
    ck_assert_int_eq(hone_result_number(r, "outputs.0.learns", &learns), 1);
    ck_assert_double_eq(learns, 1);
    hone_result_destroy(r);
    for (int i = 0; i < KIT_ROWS; i++) text[i] = names[1]; /* in the model's order, though alone */
    HN_OK(hone_evaluate(by_name.model, d, by_name.params, &r, &err), err);
    hone_result_destroy(r);
    r = described(&by_number);
    ck_assert_ptr_null(hone_result_text(r, "outputs.0.classes.0")); /* numbers need no list */
    hone_result_destroy(r);
    hone_data_destroy(d);
    kit_close(&by_name);
    kit_close(&by_number);
}
END_TEST

START_TEST(a_label_that_is_none_names_its_row)
{
    const char *text[KIT_ROWS];
    struct kit k;
    hone_result *r;
    hone_data *d = NULL;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    name_labels(&k, text);
    hone_array x = { sizeof x, NULL, HONE_F32, KIT_ROWS, KIT_IN, k.xf };
    hone_array y = { sizeof y, NULL, HONE_STR, KIT_ROWS, 1, text };
    text[7] = NULL;
    ck_assert_int_eq(hone_data_wrap(k.ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), HONE_E_DATA);
    ck_assert_msg(strstr(err.text, "row 8") && strstr(err.text, "no text"), "%s", err.text);
    ck_assert_ptr_null(d);
    text[7] = "gnu";
    d = wrapped(&k, text);
    ck_assert_int_eq(hone_train(k.model, d, k.params, NULL, &r, &err), HONE_E_DATA);
    ck_assert_msg(strstr(err.text, "different ones"), "%s", err.text);
    hone_data_destroy(d);
    kit_close(&k);
}
END_TEST

/* Text goes to inputs that take it, of which this model has none. */
START_TEST(only_labels_may_be_text)
{
    const char *text[2 * KIT_ROWS];
    struct kit k;
    hone_data *d = NULL;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    name_labels(&k, text);
    name_labels(&k, text + KIT_ROWS);
    hone_array x = { sizeof x, NULL, HONE_STR, KIT_ROWS, 1, text }, labels = x;
    hone_result *r;
    HN_OK(hone_data_wrap(k.ctx, HONE_TRAIN, &x, 1, &labels, 1, &d, &err), err);
    ck_assert_int_eq(hone_train(k.model, d, k.params, NULL, &r, &err), HONE_E_DATA);
    ck_assert_msg(strstr(err.text, "wants numbers, found text"), "%s: %s", err.where, err.text);
    hone_data_destroy(d);
    d = NULL;
    hone_array ok = { sizeof ok, NULL, HONE_F32, KIT_ROWS, KIT_IN, k.xf };
    hone_array y = { sizeof y, NULL, HONE_STR, KIT_ROWS, 2, text };
    ck_assert_int_eq(hone_data_wrap(k.ctx, HONE_TRAIN, &ok, 1, &y, 1, &d, &err), HONE_E_USAGE);
    y.per_row = 1;
    HN_OK(hone_data_wrap(k.ctx, HONE_TRAIN, &ok, 1, NULL, 0, &d, &err), err);
    ck_assert_int_eq(hone_data_weights(d, HONE_TRAIN, &y, &err), HONE_E_DATA);
    hone_data_destroy(d);
    kit_close(&k);
}
END_TEST

HN_TEST_MAIN("text_labels", tcase_add_test(tc, trains_as_by_numbers_and_keeps_the_names);
             tcase_add_test(tc, a_label_that_is_none_names_its_row);
             tcase_add_test(tc, only_labels_may_be_text);)
