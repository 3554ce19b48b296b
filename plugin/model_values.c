/* SPDX-License-Identifier: MIT
 *
 * Numbers between a program's weight slab and the model's tensors. The slab has its own order,
 * padding and element size; the tensors keep the file's; of a quantised tensor the slab has what its whole numbers stand for. float to
 * float is a copy of the bits. A tensor whose bits do not change stays the
 * file's own, so that an unchanged model is written as the same bytes. */
#include "onnx/save.h"
#include "ops/base/quant.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include <string.h>

static enum hn_dtype slab_type(size_t elem) { return elem == 8 ? HN_F64 : HN_F32; }

/* The numbers of p as they are now, in the file's type. */
static const void *current(const hone_model *m, const struct hn_param *p)
{
    if (p->tensor_id >= 0 && m->now.values && m->now.values[p->tensor_id])
        return m->now.values[p->tensor_id];
    return p->init ? p->init->data : NULL;
}

/* The same as a tensor. */
static struct hn_tensor current_tensor(const hone_model *m, const struct hn_param *p)
{
    struct hn_tensor t = *p->init;
    t.data = current(m, p);
    return t;
}

struct hn_tensor hn_model_tensor(hone_model *m, int32_t value)
{
    const struct hn_value *v = &hn_model_graph(m)->values[value];
    struct hn_tensor t = *v->constant;
    if (v->tensor_id >= 0 && m->now.values && m->now.values[v->tensor_id])
        t.data = m->now.values[v->tensor_id];
    return t;
}

static int fits(const hone_model *m, const struct hn_param *p)
{
    if (!p->init || (size_t)p->init->n != p->n) return 0;
    return p->tensor_id < 0 || ((size_t)p->tensor_id < hn_model_onnx(m)->n_tensors &&
                                (size_t)hn_model_onnx(m)->tensors[p->tensor_id].t.n == p->n);
}

static hone_status does_not_fit(const struct hn_param *p, hone_error *err)
{
    return hn_fail(err, HONE_E_INTERNAL, p->name,
                   "the program's parameter of %zu elements is not the model's tensor", p->n);
}

hone_status hn_model_get_weights(hone_model *m, const struct hn_program *prog, void *w, size_t elem,
                                 hone_error *err)
{
    unsigned char *slab = w;
    memset(slab, 0, prog->n_slab * elem);
    for (int i = 0; i < prog->n_params; i++) {
        const struct hn_param *p = &prog->params[i];
        if (!p->init && p->tensor_id < 0) continue; /* whoever made it knows */
        if (!fits(m, p)) return does_not_fit(p, err);
        unsigned char *to = slab + p->off * elem;
        const struct hn_tensor now = current_tensor(m, p);
        if (p->stored)
            hn_dequantize(p->stored, &now, to, slab_type(elem));
        else
            hn_convert(to, slab_type(elem), now.data, now.dtype, (int64_t)p->n);
    }
    return HONE_OK;
}

/* The numbers of p in the slab, in the file's type, in a fresh block. */
static void *file_values(const hone_model *m, const struct hn_param *p, enum hn_dtype type,
                         const unsigned char *slab, size_t elem)
{
    const unsigned char *from = slab + p->off * elem;
    void *out = hn_alloc(&m->ctx->mem, p->n * hn_dtype_size(type));
    const struct hn_tensor now = current_tensor(m, p);
    if (out && p->stored)
        hn_quantize(p->stored, &now, from, slab_type(elem), out);
    else if (out)
        hn_convert(out, type, from, slab_type(elem), (int64_t)p->n);
    return out;
}

static hone_status put_one(hone_model *m, const struct hn_param *p, void **values,
                           const unsigned char *slab, size_t elem, hone_error *err)
{
    struct hn_mem *mem = &m->ctx->mem;
    const struct hn_tensor *file = &hn_model_onnx(m)->tensors[p->tensor_id].t;
    size_t bytes = p->n * hn_dtype_size(file->dtype);
    HN_TRY(hn_check_stored(p, slab, elem, err));
    void *v = file_values(m, p, file->dtype, slab, elem);
    if (!v) return hn_nomem(err, p->name, bytes);
    hn_free(mem, values[p->tensor_id]);
    values[p->tensor_id] = v;
    if (memcmp(v, file->data, bytes) != 0) return HONE_OK;
    hn_free(mem, v); /* as in the file */
    values[p->tensor_id] = NULL;
    return HONE_OK;
}

static void free_values(struct hn_mem *mem, void **values, size_t n)
{
    for (size_t i = 0; values && i < n; i++) hn_free(mem, values[i]);
    hn_free(mem, values);
}

void hn_model_drop_values(hone_model *m)
{
    free_values(&m->ctx->mem, m->now.values, hn_model_onnx(m)->n_tensors);
    m->now.values = NULL;
}

/* All tensors or none: the new ones are collected aside, then take the place of the old. */
hone_status hn_model_put_weights(hone_model *m, const struct hn_program *prog, const void *w,
                                 size_t elem, hone_error *err)
{
    struct hn_mem *mem = &m->ctx->mem;
    size_t n = hn_model_onnx(m)->n_tensors, changed = 0;
    unsigned char *touched = hn_calloc(mem, n + 1, 1);
    void **fresh = hn_calloc(mem, n + 1, sizeof *fresh);
    hone_status st = HONE_OK;
    if (!fresh || !touched) st = hn_nomem(err, "the table of values", n * sizeof *fresh);
    for (int i = 0; i < prog->n_params && st == HONE_OK; i++) {
        const struct hn_param *p = &prog->params[i];
        if (!(p->flags & (HN_PARAM_TRAINED | HN_PARAM_STATE)) || p->tensor_id < 0) continue;
        st = fits(m, p) ? put_one(m, p, fresh, w, elem, err) : does_not_fit(p, err);
        if (st == HONE_OK) touched[p->tensor_id] = 1;
    }
    if (st != HONE_OK) {
        free_values(mem, fresh, n);
        hn_free(mem, touched);
        return st;
    }
    for (size_t i = 0; i < n; i++) {
        if (m->now.values && !touched[i]) {
            fresh[i] = m->now.values[i];
            m->now.values[i] = NULL;
        }
        changed += fresh[i] != NULL;
    }
    hn_free(mem, touched);
    hn_model_drop_values(m);
    m->now.values = changed ? fresh : NULL;
    if (!changed) hn_free(mem, fresh);
    return HONE_OK;
}

/* ---- what differs from the bytes ------------------------------------------------------------- */

void hn_model_changes_free(const hone_model *m, struct hn_changes *c)
{
    hn_free(&m->ctx->mem, (void *)c->patches);
    hn_free(&m->ctx->mem, (void *)c->metas);
    *c = (struct hn_changes){ 0 };
}

hone_status hn_model_changes(const hone_model *m, struct hn_changes *c, hone_error *err)
{
    struct hn_mem *mem = &m->ctx->mem;
    const struct hn_onnx *o = hn_model_onnx(m);
    const struct hn_model_state *s = &m->now;
    struct hn_patch *patches = hn_calloc(mem, o->n_tensors + 1, sizeof *patches);
    struct hn_meta *metas = hn_calloc(mem, s->n_metas + 1, sizeof *metas);
    *c = (struct hn_changes){ .patches = patches, .metas = metas, .n_metas = s->n_metas };
    if (!patches || !metas) {
        hn_model_changes_free(m, c);
        return hn_nomem(err, "the list of changes", o->n_tensors * sizeof *patches);
    }
    for (size_t i = 0; s->values && i < o->n_tensors; i++)
        if (s->values[i])
            patches[c->n_patches++] =
                (struct hn_patch){ (uint32_t)i, o->tensors[i].t.dtype, s->values[i] };
    for (size_t i = 0; i < s->n_metas; i++)
        metas[i] = (struct hn_meta){ s->metas[i].key, s->metas[i].value };
    return HONE_OK;
}

hone_status hn_model_bytes(hone_model *m, struct hn_buffer *out, hone_error *err)
{
    struct hn_changes c;
    HN_TRY(hn_model_changes(m, &c, err));
    hone_status st = hn_onnx_write(hn_model_onnx(m), &c, 1, &out->sink, err);
    hn_model_changes_free(m, &c);
    return st;
}
