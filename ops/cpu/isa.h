/* SPDX-License-Identifier: MIT
 *
 * What is compiled once per instruction set, and the table through which the rest of the backend calls it.
 *
 * Every kernel file is compiled several times with another HN_ISA; its one external symbol carries the name of the
 * instruction set. Kernels work on row tiles: a call describes rows [row0, row0 + rows) of a batch of `total` rows, with
 * pointers that already point at the tile. An op that is not row-local is called with one tile, the whole batch. */
#ifndef HN_CPU_ISA_H
#define HN_CPU_ISA_H

#include "ops/math/op.h"

#ifndef HN_ISA
#define HN_ISA base
#endif
#define HN_ISA_PASTE2(a, b) a##_##b
#define HN_ISA_PASTE(a, b)  HN_ISA_PASTE2(a, b)
#define HN_ISA_NAME(name)   HN_ISA_PASTE(name, HN_ISA)

struct hn_cpu_call {
    struct hn_call
        c; /* of the tile: extents, pointers, c.rows; c.x[i] of an unbatched input is the whole of it */
    int64_t row0, total; /* first row of the tile (a multiple of 8); rows of the batch */
    double *
        part; /* main, part: this tile's sums, cleared before, added to. join: n_parts of them in a row */
    int n_parts;
    void *scratch; /* need.scratch bytes, this thread's */
    const uint32_t
        *index; /* row r of x[0] is row index[r] of its memory (need.indexed_x); NULL: r */
    int task,
        n_tasks; /* late, and main where it is split by columns: the piece of the work to do */
};
typedef void hn_cpu_fn(const struct hn_cpu_call *k);

/* One direction of an op, in the order of running. A tile function may use the results of a join of an earlier one.
 *   part    per tile: sums that need the whole batch
 *   join    once: adds up the tiles' sums in order, into save buffers, gradients or the loss
 *   main    per tile: the op itself; gradients of the inputs that are not in need.late
 *   late    once, after the tiles, in n_tasks independent tasks: gradients of the inputs in need.late
 *   commit  once, when the step turned out good: state (BatchNorm's running statistics)
 * A direction with part runs part, join, main; one without runs main, then join. */
struct hn_cpu_half {
    hn_cpu_fn *part, *join, *main, *late, *commit;
};

struct hn_cpu_need {    /* filled in by the op for one use of it; zeroed before */
    uint8_t local;      /* main and part may run on row tiles */
    uint8_t inplace;    /* bit 0: y[0] may lie where x[0] lies; bit 1: dx[0] where dy[0] lies */
    uint8_t blas;       /* main is a large matrix product: it wants whole tiles, not sub-tiles */
    uint8_t indexed_x;  /* x[0] may be read through an index wherever this op reads it */
    uint8_t stats;      /* forward.part, join and commit are used (BatchNorm on batch statistics) */
    uint8_t join_after; /* forward.join is used after main (losses) */
    uint8_t joined
        [2]; /* saved buffers (bits) that join writes in forward, backward; main writes the others */
    uint32_t main_x, main_y,
        late_x;    /* backward: values of inputs and outputs that main (and part) or late read */
    uint32_t late; /* inputs whose gradients late computes */
    int n_tasks;   /* of late; 0 means 1 */
    int n_columns
        [2]; /* main, forward and backward: may be split into so many tasks by columns of its result, with the
                         same bits; 0 and 1: not */
    size_t part[2];       /* doubles per tile in forward, backward */
    size_t save_per8[2];  /* save[0], save[1]: bytes per 8 rows of the batch ... */
    size_t save_fixed[2]; /* ... and bytes beyond */
    size_t scratch;       /* bytes */
    double cost; /* about how many float operations per row, for deciding what is worth a thread */
};

struct hn_cpu_use { /* one op in one plan */
    const struct hn_op *op;
    const struct hn_shape *xs, *ys;
    enum hn_pass pass;
    int64_t max_rows;
};

struct hn_cpu_op {
    const struct hn_op_row *row;
    void (*need)(const struct hn_cpu_use *u, struct hn_cpu_need *n);
    struct hn_cpu_half forward, backward;
};

struct
    hn_cpu_optim { /* one optimizer step on elements [0, n) of the slabs, pointers already there */
    const struct hn_hyper *hyper;
    float *w, *m, *v;
    const float *dw;
    size_t n;
    double lr, decay,
        scale; /* with the parameter's multipliers; scale: of the raw gradients (average and clipping) */
    double l1_scale;     /* clipping's share of scale: applies to the L1 term too */
    double bias1, bias2; /* Adam: 1 - beta^t of optimizer step t, from 1 */
};

struct hn_cpu_gather { /* rows of a column into floats */
    const struct hn_column *col;
    const uint32_t *index; /* n row numbers, or NULL: first, first + 1, ... */
    int64_t first, n;
    float *dst;
};

/* The external names of the kernel files, one set per instruction set. */
void HN_ISA_NAME(hn_cpu_gather)(const struct hn_cpu_gather *g);
void HN_ISA_NAME(hn_cpu_optim)(const struct hn_cpu_optim *o);
double HN_ISA_NAME(hn_cpu_square_sum)(const struct hn_cpu_optim *o);
void HN_ISA_NAME(hn_cpu_follow)(float *average, const float *w, size_t n, double share);
#define HN_CPU_OP_DECLARE(name) extern const struct hn_cpu_op HN_ISA_NAME(hn_cpu_##name);
HN_OP_LIST(HN_CPU_OP_DECLARE)
#undef HN_CPU_OP_DECLARE

struct hn_cpu_isa {
    const char *name;
    const struct hn_cpu_op *const *ops; /* by position in hn_op_rows */
    void (*optim)(const struct hn_cpu_optim *o);
    double (*square_sum)(
        const struct hn_cpu_optim *o); /* of the averaged gradients with L1, before clipping */
    void (*follow)(float *average, const float *w, size_t n, double share); /* hn_ema_share */
    void (*gather)(const struct hn_cpu_gather *g);
};
extern const struct hn_cpu_isa hn_cpu_isa_base, hn_cpu_isa_avx2, hn_cpu_isa_avx512;

/* Shapes: whether dim 0 alone varies with the rows; elements per row; whether nothing varies. */
static inline int hn_cpu_batched(const struct hn_shape *s)
{
    if (s->rank < 1 || s->d[0].per_row <= 0 || s->d[0].fixed != 0) return 0;
    for (int i = 1; i < s->rank; i++)
        if (s->d[i].per_row) return 0;
    return 1;
}
static inline int hn_cpu_fixed(const struct hn_shape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (s->d[i].per_row) return 0;
    return 1;
}
static inline size_t
hn_cpu_width(const struct hn_shape *s) /* elements per row of a batched shape, all of a fixed one */
{
    struct hn_dim n = hn_shape_count(s);
    return (size_t)(n.per_row ? n.per_row : n.fixed);
}
#endif
