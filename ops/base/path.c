/* SPDX-License-Identifier: MIT
 *
 * Path pieces, by text alone: nothing is looked up on disk except by hn_path_exists. */
#include "ops/base/io.h"
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
