/* SPDX-License-Identifier: MIT
 *
 * See fake_cudnn.h. What is particular to cuDNN is kept: saved values are elements, the running variance is that of a sample
 * (not a number for a single value), a forward pass of Dropout moves the states. */
#include "tests/gpu/fake_cudnn.h"
#include <math.h>

static double get(const void *p, size_t elem, int64_t i)
{
    return elem == 4 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}
static void put(void *p, size_t elem, int64_t i, double v)
{
    if (elem == 4)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

static int64_t place(const struct hn_gpu_norm *n, int64_t ch, int64_t j)
{
    return (j / n->inner * n->channels + ch) * n->inner + j % n->inner;
}

/* Mean and variance of a channel, which move the running ones. */
static void measure(const struct hn_gpu_norm *n, const struct hn_gpu_norm_at *at, int64_t ch,
                    double stat[2])
{
    const int64_t count = n->rows * n->inner;
    stat[0] = stat[1] = 0;
    for (int64_t j = 0; j < count; j++) stat[0] += get(at->x, n->elem, place(n, ch, j));
    stat[0] /= (double)count;
    for (int64_t j = 0; j < count; j++)
        stat[1] += pow(get(at->x, n->elem, place(n, ch, j)) - stat[0], 2);
    const double sample = stat[1] / (double)(count - 1);
    stat[1] /= (double)count;
    if (at->mean) {
        put(at->mean, n->elem, ch,
            (1 - n->factor) * get(at->mean, n->elem, ch) + n->factor * stat[0]);
        put(at->var, n->elem, ch, (1 - n->factor) * get(at->var, n->elem, ch) + n->factor * sample);
    }
}

void fake_normalize(const struct hn_gpu_norm *n, const struct hn_gpu_norm_at *at)
{
    for (int64_t ch = 0; ch < n->channels; ch++) {
        double stat[2];
        if (n->batch)
            measure(n, at, ch, stat);
        else
            stat[0] = get(at->mean, n->elem, ch), stat[1] = get(at->var, n->elem, ch);
        const double inv = 1 / sqrt(stat[1] + n->eps), k = get(at->scale, n->elem, ch) * inv;
        if (at->save_mean) put(at->save_mean, n->elem, ch, stat[0]);
        if (at->save_inv) put(at->save_inv, n->elem, ch, inv);
        for (int64_t j = 0; j < n->rows * n->inner; j++) {
            int64_t i = place(n, ch, j);
            put(at->y, n->elem, i,
                k * (get(at->x, n->elem, i) - stat[0]) + get(at->bias, n->elem, ch));
        }
    }
}

void fake_normalize_back(const struct hn_gpu_norm *n, const struct hn_gpu_norm_at *at)
{
    const int64_t count = n->rows * n->inner;
    for (int64_t ch = 0; ch < n->channels; ch++) {
        const double mean = get(at->save_mean, n->elem, ch), inv = get(at->save_inv, n->elem, ch),
                     scale = get(at->scale, n->elem, ch);
        double sum = 0, dot = 0;
        for (int64_t j = 0; j < count; j++) {
            double g = get(at->dy, n->elem, place(n, ch, j));
            sum += g, dot += g * (get(at->x, n->elem, place(n, ch, j)) - mean) * inv;
        }
        for (int64_t j = 0; j < count; j++) {
            int64_t i = place(n, ch, j);
            double h = (get(at->x, n->elem, i) - mean) * inv;
            double g = scale * inv *
                       (get(at->dy, n->elem, i) - sum / (double)count - h * dot / (double)count);
            put(at->dx, n->elem, i, (n->acc ? get(at->dx, n->elem, i) : 0) + g);
        }
        put(at->dscale, n->elem, ch, (n->acc_params ? get(at->dscale, n->elem, ch) : 0) + dot);
        put(at->dbias, n->elem, ch, (n->acc_params ? get(at->dbias, n->elem, ch) : 0) + sum);
    }
}

/* ---- Dropout ----------------------------------------------------------------------------------------------------- */

struct states {
    uint64_t seed, drawn;
};
size_t fake_drop_state_bytes(void) { return sizeof(struct states); }
void fake_drop_fill(void *states, uint64_t seed)
{
    *(struct states *)states = (struct states){ seed, 0 };
}

static double draw(struct states *s) /* splitmix64 */
{
    uint64_t z = s->seed + ++s->drawn * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

void fake_drop_forward(const struct hn_gpu_drop *d, const void *from, void *to, void *reserve)
{
    unsigned char *bits = reserve;
    for (int64_t i = 0; i < d->rows * d->cols; i++) {
        int keep = draw(d->states) >= d->rate;
        bits[i / 8] = (unsigned char)((bits[i / 8] & ~(1u << i % 8)) | (unsigned)keep << i % 8);
        put(to, d->elem, i, keep ? get(from, d->elem, i) / (1 - d->rate) : 0);
    }
}

void fake_drop_backward(const struct hn_gpu_drop *d, const void *from, void *to,
                        const void *reserve)
{
    const unsigned char *bits = reserve;
    for (int64_t i = 0; i < d->rows * d->cols; i++)
        put(to, d->elem, i, bits[i / 8] >> i % 8 & 1 ? get(from, d->elem, i) / (1 - d->rate) : 0);
}
