/* SPDX-License-Identifier: MIT
 *
 * What an output's last op is, also where a row is divided by its sum: for a Softmax that changes nothing, other numbers that are not
 * negative become shares, whose loss is taken from their logarithms. */
#include "tests/graph/build.h"

/* x [N,4] → Gemm → z [N,3] → what, one node a line: "Sigmoid z s -", with its attributes → y */
static void net(struct tb *t, const char *what)
{
    char text[512], *line, *rest = text;
    tb_open(t, 17);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_floats(t, "w", 2, 3, 4);
    tb_floats(t, "bias", 1, 3);
    tb_number(t, "one", 1);
    tb_number(t, "below", -1);
    tb_number(t, "half", 0.5);
    tb_number(t, "two", 2);
    tb_ints(t, "last", 1, 1);
    tb_node(t, "Gemm", "x w bias", "z", "transB=1");
    snprintf(text, sizeof text, "%s", what);
    while ((line = strsep(&rest, "\n")) && *line) {
        char type[32], in[32], out[32], attrs[32] = "";
        ck_assert_int_ge(sscanf(line, "%31s %31s %31s %31[^\n]", type, in, out, attrs), 3);
        for (char *c = in; *c; c++) *c = *c == ',' ? ' ' : *c;
        tb_node(t, type, in, out, attrs[0] ? attrs : NULL);
    }
    tb_output(t, "y");
    tb_finish(t, NULL);
}

static const struct {
    const char *what;
    enum hn_tail tail;
} nets[] = {
    { "Softmax z y axis=1", HN_TAIL_SOFTMAX },
    { "Softmax z s axis=1\nLpNormalization s y p=1", HN_TAIL_SOFTMAX },
    { "Softmax z s axis=1\nLpNormalization s y p=2", HN_TAIL_NONE },
    { "Sigmoid z y", HN_TAIL_SIGMOID },
    { "Sigmoid z s\nLpNormalization s y p=1", HN_TAIL_SHARES },
    { "Sigmoid z s\nReduceSum s,last t keepdims=1\nDiv s,t y", HN_TAIL_SHARES },
    { "Sigmoid z s\nReduceSum s t keepdims=1\nDiv s,t y", HN_TAIL_NONE },
    { "Exp z e\nReduceSum e,last t keepdims=1\nDiv e,t y", HN_TAIL_SHARES },
    { "Exp z e\nAdd e,one f\nReciprocal f s\nReduceSum s,last t keepdims=1\nDiv s,t y",
      HN_TAIL_SHARES },
    { "Exp z e\nAdd e,below f\nReduceSum f,last t keepdims=1\nDiv f,t y", HN_TAIL_NONE },
    { "ReduceSum z,last t keepdims=1\nDiv z,t y", HN_TAIL_NONE },
    { "Sigmoid z s\nSub one,s q\nLpNormalization q y p=1", HN_TAIL_SHARES },
    { "Sigmoid z s\nSub below,s q\nLpNormalization q y p=1", HN_TAIL_NONE },
    { "Tanh z s\nLpNormalization s y p=1", HN_TAIL_NONE },
    { "Softmax z s axis=1\nNeg z n\nSoftmax n t axis=1\nMul s,half a\nMul t,half b\nSum a,b y",
      HN_TAIL_SHARES },
    { "Softmax z s axis=1\nNeg z n\nSoftmax n t axis=1\nMul s,half a\nMul t,one b\nSum a,b y",
      HN_TAIL_NONE },
    { "Softmax z s axis=1\nNeg z n\nSoftmax n t axis=1\nAdd s,t a\nDiv a,two y", HN_TAIL_SHARES },
    { "Softmax z s axis=1\nNeg z n\nSoftmax n t axis=1\nMean s,t y", HN_TAIL_SHARES },
    { "Softmax z s axis=1\nNeg z n\nSoftmax n t axis=1\nSub s,t a\nAdd a,s y", HN_TAIL_NONE },
    { "Softmax z s axis=1\nMul s,two a\nMul s,below b\nAdd a,b y",
      HN_TAIL_NONE }, /* may be below 0 */
    { "Sigmoid z s\nGreater one,z g\nCast g f to=1\nAdd s,f a\nReduceSum s,last t keepdims=1\n"
      "Add t,f u\nDiv a,u y",
      HN_TAIL_NONE }, /* what is added is as wide as the row */
    { "LogSoftmax z s axis=1\nNeg s t\nAdd s,t y", HN_TAIL_NONE },
};

START_TEST(last_ops)
{
    struct tb t;
    struct hn_output_info o;
    net(&t, nets[_i].what);
    hn_graph_output(t.g, 0, &o);
    ck_assert_msg(o.trainable && o.tail == nets[_i].tail, "%s: %d", nets[_i].what, (int)o.tail);
    const struct hn_loss_spec loss = { .kind = HN_LOSS_CE, .weight = 1 };
    const struct hn_lower_opts opts = { .part = HN_PART_BODY, .losses = &loss, .n_losses = 1 };
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(tb_count_ops(p, "loss_ce"), 1);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* z and -z, as scikit-learn's two classes by two rows: the Sigmoid of one number. */
START_TEST(either_sign)
{
    static const char *const ends[] = { "Neg c n\nConcat n,c d axis=1\nSigmoid d y",
                                        "Neg c n\nConcat c,n d axis=1\nSigmoid d y" };
    for (int i = 0; i < 2; i++) {
        struct tb t;
        struct hn_output_info o;
        char what[160];
        snprintf(what, sizeof what, "ReduceSum z,last c keepdims=1\n%s", ends[i]);
        net(&t, what);
        hn_graph_output(t.g, 0, &o);
        ck_assert_int_eq(o.tail, i ? HN_TAIL_SIGMOID : HN_TAIL_BOTH);
        tb_close(&t);
    }
}
END_TEST

HN_TEST_MAIN("tail", tcase_add_loop_test(tc, last_ops, 0, (int)(sizeof nets / sizeof *nets));
             tcase_add_test(tc, either_sign);)
