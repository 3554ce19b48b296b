/* SPDX-License-Identifier: MIT
 *
 * hone: the command. Finds the subcommand, sets up a context, runs it, turns the status into an exit code. */
#include "tools/cli.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const struct command *const commands[] = {
    &cmd_inspect, &cmd_new,     &cmd_train,  &cmd_lr_find,   &cmd_tune,   &cmd_resume,
    &cmd_eval,    &cmd_predict, &cmd_verify, &cmd_gradcheck, &cmd_diff,   &cmd_doctor,
    &cmd_ask,     &cmd_tell,    &cmd_export, &cmd_report,    &cmd_plugin, NULL
};

const struct command *find_command(const char *name)
{
    for (const struct command *const *c = commands; *c; c++)
        if (!strcmp((*c)->name, name)) return *c;
    return NULL;
}

static void log_line(void *user, hone_log_level level, const char *text)
{
    const struct cli *c = user;
    if (c->quiet) return;
    if (c->hide) c->hide(c->hide_user);
    fprintf(stderr, "%s%s\n", level == HONE_LOG_WARNING ? "warning: " : "", text);
}

/* Letters to insert, delete or replace to turn one word into the other; 99 for long words. */
static int distance(const char *a, const char *b)
{
    int row[32];
    int n = (int)strlen(b);
    if (strlen(a) > 30 || n > 30) return 99;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int d = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < d) d = row[j] + 1;
            if (row[j - 1] + 1 < d) d = row[j - 1] + 1;
            row[j] = d;
        }
    }
    return row[n];
}

static int has_json(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--json")) return 1;
    return 0;
}

/* A mistake before there is a command that it could be one of. */
static int refuse(int json, const char *text, const char *hint)
{
    static const struct command none = { .schema = "hone/1" };
    struct cli c = { .cmd = &none, .json = json, .err = { .code = HONE_E_USAGE } };
    snprintf(c.err.text, sizeof c.err.text, "%s", text);
    snprintf(c.err.hint, sizeof c.err.hint, "%s", hint);
    return report_error(&c);
}

static int unknown_command(const char *name, int json)
{
    static const char hint[] = "'hone help' lists the commands";
    char text[512];
    const char *meant = NULL;
    for (const struct command *const *c = commands; *c && !meant; c++)
        if (distance(name, (*c)->name) <= 2) meant = (*c)->name;
    if (name[0] == '-')
        snprintf(text, sizeof text, "found '%.200s' in the place of a command", name);
    else
        snprintf(text, sizeof text, "unknown command '%.200s'%s%s%s", name,
                 meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
    return refuse(json, text, hint);
}

static int run_help(int argc, char **argv)
{
    if (argc == 0) {
        print_overview(stdout);
        return 0;
    }
    if (!strcmp(argv[0], "params")) {
        print_params(stdout);
        return 0;
    }
    const int manual = !strcmp(argv[0], "man");
    if (manual && argc == 1) {
        print_manual(stdout, NULL);
        return 0;
    }
    const struct command *cmd = find_command(argv[manual]);
    if (!cmd) return unknown_command(argv[manual], has_json(argc, argv));
    (manual ? print_manual : print_help)(stdout, cmd);
    return 0;
}

static int run_completion(int argc, char **argv)
{
    if (argc == 1 && print_completion(stdout, argv[0])) return 0;
    char text[512] = "completion wants the name of a shell: bash, zsh or fish";
    const size_t n = strlen(text);
    if (argc) snprintf(text + n, sizeof text - n, "; found '%.200s'", argv[argc - 1]);
    return refuse(has_json(argc, argv), text,
                  "'hone completion bash > ~/.local/share/bash-completion/completions/hone' "
                  "installs it for one user");
}

int load_plugins(struct cli *c)
{
    const char *plugin;
    for (size_t i = 0; (plugin = hone_params_get(c->params, "plugin", i)); i++)
        if (hone_plugin_load(c->ctx, plugin, &c->err) != HONE_OK) return report_error(c);
    return 0;
}

static int run_command(const struct command *cmd, int argc, char **argv)
{
    struct cli c = { .cmd = cmd };
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    opts.log = log_line;
    opts.log_user = &c;
    int code = 0;
    c.json = has_json(argc, argv); /* needed before the first error can be reported */
    if (c.json) say_in_json(cmd->schema);
    c.args = calloc((size_t)argc + 1, sizeof *c.args);
    if (!c.args)
        c.err.code = HONE_E_NOMEM;
    else if (hone_context_create(&opts, &c.ctx, &c.err) == HONE_OK &&
             hone_params_create(c.ctx, &c.params, &c.err) == HONE_OK)
        code = parse_args(&c, argc, argv);
    if (c.err.code != HONE_OK)
        code = report_error(&c);
    else if (!code && c.help)
        print_help(stdout, cmd);
    else if (!code && c.print_config)
        print_config(&c);
    else if (!code && !(code = load_plugins(&c)))
        code = cmd->run(&c);
    release_signals();
    hone_params_destroy(c.params);
    hone_context_destroy(c.ctx);
    free(c.args);
    free(c.model);
    return code;
}

/* Standard streams that are closed are kept taken, the wrong way round, so that using them still fails: the next file that is
 * opened would get their number, and what is said would be written into it. */
static void keep_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) return;
}

int main(int argc, char **argv)
{
    use_all_cores();
    keep_streams();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    catch_cut_files();
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    int code;
    if (!strcmp(name, "--version") || !strcmp(name, "version")) {
        printf("hone %s\n", hone_version());
        code = 0;
    } else if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
        code = run_help(argc - 2, argv + 2);
    } else if (!strcmp(name, "completion")) {
        code = run_completion(argc - 2, argv + 2);
    } else {
        const struct command *cmd = find_command(name);
        code = cmd ? run_command(cmd, argc - 2, argv + 2)
                   : unknown_command(name, has_json(argc - 1, argv + 1));
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && (code == 0 || code == EXIT_NO)) {
        fprintf(stderr, "hone: standard output could not be written\n");
        code = EXIT_IO;
    }
    return code;
}
