/* SPDX-License-Identifier: MIT
 *
 * What calls that are not Hone's leave changed in the process: handlers and mask of signals, modes of floating-point
 * arithmetic, locale, working directory, umask. */
#ifndef HN_PROCESS_WATCH_H
#define HN_PROCESS_WATCH_H

struct process_watch;
struct process_watch *process_watch_new(void); /* as it is now; free() it; NULL: no memory */
/* What is no longer as it was ("the signal mask", until the next look), and is now again; NULL: nothing. */
const char *process_watch_look(struct process_watch *w);
#endif
