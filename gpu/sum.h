/* SPDX-License-Identifier: MIT
 *
 * Sums over a block that all its threads get, with one barrier: over each warp first, by halves, then over the warps. */
#ifndef HN_GPU_SUM_H
#define HN_GPU_SUM_H

#include "gpu/kernel.h"

enum { HN_WARPS = HN_BLOCK / 32 };

/* Of n numbers a thread (HN_PRIVATE), to sh[i * HN_WARPS + warp]; hn_all adds those up. */
#define HN_ADD_WARPS(numbers, n, sh) hn_add_warps(HN_MINE(numbers, 0), n, sh)
#ifdef __CUDACC__
HN_DEVICE void hn_add_warps(const double *mine, int n, double *sh)
{
    HN_UNROLL
    for (int i = 0; i < n; i++) {
        double v = mine[i];
        HN_UNROLL
        for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
        if (threadIdx.x % 32 == 0) sh[i * HN_WARPS + threadIdx.x / 32] = v;
    }
    __syncthreads();
}
#else
static inline void hn_add_warps(const double *first, int n,
                                double *sh) /* of thread 0, then of the others */
{
    HN_EACH(t)
    for (int i = 0; t % 32 == 0 && i < n; i++) {
        double v[32];
        for (int l = 0; l < 32; l++) v[l] = first[(t + l) * n + i];
        for (int d = 16; d > 0; d /= 2)
            for (int l = 0; l < d; l++) v[l] += v[l + d];
        sh[i * HN_WARPS + t / 32] = v[0];
    }
}
#endif
HN_DEVICE double hn_all(const double *sh)
{
    return ((sh[0] + sh[1]) + (sh[2] + sh[3])) + ((sh[4] + sh[5]) + (sh[6] + sh[7]));
}
#endif
