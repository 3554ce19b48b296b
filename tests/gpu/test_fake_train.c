/* SPDX-License-Identifier: MIT
 *
 * Training on the GPU backend over the fake device: random programs against the reference backend, with every optimizer, clipping,
 * several batches a step and short last batches; cohorts against the same replica alone; streamed rows against resident ones; a
 * step that goes bad; captured steps; a device that fails at any call. */
#include "gpu/backend.h"
#include "gpu/exec.h"
#include "tests/gpu/training.h"

static struct outcome want, got;

/* library; without epilogues; native; cohort; BatchNorm by cuDNN in every way to see it; several steps a graph, where the
 * library refuses most products; products in panels and by `mma`, one replica and a cohort; all products by the library; side work as early as
 * it may run; BatchNorm in strips, a cohort */
enum { WAYS = 17 };
START_TEST(programs)
{
    static const char *const ways[WAYS] = { "",
                                            "",
                                            "gemm-impl=native",
                                            "",
                                            "bn-impl=cudnn-per-activation",
                                            "bn-impl=cudnn-spatial,unroll=2",
                                            "bn-impl=cudnn-spatial-nhwc,gemm-impl=native",
                                            "bn-impl=cudnn-persistent,graph=off",
                                            "bn-impl=cudnn-persistent-nhwc,data=stream",
                                            "unroll=3",
                                            "gemm-native=panels,bn-impl=native",
                                            "gemm-native=64x48",
                                            "gemm-impl=library",
                                            "graph=off",
                                            "gemm-native=mma,gemm-impl=native",
                                            "gemm-native=mma",
                                            "norm-width=strips" };
    struct made *m = made_program((uint64_t)_i, 1);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = {
        .b = &hn_backend_reference, .hyper = &hypers[_i % HYPERS], .rows = 3 + _i % 29, .slots = 1
    };
    train(m, &d, &u, &want);
    for (int k = 0; k < WAYS; k++) {
        fake_reset();
        fake.no_epilogue = k == 1 ? 1 : k == 9 ? 2 : 0;
        fake.eager = k == 13;
        u.b = &hn_backend_cuda_f64, u.options = ways[k];
        const int cohort = k == 3 || k == 11 || k == 15 || k == 16;
        u.slots = cohort ? 4 : 1, u.place = cohort ? 2 : 0, u.ragged = cohort;
        train(m, &d, &u, &got);
        if (got.refused && k >= 4 && k <= 8) continue;
        ck_assert_int_eq(got.st, HONE_OK);
        ck_assert_int_eq(got.bad, want.bad);
        ck_assert_mem_eq(&got.now, &want.now, sizeof got.now);
        for (size_t i = 0; i < m->t.p.n_slab; i++) {
            ck_assert_msg(fabs(got.w[i] - want.w[i]) <= 1e-6 * (1 + fabs(want.w[i])),
                          "program %d, way %d: w[%zu] is %.12g, wanted %.12g", _i, k, i, got.w[i],
                          want.w[i]);
            ck_assert_msg(fabs(got.average[i] - want.average[i]) <=
                              1e-6 * (1 + fabs(want.average[i])),
                          "program %d, way %d: the average's [%zu] is %.12g, wanted %.12g", _i, k,
                          i, got.average[i], want.average[i]);
        }
        ck_assert_double_eq_tol(got.partial[0], want.partial[0],
                                1e-8 * (1 + fabs(want.partial[0])));
        ck_assert(!fake.present || fake.replays > 0 || k == 7 || k == 13);
        ck_assert_int_eq(
            (int)fake.live + fake.contexts + fake.graphs + fake.gemms + fake.calls_held, 0);
    }
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* The same bits alone and in company (of norms that add up in the same order), with captured steps or without, from resident or
 * streamed rows. */
START_TEST(same)
{
    static const char *const ways[] = {
        "norm-width=4,gemm-impl=native,graph=off",
        "norm-width=4,gemm-impl=native,data=stream,stream-bytes=1",
        "norm-width=4,gemm-impl=native,data=stream,stream-bytes=9000",
        "norm-width=4,gemm-impl=native,unroll=1",
        "norm-width=4,gemm-impl=native,unroll=2",
        "norm-width=4,gemm-impl=native,unroll=3"
    };
    struct made *m = made_program(100 + (uint64_t)_i, 1);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = { .b = &hn_backend_cuda_f32,
                       .hyper = &hypers[_i % HYPERS],
                       .rows = 9 + _i,
                       .slots = 1,
                       .options = "norm-width=4,gemm-impl=native" };
    train(m, &d, &u, &want);
    for (int k = 0; k < 6; k++) {
        u.options = ways[k];
        train(m, &d, &u, &got);
        expect_same(&want, &got, m->t.p.n_slab);
    }
    for (u.slots = 2; u.slots <= 4; u.slots++)
        for (u.place = 0; u.place < u.slots; u.place++)
            for (u.ragged = 0; u.ragged < 2; u.ragged++) {
                u.options = u.ragged ? "" : "math=tf32"; /* small layers: in fp32 anyway */
                train(m, &d, &u, &got);
                expect_same(&want, &got, m->t.p.n_slab);
            }
    rig_data_free(&d);
    made_free(m);
}
END_TEST

static int takes_strips(const struct made *m)
{
    int n = 0;
    for (int i = 0; i < m->t.p.n_ops; i++) {
        const struct hn_op *op = &m->t.p.ops[i];
        n += strcmp(op->row->name, "batchnorm") == 0 &&
             m->t.p.values[op->in[0]].shape.d[1].fixed % 4 == 0;
    }
    return n;
}
/* The same for norms in strips, of several a channel, beside slots with fewer and with none. */
START_TEST(same_in_strips)
{
    uint64_t number = 500 + 100 * (uint64_t)_i;
    struct made *m = made_program(number, 1);
    struct rig_data d;
    for (int i = 0; i < 100 && !takes_strips(m); i++) {
        made_free(m);
        m = made_program(++number, 1);
    }
    ck_assert(takes_strips(m));
    rig_data_init(&d, &m->t, m->classes, 9);
    fake_reset();
    struct setup u = { .b = _i % 2 ? &hn_backend_cuda_f64 : &hn_backend_cuda_f32,
                       .hyper = &hypers[_i % HYPERS],
                       .rows = 265 + 20 * _i,
                       .slots = 1,
                       .options = "norm-width=strips,gemm-impl=native,graph=off" };
    train(m, &d, &u, &want);
    ck_assert_int_eq(want.st, HONE_OK);
    u.options = "norm-width=strips";
    for (u.slots = 2; u.slots <= 3; u.slots++)
        for (u.ragged = 0; u.ragged < 2; u.ragged++) {
            u.place = u.slots - 1;
            train(m, &d, &u, &got);
            expect_same(&want, &got, m->t.p.n_slab);
        }
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* A step whose loss is not finite changes nothing: the step before it blew the weights up. */
START_TEST(bad)
{
    struct made *m = made_program(7 + (uint64_t)_i, 0);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = {
        .b = &hn_backend_reference, .hyper = &hypers[0], .rows = 8, .slots = 1, .bad_lr = 1e305
    };
    train(m, &d, &u, &want);
    u.b = &hn_backend_cuda_f64;
    train(m, &d, &u, &got);
    ck_assert_int_eq(got.bad, want.bad);
    ck_assert_mem_eq(&got.now, &want.now, sizeof got.now);
    for (size_t i = 0; want.bad >= 0 && i < m->t.p.n_slab; i++)
        if (isfinite(want.w[i]))
            ck_assert_double_eq_tol(got.w[i], want.w[i], 1e-6 * fabs(want.w[i]) + 1e-9);
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* The backend's own state out and in again. */
static hone_status save_and_load(const struct hn_backend *b, void *exec, hone_error *err)
{
    unsigned char *p = calloc(1, b->state_size(exec) + 1);
    hone_status st = b->state_save(exec, 0, p, err);
    if (st == HONE_OK) st = b->state_load(exec, 0, p, err);
    free(p);
    return st;
}

/* The device fails at its n-th call: the error comes up, nothing stays behind. */
START_TEST(faults)
{
    static const char *const options[] = { "data=stream",
                                           "bn-impl=cudnn,dropout-impl=cudnn,unroll=2",
                                           "bn-impl=cudnn,graph=off" };
    struct made *m = made_program(3, 1);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    int done = 0;
    for (int n = 1; !done; n++) {
        struct hn_mem mem;
        hn_mem_init(&mem, 0);
        hone_error err = { 0 };
        struct hn_host host = { sizeof host, &mem, 1 };
        const struct hn_backend *b = &hn_backend_cuda_f32;
        struct hn_plan *plan = NULL;
        void *dev = NULL, *data = NULL, *exec = NULL;
        struct hn_replica r = { .hyper = &hypers[HYPERS_CLIPPED] };
        double lr[6] = { 0.1, 0.1, 0.1, 0.1, 0.1, 0.1 };
        fake_reset();
        fake.fail_at = n;
        hone_status st = b->open(&host, options[_i], &dev, &err);
        for (int i = 0; st == HONE_OK && i < HN_SLABS; i++)
            st = b->alloc(dev, (m->t.p.n_slab + 1) * 4, &r.slab[i], &err);
        if (st == HONE_OK) st = b->bind(dev, &d.set, &data, &err);
        if (st == HONE_OK) st = hn_plan_create(&mem, &m->t.p, HN_PASS_TRAIN, 8, 4, 0, &plan, &err);
        if (st == HONE_OK) st = b->prepare(dev, plan, 1, &exec, &err);
        struct hn_slot s = { .r = &r, .data = data, .rows = 8, .lr = lr };
        if (st == HONE_OK) st = b->run(exec, &s, 1, 6, &err);
        if (st == HONE_OK) st = save_and_load(b, exec, &err);
        done = st == HONE_OK || !fake.present;
        if (!done)
            ck_assert_msg(fake.calls >= n && err.text[0], "call %d: failed without a text", n);
        if (exec) b->finish(exec);
        if (data) b->unbind(dev, data);
        for (int i = 0; dev && i < HN_SLABS; i++) b->release(dev, r.slab[i]);
        hn_plan_destroy(plan, &mem);
        if (dev) b->close(dev);
        ck_assert_int_eq(
            (int)fake.live + fake.contexts + fake.graphs + fake.gemms + fake.calls_held, 0);
        ck_assert_int_eq((int)atomic_load(&mem.used), 0);
        ck_assert_int_lt(n, 2000);
    }
    fake_reset();
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* Every option has a meaning or is refused by name. */
START_TEST(options)
{
    static const char *const wrong[] = {
        "math=fp8",         "fast", "device=1", "bn-impl=cudnn-best", "dropout-impl=curand",
        "stream-bytes=0",   ",",    "device=x", "unroll=0",           "unroll=257",
        "gemm-native=32x32"
    };
    hone_error err = { 0 };
    struct hn_mem mem;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    void *dev;
    fake_reset();
    for (size_t i = fake.present ? 0 : 3; i < sizeof wrong / sizeof *wrong; i++) {
        hone_status st = hn_backend_cuda_f32.open(&host, wrong[i], &dev, &err);
        ck_assert_msg(st != HONE_OK && !dev && err.text[0], "'%s' was taken", wrong[i]);
    }
    ck_assert_int_eq(hn_backend_cuda_f64.open(&host, "math=tf32", &dev, &err), HONE_E_USAGE);
    HN_OK(
        hn_backend_cuda_f32.open(&host, "math=tf32,graph=off,bn-impl=native,device=0", &dev, &err),
        err);
    char text[256];
    hn_backend_cuda_f32.describe(dev, text, sizeof text);
    ck_assert_msg(strstr(text, "TF32, BatchNormalization native, Dropout auto (native)") != NULL,
                  "described as '%s'", text);
    hn_backend_cuda_f32.close(dev);
    ck_assert_int_eq((int)atomic_load(&mem.used), 0);
}
END_TEST

/* Which plans of several slots a precision allows: those whose products would be in fp32 for one slot, too. */
START_TEST(precision)
{
    static const struct {
        const char *options;
        int64_t rows;
        int slots;
        hone_status st;
    } cases[] = {
        { "math=tf32", 1000, 2, HONE_OK },
        { "math=bf16", 1000, 2, HONE_OK },
        { "math=tf32", 1025, 2, HONE_E_UNSUPPORTED }, /* a gradient's sum of so many terms */
        { "math=bf16", 1025, 2, HONE_E_UNSUPPORTED },
        { "math=bf16", 1025, 1, HONE_OK },
        { "math=fp32", 1025, 2, HONE_OK },
        { "math=tf32,gemm-impl=native", 1025, 2, HONE_OK },
        { "math=tf32,gemm-impl=library", 8, 2, HONE_E_UNSUPPORTED },
    };
    struct made *m = made_program(3, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig g;
        struct hn_plan *plan;
        void *exec;
        hone_error err = { 0 };
        fake_reset();
        rig_open(&g, &hn_backend_cuda_f32, &m->t, 1, cases[i].options);
        HN_OK(hn_plan_create(g.mem, g.p, HN_PASS_TRAIN, cases[i].rows, 4, 0, &plan, &err), err);
        hone_status st = g.b->prepare(g.dev, plan, cases[i].slots, &exec, &err);
        ck_assert_msg(st == cases[i].st, "%s, %d rows, %d slots: %d %s", cases[i].options,
                      (int)cases[i].rows, cases[i].slots, (int)st, err.text);
        if (st == HONE_OK) g.b->finish(exec);
        hn_plan_destroy(plan, g.mem);
        rig_close(&g);
    }
    made_free(m);
}
END_TEST

/* The native product counts an operand's elements in 31 bits: what has more is refused, not cut off. */
START_TEST(counts)
{
    struct hn_k_gemm g = { .n = 1 };
    const struct hn_gpu_node node = { .kernel = HN_KN_gemm, .args = &g };
    g.p[0] = (struct hn_k_product){ .a = { .stride = 784, .along = 1 }, .b = { .stride = 8 } };
    g.p[0].m = (struct hn_k_dim){ 1, 0 }, g.p[0].n = hn_gpu_fixed(8), g.p[0].k = hn_gpu_fixed(784);
    ck_assert(hn_gpu_gemm_fits(&node, 2739000) && !hn_gpu_gemm_fits(&node, 2740000));
    g.p[0].a = (struct hn_k_matrix){ .stride = 784 }; /* x' dy: the rows are the terms */
    g.p[0].m = hn_gpu_fixed(784), g.p[0].k = (struct hn_k_dim){ 1, 0 };
    ck_assert(hn_gpu_gemm_fits(&node, 2739000) && !hn_gpu_gemm_fits(&node, 2740000));
    g.p[0].a.stride = 8, g.p[0].b.stride = 784, g.p[0].n = hn_gpu_fixed(784);
    ck_assert(!hn_gpu_gemm_fits(&node, 2740000));
    ck_assert_int_eq((int)hn_gpu_gemm_blocks(&node, 100), 49 * 49);
}
END_TEST

HN_TEST_MAIN("gpu training", tcase_add_test(tc, counts); tcase_add_test(tc, precision);
             tcase_add_loop_test(tc, programs, 0, 60); tcase_add_loop_test(tc, same, 0, 7);
             tcase_add_loop_test(tc, same_in_strips, 0, 4); tcase_add_loop_test(tc, bad, 0, 6);
             tcase_add_loop_test(tc, faults, 0, 3); tcase_add_test(tc, options);)
