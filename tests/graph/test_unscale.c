/* SPDX-License-Identifier: MIT
 *
 * The inverse of scaled targets at the end of a model: what it is known by, that it does not learn, and that a loss of scaled
 * targets is of what stands in front of it. */
#include "tests/graph/build.h"

struct end {
    const char *factor, *offset;
    int listed; /* the file's metadata say it */
    int rounds; /* float32 between Casts */
    int found;
};
static const struct end ends[] = {
    { "y/hone_Mul_by", "y/hone_Add_by", 0, 0, 1 },
    { "member2/y/hone_Mul_by_1", "member2/y/hone_Add_by_1", 0, 0, 1 },
    { "y/hone_Mul_by", "y/hone_Add_by", 0, 1, 1 },
    { "onnx::Mul_7", "onnx::Add_9", 1, 0, 1 },
    { "gamma", "beta", 0, 0, 0 },
    { "y/hone_Mul_by", "beta", 0, 0, 0 },
};
enum { N_ENDS = sizeof ends / sizeof *ends };

static void open_with(struct tb *t, const struct end *e, const struct hn_graph_opts *opts)
{
    char in[80];
    tb_open(t, 17);
    tb_input(t, "x", e->rounds ? HN_F16 : HN_F32, 2, -1, 4);
    if (e->rounds)
        tb_halves(t, "w", HN_F16, 2, 4, 3);
    else
        tb_floats(t, "w", 2, 4, 3);
    tb_floats(t, e->factor, 1, 3);
    tb_floats(t, e->offset, 1, 3);
    tb_node(t, "MatMul", "x w", "raw", NULL);
    if (e->rounds) tb_node(t, "Cast", "raw", "wide", "to=1");
    ck_assert_int_lt(snprintf(in, sizeof in, "%s %s", e->rounds ? "wide" : "raw", e->factor), 80);
    tb_node(t, "Mul", in, "product", NULL);
    ck_assert_int_lt(snprintf(in, sizeof in, "product %s", e->offset), 80);
    tb_node(t, "Add", in, e->rounds ? "sum" : "y", NULL);
    if (e->rounds) tb_node(t, "Cast", "sum", "y", "to=10");
    tb_output(t, "y");
    t->g->values[hn_graph_find(t->g, "y")].unscaled = (uint8_t)e->listed;
    tb_finish(t, opts);
}

START_TEST(is_known_and_does_not_learn)
{
    const struct end *e = &ends[_i];
    struct hn_unscaler u = { 0 };
    struct tb t;
    open_with(&t, e, NULL);
    ck_assert_int_eq(hn_graph_unscaler(t.g, t.g->outputs[0], &u), e->found);
    ck_assert_int_eq(tb_is_trained(&t, e->offset), !e->found);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    if (e->found) {
        ck_assert_str_eq(t.g->values[u.raw].name, "raw");
        ck_assert_str_eq(t.g->values[u.factor].name, e->factor);
        ck_assert_str_eq(t.g->values[u.offset].name, e->offset);
        ck_assert(!u.learns);
        ck_assert_int_eq(tb_verdict(&t, "product"), HN_FROZEN);
        ck_assert_int_eq(tb_verdict(&t, "raw"), HN_TRAIN);
    }
    tb_close(&t);
}
END_TEST

/* By request it does, and then a loss has to look behind it. */
START_TEST(learns_by_request)
{
    const char *globs[] = { "y/hone_*" };
    const struct hn_graph_opts opts = { .train = globs, .n_train = 1 };
    struct hn_unscaler u;
    struct tb t;
    open_with(&t, &ends[0], &opts);
    ck_assert_int_eq(tb_is_trained(&t, "y/hone_Mul_by"), 1);
    ck_assert_int_eq(tb_verdict(&t, "product"), HN_TRAIN);
    ck_assert_int_eq(hn_graph_unscaler(t.g, t.g->outputs[0], &u), 1);
    ck_assert(u.learns);
    tb_close(&t);
}
END_TEST

/* An end that is of another width than what it is the end of widens it: no inverse of targets. */
START_TEST(keeps_the_width)
{
    struct hn_unscaler u;
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 1);
    tb_floats(&t, "y/hone_Mul_by", 1, 3);
    tb_floats(&t, "y/hone_Add_by", 1, 3);
    tb_node(&t, "MatMul", "x w", "raw", NULL);
    tb_node(&t, "Mul", "raw y/hone_Mul_by", "product", NULL);
    tb_node(&t, "Add", "product y/hone_Add_by", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_unscaler(t.g, t.g->outputs[0], &u), 0);
    tb_close(&t);
}
END_TEST

START_TEST(a_loss_of_scaled_targets_looks_in_front_of_it)
{
    for (int scaled = 0; scaled < 2; scaled++) {
        const struct hn_loss_spec spec = { .kind = HN_LOSS_MSE, .weight = 1, .scaled = scaled };
        const struct hn_lower_opts opts = { .losses = &spec, .n_losses = 1 };
        struct tb t;
        open_with(&t, &ends[0], NULL);
        struct hn_program *p = tb_lower(&t, &opts);
        const struct hn_op *loss = tb_op(p, "loss_regression");
        ck_assert_str_eq(p->values[loss->in[0]].name, scaled ? "raw" : "y");
        ck_assert_str_eq(p->output_names[0], "y"); /* in the targets' own units */
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

HN_TEST_MAIN("unscale", tcase_add_loop_test(tc, is_known_and_does_not_learn, 0, N_ENDS);
             tcase_add_test(tc, learns_by_request); tcase_add_test(tc, keeps_the_width);
             tcase_add_test(tc, a_loss_of_scaled_targets_looks_in_front_of_it);)
