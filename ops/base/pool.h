/* SPDX-License-Identifier: MIT
 *
 * Worker threads for loops whose pieces do not depend on each other. The caller takes part; pieces are handed out one by
 * one, so which thread does which piece varies, and no result may depend on it. Workers spin for a few microseconds,
 * then sleep in a futex. No allocation and no other system call after create. Denormals are flushed to zero in workers
 * and, by hn_denormals_off/restore, in the caller. */
#ifndef HN_POOL_H
#define HN_POOL_H

#include "ops/base/hone_status.h"
#include "ops/base/memory.h"

struct hn_pool;
/* threads >= 1 counts the caller. One pool serves one caller at a time. */
hone_status hn_pool_create(struct hn_mem *m, int threads, struct hn_pool **out, hone_error *err);
void hn_pool_destroy(struct hn_pool *p); /* NULL allowed */
int hn_pool_threads(const struct hn_pool *p);
/* Calls fn(user, i, worker) for i in [0,n), worker in [0,threads); returns when all are done. p may be NULL: a plain loop. */
void hn_pool_run(struct hn_pool *p, int n, void (*fn)(void *user, int i, int worker), void *user);

int hn_cpu_count(void); /* cores this process may use (affinity), at least 1 */
/* Of so many threads those for whose stacks and 64 MiB each of what they compute there is address space (ulimit -v); at least 1. */
int hn_threads_with_room(int most);

unsigned hn_denormals_off(
    void); /* sets FTZ and DAZ, returns what was there; does nothing where there is no MXCSR */
void hn_denormals_restore(unsigned saved);
#endif
