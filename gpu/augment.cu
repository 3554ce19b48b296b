/* SPDX-License-Identifier: MIT
 *
 * Augmentation (ops/math/augment.c has the formulas). noise: a thread makes the four numbers of a column and 4 rows; mixup: one of the
 * elements of a pair of rows, both read before either is written; onehot: one element. */
#include "gpu/mask.h"
#include "ops/base/chance.h"

HN_DEVICE uint32_t batch_of(const struct hn_k_slot *s, int still)
{
    return (uint32_t)(s->batch0 + (uint64_t)(still ? 0 : s->ahead));
}

HN_KERNEL(noise, hn_k_augment)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z), std = (real)a.strength;
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), fours = (rows + 3) / 4 * a.cols;
    const uint32_t batch = batch_of(s, a.still);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < fours; i += HN_STRIDE) {
        const int64_t col = i % a.cols, row4 = i / a.cols;
        double n[4];
        const struct bits r =
            philox((uint32_t)col, (uint32_t)row4, batch, a.stream, s->key[0], s->key[1]);
        hn_normal_pair(r.w[0], r.w[1], n), hn_normal_pair(r.w[2], r.w[3], n + 2);
        HN_UNROLL
        for (int k = 0; k < 4; k++) {
            const int64_t at = (row4 * 4 + k) * a.cols + col;
            if (row4 * 4 + k < rows) to[at] = from[at] + std * (real)n[k];
        }
    }
}

/* How much of itself a row keeps: hn_mixup_share. */
HN_DEVICE double share_of(const struct hn_k_slot *s, double alpha, uint32_t batch, uint32_t stream)
{
    for (uint32_t i = 0; i < HN_BETA_TRIES; i++) {
        const struct bits r = philox(i, 0, batch, stream, s->key[0], s->key[1]);
        const double share = hn_beta_try(alpha, r.w[0], r.w[1]);
        if (share >= 0) return share;
    }
    return 0.5;
}

HN_KERNEL(mixup, hn_k_augment)
{
    HN_SHARED double share[1];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), pairs = (rows + 1) / 2 * a.cols;
    HN_EACH(t)
    if (t == 0) share[0] = share_of(s, a.strength, batch_of(s, a.still), a.stream);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < pairs; i += HN_STRIDE) {
        const int64_t j = (rows - 1 - i / a.cols) * a.cols + i % a.cols;
        const real one = from[i], two = from[j], k = (real)share[0];
        if (j != i) to[j] = (a.acc ? to[j] : 0) + k * two + (1 - k) * one;
        to[i] = (a.acc ? to[i] : 0) + k * one + (1 - k) * two;
    }
}

HN_KERNEL(onehot, hn_k_augment)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t n = hn_n(a.rows, s->rows) * a.cols;
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        const real x = from[i / a.cols];
        to[i] = x >= 0 && x < (real)a.cols && (int64_t)x == i % a.cols;
    }
}
