/* SPDX-License-Identifier: MIT
 *
 * Numbers as bfloat16: to the nearest, ties to even; infinite and NaN stay so. */
#ifndef HN_GPU_NARROW_H
#define HN_GPU_NARROW_H

#include "gpu/kernel.h"

union number {
    float f;
    uint32_t u;
};

HN_DEVICE uint16_t narrowed(real v)
{
    union number w;
    w.f = (float)v;
    return (uint16_t)((w.u & 0x7fffffffu) > 0x7f800000u ? w.u >> 16 | 0x40u
                                                        : (w.u + 0x7fffu + (w.u >> 16 & 1u)) >> 16);
}
#endif
