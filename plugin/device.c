/* SPDX-License-Identifier: MIT
 *
 * Which backend runs a job: the only place that knows them all. float64 goes to the reference
 * kernels, float32 to the CPU's. A GPU backend comes from a module beside the library; as long
 * as none is loaded, asking for one is an error that says why, and "auto" means the CPU. */
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include "ops/cpu/backend.h"
#include "plugin/internal.h"
#include <cblas.h>
#include <string.h>

const char *hn_device_why_no_gpu(void) { return "this build of Hone has no GPU module"; }

/* "cuda" or "cuda:N" */
static int is_cuda(const char *device)
{
    int64_t n;
    if (strncmp(device, "cuda", 4) != 0) return 0;
    return !device[4] ||
           (device[4] == ':' && hn_parse_i64(device + 5, strlen(device + 5), &n) && n >= 0);
}

hone_status hn_device_open(hone_context *ctx, const char *device, int threads, enum hn_dtype dtype,
                           struct hn_device *out, hone_error *err)
{
    *out = (struct hn_device){ 0 };
    if (is_cuda(device))
        return hn_hint(err,
                       hn_fail(err, HONE_E_DEVICE, "device", "'%s' was asked for, but %s", device,
                               hn_device_why_no_gpu()),
                       "--device cpu, or auto");
    if (strcmp(device, "auto") != 0 && strcmp(device, "cpu") != 0)
        return hn_fail(err, HONE_E_USAGE, "device", "found '%s', wanted auto, cpu, cuda or cuda:N",
                       device);
    struct hn_device d = { .backend = &hn_backend_cpu, .threads = threads };
    if (dtype == HN_F64) d.backend = &hn_backend_reference, d.threads = 1;
    if (d.threads < 1) d.threads = hn_cpu_count();
    struct hn_host host = { sizeof host, &ctx->mem, d.threads };
    HN_TRY(d.backend->open(&host, "", &d.dev, err));
    *out = d;
    return HONE_OK;
}

void hn_device_close(struct hn_device *d)
{
    if (d->backend) d->backend->close(d->dev);
    *d = (struct hn_device){ 0 };
}

const char *hn_device_core(const struct hn_backend *b, void *dev, struct hn_arena *a)
{
    if (b == &hn_backend_reference) return "double";
    if (b != &hn_backend_cpu) return b->name;
    return hn_arena_printf(a, "%s, OpenBLAS %s", hn_cpu_isa_name(dev), openblas_get_corename());
}
