/* SPDX-License-Identifier: MIT
 *
 * A program on a backend, ready to run: device, plan, prepared plan, one replica with its slabs, and a data set that
 * fits the program. Both backends start from the same numbers (rounded to float). */
#ifndef HN_TEST_RIG_H
#define HN_TEST_RIG_H

#include "ops/cpu/backend.h"
#include "tests/math/build.h"
#include <math.h>

enum { RIG_ROWS = 700 };

struct rig_data { /* columns of every type, the same numbers for all backends */
    struct hn_dataset set;
    struct hn_column inputs[TB_LIST], targets[TB_LIST];
    void *memory[2 * TB_LIST];
};

struct rig {
    const struct hn_backend *b;
    const struct hn_program *p;
    struct hn_mem *mem;
    void *dev, *data, *exec;
    struct hn_plan *plan;
    enum hn_pass pass;
};

struct rig_replica {
    struct hn_replica r;
    struct hn_hyper hyper;
    double partial[2 * TB_LIST];
};

static const struct hn_hyper rig_sgd = { .optimizer = HN_SGD, .accumulate = 1, .dropout = -1 };
static const struct hn_hyper rig_adam = { .optimizer = HN_ADAM,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .eps = 1e-8,
                                          .accumulate = 1,
                                          .dropout = -1,
                                          .ema = 0.9 };

/* Inputs: numbers as float; targets: class indices (classes > 0) or numbers, weights positive. */
static inline void rig_data_init(struct rig_data *d, const struct tb *t, int classes, uint64_t seed)
{
    *d = (struct rig_data){ 0 };
    d->set = (struct hn_dataset){ RIG_ROWS, t->p.n_inputs, t->p.n_targets, d->inputs, d->targets };
    for (int i = 0; i < t->p.n_inputs + t->p.n_targets; i++) {
        int target = i >= t->p.n_inputs, k = target ? i - t->p.n_inputs : i;
        const struct hn_shape *s = &t->values[target ? t->targets[k] : t->inputs[k]].shape;
        struct hn_dim n = hn_shape_count(s);
        int64_t each = n.per_row ? n.per_row : n.fixed;
        float *f = malloc((size_t)(each * RIG_ROWS) * sizeof *f);
        ck_assert_ptr_nonnull(f);
        for (int64_t j = 0; j < each * RIG_ROWS; j++) {
            double v = tb_random(&seed);
            int is_class = target && k == 0 && classes > 0, is_weight = target && k == 1;
            f[j] = (float)(is_class ? floor((v + 1) / 2 * classes) : is_weight ? 0.5 + 0.4 * v : v);
        }
        d->memory[i] = f;
        (target ? d->targets : d->inputs)[k] = (struct hn_column){ f, HN_F32, each, 1 };
    }
}
static inline void rig_data_free(struct rig_data *d)
{
    for (int i = 0; i < 2 * TB_LIST; i++) free(d->memory[i]);
}

static inline void rig_open(struct rig *g, const struct hn_backend *b, const struct tb *t,
                            int threads, const char *options)
{
    hone_error err = { 0 };
    *g = (struct rig){ .b = b, .p = &t->p, .mem = (struct hn_mem *)&t->mem };
    struct hn_host host = { sizeof host, g->mem, threads };
    HN_OK(b->open(&host, options, &g->dev, &err), err);
}
static inline void rig_prepare(struct rig *g, enum hn_pass pass, int64_t max_rows, int max_slots,
                               const struct rig_data *d)
{
    hone_error err = { 0 };
    g->pass = pass;
    HN_OK(g->b->bind(g->dev, &d->set, &g->data, &err), err);
    HN_OK(hn_plan_create(g->mem, g->p, pass, max_rows, g->b->elem, 0, &g->plan, &err), err);
    HN_OK(g->b->prepare(g->dev, g->plan, max_slots, &g->exec, &err), err);
}
static inline void rig_unprepare(struct rig *g)
{
    g->b->finish(g->exec);
    hn_plan_destroy(g->plan, g->mem);
    g->b->unbind(g->dev, g->data);
}
static inline void rig_close(struct rig *g) { g->b->close(g->dev); }

static inline void rig_put(struct rig *g, void *slab, const double *v, size_t n)
{
    hone_error err = { 0 };
    float *f = malloc((n + 1) * sizeof *f);
    for (size_t i = 0; i < n; i++) f[i] = (float)v[i];
    HN_OK(g->b->put(g->dev, slab, 0, g->b->elem == 4 ? (const void *)f : (const void *)v,
                    n * g->b->elem, &err),
          err);
    free(f);
}
static inline void rig_get(struct rig *g, const void *slab, double *v, size_t n)
{
    hone_error err = { 0 };
    float *f = malloc((n + 1) * sizeof *f);
    HN_OK(g->b->get(g->dev, slab, 0, g->b->elem == 4 ? (void *)f : (void *)v, n * g->b->elem, &err),
          err);
    for (size_t i = 0; g->b->elem == 4 && i < n; i++) v[i] = (double)f[i];
    free(f);
}

static inline void rig_replica_init(struct rig_replica *r, struct rig *g, const struct tb *t,
                                    const struct hn_hyper *h, uint64_t seed)
{
    hone_error err = { 0 };
    *r = (struct rig_replica){ .hyper = *h };
    r->r.hyper = &r->hyper;
    hn_rng_key(seed, 0, 0, r->r.key);
    for (int i = 0; i < HN_SLABS; i++)
        if (i < HN_SLAB_BEST || i == HN_SLAB_AVERAGE)
            HN_OK(g->b->alloc(g->dev, (t->p.n_slab + 1) * g->b->elem, &r->r.slab[i], &err), err);
    double *w = malloc((t->p.n_slab + 1) * sizeof *w);
    tb_weights(t, w, seed);
    for (size_t i = 0; i < t->p.n_slab; i++) w[i] = (double)(float)w[i];
    rig_put(g, r->r.slab[HN_SLAB_W], w, t->p.n_slab);
    free(w);
}
static inline void rig_replica_free(struct rig_replica *r, struct rig *g)
{
    for (int i = 0; i < HN_SLABS; i++) g->b->release(g->dev, r->r.slab[i]);
}

/* n_steps of `rows` rows; index may be NULL. Returns the mean loss of the last call's steps (first loss). */
static inline double rig_run(struct rig *g, struct rig_replica *r, int64_t rows, int n_steps,
                             const uint32_t *index, double lr)
{
    hone_error err = { 0 };
    double *rates = malloc(((size_t)n_steps + 1) * sizeof *rates);
    for (int i = 0; i < n_steps; i++) rates[i] = lr;
    memset(r->partial, 0, sizeof r->partial);
    struct hn_slot s = { .r = &r->r,
                         .data = g->data,
                         .index = index,
                         .rows = rows,
                         .lr = rates,
                         .partial = r->partial };
    HN_OK(g->b->run(g->exec, &s, 1, n_steps, &err), err);
    ck_assert_int_eq(s.bad_step, -1);
    free(rates);
    return r->partial[0] / r->partial[1];
}
#endif
