/* SPDX-License-Identifier: MIT
 *
 * The edit "ensemble": the averages are what they are meant to be (computed by a toy evaluator from the members alone), what
 * the members share is there once, what they do not is theirs alone, and what cannot be averaged is refused by name. */
#include "onnx/edit.h"
#include "onnx/new.h"
#include "onnx/patch.h"
#include "onnx/save.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"
#include "tests/onnx/eval.h"

enum { ROWS = 3, MEMBERS = 3, OUT = 4 };
static hone_error err;
static const double rows[ROWS * 2] = { 1, 2, -3, 0.5, 0.25, -1 };

static struct hn_tensor as_bytes(const struct hn_buffer *b)
{
    return (struct hn_tensor){
        .dtype = HN_U8, .rank = 1, .dims = { (int64_t)b->n }, .n = (int64_t)b->n, .data = b->p
    };
}

static hone_status join(struct hn_mem *mem, const struct hn_buffer *m, int n, const char *text,
                        struct hn_buffer *out)
{
    struct hn_tensor others[8];
    for (int i = 1; i < n; i++) others[i - 1] = as_bytes(&m[i]);
    struct hn_edit_line line = { text, others, (size_t)n - 1 };
    hn_buffer_init(out, mem);
    return hn_edit_apply(mem, m[0].p, m[0].n, &line, out, &err);
}

static void refused(const struct hn_buffer *m, int n, const char *text, hone_status code,
                    const char *word)
{
    struct hn_buffer out;
    hone_status st = join(&test_mem, m, n, text, &out);
    ck_assert_msg(st == code && (strstr(err.text, word) || strstr(err.where, word)),
                  "%s: %d %s '%s'", text, (int)st, err.where, err.text);
    hn_buffer_free(&out);
}

/* Opened, and nothing in it stands in the way of training. */
static struct pair trainable(const struct hn_buffer *b)
{
    struct pair p = open_graph(b);
    HN_OK(hn_graph_blocked(p.g, 1, &err), err);
    return p;
}

static void run(const struct hn_buffer *b, double *y, int64_t n)
{
    struct pair p = trainable(b);
    ev_run(p.g, rows, ROWS, 2, y, n);
    close_graph(p);
}
static int count(const struct hn_graph *g, const char *type)
{
    int n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += strcmp(g->nodes[i].type, type) == 0;
    return n;
}
static int has(const struct hn_graph *g, const char *name) { return hn_graph_find(g, name) >= 0; }

/* "2-5-4 relu softmax" with scattered weights that differ by seed. */
static struct hn_buffer fresh(const char *spec, int seed)
{
    struct hn_new_spec s;
    struct hn_buffer empty = b_new(), b = b_new();
    struct hn_onnx *m;
    HN_OK(hn_new_parse(&s, spec, &err), err);
    HN_OK(hn_new_model(&test_mem, &s, &empty, &err), err);
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, empty.p, empty.n, NULL, "t", &err), err);
    struct hn_patch *patches = calloc(m->n_tensors, sizeof *patches);
    for (size_t i = 0; i < m->n_tensors; i++) {
        float *v = calloc((size_t)m->tensors[i].t.n, sizeof *v);
        for (int64_t k = 0; k < m->tensors[i].t.n; k++)
            v[k] = (float)sin(1 + 3 * seed + 7.3 * (double)i + 1.7 * (double)k);
        patches[i] = (struct hn_patch){ (uint32_t)i, HN_F32, v };
    }
    struct hn_changes c = { .patches = patches, .n_patches = m->n_tensors };
    HN_OK(hn_onnx_write(m, &c, 1, &b.sink, &err), err);
    for (size_t i = 0; i < m->n_tensors; i++) free((void *)(uintptr_t)patches[i].values);
    free(patches);
    hn_onnx_close(m);
    hn_buffer_free(&empty);
    return b;
}

static void edit(struct hn_buffer *b, const char *text, const struct hn_tensor *values,
                 size_t n_values)
{
    struct hn_buffer out = b_new();
    struct hn_edit_line line = { text, values, n_values };
    HN_OK(hn_edit_apply(&test_mem, b->p, b->n, &line, &out, &err), err);
    hn_buffer_free(b);
    *b = out;
}

static void free_all(struct hn_buffer *m, int n)
{
    for (int i = 0; i < n; i++) hn_buffer_free(&m[i]);
}

/* ---- what is computed ----------------------------------------------------------------------------------------------------- */

/* Members of different depth, width and activation; what the average is of their probabilities or numbers. */
static const struct {
    const char *tail, *line; /* of "2-…-4" */
    int logits, sigmoid;     /* what the output is; what is averaged */
} kinds[] = {
    { "", "ensemble mean y", 0, 0 },    { " softmax", "ensemble softmax logits", 0, 0 },
    { "", "ensemble softmax y", 1, 0 }, { " sigmoid", "ensemble sigmoid logits", 0, 1 },
    { "", "ensemble sigmoid y", 1, 1 },
};

static double to_probability(const double *row, int c, int sigmoid)
{
    double sum = 0;
    if (sigmoid) return 1 / (1 + exp(-row[c]));
    for (int k = 0; k < OUT; k++) sum += exp(row[k]);
    return exp(row[c]) / sum;
}

START_TEST(averages)
{
    static const char *const bodies[MEMBERS] = { "2-5-4 relu", "2-7-3-4 tanh", "2-4 relu" };
    double one[MEMBERS][ROWS * OUT], all[ROWS * OUT];
    struct hn_buffer m[MEMBERS], out;
    char spec[64];
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(spec, sizeof spec, "%s%s", bodies[i], kinds[_i].tail);
        m[i] = fresh(spec, i + 7);
        run(&m[i], one[i], ROWS * OUT);
    }
    HN_OK(join(&test_mem, m, MEMBERS, kinds[_i].line, &out), err);
    run(&out, all, ROWS * OUT);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < OUT; c++) {
            double mean = 0;
            for (int i = 0; i < MEMBERS; i++) {
                const double *row = &one[i][r * OUT];
                mean += (kinds[_i].logits ? to_probability(row, c, kinds[_i].sigmoid) : row[c]) /
                        MEMBERS;
            }
            double y = all[r * OUT + c];
            if (kinds[_i].logits) y = kinds[_i].sigmoid ? 1 / (1 + exp(-y)) : exp(y);
            ck_assert_msg(fabs(y - mean) < 1e-7, "%s: %d %d: %.9g %.9g", kinds[_i].line, r, c, y,
                          mean);
        }
    struct pair p = trainable(&out);
    ck_assert_str_eq(p.g->values[p.g->outputs[0]].name, "y");
    ck_assert_str_eq(p.g->values[p.g->inputs[0]].name, "x");
    ck_assert_uint_eq(p.g->n_inputs, 1);
    ck_assert_int_eq(count(p.g, "Gemm"), 2 + 3 + 1);
    ck_assert(has(p.g, "member1/fc1.weight") && has(p.g, "member2/fc3.weight"));
    ck_assert(has(p.g, "member3/fc1.weight") && !has(p.g, "fc1.weight"));
    close_graph(p);
    hn_buffer_free(&out);
    free_all(m, MEMBERS);
}
END_TEST

/* ---- what is shared ------------------------------------------------------------------------------------------------------- */

START_TEST(one_scaler_or_several)
{
    static const float offset[2] = { 1, 2 }, scale[2] = { 3, 4 }, other[2] = { 5, 6 };
    for (int same = 0; same < 2; same++) {
        struct hn_buffer m[2] = { fresh("2-3-4 relu softmax", 1), fresh("2-3-4 relu softmax", 2) },
                         out;
        for (int i = 0; i < 2; i++) {
            const float *by = same || !i ? scale : other;
            struct hn_tensor v[2] = { { HN_F32, 1, { 2 }, 2, offset },
                                      { HN_F32, 1, { 2 }, 2, by } };
            edit(&m[i], "scale-input x standard", v, 2);
        }
        HN_OK(join(&test_mem, m, 2, "ensemble softmax logits", &out), err);
        struct pair p = trainable(&out);
        ck_assert_int_eq(count(p.g, "Div"), same ? 1 : 2);
        ck_assert_int_eq(count(p.g, "Sub"),
                         1 + 2); /* the offset is the same in both; 2 of the average */
        ck_assert_int_eq(count(p.g, "Softmax"), 1);
        ck_assert_int_eq(count(p.g, "Gemm"), 4);
        close_graph(p);
        hn_buffer_free(&out);
        free_all(m, 2);
    }
}
END_TEST

/* Equal biases stay apart, so that training does not tie the members; a first layer that all have is there once. */
START_TEST(training_is_not_tied)
{
    double alone[ROWS * OUT], both[ROWS * OUT];
    struct hn_buffer b = fresh("2-3-4 relu softmax", 1), m[3] = { b, b, b }, out;
    HN_OK(join(&test_mem, m, 3, "ensemble softmax logits", &out), err);
    run(&b, alone, ROWS * OUT);
    run(&out, both, ROWS * OUT);
    for (int i = 0; i < ROWS * OUT; i++) ck_assert_double_eq_tol(alone[i], both[i], 1e-12);
    struct pair p = trainable(&out);
    ck_assert_uint_eq(p.g->n_unties, 0);
    ck_assert_int_eq(count(p.g, "Gemm"), 1 + 3); /* bit for bit the same layer: one */
    ck_assert(has(p.g, "fc1.weight") && has(p.g, "member3/fc2.bias") && !has(p.g, "fc2.bias"));
    close_graph(p);
    /* once more: the new members get names of their own */
    struct hn_buffer again[2] = { out, out }, twice;
    HN_OK(join(&test_mem, again, 2, "ensemble softmax logits", &twice), err);
    run(&twice, both, ROWS * OUT);
    for (int i = 0; i < ROWS * OUT; i++) ck_assert_double_eq_tol(alone[i], both[i], 1e-12);
    hn_buffer_free(&twice);
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

/* x → Gemm → Relu → Gemm → z → ArgMax → label; another output from z, or from inside. */
static struct hn_buffer labelled(int ir, const char *second, float scale)
{
    float w[4] = { 1 * scale, 2, 3, 4 }, b[2] = { 5, 6 * scale };
    int64_t one = 1;
    struct hn_buffer g = b_new(), argmax = b_node("pick", "ArgMax", "z", "label"),
                     c = b_node("k", "Constant", "", "k"), a = b_new();
    b_sub(&argmax, N_ATTR, b_attr_int("axis", 1));
    b_str(&a, A_NAME, "value");
    b_sub(&a, A_T, b_tensor("", 7, DIMS(1), &one, sizeof one));
    b_int(&a, A_TYPE, 4);
    b_sub(&c, N_ATTR, a);
    b_sub(&g, G_NODE, b_node("fc1", "Gemm", "x,w,b", "h"));
    b_sub(&g, G_NODE, b_node("act", "Relu", "h", "r"));
    b_sub(&g, G_NODE, b_node("fc2", "Gemm", "r,w,b", "z"));
    if (strlen(second) > 1) { /* else nobody asks for it */
        b_sub(&g, G_NODE, argmax);
        b_sub(&g, G_NODE, c);
        b_sub(&g, G_NODE, b_node("twice", "Add", "label,k", "next"));
    } else {
        hn_buffer_free(&argmax);
        hn_buffer_free(&c);
    }
    b_sub(&g, G_NODE, b_node("soft", "Softmax", "z", "p"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("b", 1, DIMS(2), b, sizeof b));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    if (ir < 4) {
        b_sub(&g, G_INPUT, b_info("w", 1, "2,2"));
        b_sub(&g, G_INPUT, b_info("b", 1, "2"));
    }
    b_sub(&g, G_OUTPUT, b_info("p", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info(second, strlen(second) > 1 ? 7 : 1, "N,2"));
    return b_model(ir, ir < 4 ? 8 : 17, g);
}

START_TEST(the_tail_is_kept_once)
{
    for (int ir = 3; ir <= 8; ir += 5) {
        struct hn_buffer m[2] = { labelled(ir, "next", 1), labelled(ir, "next", 2) }, out;
        HN_OK(join(&test_mem, m, 2, "ensemble softmax z", &out), err);
        struct pair p = trainable(&out);
        ck_assert_int_eq(count(p.g, "ArgMax"), 1);
        ck_assert_int_eq(count(p.g, "Constant"), 1);
        ck_assert_int_eq(count(p.g, "Softmax"), 1);
        ck_assert_uint_eq(p.g->n_outputs, 2);
        ck_assert_uint_eq(p.g->n_inputs, 1);
        ck_assert(has(p.g, "k") && has(p.g, "label") && !has(p.g, "w"));
        const struct hn_value *w = &p.g->values[hn_graph_find(p.g, "member2/w")];
        ck_assert_int_eq(w->is_input, ir < 4); /* as this version of the format wants it */
        ck_assert_double_eq(hn_tensor_f64(w->constant, 0), 2);
        close_graph(p);
        hn_buffer_free(&out);
        free_all(m, 2);
    }
}
END_TEST

/* Two averages one behind the other: each member goes on from values of its own, also through what has no weights. */
START_TEST(between_two_averages)
{
    static const char *const lines[][2] = { { "r", "ensemble mean r softmax z" },
                                            { "h", "ensemble softmax z mean h" } };
    double one[2][ROWS * 2], all[ROWS * 2];
    struct hn_buffer m[2], out;
    for (int i = 0; i < 2; i++) {
        m[i] = labelled(8, lines[_i][0], (float)i / 4);
        run(&m[i], one[i], ROWS * 2);
    }
    HN_OK(join(&test_mem, m, 2, lines[_i][1], &out), err);
    run(&out, all, ROWS * 2);
    for (int i = 0; i < ROWS * 2; i++)
        ck_assert_double_eq_tol(all[i], (one[0][i] + one[1][i]) / 2, 1e-7);
    struct pair p = trainable(&out);
    int32_t inner = hn_graph_find(p.g, lines[_i][0]);
    ck_assert_str_eq(p.g->nodes[p.g->values[inner].producer].type, "Mul");
    ck_assert_int_eq(count(p.g, "Gemm"), 4);
    ck_assert_int_eq(count(p.g, "Relu"), 2);
    close_graph(p);
    hn_buffer_free(&out);
    free_all(m, 2);
}
END_TEST

/* ---- refusals -------------------------------------------------------------------------------------------------------------- */

START_TEST(what_cannot_be_averaged)
{
    struct hn_buffer m[2] = { labelled(8, "next", 1), labelled(8, "next", 2) };
    refused(m, 1, "ensemble softmax z", HONE_E_USAGE, "other members");
    refused(m, 2, "ensemble softmax", HONE_E_USAGE, "words");
    refused(m, 2, "ensemble softmax z mean", HONE_E_USAGE, "wanted");
    refused(m, 2, "ensemble median z", HONE_E_USAGE, "median");
    refused(m, 2, "ensemble softmax nothing", HONE_E_UNSUPPORTED, "nothing");
    refused(m, 2, "ensemble softmax x", HONE_E_UNSUPPORTED, "x");
    refused(m, 2, "ensemble mean r", HONE_E_UNSUPPORTED, "differ behind");
    refused(m, 2, "ensemble mean z", HONE_E_UNSUPPORTED, "declared as float");
    struct hn_buffer inside[2] = { labelled(8, "r", 1), labelled(8, "r", 2) };
    refused(inside, 2, "ensemble softmax z", HONE_E_UNSUPPORTED, "neither averaged nor the same");
    struct hn_buffer opsets[2] = { labelled(8, "next", 1), labelled(3, "next", 2) };
    refused(opsets, 2, "ensemble softmax z", HONE_E_UNSUPPORTED, "operator sets");
    struct hn_buffer inputs[2] = { fresh("2-4 softmax", 1), b_new() };
    inputs[1] = b_mlp();
    refused(inputs, 2, "ensemble softmax logits", HONE_E_UNSUPPORTED, "logits");
    struct hn_buffer broken[2] = { m[0], { .p = m[1].p, .n = m[1].n / 2 } };
    struct hn_buffer out;
    ck_assert_int_ne(join(&test_mem, broken, 2, "ensemble softmax z", &out), HONE_OK);
    hn_buffer_free(&out);
    free_all(m, 2), free_all(inside, 2), free_all(opsets, 2), free_all(inputs, 2);
}
END_TEST

START_TEST(memory_may_run_out)
{
    static const char *const lines[] = { "ensemble softmax z", "ensemble sigmoid z" };
    struct hn_buffer m[2] = { labelled(3, "next", 1), labelled(3, "next", 2) };
    struct hn_fault f;
    for (int i = 0; i < 2; i++)
        for (long n = 1;; n++) {
            struct hn_buffer out;
            hn_fault_init(&f);
            f.mem_fail.at = n;
            hone_status st = join(&f.mem, m, 2, lines[i], &out);
            hn_buffer_free(&out);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            if (!atomic_load(&f.mem_fail.hits)) {
                HN_OK(st, err);
                break;
            }
            ck_assert_msg(st == HONE_E_NOMEM, "allocation %ld: %d %s", n, (int)st, err.text);
        }
    free_all(m, 2);
}
END_TEST

HN_TEST_MAIN("ensemble", tcase_add_loop_test(tc, averages, 0, (int)(sizeof kinds / sizeof *kinds));
             tcase_add_test(tc, one_scaler_or_several); tcase_add_test(tc, training_is_not_tied);
             tcase_add_test(tc, the_tail_is_kept_once);
             tcase_add_loop_test(tc, between_two_averages, 0, 2);
             tcase_add_test(tc, the_tail_is_kept_once); tcase_add_test(tc, what_cannot_be_averaged);
             tcase_add_test(tc, memory_may_run_out);)
