/* SPDX-License-Identifier: MIT
 *
 * What an exporter left out is said, and only that (ops/graph/told.c). Files of PyTorch's: tests/interop/shared.py. */
#include "tests/graph/build.h"

/* x w b (or none) → h, tanh, h v → y, with the list of a module that has four parameters. */
static struct hn_exported list[] = { { "p_b", "b", HN_HINT_PARAMETER, -1 },
                                     { "p_g", "g", HN_HINT_PARAMETER, -1 },
                                     { "p_v", "v", HN_HINT_PARAMETER, -1 },
                                     { "p_w", "w", HN_HINT_PARAMETER, -1 } };
static const int32_t reads[] = { 3, 0 };

static void layers(struct tb *t, int rewritten, const char *second)
{
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 3);
    tb_floats(t, "w", 2, 3, 4);
    tb_floats(t, second, 2, 4, 3);
    tb_node(t, "Gemm", "x w", "h", NULL);
    tb_node(t, "Tanh", "h", "a", NULL);
    char in[64];
    snprintf(in, sizeof in, "a %s", second);
    tb_node(t, "Gemm", in, "y", NULL);
    tb_output(t, "y");
    for (int i = 0; i < 4; i++) {
        const int32_t v = hn_graph_find(t->g, list[i].target);
        list[i].value = v >= 0 && t->g->values[v].is_initializer ? v : -1;
    }
    t->g->exported = list, t->g->n_exported = 4;
    t->g->nodes[0].reads = reads, t->g->nodes[0].n_reads = 2;
    t->g->nodes[0].rewritten = (uint8_t)rewritten;
}

START_TEST(what_a_rule_took_out)
{
    for (int rule = 0; rule <= HN_DROPPED_BIAS; rule++) {
        struct tb t;
        layers(&t, rule, "v");
        tb_finish(&t, NULL);
        const struct hn_issue *it = tb_issue(&t, "in PyTorch");
        ck_assert_int_eq(it != NULL, rule > 0); /* g is in no node: the module never read it */
        if (it)
            ck_assert_int_eq(strncmp(it->what, "'b' was a parameter in PyTorch and is not", 41), 0);
        if (it)
            ck_assert(it->told && it->severity == HN_WARNING &&
                      strstr(it->remedy, "optimize=False"));
        tb_close(&t);
    }
}
END_TEST

/* mul_3 is no name of the module's: what it was computed from is gone. val_3 is a weight moved into place. */
START_TEST(what_was_folded)
{
    static const char *const names[] = { "mul_3", "val_3", "net.v" };
    struct tb t;
    layers(&t, 0, names[_i]);
    tb_finish(&t, NULL);
    const struct hn_issue *it = tb_issue(&t, "in PyTorch");
    ck_assert_int_eq(it != NULL, _i == 0);
    if (it)
        ck_assert_int_eq(strncmp(it->what, "'g', 'v' were parameters in PyTorch and are not", 47),
                         0);
    tb_close(&t);
}
END_TEST

static void transpose(struct tb *t, const char *from, const char *to)
{
    const float *w = tb_value(t, from)->constant->data;
    float *v = (float *)(uintptr_t)tb_value(t, to)->constant->data;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++) v[k * 3 + i] = w[i * 4 + k];
}

START_TEST(a_weight_that_is_there_twice)
{
    for (int twice = 0; twice < 2; twice++) {
        struct tb t;
        layers(&t, 0, "val_3");
        if (twice) transpose(&t, "w", "val_3");
        tb_finish(&t, NULL);
        ck_assert_int_eq(tb_issue(&t, "'val_3' is 'w' transposed by the exporter") != NULL, twice);
        tb_close(&t);
    }
}
END_TEST

START_TEST(statistics_that_stay)
{
    static const char *const forms[] = { "momentum=1.0", "momentum=0.9", "" };
    for (int i = 0; i < 3; i++) {
        struct tb t;
        tb_open(&t, 15);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        static const char *const names[] = { "s", "b", "m", "v" };
        for (int k = 0; k < 4; k++) tb_floats(&t, names[k], 1, 4);
        tb_node(&t, "BatchNormalization", "x s b m v", "h", forms[i]);
        tb_node(&t, "BatchNormalization", "h s b m v", "y", forms[i]);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        const struct hn_issue *it = tb_issue(&t, "momentum 1");
        ck_assert_int_eq(it != NULL, i == 0);
        if (it) ck_assert(it->told && it->node == 0 && strstr(it->what, "(and of 1 more)"));
        tb_close(&t);
    }
}
END_TEST

/* A matrix of prototypes behind the layers, in a file of the legacy exporter; a scaler before them is none of it. */
START_TEST(what_is_taken_for_a_constant)
{
    static const char *const names[] = { "p", "onnx::Sub_9", "/head/Constant_output_0" };
    for (int i = 0; i < 4; i++) {
        struct tb t;
        const char *p = names[i % 3];
        char in[64];
        tb_open(&t, 17);
        tb_input(&t, "x", HN_F32, 2, -1, 3);
        tb_floats(&t, "mean", 1, 3);
        tb_floats(&t, "w", 2, 3, 4);
        tb_floats(&t, p, 2, 1, 4);
        tb_node(&t, "Sub", "x mean", "c", NULL);
        tb_node(&t, "MatMul", "c w", "h", NULL);
        tb_node(&t, "Tanh", "h", "a", NULL);
        snprintf(in, sizeof in, "a %s", p);
        tb_node(&t, "Sub", in, "y", NULL);
        tb_output(&t, "y");
        t.g->as_traced = i < 3; /* others say nothing of who they are */
        tb_finish(&t, NULL);
        const struct hn_issue *it = tb_issue(&t, "taken for");
        ck_assert_int_eq(it != NULL, i == 0);
        if (it) {
            ck_assert_int_eq(strncmp(it->what, "'p' [1,4] is taken for a constant", 33), 0);
            ck_assert_str_eq(it->remedy, "--unfreeze p lets it learn");
        }
        tb_close(&t);
    }
}
END_TEST

HN_TEST_MAIN("told", tcase_add_test(tc, what_is_taken_for_a_constant);
             tcase_add_test(tc, what_a_rule_took_out);
             tcase_add_loop_test(tc, what_was_folded, 0, 3);
             tcase_add_test(tc, a_weight_that_is_there_twice);
             tcase_add_test(tc, statistics_that_stay);)
