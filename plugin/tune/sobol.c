/* SPDX-License-Identifier: MIT
 *
 * Sobol points: the coordinate of point i is the XOR of the direction numbers at the set bits of Gray(i). */
#include "plugin/tune/sobol.h"
#include "ops/base/rng.h"

/* Dimensions 1, 2, …: the primitive polynomial as bits (x^2+x+1 is 7) and the first odd numbers, one a degree. Dimension 0 is
 * van der Corput's sequence. */
static const struct {
    uint16_t poly;
    uint16_t m[9];
} table[HN_SOBOL_AXES - 1] = {
    { 3, { 1 } },
    { 7, { 1, 3 } },
    { 11, { 1, 3, 1 } },
    { 13, { 1, 1, 1 } },
    { 19, { 1, 1, 3, 3 } },
    { 25, { 1, 3, 5, 13 } },
    { 37, { 1, 1, 5, 5, 17 } },
    { 41, { 1, 1, 5, 5, 5 } },
    { 47, { 1, 1, 7, 11, 19 } },
    { 55, { 1, 1, 5, 1, 1 } },
    { 59, { 1, 1, 1, 3, 11 } },
    { 61, { 1, 3, 5, 5, 31 } },
    { 67, { 1, 3, 3, 9, 7, 49 } },
    { 91, { 1, 1, 1, 15, 21, 21 } },
    { 97, { 1, 3, 1, 13, 27, 49 } },
    { 103, { 1, 1, 1, 15, 7, 5 } },
    { 109, { 1, 3, 1, 15, 13, 25 } },
    { 115, { 1, 1, 5, 5, 19, 61 } },
    { 131, { 1, 3, 7, 11, 23, 15, 103 } },
    { 137, { 1, 3, 7, 13, 13, 15, 69 } },
    { 143, { 1, 1, 3, 13, 7, 35, 63 } },
    { 145, { 1, 3, 5, 9, 1, 25, 53 } },
    { 157, { 1, 3, 1, 13, 9, 35, 107 } },
    { 167, { 1, 3, 1, 5, 27, 61, 31 } },
    { 171, { 1, 1, 5, 11, 19, 41, 61 } },
    { 185, { 1, 3, 5, 3, 3, 13, 69 } },
    { 191, { 1, 1, 7, 13, 1, 19, 1 } },
    { 193, { 1, 3, 7, 5, 13, 19, 59 } },
    { 203, { 1, 1, 3, 9, 25, 29, 41 } },
    { 211, { 1, 3, 5, 13, 23, 1, 55 } },
    { 213, { 1, 3, 7, 3, 13, 59, 17 } },
    { 229, { 1, 3, 1, 3, 5, 53, 69 } },
    { 239, { 1, 1, 5, 5, 23, 33, 13 } },
    { 241, { 1, 1, 7, 7, 1, 61, 123 } },
    { 247, { 1, 1, 7, 9, 13, 61, 49 } },
    { 253, { 1, 3, 3, 5, 3, 55, 33 } },
    { 285, { 1, 3, 1, 15, 31, 13, 49, 245 } },
    { 299, { 1, 3, 5, 15, 31, 59, 63, 97 } },
    { 301, { 1, 3, 1, 11, 11, 11, 77, 249 } },
    { 333, { 1, 3, 1, 11, 27, 43, 71, 9 } },
    { 351, { 1, 1, 7, 15, 21, 11, 81, 45 } },
    { 355, { 1, 3, 7, 3, 25, 31, 65, 79 } },
    { 357, { 1, 3, 1, 1, 19, 11, 3, 205 } },
    { 361, { 1, 1, 5, 9, 19, 21, 29, 157 } },
    { 369, { 1, 3, 7, 11, 1, 33, 89, 185 } },
    { 391, { 1, 3, 3, 3, 15, 9, 79, 71 } },
    { 397, { 1, 3, 7, 11, 15, 39, 119, 27 } },
    { 425, { 1, 1, 3, 1, 11, 31, 97, 225 } },
    { 451, { 1, 1, 1, 3, 23, 43, 57, 177 } },
    { 463, { 1, 3, 7, 7, 17, 17, 37, 71 } },
    { 487, { 1, 3, 1, 5, 27, 63, 123, 213 } },
    { 501, { 1, 1, 3, 5, 11, 43, 53, 133 } },
    { 529, { 1, 3, 5, 5, 29, 17, 47, 173, 479 } },
    { 539, { 1, 3, 3, 11, 3, 1, 109, 9, 69 } },
    { 545, { 1, 1, 1, 5, 17, 39, 23, 5, 343 } },
    { 557, { 1, 3, 1, 5, 25, 15, 31, 103, 499 } },
    { 563, { 1, 1, 1, 11, 11, 17, 63, 105, 183 } },
    { 601, { 1, 1, 5, 11, 9, 29, 97, 231, 363 } },
    { 607, { 1, 1, 5, 15, 19, 45, 41, 7, 383 } },
    { 617, { 1, 3, 7, 7, 31, 19, 83, 137, 221 } },
    { 623, { 1, 1, 1, 3, 23, 15, 111, 223, 83 } },
    { 631, { 1, 1, 5, 13, 31, 15, 55, 25, 161 } },
    { 637, { 1, 1, 3, 13, 25, 47, 39, 87, 257 } },
};

/* Column j of the direction matrix, most significant bit first. */
static void directions(uint32_t v[32], int dim)
{
    if (dim == 0) {
        for (int j = 0; j < 32; j++) v[j] = 1u << (31 - j);
        return;
    }
    uint32_t poly = table[dim - 1].poly;
    int degree = 31 - __builtin_clz(poly);
    for (int j = 0; j < 32; j++) {
        if (j < degree) {
            v[j] = (uint32_t)table[dim - 1].m[j] << (31 - j);
            continue;
        }
        v[j] = v[j - degree] ^ (v[j - degree] >> degree);
        for (int k = 1; k < degree; k++)
            if (poly >> (degree - k) & 1) v[j] ^= v[j - k];
    }
}

/* Each bit of the result is the XOR of the same bit and random bits above it. */
static uint32_t scramble(const uint32_t rows[32], uint32_t v)
{
    uint32_t out = 0;
    for (int b = 0; b < 32; b++) out |= (uint32_t)__builtin_parity(rows[b] & v) << (31 - b);
    return out;
}

void hn_sobol_init(struct hn_sobol *s, int dim, const uint32_t key[2], uint32_t stream)
{
    *s = (struct hn_sobol){ .stream = stream,
                            .random = dim >= HN_SOBOL_AXES,
                            .scrambled = key != 0 };
    static const uint32_t zero[2] = { 0, 0 };
    const uint32_t *k = key ? key : zero;
    uint64_t at = (uint64_t)dim << 32;
    s->key[0] = k[0], s->key[1] = k[1];
    s->shift = (uint32_t)dim;
    if (s->random) return;
    s->shift = 0;
    directions(s->v, dim);
    if (!key) return;
    uint32_t rows[32];
    for (int b = 0; b < 32; b++) {
        uint32_t diagonal = 1u << (31 - b), above = b ? ~0u << (32 - b) : 0;
        rows[b] = diagonal | (hn_rng_u32(key, stream, at + (uint64_t)b) & above);
    }
    for (int j = 0; j < 32; j++) s->v[j] = scramble(rows, s->v[j]);
    s->shift = hn_rng_u32(key, stream, at + 32);
}

double hn_sobol_at(const struct hn_sobol *s, uint32_t i)
{
    if (s->random) return hn_rng_uniform(s->key, s->stream, ((uint64_t)s->shift << 32) + i);
    uint32_t x = s->shift;
    for (uint32_t gray = i ^ (i >> 1); gray; gray &= gray - 1) x ^= s->v[__builtin_ctz(gray)];
    return ((double)x + (s->scrambled ? 0.5 : 0.0)) / 4294967296.0;
}
