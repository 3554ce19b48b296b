/* SPDX-License-Identifier: MIT
 *
 * Fresh models and the comparison of two files. */
#include "tests/plugin/fixture.h"
#include <math.h>

static hone_model *fresh(const char *spec, uint64_t seed)
{
    hone_model *m;
    HN_OK(hone_model_new(ctx, spec, seed, &m, &err), err);
    return m;
}

static const struct hn_onnx_tensor *tensor(hone_model *m, const char *name)
{
    const struct hn_onnx *o = hn_model_onnx(m);
    for (size_t i = 0; i < o->n_tensors; i++)
        if (!strcmp(o->tensors[i].name, name)) return &o->tensors[i];
    ck_abort_msg("no tensor %s", name);
}

static void in_range(hone_model *m, const char *name, double bound)
{
    const struct hn_tensor *t = &tensor(m, name)->t;
    double most = 0, sum = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double x = hn_tensor_f64(t, i);
        most = fmax(most, fabs(x));
        sum += x;
    }
    ck_assert_msg(most <= bound * 1.000001 && most > bound * 0.98, "%s: %g, wanted near %g", name,
                  most, bound);
    ck_assert_double_le(fabs(sum / (double)t->n), bound / 10);
}

START_TEST(weights_are_drawn_as_promised)
{
    hone_model *m = fresh("20-300-50-10 relu batchnorm dropout=0.5 softmax", 7);
    double v;
    hone_result *r;
    in_range(m, "fc1.weight", sqrt(6.0 / 20)); /* He before Relu */
    in_range(m, "fc2.weight", sqrt(6.0 / 300));
    in_range(m, "fc3.weight", sqrt(6.0 / (50 + 10))); /* Xavier before nothing */
    for (int64_t i = 0; i < 300; i++) {
        ck_assert_double_eq(hn_tensor_f64(&tensor(m, "fc1.bias")->t, i), 0);
        ck_assert_double_eq(hn_tensor_f64(&tensor(m, "bn1.weight")->t, i), 1);
        ck_assert_double_eq(hn_tensor_f64(&tensor(m, "bn1.running_var")->t, i), 1);
    }
    HN_OK(hone_model_describe(m, &r, &err), err);
    ck_assert(hone_result_number(r, "trainable_parameters", &v));
    ck_assert_double_eq(v, 20 * 300 + 300 + 600 + 300 * 50 + 50 + 100 + 50 * 10 + 10);
    ck_assert_str_eq(hone_result_text(r, "inputs.0.name"), "x");
    ck_assert_str_eq(hone_result_text(r, "inputs.0.dims.0"), "N");
    ck_assert_str_eq(hone_result_text(r, "outputs.0.name"), "y");
    hone_result_destroy(r);
    hone_model_destroy(m);
    m = fresh("20-300-10 tanh", 7);
    in_range(m, "fc1.weight", sqrt(6.0 / 320));
    hone_model_destroy(m);
}
END_TEST

START_TEST(the_same_seed_is_the_same_file)
{
    hone_model *a = fresh("4-8-3 relu", 5), *b = fresh("4-8-3 relu", 5),
               *c = fresh("4-8-3 relu", 6);
    struct hn_buffer x = bytes_of(a), y = bytes_of(b), z = bytes_of(c);
    ck_assert_uint_eq(x.n, y.n);
    ck_assert_mem_eq(x.p, y.p, x.n);
    ck_assert_uint_eq(x.n, z.n);
    ck_assert_mem_ne(x.p, z.p, x.n);
    hn_buffer_free(&x), hn_buffer_free(&y), hn_buffer_free(&z);
    hone_model_destroy(a), hone_model_destroy(b), hone_model_destroy(c);
}
END_TEST

START_TEST(wrong_descriptions_are_refused)
{
    static const char *const bad[] = { "",
                                       "4",
                                       "4-3 nonsense",
                                       "4-x-3",
                                       "4--3",
                                       "4-0-3",
                                       "4-3 dropout=1",
                                       "-4-3",

                                       "4-3 dropout=x" };
    hone_model *m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(hone_model_new(ctx, bad[i], 0, &m, &err) == HONE_E_USAGE, "'%s'", bad[i]);
        ck_assert_ptr_null(m);
    }
}
END_TEST

START_TEST(differences_are_counted)
{
    double v;
    hone_result *r;
    hone_model *a = fresh("4-8-3 relu", 5);
    HN_OK(hone_model_save(a, scratch("a.onnx"), NULL, &err), err);
    HN_OK(hone_diff(ctx, scratch("a.onnx"), scratch("a.onnx"), &r, &err), err);
    ck_assert(hone_result_number(r, "equal", &v) && v == 1);
    ck_assert(!hone_result_number(r, "tensors.0.values", &v));
    hone_result_destroy(r);

    struct hn_program *p = lower_all(a);
    float *w = slab_of(a, p);
    for (int i = 0; i < p->n_params; i++)
        if (!strcmp(p->params[i].name, "fc1.bias")) w[p->params[i].off + 2] = 0.25f;
    HN_OK(hn_model_put_weights(a, p, w, 4, &err), err);
    HN_OK(hn_model_set_metadata(a, "hone.seed", "5", &err), err);
    HN_OK(hone_model_save(a, scratch("b.onnx"), NULL, &err), err);
    HN_OK(hone_diff(ctx, scratch("a.onnx"), scratch("b.onnx"), &r, &err), err);
    ck_assert(hone_result_number(r, "equal", &v) && v == 0);
    ck_assert_str_eq(hone_result_text(r, "tensors.0.name"), "fc1.bias");
    ck_assert(hone_result_number(r, "tensors.0.values", &v) && v == 8);
    ck_assert(hone_result_number(r, "tensors.0.different", &v) && v == 1);
    ck_assert(hone_result_number(r, "tensors.0.max_abs", &v) && v == 0.25);
    ck_assert_ptr_null(hone_result_text(r, "tensors.1.name"));
    ck_assert(strstr(hone_result_text(r, "fields.0.path"), "metadata_props"));
    hone_result_destroy(r);
    ck_assert_int_eq(hone_diff(ctx, scratch("a.onnx"), scratch("c.onnx"), &r, &err), HONE_E_IO);
    ck_assert_ptr_null(r);
    free(w);
    hn_program_destroy(p, &ctx->mem);
    hone_model_destroy(a);
}
END_TEST

static hone_status job(hone_context *c)
{
    hone_model *m;
    hone_result *r = NULL;
    char path[600];
    hone_status st = hone_model_new(c, "3-4-2 relu batchnorm dropout=0.2 softmax", 1, &m, NULL);
    ck_assert_int_eq(m == NULL, st != HONE_OK);
    snprintf(path, sizeof path, "%s", scratch("a.onnx"));
    if (st == HONE_OK) st = hone_diff(c, path, path, &r, NULL);
    hone_result_destroy(r);
    hone_model_destroy(m);
    return st;
}

START_TEST(every_allocation_may_fail)
{
    hone_model *a = fresh("3-4-2 relu", 5);
    HN_OK(hone_model_save(a, scratch("a.onnx"), NULL, &err), err);
    hone_model_destroy(a);
    for (long n = 1;; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        hone_context *c = context_on(&f);
        f.mem_fail.at = f.mem_fail.calls + n;
        hone_status st = job(c);
        long hits = f.mem_fail.hits;
        f.mem_fail.at = 0;
        hone_context_destroy(c);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!hits) {
            ck_assert_int_eq(st, HONE_OK);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
}
END_TEST

HN_TEST_MAIN("new", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, weights_are_drawn_as_promised);
             tcase_add_test(tc, the_same_seed_is_the_same_file);
             tcase_add_test(tc, wrong_descriptions_are_refused);
             tcase_add_test(tc, differences_are_counted);
             tcase_add_test(tc, every_allocation_may_fail);)
