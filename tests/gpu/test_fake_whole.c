/* SPDX-License-Identifier: MIT
 *
 * Whole steps as one launch (steps=whole): chains of layers of many widths against the reference backend; the same bits for any number
 * of blocks, alone and in company, streamed or resident, with columns as they lie or converted; a step that goes bad; programs
 * it must leave to launches. */
#include "gpu/backend.h"
#include "gpu/exec.h"
#include "tests/gpu/training.h"

/* Layers of widths with and without whole fours, tiles and chunks, norms before and behind the function. */
static struct made *chain(uint64_t number)
{
    static const int widths[] = { 1, 3, 8, 17, 24, 48, 64, 65, 131, 260 };
    struct made *m = calloc(1, sizeof *m);
    m->state = number * 104729 + 7, m->dropout = 1;
    for (int i = 0; i < 5; i++) tb_random(&m->state);
    tb_init(&m->t);
    int width = widths[made_pick(m, 10)], layers = made_pick(m, 4);
    int y = tb_input(&m->t, tb_shape(2, TB_N, width));
    for (int i = 0; i < layers; i++) {
        const int wide = number % 4 == 3,
                  norm = made_pick(m, 4); /* so that products are dealt out */
        const int out = widths[wide ? 8 + made_pick(m, 2) : 1 + made_pick(m, 9)];
        y = made_dense(m, y, width, out), width = out;
        for (int k = 0; k < 2; k++) { /* before the function, or behind it */
            if (norm == k + 1 && out <= 65) {
                struct hn_batchnorm *a = &m->bn[m->n_bn++];
                struct tb *t = &m->t;
                *a = (struct hn_batchnorm){ 1e-3, 0.9, made_pick(m, 3) ? 0 : 2, made_pick(m, 2) };
                int scale = tb_param(t, tb_shape(1, out), made_pick(m, 3) != 0),
                    bias = tb_param(t, tb_shape(1, out), 1);
                int mean = tb_state(t, tb_shape(1, out)), var = tb_state(t, tb_shape(1, out));
                y = tb_op(t, &hn_op_batchnorm, a, 5, (int[]){ y, scale, bias, mean, var });
            }
            if (k == 0 && made_pick(m, 5)) y = made_unary(m, y);
        }
        if (made_pick(m, 2)) y = made_dropout(m, y);
    }
    const int out = 2 + made_pick(m, 9);
    y = made_dense(m, y, width, out);
    if (made_pick(m, 4) == 0) y = made_unary(m, y);
    tb_output(&m->t, y);
    struct hn_loss *l = &m->loss;
    const int kind = made_pick(m, 3);
    *l = (struct hn_loss){ .weight = 0.5 + 0.5 * made_pick(m, 2), .from_logits = 1 };
    if (kind == 0) m->classes = out;
    tb_loss(&m->t,
            kind == 0   ? &hn_op_loss_ce
            : kind == 1 ? &hn_op_loss_bce
                        : &hn_op_loss_regression,
            l, y, tb_target(&m->t, kind ? tb_shape(2, TB_N, out) : tb_shape(1, TB_N)), -1);
    tb_finish(&m->t);
    return m;
}

enum { STEPS = 6 }; /* with more of them float32 is too far from float64 */
static struct outcome want, got;

static void expect_near(const struct made *m, const char *what, int number, double bound)
{
    ck_assert_int_eq(got.st, HONE_OK);
    ck_assert_int_eq(got.bad, want.bad);
    ck_assert_mem_eq(&got.now, &want.now, sizeof got.now);
    for (size_t i = 0; i < m->t.p.n_slab; i++) {
        ck_assert_msg(fabs(got.w[i] - want.w[i]) <= bound * (1 + fabs(want.w[i])),
                      "chain %d, %s: w[%zu] is %.12g, wanted %.12g", number, what, i, got.w[i],
                      want.w[i]);
        ck_assert_msg(fabs(got.average[i] - want.average[i]) <= bound * (1 + fabs(want.average[i])),
                      "chain %d, %s: the average's [%zu] is %.12g, wanted %.12g", number, what, i,
                      got.average[i], want.average[i]);
    }
    ck_assert_double_eq_tol(got.partial[0], want.partial[0], bound * (1 + fabs(want.partial[0])));
    ck_assert_mem_eq(&got.partial[1], &want.partial[1], sizeof got.partial[1]);
}
static int64_t rows_for(int number)
{
    static const int64_t rows[] = { 1, 2, 8, 9, 50, 64, 127, 128 };
    return rows[number % 8];
}

START_TEST(chains)
{
    struct made *m = chain((uint64_t)_i);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = { .b = &hn_backend_reference,
                       .steps = STEPS,
                       .hyper = &hypers[_i % HYPERS_PLAIN],
                       .rows = rows_for(_i),
                       .slots = 1 };
    train(m, &d, &u, &want);
    fake_reset();
    fake.resident = 20;
    u.b = &hn_backend_cuda_f64, u.options = "steps=whole";
    train(m, &d, &u, &got);
    expect_near(m, "float64", _i, 1e-7);
    ck_assert(!fake.present || fake.wholes == 2);
    u.b = &hn_backend_cuda_f32;
    train(m, &d, &u, &got);
    if (want.bad < 0 && u.rows > 2) expect_near(m, "float32", _i, 2e-2);
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs + fake.gemms + fake.calls_held,
                     0);
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* Any number of blocks, company, and way of the rows. */
START_TEST(same)
{
    static const unsigned residents[] = { 3, 7, 40, 1000 };
    struct made *m = chain(1000 + (uint64_t)_i);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = { .b = &hn_backend_cuda_f32,
                       .steps = STEPS,
                       .options = "steps=whole",
                       .hyper = &hypers[_i % HYPERS_PLAIN],
                       .rows = rows_for(_i),
                       .slots = 1 };
    fake_reset();
    fake.resident = 1;
    train(m, &d, &u, &want);
    for (int i = 0; i < 4; i++) {
        fake.resident = residents[i];
        train(m, &d, &u, &got);
        expect_same(&want, &got, m->t.p.n_slab);
    }
    fake.resident = 20;
    u.options = "steps=whole,data=stream,stream-bytes=50000";
    train(m, &d, &u, &got);
    expect_same(&want, &got, m->t.p.n_slab);
    u.slots = 3, u.ragged = 1, u.options = "steps=whole";
    for (u.place = 0; u.place < 3; u.place += 2) {
        train(m, &d, &u, &got);
        expect_same(&want, &got, m->t.p.n_slab);
    }
    ck_assert(!fake.present || fake.wholes > 0);
    fake_reset();
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* Columns that have to be converted: bytes with a scale give what the same numbers as floats do. */
START_TEST(converted)
{
    struct made *m = chain(2000 + (uint64_t)_i);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = { .b = &hn_backend_cuda_f32,
                       .steps = STEPS,
                       .options = "steps=whole",
                       .hyper = &hypers[_i % HYPERS_PLAIN],
                       .rows = rows_for(_i),
                       .slots = 1 };
    const int64_t n = d.inputs[0].per_row * RIG_ROWS;
    float *as_float = d.memory[0];
    uint8_t *as_bytes = malloc((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        as_bytes[i] = (uint8_t)(i * 37 % 256);
        as_float[i] = (float)as_bytes[i] * 0.0078125f;
    }
    train(m, &d, &u, &want);
    d.inputs[0].data = as_bytes, d.inputs[0].dtype = HN_U8, d.inputs[0].scale = 0.0078125;
    train(m, &d, &u, &got);
    expect_same(&want, &got, m->t.p.n_slab);
    free(as_bytes);
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* A step whose loss is not finite changes nothing and ends the run. */
START_TEST(bad)
{
    struct made *m = chain(3000 + (uint64_t)_i);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = { .b = &hn_backend_reference,
                       .steps = STEPS,
                       .hyper = &hypers[0],
                       .rows = rows_for(_i + 2),
                       .slots = 1,
                       .bad_lr = 1e305 };
    train(m, &d, &u, &want);
    u.b = &hn_backend_cuda_f64, u.options = "steps=whole";
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

/* What is no chain, or has batches added up or clipped, is left to launches; any program trains right. */
START_TEST(others)
{
    static const int two[] = { HYPERS_ACCUMULATED, HYPERS_CLIPPED };
    struct made *m = _i < 2 ? chain(6) : made_program((uint64_t)_i, 1);
    struct rig_data d;
    rig_data_init(&d, &m->t, m->classes, 9);
    struct setup u = { .b = &hn_backend_reference,
                       .steps = STEPS,
                       .hyper = &hypers[_i < 2 ? two[_i] : _i % HYPERS_PLAIN],
                       .rows = 3 + _i % 29,
                       .slots = 1 };
    train(m, &d, &u, &want);
    fake_reset();
    u.b = &hn_backend_cuda_f64, u.options = "steps=whole";
    train(m, &d, &u, &got);
    expect_near(m, "float64", _i, 1e-6);
    ck_assert(_i > 1 || fake.wholes == 0);
    rig_data_free(&d);
    made_free(m);
}
END_TEST

HN_TEST_MAIN("gpu whole steps", tcase_add_loop_test(tc, chains, 0, 80);
             tcase_add_loop_test(tc, same, 0, 16); tcase_add_loop_test(tc, converted, 0, 8);
             tcase_add_loop_test(tc, bad, 0, 8); tcase_add_loop_test(tc, others, 0, 40);)
