/* SPDX-License-Identifier: MIT
 *
 * A product in tiles of 16 x 16 (mma_tile.h) with what stands around it in a small network: a BatchNorm with batch statistics in
 * front, made of the spreads that the launch of its input left tile by tile (every block adds them up and applies the norm to
 * what it reads); spreads of its own results, for the norm behind; and, where all of a row's few classes are in one tile, their
 * cross-entropy and its gradient. A launch less each. */
#include "gpu/mma_tile.h"

enum { N = 2, ROWS = 16, SHARED = HN_WARPS * ROWS * (8 * N + HN_K_MMA_PAD) }; /* HN_KM_16x16 */

HN_DEVICE void leave_spreads(const struct job *j, const real *left, struct spread *to)
{
    const int rows = j->m - j->i0 < ROWS ? j->m - j->i0 : ROWS;
    HN_EACH(t)
    if (t < 8 * N && j->j0 + t < j->n) {
        struct spread s = { 0, 0 };
        HN_UNROLL
        for (int r = 0; r < ROWS; r++) s.mean += r < rows ? (double)left[r * HN_K_LEFT + t] : 0;
        s.mean /= rows;
        HN_UNROLL
        for (int r = 0; r < ROWS; r++) {
            const double d = r < rows ? (double)left[r * HN_K_LEFT + t] - s.mean : 0;
            s.squares += d * d;
        }
        to[j->i0 / ROWS * j->n + j->j0 + t] = s;
    }
}

HN_KERNEL_SOON(chain, hn_k_chain, 2)
{
    HN_SHARED HN_ALIGNED real sh[SHARED], affine[3 * HN_K_CHAIN];
    HN_SHARED double sums[2 * HN_BLOCK];
    HN_SHARED real left[ROWS * HN_K_LEFT];
    HN_PRIVATE(struct leaving, leaving, 1);
    struct block b;
    struct parts is;
    struct slopes g = { .rows = 0 };
    if (!begin(&b, &a.product, (uint32_t)HN_X, HN_Z)) return;
    const struct outcome o = outcome_of(&a.loss, HN_Z);
    if (a.has_loss) {
        g = slopes_of(&a.loss, b.s, HN_Z, b.j.m, b.j.n, a.loss.weight / (double)b.j.m);
        b.loss = &a.loss, b.labels = g.labels;
    }
    b.sums = sums, b.affine = affine;
    if (a.has_norm) {
        b.norm = &a.norm;
        b.spreads = (const struct spread *)hn_double_at(&a.product.env, a.in_front, HN_Z);
    }
    if (is_slow(&b, N))
        TILE(N, HN_WARPS, 1, 0, 0, 1);
    else if (b.b.along)
        TILE(N, HN_WARPS, 2, 1, 1, 0);
    else
        TILE(N, HN_WARPS, 2, 1, 0, 0);
    struct spread *const behind = (struct spread *)hn_double_at(&a.product.env, a.behind, HN_Z);
    let_out(&a.product, &b.bases, &b.j, &is, sh, behind ? left : 0, leaving);
    if (b.s->stop) return;
    if (behind) leave_spreads(&b.j, left, behind);
    if (!a.has_loss) return;
    HN_EACH(t)
    if (t < ROWS && b.j.i0 + t < b.j.m) few_classes(&g, &o, b.j.i0 + t, HN_MINE(leaving, t)->known);
}
