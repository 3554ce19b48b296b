/* SPDX-License-Identifier: MIT
 *
 * Dropout with the decisions of ops/base/rng.h, bit for bit: one thread makes the 8 decisions of a column and 8 rows. Forward
 * and backward are the same map; nothing is kept between them.
 *     to[i] (+)= keep(i) ? from[i] / (1 - rate) : 0 */
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

HN_KERNEL(dropout, hn_k_dropout)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), tiles = (rows + 7) / 8 * a.cols;
    const double rate = s->dropout >= 0 && !a.fixed ? s->dropout : a.rate;
    const uint32_t below = a.off ? 0 : (uint32_t)(rate * 65536.0 + 0.5);
    const real scale = below && rate < 1 ? (real)(1 / (1 - rate)) : below ? 0 : 1;
    const int64_t step = a.still ? 0 : a.backward ? s->at : s->ahead;
    const uint32_t batch = (uint32_t)(s->batch0 + (uint64_t)step);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < tiles; i += HN_STRIDE) {
        int64_t col = i % a.cols, row8 = i / a.cols;
        struct bits r = { { ~0u, ~0u, ~0u, ~0u } };
        if (below) r = philox((uint32_t)col, (uint32_t)row8, batch, a.stream, s->key[0], s->key[1]);
        HN_UNROLL
        for (int k = 0; k < 8; k++) {
            int64_t at = (row8 * 8 + k) * a.cols + col;
            if (row8 * 8 + k >= rows) continue;
            uint32_t word = r.w[k / 2] >> (k & 1 ? 16 : 0) & 0xffffu;
            real v = word < below ? 0 : from[at] * scale;
            to[at] = a.acc ? to[at] + v : v;
        }
    }
}
