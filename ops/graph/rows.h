/* SPDX-License-Identifier: MIT
 *
 * The table of ONNX operators Hone understands: one row per (operator, since-versions that behave alike). A row knows
 * ONNX (attributes, shapes, types) and how to say the operator in program ops; it has no kernel and no backward. Adding
 * an operator is one line in rows.c and, where no shared function fits, an infer and a lower function. */
#ifndef HN_ROWS_H
#define HN_ROWS_H

#include "ops/graph/facts.h"

#define HN_MS "com.microsoft" /* what ONNX Runtime's optimizer writes */

struct hn_attr_spec { /* one attribute: name, type, default, place in struct hn_onnx_attrs */
    const char *name;
    enum hn_attr_type type;
    double dflt; /* of numbers; lists, strings and tensors default to absent */
    size_t off;  /* HN_ATTR_IGNORED: known, without influence on the result */
};
#define HN_ATTR_IGNORED ((size_t)-1)

enum { HN_MAX_SINCE = 10, HN_MOST_ONE_HOT = 1024 };
enum hn_row_flag {
    HN_ROW_VIEW = 1,    /* reshapes: no computation, the numbers stay in order */
    HN_ROW_FOLD = 2,    /* on constants: computed once at import through the reference kernels */
    HN_ROW_FLOAT = 4,   /* data inputs must be float32 or float64 */
    HN_ROW_SINGLE = 16, /* on single rows [features]: the same with N in front */
    HN_ROW_RANDOM = 8,  /* differs between training and inference */
    HN_ROW_LABELS = 32, /* takes positions in a list of labels for what they stand for */
    HN_ROW_TEXT = 64    /* moves or encodes text of the data */
};

struct hn_infer { /* what an infer function works with */
    struct hn_graph *g;
    const struct hn_node *n;
    const struct hn_onnx_row *row;
    const struct hn_onnx_attrs *a;
    int64_t lifted; /* the file's fixed batch size while it is taken for N, else 0 */
    char label[200];
    hone_error *err;
};

struct hn_lowering;
struct hn_onnx_row {
    const char *domain, *type;
    short since[HN_MAX_SINCE];       /* ends with 0 */
    uint8_t in_min, in_max, out_max; /* 255: any number */
    uint8_t kind;                    /* of the program op, for shared functions */
    uint8_t flags;
    uint32_t
        data; /* inputs needed at run time (bit i, the last bit for all above); the others must be constants */
    uint32_t params;                          /* inputs that may be parameters */
    const struct hn_attr_spec *attrs;         /* ends with name NULL; NULL: none */
    hone_status (*infer)(struct hn_infer *c); /* types and shapes of the outputs */
    hone_status (*ints)(
        struct hn_infer *c); /* integers affine in N, when the inputs' are known; may be NULL */
    hone_status (*lower)(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_onnx_attrs *a);
    /* NULL lower: only as part of a pattern */
};
extern const struct hn_onnx_row hn_onnx_rows[];
extern const size_t hn_n_onnx_rows;

/* custom.c: the row of a plug-in's operator; NULL: it is none, or memory ran out (*nomem). */
const struct hn_onnx_row *hn_custom_row(struct hn_graph *g, const struct hn_node *n, int *nomem);
/* The row of an operator at an imported version, or NULL; *known: some row has this type. */
const struct hn_onnx_row *hn_onnx_row_find(const char *domain, const char *type, int64_t version,
                                           int *known);
/* Attributes of a node by its row's schema; wrong type, unknown name or a reference: HONE_E_MODEL / UNSUPPORTED. */
/* The defaults of a row's attributes. */
void hn_onnx_attrs_default(const struct hn_onnx_row *row, struct hn_onnx_attrs *a);
hone_status hn_onnx_attrs_read(const struct hn_infer *c, struct hn_onnx_attrs *a);

/* Input k may stay unknown: the statistics of a BatchNormalization that never reads them. */
int hn_needless(const struct hn_onnx_row *row, int k);
int hn_has_attr(const struct hn_node *n,
                const char *name); /* for attributes whose presence matters */
const struct hn_attr *hn_attr_of(const struct hn_node *n, const char *name); /* NULL: it has none */

/* Helpers of infer functions. Input i: value number or -1. */
int32_t hn_in(const struct hn_infer *c, int i);
const struct hn_value *hn_in_value(const struct hn_infer *c, int i); /* NULL: absent */
const struct hn_shape *hn_in_shape(const struct hn_infer *c, int i);
/* What all inputs broadcast to; inputs from `from` on have one type. */
hone_status hn_broadcast_inputs(struct hn_infer *c, struct hn_shape *s);
hone_status hn_same_types(struct hn_infer *c, int from);
/* Is input i of integers or bools that are known at run time only? Then that it should be floats, as an error. */
int hn_comes_as_integers(const struct hn_infer *c, int i);
hone_status hn_wants_floats(const struct hn_infer *c, int i);
/* Type and shape of output k (ignored where the node has none): checks that one dim at most follows N. */
hone_status hn_out(struct hn_infer *c, int k, enum hn_dtype t, const struct hn_shape *s);
/* A negative axis counted from the end; error when outside [-rank, rank). */
hone_status hn_axis(struct hn_infer *c, int64_t axis, int rank, int *out);
/* Integers of input i, which must be fixed; *v is in the arena. Absent input: *n = -1. */
hone_status hn_in_i64s(struct hn_infer *c, int i, const int64_t **v, int64_t *n);
/* Axes from the attribute or, where the node has it, from input i: a mask. Absent: all dims. */
hone_status hn_axes_mask(struct hn_infer *c, int input, int rank, uint32_t *mask, int *present);
void *hn_infer_alloc(struct hn_infer *c, size_t n,
                     size_t size); /* in the graph's arena; sets err on failure */
/* The output shares the numbers of constant input 0 under the output's shape and type. */
hone_status hn_fold_view(struct hn_infer *c);
/* fold.c: an operator on constants, through its own lowering and the reference kernels. */
hone_status hn_fold_node(struct hn_infer *c);

/* indices.c: does v end as indices of a Gather or a OneHotEncoder alone, through what moves or adds integers? */
int hn_feeds_indices(const struct hn_graph *g, int32_t v);
/* v is i with n added where it is below 0, as exporters write an index that may count from the end: i; else -1. */
int32_t hn_counted_from_end(const struct hn_graph *g, int32_t v, int64_t n);

/* Or as outputs of the graph? */
int hn_feeds_outputs(const struct hn_graph *g, int32_t v);

/* labels.c: which elements of lists positions stand for (struct hn_value_fact). The output means what input 0 means; the element of
 * `table` that input i names (*done 0: it does not name any); input 0 as another type. hn_arg_axis: of ArgMax and ArgMin. */
void hn_same_labels(struct hn_infer *c);
hone_status hn_pick_labels(struct hn_infer *c, int i, const struct hn_tensor *table, int *done);
hone_status hn_cast_labels(struct hn_infer *c, enum hn_dtype to);
hone_status hn_wants_numbers(const struct hn_infer *c);
int hn_arg_axis(const struct hn_graph *g, const struct hn_node *n, const struct hn_onnx_attrs *a);

/* texts.c: the list; is value v text of the data; an operator that is not for that; one that hands it on to an output. */
hone_status hn_graph_find_texts(struct hn_graph *g, hone_error *err);
int hn_is_text(const struct hn_graph *g, int32_t v);
hone_status hn_check_texts(const struct hn_infer *c);
hone_status hn_check_no_text_out(const struct hn_infer *c);

/* ml.c, encode.c: an operator that rounds float64 to float32; LabelEncoder of data. */
hone_status hn_no_doubles(struct hn_infer *c);
hone_status hn_infer_encode(struct hn_infer *c);

/* einsum.c: does input k, a matrix, have what is summed over in its last dim? */
int hn_einsum_flip(const struct hn_onnx_attrs *a, int k);

/* slice.c: a Slice as one cut per axis. len follows N only for the whole of a dim that does (then start 0, step 1). */
struct hn_cut {
    int axis;
    int64_t start, step;
    struct hn_dim len;
};
hone_status hn_slice_cuts(const struct hn_graph *g, const struct hn_node *n,
                          const struct hn_onnx_attrs *a, struct hn_cut *cuts, int *n_cuts,
                          hone_error *err);

/* microsoft.c: the activation inside a FusedGemm with its attributes, as the row of the operator by itself; NULL: none. */
const struct hn_onnx_row *hn_fused_activation(const struct hn_node *n,
                                              const struct hn_onnx_attrs *a,
                                              struct hn_onnx_attrs *of);

/* quantize.c. Is the node a QuantizeLinear, a DequantizeLinear? Do all who read the first's whole numbers make them floats again as it
 * had them? Is the second one of those? */
int hn_is_quantize(const struct hn_node *n);
int hn_is_dequantize(const struct hn_node *n);
int hn_quantize_is_undone(const struct hn_graph *g, const struct hn_node *n);
int hn_dequantize_is_view(const struct hn_graph *g, const struct hn_node *n);
/* The first cuts off what is below 0, too, as a Relu that is left out in front of it would have. */
int hn_quantize_is_relu(const struct hn_graph *g, const struct hn_node *n);
/* Has the second one a parameter in front of it? What `inspect` says of it, in the arena; NULL: no memory. */
int hn_dequantize_is_weight(const struct hn_graph *g, const struct hn_node *n);
const char *hn_quantized_why(struct hn_graph *g, const struct hn_node *n);

/* infer_math.c, infer_shape.c, ints.c, lower_math.c, lower_reduce.c, lower_shape.c: the functions the table names */
#define HN_INFER(name) hone_status hn_infer_##name(struct hn_infer *c)
HN_INFER(scaler);
HN_INFER(normalizer);
HN_INFER(imputer);
HN_INFER(extractor);
HN_INFER(vectorizer);
HN_INFER(onehot);
HN_INFER(zipmap);
HN_INFER(linear);
HN_INFER(binarizer);
HN_INFER(one_hot);
HN_INFER(unary);
HN_INFER(binary);
HN_INFER(compare);
HN_INFER(logic);
HN_INFER(where);
HN_INFER(gemm);
HN_INFER(matmul);
HN_INFER(fused_gemm);
HN_INFER(quantize);
HN_INFER(dequantize);
HN_INFER(bias_gelu);
HN_INFER(skip_norm);
HN_INFER(batchnorm);
HN_INFER(dropout);
HN_INFER(layernorm);
HN_INFER(rmsnorm);
HN_INFER(lpnorm);
HN_INFER(groupnorm);
HN_INFER(softmax);
HN_INFER(clip);
HN_INFER(prelu);
HN_INFER(reduce);
HN_INFER(arg);
HN_INFER(topk);
HN_INFER(label_encoder);
HN_INFER(identity);
HN_INFER(flatten);
HN_INFER(reshape);
HN_INFER(squeeze);
HN_INFER(unsqueeze);
HN_INFER(transpose);
HN_INFER(concat);
HN_INFER(split);
HN_INFER(slice);
HN_INFER(gather);
HN_INFER(constant);
HN_INFER(cast);
HN_INFER(cast_like);
HN_INFER(shape);
HN_INFER(size);
HN_INFER(expand);
HN_INFER(constant_of_shape);
HN_INFER(einsum);
HN_INFER(global_pool);
HN_INFER(tile);
HN_INFER(gather_nd);
HN_INFER(split_to_sequence);
HN_INFER(sequence_at);
HN_INFER(trilu);
HN_INFER(cumsum);
HN_INFER(nan);
HN_INFER(mod);
HN_INFER(range);
HN_INFER(if);
HN_INFER(pad);
#define HN_INTS(name) hone_status hn_ints_##name(struct hn_infer *c)
HN_INTS(shape);
HN_INTS(size);
HN_INTS(copy);
HN_INTS(gather);
HN_INTS(slice);
HN_INTS(concat);
HN_INTS(arith);
HN_INTS(fill);
HN_INTS(mod);
HN_INTS(equal);
HN_INTS(where);
HN_INTS(product);
#define HN_LOWER(name)                                                                             \
    hone_status hn_lower_##name(struct hn_lowering *l, const struct hn_node *n,                    \
                                const struct hn_onnx_attrs *a)
HN_LOWER(unary);
HN_LOWER(acosh);
HN_LOWER(global_pool);
HN_LOWER(imputer);
HN_LOWER(einsum);
HN_LOWER(tile);
HN_LOWER(pad);
HN_LOWER(gather_nd);
HN_LOWER(sequence_at);
HN_LOWER(trilu);
HN_LOWER(cumsum);
HN_LOWER(nan);
HN_LOWER(mod);
HN_LOWER(reduce_prod);
HN_LOWER(binary);
HN_LOWER(compare);
HN_LOWER(not );
HN_LOWER(where);
HN_LOWER(gemm);
HN_LOWER(matmul);
HN_LOWER(fused_gemm);
HN_LOWER(quantize);
HN_LOWER(dequantize);
HN_LOWER(bias_gelu);
HN_LOWER(skip_norm);
HN_LOWER(batchnorm);
HN_LOWER(dropout);
HN_LOWER(layernorm);
HN_LOWER(softmax);
HN_LOWER(clip);
HN_LOWER(prelu);
HN_LOWER(reduce);
HN_LOWER(reduce_min);
HN_LOWER(reduce_l1);
HN_LOWER(reduce_squares);
HN_LOWER(reduce_log);
HN_LOWER(reduce_log_exp);
HN_LOWER(mean);
HN_LOWER(arg);
HN_LOWER(topk);
HN_LOWER(rmsnorm);
HN_LOWER(lpnorm);
HN_LOWER(groupnorm);
HN_LOWER(view);
HN_LOWER(transpose);
HN_LOWER(concat);
HN_LOWER(split);
HN_LOWER(slice);
HN_LOWER(gather);
HN_LOWER(cast);
HN_LOWER(scaler);
HN_LOWER(normalizer);
HN_LOWER(extractor);
HN_LOWER(vectorizer);
HN_LOWER(onehot);
HN_LOWER(label_encoder);
HN_LOWER(binarizer);
HN_LOWER(one_hot);
HN_LOWER(expand);
#undef HN_INFER
#undef HN_INTS
#undef HN_LOWER
#endif
