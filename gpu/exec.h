/* SPDX-License-Identifier: MIT
 *
 * How the CUDA backend runs a plan. prepare() turns the plan's steps into nodes, each one launch; run() uploads a table of
 * slots, queues n_steps times the same nodes, and reads the table back: one contact with the device a call. The nodes of a step
 * are captured as a graph per (rows, variant) and replayed; the device counts its steps itself.
 *
 *   nodes in order: gather | zero | forward | emit | judge | commit | backward | sums | squares | clip | optim
 *
 * Where backward needs nothing of judge (fuse.c), judge and commit run beside it: side nodes, between fork and join.
 *
 * The table holds slots, columns and totals (see kernel.h). Slot z's memory is the plan's arena and, behind it, the rows of the
 * losses, their sums and batch statistics that await commit. One slot: products go to the library. Several: to the native
 * kernel, where z is the slot, rows may differ and a slot's numbers do not depend on the others. */
#ifndef HN_GPU_EXEC_H
#define HN_GPU_EXEC_H

#include "gpu/gpu.h"
#include "ops/math/op.h"

enum hn_gpu_pick {
    HN_GPU_AUTO, /* by the table of measurements, choice.c */
    HN_GPU_NATIVE,
    HN_GPU_LIBRARY, /* cuDNN, cuBLASLt */
    HN_GPU_WAY      /* and above: cuDNN, seen in the way HN_GPU_WAY + enum hn_gpu_norm_way */
};
enum hn_gpu_form {                 /* operands=: how the library gets a large layer's matrices */
                   HN_GPU_BY_MATH, /* what belongs to math= */
                   HN_GPU_PLAIN,
                   HN_GPU_CONVERTED, /* math=bf16: as bfloat16 */
                   HN_GPU_TRANSPOSED /* math=tf32: with the terms of a sum as neighbours */
};
enum hn_gpu_product {                 /* gemm-native=: the kernel of the GPU's own products */
                      HN_GPU_BY_SIZE, /* panels where there are many tiles (dense.c) */
                      HN_GPU_TILES,   /* gemm */
                      HN_GPU_PANELS,  /* panel, each product in the shape that panel.c chooses */
                      HN_GPU_MMA,     /* mma, in the shape that panel.c chooses */
                      HN_GPU_SHAPE, /* and above: panel, all in shape HN_GPU_SHAPE + enum hn_k_panel */
                      HN_GPU_MMA_SHAPE = HN_GPU_SHAPE + HN_KP_COUNT /* mma, + enum hn_k_mma */
};
enum hn_gpu_chain { /* chain=: what `mma` takes into the launch of a product */
                    HN_GPU_CHAIN_ALL,
                    HN_GPU_CHAIN_LOSS,
                    HN_GPU_CHAIN_NONE
};
struct hn_gpu_options {
    enum hn_gpu_math math;
    int form;       /* operands=: enum hn_gpu_form */
    int gemm;       /* gemm-impl=: enum hn_gpu_pick */
    int native;     /* gemm-native=: enum hn_gpu_product */
    int no_graph;   /* graph=off */
    int no_overlap; /* overlap=: bits of enum hn_gpu_overlap that are not to be */
    int stream;     /* data=stream: never resident */
    int norm, drop; /* bn-impl=, dropout-impl=: enum hn_gpu_pick */
    int chain;      /* chain=: enum hn_gpu_chain */
    int layer_sums; /* bias-sums=layer: a bias's gradient is never left to the norm behind the layer */
    int norm_width; /* norm-width=: channels a block of the native kernel; HN_K_LINE: in strips; 0: auto */
    int64_t stream_bytes; /* of one buffer of streamed rows */
    int64_t unroll;       /* steps of one captured graph where many follow each other */
    int ordinal;
};
/* choice.c */
enum hn_gpu_norm_way hn_gpu_choose_norm(const struct hn_gpu_options *o, int64_t channels);
int hn_gpu_choose_width(const struct hn_gpu_options *o, int64_t channels,
                        int64_t slots);                 /* channels a block of the native norm */
int hn_gpu_choose_drop(const struct hn_gpu_options *o); /* is it cuDNN's? */
/* For a run's record. */
const char *hn_gpu_norm_text(const struct hn_gpu_options *o);
const char *hn_gpu_drop_text(const struct hn_gpu_options *o);

struct hn_gpu_dev {
    struct hn_mem *mem;
    const struct hn_gpu_layer *layer;
    void *ctx;
    size_t elem;
    int threads;                  /* of the host's, to pack rows with */
    struct hn_gpu_stream *stream; /* stream.c; NULL: nothing was streamed yet */
    struct hn_gpu_options o;
};

enum hn_gpu_stage { /* nodes that only some variants of a step have */
                    HN_GPU_ALWAYS,
                    HN_GPU_SUMS,     /* gradients of several batches are added up */
                    HN_GPU_CLIPS,    /* a slot clips */
                    HN_GPU_AVERAGES, /* a slot keeps an average */
                    HN_GPU_FRESH, /* in front of the steps of a call, not in any: copies of weights, which may be new */
                    HN_GPU_GATHERS, /* a data set cannot be read in place */
                    HN_GPU_INSTEAD, /* does what the call before it could not: the whole of it, or the sums of a bias gradient */
                    HN_GPU_BESIDE /* completes the call before the one before it, unless that one is replaced */
};
enum hn_gpu_kind { HN_GPU_KERNEL, HN_GPU_GEMM, HN_GPU_NORM, HN_GPU_DROP, HN_GPU_SIDE };

struct hn_gpu_node {
    enum hn_gpu_kind kind;
    enum hn_gpu_stage stage;
    const char *name; /* of the ONNX node, for messages */
    /* kernels: arguments begin with the environment. Blocks: ceil(x / per_x), at most most_x; y alike */
    enum hn_k_id kernel;
    void *args;
    size_t bytes;
    struct hn_k_dim x, y;
    int64_t per_x, most_x, per_y;
    enum hn_gpu_side side; /* SIDE */
    /* library calls, one slot only */
    struct hn_k_dim m, n, k; /* gemm */
    struct hn_gpu_gemm gemm;
    struct hn_k_ref a, b, c, bias;
    /* NORM and DROP do what the kernel right behind them would, and take its arguments. keep: norm forward: running means and
     * variances after this batch; dropout: what forward leaves for backward. spare: gradients that go nowhere yet */
    enum hn_gpu_norm_way way;
    struct hn_k_ref keep, spare;
};

struct hn_gpu_graph { /* a captured step, and the library's products prepared for it */
    int64_t rows;
    int sums, clips, gathers, averages;
    void *slab[4];  /* of the one slot, when nodes have addresses in them */
    double dropout; /* the one slot's override, when cuDNN's dropout has it in its calls */
    void *graph;    /* NULL: not captured (yet) */
    void *many;     /* the same for `unroll` steps at once */
    int warm; /* a step was queued node by node: what libraries load when first used is there */
    void **
        handles; /* per node: its library call, NULL for kernels and where the kernel behind it does all */
    uint8_t *instead; /* per node: the kernel at this place is wanted */
    uint64_t used;    /* for eviction */
};

struct hn_gpu_data { /* a bound data set */
    const struct hn_dataset *set;
    void **resident; /* per column, NULL: no data; all NULL when streamed */
    int streamed;
};

enum { HN_GPU_GRAPHS = 8 };

struct hn_gpu_exec {
    struct hn_gpu_dev *dev;
    const struct hn_plan *plan;
    struct hn_arena mem;               /* tables */
    int max_slots, n_columns, library; /* library: one slot, so that library calls are possible */
    struct hn_gpu_node *nodes;
    int n_nodes, cap_nodes;
    struct hn_k_env env;
    size_t extra; /* bytes behind the plan's arena, while building */
    int64_t row_stride;
    size_t row_at, sums_at; /* offsets in the slot's memory */
    /* device memory */
    unsigned char *arena, *consts, *grads, *table, *lists;
    struct hn_k_chunk *chunks;
    double *squares;
    unsigned char *states; /* of cuDNN's dropout; NULL: not used */
    void **outs;           /* per output, NULL: none */
    int64_t out_chunk;     /* steps that fit an output buffer */
    /* pinned */
    unsigned char *host_table, *host_lists;
    size_t table_bytes, columns_at, totals_at, lists_bytes;
    uint8_t *column_used,
        *column_in_place; /* in place: products read it where it lies, if its type allows it */
    struct hn_k_chunk *all_chunks; /* the host's, while building */
    int32_t n_chunks;
    int n_norms, n_drops, n_gemms; /* nodes of these kinds */
    size_t state_bytes;
    uint32_t state_key[2]; /* whose random numbers the states hold */
    int seeded;
    struct hn_gpu_graph graphs[HN_GPU_GRAPHS];
    uint64_t clock;
};

static inline int hn_gpu_trains(enum hn_pass pass)
{
    return pass == HN_PASS_TRAIN || pass == HN_PASS_GRAD;
}
static inline struct hn_k_dim hn_gpu_dim(struct hn_dim d)
{
    return (struct hn_k_dim){ d.per_row, d.fixed };
}
static inline struct hn_k_dim hn_gpu_fixed(int64_t n) { return (struct hn_k_dim){ 0, n }; }
static inline int64_t hn_gpu_n(struct hn_k_dim d, int64_t rows)
{
    return d.per_row * rows + d.fixed;
}

/* build.c: nodes from steps. */
struct hn_gpu_build {
    struct hn_gpu_exec *e;
    const struct hn_program *p;
    const struct hn_step *s; /* the step at work, and the one behind it (NULL: none) */
    const struct hn_step *next;
    const struct hn_op *op;
    const struct hn_step *end; /* behind the last step of this direction */
    int fused;                 /* how many steps behind this one were taken in */
    int loss_done;             /* the loss's gradient was */
    int pending;               /* this norm waits for the product behind it (chain.c) */
    struct hn_k_norm norm;
    int32_t summed;    /* the dense op whose bias gradient the norm before it made, -1: none */
    uint8_t *in_place; /* per column: nobody needs it gathered */
    int *loss_of;
    struct hn_k_ref *kept;             /* per op: reserve of a Dropout that cuDNN does */
    struct hn_k_ref *copies, *weights; /* operand.c: per value and gradient; per parameter */
    struct hn_k_ref partials;          /* norm.c: room for sums of strips, of the largest so far */
    size_t partial_bytes;
    hone_error *err;
};
hone_status hn_gpu_build(struct hn_gpu_exec *e, hone_error *err);
struct hn_k_ref hn_gpu_ref(const struct hn_gpu_build *b, struct hn_ref r);
const struct hn_shape *hn_gpu_shape(const struct hn_gpu_build *b, int32_t value);
/* Elements of dims [from, to) of a value. */
struct hn_k_dim hn_gpu_span(const struct hn_shape *s, int from, int to);
struct hn_k_dims hn_gpu_dims(const struct hn_shape *s);
/* Appends a launch; args are copied. Threads walk over x elements, at most a few blocks per processor. NULL: no memory. */
struct hn_gpu_node *hn_gpu_add(struct hn_gpu_build *b, enum hn_k_id kernel, const void *args,
                               size_t bytes, struct hn_k_dim x, int64_t per_x);
struct hn_gpu_node *hn_gpu_library(struct hn_gpu_build *b, enum hn_gpu_kind kind);
/* Bytes of the slot's own memory behind the arena. */
size_t hn_gpu_extra(struct hn_gpu_build *b, size_t bytes);
/* element.c: what a Dropout's kernel needs to know; is it cuDNN's; what a function's slope is taken from (0, 1 x, 2 y). */
struct hn_k_drop hn_gpu_drop_of(const struct hn_gpu_build *b, const struct hn_dropout *t);
int hn_gpu_drop_by_library(const struct hn_gpu_build *b);
int hn_gpu_slope_by(const struct hn_gpu_build *b, const struct hn_op *op);

/* dense.c: blocks of the native product of a node; are the products of a layer of m rows, n outputs and k inputs native? */
int64_t hn_gpu_gemm_blocks(const struct hn_gpu_node *n, int64_t rows);
int hn_gpu_gemm_fits(const struct hn_gpu_node *n, int64_t rows);
int hn_gpu_native_product(const struct hn_gpu_exec *e, int64_t m, int64_t n, int64_t k);
/* choice.c: are a plan's products in fp32 with one slot, too, whatever math= says? */
int hn_gpu_exact_anyway(struct hn_gpu_dev *d, const struct hn_plan *plan);

static inline int hn_gpu_is_product(enum hn_k_id k)
{
    return k == HN_KN_gemm || k == HN_KN_panel || k == HN_KN_mma || k == HN_KN_chain;
}

/* panel.c: the tiles of a product in the kernels `panel` and `mma`, and how many blocks it has; do they take these products? */
void hn_gpu_panel_shape(const struct hn_gpu_exec *e, enum hn_k_id kernel, struct hn_k_product *p);
int64_t hn_gpu_panel_blocks(const struct hn_k_product *p, int64_t rows);
int hn_gpu_panel_takes(const struct hn_gpu_exec *e, const struct hn_k_gemm *g);
/* chain.c. May the norm at work be part of the launch of the product behind it? It waits for that, or for hn_gpu_chain_end, which
 * makes a launch of it. Did the launch of a product take in the norm that waits, or the loss at work? Then it is done. */
int hn_gpu_chain_norm(struct hn_gpu_build *b, const struct hn_k_norm *k);
hone_status hn_gpu_chain_end(struct hn_gpu_build *b);
hone_status hn_gpu_chain_product(struct hn_gpu_build *b, enum hn_k_id kernel,
                                 const struct hn_k_gemm *g, int *taken);
hone_status hn_gpu_chain_loss(struct hn_gpu_build *b, const struct hn_k_loss *k, int *taken);
hone_status hn_gpu_norm_alone(struct hn_gpu_build *b, struct hn_k_norm *k); /* norm.c */

/* operand.c: the two operands of a library's product, in places at[2], become copies in the form that operands= asks for; g
 * follows. What an operand is: a value of the program, or the gradient of one. */
struct hn_gpu_operand {
    int32_t value, gradient;
};
hone_status hn_gpu_operands(struct hn_gpu_build *b, const struct hn_k_product *p,
                            const struct hn_gpu_operand is[2], struct hn_gpu_gemm *g,
                            struct hn_k_ref at[2]);

/* A parameter's transposed copy made again, if there is one. */
/* Where a norm is to leave a copy of its result, [lines, units], as well; nowhere if no product takes one. */
struct hn_k_ref hn_gpu_copy_wanted(struct hn_gpu_build *b, struct hn_gpu_operand is,
                                   struct hn_k_dim lines, int64_t units);
/* dense.c: are the products of this step of a dense layer the library's, on lines of multiples of so many elements? */
int hn_gpu_by_library(const struct hn_gpu_build *b, const struct hn_step *s, int multiple);
/* Is the step behind the one at work the layer whose output's gradient lies in dx? */
int hn_gpu_layer_below(const struct hn_gpu_build *b, struct hn_ref dx);
/* dense.c: the gradient of its bias, when the step behind the one at work is the layer whose output's gradient lies in dx, and the
 * library makes its products. b->summed says so. 0: it is not. */
int hn_gpu_bias_below(struct hn_gpu_build *b, struct hn_ref dx, struct hn_k_ref *bias, int *acc,
                      double *scale);

/* update.c: the optimizer, at the end of a step. */
hone_status hn_gpu_update(struct hn_gpu_build *b);

/* fuse.c: what a launch may take in from around it. */
static inline int hn_gpu_same(struct hn_ref a, struct hn_ref b)
{
    return a.space != HN_SP_NONE && a.space == b.space && a.off == b.off;
}
/* Do two pieces of the arena share bytes? */
int hn_gpu_overlap(struct hn_ref a, size_t a_bytes, struct hn_ref b, size_t b_bytes);
size_t hn_gpu_bytes(const struct hn_gpu_build *b, int32_t value); /* at most */
/* The function and the Dropout behind a dense layer forward, or in front of it backward: into its tail. Sets b->fused. */
void hn_gpu_tail_forward(struct hn_gpu_build *b, struct hn_k_tail *tail);
void hn_gpu_tail_backward(struct hn_gpu_build *b, struct hn_k_tail *tail);
/* Which columns of the data set are read where they lie. */
hone_status hn_gpu_find_in_place(struct hn_gpu_build *b);
/* The column that is this value, when it is read in place; else -1. */
int32_t hn_gpu_in_place(const struct hn_gpu_build *b, int32_t value);

/* Is the step behind this one a ReLU in place on this one's output? */
int hn_gpu_relu_follows(const struct hn_gpu_build *b);
static inline int hn_gpu_acc(const struct hn_gpu_build *b, int i)
{
    return i < 32 ? (int)(b->s->acc >> i & 1u) : 0;
}
static inline int hn_gpu_wants(const struct hn_gpu_build *b, int i)
{
    return i < b->op->n_in && b->s->dx[i].space != HN_SP_NONE;
}

/* One builder per program op: appends the nodes of b->s. */
typedef hone_status hn_gpu_builder(struct hn_gpu_build *b);
hn_gpu_builder hn_gpu_dense, hn_gpu_matmul, hn_gpu_unary, hn_gpu_binary, hn_gpu_batchnorm,
    hn_gpu_layernorm, hn_gpu_dropout, hn_gpu_softmax, hn_gpu_concat, hn_gpu_slice, hn_gpu_transpose,
    hn_gpu_reduce, hn_gpu_noise, hn_gpu_mixup, hn_gpu_onehot, hn_gpu_embedding, hn_gpu_quantize,
    hn_gpu_loss;
/* The builder of a row, by its name; NULL: not offered. */
hn_gpu_builder *hn_gpu_builder_of(const struct hn_op_row *row);
const char *hn_gpu_why_not(const struct hn_op_row *row); /* NULL: it is offered */
/* Backward of a ReLU whose gradient goes to a BatchNorm right behind it: both in one launch, if possible (else 0). */
int hn_gpu_relu_into_norm(struct hn_gpu_build *b, hone_status *st);

/* library.c: BatchNorm and Dropout by cuDNN. Nodes: the call, and behind it the kernel for where it cannot. */
hone_status hn_gpu_library_norm(struct hn_gpu_build *b, enum hn_gpu_norm_way way,
                                const struct hn_k_norm *k);
hone_status hn_gpu_library_drop(struct hn_gpu_build *b, const struct hn_k_dropout *k);
struct hn_gpu_step { /* a variant of a step at work */
    struct hn_gpu_exec *e;
    struct hn_gpu_graph *g;
    const struct hn_replica *one;
    hone_error *err;
};
unsigned char *hn_gpu_address(const struct hn_gpu_step *s, struct hn_k_ref r);
hone_status hn_gpu_prepare_library(const struct hn_gpu_step *s, int i);
hone_status hn_gpu_call_library(const struct hn_gpu_step *s, int i);
void hn_gpu_release_library(const struct hn_gpu_exec *e, int i, void *handle);
/* Before the steps of a run: running statistics for cuDNN to move, random states for a new key. */
hone_status hn_gpu_begin_library(struct hn_gpu_exec *e, const struct hn_replica *one,
                                 hone_error *err);
hone_status hn_gpu_make_states(struct hn_gpu_exec *e, hone_error *err);
size_t hn_gpu_state_size(void *exec);
hone_status hn_gpu_state_save(void *exec, int slot, void *dst, hone_error *err);
hone_status hn_gpu_state_load(void *exec, int slot, const void *src, hone_error *err);

/* step.c: queueing the nodes of a step, captured or not; graph cache. */
hone_status hn_gpu_steps(struct hn_gpu_exec *e, const struct hn_gpu_graph *variant,
                         const struct hn_replica *r, int64_t n_steps, hone_error *err);
void hn_gpu_drop_graphs(struct hn_gpu_exec *e);

/* run.c */
hone_status hn_gpu_run(struct hn_gpu_exec *e, struct hn_slot *slots, int n_slots, int n_steps,
                       hone_error *err);
/* data.c */
hone_status hn_gpu_bind(void *dev, const struct hn_dataset *set, void **handle, hone_error *err);
void hn_gpu_unbind(void *dev, void *handle);
const struct hn_column *hn_gpu_column(const struct hn_gpu_exec *e, const struct hn_slot *s, int i);
#endif
