/* SPDX-License-Identifier: MIT
 *
 * Rows that stay with the host: the same bits as from resident ones, in chunks of every size, with shuffled rows and rows that run
 * on, alone and in cohorts that share rows or do not, packed by one thread or several, however late the device does its work; rows
 * that are shared are sent once; a device that fails at any call; threads only where something is streamed. */
#include "gpu/backend.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"
#include "tests/gpu/fake.h"

enum { SLOTS = 4, STEPS = 29, ROWS = 7, MOST = 8192, OUT = STEPS * ROWS * 64 };

enum reading { OWN, SHARED, EQUAL, RUNS, IN_ORDER, APART, RAGGED, READINGS };
struct lists {
    uint32_t of[SLOTS][STEPS * ROWS];
};

/* RUNS: rows that follow each other for a while; EQUAL: lists that say the same. */
static void fill_lists(struct lists *l, enum reading how)
{
    for (int z = 0; z < SLOTS; z++)
        for (uint32_t i = 0; i < STEPS * ROWS; i++)
            l->of[z][i] = how == RUNS    ? (i + i / (5 + (uint32_t)z) * 40) % RIG_ROWS
                          : how == EQUAL ? i * 61 % RIG_ROWS
                                         : (i * 61 + (uint32_t)z * 13) % RIG_ROWS;
}

static void aim(struct hn_slot *s, const struct lists *l, int z, enum reading how)
{
    s->rows = how != RAGGED ? ROWS : z == 1 ? 0 : z == 0 ? 3 : ROWS;
    s->index = how == IN_ORDER || how == APART ? NULL : l->of[how == SHARED ? 0 : z];
    s->first = how == APART ? z : 0;
}

struct outcome {
    double w[SLOTS][MOST], partial[SLOTS][2];
    float out[SLOTS][OUT];
    int uploads;
    size_t uploaded;
};

struct setup {
    const char *options;
    enum hn_pass pass;
    enum reading reading;
    int slots, threads;
};

static void run(struct made *m, struct rig_data *d, const struct setup *u, struct outcome *o)
{
    struct rig g;
    struct rig_replica r[SLOTS];
    struct hn_slot s[SLOTS] = { 0 };
    void *outs[SLOTS][TB_LIST] = { 0 };
    double lr[STEPS];
    hone_error err = { 0 };
    struct lists *l = malloc(sizeof *l);
    fill_lists(l, u->reading);
    for (int i = 0; i < STEPS; i++) lr[i] = 0.05 / (1 + i);
    memset(o, 0, sizeof *o);
    fake.uploads = 0, fake.uploaded = 0;
    rig_open(&g, &hn_backend_cuda_f32, &m->t, u->threads, u->options);
    rig_prepare(&g, u->pass, ROWS, u->slots, d);
    for (int z = 0; z < u->slots; z++) {
        rig_replica_init(&r[z], &g, &m->t, &rig_adam, 50 + (uint64_t)z);
        s[z] = (struct hn_slot){ .r = &r[z].r, .data = g.data, .lr = lr, .partial = o->partial[z] };
        aim(&s[z], l, z, u->reading);
        outs[z][0] = o->out[z];
        if (u->pass == HN_PASS_EVAL) s[z].out = outs[z];
    }
    HN_OK(g.b->run(g.exec, s, u->slots, STEPS, &err), err);
    for (int z = 0; z < u->slots; z++) {
        ck_assert_int_eq(s[z].bad_step, -1);
        rig_get(&g, r[z].r.slab[HN_SLAB_W], o->w[z], m->t.p.n_slab);
        rig_replica_free(&r[z], &g);
    }
    rig_unprepare(&g);
    rig_close(&g);
    o->uploads = fake.uploads, o->uploaded = fake.uploaded;
    free(l);
}

static struct outcome want, got;

static struct made *program(uint64_t number, struct rig_data *d)
{
    struct made *m = made_program(number, 1);
    rig_data_init(d, &m->t, m->classes, 9);
    ck_assert_int_lt((int)m->t.p.n_slab, MOST);
    for (int i = 0; i < m->t.p.n_outputs; i++)
        ck_assert_int_lt((int)hn_shape_count(&m->t.values[m->t.outputs[i]].shape).per_row, 65);
    return m;
}

START_TEST(same)
{
    static const char *const ways[] = { "data=stream,stream-bytes=1", "data=stream,unroll=2",
                                        "data=stream,stream-bytes=1300,graph=off",
                                        "data=stream,stream-bytes=40000" };
    struct rig_data d;
    struct made *m = program(100 + (uint64_t)_i, &d);
    struct setup u = { .pass = _i & 1 ? HN_PASS_EVAL : HN_PASS_TRAIN,
                       .reading = (enum reading)(_i / 2) };
    fake_reset();
    for (u.slots = 1; u.slots <= SLOTS; u.slots += SLOTS - 1) {
        u.options = "bn-impl=native,gemm-impl=native", u.threads = 1;
        run(m, &d, &u, &want);
        ck_assert_int_eq(want.uploads, 0);
        for (int k = 0; k < (fake.present ? 3 * 4 : 4); k++) {
            char text[128];
            (void)snprintf(text, sizeof text, "bn-impl=native,gemm-impl=native,%s", ways[k % 4]);
            u.options = text, u.threads = 1 + k % 2 * 2;
            fake.late = (enum fake_late)(k / 4);
            run(m, &d, &u, &got);
            ck_assert_mem_eq(got.w, want.w, sizeof want.w);
            ck_assert_mem_eq(got.partial, want.partial, sizeof want.partial);
            ck_assert_mem_eq(got.out, want.out, sizeof want.out);
        }
        fake.late = FAKE_AT_ONCE;
    }
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* What several slots read is packed and sent once; the first chunks are small. */
START_TEST(once)
{
    struct rig_data d;
    struct made *m = program(100, &d);
    struct setup u = { .pass = HN_PASS_TRAIN, .slots = 1, .threads = 1 };
    char text[64];
    fake_reset();
    u.options = "data=stream,stream-bytes=1";
    run(m, &d, &u, &want);
    ck_assert(!fake.present || want.uploads == STEPS);
    for (int how = 0; how < READINGS && fake.present; how++) {
        u.reading = (enum reading)how, u.slots = SLOTS;
        run(m, &d, &u, &got);
        if (how == SHARED || how == EQUAL || how == IN_ORDER)
            ck_assert_uint_eq(got.uploaded, want.uploaded);
        else
            ck_assert(got.uploaded > 2 * want.uploaded);
    }
    u.slots = 1, u.options = "data=stream";
    run(m, &d, &u, &got);
    ck_assert(!fake.present || got.uploads == 1);
    (void)snprintf(text, sizeof text, "data=stream,stream-bytes=%zu", 64 * want.uploaded / STEPS);
    u.options = text;
    if (fake.present) run(m, &d, &u, &got);
    ck_assert(!fake.present || (got.uploads > 2 && got.uploads < 7));
    rig_data_free(&d);
    made_free(m);
}
END_TEST

static int threads_now(void)
{
    char line[256];
    int n = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Threads:", 8) == 0) n = atoi(line + 8);
    if (f) (void)fclose(f);
    return n;
}

START_TEST(threads)
{
    struct rig_data d;
    struct made *m = program(100, &d);
    fake_reset();
    for (int streams = 0; streams < 2 && fake.present; streams++) {
        struct rig g;
        struct rig_replica r;
        const int before = threads_now();
        rig_open(&g, &hn_backend_cuda_f32, &m->t, 3, streams ? "data=stream" : "");
        rig_prepare(&g, HN_PASS_TRAIN, ROWS, 1, &d);
        rig_replica_init(&r, &g, &m->t, &rig_sgd, 3);
        ck_assert_int_eq(threads_now(), before);
        rig_run(&g, &r, ROWS, 2, NULL, 0.1);
        ck_assert_int_eq(threads_now(), before + 2 * streams);
        rig_replica_free(&r, &g);
        rig_unprepare(&g);
        rig_close(&g);
        ck_assert_int_eq(threads_now(), before);
    }
    rig_data_free(&d);
    made_free(m);
}
END_TEST

/* The device fails at its n-th call, or the host has no more memory than so much: the error comes up, nothing stays behind. */
START_TEST(faults)
{
    struct rig_data d;
    struct made *m = program(101, &d);
    const struct hn_backend *b = &hn_backend_cuda_f32;
    struct lists *l = malloc(sizeof *l);
    int done = 0;
    fill_lists(l, EQUAL);
    for (int n = 1; !done; n++) {
        struct hn_mem mem;
        hn_mem_init(&mem, _i ? (size_t)n * 500 : 0);
        hone_error err = { 0 };
        struct hn_host host = { sizeof host, &mem, 2 };
        struct hn_plan *plan = NULL;
        void *dev = NULL, *data = NULL, *exec = NULL;
        struct hn_replica r[3] = { { .hyper = &rig_adam }, r[0], r[0] };
        struct hn_slot s[3] = { 0 };
        double lr[STEPS] = { 0.1 };
        fake_reset();
        fake.fail_at = _i ? 0 : n;
        fake.late = (enum fake_late)(n % 3);
        hone_status st = b->open(&host, "data=stream,stream-bytes=9000", &dev, &err);
        for (int i = 0; st == HONE_OK && i < 3 * HN_SLABS; i++)
            st = b->alloc(dev, (m->t.p.n_slab + 1) * 4, &r[i % 3].slab[i / 3], &err);
        if (st == HONE_OK) st = b->bind(dev, &d.set, &data, &err);
        if (st == HONE_OK)
            st = hn_plan_create(&mem, &m->t.p, HN_PASS_TRAIN, ROWS, 4, 0, &plan, &err);
        if (st == HONE_OK) st = b->prepare(dev, plan, 3, &exec, &err);
        for (int z = 0; z < 3; z++) {
            s[z] = (struct hn_slot){ .r = &r[z], .data = data, .lr = lr };
            aim(&s[z], l, z, EQUAL);
        }
        if (st == HONE_OK) st = b->run(exec, s, 3, STEPS, &err);
        done = st == HONE_OK || !fake.present;
        ck_assert(done || err.text[0]);
        if (exec) b->finish(exec);
        if (data) b->unbind(dev, data);
        for (int i = 0; dev && i < 3 * HN_SLABS; i++) b->release(dev, r[i % 3].slab[i / 3]);
        hn_plan_destroy(plan, &mem);
        if (dev) b->close(dev);
        ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs + fake.gemms, 0);
        ck_assert_int_eq((int)atomic_load(&mem.used), 0);
        ck_assert_int_lt(n, 20000);
    }
    fake_reset();
    free(l);
    rig_data_free(&d);
    made_free(m);
}
END_TEST

HN_TEST_MAIN("gpu streamed rows", tcase_add_loop_test(tc, same, 0, 2 * READINGS);
             tcase_add_test(tc, once); tcase_add_test(tc, threads);
             tcase_add_loop_test(tc, faults, 0, 2);)
