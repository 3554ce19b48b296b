/* SPDX-License-Identifier: MIT
 *
 * Many threads on one device: each member's results are those it has alone, bit for bit, on the reference backend, the shadow
 * and the GPU's over the fake device; calls that wait together are one launch; data sets are bound once; errors, refusals
 * and failed allocations leave nothing behind. */
#include "gpu/backend.h"
#include "plugin/tune/gang.h"
#include "tests/cpu/hypers.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"
#include "tests/fault.h"
#include "tests/gpu/fake.h"
#include "tests/shadow/shadow.h"
#include <pthread.h>
#include <sched.h>

enum { CROWD = 12, MOST_STEPS = 9, MOST_ROWS = 90, EVAL_ROWS = 40, SLAB = 8192, OUT = 64 };

struct device { /* what members run on */
    const struct hn_backend *b;
    void *dev;
    int slots; /* of their plans */
};
struct member { /* what one of them does, and what came of it */
    const struct device *on;
    uint64_t program, seed;
    double rate; /* of all its Dropouts; 0: as they are made */
    int64_t rows;
    int calls;
    double lr;                /* of the last call */
    pthread_barrier_t *ready; /* they begin together; NULL: at once */
    uint64_t sum;
    hone_status st;
    hone_error err;
    pthread_t thread;
};
struct work {
    struct made *m;
    struct rig_data data;
    struct hn_mem mem;
    struct hn_plan *plan[2];
    void *exec[2], *bound;
    struct hn_hyper hyper;
    struct hn_replica r;
    double partial[2 * TB_LIST];
    double out[3 * EVAL_ROWS * OUT]; /* elements of either size */
    uint64_t state;
};

static void add(struct member *m, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) m->sum = (m->sum ^ c[i]) * 1099511628211u;
}

static int64_t draw(struct work *w, int64_t n)
{
    double u = (tb_random(&w->state) + 1) / 2;
    int64_t k = (int64_t)(u * (double)n);
    return k < n ? k : n - 1;
}

static hone_status open_work(struct member *m, struct work *w)
{
    const struct hn_backend *b = m->on->b;
    void *dev = m->on->dev;
    size_t bytes;
    w->m = made_program(m->program, 1);
    for (int i = 0; m->rate > 0 && i < w->m->n_drop; i++) w->m->drop[i].rate = m->rate;
    rig_data_init(&w->data, &w->m->t, w->m->classes, 9);
    hn_mem_init(&w->mem, 0);
    w->state = m->seed * 77 + 5;
    w->hyper = hypers[m->seed % HYPERS];
    w->r.hyper = &w->hyper;
    hn_rng_key(m->seed, 1, 2, w->r.key);
    const struct hn_program *p = &w->m->t.p;
    bytes = (p->n_slab + 1) * b->elem;
    HN_TRY(b->bind(dev, &w->data.set, &w->bound, &m->err));
    HN_TRY(hn_plan_create(&w->mem, p, HN_PASS_TRAIN, m->rows, b->elem, 0, &w->plan[0], &m->err));
    HN_TRY(hn_plan_create(&w->mem, p, HN_PASS_EVAL, EVAL_ROWS, b->elem, 0, &w->plan[1], &m->err));
    for (int i = 0; i < 2; i++)
        HN_TRY(b->prepare(dev, w->plan[i], m->on->slots, &w->exec[i], &m->err));
    for (int i = 0; i < HN_SLAB_BEST; i++) HN_TRY(b->alloc(dev, bytes, &w->r.slab[i], &m->err));
    HN_TRY(b->alloc(dev, bytes, &w->r.slab[HN_SLAB_AVERAGE], &m->err));
    double v[SLAB];
    float f[SLAB];
    tb_weights(&w->m->t, v, m->seed);
    for (size_t i = 0; i < p->n_slab; i++) f[i] = (float)v[i];
    return b->put(dev, w->r.slab[HN_SLAB_W], 0, b->elem == 4 ? (void *)f : (void *)v,
                  p->n_slab * b->elem, &m->err);
}

static hone_status train(struct member *m, struct work *w, double rate)
{
    static const double no_weight[2];
    double lr[MOST_STEPS];
    uint32_t index[MOST_STEPS * MOST_ROWS];
    int steps = 1 + (int)draw(w, MOST_STEPS);
    int64_t rows = draw(w, 4) ? m->rows : 1 + draw(w, m->rows);
    for (int i = 0; i < steps; i++) lr[i] = rate / (1 + i);
    for (int64_t i = 0; i < steps * rows; i++) index[i] = (uint32_t)draw(w, RIG_ROWS);
    struct hn_slot s = { .r = &w->r,
                         .data = w->bound,
                         .index = draw(w, 5) ? index : NULL,
                         .first = 7,
                         .rows = rows,
                         .lr = lr,
                         .partial = w->partial,
                         .flush = draw(w, 2) == 1 };
    if (s.index == NULL && 7 + rows * steps > RIG_ROWS) s.index = index;
    HN_TRY(m->on->b->run(w->exec[0], &s, 1, steps, &m->err));
    add(m, &s.bad_step, sizeof s.bad_step);
    add(m, w->partial, sizeof w->partial);
    add(m, &w->r.now, sizeof w->r.now);
    add(m, no_weight, s.bad_step >= 0);
    return HONE_OK;
}

static hone_status evaluate(struct member *m, struct work *w)
{
    double partial[2 * TB_LIST] = { 0 };
    void *out[1] = { w->out };
    int steps = 1 + (int)draw(w, 3);
    struct hn_replica copy = w->r;
    struct hn_slot s = { .r = &copy,
                         .data = w->bound,
                         .first = draw(w, 300),
                         .rows = 1 + draw(w, EVAL_ROWS),
                         .partial = partial,
                         .out = draw(w, 4) ? out : NULL };
    memset(w->out, 0, sizeof w->out);
    HN_TRY(m->on->b->run(w->exec[1], &s, 1, steps, &m->err));
    add(m, partial, sizeof partial);
    add(m, w->out, sizeof w->out);
    return HONE_OK;
}

static hone_status work(struct member *m, struct work *w)
{
    const struct hn_backend *b = m->on->b;
    double v[SLAB];
    HN_TRY(open_work(m, w));
    if (m->ready) pthread_barrier_wait(m->ready);
    for (int i = 0; i < m->calls; i++) {
        HN_TRY(train(m, w, i + 1 == m->calls && m->lr > 0 ? m->lr : 0.05));
        if (draw(w, 2)) HN_TRY(evaluate(m, w));
    }
    if (m->lr > 0) HN_TRY(train(m, w, 0.05)); /* what a bad step does */
    for (int i = 0; i < 2; i++) {
        HN_TRY(b->get(m->on->dev, w->r.slab[HN_SLAB_W], 0, v, w->m->t.p.n_slab * b->elem, &m->err));
        add(m, v, w->m->t.p.n_slab * b->elem);
        HN_TRY(b->get(m->on->dev, w->r.slab[HN_SLAB_AVERAGE], 0, v, w->m->t.p.n_slab * b->elem,
                      &m->err));
        add(m, v, w->m->t.p.n_slab * b->elem);
        HN_TRY(b->copy(m->on->dev, w->r.slab[HN_SLAB_M], w->r.slab[HN_SLAB_W],
                       w->m->t.p.n_slab * b->elem, &m->err));
    }
    return HONE_OK;
}

static void *live(void *user)
{
    struct member *m = user;
    const struct hn_backend *b = m->on->b;
    struct work *w = calloc(1, sizeof *w);
    m->sum = 14695981039346656037u;
    m->st = work(m, w);
    for (int i = 0; i < 2; i++) {
        if (w->exec[i]) b->finish(w->exec[i]);
        hn_plan_destroy(w->plan[i], &w->mem);
    }
    for (int i = 0; i < HN_SLABS; i++)
        if (w->r.slab[i]) b->release(m->on->dev, w->r.slab[i]);
    if (w->bound) b->unbind(m->on->dev, w->bound);
    rig_data_free(&w->data);
    made_free(w->m);
    free(w);
    return NULL;
}

/* ---- company ------------------------------------------------------------------------------------------------------------ */

struct stage { /* an open backend, with a gang in front */
    struct hn_mem mem;
    const struct hn_backend *b;
    void *dev;
    struct hn_gang *gang;
};
static void stage_open(struct stage *s, const struct hn_backend *b, const char *options, int slots)
{
    hone_error err = { 0 };
    *s = (struct stage){ .b = b };
    hn_mem_init(&s->mem, 0);
    struct hn_host host = { sizeof host, &s->mem, 1 };
    HN_OK(b->open(&host, options, &s->dev, &err), err);
    HN_OK(hn_gang_create(&s->mem, b, s->dev, slots, &s->gang, &err), err);
}
static void stage_close(struct stage *s)
{
    struct hn_gang_counts c = hn_gang_count(s->gang);
    ck_assert_int_eq(c.sets, 0);
    hn_gang_destroy(s->gang);
    s->b->close(s->dev);
    ck_assert_uint_eq(atomic_load(&s->mem.used), 0);
    ck_assert_int_eq((int)fake.live + fake.contexts + fake.graphs + fake.gemms + fake.calls_held,
                     0);
}

/* Two programs, different rates, batches, hyper-parameters, numbers of calls; every fifth runs into a wall. */
static void cast(struct member *m, uint64_t program, const struct device *on)
{
    for (int i = 0; i < CROWD; i++)
        m[i] = (struct member){ .on = on,
                                .program = program + (i % 4 == 3),
                                .seed = (uint64_t)i,
                                .rate = program % 2 ? 0.1 * (1 + i % 3) : 0,
                                .rows = 3 + i * 7,
                                .calls = 1 + i * 5 % 11,
                                .lr = i % 5 == 4 ? 1e300 : 0 };
}

static void all_good(const struct member *m, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(m[i].st == HONE_OK, "member %d: %s: %s", i, m[i].err.where, m[i].err.text);
}

static const struct {
    const struct hn_backend *b;
    const char *options;
} backends[] = {
    { &hn_backend_reference, "" },
    { &hn_backend_shadow, "" },
    { &hn_backend_cuda_f32, "" },
    { &hn_backend_cuda_f64, "unroll=2" },
    { &hn_backend_cuda_f32, "data=stream,stream-bytes=9000" },
};
enum { BACKENDS = sizeof backends / sizeof *backends, CASES = 3 * BACKENDS };

START_TEST(company)
{
    const struct hn_backend *b = backends[_i % BACKENDS].b;
    const char *options = backends[_i % BACKENDS].options;
    struct member together[CROWD], one[CROWD], bare[CROWD];
    struct stage s, t;
    fake_reset();
    stage_open(&s, b, options, 5);
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    cast(together, 40 + (uint64_t)_i, &gang);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&together[i].thread, NULL, live, &together[i]), 0);
    for (int i = 0; i < CROWD; i++) pthread_join(together[i].thread, NULL);
    all_good(together, CROWD);
    cast(one, 40 + (uint64_t)_i, &gang); /* in front of the same device, one after the other */
    for (int i = 0; i < CROWD; i++) live(&one[i]);
    all_good(one, CROWD);
    stage_close(&s);
    stage_open(&t, b, options, 5);
    struct device behind = { b, t.dev, 5 }; /* no gang, max_rows as they are */
    cast(bare, 40 + (uint64_t)_i, &behind);
    for (int i = 0; i < CROWD; i++) live(&bare[i]);
    all_good(bare, CROWD);
    stage_close(&t);
    for (int i = 0; i < CROWD; i++) {
        ck_assert_msg(one[i].sum == bare[i].sum, "member %d: alone in a gang, and without", i);
        ck_assert_msg(together[i].sum == one[i].sum, "member %d: together, and alone", i);
    }
}
END_TEST

/* What several slots cannot do is done one by one, on the one device. */
START_TEST(one_by_one)
{
    struct member together[CROWD], one[CROWD];
    struct stage s;
    fake_reset();
    stage_open(&s, &hn_backend_cuda_f32, "bn-impl=cudnn,dropout-impl=cudnn", 5);
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    cast(together, 41, &gang);
    cast(one, 41, &gang);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&together[i].thread, NULL, live, &together[i]), 0);
    for (int i = 0; i < CROWD; i++) pthread_join(together[i].thread, NULL);
    for (int i = 0; i < CROWD; i++) live(&one[i]);
    all_good(together, CROWD);
    all_good(one, CROWD);
    for (int i = 0; i < CROWD; i++) ck_assert_uint_eq(together[i].sum, one[i].sum);
    struct hn_gang_counts c = hn_gang_count(s.gang);
    ck_assert_int_eq(c.prepared + (int)c.calls, 0);
    stage_close(&s);
}
END_TEST

/* ---- one launch --------------------------------------------------------------------------------------------------------- */

/* The reference backend, whose first run is not over before everybody has called. */
static struct {
    struct hn_gang *gang;
    int wanted, runs, first, most, fail_at;
} held;

static hone_status held_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                            hone_error *err)
{
    if (n_slots > held.most) held.most = n_slots;
    if (held.runs == 0) held.first = n_slots;
    while (held.runs == 0 && hn_gang_count(held.gang).calls < held.wanted) sched_yield();
    if (++held.runs == held.fail_at)
        return hn_fail(err, HONE_E_DEVICE, "the held device", "run %d fails as asked", held.runs);
    return hn_backend_reference.run(exec, slots, n_slots, n_steps, err);
}

static void crowd(struct member *m, const struct device *on)
{
    pthread_barrier_t ready;
    ck_assert_int_eq(pthread_barrier_init(&ready, NULL, CROWD), 0);
    for (int i = 0; i < CROWD; i++)
        m[i] = (struct member){
            .on = on, .program = 3, .seed = 5, .rows = 8 + i, .calls = 1, .ready = &ready
        };
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&m[i].thread, NULL, live, &m[i]), 0);
    for (int i = 0; i < CROWD; i++) pthread_join(m[i].thread, NULL);
    pthread_barrier_destroy(&ready);
}

START_TEST(one_launch)
{
    struct hn_backend b = hn_backend_reference;
    struct member m[CROWD];
    struct stage s;
    b.run = held_run;
    stage_open(&s, &b, "", 32);
    memset(&held, 0, sizeof held);
    held.gang = s.gang, held.wanted = CROWD;
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    crowd(m, &gang); /* the same seed: each one call of training with as many steps */
    all_good(m, CROWD);
    struct hn_gang_counts c = hn_gang_count(s.gang);
    ck_assert_int_eq(c.prepared, 2); /* training and evaluation, for up to 64 rows */
    ck_assert_msg(held.most >= CROWD / 2, "%d slots at most", held.most);
    ck_assert_msg(c.runs <= 2 + CROWD && c.runs == held.runs, "%d runs", held.runs);
    stage_close(&s);
}
END_TEST

/* An error goes to everybody in the launch, with its text, and to nobody else. */
START_TEST(an_error_is_everybodys)
{
    struct hn_backend b = hn_backend_reference;
    struct member m[CROWD];
    struct stage s;
    b.run = held_run;
    stage_open(&s, &b, "", 32);
    memset(&held, 0, sizeof held);
    held.gang = s.gang, held.wanted = CROWD, held.fail_at = 1;
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    crowd(m, &gang);
    int failed = 0;
    for (int i = 0; i < CROWD; i++) {
        if (m[i].st == HONE_OK) continue;
        failed++;
        ck_assert_int_eq(m[i].st, HONE_E_DEVICE);
        ck_assert_str_eq(m[i].err.where, "the held device");
        ck_assert_str_eq(m[i].err.text, "run 1 fails as asked");
    }
    ck_assert_int_eq(failed, held.first);
    stage_close(&s);
}
END_TEST

/* ---- data sets ---------------------------------------------------------------------------------------------------------- */

START_TEST(one_data_set)
{
    struct stage s;
    hone_error err = { 0 };
    void *u[3];
    float x[2][8], y[2][4] = { { 0 } };
    struct hn_column in[2], to[2];
    struct hn_dataset set[2];
    stage_open(&s, &hn_backend_reference, "", 4);
    const struct hn_backend *b = hn_gang_backend(s.gang);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 8; k++) x[i][k] = (float)k;
        in[i] = (struct hn_column){ x[i], HN_F32, 2, 1 };
        to[i] = (struct hn_column){ y[i], HN_F32, 1, 1 };
        set[i] = (struct hn_dataset){ 4, 1, 1, &in[i], &to[i] };
        HN_OK(b->bind(s.gang, &set[i], &u[i], &err), err);
    }
    ck_assert_int_eq(hn_gang_count(s.gang).sets, 1);
    y[0][3] = 1;
    HN_OK(b->bind(s.gang, &set[0], &u[2], &err), err); /* the memory itself is known */
    ck_assert_int_eq(hn_gang_count(s.gang).sets, 1);
    b->unbind(s.gang, u[2]);
    y[1][3] = 2;
    in[1].scale = 2;
    HN_OK(b->bind(s.gang, &set[1], &u[2], &err), err);
    ck_assert_int_eq(hn_gang_count(s.gang).sets, 2);
    for (int i = 0; i < 3; i++) b->unbind(s.gang, u[i]);
    stage_close(&s);
}
END_TEST

/* Whoever bound first leaves, and its memory is gone: the other's is read. The reference backend reads it where it lies. */
static double loss_of(struct work *w, struct member *m, void *bound)
{
    double partial[2 * TB_LIST] = { 0 };
    struct hn_slot s = { .r = &w->r, .data = bound, .rows = EVAL_ROWS, .partial = partial };
    HN_OK(m->on->b->run(w->exec[1], &s, 1, 1, &m->err), m->err);
    return partial[0];
}

START_TEST(columns_change_hands)
{
    struct stage s;
    hone_error err = { 0 };
    struct rig_data mine;
    void *bound;
    stage_open(&s, &hn_backend_reference, "", 4);
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    struct member m = { .on = &gang, .program = 8, .seed = 1, .rows = 9 };
    struct work *w = calloc(1, sizeof *w);
    HN_OK(open_work(&m, w), m.err);
    rig_data_init(&mine, &w->m->t, w->m->classes, 9);
    HN_OK(gang.b->bind(s.gang, &mine.set, &bound, &err), err);
    ck_assert_int_eq(hn_gang_count(s.gang).sets, 1);
    double before = loss_of(w, &m, w->bound);
    gang.b->unbind(s.gang, w->bound);
    rig_data_free(&w->data);
    double after = loss_of(w, &m, bound);
    ck_assert_msg(!memcmp(&before, &after, sizeof before), "%g, then %g", before, after);
    for (int i = 0; i < 2; i++) {
        gang.b->finish(w->exec[i]);
        hn_plan_destroy(w->plan[i], &w->mem);
    }
    for (int i = 0; i < HN_SLABS; i++) gang.b->release(s.gang, w->r.slab[i]);
    gang.b->unbind(s.gang, bound);
    rig_data_free(&mine);
    made_free(w->m);
    free(w);
    stage_close(&s);
}
END_TEST

/* ---- groups ------------------------------------------------------------------------------------------------------------- */

static void *prepared(struct device *on, struct made *m, int64_t rows, enum hn_pass pass,
                      struct hn_plan **plan)
{
    hone_error err = { 0 };
    void *exec;
    HN_OK(hn_plan_create(&m->t.mem, &m->t.p, pass, rows, on->b->elem, 0, plan, &err), err);
    HN_OK(on->b->prepare(on->dev, *plan, 1, &exec, &err), err);
    return exec;
}

/* What makes two plans one, and what does not. */
START_TEST(groups)
{
    struct stage s;
    stage_open(&s, &hn_backend_reference, "", 4);
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    struct made *m[8];
    void *exec[8];
    struct hn_plan *plan[8];
    static const int wanted[8] = { 1, 1, 1, 2, 3, 4, 5, 5 };
    int drop = 0; /* a program with one Dropout at least */
    for (uint64_t n = 1; !drop; n++) {
        struct made *probe = made_program(n, 1);
        if (probe->n_drop > 0) drop = (int)n;
        made_free(probe);
    }
    for (int i = 0; i < 8; i++) {
        m[i] = made_program((uint64_t)drop, 1);
        for (int k = 0; k < m[i]->n_drop; k++) m[i]->drop[k].rate = 0.25;
    }
    for (int k = 0; k < m[2]->n_drop; k++) m[2]->drop[k].rate = 0.5; /* one rate: no other plan */
    m[4]->loss.weight = 2;
    m[5]->t.params[0].decay_mult = 0;
    m[6]->drop[0].fixed = 1;
    for (int i = 0; i < 8; i++) {
        int64_t rows = i == 1 ? 64 : i == 3 ? 65 : 10;
        exec[i] = prepared(&gang, m[i], rows, i == 7 ? HN_PASS_STATS : HN_PASS_TRAIN, &plan[i]);
        ck_assert_msg(hn_gang_count(s.gang).groups == wanted[i], "plan %d: %d groups, wanted %d", i,
                      hn_gang_count(s.gang).groups, wanted[i]);
    }
    for (int i = 8; i-- > 0;) {
        gang.b->finish(exec[i]);
        hn_plan_destroy(plan[i], &m[i]->t.mem);
    }
    ck_assert_int_eq(hn_gang_count(s.gang).groups, 4); /* the last ones are kept for a while … */
    exec[0] = prepared(&gang, m[0], 12, HN_PASS_TRAIN, &plan[0]);
    ck_assert_int_eq(hn_gang_count(s.gang).prepared, 5); /* … and found again */
    exec[1] = prepared(&gang, m[0], 300, HN_PASS_TRAIN, &plan[1]);
    exec[2] = prepared(&gang, m[0], 2000, HN_PASS_TRAIN, &plan[2]);
    exec[3] = prepared(&gang, m[0], 2000, HN_PASS_EVAL, &plan[3]);
    ck_assert_int_eq(hn_gang_count(s.gang).groups, 7); /* 3 idle ones */
    for (int i = 0; i < 4; i++) {
        gang.b->finish(exec[i]);
        hn_plan_destroy(plan[i], &m[0]->t.mem);
    }
    ck_assert_int_eq(hn_gang_count(s.gang).groups, 4);
    for (int i = 0; i < 8; i++) made_free(m[i]);
    stage_close(&s);
}
END_TEST

/* Of large groups without members only one is kept: that which was left last. */
START_TEST(idle_bytes)
{
    enum { SLOTS = 4 };
    const size_t half = (size_t)1 << 27;
    struct stage s;
    stage_open(&s, &hn_backend_reference, "", SLOTS);
    struct device gang = { hn_gang_backend(s.gang), s.gang, 1 };
    struct made *m[2] = { made_program(1, 1), made_program(1, 1) };
    struct hn_plan *plan[3];
    void *exec[3];
    int64_t rows = 16;
    m[1]->loss.weight = 2;
    do { /* two are more than what may be kept */
        hone_error err = { 0 };
        rows *= 4;
        HN_OK(hn_plan_create(&m[0]->t.mem, &m[0]->t.p, HN_PASS_TRAIN, rows, 8, 0, plan, &err), err);
        size_t bytes = SLOTS * plan[0]->arena_bytes;
        hn_plan_destroy(plan[0], &m[0]->t.mem);
        if (bytes > half) break;
    } while (rows < 1 << 24);
    for (int i = 0; i < 3; i++)
        exec[i] = prepared(&gang, m[i & 1], i == 2 ? 8 : rows, HN_PASS_TRAIN, &plan[i]);
    for (int i = 3; i-- > 0;) {
        gang.b->finish(exec[i]);
        hn_plan_destroy(plan[i], &m[i & 1]->t.mem);
        ck_assert_int_eq(hn_gang_count(s.gang).groups, i == 0 ? 1 : 3);
    }
    exec[0] = prepared(&gang, m[0], rows, HN_PASS_TRAIN, &plan[0]);
    ck_assert_int_eq(hn_gang_count(s.gang).prepared, 3);
    gang.b->finish(exec[0]);
    hn_plan_destroy(plan[0], &m[0]->t.mem);
    for (int i = 0; i < 2; i++) made_free(m[i]);
    stage_close(&s);
}
END_TEST

START_TEST(every_failed_allocation_is_an_error)
{
    for (long n = 1;; n++) {
        struct hn_fault f;
        hone_error err = { 0 };
        struct hn_gang *g = NULL;
        void *dev;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        f.mem_fail.persistent = 1; /* a group is tried again, with what idle ones held */
        struct hn_host host = { sizeof host, &f.mem, 1 };
        struct member m = { .program = 2, .seed = 3, .rows = 20, .calls = 2 };
        m.st = hn_backend_reference.open(&host, "", &dev, &err);
        if (m.st == HONE_OK) {
            m.st = hn_gang_create(&f.mem, &hn_backend_reference, dev, 3, &g, &err);
            if (m.st == HONE_OK) {
                struct device gang = { hn_gang_backend(g), g, 1 };
                m.on = &gang;
                live(&m);
            }
            hn_gang_destroy(g);
            hn_backend_reference.close(dev);
        }
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        ck_assert_int_eq(m.st, f.mem_fail.hits ? HONE_E_NOMEM : HONE_OK);
        if (!f.mem_fail.hits) break;
    }
}
END_TEST

HN_TEST_MAIN("gang", tcase_add_loop_test(tc, company, 0, CASES); tcase_add_test(tc, one_by_one);
             tcase_add_test(tc, one_launch); tcase_add_test(tc, an_error_is_everybodys);
             tcase_add_test(tc, one_data_set); tcase_add_test(tc, columns_change_hands);
             tcase_add_test(tc, groups); tcase_add_test(tc, idle_bytes);
             tcase_add_test(tc, every_failed_allocation_is_an_error);)
