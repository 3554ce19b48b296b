/* SPDX-License-Identifier: MIT
 *
 * Parameters and their uses: what learns and why, ties and values merged by an exporter, verdicts, training forms,
 * patterns, outputs. */
#include "tests/graph/build.h"

/* x [N,4] → (x - mean) / std → Gemm → Relu → MatMul + Add → y [N,3] */
static void normalised_net(struct tb *t)
{
    tb_open(t, 13);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "mean", 1, 4);
    tb_floats(t, "std", 1, 4);
    tb_floats(t, "fc1.weight", 2, 8, 4);
    tb_floats(t, "fc1.bias", 1, 8);
    tb_floats(t, "fc2.weight", 2, 8, 3);
    tb_floats(t, "fc2.bias", 2, 1, 3);
    tb_node(t, "Sub", "x mean", "centred", NULL);
    tb_node(t, "Div", "centred std", "scaled", NULL);
    tb_node(t, "Gemm", "scaled fc1.weight fc1.bias", "h", "transB=1");
    tb_node(t, "Relu", "h", "r", NULL);
    tb_node(t, "MatMul", "r fc2.weight", "mm", NULL);
    tb_node(t, "Add", "fc2.bias mm", "logits", NULL);
    tb_node(t, "Softmax", "logits", "y", "axis=1");
    tb_output(t, "y");
}

START_TEST(defaults)
{
    struct tb t;
    normalised_net(&t);
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_is_trained(&t, "mean"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "std"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "fc1.weight"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "fc1.bias"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "fc2.weight"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "fc2.bias"), 1);
    ck_assert_int_eq(tb_verdict(&t, "centred"), HN_FROZEN);
    ck_assert_int_eq(tb_verdict(&t, "scaled"), HN_FROZEN);
    ck_assert_int_eq(tb_verdict(&t, "mm"), HN_TRAIN);
    ck_assert_int_eq(tb_verdict(&t, "y"), HN_TRAIN);
    struct hn_output_info o;
    hn_graph_output(t.g, 0, &o);
    ck_assert(o.trainable && o.computable && !o.derived && o.tail == HN_TAIL_SOFTMAX &&
              o.per_row == 3);
    tb_close(&t);
}
END_TEST

START_TEST(globs_and_hints)
{
    static const char *const freeze[] = { "fc1.*" }, *const train[] = { "std" };
    struct hn_graph_opts opts = { .freeze = freeze, .n_freeze = 1, .train = train, .n_train = 1 };
    struct tb t;
    normalised_net(&t);
    t.g->values[hn_graph_find(t.g, "mean")].hint = HN_HINT_PARAMETER;
    t.g->values[hn_graph_find(t.g, "fc2.bias")].hint = HN_HINT_BUFFER;
    tb_finish(&t, &opts);
    ck_assert_int_eq(tb_is_trained(&t, "mean"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "std"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "fc1.weight"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "fc1.bias"), 0);
    ck_assert_int_eq(tb_is_trained(&t, "fc2.weight"), 1);
    ck_assert_int_eq(tb_is_trained(&t, "fc2.bias"), 0);
    ck_assert_int_eq(tb_verdict(&t, "centred"), HN_TRAIN);
    tb_close(&t);
}
END_TEST

START_TEST(all_frozen_is_nothing_to_train)
{
    static const char *const freeze[] = { "*" };
    struct hn_graph_opts opts = { .freeze = freeze, .n_freeze = 1 };
    struct tb t;
    normalised_net(&t);
    tb_finish(&t, &opts);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_OK);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "nothing to train"));
    tb_close(&t);
}
END_TEST

START_TEST(initialisation_facts)
{
    struct tb t;
    normalised_net(&t);
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_str_eq(p->params[0].name, "fc1.weight");
    ck_assert(p->params[0].fan_in == 4 && p->params[0].fan_out == 8 &&
              p->params[0].feeds == HN_U_RELU);
    ck_assert_str_eq(p->params[1].name, "fc1.bias");
    ck_assert(p->params[1].fan_in == 4 && p->params[1].flags == (HN_PARAM_TRAINED | HN_PARAM_BIAS));
    ck_assert_str_eq(p->params[2].name, "fc2.weight");
    ck_assert(p->params[2].fan_in == 8 && p->params[2].fan_out == 3 && p->params[2].feeds == -1);
    ck_assert_str_eq(p->params[3].name, "fc2.bias");
    ck_assert(p->params[3].fan_in == 8 && p->params[3].rank == 2 && p->params[3].dims[1] == 3);
    ck_assert_int_eq(p->params[2].tensor_id, tb_value(&t, "fc2.weight")->tensor_id);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* ---- ties ------------------------------------------------------------------------------------------------------------- */

START_TEST(a_tie_is_two_uses)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 4);
    tb_floats(&t, "b", 1, 4);
    tb_node(&t, "Gemm", "x w b", "h", NULL);
    tb_node(&t, "Tanh", "h", "a", NULL);
    tb_node(&t, "Transpose", "w", "wt", NULL);
    tb_node(&t, "Gemm", "a wt b", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    const struct hn_param_list *l = hn_graph_params(t.g);
    ck_assert_uint_eq(l->n_params, 2);
    ck_assert_uint_eq(l->n_uses, 4);
    ck_assert_int_eq(l->uses[0].trans, 0);
    ck_assert_int_eq(l->uses[2].param, l->uses[0].param);
    ck_assert_int_eq(l->uses[2].trans, 1);
    ck_assert_uint_eq(t.g->n_unties, 0);
    ck_assert_ptr_nonnull(tb_issue(&t, "'w' is used 2 times: it trains as one"));
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(p->n_params, 2);
    ck_assert_int_eq(tb_count_ops(p, "transpose"), 0);
    ck_assert_int_eq(((const struct hn_dense *)p->ops[2].attrs)->trans_w, 1);
    ck_assert_int_eq(p->ops[0].in[1], p->ops[2].in[1]);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

static int has_line(const struct tb *t, const char *line)
{
    for (size_t i = 0; i < t->g->n_unties; i++)
        if (strcmp(t->g->unties[i].line, line) == 0) return 1;
    return 0;
}

/* TorchScript: three zero biases became one and two Identity nodes; fresh BatchNormalization statistics too. */
START_TEST(identity_aliases_come_apart)
{
    struct tb t;
    tb_open(&t, 14);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w0", 2, 4, 4);
    tb_floats(&t, "w1", 2, 4, 4);
    tb_floats(&t, "bias", 1, 4);
    tb_floats(&t, "scale", 1, 4);
    tb_node(&t, "Identity", "bias", "other bias", NULL);
    hn_graph_add_node(t.g, "", "", "Identity", 1, 1, 0);
    t.g->nodes[1].in[0] = hn_graph_find(t.g, "bias");
    t.g->nodes[1].out[0] = hn_graph_value(t.g, "the \"mean\"");
    t.g->nodes[0].out[0] = hn_graph_value(t.g, "bias2");
    t.g->nodes[0].n_out = 1;
    tb_node(&t, "Identity", "scale", "var", NULL);
    tb_node(&t, "Gemm", "x w0 bias", "h", NULL);
    int32_t bn = tb_node(&t, "BatchNormalization", "h scale bias bias var", "n", NULL);
    t.g->nodes[bn].in[3] = hn_graph_find(t.g, "the \"mean\"");
    tb_node(&t, "Gemm", "n w1 bias2", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert(has_line(&t, "untie bias2"));
    ck_assert(has_line(&t, "untie var"));
    ck_assert(has_line(&t, "untie \"the \\\"mean\\\"\""));
    ck_assert_uint_eq(t.g->n_unties,
                      3); /* bias itself: bias of Gemm and of the normalisation, a tie by name */
    tb_close(&t);
}
END_TEST

/* dynamo: equal small tensors share a name; ORT: BatchNormalization (x, w, b, b, w). */
START_TEST(shared_names_come_apart)
{
    struct tb t;
    tb_open(&t, 17);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 1, 4);
    tb_floats(&t, "b", 1, 4);
    tb_set(&t, "w", 1);
    tb_set(&t, "b", 0);
    tb_node(&t, "BatchNormalization", "x w b b w", "n", NULL);
    tb_node(&t, "LayerNormalization", "n w b", "m", NULL);
    tb_output(&t, "m");
    tb_finish(&t, NULL);
    ck_assert_uint_eq(t.g->n_unties, 4);
    ck_assert(has_line(&t, "untie b n 3"));
    ck_assert(has_line(&t, "untie w n 4"));
    ck_assert(has_line(&t, "untie w m 1"));
    ck_assert(has_line(&t, "untie b m 2"));
    tb_close(&t);
}
END_TEST

/* ---- BatchNormalization and Dropout ----------------------------------------------------------------------------------- */

struct norm_case {
    const char *out, *attrs;
    int64_t opset;
    int constant_scale, needs_inference, mode, population;
};
static const struct norm_case norms[] = {
    { "n", NULL, 9, 0, 0, 0, 0 },
    { "n m v sm sv", NULL, 9, 0, 1, 2, 1 },
    { "n", "training_mode=0", 15, 0, 0, 0, 0 },
    { "n m v", "training_mode=1", 15, 0, 1, 2, 1 },
    { "n", "momentum=1.0", 13, 1, 0, 0, 0 },
};

START_TEST(batchnorm_forms)
{
    const struct norm_case *c = &norms[_i];
    struct tb t;
    tb_open(&t, c->opset);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 6);
    tb_floats(&t, "mean", 1, 6);
    tb_floats(&t, "var", 1, 6);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    if (c->constant_scale) {
        tb_constant(&t, "scale", 1, 6);
        tb_constant(&t, "bias", 1, 6);
    } else {
        tb_floats(&t, "scale", 1, 6);
        tb_floats(&t, "bias", 1, 6);
    }
    tb_node(&t, "BatchNormalization", "h scale bias mean var", c->out, c->attrs);
    tb_node(&t, "Relu", "n", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->needs_inference, c->needs_inference);
    ck_assert_int_eq(tb_is_trained(&t, "scale"), !c->constant_scale);
    ck_assert_int_eq(tb_is_trained(&t, "mean"), -1);
    for (int form = 0; form < 2; form++) { /* as trained; as verify runs the file's own form */
        struct hn_lower_opts opts = { .training_form = form };
        struct hn_program *p = tb_lower(&t, &opts);
        const struct hn_batchnorm *a = tb_op(p, "batchnorm")->attrs;
        ck_assert_int_eq(a->mode, form ? c->mode : 0);
        ck_assert_int_eq(a->population, form ? c->population : 0);
        ck_assert_int_eq(p->params[p->n_params - 2].flags, HN_PARAM_STATE);
        ck_assert_str_eq(p->params[p->n_params - 1].name, "var");
        hn_program_destroy(p, &t.mem);
    }
    struct hn_lower_opts opts = { .freeze_batchnorm = 1 };
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(((const struct hn_batchnorm *)tb_op(p, "batchnorm")->attrs)->mode, 1);
    ck_assert_int_eq(p->params[0].flags & HN_PARAM_TRAINED, HN_PARAM_TRAINED); /* w */
    ck_assert_int_eq(p->params[1].flags & HN_PARAM_TRAINED, 0);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* track_running_stats=False: the graph computes the statistics; the batch's own are the meaning. */
START_TEST(computed_statistics)
{
    struct tb t;
    tb_open(&t, 14);
    tb_input(&t, "x", HN_F32, 2, 2, 4);
    tb_floats(&t, "scale", 1, 4);
    tb_floats(&t, "bias", 1, 4);
    tb_ints(&t, "to", 2, 2, 4);
    tb_node(&t, "Reshape", "x to", "baked", NULL); /* would bake the batch in, if anybody read it */
    tb_node(&t, "ReduceMean", "baked", "mean", "axes=0,0 keepdims=0");
    tb_node(&t, "ReduceMean", "baked", "var", "axes=0,0 keepdims=0");
    tb_node(&t, "BatchNormalization", "x scale bias mean var", "y m v", "training_mode=1");
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(t.g->batch_lifted, 1);
    ck_assert_int_eq(t.g->needs_inference, 0);
    ck_assert_int_eq(tb_verdict(&t, "baked"), HN_CARRY);
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(((const struct hn_batchnorm *)tb_op(p, "batchnorm")->attrs)->mode, 2);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* keras2onnx: mean 0, variance 1, everything else in scale and bias. */
START_TEST(absorbed_statistics_are_said)
{
    for (int fresh = 0; fresh < 2; fresh++) {
        struct tb t;
        tb_open(&t, 11);
        tb_input(&t, "x", HN_F32, 2, -1, 4);
        tb_floats(&t, "scale", 1, 4);
        tb_floats(&t, "bias", 1, 4);
        tb_floats(&t, "mean", 1, 4);
        tb_floats(&t, "var", 1, 4);
        tb_set(&t, "mean", 0);
        tb_set(&t, "var", 1);
        if (fresh) tb_set(&t, "scale", 1);
        tb_node(&t, "BatchNormalization", "x scale bias mean var", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        const struct hn_issue *it = tb_issue(&t, "folded the statistics");
        ck_assert_int_eq(it != NULL, !fresh);
        ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
        tb_close(&t);
    }
}
END_TEST

START_TEST(dropout_forms)
{
    static const struct {
        int64_t opset;
        const char *in, *attrs;
        double rate;
        int needs_inference, refused;
    } cases[] = {
        { 7, "x", "ratio=0.25", 0.25, 0, 0 },
        { 10, "x", NULL, 0.5, 0, 0 },
        { 12, "x ratio", NULL, (double)0.3f, 0, 0 },
        { 12, "x - on", NULL, 0.5, 1, 0 },
        { 13, "x ratio on", NULL, (double)0.3f, 1, 0 },
        { 22, "x ratio off", "seed=3", (double)0.3f, 0, 0 },
        { 13, "x one", NULL, 0, 0, 1 },
        { 13, "x z", NULL, 0, 0, 1 },
        { 13, "x ratio z", NULL, (double)0.3f, 1, 0 }, /* a graph input says whether it is on */
    };
    struct tb t;
    tb_open(&t, cases[_i].opset);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_input(&t, "z", HN_F32, 0);
    tb_number(&t, "ratio", 0.3);
    tb_number(&t, "on", 1);
    tb_number(&t, "off", 0);
    tb_number(&t, "one", 1);
    tb_floats(&t, "w", 2, 4, 2);
    tb_node(&t, "Dropout", cases[_i].in, "d mask", cases[_i].attrs);
    tb_node(&t, "MatMul", "d w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err) != HONE_OK, cases[_i].refused);
    if (!cases[_i].refused) {
        ck_assert_int_eq(t.g->needs_inference, cases[_i].needs_inference);
        struct hn_lower_opts opts = { .part = HN_PART_HEAD };
        struct hn_program *p = tb_lower(&t, NULL), *head = tb_lower(&t, &opts);
        const struct hn_dropout *a = tb_op(p, "dropout")->attrs;
        ck_assert(a->rate == cases[_i].rate && a->stream == HN_STREAM_DROPOUT + 0);
        ck_assert_ptr_null(head); /* chance belongs to the body */
        hn_program_destroy(p, &t.mem);
    }
    tb_close(&t);
}
END_TEST

START_TEST(a_used_mask_is_refused)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 4);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "Dropout", "h", "y mask", NULL);
    tb_output(&t, "y");
    tb_output(&t, "mask");
    tb_finish(&t, NULL);
    struct hn_output_info o;
    hn_graph_output(t.g, 1, &o);
    ck_assert(!o.computable && !o.trainable);
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(p->n_outputs, 1);
    ck_assert_str_eq(p->output_names[0], "y");
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* ---- tails, refusals --------------------------------------------------------------------------------------------------- */

/* A loop between the parameters and the output is refused with what does without one; another operator without that. */
START_TEST(loops_are_refused_with_another_way)
{
    static const char *const types[] = { "Loop", "SequenceEmpty", "NonZero" };
    for (int i = 0; i < 3; i++) {
        struct tb t;
        tb_open(&t, 17);
        tb_input(&t, "x", HN_F32, 2, -1, 3);
        tb_floats(&t, "w", 2, 3, 2);
        tb_node(&t, types[i], "x", "h", NULL);
        tb_node(&t, "MatMul", "h w", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(t.err.text, types[i]));
        ck_assert_int_eq(strstr(t.err.hint, "nn.EmbeddingBag") != NULL, i < 2);
        tb_close(&t);
    }
}
END_TEST

START_TEST(unknown_tail_is_carried_unknown_body_refused)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "Softmax", "h", "p", NULL);
    tb_node(&t, "ArgMax", "p", "label", "axis=1");
    tb_node(&t, "Hardmax", "p", "wave", NULL); /* a float output, but behind the loss point */
    tb_output(&t, "p");
    tb_output(&t, "label");
    tb_output(&t, "wave");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    ck_assert_int_eq(tb_verdict(&t, "label"), HN_FROZEN);
    ck_assert_int_eq(tb_verdict(&t, "wave"), HN_CARRY);
    tb_close(&t);

    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_node(&t, "Hardmax", "x", "s", NULL);
    tb_node(&t, "MatMul", "s w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(tb_verdict(&t, "s"), HN_REFUSE);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_str_eq(t.err.where, "s");
    tb_close(&t);
}
END_TEST

START_TEST(dead_branches_are_carried)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_floats(&t, "dead", 2, 2, 2);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "MatMul", "h dead", "d", NULL);
    tb_node(&t, "Hardmax", "d", "e", NULL);
    tb_node(&t, "Shape", "d", "s", NULL);
    tb_node(&t, "Expand", "h s", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_OK);
    ck_assert_int_eq(tb_verdict(&t, "d"), HN_CARRY);
    ck_assert_int_eq(tb_verdict(&t, "e"), HN_CARRY);
    ck_assert_int_eq(tb_verdict(&t, "y"), HN_VIEW);
    ck_assert_int_eq(tb_is_trained(&t, "dead"), -1);
    tb_close(&t);
}
END_TEST

START_TEST(named_refusals)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "DynamicQuantizeLinear", "x", "y s z", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "quantised"));
    ck_assert_str_ne(t.err.hint, "");
    tb_close(&t);

    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 2);
    tb_doubles(&t, "v", 2, 2, 2);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, "Cast", "h", "d", "to=11");
    tb_node(&t, "MatMul", "d v", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 1, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(t.err.text, "float64 is wanted for all"));
    tb_close(&t);
}
END_TEST

/* ---- patterns --------------------------------------------------------------------------------------------------------- */

struct pattern_case {
    const char *nodes[14]; /* "Type|in|out|attrs" */
    int kind;
};
static const struct pattern_case patterns[] = {
    { { "Div|x sqrt2|a|", "Erf|a|b|", "Add|b one|c|", "Mul|x c|d|", "Mul|d half|y|" }, HN_U_GELU },
    { { "Div|x sqrt2|a|", "Erf|a|b|", "Add|b one|c|", "Mul|half c|d|", "Mul|x d|y|" }, HN_U_GELU },
    { { "Mul|x rsqrt2|a|", "Erf|a|b|", "Add|one b|c|", "Mul|x half|d|", "Mul|d c|y|" }, HN_U_GELU },
    { { "Mul|x x|a|", "Mul|x a|b|", "Mul|small b|c|", "Add|x c|d|", "Mul|root d|e|", "Tanh|e|f|",
        "Add|one f|g|", "Mul|x g|h|", "Mul|half h|y|" },
      HN_U_GELU_TANH },
    { { "Pow|x three|b|", "Mul|b small|c|", "Add|x c|d|", "Mul|d root|e|", "Tanh|e|f|",
        "Add|f one|g|", "Mul|half g|h|", "Mul|h x|y|" },
      HN_U_GELU_TANH },
    { { "Sigmoid|x|a|", "Mul|x a|y|" }, HN_U_SILU },
    { { "Softplus|x|a|", "Tanh|a|b|", "Mul|b x|y|" }, HN_U_MISH },
    { { "Softplus|x|a|", "Greater|x twenty|b|", "Where|b x a|y|" }, HN_U_SOFTPLUS },
    { { "Div|x half|a|", "Erf|a|b|", "Add|b one|c|", "Mul|x c|d|", "Mul|d half|y|" },
      -1 }, /* not sqrt 2 */
    { { "Sigmoid|x|a|", "Mul|a a|y|" }, -1 },
    { { "Max|x zero|y|" }, HN_U_RELU }, /* how jax2onnx says Relu */
};

static void add_lines(struct tb *t, const char *const *lines)
{
    for (; *lines; lines++) {
        char text[256], *save;
        snprintf(text, sizeof text, "%s", *lines);
        char *type = strtok_r(text, "|", &save), *in = strtok_r(NULL, "|", &save),
             *out = strtok_r(NULL, "|", &save);
        tb_node(t, type, in, out, strtok_r(NULL, "|", &save));
    }
}

static void pattern_graph(struct tb *t, const char *const *lines)
{
    tb_open(t, 13);
    tb_input(t, "in", HN_F32, 2, -1, 4);
    tb_floats(t, "w", 2, 4, 4);
    tb_number(t, "zero", 0), tb_number(t, "one", 1), tb_number(t, "half", 0.5),
        tb_number(t, "sqrt2", 1.4142135381698608);
    tb_number(t, "rsqrt2", 0.7071067690849304), tb_number(t, "small", 0.044714998453855515);
    tb_number(t, "root", 0.7978845834732056), tb_number(t, "three", 3), tb_number(t, "two", 2),
        tb_number(t, "twenty", 20);
    tb_number(t, "eps", 1e-5);
    tb_node(t, "MatMul", "in w", "x", NULL);
    add_lines(t, lines);
}

START_TEST(patterns_collapse)
{
    const struct pattern_case *c = &patterns[_i];
    struct tb t;
    pattern_graph(&t, c->nodes);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, NULL);
    if (c->kind < 0) {
        ck_assert_int_gt(p->n_ops, 2);
    } else {
        ck_assert_int_eq(p->n_ops, 2);
        ck_assert_str_eq(p->ops[1].row->name, "unary");
        ck_assert_int_eq(((const struct hn_unary *)p->ops[1].attrs)->kind,
                         (enum hn_unary_kind)c->kind);
    }
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* A value inside that somebody else sees keeps the whole as it is. */
START_TEST(patterns_keep_what_is_seen)
{
    for (int by_output = 0; by_output < 2; by_output++) {
        struct tb t;
        pattern_graph(&t, patterns[5].nodes);
        tb_node(&t, "Neg", "a", "z", NULL);
        tb_output(&t, "y");
        tb_output(&t, by_output ? "a" : "z");
        tb_finish(&t, NULL);
        struct hn_program *p = tb_lower(&t, NULL);
        ck_assert_int_eq(tb_count_ops(p, "binary"), 1);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

START_TEST(layer_normalisation_collapses)
{
    static const char *const lines[] = { "ReduceMean|x|m|axes=-1,",
                                         "Sub|x m|c|",
                                         "Pow|c two|s|",
                                         "ReduceMean|s|v|axes=-1,",
                                         "Add|v eps|e|",
                                         "Sqrt|e|r|",
                                         "Div|c r|n|",
                                         "Mul|n scale|a|",
                                         "Add|a bias|y|",
                                         NULL };
    struct tb t;
    pattern_graph(&t, lines);
    tb_floats(&t, "scale", 1, 4);
    tb_floats(&t, "bias", 1, 4);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(p->n_ops, 2);
    const struct hn_layernorm *a = tb_op(p, "layernorm")->attrs;
    ck_assert_int_eq(a->axes, 1);
    ck_assert_double_eq_tol(a->eps, 1e-5, 1e-11);
    ck_assert_int_eq(tb_is_trained(&t, "scale"), 1);
    ck_assert_int_eq(p->params[2].flags, HN_PARAM_TRAINED | HN_PARAM_NORM | HN_PARAM_STARTS);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

#define COUNT(list) (int)(sizeof list / sizeof *list)

HN_TEST_MAIN("params", tcase_add_test(tc, defaults); tcase_add_test(tc, globs_and_hints);
             tcase_add_test(tc, all_frozen_is_nothing_to_train);
             tcase_add_test(tc, initialisation_facts); tcase_add_test(tc, a_tie_is_two_uses);
             tcase_add_test(tc, identity_aliases_come_apart);
             tcase_add_test(tc, shared_names_come_apart);
             tcase_add_loop_test(tc, batchnorm_forms, 0, COUNT(norms));
             tcase_add_test(tc, computed_statistics);
             tcase_add_test(tc, absorbed_statistics_are_said);
             tcase_add_loop_test(tc, dropout_forms, 0, 9);
             tcase_add_test(tc, a_used_mask_is_refused);
             tcase_add_test(tc, loops_are_refused_with_another_way);
             tcase_add_test(tc, unknown_tail_is_carried_unknown_body_refused);
             tcase_add_test(tc, dead_branches_are_carried); tcase_add_test(tc, named_refusals);
             tcase_add_loop_test(tc, patterns_collapse, 0, COUNT(patterns));
             tcase_add_test(tc, patterns_keep_what_is_seen);
             tcase_add_test(tc, layer_normalisation_collapses);)
