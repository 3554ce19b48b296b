/* SPDX-License-Identifier: MIT
 *
 * A small training job for tests of backends with elements of 8 bytes: 5 features, Dense 7, BatchNorm, ReLU, Dropout,
 * Dense 3, cross-entropy; 40 rows of float data with int64 classes; up to three replicas with weights of their own. */
#ifndef HN_TEST_JOB_H
#define HN_TEST_JOB_H

#include "tests/math/build.h"

enum {
    JOB_ROWS = 40,
    JOB_IN = 5,
    JOB_HIDDEN = 7,
    JOB_CLASSES = 3,
    JOB_SLOTS = 3,
    JOB_STEPS = 16,
    JOB_BATCH = 8
};

struct job {
    struct tb t;
    struct hn_mem mem; /* the backend's */
    const struct hn_backend *be;
    void *dev, *bound;
    struct hn_hyper hyper;
    struct hn_replica r[JOB_SLOTS];
    struct hn_slot slot[JOB_SLOTS];
    float x[JOB_ROWS * JOB_IN];
    int64_t label[JOB_ROWS];
    struct hn_column in, target;
    struct hn_dataset set;
    uint32_t index[JOB_SLOTS][JOB_STEPS * JOB_BATCH];
    double lr[JOB_STEPS], partial[JOB_SLOTS][2],
        probabilities[JOB_SLOTS][JOB_STEPS * JOB_BATCH * JOB_CLASSES];
    void *out[JOB_SLOTS][1];
    int logits;
};

static const struct hn_dense job_dense = { 1, 1, 1 };
static const struct hn_unary job_relu = { HN_U_RELU, 0, 0 };
static const struct hn_batchnorm job_bn = { 1e-5, 0.9, 0, 0 };
static const struct hn_dropout job_dropout = { 0.25, HN_STREAM_DROPOUT + 3, 0 };
static const struct hn_softmax job_softmax = { 1, 1, 0 };
static const struct hn_loss job_ce = { .weight = 1 };

static inline void job_program(struct job *j)
{
    struct tb *t = &j->t;
    tb_init(t);
    int x = tb_input(t, tb_shape(2, TB_N, JOB_IN));
    int h = tb_op(t, &hn_op_dense, &job_dense, 3,
                  (int[]){ x, tb_param(t, tb_shape(2, JOB_HIDDEN, JOB_IN), 1),
                           tb_param(t, tb_shape(1, JOB_HIDDEN), 1) });
    h = tb_op(t, &hn_op_batchnorm, &job_bn, 5,
              (int[]){ h, tb_param(t, tb_shape(1, JOB_HIDDEN), 1),
                       tb_param(t, tb_shape(1, JOB_HIDDEN), 1),
                       tb_state(t, tb_shape(1, JOB_HIDDEN)),
                       tb_state(t, tb_shape(1, JOB_HIDDEN)) });
    h = tb_op(t, &hn_op_unary, &job_relu, 1, &h);
    h = tb_op(t, &hn_op_dropout, &job_dropout, 1, &h);
    h = tb_op(t, &hn_op_dense, &job_dense, 3,
              (int[]){ h, tb_param(t, tb_shape(2, JOB_CLASSES, JOB_HIDDEN), 1),
                       tb_param(t, tb_shape(1, JOB_CLASSES), 0) });
    j->logits = h;
    tb_output(t, tb_op(t, &hn_op_softmax, &job_softmax, 1, &h));
    tb_loss(t, &hn_op_loss_ce, &job_ce, h, tb_target(t, tb_shape(1, TB_N)), -1);
    tb_finish(t);
}

static inline void job_data(struct job *j)
{
    uint64_t s = 2026;
    for (int i = 0; i < JOB_ROWS * JOB_IN; i++) j->x[i] = (float)tb_random(&s);
    for (int i = 0; i < JOB_ROWS; i++)
        j->label[i] = (j->x[i * JOB_IN] > 0) + (j->x[i * JOB_IN + 1] > 0.2f);
    j->in = (struct hn_column){ j->x, HN_F32, JOB_IN, 1 };
    j->target = (struct hn_column){ j->label, HN_I64, 1, 1 };
    j->set = (struct hn_dataset){ JOB_ROWS, 1, 1, &j->in, &j->target };
    for (int k = 0; k < JOB_SLOTS; k++)
        for (int i = 0; i < JOB_STEPS * JOB_BATCH; i++)
            j->index[k][i] = (uint32_t)((i * 7 + k * 11) % JOB_ROWS);
    for (int i = 0; i < JOB_STEPS; i++) j->lr[i] = 0.05 / (1 + i);
}

static inline void job_open(struct job *j, const struct hn_backend *be, enum hn_optimizer optimizer)
{
    hone_error err = { 0 };
    memset(j, 0, sizeof *j);
    job_program(j);
    job_data(j);
    j->be = be;
    hn_mem_init(&j->mem, 0);
    j->hyper = (struct hn_hyper){ .optimizer = optimizer,
                                  .momentum = 0.9,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .eps = 1e-8,
                                  .alpha = 0.99,
                                  .weight_decay = 0.01,
                                  .accumulate = 1,
                                  .dropout = -1 };
    struct hn_host host = { sizeof host, &j->mem, 1 };
    HN_OK(be->open(&host, NULL, &j->dev, &err), err);
    HN_OK(be->bind(j->dev, &j->set, &j->bound, &err), err);
    double *w = calloc(j->t.p.n_slab, sizeof *w);
    for (int k = 0; k < JOB_SLOTS; k++) {
        struct hn_replica *r = &j->r[k];
        r->hyper = &j->hyper;
        r->key[0] = 100u + (uint32_t)k, r->key[1] = 5;
        for (int s = HN_SLAB_W; s <= HN_SLAB_V; s++)
            HN_OK(be->alloc(j->dev, 8 * (s == HN_SLAB_W ? j->t.p.n_slab : j->t.p.n_trained),
                            &r->slab[s], &err),
                  err);
        tb_weights(&j->t, w, 77u + (uint64_t)k);
        HN_OK(be->put(j->dev, r->slab[HN_SLAB_W], 0, w, 8 * j->t.p.n_slab, &err), err);
        j->out[k][0] = j->probabilities[k];
        j->slot[k] = (struct hn_slot){ .r = r,
                                       .data = j->bound,
                                       .index = j->index[k],
                                       .rows = JOB_BATCH - 2 * k,
                                       .lr = j->lr,
                                       .partial = j->partial[k],
                                       .out = j->out[k] };
    }
    free(w);
}

static inline void job_close(struct job *j)
{
    for (int k = 0; k < JOB_SLOTS; k++)
        for (int s = 0; s < HN_SLABS; s++)
            if (j->r[k].slab[s]) j->be->release(j->dev, j->r[k].slab[s]);
    j->be->unbind(j->dev, j->bound);
    j->be->close(j->dev);
    ck_assert_uint_eq(j->mem.used, 0);
    tb_free(&j->t);
}

/* Runs a pass over slots first .. first + n - 1, `calls` times n_steps steps; nothing may be allocated after the first. */
static inline hone_status job_run(struct job *j, enum hn_pass pass, int first, int n, int n_steps,
                                  int calls, hone_error *err)
{
    struct hn_plan *plan;
    void *exec;
    HN_OK(hn_plan_create(&j->t.mem, &j->t.p, pass, JOB_BATCH, 8, 0, &plan, err), *err);
    HN_OK(j->be->prepare(j->dev, plan, JOB_SLOTS, &exec, err), *err);
    hone_status st = HONE_OK;
    size_t count = 0;
    for (int i = 0; i < calls && st == HONE_OK; i++) {
        if (i == 1) count = j->mem.count;
        st = j->be->run(exec, &j->slot[first], n, n_steps, err);
    }
    if (calls > 1) ck_assert_uint_eq(j->mem.count, count);
    j->be->finish(exec);
    hn_plan_destroy(plan, &j->t.mem);
    return st;
}

static inline void job_get(struct job *j, int replica, enum hn_slab slab, double *to)
{
    hone_error err = { 0 };
    size_t n = slab == HN_SLAB_W ? j->t.p.n_slab : j->t.p.n_trained;
    HN_OK(j->be->get(j->dev, j->r[replica].slab[slab], 0, to, 8 * n, &err), err);
}
#endif
