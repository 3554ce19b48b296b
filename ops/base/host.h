/* SPDX-License-Identifier: MIT
 *
 * What a loadable backend gets from the library, and how it is asked for its backends. A module links none of the library's
 * objects: it calls these functions. Module and library are version-locked: `build` must be equal on both sides, so that
 * this is no public ABI and may change with every release. */
#ifndef HN_HOST_H
#define HN_HOST_H

#include "ops/base/memory.h"
#include "ops/base/tensor.h"

struct hn_pool;
struct hn_shape;
struct hn_backend;

struct hn_host_functions {
    uint32_t size;
    const char *build;
    hone_status (*fail)(hone_error *err, hone_status code, const char *where, const char *fmt, ...);
    hone_status (*nomem)(hone_error *err, const char *what, size_t n);
    void *(*calloc)(struct hn_mem *m, size_t n, size_t size);
    void (*free)(struct hn_mem *m, void *p);
    void (*arena_init)(struct hn_arena *a, struct hn_mem *m);
    void *(*arena_alloc)(struct hn_arena *a, size_t n, size_t size);
    void (*arena_clear)(struct hn_arena *a);
    size_t (*dtype_size)(enum hn_dtype t);
    const char *(*dtype_name)(enum hn_dtype t);
    void (*convert)(void *dst, enum hn_dtype to, const void *src, enum hn_dtype from, int64_t n);
    void (*shape_count)(const struct hn_shape *s, int64_t count[2]); /* per_row, fixed */
    uint32_t (*optim_slabs)(int optimizer, double momentum);
    /* pool.h */
    hone_status (*pool_create)(struct hn_mem *m, int threads, struct hn_pool **out,
                               hone_error *err);
    void (*pool_destroy)(struct hn_pool *p);
    void (*pool_run)(struct hn_pool *p, int n, void (*fn)(void *user, int i, int worker),
                     void *user);
};

struct hn_module { /* what a module answers with; constant, alive as long as the module */
    uint32_t size;
    const char *build, *name;
    const struct hn_backend *f32, *f64;
};
/* The one symbol a module exports, "hone_cuda_module". NULL when it refuses the host. */
typedef const struct hn_module *hn_module_entry(const struct hn_host_functions *host);
#endif
