/* SPDX-License-Identifier: MIT
 *
 * Changing an unpacked model: the vocabulary that edits and the builder of new models are written in. Everything made
 * lies in the model's arena; functions that make something return NULL or 0 when memory is out, and callers turn that
 * into hn_md_nomem. Lists of protobuf-c are replaced, never grown in place. Included by files of onnx/ only. */
#ifndef HN_ONNX_MODIFY_H
#define HN_ONNX_MODIFY_H

#include "onnx/edit.h"
#include "onnx/read.h"

struct hn_modify {
    struct hn_mem *mem;
    struct hn_arena *arena;
    const struct hn_proto
        *proto; /* what model was unpacked into, from n_bytes; NULL: a new model */
    size_t n_bytes;
    Onnx__ModelProto *model;
    Onnx__GraphProto *g;
    int64_t opset; /* of the standard operators */
    const struct hn_edit_line *line;
    char **words; /* [0] is the command */
    int n_words;
    struct hn_proto
        *others; /* models that come with the line: kept until the edited one is packed */
    struct hn_scan *other_scans;
    size_t n_others;
    hone_error *err;
};

hone_status hn_md_nomem(const struct hn_modify *e);
char *hn_md_text(const struct hn_modify *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Lists: `list` is the address of a protobuf-c pointer list. */
int hn_md_insert(const struct hn_modify *e, void *list, size_t *n, size_t at, void *item);
int hn_md_append(const struct hn_modify *e, void *list, size_t *n, void *item);
/* These names join the list that the model's metadata have under `key`, those that are not in it. */
hone_status hn_md_note(struct hn_modify *e, const char *key, const char *const *names, size_t n);
void hn_md_remove(void *list, size_t *n, size_t at);

/* Making things. in and out are NULL-terminated lists; "" is an argument left out. */
Onnx__NodeProto *hn_md_node(const struct hn_modify *e, const char *op, const char *name,
                            const char *const *in, const char *const *out);
int hn_md_attr_int(const struct hn_modify *e, Onnx__NodeProto *n, const char *name, int64_t v);
int hn_md_attr_float(const struct hn_modify *e, Onnx__NodeProto *n, const char *name, float v);
Onnx__AttributeProto *hn_md_attr(const Onnx__NodeProto *n, const char *name); /* NULL: none */
/* A tensor with raw_data of type dtype from values (any number type). */
Onnx__TensorProto *hn_md_tensor(const struct hn_modify *e, const char *name, enum hn_dtype dtype,
                                const struct hn_tensor *values);
/* The same with every element v. */
Onnx__TensorProto *hn_md_full(const struct hn_modify *e, const char *name, enum hn_dtype dtype,
                              int rank, const int64_t *dims, double v);
/* dims -1 with a name are symbols; -1 without one unknown. */
Onnx__ValueInfoProto *hn_md_info(const struct hn_modify *e, const char *name, int32_t type,
                                 int rank, const int64_t *dims, const char *const *names);
/* Appends an initializer, and a graph input of its name where the IR version wants one. */
int hn_md_add_initializer(const struct hn_modify *e, Onnx__TensorProto *t);

/* Finding things in the main graph. */
Onnx__TensorProto *hn_md_initializer(const struct hn_modify *e, const char *name);
Onnx__TensorProto *hn_md_constant(const struct hn_modify *e,
                                  const char *name); /* initializer or Constant's value */
Onnx__TensorProto *hn_md_root(const struct hn_modify *e,
                              const char *name); /* the same, also through Identity nodes */
Onnx__NodeProto *hn_md_producer(const struct hn_modify *e, const char *name,
                                size_t *at); /* at may be NULL */
Onnx__NodeProto *hn_md_node_named(const struct hn_modify *e, const char *word,
                                  size_t *at);          /* "#3" or a name, if only one has it */
int hn_md_is(const Onnx__NodeProto *n, const char *op); /* an operator of the standard domain */
int hn_md_is_output(const struct hn_modify *e, const char *name);
Onnx__ValueInfoProto *hn_md_input(const struct hn_modify *e, const char *name);
size_t hn_md_uses(const struct hn_modify *e,
                  const char *name); /* node inputs, in subgraphs too, and graph outputs */
/* The first of base, base_1, base_2, … that names nothing. */
char *hn_md_unique(const struct hn_modify *e, const char *base);
/* The same for names of nodes ("" is not made unique): runtimes refuse a file that has one twice. */
char *hn_md_unique_node(const struct hn_modify *e, const char *base);

/* The outputs of all nodes by name, for many look-ups in a graph that does not change meanwhile. NULL: no memory. */
struct hn_md_made {
    const char *name;
    size_t node; /* position */
};
struct hn_md_made *hn_md_index_made(const struct hn_modify *e, size_t *n);
const struct hn_md_made *hn_md_find_made(const struct hn_md_made *made, size_t n, const char *name);

/* Writes calls of the model's own functions out as nodes of the main graph; without any, nothing changes. */
hone_status hn_md_inline(struct hn_modify *e);

/* All node inputs called `from` become `to`, in subgraphs too; `except` (NULL allowed) is left alone. */
void hn_md_rewire(const struct hn_modify *e, char *from, char *to, const Onnx__NodeProto *except);
/* Removes the Constant node, initializer or Identity (chain) `name` when nothing uses it any more. */
void hn_md_drop_unused(const struct hn_modify *e, const char *name);
#endif
