/* SPDX-License-Identifier: MIT
 *
 * Buffers and data sets of the backends that compute in the host's memory. */
#include "ops/base/status.h"
#include "ops/math/op.h"
#include <string.h>

hone_status hn_host_put(void *dev, void *buf, size_t off, const void *src, size_t n,
                        hone_error *err)
{
    (void)dev, (void)err;
    if (n) memcpy((char *)buf + off, src, n);
    return HONE_OK;
}

hone_status hn_host_get(void *dev, const void *buf, size_t off, void *dst, size_t n,
                        hone_error *err)
{
    (void)dev, (void)err;
    if (n) memcpy(dst, (const char *)buf + off, n);
    return HONE_OK;
}

hone_status hn_host_copy(void *dev, void *dst, const void *src, size_t n, hone_error *err)
{
    (void)dev, (void)err;
    if (n) memcpy(dst, src, n);
    return HONE_OK;
}

hone_status hn_host_bind(void *dev, const struct hn_dataset *set, void **handle, hone_error *err)
{
    (void)dev;
    *handle = NULL;
    for (int i = 0; i < set->n_inputs + set->n_targets; i++) {
        const struct hn_column *c =
            i < set->n_inputs ? &set->inputs[i] : &set->targets[i - set->n_inputs];
        if (c->data && hn_dtype_size(c->dtype) == 0)
            return hn_fail(err, HONE_E_DATA, "the data set", "column %d holds %s, wanted numbers",
                           i, hn_dtype_name(c->dtype));
    }
    *handle = (void *)(uintptr_t)set;
    return HONE_OK;
}

void hn_host_unbind(void *dev, void *handle) { (void)dev, (void)handle; }
