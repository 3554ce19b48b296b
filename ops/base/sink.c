/* SPDX-License-Identifier: MIT
 *
 * Where bytes go: the growing buffer, the append-only file, and the helpers over any sink. */
#include "ops/base/format.h"
#include "ops/base/io.h"
#include "ops/base/status.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

hone_status hn_sink_str(struct hn_sink *s, const char *text, hone_error *err)
{
    return s->write(s, text, strlen(text), err);
}

struct printing {
    struct hn_sink *sink;
    hone_error *err;
    hone_status status;
};

static int print_piece(void *user, const char *p, size_t n)
{
    struct printing *w = user;
    w->status = w->sink->write(w->sink, p, n, w->err);
    return w->status != HONE_OK;
}

hone_status hn_sink_printf(struct hn_sink *s, hone_error *err, const char *fmt, ...)
{
    struct printing w = { s, err, HONE_OK };
    va_list ap;
    va_start(ap, fmt);
    int rc = hn_format(print_piece, &w, fmt, ap);
    va_end(ap);
    if (rc < 0) return hn_fail(err, HONE_E_INTERNAL, "", "unknown conversion in format '%s'", fmt);
    return w.status;
}

/* ---- buffer ---- */

static hone_status buffer_write(struct hn_sink *s, const void *p, size_t n, hone_error *err)
{
    struct hn_buffer *b = (struct hn_buffer *)s;
    if (n >= SIZE_MAX - b->n) return hn_nomem(err, "a text buffer", n);
    size_t need = b->n + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap > SIZE_MAX / 2 ? SIZE_MAX : b->cap * 2;
        if (cap < need) cap = need < 256 ? 256 : need;
        char *q = hn_realloc(b->mem, b->p, cap, 1);
        if (!q) return hn_nomem(err, "a text buffer", cap);
        b->p = q;
        b->cap = cap;
    }
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
    return HONE_OK;
}

void hn_buffer_init(struct hn_buffer *b, struct hn_mem *m)
{
    *b = (struct hn_buffer){ .sink.write = buffer_write, .mem = m };
}

void hn_buffer_free(struct hn_buffer *b)
{
    if (b->mem) hn_free(b->mem, b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

/* ---- appender ---- */

static hone_status appender_write(struct hn_sink *s, const void *p, size_t n, hone_error *err)
{
    struct hn_appender *a = (struct hn_appender *)s;
    int rc = hn_io_write_all(a->io, a->fd, p, n);
    return rc < 0 ? hn_io_fail(err, a->path, "write", rc) : HONE_OK;
}

/* Where the last line begins, of JSON lines whose last one has no end; else size. *whole: but for its end it is all there. */
static int64_t torn_at(const char *p, size_t size, int *whole)
{
    const char *end = memrchr(p, '\n', size), *line = end ? end + 1 : p;
    *whole = p[size - 1] == '}';
    return line < p + size && *line == '{' ? line - p : (int64_t)size;
}

static int look_at_end(const struct hn_appender *a, const char *path, const struct hn_stat *st,
                       int64_t *at, int *whole)
{
    const void *p;
    int fd;
    do fd = a->io->open(a->io->user, path, O_RDONLY | O_NOCTTY, 0);
    while (fd == -EINTR);
    if (fd == -EACCES) return 0; /* it may be written to only */
    if (fd < 0) return fd;
    int rc = a->io->map(a->io->user, fd, (size_t)st->size, &p);
    if (rc == 0) {
        *at = torn_at(p, (size_t)st->size, whole);
        a->io->unmap(a->io->user, p, (size_t)st->size);
    }
    a->io->close(a->io->user, fd);
    return rc;
}

static hone_status mend_end(struct hn_appender *a, const char *path, hone_error *err)
{
    struct hn_stat st = { 0 };
    int whole = 0, rc = a->io->stat(a->io->user, a->fd, &st);
    int64_t at = st.size;
    if (rc == 0 && (!st.is_regular || !st.size)) return HONE_OK;
    if (rc == 0) rc = look_at_end(a, path, &st, &at, &whole);
    if (rc < 0) return hn_io_fail(err, path, "read the end of", rc);
    if (at == st.size) return HONE_OK;
    if (whole) return a->sink.write(&a->sink, "\n", 1, err);
    rc = a->io->truncate(a->io->user, a->fd, at);
    return rc < 0 ? hn_io_fail(err, path, "cut a broken line off", rc) : HONE_OK;
}

hone_status hn_appender_open(struct hn_appender *a, const struct hn_io *io, const char *path,
                             int truncate, hone_error *err)
{
    int fd, flags = O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | (truncate ? O_TRUNC : 0);
    *a = (struct hn_appender){ .fd = -1 };
    do fd = io->open(io->user, path, flags, 0666);
    while (fd == -EINTR);
    if (fd < 0) return hn_io_fail(err, path, "open for writing", fd);
    *a = (struct hn_appender){ .sink.write = appender_write, .io = io, .fd = fd };
    memcpy(a->path, path, strnlen(path, sizeof a->path - 1));
    hone_status st = truncate ? HONE_OK : mend_end(a, path, err);
    if (st != HONE_OK) hn_appender_close(a);
    return st;
}

void hn_appender_close(struct hn_appender *a)
{
    if (a->io && a->fd >= 0) a->io->close(a->io->user, a->fd);
    *a = (struct hn_appender){ .fd = -1 };
}
