/* SPDX-License-Identifier: MIT
 *
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
 * 3", SC 2011). Nothing has a state: every number is a function of (key, counter), so that masks, shuffles and initial
 * weights do not depend on threads, layout or where a run was resumed. */
#ifndef HN_RNG_H
#define HN_RNG_H

#include <stddef.h>
#include <stdint.h>

static inline void hn_philox(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* What a number is for: the last counter word, so that no two uses share numbers. Dropout uses HN_STREAM_DROPOUT +
 * the position of the ONNX node; initial weights HN_STREAM_INIT + the parameter's position. Each layer's pre-training has a
 * key of its own, drawn from the replica's by HN_STREAM_PRETRAIN. */
enum hn_stream {
    HN_STREAM_SHUFFLE = 0x10000000,
    HN_STREAM_SPLIT = 0x20000000,
    HN_STREAM_AUGMENT = 0x30000000,
    HN_STREAM_SEARCH = 0x40000000,
    HN_STREAM_INIT = 0x50000000,
    HN_STREAM_DROPOUT = 0x60000000,
    HN_STREAM_PRETRAIN = 0x70000000
};

/* The key of a replica: one Philox block of (seed, trial, fold). A plain run is trial 0, fold 0. */
void hn_rng_key(uint64_t seed, uint32_t trial, uint32_t fold, uint32_t key[2]);

/* The i-th number of a stream: 32 random bits, a double in [0,1) with 53 bits, a standard normal (Box-Muller). */
uint32_t hn_rng_u32(const uint32_t key[2], uint32_t stream, uint64_t i);
double hn_rng_uniform(const uint32_t key[2], uint32_t stream, uint64_t i);
double hn_rng_normal(const uint32_t key[2], uint32_t stream, uint64_t i);
/* Unbiased integer in [0,n): the number at position i, by Lemire's multiplication with rejection on further blocks. */
uint32_t hn_rng_below(const uint32_t key[2], uint32_t stream, uint64_t i, uint32_t n);

/* Fisher-Yates over rows[0..n): the permutation is a function of (key, stream, epoch) and n alone. */
void hn_rng_shuffle(const uint32_t key[2], uint32_t stream, uint32_t epoch, uint32_t *rows,
                    size_t n);

/* Dropout's decision, the contract every backend follows bit for bit: element (row, col) of a [rows, cols] activation
 * (row = position in the batch, col = flattened position inside the row) in batch number `batch` is dropped when its 16
 * bits are below round(rate * 65536). The 16 bits are lane row % 8 of Philox(counter = {col, row / 8, (uint32_t)batch,
 * stream}, key); lane j is word j/2, low half first. Kept values are scaled by 1 / (1 - rate). */
static inline uint32_t hn_dropout_threshold(double rate)
{
    return (uint32_t)(rate * 65536.0 + 0.5);
}
#endif
