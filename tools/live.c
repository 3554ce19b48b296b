/* SPDX-License-Identifier: MIT
 *
 * The live view of a search on a terminal: the best trials so far, and a bar with the time left. A frame is one write, drawn
 * over the one before: the cursor goes up as many lines as that one takes at the width the terminal has now. The cursor is
 * never hidden and nothing is switched, so that there is nothing to restore when the process ends at any moment. A thread of its own
 * keeps the time while a trial takes long; a lock keeps frames and other lines apart. */
#include "tools/tune_table.h"
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BEST = 10, LINES = 24 };
static const double FRAME_SECONDS = 0.1; /* between frames, at least */

struct live {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    int ended, colour, dirty;
    struct trial_table best; /* the best first; the imported model last */
    hone_trial last;         /* its texts are not kept */
    long long failed, pruned;
    double drawn, told;    /* seconds: the last frame, the last trial */
    int n_lines;           /* of the frame on the screen; 0: none */
    int line_width[LINES]; /* of each */
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void terminal_size(int fd, int *width, int *height)
{
    struct winsize w;
    int known = ioctl(fd, TIOCGWINSZ, &w) == 0;
    *width = known && w.ws_col >= 20 ? w.ws_col : known && w.ws_col ? 20 : 80;
    *height = known && w.ws_row ? w.ws_row : 24;
}

int terminal_width(FILE *f)
{
    int width, height;
    if (!isatty(fileno(f))) return 0;
    terminal_size(fileno(f), &width, &height);
    return width;
}

/* ---- the bar --------------------------------------------------------------------------------------------------------------- */

static void time_text(char *buf, size_t n, double s)
{
    if (!(s >= 0) || s > 3600e3)
        snprintf(buf, n, "--:--");
    else if (s < 3600)
        snprintf(buf, n, "%d:%02d", (int)s / 60, (int)s % 60);
    else
        snprintf(buf, n, "%d:%02d:%02d", (int)s / 3600, (int)s / 60 % 60, (int)s % 60);
}

static void put_cells(FILE *f, double share, int cells, int colour)
{
    static const char *const eighths[] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
    int filled = (int)(share * cells * 8 + 0.5);
    if (colour) fputs("\033[36m", f);
    for (int i = 0; i < cells; i++) {
        int n = filled - 8 * i;
        fputs(eighths[n >= 8 ? 8 : n > 0 ? n : 0], f);
    }
    if (colour) fputs("\033[0m", f);
}

static void put_bar(FILE *f, const struct live *l, int width)
{
    char left[64], right[160], time[32], counts[64] = "";
    const hone_trial *e = &l->last;
    double since = seconds_now() - l->told, rest = e->seconds_left - since;
    int n = 0, m = 0;
    if (e->outer) m = snprintf(left, sizeof left, "outer %d/%d  ", e->outer, e->outers);
    if (e->trials)
        snprintf(left + m, sizeof left - (size_t)m, "%lld/%lld trials ", (long long)e->finished,
                 (long long)e->trials);
    else
        snprintf(left + m, sizeof left - (size_t)m, "%lld trials ", (long long)e->finished);
    if (l->pruned) n += snprintf(counts, sizeof counts, "  %lld pruned", l->pruned);
    if (l->failed) snprintf(counts + n, sizeof counts - (size_t)n, "  %lld failed", l->failed);
    time_text(time, sizeof time, isnan(rest) ? e->elapsed + since : rest > 0 ? rest : 0);
    snprintf(right, sizeof right, "%s  %s %s", counts, time, isnan(rest) ? "so far" : "left");
    int room = width - 5 - text_width(left) - text_width(right); /* and for ^C */
    fputs(left, f);
    if (e->trials && room >= 8)
        put_cells(f, (double)e->finished / (double)e->trials, room < 60 ? room : 60, l->colour);
    fprintf(f, "%.*s", width - 5 - text_width(left) > 0 ? width - 5 - text_width(left) : 0, right);
}

/* ---- frames ---------------------------------------------------------------------------------------------------------------- */

/* Lines that the frame on the screen takes now, when the window may have become narrower. */
static int screen_lines(const struct live *l, int width)
{
    int n = 0;
    for (int i = 0; i < l->n_lines; i++)
        n += l->line_width[i] > width ? (l->line_width[i] + width - 1) / width : 1;
    return n;
}

static void go_back(FILE *f, const struct live *l, int width)
{
    int n = screen_lines(l, width);
    fputc('\r', f);
    if (n > 1) fprintf(f, "\033[%dA", n - 1);
}

/* The width of text without the sequences that colour it. */
static int shown_width(const char *s, size_t n)
{
    int w = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\033')
            while (i < n && s[i] != 'm') i++;
        else
            w += ((unsigned char)s[i] & 0xc0) != 0x80;
    }
    return w;
}

static void put_frame(FILE *f, struct live *l, const char *text)
{
    l->n_lines = 0;
    for (const char *line = text; *line && l->n_lines < LINES;) {
        size_t n = strcspn(line, "\n");
        if (l->n_lines) fputc('\n', f);
        fwrite(line, 1, n, f);
        fputs("\033[K", f);
        l->line_width[l->n_lines++] = shown_width(line, n);
        line += n + (line[n] == '\n');
    }
    fputs("\033[J", f);
}

static void send(const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(STDERR_FILENO, p, n);
        if (w <= 0) return;
        p += w;
        n -= (size_t)w;
    }
}

/* The table as it fits: the best trials, then the imported model. */
static void put_table(FILE *f, const struct live *l, int width, int height)
{
    static const char *const bold[] = { "\033[1m", "\033[0m" };
    struct trial_table t = l->best;
    size_t room = height > 6 ? (size_t)height - 5 : 1;
    struct trial_row rows[BEST + 1];
    if (!t.n_rows || t.n_rows > BEST + 1) return;
    memcpy(rows, t.rows, t.n_rows * sizeof *rows);
    if (t.n_rows > room) {
        rows[room - 1] = rows[t.n_rows - 1];
        t.n_rows = room;
    }
    t.rows = rows;
    trial_table_print(f, &t, width - 1, 1, l->colour ? bold : NULL);
}

static void draw(struct live *l)
{
    char *text = NULL, *out = NULL;
    size_t n = 0, n_out = 0;
    int width, height;
    terminal_size(STDERR_FILENO, &width, &height);
    FILE *f = open_memstream(&text, &n), *o = open_memstream(&out, &n_out);
    if (f && o) {
        if (height > 4) put_table(f, l, width, height);
        put_bar(f, l, width);
    }
    if (f) fclose(f);
    if (o && text) {
        go_back(o, l, width);
        put_frame(o, l, text);
    }
    if (o) fclose(o);
    if (out && text) send(out, n_out);
    free(text);
    free(out);
    l->drawn = seconds_now();
    l->dirty = 0;
}

static void hide(struct live *l)
{
    int width, height;
    char buf[48];
    if (!l->n_lines) return;
    terminal_size(STDERR_FILENO, &width, &height);
    int up = screen_lines(l, width) - 1, n;
    if (up > 0)
        n = snprintf(buf, sizeof buf, "\r\033[%dA\033[J", up);
    else
        n = snprintf(buf, sizeof buf, "\r\033[J");
    send(buf, (size_t)n);
    l->n_lines = 0;
}

static void *keep_time(void *user)
{
    struct live *l = user;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&l->lock);
    while (!l->ended) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&l->wake, &l->lock, &until);
        double since = seconds_now() - l->drawn;
        if (!l->ended && (since >= 1 || (l->dirty && since >= FRAME_SECONDS))) draw(l);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- trials ---------------------------------------------------------------------------------------------------------------- */

/* "lr=0.01, batch_size=32" as the row's settings. */
static void read_settings(struct trial_table *t, size_t row, const char *text)
{
    while (*text) {
        const char *end = strstr(text, ", "), *eq = strchr(text, '=');
        size_t n = end ? (size_t)(end - text) : strlen(text);
        if (eq && eq < text + n) {
            int i = trial_table_name(t, text, (size_t)(eq - text));
            char *value = strndup(eq + 1, n - (size_t)(eq + 1 - text));
            if (i >= 0 && value) t->rows[row].setting[i] = setting_text(value);
            free(value);
        }
        text += n + (end ? 2 : 0);
    }
}

static void add_trial(struct live *l, const hone_trial *e)
{
    struct trial_table *t = &l->best;
    size_t trials = t->n_rows - 1, at = 0; /* the last row is the imported model */
    while (at < trials && fabs(t->rows[at].value - e->best_value) <=
                              fabs(e->value - e->best_value)) /* either way */
        at++;
    if (at >= BEST) return;
    struct trial_row *row = trial_table_insert(t, at);
    if (!row) return;
    int is_default = !strcmp(e->params, "default");
    snprintf(row->label, sizeof row->label, "%lld%s", (long long)e->trial,
             is_default ? " default" : "");
    snprintf(row->state, sizeof row->state, "%s", e->state);
    row->value = e->value;
    row->std = e->std;
    row->epochs = (double)e->epochs;
    row->seconds = e->seconds;
    if (!is_default) read_settings(t, at, e->params);
    if (t->n_rows > BEST + 1) trial_table_drop(t, BEST);
}

static void add_imported(struct live *l, const hone_trial *e)
{
    struct trial_row *row = trial_table_insert(&l->best, 0);
    if (!row) return;
    snprintf(row->label, sizeof row->label, "imported");
    row->value = e->baseline;
}

void live_trial(struct live *l, const hone_trial *e)
{
    pthread_mutex_lock(&l->lock);
    if (e->outer != l->last.outer) { /* another search */
        while (l->best.n_rows) trial_table_drop(&l->best, l->best.n_rows - 1);
        l->failed = l->pruned = 0;
    }
    if (!l->best.n_rows) add_imported(l, e);
    l->failed += !strcmp(e->state, "failed");
    l->pruned += !strcmp(e->state, "pruned");
    if (!strcmp(e->state, "done") && !isnan(e->value) && l->best.n_rows) add_trial(l, e);
    l->last = *e;
    l->last.state = l->last.params = l->last.why = "";
    l->told = seconds_now();
    l->dirty = 1;
    if (l->told - l->drawn >= FRAME_SECONDS) draw(l);
    pthread_mutex_unlock(&l->lock);
}

void live_hide(void *live)
{
    struct live *l = live;
    pthread_mutex_lock(&l->lock);
    hide(l);
    pthread_mutex_unlock(&l->lock);
}

struct live *live_start(const char *monitor, int colour)
{
    struct live *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->colour = colour;
    l->last.seconds_left = (double)NAN;
    l->told = l->drawn = seconds_now();
    l->best.monitor = strdup(monitor);
    int ok = l->best.monitor && pthread_mutex_init(&l->lock, NULL) == 0;
    if (ok && pthread_cond_init(&l->wake, NULL) == 0 &&
        pthread_create(&l->thread, NULL, keep_time, l) == 0)
        return l;
    free(l->best.monitor);
    free(l);
    return NULL;
}

void live_end(struct live *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->ended = 1;
    hide(l);
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    trial_table_free(&l->best);
    free(l);
}
