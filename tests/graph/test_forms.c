/* SPDX-License-Identifier: MIT
 *
 * Forms of layers and normalisations that Keras and JAX write: what is recognised, what learns in them, what it begins with. */
#include "tests/graph/build.h"

/* A Dense whose bias stands behind a Cast to the same type, or behind a Gemm that adds nothing. */
START_TEST(products_with_a_bias)
{
    static const char *const gemms[] = { NULL, "-", "c" };
    for (int i = 0; i < 3; i++) {
        struct tb t;
        struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
        char in[16];
        (void)snprintf(in, sizeof in, "x w %s", gemms[i] ? gemms[i] : "");
        tb_open(&t, 17);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        tb_floats(&t, "w", 2, 4, 3);
        tb_floats(&t, "b", 1, 3);
        tb_number(&t, "c", 5);
        if (gemms[i])
            tb_node(&t, "Gemm", in, "p", i == 2 ? "beta=0.0" : NULL);
        else
            tb_node(&t, "MatMul", "x w", "p", NULL);
        tb_node(&t, "Cast", "p", "q", "to=1");
        tb_node(&t, "Add", "q b", "h", NULL);
        tb_node(&t, "Relu", "h", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(tb_is_trained(&t, "c"), -1);
        struct hn_program *p = tb_lower(&t, &opts);
        ck_assert_int_eq(p->n_ops, 2);
        ck_assert_int_eq(tb_count_ops(p, "dense"), 1);
        ck_assert_int_eq(p->n_params, 2);
        ck_assert_uint_ne(p->params[1].flags & HN_PARAM_BIAS, 0);
        ck_assert_int_eq(p->params[0].feeds, HN_U_RELU);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

/* Keras' BatchNormalization with JAX: arithmetic on constants. */
static void norm_of_constants(struct tb *t, int places)
{
    tb_open(t, 17);
    if (places)
        tb_input(t, "x", HN_F32, 3, -1, places, 4);
    else
        tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "w", 2, 4, 3);
    tb_floats(t, "scale", 1, 3);
    tb_floats(t, "bias", 1, 3);
    tb_floats(t, "mean", 1, 3);
    tb_floats(t, "var", 1, 3);
    tb_set(t, "var", 2);
    tb_number(t, "eps", 0.25);
    tb_number(t, "one", 1);
    tb_ints(t, "row", 2, 1, 3);
    tb_node(t, "MatMul", "x w", "h", NULL);
    tb_node(t, "Reshape", "var row", "var1", NULL);
    tb_node(t, "Add", "var1 eps", "v", NULL);
    tb_node(t, "Sqrt", "v", "d", NULL);
    tb_node(t, "Div", "one d", "r", NULL);
    tb_node(t, "Mul", "r scale", "k", NULL);
    tb_node(t, "Neg", "mean", "m", NULL);
    tb_node(t, "Mul", "m k", "mk", NULL);
    tb_node(t, "Add", "mk bias", "s", NULL);
    tb_node(t, "Mul", "h k", "hk", NULL);
    tb_node(t, "Add", "hk s", "y", NULL);
}

/* _i: places of a row, whose statistics are taken together; 0: rows of columns. */
START_TEST(norms_of_constants_collapse)
{
    struct tb t;
    norm_of_constants(&t, _i);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    ck_assert_int_eq(tb_is_trained(&t, "scale"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "bias"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "mean"), -1);
    ck_assert_int_eq(tb_is_trained(&t, "var"), -1);
    ck_assert_int_eq(tb_verdict(&t, "k"), HN_FOLDED);
    ck_assert_int_eq(tb_verdict(&t, "y"), HN_TRAIN);
    for (int freeze = 0; freeze < 2; freeze++) {
        struct hn_lower_opts opts = { .dropout = -1, .freeze_batchnorm = freeze };
        struct hn_program *p = tb_lower(&t, &opts);
        const struct hn_batchnorm *a = tb_op(p, "batchnorm")->attrs;
        ck_assert_int_eq(p->n_ops, 2);
        ck_assert_int_eq(a->mode, freeze);
        ck_assert(a->momentum == 0.99 && a->population); /* Keras' */
        const struct hn_shape *y = &p->values[tb_op(p, "batchnorm")->out[0]].shape;
        ck_assert(y->rank == 2 && y->d[0].per_row == (_i ? _i : 1) && y->d[1].fixed == 3);
        ck_assert_double_eq(a->eps, 0.25);
        ck_assert_str_eq(p->params[p->n_params - 2].name, "mean");
        ck_assert_str_eq(p->params[p->n_params - 1].name, "var");
        ck_assert_int_ge(p->params[p->n_params - 1].tensor_id, 0);
        ck_assert_uint_eq(p->params[p->n_params - 1].flags, HN_PARAM_STATE);
        ck_assert_int_eq(p->params[1].flags & HN_PARAM_TRAINED, !freeze);
        hn_program_destroy(p, &t.mem);
    }
    tb_close(&t);
}
END_TEST

/* Where it cannot be one, its statistics are still no weights. */
START_TEST(statistics_of_other_norms_stay)
{
    struct tb t;
    norm_of_constants(&t, 0);
    tb_node(&t, "Mul", "y k", "z", NULL);
    tb_output(&t, "z");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "scale"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "mean"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "var"), 0);
    ck_assert_ptr_nonnull(tb_issue(&t, "'var' is taken for the running variance"));
    ck_assert_ptr_nonnull(tb_issue(&t, "'mean' is taken for the running mean"));
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(tb_count_ops(p, "batchnorm"), 0);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* TensorFlow's and JAX' factors: x (scale / sqrt(…)) + (bias - mean scale / sqrt(…)). What they begin with is known. */
START_TEST(scales_in_a_factor)
{
    struct tb t;
    tb_open(&t, 18);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 6);
    tb_floats(&t, "scale", 2, 2, 3);
    tb_floats(&t, "bias", 2, 2, 3);
    tb_floats(&t, "far", 1, 3);
    tb_number(&t, "eps", 0.001);
    tb_number(&t, "one", 1);
    tb_ints(&t, "last", 1, 2);
    tb_ints(&t, "groups", 3, -1, 2, 3);
    tb_node(&t, "MatMul", "x w", "h0", NULL);
    tb_node(&t, "Tanh", "h0", "a", NULL);
    tb_node(&t, "Reshape", "a groups", "h", NULL);
    tb_node(&t, "ReduceMean", "h last", "mean", NULL);
    tb_node(&t, "Mul", "h h", "hh", NULL);
    tb_node(&t, "ReduceMean", "hh last", "v", NULL);
    tb_node(&t, "Add", "v eps", "ve", NULL);
    tb_node(&t, "Sqrt", "ve", "d", NULL);
    tb_node(&t, "Div", "one d", "r", NULL);
    tb_node(&t, "Mul", "r scale", "k", NULL);
    tb_node(&t, "Neg", "mean", "m", NULL);
    tb_node(&t, "Mul", "m k", "mk", NULL);
    tb_node(&t, "Add", "mk bias", "s", NULL);
    tb_node(&t, "Mul", "h k", "hk", NULL);
    tb_node(&t, "Add", "hk s", "n", NULL);
    tb_node(&t, "Tanh", "n", "n1", NULL);
    tb_node(&t, "Mul", "n1 far", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "scale"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "bias"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "far"), 0);
    ck_assert_ptr_nonnull(tb_issue(&t, "'far', which a layer's result is multiplied by"));
    struct hn_program *p = tb_lower(&t, NULL);
    for (int i = 1; i < 3; i++) {
        ck_assert_uint_ne(p->params[i].flags & HN_PARAM_STARTS, 0);
        ck_assert_double_eq(p->params[i].start, strcmp(p->params[i].name, "scale") == 0);
    }
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* One value for all columns, one for each. */
START_TEST(an_imputer_fills_what_is_missing)
{
    static const float values[] = { 7, 8, 9 };
    const struct hn_opset ml = { "ai.onnx.ml", 3 };
    const double nan = (double)NAN, x[] = { 1, nan, 3, nan, 0, nan };
    const double want[2][6] = { { 1, 7, 3, 7, 0, 7 }, { 1, 8, 3, 7, 0, 9 } };
    for (int i = 0; i < 2; i++) {
        struct tb t;
        tb_open(&t, 17);
        tb_input(&t, "x", HN_F32, 2, -1, 3);
        ck_assert(HN_PUSH(&t.mem, t.g->opsets, t.g->n_opsets, t.g->cap_opsets, ml));
        const int32_t at =
            tb_node(&t, "Imputer", "x", "y", "imputed_value_floats=7 replaced_value_float=1.5");
        struct hn_attr *a = t.g->nodes[at].attrs;
        t.g->nodes[at].domain = ml.domain;
        a[1].f = (float)nan;
        a->type = HN_ATTR_F32S, a->floats = values, a->n = i ? 3 : 1;
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        struct hn_program *p = tb_lower(&t, NULL);
        double *y = tb_run(&t, p, 2, (const double *const[]){ x });
        for (int k = 0; k < 6; k++) ck_assert_double_eq(y[k], want[i][k]);
        hn_free(&t.mem, y);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

HN_TEST_MAIN("forms", tcase_add_test(tc, products_with_a_bias);
             tcase_add_loop_test(tc, norms_of_constants_collapse, 0, 6);
             tcase_add_test(tc, statistics_of_other_norms_stay);
             tcase_add_test(tc, an_imputer_fills_what_is_missing);
             tcase_add_test(tc, scales_in_a_factor);)
