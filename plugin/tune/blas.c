/* SPDX-License-Identifier: MIT
 *
 * Holding OpenBLAS at one thread: see blas.h. These are the only variables of the process, as what they guard is one. */
#include "plugin/tune/blas.h"
#include <cblas.h>
#include <pthread.h>
#include <sys/mman.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int holders, threads; /* threads: before the first one came */
static int callers, room;    /* of all holders together; for how many there was room at most */

static const size_t BUFFER = (size_t)128 << 20;

/* Could OpenBLAS map as many buffers as it has never been asked for? */
static hone_status make_room(int wanted, hone_error *err)
{
    if (wanted <= room) return HONE_OK;
    const size_t bytes = (size_t)(wanted - room) * BUFFER;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return hn_hint(err,
                       hn_fail(err, HONE_E_NOMEM, "OpenBLAS",
                               "cannot have %zu bytes for the buffers of %d thread%s, 128 MiB each",
                               bytes, wanted - room, wanted - room == 1 ? "" : "s"),
                       "%s",
                       wanted > 1
                           ? "fewer searches at once, or another --sampler"
                           : "a higher limit of address space (ulimit -v), or another --sampler");
    munmap(p, bytes);
    room = wanted;
    return HONE_OK;
}

hone_status hn_blas_hold(int n, hone_error *err)
{
    pthread_mutex_lock(&lock);
    const hone_status st = make_room(callers + n, err);
    if (st == HONE_OK) callers += n;
    if (st == HONE_OK && holders++ == 0) {
        threads = openblas_get_num_threads();
        if (threads != 1) openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&lock);
    return st;
}

void hn_blas_release(int n)
{
    pthread_mutex_lock(&lock);
    callers -= n;
    if (--holders == 0 && threads != 1) openblas_set_num_threads(threads);
    pthread_mutex_unlock(&lock);
}
