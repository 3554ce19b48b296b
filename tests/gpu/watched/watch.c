/* SPDX-License-Identifier: MIT
 *
 * Races of the GPU's kernels found without a GPU. The kernels are compiled as C with the calls that a thread sanitizer wants at
 * every access, and this is what they call. Threads of a block run one after the other, phase by phase, so nothing goes wrong by
 * chance; but each access is noted, and two threads that touch the same bytes in one phase, one of them writing, are told of: on a
 * GPU a barrier would be missing there. What a kernel does outside its phases all threads do, before the barrier of the next one.
 * The same for blocks of one launch, which have no order; and for asynchronous copies, which arrive when they are waited for and
 * whose target nobody may touch until then. And for what a kernel does before its turn, beside any number of kernels before it:
 * what one of those wrote since the host last had a hand in is not there yet, and what is loaded from beside it would stay in a
 * processor's cache as it was.
 *
 * A thread's own variables are on the stack, which is not looked at; what a block shares has a section of its own. */
#include "gpu/kernel.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hn_watch_launch(const char *kernel);
int hn_watch_thread(int t);
void hn_watch_block(int64_t x, int64_t y, int64_t z);
void hn_watch_turn(void);
void hn_watch_host(void);
void hn_watch_exempt(const void *p, int bytes);
void hn_watch_send(void *to, const void *from, int bytes);
void hn_watch_sent(void);
void hn_watch_arrived(int still);

enum { GRAIN = 2, ALL = -1, SEVERAL = -2, ROOM = 1 << 23, MOST_SENT = 4096, MOST_TOLD = 12 };

/* ---- who has touched what ---------------------------------------------------------------------------------------- */

/* Who touched some bytes last, threads of a phase and blocks of a launch. Both are numbered through, so that a phase belongs to
 * one block. */
struct touch {
    uint32_t when;
    int32_t who;
};
struct grain {
    uintptr_t at; /* 0: free */
    struct touch thread_read, thread_wrote, block_read, block_wrote;
    uint32_t exempt;  /* in this launch */
    uint32_t written; /* in this run */
    int32_t sent_by;  /* 1 + the thread whose copy is on its way here; 0: none */
};
static struct grain *grains;
static uint32_t n_grains, phase, launch, run = 1;
static int early; /* the block's turn has not come */
static int32_t thread, block;
static const char *kernel;
static uintptr_t stack_from, stack_to;
static int told;

extern char __start_hn_shared[], __stop_hn_shared[];

static void tell(const char *what, uintptr_t at, int other, const void *where)
{
    char a[16], b[16];
    (void)snprintf(a, sizeof a, thread == ALL ? "all" : "%d", (int)thread);
    (void)snprintf(b, sizeof b, other == ALL ? "all" : other == SEVERAL ? "several" : "%d", other);
    if (told++ < MOST_TOLD)
        (void)fprintf(
            stderr, "RACE in %s, %s memory: thread %s of block %d %s, other: %s (%p)\n", kernel,
            at >= (uintptr_t)__start_hn_shared && at < (uintptr_t)__stop_hn_shared ? "shared"
                                                                                   : "device",
            a, (int)block, what, b, where);
}
static void __attribute__((destructor)) verdict(void)
{
    if (!told) return;
    (void)fprintf(stderr, "%d races\n", told);
    _Exit(1);
}

static struct grain *grain_at(uintptr_t at)
{
    uint32_t i = (uint32_t)((at >> 1) * 0x9E3779B97F4A7C15u >> 36) % ROOM;
    while (grains[i].at && grains[i].at != at) i = (i + 1) % ROOM;
    if (!grains[i].at) {
        grains[i] = (struct grain){ .at = at };
        if (++n_grains > ROOM / 2) { /* a fresh start: at worst a race is missed */
            memset(grains, 0, ROOM * sizeof *grains);
            n_grains = 0;
            return grain_at(at);
        }
    }
    return &grains[i];
}

static int by_another(const struct touch *t, uint32_t now, int32_t me)
{
    return t->when == now && t->who != me;
}
static void note(struct touch *t, uint32_t now, int32_t me)
{
    t->who = by_another(t, now, me) ? SEVERAL : me;
    t->when = now;
}

/* A load takes a whole sector into a processor's cache, where a later one may find it as it was. */
static int sector_written(uintptr_t at)
{
    const uintptr_t first = at / HN_K_SECTOR * HN_K_SECTOR;
    for (uintptr_t i = first; i < first + HN_K_SECTOR; i += GRAIN)
        if (grain_at(i)->written == run) return 1;
    return 0;
}

static void touch(uintptr_t at, int writes, const void *where)
{
    const int shared = at >= (uintptr_t)__start_hn_shared && at < (uintptr_t)__stop_hn_shared;
    const int too_early = early && !shared && (writes || sector_written(at));
    struct grain *g = grain_at(at);
    if (too_early)
        tell(writes ? "writes before its turn"
                    : "reads before its turn what a kernel wrote, or what lies beside it",
             at, SEVERAL, where);
    if (writes) g->written = run;
    if (g->exempt == launch) return;
    if (g->sent_by) tell("touches what a copy is on its way to", at, g->sent_by - 1, where);
    if (by_another(&g->thread_wrote, phase, thread))
        tell(writes ? "writes what was written" : "reads what was written", at, g->thread_wrote.who,
             where);
    if (writes && by_another(&g->thread_read, phase, thread))
        tell("writes what was read", at, g->thread_read.who, where);
    if (!shared && by_another(&g->block_wrote, launch, block))
        tell(writes ? "writes what a block wrote" : "reads what a block wrote", at,
             g->block_wrote.who, where);
    if (!shared && writes && by_another(&g->block_read, launch, block))
        tell("writes what a block read", at, g->block_read.who, where);
    note(writes ? &g->thread_wrote : &g->thread_read, phase, thread);
    note(writes ? &g->block_wrote : &g->block_read, launch, block);
}

static void access_at(const void *p, size_t n, int writes, const void *where)
{
    const uintptr_t from = (uintptr_t)p;
    if (!grains || (from >= stack_from && from < stack_to)) return;
    for (uintptr_t at = from / GRAIN * GRAIN; at < from + n; at += GRAIN) touch(at, writes, where);
}

/* ---- what kernels and the fake device say ---------------------------------------------------------------------------- */

struct sent {
    void *to;
    const void *from;
    int bytes, group;
};
struct queue { /* of a thread */
    struct sent *list;
    int n, group; /* group: the one being filled */
};
static struct queue queues[HN_BLOCK];

static void find_stack(void)
{
    pthread_attr_t a;
    void *low;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &a) != 0 || pthread_attr_getstack(&a, &low, &size) != 0)
        abort();
    stack_from = (uintptr_t)low, stack_to = stack_from + size;
    (void)pthread_attr_destroy(&a);
}

void hn_watch_launch(const char *name)
{
    if (!grains) {
        grains = calloc(ROOM, sizeof *grains);
        if (!grains) abort();
        find_stack();
    }
    kernel = name, launch++, phase++, thread = ALL;
}
void hn_watch_block(int64_t x, int64_t y, int64_t z)
{
    block = (int32_t)(x + 4096 * (y + 64 * z));
    phase++, thread = ALL, early = 1;
    for (int t = 0; t < HN_BLOCK; t++) queues[t].group = 0;
}
void hn_watch_turn(void) { early = 0; }
void hn_watch_host(void) { run++; }
void hn_watch_exempt(const void *p, int bytes)
{
    for (int i = 0; i < bytes; i += GRAIN) grain_at((uintptr_t)p + (uintptr_t)i)->exempt = launch;
}

int hn_watch_thread(int t)
{
    if (t < HN_BLOCK) {
        thread = t;
        return 1;
    }
    thread = ALL, phase++;
    return 0;
}

void hn_watch_send(void *to, const void *from, int bytes)
{
    struct queue *q = &queues[thread];
    if (!q->list) q->list = malloc(MOST_SENT * sizeof *q->list);
    if (!q->list || q->n == MOST_SENT) abort();
    if (from) access_at(from, (size_t)bytes, 0, __builtin_return_address(0));
    access_at(to, (size_t)bytes, 1, __builtin_return_address(0));
    for (int i = 0; i < bytes; i += GRAIN)
        grain_at((uintptr_t)to + (uintptr_t)i)->sent_by = 1 + thread;
    q->list[q->n++] = (struct sent){ to, from, bytes, q->group };
}
void hn_watch_sent(void) { queues[thread].group++; }
void hn_watch_arrived(int still)
{
    struct queue *q = &queues[thread];
    int kept = 0;
    for (int i = 0; i < q->n; i++) {
        const struct sent s = q->list[i];
        if (s.group >= q->group - still) {
            q->list[kept++] = s;
            continue;
        }
        for (int k = 0; k < s.bytes; k += GRAIN)
            grain_at((uintptr_t)s.to + (uintptr_t)k)->sent_by = 0;
        access_at(s.to, (size_t)s.bytes, 1, __builtin_return_address(0));
        if (s.from)
            memcpy(s.to, s.from, (size_t)s.bytes);
        else
            memset(s.to, 0, (size_t)s.bytes);
    }
    q->n = kept;
}

/* ---- what the compiler calls -------------------------------------------------------------------------------------- */

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
#define ACCESS(name, n, writes)                                                                    \
    void __tsan_##name(void *p);                                                                   \
    void __tsan_##name(void *p) { access_at(p, n, writes, __builtin_return_address(0)); }
ACCESS(read1, 1, 0)
ACCESS(read2, 2, 0)
ACCESS(read4, 4, 0)
ACCESS(read8, 8, 0)
ACCESS(read16, 16, 0)
ACCESS(write1, 1, 1)
ACCESS(write2, 2, 1)
ACCESS(write4, 4, 1)
ACCESS(write8, 8, 1)
ACCESS(write16, 16, 1)
ACCESS(unaligned_read2, 2, 0)
ACCESS(unaligned_read4, 4, 0)
ACCESS(unaligned_read8, 8, 0)
ACCESS(unaligned_read16, 16, 0)
ACCESS(unaligned_write2, 2, 1)
ACCESS(unaligned_write4, 4, 1)
ACCESS(unaligned_write8, 8, 1)
ACCESS(unaligned_write16, 16, 1)
void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) { access_at(p, n, 0, __builtin_return_address(0)); }
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) { access_at(p, n, 1, __builtin_return_address(0)); }
void *__tsan_memcpy(void *to, const void *from, size_t n);
void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    access_at(from, n, 0, __builtin_return_address(0));
    access_at(to, n, 1, __builtin_return_address(0));
    return memcpy(to, from, n);
}
void *__tsan_memset(void *to, int v, size_t n);
void *__tsan_memset(void *to, int v, size_t n)
{
    access_at(to, n, 1, __builtin_return_address(0));
    return memset(to, v, n);
}
