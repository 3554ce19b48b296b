/* SPDX-License-Identifier: MIT
 *
 * Replicas that train together: each ends with the very bits it has alone, whatever the others' batch sizes, row lists,
 * optimizers and fates, and however many steps a call takes. */
#include "plugin/train/cohort.h"
#include "tests/train/kit.h"

static hone_error err;
enum { MEMBERS = 4, EPOCHS = 3 };

struct rig {
    struct kit kit;
    struct hn_session *s;
    size_t n; /* elements of slab W */
    void *start;
};

static void rig_open(struct rig *g, const char *model, const char *threads)
{
    HN_OK(kit_open(&g->kit, model, 0, NULL, NULL, &err), err);
    HN_OK(hone_params_set(g->kit.params, "threads", threads, &err), err);
    HN_OK(hn_session_open(g->kit.model, g->kit.data, g->kit.params, HN_USE_TRAIN, &g->s, &err),
          err);
    g->n = g->s->prog->n_slab;
    g->start = calloc(g->n, g->s->backend->elem);
    HN_OK(hn_model_get_weights(g->kit.model, g->s->prog, g->start, g->s->backend->elem, &err), err);
}

static void rig_close(struct rig *g)
{
    hn_session_close(g->s);
    kit_close(&g->kit);
    free(g->start);
}

/* Member i of the test: everything about it is its own. */
static struct hn_member_opts member_opts(const struct rig *g, int i, uint32_t *rows)
{
    static const enum hn_optimizer optimizers[MEMBERS] = { HN_SGD, HN_ADAM, HN_NESTEROV,
                                                           HN_RMSPROP };
    static const int64_t n_rows[MEMBERS] = { 50, 33, 17, 40 }, batch[MEMBERS] = { 16, 7, 17, 3 };
    struct hn_member_opts o = {
        .hyper = { .optimizer = optimizers[i],
                   .momentum = i == 2 ? 0.9 : 0,
                   .beta1 = 0.9,
                   .beta2 = 0.999,
                   .eps = 1e-8,
                   .alpha = 0.99,
                   .accumulate = 1 + i % 2,
                   .dropout = i == 3 ? 0.4 : -1 },
        .schedule = { .kind = HN_LR_COSINE, .lr = 0.01 * (i + 1), .epochs = EPOCHS },
        .data = g->s->bound[0],
        .rows = rows,
        .n_rows = n_rows[i],
        .batch = batch[i],
        .shuffle = i != 1
    };
    for (int64_t k = 0; k < o.n_rows; k++) rows[k] = (uint32_t)((k * 7 + i) % 50);
    hn_rng_key(9, (uint32_t)i, 0, o.key);
    return o;
}

static struct hn_cohort *cohort_of(const struct rig *g, int slots)
{
    struct hn_cohort *c;
    struct hn_cohort_opts o = { .mem = &g->kit.ctx->mem,
                                .backend = g->s->backend,
                                .dev = g->s->dev,
                                .prog = g->s->prog,
                                .max_rows = 17,
                                .slots = slots };
    HN_OK(hn_cohort_create(&o, &c, &err), err);
    return c;
}

static void add(struct hn_cohort *c, int slot, const struct rig *g, int who)
{
    uint32_t rows[KIT_ROWS];
    struct hn_member_opts o = member_opts(g, who, rows);
    HN_OK(hn_cohort_add(c, slot, &o, &err), err);
    HN_OK(hn_member_put(c, slot, HN_SLAB_W, g->start, &err), err);
    hn_cohort_begin_epoch(c, slot);
}

/* Runs slot's member on; takes its weights and drops it when its epochs are over. Returns 1 then. */
static int after_call(struct hn_cohort *c, int slot, void *w)
{
    struct hn_member *m = &c->member[slot];
    if (m->state != HN_MEMBER_EPOCH_END) return 0;
    if (m->r.now.epoch < EPOCHS) {
        hn_cohort_begin_epoch(c, slot);
        return 0;
    }
    HN_OK(hn_member_get(c, slot, HN_SLAB_W, w, &err), err);
    hn_cohort_drop(c, slot);
    return 1;
}

static void alone(const struct rig *g, int who, int steps, void *w)
{
    struct hn_cohort *c = cohort_of(g, 1);
    int64_t rows, all = 0;
    add(c, 0, g, who);
    do {
        HN_OK(hn_cohort_advance(c, steps, &rows, &err), err);
        all += rows;
    } while (!after_call(c, 0, w));
    uint32_t list[KIT_ROWS];
    ck_assert_int_eq(all, EPOCHS * member_opts(g, who, list).n_rows);
    hn_cohort_destroy(c);
}

START_TEST(together_as_alone)
{
    static const char *const models[] = { "bn_f32", "ln_f32", "bn_f64" };
    static const char *const threads[] = { "1", "2", "1" };
    struct rig g;
    rig_open(&g, models[_i], threads[_i]);
    size_t bytes = g.n * g.s->backend->elem;
    char *solo = calloc(MEMBERS, bytes), *joint = calloc(MEMBERS, bytes), *again = calloc(1, bytes);
    for (int i = 0; i < MEMBERS; i++) {
        alone(&g, i, 1, solo + (size_t)i * bytes);
        alone(&g, i, 100, again);
        ck_assert_msg(!memcmp(again, solo + (size_t)i * bytes, bytes),
                      "member %d: steps a call matter", i);
        ck_assert_mem_ne(again, g.start, bytes);
    }
    /* Two slots: members 0 and 1 begin; whoever is done makes room for the next one. */
    struct hn_cohort *c = cohort_of(&g, 2);
    int who[2] = { 0, 1 }, next = 2, done = 0;
    int64_t rows;
    add(c, 0, &g, 0);
    add(c, 1, &g, 1);
    for (int calls = 0; done < MEMBERS; calls++) {
        ck_assert_int_lt(calls, 1000);
        HN_OK(hn_cohort_advance(c, 1 + calls % 5, &rows, &err), err);
        for (int slot = 0; slot < 2; slot++) {
            if (c->member[slot].state == HN_MEMBER_NONE) continue;
            if (!after_call(c, slot, joint + (size_t)who[slot] * bytes)) continue;
            done++;
            if (next < MEMBERS) add(c, slot, &g, who[slot] = next++);
        }
    }
    ck_assert_mem_eq(solo, joint, MEMBERS * bytes);
    hn_cohort_destroy(c);
    free(solo);
    free(joint);
    free(again);
    rig_close(&g);
}
END_TEST

/* One that diverges stops where it is and does not touch the others. */
START_TEST(a_member_that_diverges)
{
    struct rig g;
    rig_open(&g, "ln_f32", "1");
    size_t bytes = g.n * g.s->backend->elem;
    char *solo = calloc(1, bytes), *joint = calloc(1, bytes);
    uint32_t list[KIT_ROWS];
    int64_t rows;
    alone(&g, 0, 10, solo);
    struct hn_cohort *c = cohort_of(&g, 2);
    struct hn_member_opts wild = member_opts(&g, 2, list);
    wild.schedule.lr = 1e30;
    wild.schedule.kind = HN_LR_CONSTANT;
    wild.batch = 5;
    add(c, 0, &g, 0);
    HN_OK(hn_cohort_add(c, 1, &wild, &err), err);
    HN_OK(hn_member_put(c, 1, HN_SLAB_W, g.start, &err), err);
    hn_cohort_begin_epoch(c, 1);
    while (!after_call(c, 0, joint)) {
        HN_OK(hn_cohort_advance(c, 3, &rows, &err), err);
        if (c->member[1].state == HN_MEMBER_EPOCH_END) hn_cohort_begin_epoch(c, 1);
    }
    ck_assert_int_eq(c->member[1].state, HN_MEMBER_DIVERGED);
    ck_assert_int_eq(c->member[1].bad_row % 5, 0);
    ck_assert_int_eq(c->member[1].bad_row, c->member[1].r.now.row);
    ck_assert_mem_eq(solo, joint, bytes);
    hn_cohort_destroy(c);
    free(solo);
    free(joint);
    rig_close(&g);
}
END_TEST

START_TEST(sums_and_rates)
{
    struct rig g;
    int64_t rows;
    rig_open(&g, "bn_f64", "1");
    struct hn_cohort *c = cohort_of(&g, 1);
    add(c, 0, &g, 0);
    ck_assert(hn_member_loss(c, 0) != hn_member_loss(c, 0)); /* NaN before the first batch */
    HN_OK(hn_cohort_advance(c, 2, &rows, &err), err);
    ck_assert_int_eq(rows, 32);
    ck_assert_double_eq(c->member[0].partial[1], 32);
    HN_OK(hn_cohort_advance(c, 9, &rows, &err), err);
    ck_assert_int_eq(rows, 16); /* the short batch comes by itself */
    ck_assert_int_eq(c->member[0].state, HN_MEMBER_RUNNING);
    HN_OK(hn_cohort_advance(c, 9, &rows, &err), err);
    ck_assert_int_eq(rows, 2);
    ck_assert_int_eq(c->member[0].state, HN_MEMBER_EPOCH_END);
    ck_assert_double_eq(c->member[0].partial[1], 50);
    ck_assert_int_eq(c->member[0].r.now.batch, 4);
    ck_assert_int_eq(c->member[0].r.now.step, 4);
    ck_assert_double_eq(c->member[0].last_lr, 0.01);
    hn_cohort_destroy(c);
    rig_close(&g);
}
END_TEST

HN_TEST_MAIN("cohort", tcase_add_loop_test(tc, together_as_alone, 0, 3);
             tcase_add_test(tc, a_member_that_diverges); tcase_add_test(tc, sums_and_rates);)
