/* SPDX-License-Identifier: MIT
 *
 * Replacing a file so that, whatever happens and whenever, either the old or the new one is there, complete:
 *     open the temporary (O_EXCL, same folder) → write → fsync → close → rename over the target → fsync the folder
 * The temporary of path/NAME is path/.NAME.hone-tmp: always the same, so that killed processes leave one file and not
 * a heap of them. A leftover is unlinked first; a writer that lost its temporary to another one notices before it
 * renames. A link is followed first, so that the temporary and the rename are in the folder of the file itself. Neither the process umask nor the working folder is ever touched. */
#include "ops/base/io.h"
#include "ops/base/status.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { BUFFER_SIZE = 1 << 16, LONGEST_NAME = 255 };

static const char tail[] = ".hone-tmp";

/* Once something went wrong the file must not be committed, whatever the caller does next. */
static hone_status failed(struct hn_atomic *a, const char *action, int rc, hone_error *err)
{
    return a->failed = hn_io_fail(err, a->path, action, rc);
}

static hone_status put(struct hn_atomic *a, const void *p, size_t n, hone_error *err)
{
    int rc = hn_io_write_all(a->io, a->fd, p, n);
    return rc < 0 ? failed(a, "write", rc, err) : HONE_OK;
}

static hone_status flush(struct hn_atomic *a, hone_error *err)
{
    size_t n = a->n_buf;
    a->n_buf = 0;
    return put(a, a->buf, n, err);
}

static hone_status atomic_write(struct hn_sink *s, const void *p, size_t n, hone_error *err)
{
    struct hn_atomic *a = (struct hn_atomic *)s;
    if (a->fd < 0) return hn_fail(err, HONE_E_INTERNAL, a->path, "written to after it was closed");
    if (n > BUFFER_SIZE - a->n_buf) HN_TRY(flush(a, err));
    if (n >= BUFFER_SIZE) return put(a, p, n, err);
    if (n) memcpy(a->buf + a->n_buf, p, n);
    a->n_buf += n;
    return HONE_OK;
}

static char *temporary_name(struct hn_mem *m, const char *path)
{
    const char *base = hn_path_base(path);
    size_t head = (size_t)(base - path), n = strlen(base);
    if (n > LONGEST_NAME - sizeof tail) n = LONGEST_NAME - sizeof tail;
    char *p = hn_alloc(m, head + 1 + n + sizeof tail);
    if (!p) return NULL;
    memcpy(p, path, head);
    p[head] = '.';
    memcpy(p + head + 1, base, n);
    memcpy(p + head + 1 + n, tail, sizeof tail);
    return p;
}

/* The permission bits the new file shall have, or -1 for those of a new file. */
static hone_status look_at_target(struct hn_atomic *a, int *mode, hone_error *err)
{
    struct hn_stat st;
    int rc = a->io->stat_path(a->io->user, a->path, &st);
    *mode = -1;
    if (rc == -ENOENT) return HONE_OK;
    if (rc < 0) return hn_io_fail(err, a->path, "look at", rc);
    if (!st.is_regular)
        return hn_fail(err, HONE_E_IO, a->path, "cannot be replaced: found a %s, wanted a file",
                       st.is_dir ? "folder" : "device, pipe or socket");
    *mode = (int)(st.mode & 0777);
    return HONE_OK;
}

static hone_status open_temporary(struct hn_atomic *a, int mode, hone_error *err)
{
    const struct hn_io *io = a->io;
    struct hn_stat st;
    int rc, flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    for (int tries = 0; tries < 8; tries++) {
        a->fd = io->open(io->user, a->tmp_path, flags, mode < 0 ? 0666 : (unsigned)mode);
        if (a->fd == -EEXIST) {
            rc = io->unlink(io->user, a->tmp_path);
            if (rc < 0 && rc != -ENOENT) return hn_io_fail(err, a->tmp_path, "remove", rc);
        } else if (a->fd != -EINTR) {
            break;
        }
    }
    if (a->fd < 0) return hn_io_fail(err, a->tmp_path, "create", a->fd);
    a->active = 1;
    rc = io->stat(io->user, a->fd, &st);
    if (rc < 0) return hn_io_fail(err, a->tmp_path, "look at", rc);
    if (mode >= 0 &&
        (st.mode & 0777) != (unsigned)mode) { /* the umask took bits the old file has */
        rc = io->chmod(io->user, a->fd, (unsigned)mode);
        if (rc < 0) return hn_io_fail(err, a->tmp_path, "set the permissions of", rc);
    }
    return HONE_OK;
}

/* The kernel has been asked about the target before: links that it does not let us follow have failed there. */
static hone_status follow(struct hn_atomic *a, int mode, hone_error *err)
{
    char *target;
    HN_TRY(hn_path_follow(a->io, a->mem, a->path, &target, err));
    if (!target) return HONE_OK;
    if (mode >= 0 && !(mode & 0222)) {
        hone_status st = hn_hint(
            err,
            hn_fail(err, HONE_E_IO, a->path,
                    "is a link to a file that is write-protected, which is not replaced: %s",
                    target),
            "dvc unprotect, git annex unlock, or another file name");
        hn_free(a->mem, target);
        return st;
    }
    hn_free(a->mem, a->path);
    a->path = target;
    return HONE_OK;
}

static hone_status begin(struct hn_atomic *a, const struct hn_io *io, struct hn_mem *m,
                         const char *path, int follows, hone_error *err)
{
    int mode;
    *a = (struct hn_atomic){ .sink.write = atomic_write, .io = io, .mem = m, .fd = -1 };
    a->path = hn_strdup(m, path);
    a->buf = hn_alloc(m, BUFFER_SIZE);
    hone_status st = a->path && a->buf ? HONE_OK : hn_nomem(err, path, BUFFER_SIZE);
    if (st == HONE_OK) st = look_at_target(a, &mode, err);
    if (st == HONE_OK && follows) st = follow(a, mode, err);
    if (st == HONE_OK && !(a->tmp_path = temporary_name(m, a->path)))
        st = hn_nomem(err, path, strlen(path));
    if (st == HONE_OK) st = open_temporary(a, mode, err);
    if (st != HONE_OK) hn_atomic_abort(a);
    return st;
}

hone_status hn_atomic_begin(struct hn_atomic *a, const struct hn_io *io, struct hn_mem *m,
                            const char *path, hone_error *err)
{
    return begin(a, io, m, path, 1, err);
}

hone_status hn_atomic_begin_here(struct hn_atomic *a, const struct hn_io *io, struct hn_mem *m,
                                 const char *path, hone_error *err)
{
    return begin(a, io, m, path, 0, err);
}

hone_status hn_atomic_prepare(struct hn_atomic *a, hone_error *err)
{
    const struct hn_io *io = a->io;
    int rc;
    if (!a->active) return hn_fail(err, HONE_E_INTERNAL, "", "no file is being written");
    if (a->failed) return hn_fail(err, a->failed, a->path, "an earlier write failed");
    if (a->fd < 0) return HONE_OK;
    HN_TRY(flush(a, err));
    do rc = a->unsynced ? 0 : io->sync(io->user, a->fd);
    while (rc == -EINTR);
    if (rc < 0) return failed(a, "write to disk", rc, err);
    rc = io->stat(io->user, a->fd, &a->tmp);
    if (rc < 0) return failed(a, "look at", rc, err);
    rc = io->close(io->user, a->fd);
    a->fd = -1;
    if (rc < 0 && rc != -EINTR) return failed(a, "close", rc, err);
    return HONE_OK;
}

/* The folder holds the new name; a file system that cannot sync folders, or a folder that may not be read, is no
 * failure of ours. */
static hone_status sync_folder(struct hn_atomic *a, const char *dir, hone_error *err)
{
    const struct hn_io *io = a->io;
    static const char action[] = "make the new name durable (the file was replaced)";
    int rc, fd;
    do fd = io->open(io->user, dir, O_RDONLY | O_DIRECTORY, 0);
    while (fd == -EINTR);
    if (fd == -EACCES) return HONE_OK;
    if (fd < 0) return hn_io_fail(err, a->path, action, fd);
    do rc = io->sync(io->user, fd);
    while (rc == -EINTR);
    int closed = io->close(io->user, fd);
    if (rc == -EINVAL || rc == -ENOTSUP) rc = 0;
    if (rc == 0 && closed != -EINTR) rc = closed;
    return rc < 0 ? hn_io_fail(err, a->path, action, rc) : HONE_OK;
}

/* Size and time belong to it: the inode number of an unlinked file is soon given to another. */
static int same_file(const struct hn_stat *a, const struct hn_stat *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

static hone_status rename_over(struct hn_atomic *a, hone_error *err)
{
    struct hn_stat st;
    int rc = a->io->stat_path(a->io->user, a->tmp_path, &st);
    if (rc == -ENOENT || (rc == 0 && !same_file(&st, &a->tmp))) {
        a->active = 0; /* what is there now is not ours to remove */
        return hn_fail(err, HONE_E_IO, a->path, "somebody else is writing the same file");
    }
    if (rc < 0) return hn_io_fail(err, a->tmp_path, "look at", rc);
    rc = a->io->rename(a->io->user, a->tmp_path, a->path);
    if (rc < 0) return hn_io_fail(err, a->path, "replace", rc);
    a->active = 0;
    return HONE_OK;
}

hone_status hn_atomic_commit(struct hn_atomic *a, hone_error *err)
{
    HN_TRY(hn_atomic_prepare(a, err));
    char *dir = hn_path_dir(a->mem, a->path);
    if (!dir) return hn_nomem(err, a->path, strlen(a->path));
    hone_status st = rename_over(a, err);
    if (st == HONE_OK && !a->unsynced) st = sync_folder(a, dir, err);
    hn_free(a->mem, dir);
    if (!a->active) hn_atomic_abort(a); /* frees; there is nothing left to undo */
    return st;
}

void hn_atomic_abort(struct hn_atomic *a)
{
    if (a->io && a->fd >= 0) a->io->close(a->io->user, a->fd);
    if (a->io && a->active) a->io->unlink(a->io->user, a->tmp_path);
    if (a->mem) {
        hn_free(a->mem, a->path);
        hn_free(a->mem, a->tmp_path);
        hn_free(a->mem, a->buf);
    }
    *a = (struct hn_atomic){ .fd = -1 };
}

static hone_status write_whole(struct hn_atomic *a, const void *p, size_t n, hone_error *err)
{
    hone_status st = a->sink.write(&a->sink, p, n, err);
    if (st == HONE_OK) st = hn_atomic_commit(a, err);
    hn_atomic_abort(a);
    return st;
}

hone_status hn_write_file(const struct hn_io *io, struct hn_mem *m, const char *path, const void *p,
                          size_t n, hone_error *err)
{
    struct hn_atomic a;
    HN_TRY(hn_atomic_begin(&a, io, m, path, err));
    return write_whole(&a, p, n, err);
}

hone_status hn_replace_file(const struct hn_io *io, struct hn_mem *m, const char *path,
                            const void *p, size_t n, hone_error *err)
{
    struct hn_atomic a;
    HN_TRY(hn_atomic_begin(&a, io, m, path, err));
    a.unsynced = 1;
    return write_whole(&a, p, n, err);
}
