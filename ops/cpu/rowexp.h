/* SPDX-License-Identifier: MIT
 *
 * The common core of softmax and cross entropy: e = exp(x - top) of each row, with the row's largest element and sum.
 * The exponentials of a block of rows are one flat loop, so that ten classes fill vectors too. */
#ifndef HN_CPU_ROWEXP_H
#define HN_CPU_ROWEXP_H

#include "ops/cpu/vmath.h"

/* The largest of n elements, in 16 lanes. */
static inline float hn_row_max(const float *x, int64_t n)
{
    enum { LANES = 16 };
    float m[LANES], top;
    if (n < 1) return 0.0f;
    if (n < LANES) { /* what the lanes would come to */
        top = x[0];
        for (int64_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
        return top;
    }
    for (int j = 0; j < LANES; j++) m[j] = x[0];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
    top = m[0];
    for (int j = 1; j < LANES; j++) top = m[j] > top ? m[j] : top;
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

/* e may be x. */
static inline void hn_row_exp(const float *x, float *e, int64_t rows, int64_t len, float *top,
                              float *sum)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *v = x + r * len;
        const float m = hn_row_max(v, len);
        for (int64_t i = 0; i < len; i++) e[r * len + i] = v[i] - m;
        top[r] = m;
    }
    for (int64_t i = 0; i < rows * len; i++) e[i] = hn_expf(e[i]);
    for (int64_t r = 0; r < rows; r++) {
        float s = 0;
        if (len < 4) { /* fewer than any vector's lanes: the same sum without them */
            for (int64_t i = 0; i < len; i++) s += e[r * len + i];
            sum[r] = s;
            continue;
        }
#pragma omp simd reduction(+ : s)
        for (int64_t i = 0; i < len; i++) s += e[r * len + i];
        sum[r] = s;
    }
}

enum { HN_EXP_ROWS = 16 }; /* rows worked on together */
#endif
