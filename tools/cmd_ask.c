/* SPDX-License-Identifier: MIT
 *
 * hone ask: the next trial of a study whose objective is outside Hone. */
#include "tools/cli.h"

static int run(struct cli *c)
{
    hone_study *study = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (read_space(c) == HONE_OK &&
        hone_study_open(c->ctx, c->args[0], c->params, &study, &c->err) == HONE_OK &&
        hone_study_ask(study, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_study_close(study);
    if (!tree) return report_error(c);
    int exhausted = json_is_true(json_object_get(tree, "exhausted"));
    if (exhausted)
        fprintf(people(c), "nothing is left to try\n");
    else if (!c->json) {
        const char *name;
        json_t *v;
        printf("trial %lld\n", (long long)json_integer_value(json_object_get(tree, "trial")));
        json_object_foreach(json_object_get(tree, "params"), name, v)
        {
            print_name(stdout, name);
            fputs(" = ", stdout);
            if (json_is_string(v))
                print_name(stdout, json_string_value(v));
            else
                json_dumpf(v, stdout, JSON_ENCODE_ANY);
            fputc('\n', stdout);
        }
    }
    int code = print_tree(c, tree);
    return code ? code : exhausted ? EXIT_NO : 0;
}

const struct command cmd_ask = {
    .name = "ask",
    .args = "STUDY",
    .min_args = 1,
    .max_args = 1,
    .schema = "hone.ask/1",
    .groups = " search ",
    .also = " seed ",
    .summary = "next trial of a study whose objective is outside Hone",
    .examples = "hone ask search.db --search lr=log:1e-4..1e-1 --search units=int:8..64 --json\n"
                "hone tell search.db 0 0.25\n"
                "hone ask search.db --json\n",
    .run = run,
};
