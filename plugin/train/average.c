/* SPDX-License-Identifier: MIT
 *
 * Averaged weights and their statistics: see average.h. A batch is run with running statistics of 0, which leaves
 * (1 - momentum) times the batch's own in them. */
#include "plugin/train/average.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

struct statistic {     /* a running mean or variance */
    size_t off, n;     /* in the state */
    double part, *sum; /* how much of a batch's reaches it; over all rows */
};

struct hn_averager {
    struct hn_cohort *c;
    struct hn_arena arena;
    unsigned char *average; /* slab AVERAGE on the host; of it, from `first` on: */
    unsigned char *state;   /* what the statistics are while a batch runs; and after it */
    unsigned char *after;
    size_t first, n_state; /* elements */
    struct statistic *statistics;
    int n;
    struct hn_plan *plan;
    void *exec;
};

/* ---- which statistics ------------------------------------------------------------------------------------------------ */

/* The running statistic behind an input of BatchNormalization; NULL: it has none there. */
static const struct hn_param *statistic_of(const struct hn_program *p, const struct hn_op *op,
                                           int input)
{
    int32_t v = op->in[input];
    while (v >= 0 && p->values[v].view_of >= 0) v = p->values[v].view_of;
    if (v < 0 || p->values[v].kind != HN_STATE) return NULL;
    return &p->params[p->values[v].index];
}

/* Two that share a statistic both move it: what is left of the 0 is momentum squared. */
static hone_status add(struct hn_averager *a, const struct hn_param *q, double momentum,
                       hone_error *err)
{
    struct statistic *s = a->statistics;
    const size_t off = q->off - a->first;
    while (s < a->statistics + a->n && s->off != off) s++;
    if (s == a->statistics + a->n) {
        *s = (struct statistic){ .off = off, .n = q->n };
        s->sum = hn_arena_alloc(&a->arena, q->n, sizeof *s->sum);
        if (!s->sum) return hn_nomem(err, "the averaged model's statistics", q->n);
        a->n++;
    }
    s->part = 1 - (1 - s->part) * momentum;
    return HONE_OK;
}

static hone_status find_statistics(struct hn_averager *a, hone_error *err)
{
    const struct hn_program *p = a->c->prog;
    size_t elem = a->c->backend->elem;
    a->first = p->n_slab;
    for (int i = 0; i < p->n_params; i++)
        if (p->params[i].flags & HN_PARAM_STATE && p->params[i].off < a->first)
            a->first = p->params[i].off;
    a->n_state = p->n_slab - a->first;
    a->statistics = hn_arena_alloc(&a->arena, 2 * (size_t)p->n_ops + 1, sizeof *a->statistics);
    a->state = hn_arena_alloc(&a->arena, a->n_state + 1, elem);
    a->after = hn_arena_alloc(&a->arena, a->n_state + 1, elem);
    a->average = hn_arena_alloc(&a->arena, p->n_slab + 1, elem);
    if (!a->statistics || !a->state || !a->after || !a->average)
        return hn_nomem(err, "the averaged model", p->n_slab * elem);
    for (int k = 0; k < p->n_ops; k++) {
        const struct hn_batchnorm *b = p->ops[k].attrs;
        if (p->ops[k].row != &hn_op_batchnorm || b->mode == 1 || b->momentum >= 1) continue;
        const struct hn_param *mean = statistic_of(p, &p->ops[k], 3),
                              *var = statistic_of(p, &p->ops[k], 4);
        if (!mean || !var) continue;
        HN_TRY(add(a, mean, b->momentum, err));
        HN_TRY(add(a, var, b->momentum, err));
    }
    return HONE_OK;
}

static struct hn_prepare preparation(const struct hn_averager *a)
{
    const struct hn_cohort *c = a->c;
    return (struct hn_prepare){ .mem = c->mem,
                                .backend = c->backend,
                                .dev = c->dev,
                                .prog = c->prog,
                                .pass = HN_PASS_STATS,
                                .max_rows = c->member[0].batch,
                                .slots = 1 };
}

hone_status hn_averager_create(struct hn_cohort *c, struct hn_averager **out, hone_error *err)
{
    *out = NULL;
    struct hn_averager *a = hn_calloc(c->mem, 1, sizeof *a);
    if (!a) return hn_nomem(err, "the averaged model", sizeof *a);
    a->c = c;
    hn_arena_init(&a->arena, c->mem);
    hone_status st = find_statistics(a, err);
    const struct hn_prepare p = preparation(a);
    if (st == HONE_OK && a->n) st = hn_prepare(c->kept, &p, &a->plan, &a->exec, err);
    if (st != HONE_OK) {
        hn_averager_destroy(a);
        return st;
    }
    *out = a;
    return HONE_OK;
}

void hn_averager_destroy(struct hn_averager *a)
{
    if (!a) return;
    const struct hn_prepare p = preparation(a);
    hn_unprepare(a->c->kept, &p, a->plan, a->exec);
    hn_arena_clear(&a->arena);
    hn_free(a->c->mem, a);
}

/* ---- an epoch's end -------------------------------------------------------------------------------------------------- */

static void join(void *average, const void *w, size_t elem, size_t n, int64_t before)
{
    if (elem == 4) {
        float *to = average;
        const float *from = w, count = (float)(before + 1);
        for (size_t i = 0; i < n; i++) to[i] += (from[i] - to[i]) / count;
    } else {
        double *to = average;
        const double *from = w, count = (double)(before + 1);
        for (size_t i = 0; i < n; i++) to[i] += (from[i] - to[i]) / count;
    }
}

/* One batch from statistics of 0. */
static hone_status measure_batch(struct hn_averager *a, struct hn_replica *r, int64_t at,
                                 hone_error *err)
{
    const struct hn_backend *b = a->c->backend;
    const struct hn_member *m = &a->c->member[0];
    const size_t off = a->first * b->elem, bytes = a->n_state * b->elem;
    const int64_t left = m->n_rows - at;
    struct hn_slot slot = {
        .r = r, .data = m->data, .index = m->rows + at, .rows = left < m->batch ? left : m->batch
    };
    HN_TRY(b->put(a->c->dev, r->slab[HN_SLAB_W], off, a->state, bytes, err));
    HN_TRY(b->run(a->exec, &slot, 1, 1, err));
    HN_TRY(b->get(a->c->dev, r->slab[HN_SLAB_W], off, a->after, bytes, err));
    for (int k = 0; k < a->n; k++)
        for (size_t i = 0; i < a->statistics[k].n; i++)
            a->statistics[k].sum[i] +=
                (double)slot.rows * hn_elem_get(a->after, b->elem, a->statistics[k].off + i);
    return HONE_OK;
}

/* The statistics of the averaged weights, which lie in a->average and in the replica's slab W. */
static hone_status measure(struct hn_averager *a, struct hn_replica *r, hone_error *err)
{
    const struct hn_member *m = &a->c->member[0];
    const size_t elem = a->c->backend->elem;
    memcpy(a->state, a->average + a->first * elem, a->n_state * elem);
    for (int k = 0; k < a->n; k++) {
        const struct statistic *s = &a->statistics[k];
        memset(s->sum, 0, s->n * sizeof *s->sum);
        memset(a->state + s->off * elem, 0, s->n * elem);
    }
    for (int64_t at = 0; at < m->n_rows; at += m->batch) HN_TRY(measure_batch(a, r, at, err));
    for (int k = 0; k < a->n; k++) {
        const struct statistic *s = &a->statistics[k];
        for (size_t i = 0; i < s->n; i++)
            hn_elem_set(a->state, elem, s->off + i, s->sum[i] / ((double)m->n_rows * s->part));
    }
    return a->c->backend->put(a->c->dev, r->slab[HN_SLAB_W], a->first * elem, a->state,
                              a->n_state * elem, err);
}

hone_status hn_averager_take(struct hn_averager *a, int64_t n, void *host, hone_error *err)
{
    struct hn_replica r = a->c->member[0].r;
    const size_t elem = a->c->backend->elem, elements = a->c->prog->n_slab;
    HN_TRY(hn_member_get(a->c, 0, HN_SLAB_W, host, err));
    if (n > 0) {
        HN_TRY(hn_member_get(a->c, 0, HN_SLAB_AVERAGE, a->average, err));
        join(a->average, host, elem, elements, n);
    } else {
        memcpy(a->average, host, elements * elem);
    }
    HN_TRY(hn_member_put(a->c, 0, HN_SLAB_AVERAGE, a->average, err));
    r.slab[HN_SLAB_W] = r.slab[HN_SLAB_AVERAGE];
    return a->n ? measure(a, &r, err) : HONE_OK;
}
