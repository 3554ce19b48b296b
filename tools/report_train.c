/* SPDX-License-Identifier: MIT
 *
 * The page of a training run: text and tables. */
#include "tools/report.h"
#include <math.h>
#include <string.h>

static const char *const figures[] = { "loss", "accuracy", "f1", "auc", "mae", "rmse", "r2" };

static const char *state_of(const json_t *tree)
{
    static const char *const reasons[][2] = { { "max_epochs", "all epochs were run" },
                                              { "patience", "validation stopped improving" },
                                              { "target", "the target was reached" },
                                              { "time", "the time was up" },
                                              { "diverged", "the loss was no longer finite" },
                                              { "interrupted", "interrupted, to be continued" },
                                              { "callback", "stopped by the program" } };
    const json_t *status = json_object_get(tree, "status");
    const char *reason = jtext(status, "stop_reason");
    if (!strcmp(jtext(status, "state"), "running")) return "still running, or ended without a word";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (!strcmp(reason, reasons[i][0])) return reasons[i][1];
    return reason;
}

static void put_heading(FILE *f, const json_t *tree)
{
    const json_t *run = json_object_get(tree, "run"), *status = json_object_get(tree, "status");
    const json_t *result = json_object_get(tree, "result");
    fputs("<header><p class=\"kind\">Training run</p>\n<h1>", f);
    html_text(f, base_name(jtext(run, "model")));
    fputs("</h1>\n<p class=\"lead\">", f);
    if (!isnan(jnum(status, "epoch")))
        fprintf(f, "%.0f of %.0f epochs", jnum(status, "epoch"), jnum(status, "epochs"));
    if (jnum(status, "seconds") > 0) fprintf(f, " in %.3g s", jnum(status, "seconds"));
    fputs(": ", f);
    html_text(f, state_of(tree));
    fputs(". ", f);
    if (!isnan(jnum(run, "train_rows")))
        fprintf(f, "%.0f training rows, %.0f for validation, %.0f for the test",
                jnum(run, "train_rows"), jnum(run, "val_rows"), jnum(run, "test_rows"));
    if (!isnan(jnum(result, "trainable_parameters")))
        fprintf(f, "; %.0f trainable parameters", jnum(result, "trainable_parameters"));
    fputs(".</p></header>\n", f);
}

/* The part that says most: test, else validation, else training. */
static const char *best_part(const json_t *result)
{
    static const char *const parts[] = { "test", "val", "train" };
    for (size_t i = 0; i < 3; i++)
        if (json_is_object(json_object_get(result, parts[i]))) return parts[i];
    return "val";
}

static void put_figures(FILE *f, const json_t *tree)
{
    const json_t *result = json_object_get(tree, "result");
    const char *part = best_part(result);
    const json_t *after = json_object_get(result, part);
    const json_t *before = json_object_get(json_object_get(result, "before"), part);
    char what[64], remark[64];
    fputs("<dl class=\"figures\">\n", f);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        double a = jnum(after, figures[i]), b = jnum(before, figures[i]);
        if (isnan(a)) continue;
        snprintf(what, sizeof what, "%s %s", part, figures[i]);
        remark[0] = 0;
        if (!isnan(b)) snprintf(remark, sizeof remark, "from %.4g", b);
        html_figure(f, what, a, remark);
    }
    double best = jnum(json_object_get(tree, "status"), "best_epoch");
    if (!isnan(best)) html_figure(f, "best epoch", best, best == 0 ? "the imported weights" : "");
    fputs("</dl>\n", f);
}

static void put_diagnosis(FILE *f, const json_t *d)
{
    fputs("<section id=\"diagnosis\"><h2>Diagnosis</h2>\n<p class=\"verdict ", f);
    html_text(f, jtext(d, "verdict"));
    fputs("\">", f);
    html_text(f, jtext(d, "headline"));
    fputs("</p>\n", f);
    html_lines(f, "because", json_object_get(d, "because"));
    html_lines(f, "advice", json_object_get(d, "advice"));
    fputs("<details><summary>The rule</summary><p class=\"note\">", f);
    html_text(f, jtext(d, "rule"));
    fputs("</p></details></section>\n", f);
}

static void put_cells(FILE *f, const json_t *result, const char *part, const char *name)
{
    double b = jnum(json_object_get(json_object_get(result, "before"), part), name);
    double a = jnum(json_object_get(result, part), name);
    fputs("<td>", f);
    html_number(f, b);
    fputs("</td><td>", f);
    html_number(f, a);
    fputs("</td>", f);
}

static void put_comparison(FILE *f, const json_t *result)
{
    static const char *const parts[] = { "train", "val", "test" };
    static const char *const titles[] = { "Training rows", "Validation rows", "Test rows" };
    fputs("<section id=\"comparison\"><h2>Before and after</h2>\n<p class=\"note\">The model as it "
          "came and as it was written, in inference mode; – was not measured.</p>\n<div "
          "class=\"wide\"><table><thead><tr><th rowspan=\"2\" scope=\"col\">Figure</th>",
          f);
    for (size_t p = 0; p < 3; p++)
        fprintf(f, "<th colspan=\"2\" scope=\"colgroup\">%s</th>", titles[p]);
    fputs("</tr>\n<tr>", f);
    for (size_t p = 0; p < 3; p++)
        fputs("<th scope=\"col\">before</th><th scope=\"col\">after</th>", f);
    fputs("</tr></thead><tbody>\n", f);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        int any = 0;
        for (size_t p = 0; p < 3; p++)
            any |= !isnan(jnum(json_object_get(result, parts[p]), figures[i]));
        if (!any) continue;
        fprintf(f, "<tr><th scope=\"row\">%s</th>", figures[i]);
        for (size_t p = 0; p < 3; p++) put_cells(f, result, parts[p], figures[i]);
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div></section>\n", f);
}

static void put_layer(FILE *f, const json_t *layer)
{
    static const char *const names[] = { "inputs", "units", "before", "after" };
    fputs("<tr><th scope=\"row\">", f);
    html_text(f, jtext(layer, "layer"));
    fputs("</th>", f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fputs("<td>", f);
        html_number(f, jnum(layer, names[i]));
        fputs("</td>", f);
    }
    fputs("</tr>\n", f);
}

static void put_pretraining(FILE *f, const json_t *result)
{
    const json_t *layers = json_object_get(json_object_get(result, "pretrain"), "layers"), *layer;
    size_t i;
    if (!json_array_size(layers)) return;
    fputs("<section id=\"pretraining\"><h2>Pre-training</h2>\n<p class=\"note\">How far what each "
          "layer's autoencoder restores is from what reached the layer: the mean square error "
          "without noise, before and after its epochs.</p>\n<div class=\"wide\"><table><thead>"
          "<tr><th scope=\"col\">Layer</th><th scope=\"col\">inputs</th><th scope=\"col\">units"
          "</th><th scope=\"col\">before</th><th scope=\"col\">after</th></tr></thead><tbody>\n",
          f);
    json_array_foreach(layers, i, layer) put_layer(f, layer);
    fputs("</tbody></table></div></section>\n", f);
}

static void put_row(FILE *f, const char *name, const char *text)
{
    if (!text[0]) return;
    fprintf(f, "<tr><th scope=\"row\">%s</th><td>", name);
    html_text(f, text);
    fputs("</td></tr>\n", f);
}

static void put_machine(FILE *f, const json_t *run, const json_t *result)
{
    char text[96];
    fputs("<section id=\"machine\"><h2>Time and machine</h2>\n<table class=\"settings\"><tbody>\n",
          f);
    snprintf(text, sizeof text, "%.3g s", jnum(result, "seconds"));
    put_row(f, "time", result ? text : "");
    snprintf(text, sizeof text, "%.3g rows a second", jnum(result, "samples_per_second"));
    put_row(f, "speed", result ? text : "");
    snprintf(text, sizeof text, "%.0f", jnum(run, "threads"));
    put_row(f, "threads", text);
    put_row(f, "device", jtext(run, "backend"));
    put_row(f, "processor", jtext(run, "core"));
    put_row(f, "hone", jtext(run, "version"));
    put_row(f, "model", jtext(run, "model"));
    put_row(f, "model's hash", jtext(run, "model_hash"));
    put_row(f, "data's hash", jtext(run, "data_hash"));
    put_row(f, "written to", jtext(result, "model"));
    fputs("</tbody></table></section>\n", f);
}

static void put_all_settings(FILE *f, const json_t *run, const json_t *result)
{
    const json_t *all = json_object_get(result, "hyperparameters");
    fputs("<section id=\"settings\"><h2>Settings</h2>\n<p class=\"note\">What was asked for; all "
          "else was as hone help params says.</p>\n",
          f);
    html_settings(f, json_object_get(run, "settings"));
    if (all) {
        fputs("<details><summary>All hyper-parameters</summary>\n", f);
        html_settings(f, all);
        fputs("</details>\n", f);
    }
    fputs("</section>\n", f);
}

/* The curves as a table; long runs are thinned once more. */
static void put_epochs(FILE *f, const json_t *metrics)
{
    enum { SHOWN = 250 };
    const json_t *columns = json_object_get(metrics, "columns"),
                 *rows = json_object_get(metrics, "rows");
    size_t n = json_array_size(rows), step = n / SHOWN + 1, i, k;
    json_t *cell;
    fputs("<section id=\"epochs\"><details><summary>The curves as a table</summary>\n<div "
          "class=\"wide\"><table><thead><tr>",
          f);
    json_array_foreach(columns, k, cell)
    {
        fputs("<th scope=\"col\">", f);
        html_text(f, json_string_value(cell));
        fputs("</th>", f);
    }
    fputs("</tr></thead><tbody>\n", f);
    for (i = 0; i < n; i++) {
        if (i % step && i + 1 < n) continue;
        fputs("<tr>", f);
        json_array_foreach(json_array_get(rows, i), k, cell)
        {
            fputs("<td>", f);
            html_number(f, json_is_number(cell) ? json_number_value(cell) : (double)NAN);
            fputs("</td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div></details></section>\n", f);
}

void report_train(FILE *f, const json_t *tree)
{
    const json_t *run = json_object_get(tree, "run"), *result = json_object_get(tree, "result");
    const json_t *metrics = json_object_get(tree, "metrics");
    html_begin(f, base_name(jtext(run, "model")), "train");
    put_heading(f, tree);
    put_figures(f, tree);
    put_diagnosis(f, json_object_get(tree, "diagnosis"));
    if (json_array_size(json_object_get(metrics, "rows")))
        html_chart(f, "curves", "Learning curves",
                   "Training loss is the running mean over the batches of an epoch, dropout and "
                   "penalties included; validation is measured in inference mode after it.");
    if (result) put_comparison(f, result);
    put_pretraining(f, result);
    fputs("<div class=\"columns\">\n", f);
    put_all_settings(f, run, result);
    put_machine(f, run, result);
    fputs("</div>\n", f);
    put_epochs(f, metrics);
    html_end(f, tree, jtext(run, "version"));
}
