/* SPDX-License-Identifier: MIT
 *
 * The module's one exported symbol, and the host's functions under the names that our headers give them. The table is the same for
 * every caller in a process (it is the library's own), so it is kept in one pointer, set before anything else can run. */
#include "gpu/backend.h"
#include "ops/base/host.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic(const struct hn_host_functions *) host;

static const struct hn_module module = { sizeof module, HN_VERSION, "cuda", &hn_backend_cuda_f32,
                                         &hn_backend_cuda_f64 };

__attribute__((visibility("default"))) const struct hn_module *
hone_cuda_module(const struct hn_host_functions *functions);
const struct hn_module *hone_cuda_module(const struct hn_host_functions *functions)
{
    if (functions->size != sizeof *functions || strcmp(functions->build, HN_VERSION) != 0)
        return NULL;
    atomic_store(&host, functions);
    return &module;
}

static const struct hn_host_functions *of(void)
{
    return atomic_load_explicit(&host, memory_order_acquire);
}

hone_status hn_fail(hone_error *err, hone_status code, const char *where, const char *fmt, ...)
{
    char text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return of()->fail(err, code, where, "%s", text);
}
hone_status hn_nomem(hone_error *err, const char *what, size_t n)
{
    return of()->nomem(err, what, n);
}
void *hn_calloc(struct hn_mem *m, size_t n, size_t size) { return of()->calloc(m, n, size); }
void hn_free(struct hn_mem *m, void *p) { of()->free(m, p); }
void hn_arena_init(struct hn_arena *a, struct hn_mem *m) { of()->arena_init(a, m); }
void *hn_arena_alloc(struct hn_arena *a, size_t n, size_t size)
{
    return of()->arena_alloc(a, n, size);
}
void hn_arena_clear(struct hn_arena *a) { of()->arena_clear(a); }
size_t hn_dtype_size(enum hn_dtype t) { return of()->dtype_size(t); }
const char *hn_dtype_name(enum hn_dtype t) { return of()->dtype_name(t); }
void hn_convert(void *dst, enum hn_dtype to, const void *src, enum hn_dtype from, int64_t n)
{
    of()->convert(dst, to, src, from, n);
}
struct hn_dim hn_shape_count(const struct hn_shape *s)
{
    int64_t n[2];
    of()->shape_count(s, n);
    return (struct hn_dim){ n[0], n[1] };
}
uint32_t hn_optim_slabs(enum hn_optimizer o, double momentum)
{
    return of()->optim_slabs((int)o, momentum);
}
hone_status hn_pool_create(struct hn_mem *m, int threads, struct hn_pool **out, hone_error *err)
{
    return of()->pool_create(m, threads, out, err);
}
void hn_pool_destroy(struct hn_pool *p) { of()->pool_destroy(p); }
void hn_pool_run(struct hn_pool *p, int n, void (*fn)(void *user, int i, int worker), void *user)
{
    of()->pool_run(p, n, fn, user);
}
