/* SPDX-License-Identifier: MIT
 *
 * hone predict: a model's outputs, in input order. */
#include "tools/cli.h"

static int run(struct cli *c)
{
    hone_model *m = NULL;
    hone_data *d = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_model_load(c->ctx, c->args[0], &m, &c->err) == HONE_OK &&
        hone_model_check(m, 0, &c->err) == HONE_OK &&
        hone_data_open(c->ctx, m, c->params, &d, &c->err) == HONE_OK &&
        hone_predict(m, d, c->params, c->out, NULL, NULL, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_data_destroy(d);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    if (!c->quiet && !c->json)
        fprintf(stderr, "%.0f rows written to %s\n", jnum(tree, "rows"), c->out);
    return print_tree(c, tree);
}

const struct command cmd_predict = {
    .name = "predict",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .takes_out = 2,
    .schema = "hone.predict/1",
    .groups = " data predict ",
    .also = " threads device math bn-impl force class-axis ",
    .summary = "a model's outputs, in input order",
    .examples = "hone predict model.onnx --x x.npy -o y.npy\n"
                "hone predict model.onnx --data new.csv -o classes.csv --argmax --with-input",
    .run = run
};
