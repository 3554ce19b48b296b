/* SPDX-License-Identifier: MIT
 *
 * Which number went wrong first. After a loss that is not finite: the first parameter of the program that is not finite,
 * else the offending batch is computed again, operation by operation with the reference kernels in double, and the first
 * value that is not finite (or beyond float's range where training runs in float) is named. */
#ifndef HN_DIAGNOSE_H
#define HN_DIAGNOSE_H

#include "plugin/train/interpret.h"

/* The first parameter with a value that is not finite in host slab w, or NULL. */
const char *hn_first_bad_param(const struct hn_program *prog, const void *w, size_t elem);

/* The name into text: "fc1.weight", "output of Gemm_3 (dense)", "the loss". HONE_E_NOMEM, else HONE_OK. */
hone_status hn_diagnose_batch(struct hn_mem *mem, const struct hn_interpret_opts *o, char *text,
                              size_t size, hone_error *err);
#endif
