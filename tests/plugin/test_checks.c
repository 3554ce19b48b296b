/* SPDX-License-Identifier: MIT
 *
 * verify, gradcheck and doctor: right answers, wrong answers that must be noticed, missing and
 * unfit files, failing memory and disks. */
#include "onnx/tensor.h"
#include "tests/plugin/fixture.h"
#include <math.h>
#include <sys/stat.h>

static void write_vector(const char *path, const struct hn_tensor *t)
{
    struct hn_buffer b = b_new();
    HN_OK(hn_onnx_write_tensor_pb(&b.sink, "v", t, &err), err);
    scratch_write(path, b.p, b.n);
    hn_buffer_free(&b);
}

static void write_floats(const char *path, int64_t rows, int64_t cols, const float *v)
{
    struct hn_tensor t = { HN_F32, 2, { rows, cols }, rows * cols, v };
    write_vector(path, &t);
}

/* b_mlp's function, written out again: Gemm, Relu, Gemm. */
static void mlp(const float *x, int rows, float *y)
{
    static const float w[6] = { 1, -2, 3, 4, -5, 6 }, b[3] = { 0.5f, -0.5f, 0.25f },
                       v[3] = { 1, 2, -1 };
    for (int r = 0; r < rows; r++) {
        y[r] = 7;
        for (int j = 0; j < 3; j++) {
            float h = b[j] + w[2 * j] * x[2 * r] + w[2 * j + 1] * x[2 * r + 1];
            y[r] += v[j] * (h > 0 ? h : 0);
        }
    }
}

static void write_case(const char *dir, int rows, float shift)
{
    float x[64], y[32];
    char path[64];
    for (int i = 0; i < 2 * rows; i++) x[i] = (float)(i * 7 % 11) / 3 - 1.5f;
    mlp(x, rows, y);
    y[rows - 1] += shift;
    mkdir(scratch(dir), 0755);
    snprintf(path, sizeof path, "%s/input_0.pb", dir);
    write_floats(path, rows, 2, x);
    snprintf(path, sizeof path, "%s/output_0.pb", dir);
    write_floats(path, rows, 1, y);
}

static double number(hone_result *r, const char *path)
{
    double v = (double)NAN;
    ck_assert_msg(hone_result_number(r, path, &v), "no %s", path);
    return v;
}

START_TEST(vectors_pass_and_differences_are_named)
{
    hone_model *m = load_buffer(ctx, b_mlp());
    hone_result *r;
    char good[600], bad[600];
    write_case("good", 5, 0);
    write_case("bad", 3, 0.5f);
    snprintf(good, sizeof good, "%s", scratch("good"));
    snprintf(bad, sizeof bad, "%s", scratch("bad"));
    const char *dirs[] = { good, bad };
    HN_OK(hone_verify(m, dirs, 2, NULL, &r, &err), err);
    ck_assert_double_eq(number(r, "cases"), 2);
    ck_assert_double_eq(number(r, "passed"), 1);
    ck_assert_double_eq(number(r, "rows.0.passed"), 1);
    ck_assert_double_le(number(r, "rows.0.max_abs"), 1e-5);
    ck_assert_double_eq(number(r, "rows.1.different"), 1);
    ck_assert_double_eq_tol(number(r, "max_abs"), 0.5, 1e-4);
    ck_assert_double_eq(number(r, "rtol"), 1e-3);
    ck_assert(strstr(hone_result_text(r, "rows.1.first"), "output 'y', element 2: found"));
    hone_result_destroy(r);

    hone_params *loose;
    HN_OK(hone_params_create(ctx, &loose, &err), err);
    HN_OK(hone_params_set(loose, "atol", "0.6", &err), err);
    HN_OK(hone_verify(m, dirs, 2, loose, &r, &err), err);
    ck_assert_double_eq(number(r, "passed"), 2);
    hone_result_destroy(r);
    hone_params_destroy(loose);
    hone_model_destroy(m);
}
END_TEST

START_TEST(not_a_number_only_equals_itself)
{
    hone_model *m = load_buffer(ctx, b_mlp());
    hone_result *r;
    const float x[2] = { (float)NAN, 0 }, nan[1] = { (float)NAN }, one[1] = { 1 };
    mkdir(scratch("d"), 0755);
    write_floats("d/input_0.pb", 1, 2, x);
    char dir[600]; /* scratch lends its four paths in turn */
    snprintf(dir, sizeof dir, "%s", scratch("d"));
    const char *dirs[] = { dir };
    for (int same = 0; same < 2; same++) {
        write_floats("d/output_0.pb", 1, 1, same ? nan : one);
        HN_OK(hone_verify(m, dirs, 1, NULL, &r, &err), err);
        ck_assert_double_eq(number(r, "passed"), same);
        hone_result_destroy(r);
    }
    hone_model_destroy(m);
}
END_TEST

START_TEST(unfit_vectors_are_errors)
{
    hone_model *m = load_buffer(ctx, b_mlp());
    hone_result *r = NULL;
    const float x[6] = { 0 };
    char dir[600]; /* scratch lends its four paths in turn */
    snprintf(dir, sizeof dir, "%s", scratch("d"));
    const char *dirs[] = { dir };
    ck_assert_int_eq(hone_verify(m, dirs, 0, NULL, &r, &err), HONE_E_USAGE);
    ck_assert_int_eq(hone_verify(m, dirs, 1, NULL, &r, &err), HONE_E_IO);
    ck_assert(strstr(err.where, "input_0.pb"));
    mkdir(dirs[0], 0755);
    write_floats("d/input_0.pb", 1, 3, x);
    ck_assert_int_eq(hone_verify(m, dirs, 1, NULL, &r, &err), HONE_E_DATA);
    write_floats("d/input_0.pb", 3, 2, x);
    ck_assert_int_eq(hone_verify(m, dirs, 1, NULL, &r, &err), HONE_E_IO);
    ck_assert(strstr(err.where, "output_0.pb"));
    write_floats("d/output_0.pb", 1, 3, x);
    HN_OK(hone_verify(m, dirs, 1, NULL, &r, &err), err); /* a shape that differs is an answer */
    ck_assert_double_eq(number(r, "passed"), 0);
    ck_assert(strstr(hone_result_text(r, "rows.0.first"), "wanted 3"));
    hone_result_destroy(r);
    static const char *const words[2] = { "a", "b" };
    struct hn_tensor text = { HN_STR, 1, { 2 }, 2, words };
    write_vector("d/input_0.pb", &text);
    ck_assert_int_eq(hone_verify(m, dirs, 1, NULL, &r, &err), HONE_E_UNSUPPORTED);
    scratch_write("d/input_0.pb", "garbage", 7);
    ck_assert_int_eq(hone_verify(m, dirs, 1, NULL, &r, &err), HONE_E_MODEL);
    ck_assert_ptr_null(r);
    hone_model_destroy(m);
}
END_TEST

START_TEST(gradients_agree)
{
    hone_model *m = load_buffer(ctx, b_mlp());
    hone_result *r;
    char path[64];
    HN_OK(hone_gradcheck(m, NULL, &r, &err), err);
    ck_assert_double_eq(number(r, "passed"), 1);
    ck_assert_double_lt(number(r, "max_rel"), 1e-6);
    ck_assert_double_gt(number(r, "max_rel"), 0); /* something was compared */
    int rows = 0, losses = 0;
    double elements;
    for (;; rows++) {
        snprintf(path, sizeof path, "rows.%d.checked", rows);
        if (!hone_result_number(r, path, &elements)) break;
        ck_assert_double_ge(elements, 1);
        snprintf(path, sizeof path, "rows.%d.parameter", rows);
        losses += !strcmp(hone_result_text(r, path), "w");
    }
    ck_assert_int_eq(rows, 4 * losses); /* every parameter under every loss */
    ck_assert_int_ge(losses, 3);
    hone_result_destroy(r);
    hone_params *params;
    HN_OK(hone_params_create(ctx, &params, &err), err);
    HN_OK(hone_params_set(params, "loss", "y=mae:2", &err), err);
    HN_OK(hone_gradcheck(m, params, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "rows.3.loss"), "mae");
    ck_assert_ptr_null(hone_result_text(r, "rows.4.loss"));
    hone_result_destroy(r);
    HN_OK(hone_params_set(params, "loss", NULL, &err), err);
    HN_OK(hone_params_set(params, "loss", "z=mae", &err), err);
    ck_assert_int_eq(hone_gradcheck(m, params, &r, &err), HONE_E_USAGE);
    hone_params_destroy(params);
    hone_model_destroy(m);
}
END_TEST

START_TEST(doctor_names_libraries)
{
    hone_result *r;
    HN_OK(hone_doctor(ctx, &r, &err), err);
    ck_assert(strstr(hone_result_text(r, "libraries.openblas"), "OpenBLAS"));
    ck_assert(hone_result_text(r, "libraries.openblas_core")[0]);
    ck_assert(hone_result_text(r, "libraries.protobuf-c")[0]);
    ck_assert_double_ge(number(r, "cpu.cores"), 1);
    ck_assert_double_eq(number(r, "gpu.used"), hn_device_why_no_gpu(NULL, 0) == NULL);
    hone_result_destroy(r);
}
END_TEST

static hone_status jobs(hone_context *c, int which, const char *model, const char *dir)
{
    hone_model *m;
    hone_result *r = NULL;
    hone_status st = hone_model_load(c, model, &m, NULL);
    if (st != HONE_OK) return st;
    if (which == 0) st = hone_verify(m, &dir, 1, NULL, &r, NULL);
    if (which == 1) st = hone_gradcheck(m, NULL, &r, NULL);
    if (which == 2) st = hone_doctor(c, &r, NULL);
    ck_assert_int_eq(r == NULL, st != HONE_OK);
    hone_result_destroy(r);
    hone_model_destroy(m);
    return st;
}

START_TEST(every_call_may_fail)
{
    int which = _i / 2, io = _i % 2;
    char model[600], dir[600];
    struct hn_buffer b = b_mlp();
    scratch_write("in.onnx", b.p, b.n);
    hn_buffer_free(&b);
    write_case("d", 3, 0);
    snprintf(model, sizeof model, "%s", scratch("in.onnx"));
    snprintf(dir, sizeof dir, "%s", scratch("d"));
    for (long n = 1;; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        hone_context *c = context_on(&f);
        struct hn_fault_point *p = io ? &f.io_fail : &f.mem_fail;
        p->at = p->calls + n;
        hone_status st = jobs(c, which, model, dir);
        long hits = p->hits;
        p->at = 0;
        hone_context_destroy(c);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!hits) {
            ck_assert_int_eq(st, HONE_OK);
            break;
        }
        if (!io) ck_assert_int_eq(st, HONE_E_NOMEM);
        if (io && st != HONE_OK) ck_assert_int_eq(st, HONE_E_IO);
    }
}
END_TEST

HN_TEST_MAIN("checks", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, vectors_pass_and_differences_are_named);
             tcase_add_test(tc, not_a_number_only_equals_itself);
             tcase_add_test(tc, unfit_vectors_are_errors); tcase_add_test(tc, gradients_agree);
             tcase_add_test(tc, doctor_names_libraries);
             tcase_add_loop_test(tc, every_call_may_fail, 0, 6);)
