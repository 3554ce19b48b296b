/* SPDX-License-Identifier: MIT
 *
 * hone lr-find: a learning rate range test, its curve on the terminal and, with -o, as a page (report_range.c). */
#include "tools/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 12, COLUMNS = 64 };

static double at(const json_t *points, size_t i, const char *key)
{
    return jnum(json_array_get(points, i), key);
}

void range_shown(const json_t *points, double shown[2])
{
    size_t n = json_array_size(points), lowest = 0;
    for (size_t i = 1; i < n; i++)
        if (at(points, i, "smoothed") < at(points, lowest, "smoothed")) lowest = i;
    double low = at(points, lowest, "smoothed"), high = low;
    for (size_t i = 0; i <= lowest && i < n; i++) {
        high = fmax(high, at(points, i, "smoothed"));
        low = fmin(low, at(points, i, "loss"));
    }
    if (!(high - low > 0.05 * fabs(high)))
        for (size_t i = 0; i < n; i++) high = fmax(high, at(points, i, "smoothed"));
    shown[0] = low, shown[1] = high + 0.25 * (high - low);
}

/* Where a rate stands in the line under the curve; -1: nowhere. */
static int column_of(double lr, double first, double last)
{
    if (!(lr > 0) || !(last > first)) return -1;
    return (int)(log(lr / first) / log(last / first) * (COLUMNS - 1) + 0.5);
}

static void draw(FILE *f, const json_t *tree)
{
    const json_t *points = json_object_get(tree, "points"),
                 *says = json_object_get(tree, "suggestions");
    size_t n = json_array_size(points);
    double shown[2], first = at(points, 0, "lr"), last = at(points, n - 1, "lr");
    char grid[ROWS][COLUMNS + 1], marks[COLUMNS + 1];
    if (n < 3) return;
    range_shown(points, shown);
    if (!(shown[1] > shown[0])) return;
    for (int y = 0; y < ROWS; y++) memset(grid[y], ' ', COLUMNS), grid[y][COLUMNS] = 0;
    memset(marks, ' ', COLUMNS), marks[COLUMNS] = 0;
    for (int mean = 0; mean < 2; mean++)
        for (size_t i = 0; i < n; i++) {
            double v = at(points, i, mean ? "smoothed" : "loss");
            double y = (shown[1] - v) / (shown[1] - shown[0]) * (ROWS - 1) + 0.5;
            int x = column_of(at(points, i, "lr"), first, last);
            if (x >= 0 && y >= 0 && y < ROWS) grid[(int)y][x] = mean ? '*' : '.';
        }
    int valley = column_of(jnum(says, "valley"), first, last),
        steep = column_of(jnum(says, "steepest"), first, last);
    int suggested = column_of(jnum(tree, "suggestion"), first, last);
    if (steep >= 0) marks[steep] = 's';
    if (valley >= 0) marks[valley] = 'v';
    if (suggested >= 0) marks[suggested] = '^';
    fputc('\n', f);
    for (int y = 0; y < ROWS; y++) {
        double v = shown[1] - (shown[1] - shown[0]) * y / (ROWS - 1);
        y % 3 ? fprintf(f, "%10s |%s\n", "", grid[y]) : fprintf(f, "%10.4g |%s\n", v, grid[y]);
    }
    fprintf(f, "%10s +", "loss");
    for (int x = 0; x < COLUMNS; x++) fputc('-', f);
    fprintf(f, "\n%10s  %s\n", "", marks);
    fprintf(f, "%10s  %-*.3g%10.3g\n", "rate", COLUMNS - 10, first, last);
    fprintf(f, "%10s  . a step's batch   * smoothed   v valley   ^ suggested   s steepest\n", "");
}

static const char *ending(const json_t *tree)
{
    static const char *const endings[][2] = {
        { "steps", "all steps were taken" },
        { "rose", "the loss rose to four times its lowest" },
        { "not_finite", "the loss was no longer finite" },
        { "interrupted", "interrupted" },
    };
    const char *reason = jtext(tree, "stop_reason");
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(reason, endings[i][0])) return endings[i][1];
    return reason;
}

static void print_range(FILE *f, const json_t *tree)
{
    const json_t *says = json_object_get(tree, "suggestions");
    draw(f, tree);
    double batch = jnum(tree, "batch_size");
    fprintf(f, "\n%.0f steps of %s%.0f row%s by %s: %s; %.3g s\n", jnum(tree, "steps"),
            batch == 1 ? "" : "up to ", batch, batch == 1 ? "" : "s",
            jtext(json_object_get(tree, "hyperparameters"), "optimizer"), ending(tree),
            jnum(tree, "seconds"));
    double lr = jnum(tree, "suggestion"), rises = jnum(tree, "rises");
    if (!isnan(lr)) {
        fprintf(f,
                "suggested: --lr %.2g, between %.2g, half way down the valley, and %.2g, where the "
                "loss falls most steeply; lowest at %.2g\n",
                lr, jnum(says, "valley"), jnum(says, "steepest"), jnum(tree, "lowest"));
        return;
    }
    fputs("no suggestion: the loss does not fall more than batches differ; so it is with a model "
          "that "
          "is trained already\n",
          f);
    if (!isnan(rises))
        fprintf(f, "it rises from %.2g on: to train on gently, try a hundredth of it: --lr %.2g\n",
                rises, rises / 100);
}

/* "better.onnx" → "better.onnx.lr.html", where training would have its folder; a page by its own name as it is. */
static char *page_path(const struct cli *c)
{
    char *path = NULL;
    size_t n = c->out ? strlen(c->out) : 0;
    int page =
        (n > 5 && !strcmp(c->out + n - 5, ".html")) || (n > 4 && !strcmp(c->out + n - 4, ".htm"));
    if (asprintf(&path, "%s%s", c->out, page ? "" : ".lr.html") < 0) return NULL;
    return path;
}

static int put_page(struct cli *c, json_t *tree)
{
    char *path = page_path(c);
    if (!path) return EXIT_MEMORY;
    json_object_set_new(tree, "kind", json_string("lr-find"));
    json_object_set_new(tree, "model", json_name(c->args[0]));
    json_object_set_new(tree, "ending", json_string(ending(tree)));
    double shown[2] = { 0, 1 };
    if (json_array_size(json_object_get(tree, "points")))
        range_shown(json_object_get(tree, "points"), shown);
    json_object_set_new(tree, "shown", json_pack("[f, f]", shown[0], shown[1]));
    int code = put_report(c, tree, path);
    json_object_del(tree, "kind");
    json_object_del(tree, "ending");
    json_object_del(tree, "shown");
    if (!code && !c->quiet) {
        fputs("written to ", people(c));
        print_name(people(c), path);
        fputc('\n', people(c));
    }
    if (!code) json_object_set_new(tree, "page", json_name(path));
    free(path);
    return code;
}

static int run(struct cli *c)
{
    hone_model *m = NULL;
    hone_data *d = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    struct progress p;
    hone_callbacks cb = HONE_CALLBACKS;
    int code = progress_init(&p, c->progress, c->quiet);
    if (code) return code;
    cb.progress = progress_call;
    cb.user = &p;
    c->hide = progress_hide;
    c->hide_user = &p;
    catch_signals(c->ctx);
    if (hone_model_load(c->ctx, c->args[0], &m, &c->err) == HONE_OK &&
        hone_model_check(m, 1, &c->err) == HONE_OK &&
        hone_data_open(c->ctx, m, c->params, &d, &c->err) == HONE_OK &&
        hone_lr_find(m, d, c->params, &cb, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    progress_end(&p);
    progress_free(&p);
    c->hide = NULL;
    hone_data_destroy(d);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    if (!c->quiet) print_range(people(c), tree);
    code = c->out ? put_page(c, tree) : 0;
    if (code) {
        json_decref(tree);
        return code;
    }
    int interrupted = !strcmp(jtext(tree, "stop_reason"), "interrupted"), signal = caught_signal();
    code = print_tree(c, tree);
    if (code) return code;
    return interrupted && signal ? 128 + signal : 0;
}

const struct command cmd_lr_find = {
    .name = "lr-find",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .takes_out = 1,
    .schema = "hone.lr-find/1",
    .groups = " data training lr-find ",
    .also = " device math bn-impl dropout-impl threads force ",
    .summary = "which learning rate: a test with growing rates",
    .examples =
        "hone lr-find model.onnx --data train.csv --target label\n"
        "hone lr-find model.onnx --data train.csv --target label --optimizer sgd "
        "--batch-size 64 -o lr.html\n"
        "hone lr-find model.onnx --x x.npy --y y.npy --loss mse --init fresh --lr-from 1e-5 "
        "--lr-to 1 --steps 200",
    .run = run
};
