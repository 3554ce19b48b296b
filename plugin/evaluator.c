/* SPDX-License-Identifier: MIT
 *
 * Loss and metrics of a replica's weights over a role's rows, in inference mode, in pieces of a fixed number of rows, so
 * that no figure depends on --batch-size. Sums are in double and in the order of rows. Nothing is allocated after create. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include "plugin/train/metric.h"
#include <string.h>

enum { EVAL_ROWS = 1024, MAX_OUTPUTS = 64 };
static const char *const role_names[3] = { "training rows", "validation rows", "test rows" };

struct hn_evaluator {
    struct hn_session *s;
    struct hn_plan *plan;
    void *exec;
    struct hn_metric **metrics; /* per target */
    int *output_of;             /* program output of each target, -1: not computed */
    void *out[MAX_OUTPUTS];
    void *target;    /* one piece of targets, gathered */
    void *turned;    /* one piece of outputs [classes, places], as [places, classes] */
    double *partial; /* 2 per loss */
    size_t target_bytes;
    int with_error;
    struct hn_loss_error error;
    double weight[EVAL_ROWS]; /* of one piece's rows */
};

static struct hn_prepared_list *kept_plans(const struct hn_session *s)
{
    const struct hn_own *own = s->own;
    return own->given->kept ? &own->given->kept->prepared : NULL;
}

static struct hn_prepare preparation(const struct hn_session *s)
{
    return (struct hn_prepare){ .mem = &s->ctx->mem,
                                .backend = s->backend,
                                .dev = s->dev,
                                .prog = s->prog,
                                .pass = HN_PASS_EVAL,
                                .max_rows = EVAL_ROWS,
                                .slots = 1 };
}

void hn_evaluator_destroy(struct hn_evaluator *e)
{
    if (!e) return;
    struct hn_mem *m = &e->s->ctx->mem;
    const struct hn_prepare p = preparation(e->s);
    hn_unprepare(kept_plans(e->s), &p, e->plan, e->exec);
    for (int t = 0; e->metrics && t < e->s->n_targets; t++) hn_metric_destroy(e->metrics[t]);
    for (int i = 0; i < MAX_OUTPUTS; i++) hn_free(m, e->out[i]);
    hn_free(m, e->metrics);
    hn_free(m, e->output_of);
    hn_free(m, e->target);
    hn_free(m, e->turned);
    hn_free(m, e->partial);
    hn_free(m, e);
}

static unsigned wanted_metrics(const hone_params *p)
{
    unsigned want = 0;
    const char *name;
    for (size_t i = 0; (name = hone_params_get(p, "metric", i)); i++) want |= hn_metric_bit(name);
    return want;
}

/* The option that asked for a metric: those of train are all in --metric, too (hn_options_metrics). */
static const char *asked_by(const hone_params *p, const char *name)
{
    static const char *const options[] = { "require", "target-metric", "monitor" };
    for (size_t k = 0; k < sizeof options / sizeof *options; k++)
        for (size_t i = 0; i < hn_param_count(p, options[k]); i++) {
            const char *text = hone_params_get(p, options[k], i), *under = strchr(text, '_');
            const size_t n = strlen(name);
            if (under) text = under + 1;
            if (strncmp(text, name, n) == 0 && (!text[n] || text[n] == ':')) return options[k];
        }
    return "metric";
}

static hone_status refuse_metric(const struct hn_session *s, const char *name, unsigned sensible,
                                 hone_error *err)
{
    const char *option = asked_by(s->params, name);
    if (!hn_metric_bit(name))
        return hn_fail(err, HONE_E_USAGE, option,
                       "found '%s', wanted accuracy, mae, rmse, r2, f1 or auc", name);
    return hn_fail(err, HONE_E_USAGE, option, "found '%s' for targets that are %s", name,
                   sensible & HN_HAS_ACCURACY ? "classes, wanted accuracy, f1 or auc"
                                              : "numbers, wanted mae, rmse or r2");
}

/* Every metric that is asked for means something for one target at least. */
static hone_status check_metrics(const struct hn_session *s, hone_error *err)
{
    const char *name;
    unsigned sensible = 0;
    for (int t = 0; t < s->n_targets; t++)
        sensible |= hn_metric_sensible(&s->targets[t], s->targets[t].per_row);
    for (size_t i = 0; (name = hone_params_get(s->params, "metric", i)); i++) {
        const unsigned bit = hn_metric_bit(name);
        if (strcmp(name, "loss") == 0 || (bit & sensible)) continue;
        return refuse_metric(s, name, sensible, err);
    }
    return HONE_OK;
}

static int64_t most_rows(const struct hn_session *s)
{
    int64_t n = 1;
    for (int role = 0; role < 3; role++)
        if (s->rows[role].n > n) n = s->rows[role].n;
    return n;
}

static hone_status create_metric(struct hn_evaluator *e, int t, hone_error *err)
{
    struct hn_session *s = e->s;
    const struct hn_target *g = &s->targets[t];
    struct hn_metric_spec spec;
    int logits = g->loss == HN_LOSS_BCE && g->tail != HN_TAIL_SIGMOID && g->tail != HN_TAIL_EACH;
    hn_metric_spec_of(g, g->per_row, logits, wanted_metrics(s->params), &spec);
    spec.elem = s->backend->elem;
    spec.max_rows = most_rows(s) * g->places;
    e->output_of[t] = -1;
    for (int i = 0; i < s->prog->n_outputs; i++)
        if (!strcmp(s->prog->output_names[i], g->output_name)) e->output_of[t] = i;
    if (e->output_of[t] < 0)
        return hn_fail(err, HONE_E_INTERNAL, g->output_name,
                       "the program does not compute this output");
    size_t bytes = (size_t)(g->per_row * EVAL_ROWS) * s->backend->elem;
    if (bytes > e->target_bytes) e->target_bytes = bytes;
    return hn_metric_create(&s->ctx->mem, &spec, &e->metrics[t], err);
}

static hone_status create_buffers(struct hn_evaluator *e, hone_error *err)
{
    struct hn_session *s = e->s;
    struct hn_mem *m = &s->ctx->mem;
    if (s->prog->n_outputs > MAX_OUTPUTS)
        return hn_fail(err, HONE_E_UNSUPPORTED, "model", "%d outputs, at most %d can be evaluated",
                       s->prog->n_outputs, MAX_OUTPUTS);
    for (int t = 0; t < s->n_targets; t++) {
        HN_TRY(create_metric(e, t, err));
        int i = e->output_of[t];
        struct hn_dim c = hn_shape_count(&s->prog->values[s->prog->outputs[i]].shape);
        size_t bytes = (size_t)(c.per_row * EVAL_ROWS + c.fixed) * s->backend->elem;
        if (!e->out[i] && !(e->out[i] = hn_alloc(m, bytes)))
            return hn_nomem(err, "an output's buffer", bytes);
    }
    int first = 0;
    for (int t = 0; t < s->n_targets; t++) first |= s->targets[t].first;
    if (first && !(e->turned = hn_alloc(m, e->target_bytes)))
        return hn_nomem(err, "the evaluator's buffers", e->target_bytes);
    e->target = hn_alloc(m, e->target_bytes);
    e->partial = hn_calloc(m, 2 * (size_t)s->n_targets, sizeof *e->partial);
    return e->target && e->partial ? HONE_OK
                                   : hn_nomem(err, "the evaluator's buffers", e->target_bytes);
}

hone_status hn_evaluator_create(struct hn_session *s, struct hn_evaluator **out, hone_error *err)
{
    *out = NULL;
    struct hn_mem *m = &s->ctx->mem;
    HN_TRY(check_metrics(s, err));
    struct hn_evaluator *e = hn_calloc(m, 1, sizeof *e);
    if (!e) return hn_nomem(err, "the evaluator", sizeof *e);
    e->s = s;
    e->metrics = hn_calloc(m, (size_t)s->n_targets + 1, sizeof *e->metrics);
    e->output_of = hn_calloc(m, (size_t)s->n_targets + 1, sizeof *e->output_of);
    hone_status st = HONE_OK;
    if (!e->metrics || !e->output_of) st = hn_nomem(err, "the evaluator", 64);
    if (st == HONE_OK) st = create_buffers(e, err);
    const struct hn_prepare p = preparation(s);
    if (st == HONE_OK) st = hn_prepare(kept_plans(s), &p, &e->plan, &e->exec, err);
    if (st != HONE_OK) {
        hn_evaluator_destroy(e);
        return st;
    }
    *out = e;
    return HONE_OK;
}

/* v = v * scale + offset over n rows: predictions and targets back in the target's own units. */
static void unscale(const struct hn_target *g, size_t elem, void *v, int64_t n)
{
    for (int64_t i = 0; g->scale && i < n; i++)
        for (int64_t j = 0; j < g->per_row; j++) {
            int64_t at = i * g->per_row + j;
            if (elem == 8)
                ((double *)v)[at] = ((double *)v)[at] * g->scale[j] + g->offset[j];
            else
                ((float *)v)[at] = (float)((double)((float *)v)[at] * g->scale[j] + g->offset[j]);
        }
}

/* Of the only target, whose numbers are in e->target. */
static void add_error(struct hn_evaluator *e, const struct hn_dataset *set, const uint32_t *rows,
                      const void *out, int64_t n)
{
    const struct hn_session *s = e->s;
    const struct hn_own *own = s->own;
    const int weighted = own->specs[0].row_weights;
    if (weighted)
        hn_column_gather(&set->targets[s->targets[0].column + 1], rows, n, sizeof *e->weight,
                         e->weight);
    hn_loss_error_add(&e->error, &s->targets[0], s->backend->elem, out, e->target,
                      weighted ? e->weight : NULL, n);
}

static void add_piece(struct hn_evaluator *e, const struct hn_dataset *set, const uint32_t *rows,
                      int64_t n)
{
    struct hn_session *s = e->s;
    size_t elem = s->backend->elem;
    for (int t = 0; t < s->n_targets; t++) {
        void *out = e->out[e->output_of[t]];
        if (s->targets[t].first) {
            hn_turn_classes(&s->targets[t], elem, out, n, e->turned);
            out = e->turned;
        }
        hn_column_gather(&set->targets[s->targets[t].column], rows, n, elem, e->target);
        if (!s->targets[t].in_file) unscale(&s->targets[t], elem, out, n);
        unscale(&s->targets[t], elem, e->target, n);
        hn_metric_add(e->metrics[t], out, e->target, n);
        if (e->with_error && s->n_targets == 1) add_error(e, set, rows, out, n);
    }
}

void hn_evaluator_with_error(struct hn_evaluator *e) { e->with_error = 1; }

hone_status hn_evaluator_run(struct hn_evaluator *e, const struct hn_replica *r, hone_role role,
                             struct hn_figures *out, hone_error *err)
{
    struct hn_session *s = e->s;
    const struct hn_rows *rows = &s->rows[role];
    int set = s->set_of[role];
    struct hn_replica copy = *r; /* the clock is not ours to move */
    for (int t = 0; t < s->n_targets; t++) {
        hn_metric_reset(e->metrics[t]);
        e->partial[2 * t] = e->partial[2 * t + 1] = 0;
    }
    *out = (struct hn_figures){ .rows = rows->n };
    e->error = (struct hn_loss_error){ 0 };
    for (int64_t at = 0; at < rows->n; at += EVAL_ROWS) {
        int64_t n = rows->n - at < EVAL_ROWS ? rows->n - at : EVAL_ROWS;
        struct hn_slot slot = { .r = &copy,
                                .data = s->bound[set],
                                .index = rows->rows + at,
                                .rows = n,
                                .partial = e->partial,
                                .out = e->out };
        HN_TRY(s->backend->run(e->exec, &slot, 1, 1, err));
        add_piece(e, s->sets[set], rows->rows + at, n);
    }
    for (int t = 0; t < s->n_targets; t++) {
        if (rows->n && e->partial[2 * t + 1] == 0)
            return hn_fail(err, HONE_E_DATA, role_names[role],
                           "the weights of all %lld rows are 0: there is no loss to judge by",
                           (long long)rows->n);
        out->loss += s->targets[t].weight * e->partial[2 * t] / e->partial[2 * t + 1];
    }
    hn_metric_figures(e->metrics, s->n_targets, out);
    if (e->with_error && s->n_targets == 1 && rows->n)
        out->loss_error =
            hn_loss_error_of(&e->error, out->loss / s->targets[0].weight) * s->targets[0].weight;
    return HONE_OK;
}

void hn_figures_result(hone_result *r, const char *key, const struct hn_figures *f)
{
    hn_result_object(r, key);
    const char *name;
    double v;
    for (size_t i = 0; (name = hn_metric_name(i)); i++)
        if (hn_metric_get(f, name, &v)) hn_result_double(r, name, v);
    hn_result_close(r);
}
