/* SPDX-License-Identifier: MIT
 *
 * Queueing steps. The first time a (rows, variant) is run its library products are prepared and its nodes are queued one by one,
 * so that everything the libraries load lazily is there; from the second step on the nodes are a captured graph. With one slot
 * the graph holds addresses in the replica's slabs, so these are part of its identity. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

unsigned char *hn_gpu_address(const struct hn_gpu_step *s, struct hn_k_ref r)
{
    const struct hn_gpu_exec *e = s->e;
    switch (r.space) {
    case HN_KS_ARENA: return e->arena + r.off;
    case HN_KS_W: return (unsigned char *)s->one->slab[HN_SLAB_W] + r.off;
    case HN_KS_DW:
        return (s->g->sums ? e->grads : (unsigned char *)s->one->slab[HN_SLAB_DW]) + r.off;
    case HN_KS_CONST: return e->consts + r.off;
    default: return NULL;
    }
}

static int is_part(const struct hn_gpu_exec *e, int i, const struct hn_gpu_graph *g)
{
    const struct hn_gpu_node *n = &e->nodes[i];
    if (n->stage == HN_GPU_INSTEAD) return g->instead && g->instead[i];
    if (n->stage == HN_GPU_BESIDE) return !(g->instead && g->instead[i - 1]);
    return n->stage == HN_GPU_ALWAYS || (n->stage == HN_GPU_SUMS && g->sums) ||
           (n->stage == HN_GPU_CLIPS && g->clips) || (n->stage == HN_GPU_AVERAGES && g->averages) ||
           (n->stage == HN_GPU_GATHERS && g->gathers);
}

/* Where the library has no way for a product with what belongs to it, the kernel behind it steps in. */
static hone_status prepare_gemm(const struct hn_gpu_step *s, int i)
{
    const struct hn_gpu_dev *d = s->e->dev;
    const struct hn_gpu_node *n = &s->e->nodes[i];
    struct hn_gpu_gemm g = n->gemm;
    g.m = hn_gpu_n(n->m, s->g->rows), g.n = hn_gpu_n(n->n, s->g->rows),
    g.k = hn_gpu_n(n->k, s->g->rows);
    if (g.m <= 0 || g.n <= 0) return HONE_OK;
    hone_status st = d->layer->gemm_create(d->ctx, &g, &s->g->handles[i], s->err);
    if (st != HONE_E_UNSUPPORTED) return st;
    s->g->instead[i + 1] = 1;
    if (!g.sums) return HONE_OK;
    g.sums = 0;
    st = d->layer->gemm_create(d->ctx, &g, &s->g->handles[i], s->err);
    return st;
}

static hone_status launch(const struct hn_gpu_step *s, const struct hn_gpu_node *n)
{
    struct hn_gpu_exec *e = s->e;
    const struct hn_gpu_dev *d = e->dev;
    int64_t x = hn_gpu_n(n->x, s->g->rows), y = hn_gpu_n(n->y, s->g->rows);
    if (hn_gpu_is_product(n->kernel)) {
        if (!hn_gpu_gemm_fits(n, s->g->rows))
            return hn_fail(s->err, HONE_E_UNSUPPORTED, n->name,
                           "a batch of %lld rows makes an operand of more than 2^31 elements, "
                           "which the GPU's own product does not take",
                           (long long)s->g->rows);
        x = hn_gpu_gemm_blocks(n, s->g->rows);
    }
    x = (x + n->per_x - 1) / n->per_x, y = (y + n->per_y - 1) / n->per_y;
    if (x <= 0 || y <= 0) return HONE_OK; /* an empty grid is a launch error */
    if (x > n->most_x || y > 65535)
        return hn_fail(s->err, HONE_E_UNSUPPORTED, n->name,
                       "a launch of %lld x %lld blocks is more than a GPU takes", (long long)x,
                       (long long)y);
    memcpy(n->args, &e->env, sizeof e->env); /* every kernel's arguments begin with it */
    struct hn_gpu_grid grid = { (uint32_t)x, (uint32_t)y, (uint32_t)e->max_slots };
    return d->layer->launch(d->ctx, n->kernel, d->elem, grid, n->args, n->bytes, s->err);
}

static hone_status call_gemm(const struct hn_gpu_step *s, const struct hn_gpu_node *n, void *handle)
{
    const struct hn_gpu_exec *e = s->e;
    const struct hn_gpu_dev *d = e->dev;
    if (!handle) return HONE_OK;
    return d->layer->gemm(d->ctx, handle, hn_gpu_address(s, n->a), hn_gpu_address(s, n->b),
                          hn_gpu_address(s, n->c), hn_gpu_address(s, n->bias), s->err);
}

static hone_status queue(const struct hn_gpu_step *s)
{
    struct hn_gpu_exec *e = s->e;
    e->env.grads = s->g->sums ? e->grads : NULL;
    for (int i = 0; i < e->n_nodes; i++) {
        const struct hn_gpu_node *n = &e->nodes[i];
        if (!is_part(e, i, s->g)) continue;
        switch (n->kind) {
        case HN_GPU_KERNEL: HN_TRY(launch(s, n)); break;
        case HN_GPU_SIDE: HN_TRY(e->dev->layer->side(e->dev->ctx, n->side, s->err)); break;
        case HN_GPU_GEMM: HN_TRY(call_gemm(s, n, s->g->handles[i])); break;
        default: HN_TRY(hn_gpu_call_library(s, i)); break;
        }
    }
    return HONE_OK;
}

/* ---- graphs ---------------------------------------------------------------------------------------------------- */

static void drop(struct hn_gpu_exec *e, struct hn_gpu_graph *g)
{
    const struct hn_gpu_dev *d = e->dev;
    void **handles = g->handles;
    for (int i = 0; handles && i < e->n_nodes; i++)
        if (handles[i]) hn_gpu_release_library(e, i, handles[i]);
    if (g->graph) d->layer->graph_release(d->ctx, g->graph);
    if (g->many) d->layer->graph_release(d->ctx, g->many);
    hn_free(d->mem, handles);
    hn_free(d->mem, g->instead);
    *g = (struct hn_gpu_graph){ 0 };
}

void hn_gpu_drop_graphs(struct hn_gpu_exec *e)
{
    for (int i = 0; i < HN_GPU_GRAPHS; i++) drop(e, &e->graphs[i]);
}

/* Do calls of the step name places in the slot's slabs? */
static int by_address(const struct hn_gpu_exec *e) { return e->n_gemms || e->n_norms; }

static int fits(const struct hn_gpu_exec *e, const struct hn_gpu_graph *g,
                const struct hn_gpu_graph *want)
{
    return g->handles && g->rows == want->rows && g->sums == want->sums &&
           g->clips == want->clips && g->gathers == want->gathers &&
           g->averages == want->averages &&
           !(g->dropout < want->dropout || g->dropout > want->dropout) &&
           (!by_address(e) || memcmp(g->slab, want->slab, sizeof g->slab) == 0);
}

/* The variant's place in the cache; a new one takes the place of the one not used for longest. */
static hone_status find(struct hn_gpu_exec *e, const struct hn_gpu_graph *want,
                        struct hn_gpu_graph **out, hone_error *err)
{
    struct hn_gpu_graph *oldest = &e->graphs[0];
    e->clock++;
    for (int i = 0; i < HN_GPU_GRAPHS; i++) {
        *out = &e->graphs[i];
        if (fits(e, *out, want)) {
            (*out)->used = e->clock;
            return HONE_OK;
        }
        if ((*out)->used < oldest->used) oldest = *out;
    }
    drop(e, oldest);
    *oldest = *want;
    oldest->used = e->clock;
    *out = oldest;
    oldest->handles = hn_calloc(e->dev->mem, (size_t)e->n_nodes + 1, sizeof *oldest->handles);
    oldest->instead = hn_calloc(e->dev->mem, (size_t)e->n_nodes + 1, 1);
    struct hn_gpu_step s = { e, oldest, NULL, err };
    hone_status st =
        oldest->handles && oldest->instead
            ? HONE_OK
            : hn_nomem(err, "a captured step", (size_t)e->n_nodes * sizeof *oldest->handles);
    for (int i = 0; st == HONE_OK && i < e->n_nodes; i++)
        if (e->nodes[i].kind != HN_GPU_KERNEL && e->nodes[i].kind != HN_GPU_SIDE &&
            is_part(e, i, oldest))
            st = e->nodes[i].kind == HN_GPU_GEMM ? prepare_gemm(&s, i)
                                                 : hn_gpu_prepare_library(&s, i);
    if (st != HONE_OK) drop(e, oldest);
    return st;
}

/* `steps` of them in one graph. */
static hone_status capture(const struct hn_gpu_step *s, int64_t steps, void **graph)
{
    const struct hn_gpu_dev *d = s->e->dev;
    hone_error ignored;
    hone_status st = HONE_OK;
    HN_TRY(d->layer->capture_begin(d->ctx, s->err));
    for (int64_t i = 0; i < steps && st == HONE_OK; i++) st = queue(s);
    hone_status end = d->layer->capture_end(d->ctx, graph, st == HONE_OK ? s->err : &ignored);
    if (st == HONE_OK) st = end;
    if (st != HONE_OK && *graph) {
        d->layer->graph_release(d->ctx, *graph);
        *graph = NULL;
    }
    return st;
}

/* Captured graphs: one of a single step, and one of `unroll` steps once so many follow each other that it pays. The device
 * counts its steps, so both serve anywhere in a run. */
static hone_status replay(const struct hn_gpu_step *s, int64_t steps)
{
    const struct hn_gpu_dev *d = s->e->dev;
    const int64_t each = d->o.unroll;
    struct hn_gpu_graph *g = s->g;
    if (each > 1 && !g->many && steps >= 2 * each) HN_TRY(capture(s, each, &g->many));
    for (; g->many && steps >= each; steps -= each)
        HN_TRY(d->layer->replay(d->ctx, g->many, s->err));
    if (steps > 0 && !g->graph) HN_TRY(capture(s, 1, &g->graph));
    for (; steps > 0; steps--) HN_TRY(d->layer->replay(d->ctx, g->graph, s->err));
    return HONE_OK;
}

static hone_status refresh(const struct hn_gpu_step *s)
{
    for (int i = 0; i < s->e->n_nodes; i++)
        if (s->e->nodes[i].stage == HN_GPU_FRESH) HN_TRY(launch(s, &s->e->nodes[i]));
    return HONE_OK;
}

hone_status hn_gpu_steps(struct hn_gpu_exec *e, const struct hn_gpu_graph *variant,
                         const struct hn_replica *r, int64_t n_steps, hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    struct hn_gpu_graph want = *variant;
    for (int i = 0; by_address(e) && i < 4; i++) want.slab[i] = r->slab[i];
    if (e->n_drops && r->hyper) want.dropout = r->hyper->dropout;
    struct hn_gpu_step s = { e, NULL, r, err };
    HN_TRY(find(e, &want, &s.g, err));
    HN_TRY(refresh(&s));
    while (n_steps > 0 && (d->o.no_graph || !s.g->warm)) {
        HN_TRY(queue(&s));
        s.g->warm = 1;
        n_steps--;
    }
    return replay(&s, n_steps);
}
