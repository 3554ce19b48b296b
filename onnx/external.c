/* SPDX-License-Identifier: MIT
 *
 * Sidecar files, opened on first use and checked against the range that a tensor claims. */
#include "onnx/external.h"
#include "ops/base/status.h"
#include <string.h>

void hn_external_init(struct hn_external *x, struct hn_mem *m, const struct hn_io *io,
                      const char *dir)
{
    *x = (struct hn_external){ .mem = m, .io = io, .dir = dir };
}

void hn_external_close(struct hn_external *x)
{
    for (size_t i = 0; i < x->n; i++) {
        hn_file_close(&x->files[i].file);
        hn_free(x->mem, x->files[i].location);
    }
    if (x->mem) hn_free(x->mem, x->files);
    *x = (struct hn_external){ 0 };
}

static hone_status open_sidecar(struct hn_external *x, const char *location, const char *where,
                                hone_error *err)
{
    struct hn_sidecar s = { 0 };
    hone_error inner = { 0 };
    if (!x->dir)
        return hn_fail(
            err, HONE_E_IO, where,
            "the data are in a file of their own, '%.200s', but the model came without a folder",
            location);
    hone_status st = hn_file_open_beneath(&s.file, x->io, x->mem, x->dir, location, &inner);
    if (st != HONE_OK) {
        (void)hn_fail(err, st, where, "its data file '%.200s' in folder '%.200s': %.300s", location,
                      x->dir, inner.text);
        return hn_hint(err, st,
                       "a model with external data needs that file beside it, under the name it "
                       "was saved with");
    }
    s.location = hn_strdup(x->mem, location);
    if (!s.location || !HN_PUSH(x->mem, x->files, x->n, x->cap, s)) {
        hn_free(x->mem, s.location);
        hn_file_close(&s.file);
        return hn_nomem(err, "the list of data files", sizeof s);
    }
    return HONE_OK;
}

hone_status hn_external_get(struct hn_external *x, const struct hn_external_ref *ref, size_t want,
                            const char *where, const void **data, hone_error *err)
{
    size_t i = 0;
    while (i < x->n && strcmp(x->files[i].location, ref->location)) i++;
    if (i == x->n) HN_TRY(open_sidecar(x, ref->location, where, err));
    const struct hn_file *f = &x->files[i].file;
    uint64_t offset = (uint64_t)ref->offset;
    if (offset > f->n || want > f->n - offset)
        return hn_fail(
            err, HONE_E_MODEL, where, "its data are bytes %llu to %llu of '%.200s', which has %zu",
            (unsigned long long)offset, (unsigned long long)(offset + want), ref->location, f->n);
    if (ref->length >= 0 && (uint64_t)ref->length != want)
        return hn_fail(err, HONE_E_MODEL, where,
                       "external data of %lld bytes, its dims and type need %zu",
                       (long long)ref->length, want);
    *data = f->p + offset;
    return HONE_OK;
}

int hn_external_find(const struct hn_external *x, const void *p, size_t *offset)
{
    for (size_t i = 0; i < x->n; i++) {
        uintptr_t first = (uintptr_t)x->files[i].file.p, at = (uintptr_t)p;
        if (at < first || at - first >= x->files[i].file.n) continue;
        *offset = at - first;
        return (int)i;
    }
    return -1;
}
