/* SPDX-License-Identifier: MIT
 *
 * From scanned bytes to protobuf-c's structures. The raw numbers of tensors are not copied: protobuf-c unpacks a skeleton
 * of the file in which every tensor's raw_data is the tensor's id, and afterwards raw_data points into the file's bytes.
 * Everything protobuf-c allocates lies in one arena with a cap, so nothing is ever freed one by one, messages may be
 * edited by pointing their fields at other arena memory, and a failed unpack leaves nothing behind.
 * Included by the files of onnx/ only. */
#ifndef HN_ONNX_READ_H
#define HN_ONNX_READ_H

#include "onnx.pb-c.h"
#include "onnx/scan.h"

struct hn_proto_tensor {
    Onnx__TensorProto *t;
    uint32_t id;
};

struct hn_proto {
    struct hn_mem *mem;
    struct hn_arena arena;
    Onnx__ModelProto *model; /* or */
    Onnx__TensorProto *tensor;
    struct hn_proto_tensor *by_address; /* every TensorProto, sorted by address */
    Onnx__TensorProto **by_id;
    size_t n_tensors;
    ProtobufCAllocator allocator;
    size_t left; /* of the cap */
    int failed;  /* 1: out of memory, 2: over the cap */
};

/* bytes must stay where they are while the result is used. name: of the file, for messages. */
hone_status hn_proto_read_model(struct hn_proto *p, struct hn_mem *m, const unsigned char *bytes,
                                size_t n, const struct hn_scan *s, const char *name,
                                hone_error *err);
hone_status hn_proto_read_tensor(struct hn_proto *p, struct hn_mem *m, const unsigned char *bytes,
                                 size_t n, const struct hn_scan *s, const char *name,
                                 hone_error *err);
void hn_proto_free(struct hn_proto *p); /* a zeroed struct is fine */

/* Id of a tensor of this model, -1 when it is none (one that an edit made). */
int64_t hn_proto_id(const struct hn_proto *p, const Onnx__TensorProto *t);

/* Calls fn for every TensorProto inside m, m itself included, in field order; stops at the first that returns non-zero. */
int hn_proto_each_tensor(ProtobufCMessage *m, int (*fn)(void *user, Onnx__TensorProto *t),
                         void *user);

/* Packs a message into a sink. Refuses what would not be readable again (2 GiB and more). */
hone_status hn_proto_pack(const ProtobufCMessage *m, struct hn_sink *sink, hone_error *err);
#endif
