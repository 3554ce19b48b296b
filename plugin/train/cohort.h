/* SPDX-License-Identifier: MIT
 *
 * Replicas of one program that train together. A member is a replica with everything that moves while it trains: slabs,
 * clock, schedule, row list and the order of rows of the current epoch, sums of the epoch. A cohort gives the backend
 * batches of its live members, several steps a call; K = 1 is ordinary training. A member's result depends on neither its
 * company nor on how many steps a call takes.
 *
 *     hn_cohort_create → hn_cohort_add … → { hn_cohort_begin_epoch, hn_cohort_advance until EPOCH_END } … → destroy
 *
 * Whoever drives a cohort evaluates members at EPOCH_END, decides, and begins their next epoch or drops them. After the
 * first advance nothing here allocates. */
#ifndef HN_COHORT_H
#define HN_COHORT_H

#include "ops/math/op.h"
#include "plugin/prepared.h"
#include "plugin/train/schedule.h"

enum { HN_CHUNK_STEPS = 1024 }; /* steps of one call at most */

enum hn_member_state {
    HN_MEMBER_NONE,      /* an empty slot */
    HN_MEMBER_READY,     /* between epochs */
    HN_MEMBER_RUNNING,   /* inside an epoch */
    HN_MEMBER_EPOCH_END, /* all rows of the epoch are done */
    HN_MEMBER_DIVERGED   /* a loss was not finite: member.bad_row tells where */
};

struct hn_member_opts {
    struct hn_hyper hyper;
    struct hn_schedule_opts schedule; /* steps_per_epoch is filled in by add */
    uint32_t key[2];
    const void *data;     /* bound data set */
    const uint32_t *rows; /* its rows, copied; NULL: 0 … n_rows - 1 */
    int64_t n_rows, batch;
    int shuffle;
    int keep_best, keep_good,
        keep_average; /* slabs BEST, GOOD, AVERAGE are wanted; the last one always
                                              for hyper.ema */
};

struct hn_member {
    struct hn_replica r; /* r.now.epoch: the epoch it is in, from 1; 0 before the first */
    struct hn_hyper hyper;
    struct hn_schedule schedule;
    const void *data;
    int64_t n_rows, batch;
    int shuffle;
    enum hn_member_state state;
    uint32_t *rows, *order; /* order: this epoch's; a function of (key, epoch, rows) */
    double *partial;        /* 2 per loss: sum and weight of this epoch */
    double last_lr;         /* of the last batch */
    int64_t bad_row;        /* position in order of the batch whose loss was not finite */
};

struct hn_cohort {
    struct hn_mem *mem;
    const struct hn_backend *backend;
    void *dev, *exec;
    const struct hn_program *prog;
    struct hn_prepared_list *kept;
    int64_t max_rows;
    struct hn_plan *plan;
    struct hn_member *member;
    struct hn_slot *slot;
    double *lr; /* HN_CHUNK_STEPS per slot */
    int n;
};

/* Plans and prepares training steps of up to max_rows rows for n slots. HONE_E_UNSUPPORTED names the first op that the
 * backend does not have. */
struct hn_cohort_opts {
    struct hn_mem *mem;
    const struct hn_backend *backend;
    void *dev;
    const struct hn_program *prog; /* with losses */
    int64_t max_rows;
    int slots;
    struct hn_prepared_list *kept; /* NULL: it plans for itself, as always with several slots */
};
hone_status hn_cohort_create(const struct hn_cohort_opts *o, struct hn_cohort **out,
                             hone_error *err);
void hn_cohort_destroy(struct hn_cohort *c); /* NULL allowed */

/* A member in an empty slot, slabs cleared, state READY. Its weights are put by the caller: hn_member_put. */
hone_status hn_cohort_add(struct hn_cohort *c, int slot, const struct hn_member_opts *o,
                          hone_error *err);
void hn_cohort_drop(struct hn_cohort *c, int slot);
/* Host elements (backend's size) from and to a slab: HN_SLAB_W, BEST, GOOD and AVERAGE have prog->n_slab, the others n_trained. */
hone_status hn_member_put(struct hn_cohort *c, int slot, enum hn_slab slab, const void *src,
                          hone_error *err);
hone_status hn_member_get(const struct hn_cohort *c, int slot, enum hn_slab slab, void *dst,
                          hone_error *err);
hone_status hn_member_copy(struct hn_cohort *c, int slot, enum hn_slab to, enum hn_slab from,
                           hone_error *err);
size_t hn_slab_elements(const struct hn_program *prog, enum hn_slab slab);

/* READY → RUNNING: the next epoch, rows in its order, sums at zero. */
void hn_cohort_begin_epoch(struct hn_cohort *c, int slot);
/* The order of epoch r.now.epoch again, after a checkpoint was loaded into the member. */
void hn_cohort_reorder(struct hn_cohort *c, int slot);
/* Up to max_steps batches of every RUNNING member; *rows: how many rows were trained, all members together. */
hone_status hn_cohort_advance(struct hn_cohort *c, int max_steps, int64_t *rows, hone_error *err);
/* The mean training loss of the epoch so far (losses weighted as the program says); NaN before the first batch. */
double hn_member_loss(const struct hn_cohort *c, int slot);
#endif
