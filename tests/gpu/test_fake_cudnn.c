/* SPDX-License-Identifier: MIT
 *
 * BatchNorm and Dropout by cuDNN, as the backend asks for them: running statistics of small batches, of bad steps and of
 * calibration; masks by statistics (rate, independence from step to step, captured or not, the same mask forward and backward),
 * random states that a checkpoint takes along; refusals by name; several steps in one captured graph, one contact a run. Over
 * the fake device in every build, and over the real one by tools/gpu-check.sh. */
#include "gpu/backend.h"
#include "tests/cpu/rig.h"
#include "tests/gpu/fake.h"

static const char *const norm_ways[] = { "bn-impl=native",
                                         "bn-impl=cudnn",
                                         "bn-impl=cudnn-spatial",
                                         "bn-impl=cudnn-per-activation",
                                         "bn-impl=cudnn-spatial-nhwc",
                                         "bn-impl=cudnn-persistent",
                                         "bn-impl=cudnn-persistent-nhwc" };
enum { N_WAYS = sizeof norm_ways / sizeof *norm_ways };

static void nothing_left(void)
{
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs + fake.gemms + fake.calls_held,
                     0);
}

/* ---- BatchNorm ---------------------------------------------------------------------------------------------------- */

enum { CHANNELS = 7 };
struct normed { /* x -> BatchNorm -> mean squared error */
    struct tb t;
    struct hn_batchnorm bn;
    struct hn_binary add;
    struct hn_loss mse;
    struct rig_data d;
    int mean, var; /* params */
};

/* x + b, so that BatchNorm has a gradient to give; residual: and its output is added to its input, so that it adds to one;
 * again: and goes through it once more */
static void normed_init(struct normed *m, int residual, int again)
{
    *m = (struct normed){ .bn = { 1e-3, 0.9, 0, 0 }, .add = { HN_B_ADD }, .mse = { .weight = 1 } };
    struct tb *t = &m->t;
    tb_init(t);
    int x = tb_input(t, tb_shape(2, TB_N, CHANNELS));
    x = tb_op(t, &hn_op_binary, &m->add, 2, (int[]){ x, tb_param(t, tb_shape(1, CHANNELS), 1) });
    int scale = tb_param(t, tb_shape(1, CHANNELS), 1), bias = tb_param(t, tb_shape(1, CHANNELS), 1);
    m->mean = t->p.n_params, m->var = m->mean + 1;
    int mean = tb_state(t, tb_shape(1, CHANNELS)), var = tb_state(t, tb_shape(1, CHANNELS));
    int y = tb_op(t, &hn_op_batchnorm, &m->bn, 5, (int[]){ x, scale, bias, mean, var });
    if (residual) y = tb_op(t, &hn_op_binary, &m->add, 2, (int[]){ y, x });
    if (again) y = tb_op(t, &hn_op_batchnorm, &m->bn, 5, (int[]){ y, scale, bias, mean, var });
    tb_output(t, y);
    tb_loss(t, &hn_op_loss_regression, &m->mse, y, tb_target(t, tb_shape(2, TB_N, CHANNELS)), -1);
    tb_finish(t);
    rig_data_init(&m->d, t, 0, 9);
}
static void normed_free(struct normed *m)
{
    rig_data_free(&m->d);
    tb_free(&m->t);
}

/* The running statistics after one step on the first `rows` rows: 0.9 of the old and 0.1 of the batch's, the variance with
 * n / (n - 1); one row says nothing of it. */
static void expect_running(const struct normed *m, const double *before, const double *after,
                           int64_t rows, int moved)
{
    const float *x = m->d.inputs[0].data;
    const size_t b = m->t.params[0].off;
    for (int c = 0; c < CHANNELS; c++) {
        double mean = 0, var = 0;
        const size_t km = m->t.params[m->mean].off + (size_t)c,
                     kv = m->t.params[m->var].off + (size_t)c;
        for (int64_t r = 0; r < rows; r++) mean += (double)x[r * CHANNELS + c] / (double)rows;
        for (int64_t r = 0; r < rows; r++) var += pow((double)x[r * CHANNELS + c] - mean, 2);
        var = rows > 1 ? var / (double)(rows - 1) : before[kv];
        mean += before[b + (size_t)c];
        double want_mean = moved ? 0.9 * before[km] + 0.1 * mean : before[km],
               want_var = moved ? 0.9 * before[kv] + 0.1 * var : before[kv];
        ck_assert_double_eq_tol(after[km], want_mean, 1e-5);
        ck_assert_double_eq_tol(after[kv], want_var, 1e-5);
    }
}

START_TEST(running)
{
    static const int64_t sizes[] = { 1, 2, 4, 33 };
    static const enum hn_pass passes[] = { HN_PASS_TRAIN, HN_PASS_STATS, HN_PASS_GRAD };
    struct normed *m = malloc(sizeof *m);
    normed_init(m, 0, 0);
    for (int k = 0; k < 4 * 3 * 2; k++) {
        const enum hn_pass pass = passes[k / 4 % 3];
        const struct hn_backend *b = k < 12 ? &hn_backend_cuda_f32 : &hn_backend_cuda_f64;
        struct rig g;
        struct rig_replica r;
        double before[256] = { 0 }, after[256] = { 0 };
        fake_reset();
        rig_open(&g, b, &m->t, 1, norm_ways[_i]);
        rig_prepare(&g, pass, 33, 1, &m->d);
        rig_replica_init(&r, &g, &m->t, &rig_sgd, 3);
        rig_get(&g, r.r.slab[HN_SLAB_W], before, m->t.p.n_slab);
        double lr = 1e-9;
        struct hn_slot s = { .r = &r.r, .data = g.data, .rows = sizes[k % 4], .lr = &lr };
        hone_error err = { 0 };
        hone_status st = b->run(g.exec, &s, 1, 1, &err);
        if (!refused(st, &err)) {
            HN_OK(st, err);
            rig_get(&g, r.r.slab[HN_SLAB_W], after, m->t.p.n_slab);
            expect_running(m, before, after, sizes[k % 4], pass != HN_PASS_GRAD);
        }
        if (fake.present) ck_assert_int_eq(fake.norms > 0, _i > 0 && sizes[k % 4] > 1);
        rig_replica_free(&r, &g);
        rig_unprepare(&g);
        rig_close(&g);
        nothing_left();
    }
    normed_free(m);
    free(m);
}
END_TEST

/* Where the gradient of x comes from two sides, and where one module is called twice, which has one set of running statistics:
 * the weights after some steps, beside the reference's. */
static void beside_reference(const char *way, int again)
{
    struct normed *m = malloc(sizeof *m);
    double w[2][256] = { { 0 } };
    int no = 0;
    normed_init(m, !again, again);
    fake_reset();
    for (int k = 0; k < 2; k++) {
        struct rig g;
        struct rig_replica r;
        rig_open(&g, k ? &hn_backend_cuda_f64 : &hn_backend_reference, &m->t, 1, k ? way : NULL);
        rig_prepare(&g, HN_PASS_TRAIN, 9, 1, &m->d);
        rig_replica_init(&r, &g, &m->t, &rig_sgd, 3);
        const double lr[5] = { 0.3, 0.3, 0.3, 0.3, 0.3 };
        struct hn_slot s = { .r = &r.r, .data = g.data, .rows = 9, .lr = lr };
        hone_error err = { 0 };
        hone_status st = g.b->run(g.exec, &s, 1, 5, &err);
        no |= refused(st, &err);
        if (!no) HN_OK(st, err);
        rig_get(&g, r.r.slab[HN_SLAB_W], w[k], m->t.p.n_slab);
        rig_replica_free(&r, &g);
        rig_unprepare(&g);
        rig_close(&g);
    }
    for (size_t i = 0; !no && i < m->t.p.n_slab; i++)
        ck_assert_double_eq_tol(w[0][i], w[1][i], 1e-9);
    normed_free(m);
    free(m);
    nothing_left();
}

START_TEST(two_sides) { beside_reference(norm_ways[_i], 0); }
END_TEST
START_TEST(called_twice) { beside_reference(norm_ways[_i], 1); }
END_TEST

/* A step that goes bad changes no running value, and the next run begins with the right ones. */
START_TEST(bad_step)
{
    struct normed *m = malloc(sizeof *m);
    struct rig g;
    struct rig_replica r;
    hone_error err = { 0 };
    double before[256] = { 0 }, after[256] = { 0 };
    fake_reset();
    normed_init(m, 0, 0);
    float *y = (float *)(uintptr_t)m->d.targets[0].data;
    y[5 * CHANNELS] = INFINITY; /* in the second batch of 4 */
    rig_open(&g, &hn_backend_cuda_f32, &m->t, 1, norm_ways[_i]);
    rig_prepare(&g, HN_PASS_TRAIN, 4, 1, &m->d);
    rig_replica_init(&r, &g, &m->t, &rig_sgd, 3);
    const double lr[3] = { 1e-9, 1e-9, 1e-9 };
    struct hn_slot s = { .r = &r.r, .data = g.data, .rows = 4, .lr = lr };
    rig_get(&g, r.r.slab[HN_SLAB_W], before, m->t.p.n_slab);
    HN_OK(g.b->run(g.exec, &s, 1, 3, &err), err);
    ck_assert_int_eq(s.bad_step, 1);
    rig_get(&g, r.r.slab[HN_SLAB_W], after, m->t.p.n_slab);
    expect_running(m, before, after, 4, 1);
    rig_put(&g, r.r.slab[HN_SLAB_W], before, m->t.p.n_slab);
    HN_OK(g.b->run(g.exec, &s, 1, 1, &err), err);
    rig_get(&g, r.r.slab[HN_SLAB_W], after, m->t.p.n_slab);
    expect_running(m, before, after, 4, 1);
    rig_replica_free(&r, &g);
    rig_unprepare(&g);
    rig_close(&g);
    normed_free(m);
    free(m);
    nothing_left();
}
END_TEST

/* ---- Dropout ------------------------------------------------------------------------------------------------------ */

enum { COLS = 4096, MASKS = 12 };
struct
    dropped { /* h = x + b, y = dropout(h) (+ h), mean squared error against -1, x of ones: b's step shows the mask */
    struct tb t;
    struct hn_dropout drop;
    struct hn_binary add;
    struct hn_loss mse;
    struct rig_data d;
    int residual;
};

static void dropped_init(struct dropped *m, double rate, int residual)
{
    *m = (struct dropped){ .drop = { rate, HN_STREAM_DROPOUT + 1, 0 },
                           .add = { HN_B_ADD },
                           .mse = { .weight = 1 },
                           .residual = residual };
    struct tb *t = &m->t;
    tb_init(t);
    int x = tb_input(t, tb_shape(2, TB_N, COLS));
    int h = tb_op(t, &hn_op_binary, &m->add, 2, (int[]){ x, tb_param(t, tb_shape(1, COLS), 1) });
    int y = tb_op(t, &hn_op_dropout, &m->drop, 1, &h);
    if (residual) y = tb_op(t, &hn_op_binary, &m->add, 2, (int[]){ y, h });
    tb_loss(t, &hn_op_loss_regression, &m->mse, y, tb_target(t, tb_shape(2, TB_N, COLS)), -1);
    tb_finish(t);
    rig_data_init(&m->d, t, 0, 9);
    float *in = (float *)(uintptr_t)m->d.inputs[0].data,
          *out = (float *)(uintptr_t)m->d.targets[0].data;
    for (int64_t i = 0; i < RIG_ROWS * (int64_t)COLS; i++) in[i] = 1, out[i] = -1;
}

struct bench { /* a device with one such model */
    struct rig g;
    struct rig_replica r;
    double lr[64];
};
static void bench_open(struct bench *b, struct dropped *m, const char *options, uint64_t seed)
{
    rig_open(&b->g, &hn_backend_cuda_f32, &m->t, 1, options);
    rig_prepare(&b->g, HN_PASS_TRAIN, 1, 1, &m->d);
    rig_replica_init(&b->r, &b->g, &m->t, &rig_sgd, seed);
    for (int i = 0; i < 64; i++) b->lr[i] = COLS;
}
static void bench_close(struct bench *b)
{
    rig_replica_free(&b->r, &b->g);
    rig_unprepare(&b->g);
    rig_close(&b->g);
}

/* One step from b = 0, and which columns were kept. With k = 1 / (1 - rate): y = keep k + residual, the step goes down by
 * 2 (y + 1) (keep k + residual): two values, by forward's and backward's mask both. */
static void draw(struct bench *b, const struct dropped *m, double rate, uint8_t *kept)
{
    static double w[COLS + 64], zeros[COLS + 64];
    const double k = 1 / (1 - rate), on = k + m->residual, off = m->residual;
    hone_error err = { 0 };
    struct hn_slot s = { .r = &b->r.r, .data = b->g.data, .rows = 1, .lr = b->lr };
    rig_put(&b->g, b->r.r.slab[HN_SLAB_W], zeros, m->t.p.n_slab);
    HN_OK(b->g.b->run(b->g.exec, &s, 1, 1, &err), err);
    rig_get(&b->g, b->r.r.slab[HN_SLAB_W], w, m->t.p.n_slab);
    for (int i = 0; i < COLS; i++) {
        double high = -2 * (on + 1) * on, low = -2 * (off + 1) * off;
        kept[i] = fabs(w[i] - high) < fabs(w[i] - low);
        ck_assert_msg(fabs(w[i] - (kept[i] ? high : low)) <= 1e-3 * (1 + fabs(high)),
                      "column %d moved by %g, wanted %g or %g: forward and backward disagree", i,
                      w[i], high, low);
    }
}

/* Five standard deviations around what independent draws would give. */
static void expect_near(double got, double mean, double variance, const char *what, int i)
{
    ck_assert_msg(fabs(got - mean) <= 5 * sqrt(variance), "%s %d: %g, wanted %g +- %g", what, i,
                  got, mean, 5 * sqrt(variance));
}

static uint8_t masks[MASKS][COLS], again[MASKS][COLS];
static void expect_random(double rate)
{
    const double p = 1 - rate, same = p * p + rate * rate;
    for (int i = 0; i < MASKS; i++) {
        int kept = 0, equal = 0, neighbours = 0;
        for (int c = 0; c < COLS; c++) {
            kept += masks[i][c];
            equal += masks[i][c] == masks[(i + 1) % MASKS][c];
            neighbours += c > 0 && masks[i][c] == masks[i][c - 1];
        }
        expect_near(kept, COLS * p, COLS * p * rate, "kept in mask", i);
        expect_near(equal, COLS * same, COLS * same * (1 - same), "as in the next mask", i);
        expect_near(neighbours, (COLS - 1) * same, 2 * COLS * same * (1 - same), "as its neighbour",
                    i);
    }
}

static const struct {
    const char *options;
    double rate, override;
    int residual;
} drops[] = {
    { "dropout-impl=cudnn", 0.3, -1, 0 },
    { "dropout-impl=cudnn", 0.5, -1, 1 },
    { "dropout-impl=cudnn,graph=off", 0.1, -1, 0 },
    { "dropout-impl=cudnn,gemm-impl=native", 0.3, 0.7, 1 },
    { "dropout-impl=native", 0.3, -1, 0 },
    { "dropout-impl=native", 0.5, 0.25, 1 },
};
enum { N_DROPS = sizeof drops / sizeof *drops };

/* MASKS single steps: the first two are queued and captured, the others replay one graph. */
START_TEST(statistics)
{
    struct dropped *m = malloc(sizeof *m);
    struct bench b;
    const double rate = drops[_i].override >= 0 ? drops[_i].override : drops[_i].rate;
    fake_reset();
    dropped_init(m, drops[_i].rate, drops[_i].residual);
    bench_open(&b, m, drops[_i].options, 11);
    b.r.hyper.dropout = drops[_i].override;
    for (int i = 0; i < MASKS; i++) draw(&b, m, rate, masks[i]);
    expect_random(rate);
    bench_close(&b);
    bench_open(&b, m, drops[_i].options, 11); /* the same seed again */
    b.r.hyper.dropout = drops[_i].override;
    for (int i = 0; i < MASKS; i++) draw(&b, m, rate, again[i]);
    ck_assert_mem_eq(masks, again, sizeof masks);
    b.r.r.key[0] ^= 1; /* another key: other numbers */
    b.r.r.now.batch = 0;
    for (int i = 0; i < MASKS; i++) draw(&b, m, rate, again[i]);
    for (int i = 0; i < MASKS; i++) ck_assert(memcmp(masks[i], again[i], COLS) != 0);
    b.r.r.key[0] ^= 1; /* and the first one from the start */
    b.r.r.now.batch = 0;
    for (int i = 0; i < MASKS; i++) draw(&b, m, rate, again[i]);
    ck_assert_mem_eq(masks, again, sizeof masks);
    bench_close(&b);
    rig_data_free(&m->d);
    tb_free(&m->t);
    free(m);
    nothing_left();
}
END_TEST

/* A rate of 0 keeps all, one of 1 nothing; evaluation draws nothing. */
START_TEST(rates)
{
    struct dropped *m = malloc(sizeof *m);
    struct bench b;
    fake_reset();
    dropped_init(m, 0.5, 1);
    bench_open(&b, m, "dropout-impl=cudnn", 5);
    b.r.hyper.dropout = 0;
    draw(&b, m, 0, masks[0]);
    b.r.hyper.dropout = 0.5;
    draw(&b, m, 0.5, masks[1]);
    int kept[2] = { 0, 0 };
    for (int c = 0; c < COLS; c++) kept[0] += masks[0][c], kept[1] += masks[1][c];
    ck_assert_int_eq(kept[0], COLS);
    expect_near(kept[1], COLS * 0.5, COLS * 0.25, "kept in mask", 1);
    b.r.hyper.dropout = 1;
    static double w[COLS + 64], zeros[COLS + 64];
    rig_put(&b.g, b.r.r.slab[HN_SLAB_W], zeros, m->t.p.n_slab);
    rig_run(&b.g, &b.r, 1, 1, NULL, COLS);
    rig_get(&b.g, b.r.r.slab[HN_SLAB_W], w, m->t.p.n_slab);
    for (int c = 0; c < COLS; c++)
        ck_assert_double_eq_tol(w[c], -4, 1e-3); /* y = 1: all through h */
    bench_close(&b);
    rig_data_free(&m->d);
    tb_free(&m->t);
    free(m);
    nothing_left();
}
END_TEST

/* The state of a replica, taken after 3 masks and given to another device: the next masks are the same. */
START_TEST(resumed)
{
    struct dropped *m = malloc(sizeof *m);
    struct bench a, b;
    hone_error err = { 0 };
    fake_reset();
    dropped_init(m, 0.4, 0);
    bench_open(&a, m, "dropout-impl=cudnn", 21);
    const size_t n = a.g.b->state_size(a.g.exec);
    unsigned char *fresh = malloc(n + 1), *state = malloc(n + 1);
    ck_assert_int_gt(n, 16);
    HN_OK(a.g.b->state_save(a.g.exec, 0, fresh, &err), err);
    for (int i = 0; i < 3; i++) draw(&a, m, 0.4, masks[i]);
    HN_OK(a.g.b->state_save(a.g.exec, 0, state, &err), err);
    for (int i = 3; i < MASKS; i++) draw(&a, m, 0.4, masks[i]);
    bench_open(&b, m, "dropout-impl=cudnn", 21);
    HN_OK(b.g.b->state_load(b.g.exec, 0, state, &err), err);
    for (int i = 3; i < MASKS; i++) draw(&b, m, 0.4, again[i]);
    ck_assert_mem_eq(masks[3], again[3], sizeof masks - 3 * COLS);
    HN_OK(b.g.b->state_load(b.g.exec, 0, fresh, &err), err); /* the state before the first step */
    for (int i = 0; i < MASKS; i++) draw(&b, m, 0.4, again[i]);
    ck_assert_mem_eq(masks, again, sizeof masks);
    ck_assert_int_eq(a.g.b->state_save(a.g.exec, 1, state, &err), HONE_E_USAGE);
    ck_assert_int_eq(a.g.b->state_load(a.g.exec, 1, state, &err), HONE_E_USAGE);
    bench_close(&a);
    bench_close(&b);
    bench_open(&a, m, "dropout-impl=native", 21);
    ck_assert_int_eq((int)a.g.b->state_size(a.g.exec), 0);
    bench_close(&a);
    free(fresh), free(state);
    rig_data_free(&m->d);
    tb_free(&m->t);
    free(m);
    nothing_left();
}
END_TEST

/* Many steps in graphs of several: how often a column is kept spreads as independent draws do, and the host is met once. */
START_TEST(unrolled)
{
    static const char *const options[] = { "dropout-impl=cudnn,unroll=16", "dropout-impl=cudnn",
                                           "unroll=8", "unroll=1" };
    enum { RUN = 320 };
    struct dropped *m = malloc(sizeof *m);
    struct bench b;
    hone_error err = { 0 };
    static double w[COLS + 64], lr[RUN];
    fake_reset();
    memset(w, 0, sizeof w);
    dropped_init(m, 0.5, 0);
    bench_open(&b, m, options[_i], 31);
    rig_put(&b.g, b.r.r.slab[HN_SLAB_W], w, m->t.p.n_slab);
    for (int i = 0; i < RUN; i++) lr[i] = COLS * 1e-7;
    struct hn_slot s = { .r = &b.r.r, .data = b.g.data, .rows = 1, .lr = lr };
    const int syncs = fake.syncs;
    HN_OK(b.g.b->run(b.g.exec, &s, 1, RUN, &err), err);
    ck_assert(!fake.present || fake.syncs == syncs + 1);
    const int each = _i < 2 ? 16 : _i == 2 ? 8 : 1;
    if (fake.present) ck_assert_int_eq(fake.replays, (RUN - 1) / each + (RUN - 1) % each);
    ck_assert_int_eq(b.r.r.now.batch, RUN);
    rig_get(&b.g, b.r.r.slab[HN_SLAB_W], w, m->t.p.n_slab);
    double mean = 0, var = 0;
    for (int c = 0; c < COLS; c++) { /* a kept step goes down by 2 (2 + 1) 2 of lr / COLS */
        double kept = -w[c] / (12 * 1e-7);
        mean += kept / COLS, var += (kept - RUN * 0.5) * (kept - RUN * 0.5) / COLS;
    }
    expect_near(mean, RUN * 0.5, RUN * 0.25 / COLS, "kept on average", _i);
    expect_near(var, RUN * 0.25, 2 * RUN * 0.25 * RUN * 0.25 / COLS, "its variance", _i);
    bench_close(&b);
    rig_data_free(&m->d);
    tb_free(&m->t);
    free(m);
    nothing_left();
}
END_TEST

/* ---- refusals ----------------------------------------------------------------------------------------------------- */

START_TEST(refusals)
{
    static const char *const options[] = { "bn-impl=cudnn", "dropout-impl=cudnn" };
    struct normed *m = malloc(sizeof *m);
    struct rig g;
    hone_error err = { 0 };
    fake_reset();
    normed_init(m, 0, 0);
    for (int i = 0; i < 2; i++) { /* several models in one plan */
        rig_open(&g, &hn_backend_cuda_f32, &m->t, 1, options[i]);
        HN_OK(hn_plan_create(g.mem, g.p, HN_PASS_TRAIN, 8, 4, 0, &g.plan, &err), err);
        ck_assert_int_eq(g.b->prepare(g.dev, g.plan, 4, &g.exec, &err), HONE_E_UNSUPPORTED);
        ck_assert(g.exec == NULL && strstr(err.text, "native") != NULL);
        hn_plan_destroy(g.plan, g.mem);
        rig_close(&g);
    }
    if (fake.present) { /* cuDNN says no: the node's name, and what can */
        struct rig_replica r;
        const double lr = 0.1;
        rig_open(&g, &hn_backend_cuda_f32, &m->t, 1, options[0]);
        rig_prepare(&g, HN_PASS_TRAIN, 8, 1, &m->d);
        rig_replica_init(&r, &g, &m->t, &rig_sgd, 3);
        struct hn_slot s = { .r = &r.r, .data = g.data, .rows = 8, .lr = &lr };
        fake.no_norm = 1;
        ck_assert_int_eq(g.b->run(g.exec, &s, 1, 1, &err), HONE_E_UNSUPPORTED);
        ck_assert(strstr(err.where, "batchnorm") != NULL && strstr(err.text, "bn-impl=native"));
        rig_replica_free(&r, &g);
        rig_unprepare(&g);
        rig_close(&g);
    }
    normed_free(m);
    free(m);
    nothing_left();
}
END_TEST

HN_TEST_MAIN("gpu cudnn", tcase_add_loop_test(tc, running, 0, N_WAYS);
             tcase_add_loop_test(tc, two_sides, 0, N_WAYS);
             tcase_add_loop_test(tc, called_twice, 0, N_WAYS);
             tcase_add_loop_test(tc, bad_step, 0, N_WAYS);
             tcase_add_loop_test(tc, statistics, 0, N_DROPS); tcase_add_test(tc, rates);
             tcase_add_test(tc, resumed); tcase_add_loop_test(tc, unrolled, 0, 4);
             tcase_add_test(tc, refusals);)
