/* SPDX-License-Identifier: MIT
 *
 * The grid sampler: every point once. When fewer trials than points are wanted, points are taken in strides of about the
 * golden ratio of their number, so that what is tried is spread over the grid. */
#include "plugin/tune/sampler_own.h"
#include <math.h>

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t r = a % b;
        a = b, b = r;
    }
    return a;
}

static uint64_t stride_of(uint64_t count)
{
    uint64_t s = (uint64_t)((double)count * 0.6180339887498949);
    while (s > 1 && gcd(s, count) != 1) s--;
    return s ? s : 1;
}

hone_status hn_grid_propose(const struct hn_ask *ask, const struct hn_tried *tried, double *x,
                            int *exhausted, hone_error *err)
{
    int exact;
    uint64_t count = hn_space_count(ask->space, 1, &exact), limit = ask->opts->limit;
    uint64_t stride = limit && limit < count ? stride_of(count) : 1;
    HN_TRY(hn_sampler_check(ask->space, ask->opts, err));
    for (uint64_t k = 0; k < count; k++) {
        uint64_t i = (ask->trial + k) % count;
        hn_space_point(ask->space, (uint64_t)((unsigned __int128)i * stride % count), 1, x);
        if (!hn_tried_has(tried, x)) return HONE_OK;
    }
    *exhausted = 1;
    return HONE_OK;
}
