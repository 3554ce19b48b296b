/* SPDX-License-Identifier: MIT
 *
 * hone inspect: what is in a model, what would be trained and why, what the exporter lost. */
#include "tools/cli.h"
#include <string.h>

static void print_dims(FILE *f, const json_t *dims)
{
    size_t i;
    json_t *d;
    fputc('[', f);
    json_array_foreach(dims, i, d)
    {
        if (i) fputs(", ", f);
        if (json_is_string(d))
            print_name(f, json_string_value(d));
        else if (json_is_integer(d))
            fprintf(f, "%lld", (long long)json_integer_value(d));
        else
            fputc('?', f);
    }
    fputc(']', f);
}

static void print_classes(FILE *f, const json_t *list, const char *title)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        fputs(i ? ", " : title, f);
        if (json_is_string(v))
            print_name(f, json_string_value(v));
        else
            fprintf(f, "%.15g", json_number_value(v));
    }
}

/* Is an output's list that of its columns, or of what it gives? The model's one list stands with outputs of other sizes, too. */
static int names_values(const json_t *v)
{
    const long long n = (long long)json_array_size(json_object_get(v, "classes")),
                    per_row = json_integer_value(json_object_get(v, "per_row"));
    const int numbers = !strncmp(jtext(v, "dtype"), "float", 5);
    return !numbers || n == per_row || (n == 2 && per_row == 1);
}

static void print_values(FILE *f, const json_t *tree, const char *key, const char *title)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(tree, key), i, v)
    {
        fprintf(f, "%-9s ", i ? "" : title);
        print_name(f, jtext(v, "name"));
        fprintf(f, "  %s ", jtext(v, "dtype"));
        print_dims(f, json_object_get(v, "dims"));
        if (names_values(v)) print_classes(f, json_object_get(v, "classes"), "  classes ");
        fputc('\n', f);
    }
}

static int widest(const json_t *list, const char *key, int limit)
{
    size_t i, most = 4;
    json_t *v;
    json_array_foreach(list, i, v) if (strlen(jtext(v, key)) > most) most = strlen(jtext(v, key));
    return most > (size_t)limit ? limit : (int)most;
}

static void print_nodes(FILE *f, const json_t *nodes)
{
    size_t i;
    json_t *n;
    int name = widest(nodes, "name", 40), op = widest(nodes, "op", 24);
    fprintf(f, "\n%-*s  %-*s  %-8s  why\n", name, "node", op, "op", "verdict");
    json_array_foreach(nodes, i, n)
    {
        fprintf(f, "%-*.40s  %-*.24s  %-8s  ", name, jtext(n, "name"), op, jtext(n, "op"),
                jtext(n, "verdict"));
        print_name(f, jtext(n, "why"));
        fputc('\n', f);
    }
}

static void print_issues(FILE *f, const json_t *issues)
{
    size_t i;
    json_t *e;
    if (json_array_size(issues)) fputs("\nissues\n", f);
    json_array_foreach(issues, i, e)
    {
        fprintf(f, "  %s: ", jtext(e, "severity"));
        if (jtext(e, "node")[0]) {
            print_name(f, jtext(e, "node"));
            fputs(": ", f);
        }
        print_name(f, jtext(e, "what"));
        if (jtext(e, "remedy")[0]) {
            fputs(" (", f);
            print_name(f, jtext(e, "remedy"));
            fputc(')', f);
        }
        fputc('\n', f);
    }
}

/* Half types are worth a line: what is written is not what is trained. */
static void print_half(FILE *f, const json_t *weights)
{
    static const char *const half[] = { "float16", "bfloat16" };
    for (int k = 0; k < 2; k++) {
        size_t i, n = 0;
        json_t *v;
        json_array_foreach(weights, i, v) n += !strcmp(jtext(v, "dtype"), half[k]);
        if (n)
            fprintf(f, "%-9s %s%s: computed and trained in float32, rounded when written\n",
                    "weights", n < json_array_size(weights) ? "some are " : "", half[k]);
    }
}

static void print_hidden(FILE *f, const json_t *hidden)
{
    size_t i;
    json_t *v;
    const json_t *units = json_object_get(hidden, "units");
    if (json_array_size(units)) {
        fprintf(f, "%-9s ", "hidden");
        json_array_foreach(units, i, v)
            fprintf(f, "%s%lld", i ? ", " : "", (long long)json_integer_value(v));
        fputs(" units, ", f);
        print_name(f, jtext(hidden, "activation")[0] ? jtext(hidden, "activation")
                                                     : "several activations or another one");
        fputs(": can be rebuilt\n", f);
    }
}

static void print_text(FILE *f, const json_t *t)
{
    size_t i;
    json_t *v;
    fprintf(f, "%-9s ", "producer");
    print_name(f, jtext(t, "producer"));
    fprintf(f, "  ir %lld ", (long long)json_integer_value(json_object_get(t, "ir_version")));
    json_array_foreach(json_object_get(t, "opsets"), i, v)
        fprintf(f, " %s opset %lld", jtext(v, "domain")[0] ? jtext(v, "domain") : "ai.onnx",
                (long long)json_integer_value(json_object_get(v, "version")));
    fputc('\n', f);
    print_values(f, t, "inputs", "inputs");
    print_values(f, t, "outputs", "outputs");
    fprintf(f, "%-9s %lld parameters, %lld of them learn\n", "size",
            (long long)json_integer_value(json_object_get(t, "parameters")),
            (long long)json_integer_value(json_object_get(t, "trainable_parameters")));
    print_half(f, json_object_get(t, "weights"));
    print_hidden(f, json_object_get(t, "hidden"));
    print_classes(f, json_object_get(t, "classes"), "classes   ");
    if (json_array_size(json_object_get(t, "classes"))) fputc('\n', f);
    print_nodes(f, json_object_get(t, "nodes"));
    print_issues(f, json_object_get(t, "issues"));
}

static int run(struct cli *c)
{
    hone_model *m = NULL;
    hone_result *r = NULL;
    json_t *tree = NULL;
    if (hone_model_load(c->ctx, c->args[0], &m, &c->err) == HONE_OK &&
        hone_model_describe(m, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    hone_model_destroy(m);
    if (!tree) return report_error(c);
    if (!c->json) print_text(stdout, tree);
    return print_tree(c, tree);
}

const struct command cmd_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .schema = "hone.inspect/1",
    .groups = "",
    .also = " plugin ",
    .summary = "inputs, outputs, layers, parameters; what would be trained and why",
    .examples = "hone inspect model.onnx\nhone inspect model.onnx --json",
    .run = run
};
