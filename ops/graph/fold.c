/* SPDX-License-Identifier: MIT
 *
 * Constant folding: a node whose inputs are all constants is lowered by its own row to program ops on constants, and
 * those run through the reference kernels in double; the result is rounded to the output's type. So a folded Transpose
 * or Div cannot disagree with a run one. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"

enum { MAX_ELEMENTS = 1 << 24 };

struct bench {
    struct hn_lowering l;
    struct hn_arena arena;
    double **data; /* per program value */
};

static double *numbers(struct bench *b, int64_t n)
{
    return hn_arena_alloc(&b->arena, (size_t)n + 1, sizeof(double));
}

static hone_status place_values(struct bench *b)
{
    struct hn_lowering *l = &b->l;
    b->data = hn_arena_alloc(&b->arena, l->n_values + 1, sizeof *b->data);
    if (!b->data) return hn_nomem(l->err, "constant folding", 0);
    for (size_t i = 0; i < l->n_values; i++) {
        const struct hn_value_ref *v = &l->values[i];
        int64_t n = hn_shape_count(&v->shape).fixed;
        if (n > MAX_ELEMENTS)
            return hn_fail(l->err, HONE_E_BUDGET, v->name, "a constant of %lld elements",
                           (long long)n);
        b->data[i] = v->view_of >= 0 ? b->data[v->view_of] : numbers(b, n);
        if (!b->data[i]) return hn_nomem(l->err, "constant folding", (size_t)n * sizeof(double));
        const struct hn_tensor *t =
            v->kind == HN_CONST && v->view_of < 0 ? &l->consts[v->index] : NULL;
        if (t) hn_convert(b->data[i], HN_F64, t->data, t->dtype, t->n);
    }
    return HONE_OK;
}

static hone_status run_op(struct bench *b, const struct hn_op *op)
{
    struct hn_lowering *l = &b->l;
    size_t n = (size_t)op->n_in;
    struct hn_shape *shapes = hn_arena_alloc(&b->arena, n + 1, sizeof *shapes);
    struct hn_extent *xs = hn_arena_alloc(&b->arena, n + 1, sizeof *xs), ys;
    void **x = hn_arena_alloc(&b->arena, n + 1, sizeof *x), *y = b->data[op->out[0]],
         *save[4] = { NULL };
    struct hn_need need = { 0 };
    if (!shapes || !xs || !x) return hn_nomem(l->err, "constant folding", 0);
    for (size_t i = 0; i < n; i++) {
        if (op->in[i] < 0) continue;
        shapes[i] = l->values[op->in[i]].shape;
        hn_extent_of(&shapes[i], 1, &xs[i]);
        x[i] = b->data[op->in[i]];
    }
    hn_extent_of(&l->values[op->out[0]].shape, 1, &ys);
    if (op->row->need) op->row->need(op, shapes, &need);
    for (int i = 0; i < need.n_save; i++) {
        save[i] =
            hn_arena_alloc(&b->arena, 1, (size_t)(need.save[i].per_row + need.save[i].fixed) + 1);
        if (!save[i]) return hn_nomem(l->err, "constant folding", 0);
    }
    static const uint32_t key[2] = { 0, 0 };
    struct hn_call call = {
        .op = op, .xs = xs, .ys = &ys, .x = x, .y = &y, .save = save, .rows = 1, .key = key
    };
    op->row->forward(&call);
    return HONE_OK;
}

/* The result of output k as a constant of the graph. */
static hone_status keep(struct hn_infer *c, const struct bench *b, int k)
{
    if (c->n->out[k] < 0) return HONE_OK;
    struct hn_value *v = &c->g->values[c->n->out[k]];
    struct hn_tensor *t = hn_infer_alloc(c, 1, sizeof *t);
    int64_t n = hn_shape_count(&v->shape).fixed;
    char *data = hn_infer_alloc(c, (size_t)n + 1, hn_dtype_size(v->dtype));
    if (!t || !data) return HONE_E_NOMEM;
    hn_convert(data, v->dtype, b->data[b->l.map[c->n->out[k]] - 1], HN_F64, n);
    *t = (struct hn_tensor){ .dtype = v->dtype, .rank = v->shape.rank, .n = n, .data = data };
    for (int i = 0; i < t->rank; i++) t->dims[i] = v->shape.d[i].fixed;
    v->constant = t;
    return HONE_OK;
}

static int foldable(const struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++)
        if (c->n->in[i] >= 0 && c->g->values[c->n->in[i]].dtype == HN_STR) return 0;
    for (int k = 0; k < c->n->n_out; k++) {
        const struct hn_value *v = c->n->out[k] >= 0 ? &c->g->values[c->n->out[k]] : NULL;
        if (v && (hn_dtype_size(v->dtype) == 0 || hn_shape_count(&v->shape).per_row != 0 ||
                  hn_shape_count(&v->shape).fixed > MAX_ELEMENTS))
            return 0;
        if (k > 0 && c->row->out_max != 255) return 0; /* second outputs are not computed */
    }
    return c->n->n_out > 0 && c->row->lower != NULL;
}

hone_status hn_fold_node(struct hn_infer *c)
{
    static const struct hn_lower_opts plain = { .n_losses = 0 };
    struct hn_facts *f = c->g->facts;
    struct bench b = {
        .l = { .g = c->g, .opts = &plain, .err = c->err, .map = f->fold_map, .node = -1, .fold = 1 }
    };
    if (!foldable(c)) return HONE_OK;
    hn_arena_init(&b.arena, c->g->mem);
    b.l.arena = &b.arena;
    hone_status st = c->row->lower(&b.l, c->n, c->a);
    if (st == HONE_OK) st = place_values(&b);
    for (size_t i = 0; i < b.l.n_ops && st == HONE_OK; i++) st = run_op(&b, &b.l.ops[i]);
    for (int k = 0; k < c->n->n_out && st == HONE_OK; k++) st = keep(c, &b, k);
    for (int i = 0; i < c->n->n_in; i++)
        if (c->n->in[i] >= 0) f->fold_map[c->n->in[i]] = 0;
    for (int k = 0; k < c->n->n_out; k++)
        if (c->n->out[k] >= 0) f->fold_map[c->n->out[k]] = 0;
    b.l.map = NULL;
    hn_l_clear(&b.l);
    hn_arena_clear(&b.arena);
    return st;
}
