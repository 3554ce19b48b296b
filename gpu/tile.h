/* SPDX-License-Identifier: MIT
 *
 * A kernel of matrix products for tiles of TILE rows and 16 columns, called TILE_KERNEL; dense.cu takes it in once per
 * tile. The 8 warps of a block share out the terms of a tile's sums: each adds up its share of every chunk of CHUNK terms for the
 * whole tile, a few results a thread; in the end the 8 partial sums are added in order. So small products with long sums, the
 * usual ones of a small network, keep a whole GPU busy. While a chunk is multiplied the next one is on its way from memory.
 *
 * Which terms a warp adds depends on k alone: a result does not depend on its place in the grid or on company. */

enum {
    TN(CHUNK) = 2048 / TILE,
    TN(WIDE_A) = TILE + 4,
    TN(WIDE_B) = HN_K_TILE + 4,
    TN(OWN) = TILE / 8,                            /* rows a thread has, with 4 columns each */
    TN(FOURS_A) = TILE * TN(CHUNK) / 4 / HN_BLOCK, /* loads of four elements a thread and chunk */
    TN(FOURS_B) = HN_K_TILE * TN(CHUNK) / 4 / HN_BLOCK,
    TN(OPERANDS) = TN(CHUNK) * (TN(WIDE_A) + TN(WIDE_B)),
    TN(PARTS) = 8 * TILE * HN_K_TILE,
    TN(SHARED) = TN(OPERANDS) > TN(PARTS) ? TN(OPERANDS) : TN(PARTS)
};

TILE_KERNEL
{
    HN_SHARED HN_ALIGNED real sh[TN(SHARED)];
    HN_PRIVATE(real, acc, TN(OWN) * 4);
    HN_PRIVATE(real, next_a, TN(FOURS_A) * 4);
    HN_PRIVATE(real, next_b, TN(FOURS_B) * 4);
    HN_PRIVATE(uint32_t, from_a, TN(FOURS_A));
    HN_PRIVATE(uint32_t, from_b, TN(FOURS_B));
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!a.env.settled) HN_TURN();
    if (!hn_live(s)) return;
    struct tile at;
    if (!find_job(&a, s, (int)HN_X, TILE, HN_Z, &at)) return;
    real *const as = sh, *const bs = sh + TN(CHUNK) * TN(WIDE_A);
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < TN(OWN) * 4; e++) HN_MINE(acc, t)[e] = 0;
        aim(&at.a, at.job.i0, TILE, TN(FOURS_A), t, HN_MINE(from_a, t));
        aim(&at.b, at.job.j0, HN_K_TILE, TN(FOURS_B), t, HN_MINE(from_b, t));
    }
    struct mask mask = { 0 };
    if (a.p[at.job.which].tail.drops) mask = mask_of(s, &a.p[at.job.which].tail.drop);
    HN_TURN();
    for (int k0 = -TN(CHUNK); k0 < at.job.k; k0 += TN(CHUNK)) {
        if (k0 >= 0) {
            HN_EACH(t)
            {
                store(as, &at.a, at.job.i0, k0, TILE, TN(FOURS_A), t, HN_MINE(next_a, t));
                store(bs, &at.b, at.job.j0, k0, HN_K_TILE, TN(FOURS_B), t, HN_MINE(next_b, t));
            }
        }
        const int rest = at.job.k - k0 < TN(CHUNK) ? at.job.k - k0 : TN(CHUNK),
                  share = k0 < 0 ? 0 : (rest + 7) / 8, k1 = k0 + TN(CHUNK);
        HN_EACH(t)
        {
            const int ti = t % 32 / 4 * TN(OWN), tj = t % 4 * 4;
            if (k1 < at.job.k) {
                fetch(&at.a, at.job.i0, k1, TILE, TN(FOURS_A), t, HN_MINE(from_a, t),
                      HN_MINE(next_a, t));
                fetch(&at.b, at.job.j0, k1, HN_K_TILE, TN(FOURS_B), t, HN_MINE(from_b, t),
                      HN_MINE(next_b, t));
            }
            const real *pa = as + t / 32 * share * TN(WIDE_A) + ti,
                       *pb = bs + t / 32 * share * TN(WIDE_B) + tj;
            HN_UNROLL4
            for (int k = 0; k < share; k++, pa += TN(WIDE_A), pb += TN(WIDE_B)) {
                real x[TN(OWN)], y[4];
                HN_UNROLL
                for (int e = 0; e < TN(OWN); e++) x[e] = pa[e];
                hn_copy4(y, pb);
                HN_UNROLL
                for (int e = 0; e < TN(OWN) * 4; e++) HN_MINE(acc, t)[e] += x[e / 4] * y[e % 4];
            }
        }
    }
    HN_EACH(t)
    {
        const int ti = t % 32 / 4 * TN(OWN), tj = t % 4 * 4;
        HN_UNROLL
        for (int e = 0; e < TN(OWN) * 4; e++)
            sh[(t / 32 * TILE + ti + e / 4) * HN_K_TILE + tj + e % 4] = HN_MINE(acc, t)[e];
    }
    const struct bases bases =
        bases_of(&a.env, (unsigned char *)s->w, (unsigned char *)s->dw, HN_Z);
    const struct way_out way = way_out_of(&a, &bases, &at.job);
    HN_EACH(t)
    for (int e = t; e < TILE * HN_K_TILE; e += HN_BLOCK) {
        real v = 0;
        HN_UNROLL
        for (int w = 0; w < 8; w++) v += sh[w * TILE * HN_K_TILE + e];
        put(&a, s, &at.job, &way, &mask, at.job.i0 + e / HN_K_TILE, at.job.j0 + e % HN_K_TILE, v);
    }
}
