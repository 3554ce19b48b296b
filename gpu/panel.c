/* SPDX-License-Identifier: MIT
 *
 * Which shape a product's tiles have in the kernel `panel`. The choice follows from the plan's largest batch and number of slots
 * alone, so that a replica's numbers do not depend on its company, and not from the device either: the one that is reckoned with
 * is an H200.
 *
 * A tile costs its processor some clocks a term (multiplications, shared memory and the work around them, counted in the code
 * that nvcc makes) and some at the end. Tiles share a processor in pairs; each pair waits for memory at its beginning and end. */
#include "gpu/exec.h"

enum { PROCESSORS = 132, PAIR_WAITS = 2000 };

struct shape {
    int32_t id, rows, cols;
    double term, alone,
        end; /* clocks: a term, the same where a tile is alone on its processor, the end */
};
static const struct shape shapes32[] = {
    { HN_KP_16x16, 16, 16, 3.6, 4.5, 300 },    { HN_KP_32x16, 32, 16, 5.7, 6.6, 400 },
    { HN_KP_64x16, 64, 16, 11.1, 13, 700 },    { HN_KP_64x32, 64, 32, 19.8, 21.7, 1000 },
    { HN_KP_64x48, 64, 48, 30.7, 34.5, 1500 }, { HN_KP_64x64, 64, 64, 39, 42.8, 2000 },
};
static const struct shape shapes64[] = {
    { HN_KP_16x16, 16, 16, 5.5, 7.4, 400 },
    { HN_KP_32x16, 32, 16, 9.4, 11.3, 600 },
    { HN_KP_32x32, 32, 32, 19, 22.8, 1000 },
};

static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t hn_gpu_panel_blocks(const struct hn_k_product *p, int64_t rows)
{
    const int64_t m = hn_gpu_n(p->m, rows), n = hn_gpu_n(p->n, rows);
    if (m <= 0 || n <= 0) return 0;
    return up(m, (int64_t)1 << p->row_bits) * p->across + p->sums_blocks;
}

static double cost_of(const struct hn_gpu_exec *e, const struct hn_k_product *p,
                      const struct shape *s)
{
    const int64_t rows = e->plan->max_rows, slots = e->max_slots;
    const int64_t tiles =
        up(hn_gpu_n(p->m, rows), s->rows) * up(hn_gpu_n(p->n, rows), s->cols) * slots;
    const int64_t each = up(tiles, PROCESSORS);
    return (double)each *
               ((double)hn_gpu_n(p->k, rows) * (each > 1 ? s->term : s->alone) + s->end) +
           (double)up(tiles, 2 * PROCESSORS) * PAIR_WAITS;
}

/* Lines of b along k beside lines of a across it, or a number of columns that follows the batch: no layer has such a product, and
 * the kernel has no code for it. It divides numbers of tiles by those of a row in 31 bits. */
int hn_gpu_panel_takes(const struct hn_gpu_exec *e, const struct hn_k_gemm *g)
{
    for (int i = 0; i < g->n; i++) {
        const struct hn_k_product *p = &g->p[i];
        const int64_t across = up(p->n.fixed, 16), down = up(hn_gpu_n(p->m, e->plan->max_rows), 16);
        if ((p->b.along && !p->a.along) || p->n.per_row || (p->ones == 2 && p->m.per_row) ||
            across * across > INT32_MAX / (down + 1))
            return 0;
    }
    return 1;
}

void hn_gpu_panel_shape(const struct hn_gpu_exec *e, struct hn_k_product *p)
{
    const int wide = e->dev->elem == 8, asked = e->dev->o.native - HN_GPU_SHAPE;
    const struct shape *s = wide ? shapes64 : shapes32;
    const int n = wide ? (int)(sizeof shapes64 / sizeof *s) : (int)(sizeof shapes32 / sizeof *s);
    int best = 0;
    for (int i = 1; i < n; i++)
        if (asked >= 0 ? asked >= s[i].id : cost_of(e, p, &s[i]) < cost_of(e, p, &s[best]))
            best = i;
    p->shape = s[best].id, p->cols = s[best].cols;
    for (p->row_bits = 4; 1 << p->row_bits < s[best].rows;) p->row_bits++;
    p->across = (int32_t)up(p->n.fixed, p->cols);
    p->magic = p->across ? (uint32_t)up((int64_t)1 << 31, p->across) : 0;
    p->sums_blocks = p->ones ? (int32_t)up(p->ones == 1 ? p->n.fixed : p->m.fixed, HN_K_SUMS) : 0;
}
