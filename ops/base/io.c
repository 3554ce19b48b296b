/* SPDX-License-Identifier: MIT
 *
 * The real system calls behind a hn_io. Nothing here retries or reports; the helpers do.
 *
 * open_beneath is the only way to a file whose name a model chose. The kernel resolves it (openat2) below the folder and
 * without symbolic links; a file with further hard links is refused, because one of them may lie outside. ".." is
 * refused even where it would stay inside, so that both ways to open accept the same names. */
#include "ops/base/io.h"
#include "ops/base/status.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int result(int rc) { return rc < 0 ? -errno : rc; }

static int sys_open(void *user, const char *path, int flags, unsigned mode)
{
    (void)user;
    return result(open(path, flags | O_CLOEXEC, mode));
}

/* 1 when rel is a name this layer would follow at all. */
static int name_is_inside(const char *rel)
{
    if (!*rel || *rel == '/') return 0;
    for (const char *p = rel; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') return 0;
        p += n + (p[n] == '/');
    }
    return 1;
}

/* Takes fd: a regular file with one name, truncated only now that this is known; else closed and -errno. */
static int accept_file(int fd, int flags)
{
    struct stat st;
    int rc = 0;
    if (fd < 0) return fd;
    if (fstat(fd, &st) < 0)
        rc = -errno;
    else if (!S_ISREG(st.st_mode))
        rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    else if (st.st_nlink != 1)
        rc = -EMLINK;
    else if ((flags & O_TRUNC) && ftruncate(fd, 0) < 0)
        rc = -errno;
    if (rc == 0) return fd;
    close(fd);
    return rc;
}

static int open_folder(int at, const char *name, int flags)
{
    int fd = result(openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC | flags));
    struct stat st;
    if (fd == -ENOTDIR && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return -ELOOP;
    return fd;
}

/* O_NONBLOCK: a FIFO must not hold the process before it is refused. */
static int safe_flags(int flags)
{
    return (flags & ~O_TRUNC) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
}

int hn_io_walk_beneath(const char *dir, const char *rel, int flags, unsigned mode)
{
    char name[256];
    if (!name_is_inside(rel)) return -EXDEV;
    int at = open_folder(AT_FDCWD, *dir ? dir : ".", 0);
    while (at >= 0) {
        size_t n = strcspn(rel, "/");
        const char *rest = rel + n + strspn(rel + n, "/");
        int next = -ENAMETOOLONG;
        if (n < sizeof name) {
            memcpy(name, rel, n);
            name[n] = '\0';
            if (*rest)
                next = open_folder(at, name, O_NOFOLLOW);
            else if (rel[n] == '/')
                next = -EISDIR;
            else
                next = result(openat(at, name, safe_flags(flags), mode));
        }
        close(at);
        if (!*rest) return accept_file(next, flags);
        at = next;
        rel = rest;
    }
    return at;
}

static int sys_open_beneath(void *user, const char *dir, const char *rel, int flags, unsigned mode)
{
    (void)user;
    if (!name_is_inside(rel)) return -EXDEV;
    int at = open_folder(AT_FDCWD, *dir ? dir : ".", 0);
    if (at < 0) return at;
    struct open_how how = { .flags = (uint64_t)(unsigned)safe_flags(flags),
                            .mode = flags & O_CREAT ? mode : 0,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    int fd = -EAGAIN;
    for (int i = 0; i < 16 && fd == -EAGAIN; i++) /* EAGAIN: something was renamed meanwhile */
        fd = result((int)syscall(SYS_openat2, at, rel, &how, sizeof how));
    close(at);
    if (fd == -ENOSYS || fd == -EPERM) /* an old kernel, or a filter that does not know the call */
        return hn_io_walk_beneath(dir, rel, flags, mode);
    return accept_file(fd, flags);
}

static int64_t sys_read(void *user, int fd, void *buf, size_t n)
{
    (void)user;
    ssize_t rc = read(fd, buf, n);
    return rc < 0 ? -errno : rc;
}

static int64_t sys_write(void *user, int fd, const void *buf, size_t n)
{
    (void)user;
    ssize_t rc = write(fd, buf, n);
    return rc < 0 ? -errno : rc;
}

static int sys_sync(void *user, int fd) { return (void)user, result(fsync(fd)); }
static int sys_close(void *user, int fd) { return (void)user, result(close(fd)); }

static int fill_stat(int rc, const struct stat *s, struct hn_stat *st)
{
    if (rc < 0) return -errno;
    *st =
        (struct hn_stat){ .size = s->st_size,
                          .mtime_ns = (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec,
                          .ctime_ns = (int64_t)s->st_ctim.tv_sec * 1000000000 + s->st_ctim.tv_nsec,
                          .dev = s->st_dev,
                          .ino = s->st_ino,
                          .links = s->st_nlink,
                          .is_regular = S_ISREG(s->st_mode),
                          .is_dir = S_ISDIR(s->st_mode),
                          .mode = s->st_mode & 07777 };
    return 0;
}

static int sys_stat(void *user, int fd, struct hn_stat *st)
{
    struct stat s;
    (void)user;
    return fill_stat(fstat(fd, &s), &s, st);
}

static int sys_stat_path(void *user, const char *path, struct hn_stat *st)
{
    struct stat s;
    (void)user;
    return fill_stat(stat(path, &s), &s, st);
}

static int64_t sys_read_link(void *user, const char *path, char *buf, size_t n)
{
    (void)user;
    ssize_t rc = readlink(path, buf, n);
    return rc < 0 ? -errno : rc;
}

static int sys_map(void *user, int fd, size_t n, const void **p)
{
    (void)user;
    void *q = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (q == MAP_FAILED) return -errno;
    *p = q;
    return 0;
}

static int sys_unmap(void *user, const void *p, size_t n)
{
    (void)user;
    return result(munmap((void *)(uintptr_t)p, n));
}

static int sys_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return result(rename(from, to));
}

static int sys_unlink(void *user, const char *path) { return (void)user, result(unlink(path)); }
static int sys_rmdir(void *user, const char *path) { return (void)user, result(rmdir(path)); }

static int sys_mkdir(void *user, const char *path, unsigned mode)
{
    (void)user;
    return result(mkdir(path, mode));
}

static int sys_chmod(void *user, int fd, unsigned mode)
{
    (void)user;
    return result(fchmod(fd, mode));
}

static int sys_truncate(void *user, int fd, int64_t size)
{
    (void)user;
    return result(ftruncate(fd, size));
}

const struct hn_io hn_io_system = {
    .open = sys_open,
    .open_beneath = sys_open_beneath,
    .read = sys_read,
    .write = sys_write,
    .sync = sys_sync,
    .close = sys_close,
    .stat = sys_stat,
    .stat_path = sys_stat_path,
    .read_link = sys_read_link,
    .map = sys_map,
    .unmap = sys_unmap,
    .rename = sys_rename,
    .unlink = sys_unlink,
    .mkdir = sys_mkdir,
    .rmdir = sys_rmdir,
    .chmod = sys_chmod,
    .truncate = sys_truncate,
};

/* ---- helpers over any hn_io ---- */

hone_status hn_io_fail(hone_error *err, const char *path, const char *action, int64_t rc)
{
    char buf[128];
    int code = rc < 0 && rc > -4096 ? (int)-rc : EIO;
    hone_status st =
        hn_fail(err, HONE_E_IO, path, "cannot %s: %s", action, strerror_r(code, buf, sizeof buf));
    if (code == ENOSPC || code == EDQUOT)
        return hn_hint(err, st, "the disk is full: free some space");
    if (code == EROFS) return hn_hint(err, st, "the disk is read-only: choose another folder");
    return st;
}

int hn_io_write_all(const struct hn_io *io, int fd, const void *p, size_t n)
{
    const char *from = p;
    while (n) {
        int64_t rc = io->write(io->user, fd, from, n < (1u << 30) ? n : 1u << 30);
        if (rc == -EINTR) continue;
        if (rc < 0) return (int)rc;
        if (rc == 0) return -EIO;
        from += rc;
        n -= (size_t)rc;
    }
    return 0;
}
