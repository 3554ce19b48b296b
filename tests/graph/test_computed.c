/* SPDX-License-Identifier: MIT
 *
 * Weights computed from parameters: which of what they are computed from learns, what is run for them and when, what is said
 * of what stays as it is. */
#include "tests/graph/build.h"

/* x [N,4] → Gemm by g v / |v| → Tanh → Gemm by (w m) → y [N,3] */
static void net(struct tb *t)
{
    tb_open(t, 13);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "v", 2, 8, 4);
    tb_floats(t, "g", 2, 8, 1);
    tb_floats(t, "w", 2, 3, 8);
    tb_floats(t, "m", 2, 3, 8);
    tb_floats(t, "c", 1, 3);
    tb_set(t, "m", 1);
    tb_node(t, "ReduceL2", "v", "norm", "axes=1,");
    tb_node(t, "Div", "v norm", "unit", NULL);
    tb_node(t, "Mul", "unit g", "w1", NULL);
    tb_node(t, "Gemm", "x w1", "h", "transB=1");
    tb_node(t, "Tanh", "h", "a", NULL);
    tb_node(t, "Mul", "w m", "w2", NULL);
    tb_node(t, "Gemm", "a w2 c", "y", "transB=1");
    tb_output(t, "y");
}

START_TEST(what_a_weight_is_computed_from_learns)
{
    struct tb t;
    net(&t);
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "v"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "g"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "c"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "m"), 0); /* a mask that takes nothing away yet */
    ck_assert_int_eq(tb_verdict(&t, "norm"), HN_TRAIN);
    ck_assert_int_eq(tb_verdict(&t, "w1"), HN_TRAIN);
    ck_assert_int_eq(tb_verdict(&t, "w2"), HN_TRAIN);
    ck_assert_ptr_null(tb_issue(&t, "stays as it is"));
    ck_assert_ptr_null(tb_issue(&t, "trains as one")); /* v is read twice for one weight */
    ck_assert_uint_eq(t.g->n_unties, 0);
    const struct hn_param_list *l = hn_graph_params(t.g);
    for (size_t i = 0; i < l->n_uses; i++) { /* uses are of the layers, wherever they are read */
        ck_assert_str_eq(t.g->nodes[l->uses[i].node].type, "Gemm");
        ck_assert_int_eq(l->params[l->uses[i].param].n_uses, 1);
    }
    tb_close(&t);
}
END_TEST

START_TEST(weights_come_first_and_are_known_matrices)
{
    struct tb t;
    const struct hn_lower_opts opts = { .part = HN_PART_ALL, .insert_dropout = 1, .dropout = 0.5 };
    net(&t);
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    int weights = 0;
    for (int i = 0; i < p->n_ops; i++) {
        const struct hn_op *op = &p->ops[i];
        int batched = hn_shape_count(&p->values[op->out[0]].shape).per_row != 0;
        if (!batched) ck_assert_int_eq(weights++, i);
    }
    ck_assert_int_eq(weights, 4);
    ck_assert_int_eq(tb_count_ops(p, "dense"), 2);
    ck_assert_int_eq(tb_count_ops(p, "dropout"), 1); /* behind the activation alone */
    for (int i = 0; i < p->n_params; i++) {
        int mask = !strcmp(p->params[i].name, "m"), gain = !strcmp(p->params[i].name, "g");
        ck_assert_int_eq((p->params[i].flags & HN_PARAM_TRAINED) != 0, !mask);
        if (mask || gain) ck_assert_double_eq(p->params[i].fan_in, 0);
        if (!strcmp(p->params[i].name, "v")) ck_assert_double_eq(p->params[i].fan_in, 4);
        if (!strcmp(p->params[i].name, "w")) ck_assert_double_eq(p->params[i].fan_in, 8);
    }
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(globs_and_hints)
{
    static const char *const freeze[] = { "g" }, *const train[] = { "m" };
    struct hn_graph_opts opts = { .freeze = freeze, .n_freeze = 1, .train = train, .n_train = 1 };
    struct tb t;
    net(&t);
    t.g->values[hn_graph_find(t.g, "w")].hint = HN_HINT_BUFFER;
    tb_finish(&t, &opts);
    ck_assert_int_eq(tb_is_trained(&t, "v"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "g"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "m"), 1);
    tb_close(&t);
}
END_TEST

/* Nothing of the second weight learns: it is a constant again. */
START_TEST(frozen_weights_are_folded)
{
    static const char *const freeze[] = { "w" };
    struct hn_graph_opts opts = { .freeze = freeze, .n_freeze = 1 };
    struct tb t;
    net(&t);
    tb_finish(&t, &opts);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 0);
    ck_assert_int_eq(tb_verdict(&t, "w2"), HN_FOLDED);
    ck_assert_int_eq(tb_verdict(&t, "w1"), HN_TRAIN);
    ck_assert_ptr_null(tb_issue(&t, "stays as it is")); /* it was asked for */
    tb_close(&t);
}
END_TEST

START_TEST(what_stays_is_said_by_name)
{
    struct tb t;
    net(&t);
    t.g->values[hn_graph_find(t.g, "w")].hint = HN_HINT_CONSTANT;
    tb_finish(&t, NULL);
    const struct hn_issue *issue = tb_issue(&t, "the weight 'w2' is computed in the graph");
    ck_assert_ptr_nonnull(issue);
    ck_assert_int_eq(issue->severity, HN_WARNING);
    ck_assert_int_eq(tb_verdict(&t, "w2"), HN_FOLDED);
    tb_close(&t);
}
END_TEST

/* A mask of columns has zeros and ones; ones alone are a scale that begins at 1, zeros alone something that begins at 0. A matrix
 * of ones, or of zeros, times a number is no mask. */
START_TEST(masks_and_scales)
{
    static const struct {
        int rank;
        double first, rest;
        int trained;
    } cases[] = { { 1, 0, 1, 0 }, { 1, 1, 1, 1 }, { 1, 0, 0, 1 }, { 2, 0, 1, 0 },
                  { 2, 1, 1, 0 }, { 2, 0, 0, 1 }, { 0, 1, 1, 1 }, { 0, 0, 0, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tb t;
        tb_open(&t, 13);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        tb_floats(&t, "w", 2, 4, 3);
        if (cases[i].rank == 1)
            tb_floats(&t, "s", 1, 3);
        else
            tb_floats(&t, "s", 2, 4, 3);
        tb_number(&t, "half", 0.5);
        tb_set(&t, "s", cases[i].rest);
        *(float *)(uintptr_t)tb_value(&t, "s")->constant->data = (float)cases[i].first;
        tb_node(&t, "Mul", cases[i].rank ? "w s" : "half s", "ws", NULL);
        tb_node(&t, "Add", "ws w", "sum", NULL);
        tb_node(&t, "MatMul", "x sum", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
        ck_assert_msg(tb_is_trained(&t, "s") == cases[i].trained, "case %zu", i);
        tb_close(&t);
    }
}
END_TEST

/* A Constant is the author's where parameters are initializers, else it is how the file has its weights. */
START_TEST(written_constants)
{
    for (int all = 0; all < 2; all++) {
        struct tb t;
        tb_open(&t, 13);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        if (all)
            tb_constant(&t, "w", 2, 4, 3);
        else
            tb_floats(&t, "w", 2, 4, 3);
        tb_constant(&t, "s", 1, 3);
        tb_node(&t, "Mul", "w s", "ws", NULL);
        tb_node(&t, "MatMul", "x ws", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
        ck_assert_int_eq(tb_is_trained(&t, "s"), all);
        tb_close(&t);
    }
}
END_TEST

START_TEST(spectral_normalisation)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 8, 4);
    tb_floats(&t, "u", 1, 8);
    tb_floats(&t, "v", 1, 4);
    tb_number(&t, "tiny", 1e-12);
    tb_node(&t, "MatMul", "w v", "wv", NULL);
    tb_node(&t, "MatMul", "u wv", "sigma", NULL);
    tb_node(&t, "Add", "sigma tiny", "by", NULL);
    tb_node(&t, "Div", "w by", "w1", NULL);
    tb_node(&t, "Gemm", "x w1", "y", "transB=1");
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "u"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "v"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "tiny"), -1);
    tb_close(&t);
}
END_TEST

/* x → Gemm by W + B A, twice, with one B for both: named twice, or through an Identity. */
static void low_rank(struct tb *t, int alias, double b)
{
    tb_open(t, 13);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "w1", 2, 4, 4);
    tb_floats(t, "w2", 2, 4, 4);
    tb_floats(t, "a1", 2, 2, 4);
    tb_floats(t, "a2", 2, 2, 4);
    tb_floats(t, "b", 2, 4, 2);
    if (b == 0) tb_set(t, "b", 0);
    if (alias) tb_node(t, "Identity", "b", "b2", NULL);
    tb_node(t, "MatMul", "b a1", "d1", NULL);
    tb_node(t, "Add", "w1 d1", "v1", NULL);
    tb_node(t, "MatMul", "x v1", "h", NULL);
    tb_node(t, "MatMul", alias ? "b2 a2" : "b a2", "d2", NULL);
    tb_node(t, "Add", "w2 d2", "v2", NULL);
    tb_node(t, "MatMul", "h v2", "y", NULL);
    tb_output(t, "y");
    tb_finish(t, NULL);
}

START_TEST(merged_factors_come_apart)
{
    struct tb t;
    low_rank(&t, 0, 0);
    ck_assert_uint_eq(t.g->n_unties, 1);
    ck_assert_str_eq(t.g->unties[0].line, "untie b d2 0");
    ck_assert_ptr_null(tb_issue(&t, "trains as one"));
    tb_close(&t);
    low_rank(&t, 1, 0);
    ck_assert_uint_eq(t.g->n_unties, 1);
    ck_assert_str_eq(t.g->unties[0].line, "untie b2");
    tb_close(&t);
    low_rank(&t, 0, 1); /* not equal numbers: the author's tie */
    ck_assert_uint_eq(t.g->n_unties, 0);
    ck_assert_ptr_nonnull(tb_issue(&t, "'b' is used 2 times: it trains as one"));
    tb_close(&t);
}
END_TEST

/* What an exporter names twice for one weight is one tensor: W for W and for its norm. */
START_TEST(one_weight_is_not_torn)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_set(&t, "w", 0.5);
    tb_node(&t, "Identity", "w", "again", NULL);
    tb_node(&t, "ReduceL2", "again", "norm", "axes=1,");
    tb_node(&t, "Div", "w norm", "unit", NULL);
    tb_node(&t, "MatMul", "x unit", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    ck_assert_uint_eq(t.g->n_unties, 0);
    tb_close(&t);
}
END_TEST

/* A gain of ones that an exporter merged with a running variance comes apart under its own name, though it is read twice; where it
 * has none, the statistic does. */
START_TEST(merged_with_a_statistic)
{
    for (int alias = 0; alias < 2; alias++) {
        struct tb t;
        tb_open(&t, 15);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        tb_floats(&t, "w", 2, 4, 4);
        tb_floats(&t, "scale", 1, 4);
        tb_floats(&t, "bias", 1, 4);
        tb_floats(&t, "mean", 1, 4);
        tb_floats(&t, "var", 1, 4);
        tb_set(&t, "var", 1);
        if (alias) tb_node(&t, "Identity", "var", "gain", NULL);
        tb_node(&t, "Mul", alias ? "gain gain" : "var var", "square", NULL);
        tb_node(&t, "Mul", "w square", "ws", NULL);
        tb_node(&t, "MatMul", "x ws", "h", NULL);
        tb_node(&t, "BatchNormalization", "h scale bias mean var", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_uint_eq(t.g->n_unties, 1);
        ck_assert_str_eq(t.g->unties[0].line, alias ? "untie gain" : "untie var y 4");
        ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
        tb_close(&t);
    }
}
END_TEST

/* A normaliser whose numbers are computed stays what it is, a penalty on the weights is no output to learn. */
START_TEST(other_places)
{
    struct tb t;
    struct hn_output_info o;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "std", 1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "s", 1, 3);
    tb_floats(&t, "c", 1, 3);
    tb_number(&t, "eps", 1e-3);
    tb_node(&t, "Add", "std eps", "by", NULL);
    tb_node(&t, "Div", "x by", "scaled", NULL);
    tb_node(&t, "Mul", "w s", "ws", NULL);
    tb_node(&t, "MatMul", "scaled ws", "mm", NULL);
    tb_node(&t, "Tanh", "c", "bias", NULL);
    tb_node(&t, "Add", "mm bias", "y", NULL);
    tb_node(&t, "ReduceL2", "ws", "penalty", "keepdims=0");
    tb_output(&t, "y");
    tb_output(&t, "penalty");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "std"), -1);
    ck_assert_int_eq(tb_verdict(&t, "by"), HN_FOLDED);
    ck_assert_int_eq(tb_verdict(&t, "scaled"), HN_FROZEN);
    ck_assert_int_eq(tb_is_trained(&t, "c"), 1);
    ck_assert_int_eq(tb_verdict(&t, "bias"), HN_TRAIN);
    ck_assert_int_eq(hn_graph_heads(t.g), 1);
    hn_graph_output(t.g, 1, &o);
    ck_assert(o.computable && !o.trainable);
    tb_close(&t);
}
END_TEST

/* Dropout of a weight is not known at import, and learns all the same; a bias behind it does, too. */
START_TEST(what_is_not_folded_learns)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "s", 1, 3);
    tb_floats(&t, "c", 1, 3);
    tb_node(&t, "Dropout", "w", "dropped", NULL);
    tb_node(&t, "Mul", "dropped s", "ws", NULL);
    tb_node(&t, "Gemm", "x ws c", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_ptr_null(tb_value(&t, "ws")->constant);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "s"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "c"), 1);
    ck_assert_int_eq(tb_verdict(&t, "dropped"), HN_TRAIN);
    ck_assert_int_eq(tb_verdict(&t, "ws"), HN_TRAIN);
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(tb_count_ops(p, "dropout"), 1);
    ck_assert_int_eq(tb_count_ops(p, "matmul"), 1);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(what_must_be_known_is_refused)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "s", 1, 3);
    tb_node(&t, "Mul", "w s", "ws", NULL);
    tb_node(&t, "ReduceMax", "ws", "most", "keepdims=0");
    tb_node(&t, "MatMul", "x ws", "mm", NULL);
    tb_node(&t, "Clip", "mm - most", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "'most' of Clip has to be known"));
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("computed", tcase_add_test(tc, what_a_weight_is_computed_from_learns);
             tcase_add_test(tc, weights_come_first_and_are_known_matrices);
             tcase_add_test(tc, globs_and_hints); tcase_add_test(tc, frozen_weights_are_folded);
             tcase_add_test(tc, what_stays_is_said_by_name); tcase_add_test(tc, masks_and_scales);
             tcase_add_test(tc, written_constants); tcase_add_test(tc, spectral_normalisation);
             tcase_add_test(tc, merged_factors_come_apart);
             tcase_add_test(tc, one_weight_is_not_torn);
             tcase_add_test(tc, merged_with_a_statistic); tcase_add_test(tc, other_places);
             tcase_add_test(tc, what_is_not_folded_learns);
             tcase_add_test(tc, what_must_be_known_is_refused);)
