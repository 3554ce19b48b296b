/* SPDX-License-Identifier: MIT
 *
 * Copies of a product's operands for the library (operand.c): as bfloat16; transposed, by tiles of 64 x 64 in shared memory, so that both sides are read and written in lines. */
#include "gpu/narrow.h"

enum { SIDE = HN_K_SIDE, PITCH = SIDE + 1, FOURS = SIDE * SIDE / 4 / HN_BLOCK };

struct HN_ALIGNED eight {
    uint16_t v[8];
};

HN_KERNEL(convert, hn_k_convert)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    struct eight *to = (struct eight *)hn_bytes_at(&a.env, a.to, HN_Z);
    const int64_t n = hn_n(a.n, s->rows) / 8;
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        real v[8];
        struct eight r;
        hn_copy4(v, from + 8 * i), hn_copy4(v + 4, from + 8 * i + 4);
        HN_UNROLL
        for (int k = 0; k < 8; k++) r.v[k] = narrowed(v[k]);
        hn_at_once(to + i, 16);
        to[i] = r;
    }
}

/* Four neighbours, or as many of them as there are. */
HN_DEVICE void load4(real *v, const real *from, int64_t there, int whole)
{
    if (whole && there >= 4) {
        hn_copy4(v, from);
        return;
    }
    HN_UNROLL
    for (int k = 0; k < 4; k++) v[k] = k < there ? from[k] : 0;
}
HN_DEVICE void store4(real *to, const real *v, int64_t there, int whole)
{
    if (whole && there >= 4) {
        hn_store(to, v, 4);
        return;
    }
    HN_UNROLL
    for (int k = 0; k < 4; k++)
        if (k < there) to[k] = v[k];
}

HN_KERNEL(turn, hn_k_turn)
{
    HN_SHARED real tile[SIDE * PITCH];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), r0 = HN_X * SIDE, c0 = HN_Y * SIDE;
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < FOURS; e++) {
            const int r = (t + e * HN_BLOCK) / (SIDE / 4), c = (t + e * HN_BLOCK) % (SIDE / 4) * 4;
            real v[4] = { 0, 0, 0, 0 };
            if (r0 + r < rows)
                load4(v, from + (r0 + r) * a.cols + c0 + c, a.cols - c0 - c, (a.cols & 3) == 0);
            HN_UNROLL
            for (int k = 0; k < 4; k++) tile[r * PITCH + c + k] = v[k];
        }
    }
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < FOURS; e++) {
            const int c = (t + e * HN_BLOCK) / (SIDE / 4), r = (t + e * HN_BLOCK) % (SIDE / 4) * 4;
            real v[4];
            HN_UNROLL
            for (int k = 0; k < 4; k++) v[k] = tile[(r + k) * PITCH + c];
            if (c0 + c < a.cols)
                store4(to + (c0 + c) * rows + r0 + r, v, rows - r0 - r, (rows & 3) == 0);
        }
    }
}
