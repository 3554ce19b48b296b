/* SPDX-License-Identifier: MIT
 *
 * Matrix products in float64 on the tensor cores (mma_tile.h): one or two in a launch, each in tiles of the shape that the host chose
 * (panel.c), and the gradient of a bias in blocks of its own. */
#include "gpu/mma_tile.h"

enum {
    SHARED = HN_BITS == 32 ? 4 * 32 * (48 + HN_K_MMA_PAD) /* partial sums of the largest tile */
                           : 2 * 64 * (32 + HN_K_MMA_PAD)
};

HN_KERNEL_SOON(mma, hn_k_gemm, 2)
{
    HN_SHARED HN_ALIGNED real sh[SHARED];
    HN_PRIVATE(struct leaving, leaving, 1);
    struct block b;
    struct parts is;
    const int what = begin(&b, &a, (uint32_t)HN_X, HN_Z);
    if (!what) return;
    if (what == 2) {
        if (b.s->stop == 0) add_terms(&a, &b.bases, &b.j, &b.b, (double *)sh);
        return;
    }
    switch (a.p[b.j.which].shape) {
#define SHAPE(rows, cols, nt, shares, deep)                                                        \
    case HN_KM_##rows##x##cols:                                                                    \
        if (is_slow(&b, nt))                                                                       \
            TILE(nt, shares, 1, 0, 0, 1);                                                          \
        else if (b.a.along && b.b.along)                                                           \
            TILE(nt, shares, deep, 1, 1, 0);                                                       \
        else if (b.a.along)                                                                        \
            TILE(nt, shares, deep, 1, 0, 0);                                                       \
        else                                                                                       \
            TILE(nt, shares, deep, 0, 0, 0);                                                       \
        break;
#if HN_BITS == 32
        HN_K_MMAS_32(SHAPE)
#else
        HN_K_MMAS_64(SHAPE)
#endif
    default: return;
    }
    let_out(&a, &b.bases, &b.j, &is, sh, 0, leaving);
}
