/* SPDX-License-Identifier: MIT
 *
 * Launches that do a product with what stands around it (chain.cu), where `mma` makes it in tiles of 16 x 16: the BatchNorm in
 * front, whose input such a launch made, and the loss of few classes behind. A norm waits (build.pending) until the step behind it
 * is known; where that is no such product, it becomes a launch of its own. What the launch writes may not lie where other blocks
 * of it still read. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

enum { MOST_TILES = 64 }; /* of a norm's rows: every block reads all of their spreads */

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_k_chain));
}

static int same_dim(struct hn_k_dim a, struct hn_k_dim b)
{
    return a.per_row == b.per_row && a.fixed == b.fixed;
}
static int same_place(struct hn_k_ref a, struct hn_k_ref b)
{
    return a.space == b.space && a.off == b.off && a.space != HN_KS_NONE;
}
static int meet(struct hn_k_ref a, size_t a_bytes, struct hn_k_ref b, size_t b_bytes)
{
    return a.space == HN_KS_ARENA && b.space == HN_KS_ARENA && a.off < b.off + b_bytes &&
           b.off < a.off + a_bytes;
}

/* The product of the node in front, if it is one whose results leave as they are, in tiles of 16 x 16, at x. */
static const struct hn_k_product *product_in_front(const struct hn_gpu_build *b, int at,
                                                   struct hn_k_ref x)
{
    const struct hn_gpu_node *n = at > 0 ? &b->e->nodes[at - 1] : NULL;
    if (!n || n->kind != HN_GPU_KERNEL || n->stage != HN_GPU_ALWAYS ||
        (n->kernel != HN_KN_mma && n->kernel != HN_KN_chain))
        return NULL;
    const struct hn_k_gemm *g = n->args; /* a chain begins with it */
    const struct hn_k_product *p = &g->p[0];
    return g->n == 1 && p->shape == HN_KM_16x16 && !p->tail.how && !p->tail.drops &&
                   !p->tail.backward && same_place(p->tail.c, x)
               ? p
               : NULL;
}

/* Node `at` as a chain; NULL: no memory. */
static struct hn_k_chain *chain_at(struct hn_gpu_build *b, int at)
{
    struct hn_gpu_node *n = &b->e->nodes[at];
    if (n->kernel == HN_KN_chain) return n->args;
    struct hn_k_chain *c = hn_arena_alloc(&b->e->mem, 1, sizeof *c);
    if (!c) return NULL;
    *c = (struct hn_k_chain){ .product = *(const struct hn_k_gemm *)n->args };
    n->kernel = HN_KN_chain, n->args = c, n->bytes = sizeof *c;
    return c;
}

/* ---- a norm in front -------------------------------------------------------------------------------------------------- */

int hn_gpu_chain_norm(struct hn_gpu_build *b, const struct hn_k_norm *k)
{
    const struct hn_step *next = b->s + 1 + b->fused;
    const int64_t rows = hn_gpu_n(k->outer, b->e->plan->max_rows);
    const struct hn_k_product *p = product_in_front(b, b->e->n_nodes, k->x);
    if (b->e->dev->o.chain != HN_GPU_CHAIN_ALL || !hn_gpu_trains(b->e->plan->pass) || !k->batch ||
        !p || k->inner != 1 || k->copy.space != HN_KS_NONE || k->channels > HN_K_CHAIN ||
        (rows + 15) / 16 > MOST_TILES || !same_dim(p->m, k->outer) ||
        !same_dim(p->n, hn_gpu_fixed(k->channels)) || next >= b->end ||
        strcmp(b->p->ops[next->op].row->name, "dense") != 0)
        return 0;
    b->norm = *k, b->pending = 1;
    return 1;
}

hone_status hn_gpu_chain_end(struct hn_gpu_build *b)
{
    if (!b->pending) return HONE_OK;
    b->pending = 0;
    return hn_gpu_norm_alone(b, &b->norm);
}

/* Can the norm that waits be part of the launch of g? */
static int fits(const struct hn_gpu_build *b, const struct hn_k_gemm *g)
{
    const struct hn_k_norm *k = &b->norm;
    const struct hn_k_product *p = &g->p[0];
    const int64_t rows = hn_gpu_n(k->outer, b->e->plan->max_rows);
    const size_t elem = b->e->dev->elem, in = (size_t)(rows * k->channels) * elem,
                 out = (size_t)(rows * p->n.fixed) * elem;
    if (g->n != 1 || p->shape != HN_KM_16x16 || !p->a.along || p->a.column >= 0 ||
        !same_place(p->a.at, k->y) || !same_dim(p->m, k->outer) ||
        !same_dim(p->k, hn_gpu_fixed(k->channels)) || p->a.stride != k->channels)
        return 0;
    const struct hn_k_ref writes[] = { p->tail.c, p->tail.y, p->tail.z, k->save_mean, k->save_inv };
    for (int i = 0; i < 5; i++)
        if (meet(writes[i], i < 3 ? out : (size_t)k->channels * sizeof(double), k->x, in)) return 0;
    return !meet(k->x, in, k->y, in);
}

hone_status hn_gpu_chain_product(struct hn_gpu_build *b, enum hn_k_id kernel,
                                 const struct hn_k_gemm *g, int *taken)
{
    struct hn_gpu_exec *e = b->e;
    if (!b->pending) return HONE_OK;
    if (kernel != HN_KN_mma || b->s->backward || !fits(b, g)) return hn_gpu_chain_end(b);
    const int64_t rows = hn_gpu_n(b->norm.outer, e->plan->max_rows);
    struct hn_k_chain *front = chain_at(b, e->n_nodes - 1);
    if (!front) return no_memory(b);
    front->behind = (struct hn_k_ref){
        HN_KS_ARENA,
        hn_gpu_extra(b, (size_t)((rows + 15) / 16 * b->norm.channels) * 2 * sizeof(double))
    };
    struct hn_k_chain c = {
        .product = *g, .norm = b->norm, .in_front = front->behind, .has_norm = 1
    };
    c.product.p[0].a.at = b->norm.x;
    b->pending = 0, *taken = 1;
    return hn_gpu_add(b, HN_KN_chain, &c, sizeof c, hn_gpu_fixed(1), 1) ? HONE_OK : no_memory(b);
}

/* ---- a loss behind ------------------------------------------------------------------------------------------------------ */

/* The rows of a tile have all of their classes, and what the loss writes nobody reads for the product. */
hone_status hn_gpu_chain_loss(struct hn_gpu_build *b, const struct hn_k_loss *k, int *taken)
{
    struct hn_gpu_exec *e = b->e;
    const struct hn_k_product *p = product_in_front(b, e->n_nodes, k->x);
    if (e->dev->o.chain == HN_GPU_CHAIN_NONE || !k->few || !p || p->across != 1 || p->acc ||
        !same_dim(p->m, k->rows) || !same_dim(p->n, k->cols))
        return HONE_OK;
    const int back = e->plan->n_forward < e->plan->n_steps; /* somebody asks for what is saved */
    const int64_t rows = e->plan->max_rows;
    const size_t elem = e->dev->elem,
                 in = (size_t)(hn_gpu_n(p->m, rows) * hn_gpu_n(p->k, rows)) * elem,
                 out = (size_t)(hn_gpu_n(p->m, rows) * hn_gpu_n(p->n, rows)) * elem,
                 w = (size_t)(hn_gpu_n(p->n, rows) * hn_gpu_n(p->k, rows)) * elem;
    const struct hn_k_ref reads[] = { p->a.at, p->b.at, p->bias };
    const size_t bytes[] = { in, w, (size_t)hn_gpu_n(p->n, rows) * elem };
    for (int i = 0; i < 3; i++)
        if ((k->both && meet(k->dx, out, reads[i], bytes[i])) ||
            (back && meet(k->lse, (size_t)e->row_stride * sizeof(double), reads[i], bytes[i])))
            return HONE_OK;
    struct hn_k_chain *c = chain_at(b, e->n_nodes - 1);
    if (!c) return no_memory(b);
    c->loss = *k, c->has_loss = *taken = 1;
    if (!back) c->loss.lse.space = HN_KS_NONE;
    return HONE_OK;
}
