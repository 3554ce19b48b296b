/* SPDX-License-Identifier: MIT
 *
 * The one choke point of files. A hn_io is a table of the few system calls Hone makes, so that tests can let the n-th
 * one fail, be short, or end the process. Calls return a value >= 0 or -errno and never touch a hone_error; the helpers
 * below them do. EINTR and short counts are handled in the helpers. A mapped file that somebody else truncates while it
 * is in use ends the process (SIGBUS): that is the price of mapping; the command says which it was. */
#ifndef HN_IO_H
#define HN_IO_H

#include "ops/base/hone_status.h"
#include "ops/base/memory.h"

struct hn_stat {
    int64_t size, mtime_ns, ctime_ns; /* of the content, of the content or the inode */
    uint64_t dev, ino, links;
    int is_regular, is_dir;
    unsigned mode; /* permission bits */
};

struct hn_io {
    void *user;
    int (*open)(void *user, const char *path, int flags, unsigned mode); /* O_CLOEXEC is added */
    int (*open_beneath)(void *user, const char *dir, const char *rel, int flags,
                        unsigned mode); /* no escape, no links:
                          openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), or its emulation. -EXDEV: absolute or a "..";
                          -ELOOP: a symbolic link; -EMLINK: hard links; -EINVAL: not a regular file */
    int64_t (*read)(void *user, int fd, void *buf, size_t n);
    int64_t (*write)(void *user, int fd, const void *buf, size_t n);
    int (*sync)(void *user, int fd);
    int (*close)(void *user, int fd);
    int (*stat)(void *user, int fd, struct hn_stat *st);
    int (*stat_path)(void *user, const char *path, struct hn_stat *st);
    int64_t (*read_link)(void *user, const char *path, char *buf, size_t n); /* as readlink: no 0 */
    int (*map)(void *user, int fd, size_t n, const void **p); /* read-only, private */
    int (*unmap)(void *user, const void *p, size_t n);
    int (*rename)(void *user, const char *from, const char *to);
    int (*unlink)(void *user, const char *path);
    int (*mkdir)(void *user, const char *path, unsigned mode);
    int (*rmdir)(void *user, const char *path);
    int (*chmod)(void *user, int fd, unsigned mode);
    int (*truncate)(void *user, int fd, int64_t size);
};

extern const struct hn_io hn_io_system; /* the real calls */

/* What open_beneath does on a kernel without openat2: one component after the other, without following links. */
int hn_io_walk_beneath(const char *dir, const char *rel, int flags, unsigned mode);

/* HONE_E_IO "cannot ACTION: No such file or directory" about path, from a call's -errno; hints where one is known. */
hone_status hn_io_fail(hone_error *err, const char *path, const char *action, int64_t rc);
/* All n bytes, whatever EINTR and short writes do: 0 or -errno. */
int hn_io_write_all(const struct hn_io *io, int fd, const void *p, size_t n);

/* A whole file, mapped when it is regular and not empty, else read (a pipe, "-" is standard input). More than max_bytes
 * (0: no limit) is HONE_E_BUDGET. p is never NULL after success. close is safe on a zeroed struct. */
struct hn_file {
    const unsigned char *p;
    size_t n;
    const struct hn_io *io;
    struct hn_mem *mem; /* set when p was read, not mapped */
};
hone_status hn_file_open(struct hn_file *f, const struct hn_io *io, struct hn_mem *m,
                         const char *path, size_t max_bytes, hone_error *err);
/* The same for `rel` inside folder `dir`, contained (external tensor data). */
hone_status hn_file_open_beneath(struct hn_file *f, const struct hn_io *io, struct hn_mem *m,
                                 const char *dir, const char *rel, hone_error *err);
/* If f holds gzip data (1f 8b), replaces it by the inflated bytes, at most max_bytes of them (0: no
 * limit); on failure f stays what it was. */
hone_status hn_file_gunzip(struct hn_file *f, struct hn_mem *m, const char *path, size_t max_bytes,
                           hone_error *err);
void hn_file_close(struct hn_file *f);

/* Where bytes go: a growing buffer, a file being written aside, a callback. Every export and every JSON uses one. */
struct hn_sink {
    hone_status (*write)(struct hn_sink *s, const void *p, size_t n, hone_error *err);
};
hone_status hn_sink_str(struct hn_sink *s, const char *text, hone_error *err);
/* The usual conversions (d i u x X o c s p e f g a with flags, width, precision and length), text of any length; numbers
 * have a '.' whatever the locale. */
hone_status hn_sink_printf(struct hn_sink *s, hone_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct hn_buffer { /* a sink into memory; p stays NUL-terminated */
    struct hn_sink sink;
    struct hn_mem *mem;
    char *p;
    size_t n, cap;
};
void hn_buffer_init(struct hn_buffer *b, struct hn_mem *m);
void hn_buffer_free(struct hn_buffer *b);

/* Durable replacement of a file: written to a temporary beside it (O_EXCL), synced, renamed, folder synced.
 * begin → sink.write… → commit or abort (abort after a failed commit is harmless; both may be called on a zeroed struct).
 * A symbolic link at `path` is followed: what it points to is replaced or created, in its own folder, and the link stays. One
 * to a file that nobody may write is refused (stores of DVC and git-annex).
 * An existing file at `path` keeps its permission bits and is untouched until commit renames; the one failure after that
 * is that the folder cannot be synced, and then the message says so. The temporary of a writer that was killed is
 * replaced by the next one; of two that write the same path at the same time, the first fails. `prepare` (optional step before commit) syncs and
 * closes the temporary so that it can be re-read at tmp_path; commit then only renames. */
struct hn_atomic {
    struct hn_sink sink;
    const struct hn_io *io;
    struct hn_mem *mem;
    char *path, *tmp_path;
    unsigned char *buf; /* write buffer */
    size_t n_buf;
    int fd, active;
    int unsynced; /* set after begin: no sync; after a power cut the old file, the new one or neither may be there */
    hone_status failed; /* the first write that failed: commit then refuses */
    struct hn_stat tmp; /* the temporary as it was closed: commit renames no other file */
};
hone_status hn_atomic_begin(struct hn_atomic *a, const struct hn_io *io, struct hn_mem *m,
                            const char *path, hone_error *err);
/* The same, but a link at `path` is itself replaced: for files whose name alone is ours, such as those that are renamed. */
hone_status hn_atomic_begin_here(struct hn_atomic *a, const struct hn_io *io, struct hn_mem *m,
                                 const char *path, hone_error *err);
hone_status hn_atomic_prepare(struct hn_atomic *a, hone_error *err);
hone_status hn_atomic_commit(struct hn_atomic *a, hone_error *err);
void hn_atomic_abort(struct hn_atomic *a);
hone_status hn_write_file(const struct hn_io *io, struct hn_mem *m, const char *path, const void *p,
                          size_t n, hone_error *err);

/* The same without syncing, for files that tell people where things are and that nothing is lost with. */
hone_status hn_replace_file(const struct hn_io *io, struct hn_mem *m, const char *path,
                            const void *p, size_t n, hone_error *err);

/* An append-only text file (events.jsonl, metrics.csv): a sink that writes each call through, so
 * give it whole lines (build them in a hn_buffer). Of JSON lines that are there already, what a kill or a full disk has left of
 * the last one is cut off, so that the next line begins a line. */
struct hn_appender {
    struct hn_sink sink;
    const struct hn_io *io;
    int fd;
    char path[512];
};
hone_status hn_appender_open(struct hn_appender *a, const struct hn_io *io, const char *path,
                             int truncate, hone_error *err);
void hn_appender_close(struct hn_appender *a);

/* Path pieces, allocated from mem. dirname of "x.onnx" is ".". */
char *hn_path_join(struct hn_mem *m, const char *dir, const char *name);
char *hn_path_dir(struct hn_mem *m, const char *path);
const char *hn_path_base(const char *path);
int hn_path_exists(const struct hn_io *io, const char *path);
/* Where path ends once the links that it names itself are followed (those of its folders are the kernel's); nothing needs to be
 * there. *out NULL: path is no link. */
hone_status hn_path_follow(const struct hn_io *io, struct hn_mem *m, const char *path, char **out,
                           hone_error *err);
#endif
