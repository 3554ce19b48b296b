/* SPDX-License-Identifier: MIT
 *
 * What the model tests of this area share: contexts over failing memory and files, a model's
 * bytes, a program's slab. */
#ifndef HN_TEST_MODEL_UTIL_H
#define HN_TEST_MODEL_UTIL_H

#include "plugin/model.h"
#include "tests/base/scratch.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"

static inline hone_context *context_on(struct hn_fault *f)
{
    hone_context *ctx;
    hone_context_opts o = HONE_CONTEXT_OPTS;
    o.alloc = f->mem.alloc, o.release = f->mem.release, o.alloc_user = f;
    return hn_context_create_with(&o, &f->io, &ctx, NULL) == HONE_OK ? ctx : NULL;
}

static inline hone_model *load_buffer(hone_context *ctx, struct hn_buffer b)
{
    hone_model *m;
    hone_error e = { 0 };
    HN_OK(hone_model_load_bytes(ctx, b.p, b.n, NULL, &m, &e), e);
    hn_buffer_free(&b);
    return m;
}

static inline int into_buffer(void *user, const void *p, size_t n)
{
    struct hn_buffer *b = user;
    return b->sink.write(&b->sink, p, n, NULL) != HONE_OK;
}

static inline struct hn_buffer bytes_of(hone_model *m)
{
    struct hn_buffer b = b_new();
    hone_error e = { 0 };
    HN_OK(hone_model_save_bytes(m, into_buffer, &b, &e), e);
    return b;
}

/* The whole model's program, and its slab in the program's own element size. */
static inline struct hn_program *lower_all(hone_model *m)
{
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1.0 };
    struct hn_program *p;
    hone_error e = { 0 };
    HN_OK(hn_lower(hn_model_graph(m), &opts, &p, &e), e);
    return p;
}

static inline size_t elem_of(const struct hn_program *p) { return p->dtype == HN_F64 ? 8 : 4; }

static inline void *slab_of(hone_model *m, const struct hn_program *p)
{
    hone_error e = { 0 };
    void *w = malloc(p->n_slab * elem_of(p) + 1);
    HN_OK(hn_model_get_weights(m, p, w, elem_of(p), &e), e);
    return w;
}
#endif
