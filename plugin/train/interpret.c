/* SPDX-License-Identifier: MIT
 *
 * One batch with every value in sight: see interpret.h. */
#include "plugin/train/interpret.h"
#include "ops/base/status.h"

static double *doubles(struct hn_interpreter *it, int64_t n)
{
    return hn_arena_alloc(&it->arena, n > 0 ? (size_t)n : 1, sizeof(double));
}

/* Gives value i its memory and, if it comes from outside, its content. Views follow in share_views. */
static int place(struct hn_interpreter *it, int32_t i)
{
    const struct hn_program *prog = it->o.prog;
    const struct hn_value_ref *v = &prog->values[i];
    hn_extent_of(&v->shape, it->o.n_rows, &it->extent[i]);
    if (v->kind == HN_PARAM || v->kind == HN_STATE) {
        it->value[i] = it->w + prog->params[v->index].off;
        return 1;
    }
    if (v->view_of >= 0) return 1;
    const struct hn_column *column = v->kind == HN_INPUT    ? &it->o.set->inputs[v->index]
                                     : v->kind == HN_TARGET ? &it->o.set->targets[v->index]
                                                            : NULL;
    if (column && !column->data) return 1;
    double *p = it->value[i] = doubles(it, hn_extent_numel(&it->extent[i]));
    if (!p) return 0;
    if (column) hn_column_gather(column, it->o.rows, it->o.n_rows, sizeof *p, p);
    if (v->kind == HN_CONST) {
        const struct hn_tensor *t = &prog->consts[v->index];
        hn_convert(p, HN_F64, t->data, t->dtype, t->n);
    }
    return 1;
}

static void share_views(struct hn_interpreter *it)
{
    const struct hn_value_ref *values = it->o.prog->values;
    for (int32_t i = 0; i < it->o.prog->n_values; i++) {
        int32_t root = i;
        while (values[root].view_of >= 0) root = values[root].view_of;
        if (!it->value[i]) it->value[i] = it->value[root];
    }
}

hone_status hn_interpret_open(struct hn_interpreter *it, struct hn_mem *mem,
                              const struct hn_interpret_opts *o, hone_error *err)
{
    const struct hn_program *prog = o->prog;
    *it = (struct hn_interpreter){ .o = *o };
    hn_arena_init(&it->arena, mem);
    it->value = hn_arena_alloc(&it->arena, (size_t)prog->n_values + 1, sizeof *it->value);
    it->extent = hn_arena_alloc(&it->arena, (size_t)prog->n_values + 1, sizeof *it->extent);
    it->w = doubles(it, (int64_t)prog->n_slab);
    int ok = it->value && it->extent && it->w;
    if (ok) hn_convert(it->w, HN_F64, o->w, o->elem == 4 ? HN_F32 : HN_F64, (int64_t)prog->n_slab);
    for (int32_t i = 0; ok && i < prog->n_values; i++) ok = place(it, i);
    if (!ok) {
        hn_interpret_close(it);
        return hn_nomem(err, "a batch in double", prog->n_slab * sizeof *it->w);
    }
    share_views(it);
    return HONE_OK;
}

void hn_interpret_close(struct hn_interpreter *it)
{
    if (it->arena.mem) hn_arena_clear(&it->arena);
}

/* The rate of a Dropout: the replica's, unless the node's own is fixed. */
static double dropout_rate(const struct hn_op *op, const struct hn_replica *r)
{
    if (op->row != &hn_op_dropout) return 0;
    const struct hn_dropout *d = op->attrs;
    return r->hyper->dropout >= 0 && !d->fixed ? r->hyper->dropout : d->rate;
}

struct operands {
    void **x, **y, *save[4];
    struct hn_extent *xs, *ys;
    struct hn_shape *shapes;
};

static int alloc_saved(struct hn_interpreter *it, const struct hn_op *op, struct operands *p)
{
    struct hn_need need = { 0 };
    if (op->row->need) op->row->need(op, p->shapes, &need);
    for (int i = 0; i < need.n_save; i++) {
        size_t bytes = (size_t)(need.save[i].per_row * it->o.n_rows + need.save[i].fixed);
        if (!(p->save[i] = hn_arena_alloc(&it->arena, bytes ? bytes : 1, 1))) return 0;
    }
    return 1;
}

static int gather_operands(struct hn_interpreter *it, const struct hn_op *op, struct operands *p)
{
    struct hn_arena *a = &it->arena;
    size_t n_in = (size_t)op->n_in + 1, n_out = (size_t)op->n_out + 1;
    *p = (struct operands){ .x = hn_arena_alloc(a, n_in, sizeof *p->x),
                            .y = hn_arena_alloc(a, n_out, sizeof *p->y),
                            .xs = hn_arena_alloc(a, n_in, sizeof *p->xs),
                            .ys = hn_arena_alloc(a, n_out, sizeof *p->ys),
                            .shapes = hn_arena_alloc(a, n_in, sizeof *p->shapes) };
    if (!p->x || !p->y || !p->xs || !p->ys || !p->shapes) return 0;
    for (int i = 0; i < op->n_in; i++) {
        if (op->in[i] < 0) continue;
        p->x[i] = it->value[op->in[i]];
        p->xs[i] = it->extent[op->in[i]];
        p->shapes[i] = it->o.prog->values[op->in[i]].shape;
    }
    for (int i = 0; i < op->n_out; i++) {
        if (op->out[i] < 0) continue;
        p->y[i] = it->value[op->out[i]];
        p->ys[i] = it->extent[op->out[i]];
    }
    return alloc_saved(it, op, p);
}

hone_status hn_interpret_op(struct hn_interpreter *it, int32_t k, hone_error *err)
{
    const struct hn_op *op = &it->o.prog->ops[k];
    const struct hn_replica *r = it->o.r;
    struct operands p;
    if (!gather_operands(it, op, &p)) return hn_nomem(err, op->name, sizeof p);
    it->loss[0] = it->loss[1] = 0;
    struct hn_call call = { .op = op,
                            .xs = p.xs,
                            .ys = p.ys,
                            .x = p.x,
                            .y = p.y,
                            .save = p.save,
                            .rows = it->o.n_rows,
                            .train = (uint8_t)it->o.train,
                            .rate = dropout_rate(op, r),
                            .key = r->key,
                            .batch = (uint64_t)r->now.batch,
                            .loss = it->loss };
    op->row->forward(&call);
    return HONE_OK;
}
