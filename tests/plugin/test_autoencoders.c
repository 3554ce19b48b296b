/* SPDX-License-Identifier: MIT
 *
 * Pre-training over real models (../shared/zoo): the autoencoders of all their hidden layers are sound programs, with the shapes
 * that their operations would make, and the CPU takes the steps that the reference kernels take in double. */
#include "ops/cpu/backend.h"
#include "plugin/runner.h"
#include "plugin/train/pretrain.h"
#include "tests/plugin/model_util.h"
#include <math.h>

enum { ROWS = 12, BATCH = 4, STEPS = 3, LARGE = 1000000 };

static glob_t zoo;
static hone_context *ctx;
static hone_error err;
static int seen;

static double noise_at(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

/* ---- shapes ---- */

static void check_op(const char *path, const struct hn_program *p, const struct hn_op *op)
{
    struct hn_shape xs[64], ys[8];
    ck_assert_int_le(op->n_in, 64);
    for (int k = 0; k < op->n_in; k++)
        xs[k] = op->in[k] >= 0 ? p->values[op->in[k]].shape : (struct hn_shape){ .rank = -1 };
    hone_status st = op->row->shape(op, xs, ys, op->name, &err);
    ck_assert_msg(st == HONE_OK, "%s: %s: %s", path, err.where, err.text);
    for (int k = 0; k < op->n_out; k++) {
        struct hn_dim n = hn_shape_count(&ys[k]), m = hn_shape_count(&p->values[op->out[k]].shape);
        ck_assert_msg(n.per_row == m.per_row && n.fixed == m.fixed, "%s: %s: another shape", path,
                      op->name);
    }
}

static void check_program(const char *path, const struct hn_program *p, const struct hn_layer *l)
{
    for (int i = 0; i < p->n_ops; i++) check_op(path, p, &p->ops[i]);
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        int trained = (q->flags & HN_PARAM_TRAINED) != 0;
        ck_assert(q->off % 16 == 0 && q->off + q->n <= p->n_slab);
        ck_assert_int_eq(trained, i >= p->n_params - 2 || l->learns[i]);
        ck_assert_int_eq(trained, q->off < p->n_trained);
    }
}

/* ---- steps ---- */

struct side { /* a backend at work */
    const struct hn_backend *b;
    void *dev, *exec, *bound;
    struct hn_plan *plan;
    struct hn_hyper hyper;
    struct hn_replica r;
    double partial[2 * STEPS];
};

static void side_run(struct side *s, const struct hn_program *p, const struct hn_dataset *set,
                     const double *w, double *after)
{
    struct hn_host host = { sizeof host, &ctx->mem, 1 };
    size_t bytes = p->n_slab * s->b->elem;
    double lr[STEPS];
    HN_OK(s->b->open(&host, "", &s->dev, &err), err);
    HN_OK(hn_plan_create(&ctx->mem, p, HN_PASS_TRAIN, BATCH, s->b->elem, 0, &s->plan, &err), err);
    HN_OK(s->b->prepare(s->dev, s->plan, 1, &s->exec, &err), err);
    HN_OK(s->b->bind(s->dev, set, &s->bound, &err), err);
    s->hyper = (struct hn_hyper){ .optimizer = HN_SGD, .accumulate = 1, .dropout = -1 };
    s->r = (struct hn_replica){ .key = { 5, 6 }, .hyper = &s->hyper };
    for (int k = 0; k < 2; k++) HN_OK(s->b->alloc(s->dev, bytes, &s->r.slab[k], &err), err);
    void *raw = malloc(bytes);
    hn_convert(raw, s->b->elem == 4 ? HN_F32 : HN_F64, w, HN_F64, (int64_t)p->n_slab);
    HN_OK(s->b->put(s->dev, s->r.slab[HN_SLAB_W], 0, raw, bytes, &err), err);
    for (int k = 0; k < STEPS; k++) {
        lr[0] = 0.01;
        struct hn_slot slot = { .r = &s->r,
                                .data = s->bound,
                                .first = k % 3 * BATCH,
                                .rows = BATCH,
                                .lr = lr,
                                .partial = s->partial + 2 * k,
                                .bad_step = -1 };
        HN_OK(s->b->run(s->exec, &slot, 1, 1, &err), err);
    }
    HN_OK(s->b->get(s->dev, s->r.slab[HN_SLAB_W], 0, raw, bytes, &err), err);
    hn_convert(after, HN_F64, raw, s->b->elem == 4 ? HN_F32 : HN_F64, (int64_t)p->n_slab);
    free(raw);
    for (int k = 0; k < 2; k++) s->b->release(s->dev, s->r.slab[k]);
    s->b->finish(s->exec);
    s->b->unbind(s->dev, s->bound);
    hn_plan_destroy(s->plan, &ctx->mem);
    s->b->close(s->dev);
}

static void compare(const char *path, const struct hn_program *p, const struct hn_dataset *set,
                    const double *w)
{
    struct side one = { .b = &hn_backend_reference }, other = { .b = &hn_backend_cpu };
    double *a = calloc(p->n_slab, sizeof *a), *b = calloc(p->n_slab, sizeof *b), most = 0, off = 0;
    side_run(&one, p, set, w, a);
    side_run(&other, p, set, w, b);
    int finite = 1; /* in float, too */
    for (int k = 0; k < STEPS; k++) finite &= fabs(one.partial[2 * k]) < 1e30;
    for (int k = 0; k < STEPS && finite; k++)
        ck_assert_msg(fabs(one.partial[2 * k] - other.partial[2 * k]) <=
                          2e-4 * fabs(one.partial[2 * k]) + 1e-6,
                      "%s: %s, step %d: %g and %g", path, p->ops[p->n_ops - 1].name, k,
                      one.partial[2 * k], other.partial[2 * k]);
    for (size_t i = 0; i < p->n_slab && finite; i++) {
        if (fabs(a[i]) > most) most = fabs(a[i]);
        if (fabs(a[i] - b[i]) > off) off = fabs(a[i] - b[i]);
    }
    ck_assert_msg(!finite || off <= 2e-4 * most + 1e-6, "%s: %s: weights %g apart of %g", path,
                  p->ops[p->n_ops - 1].name, off, most);
    seen += finite;
    free(a);
    free(b);
}

/* Numbers for the program's inputs; 0, an index of every table, where it looks something up. */
static void make_data(const struct hn_program *p, struct hn_dataset *set, struct hn_column *c)
{
    uint64_t state = 9;
    int looks = 0;
    for (int i = 0; i < p->n_ops; i++) looks |= p->ops[i].row == &hn_op_embedding;
    for (int i = 0; i < p->n_inputs; i++) {
        struct hn_dim n = hn_shape_count(&p->values[p->inputs[i]].shape);
        float *x = calloc((size_t)(n.per_row * ROWS) + 1, sizeof *x);
        for (int64_t k = 0; k < n.per_row * ROWS && !looks; k++) x[k] = (float)noise_at(&state);
        c[i] = (struct hn_column){ x, HN_F32, n.per_row, 1 };
    }
    *set = (struct hn_dataset){ ROWS, p->n_inputs, 0, c, NULL };
}

static void one_layer(const char *path, const struct hn_program *from, const double *w,
                      const struct hn_layer *l)
{
    struct hn_column c[64];
    struct hn_dataset set;
    struct hn_program *p;
    uint64_t state = 3;
    for (int noise = 0; noise < 2; noise++) {
        HN_OK(hn_autoencoder(from, l, noise ? 0.25 : 0, &ctx->mem, &p, &err), err);
        check_program(path, p, l);
        if (p->n_slab > LARGE) { /* for kernels in double */
            seen++;
            hn_program_destroy(p, &ctx->mem);
            continue;
        }
        ck_assert_int_le(p->n_inputs, 64);
        make_data(p, &set, c);
        double *mine = calloc(p->n_slab, sizeof *mine);
        for (int i = 0; i < from->n_params; i++)
            memcpy(mine + p->params[i].off, w + from->params[i].off,
                   from->params[i].n * sizeof *mine);
        const struct hn_param *decoder = &p->params[from->n_params];
        for (size_t i = 0; i < decoder->n; i++)
            mine[decoder->off + i] = noise_at(&state) / sqrt((double)l->units);
        compare(path, p, &set, mine);
        free(mine);
        for (int i = 0; i < p->n_inputs; i++) free((void *)(uintptr_t)c[i].data);
        hn_program_destroy(p, &ctx->mem);
    }
}

static int can_be_lowered(hone_model *m)
{
    if (hone_model_check(m, 1, &err) != HONE_OK) return 0;
    HN_OK(hn_model_prepare_training(m, NULL, &err), err);
    const struct hn_graph *g = hn_model_graph(m);
    return !(g->fixed_batch && !g->batch_lifted);
}

START_TEST(every_layer_of_every_model)
{
    const char *path = zoo.gl_pathv[_i];
    hone_model *m = NULL;
    struct hn_lower_opts opts = { .part = HN_PART_BODY, .dropout = -1 };
    struct hn_program *p;
    struct hn_layers layers = { 0 };
    struct hn_arena a;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hone_model_load(ctx, path, &m, &err), err);
    hn_arena_init(&a, &ctx->mem);
    if (can_be_lowered(m)) {
        HN_OK(hn_lower(hn_model_graph(m), &opts, &p, &err), err);
        double *w = calloc(p->n_slab + 1, sizeof *w);
        HN_OK(hn_model_get_weights(m, p, w, 8, &err), err);
        hone_status st = hn_layers_find(p, hn_model_graph(m), &a, &layers, &err);
        ck_assert(st == HONE_OK || st == HONE_E_UNSUPPORTED);
        for (int i = 0; i < layers.n; i++) one_layer(path, p, w, &layers.layer[i]);
        free(w);
        hn_program_destroy(p, &ctx->mem);
    }
    hn_arena_clear(&a);
    hone_model_destroy(m);
    ck_assert_msg(seen == 2 * layers.n || strstr(path, "nn4sys"), "%s: %d of %d programs", path,
                  seen, 2 * layers.n); /* whose numbers grow beyond a float's */
    hone_context_destroy(ctx);
}
END_TEST

int main(void)
{
    int n = (int)zoo_files(&zoo);
    if (n == 0) return hn_skip("no model zoo beside the checkout (" ZOO ")");
    Suite *s = suite_create("autoencoders");
    TCase *tc = tcase_create("autoencoders");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, every_layer_of_every_model, 0, n);
    int failed = hn_run(s, tc);
    globfree(&zoo);
    return failed;
}
