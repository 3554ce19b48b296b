/* SPDX-License-Identifier: MIT
 *
 * Signals belong to the command, never to the library. First SIGINT, SIGTERM or SIGUSR1: ask for a stop at the next batch
 * with a durable checkpoint. Second: end at once. One that comes when the work is done changes nothing. */
#include "tools/cli.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static hone_context *volatile target;
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    if (caught) {
        if (write(STDERR_FILENO, "\n", 1) < 0)
            caught = number; /* below a bar; that it fails changes nothing */
        _exit(128 + number);
    }
    caught = number;
    if (target) hone_request_stop(target);
}

void catch_signals(hone_context *ctx)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART;
    sigemptyset(&a.sa_mask);
    target = ctx;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
}

void release_signals(void) { target = NULL; }

int caught_signal(void) { return caught; }
