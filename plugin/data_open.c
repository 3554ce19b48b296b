/* SPDX-License-Identifier: MIT
 *
 * hone_data: opens the files that the parameters name. Knows which option feeds which role;
 * the formats are plugin/data's, TensorProto files onnx/tensor's. Nothing is converted here: integers stay integers until
 * a batch is gathered. */
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include "plugin/data/foreign.h"
#include "plugin/data_own.h"
#include "plugin/plugins.h"
#include <string.h>

static const char *const role_prefix[HN_ROLES] = { "", "val-", "test-", "pretrain-" };

int64_t hn_role_rows(const struct hn_role_data *r)
{
    return r->n_x ? r->x[0].a.rows : r->n_y ? r->y[0].a.rows : 0;
}

static void cut(struct hn_named_array *list, size_t *n, size_t keep, struct hn_mem *m)
{
    for (; *n > keep; --*n) {
        hn_array_close(&list[*n - 1].a);
        hn_free(m, list[*n - 1].value);
    }
}

void hn_role_keep(struct hn_mem *m, struct hn_role_data *r, size_t n_x, size_t n_y)
{
    cut(r->x, &r->n_x, n_x, m);
    cut(r->y, &r->n_y, n_y, m);
}

static void role_close(struct hn_role_data *r, struct hn_mem *m)
{
    hn_role_keep(m, r, 0, 0);
    hn_free(m, r->x);
    hn_free(m, r->y);
    hn_array_close(&r->group);
    hn_array_close(&r->weight);
}

void hone_data_destroy(hone_data *d)
{
    if (!d) return;
    struct hn_mem *m = &d->ctx->mem;
    for (int i = 0; i < HN_ROLES; i++) role_close(&d->role[i], m);
    for (int i = 0; i < HN_TABLES; i++) hn_recipe_free(&d->recipe[i]);
    hn_cells_close(d->cells);
    hn_arena_clear(&d->arena);
    hn_free(m, d);
}

hone_status hn_role_add(struct hn_mem *m, struct hn_role_data *r, int is_target, const char *value,
                        struct hn_named_array **out, hone_error *err)
{
    struct hn_named_array a = { 0 };
    if (value && !(a.value = hn_strdup(m, value)))
        return hn_nomem(err, "the name of a data array", strlen(value));
    int ok =
        is_target ? HN_PUSH(m, r->y, r->n_y, r->cap_y, a) : HN_PUSH(m, r->x, r->n_x, r->cap_x, a);
    if (!ok) {
        hn_free(m, a.value);
        return hn_nomem(err, "the list of data arrays", sizeof a);
    }
    *out = is_target ? &r->y[r->n_y - 1] : &r->x[r->n_x - 1];
    return HONE_OK;
}

struct hn_source hn_opener_source(struct hn_opener *o, const char *path)
{
    return (struct hn_source){ o->ctx->io, &o->ctx->mem, path, 0, &o->note, o->ctx->readers };
}

/* Is text the name of one of the model's inputs (outputs)? Without a model any text is. */
static int is_value_name(const struct hn_opener *o, const char *text, size_t n, int is_target)
{
    if (!o->model) return 1;
    const struct hn_graph *g = hn_model_graph((hone_model *)o->model);
    size_t count = is_target ? g->n_outputs : g->n_inputs;
    const int32_t *list = is_target ? g->outputs : g->inputs;
    for (size_t i = 0; i < count; i++) {
        const char *name = g->values[list[i]].name;
        if (strlen(name) == n && !memcmp(name, text, n)) return 1;
    }
    return 0;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static hone_status open_pb(struct hn_opener *o, struct hn_array *a, const char *path,
                           hone_error *err)
{
    struct hn_tensor_pb pb = { 0 };
    HN_TRY(hn_onnx_read_tensor_pb(&pb, o->ctx->io, &o->ctx->mem, path, 0, err));
    hone_status st = hn_array_wrap(a, &o->ctx->mem, pb.name, &pb.t, 1, err);
    const char *source = st == HONE_OK ? hn_arena_strdup(&a->arena, path) : NULL;
    if (source) a->source = source; /* for messages */
    if (st == HONE_OK && !source) st = hn_nomem(err, "a file's name", strlen(path));
    if (st == HONE_OK) st = hn_array_check_finite(a, err);
    hn_onnx_free_tensor_pb(&pb);
    return st;
}

/* One item of --x or --y: FILE or NAME=FILE. */
static hone_status open_item(struct hn_opener *o, const char *item, int is_target, hone_error *err)
{
    struct hn_mem *m = &o->ctx->mem;
    const char *eq = strchr(item, '='), *path = item;
    char *value = NULL;
    if (eq && is_value_name(o, item, (size_t)(eq - item), is_target)) {
        path = eq + 1;
        value = hn_alloc(m, (size_t)(eq - item) + 1);
        if (!value) return hn_nomem(err, "an input's name", (size_t)(eq - item) + 1);
        memcpy(value, item, (size_t)(eq - item));
        value[eq - item] = 0;
    }
    struct hn_named_array *a;
    hone_status st = hn_role_add(m, &o->d->role[o->role], is_target, value, &a, err);
    hn_free(m, value);
    if (st != HONE_OK) return st;
    struct hn_source src = hn_opener_source(o, path);
    st = ends_with(path, ".pb") ? open_pb(o, &a->a, path, err)
                                : hn_array_open(&a->a, &src, a->value, &o->csv, err);
    if (st == HONE_OK && !is_target) a->a.scale = hn_param_f(o->params, "x-scale");
    return st;
}

static hone_status open_list(struct hn_opener *o, const char *name, int is_target, hone_error *err)
{
    char option[16];
    size_t n = strlen(role_prefix[o->role]);
    memcpy(option, role_prefix[o->role], n);
    memcpy(option + n, name, strlen(name) + 1);
    const char *item;
    for (size_t i = 0; (item = hone_params_get(o->params, option, i)); i++)
        HN_TRY(open_item(o, item, is_target, err));
    return HONE_OK;
}

/* ---- weights of rows --------------------------------------------------------------------------------------------- */

int hn_opener_is_file(const struct hn_opener *o, const char *text)
{
    char path[4096];
    const char *key = strstr(text, ".npz:"), *foreign = hn_foreign_key(o->ctx->readers, text);
    size_t n = foreign ? (size_t)(foreign - text) - 1
               : key   ? (size_t)(key - text) + 4
                       : strlen(text);
    if (n >= sizeof path) return 0;
    memcpy(path, text, n);
    path[n] = 0;
    return !strcmp(text, "-") || hn_path_exists(o->ctx->io, path);
}

const char *hn_opener_weights(const struct hn_opener *o)
{
    static const char *const option[HN_ROLES] = { "", "val-sample-weights", "test-sample-weights",
                                                  "" };
    return !option[o->role][0] ? "" : hn_param_s(o->params, option[o->role]);
}

static hone_status check_weights_file(const struct hn_opener *o, const char *path, hone_error *err)
{
    const char *prefix = role_prefix[o->role];
    char option[32];
    if (!path[0] || o->role == HONE_TRAIN) return HONE_OK;
    memcpy(option, prefix, strlen(prefix));
    memcpy(option + strlen(prefix), "sample-weights", sizeof "sample-weights");
    if (!hn_param_s(o->params, "sample-weights")[0])
        return hn_fail(err, HONE_E_USAGE, option,
                       "found no --sample-weights: what is judged by would not be what is learned");
    if (!o->d->role[o->role].n_x)
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, option,
                               "found no --%sdata or --%sx whose rows it could weigh", prefix,
                               prefix),
                       "the rows of a split have their weights in --sample-weights");
    return HONE_OK;
}

/* Behind the table, which may have had them as a column. */
static hone_status open_weights(struct hn_opener *o, hone_error *err)
{
    struct hn_role_data *r = &o->d->role[o->role];
    const char *train = hn_param_s(o->params, "sample-weights"),
               *path = o->role == HONE_TRAIN ? train : hn_opener_weights(o);
    HN_TRY(check_weights_file(o, path, err));
    if (!train[0] || !r->n_x || !r->n_y) return HONE_OK; /* no loss, nothing to weigh */
    if (!r->weight.rows && !path[0]) {
        hn_log(o->ctx, HONE_LOG_NOTE, "no --%ssample-weights: every %s row has weight 1",
               role_prefix[o->role], o->role == HONE_VAL ? "validation" : "test");
        return HONE_OK;
    }
    struct hn_source src = hn_opener_source(o, path);
    struct hn_csv_options csv = o->csv;
    csv.n_ignore = 0; /* columns of --data */
    if (!r->weight.rows && ends_with(path, ".pb"))
        HN_TRY(open_pb(o, &r->weight, path, err));
    else if (!r->weight.rows)
        HN_TRY(hn_array_open(&r->weight, &src, HN_WEIGHTS_NAME, &csv, err));
    return hn_array_check_weights(&r->weight, &r->x[0].a, err);
}

static hone_status open_groups(struct hn_opener *o, hone_error *err)
{
    struct hn_role_data *r = &o->d->role[o->role];
    const char *path = hn_param_s(o->params, "group");
    if (o->role != HONE_TRAIN || !path[0] || !r->n_x || !r->n_y || r->group.rows) return HONE_OK;
    struct hn_source src = hn_opener_source(o, path);
    struct hn_csv_options csv = o->csv;
    csv.n_ignore = 0;  /* columns of --data */
    csv.real = HN_F64; /* long numbers stay apart */
    r->group_apart = 1;
    if (ends_with(path, ".pb"))
        HN_TRY(open_pb(o, &r->group, path, err));
    else
        HN_TRY(hn_array_open(&r->group, &src, HN_GROUPS_NAME, &csv, err));
    return hn_array_check_groups(&r->group, &r->x[0].a, err);
}

/* ---- roles ----------------------------------------------------------------------------------------------------- */

/* Which graph input the role's x array i feeds; -1: not known here. */
static int64_t input_of(const struct hn_graph *g, const struct hn_role_data *r, size_t i)
{
    const char *name = r->x[i].value;
    if (!name || !name[0]) return i < g->n_inputs ? (int64_t)i : -1;
    for (size_t k = 0; k < g->n_inputs; k++)
        if (!strcmp(g->values[g->inputs[k]].name, name)) return (int64_t)k;
    return -1;
}

static hone_status repeat_row(struct hn_array *a, struct hn_mem *m, int64_t rows, hone_error *err)
{
    struct hn_tensor t = { .dtype = a->dtype, .rank = 2, .dims = { rows, a->per_row } };
    struct hn_array all = { 0 };
    const size_t row = (size_t)a->per_row * hn_dtype_size(a->dtype);
    int64_t bytes;
    if (!hn_numel(2, t.dims, &t.n) || !hn_mul_i64(rows, (int64_t)row, &bytes))
        return hn_nomem(err, a->source, 0);
    char *v = hn_alloc(m, (size_t)bytes);
    if (!v) return hn_nomem(err, a->source, (size_t)bytes);
    for (int64_t i = 0; i < rows; i++) memcpy(v + (size_t)i * row, a->data, row);
    t.data = v;
    hone_status st = hn_array_wrap(&all, m, a->name, &t, 1, err);
    const char *source = st == HONE_OK ? hn_arena_strdup(&all.arena, a->source) : NULL;
    if (st == HONE_OK && !source) st = hn_nomem(err, "a file's name", strlen(a->source));
    hn_free(m, v);
    if (st != HONE_OK) {
        hn_array_close(&all);
        return st;
    }
    all.source = source, all.scale = a->scale;
    hn_array_close(a);
    *a = all;
    return HONE_OK;
}

/* One row of an input that is one for all, such as the mean that Keras' Normalization takes, once for each row of the others. */
static hone_status spread_rows(struct hn_opener *o, struct hn_role_data *r, hone_error *err)
{
    const struct hn_graph *g = o->model ? hn_model_graph((hone_model *)o->model) : NULL;
    int64_t rows = 0;
    for (size_t i = 0; i < r->n_x; i++)
        if (r->x[i].a.rows > rows) rows = r->x[i].a.rows;
    for (size_t i = 0; g && rows > 1 && i < r->n_x; i++) {
        struct hn_array *a = &r->x[i].a;
        const int64_t k = input_of(g, r, i);
        if (a->rows == 1 && a->dtype != HN_STR && k >= 0 && hn_input_is_one_row(g, (size_t)k))
            HN_TRY(repeat_row(a, &o->ctx->mem, rows, err));
    }
    return HONE_OK;
}

/* As many rows of this input as of the first. */
static hone_status check_input_rows(const struct hn_array *a, const struct hn_array *first,
                                    hone_error *err)
{
    const hone_status st = hn_array_check_rows(a, first, err);
    if (st == HONE_OK || (a->rows != 1 && first->rows != 1)) return st;
    return hn_hint(err, st,
                   "what is one for all rows is repeated for each (numpy.repeat), or becomes an "
                   "initializer of the model");
}

hone_status hn_role_check(const struct hn_role_data *r, hone_role role, hone_error *err)
{
    const char *prefix = role_prefix[role];
    const struct hn_array *first = r->n_x ? &r->x[0].a : r->n_y ? &r->y[0].a : NULL;
    for (size_t i = 0; i < r->n_x; i++) HN_TRY(check_input_rows(&r->x[i].a, first, err));
    for (size_t i = 0; i < r->n_y; i++) HN_TRY(hn_array_check_rows(first, &r->y[i].a, err));
    if (!r->n_x && r->n_y)
        return hn_hint(
            err, hn_fail(err, HONE_E_USAGE, "y", "--%sy is given without --%sx", prefix, prefix),
            "inputs and targets come together");
    if (first && first->rows > UINT32_MAX)
        return hn_fail(err, HONE_E_BUDGET, first->source, "%lld rows, at most %lld can be used",
                       (long long)first->rows, (long long)UINT32_MAX);
    if (first && first->rows == 0) return hn_fail(err, HONE_E_DATA, first->source, "has no rows");
    return HONE_OK;
}

static hone_status open_role(struct hn_opener *o, hone_error *err)
{
    char option[16];
    size_t n = strlen(role_prefix[o->role]);
    memcpy(option, role_prefix[o->role], n);
    memcpy(option + n, "data", 5);
    const char *path = hn_param_s(o->params, option);
    struct hn_role_data *r = &o->d->role[o->role];
    if (path[0]) HN_TRY(hn_open_table(o, path, err));
    size_t from_table = r->n_x;
    HN_TRY(open_list(o, "x", 0, err));
    HN_TRY(spread_rows(o, r, err));
    if (from_table && r->n_x > from_table)
        return hn_fail(err, HONE_E_USAGE, option,
                       "--%s and --%sx are both given; one of them feeds the inputs", option,
                       role_prefix[o->role]);
    if (o->role != HONE_PRETRAIN) HN_TRY(open_list(o, "y", 1, err));
    HN_TRY(hn_role_check(r, (hone_role)o->role, err));
    HN_TRY(open_weights(o, err));
    return open_groups(o, err);
}

static void csv_options(struct hn_opener *o)
{
    const char *header = hn_param_s(o->params, "header"), *item;
    o->csv.header = !strcmp(header, "yes")  ? HN_HEADER_YES
                    : !strcmp(header, "no") ? HN_HEADER_NO
                                            : HN_HEADER_AUTO;
    o->csv.decimal = hn_param_s(o->params, "decimal")[0];
    if (o->model && hn_model_graph((hone_model *)o->model)->dtype == HN_F64) o->csv.real = HN_F64;
    for (size_t i = 0; i < 64 && (item = hone_params_get(o->params, "na", i)); i++)
        o->na[o->csv.n_na++] = item;
    for (size_t i = 0; i < 1024 && (item = hone_params_get(o->params, "ignore", i)); i++)
        o->ignore[o->csv.n_ignore++] = item;
    o->csv.na = o->csv.n_na ? o->na : NULL;
    o->csv.ignore = o->ignore;
}

static hone_status open_data(hone_context *ctx, const hone_model *m, const hone_params *params,
                             hone_data **out, hone_error *err)
{
    *out = NULL;
    HN_TRY(hn_plugins_open(ctx, params, err));
    hone_data *d = hn_calloc(&ctx->mem, 1, sizeof *d);
    struct hn_opener *o = hn_calloc(&ctx->mem, 1, sizeof *o);
    if (!d || !o) {
        hn_free(&ctx->mem, d);
        hn_free(&ctx->mem, o);
        return hn_nomem(err, "the data", sizeof *d + sizeof *o);
    }
    d->ctx = ctx;
    *o = (struct hn_opener){ .ctx = ctx, .model = m, .params = params, .d = d };
    hn_arena_init(&d->arena, &ctx->mem);
    csv_options(o);
    o->table = o->csv;
    hone_status st = hn_table_options(d, params, m, &o->table, err);
    for (o->role = 0; st == HONE_OK && o->role < HN_ROLES; o->role++) st = open_role(o, err);
    if (st == HONE_OK && !d->role[HONE_TRAIN].n_x)
        st = hn_hint(err, hn_fail(err, HONE_E_USAGE, "data", "no data were given"),
                     "--data FILE.csv --target COLUMN, or --x FILE --y FILE");
    if (st == HONE_OK && o->note.text[0]) hn_log(ctx, HONE_LOG_NOTE, "%s", o->note.text);
    hn_free(&ctx->mem, o);
    if (st != HONE_OK) {
        hone_data_destroy(d);
        return st;
    }
    *out = d;
    return HONE_OK;
}

hone_status hone_data_open(hone_context *ctx, const hone_model *m, const hone_params *params,
                           hone_data **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, open_data(ctx, m, params, out, err), err);
}
