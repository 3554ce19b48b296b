/* SPDX-License-Identifier: MIT
 *
 * Rows of the data set into a step's memory, converted and scaled as hn_convert_scaled does; and a step's outputs out of it. */
#include "gpu/column.h"

/* Four neighbours of a row; plain: they are the model's own numbers, and one load. */
HN_DEVICE void gather4(const struct rows *from, int64_t at, int plain, real *to)
{
    real v[4];
    if (plain) {
        hn_copy4(v, (const real *)from->c.data + at);
    } else {
        HN_UNROLL
        for (int k = 0; k < 4; k++) v[k] = rows_load(from, at + k);
    }
    hn_store(to, v, 4);
}

HN_KERNEL(gather, hn_k_gather)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s) || HN_Y >= a.n) return;
    const struct rows from = rows_of(s, a.columns[HN_Z * a.n_columns + a.c[HN_Y].column]);
    if (a.spare && from.c.in_place) return;
    const int64_t each = a.c[HN_Y].each, rows = a.c[HN_Y].batched ? s->rows : 1;
    real *to = hn_at(&a.env, a.c[HN_Y].to, HN_Z);
    const int fours = (each & 3) == 0 && rows * each < INT32_MAX,
              plain = from.c.dtype == REAL && !(from.c.scale < 1) && !(from.c.scale > 1) &&
                      hn_is_aligned(from.c.data);
    const uint32_t wide = fours ? (uint32_t)each / 4 : 1;
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); fours && i < rows * each / 4; i += HN_STRIDE) {
        const uint32_t r = (uint32_t)i / wide, c = (uint32_t)i - r * wide;
        gather4(&from, rows_at(&from, r) * each + 4 * (int64_t)c, plain, to + 4 * i);
    }
    if (fours) return;
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < rows * each; i += HN_STRIDE)
        to[i] = rows_load(&from, rows_at(&from, i / each) * each + i % each);
}

HN_KERNEL(fill, hn_k_fill)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    real *to = hn_at(&a.env, a.to, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    HN_EACH(t) for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) to[i] = 0;
}

HN_KERNEL(emit, hn_k_emit)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *from = hn_at(&a.env, a.from, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    real *to = (real *)a.to + HN_Z * a.stride + s->ahead * n;
    HN_EACH(t) for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) to[i] = from[i];
}
