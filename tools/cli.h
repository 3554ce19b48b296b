/* SPDX-License-Identifier: MIT
 *
 * The hone command: a thin client of hone.h. One file a subcommand (cmd_NAME.c); what they share is here. Standard output
 * carries results only; people's text goes to standard error. */
#ifndef HONE_CLI_H
#define HONE_CLI_H

#include "hone.h"
#include <jansson.h>
#include <stdio.h>

enum exit_code {
    EXIT_NO = 1,
    EXIT_USAGE = 2,
    EXIT_MODEL = 3,
    EXIT_DATA = 4,
    EXIT_MEMORY = 5,
    EXIT_IO = 6,
    EXIT_DIVERGED = 7,
    EXIT_REQUIRE = 8,
    EXIT_INTERNAL = 70
};

struct cli;
struct command {
    const char *name, *args, *summary;
    const char *examples; /* lines "hone …": the tests run them */
    const char *groups;   /* groups of the parameter table it takes: " data training run " */
    const char *also;     /* single parameters of other groups: " loss batch-size " */
    const char *words;    /* what the first argument is one of, "list|check"; NULL: no words */
    int min_args, max_args;
    int takes_out;      /* -o FILE: 0 no, 1 yes, 2 required */
    const char *schema; /* "hone.train/1" */
    int (*run)(struct cli *c);
};
extern const struct command cmd_inspect, cmd_new, cmd_train, cmd_resume, cmd_eval, cmd_predict,
    cmd_verify, cmd_gradcheck, cmd_diff, cmd_doctor, cmd_ask, cmd_tell, cmd_tune, cmd_report,
    cmd_export, cmd_plugin, cmd_lr_find;
extern const struct command *const commands[]; /* NULL at the end */

struct cli {
    const struct command *cmd;
    hone_context *ctx;
    hone_params *params;
    const char **args;
    int n_args;
    const char *out, *progress, *config;
    int json, quiet, print_config, help;
    int resumed;              /* options come from a run folder, "model" and "out" with them */
    char *model;              /* what it says */
    hone_error err;           /* what failed */
    void (*hide)(void *user); /* takes a bar from the screen before a line is printed; NULL: none */
    void *hide_user;
};

/* args.c: fills c from the arguments after the subcommand; 0 or an exit code (the error is in c->err). */
int parse_args(struct cli *c, int argc, char **argv);
int takes_param(const struct command *cmd, const hone_param_info *info);
int find_param(const char *name, hone_param_info *info); /* '-' and '_' are the same */

/* config.c */
hone_status read_config(struct cli *c,
                        const char *path); /* --config: a flat YAML mapping of long option names */
void print_config(const struct cli *c);

/* space_yaml.c: --space FILE.yaml as items of the parameters "search" and "setting"; nothing when it is not set or "auto" */
hone_status read_space(struct cli *c);

/* help.c */
struct option { /* of the command line, as help, manual pages and completion show it */
    const char *group, *name, *help;
    const char *value;           /* what stands for its value: "N", "FILE"; NULL: takes none */
    const char *choices, *range; /* "adam|adamw"; "[0, 1)"; each "" when there is none */
    const char *initial;         /* default as text, or "" */
    char letter;                 /* 'o' of -o; 0: none */
    int list, own; /* may be repeated; the command's own, not a parameter of the library */
};
typedef void option_fn(void *user, const struct option *o);
/* Calls each for the options of cmd, those of every command last; cmd NULL: for all parameters. */
void each_option(const struct command *cmd, option_fn *each, void *user);
void print_help(FILE *f, const struct command *cmd);
void print_overview(FILE *f);
void print_params(FILE *f);
const struct command *find_command(const char *name);

/* complete.c: a script for the shell's completion; 0: no such shell */
int print_completion(FILE *f, const char *shell);
/* manual.c: manual pages in roff: hone(1), or hone-COMMAND(1) */
void print_manual(FILE *f, const struct command *cmd);

/* output.c */
/* Why a run that gave a result ends with another exit code than 0: on standard error, --quiet or not. */
void report_reason(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int exit_code_of(hone_status code);
/* Takes passwords out of PostgreSQL addresses, wherever they are in a text. */
void hide_passwords(char *text);
/* Prints the error (text on standard error, JSON object on standard output with --json); returns the exit code. */
int report_error(const struct cli *c);
/* The result as a tree ("schema", "ok" first), NULL when memory ran out. The result is destroyed. */
json_t *result_tree(struct cli *c, hone_result *r);
/* With --json prints the tree on standard output; frees it. Returns 0, or EXIT_IO when standard output fails. */
int print_tree(const struct cli *c, json_t *tree);
/* A JSON string; of bytes that are no UTF-8 (names of files may be any) those above 127 become '?'. */
json_t *json_name(const char *s);
const char *jtext(const json_t *o, const char *key); /* "" when absent */
double jnum(const json_t *o, const char *key);       /* NaN when absent or null */
FILE *
people(const struct cli
           *c); /* where text for people goes: standard output, or standard error with --json */
void print_report_hint(FILE *f, const char *dir); /* how to look at a run whose folder is there */
const char *before_dash(const char *path); /* "./" where a path to be typed would be an option */
void print_name(FILE *f, const char *s);   /* a name from a file, without control bytes */

/* one_core.c: to be called first, as the process has begun with one core */
void use_all_cores(void);

/* main.c: those of --plugin, before a model is read that may have their operators; 0 or an exit code (the error is said) */
int load_plugins(struct cli *c);

/* progress.c: the bar, the plain lines, and what is remembered for the curve */
struct board; /* tensorboard.h */
struct progress {
    struct board *board; /* NULL: none */
    int mode;            /* 0 none, 1 bar, 2 plain, 3 json */
    int colour, width, shown;
    double *train, *val;
    size_t n, cap;
};
int progress_init(struct progress *p, const char *mode,
                  int quiet); /* EXIT_USAGE on an unknown mode */
int progress_call(void *user, const hone_progress *e);
void progress_end(struct progress *p);                  /* clears the bar */
void progress_hide(void *progress);                     /* the same, for c->hide */
void progress_curve(const struct progress *p, FILE *f); /* a small learning curve */
void progress_free(struct progress *p);

/* resume_tune.c: is this a search's run folder; hone resume of one. */
int is_search(const char *dir);
int resume_search(struct cli *c);
/* The search whose model would be overwritten (the error in c) may be this one, finished: then the hint says so. */
void hint_at_finished(struct cli *c);

/* signals.c: the first SIGINT, SIGTERM or SIGUSR1 requests a stop, or ends the process where there is no run to stop yet; the
 * second ends it at once */
void catch_signals(hone_context *ctx);
void say_in_json(
    const char *schema);    /* what ends the process from a handler is said in JSON, too */
void release_signals(void); /* before that context goes */
int caught_signal(void);    /* 0: none */
void catch_cut_files(
    void); /* a mapped file that somebody cuts off: its name and exit 6 instead of SIGBUS */

/* cmd_train.c, shared with cmd_resume.c: saves the model, prints summary, curve and JSON; returns the exit code. */
int finish_training(struct cli *c, hone_model *m, hone_result *r, const struct progress *p,
                    const char *out);
#endif
