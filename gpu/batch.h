/* SPDX-License-Identifier: MIT
 *
 * BatchNormalization in `whole`: sums over blocks of 8 rows, which every block of the slot adds up in order once they are there, then
 * its own rows. */
#ifndef HN_GPU_BATCH_H
#define HN_GPU_BATCH_H

#include "gpu/whole.h"

/* Two numbers for each block of 8 rows and channel. Forward: sum, and squares around the block's mean; backward: sum of the
 * gradient, and of its product with x around its mean. */
HN_DEVICE void sums(struct shared *sh, int item, int back)
{
    const struct hn_k_item *it = &sh->items[item];
    const int n = it->out, first = sh->from / HN_K_ROW_BLOCK,
              blocks = (sh->to - sh->from + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK;
    const real *x = sh->places[item].x, *g = sh->places[item].g;
    double *to = back ? sh->places[item].parts_back : sh->places[item].parts;
    const double *mean = sh->mean + it->channel;
    HN_EACH(t)
    for (int e = t; e < blocks * n; e += HN_BLOCK) {
        const int block = first + e / n, ch = e % n, row = block * HN_K_ROW_BLOCK;
        const int count = sh->to - row < HN_K_ROW_BLOCK ? sh->to - row : HN_K_ROW_BLOCK;
        double v[HN_K_ROW_BLOCK], d[HN_K_ROW_BLOCK], one = 0, two = 0;
        HN_UNROLL
        for (int i = 0; i < HN_K_ROW_BLOCK; i++) {
            const int k = (row + (i < count ? i : 0)) * n + ch;
            v[i] = (double)x[k], d[i] = back ? (double)g[k] : 0;
        }
        HN_UNROLL
        for (int i = 0; i < HN_K_ROW_BLOCK; i++) one += i < count ? back ? d[i] : v[i] : 0;
        const double around = back ? mean[ch] : one / (double)count;
        HN_UNROLL
        for (int i = 0; i < HN_K_ROW_BLOCK; i++)
            two += i < count ? (back ? d[i] : v[i] - around) * (v[i] - around) : 0;
        to[2 * (block * n + ch)] = one, to[2 * (block * n + ch) + 1] = two;
    }
}

/* A block's threads as lanes over the channels: which of them share one. */
HN_DEVICE int wide_for(int64_t channels)
{
    int wide = 1;
    while (wide < channels) wide *= 2;
    return wide;
}
/* The lanes' numbers of each channel, in order. */
HN_DEVICE double over_lanes(const double *part, int wide, int64_t ch)
{
    double v = 0;
    for (int l = 0; l < HN_BLOCK / wide; l++) v += part[l * wide + ch];
    return v;
}

/* Mean and variance of the whole batch: the blocks' squares are around their own means, so what these lie apart is added. */
HN_DEVICE void statistics(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const int wide = wide_for(it->out);
    const int64_t rows = sh->slot.rows, blocks = (rows + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK;
    const double *from = sh->places[item].parts;
    double *mean = sh->mean + it->channel, *var = sh->var + it->channel;
    HN_EACH(t)
    {
        const int64_t ch = t % wide;
        double v = 0;
        HN_UNROLL4
        for (int64_t k = t / wide; k < blocks && ch < it->out; k += HN_BLOCK / wide)
            v += from[2 * (k * it->out + ch)];
        sh->w.one[t] = v;
    }
    HN_EACH(t) if (t < it->out) mean[t] = over_lanes(sh->w.one, wide, t) / (double)rows;
    HN_EACH(t)
    {
        const int64_t ch = t % wide;
        double v = 0;
        HN_UNROLL4
        for (int64_t k = t / wide; k < blocks && ch < it->out; k += HN_BLOCK / wide) {
            const int64_t left = rows - k * HN_K_ROW_BLOCK;
            const double n = left < HN_K_ROW_BLOCK ? (double)left : HN_K_ROW_BLOCK;
            const double apart = from[2 * (k * it->out + ch)] / n - mean[ch];
            v += from[2 * (k * it->out + ch) + 1] + n * apart * apart;
        }
        sh->w.one[t] = v;
    }
    HN_EACH(t) if (t < it->out)
    {
        var[t] = over_lanes(sh->w.one, wide, t) / (double)rows;
        sh->inv[it->channel + t] = 1 / sqrt(var[t] + it->eps);
    }
}

HN_DEVICE void normalize(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const real *x = sh->places[item].x, *scale = sh->places[item].w, *bias = sh->places[item].b;
    const double *mean = sh->mean + it->channel, *inv = sh->inv + it->channel;
    HN_EACH(t) if (t == 0) find_tail(sh, item);
    statistics(sh, item);
    HN_EACH(t)
    for (int e = sh->from * it->out + t; e < sh->to * it->out; e += HN_BLOCK) {
        const int ch = e % it->out;
        const real k = (real)((double)scale[ch] * inv[ch]);
        leave(&sh->tail, e / it->out, ch, k * (x[e] - (real)mean[ch]) + bias[ch]);
    }
}

/* dx = scale inv (dy - sum dy / n - h sum(dy h) / n),  h = (x - mean) inv */
HN_DEVICE void normalize_back(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const int64_t rows = sh->slot.rows, blocks = (rows + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK;
    const int wide = wide_for(it->out);
    const real *x = sh->places[item].x, *g = sh->places[item].g, *scale = sh->places[item].w;
    real *dx = sh->places[item - 1].g;
    const double *from = sh->places[item].parts_back;
    const double *mean = sh->mean + it->channel, *inv = sh->inv + it->channel;
    double *sum = sh->sum + it->channel, *dot = sh->dot + it->channel;
    HN_EACH(t)
    {
        const int64_t ch = t % wide;
        if (t == 0) find_tail(sh, item - 1);
        double one = 0, two = 0;
        HN_UNROLL4
        for (int64_t k = t / wide; k < blocks && ch < it->out; k += HN_BLOCK / wide)
            one += from[2 * (k * it->out + ch)], two += from[2 * (k * it->out + ch) + 1];
        sh->w.one[t] = one, sh->w.two[t] = two;
    }
    HN_EACH(t) if (t < it->out)
    {
        sum[t] = over_lanes(sh->w.one, wide, t);
        dot[t] = over_lanes(sh->w.two, wide, t) * inv[t];
    }
    HN_EACH(t)
    for (int e = sh->from * it->out + t; e < sh->to * it->out; e += HN_BLOCK) {
        const int ch = e % it->out;
        const real k = (real)((double)scale[ch] * inv[ch]);
        const real h = (x[e] - (real)mean[ch]) * (real)inv[ch];
        const real d =
            k * (g[e] - (real)(sum[ch] / (double)rows) - h * (real)(dot[ch] / (double)rows));
        dx[e] = come_back(&sh->tail, e / it->out, ch, d);
    }
}
#endif
