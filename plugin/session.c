/* SPDX-License-Identifier: MIT
 *
 * A session: a job made ready. The order matters: the model is judged, targets are fitted to it, rows are split, raw tables
 * become numbers, inputs are fitted, scalers are fitted on training rows only and written into the graph, then the graph is
 * lowered, the device opened, the frozen head run. */
#include "onnx/model.h"
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <string.h>

hone_status hone_model_check(hone_model *m, int training, hone_error *err)
{
    return hn_graph_blocked(hn_model_graph(m), training, err);
}

/* ---- rows of the roles -------------------------------------------------------------------------------------------------- */

static hone_status all_rows(struct hn_session *s, int role, int64_t n, hone_error *err)
{
    uint32_t *rows = hn_alloc(&s->ctx->mem, (size_t)n * sizeof *rows);
    if (!rows) return hn_nomem(err, "the row list", (size_t)n * sizeof *rows);
    for (int64_t i = 0; i < n; i++) rows[i] = (uint32_t)i;
    s->rows[role] = (struct hn_rows){ rows, n };
    s->set_of[role] = role;
    return HONE_OK;
}

static hone_status check_split(struct hn_session *s, double test, double val, hone_error *err)
{
    const struct hn_own *own = s->own;
    if (val > 0 && own->data->role[HONE_VAL].n_x)
        return hn_fail(err, HONE_E_USAGE, "val-split", "validation data are given already");
    if (test > 0 && own->data->role[HONE_TEST].n_x)
        return hn_fail(err, HONE_E_USAGE, "test-split", "test data are given already");
    return HONE_OK;
}

static hone_status draw_split(struct hn_session *s, struct hn_split_options *o, hone_error *err)
{
    struct hn_own *own = s->own;
    struct hn_mem *m = &s->ctx->mem;
    int64_t n = hn_role_rows(&own->data->role[HONE_TRAIN]);
    const struct hn_array *group = &own->data->role[HONE_TRAIN].group;
    uint32_t *ids = NULL;
    if (group->rows) {
        ids = hn_alloc(m, (size_t)n * sizeof *ids);
        if (!ids) return hn_nomem(err, "the groups", (size_t)n * sizeof *ids);
        hone_status st = hn_group_ids(group, m, ids, &o->n_groups, err);
        if (st != HONE_OK) {
            hn_free(m, ids);
            return st;
        }
    }
    o->groups = ids;
    hone_status st = hn_split_rows(&own->split, m, n, o, err);
    hn_free(m, ids);
    return st;
}

static hone_status given_rows(struct hn_session *s, const struct hn_given_rows *given,
                              hone_error *err)
{
    for (int role = 0; role < 3; role++) {
        size_t bytes = (size_t)given[role].n * sizeof *given[role].rows;
        if (!bytes) continue;
        s->rows[role].rows = hn_alloc(&s->ctx->mem, bytes);
        if (!s->rows[role].rows) return hn_nomem(err, "the row list", bytes);
        memcpy(s->rows[role].rows, given[role].rows, bytes);
        s->rows[role].n = given[role].n;
        s->set_of[role] = given[role].set;
    }
    return HONE_OK;
}

static hone_status split_rows(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    if (own->data->given) return given_rows(s, own->data->given, err);
    struct hn_split_options o = { .seed = (uint64_t)hn_param_i(s->params, "seed"),
                                  .test = hn_param_f(s->params, "test-split"),
                                  .val = hn_param_f(s->params, "val-split") };
    int64_t n = hn_role_rows(&own->data->role[HONE_TRAIN]);
    int whole = own->use == HN_USE_EVAL || own->use == HN_USE_PREDICT;
    for (int role = HONE_VAL; role <= HONE_TEST && !whole; role++)
        if (own->data->role[role].n_x)
            HN_TRY(all_rows(s, role, hn_role_rows(&own->data->role[role]), err));
    if (whole || (o.test <= 0 && o.val <= 0)) return all_rows(s, HONE_TRAIN, n, err);
    HN_TRY(check_split(s, o.test, o.val, err));
    if (!hn_param_b(s->params, "no-stratify")) o.classes = hn_session_row_classes(s);
    HN_TRY(draw_split(s, &o, err));
    s->rows[HONE_TRAIN] = (struct hn_rows){ own->split.train, own->split.n_train };
    if (o.val > 0) s->rows[HONE_VAL] = (struct hn_rows){ own->split.val, own->split.n_val };
    if (o.test > 0) s->rows[HONE_TEST] = (struct hn_rows){ own->split.test, own->split.n_test };
    if (!own->split.n_train)
        return hn_fail(err, HONE_E_DATA, "data",
                       "%lld rows leave none for training after the split", (long long)n);
    return HONE_OK;
}

/* What pre-training reads besides the training rows' inputs, if it is asked for. */
static hone_status unlabelled_rows(struct hn_session *s, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_role_data *r = &own->data->role[HONE_PRETRAIN];
    if (own->use != HN_USE_TRAIN || !r->n_x || hn_param_i(s->params, "pretrain") < 1)
        return HONE_OK;
    return all_rows(s, HONE_PRETRAIN, hn_role_rows(r), err);
}

/* ---- scaling -------------------------------------------------------------------------------------------------------------- */

/* Over the training rows. An array that the session made itself is gone with it, so nothing of it is kept. */
static hone_status fit_input(struct hn_session *s, enum hn_scaling kind, const struct hn_array *a,
                             struct hn_scaler *fit, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_rows *rows = &s->rows[HONE_TRAIN];
    const struct hn_given_rows *given = own->given->given;
    struct hn_kept *kept = own->data == own->given && given ? own->given->kept : NULL;
    const uint32_t *list = given ? given[HONE_TRAIN].rows : NULL;
    const struct hn_scaler *before = hn_kept_find_scaler(kept, kind, a, list);
    if (before) {
        *fit = *before;
        fit->mem = NULL; /* borrowed */
        return HONE_OK;
    }
    HN_TRY(hn_scaler_fit(fit, &s->ctx->mem, kind, a, rows->rows, rows->n, err));
    hn_kept_add_scaler(kept, a, list, fit);
    return HONE_OK;
}

/* Indices of embeddings stay what they are. *all: the input has nothing else. */
static hone_status spare_indices(struct hn_session *s, size_t input, struct hn_scaler *fit,
                                 int *all, hone_error *err)
{
    uint8_t *is = hn_arena_alloc(&s->arena, (size_t)fit->n + 1, 1);
    double *both = hn_arena_alloc(&s->arena, 2 * (size_t)fit->n + 1, sizeof *both);
    int64_t found;
    if (!is || !both) return hn_nomem(err, "the indices", (size_t)fit->n);
    HN_TRY(hn_session_index_elements(s, input, is, fit->n, &found, err));
    *all = found == fit->n;
    if (!found || *all) return HONE_OK;
    for (int64_t k = 0; k < fit->n; k++) {
        both[k] = is[k] ? 0 : fit->offset[k];
        both[fit->n + k] = is[k] ? 1 : fit->scale[k];
    }
    const int64_t n = fit->n;
    hn_scaler_free(fit);
    *fit = (struct hn_scaler){ .n = n, .offset = both, .scale = both + n };
    return HONE_OK;
}

static hone_status scale_inputs(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    enum hn_scaling kind = hn_session_scaling(s->params, "scale");
    if (kind == HN_SCALE_NONE) return HONE_OK;
    size_t n = hn_model_graph(s->model)->n_inputs;
    own->got_scaler = hn_arena_alloc(&s->arena, n + 1, 1);
    if (!own->got_scaler) return hn_nomem(err, "the scaled inputs", n);
    for (size_t i = 0; i < n; i++) {
        const struct hn_graph *g = hn_model_graph(s->model);
        const char *name = hn_arena_strdup(
            &s->arena, g->values[g->inputs[i]].name); /* the graph is replaced below */
        if (!name) return hn_nomem(err, "an input's name", 0);
        if (hn_model_has_scaler(s->model, name) && !hn_param_b(s->params, "scale-again"))
            return hn_hint(
                err,
                hn_fail(err, HONE_E_USAGE, name,
                        "--scale was asked for, but the model already scales this input"),
                "--scale-again to scale once more");
        if (g->values[g->inputs[i]].dtype == HN_STR || hn_input_is_one_row(g, i)) continue;
        struct hn_scaler fit = { 0 };
        const struct hn_array *a =
            &own->data->role[HONE_TRAIN].x[hn_session_input_array(s, HONE_TRAIN, i)].a;
        int only_indices = 0;
        HN_TRY(fit_input(s, kind, a, &fit, err));
        hone_status st = spare_indices(s, i, &fit, &only_indices, err);
        own->got_scaler[i] = !only_indices;
        if (st == HONE_OK && !only_indices)
            st = hn_model_scale_input(s->model, name, hn_param_s(s->params, "scale"), fit.offset,
                                      fit.scale, fit.n, err);
        hn_scaler_free(&fit);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

/* By the output's name where several learn: they may tell other classes apart. */
static hone_status write_classes(struct hn_session *s, const char *output,
                                 const struct hn_classes *c, hone_error *err)
{
    const int several = hn_graph_heads(hn_model_graph(s->model)) > 1;
    const char *key =
        several ? hn_arena_printf(&s->arena, HN_META_CLASSES ".%s", output) : HN_META_CLASSES;
    struct hn_buffer b;
    if (!key) return hn_nomem(err, "the class list", 0);
    hn_buffer_init(&b, &s->ctx->mem);
    hone_status st = hn_classes_write(&b, c->text, (size_t)c->n, err);
    if (st == HONE_OK) st = hn_model_set_metadata(s->model, key, b.p, err);
    hn_buffer_free(&b);
    return st;
}

hone_status hn_session_finish(struct hn_session *s, hone_error *err)
{
    const struct hn_own *own = s->own;
    for (int t = 0; t < s->n_targets; t++) {
        const struct hn_target *g = &s->targets[t];
        if (g->scale && !g->in_file)
            HN_TRY(hn_model_scale_output(s->model, g->output_name,
                                         hn_param_s(s->params, "scale-target"), g->offset, g->scale,
                                         g->per_row, err));
        HN_TRY(hn_session_write_class_axis(s, t, err));
        struct hn_class_list list = { 0 };
        if (g->classes) HN_TRY(hn_model_classes(s->model, g->output_name, &s->arena, &list, err));
        if (g->classes && !list.n) HN_TRY(write_classes(s, g->output_name, &own->classes[t], err));
    }
    return hn_session_write_tables(s, err);
}

/* ---- program and device ----------------------------------------------------------------------------------------------------- */

static hone_status lower(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    double dropout =
        hone_params_is_set(s->params, "dropout") ? hn_param_f(s->params, "dropout") : -1;
    struct hn_lower_opts opts = { .part = own->use == HN_USE_PREDICT ? HN_PART_ALL : HN_PART_BODY,
                                  .losses = own->specs,
                                  .n_losses = s->n_targets,
                                  .dropout = dropout,
                                  .labels = own->use == HN_USE_PREDICT,
                                  .insert_dropout = own->use == HN_USE_TRAIN && dropout > 0,
                                  .freeze_batchnorm =
                                      !strcmp(hn_param_s(s->params, "batchnorm"), "freeze") };
    if (own->use == HN_USE_TRAIN) HN_TRY(hn_session_augment(s, &opts, err));
    HN_TRY(hn_lower(hn_model_graph(s->model), &opts, &s->prog, err));
    own->whole = opts.part == HN_PART_ALL;
    if (!own->whole || !hn_program_looks_up(s->prog)) return HONE_OK;
    hn_program_destroy(s->prog,
                       &s->ctx->mem); /* indices are looked at where the head leaves them */
    s->prog = NULL;
    own->whole = 0, opts.part = HN_PART_BODY;
    return hn_lower(hn_model_graph(s->model), &opts, &s->prog, err);
}

static hone_status open_device(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_device *d = own->given->device;
    enum hn_dtype dtype = hn_model_graph(s->model)->dtype;
    if (!d && own->use == HN_USE_TRAIN &&
        !own->given->given) { /* a search's refit is on its trials' device */
        const int64_t n = s->rows[HONE_TRAIN].n, batch = hn_param_i(s->params, "batch-size");
        const struct hn_training t = { s->prog, batch < n ? batch : n, n,
                                       hn_param_i(s->params, "epochs") };
        HN_TRY(hn_device_open_training(s->ctx, s->params, dtype, &t, &own->device, err));
        d = &own->device;
    } else if (!d) {
        const double work =
            (double)s->rows[HONE_TRAIN].n * (double)(s->prog->n_slab + s->prog->n_const);
        HN_TRY(hn_device_open_for(s->ctx, s->params, dtype, work, &own->device, err));
        d = &own->device;
    }
    s->backend = d->backend;
    s->dev = d->dev;
    s->threads = d->threads;
    return HONE_OK;
}

hone_status hn_session_data_hash(const struct hn_session *s, unsigned char out[16], hone_error *err)
{
    const struct hn_own *own = s->own;
    size_t n = 0, most = 0;
    for (int role = 0; role < HN_ROLES; role++)
        most += own->data->role[role].n_x + own->data->role[role].n_y + 2;
    const struct hn_array **list = hn_alloc(&s->ctx->mem, most * sizeof *list);
    if (!list) return hn_nomem(err, "the data's fingerprint", most * sizeof *list);
    for (int role = 0; role < HN_ROLES; role++) {
        const struct hn_role_data *r = &own->data->role[role];
        for (size_t i = 0; i < r->n_x; i++) list[n++] = &r->x[i].a;
        for (size_t i = 0; i < r->n_y; i++) list[n++] = &r->y[i].a;
        if (r->weight.rows) list[n++] = &r->weight;
        if (r->group_apart) list[n++] = &r->group;
    }
    uint64_t hash[2];
    hone_status st = hn_data_fingerprint(list, n, &s->ctx->mem, hash, err);
    hn_free(&s->ctx->mem, list);
    if (st == HONE_OK) memcpy(out, hash, 16);
    return st;
}

hone_status hn_session_load(struct hn_session *s, struct hn_replica *r, hone_error *err)
{
    size_t bytes = s->prog->n_slab * s->backend->elem;
    void *host = hn_calloc(&s->ctx->mem, bytes ? bytes : 1, 1);
    if (!host) return hn_nomem(err, "the weights", bytes);
    hone_status st = hn_model_get_weights(s->model, s->prog, host, s->backend->elem, err);
    if (st == HONE_OK) st = s->backend->alloc(s->dev, bytes ? bytes : 1, &r->slab[HN_SLAB_W], err);
    if (st == HONE_OK && bytes)
        st = s->backend->put(s->dev, r->slab[HN_SLAB_W], 0, host, bytes, err);
    hn_free(&s->ctx->mem, host);
    return st;
}

/* What the file has not got or will not do, which nobody would see in a run. */
static void say_what_is_told(const struct hn_session *s)
{
    const struct hn_graph *g = hn_model_graph(s->model);
    char label[200];
    for (size_t i = 0; i < g->n_issues && hn_session_says(s->own); i++) {
        const struct hn_issue *t = &g->issues[i];
        if (!t->told) continue;
        const char *at = t->node < 0 ? "" : hn_node_label(&g->nodes[t->node], label, sizeof label);
        hn_log(s->ctx, HONE_LOG_NOTE, "%s%s%s (%s)", at, *at ? ": " : "", t->what, t->remedy);
    }
}

static hone_status open_session(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    int training = own->use == HN_USE_TRAIN;
    if (!training)
        HN_TRY(hone_model_check(s->model, own->use == HN_USE_JUDGE,
                                err)); /* prepare checks for itself */
    if (training) HN_TRY(hn_model_prepare_training(s->model, s->params, err));
    if (training) say_what_is_told(s);
    const struct hn_graph *g = hn_model_graph(s->model);
    if (g->fixed_batch && !g->batch_lifted)
        HN_TRY(hone_model_check(s->model, 1, err)); /* names what bakes it in */
    if (own->given == &own->table) {                /* no data: rows come later */
        HN_TRY(lower(s, err));
        return open_device(s, err);
    }
    if (own->use != HN_USE_PREDICT) HN_TRY(hn_session_targets(s, err));
    HN_TRY(split_rows(s, err));
    HN_TRY(unlabelled_rows(s, err));
    if (own->use != HN_USE_PREDICT) HN_TRY(hn_session_weights(s, err));
    HN_TRY(hn_session_tables(s, err));
    HN_TRY(hn_session_texts(s, err));
    HN_TRY(hn_session_check_inputs(s, err));
    if (training) HN_TRY(scale_inputs(s, err));
    if (training) HN_TRY(hn_session_scale_targets(s, err));
    HN_TRY(lower(s, err));
    if (training || own->given->saying == HN_SAY) HN_TRY(hn_session_say_reach(s, err));
    HN_TRY(open_device(s, err));
    return hn_session_feed(s, err);
}

hone_status hn_session_open(hone_model *m, hone_data *d, const hone_params *params,
                            enum hn_session_use use, struct hn_session **out, hone_error *err)
{
    *out = NULL;
    hone_context *ctx = hn_model_context(m);
    struct hn_session *s = hn_calloc(&ctx->mem, 1, sizeof *s);
    struct hn_own *own = hn_calloc(&ctx->mem, 1, sizeof *own);
    if (!s || !own) {
        hn_free(&ctx->mem, s);
        hn_free(&ctx->mem, own);
        return hn_nomem(err, "a session", sizeof *s + sizeof *own);
    }
    *s = (struct hn_session){ .ctx = ctx, .model = m, .params = params, .own = own };
    hn_arena_init(&s->arena, &ctx->mem);
    own->data = d ? d : &own->table;
    own->given = own->data;
    own->use = use;
    hone_status st = open_session(s, err);
    if (st != HONE_OK) {
        hn_session_close(s);
        return st;
    }
    *out = s;
    return HONE_OK;
}

static void close_rows(struct hn_session *s)
{
    struct hn_own *own = s->own;
    for (int role = 0; role < HN_ROLES; role++) {
        const uint32_t *split = role == HONE_TRAIN  ? own->split.train
                                : role == HONE_VAL  ? own->split.val
                                : role == HONE_TEST ? own->split.test
                                                    : NULL;
        if (s->rows[role].rows != split) hn_free(&s->ctx->mem, s->rows[role].rows);
    }
    hn_split_free(&own->split);
}

void hn_session_close(struct hn_session *s)
{
    if (!s) return;
    struct hn_own *own = s->own;
    struct hn_mem *m = &s->ctx->mem;
    for (int role = 0; role < HN_ROLES; role++) {
        if (s->bound[role]) s->backend->unbind(s->dev, s->bound[role]);
        for (int i = 0; i < own->n_cache; i++) hn_free(m, own->cache[role][i]);
    }
    for (int role = 0; role < 3; role++) {
        for (int t = 0; t < s->n_targets; t++) {
            if (own->labels[role]) hn_array_close(&own->labels[role][t]);
            if (own->scaled[role]) hn_array_close(&own->scaled[role][t]);
            if (own->weights[role]) hn_free(m, own->weights[role][t]);
        }
        hn_free(m, own->labels[role]);
        hn_free(m, own->scaled[role]);
        hn_free(m, own->weights[role]);
    }
    for (int t = 0; t < s->n_targets; t++) hn_classes_free(&own->classes[t]);
    hn_free(m, own->classes);
    hn_session_close_tables(s);
    close_rows(s);
    hn_scaler_free(&own->scaler);
    hn_program_destroy(s->prog, m);
    if (own->device.backend) hn_device_close(&own->device);
    hn_free(m, own->specs);
    hn_free(m, s->targets);
    hn_arena_clear(&s->arena);
    hn_free(m, own);
    hn_free(m, s);
}
