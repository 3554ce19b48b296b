/* SPDX-License-Identifier: MIT
 *
 * Packing buffers with known lifetimes into one arena. */
#ifndef HN_PLACE_H
#define HN_PLACE_H

#include "ops/base/memory.h"

struct hn_span { /* a buffer that is alive in steps first..last, both included */
    size_t bytes;
    int32_t first, last;
    size_t off; /* out: 64-byte aligned */
};
/* Gives each span its place: two spans share bytes only when they are never alive together. Largest first, each at the
 * lowest place that fits. *total: bytes of the arena. HONE_E_NOMEM when the sum of the sizes overflows or m has none. */
hone_status hn_place(struct hn_mem *m, struct hn_span *spans, size_t n, size_t *total,
                     hone_error *err);
#endif
