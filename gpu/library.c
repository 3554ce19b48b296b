/* SPDX-License-Identifier: MIT
 *
 * BatchNorm and Dropout by cuDNN, for one slot. A library node stands before the kernel that does the same work and borrows its
 * arguments; the kernel runs where the library has no answer: BatchNorm of a single value per channel (the factor n / (n - 1)),
 * Dropout with rate 1. Which of the two it is follows from the batch alone, so that forward and backward agree.
 *
 * Running statistics: cuDNN moves them in its forward call, but a step with a bad loss must change nothing. So it moves a copy
 * (`keep`), brought up to date when a run begins; norm_commit copies it back once the step turned out good.
 *
 * Dropout: all layers draw from one block of random states in device memory, seeded by the replica's key. The states move with
 * every forward call, replayed ones too; they are the backend's state in a checkpoint. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

/* ---- nodes --------------------------------------------------------------------------------------------------------- */

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_gpu_node));
}

/* The kernel behind library node `at`. */
static hone_status instead(struct hn_gpu_build *b, const struct hn_gpu_node *kernel,
                           enum hn_k_id id, const void *args, size_t bytes)
{
    struct hn_gpu_node *n = hn_gpu_add(b, id, args, bytes, kernel->x, kernel->per_x);
    if (!n) return no_memory(b);
    n->stage = HN_GPU_INSTEAD;
    return HONE_OK;
}

hone_status hn_gpu_library_norm(struct hn_gpu_build *b, enum hn_gpu_norm_way way,
                                const struct hn_k_norm *args)
{
    struct hn_k_norm k = *args;
    const size_t bytes = (size_t)k.channels * b->e->dev->elem;
    const struct hn_gpu_node kernel = { .x = hn_gpu_fixed(k.channels),
                                        .per_x = HN_BLOCK / HN_K_NORM };
    struct hn_gpu_node *n = hn_gpu_library(b, HN_GPU_NORM);
    if (!n) return no_memory(b);
    n->way = way;
    b->e->n_norms++;
    if (b->s->backward) {
        if (!k.dscale.space || !k.dbias.space)
            n->spare = (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(b, 2 * bytes) };
    } else if (k.stats.space) {
        n->keep = (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(b, 2 * bytes) };
        k.mean_out = k.var_out = k.stats = n->keep;
        k.var_out.off += bytes;
        k.copied = 1;
    }
    return instead(b, &kernel, b->s->backward ? HN_KN_norm_back : HN_KN_norm, &k, sizeof k);
}

hone_status hn_gpu_library_drop(struct hn_gpu_build *b, const struct hn_k_dropout *k)
{
    const struct hn_gpu_dev *d = b->e->dev;
    const struct hn_gpu_node kernel = {
        .x = { k->rows.per_row * k->cols, (k->rows.fixed + 7) * k->cols }, .per_x = 8 * HN_BLOCK
    };
    const int64_t rows = hn_gpu_n(k->rows, b->e->plan->max_rows);
    struct hn_k_ref *kept = &b->kept[b->s->op];
    if (!b->s->backward) {
        size_t bytes = 0;
        HN_TRY(d->layer->drop_reserve(d->ctx, rows, k->cols, d->elem, &bytes, b->err));
        *kept = (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(b, bytes) };
    }
    struct hn_gpu_node *n = hn_gpu_library(b, HN_GPU_DROP);
    if (!n) return no_memory(b);
    n->keep = *kept;
    b->e->n_drops++;
    if (k->acc)
        n->spare =
            (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(b, (size_t)(rows * k->cols) * d->elem) };
    struct hn_k_unary add = { .dy = n->spare, .dx = k->to, .acc = 1 }; /* a copy's gradient */
    add.n = (struct hn_k_dim){ k->rows.per_row * k->cols, k->rows.fixed * k->cols };
    HN_TRY(instead(b, &kernel, HN_KN_dropout, k, sizeof *k));
    if (!k->acc) return HONE_OK;
    n = hn_gpu_add(b, HN_KN_unary_back, &add, sizeof add, add.n, 4 * HN_BLOCK);
    if (!n) return no_memory(b);
    n->stage = HN_GPU_BESIDE;
    return HONE_OK;
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

static hone_status prepare_norm(const struct hn_gpu_step *s, int i)
{
    const struct hn_gpu_dev *d = s->e->dev;
    const struct hn_gpu_node *kernel = &s->e->nodes[i + 1];
    const struct hn_k_norm *k = kernel->args;
    struct hn_gpu_norm n = { .way = s->e->nodes[i].way,
                             .rows = hn_gpu_n(k->outer, s->g->rows),
                             .channels = k->channels,
                             .inner = k->inner,
                             .elem = d->elem,
                             .eps = k->eps,
                             .factor = 1 - k->momentum,
                             .batch = k->batch };
    n.acc = k->acc & 1;
    n.acc_params = k->dscale.space ? (k->acc & 2) != 0 : k->dbias.space && (k->acc & 4) != 0;
    if (k->batch && n.rows * n.inner < 2) {
        s->g->instead[i + 1] = 1;
        return HONE_OK;
    }
    hone_status st = d->layer->norm_create(d->ctx, &n, &s->g->handles[i], s->err);
    if (st != HONE_E_UNSUPPORTED || d->o.norm != HN_GPU_AUTO) return st;
    s->g->instead[i + 1] = 1; /* nobody asked for cuDNN */
    return HONE_OK;
}

static hone_status call_norm(const struct hn_gpu_step *s, int i)
{
    const struct hn_gpu_dev *d = s->e->dev;
    const struct hn_gpu_node *n = &s->e->nodes[i], *kernel = n + 1;
    const struct hn_k_norm *k = kernel->args;
    struct hn_gpu_norm_at at = { .x = hn_gpu_address(s, k->x),
                                 .scale = hn_gpu_address(s, k->scale),
                                 .save_mean = hn_gpu_address(s, k->save_mean),
                                 .save_inv = hn_gpu_address(s, k->save_inv) };
    if (kernel->kernel == HN_KN_norm_back) {
        at.dy = hn_gpu_address(s, k->dy), at.dx = hn_gpu_address(s, k->dx);
        at.dscale = hn_gpu_address(s, k->dscale.space ? k->dscale : n->spare);
        struct hn_k_ref spare = n->spare;
        spare.off += (uint64_t)k->channels * d->elem;
        at.dbias = hn_gpu_address(s, k->dbias.space ? k->dbias : spare);
        return d->layer->norm_backward(d->ctx, s->g->handles[i], &at, s->err);
    }
    at.bias = hn_gpu_address(s, k->bias), at.y = hn_gpu_address(s, k->y);
    at.mean = hn_gpu_address(s, k->batch ? k->mean_out : k->mean);
    at.var = hn_gpu_address(s, k->batch ? k->var_out : k->var);
    return d->layer->norm_forward(d->ctx, s->g->handles[i], &at, s->err);
}

static uint64_t seed_of(const struct hn_gpu_exec *e)
{
    return (uint64_t)e->state_key[1] << 32 | e->state_key[0];
}

static hone_status prepare_drop(const struct hn_gpu_step *s, int i)
{
    const struct hn_gpu_exec *e = s->e;
    const struct hn_gpu_dev *dev = e->dev;
    const struct hn_k_dropout *k = e->nodes[i + 1].args;
    struct hn_gpu_drop d = { .rows = hn_gpu_n(k->rows, s->g->rows),
                             .cols = k->cols,
                             .elem = dev->elem,
                             .rate = s->g->dropout >= 0 && !k->drop.fixed ? s->g->dropout
                                                                          : k->drop.rate,
                             .states = e->states,
                             .state_bytes = e->state_bytes,
                             .seed = seed_of(e) };
    if (d.rate >= 1 || d.rows < 1) {
        s->g->instead[i + 1] = 1;
        return HONE_OK;
    }
    return dev->layer->drop_create(dev->ctx, &d, &s->g->handles[i], s->err);
}

static hone_status call_drop(const struct hn_gpu_step *s, int i)
{
    const struct hn_gpu_dev *d = s->e->dev;
    const struct hn_gpu_node *n = &s->e->nodes[i];
    const struct hn_k_dropout *k = n[1].args;
    return d->layer->drop(d->ctx, s->g->handles[i], k->backward, hn_gpu_address(s, k->from),
                          hn_gpu_address(s, n->spare.space ? n->spare : k->to),
                          hn_gpu_address(s, n->keep), s->err);
}

/* The error of a call with the node's name, and what else could be asked for. */
static hone_status named(const struct hn_gpu_step *s, int i, hone_status st, const char *option)
{
    if (st != HONE_E_UNSUPPORTED) return st;
    hone_error why = *s->err;
    return hn_fail(s->err, st, s->e->nodes[i].name, "%s (%s=native can)", why.text, option);
}

hone_status hn_gpu_prepare_library(const struct hn_gpu_step *s, int i)
{
    if (s->e->nodes[i].kind == HN_GPU_NORM) return named(s, i, prepare_norm(s, i), "bn-impl");
    return named(s, i, prepare_drop(s, i), "dropout-impl");
}

hone_status hn_gpu_call_library(const struct hn_gpu_step *s, int i)
{
    if (!s->g->handles[i]) return HONE_OK;
    if (s->e->nodes[i].kind == HN_GPU_NORM) return named(s, i, call_norm(s, i), "bn-impl");
    return named(s, i, call_drop(s, i), "dropout-impl");
}

void hn_gpu_release_library(const struct hn_gpu_exec *e, int i, void *handle)
{
    const struct hn_gpu_dev *d = e->dev;
    switch (e->nodes[i].kind) {
    case HN_GPU_GEMM: d->layer->gemm_release(d->ctx, handle); break;
    case HN_GPU_NORM: d->layer->norm_release(d->ctx, handle); break;
    case HN_GPU_DROP: d->layer->drop_release(d->ctx, handle); break;
    default: break;
    }
}

/* ---- before a run --------------------------------------------------------------------------------------------------- */

static hone_status copy_running(struct hn_gpu_exec *e, const struct hn_gpu_step *s)
{
    const struct hn_gpu_dev *d = e->dev;
    for (int i = 0; i < e->n_nodes; i++) {
        if (e->nodes[i].kind != HN_GPU_NORM || !e->nodes[i].keep.space) continue;
        const struct hn_k_norm *k = e->nodes[i + 1].args;
        const size_t bytes = (size_t)k->channels * d->elem;
        HN_TRY(d->layer->copy(d->ctx, hn_gpu_address(s, k->mean_out), hn_gpu_address(s, k->mean),
                              bytes, HN_GPU_ACROSS, s->err));
        HN_TRY(d->layer->copy(d->ctx, hn_gpu_address(s, k->var_out), hn_gpu_address(s, k->var),
                              bytes, HN_GPU_ACROSS, s->err));
    }
    return HONE_OK;
}

hone_status hn_gpu_begin_library(struct hn_gpu_exec *e, const struct hn_replica *one,
                                 hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    struct hn_gpu_graph none = { 0 };
    const struct hn_gpu_step s = { e, &none, one, err };
    if (e->n_norms) HN_TRY(copy_running(e, &s));
    if (!e->n_drops || (e->seeded && memcmp(e->state_key, one->key, sizeof one->key) == 0))
        return HONE_OK;
    e->seeded = 0;
    memcpy(e->state_key, one->key, sizeof one->key);
    HN_TRY(d->layer->drop_seed(d->ctx, e->states, e->state_bytes, seed_of(e), err));
    e->seeded = 1;
    return HONE_OK;
}

/* ---- the state of a replica that checkpoints keep --------------------------------------------------------------------- */

struct head { /* before the states */
    uint32_t key[2];
    uint64_t seeded; /* 0: no step was taken yet, the states are zeros */
};

hone_status hn_gpu_make_states(struct hn_gpu_exec *e, hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    void *p = NULL;
    if (!e->n_drops) return HONE_OK;
    HN_TRY(d->layer->drop_state(d->ctx, &e->state_bytes, err));
    HN_TRY(d->layer->alloc(d->ctx, e->state_bytes, &p, err));
    e->states = p;
    return d->layer->fill(d->ctx, p, e->state_bytes, err);
}

size_t hn_gpu_state_size(void *exec)
{
    const struct hn_gpu_exec *e = exec;
    return e->n_drops ? sizeof(struct head) + e->state_bytes : 0;
}

static hone_status check_slot(int slot, hone_error *err)
{
    return slot == 0 ? HONE_OK
                     : hn_fail(err, HONE_E_USAGE, "cuda backend",
                               "found slot %d, cuDNN's Dropout has slot 0 only", slot);
}

hone_status hn_gpu_state_save(void *exec, int slot, void *dst, hone_error *err)
{
    const struct hn_gpu_exec *e = exec;
    const struct hn_gpu_dev *d = e->dev;
    struct head h = { { e->state_key[0], e->state_key[1] }, (uint64_t)e->seeded };
    if (!e->n_drops) return HONE_OK;
    HN_TRY(check_slot(slot, err));
    memcpy(dst, &h, sizeof h);
    HN_TRY(d->layer->copy(d->ctx, (char *)dst + sizeof h, e->states, e->state_bytes, HN_GPU_DOWN,
                          err));
    return d->layer->sync(d->ctx, err);
}

hone_status hn_gpu_state_load(void *exec, int slot, const void *src, hone_error *err)
{
    struct hn_gpu_exec *e = exec;
    const struct hn_gpu_dev *d = e->dev;
    struct head h;
    if (!e->n_drops) return HONE_OK;
    HN_TRY(check_slot(slot, err));
    memcpy(&h, src, sizeof h);
    e->seeded = 0;
    HN_TRY(d->layer->copy(d->ctx, e->states, (const char *)src + sizeof h, e->state_bytes,
                          HN_GPU_UP, err));
    HN_TRY(d->layer->sync(d->ctx, err));
    memcpy(e->state_key, h.key, sizeof h.key);
    e->seeded = h.seeded != 0;
    return HONE_OK;
}
