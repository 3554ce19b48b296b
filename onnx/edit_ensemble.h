/* SPDX-License-Identifier: MIT
 *
 * What the files behind the edit "ensemble" share: members.c finds what several models have in common, edit_ensemble.c puts
 * them side by side in one graph, edit_average.c makes one value of theirs. */
#ifndef HN_ONNX_EDIT_ENSEMBLE_H
#define HN_ONNX_EDIT_ENSEMBLE_H

#include "onnx/edit_list.h"

enum hn_peer_state { HN_PEER_UNUSED, HN_PEER_SHARED, HN_PEER_NEEDED };

struct hn_peer_value {
    const char *name;
    Onnx__TensorProto *constant; /* an initializer, or what a Constant node holds */
    int64_t node;                /* that makes it, -1 */
    const char *shared, *own;    /* what it is called in the ensemble; NULL: not there */
    int is_input, is_average;
    int behind; /* an average comes before it */
};

struct hn_peer {
    Onnx__GraphProto *g;
    struct hn_peer_value *v; /* by name */
    size_t n_v;
    size_t *order; /* of nodes, topological */
    uint8_t *state;
    uint8_t *inner; /* of nodes: an average depends on it, so every member needs its own */
};

struct hn_merge {
    struct hn_modify *e;
    struct hn_peer *m; /* the first is the model itself */
    size_t n;
    char **averages; /* n_averages names of values, as in every member */
    size_t n_averages;
    const char *prefix;
    Onnx__GraphProto was; /* the first member's lists before they were emptied */
    size_t room;          /* for nodes in the new list */
    int nomem;            /* memory ran out where only yes and no can be said */
};

/* members.c */
/* HONE_E_UNSUPPORTED with "ensemble: why". */
hone_status hn_peer_unsupported(const struct hn_merge *k, const char *where, const char *why);
int hn_peer_same_text(const char *a, const char *b); /* NULL is "" */
/* Fills in m from a graph: its values, the order of its nodes, which values are averaged. */
hone_status hn_peer_open(const struct hn_merge *k, struct hn_peer *m, Onnx__GraphProto *g);
struct hn_peer_value *hn_peer_value(const struct hn_peer *m, const char *name);
/* The names that a node reads, also from inside its graphs; fn returns 0 to stop. 0: it was stopped. */
int hn_peer_each_name(Onnx__NodeProto *n, int (*fn)(void *user, char **name), void *user);
/* Finds the nodes that all members have. */
hone_status hn_peer_share(struct hn_merge *k);
/* Whatever reads an average must be the same in all members, or make another one. */
hone_status hn_peer_check_tail(const struct hn_merge *k);
/* So must what other outputs are made of. */
hone_status hn_peer_check_outputs(const struct hn_merge *k);
/* The nodes between what is shared and the averages. */
void hn_peer_mark_needed(const struct hn_merge *k, struct hn_peer *m);

/* edit_average.c */
struct hn_average {
    const char *kind;   /* "mean", "softmax", "sigmoid" */
    char *value;        /* what it is called in the graph */
    char **from;        /* the members' values */
    size_t n;           /* members */
    const char *prefix; /* new names begin with it: nothing else in the graph does */
    int softmax_axis; /* -1, or 1 where the operators count so; that of the tail where there is one */
};
/* Appends the nodes (and initializers) that compute a->value. */
hone_status hn_edit_average(struct hn_modify *e, const struct hn_average *a);
#endif
