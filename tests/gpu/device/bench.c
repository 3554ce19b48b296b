/* SPDX-License-Identifier: MIT
 *
 * The benchmark of the GPU backend: models A to D trained from a resident data set, time of a replayed step (median over rounds of a
 * whole call of run), 50-step drift against the reference in double, cohorts of A. Prints rows for gpu/RESULTS.md.
 *   usage: bench [rounds|probe]        exit 77 where no device opens */
#include "gpu/backend.h"
#include "gpu/gpu.h"
#include "tests/cpu/rig.h"
#include <time.h>

struct spec {
    const char *name;
    int width[6], n; /* layers */
    int norm, classes;
    double dropout;
    int64_t batch;
    enum hn_optimizer optimizer;
};
static const struct spec specs[] = {
    { "A", { 784, 48, 24, 10 }, 4, 1, 10, 0, 512, HN_SGD },
    { "B", { 1, 100, 100, 1 }, 4, 0, 0, 0.2, 50, HN_ADAM },
    { "C", { 784, 512, 512, 10 }, 4, 0, 10, 0.5, 128, HN_ADAM },
    { "D", { 784, 2048, 2048, 2048, 10 }, 5, 1, 10, 0, 1024, HN_ADAM },
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

enum { MOST_SLOTS = 64, STEPS = 200, MOST_STEPS = 256, ROUNDS = 32 };
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
    rig_open(&j->g, b, &m->t, 1, options);
    rig_prepare(&j->g, HN_PASS_TRAIN, s->batch, slots, d);
    j->index = malloc((size_t)s->batch * MOST_STEPS * sizeof *j->index);
    for (int64_t i = 0; i < s->batch * MOST_STEPS; i++)
        j->index[i] = (uint32_t)((tb_random(&seed) + 1) / 2 * RIG_ROWS) % RIG_ROWS;
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
static double job_run(struct job *j, int steps) /* seconds */
{
    hone_error err = { 0 };
    double t = now();
    hone_status st = j->g.b->run(j->g.exec, j->s, j->slots, steps, &err);
    t = now() - t;
    if (st != HONE_OK || j->s[0].bad_step >= 0) {
        fprintf(stderr, "bench: %s: %s (bad step %lld)\n", err.where, err.text,
                (long long)j->s[0].bad_step);
        exit(1);
    }
    return t;
}

static double step_time(const struct spec *s, struct model *m, struct rig_data *d,
                        const char *options, int slots, int rounds)
{
    struct job *j = calloc(1, sizeof *j);
    double t[ROUNDS];
    job_open(j, &hn_backend_cuda_f32, options, m, d, s, slots);
    job_run(j, 20);
    for (int i = 0; i < rounds; i++) t[i] = job_run(j, STEPS) / STEPS;
    job_close(j);
    free(j);
    qsort(t, (size_t)rounds, sizeof *t, by_value);
    return t[rounds / 2];
}

/* Mean loss of 50 steps, and the largest weight difference relative to the largest weight, against double. */
static void drift(const struct spec *s, struct model *m, struct rig_data *d, const char *options)
{
    double loss[2], worst = 0, most = 0;
    double *w[2];
    for (int k = 0; k < 2; k++) {
        struct job *j = calloc(1, sizeof *j);
        w[k] = calloc(m->t.p.n_slab + 1, sizeof *w[k]);
        job_open(j, k ? &hn_backend_cuda_f32 : &hn_backend_cuda_f64, k ? options : "", m, d, s, 1);
        job_run(j, 50);
        loss[k] = j->r[0].partial[0] / j->r[0].partial[1];
        rig_get(&j->g, j->r[0].r.slab[HN_SLAB_W], w[k], m->t.p.n_slab);
        job_close(j);
        free(j);
    }
    for (size_t i = 0; i < m->t.p.n_slab; i++) {
        most = fabs(w[0][i]) > most ? fabs(w[0][i]) : most;
        worst = fabs(w[0][i] - w[1][i]) > worst ? fabs(w[0][i] - w[1][i]) : worst;
    }
    printf("| %s | 50 steps, %s against float64 | loss %.7f / %.7f | weights differ by %.2g of the "
           "largest |\n",
           s->name, *options ? options : "fp32", loss[1], loss[0], worst / most);
    free(w[0]), free(w[1]);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 && argv[1][0] >= '1' && argv[1][0] <= '9' ? argv[1][0] - '0' : 7;
    hone_error err = { 0 };
    struct hn_mem mem;
    void *ctx;
    char text[256] = "";
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a run that is cut off has said what it knew */
    hn_mem_init(&mem, 0);
    if (hn_gpu_layer.open(&mem, 0, &ctx, &err) != HONE_OK) {
        printf("skipped: no GPU: %s\n", err.text);
        return 77;
    }
    hn_gpu_layer.describe(ctx, text, sizeof text);
    hn_gpu_layer.close(ctx);
    printf("device: %s\n", text);
    if (argc > 1 && strcmp(argv[1], "probe") == 0) return 0;
    printf("\n| model | what | value | |\n|---|---|---|---|\n");
    double one = 0;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        static const char *const maths[] = { "", "math=tf32", "math=bf16" };
        struct model *m = malloc(sizeof *m);
        struct rig_data d;
        model_init(m, &specs[i]);
        rig_data_init(&d, &m->t, specs[i].classes, 9);
        drift(&specs[i], m, &d, "");
        for (int k = 0; k < 3; k++) {
            double t = step_time(&specs[i], m, &d, maths[k], 1, rounds);
            if (i == 0 && k == 0) one = t;
            printf("| %s | step, %s | %.1f us | %.3g samples/s |\n", specs[i].name,
                   k ? maths[k] : "fp32", 1e6 * t, (double)specs[i].batch / t);
        }
        printf("| %s | step, native products | %.1f us | |\n", specs[i].name,
               1e6 * step_time(&specs[i], m, &d, "gemm-impl=native", 1, rounds));
        if (i == 0) {
            double t = step_time(&specs[i], m, &d, "", MOST_SLOTS, rounds);
            printf("| A | step of %d together | %.1f us | %.1f times as many trial-steps as one "
                   "after another |\n",
                   MOST_SLOTS, 1e6 * t, MOST_SLOTS * one / t);
        }
        rig_data_free(&d);
        tb_free(&m->t);
        free(m);
    }
    return 0;
}
