/* SPDX-License-Identifier: MIT
 *
 * Manual pages in roff (man(7)), from the tables that help is made of: hone(1) and hone-COMMAND(1). The same text in every build. */
#include "tools/cli.h"
#include <string.h>

static const char *escaped(char c)
{
    switch (c) {
    case '\\': return "\\e";
    case '-': return "\\-";
    case '~': return "\\(ti";
    case '^': return "\\(ha";
    case '|': return "|\\:"; /* a line may end behind it */
    default: return NULL;
    }
}

/* n bytes of text; what roff would take for its own is escaped, hyphens stay hyphens, an ellipsis becomes three dots. */
static void text_n(FILE *f, const char *text, size_t n)
{
    if (n && (*text == '.' || *text == '\'')) fputs("\\&", f);
    for (size_t i = 0; i < n; i++) {
        const char *as = escaped(text[i]);
        if (n - i >= 3 && !strncmp(text + i, "\xe2\x80\xa6", 3)) {
            as = "...";
            i += 2;
        }
        if (as)
            fputs(as, f);
        else
            fputc(text[i], f);
    }
}

static void text(FILE *f, const char *t) { text_n(f, t, strlen(t)); }

static void head(FILE *f, const char *command, const char *summary)
{
    fputs(".TH HONE", f);
    for (const char *c = command; *c; c++) {
        if (c == command) fputs("\\-", f);
        if (*c == '-') fputc('\\', f);
        fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, f);
    }
    fprintf(f, " 1 \"\" \"hone %s\" \"Hone\"\n.ad l\n.nh\n.SH NAME\nhone", hone_version());
    if (*command) fputs("\\-", f);
    text(f, command);
    fputs(" \\- ", f);
    text(f, summary);
    fputc('\n', f);
}

static void exit_status(FILE *f)
{
    static const struct {
        const char *code, *meaning;
    } codes[] = { { "0", "done; stopping early is a result like any other" },
                  { "1", "the answer is no: models differ, a check does not pass" },
                  { "2", "usage: an option or an argument" },
                  { "3", "the model" },
                  { "4", "the data" },
                  { "5", "memory, or the device" },
                  { "6", "files: reading or writing failed, or something is there already" },
                  { "7", "diverged: a loss or a weight became infinite or not a number" },
                  { "8", "what was asked for with --require or --min-gain was not reached" },
                  { "70", "a mistake in hone itself" },
                  { "128+n", "stopped by signal n, after a checkpoint: hone resume continues" } };
    fputs(".SH EXIT STATUS\n", f);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        fprintf(f, ".TP\n.B %s\n", codes[i].code);
        text(f, codes[i].meaning);
        fputc('\n', f);
    }
}

struct part {
    FILE *f;
    const char *group;
};

static void option(void *user, const struct option *o)
{
    struct part *p = user;
    FILE *f = p->f;
    if (strcmp(p->group, o->group)) {
        fputs(".SS ", f);
        text(f, o->group);
        fputc('\n', f);
    }
    p->group = o->group;
    fputs(".TP\n", f);
    if (o->letter) fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", f);
    text(f, o->name);
    fputs("\\fR", f);
    if (o->value) {
        fputs(" \\fI", f);
        text(f, o->value);
        fputs("\\fR", f);
    }
    fputc('\n', f);
    text(f, o->help);
    if (!o->own && (*o->choices || *o->range)) {
        fputs("; ", f);
        text(f, *o->choices ? o->choices : o->range);
    }
    if (*o->initial) {
        fputs(" (default ", f);
        text(f, o->initial);
        fputc(')', f);
    }
    if (o->list) fputs(" (may be repeated)", f);
    fputc('\n', f);
}

static void command_page(FILE *f, const struct command *cmd)
{
    struct part part = { .f = f, .group = "" };
    head(f, cmd->name, cmd->summary);
    fputs(".SH SYNOPSIS\n.B hone ", f);
    text(f, cmd->name);
    fputs("\n.I ", f);
    text(f, *cmd->args ? cmd->args : "\\&");
    if (cmd->takes_out == 2) fputs("\n.B \\-o\n.I FILE", f);
    fputs("\n.RI [ options ]\n.SH EXAMPLES\n.nf\n", f);
    for (const char *p = cmd->examples; *p;) {
        const size_t n = strcspn(p, "\n");
        text_n(f, p, n);
        fputc('\n', f);
        p += n + (p[n] == '\n');
    }
    fputs(".fi\n.SH OPTIONS\n", f);
    each_option(cmd, option, &part);
    exit_status(f);
    fputs(".SH SEE ALSO\n.BR hone (1)\n", f);
}

static void overview(FILE *f)
{
    head(f, "",
         "takes an ONNX model in, trains it on your data, gives the same ONNX model back, better");
    fputs(".SH SYNOPSIS\n.B hone\n.I command\n.RI [ arguments \"] [\" options ]\n"
          ".SH DESCRIPTION\n"
          "Trains, tunes and evaluates multi\\-layer perceptrons that come as ONNX files, and "
          "writes them back "
          "with nothing changed\nbut what was trained.\n"
          "Results go to standard output, or as one JSON object with\n.BR \\-\\-json ;\n"
          "what is said to people goes to standard error.\n"
          "Names of options are exact.\n.SH COMMANDS\n",
          f);
    for (const struct command *const *c = commands; *c; c++) {
        fputs(".TP\n.BR hone\\-", f);
        text(f, (*c)->name);
        fputs(" (1)\n", f);
        text(f, (*c)->summary);
        fputc('\n', f);
    }
    fputs(".TP\n.BR \"hone help \" [ \\fIcommand\\fP ]\nexamples and options; also\n.B hone help "
          "params\n"
          "(the table of all parameters) and\n.B hone help man\n.RI [ command ]\n(a manual page)\n"
          ".TP\n.B hone completion\nwhat completes commands and options in bash, zsh or fish\n"
          ".SH EXAMPLES\n.nf\n"
          "hone inspect model.onnx\n"
          "hone train model.onnx \\-\\-data train.csv \\-\\-target label \\-\\-val\\-split 0.2 "
          "\\-\\-early\\-stop\\-patience 5 \\-o better.onnx\n"
          "hone eval better.onnx \\-\\-data test.csv \\-\\-target label\n"
          ".fi\n",
          f);
    exit_status(f);
    fputs(".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nno colours on a terminal\n"
          ".TP\n.BR PGPASSWORD \", \" PGPASSFILE \", ...\"\nread by libpq for studies in "
          "PostgreSQL\n",
          f);
}

void print_manual(FILE *f, const struct command *cmd)
{
    if (cmd)
        command_page(f, cmd);
    else
        overview(f);
}
