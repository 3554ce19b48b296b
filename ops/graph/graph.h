/* SPDX-License-Identifier: MIT
 *
 * A model as ONNX sees it, after import and before lowering: values, nodes with their attributes, and, once
 * hn_graph_finish has run, shapes, folded constants, a verdict for every node and a list of issues. Filled in by
 * onnx/import, which alone knows protobuf; immutable after finish. Knows ONNX operators (the ONNX rows), has no kernels. */
#ifndef HN_GRAPH_H
#define HN_GRAPH_H

#include "ops/math/op.h"

enum hn_verdict {
    HN_TRAIN, /* runs in the trainable region */
    HN_FROZEN, /* runs, but nothing in it learns (head: normalisers, casts; tail: after the loss point) */
    HN_FOLDED, /* computed once at import: its outputs are constants */
    HN_VIEW,   /* no computation: reshape, flatten, identity */
    HN_CARRY,  /* kept in the file, never run (dead branches, unsupported tails) */
    HN_REFUSE /* unsupported where it matters: training or running this model fails with this node */
};
const char *
hn_verdict_name(enum hn_verdict v); /* "trained" "frozen" "folded" "view" "carried" "refused" */

enum hn_attr_type { /* ONNX numbers */
                    HN_ATTR_F32 = 1,
                    HN_ATTR_I64 = 2,
                    HN_ATTR_STR = 3,
                    HN_ATTR_TENSOR = 4,
                    HN_ATTR_GRAPH = 5,
                    HN_ATTR_F32S = 6,
                    HN_ATTR_I64S = 7,
                    HN_ATTR_STRS = 8,
                    HN_ATTR_TENSORS = 9,
                    HN_ATTR_OTHER = 15
};
struct hn_attr {
    const char *name;
    enum hn_attr_type type;
    float f;
    int64_t i;
    const char *s;   /* NUL-terminated copy; s_len may be longer in odd files */
    size_t s_len, n; /* n: length of the list kinds */
    const float *floats;
    const int64_t *ints;
    const char *const *strings;
    const struct hn_tensor *tensor;
    int32_t tensor_id; /* of `tensor` in the file's tensor table, -1 none */
    int is_ref;        /* ref_attr_name: legal in functions only */
};

enum hn_hint {
    HN_HINT_NONE,
    HN_HINT_PARAMETER,
    HN_HINT_BUFFER,
    HN_HINT_CONSTANT
}; /* what exporter metadata says */

struct hn_value {
    const char *name;
    enum hn_dtype dtype; /* declared, then inferred; HN_NONE: unknown */
    int shape_known;
    struct hn_shape shape;            /* filled in by finish */
    const struct hn_tensor *constant; /* initializer, Constant or folded value, else NULL */
    int32_t
        tensor_id;    /* the file's tensor table: initializer or Constant attribute; -1 otherwise */
    int32_t producer; /* node, -1: input, initializer or undefined */
    int32_t alias_of; /* root initializer reached through Identity nodes only, else -1 */
    int n_uses;       /* node inputs plus graph outputs */
    uint8_t is_input, is_output, is_initializer, is_sequence /* not a tensor */, declared;
    uint8_t
        in_function; /* a Constant of a function's body: however often it is used, one place in the file */
    uint8_t unscaled; /* an output with the inverse of scaled targets at its end, says the file */
    enum hn_hint hint;
    /* as declared in graph.input/output/value_info: -1 = no dim_value; names NULL where there is no dim_param */
    int decl_rank; /* -1: no shape */
    int64_t decl_dims[HN_MAX_RANK];
    const char *decl_names[HN_MAX_RANK];
};

struct hn_onnx_row; /* ops/graph/rows.h */
enum { HN_FUSED_NORM = 1, HN_DROPPED_BIAS = 2 };
struct hn_node {
    const char *name, *domain,
        *type;       /* name "" where the file has none: messages then use type and position */
    int32_t index;   /* position in the file, calls of its own functions expanded */
    int64_t version; /* of its domain, where the function it stands in says so; 0: the graph's */
    int n_in, n_out;
    int n_attrs;
    int n_reads;
    int32_t *in, *out;    /* value numbers; -1: empty name */
    const int32_t *reads; /* n_reads positions in g->exported: what its operation in PyTorch read */
    struct hn_attr *attrs;
    const char *unfit; /* for what the import makes of such nodes: why; NULL */
    int64_t padding;   /* 1 + its padding_idx in PyTorch; -1: it has none; 0: nobody says */
    uint8_t rewritten; /* by the exporter's optimizer: HN_FUSED_NORM, HN_DROPPED_BIAS */
    const struct hn_onnx_row *row; /* NULL: unknown operator */
    enum hn_verdict verdict;
    const char *why; /* never NULL after finish */
};

enum hn_severity { HN_NOTE, HN_WARNING, HN_BLOCKS_TRAINING, HN_BLOCKS_ALL };
struct hn_issue {
    enum hn_severity severity;
    int32_t node;              /* -1: the whole model */
    hone_status code;          /* HONE_E_MODEL or HONE_E_UNSUPPORTED for blocking ones */
    const char *what, *remedy; /* remedy may be NULL */
    int told;                  /* 1: a run says it too */
};

struct hn_opset {
    const char *domain;
    int64_t version;
};

struct hn_exported { /* a parameter or buffer of a PyTorch module, as its exporter lists them */
    const char *name, *target; /* "p_fc_weight", "fc.weight" */
    enum hn_hint hint;
    int32_t value; /* the initializer that is called `target`; -1: the file has none */
};

/* An untie the training side must apply before training (onnx/edit.h has the form of the line): values that an exporter
 * merged because they were equal come apart. "untie ALIAS": an Identity of an initializer; "untie NAME NODE INPUT …": some of
 * several uses by name, which share the copy. After an edit the graph is imported again and has the lines that are left. */
struct hn_spot {
    int32_t node, input;
};
struct hn_untie {
    const char *line;
    int32_t value;
    int n_at; /* the uses of value that get the copy; 0: all of them */
    const struct hn_spot *at;
};

struct hn_class_list { /* of classes 0, 1, … */
    const char *const *names;
    size_t n;
    int are_int;
};

/* An operator of a plug-in: one input, one output of its shape, numbers as attributes. Outlives the graph. */
struct hn_custom_op {
    const char *domain, *type;
    int64_t since;                     /* version of the domain from which it is this */
    const char *attr[HN_CUSTOM_ATTRS]; /* names */
    double dflt[HN_CUSTOM_ATTRS];
    int n_attrs;
    struct hn_elementwise f;
    struct hn_custom_op *next;
};

struct hn_graph {
    struct hn_mem *mem;
    struct hn_arena arena;
    int64_t ir_version;
    const char *name, *producer, *producer_version;
    const struct hn_custom_op *custom; /* a list */
    struct hn_opset *opsets;
    struct hn_value *values;
    struct hn_node *nodes;
    int32_t *inputs,
        *outputs; /* value numbers, in file order; inputs that are initializers are left out */
    struct hn_issue *issues;
    size_t n_opsets, n_values, n_nodes, n_inputs, n_outputs, n_issues;
    size_t cap_values, cap_nodes, cap_issues, cap_inputs, cap_outputs, cap_opsets;
    void *names;                        /* hash table of value names */
    const struct hn_exported *exported; /* sorted by name; n 0: the file does not say */
    size_t n_exported;
    uint8_t
        as_traced; /* PyTorch's legacy exporter wrote it: what is equal only has an Identity in front of it */
    struct hn_class_list
        classes; /* of the file: ZipMap's, ArrayFeatureExtractor's, else that of hone.classes; n 0: none */
    struct hn_class_list *
        output_classes; /* of each of the outputs, hone.classes.OUTPUT, n 0: none; NULL: no output has one */
    /* filled in by finish */
    int32_t *order; /* nodes in topological order */
    enum hn_dtype
        dtype; /* what it is computed in: HN_F64 where the trained parameters are, else HN_F32 (also half types) */
    int64_t fixed_batch; /* leading batch size the file declares, 0: symbolic */
    int batch_lifted;    /* 1: it was fixed and rows may still vary */
    int batch_lists;     /* 1: inputs of rank 1 have an index for each of these rows */
    struct hn_untie *unties;
    size_t n_unties;
    int needs_inference; /* 1: training-form BatchNorm/Dropout/extra outputs: the edit "inference" applies at export */
    struct hn_facts *facts; /* ops/graph/facts.h */
};

/* Building (onnx/import). Names are copied. value finds or adds; all return NULL/-1 on out of memory. */
struct hn_graph *hn_graph_create(struct hn_mem *m);
void hn_graph_destroy(struct hn_graph *g);                         /* NULL allowed */
int32_t hn_graph_value(struct hn_graph *g, const char *name);      /* find or add */
int32_t hn_graph_find(const struct hn_graph *g, const char *name); /* -1: none */
struct hn_node *
hn_graph_add_node(struct hn_graph *g, const char *name, const char *domain, const char *type,
                  int n_in, int n_out,
                  int n_attrs); /* in/out filled with -1; the pointer is valid until the next add */
hone_status hn_graph_issue(struct hn_graph *g, enum hn_severity sev, int32_t node, hone_status code,
                           const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 6, 7))); /* HONE_E_NOMEM or HONE_OK */
const char *hn_node_label(const struct hn_node *n, char *buf,
                          size_t size); /* name, or "Gemm at position 3" */

struct hn_graph_opts {
    const struct hn_custom_op *custom; /* operators beyond the table; the table comes first */
    int keep_fixed_batch; /* do not lift a fixed leading batch (verify of fixed vectors) */
    const char *const *freeze;
    size_t n_freeze; /* globs over parameter names */
    const char *const *train;
    size_t n_train; /* globs that overrule the default "not trainable" */
};
/* Sorts, finds rows, infers affine shapes and types, folds constants, finds parameters and verdicts, lists issues.
 * Returns an error only for memory and for structural damage (cycle, undefined value, duplicate definition); everything
 * else becomes an issue. */
hone_status hn_graph_finish(struct hn_graph *g, const struct hn_graph_opts *opts, hone_error *err);
/* The first issue that blocks running (or training) as an error, HONE_OK if none. */
hone_status hn_graph_blocked(const struct hn_graph *g, int training, hone_error *err);

enum { HN_NEWEST_OPSET = 24 }; /* of the standard operators that are known here */
/* The version since which an ONNX operator means what it means at `version`; 0: not an operator or a version Hone knows. */
int hn_onnx_since(const char *domain, const char *type, int64_t version);

enum hn_tail {
    HN_TAIL_NONE,
    HN_TAIL_SOFTMAX,
    HN_TAIL_LOGSOFTMAX,
    HN_TAIL_SIGMOID,
    HN_TAIL_BOTH, /* two columns, 1 - p and p of one Sigmoid: scikit-learn's two classes */
    HN_TAIL_EACH, /* columns 1 - p, then columns p, of a Sigmoid of several: scikit-learn's several labels a row */
    HN_TAIL_SHARES /* rows that add up to 1: of numbers that are not negative, divided by their sum, or means of such */
};
struct hn_output_info { /* what the training side asks of output i */
    int trainable;      /* a float output that depends on trained parameters and can be computed */
    int derived; /* 1: computed from another trainable output only (a tail such as ReduceMax of the probabilities) */
    int computable; /* 0: carried in the file, no program computes it */
    int discrete; /* 1: labels, integers, bools, or numbers that no gradient leads through: computed where hn_lower_opts.labels asks */
    const struct hn_tensor *
        labels; /* what a program computes are positions in this list; NULL: the numbers themselves */
    int as_given;      /* integers that come from an input, and are rounded to floats on the way */
    enum hn_tail tail; /* its last op */
    int64_t per_row;   /* elements of a row; 0: does not follow N */
    int64_t
        classes; /* of them along the last axis, over which a Softmax or a cross-entropy of it goes */
    int64_t
        classes_first; /* along the axis behind the rows, where that is another one: PyTorch's order of axes; else 0 */
    int tail_first; /* 1: the Softmax or LogSoftmax of the tail goes over that axis */
    int32_t value;
};
void hn_graph_output(const struct hn_graph *g, size_t i, struct hn_output_info *info);
/* Between which numbers a value lies, whatever its weights; node: what sees to that, -1: nothing is known. */
struct hn_bounds {
    double lo, hi;
    int32_t node;
};
struct hn_bounds hn_graph_bounds(const struct hn_graph *g, int32_t v);
/* The inverse of scaled targets that an earlier training has left in front of an output v: v = raw * factor + offset, with
 * both tensors by value number. 1 and *u, or 0. */
#define HN_UNSCALE_FACTOR "/hone_Mul_by" /* in the names of its tensors (onnx/edit_scale.c) */
#define HN_UNSCALE_OFFSET "/hone_Add_by"
struct hn_unscaler {
    int32_t raw, factor, offset;
    int learns; /* by request, or as part of something else: a loss has to look at v itself */
};
int hn_graph_unscaler(const struct hn_graph *g, int32_t v, struct hn_unscaler *u);
/* The value whose largest (or smallest) elements along *axis a label value v names: behind ArgMax or ArgMin, element by element;
 * -1: v is something else. */
int32_t hn_graph_scores(const struct hn_graph *g, int32_t v, int *axis);
/* Text inputs (HN_STR) come in as numbers: the place in this sorted list, or its length for any other text. */
const struct hn_tensor *hn_graph_texts(const struct hn_graph *g);
int64_t hn_text_number(const struct hn_graph *g, const char *text);
/* The numbers that the OneHotEncoder at position `index` of the file knows (of text: places); NULL: it makes zeros of others, or
 * is something else. */
const double *hn_graph_strict_keys(const struct hn_graph *g, int32_t index, size_t *n);
/* How many outputs learn on their own: trainable and not derived. */
int hn_graph_heads(const struct hn_graph *g);
/* A node that makes a parameter of whole numbers (a quantised weight); -1: there is none. */
int32_t hn_graph_quantized(const struct hn_graph *g);
/* The largest step that value v was rounded to or, where it is not rounded itself, anything that learns; 0: nothing is. */
double hn_graph_step(const struct hn_graph *g, int32_t v);
/* What an output calls its classes: its own list, else the file's (n 0: it has none). */
const struct hn_class_list *hn_graph_classes(const struct hn_graph *g, const char *output);

/* One record per parameter, one use per occurrence. */
struct hn_use {
    int32_t param;
    int32_t
        node; /* what it is a weight, bias or scale of, as input `input` or in what that is computed from */
    int32_t input;
    int32_t at_node, at_input; /* where the tensor itself is read: the same, or in front of it */
    int trans;
    int often; /* 1: it is read in other places too for the same input, 2: also under another name: these belong together */
};
struct hn_gparam {
    int32_t value;
    int trained;
    const char *why;
    int n_uses;
    int told;      /* its row of zeros is among the issues */
    int looked_up; /* a table of rows, and nothing else */
    int64_t padding,
        kept; /* 1 + a row that does not learn: as PyTorch has it, by request; 0: none */
};
struct hn_param_list {
    struct hn_gparam *params;
    struct hn_use *uses;
    size_t n_params, n_uses;
};
const struct hn_param_list *hn_graph_params(const struct hn_graph *g);
/* Is the glob of --freeze a row of `name`, as "NAME[ROW]"? Such that fit whole tensors are these. */
int hn_glob_row(const char *glob, const char *name, int64_t *row);
int hn_node_is_product(const struct hn_node *n); /* Gemm, MatMul and their fused forms */

/* ---- lowering ------------------------------------------------------------------------------------------------ */

enum hn_loss_kind { HN_LOSS_CE, HN_LOSS_BCE, HN_LOSS_NLL, HN_LOSS_MSE, HN_LOSS_MAE, HN_LOSS_HUBER };
struct hn_loss_spec {
    int output; /* position in graph outputs */
    enum hn_loss_kind kind;
    double weight, delta;
    int dense; /* targets are [N,C] numbers, else class indices */
    int first; /* classes along the axis behind the rows, [N,C,places]; dense targets come as [N,places,C] */
    int row_weights; /* a weight column follows the target column */
    int scaled; /* targets are in the units in front of the output's hn_unscaler, and so is the loss */
};
enum hn_part { HN_PART_ALL, HN_PART_HEAD, HN_PART_BODY };
struct hn_lower_opts {
    enum hn_part
        part; /* ALL: graph inputs to graph outputs (predict, verify); HEAD: graph inputs to the boundary (frozen
                          part that needs no gradient and has neither BatchNorm nor dropout); BODY: boundary to outputs */
    const struct hn_loss_spec *losses;
    int n_losses;
    double
        dropout; /* >= 0: where the graph has no Dropout node, one after each hidden activation; the rate itself comes with the replica */
    int insert_dropout;
    int freeze_batchnorm;
    double noise,
        mixup; /* augmentation of what the body reads (ops/math/augment.c): std and alpha, 0: none */
    int labels; /* the outputs that are `discrete`, too (predict, verify); else only where the graph has no others */
    int scores; /* and what ArgMax looks at to choose them (hn_graph_scores), by its value's name */
    int training_form; /* keep training_mode=1 semantics (verify); else they are trained in and left in inference form */
};
/* A program's outputs are the graph's computable outputs (hn_graph_output) in order, as far as `labels` wants them: match them by name. Slab W has the same
 * layout for every part: it depends on the graph, freeze_batchnorm and, where there are losses, on what they reach (HN_PARAM_IDLE). A graph whose batch could not be lifted
 * (fixed_batch > 0, batch_lifted 0) has fixed shapes: it runs with exactly fixed_batch rows.
 * A program borrows names and numbers from the graph, which must outlive it.
 * *out is NULL for HEAD when there is nothing to run before the boundary. Program inputs of HEAD and ALL are the graph's
 * inputs in order; of BODY the boundary values, which are HEAD's outputs in the same order (or the graph inputs when HEAD is NULL). */
hone_status hn_lower(const struct hn_graph *g, const struct hn_lower_opts *opts,
                     struct hn_program **out, hone_error *err);
#endif
