/* SPDX-License-Identifier: MIT
 *
 * Loading, editing and marking models. Every change builds the next view beside the current one
 * and then swaps, so that a failure leaves the model as it was. */
#include "plugin/model.h"
#include "ops/base/status.h"
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* a hash state on the stack */
#include <xxhash.h>

/* ---- views ----------------------------------------------------------------------------------- */

static void bytes_release(struct hn_mem *mem, struct hn_bytes *b)
{
    if (!b || --b->refs) return;
    hn_onnx_close(b->onnx);
    hn_free(mem, b->copy);
    hn_free(mem, b);
}

void hn_view_release(struct hn_mem *mem, struct hn_view *v)
{
    if (!v || --v->refs) return;
    hn_graph_destroy(v->graph);
    bytes_release(mem, v->bytes);
    hn_free(mem, v);
}

struct hn_view *hn_view_hold(struct hn_view *v)
{
    v->refs++;
    return v;
}

/* A view over b (which gets one more reference), with the globs of s. */
static hone_status view_create(hone_context *ctx, struct hn_bytes *b,
                               const struct hn_model_state *s, struct hn_view **out,
                               hone_error *err)
{
    struct hn_graph_opts opts = { .freeze = (const char *const *)s->freeze.list,
                                  .n_freeze = s->freeze.n,
                                  .train = (const char *const *)s->unfreeze.list,
                                  .n_train = s->unfreeze.n,
                                  .custom = ctx->ops };
    struct hn_mem *mem = &ctx->mem;
    struct hn_view *v = hn_calloc(mem, 1, sizeof *v);
    *out = NULL;
    if (!v) return hn_nomem(err, b->onnx->name, sizeof *v);
    v->refs = 1;
    v->bytes = b;
    b->refs++;
    hone_status st = hn_onnx_graph(b->onnx, &opts, &v->graph, err);
    if (st == HONE_OK)
        *out = v;
    else
        hn_view_release(mem, v);
    return st;
}

hone_status hn_model_reimport(hone_model *m, hone_error *err)
{
    struct hn_model_state *s = &m->now;
    struct hn_view *v;
    HN_TRY(view_create(m->ctx, s->view->bytes, s, &v, err));
    hn_view_release(&m->ctx->mem, s->view);
    s->view = v;
    return HONE_OK;
}

hone_status hn_model_import(const hone_model *m, int keep_fixed_batch, struct hn_graph **out,
                            hone_error *err)
{
    struct hn_graph_opts opts = { .keep_fixed_batch = keep_fixed_batch, .custom = m->ctx->ops };
    return hn_onnx_graph(hn_model_onnx(m), &opts, out, err);
}

/* ---- state ----------------------------------------------------------------------------------- */

static void state_free(struct hn_mem *mem, struct hn_model_state *s)
{
    for (size_t i = 0; s->values && i < s->view->bytes->onnx->n_tensors; i++)
        hn_free(mem, s->values[i]);
    hn_free(mem, s->values);
    for (size_t i = 0; i < s->n_edits; i++) hn_free(mem, s->edits[i].line);
    hn_free(mem, s->edits);
    for (size_t i = 0; i < s->n_metas; i++) {
        hn_free(mem, s->metas[i].key);
        hn_free(mem, s->metas[i].value);
    }
    hn_free(mem, s->metas);
    hn_globs_clear(mem, &s->freeze);
    hn_globs_clear(mem, &s->unfreeze);
    hn_view_release(mem, s->view);
    *s = (struct hn_model_state){ 0 };
}

static int copy_values(struct hn_mem *mem, struct hn_model_state *to,
                       const struct hn_model_state *from)
{
    const struct hn_onnx *onnx = from->view->bytes->onnx;
    if (!from->values) return 1;
    to->values = hn_calloc(mem, onnx->n_tensors + 1, sizeof *to->values);
    for (size_t i = 0; to->values && i < onnx->n_tensors; i++) {
        const struct hn_tensor *t = &onnx->tensors[i].t;
        size_t bytes = (size_t)t->n * hn_dtype_size(t->dtype);
        if (!from->values[i]) continue;
        if (!(to->values[i] = hn_alloc(mem, bytes))) return 0;
        memcpy(to->values[i], from->values[i], bytes);
    }
    return to->values != NULL;
}

static int copy_edit(struct hn_mem *mem, struct hn_model_state *to, const struct hn_model_edit *e)
{
    struct hn_model_edit copy = *e;
    copy.line = hn_strdup(mem, e->line);
    if (copy.line && HN_PUSH(mem, to->edits, to->n_edits, to->cap_edits, copy)) return 1;
    hn_free(mem, copy.line);
    return 0;
}

static int copy_meta(struct hn_mem *mem, struct hn_model_state *to, const char *key,
                     const char *value)
{
    struct hn_model_meta copy = { hn_strdup(mem, key), value ? hn_strdup(mem, value) : NULL };
    if (copy.key && (copy.value || !value) &&
        HN_PUSH(mem, to->metas, to->n_metas, to->cap_metas, copy))
        return 1;
    hn_free(mem, copy.key);
    hn_free(mem, copy.value);
    return 0;
}

hone_status hn_globs_add(struct hn_mem *mem, struct hn_globs *to, const char *glob, hone_error *err)
{
    char *copy = hn_strdup(mem, glob);
    if (copy && HN_PUSH(mem, to->list, to->n, to->cap, copy)) return HONE_OK;
    hn_free(mem, copy);
    return hn_nomem(err, "a glob", strlen(glob));
}

hone_status hn_globs_copy(struct hn_mem *mem, struct hn_globs *to, const struct hn_globs *from,
                          hone_error *err)
{
    for (size_t i = 0; i < from->n; i++) HN_TRY(hn_globs_add(mem, to, from->list[i], err));
    return HONE_OK;
}

void hn_globs_clear(struct hn_mem *mem, struct hn_globs *globs)
{
    for (size_t i = 0; i < globs->n; i++) hn_free(mem, globs->list[i]);
    hn_free(mem, globs->list);
    *globs = (struct hn_globs){ 0 };
}

static hone_status state_copy(struct hn_mem *mem, struct hn_model_state *to,
                              const struct hn_model_state *from, hone_error *err)
{
    *to = (struct hn_model_state){ .view = from->view };
    to->view->refs++;
    int ok = copy_values(mem, to, from);
    for (size_t i = 0; ok && i < from->n_edits; i++) ok = copy_edit(mem, to, &from->edits[i]);
    for (size_t i = 0; ok && i < from->n_metas; i++)
        ok = copy_meta(mem, to, from->metas[i].key, from->metas[i].value);
    ok = ok && hn_globs_copy(mem, &to->freeze, &from->freeze, NULL) == HONE_OK &&
         hn_globs_copy(mem, &to->unfreeze, &from->unfreeze, NULL) == HONE_OK;
    if (ok) return HONE_OK;
    state_free(mem, to);
    return hn_nomem(err, "a copy of the model's values", sizeof *to);
}

struct hn_model_mark {
    struct hn_mem *mem;
    struct hn_model_state state;
};

hone_status hn_model_mark(hone_model *m, struct hn_model_mark **out, hone_error *err)
{
    struct hn_mem *mem = &m->ctx->mem;
    struct hn_model_mark *mark = hn_calloc(mem, 1, sizeof *mark);
    *out = NULL;
    if (!mark) return hn_nomem(err, "a mark", sizeof *mark);
    mark->mem = mem;
    hone_status st = state_copy(mem, &mark->state, &m->now, err);
    if (st == HONE_OK)
        *out = mark;
    else
        hn_free(mem, mark);
    return st;
}

hone_status hn_model_rewind(hone_model *m, struct hn_model_mark *mark, hone_error *err)
{
    struct hn_model_state back;
    HN_TRY(state_copy(&m->ctx->mem, &back, &mark->state, err));
    state_free(&m->ctx->mem, &m->now);
    m->now = back;
    return HONE_OK;
}

void hn_model_mark_free(struct hn_model_mark *mark)
{
    if (!mark) return;
    struct hn_mem *mem = mark->mem;
    state_free(mem, &mark->state);
    hn_free(mem, mark);
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Takes onnx and copy over, also on failure. */
static hone_status finish_load(hone_context *ctx, struct hn_onnx *onnx, void *copy,
                               hone_model **out, hone_error *err)
{
    struct hn_mem *mem = &ctx->mem;
    hone_model *m = hn_calloc(mem, 1, sizeof *m);
    struct hn_bytes *b = hn_calloc(mem, 1, sizeof *b);
    hone_status st = HONE_E_NOMEM;
    if (!m || !b) {
        st = hn_nomem(err, onnx->name, sizeof *m + sizeof *b);
        hn_free(mem, b);
        hn_onnx_close(onnx);
        hn_free(mem, copy);
        goto done;
    }
    *b = (struct hn_bytes){ 1, copy, onnx };
    m->ctx = ctx;
    XXH128_canonicalFromHash((XXH128_canonical_t *)m->hash, XXH3_128bits(onnx->p, onnx->n));
    st = view_create(m->ctx, b, &m->now, &m->now.view, err);
    bytes_release(mem, b);
done:
    if (st != HONE_OK) hn_free(mem, m);
    *out = st == HONE_OK ? m : NULL;
    return st;
}

static hone_status load(hone_context *ctx, const char *path, hone_model **out, hone_error *err)
{
    struct hn_onnx *onnx;
    *out = NULL;
    HN_TRY(hn_onnx_open(&onnx, &ctx->mem, ctx->io, path, err));
    return finish_load(ctx, onnx, NULL, out, err);
}

hone_status hone_model_load(hone_context *ctx, const char *path, hone_model **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, load(ctx, path, out, err), err);
}

static hone_status load_bytes(hone_context *ctx, const void *bytes, size_t n, const char *dir,
                              hone_model **out, hone_error *err)
{
    struct hn_onnx *onnx;
    *out = NULL;
    if (!bytes && n)
        return hn_fail(err, HONE_E_USAGE, "bytes", "found NULL, wanted the %zu bytes of a model",
                       n);
    void *copy = hn_alloc(&ctx->mem, n);
    if (!copy) return hn_nomem(err, "a copy of the model", n);
    if (n) memcpy(copy, bytes, n);
    hone_status st = hn_onnx_open_bytes(&onnx, &ctx->mem, ctx->io, copy, n, dir, NULL, err);
    if (st == HONE_OK) return finish_load(ctx, onnx, copy, out, err);
    hn_free(&ctx->mem, copy);
    return st;
}

hone_status hone_model_load_bytes(hone_context *ctx, const void *bytes, size_t n, const char *dir,
                                  hone_model **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, load_bytes(ctx, bytes, n, dir, out, err), err);
}

void hone_model_destroy(hone_model *m)
{
    if (!m) return;
    struct hn_mem *mem = &m->ctx->mem;
    state_free(mem, &m->now);
    hn_free(mem, m);
}

/* ---- edits ----------------------------------------------------------------------------------- */

/* The model's bytes with its new values in them, opened: what an edit acts on when the values
 * have changed. */
static hone_status bake(hone_model *m, struct hn_buffer *bytes, struct hn_onnx **out,
                        hone_error *err)
{
    struct hn_onnx *o = hn_model_onnx(m);
    HN_TRY(hn_model_bytes(m, bytes, err));
    return hn_onnx_open_bytes(out, &m->ctx->mem, m->ctx->io, bytes->p, bytes->n, o->dir, o->name,
                              err);
}

static hone_status edited_view(hone_model *m, const struct hn_edit_line *line, struct hn_view **out,
                               hone_error *err)
{
    struct hn_mem *mem = &m->ctx->mem;
    struct hn_onnx *from = hn_model_onnx(m), *baked = NULL, *onnx = NULL;
    struct hn_buffer bytes;
    hn_buffer_init(&bytes, mem);
    hone_status st = m->now.values ? bake(m, &bytes, &baked, err) : HONE_OK;
    if (st == HONE_OK) st = hn_onnx_edit(baked ? baked : from, line, 1, &onnx, err);
    hn_onnx_close(baked);
    hn_buffer_free(&bytes);
    if (st == HONE_OK && from->path && !onnx->path && !(onnx->path = hn_strdup(mem, from->path)))
        st = hn_nomem(err, from->path, strlen(from->path));
    struct hn_bytes *b = st == HONE_OK ? hn_calloc(mem, 1, sizeof *b) : NULL;
    if (!b) {
        hn_onnx_close(onnx);
        return st == HONE_OK ? hn_nomem(err, from->name, sizeof *b) : st;
    }
    *b = (struct hn_bytes){ 1, NULL, onnx };
    st = view_create(m->ctx, b, &m->now, out, err);
    bytes_release(mem, b);
    return st;
}

static void hash_edit(const hone_model *m, const struct hn_edit_line *line, unsigned char out[16])
{
    const struct hn_model_state *s = &m->now;
    const unsigned char *before = s->n_edits ? s->edits[s->n_edits - 1].hash : m->hash;
    XXH3_state_t h;
    XXH3_128bits_reset(&h);
    XXH3_128bits_update(&h, before, 16);
    XXH3_128bits_update(&h, line->text, strlen(line->text) + 1);
    for (size_t i = 0; i < line->n_values; i++) {
        const struct hn_tensor *t = &line->values[i];
        XXH3_128bits_update(&h, t->data, (size_t)t->n * hn_dtype_size(t->dtype));
    }
    XXH128_canonicalFromHash((XXH128_canonical_t *)out, XXH3_128bits_digest(&h));
}

hone_status hn_model_apply(hone_model *m, const struct hn_edit_line *line, hone_error *err)
{
    struct hn_view *view;
    struct hn_model_edit e = { .line = (char *)line->text };
    hash_edit(m, line, e.hash);
    if (!copy_edit(&m->ctx->mem, &m->now, &e)) return hn_nomem(err, "an edit", sizeof e);
    hone_status st = edited_view(m, line, &view, err);
    if (st != HONE_OK) {
        hn_free(&m->ctx->mem, m->now.edits[--m->now.n_edits].line);
        return st;
    }
    hn_model_drop_values(m);
    hn_view_release(&m->ctx->mem, m->now.view);
    m->now.view = view;
    return HONE_OK;
}

hone_status hone_model_edit(hone_model *m, const char *line, hone_error *err)
{
    return hn_nomem_why(&m->ctx->mem,
                        hn_model_apply(m, &(struct hn_edit_line){ .text = line }, err), err);
}

/* ---- inner doors ----------------------------------------------------------------------------- */

struct hn_graph *hn_model_graph(hone_model *m) { return m->now.view->graph; }
hone_context *hn_model_context(hone_model *m) { return m->ctx; }
const char *hn_model_path(const hone_model *m) { return hn_model_onnx(m)->path; }
size_t hn_model_n_edits(const hone_model *m) { return m->now.n_edits; }
const char *hn_model_edit_line(const hone_model *m, size_t i) { return m->now.edits[i].line; }

void hn_model_hash(const hone_model *m, unsigned char hash[16])
{
    const struct hn_model_state *s = &m->now;
    memcpy(hash, s->n_edits ? s->edits[s->n_edits - 1].hash : m->hash, 16);
}

hone_status hn_model_set_metadata(hone_model *m, const char *key, const char *value,
                                  hone_error *err)
{
    struct hn_model_state *s = &m->now;
    if (!copy_meta(&m->ctx->mem, s, key, value)) return hn_nomem(err, key, strlen(key));
    struct hn_model_meta last = s->metas[s->n_metas - 1];
    for (size_t i = 0; i + 1 < s->n_metas; i++) {
        if (strcmp(s->metas[i].key, key) != 0) continue;
        struct hn_model_meta old = s->metas[i]; /* the new one takes its place */
        s->metas[i] = last;
        s->n_metas--;
        hn_free(&m->ctx->mem, old.key);
        hn_free(&m->ctx->mem, old.value);
        break;
    }
    return HONE_OK;
}

const char *hn_model_metadata(const hone_model *m, const char *key)
{
    for (size_t i = 0; i < m->now.n_metas; i++)
        if (strcmp(m->now.metas[i].key, key) == 0) return m->now.metas[i].value;
    return hn_onnx_meta(hn_model_onnx(m), key);
}

hone_status hn_model_classes(const hone_model *m, const char *output, struct hn_arena *a,
                             struct hn_class_list *found, hone_error *err)
{
    const struct hn_graph *g = m->now.view->graph;
    const char *key = output ? hn_arena_printf(a, HN_META_CLASSES ".%s", output) : HN_META_CLASSES;
    if (!key) return hn_nomem(err, "the list of classes", 0);
    *found = output ? *hn_graph_classes(g, output) : g->classes;
    if (found->n) return HONE_OK;
    const char *value = hn_model_metadata(m, key);
    if (!value) value = hn_model_metadata(m, HN_META_CLASSES);
    return value && *value ? hn_classes_read(a, value, found, err) : HONE_OK;
}
