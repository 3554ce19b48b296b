/* SPDX-License-Identifier: MIT
 *
 * What a command writes must not be what it reads, by whatever name: lines of --events are appended to a file, and --force replaces one.
 * Known before hours are spent. A training run may replace the model that it was given (--force); that is model_save.c's to judge. */
#include "ops/base/io.h"
#include "ops/base/status.h"
#include "plugin/internal.h"
#include "plugin/model.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static const char *const inputs[] = { "data",
                                      "x",
                                      "y",
                                      "val-data",
                                      "val-x",
                                      "val-y",
                                      "test-data",
                                      "test-x",
                                      "test-y",
                                      "pretrain-data",
                                      "pretrain-x",
                                      "sample-weights",
                                      "val-sample-weights",
                                      "test-sample-weights",
                                      "group",
                                      "space",
                                      "plugin" };

static int is_it(const struct hn_io *io, const char *path, const struct hn_stat *it)
{
    struct hn_stat st;
    return io->stat_path(io->user, path, &st) >= 0 && st.dev == it->dev && st.ino == it->ino;
}

/* FILE, NAME=FILE, FILE:KEY, NAME=FILE:KEY */
static int names_it(const struct hn_io *io, const char *text, const struct hn_stat *it)
{
    char path[PATH_MAX];
    const char *equals = strchr(text, '='), *colon = strrchr(text, ':');
    const size_t n = colon ? (size_t)(colon - text) : 0;
    if (is_it(io, text, it)) return 1;
    if (n && n < sizeof path) {
        memcpy(path, text, n);
        path[n] = '\0';
        if (is_it(io, path, it)) return 1;
    }
    return equals && names_it(io, equals + 1, it);
}

static hone_status clash(const char *option, const char *path, const char *what, const char *input,
                         hone_error *err)
{
    return hn_fail(err, HONE_E_USAGE, option,
                   "found '%s', which is %s%s as well: it would be damaged", path, what, input);
}

static hone_status check_inputs(const struct hn_io *io, const hone_params *p, const char *option,
                                const char *path, const struct hn_stat *it, hone_error *err)
{
    const char *text;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        for (size_t k = 0; (text = hone_params_get(p, inputs[i], k)); k++)
            if (names_it(io, text, it)) return clash(option, path, "that of --", inputs[i], err);
    return HONE_OK;
}

/* The folder of a path, "." for a name alone. 0: too long. */
static int folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 1;
    if (n >= PATH_MAX) return 0;
    memcpy(folder, slash ? path : ".", n);
    folder[n] = '\0';
    return 1;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Of files that need not be there yet. */
static int same_place(const struct hn_io *io, const char *a, const char *b)
{
    char in_a[PATH_MAX], in_b[PATH_MAX];
    struct hn_stat st;
    if (io->stat_path(io->user, a, &st) >= 0) return is_it(io, b, &st);
    return !strcmp(name_of(a), name_of(b)) && folder_of(a, in_a) && folder_of(b, in_b) &&
           io->stat_path(io->user, in_a, &st) >= 0 && is_it(io, in_b, &st);
}

/* Lines are appended: to what is a file of such lines, or empty, or no file (a pipe, a terminal), or a stream that whoever called has
 * open (/dev/stderr), where other lines are expected. */
static hone_status check_lines(const struct hn_io *io, const char *path, const struct hn_stat *it,
                               hone_error *err)
{
    unsigned char first = 0;
    int64_t got;
    if (!it->is_regular || it->size == 0 || !strncmp(path, "/dev/", 5)) return HONE_OK;
    int fd = io->open(io->user, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0) return hn_io_fail(err, path, "read", fd);
    do got = io->read(io->user, fd, &first, 1);
    while (got == -EINTR);
    io->close(io->user, fd);
    if (got < 0) return hn_io_fail(err, path, "read", got);
    if (got == 0 || first == '{') return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "events",
                           "'%s' is there and holds no events, which would begin with '{'", path),
                   "another name, or remove the file");
}

static hone_status check_output(const hone_model *m, const hone_params *p, const char *option,
                                hone_error *err)
{
    const struct hn_io *io = m->ctx->io;
    const char *path = hn_param_s(p, option), *model = hn_model_path(m),
               *out = hn_param_s(p, "out");
    const int result = !strcmp(option, "out");
    struct hn_stat it;
    if (!path[0]) return HONE_OK;
    if (!result && out[0] && same_place(io, path, out))
        return clash(option, path, "the result", "", err);
    if (io->stat_path(io->user, path, &it) < 0) return HONE_OK;
    if (!result && model && is_it(io, model, &it)) return clash(option, path, "the model", "", err);
    HN_TRY(check_inputs(io, p, option, path, &it, err));
    return strcmp(option, "events") ? HONE_OK : check_lines(io, path, &it, err);
}

hone_status hn_places_check_file(const hone_model *m, const hone_params *p, const char *path,
                                 hone_error *err)
{
    const struct hn_io *io = m->ctx->io;
    const char *model = hn_model_path(m);
    struct hn_stat it;
    if (io->stat_path(io->user, path, &it) < 0) return HONE_OK;
    if (model && is_it(io, model, &it)) return clash("out", path, "the model", "", err);
    return check_inputs(io, p, "out", path, &it, err);
}

hone_status hn_places_check(const hone_model *m, const hone_params *p, hone_error *err)
{
    HN_TRY(check_output(m, p, "out", err));
    HN_TRY(check_output(m, p, "study", err));
    return check_output(m, p, "events", err);
}
