/* SPDX-License-Identifier: MIT
 *
 * The frozen head (scalers, casts, a frozen prefix) made ready, for those who run it: over a whole data set (feed.c), or in
 * front of every prediction (predictor.c). */
#include "ops/base/status.h"
#include "plugin/session_own.h"

static hone_status load_weights(struct hn_head *h, hone_error *err)
{
    struct hn_session *s = h->s;
    size_t bytes = h->prog->n_slab * s->backend->elem;
    void *host = hn_calloc(&s->ctx->mem, bytes ? bytes : 1, 1);
    if (!host) return hn_nomem(err, "the head's weights", bytes);
    hone_status st = s->backend->alloc(s->dev, bytes ? bytes : 1, &h->r.slab[HN_SLAB_W], err);
    if (st == HONE_OK && bytes)
        st = hn_model_get_weights(s->model, h->prog, host, s->backend->elem, err);
    if (st == HONE_OK && bytes)
        st = s->backend->put(s->dev, h->r.slab[HN_SLAB_W], 0, host, bytes, err);
    hn_free(&s->ctx->mem, host);
    return st;
}

hone_status hn_head_open(struct hn_head *h, struct hn_session *s, int64_t rows, hone_error *err)
{
    const struct hn_own *own = s->own;
    struct hn_lower_opts opts = { .part = HN_PART_HEAD,
                                  .dropout = -1,
                                  .labels = own->use == HN_USE_PREDICT };
    *h = (struct hn_head){ .s = s, .rows = rows, .hyper = { .accumulate = 1, .dropout = -1 } };
    h->r.hyper = &h->hyper;
    if (own->whole) return HONE_OK;
    HN_TRY(hn_lower(hn_model_graph(s->model), &opts, &h->prog, err));
    if (!h->prog) return HONE_OK;
    if (h->prog->n_outputs > HN_HEAD_OUTPUTS)
        return hn_fail(err, HONE_E_UNSUPPORTED, "model",
                       "the frozen head has %d outputs, at most %d are kept", h->prog->n_outputs,
                       HN_HEAD_OUTPUTS);
    HN_TRY(hn_plan_create(&s->ctx->mem, h->prog, HN_PASS_PREDICT, rows, s->backend->elem, 0,
                          &h->plan, err));
    HN_TRY(load_weights(h, err));
    return s->backend->prepare(s->dev, h->plan, 1, &h->exec, err);
}

hone_status hn_head_run(struct hn_head *h, const void *bound, int64_t first, int64_t n,
                        void *const *out, hone_error *err)
{
    struct hn_slot slot = { .r = &h->r, .data = bound, .first = first, .rows = n, .out = out };
    return h->s->backend->run(h->exec, &slot, 1, 1, err);
}

hone_status hn_head_per_row(const struct hn_head *h, int i, int64_t *per_row, hone_error *err)
{
    const struct hn_dim c = hn_shape_count(&h->prog->values[h->prog->outputs[i]].shape);
    *per_row = c.per_row;
    if (!c.fixed && c.per_row > 0) return HONE_OK;
    return hn_fail(err, HONE_E_UNSUPPORTED, h->prog->output_names[i],
                   "the frozen head's output does not follow the rows");
}

void hn_head_close(struct hn_head *h)
{
    struct hn_session *s = h->s;
    if (!s) return;
    if (h->exec) s->backend->finish(h->exec);
    if (h->r.slab[HN_SLAB_W]) s->backend->release(s->dev, h->r.slab[HN_SLAB_W]);
    hn_plan_destroy(h->plan, &s->ctx->mem);
    hn_program_destroy(h->prog, &s->ctx->mem);
    *h = (struct hn_head){ 0 };
}
