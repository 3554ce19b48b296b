/* SPDX-License-Identifier: MIT
 *
 * A loaded model: the file's immutable bytes, what the scan found in them, protobuf-c's view of them, and every tensor
 * as plain numbers. Graphs are imported from it, edits make another one from it, saving writes its bytes with some
 * values replaced. Tensors have ids: their positions in the file (hn_value.tensor_id of a graph, the save functions), and behind
 * them the lists of floats that are weights (onnx/linear.h).
 *
 *     hn_onnx_open(&m, mem, io, "x.onnx", &err)  →  hn_onnx_graph(m, NULL, &g, &err)  →  …  →  hn_onnx_save(m, …)  →  hn_onnx_close(m) */
#ifndef HN_ONNX_MODEL_H
#define HN_ONNX_MODEL_H

#include "onnx/external.h"
#include "onnx/scan.h"
#include "ops/base/io.h"
#include "ops/base/tensor.h"
#include "ops/graph/graph.h"

struct hn_proto;
struct hn_linears;

struct hn_onnx_tensor {
    struct hn_tensor t; /* data NULL: of a type or form that is not supported; `why` says it */
    const char *name;   /* "" when it has none */
    const char *why;
    int32_t sidecar; /* position in external.files, -1: in the model file */
    size_t sidecar_at;
};

struct hn_onnx {
    struct hn_mem *mem;
    const struct hn_io *io;
    char *path, *dir;     /* NULL for a model from memory (dir: unless one was given) */
    const char *name;     /* for messages */
    struct hn_file file;  /* the source of p, or */
    struct hn_buffer own; /* an edited model's bytes; else p is borrowed */
    const unsigned char *p;
    size_t n;
    struct hn_scan scan;
    struct hn_proto *proto;
    struct hn_external external;
    struct hn_arena arena;
    struct hn_linears *linears;
    struct hn_onnx_tensor *tensors; /* by id: the scan's, then the linears' floats */
    size_t n_tensors;
};

/* Reads a file (.gz too). Fails on what makes the file unreadable or contradictory; everything else is left to the graph's
 * list of issues. The model keeps the file mapped: it must not be changed in place meanwhile (saving over it is fine). */
hone_status hn_onnx_open(struct hn_onnx **out, struct hn_mem *m, const struct hn_io *io,
                         const char *path, hone_error *err);
/* The same from memory, which must outlive the model. dir: where external data lie, NULL: nowhere. name may be NULL. */
hone_status hn_onnx_open_bytes(struct hn_onnx **out, struct hn_mem *m, const struct hn_io *io,
                               const void *p, size_t n, const char *dir, const char *name,
                               hone_error *err);
void hn_onnx_close(struct hn_onnx *m); /* NULL allowed. Graphs made from it must be gone. */

/* Import: a new graph, finished with opts (hn_graph_finish); it borrows from the model. */
hone_status hn_onnx_graph(const struct hn_onnx *m, const struct hn_graph_opts *opts,
                          struct hn_graph **out, hone_error *err);

/* The model's metadata: the value of a key, NULL when it is not there. */
const char *hn_onnx_meta(const struct hn_onnx *m, const char *key);

/* Applies edit lines (onnx/edit.h) one after the other; the result owns its bytes and keeps the source's path and folder.
 * An edit that computes with the file's numbers ("batchnorm remove") takes external data into the file first. */
struct hn_edit_line;
hone_status hn_onnx_edit(const struct hn_onnx *m, const struct hn_edit_line *lines, size_t n_lines,
                         struct hn_onnx **out, hone_error *err);

/* Names in one metadata value, of classes ("hone.classes", "hone.classes.OUTPUT" where several outputs learn): one per line, backslash and line feed as \\ and \n. */
#define HN_META_CLASSES "hone.classes"
/* Along which axis of an output [rows, ..., ...] its classes lie, where a training was told or found out ("hone.class_axis", or with
 * ".OUTPUT" where several learn): "first", the one behind the rows, or "last". */
#define HN_META_CLASS_AXIS "hone.class_axis"
/* The same for names of Constants that calls of a function shared before an edit wrote them out: one parameter each. */
#define HN_META_SHARED "hone.shared"
/* The same for outputs in front of which --scale-target has put the inverse of its scaling. */
#define HN_META_UNSCALED "hone.unscaled"
hone_status hn_classes_write(struct hn_buffer *b, const char *const *classes, size_t n,
                             hone_error *err);
struct hn_class_list;
hone_status hn_classes_read(struct hn_arena *a, const char *value, struct hn_class_list *found,
                            hone_error *err);
#endif
