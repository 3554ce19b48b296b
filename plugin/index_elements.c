/* SPDX-License-Identifier: MIT
 *
 * Which elements of an input's rows are indices of embeddings or categories: numbers that must not be scaled, and that some encoders must know. Followed through what moves elements or
 * works on them one by one. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "ops/math/row.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

struct tracer {
    struct hn_arena arena;
    const struct hn_program *p;
    int32_t **
        from; /* per value: for each element of a row, 1 + the input's element that it is, 0: another's; NULL: nothing is known */
    uint8_t *changed; /* per value: computed from those elements, not they themselves */
    int32_t input;
    hone_error *err;
};

static int64_t per_row(const struct tracer *t, int32_t v)
{
    const struct hn_dim n = hn_shape_count(&t->p->values[v].shape);
    return n.per_row > 0 && n.fixed == 0 ? n.per_row : 0;
}

/* What a value's elements are: its own list, or, of a view, its root's. */
static const int32_t *list_of(const struct tracer *t, int32_t v)
{
    const int32_t root = t->p->values[v].view_of;
    if (t->from[v]) return t->from[v];
    return root >= 0 && per_row(t, root) == per_row(t, v) ? t->from[root] : NULL;
}

static int is_changed(const struct tracer *t, int32_t v)
{
    return !t->from[v] && t->p->values[v].view_of >= 0 ? t->changed[t->p->values[v].view_of]
                                                       : t->changed[v];
}

static int32_t *new_list(struct tracer *t, int32_t v)
{
    t->from[v] = hn_arena_alloc(&t->arena, (size_t)per_row(t, v) + 1, sizeof **t->from);
    return t->from[v];
}

/* Rows [outer, dim, inner] of a value around an axis behind the first. */
struct blocks {
    int64_t outer, dim, inner;
};
static struct blocks blocks_of(const struct tracer *t, int32_t v, int axis)
{
    const struct hn_shape *s = &t->p->values[v].shape;
    struct blocks b = { 1, s->d[axis].fixed, 1 };
    for (int i = 1; i < axis; i++) b.outer *= s->d[i].fixed;
    for (int i = axis + 1; i < s->rank; i++) b.inner *= s->d[i].fixed;
    return b;
}

static int moves(const struct tracer *t, int32_t v, int axis)
{
    const struct hn_shape *s = &t->p->values[v].shape;
    return axis > 0 && s->rank > 0 && s->d[0].per_row == 1 && s->d[0].fixed == 0;
}

static hone_status trace_slice(struct tracer *t, const struct hn_op *op)
{
    const struct hn_slice *a = op->attrs;
    const int32_t *x = list_of(t, op->in[0]);
    if (!x || !moves(t, op->in[0], a->axis)) return HONE_OK;
    const struct blocks b = blocks_of(t, op->in[0], a->axis);
    int32_t *y = new_list(t, op->out[0]);
    if (!y) return hn_nomem(t->err, "the indices", 0);
    for (int64_t o = 0; o < b.outer; o++)
        for (int64_t k = 0; k < a->len; k++)
            for (int64_t i = 0; i < b.inner; i++)
                *y++ = x[(o * b.dim + a->start + k * a->step) * b.inner + i];
    return HONE_OK;
}

static hone_status trace_concat(struct tracer *t, const struct hn_op *op)
{
    const struct hn_concat *a = op->attrs;
    for (int k = 0; k < op->n_in; k++)
        if (!list_of(t, op->in[k]) || !moves(t, op->in[k], a->axis)) return HONE_OK;
    int32_t *y = new_list(t, op->out[0]);
    if (!y) return hn_nomem(t->err, "the indices", 0);
    const int64_t outer = blocks_of(t, op->out[0], a->axis).outer;
    for (int64_t o = 0; o < outer; o++)
        for (int k = 0; k < op->n_in; k++) {
            const struct blocks b = blocks_of(t, op->in[k], a->axis);
            const int64_t n = b.dim * b.inner;
            memcpy(y, list_of(t, op->in[k]) + o * n, (size_t)n * sizeof *y);
            y += n;
        }
    return HONE_OK;
}

static int keeps(const struct hn_op *op)
{
    if (op->row != &hn_op_unary) return op->row != &hn_op_binary;
    const enum hn_unary_kind kind = ((const struct hn_unary *)op->attrs)->kind;
    return kind == HN_U_COPY || kind == HN_U_TRUNC;
}

/* Element by element: as the operand that follows the rows. */
static void trace_element(struct tracer *t, const struct hn_op *op)
{
    for (int k = 0; k < op->n_in; k++)
        if (op->in[k] >= 0 && list_of(t, op->in[k]) &&
            per_row(t, op->in[k]) == per_row(t, op->out[0]))
            t->from[op->out[0]] = (int32_t *)(uintptr_t)list_of(t, op->in[k]);
}

static hone_status trace(struct tracer *t, const struct hn_op *op)
{
    for (int k = 0; k < op->n_out; k++) {
        t->changed[op->out[k]] = (uint8_t)!keeps(op);
        for (int i = 0; i < op->n_in; i++)
            t->changed[op->out[k]] |= (uint8_t)(op->in[i] >= 0 && is_changed(t, op->in[i]));
    }
    if (op->row == &hn_op_slice) return trace_slice(t, op);
    if (op->row == &hn_op_concat) return trace_concat(t, op);
    if (op->row == &hn_op_unary || op->row == &hn_op_binary) trace_element(t, op);
    return HONE_OK;
}

/* Every input's elements are its own or another's. */
static hone_status begin(struct tracer *t)
{
    t->from = hn_arena_alloc(&t->arena, (size_t)t->p->n_values + 1, sizeof *t->from);
    t->changed = hn_arena_alloc(&t->arena, (size_t)t->p->n_values + 1, 1);
    if (!t->from || !t->changed) return hn_nomem(t->err, "the indices", 0);
    for (int i = 0; i < t->p->n_inputs; i++) {
        int32_t *list = new_list(t, t->p->inputs[i]);
        if (!list) return hn_nomem(t->err, "the indices", 0);
        for (int64_t k = 0; i == t->input && k < per_row(t, t->p->inputs[i]); k++)
            list[k] = (int32_t)k + 1;
    }
    return HONE_OK;
}

static int root_kind(const struct tracer *t, int32_t v)
{
    const int32_t root = t->p->values[v].view_of;
    return (int)t->p->values[root >= 0 ? root : v].kind;
}

/* Does node n of the file ask which integer, or which of its keys, something is? */
static int names_integers(const struct hn_graph *g, const struct hn_node *n)
{
    if (!strcmp(n->type, "OneHotEncoder") || !strcmp(n->type, "LabelEncoder")) return 1;
    return !strcmp(n->type, "Equal") && n->n_in == 2 && n->in[0] >= 0 &&
           (g->values[n->in[0]].dtype == HN_I64 || g->values[n->in[0]].dtype == HN_I32);
}

/* The operand that an op takes for indices or categories, else -1. */
static int32_t categories(const struct tracer *t, const struct hn_graph *g, const struct hn_op *op)
{
    if (op->row == &hn_op_embedding || op->row == &hn_op_onehot) return op->in[0];
    if (op->row != &hn_op_binary || ((const struct hn_binary *)op->attrs)->kind != HN_B_EQUAL)
        return -1;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].index == op->node && names_integers(g, &g->nodes[i]))
            return op->in[root_kind(t, op->in[0]) == HN_CONST];
    return -1;
}

/* Whether there is anything to trace: most models look nothing up. */
static int looks_up(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        if (names_integers(g, n)) return 1;
        const int at = !strcmp(n->type, "Gather") ? 1 : !strncmp(n->type, "OneHot", 6) ? 0 : -1;
        if (at >= 0 && n->n_in > at && n->in[at] >= 0 && !g->values[n->in[at]].constant) return 1;
    }
    return 0;
}

/* visit for every op that takes indices or categories, once it is known which elements of the input these are. */
struct visitor {
    hone_status (*visit)(struct tracer *t, const struct hn_op *op, int32_t v, void *user);
    void *user;
};

static hone_status trace_input(hone_model *m, size_t input, const struct visitor *each,
                               hone_error *err)
{
    const struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1, .labels = 1 };
    struct hn_program *p = NULL;
    struct tracer t = { .input = (int32_t)input, .err = err };
    HN_TRY(hn_lower(hn_model_graph(m), &opts, &p, err));
    hn_arena_init(&t.arena, &hn_model_context(m)->mem);
    t.p = p;
    hone_status st = begin(&t);
    for (int i = 0; st == HONE_OK && i < p->n_ops; i++) {
        const struct hn_op *op = &p->ops[i];
        st = trace(&t, op);
        const int32_t v = categories(&t, hn_model_graph(m), op);
        if (st == HONE_OK && v >= 0) st = each->visit(&t, op, v, each->user);
    }
    hn_arena_clear(&t.arena);
    hn_program_destroy(p, &hn_model_context(m)->mem);
    return st;
}

/* ---- which elements are indices ------------------------------------------------------------------------------------------- */

struct marks {
    uint8_t *is;
    int64_t n;
};

static hone_status mark(struct tracer *t, const struct hn_op *op, int32_t v, void *user)
{
    const struct marks *m = user;
    const int32_t *x = list_of(t, v);
    if (!x)
        return hn_fail(
            t->err, HONE_E_UNSUPPORTED, op->name,
            "which elements of the inputs are indices here cannot be told: they cannot be "
            "left out of scaling");
    for (int64_t k = 0; k < per_row(t, v); k++)
        if (x[k] > 0 && x[k] <= m->n) m->is[x[k] - 1] = 1;
    return HONE_OK;
}

hone_status hn_session_index_elements(const struct hn_session *s, size_t input, uint8_t *is,
                                      int64_t n, int64_t *found, hone_error *err)
{
    struct marks m = { is, n };
    const struct visitor each = { mark, &m };
    memset(is, 0, (size_t)n), *found = 0;
    if (!looks_up(hn_model_graph(s->model))) return HONE_OK;
    hone_status st = trace_input(s->model, input, &each, err);
    for (int64_t k = 0; k < n; k++) *found += is[k];
    return st;
}

/* ---- which tables they are looked up in ----------------------------------------------------------------------------------- */

static hone_status tell_lookup(struct tracer *t, const struct hn_op *op, int32_t v, void *user)
{
    const struct hn_lookups *l = user;
    const int32_t *x = list_of(t, v);
    if (!x || op->row != &hn_op_embedding) return HONE_OK;
    const int32_t root = t->p->values[op->in[1]].view_of;
    const int32_t table = root >= 0 ? root : op->in[1];
    struct hn_lookup at = { .named = t->p->values[table].kind != HN_CONST,
                            .table = t->p->values[table].kind == HN_CONST && op->name[0]
                                         ? op->name
                                         : t->p->values[table].name,
                            .rows = ((const struct hn_embedding *)op->attrs)->rows,
                            .changed = is_changed(t, v) };
    for (int64_t k = 0; k < per_row(t, v); k++) {
        at.element = x[k] - 1;
        if (x[k] > 0) HN_TRY(l->see(l->user, &at, t->err));
    }
    return HONE_OK;
}

hone_status hn_model_lookups(hone_model *m, size_t input, struct hn_lookups *each, hone_error *err)
{
    const struct visitor visitor = { tell_lookup, each };
    return looks_up(hn_model_graph(m)) ? trace_input(m, input, &visitor, err) : HONE_OK;
}

/* ---- categories that an encoder must know --------------------------------------------------------------------------------- */

struct rows {
    const struct hn_graph *g;
    const struct hn_array *a, *text;
};

static hone_status unknown(const struct rows *r, const struct hn_op *op, int64_t row, int64_t k,
                           hone_error *err)
{
    const struct hn_array *a = r->text ? r->text : r->a;
    char where[48], number[32];
    const char *found = number;
    if (r->text)
        found = ((const char *const *)a->data)[row * a->per_row + k];
    else
        hn_format_double(number, hn_array_at(a, row, k));
    return hn_fail(err, HONE_E_DATA, a->source, "%s%s%s: found '%.60s', which is no category of %s",
                   hn_array_row_name(a, row, where), a->columns ? ", column " : "",
                   a->columns ? a->columns[k].name : "", found, op->name);
}

static hone_status check(struct tracer *t, const struct hn_op *op, int32_t v, void *user)
{
    const struct rows *r = user;
    const int32_t *x = list_of(t, v);
    size_t n;
    const double *keys = hn_graph_strict_keys(r->g, op->node, &n);
    for (int64_t k = 0; keys && x && k < per_row(t, v); k++) {
        if (x[k] < 1 || x[k] > r->a->per_row) continue;
        for (int64_t row = 0; row < r->a->rows; row++) {
            const double found = trunc(hn_array_at(r->a, row, x[k] - 1));
            size_t i = 0;
            while (i < n && keys[i] != found) i++;
            if (i == n) return unknown(r, op, row, x[k] - 1, t->err);
        }
    }
    return HONE_OK;
}

hone_status hn_session_check_categories(const struct hn_session *s, size_t input,
                                        const struct hn_array *a, const struct hn_array *text,
                                        hone_error *err)
{
    struct rows r = { hn_model_graph(s->model), a, text };
    const struct visitor each = { check, &r };
    size_t some = 0, n;
    for (size_t i = 0; i < r.g->n_nodes && !some; i++)
        some = hn_graph_strict_keys(r.g, r.g->nodes[i].index, &n) != NULL;
    return some ? trace_input(s->model, input, &each, err) : HONE_OK;
}
