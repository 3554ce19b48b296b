/* SPDX-License-Identifier: MIT
 *
 * Elementary functions on floats without branches, so that loops over them become vector code: error at most about two
 * units in the last place, right limits at the ends of the range, NaN stays NaN. Polynomials were fitted for this file
 * (near-minimax on the reduced ranges); hn_fma is a fused multiply-add where the instruction set has one. */
#ifndef HN_CPU_VMATH_H
#define HN_CPU_VMATH_H

#include <stdint.h>
#include <string.h>

#ifdef __FMA__
#define hn_fma(a, b, c) __builtin_fmaf(a, b, c)
#else
#define hn_fma(a, b, c) ((a) * (b) + (c))
#endif

static inline uint32_t hn_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
static inline float hn_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}

/* 2^n for n in [-126, 127]. */
static inline float hn_pow2f(int32_t n) { return hn_float((uint32_t)(n + 127) << 23); }

/* x = n ln 2 + r with |r| <= ln 2 / 2; returns (e^r - 1 - r) / r^2. Adding 1.5 * 2^23 rounds to an integer. */
static inline float hn_exp_reduce(float x, int32_t *n, float *r)
{
    const float magic = 12582912.0f;
    float t = hn_fma(x, 1.442695041f, magic), f = t - magic, q = hn_fma(f, -0.693359375f, x), p;
    *n = (int32_t)(hn_bits(t) - hn_bits(magic));
    q = hn_fma(f, 2.121944400e-4f, q);
    *r = q;
    p = hn_fma(1.992095786e-4f, q, 1.394838560e-3f);
    p = hn_fma(p, q, 8.333260193e-3f);
    p = hn_fma(p, q, 4.166623577e-2f);
    p = hn_fma(p, q, 1.666666716e-1f);
    return hn_fma(p, q, 0.5f);
}

static inline float hn_expf(float x)
{
    int32_t n;
    float r, c = x < -104.0f ? -104.0f : x;
    c = c > 89.0f ? 89.0f : c;
    float p = hn_exp_reduce(c, &n, &r), e = hn_fma(p * r, r, r) + 1.0f;
    int32_t h = n >> 1;
    return e * hn_pow2f(h) * hn_pow2f(n - h);
}

/* e^x - 1 without cancellation; x up to 88. */
static inline float hn_expm1f(float x)
{
    int32_t n;
    float r, c = x < -87.0f ? -87.0f : x;
    c = c > 88.0f ? 88.0f : c;
    float p = hn_exp_reduce(c, &n, &r), e = hn_fma(p * r, r, r), s = hn_pow2f(n);
    return hn_fma(s, e, s - 1.0f);
}

/* log(1 + f) for 1 + f in [1/sqrt 2, sqrt 2]. */
static inline float hn_log1p_core(float f)
{
    float p = hn_fma(6.913567334e-2f, f, -1.178925037e-1f);
    p = hn_fma(p, f, 1.187342629e-1f);
    p = hn_fma(p, f, -1.238446161e-1f);
    p = hn_fma(p, f, 1.421861649e-1f);
    p = hn_fma(p, f, -1.666924357e-1f);
    p = hn_fma(p, f, 2.000222802e-1f);
    p = hn_fma(p, f, -2.499998659e-1f);
    p = hn_fma(p, f, 3.333331048e-1f);
    float s = f * f;
    return hn_fma(p * f, s, hn_fma(-0.5f, s, f));
}

/* Denormals count as zero. log 0 = -inf, log of a negative number NaN. */
static inline float hn_logf(float x)
{
    uint32_t u = hn_bits(x) - 0x3f3504f3u; /* 1/sqrt 2 */
    int32_t e = (int32_t)u >> 23;
    float m = hn_float((u & 0x007fffffu) + 0x3f3504f3u), k = (float)e;
    float y = hn_fma(k, 0.693359375f, hn_fma(k, -2.121944400e-4f, hn_log1p_core(m - 1.0f)));
    y = x > 3.402823466e38f ? x : y; /* +inf */
    y = x < 1.175494351e-38f ? hn_float(0xff800000u) : y;
    return x < 0 ? hn_float(0x7fc00000u) : x != x ? x : y;
}

/* log(1 + x) for x >= 0: the rounding of 1 + x is put back. */
static inline float hn_log1pf(float x)
{
    float w = 1.0f + x, y = hn_logf(w);
    return x > 3.402823466e38f ? x : y + (x - (w - 1.0f)) / w;
}

static inline float hn_sigmoidf(float x) { return 1.0f / (1.0f + hn_expf(-x)); }

static inline float hn_absf(float x) { return hn_float(hn_bits(x) & 0x7fffffffu); }
static inline float hn_copysignf(float x, float s)
{
    return hn_float((hn_bits(x) & 0x7fffffffu) | (hn_bits(s) & 0x80000000u));
}

/* tanh |x| = e / (e + 2), e = exp(2|x|) - 1; 1 beyond 9.1 in float. */
static inline float hn_tanhf(float x)
{
    float a = hn_absf(x), e = hn_expm1f(a > 20.0f ? 40.0f : 2.0f * a);
    return hn_copysignf(e / (e + 2.0f), x);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
static inline float hn_softplusf(float x)
{
    return (x < 0 ? 0.0f : x) + hn_log1pf(hn_expf(-hn_absf(x)));
}

/* erfc(x) for x >= 0 = exp(-x^2) t P(t - 1/2), t = 1 / (1 + 0.35 x). */
static inline float hn_erfc_pos(float x)
{
    float c = x > 10.0f ? 10.0f : x, t = 1.0f / hn_fma(0.35f, c, 1.0f), u = t - 0.5f;
    float p = hn_fma(5.091733485e-2f, u, -1.114371717e-1f);
    p = hn_fma(p, u, -1.076846495e-1f);
    p = hn_fma(p, u, 1.474918723e-1f);
    p = hn_fma(p, u, 5.097780824e-1f);
    p = hn_fma(p, u, 7.607260942e-1f);
    p = hn_fma(p, u, 7.768919468e-1f);
    p = hn_fma(p, u, 6.047149301e-1f);
    p = hn_fma(p, u, 3.742127717e-1f);
    return p * t * hn_expf(-c * c);
}

static inline float hn_erff(float x)
{
    float a = hn_absf(x), z = a > 1.0f ? 1.0f : a * a;
    float p = hn_fma(7.889119297e-5f, z, -8.020841051e-4f);
    p = hn_fma(p, z, 5.189535208e-3f);
    p = hn_fma(p, z, -2.685444430e-2f);
    p = hn_fma(p, z, 1.128360033e-1f);
    p = hn_fma(p, z, -3.761262596e-1f);
    p = hn_fma(p, z, 1.128379107f);
    return a > 1.0f ? hn_copysignf(1.0f - hn_erfc_pos(a), x) : p * x;
}

/* Sine and cosine of x for |x| <= pi / 4. */
static inline void hn_circle(float x, float *sine, float *cosine)
{
    const float z = x * x;
    float s = hn_fma(-1.951594257e-4f, z, 8.332165680e-3f),
          c = hn_fma(2.443584210e-5f, z, -1.388734140e-3f);
    s = hn_fma(s, z, -1.666665470e-1f);
    *sine = hn_fma(s * z, x, x);
    c = hn_fma(c, z, 4.166664620e-2f);
    *cosine = hn_fma(c * z, z, hn_fma(-0.5f, z, 1.0f));
}
/* Of an angle that is `quarter` quarters of the circle further: sine of it, and, one more quarter on, its cosine. */
static inline float hn_of_circle(uint32_t quarter, float sine, float cosine)
{
    return hn_float(hn_bits(quarter & 1 ? cosine : sine) ^ ((quarter & 2) << 30));
}

/* |x| <= HN_SIN_MOST: pi / 2 is taken away in three parts, the first two of which have few bits, so that products with the number of
 * quarters are exact. */
#define HN_SIN_MOST 8192.0f
static inline float hn_sin_quarters(float x, uint32_t more)
{
    const float magic = 12582912.0f, t = hn_fma(x, 0.636619772f, magic), q = t - magic;
    float r = hn_fma(q, -1.5703125f, x), s, c;
    r = hn_fma(q, -4.837512969970703125e-4f, r);
    r = hn_fma(q, -7.549789948768648e-8f, r);
    hn_circle(r, &s, &c);
    s = hn_of_circle((hn_bits(t) - hn_bits(magic)) + more, s, c);
    return x != x ? x : s;
}
static inline float hn_sinf(float x) { return hn_sin_quarters(x, 0); }
static inline float hn_cosf(float x) { return hn_sin_quarters(x, 1); }

/* The normal distribution function, Phi(x) = erfc(-x / sqrt 2) / 2, accurate in both tails. */
static inline float hn_phif(float x)
{
    float q = 0.5f * hn_erfc_pos(hn_absf(x) * 0.707106781f);
    return x < 0 ? q : x != x ? x : 1.0f - q;
}
#endif
