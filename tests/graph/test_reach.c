/* SPDX-License-Identifier: MIT
 *
 * Which parameters a program trains when only some outputs have losses: those that a loss has a gradient for. */
#include "tests/graph/build.h"

/* y1 = relu(x u) a + ba, y2 = BN(relu(x u) v) c; y3 = floor(x t) a. */
static void two_heads(struct tb *t)
{
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "u", 2, 4, 3);
    tb_floats(t, "a", 2, 3, 3);
    tb_floats(t, "ba", 1, 3);
    tb_floats(t, "v", 2, 3, 3);
    tb_floats(t, "scale", 1, 3);
    tb_floats(t, "shift", 1, 3);
    tb_floats(t, "mean", 1, 3);
    tb_floats(t, "var", 1, 3);
    tb_set(t, "var", 2);
    tb_floats(t, "c", 2, 3, 2);
    tb_floats(t, "t", 2, 4, 3);
    tb_node(t, "MatMul", "x u", "h", NULL);
    tb_node(t, "Relu", "h", "r", NULL);
    tb_node(t, "Gemm", "r a ba", "y1", NULL);
    tb_node(t, "MatMul", "r v", "p", NULL);
    tb_node(t, "BatchNormalization", "p scale shift mean var", "q", NULL);
    tb_node(t, "MatMul", "q c", "y2", NULL);
    tb_node(t, "MatMul", "x t", "s", NULL);
    tb_node(t, "Floor", "s", "m", NULL);
    tb_node(t, "MatMul", "m a", "y3", NULL);
    for (int i = 1; i < 4; i++) tb_output(t, (const char *[]){ "y1", "y2", "y3" }[i - 1]);
    tb_finish(t, NULL);
}

static const struct hn_param *named(const struct hn_program *p, const char *name)
{
    for (int i = 0; i < p->n_params; i++)
        if (strcmp(p->params[i].name, name) == 0) return &p->params[i];
    ck_abort_msg("no parameter %s", name);
    return NULL;
}

/* learn: names that are trained, rest: names that no loss reaches, a blank around each; the others are neither. */
static void expect(const struct hn_program *p, const char *learn, const char *rest)
{
    size_t trained = 0;
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        char word[40];
        (void)snprintf(word, sizeof word, " %s ", q->name);
        const int learns = strstr(learn, word) != NULL, rests = strstr(rest, word) != NULL;
        ck_assert_msg(((q->flags & HN_PARAM_TRAINED) != 0) == learns, "%s: trained", q->name);
        ck_assert_msg(((q->flags & HN_PARAM_IDLE) != 0) == rests, "%s: idle", q->name);
        if (learns) trained += (q->n + 15) / 16 * 16;
        if (learns) ck_assert_uint_lt(q->off, p->n_trained);
        if (!learns) ck_assert_uint_ge(q->off, p->n_trained);
    }
    ck_assert_uint_eq(p->n_trained, trained);
}

START_TEST(only_what_a_loss_reaches_learns)
{
    static const struct {
        int losses[2], n;
        const char *learn, *rest;
    } cases[] = {
        { { 0 }, 0, " u a ba v scale shift c t ", "" },
        { { 0 }, 1, " u a ba ", " v scale shift c t mean var " },
        { { 1 }, 1, " u v scale shift c ", " a ba t " },
        { { 2 }, 1, " a ", " u ba v scale shift c t mean var " },
        { { 0, 1 }, 2, " u a ba v scale shift c ", " t " },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_loss_spec spec[2] = {
            { .output = cases[i].losses[0], .kind = HN_LOSS_MSE, .weight = 1, .dense = 1 },
            { .output = cases[i].losses[1], .kind = HN_LOSS_MSE, .weight = 1, .dense = 1 }
        };
        struct hn_lower_opts opts = {
            .part = HN_PART_BODY, .dropout = -1, .losses = spec, .n_losses = cases[i].n
        };
        struct tb t;
        two_heads(&t);
        struct hn_program *p = tb_lower(&t, &opts);
        expect(p, cases[i].learn, cases[i].rest);
        ck_assert_uint_ne(named(p, "mean")->flags & HN_PARAM_STATE, 0);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

/* One module called on two inputs, one weight in two orientations: one way is enough. */
START_TEST(one_way_of_several_is_enough)
{
    struct hn_loss_spec spec = { .output = 0, .kind = HN_LOSS_MSE, .weight = 1, .dense = 1 };
    struct hn_lower_opts opts = {
        .part = HN_PART_BODY, .dropout = -1, .losses = &spec, .n_losses = 1
    };
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 3);
    tb_floats(&t, "w", 2, 3, 3);
    tb_floats(&t, "scale", 1, 3);
    tb_floats(&t, "shift", 1, 3);
    tb_floats(&t, "mean", 1, 3);
    tb_floats(&t, "var", 1, 3);
    tb_set(&t, "var", 2);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "BatchNormalization", "h scale shift mean var", "g", NULL);
    tb_node(&t, "Tanh", "g", "y1", NULL);
    tb_node(&t, "Transpose", "w", "wt", "perm=1,0");
    tb_node(&t, "MatMul", "y1 wt", "k", NULL);
    tb_node(&t, "BatchNormalization", "k scale shift mean var", "y2", NULL);
    tb_output(&t, "y1");
    tb_output(&t, "y2");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    expect(p, " w scale shift ", "");
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("reach", tcase_add_test(tc, only_what_a_loss_reaches_learns);
             tcase_add_test(tc, one_way_of_several_is_enough);)
