/* SPDX-License-Identifier: MIT
 *
 * Weights of rows that a host gives with its arrays, and weights of classes: what they make of a loss, for which roles they
 * stand, what is refused. */
#include "tests/train/kit.h"
#include <math.h>

static hone_error err;
static float weight[KIT_ROWS];

static hone_array weights(const float *w, int rows)
{
    return (hone_array){ sizeof(hone_array), NULL, HONE_F32, rows, 1, w };
}

static void fill(float value)
{
    for (int i = 0; i < KIT_ROWS; i++) weight[i] = value;
}

static double evaluate(const struct kit *k, hone_data *d, const char *what)
{
    hone_result *r;
    HN_OK(hone_evaluate(k->model, d, k->params, &r, &err), err);
    double v = kit_number(r, what);
    hone_result_destroy(r);
    return v;
}

/* Some of the kit's rows as data of their own. */
static hone_data *part(const struct kit *k, int first, int rows)
{
    hone_data *d = NULL;
    hone_array x = { sizeof x, NULL, HONE_F32, rows, KIT_IN, k->xf + first * KIT_IN };
    hone_array y = { sizeof y, NULL, HONE_I64, rows, 1, k->labels + first };
    HN_OK(hone_data_wrap(k->ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), err);
    return d;
}

START_TEST(a_loss_is_of_rows_that_count)
{
    struct kit k;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    hone_array w = weights(weight, KIT_ROWS);
    hone_data *first = part(&k, 0, 20), *rest = part(&k, 20, KIT_ROWS - 20);
    double all = evaluate(&k, k.data, "loss"), a = evaluate(&k, first, "loss"),
           b = evaluate(&k, rest, "loss"), right = evaluate(&k, k.data, "accuracy");
    ck_assert_double_gt(fabs(a - b), 1e-3);
    fill(2.5f);
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    ck_assert_double_eq_tol(evaluate(&k, k.data, "loss"), all, 1e-6);
    for (int i = 0; i < 20; i++) weight[i] = 0;
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err); /* instead of the first ones */
    ck_assert_double_eq_tol(evaluate(&k, k.data, "loss"), b, 1e-6);
    for (int i = 0; i < 20; i++) weight[i] = 10;
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    double sums = 20 * 10.0 + (KIT_ROWS - 20) * 2.5;
    ck_assert_double_eq_tol(evaluate(&k, k.data, "loss"),
                            (a * 200 + b * (KIT_ROWS - 20) * 2.5) / sums, 1e-6);
    ck_assert_double_eq(evaluate(&k, k.data, "accuracy"), right); /* counts rows */
    hone_data_destroy(first);
    hone_data_destroy(rest);
    kit_close(&k);
}
END_TEST

/* A class of weight 0 is not there; the result tells all of them. */
START_TEST(classes_have_weights)
{
    struct kit k;
    hone_result *r;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    hone_array w = weights(weight, KIT_ROWS);
    for (int i = 0; i < KIT_ROWS; i++) weight[i] = k.labels[i] == 1 ? 0 : k.labels[i] ? 3 : 1;
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    double wanted = evaluate(&k, k.data, "loss");
    fill(1);
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    HN_OK(hone_params_set(k.params, "class-weights", "1,0,3", &err), err);
    HN_OK(hone_evaluate(k.model, k.data, k.params, &r, &err), err);
    ck_assert_double_eq(kit_number(r, "loss"), wanted);
    ck_assert_str_eq(hone_result_text(r, "class_weights.2.class"), "2");
    ck_assert_double_eq(kit_number(r, "class_weights.2.weight"), 3);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(a_role_without_weights_counts_one_each)
{
    struct kit k;
    hone_result *r;
    HN_OK(kit_open(&k, "bn_f32", 20, NULL, NULL, &err), err);
    hone_data *val = part(&k, KIT_ROWS - 20, 20);
    hone_array w = weights(weight, KIT_ROWS - 20);
    double before = evaluate(&k, val, "loss");
    for (int i = 0; i < KIT_ROWS; i++) weight[i] = (float)(i % 4);
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    HN_OK(hone_params_set(k.params, "epochs", "4", &err), err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    ck_assert_double_eq(kit_number(r, "before.val.loss"), before);
    ck_assert_double_eq(kit_number(r, "val.loss"), evaluate(&k, val, "loss"));
    hone_result_destroy(r);
    hone_data_destroy(val);
    kit_close(&k);
}
END_TEST

/* A batch in which no row counts moves nothing, and its running loss is not NaN. */
static int is_number(void *user, const hone_progress *p)
{
    if (p->epoch > 0 && (p->row || p->epoch_end)) *(int *)user &= isfinite(p->train_loss) != 0;
    return 0;
}

START_TEST(batches_that_do_not_count)
{
    struct kit k;
    hone_result *r;
    int finite = 1;
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = is_number, cb.user = &finite;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    hone_array w = weights(weight, KIT_ROWS);
    fill(0);
    weight[KIT_ROWS - 1] = 1; /* of the last batch */
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    const struct kit_pair pairs[] = {
        { "epochs", "3" }, { "batch-size", "10" }, { "no-shuffle", "true" }, { NULL, NULL }
    };
    HN_OK(kit_set(&k, pairs, &err), err);
    HN_OK(hone_train(k.model, k.data, k.params, &cb, &r, &err), err);
    ck_assert(finite);
    ck_assert_str_eq(hone_result_text(r, "stop_reason"), "max_epochs");
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

START_TEST(refusals)
{
    struct kit k;
    hone_result *r = NULL;
    HN_OK(kit_open(&k, "bn_f32", 0, NULL, NULL, &err), err);
    hone_array w = weights(weight, KIT_ROWS);
    fill(1);
    ck_assert_int_eq(hone_data_weights(k.data, HONE_VAL, &w, &err), HONE_E_USAGE);
    ck_assert_int_eq(hone_data_weights(k.data, (hone_role)7, &w, &err), HONE_E_USAGE);
    w.rows--;
    ck_assert_int_eq(hone_data_weights(k.data, HONE_TRAIN, &w, &err), HONE_E_DATA);
    w.rows = KIT_ROWS / 2, w.per_row = 2;
    ck_assert_int_eq(hone_data_weights(k.data, HONE_TRAIN, &w, &err), HONE_E_DATA);
    w = weights(weight, KIT_ROWS);
    w.data = NULL;
    ck_assert_int_eq(hone_data_weights(k.data, HONE_TRAIN, &w, &err), HONE_E_USAGE);
    w.data = weight;
    const float bad[] = { -1, NAN, INFINITY };
    for (int i = 0; i < 3; i++) {
        weight[4] = bad[i];
        ck_assert_int_eq(hone_data_weights(k.data, HONE_TRAIN, &w, &err), HONE_E_DATA);
        ck_assert_msg(strstr(err.text, "row 5") != NULL, "%s", err.text);
    }
    ck_assert_msg(isfinite(evaluate(&k, k.data, "loss")), "a refused call left something");
    fill(0);
    HN_OK(hone_data_weights(k.data, HONE_TRAIN, &w, &err), err);
    ck_assert_int_eq(hone_train(k.model, k.data, k.params, NULL, &r, &err), HONE_E_DATA);
    ck_assert_msg(strstr(err.text, "weight 0") != NULL, "%s", err.text);
    kit_close(&k);
}
END_TEST

HN_TEST_MAIN("weights", tcase_add_test(tc, a_loss_is_of_rows_that_count);
             tcase_add_test(tc, classes_have_weights);
             tcase_add_test(tc, a_role_without_weights_counts_one_each);
             tcase_add_test(tc, batches_that_do_not_count); tcase_add_test(tc, refusals);)
