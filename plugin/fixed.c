/* SPDX-License-Identifier: MIT
 *
 * Taking out what does not change: see fixed.h. */
#include "plugin/fixed.h"
#include "ops/base/status.h"
#include <string.h>

struct split {
    struct hn_program *prog;
    uint8_t *fixed,
        *needed;    /* per value: does not change; and something that does reads it (roots) */
    uint8_t *taken; /* per op */
    int n_taken, n_needed;
};

static int32_t root_of(const struct hn_program *p, int32_t v)
{
    while (p->values[v].view_of >= 0) v = p->values[v].view_of;
    return v;
}

static int is_output(const struct hn_program *p, int32_t v)
{
    for (int i = 0; i < p->n_outputs; i++)
        if (root_of(p, p->outputs[i]) == v) return 1;
    return 0;
}

/* Its result has no batch, and all it reads stays. Outputs of the program stay in it. */
static int stays(const struct split *x, const struct hn_op *op)
{
    const struct hn_program *p = x->prog;
    if (op->n_out != 1 || op->row->flags & (HN_OP_LOSS | HN_OP_RANDOM)) return 0;
    for (int k = 0; k < op->n_in; k++)
        if (op->in[k] >= 0 && !x->fixed[root_of(p, op->in[k])]) return 0;
    return hn_shape_count(&p->values[op->out[0]].shape).per_row == 0 && !is_output(p, op->out[0]);
}

static void find(struct split *x)
{
    const struct hn_program *p = x->prog;
    for (int v = 0; v < p->n_values; v++)
        x->fixed[v] = p->values[v].kind == HN_PARAM || p->values[v].kind == HN_CONST;
    for (int i = 0; i < p->n_ops; i++) {
        if (!stays(x, &p->ops[i])) continue;
        x->taken[i] = 1, x->n_taken++;
        x->fixed[p->ops[i].out[0]] = 1;
    }
    for (int i = 0; i < p->n_ops; i++)
        for (int k = 0; k < p->ops[i].n_in && !x->taken[i]; k++) {
            const int32_t v = p->ops[i].in[k] >= 0 ? root_of(p, p->ops[i].in[k]) : -1;
            if (v < 0 || !x->fixed[v] || p->values[v].kind != HN_ACT || x->needed[v]) continue;
            x->needed[v] = 1, x->n_needed++;
        }
}

/* The ops that are taken, or those that are not, in order; values learn their producers' new numbers. */
static int pick(const struct split *x, int taken, struct hn_op *to, struct hn_value_ref *values)
{
    int n = 0;
    for (int i = 0; i < x->prog->n_ops; i++) {
        if (x->taken[i] != taken) continue;
        const struct hn_op op = x->prog->ops[i];
        for (int k = 0; k < op.n_out; k++)
            if (op.out[k] >= 0) values[op.out[k]].producer = n;
        to[n++] = op;
    }
    return n;
}

static hone_status make_program(const struct split *x, struct hn_fixed *f, hone_error *err)
{
    struct hn_program *p = x->prog, *q = &f->prog;
    const size_t nv = (size_t)p->n_values + 1, nn = (size_t)x->n_needed + 1;
    *q = *p;
    q->values = hn_arena_alloc(&p->arena, nv, sizeof *q->values);
    q->ops = hn_arena_alloc(&p->arena, (size_t)x->n_taken + 1, sizeof *q->ops);
    q->outputs = hn_arena_alloc(&p->arena, nn, sizeof *q->outputs);
    q->output_names = hn_arena_alloc(&p->arena, nn, sizeof *q->output_names);
    f->to = hn_arena_alloc(&p->arena, nn, sizeof *f->to);
    if (!q->values || !q->ops || !q->outputs || !q->output_names || !f->to)
        return hn_nomem(err, "the weights", nv * sizeof *q->values);
    memcpy(q->values, p->values, (size_t)p->n_values * sizeof *q->values);
    q->n_ops = pick(x, 1, q->ops, q->values);
    q->n_inputs = q->n_targets = q->n_losses = q->n_outputs = 0;
    for (int32_t v = 0; v < p->n_values; v++) {
        if (!x->needed[v]) continue;
        q->output_names[q->n_outputs] = p->values[v].name;
        q->outputs[q->n_outputs++] = v;
    }
    return HONE_OK;
}

/* Value v of the program is a parameter now, made here, behind all others in slab W. */
static void make_param(struct hn_program *p, int32_t v)
{
    struct hn_param *q = &p->params[p->n_params];
    const struct hn_shape *s = &p->values[v].shape;
    *q = (struct hn_param){ .name = p->values[v].name,
                            .off = p->n_slab,
                            .n = (size_t)hn_shape_count(s).fixed,
                            .rank = s->rank,
                            .lr_mult = 1,
                            .decay_mult = 1,
                            .feeds = -1,
                            .tensor_id = -1 };
    for (int i = 0; i < s->rank; i++) q->dims[i] = s->d[i].fixed;
    for (int32_t w = 0; w < p->n_values; w++) {
        if (root_of(p, w) != v) continue;
        p->values[w].kind = HN_PARAM, p->values[w].index = p->n_params, p->values[w].producer = -1;
    }
    p->n_slab += (q->n + 15) / 16 * 16;
    p->n_params++;
}

static hone_status make_params(const struct split *x, struct hn_fixed *f, hone_error *err)
{
    struct hn_program *p = x->prog;
    struct hn_param *params =
        hn_arena_alloc(&p->arena, (size_t)(p->n_params + x->n_needed) + 1, sizeof *params);
    struct hn_op *ops = hn_arena_alloc(&p->arena, (size_t)p->n_ops + 1, sizeof *ops);
    if (!params || !ops) return hn_nomem(err, "the weights", (size_t)p->n_params * sizeof *params);
    memcpy(params, p->params, (size_t)p->n_params * sizeof *params);
    p->params = params;
    p->n_ops = pick(x, 0, ops, p->values);
    p->ops = ops;
    for (int i = 0; i < f->prog.n_outputs; i++) {
        make_param(p, f->prog.outputs[i]);
        f->to[i] = &p->params[p->n_params - 1];
    }
    return HONE_OK;
}

hone_status hn_fixed_split(struct hn_session *s, struct hn_fixed *f, hone_error *err)
{
    struct split x = { .prog = s->prog };
    const size_t nv = (size_t)s->prog->n_values + 1;
    *f = (struct hn_fixed){ .to = NULL };
    x.fixed = hn_arena_alloc(&s->prog->arena, nv, 1);
    x.needed = hn_arena_alloc(&s->prog->arena, nv, 1);
    x.taken = hn_arena_alloc(&s->prog->arena, (size_t)s->prog->n_ops + 1, 1);
    if (!x.fixed || !x.needed || !x.taken) return hn_nomem(err, "the weights", nv);
    find(&x);
    if (x.n_needed == 0) return HONE_OK;
    HN_TRY(make_program(&x, f, err));
    return make_params(&x, f, err);
}

struct run { /* of the program, once */
    struct hn_plan *plan;
    void *exec, *bound;
    void **out;
    struct hn_dataset none;
};

static hone_status run_once(struct run *u, const struct hn_fixed *f, const struct hn_session *s,
                            struct hn_replica *r, hone_error *err)
{
    struct hn_mem *m = &s->ctx->mem;
    const size_t elem = s->backend->elem;
    u->none = (struct hn_dataset){ .rows = 1 };
    u->out = hn_calloc(m, (size_t)f->prog.n_outputs, sizeof *u->out);
    if (!u->out) return hn_nomem(err, "the weights", (size_t)f->prog.n_outputs * sizeof *u->out);
    for (int i = 0; i < f->prog.n_outputs; i++)
        if (!(u->out[i] = hn_alloc(m, f->to[i]->n * elem + 1)))
            return hn_nomem(err, f->to[i]->name, f->to[i]->n * elem);
    HN_TRY(hn_plan_create(m, &f->prog, HN_PASS_PREDICT, 1, elem, 0, &u->plan, err));
    HN_TRY(s->backend->prepare(s->dev, u->plan, 1, &u->exec, err));
    HN_TRY(s->backend->bind(s->dev, &u->none, &u->bound, err));
    struct hn_slot slot = { .r = r, .data = u->bound, .rows = 1, .out = u->out };
    HN_TRY(s->backend->run(u->exec, &slot, 1, 1, err));
    for (int i = 0; i < f->prog.n_outputs; i++)
        HN_TRY(s->backend->put(s->dev, r->slab[HN_SLAB_W], f->to[i]->off * elem, u->out[i],
                               f->to[i]->n * elem, err));
    return HONE_OK;
}

hone_status hn_fixed_compute(const struct hn_fixed *f, const struct hn_session *s,
                             struct hn_replica *r, hone_error *err)
{
    struct hn_mem *m = &s->ctx->mem;
    struct run u = { .plan = NULL };
    if (f->prog.n_outputs == 0) return HONE_OK;
    hone_status st = run_once(&u, f, s, r, err);
    if (u.exec) s->backend->finish(u.exec);
    if (u.bound) s->backend->unbind(s->dev, u.bound);
    hn_plan_destroy(u.plan, m);
    for (int i = 0; u.out && i < f->prog.n_outputs; i++) hn_free(m, u.out[i]);
    hn_free(m, u.out);
    return st;
}
