/* SPDX-License-Identifier: MIT
 *
 * Holding OpenBLAS at one thread: see blas.h. These are the only variables of the process, as what they guard is one. */
#include "ops/cpu/blas.h"
#include <cblas.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int holders, threads; /* threads: before the first one came */

void hn_blas_hold(void)
{
    pthread_mutex_lock(&lock);
    if (holders++ == 0) {
        threads = openblas_get_num_threads();
        if (threads != 1) openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&lock);
}

void hn_blas_release(void)
{
    pthread_mutex_lock(&lock);
    if (--holders == 0 && threads != 1) openblas_set_num_threads(threads);
    pthread_mutex_unlock(&lock);
}
