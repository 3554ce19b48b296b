/* SPDX-License-Identifier: MIT
 *
 * Path pieces, by text alone: nothing is looked up on disk except by hn_path_exists and hn_path_follow. */
#include "ops/base/io.h"
#include "ops/base/status.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

char *hn_path_join(struct hn_mem *m, const char *dir, const char *name)
{
    if (*name == '/' || !*dir) return hn_strdup(m, name);
    size_t n = strlen(dir), k = strlen(name);
    int slash = dir[n - 1] != '/';
    char *p = hn_alloc(m, n + (size_t)slash + k + 1);
    if (!p) return NULL;
    memcpy(p, dir, n);
    if (slash) p[n] = '/';
    memcpy(p + n + slash, name, k + 1);
    return p;
}

char *hn_path_dir(struct hn_mem *m, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--; /* "a/b/" is b in a */
    while (n > 0 && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    if (n == 0) return hn_strdup(m, ".");
    char *p = hn_alloc(m, n + 1);
    if (!p) return NULL;
    memcpy(p, path, n);
    p[n] = '\0';
    return p;
}

const char *hn_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int hn_path_exists(const struct hn_io *io, const char *path)
{
    struct hn_stat st;
    return io->stat_path(io->user, path, &st) == 0;
}

/* What the link at path points to, from where path is seen. *out NULL: it is no link. */
static hone_status next_link(const struct hn_io *io, struct hn_mem *m, const char *path, char **out,
                             hone_error *err)
{
    char target[PATH_MAX];
    *out = NULL;
    const int64_t n = io->read_link(io->user, path, target, sizeof target);
    if (n == -EINVAL || n == -ENOENT) return HONE_OK;
    if (n < 0) return hn_io_fail(err, path, "look at", n);
    if (n == 0 || n >= (int64_t)sizeof target)
        return hn_io_fail(err, path, "follow", -ENAMETOOLONG);
    target[n] = '\0';
    char *dir = target[0] == '/' ? NULL : hn_path_dir(m, path);
    *out = target[0] == '/' ? hn_strdup(m, target) : dir ? hn_path_join(m, dir, target) : NULL;
    hn_free(m, dir);
    return *out ? HONE_OK : hn_nomem(err, path, (size_t)n);
}

hone_status hn_path_follow(const struct hn_io *io, struct hn_mem *m, const char *path, char **out,
                           hone_error *err)
{
    enum { MOST_LINKS = 40 }; /* as the kernel */
    char *at = NULL, *next;
    *out = NULL;
    for (int i = 0; i <= MOST_LINKS; i++) {
        hone_status st = next_link(io, m, at ? at : path, &next, err);
        if (st != HONE_OK || !next) {
            if (st == HONE_OK)
                *out = at;
            else
                hn_free(m, at);
            return st;
        }
        hn_free(m, at);
        at = next;
    }
    hn_free(m, at);
    return hn_io_fail(err, path, "follow", -ELOOP);
}
