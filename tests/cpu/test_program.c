/* SPDX-License-Identifier: MIT
 *
 * Random programs on the CPU backend against the reference backend: gradients, training curves, evaluation, prediction,
 * calibration of BatchNorm, accumulation, steps whose loss is not finite. */
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"

enum { PROGRAMS = 60 };

struct pair { /* the same program on both backends */
    struct made *m;
    struct rig_data data;
    struct rig cpu, ref;
    struct rig_replica c, r;
};

static void pair_init(struct pair *p, uint64_t number, int dropout, const struct hn_hyper *h)
{
    p->m = made_program(number, dropout);
    rig_data_init(&p->data, &p->m->t, p->m->classes, number);
    rig_open(&p->cpu, &hn_backend_cpu, &p->m->t, 1, NULL);
    rig_open(&p->ref, &hn_backend_reference, &p->m->t, 1, NULL);
    rig_replica_init(&p->c, &p->cpu, &p->m->t, h, number + 1);
    rig_replica_init(&p->r, &p->ref, &p->m->t, h, number + 1);
}
static void pair_prepare(struct pair *p, enum hn_pass pass, int64_t rows)
{
    rig_prepare(&p->cpu, pass, rows, 1, &p->data);
    rig_prepare(&p->ref, pass, rows, 1, &p->data);
}
static void pair_unprepare(struct pair *p) { rig_unprepare(&p->cpu), rig_unprepare(&p->ref); }
static void pair_free(struct pair *p)
{
    rig_replica_free(&p->c, &p->cpu), rig_replica_free(&p->r, &p->ref);
    rig_close(&p->cpu), rig_close(&p->ref);
    rig_data_free(&p->data);
    made_free(p->m);
}

/* |cpu - reference| / |reference| over a whole slab (2-norms); infinite when a number is not finite. */
static double slab_difference(struct pair *p, enum hn_slab slab)
{
    const struct hn_program *prog = &p->m->t.p;
    double *a = malloc((prog->n_slab + 1) * sizeof *a), *b = malloc((prog->n_slab + 1) * sizeof *b);
    double apart = 0, size = 0;
    rig_get(&p->cpu, p->c.r.slab[slab], a, prog->n_slab);
    rig_get(&p->ref, p->r.r.slab[slab], b, prog->n_slab);
    for (size_t i = 0; i < prog->n_slab; i++)
        apart += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
    free(a), free(b);
    if (!isfinite(apart)) return (double)INFINITY;
    return size > 0 ? sqrt(apart / size) : sqrt(apart);
}

START_TEST(gradients)
{
    static const int64_t sizes[] = { 1, 2, 7, 64, 130, 300 };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct pair p;
        pair_init(&p, (uint64_t)_i, 1, &rig_sgd);
        pair_prepare(&p, HN_PASS_GRAD, 300);
        double want = rig_run(&p.ref, &p.r, sizes[k], 1, NULL, 0),
               got = rig_run(&p.cpu, &p.c, sizes[k], 1, NULL, 0);
        ck_assert_msg(fabs(got - want) <= 1e-5 * (fabs(want) + 1e-3),
                      "program %d rows %d: loss %.9g, wanted %.9g", _i, (int)sizes[k], got, want);
        double d = slab_difference(&p, HN_SLAB_DW);
        ck_assert_msg(d <= (sizes[k] < 7 ? 1e-4 : 1e-5),
                      "program %d rows %d: gradients differ by %g", _i, (int)sizes[k], d);
        ck_assert_msg(slab_difference(&p, HN_SLAB_W) == 0, "GRAD changed weights");
        pair_unprepare(&p);
        pair_free(&p);
    }
}
END_TEST

START_TEST(curves)
{
    struct pair p;
    pair_init(&p, (uint64_t)_i, 1, _i & 1 ? &rig_adam : &rig_sgd);
    pair_prepare(&p, HN_PASS_TRAIN, 100);
    uint32_t *index = malloc(50 * 70 * sizeof *index), key[2] = { 3, 4 };
    for (uint32_t i = 0; i < 50 * 70; i++)
        index[i] = hn_rng_below(key, HN_STREAM_SHUFFLE, i, RIG_ROWS);
    for (int call = 0; call < 5; call++) {
        double want = rig_run(&p.ref, &p.r, 70, 10, index + call * 700, 1e-3);
        double got = rig_run(&p.cpu, &p.c, 70, 10, index + call * 700, 1e-3);
        ck_assert_msg(fabs(got - want) <= 1e-4 * fabs(want),
                      "program %d step %d: loss %.9g, wanted %.9g", _i, call * 10, got, want);
    }
    ck_assert_int_eq(p.c.r.now.step, 50);
    ck_assert_int_eq(p.c.r.now.batch, 50);
    double d = slab_difference(&p, HN_SLAB_W);
    /* Adam turns the rounding of gradients that are zero (a bias before BatchNorm) into steps of the learning rate. */
    ck_assert_msg(d < (_i & 1 ? 1e-2 : 3e-4), "program %d: weights differ by %g after 50 steps", _i,
                  d);
    if (p.c.hyper.ema > 0) {
        d = slab_difference(&p, HN_SLAB_AVERAGE);
        ck_assert_msg(d < 1e-2, "program %d: averages differ by %g after 50 steps", _i, d);
    }
    free(index);
    pair_unprepare(&p);
    pair_free(&p);
}
END_TEST

/* Evaluation's loss and outputs, prediction's outputs, over two steps. */
START_TEST(inference)
{
    struct pair p;
    pair_init(&p, (uint64_t)_i, 1, &rig_sgd);
    for (int pass = HN_PASS_EVAL; pass <= HN_PASS_PREDICT; pass++) {
        hone_error err = { 0 };
        pair_prepare(&p, (enum hn_pass)pass, 200);
        int64_t n = hn_shape_count(&p.m->t.values[p.m->t.outputs[0]].shape).per_row * 190 * 2;
        double *want = calloc((size_t)n, sizeof *want);
        float *got = calloc((size_t)n, sizeof *got);
        struct hn_slot s = { .r = &p.r.r,
                             .data = p.ref.data,
                             .rows = 190,
                             .partial = p.r.partial,
                             .out = (void *[]){ want } };
        struct hn_slot c = { .r = &p.c.r,
                             .data = p.cpu.data,
                             .rows = 190,
                             .partial = p.c.partial,
                             .out = (void *[]){ got } };
        memset(p.r.partial, 0, sizeof p.r.partial), memset(p.c.partial, 0, sizeof p.c.partial);
        HN_OK(p.ref.b->run(p.ref.exec, &s, 1, 2, &err), err);
        HN_OK(p.cpu.b->run(p.cpu.exec, &c, 1, 2, &err), err);
        double most = 0;
        for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
        for (int64_t i = 0; i < n; i++)
            if (!(fabs(want[i] - (double)got[i]) <= 1e-5 * most))
                ck_abort_msg("program %d pass %d output %d: %g, wanted %g", _i, pass, (int)i,
                             (double)got[i], want[i]);
        ck_assert(fabs(p.r.partial[0] - p.c.partial[0]) <= 1e-5 * fabs(p.r.partial[0]));
        ck_assert(fabs(p.r.partial[1] - p.c.partial[1]) <= 1e-6 * fabs(p.r.partial[1]));
        free(want), free(got);
        pair_unprepare(&p);
    }
    pair_free(&p);
}
END_TEST

START_TEST(statistics)
{
    struct pair p;
    pair_init(&p, (uint64_t)_i, 1, &rig_sgd);
    pair_prepare(&p, HN_PASS_STATS, 150);
    struct hn_slot s = { .r = &p.r.r, .data = p.ref.data, .rows = 150 },
                   c = { .r = &p.c.r, .data = p.cpu.data, .rows = 150 };
    hone_error err = { 0 };
    HN_OK(p.ref.b->run(p.ref.exec, &s, 1, 3, &err), err);
    HN_OK(p.cpu.b->run(p.cpu.exec, &c, 1, 3, &err), err);
    ck_assert_msg(slab_difference(&p, HN_SLAB_W) < 1e-5, "program %d: statistics differ by %g", _i,
                  slab_difference(&p, HN_SLAB_W));
    pair_unprepare(&p);
    pair_free(&p);
}
END_TEST

/* Optimizer steps every 3 batches, the last of a call flushed; clipping, L1, decay. */
START_TEST(accumulation)
{
    struct hn_hyper h = rig_adam;
    h.optimizer = (enum hn_optimizer)(_i % HN_OPTIMIZERS);
    h.accumulate = 3, h.momentum = 0.9, h.alpha = 0.9, h.l1 = 1e-3, h.weight_decay = 0.01,
    h.clip_norm = _i % 2 ? 0.3 : 0;
    h.eps = 1e-4;
    struct pair p;
    pair_init(&p, (uint64_t)_i, 1, &h);
    pair_prepare(&p, HN_PASS_TRAIN, 40);
    double lr[8];
    for (int i = 0; i < 8; i++) lr[i] = 0.01;
    hone_error err = { 0 };
    for (int call = 0; call < 3; call++) {
        struct hn_slot s = {
            .r = &p.r.r, .data = p.ref.data, .first = call * 40 * 8 % 300, .rows = 40, .lr = lr
        };
        struct hn_slot c = s;
        s.flush = c.flush = call == 1;
        c.r = &p.c.r, c.data = p.cpu.data;
        HN_OK(p.ref.b->run(p.ref.exec, &s, 1, 8, &err), err);
        HN_OK(p.cpu.b->run(p.cpu.exec, &c, 1, 8, &err), err);
        ck_assert(p.c.r.now.step == p.r.r.now.step && p.c.r.now.micro == p.r.r.now.micro);
    }
    double d = slab_difference(&p, HN_SLAB_W);
    ck_assert_msg(d < 3e-4, "program %d, optimizer %d: weights differ by %g", _i, (int)h.optimizer,
                  d);
    pair_unprepare(&p);
    pair_free(&p);
}
END_TEST

/* A NaN in the data: that step changes nothing, the later ones do not run; weights are those of the steps before. */
START_TEST(bad_step)
{
    struct hn_hyper h = rig_adam;
    h.accumulate = _i % 2 ? 2 : 1;
    struct pair p, q;
    pair_init(&p, (uint64_t)_i, 0, &h), pair_init(&q, (uint64_t)_i, 0, &h);
    float *bad = (float *)(uintptr_t)p.data.inputs[0].data;
    int64_t each = p.data.inputs[0].per_row;
    for (int64_t i = 0; i < each; i++) bad[each * (3 * 32 + 5) + i] = (float)NAN;
    pair_prepare(&p, HN_PASS_TRAIN, 32), pair_prepare(&q, HN_PASS_TRAIN, 32);
    double lr[5] = { 0.01, 0.01, 0.01, 0.01, 0.01 };
    struct hn_slot s = {
        .r = &p.c.r, .data = p.cpu.data, .rows = 32, .lr = lr, .partial = p.c.partial, .flush = 1
    };
    struct hn_slot t = {
        .r = &q.c.r, .data = q.cpu.data, .rows = 32, .lr = lr, .partial = q.c.partial
    };
    hone_error err = { 0 };
    HN_OK(p.cpu.b->run(p.cpu.exec, &s, 1, 5, &err), err);
    ck_assert_int_eq(s.bad_step, 3);
    HN_OK(q.cpu.b->run(q.cpu.exec, &t, 1, 3, &err), err);
    ck_assert_int_eq(t.bad_step, -1);
    size_t bytes = p.m->t.p.n_slab * sizeof(float);
    for (int k = HN_SLAB_W; k <= HN_SLAB_V; k++)
        ck_assert_msg((k == HN_SLAB_DW && h.accumulate == 1) ||
                          !memcmp(p.c.r.slab[k], q.c.r.slab[k], bytes),
                      "program %d: slab %d was touched", _i, k);
    ck_assert(!memcmp(p.c.r.slab[HN_SLAB_AVERAGE], q.c.r.slab[HN_SLAB_AVERAGE], bytes));
    ck_assert(!memcmp(&p.c.r.now, &q.c.r.now, sizeof q.c.r.now));
    ck_assert(!memcmp(p.c.partial, q.c.partial, sizeof q.c.partial));
    pair_unprepare(&p), pair_unprepare(&q);
    pair_free(&p), pair_free(&q);
}
END_TEST

HN_TEST_MAIN("cpu program", tcase_add_loop_test(tc, gradients, 0, PROGRAMS);
             tcase_add_loop_test(tc, curves, 0, PROGRAMS);
             tcase_add_loop_test(tc, inference, 0, PROGRAMS);
             tcase_add_loop_test(tc, statistics, 0, PROGRAMS);
             tcase_add_loop_test(tc, accumulation, 0, PROGRAMS);
             tcase_add_loop_test(tc, bad_step, 0, PROGRAMS / 2);)
