/* SPDX-License-Identifier: MIT
 *
 * A run folder as one tree: see report.h. A run that still goes on may be read at any moment: its JSON files are replaced as
 * a whole, and the last line of metrics.csv counts when it is complete. */
#include "tools/report.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROWS_SHOWN = 2000 }; /* of metrics.csv; longer runs are thinned evenly */

static void *fail(struct cli *c, hone_status code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void *fail(struct cli *c, hone_status code, const char *where, const char *fmt, ...)
{
    va_list ap;
    c->err.code = code;
    snprintf(c->err.where, sizeof c->err.where, "%.250s", where);
    va_start(ap, fmt);
    vsnprintf(c->err.text, sizeof c->err.text, fmt, ap);
    va_end(ap);
    return NULL;
}

static void path_in(char *buf, size_t n, const char *dir, const char *name)
{
    size_t len = strlen(dir);
    snprintf(buf, n, "%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name);
}

static int is_there(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;
    path_in(path, sizeof path, dir, name);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* NULL without an error when the file may be missing and is. */
static json_t *read_json(struct cli *c, const char *dir, const char *name, int may_miss)
{
    char path[4096];
    json_error_t e;
    path_in(path, sizeof path, dir, name);
    if (may_miss && !is_there(dir, name)) return NULL;
    FILE *f = fopen(path, "rbe");
    if (!f) return fail(c, HONE_E_IO, path, "cannot be read: %s", strerror(errno));
    json_t *o = json_loadf(f, 0, &e);
    fclose(f);
    if (!o) return fail(c, HONE_E_IO, path, "is damaged: line %d: %s", e.line, e.text);
    if (json_is_object(o)) return o;
    json_decref(o);
    return fail(c, HONE_E_IO, path, "holds no JSON object");
}

/* ---- metrics.csv ---------------------------------------------------------------------------------------------------------- */

static json_t *read_header(char *line)
{
    json_t *columns = json_array();
    for (char *save = NULL, *cell = strtok_r(line, ",\n", &save); cell;
         cell = strtok_r(NULL, ",\n", &save))
        json_array_append_new(columns, json_string(cell));
    return columns;
}

static json_t *read_row(const char *line, size_t n)
{
    json_t *row = json_array();
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(line, ",\n");
        char cell[64] = "", *end = cell;
        if (len < sizeof cell) memcpy(cell, line, len);
        double v = strtod(cell, &end);
        json_array_append_new(row, end != cell && isfinite(v) ? json_real(v) : json_null());
        line += len + (line[len] == ',');
    }
    return row;
}

/* Every k-th row, the last one always. */
static json_t *thin(json_t *rows)
{
    size_t n = json_array_size(rows), k = n / ROWS_SHOWN + 1;
    if (k == 1) return rows;
    json_t *some = json_array();
    for (size_t i = 0; i < n; i++)
        if (i % k == 0 || i + 1 == n) json_array_append(some, json_array_get(rows, i));
    json_decref(rows);
    return some;
}

static json_t *read_metrics(const char *dir)
{
    char path[4096], *line = NULL;
    size_t cap = 0;
    ssize_t len;
    json_t *columns = NULL, *rows = json_array();
    path_in(path, sizeof path, dir, "metrics.csv");
    FILE *f = fopen(path, "rbe");
    while (f && (len = getline(&line, &cap, f)) > 0 && line[len - 1] == '\n') {
        if (!columns)
            columns = read_header(line);
        else
            json_array_append_new(rows, read_row(line, json_array_size(columns)));
    }
    if (f) fclose(f);
    free(line);
    size_t n = json_array_size(rows);
    rows = thin(rows);
    return json_pack("{s:o, s:o, s:I}", "columns", columns ? columns : json_array(), "rows", rows,
                     "epochs_in_file", (json_int_t)n);
}

double metric_at(const json_t *metrics, size_t row, const char *column)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(metrics, "columns"), i, name)
    {
        if (strcmp(json_string_value(name), column) != 0) continue;
        const json_t *v = json_array_get(json_array_get(json_object_get(metrics, "rows"), row), i);
        return json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    return (double)NAN;
}

/* ---- the folder ------------------------------------------------------------------------------------------------------------ */

static json_t *read_train(struct cli *c, const char *dir)
{
    json_t *run = read_json(c, dir, "run.json", 0);
    if (!run) return NULL;
    json_t *status = read_json(c, dir, "status.json", 1);
    json_t *result = c->err.code ? NULL : read_json(c, dir, "result.json", 1);
    if (c->err.code) {
        json_decref(run);
        json_decref(status);
        return NULL;
    }
    const char *state = jtext(status, "state");
    if (result && !strcmp(state, "running")) { /* of the run before it went on */
        json_decref(result);
        result = NULL;
    }
    json_t *metrics = read_metrics(dir);
    json_t *tree = json_pack("{s:s, s:o, s:o*, s:o*, s:o, s:o}", "kind", "train", "run", run,
                             "status", status, "result", result, "metrics", metrics, "diagnosis",
                             report_diagnose(metrics, run, result, status));
    return tree ? tree : fail(c, HONE_E_NOMEM, dir, "is too large");
}

static json_t *read_tune(struct cli *c, const char *dir)
{
    json_t *study = read_json(c, dir, "study.json", 0);
    if (!study) return NULL;
    json_t *tree = json_pack("{s:s, s:o, s:o}", "kind", "tune", "study", study, "findings",
                             report_findings(study));
    return tree ? tree : fail(c, HONE_E_NOMEM, dir, "is too large");
}

static json_t *no_run(struct cli *c, const char *dir)
{
    char beside[4200];
    struct stat st;
    if (stat(dir, &st) != 0)
        fail(c, HONE_E_IO, dir, "cannot be read: %s", strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        fail(c, HONE_E_IO, dir, "found a file, wanted the folder of a run");
    else if (is_there(dir, "study.db"))
        fail(c, HONE_E_IO, dir, "the search in it has judged nothing yet");
    else
        fail(c, HONE_E_IO, dir,
             "found neither run.json nor study.json in it, wanted the folder of a run");
    snprintf(beside, sizeof beside, "%s.run", dir);
    if (stat(beside, &st) == 0 && S_ISDIR(st.st_mode))
        snprintf(c->err.hint, sizeof c->err.hint, "hone report %.240s", beside);
    else
        snprintf(c->err.hint, sizeof c->err.hint,
                 "hone train keeps its folder with --keep-run or --run-dir, hone tune always "
                 "(OUT.onnx.run)");
    return NULL;
}

json_t *report_read(struct cli *c, const char *dir)
{
    if (is_there(dir, "study.json")) return read_tune(c, dir);
    if (is_there(dir, "run.json")) return read_train(c, dir);
    return no_run(c, dir);
}
