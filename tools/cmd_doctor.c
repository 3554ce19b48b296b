/* SPDX-License-Identifier: MIT
 *
 * hone doctor: devices, libraries, versions, plug-ins that were named, and why a GPU is not used. */
#include "tools/cli.h"
#include <string.h>

static void print_tree_text(const json_t *o, int indent)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)o, key, v)
    {
        if (!strcmp(key, "schema") || !strcmp(key, "ok")) continue;
        printf("%*s%-*s ", indent, "", 18 - indent, key);
        if (json_is_object(v)) {
            putchar('\n');
            print_tree_text(v, indent + 2);
        } else if (json_is_string(v)) {
            print_name(stdout, json_string_value(v));
            putchar('\n');
        } else {
            json_dumpf(v, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
            putchar('\n');
        }
    }
}

static int run(struct cli *c)
{
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_doctor(c->ctx, &r, &c->err) == HONE_OK) tree = result_tree(c, r);
    if (!tree) return report_error(c);
    if (!c->json) print_tree_text(tree, 0);
    return print_tree(c, tree);
}

const struct command cmd_doctor = {
    .name = "doctor",
    .args = "",
    .min_args = 0,
    .max_args = 0,
    .schema = "hone.doctor/1",
    .groups = "",
    .also = " plugin ",
    .summary = "devices, libraries, versions, plug-ins; why a GPU is not used",
    .examples = "hone doctor\nhone doctor --plugin ./sqlite_reader.so",
    .run = run
};
