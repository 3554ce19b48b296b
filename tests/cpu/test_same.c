/* SPDX-License-Identifier: MIT
 *
 * What must be the same bits: any number of threads, alone or in a cohort of any size with slots of different rows,
 * consecutive rows read in place or through an index, from any element type, in one call or several. And what must not happen: allocations after
 * the first run, changes of the floating-point mode. */
#include "ops/base/pool.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"

enum { PROGRAMS = 24, STEPS = 6, MAX_SLOTS = 8 };

static const struct {
    int in, hidden, out;
} wide = { 40, 300, 10 };

/* Wide enough for several tiles and tasks: dense-BN-relu-dropout twice. */
static struct made *wide_program(void)
{
    struct made *m = calloc(1, sizeof *m);
    struct tb *t = &m->t;
    m->state = 5, m->dropout = 1, m->classes = wide.out;
    m->unary[0].kind = HN_U_RELU;
    tb_init(t);
    int y = tb_input(t, tb_shape(2, TB_N, wide.in));
    for (int i = 0, in = wide.in; i < 2; i++, in = wide.hidden) {
        m->dense[i] = (struct hn_dense){ 1, 1, i };
        m->bn[i] = (struct hn_batchnorm){ 1e-5, 0.9, 0, 0 };
        m->drop[i] = (struct hn_dropout){ 0.3, HN_STREAM_DROPOUT + 1 + (uint32_t)i, 0 };
        struct hn_shape vec = tb_shape(1, wide.hidden);
        int w = tb_param(t, i ? tb_shape(2, wide.hidden, in) : tb_shape(2, in, wide.hidden), 1),
            b = tb_param(t, vec, 1);
        y = tb_op(t, &hn_op_dense, &m->dense[i], 3, (int[]){ y, w, b });
        int scale = tb_param(t, vec, 1), bias = tb_param(t, vec, 1), mean = tb_state(t, vec),
            var = tb_state(t, vec);
        y = tb_op(t, &hn_op_batchnorm, &m->bn[i], 5, (int[]){ y, scale, bias, mean, var });
        y = tb_op(t, &hn_op_unary, &m->unary[0], 1, &y);
        y = tb_op(t, &hn_op_dropout, &m->drop[i], 1, &y);
    }
    m->dense[2] = (struct hn_dense){ 1, 1, 0 };
    int w = tb_param(t, tb_shape(2, wide.hidden, wide.out), 1);
    y = tb_op(t, &hn_op_dense, &m->dense[2], 2, (int[]){ y, w });
    tb_output(t, y);
    m->loss.weight = 1;
    tb_loss(t, &hn_op_loss_ce, &m->loss, y, tb_target(t, tb_shape(1, TB_N)), -1);
    tb_finish(t);
    return m;
}

static struct made *program_at(int i)
{
    return i == 0 ? wide_program() : made_program((uint64_t)i, 1);
}

struct result { /* everything a replica ends with */
    float *slabs[4];
    double partial[2];
    struct hn_clock now;
};

/* Trains n_slots replicas (slot k: 23 k rows fewer than slot 0) on so many threads; results[k] are of slot k. */
struct job {
    int threads, n_slots, indexed, calls;
    int64_t rows; /* of slot 0; 0: 200 */
};

static void take(struct result *out, struct rig *g, struct rig_replica *r)
{
    hone_error err = { 0 };
    static const enum hn_slab slabs[4] = { HN_SLAB_W, HN_SLAB_M, HN_SLAB_V, HN_SLAB_AVERAGE };
    for (int i = 0; i < 4; i++) {
        out->slabs[i] = calloc(g->p->n_slab + 1, sizeof(float));
        HN_OK(g->b->get(g->dev, r->r.slab[slabs[i]], 0, out->slabs[i], g->p->n_slab * sizeof(float),
                        &err),
              err);
    }
    out->partial[0] = r->partial[0], out->partial[1] = r->partial[1];
    out->now = r->r.now;
}

static int64_t slot_rows(const struct job *j, int k) { return (j->rows ? j->rows : 200) - 23 * k; }

static void train(const struct made *m, const struct rig_data *d, const struct job *j,
                  struct result *out)
{
    hone_error err = { 0 };
    struct rig g;
    struct rig_replica *r = calloc(MAX_SLOTS, sizeof *r);
    struct hn_slot slots[MAX_SLOTS] = { 0 };
    double lr[STEPS];
    uint32_t *index = malloc(STEPS * 200 * sizeof *index);
    for (uint32_t i = 0; i < STEPS * 200; i++) index[i] = i % RIG_ROWS;
    for (int i = 0; i < STEPS; i++) lr[i] = 0.01;
    rig_open(&g, &hn_backend_cpu, &m->t, j->threads, NULL);
    rig_prepare(&g, HN_PASS_TRAIN, 200, j->n_slots, d);
    for (int k = 0; k < j->n_slots; k++)
        rig_replica_init(&r[k], &g, &m->t, &rig_adam, 100 + (uint64_t)k);
    for (int c = 0, per = STEPS / j->calls; c < j->calls; c++) {
        size_t before = g.mem->count;
        for (int k = 0; k < j->n_slots; k++) {
            int64_t at = c * per * slot_rows(j, k);
            slots[k] = (struct hn_slot){ .r = &r[k].r,
                                         .data = g.data,
                                         .first = at,
                                         .rows = slot_rows(j, k),
                                         .lr = lr,
                                         .partial = r[k].partial };
            if (j->indexed) slots[k].index = index + at;
        }
        HN_OK(g.b->run(g.exec, slots, j->n_slots, per, &err), err);
        ck_assert_msg(c == 0 || g.mem->count == before, "run() allocated");
    }
    for (int k = 0; k < j->n_slots; k++) take(&out[k], &g, &r[k]), rig_replica_free(&r[k], &g);
    rig_unprepare(&g);
    rig_close(&g);
    free(r), free(index);
}

static void compare(const struct made *m, const struct result *a, const struct result *b,
                    const char *what, int n)
{
    for (int i = 0; i < 4; i++)
        ck_assert_msg(!memcmp(a->slabs[i], b->slabs[i], m->t.p.n_slab * sizeof(float)),
                      "%s %d: slab %d differs", what, n, i);
    ck_assert_msg(a->partial[0] == b->partial[0] && a->partial[1] == b->partial[1],
                  "%s %d: losses differ", what, n);
    ck_assert_msg(!memcmp(&a->now, &b->now, sizeof a->now), "%s %d: clocks differ", what, n);
}

static void release(struct result *r, int n)
{
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 4; i++) free(r[k].slabs[i]);
}

/* 200 rows are several tiles, 120 one: its products are split by columns. */
START_TEST(threads)
{
    static const int counts[] = { 2, 3, 5 };
    struct made *m = program_at(_i);
    struct rig_data d;
    struct result one, many;
    rig_data_init(&d, &m->t, m->classes, 9);
    for (int64_t rows = 120; rows <= 200; rows += 80) {
        train(m, &d, &(struct job){ 1, 1, 1, 1, rows }, &one);
        for (int i = 0; i < 3; i++) {
            train(m, &d, &(struct job){ counts[i], 1, 1, 1, rows }, &many);
            compare(m, &one, &many, "threads", counts[i]);
            release(&many, 1);
        }
        release(&one, 1);
    }
    rig_data_free(&d), made_free(m);
}
END_TEST

/* Slot 0 alone on one thread against slot 0 in cohorts; all slots of one cohort against another thread count. */
START_TEST(cohorts)
{
    static const int sizes[] = { 2, 3, 8 };
    struct made *m = program_at(_i);
    struct rig_data d;
    struct result one, group[MAX_SLOTS], again[MAX_SLOTS];
    rig_data_init(&d, &m->t, m->classes, 9);
    train(m, &d, &(struct job){ 1, 1, 1, 1, 0 }, &one);
    for (int i = 0; i < 3; i++) {
        train(m, &d, &(struct job){ 3, sizes[i], 1, 1, 0 }, group);
        train(m, &d, &(struct job){ 1, sizes[i], 1, 1, 0 }, again);
        compare(m, &one, &group[0], "alone and in a cohort of", sizes[i]);
        for (int k = 0; k < sizes[i]; k++) compare(m, &again[k], &group[k], "slot", k);
        release(group, sizes[i]), release(again, sizes[i]);
    }
    release(&one, 1);
    rig_data_free(&d), made_free(m);
}
END_TEST

START_TEST(calls)
{
    struct made *m = program_at(_i);
    struct rig_data d;
    struct result one, other;
    rig_data_init(&d, &m->t, m->classes, 9);
    train(m, &d, &(struct job){ 1, 1, 1, 3, 0 }, &one);
    train(m, &d, &(struct job){ 2, 1, 1, 6, 0 }, &other);
    compare(m, &one, &other, "calls", 6);
    release(&one, 1), release(&other, 1);
    rig_data_free(&d), made_free(m);
}
END_TEST

/* One step from consecutive rows, read where they are, through an index, and from other element types. */
START_TEST(columns)
{
    static const enum hn_dtype types[] = { HN_U8,  HN_I8,  HN_U16, HN_I16, HN_I32,
                                           HN_I64, HN_F64, HN_F32, HN_F16 };
    struct made *m = program_at(_i);
    struct rig_data d, e;
    double loss[3];
    rig_data_init(&d, &m->t, m->classes, 9), rig_data_init(&e, &m->t, m->classes, 9);
    int64_t n = d.inputs[0].per_row * RIG_ROWS;
    float *f = d.memory[0];
    for (int64_t i = 0; i < n; i++) f[i] = floorf((f[i] + 1) * 50); /* 0..99 */
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        hn_convert(e.memory[0] = realloc(e.memory[0], (size_t)n * 8), types[k], f, HN_F32, n);
        e.inputs[0] = (struct hn_column){ e.memory[0], types[k], d.inputs[0].per_row, 0.02 };
        d.inputs[0].scale = 0.02;
        uint32_t index[RIG_ROWS];
        for (uint32_t i = 0; i < RIG_ROWS; i++) index[i] = i;
        for (int how = 0; how < 3; how++) {
            struct rig g;
            struct rig_replica r;
            rig_open(&g, &hn_backend_cpu, &m->t, 1, NULL);
            rig_prepare(&g, HN_PASS_GRAD, 150, 1, how == 0 ? &d : &e);
            rig_replica_init(&r, &g, &m->t, &rig_sgd, 3);
            loss[how] = rig_run(&g, &r, 150, 2, how == 2 ? NULL : index, 0);
            rig_replica_free(&r, &g);
            rig_unprepare(&g), rig_close(&g);
        }
        ck_assert_msg(loss[0] == loss[1] && loss[0] == loss[2], "program %d, %s: %.17g %.17g %.17g",
                      _i, hn_dtype_name(types[k]), loss[0], loss[1], loss[2]);
    }
    rig_data_free(&d), rig_data_free(&e), made_free(m);
}
END_TEST

START_TEST(direct)
{
    struct made *m = program_at(_i);
    struct rig_data d;
    double loss[2];
    uint32_t index[RIG_ROWS];
    for (uint32_t i = 0; i < RIG_ROWS; i++) index[i] = i;
    rig_data_init(&d, &m->t, m->classes, 9);
    for (int how = 0; how < 2; how++) {
        struct rig g;
        struct rig_replica r;
        rig_open(&g, &hn_backend_cpu, &m->t, 2, NULL);
        rig_prepare(&g, HN_PASS_TRAIN, 150, 1, &d);
        rig_replica_init(&r, &g, &m->t, &rig_adam, 3);
        loss[how] = rig_run(&g, &r, 150, 4, how ? NULL : index, 0.01);
        rig_replica_free(&r, &g);
        rig_unprepare(&g), rig_close(&g);
    }
    ck_assert(loss[0] == loss[1]);
    rig_data_free(&d), made_free(m);
}
END_TEST

START_TEST(settings)
{
    struct made *m = wide_program();
    struct rig_data d;
    struct rig g;
    struct rig_replica r;
    rig_data_init(&d, &m->t, m->classes, 9);
    unsigned mode = hn_denormals_off();
    hn_denormals_restore(mode);
    rig_open(&g, &hn_backend_cpu, &m->t, 2, "isa=base");
    rig_prepare(&g, HN_PASS_TRAIN, 150, 1, &d);
    rig_replica_init(&r, &g, &m->t, &rig_adam, 3);
    rig_run(&g, &r, 150, 2, NULL, 0.01);
    unsigned after = hn_denormals_off();
    hn_denormals_restore(after);
    ck_assert_uint_eq(mode, after);
    rig_replica_free(&r, &g);
    rig_unprepare(&g), rig_close(&g);
    rig_data_free(&d), made_free(m);
}
END_TEST

HN_TEST_MAIN("cpu same", tcase_add_loop_test(tc, threads, 0, PROGRAMS);
             tcase_add_loop_test(tc, cohorts, 0, PROGRAMS);
             tcase_add_loop_test(tc, calls, 0, PROGRAMS);
             tcase_add_loop_test(tc, columns, 0, PROGRAMS);
             tcase_add_loop_test(tc, direct, 0, PROGRAMS); tcase_add_test(tc, settings);)
