/* SPDX-License-Identifier: MIT
 *
 * Many threads on one device. A gang is a backend in front of another one: each of its users trains a replica of its own as
 * if it were alone, and calls of run() that could share a launch are made one call of the backend behind, a slot each.
 *
 *   device   every call behind is made by one thread at a time
 *   data     sets with the same content are bound once, for as long as anybody uses them
 *   group    prepared plans that are the same but for names, rates and max_rows (rounded up) are one plan of `slots` slots, made
 *            from copies. A pass of training or evaluation; other passes, and what the backend refuses for several slots
 *            (HONE_E_UNSUPPORTED: cuDNN, products on tensor cores), are prepared for one slot and run one after the other
 *   round    whoever finds the device free runs the calls that wait in one group, as many steps as suit them; calls with more
 *            steps go on in the next round. Nobody waits for long for others to come: that decides about speed only
 *
 * A result depends on the group's plan and its slots, which follow from the member's own plan and from `slots`; not on who
 * else is there, on the order of calls or on how steps are dealt out to rounds. An error of the backend is the error of all
 * calls of that round. */
#ifndef HN_TUNE_GANG_H
#define HN_TUNE_GANG_H

#include "ops/math/op.h"

struct hn_gang;
/* In front of an open device, which stays the caller's. slots < 2: nothing is gathered. */
hone_status hn_gang_create(struct hn_mem *mem, const struct hn_backend *backend, void *dev,
                           int slots, struct hn_gang **out, hone_error *err);
/* Everything prepared, bound and allocated through it must be gone; NULL allowed. */
void hn_gang_destroy(struct hn_gang *g);
/* What its users take for a backend, with the gang as device; it may be used by many threads, a replica by one at a time. Has
 * no open and no state beyond slabs. close is hn_gang_destroy. */
const struct hn_backend *hn_gang_backend(const struct hn_gang *g);

struct hn_gang_counts {
    int64_t calls;              /* of run by members of groups */
    int64_t runs;               /* of the backend for these */
    int groups, sets, prepared; /* there now; plans prepared for groups, ever */
};
struct hn_gang_counts hn_gang_count(struct hn_gang *g);
#endif
