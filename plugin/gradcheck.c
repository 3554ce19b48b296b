/* SPDX-License-Identifier: MIT
 *
 * hone_gradcheck: the backward pass of the model's own graph against central differences, in
 * double, dropout and batch statistics included. For every trainable output and every loss that
 * suits its tail, and for every trained parameter,
 *
 *     error = |g - d| / max(|g|, |d|, 1e-4 max(1, |L|)),   d = (L(w + h) - L(w - h)) / 2h
 *
 * A difference over a kink (ReLU, MAE) or lost in rounding depends on h, a wrong gradient does
 * not: the smallest error over four steps h counts. Large parameters are sampled, so that the
 * check takes seconds. */
#include "ops/base/status.h"
#include "plugin/runner.h"
#include <math.h>
#include <string.h>

static const double tolerance = 1e-6;
static const double steps[] = { 1e-5, 1e-6, 1e-4, 1e-7 };
enum { ROWS = 5, STREAM_INPUT = HN_STREAM_AUGMENT, STREAM_PICK = HN_STREAM_SPLIT };

struct trial {
    const char *name;
    enum hn_loss_kind kind;
    int dense;
};

struct check {
    hone_context *ctx;
    hone_model *model;
    const hone_params *params;
    int rounds; /* outputs × losses that were checked */
    hone_result *result;
    uint32_t key[2];
    struct hn_arena arena; /* of one trial */
    struct hn_program *prog;
    struct hn_runner run;
    const char *output;
    int64_t classes; /* its last dim; that behind the rows where its softmax goes over that one */
    int first;
    double *w, *dw;
    double loss, worst;
};

/* ---- a random batch -------------------------------------------------------------------------- */

static double target_value(const struct check *c, const struct trial *t, int64_t i)
{
    double classes = (double)c->classes;
    double u = hn_rng_uniform(c->key, STREAM_INPUT + 64, (uint64_t)i);
    if (!t->dense && (t->kind == HN_LOSS_CE || t->kind == HN_LOSS_NLL)) return floor(u * classes);
    if (t->kind == HN_LOSS_CE || t->kind == HN_LOSS_NLL) return u / classes;
    if (t->kind == HN_LOSS_BCE) return u;
    return hn_rng_normal(c->key, STREAM_INPUT + 64, (uint64_t)i);
}

/* A column of rows x per_row doubles: standard normal, or uniform in (0, 1) for graphs that want
 * positive numbers. */
static double *input_values(struct check *c, int column, int64_t n, int positive)
{
    double *v = hn_arena_alloc(&c->arena, (size_t)n, sizeof *v);
    uint32_t stream = (uint32_t)(STREAM_INPUT + column);
    for (int64_t i = 0; v && i < n; i++)
        v[i] = positive ? hn_rng_uniform(c->key, stream, (uint64_t)i)
                        : hn_rng_normal(c->key, stream, (uint64_t)i);
    return v;
}

/* Elements of a row of a data column: of the whole tensor where its shape does not follow N. */
static int64_t row_elements(const struct hn_program *p, int32_t value)
{
    struct hn_dim n = hn_shape_count(&p->values[value].shape);
    return n.per_row ? n.per_row : n.fixed;
}

static hone_status make_batch(struct check *c, const struct trial *t, int64_t rows, int positive,
                              struct hn_dataset *set, hone_error *err)
{
    const struct hn_program *p = c->prog;
    struct hn_column *in = hn_arena_alloc(&c->arena, (size_t)p->n_inputs + 1, sizeof *in);
    struct hn_column *target = hn_arena_alloc(&c->arena, (size_t)p->n_targets + 1, sizeof *target);
    if (!in || !target) return hn_nomem(err, "the random batch", sizeof *in);
    for (int i = 0; i < p->n_inputs; i++) {
        int64_t each = row_elements(p, p->inputs[i]), n = each * rows;
        double *v = input_values(c, i, n, positive);
        if (!v) return hn_nomem(err, "the random batch", (size_t)n * sizeof *v);
        in[i] = (struct hn_column){ v, HN_F64, each, 1.0 };
    }
    for (int i = 0; i < p->n_targets; i++) {
        int64_t each = row_elements(p, p->targets[i]), n = each * rows;
        double *v = hn_arena_alloc(&c->arena, (size_t)n, sizeof *v);
        if (!v) return hn_nomem(err, "the random batch", (size_t)n * sizeof *v);
        for (int64_t k = 0; k < n; k++) v[k] = target_value(c, t, k);
        target[i] = (struct hn_column){ v, HN_F64, each, 1.0 };
    }
    *set = (struct hn_dataset){ rows, p->n_inputs, p->n_targets, in, target };
    return HONE_OK;
}

/* ---- differences ----------------------------------------------------------------------------- */

static hone_status loss_at(struct check *c, size_t i, double w, double *loss, hone_error *err)
{
    double partial[2];
    HN_TRY(hn_runner_weights(&c->run, &w, i, 1, err));
    HN_TRY(hn_runner_run(&c->run, partial, NULL, err));
    *loss = partial[0] / partial[1];
    return HONE_OK;
}

/* The smallest error of weight i over the steps. */
static hone_status weight_error(struct check *c, size_t i, double *error, hone_error *err)
{
    double w = c->w[i], g = c->dw[i], best = HUGE_VAL, least = 1e-4 * fmax(1.0, fabs(c->loss));
    for (size_t k = 0; k < sizeof steps / sizeof *steps && best > tolerance; k++) {
        double h = steps[k] * fmax(1.0, fabs(w)), up, down;
        volatile double above = w + h, below = w - h; /* the step that is really taken */
        HN_TRY(loss_at(c, i, above, &up, err));
        HN_TRY(loss_at(c, i, below, &down, err));
        double d = (up - down) / (above - below);
        double e = fabs(g - d) / fmax(fmax(fabs(g), fabs(d)), least);
        if (e < best) best = e; /* NaN is not */
    }
    *error = best;
    return hn_runner_weights(&c->run, &w, i, 1, err);
}

static hone_status check_param(struct check *c, const struct hn_param *p, size_t samples,
                               const char *loss, hone_error *err)
{
    size_t n = p->n < samples ? p->n : samples, worst_at = 0;
    double worst = 0;
    for (size_t k = 0; k < n; k++) {
        size_t i = k;
        if (n < p->n) i = hn_rng_below(c->key, STREAM_PICK + (uint32_t)p->off, k, (uint32_t)p->n);
        double e;
        if (hn_param_rests(p, i)) continue; /* what it gets is a definition */
        HN_TRY(weight_error(c, p->off + i, &e, err));
        if (e > worst) worst = e, worst_at = i;
    }
    if (worst > c->worst) c->worst = worst;
    hn_result_object(c->result, NULL);
    hn_result_string(c->result, "loss", loss);
    hn_result_string(c->result, "output", c->output);
    hn_result_string(c->result, "parameter", p->name);
    hn_result_int(c->result, "elements", (int64_t)p->n);
    hn_result_int(c->result, "checked", (int64_t)n);
    hn_result_double(c->result, "max_rel", worst);
    hn_result_int(c->result, "worst", (int64_t)worst_at);
    hn_result_close(c->result);
    return HONE_OK;
}

/* How many elements of a parameter: all while that costs about a second, at least 3. */
static size_t sample_count(const struct hn_program *p, int64_t rows)
{
    double run = 6.0 * (double)(p->n_slab + 1000) * (double)rows, budget = 4e8;
    double each = budget / run / 2 / (p->n_params ? p->n_params : 1);
    return each < 3 ? 3 : each > 512 ? 512 : (size_t)each;
}

/* ---- one output, one loss -------------------------------------------------------------------- */

/* Opens the runner on a batch whose loss is finite. */
static hone_status open_run(struct check *c, const struct hn_device *d, const struct trial *t,
                            int64_t rows, hone_error *err)
{
    for (int positive = 0; positive < 2; positive++) {
        struct hn_dataset *set = hn_arena_alloc(&c->arena, 1, sizeof *set);
        double partial[2];
        if (!set) return hn_nomem(err, "the random batch", sizeof *set);
        HN_TRY(make_batch(c, t, rows, positive, set, err));
        HN_TRY(hn_runner_open(&c->run, c->ctx, d, c->prog, HN_PASS_GRAD, set, err));
        HN_TRY(hn_runner_weights(&c->run, c->w, 0, c->prog->n_slab, err));
        HN_TRY(hn_runner_run(&c->run, partial, NULL, err));
        c->loss = partial[0] / partial[1];
        if (isfinite(c->loss)) return HONE_OK;
        hn_runner_close(&c->run);
    }
    return hn_fail(err, HONE_E_MODEL, c->output, "the loss of random inputs is not finite");
}

static hone_status check_trial(struct check *c, const struct hn_device *d, const struct trial *t,
                               hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(c->model);
    int64_t rows =
        g->fixed_batch > 0 && !g->batch_lifted ? 1 : ROWS; /* 1: shapes do not follow N */
    c->w = hn_arena_alloc(&c->arena, c->prog->n_slab + 1, sizeof *c->w);
    c->dw = hn_arena_alloc(&c->arena, c->prog->n_trained + 1, sizeof *c->dw);
    if (!c->w || !c->dw) return hn_nomem(err, "the weights", c->prog->n_slab * sizeof *c->w);
    HN_TRY(hn_model_get_weights(c->model, c->prog, c->w, sizeof *c->w, err));
    HN_TRY(open_run(c, d, t, rows, err));
    HN_TRY(hn_runner_gradients(&c->run, c->dw, err));
    size_t samples = sample_count(c->prog, rows);
    for (int i = 0; i < c->prog->n_params; i++) {
        if (!(c->prog->params[i].flags & HN_PARAM_TRAINED)) continue;
        HN_TRY(check_param(c, &c->prog->params[i], samples, t->name, err));
    }
    return HONE_OK;
}

/* A staircase has no slope that differences could find. */
static hone_status refuse_rounding(const struct check *c, hone_error *err)
{
    for (int i = 0; i < c->prog->n_ops; i++)
        if (c->prog->ops[i].row->flags & HN_OP_STRAIGHT)
            return hn_fail(err, HONE_E_UNSUPPORTED, c->prog->ops[i].name,
                           "the model is quantised: the gradient of its rounding is a definition "
                           "(straight-through), which differences do not show");
    return HONE_OK;
}

static hone_status lower_trial(struct check *c, int output, const struct trial *t, hone_error *err)
{
    const int of_classes = t->kind == HN_LOSS_CE || t->kind == HN_LOSS_NLL;
    struct hn_loss_spec spec = { .output = output,
                                 .kind = t->kind,
                                 .weight = 1.0,
                                 .delta = 1.0,
                                 .dense = t->dense,
                                 .first = of_classes && c->first };
    struct hn_lower_opts opts = {
        .part = HN_PART_BODY, .losses = &spec, .n_losses = 1, .dropout = -1.0
    };
    return hn_lower(hn_model_graph(c->model), &opts, &c->prog, err);
}

/* Does --loss ask for this trial ("[OUTPUT=]kind[:weight]", the kind's first word)? auto and
 * none given: for all. */
static int is_wanted(const struct check *c, const struct trial *t)
{
    const char *item;
    for (size_t i = 0; (item = hone_params_get(c->params, "loss", i)); i++) {
        const char *equals = strrchr(item, '=');
        size_t name = equals ? (size_t)(equals - item) : 0;
        const char *kind = equals ? equals + 1 : item;
        size_t n = strcspn(kind, ":");
        if (equals && (strlen(c->output) != name || memcmp(c->output, item, name) != 0)) continue;
        if (n == 4 && memcmp(kind, "auto", n) == 0) return 1;
        if (n == strcspn(t->name, " ") && memcmp(kind, t->name, n) == 0) return 1;
    }
    return 0;
}

static hone_status check_output(struct check *c, const struct hn_device *d, int output,
                                hone_error *err)
{
    static const struct trial all[] = {
        { "ce", HN_LOSS_CE, 0 },       { "ce dense", HN_LOSS_CE, 1 }, { "nll", HN_LOSS_NLL, 0 },
        { "bce", HN_LOSS_BCE, 1 },     { "mse", HN_LOSS_MSE, 1 },     { "mae", HN_LOSS_MAE, 1 },
        { "huber", HN_LOSS_HUBER, 1 },
    };
    /* bit i: all[i] suits a model whose last op is this */
    static const unsigned suits[] = {
        [HN_TAIL_NONE] = 0x73,    [HN_TAIL_SOFTMAX] = 0x13, [HN_TAIL_LOGSOFTMAX] = 0x04,
        [HN_TAIL_SIGMOID] = 0x18, [HN_TAIL_BOTH] = 0x31,    [HN_TAIL_EACH] = 0x18,
        [HN_TAIL_SHARES] = 0x13
    };
    struct hn_output_info info;
    hn_graph_output(hn_model_graph(c->model), (size_t)output, &info);
    if (!info.trainable || info.derived) return HONE_OK;
    const struct hn_value *v = &hn_model_graph(c->model)->values[info.value];
    c->output = v->name;
    c->first = info.tail_first;
    c->classes = c->first        ? info.classes_first
                 : v->shape.rank ? v->shape.d[v->shape.rank - 1].fixed
                                 : 1;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        if (!(suits[info.tail] >> i & 1) || (c->classes < 2 && i < 3)) continue;
        if (!is_wanted(c, &all[i])) continue;
        c->rounds++;
        hn_arena_init(&c->arena, &c->ctx->mem);
        hone_status st = lower_trial(c, output, &all[i], err);
        if (st == HONE_OK) st = refuse_rounding(c, err);
        if (st == HONE_OK) st = check_trial(c, d, &all[i], err);
        hn_runner_close(&c->run);
        if (c->prog) hn_program_destroy(c->prog, &c->ctx->mem);
        c->prog = NULL;
        hn_arena_clear(&c->arena);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

static hone_status check_model(struct check *c, hone_error *err)
{
    struct hn_graph *g = hn_model_graph(c->model);
    struct hn_device d = { 0 };
    HN_TRY(hn_device_open_cpu(c->ctx, 1, HN_F64, &d, err));
    hn_result_array(c->result, "rows");
    hone_status st = HONE_OK;
    for (size_t i = 0; i < g->n_outputs && st == HONE_OK; i++)
        st = check_output(c, &d, (int)i, err);
    if (st == HONE_OK && !c->rounds)
        st = hn_fail(err, HONE_E_USAGE, "loss", "no output of this model goes with '%s'",
                     hn_param_s(c->params, "loss"));
    hn_result_close(c->result);
    hn_device_close(&d);
    hn_result_double(c->result, "max_rel", c->worst);
    hn_result_double(c->result, "tolerance", tolerance);
    hn_result_bool(c->result, "passed", c->worst <= tolerance);
    return st == HONE_OK ? hn_result_done(c->result, err) : st;
}

static hone_status gradcheck(hone_model *m, const hone_params *params, hone_result **out,
                             hone_error *err)
{
    struct check c = { .ctx = hn_model_context(m), .model = m, .params = params };
    *out = NULL;
    HN_TRY(hn_graph_blocked(hn_model_graph(m), 1, err));
    hn_rng_key((uint64_t)hn_param_i(params, "seed"), 0, 0, c.key);
    HN_TRY(hn_result_create(c.ctx, "hone.gradcheck/1", &c.result, err));
    hone_status st = check_model(&c, err);
    if (st == HONE_OK)
        *out = c.result;
    else
        hone_result_destroy(c.result);
    return st;
}

hone_status hone_gradcheck(hone_model *m, const hone_params *params, hone_result **out,
                           hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, gradcheck(m, params, out, err), err);
}
