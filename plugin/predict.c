/* SPDX-License-Identifier: MIT
 *
 * hone_predict: the whole graph over the rows of a data set, outputs in input order, into a file or to the caller. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <string.h>

enum { PREDICT_ROWS = 1024, MAX_OUTPUTS = 64 };

struct column { /* one output that is written */
    int output; /* of the program */
    const char *name;
    int64_t per_row; /* as computed */
    int64_t width;   /* as written: 1 for class numbers */
    char *all;       /* every row, for formats that want whole arrays */
};

struct predictor {
    struct hn_session *s;
    const hone_params *params;
    struct hn_plan *plan;
    void *exec;
    struct hn_replica r;
    struct hn_hyper hyper;
    int64_t rows;
    void *out[MAX_OUTPUTS];
    struct column col[MAX_OUTPUTS];
    int n_col, argmax;
    hone_predict_fn each;
    void *user;
};

/* Which outputs: those of --output, else all that are computed. */
static hone_status choose(struct predictor *p, hone_error *err)
{
    const struct hn_program *prog = p->s->prog;
    const char *name;
    const char *list[MAX_OUTPUTS + 1] = { 0 };
    if (prog->n_outputs > MAX_OUTPUTS || prog->n_outputs < 1)
        return hn_fail(err, HONE_E_UNSUPPORTED, "model",
                       "%d outputs can be computed, wanted 1 to %d", prog->n_outputs, MAX_OUTPUTS);
    for (int i = 0; i < prog->n_outputs; i++) list[i] = prog->output_names[i];
    for (size_t k = 0; (name = hone_params_get(p->params, "output", k)); k++) {
        int found = 0;
        while (found < prog->n_outputs && strcmp(list[found], name)) found++;
        if (found == prog->n_outputs) {
            const char *near = hn_suggest(name, list);
            hone_status st =
                hn_fail(err, HONE_E_USAGE, "output", "the model computes no output '%s'", name);
            return near ? hn_hint(err, st, "did you mean '%s'?", near) : st;
        }
        if (p->n_col < MAX_OUTPUTS) p->col[p->n_col++].output = found;
    }
    for (int i = 0; !p->n_col && i < prog->n_outputs; i++) p->col[i].output = i;
    if (!p->n_col) p->n_col = prog->n_outputs;
    for (int k = 0; k < p->n_col; k++) {
        struct column *c = &p->col[k];
        struct hn_dim n = hn_shape_count(&prog->values[prog->outputs[c->output]].shape);
        c->name = list[c->output];
        c->per_row = n.per_row;
        c->width = p->argmax ? 1 : c->per_row;
        if (c->per_row < 1 || n.fixed)
            return hn_hint(err,
                           hn_fail(err, HONE_E_UNSUPPORTED, c->name,
                                   "this output does not have one row per input row"),
                           "--output NAME chooses others");
    }
    return HONE_OK;
}

static hone_status prepare(struct predictor *p, hone_error *err)
{
    struct hn_session *s = p->s;
    struct hn_mem *m = &s->ctx->mem;
    size_t elem = s->backend->elem;
    p->rows = s->rows[HONE_TRAIN].n;
    p->argmax = hn_param_b(p->params, "argmax");
    p->hyper = (struct hn_hyper){ .accumulate = 1, .dropout = -1 };
    p->r.hyper = &p->hyper;
    HN_TRY(choose(p, err));
    for (int k = 0; k < p->n_col; k++) {
        struct column *c = &p->col[k];
        size_t bytes = (size_t)(c->per_row * PREDICT_ROWS) * elem,
               all = (size_t)(c->width * p->rows) * elem;
        if (!p->out[c->output]) p->out[c->output] = hn_alloc(m, bytes);
        if (!p->each) c->all = hn_alloc(m, all);
        if (!p->out[c->output] || (!p->each && !c->all))
            return hn_nomem(err, "the predictions", all);
    }
    HN_TRY(hn_session_load(s, &p->r, err));
    HN_TRY(hn_plan_create(m, s->prog, HN_PASS_PREDICT, PREDICT_ROWS, elem, 0, &p->plan, err));
    return s->backend->prepare(s->dev, p->plan, 1, &p->exec, err);
}

static double element(const void *v, size_t elem, int64_t i)
{
    return elem == 8 ? ((const double *)v)[i] : (double)((const float *)v)[i];
}

/* Class number of each row, in place at the front of the buffer: the largest of several, or one score against the half. */
static void to_classes(const struct predictor *p, const struct column *c, void *v, int64_t n)
{
    size_t elem = p->s->backend->elem;
    struct hn_output_info info = { 0 };
    const struct hn_graph *g = hn_model_graph(p->s->model);
    for (size_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->values[g->outputs[i]].name, c->name)) hn_graph_output(g, i, &info);
    double half = info.tail == HN_TAIL_SIGMOID ? 0.5 : 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t j = 1; j < c->per_row; j++)
            if (element(v, elem, i * c->per_row + j) > element(v, elem, i * c->per_row + best))
                best = j;
        double label = c->per_row > 1 ? (double)best : element(v, elem, i) > half;
        if (elem == 8)
            ((double *)v)[i] = label;
        else
            ((float *)v)[i] = (float)label;
    }
}

static hone_status deliver(struct predictor *p, int64_t first, int64_t n, hone_error *err)
{
    size_t elem = p->s->backend->elem;
    hone_array arrays[MAX_OUTPUTS];
    for (int k = 0; k < p->n_col; k++) {
        struct column *c = &p->col[k];
        void *v = p->out[c->output];
        if (p->argmax) to_classes(p, c, v, n);
        size_t row = (size_t)c->width * elem;
        if (c->all) memcpy(c->all + (size_t)first * row, v, (size_t)n * row);
        arrays[k] = (hone_array){ sizeof(hone_array), c->name, elem == 8 ? HONE_F64 : HONE_F32, n,
                                  c->width,           v };
    }
    if (p->each && p->each(p->user, arrays, (size_t)p->n_col, first))
        return hn_fail(err, HONE_E_IO, "predict", "the caller refused rows %lld to %lld",
                       (long long)first, (long long)(first + n - 1));
    return HONE_OK;
}

static hone_status run_all(struct predictor *p, hone_error *err)
{
    struct hn_session *s = p->s;
    for (int64_t at = 0; at < p->rows; at += PREDICT_ROWS) {
        int64_t n = p->rows - at < PREDICT_ROWS ? p->rows - at : PREDICT_ROWS;
        struct hn_slot slot = {
            .r = &p->r, .data = s->bound[HONE_TRAIN], .first = at, .rows = n, .out = p->out
        };
        HN_TRY(s->backend->run(p->exec, &slot, 1, 1, err));
        HN_TRY(deliver(p, at, n, err));
    }
    return HONE_OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static struct hn_tensor whole(const struct predictor *p, const struct column *c)
{
    struct hn_tensor t = { .dtype = p->s->backend->elem == 8 ? HN_F64 : HN_F32,
                           .rank = 2,
                           .dims = { p->rows, c->width },
                           .n = p->rows * c->width,
                           .data = c->all };
    return t;
}

/* Names of a CSV's columns: the output's, with a number behind it where a row has several values. */
static hone_status column_names(struct predictor *p, const struct hn_array *x, const char ***names,
                                int64_t *n, hone_error *err)
{
    struct hn_arena *a = &p->s->arena;
    int64_t count = x ? x->per_row : 0, at = 0;
    for (int k = 0; k < p->n_col; k++) count += p->col[k].width;
    *names = hn_arena_alloc(a, (size_t)count + 1, sizeof **names);
    if (!*names) return hn_nomem(err, "column names", (size_t)count * sizeof **names);
    for (int64_t j = 0; x && j < x->per_row; j++)
        (*names)[at++] =
            x->columns ? x->columns[j].name : hn_arena_printf(a, "x%lld", (long long)j);
    for (int k = 0; k < p->n_col; k++)
        for (int64_t j = 0; j < p->col[k].width; j++)
            (*names)[at++] = p->col[k].width == 1
                                 ? p->col[k].name
                                 : hn_arena_printf(a, "%s_%lld", p->col[k].name, (long long)j);
    for (int64_t j = 0; j < count; j++)
        if (!(*names)[j]) return hn_nomem(err, "column names", 64);
    *n = count;
    return HONE_OK;
}

static hone_status write_csv(struct predictor *p, struct hn_sink *sink, hone_error *err)
{
    const struct hn_array *x = hn_param_b(p->params, "with-input")
                                   ? &((struct hn_own *)p->s->own)->data->role[HONE_TRAIN].x[0].a
                                   : NULL;
    const char **names;
    int64_t n = 0;
    HN_TRY(column_names(p, x, &names, &n, err));
    HN_TRY(hn_csv_write_names(sink, names, n, err));
    double *row = hn_arena_alloc(&p->s->arena, (size_t)n + 1, sizeof *row);
    float *single = hn_arena_alloc(&p->s->arena, (size_t)n + 1, sizeof *single);
    if (!row || !single) return hn_nomem(err, "a row", (size_t)n * sizeof *row);
    int f32 = p->s->backend->elem == 4;
    for (int64_t i = 0; i < p->rows; i++) {
        struct hn_tensor t = { .rank = 2, .dims = { 1, 0 } };
        int64_t at = 0;
        for (int64_t j = 0; x && j < x->per_row; j++) row[at++] = hn_array_at(x, i, j);
        for (int k = 0; k < p->n_col; k++)
            for (int64_t j = 0; j < p->col[k].width; j++)
                row[at++] = element(p->col[k].all, p->s->backend->elem, i * p->col[k].width + j);
        if (f32) hn_convert(single, HN_F32, row, HN_F64, n);
        t.dtype = f32 ? HN_F32 : HN_F64;
        t.dims[1] = t.n = n;
        t.data = f32 ? (void *)single : (void *)row;
        HN_TRY(hn_csv_write_rows(sink, &t, err));
    }
    return HONE_OK;
}

static hone_status write_arrays(struct predictor *p, struct hn_sink *sink, int npz, hone_error *err)
{
    struct hn_tensor t[MAX_OUTPUTS];
    const char *names[MAX_OUTPUTS];
    for (int k = 0; k < p->n_col; k++) {
        t[k] = whole(p, &p->col[k]);
        names[k] = p->col[k].name;
    }
    if (!npz) return hn_npy_write(sink, &t[0], err);
    return hn_npz_write(sink, &p->s->ctx->mem, names, t, (size_t)p->n_col, err);
}

static int has_end(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static hone_status check_path(const hone_params *params, const struct hn_io *io, const char *path,
                              hone_error *err)
{
    if (!has_end(path, ".csv") && !has_end(path, ".npy") && !has_end(path, ".npz"))
        return hn_fail(err, HONE_E_USAGE, path, "wanted a name that ends in .csv, .npy or .npz");
    if (hn_path_exists(io, path) && !hn_param_b(params, "force"))
        return hn_hint(err, hn_fail(err, HONE_E_USAGE, path, "exists already"),
                       "--force replaces it");
    if (hn_param_b(params, "with-input") && !has_end(path, ".csv"))
        return hn_fail(err, HONE_E_USAGE, "with-input", "is for .csv, the output is '%s'", path);
    return HONE_OK;
}

static hone_status write_file(struct predictor *p, const char *path, hone_error *err)
{
    if (p->n_col > 1 && has_end(path, ".npy"))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, path,
                               "a .npy file holds one array, the model has %d outputs", p->n_col),
                       "--output NAME, or write a .npz");
    struct hn_atomic a = { 0 };
    HN_TRY(hn_atomic_begin(&a, p->s->ctx->io, &p->s->ctx->mem, path, err));
    hone_status st = has_end(path, ".csv") ? write_csv(p, &a.sink, err)
                                           : write_arrays(p, &a.sink, has_end(path, ".npz"), err);
    if (st == HONE_OK) st = hn_atomic_commit(&a, err);
    if (st != HONE_OK) hn_atomic_abort(&a);
    return st;
}

static void close_all(struct predictor *p)
{
    struct hn_session *s = p->s;
    struct hn_mem *m = &s->ctx->mem;
    if (p->exec) s->backend->finish(p->exec);
    hn_plan_destroy(p->plan, m);
    if (p->r.slab[HN_SLAB_W]) s->backend->release(s->dev, p->r.slab[HN_SLAB_W]);
    for (int i = 0; i < MAX_OUTPUTS; i++) {
        hn_free(m, p->out[i]);
        hn_free(m, p->col[i].all);
    }
    hn_session_close(s);
}

hone_status hone_predict(hone_model *m, hone_data *d, const hone_params *params, const char *path,
                         hone_predict_fn each, void *user, hone_result **out, hone_error *err)
{
    *out = NULL;
    hone_context *ctx = hn_model_context(m);
    if (!path == !each)
        return hn_fail(err, HONE_E_USAGE, "predict",
                       "wanted a path or a function to take the rows, found %s",
                       path ? "both" : "neither");
    if (path) HN_TRY(check_path(params, ctx->io, path, err));
    struct predictor p = { .params = params, .each = each, .user = user };
    HN_TRY(hn_session_open(m, d, params, HN_USE_PREDICT, &p.s, err));
    hone_status st = prepare(&p, err);
    if (st == HONE_OK) st = run_all(&p, err);
    if (st == HONE_OK && path) st = write_file(&p, path, err);
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
    close_all(&p);
    if (st == HONE_OK) *out = r;
    return st;
}
