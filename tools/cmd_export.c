/* SPDX-License-Identifier: MIT
 *
 * hone export: a study as a file for other tools. */
#include "tools/cli.h"
#include <string.h>

static int run(struct cli *c)
{
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_study_export(c->ctx, c->args[0], c->params, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    if (!tree) return report_error(c);
    if (!c->json) {
        int journal = !strcmp(jtext(tree, "format"), "optuna-journal");
        printf("%.0f trials written to ", jnum(tree, "trials"));
        print_name(stdout, jtext(tree, "file"));
        fputs("\noptuna.load_study(study_name=\"", stdout);
        print_name(stdout, jtext(tree, "study_name"));
        fputs(journal ? "\", storage=JournalStorage(JournalFileBackend(\""
                      : "\", storage=\"sqlite:///",
              stdout);
        print_name(stdout, jtext(tree, "file"));
        fputs(journal ? "\")))\n" : "\")\n", stdout);
    }
    return print_tree(c, tree);
}

const struct command cmd_export = {
    .name = "export",
    .args = "STUDY",
    .min_args = 1,
    .max_args = 1,
    .schema = "hone.export/1",
    .groups = " export ",
    .also = " force ",
    .summary = "a study as a file that Optuna and its viewers open",
    .examples = "hone export search.db --optuna optuna.db\n"
                "hone export best.onnx.run/study.db --optuna optuna.log --study-name wine\n",
    .run = run,
};
