/* SPDX-License-Identifier: MIT
 *
 * hone tell: the result of a trial that hone ask gave out. */
#include "tools/cli.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int wrong(struct cli *c, const char *where, const char *text)
{
    c->err.code = HONE_E_USAGE;
    snprintf(c->err.where, sizeof c->err.where, "%s", where);
    snprintf(c->err.text, sizeof c->err.text, "%s", text);
    return report_error(c);
}

static int not_that(struct cli *c, const char *where, const char *found, const char *wanted)
{
    char text[160];
    snprintf(text, sizeof text, "found '%.60s', wanted %s", found, wanted);
    return wrong(c, where, text);
}

static int run(struct cli *c)
{
    hone_study *study = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    char *end;
    double value = (double)NAN;
    int failed = !strcmp(hone_params_get(c->params, "failed", 0), "true");
    errno = 0;
    long long trial = strtoll(c->args[1], &end, 10);
    if (errno || end == c->args[1] || *end || trial < 0)
        return not_that(c, "TRIAL", c->args[1], "the number of a trial, as hone ask gave it");
    if (failed == (c->n_args == 3))
        return wrong(c, "tell",
                     failed ? "a failed trial has no value" : "wanted a value, or --failed");
    if (!failed) value = strtod(c->args[2], &end);
    if (!failed && (end == c->args[2] || *end)) return not_that(c, "VALUE", c->args[2], "a number");
    if (hone_study_open(c->ctx, c->args[0], c->params, &study, &c->err) == HONE_OK &&
        hone_study_tell(study, trial, value, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_study_close(study);
    if (!tree) return report_error(c);
    if (!c->json) {
        printf("trial %lld %s", trial, jtext(tree, "state"));
        if (json_is_integer(json_object_get(tree, "best_trial")))
            printf("; best of %.0f: trial %.0f with %.6g", jnum(tree, "trials"),
                   jnum(tree, "best_trial"), jnum(tree, "best_value"));
        printf("\n");
    }
    return print_tree(c, tree);
}

const struct command cmd_tell = {
    .name = "tell",
    .args = "STUDY TRIAL VALUE | --failed",
    .min_args = 2,
    .max_args = 3,
    .schema = "hone.tell/1",
    .groups = " tell ",
    .summary = "the result of a trial that hone ask gave out",
    .examples = "hone tell search.db 0 0.25\nhone tell search.db 1 --failed\n",
    .run = run,
};
