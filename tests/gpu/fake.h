/* SPDX-License-Identifier: MIT
 *
 * A device layer without a device: device memory is plain memory poisoned with NaNs, the kernels are the backend's own, compiled as
 * C, products are plain loops in double. A capture records, a replay does what was recorded. Every call can be made to fail. */
#ifndef HN_TEST_GPU_FAKE_H
#define HN_TEST_GPU_FAKE_H

#include "ops/base/hone_status.h"
#include <stddef.h>
#include <stdio.h>

/* When a device does what is queued: its streams allow all of these. */
enum fake_late {
    FAKE_AT_ONCE,
    FAKE_COMPUTE_LATE, /* the compute stream at the next sync only, uploads at once */
    FAKE_ALL_LATE      /* uploads, too: when the compute stream comes to where it waits for them */
};
struct fake {
    int present; /* this is the fake device, not a real one */
    int fail_at; /* the n-th call that may fail does; 0: none */
    int calls;   /* so far */
    int no_epilogue; /* products know no bias, ReLU or sums; 2: and only those of a weight gradient at all */
    int eager;   /* what runs beside runs when it is queued; else as late as it may */
    int no_norm; /* cuDNN takes no BatchNorm */
    enum fake_late late;
    size_t limit; /* bytes of device memory; 0: no limit */
    size_t live;  /* bytes held, pinned ones too */
    int contexts, graphs, gemms;
    int calls_held; /* prepared cuDNN calls */
    int launches, products, captured, replays, syncs, uploads, norms, drops, seeds;
    size_t uploaded; /* bytes */
};
extern struct fake fake;
void fake_reset(void);

/* A real device's cuDNN may not take a shape: that is said, and the test goes on with the next. The fake one takes all. */
static inline int refused(hone_status st, const hone_error *err)
{
    if (st != HONE_E_UNSUPPORTED || fake.present) return 0;
    printf("    not on this device: %s: %s\n", err->where, err->text);
    return 1;
}
#endif
