/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over everything that reads a model: scan, unpack, tensors, import; then what writes one: a copy, metadata and
 * moved tensors, read back; then edits. Properties: no crash, no leak, the no-op write gives the same bytes, what was
 * written can be read again. A hash of the input chooses the edit, and in one case of four an allocation that fails. */
#include "onnx/diff.h"
#include "onnx/edit.h"
#include "onnx/save.h"
#include "onnx/tensor.h"
#include "tests/fault.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok) abort();
}

static const char *const lines[] = {
    "inference",
    "batch-symbolic",
    "batchnorm insert",
    "batchnorm remove",
    "untie alias",
    "untie w #2 1",
    "untie b fc2 2",
    "scale-input x k",
    "scale-output y k",
    "rename-metadata a b",
    "hidden units=3,2 activation=gelu",
    "hidden units=1",
    "hidden activation=silu",
};

static hone_status count_one(void *user, const struct hn_difference *d)
{
    (void)d;
    ++*(int *)user;
    return HONE_OK;
}

static void check_writing(struct hn_fault *f, const struct hn_onnx *m)
{
    struct hn_buffer same, changed;
    struct hn_onnx *again;
    struct hn_patch p[64];
    float *zeros = calloc(1 << 16, sizeof *zeros);
    struct hn_meta meta = { "hone.fuzz", "1" };
    struct hn_changes c = { p, 0, &meta, 1 };
    hn_buffer_init(&same, &f->mem);
    hn_buffer_init(&changed, &f->mem);
    if (hn_onnx_write(m, NULL, 0, &same.sink, NULL) == HONE_OK)
        must(same.n == m->n && (m->n == 0 || memcmp(same.p, m->p, m->n) == 0));
    for (size_t i = 0; i < m->n_tensors && c.n_patches < 64 && zeros; i++) {
        const struct hn_tensor *t = &m->tensors[i].t;
        if (t->data && hn_dtype_is_float(t->dtype) && t->n <= 1 << 16)
            p[c.n_patches++] = (struct hn_patch){ (uint32_t)i, HN_F32, zeros };
    }
    if (zeros && hn_onnx_write(m, &c, 1, &changed.sink, NULL) == HONE_OK) {
        hone_status st =
            hn_onnx_open_bytes(&again, &f->mem, &f->io, changed.p, changed.n, NULL, NULL, NULL);
        must(st == HONE_OK || f->mem_fail.at || st == HONE_E_BUDGET);
        if (st == HONE_OK) {
            int n = 0;
            must(again->n_tensors == m->n_tensors);
            const char *v = hn_onnx_meta(again, "hone.fuzz");
            must(v && strcmp(v, "1") == 0);
            (void)hn_onnx_diff(m, again, count_one, &n, NULL);
            for (size_t i = 0; i < c.n_patches; i++)
                for (int64_t k = 0; k < again->tensors[p[i].tensor].t.n; k++)
                    must(hn_tensor_f64(&again->tensors[p[i].tensor].t, k) == 0);
            hn_onnx_close(again);
        }
    }
    hn_buffer_free(&same);
    hn_buffer_free(&changed);
    free(zeros);
}

static void check_edit(const struct hn_onnx *m, unsigned which)
{
    static const double one[2] = { 1, 2 };
    struct hn_tensor v[2] = { { HN_F64, 1, { 2 }, 2, one }, { HN_F64, 1, { 2 }, 2, one } };
    struct hn_edit_line line = { lines[which % (sizeof lines / sizeof *lines)], NULL, 0 };
    struct hn_onnx *e;
    struct hn_graph *g;
    hone_error err;
    if (strncmp(line.text, "scale", 5) == 0) line.values = v, line.n_values = 2;
    if (hn_onnx_edit(m, &line, 1, &e, &err) != HONE_OK) return;
    if (hn_onnx_graph(e, NULL, &g, &err) == HONE_OK) hn_graph_destroy(g);
    hn_onnx_close(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hn_fault f;
    struct hn_onnx *m;
    struct hn_graph *g;
    hone_error err;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 16777619u;
    hn_fault_init(&f);
    if (h % 4 == 0) f.mem_fail.at = 1 + (h >> 8) % 300;
    if (hn_onnx_open_bytes(&m, &f.mem, &f.io, data, size, NULL, NULL, &err) == HONE_OK) {
        if (hn_onnx_graph(m, NULL, &g, &err) == HONE_OK) hn_graph_destroy(g);
        check_writing(&f, m);
        check_edit(m, h >> 20);
        hn_onnx_close(m);
    }
    must(hn_fault_leaks(&f) == 0);
    return 0;
}
