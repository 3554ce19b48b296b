/* SPDX-License-Identifier: MIT
 *
 * The verdict on a step: sums of its losses in a fixed order, is it good (all finite), the clock, what the optimizer needs; and
 * BatchNormalization's running statistics, which only a good step moves. All this may run beside the kernels backward, which do
 * not look at it. */
#include "gpu/optim.h"

/* What the optimizer needs in this step, and the clock. */
HN_DEVICE void move_clock(struct hn_k_slot *s)
{
    s->apply = s->micro + 1 >= s->accumulate || (s->flush && s->ahead == s->n_steps - 1);
    s->adds = s->micro > 0;
    s->batch++;
    s->micro++;
    if (!s->apply) return;
    s->scale = 1.0 / (double)s->micro, s->clip = 1;
    s->share = share_of(s);
    rates(s);
    s->micro = 0;
    s->step++;
}

/* Channels first, first + step, … of one layer's running statistics. */
HN_DEVICE void commit(const struct hn_k_env *env, const struct hn_k_commit *c, int64_t z,
                      int64_t first, int64_t step)
{
    real *rm = hn_at(env, c->mean, z), *rv = hn_at(env, c->var, z);
    const double *stats = hn_double_at(env, c->stats, z), k = c->momentum;
    const real *after = hn_at(env, c->stats, z);
    if (env->slots[z].failing) return;
    for (int64_t ch = first; ch < c->channels; ch += step) {
        if (c->copied) {
            rm[ch] = after[ch], rv[ch] = after[c->channels + ch];
        } else {
            rm[ch] = (real)(k * (double)rm[ch] + (1 - k) * stats[ch]);
            rv[ch] = (real)(k * (double)rv[ch] + (1 - k) * stats[c->channels + ch]);
        }
    }
}

HN_KERNEL(judge, hn_k_judge)
{
    HN_SHARED double sum[HN_BLOCK], weight[HN_BLOCK];
    HN_SHARED int bad[1];
    struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    double *sums = hn_double_at(&a.env, a.sums, HN_Z);
    const double *from = hn_double_at(&a.env, a.rows, HN_Z);
    HN_EACH(t) if (t == 0) bad[0] = 0;
    for (int l = 0; l < a.n_losses; l++, from += 2 * a.row_stride) {
        const int64_t rows = hn_n(a.loss_rows[l], s->rows);
        HN_EACH(t)
        {
            sum[t] = weight[t] = 0;
            for (int64_t r = t; r < rows; r += HN_BLOCK)
                sum[t] += from[r], weight[t] += from[a.row_stride + r];
        }
        HN_TREE(sum, HN_BLOCK);
        HN_TREE(weight, HN_BLOCK);
        HN_EACH(t) if (t == 0)
        {
            sums[2 * l] = sum[0], sums[2 * l + 1] = weight[0];
            if (!hn_is_finite(sum[0]) || !hn_is_finite(weight[0])) bad[0] = 1;
        }
    }
    HN_EACH(t) if (t == 0)
    {
        if (a.training && bad[0]) {
            s->failing = 1, s->bad_step = s->ahead;
        } else {
            for (int l = 0; l < 2 * a.n_losses; l++) s->totals[l] += sums[l];
            if (a.optimizes) move_clock(s);
        }
    }
    for (int c = 0; c < a.n_commits; c++)
        HN_EACH(t) commit(&a.env, &a.commits[c], HN_Z, t, HN_BLOCK);
    HN_EACH(t) if (t == 0 && a.last) hn_move_on(s);
}

HN_KERNEL(norm_commit, hn_k_commits)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    HN_EACH(t) commit(&a.env, &a.c, HN_Z, HN_FIRST(t), HN_STRIDE);
}
