/* SPDX-License-Identifier: MIT
 *
 * What the backend does for large layers, on small ones over the fake device: copies of a product's operands, rounded right, one
 * a step and never out of date (the fake's products round as the copies do, so that results have the same bits either way);
 * BatchNorm by blocks of more channels, which has the same bits, too, and in strips of rows, and what it does for the layer in
 * front of it. */
#include "gpu/backend.h"
#include "gpu/gpu.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"
#include "tests/gpu/fake.h"

enum { MOST = 8192, STEPS = 6, MOST_ROWS = 1500, INDEX = 4100 };

struct outcome {
    double w[MOST], partial[2];
    int launches;
};

static const struct hn_hyper hypers[] = {
    { .optimizer = HN_MOMENTUM, .momentum = 0.9, .accumulate = 1, .dropout = -1 },
    { .optimizer = HN_SGD, .accumulate = 2, .dropout = -1, .clip_norm = 1 },
};

static void train(const struct tb *t, const struct rig_data *d, const struct hn_backend *b,
                  const char *options, const struct hn_hyper *h, int64_t rows, struct outcome *out)
{
    struct rig g;
    struct rig_replica r;
    hone_error err = { 0 };
    double lr[STEPS];
    static uint32_t index[STEPS * INDEX];
    const int before = fake.launches;
    for (int i = 0; i < STEPS; i++)
        lr[i] = 0.002; /* on a device, two ways of rounding stay near each other */
    for (int i = 0; i < STEPS * INDEX; i++) index[i] = (uint32_t)(i * 61 % RIG_ROWS);
    ck_assert_int_lt((int)t->p.n_slab, MOST);
    rig_open(&g, b, t, 1, options);
    rig_prepare(&g, HN_PASS_TRAIN, rows + 3, 1, d);
    rig_replica_init(&r, &g, t, h, 3);
    struct hn_slot s = {
        .r = &r.r, .data = g.data, .index = index, .rows = rows, .lr = lr, .partial = r.partial
    };
    HN_OK(b->run(g.exec, &s, 1, STEPS, &err), err);
    ck_assert_int_eq((int)s.bad_step, -1);
    out->launches = fake.launches - before;
    rig_get(&g, r.r.slab[HN_SLAB_W], out->w, t->p.n_slab); /* and on, from other weights */
    for (size_t i = 0; i < t->p.n_slab; i++) out->w[i] *= 1.0625;
    rig_put(&g, r.r.slab[HN_SLAB_W], out->w, t->p.n_slab);
    HN_OK(b->run(g.exec, &s, 1, STEPS / 2, &err), err);
    rig_get(&g, r.r.slab[HN_SLAB_W], out->w, t->p.n_slab);
    memcpy(out->partial, r.partial, sizeof out->partial);
    rig_replica_free(&r, &g);
    rig_unprepare(&g);
    rig_close(&g);
}

/* Of products that are rounded in two ways only the losses are near each other. */
static void expect_near(const struct tb *t, const struct outcome *want, const struct outcome *got,
                        double b)
{
    for (size_t i = 0; i < t->p.n_slab && b < 1e-2; i++)
        ck_assert_msg(fabs(got->w[i] - want->w[i]) <= b * (1 + fabs(want->w[i])),
                      "w[%zu] is %.9g, wanted %.9g", i, got->w[i], want->w[i]);
    ck_assert(fabs(got->partial[0] - want->partial[0]) <= b * (1 + fabs(want->partial[0])));
}
/* Equal bits where products are the fake's. */
static void expect(const struct tb *t, const struct outcome *want, const struct outcome *got,
                   double bound)
{
    expect_near(t, want, got, fake.present ? 0 : bound);
}

/* Two layers that read one value, one matrix used twice, ReLUs in place, a BatchNorm, a last layer of 3. */
struct net {
    struct tb t;
    struct hn_dense dense[2]; /* as it is, transposed */
    struct hn_batchnorm bn;
    struct hn_unary relu;
    struct hn_binary add;
    struct hn_loss loss;
    int trans;
};

static int layer(struct net *n, int x, int in, int out, int trans)
{
    struct tb *t = &n->t;
    const int w = tb_param(t, trans ? tb_shape(2, out, in) : tb_shape(2, in, out), 1);
    return tb_op(t, &hn_op_dense, &n->dense[trans], 3,
                 (int[]){ x, w, tb_param(t, tb_shape(1, out), 1) });
}

static void net_init(struct net *n, int trans)
{
    struct tb *t = &n->t;
    *n = (struct net){ .dense = { { 1, 1, 0 }, { 1, 1, 1 } },
                       .bn = { 1e-3, 0.9, 0, 0 },
                       .relu = { HN_U_RELU, 0, 0 },
                       .add = { HN_B_ADD },
                       .loss = { .weight = 1 },
                       .trans = trans };
    tb_init(t);
    int x = tb_input(t, tb_shape(2, TB_N, 16));
    int h = layer(n, x, 16, 24, trans);
    h = tb_op(t, &hn_op_unary, &n->relu, 1, &h);
    int g = layer(n, h, 24, 32, 1);
    g = tb_op(t, &hn_op_batchnorm, &n->bn, 5,
              (int[]){ g, tb_param(t, tb_shape(1, 32), 1), tb_param(t, tb_shape(1, 32), 1),
                       tb_state(t, tb_shape(1, 32)), tb_state(t, tb_shape(1, 32)) });
    g = tb_op(t, &hn_op_unary, &n->relu, 1, &g);
    int y = tb_op(t, &hn_op_binary, &n->add, 2, (int[]){ g, layer(n, h, 24, 32, 0) });
    const int w = tb_param(t, tb_shape(2, 32, 32), 1);
    for (int i = 0; i < 2; i++) y = tb_op(t, &hn_op_dense, &n->dense[trans], 2, (int[]){ y, w });
    y = layer(n, layer(n, y, 32, 8, trans), 8, 3, 0);
    tb_output(t, y);
    tb_loss(t, &hn_op_loss_ce, &n->loss, y, tb_target(t, tb_shape(1, TB_N)), -1);
    tb_finish(t);
}

struct form { /* of the operands: what is compared with what */
    const char *plain, *copied;
    double bound; /* between the two, on a real device */
};
static const struct form forms[] = {
    { "bn-impl=native,norm-width=4,gemm-impl=library,math=bf16,operands=plain",
      "bn-impl=native,norm-width=4,gemm-impl=library,math=bf16,operands=converted", 2e-1 },
    { "bn-impl=native,norm-width=4,gemm-impl=library,math=tf32,operands=plain",
      "bn-impl=native,norm-width=4,gemm-impl=library,math=tf32,operands=transposed", 3e-2 },
};
static struct outcome want, got;

/* The same numbers, with one launch more a step for each matrix: inputs, weights and gradients of the layers but the last, the
 * shared input and the matrix used twice once, the gradient that the norm makes by the norm. As bfloat16 weights are copied once
 * a call more, and no more than that, since the optimizer writes both; transposed they are never needed. */
START_TEST(copies)
{
    const struct form *f = &forms[_i % 2];
    const int trans = _i / 2 % 2, rows = _i < 4 ? 12 : 7;
    const int each = 10, once = _i % 2 ? 0 : 5;
    static struct net n;
    struct rig_data d;
    char plain[96], copied[96];
    net_init(&n, trans);
    rig_data_init(&d, &n.t, 3, 9);
    (void)snprintf(plain, sizeof plain, "%s,graph=off", f->plain);
    (void)snprintf(copied, sizeof copied, "%s,graph=off", f->copied);
    for (int k = 0; k < 2; k++) {
        fake_reset();
        train(&n.t, &d, &hn_backend_cuda_f32, plain, &hypers[k], rows, &want);
        train(&n.t, &d, &hn_backend_cuda_f32, copied, &hypers[k], rows, &got);
        expect(&n.t, &want, &got, f->bound);
        if (fake.present) ck_assert_int_eq(got.launches - want.launches, each * STEPS + once);
        train(&n.t, &d, &hn_backend_cuda_f32, f->copied, &hypers[k], rows, &got);
        expect(&n.t, &want, &got, f->bound);
        fake.no_epilogue = 1; /* what takes the library's place reads the values themselves */
        train(&n.t, &d, &hn_backend_cuda_f32, plain, &hypers[k], rows, &want);
        train(&n.t, &d, &hn_backend_cuda_f32, copied, &hypers[k], rows, &got);
        expect(&n.t, &want, &got, f->bound);
    }
    rig_data_free(&d);
    tb_free(&n.t);
}
END_TEST

/* Layers with a norm between them leave their own copies: launches are one for the input and one for each matrix. */
static void chain_init(struct net *n, int trans)
{
    struct tb *t = &n->t;
    static const int width[] = { 16, 24, 32, 8 };
    *n = (struct net){ .dense = { { 1, 1, 0 }, { 1, 1, 1 } },
                       .bn = { 1e-3, 0.9, 0, 0 },
                       .relu = { HN_U_RELU, 0, 0 },
                       .loss = { .weight = 1 },
                       .trans = trans };
    tb_init(t);
    int y = tb_input(t, tb_shape(2, TB_N, width[0]));
    for (int i = 1; i < 4; i++) {
        const struct hn_shape s = tb_shape(1, width[i]);
        y = layer(n, y, width[i - 1], width[i], trans);
        y = tb_op(
            t, &hn_op_batchnorm, &n->bn, 5,
            (int[]){ y, tb_param(t, s, 1), tb_param(t, s, 1), tb_state(t, s), tb_state(t, s) });
        if (i != 2) y = tb_op(t, &hn_op_unary, &n->relu, 1, &y);
    }
    y = layer(n, y, 8, 3, 0);
    tb_output(t, y);
    tb_loss(t, &hn_op_loss_ce, &n->loss, y, tb_target(t, tb_shape(1, TB_N)), -1);
    tb_finish(t);
}

START_TEST(copies_by_norms)
{
    static const char *const channels[] = { "4", "8", "16", "strips" };
    static const int64_t rows[] = { 9, 130, MOST_ROWS };
    const struct form *f = &forms[_i % 2];
    const int trans = _i / 2 % 2;
    static struct net n;
    struct rig_data d;
    char plain[128], copied[128];
    chain_init(&n, trans);
    rig_data_init(&d, &n.t, 3, 9);
    fake_reset();
    for (int k = 0; k < 3; k++) {
        (void)snprintf(plain, sizeof plain, "%s,graph=off,norm-width=%s", f->plain,
                       _i / 4 < 3 ? "4" : channels[3]); /* strips add up in another order */
        (void)snprintf(copied, sizeof copied, "%s,graph=off,norm-width=%s", f->copied,
                       channels[_i / 4]);
        train(&n.t, &d, &hn_backend_cuda_f32, plain, &hypers[0], rows[k], &want);
        train(&n.t, &d, &hn_backend_cuda_f32, copied, &hypers[0], rows[k], &got);
        expect(&n.t, &want, &got, f->bound);
        if (fake.present) ck_assert_int_eq(got.launches - want.launches, STEPS + (_i % 2 ? 0 : 3));
    }
    rig_data_free(&d);
    tb_free(&n.t);
}
END_TEST

START_TEST(programs)
{
    struct made *m = made_program(300 + (uint64_t)_i, 1);
    const struct form *f = &forms[_i % 2];
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    fake_reset();
    train(&m->t, &d, &hn_backend_cuda_f32, f->plain, &hypers[_i / 2 % 2], 3 + _i, &want);
    train(&m->t, &d, &hn_backend_cuda_f32, f->copied, &hypers[_i / 2 % 2], 3 + _i, &got);
    if (fake.present) expect(&m->t, &want, &got, 0); /* others drift apart */
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* ---- BatchNorm by blocks of 4, 8 and 16 channels ---------------------------------------------------------------------- */

struct norms {
    struct tb t;
    struct hn_dense dense;
    struct hn_batchnorm bn[2]; /* batch statistics, running ones */
    struct hn_unary relu;
    struct hn_loss loss;
};

static int normalised(struct norms *n, int x, int channels, int running)
{
    struct tb *t = &n->t;
    return tb_op(t, &hn_op_batchnorm, &n->bn[running], 5,
                 (int[]){ x, tb_param(t, tb_shape(1, channels), 1),
                          tb_param(t, tb_shape(1, channels), 1), tb_state(t, tb_shape(1, channels)),
                          tb_state(t, tb_shape(1, channels)) });
}

/* Layers of w channels, with a ReLU, with another one, with running statistics; [N, w] seen as [N, w / 2, 2] at the end. */
static void norms_init(struct norms *n, int w)
{
    struct tb *t = &n->t;
    *n = (struct norms){ .dense = { 1, 1, 0 },
                         .bn = { { 1e-3, 0.9, 0, 0 }, { 1e-3, 0.9, 1, 0 } },
                         .relu = { HN_U_RELU, 0, 0 },
                         .loss = { .weight = 1 } };
    tb_init(t);
    int y = tb_input(t, tb_shape(2, TB_N, 5));
    for (int i = 0; i < 3; i++) {
        y = tb_op(t, &hn_op_dense, &n->dense, 2,
                  (int[]){ y, tb_param(t, tb_shape(2, i ? w : 5, w), 1) });
        y = normalised(n, y, w, i == 2);
        if (i != 1) y = tb_op(t, &hn_op_unary, &n->relu, 1, &y);
    }
    if (w % 2 == 0) {
        y = normalised(n, tb_view(t, y, tb_shape(3, TB_N, w / 2, 2)), w / 2, 0);
        y = tb_view(t, y, tb_shape(2, TB_N, w));
    }
    tb_output(t, y);
    tb_loss(t, &hn_op_loss_ce, &n->loss, y, tb_target(t, tb_shape(1, TB_N)), -1);
    tb_finish(t);
}

/* Channels that fill blocks, begin one, or cannot be taken by two or four; rows that are kept, and more. */
START_TEST(widths)
{
    static const int channels[] = { 4, 16, 20, 22, 7, 36 };
    static const int64_t rows[] = { 1, 9, 130, MOST_ROWS };
    static const char *const ways[] = { "bn-impl=native,norm-width=8",
                                        "bn-impl=native,norm-width=16",
                                        "bn-impl=native,norm-width=1",
                                        "bn-impl=native,norm-width=strips" };
    const struct hn_backend *b = _i % 2 ? &hn_backend_cuda_f64 : &hn_backend_cuda_f32;
    static struct norms n;
    struct rig_data d;
    norms_init(&n, channels[_i / 2 % 6]);
    rig_data_init(&d, &n.t, channels[_i / 2 % 6], 9);
    fake_reset();
    for (int i = 0; i < 4; i++) {
        train(&n.t, &d, b, "bn-impl=native,norm-width=4", &hypers[0], rows[i], &want);
        for (int k = 0; k < 4; k++) { /* a block for each channel adds up in another order */
            train(&n.t, &d, b, ways[k], &hypers[0], rows[i], &got);
            if (k < 2)
                expect(&n.t, &want, &got, 1e-4);
            else
                expect_near(&n.t, &want, &got, _i % 2 ? 1e-9 : 1e-4);
        }
        if (_i % 2 == 0) continue;
        train(&n.t, &d, &hn_backend_reference, "", &hypers[0], rows[i], &want);
        for (size_t k = 0; k < n.t.p.n_slab; k++)
            ck_assert_double_eq_tol(got.w[k], want.w[k], 1e-6 * (1 + fabs(want.w[k])));
    }
    rig_data_free(&d);
    tb_free(&n.t);
}
END_TEST

/* Strips whose rows are no whole one, one, a few, and more than a thread's rounds; with the launches that this takes: backward
 * one more for each of the three norms of rows, forward for the two that have batch statistics. */
START_TEST(strips)
{
    static const int channels[] = { 4, 36, 44, 22 };
    static const int64_t rows[] = { 1, 127, 256, 700, 4100 };
    const int64_t n = rows[_i / 4];
    const int w = channels[_i % 4], more = w % 4 ? 0 : 5 * STEPS;
    static struct norms net;
    struct rig_data d;
    norms_init(&net, w);
    rig_data_init(&d, &net.t, w, 9);
    fake_reset();
    train(&net.t, &d, &hn_backend_cuda_f64, "norm-width=4,graph=off", &hypers[1], n, &want);
    train(&net.t, &d, &hn_backend_cuda_f64, "norm-width=strips,graph=off", &hypers[1], n, &got);
    expect_near(&net.t, &want, &got, 1e-9);
    if (fake.present) ck_assert_int_eq(got.launches - want.launches, more);
    train(&net.t, &d, &hn_backend_cuda_f32, "norm-width=4", &hypers[1], n, &want);
    train(&net.t, &d, &hn_backend_cuda_f32, "norm-width=strips", &hypers[1], n, &got);
    expect_near(&net.t, &want, &got, 1e-4);
    rig_data_free(&d);
    tb_free(&net.t);
}
END_TEST

/* ---- bias gradients by the norm behind a layer -------------------------------------------------------------------------- */

/* Three layers with a norm behind them: with running statistics, where the sums are not nearly 0; scaled; the first one's bias
 * once more, so that its gradient is added to. Behind the last one there is none, and behind the fourth only part of the way. */
static void biases_init(struct norms *n, struct hn_dense dense[2])
{
    struct tb *t = &n->t;
    *n = (struct norms){ .bn = { { 1e-3, 0.9, 0, 0 }, { 1e-3, 0.9, 1, 0 } },
                         .relu = { HN_U_RELU, 0, 0 },
                         .loss = { .weight = 1 } };
    dense[0] = (struct hn_dense){ 1, 1, 0 }, dense[1] = (struct hn_dense){ 0.75, 0.5, 1 };
    tb_init(t);
    int y = tb_input(t, tb_shape(2, TB_N, 12)), b = tb_param(t, tb_shape(1, 12), 1);
    for (int i = 0; i < 4; i++) {
        const int bias = i % 2 ? tb_param(t, tb_shape(1, 12), 1) : b;
        y = tb_op(t, &hn_op_dense, &dense[i == 1], 3,
                  (int[]){ y, tb_param(t, tb_shape(2, 12, 12), 1), bias });
        if (i == 3) y = tb_op(t, &hn_op_unary, &n->relu, 1, &y);
        y = normalised(n, y, 12, i != 1);
        if (i == 0) y = tb_op(t, &hn_op_unary, &n->relu, 1, &y);
    }
    y = tb_op(t, &hn_op_dense, &dense[0], 3,
              (int[]){ y, tb_param(t, tb_shape(2, 12, 3), 1), tb_param(t, tb_shape(1, 3), 1) });
    tb_output(t, y);
    tb_loss(t, &hn_op_loss_ce, &n->loss, y, tb_target(t, tb_shape(1, TB_N)), -1);
    tb_finish(t);
}

START_TEST(biases)
{
    static const char *const channels[] = { "4", "8", "16", "strips" };
    static struct norms n;
    static struct hn_dense dense[2];
    static const int64_t rows[] = { 9, 130, 700 };
    struct rig_data d;
    char text[128], layer[160];
    biases_init(&n, dense);
    rig_data_init(&d, &n.t, 3, 9);
    (void)snprintf(text, sizeof text, "bn-impl=native,gemm-impl=library,graph=off,norm-width=%s",
                   channels[_i % 4]);
    (void)snprintf(layer, sizeof layer, "%s,bias-sums=layer", text);
    for (int k = 0; k < 2; k++) { /* the second accumulates */
        static struct outcome by_layer;
        fake_reset();
        fake.no_epilogue = 1; /* a layer's own sums are a launch */
        train(&n.t, &d, &hn_backend_reference, "", &hypers[k], rows[_i / 4], &want);
        train(&n.t, &d, &hn_backend_cuda_f64, layer, &hypers[k], rows[_i / 4], &by_layer);
        train(&n.t, &d, &hn_backend_cuda_f64, text, &hypers[k], rows[_i / 4], &got);
        if (fake.present) ck_assert_int_eq(by_layer.launches - got.launches, 3 * STEPS);
        for (size_t i = 0; i < n.t.p.n_slab; i++)
            ck_assert_msg(fabs(got.w[i] - want.w[i]) <= 1e-9 * (1 + fabs(want.w[i])),
                          "w[%zu] is %.12g, wanted %.12g", i, got.w[i], want.w[i]);
    }
    rig_data_free(&d);
    tb_free(&n.t);
}
END_TEST

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

struct bench { /* one slot, its arena in two halves: what a kernel reads and what it writes */
    struct hn_mem mem;
    void *ctx, *slot, *arena;
    size_t half;
};

static void launch(struct bench *b, enum hn_k_id id, struct hn_gpu_grid grid, void *args,
                   size_t bytes, const void *in, void *out, int64_t rows)
{
    const struct hn_gpu_layer *l = &hn_gpu_layer;
    const struct hn_k_slot s = { .rows = rows };
    hone_error err;
    struct hn_k_env *env = args;
    hn_mem_init(&b->mem, 0);
    HN_OK(l->open(&b->mem, 0, 0, &b->ctx, &err), err);
    HN_OK(l->alloc(b->ctx, sizeof s, &b->slot, &err), err);
    HN_OK(l->alloc(b->ctx, 2 * b->half, &b->arena, &err), err);
    *env = (struct hn_k_env){ .slots = b->slot, .arena = b->arena };
    HN_OK(l->copy(b->ctx, b->slot, &s, sizeof s, HN_GPU_UP, &err), err);
    HN_OK(l->copy(b->ctx, b->arena, in, b->half, HN_GPU_UP, &err), err);
    HN_OK(l->launch(b->ctx, id, 4, grid, args, bytes, &err), err);
    HN_OK(l->copy(b->ctx, out, (char *)b->arena + b->half, b->half, HN_GPU_DOWN, &err), err);
    HN_OK(l->sync(b->ctx, &err), err);
    l->release(b->ctx, b->slot);
    l->release(b->ctx, b->arena);
    l->close(b->ctx);
}

/* To the nearest, ties to even, across the largest number; signs, subnormals, infinite and NaN. */
START_TEST(rounding)
{
    static const uint32_t in[] = { 0,          0x80000000, 0x3f800000, 0x3f808000, 0x3f818000,
                                   0x3f808001, 0x3f807fff, 0xbf818000, 0x7f7fffff, 0x7f7f7fff,
                                   0x7f800000, 0xff800000, 0x7f800001, 0xff80ffff, 0x7fffffff,
                                   0x00008000, 0x00018000, 0x00000001, 0x80008001, 0x42f70a3d };
    static const uint16_t out[] = { 0,      0x8000, 0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80,
                                    0xbf82, 0x7f80, 0x7f7f, 0x7f80, 0xff80, 0x7fc0, 0xffc0,
                                    0x7fff, 0x0000, 0x0002, 0x0000, 0x8001, 0x42f7 };
    enum { N = sizeof in / sizeof *in, COUNT = 8 * (N + 2 * HN_BLOCK) };
    static uint32_t from[COUNT];
    static uint16_t to[2 * COUNT];
    struct hn_k_convert k = { .from = { HN_KS_ARENA, 0 }, .to = { HN_KS_ARENA, 4 * COUNT } };
    struct bench b = { .half = sizeof from };
    for (int i = 0; i < COUNT; i++) from[i] = in[i % N];
    k.n = (struct hn_k_dim){ 8, 0 };
    fake_reset();
    launch(&b, HN_KN_convert, (struct hn_gpu_grid){ 2, 1, 1 }, &k, sizeof k, from, to, COUNT / 8);
    for (int i = 0; i < COUNT; i++)
        ck_assert_msg(to[i] == out[i % N], "%08x became %04x, wanted %04x", from[i], to[i],
                      out[i % N]);
}
END_TEST

/* Whole tiles and parts of them, lines of any length. */
START_TEST(turned)
{
    static const int sizes[][2] = { { 64, 64 }, { 1, 8 }, { 70, 136 }, { 131, 72 }, { 8, 5 } };
    static float from[131 * 136], to[131 * 136];
    const int rows = sizes[_i][0], cols = sizes[_i][1];
    struct bench b = { .half = (size_t)(rows * cols) * sizeof *from };
    struct hn_k_turn k = { .from = { HN_KS_ARENA, 0 }, .to = { HN_KS_ARENA, b.half } };
    const struct hn_gpu_grid grid = { (uint32_t)(rows + HN_K_SIDE - 1) / HN_K_SIDE,
                                      (uint32_t)(cols + HN_K_SIDE - 1) / HN_K_SIDE, 1 };
    k.rows = (struct hn_k_dim){ 1, 0 }, k.cols = cols;
    for (int i = 0; i < rows * cols; i++) from[i] = (float)i;
    fake_reset();
    launch(&b, HN_KN_turn, grid, &k, sizeof k, from, to, rows);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++)
            ck_assert_int_eq((int)to[c * rows + r], (int)from[r * cols + c]);
}
END_TEST

/* A form of the operands goes with its precision, and with no other. */
START_TEST(options)
{
    static const char *const wrong[] = { "norm-width=2",
                                         "bias-sums=norm",
                                         "operands=converted",
                                         "operands=transposed",
                                         "math=tf32,operands=converted",
                                         "math=bf16,operands=transposed",
                                         "operands=both" };
    hone_error err = { 0 };
    struct hn_mem mem;
    void *dev;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    fake_reset();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(hn_backend_cuda_f32.open(&host, wrong[i], &dev, &err), HONE_E_USAGE);
        ck_assert_msg(!dev && strstr(err.text, i < 1 ? "norm-width=auto, norm-width=1, norm-width=4"
                                               : i < 2 ? "bias-sums=auto, bias-sums=layer"
                                                       : "operands="),
                      "'%s': %s", wrong[i], err.text);
    }
}
END_TEST

HN_TEST_MAIN("gpu, large layers", tcase_add_loop_test(tc, copies, 0, 8);
             tcase_add_loop_test(tc, copies_by_norms, 0, 16);
             tcase_add_loop_test(tc, programs, 0, 40); tcase_add_test(tc, rounding);
             tcase_add_loop_test(tc, turned, 0, 5); tcase_add_loop_test(tc, widths, 0, 12);
             tcase_add_loop_test(tc, strips, 0, 20); tcase_add_loop_test(tc, biases, 0, 12);
             tcase_add_test(tc, options);)
