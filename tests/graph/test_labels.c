/* SPDX-License-Identifier: MIT
 *
 * Labels in a graph: what ArgMax gives through the program's ops, the lists its numbers stand for, and that nothing which is
 * trained knows of them. */
#include "tests/graph/build.h"

static void text_list(struct tb *t, const char *name, const char *const *texts, int64_t n)
{
    const int32_t v = tb_ints(t, name, 1, 0);
    struct hn_tensor *x = hn_arena_alloc(&t->g->arena, 1, sizeof *x);
    *x = (struct hn_tensor){ .dtype = HN_STR, .rank = 1, .dims = { n }, .n = n, .data = texts };
    t->g->values[v].constant = x;
}

static void open_scores(struct tb *t)
{
    tb_open(t, 13);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "w", 2, 4, 4);
    tb_node(t, "MatMul", "x w", "h", NULL);
}

static struct hn_output_info info_of(const struct tb *t, size_t i)
{
    struct hn_output_info info;
    hn_graph_output(t->g, i, &info);
    return info;
}

/* ArgMax and ArgMin of rows that have equals, first and last, along both axes. */
START_TEST(ties_go_to_the_first_or_the_last)
{
    static const struct {
        const char *type, *attrs;
        double want[3];
    } cases[] = {
        { "ArgMax", "axis=1", { 1, 0, 0 } },
        { "ArgMax", "axis=-1 select_last_index=1 keepdims=0", { 2, 0, 3 } },
        { "ArgMin", "axis=1 keepdims=0", { 0, 2, 0 } },
        { "ArgMin", "axis=1 select_last_index=1", { 0, 3, 3 } },
    };
    static const double x[12] = { -1, 5, 5, 2, 9, 3, -4, -4, 7, 7, 7, 7 };
    const double *in[] = { x };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct tb t;
        tb_open(&t, 13);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        tb_node(&t, cases[k].type, "x", "y", cases[k].attrs);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(tb_value(&t, "y")->dtype, HN_I64);
        ck_assert_str_eq(tb_shape(&t, "y"), strstr(cases[k].attrs, "keepdims") ? "[N]" : "[N,1]");
        struct hn_program *p = tb_lower(&t, NULL);
        double *y = tb_run(&t, p, 3, in);
        for (int i = 0; i < 3; i++) ck_assert_double_eq(y[i], cases[k].want[i]);
        hn_free(&t.mem, y);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

/* A row of NaN still gives a position of the list. */
START_TEST(nan_stays_inside)
{
    static const double x[4] = { (double)NAN, (double)NAN, (double)NAN, (double)NAN };
    const double *in[] = { x };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "ArgMax", "x", "y", "axis=1");
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, NULL);
    double *y = tb_run(&t, p, 1, in);
    ck_assert(y[0] >= 0 && y[0] < 4);
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(a_program_has_labels_where_they_are_asked_for)
{
    static const char *const names[] = { "a", "b", "c", "d" };
    struct tb t;
    open_scores(&t);
    text_list(&t, "names", names, 4);
    tb_node(&t, "Softmax", "h", "p", "axis=-1");
    tb_node(&t, "ArgMax", "h", "i", "axis=1 keepdims=0");
    tb_node(&t, "Gather", "names i", "label", NULL);
    tb_output(&t, "label");
    tb_output(&t, "p");
    tb_finish(&t, NULL);
    HN_OK(hn_graph_blocked(t.g, 1, &t.err), t.err);
    struct hn_output_info label = info_of(&t, 0), p = info_of(&t, 1);
    ck_assert(label.computable && label.discrete && !label.trainable && label.per_row == 1);
    ck_assert(p.trainable && !p.discrete && !p.labels);
    ck_assert_int_eq(hn_graph_heads(t.g), 1);
    ck_assert_int_eq(label.labels->n, 4);
    ck_assert_str_eq(((const char *const *)label.labels->data)[2], "c");
    ck_assert_int_eq(tb_verdict(&t, "label"), HN_FROZEN);
    int axis = -1;
    ck_assert_int_eq(hn_graph_scores(t.g, label.value, &axis), hn_graph_find(t.g, "h"));
    ck_assert_int_eq(axis, 1);
    ck_assert_int_eq(hn_graph_scores(t.g, p.value, &axis), -1);
    struct hn_program *plain = tb_lower(&t, NULL);
    ck_assert_int_eq(plain->n_outputs, 1);
    ck_assert_int_eq(tb_count_ops(plain, "reduce"), 0); /* training pays nothing for it */
    const struct hn_lower_opts with = { .part = HN_PART_ALL, .labels = 1, .scores = 1 };
    struct hn_program *all = tb_lower(&t, &with);
    ck_assert_int_eq(all->n_outputs, 3);
    ck_assert_str_eq(all->output_names[0], "label");
    ck_assert_str_eq(all->output_names[2], "h");
    ck_assert_uint_eq(all->n_slab, plain->n_slab);
    hn_program_destroy(plain, &t.mem);
    hn_program_destroy(all, &t.mem);
    tb_close(&t);
}
END_TEST

/* One list after the other, and none may be computed with. */
START_TEST(lists_follow)
{
    struct tb t;
    open_scores(&t);
    tb_ints(&t, "codes", 4, 30, -1, 0, 7);
    tb_node(&t, "ArgMax", "h", "i", "axis=1");
    tb_node(&t, "Gather", "codes i", "code", NULL);
    tb_node(&t, "Cast", "code", "text", "to=8");
    tb_node(&t, "Cast", "text", "number", "to=11");
    tb_node(&t, "Cast", "code", "flag", "to=9");
    tb_node(&t, "Add", "code codes", "sum", NULL);
    const char *const outputs[] = { "text", "number", "flag", "sum", "h" };
    for (int i = 0; i < 5; i++) tb_output(&t, outputs[i]);
    tb_finish(&t, NULL);
    HN_OK(hn_graph_blocked(t.g, 1, &t.err), t.err);
    const struct hn_tensor *text = info_of(&t, 0).labels, *number = info_of(&t, 1).labels,
                           *flag = info_of(&t, 2).labels;
    ck_assert_str_eq(((const char *const *)text->data)[1], "-1");
    ck_assert_int_eq(number->dtype, HN_F64);
    ck_assert_double_eq(hn_tensor_f64(number, 0), 30);
    ck_assert_int_eq(hn_tensor_i64(flag, 2), 0);
    ck_assert_int_eq(hn_tensor_i64(flag, 3), 1);
    ck_assert(info_of(&t, 1).discrete && !info_of(&t, 1).trainable); /* floats, but labels */
    ck_assert(!info_of(&t, 3).computable);
    ck_assert_int_eq(tb_verdict(&t, "sum"), HN_CARRY);
    ck_assert_ptr_nonnull(
        strstr(t.g->nodes[t.g->values[hn_graph_find(t.g, "sum")].producer].why, "labels"));
    tb_close(&t);
}
END_TEST

/* The file's batch of 1 is lifted, and so are labels reshaped to one of each row; that others are taken over the rows does not
 * hold it, since nothing that learns depends on them. */
START_TEST(labels_do_not_hold_the_batch)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, 1, 4);
    tb_floats(&t, "w", 2, 4, 4);
    tb_ints(&t, "one", 1, 1);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "ArgMax", "h", "i", "axis=1");
    tb_node(&t, "Reshape", "i one", "label", NULL);
    tb_node(&t, "ArgMax", "h", "over", "axis=0");
    const char *const outputs[] = { "h", "label", "over" };
    for (int i = 0; i < 3; i++) tb_output(&t, outputs[i]);
    tb_finish(&t, NULL);
    HN_OK(hn_graph_blocked(t.g, 1, &t.err), t.err);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_int_eq(tb_verdict(&t, "label"), HN_VIEW);
    ck_assert_int_eq(tb_verdict(&t, "over"), HN_CARRY);
    tb_close(&t);
}
END_TEST

/* Single rows [features]: the axis stays the features'. */
START_TEST(of_single_rows)
{
    static const double x[8] = { 1, 2, 3, 0, 5, 4, 3, 2 };
    const double *in[] = { x };
    for (int axis = -1; axis <= 0; axis++) {
        struct tb t;
        tb_open(&t, 13);
        tb_input(&t, "x", HN_F32, 1, 4);
        tb_node(&t, "ArgMax", "x", "y", axis ? "axis=-1" : "axis=0");
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(t.g->batch_lifted, 1);
        struct hn_program *p = tb_lower(&t, NULL);
        double *y = tb_run(&t, p, 2, in);
        ck_assert(y[0] == 2 && y[1] == 0);
        hn_free(&t.mem, y);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

/* What is made of choices alone has nothing to learn from, floats too. */
START_TEST(choices_do_not_learn)
{
    struct tb t;
    open_scores(&t);
    tb_number(&t, "zero", 0);
    tb_number(&t, "five", 5);
    tb_node(&t, "Greater", "h zero", "up", NULL);
    tb_node(&t, "Where", "up five zero", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert(info_of(&t, 0).computable && !info_of(&t, 0).trainable);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("labels", tcase_add_test(tc, ties_go_to_the_first_or_the_last);
             tcase_add_test(tc, nan_stays_inside);
             tcase_add_test(tc, a_program_has_labels_where_they_are_asked_for);
             tcase_add_test(tc, lists_follow); tcase_add_test(tc, labels_do_not_hold_the_batch);
             tcase_add_test(tc, of_single_rows); tcase_add_test(tc, choices_do_not_learn);)
