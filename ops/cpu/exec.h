/* SPDX-License-Identifier: MIT
 *
 * How the CPU backend runs a plan. prepare() turns the plan's steps into pieces and the pieces into segments:
 *
 *   piece    one kernel of one op and direction (part, join, main, late, see isa.h), or the gather of a column, or the
 *            copy of an output to the host
 *   segment  pieces that run tile by tile over the rows, then pieces that need the whole batch ("after")
 *
 * A tile is a fixed number of rows, a function of the program's shapes alone; all pieces of a segment run on one tile
 * before the next, so that values stay in cache. Results depend on tiles, never on threads: tiles of one slot may run on
 * several threads, or a whole slot on one. A value that only one segment touches, tile by tile, needs one tile of memory
 * per thread; others lie in the slot's arena ("full"). The plan's own offsets are not used, as they are valid only for
 * one op after the other over the whole batch. */
#ifndef HN_CPU_EXEC_H
#define HN_CPU_EXEC_H

#include "ops/base/pool.h"
#include "ops/cpu/isa.h"

enum hn_cpu_space { HN_CPU_NONE, HN_CPU_FULL, HN_CPU_TILE, HN_CPU_W, HN_CPU_DW, HN_CPU_CONST };
struct hn_cpu_place {
    uint8_t space;
    int32_t buf; /* FULL, TILE: its buffer; the offset is there */
    int32_t
        column; /* 1 + number of the data set's column (inputs, then targets) it may be read from directly; 0: none */
    size_t off; /* bytes */
    size_t per8; /* bytes per 8 rows; 0: does not vary */
};

enum hn_cpu_kind {
    HN_CPU_GATHER,
    HN_CPU_EMIT,
    HN_CPU_PART,
    HN_CPU_JOIN,
    HN_CPU_MAIN,
    HN_CPU_LATE,
    HN_CPU_COMMIT
};
struct hn_cpu_piece {
    enum hn_cpu_kind kind;
    hn_cpu_fn *fn; /* NULL for gather and emit */
    const struct hn_op *op;
    const struct hn_shape *xs, *ys;
    struct hn_cpu_place *x, *y, *dx,
        *dy; /* n_in, n_out, n_in, n_out; gather and emit: x[0] alone */
    struct hn_cpu_place save[2];
    uint32_t acc, slab_dx; /* bits of call.acc; inputs whose gradient lies in slab DW */
    uint8_t backward, after, blas, inplace, has_part, indexed_x, new_stage,
        one_part;        /* one_part: the sums of a join came in one piece */
    uint8_t joined;      /* saved buffers that a join writes */
    int32_t seg, group;  /* pieces of a group run together on sub-tiles */
    int32_t column;      /* gather: as in hn_cpu_place; emit: the output */
    int n_tasks, loss;   /* loss: number of the loss op, or -1 */
    int n_columns;       /* a tiled main may be split into so many tasks by columns */
    size_t part, n_part; /* doubles: offset in the lane's parts, per tile */
    double cost;         /* float operations per row */
};

struct hn_cpu_segment {
    int tiled, n_tiled, after, n_after; /* ranges of exec.order */
    double cost;                        /* of the tiled pieces, per row */
};

struct hn_cpu_buf {      /* a value, a gradient or a saved buffer */
    size_t per8, fixed;  /* bytes */
    int64_t first, last; /* keys of its first and last use: time, then order of the pieces */
    int32_t seg;         /* the segment that uses it; -1 none yet; -2 several */
    int32_t after_in;    /* the segment whose after-pieces wrote it last, -1 */
    int32_t alias;       /* lies in that buffer, -1: its own */
    int32_t group_first, group_last;
    uint8_t full;
    size_t off;
};

struct hn_cpu_run { /* elements of one trained parameter, for one task of the optimizer */
    const struct hn_param *param;
    size_t off, n;
};

struct hn_cpu_dev {
    struct hn_mem *mem;
    struct hn_pool *pool;
    int threads;
    atomic_uint n_blocks; /* made so far */
    char *scratch;        /* of the kernels, scratch_bytes a thread */
    size_t scratch_bytes;
    const struct hn_cpu_isa *isa;
};

struct hn_cpu_worker { /* one thread's memory */
    char *tile;
    void **pointers; /* for calls */
    struct hn_extent *extents;
};

struct hn_cpu_lane { /* one slot on its way */
    struct hn_cpu_exec *exec;
    struct hn_slot *slot;
    const struct hn_dataset *data;
    struct hn_pool *pool; /* NULL: this thread alone */
    char *full;
    double *parts;
    const char **direct; /* per column: the batch's rows in the data set itself, or NULL ... */
    uint8_t *indexed;    /* ... 1: direct is the whole column, rows come through the slot's index */
    double *loss;        /* of this step: 2 per loss */
    double *squares;     /* per optimizer run: sum of squared gradients */
    int64_t rows, step;
    int micro, worker;
    double scale, clip, bias1, bias2; /* for the optimizer */
};

struct hn_cpu_exec {
    struct hn_cpu_dev *dev;
    const struct hn_plan *plan;
    struct hn_arena arena; /* tables */
    int max_slots, n_lanes;
    int64_t tile, n_tiles; /* rows; tiles of max_rows */
    struct hn_cpu_piece *pieces;
    int32_t *order; /* pieces by segment, tiled before after */
    struct hn_cpu_segment *segs;
    struct hn_cpu_buf *bufs;
    int32_t *commits; /* pieces that run when a step turned out good */
    int n_pieces, n_segs, n_bufs, n_commits, n_columns;
    size_t full_bytes, tile_bytes, scratch_bytes, n_parts, n_pointers, n_extents;
    float *consts;
    uint8_t *column_used,
        *column_indexed; /* read by a piece; all its readers take rows through an index */
    struct hn_cpu_run *runs;
    int n_runs;
    struct hn_cpu_worker *workers; /* dev->threads */
    struct hn_cpu_lane *lanes;
};

static inline int hn_cpu_trains(enum hn_pass pass)
{
    return pass == HN_PASS_TRAIN || pass == HN_PASS_GRAD;
}

/* block.c: cleared memory for slabs and arenas; NULL allowed for unblock. */
void *hn_cpu_block(struct hn_cpu_dev *d, size_t bytes);
void hn_cpu_unblock(struct hn_cpu_dev *d, void *p);

/* prepare.c: pieces and segments; layout.c: where buffers lie; run.c: running. */
hone_status hn_cpu_prepare(struct hn_cpu_exec *e, hone_error *err);
hone_status hn_cpu_layout(struct hn_cpu_exec *e, hone_error *err);
hone_status hn_cpu_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                       hone_error *err); /* exec: a struct hn_cpu_exec */
#endif
