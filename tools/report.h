/* SPDX-License-Identifier: MIT
 *
 * hone report: a run folder as one HTML page.
 *
 *     report_read.c      the folder's files as one JSON tree
 *     report_diagnose.c  what the curves of a training run say, and by which rule
 *     report_search.c    what a search says: how sure the best is, where the space was too narrow
 *     report_html.c      text, numbers, tables and the embedded tree, everything escaped
 *     report_train.c, report_tune.c   the pages' text and tables
 *     report/page.css, report/page.js look and charts, made part of the program when it is built
 *
 * Text and tables are written here, so that the page reads without scripts; the script draws the charts from the embedded tree
 * and sorts the table. Drawing in C was the other way: it needs no script, but neither the width of the window nor a
 * logarithmic axis, a value under the pointer or a trial picked out in all charts are known then, so that a script would be
 * there anyway, twice the code. The tree of a page is {"kind", …}: */
#ifndef HONE_REPORT_H
#define HONE_REPORT_H

#include "tools/cli.h"

/* kind "train": "run", "status", "result" (null while it runs) as in the folder, "metrics": {"columns": […], "rows": [[…]]},
 * "diagnosis"; kind "tune": "study" as in the folder, "findings". NULL: c->err says why. */
json_t *report_read(struct cli *c, const char *dir);

/* Of metrics: {"verdict", "headline", "because": […], "advice": […], "rule"}. verdict: overfitting, underfitting, unfinished,
 * diverged, good, unknown. run, result and status may be NULL. */
json_t *report_diagnose(const json_t *metrics, const json_t *run, const json_t *result,
                        const json_t *status);
/* Is the best trial of a search (study.json) no better than a constant guess? Then *guess is the guess's figure. */
int report_worthless(const json_t *study, double value, double *guess);
/* Of study.json: sentences. */
json_t *report_findings(const json_t *study);

/* Adds a line of printf's making to an array of texts. */
void add_line(json_t *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
double metric_at(const json_t *metrics, size_t row, const char *column); /* NaN: none */

/* Text and attribute values: & < > " ' and control bytes. */
void html_text(FILE *f, const char *s);
void html_number(FILE *f, double v); /* four digits; – for none */
void html_value(FILE *f, const json_t *v);
void html_tree(FILE *f, const json_t *tree); /* <script type="application/json" id="data"> */
void html_lines(FILE *f, const char *class_name, const json_t *lines);
void html_begin(FILE *f, const char *title, const char *kind);
void html_end(FILE *f, const json_t *tree, const char *version);
/* One key figure: what it is, its value, and a remark ("" for none). */
void html_figure(FILE *f, const char *what, double v, const char *remark);
/* Settings of a run, as text or lists, as a table. */
void html_settings(FILE *f, const json_t *settings);
void html_chart(FILE *f, const char *id, const char *title, const char *about);

void report_train(FILE *f, const json_t *tree);
void report_tune(FILE *f, const json_t *tree);
/* kind "lr-find": the result of hone lr-find, "model", "ending", "shown": [low, high] of the smoothed loss. */
void report_range(FILE *f, const json_t *tree);
/* The losses that a curve of these points shows: up to what the loss falls from, not what it rises to at the end. */
void range_shown(const json_t *points, double shown[2]);
/* cmd_report.c: the tree's page at path, unless something else is there; the error is told. Returns an exit code. */
int put_report(struct cli *c, const json_t *tree, const char *path);
const char *base_name(const char *path);
#endif
