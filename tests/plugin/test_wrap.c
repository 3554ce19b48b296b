/* SPDX-License-Identifier: MIT
 *
 * Arrays of the host: what hone_data_wrap and hone_data_weights refuse, in which words, and that a refused call leaves a data
 * set as it was: what it held, and nothing of what it was given. */
#include "tests/plugin/model_util.h"

enum { ROWS = 60, IN = 4 };

static hone_error err;
static float x_rows[ROWS * IN];
static int64_t labels[ROWS];

static void fill(void)
{
    for (int i = 0; i < ROWS * IN; i++) x_rows[i] = (float)(i * 37 % 64 - 31) / 16;
    for (int i = 0; i < ROWS; i++) labels[i] = i % 3;
}

static hone_array rows_of(int64_t rows)
{
    return (hone_array){ sizeof(hone_array), NULL, HONE_F32, rows, IN, x_rows };
}

static hone_array labels_of(int64_t rows)
{
    return (hone_array){ sizeof(hone_array), NULL, HONE_I64, rows, 1, labels };
}

static hone_data *wrapped(hone_context *ctx)
{
    hone_data *d = NULL;
    hone_array x = rows_of(ROWS), y = labels_of(ROWS);
    HN_OK(hone_data_wrap(ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), err);
    return d;
}

/* Two epochs over d: the model's bytes. Returns whether there were validation rows. */
static int trained(hone_context *ctx, hone_data *d, struct hn_buffer *bytes)
{
    hone_model *m;
    hone_params *p;
    hone_result *r;
    double loss;
    HN_OK(hone_model_new(ctx, "4-5-3 relu softmax", 1, &m, &err), err);
    HN_OK(hone_params_create(ctx, &p, &err), err);
    HN_OK(hone_params_set(p, "epochs", "2", &err), err);
    HN_OK(hone_train(m, d, p, NULL, &r, &err), err);
    const int val = hone_result_number(r, "val.loss", &loss);
    *bytes = bytes_of(m);
    hone_result_destroy(r);
    hone_params_destroy(p);
    hone_model_destroy(m);
    return val;
}

/* Arrays that are gone, and filled with rubbish, once they were refused. */
static void refuse(hone_context *ctx, hone_role role, hone_data *d, int bad)
{
    hone_data *was = d;
    float *x = malloc(sizeof x_rows);
    int64_t *y = malloc(sizeof labels);
    ck_assert(x && y);
    memcpy(x, x_rows, sizeof x_rows);
    memcpy(y, labels, sizeof labels);
    hone_array in[2] = { rows_of(ROWS), rows_of(ROWS) },
               out[2] = { labels_of(ROWS), labels_of(ROWS) };
    in[0].data = in[1].data = x, out[0].data = out[1].data = y;
    in[0].name = "x"; /* of the list's own, too */
    if (bad == 0) out[0].rows = ROWS - 1;
    if (bad == 1) x[7] = (float)INFINITY;
    if (bad == 2) in[1].rows = ROWS - 1;
    if (bad == 3) out[1].data = NULL;
    if (bad == 4) in[0].per_row = -1;
    const size_t more = bad == 2 || bad == 3;
    hone_status st = hone_data_wrap(ctx, role, in, 1 + more, out, 1 + more, &d, &err);
    ck_assert_msg(st == HONE_E_DATA || st == HONE_E_USAGE, "bad %d: %d", bad, (int)st);
    ck_assert_ptr_eq(d, was);
    memset(x, 0xFF, sizeof x_rows);
    memset(y, 0xFF, sizeof labels);
    free(x);
    free(y);
}

START_TEST(a_refused_call_leaves_the_set_as_it_was)
{
    hone_context *ctx;
    struct hn_buffer plain, after, judged;
    fill();
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hone_data *d = wrapped(ctx);
    ck_assert_int_eq(trained(ctx, d, &plain), 0);
    refuse(ctx, HONE_VAL, d, _i);
    refuse(ctx, HONE_TRAIN, d, _i);
    ck_assert_int_eq(trained(ctx, d, &after), 0);
    ck_assert(plain.n == after.n && !memcmp(plain.p, after.p, plain.n));
    hone_array x = rows_of(ROWS), y = labels_of(ROWS);
    HN_OK(hone_data_wrap(ctx, HONE_VAL, &x, 1, &y, 1, &d, &err), err);
    ck_assert_int_eq(trained(ctx, d, &judged), 1);
    hn_buffer_free(&plain);
    hn_buffer_free(&after);
    hn_buffer_free(&judged);
    hone_data_destroy(d);
    hone_context_destroy(ctx);
}
END_TEST

START_TEST(nor_does_one_without_memory)
{
    fill();
    for (long n = 1, hits = 1; hits; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        hone_context *ctx = context_on(&f);
        hone_data *d = wrapped(ctx);
        hone_array x[2] = { rows_of(ROWS), rows_of(ROWS) }, y = labels_of(ROWS);
        x[0].name = "a", x[1].name = "b";
        f.mem_fail.at = atomic_load(&f.mem_fail.calls) + n;
        hone_status st = hone_data_wrap(ctx, HONE_VAL, x, 2, &y, 1, &d, &err);
        hits = atomic_load(&f.mem_fail.hits);
        ck_assert_int_eq(st, hits ? HONE_E_NOMEM : HONE_OK);
        f.mem_fail.at = 0;
        x[0].name = NULL;
        if (hits) HN_OK(hone_data_wrap(ctx, HONE_VAL, x, 1, &y, 1, &d, &err), err);
        struct hn_buffer b;
        if (hits) {
            ck_assert_int_eq(trained(ctx, d, &b), 1);
            hn_buffer_free(&b);
        }
        hone_data_destroy(d);
        hone_context_destroy(ctx);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
    }
}
END_TEST

static const struct {
    int role;
    hone_array x, y;
    size_t n_x, n_y;
    const char *where, *text;
} refused[] = {
#define X(...)                                                                                     \
    {                                                                                              \
        .size = sizeof(hone_array), __VA_ARGS__                                                    \
    }
#define ROWS_OF(t) .dtype = t, .rows = 2, .per_row = 4, .data = x_rows
#define LABELS     X(.dtype = HONE_I64, .rows = 2, .per_row = 1, .data = labels)
    { 7, X(ROWS_OF(HONE_F32)), LABELS, 1, 1, "role",
      "found 7, wanted HONE_TRAIN, HONE_VAL, HONE_TEST or HONE_PRETRAIN" },
    { -1, X(ROWS_OF(HONE_F32)), LABELS, 1, 0, "role",
      "found -1, wanted HONE_TRAIN, HONE_VAL, HONE_TEST or HONE_PRETRAIN" },
    { HONE_PRETRAIN, X(ROWS_OF(HONE_F32)), LABELS, 1, 1, "role",
      "found 1 arrays of targets with HONE_PRETRAIN, wanted none" },
    { HONE_TRAIN, X(.dtype = HONE_F32, .rows = 2, .per_row = 4), LABELS, 1, 1, "x",
      "found NULL as data, wanted 2 rows of 4 elements of float32" },
    { HONE_VAL, X(ROWS_OF(HONE_F32)), X(.dtype = HONE_STR, .rows = 2, .per_row = 1), 1, 1,
      "validation y", "found NULL as data, wanted 2 rows of 1 elements of string" },
    { HONE_TRAIN, X(ROWS_OF(0)), LABELS, 1, 1, "x",
      "found dtype 0, wanted one of hone_dtype, such as HONE_F32" },
    { HONE_TEST, X(ROWS_OF(99), .name = "input"), LABELS, 1, 1, "input",
      "found dtype 99, wanted one of hone_dtype, such as HONE_F32" },
    { HONE_TRAIN, X(ROWS_OF(HONE_F32)), X(ROWS_OF(HONE_STR)), 1, 1, "y",
      "found HONE_STR with 4 elements a row, wanted numbers or one label a row" },
    { HONE_TRAIN, X(.dtype = HONE_F32, .rows = -2, .per_row = 4, .data = x_rows), LABELS, 1, 1, "x",
      "found -2 rows of 4 elements, wanted 1 or more of each that memory can hold" },
    { HONE_TRAIN, X(.dtype = HONE_F32, .rows = INT64_MAX, .per_row = 4, .data = x_rows), LABELS, 1,
      1, "x",
      "found 9223372036854775807 rows of 4 elements, wanted 1 or more of each that memory can "
      "hold" },
};

START_TEST(what_is_wrong_is_said)
{
    hone_context *ctx;
    hone_data *d = NULL;
    fill();
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hone_array x = refused[_i].x, y = refused[_i].y;
    ck_assert_int_eq(hone_data_wrap(ctx, (hone_role)refused[_i].role, &x, refused[_i].n_x, &y,
                                    refused[_i].n_y, &d, &err),
                     HONE_E_USAGE);
    ck_assert_str_eq(err.where, refused[_i].where);
    ck_assert_str_eq(err.text, refused[_i].text);
    ck_assert_ptr_null(d);
    hone_context_destroy(ctx);
}
END_TEST

START_TEST(which_of_several_and_which_weights)
{
    hone_context *ctx;
    hone_data *d = NULL;
    fill();
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hone_array x[2] = { rows_of(ROWS), rows_of(ROWS) }, w = rows_of(ROWS);
    x[1].data = NULL;
    ck_assert_int_eq(hone_data_wrap(ctx, HONE_VAL, x, 2, NULL, 0, &d, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "validation x[1]");
    d = wrapped(ctx);
    w.per_row = 1, w.data = NULL;
    ck_assert_int_eq(hone_data_weights(d, HONE_TRAIN, &w, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "sample-weights");
    w.data = x_rows;
    ck_assert_int_eq(hone_data_weights(d, HONE_PRETRAIN, &w, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.text, "found HONE_PRETRAIN, wanted a role whose rows have a loss to "
                               "weigh: HONE_TRAIN, HONE_VAL or HONE_TEST");
    hone_data_destroy(d);
    hone_context_destroy(ctx);
}
END_TEST

START_TEST(which_groups)
{
    static const int64_t large[ROWS] = { INT64_MAX, INT64_MAX - 1 };
    static const char *const text[2 * ROWS] = { "a" };
    hone_context *ctx;
    hone_data *d = NULL;
    fill();
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    hone_array x = rows_of(ROWS), g = HONE_ARRAY, t = HONE_ARRAY;
    g.dtype = HONE_I64, g.rows = ROWS, g.per_row = 1, g.data = large;
    t.dtype = HONE_STR, t.rows = ROWS, t.per_row = 2, t.data = text;
    HN_OK(hone_data_wrap(ctx, HONE_VAL, &x, 1, NULL, 0, &d, &err), err);
    ck_assert_int_eq(hone_data_groups(d, &g, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.text, "found no training rows to be grouped");
    hone_data_destroy(d);
    d = wrapped(ctx);
    HN_OK(hone_data_groups(d, &g, &err), err);
    HN_OK(hone_data_groups(d, &g, &err), err); /* instead of the first ones */
    ck_assert_int_eq(hone_data_groups(d, &x, &err), HONE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "wanted one group"));
    ck_assert_int_eq(hone_data_groups(d, &t, &err), HONE_E_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "one label a row"));
    g.rows--;
    ck_assert_int_eq(hone_data_groups(d, &g, &err), HONE_E_DATA);
    hone_data_destroy(d);
    hone_context_destroy(ctx);
}
END_TEST

/* ---- what a float cannot hold ---- */

static const char too_large[] =
    "row 8, column 1 (from 0): found -1e+300, wanted a number that float32 can hold";

static int no_rows(void *user, const hone_array *o, size_t n, int64_t first)
{
    (void)user, (void)o, (void)n, (void)first;
    return 0;
}

static void refused_for(const char *what, hone_status st, const char *where, const char *text)
{
    ck_assert_msg(st == HONE_E_DATA, "%s: %d %s", what, (int)st, err.text);
    ck_assert_msg(!strcmp(err.where, where) && !strcmp(err.text, text), "%s: %s: %s", what,
                  err.where, err.text);
}

START_TEST(numbers_beyond_float)
{
    static double wide[ROWS * IN], out[ROWS * 3];
    hone_context *ctx;
    hone_model *m;
    hone_data *d = NULL;
    hone_result *r = NULL;
    hone_predictor *p;
    fill();
    for (int i = 0; i < ROWS * IN; i++) wide[i] = (double)x_rows[i];
    wide[7 * IN + 1] = -1e300;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hone_model_new(ctx, "4-5-3 relu softmax", 1, &m, &err), err);
    struct hn_buffer before = bytes_of(m);
    hone_array x = rows_of(ROWS), y = labels_of(ROWS);
    x.dtype = HONE_F64, x.data = wide;
    HN_OK(hone_data_wrap(ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err),
          err); /* a double model has room */
    refused_for("train", hone_train(m, d, NULL, NULL, &r, &err), "x", too_large);
    refused_for("evaluate", hone_evaluate(m, d, NULL, &r, &err), "x", too_large);
    refused_for("predict", hone_predict(m, d, NULL, NULL, no_rows, NULL, &r, &err), "x", too_large);
    refused_for("lr_find", hone_lr_find(m, d, NULL, NULL, &r, &err), "x", too_large);
    HN_OK(hone_predictor_create(m, NULL, ROWS, &p, &err), err);
    hone_output to = { sizeof to, NULL, HONE_F32, ROWS, 3, out };
    refused_for("predictor", hone_predictor_run(p, ROWS, &x, 1, &to, 1, &err), "x", too_large);
    HN_OK(hone_predictor_run(p, 7, &x, 1, &to, 1, &err), err); /* the rows before it */
    struct hn_buffer after = bytes_of(m);
    ck_assert(before.n == after.n && !memcmp(before.p, after.p, before.n));
    hn_buffer_free(&before);
    hn_buffer_free(&after);
    hone_predictor_destroy(p);
    hone_data_destroy(d);
    hone_model_destroy(m);
    hone_context_destroy(ctx);
}
END_TEST

/* As targets, scaled or not; a double model takes them. */
START_TEST(targets_beyond_float)
{
    static double wide[ROWS], in[ROWS * 12];
    hone_context *ctx;
    hone_model *m;
    hone_data *d = NULL;
    hone_params *p;
    hone_result *r = NULL;
    fill();
    for (int i = 0; i < ROWS; i++) wide[i] = i;
    wide[59] = 4e38;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hone_model_new(ctx, "4-5-1 relu", 1, &m, &err), err);
    HN_OK(hone_params_create(ctx, &p, &err), err);
    hone_array x = rows_of(ROWS), y = labels_of(ROWS);
    y.dtype = HONE_F64, y.data = wide;
    HN_OK(hone_data_wrap(ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), err);
    static const char text[] =
        "row 60, column 0 (from 0): found 4e+38, wanted a number that float32 can hold";
    refused_for("train", hone_train(m, d, p, NULL, &r, &err), "y", text);
    refused_for("evaluate", hone_evaluate(m, d, p, &r, &err), "y", text);
    HN_OK(hone_params_set(p, "scale-target", "standard", &err), err);
    refused_for("scaled", hone_train(m, d, p, NULL, &r, &err), "y", text);
    hone_data_destroy(d);
    hone_model_destroy(m);
    d = NULL;
    HN_OK(hone_model_load(ctx, HN_SOURCE_DIR "/tests/data/parity/one_f64.onnx", &m, &err), err);
    in[3] = 1e200;
    x = (hone_array){ sizeof x, NULL, HONE_F64, ROWS, 12, in };
    HN_OK(hone_data_wrap(ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), err);
    HN_OK(hone_evaluate(m, d, NULL, &r, &err), err);
    hone_result_destroy(r);
    hone_params_destroy(p);
    hone_data_destroy(d);
    hone_model_destroy(m);
    hone_context_destroy(ctx);
}
END_TEST

HN_TEST_MAIN("wrap", tcase_add_loop_test(tc, a_refused_call_leaves_the_set_as_it_was, 0, 5);
             tcase_add_test(tc, nor_does_one_without_memory);
             tcase_add_loop_test(tc, what_is_wrong_is_said, 0, sizeof refused / sizeof *refused);
             tcase_add_test(tc, which_of_several_and_which_weights);
             tcase_add_test(tc, which_groups); tcase_add_test(tc, numbers_beyond_float);
             tcase_add_test(tc, targets_beyond_float);)
