/* SPDX-License-Identifier: MIT
 *
 * Small equal tensors that several nodes read by one name: one module called again, or merged by the exporter? (ops/graph/same.c) */
#include "tests/graph/build.h"

static int has_line(const struct tb *t, const char *line)
{
    for (size_t i = 0; i < t->g->n_unties; i++)
        if (strcmp(t->g->unties[i].line, line) == 0) return 1;
    return 0;
}

/* s of ones and b of zeros, of three nodes: LN(x), LN(z), LN(z). */
static void three_norms(struct tb *t)
{
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_input(t, "z", HN_F32, 2, -1, 4);
    tb_floats(t, "s", 1, 4);
    tb_floats(t, "b", 1, 4);
    tb_set(t, "s", 1);
    tb_set(t, "b", 0);
    tb_node(t, "LayerNormalization", "x s b", "p", NULL);
    tb_node(t, "LayerNormalization", "z s b", "q", NULL);
    tb_node(t, "LayerNormalization", "z s b", "r", NULL);
    tb_node(t, "Sum", "p q r", "y", NULL);
    tb_output(t, "y");
}

START_TEST(nothing_says_it_is_one)
{
    struct tb t;
    three_norms(&t);
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 4);
    ck_assert(has_line(&t, "untie s q 1") && has_line(&t, "untie b r 2"));
    ck_assert_ptr_nonnull(tb_issue(&t, "input 1 's' shares its values with other uses of it only"));
    tb_close(&t);
}
END_TEST

START_TEST(the_legacy_exporter_names_what_is_one)
{
    struct tb t;
    three_norms(&t);
    t.g->as_traced = 1;
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 0);
    ck_assert_ptr_nonnull(tb_issue(&t, "'s' is used 3 times: it trains as one"));
    tb_close(&t);
}
END_TEST

/* Sorted by name; which initializer is called so is filled in. */
static struct hn_exported modules[] = { { "p_n_b", "n.b", HN_HINT_PARAMETER, -1 },
                                        { "p_n_s", "n.s", HN_HINT_PARAMETER, -1 },
                                        { "p_m_b", "b", HN_HINT_PARAMETER, -1 },
                                        { "p_m_s", "s", HN_HINT_PARAMETER, -1 } };

/* The second and third are one module: they get one copy. */
START_TEST(the_exporter_says_what_each_node_read)
{
    static const int32_t m[] = { 3, 2 }, n[] = { 1, 0 };
    struct tb t;
    three_norms(&t);
    modules[2].value = hn_graph_find(t.g, "b"), modules[3].value = hn_graph_find(t.g, "s");
    t.g->exported = modules, t.g->n_exported = 4;
    for (int i = 0; i < 3; i++) t.g->nodes[i].reads = i ? n : m, t.g->nodes[i].n_reads = 2;
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 2);
    ck_assert(has_line(&t, "untie s q 1 r 1") && has_line(&t, "untie b q 2 r 2"));
    ck_assert_int_eq(t.g->unties[0].n_at, 2);
    tb_close(&t);

    three_norms(&t); /* and here all three are */
    t.g->exported = modules, t.g->n_exported = 4;
    for (int i = 0; i < 3; i++) t.g->nodes[i].reads = m, t.g->nodes[i].n_reads = 2;
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 0);
    tb_close(&t);
}
END_TEST

/* One BatchNormalization of two inputs; what: the tensors that hold no single number. */
static void two_norms(struct tb *t, const char *in, const char *with)
{
    static const char *const names[] = { "s", "b", "m", "v" };
    char line[64];
    tb_open(t, 15);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_input(t, "z", HN_F32, 2, -1, 4);
    for (int i = 0; i < 4; i++) {
        tb_floats(t, names[i], 1, 4);
        if (!strstr(with, names[i])) tb_set(t, names[i], i % 3 == 0);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof line, "%s %s", i ? "z" : "x", in);
        tb_node(t, "BatchNormalization", line, i ? "q" : "p", NULL);
    }
    tb_node(t, "Add", "p q", "y", NULL);
    tb_output(t, "y");
}

/* Trained statistics cannot be equal by accident: one set of them, and of what is beside them. */
START_TEST(one_set_of_statistics)
{
    struct tb t;
    two_norms(&t, "s b m v", "m");
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 0);
    ck_assert_ptr_nonnull(tb_issue(&t, "'v' is used 2 times: it takes in the batch of each"));
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(p->n_params, 4);
    const struct hn_op *a = tb_op(p, "batchnorm"), *b = a + 1;
    ck_assert(p->values[a->in[3]].index == 2 && p->values[b->in[3]].index == 2);
    ck_assert(p->values[a->in[4]].index == 3 && p->values[b->in[4]].index == 3);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);

    two_norms(&t, "s b m v", ""); /* fresh, and nobody says */
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 4);
    tb_close(&t);
}
END_TEST

/* Another tool took the Identity nodes out of a traced file: a mean shares with a bias, and no name can be trusted. */
START_TEST(a_traced_file_that_was_changed)
{
    struct tb t;
    two_norms(&t, "s b b s", "");
    t.g->as_traced = 1;
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 6);
    ck_assert(has_line(&t, "untie s q 1") && has_line(&t, "untie b p 3"));
    tb_close(&t);
}
END_TEST

/* x w b → h, h w b → y */
static void two_layers(struct tb *t, const char *first, const char *second)
{
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "w", 2, 4, 4);
    tb_floats(t, "b", 1, 4);
    tb_set(t, "b", 0);
    tb_node(t, "Gemm", "x w b", "h", first);
    tb_node(t, "Tanh", "h", "a", NULL);
    tb_node(t, "Gemm", "a w b", "y", second);
    tb_output(t, "y");
    tb_finish(t, NULL);
}

START_TEST(a_bias_beside_a_shared_weight)
{
    struct tb t;
    two_layers(&t, "transB=1", "transB=1");
    ck_assert_uint_eq(t.g->n_unties, 0);
    tb_close(&t);
    two_layers(&t, "transB=1",
               "transB=0"); /* a tied autoencoder, whose decoder has a bias of its own */
    ck_assert_uint_eq(t.g->n_unties, 1);
    ck_assert(has_line(&t, "untie b y 2"));
    tb_close(&t);

    tb_open(&t, 17); /* the same as MatMul and Add */
    tb_input(&t, "x", HN_F32, 3, -1, 2, 4);
    tb_floats(&t, "w", 2, 4, 4);
    tb_floats(&t, "b", 1, 4);
    tb_set(&t, "b", 0);
    tb_node(&t, "MatMul", "x w", "m", NULL);
    tb_node(&t, "Add", "b m", "h", NULL);
    tb_node(&t, "Tanh", "h", "a", NULL);
    tb_node(&t, "MatMul", "a w", "n", NULL);
    tb_node(&t, "Add", "b n", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 0);
    tb_close(&t);
}
END_TEST

/* The legacy exporter transposes a weight for each call of its module and merges the results. */
START_TEST(a_weight_folded_for_each_call)
{
    static const struct {
        const char *first, *second;
        int traced, apart;
    } cases[] = { { "/net/fc/MatMul", "/net/fc_1/MatMul", 1, 0 },
                  { "/net/fc/MatMul", "/net_2/fc_13/MatMul", 1, 0 },
                  { "/net/fc/MatMul", "/net/fc_1/MatMul", 0, 1 },
                  { "/net/fc/MatMul", "/net/fc_a/MatMul", 1, 1 },
                  { "/net/fc_1/MatMul", "/net/fc_2/MatMul", 1, 1 },
                  { "/net/0/MatMul", "/net/1/MatMul", 1, 1 },
                  { "/net/fc/MatMul", "/net/fc/MatMul", 1, 1 } };
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "onnx::MatMul_7", 2, 4, 4);
    tb_node(&t, "Identity", "onnx::MatMul_7", "onnx::MatMul_8", NULL);
    const int32_t a = tb_node(&t, "MatMul", "x onnx::MatMul_7", "h", NULL),
                  b = tb_node(&t, "MatMul", "h onnx::MatMul_8", "y", NULL);
    t.g->nodes[a].name = cases[_i].first, t.g->nodes[b].name = cases[_i].second;
    t.g->as_traced = (uint8_t)cases[_i].traced;
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, (size_t)cases[_i].apart);
    ck_assert_int_eq(tb_issue(&t, "trains as one") != NULL, !cases[_i].apart);
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("ties", tcase_add_test(tc, nothing_says_it_is_one);
             tcase_add_test(tc, the_legacy_exporter_names_what_is_one);
             tcase_add_test(tc, the_exporter_says_what_each_node_read);
             tcase_add_test(tc, one_set_of_statistics);
             tcase_add_test(tc, a_traced_file_that_was_changed);
             tcase_add_test(tc, a_bias_beside_a_shared_weight);
             tcase_add_loop_test(tc, a_weight_folded_for_each_call, 0, 7);)
