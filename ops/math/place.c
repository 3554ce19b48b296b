/* SPDX-License-Identifier: MIT
 *
 * Interval packing, first fit by decreasing size. Big buffers are padded to an odd number of cache lines modulo a page
 * (17 * 64 bytes), so that neighbours of equal size do not begin at the same place of a page or of a cache set: kernels
 * that walk two such buffers together would otherwise see false store-to-load conflicts. */
#include "ops/math/place.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

enum { LINE = 64, PAGE = 4096, STAGGER = 17 * LINE, BIG = 16 * 1024 };

static size_t padded(size_t bytes)
{
    size_t n = bytes ? (bytes + LINE - 1) / LINE * LINE : LINE;
    return n < BIG ? n : n + (PAGE + STAGGER - n % PAGE) % PAGE;
}

static int by_size(const void *a, const void *b)
{
    const struct hn_span *x = *(struct hn_span *const *)a, *y = *(struct hn_span *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x > y) - (x < y);
}

/* The lowest offset where s overlaps no placed span that lives at the same time. `placed` is sorted by offset. */
static size_t lowest(struct hn_span *const *placed, size_t n, const struct hn_span *s)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct hn_span *p = placed[i];
        if (p->last < s->first || p->first > s->last) continue;
        if (p->off >= at + padded(s->bytes)) break;
        size_t end = p->off + padded(p->bytes);
        if (end > at) at = end;
    }
    return at;
}

static void insert(struct hn_span **placed, size_t n, struct hn_span *s)
{
    size_t i = n;
    for (; i > 0 && placed[i - 1]->off > s->off; i--) placed[i] = placed[i - 1];
    placed[i] = s;
}

hone_status hn_place(struct hn_mem *m, struct hn_span *spans, size_t n, size_t *total,
                     hone_error *err)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (spans[i].bytes > INT64_MAX / 4 ||
            !hn_add_i64(sum, (int64_t)padded(spans[i].bytes), &sum))
            return hn_fail(err, HONE_E_NOMEM, "the plan", "the sizes of its buffers overflow");
    struct hn_span **order = hn_calloc(m, 2 * n + 1, sizeof *order);
    if (!order) return hn_nomem(err, "the plan", 2 * n * sizeof *order);
    struct hn_span **placed = order + n;
    for (size_t i = 0; i < n; i++) order[i] = &spans[i];
    qsort(order, n, sizeof *order, by_size);
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        order[i]->off = lowest(placed, i, order[i]);
        insert(placed, i, order[i]);
        if (order[i]->off + padded(order[i]->bytes) > *total)
            *total = order[i]->off + padded(order[i]->bytes);
    }
    hn_free(m, order);
    return HONE_OK;
}
