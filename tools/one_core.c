/* SPDX-License-Identifier: MIT
 *
 * OpenBLAS, as it is loaded, starts a thread for each core but one. Hone never uses them, and where a thread or its 128 MiB of
 * address space may not be had (ulimit -u, ulimit -v) they end the process or keep it from ever ending. OpenBLAS counts the
 * cores that the process may run on: while the libraries are loaded that is one. */
#include "tools/cli.h"
#include <sched.h>

enum { CPUS = 1 << 16 };

static unsigned long allowed[CPUS / (8 * sizeof(unsigned long))];
static int narrowed;

static void narrow(void)
{
    static unsigned long one[sizeof allowed / sizeof *allowed];
    size_t i = 0;
    if (sched_getaffinity(0, sizeof allowed, (cpu_set_t *)(void *)allowed) != 0) return;
    while (i + 1 < sizeof allowed / sizeof *allowed && !allowed[i]) i++;
    one[i] = allowed[i] & ~(allowed[i] - 1);
    narrowed = sched_setaffinity(0, sizeof one, (const cpu_set_t *)(const void *)one) == 0;
}

/* What stands there is called before the constructors of the libraries. */
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(void) = narrow;

void use_all_cores(void)
{
    if (narrowed) sched_setaffinity(0, sizeof allowed, (const cpu_set_t *)(const void *)allowed);
}
