/* SPDX-License-Identifier: MIT
 *
 * Which backend runs a job: the only place that knows them all. float64 goes to the reference
 * kernels, float32 to the CPU's. A GPU backend comes from a module beside the library, loaded only
 * for "cuda". "auto" chooses by what was measured (gpu/RESULTS.md), and as long as nothing was, it
 * means the CPU: a GPU is not used unasked before its results have been seen to be right. */
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include "ops/cpu/backend.h"
#include "plugin/gpu_module.h"
#include "plugin/internal.h"
#include <cblas.h>
#include <string.h>

const char *hn_device_why_no_gpu(void)
{
    const struct hn_module *module;
    const struct hn_backend *b;
    struct hn_mem mem;
    hone_error ignored;
    void *dev;
    const char *why = hn_gpu_module_load(&module);
    if (why) return why;
    hn_mem_init(&mem, 0);
    if (hn_gpu_module_open(&mem, 0, 0, &b, &dev, &ignored) != HONE_OK)
        return "the GPU module and a driver are there, but no device could be opened";
    b->close(dev);
    return NULL;
}

/* "cuda" or "cuda:N" */
static int is_cuda(const char *device, int64_t *n)
{
    *n = 0;
    if (strncmp(device, "cuda", 4) != 0) return 0;
    return !device[4] ||
           (device[4] == ':' && hn_parse_i64(device + 5, strlen(device + 5), n) && *n >= 0);
}

static hone_status open_gpu(hone_context *ctx, int64_t ordinal, enum hn_dtype dtype,
                            struct hn_device *out, hone_error *err)
{
    struct hn_device d = { .threads = 1 };
    HN_TRY(hn_gpu_module_open(&ctx->mem, ordinal, dtype == HN_F64, &d.backend, &d.dev, err));
    *out = d;
    return HONE_OK;
}

hone_status hn_device_open(hone_context *ctx, const char *device, int threads, enum hn_dtype dtype,
                           struct hn_device *out, hone_error *err)
{
    int64_t ordinal;
    hone_error why = { 0 };
    *out = (struct hn_device){ 0 };
    if (is_cuda(device, &ordinal)) {
        if (open_gpu(ctx, ordinal, dtype, out, &why) == HONE_OK) return HONE_OK;
        return hn_hint(
            err,
            hn_fail(err, HONE_E_DEVICE, "device", "'%s' was asked for, but %s", device, why.text),
            "--device cpu, or auto");
    }
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
