/* SPDX-License-Identifier: MIT
 *
 * Edits of models that define functions of their own: those that leave nodes alone keep the functions, the others write
 * the calls out, under the names the import shows, with the same function afterwards; or they are refused by name. */
#include "onnx/edit.h"
#include "onnx/wire.h"
#include "tests/fault.h"
#include "tests/onnx/eval.h"
#include "tests/onnx/functions.h"

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

static void refused(const struct hn_buffer *from, const char *text, const char *where,
                    const char *word)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, NULL, 0 };
    memset(&err, 0, sizeof err);
    hone_status st = hn_edit_apply(&test_mem, from->p, from->n, &line, &out, &err);
    ck_assert_msg(st == HONE_E_UNSUPPORTED && strstr(err.text, word) && !strcmp(err.where, where) &&
                      strstr(err.hint, "onnx.inliner"),
                  "%s: %d '%s': '%s' (%s)", text, (int)st, err.where, err.text, err.hint);
    ck_assert_uint_eq(out.n, 0);
    hn_buffer_free(&out);
}

struct shape { /* of a file */
    size_t nodes, functions, opsets;
};
/* Fields with that number in a message. */
static size_t fields(const unsigned char *p, size_t at, size_t end, uint32_t number)
{
    struct hn_field f;
    size_t n = 0;
    for (; at < end; at = f.data + f.n) {
        ck_assert_ptr_null(hn_field_get(p, at, end, &f));
        n += f.number == number;
    }
    return n;
}
static struct shape shape_of(const struct hn_buffer *b)
{
    const unsigned char *p = (const unsigned char *)b->p;
    struct shape s = { 0, fields(p, 0, b->n, M_FUNCTION), fields(p, 0, b->n, M_OPSET) };
    struct hn_field f;
    for (size_t at = 0; at < b->n; at = f.data + f.n) {
        ck_assert_ptr_null(hn_field_get(p, at, b->n, &f));
        if (f.number == M_GRAPH) s.nodes = fields(p, f.data, f.data + f.n, G_NODE);
    }
    return s;
}

static void run(const struct hn_buffer *b, double *y)
{
    struct pair p = open_graph(b);
    ev_run(p.g, rows, 3, 2, y, 6);
    close_graph(p);
}

static void same_function(const struct hn_buffer *a, const struct hn_buffer *b)
{
    double x[6], y[6];
    run(a, x);
    run(b, y);
    for (int i = 0; i < 6; i++) ck_assert_msg(fabs(x[i] - y[i]) < 1e-6, "%g %g", x[i], y[i]);
}

static int knows(const struct hn_buffer *b, const char *name)
{
    struct pair p = open_graph(b);
    int found = hn_graph_find(p.g, name) >= 0;
    close_graph(p);
    return found;
}

/* x → my.Linear → my.Own → my.Own → y */
static struct hn_buffer model(void)
{
    struct hn_buffer g = b_frame();
    b_sub(&g, G_NODE, b_call("l", "Linear", "x,w,b", "h"));
    b_sub(&g, G_NODE, b_call("o1", "Own", "h", "i"));
    b_sub(&g, G_NODE, b_call("o2", "Own", "i", "y"));
    struct hn_buffer m = b_model(10, 17, g);
    b_sub(&m, M_OPSET, b_opset("my", 1));
    b_sub(&m, M_FUNCTION, b_own());
    b_sub(&m, M_FUNCTION, b_linear());
    return m;
}

START_TEST(edits_of_ends_keep_functions)
{
    static const double shift[2] = { 1, 2 };
    struct hn_tensor v[2] = { { HN_F64, 1, { 2 }, 2, shift }, { HN_F64, 1, { 2 }, 2, shift } };
    struct hn_buffer m = model(), e = edited(&m, "scale-input x standard", v, 2);
    struct shape s = shape_of(&e);
    ck_assert(s.nodes == 5 && s.functions == 2);
    hn_buffer_free(&e);
    e = edited(&m, "scale-output y standard", v, 2);
    s = shape_of(&e);
    ck_assert(s.nodes == 5 && s.functions == 2);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

/* Bodies without what an edit changes stay, although it changes the graph. */
START_TEST(edits_that_concern_no_body)
{
    static const char *const lines[2] = { "inference", "batch-symbolic" };
    for (int with = 0; with < 2; with++)
        for (int i = 0; i < 2; i++) {
            struct hn_buffer g = b_frame(), f = b_linear(), m, e;
            b_sub(&g, G_NODE, b_call("l", "Linear", "x,w,b", "h"));
            b_sub(&g, G_NODE, b_node("d", "Dropout", "h,-,on", "y"));
            b_sub(&g, G_INIT, b_tensor("on", 9, SCALAR, "\1", 1));
            if (with) /* an operator of both kinds, in a body that is called or not */
                b_sub(&f, F_NODE,
                      i ? b_node("", "Reshape", "x,w", "r") : b_node("", "Dropout", "x", "r"));
            m = b_model(10, 17, g);
            b_sub(&m, M_FUNCTION, f);
            e = edited(&m, lines[i], NULL, 0);
            ck_assert_uint_eq(shape_of(&e).functions, with ? 0 : 1);
            if (i == 0) ck_assert(!knows(&e, "on"));
            hn_buffer_free(&e);
            hn_buffer_free(&m);
        }
}
END_TEST

/* One Constant a tensor, whatever the calls: what was tied stays tied. */
START_TEST(calls_are_written_out)
{
    struct hn_buffer m = model(), e = edited(&m, "batchnorm remove", NULL, 0);
    struct shape s = shape_of(&e);
    ck_assert(s.nodes == 6 && s.functions == 0 && s.opsets == 2);
    same_function(&m, &e);
    ck_assert(knows(&m, "o1/w") && knows(&e, "o1/w") && knows(&e, "l/h"));
    struct pair p = open_graph(&e);
    ck_assert_uint_eq(hn_graph_params(p.g)->n_params, 4);
    ck_assert_uint_eq(p.g->n_unties, 0); /* not even the biases, which are equal zeros */
    ck_assert_str_eq(hn_onnx_meta(p.m, HN_META_SHARED), "o1/w\no1/b");
    close_graph(p);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(edits_inside)
{
    struct hn_bn_site *sites;
    size_t n;
    struct hn_buffer m = model(), e, again;
    HN_OK(hn_edit_batchnorm_sites(&test_mem, m.p, m.n, &sites, &n, &err), err);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(sites[0].value, "l/h");
    ck_assert_str_eq(sites[1].value, "i");
    hn_edit_free_sites(&test_mem, sites, n);
    e = edited(&m, "batchnorm insert l/h", NULL, 0);
    ck_assert_uint_eq(shape_of(&e).nodes, 7);
    double x[6], y[6];
    run(&m, x);
    run(&e, y); /* identity but for epsilon */
    for (int i = 0; i < 6; i++) ck_assert_msg(fabs(x[i] - y[i]) < 1e-3, "%g %g", x[i], y[i]);
    again = edited(&e, "batchnorm remove", NULL, 0);
    same_function(&e, &again);
    hn_buffer_free(&again);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(hidden_layers)
{
    struct hn_hidden_info info;
    struct hn_buffer g = b_frame(), m, e;
    b_sub(&g, G_NODE, b_call("l", "Linear", "x,w,b", "h"));
    b_sub(&g, G_NODE, b_call("o", "Own", "h", "y"));
    m = b_model(10, 17, g);
    b_sub(&m, M_FUNCTION, b_own());
    b_sub(&m, M_FUNCTION, b_linear());
    HN_OK(hn_edit_hidden_info(&test_mem, m.p, m.n, &info, &err), err);
    ck_assert(info.n == 1 && info.width[0] == 2);
    ck_assert_str_eq(info.activation, "relu");
    e = edited(&m, "hidden units=4,3 activation=tanh", NULL, 0);
    HN_OK(hn_edit_hidden_info(&test_mem, e.p, e.n, &info, &err), err);
    ck_assert(info.n == 2 && info.width[0] == 4 && info.width[1] == 3);
    ck_assert_str_eq(info.activation, "tanh");
    ck_assert_uint_eq(shape_of(&e).functions, 0);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

/* The import's own lines: an Identity in the main graph keeps functions, a use inside a body writes them out. */
START_TEST(unties)
{
    static const float one[2] = { 1, 1 };
    struct hn_buffer f = b_function("N", "x,s,m,v", "y", 17), g = b_frame();
    b_sub(&f, F_NODE, b_node("bn", "BatchNormalization", "x,s,m,m,v", "y"));
    b_sub(&g, G_INIT, b_tensor("one", 1, DIMS(2), one, sizeof one));
    b_sub(&g, G_NODE, b_node("id", "Identity", "one", "var"));
    b_sub(&g, G_NODE, b_call("n1", "N", "x,one,b,var", "h"));
    b_sub(&g, G_NODE, b_call("n2", "N", "h,one,b,var", "y"));
    struct hn_buffer m = b_model(10, 17, g), e;
    b_sub(&m, M_FUNCTION, f);
    size_t lines = 0;
    for (int kept = 1;; lines++) {
        struct pair p = open_graph(&m);
        char line[100] = "";
        if (p.g->n_unties) snprintf(line, sizeof line, "%s", p.g->unties[0].line);
        close_graph(p);
        if (!line[0]) break;
        e = edited(&m, line, NULL, 0);
        kept &= strcmp(line, "untie var") == 0;
        ck_assert_msg(shape_of(&e).functions == (size_t)kept, "%s", line);
        same_function(&m, &e);
        hn_buffer_free(&m);
        m = e;
        ck_assert_uint_lt(lines, 8);
    }
    ck_assert_uint_eq(lines, 2); /* var, and the mean of both calls, which is one */
    hn_buffer_free(&m);
}
END_TEST

START_TEST(training_form_in_a_body)
{
    static const float one[2] = { 1, 1 };
    struct hn_buffer f = b_function("N", "x,s", "y", 17), g = b_frame();
    struct hn_buffer n = b_node("bn", "BatchNormalization", "x,s,s,s,s", "y,m,v");
    b_str(&f, F_ATTR, "mode");
    b_sub(&n, N_ATTR, b_attr_ref("training_mode", "mode", 2));
    b_sub(&f, F_NODE, n);
    b_sub(&g, G_INIT, b_tensor("one", 1, DIMS(2), one, sizeof one));
    b_sub(&g, G_NODE, b_with(b_call("c", "N", "x,one", "y"), N_ATTR, b_attr_int("mode", 1)));
    struct hn_buffer m = b_model(10, 17, g), e;
    b_sub(&m, M_FUNCTION, f);
    struct pair p = open_graph(&m);
    ck_assert(p.g->needs_inference);
    close_graph(p);
    e = edited(&m, "inference", NULL, 0);
    p = open_graph(&e);
    ck_assert(!p.g->needs_inference && p.g->nodes[0].n_out == 1);
    close_graph(p);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

/* A function's versions: alike for what it uses, missing in the model, different. */
START_TEST(versions)
{
    static const struct {
        int opset;
        const char *op, *in, *word;
    } cases[] = {
        { 18, "Gemm", "x,w,b", NULL },
        { 14, "Gemm", "x,w,b", NULL },
        { 9, "Gemm", "x,w,b", "Gemm is of opset 9 in the function, of opset 17 in the model" },
        { 25, "Gemm", "x,w,b", "Gemm is of opset 25 in the function" },
        { 12, "Softmax", "x", "Softmax is of opset 12 in the function" },
        { 0, "Gemm", "x,w,b", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_buffer f = b_function("F", "x,w,b", "y", cases[i].opset), g = b_frame();
        b_sub(&f, F_NODE, b_node("n", cases[i].op, cases[i].in, "y"));
        b_sub(&g, G_NODE, b_call("c", "F", "x,w,b", "y"));
        struct hn_buffer m = b_model(10, 17, g);
        b_sub(&m, M_FUNCTION, f);
        if (cases[i].word) {
            refused(&m, "batchnorm remove", "my.F", cases[i].word);
        } else {
            struct hn_buffer e = edited(&m, "batchnorm remove", NULL, 0);
            same_function(&m, &e);
            ck_assert_uint_eq(shape_of(&e).functions, 0);
            hn_buffer_free(&e);
        }
        hn_buffer_free(&m);
    }
    /* a main graph of calls only imports nothing else */
    struct hn_buffer g = b_frame(), m = b_new(), e;
    b_sub(&g, G_NODE, b_call("c", "Linear", "x,w,b", "y"));
    b_int(&m, M_IR, 10);
    b_sub(&m, M_GRAPH, g);
    b_sub(&m, M_OPSET, b_opset("my", 1));
    b_sub(&m, M_FUNCTION, b_linear());
    struct pair p = open_graph(&m);
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    close_graph(p);
    e = edited(&m, "batchnorm remove", NULL, 0);
    ck_assert_uint_eq(shape_of(&e).opsets, 2);
    same_function(&m, &e);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

static struct hn_buffer b_if(const char *then)
{
    struct hn_buffer sub = b_new(), a = b_new(), n = b_node("if", "If", "x", "t");
    b_str(&sub, G_NAME, "s");
    b_sub(&sub, G_NODE, b_call("", then, "x", "inner"));
    b_sub(&sub, G_OUTPUT, b_info("inner", 1, "N,2"));
    b_str(&a, A_NAME, "then_branch");
    b_sub(&a, A_G, sub);
    b_int(&a, A_TYPE, 5);
    b_sub(&n, N_ATTR, a);
    return n;
}

/* A body with a graph inside cannot be written out; a graph outside may still need the functions. */
START_TEST(subgraphs)
{
    struct hn_buffer f = b_function("F", "x", "y", 17), g = b_frame();
    b_sub(&f, F_NODE, b_if("Own"));
    b_sub(&f, F_NODE, b_node("n", "Neg", "x", "y"));
    b_sub(&g, G_NODE, b_call("c", "F", "x", "y"));
    struct hn_buffer m = b_model(10, 17, g);
    b_sub(&m, M_FUNCTION, f);
    b_sub(&m, M_FUNCTION, b_own());
    refused(&m, "batchnorm remove", "my.F", "node 'c/if' holds a graph of its own");
    hn_buffer_free(&m);

    g = b_frame();
    b_sub(&g, G_NODE, b_if("Own"));
    b_sub(&g, G_NODE, b_call("c", "Own", "x", "y"));
    m = b_model(10, 17, g);
    b_sub(&m, M_FUNCTION, b_own());
    struct hn_buffer e = edited(&m, "batchnorm remove", NULL, 0);
    struct shape s = shape_of(&e);
    ck_assert(s.functions == 1 && s.nodes == 4);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(an_ensemble_of_such_models)
{
    struct hn_buffer m = model();
    struct hn_tensor bytes = { HN_U8, 1, { (int64_t)m.n }, (int64_t)m.n, m.p };
    struct hn_buffer e = edited(&m, "ensemble mean y", &bytes, 1);
    ck_assert_uint_eq(shape_of(&e).functions, 0);
    hn_buffer_free(&e);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    struct hn_buffer b = model();
    for (long at = 1;; at++) {
        struct hn_fault fault;
        struct hn_edit_line line = { "batchnorm insert", NULL, 0 };
        struct hn_buffer out;
        hn_fault_init(&fault);
        fault.mem_fail.at = at;
        hn_buffer_init(&out, &fault.mem);
        hone_status st = hn_edit_apply(&fault.mem, b.p, b.n, &line, &out, &err);
        hn_buffer_free(&out);
        ck_assert_int_eq(hn_fault_leaks(&fault), 0);
        if (!fault.mem_fail.hits) {
            HN_OK(st, err);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
    hn_buffer_free(&b);
}
END_TEST

HN_TEST_MAIN("inline", hn_mem_init(&test_mem, 0); tcase_add_test(tc, edits_of_ends_keep_functions);
             tcase_add_test(tc, edits_that_concern_no_body);
             tcase_add_test(tc, calls_are_written_out); tcase_add_test(tc, edits_inside);
             tcase_add_test(tc, hidden_layers); tcase_add_test(tc, unties);
             tcase_add_test(tc, training_form_in_a_body); tcase_add_test(tc, versions);
             tcase_add_test(tc, subgraphs); tcase_add_test(tc, an_ensemble_of_such_models);
             tcase_add_test(tc, every_allocation_may_fail);)
