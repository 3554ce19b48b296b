/* SPDX-License-Identifier: MIT
 *
 * Embeddings and their data: an index outside of its table, or that is no whole number, is an error of the data, found before anything
 * is computed from it. The kernels make rows of NaN of the former, and cut off the latter's fraction. */
#include "ops/base/format.h"
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

enum { AT_ONCE = 256 }; /* indices looked at together, on the stack */

int hn_program_looks_up(const struct hn_program *p)
{
    for (int i = 0; i < p->n_ops; i++)
        if (p->ops[i].row == &hn_op_embedding) return 1;
    return 0;
}

static const struct hn_value_ref *root_of(const struct hn_program *p, int32_t v)
{
    return &p->values[p->values[v].view_of >= 0 ? p->values[v].view_of : v];
}

struct lookup {
    const struct hn_program *prog;
    const struct hn_op *op;
    const struct hn_array *source; /* of the rows, for messages */
};

static hone_status outside(const struct lookup *l, int64_t row, double found, hone_error *err)
{
    char where[48];
    const int64_t rows = ((const struct hn_embedding *)l->op->attrs)->rows;
    const struct hn_array *a = l->source;
    return hn_fail(err, HONE_E_DATA, a->source,
                   "%s: found index %g, wanted %s0 to %lld: table '%s' has %lld rows",
                   hn_array_row_name(a, row, where), found,
                   found == floor(found) ? "" : "a whole number from ", (long long)rows - 1,
                   root_of(l->prog, l->op->in[1])->name, (long long)rows);
}

static hone_status check_column(const struct lookup *l, const struct hn_column *c, int64_t n_rows,
                                hone_error *err)
{
    const int64_t rows = ((const struct hn_embedding *)l->op->attrs)->rows,
                  all = n_rows * c->per_row;
    double v[AT_ONCE];
    for (int64_t at = 0; at < all; at += AT_ONCE) {
        const int64_t n = all - at < AT_ONCE ? all - at : AT_ONCE;
        hn_convert_scaled(v, HN_F64, (const char *)c->data + (size_t)at * hn_dtype_size(c->dtype),
                          c->dtype, n, c->scale);
        for (int64_t i = 0; i < n; i++)
            if (hn_table_row(v[i], rows) < 0 || v[i] != floor(v[i]))
                return outside(l, (at + i) / c->per_row, v[i], err);
    }
    return HONE_OK;
}

hone_status hn_check_lookups(const struct hn_program *prog, const struct hn_dataset *set,
                             const struct hn_array *source, const struct hn_array *const *of,
                             hone_error *err)
{
    for (int i = 0; i < prog->n_ops; i++) {
        struct lookup l = { prog, &prog->ops[i], source };
        if (l.op->row != &hn_op_embedding) continue;
        const struct hn_value_ref *x = root_of(prog, l.op->in[0]);
        if (x->kind == HN_INPUT && of) l.source = of[x->index];
        if (x->kind == HN_INPUT) HN_TRY(check_column(&l, &set->inputs[x->index], set->rows, err));
    }
    return HONE_OK;
}

/* ---- unknown categories ---- */

struct unknown {
    const struct hn_session *s;
    const struct hn_recipe *recipe;
    const struct hn_array *a;
    int role;
};

static hone_status refuse_unknown(const struct hn_recipe_column *c, const struct hn_lookup *at,
                                  const char *where, const char *row, hone_error *err)
{
    const long long n = (long long)c->raw.n_category;
    char spare[200] = "";
    if (at->rows > n + 1)
        hn_print(spare, sizeof spare, ", or %lld, a row of the table that no category has", n + 1);
    return hn_hint(err,
                   hn_fail(err, row ? HONE_E_DATA : HONE_E_USAGE, where,
                           "%s%scolumn '%.60s' is looked up in table '%.60s' (%lld rows): there "
                           "%g, which unknown categories are to be, is the row of another category",
                           row ? row : "", row ? ", " : "", c->raw.name, at->table,
                           (long long)at->rows, c->raw.unknown_code),
                   "--unknown %.60s=error, or one of its %lld categories, or in training "
                   "infrequent:N%s",
                   c->raw.name, n, spare);
}

static hone_status look_at_unknown(void *user, const struct hn_lookup *at, hone_error *err)
{
    const struct unknown *u = user;
    const struct hn_recipe_column *c = NULL;
    char row[48];
    for (int64_t j = 0; j < u->recipe->n_columns; j++)
        if (u->recipe->columns[j].first == at->element) c = &u->recipe->columns[j];
    if (!c || c->raw.encoding != HN_ENCODE_ORDINAL || c->raw.unknown != HN_UNKNOWN_CODE ||
        c->raw.unknown_code >= 0)
        return HONE_OK;
    const struct hn_own *own = u->s->own;
    if (at->changed) {
        if (own->use == HN_USE_TRAIN && u->role == HONE_TRAIN && hn_session_says(own))
            hn_log(u->s->ctx, HONE_LOG_WARNING,
                   "column '%.60s': unknown categories are %g, of which the model computes an "
                   "index of table '%.60s': is that a row which no category has?",
                   c->raw.name, c->raw.unknown_code, at->table);
        return HONE_OK;
    }
    if (own->use == HN_USE_TRAIN) return refuse_unknown(c, at, "unknown", NULL, err);
    for (int64_t i = 0; i < u->a->rows; i++)
        if (hn_array_at(u->a, i, at->element) == c->raw.unknown_code)
            return refuse_unknown(c, at, u->a->source, hn_array_row_name(u->a, i, row), err);
    return HONE_OK;
}

hone_status hn_check_unknown(const struct hn_session *s, size_t input, int role, size_t k,
                             hone_error *err)
{
    const struct hn_own *own = s->own;
    if (k >= HN_TABLES || !own->data->role[role].x[k].a.columns) return HONE_OK;
    struct unknown u = { .s = s,
                         .recipe =
                             own->recipe[k].n_columns ? &own->recipe[k] : &own->given->recipe[k],
                         .a = &own->data->role[role].x[k].a,
                         .role = role };
    struct hn_lookups each = { look_at_unknown, &u };
    int below = 0;
    for (int64_t j = 0; j < u.recipe->n_columns; j++) {
        const struct hn_table_column *c = &u.recipe->columns[j].raw;
        below |= c->encoding == HN_ENCODE_ORDINAL && c->unknown == HN_UNKNOWN_CODE &&
                 c->unknown_code < 0;
    }
    return below ? hn_model_lookups(s->model, input, &each, err) : HONE_OK;
}

hone_status hn_check_looked_up(const struct hn_program *prog, const struct hn_dataset *cached,
                               const struct hn_array *source, hone_error *err)
{
    char where[48];
    for (int k = 0; k < cached->n_inputs && hn_program_looks_up(prog); k++) {
        const struct hn_column *c = &cached->inputs[k];
        for (int64_t i = 0; i < c->per_row * cached->rows; i++) {
            const double v = c->dtype == HN_F64 ? ((const double *)c->data)[i]
                                                : (double)((const float *)c->data)[i];
            if (!isnan(v)) continue;
            return hn_fail(
                err, HONE_E_DATA, source->source,
                "%s: '%s' is not a number: is an index outside of the table it is looked up in?",
                hn_array_row_name(source, i / c->per_row, where), prog->output_names[k]);
        }
    }
    return HONE_OK;
}
