/* SPDX-License-Identifier: MIT
 *
 * Embeddings and their data: an index outside of its table is an error of the data, found before anything is computed from it. The
 * kernels make rows of NaN of such indices. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

enum { ROWS = 1024 };

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

/* Where the rows of a role come from, for messages. */
static const struct hn_array *source_of(const struct hn_session *s, int role)
{
    const struct hn_own *own = s->own;
    return &own->data->role[role].x[0].a;
}

struct lookup {
    const struct hn_session *s;
    const struct hn_program *prog;
    const struct hn_op *op;
    int role;
};

static hone_status outside(const struct lookup *l, int64_t row, double found, hone_error *err)
{
    char where[48];
    const int64_t rows = ((const struct hn_embedding *)l->op->attrs)->rows;
    const struct hn_array *a = source_of(l->s, l->role);
    return hn_fail(err, HONE_E_DATA, a->source,
                   "%s: found index %g, wanted 0 to %lld: table '%s' has %lld rows",
                   hn_array_row_name(a, row, where), found, (long long)rows - 1,
                   root_of(l->prog, l->op->in[1])->name, (long long)rows);
}

static hone_status check_column(const struct lookup *l, const struct hn_column *c, int64_t n_rows,
                                hone_error *err)
{
    struct hn_mem *m = &l->s->ctx->mem;
    const int64_t rows = ((const struct hn_embedding *)l->op->attrs)->rows;
    const size_t bytes = ROWS * (size_t)c->per_row * sizeof(double);
    double *v = hn_alloc(m, bytes);
    hone_status st = HONE_OK;
    if (!v) return hn_nomem(err, "indices", bytes);
    for (int64_t at = 0; st == HONE_OK && at < n_rows; at += ROWS) {
        const int64_t n = n_rows - at < ROWS ? n_rows - at : ROWS;
        hn_convert_scaled(
            v, HN_F64, (const char *)c->data + (size_t)(at * c->per_row) * hn_dtype_size(c->dtype),
            c->dtype, n * c->per_row, c->scale);
        for (int64_t i = 0; st == HONE_OK && i < n * c->per_row; i++)
            if (hn_table_row(v[i], rows) < 0) st = outside(l, at + i / c->per_row, v[i], err);
    }
    hn_free(m, v);
    return st;
}

hone_status hn_session_check_lookups(const struct hn_session *s, const struct hn_program *prog,
                                     const struct hn_dataset *set, int role, hone_error *err)
{
    for (int i = 0; i < prog->n_ops; i++) {
        const struct lookup l = { s, prog, &prog->ops[i], role };
        if (l.op->row != &hn_op_embedding) continue;
        const struct hn_value_ref *x = root_of(prog, l.op->in[0]);
        if (x->kind == HN_INPUT) HN_TRY(check_column(&l, &set->inputs[x->index], set->rows, err));
    }
    return HONE_OK;
}

hone_status hn_session_check_looked_up(const struct hn_session *s, const struct hn_program *prog,
                                       const struct hn_dataset *cached, int role, hone_error *err)
{
    const struct hn_array *a = source_of(s, role);
    char where[48];
    for (int k = 0; k < cached->n_inputs && hn_program_looks_up(prog); k++) {
        const struct hn_column *c = &cached->inputs[k];
        for (int64_t i = 0; i < c->per_row * cached->rows; i++) {
            const double v = c->dtype == HN_F64 ? ((const double *)c->data)[i]
                                                : (double)((const float *)c->data)[i];
            if (!isnan(v)) continue;
            return hn_fail(
                err, HONE_E_DATA, a->source,
                "%s: '%s' is not a number: is an index outside of the table it is looked up in?",
                hn_array_row_name(a, i / c->per_row, where), prog->output_names[k]);
        }
    }
    return HONE_OK;
}
