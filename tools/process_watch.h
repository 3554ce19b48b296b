/* SPDX-License-Identifier: MIT
 *
 * What calls that are not Hone's leave changed in the process: handlers and mask of signals, modes of floating-point
 * arithmetic, locale, working directory, umask, environment, what was written to standard output, open descriptors. */
#ifndef HN_PROCESS_WATCH_H
#define HN_PROCESS_WATCH_H

struct process_watch;
/* As it is now; NULL: no memory. From now on standard output is a file of the watch's, whose contents go to standard error. */
struct process_watch *process_watch_new(void);
void process_watch_free(struct process_watch *w); /* NULL allowed */
/* What is no longer as it was ("the signal mask", until the next look), and is now again; NULL: nothing. */
const char *process_watch_look(struct process_watch *w);
/* A descriptor that is open and was not when this was asked last ("descriptor 5 (/tmp/t.db)", until the next time); NULL: none. */
const char *process_watch_left(struct process_watch *w);
#endif
