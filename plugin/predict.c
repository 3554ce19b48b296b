/* SPDX-License-Identifier: MIT
 *
 * hone_predict: the whole graph over the rows of a data set, outputs in input order, into a file or to the caller. */
#include "plugin/predict.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include <string.h>

/* What the figures of the model's training say of its targets: 1 classes, 0 numbers, -1 nothing (it was not trained here). */
static int trained_on_classes(const struct hn_predictor *p)
{
    const char *figures = hn_onnx_meta(hn_model_onnx(p->s->model), "hone.training");
    if (figures && strstr(figures, "\"accuracy\":")) return 1;
    return figures && strstr(figures, "\"mae\":") ? 0 : -1;
}

/* With --argmax: are these scores of classes? One number a row is, where a Sigmoid, a list of classes or its training says so. */
static hone_status check_scores(const struct hn_predictor *p, const struct hn_predicted *c,
                                enum hn_tail tail, hone_error *err)
{
    int trained = trained_on_classes(p);
    if (c->classes || tail != HN_TAIL_NONE || trained == 1) return HONE_OK;
    if (trained < 0 && c->per_row > 1) return HONE_OK;
    hone_status st =
        trained == 0 ? hn_fail(err, HONE_E_USAGE, "argmax",
                               "output '%s' was trained on numbers, wanted one of classes", c->name)
                     : hn_fail(err, HONE_E_USAGE, "argmax",
                               "output '%s' is one number a row, and nothing in the model says "
                               "that it tells two classes apart",
                               c->name);
    return hn_hint(err, st,
                   p->n_col > 1 ? "--output NAME chooses others"
                                : "without --argmax its numbers are written");
}

/* The classes that an output tells apart, named by the model's list where it is as long. */
static hone_status find_classes(const struct hn_predictor *p, struct hn_predicted *c,
                                hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(p->s->model);
    struct hn_output_info info = { 0 };
    for (size_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->values[g->outputs[i]].name, c->name)) hn_graph_output(g, i, &info);
    c->half = info.tail == HN_TAIL_SIGMOID ? 0.5 : 0;
    HN_TRY(hn_session_told_first(p->s, &info, &c->first, err));
    c->n_classes = c->per_row < 2     ? 2
                   : c->first         ? info.classes_first
                   : info.classes > 1 ? info.classes
                                      : c->per_row;
    c->places = c->per_row < 2 ? 1 : c->per_row / c->n_classes;
    struct hn_class_list list;
    HN_TRY(hn_model_classes(p->s->model, c->name, &p->s->arena, &list, err));
    if ((int64_t)list.n == c->n_classes) c->classes = list.names;
    return p->argmax ? check_scores(p, c, info.tail, err) : HONE_OK;
}

static int is_discrete(const struct hn_predictor *p, int output)
{
    struct hn_discrete d;
    return hn_discrete_find(hn_model_graph(p->s->model), p->s->prog->output_names[output], &d);
}

static int64_t per_row(const struct hn_program *prog, int output)
{
    const struct hn_dim n = hn_shape_count(&prog->values[prog->outputs[output]].shape);
    return n.fixed ? 0 : n.per_row;
}

/* All that are computed; integers that are none of a row's are left out; with argmax, and where one array is all there is room for, labels only where there is nothing else. */
static void choose_all(struct hn_predictor *p)
{
    const struct hn_program *prog = p->s->prog;
    int scores = 0;
    for (int i = 0; i < prog->n_outputs; i++) scores += !is_discrete(p, i);
    for (int i = 0; i < prog->n_outputs; i++)
        if (!is_discrete(p, i) || (per_row(prog, i) && !(scores && (p->argmax || p->one_array))))
            p->col[p->n_col++].output = i;
}

static hone_status no_output(struct hn_predictor *p, const char *name, const char *const *list,
                             hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(p->s->model);
    const char *near = hn_suggest(name, list);
    const int32_t v = hn_graph_find(g, name);
    const struct hn_node *n = v >= 0 && g->values[v].is_output && g->values[v].producer >= 0
                                  ? &g->nodes[g->values[v].producer]
                                  : NULL;
    if (n)
        return hn_fail(err, HONE_E_USAGE, "output", "output '%s' is not computed: %s", name,
                       n->why);
    hone_status st =
        hn_fail(err, HONE_E_USAGE, "output", "the model computes no output '%s'", name);
    return near ? hn_hint(err, st, "did you mean '%s'?", near) : st;
}

static hone_status describe(const struct hn_predictor *p, struct hn_predicted *c, hone_error *err)
{
    c->discrete = hn_discrete_find(hn_model_graph(p->s->model), c->name, &c->of);
    c->width = c->per_row;
    c->dtype = c->discrete ? c->of.dtype : p->s->backend->elem == 8 ? HN_F64 : HN_F32;
    if (c->discrete) return HONE_OK;
    HN_TRY(find_classes(p, c, err));
    if (p->argmax) c->width = c->places;
    return HONE_OK;
}

/* Which outputs: those of --output, else choose_all's. */
static hone_status choose(struct hn_predictor *p, hone_error *err)
{
    const struct hn_program *prog = p->s->prog;
    const char *name;
    const char *list[HN_PREDICT_OUTPUTS + 1] = { 0 };
    if (prog->n_outputs > HN_PREDICT_OUTPUTS || prog->n_outputs < 1)
        return hn_fail(err, HONE_E_UNSUPPORTED, "model",
                       "%d outputs can be computed, wanted 1 to %d", prog->n_outputs,
                       HN_PREDICT_OUTPUTS);
    for (int i = 0; i < prog->n_outputs; i++) list[i] = prog->output_names[i];
    for (size_t k = 0; (name = hone_params_get(p->params, "output", k)); k++) {
        int found = 0;
        while (found < prog->n_outputs && strcmp(list[found], name)) found++;
        if (found == prog->n_outputs) return no_output(p, name, list, err);
        for (int c = 0; c < p->n_col; c++)
            if (p->col[c].output == found)
                return hn_fail(err, HONE_E_USAGE, "output", "found '%s' twice, wanted it once",
                               name);
        p->col[p->n_col++].output = found;
    }
    if (!p->n_col) choose_all(p);
    for (int k = 0; k < p->n_col; k++) {
        struct hn_predicted *c = &p->col[k];
        struct hn_dim n = hn_shape_count(&prog->values[prog->outputs[c->output]].shape);
        c->name = list[c->output];
        c->per_row = n.per_row;
        if (c->per_row < 1 || n.fixed)
            return hn_hint(err,
                           hn_fail(err, HONE_E_UNSUPPORTED, c->name,
                                   "this output does not have one row per input row"),
                           "--output NAME chooses others");
        HN_TRY(describe(p, c, err));
    }
    return HONE_OK;
}

hone_status hn_predict_open(struct hn_predictor *p, int64_t block, hone_error *err)
{
    struct hn_session *s = p->s;
    struct hn_mem *m = &s->ctx->mem;
    size_t elem = s->backend->elem;
    p->argmax = hn_param_b(p->params, "argmax");
    p->hyper = (struct hn_hyper){ .accumulate = 1, .dropout = -1 };
    p->r.hyper = &p->hyper;
    HN_TRY(choose(p, err));
    for (int k = 0; k < p->n_col; k++) {
        struct hn_predicted *c = &p->col[k];
        size_t size = hn_discrete_size(c->dtype), bytes = (size_t)(c->per_row * block) * elem,
               all = (size_t)(c->width * p->rows) * size;
        if (!p->out[c->output]) p->out[c->output] = hn_alloc(m, bytes);
        if (p->whole) c->all = hn_alloc(m, all);
        if (c->discrete && !(c->chunk = hn_alloc(m, (size_t)(c->width * block) * size)))
            return hn_nomem(err, "the predictions", bytes);
        if (!p->out[c->output] || (p->whole && !c->all))
            return hn_nomem(err, "the predictions", p->whole ? all : bytes);
    }
    HN_TRY(hn_session_load(s, &p->r, err));
    HN_TRY(hn_plan_create(m, s->prog, HN_PASS_PREDICT, block, elem, 0, &p->plan, err));
    return s->backend->prepare(s->dev, p->plan, 1, &p->exec, err);
}

static double element(const void *v, size_t elem, int64_t i)
{
    return hn_elem_get(v, elem, (size_t)i);
}

/* Class number of each place of the rows, in place at the front of the buffer: the largest of several, or one score against the half. */
static void to_classes(const struct hn_predictor *p, const struct hn_predicted *c, void *v,
                       int64_t n)
{
    size_t elem = p->s->backend->elem;
    const int64_t each = c->per_row / c->places, step = c->first ? c->places : 1;
    for (int64_t i = 0; i < n * c->places; i++) {
        const int64_t from = c->first ? i / c->places * c->per_row + i % c->places : i * each;
        int64_t best = 0;
        for (int64_t j = 1; j < each; j++)
            if (element(v, elem, from + j * step) > element(v, elem, from + best * step)) best = j;
        double label = c->per_row > 1 ? (double)best : element(v, elem, i) > c->half;
        if (elem == 8)
            ((double *)v)[i] = label;
        else
            ((float *)v)[i] = (float)label;
    }
}

hone_status hn_predict_hand_out(struct hn_predictor *p, int k, int64_t n, const void **out,
                                hone_error *err)
{
    struct hn_predicted *c = &p->col[k];
    const size_t elem = p->s->backend->elem;
    *out = c->discrete ? c->chunk : p->out[c->output];
    if (c->discrete)
        return hn_discrete_read(&c->of, p->out[c->output], elem, n * c->width, c->chunk, err);
    if (p->argmax) to_classes(p, c, p->out[c->output], n);
    return HONE_OK;
}

static hone_status deliver(struct hn_predictor *p, int64_t first, int64_t n, hone_error *err)
{
    hone_array arrays[HN_PREDICT_OUTPUTS];
    for (int k = 0; k < p->n_col; k++) {
        struct hn_predicted *c = &p->col[k];
        const void *v;
        size_t row = (size_t)c->width * hn_discrete_size(c->dtype);
        HN_TRY(hn_predict_hand_out(p, k, n, &v, err));
        if (c->all) memcpy(c->all + (size_t)first * row, v, (size_t)n * row);
        arrays[k] =
            (hone_array){ sizeof(hone_array), c->name, (hone_dtype)c->dtype, n, c->width, v };
    }
    if (p->each && p->each(p->user, arrays, (size_t)p->n_col, first))
        return hn_fail(err, HONE_E_IO, "predict", "the caller refused rows %lld to %lld",
                       (long long)first, (long long)(first + n - 1));
    return HONE_OK;
}

static hone_status run_all(struct hn_predictor *p, hone_error *err)
{
    struct hn_session *s = p->s;
    for (int64_t at = 0; at < p->rows; at += HN_PREDICT_ROWS) {
        int64_t n = p->rows - at < HN_PREDICT_ROWS ? p->rows - at : HN_PREDICT_ROWS;
        struct hn_slot slot = {
            .r = &p->r, .data = s->bound[HONE_TRAIN], .first = at, .rows = n, .out = p->out
        };
        HN_TRY(s->backend->run(p->exec, &slot, 1, 1, err));
        HN_TRY(deliver(p, at, n, err));
    }
    return HONE_OK;
}

void hn_predict_close(struct hn_predictor *p)
{
    struct hn_session *s = p->s;
    if (!s) return;
    struct hn_mem *m = &s->ctx->mem;
    if (p->exec) s->backend->finish(p->exec);
    hn_plan_destroy(p->plan, m);
    if (p->r.slab[HN_SLAB_W]) s->backend->release(s->dev, p->r.slab[HN_SLAB_W]);
    for (int i = 0; i < HN_PREDICT_OUTPUTS; i++) {
        hn_free(m, p->out[i]);
        hn_free(m, p->col[i].all);
        hn_free(m, p->col[i].chunk);
    }
    hn_session_close(s);
    p->s = NULL;
}

static hone_status predict(hone_model *m, hone_data *d, const hone_params *params, const char *path,
                           hone_predict_fn each, void *user, hone_result **out, hone_error *err)
{
    *out = NULL;
    hone_context *ctx = hn_model_context(m);
    if (!path == !each)
        return hn_fail(err, HONE_E_USAGE, "predict",
                       "wanted a path or a function to take the rows, found %s",
                       path ? "both" : "neither");
    if (path) HN_TRY(hn_places_check_file(m, params, path, err));
    if (path) HN_TRY(hn_predict_check_path(params, ctx->io, path, err));
    struct hn_predictor p = { .params = params, .each = each, .user = user, .whole = path != NULL };
    p.one_array = path && hn_predict_one_array(path);
    HN_TRY(hn_session_open(m, d, params, HN_USE_PREDICT, &p.s, err));
    p.rows = p.s->rows[HONE_TRAIN].n;
    hone_status st = hn_predict_open(&p, HN_PREDICT_ROWS, err);
    if (st == HONE_OK) st = run_all(&p, err);
    if (st == HONE_OK && path) st = hn_predict_write(&p, path, err);
    hone_result *r = NULL;
    if (st == HONE_OK) st = hn_result_create(ctx, "hone.predict/1", &r, err);
    if (st == HONE_OK) {
        hn_result_int(r, "rows", p.rows);
        hn_result_array(r, "outputs");
        for (int k = 0; k < p.n_col; k++) hn_result_string(r, NULL, p.col[k].name);
        hn_result_close(r);
        if (path) hn_result_string(r, "file", path);
        st = hn_result_done(r, err);
        if (st != HONE_OK) hone_result_destroy(r);
    }
    hn_predict_close(&p);
    if (st == HONE_OK) *out = r;
    return st;
}

hone_status hone_predict(hone_model *m, hone_data *d, const hone_params *params, const char *path,
                         hone_predict_fn each, void *user, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem,
                        predict(m, d, params, path, each, user, out, err), err);
}
