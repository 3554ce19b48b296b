/* SPDX-License-Identifier: MIT
 *
 * float16 and bfloat16 in a graph: computed in float32, weights as the file stores them, also behind a Cast. */
#include "tests/graph/build.h"
#include <math.h>

static const enum hn_dtype types[] = { HN_F16, HN_BF16 };
static const char *const to_half[] = { "to=10", "to=16" };

static const struct hn_param *param(const struct hn_program *p, const char *name)
{
    for (int i = 0; i < p->n_params; i++)
        if (strcmp(p->params[i].name, name) == 0) return &p->params[i];
    ck_abort_msg("no parameter %s", name);
    return NULL;
}

/* y = x w + b over 4 columns, in double over the numbers that the initializers have. */
static void expect_dense(const struct tb *t, const double *x, const double *y, int64_t rows)
{
    const struct hn_tensor *w = tb_value(t, "w")->constant, *b = tb_value(t, "b")->constant;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < 3; j++) {
            double sum = hn_tensor_f64(b, j);
            for (int64_t i = 0; i < 4; i++) sum += x[r * 4 + i] * hn_tensor_f64(w, i * 3 + j);
            ck_assert_double_eq_tol(y[r * 3 + j], sum, 1e-14);
        }
}

/* Finishes and lowers; the output of two rows that no half type can hold, over `w` and `b`. */
static struct hn_program *run_dense(struct tb *t)
{
    static const double x[8] = { 0.1, 0.2, 0.3, 0.4, 70001, -2.0001, 3.0001, 1 / 3.0 };
    const double *in[] = { x };
    tb_output(t, "y");
    tb_finish(t, NULL);
    HN_OK(hn_graph_blocked(t->g, 1, &t->err), t->err);
    ck_assert_int_eq(t->g->dtype, HN_F32);
    ck_assert_int_eq(tb_is_trained(t, "w"), 1);
    ck_assert_int_eq(tb_is_trained(t, "b"), 1);
    struct hn_program *p = tb_lower(t, NULL);
    double *y = tb_run(t, p, 2, in);
    expect_dense(t, x, y, 2);
    hn_free(&t->mem, y);
    return p;
}

START_TEST(a_whole_model)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", types[_i], 2, -1, 4);
    tb_halves(&t, "w", types[_i], 2, 4, 3);
    tb_halves(&t, "b", types[_i], 1, 3);
    tb_node(&t, "Gemm", "x w b", "y", NULL);
    struct hn_program *p = run_dense(&t);
    ck_assert_int_eq(param(p, "w")->init->dtype, types[_i]);
    ck_assert_int_eq(tb_value(&t, "y")->dtype, types[_i]);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* The weight that is stored learns, and nothing is computed for the Cast. */
START_TEST(weights_behind_a_cast)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_halves(&t, "w", types[_i], 2, 4, 3);
    tb_halves(&t, "b", types[_i], 1, 3);
    tb_node(&t, "Cast", "w", "w32", "to=1");
    tb_node(&t, "Cast", "b", "b32", "to=1");
    tb_node(&t, "Gemm", "x w32 b32", "y", NULL);
    struct hn_program *p = run_dense(&t);
    ck_assert_int_eq(param(p, "w")->init->dtype, types[_i]);
    ck_assert_int_eq(param(p, "w")->tensor_id, tb_value(&t, "w")->tensor_id);
    ck_assert_int_eq(p->n_ops, 1);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* float32 weights that are cast to a half type for the product, as autocast writes them: neither they nor the rows are rounded. */
START_TEST(products_in_half)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "b", 1, 3);
    tb_node(&t, "Cast", "x", "x16", to_half[_i]);
    tb_node(&t, "Cast", "w", "w16", to_half[_i]);
    tb_node(&t, "MatMul", "x16 w16", "m16", NULL);
    tb_node(&t, "Cast", "m16", "m", "to=1");
    tb_node(&t, "Add", "m b", "y", NULL);
    struct hn_program *p = run_dense(&t);
    ck_assert_int_eq(param(p, "w")->init->dtype, HN_F32);
    ck_assert_int_eq(tb_verdict(&t, "x16"), HN_VIEW);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* A number of the author is what the Cast makes of it. */
START_TEST(constants_are_rounded)
{
    static const double rounded[] = { 0.0999755859375, 0.10009765625 }, x[4] = { 1, 2, 3, 4 };
    const double *in[] = { x };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", types[_i], 2, -1, 4);
    tb_number(&t, "tenth", 0.1);
    tb_node(&t, "Cast", "tenth", "c", to_half[_i]);
    tb_node(&t, "Mul", "x c", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, NULL);
    double *y = tb_run(&t, p, 1, in);
    for (int i = 0; i < 4; i++) ck_assert_double_eq(y[i], x[i] * rounded[_i]);
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* x of a half type, scale in float32; the statistics are stored in a half type and cast. */
START_TEST(batchnorm_of_mixed_types)
{
    struct tb t;
    tb_open(&t, 15);
    tb_input(&t, "x", types[_i], 2, -1, 4);
    tb_halves(&t, "w", types[_i], 2, 4, 3);
    tb_halves(&t, "b", types[_i], 1, 3);
    tb_floats(&t, "scale", 1, 3);
    tb_floats(&t, "shift", 1, 3);
    tb_halves(&t, "mean", types[_i], 1, 3);
    tb_halves(&t, "var", types[_i], 1, 3);
    tb_set(&t, "var", 2);
    tb_node(&t, "Cast", "mean", "mean32", "to=1");
    tb_node(&t, "Cast", "var", "var32", "to=1");
    tb_node(&t, "Gemm", "x w b", "h", NULL);
    tb_node(&t, "BatchNormalization", "h scale shift mean32 var32", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    HN_OK(hn_graph_blocked(t.g, 1, &t.err), t.err);
    ck_assert_int_eq(tb_value(&t, "y")->dtype, types[_i]);
    struct hn_program *p = tb_lower(&t, NULL);
    const struct hn_param *q = param(p, "mean32");
    ck_assert_int_eq(q->init->dtype, types[_i]); /* as the tensor it goes back to */
    ck_assert_int_eq(q->tensor_id, tb_value(&t, "mean")->tensor_id);
    ck_assert_int_eq(param(p, "scale")->init->dtype, HN_F32);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

static int has_untie(const struct tb *t, const char *line)
{
    for (size_t i = 0; i < t->g->n_unties; i++)
        if (strcmp(t->g->unties[i].line, line) == 0) return 1;
    return 0;
}

/* A fresh BatchNormalization whose equal tensors an exporter merged, behind Casts: they come apart in front of them. */
START_TEST(merged_behind_casts)
{
    struct tb t;
    tb_open(&t, 15);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_halves(&t, "ones", types[_i], 1, 3);
    tb_halves(&t, "zeros", types[_i], 1, 3);
    tb_set(&t, "ones", 1);
    tb_set(&t, "zeros", 0);
    tb_node(&t, "Identity", "ones", "var", NULL);
    tb_node(&t, "Cast", "var", "var32", "to=1");
    tb_node(&t, "Cast", "ones", "scale32", "to=1");
    tb_node(&t, "Cast", "zeros", "shift32", "to=1");
    tb_node(&t, "Cast", "zeros", "mean32", "to=1");
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "BatchNormalization", "h scale32 shift32 mean32 var32", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 2);
    ck_assert(has_untie(&t, "untie var"));
    ck_assert(has_untie(
        &t, "untie zeros mean32 0")); /* of the Cast: nodes are named after their outputs */
    tb_close(&t);
}
END_TEST

/* The same where one Cast serves two of its inputs: the Cast gets a copy. */
START_TEST(merged_into_one_cast)
{
    struct tb t;
    tb_open(&t, 15);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_halves(&t, "ones", types[_i], 1, 3);
    tb_halves(&t, "zeros", types[_i], 1, 3);
    tb_set(&t, "ones", 1);
    tb_set(&t, "zeros", 0);
    tb_node(&t, "Cast", "ones", "one", "to=1");
    tb_node(&t, "Identity", "zeros", "alias", NULL);
    tb_node(&t, "Cast", "alias", "zero", "to=1");
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "BatchNormalization", "h one zero zero one", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 2);
    ck_assert(has_untie(&t, "untie one y 4"));
    ck_assert(has_untie(&t, "untie zero y 3"));
    HN_OK(hn_graph_blocked(t.g, 1, &t.err), t.err);
    tb_close(&t);
}
END_TEST

/* Behind a reshape nobody can tell them apart: a statistic and a parameter would be written to one tensor. */
START_TEST(a_shared_statistic_blocks_training)
{
    struct tb t;
    tb_open(&t, 15);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "ones", 2, 1, 3);
    tb_floats(&t, "zeros", 1, 3);
    tb_floats(&t, "mean", 1, 3);
    tb_ints(&t, "flat", 1, 3);
    tb_set(&t, "ones", 1);
    tb_node(&t, "Reshape", "ones flat", "one", NULL);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "BatchNormalization", "h one zeros mean one", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    HN_OK(hn_graph_blocked(t.g, 0, &t.err), t.err);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "input 4 'one' shares its values"));
    tb_close(&t);
}
END_TEST

/* float16 and bfloat16 beside each other and beside float32 are all computed in float32. */
START_TEST(types_side_by_side)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F16, 2, -1, 4);
    tb_halves(&t, "a", HN_F16, 2, 4, 4);
    tb_halves(&t, "b", HN_BF16, 2, 4, 4);
    tb_floats(&t, "c", 2, 4, 4);
    tb_node(&t, "MatMul", "x a", "h", NULL);
    tb_node(&t, "Cast", "h", "hb", "to=16");
    tb_node(&t, "MatMul", "hb b", "k", NULL);
    tb_node(&t, "Cast", "k", "kf", "to=1");
    tb_node(&t, "MatMul", "kf c", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    HN_OK(hn_graph_blocked(t.g, 1, &t.err), t.err);
    ck_assert_int_eq(t.g->dtype, HN_F32);
    ck_assert_int_eq(tb_is_trained(&t, "a") + tb_is_trained(&t, "b") + tb_is_trained(&t, "c"), 3);
    tb_close(&t);
}
END_TEST

/* Without a Cast between them they do not fit. */
START_TEST(types_do_not_mix)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", types[_i], 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "MatMul", "x w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_MODEL);
    ck_assert_ptr_nonnull(strstr(t.err.text, hn_dtype_name(types[_i])));
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("half", tcase_add_loop_test(tc, a_whole_model, 0, 2);
             tcase_add_loop_test(tc, weights_behind_a_cast, 0, 2);
             tcase_add_loop_test(tc, products_in_half, 0, 2);
             tcase_add_loop_test(tc, constants_are_rounded, 0, 2);
             tcase_add_loop_test(tc, batchnorm_of_mixed_types, 0, 2);
             tcase_add_loop_test(tc, merged_behind_casts, 0, 2);
             tcase_add_loop_test(tc, merged_into_one_cast, 0, 2);
             tcase_add_test(tc, a_shared_statistic_blocks_training);
             tcase_add_test(tc, types_side_by_side);
             tcase_add_loop_test(tc, types_do_not_mix, 0, 2);)
