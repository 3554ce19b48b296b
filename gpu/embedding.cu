/* SPDX-License-Identifier: MIT
 *
 * Embedding: forward, a thread copies an element of a row. Backward: a block has one index of the batch; if it is the first that means
 * its row of the table, it adds up the gradients of all that do, in the order of the batch. */
#include "gpu/kernel.h"

/* The row that an index means (ops/math/embedding.c); -1: none. */
HN_DEVICE int64_t row_of(real x, int64_t rows)
{
    if (!(x > (real)(-rows - 1) && x < (real)rows)) return -1;
    const int64_t i = (int64_t)x;
    return i < 0 ? i + rows : i;
}

HN_KERNEL(embedding, hn_k_embedding)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *table = hn_at(&a.env, a.table, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const int64_t n = hn_n(a.n, s->rows) * a.width;
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        const int64_t row = row_of(x[i / a.width], a.rows);
        y[i] = row < 0 ? (real)NAN : table[row * a.width + i % a.width];
    }
}

HN_KERNEL(embedding_back, hn_k_embedding)
{
    HN_SHARED int64_t own[1];
    HN_SHARED int earlier[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *dy = hn_at(&a.env, a.y, HN_Z);
    real *d = hn_at(&a.env, a.table, HN_Z);
    const int64_t n = hn_n(a.n, s->rows);
    for (int64_t i = HN_X; i < n; i += HN_NX) {
        HN_EACH(t) if (t == 0) own[0] = row_of(x[i], a.rows);
        HN_EACH(t)
        {
            earlier[t] = own[0] < 0 || own[0] == a.still - 1;
            for (int64_t k = t; k < i; k += HN_BLOCK) earlier[t] |= row_of(x[k], a.rows) == own[0];
        }
        HN_EACH(t) if (t < 8) for (int k = t + 8; k < HN_BLOCK; k += 8) earlier[t] |= earlier[k];
        HN_EACH(t)
        {
            int any = 0;
            for (int k = 0; k < 8; k++) any |= earlier[k];
            for (int64_t j = t; !any && j < a.width; j += HN_BLOCK) {
                double sum = 0;
                for (int64_t k = i; k < n; k++)
                    if (row_of(x[k], a.rows) == own[0]) sum += (double)dy[k * a.width + j];
                d[own[0] * a.width + j] += (real)sum;
            }
        }
    }
}
