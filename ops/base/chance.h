/* SPDX-License-Identifier: MIT
 *
 * Numbers of other distributions from random bits, the same formulas for the reference, the CPU and the GPU's kernels. In double;
 * nothing has a state. */
#ifndef HN_CHANCE_H
#define HN_CHANCE_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define HN_CHANCE static __device__ inline
#else
#define HN_CHANCE static inline
#endif

/* Two standard normal numbers from two words (Box and Muller 1958), whose upper 24 bits a float holds exactly: at most 5.77. */
HN_CHANCE void hn_normal_pair(uint32_t radius, uint32_t angle, double n[2])
{
    const double r = sqrt(-2 * log(((radius >> 8) + 1) * 0x1p-24)),
                 a = 6.283185307179586 * ((angle >> 8) * 0x1p-24);
    n[0] = r * cos(a), n[1] = r * sin(a);
}

/* A number of Beta(a, a) for a > 0, from two words; negative: rejected, others are to be tried. For a above 1/2 Ulrich's polar
 * method, else Johnk's (Devroye, Non-Uniform Random Variate Generation, 1986, chapter IX, sections 3.5 and 4.3). */
HN_CHANCE double hn_beta_try(double a, uint32_t one, uint32_t two)
{
    const double u = (one + 0.5) * 0x1p-32, v = (two + 0.5) * 0x1p-32;
    if (a > 0.5) return 0.5 + 0.5 * sqrt(1 - pow(u, 2 / (2 * a - 1))) * cos(6.283185307179586 * v);
    const double x = log(u) / a, y = log(v) / a, top = x > y ? x : y;
    if (exp(x) + exp(y) > 1) return -1;
    return exp(x - top) / (exp(x - top) + exp(y - top));
}
enum { HN_BETA_TRIES = 64 }; /* after that many 1/2 is taken: less than once in 2^64 times */
#endif
