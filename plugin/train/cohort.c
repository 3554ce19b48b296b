/* SPDX-License-Identifier: MIT
 *
 * Cohorts: see cohort.h. A call of the backend takes the same number of steps for every slot, so it takes as many full
 * batches as the member with the fewest has left, or one step when somebody is at the short last batch. */
#include "plugin/train/cohort.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

size_t hn_slab_elements(const struct hn_program *prog, enum hn_slab slab)
{
    int part = slab == HN_SLAB_DW || slab == HN_SLAB_M || slab == HN_SLAB_V;
    return part ? prog->n_trained : prog->n_slab;
}

static hone_status check_offers(const struct hn_cohort_opts *o, hone_error *err)
{
    for (int32_t i = 0; i < o->prog->n_ops; i++) {
        const struct hn_op *op = &o->prog->ops[i];
        const char *why = "it is not there";
        if (!o->backend->offers(o->dev, op, HN_PASS_TRAIN, &why))
            return hn_fail(err, HONE_E_UNSUPPORTED, op->name,
                           "the %s backend cannot train operation %s: %s", o->backend->name,
                           op->row->name, why);
    }
    return HONE_OK;
}

static struct hn_prepare preparation(const struct hn_cohort *c)
{
    return (struct hn_prepare){ .mem = c->mem,
                                .backend = c->backend,
                                .dev = c->dev,
                                .prog = c->prog,
                                .pass = HN_PASS_TRAIN,
                                .max_rows = c->max_rows,
                                .slots = c->n };
}

static hone_status build(struct hn_cohort *c, const struct hn_cohort_opts *o, hone_error *err)
{
    c->member = hn_calloc(o->mem, (size_t)o->slots, sizeof *c->member);
    c->slot = hn_calloc(o->mem, (size_t)o->slots, sizeof *c->slot);
    c->lr = hn_calloc(o->mem, (size_t)o->slots * HN_CHUNK_STEPS, sizeof *c->lr);
    if (!c->member || !c->slot || !c->lr)
        return hn_nomem(err, "the replicas", (size_t)o->slots * HN_CHUNK_STEPS * sizeof *c->lr);
    HN_TRY(check_offers(o, err));
    const struct hn_prepare p = preparation(c);
    return hn_prepare(c->kept, &p, &c->plan, &c->exec, err);
}

hone_status hn_cohort_create(const struct hn_cohort_opts *o, struct hn_cohort **out,
                             hone_error *err)
{
    *out = NULL;
    struct hn_cohort *c = hn_calloc(o->mem, 1, sizeof *c);
    if (!c) return hn_nomem(err, "the replicas", sizeof *c);
    c->mem = o->mem;
    c->backend = o->backend;
    c->dev = o->dev;
    c->prog = o->prog;
    c->n = o->slots;
    c->max_rows = o->max_rows;
    c->kept = o->kept;
    hone_status st = build(c, o, err);
    if (st != HONE_OK) {
        hn_cohort_destroy(c);
        return st;
    }
    *out = c;
    return HONE_OK;
}

void hn_cohort_destroy(struct hn_cohort *c)
{
    if (!c) return;
    for (int i = 0; c->member && i < c->n; i++) hn_cohort_drop(c, i);
    const struct hn_prepare p = preparation(c);
    hn_unprepare(c->kept, &p, c->plan, c->exec);
    hn_free(c->mem, c->member);
    hn_free(c->mem, c->slot);
    hn_free(c->mem, c->lr);
    hn_free(c->mem, c);
}

static hone_status alloc_slabs(struct hn_cohort *c, struct hn_member *m,
                               const struct hn_member_opts *o, hone_error *err)
{
    uint32_t state = hn_optim_slabs(o->hyper.optimizer, o->hyper.momentum);
    int want[HN_SLABS] = { [HN_SLAB_W] = 1,
                           [HN_SLAB_DW] = 1,
                           [HN_SLAB_M] = (state & 1) != 0,
                           [HN_SLAB_V] = (state & 2) != 0,
                           [HN_SLAB_BEST] = o->keep_best,
                           [HN_SLAB_GOOD] = o->keep_good,
                           [HN_SLAB_AVERAGE] = o->keep_average || o->hyper.ema > 0 };
    for (int i = 0; i < HN_SLABS; i++) {
        size_t bytes = hn_slab_elements(c->prog, (enum hn_slab)i) * c->backend->elem;
        if (want[i]) HN_TRY(c->backend->alloc(c->dev, bytes, &m->r.slab[i], err));
    }
    return HONE_OK;
}

static hone_status alloc_rows(struct hn_cohort *c, struct hn_member *m,
                              const struct hn_member_opts *o, hone_error *err)
{
    size_t n = (size_t)o->n_rows, losses = (size_t)c->prog->n_losses;
    m->rows = hn_calloc(c->mem, n, sizeof *m->rows);
    m->order = hn_calloc(c->mem, n, sizeof *m->order);
    m->partial = hn_calloc(c->mem, 2 * losses, sizeof *m->partial);
    if (!m->rows || !m->order || !m->partial)
        return hn_nomem(err, "the row lists", 2 * n * sizeof *m->rows);
    for (size_t i = 0; i < n; i++) m->rows[i] = o->rows ? o->rows[i] : (uint32_t)i;
    return HONE_OK;
}

hone_status hn_cohort_add(struct hn_cohort *c, int slot, const struct hn_member_opts *o,
                          hone_error *err)
{
    struct hn_member *m = &c->member[slot];
    *m = (struct hn_member){ .hyper = o->hyper,
                             .data = o->data,
                             .n_rows = o->n_rows,
                             .batch = o->batch < o->n_rows ? o->batch : o->n_rows,
                             .shuffle = o->shuffle,
                             .state = HN_MEMBER_READY };
    m->r.key[0] = o->key[0];
    m->r.key[1] = o->key[1];
    m->r.hyper = &m->hyper;
    hone_status st = alloc_rows(c, m, o, err);
    if (st == HONE_OK) st = alloc_slabs(c, m, o, err);
    if (st != HONE_OK) {
        hn_cohort_drop(c, slot);
        return st;
    }
    struct hn_schedule_opts so = o->schedule;
    int64_t batches = (m->n_rows + m->batch - 1) / m->batch;
    so.steps_per_epoch = (batches + m->hyper.accumulate - 1) / m->hyper.accumulate;
    hn_schedule_init(&m->schedule, &so);
    m->last_lr = hn_schedule_lr(&m->schedule, 0, 0);
    return HONE_OK;
}

void hn_cohort_drop(struct hn_cohort *c, int slot)
{
    struct hn_member *m = &c->member[slot];
    for (int i = 0; i < HN_SLABS; i++)
        if (m->r.slab[i]) c->backend->release(c->dev, m->r.slab[i]);
    hn_free(c->mem, m->rows);
    hn_free(c->mem, m->order);
    hn_free(c->mem, m->partial);
    *m = (struct hn_member){ .state = HN_MEMBER_NONE };
}

hone_status hn_member_put(struct hn_cohort *c, int slot, enum hn_slab slab, const void *src,
                          hone_error *err)
{
    size_t bytes = hn_slab_elements(c->prog, slab) * c->backend->elem;
    return c->backend->put(c->dev, c->member[slot].r.slab[slab], 0, src, bytes, err);
}

hone_status hn_member_get(const struct hn_cohort *c, int slot, enum hn_slab slab, void *dst,
                          hone_error *err)
{
    size_t bytes = hn_slab_elements(c->prog, slab) * c->backend->elem;
    return c->backend->get(c->dev, c->member[slot].r.slab[slab], 0, dst, bytes, err);
}

hone_status hn_member_copy(struct hn_cohort *c, int slot, enum hn_slab to, enum hn_slab from,
                           hone_error *err)
{
    void *const *slab = c->member[slot].r.slab;
    size_t bytes = hn_slab_elements(c->prog, from) * c->backend->elem;
    return c->backend->copy(c->dev, slab[to], slab[from], bytes, err);
}

void hn_cohort_reorder(struct hn_cohort *c, int slot)
{
    struct hn_member *m = &c->member[slot];
    memcpy(m->order, m->rows, (size_t)m->n_rows * sizeof *m->rows);
    if (m->shuffle)
        hn_rng_shuffle(m->r.key, HN_STREAM_SHUFFLE, (uint32_t)m->r.now.epoch, m->order,
                       (size_t)m->n_rows);
}

void hn_cohort_begin_epoch(struct hn_cohort *c, int slot)
{
    struct hn_member *m = &c->member[slot];
    m->r.now.epoch++;
    m->r.now.row = 0;
    memset(m->partial, 0, 2 * (size_t)c->prog->n_losses * sizeof *m->partial);
    hn_cohort_reorder(c, slot);
    m->state = HN_MEMBER_RUNNING;
}

/* Steps that every running member can take with a batch of constant size. */
static int common_steps(const struct hn_cohort *c, int max_steps)
{
    int64_t steps = max_steps < HN_CHUNK_STEPS ? max_steps : HN_CHUNK_STEPS;
    for (int i = 0; i < c->n; i++) {
        const struct hn_member *m = &c->member[i];
        if (m->state != HN_MEMBER_RUNNING) continue;
        int64_t full = (m->n_rows - m->r.now.row) / m->batch;
        if (full < steps) steps = full > 1 ? full : 1;
    }
    return (int)steps;
}

static void fill_slot(struct hn_cohort *c, int i, int steps)
{
    struct hn_member *m = &c->member[i];
    struct hn_slot *s = &c->slot[i];
    *s = (struct hn_slot){ .bad_step = -1 };
    if (m->state != HN_MEMBER_RUNNING) return;
    struct hn_clock *now = &m->r.now;
    int64_t left = m->n_rows - now->row;
    s->r = &m->r;
    s->data = m->data;
    s->index = m->order + now->row;
    s->rows = left < m->batch ? left : m->batch;
    s->partial = m->partial;
    s->flush = s->rows * steps == left;
    double *lr = c->lr + (size_t)i * HN_CHUNK_STEPS;
    for (int k = 0; k < steps; k++) {
        int64_t step = now->step + (now->micro + k) / m->hyper.accumulate;
        lr[k] = hn_schedule_lr(&m->schedule, now->epoch - 1, step);
    }
    s->lr = lr;
}

/* What the call did to a member; returns the rows it trained. */
static int64_t take_slot(struct hn_member *m, const struct hn_slot *s, int steps)
{
    if (s->rows == 0) return 0;
    int64_t done = s->bad_step >= 0 ? s->bad_step : steps;
    m->r.now.row += done * s->rows;
    if (done > 0) m->last_lr = s->lr[done - 1];
    if (s->bad_step >= 0) {
        m->bad_row = m->r.now.row;
        m->state = HN_MEMBER_DIVERGED;
    } else if (m->r.now.row >= m->n_rows) {
        m->state = HN_MEMBER_EPOCH_END;
    }
    return done * s->rows;
}

hone_status hn_cohort_advance(struct hn_cohort *c, int max_steps, int64_t *rows, hone_error *err)
{
    int steps = common_steps(c, max_steps);
    *rows = 0;
    for (int i = 0; i < c->n; i++) fill_slot(c, i, steps);
    HN_TRY(c->backend->run(c->exec, c->slot, c->n, steps, err));
    for (int i = 0; i < c->n; i++) *rows += take_slot(&c->member[i], &c->slot[i], steps);
    return HONE_OK;
}

double hn_member_loss(const struct hn_cohort *c, int slot)
{
    double loss = 0;
    int k = 0;
    for (int32_t i = 0; i < c->prog->n_ops; i++) {
        const struct hn_op *op = &c->prog->ops[i];
        if (!(op->row->flags & HN_OP_LOSS)) continue;
        const double *sum = &c->member[slot].partial[2 * k++];
        if (sum[1] == 0 && c->member[slot].r.now.row) continue; /* all rows so far had weight 0 */
        loss += ((const struct hn_loss *)op->attrs)->weight * sum[0] / sum[1];
    }
    return loss;
}
