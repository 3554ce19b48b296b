/* SPDX-License-Identifier: MIT
 *
 * hn_philox for as many neighbouring columns as a vector register has lanes of 64 bits. */
#ifndef HN_CPU_LANES_H
#define HN_CPU_LANES_H

#include "ops/math/op.h"
#if defined(__AVX512DQ__) || defined(__AVX2__)
#include <immintrin.h>
#endif

/* Columns next to each other are vector lanes of 64 bits: so the products of Philox need no rearranging. The upper halves of
 * words hold leftovers that the next product ignores. */
#if defined(__AVX512DQ__)
typedef __m512i words;
enum { LANES = 8 };
static inline words all(uint32_t x) { return _mm512_set1_epi64(x); }
static inline words count_up(void) { return _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0); }
static inline words product(words a, words b) { return _mm512_mul_epu32(a, b); }
static inline words high(words a) { return _mm512_srli_epi64(a, 32); }
static inline words xor3(words a, words b, words c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
#elif defined(__AVX2__)
typedef __m256i words;
enum { LANES = 4 };
static inline words all(uint32_t x) { return _mm256_set1_epi64x(x); }
static inline words count_up(void) { return _mm256_set_epi64x(3, 2, 1, 0); }
static inline words product(words a, words b) { return _mm256_mul_epu32(a, b); }
static inline words high(words a) { return _mm256_srli_epi64(a, 32); }
static inline words xor3(words a, words b, words c)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
#else
typedef uint64_t words;
enum { LANES = 1 };
static inline words all(uint32_t x) { return x; }
static inline words count_up(void) { return 0; }
static inline words product(words a, words b) { return (a & 0xffffffffu) * b; }
static inline words high(words a) { return a >> 32; }
static inline words xor3(words a, words b, words c) { return a ^ b ^ c; }
#endif

/* Counter {col, row, batch, stream} for LANES columns from col on: the words are the lower halves of c[0] to c[3]. */
static inline void philox(const struct hn_call *call, uint32_t stream, uint32_t row, int64_t col,
                          words c[4])
{
    uint32_t k0 = call->key[0], k1 = call->key[1];
    c[0] = all((uint32_t)col) + count_up();
    c[1] = all(row), c[2] = all((uint32_t)call->batch), c[3] = all(stream);
#pragma GCC unroll 10
    for (int i = 0; i < 10; i++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const words p = product(c[0], all(0xD2511F53u)), q = product(c[2], all(0xCD9E8D57u));
        c[0] = xor3(high(q), c[1], all(k0)), c[1] = q;
        c[2] = xor3(high(p), c[3], all(k1)), c[3] = p;
    }
}
#endif
