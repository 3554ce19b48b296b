/* SPDX-License-Identifier: MIT
 *
 * Along which axis of an output [N, A, B] a loss of classes goes (ops/graph/loss.c): behind the rows, or the last one. */
#include "tests/graph/build.h"

/* [N, 3 classes, 2, 2]: what the loss takes is [N, 4 places, 3 classes], also in front of a softmax over these classes. */
static void classes_behind_the_rows(const char *tail, int fused, enum hn_loss_kind kind, int dense)
{
    struct hn_loss_spec spec = { .kind = kind, .weight = 1, .first = 1, .dense = dense };
    struct hn_lower_opts opts = { .losses = &spec, .n_losses = 1 };
    struct hn_output_info info;
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 12);
    tb_ints(&t, "to", 4, -1, 3, 2, 2);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "Reshape", "h to", "z", NULL);
    tb_node(&t, tail, "z", "y", fused ? "axis=1" : NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    hn_graph_output(t.g, 0, &info);
    ck_assert_int_eq(info.classes_first, 3);
    ck_assert_int_eq(info.classes, 2);
    ck_assert_int_eq(info.tail_first, fused);
    struct hn_program *p = tb_lower(&t, &opts);
    const struct hn_op *loss = tb_op(p, kind == HN_LOSS_CE ? "loss_ce" : "loss_nll");
    ck_assert_ptr_nonnull(loss);
    const struct hn_value_ref *z = &p->values[loss->in[0]];
    ck_assert(z->shape.rank == 3 && z->shape.d[1].fixed == 4 && z->shape.d[2].fixed == 3);
    int32_t seen = p->ops[z->producer].in[0];
    ck_assert_str_eq(p->ops[z->producer].row->name, "transpose");
    if (p->values[seen].view_of >= 0) seen = p->values[seen].view_of;
    ck_assert_int_eq(p->values[seen].producer >= 0 &&
                         !strcmp(p->ops[p->values[seen].producer].row->name, "softmax"),
                     0);
    ck_assert_int_eq(hn_shape_count(&p->values[p->targets[0]].shape).per_row, dense ? 12 : 4);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}

START_TEST(classes_may_lie_behind_the_rows)
{
    classes_behind_the_rows("Identity", 0, HN_LOSS_CE, 0);
    classes_behind_the_rows("Identity", 0, HN_LOSS_CE, 1);
    classes_behind_the_rows("Identity", 0, HN_LOSS_NLL, 0);
    classes_behind_the_rows("Softmax", 1, HN_LOSS_CE, 0);
    classes_behind_the_rows("LogSoftmax", 1, HN_LOSS_CE, 1);
}
END_TEST

/* A softmax over other classes than the loss's is none of its own: the loss takes what comes out of it. */
START_TEST(a_softmax_over_other_classes_stays)
{
    struct hn_loss_spec spec = { .kind = HN_LOSS_CE, .weight = 1 };
    struct hn_lower_opts opts = { .losses = &spec, .n_losses = 1 };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 3, -1, 5, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "MatMul", "x w", "z", NULL);
    tb_node(&t, "Softmax", "z", "y", "axis=1");
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    const struct hn_op *loss = tb_op(p, "loss_ce");
    ck_assert_str_eq(p->ops[p->values[loss->in[0]].producer].row->name, "softmax");
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("class_axis", tcase_add_test(tc, classes_may_lie_behind_the_rows);
             tcase_add_test(tc, a_softmax_over_other_classes_stays);)
