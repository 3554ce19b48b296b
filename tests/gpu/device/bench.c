/* SPDX-License-Identifier: MIT
 *
 * The benchmark of the GPU backend: models A to D trained from a resident data set, time of a replayed step (median over rounds of a
 * whole call of run) in every precision and with every BatchNormalization and Dropout, and from a large one that stays with the
 * host; 50-step learning curves against float64
 * (and float64 against the reference kernels), 64 models of A together. What is not chosen by itself takes turns with what is, round
 * by round. Prints rows for gpu/RESULTS.md.
 *   usage: bench [ROUNDS [MODELS [all]]] | bench probe | bench steps MODEL [OPTIONS [SLOTS]] (a few steps, for a profiler) |
 *          bench try MODEL SLOTS OPTIONS... (the time of a step under each)
 * Exit 77 where no device opens, 1 where a curve left its bounds. */
#include "gpu/backend.h"
#include "gpu/gpu.h"
#include "ops/base/pool.h"
#include "tests/cpu/rig.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct spec {
    const char *name;
    int width[6], n; /* layers */
    int norm, classes;
    double dropout;
    int64_t batch;
    enum hn_optimizer optimizer;
    int small; /* enough for the reference kernels */
};
static const struct spec specs[] = {
    { "A", { 784, 48, 24, 10 }, 4, 1, 10, 0, 512, HN_SGD, 1 },
    { "B", { 1, 100, 100, 1 }, 4, 0, 0, 0.2, 50, HN_ADAM, 1 },
    { "C", { 784, 512, 512, 10 }, 4, 0, 10, 0.5, 128, HN_ADAM, 0 },
    { "D", { 784, 2048, 2048, 2048, 10 }, 5, 1, 10, 0, 1024, HN_ADAM, 0 },
};

struct model {
    struct tb t;
    struct hn_dense dense;
    struct hn_batchnorm bn;
    struct hn_unary relu;
    struct hn_dropout drop[4];
    struct hn_loss loss;
};

static void model_init(struct model *m, const struct spec *s)
{
    *m = (struct model){ .dense = { 1, 1, 0 },
                         .bn = { 1e-5, 0.9, 0, 0 },
                         .relu = { HN_U_RELU, 0, 0 },
                         .loss = { .weight = 1 } };
    struct tb *t = &m->t;
    tb_init(t);
    int y = tb_input(t, tb_shape(2, TB_N, s->width[0]));
    for (int i = 1; i < s->n; i++) {
        int w = s->width[i];
        y = tb_op(t, &hn_op_dense, &m->dense, 3,
                  (int[]){ y, tb_param(t, tb_shape(2, s->width[i - 1], w), 1),
                           tb_param(t, tb_shape(1, w), 1) });
        if (i == s->n - 1) break;
        if (s->norm)
            y = tb_op(t, &hn_op_batchnorm, &m->bn, 5,
                      (int[]){ y, tb_param(t, tb_shape(1, w), 1), tb_param(t, tb_shape(1, w), 1),
                               tb_state(t, tb_shape(1, w)), tb_state(t, tb_shape(1, w)) });
        y = tb_op(t, &hn_op_unary, &m->relu, 1, &y);
        m->drop[i] = (struct hn_dropout){ s->dropout, HN_STREAM_DROPOUT + (uint32_t)i, 0 };
        if (s->dropout > 0) y = tb_op(t, &hn_op_dropout, &m->drop[i], 1, &y);
    }
    tb_output(t, y);
    if (s->classes)
        tb_loss(t, &hn_op_loss_ce, &m->loss, y, tb_target(t, tb_shape(1, TB_N)), -1);
    else
        tb_loss(t, &hn_op_loss_regression, &m->loss, y, tb_target(t, tb_shape(2, TB_N, 1)), -1);
    tb_finish(t);
}

/* He-like weights, scale 1, variance 1; the same for every backend. */
static void weights(const struct model *m, double *w, uint64_t seed)
{
    memset(w, 0, m->t.p.n_slab * sizeof *w);
    for (int i = 0; i < m->t.p.n_params; i++) {
        const struct hn_param *q = &m->t.params[i];
        double k = q->rank == 2 ? sqrt(6.0 / (double)q->dims[0]) : 0.05,
               add = q->flags & HN_PARAM_STATE ? 1 : 0;
        for (size_t j = 0; j < q->n; j++)
            w[q->off + j] = (double)(float)(add + k * tb_random(&seed) * (add ? 0 : 1));
    }
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { MOST_SLOTS = 64, STEPS = 200, MOST_STEPS = 256, ROUNDS = 32, CURVE = 50 };
struct job {
    struct rig g;
    struct rig_replica r[MOST_SLOTS];
    struct hn_slot s[MOST_SLOTS];
    double lr[MOST_STEPS];
    uint32_t *index;
    int slots;
};

static void job_open(struct job *j, const struct hn_backend *b, const char *options,
                     struct model *m, struct rig_data *d, const struct spec *s, int slots)
{
    static const struct hn_hyper sgd = { .optimizer = HN_SGD, .accumulate = 1, .dropout = -1 };
    static const struct hn_hyper adam = { .optimizer = HN_ADAM,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .eps = 1e-8,
                                          .accumulate = 1,
                                          .dropout = -1 };
    double *w = malloc((m->t.p.n_slab + 1) * sizeof *w);
    uint64_t seed = 5;
    j->slots = slots;
    rig_open(&j->g, b, &m->t, hn_cpu_count(), options); /* pack rows */
    rig_prepare(&j->g, HN_PASS_TRAIN, s->batch, slots, d);
    j->index = malloc((size_t)s->batch * MOST_STEPS * sizeof *j->index);
    for (int64_t i = 0; i < s->batch * MOST_STEPS; i++)
        j->index[i] =
            (uint32_t)((tb_random(&seed) + 1) / 2 * (double)d->set.rows) % (uint32_t)d->set.rows;
    for (int i = 0; i < MOST_STEPS; i++) j->lr[i] = s->optimizer == HN_SGD ? 0.01 : 0.001;
    weights(m, w, 3);
    for (int i = 0; i < slots; i++) {
        rig_replica_init(&j->r[i], &j->g, &m->t, s->optimizer == HN_SGD ? &sgd : &adam,
                         (uint64_t)i);
        rig_put(&j->g, j->r[i].r.slab[HN_SLAB_W], w, m->t.p.n_slab);
        j->s[i] = (struct hn_slot){ .r = &j->r[i].r,
                                    .data = j->g.data,
                                    .index = j->index,
                                    .rows = s->batch,
                                    .lr = j->lr,
                                    .partial = j->r[i].partial };
    }
    free(w);
}
static void job_close(struct job *j)
{
    for (int i = 0; i < j->slots; i++) rig_replica_free(&j->r[i], &j->g);
    rig_unprepare(&j->g);
    rig_close(&j->g);
    free(j->index);
}
static int not_here; /* the last call was refused: a library does not take it */
static double job_run(struct job *j, int steps) /* seconds */
{
    hone_error err = { 0 };
    double t = now();
    hone_status st = j->g.b->run(j->g.exec, j->s, j->slots, steps, &err);
    t = now() - t;
    not_here = st == HONE_E_UNSUPPORTED;
    HN_OK(st, err);
    ck_assert_int_eq(j->s[0].bad_step, -1);
    return t;
}

/* ---- rows, each made under watch ---------------------------------------------------------------------------------- */

/* A model's rows are made in a process of their own. One that spoils the device for those behind it costs itself alone: the
 * process goes, and another one begins with the next row. One that never ends costs those that begin with the same option, too. */
enum { ROW_SECONDS = 15, MOST_RESTARTS = 12, EXIT_NEXT = 3 };
struct watched { /* shared by the process that makes the rows and the one that watches it */
    int rows;    /* that need not be made any more */
    int failed;  /* that could not be made, or curves out of bounds */
    double one, together;
    char name[160], option[64],
        endless[64]; /* the row under way, its first option; the one of a row that never ended */
};
static struct watched *seen;
static int at; /* rows begun or left out by this process */

struct task {
    const struct spec *s;
    struct model *m;
    struct rig_data *d;
    int rounds, all, alone; /* alone: no row takes turns with the usual way */
};

/* Is the next row still to be made? */
static int row_begins(const struct task *k, const char *options, const char *what)
{
    if (at++ < seen->rows) return 0;
    (void)snprintf(seen->name, sizeof seen->name, "| %s | %s |", k->s->name, what);
    (void)snprintf(seen->option, sizeof seen->option, "%.*s", (int)strcspn(options, ","), options);
    if (seen->option[0] && strcmp(seen->option, seen->endless) == 0) {
        printf("%s left out, the option never ended before | |\n", seen->name);
        seen->rows = at;
        return 0;
    }
    (void)alarm(ROW_SECONDS);
    return 1;
}
static void row_ends(int good)
{
    (void)alarm(0);
    seen->rows = at;
    seen->failed += !good && !not_here;
    if (!good && !not_here) exit(EXIT_NEXT); /* a fault may stay with the device's context */
}

/* ---- times --------------------------------------------------------------------------------------------------------- */

static struct job *opened(const struct task *k, const struct hn_backend *b, const char *options,
                          int slots)
{
    struct job *j = calloc(1, sizeof *j);
    job_open(j, b, options, k->m, k->d, k->s, slots);
    job_run(j, 70); /* captures, both kinds */
    return j;
}
static void closed(struct job *j)
{
    if (!j) return;
    job_close(j);
    free(j);
}

/* The way that a row's is timed in turns with: what the backend chooses by itself in the same precision. It stays open for the rows
 * behind. */
static struct usual {
    const struct hn_backend *b;
    char options[16];
    int slots;
    struct job *j;
} usual;
static struct job *usual_for(const struct task *k, const struct hn_backend *b, const char *options,
                             int slots)
{
    const size_t math = strncmp(options, "math=", 5) == 0 ? strcspn(options, ",") : 0;
    if (k->alone || !options[math]) return NULL; /* it is one itself */
    if (usual.j && usual.b == b && usual.slots == slots && strlen(usual.options) == math &&
        strncmp(usual.options, options, math) == 0)
        return usual.j;
    closed(usual.j);
    usual = (struct usual){ .b = b, .slots = slots };
    (void)snprintf(usual.options, sizeof usual.options, "%.*s", (int)math, options);
    return usual.j = opened(k, b, usual.options, slots);
}

static double median(const double *t, int n)
{
    double sorted[ROUNDS];
    memcpy(sorted, t, (size_t)n * sizeof *t);
    qsort(sorted, (size_t)n, sizeof *t, by_value);
    return sorted[n / 2];
}

/* Median time of a step; negative: it could not be measured (the reason is on standard error). beside: what to say of the usual way,
 * whose rounds it takes turns with. */
static double step_time(const struct task *k, const struct hn_backend *b, const char *options,
                        int slots, char *beside, size_t size)
{
    double t[ROUNDS], of_usual[ROUNDS], share[ROUNDS];
    beside[0] = 0;
    if (setjmp(no_check_out)) return -1; /* what the job held goes with the process */
    struct job *const with = usual_for(k, b, options, slots), *const j =
                                                                  opened(k, b, options, slots);
    for (int i = 0; i < k->rounds; i++) {
        if (with) of_usual[i] = job_run(with, STEPS) / STEPS;
        t[i] = job_run(j, STEPS) / STEPS;
        if (with) share[i] = t[i] / of_usual[i];
    }
    closed(j);
    if (with)
        (void)snprintf(beside, size, ", in turns %.3f of %.1f us", median(share, k->rounds),
                       1e6 * median(of_usual, k->rounds));
    return median(t, k->rounds);
}

static void row(const struct task *k, const struct hn_backend *b, const char *options,
                const char *what)
{
    char beside[64];
    if (!row_begins(k, options, what)) return;
    const double t = step_time(k, b, options, 1, beside, sizeof beside);
    if (t < 0)
        printf("| %s | step, %s | %s | |\n", k->s->name, what,
               not_here ? "not taken by the library" : "failed");
    else
        printf("| %s | step, %s | %.1f us | %.3g samples/s%s |\n", k->s->name, what, 1e6 * t,
               (double)k->s->batch / t, beside);
    if (strcmp(options, "") == 0 && b == &hn_backend_cuda_f32) seen->one = t;
    row_ends(t >= 0);
}

/* ---- learning curves --------------------------------------------------------------------------------------------- */

struct curve {
    double loss[CURVE], *w;
};

static void learn(const struct task *k, const struct hn_backend *b, const char *options,
                  struct curve *c)
{
    struct job *j = calloc(1, sizeof *j);
    double before[2] = { 0, 0 };
    c->w = calloc(k->m->t.p.n_slab + 1, sizeof *c->w);
    job_open(j, b, options, k->m, k->d, k->s, 1);
    for (int i = 0; i < CURVE; i++) {
        const double *p = j->r[0].partial;
        j->s[0].index = j->index + (size_t)i * (size_t)k->s->batch;
        job_run(j, 1);
        c->loss[i] = (p[0] - before[0]) / (p[1] - before[1]);
        before[0] = p[0], before[1] = p[1];
    }
    rig_get(&j->g, j->r[0].r.slab[HN_SLAB_W], c->w, k->m->t.p.n_slab);
    job_close(j);
    free(j);
}

/* The largest difference of the losses relative to the first loss, and of the weights to the largest weight: within bounds? */
static int compare(const struct task *k, const char *what, const struct curve *want,
                   const struct curve *got, double bound)
{
    double loss = 0, w = 0, most = 0;
    for (int i = 0; i < CURVE; i++) loss = fmax(loss, fabs(want->loss[i] - got->loss[i]));
    for (size_t i = 0; i < k->m->t.p.n_slab; i++)
        most = fmax(most, fabs(want->w[i])), w = fmax(w, fabs(want->w[i] - got->w[i]));
    loss /= fabs(want->loss[0]);
    const int good = loss <= bound;
    printf("| %s | %d steps, %s | losses within %.2g of the first (bound %.0e%s) | weights within "
           "%.2g of the largest |\n",
           k->s->name, CURVE, what, loss, bound, good ? "" : ", EXCEEDED", w / most);
    return good;
}

/* One way's curve beside the one in float64, which the first row of a process learns. */
static void curve_row(const struct task *k, const struct hn_backend *b, const char *options,
                      const char *what, double bound, struct curve *want)
{
    struct curve got = { { 0 }, NULL };
    volatile int good = 0;
    if (!row_begins(k, options, what)) return;
    if (setjmp(no_check_out) == 0) {
        if (!want->w) learn(k, &hn_backend_cuda_f64, "", want);
        learn(k, b, options, &got);
        good = compare(k, what, want, &got, bound);
    } else {
        printf("| %s | %d steps, %s | %s | |\n", k->s->name, CURVE, what,
               not_here ? "not taken by the library" : "failed");
    }
    free(got.w);
    row_ends(good);
}

static void curves(const struct task *k)
{
    static const struct {
        const char *options, *what;
        double bound;
    } ways[] = { { "", "fp32 against float64", 1e-3 },
                 { "math=tf32", "TF32 against float64", 2e-2 },
                 { "math=bf16", "bfloat16 against float64", 5e-2 },
                 { "gemm-native=panels", "fp32, products in panels, against float64", 1e-3 },
                 { "gemm-native=mma",
                   "fp32, products on the tensor cores in float64, against float64", 1e-3 },
                 { "norm-width=strips", "fp32, norms in strips, against float64", 1e-3 },
                 { "bn-impl=cudnn", "fp32, BatchNormalization by cuDNN, against float64", 1e-3 } };
    struct curve want = { { 0 }, NULL };
    if (k->s->small)
        curve_row(k, &hn_backend_reference, "", "float64 against the CPU's reference kernels", 1e-9,
                  &want);
    for (int i = 0; i < 5 + 2 * k->s->norm; i++)
        curve_row(k, &hn_backend_cuda_f32, ways[i].options, ways[i].what, ways[i].bound, &want);
    free(want.w);
}

/* ---- the rows of one model ---------------------------------------------------------------------------------------- */

static const struct {
    const char *options, *what, *models;
    int settled; /* measured and decided (gpu/RESULTS.md): only with `all` */
} ways[] = {
    { "", "fp32", "ABCD", 0 },
    { "math=tf32", "TF32", "D", 0 },
    { "math=bf16", "bfloat16", "D", 0 },
    { "math=tf32,operands=plain", "TF32, operands as they are", "D", 0 },
    { "math=bf16,operands=plain", "bfloat16, operands as they are", "D", 0 },
    { "unroll=1", "fp32, one step a graph", "ABCD", 1 },
    { "unroll=8", "fp32, 8 steps a graph", "ABCD", 1 },
    { "graph=off", "fp32, no graph", "ABCD", 1 },
    { "overlap=off", "fp32, one launch after the other", "ABCD", 0 },
    { "overlap=early", "fp32, launches made ready early, none beside", "ABCD", 0 },
    { "overlap=beside", "fp32, launches beside, none early", "ABCD", 0 },
    { "gemm-impl=native", "fp32, native products", "D", 1 },
    { "gemm-native=tiles", "fp32, products in tiles", "ABC", 0 },
    { "gemm-native=panels", "fp32, products in panels", "ABC", 0 },
    { "gemm-native=16x16", "fp32, products in panels of 16 x 16", "ABC", 1 },
    { "gemm-native=32x16", "fp32, products in panels of 32 x 16", "ABC", 1 },
    { "gemm-native=64x32", "fp32, products in panels of 64 x 32", "ABC", 1 },
    { "gemm-native=mma", "fp32, products on the tensor cores in float64", "ABC", 0 },
    { "gemm-native=mma,chain=off", "fp32, the same, norms and loss in launches of their own", "AC",
      0 },
    { "gemm-native=mma,chain=loss", "fp32, the same, norms in launches of their own", "A", 0 },
    { "gemm-native=mma-16x16", "fp32, the same in tiles of 16 x 16", "ABC", 0 },
    { "gemm-native=mma-16x32", "fp32, the same in tiles of 16 x 32", "AC", 0 },
    { "gemm-native=mma-64x32", "fp32, the same in tiles of 64 x 32", "C", 0 },
    { "gemm-native=mma,gemm-impl=native", "fp32, all products on the tensor cores in float64", "D",
      0 },
    { "gemm-impl=library", "fp32, cuBLASLt's products", "ABCD", 1 },
    { "gemm-impl=library,math=tf32", "TF32, cuBLASLt's products", "ABCD", 1 },
    { "math=tf32,bias-sums=layer", "TF32, bias gradients by the layers, not the norms", "D", 1 },
    { "norm-width=1", "BatchNormalization native, a block each channel", "AD", 0 },
    { "norm-width=4", "BatchNormalization native, 4 channels a block", "AD", 0 },
    { "norm-width=8", "BatchNormalization native, 8 channels a block", "AD", 0 },
    { "norm-width=16", "BatchNormalization native, 16 channels a block", "AD", 0 },
    { "norm-width=strips", "fp32, BatchNormalization in strips of rows", "D", 0 },
    { "math=tf32,norm-width=strips", "TF32, BatchNormalization in strips of rows", "D", 0 },
    { "math=bf16,norm-width=strips", "bfloat16, BatchNormalization in strips of rows", "D", 0 },
    { "bn-impl=cudnn-per-activation", "BatchNormalization cuDNN, per activation", "AD", 1 },
    { "bn-impl=cudnn-spatial", "BatchNormalization cuDNN, spatial", "AD", 0 },
    { "bn-impl=cudnn-spatial-nhwc", "BatchNormalization cuDNN, spatial NHWC", "AD", 1 },
    { "bn-impl=cudnn-persistent", "BatchNormalization cuDNN, persistent", "AD", 1 },
    { "bn-impl=cudnn-persistent-nhwc", "BatchNormalization cuDNN, persistent NHWC", "AD", 1 },
    { "dropout-impl=cudnn", "Dropout cuDNN", "BC", 0 },
};

/* The rows of d again and again, as many as a processor's caches do not hold. */
static void data_repeat(struct rig_data *large, const struct rig_data *d)
{
    const int n = d->set.n_inputs;
    int64_t row_bytes = 0, times;
    *large = *d;
    for (int i = 0; i < n + d->set.n_targets; i++)
        row_bytes += (i < n ? d->inputs[i] : d->targets[i - n]).per_row * (int64_t)sizeof(float);
    times = ((int64_t)512 << 20) / (row_bytes * RIG_ROWS) + 1;
    large->set.rows = times * RIG_ROWS;
    large->set.inputs = large->inputs, large->set.targets = large->targets;
    for (int i = 0; i < n + d->set.n_targets; i++) {
        struct hn_column *c = i < n ? &large->inputs[i] : &large->targets[i - n];
        const size_t bytes = (size_t)(c->per_row * RIG_ROWS) * sizeof(float);
        char *to = large->memory[i] = malloc((size_t)times * bytes);
        ck_assert_ptr_nonnull(to);
        for (int64_t k = 0; k < times; k++) memcpy(to + (size_t)k * bytes, c->data, bytes);
        c->data = to;
    }
}

/* MOST_SLOTS replicas in each launch, beside so many steps of one alone, or beside the same rows resident. */
static void together(const struct task *k, const char *options, const char *what, double one,
                     double resident)
{
    char name[160], beside[64];
    (void)snprintf(name, sizeof name, "step of %d together, %s", MOST_SLOTS, what);
    if (!row_begins(k, options, name)) return;
    const double t = step_time(k, &hn_backend_cuda_f32, options, MOST_SLOTS, beside, sizeof beside);
    if (t < 0)
        printf("| %s | %s | failed | |\n", k->s->name, name);
    else if (resident > 0)
        printf("| %s | %s | %.1f us | resident %.1f us |\n", k->s->name, name, 1e6 * t,
               1e6 * resident);
    else
        printf("| %s | %s | %.1f us | %.1f times as many trial-steps as one after "
               "another%s |\n",
               k->s->name, name, 1e6 * t, MOST_SLOTS * one / t, beside);
    if (strcmp(options, "") == 0) seen->together = t;
    row_ends(t >= 0);
}

static void streamed(const struct task *k, int both)
{
    struct rig_data large;
    struct task l = *k;
    data_repeat(&large, k->d);
    l.d = &large, l.alone = 1;
    row(&l, &hn_backend_cuda_f32, "data=auto", "fp32, resident rows of 512 MB");
    row(&l, &hn_backend_cuda_f32, "data=stream", "fp32, rows streamed from the host");
    if (both) together(&l, "data=stream", "the same rows streamed", 0, seen->together);
    rig_data_free(&large);
}

static void measure(const struct task *k)
{
    curves(k);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strchr(ways[i].models, k->s->name[0]) && (k->all || !ways[i].settled))
            row(k, &hn_backend_cuda_f32, ways[i].options, ways[i].what);
    row(k, &hn_backend_cuda_f64, "", "float64");
    if (!strchr("D", k->s->name[0]))
        row(k, &hn_backend_cuda_f64, "gemm-native=tiles", "float64, products in tiles");
    if (k->s->name[0] != 'D')
        row(k, &hn_backend_cuda_f64, "gemm-native=mma", "float64, products on the tensor cores");
    if (k->s->norm)
        row(k, &hn_backend_cuda_f64, "bn-impl=cudnn", "float64, BatchNormalization by cuDNN");
    const int both = strcmp(k->s->name, "A") == 0 || strcmp(k->s->name, "B") == 0;
    if (k->s->name[0] != 'D') together(k, "", "fp32", seen->one, 0);
    if (both) together(k, "gemm-native=tiles", "fp32, products in tiles", seen->one, 0);
    if (k->s->name[0] != 'D')
        together(k, "gemm-native=mma", "fp32, products on the tensor cores in float64", seen->one,
                 0);
    if (strcmp(k->s->name, "A") == 0)
        together(k, "gemm-native=mma-32x48", "fp32, the same in tiles of 32 x 48", seen->one, 0);
    if (strcmp(k->s->name, "A") == 0)
        together(k, "norm-width=4", "4 channels a block", seen->one, 0);
    closed(usual.j);
    usual.j = NULL;
    streamed(k, both);
}

static void make_rows(const struct spec *s, int rounds, int all)
{
    static struct model m;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nor does it outlive a benchmark that is cut off */
    struct rig_data d;
    model_init(&m, s);
    rig_data_init(&d, &m.t, s->classes, 9);
    const struct task k = { s, &m, &d, rounds, all, 0 };
    measure(&k);
    rig_data_free(&d);
    tb_free(&m.t);
}

/* All rows of a model: how many could not be made. */
static int watch(const struct spec *s, int rounds, int all)
{
    int how = 0, failed = 0;
    seen->rows = seen->failed = 0;
    seen->one = seen->together = 0;
    for (int i = 0; i <= MOST_RESTARTS; i++) {
        const pid_t p = fork();
        if (p == 0) {
            make_rows(s, rounds, all);
            exit(0);
        }
        if (p < 0 || waitpid(p, &how, 0) != p) return 1;
        if (WIFEXITED(how) && WEXITSTATUS(how) != EXIT_NEXT)
            return seen->failed + failed + (WEXITSTATUS(how) != 0);
        if (!WIFSIGNALED(how)) continue;
        const int endless = WTERMSIG(how) == SIGALRM;
        printf("%s failed: %s | |\n", seen->name,
               endless ? "cut off, it took too long" : strsignal(WTERMSIG(how)));
        if (endless && seen->option[0]) memcpy(seen->endless, seen->option, sizeof seen->endless);
        failed++;
        seen->rows++;
    }
    printf("| %s | the rest | not made, too many rows failed | |\n", s->name);
    return seen->failed + failed;
}

/* Steps without a graph, so that a profiler sees the kernels of each. */
static int steps(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof specs / sizeof *specs; i++) {
        static struct model m;
        struct rig_data d;
        if (specs[i].name[0] != argv[2][0]) continue;
        struct job *j = calloc(1, sizeof *j);
        model_init(&m, &specs[i]);
        rig_data_init(&d, &m.t, specs[i].classes, 9);
        job_open(j, &hn_backend_cuda_f32, argc > 3 ? argv[3] : "graph=off", &m, &d, &specs[i],
                 argc > 4 ? atoi(argv[4]) : 1);
        for (int k = 0; k < 4; k++) job_run(j, 1);
        job_close(j);
        free(j);
        return 0;
    }
    (void)fprintf(stderr, "bench steps MODEL [OPTIONS [SLOTS]]: one of the models A to D\n");
    return 2;
}

/* The time of a step under each of some options, for what is not among the rows. */
static int attempts(int argc, char **argv)
{
    for (size_t i = 0; argc > 4 && i < sizeof specs / sizeof *specs; i++) {
        static struct model m;
        struct rig_data d;
        if (specs[i].name[0] != argv[2][0]) continue;
        model_init(&m, &specs[i]);
        rig_data_init(&d, &m.t, specs[i].classes, 9);
        const struct task k = { &specs[i], &m, &d, 5, 0, 0 };
        for (int a = 4; a < argc; a++) {
            char beside[64];
            const double t =
                step_time(&k, &hn_backend_cuda_f32, argv[a], atoi(argv[3]), beside, sizeof beside);
            printf("%s, %s together, %s: %.2f us%s\n", argv[2], argv[3], argv[a], 1e6 * t, beside);
        }
        closed(usual.j);
        usual.j = NULL;
        rig_data_free(&d);
        tb_free(&m.t);
        return 0;
    }
    (void)fprintf(stderr, "bench try MODEL SLOTS OPTIONS...: one of the models A to D\n");
    return 2;
}

/* What the device is: 0, or 77 where none opens. */
static int probe(void)
{
    hone_error err = { 0 };
    struct hn_mem mem;
    void *ctx;
    char text[256] = "";
    hn_mem_init(&mem, 0);
    if (hn_gpu_layer.open(&mem, 0, 1, &ctx, &err) != HONE_OK) {
        printf("skipped: no GPU: %s\n", err.text);
        return 77;
    }
    hn_gpu_layer.describe(ctx, text, sizeof text);
    hn_gpu_layer.close(ctx);
    printf("device: %s\n", text);
    return 0;
}

int main(int argc, char **argv)
{
    const char *models = argc > 2 ? argv[2] : "ABCD";
    const int rounds = argc > 1 ? atoi(argv[1]) : 5;
    int how = 0, failed = 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a run that is cut off has said what it knew */
    if (argc > 1 && strcmp(argv[1], "probe") == 0) return probe();
    if (argc > 1 && strcmp(argv[1], "steps") == 0) return steps(argc, argv);
    if (argc > 1 && strcmp(argv[1], "try") == 0) return attempts(argc, argv);
    const pid_t p = fork(); /* what has opened a device must not fork */
    if (p == 0) exit(probe());
    if (p < 0 || waitpid(p, &how, 0) != p || !WIFEXITED(how)) return 1;
    if (WEXITSTATUS(how)) return WEXITSTATUS(how);
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED) return 1;
    printf("\n| model | what | value | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        if (strchr(models, specs[i].name[0]))
            failed += watch(&specs[i], rounds < 1 || rounds > ROUNDS ? 5 : rounds, argc > 3);
    return failed ? 1 : 0;
}
