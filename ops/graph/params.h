/* SPDX-License-Identifier: MIT
 *
 * What the files share that decide which tensors learn: params.c by the place a tensor stands in, computed.c for those that
 * something in such a place is computed from. */
#ifndef HN_PARAMS_H
#define HN_PARAMS_H

#include "ops/graph/rows.h"

struct hn_decision {
    int record, trained; /* belongs to the list; learns */
    const char *why;
};
extern const char hn_why_asked[]; /* by --freeze */

struct hn_leaf { /* a tensor that a value is computed from, where it is read first */
    int32_t node, input, root;
    int often; /* 1: and elsewhere; 2: also under another name */
};
struct hn_finder {
    struct hn_graph *g;
    const struct hn_graph_opts *opts;
    hone_error *err;
    int hinted; /* the exporter names the parameters */
    /* computed.c: the walk back from a value */
    int32_t *seen, walk; /* per value: the last walk that met it */
    int32_t *leaf_of;    /* per root met by this walk: its leaf */
    int32_t *stack;
    struct hn_leaf *leaves;
    struct hn_decision *decided;
    int32_t *inputs; /* per node: how many inputs the nodes before have */
    uint8_t *noted;  /* per input of all nodes: it is a use already */
    size_t n_leaves, n_stack;
    int some_initializer, some_variance; /* is among the leaves */
    int64_t left;                        /* nodes that walks may still meet */
};

int hn_finder_matches(const char *const *globs, size_t n, const char *name);
int hn_zeros_and_ones(const struct hn_tensor *t);
/* What the caller asked or the exporter says of a tensor: 1 and *d, or 0 where neither does. */
int hn_decide_by_name(const struct hn_finder *f, const struct hn_value *v, struct hn_decision *d);
/* Adds a use, and its parameter where it is the first: node, input, at_node, at_input, often are given. */
hone_status hn_note_use(struct hn_finder *f, const struct hn_use *use, enum hn_slot_kind slot,
                        struct hn_decision d);

/* Does no input of the graph reach v? Known at import, mostly; not where it is too large for that, or random. */
int hn_is_free(const struct hn_graph *g, int32_t v);
hone_status hn_computed_begin(struct hn_finder *f);
/* Input `input` of the node is free and no tensor of the file: notes those it is computed from that learn, `place`
 * being what would hold for a tensor there. */
hone_status hn_find_computed(struct hn_finder *f, int32_t node, int input, enum hn_slot_kind slot,
                             struct hn_decision place);
/* When all parameters are known: which rows of them do not learn (still.c). */
hone_status hn_find_still(struct hn_finder *f);
/* When all parameters are known: which values are computed from them, and so run. */
hone_status hn_mark_computed(struct hn_finder *f);
#endif
