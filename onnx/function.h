/* SPDX-License-Identifier: MIT
 *
 * Functions that a model defines itself (ModelProto.functions), looked up and understood before a call is expanded
 * (onnx/expand.h). A function is found by domain, name and overload; a function comes before the standard operator of
 * its name. Only functions that the main graph calls, directly or through others, are looked at; the others are carried.
 * Refused here: functions that call themselves, calls nested deeper than HN_CALL_DEPTH, bodies that define a name twice. */
#ifndef HN_ONNX_FUNCTION_H
#define HN_ONNX_FUNCTION_H

#include "onnx/names.h"
#include "onnx/read.h"

#define HN_CALL_DEPTH 100
#define HN_MOST_ENTRIES                                                                            \
    256 /* attributes of a call, defaults and imports of a function: they are searched one by one */

struct hn_function;
struct hn_body_node { /* a node of a body; names by number */
    int32_t *in, *out;
    struct hn_function *callee; /* NULL: an operator */
};
struct hn_function {
    const Onnx__FunctionProto *p;
    const char *label; /* "domain.name", for messages */
    enum { HN_FN_UNSEEN, HN_FN_OPEN, HN_FN_READY } state;
    int height;    /* calls nested in it */
    size_t n_flat; /* nodes and calls that a call becomes, at most SIZE_MAX / 4 */
    const char **
        names; /* of the body's values: [0] is "", an argument left out; the inputs follow in order */
    size_t n_names;
    struct hn_body_node *nodes;
    int32_t *outputs; /* as names */
};

struct hn_functions {
    struct hn_arena *arena;
    struct hn_function *v; /* in the file's order */
    size_t n;
    struct hn_names by_id; /* domain, name and overload as one text → position */
    struct hn_buffer id;   /* such a text while it is looked up */
    hone_error *err;
};

/* Fails when two functions have the same identifier. The arena and the model must outlive the table. */
hone_status hn_functions_open(struct hn_functions *t, struct hn_mem *m, struct hn_arena *arena,
                              const Onnx__ModelProto *model, hone_error *err);
void hn_functions_close(struct hn_functions *t); /* a zeroed struct is fine */

/* The function that a node calls, ready for expansion; NULL: it calls none. */
hone_status hn_function_called(struct hn_functions *t, const Onnx__NodeProto *n,
                               struct hn_function **out);
/* Version of a domain in the function's own imports, 0: it does not import it. */
int64_t hn_function_opset(const struct hn_function *f, const char *domain);
#endif
