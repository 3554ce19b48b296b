/* SPDX-License-Identifier: MIT
 *
 * What a search says: the best against the imported model and the default settings, whether others can be told from it, fold
 * by fold, whether it lies at an end of its range, whether more trials would pay. */
#include "tools/report.h"
#include <math.h>
#include <string.h>

static const double END_OF_RANGE = 0.03; /* of the range, on its own scale */

struct search {
    const json_t *study, *best,
        *before; /* the best of the trials in front of the best; NULL: it is the first */
    const char *monitor;
    double sign;       /* +1: lower is better */
    size_t counted[4]; /* done, pruned, failed, running */
    double last_best;  /* the trial after which the best no longer changed; NaN: none */
};

static void look(struct search *s)
{
    static const char *const states[] = { "done", "pruned", "failed", "running" };
    size_t i;
    json_t *t;
    double best = (double)NAN;
    json_array_foreach(json_object_get(s->study, "trials"), i, t)
    {
        double v = jnum(t, "value"), number = jnum(t, "number");
        for (size_t k = 0; k < 4; k++) s->counted[k] += !strcmp(jtext(t, "state"), states[k]);
        if (strcmp(jtext(t, "state"), "done") != 0 || isnan(v)) continue;
        if (isnan(best) || s->sign * v < s->sign * best) {
            best = v;
            s->before = s->best;
            s->best = t;
            s->last_best = number;
        }
    }
}

/* Less than 2 % of the way from the guess to what is perfect: 1 for what is to be large (accuracy, r2), 0 for an error. */
int report_worthless(const json_t *study, double value, double *guess)
{
    static const double margin = 0.02;
    const int larger = !strcmp(jtext(study, "direction"), "maximize");
    *guess = jnum(json_object_get(json_object_get(study, "baseline"), "guess"), "value");
    if (isnan(*guess) || isnan(value) || *guess == (larger ? 1 : 0)) return 0;
    return larger ? value < *guess + margin * (1 - *guess) : value > *guess * (1 - margin);
}

static void judge_worth(const struct search *s, json_t *out)
{
    double guess, v = jnum(s->best, "value");
    if (report_worthless(s->study, v, &guess))
        add_line(
            out,
            "The best trial does no better than a constant: %s %.4g, always guessing the same (how "
            "frequent each class is, or the mean) has %.4g.",
            s->monitor, v, guess);
}

static void compare(const struct search *s, json_t *out)
{
    const json_t *baseline = json_object_get(s->study, "baseline");
    double v = jnum(s->best, "value"),
           imported = jnum(json_object_get(baseline, "imported"), "value"),
           trial_0 = jnum(json_object_get(baseline, "trial_0"), "value");
    if (isnan(imported)) return;
    if (s->sign * v < s->sign * imported)
        add_line(out, "Trial %.0f is the best: %s %.4g; the imported model has %.4g.",
                 jnum(s->best, "number"), s->monitor, v, imported);
    else
        add_line(out, "No trial beats the imported model: %s %.4g, the best trial has %.4g.",
                 s->monitor, imported, v);
    if (!isnan(trial_0) && jnum(s->best, "number") > 0)
        add_line(out, "The default settings (trial 0) reach %.4g: the search gained %.2g on them.",
                 trial_0, fabs(trial_0 - v));
}

/* By how much, fold by fold, the best is better than t, and the standard error of that. The folds share training rows: the
 * variance of the mean difference is the folds' times (1/n + 1/(k-1)) (Nadeau, Bengio, "Inference for the generalization
 * error", 2003). 0: their folds cannot be compared. */
static int gain_on(const struct search *s, const json_t *t, double k, double *gain, double *se)
{
    const json_t *a = json_object_get(s->best, "folds"), *b = json_object_get(t, "folds");
    size_t n = json_array_size(a);
    double sum = 0, squares = 0;
    if (json_array_size(b) != n) return 0;
    for (size_t i = 0; i < n; i++) {
        double d = jnum(json_array_get(b, i), "value") - jnum(json_array_get(a, i), "value");
        sum += d;
        squares += d * d;
    }
    double mean = sum / (double)n, var = (squares - sum * mean) / (double)(n - 1);
    *se = sqrt(fmax(var, 0) * (1 / (double)n + 1 / (k - 1)));
    *gain = s->sign * mean;
    return 1;
}

/* Is t within two standard errors of the best? */
static int is_alike(const struct search *s, const json_t *t, double k)
{
    double gain, se;
    return gain_on(s, t, k, &gain, &se) && gain <= 2 * se;
}

static void judge_spread(const struct search *s, json_t *out)
{
    size_t i, alike = 0;
    json_t *t;
    double k = jnum(s->study, "n_folds");
    if (!(k > 2) || s->counted[0] < 3) return;
    json_array_foreach(json_object_get(s->study, "trials"), i, t) alike +=
        t != s->best && !strcmp(jtext(t, "state"), "done") && is_alike(s, t, k);
    if (alike)
        add_line(out,
                 "Fold by fold, %zu other trial%s within two standard errors of it: differences "
                 "among these mean little.",
                 alike, alike == 1 ? " is" : "s are");
    else
        add_line(out, "Fold by fold, no other trial comes within two standard errors of it.");
}

/* Where v lies between low and high, 0 to 1, on the axis's scale. */
static double position(const json_t *axis, double v)
{
    double low = jnum(axis, "low"), high = jnum(axis, "high");
    if (json_is_true(json_object_get(axis, "log"))) {
        low = log(low);
        high = log(high);
        v = log(v);
    }
    return (v - low) / (high - low);
}

/* Is an axis's bound where the parameter itself ends, so that there is nothing to widen? */
static int is_limit(const char *name, double bound)
{
    hone_param_info info = { .size = sizeof info };
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        const char *a = info.name, *b = name;
        while (*a && (*a == *b || (*a == '-' && *b == '_'))) a++, b++;
        if (!*a && !*b && !(isnan(info.low) && isnan(info.high)))
            return bound == info.low || bound == info.high;
    }
    return bound == 1; /* hidden_units, units_1, …: lists, or not in the table */
}

static void judge_ranges(const struct search *s, json_t *out)
{
    static const char *const ends[] = { "low", "high" };
    const char *name;
    json_t *axis;
    json_object_foreach(json_object_get(s->study, "space"), name, axis)
    {
        double v = jnum(json_object_get(s->best, "params"), name), at = position(axis, v);
        if (isnan(jnum(axis, "low")) || !(at >= 0 && at <= 1)) continue;
        int end = at > 1 - END_OF_RANGE ? 1 : at < END_OF_RANGE ? 0 : -1;
        if (end < 0 || is_limit(name, jnum(axis, ends[end]))) continue;
        add_line(out, "Its %.60s = %.4g lies at the %s end of the range: widen it.", name, v,
                 end ? "upper" : "lower");
    }
}

/* Does the sampler look at what came before? Else the trials are exchangeable, or a list, and the place of the best among them
 * says nothing: it is in the last fifth once in five times. */
static int learns(const struct search *s)
{
    const char *sampler = jtext(s->study, "sampler");
    return !strcmp(sampler, "gp") || !strcmp(sampler, "tpe");
}

/* A search that still finds better trials near its end, by more than luck. */
static void judge_length(const struct search *s, json_t *out)
{
    double n = (double)json_array_size(json_object_get(s->study, "trials")), gain, se,
           k = jnum(s->study, "n_folds");
    if (n < 10 || isnan(s->last_best) || !learns(s)) return;
    if (s->last_best < 0.8 * n)
        add_line(out, "The best has not changed for the last %.0f of %.0f trials.",
                 n - 1 - s->last_best, n);
    else if (k > 2 && s->before && gain_on(s, s->before, k, &gain, &se) && gain > se)
        add_line(
            out,
            "The best was found among the last fifth of %.0f trials, %.2g better than the best "
            "before it (standard error %.2g): more trials may pay.",
            n, gain, se);
}

json_t *report_findings(const json_t *study)
{
    struct search s = { .study = study,
                        .monitor = jtext(study, "monitor"),
                        .sign = strcmp(jtext(study, "direction"), "maximize") ? 1 : -1,
                        .last_best = (double)NAN };
    json_t *out = json_array();
    look(&s);
    if (s.best) {
        compare(&s, out);
        judge_worth(&s, out);
        judge_spread(&s, out);
        judge_ranges(&s, out);
        judge_length(&s, out);
    }
    if (!s.best) add_line(out, "No trial is complete yet.");
    if (s.counted[2])
        add_line(out, "%zu trial%s failed: the table says why.", s.counted[2],
                 s.counted[2] == 1 ? "" : "s");
    return out;
}
