/* SPDX-License-Identifier: MIT
 *
 * A folder of its own, in the build folder, for a test that writes files, and what the tests of this area do with it. */
#ifndef HN_TEST_SCRATCH_H
#define HN_TEST_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_dir[300];

static inline void scratch_begin(void)
{
    snprintf(scratch_dir, sizeof scratch_dir, "%s/scratch-XXXXXX", HN_BINARY_DIR);
    if (!mkdtemp(scratch_dir)) abort();
}

/* The path of name in the folder; four may be in use at once. */
static inline const char *scratch(const char *name)
{
    static char paths[4][600];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", scratch_dir, name);
    return p;
}

static inline void scratch_write(const char *name, const void *p, size_t n)
{
    int fd = open(scratch(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd)) abort();
}

/* The content of a file, NUL-terminated; NULL when there is none. The caller frees. */
static inline char *scratch_read(const char *name, size_t *n)
{
    int fd = open(scratch(name), O_RDONLY);
    if (fd < 0) return NULL;
    size_t size = (size_t)lseek(fd, 0, SEEK_END);
    char *p = calloc(size + 1, 1);
    if (!p || pread(fd, p, size, 0) != (ssize_t)size || close(fd)) abort();
    if (n) *n = size;
    return p;
}

static inline int scratch_count(void)
{
    int n = 0;
    DIR *d = opendir(scratch_dir);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

static inline void scratch_end(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_dir);
    if (system(command)) abort();
}
#endif
