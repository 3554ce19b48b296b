/* SPDX-License-Identifier: MIT
 *
 * One replica of a made program trained on the GPU backend or the one it is compared with, alone or in company, and what came
 * of it. */
#ifndef TEST_TRAINING_H
#define TEST_TRAINING_H

#include "tests/cpu/hypers.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"
#include "tests/gpu/fake.h"

enum { TRAINED_MOST = 8192, TRAINED_STEPS = 7, TRAINED_ROWS = 340, TRAINED_SLOTS = 4 };

struct outcome {
    double w[TRAINED_MOST], average[TRAINED_MOST], partial[2];
    struct hn_clock now;
    hone_status st;
    int refused;
    int64_t bad;
};

struct setup { /* how one replica is trained */
    const struct hn_backend *b;
    const char *options;
    const struct hn_hyper *hyper;
    int64_t rows;
    int slots, place; /* the replica is in slot `place` of `slots` */
    int ragged;       /* the others have fewer rows, or none */
    double bad_lr;    /* in the third step of the first call */
};

/* Two calls: so many batches in shuffled order, then 2 of the rows in order, with a flush. Fails, or is refused. */
static inline void train(struct made *m, const struct rig_data *d, const struct setup *u,
                         struct outcome *out)
{
    struct rig g;
    struct rig_replica r[TRAINED_SLOTS];
    struct hn_slot s[TRAINED_SLOTS] = { 0 };
    hone_error err = { 0 };
    double lr[TRAINED_STEPS];
    static uint32_t index[TRAINED_STEPS * TRAINED_ROWS];
    for (int i = 0; i < TRAINED_STEPS; i++)
        lr[i] = u->bad_lr != 0 && i == 2 ? u->bad_lr : 0.05 / (1 + i);
    for (int i = 0; i < TRAINED_STEPS * TRAINED_ROWS; i++) index[i] = (uint32_t)(i * 61 % RIG_ROWS);
    rig_open(&g, u->b, &m->t, 1, u->options);
    rig_prepare(&g, HN_PASS_TRAIN, u->rows, u->slots, d);
    for (int i = 0; i < u->slots; i++) {
        rig_replica_init(&r[i], &g, &m->t, u->hyper, i == u->place ? 3 : 50 + (uint64_t)i);
        s[i] = (struct hn_slot){
            .r = &r[i].r, .data = g.data, .index = index, .lr = lr, .partial = r[i].partial
        };
        s[i].rows = i == u->place || !u->ragged ? u->rows : i % 2 ? 0 : (u->rows + 1) / 2;
    }
    out->st = u->b->run(g.exec, s, u->slots, TRAINED_STEPS, &err);
    out->refused = refused(out->st, &err);
    out->bad = s[u->place].bad_step;
    if (out->st == HONE_OK && out->bad < 0) {
        for (int i = 0; i < u->slots; i++) s[i].index = NULL, s[i].first = 11, s[i].flush = 1;
        out->st = u->b->run(g.exec, s, u->slots, 2, &err);
    }
    ck_assert_msg(out->st == HONE_OK || out->refused, "%d: %s", (int)out->st, err.text);
    memcpy(out->partial, r[u->place].partial, sizeof out->partial);
    out->now = r[u->place].r.now;
    ck_assert_int_lt((int)m->t.p.n_slab, TRAINED_MOST);
    rig_get(&g, r[u->place].r.slab[HN_SLAB_W], out->w, m->t.p.n_slab);
    rig_get(&g, r[u->place].r.slab[HN_SLAB_AVERAGE], out->average, m->t.p.n_slab);
    for (int i = 0; i < u->slots; i++) rig_replica_free(&r[i], &g);
    rig_unprepare(&g);
    rig_close(&g);
}

static inline void expect_same(const struct outcome *a, const struct outcome *b, size_t n)
{
    ck_assert_int_eq(a->st, b->st);
    ck_assert_int_eq(a->bad, b->bad);
    ck_assert_mem_eq(&a->now, &b->now, sizeof a->now);
    ck_assert_mem_eq(a->partial, b->partial, sizeof a->partial);
    ck_assert_mem_eq(a->w, b->w, n * sizeof *a->w);
    ck_assert_mem_eq(a->average, b->average, n * sizeof *a->average);
}
#endif
