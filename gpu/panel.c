/* SPDX-License-Identifier: MIT
 *
 * Which shape a product's tiles have in the kernels `panel` and `mma`. The choice follows from the plan's largest batch and number
 * of slots alone, so that a replica's numbers do not depend on its company, and not from the device either: the one that is
 * reckoned with is an H200.
 *
 * A tile costs its processor some clocks a term (of `panel`: multiplications, shared memory and the work around them, counted in
 * the code that nvcc makes; of `mma`, reckoned and not measured: a clock for 128 multiplications, or for 24 bytes from the L2
 * cache if those take longer) and some at the end. Tiles share a processor in pairs; each pair waits for memory at its beginning
 * and end. */
#include "gpu/exec.h"

enum { PROCESSORS = 132, PAIR_WAITS = 2000 };

struct shape {
    int32_t id, rows, cols;
    double term, alone,
        end; /* clocks: a term, the same where a tile is alone on its processor, the end */
};
struct shapes {   /* of a kernel, for an element's size */
    int n, first; /* first: of its shapes as options (enum hn_gpu_product) */
    struct shape s[6];
};
static const struct shapes panel32 = {
    6,
    HN_GPU_SHAPE,
    { { HN_KP_16x16, 16, 16, 3.6, 4.5, 300 },
      { HN_KP_32x16, 32, 16, 5.7, 6.6, 400 },
      { HN_KP_64x16, 64, 16, 11.1, 13, 700 },
      { HN_KP_64x32, 64, 32, 19.8, 21.7, 1000 },
      { HN_KP_64x48, 64, 48, 30.7, 34.5, 1500 },
      { HN_KP_64x64, 64, 64, 39, 42.8, 2000 } },
};
static const struct shapes panel64 = {
    3,
    HN_GPU_SHAPE,
    { { HN_KP_16x16, 16, 16, 5.5, 7.4, 400 },
      { HN_KP_32x16, 32, 16, 9.4, 11.3, 600 },
      { HN_KP_32x32, 32, 32, 19, 22.8, 1000 } },
};
/* without the last two for float64: their partial sums are too many */
static const struct shapes mma32 = {
    6,
    HN_GPU_MMA_SHAPE,
    { { HN_KM_16x16, 16, 16, 5.3, 3.5, 400 },
      { HN_KM_16x32, 16, 32, 8, 6, 500 },
      { HN_KM_64x16, 64, 16, 13.3, 11, 600 },
      { HN_KM_64x32, 64, 32, 17, 17, 800 },
      { HN_KM_32x48, 32, 48, 14, 13, 800 },
      { HN_KM_64x48, 64, 48, 25, 25, 1000 } },
};
static const struct shapes mma64 = {
    4,
    HN_GPU_MMA_SHAPE,
    { { HN_KM_16x16, 16, 16, 10.6, 7, 600 },
      { HN_KM_16x32, 16, 32, 16, 12, 700 },
      { HN_KM_64x16, 64, 16, 26.6, 22, 800 },
      { HN_KM_64x32, 64, 32, 32, 32, 1000 } },
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
 * the kernels have no code for it. They divide numbers of tiles by those of a row in 31 bits. */
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

void hn_gpu_panel_shape(const struct hn_gpu_exec *e, enum hn_k_id kernel, struct hn_k_product *p)
{
    const int wide = e->dev->elem == 8;
    const struct shapes *of =
        kernel == HN_KN_mma ? (wide ? &mma64 : &mma32) : (wide ? &panel64 : &panel32);
    const int asked = e->dev->o.native - of->first;
    const struct shape *best = &of->s[0];
    for (const struct shape *s = best + 1; s < of->s + of->n; s++)
        if (asked >= 0 ? asked >= s->id : cost_of(e, p, s) < cost_of(e, p, best)) best = s;
    p->shape = best->id, p->cols = best->cols;
    for (p->row_bits = 4; 1 << p->row_bits < best->rows;) p->row_bits++;
    p->across = (int32_t)up(p->n.fixed, p->cols);
    p->magic = p->across ? (uint32_t)up((int64_t)1 << 31, p->across) : 0;
    p->sums_blocks = p->ones ? (int32_t)up(p->ones == 1 ? p->n.fixed : p->m.fixed, HN_K_SUMS) : 0;
}
