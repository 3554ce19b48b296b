/* SPDX-License-Identifier: MIT
 *
 * Which number went wrong first: see diagnose.h. A small interpreter over the program: every value gets memory of its own,
 * ops run forward in order with the reference kernels. Slow and plain; it runs once in the life of a failed run. */
#include "plugin/train/diagnose.h"
#include "ops/base/format.h"
#include "ops/base/status.h"
#include <float.h>
#include <math.h>

const char *hn_first_bad_param(const struct hn_program *prog, const void *w, size_t elem)
{
    for (int32_t i = 0; i < prog->n_params; i++) {
        const struct hn_param *p = &prog->params[i];
        for (size_t k = p->off; k < p->off + p->n; k++)
            if (!isfinite(elem == 4 ? (double)((const float *)w)[k] : ((const double *)w)[k]))
                return p->name;
    }
    return NULL;
}

struct replay {
    const struct hn_bad_batch *b;
    const struct hn_program *prog;
    struct hn_arena arena;
    double **value; /* by value number */
    struct hn_extent *extent;
    double *w; /* slab W in double */
};

static double *doubles(struct replay *r, int64_t n)
{
    return hn_arena_alloc(&r->arena, n > 0 ? (size_t)n : 1, sizeof(double));
}

/* Gives value i its memory and, if it comes from outside, its content. */
static int place(struct replay *r, int32_t i)
{
    const struct hn_value_ref *v = &r->prog->values[i];
    const struct hn_dataset *set = r->b->set;
    hn_extent_of(&v->shape, r->b->n_rows, &r->extent[i]);
    int64_t n = hn_extent_numel(&r->extent[i]);
    if (v->kind == HN_PARAM || v->kind == HN_STATE) {
        r->value[i] = r->w + r->prog->params[v->index].off;
        return 1;
    }
    if (v->view_of >= 0) return 1; /* see share_views */
    double *p = r->value[i] = doubles(r, n);
    if (!p) return 0;
    const struct hn_column *column = NULL;
    if (v->kind == HN_INPUT) column = &set->inputs[v->index];
    if (v->kind == HN_TARGET) column = &set->targets[v->index];
    if (column && column->data) hn_column_gather(column, r->b->rows, r->b->n_rows, sizeof *p, p);
    if (column && !column->data) r->value[i] = NULL;
    if (v->kind == HN_CONST) {
        const struct hn_tensor *t = &r->prog->consts[v->index];
        hn_convert(p, HN_F64, t->data, t->dtype, t->n);
    }
    return 1;
}

static void share_views(struct replay *r)
{
    for (int32_t i = 0; i < r->prog->n_values; i++) {
        int32_t root = i;
        while (r->prog->values[root].view_of >= 0) root = r->prog->values[root].view_of;
        r->value[i] = r->value[root];
    }
}

static int is_bad(const struct replay *r, double v)
{
    return !isfinite(v) || (r->b->elem == 4 && fabs(v) > (double)FLT_MAX);
}

static int has_bad(const struct replay *r, int32_t i)
{
    int64_t n = hn_extent_numel(&r->extent[i]);
    for (int64_t k = 0; r->value[i] && k < n; k++)
        if (is_bad(r, r->value[i][k])) return 1;
    return 0;
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
};

static int gather_operands(struct replay *r, const struct hn_op *op, struct operands *o)
{
    size_t n_in = (size_t)op->n_in + 1, n_out = (size_t)op->n_out + 1;
    *o = (struct operands){ .x = hn_arena_alloc(&r->arena, n_in, sizeof(void *)),
                            .y = hn_arena_alloc(&r->arena, n_out, sizeof(void *)),
                            .xs = hn_arena_alloc(&r->arena, n_in, sizeof(struct hn_extent)),
                            .ys = hn_arena_alloc(&r->arena, n_out, sizeof(struct hn_extent)) };
    struct hn_shape *shapes = hn_arena_alloc(&r->arena, n_in, sizeof *shapes);
    if (!o->x || !o->y || !o->xs || !o->ys || !shapes) return 0;
    for (int i = 0; i < op->n_in; i++) {
        if (op->in[i] < 0) continue;
        o->x[i] = r->value[op->in[i]];
        o->xs[i] = r->extent[op->in[i]];
        shapes[i] = r->prog->values[op->in[i]].shape;
    }
    for (int i = 0; i < op->n_out; i++) {
        if (op->out[i] < 0) continue;
        o->y[i] = r->value[op->out[i]];
        o->ys[i] = r->extent[op->out[i]];
    }
    struct hn_need need = { 0 };
    if (op->row->need) op->row->need(op, shapes, &need);
    for (int i = 0; i < need.n_save; i++) {
        size_t bytes = (size_t)(need.save[i].per_row * r->b->n_rows + need.save[i].fixed);
        if (!(o->save[i] = hn_arena_alloc(&r->arena, bytes ? bytes : 1, 1))) return 0;
    }
    return 1;
}

/* Runs one op; -1 out of memory, 1 when an output or the loss is bad, else 0. */
static int run_op(struct replay *r, const struct hn_op *op)
{
    struct operands o;
    double loss[2] = { 0, 0 };
    if (!gather_operands(r, op, &o)) return -1;
    struct hn_call call = { .op = op,
                            .xs = o.xs,
                            .ys = o.ys,
                            .x = o.x,
                            .y = o.y,
                            .save = o.save,
                            .rows = r->b->n_rows,
                            .train = 1,
                            .rate = dropout_rate(op, r->b->r),
                            .key = r->b->r->key,
                            .batch = (uint64_t)r->b->r->now.batch,
                            .loss = loss };
    op->row->forward(&call);
    if (is_bad(r, loss[0])) return 1;
    for (int i = 0; i < op->n_out; i++)
        if (op->out[i] >= 0 && has_bad(r, op->out[i])) return 1;
    return 0;
}

static void say(char *text, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(char *text, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    hn_format_into(text, size, fmt, ap);
    va_end(ap);
}

static hone_status replay(struct replay *r, char *text, size_t size, hone_error *err)
{
    const struct hn_program *prog = r->prog;
    r->value = hn_arena_alloc(&r->arena, (size_t)prog->n_values, sizeof *r->value);
    r->extent = hn_arena_alloc(&r->arena, (size_t)prog->n_values, sizeof *r->extent);
    r->w = doubles(r, (int64_t)prog->n_slab);
    int ok = r->value && r->extent && r->w;
    if (ok)
        hn_convert(r->w, HN_F64, r->b->w, r->b->elem == 4 ? HN_F32 : HN_F64, (int64_t)prog->n_slab);
    for (int32_t i = 0; ok && i < prog->n_values; i++) ok = place(r, i);
    if (ok) share_views(r);
    for (int32_t i = 0; ok && i < prog->n_values; i++)
        if (prog->values[i].kind == HN_INPUT && has_bad(r, i))
            return say(text, size, "input %s", prog->values[i].name), HONE_OK;
    for (int32_t k = 0; ok && k < prog->n_ops; k++) {
        const struct hn_op *op = &prog->ops[k];
        int bad = run_op(r, op);
        if (bad > 0 && (op->row->flags & HN_OP_LOSS)) return say(text, size, "the loss"), HONE_OK;
        if (bad > 0) return say(text, size, "output of %s (%s)", op->name, op->row->name), HONE_OK;
        ok = bad == 0;
    }
    if (!ok) return hn_nomem(err, "the search for the number that is not finite", size);
    say(text, size, "the loss");
    return HONE_OK;
}

hone_status hn_diagnose_batch(const struct hn_bad_batch *b, char *text, size_t size,
                              hone_error *err)
{
    const char *param = hn_first_bad_param(b->s->prog, b->w, b->elem);
    if (param) {
        say(text, size, "%s", param);
        return HONE_OK;
    }
    struct replay r = { .b = b, .prog = b->s->prog };
    hn_arena_init(&r.arena, &b->s->ctx->mem);
    hone_status st = replay(&r, text, size, err);
    hn_arena_clear(&r.arena);
    return st;
}
