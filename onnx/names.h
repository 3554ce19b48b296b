/* SPDX-License-Identifier: MIT
 *
 * A table from texts to numbers: names of values and nodes that are taken, functions by their identifier. It keeps the
 * pointers it is given, so the texts must outlive it. */
#ifndef HN_ONNX_NAMES_H
#define HN_ONNX_NAMES_H

#include "ops/base/memory.h"

struct hn_named {
    const char *text; /* NULL: free */
    int32_t value;
};
struct hn_names { /* open addressing; a power of two, at most half full */
    struct hn_mem *mem;
    struct hn_named *slots;
    size_t size, used;
};

void hn_names_init(struct hn_names *t, struct hn_mem *m);
/* A text's number, valid until the next put; NULL: the text is not there. */
int32_t *hn_names_find(const struct hn_names *t, const char *text);
/* Adds a text; one that is there keeps its number. 0: no memory. */
int hn_names_put(struct hn_names *t, const char *text, int32_t value);
void hn_names_free(struct hn_names *t); /* a zeroed struct is fine */
#endif
