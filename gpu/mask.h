/* SPDX-License-Identifier: MIT
 *
 * Dropout's decisions, those of ops/base/rng.h bit for bit: 16 bits each, the eight of a column and 8 rows from one block. */
#ifndef HN_GPU_MASK_H
#define HN_GPU_MASK_H

#include "gpu/kernel.h"

struct bits {
    uint32_t w[4];
};

/* Philox4x32-10, as hn_philox */
HN_DEVICE struct bits philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                             uint32_t k1)
{
    struct bits out;
    for (int i = 0; i < 10; i++) {
        uint64_t p = (uint64_t)0xD2511F53u * c0, q = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)q;
        c3 = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out.w[0] = c0, out.w[1] = c1, out.w[2] = c2, out.w[3] = c3;
    return out;
}

/* What a slot's dropout does in the step at hand: an element is dropped when its 16 bits are below `below`. */
struct mask {
    uint32_t below, batch;
    real scale;
};
/* … in the run's first step: it may be found in front of a kernel's turn; mask_of is of the step at hand. */
HN_DEVICE struct mask mask_from(const struct hn_k_slot *s, const struct hn_k_drop *d)
{
    const double rate = s->dropout >= 0 && !d->fixed ? s->dropout : d->rate;
    struct mask m;
    m.below = d->off ? 0 : (uint32_t)(rate * 65536.0 + 0.5);
    m.scale = m.below && rate < 1 ? (real)(1 / (1 - rate)) : m.below ? 0 : 1;
    m.batch = (uint32_t)s->batch0;
    return m;
}
HN_DEVICE struct mask mask_of(const struct hn_k_slot *s, const struct hn_k_drop *d)
{
    struct mask m = mask_from(s, d);
    if (!d->still) m.batch += (uint32_t)s->ahead;
    return m;
}
HN_DEVICE uint32_t bits_of(struct bits r, int row) /* row in its 8 */
{
    uint32_t low = row & 2 ? r.w[1] : r.w[0], high = row & 2 ? r.w[3] : r.w[2];
    return (row & 4 ? high : low) >> (row & 1 ? 16 : 0) & 0xffffu;
}

/* Bit e is set where element e is dropped, of n of one column that begin at `row`, a multiple of n of at most 8: one block of random
 * bits serves them. */
HN_DEVICE uint32_t dropped(const struct hn_k_slot *s, const struct mask *m, uint32_t stream,
                           int row, int col, int n)
{
    uint32_t off = 0;
    if (!m->below) return 0;
    const struct bits r =
        philox((uint32_t)col, (uint32_t)row / 8, m->batch, stream, s->key[0], s->key[1]);
    HN_UNROLL
    for (int e = 0; e < n; e++) off |= (uint32_t)(bits_of(r, (row + e) % 8) < m->below) << e;
    return off;
}
#endif
