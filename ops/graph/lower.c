/* SPDX-License-Identifier: MIT
 *
 * The draft program: operands (parameters, states, constants) are made when the first op needs them, ops are appended in
 * topological order, reshapes become views. Never decides what is trained (params.c) or what is kept (program.c). */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

static hone_status no_memory(const struct hn_lowering *l)
{
    return hn_nomem(l->err, "the program", 0);
}

static hone_status add_value(struct hn_lowering *l, struct hn_value_ref v, int32_t *out)
{
    if (!v.name || !HN_PUSH(l->g->mem, l->values, l->n_values, l->cap_values, v))
        return no_memory(l);
    *out = (int32_t)l->n_values - 1;
    return HONE_OK;
}

hone_status hn_l_const(struct hn_lowering *l, const struct hn_tensor *t, int32_t *out)
{
    struct hn_value_ref v = {
        .kind = HN_CONST, .index = (int32_t)l->n_consts, .view_of = -1, .producer = -1
    };
    v.name = hn_arena_printf(l->arena, "const%zu", l->n_consts);
    v.shape.rank = t->rank;
    for (int i = 0; i < t->rank; i++) v.shape.d[i] = (struct hn_dim){ 0, t->dims[i] };
    if (!HN_PUSH(l->g->mem, l->consts, l->n_consts, l->cap_consts, *t)) return no_memory(l);
    return add_value(l, v, out);
}

hone_status hn_l_fill(struct hn_lowering *l, const struct hn_shape *s, double x, int32_t *out)
{
    struct hn_tensor t = { .dtype = HN_F64, .rank = s->rank };
    for (int i = 0; i < s->rank; i++) t.dims[i] = s->d[i].per_row ? 1 : s->d[i].fixed;
    if (!hn_numel(t.rank, t.dims, &t.n))
        return hn_fail(l->err, HONE_E_BUDGET, NULL, "a constant is too large");
    double *data = hn_arena_alloc(l->arena, (size_t)t.n + 1, sizeof *data);
    if (!data) return no_memory(l);
    for (int64_t i = 0; i < t.n; i++) data[i] = x;
    t.data = data;
    return hn_l_const(l, &t, out);
}

/* The parameter behind a constant ONNX value, or -1. */
static int32_t param_of(const struct hn_lowering *l, int32_t v)
{
    int32_t root = l->g->facts->values[v].root;
    if (l->fold || root < 0 || !hn_dtype_is_float(l->g->values[v].dtype)) return -1;
    return l->g->facts->param_of[root];
}

static hone_status plain_param(struct hn_lowering *l, int32_t p, int32_t *out)
{
    const struct hn_value *root = &l->g->values[l->g->facts->params.params[p].value];
    struct hn_value_ref v = { .kind = HN_PARAM,
                              .name = root->name,
                              .shape = root->shape,
                              .index = p,
                              .view_of = -1,
                              .producer = -1 };
    if (l->param_map[p]) return *out = l->param_map[p] - 1, HONE_OK;
    HN_TRY(add_value(l, v, out));
    l->param_map[p] = *out + 1;
    return HONE_OK;
}

/* The parameter as value v has it but for its form: rounded where v is. */
static hone_status param_value(struct hn_lowering *l, int32_t v, int32_t p, int32_t *out)
{
    const struct hn_quant *q = l->g->facts->values[v].quant;
    HN_TRY(plain_param(l, p, out));
    return q ? hn_l_quantize(l, q, 0, *out, out) : HONE_OK;
}

hone_status hn_l_weight(struct hn_lowering *l, int32_t v, int32_t *out, int *trans)
{
    const struct hn_graph *g = l->g;
    int32_t p = param_of(l, v);
    *trans = 0;
    if (p >= 0 && !l->map[v]) {
        const struct hn_value *root = &g->values[g->facts->params.params[p].value];
        int flipped =
            g->facts->values[v].trans && g->values[v].shape.rank == 2 && root->shape.rank == 2;
        if (flipped || hn_same_shape(&root->shape, &g->values[v].shape)) {
            *trans = flipped;
            return param_value(l, v, p, out);
        }
    }
    return hn_l_value(l, v, out);
}

/* A parameter used in another form than the file's: transposed by an op, reshaped by a view. */
static hone_status param_in_form(struct hn_lowering *l, int32_t v, int32_t p, int32_t *out)
{
    static const struct hn_transpose swap = { { 1, 0 } };
    HN_TRY(param_value(l, v, p, out));
    if (l->g->facts->values[v].trans && l->values[*out].shape.rank == 2)
        HN_TRY(hn_l_op(l, &hn_op_transpose, &swap, out, 1, out));
    if (!hn_same_shape(&l->values[*out].shape, &l->g->values[v].shape))
        HN_TRY(hn_l_view(l, *out, &l->g->values[v].shape, out));
    return HONE_OK;
}

hone_status hn_l_value(struct hn_lowering *l, int32_t v, int32_t *out)
{
    const struct hn_value *x = &l->g->values[v];
    int32_t p;
    if (l->map[v]) return *out = l->map[v] - 1, HONE_OK;
    if (x->constant && (p = param_of(l, v)) >= 0)
        HN_TRY(param_in_form(l, v, p, out));
    else if (x->constant && !l->g->facts->values[v].computed)
        HN_TRY(hn_l_const(l, x->constant, out));
    else if (l->g->facts->values[v].splat)
        HN_TRY(hn_l_fill(l, &x->shape, l->g->facts->values[v].splat_value, out));
    else
        return hn_fail(l->err, HONE_E_INTERNAL, x->name, "the value is used before it is computed");
    l->map[v] = *out + 1;
    return HONE_OK;
}

/* Shapes of the inputs; absent ones are rank 0 of no element. */
static hone_status output_shape(struct hn_lowering *l, const struct hn_op *op, struct hn_shape *y)
{
    const char *where = op->name;
    struct hn_shape few[8], *xs = few;
    if (op->n_in > 8) xs = hn_arena_alloc(l->arena, (size_t)op->n_in, sizeof *xs);
    if (!xs) return no_memory(l);
    for (int i = 0; i < op->n_in; i++)
        xs[i] = op->in[i] >= 0 ? l->values[op->in[i]].shape : (struct hn_shape){ .rank = 0 };
    return op->row->shape(op, xs, y, where, l->err);
}

hone_status hn_l_op(struct hn_lowering *l, const struct hn_op_row *row, const void *attrs,
                    const int32_t *in, int n_in, int32_t *out)
{
    const struct hn_node *n = l->node >= 0 ? &l->g->nodes[l->node] : NULL;
    char label[200];
    struct hn_op op = { .row = row, .n_in = n_in, .n_out = 1, .node = n ? n->index : -1 };
    void *copy = hn_arena_alloc(l->arena, 1, row->attrs_size ? row->attrs_size : 1);
    int32_t *ins = hn_arena_alloc(l->arena, (size_t)n_in + 1, sizeof *ins);
    int32_t *outs = hn_arena_alloc(l->arena, 1, sizeof *outs);
    op.name = n ? hn_arena_strdup(l->arena, hn_node_label(n, label, sizeof label)) : row->name;
    if (!copy || !ins || !outs || !op.name) return no_memory(l);
    if (row->attrs_size) memcpy(copy, attrs, row->attrs_size);
    memcpy(ins, in, (size_t)n_in * sizeof *ins);
    op.attrs = copy, op.in = ins, op.out = outs;
    struct hn_value_ref y = {
        .kind = HN_ACT, .index = -1, .view_of = -1, .producer = (int32_t)l->n_ops
    };
    if (row->flags & HN_OP_LOSS) {
        op.n_out = 0;
        HN_TRY(output_shape(l, &op, &y.shape));
    } else {
        HN_TRY(output_shape(l, &op, &y.shape));
        y.name = hn_arena_printf(l->arena, "%s#%zu", row->name, l->n_ops);
        HN_TRY(add_value(l, y, out));
        outs[0] = *out;
    }
    return HN_PUSH(l->g->mem, l->ops, l->n_ops, l->cap_ops, op) ? HONE_OK : no_memory(l);
}

hone_status hn_l_unary(struct hn_lowering *l, enum hn_unary_kind kind, double a, double b,
                       int32_t x, int32_t *out)
{
    struct hn_unary attrs = { kind, a, b };
    return hn_l_op(l, &hn_op_unary, &attrs, &x, 1, out);
}

hone_status hn_l_binary(struct hn_lowering *l, enum hn_binary_kind kind, int32_t a, int32_t b,
                        int32_t *out)
{
    struct hn_binary attrs = { kind };
    int32_t in[2] = { a, b };
    return hn_l_op(l, &hn_op_binary, &attrs, in, 2, out);
}

hone_status hn_l_view(struct hn_lowering *l, int32_t x, const struct hn_shape *s, int32_t *out)
{
    struct hn_value_ref v = l->values[x];
    v.view_of = v.view_of >= 0 ? v.view_of : x;
    v.name = hn_arena_printf(l->arena, "view#%zu", l->n_values);
    v.shape = *s;
    return add_value(l, v, out);
}

hone_status hn_l_bind(struct hn_lowering *l, int32_t v, int32_t y)
{
    if (v < 0) return HONE_OK;
    const struct hn_value *x = &l->g->values[v];
    if (!hn_same_shape(&x->shape, &l->values[y].shape)) {
        struct hn_dim a = hn_shape_count(&x->shape), b = hn_shape_count(&l->values[y].shape);
        char ta[160], tb[160];
        if (a.per_row && !b.per_row) { /* a ConstantOfShape or Expand of N rows */
            HN_TRY(hn_l_rows(l, y, &x->shape, &y));
            return hn_l_bind(l, v, y);
        }
        if (!hn_same_dim(a, b))
            return hn_fail(l->err, HONE_E_INTERNAL, x->name, "lowered to %s, inferred %s",
                           hn_shape_text(&l->values[y].shape, tb, sizeof tb),
                           hn_shape_text(&x->shape, ta, sizeof ta));
        HN_TRY(hn_l_view(l, y, &x->shape, &y));
    }
    struct hn_value_ref *r = &l->values[y];
    if (r->kind == HN_ACT && r->index < 0)
        r->name = x->name, r->index = v; /* the first name stays */
    l->map[v] = y + 1;
    return HONE_OK;
}

/* ---- the whole graph ------------------------------------------------------------------------------------------ */

static hone_status add_inputs(struct hn_lowering *l)
{
    for (size_t i = 0; i < l->g->n_inputs; i++) {
        const struct hn_value *x = &l->g->values[l->g->inputs[i]];
        struct hn_value_ref v = { .kind = HN_INPUT,
                                  .name = x->name,
                                  .shape = x->shape,
                                  .index = (int32_t)i,
                                  .view_of = -1,
                                  .producer = -1 };
        int32_t at = 0;
        HN_TRY(add_value(l, v, &at));
        l->map[l->g->inputs[i]] = at + 1;
    }
    return HONE_OK;
}

static int wanted(const struct hn_graph *g, const struct hn_node *n, const struct hn_node_fact *f)
{
    if (!f->live || f->absorbed || f->state != HN_NODE_OK) return 0;
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] >= 0 && g->facts->values[n->out[k]].live &&
            g->facts->values[n->out[k]].computable &&
            (!g->values[n->out[k]].constant || g->facts->values[n->out[k]].computed))
            return 1;
    return 0;
}

static hone_status lower_node(struct hn_lowering *l, int32_t at)
{
    const struct hn_node *n = &l->g->nodes[at];
    const struct hn_node_fact *f = &l->g->facts->nodes[at];
    if (!wanted(l->g, n, f)) return HONE_OK;
    l->node = at;
    return f->pattern ? hn_l_pattern(l, n, f->pattern) : n->row->lower(l, n, f->attrs);
}

hone_status hn_l_graph(struct hn_lowering *l)
{
    HN_TRY(add_inputs(l));
    for (int computed = 1; computed >= 0; computed--) /* weights that are computed come first */
        for (size_t i = 0; i < l->g->n_nodes; i++)
            if (hn_is_computed(l->g, &l->g->nodes[l->g->order[i]]) == computed)
                HN_TRY(lower_node(l, l->g->order[i]));
    l->node = -1;
    return HONE_OK;
}

void hn_l_clear(struct hn_lowering *l)
{
    struct hn_mem *m = l->g->mem;
    hn_free(m, l->values);
    hn_free(m, l->ops);
    hn_free(m, l->consts);
    hn_free(m, l->map);
    hn_free(m, l->param_map);
    l->values = NULL, l->ops = NULL, l->consts = NULL, l->map = NULL, l->param_map = NULL;
}
