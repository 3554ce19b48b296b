/* SPDX-License-Identifier: MIT
 *
 * Tables: their columns' names, and --encode and --impute, from options to numbers. Which columns there are, which are encoded,
 * and with which categories, is settled when the training table is opened; what fills missing cells is computed over the
 * training rows of a session, so that validation rows and the other folds have no say. All of it travels with the model as
 * hone.table, with what missing cells look like (--na), and other tables are read by it: validation and test rows of the same
 * run, and those of later commands. */
#include "ops/base/format.h"
#include "ops/base/status.h"
#include "plugin/data/data.h"
#include "plugin/session_own.h"
#include "plugin/table_rules.h"
#include <math.h>
#include <string.h>

#define META_TABLE "hone.table"
enum { NAMES_MAX_BYTES = 1 << 20 };

/* ---- when data are opened ------------------------------------------------------------------------------------------------ */

/* COL=onehot|ordinal; the last '=' counts, so that a column's name may hold one. */
static hone_status read_item(struct hn_arena *a, const char *item, struct hn_encode *out,
                             hone_error *err)
{
    const char *eq = strrchr(item, '=');
    if (!eq || eq == item || (strcmp(eq + 1, "onehot") && strcmp(eq + 1, "ordinal")))
        return hn_fail(err, HONE_E_USAGE, "encode",
                       "found '%s', wanted COLUMN=onehot or COLUMN=ordinal", item);
    char *column = hn_arena_strdup(a, item);
    if (!column) return hn_nomem(err, "a column's name", strlen(item));
    column[eq - item] = 0;
    out->column = column;
    out->encoding = eq[1] == 'o' && eq[2] == 'n' ? HN_ENCODE_ONEHOT : HN_ENCODE_ORDINAL;
    return HONE_OK;
}

static hone_status keep_markers(hone_data *d, struct hn_markers m, hone_error *err)
{
    const char **text = hn_arena_alloc(&d->arena, m.n + 1, sizeof *text);
    int ok = text != NULL;
    for (size_t i = 0; ok && i < m.n; i++)
        ok = (text[i] = hn_arena_strdup(&d->arena, m.text[i])) != NULL;
    if (!ok) return hn_nomem(err, "the list of missing cells", m.n * sizeof *text);
    d->markers = (struct hn_markers){ text, m.n };
    return HONE_OK;
}

static void say_markers(hone_data *d, struct hn_markers m)
{
    char list[200] = "";
    for (size_t i = 0, at = 0; i < m.n && at + 1 < sizeof list; i++)
        at += hn_print(list + at, sizeof list - at, "%s'%.40s'", i ? ", " : "", m.text[i]);
    hn_log(d->ctx, HONE_LOG_WARNING,
           "--na counts; by the model's record of its training table missing cells are %s", list);
}

/* Numbers of --data are written as the option says, else as those that the model learned from. */
static void find_decimal(hone_data *d, const hone_params *p, const hone_model *m,
                         struct hn_csv_options *o)
{
    if (!hn_param_s(p, "data")[0]) return;
    const char *text = m ? hn_model_metadata(m, META_TABLE) : NULL,
               known = text ? hn_decimal_read(text) : '.';
    const int given = hone_params_is_set(p, "decimal");
    if (!given) o->decimal = known, o->decimal_kept = 1;
    d->decimal = o->decimal;
    d->table_changed |= o->decimal != known;
    if (text && o->decimal != known)
        hn_log(d->ctx, HONE_LOG_WARNING,
               "--decimal counts; the model's record of its training table has '%c'", known);
}

/* Missing cells look as the options say, else as those that the model learned from. */
static hone_status find_markers(hone_data *d, const hone_params *p, const hone_model *m,
                                struct hn_csv_options *o, hone_error *err)
{
    const char *text = m && hn_param_s(p, "data")[0] ? hn_model_metadata(m, META_TABLE) : NULL;
    struct hn_markers known = { 0 }, given = { o->na, o->n_na };
    if (text) HN_TRY(hn_markers_read(&known, &d->arena, text, err));
    if (!given.n && known.n) {
        o->na = known.text, o->n_na = known.n;
        d->markers = known;
        return HONE_OK;
    }
    if (!given.n) return HONE_OK;
    if (text && !known.n) known = hn_markers_usual();
    d->table_changed = text && !hn_markers_same(given, known);
    if (d->table_changed) say_markers(d, known);
    return hn_markers_same(given, hn_markers_usual()) ? HONE_OK : keep_markers(d, given, err);
}

static hone_status fill_options(hone_data *d, const hone_params *p, struct hn_csv_options *o,
                                hone_error *err)
{
    struct hn_impute_rules rules;
    HN_TRY(hn_impute_rules_read(&rules, &d->arena, p, err));
    const char **filled = hn_arena_alloc(&d->arena, rules.n + 1, sizeof *filled);
    if (!filled) return hn_nomem(err, "the columns to fill", rules.n * sizeof *filled);
    for (size_t i = 0; i < rules.n; i++)
        if (rules.rule[i].column) filled[o->n_filled++] = rules.rule[i].column;
    o->filled = filled;
    o->keep_missing = rules.n > 0;
    return HONE_OK;
}

hone_status hn_table_options(hone_data *d, const hone_params *p, const hone_model *m,
                             struct hn_csv_options *o, hone_error *err)
{
    const char *item;
    const size_t n = hn_param_count(p, "encode");
    HN_TRY(fill_options(d, p, o, err));
    HN_TRY(hn_unknown_rules_read(o, &d->arena, p, err));
    const int asked = n || o->keep_missing;
    if ((asked || o->n_unknown) && !hn_param_s(p, "data")[0])
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE,
                               n       ? "encode"
                               : asked ? "impute"
                                       : "unknown",
                               "is for columns of --data, and none is given"),
                       "--data FILE.csv --target COLUMN");
    struct hn_encode *list = hn_arena_alloc(&d->arena, n + 1, sizeof *list);
    if (!list) return hn_nomem(err, "the encodings", n * sizeof *list);
    for (size_t i = 0; (item = hone_params_get(p, "encode", i)); i++)
        HN_TRY(read_item(&d->arena, item, &list[i], err));
    o->encode = list, o->n_encode = n;
    d->table_asked = asked;
    HN_TRY(find_markers(d, p, m, o, err));
    find_decimal(d, p, m, o);
    return HONE_OK;
}

/* The recipe that came with the model for the input that x array i feeds; none when the options ask for another. */
hone_status hn_table_known(hone_data *d, const hone_model *m, size_t i, const char *input,
                           enum hn_dtype real, hone_error *err)
{
    struct hn_recipe *r = &d->recipe[i];
    const struct hn_graph *g = m ? hn_model_graph((hone_model *)(uintptr_t)m) : NULL;
    const char *text = m && !d->table_asked ? hn_model_metadata(m, META_TABLE) : NULL;
    if (!text || (!input && g->n_inputs != 1)) return HONE_OK;
    HN_TRY(hn_recipe_read(r, &d->ctx->mem, text, input ? input : g->values[g->inputs[0]].name, real,
                          err));
    if (!r->n_columns) hn_recipe_free(r);
    d->table_known |= r->any;
    return HONE_OK;
}

static void say_columns(const hone_data *d, hone_log_level level, const struct hn_recipe *r,
                        const struct hn_array *a, const char *what)
{
    hn_log(d->ctx, level, "%s: the model learned from '%.40s' to '%.40s'; '%.40s' to '%.40s' %s",
           a->source, r->columns[0].raw.name, r->columns[r->n_columns - 1].raw.name,
           a->columns[0].name, a->columns[a->per_row - 1].name, what);
}

static int same_columns(const struct hn_recipe *r, const struct hn_array *a)
{
    if (r->n_columns != a->per_row) return 0;
    for (int64_t j = 0; j < a->per_row; j++)
        if (strcmp(r->columns[j].raw.name, a->columns[j].name) != 0) return 0;
    return 1;
}

/* The array's names are not the recipe's: which of them counts from here on. */
static hone_status settle_names(hone_data *d, size_t i, int role, int by_order, struct hn_array *a,
                                hone_error *err)
{
    struct hn_recipe *r = &d->recipe[i];
    if (!by_order)
        say_columns(d, HONE_LOG_WARNING, r, a, "are taken as --features and --input name them");
    else if (a->named)
        say_columns(d, HONE_LOG_WARNING, r, a, "stand for them in their order");
    if (role == HONE_TRAIN && (a->named || !by_order)) {
        d->table_changed = 1;
        return hn_recipe_suit(r, a, by_order, err);
    }
    for (int64_t j = 0; j < a->per_row; j++)
        if (!(a->columns[j].name = hn_arena_strdup(&a->arena, r->columns[j].raw.name)))
            return hn_nomem(err, "a column name", 0);
    return HONE_OK;
}

/* --unknown counts: from here on it is what the model knows. */
static void settle_unknown(hone_data *d, struct hn_recipe *r, const struct hn_array *a)
{
    for (int64_t j = 0; j < r->n_columns; j++) {
        struct hn_table_column *known = &r->columns[j].raw;
        const struct hn_table_column *found = &a->columns[j];
        if (known->unknown == found->unknown &&
            (known->unknown != HN_UNKNOWN_CODE || known->unknown_code == found->unknown_code))
            continue;
        if (known->unknown != HN_UNKNOWN_ERROR)
            hn_log(d->ctx, HONE_LOG_WARNING,
                   "--unknown counts; the model's record has another choice for column '%.40s'",
                   known->name);
        known->unknown = found->unknown, known->unknown_code = found->unknown_code;
        d->table_changed = 1;
    }
}

/* A table was read: the training table's columns are what the other files are read by. */
hone_status hn_table_settle(hone_data *d, size_t i, int role, int by_order, struct hn_array *a,
                            hone_error *err)
{
    struct hn_recipe *r = &d->recipe[i];
    struct hn_recipe_fitting f = { .table = a };
    if (r->n_columns) {
        if (!same_columns(r, a)) HN_TRY(settle_names(d, i, role, by_order, a, err));
        if (role == HONE_TRAIN) settle_unknown(d, r, a);
        return HONE_OK;
    }
    if (role != HONE_TRAIN || (!d->table_asked && !a->named)) return HONE_OK;
    d->table_changed = 1;
    return hn_recipe_fit(r, &d->ctx->mem, &f, err);
}

/* ---- in a session -------------------------------------------------------------------------------------------------------- */

/* Fills from this session's training rows, or those that came with the model. */
static hone_status fit(struct hn_session *s, size_t i, const struct hn_impute_rules *rules,
                       struct hn_recipe *out, hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_array *a = &own->data->role[HONE_TRAIN].x[i].a;
    struct hn_recipe_fitting f = { .table = a };
    if (s->set_of[HONE_TRAIN] == HONE_TRAIN)
        f.rows = s->rows[HONE_TRAIN].rows, f.n_rows = s->rows[HONE_TRAIN].n;
    f.rules = rules->rule, f.n_rules = rules->n;
    return hn_recipe_fit(out, &s->ctx->mem, &f, err);
}

static hone_status make_role(struct hn_session *s, int role, size_t i, const struct hn_recipe *r,
                             hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_array *a = &own->data->role[role].x[i].a;
    if (!a->columns)
        return hn_fail(err, HONE_E_USAGE, a->source,
                       "is no table, but the training data are one with encoded columns");
    return hn_recipe_make(r, a, &own->table.role[role].x[i].a, err);
}

/* The session's own view of the data: x arrays may be others, all else is shared. */
hone_status hn_session_share_data(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    own->table = *own->data;
    for (int role = 0; role < HN_ROLES; role++) {
        struct hn_role_data *r = &own->table.role[role];
        if (!r->n_x) continue;
        struct hn_named_array *x = hn_arena_alloc(&s->arena, r->n_x, sizeof *x);
        if (!x) return hn_nomem(err, "the tables", r->n_x * sizeof *x);
        memcpy(x, r->x, r->n_x * sizeof *x);
        r->x = x;
    }
    return HONE_OK;
}

/* Unknown categories that are to be missing cells need what stands for one; a category that no row has learns nothing. */
static hone_status check_recipe(const struct hn_session *s, const struct hn_recipe *r,
                                hone_error *err)
{
    for (int64_t j = 0; j < r->n_columns; j++) {
        const struct hn_recipe_column *c = &r->columns[j];
        if (c->raw.unknown == HN_UNKNOWN_MISSING && isnan(c->fill))
            return hn_hint(err,
                           hn_fail(err, HONE_E_USAGE, "unknown",
                                   "unknown categories of column '%.60s' are to be missing cells, "
                                   "and nothing stands for those",
                                   c->raw.name),
                           "--impute %.60s=missing|most|CATEGORY", c->raw.name);
        if (c->untaught && hn_session_says(s->own))
            hn_log(
                s->ctx, HONE_LOG_NOTE,
                "column '%.60s' misses nothing in the training rows: the category of its missing "
                "cells learns nothing",
                c->raw.name);
    }
    return HONE_OK;
}

hone_status hn_session_tables(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    hone_data *d = own->data;
    struct hn_impute_rules rules;
    if (!d->table_asked && !d->table_known) return HONE_OK;
    HN_TRY(hn_impute_rules_read(&rules, &s->arena, s->params, err));
    HN_TRY(hn_impute_rules_name(&rules, d->role[HONE_TRAIN].x, d->role[HONE_TRAIN].n_x, err));
    HN_TRY(hn_session_share_data(s, err));
    for (size_t i = 0; i < d->role[HONE_TRAIN].n_x && i < HN_TABLES; i++) {
        struct hn_recipe *r = &own->recipe[i];
        if (!d->recipe[i].n_columns || d->role[HONE_TRAIN].x[i].a.dtype == HN_STR) continue;
        if (d->table_asked) HN_TRY(fit(s, i, &rules, r, err));
        const struct hn_recipe *use = d->table_asked ? r : &d->recipe[i];
        if (!use->any) continue;
        HN_TRY(check_recipe(s, use, err));
        for (int role = 0; role < HN_ROLES; role++)
            if (i < d->role[role].n_x) HN_TRY(make_role(s, role, i, use, err));
    }
    own->data = &own->table;
    return HONE_OK;
}

void hn_session_close_tables(struct hn_session *s)
{
    struct hn_own *own = s->own;
    for (size_t i = 0; i < HN_TABLES; i++) hn_recipe_free(&own->recipe[i]);
    for (int role = 0; role < HN_ROLES && own->table.ctx; role++) {
        struct hn_role_data *r = &own->table.role[role];
        for (size_t i = 0; i < r->n_x; i++)
            if (r->x[i].a.data != own->given->role[role].x[i].a.data) hn_array_close(&r->x[i].a);
    }
}

static hone_status write_record(struct hn_session *s, struct hn_buffer *b, int *any,
                                hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_graph *g = hn_model_graph(s->model);
    const hone_data *d = own->given;
    *any = d->markers.n > 0 || d->decimal == ',';
    for (size_t i = 0; i < g->n_inputs; i++) {
        int k = hn_session_input_array(s, HONE_TRAIN, i);
        if (k < 0 || k >= HN_TABLES) continue;
        const struct hn_recipe *r = own->recipe[k].n_columns ? &own->recipe[k] : &d->recipe[k];
        if (r->n_columns) HN_TRY(hn_recipe_write(b, g->values[g->inputs[i]].name, r, err));
        *any |= r->any;
    }
    if (b->n && d->markers.n) HN_TRY(hn_markers_write(b, d->markers, err));
    return hn_decimal_write(b, d->decimal, err);
}

/* Into the model's metadata, so that the exported file knows its table. Names alone are left out where they are too many. */
hone_status hn_session_write_tables(struct hn_session *s, hone_error *err)
{
    const hone_data *d = ((const struct hn_own *)s->own)->given;
    struct hn_buffer b;
    int any;
    if (!d->table_asked && !d->table_changed) return HONE_OK;
    hn_buffer_init(&b, &s->ctx->mem);
    hone_status st = write_record(s, &b, &any, err);
    const int stays = b.n && (any || b.n <= NAMES_MAX_BYTES);
    if (b.n && !stays)
        hn_log(
            s->ctx, HONE_LOG_NOTE,
            "the names of the table's columns (%zu bytes) are too long to travel with the model, "
            "which takes %d: it goes by their order",
            b.n, (int)NAMES_MAX_BYTES);
    if (st == HONE_OK && (stays || hn_model_metadata(s->model, META_TABLE)))
        st = hn_model_set_metadata(s->model, META_TABLE, stays ? b.p : NULL, err);
    hn_buffer_free(&b);
    return st;
}
