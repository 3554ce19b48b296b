/* SPDX-License-Identifier: MIT
 *
 * One program on one batch, for the checks that are not training: verify, gradcheck, the probe
 * after saving. Holds the plan, the weights and the gradients of one replica; rows are always
 * the first rows of its data set. */
#ifndef HN_RUNNER_H
#define HN_RUNNER_H

#include "plugin/internal.h"

struct hn_runner {
    struct hn_mem *mem;
    const struct hn_backend *backend;
    void *dev; /* both borrowed from a hn_device */
    const struct hn_program *prog;
    struct hn_plan *plan;
    void *exec, *bound;
    struct hn_hyper hyper;
    struct hn_replica replica;
    int64_t rows;
};

/* A zeroed struct may be freed; after a failure nothing needs to be. prog and set must outlive
 * the runner. */
hone_status hn_runner_open(struct hn_runner *r, hone_context *ctx, const struct hn_device *d,
                           const struct hn_program *prog, enum hn_pass pass,
                           const struct hn_dataset *set, hone_error *err);
void hn_runner_close(struct hn_runner *r);
/* Host slab W in, n elements from `first` on. */
hone_status hn_runner_weights(struct hn_runner *r, const void *w, size_t first, size_t n,
                              hone_error *err);
/* One batch of all rows. partial: 2 doubles per loss, set to 0 here; out: host buffers per
 * output; either may be NULL. */
hone_status hn_runner_run(struct hn_runner *r, double *partial, void *const *out, hone_error *err);
/* The gradients of the last run (HN_PASS_GRAD): n_trained elements. */
hone_status hn_runner_gradients(struct hn_runner *r, void *dw, hone_error *err);
#endif
