/* SPDX-License-Identifier: MIT
 *
 * Copies from global to shared memory that go on while the thread does something else: what was sent before the last n HN_SENT()
 * has arrived, for the thread that sent it, behind HN_ARRIVED(n). Where `there` is 0 zeros arrive and nothing is read. A place is
 * what a copy's target is to the machine. */
#ifndef HN_GPU_SEND_H
#define HN_GPU_SEND_H

#include "gpu/kernel.h"

#ifdef __CUDACC__
#define HN_SENT()     asm volatile("cp.async.commit_group;" ::: "memory")
#define HN_ARRIVED(n) asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")
typedef uint32_t hn_place;
HN_DEVICE hn_place hn_place_of(real *shared)
{
    hn_place p;
    asm volatile("mov.u32 %0, %1;" /* so that it is found once */
                 : "=r"(p)
                 : "r"((uint32_t)__cvta_generic_to_shared(shared)));
    return p;
}
HN_DEVICE hn_place hn_place_on(hn_place p, int n) { return p + (uint32_t)n * sizeof(real); }
HN_DEVICE void hn_send4(hn_place to, const real *base, uint32_t from, int there)
{
    HN_UNROLL
    for (int i = 0; i < 4 * (int)sizeof(real); i += 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + i),
                     "l"((const char *)(base + from) + i), "r"(there ? 16 : 0)
                     : "memory");
}
HN_DEVICE void hn_send1(hn_place to, const real *base, uint32_t from, int there)
{
    const int n = sizeof(real);
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(base + from),
                 "n"(n), "r"(there ? n : 0)
                 : "memory");
}
#else
#define HN_SENT()     ((void)0)
#define HN_ARRIVED(n) ((void)0)
typedef real *hn_place;
HN_DEVICE hn_place hn_place_of(real *shared) { return shared; }
HN_DEVICE hn_place hn_place_on(hn_place p, int n) { return p + n; }
HN_DEVICE void hn_send1(hn_place to, const real *base, uint32_t from, int there)
{
    *to = there ? base[from] : 0;
}
HN_DEVICE void hn_send4(hn_place to, const real *base, uint32_t from, int there)
{
    for (uint32_t i = 0; i < 4; i++) hn_send1(to + i, base, from + i, there);
}
#endif
#endif
