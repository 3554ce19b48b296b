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
#define HN_SEND(how, bytes, to, from, there)                                                       \
    asm volatile("cp.async." how ".shared.global [%0], [%1], " bytes ", %2;" ::"r"(to), "l"(from), \
                 "r"(there)                                                                        \
                 : "memory")
HN_DEVICE void hn_send(hn_place to, const real *base, uint32_t from, int there, int n)
{
    const char *at = (const char *)(base + from);
    const int bytes = n * (int)sizeof(real);
    if (bytes == 4) HN_SEND("ca", "4", to, at, there ? 4 : 0);
    if (bytes == 8) HN_SEND("ca", "8", to, at, there ? 8 : 0);
    HN_UNROLL
    for (int i = 0; i + 16 <= bytes; i += 16) HN_SEND("cg", "16", to + i, at + i, there ? 16 : 0);
}
#else
#ifdef HN_WATCHED /* what was sent arrives when it is waited for */
#define HN_SENT()     hn_watch_sent()
#define HN_ARRIVED(n) hn_watch_arrived(n)
#else
#define HN_SENT()     ((void)0)
#define HN_ARRIVED(n) ((void)0)
#endif
typedef real *hn_place;
HN_DEVICE hn_place hn_place_of(real *shared) { return shared; }
HN_DEVICE hn_place hn_place_on(hn_place p, int n) { return p + n; }
HN_DEVICE void hn_send(hn_place to, const real *base, uint32_t from, int there, int n)
{
    const uintptr_t bytes = (uintptr_t)n * sizeof(real);
    hn_at_once(base + from, bytes < 16 ? bytes : 16);
#ifdef HN_WATCHED
    for (int i = 0; i < n; i++) hn_watch_send(to + i, there ? base + from + i : 0, sizeof(real));
#else
    for (int i = 0; i < n; i++) to[i] = there ? base[from + (uint32_t)i] : 0;
#endif
}
#endif
#endif
