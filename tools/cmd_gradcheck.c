/* SPDX-License-Identifier: MIT
 *
 * hone gradcheck: the backward pass against central differences, in double. */
#include "tools/cli.h"

static int run(struct cli *c)
{
    hone_model *m = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_model_load(c->ctx, c->args[0], &m, &c->err) == HONE_OK &&
        hone_gradcheck(m, c->params, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    int ok = json_is_true(json_object_get(tree, "passed"));
    if (!c->json)
        printf("%s: largest relative error %.3g\n", ok ? "agrees" : "does not agree",
               jnum(tree, "max_rel"));
    int code = print_tree(c, tree);
    return code ? code : ok ? 0 : EXIT_NO;
}

const struct command cmd_gradcheck = {
    .name = "gradcheck",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .schema = "hone.gradcheck/1",
    .groups = "",
    .also = " seed loss plugin ",
    .summary = "backward against central differences in double precision",
    .examples = "hone gradcheck model.onnx",
    .run = run
};
