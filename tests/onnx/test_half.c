/* SPDX-License-Identifier: MIT
 *
 * Graph edits in models of half types: what is put in has the type that belongs there, and memory may run out anywhere. */
#include "onnx/edit.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"
#include "tests/onnx/eval.h"

static hone_error err;
static const int types[] = { HN_F16, HN_BF16 };

/* Numbers as bits of a half type. */
static struct hn_buffer halves(const char *name, int type, const int64_t *dims, const float *v,
                               size_t n)
{
    uint16_t bits[16];
    hn_convert(bits, (enum hn_dtype)type, v, HN_F32, (int64_t)n);
    return b_tensor(name, type, dims, bits, n * sizeof *bits);
}

/* x [N,2] → MatMul(w) → Relu → MatMul(v) → y [N,1], all of one type. */
static struct hn_buffer small(int opset, int type)
{
    static const float w[6] = { 1, -2, 0.5f, 3, 0.25f, -1 }, v[3] = { 2, -1, 0.5f };
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("fc1", "MatMul", "x,w", "h"));
    b_sub(&g, G_NODE, b_node("act", "Relu", "h", "r"));
    b_sub(&g, G_NODE, b_node("fc2", "MatMul", "r,v", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, halves("w", type, DIMS(2, 3), w, 6));
    b_sub(&g, G_INIT, halves("v", type, DIMS(3, 1), v, 3));
    b_sub(&g, G_INPUT, b_info("x", type, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", type, "N,1"));
    return b_model(8, opset, g);
}

/* A BatchNormalization of its own product, whose scale and variance, shift and mean come from one Cast each. */
static struct hn_buffer shared_casts(int type)
{
    static const float w[4] = { 1, 2, 3, 4 }, one[2] = { 1, 1 }, zero[2] = { 0, 0 };
    const char *const names[] = { "ones", "zeros" };
    struct hn_buffer g = b_new();
    for (int i = 0; i < 2; i++) {
        struct hn_buffer cast = b_node(i ? "c0" : "c1", "Cast", names[i], i ? "zero" : "one");
        b_sub(&cast, N_ATTR, b_attr_int("to", 1));
        b_sub(&g, G_NODE, cast);
    }
    b_sub(&g, G_NODE, b_node("fc", "MatMul", "x,w", "h"));
    b_sub(&g, G_NODE, b_node("bn", "BatchNormalization", "h,one,zero,zero,one", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, halves("ones", type, DIMS(2), one, 2));
    b_sub(&g, G_INIT, halves("zeros", type, DIMS(2), zero, 2));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    return b_model(8, 15, g);
}

static struct hn_buffer edited(struct hn_buffer from, const char *text,
                               const struct hn_tensor *values, size_t n_values)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, values, n_values };
    HN_OK(hn_edit_apply(&test_mem, from.p, from.n, &line, &out, &err), err);
    hn_buffer_free(&from);
    return out;
}

static const struct hn_value *value(const struct hn_graph *g, const char *name)
{
    int32_t at = hn_graph_find(g, name);
    ck_assert_msg(at >= 0, "no value %s", name);
    return &g->values[at];
}

/* The types of nodes in the file's order, blanks between them. */
static void expect_nodes(const struct hn_graph *g, const char *wanted)
{
    char text[200] = "";
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (i) strcat(text, " ");
        strcat(text, g->nodes[i].type);
    }
    ck_assert_str_eq(text, wanted);
}

static struct hn_tensor vec(const double *v, int64_t n)
{
    return (struct hn_tensor){ HN_F64, 1, { n }, n, v };
}

/* Raw numbers may be beyond float16, and have more digits than bfloat16. */
START_TEST(scalers_are_float32_between_casts)
{
    static const double offset[2] = { 100000.5, -1.001 }, scale[2] = { 70000, 4 }, up[1] = { 3 },
                        shift[1] = { -10 };
    struct hn_tensor in[2] = { vec(offset, 2), vec(scale, 2) },
                     back[2] = { vec(up, 1), vec(shift, 1) };
    struct hn_buffer b = edited(small(17, types[_i]), "scale-input x standard", in, 2);
    b = edited(b, "scale-output y standard", back, 2);
    struct pair p = open_graph(&b);
    expect_nodes(p.g, "Cast Sub Div Cast MatMul Relu MatMul Cast Mul Add Cast");
    const struct hn_value *by = value(p.g, "x/hone_Sub_by");
    ck_assert_int_eq(by->dtype, HN_F32);
    ck_assert_double_eq(hn_tensor_f64(by->constant, 0), 100000.5);
    ck_assert_int_eq(value(p.g, "x")->dtype, (enum hn_dtype)types[_i]);
    ck_assert_int_eq(value(p.g, "x/hone_scaled")->dtype, (enum hn_dtype)types[_i]);
    ck_assert_int_eq(value(p.g, "y/hone_Mul")->dtype, HN_F32);
    ck_assert_int_eq(value(p.g, "y")->dtype, (enum hn_dtype)types[_i]);
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    close_graph(p);
    hn_buffer_free(&b);
}
END_TEST

/* Statistics of their own type come with opset 15; what replaces the node is of the type of its rows. */
START_TEST(batchnorm_in_and_out)
{
    for (int opset = 14; opset <= 15; opset++) {
        enum hn_dtype half = (enum hn_dtype)types[_i], wanted = opset < 15 ? half : HN_F32;
        struct hn_buffer b = edited(small(opset, types[_i]), "batchnorm insert", NULL, 0);
        struct pair p = open_graph(&b);
        expect_nodes(p.g, "MatMul BatchNormalization Relu MatMul");
        for (int k = 1; k < 5; k++)
            ck_assert_int_eq(p.g->values[p.g->nodes[1].in[k]].dtype, wanted);
        ck_assert_int_eq(value(p.g, "h/bn")->dtype, half);
        HN_OK(hn_graph_blocked(p.g, 1, &err), err);
        close_graph(p);
        b = edited(b, "batchnorm remove", NULL, 0);
        p = open_graph(&b);
        expect_nodes(p.g, "MatMul Mul Add Relu MatMul");
        ck_assert_int_eq(p.g->values[p.g->nodes[1].in[1]].dtype, half);
        HN_OK(hn_graph_blocked(p.g, 1, &err), err);
        close_graph(p);
        hn_buffer_free(&b);
    }
}
END_TEST

START_TEST(a_cast_is_copied_with_what_it_reads)
{
    struct hn_buffer b = edited(shared_casts(types[_i]), "untie one bn 4", NULL, 0);
    b = edited(b, "untie zero bn 3 as mean", NULL, 0);
    struct pair p = open_graph(&b);
    expect_nodes(p.g, "Cast Cast Cast Cast MatMul BatchNormalization");
    const struct hn_node *bn = &p.g->nodes[5];
    const char *sources[4];
    for (int k = 1; k < 5; k++) {
        const struct hn_value *v = &p.g->values[bn->in[k]];
        const struct hn_node *cast = &p.g->nodes[v->producer];
        ck_assert_int_eq(v->dtype, HN_F32);
        ck_assert_int_eq(p.g->values[cast->in[0]].dtype, (enum hn_dtype)types[_i]);
        sources[k - 1] = p.g->values[cast->in[0]].name;
        for (int i = 1; i < k; i++) ck_assert_str_ne(sources[i - 1], sources[k - 1]);
    }
    ck_assert_str_eq(sources[0], "ones");
    ck_assert_str_eq(sources[2], "mean");
    ck_assert_uint_eq(p.g->n_unties, 0);
    close_graph(p);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(memory_may_run_out)
{
    static const double two[2] = { 1, 2 }, one[1] = { 3 };
    struct hn_tensor in[2] = { vec(two, 2), vec(two, 2) }, out1[2] = { vec(one, 1), vec(one, 1) };
    struct {
        struct hn_buffer model;
        struct hn_edit_line line;
    } cases[] = {
        { small(17, types[_i]), { "scale-input x standard", in, 2 } },
        { small(17, types[_i]), { "scale-output y standard", out1, 2 } },
        { small(17, types[_i]), { "batchnorm insert", NULL, 0 } },
        { edited(small(17, types[_i]), "batchnorm insert", NULL, 0),
          { "batchnorm remove", NULL, 0 } },
        { shared_casts(types[_i]), { "untie one bn 4", NULL, 0 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_fault f;
        hone_status st = HONE_E_NOMEM;
        for (long n = 1; st != HONE_OK; n++) {
            struct hn_buffer out;
            hn_fault_init(&f);
            f.mem_fail.at = n;
            hn_buffer_init(&out, &f.mem);
            st = hn_edit_apply(&f.mem, cases[i].model.p, cases[i].model.n, &cases[i].line, &out,
                               &err);
            hn_buffer_free(&out);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            ck_assert_int_eq(st, atomic_load(&f.mem_fail.hits) ? HONE_E_NOMEM : HONE_OK);
        }
        hn_buffer_free(&cases[i].model);
    }
}
END_TEST

HN_TEST_MAIN("half", tcase_add_loop_test(tc, scalers_are_float32_between_casts, 0, 2);
             tcase_add_loop_test(tc, batchnorm_in_and_out, 0, 2);
             tcase_add_loop_test(tc, a_cast_is_copied_with_what_it_reads, 0, 2);
             tcase_add_loop_test(tc, memory_may_run_out, 0, 2);)
