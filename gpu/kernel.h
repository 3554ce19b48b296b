/* SPDX-License-Identifier: MIT
 *
 * What kernels and the host code that launches them share: the environment of a step, the slots as a kernel sees them, one
 * struct of arguments per kernel, and the list of kernels.
 *
 * A kernel is written once, in the common part of C and CUDA C++, as phases of a block: HN_EACH(t) runs its body for all
 * threads of the block and ends in a barrier. On a GPU t is the thread; compiled as C (tests, no GPU) it is a loop, so that the
 * same text can be checked anywhere. In a phase no thread may read what another one writes in the same phase.
 *
 * Grids are x (work), y (a second kind of work), z (slots). Nothing in a kernel's arguments depends on the replicas: those are
 * found through env.slots[z], so that a captured step serves any replicas. A dead or stopped slot returns at once. All sums
 * have a fixed order; there are no atomics. Sizes that follow the batch are pairs {per_row, fixed}, filled in by the slot's
 * rows: slots of one launch may have different numbers of rows. */
#ifndef HN_GPU_KERNEL_H
#define HN_GPU_KERNEL_H

#include <stdint.h>

enum { HN_BLOCK = 256, HN_K_RANK = 8, HN_K_COLUMNS = 16, HN_K_COMMITS = 8, HN_K_SECTOR = 32 };

struct hn_k_dim { /* per_row * rows + fixed */
    int64_t per_row, fixed;
};
struct hn_k_dims {
    int32_t rank;
    struct hn_k_dim d[HN_K_RANK];
};

/* ---- where things are ---------------------------------------------------------------------------------------- */

enum hn_k_space { HN_KS_NONE, HN_KS_ARENA, HN_KS_W, HN_KS_DW, HN_KS_CONST };
struct hn_k_ref {
    int32_t space;
    uint64_t off; /* bytes */
};

struct hn_k_slot { /* in device memory; the host writes it before a run and reads it after */
    int64_t rows;  /* 0: dead */
    int64_t first;
    const uint32_t *index;          /* rows of all steps, or NULL */
    const double *lr;               /* of all steps */
    void *w, *dw, *m, *v, *average; /* average NULL: none is kept */
    uint32_t key[2];
    int32_t optimizer, accumulate, flush;
    int64_t n_steps;
    uint64_t batch0; /* batches seen before this run */
    double momentum, beta1, beta2, eps, alpha, weight_decay, l1, clip_norm, dropout, ema;
    double *totals; /* 2 per loss: sums over the good steps of a run */
    /* What kernels write, in sectors of its own: what is in front of it is read before a kernel's turn, and a load takes a whole
     * sector into a processor's cache. */
    int32_t stop __attribute__((aligned(HN_K_SECTOR)));
    int32_t
        failing; /* the loss of this step is not finite: the step ends the run and changes nothing */
    int64_t ahead; /* steps behind this one; the last kernel of a step moves it */
    int64_t bad_step;
    int64_t batch, step, micro; /* the clock after the steps so far */
    /* for the optimizer, written by judge: */
    int32_t apply, adds;
    double rate, grow1, root2, scale,
        clip,  /* grow1 = 1 / (1 - beta1^t), root2 = 1 / sqrt(1 - beta2^t) */
        share; /* of the average, hn_ema_share */
};

struct hn_k_env {
    struct hn_k_slot *slots;
    unsigned char *arena; /* slot z's memory begins at arena + z * stride */
    uint64_t stride;
    unsigned char *
        grads; /* not NULL: HN_KS_DW lies here, the gradients of one batch; `sums` adds them to the slab */
    uint64_t grad_stride;
    const unsigned char *consts;
};

struct
    hn_k_column { /* a column of the data set of one slot; numbers of dtype as in enum hn_dtype */
    const void *data;
    double scale;
    int32_t dtype;
    int32_t
        in_place; /* products may read it where it lies: elements of the model's type, counted in 31 bits */
};

/* ---- arguments ----------------------------------------------------------------------------------------------- */

struct hn_k_gather {
    struct hn_k_env env;
    const struct hn_k_column *columns; /* n_columns per slot */
    int32_t n_columns, n;
    int32_t spare; /* only those that products cannot read in place */
    struct {
        struct hn_k_ref to;
        int32_t column, batched;
        int64_t each;  /* elements of a row */
    } c[HN_K_COLUMNS]; /* y: which */
};
struct hn_k_fill { /* zeros */
    struct hn_k_env env;
    struct hn_k_ref to;
    struct hn_k_dim n;
};
struct hn_k_convert { /* bfloat16 copies of n elements, a multiple of 8 */
    struct hn_k_env env;
    struct hn_k_ref from, to;
    struct hn_k_dim n;
};
struct hn_k_turn { /* to[c, r] = from[r, c] */
    struct hn_k_env env;
    struct hn_k_ref from, to;
    struct hn_k_dim rows;
    int64_t cols;
};
struct hn_k_emit { /* an output of this step behind those of the steps before */
    struct hn_k_env env;
    struct hn_k_ref from;
    struct hn_k_dim n;
    void *to; /* slot z's outputs begin at to + z * stride elements */
    int64_t stride;
};
struct hn_k_unary {
    struct hn_k_env env;
    struct hn_k_ref x, y, dx, dy;
    struct hn_k_dim n;
    int32_t kind, by, acc; /* by: 0 nothing, 1 x, 2 y */
    double a, b;
};
struct hn_k_quantize {
    struct hn_k_env env;
    struct hn_k_ref x, scale, zero, y, dx, dy; /* zero: may be none */
    struct hn_k_dim n;
    int64_t scales, zeros, inner; /* element i has scale i / inner % scales */
    int32_t whole, acc;
    double low, high;
};
struct hn_k_binary {
    struct hn_k_env env;
    struct hn_k_ref a, b, y; /* backward: y is dy */
    struct hn_k_ref d;       /* backward: gradient of operand `which` */
    struct hn_k_dims ya, da, db;
    int32_t kind, which, acc, same; /* same: no broadcasting at all */
};
struct
    hn_k_drop { /* a Dropout: its rate, stream and clock. off: no dropout in this pass; still: its clock stands */
    double rate;
    uint32_t stream;
    int32_t fixed, off, still;
};
struct
    hn_k_tail { /* what becomes of a product's result on its way out; places that are NONE are not written */
    struct hn_k_ref c; /* the product */
    struct hn_k_ref y,
        z; /* behind the function; behind the Dropout (in this order, backward in the other) */
    struct hn_k_ref by; /* backward: x or y of the function, for its slope */
    int32_t kind, how;  /* enum hn_unary_kind; how: 0 none, else 1 + what the slope is taken from */
    int32_t drops, backward;
    double a, b;
    struct hn_k_drop drop;
};
struct hn_k_matrix { /* line l begins at l * stride; elements of a line are neighbours */
    struct hn_k_ref at;
    int64_t stride;
    int32_t along;  /* lines run along k */
    int32_t column; /* lines are this step's rows of a column of the data set; -1: of `at` */
};
struct
    hn_k_product { /* c[i,j] (+)= tail(alpha sum_k a[i,k] b[k,j] + beta bias[j]), c in rows of n */
    struct hn_k_matrix a, b;
    struct hn_k_ref bias, sums;
    struct hn_k_dim m, n, k;
    int32_t acc, one_bias;
    int32_t ones,
        acc_sums; /* 1: sums[j] (+)= beta sum_k b[k,j], 2: sums[i] (+)= beta sum_k a[i,k] */
    double alpha, beta;
    /* `panel`, `mma`: a tile's shape, its rows 1 << row_bits; tiles side by side, and 2^31 / across, rounded up; blocks of sums */
    int32_t shape, row_bits, cols, across, sums_blocks;
    uint32_t magic;
    struct hn_k_tail tail;
};
struct
    hn_k_gemm { /* one or two independent products; x: tiles of the first, then those of the second */
    struct hn_k_env env;
    const struct hn_k_column *columns; /* n_columns per slot */
    int32_t n_columns, n;
    int32_t column; /* `panel`, `mma`: the column of the data set that an operand is; -1: none is */
    struct hn_k_product p[2];
};
struct hn_k_colsum { /* d[j] (+)= scale * sum_r x[r, j]; one: a single sum over all */
    struct hn_k_env env;
    struct hn_k_ref x, d;
    struct hn_k_dim rows;
    int64_t cols;
    int32_t acc, one;
    double scale;
};
struct hn_k_norm { /* batch norm: x[o, ch, i] at (o * channels + ch) * inner + i */
    struct hn_k_env env;
    struct hn_k_ref x, scale, bias, mean, var, y, mean_out,
        var_out;                         /* *_out: running values after this batch */
    struct hn_k_ref save_mean, save_inv; /* doubles */
    struct hn_k_ref
        stats; /* doubles: batch mean and variance of each channel, for commit; NONE: nobody asks */
    struct hn_k_ref dy, dx, dscale, dbias, dmean, dvar;
    struct hn_k_dim outer;
    int64_t channels, inner;
    double eps, momentum;
    int32_t batch, population, fuse_relu, /* a ReLU behind it is taken in: forward, backward */
        acc;                              /* acc: bits as the inputs x, scale, bias, mean, var */
    int32_t copied;                       /* stats are running values after the batch */
    struct hn_k_ref
        copy; /* of y or dx, for products (operand.c), where inner is 1: bfloat16, or transposed */
    int32_t copy_turned;
    struct hn_k_ref
        below; /* backward: below[ch] (+)= below_scale sum of dx, the gradient of the bias in front; inner is 1 */
    int32_t below_acc;
    double below_scale;
    struct hn_k_ref
        partials; /* strips.cu: doubles, two sums of each strip's channels, and behind HN_K_STRIPS of those a row of them */
};
struct hn_k_layernorm {
    struct hn_k_env env;
    struct hn_k_ref x, scale, bias, y, save_mean, save_inv, dy, dx, dscale, dbias;
    struct hn_k_dim groups;
    int64_t n;
    double eps;
    int32_t acc, team;
};
struct hn_k_dropout {
    struct hn_k_env env;
    struct hn_k_ref from, to;
    struct hn_k_dim rows;
    int64_t cols;
    struct hn_k_drop drop;
    int32_t backward, acc;
};
struct hn_k_embedding {
    struct hn_k_env env;
    struct hn_k_ref x, table, y; /* backward: y is dy, table its gradient */
    struct hn_k_dim n;           /* indices */
    int64_t rows, width, still;  /* still: 1 + the row without gradient; 0: none */
};
struct hn_k_augment { /* rows of cols; onehot: rows of one become rows of cols */
    struct hn_k_env env;
    struct hn_k_ref from, to;
    struct hn_k_dim rows;
    int64_t cols;
    double strength; /* noise: std; mixup: alpha */
    uint32_t stream;
    int32_t still, acc;
};
struct hn_k_softmax { /* element k of group (o, i) is at (o * len + k) * inner + i */
    struct hn_k_env env;
    struct hn_k_ref x, y, dx, dy;
    struct hn_k_dim outer;
    int64_t len, inner;
    int32_t log, acc, team;
};
struct
    hn_k_span { /* to[(o * to_len + to_at + k * to_step) * inner + i] (+)= from[(o * from_len + from_at + k * from_step) * … ] */
    struct hn_k_env env;
    struct hn_k_ref from, to;
    struct hn_k_dim outer, inner;
    int64_t len, to_len, to_at, to_step, from_len, from_at, from_step;
    int32_t acc;
};
struct hn_k_transpose { /* to's dim i is from's dim perm[i] */
    struct hn_k_env env;
    struct hn_k_ref from, to;
    struct hn_k_dims shape; /* of from */
    int32_t perm[HN_K_RANK], acc;
};
struct hn_k_reduce {
    struct hn_k_env env;
    struct hn_k_ref x, y, dx, dy;
    struct hn_k_dims shape; /* of x */
    uint32_t mask;
    int32_t kind, acc;
};
struct hn_k_matmul { /* stacks of matrices; y[p,i,j] = alpha sum_k a[p,i,k] b[p,k,j] */
    struct hn_k_env env;
    struct hn_k_ref a, b, y, d; /* backward: y is dy, d the gradient of operand `which` */
    struct hn_k_dims stack, sa, sb;
    struct hn_k_dim m, n, k;
    int32_t trans_a, trans_b, which, acc; /* a is stored [m,k], or [k,m] when trans_a */
    double alpha;
};
struct hn_k_loss {
    struct hn_k_env env;
    struct hn_k_ref x, target, weights, dx;
    struct hn_k_ref row_loss, row_weight; /* doubles, one a row: weighted loss and weight */
    struct hn_k_ref lse, sums;            /* doubles: lse per row; this loss's two sums */
    const struct hn_k_column *columns;    /* n_columns per slot */
    int32_t n_columns,
        column; /* of the data set that is the target, read where it lies; -1: it was gathered */
    struct hn_k_dim rows, cols, n_weights;
    double weight, delta;
    int32_t form, dense, from_logits, kind, acc; /* form: 0 ce, 1 nll, 2 bce, 3 regression */
    int32_t team, team_bits,
        few; /* threads of a row, and its logarithm; few: a thread has a row's few classes in registers */
    int32_t
        both; /* forward writes the gradient, too: every row weighs 1, so that it needs no sums */
};
struct hn_k_chain { /* a product with what stands around it: see chain.cu */
    struct hn_k_gemm product;
    struct hn_k_norm norm;            /* in front: the product reads norm.x, and writes norm.y */
    struct hn_k_loss loss;            /* behind: few */
    struct hn_k_ref in_front, behind; /* spreads of norm.x; of what the product makes, or NONE */
    int32_t has_norm, has_loss;
};
enum {
    HN_K_CHAIN = 128,
    HN_K_LEFT = 17
}; /* channels of a norm in front, at most; a row of results in shared memory */
struct
    hn_k_commit { /* running = momentum running + (1 - momentum) batch, the batch's variance with its factor already */
    struct hn_k_ref stats, mean, var;
    int64_t channels;
    double momentum;
    int32_t copied; /* stats are running values after the batch, to be copied */
};
struct hn_k_commits {
    struct hn_k_env env;
    struct hn_k_commit c;
};
struct
    hn_k_judge { /* one block a slot: sums of the losses, is the step good, what the optimizer needs, the clock */
    struct hn_k_env env;
    struct hn_k_ref sums; /* doubles: 2 per loss of this step */
    struct hn_k_ref rows; /* row_loss of loss 0; row_weight behind it; then the next loss's */
    int64_t row_stride;   /* doubles from one of those to the next */
    int32_t n_losses, training, optimizes, last; /* last: no kernel of the optimizer follows */
    struct hn_k_dim loss_rows[HN_K_COLUMNS];
    int32_t n_commits; /* small ones are made at once */
    struct hn_k_commit commits[HN_K_COMMITS];
};
struct hn_k_chunk { /* elements of one trained parameter */
    uint64_t off;   /* elements */
    int32_t n;
    float lr_mult, decay_mult;
    uint64_t
        copy; /* place in the slot's memory of the chunk as bfloat16, which follows every update; 0: none */
};
struct hn_k_optim {
    struct hn_k_env env;
    const struct hn_k_chunk *chunks; /* x: which */
    double *squares;                 /* n_chunks per slot */
    int32_t n_chunks, last;          /* last: of the step, so it moves the slot on */
};

struct hn_k_average { /* n elements of slab W from `first` on */
    struct hn_k_env env;
    int64_t first, n;
};

/* ---- the kernels --------------------------------------------------------------------------------------------- */

/* clang-format off */
#define HN_K_LIST(X)                                                                               \
    X(gather)                                                                                      \
    X(fill)                                                                                        \
    X(emit) X(convert) X(turn)                                                                     \
    X(unary) X(unary_back) X(quantize) X(quantize_back) X(binary) X(binary_back) X(gemm) X(panel) X(mma) X(chain) X(colsum) X(norm) X(norm_back)         \
    X(norm1) X(norm1_back) X(norm8) X(norm8_back) X(norm16) X(norm16_back) X(strips_sums) X(strips) X(strips_back_sums) X(strips_back) \
    X(norm_commit) X(layernorm) X(layernorm_back) X(layernorm_params) X(dropout) X(noise) X(mixup) X(onehot) X(embedding) X(embedding_back) X(softmax)    \
    X(softmax_back) X(span) X(transpose) X(reduce) X(reduce_back) X(matmul) X(matmul_back) \
    X(loss) X(loss_back) X(judge) X(sums) X(squares) X(clip) X(average) X(optim)
/* clang-format on */
enum hn_k_id {
#define HN_K_ID(name) HN_KN_##name,
    HN_K_LIST(HN_K_ID)
#undef HN_K_ID
        HN_KN_COUNT
};
enum {
    HN_K_CHUNK = 1024,
    HN_K_TILE = 16,
    HN_K_LANES = 32,
    HN_K_NORM = 64,
    HN_K_SIDE = 64,
    HN_K_SUMS = 16,
    HN_K_FEW = 16,
    HN_K_ALONE = 1024, /* rows that a block keeps of the one channel it has */
    HN_K_LINE = 32,    /* strips.cu: channels of a block, */
    HN_K_STRIP = 256,  /* whose rows are a multiple of this, */
    HN_K_STRIPS = 16   /* and so many blocks at most for the same channels */
}; /* tiles of a product: 16 rows and columns; of a transposed copy: 64 x 64; sums beside a product in panels: 16 columns */

/* Tiles of `panel`: rows, columns; its shared memory, given to it by the launch: two blocks fit a processor. */
enum { HN_K_PANEL_BYTES = 80 * 1024 };
#define HN_K_PANELS_32(X) X(16, 16) X(32, 16) X(64, 16) X(64, 32) X(64, 48) X(64, 64)
#define HN_K_PANELS_64(X) X(16, 16) X(32, 16) X(32, 32)
enum hn_k_panel {
    HN_KP_16x16,
    HN_KP_32x16,
    HN_KP_32x32,
    HN_KP_64x16,
    HN_KP_64x32,
    HN_KP_64x48,
    HN_KP_64x64,
    HN_KP_COUNT
};

/* Tiles of `mma`: rows, columns, slots of 8 columns a warp, shares of the terms, chunks a warp has on their way. */
#define HN_K_MMAS_32(X)                                                                            \
    X(16, 16, 2, 8, 4)                                                                             \
    X(16, 32, 4, 8, 2) X(64, 16, 2, 2, 4) X(64, 32, 4, 2, 2) X(32, 48, 6, 4, 1) X(64, 48, 6, 2, 1)
#define HN_K_MMAS_64(X) X(16, 16, 2, 8, 2) X(16, 32, 4, 8, 1) X(64, 16, 2, 2, 2) X(64, 32, 4, 2, 1)
enum hn_k_mma {
    HN_KM_16x16,
    HN_KM_16x32,
    HN_KM_64x16,
    HN_KM_64x32,
    HN_KM_32x48,
    HN_KM_64x48,
    HN_KM_COUNT
};
enum { HN_K_MMA_PAD = 4 }; /* behind each row of partial sums in shared memory */

/* ---- inside kernels ------------------------------------------------------------------------------------------ */

#ifdef HN_BITS /* 32 or 64: only kernels define it */

#include <math.h>
#if HN_BITS == 32
typedef float real;
#define HN_FN(name) name##f
#define HN_K(name)  hn_k_##name##_f32
#else
typedef double real;
#define HN_FN(name) name
#define HN_K(name)  hn_k_##name##_f64
#endif

#ifdef __CUDACC__
#define hn_watch_exempt(p, n)     ((void)0)
#define HN_DEVICE                 static __device__ __forceinline__
#define HN_SHARED                 __shared__
#define HN_BLANK                  /* behind a shared struct's name: zeros where a compiler cannot see that a thread fills it */
#define HN_DYNAMIC(type, name, n) extern __shared__ __align__(16) type name[]
/* HN_KERNEL_OF: so many blocks at least are to fit a processor at once.
 * A kernel may be started while those before it still run (layer.c): HN_TURN waits until their results are there. A kernel begins
 * with it, or, as HN_KERNEL_SOON, says itself where: what stands in front of it is done beside the kernels before, and may read
 * nothing that a kernel writes during a run. Not even what an earlier one has written: launching the next one does not wait for
 * the wait in front of it, so that several may be set up at once (seen on an H200). */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define HN_TURN()                                                                                  \
    asm volatile("griddepcontrol.wait;" ::: "memory");                                             \
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory")
#else
#define HN_TURN() ((void)0)
#endif
#define HN_KERNEL(name, args)              HN_KERNEL_OF(name, args, 1)
#define HN_KERNEL_OF(name, args, blocks)   HN_KERNEL_AS(name, args, blocks, HN_TURN())
#define HN_KERNEL_SOON(name, args, blocks) HN_KERNEL_AS(name, args, blocks, (void)0)
#define HN_KERNEL_AS(name, args, blocks, first)                                                    \
    static __device__ __forceinline__ void body_##name(const struct args &a);                      \
    static __global__ void __launch_bounds__(HN_BLOCK, blocks)                                     \
        kernel_##name(const __grid_constant__ struct args a)                                       \
    {                                                                                              \
        first;                                                                                     \
        body_##name(a);                                                                            \
    }                                                                                              \
    extern "C" const void *HN_K(name)(void) { return (const void *)kernel_##name; }                \
    static __device__ __forceinline__ void body_##name(const struct args &a)
#define HN_EACH(t)                for (int t = (int)threadIdx.x, go_ = 1; go_; go_ = 0, __syncthreads())
#define HN_PRIVATE(type, name, n) type name[n]
#define HN_MINE(name, t)          ((void)(t), (name))
#define HN_X                      ((int64_t)blockIdx.x)
#define HN_Y                      ((int64_t)blockIdx.y)
#define HN_Z                      ((int64_t)blockIdx.z)
#define HN_NX                     ((int64_t)gridDim.x)
#define HN_UNROLL                 _Pragma("unroll")
#define HN_UNROLL2                _Pragma("unroll 2")
#define HN_UNROLL4                _Pragma("unroll 4")
#define HN_UNROLL8                _Pragma("unroll 8")
#define HN_ROLLED                 _Pragma("unroll 1")
/* What follows from a number is found again from here on, and does not take up registers until then. */
#define HN_ANEW(t) asm volatile("" : "+r"(t))
/* A pointer or an int64 is loaded by here, not where it is first used. */
#define HN_HERE(x) asm volatile("" ::"l"(x))
/* A number is worked out by here, and what is made of it is not before. */
#define HN_NOW(x) hn_now(x)
static __device__ __forceinline__ void hn_now(float &x) { asm volatile("" : "+f"(x)); }
static __device__ __forceinline__ void hn_now(double &x) { asm volatile("" : "+d"(x)); }
#define HN_ALIGNED __align__(16)
/* It points to device memory, not to a block's own: said where nvcc cannot see it. */
#define HN_GLOBAL(p) __builtin_assume(__isGlobal(p))
#else
struct hn_k_at { /* a block's place in the grid */
    int64_t x, y, z, nx;
};
#define HN_DEVICE static inline
#ifdef HN_WATCHED /* tests/gpu/watched: told of turns, phases and copies under way, and of every access by the compiler */
void hn_watch_turn(void);
int hn_watch_thread(int t);                     /* 0: that was the last one */
void hn_watch_exempt(const void *p, int bytes); /* from now on: no matter who sees what of it */
void hn_watch_send(void *to, const void *from, int bytes);
void hn_watch_sent(void);
void hn_watch_arrived(int still);
#define HN_TURN()                 hn_watch_turn()
#define HN_SHARED                 static __attribute__((section("hn_shared")))
#define HN_DYNAMIC(type, name, n) HN_SHARED type name[n]
#define HN_EACH(t)                for (int t = 0; hn_watch_thread(t); t++)
#else
#define hn_watch_exempt(p, n) ((void)0)
#define HN_TURN()             ((void)0)
#define HN_SHARED
#define HN_DYNAMIC(type, name, n) type name[n]
#define HN_EACH(t)                for (int t = 0; t < HN_BLOCK; t++)
#endif
#define HN_KERNEL(name, args)              HN_KERNEL_AS(name, args, HN_TURN())
#define HN_KERNEL_OF(name, args, blocks)   HN_KERNEL(name, args)
#define HN_KERNEL_SOON(name, args, blocks) HN_KERNEL_AS(name, args, (void)0)
#define HN_KERNEL_AS(name, args, before)                                                           \
    static void kernel_##name(const struct args a, const struct hn_k_at at_);                      \
    void HN_K(name)(const void *args_, const struct hn_k_at *at_);                                 \
    void HN_K(name)(const void *args_, const struct hn_k_at *at_)                                  \
    {                                                                                              \
        before;                                                                                    \
        kernel_##name(*(const struct args *)args_, *at_);                                          \
    }                                                                                              \
    static void kernel_##name(const struct args a, const struct hn_k_at at_)
#define HN_BLANK                  = { { 0 } }
#define HN_PRIVATE(type, name, n) type name[HN_BLOCK][n]
#define HN_MINE(name, t)          (name[t])
#define HN_X                      (at_.x)
#define HN_Y                      (at_.y)
#define HN_Z                      (at_.z)
#define HN_NX                     (at_.nx)
#define HN_UNROLL
#define HN_UNROLL2
#define HN_UNROLL4
#define HN_UNROLL8
#define HN_ROLLED
#define HN_ANEW(t) ((void)0)
#define HN_HERE(x) ((void)(x))
#define HN_NOW(x)  ((void)(x))
#define HN_ALIGNED
#define HN_GLOBAL(p) ((void)0)
#endif

/* Elements of the whole grid row, thread by thread: for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) */
#define HN_FIRST(t) (HN_X * HN_BLOCK + (t))
#define HN_STRIDE   (HN_NX * HN_BLOCK)

/* sh[t] becomes the sum of the n elements sh[t], sh[t + step], …; thread t alone reads and writes these. */
HN_DEVICE void hn_add_up(double *sh, int t, int step, int n)
{
    double v = sh[t];
    for (int i = 1; i < n; i++) v += sh[t + i * step];
    sh[t] = v;
}
/* How many threads of a team take the first of two rounds. */
HN_DEVICE int hn_first_round(int team) { return team > 64 ? 16 : team > 4 ? team / 4 : 1; }

/* Sums of teams of `team` neighbouring threads (a power of two), in two rounds: end in sh[first of the team]. */
#define HN_TREE(sh, team)                                                                          \
    for (int w_ = hn_first_round(team), n_ = (team) / w_; n_ > 0; n_ = w_ > 1 ? w_ : 0, w_ = 1)    \
    HN_EACH(t_) if ((t_ & ((team)-1)) < w_) hn_add_up(sh, t_, w_, n_)

/* Sums over the lanes of a block whose thread t is column t % wide (a power of two, 32 at most), lane t / wide, in two rounds:
 * end in sh[column]. */
#define HN_LANES(sh, wide)                                                                         \
    for (int w_ = 32, n_ = HN_BLOCK / 32; n_ > 0; n_ = w_ > (wide) ? w_ / (wide) : 0, w_ = (wide)) \
    HN_EACH(t_) if (t_ < w_) hn_add_up(sh, t_, w_, n_)

HN_DEVICE int hn_is_finite(double v) { return fabs(v) <= 1.7976931348623157e308; }
HN_DEVICE int64_t hn_n(struct hn_k_dim d, int64_t rows) { return d.per_row * rows + d.fixed; }
HN_DEVICE int hn_live(const struct hn_k_slot *s) /* both are loaded at once */
{
    return (s->rows > 0) & (s->stop == 0);
}
/* By one thread of the last kernel of a step. A kernel's threads agree on hn_live: only this writes `stop`, and then nothing of
 * the same kernel does anything else. */
HN_DEVICE void hn_move_on(struct hn_k_slot *s)
{
    if (s->failing) {
        hn_watch_exempt(&s->stop, sizeof s->stop);
        s->stop = 1;
    } else {
        s->ahead++;
    }
}

HN_DEVICE unsigned char *hn_bytes_at(const struct hn_k_env *e, struct hn_k_ref r, int64_t z)
{
    switch (r.space) {
    case HN_KS_ARENA: return e->arena + (uint64_t)z * e->stride + r.off;
    case HN_KS_W: return (unsigned char *)e->slots[z].w + r.off;
    case HN_KS_DW:
        return (e->grads ? e->grads + (uint64_t)z * e->grad_stride
                         : (unsigned char *)e->slots[z].dw) +
               r.off;
    case HN_KS_CONST: return (unsigned char *)(uintptr_t)e->consts + r.off;
    default: return 0;
    }
}
HN_DEVICE real *hn_at(const struct hn_k_env *e, struct hn_k_ref r, int64_t z)
{
    return (real *)hn_bytes_at(e, r, z);
}
HN_DEVICE double *hn_double_at(const struct hn_k_env *e, struct hn_k_ref r, int64_t z)
{
    return (double *)hn_bytes_at(e, r, z);
}

#include "gpu/wide.h"

/* Position in an operand of dims `in` that lines up with element i of the broadcast result of dims `y`. */
HN_DEVICE int64_t hn_broadcast(const struct hn_k_dims *y, const struct hn_k_dims *in, int64_t rows,
                               int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int k = y->rank - 1, j = in->rank - 1; j >= 0; k--, j--) {
        int64_t d = hn_n(y->d[k], rows), n = hn_n(in->d[j], rows);
        if (n != 1) at += i % d * stride;
        i /= d;
        stride *= n;
    }
    return at;
}
HN_DEVICE int64_t hn_count(const struct hn_k_dims *s, int64_t rows)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= hn_n(s->d[i], rows);
    return n;
}

/* A result's dims taken apart for one operand: `kept` positions of the operand, each lined up with `folded` of the result. */
struct hn_k_fold {
    int64_t kept, folded;
};
HN_DEVICE struct hn_k_fold hn_fold(const struct hn_k_dims *y, const struct hn_k_dims *in,
                                   int64_t rows)
{
    struct hn_k_fold f = { 1, 1 };
    for (int k = y->rank - 1, j = in->rank - 1; k >= 0; k--, j--) {
        int64_t d = hn_n(y->d[k], rows);
        if (j >= 0 && hn_n(in->d[j], rows) != 1)
            f.kept *= d;
        else
            f.folded *= d;
    }
    return f;
}
/* Element of the result: position q of the operand, position p among those folded into it. */
HN_DEVICE int64_t hn_unfold(const struct hn_k_dims *y, const struct hn_k_dims *in, int64_t rows,
                            int64_t q, int64_t p)
{
    int64_t at = 0, stride = 1;
    for (int k = y->rank - 1, j = in->rank - 1; k >= 0; k--, j--) {
        int64_t d = hn_n(y->d[k], rows);
        int64_t *from = j >= 0 && hn_n(in->d[j], rows) != 1 ? &q : &p;
        at += *from % d * stride;
        *from /= d;
        stride *= d;
    }
    return at;
}
#endif
#endif
