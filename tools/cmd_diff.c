/* SPDX-License-Identifier: MIT
 *
 * hone diff: tensors and fields that differ between two models. */
#include "tools/cli.h"
#include <string.h>

static int run(struct cli *c)
{
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_diff(c->ctx, c->args[0], c->args[1], &r, &c->err) == HONE_OK) tree = result_tree(c, r);
    if (!tree) return report_error(c);
    int equal = json_is_true(json_object_get(tree, "equal"));
    if (!c->json) {
        size_t i;
        json_t *v;
        json_array_foreach(json_object_get(tree, "tensors"), i, v)
        {
            fputs("tensor ", stdout);
            print_name(stdout, jtext(v, "name"));
            if (strcmp(jtext(v, "what"), "values") != 0)
                printf(": %s%s\n", strncmp(jtext(v, "what"), "only", 4) ? "another " : "",
                       jtext(v, "what"));
            else
                printf(": %.0f of %.0f values differ, at most by %.3g\n", jnum(v, "different"),
                       jnum(v, "values"), jnum(v, "max_abs"));
        }
        json_array_foreach(json_object_get(tree, "fields"), i, v)
        {
            fputs("field ", stdout);
            print_name(stdout, jtext(v, "path"));
            if (jtext(v, "name")[0]) {
                fputs(" (", stdout);
                print_name(stdout, jtext(v, "name"));
                fputc(')', stdout);
            }
            fputs(": ", stdout);
            print_name(stdout, jtext(v, "what"));
            fputc('\n', stdout);
        }
        if (equal) printf("no difference\n");
    }
    int code = print_tree(c, tree);
    return code ? code : equal ? 0 : EXIT_NO;
}

const struct command cmd_diff = { .name = "diff",
                                  .args = "A.onnx B.onnx",
                                  .min_args = 2,
                                  .max_args = 2,
                                  .schema = "hone.diff/1",
                                  .groups = "",
                                  .summary = "tensors and fields that differ between two models",
                                  .examples = "hone diff model.onnx better.onnx",
                                  .run = run };
