/* SPDX-License-Identifier: MIT
 *
 * Augmentation (ops/math/augment.c has the formulas): noise for 4 rows and GROUP columns at a time, in loops that become vector
 * code; mixup on whole batches, pair by pair of rows; onehot. */
#include "ops/base/chance.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/vmath.h"
#include <string.h>

enum { GROUP = 16 };

static int trains(enum hn_pass pass) { return pass == HN_PASS_TRAIN || pass == HN_PASS_GRAD; }

static int64_t columns_of(const struct hn_call *c)
{
    int64_t n = 1;
    for (int i = 1; i < c->xs[0].rank; i++) n *= c->xs[0].d[i];
    return n;
}

static void copy_rows(const struct hn_call *c, const float *from, float *to, int add)
{
    const int64_t n = hn_extent_numel(&c->xs[0]);
    if (add)
        for (int64_t i = 0; i < n; i++) to[i] += from[i];
    else if (to != from)
        memcpy(to, from, (size_t)n * sizeof *to);
}

/* ---- noise ------------------------------------------------------------------------------------------------------- */

static void noise_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = 1;
    n->inplace = 3;
    n->cost = (trains(u->pass) ? 30.0 : 1.0) * (double)hn_cpu_width(&u->xs[0]);
}

/* Sine and cosine of 2 pi t for t in [0,1), a multiple of 2^-24. */
static inline void circle(float t, float *sine, float *cosine)
{
    const float magic = 12582912.0f; /* rounds to an integer */
    const float q = (4.0f * t + magic) - magic, f = t - 0.25f * q;
    const uint32_t quarter = (uint32_t)(int32_t)q;
    float s, c;
    hn_circle(6.283185307f * f, &s, &c);
    *sine = hn_of_circle(quarter, s, c);
    *cosine = hn_of_circle(quarter + 1, s, c);
}

/* The four words of GROUP columns. */
static inline void draw(const struct hn_call *c, uint32_t row4, int64_t col, uint32_t w[4][GROUP])
{
    const struct hn_noise *a = c->op->attrs;
#pragma GCC unroll 16
    for (int at = 0; at < GROUP; at += LANES) {
        words v[4];
        philox(c, a->stream, row4, col + at, v);
        for (int k = 0; k < 4; k++) {
            uint64_t lane[LANES];
            memcpy(lane, &v[k], sizeof lane);
            for (int i = 0; i < LANES; i++) w[k][at + i] = (uint32_t)lane[i];
        }
    }
}

/* Four rows of GROUP normal numbers times std. */
static inline void normal_numbers(const uint32_t w[4][GROUP], float std, float n[4][GROUP])
{
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < GROUP; i++) {
            const float u = (float)(int32_t)((w[2 * h][i] >> 8) + 1) * 0x1p-24f;
            const float t = (float)(int32_t)(w[2 * h + 1][i] >> 8) * 0x1p-24f;
            const float radius = std * __builtin_sqrtf(-2.0f * hn_logf(u));
            float sine, cosine;
            circle(t, &sine, &cosine);
            n[2 * h][i] = radius * cosine, n[2 * h + 1][i] = radius * sine;
        }
}

static void noise_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const float *x = c->x[0];
    float *y = c->y[0];
    if (!c->train || !(c->rate > 0)) {
        copy_rows(c, x, y, 0);
        return;
    }
    const int64_t rows = c->xs[0].d[0], cols = columns_of(c);
    for (int64_t r0 = 0; r0 < rows; r0 += 4)
        for (int64_t col = 0; col < cols; col += GROUP) {
            const int64_t n = cols - col < GROUP ? cols - col : GROUP,
                          end = rows - r0 < 4 ? rows - r0 : 4;
            uint32_t w[4][GROUP];
            float v[4][GROUP];
            draw(c, (uint32_t)((k->row0 + r0) / 4), col, w);
            normal_numbers(w, (float)c->rate, v);
            for (int64_t r = 0; r < end; r++) {
                const int64_t at = (r0 + r) * cols + col;
                for (int64_t i = 0; i < n; i++) y[at + i] = x[at + i] + v[r][i];
            }
        }
}

static void noise_backward(const struct hn_cpu_call *k)
{
    if (k->c.dx[0]) copy_rows(&k->c, k->c.dy[0], k->c.dx[0], (int)(k->c.acc & 1));
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_noise) = {
    .row = &hn_op_noise,
    .need = noise_need,
    .forward = { .main = noise_forward },
    .backward = { .main = noise_backward },
};

/* ---- mixup ------------------------------------------------------------------------------------------------------- */

static void mixup_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = (uint8_t)!trains(u->pass);
    n->inplace = 3;
    n->cost = 4.0 * (double)hn_cpu_width(&u->xs[0]);
}

/* Pairs of rows, each element read before either is written. */
static void mix(const struct hn_call *c, const float *from, float *to, int add)
{
    if (!c->train || !(c->rate > 0)) {
        copy_rows(c, from, to, add);
        return;
    }
    const int64_t rows = c->xs[0].d[0], cols = columns_of(c);
    const double share = hn_mixup_share(c->rate, c->batch, c->key);
    const float s = (float)share, t = (float)(1 - share);
    for (int64_t r = 0; r < (rows + 1) / 2; r++) {
        const float *a = from + r * cols, *b = from + (rows - 1 - r) * cols;
        float *p = to + r * cols, *q = to + (rows - 1 - r) * cols;
        for (int64_t i = 0; i < cols; i++) {
            const float one = s * a[i] + t * b[i], two = s * b[i] + t * a[i];
            if (q != p) q[i] = add ? q[i] + two : two;
            p[i] = add ? p[i] + one : one;
        }
    }
}

static void mixup_forward(const struct hn_cpu_call *k) { mix(&k->c, k->c.x[0], k->c.y[0], 0); }
static void mixup_backward(const struct hn_cpu_call *k)
{
    if (k->c.dx[0]) mix(&k->c, k->c.dy[0], k->c.dx[0], (int)(k->c.acc & 1));
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_mixup) = {
    .row = &hn_op_mixup,
    .need = mixup_need,
    .forward = { .main = mixup_forward },
    .backward = { .main = mixup_backward },
};

/* ---- onehot ------------------------------------------------------------------------------------------------------ */

static void onehot_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    n->local = (uint8_t)hn_cpu_batched(&u->xs[0]);
    n->cost = (double)hn_cpu_width(&u->ys[0]);
}

static void onehot_forward(const struct hn_cpu_call *k)
{
    const struct hn_onehot *a = k->c.op->attrs;
    const int64_t n = hn_extent_numel(&k->c.xs[0]);
    const float *x = k->c.x[0];
    float *y = k->c.y[0];
    memset(y, 0, (size_t)(n * a->classes) * sizeof *y);
    for (int64_t i = 0; i < n; i++)
        if (x[i] >= 0 && x[i] < (float)a->classes) y[i * a->classes + (int64_t)x[i]] = 1;
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_onehot) = {
    .row = &hn_op_onehot,
    .need = onehot_need,
    .forward = { .main = onehot_forward },
};
