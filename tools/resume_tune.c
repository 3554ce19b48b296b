/* SPDX-License-Identifier: MIT
 *
 * hone resume of a search: its run folder has the command in tune.yaml and the trials in its study, so that it goes on as the
 * same command would. Data may have moved, and it may run on more or fewer cores. */
#include "tools/cli.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *path_in(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = malloc(n);
    if (path) snprintf(path, n, "%s/%s", dir, name);
    return path;
}

static int is_there(const char *dir, const char *name)
{
    char *path = path_in(dir, name);
    int there = path && access(path, F_OK) == 0;
    free(path);
    return there;
}

int is_search(const char *dir) { return is_there(dir, "tune.yaml"); }

static hone_status usage(struct cli *c, const char *where, const char *text, const char *hint)
{
    c->err = (hone_error){ .code = HONE_E_USAGE };
    snprintf(c->err.where, sizeof c->err.where, "%s", where);
    snprintf(c->err.text, sizeof c->err.text, "%s", text);
    snprintf(c->err.hint, sizeof c->err.hint, "%s", hint);
    return HONE_E_USAGE;
}

static hone_status set(struct cli *c, const char *name, const char *value)
{
    return hone_params_set(c->params, name, value, &c->err);
}

/* What the command line says goes over what the folder says: where things are and who computes, not what. */
static hone_status override(struct cli *c, const hone_params *given)
{
    hone_param_info info = { .size = sizeof info };
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        const char *text;
        if (!hone_params_is_set(given, info.name)) continue;
        if (!info.moves)
            return usage(
                c, info.name,
                "cannot change in a search that is continued: its result would be another one",
                "hone tune with another run folder begins a new one");
        if (set(c, info.name, NULL) != HONE_OK) return c->err.code;
        for (size_t k = 0; (text = hone_params_get(given, info.name, k)); k++)
            if (set(c, info.name, text) != HONE_OK) return c->err.code;
    }
    return HONE_OK;
}

/* The study in the folder is kept, and a model that was put in place before the end is replaced: --force would forget a study
 * of the folder's own, not one that is named. */
static hone_status place(struct cli *c, const char *dir)
{
    char *study = path_in(dir, "study.db");
    const char *named = hone_params_get(c->params, "study", 0);
    hone_status st = study ? set(c, "run-dir", dir) : HONE_E_NOMEM;
    if (st == HONE_OK && !(named && named[0])) st = set(c, "study", study);
    if (st == HONE_OK) st = set(c, "force", "true");
    free(study);
    if (st == HONE_E_NOMEM) c->err.code = st;
    return st;
}

static int is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* The search writes its model last: what was there before study.json said the result is what --force was to replace. */
static int is_in_place(const char *out, const char *study)
{
    struct stat a, b;
    return stat(out, &a) == 0 && stat(study, &b) == 0 && !is_before(&a.st_ctim, &b.st_mtim);
}

/* What the search said at its end, where the model is in place; else NULL. */
static json_t *result_of_finished(const char *dir, const char *out)
{
    char *path = path_in(dir, "study.json");
    json_t *r = path ? json_load_file(path, 0, NULL) : NULL;
    const char *reason = jtext(r, "stop_reason");
    int over = r && strcmp(reason, "running") != 0 && strcmp(reason, "interrupted") != 0 &&
               strcmp(reason, "error") != 0 && is_in_place(out, path);
    free(path);
    if (over) return r;
    json_decref(r);
    return NULL;
}

void hint_at_finished(struct cli *c)
{
    const char *given = hone_params_get(c->params, "run-dir", 0), *own = ".run";
    const int named = given && given[0];
    char dir[180]; /* a hint has no room for more */
    int n = snprintf(dir, sizeof dir, "%s%s", named ? given : c->out, named ? "" : own);
    if (c->err.code != HONE_E_USAGE || strcmp(c->err.where, c->out) != 0 || n < 0 ||
        (size_t)n >= sizeof dir || !is_search(dir))
        return;
    json_t *r = result_of_finished(dir, c->out);
    if (r)
        snprintf(c->err.hint, sizeof c->err.hint,
                 "its search has finished: hone resume %s%s shows the result; --force begins anew",
                 before_dash(dir), dir);
    json_decref(r);
}

/* Shown again. -1: it has not finished. */
static int finished(struct cli *c, const char *dir, const char *out)
{
    json_t *r = result_of_finished(dir, out);
    if (!r) return -1;
    if (!c->quiet) {
        fputs("the search in ", stderr);
        print_name(stderr, dir);
        fputs(" was finished already\n", stderr);
    }
    json_object_set_new(r, "finished", json_true());
    return print_tree(c, r);
}

static hone_status read_folder(struct cli *c, const char *dir)
{
    char *path = path_in(dir, "tune.yaml");
    hone_status st = path ? read_config(c, path) : HONE_E_NOMEM;
    if (st == HONE_E_NOMEM) c->err.code = st;
    c->config = NULL;
    free(path);
    if (st != HONE_OK) return st;
    if (!c->model)
        return usage(c, dir, "the search was of a model in memory",
                     "call hone_tune again with the same model and parameters");
    return HONE_OK;
}

int resume_search(struct cli *c)
{
    const char *dir = c->args[0], *given_out = c->out;
    hone_params *given = c->params;
    int code = -1;
    c->params = NULL;
    c->resumed = 1;
    hone_status st = hone_params_create(c->ctx, &c->params, &c->err);
    if (st == HONE_OK) st = read_folder(c, dir);
    if (st == HONE_OK) st = override(c, given);
    hone_params_destroy(given);
    if (st != HONE_OK) return report_error(c);
    char *out = given_out ? strdup(given_out) : strdup(hone_params_get(c->params, "out", 0));
    c->out = out;
    c->cmd = &cmd_tune;
    if (!out) c->err.code = st = HONE_E_NOMEM;
    if (st == HONE_OK && (code = load_plugins(c)) != 0) {
        c->out = given_out;
        free(out);
        return code;
    }
    code = -1;
    if (st == HONE_OK && !*out)
        st = usage(c, dir, "the search was not told where its model belongs", "-o FILE says it");
    if (st == HONE_OK) code = finished(c, dir, out);
    if (st == HONE_OK && code < 0) st = place(c, dir);
    if (st != HONE_OK)
        code = report_error(c);
    else if (code < 0) {
        c->args[0] = c->model;
        code = cmd_tune.run(c);
        c->args[0] = dir;
    }
    c->out = given_out;
    free(out);
    return code;
}
