/* SPDX-License-Identifier: MIT
 *
 * The walk over a model file's bytes before anything is unpacked. protobuf-c recurses without a limit and spends up to a
 * hundred times the file's size on hostile input, so the file is first walked once, with a stack of fixed size, checking
 * depth, counts, lengths and how much memory unpacking would take; what fails here protobuf-c never sees. The walk also
 * notes where every tensor and its raw numbers lie (which makes reading without copies and writing back in place
 * possible) and where the model's own metadata entries are. Memory: a few dozen bytes per tensor. */
#ifndef HN_ONNX_SCAN_H
#define HN_ONNX_SCAN_H

#include "onnx/wire.h"

#define HN_SCAN_DEPTH 100

struct hn_scan_limits {
    size_t messages, nodes, tensors; /* counts, in the whole file */
    size_t unpacked; /* bytes that unpacking may take; 0: twice the file's size and 48 MiB */
};
extern const struct hn_scan_limits hn_scan_defaults;
size_t hn_scan_budget(size_t n_bytes); /* the default of `unpacked` for a file of this size */

enum hn_place {                    /* where a tensor stands */
                HN_AT_INITIALIZER, /* of the main graph */
                HN_AT_ATTRIBUTE,   /* of a node of the main graph or of a function's body */
                HN_AT_ELSEWHERE    /* subgraphs, sparse tensors, training information */
};

/* One TensorProto; its position in the table is the tensor's id everywhere in Hone. */
struct hn_scan_tensor {
    uint32_t frame;
    uint8_t place, has_raw, is_external;
    size_t raw_at, raw, n_raw; /* field header, first byte, bytes of raw_data */
};

struct hn_scan_meta { /* an entry of the model's metadata_props: the whole field, and its key */
    size_t at, n, key, n_key;
};

struct hn_scan {
    struct hn_mem *mem;
    struct hn_frame *frames; /* [0] is the file */
    struct hn_scan_tensor *tensors;
    struct hn_scan_meta *metas;
    size_t n_frames, n_tensors, n_metas, cap_frames, cap_tensors, cap_metas;
    size_t n_nodes, n_messages;
    size_t unpacked; /* estimate, in bytes */
};

/* Walks a ModelProto. limits may be NULL. On failure nothing is kept; the text says where in the file, and what the file
 * seems to be when it is no model at all. */
hone_status hn_scan_model(struct hn_scan *s, struct hn_mem *m, const unsigned char *p, size_t n,
                          const struct hn_scan_limits *limits, const char *name, hone_error *err);
/* The same for a file that holds one TensorProto. */
hone_status hn_scan_tensor(struct hn_scan *s, struct hn_mem *m, const unsigned char *p, size_t n,
                           const char *name, hone_error *err);
void hn_scan_free(struct hn_scan *s); /* a zeroed struct is fine */

/* "a git-LFS pointer, not the file itself" and the like, or NULL when the bytes look like nothing known. */
const char *hn_detect(const unsigned char *p, size_t n);
#endif
