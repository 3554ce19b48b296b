/* SPDX-License-Identifier: MIT
 *
 * Shapes affine in N, shape arithmetic, folding, and the fixed batch that is lifted or baked in. */
#include "tests/graph/build.h"

START_TEST(flatten_by_shape_arithmetic)
{
    struct tb t;
    tb_open(&t, 12);
    tb_input(&t, "x", HN_F32, 3, -1, 3, 4);
    tb_ints(&t, "zero", 1, 0);
    tb_ints(&t, "rest", 1, -1);
    tb_node(&t, "Shape", "x", "shape", NULL);
    tb_node(&t, "Gather", "shape zero", "rows", "axis=0");
    tb_node(&t, "Concat", "rows rest", "to", "axis=0");
    tb_node(&t, "Reshape", "x to", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,12]");
    ck_assert_int_eq(tb_verdict(&t, "y"), HN_VIEW);
    ck_assert_int_eq(tb_verdict(&t, "shape"), HN_FOLDED);
    ck_assert_int_eq(tb_verdict(&t, "to"), HN_FOLDED);
    ck_assert_ptr_null(tb_value(&t, "to")->constant); /* it follows N */
    tb_close(&t);
}
END_TEST

/* (910 + 1) / 2 = 455 as integers: a gated half by Shape, Gather, Add, Div, Mul, Slice. */
START_TEST(halves_by_shape_arithmetic)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 910);
    tb_ints(&t, "last", 1, -1);
    tb_ints(&t, "zero", 1, 0);
    tb_ints(&t, "one", 1, 1);
    tb_ints(&t, "two", 1, 2);
    tb_node(&t, "Shape", "x", "shape", NULL);
    tb_node(&t, "Gather", "shape last", "width", "axis=0");
    tb_node(&t, "Add", "width one", "more", NULL);
    tb_node(&t, "Div", "more two", "half", NULL);
    tb_node(&t, "Mul", "half two", "whole", NULL);
    tb_node(&t, "Slice", "x zero half last", "a", NULL);
    tb_node(&t, "Slice", "x half whole last", "b", NULL);
    tb_node(&t, "Mul", "a b", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_tensor_i64(tb_value(&t, "half")->constant, 0), 455);
    ck_assert_str_eq(tb_shape(&t, "a"), "[N,455]");
    ck_assert_str_eq(tb_shape(&t, "b"), "[N,455]");
    tb_close(&t);
}
END_TEST

struct reshape {
    int lead;
    int to[4];
    int n, allowzero;
    const char *shape;
};
static const struct reshape reshapes[] = {
    { -1, { -1, 12 }, 2, 0, "[N,12]" },
    { -1, { 0, -1 }, 2, 0, "[N,12]" },
    { -1, { 0, 2, -1, 3 }, 4, 0, "[N,2,2,3]" },
    { -1, { -1 }, 1, 0, "[12*N]" },
    { -1, { -1, 4 }, 2, 0, "[3*N,4]" },
    { -1, { -1, 5 }, 2, 0, "?" },
    { -1, { 2, -1 }, 2, 0, "[2,6*N]" },
    { -1, { 0, 0, 0, 0 }, 4, 0, "?" },
    { -1, { -1, -1 }, 2, 0, "?" },
    { -1, { 0, 12 }, 2, 1, "?" },
    { 5, { 5, 12 }, 2, 0, "[N,12]" },
    { 5, { 5, -1, 4 }, 3, 0, "[N,3,4]" },
    { 5, { 12, 5 }, 2, 0, "[12,5]" },
    { 5, { -1, 12 }, 2, 0, "[N,12]" },
};

START_TEST(reshape_forms)
{
    const struct reshape *r = &reshapes[_i];
    struct tb t;
    tb_open(&t, 14);
    tb_input(&t, "x", HN_F32, 3, r->lead, 3, 4);
    tb_ints(&t, "to", r->n, r->to[0], r->to[1], r->to[2], r->to[3]);
    tb_node(&t, "Reshape", "x to", "y", r->allowzero ? "allowzero=1" : NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_str_eq(tb_shape(&t, "y"), r->shape);
    tb_close(&t);
}
END_TEST

struct shape_case {
    const char *type, *attrs;
    int64_t opset;
    int dims[4], rank;
    const char *shape;
};
static const struct shape_case shape_cases[] = {
    { "Flatten", NULL, 13, { -1, 3, 4 }, 3, "[N,12]" },
    { "Flatten", "axis=0", 13, { -1, 3, 4 }, 3, "[1,12*N]" },
    { "Flatten", "axis=-1", 13, { -1, 3, 4 }, 3, "[3*N,4]" },
    { "Flatten", "axis=3", 13, { -1, 3, 4 }, 3, "[12*N,1]" },
    { "Squeeze", "axes=1,3", 12, { -1, 1, 4, 1 }, 4, "[N,4]" },
    { "Squeeze", NULL, 12, { -1, 1, 4, 1 }, 4, "[N,4]" },
    { "Squeeze", "axes=2,-1", 12, { -1, 1, 4, 1 }, 4, "?" },
    { "Unsqueeze", "axes=0,-1", 12, { -1, 4 }, 2, "[1,N,4,1]" },
    { "Unsqueeze", "axes=1,1", 12, { -1, 4 }, 2, "?" },
    { "Transpose", NULL, 13, { -1, 3, 4 }, 3, "[4,3,N]" },
    { "Transpose", "perm=0,2,1", 13, { -1, 3, 4 }, 3, "[N,4,3]" },
    { "Transpose", "perm=0,2,2", 13, { -1, 3, 4 }, 3, "?" },
    { "Pad", "pads=0,1,0,2", 10, { -1, 4 }, 2, "[N,7]" },
    { "Pad", "pads=0,-1,0,-3", 10, { -1, 4 }, 2, "[N,0]" },
    { "Pad", "pads=0,-1,0,-4", 10, { -1, 4 }, 2, "?" },
    { "Pad", "pads=1,0,0,0", 10, { -1, 4 }, 2, "?" },
    { "Pad", "pads=0,1,2", 10, { -1, 4 }, 2, "?" },
    { "Pad", "pads=0,1", 10, { -1, 4 }, 2, "?" },
    { "Pad", "pads=0,1,0,1 mode=reflect", 10, { -1, 4 }, 2, "?" },
    { "ReduceMean", "axes=1,2 keepdims=0", 13, { -1, 3, 4 }, 3, "[N]" },
    { "ReduceMean", "axes=-1,1", 13, { -1, 3, 4 }, 3, "[N,1,1]" },
    { "ReduceSum", NULL, 13, { -1, 3 }, 2, "[1,1]" },
    { "ReduceSum", "noop_with_empty_axes=1", 13, { -1, 3 }, 2, "[N,3]" },
    { "Softmax", NULL, 11, { -1, 3, 4 }, 3, "[N,3,4]" },
    { "Softmax", "axis=0", 13, { -1, 3 }, 2, "?" },
    { "Softmax", "axis=2", 13, { -1, 3 }, 2, "?" },
    { "Shape", NULL, 13, { -1, 3, 4 }, 3, "[3]" },
    { "Shape", "start=1", 15, { -1, 3, 4 }, 3, "[2]" },
    { "Shape", "start=-2 end=-1", 15, { -1, 3, 4 }, 3, "[1]" },
    { "Split", NULL, 13, { -1, 4 }, 2, "?" }, /* axis 0 follows N */
    { "Split", "axis=1", 13, { -1, 4 }, 2, "[N,4]" },
    { "Gelu", NULL, 19, { -1, 4 }, 2, "?" }, /* comes with 20 */
    { "Gelu", "approximate=tanh", 20, { -1, 4 }, 2, "[N,4]" },
    { "Gelu", "approximate=maybe", 20, { -1, 4 }, 2, "?" },
    { "Relu", "slope=1", 14, { -1, 4 }, 2, "?" }, /* unknown attribute */
    { "Elu", "alpha=1", 14, { -1, 4 }, 2, "?" },  /* an integer where a float belongs */
    { "Cast", "to=1", 13, { -1, 4 }, 2, "[N,4]" },
    { "Cast", "to=11", 13, { -1, 4 }, 2, "[N,4]" },
    { "Cast", "to=10", 13, { -1, 4 }, 2, "[N,4]" },
    { "Cast", "to=16", 13, { -1, 4 }, 2, "[N,4]" },
    { "Cast", "to=17", 19, { -1, 4 }, 2, "?" },            /* float8 */
    { "LayerNormalization", NULL, 17, { -1, 4 }, 2, "?" }, /* needs a scale */
    { "Nonsense", NULL, 17, { -1, 4 }, 2, "?" },
};

START_TEST(shapes)
{
    const struct shape_case *s = &shape_cases[_i];
    struct tb t;
    tb_open(&t, s->opset);
    tb_input(&t, "x", HN_F32, s->rank, s->dims[0], s->dims[1], s->dims[2], s->dims[3]);
    tb_node(&t, s->type, "x", "y", s->attrs);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_msg(strcmp(tb_shape(&t, "y"), s->shape) == 0, "%s %s at %lld: %s, wanted %s", s->type,
                  s->attrs ? s->attrs : "", (long long)s->opset, tb_shape(&t, "y"), s->shape);
    if (s->shape[0] == '?') { /* every refusal has a reason and blocks with it */
        ck_assert_int_eq(tb_verdict(&t, "y"), HN_REFUSE);
        ck_assert_int_ne(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
        ck_assert_str_eq(t.err.where, "y");
    }
    tb_close(&t);
}
END_TEST

struct slice_case {
    int start, end, axis, step;
    const char *shape;
    int64_t first;
};
static const struct slice_case slices[] = {
    { 1, 3, 1, 1, "[N,2]", 1 },
    { 0, 99, 1, 2, "[N,5]", 0 },
    { -3, -1, 1, 1, "[N,2]", 7 },
    { 9, -99, 1, -1, "[N,10]", 9 },
    { 8, 2, 1, -3, "[N,2]", 8 },
    { 5, 2, 1, 1, "[N,0]", 0 },
    { -99, 2, -1, 1, "[N,2]", 0 },
    { 0, 2, 0, 1, "?", 0 },
    { 0, INT32_MAX, 0, 1, "[N,10]", 0 },
    { 0, 2, 2, 1, "?", 0 },
    { 0, 2, 1, 0, "?", 0 },
    { -1, -11, 1, -1, "[N,10]", 9 },
};

START_TEST(slice_forms)
{
    const struct slice_case *s = &slices[_i];
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 10);
    tb_ints(&t, "start", 1, s->start);
    tb_ints(&t, "end", 1, s->end);
    tb_ints(&t, "axis", 1, s->axis);
    tb_ints(&t, "step", 1, s->step);
    tb_node(&t, "Slice", "x start end axis step", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_str_eq(tb_shape(&t, "y"), s->shape);
    if (s->shape[0] != '?' && strcmp(s->shape, "[N,0]") != 0) {
        double x[10];
        const double *in = x;
        for (int i = 0; i < 10; i++) x[i] = i;
        struct hn_program *p = tb_lower(&t, NULL);
        double *y = tb_run(&t, p, 1, &in);
        ck_assert(y[0] == (double)s->first);
        hn_free(&t.mem, y);
        hn_program_destroy(p, &t.mem);
    }
    tb_close(&t);
}
END_TEST

START_TEST(constants_fold)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 3);
    tb_floats(&t, "std", 1, 3);
    tb_set(&t, "std", 4);
    tb_number(&t, "eps", 0.5);
    tb_node(&t, "Sqrt", "std", "root", NULL);
    tb_node(&t, "Add", "root eps", "sum", NULL);
    tb_node(&t, "Div", "x sum", "y", NULL);
    tb_floats(&t, "w", 2, 3, 2);
    tb_node(&t, "Transpose", "w", "wt", NULL);
    tb_node(&t, "Gemm", "y wt", "z", "transB=1");
    tb_output(&t, "z");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_verdict(&t, "sum"), HN_FOLDED);
    ck_assert(hn_tensor_f64(tb_value(&t, "sum")->constant, 2) == 2.5);
    const struct hn_tensor *w = tb_value(&t, "w")->constant, *wt = tb_value(&t, "wt")->constant;
    ck_assert(hn_tensor_f64(wt, 1 * 3 + 2) == hn_tensor_f64(w, 2 * 2 + 1));
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1); /* behind the Transpose it is still a parameter */
    tb_close(&t);
}
END_TEST

START_TEST(a_bomb_is_no_constant)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 3);
    tb_ints(&t, "huge", 3, 2000000000, 2000000000, 2000000000);
    tb_ints(&t, "large", 2, 100000, 100000);
    tb_floats(&t, "one", 2, 1, 1);
    tb_node(&t, "ConstantOfShape", "huge", "a", NULL);
    tb_node(&t, "Expand", "one large", "b", NULL);
    tb_node(&t, "Add", "x b", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_str_eq(tb_shape(&t, "a"), "?");
    ck_assert_ptr_null(tb_value(&t, "b")->constant);
    ck_assert_uint_lt(atomic_load(&t.mem.peak), 10000000);
    ck_assert_int_ne(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    tb_close(&t);
}
END_TEST

/* ---- the batch --------------------------------------------------------------------------------------------------------- */

static void dense_net(struct tb *t, int lead, const char *middle)
{
    tb_open(t, 13);
    tb_input(t, "x", HN_F32, 3, lead, 3, 4);
    const int mixes = strcmp(middle, "Mix") == 0; /* rows of a batch of two become one */
    tb_floats(t, "w", 2, mixes ? 24 : 12, 2);
    tb_ints(t, "to", 2, mixes ? 1 : 2, -1);
    if (mixes || strcmp(middle, "Reshape") == 0)
        tb_node(t, "Reshape", "x to", "flat", NULL);
    else
        tb_node(t, "Flatten", "x", "flat", NULL);
    tb_node(t, "MatMul", "flat w", "y", NULL);
    tb_output(t, "y");
}

START_TEST(fixed_batch_is_lifted)
{
    struct tb t;
    dense_net(&t, 2, "Flatten");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->fixed_batch, 2);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,2]");
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    tb_close(&t);
}
END_TEST

START_TEST(fixed_batch_can_be_kept)
{
    struct tb t;
    struct hn_graph_opts keep = { .keep_fixed_batch = 1 };
    dense_net(&t, 2, "Flatten");
    tb_finish(&t, &keep);
    ck_assert_int_eq(t.g->batch_lifted, 0);
    ck_assert_str_eq(tb_shape(&t, "y"), "[2,2]");
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    tb_close(&t);
}
END_TEST

START_TEST(batch_in_a_reshape_is_lifted)
{
    struct tb t;
    dense_net(&t, 2, "Reshape");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,2]");
    tb_close(&t);
}
END_TEST

START_TEST(types_of_a_concat)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 1);
    tb_input(&t, "z", HN_F64, 2, -1, 1);
    tb_node(&t, "Concat", "x z", "h", "axis=1");
    tb_output(&t, "h");
    tb_finish(&t, NULL);
    ck_assert_ptr_nonnull(tb_issue(&t, "Concat: 'z' is float64, 'x' float32, wanted one type"));
    tb_close(&t);
}
END_TEST

/* A constant row beside rows of a batch of 1 is one for each of them, also in a larger batch. */
START_TEST(fixed_row_is_lifted)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, 1, 4);
    tb_floats(&t, "row", 2, 1, 3);
    tb_floats(&t, "w", 2, 7, 2);
    tb_node(&t, "Concat", "row x", "h", "axis=1");
    tb_node(&t, "MatMul", "h w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,2]");
    tb_close(&t);
}
END_TEST

/* Integers of rank 1 beside a batch of two: an index for each row. */
START_TEST(fixed_indices_are_lifted)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, 2, 4);
    tb_input(&t, "i", HN_I64, 1, 2);
    tb_floats(&t, "table", 2, 5, 3);
    tb_floats(&t, "w", 2, 7, 2);
    tb_node(&t, "Gather", "table i", "e", NULL);
    tb_node(&t, "Concat", "x e", "h", "axis=1");
    tb_node(&t, "MatMul", "h w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,2]");
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    tb_close(&t);
}
END_TEST

/* Integers of rank 1 alone: an index for each of k rows where the outputs are k rows too, else one row. */
static void lists_alone(int mean, int k, int keep, const char *shape)
{
    const struct hn_graph_opts opts = { .keep_fixed_batch = keep };
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "i", HN_I64, 1, k);
    tb_input(&t, "j", HN_I32, 1, k);
    tb_floats(&t, "table", 2, 5, 3);
    tb_floats(&t, "w", 2, 3, 2);
    tb_node(&t, "Gather", "table i", "u", NULL);
    tb_node(&t, "Gather", "table j", "v", NULL);
    tb_node(&t, "Mul", "u v", "m", NULL);
    if (mean) tb_node(&t, "ReduceMean", "m", "s", "axes=0, keepdims=0");
    tb_node(&t, "MatMul", mean ? "s w" : "m w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, &opts);
    ck_assert_str_eq(tb_shape(&t, "y"), shape);
    ck_assert_int_eq(t.g->fixed_batch, mean ? 1 : k);
    ck_assert_int_eq(t.g->batch_lifted, !keep && !mean);
    ck_assert_int_eq(t.g->batch_lists, !keep && !mean);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err),
                     t.g->batch_lifted ? HONE_OK : HONE_E_UNSUPPORTED);
    tb_close(&t);
}

START_TEST(lists_of_indices_alone_are_lifted)
{
    lists_alone(0, 1, 0, "[N,2]");
    lists_alone(0, 3, 0, "[N,2]");
    lists_alone(0, 3, 1, "[3,2]");
    lists_alone(1, 1, 0, "[2]");
    lists_alone(1, 3, 0, "[2]");
}
END_TEST

/* Where(i < 0, i + 5, i) on the way to a table of 5 is i, which an Embedding counts from the end itself; of another table not. */
START_TEST(indices_from_the_end)
{
    for (int rows = 5; rows < 7; rows++) {
        struct tb t;
        tb_open(&t, 13);
        tb_input(&t, "i", HN_I64, 1, -1);
        tb_ints(&t, "zero", 1, 0);
        tb_ints(&t, "n", 1, 5);
        tb_floats(&t, "table", 2, rows, 3);
        tb_node(&t, "Less", "i zero", "less", NULL);
        tb_node(&t, "Add", "i n", "moved", NULL);
        tb_node(&t, "Where", "less moved i", "at", NULL);
        tb_node(&t, "Gather", "table at", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
        struct hn_program *p = tb_lower(&t, NULL);
        ck_assert_int_eq(p->n_ops == 1, rows == 5);
        const double at[] = { -1, 4, -5, 0 }, *in[] = { at };
        double *y = tb_run(&t, p, 4, in);
        for (int k = 0; k < 3; k++) {
            ck_assert_double_eq(y[k], y[3 + k]);
            ck_assert_double_eq(y[6 + k], y[9 + k]);
            ck_assert_double_ne(y[k], y[6 + k]);
        }
        hn_free(&t.mem, y);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

START_TEST(baked_batch_is_named)
{
    struct tb t;
    dense_net(&t, 2, "Mix");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->fixed_batch, 2);
    ck_assert_int_eq(t.g->batch_lifted, 0);
    ck_assert_str_eq(tb_shape(&t, "y"), "[1,2]");
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_str_eq(t.err.where, "flat");
    ck_assert_ptr_nonnull(strstr(t.err.text, "batch size 2 is baked"));
    ck_assert_ptr_nonnull(strstr(t.err.hint, "dynamic"));
    tb_close(&t);
}
END_TEST

START_TEST(an_unknown_operator_does_not_bake)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, 1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_node(&t, "MatMul", "x w", "y", NULL);
    tb_node(&t, "Conv", "y w", "z", NULL);
    tb_output(&t, "z");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "operator Conv is not supported"));
    tb_close(&t);
}
END_TEST

/* A model of one row [4] runs on rows: x W and W x, biases, element-wise ops. */
START_TEST(single_rows_get_a_batch)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 1, 4);
    tb_floats(&t, "w0", 2, 3, 4);
    tb_floats(&t, "b0", 1, 3);
    tb_floats(&t, "w1", 2, 3, 2);
    tb_node(&t, "MatMul", "w0 x", "h", NULL);
    tb_node(&t, "Add", "h b0", "g", NULL);
    tb_node(&t, "Relu", "g", "r", NULL);
    tb_node(&t, "MatMul", "r w1", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_str_eq(tb_shape(&t, "y"), "[N,2]");
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    struct hn_program *p = tb_lower(&t, NULL);
    double x[8] = { 0.1, -0.2, 0.3, 0.4, 1, 2, 3, 4 };
    const double *in = x, *second = x + 4;
    double *both = tb_run(&t, p, 2, &in), *one = tb_run(&t, p, 1, &second);
    ck_assert(both[2] == one[0] && both[3] == one[1]);
    const struct hn_tensor *w0 = tb_value(&t, "w0")->constant, *b0 = tb_value(&t, "b0")->constant;
    const struct hn_tensor *w1 = tb_value(&t, "w1")->constant;
    double want = 0;
    for (int j = 0; j < 3; j++) {
        double h = hn_tensor_f64(b0, j);
        for (int i = 0; i < 4; i++) h += hn_tensor_f64(w0, j * 4 + i) * second[i];
        want += (h > 0 ? h : 0) * hn_tensor_f64(w1, j * 2 + 1);
    }
    ck_assert_double_eq_tol(one[1], want, 1e-12);
    hn_free(&t.mem, both);
    hn_free(&t.mem, one);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(no_batch_at_all)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_ints(&t, "to", 2, 1, 4);
    tb_node(&t, "Reshape", "x to", "row", NULL);
    tb_node(&t, "MatMul", "row w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_str_eq(tb_shape(&t, "y"), "[1,2]");
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "no batch dimension"));
    tb_close(&t);
}
END_TEST

START_TEST(only_the_first_dim_may_be_open)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 3, -1, -1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_node(&t, "MatMul", "x w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "'x': dimension 1 is open"));
    tb_close(&t);
}
END_TEST

START_TEST(an_input_beyond_counting)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 4, -1, 2000000000, 2000000000, 2000000000);
    tb_node(&t, "Relu", "x", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_BUDGET);
    ck_assert_ptr_nonnull(strstr(t.err.text, "'x'"));
    tb_close(&t);
}
END_TEST

START_TEST(opset_range)
{
    static const int64_t versions[] = { 6, 7, 24, 25 };
    for (int i = 0; i < 4; i++) {
        struct tb t;
        tb_open(&t, versions[i]);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        tb_node(&t, "Relu", "x", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(hn_graph_blocked(t.g, 0, NULL), i == 0 ? HONE_E_UNSUPPORTED : HONE_OK);
        ck_assert_int_eq(tb_issue(&t, "opset") != NULL, i == 0 || i == 3);
        tb_close(&t);
    }
}
END_TEST

#define COUNT(list) (int)(sizeof list / sizeof *list)
HN_TEST_MAIN("infer", tcase_add_test(tc, flatten_by_shape_arithmetic);
             tcase_add_test(tc, halves_by_shape_arithmetic);
             tcase_add_loop_test(tc, reshape_forms, 0, COUNT(reshapes));
             tcase_add_loop_test(tc, shapes, 0, COUNT(shape_cases));
             tcase_add_loop_test(tc, slice_forms, 0, COUNT(slices));
             tcase_add_test(tc, constants_fold); tcase_add_test(tc, a_bomb_is_no_constant);
             tcase_add_test(tc, fixed_batch_is_lifted); tcase_add_test(tc, fixed_batch_can_be_kept);
             tcase_add_test(tc, batch_in_a_reshape_is_lifted);
             tcase_add_test(tc, lists_of_indices_alone_are_lifted);
             tcase_add_test(tc, fixed_indices_are_lifted); tcase_add_test(tc, fixed_row_is_lifted);
             tcase_add_test(tc, types_of_a_concat); tcase_add_test(tc, baked_batch_is_named);
             tcase_add_test(tc, indices_from_the_end);
             tcase_add_test(tc, an_unknown_operator_does_not_bake);
             tcase_add_test(tc, single_rows_get_a_batch); tcase_add_test(tc, no_batch_at_all);
             tcase_add_test(tc, only_the_first_dim_may_be_open);
             tcase_add_test(tc, an_input_beyond_counting); tcase_add_test(tc, opset_range);)
