/* SPDX-License-Identifier: MIT
 *
 * Blocks: [ slack | raw pointer, total size | 64-byte aligned user bytes | slack ]. A budget counts total sizes, so
 * that a million tiny blocks cannot hide. Under AddressSanitizer the slack behind a block and the gaps of an arena are
 * poisoned, because the alignment would hide short overruns. */
#include "ops/base/memory.h"
#include "ops/base/format.h"
#include "ops/base/status.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HN_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HN_ASAN 1
#endif
#ifdef HN_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
enum { ARENA_GAP = 16 };
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { ARENA_GAP = 0 };
#endif

enum {
    ALIGN = 64,
    OVERHEAD = sizeof(struct {
                   void *raw;
                   size_t total, size;
               }) +
               ALIGN - 1
};

struct head {
    void *raw;
    size_t total, size;
};

static void *plain_alloc(void *user, size_t size) { return (void)user, malloc(size); }
static void plain_release(void *user, void *p) { (void)user, free(p); }

void hn_mem_init(struct hn_mem *m, size_t budget)
{
    m->alloc = plain_alloc;
    m->release = plain_release;
    m->user = NULL;
    m->budget = budget;
    atomic_init(&m->used, 0);
    atomic_init(&m->peak, 0);
    atomic_init(&m->count, 0);
    atomic_init(&m->over, 0);
    atomic_init(&m->over_used, 0);
}

static struct head *head_of(void *p) { return (struct head *)p - 1; }

/* Adds total to the live bytes unless the budget forbids it. */
static int reserve(struct hn_mem *m, size_t total)
{
    size_t limit = m->budget ? m->budget : PTRDIFF_MAX;
    size_t old = atomic_load_explicit(&m->used, memory_order_relaxed);
    do {
        if (total > limit || old > limit - total) {
            atomic_store_explicit(&m->over_used, old, memory_order_relaxed);
            atomic_store_explicit(&m->over, m->budget ? total : 0, memory_order_relaxed);
            return 0;
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->used, &old, old + total,
                                                    memory_order_relaxed, memory_order_relaxed));
    size_t peak = atomic_load_explicit(&m->peak, memory_order_relaxed);
    while (peak < old + total &&
           !atomic_compare_exchange_weak_explicit(&m->peak, &peak, old + total,
                                                  memory_order_relaxed, memory_order_relaxed)) {}
    return 1;
}

void *hn_alloc(struct hn_mem *m, size_t size)
{
    if (size == 0) size = 1;
    if (size > PTRDIFF_MAX - OVERHEAD) return NULL;
    size_t total = size + OVERHEAD;
    if (!reserve(m, total)) return NULL;
    atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed);
    char *raw = m->alloc(m->user, total);
    if (!raw) {
        atomic_store_explicit(&m->over, 0, memory_order_relaxed);
        atomic_fetch_sub_explicit(&m->used, total, memory_order_relaxed);
        return NULL;
    }
    uintptr_t first = (uintptr_t)raw + sizeof(struct head);
    char *p = raw + sizeof(struct head) + (-first & (ALIGN - 1));
    *head_of(p) = (struct head){ raw, total, size };
    POISON(p + size, (size_t)(raw + total - (p + size)));
    return p;
}

void *hn_calloc(struct hn_mem *m, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return NULL;
    void *p = hn_alloc(m, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *hn_realloc(struct hn_mem *m, void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return NULL;
    void *q = hn_alloc(m, bytes);
    if (!q || !p) return q;
    size_t old = head_of(p)->size;
    memcpy(q, p, old < bytes ? old : bytes);
    hn_free(m, p);
    return q;
}

void hn_free(struct hn_mem *m, void *p)
{
    if (!p) return;
    struct head h = *head_of(p);
    UNPOISON(p, h.total - (size_t)((char *)p - (char *)h.raw));
    m->release(m->user, h.raw);
    atomic_fetch_sub_explicit(&m->used, h.total, memory_order_relaxed);
}

char *hn_strdup(struct hn_mem *m, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = hn_alloc(m, n);
    return p ? memcpy(p, s, n) : NULL;
}

hone_status hn_nomem_why(struct hn_mem *m, hone_status st, hone_error *err)
{
    if (st != HONE_E_NOMEM) return st;
    const size_t over = atomic_load(&m->over);
    if (!over) return st;
    hn_fail(err, HONE_E_BUDGET, err ? err->where : "",
            "%s (memory_budget is %zu bytes: %zu were in use, %zu more were asked for)",
            err ? err->text : "", m->budget, atomic_load(&m->over_used), over);
    return hn_hint(err, HONE_E_BUDGET, "a larger memory_budget of hone_context_opts, or 0");
}

/* ---- arena ---- */

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20 };

struct hn_chunk {
    struct hn_chunk *next;
    size_t used, cap;
    _Alignas(16) char bytes[];
};

void hn_arena_init(struct hn_arena *a, struct hn_mem *m) { *a = (struct hn_arena){ .mem = m }; }

/* A new first chunk with room for `need` bytes; each is twice as large as the one before, up to a limit. */
static struct hn_chunk *add_chunk(struct hn_arena *a, size_t need)
{
    size_t cap = a->chunks ? a->chunks->cap * 2 : FIRST_CHUNK;
    if (cap > LARGEST_CHUNK) cap = LARGEST_CHUNK;
    if (cap < need) cap = need;
    struct hn_chunk *c = hn_calloc(a->mem, 1, sizeof *c + cap);
    if (!c) return NULL;
    c->cap = cap;
    c->next = a->chunks;
    a->chunks = c;
    POISON(c->bytes, cap);
    return c;
}

void *hn_arena_alloc(struct hn_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX - 4096) return NULL;
    size_t need = ((bytes ? bytes : 1) + ARENA_GAP + 15) & ~(size_t)15;
    struct hn_chunk *c = a->chunks;
    if (!c || c->cap - c->used < need) c = add_chunk(a, need);
    if (!c) return NULL;
    void *p = c->bytes + c->used;
    c->used += need;
    UNPOISON(p, bytes ? bytes : 1);
    return p;
}

char *hn_arena_strndup(struct hn_arena *a, const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *p = hn_arena_alloc(a, n + 1, 1);
    return p && n ? memcpy(p, s, n) : p;
}

char *hn_arena_strdup(struct hn_arena *a, const char *s)
{
    return hn_arena_strndup(a, s, strlen(s));
}

static int count_piece(void *user, const char *p, size_t n)
{
    (void)p;
    *(size_t *)user += n;
    return 0;
}

char *hn_arena_printf(struct hn_arena *a, const char *fmt, ...)
{
    size_t n = 1;
    va_list ap;
    va_start(ap, fmt);
    int rc = hn_format(count_piece, &n, fmt, ap);
    char *p = rc ? NULL : hn_arena_alloc(a, n, 1);
    if (p) hn_format_into(p, n, fmt, ap);
    va_end(ap);
    return p;
}

void hn_arena_clear(struct hn_arena *a)
{
    while (a->chunks) {
        struct hn_chunk *c = a->chunks;
        a->chunks = c->next;
        UNPOISON(c->bytes, c->cap);
        hn_free(a->mem, c);
    }
}

/* ---- growable arrays and checked arithmetic ---- */

int hn_grow(struct hn_mem *m, void **v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return 1;
    size_t more = *cap ? *cap * 2 : 8;
    if (more <= n) more = n + 1;
    void *p; /* *v is some T *: its bytes are moved, because a void * may not alias it */
    memcpy(&p, v, sizeof p);
    if (more <= *cap || !(p = hn_realloc(m, p, more, size))) return 0;
    memcpy(v, &p, sizeof p);
    *cap = more;
    return 1;
}

int hn_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r) || r < 0) return 0;
    *out = r;
    return 1;
}

int hn_add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r) || r < 0) return 0;
    *out = r;
    return 1;
}
