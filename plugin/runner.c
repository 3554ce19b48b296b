/* SPDX-License-Identifier: MIT
 *
 * The shortest way through a backend: plan, prepare, put, run, get. */
#include "plugin/runner.h"
#include "ops/base/status.h"
#include <string.h>

static hone_status open_slabs(struct hn_runner *r, hone_error *err)
{
    size_t elem = r->backend->elem;
    HN_TRY(r->backend->alloc(r->dev, r->prog->n_slab * elem, &r->replica.slab[HN_SLAB_W], err));
    return r->backend->alloc(r->dev, r->prog->n_trained * elem, &r->replica.slab[HN_SLAB_DW], err);
}

hone_status hn_runner_open(struct hn_runner *r, hone_context *ctx, const struct hn_device *d,
                           const struct hn_program *prog, enum hn_pass pass,
                           const struct hn_dataset *set, hone_error *err)
{
    *r = (struct hn_runner){ .mem = &ctx->mem, .backend = d->backend, .dev = d->dev, .prog = prog };
    r->rows = set->rows;
    r->hyper = (struct hn_hyper){ .optimizer = HN_SGD, .accumulate = 1, .dropout = -1.0 };
    r->replica.hyper = &r->hyper;
    hone_status st = hn_plan_create(r->mem, prog, pass, set->rows, d->backend->elem,
                                    ctx->mem.budget, &r->plan, err);
    if (st == HONE_OK) st = open_slabs(r, err);
    if (st == HONE_OK) st = r->backend->bind(r->dev, set, &r->bound, err);
    if (st == HONE_OK) st = r->backend->prepare(r->dev, r->plan, 1, &r->exec, err);
    if (st != HONE_OK) hn_runner_close(r);
    return st;
}

void hn_runner_close(struct hn_runner *r)
{
    if (r->exec) r->backend->finish(r->exec);
    if (r->bound) r->backend->unbind(r->dev, r->bound);
    for (int i = 0; i < HN_SLABS; i++)
        if (r->replica.slab[i]) r->backend->release(r->dev, r->replica.slab[i]);
    if (r->plan) hn_plan_destroy(r->plan, r->mem);
    *r = (struct hn_runner){ 0 };
}

hone_status hn_runner_weights(struct hn_runner *r, const void *w, size_t first, size_t n,
                              hone_error *err)
{
    size_t elem = r->backend->elem;
    if (n == 0) return HONE_OK;
    return r->backend->put(r->dev, r->replica.slab[HN_SLAB_W], first * elem, w, n * elem, err);
}

hone_status hn_runner_run(struct hn_runner *r, double *partial, void *const *out, hone_error *err)
{
    struct hn_slot slot = { .r = &r->replica,
                            .data = r->bound,
                            .rows = r->rows,
                            .partial = partial,
                            .out = out,
                            .bad_step = -1 };
    if (partial) memset(partial, 0, 2 * (size_t)r->prog->n_losses * sizeof *partial);
    return r->backend->run(r->exec, &slot, 1, 1, err);
}

hone_status hn_runner_gradients(struct hn_runner *r, void *dw, hone_error *err)
{
    size_t bytes = r->prog->n_trained * r->backend->elem;
    if (bytes == 0) return HONE_OK;
    return r->backend->get(r->dev, r->replica.slab[HN_SLAB_DW], 0, dw, bytes, err);
}
