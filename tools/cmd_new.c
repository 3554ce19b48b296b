/* SPDX-License-Identifier: MIT
 *
 * hone new: a fresh MLP from one line. */
#include "tools/cli.h"
#include <stdlib.h>
#include <string.h>

static int run(struct cli *c)
{
    hone_model *m = NULL;
    const char *seed = hone_params_get(c->params, "seed", 0);
    char spec[2048] = "";
    size_t n = 0;
    for (int i = 0; i < c->n_args;
         i++) { /* the parts of SPEC may stand in one argument or in several */
        int w = snprintf(spec + n, sizeof spec - n, "%s%s", i ? " " : "", c->args[i]);
        if (w < 0 || (size_t)w >= sizeof spec - n) {
            c->err.code = HONE_E_USAGE;
            snprintf(c->err.text, sizeof c->err.text, "the description is longer than %zu bytes",
                     sizeof spec - 1);
            return report_error(c);
        }
        n += (size_t)w;
    }
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_model_new(c->ctx, spec, seed ? strtoull(seed, NULL, 10) : 0, &m, &c->err) == HONE_OK &&
        hone_model_save(m, c->out, c->params, &c->err) == HONE_OK &&
        hone_model_describe(m, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    json_object_set_new(tree, "schema", json_string(c->cmd->schema));
    json_object_set_new(tree, "model", json_name(c->out));
    if (!c->quiet && !c->json)
        printf("%s: %lld parameters\n", c->out,
               (long long)json_integer_value(json_object_get(tree, "parameters")));
    return print_tree(c, tree);
}

const struct command cmd_new = {
    .name = "new",
    .args = "SPEC",
    .min_args = 1,
    .max_args = -1,
    .takes_out = 2,
    .schema = "hone.new/1",
    .groups = "",
    .also = " seed force ",
    .summary = "a fresh MLP from one line",
    .examples = "hone new \"784-512-512-10 relu batchnorm dropout=0.5\" -o fresh.onnx\n"
                "hone new 4-16-3 tanh softmax -o iris.onnx --seed 7",
    .run = run
};
