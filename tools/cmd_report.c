/* SPDX-License-Identifier: MIT
 *
 * hone report: a run folder as one page that opens from disk and loads nothing. The page is a function of the folder's
 * files: made twice it is the same bytes. */
#include "tools/report.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char MARK[] = "<meta name=\"generator\" content=\"hone report\">";

static int io_error(struct cli *c, const char *path, const char *what)
{
    c->err.code = HONE_E_IO;
    snprintf(c->err.where, sizeof c->err.where, "%.250s", path);
    snprintf(c->err.text, sizeof c->err.text, "%s: %s", what, strerror(errno));
    return report_error(c);
}

/* A page made before may be replaced, another file only with --force. */
static int may_write(struct cli *c, const char *path)
{
    char head[512] = "";
    const char *force = hone_params_get(c->params, "force", 0);
    FILE *f = fopen(path, "rbe");
    if (!f) return 1;
    head[fread(head, 1, sizeof head - 1, f)] = 0;
    fclose(f);
    if (strstr(head, MARK) || (force && !strcmp(force, "true"))) return 1;
    c->err.code = HONE_E_USAGE;
    snprintf(c->err.where, sizeof c->err.where, "%.250s", path);
    snprintf(c->err.text, sizeof c->err.text, "is there already and no report");
    snprintf(c->err.hint, sizeof c->err.hint, "--force replaces it");
    return 0;
}

/* Is path, by whatever way there, a file beside the run's own that is no page? */
static int is_of_run(const char *dir, const char *path)
{
    char head[512] = "", folder[PATH_MAX], run[PATH_MAX];
    if (!realpath(path, folder) || !realpath(dir, run)) return 0;
    FILE *f = fopen(folder, "rbe");
    if (!f) return 0;
    head[fread(head, 1, sizeof head - 1, f)] = 0;
    fclose(f);
    *strrchr(folder, '/') = 0;
    return !strcmp(folder, run) && !strstr(head, MARK);
}

static int refuse_of_run(struct cli *c, const char *path)
{
    c->err.code = HONE_E_USAGE;
    snprintf(c->err.where, sizeof c->err.where, "out");
    snprintf(c->err.text, sizeof c->err.text,
             "found '%.200s', which is a file of the run: it would be damaged", path);
    return report_error(c);
}

/* A link stays, and what it points to is replaced: its path into buf; path where it is none. Of one that points to nothing the
 * first step is enough for the rename to be beside it. */
static const char *place_of(const char *path, char buf[PATH_MAX])
{
    char target[PATH_MAX];
    const ssize_t n = readlink(path, target, sizeof target - 1);
    const char *slash = strrchr(path, '/');
    if (n <= 0) return path;
    if (realpath(path, buf)) return buf;
    target[n] = '\0';
    const int dir = slash && target[0] != '/' ? (int)(slash + 1 - path) : 0;
    return snprintf(buf, PATH_MAX, "%.*s%s", dir, path, target) < PATH_MAX ? buf : path;
}

/* Beside the place, then renamed: nobody sees half a page. A name of 255 bytes has no room for more. */
static int write_page(struct cli *c, const char *path, const char *page, size_t n)
{
    char aside[PATH_MAX + 32], buf[PATH_MAX];
    path = place_of(path, buf);
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    snprintf(aside, sizeof aside, "%.*s.%.240s.hone-tmp", (int)(base - path), path, base);
    FILE *f = fopen(aside, "wbe");
    if (!f) return io_error(c, path, "cannot be written");
    int bad = fwrite(page, 1, n, f) != n || fflush(f) != 0 || fsync(fileno(f)) != 0;
    int number = errno;
    bad |= fclose(f) != 0;
    if (!bad && rename(aside, path) == 0) return 0;
    if (bad) errno = number;
    int code = io_error(c, path, "cannot be written");
    unlink(aside);
    return code;
}

static int make_page(const json_t *tree, char **page, size_t *n)
{
    FILE *f = open_memstream(page, n);
    if (!f) return 0;
    if (!strcmp(jtext(tree, "kind"), "tune"))
        report_tune(f, tree);
    else if (!strcmp(jtext(tree, "kind"), "lr-find"))
        report_range(f, tree);
    else
        report_train(f, tree);
    int bad = ferror(f);
    return fclose(f) == 0 && !bad;
}

int put_report(struct cli *c, const json_t *tree, const char *path)
{
    char *page = NULL;
    size_t n = 0;
    int code;
    if (!may_write(c, path)) {
        code = report_error(c);
    } else if (!make_page(tree, &page, &n)) {
        c->err.code = HONE_E_NOMEM;
        code = report_error(c);
    } else {
        code = write_page(c, path, page, n);
    }
    free(page);
    return code;
}

static int finish(struct cli *c, const json_t *tree, const char *path)
{
    const json_t *says = json_object_get(tree, "diagnosis");
    if (!c->quiet) {
        FILE *f = people(c);
        if (says) fprintf(f, "%s\n", jtext(says, "headline"));
        size_t i;
        json_t *line;
        json_array_foreach(json_object_get(tree, "findings"), i, line)
        {
            print_name(f, json_string_value(line));
            fputc('\n', f);
        }
        fputs("written to ", f);
        print_name(f, path);
        fputc('\n', f);
    }
    json_t *out = json_pack("{s:s, s:b, s:s, s:o, s:O*, s:O*}", "schema", "hone.report/1", "ok", 1,
                            "kind", jtext(tree, "kind"), "path", json_name(path), "diagnosis", says,
                            "findings", json_object_get(tree, "findings"));
    return out ? print_tree(c, out) : EXIT_MEMORY;
}

static int run(struct cli *c)
{
    char path[4096];
    const char *dir = c->args[0];
    json_t *tree = report_read(c, dir);
    if (!tree) return report_error(c);
    snprintf(path, sizeof path, "%s%sreport.html", dir, dir[strlen(dir) - 1] == '/' ? "" : "/");
    if (c->out) snprintf(path, sizeof path, "%s", c->out);
    int code = is_of_run(dir, path) ? refuse_of_run(c, path) : put_report(c, tree, path);
    if (!code) code = finish(c, tree, path);
    json_decref(tree);
    return code;
}

const struct command cmd_report = {
    .name = "report",
    .args = "RUNDIR",
    .min_args = 1,
    .max_args = 1,
    .takes_out = 1,
    .schema = "hone.report/1",
    .groups = "",
    .also = " force ",
    .summary = "a run as one HTML page: curves, diagnosis, trials",
    .examples = "hone report best.onnx.run\n"
                "hone report better.onnx.run -o report.html",
    .run = run,
};
