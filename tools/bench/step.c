/* SPDX-License-Identifier: MIT
 *
 * How long a training step takes on the CPU backend, on the backend contract itself: no ONNX, no trainer.
 *
 *     bench_step [-t THREADS] [-s SECONDS] [-o OPTIONS] [-k SLOTS] [-e] [MODEL...]
 *
 * Models: A 784-48-24-10 BatchNorm+ReLU batch 512 SGD cross-entropy; B 1-100-100-1 ReLU Dropout 0.2 batch 50 Adam squared
 * error; C 784-512-512-10 ReLU Dropout 0.5 batch 128 Adam; D 784-2048-2048-2048-10 BatchNorm+ReLU batch 1024 Adam. Weights
 * are [out,in] as ONNX files have them; rows come through a shuffled index. -e evaluates instead of training; -k runs
 * that many replicas together. One line per model: name, microseconds per step and slot (best and median of the rounds; the
 * median of the processor time), steps/s. The first line tells OpenBLAS's core and the instruction set. Times on a shared machine mean nothing alone:
 * see train_peers.py. */
#include "ops/base/status.h"
#include "ops/cpu/backend.h"
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_VALUES = 64,
    MAX_OPS = 24,
    MAX_PARAMS = 48,
    MAX_IN = 5,
    ROWS = 4096,
    MAX_ROUNDS = 1000,
    MAX_SLOTS = 64
};

struct model {
    char name;
    int widths[6], n; /* layers: n widths */
    int norm, batch, regression;
    double rate; /* dropout; 0 none */
    enum hn_optimizer optimizer;
};
static const struct model models[] = {
    { 'A', { 784, 48, 24, 10 }, 4, 1, 512, 0, 0, HN_SGD },
    { 'B', { 1, 100, 100, 1 }, 4, 0, 50, 1, 0.2, HN_ADAM },
    { 'C', { 784, 512, 512, 10 }, 4, 0, 128, 0, 0.5, HN_ADAM },
    { 'D', { 784, 2048, 2048, 2048, 10 }, 5, 1, 1024, 0, 0, HN_ADAM },
};
struct settings {
    int threads, slots, eval;
    double seconds;
    const char *options;
};

static const struct hn_dense linear = { 1, 1, 1 };
static const struct hn_unary relu = { HN_U_RELU, 0, 0 };
static const struct hn_batchnorm norm = { 1e-5, 0.9, 0, 0 };
static const struct hn_loss loss = { .weight = 1 };

struct net { /* a program under construction */
    struct hn_program p;
    struct hn_value_ref values[MAX_VALUES];
    struct hn_op ops[MAX_OPS];
    int32_t in[MAX_OPS][MAX_IN], out[MAX_OPS][1], inputs[1], targets[1], outputs[1];
    struct hn_param params[MAX_PARAMS];
    struct hn_dropout drop[MAX_OPS];
};

static void must(hone_status st, const hone_error *err)
{
    if (st == HONE_OK) return;
    fprintf(stderr, "%s: %s\n", err->where, err->text);
    exit(1);
}

static int value(struct net *n, enum hn_kind kind, int rows, int width, int index)
{
    struct hn_value_ref *v = &n->values[n->p.n_values];
    *v = (struct hn_value_ref){
        .kind = kind, .name = "value", .index = index, .view_of = -1, .producer = -1
    };
    v->shape.rank = 2;
    v->shape.d[0] = (struct hn_dim){ rows < 0, rows < 0 ? 0 : rows };
    v->shape.d[1].fixed = width;
    if (rows == 0) v->shape.rank = 1, v->shape.d[0] = (struct hn_dim){ 0, width };
    return n->p.n_values++;
}

static int param(struct net *n, int rows, int width, uint32_t flags)
{
    int i = n->p.n_params++;
    n->params[i] = (struct hn_param){
        .name = "parameter", .flags = flags, .lr_mult = 1, .decay_mult = 1, .feeds = -1
    };
    n->params[i].n = (size_t)(rows ? rows : 1) * (size_t)width;
    return value(n, flags & HN_PARAM_STATE ? HN_STATE : HN_PARAM, rows, width, i);
}

static int op(struct net *n, const struct hn_op_row *row, const void *attrs, const int *in,
              int n_in, int width)
{
    int i = n->p.n_ops++, y = width ? value(n, HN_ACT, -1, width, -1) : -1;
    for (int k = 0; k < n_in; k++) n->in[i][k] = in[k];
    n->out[i][0] = y;
    n->ops[i] =
        (struct hn_op){ row, attrs, n_in, width ? 1 : 0, n->in[i], n->out[i], row->name, i };
    if (y >= 0) n->values[y].producer = i;
    return y;
}

static int layer(struct net *n, const struct model *m, int i, int x)
{
    int in = m->widths[i], out = m->widths[i + 1];
    int w = param(n, out, in, HN_PARAM_TRAINED), b = param(n, 0, out, HN_PARAM_TRAINED);
    int y = op(n, &hn_op_dense, &linear, (int[]){ x, w, b }, 3, out);
    if (i == m->n - 2) return y;
    if (m->norm) {
        int scale = param(n, 0, out, HN_PARAM_TRAINED), bias = param(n, 0, out, HN_PARAM_TRAINED);
        int mean = param(n, 0, out, HN_PARAM_STATE), var = param(n, 0, out, HN_PARAM_STATE);
        y = op(n, &hn_op_batchnorm, &norm, (int[]){ y, scale, bias, mean, var }, 5, out);
    }
    y = op(n, &hn_op_unary, &relu, &y, 1, out);
    if (m->rate == 0) return y;
    n->drop[i] = (struct hn_dropout){ m->rate, HN_STREAM_DROPOUT + (uint32_t)i, 0 };
    return op(n, &hn_op_dropout, &n->drop[i], &y, 1, out);
}

static void place_params(struct net *n)
{
    size_t at = 0;
    for (int state = 0; state < 2; state++) {
        for (int i = 0; i < n->p.n_params; i++) {
            if (state != !!(n->params[i].flags & HN_PARAM_STATE)) continue;
            n->params[i].off = at;
            at += (n->params[i].n + 15) / 16 * 16;
        }
        if (!state) n->p.n_trained = at;
    }
    n->p.n_slab = at;
}

static void build(struct net *n, const struct model *m)
{
    memset(n, 0, sizeof *n);
    n->p = (struct hn_program){
        .dtype = HN_F32, .values = n->values, .ops = n->ops, .params = n->params
    };
    n->p.inputs = n->inputs, n->p.targets = n->targets, n->p.outputs = n->outputs;
    n->p.n_inputs = n->p.n_targets = n->p.n_outputs = n->p.n_losses = 1;
    int y = n->inputs[0] = value(n, HN_INPUT, -1, m->widths[0], 0);
    n->targets[0] = value(n, HN_TARGET, -1, 1, 0);
    for (int i = 0; i + 1 < m->n; i++) y = layer(n, m, i, y);
    n->outputs[0] = y;
    op(n, m->regression ? &hn_op_loss_regression : &hn_op_loss_ce, &loss,
       (int[]){ y, n->targets[0] }, 2, 0);
    place_params(n);
}

static float *data(const struct model *m, float **targets)
{
    const uint32_t key[2] = { 1, 2 };
    size_t n = (size_t)ROWS * (size_t)m->widths[0];
    float *x = malloc(n * sizeof *x), *t = malloc(ROWS * sizeof *t);
    if (!x || !t) exit(1);
    for (size_t i = 0; i < n; i++) x[i] = (float)hn_rng_uniform(key, 1, i);
    for (size_t i = 0; i < ROWS; i++)
        t[i] =
            m->regression ? (float)hn_rng_uniform(key, 2, i) : (float)hn_rng_below(key, 2, i, 10);
    *targets = t;
    return x;
}

static void weights(const struct net *n, float *w)
{
    const uint32_t key[2] = { 7, 8 };
    for (int i = 0; i < n->p.n_params; i++)
        for (size_t k = 0; k < n->params[i].n; k++) {
            double r = 2 * hn_rng_uniform(key, (uint32_t)i, k) - 1;
            w[n->params[i].off + k] = n->params[i].n < 4096 ? 1.0f : (float)(0.05 * r);
        }
}

static int by_size(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rounds of a few steps until the time is over; prints the line. */
static void measure(const struct settings *s, const struct model *m, void *exec,
                    struct hn_slot *slots)
{
    static double wall[MAX_ROUNDS], cpu[MAX_ROUNDS];
    hone_error err = { 0 };
    int n = 0, steps = ROWS / m->batch, runs = m->name == 'B' ? 4 : 1;
    const double scale = 1e6 / (double)runs / (double)steps / (double)s->slots;
    for (double end = now(CLOCK_MONOTONIC) + s->seconds;
         n < 3 || (n < MAX_ROUNDS && now(CLOCK_MONOTONIC) < end); n++) {
        double w = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
        for (int i = 0; i < runs; i++)
            must(hn_backend_cpu.run(exec, slots, s->slots, steps, &err), &err);
        wall[n] = (now(CLOCK_MONOTONIC) - w) * scale,
        cpu[n] = (now(CLOCK_PROCESS_CPUTIME_ID) - c) * scale;
    }
    qsort(wall, (size_t)n, sizeof *wall, by_size), qsort(cpu, (size_t)n, sizeof *cpu, by_size);
    printf("%c best %.1f us median %.1f us cpu %.1f us %.0f steps/s\n", m->name, wall[0],
           wall[n / 2], cpu[n / 2], 1e6 / wall[n / 2]);
    fflush(stdout);
}

static void run_model(const struct settings *s, const struct model *m, void *dev,
                      struct hn_mem *mem)
{
    static struct net n;
    static struct hn_replica replicas[MAX_SLOTS];
    static struct hn_slot slots[MAX_SLOTS];
    static uint32_t index[ROWS];
    static double lr[ROWS], partial[2 * MAX_SLOTS];
    const struct hn_backend *b = &hn_backend_cpu;
    const struct hn_hyper hyper = { .optimizer = m->optimizer,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .accumulate = 1,
                                    .dropout = -1 };
    hone_error err = { 0 };
    float *targets, *x = data(m, &targets);
    build(&n, m);
    struct hn_column in = { x, HN_F32, m->widths[0], 1 }, target = { targets, HN_F32, 1, 1 };
    struct hn_dataset set = { ROWS, 1, 1, &in, &target };
    struct hn_plan *plan;
    void *bound, *exec;
    for (int i = 0; i < ROWS; i++) index[i] = (uint32_t)i, lr[i] = 1e-3;
    hn_rng_shuffle((const uint32_t[2]){ 5, 6 }, HN_STREAM_SHUFFLE, 0, index, ROWS);
    must(b->bind(dev, &set, &bound, &err), &err);
    must(hn_plan_create(mem, &n.p, s->eval ? HN_PASS_EVAL : HN_PASS_TRAIN, m->batch, 4, 0, &plan,
                        &err),
         &err);
    must(b->prepare(dev, plan, s->slots, &exec, &err), &err);
    for (int k = 0; k < s->slots; k++) {
        replicas[k] = (struct hn_replica){ .key = { 3, (uint32_t)k }, .hyper = &hyper };
        for (int i = 0; i < HN_SLAB_BEST; i++)
            must(b->alloc(dev, n.p.n_slab * sizeof(float), &replicas[k].slab[i], &err), &err);
        weights(&n, replicas[k].slab[HN_SLAB_W]);
        slots[k] = (struct hn_slot){ .r = &replicas[k],
                                     .data = bound,
                                     .index = index,
                                     .rows = m->batch,
                                     .lr = lr,
                                     .partial = partial + 2 * k };
    }
    measure(s, m, exec, slots);
    for (int k = 0; k < s->slots; k++)
        for (int i = 0; i < HN_SLAB_BEST; i++) b->release(dev, replicas[k].slab[i]);
    b->finish(exec);
    hn_plan_destroy(plan, mem);
    b->unbind(dev, bound);
    free(x), free(targets);
}

int main(int argc, char **argv)
{
    struct settings s = { 1, 1, 0, 1, NULL };
    struct hn_mem mem;
    hone_error err = { 0 };
    void *dev;
    for (int c; (c = getopt(argc, argv, "t:s:o:k:e")) != -1;) {
        if (c == 't') s.threads = (int)strtol(optarg, NULL, 10);
        if (c == 's') s.seconds = strtod(optarg, NULL);
        if (c == 'o') s.options = optarg;
        if (c == 'k') s.slots = (int)strtol(optarg, NULL, 10);
        if (c == 'e') s.eval = 1;
        if (c == '?') return 2;
    }
    if (s.slots < 1 || s.slots > MAX_SLOTS) return 2;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, s.threads };
    must(hn_backend_cpu.open(&host, s.options, &dev, &err), &err);
    printf("OpenBLAS %s, kernels %s, %d thread(s), %d slot(s)\n", openblas_get_corename(),
           hn_cpu_isa_name(dev), s.threads, s.slots);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        int wanted = optind >= argc;
        for (int a = optind; a < argc; a++) wanted |= argv[a][0] == models[i].name;
        if (wanted) run_model(&s, &models[i], dev, &mem);
    }
    hn_backend_cpu.close(dev);
    return 0;
}
