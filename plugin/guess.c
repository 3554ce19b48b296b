/* SPDX-License-Identifier: MIT
 *
 * What a model that knows nothing reaches: one guess for all rows of a role, the best one for these very rows, so that no
 * constant does better on them. Classes: their (weighted) frequencies, whose cross-entropy is
 *     -sum_c f_c log f_c,      accuracy: the share of the most frequent class, rows counted once each as a metric does;
 * several yes or no a row: likewise column by column, the mean of the columns; numbers: the (weighted) mean of each column,
 * whose r2 is 0. Loss of several outputs: the sum of theirs, each times its weight. Units are the targets' own. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

enum { PIECE = 1024 };

struct guess {
    const struct hn_session *s;
    const struct hn_rows *rows;
    const struct hn_target *g;
    const struct hn_column *y, *w; /* w NULL: every row weighs 1 */
    int64_t n;                     /* numbers to guess: classes, or elements of a row */
    int classes;                   /* a class index a place */
    int64_t places, each;          /* of a row, with a class each; numbers of a target's place */
    double *value, *target, *weight;
    double *
        count; /* places by class; yes by column; of numbers, their squared distances from the guess by column */
};

static double element_loss(const struct hn_target *g, double p, double t)
{
    const double d = fabs(p - t);
    if (g->loss == HN_LOSS_MAE) return d;
    if (g->loss == HN_LOSS_HUBER) return d < 1 ? d * d / 2 : d - 0.5;
    return d * d;
}

/* Elements of rows [at, at + n) in the targets' own units, and their weights. */
static void gather(struct guess *u, int64_t at, int64_t n)
{
    const struct hn_target *g = u->g;
    hn_column_gather(u->y, u->rows->rows + at, n, 8, u->target);
    for (int64_t i = 0; g->scale && i < n * g->per_row; i++)
        u->target[i] = u->target[i] * g->scale[i % g->per_row] + g->offset[i % g->per_row];
    for (int64_t i = 0; i < n; i++) u->weight[i] = 1;
    if (u->w) hn_column_gather(u->w, u->rows->rows + at, n, 8, u->weight);
}

static int64_t largest(const double *v, int64_t n)
{
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (v[k] > v[best]) best = k;
    return best;
}

static void add_row(struct guess *u, const double *t, double w)
{
    const int by_column = u->g->loss == HN_LOSS_BCE;
    if (u->classes) {
        const int64_t k = (int64_t)t[0];
        if (k < 0 || k >= u->n) return;
        u->value[k] += w;
        u->count[k]++;
        return;
    }
    for (int64_t k = 0; k < u->n; k++) {
        u->value[k] += w * t[k];
        u->count[k] += by_column && t[k] > 0.5;
    }
    if (!by_column && u->g->n_classes > 1) u->count[largest(t, u->n)]++;
}

/* u->value: the guess. 0: the rows weigh nothing. */
static int fit(struct guess *u)
{
    double all = 0;
    for (int64_t at = 0; at < u->rows->n; at += PIECE) {
        const int64_t n = u->rows->n - at < PIECE ? u->rows->n - at : PIECE;
        gather(u, at, n);
        for (int64_t i = 0; i < n; i++) {
            const double *t = u->target + i * u->places * u->each;
            for (int64_t k = 0; k < u->places; k++) add_row(u, t + k * u->each, u->weight[i]);
            all += u->weight[i] * (double)u->places;
        }
    }
    for (int64_t k = 0; k < u->n && all > 0; k++) u->value[k] /= all;
    return all > 0;
}

static double share_log(double f) { return f > 0 ? -f * log(f) : 0; }

static void class_figures(const struct guess *u, struct hn_figures *f)
{
    double rows = (double)(u->rows->n * u->places), sum = 0, most = 0;
    const int by_column = !u->classes && u->g->loss == HN_LOSS_BCE;
    for (int64_t k = 0; k < u->n; k++) sum += u->value[k];
    for (int64_t k = 0; k < u->n; k++) {
        const double v = u->value[k], yes = u->count[k];
        if (by_column) {
            f->loss += (share_log(v) + share_log(1 - v)) / (double)u->n;
            f->accuracy += fmax(yes, rows - yes) / rows / (double)u->n;
        } else {
            f->loss += sum > 0 && v > 0 ? -v * log(v / sum) : 0;
            most = fmax(most, yes);
        }
    }
    if (!by_column) f->accuracy = most / rows;
    f->has = HN_HAS_ACCURACY;
}

static void number_figures(struct guess *u, struct hn_figures *f)
{
    double loss = 0, weights = 0, off = 0, roots = 0, *squares = u->count;
    memset(squares, 0, (size_t)u->n * sizeof *squares);
    for (int64_t at = 0; at < u->rows->n; at += PIECE) {
        const int64_t n = u->rows->n - at < PIECE ? u->rows->n - at : PIECE;
        gather(u, at, n);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t k = 0; k < u->n; k++) {
                const double t = u->target[i * u->n + k], d = u->value[k] - t;
                sum += element_loss(u->g, u->value[k], t);
                off += fabs(d);
                squares[k] += d * d;
            }
            loss += u->weight[i] * sum / (double)u->n;
            weights += u->weight[i];
        }
    }
    const double rows = (double)u->rows->n, n = (double)u->n;
    for (int64_t k = 0; k < u->n; k++) roots += sqrt(squares[k] / rows);
    *f = (struct hn_figures){ .loss = loss / weights,
                              .mae = off / (rows * n),
                              .rmse = roots / n,
                              .has = HN_HAS_MAE | HN_HAS_RMSE | (u->rows->n > 1 ? HN_HAS_R2 : 0u) };
}

static int learns_classes(const struct hn_target *g)
{
    return g->loss == HN_LOSS_CE || g->loss == HN_LOSS_NLL || g->loss == HN_LOSS_BCE;
}

static hone_status guess_target(const struct hn_session *s, hone_role role, int t,
                                struct hn_figures *f, int *has, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_dataset *set = s->sets[s->set_of[role]];
    const struct hn_target *g = &s->targets[t];
    const int index = !g->dense && g->n_classes > 1 && g->per_row > 1;
    const int64_t numbers = index ? g->n_classes : g->per_row / g->places;
    struct guess u = { .s = s,
                       .rows = &s->rows[role],
                       .g = g,
                       .y = &set->targets[g->column],
                       .w = own->specs[t].row_weights ? &set->targets[g->column + 1] : NULL,
                       .n = numbers,
                       .classes = index,
                       .places = g->places,
                       .each = index ? 1 : numbers };
    const size_t n = (size_t)u.n, row = (size_t)(u.places * u.each);
    u.value = hn_calloc(&s->ctx->mem, 2 * n + (row + 1) * PIECE, sizeof *u.value);
    if (!u.value) return hn_nomem(err, "a constant guess", n * sizeof *u.value);
    u.count = u.value + n;
    u.target = u.count + n;
    u.weight = u.target + row * PIECE;
    *has = fit(&u);
    if (*has && learns_classes(g))
        class_figures(&u, f);
    else if (*has)
        number_figures(&u, f);
    hn_free(&s->ctx->mem, u.value);
    return HONE_OK;
}

hone_status hn_guess_figures(const struct hn_session *s, hone_role role, struct hn_figures *out,
                             hone_error *err)
{
    int classes = 0, numbers = 0;
    *out = (struct hn_figures){ .rows = 0 };
    if (!s->rows[role].n) return HONE_OK;
    for (int t = 0; t < s->n_targets; t++) {
        struct hn_figures f = { .rows = 0 };
        int has = 0;
        HN_TRY(guess_target(s, role, t, &f, &has, err));
        if (!has) return *out = (struct hn_figures){ .rows = 0 }, HONE_OK;
        out->loss += s->targets[t].weight * f.loss;
        out->has |= f.has;
        if (f.has & HN_HAS_ACCURACY) out->accuracy += f.accuracy, classes++;
        if (f.has & HN_HAS_MAE) out->mae += f.mae, out->rmse += f.rmse, numbers++;
    }
    if (classes) out->accuracy /= classes;
    if (numbers) out->mae /= numbers, out->rmse /= numbers;
    out->rows = s->rows[role].n;
    return HONE_OK;
}

int hn_guess_beaten(const struct hn_figures *f, const struct hn_figures *guess)
{
    static const double margin = 0.02;
    if (!guess->rows || !(guess->loss > 0))
        return 1; /* rows of one class, or all alike: nothing to tell by */
    if (!(guess->has & HN_HAS_ACCURACY) && (guess->has & f->has & HN_HAS_R2))
        return !(f->r2 < margin);
    return !(f->loss > guess->loss * (1 - margin));
}

void hn_guess_say(hone_context *ctx, const char *rows, const struct hn_figures *f,
                  const struct hn_figures *guess, int weighted)
{
    const int classes = (guess->has & HN_HAS_ACCURACY) != 0;
    if (!hn_guess_beaten(f, guess) && !classes)
        hn_log(ctx, HONE_LOG_WARNING,
               "the model does no better than a constant: over the %s its r2 is %.3g, always "
               "guessing the mean of their targets has 0",
               rows, f->r2);
    else if (!hn_guess_beaten(f, guess))
        hn_log(ctx, HONE_LOG_WARNING,
               "the model does no better than a constant: over the %s its loss is %.6g, always "
               "guessing how frequent each class is has %.6g",
               rows, f->loss, guess->loss);
    else if (classes && (f->has & HN_HAS_ACCURACY) && f->accuracy <= guess->accuracy &&
             guess->accuracy < 1 && !weighted)
        hn_log(ctx, HONE_LOG_WARNING,
               "the accuracy over the %s is %.4g, always answering the most frequent class has "
               "%.4g: the loss is better than a constant's, the answers are not",
               rows, f->accuracy, guess->accuracy);
}

void hn_standard_error_result(hone_result *r, const char *key, const struct hn_figures *f)
{
    if (!f->rows || !(f->loss_error > 0)) return;
    hn_result_object(r, key);
    hn_result_double(r, "loss", f->loss_error);
    if (f->has & HN_HAS_ACCURACY)
        hn_result_double(r, "accuracy", sqrt(f->accuracy * (1 - f->accuracy) / (double)f->rows));
    hn_result_close(r);
}
