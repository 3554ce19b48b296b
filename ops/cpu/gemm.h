/* SPDX-License-Identifier: MIT
 *
 * C[m,n] = alpha A B (+ C, or + bias in every row), row-major, any operand transposed by its strides. The bits of an element
 * depend on n, k and the instruction set alone, neither on the number of rows nor on how columns are split (with trans_a, a
 * weight gradient, on the shape). Never allocates: packing goes into the caller's scratch of hn_gemm_bytes() bytes. */
#ifndef HN_CPU_GEMM_H
#define HN_CPU_GEMM_H

#include "ops/cpu/isa.h"

struct hn_gemm {
    int m, n, k;
    int whole_n; /* n of the product that this is some columns of; 0: n. Decides what computes it */
    const float *a, *b;
    int lda, ldb, trans_a, trans_b; /* trans_a: a is stored [k,m]; trans_b: b is stored [n,k] */
    const uint32_t *a_index,
        *b_index; /* stored row r is row index[r] of the memory; NULL: r. b_index not with trans_b */
    float *c;
    int ldc, add; /* add: C is added to */
    float alpha;
    const float *bias; /* [n] or NULL; not with add */
    float bias_scale;
    void *scratch;
};
void HN_ISA_NAME(hn_gemm)(const struct hn_gemm *g);
size_t HN_ISA_NAME(hn_gemm_room)(void);

/* Of fewer columns than this a product is computed otherwise, and its rows of A or B may not come through an index. */
enum { HN_GEMM_NARROW = 8 };
static inline int hn_gemm_is_narrow(int64_t n) { return n < HN_GEMM_NARROW; }
#define hn_gemm_run   HN_ISA_NAME(hn_gemm)
#define hn_gemm_bytes HN_ISA_NAME(hn_gemm_room)
#endif
