/* SPDX-License-Identifier: MIT
 *
 * Dropout: y = keep ? x / (1 - rate) : 0. The decisions are those of rng.h, bit for bit; they are kept as one byte per
 * column and 8 rows, bit r for row r, so that backward reads them again:  dx = keep ? dy / (1 - rate) : 0. */
#include "ops/cpu/isa.h"
#include <string.h>

enum { CHUNK = 64 }; /* columns worked on together */

struct block { /* 8 rows of a tile */
    const struct hn_call *c;
    uint32_t row8, threshold; /* row / 8 in the batch */
    int64_t cols;
    int rows;
};

static void dropout_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = (uint8_t)hn_cpu_batched(&u->xs[0]);
    n->inplace = 3;
    struct hn_dim count = hn_shape_count(&u->xs[0]);
    if (u->pass == HN_PASS_TRAIN || u->pass == HN_PASS_GRAD) {
        n->save_per8[0] = (size_t)count.per_row * (n->local ? 1 : 8);
        n->save_fixed[0] = (size_t)count.fixed;
    }
    n->cost = 8.0 * (double)hn_cpu_width(&u->xs[0]);
}

/* A Philox word. In 64-bit lanes the products need no rearranging, which pays where vectors have eight of them. */
#ifdef __AVX512DQ__
typedef uint64_t lane;
#else
typedef uint32_t lane;
#endif

#define ROUND                                                                                      \
    {                                                                                              \
        uint64_t p = (uint64_t)0xD2511F53u * (uint32_t)c0,                                         \
                 q = (uint64_t)0xCD9E8D57u * (uint32_t)c2;                                         \
        c0 = (lane)(q >> 32) ^ c1 ^ k0;                                                            \
        c2 = (lane)(p >> 32) ^ c3 ^ k1;                                                            \
        c1 = (lane)q;                                                                              \
        c3 = (lane)p;                                                                              \
        k0 += 0x9E3779B9u;                                                                         \
        k1 += 0xBB67AE85u;                                                                         \
    }

/* Bit 0 when the low half decides to keep, bit 1 for the high half. */
static inline uint32_t keep2(lane word, uint32_t threshold)
{
    uint32_t w = (uint32_t)word;
    return (uint32_t)((w & 0xffffu) >= threshold) | (uint32_t)((w >> 16) >= threshold) << 1;
}

/* The decisions of n columns (a multiple of 16) of 8 rows: hn_philox written out so that columns become vector lanes;
 * the upper halves of 64-bit lanes hold leftovers that the next round's products ignore. */
static void keep_bits(const struct block *b, int64_t col, uint32_t n, uint8_t keep[CHUNK])
{
    const struct hn_dropout *a = b->c->op->attrs;
    const uint32_t key0 = b->c->key[0], key1 = b->c->key[1], batch = (uint32_t)b->c->batch;
    const uint32_t stream = a->stream, row8 = b->row8, threshold = b->threshold;
    const lane first = (lane)col;
    lane w[4][CHUNK];
    for (uint32_t i = 0; i < n / 16 * 16; i++) {
        lane c0 = first + i, c1 = row8, c2 = batch, c3 = stream;
        uint32_t k0 = key0, k1 = key1;
        ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND w[0][i] = c0, w[1][i] = c1,
                                                                    w[2][i] = c2, w[3][i] = c3;
    }
    for (uint32_t i = 0; i < n / 16 * 16; i++)
        keep[i] = (uint8_t)(keep2(w[0][i], threshold) | keep2(w[1][i], threshold) << 2 |
                            keep2(w[2][i], threshold) << 4 | keep2(w[3][i], threshold) << 6);
}
#undef ROUND

/* One row: out = bit r of keep ? in * scale : 0, or added to out. */
static void apply(const uint8_t *keep, int r, float scale, const float *in, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = keep[i] >> r & 1 ? in[i] * scale : 0.0f;
}
static void apply_add(const uint8_t *keep, int r, float scale, const float *in, float *out,
                      int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] += keep[i] >> r & 1 ? in[i] * scale : 0.0f;
}

static float keep_scale(double rate) { return rate < 1 ? (float)(1 / (1 - rate)) : 0.0f; }

static void block_forward(const struct block *b, uint8_t *keep, const float *x, float *y)
{
    const float scale = keep_scale(b->c->rate);
    for (int64_t col = 0; col < b->cols; col += CHUNK) {
        uint8_t bits[CHUNK];
        int64_t n = b->cols - col < CHUNK ? b->cols - col : CHUNK;
        keep_bits(b, col, (uint32_t)(n + 15) / 16 * 16, bits);
        memcpy(keep + col, bits, (size_t)n);
        for (int r = 0; r < b->rows; r++)
            apply(keep + col, r, scale, x + r * b->cols + col, y + r * b->cols + col, n);
    }
}

/* Rows are the first dim, columns all others together. */
static int64_t row_count(const struct hn_call *c) { return c->xs[0].rank > 0 ? c->xs[0].d[0] : 1; }
static int64_t column_count(const struct hn_call *c)
{
    int64_t n = 1;
    for (int i = 1; i < c->xs[0].rank; i++) n *= c->xs[0].d[i];
    return n;
}

/* The tile's first row: a batch row may be several rows here. */
static int64_t first_row(const struct hn_cpu_call *k)
{
    return k->row0 && k->c.rows ? k->row0 * (row_count(&k->c) / k->c.rows) : 0;
}

static void dropout_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const float *x = c->x[0];
    float *y = c->y[0];
    uint32_t threshold = hn_dropout_threshold(c->rate);
    if (!c->train || threshold == 0) {
        if (y != x) memcpy(y, x, (size_t)hn_extent_numel(&c->xs[0]) * sizeof *y);
        return;
    }
    uint8_t *keep = c->save[0];
    struct block b = { c, (uint32_t)(first_row(k) / 8), threshold, column_count(c), 8 };
    const int64_t rows = row_count(c);
    for (int64_t r = 0; r < rows; r += 8, b.row8++, keep += b.cols) {
        b.rows = rows - r < 8 ? (int)(rows - r) : 8;
        block_forward(&b, keep, x + r * b.cols, y + r * b.cols);
    }
}

static void dropout_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const float *dy = c->dy[0], scale = keep_scale(c->rate);
    float *dx = c->dx[0];
    const uint8_t *keep = c->save[0];
    const int64_t rows = row_count(c), cols = column_count(c), n = hn_extent_numel(&c->xs[0]);
    if (!dx) return;
    if (!c->train || hn_dropout_threshold(c->rate) == 0) {
        if (c->acc & 1)
            for (int64_t i = 0; i < n; i++) dx[i] += dy[i];
        else if (dx != dy)
            memcpy(dx, dy, (size_t)n * sizeof *dx);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        (c->acc & 1 ? apply_add : apply)(keep, (int)(r & 7), scale, dy + r * cols, dx + r * cols,
                                         cols);
        if ((r & 7) == 7) keep += cols;
    }
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_dropout) = {
    .row = &hn_op_dropout,
    .need = dropout_need,
    .forward = { .main = dropout_forward },
    .backward = { .main = dropout_backward },
};
