/* SPDX-License-Identifier: MIT
 *
 * What changes between a model's source bytes and the bytes it is written as: new numbers in tensors, metadata entries,
 * names of data files. All of it becomes cuts (onnx/wire.h) in the model file and in its data files; everything else
 * stays the same bytes. A tensor keeps its type and its storage: raw bytes, typed fields and external ranges are
 * overwritten where they lie, as are the floats of an attribute that are weights. Only int32_data (half types, integers), whose varints change length, and ranges that several tensors
 * share are written anew. */
#ifndef HN_ONNX_PATCH_H
#define HN_ONNX_PATCH_H

#include "onnx/model.h"

struct
    hn_patch { /* the new numbers of one tensor: as many as it has, converted to its type (rounded to nearest even) */
    uint32_t tensor;
    enum hn_dtype dtype; /* of values */
    const void *values;
};
struct
    hn_meta { /* sets a metadata entry of the model, whatever entries the key has now; value NULL: takes it away */
    const char *key, *value;
};
struct hn_changes {
    const struct hn_patch *patches;
    size_t n_patches;
    const struct hn_meta *metas;
    size_t n_metas;
};

struct hn_cuts {
    struct hn_cut *v;
    size_t n, cap;
};

struct hn_patch_set {
    struct hn_mem *mem;
    struct hn_arena arena; /* bytes that cuts point to */
    struct hn_cuts file;
    struct hn_cuts *side; /* one per sidecar of the model */
    size_t n_side;
    unsigned char *inlined; /* by tensor: taken into the file */
};

/* With inline_all, external tensors are taken into the file. */
hone_status hn_patch_build(struct hn_patch_set *s, const struct hn_onnx *m,
                           const struct hn_changes *c, int inline_all, hone_error *err);
/* Tensors whose data lie in sidecar `from` shall name `to` instead. */
hone_status hn_patch_location(struct hn_patch_set *s, const struct hn_onnx *m, const char *from,
                              const char *to, hone_error *err);
void hn_patch_free(struct hn_patch_set *s);
#endif
