/* SPDX-License-Identifier: MIT
 *
 * The kernels of the losses (loss.h): forward, with the gradient at once where it needs no sums over the batch; backward. */
#include "gpu/loss.h"

HN_KERNEL_SOON(loss, hn_k_loss, 1)
{
    HN_SHARED double top[HN_BLOCK], sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (s->rows <= 0) return;
    const int64_t rows = hn_n(a.rows, s->rows), cols = hn_n(a.cols, s->rows),
                  per = HN_BLOCK / a.team;
    const struct outcome o = outcome_of(&a, HN_Z);
    struct slopes g = slopes_of(&a, s, HN_Z, rows, cols, a.weight / (double)(rows > 0 ? rows : 1));
    HN_TURN();
    if (s->stop) return;
    if (a.column >= 0) rows_move(&g.labels.rows, s->ahead * s->rows);
    if (a.few) {
        HN_EACH(t)
        {
            const int64_t row = HN_X * per + t;
            if (row < rows) few_classes(&g, &o, row, NO_CLASS);
        }
        return;
    }
    for (int64_t r0 = HN_X * per; r0 < rows; r0 += HN_NX * per) loss_rows(&g, &o, r0, top, sum);
}

HN_KERNEL(loss_back, hn_k_loss)
{
    HN_SHARED double total[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const double *lse = hn_double_at(&a.env, a.lse, HN_Z),
                 *sums = hn_double_at(&a.env, a.sums, HN_Z);
    const int64_t rows = hn_n(a.rows, s->rows), cols = hn_n(a.cols, s->rows),
                  per = HN_BLOCK / a.team;
    struct slopes g = slopes_of(&a, s, HN_Z, rows, cols, sums[1] != 0 ? a.weight / sums[1] : 0);
    if (a.column >= 0) rows_move(&g.labels.rows, s->ahead * s->rows);
    for (int64_t r0 = HN_X * per; r0 < rows; r0 += HN_NX * per) write_slopes(&g, r0, lse, 0, total);
}
