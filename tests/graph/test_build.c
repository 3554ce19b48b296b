/* SPDX-License-Identifier: MIT
 *
 * Building a graph and its structure: names, labels, issues; order, cycles, undefined and doubly defined values. */
#include "tests/graph/build.h"

START_TEST(names_are_found_again)
{
    struct tb t;
    char name[32];
    tb_open(&t, 17);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "value/%d:0", i);
        ck_assert_int_eq(hn_graph_value(t.g, name), i);
    }
    for (int i = 19999; i >= 0; i--) {
        snprintf(name, sizeof name, "value/%d:0", i);
        ck_assert_int_eq(hn_graph_find(t.g, name), i);
        ck_assert_int_eq(hn_graph_value(t.g, name), i);
    }
    ck_assert_int_eq(hn_graph_find(t.g, "value/20000:0"), -1);
    ck_assert_int_eq(hn_graph_find(t.g, ""), -1);
    tb_close(&t);
}
END_TEST

START_TEST(labels_and_names)
{
    struct tb t;
    char label[64];
    tb_open(&t, 17);
    struct hn_node *a = hn_graph_add_node(t.g, "fc1", "", "Gemm", 0, 0, 0);
    ck_assert_str_eq(hn_node_label(a, label, sizeof label), "fc1");
    struct hn_node *b = hn_graph_add_node(t.g, "", "", "Relu", 0, 0, 0);
    ck_assert_str_eq(hn_node_label(b, label, sizeof label), "Relu at position 1");
    ck_assert_str_eq(hn_verdict_name(HN_TRAIN), "trained");
    ck_assert_str_eq(hn_verdict_name(HN_REFUSE), "refused");
    ck_assert_str_eq(hn_verdict_name((enum hn_verdict)99), "unknown");
    tb_close(&t);
}
END_TEST

START_TEST(first_blocking_issue_is_the_error)
{
    struct tb t;
    tb_open(&t, 17);
    hn_graph_add_node(t.g, "n0", "", "Relu", 0, 0, 0);
    ck_assert_int_eq(hn_graph_issue(t.g, HN_WARNING, -1, HONE_OK, NULL, "only a word"), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    ck_assert_int_eq(
        hn_graph_issue(t.g, HN_BLOCKS_TRAINING, 0, HONE_E_UNSUPPORTED, "do this", "no %d", 7),
        HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_str_eq(t.err.where, "n0");
    ck_assert_str_eq(t.err.text, "no 7");
    ck_assert_str_eq(t.err.hint, "do this");
    ck_assert_int_eq(hn_graph_issue(t.g, HN_BLOCKS_ALL, -1, HONE_E_MODEL, NULL, "worse"), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_MODEL);
    tb_close(&t);
}
END_TEST

START_TEST(nodes_out_of_order)
{
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Tanh", "b", "y", NULL);
    tb_node(&t, "Relu", "a", "b", NULL);
    tb_node(&t, "Sigmoid", "x", "a", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->order[0], 2);
    ck_assert_int_eq(t.g->order[1], 1);
    ck_assert_int_eq(t.g->order[2], 0);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,4]");
    tb_close(&t);
}
END_TEST

static void expect_damage(struct tb *t, const char *where, const char *part)
{
    ck_assert_int_eq(hn_graph_finish(t->g, NULL, &t->err), HONE_E_MODEL);
    ck_assert_str_eq(t->err.where, where);
    ck_assert_msg(strstr(t->err.text, part) != NULL, "'%s' does not say '%s'", t->err.text, part);
    tb_close(t);
}

START_TEST(damage_is_named)
{
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Add", "x b", "a", NULL);
    tb_node(&t, "Relu", "a", "b", NULL);
    tb_output(&t, "b");
    expect_damage(&t, "a", "cycle");

    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Add", "x nowhere", "a", NULL);
    tb_output(&t, "a");
    expect_damage(&t, "a", "'nowhere' is not defined");

    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Relu", "x", "a", NULL);
    tb_node(&t, "Tanh", "x", "a", NULL);
    tb_output(&t, "a");
    expect_damage(&t, "a", "also an output of node");

    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Relu", "x", "x", NULL);
    tb_output(&t, "x");
    expect_damage(&t, "x", "also the name of a graph input");

    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_output(&t, "y");
    expect_damage(&t, "y", "not defined by any node");
}
END_TEST

HN_TEST_MAIN("build", tcase_add_test(tc, names_are_found_again);
             tcase_add_test(tc, labels_and_names);
             tcase_add_test(tc, first_blocking_issue_is_the_error);
             tcase_add_test(tc, nodes_out_of_order); tcase_add_test(tc, damage_is_named);)
