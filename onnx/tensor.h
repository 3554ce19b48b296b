/* SPDX-License-Identifier: MIT
 *
 * A TensorProto seen as a plain tensor. The numbers stay where they are when they can be used as they lie (raw bytes in
 * the mapped file, external data, typed fields of full width); narrow types in wide typed fields are packed into an
 * arena. Checked before anything is believed: dims, their product, one value field and the right one, and as many bytes
 * or numbers as the dims want. Also test vectors: files that hold one TensorProto. */
#ifndef HN_ONNX_TENSOR_H
#define HN_ONNX_TENSOR_H

#include "onnx/external.h"
#include "ops/base/tensor.h"

struct Onnx__TensorProto;

const char *
hn_onnx_type_name(int32_t data_type); /* of all of ONNX's types; "unknown" beyond them */
/* Bytes that n elements take in raw_data; 0 for strings and unknown types. 4-bit types share bytes. */
int hn_onnx_type_bytes(int32_t data_type, int64_t n, size_t *bytes);

/* out->data is borrowed from the message, the file, a sidecar or the arena. file: name for messages. Fails with
 * HONE_E_UNSUPPORTED for a type or form that Hone does not know (out then has dims and no data), HONE_E_MODEL for a
 * tensor that contradicts itself. Types outside hn_dtype keep their ONNX number in out->dtype. */
hone_status hn_onnx_tensor_view(struct hn_tensor *out, const struct Onnx__TensorProto *t,
                                struct hn_external *x, struct hn_arena *arena, const char *file,
                                hone_error *err);

/* A .pb file with one TensorProto (ONNX test vectors, data files). */
struct hn_tensor_pb {
    struct hn_tensor t;
    const char *name; /* "" when it has none */
    struct hn_mem *mem;
    struct hn_file file;
    struct hn_external external;
    struct hn_proto *proto;
    struct hn_arena arena;
    char *dir;
};
hone_status hn_onnx_read_tensor_pb(struct hn_tensor_pb *out, const struct hn_io *io,
                                   struct hn_mem *m, const char *path, size_t max_bytes,
                                   hone_error *err);
void hn_onnx_free_tensor_pb(struct hn_tensor_pb *t); /* a zeroed struct is fine */

/* Writes t as a TensorProto (raw_data; string_data for strings). */
hone_status hn_onnx_write_tensor_pb(struct hn_sink *s, const char *name, const struct hn_tensor *t,
                                    hone_error *err);
#endif
