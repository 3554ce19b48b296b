/* SPDX-License-Identifier: MIT
 *
 * One batch through a program with every value in sight: each gets memory of its own, operations run forward in order with
 * the reference kernels in double. Slow and plain, for the few questions a backend cannot answer: which value went wrong
 * first, what the inputs of a layer are like. */
#ifndef HN_INTERPRET_H
#define HN_INTERPRET_H

#include "plugin/internal.h"

struct hn_interpret_opts {
    const struct hn_program *prog;
    const struct hn_replica *r; /* key, clock and hyper-parameters; its slabs are not read */
    const struct hn_dataset *set;
    const uint32_t *rows;
    int64_t n_rows;
    const void *w; /* host slab W of elem-byte elements */
    size_t elem;
    int train; /* dropout and batch statistics; no statistics are updated */
};

struct hn_interpreter {
    struct hn_interpret_opts o;
    struct hn_arena arena;
    double **value; /* by value number; NULL: a target that is absent */
    struct hn_extent *extent;
    double *w;      /* slab W in double */
    double loss[2]; /* of the last operation, if it was a loss: weighted sum, sum of weights */
};

/* Everything placed, inputs and targets gathered. HONE_E_NOMEM. close accepts a zeroed struct. */
hone_status hn_interpret_open(struct hn_interpreter *it, struct hn_mem *mem,
                              const struct hn_interpret_opts *o, hone_error *err);
void hn_interpret_close(struct hn_interpreter *it);
/* Runs operation k; those before it must have run. HONE_E_NOMEM. */
hone_status hn_interpret_op(struct hn_interpreter *it, int32_t k, hone_error *err);
#endif
