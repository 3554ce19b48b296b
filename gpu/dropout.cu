/* SPDX-License-Identifier: MIT
 *
 * Dropout with the decisions of ops/base/rng.h, bit for bit: one thread makes the 8 decisions of a column and 8 rows. Forward
 * and backward are the same map; nothing is kept between them.
 *     to[i] (+)= keep(i) ? from[i] / (1 - rate) : 0 */
#include "gpu/mask.h"

HN_KERNEL(dropout, hn_k_dropout)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), tiles = (rows + 7) / 8 * a.cols;
    const struct mask m = mask_of(s, &a.drop);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < tiles; i += HN_STRIDE) {
        int64_t col = i % a.cols, row8 = i / a.cols;
        struct bits r = { { ~0u, ~0u, ~0u, ~0u } };
        if (m.below)
            r = philox((uint32_t)col, (uint32_t)row8, m.batch, a.drop.stream, s->key[0], s->key[1]);
        HN_UNROLL
        for (int k = 0; k < 8; k++) {
            int64_t at = (row8 * 8 + k) * a.cols + col;
            if (row8 * 8 + k >= rows) continue;
            real v = bits_of(r, k) < m.below ? 0 : from[at] * m.scale;
            to[at] = a.acc ? to[at] + v : v;
        }
    }
}
