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
    const struct hn_ref x = { HN_SP_ARENA, a.off }, y = { HN_SP_ARENA, b.off };
    return a.space == HN_KS_ARENA && b.space == HN_KS_ARENA &&
           hn_gpu_overlap(x, a_bytes, y, b_bytes);
}
/* Does a place meet one that the norm reads or writes? The plan may give it to what comes behind the norm. */
static int meets_norm(const struct hn_gpu_build *b, const struct hn_k_norm *k, struct hn_k_ref at,
                      size_t bytes)
{
    const size_t each = (size_t)k->channels,
                 all = (size_t)hn_gpu_n(k->outer, b->e->plan->max_rows) * each * b->e->dev->elem;
    return meet(at, bytes, k->x, all) || meet(at, bytes, k->y, all) ||
           meet(at, bytes, k->save_mean, each * sizeof(double)) ||
           meet(at, bytes, k->save_inv, each * sizeof(double));
}

/* The product of the node in front, if it is one whose results leave as they are, in tiles of 16 x 16, at x. */
static const struct hn_k_product *product_in_front(const struct hn_gpu_build *b, struct hn_k_ref x)
{
    const struct hn_gpu_node *n = b->e->n_nodes ? &b->e->nodes[b->e->n_nodes - 1] : NULL;
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

/* The node in front as a chain; NULL: no memory. */
static struct hn_k_chain *chain_in_front(struct hn_gpu_build *b)
{
    struct hn_gpu_node *n = &b->e->nodes[b->e->n_nodes - 1];
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
    const struct hn_k_product *p = product_in_front(b, k->x);
    if (b->e->dev->o.chain != HN_GPU_CHAIN_ALL || !hn_gpu_trains(b->e->plan->pass) || !k->batch ||
        !p || k->inner != 1 || k->copy.space != HN_KS_NONE || k->mean_out.space != HN_KS_NONE ||
        k->channels > HN_K_CHAIN || (rows + 15) / 16 > MOST_TILES || !same_dim(p->m, k->outer) ||
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
    const size_t rows = (size_t)hn_gpu_n(k->outer, b->e->plan->max_rows), elem = b->e->dev->elem,
                 out = rows * (size_t)p->n.fixed * elem;
    if (g->n != 1 || p->shape != HN_KM_16x16 || !p->a.along || p->a.column >= 0 ||
        !same_place(p->a.at, k->y) || !same_dim(p->m, k->outer) ||
        !same_dim(p->k, hn_gpu_fixed(k->channels)) || p->a.stride != k->channels)
        return 0;
    return !meets_norm(b, k, p->tail.c, out) && !meets_norm(b, k, p->tail.y, out) &&
           !meets_norm(b, k, p->tail.z, out) &&
           !meet(k->x, rows * (size_t)k->channels * elem, k->y, rows * (size_t)k->channels * elem);
}

hone_status hn_gpu_chain_product(struct hn_gpu_build *b, enum hn_k_id kernel,
                                 const struct hn_k_gemm *g, int *taken)
{
    struct hn_gpu_exec *e = b->e;
    if (!b->pending) return HONE_OK;
    if (kernel != HN_KN_mma || b->s->backward || !fits(b, g)) return hn_gpu_chain_end(b);
    const int64_t rows = hn_gpu_n(b->norm.outer, e->plan->max_rows);
    struct hn_k_chain *front = chain_in_front(b);
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
    const struct hn_k_product *p = product_in_front(b, k->x);
    if (e->dev->o.chain == HN_GPU_CHAIN_NONE || !k->few || !p || p->across != 1 || p->acc ||
        !same_dim(p->m, k->rows) || !same_dim(p->n, k->cols))
        return HONE_OK;
    const int back = e->plan->n_forward < e->plan->n_steps; /* somebody asks for what is saved */
    const struct hn_k_chain *front = e->nodes[e->n_nodes - 1].args;
    const int normed = e->nodes[e->n_nodes - 1].kernel == HN_KN_chain && front->has_norm;
    const size_t elem = e->dev->elem, m = (size_t)hn_gpu_n(p->m, e->plan->max_rows),
                 n = (size_t)hn_gpu_n(p->n, e->plan->max_rows),
                 terms = (size_t)hn_gpu_n(p->k, e->plan->max_rows);
    const struct hn_k_ref reads[] = { p->a.at, p->b.at, p->bias }, none = { HN_KS_NONE, 0 },
                          writes[] = { k->both ? k->dx : none, back ? k->lse : none };
    const size_t read[] = { m * terms * elem, n * terms * elem, n * elem },
                 written[] = { m * n * elem, (size_t)e->row_stride * sizeof(double) };
    for (int w = 0; w < 2; w++) {
        if (normed && meets_norm(b, &front->norm, writes[w], written[w])) return HONE_OK;
        for (int i = 0; i < 3; i++)
            if (meet(writes[w], written[w], reads[i], read[i])) return HONE_OK;
    }
    struct hn_k_chain *c = chain_in_front(b);
    if (!c) return no_memory(b);
    c->loss = *k, c->has_loss = *taken = 1;
    if (!back) c->loss.lse.space = HN_KS_NONE;
    return HONE_OK;
}
