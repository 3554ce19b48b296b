/* SPDX-License-Identifier: MIT
 *
 * Who runs a trial: "boot id @ host : process-id namespace : process : start time : handle". Two workers with the same first two
 * see each other's processes, so that one can tell when the other is no more; for all others only the lease counts. */
#ifndef HN_OWNER_H
#define HN_OWNER_H

#include "ops/base/io.h"

enum { HN_OWNER = 192 };
/* This process and, in it, this handle (any address that nobody else uses meanwhile). Where /proc is not there the name is still its own, and nobody will call it dead. */
void hn_owner_self(const struct hn_io *io, const void *handle, char name[HN_OWNER]);
/* 1: the owner is a process of this machine that has ended. */
int hn_owner_is_dead(const struct hn_io *io, const char *self, const char *owner);
int64_t hn_now_ms(void); /* the wall clock, ms since 1970 */
#endif
