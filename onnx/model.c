/* SPDX-License-Identifier: MIT
 *
 * Opening and closing a model. Every tensor of the file is looked at once here, wherever it stands (subgraphs, functions
 * and attributes too), so that no external reference and no length is believed later without having been checked. */
#include "onnx/model.h"
#include "onnx/edit.h"
#include "onnx/linear.h"
#include "onnx/read.h"
#include "onnx/save.h"
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include <string.h>

static const size_t largest_file = (size_t)INT32_MAX;

static hone_status view_tensors(struct hn_onnx *m, hone_error *err)
{
    m->n_tensors = m->scan.n_tensors + m->linears->n_floats;
    m->tensors = hn_arena_alloc(&m->arena, m->n_tensors + 1, sizeof *m->tensors);
    if (!m->tensors)
        return hn_nomem(err, "the table of tensors", m->n_tensors * sizeof *m->tensors);
    for (size_t i = 0; i < m->linears->n_floats; i++) {
        const struct hn_floats *f = &m->linears->floats[i];
        m->tensors[m->scan.n_tensors + i] = (struct hn_onnx_tensor){ f->t, f->name, NULL, -1, 0 };
    }
    for (size_t i = 0; i < m->scan.n_tensors; i++) {
        struct hn_onnx_tensor *t = &m->tensors[i];
        const Onnx__TensorProto *p = m->proto->by_id[i];
        hone_error inner = { 0 };
        t->name = p->name ? p->name : "";
        t->sidecar = -1;
        hone_status st = hn_onnx_tensor_view(&t->t, p, &m->external, &m->arena, m->name, &inner);
        if (st != HONE_OK && st != HONE_E_UNSUPPORTED) {
            if (err) *err = inner;
            return st;
        }
        if (st != HONE_OK && !(t->why = hn_arena_strdup(&m->arena, inner.text)))
            return hn_nomem(err, "a message", sizeof inner);
        if (m->scan.tensors[i].is_external && t->t.data)
            t->sidecar = hn_external_find(&m->external, t->t.data, &t->sidecar_at);
    }
    return HONE_OK;
}

static hone_status analyse(struct hn_onnx *m, hone_error *err)
{
    hn_external_init(&m->external, m->mem, m->io, m->dir);
    HN_TRY(hn_scan_model(&m->scan, m->mem, m->p, m->n, NULL, m->name, err));
    m->proto = hn_calloc(m->mem, 1, sizeof *m->proto);
    if (!m->proto) return hn_nomem(err, m->name, sizeof *m->proto);
    HN_TRY(hn_proto_read_model(m->proto, m->mem, m->p, m->n, &m->scan, m->name, err));
    m->linears = hn_arena_alloc(&m->arena, 1, sizeof *m->linears);
    if (!m->linears) return hn_nomem(err, m->name, sizeof *m->linears);
    HN_TRY(hn_linear_find(m->linears, &m->arena, m->proto->model, m->p, m->n, err));
    return view_tensors(m, err);
}

static struct hn_onnx *model_new(struct hn_mem *mem, const struct hn_io *io)
{
    struct hn_onnx *m = hn_calloc(mem, 1, sizeof *m);
    if (!m) return NULL;
    m->mem = mem;
    m->io = io;
    hn_arena_init(&m->arena, mem);
    hn_buffer_init(&m->own, mem);
    return m;
}

static hone_status finish_open(struct hn_onnx *m, hone_status st, struct hn_onnx **out,
                               hone_error *err)
{
    if (st == HONE_OK) st = analyse(m, err);
    if (st != HONE_OK) {
        hn_onnx_close(m);
        m = NULL;
    }
    *out = m;
    return st;
}

static hone_status open_file(struct hn_onnx *m, const char *path, hone_error *err)
{
    m->path = hn_strdup(m->mem, path);
    m->dir = hn_path_dir(m->mem, path);
    if (!m->path || !m->dir) return hn_nomem(err, path, strlen(path));
    m->name = m->path;
    HN_TRY(hn_file_open(&m->file, m->io, m->mem, path, largest_file, err));
    HN_TRY(hn_file_gunzip(&m->file, m->mem, path, largest_file, err));
    m->p = m->file.p;
    m->n = m->file.n;
    return HONE_OK;
}

hone_status hn_onnx_open(struct hn_onnx **out, struct hn_mem *mem, const struct hn_io *io,
                         const char *path, hone_error *err)
{
    struct hn_onnx *m = model_new(mem, io);
    *out = NULL;
    if (!m) return hn_nomem(err, path, sizeof *m);
    return finish_open(m, open_file(m, path, err), out, err);
}

hone_status hn_onnx_open_bytes(struct hn_onnx **out, struct hn_mem *mem, const struct hn_io *io,
                               const void *p, size_t n, const char *dir, const char *name,
                               hone_error *err)
{
    struct hn_onnx *m = model_new(mem, io);
    hone_status st = HONE_OK;
    *out = NULL;
    if (!m) return hn_nomem(err, "a model", sizeof *m);
    m->p = p;
    m->n = n;
    m->name = hn_arena_strdup(&m->arena, name ? name : "the model");
    m->dir = dir ? hn_strdup(mem, dir) : NULL;
    if (!m->name || (dir && !m->dir)) st = hn_nomem(err, "a model", n);
    return finish_open(m, st, out, err);
}

void hn_onnx_close(struct hn_onnx *m)
{
    if (!m) return;
    if (m->proto) hn_proto_free(m->proto);
    hn_free(m->mem, m->proto);
    hn_scan_free(&m->scan);
    hn_external_close(&m->external);
    hn_arena_clear(&m->arena);
    hn_buffer_free(&m->own);
    hn_file_close(&m->file);
    hn_free(m->mem, m->path);
    hn_free(m->mem, m->dir);
    hn_free(m->mem, m);
}

const char *hn_onnx_meta(const struct hn_onnx *m, const char *key)
{
    const Onnx__ModelProto *model = m->proto->model;
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = model->metadata_props[i];
        if (e->key && strcmp(e->key, key) == 0) return e->value ? e->value : "";
    }
    return NULL;
}

/* Folding computes with a file's numbers, an ensemble compares them, so they must be in it. */
static int needs_numbers(const struct hn_edit_line *lines, size_t n_lines)
{
    for (size_t i = 0; i < n_lines; i++)
        if (strncmp(lines[i].text, "batchnorm remove", 16) == 0 ||
            strncmp(lines[i].text, "ensemble ", 9) == 0)
            return 1;
    return 0;
}

static hone_status edit_bytes(const struct hn_onnx *m, const struct hn_edit_line *lines,
                              size_t n_lines, struct hn_buffer *out, hone_error *err)
{
    if (!m->external.n || !needs_numbers(lines, n_lines))
        return hn_edit_apply_all(m->mem, m->p, m->n, lines, n_lines, out, err);
    struct hn_buffer whole;
    hn_buffer_init(&whole, m->mem);
    hone_status st = hn_onnx_write(m, NULL, 1, &whole.sink, err);
    if (st == HONE_OK) st = hn_edit_apply_all(m->mem, whole.p, whole.n, lines, n_lines, out, err);
    hn_buffer_free(&whole);
    return st;
}

hone_status hn_onnx_edit(const struct hn_onnx *m, const struct hn_edit_line *lines, size_t n_lines,
                         struct hn_onnx **out, hone_error *err)
{
    struct hn_onnx *e = model_new(m->mem, m->io);
    hone_status st = HONE_OK;
    *out = NULL;
    if (!e) return hn_nomem(err, m->name, sizeof *e);
    e->path = m->path ? hn_strdup(m->mem, m->path) : NULL;
    e->dir = m->dir ? hn_strdup(m->mem, m->dir) : NULL;
    e->name = hn_arena_strdup(&e->arena, m->name);
    if ((m->path && !e->path) || (m->dir && !e->dir) || !e->name) st = hn_nomem(err, m->name, 0);
    if (st == HONE_OK) st = edit_bytes(m, lines, n_lines, &e->own, err);
    e->p = (const unsigned char *)e->own.p;
    e->n = e->own.n;
    return finish_open(e, st, out, err);
}

hone_status hn_classes_write(struct hn_buffer *b, const char *const *classes, size_t n,
                             hone_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (i) HN_TRY(b->sink.write(&b->sink, "\n", 1, err));
        for (const char *c = classes[i]; *c; c++) {
            if (*c == '\n')
                HN_TRY(b->sink.write(&b->sink, "\\n", 2, err));
            else if (*c == '\\')
                HN_TRY(b->sink.write(&b->sink, "\\\\", 2, err));
            else
                HN_TRY(b->sink.write(&b->sink, c, 1, err));
        }
    }
    return HONE_OK;
}
