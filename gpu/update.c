/* SPDX-License-Identifier: MIT
 *
 * The optimizer as nodes, at the end of a step. */
#include "gpu/exec.h"
#include "ops/base/status.h"

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_gpu_node));
}

static int has_optimizer(const struct hn_gpu_build *b)
{
    return b->e->plan->pass == HN_PASS_TRAIN && b->e->n_chunks > 0;
}

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
        n->stage = order[i].stage;
        ((struct hn_k_optim *)n->args)->last =
            order[i].id == (e->plan->pass == HN_PASS_TRAIN ? HN_KN_optim : HN_KN_sums);
    }
    return HONE_OK;
}
