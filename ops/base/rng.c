/* SPDX-License-Identifier: MIT
 *
 * Numbers by position. The counter's words are { position low, position high, purpose, stream }; the purpose keeps the
 * kinds of number apart even where one stream is asked for several, and counts the rejections of hn_rng_below. */
#include "ops/base/rng.h"
#include <math.h>

enum purpose { BITS = 0, UNIFORM = 1, BELOW = 0x100 };

/* Any constant would do: it only keeps keys apart from numbers drawn with the seed itself as the key. */
static const uint32_t key_of_keys[2] = { 0x484F4E45, 0x6B657973 };

void hn_rng_key(uint64_t seed, uint32_t trial, uint32_t fold, uint32_t key[2])
{
    const uint32_t ctr[4] = { (uint32_t)seed, (uint32_t)(seed >> 32), trial, fold };
    uint32_t out[4];
    hn_philox(ctr, key_of_keys, out);
    key[0] = out[0];
    key[1] = out[1];
}

static void block(const uint32_t key[2], uint32_t stream, uint32_t purpose, uint64_t at,
                  uint32_t out[4])
{
    const uint32_t ctr[4] = { (uint32_t)at, (uint32_t)(at >> 32), purpose, stream };
    hn_philox(ctr, key, out);
}

uint32_t hn_rng_u32(const uint32_t key[2], uint32_t stream, uint64_t i)
{
    uint32_t out[4];
    block(key, stream, BITS, i / 4, out);
    return out[i % 4];
}

/* 53 bits of two words, in [0, 2^53). */
static uint64_t bits53(const uint32_t w[2]) { return (uint64_t)w[0] << 21 | w[1] >> 11; }

double hn_rng_uniform(const uint32_t key[2], uint32_t stream, uint64_t i)
{
    uint32_t out[4];
    block(key, stream, UNIFORM, i / 2, out);
    return (double)bits53(out + 2 * (i % 2)) * 0x1p-53;
}

/* Box-Muller: a block holds the two uniforms of a pair; even positions take the cosine, odd ones the sine. */
double hn_rng_normal(const uint32_t key[2], uint32_t stream, uint64_t i)
{
    static const double two_pi = 6.283185307179586476925286766559;
    uint32_t out[4];
    block(key, stream, UNIFORM, i / 2, out);
    double u = (double)(bits53(out) + 1) * 0x1p-53; /* in (0, 1]: its logarithm is finite */
    double angle = two_pi * ((double)bits53(out + 2) * 0x1p-53);
    return sqrt(-2.0 * log(u)) * (i % 2 ? sin(angle) : cos(angle));
}

/* Lemire's method: the upper half of x·n, where x is drawn again while the lower half is below 2^32 mod n. */
static uint32_t below(const uint32_t key[2], uint32_t stream, uint64_t i, uint32_t n, uint32_t x)
{
    uint64_t product = (uint64_t)x * n;
    if ((uint32_t)product < n) {
        uint32_t out[4], unfair = (0u - n) % n;
        for (uint32_t again = 1; (uint32_t)product < unfair; again++) {
            block(key, stream, BELOW + again, i / 4, out);
            product = (uint64_t)out[i % 4] * n;
        }
    }
    return (uint32_t)(product >> 32);
}

uint32_t hn_rng_below(const uint32_t key[2], uint32_t stream, uint64_t i, uint32_t n)
{
    uint32_t out[4];
    if (n < 2) return 0;
    block(key, stream, BELOW, i / 4, out);
    return below(key, stream, i, n, out[i % 4]);
}

/* Position i of epoch e is the number at e·2^32 + i, so one block serves four swaps. */
void hn_rng_shuffle(const uint32_t key[2], uint32_t stream, uint32_t epoch, uint32_t *rows,
                    size_t n)
{
    uint32_t out[4];
    for (size_t i = n; i-- > 1;) {
        uint64_t at = (uint64_t)epoch << 32 | i;
        if (i % 4 == 3 || i == n - 1) block(key, stream, BELOW, at / 4, out);
        uint32_t j = below(key, stream, at, (uint32_t)i + 1, out[i % 4]), row = rows[i];
        rows[i] = rows[j];
        rows[j] = row;
    }
}
