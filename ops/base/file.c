/* SPDX-License-Identifier: MIT
 *
 * Whole files as bytes: mapped when they can be, else read through hn_mem up to a limit; gzip data inflated up to a
 * limit, so that a small file cannot become a large one behind our back. */
#include "ops/base/io.h"
#include "ops/base/status.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zlib.h>

enum { FIRST_READ = 1 << 16 };

static const unsigned char no_bytes[1] = "";

/* Makes buf larger when it is full, never beyond limit + 1: the one byte shows that there is more. */
static int make_room(struct hn_mem *m, unsigned char **buf, size_t n, size_t *cap, size_t limit)
{
    size_t more = *cap ? *cap : FIRST_READ / 2;
    if (n < *cap) return 1;
    more = more > SIZE_MAX / 2 ? SIZE_MAX : more * 2;
    if (limit < SIZE_MAX && more > limit + 1) more = limit + 1;
    unsigned char *p = hn_realloc(m, *buf, more, 1);
    if (!p) return 0;
    *buf = p;
    *cap = more;
    return 1;
}

static hone_status too_large(hone_error *err, const char *path, const char *what, size_t limit)
{
    return hn_fail(err, HONE_E_BUDGET, path, "%s more than the limit of %zu bytes", what, limit);
}

static hone_status read_all(struct hn_file *f, struct hn_mem *m, int fd, const char *path,
                            size_t limit, hone_error *err)
{
    unsigned char *buf = NULL;
    size_t n = 0, cap = 0;
    hone_status st = HONE_OK;
    for (;;) {
        if (!make_room(m, &buf, n, &cap, limit)) {
            st = hn_nomem(err, path, cap * 2);
            break;
        }
        size_t want = cap - n < (1u << 30) ? cap - n : 1u << 30;
        int64_t got = f->io->read(f->io->user, fd, buf + n, want);
        if (got == -EINTR) continue;
        if (got < 0) st = hn_io_fail(err, path, "read", got);
        if (got <= 0) break;
        n += (size_t)got;
        if (n > limit) {
            st = too_large(err, path, "the input has", limit);
            break;
        }
    }
    if (st != HONE_OK) {
        hn_free(m, buf);
        return st;
    }
    f->p = buf;
    f->n = n;
    f->mem = m;
    return HONE_OK;
}

/* fd is open on path; fills f by the best way there is. */
static hone_status take(struct hn_file *f, struct hn_mem *m, int fd, const char *path, size_t limit,
                        hone_error *err)
{
    struct hn_stat s;
    const void *p;
    int rc = f->io->stat(f->io->user, fd, &s);
    if (rc < 0) return hn_io_fail(err, path, "look at", rc);
    if (s.is_dir) return hn_fail(err, HONE_E_IO, path, "found a folder, wanted a file");
    if (!s.is_regular || s.size <= 0) return read_all(f, m, fd, path, limit, err);
    if ((uint64_t)s.size > limit) return too_large(err, path, "the file has", limit);
    rc = f->io->map(f->io->user, fd, (size_t)s.size, &p);
    if (rc == -ENODEV || rc == -EINVAL) return read_all(f, m, fd, path, limit, err);
    if (rc < 0) return hn_io_fail(err, path, "map", rc);
    f->p = p;
    f->n = (size_t)s.size;
    return HONE_OK;
}

static hone_status take_and_close(struct hn_file *f, struct hn_mem *m, int fd, const char *path,
                                  size_t limit, hone_error *err)
{
    if (fd < 0) return hn_io_fail(err, path, "open", fd);
    hone_status st = take(f, m, fd, path, limit, err);
    int rc = f->io->close(f->io->user, fd);
    if (st == HONE_OK && rc < 0 && rc != -EINTR) st = hn_io_fail(err, path, "close", rc);
    if (st != HONE_OK) hn_file_close(f);
    return st;
}

hone_status hn_file_open(struct hn_file *f, const struct hn_io *io, struct hn_mem *m,
                         const char *path, size_t max_bytes, hone_error *err)
{
    size_t limit = max_bytes ? max_bytes : SIZE_MAX;
    *f = (struct hn_file){ .p = no_bytes, .io = io };
    if (strcmp(path, "-") == 0) {
        hone_status st = take(f, m, 0, "standard input", limit, err);
        if (st != HONE_OK) *f = (struct hn_file){ 0 };
        return st;
    }
    int fd;
    do fd = io->open(io->user, path, O_RDONLY | O_NOCTTY, 0);
    while (fd == -EINTR);
    return take_and_close(f, m, fd, path, limit, err);
}

hone_status hn_file_open_beneath(struct hn_file *f, const struct hn_io *io, struct hn_mem *m,
                                 const char *dir, const char *rel, hone_error *err)
{
    int fd;
    *f = (struct hn_file){ .p = no_bytes, .io = io };
    do fd = io->open_beneath(io->user, dir, rel, O_RDONLY, 0);
    while (fd == -EINTR);
    const char *why = fd == -EXDEV    ? "the name leaves the folder"
                      : fd == -ELOOP  ? "a part of the name is a symbolic link"
                      : fd == -EMLINK ? "the file has more than one hard link"
                      : fd == -EINVAL ? "it is not a regular file"
                                      : NULL;
    if (why)
        return hn_fail(err, HONE_E_IO, rel, "refused to open: %s (folder '%s')", why,
                       *dir ? dir : ".");
    return take_and_close(f, m, fd, rel, SIZE_MAX, err);
}

void hn_file_close(struct hn_file *f)
{
    if (f->mem)
        hn_free(f->mem, (void *)(uintptr_t)f->p);
    else if (f->n)
        f->io->unmap(f->io->user, f->p, f->n);
    *f = (struct hn_file){ 0 };
}

/* ---- gzip (RFC 1952) ---- */

static void *z_alloc(void *mem, uInt n, uInt size) { return hn_calloc(mem, n, size); }
static void z_free(void *mem, void *p) { hn_free(mem, p); }

struct inflation {
    struct hn_mem *mem;
    const char *path;
    size_t limit;
    unsigned char *out;
    size_t n, cap;
};

/* One member from z->next_in on; all of it is in memory, so that running out of input is an error. */
static hone_status inflate_member(struct inflation *w, z_stream *z, const unsigned char *end,
                                  hone_error *err)
{
    for (int rc = Z_OK; rc != Z_STREAM_END;) {
        if (!make_room(w->mem, &w->out, w->n, &w->cap, w->limit))
            return hn_nomem(err, w->path, w->cap * 2);
        size_t room = w->cap - w->n, left = (size_t)(end - z->next_in);
        uInt give = (uInt)(room < (1u << 30) ? room : 1u << 30);
        z->next_out = w->out + w->n;
        z->avail_out = give;
        z->avail_in = (uInt)(left < (1u << 30) ? left : 1u << 30);
        rc = inflate(z, Z_NO_FLUSH);
        w->n += give - z->avail_out;
        if (w->n > w->limit) return too_large(err, w->path, "inflated, the data have", w->limit);
        if (rc == Z_MEM_ERROR) return hn_nomem(err, w->path, 1 << 15);
        if (rc == Z_BUF_ERROR && z->avail_out)
            return hn_fail(err, HONE_E_DATA, w->path, "the gzip data end early");
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return hn_fail(err, HONE_E_DATA, w->path, "damaged gzip data: %s",
                           z->msg ? z->msg : "?");
    }
    return HONE_OK;
}

static int has_gzip(const unsigned char *p, const unsigned char *end)
{
    return end - p >= 2 && p[0] == 0x1F && p[1] == 0x8B;
}

hone_status hn_file_gunzip(struct hn_file *f, struct hn_mem *m, const char *path, size_t max_bytes,
                           hone_error *err)
{
    const unsigned char *end = f->p + f->n;
    if (!has_gzip(f->p, end)) return HONE_OK;
    struct inflation w = { .mem = m, .path = path, .limit = max_bytes ? max_bytes : SIZE_MAX };
    z_stream z = { .zalloc = z_alloc, .zfree = z_free, .opaque = m };
    z.next_in = (z_const Bytef *)(uintptr_t)f->p;
    if (inflateInit2(&z, 15 + 16) != Z_OK) return hn_nomem(err, path, 1 << 15);
    hone_status st = inflate_member(&w, &z, end, err);
    while (st == HONE_OK && has_gzip(z.next_in, end)) { /* members may follow one another */
        inflateReset(&z);
        st = inflate_member(&w, &z, end, err);
    }
    while (st == HONE_OK && z.next_in < end) /* padding of tapes and disk blocks */
        if (*z.next_in++ != 0)
            st = hn_fail(err, HONE_E_DATA, path, "found other bytes behind the gzip data");
    inflateEnd(&z);
    if (st != HONE_OK) {
        hn_free(m, w.out);
        return st;
    }
    const struct hn_io *io = f->io;
    hn_file_close(f);
    *f = (struct hn_file){ .p = w.out, .n = w.n, .io = io, .mem = m };
    return HONE_OK;
}
