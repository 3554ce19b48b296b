/* SPDX-License-Identifier: MIT
 *
 * The page of a learning rate range test. */
#include "tools/report.h"
#include <math.h>

static void put_heading(FILE *f, const json_t *tree)
{
    fputs("<header><p class=\"kind\">Learning rate range test</p>\n<h1>", f);
    html_text(f, base_name(jtext(tree, "model")));
    fprintf(f, "</h1>\n<p class=\"lead\">%.0f optimizer steps of up to %.0f rows by ",
            jnum(tree, "steps"), jnum(tree, "batch_size"));
    html_text(f, jtext(json_object_get(tree, "hyperparameters"), "optimizer"));
    fputs(", each at a higher rate than the one before: ", f);
    html_text(f, jtext(tree, "ending"));
    fputs(".</p></header>\n", f);
}

static void put_figures(FILE *f, const json_t *tree)
{
    const json_t *says = json_object_get(tree, "suggestions");
    fputs("<dl class=\"figures\">\n", f);
    html_figure(f, "suggested rate", jnum(tree, "suggestion"),
                isnan(jnum(tree, "suggestion")) ? "the loss does not fall more than batches differ"
                                                : "in the middle of the next two");
    html_figure(f, "valley", jnum(says, "valley"), "half way down: with care");
    html_figure(f, "steepest", jnum(says, "steepest"), "where the loss falls most steeply");
    html_figure(f, "lowest", jnum(tree, "lowest"), "too high to train with");
    html_figure(f, "rises", jnum(tree, "rises"), "from here on it stays a tenth above its lowest");
    fputs("</dl>\n", f);
}

static void put_points(FILE *f, const json_t *points)
{
    static const char *const keys[] = { "lr", "loss", "smoothed" };
    size_t i, k;
    json_t *p;
    fputs("<section id=\"points\"><details><summary>The curve as a table</summary>\n<div "
          "class=\"wide\"><table><thead><tr><th scope=\"col\">rate</th><th scope=\"col\">loss</th>"
          "<th scope=\"col\">smoothed</th></tr></thead><tbody>\n",
          f);
    json_array_foreach(points, i, p)
    {
        fputs("<tr>", f);
        for (k = 0; k < 3; k++) {
            fputs("<td>", f);
            html_number(f, jnum(p, keys[k]));
            fputs("</td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div></details></section>\n", f);
}

void report_range(FILE *f, const json_t *tree)
{
    html_begin(f, base_name(jtext(tree, "model")), "lr-find");
    put_heading(f, tree);
    put_figures(f, tree);
    html_chart(f, "range", "Loss by learning rate",
               "Dots are the batches of single steps, the line is their smoothed mean. A good rate "
               "lies where it falls, well before it rises.");
    put_points(f, json_object_get(tree, "points"));
    fputs("<section id=\"settings\"><details><summary>All hyper-parameters</summary>\n", f);
    html_settings(f, json_object_get(tree, "hyperparameters"));
    fputs("</details></section>\n", f);
    html_end(f, tree, hone_version());
}
