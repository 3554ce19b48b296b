/* SPDX-License-Identifier: MIT
 *
 * hone eval: loss and metrics of a model on a data set. */
#include "tools/cli.h"
#include <math.h>

static int run(struct cli *c)
{
    hone_model *m = NULL;
    hone_data *d = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_model_load(c->ctx, c->args[0], &m, &c->err) == HONE_OK &&
        hone_model_check(m, 0, &c->err) == HONE_OK &&
        hone_data_open(c->ctx, m, c->params, &d, &c->err) == HONE_OK &&
        hone_evaluate(m, d, c->params, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_data_destroy(d);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    if (!c->json) {
        const char *key;
        json_t *v;
        json_object_foreach(tree, key, v) if (json_is_number(v))
            printf("%-12s %.6g\n", key, json_number_value(v));
    }
    return print_tree(c, tree);
}

const struct command cmd_eval = {
    .name = "eval",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .schema = "hone.eval/1",
    .groups = " data ",
    .also = " loss metric threads device math bn-impl class-axis class-weights ",
    .summary = "loss and metrics on a data set",
    .examples = "hone eval model.onnx --data test.csv --target label\n"
                "hone eval mnist.onnx --x images.idx3.gz --y labels.idx1.gz "
                "--x-scale 0.00392156862745098 --json",
    .run = run
};
