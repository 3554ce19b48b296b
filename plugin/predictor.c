/* SPDX-License-Identifier: MIT
 *
 * hone_predictor: what hone_predict sets up for every call, set up once. A session without data has the program and the device;
 * behind it stand the frozen head, if there is one, and the outputs of predict.c. A run puts the caller's arrays into the
 * columns of a data set that has been bound at the start, and goes through the rows in the same blocks as hone_predict does, so
 * that both give the same bits. It touches nothing of the context, which is why others may use that meanwhile. */
#include "ops/base/status.h"
#include "plugin/fixed.h"
#include "plugin/model.h"
#include "plugin/predict.h"
#include <string.h>

struct hone_predictor {
    struct hn_mem *mem;
    struct hn_view *view; /* names, labels and constants are in the model's graph */
    struct hn_predictor p;
    struct hn_head head;
    int64_t max_rows, block;
    int n_inputs;
    const char **names;     /* of the inputs */
    enum hn_dtype *dtypes;  /* as the model has them */
    int64_t *per_row;       /* 0: not known */
    struct hn_column *x;    /* the caller's arrays, per input ... */
    struct hn_dataset rows; /* ... and all of them */
    void *cache[HN_HEAD_OUTPUTS];
    struct hn_column head_x[HN_HEAD_OUTPUTS]; /* the head's outputs for a block ... */
    struct hn_dataset head_rows;              /* ... and all of them */
    void *bound, *head_bound;                 /* what the program reads; what the head reads */
    char *to[HN_PREDICT_OUTPUTS];             /* per output; NULL: not wanted */
};

/* ---- creation ------------------------------------------------------------------------------------------------------------- */

static hone_status make_inputs(hone_predictor *q, const struct hn_graph *g, hone_error *err)
{
    struct hn_arena *a = &q->p.s->arena;
    const size_t n = g->n_inputs;
    q->names = hn_arena_alloc(a, n + 1, sizeof *q->names);
    q->dtypes = hn_arena_alloc(a, n + 1, sizeof *q->dtypes);
    q->per_row = hn_arena_alloc(a, n + 1, sizeof *q->per_row);
    q->x = hn_arena_alloc(a, n + 1, sizeof *q->x);
    if (!q->names || !q->dtypes || !q->per_row || !q->x)
        return hn_nomem(err, "the inputs", n * sizeof *q->x);
    for (size_t i = 0; i < n; i++) {
        q->names[i] = g->values[g->inputs[i]].name;
        q->dtypes[i] = g->values[g->inputs[i]].dtype;
        q->per_row[i] = hn_input_per_row(g, i);
        q->x[i] = (struct hn_column){ .scale = 1 };
    }
    q->n_inputs = (int)n;
    q->rows = (struct hn_dataset){ .n_inputs = (int)n, .inputs = q->x };
    return HONE_OK;
}

static hone_status make_head(hone_predictor *q, hone_error *err)
{
    struct hn_session *s = q->p.s;
    HN_TRY(hn_head_open(&q->head, s, q->block, err));
    const int n = q->head.prog ? q->head.prog->n_outputs : 0;
    for (int i = 0; i < n; i++) {
        int64_t per_row;
        HN_TRY(hn_head_per_row(&q->head, i, &per_row, err));
        const size_t bytes = (size_t)(per_row * q->block) * s->backend->elem;
        q->cache[i] = hn_alloc(q->mem, bytes);
        if (!q->cache[i]) return hn_nomem(err, "the frozen head's outputs", bytes);
        q->head_x[i] =
            (struct hn_column){ q->cache[i], s->backend->elem == 8 ? HN_F64 : HN_F32, per_row, 1 };
    }
    q->head_rows = (struct hn_dataset){ .n_inputs = n, .inputs = q->head_x };
    if (!n) return s->backend->bind(s->dev, &q->rows, &q->bound, err);
    HN_TRY(s->backend->bind(s->dev, &q->rows, &q->head_bound, err));
    return s->backend->bind(s->dev, &q->head_rows, &q->bound, err);
}

/* Is parameter value v what op alone reads, and nothing else of the program? */
static int is_its_own(const struct hn_program *prog, int32_t v, int op)
{
    for (int i = 0; i < prog->n_values; i++)
        if (prog->values[i].view_of == v) return 0;
    for (int i = 0; i < prog->n_ops; i++)
        for (int k = 0; k < prog->ops[i].n_in; k++)
            if (prog->ops[i].in[k] == v && (i != op || k != 1)) return 0;
    for (int i = 0; i < prog->n_outputs; i++)
        if (prog->outputs[i] == v) return 0;
    return 1;
}

/* Is there another value of the same parameter? */
static int is_there_twice(const struct hn_program *prog, const struct hn_value_ref *w)
{
    int n = 0;
    for (int v = 0; v < prog->n_values; v++) {
        const struct hn_value_ref *x = &prog->values[v];
        n += x->kind == HN_PARAM && x->view_of < 0 && x->index == w->index;
    }
    return n > 1;
}

/* Weights that lie [out, in], as PyTorch has them, are turned once, where the bits stay: a run of few rows would spend more time
 * on turning them than on the product. First the program, before it is planned; the values when they have been loaded. */
static hone_status turn_program(struct hn_session *s, uint8_t *turned, hone_error *err)
{
    struct hn_program *prog = s->prog;
    for (int i = 0; i < prog->n_ops; i++) {
        struct hn_op *op = &prog->ops[i];
        const struct hn_dense *old = op->attrs;
        if (op->row != &hn_op_dense || !old->trans_w) continue;
        struct hn_value_ref *w = &prog->values[op->in[1]];
        if (w->kind != HN_PARAM || w->view_of >= 0 || w->shape.rank != 2 ||
            !hn_device_turns(s->backend, w->shape.d[0].fixed) || !is_its_own(prog, op->in[1], i) ||
            is_there_twice(prog, w))
            continue;
        struct hn_dense *attrs = hn_arena_alloc(&prog->arena, 1, sizeof *attrs);
        if (!attrs) return hn_nomem(err, op->name, sizeof *attrs);
        *attrs = *old;
        attrs->trans_w = 0;
        op->attrs = attrs;
        turned[w->index] = 1;
        const struct hn_dim out = w->shape.d[0];
        w->shape.d[0] = w->shape.d[1], w->shape.d[1] = out;
    }
    return HONE_OK;
}

static hone_status turn_one(const struct hn_predictor *p, const struct hn_value_ref *w,
                            hone_error *err)
{
    const struct hn_session *s = p->s;
    const struct hn_param *param = &s->prog->params[w->index];
    const size_t in = (size_t)w->shape.d[0].fixed, out = (size_t)w->shape.d[1].fixed,
                 bytes = param->n * sizeof(float), at = param->off * sizeof(float);
    float *both = hn_alloc(&s->ctx->mem, 2 * bytes), *to = both ? both + param->n : NULL;
    if (!both) return hn_nomem(err, param->name, 2 * bytes);
    hone_status st = s->backend->get(s->dev, p->r.slab[HN_SLAB_W], at, both, bytes, err);
    for (size_t i = 0; st == HONE_OK && i < in; i++)
        for (size_t j = 0; j < out; j++) to[i * out + j] = both[j * in + i];
    if (st == HONE_OK) st = s->backend->put(s->dev, p->r.slab[HN_SLAB_W], at, to, bytes, err);
    hn_free(&s->ctx->mem, both);
    return st;
}

static hone_status turn_values(const struct hn_predictor *p, const uint8_t *turned, hone_error *err)
{
    const struct hn_program *prog = p->s->prog;
    for (int v = 0; v < prog->n_values; v++) {
        const struct hn_value_ref *w = &prog->values[v];
        if (w->kind == HN_PARAM && w->view_of < 0 && turned[w->index]) HN_TRY(turn_one(p, w, err));
    }
    return HONE_OK;
}

static hone_status make(hone_predictor *q, hone_model *m, const hone_params *params,
                        hone_error *err)
{
    q->p.params = params;
    struct hn_fixed fixed;
    HN_TRY(hn_session_open(m, NULL, params, HN_USE_PREDICT, &q->p.s, err));
    HN_TRY(hn_fixed_split(q->p.s, &fixed, err));
    const size_t n = (size_t)q->p.s->prog->n_params + 1;
    uint8_t *turned = hn_arena_alloc(&q->p.s->arena, n, 1);
    if (!turned) return hn_nomem(err, "the weights", n);
    HN_TRY(turn_program(q->p.s, turned, err));
    HN_TRY(hn_predict_open(&q->p, q->block, err));
    HN_TRY(hn_fixed_compute(&fixed, q->p.s, &q->p.r, err));
    HN_TRY(turn_values(&q->p, turned, err));
    HN_TRY(make_inputs(q, hn_model_graph(m), err));
    HN_TRY(make_head(q, err));
    q->p.params = q->p.s->params = NULL; /* neither they nor the model are looked at again */
    q->p.s->model = NULL;
    return HONE_OK;
}

static hone_status create(hone_model *m, const hone_params *params, int64_t max_rows,
                          hone_predictor **out, hone_error *err)
{
    struct hn_mem *mem = &hn_model_context(m)->mem;
    *out = NULL;
    if (max_rows < 1)
        return hn_fail(err, HONE_E_USAGE, "max_rows", "found %lld, wanted 1 or more",
                       (long long)max_rows);
    if (hn_device_is_gpu(params))
        return hn_hint(err,
                       hn_fail(err, HONE_E_UNSUPPORTED, "device",
                               "found '%s', a predictor computes on the CPU",
                               hn_param_s(params, "device")),
                       "hone_predict uses a GPU");
    const struct hn_graph *g = hn_model_graph(m);
    for (size_t i = 0; i < g->n_inputs; i++)
        if (g->values[g->inputs[i]].dtype == HN_STR)
            return hn_hint(err,
                           hn_fail(err, HONE_E_UNSUPPORTED, g->values[g->inputs[i]].name,
                                   "is an input of text, a predictor takes numbers"),
                           "hone_predict takes text");
    hone_predictor *q = hn_calloc(mem, 1, sizeof *q);
    if (!q) return hn_nomem(err, "a predictor", sizeof *q);
    q->mem = mem;
    q->view = hn_view_hold(m->now.view);
    q->max_rows = max_rows;
    q->block = max_rows < HN_PREDICT_ROWS ? max_rows : HN_PREDICT_ROWS;
    hone_status st = make(q, m, params, err);
    if (st == HONE_OK)
        *out = q;
    else
        hone_predictor_destroy(q);
    return st;
}

hone_status hone_predictor_create(hone_model *m, const hone_params *params, int64_t max_rows,
                                  hone_predictor **out, hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, create(m, params, max_rows, out, err), err);
}

void hone_predictor_destroy(hone_predictor *q)
{
    if (!q) return;
    const struct hn_session *s = q->p.s;
    if (q->bound) s->backend->unbind(s->dev, q->bound);
    if (q->head_bound) s->backend->unbind(s->dev, q->head_bound);
    hn_head_close(&q->head);
    hn_predict_close(&q->p);
    for (int i = 0; i < HN_HEAD_OUTPUTS; i++) hn_free(q->mem, q->cache[i]);
    hn_view_release(q->mem, q->view);
    hn_free(q->mem, q);
}

int hone_predictor_input(const hone_predictor *q, size_t i, hone_array *info)
{
    if (i >= (size_t)q->n_inputs) return 0;
    const hone_array full = { .size = info->size,
                              .name = q->names[i],
                              .dtype = (hone_dtype)q->dtypes[i],
                              .rows = q->max_rows,
                              .per_row = q->per_row[i] };
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
    return 1;
}

int hone_predictor_output(const hone_predictor *q, size_t i, hone_output *info)
{
    if (i >= (size_t)q->p.n_col) return 0;
    const struct hn_predicted *c = &q->p.col[i];
    const hone_output full = { .size = info->size,
                               .name = c->name,
                               .dtype = (hone_dtype)c->dtype,
                               .rows = q->max_rows,
                               .per_row = c->width };
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
    return 1;
}

/* ---- what the caller hands over ------------------------------------------------------------------------------------------- */

static hone_status find_input(const hone_predictor *q, const hone_array *a, size_t k, int *i,
                              hone_error *err)
{
    *i = 0;
    if (a->name)
        while (*i < q->n_inputs && strcmp(q->names[*i], a->name) != 0) ++*i;
    else
        *i = (int)k;
    if (*i == q->n_inputs)
        return hn_fail(err, HONE_E_USAGE, a->name, "the model has no input of this name");
    if (!q->x[*i].data) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, q->names[*i], "two arrays were given for this input");
}

static hone_status check_input(const hone_predictor *q, const hone_array *a, int i, int64_t rows,
                               hone_error *err)
{
    const char *name = q->names[i];
    const enum hn_dtype t = (enum hn_dtype)a->dtype;
    const size_t size = hn_dtype_size(t);
    if (!size || t == HN_STR || t == HN_C64 || t == HN_C128)
        return hn_fail(err, HONE_E_DATA, name, "found elements of type %s, wanted numbers",
                       hn_dtype_name(t));
    if (q->per_row[i] && a->per_row != q->per_row[i])
        return hn_fail(err, HONE_E_DATA, name, "a row has %lld values, wanted %lld",
                       (long long)a->per_row, (long long)q->per_row[i]);
    if (a->rows < rows)
        return hn_fail(err, HONE_E_DATA, name, "found %lld rows, wanted %lld", (long long)a->rows,
                       (long long)rows);
    if (!a->data || (uintptr_t)a->data % size)
        return hn_fail(err, HONE_E_USAGE, name,
                       a->data ? "the data are not aligned for %s, wanted "
                                 "an address that %zu divides"
                               : "found no data, wanted %s of %zu bytes",
                       hn_dtype_name(t), size);
    return HONE_OK;
}

/* As the messages of data call them. */
static struct hn_array array_of(const hone_predictor *q, int i)
{
    const struct hn_column *c = &q->x[i];
    return (struct hn_array){ .name = q->names[i],
                              .source = q->names[i],
                              .dtype = c->dtype,
                              .rows = q->rows.rows,
                              .per_row = c->per_row,
                              .data = c->data,
                              .scale = 1 };
}

static hone_status take_inputs(hone_predictor *q, const hone_array *inputs, size_t n, int64_t rows,
                               hone_error *err)
{
    if (n != (size_t)q->n_inputs)
        return hn_fail(err, HONE_E_USAGE, "inputs", "%zu arrays are given, the model has %d inputs",
                       n, q->n_inputs);
    for (int i = 0; i < q->n_inputs; i++) q->x[i].data = NULL;
    q->rows.rows = rows;
    for (size_t k = 0; k < n; k++) {
        const hone_array *a = &inputs[k];
        int i;
        HN_TRY(find_input(q, a, k, &i, err));
        HN_TRY(check_input(q, a, i, rows, err));
        q->x[i] = (struct hn_column){ a->data, (enum hn_dtype)a->dtype, a->per_row, 1 };
        const struct hn_array whole = array_of(q, i);
        HN_TRY(hn_array_check_finite(&whole, err));
        HN_TRY(hn_array_check_range(&whole, q->p.s->backend->elem == 8 ? HN_F64 : HN_F32, err));
    }
    const struct hn_array first = array_of(q, 0);
    return hn_check_lookups(q->head.prog ? q->head.prog : q->p.s->prog, &q->rows, &first, NULL,
                            err);
}

static hone_status find_output(const hone_predictor *q, const hone_output *o, size_t k, int *i,
                               hone_error *err)
{
    *i = 0;
    if (o->name)
        while (*i < q->p.n_col && strcmp(q->p.col[*i].name, o->name) != 0) ++*i;
    else
        *i = (int)k;
    if (*i == q->p.n_col)
        return hn_fail(err, HONE_E_USAGE, o->name, "the predictor gives no output of this name");
    if (!q->to[*i]) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, q->p.col[*i].name, "two places were given for this output");
}

static hone_status check_output(const struct hn_predicted *c, const hone_output *o, int64_t rows,
                                hone_error *err)
{
    const enum hn_dtype found = (enum hn_dtype)o->dtype;
    if (found != c->dtype)
        return hn_fail(err, HONE_E_USAGE, c->name, "found a place for %s, the output is %s",
                       hn_dtype_name(found), hn_dtype_name(c->dtype));
    if (o->per_row != c->width)
        return hn_fail(err, HONE_E_USAGE, c->name,
                       "found a place for %lld values a row, the output has %lld",
                       (long long)o->per_row, (long long)c->width);
    if (o->rows < rows)
        return hn_fail(err, HONE_E_USAGE, c->name, "found a place for %lld rows, wanted %lld",
                       (long long)o->rows, (long long)rows);
    if (!o->data) return hn_fail(err, HONE_E_USAGE, c->name, "found no place to write it to");
    return HONE_OK;
}

static hone_status take_outputs(hone_predictor *q, const hone_output *outputs, size_t n,
                                int64_t rows, hone_error *err)
{
    if (n > (size_t)q->p.n_col)
        return hn_fail(err, HONE_E_USAGE, "outputs",
                       "%zu places are given, the predictor has %d outputs", n, q->p.n_col);
    for (int i = 0; i < q->p.n_col; i++) q->to[i] = NULL;
    for (size_t k = 0; k < n; k++) {
        int i;
        HN_TRY(find_output(q, &outputs[k], k, &i, err));
        HN_TRY(check_output(&q->p.col[i], &outputs[k], rows, err));
        q->to[i] = outputs[k].data;
    }
    return HONE_OK;
}

/* ---- a block of rows ------------------------------------------------------------------------------------------------------ */

static hone_status run_head(hone_predictor *q, int64_t at, int64_t n, hone_error *err)
{
    struct hn_array source = array_of(q, 0);
    source.first_line = at + 1; /* what row 0 of the block is called */
    q->head_rows.rows = n;
    HN_TRY(hn_head_run(&q->head, q->head_bound, at, n, q->cache, err));
    HN_TRY(hn_check_looked_up(q->head.prog, &q->head_rows, &source, err));
    return hn_check_lookups(q->p.s->prog, &q->head_rows, &source, NULL, err);
}

static hone_status run_block(hone_predictor *q, int64_t at, int64_t n, hone_error *err)
{
    struct hn_predictor *p = &q->p;
    if (q->head.prog) HN_TRY(run_head(q, at, n, err));
    struct hn_slot slot = {
        .r = &p->r, .data = q->bound, .first = q->head.prog ? 0 : at, .rows = n, .out = p->out
    };
    HN_TRY(p->s->backend->run(p->exec, &slot, 1, 1, err));
    for (int k = 0; k < p->n_col; k++) {
        const struct hn_predicted *c = &p->col[k];
        const size_t row = (size_t)c->width * hn_discrete_size(c->dtype);
        const void *v;
        if (!q->to[k]) continue;
        HN_TRY(hn_predict_hand_out(p, k, n, &v, err));
        memcpy(q->to[k] + (size_t)at * row, v, (size_t)n * row);
    }
    return HONE_OK;
}

hone_status hone_predictor_run(hone_predictor *q, int64_t rows, const hone_array *inputs,
                               size_t n_inputs, const hone_output *outputs, size_t n_outputs,
                               hone_error *err)
{
    if (rows < 0 || rows > q->max_rows)
        return hn_fail(err, HONE_E_USAGE, "rows", "found %lld, wanted 0 to %lld", (long long)rows,
                       (long long)q->max_rows);
    HN_TRY(take_outputs(q, outputs, n_outputs, rows, err));
    if (rows) HN_TRY(take_inputs(q, inputs, n_inputs, rows, err));
    for (int64_t at = 0; at < rows; at += q->block)
        HN_TRY(run_block(q, at, rows - at < q->block ? rows - at : q->block, err));
    return HONE_OK;
}
