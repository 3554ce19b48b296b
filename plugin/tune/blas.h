/* SPDX-License-Identifier: MIT
 *
 * OpenBLAS's number of threads, for the Gaussian process. It belongs to the process, and Hone wants one: the matrices are small, and
 * with more the last digits would depend on their number. Whoever computes holds it; the first one that holds sets it to one, the last one
 * that lets go puts it back. So calls may overlap in several threads of a host. Any thread.
 *
 * Each thread that calls OpenBLAS takes a buffer of 128 MiB of address space, of which it uses little and which is used again. Where
 * OpenBLAS cannot map one it tries for ever: there has to be room for all that could be asked for at once. */
#ifndef HN_TUNE_BLAS_H
#define HN_TUNE_BLAS_H

#include "ops/base/status.h"

/* For so many threads of the caller's, 0 where others hold it again for what they compute. HONE_E_NOMEM: no room for their buffers, and
 * nothing is held. */
hone_status hn_blas_hold(int threads, hone_error *err);
void hn_blas_release(int threads);
#endif
