/* SPDX-License-Identifier: MIT
 *
 * Multiplying by warps in float64, mma.m16n8k16 of PTX: the 32 lanes of a warp hold 16 rows of a, 8 columns of b and their 16 x 8
 * sums together. Lane l has, of both, four terms (those of all lanes with the same l % 4 are the same) of line l / 4 and, of a, of
 * line 8 + l / 4; sums of lines l / 4 and 8 + l / 4, columns 2 (l % 4) and the next.
 *
 * A phase of warps: HN_WARP(w) { HN_LANE(t, w) … HN_MULTIPLY(…) … } HN_MEET(); a lane sees what others of its warp have only by
 * HN_MULTIPLY, other threads' stores behind HN_MEET. */
#ifndef HN_GPU_MMA_H
#define HN_GPU_MMA_H

#include "gpu/sum.h"

#ifdef __CUDACC__
/* what all lanes of a warp agree on, so that nvcc knows */
#define HN_WARP(w)                                                                                 \
    for (int w = __shfl_sync(0xffffffffu, (int)threadIdx.x / 32, 0), go_ = 1; go_; go_ = 0)
#define HN_LANE(t, w) for (int t = (int)threadIdx.x, here_ = ((void)(w), 1); here_; here_ = 0)
#define HN_MEET()     __syncthreads()
HN_DEVICE void hn_mma(const double *a, const double *b, double *c)
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    asm("mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7, %8, %9, %10, %11}, {%12, %13, %14, %15}, {%0, %1, %2, %3};"
        : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
        : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(a[4]), "d"(a[5]), "d"(a[6]), "d"(a[7]),
          "d"(b[0]), "d"(b[1]), "d"(b[2]), "d"(b[3]));
#else
    HN_UNROLL
    for (int q = 0; q < 4; q++) HN_UNROLL
    for (int half = 0; half < 2; half++)
        asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
            : "+d"(c[2 * half]), "+d"(c[2 * half + 1])
            : "d"(a[2 * q + half]), "d"(b[q]));
#endif
}
/* raw: four terms of a's two lines, then of a line of b for every n; acc: 4 sums for every n. */
HN_DEVICE void hn_multiply(int nt, const real *raw, double *acc)
{
    double a[8];
    HN_UNROLL
    for (int i = 0; i < 8; i++) a[i] = (double)raw[i % 2 * 4 + i / 2];
    HN_UNROLL
    for (int n = 0; n < nt; n++) {
        double b[4];
        HN_UNROLL
        for (int q = 0; q < 4; q++) b[q] = (double)raw[8 + 4 * n + q];
        hn_mma(a, b, acc + 4 * n);
    }
}
#define HN_MULTIPLY(nt, raw, n_raw, at, acc, n_acc, w) hn_multiply(nt, (raw) + (at), acc)
#else
#define HN_WARP(w) for (int w = 0; w < HN_WARPS; w++)
#ifdef HN_WATCHED
#define HN_LANE(t, w) for (int t = 32 * (w); t < 32 * (w) + 32 && hn_watch_thread(t); t++)
#define HN_MEET()     ((void)hn_watch_thread(HN_BLOCK))
#else
#define HN_LANE(t, w) for (int t = 32 * (w); t < 32 * (w) + 32; t++)
#define HN_MEET()     ((void)0)
#endif
/* raw, acc: of the warp's first lane; those of the others follow, n_raw and n_acc apart. */
static inline void hn_multiply(int nt, const real *raw, int n_raw, double *acc, int n_acc)
{
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4 * nt; i++) {
            const int n = i / 4, half = i / 2 % 2, col = l % 4 * 2 + i % 2;
            double v = acc[l * n_acc + i];
            for (int q = 0; q < 4; q++)
                for (int k = 0; k < 4; k++)
                    v += (double)raw[(l / 4 * 4 + k) * n_raw + half * 4 + q] *
                         (double)raw[(col * 4 + k) * n_raw + 8 + 4 * n + q];
            acc[l * n_acc + i] = v;
        }
}
#define HN_MULTIPLY(nt, raw, n_raw, at, acc, n_acc, w)                                             \
    hn_multiply(nt, HN_MINE(raw, 32 * (w)) + (at), n_raw, HN_MINE(acc, 32 * (w)), n_acc)
#endif
#endif
