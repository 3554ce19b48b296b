/* SPDX-License-Identifier: MIT
 *
 * Failure on demand: a hn_mem and a hn_io around the real ones that count their calls and what is live, and let a chosen
 * call fail.
 *
 *     struct hn_fault f;
 *     for (long n = 1;; n++) {                 // every call in turn
 *         hn_fault_init(&f);
 *         f.mem_fail.at = n;                   // or f.io_fail.at = n, f.io_fail.code = ENOSPC
 *         hone_status st = job(&f.io, &f.mem);
 *         ck_assert_int_eq(hn_fault_leaks(&f), 0);
 *         if (!f.mem_fail.hits) break;         // n is beyond the last call: st must be HONE_OK
 *         ck_assert_int_eq(st, HONE_E_NOMEM);
 *     }
 *
 * Every hn_io call counts, also a close or an unlink (a close that fails has closed all the same). Counting is
 * thread-safe. Modes: fail once or from then on (persistent), with any errno; short_writes and short_reads move at most
 * that many bytes a call; interrupt makes every other read, write, open and sync fail once with EINTR first;
 * wrong_byte is a disk that keeps another byte than it was given;
 * exit_after ends the process by _exit(exit_code) right after that call has been done. */
#ifndef HN_TEST_FAULT_H
#define HN_TEST_FAULT_H

#include "ops/base/io.h"
#include "ops/base/memory.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct hn_fault_point {
    long at;           /* the call that fails, counted from 1; 0: none */
    int persistent;    /* all later ones as well */
    int code;          /* errno for io; EIO when 0 */
    atomic_long calls; /* made so far */
    atomic_long hits;  /* failed so far */
};

struct hn_fault {
    struct hn_io io; /* give these two to the code under test */
    struct hn_mem mem;
    struct hn_fault_point mem_fail, io_fail;
    size_t short_writes, short_reads;
    long
        wrong_byte; /* of those that are written, counted from 1: the disk keeps another; 0: none */
    atomic_long bytes;
    int interrupt;
    long exit_after;
    int exit_code;
    atomic_long live_blocks, open_files, live_maps;
    atomic_int toggle;
};

/* 1 when this call is to fail. */
static inline int hn_fault_now(struct hn_fault_point *p)
{
    long n = atomic_fetch_add(&p->calls, 1) + 1;
    if (p->at == 0 || !(n == p->at || (p->persistent && n > p->at))) return 0;
    atomic_fetch_add(&p->hits, 1);
    return 1;
}

static inline long hn_fault_leaks(struct hn_fault *f)
{
    return atomic_load(&f->live_blocks) + atomic_load(&f->open_files) + atomic_load(&f->live_maps);
}

static inline void *hn_fault_alloc(void *user, size_t size)
{
    struct hn_fault *f = user;
    if (hn_fault_now(&f->mem_fail)) return NULL;
    void *p = malloc(size);
    if (p) atomic_fetch_add(&f->live_blocks, 1);
    return p;
}

static inline void hn_fault_release(void *user, void *p)
{
    struct hn_fault *f = user;
    atomic_fetch_sub(&f->live_blocks, 1);
    free(p);
}

static inline int hn_fault_io(struct hn_fault *f)
{
    return hn_fault_now(&f->io_fail) ? -(f->io_fail.code ? f->io_fail.code : EIO) : 0;
}

static inline int64_t hn_fault_done(struct hn_fault *f, int64_t rc)
{
    if (f->exit_after && atomic_load(&f->io_fail.calls) >= f->exit_after) _exit(f->exit_code);
    return rc;
}

static inline int hn_fault_interrupted(struct hn_fault *f)
{
    return f->interrupt && atomic_fetch_xor(&f->toggle, 1) == 0;
}

static inline int hn_fault_opened(struct hn_fault *f, int fd)
{
    if (fd >= 0) atomic_fetch_add(&f->open_files, 1);
    return (int)hn_fault_done(f, fd);
}

static inline int hn_fault_open(void *user, const char *path, int flags, unsigned mode)
{
    struct hn_fault *f = user;
    if (hn_fault_interrupted(f)) return -EINTR;
    int rc = hn_fault_io(f);
    return rc ? rc : hn_fault_opened(f, hn_io_system.open(NULL, path, flags, mode));
}

static inline int hn_fault_open_beneath(void *user, const char *dir, const char *rel, int flags,
                                        unsigned mode)
{
    struct hn_fault *f = user;
    if (hn_fault_interrupted(f)) return -EINTR;
    int rc = hn_fault_io(f);
    return rc ? rc : hn_fault_opened(f, hn_io_system.open_beneath(NULL, dir, rel, flags, mode));
}

static inline int64_t hn_fault_read(void *user, int fd, void *buf, size_t n)
{
    struct hn_fault *f = user;
    if (hn_fault_interrupted(f)) return -EINTR;
    int rc = hn_fault_io(f);
    if (f->short_reads && n > f->short_reads) n = f->short_reads;
    return rc ? rc : hn_fault_done(f, hn_io_system.read(NULL, fd, buf, n));
}

static inline int64_t hn_fault_put(struct hn_fault *f, int fd, const void *buf, size_t n)
{
    long before = atomic_fetch_add(&f->bytes, (long)n), at = f->wrong_byte - 1 - before;
    if (f->wrong_byte == 0 || at < 0 || at >= (long)n) return hn_io_system.write(NULL, fd, buf, n);
    unsigned char *copy = malloc(n);
    if (!copy) return -ENOMEM;
    memcpy(copy, buf, n);
    copy[at] ^= 1;
    int64_t rc = hn_io_system.write(NULL, fd, copy, n);
    free(copy);
    return rc;
}

/* A write that fails has written half, as on a disk that fills up. */
static inline int64_t hn_fault_write(void *user, int fd, const void *buf, size_t n)
{
    struct hn_fault *f = user;
    if (hn_fault_interrupted(f)) return -EINTR;
    int rc = hn_fault_io(f);
    if (f->short_writes && n > f->short_writes) n = f->short_writes;
    if (rc && n > 1) (void)hn_io_system.write(NULL, fd, buf, n / 2);
    return rc ? rc : hn_fault_done(f, hn_fault_put(f, fd, buf, n));
}

static inline int hn_fault_sync(void *user, int fd)
{
    struct hn_fault *f = user;
    if (hn_fault_interrupted(f)) return -EINTR;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.sync(NULL, fd));
}

static inline int hn_fault_close(void *user, int fd)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f), closed = hn_io_system.close(NULL, fd);
    if (closed == 0) atomic_fetch_sub(&f->open_files, 1);
    return (int)hn_fault_done(f, rc ? rc : closed);
}

static inline int hn_fault_stat(void *user, int fd, struct hn_stat *st)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.stat(NULL, fd, st));
}

static inline int hn_fault_stat_path(void *user, const char *path, struct hn_stat *st)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.stat_path(NULL, path, st));
}

static inline int64_t hn_fault_read_link(void *user, const char *path, char *buf, size_t n)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : hn_fault_done(f, hn_io_system.read_link(NULL, path, buf, n));
}

static inline int hn_fault_map(void *user, int fd, size_t n, const void **p)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    if (!rc) rc = hn_io_system.map(NULL, fd, n, p);
    if (rc == 0) atomic_fetch_add(&f->live_maps, 1);
    return (int)hn_fault_done(f, rc);
}

static inline int hn_fault_unmap(void *user, const void *p, size_t n)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f), unmapped = hn_io_system.unmap(NULL, p, n);
    if (unmapped == 0) atomic_fetch_sub(&f->live_maps, 1);
    return (int)hn_fault_done(f, rc ? rc : unmapped);
}

static inline int hn_fault_rename(void *user, const char *from, const char *to)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.rename(NULL, from, to));
}

static inline int hn_fault_unlink(void *user, const char *path)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.unlink(NULL, path));
}

static inline int hn_fault_mkdir(void *user, const char *path, unsigned mode)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.mkdir(NULL, path, mode));
}

static inline int hn_fault_rmdir(void *user, const char *path)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.rmdir(NULL, path));
}

static inline int hn_fault_chmod(void *user, int fd, unsigned mode)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.chmod(NULL, fd, mode));
}

static inline int hn_fault_truncate(void *user, int fd, int64_t size)
{
    struct hn_fault *f = user;
    int rc = hn_fault_io(f);
    return rc ? rc : (int)hn_fault_done(f, hn_io_system.truncate(NULL, fd, size));
}

/* Nothing fails until a field says so. f must not move afterwards. */
static inline void hn_fault_init(struct hn_fault *f)
{
    *f = (struct hn_fault){ 0 };
    hn_mem_init(&f->mem, 0);
    f->mem.alloc = hn_fault_alloc;
    f->mem.release = hn_fault_release;
    f->mem.user = f;
    f->io = (struct hn_io){
        .user = f,
        .open = hn_fault_open,
        .open_beneath = hn_fault_open_beneath,
        .read = hn_fault_read,
        .write = hn_fault_write,
        .sync = hn_fault_sync,
        .close = hn_fault_close,
        .stat = hn_fault_stat,
        .stat_path = hn_fault_stat_path,
        .read_link = hn_fault_read_link,
        .map = hn_fault_map,
        .unmap = hn_fault_unmap,
        .rename = hn_fault_rename,
        .unlink = hn_fault_unlink,
        .mkdir = hn_fault_mkdir,
        .rmdir = hn_fault_rmdir,
        .chmod = hn_fault_chmod,
        .truncate = hn_fault_truncate,
    };
}
#endif
