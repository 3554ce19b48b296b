/* SPDX-License-Identifier: MIT
 *
 * The common core of softmax and cross entropy: e = exp(x - top) of each row, with the row's largest element and sum.
 * The exponentials of a block of rows are one flat loop, so that ten classes fill vectors too. */
#ifndef HN_CPU_ROWEXP_H
#define HN_CPU_ROWEXP_H

#include "ops/cpu/vmath.h"

/* e may be x. */
static inline void hn_row_exp(const float *x, float *e, int64_t rows, int64_t len, float *top,
                              float *sum)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *v = x + r * len;
        float m = len > 0 ? v[0] : 0.0f;
#pragma omp simd reduction(max : m)
        for (int64_t i = 0; i < len; i++) m = v[i] > m ? v[i] : m;
        for (int64_t i = 0; i < len; i++) e[r * len + i] = v[i] - m;
        top[r] = m;
    }
    for (int64_t i = 0; i < rows * len; i++) e[i] = hn_expf(e[i]);
    for (int64_t r = 0; r < rows; r++) {
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (int64_t i = 0; i < len; i++) s += e[r * len + i];
        sum[r] = s;
    }
}

enum { HN_EXP_ROWS = 16 }; /* rows worked on together */
#endif
