/* SPDX-License-Identifier: MIT
 *
 * What a program computes without any input of the graph: weights made of parameters, weights that are rounded. Where the
 * weights stay as they are it is computed once, with the same bits. */
#ifndef HN_FIXED_H
#define HN_FIXED_H

#include "plugin/internal.h"

struct hn_fixed {
    struct hn_program prog;     /* computes them, over the same slab; borrows from the session's */
    const struct hn_param **to; /* per output: where it lies in slab W */
};
/* Takes them out of the session's program, which has not been planned, and makes parameters of them. */
hone_status hn_fixed_split(struct hn_session *s, struct hn_fixed *f, hone_error *err);
/* Computes them into slab W, which has the other parameters. */
hone_status hn_fixed_compute(const struct hn_fixed *f, const struct hn_session *s,
                             struct hn_replica *r, hone_error *err);

#endif
