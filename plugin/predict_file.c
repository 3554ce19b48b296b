/* SPDX-License-Identifier: MIT
 *
 * The files of hone_predict. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/predict.h"
#include <math.h>
#include <string.h>

/* The axes behind the rows as the model has them: all of an output's, those beside the classes for labels made of scores. */
static int axes_of(const struct hn_predictor *p, const struct hn_predicted *c, int64_t *dims)
{
    const struct hn_program *prog = p->s->prog;
    const struct hn_shape *y = &prog->values[prog->outputs[c->output]].shape;
    const int to_labels = p->argmax && !c->discrete;
    const int rank = to_labels ? (c->places > 1 ? y->rank - 1 : 1) : y->rank;
    const int skip = to_labels && c->first;
    int64_t n = 1;
    for (int i = 1; i < rank; i++) n *= dims[i - 1] = y->d[i + skip].fixed;
    if (y->rank > 0 && y->d[0].per_row == 1 && n == c->width) return rank - 1;
    dims[0] = c->width;
    return 1;
}

static struct hn_tensor whole(const struct hn_predictor *p, const struct hn_predicted *c)
{
    struct hn_tensor t = {
        .dtype = c->dtype, .dims = { p->rows }, .n = p->rows * c->width, .data = c->all
    };
    t.rank = 1 + axes_of(p, c, t.dims + 1);
    return t;
}

/* What goes in front of a CSV's outputs: the table's cells, or the arrays that were read, or nothing. */
struct front {
    struct hn_cells *cells;
    const struct hn_named_array *x, *given; /* as they are computed with, and as they were read */
    size_t n_x;
    int64_t n; /* columns */
};

static const struct hn_array *array_of(const struct front *f, size_t i)
{
    return f->given[i].a.dtype == HN_STR ? &f->given[i].a : &f->x[i].a;
}

static struct front with_input(const struct hn_predictor *p)
{
    const struct hn_own *own = p->s->own;
    const struct hn_role_data *r = &own->data->role[HONE_TRAIN];
    struct front f = { 0 };
    if (!hn_param_b(p->params, "with-input")) return f;
    if (own->given->cells) return (struct front){ .cells = own->given->cells };
    f.x = r->x, f.n_x = r->n_x;
    f.given = own->given->role[HONE_TRAIN].x;
    for (size_t i = 0; i < f.n_x; i++) f.n += array_of(&f, i)->per_row;
    return f;
}

static hone_status front_names(struct hn_predictor *p, struct front *f, const char *const **out,
                               hone_error *err)
{
    struct hn_arena *a = &p->s->arena;
    int64_t at = 0;
    if (f->cells) return hn_cells_begin(f->cells, out, &f->n, err);
    const char **names = hn_arena_alloc(a, (size_t)f->n + 1, sizeof *names);
    if (!names) return hn_nomem(err, "column names", (size_t)f->n * sizeof *names);
    for (size_t i = 0; i < f->n_x; i++) {
        const struct hn_array *x = array_of(f, i);
        for (int64_t j = 0; j < x->per_row; j++, at++) {
            names[at] =
                x->columns ? x->columns[j].name : hn_arena_printf(a, "x%lld", (long long)at);
            if (!names[at]) return hn_nomem(err, "column names", 64);
        }
    }
    *out = names;
    return HONE_OK;
}

/* An output's column beside a table that has one of this name already. */
static const char *other_name(struct hn_arena *a, const char *name, const char *const *taken,
                              int64_t n)
{
    for (int64_t j = 0; name && j < n; j++)
        if (!strcmp(taken[j], name)) name = hn_arena_printf(a, "predicted_%s", name), j = -1;
    return name;
}

/* Names of a CSV's columns: the output's, with a class or a number behind it where a row has several values. */
static hone_status output_names(struct hn_predictor *p, const char *const *taken, int64_t n_taken,
                                const char ***out, int64_t *n, hone_error *err)
{
    struct hn_arena *a = &p->s->arena;
    int64_t count = 0, at = 0;
    for (int k = 0; k < p->n_col; k++) count += p->col[k].width;
    const char **names = hn_arena_alloc(a, (size_t)count + 1, sizeof *names);
    if (!names) return hn_nomem(err, "column names", (size_t)count * sizeof *names);
    for (int k = 0; k < p->n_col; k++) {
        const struct hn_predicted *c = &p->col[k];
        for (int64_t j = 0; j < c->width; j++, at++) {
            names[at] = c->width == 1 ? c->name
                        : c->classes && c->width == c->n_classes
                            ? hn_arena_printf(a, "%s_%s", c->name, c->classes[j])
                            : hn_arena_printf(a, "%s_%lld", c->name, (long long)j);
            const char *name = other_name(a, names[at], taken, n_taken);
            if (!name) return hn_nomem(err, "column names", 64);
            if (name != names[at])
                hn_log(p->s->ctx, HONE_LOG_NOTE,
                       "the table has a column '%s': the output's is called '%s'", names[at], name);
            names[at] = name;
        }
    }
    *out = names;
    *n = count;
    return HONE_OK;
}

static hone_status write_cell(const struct hn_predictor *p, struct hn_sink *sink,
                              const struct hn_predicted *c, const struct hn_tensor *t, int64_t i,
                              hone_error *err)
{
    if (t->dtype == HN_STR) return hn_csv_write_cell(sink, ((const char *const *)t->data)[i], err);
    if (p->argmax && c->classes)
        return hn_csv_write_cell(sink, c->classes[(int64_t)hn_tensor_f64(t, i)], err);
    return hn_csv_write_number(sink, t, i, err);
}

static hone_status write_numbers(const struct hn_predictor *p, const struct front *f,
                                 struct hn_sink *sink, int64_t row, hone_error *err)
{
    float single;
    double number;
    struct hn_tensor input = { .n = 1, .dtype = HN_F64, .data = &number };
    if (p->s->backend->elem == 4) input.dtype = HN_F32, input.data = &single;
    for (size_t i = 0; i < f->n_x; i++) {
        const struct hn_array *x = array_of(f, i);
        for (int64_t j = 0; j < x->per_row; j++) {
            if (i || j) HN_TRY(sink->write(sink, ",", 1, err));
            if (x->dtype == HN_STR) {
                const char *const *text = x->data;
                HN_TRY(hn_csv_write_cell(sink, text[row * x->per_row + j], err));
                continue;
            }
            number = hn_array_at(x, row, j);
            single = (float)number;
            HN_TRY(hn_csv_write_number(sink, &input, 0, err));
        }
    }
    return HONE_OK;
}

static hone_status write_row(const struct hn_predictor *p, const struct front *f,
                             struct hn_sink *sink, const struct hn_tensor *t, int64_t row,
                             hone_error *err)
{
    int64_t written = f->n;
    HN_TRY(f->cells ? hn_cells_write_row(f->cells, sink, err)
                    : write_numbers(p, f, sink, row, err));
    for (int k = 0; k < p->n_col; k++)
        for (int64_t j = 0; j < p->col[k].width; j++) {
            if (written++) HN_TRY(sink->write(sink, ",", 1, err));
            HN_TRY(write_cell(p, sink, &p->col[k], &t[k], row * p->col[k].width + j, err));
        }
    return sink->write(sink, "\n", 1, err);
}

static hone_status write_header(struct hn_predictor *p, struct front *f, struct hn_sink *sink,
                                hone_error *err)
{
    const char *const *front = NULL, **names = NULL;
    int64_t n = 0;
    HN_TRY(front_names(p, f, &front, err));
    HN_TRY(output_names(p, front, f->n, &names, &n, err));
    if (f->cells) HN_TRY(hn_cells_write_names(f->cells, sink, err));
    for (int64_t j = 0; j < f->n && !f->cells; j++) {
        if (j) HN_TRY(sink->write(sink, ",", 1, err));
        HN_TRY(hn_csv_write_cell(sink, front[j], err));
    }
    if (f->n) HN_TRY(sink->write(sink, ",", 1, err));
    return hn_csv_write_names(sink, names, n, err);
}

static hone_status write_csv(struct hn_predictor *p, struct hn_sink *sink, hone_error *err)
{
    struct front f = with_input(p);
    struct hn_tensor t[HN_PREDICT_OUTPUTS];
    HN_TRY(write_header(p, &f, sink, err));
    for (int k = 0; k < p->n_col; k++) t[k] = whole(p, &p->col[k]);
    for (int64_t i = 0; i < p->rows; i++) HN_TRY(write_row(p, &f, sink, t, i, err));
    return HONE_OK;
}

/* What class number k is in an array: its label where that is a number, else k. */
static enum hn_dtype label_numbers(const struct hn_predicted *c, double *number)
{
    enum hn_dtype type = HN_I64;
    int numeric = c->classes != NULL;
    for (int64_t k = 0; numeric && k < c->n_classes; k++) {
        numeric = hn_parse_double(c->classes[k], strlen(c->classes[k]), &number[k]);
        if (numeric && !(number[k] == floor(number[k]) && fabs(number[k]) <= 0x1p53)) type = HN_F64;
    }
    for (int64_t k = 0; !numeric && k < c->n_classes; k++) number[k] = (double)k;
    return numeric ? type : HN_I64;
}

/* The classes of every row as numbers, in t->data. */
static hone_status class_array(struct hn_predictor *p, const struct hn_predicted *c,
                               struct hn_tensor *t, hone_error *err)
{
    struct hn_arena *a = &p->s->arena;
    struct hn_tensor numbers = whole(p, c);
    double *number = hn_arena_alloc(a, (size_t)c->n_classes, sizeof *number);
    int64_t *out = hn_arena_alloc(a, (size_t)numbers.n + 1, sizeof *out);
    if (!number || !out) return hn_nomem(err, "the classes", (size_t)numbers.n * sizeof *out);
    *t = numbers;
    t->dtype = label_numbers(c, number);
    t->data = out;
    for (int64_t i = 0; i < numbers.n; i++) {
        double label = number[(int64_t)hn_tensor_f64(&numbers, i)];
        if (t->dtype == HN_I64)
            out[i] = (int64_t)label;
        else
            ((double *)(void *)out)[i] = label;
    }
    return HONE_OK;
}

static hone_status write_arrays(struct hn_predictor *p, struct hn_sink *sink, int npz,
                                hone_error *err)
{
    struct hn_tensor t[HN_PREDICT_OUTPUTS];
    const char *names[HN_PREDICT_OUTPUTS];
    for (int k = 0; k < p->n_col; k++) {
        if (p->argmax && !p->col[k].discrete)
            HN_TRY(class_array(p, &p->col[k], &t[k], err));
        else
            t[k] = whole(p, &p->col[k]);
        names[k] = p->col[k].name;
    }
    if (!npz) return hn_npy_write(sink, &t[0], err);
    return hn_npz_write(sink, &p->s->ctx->mem, names, t, (size_t)p->n_col, err);
}

static int has_end(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

int hn_predict_one_array(const char *path) { return has_end(path, ".npy"); }

hone_status hn_predict_check_path(const hone_params *params, const struct hn_io *io,
                                  const char *path, hone_error *err)
{
    if (!has_end(path, ".csv") && !has_end(path, ".npy") && !has_end(path, ".npz"))
        return hn_fail(err, HONE_E_USAGE, path, "wanted a name that ends in .csv, .npy or .npz");
    if (hn_path_exists(io, path) && !hn_param_b(params, "force"))
        return hn_hint(err, hn_fail(err, HONE_E_USAGE, path, "exists already"),
                       "--force replaces it");
    if (hn_param_b(params, "with-input") && !has_end(path, ".csv"))
        return hn_fail(err, HONE_E_USAGE, "with-input", "is for .csv, the output is '%s'", path);
    return HONE_OK;
}

hone_status hn_predict_write(struct hn_predictor *p, const char *path, hone_error *err)
{
    if (p->n_col > 1 && has_end(path, ".npy"))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, path,
                               "a .npy file holds one array, the model has %d outputs", p->n_col),
                       "--output NAME, or write a .npz");
    struct hn_atomic a = { 0 };
    HN_TRY(hn_atomic_begin(&a, p->s->ctx->io, &p->s->ctx->mem, path, err));
    hone_status st = has_end(path, ".csv") ? write_csv(p, &a.sink, err)
                                           : write_arrays(p, &a.sink, has_end(path, ".npz"), err);
    if (st == HONE_OK) st = hn_atomic_commit(&a, err);
    if (st != HONE_OK) hn_atomic_abort(&a);
    return st;
}
