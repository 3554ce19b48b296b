/* SPDX-License-Identifier: MIT
 *
 * Large blocks: slabs and arenas. Three things that matter at this size and that plain allocation does not give:
 *   huge pages      asked for before the first touch; matrix products walk columns through many pages
 *   stagger         blocks of one size would all start at the same place of a page, and a loop over weights, gradients
 *                   and moments would fight for the same cache sets: each block starts 256 bytes later than the one before
 *   first touch     cleared here, so that a training step meets no page fault
 * Memory still comes from the device's hn_mem alone. */
#include "ops/cpu/exec.h"
#include <string.h>
#include <sys/mman.h>

enum { STEP = 256, PLACES = 8, HEAD = 64, PAGE = 4096, HUGE_FROM = 4 << 20 };

static void ask_for_huge_pages(char *p, size_t n)
{
#ifdef MADV_HUGEPAGE
    uintptr_t from = ((uintptr_t)p + PAGE - 1) / PAGE * PAGE, to = ((uintptr_t)p + n) / PAGE * PAGE;
    if (n >= HUGE_FROM) (void)madvise((void *)from, to - from, MADV_HUGEPAGE); /* only a wish */
#else
    (void)p, (void)n;
#endif
}

void *hn_cpu_block(struct hn_cpu_dev *d, size_t bytes)
{
    const size_t extra = HEAD + STEP * PLACES;
    char *base = bytes < SIZE_MAX - extra ? hn_alloc(d->mem, bytes + extra) : NULL;
    if (!base) return NULL;
    char *p = base + HEAD + STEP * (atomic_fetch_add(&d->n_blocks, 1u) % PLACES);
    ask_for_huge_pages(base, bytes + extra);
    memset(p, 0, bytes);
    memcpy(p - sizeof base, &base, sizeof base);
    return p;
}

void hn_cpu_unblock(struct hn_cpu_dev *d, void *p)
{
    char *base;
    if (!p) return;
    memcpy(&base, (char *)p - sizeof base, sizeof base);
    hn_free(d->mem, base);
}
