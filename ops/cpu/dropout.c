/* SPDX-License-Identifier: MIT
 *
 * Dropout: y = keep ? x / (1 - rate) : 0. The decisions are those of rng.h, bit for bit. They are kept, so that backward reads
 * them again (dx = keep ? dy / (1 - rate) : 0), as one mask per row and 16 columns: for 8 rows and GROUP columns masks[8], bit j
 * of masks[r] for row r and column j. That is the form in which vectors of 16 take them. */
#include "ops/cpu/isa.h"
#include "ops/cpu/lanes.h"
#include <string.h>

enum { GROUP = 16 }; /* columns of a mask */

struct block { /* 8 rows of a tile */
    const struct hn_call *c;
    uint32_t row8, threshold; /* row / 8 in the batch */
};

/* Bytes of the masks of 8 rows. */
static int64_t masks_bytes(int64_t cols) { return (cols + GROUP - 1) / GROUP * GROUP; }

static void dropout_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_shape *x = &u->xs[0];
    const struct hn_dim count = hn_shape_count(x);
    n->local = (uint8_t)hn_cpu_batched(x);
    n->inplace = 3;
    if (u->pass == HN_PASS_TRAIN || u->pass == HN_PASS_GRAD) {
        const int64_t rows = n->local ? x->d[0].per_row : 0;
        if (n->local) /* every 8 of the batch are `rows` times 8 rows here */
            n->save_per8[0] = (size_t)(rows * masks_bytes(count.per_row / rows));
        else /* R rows of C columns: ceil(R/8) ceil(C/16) 16 <= 16 R C */
            n->save_per8[0] = 8 * GROUP * (size_t)count.per_row;
        n->save_fixed[0] = GROUP * (size_t)count.fixed;
    }
    n->cost = 8.0 * (double)hn_cpu_width(&u->xs[0]);
}

/* ---- the decisions ----------------------------------------------------------------------------------------------- */

#if !defined(__AVX512DQ__) && defined(__AVX2__)
/* Bit j: bits [shift, shift + 16) of lane j are no less than t. */
static inline uint32_t no_less(words a, int shift, uint32_t t)
{
    const words v = _mm256_and_si256(_mm256_srli_epi64(a, shift), all(0xffff));
    return 15u & ~(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(all(t), v)));
}
#elif !defined(__AVX512DQ__)
static inline uint32_t no_less(words a, int shift, uint32_t t)
{
    return (a >> shift & 0xffffu) >= t;
}
#endif

static inline void decide(const struct block *b, int64_t col, words c[4])
{
    const struct hn_dropout *a = b->c->op->attrs;
    philox(b->c, a->stream, b->row8, col, c);
}

/* Of GROUP columns: row 2i by the low half of word i, row 2i + 1 by its high half. */
#ifdef __AVX512DQ__
/* 32 bits of each word are one lane: above the largest that drops in the upper half, what is kept there. */
static inline void keep_masks(const struct block *b, int64_t col, uint16_t masks[8])
{
    const __m512i lower =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i most = _mm512_set1_epi32((int)((b->threshold - 1) << 16 | 0xffff));
    words c[4], d[4];
    decide(b, col, c);
    decide(b, col + LANES, d);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i word = _mm512_permutex2var_epi32(c[i], lower, d[i]);
        const __m512i half = _mm512_slli_epi32(word, 16);
        masks[2 * i] = _mm512_cmpgt_epu32_mask(half, most);
        masks[2 * i + 1] = _mm512_cmpgt_epu32_mask(word, most);
    }
}
#else
static inline void keep_masks(const struct block *b, int64_t col, uint16_t masks[8])
{
    uint32_t m[8] = { 0 };
#pragma GCC unroll 4
    for (int at = 0; at < GROUP; at += LANES) {
        words c[4];
        decide(b, col + at, c);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            m[2 * i] |= no_less(c[i], 0, b->threshold) << at;
            m[2 * i + 1] |= no_less(c[i], 16, b->threshold) << at;
        }
    }
    for (int i = 0; i < 8; i++) masks[i] = (uint16_t)m[i];
}
#endif

/* ---- the rows ---------------------------------------------------------------------------------------------------- */

/* n <= GROUP numbers of one row: out = kept ? in * scale : 0, or added to out. */
#ifdef __AVX512DQ__
static inline void apply(uint16_t mask, float scale, const float *in, float *out, int64_t n,
                         int add)
{
    const __mmask16 there = (__mmask16)(n < GROUP ? (1u << n) - 1 : 0xffff);
    __m512 v = _mm512_maskz_mul_ps(mask, _mm512_maskz_loadu_ps(there, in), _mm512_set1_ps(scale));
    if (add) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(there, out));
    _mm512_mask_storeu_ps(out, there, v);
}
#elif defined(__AVX2__)
static inline void apply(uint16_t mask, float scale, const float *in, float *out, int64_t n,
                         int add)
{
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i bit = _mm256_sllv_epi32(_mm256_set1_epi32(1), lane);
    for (int h = 0; h < n; h += 8) {
        const __m256i keep =
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(mask >> h), bit), bit);
        const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - h), lane);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(in + h, there), _mm256_set1_ps(scale));
        v = _mm256_and_ps(v, _mm256_castsi256_ps(keep));
        if (add) v = _mm256_add_ps(v, _mm256_maskload_ps(out + h, there));
        _mm256_maskstore_ps(out + h, there, v);
    }
}
#else
static inline void apply(uint16_t mask, float scale, const float *in, float *out, int64_t n,
                         int add)
{
    for (int64_t i = 0; i < n; i++) {
        const float v = mask >> i & 1 ? in[i] * scale : 0.0f;
        out[i] = add ? out[i] + v : v;
    }
}
#endif

static float keep_scale(double rate) { return rate < 1 ? (float)(1 / (1 - rate)) : 0.0f; }

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

/* out = kept ? in / (1 - rate) : 0, or added to out. b: decide; NULL: as was decided. */
static inline void drop(const struct hn_call *c, struct block *b, const float *in, float *out,
                        int add)
{
    uint16_t *masks = c->save[0];
    const int64_t rows = row_count(c), cols = column_count(c);
    const float scale = keep_scale(c->rate);
    for (int64_t row = 0; row < rows; row += 8) {
        const int64_t end = rows - row < 8 ? rows : row + 8;
        for (int64_t col = 0; col < cols; col += GROUP, masks += 8) {
            const int64_t n = cols - col < GROUP ? cols - col : GROUP;
            if (b) keep_masks(b, col, masks);
            for (int64_t r = row; r < end; r++)
                apply(masks[r - row], scale, in + r * cols + col, out + r * cols + col, n, add);
        }
        if (b) b->row8++;
    }
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
    struct block b = { c, (uint32_t)(first_row(k) / 8), threshold };
    drop(c, &b, x, y, 0);
}

static void dropout_backward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const float *dy = c->dy[0];
    float *dx = c->dx[0];
    const int64_t n = hn_extent_numel(&c->xs[0]);
    if (!dx) return;
    if (c->train && hn_dropout_threshold(c->rate)) {
        drop(c, NULL, dy, dx, (int)(c->acc & 1));
        return;
    }
    if (c->acc & 1)
        for (int64_t i = 0; i < n; i++) dx[i] += dy[i];
    else if (dx != dy)
        memcpy(dx, dy, (size_t)n * sizeof *dx);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_dropout) = {
    .row = &hn_op_dropout,
    .need = dropout_need,
    .forward = { .main = dropout_forward },
    .backward = { .main = dropout_backward },
};
