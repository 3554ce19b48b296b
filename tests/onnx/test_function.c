/* SPDX-License-Identifier: MIT
 *
 * Calls of a model's own functions in the graph: names, arguments left out, attributes, versions, overloads; weights in
 * bodies and how they are written back; files made to exhaust memory or the stack. */
#include "onnx/save.h"
#include "tests/fault.h"
#include "tests/onnx/eval.h"
#include "tests/onnx/functions.h"

static hone_error err;
static const double rows[6] = { 1, 2, -3, 0.5, 0.25, -1 }; /* [3, 2] */

/* Opens, compares the bytes that nothing changed in, and imports. */
static struct pair import(const struct hn_buffer *b)
{
    struct pair p = open_graph(b);
    struct hn_buffer same = b_new();
    HN_OK(hn_onnx_write(p.m, NULL, 0, &same.sink, &err), err);
    ck_assert(same.n == b->n && memcmp(same.p, b->p, b->n) == 0);
    hn_buffer_free(&same);
    return p;
}

static void refused(struct hn_buffer b, hone_status code, const char *where, const char *word)
{
    struct hn_onnx *m;
    struct hn_graph *g = NULL;
    memset(&err, 0, sizeof err);
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, b.p, b.n, NULL, "t", &err), err);
    hone_status st = hn_onnx_graph(m, NULL, &g, &err);
    ck_assert_msg(st == code && strstr(err.text, word) && strcmp(err.where, where) == 0,
                  "%d '%s': '%s', wanted %d '%s' with '%s'", (int)st, err.where, err.text,
                  (int)code, where, word);
    ck_assert_ptr_null(g);
    hn_onnx_close(m);
    hn_buffer_free(&b);
}

static const struct hn_node *node(const struct hn_graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i].name, name) == 0) return &g->nodes[i];
    ck_abort_msg("no node '%s'", name);
}

static const char *in(const struct hn_graph *g, const char *name, int k)
{
    return g->values[node(g, name)->in[k]].name;
}
static const char *out(const struct hn_graph *g, const char *name, int k)
{
    return g->values[node(g, name)->out[k]].name;
}

static int has_issue(const struct hn_graph *g, const char *word)
{
    for (size_t i = 0; i < g->n_issues; i++)
        if (strstr(g->issues[i].what, word)) return 1;
    return 0;
}

/* A model of one call y = my.F(x) and the functions given, which are freed. */
static struct hn_buffer model_of(struct hn_buffer call, struct hn_buffer *f, size_t n)
{
    struct hn_buffer g = b_frame();
    b_sub(&g, G_NODE, call);
    struct hn_buffer m = b_model(10, 17, g);
    b_sub(&m, M_OPSET, b_opset("my", 1));
    for (size_t i = 0; i < n; i++) b_sub(&m, M_FUNCTION, f[i]);
    return m;
}
static struct hn_buffer one_function(struct hn_buffer f)
{
    return model_of(b_call("c", "F", "x", "y"), &f, 1);
}

START_TEST(a_call_becomes_its_nodes)
{
    struct hn_buffer f = b_linear(), m = model_of(b_call("fc", "Linear", "x,w,b", "y"), &f, 1);
    struct pair p = import(&m);
    double y[6];
    ck_assert_uint_eq(p.g->n_nodes, 2);
    ck_assert_str_eq(in(p.g, "fc/gemm", 0), "x");
    ck_assert_str_eq(in(p.g, "fc/gemm", 1), "w");
    ck_assert_str_eq(out(p.g, "fc/gemm", 0), "fc/h");
    ck_assert_str_eq(in(p.g, "fc/Relu#1", 0), "fc/h");
    ck_assert_str_eq(out(p.g, "fc/Relu#1", 0), "y");
    ck_assert_int_eq(hn_graph_blocked(p.g, 1, &err), HONE_OK);
    ck_assert_uint_eq(hn_graph_params(p.g)->n_params, 2);
    ck_assert_uint_eq(p.g->n_issues, 0);
    ev_run(p.g, rows, 3, 2, y, 6);
    ck_assert(y[0] == 1 * 1 + 2 * 3 + 0.5 && y[1] == 1 * 2 + 2 * 4 - 1 && y[2] == 0);
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

/* Inner before outer and the other way round; names say the way; a name that is taken gets a number. */
START_TEST(calls_inside_functions)
{
    for (int turned = 0; turned < 2; turned++) {
        struct hn_buffer outer = b_function("Net", "x,w,b", "y", 17), f[2], g = b_frame();
        b_sub(&outer, F_NODE, b_call("", "Linear", "x,w,b", "h"));
        b_sub(&outer, F_NODE, b_call("last", "Linear", "h,w,b", "y"));
        f[turned] = outer;
        f[!turned] = b_linear();
        b_sub(&g, G_NODE, b_call("", "Net", "x,w,b", "t"));
        b_sub(&g, G_NODE, b_node("", "Identity", "t", "Net#0/last/h"));
        b_sub(&g, G_NODE, b_call("same", "Linear", "Net#0/last/h,w,b", "s"));
        b_sub(&g, G_NODE, b_call("same", "Linear", "s,w,b", "y"));
        struct hn_buffer m = b_model(10, 17, g);
        for (int i = 0; i < 2; i++) b_sub(&m, M_FUNCTION, f[i]);
        struct pair p = import(&m);
        ck_assert_uint_eq(p.g->n_nodes, 9);
        ck_assert_str_eq(out(p.g, "Net#0/Linear#0/Relu#1", 0), "Net#0/h");
        ck_assert_str_eq(in(p.g, "Net#0/last/gemm", 0), "Net#0/h");
        ck_assert_str_eq(out(p.g, "Net#0/last/gemm", 0), "Net#0/last/h_1");
        ck_assert_str_eq(out(p.g, "Net#0/last/Relu#1", 0), "t");
        ck_assert_str_eq(out(p.g, "same/gemm", 0), "same/h");
        ck_assert_str_eq(out(p.g, "same/gemm_1", 0), "same/h_1");
        ck_assert_uint_eq(hn_graph_params(p.g)->n_params, 2); /* four calls, one pair of tensors */
        ck_assert(has_issue(p.g, "'w' is used 4 times"));
        ck_assert_int_eq(hn_graph_blocked(p.g, 1, &err), HONE_OK);
        close_graph(p);
        hn_buffer_free(&m);
    }
}
END_TEST

START_TEST(attributes_of_the_call)
{
    struct hn_buffer f[2] = { b_function("F", "x", "y", 17), b_function("G", "x", "y", 17) };
    b_str(&f[0], F_ATTR, "slope");
    b_sub(&f[0], F_NODE,
          b_with(b_call("g", "G", "x", "y"), N_ATTR, b_attr_ref("inner", "slope", 1)));
    b_str(&f[1], F_ATTR, "inner");
    b_sub(&f[1], F_DEFAULT, b_attr_float("other", 0.25f));
    b_sub(&f[1], F_NODE,
          b_with(b_node("given", "LeakyRelu", "x", "a"), N_ATTR, b_attr_ref("alpha", "inner", 1)));
    b_sub(
        &f[1], F_NODE,
        b_with(b_node("default", "LeakyRelu", "a", "b"), N_ATTR, b_attr_ref("alpha", "other", 1)));
    b_sub(&f[1], F_NODE,
          b_with(b_node("absent", "LeakyRelu", "b", "y"), N_ATTR, b_attr_ref("alpha", "none", 1)));
    struct hn_buffer call = b_call("c", "F", "x", "y");
    b_sub(&call, N_ATTR, b_attr_float("slope", 0.5f));
    b_sub(&call, N_ATTR, b_attr_int("nobody asks", 1));
    struct hn_buffer m = model_of(call, f, 2);
    struct pair p = import(&m);
    ck_assert(node(p.g, "c/g/given")->n_attrs == 1 && node(p.g, "c/g/given")->attrs[0].f == 0.5f);
    ck_assert_str_eq(node(p.g, "c/g/given")->attrs[0].name, "alpha");
    ck_assert(!node(p.g, "c/g/given")->attrs[0].is_ref);
    ck_assert(node(p.g, "c/g/default")->attrs[0].f == 0.25f);
    ck_assert_int_eq(node(p.g, "c/g/absent")->n_attrs, 0);
    ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_OK);
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(wrong_attributes_are_refused)
{
    struct hn_buffer f = b_function("F", "x", "y", 17), call = b_call("c", "F", "x", "y");
    b_sub(&f, F_NODE,
          b_with(b_node("n", "LeakyRelu", "x", "y"), N_ATTR, b_attr_ref("alpha", "slope", 1)));
    b_sub(&call, N_ATTR, b_attr_int("slope", 1));
    refused(model_of(call, &f, 1), HONE_E_MODEL, "c", "of type 2, the function 'my.F' wants 1");

    f = b_function("F", "x", "y", 17);
    b_sub(&f, F_DEFAULT, b_attr_ref("slope", "slope", 1));
    b_sub(&f, F_NODE,
          b_with(b_node("n", "LeakyRelu", "x", "y"), N_ATTR, b_attr_ref("alpha", "slope", 1)));
    refused(one_function(f), HONE_E_MODEL, "my.F", "is a reference itself");

    for (int form = 0; form < 3; form++) {
        static const char *const words[3] = { "'a' is given twice", "has no name",
                                              "257 attributes, at most 256" };
        f = b_linear();
        call = b_call("c", "Linear", "x,w,b", "y");
        for (int i = 0; i < (form == 2 ? 257 : 2); i++)
            b_sub(&call, N_ATTR, b_attr_int(form == 1 && i ? "" : "a", 1));
        refused(model_of(call, &f, 1), form == 2 ? HONE_E_BUDGET : HONE_E_MODEL, "c", words[form]);
        f = b_linear();
        for (int i = 0; i < 257 && form; i++)
            b_sub(&f, form == 1 ? F_DEFAULT : F_OPSET,
                  form == 1 ? b_attr_int("a", 1) : b_opset("", 17));
        if (!form)
            hn_buffer_free(&f);
        else
            refused(model_of(b_call("c", "Linear", "x,w,b", "y"), &f, 1), HONE_E_BUDGET,
                    "my.Linear", "at most 256 are taken");
    }

    f = b_linear();
    call = b_with(b_call("c", "Linear", "x,w,b", "y"), N_ATTR, b_attr_ref("a", "b", 1));
    refused(model_of(call, &f, 1), HONE_E_MODEL, "c", "outside of one");
}
END_TEST

START_TEST(arguments_left_out)
{
    struct hn_buffer f = b_function("F", "x,lo,hi", "y,unused,also", 17);
    b_sub(&f, F_NODE, b_node("clip", "Clip", "x,lo,hi", "y"));
    b_sub(&f, F_NODE, b_node("more", "Neg", "y", "unused"));
    b_sub(&f, F_NODE, b_node("most", "Neg", "y", "also"));
    for (int form = 0; form < 2; form++) {
        struct hn_buffer copy = b_new();
        b_raw(&copy, f.p, f.n);
        struct hn_buffer m = model_of(
            form ? b_call("c", "F", "x,-,-", "y,-,t") : b_call("c", "F", "x", "y"), &copy, 1);
        struct pair p = import(&m);
        ck_assert_int_eq(node(p.g, "c/clip")->in[1], -1);
        ck_assert_int_eq(node(p.g, "c/clip")->in[2], -1);
        ck_assert_str_eq(out(p.g, "c/more", 0), "c/unused");
        ck_assert_str_eq(out(p.g, "c/most", 0), form ? "t" : "c/also");
        ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_OK);
        close_graph(p);
        hn_buffer_free(&m);
    }
    struct hn_buffer copy = b_new();
    b_raw(&copy, f.p, f.n);
    refused(model_of(b_call("c", "F", "x,x,x,x", "y"), &copy, 1), HONE_E_MODEL, "c",
            "the call has 4 inputs, the function 'my.F' has 3");
    refused(model_of(b_call("c", "F", "x", "y,p,q,r"), &f, 1), HONE_E_MODEL, "c",
            "the call has 4 outputs, the function 'my.F' has 3");
}
END_TEST

/* An input handed through, and one value given twice. */
START_TEST(outputs_without_a_node_of_their_own)
{
    struct hn_buffer f = b_function("F", "x,z", "x,p,p", 17), g = b_frame();
    b_sub(&f, F_NODE, b_node("n", "Neg", "z", "p"));
    b_sub(&g, G_NODE, b_call("c", "F", "x,x", "same,a,b2"));
    b_sub(&g, G_NODE, b_node("sum", "Sum", "same,a,b2", "y"));
    struct hn_buffer m = b_model(10, 17, g);
    b_sub(&m, M_FUNCTION, f);
    struct pair p = import(&m);
    double y[6];
    ck_assert_uint_eq(p.g->n_nodes, 4);
    ck_assert_str_eq(in(p.g, "c/Identity", 0), "x");
    ck_assert_str_eq(out(p.g, "c/Identity", 0), "same");
    ck_assert_str_eq(in(p.g, "c/Identity_1", 0), "a");
    ev_run(p.g, rows, 3, 2, y, 6);
    for (int i = 0; i < 6; i++) ck_assert(y[i] == -rows[i]);
    close_graph(p);
    hn_buffer_free(&m);
    f = b_function("F", "x,z", "z", 17);
    refused(model_of(b_call("c", "F", "x", "y"), &f, 1), HONE_E_MODEL, "c",
            "output 'y' is an input that the call does not give");
}
END_TEST

/* Squeeze takes its axes as an attribute up to opset 12, as an input from 13 on. */
START_TEST(a_function_has_versions_of_its_own)
{
    static const int64_t axis[1] = { 1 };
    struct hn_buffer f = b_function("F", "x", "y", 11), n = b_node("u", "Unsqueeze", "x", "t"), a;
    a = b_new();
    b_str(&a, A_NAME, "axes");
    b_int(&a, A_INTS, axis[0]);
    b_int(&a, A_TYPE, 7);
    b_sub(&n, N_ATTR, a);
    b_sub(&f, F_NODE, n);
    b_sub(&f, F_NODE, b_node("f", "Flatten", "t", "y"));
    struct hn_buffer m = one_function(f);
    struct pair p = import(&m);
    ck_assert_int_eq((int)node(p.g, "c/u")->version, 11);
    ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_OK);
    close_graph(p);
    hn_buffer_free(&m);

    f = b_function("F", "x", "y", 6); /* what is too old is said with the function's version */
    b_sub(&f, F_NODE, b_node("n", "Gemm", "x,x,x", "y"));
    m = one_function(f);
    p = import(&m);
    ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "Gemm is not supported at opset 6"), "%s", err.text);
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

/* PyTorch writes the weight a second time, as an attribute of the call that nothing reads. */
START_TEST(tensors_that_nobody_reads)
{
    static const float w[4] = { 1, 2, 3, 4 };
    struct hn_buffer f = b_linear(), call = b_call("fc", "Linear", "x,w,b", "y");
    b_sub(&call, N_ATTR, b_attr_tensor("weight", b_tensor("", 1, DIMS(2, 2), w, sizeof w)));
    struct hn_buffer m = model_of(call, &f, 1);
    struct pair p = import(&m);
    ck_assert_uint_eq(hn_graph_params(p.g)->n_params, 2);
    ck_assert(has_issue(p.g, "do not read, the first one 'weight' of 'fc'"));
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(overloads_and_standard_names)
{
    struct hn_buffer f[3] = { b_function("F", "x", "y", 17), b_function("F", "x", "y", 17),
                              b_new() };
    b_sub(&f[0], F_NODE, b_node("plain", "Neg", "x", "y"));
    b_str(&f[1], F_OVERLOAD, "two");
    b_sub(&f[1], F_NODE, b_node("loaded", "Tanh", "x", "y"));
    b_str(&f[2], F_NAME, "Relu"); /* of the standard domain, under its other name */
    b_str(&f[2], F_DOMAIN, "ai.onnx");
    b_names(&f[2], F_IN, "x");
    b_names(&f[2], F_OUT, "y");
    b_sub(&f[2], F_NODE, b_node("own", "Abs", "x", "y"));
    struct hn_buffer g = b_frame(), call = b_call("c2", "F", "a", "b2");
    b_str(&call, N_OVERLOAD, "two");
    b_sub(&g, G_NODE, b_call("c1", "F", "x", "a"));
    b_sub(&g, G_NODE, call);
    b_sub(&g, G_NODE, b_node("r", "Relu", "b2", "y"));
    struct hn_buffer m = b_model(10, 17, g);
    for (int i = 0; i < 3; i++) b_sub(&m, M_FUNCTION, f[i]);
    struct pair p = import(&m);
    ck_assert_str_eq(node(p.g, "c1/plain")->type, "Neg");
    ck_assert_str_eq(node(p.g, "c2/loaded")->type, "Tanh");
    ck_assert_str_eq(node(p.g, "r/own")->type, "Abs");
    ck_assert(has_issue(p.g, "own function 'Relu' stands in the domain of the standard operators"));
    ck_assert_uint_eq(p.g->n_nodes, 3);
    close_graph(p);
    hn_buffer_free(&m);

    call = b_call("c", "F", "x", "y"); /* another overload is another function */
    b_str(&call, N_OVERLOAD, "three");
    f[0] = b_function("F", "x", "y", 17);
    b_sub(&f[0], F_NODE, b_node("plain", "Neg", "x", "y"));
    m = model_of(call, f, 1);
    p = import(&m);
    ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_E_UNSUPPORTED);
    ck_assert(has_issue(p.g, "1 functions that its graph does not call, the first one 'my.F'"));
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

/* ---- weights inside bodies ---------------------------------------------------------------------------------------- */

/* Two calls of a function that has its weights: one place in the file, one parameter, whatever its values are. */
START_TEST(weights_of_a_body_are_tied)
{
    struct hn_buffer g = b_frame(), m;
    b_sub(&g, G_NODE, b_call("one", "Own", "x", "h"));
    b_sub(&g, G_NODE, b_call("two", "Own", "h", "y"));
    m = b_model(10, 17, g);
    b_sub(&m, M_FUNCTION, b_own());
    struct pair p = import(&m);
    const struct hn_param_list *l = hn_graph_params(p.g);
    ck_assert_uint_eq(p.g->n_nodes, 4);
    ck_assert_str_eq(in(p.g, "one/gemm", 1), "one/w");
    ck_assert_str_eq(in(p.g, "two/gemm", 1), "one/w");
    ck_assert_str_eq(in(p.g, "two/gemm", 2), "one/b");
    ck_assert_uint_eq(l->n_params, 2);
    ck_assert(l->params[0].trained && l->params[1].trained && l->params[1].n_uses == 2);
    ck_assert_uint_eq(p.g->n_unties, 0);

    const struct hn_value *w = &p.g->values[node(p.g, "one/gemm")->in[1]];
    static const double fresh[4] = { 1, -1, 0.5, 8 };
    struct hn_patch patch = { (uint32_t)w->tensor_id, HN_F64, fresh };
    struct hn_changes c = { &patch, 1, NULL, 0 };
    struct hn_buffer written = b_new();
    ck_assert_int_ge(w->tensor_id, 0);
    ck_assert_int_eq(p.m->scan.tensors[w->tensor_id].place, HN_AT_ATTRIBUTE);
    HN_OK(hn_onnx_write(p.m, &c, 0, &written.sink, &err), err);
    ck_assert_uint_eq(written.n, m.n); /* the tensor's 16 bytes and nothing else */
    size_t differ = 0, first = 0, last = 0;
    for (size_t i = 0; i < m.n; i++)
        if (written.p[i] != m.p[i]) {
            if (!differ++) first = i;
            last = i;
        }
    ck_assert(differ > 4 && last - first < 16);
    struct pair again = open_graph(&written);
    double y[6], h;
    ev_run(again.g, rows, 3, 2, y, 6);
    h = rows[0] * fresh[1] + rows[1] * fresh[3];
    ck_assert(y[0] == (rows[0] * fresh[0] + rows[1] * fresh[2]) * fresh[0] + h * fresh[2]);
    close_graph(again);
    close_graph(p);
    hn_buffer_free(&written);
    hn_buffer_free(&m);
}
END_TEST

/* The same where a function only hands out its weight, and where a body mentions it before its Constant stands there. */
START_TEST(weights_handed_out_are_tied)
{
    static const float v[4] = { 1, 2, 3, 4 };
    struct hn_buffer f[2] = { b_function("W", "", "w", 17), b_function("L", "x", "y", 17) };
    struct hn_buffer g = b_frame();
    b_sub(&f[0], F_NODE, b_constant("w", DIMS(2, 2), v, 4));
    b_sub(&f[1], F_NODE, b_node("mul", "MatMul", "x,late", "y"));
    b_sub(&f[1], F_NODE, b_constant("late", DIMS(2, 2), v, 4));
    b_sub(&g, G_NODE, b_call("w1", "W", "", "p"));
    b_sub(&g, G_NODE, b_call("w2", "W", "", "q"));
    b_sub(&g, G_NODE, b_node("m1", "MatMul", "x,p", "a"));
    b_sub(&g, G_NODE, b_node("m2", "MatMul", "a,q", "b2"));
    b_sub(&g, G_NODE, b_call("l1", "L", "b2", "c"));
    b_sub(&g, G_NODE, b_call("l2", "L", "c", "y"));
    struct hn_buffer m = b_model(10, 17, g);
    for (int i = 0; i < 2; i++) b_sub(&m, M_FUNCTION, f[i]);
    struct pair p = import(&m);
    const struct hn_param_list *l = hn_graph_params(p.g);
    ck_assert_uint_eq(l->n_params, 2);
    ck_assert(l->params[0].n_uses == 2 && l->params[1].n_uses == 2);
    ck_assert_uint_eq(p.g->n_unties, 0);
    ck_assert_str_eq(in(p.g, "l2/mul", 1), "l1/late");
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

/* A tensor that comes as an attribute of the call is that call's; statistics of calls are never shared. */
START_TEST(tensors_of_calls_and_statistics)
{
    static const float v[4] = { 1, 2, 3, 4 }, ones[2] = { 1, 1 };
    struct hn_buffer f[2] = { b_function("F", "x", "y", 17), b_function("N", "x", "y", 17) };
    struct hn_buffer g = b_frame(), call;
    b_str(&f[0], F_ATTR, "weight");
    b_sub(&f[0], F_NODE,
          b_with(b_node("", "Constant", "", "w"), N_ATTR, b_attr_ref("value", "weight", 4)));
    b_sub(&f[0], F_NODE, b_node("mul", "MatMul", "x,w", "y"));
    b_sub(&f[1], F_NODE, b_constant("s", DIMS(2), ones, 2));
    b_sub(&f[1], F_NODE, b_constant("m", DIMS(2), ones, 2));
    b_sub(&f[1], F_NODE, b_node("bn", "BatchNormalization", "x,s,s,m,m", "y"));
    const char *names[3] = { "c1", "c2", "c3" }, *ends[4] = { "x", "a", "b2", "c" };
    for (int i = 0; i < 3; i++) {
        call = b_call(names[i], "F", ends[i], ends[i + 1]);
        b_sub(&call, N_ATTR, b_attr_tensor("weight", b_tensor("", 1, DIMS(2, 2), v, sizeof v)));
        b_sub(&g, G_NODE, call);
    }
    b_sub(&g, G_NODE, b_call("n1", "N", "c", "d"));
    b_sub(&g, G_NODE, b_call("n2", "N", "d", "y"));
    struct hn_buffer m = b_model(10, 17, g);
    for (int i = 0; i < 2; i++) b_sub(&m, M_FUNCTION, f[i]);
    struct pair p = import(&m);
    int weights = 0;
    for (size_t i = 0; i < hn_graph_params(p.g)->n_params; i++)
        weights += p.g->values[hn_graph_params(p.g)->params[i].value].shape.rank == 2;
    ck_assert_int_eq(weights, 3);
    ck_assert_str_ne(in(p.g, "c1/mul", 1), in(p.g, "c2/mul", 1));
    ck_assert(!has_issue(p.g, "do not read"));
    ck_assert_str_eq(in(p.g, "n2/bn", 3), "n1/m");
    ck_assert_uint_eq(p.g->n_unties, 3); /* mean and variance of two calls: all but the first */
    ck_assert_str_eq(p.g->unties[0].line, "untie n1/m n1/bn 4");
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

/* ---- hostile and odd ones ------------------------------------------------------------------------------------------ */

/* F0 is x → y, and each further one calls the one before it `times` times in a row. */
static struct hn_buffer tower(int levels, int times)
{
    struct hn_buffer m = model_of(b_call("c", "top", "x", "y"), NULL, 0);
    for (int i = 0; i <= levels; i++) {
        char name[32], inner[32], from[32], to[32];
        snprintf(name, sizeof name, i < levels ? "F%d" : "top", i);
        snprintf(inner, sizeof inner, "F%d", i - 1);
        struct hn_buffer f = b_function(name, "v0", "out", 17);
        for (int k = 0; k < times && i; k++) {
            snprintf(from, sizeof from, "v%d", k);
            snprintf(to, sizeof to, k + 1 < times ? "v%d" : "out", k + 1);
            b_sub(&f, F_NODE, b_call("", inner, from, to));
        }
        if (!i) b_sub(&f, F_NODE, b_node("", "Neg", "v0", "out"));
        b_sub(&m, M_FUNCTION, f);
    }
    return m;
}

/* Refused before a node is made: the memory that the budget would allow is not touched. */
START_TEST(exponential_growth_is_refused)
{
    for (int times = 2; times <= 50; times += 48) {
        struct hn_mem mem;
        struct hn_onnx *m;
        struct hn_graph *g = NULL;
        struct hn_buffer b = tower(times == 2 ? 40 : 20, times);
        hn_mem_init(&mem, 0);
        HN_OK(hn_onnx_open_bytes(&m, &mem, &hn_io_system, b.p, b.n, NULL, "t", &err), err);
        size_t before = atomic_load(&mem.peak);
        ck_assert_int_eq(hn_onnx_graph(m, NULL, &g, &err), HONE_E_BUDGET);
        ck_assert_msg(strstr(err.text, "expanding the calls of functions"), "%s", err.text);
        ck_assert_str_eq(err.where, "my.top");
        ck_assert_uint_lt(atomic_load(&mem.peak), before + (1u << 20));
        hn_onnx_close(m);
        hn_buffer_free(&b);
    }
}
END_TEST

/* What growth is not: a function of long names and texts called many times, which the count of nodes does not show. */
START_TEST(wide_growth_is_refused)
{
    enum { LONG = 100000 };
    char *text = malloc(LONG + 1);
    memset(text, 'n', LONG);
    text[LONG] = 0;
    for (int form = 0; form < 3; form++) {
        struct hn_buffer f = b_function("F", "x", "y", 17), g = b_frame(), a = b_new();
        if (form == 0) {
            b_sub(&f, F_NODE, b_node("", "Neg", "x", text));
            b_sub(&f, F_NODE, b_node("", "Neg", text, "y"));
        } else {
            struct hn_buffer n = b_node("", "Neg", "x", "y");
            b_str(&a, A_NAME, "a");
            b_str(&a, form == 1 ? A_S : A_STRINGS, text);
            b_int(&a, A_TYPE, form == 1 ? 3 : 8);
            b_sub(&n, N_ATTR, a);
            b_sub(&f, F_NODE, n);
        }
        if (form == 0) hn_buffer_free(&a);
        for (int i = 0; i < 2000; i++) b_sub(&g, G_NODE, b_call("c", "F", "x", "-"));
        b_sub(&g, G_NODE, b_call("c", "F", "x", "y"));
        struct hn_buffer m = b_model(10, 17, g);
        b_sub(&m, M_FUNCTION, f);
        refused(m, HONE_E_BUDGET, "my.F", "expanding the calls of functions");
    }
    free(text);
}
END_TEST

/* Names that are taken are not tried one after the other: this would not end soon. */
START_TEST(many_calls_and_many_functions)
{
    struct hn_buffer g = b_frame(), f = b_linear(), m;
    for (int i = 0; i < 10000; i++) b_sub(&g, G_NODE, b_call("c", "Linear", "x,w,b", "-"));
    b_sub(&g, G_NODE, b_call("c", "Linear", "x,w,b", "y"));
    m = b_model(10, 17, g);
    b_sub(&m, M_FUNCTION, f);
    for (int i = 0; i < 10000; i++) {
        char name[32];
        snprintf(name, sizeof name, "F%d", i);
        f = b_function(name, "x", "y", 17);
        b_sub(&f, F_NODE, b_node("", "Neg", "x", "y"));
        b_sub(&m, M_FUNCTION, f);
    }
    struct pair p = import(&m);
    ck_assert_uint_eq(p.g->n_nodes, 20002);
    ck_assert_str_eq(out(p.g, "c/gemm_10000", 0), "c/h_10000");
    ck_assert(
        has_issue(p.g, "10000 functions that its graph does not call, the first one 'my.F0'"));
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(depth_is_bounded)
{
    struct hn_buffer m = tower(99, 1);
    struct pair p = import(&m);
    ck_assert_uint_eq(p.g->n_nodes, 1);
    close_graph(p);
    hn_buffer_free(&m);
    refused(tower(100, 1), HONE_E_BUDGET, "my.F0", "more than 100 deep");
    /* the same where the lower part is known already */
    struct hn_buffer g = b_frame();
    b_sub(&g, G_NODE, b_call("low", "F60", "x", "-"));
    b_sub(&g, G_NODE, b_call("high", "F120", "x", "y"));
    m = b_model(10, 17, g);
    for (int i = 0; i <= 120; i++) {
        char name[32], inner[32];
        snprintf(name, sizeof name, "F%d", i);
        snprintf(inner, sizeof inner, "F%d", i - 1);
        struct hn_buffer f = b_function(name, "x", "y", 17);
        b_sub(&f, F_NODE, i ? b_call("", inner, "x", "y") : b_node("", "Neg", "x", "y"));
        b_sub(&m, M_FUNCTION, f);
    }
    refused(m, HONE_E_BUDGET, "my.F100", "more than 100 deep");
}
END_TEST

START_TEST(recursion_is_refused)
{
    struct hn_buffer f[3];
    f[0] = b_function("F", "x", "y", 17);
    b_sub(&f[0], F_NODE, b_call("", "F", "x", "y"));
    refused(one_function(f[0]), HONE_E_MODEL, "my.F", "calls itself");
    const char *ring[3] = { "F", "G", "H" };
    for (int i = 0; i < 3; i++) {
        f[i] = b_function(ring[i], "x", "y", 17);
        b_sub(&f[i], F_NODE, b_call("", ring[(i + 1) % 3], "x", "y"));
    }
    refused(model_of(b_call("c", "F", "x", "y"), f, 3), HONE_E_MODEL, "my.F",
            "calls itself, directly or through others");
    f[0] = b_function("F", "x", "y", 17); /* nobody calls it: carried */
    b_sub(&f[0], F_NODE, b_call("", "F", "x", "y"));
    struct hn_buffer m = model_of(b_node("n", "Neg", "x", "y"), f, 1);
    struct pair p = import(&m);
    ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_OK);
    ck_assert(has_issue(p.g, "they are kept"));
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(contradictions_are_refused)
{
    struct hn_buffer f[2] = { b_linear(), b_linear() };
    refused(model_of(b_call("c", "Linear", "x,w,b", "y"), f, 2), HONE_E_MODEL, "my.Linear",
            "defines this function twice");
    f[0] = b_function("F", "x,x", "y", 17);
    refused(one_function(f[0]), HONE_E_MODEL, "my.F", "defines 'x' twice");
    f[0] = b_function("F", "x,-", "x", 17);
    refused(one_function(f[0]), HONE_E_MODEL, "my.F", "input 1 has no name");
    f[0] = b_function("F", "x", "y", 17);
    b_sub(&f[0], F_NODE, b_node("", "Neg", "x", "y"));
    b_sub(&f[0], F_NODE, b_node("", "Abs", "x", "y"));
    refused(one_function(f[0]), HONE_E_MODEL, "my.F", "defines 'y' twice");
    f[0] = b_function("F", "x", "y", 17);
    refused(one_function(f[0]), HONE_E_MODEL, "my.F", "output 'y' of the function is not defined");
    f[0] = b_function("F", "x", "y", 17); /* a body sees nothing of the graph around the call */
    b_sub(&f[0], F_NODE, b_node("n", "MatMul", "x,w", "y"));
    refused(one_function(f[0]), HONE_E_MODEL, "c/n", "input 'c/w' is not defined");
    f[0] = b_function("F", "x", "y", 17);
    b_sub(&f[0], F_NODE, b_node("n", "Add", "x,y", "y"));
    refused(one_function(f[0]), HONE_E_MODEL, "c/n", "cycle");
}
END_TEST

/* If, Loop and Scan stay what they are elsewhere: carried, and refused where they matter. Their names are the body's. */
START_TEST(subgraphs_in_bodies)
{
    struct hn_buffer sub = b_new(), a = b_new(), f = b_function("F", "x", "y", 17), n;
    b_str(&sub, G_NAME, "s");
    b_sub(&sub, G_NODE,
          b_node("", "Neg", "x", "w")); /* w is a name of the main graph, not of the body */
    b_sub(&sub, G_OUTPUT, b_info("w", 1, "N,2"));
    b_str(&a, A_NAME, "then_branch");
    b_sub(&a, A_G, sub);
    b_int(&a, A_TYPE, 5);
    n = b_node("if", "If", "x", "y");
    b_sub(&n, N_ATTR, a);
    b_sub(&f, F_NODE, n);
    struct hn_buffer m = one_function(f);
    struct pair p = import(&m);
    ck_assert_int_eq(hn_graph_blocked(p.g, 0, &err), HONE_E_UNSUPPORTED);
    ck_assert_str_eq(err.where, "c/if");
    close_graph(p);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    struct hn_buffer f[3] = { b_linear(), b_own(), b_function("F", "x,w,b", "y,x", 17) };
    b_sub(&f[2], F_NODE, b_call("l", "Linear", "x,w,b", "h"));
    b_sub(&f[2], F_NODE, b_call("o1", "Own", "h", "g"));
    b_sub(&f[2], F_NODE, b_with(b_call("o2", "Own", "g", "y"), N_ATTR, b_attr_ref("a", "none", 1)));
    struct hn_buffer b = model_of(b_call("c", "F", "x,w,b", "y,z"), f, 3);
    for (long at = 1;; at++) {
        struct hn_fault fault;
        struct hn_onnx *m;
        struct hn_graph *g;
        hn_fault_init(&fault);
        fault.mem_fail.at = at;
        hone_status st = hn_onnx_open_bytes(&m, &fault.mem, &fault.io, b.p, b.n, NULL, "t", &err);
        if (st == HONE_OK) {
            st = hn_onnx_graph(m, NULL, &g, &err);
            if (st == HONE_OK) hn_graph_destroy(g);
            hn_onnx_close(m);
        }
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

HN_TEST_MAIN(
    "function", hn_mem_init(&test_mem, 0); tcase_add_test(tc, a_call_becomes_its_nodes);
    tcase_add_test(tc, calls_inside_functions); tcase_add_test(tc, attributes_of_the_call);
    tcase_add_test(tc, wrong_attributes_are_refused); tcase_add_test(tc, arguments_left_out);
    tcase_add_test(tc, outputs_without_a_node_of_their_own);
    tcase_add_test(tc, a_function_has_versions_of_its_own);
    tcase_add_test(tc, tensors_that_nobody_reads); tcase_add_test(tc, overloads_and_standard_names);
    tcase_add_test(tc, weights_of_a_body_are_tied); tcase_add_test(tc, weights_handed_out_are_tied);
    tcase_add_test(tc, tensors_of_calls_and_statistics);
    tcase_add_test(tc, exponential_growth_is_refused); tcase_add_test(tc, wide_growth_is_refused);
    tcase_add_test(tc, many_calls_and_many_functions); tcase_add_test(tc, depth_is_bounded);
    tcase_add_test(tc, recursion_is_refused); tcase_add_test(tc, contradictions_are_refused);
    tcase_add_test(tc, subgraphs_in_bodies); tcase_add_test(tc, every_allocation_may_fail);)
