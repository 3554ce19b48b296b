/* SPDX-License-Identifier: MIT
 *
 * The optimizers' formulas against weights recorded from PyTorch, and what a step must leave alone. */
#include "ops/math/op.h"
#include "tests/harness.h"
#include <math.h>

enum { N = 8, SPLIT = 5, RECORDS = 3, SLAB = 64 };
struct optim_ref {
    const char *name;
    struct hn_hyper hyper;
    int multipliers;      /* the second parameter has a quarter of the rate and no decay */
    double w[RECORDS][N]; /* after 1, 2 and 12 steps */
};
#include "tests/data/optim_refs.h"
enum { N_REFS = sizeof optim_refs / sizeof *optim_refs };

/* Two trained parameters of 5 and 3 elements, then a frozen one and a state; each begins at a multiple of 16. */
static struct hn_param params[4] = {
    { .name = "a", .off = 0, .n = SPLIT, .flags = HN_PARAM_TRAINED, .lr_mult = 1, .decay_mult = 1 },
    { .name = "b",
      .off = 16,
      .n = N - SPLIT,
      .flags = HN_PARAM_TRAINED,
      .lr_mult = 1,
      .decay_mult = 1 },
    { .name = "c", .off = 32, .n = 4, .lr_mult = 1, .decay_mult = 1 },
    { .name = "d", .off = 48, .n = 4, .flags = HN_PARAM_STATE, .lr_mult = 1, .decay_mult = 1 },
};
static const struct hn_program program = {
    .params = params, .n_params = 4, .n_trained = 32, .n_slab = SLAB
};

struct slabs {
    double w[SLAB], dw[SLAB], m[SLAB], v[SLAB];
};

static int place(int i) { return i < SPLIT ? i : 16 + i - SPLIT; }
static double weight(int i) { return ((i * 29 + 7) % 32 - 15) / 8.0; }
static double gradient(int i, int t) { return ((i * 37 + t * 91 + 17) % 64 - 31) / 16.0; }

static void begin(struct slabs *s)
{
    for (int i = 0; i < SLAB; i++) s->w[i] = s->dw[i] = s->m[i] = s->v[i] = 777;
    for (int i = 0; i < N; i++) s->w[place(i)] = weight(i), s->m[place(i)] = s->v[place(i)] = 0;
}

/* Steps t = 1..last with the recorded schedule; the gradients are sums over `batches` batches. */
static void steps(struct slabs *s, const struct optim_ref *r, int from, int to, int batches)
{
    uint32_t need = hn_optim_slabs(r->hyper.optimizer, r->hyper.momentum);
    params[1].lr_mult = r->multipliers ? 0.25f : 1;
    params[1].decay_mult = r->multipliers ? 0 : 1;
    for (int t = from; t <= to; t++) {
        for (int i = 0; i < N; i++) s->dw[place(i)] = gradient(i, t) * batches;
        struct hn_optim_call c = {
            &r->hyper,     &program, s->w, s->dw, NULL, NULL, 0.05 * (1 - 0.05 * (t - 1)),
            1.0 / batches, t
        };
        if (need & 1u) c.m = s->m;
        if (need & 2u) c.v = s->v;
        hn_optim_reference(&c);
    }
}

START_TEST(weights_are_pytorchs)
{
    static const int at[RECORDS] = { 1, 2, 12 };
    const struct optim_ref *r = &optim_refs[_i];
    struct slabs s;
    begin(&s);
    for (int k = 0, t = 0; k < RECORDS; t = at[k++]) {
        steps(&s, r, t + 1, at[k], 1);
        for (int i = 0; i < N; i++)
            ck_assert_msg(fabs(s.w[place(i)] - r->w[k][i]) <= 1e-13 * fmax(1, fabs(r->w[k][i])),
                          "%s: element %d after %d steps is %.17g, PyTorch has %.17g", r->name, i,
                          at[k], s.w[place(i)], r->w[k][i]);
    }
}
END_TEST

START_TEST(only_trained_elements_move)
{
    struct slabs s;
    begin(&s);
    steps(&s, &optim_refs[_i], 1, 3, 1);
    for (int i = 0; i < SLAB; i++) {
        if (i < SPLIT || (i >= 16 && i < 16 + N - SPLIT)) continue;
        ck_assert_msg(s.w[i] == 777 && s.dw[i] == 777 && s.m[i] == 777 && s.v[i] == 777,
                      "element %d was touched", i);
    }
    for (int i = 0; i < N; i++)
        ck_assert(s.dw[place(i)] == gradient(i, 3)); /* gradients are only read */
}
END_TEST

START_TEST(accumulated_gradients_are_averaged)
{
    struct slabs one, four;
    begin(&one);
    begin(&four);
    steps(&one, &optim_refs[_i], 1, 5, 1);
    steps(&four, &optim_refs[_i], 1, 5, 4);
    for (int i = 0; i < N; i++) ck_assert_double_eq_tol(one.w[place(i)], four.w[place(i)], 1e-14);
}
END_TEST

START_TEST(state_slabs)
{
    static const uint32_t want[HN_OPTIMIZERS] = { 1, 1, 1, 2, 3, 3, 3 };
    for (int o = 0; o < HN_OPTIMIZERS; o++)
        ck_assert_uint_eq(hn_optim_slabs((enum hn_optimizer)o, 0.9), want[o]);
    ck_assert_uint_eq(hn_optim_slabs(HN_SGD, 0), 0);
    ck_assert_uint_eq(hn_optim_slabs(HN_MOMENTUM, 0), 0);
    ck_assert_uint_eq(hn_optim_slabs(HN_RMSPROP, 0), 2);
    ck_assert_uint_eq(hn_optim_slabs(HN_ADAM, 0), 3);
}
END_TEST

START_TEST(a_gradient_that_is_not_finite_shows)
{
    struct slabs s;
    struct hn_hyper h = { .optimizer = HN_SGD, .clip_norm = 1 };
    begin(&s);
    for (int i = 0; i < N; i++) s.dw[place(i)] = i == 2 ? (double)NAN : 1;
    struct hn_optim_call c = { &h, &program, s.w, s.dw, NULL, NULL, 0.1, 1, 1 };
    hn_optim_reference(&c);
    for (int i = 0; i < N; i++)
        ck_assert(isnan(s.w[place(i)])); /* the norm is NaN, as in clip_grad_norm_ */
}
END_TEST

HN_TEST_MAIN("optim", {
    tcase_add_loop_test(tc, weights_are_pytorchs, 0, N_REFS);
    tcase_add_loop_test(tc, only_trained_elements_move, 0, N_REFS);
    tcase_add_loop_test(tc, accumulated_gradients_are_averaged, 0, N_REFS);
    tcase_add_test(tc, state_slabs);
    tcase_add_test(tc, a_gradient_that_is_not_finite_shows);
})
