/* SPDX-License-Identifier: MIT
 *
 * Calibration of inserted BatchNormalization: see calibrate.h. One pass is enough for all of them: as identities they do
 * not change what reaches the next one. */
#include "plugin/train/calibrate.h"
#include "ops/base/status.h"
#include "plugin/train/interpret.h"
#include <math.h>

enum { LEAST_ROWS = 64, MOST_ROWS = 4096, CHUNK = 64 };
static const double MOST_WORK = 2e8; /* rows times parameters */

struct sums { /* per channel of one BatchNormalization */
    const struct hn_op *op;
    int64_t channels;
    double *sum, *squares, count;
};

static const struct hn_param *input_param(const struct hn_program *prog, const struct hn_op *op,
                                          int i)
{
    return &prog->params[prog->values[op->in[i]].index];
}

static int is_identity(const struct hn_program *prog, const struct hn_op *op, const void *w,
                       size_t elem)
{
    static const double start[5] = { 0, 1, 0, 0, 1 };
    if (op->row != &hn_op_batchnorm || ((const struct hn_batchnorm *)op->attrs)->mode != 0)
        return 0;
    for (int i = 1; i < 5; i++) {
        const struct hn_value_ref *v = &prog->values[op->in[i]];
        if (v->kind != HN_PARAM && v->kind != HN_STATE) return 0;
        const struct hn_param *p = input_param(prog, op, i);
        if (p->flags & HN_PARAM_IDLE) return 0; /* it stays one */
        for (size_t k = 0; k < p->n; k++)
            if (hn_elem_get(w, elem, p->off + k) != start[i]) return 0;
    }
    return 1;
}

/* Channel axis 1; what follows it belongs to the channel. */
static void add_values(struct sums *s, const double *x, const struct hn_extent *e)
{
    int64_t inner = 1;
    for (int d = 2; d < e->rank; d++) inner *= e->d[d];
    for (int64_t r = 0; r < e->d[0]; r++)
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t k = 0; k < inner; k++) {
                double v = x[(r * s->channels + c) * inner + k];
                s->sum[c] += v;
                s->squares[c] += v * v;
            }
    s->count += (double)(e->d[0] * inner);
}

static hone_status add_chunk(struct hn_interpreter *it, struct sums *s, int n, hone_error *err)
{
    const struct hn_program *prog = it->o.prog;
    for (int32_t k = 0, next = 0; k < prog->n_ops && next < n; k++) {
        const struct hn_op *op = &prog->ops[k];
        if (s[next].op == op) {
            add_values(&s[next], it->value[op->in[0]], &it->extent[op->in[0]]);
            next++;
        }
        HN_TRY(hn_interpret_op(it, k, err));
    }
    return HONE_OK;
}

static hone_status add_rows(const struct hn_session *s, const struct hn_interpret_opts *o,
                            struct sums *sums, int n, hone_error *err)
{
    const struct hn_rows *all = &s->rows[HONE_TRAIN];
    double fit = MOST_WORK / (double)(s->prog->n_slab + 1);
    int64_t wanted = fit < LEAST_ROWS ? LEAST_ROWS : fit > MOST_ROWS ? MOST_ROWS : (int64_t)fit;
    if (wanted > all->n) wanted = all->n;
    uint32_t rows[CHUNK];
    struct hn_interpret_opts piece = *o;
    piece.rows = rows;
    for (int64_t at = 0; at < wanted; at += piece.n_rows) {
        struct hn_interpreter it;
        piece.n_rows = wanted - at < CHUNK ? wanted - at : CHUNK;
        for (int64_t i = 0; i < piece.n_rows; i++) rows[i] = all->rows[(at + i) * all->n / wanted];
        HN_TRY(hn_interpret_open(&it, &s->ctx->mem, &piece, err));
        hone_status st = add_chunk(&it, sums, n, err);
        hn_interpret_close(&it);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

static void write_back(const struct hn_program *prog, const struct sums *s, void *w, size_t elem)
{
    double eps = ((const struct hn_batchnorm *)s->op->attrs)->eps;
    for (int64_t c = 0; c < s->channels; c++) {
        double mean = s->sum[c] / s->count, var = s->squares[c] / s->count - mean * mean;
        if (!(var > 0)) var = 0;
        double at[5] = { 0, sqrt(var + eps), mean, mean, var };
        for (int i = 1; i < 5; i++)
            hn_elem_set(w, elem, input_param(prog, s->op, i)->off + (size_t)c, at[i]);
    }
}

hone_status hn_calibrate(const struct hn_session *s, const struct hn_replica *r, void *w,
                         size_t elem, hone_error *err)
{
    const struct hn_program *prog = s->prog;
    struct hn_arena a;
    int n = 0, ok = 1;
    hn_arena_init(&a, &s->ctx->mem);
    struct sums *sums = hn_arena_alloc(&a, (size_t)prog->n_ops + 1, sizeof *sums);
    for (int32_t k = 0; sums && ok && k < prog->n_ops; k++) {
        if (!is_identity(prog, &prog->ops[k], w, elem)) continue;
        struct sums *one = &sums[n++];
        size_t channels = input_param(prog, &prog->ops[k], 1)->n;
        *one = (struct sums){ .op = &prog->ops[k],
                              .channels = (int64_t)channels,
                              .sum = hn_arena_alloc(&a, channels, sizeof *one->sum),
                              .squares = hn_arena_alloc(&a, channels, sizeof *one->squares) };
        ok = one->sum && one->squares;
    }
    struct hn_interpret_opts o = {
        .prog = prog, .r = r, .set = s->sets[s->set_of[HONE_TRAIN]], .w = w, .elem = elem
    };
    hone_status st = sums && ok ? HONE_OK : hn_nomem(err, "the calibration", 0);
    if (st == HONE_OK && n) st = add_rows(s, &o, sums, n, err);
    for (int i = 0; st == HONE_OK && i < n; i++) write_back(prog, &sums[i], w, elem);
    hn_arena_clear(&a);
    return st;
}
