/* SPDX-License-Identifier: MIT
 *
 * LinearClassifier and LinearRegressor: their lists of floats are tensors that learn, the node stands for ordinary ones, and what is
 * written changes in these lists and nowhere else, whatever way protobuf has packed them. */
#include "onnx/save.h"
#include "ops/graph/output.h"
#include "tests/fault.h"
#include "tests/onnx/eval.h"
#include <sys/stat.h>

enum { A_FLOATS = 7 };
static hone_error err;

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* packed: 0 one field a number, 1 one run, 2 a number, then a run, with the name behind them and an unknown field between. */
static struct hn_buffer floats(const char *name, const float *v, size_t n, int packed)
{
    struct hn_buffer a = b_new();
    if (packed < 2) b_str(&a, A_NAME, name);
    for (size_t i = 0; i < n && packed != 1; i++)
        if (packed == 0 || i == 0) b_f32(&a, A_FLOATS, v[i]);
    if (packed == 2) b_int(&a, 99, 5);
    if (packed == 1) b_bytes(&a, A_FLOATS, v, n * sizeof *v);
    if (packed == 2) b_bytes(&a, A_FLOATS, v + 1, (n - 1) * sizeof *v);
    if (packed == 2) b_str(&a, A_NAME, name);
    b_int(&a, A_TYPE, 6);
    return a;
}

static struct hn_buffer text(const char *name, const char *value)
{
    struct hn_buffer a = b_new();
    b_str(&a, A_NAME, name);
    b_str(&a, A_S, value);
    b_int(&a, A_TYPE, 3);
    return a;
}

/* Labels "a", "b", …, or 10, 20, … */
static struct hn_buffer labels(int n, int texts)
{
    struct hn_buffer a = b_new();
    b_str(&a, A_NAME, texts ? "classlabels_strings" : "classlabels_ints");
    for (int i = 0; i < n; i++) {
        const char word[2] = { (char)('a' + i), 0 };
        if (texts)
            b_str(&a, A_STRINGS, word);
        else
            b_int(&a, A_INTS, 10 * (i + 1));
    }
    b_int(&a, A_TYPE, texts ? 8 : 7);
    return a;
}

struct spec {
    const char *type, *post;
    const float *w, *b;
    size_t n_w, n_b;
    int labels, texts, targets, packed;
};

static struct hn_buffer linear(const struct spec *s, const char *name, const char *out)
{
    struct hn_buffer n = b_node(name, s->type, "x", out);
    b_str(&n, N_DOMAIN, "ai.onnx.ml");
    if (s->n_w) b_sub(&n, N_ATTR, floats("coefficients", s->w, s->n_w, s->packed));
    if (s->labels) b_sub(&n, N_ATTR, labels(s->labels, s->texts));
    if (s->n_b) b_sub(&n, N_ATTR, floats("intercepts", s->b, s->n_b, s->packed));
    if (s->targets) b_sub(&n, N_ATTR, b_attr_int("targets", s->targets));
    if (s->post) b_sub(&n, N_ATTR, text("post_transform", s->post));
    return n;
}

static struct hn_buffer around(struct hn_buffer graph)
{
    struct hn_buffer m = b_model(8, 17, graph), o = b_new();
    b_str(&o, 1, "ai.onnx.ml");
    b_int(&o, 2, 1);
    b_sub(&m, M_OPSET, o);
    return m;
}

/* x [N,2] → the node "lin" → p, and label where there are any. */
static struct hn_buffer file(const struct spec *s)
{
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, linear(s, "lin", s->labels ? "label,p" : "p"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("p", 1, NULL));
    if (s->labels) b_sub(&g, G_OUTPUT, b_info("label", s->texts ? 8 : 7, NULL));
    return around(g);
}

static const float mirrored[4] = { -1, 2, 1, -2 }, its_bias[2] = { 0, 0 };
static const float three[6] = { 1, -2, 3, 4, -5, 6 }, biases[3] = { 0.5f, -0.5f, 0.25f };
static const double rows[6] = { 1, 2, -3, 0.5, 0.25, -1 }; /* [3, 2] */

static const struct spec two_texts = {
    "LinearClassifier", "LOGISTIC", mirrored, its_bias, 4, 2, 2, 1, 0, 0
};

static const struct hn_value *param(const struct hn_graph *g, const char *name)
{
    const struct hn_param_list *l = hn_graph_params(g);
    for (size_t i = 0; i < l->n_params; i++)
        if (!strcmp(g->values[l->params[i].value].name, name)) {
            ck_assert(l->params[i].trained);
            return &g->values[l->params[i].value];
        }
    ck_abort_msg("no parameter '%s'", name);
}

/* ---- what it stands for ------------------------------------------------------------------------------------------ */

static void scores_are(const struct spec *s, int64_t cols, double (*want)(const double *z, int c))
{
    struct hn_buffer f = file(s);
    struct pair p = open_graph(&f);
    double y[9], z[3];
    p.g->n_outputs = 1;
    for (size_t i = 0; i < p.g->n_nodes; i++) /* labels are none of the evaluator's */
        if (!strcmp(p.g->nodes[i].type, "ArgMax") || !strcmp(p.g->nodes[i].type, "LabelEncoder"))
            p.g->nodes[i].type = "Identity";
    ck_assert_int_eq(p.g->values[p.g->outputs[0]].shape.d[1].fixed, cols);
    const int64_t k = s->targets ? s->targets : (int64_t)s->n_b;
    struct hn_tensor w = { HN_F32, 1, { 0 }, (int64_t)s->n_w, s->w };
    ev_run(p.g, rows, 3, 2, y, 3 * cols);
    for (int r = 0; r < 3; r++) {
        for (int64_t j = 0; j < k; j++)
            z[j] = hn_tensor_f64(&w, 2 * j) * rows[2 * r] +
                   hn_tensor_f64(&w, 2 * j + 1) * rows[2 * r + 1] + (s->n_b ? (double)s->b[j] : 0);
        for (int c = 0; c < cols; c++) ck_assert_double_eq_tol(y[r * cols + c], want(z, c), 1e-6);
    }
    close_graph(p);
    hn_buffer_free(&f);
}

static double as_is(const double *z, int c) { return z[c]; }
static double logistic(const double *z, int c) { return 1 / (1 + exp(-z[c])); }
static double of_three(const double *z, int c)
{
    return exp(z[c]) / (exp(z[0]) + exp(z[1]) + exp(z[2]));
}
static double of_two(const double *z, int c) { return exp(z[c]) / (exp(z[0]) + exp(z[1])); }

START_TEST(scores)
{
    struct spec s = { "LinearClassifier", NULL, three, biases, 6, 3, 3, 0, 0, 0 };
    scores_are(&s, 3, as_is);
    s.post = "LOGISTIC";
    scores_are(&s, 3, logistic);
    s.post = "SOFTMAX";
    scores_are(&s, 3, of_three);
    struct spec m = two_texts;
    scores_are(&m, 2, logistic);
    m.post = "SOFTMAX";
    scores_are(&m, 2, of_two);
    m.post = "NONE";
    scores_are(&m, 2, as_is);
    struct spec r = { "LinearRegressor", NULL, three, biases, 6, 3, 0, 0, 3, 0 };
    scores_are(&r, 3, as_is);
    r.n_b = 0;
    scores_are(&r, 3, as_is);
    r.post = "LOGISTIC";
    scores_are(&r, 3, logistic);
}
END_TEST

static double of_one_row(const double *z, int c) { return logistic((double[]){ -z[0], z[0] }, c); }

START_TEST(one_row_for_two_classes)
{
    struct spec s = { "LinearClassifier", "LOGISTIC", three, biases, 2, 1, 2, 0, 0, 0 };
    scores_are(&s, 2, of_one_row);
    struct hn_buffer f = file(&s);
    struct pair p = open_graph(&f);
    struct hn_output_info info;
    hn_graph_output(p.g, 1, &info);
    ck_assert(info.computable && info.discrete && info.labels);
    ck_assert_int_eq(hn_tensor_i64(info.labels, 1), 20);
    close_graph(p);
    hn_buffer_free(&f);
}
END_TEST

static enum hn_tail tail_of(const struct spec *s)
{
    struct hn_buffer f = file(s);
    struct pair p = open_graph(&f);
    struct hn_output_info info;
    hn_graph_output(p.g, 0, &info);
    ck_assert(info.trainable && !info.derived);
    close_graph(p);
    hn_buffer_free(&f);
    return info.tail;
}

START_TEST(tails)
{
    struct spec s = two_texts;
    ck_assert_int_eq(tail_of(&s), HN_TAIL_BOTH);
    s.post = "SOFTMAX";
    ck_assert_int_eq(tail_of(&s), HN_TAIL_SOFTMAX);
    s.post = "NONE";
    ck_assert_int_eq(tail_of(&s), HN_TAIL_NONE);
    s = (struct spec){ "LinearClassifier", "LOGISTIC", three, biases, 6, 3, 3, 1, 0, 0 };
    ck_assert_int_eq(tail_of(&s), HN_TAIL_SIGMOID);
}
END_TEST

/* Behind it a Normalizer, as scikit-learn's converter has it. */
static enum hn_tail normalised(const char *post, const char *norm)
{
    const struct spec s = { "LinearClassifier", post, three, biases, 6, 3, 3, 1, 0, 0 };
    struct hn_buffer g = b_new(), n = b_node("norm", "Normalizer", "q", "p");
    b_str(&n, N_DOMAIN, "ai.onnx.ml");
    b_sub(&n, N_ATTR, text("norm", norm));
    b_sub(&g, G_NODE, linear(&s, "lin", "-,q"));
    b_sub(&g, G_NODE, n);
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("p", 1, NULL));
    struct hn_buffer f = around(g);
    struct pair p = open_graph(&f);
    struct hn_output_info info;
    hn_graph_output(p.g, 0, &info);
    close_graph(p);
    hn_buffer_free(&f);
    return info.tail;
}

START_TEST(tails_behind_a_normalizer)
{
    ck_assert_int_eq(normalised("SOFTMAX", "L1"), HN_TAIL_SOFTMAX);
    ck_assert_int_eq(normalised("LOGISTIC", "L1"), HN_TAIL_SHARES);
    ck_assert_int_eq(normalised("NONE", "L1"), HN_TAIL_NONE); /* may be below 0 */
    ck_assert_int_eq(normalised("SOFTMAX", "L2"), HN_TAIL_NONE);
}
END_TEST

START_TEST(its_classes_and_labels)
{
    for (int texts = 0; texts < 2; texts++) {
        struct spec s = two_texts;
        s.texts = texts;
        struct hn_buffer f = file(&s);
        struct pair p = open_graph(&f);
        struct hn_output_info info;
        ck_assert_uint_eq(p.g->classes.n, 2);
        ck_assert_str_eq(p.g->classes.names[1], texts ? "b" : "20");
        ck_assert_int_eq(p.g->classes.are_int, !texts);
        hn_graph_output(p.g, 1, &info);
        ck_assert_int_eq(info.labels->dtype, texts ? HN_STR : HN_I64);
        close_graph(p);
        hn_buffer_free(&f);
    }
}
END_TEST

START_TEST(mirrored_rows_are_one)
{
    struct hn_buffer f = file(&two_texts);
    struct pair p = open_graph(&f);
    const struct hn_value *w = param(p.g, "lin/coefficients"), *b = param(p.g, "lin/intercepts");
    ck_assert(w->shape.rank == 2 && w->shape.d[0].fixed == 1 && w->shape.d[1].fixed == 2);
    ck_assert(hn_tensor_f64(w->constant, 0) == 1 && hn_tensor_f64(w->constant, 1) == -2);
    ck_assert(b->shape.rank == 1 && b->constant->n == 1);
    int said = 0;
    for (size_t i = 0; i < p.g->n_issues; i++)
        said |= strstr(p.g->issues[i].what, "learns as one") != NULL;
    ck_assert(said);
    close_graph(p);
    hn_buffer_free(&f);
    static const float not_quite[4] = { -1, 2, 1, -2.0000002f }, one_bias[2] = { 0.5f, 0 };
    for (int k = 0; k < 2; k++) {
        struct spec s = two_texts;
        if (k)
            s.b = one_bias;
        else
            s.w = not_quite;
        f = file(&s);
        p = open_graph(&f);
        ck_assert_int_eq(param(p.g, "lin/coefficients")->shape.d[0].fixed, 2);
        close_graph(p);
        hn_buffer_free(&f);
    }
}
END_TEST

START_TEST(names_that_are_taken)
{
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, linear(&two_texts, "lin", "-,q"));
    b_sub(&g, G_NODE, linear(&two_texts, "lin", "-,r"));
    b_sub(&g, G_NODE, linear(&two_texts, "", "-,s"));
    b_sub(&g, G_NODE, b_node("add", "Sum", "q,r,s,lin/coefficients", "p"));
    b_sub(&g, G_INIT, b_tensor("lin/coefficients", 1, DIMS(2), its_bias, sizeof its_bias));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("p", 1, NULL));
    struct hn_buffer f = around(g);
    struct pair p = open_graph(&f);
    static const char *const names[] = { "lin/coefficients_1", "lin/intercepts",
                                         "lin/coefficients_2", "lin/intercepts_1",
                                         "LinearClassifier#2/coefficients" };
    for (size_t i = 0; i < 5; i++) (void)param(p.g, names[i]);
    close_graph(p);
    hn_buffer_free(&f);
}
END_TEST

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void refused(const struct spec *s, const char *word)
{
    struct hn_buffer f = file(s), out = b_new();
    struct pair p = open_graph(&f);
    memset(&err, 0, sizeof err);
    hone_status st = hn_graph_blocked(p.g, 0, &err);
    ck_assert_msg(st != HONE_OK && strstr(err.text, word), "wanted '%s': %d '%s'", word, (int)st,
                  err.text);
    ck_assert_str_eq(err.where, "lin");
    HN_OK(hn_onnx_write(p.m, NULL, 0, &out.sink, &err), err);
    ck_assert(out.n == f.n && memcmp(out.p, f.p, f.n) == 0);
    close_graph(p);
    hn_buffer_free(&out);
    hn_buffer_free(&f);
}

START_TEST(other_forms)
{
    const struct spec c = { "LinearClassifier", NULL, three, biases, 6, 3, 3, 0, 0, 0 };
    const struct spec r = { "LinearRegressor", NULL, three, biases, 6, 3, 0, 0, 3, 0 };
    struct spec s = c;
    s.post = "PROBIT";
    refused(&s, "its 'post_transform' is not supported, wanted NONE, LOGISTIC or SOFTMAX");
    s = c, s.n_b = 0;
    refused(&s, "it has no 'intercepts'");
    s = c, s.n_w = 0;
    refused(&s, "it has no 'coefficients'");
    s = c, s.n_w = 5;
    refused(&s, "5 coefficients for 3 intercepts");
    s = c, s.labels = 2;
    refused(&s, "2 class labels for 3 intercepts, wanted 3");
    s = c, s.n_b = s.labels = 1, s.n_w = 2;
    refused(&s, "1 class labels for 1 intercepts, wanted 2");
    s.labels = 2, s.post = "SOFTMAX";
    refused(&s, "'post_transform' of a single number");
    s = r, s.n_b = 2;
    refused(&s, "2 intercepts for 3 targets");
    s = r, s.targets = 4;
    refused(&s, "6 coefficients for 4 targets");
    s = r, s.targets = 1, s.n_b = 1, s.n_w = 2, s.post = "LOGISTIC";
    refused(&s, "'post_transform' of a single number");
    s = r, s.labels = 3;
    refused(&s, "LinearRegressor has 2 outputs, wanted at most 1");
}
END_TEST

START_TEST(more_than_the_file_justifies)
{
    enum { MANY = 14000 };
    struct hn_buffer g = b_new();
    static const float one[1] = { 1 };
    const struct spec s = { "LinearRegressor", NULL, one, NULL, 1, 0, 0, 0, 0, 0 };
    struct hn_onnx *m;
    struct hn_graph *graph;
    for (int i = 0; i < MANY; i++) {
        char out[16];
        snprintf(out, sizeof out, "y%d", i);
        b_sub(&g, G_NODE, linear(&s, "", out));
    }
    b_sub(&g, G_INPUT, b_info("x", 1, "N,1"));
    b_sub(&g, G_OUTPUT, b_info("y0", 1, NULL));
    struct hn_buffer f = around(g);
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, f.p, f.n, NULL, "t", &err), err);
    ck_assert_int_eq(hn_onnx_graph(m, NULL, &graph, &err), HONE_E_BUDGET);
    ck_assert_ptr_nonnull(strstr(err.text, "14000 linear models take more memory"));
    hn_onnx_close(m);
    hn_buffer_free(&f);
}
END_TEST

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* All that an attribute list of the written file holds. */
static void holds(const struct hn_buffer *f, const char *name, const float *want, size_t n)
{
    struct hn_onnx *m;
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, f->p, f->n, NULL, "t", &err), err);
    struct hn_graph *g;
    HN_OK(hn_onnx_graph(m, NULL, &g, &err), err);
    const struct hn_value *v = param(g, name);
    const size_t half = n - (size_t)v->constant->n; /* a mirrored one stands in front of it */
    ck_assert(memcmp((const float *)v->constant->data - half, want, n * sizeof *want) == 0);
    hn_graph_destroy(g);
    hn_onnx_close(m);
}

/* Writes new numbers into the tensor called `name`, and looks where the bytes differ. */
static void written(const struct hn_buffer *from, const char *name, const double *values,
                    const float *want, size_t n, size_t differing)
{
    struct pair p = open_graph(from);
    struct hn_buffer out = b_new();
    const struct hn_patch patch = { (uint32_t)param(p.g, name)->tensor_id, HN_F64, values };
    const struct hn_changes changes = { .patches = &patch, .n_patches = 1 };
    HN_OK(hn_onnx_write(p.m, &changes, 0, &out.sink, &err), err);
    ck_assert_uint_eq(out.n, from->n);
    size_t spots = 0;
    for (size_t i = 0; i < out.n; i++) spots += out.p[i] != from->p[i];
    ck_assert_msg(spots <= 4 * differing && (spots > 0) == (differing > 0), "%zu bytes", spots);
    holds(&out, name, want, n);
    close_graph(p);
    hn_buffer_free(&out);
}

START_TEST(in_place)
{
    static const double w[2] = { 7, -2 }, b[1] = { 4 }, nothing[1] = { 0 };
    static const float w2[4] = { -7, 2, 7, -2 }, b2[2] = { -4, 4 }, k6[6] = { 1, 9, 3, 4, -5, 8 };
    static const double k[6] = { 1, 9, 3, 4, -5, 8 };
    for (int packed = 0; packed < 3; packed++) {
        struct spec s = two_texts;
        s.packed = packed;
        struct hn_buffer f = file(&s), same = b_new();
        written(&f, "lin/coefficients", w, w2, 4, 2);
        written(&f, "lin/intercepts", b, b2, 2, 2);
        written(&f, "lin/intercepts", nothing, its_bias, 2, 0); /* 0 and 0, not -0 and 0 */
        struct pair p = open_graph(&f);
        HN_OK(hn_onnx_write(p.m, NULL, 0, &same.sink, &err), err);
        ck_assert(same.n == f.n && memcmp(same.p, f.p, f.n) == 0);
        close_graph(p);
        hn_buffer_free(&same);
        hn_buffer_free(&f);
        s = (struct spec){ "LinearRegressor", NULL, three, biases, 6, 3, 0, 0, 3, packed };
        f = file(&s);
        written(&f, "lin/coefficients", k, k6, 6, 2);
        hn_buffer_free(&f);
    }
}
END_TEST

START_TEST(saved_and_read_back)
{
    static const double w[2] = { 7, -2 };
    static const float all[4] = { -7, 2, 7, -2 };
    char path[] = "/tmp/hone-linear-XXXXXX";
    struct hn_buffer f = file(&two_texts), found = b_new();
    struct pair p = open_graph(&f);
    const struct hn_patch patch = { (uint32_t)param(p.g, "lin/coefficients")->tensor_id, HN_F64,
                                    w };
    const struct hn_meta meta = { "hone.test", "1" };
    const struct hn_changes changes = { &patch, 1, &meta, 1 };
    close(mkstemp(path));
    HN_OK(hn_onnx_save(p.m, &changes, path, 1, &err), err);
    struct hn_file read;
    HN_OK(hn_file_open(&read, &hn_io_system, &test_mem, path, 0, &err), err);
    HN_OK(found.sink.write(&found.sink, read.p, read.n, &err), err);
    holds(&found, "lin/coefficients", all, 4);
    hn_file_close(&read);
    unlink(path);
    close_graph(p);
    hn_buffer_free(&found);
    hn_buffer_free(&f);
}
END_TEST

/* Opens, imports and writes with one allocation after the other failing. */
static hone_status whole_way(struct hn_mem *mem, const struct hn_buffer *f)
{
    static const double w[2] = { 7, -2 };
    struct hn_onnx *m;
    struct hn_graph *g = NULL;
    struct hn_buffer out;
    hn_buffer_init(&out, mem);
    hone_status st = hn_onnx_open_bytes(&m, mem, &hn_io_system, f->p, f->n, NULL, "t", &err);
    if (st == HONE_OK) st = hn_onnx_graph(m, NULL, &g, &err);
    if (st == HONE_OK) {
        const struct hn_patch patch = { (uint32_t)param(g, "lin/coefficients")->tensor_id, HN_F64,
                                        w };
        const struct hn_changes changes = { .patches = &patch, .n_patches = 1 };
        st = hn_onnx_write(m, &changes, 0, &out.sink, &err);
    }
    hn_graph_destroy(g);
    hn_onnx_close(m);
    hn_buffer_free(&out);
    return st;
}

START_TEST(every_allocation_may_fail)
{
    struct hn_buffer f = file(&two_texts);
    for (long at = 1;; at++) {
        struct hn_fault fault;
        hn_fault_init(&fault);
        fault.mem_fail.at = at;
        hone_status st = whole_way(&fault.mem, &f);
        ck_assert_int_eq(hn_fault_leaks(&fault), 0);
        if (!fault.mem_fail.hits) {
            HN_OK(st, err);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
    hn_buffer_free(&f);
}
END_TEST

HN_TEST_MAIN("linear", hn_mem_init(&test_mem, 0); tcase_add_test(tc, scores);
             tcase_add_test(tc, one_row_for_two_classes); tcase_add_test(tc, tails);
             tcase_add_test(tc, tails_behind_a_normalizer);
             tcase_add_test(tc, its_classes_and_labels); tcase_add_test(tc, mirrored_rows_are_one);
             tcase_add_test(tc, names_that_are_taken); tcase_add_test(tc, other_forms);
             tcase_add_test(tc, more_than_the_file_justifies); tcase_add_test(tc, in_place);
             tcase_add_test(tc, saved_and_read_back);
             tcase_add_test(tc, every_allocation_may_fail);)
