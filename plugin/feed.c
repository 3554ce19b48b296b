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

int64_t hn_input_per_row(const struct hn_graph *g, size_t i)
{
    const struct hn_value *v = &g->values[g->inputs[i]];
    if (!v->shape_known) return 0;
    int64_t n = 1;
    for (int d = 0; d < v->shape.rank; d++)
        if (d > 0 || !(v->shape.d[0].per_row || g->fixed_batch)) n *= v->shape.d[d].fixed;
    if (v->shape.rank && v->shape.d[0].per_row > 1) n *= v->shape.d[0].per_row;
    return n;
}

int hn_input_is_one_row(const struct hn_graph *g, size_t i)
{
    const struct hn_value *v = &g->values[g->inputs[i]];
    int open = 0;
    for (size_t k = 0; k < g->n_inputs; k++) {
        const struct hn_value *other = &g->values[g->inputs[k]];
        open |= other->decl_rank >= 1 && other->decl_dims[0] <= 0;
    }
    return open && v->decl_rank >= 2 && v->decl_dims[0] == 1;
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

/* Of columns that do not fit: how to say which are meant. A model with several inputs has one column for each, or is told. */
static hone_status hint_columns(const struct hn_graph *g, size_t input, const struct hn_array *a,
                                hone_status st, hone_error *err)
{
    const char *name = g->values[g->inputs[input]].name;
    if (g->n_inputs < 2) return hn_hint(err, st, "--features or --ignore choose among the columns");
    for (size_t i = 0; i < g->n_inputs; i++) {
        const char *other = g->values[g->inputs[i]].name;
        int64_t j = 0;
        while (j < a->per_row && strcmp(a->columns[j].name, other) != 0 &&
               !hn_is_spelled(a->columns[j].name, other))
            j++;
        if (j == a->per_row)
            return hn_hint(err, st,
                           "--input %s=COLUMN,… names the columns of an input, once for each of "
                           "the %zu: not all of them have a column of their name, such as '%s'",
                           name, g->n_inputs, other);
    }
    return hn_hint(err, st, "--input %s=COLUMN,… names the columns of an input, once for each",
                   name);
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
        int64_t want = hn_input_per_row(g, i);
        if (a->dtype == HN_STR)
            return hn_fail(err, HONE_E_DATA, a->source, "input '%s' wants numbers, found text",
                           name);
        if (!want || a->per_row == want) {
            HN_TRY(check_factor(s, i, a, err));
            HN_TRY(hn_check_unknown(s, i, role, (size_t)k, err));
            if (g->values[g->inputs[i]].dtype != HN_STR)
                HN_TRY(hn_session_check_categories(s, i, a, NULL, err));
            continue;
        }
        hone_status st =
            hn_fail(err, HONE_E_DATA, a->source, "a row has %lld values, input '%s' wants %lld",
                    (long long)a->per_row, name, (long long)want);
        return a->columns ? hint_columns(g, i, a, st, err) : st;
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

/* ---- the head over a data set ------------------------------------------------------------------------------------------- */

static hone_status head_over(struct hn_head *h, const struct hn_dataset *raw, void *const *cache,
                             hone_error *err)
{
    struct hn_session *s = h->s;
    void *bound;
    hone_status st = HONE_OK;
    HN_TRY(s->backend->bind(s->dev, raw, &bound, err));
    for (int64_t at = 0; st == HONE_OK && at < raw->rows; at += h->rows) {
        void *out[HN_HEAD_OUTPUTS];
        int64_t n = raw->rows - at < h->rows ? raw->rows - at : h->rows;
        for (int i = 0; i < h->prog->n_outputs; i++) {
            struct hn_dim c = hn_shape_count(&h->prog->values[h->prog->outputs[i]].shape);
            out[i] = (char *)cache[i] + (size_t)(at * c.per_row) * s->backend->elem;
        }
        st = hn_head_run(h, bound, at, n, out, err);
    }
    s->backend->unbind(s->dev, bound);
    return st;
}

/* ---- data sets -------------------------------------------------------------------------------------------------------- */

/* What is finite in the file's type may not be in that of the program. */
static hone_status check_range(const struct hn_session *s, const struct hn_array *a, double factor,
                               hone_error *err)
{
    struct hn_array used = *a; /* looked at only */
    used.scale = factor;
    return hn_array_check_range(&used, s->backend->elem == 8 ? HN_F64 : HN_F32, err);
}

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
        const struct hn_array *a = &r->x[hn_session_input_array(s, role, i)].a;
        x[i] = column_of(a);
        if (own->spared[i]) x[i].scale = 1;
        HN_TRY(check_range(s, a, x[i].scale, err));
    }
    for (size_t t = 0; t < n_y; t++) {
        const struct hn_array *a = hn_session_target_array(s, role, (int)t);
        if (!a)
            return hn_fail(err, HONE_E_USAGE, s->targets[t].output_name,
                           "the %s data have no target for this output",
                           role == HONE_TRAIN ? "training"
                           : role == HONE_VAL ? "validation"
                                              : "test");
        int64_t want = s->targets[t].dense ? s->targets[t].per_row : s->targets[t].places;
        if (a->dtype == HN_STR || a->per_row != want)
            return hn_fail(err, HONE_E_DATA, a->source,
                           "a row has %lld targets, output '%s' wants %lld", (long long)a->per_row,
                           s->targets[t].output_name, (long long)want);
        HN_TRY(check_range(s, a, a->scale, err));
        y[n++] = column_of(a);
        if (own->specs[t].row_weights) y[n++] = hn_session_weight_column(s, role, (int)t);
    }
    *set = (struct hn_dataset){ hn_role_rows(r), (int)g->n_inputs, n, x, y };
    *out = set;
    return HONE_OK;
}

static hone_status cached_set(struct hn_session *s, struct hn_head *h, int role,
                              struct hn_dataset *set, hone_error *err)
{
    struct hn_own *own = s->own;
    int n = h->prog->n_outputs;
    struct hn_column *x = hn_arena_alloc(&s->arena, (size_t)n + 1, sizeof *x);
    if (!x) return hn_nomem(err, "the head's columns", sizeof *x);
    own->n_cache = n;
    for (int i = 0; i < n; i++) {
        int64_t per_row;
        HN_TRY(hn_head_per_row(h, i, &per_row, err));
        size_t bytes = (size_t)(per_row * set->rows) * s->backend->elem;
        own->cache[role][i] = hn_alloc(&s->ctx->mem, bytes);
        if (!own->cache[role][i]) return hn_nomem(err, "the frozen head's outputs", bytes);
        x[i] = (struct hn_column){ own->cache[role][i], s->backend->elem == 8 ? HN_F64 : HN_F32,
                                   per_row, 1 };
    }
    HN_TRY(head_over(h, set, own->cache[role], err));
    set->inputs = x;
    set->n_inputs = n;
    return HONE_OK;
}

static hone_status build_sets(struct hn_session *s, struct hn_head *h, hone_error *err)
{
    const struct hn_own *own = s->own;
    const size_t n_inputs = hn_model_graph(s->model)->n_inputs;
    const struct hn_array **of = hn_arena_alloc(&s->arena, n_inputs + 1, sizeof *of);
    if (!of) return hn_nomem(err, "the inputs", n_inputs * sizeof *of);
    for (int role = 0; role < HN_ROLES; role++) {
        if (!own->data->role[role].n_x || s->rows[role].n == 0 || s->set_of[role] != role) continue;
        const struct hn_array *source = &own->data->role[role].x[0].a;
        HN_TRY(raw_set(s, role, &s->sets[role], err));
        for (size_t i = 0; i < n_inputs; i++)
            of[i] = &own->data->role[role].x[hn_session_input_array(s, role, i)].a;
        if (h->prog) {
            HN_TRY(hn_check_lookups(h->prog, s->sets[role], source, of, err));
            HN_TRY(cached_set(s, h, role, s->sets[role], err));
            HN_TRY(hn_check_looked_up(h->prog, s->sets[role], source, err));
        }
        HN_TRY(hn_check_lookups(s->prog, s->sets[role], source, h->prog ? NULL : of, err));
        HN_TRY(s->backend->bind(s->dev, s->sets[role], &s->bound[role], err));
    }
    return HONE_OK;
}

hone_status hn_session_feed(struct hn_session *s, hone_error *err)
{
    struct hn_head h;
    hone_status st = hn_head_open(&h, s, HEAD_ROWS, err);
    if (st == HONE_OK) st = build_sets(s, &h, err);
    hn_head_close(&h);
    return st;
}
