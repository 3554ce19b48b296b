/* SPDX-License-Identifier: MIT
 *
 * Programs: every form of Gemm and MatMul against sums written out, operators as program ops, losses fused with tails,
 * head and body, the slab, inserted dropout, outputs that nobody computes. */
#include "tests/graph/build.h"

#include <math.h>

static double at(const struct hn_tensor *t, int64_t i) { return hn_tensor_f64(t, i); }

/* ---- Gemm -------------------------------------------------------------------------------------------------------------- */

struct gemm_case {
    double alpha, beta;
    int trans_a, trans_b, c_rank, c_dims[2];
    int weight_is_input;
};
static const struct gemm_case gemms[] = {
    { 1, 1, 0, 0, -1, { 0 }, 0 },     { 1, 1, 0, 1, 1, { 3 }, 0 },
    { 0.5, 2, 0, 1, 1, { 3 }, 0 },    { 1, 1, 0, 0, 2, { 1, 3 }, 0 },
    { 1, -1.5, 0, 0, 0, { 0 }, 0 },   { 1, 1, 0, 0, 1, { 1 }, 0 },
    { 1, 2, 0, 0, 2, { 5, 1 }, 0 },   { 2, 1, 0, 1, 2, { 5, 3 }, 0 },
    { 0.5, 2, 1, 1, 2, { 5, 1 }, 0 }, { 1, 1, 1, 0, 1, { 3 }, 0 },
    { 1, 0, 0, 0, 1, { 3 }, 0 },      { 0.5, 2, 0, 1, 1, { 3 }, 1 },
    { 1, 1, 1, 0, 2, { 5, 1 }, 1 },
};

static double gemm_c(const struct gemm_case *g, const struct hn_tensor *c, int64_t i, int64_t j)
{
    if (g->c_rank < 0) return 0;
    if (g->c_rank == 0 || c->n == 1) return at(c, 0);
    if (g->c_rank == 1) return at(c, j);
    return at(c, (g->c_dims[0] == 1 ? 0 : i) * g->c_dims[1] + (g->c_dims[1] == 1 ? 0 : j));
}

/* A [5,4] (or its transpose, an input), B [4,3], fixed shapes so that C may be [M,1] and [M,N]. */
START_TEST(gemm_forms)
{
    const struct gemm_case *g = &gemms[_i];
    struct hn_graph_opts keep = { .keep_fixed_batch = 1 };
    struct tb t;
    char attrs[128];
    double a[20], b[12];
    const double *in[2] = { a, b };
    tb_open(&t, 13);
    tb_input(&t, "a", HN_F32, 2, g->trans_a ? 4 : 5, g->trans_a ? 5 : 4);
    tb_floats(&t, "w", 2, g->trans_b ? 3 : 4, g->trans_b ? 4 : 3);
    if (g->weight_is_input) tb_input(&t, "b", HN_F32, 2, g->trans_b ? 3 : 4, g->trans_b ? 4 : 3);
    if (g->c_rank >= 0) tb_floats(&t, "c", g->c_rank, g->c_dims[0], g->c_dims[1]);
    const struct hn_tensor *w = tb_value(&t, "w")->constant;
    for (int i = 0; i < 20; i++) a[i] = cos(0.7 * i);
    for (int i = 0; i < 12; i++) b[i] = at(w, i);
    snprintf(attrs, sizeof attrs, "alpha=%.1f beta=%.1f transA=%d transB=%d", g->alpha, g->beta,
             g->trans_a, g->trans_b);
    const char *names = g->weight_is_input ? (g->c_rank >= 0 ? "a b c" : "a b")
                        : g->c_rank >= 0   ? "a w c"
                                           : "a w -";
    tb_node(&t, "Gemm", names, "y", attrs);
    tb_output(&t, "y");
    tb_finish(&t, &keep);
    struct hn_program *p = tb_lower(&t, NULL);
    double *y = tb_run(&t, p, 5, in);
    for (int64_t i = 0; i < 5; i++)
        for (int64_t j = 0; j < 3; j++) {
            double sum = 0;
            for (int64_t k = 0; k < 4; k++)
                sum += a[g->trans_a ? k * 5 + i : i * 4 + k] *
                       at(w, g->trans_b ? j * 4 + k : k * 3 + j);
            double want =
                g->alpha * sum +
                g->beta * (g->c_rank >= 0 ? gemm_c(g, tb_value(&t, "c")->constant, i, j) : 0);
            ck_assert_double_eq_tol(y[i * 3 + j], want, 1e-12);
        }
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(gemm_shape_errors)
{
    static const struct {
        int a, b0, b1, c;
        const char *part;
    } cases[] = { { 4, 5, 3, 3, "inner sizes differ" }, { 4, 4, 3, 4, "does not broadcast" } };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, cases[_i].a);
    tb_floats(&t, "w", 2, cases[_i].b0, cases[_i].b1);
    tb_floats(&t, "c", 1, cases[_i].c);
    tb_node(&t, "Gemm", "x w c", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_graph_blocked(t.g, 0, &t.err), HONE_E_MODEL);
    ck_assert_ptr_nonnull(strstr(t.err.text, cases[_i].part));
    tb_close(&t);
}
END_TEST

/* ---- single operators: y = f(x) on [N,3], opset 13 ------------------------------------------------------------------------ */

static double f_double(double x) { return 2 * x; }
static double f_plus(double x) { return x + 3; }
static double f_minus(double x) { return 3 - x; }
static double f_third(double x) { return x / 3; }
static double f_under(double x) { return 3 / x; }
static double f_square(double x) { return x * x; }
static double f_cube(double x) { return x * x * x; }
static double f_max(double x) { return x > 3 ? x : 3; }
static double f_min(double x) { return x < 3 ? x : 3; }
static double f_clip(double x) { return x < 0 ? 0 : x > 3 ? 3 : x; }
static double f_low(double x) { return x < 3 ? 3 : x; }
static double f_high(double x) { return x > 3 ? 3 : x; }
static double f_elu(double x) { return x < 0 ? 0.5 * expm1(x) : x; }
static double f_leaky(double x) { return x < 0 ? (double)0.01f * x : x; }
static double f_hard(double x) { return fmax(0, fmin(1, (double)0.2f * x + 0.5)); }
static double f_celu(double x) { return x < 0 ? 2 * expm1(x / 2) : x; }
static double f_prelu(double x) { return x < 0 ? 3 * x : x; }

static const struct {
    const char *type, *in, *attrs;
    int n_ops;
    double (*f)(double);
} elements[] = {
    { "Mul", "x two", NULL, 1, f_double },    { "Mul", "two x", NULL, 1, f_double },
    { "Add", "three x", NULL, 1, f_plus },    { "Sub", "three x", NULL, 1, f_minus },
    { "Div", "x three", NULL, 1, f_third },   { "Div", "three x", NULL, 1, f_under },
    { "Pow", "x two", NULL, 1, f_square },    { "Pow", "x three", NULL, 1, f_cube },
    { "Max", "x three", NULL, 1, f_max },     { "Min", "three x", NULL, 1, f_min },
    { "Sum", "x x", NULL, 1, f_double },      { "Clip", "x zero three", NULL, 1, f_clip },
    { "Clip", "x three -", NULL, 1, f_low },  { "Clip", "x - three", NULL, 1, f_high },
    { "Elu", "x", "alpha=0.5", 1, f_elu },    { "LeakyRelu", "x", NULL, 1, f_leaky },
    { "HardSigmoid", "x", NULL, 1, f_hard },  { "Celu", "x", "alpha=2.0", 1, f_celu },
    { "PRelu", "x three", NULL, 5, f_prelu }, { "Max", "x", NULL, 1, fabs },
};

START_TEST(element_wise)
{
    double x[6] = { -4, -1.5, -0.25, 0.75, 2.5, 5 };
    const double *in = x;
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 3);
    tb_number(&t, "zero", 0), tb_number(&t, "two", 2), tb_number(&t, "three", 3);
    tb_node(&t, elements[_i].type, elements[_i].in, "y", elements[_i].attrs);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, NULL);
    ck_assert_int_eq(p->n_ops, elements[_i].n_ops);
    double *y = tb_run(&t, p, 2, &in);
    for (int i = 0; i < 6; i++) {
        double want = elements[_i].f == fabs
                          ? x[i]
                          : elements[_i].f(x[i]); /* fabs marks one operand: unchanged */
        ck_assert_msg(fabs(y[i] - want) <= 1e-12 * fmax(1, fabs(want)),
                      "%s(%g) is %.17g, wanted %.17g", elements[_i].type, x[i], y[i], want);
    }
    hn_free(&t.mem, y);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* Softmax of a rank-3 tensor: opset 11 flattens all trailing dims, opset 13 takes one axis. */
START_TEST(two_meanings_of_softmax)
{
    double x[6] = { 0.1, 0.2, 0.3, 1, 2, 3 };
    const double *in = x;
    for (int64_t opset = 11; opset <= 13; opset += 2) {
        struct tb t;
        double sum = 0;
        tb_open(&t, opset);
        tb_input(&t, "x", HN_F32, 3, -1, 2, 3);
        tb_node(&t, "Softmax", "x", "y", NULL);
        tb_output(&t, "y");
        tb_finish(&t, NULL);
        struct hn_program *p = tb_lower(&t, NULL);
        double *y = tb_run(&t, p, 1, &in);
        for (int i = opset == 11 ? 0 : 3; i < 6; i++) sum += exp(x[i]);
        ck_assert_double_eq_tol(y[5], exp(3) / sum, 1e-12);
        hn_free(&t.mem, y);
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

/* ---- losses -------------------------------------------------------------------------------------------------------------- */

struct loss_case {
    const char *tail;
    enum hn_loss_kind kind;
    int dense;
    const char *row;
    int fused, target_rank;
};
static const struct loss_case losses[] = {
    { "Softmax", HN_LOSS_CE, 0, "loss_ce", 1, 1 },
    { "LogSoftmax", HN_LOSS_CE, 1, "loss_ce", 1, 2 },
    { "LogSoftmax", HN_LOSS_NLL, 0, "loss_ce", 1, 1 },
    { "Softmax", HN_LOSS_NLL, 0, "loss_nll", 0, 1 },
    { "Identity", HN_LOSS_CE, 0, "loss_ce", 0, 1 },
    { "Sigmoid", HN_LOSS_BCE, 1, "loss_bce", 1, 2 },
    { "Identity", HN_LOSS_BCE, 1, "loss_bce", 0, 2 },
    { "Softmax", HN_LOSS_MSE, 1, "loss_regression", 0, 2 },
    { "Sigmoid", HN_LOSS_HUBER, 1, "loss_regression", 0, 2 },
};

START_TEST(losses_take_what_stands_before_the_tail)
{
    const struct loss_case *c = &losses[_i];
    struct hn_loss_spec spec = {
        .kind = c->kind, .weight = 2, .delta = 1, .dense = c->dense, .row_weights = 1
    };
    struct hn_lower_opts opts = { .losses = &spec, .n_losses = 1 };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "MatMul", "x w", "h", NULL);
    tb_node(&t, c->tail, "h", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    const struct hn_op *loss = tb_op(p, c->row);
    ck_assert_ptr_nonnull(loss);
    ck_assert_int_eq(p->n_losses, 1);
    ck_assert_int_eq(p->n_targets, 2);
    const struct hn_loss *a = loss->attrs;
    ck_assert(a->weight == 2 && a->output == 0 && a->dense == c->dense);
    int32_t seen = loss->in[0];
    if (p->values[seen].view_of >= 0) seen = p->values[seen].view_of;
    ck_assert_str_eq(p->values[seen].name,
                     c->fused || strcmp(c->tail, "Identity") == 0 ? "h" : "y");
    ck_assert_int_eq(p->values[p->targets[0]].shape.rank, c->target_rank);
    ck_assert_int_eq(p->values[p->targets[1]].shape.rank, 1);
    ck_assert_int_eq(loss->in[1], p->targets[0]);
    ck_assert_int_eq(loss->in[2], p->targets[1]);
    ck_assert_str_eq(p->output_names[0], "y"); /* the tail stays for the output */
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* One weight a row of the data, however many rows of classes it has. */
START_TEST(weights_are_one_a_row)
{
    struct hn_loss_spec spec = { .kind = HN_LOSS_CE, .weight = 1, .row_weights = 1 };
    struct hn_lower_opts opts = { .losses = &spec, .n_losses = 1 };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 3, -1, 5, 4);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "MatMul", "x w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(p->n_targets, 2);
    struct hn_dim target = hn_shape_count(&p->values[p->targets[0]].shape),
                  weight = hn_shape_count(&p->values[p->targets[1]].shape);
    ck_assert(target.per_row == 5 && target.fixed == 0);
    ck_assert(weight.per_row == 1 && weight.fixed == 0);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(losses_need_an_output)
{
    struct hn_loss_spec spec = { .output = 3, .kind = HN_LOSS_MSE, .weight = 1 };
    struct hn_lower_opts opts = { .losses = &spec, .n_losses = 1 };
    struct hn_program *p;
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Relu", "x", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_lower(t.g, &opts, &p, &t.err), HONE_E_USAGE);
    ck_assert_ptr_null(p);
    tb_close(&t);
}
END_TEST

/* ---- parts, slab, dropout ------------------------------------------------------------------------------------------------- */

/* Two inputs; a normaliser and a frozen first layer are the head; the second input goes straight into the body. */
static void headed_net(struct tb *t, int with_dropout)
{
    tb_open(t, 13);
    tb_input(t, "x", HN_F32, 2, -1, 4);
    tb_input(t, "z", HN_F32, 2, -1, 2);
    tb_floats(t, "mean", 1, 4);
    tb_floats(t, "w0", 2, 4, 8);
    tb_floats(t, "w1", 2, 10, 3);
    tb_floats(t, "scale", 1, 3);
    tb_floats(t, "bias", 1, 3);
    tb_floats(t, "m", 1, 3);
    tb_floats(t, "v", 1, 3);
    tb_node(t, "Sub", "x mean", "c", NULL);
    tb_node(t, "MatMul", "c w0", "h0", NULL);
    tb_node(t, "Tanh", "h0", "a0", NULL);
    tb_node(t, "Concat", "a0 z", "j", "axis=1");
    tb_node(t, "MatMul", "j w1", "h1", NULL);
    tb_node(t, "BatchNormalization", "h1 scale bias m v", "n", NULL);
    tb_node(t, "Relu", "n", "a1", NULL);
    if (with_dropout)
        tb_node(t, "Dropout", "a1", "d", NULL);
    else
        tb_node(t, "Identity", "a1", "d", NULL);
    tb_floats(t, "w2", 2, 3, 2);
    tb_node(t, "MatMul", "d w2", "h2", NULL);
    tb_node(t, "Sigmoid", "h2", "y", NULL);
    tb_node(t, "Identity", "z", "pass", NULL);
    tb_output(t, "y");
    tb_output(t, "pass");
}

START_TEST(head_and_body)
{
    static const char *const freeze[] = { "w0" };
    struct hn_graph_opts gopts = { .freeze = freeze, .n_freeze = 1 };
    struct tb t;
    headed_net(&t, 1);
    tb_finish(&t, &gopts);
    struct hn_lower_opts opts = { .part = HN_PART_ALL };
    struct hn_program *all = tb_lower(&t, &opts);
    opts.part = HN_PART_HEAD;
    struct hn_program *head = tb_lower(&t, &opts);
    opts.part = HN_PART_BODY;
    struct hn_program *body = tb_lower(&t, &opts);
    ck_assert_ptr_nonnull(head);
    ck_assert_int_eq(head->n_inputs, 2);
    ck_assert_int_eq(tb_count_ops(head, "batchnorm") + tb_count_ops(head, "dropout"), 0);
    ck_assert_int_eq(head->n_outputs, body->n_inputs);
    for (int i = 0; i < body->n_inputs; i++)
        ck_assert_str_eq(head->output_names[i], body->input_names[i]);
    ck_assert_int_eq(tb_count_ops(body, "dense"), 2);
    ck_assert_int_eq(tb_count_ops(all, "dense"), 3);
    ck_assert_uint_eq(all->n_slab, body->n_slab);
    ck_assert_uint_eq(all->n_slab, head->n_slab);
    double x[8] = { 1, 2, 3, 4, -1, 0.5, 0.25, -2 }, z[4] = { 0.5, -0.5, 1, 2 };
    const double *in[2] = { x, z };
    double *whole = tb_run(&t, all, 2, in);
    ck_assert_str_eq(all->output_names[1], "pass");
    hn_free(&t.mem, whole);
    hn_program_destroy(all, &t.mem);
    hn_program_destroy(head, &t.mem);
    hn_program_destroy(body, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(only_views_make_no_head)
{
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 3, -1, 2, 2);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "Flatten", "x", "f", NULL);
    tb_node(&t, "MatMul", "f w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_lower_opts opts = { .part = HN_PART_HEAD };
    ck_assert_ptr_null(tb_lower(&t, &opts));
    opts.part = HN_PART_BODY;
    struct hn_program *body = tb_lower(&t, &opts);
    ck_assert_int_eq(body->n_inputs, 1);
    ck_assert_str_eq(body->input_names[0], "x");
    hn_program_destroy(body, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(slab_layout)
{
    static const char *const freeze[] = { "w1" };
    struct hn_graph_opts gopts = { .freeze = freeze, .n_freeze = 1 };
    struct tb t;
    headed_net(&t, 0);
    tb_finish(&t, &gopts);
    struct hn_program *p = tb_lower(&t, NULL);
    size_t off = 0;
    uint32_t last = HN_PARAM_TRAINED;
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        uint32_t part = q->flags & (HN_PARAM_TRAINED | HN_PARAM_STATE);
        ck_assert_uint_eq(q->off, off);
        ck_assert_ptr_nonnull(q->init);
        ck_assert_uint_eq(q->n, (size_t)q->init->n);
        off += (q->n + 15) / 16 * 16;
        if (part == HN_PARAM_TRAINED)
            ck_assert_uint_eq(last, HN_PARAM_TRAINED); /* trained, then frozen, then state */
        if (part == 0) ck_assert_uint_ne(last, HN_PARAM_STATE);
        if (part == HN_PARAM_TRAINED)
            ck_assert_uint_eq(p->n_trained, p->n_trained > off ? p->n_trained : off);
        last = part;
    }
    ck_assert_uint_eq(p->n_slab, off);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(dropout_is_inserted_once_per_hidden_activation)
{
    struct hn_lower_opts opts = { .insert_dropout = 1, .dropout = 0.25 };
    for (int with = 0; with < 2; with++) {
        struct tb t;
        headed_net(&t, with);
        tb_finish(&t, NULL);
        struct hn_program *p = tb_lower(&t, &opts);
        /* without a Dropout node: behind Tanh and Relu, not behind the last Sigmoid; with one: nothing is inserted */
        ck_assert_int_eq(tb_count_ops(p, "dropout"), with ? 1 : 2);
        const struct hn_dropout *a = tb_op(p, "dropout")->attrs;
        ck_assert(a->rate == (with ? 0.5 : 0.25));
        ck_assert_uint_eq(a->stream, HN_STREAM_DROPOUT + (with ? 7u : 2u));
        hn_program_destroy(p, &t.mem);
        tb_close(&t);
    }
}
END_TEST

static int32_t root_of(const struct hn_program *p, int32_t v)
{
    return p->values[v].view_of >= 0 ? p->values[v].view_of : v;
}

/* Every op stands behind those whose results it reads; only the first op of augmentation reads an input or a target. */
static void augmented(const struct hn_program *p, const char *first_of_input, int noise, int mixups)
{
    ck_assert_int_eq(tb_count_ops(p, "noise"), noise);
    ck_assert_int_eq(tb_count_ops(p, "mixup"), mixups);
    for (int i = 0; i < p->n_ops; i++)
        for (int k = 0; k < p->ops[i].n_in; k++) {
            const char *name = p->ops[i].row->name;
            if (p->ops[i].in[k] < 0) continue;
            const struct hn_value_ref *v = &p->values[root_of(p, p->ops[i].in[k])];
            ck_assert_int_lt(v->producer, i);
            if (v->kind == HN_INPUT) ck_assert_str_eq(name, first_of_input);
            if (v->kind == HN_TARGET)
                ck_assert_msg(mixups == 0 || !strncmp(name, "mixup", 5) ||
                                  !strncmp(name, "onehot", 6),
                              "%s reads a target", name);
        }
}

/* Noise and mixup stand between what a body begins with and all that reads it, also through views and behind a frozen head; an
 * evaluation is what it was. */
START_TEST(augmentation)
{
    static const char *const freeze[] = { "w0" };
    struct hn_graph_opts gopts = { .freeze = freeze, .n_freeze = 1 };
    const struct hn_loss_spec loss = { .output = 0, .kind = HN_LOSS_MSE, .weight = 1 };
    double x[8] = { 1, 2, 3, 4, -1, 0.5, 0.25, -2 }, z[4] = { 0.5, -0.5, 1, 2 };
    const double *in[2] = { x, z };
    for (int head = 0; head < 2; head++)
        for (int how = 1; how < 4; how++) {
            struct tb t;
            headed_net(&t, 1);
            tb_finish(&t, head ? &gopts : NULL);
            struct hn_lower_opts opts = { .part = HN_PART_BODY, .losses = &loss, .n_losses = 1 };
            struct hn_program *plain = tb_lower(&t, &opts);
            opts.noise = how & 1 ? 0.5 : 0, opts.mixup = how & 2 ? 0.3 : 0;
            struct hn_program *p = tb_lower(&t, &opts);
            augmented(p, how & 2 ? "mixup" : "noise", how & 1 ? p->n_inputs : 0,
                      how & 2 ? p->n_inputs + 1 : 0);
            ck_assert_int_eq(p->n_inputs, plain->n_inputs);
            opts.part = HN_PART_HEAD;
            struct hn_program *before = tb_lower(&t, &opts);
            ck_assert_ptr_nonnull(before);
            ck_assert_int_eq(tb_count_ops(before, "noise") + tb_count_ops(before, "mixup"), 0);
            hn_program_destroy(before, &t.mem);
            opts.part = HN_PART_ALL;
            struct hn_program *all = tb_lower(&t, &opts);
            opts.noise = opts.mixup = 0;
            struct hn_program *none = tb_lower(&t, &opts);
            augmented(all, how & 2 ? "mixup" : "noise", how & 1 ? 2 : 0, how & 2 ? 3 : 0);
            double *with = tb_run(&t, all, 2, in), *without = tb_run(&t, none, 2, in);
            ck_assert_mem_eq(with, without, sizeof *with);
            hn_free(&t.mem, with), hn_free(&t.mem, without);
            hn_program_destroy(all, &t.mem);
            hn_program_destroy(none, &t.mem);
            hn_program_destroy(plain, &t.mem);
            hn_program_destroy(p, &t.mem);
            tb_close(&t);
        }
}
END_TEST

START_TEST(augmentation_of_views_and_classes)
{
    const struct hn_loss_spec loss = { .output = 0, .kind = HN_LOSS_CE, .weight = 1 };
    struct hn_lower_opts opts = {
        .part = HN_PART_BODY, .losses = &loss, .n_losses = 1, .noise = 1, .mixup = 1
    };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 3, -1, 2, 2);
    tb_floats(&t, "w", 2, 4, 3);
    tb_node(&t, "Flatten", "x", "f", NULL);
    tb_node(&t, "MatMul", "f w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    struct hn_program *p = tb_lower(&t, &opts);
    augmented(p, "mixup", 1, 2);
    const struct hn_op *ce = tb_op(p, "loss_ce"), *onehot = tb_op(p, "onehot");
    ck_assert_int_eq(((const struct hn_loss *)ce->attrs)->dense, 1);
    ck_assert_int_eq(((const struct hn_onehot *)onehot->attrs)->classes, 3);
    ck_assert_int_eq(p->values[p->targets[0]].shape.rank, 1); /* data have class indices as ever */
    ck_assert_str_eq(p->ops[p->values[ce->in[1]].producer].row->name, "mixup");
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

/* Indices stay what they are: what they choose is mixed behind the embedding, numbers beside it in front. */
START_TEST(augmentation_of_embeddings)
{
    struct hn_lower_opts opts = { .part = HN_PART_BODY, .noise = 1, .mixup = 1 };
    const struct hn_loss_spec loss = { .output = 0, .kind = HN_LOSS_MSE, .weight = 1 };
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "c", HN_I64, 1, -1);
    tb_input(&t, "x", HN_F32, 2, -1, 2);
    tb_floats(&t, "table", 2, 5, 3);
    tb_floats(&t, "w", 2, 5, 2);
    tb_node(&t, "Gather", "table c", "e", NULL);
    tb_node(&t, "Concat", "e x", "j", "axis=1");
    tb_node(&t, "MatMul", "j w", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    opts.losses = &loss, opts.n_losses = 1;
    struct hn_program *p = tb_lower(&t, &opts);
    ck_assert_int_eq(tb_count_ops(p, "mixup"), 3); /* x, what c chooses, the target */
    ck_assert_int_eq(tb_count_ops(p, "noise"), 1);
    for (int i = 0; i < p->n_ops; i++)
        for (int k = 0; k < p->ops[i].n_in; k++)
            if (p->ops[i].in[k] >= 0)
                ck_assert_int_lt(p->values[root_of(p, p->ops[i].in[k])].producer, i);
    const struct hn_op *e = tb_op(p, "embedding"), *join = tb_op(p, "concat");
    ck_assert_int_eq(p->values[e->in[0]].kind, HN_INPUT);
    const struct hn_op *mixed = &p->ops[p->values[join->in[0]].producer];
    ck_assert_str_eq(mixed->row->name, "mixup");
    ck_assert_int_eq(mixed->in[0], e->out[0]);
    ck_assert_str_eq(p->ops[p->values[join->in[1]].producer].row->name, "noise");
    ck_assert_int_eq(p->params[p->values[e->in[1]].index].flags & HN_PARAM_TRAINED, 1);
    hn_program_destroy(p, &t.mem);
    tb_close(&t);
}
END_TEST

START_TEST(nothing_computable_is_an_error)
{
    struct hn_lower_opts opts = { .part = HN_PART_ALL };
    struct hn_program *p;
    struct tb t;
    tb_open(&t, 13);
    tb_input(&t, "x", HN_F32, 2, -1, 4);
    tb_node(&t, "Hardmax", "x", "y", NULL);
    tb_output(&t, "y");
    tb_finish(&t, NULL);
    ck_assert_int_eq(hn_lower(t.g, &opts, &p, &t.err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_null(p);
    tb_close(&t);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

static long left;
static void *failing_alloc(void *user, size_t size)
{
    return (void)user, left-- > 0 ? malloc(size) : NULL;
}
static void failing_release(void *user, void *p) { (void)user, free(p); }

static hone_status finish_and_lower(struct tb *t)
{
    struct hn_loss_spec spec = { .kind = HN_LOSS_BCE, .weight = 1, .dense = 1 };
    struct hn_lower_opts opts = {
        .part = HN_PART_HEAD, .losses = &spec, .n_losses = 1, .insert_dropout = 1, .dropout = 0.5
    };
    hone_status st = hn_graph_finish(t->g, NULL, &t->err);
    for (int part = HN_PART_ALL; part <= HN_PART_BODY && st == HONE_OK; part++) {
        struct hn_program *p;
        opts.part = (enum hn_part)part;
        st = hn_lower(t->g, &opts, &p, &t->err);
        hn_program_destroy(p, &t->mem);
    }
    return st;
}

/* Every allocation fails once: an error, nothing leaks, nothing crashes. */
START_TEST(every_allocation_fails)
{
    long n = 0;
    for (;; n++) {
        struct tb t;
        headed_net(&t, 0);
        tb_ints(&t, "axes", 1, -1);
        tb_floats(&t, "k", 2, 2, 2);
        tb_node(&t, "Transpose", "k", "kt", NULL);
        tb_node(&t, "Gemm", "y kt", "q", "transB=1");
        tb_node(&t, "Shape", "q", "s", NULL);
        tb_node(&t, "Gather", "s axes", "last", NULL);
        tb_node(&t, "Hardmax", "q", "odd", NULL);
        tb_output(&t, "q");
        tb_output(&t, "odd");
        left = n;
        t.mem.alloc = failing_alloc, t.mem.release = failing_release;
        hone_status st = finish_and_lower(&t);
        left = 1 << 30;
        tb_close(&t);
        if (st == HONE_OK) break;
        ck_assert_int_eq(st, HONE_E_NOMEM);
        ck_assert_int_lt(n, 10000);
    }
    ck_assert_int_gt(n, 20);
}
END_TEST

#define COUNT(list) (int)(sizeof list / sizeof *list)
HN_TEST_MAIN("lower", tcase_add_loop_test(tc, gemm_forms, 0, COUNT(gemms));
             tcase_add_loop_test(tc, gemm_shape_errors, 0, 2);
             tcase_add_loop_test(tc, element_wise, 0, COUNT(elements));
             tcase_add_test(tc, two_meanings_of_softmax);
             tcase_add_loop_test(tc, losses_take_what_stands_before_the_tail, 0, COUNT(losses));
             tcase_add_test(tc, weights_are_one_a_row); tcase_add_test(tc, losses_need_an_output);
             tcase_add_test(tc, head_and_body); tcase_add_test(tc, only_views_make_no_head);
             tcase_add_test(tc, slab_layout);
             tcase_add_test(tc, dropout_is_inserted_once_per_hidden_activation);
             tcase_add_test(tc, augmentation);
             tcase_add_test(tc, augmentation_of_views_and_classes);
             tcase_add_test(tc, augmentation_of_embeddings);
             tcase_add_test(tc, nothing_computable_is_an_error);
             tcase_add_test(tc, every_allocation_fails);)
