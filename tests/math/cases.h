/* SPDX-License-Identifier: MIT
 *
 * One (row, sample, rows) of the op table, ready to call: buffers of its inputs, outputs, gradients and saved values,
 * filled with reproducible numbers. Buffers end in a guard that case_free checks. */
#ifndef HN_TEST_CASES_H
#define HN_TEST_CASES_H

#include "ops/math/op.h"
#include "tests/harness.h"
#include <math.h>

enum { CASE_IN = 6, CASE_OUT = 3, CASE_GUARD = 8 };

struct case_ {
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    struct hn_op op;
    int32_t in[CASE_IN], out[CASE_OUT];
    struct hn_shape xshape[CASE_IN], yshape[CASE_OUT];
    struct hn_extent xs[CASE_IN], ys[CASE_OUT];
    void *x[CASE_IN], *y[CASE_OUT], *dx[CASE_IN], *dy[CASE_OUT], *save[4];
    struct hn_need need;
    struct hn_call call;
    double loss[2];
    uint32_t key[2];
    uint64_t state;
};

static inline double case_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}
static inline double case_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += case_uniform(state);
    return sum - 6;
}

static inline double *case_buffer(int64_t n)
{
    double *p = calloc((size_t)(n + CASE_GUARD), sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < CASE_GUARD; i++) p[n + i] = 12345.678;
    return p;
}
static inline void case_release(double *p, int64_t n)
{
    for (int i = 0; p && i < CASE_GUARD; i++)
        ck_assert_msg(p[n + i] == 12345.678, "a kernel wrote past its buffer");
    free(p);
}

static inline double case_value(struct case_ *c, int how)
{
    double n = (double)c->xs[0].d[c->xs[0].rank > 0 ? c->xs[0].rank - 1 : 0];
    switch (how) {
    case 1: return 0.5 + 1.5 * case_uniform(&c->state);
    case 2: return floor(case_uniform(&c->state) * n);
    case 3: return 0.05 + 0.9 * case_uniform(&c->state);
    case 4: return case_uniform(&c->state) < 0.5 ? 0 : 1;
    case 5: return floor(case_uniform(&c->state) * 2 * n) - n;
    default: return case_normal(&c->state);
    }
}

static inline void case_init(struct case_ *c, const struct hn_op_row *row,
                             const struct hn_sample *s, int64_t rows)
{
    hone_error err = { 0 };
    *c = (struct case_){
        .row = row, .sample = s, .key = { 0x12345678, 0x9abcdef0 }, .state = 42 + (uint64_t)rows
    };
    int n_out = row->flags & HN_OP_LOSS ? 0 : 1;
    for (int i = 0; i < s->n_in; i++) c->in[i] = i, c->xshape[i] = s->x[i];
    for (int i = 0; i < n_out; i++) c->out[i] = 10 + i;
    c->op = (struct hn_op){ row, s->attrs, s->n_in, n_out, c->in, c->out, s->name, 0 };
    HN_OK(row->shape(&c->op, c->xshape, c->yshape, s->name, &err), err);
    row->need(&c->op, c->xshape, &c->need);
    for (int i = 0; i < s->n_in; i++) {
        hn_extent_of(&c->xshape[i], rows, &c->xs[i]);
        int64_t n = hn_extent_numel(&c->xs[i]);
        c->x[i] = case_buffer(n), c->dx[i] = case_buffer(n);
        for (int64_t k = 0; k < n; k++) ((double *)c->x[i])[k] = case_value(c, s->values[i]);
    }
    for (int i = 0; i < n_out; i++) {
        hn_extent_of(&c->yshape[i], rows, &c->ys[i]);
        int64_t n = hn_extent_numel(&c->ys[i]);
        c->y[i] = case_buffer(n), c->dy[i] = case_buffer(n);
        for (int64_t k = 0; k < n; k++) ((double *)c->dy[i])[k] = case_normal(&c->state);
    }
    for (int i = 0; i < c->need.n_save; i++)
        c->save[i] = case_buffer((c->need.save[i].per_row * rows + c->need.save[i].fixed + 7) / 8);
    c->call = (struct hn_call){ .op = &c->op,
                                .xs = c->xs,
                                .ys = c->ys,
                                .x = c->x,
                                .y = c->y,
                                .dx = c->dx,
                                .dy = c->dy,
                                .save = c->save,
                                .rows = rows,
                                .train = s->train,
                                .key = c->key,
                                .batch = 5,
                                .loss = c->loss };
    if (row == &hn_op_dropout) c->call.rate = ((const struct hn_dropout *)s->attrs)->rate;
    if (row == &hn_op_noise) c->call.rate = ((const struct hn_noise *)s->attrs)->std;
    if (row == &hn_op_mixup) c->call.rate = ((const struct hn_mixup *)s->attrs)->alpha;
}

static inline void case_free(struct case_ *c)
{
    for (int i = 0; i < c->op.n_in; i++) {
        case_release(c->x[i], hn_extent_numel(&c->xs[i]));
        case_release(c->dx[i], hn_extent_numel(&c->xs[i]));
    }
    for (int i = 0; i < c->op.n_out; i++) {
        case_release(c->y[i], hn_extent_numel(&c->ys[i]));
        case_release(c->dy[i], hn_extent_numel(&c->ys[i]));
    }
    for (int i = 0; i < c->need.n_save; i++)
        case_release(c->save[i],
                     (c->need.save[i].per_row * c->call.rows + c->need.save[i].fixed + 7) / 8);
}

/* Does a gradient of input i make sense? Not of targets, state and constants. */
static inline int case_differentiable(const struct case_ *c, int i)
{
    int kind = c->sample->kind[i];
    if (c->sample->values[i] == 4) return 0; /* zero or one: a switch */
    return kind == HN_ACT || kind == HN_PARAM || kind == HN_INPUT;
}

/* The i-th (row, sample) of the table; 0 past the end. */
static inline int case_find(int i, const struct hn_op_row **row, const struct hn_sample **sample)
{
    for (int r = 0; hn_op_rows[r]; r++)
        for (int s = 0; hn_op_rows[r]->samples[s].name; s++)
            if (i-- == 0) {
                *row = hn_op_rows[r], *sample = &hn_op_rows[r]->samples[s];
                return 1;
            }
    return 0;
}
static inline int case_count(void)
{
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    int n = 0;
    while (case_find(n, &row, &sample)) n++;
    return n;
}
#endif
