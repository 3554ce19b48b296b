/* SPDX-License-Identifier: MIT
 *
 * hone verify: ONNX test vectors against what Hone computes. */
#include "tools/cli.h"

static int run(struct cli *c)
{
    hone_model *m = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_model_load(c->ctx, c->args[0], &m, &c->err) == HONE_OK &&
        hone_verify(m, c->args + 1, (size_t)c->n_args - 1, c->params, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    double cases = jnum(tree, "cases"), passed = jnum(tree, "passed");
    if (!c->json)
        printf("%.0f of %.0f cases passed; largest difference %.3g absolute, %.3g relative\n",
               passed, cases, jnum(tree, "max_abs"), jnum(tree, "max_rel"));
    int code = print_tree(c, tree);
    return code ? code : passed == cases ? 0 : EXIT_NO;
}

const struct command cmd_verify = { .name = "verify",
                                    .args = "MODEL DIR…",
                                    .min_args = 2,
                                    .max_args = -1,
                                    .schema = "hone.verify/1",
                                    .groups = " verify ",
                                    .also = " threads device math bn-impl plugin ",
                                    .summary = "ONNX test vectors: input_N.pb against output_N.pb",
                                    .examples =
                                        "hone verify model.onnx test_data_set_0\nhone verify "
                                        "model.onnx test_data_set_0 --rtol 1e-5 --json",
                                    .run = run };
