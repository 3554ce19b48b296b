/* SPDX-License-Identifier: MIT
 *
 * Finding and loading the GPU module: libhone_cuda.so beside this library (or beside the program it is linked into), never
 * from the working directory or a search path. The CUDA libraries take a while to load, so the cheap questions come first:
 * is the module there, is a driver there. A loaded module stays: its libraries must not be loaded twice. */
#include "plugin/gpu_module.h"
#include "hone.h"
#include "ops/base/host.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 4096 };

static void shape_count(const struct hn_shape *s, int64_t count[2])
{
    struct hn_dim n = hn_shape_count(s);
    count[0] = n.per_row, count[1] = n.fixed;
}

static uint32_t optim_slabs(int optimizer, double momentum)
{
    return hn_optim_slabs((enum hn_optimizer)optimizer, momentum);
}

static const struct hn_host_functions functions = {
    .size = sizeof functions,
    .build = HN_VERSION,
    .fail = hn_fail,
    .nomem = hn_nomem,
    .calloc = hn_calloc,
    .free = hn_free,
    .arena_init = hn_arena_init,
    .arena_alloc = hn_arena_alloc,
    .arena_clear = hn_arena_clear,
    .dtype_size = hn_dtype_size,
    .dtype_name = hn_dtype_name,
    .convert = hn_convert,
    .shape_count = shape_count,
    .optim_slabs = optim_slabs,
    .pool_create = hn_pool_create,
    .pool_destroy = hn_pool_destroy,
    .pool_run = hn_pool_run,
};

/* Where the module would be; 0 when this library's own place is not known. */
static int module_path(char *path, size_t size)
{
    Dl_info info;
    if (!dladdr((const void *)&functions, &info) || !info.dli_fname) return 0;
    const char *slash = strrchr(info.dli_fname, '/');
    if (!slash) return 0;
    int n =
        snprintf(path, size, "%.*s/libhone_cuda.so", (int)(slash - info.dli_fname), info.dli_fname);
    return n > 0 && (size_t)n < size;
}

const char *hn_gpu_module_load(const struct hn_module **out)
{
    char path[PATH];
    *out = NULL;
    if (!module_path(path, sizeof path) || access(path, R_OK) != 0)
        return "this build of Hone has no GPU module";
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!driver) return "no NVIDIA driver is installed: libcuda.so.1 is not found";
    dlclose(driver);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!so) return "libhone_cuda.so cannot be loaded: a CUDA library it needs is missing";
    hn_module_entry *entry;
    void *symbol = dlsym(so, "hone_cuda_module");
    memcpy(&entry, &symbol, sizeof entry);
    const struct hn_module *m = symbol ? entry(&functions) : NULL;
    dlclose(so);
    if (!m || m->size != sizeof *m || strcmp(m->build, HN_VERSION) != 0 ||
        m->f32->size != sizeof(struct hn_backend) || m->f64->size != sizeof(struct hn_backend) ||
        strcmp(m->f32->build, HN_VERSION) != 0)
        return "libhone_cuda.so is of another build of Hone";
    *out = m;
    return NULL;
}

hone_status hn_gpu_module_open(struct hn_mem *mem, const struct hn_gpu_ask *ask,
                               const struct hn_backend **backend, void **dev, hone_error *err)
{
    const struct hn_module *m;
    char options[128];
    const char *why = hn_gpu_module_load(&m);
    if (why) return hn_fail(err, HONE_E_DEVICE, "device", "%s", why);
    struct hn_host host = { sizeof host, mem, ask->threads > 1 ? ask->threads : 1 };
    const struct hn_backend *b = ask->is_double ? m->f64 : m->f32;
    (void)snprintf(options, sizeof options, "device=%d,math=%s,bn-impl=%s,dropout-impl=%s",
                   ask->ordinal < INT_MAX ? (int)ask->ordinal : INT_MAX,
                   ask->math ? ask->math : "fp32", ask->bn_impl ? ask->bn_impl : "auto",
                   ask->dropout_impl ? ask->dropout_impl : "auto");
    HN_TRY(b->open(&host, options, dev, err));
    *backend = b;
    return HONE_OK;
}
