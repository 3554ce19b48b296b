/* SPDX-License-Identifier: MIT
 *
 * OpenBLAS's number of threads. It belongs to the process, and Hone wants one: it splits the work itself, and with more the
 * last digits would depend on their number. Whoever computes holds it; the first one that holds sets it to one, the last one
 * that lets go puts it back. So calls may overlap in several threads of a host. Any thread. */
#ifndef HN_CPU_BLAS_H
#define HN_CPU_BLAS_H

void hn_blas_hold(void);
void hn_blas_release(void);
#endif
