/* SPDX-License-Identifier: MIT
 *
 * What hn_graph_finish learns beyond graph.h: per value and per node, shared by the files of ops/graph only. Everything
 * lives in the graph's arena. */
#ifndef HN_FACTS_H
#define HN_FACTS_H

#include "ops/base/quant.h"
#include "ops/graph/graph.h"

struct hn_int_list { /* a list attribute */
    const int64_t *i;
    const float *f;
    size_t n;
    int present;
};
struct
    hn_onnx_attrs { /* every attribute any row knows, defaults filled in; a row's schema says which apply */
    double alpha, beta, gamma, lo, hi, epsilon, momentum, ratio, value_float;
    int64_t axis, spatial, trans_a, trans_b, keepdims, training_mode, allowzero, to, num_outputs,
        noop, start, end, value_int, p, last, largest, sorted, k, block, output_dtype;
    double replaced;
    struct hn_int_list offset, scale, imputed;
    struct hn_int_list axes, perm, split, starts, ends, value_floats, value_ints, pads;
    double fill; /* of Pad before opset 11 */
    const struct hn_tensor *value;
    const char *approximate, *norm, *equation, *mode;
    int64_t batch_dims, upper, exclusive, reverse, fmod, positive, negative;
    const char *activation; /* of FusedGemm, with its numbers */
    double act_alpha, act_beta, act_gamma;
    int64_t batch_a, batch_b, groups;
    double custom[HN_CUSTOM_ATTRS]; /* of a plug-in's operator */
};

struct hn_value_fact {
    struct hn_dim
        *ints; /* the value's integers, affine in N (shape arithmetic); NULL: not known so */
    int64_t n_ints;
    double splat_value;
    int32_t
        root; /* the initializer or Constant whose numbers these are (Identity, reshapes, transposes), or -1 */
    uint8_t trans; /* they are the transpose of root's */
    const struct hn_quant *
        quant; /* root's numbers are rounded on the way (root of floats), or stand for others (of whole numbers): how, with an axis
                  of the root. While the value is of whole numbers itself, they have yet to be made floats. NULL: neither */
    uint8_t splat; /* every element is splat_value, whatever the shape */
    uint8_t live;  /* needed at run time for some output */
    uint8_t
        computed; /* known at import, but made of parameters that learn: its node runs all the same, once a step (computed.c) */
    uint8_t computable;
    uint8_t from_param;   /* depends on a trained parameter */
    uint8_t from_input;   /* depends on a graph input */
    uint8_t before_dense; /* some Gemm or MatMul depends on it */
    uint8_t
        derived; /* as far as it depends on trained parameters, it does so through a trainable output */
    uint8_t
        chosen; /* depends on trained parameters, but no gradient reaches them: labels, integers, bools */
    uint8_t label; /* what ArgMax or ArgMin gives, also moved, cast or looked up in a list */
    /* Whole numbers from 0 to below n_positions at run time (0: not known to be that), which say what they are themselves, or,
     * with `labels`, which of that list's elements is meant: then nothing may compute with them. */
    int64_t n_positions;
    const struct hn_tensor *labels;
    uint32_t seen; /* by a walk over the graph: its number */
};

enum hn_unscales { HN_UNSCALES = 1, HN_UNSCALES_OUTPUT = 2 /* right in front of an output */ };
enum hn_node_state {
    HN_NODE_OK,
    HN_NODE_FAILED /* for its own reason */,
    HN_NODE_BLOCKED /* an input is missing */
};
struct hn_pattern;
struct hn_node_fact {
    const struct hn_onnx_attrs *attrs;
    const char *reason, *remedy;
    const double *keys; /* of a OneHotEncoder that must know what it reads; NULL: others */
    size_t n_keys;
    const struct hn_pattern *pattern; /* this node ends a pattern and is lowered as one op */
    hone_status code;
    int32_t
        state_at; /* BatchNormalization: its mean in facts.states, the variance follows; -1: none */
    enum hn_node_state state;
    uint8_t live;
    int32_t owner;    /* the node that ends the pattern this one is in (itself included), -1 */
    uint8_t absorbed; /* inside a pattern: not lowered itself */
    uint8_t
        unscales; /* by a tensor of the inverse of scaled targets, which does not learn (enum hn_unscales) */
};

enum hn_slot_kind {
    HN_SLOT_NONE,
    HN_SLOT_WEIGHT,
    HN_SLOT_BIAS,
    HN_SLOT_NORM,
    HN_SLOT_SLOPE,
    HN_SLOT_TABLE,
    HN_SLOT_ELEMENT,
    HN_SLOT_FACTOR /* a weight or a bias is computed from it */
};
struct hn_param_info {      /* beside struct hn_gparam, same position */
    enum hn_slot_kind slot; /* of the use that decided */
    uint8_t of_batchnorm;   /* scale or bias of a BatchNormalization */
    double fan_in, fan_out;
    double start;                  /* what initialisation begins with, where `starts` is 1 */
    uint8_t starts;                /* 0: no use is known yet; 2: none that all uses agree on */
    int32_t feeds;                 /* enum hn_unary_kind behind the layer, -1 */
    const struct hn_quant *stored; /* the file has it in whole numbers: what they stand for */
};
struct hn_state { /* a running statistic: one record per slot */
    int32_t root; /* -1: no initializer or Constant */
    int computed; /* the graph computes it from the batch: init stands in, and nobody reads it */
    int fixed; /* no tensor of the file has these numbers, which are made of such: it cannot be written back, and stays */
    int32_t node, input;
    int32_t
        first; /* its own number, or that of the record whose tensor it moves too: one module called several times */
    const char *name;
    const struct hn_tensor *init;
};
struct hn_consumer {
    int32_t node, input;
}; /* node -1: graph output number `input` */

struct hn_facts {
    struct hn_value_fact *values;
    struct hn_node_fact *nodes;
    int32_t *use_first; /* consumers of value v: uses[use_first[v] .. use_first[v+1]) */
    struct hn_consumer *uses;
    struct hn_param_list params;
    struct hn_param_info *info;  /* per parameter */
    enum hn_slot_kind *use_slot; /* per use */
    int32_t *param_of;           /* value number of a root -> position in params, -1 */
    struct hn_state *states;
    size_t n_states;
    int32_t *
        state_of; /* value number of a root -> its first record as a mean, then as a variance; -1 */
    int32_t *fold_map; /* all 0 between folds */
    uint32_t seen;     /* the last walk's number (struct hn_value_fact) */
    int unbatched;     /* N was put in front of the single rows [features] the model takes */
    int has_dropout;   /* a Dropout node is live */
    struct hn_tensor
        texts; /* that encoders know, sorted by bytes: what text of the data comes in as a place of */
};

static inline int hn_n_uses(const struct hn_graph *g, int32_t v)
{
    return g->facts->use_first[v + 1] - g->facts->use_first[v];
}

/* 1 + the row of its table that the Gather's lookups teach nothing; 0: none (still.c). */
int64_t hn_still_row(const struct hn_graph *g, const struct hn_node *n);
/* Does the node compute a weight from what learns? */
static inline int hn_is_computed(const struct hn_graph *g, const struct hn_node *n)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] >= 0 && g->facts->values[n->out[k]].computed) return 1;
    return 0;
}

int64_t hn_graph_opset(const struct hn_graph *g, const char *domain); /* 0: not imported */
int64_t hn_node_opset(const struct hn_graph *g, const struct hn_node *n);
int hn_is_default_domain(const char *domain); /* "" and "ai.onnx" */

/* sort.c: consumers, producers, topological order; structural damage is an error */
hone_status hn_graph_sort(struct hn_graph *g, hone_error *err);
/* infer.c: rows, shapes, types, constants; batch lifting */
hone_status hn_graph_infer(struct hn_graph *g, const struct hn_graph_opts *opts, hone_error *err);
/* live.c: what outputs need; computable */
void hn_graph_liveness(struct hn_graph *g);
/* pattern.c */
hone_status hn_graph_patterns(struct hn_graph *g, hone_error *err);
/* params.c: parameters, uses, states, from_param; ties.c: ties and unties; same.c: what tells one from the other */
hone_status hn_graph_find_params(struct hn_graph *g, const struct hn_graph_opts *opts,
                                 hone_error *err);
hone_status hn_graph_find_ties(struct hn_graph *g, hone_error *err);
/* Was tensor `root`, which both places read, one tensor in the model too? 0: nothing says so. */
int hn_same_tensor(const struct hn_graph *g, int32_t root, struct hn_spot a, struct hn_spot b,
                   int is_state);
/* The same where the second place reads an Identity of root, for what the exporter computed from weights. */
int hn_same_folded(const struct hn_graph *g, int32_t root, struct hn_spot first,
                   struct hn_spot again);
/* Does t hold one number only, as far as `most` elements show? */
int hn_all_equal(const struct hn_tensor *t, int64_t most);
extern const char
    hn_why_element[]; /* why what a layer's result is subtracted from or the like does not learn */
/* unscale.c: the nodes that undo the scaling of targets, before parameters are looked for */
void hn_graph_find_unscalers(struct hn_graph *g);
/* told.c: warnings about what an exporter left out */
hone_status hn_graph_tell(struct hn_graph *g, hone_error *err);
/* roles.c: verdicts and issues */
hone_status hn_graph_verdicts(struct hn_graph *g, hone_error *err);

/* 1: the node is in training form (five or three outputs, training_mode 1). */
int hn_batchnorm_form(const struct hn_node *n, const struct hn_onnx_attrs *a);
/* MatMul by a constant matrix: the activation, the weight, and whether the weight stands transposed (on the left of a
 * single row). 0: no such MatMul. */
int hn_matmul_weight(const struct hn_graph *g, const struct hn_node *n, int32_t *x, int32_t *w,
                     int *trans);
/* A constant with one element (also a splat) as a number: 1 and *x, else 0. v may be -1. */
int hn_value_scalar(const struct hn_graph *g, int32_t v, double *x);
/* Integers of v, affine in N: from shape arithmetic or from a small integer constant (copied into the arena on first
 * use). NULL: not known, or memory ran out (*nomem). */
const struct hn_dim *hn_value_ints(struct hn_graph *g, int32_t v, int64_t *n, int *nomem);
/* Element i of the same without touching the arena: 1 and *d, or 0. hn_int_count: how many, -1 when not known. */
int hn_int_at(const struct hn_graph *g, int32_t v, int64_t i, struct hn_dim *d);
int64_t hn_int_count(const struct hn_graph *g, int32_t v);
#endif
