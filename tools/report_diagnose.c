/* SPDX-License-Identifier: MIT
 *
 * What the learning curves say. The rule, with V the validation loss and T the training loss by epoch, b the epoch of the
 * lowest V, and a scale S = max(|V(b)|, (V(1) - V(b)) / 20) that keeps nearly perfect models from looking bad:
 *
 *     end      the mean of the last tenth of the epochs (at least 1, at most 10), V(end) of those from b on, T(end)
 *     rise     (V(end) - V(b)) / S             how far validation has gone up since its best
 *     gap      (V(b) - T) / S, T of the returned weights in inference mode, or T(b) where that is not known
 *     trend    (V before - V after) / S        means over the two halves of the last third of the epochs
 *     noise    the median of |V(e) - V(e-1)| over the last half, / S
 *
 *     diverged     a loss was not finite, or the run says so
 *     overfitting  rise > 5 % while T fell since b
 *     unfinished   else, if trend > 1 % and more than noise / 2, and b is in the last fifth
 *     overfitting  else, if gap > 25 %
 *     underfitting else, if V(b) is less than 10 % below V of the first epoch there is, or the model that was written is no
 *                  better than a constant guess over the validation rows
 *     good         else
 *
 * Better than a constant guess: r2, or else 1 - loss / loss of the best constant (result.json has it), is 2 % or more.
 * Validation rows are few when the standard error of their loss is more than the gap or the gain that made the verdict, or for
 * "good" than the gap that would have been overfitting. (Rise and trend compare the same rows with themselves.)
 *
 * Without validation rows, or with fewer than 5 epochs, nothing is said. */
#include "tools/report.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const double RISE = 0.05, GAP = 0.25, TREND = 0.01, LEARNED = 0.10, NOISE = 0.03,
                    GUESS = 0.02;
static const char RULE[] =
    "rise: mean validation loss of the last tenth of the epochs above its lowest. gap: lowest "
    "validation loss above the training loss of the same weights. trend: fall of the validation "
    "loss between the halves of the last third. All relative to the lowest validation loss (or to "
    "a twentieth of how far it fell, where that is more). "
    "Overfitting: rise over 5 % while the training loss went on falling. "
    "Unfinished: else, trend over 1 % (and over half the noise) with the best epoch in the last "
    "fifth. Overfitting, too: else, gap over 25 %. "
    "Underfitting: less than 10 % gained on the first value, or no better than a constant guess. "
    "Otherwise good. No better than a constant guess: r2, or else the share by which the "
    "validation loss is below the best constant's, is less than 2 %.";

struct curves {
    size_t n, best; /* rows, row of the lowest V */
    double *epoch, *train, *val;
    double low, fitted; /* validation and training loss of the best weights */
    double scale, rise, gap, trend, noise, fell;
    double unit;  /* loss of the curve / loss of the result */
    double worth; /* share by which the model is better than a constant guess; NaN: not known */
    double
        decided; /* the difference in loss that the verdict rests on; infinite: none that other rows would change */
    int broken; /* a loss that is not finite where there should be one */
};

void add_line(json_t *lines, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(lines, json_string(text));
}

static double mean(const double *v, size_t a, size_t b)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = a; i < b; i++)
        if (isfinite(v[i])) sum += v[i], n++;
    return n ? sum / (double)n : (double)NAN;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_step(const double *v, size_t a, size_t b)
{
    size_t n = 0;
    double *d = calloc(b + 1, sizeof *d), m = 0;
    if (!d) return 0;
    for (size_t i = a + 1; i < b; i++)
        if (isfinite(v[i]) && isfinite(v[i - 1])) d[n++] = fabs(v[i] - v[i - 1]);
    qsort(d, n, sizeof *d, by_size);
    if (n) m = d[n / 2];
    free(d);
    return m;
}

static int read_curves(struct curves *c, const json_t *metrics)
{
    size_t n = json_array_size(json_object_get(metrics, "rows"));
    *c = (struct curves){ .n = n, .epoch = calloc(3 * n + 1, sizeof(double)) };
    if (!c->epoch) return 0;
    c->train = c->epoch + n;
    c->val = c->train + n;
    int any = 0;
    for (size_t i = 0; i < n; i++) {
        c->epoch[i] = metric_at(metrics, i, "epoch");
        c->train[i] = metric_at(metrics, i, "train_loss");
        c->val[i] = metric_at(metrics, i, "val_loss");
        if (isfinite(c->val[i]) && (!any++ || c->val[i] < c->val[c->best])) c->best = i;
        if (c->epoch[i] > 0 && !isfinite(c->train[i])) c->broken = 1;
    }
    return any;
}

/* The curve of a run with --scale-target, or of a model that ends in its inverse, is in scaled units, the result's losses are in
 * the target's own: curve / result. */
static double unit_of(const struct curves *c, const json_t *run, const json_t *result)
{
    const char *scaled = jtext(json_object_get(run, "settings"), "scale-target");
    const double loss = jnum(json_object_get(result, "val"), "loss");
    const int by_run = scaled[0] && strcmp(scaled, "none") != 0,
              by_model = json_is_true(json_object_get(result, "scaled_by_model"));
    return (by_run || by_model) && loss > 0 ? c->low / loss : 1;
}

static void measure(struct curves *c, const json_t *run, const json_t *result)
{
    size_t first = c->n > 1 && c->epoch[0] == 0 ? 1 : 0, n = c->n;
    size_t tenth = n / 10 < 1 ? 1 : n / 10 > 10 ? 10 : n / 10, third = n - n / 3;
    double low = c->val[c->best], start = c->val[first];
    c->scale = fmax(fabs(low), (start - low) / 20);
    if (!(c->scale > 0)) c->scale = 1;
    c->low = low;
    c->unit = unit_of(c, run, result);
    double train = jnum(json_object_get(result, "train"), "loss") * c->unit;
    if (isnan(train)) train = c->train[c->best];
    c->fitted = train;
    c->rise = (mean(c->val, c->best > n - tenth ? c->best : n - tenth, n) - low) / c->scale;
    c->gap = (low - train) / c->scale;
    c->trend =
        (mean(c->val, third, third + (n - third) / 2) - mean(c->val, third + (n - third) / 2, n)) /
        c->scale;
    c->noise = median_step(c->val, n / 2, n) / c->scale;
    c->fell = (c->train[c->best] - mean(c->train, n - tenth, n)) / c->scale;
}

/* The same for numbers and classes: what share of what there is to know it knows. */
static double worth_of(const json_t *result)
{
    const json_t *val = json_object_get(result, "val");
    const double r2 = jnum(val, "r2"), accuracy = jnum(val, "accuracy");
    const double guess = jnum(json_object_get(json_object_get(result, "guess"), "val"), "loss");
    if (isnan(accuracy) && !isnan(r2)) return r2;
    return guess > 0 ? 1 - jnum(val, "loss") / guess : (double)NAN;
}

static const char *decide(struct curves *c, double difference, const char *verdict)
{
    c->decided = difference * c->scale;
    return verdict;
}

static const char *verdict_of(struct curves *c)
{
    double first = isfinite(c->val[0]) ? c->val[0] : c->val[1];
    if (c->broken) return "diverged";
    if (c->rise > RISE && c->fell > 0) return decide(c, (double)INFINITY, "overfitting");
    if (c->trend > TREND && c->trend > c->noise / 2 && c->best >= c->n - 1 - c->n / 5)
        return decide(c, (double)INFINITY, "unfinished");
    if (c->gap > GAP) return decide(c, c->gap, "overfitting");
    if (first - c->val[c->best] < LEARNED * fabs(first))
        return decide(c, LEARNED * fabs(first) / c->scale, "underfitting");
    if (c->worth < GUESS) return decide(c, (double)INFINITY, "underfitting");
    return decide(c, GAP, "good");
}

/* ---- words ---------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *verdict, *headline, *advice[3];
} words[] = {
    { "overfitting",
      "The network fits the training rows better than it generalises (overfitting).",
      { "More regularisation: --weight-decay, --dropout, a smaller network, or more rows.",
        "--early-stop-patience ends the run when validation no longer improves; the best weights "
        "are given back in any case.",
        NULL } },
    { "unfinished",
      "Validation was still improving when the run ended.",
      { "More epochs (hone resume RUNDIR --epochs +N goes on where it stopped), or a larger "
        "learning rate.",
        NULL } },
    { "underfitting",
      "Little was gained on the first value: the network underfits, unless it came well trained.",
      { "Check the scale of the inputs (--scale standard) and the learning rate: try it ten times "
        "larger and ten times smaller.",
        "A larger network, less regularisation, or features that say more.", NULL } },
    { "diverged",
      "The loss was no longer finite: the run diverged.",
      { "A smaller learning rate, --clip-norm 1, a --warmup, inputs scaled with --scale standard.",
        NULL } },
    { "good", "Neither over- nor underfitting stands out.", { NULL } },
    { "unknown", "The curves say too little for a diagnosis.", { NULL } },
};

/* A share of the scale as per cent of the lowest validation loss, which is what the sentences speak of. */
static double percent(const struct curves *c, double share)
{
    return 100 * fabs(share) * c->scale / (c->low != 0 ? fabs(c->low) : c->scale);
}

static void explain(const struct curves *c, json_t *because)
{
    add_line(because, "The lowest validation loss is %.4g, at epoch %.0f of %.0f.", c->val[c->best],
             c->epoch[c->best], c->epoch[c->n - 1]);
    if (c->rise > 0.005)
        add_line(because, "At the end it is %.1f %% above that, while the training loss %s.",
                 percent(c, c->rise), c->fell > 0 ? "went on falling" : "fell no further");
    else
        add_line(because, "At the end it is where it was at its best (%.1f %% above).",
                 percent(c, c->rise));
    if (isfinite(c->gap))
        add_line(
            because,
            "Gap: the training loss of the same weights is %.4g, %.1f %% %s that of validation.",
            c->fitted, percent(c, c->gap), c->gap >= 0 ? "below" : "above");
    add_line(because, "Trend over the last third of the epochs: %.1f %% %s.", percent(c, c->trend),
             c->trend >= 0 ? "down" : "up");
    if (c->noise > NOISE)
        add_line(because,
                 "Validation jumps by %.1f %% from epoch to epoch: a smaller learning rate, a "
                 "decaying one (--lr-schedule cosine) or larger batches would calm it.",
                 percent(c, c->noise));
}

/* A model that knows nothing guesses the mean of the targets, whose r2 is 0, or how frequent each class is. */
static void explain_worth(const struct curves *c, const json_t *result, json_t *because)
{
    const json_t *val = json_object_get(result, "val");
    const json_t *guess = json_object_get(json_object_get(result, "guess"), "val");
    const double accuracy = jnum(val, "accuracy"), most = jnum(guess, "accuracy");
    if (c->worth < GUESS && isnan(accuracy))
        add_line(because,
                 "r2 over the validation rows is %.3g: always guessing the mean of their targets "
                 "would do %s.",
                 c->worth, c->worth < 0 ? "better" : "as well");
    else if (c->worth < GUESS)
        add_line(because,
                 "The loss over the validation rows is %.4g (accuracy %.4g): always guessing how "
                 "frequent each class is would do %s, with %.4g (%.4g).",
                 jnum(val, "loss"), accuracy, c->worth < 0 ? "better" : "as well",
                 jnum(guess, "loss"), most);
    else if (accuracy <= most && most < 1 && !json_object_get(result, "class_weights"))
        add_line(because,
                 "The accuracy over the validation rows is %.4g, always answering the most "
                 "frequent class has %.4g: the loss is better than a constant's, the answers are "
                 "not.",
                 accuracy, most);
}

static void explain_few(const struct curves *c, const json_t *run, const json_t *result,
                        json_t *because)
{
    const double error =
        jnum(json_object_get(json_object_get(result, "standard_error"), "val"), "loss") * c->unit;
    if (!(error > c->decided)) return;
    char rows[48] = "The validation rows";
    if (!isnan(jnum(run, "val_rows")))
        snprintf(rows, sizeof rows, "%.0f validation rows", jnum(run, "val_rows"));
    add_line(because,
             "%s are few: the standard error of their loss is %.2g, more than the %.2g that this "
             "is judged by. More of them (--val-split, --val-data) would tell, or hone tune "
             "--folds.",
             rows, error, c->decided);
}

static int is_followed(const char *advice, const char *stop_reason)
{
    return !strcmp(stop_reason, "patience") && !strncmp(advice, "--early-stop-patience", 21);
}

static json_t *put_words(const char *verdict, const char *headline, const char *stop_reason,
                         json_t *because)
{
    size_t i = 0;
    while (strcmp(words[i].verdict, verdict) != 0) i++;
    json_t *advice = json_array();
    for (const char *const *a = words[i].advice; *a; a++)
        if (!is_followed(*a, stop_reason)) add_line(advice, "%s", *a);
    return json_pack("{s:s, s:s, s:o, s:o, s:s}", "verdict", verdict, "headline",
                     headline ? headline : words[i].headline, "because", because, "advice", advice,
                     "rule", RULE);
}

json_t *report_diagnose(const json_t *metrics, const json_t *run, const json_t *result,
                        const json_t *status)
{
    static const char worthless[] =
        "The network does no better than a constant guess over the validation rows.";
    struct curves c;
    json_t *because = json_array();
    const char *verdict = "unknown", *headline = NULL, *reason = jtext(result, "stop_reason");
    if (!reason[0]) reason = jtext(status, "stop_reason");
    int any = read_curves(&c, metrics);
    if (!strcmp(reason, "diverged")) {
        verdict = "diverged";
        add_line(because, "The loss was no longer finite in epoch %.0f%s%s.",
                 jnum(json_object_get(result, "diverged"), "epoch"),
                 jtext(json_object_get(result, "diverged"), "tensor")[0]
                     ? "; the first bad tensor was "
                     : "",
                 jtext(json_object_get(result, "diverged"), "tensor"));
    } else if (!any) {
        add_line(because, "There are no validation rows (--val-split 0.2): whether the network "
                          "generalises cannot be seen.");
    } else if (c.n < 6) {
        add_line(because, "Fewer than five epochs were run.");
    } else {
        measure(&c, run, result);
        c.worth = worth_of(result);
        verdict = verdict_of(&c);
        if (c.worth < GUESS && !strcmp(verdict, "underfitting")) headline = worthless;
        explain(&c, because);
        explain_worth(&c, result, because);
        explain_few(&c, run, result, because);
    }
    free(c.epoch);
    return put_words(verdict, headline, reason, because);
}
