/* SPDX-License-Identifier: MIT
 *
 * Norms and losses in the launches of products (chain.c), over the fake device: networks of dense layers with BatchNormalization
 * between them, trained with and without, against the reference backend; how many launches that leaves; and what is not taken in. */
#include "gpu/backend.h"
#include "tests/gpu/training.h"
#include <stdio.h>

enum { LAYERS = 4, NETS = 8, MASKS = 7 };

struct net {
    int width[LAYERS], classes,
        trans;        /* classes: of a cross-entropy; 0: numbers to come close to */
    int acts[LAYERS]; /* behind each norm: 0 nothing, 1 ReLU, 2 tanh */
    int rows, frozen; /* frozen: bits, layers whose parameters do not learn */
    int fewer;        /* launches a step */
};
static const struct net nets[NETS] = {
    { { 16, 24, 32, 10 }, 10, 1, { 1, 1, 0 }, 64, 0, 3 },
    { { 16, 24, 32, 10 }, 10, 0, { 1, 0, 0 }, 37, 0, 3 },
    { { 5, 9, 17, 3 }, 3, 1, { 1, 1, 0 }, 17, 0, 3 },
    { { 84, 48, 24, 10 }, 10, 1, { 1, 1, 0 }, 1, 0, 3 },
    { { 8, 36, 128, 2 }, 0, 0, { 0, 1, 0 }, 50, 0, 2 },
    { { 8, 20, 24, 16 },
      16,
      1,
      { 2, 2, 0 },
      33,
      0,
      1 }, /* another function: the norm stays alone */
    { { 8, 20, 132, 17 }, 17, 1, { 1, 1, 0 }, 40, 0, 1 }, /* too many channels, and classes */
    { { 12, 20, 24, 4 },
      4,
      1,
      { 1, 1, 0 },
      40,
      6,
      1 }, /* nobody keeps a norm's input: its result lies there */
};

static struct made *made_net(const struct net *s)
{
    struct made *m = calloc(1, sizeof *m);
    struct tb *t = &m->t;
    tb_init(t);
    m->loss = (struct hn_loss){ .weight = 1 };
    m->classes = s->classes;
    int y = tb_input(t, tb_shape(2, TB_N, s->width[0]));
    for (int i = 1; i < LAYERS; i++) {
        const int in = s->width[i - 1], out = s->width[i], learns = !(s->frozen >> i & 1);
        const struct hn_shape row = tb_shape(1, out);
        m->dense[i] = (struct hn_dense){ 1, 1, s->trans };
        m->bn[i] = (struct hn_batchnorm){ 1e-3, 0.9, 0, 0 };
        m->unary[i].kind = s->acts[i - 1] == 1 ? HN_U_RELU : HN_U_TANH;
        y = tb_op(
            t, &hn_op_dense, &m->dense[i], 3,
            (int[]){ y, tb_param(t, s->trans ? tb_shape(2, out, in) : tb_shape(2, in, out), learns),
                     tb_param(t, row, learns) });
        if (i == LAYERS - 1) break;
        y = tb_op(t, &hn_op_batchnorm, &m->bn[i], 5,
                  (int[]){ y, tb_param(t, row, learns), tb_param(t, row, learns), tb_state(t, row),
                           tb_state(t, row) });
        if (s->acts[i - 1]) y = tb_op(t, &hn_op_unary, &m->unary[i], 1, &y);
    }
    tb_output(t, y);
    tb_loss(t, s->classes ? &hn_op_loss_ce : &hn_op_loss_regression, &m->loss, y,
            s->classes ? tb_target(t, tb_shape(1, TB_N))
                       : tb_target(t, tb_shape(2, TB_N, s->width[LAYERS - 1])),
            -1);
    tb_finish(t);
    return m;
}

static void expect_near(const struct outcome *a, const struct outcome *b, size_t n, double bound,
                        const char *what)
{
    ck_assert_int_eq(a->st, HONE_OK);
    ck_assert_int_eq(b->st, HONE_OK);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(fabs(a->w[i] - b->w[i]) <= bound * (1 + fabs(a->w[i])),
                      "%s: w[%zu] is %.12g, wanted %.12g", what, i, b->w[i], a->w[i]);
        ck_assert_msg(fabs(a->average[i] - b->average[i]) <= bound * (1 + fabs(a->average[i])),
                      "%s: the average's [%zu] is %.12g, wanted %.12g", what, i, b->average[i],
                      a->average[i]);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_double_eq_tol(a->partial[i], b->partial[i], bound * (1 + fabs(a->partial[i])));
}

static struct outcome want, alone, got, company;

START_TEST(chains)
{
    const struct net *s = &nets[_i];
    struct made *m = made_net(s);
    struct rig_data d;
    rig_data_init(&d, &m->t, s->classes, 9);
    for (int k = 0; k < 4; k++) {
        const int wide = k % 2, slots = k / 2 ? 3 : 1;
        struct setup u = {
            .b = &hn_backend_reference,
            .hyper =
                &hypers
                    [_i % 2
                         ? 2
                         : 0] /* biases in front of norms have gradients that are rounding alone: not for Adam */
            ,
            .slots = 1
        };
        char what[64];
        (void)snprintf(what, sizeof what, "net %d, float%d, %d slots", _i, wide ? 64 : 32, slots);
        u.rows = s->rows;
        train(m, &d, &u, &want);
        u.b = wide ? &hn_backend_cuda_f64 : &hn_backend_cuda_f32;
        u.slots = slots, u.place = slots - 1;
        fake_reset();
        u.options = "gemm-native=mma-16x16,chain=off,norm-width=4,graph=off";
        train(m, &d, &u, &alone);
        const int launches = fake.launches;
        fake_reset();
        u.options = "gemm-native=mma-16x16,norm-width=4,graph=off";
        train(m, &d, &u, &got);
        const int steps = TRAINED_STEPS + 2;
        if (fake.present) ck_assert_int_eq(launches - fake.launches, s->fewer * steps);
        expect_near(&want, &alone, m->t.p.n_slab, wide ? 1e-9 : 2e-3, "alone");
        expect_near(&want, &got, m->t.p.n_slab, wide ? 1e-9 : 2e-3, what);
        if (slots == 1) continue;
        u.ragged = 1; /* the same bits in any company */
        train(m, &d, &u, &company);
        expect_same(&got, &company, m->t.p.n_slab);
        u.options = "gemm-native=mma-16x16,norm-width=4";
        train(m, &d, &u, &company);
        expect_same(&got, &company, m->t.p.n_slab);
    }
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs, 0);
    rig_data_free(&d);
    tb_free(&m->t);
    free(m);
}
END_TEST

/* Whatever learns: what nobody asks for any more may lie where something else of the same launch goes. */
START_TEST(frozen)
{
    struct net s = nets[_i / MASKS ? 3 : 0];
    s.frozen = _i % MASKS << 1, s.trans = _i & 1;
    s.rows = 50;
    struct made *m = made_net(&s);
    struct rig_data d;
    rig_data_init(&d, &m->t, s.classes, 9);
    struct setup u = { .b = &hn_backend_reference, .hyper = &hypers[0], .slots = 1 };
    u.rows = s.rows;
    fake_reset();
    train(m, &d, &u, &want);
    u.b = &hn_backend_cuda_f64;
    for (u.slots = 1; u.slots <= 3; u.slots += 2) {
        u.options = "gemm-native=mma-16x16", u.place = u.slots - 1;
        train(m, &d, &u, &got);
        expect_near(&want, &got, m->t.p.n_slab, 1e-9, "frozen");
    }
    rig_data_free(&d);
    tb_free(&m->t);
    free(m);
}
END_TEST

HN_TEST_MAIN("gpu, norms and losses in the launches of products",
             tcase_add_loop_test(tc, chains, 0, NETS);
             tcase_add_loop_test(tc, frozen, 0, 2 * MASKS);)
