/* SPDX-License-Identifier: MIT
 *
 * A backend that behaves like a device without being one, to prove that its host keeps to the contract of hn_backend:
 *
 *   memory   buffers and bound data sets are inaccessible (PROT_NONE) except while the backend itself works: a host that
 *            reads or writes a slab directly crashes. A data set is copied when it is bound, as a device would.
 *   late     put and copy are queued and done at the next get, run or release; what a run leaves in slots (partial, out,
 *            bad_step, clock) appears when run returns, all at once.
 *   order    slots advance step by step together, last slot first; a replica's numbers must not depend on it.
 *   refusal  offers() says no where the options say so, and prepare() refuses such a plan.
 *   state    each slot of an executable has 8 bytes of state (batches run) to be saved and restored.
 *
 * Numbers come from the reference backend's kernels: results are those of hn_backend_reference bit for bit.
 *
 * Options, separated by commas: refuse=NAME (a program op), some=SEED (refuses about a third of the op table, by SEED),
 * limit=BYTES (alloc fails beyond that many). */
#ifndef HN_TEST_SHADOW_H
#define HN_TEST_SHADOW_H

#include "ops/math/op.h"

extern const struct hn_backend hn_backend_shadow;
#endif
