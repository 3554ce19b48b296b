/* SPDX-License-Identifier: MIT
 *
 * Sobol points from the direction numbers of Joe and Kuo ("Constructing Sobol sequences with better two-dimensional
 * projections", SIAM J. Sci. Comput. 30, 2008; set new-joe-kuo-6.21201): the first HN_SOBOL_AXES dimensions, in Gray code
 * order. Coordinates beyond come from hn_rng. Scrambled (key not NULL) by a random lower triangular matrix and a random shift
 * for each dimension (Matousek's linear scramble), so that every key has its own points and the net keeps its balance. */
#ifndef HN_SOBOL_H
#define HN_SOBOL_H

#include <stdint.h>

enum { HN_SOBOL_AXES = 64 };
struct hn_sobol {
    uint32_t v[32], shift;
    uint32_t key[2], stream; /* of a dimension without direction numbers */
    int random, scrambled;
};
/* Dimension `dim` from 0. key NULL: unscrambled. */
void hn_sobol_init(struct hn_sobol *s, int dim, const uint32_t key[2], uint32_t stream);
/* Its coordinate of point i: in [0,1) unscrambled, in (0,1) scrambled. */
double hn_sobol_at(const struct hn_sobol *s, uint32_t i);
#endif
