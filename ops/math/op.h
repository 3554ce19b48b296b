/* SPDX-License-Identifier: MIT
 *
 * The contract between a model that has been understood (ops/graph) and whoever runs it (a backend): program ops, the
 * program made of them, the plan that gives every value its place, replicas, slots, and the backend's table of
 * functions. Backends need this header and ops/base, nothing above.
 *
 *   program   what is computed: values and ops in topological order. Immutable, shared by everybody.
 *   plan      where everything lies for one (program, max rows, pass, element size): arena offsets by lifetime.
 *   replica   one set of weights with its optimizer state, hyper-parameters, clock and key.
 *   slot      a replica with the rows it works on in one call of run().
 *
 * Elements: a program runs in one element type, float (4 bytes; CPU, GPU) or double (8; the reference backend: float64
 * models, gradient checks, constant folding, the oracle of the others). Class indices travel as elements too. */
#ifndef HN_OP_H
#define HN_OP_H

#include "ops/base/memory.h"
#include "ops/base/rng.h"
#include "ops/base/tensor.h"

/* ---- shapes ------------------------------------------------------------------------------------------------ */

struct hn_dim { /* per_row * N + fixed, N = rows of the batch */
    int64_t per_row, fixed;
};
struct hn_shape {
    int rank;
    struct hn_dim d[HN_MAX_RANK];
};
struct hn_extent { /* a shape with N filled in */
    int rank;
    int64_t d[HN_MAX_RANK];
};
void hn_extent_of(const struct hn_shape *s, int64_t rows, struct hn_extent *e);
int64_t hn_extent_numel(const struct hn_extent *e);
/* Elements of a shape are count.per_row * N + count.fixed. All but one dim must be free of N (checked at import); else, and
 * on overflow, the count is {-1, -1}. */
struct hn_dim hn_shape_count(const struct hn_shape *s);

/* ---- ops --------------------------------------------------------------------------------------------------- */

enum hn_kind {
    HN_INPUT,
    HN_TARGET,
    HN_PARAM,
    HN_STATE,
    HN_CONST,
    HN_ACT
}; /* STATE: BatchNorm running statistics */
enum hn_pass {
    HN_PASS_TRAIN, /* forward with dropout and batch statistics, backward, optimizer step */
    HN_PASS_GRAD, /* as TRAIN, but leaves the gradients in slab DW and changes neither weights, state nor clock */
    HN_PASS_EVAL,    /* forward in inference mode, losses and outputs */
    HN_PASS_PREDICT, /* forward in inference mode, outputs only */
    HN_PASS_STATS /* forward with batch statistics that update the STATE, dropout off: calibration of BatchNorm */
};

struct hn_op;
struct
    hn_call { /* one op on one batch. Pointers are to elements of the backend's type; shapes are row-major, contiguous */
    const struct hn_op *op;
    const struct hn_extent *xs, *ys; /* extents of inputs and outputs */
    void *const
        *x; /* values in (NULL: input absent, or, in backward, not asked for by need.x and neither
                                        parameter nor constant). STATE inputs may be written in training */
    void *const *y; /* values out (a backward sees them if it said need.y) */
    void *const
        *dx; /* gradients out, per input; NULL where none is wanted. Written in the order of the
                                        inputs: x * x has dx[0] and dx[1] in one place, the second one adding */
    void *const *dy; /* gradients in, per output; NULL where the output has no gradient (= zeros) */
    void *const *
        save; /* the op's own saved buffers, forward to backward; never NULL, also without a backward */
    uint32_t acc;  /* bit i: add into dx[i]; else overwrite it */
    int64_t rows;  /* N */
    uint8_t train; /* 1: dropout active, batch statistics used */
    uint8_t
        update_state; /* 1: STATE inputs take in this batch's statistics (0 where they are no STATE) */
    double rate; /* hn_op_rate: dropout's rate in this call, noise's std, mixup's alpha; 0: off */
    const uint32_t *key; /* the replica's key */
    uint64_t batch;      /* batches seen by this replica so far: dropout's counter */
    double *
        loss; /* LOSS ops: loss[0] += sum(w l), loss[1] += sum(w), w the row weights; attrs.weight is
                                        not in them: the batch's loss is attrs.weight * loss[0] / loss[1] */
};

struct hn_need {   /* what backward wants to find again; filled in by the row, zeroed before */
    uint32_t x, y; /* bit i: the value of input/output i */
    int n_save;    /* own buffers: bytes = save[i].per_row * N + save[i].fixed */
    struct hn_dim save[4];
};

enum hn_op_flag {
    HN_OP_INPLACE =
        1, /* y[0] may lie where x[0] lies, if x[0] is not needed afterwards and both have the same number of
                            elements; dx[0] where dy[0] lies, if no other dx is wanted. A plan decides; kernels allow it */
    HN_OP_LOSS = 2,    /* has no consumer; its gradient seed is 1 */
    HN_OP_NO_GRAD = 4, /* no backward on purpose */
    HN_OP_ROW_LOCAL =
        8, /* rows [a,b) of the outputs need rows [a,b) of the batched inputs only (not BatchNorm in training) */
    HN_OP_RANDOM = 16,
    HN_OP_STRAIGHT =
        32 /* the function is a staircase, its backward no derivative but a definition */
};

/* One row per program op: the only owner of a backward. Reference kernels compute in double. */
struct hn_op_row {
    const char *name; /* backends find their kernels by it */
    uint32_t flags;
    size_t attrs_size;
    uint8_t in_min, in_max, out_max; /* 255: any number */
    /* Output shapes from input shapes; also checks that the inputs fit. where = node name for the error. */
    hone_status (*shape)(const struct hn_op *op, const struct hn_shape *xs, struct hn_shape *ys,
                         const char *where, hone_error *err);
    void (*need)(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need);
    void (*forward)(const struct hn_call *c);
    void (*backward)(const struct hn_call *c); /* NULL only with HN_OP_NO_GRAD */
    const struct hn_sample
        *samples;     /* cases for gradient check and backend parity; ends with name NULL */
    double tolerance; /* backend in float against reference: relative error per element */
};

/* A test case: builds an op with its attributes and input shapes (rows filled in by the test). */
struct hn_sample {
    const char *name;
    const void *attrs;
    int n_in;
    struct hn_shape x[6];
    uint8_t kind[6]; /* enum hn_kind of each input */
    uint8_t values
        [6]; /* 0 normal numbers, 1 positive, 2 class indices below x[0]'s last dim, 3 probabilities, 4 zero or one, 5 indices from -n to n - 1 of x[0]'s last dim n */
    uint8_t train;
};

/* The list; position is not part of any format. A program op is one entry here and one row in one file. */
/* clang-format off */
#define HN_OP_LIST(X)                                                                              \
    X(dense)                                                                                       \
    X(matmul)                                                                                      \
    X(unary) X(binary) X(batchnorm) X(layernorm) X(dropout) X(softmax) X(concat) X(slice)          \
    X(transpose) X(reduce) X(embedding) X(noise) X(mixup) X(onehot) X(custom) X(quantize)                                \
    X(loss_ce) X(loss_nll) X(loss_bce) X(loss_regression)
/* clang-format on */
#define HN_OP_DECLARE(name) extern const struct hn_op_row hn_op_##name;
HN_OP_LIST(HN_OP_DECLARE)
#undef HN_OP_DECLARE
extern const struct hn_op_row *const hn_op_rows[]; /* all of them, NULL at the end */

/* Attributes. Dims below are of the extents in the call. */
struct hn_hyper;
struct
    hn_dense { /* y[r,out] = alpha * x[r,in] w + beta * b.  in: x, w, b (absent: none).  x: leading dims are rows */
    double alpha, beta;
    int trans_w; /* w is [out,in] (Gemm transB=1), else [in,out]; b is [out], any rank with out elements, or one element */
};
struct
    hn_matmul { /* general y = alpha * op(a) op(b), numpy rules, leading dims broadcast. Any operand may vary */
    double alpha;
    int trans_a, trans_b;
};
/* Backward of a unary reads y for relu, sigmoid, tanh, softplus, exp, sqrt, reciprocal, hard sigmoid; for leaky relu, elu,
 * celu, thresholded relu when a >= 0 (celu a > 0) and selu when a >= 0, b > 0; nothing for copy, neg, affine and what has slope 0; else x. */
enum hn_unary_kind {
    HN_U_COPY,
    HN_U_RELU,
    HN_U_LEAKY_RELU,
    HN_U_ELU,
    HN_U_SELU,
    HN_U_SIGMOID,
    HN_U_TANH,
    HN_U_SOFTPLUS,
    HN_U_GELU,
    HN_U_GELU_TANH,
    HN_U_ERF,
    HN_U_CLIP,
    HN_U_NEG,
    HN_U_ABS,
    HN_U_EXP,
    HN_U_LOG,
    HN_U_SQRT,
    HN_U_RECIPROCAL,
    HN_U_SILU,
    HN_U_AFFINE,
    HN_U_CELU,
    HN_U_HARD_SIGMOID,
    HN_U_HARD_SWISH,
    HN_U_MISH,
    HN_U_SOFTSIGN,
    HN_U_THRESHOLDED_RELU,
    HN_U_TRUNC, /* towards zero, as a cast to an integer; slope 0 */
    HN_U_SIN,
    HN_U_COS,
    HN_U_SIGN, /* these four: slope 0 */
    HN_U_FLOOR,
    HN_U_CEIL,
    HN_U_ROUND, /* halves to the even one */
    HN_U_TAN,
    HN_U_ASIN,
    HN_U_ACOS,
    HN_U_ATAN,
    HN_U_SINH,
    HN_U_COSH,
    HN_U_ASINH,
    HN_U_ATANH,
    HN_U_COUNT
};
struct hn_unary { /* element-wise; in: x */
    enum hn_unary_kind kind;
    double a,
        b; /* leaky/elu/celu alpha; selu alpha, gamma; clip low, high; affine a*x+b; hard sigmoid alpha, beta */
};
/* A function that is not Hone's own, element by element: y[i] = f(x[i]), dx[i] = dy[i] f'(x[i]), with numbers a. Results lie
 * apart from operands and are overwritten. Called from several threads at once. The last two may be NULL. */
struct hn_elementwise {
    void (*forward64)(const double *a, size_t n, const double *x, double *y);
    void (*backward64)(const double *a, size_t n, const double *x, const double *dy, double *dx);
    void (*forward32)(const double *a, size_t n, const float *x, float *y);
    void (*backward32)(const double *a, size_t n, const float *x, const float *dy, float *dx);
};
enum { HN_CUSTOM_ATTRS = 8 };
struct hn_custom { /* in: x */
    const struct hn_elementwise *f;
    double a[HN_CUSTOM_ATTRS];
};
enum hn_binary_kind {
    HN_B_ADD,
    HN_B_SUB,
    HN_B_MUL,
    HN_B_DIV,
    HN_B_MAX,
    HN_B_MIN,
    HN_B_POW,
    HN_B_GREATER, /* these three: 1 where so, else 0 (also beside NaN); slope 0 */
    HN_B_NOT_LESS,
    HN_B_EQUAL,
    HN_B_KEEP, /* a where b is not 0, else 0: a's gradient goes through there, b has none */
    HN_B_COUNT
};
struct hn_binary { /* numpy broadcasting both ways; in: a, b */
    enum hn_binary_kind kind;
};
struct
    hn_batchnorm { /* channel axis 1 (rank 1: one channel); in: x, scale, bias, mean (STATE), var (STATE); out: y, and
                         optionally the running mean and variance after this batch (ONNX's training form; no gradient).
                         save 0, 1: mean and 1/sqrt(var + eps), 8 bytes a channel */
    double eps,
        momentum; /* ONNX: running = momentum * running + (1 - momentum) * batch; running var takes N/(N-1) */
    int mode; /* 0 batch statistics when call.train, else running; 1 always running (frozen); 2 always batch */
    int population; /* 1: running var takes the population variance (files in training form, in verify) */
};
struct
    hn_layernorm { /* over the last `axes` dims; in: x, scale, bias (may be absent). save as in BatchNorm, 8 bytes a group */
    double eps;
    int axes;
};
struct
    hn_dropout { /* see hn_dropout_threshold in rng.h; stream = HN_STREAM_DROPOUT + node; in: x. Row = first dim, column =
                       position in the dims after it; call.rate is the rate that applies */
    double rate;
    uint32_t stream;
    int fixed; /* 1: a replica's override does not apply */
};
struct
    hn_softmax { /* along dims [axis, axis+axes) flattened together (opset < 13 coerces all trailing dims) */
    int axis, axes, log;
};
struct hn_concat {
    int axis;
};
struct
    hn_slice { /* one axis; start inside the dim, len elements, step may be negative; affine dims: axis must be fixed */
    int axis;
    int64_t start, len, step;
};
struct hn_transpose {
    int perm[HN_MAX_RANK];
};
enum hn_reduce_kind { HN_R_SUM, HN_R_MEAN, HN_R_MAX, HN_R_L2 };
struct hn_reduce { /* over the dims of mask (bit i: dim i) */
    enum hn_reduce_kind kind;
    uint32_t mask;
    int keep;
};
struct hn_embedding { /* in: indices, table [rows, ...]; see embedding.c */
    int64_t rows;
    int64_t still; /* 1 + the row that gets no gradient from here; 0: none */
};
/* The row that an index means, in a table of so many; -1: none. */
static inline int64_t hn_table_row(double x, int64_t rows)
{
    if (!(x > (double)(-rows - 1) && x < (double)rows)) return -1;
    const int64_t i = (int64_t)x;
    return i < 0 ? i + rows : i;
}
/* Augmentation, in training alone; see augment.c. in: x, whose first dim is the batch's rows (onehot: class indices) */
struct hn_noise {
    double std;
    uint32_t stream; /* HN_STREAM_AUGMENT + 1 and on */
};
struct hn_mixup {
    double alpha;
};
struct hn_onehot {
    int64_t classes;
};
struct
    hn_quantize { /* rounding to whole steps of a scale; see quantize.c. in: x, scale, zero (absent: 0), both constant, of one
                        element or one for each index of dim `axis` */
    double low, high; /* ends of the whole numbers */
    int axis;
    int whole; /* 1: y is the whole numbers, else what they stand for */
};
/* The strength of an op of chance in a pass, which a replica may override for Dropout: call.rate. 0: off, or no such op. */
double hn_op_rate(const struct hn_op *op, enum hn_pass pass, const struct hn_hyper *h);
/* How much of itself a row keeps in this batch: of Beta(alpha, alpha). */
double hn_mixup_share(double alpha, uint64_t batch, const uint32_t key[2]);
/* Losses. in: prediction, target, row weights (may be absent: 1 each; [N]). out: none (scalar gradient seed 1).
 * batch loss = weight * sum(w_i l_i) / sum(w_i): means as PyTorch's reduction="mean"; l_i of bce and regression is the mean
 * over the row's elements; 0 where sum(w_i) is 0. ce saves the log of each row's sum of exponentials (8 bytes a row). */
struct hn_loss {   /* one struct for all loss rows */
    double weight; /* of this loss in the total */
    int dense; /* target is [N,C] of numbers (one-hot, soft labels), else [N] or [N,1] class indices (ce, nll) */
    int from_logits; /* bce: prediction is before the sigmoid; ce always is before the softmax; nll: log-probabilities */
    int kind;     /* loss_regression: 0 mse, 1 mae, 2 huber */
    double delta; /* huber */
    int output;   /* which program output this loss belongs to */
};

/* ---- program ----------------------------------------------------------------------------------------------- */

struct hn_value_ref { /* a value of the program */
    enum hn_kind kind;
    const char *name; /* ONNX value name, or a made-up one */
    struct hn_shape shape;
    int32_t
        index; /* INPUT, TARGET: column; PARAM, STATE: position in params; CONST: position in consts */
    int32_t view_of;  /* shares the memory of that value (reshape, flatten, identity), or -1 */
    int32_t producer; /* op, or -1 */
};
struct hn_op {
    const struct hn_op_row *row;
    const void *attrs;
    int n_in, n_out;
    const int32_t *in, *out; /* value numbers; -1: absent input */
    const char *name;        /* ONNX node name, for messages */
    int32_t node;            /* ONNX node position, -1 for losses and inserted ops */
};
enum hn_param_flag {
    HN_PARAM_TRAINED = 1,
    HN_PARAM_STATE = 2,   /* BatchNorm running statistics: in the slab, never optimized */
    HN_PARAM_BIAS = 4,    /* for --no-decay bias */
    HN_PARAM_NORM = 8,    /* scale and bias of a normalisation: --no-decay norm */
    HN_PARAM_STARTS = 16, /* initialisation sets it to `start` */
    HN_PARAM_IDLE =
        32 /* could learn, or a statistic that could move, but no loss reaches it: it stays as it is */
};
struct hn_quant; /* ops/base/quant.h */
struct hn_param {
    const char *name;
    size_t off, n; /* elements in slab W (and DW, M, V when trained); off is a multiple of 16 */
    int rank;
    int64_t dims[HN_MAX_RANK]; /* as in the file */
    uint32_t flags;
    float lr_mult, decay_mult;
    double fan_in, fan_out; /* for initialisation; 0 where it makes no sense */
    double start;           /* of a scale, shift or slope, with HN_PARAM_STARTS */
    int32_t feeds;     /* enum hn_unary_kind that follows the layer (He or Xavier), -1 unknown */
    int32_t tensor_id; /* where it came from in the file; -1: made here */
    const struct hn_tensor *init; /* the file's values */
    int64_t still;                /* 1 + the row that does not learn; 0: none */
    int kept;                     /* 1: that was asked for, so that decay must not move it either */
    const struct hn_quant
        *stored; /* init's numbers are whole ones, and stand for what the slab has; NULL: its own */
};
/* Is element i of the parameter in the row that does not learn? */
static inline int hn_param_rests(const struct hn_param *p, size_t i)
{
    return p->still && i / (p->n / (size_t)p->dims[0]) == (size_t)p->still - 1;
}
/* Slab W: [trained parameters | frozen parameters | state], each padded to 16 elements. DW, M, V: the trained part. */
struct hn_program {
    struct hn_arena arena;
    enum hn_dtype dtype; /* HN_F32 or HN_F64: of the model's floats */
    struct hn_value_ref *values;
    struct hn_op *ops;
    struct hn_param *params;
    const struct hn_tensor
        *consts; /* converted to elements by the backend; const_off in the const slab */
    size_t *const_off;
    int32_t *inputs, *targets,
        *outputs; /* value numbers; TARGET columns follow the order of the losses: target, then its weights */
    const char **input_names, **output_names;
    int n_values, n_ops, n_params, n_consts, n_inputs, n_targets, n_outputs, n_losses;
    size_t n_trained, n_slab, n_const; /* elements: trained part, whole slab W, const slab */
};
void hn_program_destroy(struct hn_program *p, struct hn_mem *m);
/* Do both compute the same from the same slabs, data and hyper-parameters? Names do not count; nor do rates that a replica
 * may override, where each program has one rate only. */
int hn_program_same(const struct hn_program *a, const struct hn_program *b);
/* The one rate of all Dropouts that a replica may override; -1: there is none. 0: they have several. */
int hn_program_dropout(const struct hn_program *p, double *rate);
/* A copy that needs nothing of the original; without initial values of parameters. */
hone_status hn_program_copy(struct hn_mem *m, const struct hn_program *p, struct hn_program **out,
                            hone_error *err);

/* ---- plan -------------------------------------------------------------------------------------------------- */

enum hn_space { HN_SP_NONE, HN_SP_ARENA, HN_SP_W, HN_SP_DW, HN_SP_CONST };
struct hn_ref {
    enum hn_space space;
    size_t off; /* bytes in the arena, elements elsewhere */
};
struct hn_step { /* one op, one direction, with the place of everything */
    int32_t op;
    uint8_t backward;
    uint32_t
        acc; /* as the plan alone requires: between accumulated batches (now.micro > 0) a backend adds into every DW too */
    struct hn_ref *x, *y, *dx,
        *dy; /* n_in, n_out, n_in, n_out; HN_SP_NONE: absent, not wanted, or not needed by a backward */
    struct hn_ref save[4];
};
struct hn_plan {
    struct hn_arena mem;
    const struct hn_program *prog;
    enum hn_pass pass;
    int64_t max_rows;
    size_t elem; /* 4 or 8 */
    size_t
        arena_bytes; /* activations, gradients of activations, saved buffers; 64-byte aligned places, staggered */
    struct hn_step *steps;
    int n_steps, n_forward; /* forward steps first; ops nothing in this pass asks for have none */
    struct hn_ref *inputs,
        *targets;           /* where gathered rows go; HN_SP_NONE when unused in this pass */
    struct hn_ref *outputs; /* where outputs are found (EVAL, PREDICT) */
    int32_t *zero_params;
    int n_zero_params; /* trained params no step writes a gradient of (zeroed, TRAIN and GRAD) */
};
/* HONE_E_BUDGET beyond max_bytes (0 = no limit). The plan keeps a pointer to the program. */
hone_status hn_plan_create(struct hn_mem *m, const struct hn_program *p, enum hn_pass pass,
                           int64_t max_rows, size_t elem, size_t max_bytes, struct hn_plan **out,
                           hone_error *err);
void hn_plan_destroy(struct hn_plan *p, struct hn_mem *m);

/* ---- replicas and slots -------------------------------------------------------------------------------------- */

enum hn_optimizer {
    HN_SGD,
    HN_MOMENTUM,
    HN_NESTEROV,
    HN_ADAGRAD,
    HN_RMSPROP,
    HN_ADAM,
    HN_ADAMW,
    HN_OPTIMIZERS
};
struct hn_hyper { /* PyTorch's meaning of every name; the learning rate comes with the slot */
    enum hn_optimizer optimizer;
    double momentum, beta1, beta2, eps, alpha, weight_decay, l1, clip_norm /* 0 = off */;
    int accumulate; /* batches per optimizer step, >= 1 */
    double dropout; /* overrides the graph's rates when >= 0 */
    double ema;     /* decay of slab AVERAGE in every optimizer step; 0: none */
};
/* How far slab AVERAGE goes towards W behind an optimizer step, `done` steps having been before: all the way at first, as PyTorch's
 * AveragedModel. Every element of W but frozen ones, which the caller has put there: a + share (w - a), or from a share of a half
 * on w - (1 - share) (w - a), as torch.lerp. */
static inline double hn_ema_share(const struct hn_hyper *h, int64_t done)
{
    return done == 0 ? 1 : 1 - h->ema;
}
struct hn_clock {
    int64_t epoch, step /* optimizer steps */, batch /* batches seen */,
        row /* position in the epoch */, micro;
};
enum hn_slab {
    HN_SLAB_W,
    HN_SLAB_DW,
    HN_SLAB_M,
    HN_SLAB_V,
    HN_SLAB_BEST,
    HN_SLAB_GOOD,
    HN_SLAB_AVERAGE, /* of W over a run */
    HN_SLABS
};
struct hn_replica { /* what a backend sees of it */
    uint32_t key[2];
    void *slab
        [HN_SLABS]; /* backend buffers (alloc); M, V, BEST, GOOD, AVERAGE may be NULL where not used */
    const struct hn_hyper *hyper;
    struct hn_clock now; /* run advances step, batch and micro */
};
struct
    hn_column { /* one input or target of a data set, in host memory; element = value * scale after conversion */
    const void *data;
    enum hn_dtype dtype;
    int64_t per_row; /* elements */
    double scale;
};
struct hn_dataset {
    int64_t rows;
    int n_inputs, n_targets;
    const struct hn_column *inputs, *targets; /* in program order; targets NULL-data where absent */
};
struct hn_slot {
    struct hn_replica *r;
    const void *data;      /* a bound data set */
    const uint32_t *index; /* n_steps * rows row numbers; NULL: rows first, first+1, … */
    int64_t first, rows;   /* rows of each step; 0: dead slot */
    const double *lr;      /* TRAIN: learning rate of each step */
    double *
        partial; /* TRAIN, GRAD, EVAL: 2 per loss, += sum and weight; penalties (L1) are not in it. Losses are
                                numbered by the order of their ops in the program */
    void *const *
        out; /* EVAL, PREDICT: host buffers per program output, elements of the backend, or NULL; step after step */
    uint32_t
        flush; /* TRAIN: the last step ends an epoch: apply accumulated gradients even if fewer than accumulate
                                (their average is over as many as there are) */
    int64_t
        bad_step; /* out: first step whose loss was not finite (that step changed nothing, later ones did not run), else -1 */
    double seconds; /* out: how long the device was at it; left alone: as long as the call took */
};

/* Optimizer step in one place: g += wd*w etc. exactly as PyTorch; shared by the reference backend and tests. In double.
 * grads are raw sums of the accumulated batches; inv_accumulate averages them. Order: average, add L1 sign(w)*l1, clip by
 * the global norm, coupled weight decay, update. t counts optimizer steps from 1. */
struct hn_optim_call {
    const struct hn_hyper *hyper;
    const struct hn_program *prog;
    double *w, *dw, *m, *v;
    double lr, inv_accumulate;
    int64_t t;
};
void hn_optim_reference(const struct hn_optim_call *c);
/* How many state slabs an optimizer needs: bit 0 M, bit 1 V. Adagrad and RMSprop keep their square sum in V, Adam both; SGD, its kinds and RMSprop have M where momentum is not 0. */
uint32_t hn_optim_slabs(enum hn_optimizer o, double momentum);

/* ---- backend ------------------------------------------------------------------------------------------------- */

struct hn_host { /* what a backend may use of its host */
    uint32_t size;
    struct hn_mem *mem;
    int threads; /* that compute, on the CPU; that pack rows, for a GPU; >= 1 */
};
struct hn_backend { /* version-locked with the host by `build`; not a public ABI */
    uint32_t size;
    const char *build, *name;
    size_t elem; /* 4 or 8: element size of slabs, outputs, arenas */
    hone_status (*open)(const struct hn_host *host, const char *options, void **dev,
                        hone_error *err);
    void (*close)(void *dev);
    int (*offers)(void *dev, const struct hn_op *op, enum hn_pass pass,
                  const char **why);                                            /* 0: not offered */
    hone_status (*alloc)(void *dev, size_t bytes, void **buf, hone_error *err); /* cleared */
    void (*release)(void *dev, void *buf);
    hone_status (*put)(void *dev, void *buf, size_t off, const void *src, size_t n,
                       hone_error *err);
    hone_status (*get)(void *dev, const void *buf, size_t off, void *dst, size_t n,
                       hone_error *err);
    hone_status (*copy)(void *dev, void *dst, const void *src, size_t n,
                        hone_error *err); /* whole buffers from offset 0 */
    hone_status (*bind)(void *dev, const struct hn_dataset *set, void **handle,
                        hone_error *err); /* borrows set until unbind; between calls its columns may
                                be replaced by others with the same content */
    void (*unbind)(void *dev, void *handle);
    hone_status (*prepare)(void *dev, const struct hn_plan *plan, int max_slots, void **exec,
                           hone_error *err);
    /* Advances every slot by n_steps batches. Slots are independent. After the first call no allocation happens. */
    hone_status (*run)(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                       hone_error *err);
    void (*finish)(void *exec);
    /* State of a replica beyond slabs, key and clock (cuDNN's dropout), in bytes; all three NULL: there is none. */
    size_t (*state_size)(void *exec);
    hone_status (*state_save)(void *exec, int slot, void *dst, hone_error *err);
    hone_status (*state_load)(void *exec, int slot, const void *src, hone_error *err);
    void (*describe)(void *dev, char *buf, size_t size); /* what its numbers depend on beyond the
                                program, one line: hardware, libraries, choices. NULL: its name says it */
};
/* ops/math/host.c: put, get, copy, bind and unbind of backends that compute in the host's memory, where a data set is its
 * own handle. */
hone_status hn_host_put(void *dev, void *buf, size_t off, const void *src, size_t n,
                        hone_error *err);
hone_status hn_host_get(void *dev, const void *buf, size_t off, void *dst, size_t n,
                        hone_error *err);
hone_status hn_host_copy(void *dev, void *dst, const void *src, size_t n, hone_error *err);
hone_status hn_host_bind(void *dev, const struct hn_dataset *set, void **handle, hone_error *err);
void hn_host_unbind(void *dev, void *handle);

extern const struct hn_backend
    hn_backend_reference; /* ops/math/reference.c: double, one thread, obviously right */
#endif
