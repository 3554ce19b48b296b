/* SPDX-License-Identifier: MIT
 *
 * A job whose allocations fail, one after another. */
#ifndef HN_TEST_EACH_ALLOCATION_H
#define HN_TEST_EACH_ALLOCATION_H

#include "tests/fault.h"
#include "tests/harness.h"

/* Runs the job with its first allocation failing, then its second and so on, up to the run where none does: each says
 * HONE_E_NOMEM, the last HONE_OK, none leaves anything. Returns the number of allocations. */
static inline long hn_each_allocation_fails(hone_status (*job)(struct hn_fault *f))
{
    struct hn_fault f;
    for (long n = 1;; n++) {
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = job(&f);
        long hits = atomic_load(&f.mem_fail.hits), leaks = hn_fault_leaks(&f);
        ck_assert_msg(leaks == 0, "allocation %ld: %ld left", n, leaks);
        ck_assert_msg(st == (hits ? HONE_E_NOMEM : HONE_OK), "allocation %ld: %d", n, (int)st);
        if (!hits) return n - 1;
    }
}
#endif
