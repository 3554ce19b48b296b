/* SPDX-License-Identifier: MIT
 *
 * --data: one CSV file whose columns become inputs (--features, --input, or each by the name of a column), targets, groups and
 * weights (--target, --group, --sample-weights). */
#include "ops/base/status.h"
#include "plugin/data_own.h"
#include "plugin/session_own.h"
#include <string.h>

enum { MAX_PARTS = HN_TABLES + 4, MAX_COLUMNS = 16384 };

struct table { /* the parts of one CSV file and where each goes */
    struct hn_csv_part part[MAX_PARTS];
    size_t n;
    char *text[MAX_PARTS]; /* copies of --input items, cut into column names */
    char *value[MAX_PARTS];
    int place[MAX_PARTS]; /* 1 + where the input's array went among the role's; 0: nowhere */
    const char **columns; /* room for all column names of all parts */
    size_t n_columns;
    int n_named, n_inputs,
        n_arrays; /* the first parts go by name or not at all, then come other inputs, then a target */
    int group, weight; /* the parts of --group and --sample-weights; -1: none */
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

/* What the input (NULL: the only one) wants its columns as. */
static enum hn_part_kind kind_for(const struct hn_opener *o, const char *input)
{
    const struct hn_graph *g = o->model ? hn_model_graph((hone_model *)(uintptr_t)o->model) : NULL;
    for (size_t i = 0; g && i < g->n_inputs; i++) {
        const struct hn_value *v = &g->values[g->inputs[i]];
        if (input ? !strcmp(v->name, input) : g->n_inputs == 1)
            return v->dtype == HN_STR ? HN_PART_TEXT : HN_PART_NUMBERS;
    }
    return HN_PART_NUMBERS;
}

/* --input NAME=COL,COL,… */
static hone_status part_of_input(const struct hn_opener *o, struct table *t, const char *item,
                                 hone_error *err)
{
    if (t->n == HN_TABLES)
        return hn_fail(err, HONE_E_BUDGET, "input", "more than %d inputs are named", HN_TABLES);
    char *text = t->text[t->n] = hn_strdup(&o->ctx->mem, item);
    if (!text) return hn_nomem(err, "an input's columns", strlen(item));
    char *eq = strchr(text, '=');
    if (!eq || eq == text || !eq[1])
        return hn_fail(err, HONE_E_USAGE, "input", "found '%s', wanted INPUT=COLUMN,…", item);
    *eq = 0;
    t->value[t->n] = text;
    t->part[t->n].kind = kind_for(o, text);
    for (char *p = eq + 1; p;) {
        char *comma = strchr(p, ',');
        if (comma) *comma = 0;
        HN_TRY(add_column(t, p, err));
        p = comma ? comma + 1 : NULL;
    }
    t->n++;
    return HONE_OK;
}

/* Each input from the column of its name, where there are several and every one wants one value; soft: if the table has them all. */
static hone_status parts_by_name(struct hn_opener *o, struct table *t, int soft, hone_error *err)
{
    const struct hn_graph *g = o->model ? hn_model_graph((hone_model *)(uintptr_t)o->model) : NULL;
    if (!g || g->n_inputs < 2 || g->n_inputs > HN_TABLES) return HONE_OK;
    for (size_t i = 0; i < g->n_inputs; i++)
        if (hn_input_per_row(g, i) != 1) return HONE_OK;
    for (size_t i = 0; i < g->n_inputs; i++) {
        const char *name = g->values[g->inputs[i]].name;
        t->value[t->n] = t->text[t->n] = hn_strdup(&o->ctx->mem, name);
        if (!t->value[t->n]) return hn_nomem(err, "an input's column", strlen(name));
        t->part[t->n].kind = kind_for(o, name);
        if (!soft) name = o->d->role[HONE_TRAIN].x[i].a.columns[0].name;
        t->part[t->n].by_name = soft;
        HN_TRY(add_column(t, soft ? t->value[t->n] : name, err));
        t->n++;
    }
    if (soft) t->n_named = (int)t->n;
    return HONE_OK;
}

static enum hn_dtype real_of(const struct hn_opener *o)
{
    return o->csv.real ? o->csv.real : HN_F32;
}

/* A part of the columns that a record, or the training table, has for an input. */
static hone_status part_of_known(const struct hn_opener *o, struct table *t, const char *input,
                                 hone_error *err)
{
    char *text = t->text[t->n] = hn_strdup(&o->ctx->mem, input);
    if (!text) return hn_nomem(err, "an input's name", strlen(input));
    t->value[t->n] = text;
    t->part[t->n++].kind = kind_for(o, input);
    return HONE_OK;
}

/* Is each of several inputs one that a record names columns for: the model's, or of all arrays of the training table? */
static hone_status find_records(struct hn_opener *o, const struct hn_graph *g, int *all,
                                hone_error *err)
{
    const struct hn_role_data *train = &o->d->role[HONE_TRAIN];
    const size_t n = o->role == HONE_TRAIN ? g->n_inputs : train->n_x;
    for (size_t i = 0; i < n && *all; i++) {
        if (o->role == HONE_TRAIN)
            HN_TRY(
                hn_table_known(o->d, o->model, i, g->values[g->inputs[i]].name, real_of(o), err));
        *all = o->d->recipe[i].n_columns && (o->role == HONE_TRAIN || train->x[i].value);
    }
    if (*all || o->role != HONE_TRAIN) return HONE_OK;
    for (size_t i = 0; i < n; i++) hn_recipe_free(&o->d->recipe[i]);
    o->d->table_known = 0;
    return HONE_OK;
}

/* Several inputs, none of which is named. */
static hone_status parts_of_record(struct hn_opener *o, struct table *t, hone_error *err)
{
    const struct hn_graph *g = o->model ? hn_model_graph((hone_model *)(uintptr_t)o->model) : NULL;
    const struct hn_role_data *train = &o->d->role[HONE_TRAIN];
    if (!g || g->n_inputs < 2 || g->n_inputs > HN_TABLES || train->n_x > HN_TABLES ||
        hone_params_get(o->params, "features", 0))
        return HONE_OK;
    int all = 1;
    HN_TRY(find_records(o, g, &all, err));
    const size_t n = o->role == HONE_TRAIN ? g->n_inputs : train->n_x;
    for (size_t i = 0; i < n && all; i++)
        HN_TRY(part_of_known(
            o, t, o->role == HONE_TRAIN ? g->values[g->inputs[i]].name : train->x[i].value, err));
    return HONE_OK;
}

static hone_status input_parts(struct hn_opener *o, struct table *t, hone_error *err)
{
    const hone_params *p = o->params;
    const int first = o->role == HONE_TRAIN || !hn_param_s(p, "data")[0];
    const char *item;
    for (size_t i = 0; (item = hone_params_get(p, "input", i)); i++)
        HN_TRY(part_of_input(o, t, item, err));
    if (!t->n) HN_TRY(parts_of_record(o, t, err));
    if (t->n) return HONE_OK;
    if ((first || o->by_name) && !hone_params_get(p, "features", 0))
        HN_TRY(parts_by_name(o, t, first, err));
    return t->n && !first ? HONE_OK : part_of_list(t, p, "features", kind_for(o, NULL), err);
}

/* A part of one column that is on every file, so that it never becomes a feature. */
static hone_status part_of_column(struct table *t, const char *column, int *part, hone_error *err)
{
    *part = (int)t->n;
    t->part[t->n].kind = HN_PART_VALUES;
    HN_TRY(add_column(t, column, err));
    t->n++;
    return HONE_OK;
}

/* --sample-weights: a column wins over a file of its name. Without a target (prediction) it may be missing. */
static hone_status part_of_weights(struct hn_opener *o, struct table *t, hone_error *err)
{
    const char *text = hn_param_s(o->params, "sample-weights");
    if (!text[0] || (o->role != HONE_TRAIN && !o->weight_column)) return HONE_OK;
    HN_TRY(part_of_column(t, text, &t->weight, err));
    t->part[t->weight].name = HN_WEIGHTS_NAME;
    t->part[t->weight].optional =
        !hone_params_get(o->params, "target", 0) ||
        (o->role == HONE_TRAIN ? hn_opener_is_file(o, text) : hn_opener_weights(o)[0] != 0);
    return HONE_OK;
}

/* --group: the same. */
static hone_status part_of_groups(struct hn_opener *o, struct table *t, hone_error *err)
{
    const char *text = hn_param_s(o->params, "group");
    if (!text[0] || (o->role != HONE_TRAIN && !o->group_column)) return HONE_OK;
    HN_TRY(part_of_column(t, text, &t->group, err));
    t->part[t->group].optional = o->role == HONE_TRAIN && hn_opener_is_file(o, text);
    return HONE_OK;
}

static hone_status table_parts(struct hn_opener *o, struct table *t, hone_error *err)
{
    const hone_params *p = o->params;
    t->columns = hn_calloc(&o->ctx->mem, MAX_COLUMNS, sizeof *t->columns);
    if (!t->columns) return hn_nomem(err, "column names", MAX_COLUMNS * sizeof *t->columns);
    HN_TRY(input_parts(o, t, err));
    t->n_inputs = t->n_arrays = (int)t->n;
    if (o->role == HONE_PRETRAIN) return HONE_OK; /* the rest does not count: ignore_the_rest */
    if (hone_params_get(p, "target", 0)) HN_TRY(part_of_list(t, p, "target", HN_PART_VALUES, err));
    t->n_arrays = (int)t->n;
    HN_TRY(part_of_groups(o, t, err));
    return part_of_weights(o, t, err);
}

/* Rows without targets: what else than a feature a row of --data has may be there, with anything in it, or not. */
static void ignore_the_rest(struct hn_opener *o)
{
    static const char *const options[] = { "target", "group", "sample-weights" };
    const size_t most = sizeof o->ignore / sizeof *o->ignore;
    const char *name;
    for (size_t k = 0; k < sizeof options / sizeof *options; k++)
        for (size_t i = 0; (name = hone_params_get(o->params, options[k], i)); i++)
            if (o->table.n_ignore < most) o->ignore[o->table.n_ignore++] = name;
    o->table.ignore_missing = 1;
}

/* Validation and test tables are read as the training table was; that one as the model says, if it does. --features and
 * --input say which columns, in any case. */
static hone_status find_recipes(struct hn_opener *o, struct table *t, hone_error *err)
{
    for (int i = 0; i < t->n_inputs && i < HN_TABLES; i++) {
        if (o->role == HONE_TRAIN && !o->d->recipe[i].n_columns)
            HN_TRY(hn_table_known(o->d, o->model, (size_t)i, t->value[i], real_of(o), err));
        if (o->d->recipe[i].n_columns) t->part[i].like = &o->d->recipe[i];
    }
    if (o->d->table_known) o->table.keep_missing = 1;
    return HONE_OK;
}

/* Moved, not copied. */
static void take(struct table *t, int part, struct hn_array *out)
{
    *out = t->part[part].array;
    memset(&t->part[part].array, 0, sizeof t->part[part].array);
}

static hone_status take_array(struct hn_opener *o, struct table *t, int i, hone_error *err)
{
    struct hn_named_array *a;
    int is_target = i >= t->n_inputs;
    if (!is_target && t->n_named && (i < t->n_named) != o->by_name) return HONE_OK;
    HN_TRY(hn_role_add(&o->ctx->mem, &o->d->role[o->role], is_target, t->value[i], &a, err));
    take(t, i, &a->a);
    if (is_target) return HONE_OK;
    a->a.scale = hn_param_f(o->params, "x-scale");
    t->place[i] = (int)o->d->role[o->role].n_x;
    return HONE_OK;
}

/* When all of them are there. */
static hone_status settle_arrays(struct hn_opener *o, const struct table *t, hone_error *err)
{
    if (o->role == HONE_TRAIN) HN_TRY(hn_table_share(o->d, o->model, o->params, err));
    for (int i = 0; i < t->n_inputs; i++)
        if (t->place[i] && t->place[i] <= HN_TABLES)
            HN_TRY(hn_table_settle(o->d, (size_t)t->place[i] - 1, o->role, t->part[i].by_order,
                                   &o->d->role[o->role].x[t->place[i] - 1].a, err));
    return HONE_OK;
}

/* After a table that may have fed inputs by name. If it has not, what the model knows of their columns is of no use. */
static void see_names(struct hn_opener *o, const struct table *t)
{
    if (!t->n_named) return;
    o->by_name = t->part[0].array.rows > 0;
    if (o->by_name) {
        hn_note_add(&o->note,
                    "%s: the %d inputs '%s' ... '%s' come from the columns of their names",
                    t->part[0].array.source, t->n_named, t->value[0], t->value[t->n_named - 1]);
        return;
    }
    for (int i = 0; i < t->n_named; i++) hn_recipe_free(&o->d->recipe[i]);
    o->d->table_known = 0;
}

hone_status hn_open_table(struct hn_opener *o, const char *path, hone_error *err)
{
    struct table *t = hn_calloc(&o->ctx->mem, 1, sizeof *t);
    struct hn_role_data *role = &o->d->role[o->role];
    if (!t) return hn_nomem(err, "the parts of a table", sizeof *t);
    t->group = t->weight = -1;
    if (o->role == HONE_PRETRAIN) ignore_the_rest(o);
    hone_status st = table_parts(o, t, err);
    struct hn_source src = hn_opener_source(o, path);
    const int kept = o->role == HONE_TRAIN && hn_param_b(o->params, "with-input");
    o->table.cells = kept ? &o->d->cells : NULL;
    if (o->role != HONE_TRAIN) o->table.n_unknown = 0; /* what came of it is in the recipes */
    if (st == HONE_OK) st = find_recipes(o, t, err);
    if (st == HONE_OK) st = hn_csv_read(&src, &o->table, t->part, t->n, err);
    if (st == HONE_OK) see_names(o, t);
    for (int i = 0; st == HONE_OK && i < t->n_arrays; i++) st = take_array(o, t, i, err);
    if (st == HONE_OK) st = settle_arrays(o, t, err);
    if (st == HONE_OK && t->group >= 0 && o->role == HONE_TRAIN) take(t, t->group, &role->group);
    if (st == HONE_OK && t->weight >= 0 && !hn_opener_weights(o)[0])
        take(t, t->weight, &role->weight);
    if (o->role == HONE_TRAIN) {
        o->weight_column = role->weight.rows > 0;
        o->group_column = role->group.rows > 0;
    }
    table_free(t, &o->ctx->mem);
    hn_free(&o->ctx->mem, t);
    return st;
}
