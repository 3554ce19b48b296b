/* SPDX-License-Identifier: MIT
 *
 * Embedding: rows of a table, copied; backward adds each row's gradient to its row of the table's, in the order of the batch. A task
 * has a range of the table's rows and looks at all indices for a block of them at a time, so that the sums, in double, do not depend
 * on the number of tasks. */
#include "ops/cpu/isa.h"
#include <math.h>
#include <string.h>

enum { ROWS_A_TASK = 4096, MOST_TASKS = 8, SUMS = 8192 };

static void embedding_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const int64_t rows = u->xs[1].d[0].fixed;
    n->local = (uint8_t)hn_cpu_batched(&u->xs[0]);
    n->late_x = 1;
    n->late = 1u << 1;
    n->n_tasks = rows / ROWS_A_TASK < MOST_TASKS ? (int)(rows / ROWS_A_TASK) : MOST_TASKS;
    const size_t width = hn_cpu_width(&u->xs[1]) / (size_t)rows;
    n->scratch = sizeof(double) * (width > SUMS ? width : SUMS);
    n->cost = 2.0 * (double)hn_cpu_width(&u->ys[0]);
}

static int64_t width_of(const struct hn_call *c)
{
    int64_t n = 1;
    for (int i = 1; i < c->xs[1].rank; i++) n *= c->xs[1].d[i];
    return n;
}

static void embedding_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const int64_t n = hn_extent_numel(&c->xs[0]), rows = c->xs[1].d[0], width = width_of(c);
    const float *x = c->x[0], *table = c->x[1];
    float *y = c->y[0];
    for (int64_t i = 0; i < n; i++, y += width) {
        const int64_t row = hn_table_row((double)x[i], rows);
        if (row >= 0)
            memcpy(y, table + row * width, (size_t)width * sizeof *y);
        else
            for (int64_t j = 0; j < width; j++) y[j] = NAN;
    }
}

/* An index has no gradient: zeros. */
static void embedding_backward(const struct hn_cpu_call *k)
{
    if (k->c.dx[0] && !(k->c.acc & 1))
        memset(k->c.dx[0], 0, (size_t)hn_extent_numel(&k->c.xs[0]) * sizeof(float));
}

/* Gradients of rows [from, to) of the table. */
static void sum_rows(const struct hn_call *c, double *sum, int64_t from, int64_t to)
{
    const int64_t n = hn_extent_numel(&c->xs[0]), rows = c->xs[1].d[0], width = width_of(c);
    const int64_t still = ((const struct hn_embedding *)c->op->attrs)->still - 1;
    const int add = (int)(c->acc >> 1 & 1);
    const float *x = c->x[0], *dy = c->dy[0];
    float *d = (float *)c->dx[1] + from * width;
    memset(sum, 0, (size_t)((to - from) * width) * sizeof *sum);
    for (int64_t i = 0; i < n; i++, dy += width) {
        const int64_t row = hn_table_row((double)x[i], rows);
        if (row < from || row >= to || row == still) continue;
        double *const s = sum + (row - from) * width;
        for (int64_t j = 0; j < width; j++) s[j] += (double)dy[j];
    }
    for (int64_t i = 0; i < (to - from) * width; i++) d[i] = (float)sum[i] + (add ? d[i] : 0.0f);
}

static void embedding_late(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const int64_t rows = c->xs[1].d[0], width = width_of(c);
    const int64_t from = rows * k->task / k->n_tasks, to = rows * (k->task + 1) / k->n_tasks;
    const int64_t block = width > SUMS ? 1 : SUMS / width;
    if (!c->dx[1]) return;
    for (int64_t r = from; r < to; r += block)
        sum_rows(c, k->scratch, r, to - r < block ? to : r + block);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_embedding) = {
    .row = &hn_op_embedding,
    .need = embedding_need,
    .forward = { .main = embedding_forward },
    .backward = { .main = embedding_backward, .late = embedding_late },
};
