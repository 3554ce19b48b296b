/* SPDX-License-Identifier: MIT
 *
 * The optimizer as nodes: after everything else, or (updates=beside) the parameters of a layer as soon as no step that is still to
 * come reads them or adds to their gradients, beside the gradients of the layers below. That is for steps that need no sum over
 * all gradients first: one batch each, nothing clipped; all other variants of a step have the optimizer at the end, as ever. The
 * table of chunks holds all parameters in their order, and behind them the same once more in the order of those launches. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_gpu_node));
}

static int has_optimizer(const struct hn_gpu_build *b)
{
    return b->e->plan->pass == HN_PASS_TRAIN && b->e->n_chunks > 0;
}

/* ---- who is ready when ------------------------------------------------------------------------------------------- */

static void use(const struct hn_gpu_build *b, int step, const struct hn_ref *r, int n)
{
    for (int k = 0; k < n; k++)
        for (int i = 0; (r[k].space == HN_SP_W || r[k].space == HN_SP_DW) && i < b->p->n_params;
             i++) {
            const struct hn_param *q = &b->p->params[i];
            if (r[k].off >= q->off && r[k].off < q->off + (q->n ? q->n : 1)) b->last_use[i] = step;
        }
}

/* Fills b->last_use: the last step of the plan that has to do with a parameter. */
static hone_status find_uses(struct hn_gpu_build *b)
{
    const struct hn_plan *plan = b->e->plan;
    const size_t n = (size_t)b->p->n_params + 1;
    b->last_use = hn_arena_alloc(&b->e->mem, n, sizeof *b->last_use);
    b->updated = hn_arena_alloc(&b->e->mem, n, 1);
    if (!b->last_use || !b->updated) return no_memory(b);
    for (int i = 0; i < b->p->n_params; i++) /* a gradient of zeros is nobody's: at the end */
        b->last_use[i] = plan->n_steps, b->updated[i] = 0;
    for (int s = plan->n_forward; s < plan->n_steps; s++) {
        const struct hn_step *at = &plan->steps[s];
        const struct hn_op *op = &b->p->ops[at->op];
        use(b, s, at->x, op->n_in), use(b, s, at->dx, op->n_in);
        use(b, s, at->y, op->n_out), use(b, s, at->dy, op->n_out);
    }
    return HONE_OK;
}

/* Parameters not updated yet that are ready behind `step`, or with step < 0 those that are not; all trained. */
static int64_t take(struct hn_gpu_build *b, int step, int launch)
{
    struct hn_gpu_exec *e = b->e;
    int64_t n = 0;
    for (int i = 0; i < b->p->n_params; i++) {
        const struct hn_param *q = &b->p->params[i];
        if (!(q->flags & HN_PARAM_TRAINED) || b->updated[i] || b->last_use[i] > step) continue;
        for (int c = 0; c < e->n_chunks; c++) {
            const struct hn_k_chunk *k = &e->all_chunks[c];
            if (k->off < q->off || k->off >= q->off + q->n) continue;
            if (launch) e->all_chunks[e->n_chunks + e->n_again++] = *k;
            n++;
        }
        if (launch) b->updated[i] = 1;
    }
    return n;
}

/* The optimizer of what is ready behind `step`. */
static hone_status update(struct hn_gpu_build *b, int step, int last)
{
    struct hn_gpu_exec *e = b->e;
    struct hn_k_optim k = { .n_chunks = e->n_chunks, .first = e->n_chunks + e->n_again };
    k.last = last;
    const int64_t n = take(b, step, 1);
    struct hn_gpu_node *node = hn_gpu_add(b, HN_KN_optim, &k, sizeof k, hn_gpu_fixed(n), 1);
    if (!node) return no_memory(b);
    node->stage = HN_GPU_SOON;
    for (int i = 0; i < b->p->n_params; i++) {
        if (b->updated[i] == 1) HN_TRY(hn_gpu_turn_again(b, i, HN_GPU_SOON));
        if (b->updated[i]) b->updated[i] = 2;
    }
    return HONE_OK;
}

static hone_status side(struct hn_gpu_build *b, enum hn_gpu_side what)
{
    struct hn_gpu_node *n = hn_gpu_library(b, HN_GPU_SIDE);
    if (!n) return no_memory(b);
    n->side = what, n->stage = HN_GPU_SOON;
    return HONE_OK;
}

/* Behind a layer: something must be left for the end, since the last launch of a step moves the slot on. */
hone_status hn_gpu_update_soon(struct hn_gpu_build *b, int step)
{
    if (!b->e->dev->o.updates_beside || !has_optimizer(b)) return HONE_OK;
    if (strcmp(b->op->row->name, "dense") != 0) return HONE_OK;
    if (!b->last_use) HN_TRY(find_uses(b));
    const int64_t ready = take(b, step, 0);
    if (ready == 0 || ready == take(b, b->e->plan->n_steps, 0)) return HONE_OK;
    HN_TRY(side(b, HN_GPU_FORK));
    HN_TRY(update(b, step, 0));
    return side(b, HN_GPU_BACK);
}

/* ---- the end of a step --------------------------------------------------------------------------------------------- */

/* Running statistics into the average, once per good step: before the launch that moves the slot on. */
static hone_status average(struct hn_gpu_build *b)
{
    struct hn_k_average k = { .first = (int64_t)b->p->n_slab };
    for (int i = 0; i < b->p->n_params; i++)
        if (b->p->params[i].flags & HN_PARAM_STATE && (int64_t)b->p->params[i].off < k.first)
            k.first = (int64_t)b->p->params[i].off;
    k.n = (int64_t)b->p->n_slab - k.first;
    if (!has_optimizer(b) || !k.n) return HONE_OK;
    struct hn_gpu_node *n = hn_gpu_add(b, HN_KN_average, &k, sizeof k, hn_gpu_fixed(k.n), HN_BLOCK);
    if (!n) return no_memory(b);
    n->stage = HN_GPU_AVERAGES;
    return HONE_OK;
}

hone_status hn_gpu_update(struct hn_gpu_build *b)
{
    struct hn_gpu_exec *e = b->e;
    HN_TRY(average(b));
    struct hn_k_optim k = { .n_chunks = e->n_chunks };
    const int soon = e->n_again > 0;
    static const struct {
        enum hn_k_id id;
        enum hn_gpu_stage stage;
    } order[] = { { HN_KN_sums, HN_GPU_SUMS },
                  { HN_KN_squares, HN_GPU_CLIPS },
                  { HN_KN_clip, HN_GPU_CLIPS },
                  { HN_KN_optim, HN_GPU_ALWAYS } };
    for (size_t i = 0; e->n_chunks > 0 && i < sizeof order / sizeof *order; i++) {
        if (order[i].id != HN_KN_sums && e->plan->pass != HN_PASS_TRAIN) continue;
        struct hn_k_dim x = hn_gpu_fixed(order[i].id == HN_KN_clip ? 1 : e->n_chunks);
        struct hn_gpu_node *n = hn_gpu_add(b, order[i].id, &k, sizeof k, x, 1);
        if (!n) return no_memory(b);
        n->stage = soon && order[i].id == HN_KN_optim ? HN_GPU_LATE : order[i].stage;
        ((struct hn_k_optim *)n->args)->last =
            order[i].id == (e->plan->pass == HN_PASS_TRAIN ? HN_KN_optim : HN_KN_sums);
    }
    for (int i = 0; i < b->p->n_params && has_optimizer(b); i++)
        if (b->p->params[i].flags & HN_PARAM_TRAINED)
            HN_TRY(hn_gpu_turn_again(b, i, soon ? HN_GPU_LATE : HN_GPU_ALWAYS));
    if (!soon) return HONE_OK;
    HN_TRY(side(b, HN_GPU_JOIN));
    return update(b, e->plan->n_steps, 1);
}
