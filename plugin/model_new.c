/* SPDX-License-Identifier: MIT
 *
 * hone_model_new: the file of a fresh network (onnx/new), its weights drawn as `--init fresh`
 * draws them, then loaded like any other file. */
#include "onnx/new.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include "plugin/train/init.h"

/* Replaces the weights of m by fresh ones. */
static hone_status draw_weights(hone_model *m, uint64_t seed, hone_error *err)
{
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1.0 };
    struct hn_program *p = NULL;
    uint32_t key[2];
    hn_rng_key(seed, 0, 0, key);
    HN_TRY(hn_lower(hn_model_graph(m), &opts, &p, err));
    float *w = hn_calloc(&m->ctx->mem, p->n_slab + 1, sizeof *w);
    hone_status st = w ? hn_model_get_weights(m, p, w, sizeof *w, err)
                       : hn_nomem(err, "the weights", p->n_slab * sizeof *w);
    if (st == HONE_OK) {
        hn_init_weights(p, HN_INIT_FRESH, 0, key, w, sizeof *w);
        st = hn_model_put_weights(m, p, w, sizeof *w, err);
    }
    hn_free(&m->ctx->mem, w);
    hn_program_destroy(p, &m->ctx->mem);
    return st;
}

static hone_status new_model(hone_context *ctx, const char *spec, uint64_t seed, hone_model **out,
                             hone_error *err)
{
    struct hn_new_spec parsed;
    struct hn_buffer empty, full;
    hone_model *blank = NULL;
    *out = NULL;
    hn_buffer_init(&empty, &ctx->mem);
    hn_buffer_init(&full, &ctx->mem);
    hone_status st = hn_new_parse(&parsed, spec, err);
    if (st == HONE_OK) st = hn_new_model(&ctx->mem, &parsed, &empty, err);
    if (st == HONE_OK) st = hone_model_load_bytes(ctx, empty.p, empty.n, NULL, &blank, err);
    if (st == HONE_OK) st = draw_weights(blank, seed, err);
    if (st == HONE_OK) st = hn_model_bytes(blank, &full, err);
    if (st == HONE_OK) st = hone_model_load_bytes(ctx, full.p, full.n, NULL, out, err);
    hone_model_destroy(blank);
    hn_buffer_free(&empty);
    hn_buffer_free(&full);
    return st;
}

hone_status hone_model_new(hone_context *ctx, const char *spec, uint64_t seed, hone_model **out,
                           hone_error *err)
{
    return hn_nomem_why(&ctx->mem, new_model(ctx, spec, seed, out, err), err);
}
