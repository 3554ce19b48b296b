/* SPDX-License-Identifier: MIT
 *
 * From a program to a plan: which ops a pass runs, in which order, and where every value, gradient and saved buffer
 * lies. Nothing here computes a number of the model.
 *
 * Values that are views share a place with their root; everything below is kept per root. Forward steps come first, in
 * program order, then the backward steps in reverse. A buffer lives from the step that writes it first to the step that
 * reads it last; inputs and targets are written before step 0, outputs that the host asks for live past the last step.
 *
 *   wanted    ops that losses (TRAIN, GRAD), outputs (PREDICT), both (EVAL) or STATE updates (STATS) depend on
 *   gradient  of values on a path from a trained parameter to a loss, through ops that have a backward
 *   add       the first step that writes a gradient overwrites it, later ones add: several consumers, ties, x * x
 *   in place  y[0] over x[0] where the op allows it, nobody reads x[0] later, and x[0] is a computed value */
#include "ops/base/status.h"
#include "ops/math/op.h"
#include "ops/math/place.h"
#include <string.h>

struct build {
    const struct hn_program *prog;
    struct hn_plan *plan;
    struct hn_mem *mem;
    struct hn_arena tmp; /* everything below */
    hone_error *err;
    int32_t *root,
        *maker; /* per value: whose memory it shares; per root: the op that computes it, or -1 */
    uint8_t *wanted, *keep, *needs,
        *grad;     /* per root: read at all; output of this pass; depends on a trained parameter;
                                              has a gradient */
    int32_t *last; /* per root: the last step that reads the value */
    int32_t *value_span, *grad_span; /* per root, -1: none */
    uint8_t *live;                   /* per op */
    int32_t *forward, *backward;     /* per op: its step, -1: none */
    struct hn_need *need;            /* per op */
    int32_t (*save_span)[4];         /* per op */
    uint8_t *written;                /* per param: a step has written its gradient */
    struct hn_shape *shapes;         /* of one op's inputs */
    struct hn_span *spans;
    int32_t n_spans;
    int training;
};

static int is_slab(enum hn_kind k) { return k == HN_PARAM || k == HN_STATE || k == HN_CONST; }
static int root_of(const struct build *b, int32_t value) { return b->root[value]; }

static void *scratch(struct build *b, size_t n, size_t size, int fill)
{
    void *p = hn_arena_alloc(&b->tmp, n ? n : 1, size);
    if (p && fill) memset(p, fill, (n ? n : 1) * size);
    return p;
}

static hone_status begin(struct build *b)
{
    size_t nv = (size_t)b->prog->n_values, no = (size_t)b->prog->n_ops, most = 1;
    for (int i = 0; i < b->prog->n_ops; i++)
        if ((size_t)b->prog->ops[i].n_in > most) most = (size_t)b->prog->ops[i].n_in;
    b->root = scratch(b, nv, sizeof *b->root, 0);
    b->maker = scratch(b, nv, sizeof *b->maker, 0xff);
    b->wanted = scratch(b, nv, 1, 0), b->keep = scratch(b, nv, 1, 0);
    b->needs = scratch(b, nv, 1, 0), b->grad = scratch(b, nv, 1, 0);
    b->last = scratch(b, nv, sizeof *b->last, 0xff);
    b->value_span = scratch(b, nv, sizeof *b->value_span, 0xff);
    b->grad_span = scratch(b, nv, sizeof *b->grad_span, 0xff);
    b->live = scratch(b, no, 1, 0);
    b->forward = scratch(b, no, sizeof *b->forward, 0xff);
    b->backward = scratch(b, no, sizeof *b->backward, 0xff);
    b->need = scratch(b, no, sizeof *b->need, 0);
    b->save_span = scratch(b, no, sizeof *b->save_span, 0xff);
    b->written = scratch(b, (size_t)b->prog->n_params, 1, 0);
    b->shapes = scratch(b, most, sizeof *b->shapes, 0);
    b->spans = scratch(b, 2 * nv + 4 * no, sizeof *b->spans, 0);
    if (!b->root || !b->maker || !b->wanted || !b->keep || !b->needs || !b->grad || !b->last ||
        !b->value_span || !b->grad_span || !b->live || !b->forward || !b->backward || !b->need ||
        !b->save_span || !b->written || !b->shapes || !b->spans)
        return hn_nomem(b->err, "the plan", nv * 32 + no * 128);
    return HONE_OK;
}

static hone_status find_roots(struct build *b)
{
    const struct hn_program *p = b->prog;
    for (int32_t v = 0; v < p->n_values; v++) {
        int32_t r = v;
        for (int hops = 0; p->values[r].view_of >= 0; hops++) {
            if (hops > p->n_values)
                return hn_fail(b->err, HONE_E_INTERNAL, p->values[v].name, "views form a cycle");
            r = p->values[r].view_of;
        }
        b->root[v] = r;
    }
    for (int32_t i = 0; i < p->n_ops; i++)
        for (int k = 0; k < p->ops[i].n_out; k++) {
            int32_t v = p->ops[i].out[k];
            if (v < 0) continue;
            if (b->root[v] != v || p->values[v].kind != HN_ACT)
                return hn_fail(b->err, HONE_E_INTERNAL, p->ops[i].name,
                               "writes '%s', which is no value of its own", p->values[v].name);
            b->maker[v] = i;
        }
    return HONE_OK;
}

/* Does this pass want the op for its own sake? */
static int is_goal(const struct build *b, const struct hn_op *op)
{
    if (b->plan->pass != HN_PASS_STATS)
        return op->row->flags & HN_OP_LOSS && b->plan->pass != HN_PASS_PREDICT;
    for (int k = 0; k < op->n_in; k++)
        if (op->in[k] >= 0 && b->prog->values[root_of(b, op->in[k])].kind == HN_STATE) return 1;
    return 0;
}

static void mark_live(struct build *b)
{
    const struct hn_program *p = b->prog;
    int outputs = b->plan->pass == HN_PASS_EVAL || b->plan->pass == HN_PASS_PREDICT;
    for (int i = 0; outputs && i < p->n_outputs; i++)
        b->keep[root_of(b, p->outputs[i])] = b->wanted[root_of(b, p->outputs[i])] = 1;
    for (int i = p->n_ops - 1; i >= 0; i--) {
        const struct hn_op *op = &p->ops[i];
        b->live[i] = is_goal(b, op) != 0;
        for (int k = 0; k < op->n_out; k++)
            if (op->out[k] >= 0 && b->wanted[op->out[k]]) b->live[i] = 1;
        for (int k = 0; b->live[i] && k < op->n_in; k++)
            if (op->in[k] >= 0) b->wanted[root_of(b, op->in[k])] = 1;
    }
}

static int any(const struct build *b, const uint8_t *flag, const int32_t *values, int n)
{
    for (int k = 0; k < n; k++)
        if (values[k] >= 0 && flag[root_of(b, values[k])]) return 1;
    return 0;
}

/* Does the op's backward write the gradient of input k? */
static int gives(const struct build *b, const struct hn_op *op, int k)
{
    return op->in[k] >= 0 && b->needs[root_of(b, op->in[k])] &&
           (k == 0 || !(op->row->flags & HN_OP_LOSS));
}

/* Marks gradients; backward[i] = 0 for ops that get a backward step (numbered later). */
static void mark_gradients(struct build *b)
{
    const struct hn_program *p = b->prog;
    for (int32_t v = 0; v < p->n_values; v++)
        b->needs[v] = p->values[v].kind == HN_PARAM && p->values[v].view_of < 0 &&
                      p->params[p->values[v].index].flags & HN_PARAM_TRAINED;
    for (int i = 0; i < p->n_ops; i++) {
        const struct hn_op *op = &p->ops[i];
        int depends = b->live[i] && op->row->backward && any(b, b->needs, op->in, op->n_in);
        for (int k = 0; depends && k < op->n_out; k++)
            if (op->out[k] >= 0) b->needs[op->out[k]] = 1;
    }
    for (int i = p->n_ops - 1; i >= 0; i--) {
        const struct hn_op *op = &p->ops[i];
        if (!b->live[i] || !op->row->backward) continue;
        if (!(op->row->flags & HN_OP_LOSS) && !any(b, b->grad, op->out, op->n_out)) continue;
        for (int k = 0; k < op->n_in; k++)
            if (gives(b, op, k)) b->grad[root_of(b, op->in[k])] = 1, b->backward[i] = 0;
    }
}

static void number_steps(struct build *b)
{
    int32_t n = 0;
    for (int i = 0; i < b->prog->n_ops; i++)
        if (b->live[i]) b->forward[i] = n++;
    b->plan->n_forward = n;
    for (int i = b->prog->n_ops - 1; i >= 0; i--)
        if (b->backward[i] >= 0) b->backward[i] = n++;
    b->plan->n_steps = n;
}

static void read_at(struct build *b, int32_t value, int32_t step)
{
    int32_t *last = &b->last[root_of(b, value)];
    if (*last < step) *last = step;
}

/* Asks each op what its backward reads, and notes who reads what last. */
static void find_last_reads(struct build *b)
{
    const struct hn_program *p = b->prog;
    for (int i = 0; i < p->n_ops; i++) {
        const struct hn_op *op = &p->ops[i];
        if (!b->live[i]) continue;
        for (int k = 0; k < op->n_in; k++) {
            b->shapes[k] =
                op->in[k] >= 0 ? p->values[op->in[k]].shape : (struct hn_shape){ .rank = -1 };
            if (op->in[k] >= 0) read_at(b, op->in[k], b->forward[i]);
        }
        op->row->need(op, b->shapes, &b->need[i]);
        for (int k = 0; b->backward[i] >= 0 && k < op->n_in && k < 32; k++)
            if (op->in[k] >= 0 && b->need[i].x >> k & 1u) read_at(b, op->in[k], b->backward[i]);
        for (int k = 0; b->backward[i] >= 0 && k < op->n_out && k < 32; k++)
            if (op->out[k] >= 0 && b->need[i].y >> k & 1u) read_at(b, op->out[k], b->backward[i]);
    }
    for (int32_t v = 0; v < p->n_values; v++)
        if (b->keep[v]) b->last[v] = b->plan->n_steps;
}

/* ---- buffers ------------------------------------------------------------------------------------------------- */

static hone_status add_span(struct build *b, struct hn_dim count, size_t unit, const char *name,
                            int32_t *out)
{
    int64_t n;
    if (count.per_row < 0 || count.fixed < 0 || !hn_mul_i64(count.per_row, b->plan->max_rows, &n) ||
        !hn_add_i64(n, count.fixed, &n) || !hn_mul_i64(n, (int64_t)unit, &n))
        return hn_fail(
            b->err, HONE_E_NOMEM, name, "the size of %lld*N%+lld elements overflows with %lld rows",
            (long long)count.per_row, (long long)count.fixed, (long long)b->plan->max_rows);
    b->spans[b->n_spans].bytes = (size_t)n;
    *out = b->n_spans++;
    return HONE_OK;
}

static hone_status add_value(struct build *b, int32_t value, int32_t first)
{
    const struct hn_value_ref *v = &b->prog->values[value];
    HN_TRY(add_span(b, hn_shape_count(&v->shape), b->plan->elem, v->name, &b->value_span[value]));
    struct hn_span *s = &b->spans[b->value_span[value]];
    s->first = first;
    s->last = b->last[value] > first ? b->last[value] : first;
    return HONE_OK;
}

static int same_count(const struct build *b, int32_t u, int32_t v)
{
    struct hn_dim m = hn_shape_count(&b->prog->values[u].shape),
                  n = hn_shape_count(&b->prog->values[v].shape);
    return m.per_row == n.per_row && m.fixed == n.fixed;
}

/* May output 0 of the op lie where input 0 lies? Not over data, parameters or constants, not over what is read later. */
static int may_overwrite(const struct build *b, int i)
{
    const struct hn_op *op = &b->prog->ops[i];
    if (!(op->row->flags & HN_OP_INPLACE) || op->n_in < 1 || op->n_out != 1 || op->in[0] < 0)
        return 0;
    int32_t r = root_of(b, op->in[0]);
    for (int k = 1; k < op->n_in; k++)
        if (op->in[k] >= 0 && root_of(b, op->in[k]) == r) return 0;
    return b->prog->values[r].kind == HN_ACT && b->value_span[r] >= 0 &&
           b->last[r] == b->forward[i] && same_count(b, r, op->out[0]);
}

static hone_status make_values(struct build *b)
{
    const struct hn_program *p = b->prog;
    for (int32_t v = 0; v < p->n_values; v++)
        if (b->wanted[v] && b->root[v] == v &&
            (p->values[v].kind == HN_INPUT || p->values[v].kind == HN_TARGET))
            HN_TRY(add_value(b, v, -1));
    for (int i = 0; i < p->n_ops; i++) {
        const struct hn_op *op = &p->ops[i];
        if (!b->live[i]) continue;
        if (may_overwrite(b, i)) {
            int32_t s = b->value_span[root_of(b, op->in[0])], last = b->last[op->out[0]];
            b->value_span[op->out[0]] = s;
            if (b->spans[s].last < last) b->spans[s].last = last;
            continue;
        }
        for (int k = 0; k < op->n_out; k++)
            if (op->out[k] >= 0) HN_TRY(add_value(b, op->out[k], b->forward[i]));
    }
    return HONE_OK;
}

static hone_status make_saves(struct build *b)
{
    for (int i = 0; i < b->prog->n_ops; i++)
        for (int k = 0; b->live[i] && k < b->need[i].n_save; k++) {
            HN_TRY(add_span(b, b->need[i].save[k], 1, b->prog->ops[i].name, &b->save_span[i][k]));
            struct hn_span *s = &b->spans[b->save_span[i][k]];
            s->first = b->forward[i];
            s->last = b->backward[i] >= 0 ? b->backward[i] : b->forward[i];
        }
    return HONE_OK;
}

/* May the gradient of input 0 lie where the gradient of output 0 lies? Only when nothing else is computed from it. */
static int may_overwrite_gradient(const struct build *b, const struct hn_op *op)
{
    if (!(op->row->flags & HN_OP_INPLACE) || op->n_out != 1 || op->in[0] < 0) return 0;
    for (int k = 1; k < op->n_in; k++)
        if (gives(b, op, k)) return 0;
    return same_count(b, root_of(b, op->in[0]), op->out[0]);
}

/* The gradient of input k of op i, written or added to in step `step`. */
static hone_status make_gradient(struct build *b, int i, int k, struct hn_step *step)
{
    const struct hn_op *op = &b->prog->ops[i];
    int32_t r = root_of(b, op->in[k]);
    const struct hn_value_ref *v = &b->prog->values[r];
    int adds = v->kind == HN_PARAM ? b->written[v->index] : b->grad_span[r] >= 0;
    if (adds && k >= 32)
        return hn_fail(b->err, HONE_E_UNSUPPORTED, op->name,
                       "input %d of %s is used elsewhere too: 32 inputs at most", k, op->row->name);
    if (adds) step->acc |= 1u << k;
    if (v->kind == HN_PARAM) {
        b->written[v->index] = 1;
    } else if (!adds) {
        if (k == 0 && may_overwrite_gradient(b, op)) {
            b->grad_span[r] = b->grad_span[op->out[0]];
        } else {
            HN_TRY(
                add_span(b, hn_shape_count(&v->shape), b->plan->elem, v->name, &b->grad_span[r]));
            b->spans[b->grad_span[r]].first = b->backward[i];
        }
        b->spans[b->grad_span[r]].last = b->backward[b->maker[r]];
    }
    return HONE_OK;
}

/* ---- the plan itself ------------------------------------------------------------------------------------------ */

static hone_status make_steps(struct build *b)
{
    struct hn_plan *plan = b->plan;
    plan->steps = hn_arena_alloc(&plan->mem, (size_t)plan->n_steps + 1, sizeof *plan->steps);
    if (!plan->steps)
        return hn_nomem(b->err, "the plan", (size_t)plan->n_steps * sizeof *plan->steps);
    for (int pass = 0; pass < 2; pass++)
        for (int n = 0; n < b->prog->n_ops; n++) {
            int i = pass == 0
                        ? n
                        : b->prog->n_ops - 1 - n; /* gradients in the order of the backward steps */
            int32_t at = pass == 0 ? b->forward[i] : b->backward[i];
            if (at < 0) continue;
            struct hn_step *s = &plan->steps[at];
            const struct hn_op *op = &b->prog->ops[i];
            size_t refs = 2 * (size_t)op->n_in + 2 * (size_t)op->n_out;
            s->op = i, s->backward = (uint8_t)pass;
            s->x = hn_arena_alloc(&plan->mem, refs + 1, sizeof *s->x);
            if (!s->x) return hn_nomem(b->err, "the plan", refs * sizeof *s->x);
            s->y = s->x + op->n_in, s->dx = s->y + op->n_out, s->dy = s->dx + op->n_in;
            for (int k = 0; pass == 1 && k < op->n_in; k++)
                if (gives(b, op, k)) HN_TRY(make_gradient(b, i, k, s));
        }
    return HONE_OK;
}

static struct hn_ref value_place(const struct build *b, int32_t value)
{
    struct hn_ref none = { HN_SP_NONE, 0 };
    if (value < 0) return none;
    int32_t r = root_of(b, value);
    const struct hn_value_ref *v = &b->prog->values[r];
    if (v->kind == HN_CONST) return (struct hn_ref){ HN_SP_CONST, b->prog->const_off[v->index] };
    if (is_slab(v->kind)) return (struct hn_ref){ HN_SP_W, b->prog->params[v->index].off };
    if (b->value_span[r] < 0) return none;
    return (struct hn_ref){ HN_SP_ARENA, b->spans[b->value_span[r]].off };
}

static struct hn_ref gradient_place(const struct build *b, int32_t value)
{
    struct hn_ref none = { HN_SP_NONE, 0 };
    if (value < 0 || !b->grad[root_of(b, value)]) return none;
    const struct hn_value_ref *v = &b->prog->values[root_of(b, value)];
    if (v->kind == HN_PARAM) return (struct hn_ref){ HN_SP_DW, b->prog->params[v->index].off };
    return (struct hn_ref){ HN_SP_ARENA, b->spans[b->grad_span[root_of(b, value)]].off };
}

static void fill_step(struct build *b, struct hn_step *s)
{
    const struct hn_op *op = &b->prog->ops[s->op];
    const struct hn_need *need = &b->need[s->op];
    for (int k = 0; k < op->n_in; k++) {
        int slab = op->in[k] >= 0 && is_slab(b->prog->values[root_of(b, op->in[k])].kind);
        if (!s->backward || slab || (k < 32 && need->x >> k & 1u))
            s->x[k] = value_place(b, op->in[k]);
        if (s->backward && gives(b, op, k)) s->dx[k] = gradient_place(b, op->in[k]);
    }
    for (int k = 0; k < op->n_out; k++) {
        if (!s->backward || (k < 32 && need->y >> k & 1u)) s->y[k] = value_place(b, op->out[k]);
        if (s->backward) s->dy[k] = gradient_place(b, op->out[k]);
    }
    for (int k = 0; k < need->n_save; k++)
        s->save[k] = (struct hn_ref){ HN_SP_ARENA, b->spans[b->save_span[s->op][k]].off };
}

/* Places of a list of values; all HN_SP_NONE where `used` is 0. */
static hone_status fill_list(struct build *b, const int32_t *values, int n, int used,
                             struct hn_ref **out)
{
    *out = hn_arena_alloc(&b->plan->mem, (size_t)n + 1, sizeof **out);
    if (!*out) return hn_nomem(b->err, "the plan", (size_t)n * sizeof **out);
    for (int i = 0; used && i < n; i++) (*out)[i] = value_place(b, values[i]);
    return HONE_OK;
}

static hone_status fill_plan(struct build *b)
{
    struct hn_plan *plan = b->plan;
    const struct hn_program *p = b->prog;
    for (int i = 0; i < plan->n_steps; i++) fill_step(b, &plan->steps[i]);
    int outputs = plan->pass == HN_PASS_EVAL || plan->pass == HN_PASS_PREDICT;
    HN_TRY(fill_list(b, p->inputs, p->n_inputs, 1, &plan->inputs));
    HN_TRY(fill_list(b, p->targets, p->n_targets, 1, &plan->targets));
    HN_TRY(fill_list(b, p->outputs, p->n_outputs, outputs, &plan->outputs));
    plan->zero_params =
        hn_arena_alloc(&plan->mem, (size_t)p->n_params + 1, sizeof *plan->zero_params);
    if (!plan->zero_params)
        return hn_nomem(b->err, "the plan", (size_t)p->n_params * sizeof *plan->zero_params);
    for (int i = 0; b->training && i < p->n_params; i++)
        if (p->params[i].flags & HN_PARAM_TRAINED && !b->written[i])
            plan->zero_params[plan->n_zero_params++] = i;
    return HONE_OK;
}

static hone_status build(struct build *b, size_t max_bytes)
{
    static const char *const names[] = { "train", "gradient", "evaluation", "prediction",
                                         "statistics" };
    HN_TRY(begin(b));
    HN_TRY(find_roots(b));
    mark_live(b);
    if (b->training) mark_gradients(b);
    number_steps(b);
    find_last_reads(b);
    HN_TRY(make_values(b));
    HN_TRY(make_saves(b));
    HN_TRY(make_steps(b));
    HN_TRY(hn_place(b->mem, b->spans, (size_t)b->n_spans, &b->plan->arena_bytes, b->err));
    if (max_bytes && b->plan->arena_bytes > max_bytes)
        return hn_fail(
            b->err, HONE_E_BUDGET, "the plan",
            "the %s pass with %lld rows needs %zu bytes for activations, %zu are allowed",
            names[b->plan->pass], (long long)b->plan->max_rows, b->plan->arena_bytes, max_bytes);
    return fill_plan(b);
}

hone_status hn_plan_create(struct hn_mem *m, const struct hn_program *p, enum hn_pass pass,
                           int64_t max_rows, size_t elem, size_t max_bytes, struct hn_plan **out,
                           hone_error *err)
{
    *out = NULL;
    if (max_rows < 1 || (elem != 4 && elem != 8) || (unsigned)pass > HN_PASS_STATS)
        return hn_fail(err, HONE_E_USAGE, "the plan",
                       "%lld rows of %zu-byte elements, wanted at least 1 of 4 or 8",
                       (long long)max_rows, elem);
    struct hn_plan *plan = hn_calloc(m, 1, sizeof *plan);
    if (!plan) return hn_nomem(err, "the plan", sizeof *plan);
    hn_arena_init(&plan->mem, m);
    plan->prog = p, plan->pass = pass, plan->max_rows = max_rows, plan->elem = elem;
    struct build b = { .prog = p, .plan = plan, .mem = m, .err = err };
    b.training = pass == HN_PASS_TRAIN || pass == HN_PASS_GRAD;
    hn_arena_init(&b.tmp, m);
    hone_status st = build(&b, max_bytes);
    hn_arena_clear(&b.tmp);
    if (st != HONE_OK) {
        hn_plan_destroy(plan, m);
        return st;
    }
    *out = plan;
    return HONE_OK;
}

void hn_plan_destroy(struct hn_plan *p, struct hn_mem *m)
{
    if (!p) return;
    hn_arena_clear(&p->mem);
    hn_free(m, p);
}
