/* SPDX-License-Identifier: MIT
 *
 * Matrix products in tiles of several shapes (panel.h), for what is large or has many slots; the way out: product.h. One launch
 * makes one or two products, each in the shape the host chose for it (panel.c), and the gradient of a bias in blocks of its own.
 * Operands come to shared memory by asynchronous copies, several chunks ahead; a chunk sent off in one phase is waited for at the
 * end of the phase before the one that reads it. Lines that run along k lie there line by line, their fours of terms exchanged by
 * `twist`, lines across it k by k: both ways neighbouring threads read and write different banks. */
#include "gpu/product.h"
#include "gpu/send.h"

enum { SHARED = HN_K_PANEL_BYTES / sizeof(real), SUM_LANES = HN_BLOCK / HN_K_SUMS };

struct parts { /* a tile's partial sums in shared memory */
    int rows, cols, pitch, n;
};
struct source { /* an operand, as little of it as the copies need */
    const real *base;
    const uint32_t *index; /* line l begins at stride * index[l], or, without one, at stride * (first + l) */
    uint32_t first, stride, step; /* step: from a chunk to the next */
    int n, k, i0, along, fours;
};
struct piece { /* four elements of an operand that a thread sends every chunk */
    uint32_t from; /* where they are in the chunk to be sent next */
    int last;      /* they are there while the chunk's first k is below this */
    int to;        /* where they are kept */
};

/* The tile of block x, in slot z: 1; 2: sums of an operand, now b, for the gradient of a bias, beginning at j0;
 * 0: nothing. */
HN_DEVICE int find_panel(const struct hn_k_gemm *g, const struct hn_k_slot *s, int x, int64_t z,
                         struct job *j)
{
    for (int i = 0; i < g->n; i++) {
        const struct hn_k_product *p = &g->p[i];
        const int m = (int)hn_n(p->m, s->rows), n = (int)hn_n(p->n, s->rows);
        if (m <= 0 || n <= 0) continue;
        const int across = (n + p->cols - 1) / p->cols,
                  tiles = (m + p->rows - 1) / p->rows * across,
                  sums = p->ones ? ((p->ones == 1 ? n : m) + HN_K_SUMS - 1) / HN_K_SUMS : 0;
        if (x >= tiles + sums) {
            x -= tiles + sums;
            continue;
        }
        const int row = (int)((uint32_t)x / (uint32_t)across);
        j->p = p, j->m = m, j->n = n, j->k = (int)hn_n(p->k, s->rows), j->z = z;
        j->i0 = row * p->rows, j->j0 = (x - row * across) * p->cols;
        if (x < tiles) {
            j->a = operand_of(g, s, &p->a, z, m, j->k, 0);
            j->b = operand_of(g, s, &p->b, z, n, j->k, 0);
            return 1;
        }
        j->j0 = (x - tiles) * HN_K_SUMS;
        j->b = operand_of(g, s, p->ones == 1 ? &p->b : &p->a, z, p->ones == 1 ? n : m, j->k, 0);
        return 2;
    }
    return 0;
}

/* ---- copies ---------------------------------------------------------------------------------------------------- */

/* Where element k of line i of a chunk is kept. */
HN_DEVICE int twist(int i, int four) { return four ^ (i >> 2 & 7); }
HN_DEVICE int kept_at(int along, int i, int k, int lines, int deep)
{
    return along ? i * deep + 4 * twist(i, k >> 2) + (k & 3) : k * lines + i;
}

HN_DEVICE struct source source_of(const struct operand *o, int i0, int deep)
{
    struct source s = { .base = o->base, .stride = (uint32_t)o->stride, .n = o->n, .k = o->k };
    s.i0 = i0, s.along = o->along, s.fours = o->fours;
    s.step = (uint32_t)deep * (o->along ? 1 : s.stride);
    if (o->gathered) s.index = o->rows.index, s.first = (uint32_t)o->rows.first;
    return s;
}

/* What a line's elements begin at, counted from the base. */
HN_DEVICE uint32_t line_at(const struct source *o, int line)
{
    return (o->index ? o->index[line] : o->first + (uint32_t)line) * o->stride;
}

/* The place of piece p in a chunk. */
struct spot {
    int i, k;
};
HN_DEVICE struct spot spot_of(int along, int lines, int deep, uint32_t p)
{
    const uint32_t each = (uint32_t)(along ? deep : lines) / 4, line = p / each,
                   unit = p % each * 4;
    return along ? (struct spot){ (int)line, (int)unit } : (struct spot){ (int)unit, (int)line };
}

/* Where this thread's pieces of the first chunk are. */
HN_DEVICE void aim(const struct source *o, int lines, int deep, int pieces, int t, struct piece *at)
{
    if (!o->fours) return;
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        const int p = f * HN_BLOCK + t, along = o->along;
        const struct spot x = along ? spot_of(1, lines, deep, (uint32_t)p)
                                    : spot_of(0, lines, deep, (uint32_t)p);
        const int i = o->i0 + x.i, line = along ? i : x.k, most = along ? o->n : o->k;
        at[f].from = line_at(o, line < most ? line : 0) + (uint32_t)(along ? x.k : i);
        at[f].last = (i < o->n && p < lines * deep / 4 ? o->k : 0) - x.k;
        at[f].to = kept_at(along, x.i, x.k, lines, deep);
    }
}
/* The same for chunk c, from those of the chunk before it. Rows of the data set that are terms are looked up here, a chunk ahead
 * of the one that is sent. */
HN_DEVICE void aim_on(const struct source *o, int lines, int deep, int pieces, int c, int t,
                      const struct piece *before, struct piece *at)
{
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        at[f] = before[f];
        at[f].from += o->step;
    }
    if (o->along || !o->index || !o->fours) return;
    HN_UNROLL
    for (int f = 0; f < pieces; f++) {
        const struct spot x = spot_of(0, lines, deep, (uint32_t)(f * HN_BLOCK + t));
        const int k = c * deep + x.k;
        at[f].from = o->index[k < o->k ? k : 0] * o->stride + (uint32_t)(o->i0 + x.i);
    }
}

/* Chunk c on its way to `to`; zeros where there is nothing. */
HN_DEVICE void send(const struct source *o, int lines, int deep, int pieces, int c, int t,
                    const struct piece *at, hn_place to)
{
    if (!o->fours) return;
    HN_UNROLL
    for (int f = 0; f < pieces; f++)
        if (lines * deep / 4 % HN_BLOCK == 0 || f * HN_BLOCK + t < lines * deep / 4)
            hn_send4(hn_place_on(to, at[f].to), o->base, at[f].from, c * deep < at[f].last);
}
/* The same element by element, where lines are not whole fours: only for those. */
HN_DEVICE void send_ones(const struct source *o, int lines, int deep, int c, int t, hn_place to)
{
    if (o->fours) return;
    HN_UNROLL4
    for (uint32_t p = (uint32_t)t; p < (uint32_t)(lines * deep); p += HN_BLOCK) {
        const uint32_t each = (uint32_t)(o->along ? deep : lines);
        const int line = (int)(p / each), unit = (int)(p % each);
        const int i = o->along ? line : unit, k = o->along ? unit : line;
        const int there = o->i0 + i < o->n && c * deep + k < o->k;
        const int l = o->along ? o->i0 + i : c * deep + k;
        const uint32_t from =
            line_at(o, there ? l : 0) + (uint32_t)(o->along ? c * deep + k : o->i0 + i);
        hn_send1(hn_place_on(to, kept_at(o->along, i, k, lines, deep)), o->base, from, there);
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

/* A thread's place in its group. Of neighbouring threads one pair shares its lines of a, the next pair those of b: so a warp's
 * loads of four are two rounds of shared memory and not four. */
HN_DEVICE int lane_across(uint32_t l, int across)
{
    return (int)((l & 1) | (l >> 2 & (uint32_t)(across / 2 - 1)) << 1);
}
HN_DEVICE int lane_down(uint32_t l, int across)
{
    return (int)((l >> 1 & 1) | l / (uint32_t)(2 * across) << 1);
}

/* One load of four from a chunk: terms 4 * four … of line i + e, or lines i … of term 4 * four + e; into x, `wide` lines a term. */
HN_DEVICE void pick_up(real *x, const real *from, int along, int lines, int deep, int wide, int four,
                       int e, int place, int i)
{
    real v[4];
    hn_copy4(v, along ? from + kept_at(1, i + e, 4 * four, lines, deep)
                      : from + (4 * four + e) * lines + i);
    HN_UNROLL
    for (int n = 0; n < 4; n++) x[along ? n * wide + place + e : e * wide + place + n] = v[n];
}

#define PN(name) PN_(name, ROWS, COLS)
#define PN_(name, rows, cols) PN2_(name, rows, cols)
#define PN2_(name, rows, cols) name##_##rows##x##cols

#if HN_BITS == 32
#define ROWS 16
#define COLS 16
#define DOWN 1
#define ACROSS 1
#define DEEP 128
#define STAGES 4
#define PITCH 20
#include "gpu/panel.h"
#define ROWS 32
#define COLS 16
#define DOWN 2
#define ACROSS 1
#define DEEP 128
#define STAGES 3
#define PITCH 20
#include "gpu/panel.h"
#define ROWS 64
#define COLS 16
#define DOWN 2
#define ACROSS 1
#define DEEP 64
#define STAGES 4
#define PITCH 20
#include "gpu/panel.h"
#define ROWS 64
#define COLS 32
#define DOWN 2
#define ACROSS 1
#define DEEP 64
#define STAGES 3
#define PITCH 36
#include "gpu/panel.h"
#define ROWS 64
#define COLS 48
#define DOWN 1
#define ACROSS 3
#define DEEP 32
#define STAGES 5
#define PITCH 52
#include "gpu/panel.h"
#define ROWS 64
#define COLS 64
#define DOWN 2
#define ACROSS 2
#define DEEP 32
#define STAGES 5
#define PITCH 68
#include "gpu/panel.h"
#else
#define ROWS 16
#define COLS 16
#define DOWN 1
#define ACROSS 1
#define DEEP 64
#define STAGES 4
#define PITCH 20
#include "gpu/panel.h"
#define ROWS 32
#define COLS 16
#define DOWN 1
#define ACROSS 1
#define DEEP 64
#define STAGES 3
#define PITCH 20
#include "gpu/panel.h"
#define ROWS 32
#define COLS 32
#define DOWN 1
#define ACROSS 1
#define DEEP 32
#define STAGES 4
#define PITCH 36
#include "gpu/panel.h"
#endif

/* Sums over the terms of an operand whose lines are terms, the gradient of a bias. */
HN_DEVICE void add_terms(const struct hn_k_gemm *g, const struct job *j, double *sum)
{
    const struct hn_k_product *p = j->p;
    const struct operand *o = &j->b;
    real *sums = hn_at(&g->env, p->sums, j->z);
    HN_EACH(t)
    {
        const int at = j->j0 + t % HN_K_SUMS;
        const real *from = o->base + (at < o->n ? at : 0);
        double v = 0;
        HN_UNROLL8
        for (int k = t / HN_K_SUMS; k < o->k; k += SUM_LANES)
            v += (double)from[(o->gathered ? rows_at(&o->rows, k) : k) * o->stride];
        sum[t] = v;
    }
    HN_LANES(sum, HN_K_SUMS);
    HN_EACH(t)
    if (t < HN_K_SUMS && j->j0 + t < o->n) {
        const double v = p->beta * sum[t] + (p->acc_sums ? (double)sums[j->j0 + t] : 0);
        sums[j->j0 + t] = (real)v;
    }
}

/* Partial sums are added in order; a thread takes up to four rows of a column. */
HN_DEVICE void let_out(const struct hn_k_gemm *g, const struct hn_k_slot *s, const struct job *j,
                       const struct parts *is, const real *sh)
{
    const struct way_out way = way_out_of(g, s, j);
    const int each = is->rows * is->cols / HN_BLOCK, n = each < 4 ? each : 4;
    HN_EACH(t)
    HN_ROLLED
    for (int u = t; u < is->rows * is->cols / n; u += HN_BLOCK) {
        const int row = u / is->cols * n, col = u % is->cols;
        real sum[4] = { 0 };
        for (int w = 0; w < is->n; w++) {
            HN_UNROLL
            for (int e = 0; e < 4; e++)
                if (e < n) sum[e] += sh[(w * is->rows + row + e) * is->pitch + col];
        }
        finish(s, j, &way, j->i0 + row, j->j0 + col, n, sum);
    }
}

HN_KERNEL_OF(panel, hn_k_gemm, 2)
{
    HN_DYNAMIC(real, sh, SHARED);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    struct job j;
    struct parts is;
    const int what = find_panel(&a, s, (int)HN_X, HN_Z, &j);
    if (!what) return;
    if (what == 2) {
        add_terms(&a, &j, (double *)sh);
        return;
    }
    switch (j.p->shape) {
#define SHAPE(rows, cols)                                                                          \
    case HN_KP_##rows##x##cols: is = panel_##rows##x##cols(&j, sh); break;
#if HN_BITS == 32
        HN_K_PANELS_32(SHAPE)
#else
        HN_K_PANELS_64(SHAPE)
#endif
    default: return;
    }
    let_out(&a, s, &j, &is, sh);
}
