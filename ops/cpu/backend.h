/* SPDX-License-Identifier: MIT
 *
 * The CPU backend: float32, kernels compiled for several instruction sets and chosen at open. Options are "key=value" pairs separated by commas:
 *   isa=avx512|avx2|base   at most this instruction set (default: the best this machine has) */
#ifndef HN_CPU_BACKEND_H
#define HN_CPU_BACKEND_H

#include "ops/math/op.h"

extern const struct hn_backend hn_backend_cpu;

/* The instruction set a device runs with: "avx512", "avx2" or "base". For reports and tests. */
const char *hn_cpu_isa_name(const void *dev);
#endif
