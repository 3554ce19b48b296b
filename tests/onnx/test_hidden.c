/* SPDX-License-Identifier: MIT
 *
 * The edit "hidden": a rebuilt stack has the structure of a model that was made that way; names, head and tail stay; what
 * keeps its shape keeps its numbers and what begins anew has the documented ones; an activation is what a toy evaluator says
 * it is; models that are no plain stack are refused by the name of the node; memory may run out anywhere. */
#include "onnx/edit.h"
#include "onnx/new.h"
#include "ops/base/rng.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"
#include "tests/onnx/eval.h"

static hone_error err;
static const double rows[6] = { 1, 2, -3, 0.5, 0.25, -1 }; /* [3, 2] */

static struct hn_buffer edited(const struct hn_buffer *from, const char *text)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, NULL, 0 };
    HN_OK(hn_edit_apply(&test_mem, from->p, from->n, &line, &out, &err), err);
    return out;
}

static void refused(const struct hn_buffer *from, const char *text, hone_status code,
                    const char *where, const char *word)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, NULL, 0 };
    hone_status st = hn_edit_apply(&test_mem, from->p, from->n, &line, &out, &err);
    ck_assert_msg(st == code && strstr(err.text, word) && !strcmp(err.where, where),
                  "%s: %d '%s': '%s'", text, (int)st, err.where, err.text);
    hn_buffer_free(&out);
}

static const struct hn_tensor *numbers(const struct pair *p, const char *name)
{
    int32_t at = hn_graph_find(p->g, name);
    ck_assert_msg(at >= 0 && p->g->values[at].constant, "no constant %s", name);
    return p->g->values[at].constant;
}

static void all_are(const struct pair *p, const char *name, int64_t n, double v)
{
    const struct hn_tensor *t = numbers(p, name);
    ck_assert_msg(t->n == n, "%s: %lld", name, (long long)t->n);
    for (int64_t i = 0; i < n; i++) ck_assert_msg(hn_tensor_f64(t, i) == v, "%s[%d]", name, (int)i);
}

static struct hn_buffer fresh(const char *spec)
{
    struct hn_new_spec s;
    struct hn_buffer b = b_new();
    HN_OK(hn_new_parse(&s, spec, &err), err);
    HN_OK(hn_new_model(&test_mem, &s, &b, &err), err);
    return b;
}

/* Same operators with constants of the same shapes, one after the other. */
static void same_structure(const struct hn_buffer *a, const struct hn_buffer *b)
{
    struct pair p = open_graph(a), q = open_graph(b);
    ck_assert_uint_eq(p.g->n_nodes, q.g->n_nodes);
    for (size_t i = 0; i < p.g->n_nodes; i++) {
        const struct hn_node *m = &p.g->nodes[p.g->order[i]], *n = &q.g->nodes[q.g->order[i]];
        ck_assert_str_eq(m->type, n->type);
        for (int k = 0; k < m->n_in; k++) {
            const struct hn_tensor *s = p.g->values[m->in[k]].constant,
                                   *t = q.g->values[n->in[k]].constant;
            ck_assert_msg(!s == !t, "%s input %d", m->name, k);
            for (int d = 0; s && d < s->rank; d++)
                ck_assert_msg(s->rank == t->rank && s->dims[d] == t->dims[d], "%s input %d",
                              m->name, k);
        }
    }
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    close_graph(p);
    close_graph(q);
}

START_TEST(rebuilt_is_as_if_made_that_way)
{
    static const struct {
        const char *from, *line, *to;
    } cases[] = {
        { "4-16-3", "hidden units=7", "4-7-3" },
        { "4-16-3 softmax", "hidden units=7,9,2", "4-7-9-2-3 softmax" },
        { "4-16-8-3", "hidden units=8", "4-8-3" },
        { "4-16-8-5-3 tanh", "hidden units=16,8", "4-16-8-3 tanh" },
        { "4-16-8-3 batchnorm dropout=0.5", "hidden units=5,6,7",
          "4-5-6-7-3 batchnorm dropout=0.5" },
        { "4-16-8-3 layernorm", "hidden units=16,8,8,8", "4-16-8-8-8-3 layernorm" },
        { "4-16-3 relu", "hidden units=3,3 activation=tanh", "4-3-3-3 tanh" },
        { "4-16-3 relu batchnorm", "hidden units=3,3 activation=gelu", "4-3-3-3 gelu batchnorm" },
        { "4-16-5-3 gelu dropout=0.1", "hidden units=3 activation=elu", "4-3-3 elu dropout=0.1" },
        { "4-6-5-3 gelu", "hidden activation=sigmoid", "4-6-5-3 activation=sigmoid" },
        { "4-6-5-3 gelu", "hidden units=6,5,4", "4-6-5-4-3 gelu" },
        { "4-6-5-3 batchnorm", "hidden activation=linear", "4-6-5-3 linear batchnorm" },
        { "4-6-3 linear", "hidden units=6,6 activation=relu", "4-6-6-3 relu" },
        { "4-6-3 linear layernorm dropout=0.5", "hidden activation=selu",
          "4-6-3 selu layernorm dropout=0.5" },
        { "4-1-3 batchnorm", "hidden units=2", "4-2-3 batchnorm" },
        { "4-2-3 batchnorm", "hidden units=1,1", "4-1-1-3 batchnorm" },
    };
    struct hn_buffer a = fresh(cases[_i].from), b = edited(&a, cases[_i].line),
                     c = fresh(cases[_i].to), again = edited(&a, cases[_i].line);
    same_structure(&b, &c);
    ck_assert(again.n == b.n && memcmp(again.p, b.p, b.n) == 0);
    hn_buffer_free(&a);
    hn_buffer_free(&b);
    hn_buffer_free(&c);
    hn_buffer_free(&again);
}
END_TEST

START_TEST(ends_and_names_stay)
{
    struct hn_buffer a = fresh("4-6-3 relu batchnorm softmax"),
                     b = edited(&a, "hidden units=9,5 activation=tanh");
    struct pair p = open_graph(&b);
    static const char *const names[] = { "fc1",   "bn1",    "act1", "fc1_1",
                                         "bn1_1", "act1_1", "fc2",  "tail" };
    ck_assert_uint_eq(p.g->n_nodes, 8);
    for (size_t i = 0; i < 8; i++) ck_assert_str_eq(p.g->nodes[p.g->order[i]].name, names[i]);
    ck_assert_str_eq(p.g->values[p.g->inputs[0]].name, "x");
    ck_assert_str_eq(p.g->values[p.g->outputs[0]].name, "y");
    ck_assert_int_eq(p.g->values[p.g->outputs[0]].decl_dims[1], 3);
    ck_assert(numbers(&p, "fc1.weight")->dims[0] == 9);
    ck_assert(numbers(&p, "fc1_1.weight")->dims[0] == 5 &&
              numbers(&p, "fc1_1.weight")->dims[1] == 9);
    ck_assert(numbers(&p, "bn1_1.running_var")->n == 5);
    ck_assert(numbers(&p, "fc2.weight")->dims[1] == 5);
    close_graph(p);
    hn_buffer_free(&a);
    hn_buffer_free(&b);
}
END_TEST

/* w [3,2], b [3], v [1,3], c [1] of b_mlp */
START_TEST(what_keeps_its_shape_keeps_its_numbers)
{
    struct hn_buffer a = b_mlp(), same = edited(&a, "hidden units=3"),
                     more = edited(&a, "hidden units=3,3"), wide = edited(&a, "hidden units=4");
    double before[3], after[3];
    struct pair p = open_graph(&a);
    ev_run(p.g, rows, 3, 2, before, 3);
    close_graph(p);
    p = open_graph(&same);
    ev_run(p.g, rows, 3, 2, after, 3);
    close_graph(p);
    for (int i = 0; i < 3; i++) ck_assert(before[i] == after[i]);
    p = open_graph(&more);
    ck_assert(hn_tensor_f64(numbers(&p, "w"), 4) == -5 &&
              hn_tensor_f64(numbers(&p, "b"), 0) == 0.5);
    ck_assert(hn_tensor_f64(numbers(&p, "v"), 1) == 2 && hn_tensor_f64(numbers(&p, "c"), 0) == 7);
    all_are(&p, "b_1", 3, 0);
    close_graph(p);
    p = open_graph(&wide);
    all_are(&p, "b", 4, 0);
    all_are(&p, "c", 1, 0);
    close_graph(p);
    hn_buffer_free(&a);
    hn_buffer_free(&same);
    hn_buffer_free(&more);
    hn_buffer_free(&wide);
}
END_TEST

static void drawn(const struct pair *p, const char *name, double width, const uint32_t key[2],
                  int i)
{
    const struct hn_tensor *t = numbers(p, name);
    for (int64_t k = 0; k < t->n; k++) {
        double want =
            (2 * hn_rng_uniform(key, HN_STREAM_INIT + (uint32_t)i, (uint64_t)k) - 1) * width;
        ck_assert_msg(hn_tensor_f64(t, k) == (double)(float)want, "%s[%d]", name, (int)k);
    }
}

START_TEST(fresh_weights_are_the_documented_ones)
{
    static const uint32_t key[2] = { 0x01234567, 0x89abcdef };
    struct hn_buffer a = fresh("4-6-3 relu batchnorm"),
                     b = edited(&a, "hidden units=5,8 key=0123456789abcdef"),
                     c = edited(&a, "hidden units=5,8 activation=tanh key=0123456789abcdef");
    struct pair p = open_graph(&b);
    drawn(&p, "fc1.weight", sqrt(6.0 / 4), key, 0); /* He before Relu */
    drawn(&p, "fc1_1.weight", sqrt(6.0 / 5), key, 1);
    drawn(&p, "fc2.weight", sqrt(6.0 / (8 + 3)), key, 2); /* Xavier in front of nothing */
    all_are(&p, "fc1_1.bias", 8, 0);
    all_are(&p, "bn1_1.weight", 8, 1);
    all_are(&p, "bn1.running_mean", 5, 0);
    all_are(&p, "bn1.running_var", 5, 1);
    close_graph(p);
    p = open_graph(&c);
    drawn(&p, "fc1.weight", sqrt(6.0 / (4 + 5)), key, 0);
    close_graph(p);
    hn_buffer_free(&a);
    hn_buffer_free(&b);
    hn_buffer_free(&c);
}
END_TEST

static double by_hand(const char *word, double x)
{
    if (!strcmp(word, "relu")) return x > 0 ? x : 0;
    if (!strcmp(word, "tanh")) return tanh(x);
    if (!strcmp(word, "sigmoid")) return 1 / (1 + exp(-x));
    if (!strcmp(word, "gelu")) return 0.5 * x * (1 + erf(x / sqrt(2)));
    if (!strcmp(word, "silu")) return x / (1 + exp(-x));
    return x; /* linear */
}

START_TEST(another_activation_same_weights)
{
    static const char *const words[] = { "relu", "tanh", "sigmoid", "gelu", "silu", "linear" };
    static const double w[6] = { 1, -2, 3, 4, -5, 6 }, b[3] = { 0.5, -0.5, 0.25 },
                        v[3] = { 1, 2, -1 };
    char line[64];
    double got[3];
    struct hn_buffer start = b_mlp();
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 6; k++) { /* from each to each */
            snprintf(line, sizeof line, "hidden activation=%s", words[i]);
            struct hn_buffer from = edited(&start, line);
            snprintf(line, sizeof line, "hidden activation=%s", words[k]);
            struct hn_buffer to = edited(&from, line);
            struct hn_hidden_info info;
            HN_OK(hn_edit_hidden_info(&test_mem, to.p, to.n, &info, &err), err);
            ck_assert(info.n == 1 && info.width[0] == 3 && info.activation);
            ck_assert_str_eq(info.activation, words[k]);
            struct pair p = open_graph(&to);
            ev_run(p.g, rows, 3, 2, got, 3);
            close_graph(p);
            for (int r = 0; r < 3; r++) {
                double want = 7;
                for (int u = 0; u < 3; u++)
                    want += v[u] * by_hand(words[k], w[2 * u] * rows[2 * r] +
                                                         w[2 * u + 1] * rows[2 * r + 1] + b[u]);
                ck_assert_msg(fabs(want - got[r]) < 1e-6 * (1 + fabs(want)), "%s to %s: %g %g",
                              words[i], words[k], want, got[r]);
            }
            hn_buffer_free(&from);
            hn_buffer_free(&to);
        }
    hn_buffer_free(&start);
}
END_TEST

/* x → fc1 [2→2] → … → fc2 [2→2] → y around the nodes that `put` adds; constants k [2], one []. */
static struct hn_buffer around(int ir, int opset, void (*put)(struct hn_buffer *g))
{
    static const float w[4] = { 1, 2, 3, 4 }, v[4] = { 1, -1, 2, 1 }, k[2] = { 5, 6 }, one = 1;
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("fc1", "Gemm", "x,w,k1", "h"));
    put(&g);
    b_sub(&g, G_NODE, b_node("fc2", "Gemm", "r,v", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("v", 1, DIMS(2, 2), v, sizeof v));
    b_sub(&g, G_INIT, b_tensor("k", 1, DIMS(2), k, sizeof k));
    b_sub(&g, G_INIT, b_tensor("k1", 1, DIMS(2), k, sizeof k));
    b_sub(&g, G_INIT, b_tensor("one", 1, SCALAR, &one, 4));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    for (int i = 0; i < 5 && ir < 4; i++)
        b_sub(&g, G_INPUT,
              b_info((const char *[]){ "w", "v", "k", "k1", "one" }[i], 1,
                     i < 2   ? "2,2"
                     : i < 4 ? "2"
                             : ""));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    b_sub(&g, G_INFO, b_info("h", 1, "N,2"));
    return b_model(ir, opset, g);
}
static void put_relu(struct hn_buffer *g) { b_sub(g, G_NODE, b_node("act", "Relu", "h", "r")); }
static void put_residual(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("act", "Relu", "h", "a"));
    b_sub(g, G_NODE, b_node("skip", "Add", "a,x", "r"));
}
static void put_inner_residual(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("mid", "Gemm", "h,w", "m"));
    b_sub(g, G_NODE, b_node("skip", "Add", "m,h", "r"));
}
static void put_vector(struct hn_buffer *g) { b_sub(g, G_NODE, b_node("by", "Mul", "h,k", "r")); }
static void put_softmax(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("gate", "Softmax", "h", "r"));
}
static void put_nameless(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("", "Transpose", "h", "r"));
}
static void put_prelu(struct hn_buffer *g) { b_sub(g, G_NODE, b_node("act", "PRelu", "h,k", "r")); }
static void put_one_slope(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("act", "PRelu", "h,one", "r"));
}
static void put_dead_end(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("act", "Relu", "h", "r"));
    b_sub(g, G_NODE, b_node("dead", "Relu", "h", "nobody"));
}
static void put_computed_bias(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("act", "Relu", "h", "a"));
    b_sub(g, G_NODE, b_node("mid", "Gemm", "a,v,a", "r"));
}
static void put_training(struct hn_buffer *g)
{
    struct hn_buffer bn = b_node("bn", "BatchNormalization", "h,k,k,k,k", "r");
    b_sub(&bn, N_ATTR, b_attr_int("training_mode", 1));
    b_sub(g, G_NODE, bn);
}
static void put_tied(struct hn_buffer *g)
{
    b_sub(g, G_NODE, b_node("act", "Relu", "h", "a"));
    b_sub(g, G_NODE, b_node("mid", "Gemm", "a,w", "b"));
    b_sub(g, G_NODE, b_node("act2", "Relu", "b", "r"));
}

START_TEST(what_is_no_plain_stack_is_named)
{
    static const struct {
        void (*put)(struct hn_buffer *g);
        const char *where, *says;
    } cases[] = {
        { put_residual, "skip", "further up" },
        { put_inner_residual, "skip", "several paths" },
        { put_vector, "by", "wanted a normalisation" },
        { put_softmax, "gate", "wanted a normalisation" },
        { put_nameless, "Transpose at position 1", "wanted a normalisation" },
        { put_dead_end, "dead", "nothing takes" },
        { put_computed_bias, "mid", "several paths" },
        { put_training, "bn", "training form" },
        { put_tied, "w", "several places" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_buffer b = around(8, 17, cases[i].put);
        refused(&b, "hidden units=3", HONE_E_UNSUPPORTED, cases[i].where, cases[i].says);
        hn_buffer_free(&b);
    }
    struct hn_buffer b = around(8, 17, put_tied),
                     out = edited(&b, "hidden units=2,2 activation=tanh");
    hn_buffer_free(&out); /* shapes stay: the tie may stay as well */
    hn_buffer_free(&b);
    b = fresh("4-3");
    refused(&b, "hidden units=3", HONE_E_UNSUPPORTED, "", "no hidden layer");
    hn_buffer_free(&b);
}
END_TEST

START_TEST(wrong_lines_are_refused)
{
    static const char *const lines[] = { "hidden units=",           "hidden units=0",
                                         "hidden units=3,x",        "hidden units=-1",
                                         "hidden units=3,,4",       "hidden units=3,",
                                         "hidden units=99999999999" };
    struct hn_buffer b = b_mlp();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        refused(&b, lines[i], HONE_E_USAGE, lines[i], "whole numbers");
    refused(&b, "hidden activation=rely", HONE_E_USAGE, "activation=rely", "wanted: hidden");
    refused(&b, "hidden key=123", HONE_E_USAGE, "key=123", "wanted: hidden");
    refused(&b, "hidden widths=3", HONE_E_USAGE, "widths=3", "wanted: hidden");
    refused(&b, "hidden", HONE_E_USAGE, "hidden", "wanted: hidden");
    refused(&b, "hidden units=2000000000", HONE_E_BUDGET, "w", "too large");
    hn_buffer_free(&b);
    b = around(4, 8, put_relu);
    refused(&b, "hidden activation=gelu", HONE_E_UNSUPPORTED, "gelu", "opset 9");
    hn_buffer_free(&b);
}
END_TEST

START_TEST(declarations_follow)
{
    struct hn_buffer b = around(3, 8, put_relu), out = edited(&b, "hidden units=5,4");
    struct pair p = open_graph(&out);
    ck_assert_uint_eq(p.g->n_inputs, 1); /* all others have numbers */
    ck_assert(p.g->values[hn_graph_find(p.g, "w")].decl_dims[1] == 5);
    ck_assert(p.g->values[hn_graph_find(p.g, "w_1")].is_input);
    ck_assert(!p.g->values[hn_graph_find(p.g, "h")].declared);
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    close_graph(p);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
    b = around(8, 17, put_prelu);
    out = edited(&b, "hidden units=5,4");
    p = open_graph(&out);
    all_are(&p, "k", 5, 0.25);
    all_are(&p, "k_1", 4, 0.25);
    close_graph(p);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
    b = around(8, 17, put_one_slope);
    out = edited(&b, "hidden units=5,4");
    p = open_graph(&out);
    all_are(&p, "one", 1, 0.25);
    all_are(&p, "one_1", 1, 0.25);
    close_graph(p);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(several_last_layers)
{
    static const float w[4] = { 1, 2, 3, 4 };
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("fc1", "MatMul", "x,w", "h"));
    b_sub(&g, G_NODE, b_node("act", "Tanh", "h", "r"));
    b_sub(&g, G_NODE, b_node("policy", "MatMul", "r,p", "y"));
    b_sub(&g, G_NODE, b_node("value", "MatMul", "r,v", "z"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("p", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("v", 1, DIMS(2, 1), w, 8));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("z", 1, "N,1"));
    struct hn_buffer b = b_model(8, 17, g), out = edited(&b, "hidden units=5,6");
    struct pair p = open_graph(&out);
    ck_assert(numbers(&p, "w")->dims[1] == 5 && numbers(&p, "p")->dims[0] == 6);
    ck_assert(numbers(&p, "v")->dims[0] == 6 && numbers(&p, "v")->dims[1] == 1);
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    close_graph(p);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

/* Every model there is: rebuilt it can be trained, or what is in the way is said; applied to its own result the line finds
 * what it made. */
static void try_model(const void *bytes, size_t n, const char *dir, int *taken)
{
    struct hn_onnx *m;
    struct hn_graph *g;
    struct hn_buffer out = b_new();
    struct hn_hidden_info info;
    struct hn_edit_line line = { "hidden units=7,5,6 activation=tanh", NULL, 0 };
    hone_status st = hn_edit_apply(&test_mem, bytes, n, &line, &out, &err);
    if (st == HONE_OK) {
        HN_OK(hn_edit_hidden_info(&test_mem, out.p, out.n, &info, &err), err);
        ck_assert(info.n == 3 && info.width[0] == 7 && info.width[1] == 5 && info.width[2] == 6);
        ck_assert_str_eq(info.activation, "tanh");
        HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, out.p, out.n, dir, "t", &err), err);
        HN_OK(hn_onnx_graph(m, NULL, &g, &err), err);
        HN_OK(hn_graph_blocked(g, 0, &err), err);
        hn_graph_destroy(g);
        hn_onnx_close(m);
        ++*taken;
    } else {
        ck_assert_msg(err.text[0] != 0, "nothing said");
    }
    hn_buffer_free(&out);
}

/* Found by the fuzzer: two nodes write one value, and with another activation no hidden layer is left to be told apart. */
START_TEST(a_value_of_two_nodes)
{
    struct hn_buffer b = b_new();
    size_t n;
    char *bytes = read_whole(HN_SOURCE_DIR "/tests/data/found/two_nodes_write_one_value.onnx", &n);
    HN_OK(b.sink.write(&b.sink, bytes, n, &err), err);
    refused(&b, "hidden units=3,2 activation=gelu", HONE_E_UNSUPPORTED, "", "told apart");
    free(bytes);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(recorded_models)
{
    glob_t g;
    int taken = 0;
    ck_assert_int_eq(glob(HN_SOURCE_DIR "/tests/data/models/*.onnx", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        size_t n;
        char *bytes = read_whole(g.gl_pathv[i], &n);
        try_model(bytes, n, HN_SOURCE_DIR "/tests/data/models", &taken);
        free(bytes);
    }
    globfree(&g);
    ck_assert_int_ge(taken, 12);
}
END_TEST

START_TEST(models_of_the_zoo)
{
    glob_t g;
    int taken = 0;
    struct hn_buffer none = b_new(); /* and test_mem */
    size_t n = zoo_files(&g);
    for (size_t i = 0; i < n; i++) {
        struct hn_onnx *m;
        if (hn_onnx_open(&m, &test_mem, &hn_io_system, g.gl_pathv[i], &err) != HONE_OK) continue;
        try_model(m->p, m->n, m->dir, &taken);
        hn_onnx_close(m);
    }
    if (n) globfree(&g);
    hn_buffer_free(&none);
    if (n) ck_assert_int_ge(taken, 18);
}
END_TEST

START_TEST(memory_may_run_out)
{
    const struct hn_buffer models[2] = { fresh("3-4-2 gelu batchnorm dropout=0.5"),
                                         around(3, 8, put_prelu) };
    for (size_t i = 0; i < 2; i++)
        for (long n = 1;; n++) {
            struct hn_fault f;
            struct hn_edit_line line = { "hidden units=5,4 activation=silu", NULL, 0 };
            hn_fault_init(&f);
            f.mem_fail.at = n;
            struct hn_buffer out;
            hn_buffer_init(&out, &f.mem);
            hone_status st = hn_edit_apply(&f.mem, models[i].p, models[i].n, &line, &out, &err);
            hn_buffer_free(&out);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            if (!atomic_load(&f.mem_fail.hits)) {
                ck_assert_int_eq(st, HONE_OK);
                break;
            }
            ck_assert_msg(st == HONE_E_NOMEM, "model %zu, allocation %ld: %d", i, n, (int)st);
        }
    for (size_t i = 0; i < 2; i++) hn_buffer_free((struct hn_buffer *)(uintptr_t)&models[i]);
    ck_assert_uint_eq(atomic_load(&test_mem.used), 0);
}
END_TEST

HN_TEST_MAIN("hidden", tcase_set_timeout(tc, 120);
             tcase_add_loop_test(tc, rebuilt_is_as_if_made_that_way, 0, 16);
             tcase_add_test(tc, ends_and_names_stay);
             tcase_add_test(tc, what_keeps_its_shape_keeps_its_numbers);
             tcase_add_test(tc, fresh_weights_are_the_documented_ones);
             tcase_add_test(tc, another_activation_same_weights);
             tcase_add_test(tc, what_is_no_plain_stack_is_named);
             tcase_add_test(tc, a_value_of_two_nodes); tcase_add_test(tc, wrong_lines_are_refused);
             tcase_add_test(tc, declarations_follow); tcase_add_test(tc, several_last_layers);
             tcase_add_test(tc, recorded_models); tcase_add_test(tc, models_of_the_zoo);
             tcase_add_test(tc, memory_may_run_out);)
