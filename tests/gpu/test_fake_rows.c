/* SPDX-License-Identifier: MIT
 *
 * Every (op row, sample) inside a small program, on the GPU backend over the fake device against the reference backend: outputs,
 * losses, gradients, running statistics; one slot (library products) and two ragged slots beside a dead one (native ones). */
#include "gpu/backend.h"
#include "tests/cpu/rig.h"
#include "tests/gpu/fake.h"
#include "tests/math/cases.h"

struct unit { /* the program of one sample, and how each column and parameter is filled */
    struct tb t;
    uint8_t input_how[TB_LIST], target_how[TB_LIST], param_how[TB_PARAMS];
    double constant[CASE_IN][512];
    double classes;
    const char *options; /* of the device */
    struct rig_data d;
    struct hn_loss mse;
    struct hn_binary add;
};

static double draw(const struct unit *u, int how, uint64_t *state)
{
    switch (how) {
    case 1: return 0.5 + 1.5 * case_uniform(state);
    case 2: return floor(case_uniform(state) * u->classes);
    case 3: return 0.05 + 0.9 * case_uniform(state);
    case 4: return case_uniform(state) < 0.5 ? 0 : 1;
    case 5: return floor(case_uniform(state) * 2 * u->classes) - u->classes;
    case 9: return 0;
    default: return case_normal(state);
    }
}

/* An activation: an input plus a trained vector (of zeros), whose gradient is the activation's, summed over the rows. */
static int activation(struct unit *u, const struct hn_shape *s, int how)
{
    struct hn_shape tail = { .rank = 1, .d = { { 0, 1 } } };
    int fixed = hn_shape_count(s).per_row == 0, at = u->t.p.n_inputs;
    u->input_how[at] = (uint8_t)how;
    int x = tb_input(&u->t, *s);
    if (s->rank > 1 && !fixed) {
        tail.rank = s->rank;
        for (int i = 0; i < s->rank; i++)
            tail.d[i] = s->d[i].per_row ? (struct hn_dim){ 0, 1 } : s->d[i];
    }
    u->param_how[u->t.p.n_params] = 9;
    return tb_op(&u->t, &hn_op_binary, &u->add, 2, (int[]){ x, tb_param(&u->t, tail, 1) });
}

static int operand(struct unit *u, const struct hn_sample *s, int i)
{
    struct tb *t = &u->t;
    uint64_t state = 99 + (uint64_t)i;
    switch (s->kind[i]) {
    case HN_ACT: return activation(u, &s->x[i], s->values[i]);
    case HN_INPUT: u->input_how[t->p.n_inputs] = s->values[i]; return tb_input(t, s->x[i]);
    case HN_TARGET: u->target_how[t->p.n_targets] = s->values[i]; return tb_target(t, s->x[i]);
    case HN_PARAM: u->param_how[t->p.n_params] = s->values[i]; return tb_param(t, s->x[i], 1);
    case HN_STATE: u->param_how[t->p.n_params] = s->values[i]; return tb_state(t, s->x[i]);
    default:
        for (int k = 0; k < 512; k++) u->constant[i][k] = draw(u, s->values[i], &state);
        return tb_const(t, s->x[i], u->constant[i]);
    }
}

static void unit_init(struct unit *u, const struct hn_op_row *row, const struct hn_sample *s)
{
    int in[CASE_IN] = { 0 };
    *u = (struct unit){ .mse = { .weight = 1 }, .add = { HN_B_ADD } };
    tb_init(&u->t);
    int last = s->x[0].rank - 1;
    u->classes = last >= 0 ? (double)s->x[0].d[last].fixed : 1;
    for (int i = 0; i < s->n_in; i++) in[i] = operand(u, s, i);
    if (row->flags & HN_OP_LOSS) {
        tb_loss(&u->t, row, s->attrs, in[0], in[1], s->n_in > 2 ? in[2] : -1);
    } else {
        int y = tb_op(&u->t, row, s->attrs, s->n_in, in);
        struct hn_shape shape = u->t.values[y].shape;
        tb_output(&u->t, y);
        tb_loss(&u->t, &hn_op_loss_regression, &u->mse, y, tb_target(&u->t, shape), -1);
    }
    tb_finish(&u->t);
    rig_data_init(&u->d, &u->t, 0, 5);
    for (int i = 0; i < u->t.p.n_inputs + u->t.p.n_targets; i++) {
        int target = i >= u->t.p.n_inputs, k = target ? i - u->t.p.n_inputs : i;
        const struct hn_column *c = target ? &u->d.targets[k] : &u->d.inputs[k];
        uint64_t state = 1000 + (uint64_t)i;
        for (int64_t j = 0; j < c->per_row * RIG_ROWS; j++)
            ((float *)(uintptr_t)c->data)[j] =
                (float)draw(u, target ? u->target_how[k] : u->input_how[k], &state);
    }
}

/* The same weights on both sides. */
static void set_weights(struct unit *u, struct rig *g, struct rig_replica *r)
{
    double *w = calloc(u->t.p.n_slab + 1, sizeof *w);
    for (int i = 0; i < u->t.p.n_params; i++) {
        uint64_t state = 77 + (uint64_t)i;
        const struct hn_param *q = &u->t.params[i];
        for (size_t k = 0; k < q->n; k++)
            w[q->off + k] = (double)(float)draw(u, u->param_how[i], &state);
    }
    rig_put(g, r->r.slab[HN_SLAB_W], w, u->t.p.n_slab);
    free(w);
}

enum { SLOTS = 3, MOST = 4096 };
struct result {
    double partial[3], slab[MOST], out[2 * 64 * 64];
    int64_t n_out;
    int refused;
};

/* Two steps of `rows` in one pass; the replica sits in slot `slot` of `slots`, beside others with fewer rows. */
static void run(struct unit *u, const struct hn_backend *b, enum hn_pass pass, int64_t rows,
                int slots, struct result *out)
{
    struct rig g;
    struct rig_replica r[SLOTS];
    struct hn_slot s[SLOTS] = { 0 };
    hone_error err = { 0 };
    const double lr[2] = { 0.1, 0.05 };
    double host[2 * 64 * 64];
    void *outs[1] = { host };
    uint32_t index[2 * 64];
    for (int i = 0; i < 2 * 64; i++) index[i] = (uint32_t)(i * 37 % RIG_ROWS);
    rig_open(&g, b, &u->t, 1, u->options);
    rig_prepare(&g, pass, rows, slots, &u->d);
    for (int i = 0; i < slots; i++) {
        rig_replica_init(&r[i], &g, &u->t, &rig_sgd, 3);
        set_weights(u, &g, &r[i]);
        s[i] = (struct hn_slot){
            .r = &r[i].r, .data = g.data, .index = index, .lr = lr, .partial = r[i].partial
        };
        s[i].rows = i == slots - 1 ? rows : i == 0 ? (rows + 1) / 2 : 0;
    }
    s[slots - 1].out = outs;
    memset(host, 0, sizeof host);
    hone_status st = b->run(g.exec, s, slots, 2, &err);
    const int no = refused(st, &err);
    if (!no) HN_OK(st, err);
    *out = (struct result){ .refused = no,
                            .partial = { r[slots - 1].partial[0], r[slots - 1].partial[1],
                                         (double)s[slots - 1].bad_step } };
    ck_assert_int_lt((int)u->t.p.n_slab, MOST);
    rig_get(&g, r[slots - 1].r.slab[pass == HN_PASS_GRAD ? HN_SLAB_DW : HN_SLAB_W], out->slab,
            u->t.p.n_slab);
    if (u->t.p.n_outputs > 0 && pass == HN_PASS_EVAL) {
        struct hn_dim n = hn_shape_count(&u->t.values[u->t.outputs[0]].shape);
        out->n_out = 2 * (n.per_row * rows + n.fixed);
        for (int64_t i = 0; i < out->n_out; i++)
            out->out[i] = b->elem == 4 ? (double)((float *)host)[i] : host[i];
    }
    for (int i = 0; i < slots; i++) rig_replica_free(&r[i], &g);
    rig_unprepare(&g);
    rig_close(&g);
}

struct where {
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    const char *what, *options;
    double tolerance;
    int64_t rows;
    int slots, elem;
};
/* How far a float may be from the reference in double, relative to a tenth of the tensor's largest number at least: 1e-5, and
 * wider where the reason is said. */
static double tolerance_of(const struct hn_op_row *row)
{
    static const struct {
        const char *row;
        double tolerance;
        const char *why;
    } wider[] = { { "none", 0, "" } };
    for (size_t i = 0; i < sizeof wider / sizeof *wider; i++)
        if (strcmp(wider[i].row, row->name) == 0) return wider[i].tolerance;
    return 1e-5;
}

static void compare(const struct where *w, const double *want, const double *got, int64_t n)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
    for (int64_t i = 0; i < n; i++) {
        double scale = fabs(want[i]) > 0.1 * largest ? fabs(want[i]) : 0.1 * largest;
        ck_assert_msg(fabs(want[i] - got[i]) <=
                          w->tolerance * scale + (w->elem == 4 ? 2e-6 : 1e-13),
                      "%s '%s' (%s) %d bytes, %lld rows, %d slots: %s[%lld] is %.9g, wanted %.9g",
                      w->row->name, w->sample->name, w->options ? w->options : "", w->elem,
                      (long long)w->rows, w->slots, w->what, (long long)i, got[i], want[i]);
    }
}

/* BatchNorm by cuDNN, in every way to see it; in strips of rows */
enum { N_WAYS = 6 };
static const char *const norm_ways[N_WAYS] = {
    "bn-impl=cudnn-per-activation", "bn-impl=cudnn-spatial",         "bn-impl=cudnn-spatial-nhwc",
    "bn-impl=cudnn-persistent",     "bn-impl=cudnn-persistent-nhwc", "norm-width=strips"
};

/* A layer's products in panels, of every shape */
enum { N_PANELS = 14 };
static const char *const panels[N_PANELS] = { "gemm-native=panels",    "gemm-native=16x16",
                                              "gemm-native=32x16",     "gemm-native=64x16",
                                              "gemm-native=64x32",     "gemm-native=64x48",
                                              "gemm-native=64x64",     "gemm-native=mma",
                                              "gemm-native=mma-16x16", "gemm-native=mma-16x32",
                                              "gemm-native=mma-64x16", "gemm-native=mma-64x32",
                                              "gemm-native=mma-32x48", "gemm-native=mma-64x48" };

START_TEST(rows)
{
    static const int64_t sizes[] = { 1, 3, 17, 40 };
    static const enum hn_pass passes[] = { HN_PASS_GRAD, HN_PASS_EVAL, HN_PASS_TRAIN };
    static const char *const names[] = { "gradient", "weights after evaluation",
                                         "weights after training" };
    struct where w = { 0 };
    fake_reset();
    ck_assert(case_find(_i, &w.row, &w.sample));
    struct unit *u = malloc(sizeof *u);
    struct result *want = malloc(sizeof *want), *got = malloc(sizeof *got);
    if (w.row == &hn_op_custom) { /* a function of the host's: refused by name */
        const char *why = NULL;
        const struct hn_op op = { .row = w.row, .attrs = w.sample->attrs, .n_in = 1, .n_out = 1 };
        ck_assert(!hn_backend_cuda_f32.offers(NULL, &op, HN_PASS_TRAIN, &why) && why);
        free(u);
        free(want);
        free(got);
        return;
    }
    unit_init(u, w.row, w.sample);
    for (int k = 0; k < 4 * 3; k++) {
        if (!fake.present && k / 3 % 2 == 0) continue; /* a device takes its time to open */
        w.rows = sizes[k / 3], u->options = NULL;
        run(u, &hn_backend_reference, passes[k % 3], w.rows, 1, want);
        const int norm = strcmp(w.row->name, "batchnorm") == 0,
                  dense = strcmp(w.row->name, "dense") == 0;
        for (int v = 0; v < 4 + (norm ? 2 * N_WAYS : dense ? 2 * N_PANELS : 0); v++) {
            const struct hn_backend *b = v & 1 ? &hn_backend_cuda_f64 : &hn_backend_cuda_f32;
            const int strips = norm && v / 2 == N_WAYS + 1;
            w.slots =
                v == 2 || v == 3 || (v >= 4 && (dense || strips) && (v / 2 + k) % 2) ? SLOTS : 1;
            w.elem = (int)b->elem;
            w.tolerance = b->elem == 8 ? 1e-9 : tolerance_of(w.row);
            u->options = v < 4 ? NULL : norm ? norm_ways[v / 2 - 2] : panels[v / 2 - 2];
            w.options = u->options;
            run(u, b, passes[k % 3], w.rows, w.slots, got);
            ck_assert(!got->refused || (norm && v >= 4 && !strips));
            if (got->refused) continue;
            w.what = "loss";
            compare(&w, want->partial, got->partial, 3);
            w.what = names[k % 3];
            compare(&w, want->slab, got->slab, (int64_t)u->t.p.n_slab);
            w.what = "output";
            compare(&w, want->out, got->out, want->n_out);
        }
    }
    rig_data_free(&u->d);
    tb_free(&u->t);
    free(u), free(want), free(got);
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs + fake.gemms + fake.calls_held,
                     0);
}
END_TEST

HN_TEST_MAIN("gpu rows", tcase_add_loop_test(tc, rows, 0, case_count());)
