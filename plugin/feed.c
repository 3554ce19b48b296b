/* SPDX-License-Identifier: MIT
 *
 * From opened arrays to data sets in program order. The frozen head (scalers, casts, a frozen prefix) runs once per data set
 * here and its outputs are kept; without a head the arrays are used where they lie, in their own type. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <string.h>

enum { HEAD_ROWS = 1024 };

void hn_column_gather(const struct hn_column *c, const uint32_t *rows, int64_t n, size_t elem,
                      void *dst)
{
    size_t src_row = (size_t)c->per_row * hn_dtype_size(c->dtype),
           dst_row = (size_t)c->per_row * elem;
    enum hn_dtype to = elem == 8 ? HN_F64 : HN_F32;
    for (int64_t i = 0; i < n; i++)
        hn_convert_scaled((char *)dst + (size_t)i * dst_row, to,
                          (const char *)c->data + rows[i] * src_row, c->dtype, c->per_row,
                          c->scale);
}

int hn_session_input_array(const struct hn_session *s, int role, size_t input)
{
    const struct hn_own *own = s->own;
    const struct hn_role_data *r = &own->data->role[role];
    const struct hn_graph *g = hn_model_graph(s->model);
    for (size_t i = 0; i < r->n_x; i++)
        if (r->x[i].value && !strcmp(r->x[i].value, g->values[g->inputs[input]].name))
            return (int)i;
    if (r->n_x == 1 && g->n_inputs == 1 && !r->x[0].value) return 0;
    return input < r->n_x && !r->x[input].value ? (int)input : -1;
}

/* Elements of a row that graph input i wants; 0: not known. */
static int64_t wanted_per_row(const struct hn_graph *g, size_t i)
{
    const struct hn_value *v = &g->values[g->inputs[i]];
    if (!v->shape_known) return 0;
    int64_t n = 1;
    for (int d = 0; d < v->shape.rank; d++)
        if (d > 0 || !(v->shape.d[0].per_row || g->fixed_batch)) n *= v->shape.d[d].fixed;
    if (v->shape.rank && v->shape.d[0].per_row > 1) n *= v->shape.d[0].per_row;
    return n;
}

/* A factor on indices would choose other rows of a table: an input of nothing else is spared. */
static hone_status check_factor(struct hn_session *s, size_t input, const struct hn_array *a,
                                hone_error *err)
{
    int64_t found;
    if (a->scale == 1 || a->scale == 0) return HONE_OK;
    uint8_t *is = hn_arena_alloc(&s->arena, (size_t)a->per_row + 1, 1);
    if (!is) return hn_nomem(err, "the indices", (size_t)a->per_row);
    HN_TRY(hn_session_index_elements(s, input, is, a->per_row, &found, err));
    if (found == a->per_row) ((struct hn_own *)s->own)->spared[input] = 1;
    if (!found || found == a->per_row) return HONE_OK;
    const struct hn_graph *g = hn_model_graph(s->model);
    return hn_fail(
        err, HONE_E_USAGE, "x-scale",
        "input '%s' has indices of an embedding in %lld of its %lld columns, which must not be "
        "multiplied",
        g->values[g->inputs[input]].name, (long long)found, (long long)a->per_row);
}

static hone_status check_role_inputs(struct hn_session *s, int role, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_role_data *r = &own->data->role[role];
    const struct hn_graph *g = hn_model_graph(s->model);
    for (size_t k = 0; k < r->n_x; k++) {
        int used = !r->x[k].value;
        for (size_t i = 0; i < g->n_inputs && !used; i++)
            used = !strcmp(g->values[g->inputs[i]].name, r->x[k].value);
        if (!used)
            return hn_fail(err, HONE_E_USAGE, r->x[k].value, "the model has no input of this name");
    }
    if (r->n_x > g->n_inputs)
        return hn_fail(err, HONE_E_DATA, "x",
                       "%zu input arrays are given, the model has %zu inputs", r->n_x, g->n_inputs);
    for (size_t i = 0; i < g->n_inputs; i++) {
        const char *name = g->values[g->inputs[i]].name;
        int k = hn_session_input_array(s, role, i);
        if (k < 0)
            return hn_hint(err,
                           hn_fail(err, HONE_E_DATA, name, "no data were given for this input"),
                           "--x %s=FILE, or --input %s=COLUMN,…", name, name);
        const struct hn_array *a = &r->x[k].a;
        int64_t want = wanted_per_row(g, i);
        if (a->dtype == HN_STR)
            return hn_fail(err, HONE_E_DATA, a->source, "input '%s' wants numbers, found text",
                           name);
        if (!want || a->per_row == want) {
            HN_TRY(check_factor(s, i, a, err));
            continue;
        }
        hone_status st =
            hn_fail(err, HONE_E_DATA, a->source, "a row has %lld values, input '%s' wants %lld",
                    (long long)a->per_row, name, (long long)want);
        return a->columns ? hn_hint(err, st, "--features or --ignore choose among the columns")
                          : st;
    }
    return HONE_OK;
}

hone_status hn_session_check_inputs(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    const size_t n = hn_model_graph(s->model)->n_inputs;
    own->spared = hn_arena_alloc(&s->arena, n + 1, sizeof *own->spared);
    if (!own->spared) return hn_nomem(err, "the inputs", n);
    for (int role = 0; role < HN_ROLES; role++)
        if (own->data->role[role].n_x) HN_TRY(check_role_inputs(s, role, err));
    return HONE_OK;
}

static struct hn_column column_of(const struct hn_array *a)
{
    return (struct hn_column){ a->data, a->dtype, a->per_row, a->scale != 0 ? a->scale : 1 };
}

/* ---- the head --------------------------------------------------------------------------------------------------------- */

struct head {
    struct hn_session *s;
    struct hn_program *prog;
    struct hn_plan *plan;
    void *exec, *w, *host_w, *bound;
    int64_t chunk;
};

static hone_status head_weights(struct head *h, hone_error *err)
{
    struct hn_session *s = h->s;
    size_t bytes = h->prog->n_slab * s->backend->elem;
    h->host_w = hn_calloc(&s->ctx->mem, bytes ? bytes : 1, 1);
    if (!h->host_w) return hn_nomem(err, "the head's weights", bytes);
    HN_TRY(s->backend->alloc(s->dev, bytes ? bytes : 1, &h->w, err));
    if (!bytes) return HONE_OK;
    HN_TRY(hn_model_get_weights(s->model, h->prog, h->host_w, s->backend->elem, err));
    return s->backend->put(s->dev, h->w, 0, h->host_w, bytes, err);
}

static hone_status head_run(struct head *h, struct hn_dataset *raw, void *const *cache,
                            hone_error *err)
{
    struct hn_session *s = h->s;
    struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_replica r = { .hyper = &hyper };
    r.slab[HN_SLAB_W] = h->w;
    HN_TRY(s->backend->bind(s->dev, raw, &h->bound, err));
    hone_status st = HONE_OK;
    for (int64_t at = 0; st == HONE_OK && at < raw->rows; at += h->chunk) {
        void *out[16];
        int64_t n = raw->rows - at < h->chunk ? raw->rows - at : h->chunk;
        for (int i = 0; i < h->prog->n_outputs; i++) {
            struct hn_dim c = hn_shape_count(&h->prog->values[h->prog->outputs[i]].shape);
            out[i] = (char *)cache[i] + (size_t)(at * c.per_row) * s->backend->elem;
        }
        struct hn_slot slot = { .r = &r, .data = h->bound, .first = at, .rows = n, .out = out };
        st = s->backend->run(h->exec, &slot, 1, 1, err);
    }
    s->backend->unbind(s->dev, h->bound);
    h->bound = NULL;
    return st;
}

static void head_close(struct head *h)
{
    struct hn_session *s = h->s;
    if (h->exec) s->backend->finish(h->exec);
    if (h->w) s->backend->release(s->dev, h->w);
    hn_free(&s->ctx->mem, h->host_w);
    hn_plan_destroy(h->plan, &s->ctx->mem);
    hn_program_destroy(h->prog, &s->ctx->mem);
}

/* ---- data sets -------------------------------------------------------------------------------------------------------- */

static hone_status raw_set(struct hn_session *s, int role, struct hn_dataset **out, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_graph *g = hn_model_graph(s->model);
    const struct hn_role_data *r = &own->data->role[role];
    struct hn_dataset *set = hn_arena_alloc(&s->arena, 1, sizeof *set);
    size_t n_y = role == HONE_PRETRAIN ? 0 : (size_t)s->n_targets;
    struct hn_column *x = hn_arena_alloc(&s->arena, g->n_inputs + 1, sizeof *x);
    struct hn_column *y = hn_arena_alloc(&s->arena, 2 * n_y + 1, sizeof *y);
    int n = 0;
    if (!set || !x || !y) return hn_nomem(err, "a data set", sizeof *set);
    for (size_t i = 0; i < g->n_inputs; i++) {
        x[i] = column_of(&r->x[hn_session_input_array(s, role, i)].a);
        if (own->spared[i]) x[i].scale = 1;
    }
    for (size_t t = 0; t < n_y; t++) {
        const struct hn_array *a = hn_session_target_array(s, role, (int)t);
        if (!a)
            return hn_fail(err, HONE_E_USAGE, s->targets[t].output_name,
                           "the %s data have no target for this output",
                           role == HONE_TRAIN ? "training"
                           : role == HONE_VAL ? "validation"
                                              : "test");
        int64_t want = s->targets[t].dense ? s->targets[t].per_row : 1;
        if (a->dtype == HN_STR || a->per_row != want)
            return hn_fail(err, HONE_E_DATA, a->source,
                           "a row has %lld targets, output '%s' wants %lld", (long long)a->per_row,
                           s->targets[t].output_name, (long long)want);
        y[n++] = column_of(a);
        if (own->specs[t].row_weights) y[n++] = hn_session_weight_column(s, role, (int)t);
    }
    *set = (struct hn_dataset){ hn_role_rows(r), (int)g->n_inputs, n, x, y };
    *out = set;
    return HONE_OK;
}

static hone_status cached_set(struct hn_session *s, struct head *h, int role,
                              struct hn_dataset *set, hone_error *err)
{
    struct hn_own *own = s->own;
    int n = h->prog->n_outputs;
    struct hn_column *x = hn_arena_alloc(&s->arena, (size_t)n + 1, sizeof *x);
    if (!x) return hn_nomem(err, "the head's columns", sizeof *x);
    own->n_cache = n;
    for (int i = 0; i < n; i++) {
        struct hn_dim c = hn_shape_count(&h->prog->values[h->prog->outputs[i]].shape);
        size_t bytes = (size_t)(c.per_row * set->rows) * s->backend->elem;
        if (c.fixed || c.per_row < 1)
            return hn_fail(err, HONE_E_UNSUPPORTED, h->prog->output_names[i],
                           "the frozen head's output does not follow the rows");
        own->cache[role][i] = hn_alloc(&s->ctx->mem, bytes);
        if (!own->cache[role][i]) return hn_nomem(err, "the frozen head's outputs", bytes);
        x[i] = (struct hn_column){ own->cache[role][i], s->backend->elem == 8 ? HN_F64 : HN_F32,
                                   c.per_row, 1 };
    }
    HN_TRY(head_run(h, set, own->cache[role], err));
    set->inputs = x;
    set->n_inputs = n;
    return HONE_OK;
}

static hone_status build_sets(struct hn_session *s, struct head *h, hone_error *err)
{
    const struct hn_own *own = s->own;
    for (int role = 0; role < HN_ROLES; role++) {
        if (!own->data->role[role].n_x || s->rows[role].n == 0 || s->set_of[role] != role) continue;
        HN_TRY(raw_set(s, role, &s->sets[role], err));
        if (h->prog) {
            HN_TRY(hn_session_check_lookups(s, h->prog, s->sets[role], role, err));
            HN_TRY(cached_set(s, h, role, s->sets[role], err));
            HN_TRY(hn_session_check_looked_up(s, h->prog, s->sets[role], role, err));
        }
        HN_TRY(hn_session_check_lookups(s, s->prog, s->sets[role], role, err));
        HN_TRY(s->backend->bind(s->dev, s->sets[role], &s->bound[role], err));
    }
    return HONE_OK;
}

hone_status hn_session_feed(struct hn_session *s, hone_error *err)
{
    const struct hn_own *own = s->own;
    struct hn_lower_opts opts = { .part = HN_PART_HEAD,
                                  .dropout = -1,
                                  .labels = own->use == HN_USE_PREDICT };
    struct head h = { .s = s, .chunk = HEAD_ROWS };
    hone_status st = HONE_OK;
    if (!own->whole) st = hn_lower(hn_model_graph(s->model), &opts, &h.prog, err);
    if (st == HONE_OK && h.prog) {
        if (h.prog->n_outputs > 16)
            st = hn_fail(err, HONE_E_UNSUPPORTED, "model",
                         "the frozen head has %d outputs, at most 16 are kept", h.prog->n_outputs);
        if (st == HONE_OK)
            st = hn_plan_create(&s->ctx->mem, h.prog, HN_PASS_PREDICT, h.chunk, s->backend->elem, 0,
                                &h.plan, err);
        if (st == HONE_OK) st = head_weights(&h, err);
        if (st == HONE_OK) st = s->backend->prepare(s->dev, h.plan, 1, &h.exec, err);
    }
    if (st == HONE_OK) st = build_sets(s, &h, err);
    head_close(&h);
    return st;
}
