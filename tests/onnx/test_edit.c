/* SPDX-License-Identifier: MIT
 *
 * Graph edits: each does what its line says and nothing else, the function is what it should be afterwards (computed by a
 * toy evaluator), wrong lines are refused with a reason, and memory may run out anywhere. */
#include "onnx/edit.h"
#include "onnx/new.h"
#include "onnx/save.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"
#include "tests/onnx/eval.h"

static hone_error err;
static const double rows[6] = { 1, 2, -3, 0.5, 0.25, -1 }; /* [3, 2] */

static struct hn_buffer edited(const struct hn_buffer *from, const char *text,
                               const struct hn_tensor *values, size_t n_values)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, values, n_values };
    HN_OK(hn_edit_apply(&test_mem, from->p, from->n, &line, &out, &err), err);
    return out;
}

static void refused(const struct hn_buffer *from, const char *text, hone_status code,
                    const char *word)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, NULL, 0 };
    hone_status st = hn_edit_apply(&test_mem, from->p, from->n, &line, &out, &err);
    ck_assert_msg(st == code && strstr(err.text, word), "%s: %d '%s'", text, (int)st, err.text);
    hn_buffer_free(&out);
}

static void run(const struct hn_buffer *b, const double *x, int64_t cols, double *y, int64_t n)
{
    struct pair p = open_graph(b);
    ev_run(p.g, x, 3, cols, y, n);
    close_graph(p);
}

static int count(const struct hn_graph *g, const char *type)
{
    int n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += strcmp(g->nodes[i].type, type) == 0;
    return n;
}

static const struct hn_value *value(const struct hn_graph *g, const char *name)
{
    int32_t at = hn_graph_find(g, name);
    ck_assert_msg(at >= 0, "no value %s", name);
    return &g->values[at];
}

static void near(const double *a, const double *b, size_t n, double tol)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(a[i] - b[i]) <= tol * (1 + fabs(a[i])), "%zu: %.9g %.9g", i, a[i], b[i]);
}

/* x → Gemm(w, b) → Relu → Gemm(v, c) → y with `alias` = Identity(b) as second bias when it says so. */
static struct hn_buffer aliased(int ir, int chain)
{
    static const float w[4] = { 1, 2, 3, 4 }, b[2] = { 5, 6 };
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("id", "Identity", "b", "alias"));
    if (chain) b_sub(&g, G_NODE, b_node("id2", "Identity", "alias", "alias2"));
    b_sub(&g, G_NODE, b_node("fc1", "Gemm", "x,w,b", "h"));
    b_sub(&g, G_NODE, b_node("act", "Relu", "h", "r"));
    b_sub(&g, G_NODE, b_node("fc2", "Gemm", chain ? "r,w,alias2" : "r,w,alias", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("b", 1, DIMS(2), b, sizeof b));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    if (ir < 4) {
        b_sub(&g, G_INPUT, b_info("w", 1, "2,2"));
        b_sub(&g, G_INPUT, b_info("b", 1, "2"));
    }
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    return b_model(ir, ir < 4 ? 8 : 17, g);
}

START_TEST(untie_an_alias)
{
    double before[6], after[6];
    for (int ir = 3; ir <= 8; ir += 5)
        for (int chain = 0; chain < 2; chain++) {
            struct hn_buffer b = aliased(ir, chain),
                             out = edited(&b, chain ? "untie alias2" : "untie alias", NULL, 0);
            struct pair p = open_graph(&out);
            const struct hn_value *v = value(p.g, chain ? "alias2" : "alias");
            ck_assert(v->is_initializer && v->constant && hn_tensor_f64(v->constant, 1) == 6);
            ck_assert_int_eq(v->is_input, ir < 4);
            ck_assert_int_eq(count(p.g, "Identity"), 0);
            ck_assert_uint_eq(p.g->n_inputs, 1);
            close_graph(p);
            run(&b, rows, 2, before, 6);
            run(&out, rows, 2, after, 6);
            near(before, after, 6, 0);
            hn_buffer_free(&out);
            hn_buffer_free(&b);
        }
    struct hn_buffer b = aliased(8, 0), out = edited(&b, "untie alias as \"new name\"", NULL, 0);
    struct pair p = open_graph(&out);
    ck_assert(value(p.g, "new name")->is_initializer);
    ck_assert_int_eq(hn_graph_find(p.g, "alias"), -1);
    close_graph(p);
    hn_buffer_free(&out);
    refused(&b, "untie w", HONE_E_USAGE, "not an Identity");
    refused(&b, "untie alias as w", HONE_E_USAGE, "taken");
    refused(&b, "untie", HONE_E_USAGE, "wanted");
    refused(&b, "untie \"alias", HONE_E_USAGE, "quote");
    hn_buffer_free(&b);
}
END_TEST

START_TEST(untie_one_use)
{
    double before[6], after[6];
    struct hn_buffer b = aliased(8, 0), out = edited(&b, "untie w fc2 1", NULL, 0);
    struct pair p = open_graph(&out);
    ck_assert(value(p.g, "w_1")->is_initializer);
    ck_assert_str_eq(p.g->values[p.g->nodes[3].in[1]].name, "w_1");
    ck_assert_str_eq(p.g->values[p.g->nodes[1].in[1]].name, "w");
    close_graph(p);
    run(&b, rows, 2, before, 6);
    run(&out, rows, 2, after, 6);
    near(before, after, 6, 0);
    hn_buffer_free(&out);
    out = edited(&b, "untie w #3 1 as v", NULL, 0);
    p = open_graph(&out);
    ck_assert_str_eq(p.g->values[p.g->nodes[3].in[1]].name, "v");
    close_graph(p);
    hn_buffer_free(&out);
    out = edited(&b, "untie w fc2 1 fc1 1", NULL, 0); /* one copy for both */
    p = open_graph(&out);
    ck_assert_str_eq(p.g->values[p.g->nodes[3].in[1]].name, "w_1");
    ck_assert_str_eq(p.g->values[p.g->nodes[1].in[1]].name, "w_1");
    close_graph(p);
    hn_buffer_free(&out);
    refused(&b, "untie w fc2 1 fc1", HONE_E_USAGE, "wanted");
    refused(&b, "untie w fc2 0", HONE_E_USAGE, "is not 'w'");
    refused(&b, "untie w nobody 1", HONE_E_USAGE, "no node");
    refused(&b, "untie h fc2 1", HONE_E_USAGE, "no initializer");
    refused(&b, "unite w", HONE_E_USAGE, "is no edit");
    ck_assert_str_eq(err.hint, "did you mean untie?");
    hn_buffer_free(&b);
}
END_TEST

/* Gemm → BatchNormalization (training form) → Dropout (training form) → Gemm. */
static struct hn_buffer training_form(int opset)
{
    static const float w[4] = { 1, 2, 3, 4 }, s[2] = { 2, 3 }, var[2] = { 4, 9 }, half = 0.5f;
    static const char yes = 1;
    struct hn_buffer g = b_new();
    struct hn_buffer bn =
        b_node("bn", "BatchNormalization", "h,s,s,m,v", opset < 14 ? "n,rm,rv,sm,sv" : "n,rm,rv");
    if (opset >= 14) b_sub(&bn, N_ATTR, b_attr_int("training_mode", 1));
    b_sub(&g, G_NODE, b_node("fc", "Gemm", "x,w", "h"));
    b_sub(&g, G_NODE, bn);
    if (opset >= 12) {
        struct hn_buffer k = b_node("k", "Constant", "", "yes"), a = b_new();
        b_str(&a, A_NAME, "value");
        b_sub(&a, A_T, b_tensor("", 9, SCALAR, &yes, 1));
        b_int(&a, A_TYPE, 4);
        b_sub(&k, N_ATTR, a);
        b_sub(&g, G_NODE, k);
        b_sub(&g, G_NODE, b_node("drop", "Dropout", "n,ratio,yes", "d,mask"));
        b_sub(&g, G_INIT, b_tensor("ratio", 1, SCALAR, &half, 4));
    } else {
        b_sub(&g, G_NODE, b_node("drop", "Dropout", "n", "d,mask"));
    }
    b_sub(&g, G_NODE, b_node("fc2", "Gemm", "d,w", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("s", 1, DIMS(2), s, sizeof s));
    b_sub(&g, G_INIT, b_tensor("m", 1, DIMS(2), s, sizeof s));
    b_sub(&g, G_INIT, b_tensor("v", 1, DIMS(2), var, sizeof var));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    return b_model(8, opset, g);
}

START_TEST(inference_form)
{
    static const int opsets[] = { 9, 13, 15 };
    for (int i = 0; i < 3; i++) {
        struct hn_buffer b = training_form(opsets[i]), out = edited(&b, "inference", NULL, 0);
        struct pair p = open_graph(&out);
        for (size_t k = 0; k < p.g->n_nodes; k++) {
            const struct hn_node *n = &p.g->nodes[k];
            if (!strcmp(n->type, "BatchNormalization")) {
                ck_assert_int_eq(n->n_out, 1);
                ck_assert(ev_attr(n, "training_mode", 0) == 0);
            }
            if (!strcmp(n->type, "Dropout")) ck_assert_int_eq(n->n_in, opsets[i] >= 12 ? 2 : 1);
        }
        ck_assert_int_eq(count(p.g, "Constant"), 0);
        ck_assert_int_eq(p.g->needs_inference, 0);
        close_graph(p);
        struct hn_buffer twice = edited(&out, "inference", NULL, 0);
        ck_assert(twice.n == out.n && memcmp(twice.p, out.p, out.n) == 0);
        hn_buffer_free(&twice);
        hn_buffer_free(&out);
        hn_buffer_free(&b);
    }
}
END_TEST

static struct hn_tensor vec(const double *v, int64_t n)
{
    return (struct hn_tensor){ HN_F64, 1, { n }, n, v };
}

START_TEST(scalers)
{
    static const double offset[2] = { 0.5, -1 }, scale[2] = { 2, 4 }, up[1] = { 3 },
                        shift[1] = { -10 };
    double x[6], want[3], got[3];
    struct hn_buffer b = b_mlp();
    struct hn_tensor in[2] = { vec(offset, 2), vec(scale, 2) },
                     back[2] = { vec(up, 1), vec(shift, 1) };
    for (int i = 0; i < 6; i++) x[i] = (rows[i] - offset[i % 2]) / scale[i % 2];
    run(&b, x, 2, want, 3);
    struct hn_buffer one = edited(&b, "scale-input x standard", in, 2),
                     two = edited(&one, "scale-output \"y\" standard", back, 2);
    run(&one, rows, 2, got, 3);
    near(want, got, 3, 1e-6);
    for (int i = 0; i < 3; i++) want[i] = want[i] * 3 - 10;
    run(&two, rows, 2, got, 3);
    near(want, got, 3, 1e-6);
    struct pair p = open_graph(&two);
    ck_assert_str_eq(p.g->values[p.g->inputs[0]].name, "x");
    ck_assert_str_eq(p.g->values[p.g->outputs[0]].name, "y");
    ck_assert_str_eq(p.g->nodes[0].type, "Sub");
    ck_assert_str_eq(p.g->nodes[1].type, "Div");
    close_graph(p);
    refused(&b, "scale-input x standard", HONE_E_USAGE, "wanted 2");
    refused(&b, "scale-input w standard", HONE_E_USAGE, "nothing of this name");
    refused(&b, "scale-output h standard", HONE_E_USAGE, "nothing of this name");
    hn_buffer_free(&one);
    hn_buffer_free(&two);
    hn_buffer_free(&b);
}
END_TEST

/* What scale-output leaves is known again under other names, and takes other numbers in place of its own. */
START_TEST(the_inverse_of_targets_is_known_again)
{
    static const double up[1] = { 3 }, shift[1] = { -10 }, up2[1] = { 0.5 }, shift2[1] = { 4 };
    double want[3], got[3];
    struct hn_buffer b = b_mlp();
    struct hn_tensor first[2] = { vec(up, 1), vec(shift, 1) },
                     second[2] = { vec(up2, 1), vec(shift2, 1) };
    struct hn_unscaler u;
    struct hn_buffer one = edited(&b, "scale-output y standard", first, 2),
                     two = edited(&one, "rescale-output y/hone_Mul_by y/hone_Add_by", second, 2);
    run(&b, rows, 2, want, 3);
    for (int i = 0; i < 3; i++) want[i] = want[i] * 0.5 + 4;
    run(&two, rows, 2, got, 3);
    near(want, got, 3, 1e-6);
    struct pair p = open_graph(&two);
    ck_assert_str_eq(hn_onnx_meta(p.m, HN_META_UNSCALED), "y");
    ck_assert_int_eq(hn_graph_unscaler(p.g, p.g->outputs[0], &u), 1);
    ck_assert_int_eq(count(p.g, "Mul"), 1);
    close_graph(p);
    struct hn_buffer again = edited(&two, "scale-output y standard", first, 2);
    p = open_graph(&again);
    ck_assert_str_eq(hn_onnx_meta(p.m, HN_META_UNSCALED), "y"); /* said once */
    close_graph(p);
    refused(&one, "rescale-output y/hone_Mul_by y/hone_Add_by", HONE_E_USAGE, "wanted 2");
    struct hn_edit_line wide = { "rescale-output y/hone_Mul_by w", second, 2 };
    ck_assert_int_eq(hn_edit_apply(&test_mem, one.p, one.n, &wide, &again, &err), HONE_E_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "wanted 1"));
    hn_buffer_free(&again);
    hn_buffer_free(&two);
    hn_buffer_free(&one);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(integer_inputs_are_cast)
{
    static const double offset[2] = { 1, 1 }, scale[2] = { 2, 2 };
    static const float w[2] = { 1, 1 };
    struct hn_tensor in[2] = { vec(offset, 2), vec(scale, 2) };
    struct hn_buffer g = b_new(), cast = b_node("c", "Cast", "x", "xf");
    b_sub(&cast, N_ATTR, b_attr_int("to", 1));
    b_sub(&g, G_NODE, cast);
    b_sub(&g, G_NODE, b_node("fc", "Gemm", "xf,w", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 1), w, sizeof w));
    b_sub(&g, G_INPUT, b_info("x", 7, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,1"));
    struct hn_buffer b = b_model(8, 17, g), out = edited(&b, "scale-input x minmax", in, 2);
    double x[6] = { 1, 2, 3, 4, 5, 6 }, y[3];
    run(&out, x, 2, y, 3);
    ck_assert(y[0] == 0.5 && y[2] == 4.5);
    struct pair p = open_graph(&out);
    ck_assert_str_eq(p.g->nodes[0].type, "Cast");
    ck_assert_int_eq(value(p.g, "x")->dtype, HN_I64);
    close_graph(p);
    struct hn_buffer g2 = b_new(), bad;
    b_sub(&g2, G_NODE, b_node("lookup", "Gather", "w,x", "y"));
    b_str(&g2, G_NAME, "g");
    b_sub(&g2, G_INIT, b_tensor("w", 1, DIMS(2, 1), w, sizeof w));
    b_sub(&g2, G_INPUT, b_info("x", 7, "N,2"));
    b_sub(&g2, G_OUTPUT, b_info("y", 1, NULL));
    bad = b_model(8, 17, g2);
    struct hn_edit_line line = { "scale-input x minmax", in, 2 };
    struct hn_buffer none = b_new();
    ck_assert_int_eq(hn_edit_apply(&test_mem, bad.p, bad.n, &line, &none, &err),
                     HONE_E_UNSUPPORTED);
    ck_assert(strstr(err.text, "Gather") != NULL);
    hn_buffer_free(&none);
    hn_buffer_free(&bad);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(batch_becomes_a_symbol)
{
    static const int64_t shape[2] = { 1, 2 };
    static const float w[2] = { 1, 1 };
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("rs", "Reshape", "x,shape", "r"));
    b_sub(&g, G_NODE, b_node("fc", "Gemm", "r,w", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("shape", 7, DIMS(2), shape, sizeof shape));
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 1), w, sizeof w));
    b_sub(&g, G_INPUT, b_info("x", 1, "1,2,1"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "1,1"));
    b_sub(&g, G_INFO, b_info("r", 1, "1,2"));
    b_sub(&g, G_INFO, b_info("shape", 7, "2"));
    struct hn_buffer b = b_model(8, 17, g), out = edited(&b, "batch-symbolic", NULL, 0), named;
    struct pair p = open_graph(&out);
    ck_assert_str_eq(value(p.g, "x")->decl_names[0], "N");
    ck_assert_int_eq(value(p.g, "x")->decl_dims[1], 2);
    ck_assert_str_eq(value(p.g, "y")->decl_names[0], "N");
    ck_assert_str_eq(value(p.g, "r")->decl_names[0], "N");
    const struct hn_value *v = &p.g->values[p.g->nodes[0].in[1]];
    ck_assert(hn_tensor_i64(v->constant, 0) == -1 && hn_tensor_i64(v->constant, 1) == 2);
    ck_assert_int_eq(hn_graph_find(p.g, "shape"), -1);
    close_graph(p);
    named = edited(&out, "batch-symbolic other", NULL, 0); /* nothing fixed is left */
    ck_assert(named.n == out.n && memcmp(named.p, out.p, out.n) == 0);
    hn_buffer_free(&named);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

/* Integers of rank 1 are an index for each row where the line says so; other vectors are none. */
START_TEST(a_batch_of_indices_becomes_a_symbol)
{
    static const float w[6] = { 1, 2, 3, 4, 5, 6 };
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("e", "Gather", "w,i", "h"));
    b_sub(&g, G_NODE, b_node("a", "Mul", "h,f", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(3, 2), w, sizeof w));
    b_sub(&g, G_INPUT, b_info("i", 7, "2"));
    b_sub(&g, G_INPUT, b_info("f", 1, "2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "2,2"));
    struct hn_buffer b = b_model(8, 17, g);
    for (int indices = 0; indices < 2; indices++) {
        struct hn_buffer out =
            edited(&b, indices ? "batch-symbolic N indices" : "batch-symbolic", NULL, 0);
        struct pair p = open_graph(&out);
        ck_assert_int_eq(value(p.g, "i")->decl_dims[0], indices ? -1 : 2);
        ck_assert_int_eq(value(p.g, "y")->decl_dims[0], indices ? -1 : 2);
        ck_assert_int_eq(value(p.g, "f")->decl_dims[0], 2);
        close_graph(p);
        hn_buffer_free(&out);
    }
    hn_buffer_free(&b);
}
END_TEST

START_TEST(batchnorm_in_and_out)
{
    double before[3], after[3];
    struct hn_buffer b = b_mlp(), in = edited(&b, "batchnorm insert", NULL, 0);
    struct pair p = open_graph(&in);
    ck_assert_int_eq(count(p.g, "BatchNormalization"), 1);
    ck_assert_str_eq(p.g->nodes[1].type, "BatchNormalization");
    ck_assert_int_eq((int)value(p.g, "h.bn.weight")->constant->n, 3);
    close_graph(p);
    run(&b, rows, 2, before, 3);
    run(&in, rows, 2, after, 3);
    near(before, after, 3, 1e-4); /* the identity but for epsilon */
    refused(&in, "batchnorm insert", HONE_E_UNSUPPORTED, "no hidden Dense");
    refused(&b, "batchnorm insert y", HONE_E_UNSUPPORTED, "output of the graph");
    refused(&b, "batchnorm insert r", HONE_E_USAGE, "not the output of a Dense");
    refused(&b, "batchnorm sideways", HONE_E_USAGE, "wanted: batchnorm insert");
    hn_buffer_free(&in);

    static const double g[3] = { 2, -1, 0.5 }, beta[3] = { 1, 2, 3 }, mu[3] = { 0.1, 0.2, 0.3 },
                        var[3] = { 4, 0.25, 1 };
    struct hn_tensor v[4] = { vec(g, 3), vec(beta, 3), vec(mu, 3), vec(var, 3) };
    in = edited(&b, "batchnorm insert h", v, 4);
    run(&in, rows, 2, before, 3);
    struct hn_buffer out = edited(&in, "batchnorm remove", NULL, 0);
    p = open_graph(&out);
    ck_assert_uint_eq(p.g->n_nodes, 3); /* folded */
    ck_assert_int_eq(hn_graph_find(p.g, "h.bn.weight"), -1);
    close_graph(p);
    run(&out, rows, 2, after, 3);
    near(before, after, 3, 1e-5);
    hn_buffer_free(&out);
    hn_buffer_free(&in);
    hn_buffer_free(&b);
    b = training_form(15);
    refused(&b, "batchnorm remove", HONE_E_UNSUPPORTED, "inference");
    in = edited(&b, "inference", NULL, 0);
    out = edited(&in, "batchnorm remove", NULL, 0);
    run(&in, rows, 2, (double[6]){ 0 }, 6);
    double y1[6], y2[6];
    run(&in, rows, 2, y1, 6);
    run(&out, rows, 2, y2, 6);
    near(y1, y2, 6, 1e-6);
    hn_buffer_free(&b);
    hn_buffer_free(&in);
    hn_buffer_free(&out);
}
END_TEST

/* BatchNormalization behind something that is no Gemm: Mul and Add. */
START_TEST(batchnorm_becomes_mul_add)
{
    static const float w[4] = { 1, 2, 3, 4 }, s[2] = { 2, 3 }, v[2] = { 4, 9 };
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("fc", "MatMul", "x,w", "h"));
    b_sub(&g, G_NODE, b_node("act", "Relu", "h", "r"));
    b_sub(&g, G_NODE, b_node("bn", "BatchNormalization", "r,s,s,s,v", "n"));
    b_sub(&g, G_NODE, b_node("fc2", "MatMul", "n,w", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("s", 1, DIMS(2), s, sizeof s));
    b_sub(&g, G_INIT, b_tensor("v", 1, DIMS(2), v, sizeof v));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    struct hn_buffer b = b_model(8, 15, g), out = edited(&b, "batchnorm remove", NULL, 0);
    double y1[6], y2[6];
    run(&b, rows, 2, y1, 6);
    run(&out, rows, 2, y2, 6);
    near(y1, y2, 6, 1e-6);
    struct pair p = open_graph(&out);
    ck_assert_int_eq(count(p.g, "BatchNormalization"), 0);
    ck_assert_int_eq(hn_graph_find(p.g, "s"), -1);
    close_graph(p);
    struct hn_bn_site *sites;
    size_t n;
    HN_OK(hn_edit_batchnorm_sites(&test_mem, b.p, b.n, &sites, &n, &err), err);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(sites[0].value, "h");
    ck_assert_int_eq(sites[0].width, 2);
    hn_edit_free_sites(&test_mem, sites, n);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(metadata_keys_are_renamed)
{
    struct hn_buffer b = b_mlp();
    b_sub(&b, M_META, b_entry("old", "v"));
    struct hn_buffer out = edited(&b, "rename-metadata old new", NULL, 0);
    struct pair p = open_graph(&out);
    ck_assert_str_eq(hn_onnx_meta(p.m, "new"), "v");
    ck_assert_ptr_null(hn_onnx_meta(p.m, "old"));
    close_graph(p);
    refused(&b, "rename-metadata none new", HONE_E_USAGE, "no such key");
    refused(&b, "rename-metadata old old", HONE_E_USAGE, "already");
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(lines_in_a_row)
{
    struct hn_buffer b = aliased(8, 0), one = edited(&b, "untie alias", NULL, 0),
                     two = edited(&one, "untie w fc2 1", NULL, 0);
    struct hn_edit_line lines[2] = { { "untie alias", NULL, 0 }, { "untie w fc2 1", NULL, 0 } };
    struct hn_onnx *m, *e, *same;
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, b.p, b.n, NULL, "t", &err), err);
    HN_OK(hn_onnx_edit(m, lines, 2, &e, &err), err);
    ck_assert(e->n == two.n && memcmp(e->p, two.p, two.n) == 0);
    HN_OK(hn_onnx_edit(m, NULL, 0, &same, &err), err);
    ck_assert(same->n == b.n && memcmp(same->p, b.p, b.n) == 0);
    hn_onnx_close(same);
    hn_onnx_close(e);
    lines[1].text = "nonsense";
    ck_assert_int_eq(hn_onnx_edit(m, lines, 2, &e, &err), HONE_E_USAGE);
    ck_assert_ptr_null(e);
    hn_onnx_close(m);
    hn_buffer_free(&one);
    hn_buffer_free(&two);
    hn_buffer_free(&b);
    ck_assert_uint_eq(atomic_load(&test_mem.used), 0);
}
END_TEST

START_TEST(memory_may_run_out_in_every_edit)
{
    static const double v2[2] = { 1, 2 }, v3[3] = { 1, 2, 3 };
    struct hn_tensor two[2] = { vec(v2, 2), vec(v2, 2) },
                     four[4] = { vec(v3, 3), vec(v3, 3), vec(v3, 3), vec(v3, 3) };
    const struct {
        struct hn_buffer model;
        struct hn_edit_line line;
    } cases[] = {
        { aliased(3, 1), { "untie alias2", NULL, 0 } },
        { aliased(8, 0), { "untie w fc2 1", NULL, 0 } },
        { training_form(15), { "inference", NULL, 0 } },
        { b_mlp(), { "scale-input x standard", two, 2 } },
        { b_mlp(), { "batchnorm insert", four, 4 } },
        { b_mlp(), { "batch-symbolic", NULL, 0 } },
        { training_form(9), { "rename-metadata a b", NULL, 0 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_fault f;
        for (long n = 1;; n++) {
            hn_fault_init(&f);
            f.mem_fail.at = n;
            struct hn_buffer out;
            hn_buffer_init(&out, &f.mem);
            hone_status st = hn_edit_apply(&f.mem, cases[i].model.p, cases[i].model.n,
                                           &cases[i].line, &out, &err);
            hn_buffer_free(&out);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            if (!atomic_load(&f.mem_fail.hits)) {
                ck_assert_int_eq(st, i == 6 ? HONE_E_USAGE : HONE_OK);
                break;
            }
            ck_assert_msg(st == HONE_E_NOMEM, "case %zu, allocation %ld: %d", i, n, (int)st);
        }
        hn_buffer_free((struct hn_buffer *)(uintptr_t)&cases[i].model);
    }
}
END_TEST

/* ---- new models --------------------------------------------------------------------------------------------------------- */

START_TEST(new_models)
{
    struct hn_new_spec s;
    struct hn_buffer b = b_new();
    HN_OK(hn_new_parse(&s, "784-48-24-10 relu batchnorm dropout=0.5 softmax", &err), err);
    ck_assert_int_eq(s.n_widths, 4);
    ck_assert(s.widths[2] == 24 && s.dropout == 0.5 && s.norm == HN_NEW_BATCHNORM);
    HN_OK(hn_new_model(&test_mem, &s, &b, &err), err);
    struct pair p = open_graph(&b);
    static const char *const order[] = { "Gemm", "BatchNormalization",
                                         "Relu", "Dropout",
                                         "Gemm", "BatchNormalization",
                                         "Relu", "Dropout",
                                         "Gemm", "Softmax" };
    ck_assert_uint_eq(p.g->n_nodes, 10);
    for (size_t i = 0; i < 10; i++) ck_assert_str_eq(p.g->nodes[i].type, order[i]);
    const struct hn_tensor *w = value(p.g, "fc1.weight")->constant;
    ck_assert(w->dims[0] == 48 && w->dims[1] == 784);
    ck_assert(hn_tensor_f64(value(p.g, "bn2.running_var")->constant, 23) == 1);
    ck_assert_str_eq(value(p.g, "x")->decl_names[0], "N");
    ck_assert_int_eq(value(p.g, "x")->decl_dims[1], 784);
    ck_assert_int_eq(value(p.g, "y")->decl_dims[1], 10);
    ck_assert_int_eq((int)p.g->ir_version, 8);
    ck_assert_int_eq((int)p.g->opsets[0].version, 17);
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    close_graph(p);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(new_gelu_is_gelu)
{
    struct hn_new_spec s;
    struct hn_buffer b = b_new();
    HN_OK(hn_new_parse(&s, "1-1-1 gelu", &err), err);
    HN_OK(hn_new_model(&test_mem, &s, &b, &err), err);
    struct pair p = open_graph(&b);
    static const float one = 1;
    struct hn_patch patch[2] = { { (uint32_t)value(p.g, "fc1.weight")->tensor_id, HN_F32, &one },
                                 { (uint32_t)value(p.g, "fc2.weight")->tensor_id, HN_F32, &one } };
    struct hn_changes c = { patch, 2, NULL, 0 };
    struct hn_buffer out = b_new();
    HN_OK(hn_onnx_write(p.m, &c, 0, &out.sink, &err), err);
    close_graph(p);
    double x[3] = { -1, 0.5, 3 }, y[3];
    run(&out, x, 1, y, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(fabs(y[i] - 0.5 * x[i] * (1 + erf(x[i] / sqrt(2)))) < 1e-6);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(wrong_descriptions_are_refused)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        { "", "empty" },
        { "784", "one width" },
        { "784--10", "layer width" },
        { "784-x-10", "layer width" },
        { "784-0-10", "layer width" },
        { "784-10-", "layer width" },
        { "4-4-1 rleu", "wanted an activation" },
        { "4-4-1 dropout=1", "rate" },
        { "4-4-1 dropout=abc", "rate" },
        { "4-4-1 activation=foo", "wanted an activation" },
    };
    struct hn_new_spec s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(hn_new_parse(&s, bad[i].text, &err), HONE_E_USAGE);
        ck_assert_msg(strstr(err.text, bad[i].word) != NULL, "%s: %s", bad[i].text, err.text);
    }
    ck_assert_int_eq(hn_new_parse(&s, "4-4-1 rleu", &err), HONE_E_USAGE);
    ck_assert_str_eq(err.hint, "did you mean relu?");
    struct hn_buffer b = b_new();
    HN_OK(hn_new_parse(&s, "60000-60000-1", &err), err);
    ck_assert_int_eq(hn_new_model(&test_mem, &s, &b, &err), HONE_E_BUDGET);
    HN_OK(hn_new_parse(&s, "3-4-1 layernorm activation=sigmoid sigmoid dropout=0.1", &err), err);
    struct hn_fault f;
    for (long n = 1;; n++) {
        hn_fault_init(&f);
        f.mem_fail.at = n;
        struct hn_buffer out;
        hn_buffer_init(&out, &f.mem);
        hone_status st = hn_new_model(&f.mem, &s, &out, &err);
        hn_buffer_free(&out);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!atomic_load(&f.mem_fail.hits)) {
            ck_assert_int_eq(st, HONE_OK);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
}
END_TEST

HN_TEST_MAIN("edit", tcase_add_test(tc, untie_an_alias); tcase_add_test(tc, untie_one_use);
             tcase_add_test(tc, inference_form); tcase_add_test(tc, scalers);
             tcase_add_test(tc, the_inverse_of_targets_is_known_again);
             tcase_add_test(tc, integer_inputs_are_cast);
             tcase_add_test(tc, a_batch_of_indices_becomes_a_symbol);
             tcase_add_test(tc, batch_becomes_a_symbol); tcase_add_test(tc, batchnorm_in_and_out);
             tcase_add_test(tc, batchnorm_becomes_mul_add);
             tcase_add_test(tc, metadata_keys_are_renamed); tcase_add_test(tc, lines_in_a_row);
             tcase_add_test(tc, memory_may_run_out_in_every_edit); tcase_add_test(tc, new_models);
             tcase_add_test(tc, new_gelu_is_gelu);
             tcase_add_test(tc, wrong_descriptions_are_refused);)
