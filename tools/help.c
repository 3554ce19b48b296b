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
        "'hone help man [COMMAND]' a manual page, 'hone completion bash|zsh|fish' what completes "
        "commands and\n"
        "options in a shell, 'hone --version' the version.\n",
        f);
}

/* ---- options, those of the command itself and the library's parameters alike ---------------------------------------- */

static const struct option own_options[] = {
    { .name = "out", .letter = 'o', .value = "FILE", .help = "where the result is written" },
    { .name = "json", .help = "one JSON object on standard output" },
    { .name = "quiet", .letter = 'q', .help = "only errors, and why the exit is not 0" },
    { .name = "progress",
      .value = "NAME",
      .choices = "bar|plain|json|none",
      .help = "bar, plain, json or none (default: bar on a terminal, else plain)" },
    { .name = "config",
      .value = "FILE.yaml",
      .help = "options by their long names; the command line wins" },
    { .name = "print-config", .help = "prints the effective options in that form and ends" },
    { .name = "help", .letter = 'h', .help = "this page" },
};

static struct option option_of(const hone_param_info *p)
{
    const char *value = !strcmp(p->type, "bool")     ? NULL
                        : !strcmp(p->type, "int")    ? "N"
                        : !strcmp(p->type, "float")  ? "X"
                        : !strcmp(p->type, "choice") ? "NAME"
                                                     : "TEXT";
    const int words = strchr(p->choices, '|') != NULL; /* else an interval, or free */
    return (struct option){ .group = p->group,
                            .name = p->name,
                            .value = value,
                            .choices = words ? p->choices : "",
                            .range = words ? "" : p->choices,
                            .initial = p->initial,
                            .help = p->help,
                            .list = !strcmp(p->type, "list") };
}

void each_option(const struct command *cmd, option_fn *each, void *user)
{
    hone_param_info info = { .size = sizeof info };
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        const struct option o = option_of(&info);
        if (!cmd || takes_param(cmd, &info)) each(user, &o);
    }
    for (size_t i = 0; cmd && i < sizeof own_options / sizeof *own_options; i++) {
        struct option o = own_options[i];
        if (!strcmp(o.name, "out") && !cmd->takes_out) continue;
        o.group = "every command";
        o.choices = o.choices ? o.choices : "";
        o.range = o.initial = "";
        o.own = 1;
        each(user, &o);
    }
}

/* ---- help as text --------------------------------------------------------------------------------------------------- */

struct rows {
    FILE *f;
    const char *group;
};

static void print_row(void *user, const struct option *o)
{
    struct rows *r = user;
    char left[96];
    if (strcmp(r->group, o->group)) fprintf(r->f, "%s%s:\n", *r->group ? "\n" : "", o->group);
    r->group = o->group;
    const int n = snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                           o->value ? o->value : "");
    if (o->letter && n > 0) snprintf(left + n, sizeof left - (size_t)n, ", -%c", o->letter);
    fprintf(r->f, "  %-26s %s", left, o->help);
    const char *set = *o->choices ? o->choices : o->range;
    if (*set && !o->own) fprintf(r->f, "; %s", set);
    if (*o->initial) fprintf(r->f, " (default %s)", o->initial);
    if (o->list) fputs(" (may be repeated)", r->f);
    fputc('\n', r->f);
}

void print_help(FILE *f, const struct command *cmd)
{
    struct rows rows = { .f = f, .group = "" };
    fprintf(f, "hone %s: %s\n\nexamples:\n", cmd->name, cmd->summary);
    for (const char *p = cmd->examples; *p;) {
        const char *end = strchr(p, '\n');
        int n = end ? (int)(end - p) : (int)strlen(p);
        fprintf(f, "  %.*s\n", n, p);
        p += n + (end != NULL);
    }
    fprintf(f, "\nusage: hone %s %s%s [options]\n\n", cmd->name, cmd->args,
            cmd->takes_out == 2 ? " -o FILE" : "");
    each_option(cmd, print_row, &rows);
    fputs(
        "\nexit codes: 0 done, 1 the answer is no, 2 usage, 3 model, 4 data, 5 memory or device, 6 "
        "files, 7 diverged,\n"
        "8 requirement not met, 70 internal, 128+n stopped by signal n after a checkpoint\n",
        f);
}

void print_params(FILE *f)
{
    struct rows rows = { .f = f, .group = "" };
    each_option(NULL, print_row, &rows);
}
