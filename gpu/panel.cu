/* SPDX-License-Identifier: MIT
 *
 * Matrix products in tiles of several shapes (panel.h), for what is large or has many slots; the way out: product.h. One launch
 * makes one or two products, each in the shape the host chose for it (panel.c), and the gradient of a bias in blocks of its own.
 * Operands come to shared memory by asynchronous copies (source.h), several chunks ahead; a chunk sent off in one phase is
 * waited for at the end of the phase before the one that reads it. */
#include "gpu/tile.h"

enum { SHARED = HN_K_PANEL_BYTES / sizeof(real) };

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

/* One load of four from a chunk: terms 4 * four … of line i + e, or lines i … of term 4 * four + e; into x, `wide` lines a
 * term. */
HN_DEVICE void pick_up(real *x, const real *from, int along, int lines, int deep, int wide,
                       int four, int e, int place, int i)
{
    real v[4];
    hn_copy4(v, along ? from + kept_at(1, i + e, 4 * four, lines, deep)
                      : from + (4 * four + e) * lines + i);
    HN_UNROLL
    for (int n = 0; n < 4; n++) x[along ? n * wide + place + e : e * wide + place + n] = v[n];
}

#define PN(name)               PN_(name, ROWS, COLS)
#define PN_(name, rows, cols)  PN2_(name, rows, cols)
#define PN2_(name, rows, cols) name##_##rows##x##cols

#if HN_BITS == 32
#define ROWS   16
#define COLS   16
#define DOWN   1
#define ACROSS 1
#define DEEP   128
#define STAGES 4
#define PITCH  20
#include "gpu/panel.h"
#define ROWS   32
#define COLS   16
#define DOWN   2
#define ACROSS 1
#define DEEP   128
#define STAGES 3
#define PITCH  20
#include "gpu/panel.h"
#define ROWS   64
#define COLS   16
#define DOWN   2
#define ACROSS 1
#define DEEP   64
#define STAGES 4
#define PITCH  20
#include "gpu/panel.h"
#define ROWS   64
#define COLS   32
#define DOWN   2
#define ACROSS 1
#define DEEP   64
#define STAGES 3
#define PITCH  36
#include "gpu/panel.h"
#define ROWS   64
#define COLS   48
#define DOWN   1
#define ACROSS 3
#define DEEP   32
#define STAGES 5
#define PITCH  52
#include "gpu/panel.h"
#define ROWS   64
#define COLS   64
#define DOWN   2
#define ACROSS 2
#define DEEP   32
#define STAGES 5
#define PITCH  68
#include "gpu/panel.h"
#else
#define ROWS   16
#define COLS   16
#define DOWN   1
#define ACROSS 1
#define DEEP   64
#define STAGES 4
#define PITCH  20
#include "gpu/panel.h"
#define ROWS   32
#define COLS   16
#define DOWN   1
#define ACROSS 1
#define DEEP   64
#define STAGES 3
#define PITCH  20
#include "gpu/panel.h"
#define ROWS   32
#define COLS   32
#define DOWN   1
#define ACROSS 1
#define DEEP   32
#define STAGES 4
#define PITCH  36
#include "gpu/panel.h"
#endif

HN_KERNEL_SOON(panel, hn_k_gemm, 2)
{
    HN_DYNAMIC(real, sh, SHARED);
    HN_PRIVATE(struct leaving, leaving, 1);
    const struct known known = know(&a, HN_Z);
    if (known.rows <= 0) return;
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    const struct bases bases = bases_of(&a.env, known.w, known.dw, HN_Z);
    struct job j;
    struct source of[2] = { { .by = 0 } };
    struct parts is;
    const int what = find_panel(&a, &known, &bases, (uint32_t)HN_X, HN_Z, &j, &of[0], &of[1]);
    if (!what) return;
    if (what == 2 || of[0].gathered || of[1].gathered) {
        HN_TURN();
        const int64_t by = s->ahead * known.rows;
        source_move(&of[0], by);
        source_move(&of[1], by);
    }
    if (what == 2) {
        if (s->stop == 0) add_terms(&a, &bases, &j, &of[1], (double *)sh);
        return;
    }
    switch (a.p[j.which].shape) {
#define SHAPE(rows, cols)                                                                          \
    case HN_KP_##rows##x##cols:                                                                    \
        is = panel_##rows##x##cols(&a, s, &bases, &j, of[0], of[1], sh, leaving);                  \
        break;
#if HN_BITS == 32
        HN_K_PANELS_32(SHAPE)
#else
        HN_K_PANELS_64(SHAPE)
#endif
    default: return;
    }
    let_out(&a, &bases, &j, &is, sh, 0, leaving);
}
