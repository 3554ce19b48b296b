/* SPDX-License-Identifier: MIT
 *
 * The only way to files that a model names: tensor data beside it. A file is opened once, inside the model's folder and
 * nowhere else (hn_file_open_beneath: the kernel contains the name), read-only, and stays mapped until close. */
#ifndef HN_ONNX_EXTERNAL_H
#define HN_ONNX_EXTERNAL_H

#include "ops/base/io.h"

struct hn_sidecar {
    char *location; /* as the model writes it, relative to its folder */
    struct hn_file file;
};

struct hn_external {
    struct hn_mem *mem;
    const struct hn_io *io;
    const char *dir; /* borrowed; NULL: the model came as bytes and no folder was given */
    struct hn_sidecar *files;
    size_t n, cap;
};

/* What a tensor's external_data says. length -1: up to the end of the file. */
struct hn_external_ref {
    const char *location;
    int64_t offset, length;
};

void hn_external_init(struct hn_external *x, struct hn_mem *m, const struct hn_io *io,
                      const char *dir);
void hn_external_close(struct hn_external *x); /* a zeroed struct is fine */

/* The bytes that `ref` means, which must be `want` of them. where: names the tensor. */
hone_status hn_external_get(struct hn_external *x, const struct hn_external_ref *ref, size_t want,
                            const char *where, const void **data, hone_error *err);
/* The position of p in a sidecar: its number in x->files, -1 when p lies in none. */
int hn_external_find(const struct hn_external *x, const void *p, size_t *offset);
#endif
