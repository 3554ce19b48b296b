/* SPDX-License-Identifier: MIT
 *
 * hone_data: opens the files that the parameters name, or wraps arrays of the host. Knows which option feeds which role;
 * the formats are plugin/data's, TensorProto files onnx/tensor's. Nothing is converted here: integers stay integers until
 * a batch is gathered. */
#include "plugin/data_open.h"
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include <string.h>

static const char *const role_prefix[3] = { "", "val-", "test-" };

int64_t hn_role_rows(const struct hn_role_data *r)
{
    return r->n_x ? r->x[0].a.rows : r->n_y ? r->y[0].a.rows : 0;
}

static void role_close(struct hn_role_data *r, struct hn_mem *m)
{
    for (size_t i = 0; i < r->n_x; i++) {
        hn_array_close(&r->x[i].a);
        hn_free(m, r->x[i].value);
    }
    for (size_t i = 0; i < r->n_y; i++) {
        hn_array_close(&r->y[i].a);
        hn_free(m, r->y[i].value);
    }
    hn_free(m, r->x);
    hn_free(m, r->y);
    hn_array_close(&r->group);
}

void hone_data_destroy(hone_data *d)
{
    if (!d) return;
    struct hn_mem *m = &d->ctx->mem;
    for (int i = 0; i < 3; i++) role_close(&d->role[i], m);
    for (int i = 0; i < HN_TABLES; i++) hn_recipe_free(&d->recipe[i]);
    hn_arena_clear(&d->arena);
    hn_free(m, d);
}

/* A place for one more array, zeroed; the list owns it from now on. */
static hone_status add_array(struct hn_mem *m, struct hn_role_data *r, int is_target,
                             const char *value, struct hn_named_array **out, hone_error *err)
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

struct opener {
    hone_context *ctx;
    const hone_model *model;
    const hone_params *params;
    hone_data *d;
    struct hn_csv_options csv, table; /* table: of --data, which may be encoded */
    struct hn_note note;
    int role;
    const char *na[64], *ignore[1024];
};

static struct hn_source source_of(struct opener *o, const char *path)
{
    return (struct hn_source){ o->ctx->io, &o->ctx->mem, path, 0, &o->note };
}

/* Is text the name of one of the model's inputs (outputs)? Without a model any text is. */
static int is_value_name(const struct opener *o, const char *text, size_t n, int is_target)
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

static hone_status open_pb(struct opener *o, struct hn_array *a, const char *path, hone_error *err)
{
    struct hn_tensor_pb pb = { 0 };
    HN_TRY(hn_onnx_read_tensor_pb(&pb, o->ctx->io, &o->ctx->mem, path, 0, err));
    hone_status st = hn_array_wrap(a, &o->ctx->mem, pb.name, &pb.t, 1, err);
    if (st == HONE_OK) st = hn_array_check_finite(a, err);
    hn_onnx_free_tensor_pb(&pb);
    return st;
}

/* One item of --x or --y: FILE or NAME=FILE. */
static hone_status open_item(struct opener *o, const char *item, int is_target, hone_error *err)
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
    hone_status st = add_array(m, &o->d->role[o->role], is_target, value, &a, err);
    hn_free(m, value);
    if (st != HONE_OK) return st;
    struct hn_source src = source_of(o, path);
    st = ends_with(path, ".pb") ? open_pb(o, &a->a, path, err)
                                : hn_array_open(&a->a, &src, a->value, &o->csv, err);
    if (st == HONE_OK && !is_target) a->a.scale = hn_param_f(o->params, "x-scale");
    return st;
}

static hone_status open_list(struct opener *o, const char *name, int is_target, hone_error *err)
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

/* ---- tables: --data with --target, --features, --input, --ignore, --group ------------------------------------ */

enum { MAX_PARTS = 34, MAX_COLUMNS = 16384 };

struct table { /* the parts of one CSV file and where each goes */
    struct hn_csv_part part[MAX_PARTS];
    size_t n;
    char *text[MAX_PARTS]; /* copies of --input items, cut into column names */
    char *value[MAX_PARTS];
    const char **columns; /* room for all column names of all parts */
    size_t n_columns;
};

static void table_free(struct table *t, struct hn_mem *m)
{
    for (size_t i = 0; i < t->n; i++) hn_array_close(&t->part[i].array);
    for (size_t i = 0; i < MAX_PARTS; i++) hn_free(m, t->text[i]);
    hn_free(m, t->columns);
}

static hone_status add_column(struct table *t, const char *name, hone_error *err)
{
    if (t->n_columns == MAX_COLUMNS)
        return hn_fail(err, HONE_E_BUDGET, "data", "more than %d columns are named", MAX_COLUMNS);
    t->columns[t->n_columns++] = name;
    t->part[t->n].columns = t->columns + t->n_columns - ++t->part[t->n].n_columns;
    return HONE_OK;
}

/* A part of the columns a list parameter names. */
static hone_status part_of_list(struct table *t, const hone_params *p, const char *option,
                                enum hn_part_kind kind, hone_error *err)
{
    const char *name;
    t->part[t->n].kind = kind;
    for (size_t i = 0; (name = hone_params_get(p, option, i)); i++)
        HN_TRY(add_column(t, name, err));
    t->n++;
    return HONE_OK;
}

/* --input NAME=COL,COL,… */
static hone_status part_of_input(struct table *t, struct hn_mem *m, const char *item,
                                 hone_error *err)
{
    if (t->n == MAX_PARTS - 2)
        return hn_fail(err, HONE_E_BUDGET, "input", "more than %d inputs are named", MAX_PARTS - 2);
    char *text = t->text[t->n] = hn_strdup(m, item);
    if (!text) return hn_nomem(err, "an input's columns", strlen(item));
    char *eq = strchr(text, '=');
    if (!eq || eq == text || !eq[1])
        return hn_fail(err, HONE_E_USAGE, "input", "found '%s', wanted INPUT=COLUMN,…", item);
    *eq = 0;
    t->value[t->n] = text;
    t->part[t->n].kind = HN_PART_NUMBERS;
    for (char *p = eq + 1; p;) {
        char *comma = strchr(p, ',');
        if (comma) *comma = 0;
        HN_TRY(add_column(t, p, err));
        p = comma ? comma + 1 : NULL;
    }
    t->n++;
    return HONE_OK;
}

static hone_status table_parts(struct opener *o, struct table *t, int *n_inputs, int *has_target,
                               int *has_group, hone_error *err)
{
    const hone_params *p = o->params;
    struct hn_mem *m = &o->ctx->mem;
    const char *item;
    t->columns = hn_calloc(m, MAX_COLUMNS, sizeof *t->columns);
    if (!t->columns) return hn_nomem(err, "column names", MAX_COLUMNS * sizeof *t->columns);
    for (size_t i = 0; (item = hone_params_get(p, "input", i)); i++)
        HN_TRY(part_of_input(t, m, item, err));
    if (t->n == 0) HN_TRY(part_of_list(t, p, "features", HN_PART_NUMBERS, err));
    *n_inputs = (int)t->n;
    *has_target = hone_params_get(p, "target", 0) != NULL;
    if (*has_target) HN_TRY(part_of_list(t, p, "target", HN_PART_VALUES, err));
    const char *group = hn_param_s(p, "group");
    *has_group = group[0] && o->role == HONE_TRAIN;
    if (group[0]) { /* on every file, so that it never becomes a feature */
        t->part[t->n].kind = HN_PART_VALUES;
        HN_TRY(add_column(t, group, err));
        t->n++;
    }
    return HONE_OK;
}

/* Validation and test tables are read as the training table was; that one as the model says, if it does. */
static hone_status find_recipes(struct opener *o, struct table *t, int n_inputs, hone_error *err)
{
    enum hn_dtype real = o->csv.real ? o->csv.real : HN_F32;
    for (int i = 0; i < n_inputs && i < HN_TABLES; i++) {
        if (o->role == HONE_TRAIN)
            HN_TRY(hn_table_known(o->d, o->model, (size_t)i, t->value[i], real, err));
        if (o->d->recipe[i].n_columns) t->part[i].like = &o->d->recipe[i];
    }
    if (o->d->table_known) o->table.keep_missing = 1;
    return HONE_OK;
}

static hone_status open_table(struct opener *o, const char *path, hone_error *err)
{
    struct hn_mem *m = &o->ctx->mem;
    struct table t = { 0 };
    struct hn_role_data *role = &o->d->role[o->role];
    int n_inputs = 0, has_target = 0, has_group = 0;
    hone_status st = table_parts(o, &t, &n_inputs, &has_target, &has_group, err);
    struct hn_source src = source_of(o, path);
    if (st == HONE_OK) st = find_recipes(o, &t, n_inputs, err);
    if (st == HONE_OK) st = hn_csv_read(&src, &o->table, t.part, t.n, err);
    for (size_t i = 0; st == HONE_OK && i < t.n; i++) {
        struct hn_named_array *a;
        int is_target = (int)i >= n_inputs;
        if ((int)i >= n_inputs + has_target) {
            if (!has_group) break;
            role->group = t.part[i].array;
            memset(&t.part[i].array, 0, sizeof t.part[i].array);
            break;
        }
        st = add_array(m, role, is_target, t.value[i], &a, err);
        if (st != HONE_OK) break;
        a->a = t.part[i].array; /* moved, not copied */
        memset(&t.part[i].array, 0, sizeof t.part[i].array);
        if (is_target) continue;
        a->a.scale = hn_param_f(o->params, "x-scale");
        if (o->role == HONE_TRAIN && i < HN_TABLES) st = hn_table_fit(o->d, i, &a->a, err);
    }
    table_free(&t, m);
    return st;
}

/* ---- roles ----------------------------------------------------------------------------------------------------- */

static hone_status check_role(const struct hn_role_data *r, const char *prefix, hone_error *err)
{
    const struct hn_array *first = r->n_x ? &r->x[0].a : r->n_y ? &r->y[0].a : NULL;
    for (size_t i = 0; i < r->n_x; i++) HN_TRY(hn_array_check_rows(&r->x[i].a, first, err));
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

static hone_status open_role(struct opener *o, hone_error *err)
{
    char option[16];
    size_t n = strlen(role_prefix[o->role]);
    memcpy(option, role_prefix[o->role], n);
    memcpy(option + n, "data", 5);
    const char *path = hn_param_s(o->params, option);
    struct hn_role_data *r = &o->d->role[o->role];
    if (path[0]) HN_TRY(open_table(o, path, err));
    size_t from_table = r->n_x;
    HN_TRY(open_list(o, "x", 0, err));
    if (from_table && r->n_x > from_table)
        return hn_fail(err, HONE_E_USAGE, option,
                       "--%s and --%sx are both given; one of them feeds the inputs", option,
                       role_prefix[o->role]);
    HN_TRY(open_list(o, "y", 1, err));
    return check_role(r, role_prefix[o->role], err);
}

static void csv_options(struct opener *o)
{
    const char *header = hn_param_s(o->params, "header"), *item;
    o->csv.header = !strcmp(header, "yes")  ? HN_HEADER_YES
                    : !strcmp(header, "no") ? HN_HEADER_NO
                                            : HN_HEADER_AUTO;
    if (o->model && hn_model_graph((hone_model *)o->model)->dtype == HN_F64) o->csv.real = HN_F64;
    for (size_t i = 0; i < 64 && (item = hone_params_get(o->params, "na", i)); i++)
        o->na[o->csv.n_na++] = item;
    for (size_t i = 0; i < 1024 && (item = hone_params_get(o->params, "ignore", i)); i++)
        o->ignore[o->csv.n_ignore++] = item;
    o->csv.na = o->csv.n_na ? o->na : NULL;
    o->csv.ignore = o->ignore;
}

hone_status hone_data_open(hone_context *ctx, const hone_model *m, const hone_params *params,
                           hone_data **out, hone_error *err)
{
    *out = NULL;
    hone_data *d = hn_calloc(&ctx->mem, 1, sizeof *d);
    struct opener *o = hn_calloc(&ctx->mem, 1, sizeof *o);
    if (!d || !o) {
        hn_free(&ctx->mem, d);
        hn_free(&ctx->mem, o);
        return hn_nomem(err, "the data", sizeof *d + sizeof *o);
    }
    d->ctx = ctx;
    *o = (struct opener){ .ctx = ctx, .model = m, .params = params, .d = d };
    hn_arena_init(&d->arena, &ctx->mem);
    csv_options(o);
    o->table = o->csv;
    hone_status st = hn_table_options(d, params, &o->table, err);
    for (o->role = 0; st == HONE_OK && o->role < 3; o->role++) st = open_role(o, err);
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

/* ---- arrays of the host ------------------------------------------------------------------------------------------ */

static hone_status wrap_one(hone_data *d, hone_role role, const hone_array *h, int is_target,
                            hone_error *err)
{
    struct hn_named_array *a;
    struct hn_tensor t = { .dtype = (enum hn_dtype)h->dtype,
                           .rank = 2,
                           .dims = { h->rows, h->per_row },
                           .data = h->data };
    if (!hn_numel(2, t.dims, &t.n) || (!h->data && t.n) || !hn_dtype_size(t.dtype))
        return hn_fail(err, HONE_E_USAGE, h->name,
                       "an array with %lld rows of %lld elements of type %d", (long long)h->rows,
                       (long long)h->per_row, (int)h->dtype);
    HN_TRY(add_array(&d->ctx->mem, &d->role[role], is_target, h->name, &a, err));
    HN_TRY(hn_array_wrap(&a->a, &d->ctx->mem, h->name ? h->name : "array", &t, 0, err));
    return hn_array_check_finite(&a->a, err);
}

hone_status hone_data_wrap(hone_context *ctx, hone_role role, const hone_array *x, size_t n_x,
                           const hone_array *y, size_t n_y, hone_data **data, hone_error *err)
{
    if (role < HONE_TRAIN || role > HONE_TEST)
        return hn_fail(err, HONE_E_USAGE, "role",
                       "found %d, wanted HONE_TRAIN, HONE_VAL or HONE_TEST", (int)role);
    hone_data *d = *data ? *data : hn_calloc(&ctx->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the data", sizeof *d);
    if (!d->ctx) hn_arena_init(&d->arena, &ctx->mem);
    d->ctx = ctx;
    hone_status st = HONE_OK;
    for (size_t i = 0; st == HONE_OK && i < n_x; i++) st = wrap_one(d, role, &x[i], 0, err);
    for (size_t i = 0; st == HONE_OK && i < n_y; i++) st = wrap_one(d, role, &y[i], 1, err);
    if (st == HONE_OK) st = check_role(&d->role[role], role_prefix[role], err);
    if (st != HONE_OK) {
        if (!*data) hone_data_destroy(d);
        return st;
    }
    *data = d;
    return HONE_OK;
}
