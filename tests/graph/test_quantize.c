/* SPDX-License-Identifier: MIT
 *
 * Quantised models in QDQ form: what is a weight, what is one rounding, what is refused. */
#include "ops/base/quant.h"
#include "tests/graph/build.h"

static int8_t eights[64];
static struct hn_tensor tensors[16];
static int n_tensors;

/* An initializer of small whole numbers: -3, 4, -3, … */
static void whole(struct tb *t, const char *name, enum hn_dtype dtype, int rank, int a, int b)
{
    struct hn_tensor *x = &tensors[n_tensors];
    static int32_t wide[64];
    *x = (struct hn_tensor){ dtype, rank, { a, b }, rank == 0 ? 1 : rank == 1 ? a : a * b, NULL };
    for (int i = 0; i < 64; i++) eights[i] = i % 2 ? 4 : -3, wide[i] = i % 2 ? 40 : -30;
    x->data = dtype == HN_I32 ? (const void *)wide : eights;
    n_tensors++;
    const int32_t v = hn_graph_value(t->g, name);
    t->g->values[v].is_initializer = 1;
    t->g->values[v].constant = x;
    t->g->values[v].tensor_id = 100 + n_tensors;
}

static void start(struct tb *t)
{
    n_tensors = 0;
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_number(t, "s", 0.5);
    tb_number(t, "big", 2);
}

/* x → QDQ → Gemm(int8 weight, int32 bias) → QDQ → y */
static void layer(struct tb *t)
{
    start(t);
    whole(t, "w", HN_I8, 2, 3, 4);
    whole(t, "b", HN_I32, 1, 3, 0);
    tb_node(t, "DequantizeLinear", "w s", "wf", NULL);
    tb_node(t, "DequantizeLinear", "b s", "bf", NULL);
    tb_node(t, "QuantizeLinear", "x s", "xq", NULL);
    tb_node(t, "DequantizeLinear", "xq s", "xf", NULL);
    tb_node(t, "Gemm", "xf wf bf", "h", "transB=1");
    tb_node(t, "QuantizeLinear", "h big", "hq", NULL);
    tb_node(t, "DequantizeLinear", "hq big", "y", NULL);
    tb_output(t, "y");
}

static const struct hn_param *param(const struct hn_program *p, const char *name)
{
    for (int i = 0; i < p->n_params; i++)
        if (strcmp(p->params[i].name, name) == 0) return &p->params[i];
    ck_abort_msg("no parameter %s", name);
}

START_TEST(weights_are_rounded_where_they_are_used)
{
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    layer(&t);
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "b"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "s"), -1);
    ck_assert_int_eq(tb_verdict(&t, "wf"), HN_FOLDED);
    ck_assert_int_eq(tb_verdict(&t, "xq"), HN_FROZEN);
    ck_assert_int_eq(tb_verdict(&t, "xf"), HN_VIEW);
    ck_assert_int_eq(tb_verdict(&t, "hq"), HN_TRAIN);
    ck_assert_int_eq(tb_verdict(&t, "y"), HN_VIEW);
    ck_assert_int_ge(hn_graph_quantized(t.g), 0);
    ck_assert_double_eq(hn_graph_step(t.g, t.g->outputs[0]), 2);
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(tb_count_ops(p, "quantize"), 4); /* input, weight, bias, output */
    ck_assert_int_eq(tb_count_ops(p, "dense"), 1);
    ck_assert_int_eq(p->n_ops, 5);
    ck_assert_int_eq(param(p, "w")->stored->dtype, HN_I8);
    ck_assert_int_eq(param(p, "b")->stored->dtype, HN_I32);
    ck_assert(param(p, "b")->flags & HN_PARAM_BIAS);
    ck_assert_double_eq(param(p, "w")->fan_in, 4);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* By hand: rounded inputs, weights -1.5 and 2, bias -15 and 20, the result in steps of 2 from uint8. */
START_TEST(values)
{
    const double x[4] = { 0.24, 0.26, -7, 200 }, *in[] = { x };
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    layer(&t);
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    double *y = tb_run(&t, p, 1, in);
    /* inputs 0, 0.5, 0, 127.5 (uint8 from 0 on): 0.5 * 2 + 127.5 * 2 = 256 in each unit, less 15 or plus 20; 241 is between 240 and
     * 242, which is nearer to none, and 120 is even */
    ck_assert_double_eq(y[0], 240);
    ck_assert_double_eq(y[1], 276);
    ck_assert_double_eq(y[2], 240);
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* Scales by rows of the file's matrix are scales by columns of its transpose. */
START_TEST(axis_follows_a_transpose)
{
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    start(&t);
    whole(&t, "w", HN_I8, 2, 3, 4);
    tb_floats(&t, "by", 1, 3);
    tb_node(&t, "Transpose", "w", "wt", NULL);
    tb_node(&t, "DequantizeLinear", "wt by", "wf", "axis=1");
    tb_node(&t, "MatMul", "x wf", "y", NULL);
    tb_output(&t, "y");
    tb_set(&t, "by", 0.25);
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    const struct hn_op *q = tb_op(p, "quantize"), *dense = tb_op(p, "dense");
    ck_assert_int_eq(((const struct hn_quantize *)q->attrs)->axis, 0);
    ck_assert_int_eq(((const struct hn_dense *)dense->attrs)->trans_w, 1);
    ck_assert_int_eq(param(p, "w")->stored->axis, 0);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* Quantisation-aware training exports floats with the rounding in the graph. */
START_TEST(weights_in_floats)
{
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    start(&t);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "QuantizeLinear", "w s", "wq", NULL);
    tb_node(&t, "DequantizeLinear", "wq s", "wf", NULL);
    tb_node(&t, "MatMul", "x wf", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "w"), 1);
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_ptr_null(param(p, "w")->stored);
    ck_assert_int_eq(tb_count_ops(p, "quantize"), 1);
    ck_assert_double_eq(((const struct hn_quantize *)tb_op(p, "quantize")->attrs)->high, 255);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* Other scales on the way back: whole numbers in between, written out. A gradient still passes. */
START_TEST(halves_that_do_not_match)
{
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    const double x[4] = { 1, 2, 0, 0 }, *in[] = { x };
    start(&t);
    tb_floats(&t, "w", 2, 4, 2);
    tb_set(&t, "w", 1);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "QuantizeLinear", "h s", "hq", NULL);
    tb_node(&t, "DequantizeLinear", "hq big", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    ck_assert_int_eq(tb_verdict(&t, "y"), HN_TRAIN);
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(((const struct hn_quantize *)tb_op(p, "quantize")->attrs)->whole, 1);
    double *y = tb_run(&t, p, 1, in);
    ck_assert_double_eq(y[0], 12); /* 3 is 6 halves, and these twos */
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* A Softmax that is rounded is a Softmax for the loss. */
START_TEST(a_tail_is_seen_through_its_rounding)
{
    struct tb t;
    struct hn_output_info info;
    start(&t);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "Softmax", "h", "p", NULL);
    tb_node(&t, "QuantizeLinear", "p s", "pq", NULL);
    tb_node(&t, "DequantizeLinear", "pq s", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    hn_graph_output(t.g, 0, &info);
    ck_assert_int_eq(info.tail, HN_TAIL_SOFTMAX);
    ck_assert_int_eq(info.trainable, 1);
    tb_close(&t);
}
END_TEST

/* ONNX Runtime leaves a Relu out where the range begins at 0: Dropout that is asked for finds its place. */
START_TEST(a_relu_inside_the_rounding)
{
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = 0.5, .insert_dropout = 1 };
    start(&t);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "v", 2, 3, 2);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "QuantizeLinear", "h s", "hq", NULL);
    tb_node(&t, "DequantizeLinear", "hq s", "hf", NULL);
    tb_node(&t, "MatMul", "hf v", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(tb_count_ops(p, "dropout"), 1);
    ck_assert_int_eq(param(p, "w")->feeds, HN_U_RELU);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* Running statistics behind a DequantizeLinear are what it makes of them, and nothing is written into the whole numbers. */
START_TEST(statistics_in_whole_numbers)
{
    struct tb t;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    start(&t);
    tb_floats(&t, "w", 2, 4, 3);
    tb_floats(&t, "scale", 1, 3);
    tb_floats(&t, "bias", 1, 3);
    tb_floats(&t, "mean", 1, 3);
    whole(&t, "vq", HN_I32, 1, 3, 0);
    tb_node(&t, "DequantizeLinear", "vq s", "var", NULL);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "BatchNormalization", "h scale bias mean var", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    const struct hn_issue *issue = tb_issue(&t, "the running variance 'var'");
    ck_assert_ptr_nonnull(issue);
    ck_assert_int_eq(issue->severity, HN_WARNING);
    struct hn_program *p = tb_lower(&t, &opts);
    const struct hn_param *mean = param(p, "mean"), *var = param(p, "var");
    ck_assert_int_ge(mean->tensor_id, 0);
    ck_assert_int_lt(var->tensor_id, 0);
    ck_assert_double_eq(hn_tensor_f64(var->init, 0), -15); /* -30 of scale 0.5 */
    ck_assert_double_eq(hn_tensor_f64(var->init, 1), 20);
    ck_assert_int_eq(((const struct hn_batchnorm *)tb_op(p, "batchnorm")->attrs)->mode, 1);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* One node on x (or on int8 w) as the whole model: refused with these words. */
static void refused(const char *type, const char *in, const char *attrs, const char *words)
{
    struct tb t;
    start(&t);
    whole(&t, "w", HN_I8, 2, 3, 4);
    whole(&t, "z8", HN_I8, 0, 0, 0);
    whole(&t, "z32", HN_I32, 0, 0, 0);
    tb_number(&t, "none", 0);
    tb_floats(&t, "two", 1, 2);
    tb_floats(&t, "blocks", 2, 3, 2);
    tb_set(&t, "two", 1);
    tb_set(&t, "blocks", 1);
    tb_node(&t, "Abs", "x", "ax", NULL);
    tb_node(&t, "ReduceMax", "ax", "most", "keepdims=0");
    tb_node(&t, type, in, "v", attrs);
    tb_node(&t, "MatMul", "x v", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_ne(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_msg(strstr(t.err.text, words) != NULL, "%s: '%s'", words, t.err.text);
    tb_close(&t);
}

START_TEST(refusals)
{
    refused("QuantizeLinear", "x most", NULL, "dynamic quantisation");
    refused("QuantizeLinear", "x none", NULL, "scale 0 is 0, wanted a number above 0");
    refused("DequantizeLinear", "w s z32", NULL, "'z32' is int32, wanted int8");
    refused("DequantizeLinear", "w blocks", NULL, "by blocks");
    refused("DequantizeLinear", "w two", "axis=1", "2 scales do not go by dimension 1");
    refused("DequantizeLinear", "w s", "axis=1 block_size=2", "");
    refused("DequantizeLinear", "x s", NULL, "wanted int8, uint8");
    refused("QLinearMatMul", "x s z8 w s z8 s z8", NULL, "computes with whole numbers");
    refused("MatMulInteger", "w w", NULL, "computes with whole numbers");
}
END_TEST

/* Whole numbers as an output are computed; there is no loss on them. */
START_TEST(an_output_of_whole_numbers)
{
    struct tb t;
    struct hn_output_info info;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1, .labels = 1 };
    const double x[4] = { 1, 2, 0, 0 }, *in[] = { x };
    start(&t);
    tb_floats(&t, "w", 2, 4, 2);
    tb_set(&t, "w", 1);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "QuantizeLinear", "h s", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    hn_graph_output(t.g, 0, &info);
    ck_assert_int_eq(info.discrete, 1);
    ck_assert_int_eq(info.trainable, 0);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.hint, "DequantizeLinear"));
    struct hn_program *p = tb_lower(&t, &opts);
    double *y = tb_run(&t, p, 1, in);
    ck_assert_double_eq(y[0], 6);
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* One tensor that stands for two things: a program has one of them. */
START_TEST(shared_with_other_scales)
{
    struct tb t;
    start(&t);
    whole(&t, "w", HN_I8, 2, 4, 4);
    tb_node(&t, "DequantizeLinear", "w s", "a", NULL);
    tb_node(&t, "DequantizeLinear", "w big", "b", NULL);
    tb_node(&t, "MatMul", "x a", "h", NULL);
    tb_node(&t, "MatMul", "h b", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "stand for other values elsewhere"));
    tb_close(&t);
}
END_TEST

HN_TEST_MAIN("quantize", {
    tcase_add_test(tc, weights_are_rounded_where_they_are_used);
    tcase_add_test(tc, values);
    tcase_add_test(tc, axis_follows_a_transpose);
    tcase_add_test(tc, weights_in_floats);
    tcase_add_test(tc, halves_that_do_not_match);
    tcase_add_test(tc, a_tail_is_seen_through_its_rounding);
    tcase_add_test(tc, a_relu_inside_the_rounding);
    tcase_add_test(tc, statistics_in_whole_numbers);
    tcase_add_test(tc, an_output_of_whole_numbers);
    tcase_add_test(tc, refusals);
    tcase_add_test(tc, shared_with_other_scales);
})
