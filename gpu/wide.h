/* SPDX-License-Identifier: MIT
 *
 * Several neighbouring elements loaded or stored at once, for kernels (kernel.h takes this in). */
#ifndef HN_GPU_WIDE_H
#define HN_GPU_WIDE_H

/* So many bytes of memory are loaded or stored at once, which a GPU does at multiples of them alone. Compiled as C that is looked
 * at, but for what is on the stack: a thread's own is in registers on a GPU. */
#ifdef __CUDACC__
#define hn_at_once(p, bytes) ((void)(p), (void)(bytes))
#else
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HN_STACK_ELSEWHERE
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HN_STACK_ELSEWHERE
#endif
HN_DEVICE void hn_at_once(const void *p, uintptr_t bytes)
{
#ifdef HN_STACK_ELSEWHERE
    (void)p, (void)bytes;
#else
    enum { STACK = 8 << 20 };
    const char here = 0;
    if ((uintptr_t)p % bytes && (uintptr_t)p - (uintptr_t)&here + STACK > 2 * (uintptr_t)STACK)
        __builtin_trap();
#endif
}
#endif
/* Four neighbours at once, from or to memory; both are multiples of 16 bytes there. */
HN_DEVICE void hn_copy4(real *to, const real *from)
{
#ifdef __CUDACC__
    struct HN_ALIGNED four {
        real v[4];
    };
    *(four *)to = *(const four *)from;
#else
    hn_at_once(to, 16), hn_at_once(from, 16);
    for (int i = 0; i < 4; i++) to[i] = from[i];
#endif
}
/* The same for what nobody reads again soon: it goes first when the cache is full. */
HN_DEVICE void hn_load_once(real *to, const real *from)
{
#if defined(__CUDACC__) && HN_BITS == 32
    const float4 v = __ldcs((const float4 *)from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
#else
    hn_copy4(to, from);
#endif
}
HN_DEVICE void hn_store_once(real *to, const real *from)
{
#if defined(__CUDACC__) && HN_BITS == 32
    __stcs((float4 *)to, make_float4(from[0], from[1], from[2], from[3]));
#else
    hn_copy4(to, from);
#endif
}
/* n neighbours, 1, 2 or 4, to memory as one store, where nvcc takes a copy apart. */
HN_DEVICE void hn_store(real *to, const real *v, int n)
{
#if defined(__CUDACC__) && HN_BITS == 32
    if (n == 4) {
        asm volatile("st.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(v[0]), "f"(v[1]),
                     "f"(v[n - 2]), "f"(v[n - 1])
                     : "memory");
        return;
    }
    if (n == 2) {
        asm volatile("st.v2.f32 [%0], {%1, %2};" ::"l"(to), "f"(v[0]), "f"(v[n - 1]) : "memory");
        return;
    }
#endif
    hn_at_once(to, 4 * (uintptr_t)n);
    for (int i = 0; i < n; i++) to[i] = v[i];
}
/* n neighbours, 1, 2 or 4, at once: both places are multiples of their size. */
HN_DEVICE void hn_move(real *to, const real *from, int n)
{
#ifdef __CUDACC__
    struct __align__(2 * sizeof(real)) two { real v[2]; };
    if (n == 2) {
        *(two *)to = *(const two *)from;
        return;
    }
#endif
    if (n == 4) {
        hn_copy4(to, from);
        return;
    }
    for (int i = 0; i < n; i++) to[i] = from[i];
}
HN_DEVICE int hn_is_aligned(const void *p) { return ((uintptr_t)p & 15) == 0; }
#endif
