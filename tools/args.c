/* SPDX-License-Identifier: MIT
 *
 * Arguments: a handful of options of the command itself, and every parameter of the library's table by its long name.
 * Names are exact; a wrong one gets one suggestion. --name VALUE and --name=VALUE are the same; bool parameters take no
 * value (--force), or one after '=' (--stratify=false). */
#include "tools/cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int usage(struct cli *c, const char *where, const char *fmt, ...)
{
    va_list ap;
    c->err.code = HONE_E_USAGE;
    snprintf(c->err.where, sizeof c->err.where, "%s", where);
    va_start(ap, fmt);
    vsnprintf(c->err.text, sizeof c->err.text, fmt, ap);
    va_end(ap);
    if (!c->err.hint[0])
        snprintf(c->err.hint, sizeof c->err.hint, "'hone %s --help' lists the options",
                 c->cmd->name);
    return EXIT_USAGE;
}

static int word_in(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list ? strstr(list, word) : NULL; p; p = strstr(p + 1, word))
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) return 1;
    return 0;
}

int takes_param(const struct command *cmd, const hone_param_info *info)
{
    return word_in(cmd->groups, info->group) || word_in(cmd->also, info->name);
}

/* Compares names taking '-' and '_' as the same. */
static int same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b)) return 0;
    return *a == *b;
}

int find_param(const char *name, hone_param_info *info)
{
    info->size = sizeof *info;
    for (size_t i = 0; hone_param_at(i, info); i++)
        if (same_name(info->name, name)) return 1;
    return 0;
}

/* What names a file or folder. An empty one, as of a shell's variable that is not set, would mean "none" or the root. */
static const char paths[] =
    " data x y val-data val-x val-y test-data test-x test-y pretrain-data pretrain-x "
    "sample-weights group "
    "val-sample-weights test-sample-weights plugin run-dir events tensorboard space study optuna ";

/* "" and "INPUT=" */
static int is_empty_path(const hone_param_info *info, const char *value)
{
    const size_t n = strlen(value);
    if (!word_in(paths, info->name)) return 0;
    return n == 0 || (!strcmp(info->type, "list") && value[n - 1] == '=');
}

static int refuse_empty(struct cli *c, const char *where)
{
    return usage(c, where, "is empty, wanted a file or folder");
}

struct cursor {
    int argc, i;
    char **argv;
    const char *inline_value; /* after '=' */
};

/* The value of the option at the cursor, or NULL when there is none. */
static const char *value_of(struct cursor *k)
{
    if (k->inline_value) return k->inline_value;
    if (k->i + 1 >= k->argc) return NULL;
    return k->argv[++k->i];
}

/* Options of the command itself. 1: taken, 0: not one of them, < 0: error. */
static int own_option(struct cli *c, const char *name, struct cursor *k)
{
    static const char *const flags[] = { "json", "quiet", "print-config", "help" };
    int *const targets[] = { &c->json, &c->quiet, &c->print_config, &c->help };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!strcmp(name, flags[i])) {
            *targets[i] = 1;
            return 1;
        }
    const char **text = !strcmp(name, "progress")                   ? &c->progress
                        : !strcmp(name, "config")                   ? &c->config
                        : !strcmp(name, "out") && c->cmd->takes_out ? &c->out
                                                                    : NULL;
    if (!text) return 0;
    *text = value_of(k);
    if (!*text) {
        usage(c, name, "needs a value");
        return -1;
    }
    if (!**text && text != &c->progress) {
        refuse_empty(c, name);
        return -1;
    }
    return 1;
}

static int long_option(struct cli *c, struct cursor *k)
{
    char name[64];
    const char *arg = k->argv[k->i] + 2, *eq = strchr(arg, '=');
    size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
    if (n == 0 || n >= sizeof name) return usage(c, k->argv[k->i], "is not an option");
    memcpy(name, arg, n);
    name[n] = 0;
    k->inline_value = eq ? eq + 1 : NULL;
    int own = own_option(c, name, k);
    if (own) return own < 0 ? EXIT_USAGE : 0;

    hone_param_info info;
    if (!find_param(name, &info)) {
        if (hone_params_set(c->params, name, "", &c->err) == HONE_OK) return 0;
        return EXIT_USAGE;
    }
    if (!takes_param(c->cmd, &info))
        return usage(c, name, "is not an option of 'hone %s'", c->cmd->name);
    const char *value;
    if (!strcmp(info.type, "bool"))
        value = k->inline_value ? k->inline_value : "true";
    else
        value = value_of(k);
    if (!value)
        return usage(c, name, "needs a value: %s", info.choices[0] ? info.choices : info.help);
    if (is_empty_path(&info, value)) return refuse_empty(c, name);
    return hone_params_set(c->params, name, value, &c->err) == HONE_OK ? 0 : EXIT_USAGE;
}

static int short_option(struct cli *c, struct cursor *k)
{
    const char *arg = k->argv[k->i];
    if (!strcmp(arg, "-h"))
        c->help = 1;
    else if (!strcmp(arg, "-q"))
        c->quiet = 1;
    else if (arg[1] == 'o' && c->cmd->takes_out) {
        k->inline_value = arg[2] ? arg + 2 : NULL;
        c->out = value_of(k);
        if (!c->out) return usage(c, "-o", "needs a file name");
        if (!*c->out) return refuse_empty(c, "-o");
    } else
        return usage(c, arg, "is not an option of 'hone %s'", c->cmd->name);
    return 0;
}

/* The i-th word of what the command takes, the last one for all further. */
static const char *name_of_arg(const struct command *cmd, int i, char name[32])
{
    const char *w = cmd->args;
    for (const char *next; i-- && (next = strchr(w, ' '));) w = next + 1;
    snprintf(name, 32, "%.*s", (int)strcspn(w, " "), w);
    return name;
}

static int check_args(struct cli *c)
{
    char name[32];
    for (int i = 0; i < c->n_args; i++)
        if (!c->args[i][0])
            return usage(c, name_of_arg(c->cmd, i, name), "is empty (argument %d of 'hone %s')",
                         i + 1, c->cmd->name);
    return 0;
}

static int check_counts(struct cli *c)
{
    if (c->help || c->print_config) return 0;
    if (c->n_args < c->cmd->min_args)
        return usage(c, c->cmd->name, "wants %s; %d given", c->cmd->args, c->n_args);
    if (c->cmd->max_args >= 0 && c->n_args > c->cmd->max_args)
        return usage(c, c->args[c->cmd->max_args], "is one argument too many; '%s' takes %s",
                     c->cmd->name, c->cmd->args);
    const char *dry = hone_params_get(c->params, "dry-run", 0); /* nothing is written */
    if (c->cmd->takes_out == 2 && !c->out && strcmp(dry ? dry : "", "true"))
        return usage(c, "-o", "is missing: where should the result be written?");
    return 0;
}

/* The config file first, so that the command line wins: lists given on the command line replace the file's. */
static int config_first(struct cli *c, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++) {
        const char *path = NULL;
        if (!strcmp(argv[i], "--config") && i + 1 < argc)
            path = argv[i + 1];
        else if (!strncmp(argv[i], "--config=", 9))
            path = argv[i] + 9;
        if (path && !*path) return refuse_empty(c, "config");
        if (path && read_config(c, path) != HONE_OK) return exit_code_of(c->err.code);
    }
    if (!c->config) return 0;
    hone_param_info info = { .size = sizeof info };
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        if (strcmp(info.type, "list")) continue;
        for (int k = 0; k < argc; k++) {
            size_t n = strlen(info.name);
            if (!strncmp(argv[k], "--", 2) && !strncmp(argv[k] + 2, info.name, n) &&
                (argv[k][2 + n] == 0 || argv[k][2 + n] == '=') &&
                hone_params_set(c->params, info.name, NULL, &c->err) != HONE_OK)
                return EXIT_USAGE;
        }
    }
    return 0;
}

int parse_args(struct cli *c, int argc, char **argv)
{
    int code = config_first(c, argc, argv);
    struct cursor k = { .argc = argc, .argv = argv };
    int only_args = 0;
    for (; !code && k.i < argc; k.i++) {
        const char *a = argv[k.i];
        if (only_args || a[0] != '-' || !a[1] || strchr(".0123456789", a[1])) /* -0.5 is a value */
            c->args[c->n_args++] = a;
        else if (!strcmp(a, "--"))
            only_args = 1;
        else
            code = a[1] == '-' ? long_option(c, &k) : short_option(c, &k);
    }
    if (!code) code = check_counts(c);
    return code ? code : check_args(c);
}
