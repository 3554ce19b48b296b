/* SPDX-License-Identifier: MIT
 *
 * IEEE binary16 and bfloat16 by their bits: no rounding mode, no flushing of subnormals has a say. Narrowing rounds to
 * nearest, ties to even; a NaN stays a NaN and keeps the payload bits that fit.
 *     binary16: 1 sign, 5 exponent (bias 15), 10 fraction     bfloat16: the upper half of a float */
#include "ops/base/tensor.h"
#include <string.h>

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* v / 2^shift to nearest even, 1 <= shift <= 31. */
static uint32_t round_shift(uint32_t v, int shift)
{
    uint32_t half = 1u << (shift - 1), rest = v & ((half << 1) - 1), q = v >> shift;
    return q + (rest > half || (rest == half && (q & 1)));
}

float hn_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3FF;
    if (exponent == 31) return float_of(sign | 0x7F800000 | fraction << 13);
    if (exponent) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    if (fraction == 0) return float_of(sign);
    int up = __builtin_clz(fraction) - 21; /* brings the leading bit to bit 10 */
    return float_of(sign | (uint32_t)(113 - up) << 23 | ((fraction << up) & 0x3FF) << 13);
}

uint16_t hn_float_to_half(float f)
{
    uint32_t u = bits_of(f), sign = (u >> 16) & 0x8000, magnitude = u & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) {
        uint32_t payload = (magnitude >> 13) & 0x3FF;
        return (uint16_t)(sign | 0x7C00 | (payload ? payload : 0x200));
    }
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7C00); /* from 65536 up, and infinity */
    if (magnitude >= 0x38800000) /* normal; a carry runs into the exponent, up to infinity */
        return (uint16_t)(sign | (round_shift(magnitude, 13) - (112 << 10)));
    if (magnitude < 0x33000000) return (uint16_t)sign; /* below 2^-25: nearer to 0 than to 2^-24 */
    uint32_t fraction = (magnitude & 0x7FFFFF) | 0x800000;
    return (uint16_t)(sign | round_shift(fraction, 126 - (int)(magnitude >> 23)));
}

float hn_bf16_to_float(uint16_t h) { return float_of((uint32_t)h << 16); }

uint16_t hn_float_to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(u >> 16 | ((u >> 16) & 0x7F ? 0 : 0x40));
    return (uint16_t)round_shift(u, 16);
}
