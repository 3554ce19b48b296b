/* SPDX-License-Identifier: MIT
 *
 * Owners of trials by /proc: start times tell a process from a later one with the same number. */
#include "plugin/tune/owner.h"
#include "ops/base/format.h"
#include "ops/base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t hn_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A small file as text; 0 when it is there, else -errno. */
static int slurp(const struct hn_io *io, const char *path, char *buf, size_t size)
{
    int fd = io->open(io->user, path, O_RDONLY, 0);
    buf[0] = '\0';
    if (fd < 0) return fd;
    int64_t n = io->read(io->user, fd, buf, size - 1);
    io->close(io->user, fd);
    if (n < 0) return (int)n;
    buf[n] = '\0';
    return 0;
}

/* Field 22 of /proc/PID/stat: after the name in parentheses, which may hold anything. "?" when it cannot be read. A process
 * that has ended and waits for its parent ("Z") is gone. */
static int start_time(const struct hn_io *io, const char *pid, char out[32])
{
    char path[64], text[1024];
    memcpy(out, "?", 2);
    hn_print(path, sizeof path, "/proc/%s/stat", pid);
    int rc = slurp(io, path, text, sizeof text);
    const char *p = rc == 0 ? strrchr(text, ')') : NULL;
    if (p && p[1] == ' ' && (p[2] == 'Z' || p[2] == 'X')) return -ESRCH;
    for (int field = 2; p && field < 22; field++) p = strchr(p + 1, ' ');
    size_t n = p ? strcspn(p + 1, " \n") : 0;
    if (p && n && n < 32) {
        memcpy(out, p + 1, n);
        out[n] = '\0';
    }
    return rc;
}

void hn_owner_self(const struct hn_io *io, const void *handle, char name[HN_OWNER])
{
    char boot[64], pid[24], start[32], host[65];
    struct hn_stat ns = { 0 };
    slurp(io, "/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    boot[strcspn(boot, "\n")] = '\0';
    /* Copies of a running virtual machine have one boot id, but not one name. */
    slurp(io, "/proc/sys/kernel/hostname", host, sizeof host);
    for (char *p = host; *p; p++)
        if (*p == ':' || *p == '\n') *p = *p == ':' ? '.' : '\0';
    int rc = io->stat_path(io->user, "/proc/self/ns/pid", &ns);
    hn_print(pid, sizeof pid, "%ld", (long)getpid());
    start_time(io, pid, start);
    if (rc < 0 || !boot[0] || start[0] == '?') /* a name that compares with no other */
        hn_print(name, HN_OWNER, "?:%lld:%s:%s:%p", (long long)hn_now_ms(), pid, start, handle);
    else
        hn_print(name, HN_OWNER, "%s@%.32s:%llu:%s:%s:%p", boot, host, (unsigned long long)ns.ino,
                 pid, start, handle);
}

int hn_owner_is_dead(const struct hn_io *io, const char *self, const char *owner)
{
    const char *pid = strchr(self, ':');
    pid = pid ? strchr(pid + 1, ':') : NULL;
    if (!pid || self[0] == '?' || strncmp(self, owner, (size_t)(pid + 1 - self)) != 0) return 0;
    char number[24], start[32];
    const char *theirs = owner + (pid + 1 - self), *colon = strchr(theirs, ':');
    size_t n = colon ? (size_t)(colon - theirs) : 0;
    if (n == 0 || n >= sizeof number) return 0;
    memcpy(number, theirs, n);
    number[n] = '\0';
    int rc = start_time(io, number, start);
    if (rc == -ENOENT || rc == -ESRCH) return 1;
    n = strcspn(++colon, ":");
    return rc == 0 && start[0] != '?' && (strlen(start) != n || memcmp(start, colon, n) != 0);
}
