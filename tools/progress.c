/* SPDX-License-Identifier: MIT
 *
 * What a person sees while a model trains: a bar on a terminal (epoch, loss, validation, learning rate, rows a second, time
 * left), one name=value line an epoch otherwise, or JSON lines; and a small learning curve at the end. */
#include "tools/cli.h"
#include "tools/tensorboard.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int progress_init(struct progress *p, const char *mode, int quiet)
{
    static const char *const names[] = { "none", "bar", "plain", "json" };
    memset(p, 0, sizeof *p);
    int tty = isatty(STDERR_FILENO);
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    struct winsize w;
    p->width = tty && ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
    p->colour = tty && !(no_colour && *no_colour) && !(term && !strcmp(term, "dumb"));
    if (!mode) {
        p->mode = quiet ? 0 : tty && !(term && !strcmp(term, "dumb")) ? 1 : 2;
        return 0;
    }
    for (int i = 0; i < 4; i++)
        if (!strcmp(mode, names[i])) {
            p->mode = i;
            return 0;
        }
    fprintf(stderr, "hone: --progress: found '%s', wanted bar, plain, json or none\n", mode);
    return EXIT_USAGE;
}

static double metric(const hone_progress *e, const char *name)
{
    for (size_t i = 0; i < e->n_metrics; i++)
        if (!strcmp(e->metrics[i].name, name)) return e->metrics[i].value;
    return (double)NAN;
}

static void remember(struct progress *p, const hone_progress *e)
{
    if (p->n == p->cap) {
        size_t cap = p->cap * 2 + 64;
        double *t = realloc(p->train, cap * sizeof *t);
        if (t) p->train = t;
        double *v = t ? realloc(p->val, cap * sizeof *v) : NULL;
        if (!v) return;
        p->val = v;
        p->cap = cap;
    }
    p->train[p->n] = e->epoch > 0 ? e->train_loss : (double)NAN;
    p->val[p->n++] = metric(e, "val_loss");
}

static void format_time(char *buf, size_t n, double s)
{
    if (!(s >= 0) || s > 3600e3)
        snprintf(buf, n, "--:--");
    else if (s < 60)
        snprintf(buf, n, "%.1fs", s);
    else if (s < 3600)
        snprintf(buf, n, "%d:%02d", (int)s / 60, (int)s % 60);
    else
        snprintf(buf, n, "%d:%02d:%02d", (int)s / 3600, (int)s / 60 % 60, (int)s % 60);
}

static void draw_bar(struct progress *p, const hone_progress *e)
{
    static const char *const eighths[] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
    char right[160], left[96], eta[32];
    double val = metric(e, "val_loss"), acc = metric(e, "val_accuracy");
    format_time(eta, sizeof eta, e->seconds_left);
    int at = 0;
    if (e->pretrain) at = snprintf(left, sizeof left, "pre-training %d/%d ", e->layer, e->layers);
    if (e->epochs)
        snprintf(left + at, sizeof left - (size_t)at, "epoch %lld/%lld ", (long long)e->epoch,
                 (long long)e->epochs);
    else /* hone lr-find */
        snprintf(left + at, sizeof left - (size_t)at, "step %lld/%lld ", (long long)e->row,
                 (long long)e->rows);
    int n = snprintf(right, sizeof right, " loss %.4g", e->train_loss);
    if (!isnan(val))
        n += snprintf(right + n, sizeof right - (size_t)n, "  val %.4g", val);
    else if (p->n && !isnan(p->val[p->n - 1]))
        n += snprintf(right + n, sizeof right - (size_t)n, "  val %.4g", p->val[p->n - 1]);
    if (!isnan(acc)) n += snprintf(right + n, sizeof right - (size_t)n, "  acc %.4f", acc);
    snprintf(right + n, sizeof right - (size_t)n, "  lr %.3g  %.3g rows/s  %s left", e->lr,
             e->rows_per_second, eta);
    int room = p->width - (int)strlen(left) - (int)strlen(right) - 3;
    fprintf(stderr, "\r%s", left);
    if (room >= 5) {
        double f = e->rows > 0 ? (double)e->row / (double)e->rows : 1;
        int cells = (int)(f * room * 8 + 0.5);
        if (p->colour) fputs("\033[36m", stderr);
        for (int i = 0; i < room; i++) {
            int fill = cells - i * 8;
            fputs(eighths[fill >= 8 ? 8 : fill > 0 ? fill : 0], stderr);
        }
        if (p->colour) fputs("\033[0m", stderr);
    }
    fprintf(stderr, "%.*s\033[K", p->width - 1, right);
    fflush(stderr);
    p->shown = 1;
}

static void plain_line(const hone_progress *e)
{
    if (e->pretrain)
        fprintf(stderr, "pretrain=%d/%d epoch=%lld loss=%.6g", e->layer, e->layers,
                (long long)e->epoch, e->train_loss);
    else
        fprintf(stderr, "epoch=%lld", (long long)e->epoch);
    if (e->epoch > 0 && !e->pretrain) fprintf(stderr, " train_loss=%.6g", e->train_loss);
    for (size_t i = 0; i < e->n_metrics; i++)
        if (strcmp(e->metrics[i].name, "train_loss") != 0)
            fprintf(stderr, " %s=%.6g", e->metrics[i].name, e->metrics[i].value);
    fprintf(stderr, " lr=%.6g seconds=%.3f", e->lr, e->seconds);
    if (e->epoch > 0) fprintf(stderr, " rows_per_second=%.0f", e->rows_per_second);
    fprintf(stderr, "%s\n", e->is_best ? " best=1" : "");
}

static void json_line(const hone_progress *e)
{
    json_t *o = json_pack("{s:I, s:I, s:f, s:f}", "epoch", (json_int_t)e->epoch, "epochs",
                          (json_int_t)e->epochs, "lr", e->lr, "seconds", e->seconds);
    if (!o) return;
    if (e->pretrain) {
        json_object_set_new(o, "pretrain", json_string(e->pretrain));
        json_object_set_new(o, "layer", json_integer(e->layer));
        json_object_set_new(o, "layers", json_integer(e->layers));
    }
    if (e->epoch > 0 && isfinite(e->train_loss))
        json_object_set_new(o, e->pretrain ? "loss" : "train_loss", json_real(e->train_loss));
    for (size_t i = 0; i < e->n_metrics; i++)
        if (isfinite(e->metrics[i].value))
            json_object_set_new(o, e->metrics[i].name, json_real(e->metrics[i].value));
    if (!e->pretrain) json_object_set_new(o, "best", json_boolean(e->is_best));
    json_dumpf(o, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(o);
}

int progress_call(void *user, const hone_progress *e)
{
    struct progress *p = user;
    if (e->epoch_end && !e->pretrain) remember(p, e);
    if (!e->pretrain) board_epoch(p->board, e);
    if (p->mode == 1)
        draw_bar(p, e);
    else if (p->mode == 2 && e->epoch_end)
        plain_line(e);
    else if (p->mode == 3 && e->epoch_end)
        json_line(e);
    return 0;
}

void progress_end(struct progress *p)
{
    if (p->shown) fputs("\r\033[K", stderr);
    p->shown = 0;
}

void progress_hide(void *progress) { progress_end(progress); }

static void range_of(const double *v, size_t n, double *low, double *high)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i])) {
            if (!(v[i] >= *low)) *low = v[i];
            if (!(v[i] <= *high)) *high = v[i];
        }
}

/* Column of the curve: the mean of the epochs that fall into it. */
static double column_mean(const double *v, size_t n, int x, int width)
{
    size_t a = (size_t)x * n / (size_t)width, b = (size_t)(x + 1) * n / (size_t)width;
    double sum = 0;
    int count = 0;
    if (b <= a) b = a + 1;
    for (size_t i = a; i < b && i < n; i++)
        if (isfinite(v[i])) sum += v[i], count++;
    return count ? sum / count : (double)NAN;
}

enum { CURVE_ROWS = 10, CURVE_COLUMNS = 60 };

static void plot(char grid[CURVE_ROWS][CURVE_COLUMNS], const double *v, size_t n,
                 const double range[2], char mark)
{
    int width = n < CURVE_COLUMNS ? (int)n : CURVE_COLUMNS;
    for (int x = 0; x < width; x++) {
        double y = column_mean(v, n, x, width);
        if (!isfinite(y)) continue;
        int row = (int)((range[1] - y) / (range[1] - range[0]) * (CURVE_ROWS - 1) + 0.5);
        grid[row][x] = mark;
    }
}

void progress_curve(const struct progress *p, FILE *f)
{
    double range[2] = { (double)NAN, (double)NAN };
    char grid[CURVE_ROWS][CURVE_COLUMNS];
    range_of(p->train, p->n, &range[0], &range[1]);
    range_of(p->val, p->n, &range[0], &range[1]);
    if (p->n < 3 || !(range[1] > range[0])) return;
    memset(grid, ' ', sizeof grid);
    plot(grid, p->train, p->n, range, '.');
    plot(grid, p->val, p->n, range, '*');
    fputc('\n', f);
    for (int y = 0; y < CURVE_ROWS; y++) {
        double at = range[1] - (range[1] - range[0]) * y / (CURVE_ROWS - 1);
        if (y % 3 == 0)
            fprintf(f, "%10.4g |", at);
        else
            fprintf(f, "%10s |", "");
        fprintf(f, "%.*s\n", p->n < CURVE_COLUMNS ? (int)p->n : CURVE_COLUMNS, grid[y]);
    }
    fprintf(f, "%10s +", "loss");
    for (int x = 0; x < (p->n < CURVE_COLUMNS ? (int)p->n : CURVE_COLUMNS); x++) fputc('-', f);
    fprintf(f, "\n%10s  epoch 0 to %zu   . train", "", p->n - 1);
    int any = 0;
    for (size_t i = 0; i < p->n; i++) any |= isfinite(p->val[i]);
    fprintf(f, "%s\n", any ? "   * validation" : "");
}

void progress_free(struct progress *p)
{
    free(p->train);
    free(p->val);
}
