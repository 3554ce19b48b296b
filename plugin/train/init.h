/* SPDX-License-Identifier: MIT
 *
 * Fresh weights. Element i of parameter p (counted in the file's order, whatever the slab's orientation) is number i of
 * stream HN_STREAM_INIT + p, so that weights depend on the key and the program alone.
 *
 *   fresh   He-uniform before rectifiers, else Xavier-uniform
 *   he      uniform in ±sqrt(6 / fan_in)
 *   xavier  uniform in ±sqrt(6 / (fan_in + fan_out))
 *   normal  normal with standard deviation std
 *
 * Biases 0; scale and shift of a normalisation, or beside a layer, 1 and 0; slopes of PRelu 0.25; running mean and variance 0
 * and 1. Frozen parameters, what no loss reaches, running statistics of a frozen BatchNormalization, and trained tensors of no known kind (a learned
 * factor) keep what they have. */
#ifndef HN_INIT_H
#define HN_INIT_H

#include "ops/math/op.h"

enum hn_init { HN_INIT_KEEP, HN_INIT_FRESH, HN_INIT_HE, HN_INIT_XAVIER, HN_INIT_NORMAL };

/* "keep", "fresh", "he", "xavier", "normal=STD" (HONE_E_USAGE otherwise). */
hone_status hn_init_parse(const char *text, enum hn_init *kind, double *std, hone_error *err);
/* Fills host slab w of elem-byte elements (4 or 8). */
void hn_init_weights(const struct hn_program *prog, enum hn_init kind, double std,
                     const uint32_t key[2], void *w, size_t elem);
/* Does it leave a trained parameter as it is? */
int hn_init_leaves(const struct hn_program *prog, int param);
#endif
