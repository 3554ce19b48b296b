/* SPDX-License-Identifier: MIT
 *
 * Help: examples first, then the options, all from the tables. */
#include "tools/cli.h"
#include <string.h>

void print_overview(FILE *f)
{
    fputs("hone: takes an ONNX model in, trains it on your data, gives the same ONNX model back, "
          "better\n\n"
          "  hone inspect model.onnx\n"
          "  hone train model.onnx --data train.csv --target label --val-split 0.2 "
          "--early-stop-patience 5 "
          "-o better.onnx\n\n",
          f);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(f, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs(
        "\n'hone COMMAND --help' shows examples and options, 'hone help params' the whole table,\n"
        "'hone --version' the version.\n",
        f);
}

static void print_row(FILE *f, const hone_param_info *p)
{
    char left[96];
    const char *value = !strcmp(p->type, "bool")     ? ""
                        : !strcmp(p->type, "int")    ? " N"
                        : !strcmp(p->type, "float")  ? " X"
                        : !strcmp(p->type, "choice") ? " NAME"
                                                     : " TEXT";
    snprintf(left, sizeof left, "--%s%s", p->name, value);
    fprintf(f, "  %-26s %s", left, p->help);
    if (p->choices[0]) fprintf(f, "; %s", p->choices);
    if (p->initial[0]) fprintf(f, " (default %s)", p->initial);
    if (!strcmp(p->type, "list")) fputs(" (may be repeated)", f);
    fputc('\n', f);
}

void print_help(FILE *f, const struct command *cmd)
{
    fprintf(f, "hone %s: %s\n\nexamples:\n", cmd->name, cmd->summary);
    for (const char *p = cmd->examples; *p;) {
        const char *end = strchr(p, '\n');
        int n = end ? (int)(end - p) : (int)strlen(p);
        fprintf(f, "  %.*s\n", n, p);
        p += n + (end != NULL);
    }
    fprintf(f, "\nusage: hone %s %s%s [options]\n", cmd->name, cmd->args,
            cmd->takes_out == 2 ? " -o FILE" : "");
    hone_param_info info = { .size = sizeof info };
    const char *group = "";
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        if (!takes_param(cmd, &info)) continue;
        if (strcmp(group, info.group)) fprintf(f, "\n%s:\n", info.group);
        group = info.group;
        print_row(f, &info);
    }
    fputs("\nevery command:\n", f);
    if (cmd->takes_out) fputs("  -o, --out FILE             where the result is written\n", f);
    fputs("  --json                     one JSON object on standard output\n"
          "  --quiet, -q                no notes on standard error\n"
          "  --progress NAME            bar, plain, json or none (default: bar on a terminal, else "
          "plain)\n"
          "  --config FILE.yaml         options by their long names; the command line wins\n"
          "  --print-config             prints the effective options in that form and ends\n"
          "  --help, -h                 this page\n\n"
          "exit codes: 0 done, 1 the answer is no, 2 usage, 3 model, 4 data, 5 memory or device, 6 "
          "files, 7 diverged,\n"
          "8 requirement not met, 70 internal, 128+n stopped by signal n after a checkpoint\n",
          f);
}

void print_params(FILE *f)
{
    hone_param_info info = { .size = sizeof info };
    const char *group = "";
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        if (strcmp(group, info.group)) fprintf(f, "%s%s:\n", i ? "\n" : "", info.group);
        group = info.group;
        print_row(f, &info);
    }
}
