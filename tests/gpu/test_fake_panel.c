/* SPDX-License-Identifier: MIT
 *
 * The products in panels, every shape of them, over the fake device: gradients and outputs of layers of all widths, aligned or
 * not, weights as they are and transposed, rows of the data set in place and in any order, ragged slots, against the reference
 * backend; a replica alone against the same one in company, to the bit. */
#include "gpu/backend.h"
#include "gpu/exec.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"
#include "tests/gpu/fake.h"

enum { MOST = 1 << 16, SLOTS = 3, STEPS = 2, LAYERS = 4, WAYS = 15 };

struct shape {
    int width[LAYERS], trans, gathered;
    int64_t rows;
    double dropout, beta;
};
/* widths of 1, 3, 17, 65 and 785 are copied element by element, 10 and 30 by twos, the others in fours; the longest sums are many
 * chunks of every shape */
static const struct shape shapes[] = {
    { { 1, 100, 3, 1 }, 0, 1, 50, 0.2, 1 },    { { 784, 48, 24, 10 }, 0, 1, 70, 0, 1 },
    { { 784, 48, 24, 10 }, 1, 0, 50, 0, 0.5 }, { { 3, 17, 64, 65 }, 1, 1, 33, 0.5, 1 },
    { { 17, 80, 132, 8 }, 0, 1, 1, 0.5, 2 },   { { 64, 36, 68, 4 }, 0, 0, 200, 0.3, 1 },
    { { 785, 8, 16, 20 }, 0, 1, 40, 0, 1 },    { { 30, 128, 96, 17 }, 1, 1, 131, 0.5, 1 },
    { { 16, 64, 64, 32 }, 0, 1, 64, 0, 1 },    { { 12, 100, 100, 17 }, 1, 1, 97, 0.1, 1 },
};
static const char *const ways[WAYS] = {
    "gemm-impl=native,gemm-native=panels",    "gemm-impl=native,gemm-native=16x16",
    "gemm-impl=native,gemm-native=32x16",     "gemm-impl=native,gemm-native=64x16",
    "gemm-impl=native,gemm-native=64x32",     "gemm-impl=native,gemm-native=64x48",
    "gemm-impl=native,gemm-native=64x64",     "gemm-native=panels,graph=off",
    "gemm-impl=native,gemm-native=mma",       "gemm-impl=native,gemm-native=mma-16x16",
    "gemm-impl=native,gemm-native=mma-16x32", "gemm-impl=native,gemm-native=mma-64x16",
    "gemm-impl=native,gemm-native=mma-64x32", "gemm-impl=native,gemm-native=mma-32x48",
    "gemm-impl=native,gemm-native=mma-64x48",
};

struct net {
    struct tb t;
    struct hn_dense dense;
    struct hn_unary act[2];
    struct hn_dropout drop[LAYERS];
    struct hn_loss loss;
    struct rig_data d;
};

/* Its last layer's columns are numbers to come close to or, `classes`, logits. */
static void net_init(struct net *n, const struct shape *s, int classes)
{
    struct tb *t = &n->t;
    *n = (struct net){ .dense = { 0.75, s->beta, s->trans },
                       .act = { { HN_U_RELU, 0, 0 }, { HN_U_TANH, 0, 0 } },
                       .loss = { .weight = 1 } };
    tb_init(t);
    int y = tb_input(t, tb_shape(2, TB_N, s->width[0]));
    for (int i = 1; i < LAYERS; i++) {
        const int in = s->width[i - 1], out = s->width[i];
        const int w = tb_param(t, s->trans ? tb_shape(2, out, in) : tb_shape(2, in, out), 1);
        const int bias = tb_param(t, tb_shape(1, out), 1);
        for (int k = 0; k < (in == out ? 2 : 1); k++) /* twice: gradients are added to others */
            y = tb_op(t, &hn_op_dense, &n->dense, 3, (int[]){ y, w, bias });
        if (i == LAYERS - 1) break;
        y = tb_op(t, &hn_op_unary, &n->act[i - 1], 1, &y);
        n->drop[i] = (struct hn_dropout){ s->dropout, HN_STREAM_DROPOUT + (uint32_t)i, 0 };
        if (s->dropout > 0) y = tb_op(t, &hn_op_dropout, &n->drop[i], 1, &y);
    }
    tb_output(t, y);
    tb_loss(t, classes ? &hn_op_loss_ce : &hn_op_loss_regression, &n->loss, y,
            classes ? tb_target(t, tb_shape(1, TB_N))
                    : tb_target(t, tb_shape(2, TB_N, s->width[LAYERS - 1])),
            -1);
    tb_finish(t);
    ck_assert_int_lt((int)t->p.n_slab, MOST);
    rig_data_init(&n->d, t, classes ? s->width[LAYERS - 1] : 0, 5);
}
static void net_free(struct net *n)
{
    rig_data_free(&n->d);
    tb_free(&n->t);
}

struct setup {
    const struct hn_backend *b;
    const char *options;
    enum hn_pass pass;
    int slots, place, alone; /* alone: the other slots are dead; else they have fewer rows */
    enum hn_k_id kernel;     /* … is among the plan's nodes, or 0 */
    double partial[2];       /* the loss that came out, and its weight */
};
static double want[MOST], got[MOST], company[MOST];

static int has_kernel(const struct hn_gpu_exec *e, enum hn_k_id kernel)
{
    int n = 0;
    for (int i = 0; i < e->n_nodes; i++)
        n += e->nodes[i].kind == HN_GPU_KERNEL && e->nodes[i].kernel == kernel;
    return n;
}

/* Gradients, or weights after training, of the replica in slot `place`. */
static void run(const struct shape *s, struct net *n, struct setup *u, double *out)
{
    static uint32_t index[STEPS * 256];
    static const double lr[STEPS] = { 0.05, 0.02 };
    struct rig g;
    struct rig_replica r[SLOTS];
    struct hn_slot slot[SLOTS] = { 0 };
    hone_error err = { 0 };
    for (int i = 0; i < STEPS * 256; i++) index[i] = (uint32_t)(i * 37 % RIG_ROWS);
    rig_open(&g, u->b, &n->t, 1, u->options);
    rig_prepare(&g, u->pass, s->rows + 2, u->slots, &n->d);
    for (int i = 0; i < u->slots; i++) {
        rig_replica_init(&r[i], &g, &n->t, &rig_sgd, i == u->place ? 3 : 50 + (uint64_t)i);
        slot[i] = (struct hn_slot){ .r = &r[i].r,
                                    .data = g.data,
                                    .index = s->gathered ? index : NULL,
                                    .first = 11,
                                    .rows = i == u->place ? s->rows
                                            : u->alone    ? 0
                                                          : s->rows / 2,
                                    .lr = lr,
                                    .partial = r[i].partial };
    }
    HN_OK(u->b->run(g.exec, slot, u->slots, STEPS, &err), err);
    if (u->kernel) ck_assert_int_eq(has_kernel((const struct hn_gpu_exec *)g.exec, u->kernel), 1);
    memcpy(u->partial, r[u->place].partial, sizeof u->partial);
    ck_assert_int_eq((int)slot[u->place].bad_step, -1);
    rig_get(&g, r[u->place].r.slab[u->pass == HN_PASS_GRAD ? HN_SLAB_DW : HN_SLAB_W], out,
            n->t.p.n_slab);
    for (int i = 0; i < u->slots; i++) rig_replica_free(&r[i], &g);
    rig_unprepare(&g);
    rig_close(&g);
}

static void compare(const struct net *n, const struct setup *u, double bound)
{
    double most = 0;
    for (size_t i = 0; i < n->t.p.n_slab; i++) most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < n->t.p.n_slab; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= bound * most,
                      "%s, %d bytes, %d slots, pass %d: [%zu] is %.9g, wanted %.9g of at most %.3g",
                      u->options, (int)u->b->elem, u->slots, (int)u->pass, i, got[i], want[i],
                      most);
}

START_TEST(products)
{
    const struct shape *s = &shapes[_i];
    struct net *n = malloc(sizeof *n);
    net_init(n, s, 0);
    fake_reset();
    for (int p = 0; p < 2; p++) {
        const enum hn_pass pass = p ? HN_PASS_TRAIN : HN_PASS_GRAD;
        struct setup u = { .b = &hn_backend_reference, .pass = pass, .slots = 1 };
        if (!fake.present && p != _i % 2) continue; /* a device takes its time to open */
        run(s, n, &u, want);
        for (int k = 0; k < 2 * WAYS; k++) {
            if (p && k / 2 % (WAYS - 1)) continue; /* training: only what chooses shapes */
            u.b = k % 2 ? &hn_backend_cuda_f64 : &hn_backend_cuda_f32, u.options = ways[k / 2];
            u.slots = (k / 2 + p) % 2 ? SLOTS : 1, u.place = u.slots - 1;
            run(s, n, &u, got);
            compare(n, &u, k % 2 ? 1e-12 : 2e-5);
        }
    }
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs, 0);
    net_free(n);
    free(n);
}
END_TEST

/* The same bits in any slot, whatever the others do. */
START_TEST(same)
{
    const struct shape *s = &shapes[_i];
    struct net *n = malloc(sizeof *n);
    net_init(n, s, 0);
    fake_reset();
    for (int k = 0; k < WAYS; k += fake.present ? 1 : 5) {
        struct setup u = { .b = &hn_backend_cuda_f32,
                           .options = ways[k],
                           .pass = HN_PASS_TRAIN,
                           .slots = SLOTS,
                           .alone = 1 };
        run(s, n, &u, want);
        u.place = 1 + k % 2, u.alone = 0;
        run(s, n, &u, company);
        ck_assert_mem_eq(want, company, n->t.p.n_slab * sizeof *want);
    }
    net_free(n);
    free(n);
}
END_TEST

/* The loss of few classes in the launch of the product in front of it: the same bits as in one of its own. */
START_TEST(with_loss)
{
    static const struct shape few[] = {
        { { 8, 40, 12, 10 }, 1, 1, 37, 0, 1 }, { { 3, 17, 9, 2 }, 0, 0, 16, 0.5, 1 },
        { { 12, 20, 33, 16 }, 1, 1, 1, 0, 2 }, { { 5, 16, 16, 3 }, 0, 1, 130, 0.2, 1 },
        { { 7, 8, 24, 1 }, 0, 0, 20, 0, 1 },
    };
    static const enum hn_pass passes[] = { HN_PASS_GRAD, HN_PASS_TRAIN, HN_PASS_EVAL };
    const struct shape *s = &few[_i];
    struct net *n = malloc(sizeof *n);
    net_init(n, s, 1);
    fake_reset();
    for (int k = 0; k < 2 * 3 * 2; k++) {
        const int wide = k % 2, slots = k / 6 ? SLOTS : 1;
        struct setup u = { .b = &hn_backend_reference, .pass = passes[k / 2 % 3], .slots = 1 }, v;
        run(s, n, &u, company);
        u.b = wide ? &hn_backend_cuda_f64 : &hn_backend_cuda_f32;
        u.slots = slots, u.place = slots - 1;
        u.options = "gemm-native=mma,chain=off", u.kernel = HN_KN_loss;
        v = u, v.options = "gemm-native=mma", v.kernel = HN_KN_chain;
        run(s, n, &u, want);
        run(s, n, &v, got);
        ck_assert_mem_eq(want, got, n->t.p.n_slab * sizeof *want);
        ck_assert_mem_eq(u.partial, v.partial, sizeof u.partial);
        memcpy(want, company, sizeof want);
        compare(n, &v, wide ? 1e-12 : 2e-5);
    }
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs, 0);
    net_free(n);
    free(n);
}
END_TEST

/* Which shape: small ones where a launch would leave processors idle, large ones for many slots; it depends on nothing else. */
START_TEST(choice)
{
    static const struct {
        int64_t rows, n, k;
        int slots, elem, shape;
        enum hn_k_id kernel;
    } cases[] = {
        { 512, 48, 784, 1, 4, HN_KM_16x16, HN_KN_mma },
        { 128, 512, 784, 1, 4, HN_KM_16x32, HN_KN_mma },
        { 784, 512, 128, 1, 4, HN_KM_64x32, HN_KN_mma },
        { 512, 48, 784, 64, 4, HN_KM_64x48, HN_KN_mma },
        { 512, 48, 784, 64, 8, HN_KM_64x32, HN_KN_mma },
        { 512, 48, 784, 1, 4, HN_KP_16x16, HN_KN_panel },
        { 128, 512, 784, 1, 4, HN_KP_32x16, HN_KN_panel },
        { 784, 512, 128, 1, 4, HN_KP_64x32, HN_KN_panel },
        { 512, 48, 784, 64, 4, HN_KP_64x48, HN_KN_panel },
        { 4096, 4096, 512, 1, 4, HN_KP_64x64, HN_KN_panel },
        { 512, 64, 784, 64, 8, HN_KP_32x32, HN_KN_panel },
        { 50, 1, 100, 1, 8, HN_KP_16x16, HN_KN_panel },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_gpu_dev dev = { .elem = (size_t)cases[i].elem,
                                  .o = { .native = HN_GPU_BY_SIZE } };
        const struct hn_plan plan = { .max_rows = cases[i].rows };
        const struct hn_gpu_exec e = { .dev = &dev, .plan = &plan, .max_slots = cases[i].slots };
        struct hn_k_gemm g = { .n = 1 };
        const enum hn_k_id kernel = cases[i].kernel;
        const struct hn_gpu_node node = { .kernel = kernel, .args = &g };
        struct hn_k_product *p = &g.p[0];
        p->m = (struct hn_k_dim){ 1, 0 }, p->n = hn_gpu_fixed(cases[i].n);
        p->k = hn_gpu_fixed(cases[i].k);
        hn_gpu_panel_shape(&e, kernel, p);
        ck_assert_msg(p->shape == cases[i].shape, "case %zu: shape %d", i, p->shape);
        ck_assert_int_eq((int)hn_gpu_gemm_blocks(&node, (1 << p->row_bits) + 1),
                         2 * (int)((cases[i].n + p->cols - 1) / p->cols));
        p->ones = 1; /* and the sums of b's columns, 16 a block */
        hn_gpu_panel_shape(&e, kernel, p);
        ck_assert_int_eq((int)hn_gpu_gemm_blocks(&node, 1 << p->row_bits),
                         (int)((cases[i].n + p->cols - 1) / p->cols + (cases[i].n + 15) / 16));
        const int mma = kernel == HN_KN_mma, shapes_of = mma ? HN_KM_COUNT : HN_KP_COUNT;
        for (int f = 0; f < shapes_of && cases[i].elem == 4; f++) {
            dev.o.native = (mma ? HN_GPU_MMA_SHAPE : HN_GPU_SHAPE) + f;
            hn_gpu_panel_shape(&e, kernel, p);
            ck_assert(p->shape == f || (!mma && f == HN_KP_32x32));
        }
    }
}
END_TEST

/* What the kernel has no code for goes to the other one; rows of tiles are found by a multiplication. */
START_TEST(taken)
{
    struct hn_gpu_dev dev = { .elem = 4, .o = { .native = HN_GPU_SHAPE } };
    const struct hn_plan plan = { .max_rows = 1000 };
    const struct hn_gpu_exec e = { .dev = &dev, .plan = &plan, .max_slots = 1 };
    struct hn_k_gemm g = { .n = 1 };
    struct hn_k_product *p = &g.p[0];
    p->m = (struct hn_k_dim){ 1, 0 }, p->n = hn_gpu_fixed(16), p->k = hn_gpu_fixed(9);
    for (p->n.fixed = 1; hn_gpu_panel_takes(&e, &g); p->n.fixed += 1009) {
        hn_gpu_panel_shape(&e, HN_KN_panel, p);
        const int64_t tiles = hn_gpu_panel_blocks(p, 1000);
        for (int64_t row = 0; row < tiles / p->across; row++) { /* a row's first and last tile */
            ck_assert_int_eq((int)((uint64_t)(row * p->across) * p->magic >> 31), (int)row);
            ck_assert_int_eq((int)((uint64_t)((row + 1) * p->across - 1) * p->magic >> 31),
                             (int)row);
        }
    }
    ck_assert_int_gt((int)p->n.fixed, 50000);
    p->n.fixed = 16;
    ck_assert(hn_gpu_panel_takes(&e, &g));
    p->b.along = 1;
    ck_assert(!hn_gpu_panel_takes(&e, &g));
    p->a.along = 1;
    ck_assert(hn_gpu_panel_takes(&e, &g));
    p->n.per_row = 1;
    ck_assert(!hn_gpu_panel_takes(&e, &g));
}
END_TEST

HN_TEST_MAIN("gpu, products in panels", tcase_add_loop_test(tc, products, 0, 10);
             tcase_add_loop_test(tc, same, 0, 10); tcase_add_test(tc, choice);
             tcase_add_loop_test(tc, with_loss, 0, 5); tcase_add_test(tc, taken);)
