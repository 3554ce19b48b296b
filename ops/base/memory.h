/* SPDX-License-Identifier: MIT
 *
 * The one choke point of memory. All of Hone's own code and protobuf-c allocate through a hn_mem: budgets and failure
 * injection live here. Blocks are 64-byte aligned and remember their size, so that a budget can be kept.
 * A budget counts a block with its administration (about 90 bytes). hn_mem is thread-safe when its allocator is (malloc
 * is); an arena belongs to one thread at a time. */
#ifndef HN_MEMORY_H
#define HN_MEMORY_H

#include "ops/base/hone_status.h"
#include <stdatomic.h>

struct hn_mem {
    void *(*alloc)(void *user, size_t size); /* at least 16-byte aligned, NULL on failure */
    void (*release)(void *user, void *p);
    void *user;
    size_t budget;      /* bytes that may be live at once; 0 = no limit */
    atomic_size_t used; /* live bytes */
    atomic_size_t peak;
    atomic_size_t count; /* allocations ever made: a training step must not move it */
    /* of the allocation that failed last: bytes, administration included, and live ones then, where the budget refused it; 0
     * where it did not */
    atomic_size_t over, over_used;
};

void hn_mem_init(struct hn_mem *m, size_t budget); /* malloc and free */

void *hn_alloc(struct hn_mem *m, size_t size); /* not cleared; NULL on failure; size 0 is 1 */
void *hn_calloc(struct hn_mem *m, size_t n, size_t size); /* cleared, overflow-checked */
void *hn_realloc(struct hn_mem *m, void *p, size_t n,
                 size_t size);           /* p may be NULL; old block kept on failure */
void hn_free(struct hn_mem *m, void *p); /* NULL allowed */
char *hn_strdup(struct hn_mem *m, const char *s);

/* At the end of every public call: HONE_E_BUDGET in place of HONE_E_NOMEM, and the numbers added to what err says, where it was
 * the budget that refused the last allocation. Within the library both are HONE_E_NOMEM. */
hone_status hn_nomem_why(struct hn_mem *m, hone_status st, hone_error *err);

/* Bump arena for things that die together (a graph, a program, a run's names). Cleared memory, 16-byte aligned. */
struct hn_arena {
    struct hn_mem *mem;
    struct hn_chunk *chunks;
};
void hn_arena_init(struct hn_arena *a, struct hn_mem *m);
void *hn_arena_alloc(struct hn_arena *a, size_t n,
                     size_t size); /* overflow-checked; NULL on failure */
char *hn_arena_strdup(struct hn_arena *a, const char *s);
char *hn_arena_strndup(struct hn_arena *a, const char *s, size_t n);
char *hn_arena_printf(struct hn_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void hn_arena_clear(
    struct hn_arena *a); /* frees all; the arena may be used again; zeroed arena allowed */

/* Growable array: HN_PUSH(mem, v, n, cap, x) appends x to v[n++], growing v through hn_realloc; yields 0 on failure. */
int hn_grow(struct hn_mem *m, void **v, size_t n, size_t *cap, size_t size);
#define HN_PUSH(mem, v, n, cap, x)                                                                 \
    (hn_grow(mem, (void **)&(v), n, &(cap), sizeof *(v)) ? ((v)[(n)++] = (x), 1) : 0)

/* Checked arithmetic: return 0 on overflow or a negative result. */
int hn_mul_i64(int64_t a, int64_t b, int64_t *out);
int hn_add_i64(int64_t a, int64_t b, int64_t *out);
#endif
