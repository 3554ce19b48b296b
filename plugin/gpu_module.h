/* SPDX-License-Identifier: MIT
 *
 * The GPU module, a library of its own that is loaded when a GPU is asked for or there. */
#ifndef HN_GPU_MODULE_H
#define HN_GPU_MODULE_H

#include "ops/math/op.h"

struct hn_module;
/* Loads it; NULL, or why there is none (static text). Does not touch a device. */
const char *hn_gpu_module_load(const struct hn_module **out);
struct hn_gpu_ask {
    int64_t ordinal; /* which device */
    int is_double;
    int threads;                               /* of the host's, at most; 0 as 1 */
    const char *math, *bn_impl, *dropout_impl; /* NULL: the module's own default */
};
/* The module's backend for float or double. HONE_E_DEVICE with the reason; HONE_E_USAGE when it cannot do as asked. */
hone_status hn_gpu_module_open(struct hn_mem *mem, const struct hn_gpu_ask *ask,
                               const struct hn_backend **backend, void **dev, hone_error *err);
#endif
