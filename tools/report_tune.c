/* SPDX-License-Identifier: MIT
 *
 * The page of a search: text and tables. */
#include "tools/report.h"
#include <math.h>
#include <string.h>

static const char *const metrics[] = { "loss", "accuracy", "f1", "auc", "mae", "rmse", "r2" };

/* ---- the head ------------------------------------------------------------------------------------------------------------- */

/* The end, with what it decides, is still to come. */
static int goes_on(const json_t *study)
{
    const char *reason = jtext(study, "stop_reason");
    return !strcmp(reason, "running") || !strcmp(reason, "interrupted") || !strcmp(reason, "error");
}

static size_t count(const json_t *study, const char *state)
{
    size_t i, n = 0;
    json_t *t;
    json_array_foreach(json_object_get(study, "trials"), i, t) n +=
        !strcmp(jtext(t, "state"), state);
    return n;
}

static void put_counts(FILE *f, const json_t *study)
{
    static const char *const states[][2] = { { "done", "complete" },
                                             { "pruned", "pruned" },
                                             { "failed", "failed" },
                                             { "running", "running" },
                                             { "waiting", "waiting" } };
    int any = 0;
    fprintf(f, "%zu trials (", json_array_size(json_object_get(study, "trials")));
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        size_t n = count(study, states[i][0]);
        if (n) fprintf(f, "%s%zu %s", any++ ? ", " : "", n, states[i][1]);
    }
    fputs(any ? ")" : "none yet)", f);
}

static void put_heading(FILE *f, const json_t *study)
{
    const char *input = jtext(study, "input"), *reason = jtext(study, "stop_reason");
    double folds = jnum(study, "n_folds"), repeats = jnum(study, "repeats");
    fputs("<header><p class=\"kind\">Search for training parameters</p>\n<h1>", f);
    html_text(f, base_name(input[0] ? input : jtext(study, "model")));
    fputs("</h1>\n<p class=\"lead\">", f);
    put_counts(f, study);
    fputs(", sampler ", f);
    html_text(f, jtext(study, "sampler"));
    if (folds > 0)
        fprintf(f, ", judged on %.0f folds", folds);
    else
        fputs(", judged on the validation rows", f);
    if (repeats > 1) fprintf(f, " drawn %.0f times", repeats);
    fputs(" by ", f);
    html_text(f, jtext(study, "monitor"));
    fputs(strcmp(jtext(study, "direction"), "maximize") ? " (lower is better)"
                                                        : " (higher is better)",
          f);
    if (jnum(study, "seconds") > 0) fprintf(f, ", %.3g s", jnum(study, "seconds"));
    fputs(".", f);
    if (!strcmp(reason, "running"))
        fputs(" <strong>The search still runs, or was killed.</strong>", f);
    if (!strcmp(reason, "interrupted"))
        fputs(" <strong>Interrupted: the same command goes on.</strong>", f);
    if (!strcmp(reason, "time")) fputs(" The time was up.", f);
    if (!strcmp(reason, "callback")) fputs(" The program that asked for it ended it.", f);
    if (!strcmp(reason, "error")) {
        const json_t *why = json_object_get(study, "error");
        fputs(" <strong>An error ended it: ", f);
        html_text(f, jtext(why, "where"));
        fputs(jtext(why, "where")[0] ? ": " : "", f);
        html_text(f, jtext(why, "text"));
        fputs(". The same command goes on.</strong>", f);
    }
    fputs("</p></header>\n", f);
}

static void put_figures(FILE *f, const json_t *study)
{
    const json_t *imported = json_object_get(json_object_get(study, "baseline"), "imported");
    const json_t *before = json_object_get(imported, "test"),
                 *after = json_object_get(study, "test");
    double best = jnum(study, "best_value"), was = jnum(imported, "value");
    char what[64], remark[64];
    fputs("<dl class=\"figures\">\n", f);
    snprintf(what, sizeof what, "best %.40s", jtext(study, "monitor"));
    remark[0] = 0;
    if (!isnan(was)) snprintf(remark, sizeof remark, "imported %.4g", was);
    html_figure(f, what, best, remark);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        double a = jnum(after, metrics[i]), b = jnum(before, metrics[i]);
        if (isnan(a) || goes_on(study)) continue;
        snprintf(what, sizeof what, "test %s", metrics[i]);
        remark[0] = 0;
        if (!isnan(b)) snprintf(remark, sizeof remark, "from %.4g", b);
        html_figure(f, what, a, remark);
    }
    fputs("</dl>\n", f);
}

static void put_findings(FILE *f, const json_t *findings)
{
    fputs("<section id=\"findings\"><h2>What it says</h2>\n", f);
    html_lines(f, "because", findings);
    fputs("</section>\n", f);
}

/* ---- the winner ------------------------------------------------------------------------------------------------------------ */

static const json_t *trial_of(const json_t *study, double number)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(study, "trials"), i,
                       t) if (jnum(t, "number") == number) return t;
    return NULL;
}

static void put_line(FILE *f, const char *name, double value, double std, const char *remark)
{
    fprintf(f, "<tr><th scope=\"row\">%s</th><td>", name);
    html_number(f, value);
    fputs("</td><td>", f);
    if (std > 0) fprintf(f, "± %.2g", std);
    fputs("</td><td class=\"text\">", f);
    html_text(f, remark);
    fputs("</td></tr>\n", f);
}

static void put_refit(FILE *f, const json_t *study)
{
    const json_t *refit = json_object_get(study, "refit");
    if (!json_is_object(refit)) return;
    fprintf(f, "<p>The winner was trained again on %s, %.0f epochs, %.3g s",
            !strcmp(jtext(refit, "kind"), "all") ? "all rows but the test's" : "the training rows",
            jnum(refit, "epochs"), jnum(refit, "seconds"));
    if (json_is_true(json_object_get(refit, "accepted"))) {
        fputs(", and is the model that was written.</p>\n", f);
    } else {
        fputs(", but was not taken: ", f);
        html_text(f, jtext(refit, "why"));
        fputs(".</p>\n", f);
    }
}

static void put_test(FILE *f, const json_t *study)
{
    const json_t *before =
        json_object_get(json_object_get(json_object_get(study, "baseline"), "imported"), "test");
    const json_t *after = json_object_get(study, "test");
    if (!json_is_object(after) || goes_on(study)) return;
    fputs("<table><thead><tr><th scope=\"col\">Test rows</th><th scope=\"col\">imported</th><th "
          "scope=\"col\">written</th></tr></thead><tbody>\n",
          f);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        if (isnan(jnum(after, metrics[i]))) continue;
        fprintf(f, "<tr><th scope=\"row\">%s</th><td>", metrics[i]);
        html_number(f, jnum(before, metrics[i]));
        fputs("</td><td>", f);
        html_number(f, jnum(after, metrics[i]));
        fputs("</td></tr>\n", f);
    }
    fputs("</tbody></table>\n", f);
}

static double fold_of(const json_t *list, size_t i)
{
    const json_t *v = json_array_get(list, i);
    return json_is_object(v)   ? jnum(v, "value")
           : json_is_number(v) ? json_number_value(v)
                               : (double)NAN;
}

/* Fold by fold: the imported model, the best trial, the ensemble if there is one. */
static void put_folds(FILE *f, const json_t *study, const json_t *best)
{
    const json_t *imported =
        json_object_get(json_object_get(json_object_get(study, "baseline"), "imported"), "folds");
    const json_t *folds = json_object_get(best, "folds");
    const json_t *together = json_object_get(json_object_get(study, "ensemble"), "folds");
    size_t n = json_array_size(folds);
    if (n < 2 || json_array_size(imported) != n) return;
    fputs(
        "<details><summary>Fold by fold</summary><table><thead><tr><th scope=\"col\">fold</th><th "
        "scope=\"col\">imported</th><th scope=\"col\">best trial</th>",
        f);
    if (together) fputs("<th scope=\"col\">ensemble</th>", f);
    fputs("</tr></thead><tbody>\n", f);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "<tr><th scope=\"row\">%zu</th><td>", i + 1);
        html_number(f, fold_of(imported, i));
        fputs("</td><td>", f);
        html_number(f, fold_of(folds, i));
        if (together) {
            fputs("</td><td>", f);
            html_number(f, fold_of(together, i));
        }
        fputs("</td></tr>\n", f);
    }
    fputs("</tbody></table></details>\n", f);
}

static void put_comparison(FILE *f, const json_t *study)
{
    const json_t *c = json_object_get(study, "comparison");
    double folds = jnum(c, "folds"), better = jnum(c, "better"), gain = jnum(c, "difference");
    if (isnan(gain)) return;
    if (!(folds > 1)) {
        fputs("<p>One validation split: there is no spread to judge the difference by; --folds "
              "gives one.</p>\n",
              f);
        return;
    }
    fprintf(f,
            "<p>%s than the imported model on %.0f of %.0f folds: mean difference %.4g ± %.2g "
            "(standard error corrected for folds that share their training rows, Nadeau and "
            "Bengio), p = %.2g.</p>\n",
            gain > 0 ? "Better" : "No better", gain > 0 ? better : folds - better, folds, gain,
            jnum(c, "se"), jnum(c, "p"));
}

static void put_ensemble(FILE *f, const json_t *study)
{
    const json_t *e = json_object_get(study, "ensemble"), *members = json_object_get(e, "members");
    size_t i;
    json_t *v;
    if (isnan(jnum(e, "value"))) return;
    fputs("<p>The average of trials ", f);
    json_array_foreach(members, i, v)
    {
        if (i) fputs(", ", f);
        html_value(f, v);
    }
    fprintf(f, " reaches %.4g", jnum(e, "value"));
    if (jnum(e, "std") > 0) fprintf(f, " ± %.2g", jnum(e, "std"));
    fputs(json_is_true(json_object_get(e, "better_than_best"))
              ? ", better than the best trial alone"
              : ", no better than the best trial alone",
          f);
    if (json_is_true(json_object_get(e, "exported"))) {
        fputs("; it is the model that was written.</p>\n", f);
    } else {
        fputs("; it was not written: ", f);
        html_text(f, jtext(e, "why"));
        fputs(".</p>\n", f);
    }
}

static void put_winner(FILE *f, const json_t *study)
{
    const json_t *baseline = json_object_get(study, "baseline");
    const json_t *imported = json_object_get(baseline, "imported");
    const json_t *best = trial_of(study, jnum(study, "best_trial")), *first = trial_of(study, 0);
    char remark[64];
    fprintf(f, "<section id=\"winner\"><h2>%s</h2>\n<div class=\"columns\"><div>\n",
            goes_on(study) ? "The best so far" : "The winner");
    if (best)
        html_settings(f, json_object_get(best, "params"));
    else
        fputs("<p>No trial is complete.</p>", f);
    const char *reason = jtext(study, "stop_reason");
    if (best && strcmp(reason, "running") != 0 && strcmp(reason, "error") != 0)
        fputs("<p class=\"note\">best.yaml in the run folder has them for hone train --config.</p>",
              f);
    fputs("</div><div>\n<table><thead><tr><th scope=\"col\">", f);
    html_text(f, jtext(study, "monitor"));
    fputs(
        "</th><th scope=\"col\">mean</th><th scope=\"col\">std</th><th></th></tr></thead><tbody>\n",
        f);
    if (json_is_object(imported))
        put_line(f, "imported model", jnum(imported, "value"), jnum(imported, "std"), "");
    if (json_is_object(json_object_get(baseline, "trial_0")))
        put_line(f, "default settings", jnum(first, "value"), jnum(first, "std"), "trial 0");
    snprintf(remark, sizeof remark, "trial %.0f", jnum(best, "number"));
    if (best) put_line(f, "best settings", jnum(best, "value"), jnum(best, "std"), remark);
    fputs("</tbody></table>\n", f);
    put_comparison(f, study);
    put_ensemble(f, study);
    put_refit(f, study);
    put_test(f, study);
    put_folds(f, study, best);
    fputs("</div></div></section>\n", f);
}

static void put_importances(FILE *f, const json_t *study)
{
    const char *name;
    json_t *v;
    const json_t *shares = json_object_get(study, "importances");
    if (!json_object_size(shares)) return;
    fputs("<section id=\"importances\"><h2>What mattered</h2>\n<p class=\"note\">How differently a "
          "parameter is distributed among the best quarter of the trials and among all "
          "(PED-ANOVA); a statement about the trials there are.</p>\n<table "
          "class=\"bars\"><tbody>\n",
          f);
    json_object_foreach((json_t *)shares, name, v)
    {
        double share = 100 * json_number_value(v);
        fputs("<tr><th scope=\"row\">", f);
        html_text(f, name);
        fprintf(f, "</th><td>%.0f %%</td><td><i style=\"width:%.1f%%\"></i></td></tr>\n", share,
                share);
    }
    fputs("</tbody></table></section>\n", f);
}

/* ---- the trials ------------------------------------------------------------------------------------------------------------ */

static void put_trial(FILE *f, const json_t *study, const json_t *t)
{
    const char *name;
    json_t *axis;
    int best = jnum(t, "number") == jnum(study, "best_trial");
    fprintf(f, "<tr data-t=\"%.0f\"%s><th scope=\"row\">%.0f</th><td class=\"text\">",
            jnum(t, "number"), best ? " class=\"best\"" : "", jnum(t, "number"));
    html_text(f, !strcmp(jtext(t, "state"), "done") ? "complete" : jtext(t, "state"));
    if (jtext(t, "why")[0]) {
        fputs("<small>", f);
        html_text(f, jtext(t, "why"));
        fputs("</small>", f);
    }
    fputs("</td><td>", f);
    html_number(f, jnum(t, "value"));
    fputs("</td><td>", f);
    if (jnum(t, "std") > 0) fprintf(f, "± %.2g", jnum(t, "std"));
    fprintf(f, "</td><td>%.0f</td><td>%.3g</td>", jnum(t, "epochs"), jnum(t, "seconds"));
    json_object_foreach(json_object_get(study, "space"), name, axis)
    {
        fputs("<td>", f);
        html_value(f, json_object_get(json_object_get(t, "params"), name));
        fputs("</td>", f);
    }
    fputs("</tr>\n", f);
}

static void put_column(FILE *f, const char *key, const char *title)
{
    fputs("<th scope=\"col\" data-key=\"", f);
    html_text(f, key);
    fputs("\"><button type=\"button\">", f);
    html_text(f, title);
    fputs("</button></th>", f);
}

static void put_trials(FILE *f, const json_t *study)
{
    const char *name;
    size_t i;
    json_t *axis, *t;
    fputs("<section id=\"trials\"><h2>All trials</h2>\n<p class=\"note\">A column's title sorts by "
          "it; a row picks its trial out in the charts.</p>\n<div class=\"wide\"><table "
          "class=\"trials\"><thead><tr>",
          f);
    put_column(f, "number", "trial");
    put_column(f, "state", "state");
    put_column(f, "value", jtext(study, "monitor"));
    put_column(f, "std", "± std");
    put_column(f, "epochs", "epochs");
    put_column(f, "seconds", "seconds");
    json_object_foreach(json_object_get(study, "space"), name, axis)
    {
        char key[300];
        snprintf(key, sizeof key, "params.%s", name);
        put_column(f, key, name);
    }
    fputs("</tr></thead><tbody>\n", f);
    json_array_foreach(json_object_get(study, "trials"), i, t) put_trial(f, study, t);
    fputs("</tbody></table></div></section>\n", f);
}

/* ---- the rest --------------------------------------------------------------------------------------------------------------- */

static void put_flat(FILE *f, const char *prefix, const json_t *o)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)o, name, v)
    {
        char path[200];
        snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? " · " : "", name);
        if (json_is_object(v)) {
            put_flat(f, path, v);
            continue;
        }
        if (json_is_array(v) && json_is_object(json_array_get(v, 0))) continue;
        fputs("<tr><th scope=\"row\">", f);
        html_text(f, path);
        fputs("</th><td>", f);
        html_value(f, v);
        fputs("</td></tr>\n", f);
    }
}

static void put_outer_fold(FILE *f, size_t number, const json_t *fold)
{
    fprintf(f, "<tr><th scope=\"row\">%zu</th><td>%.0f</td><td>", number, jnum(fold, "rows"));
    html_number(f, jnum(fold, "imported"));
    fputs("</td><td>", f);
    html_number(f, jnum(fold, "value"));
    fputs("</td><td>", f);
    html_number(f, jnum(fold, "best_value"));
    fputs("</td></tr>\n", f);
}

/* What the search is worth on rows that it has not seen, where outer folds say so. */
static void put_nested(FILE *f, const json_t *study)
{
    const json_t *o = json_object_get(study, "nested"), *c = json_object_get(o, "comparison");
    size_t i;
    json_t *fold;
    if (!json_object_size(o)) return;
    fputs("<section id=\"nested\"><h2>Nested folds</h2>\n", f);
    if (isnan(jnum(o, "mean"))) { /* other figures than are known here */
        fputs("<table class=\"settings\"><tbody>\n", f);
        put_flat(f, "", o);
        fputs("</tbody></table></section>\n", f);
        return;
    }
    fprintf(f, "<p>On rows that it has not seen, a search like this gives %.4g ± %.2g%s",
            jnum(o, "mean"), jnum(o, "se"),
            json_is_false(json_object_get(o, "complete")) ? " so far" : "");
    if (jnum(c, "folds") > 1)
        fprintf(f, ": better than the imported model on %.0f of %.0f outer folds, p = %.2g",
                jnum(c, "better"), jnum(c, "folds"), jnum(c, "p"));
    fputs(
        ".</p>\n<table><thead><tr><th scope=\"col\">outer fold</th><th scope=\"col\">rows</th><th "
        "scope=\"col\">imported</th><th scope=\"col\">what was found</th><th scope=\"col\">its "
        "value inside</th></tr></thead><tbody>\n",
        f);
    json_array_foreach(json_object_get(o, "folds"), i, fold) put_outer_fold(f, i + 1, fold);
    fputs("</tbody></table></section>\n", f);
}

static int any_curve(const json_t *study)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(study, "trials"), i,
                       t) if (json_array_size(json_object_get(t, "curve")) > 1) return 1;
    return 0;
}

static void put_charts(FILE *f, const json_t *study)
{
    html_chart(f, "history", "Search history",
               "Each trial's value, the best so far as a line, and the imported model. Trials that "
               "did not complete stand at the foot.");
    put_importances(f, study);
    html_chart(
        f, "parallel", "Settings and values",
        "One line a trial through its settings to its value: the darker, the better its rank. A "
        "parameter that did not count is at –.");
    html_chart(f, "slices", "Parameter by parameter",
               "The value over each parameter alone, complete trials.");
    if (any_curve(study))
        html_chart(
            f, "trialcurves", "Learning curves of the trials",
            "Mean over the folds by epoch; a fold that stopped counts with its last value. "
            "A trial's value is the curve's best point, or the model's before training where "
            "that is better and may be the result; with --save last its last point.");
}

void report_tune(FILE *f, const json_t *tree)
{
    const json_t *study = json_object_get(tree, "study");
    const char *input = jtext(study, "input");
    html_begin(f, base_name(input[0] ? input : jtext(study, "model")), "tune");
    put_heading(f, study);
    put_figures(f, study);
    put_findings(f, json_object_get(tree, "findings"));
    put_winner(f, study);
    put_nested(f, study);
    if (json_array_size(json_object_get(study, "trials"))) put_charts(f, study);
    put_trials(f, study);
    if (json_object_size(json_object_get(study, "settings"))) {
        fputs("<section id=\"settings\"><h2>What was asked for</h2>\n", f);
        html_settings(f, json_object_get(study, "settings"));
        fputs("</section>\n", f);
    }
    html_end(f, tree, jtext(study, "version"));
}
