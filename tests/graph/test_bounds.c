/* SPDX-License-Identifier: MIT
 *
 * Between which numbers an output lies by what it ends in. */
#include "tests/graph/build.h"
#include <math.h>

struct end {
    const char *type, *attrs;
    double lo, hi;
};
static const struct end ends[] = {
    { "Relu", NULL, 0, (double)INFINITY },
    { "Softplus", NULL, 0, (double)INFINITY },
    { "Exp", NULL, 0, (double)INFINITY },
    { "Abs", NULL, 0, (double)INFINITY },
    { "Sqrt", NULL, 0, (double)INFINITY },
    { "Sigmoid", NULL, 0, 1 },
    { "HardSigmoid", NULL, 0, 1 },
    { "Tanh", NULL, -1, 1 },
    { "Erf", NULL, -1, 1 },
    { "Sin", NULL, -1, 1 },
    { "Elu", "alpha=0.5", -0.5, (double)INFINITY },
    { "Celu", "alpha=2.0", -2, (double)INFINITY },
    { "LeakyRelu", NULL, -(double)INFINITY, (double)INFINITY },
};
enum { N_ENDS = sizeof ends / sizeof *ends };

static void open_layer(struct tb *t)
{
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "w", 2, 4, 3);
    tb_node(t, "MatMul", "x w", "h", NULL);
}

static void expect(struct tb *t, double lo, double hi, const char *type)
{
    tb_output(t, "y");
    tb_finish(t, NULL);
    const struct hn_bounds r = hn_graph_bounds(t->g, t->g->outputs[0]);
    ck_assert_msg(fabs(r.lo - lo) < 1e-4 || r.lo == lo, "from %g, wanted %g", r.lo, lo);
    ck_assert_msg(fabs(r.hi - hi) < 1e-4 || r.hi == hi, "to %g, wanted %g", r.hi, hi);
    ck_assert_str_eq(r.node < 0 ? "" : t->g->nodes[r.node].type, type);
    tb_close(t);
}

START_TEST(by_the_last_activation)
{
    const struct end *e = &ends[_i];
    struct tb t;
    open_layer(&t);
    tb_node(&t, e->type, "h", "y", e->attrs);
    expect(&t, e->lo, e->hi, isinf(e->lo) && isinf(e->hi) ? "" : e->type);
}
END_TEST

/* No activation of a layer in front of the last one counts. */
START_TEST(not_by_an_earlier_one)
{
    struct tb t;
    open_layer(&t);
    tb_floats(&t, "w2", 2, 3, 2);
    tb_node(&t, "Relu", "h", "a", NULL);
    tb_node(&t, "MatMul", "a w2", "y", NULL);
    expect(&t, -(double)INFINITY, (double)INFINITY, "");
}
END_TEST

START_TEST(through_numbers_and_views)
{
    struct tb t;
    open_layer(&t);
    tb_number(&t, "two", 2);
    tb_number(&t, "one", 1);
    tb_node(&t, "Tanh", "h", "a", NULL);
    tb_node(&t, "Identity", "a", "b", NULL);
    tb_node(&t, "Mul", "two b", "c", NULL);
    tb_node(&t, "Sub", "one c", "d", NULL); /* 1 - 2 tanh */
    tb_node(&t, "Flatten", "d", "y", NULL);
    expect(&t, -1, 3, "Tanh");
}
END_TEST

START_TEST(clipped_and_squared)
{
    struct tb t;
    open_layer(&t);
    tb_number(&t, "low", -3);
    tb_number(&t, "high", 2);
    tb_node(&t, "Clip", "h low high", "y", NULL);
    expect(&t, -3, 2, "Clip");
    open_layer(&t);
    tb_node(&t, "Mul", "h h", "y", NULL);
    expect(&t, 0, (double)INFINITY, "Mul");
    open_layer(&t);
    tb_number(&t, "two", 2);
    tb_node(&t, "Pow", "h two", "y", NULL);
    expect(&t, 0, (double)INFINITY, "Pow");
    open_layer(&t);
    tb_number(&t, "three", 3);
    tb_node(&t, "Pow", "h three", "y", NULL);
    expect(&t, -(double)INFINITY, (double)INFINITY, "");
    open_layer(&t);
    tb_floats(&t, "by", 1, 3); /* which learns */
    tb_node(&t, "Relu", "h", "a", NULL);
    tb_node(&t, "Add", "a by", "y", NULL);
    expect(&t, -(double)INFINITY, (double)INFINITY, "");
}
END_TEST

HN_TEST_MAIN("bounds", tcase_add_loop_test(tc, by_the_last_activation, 0, N_ENDS);
             tcase_add_test(tc, not_by_an_earlier_one);
             tcase_add_test(tc, through_numbers_and_views);
             tcase_add_test(tc, clipped_and_squared);)
