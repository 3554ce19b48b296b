/* SPDX-License-Identifier: MIT
 *
 * hone plugin: what a plug-in offers, and whether it keeps to the rules. It is tried out in a child process, so that one that
 * crashes or hangs is a finding like any other, with the check it was at. */
#include "tools/cli.h"
#include "tools/process_watch.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_SECONDS = 600, STEP = 512 };

static int print_list(const json_t *tree)
{
    size_t i, k, n;
    json_t *p, *r, *e;
    json_array_foreach(json_object_get(tree, "plugins"), i, p)
    {
        print_name(stdout, jtext(p, "id"));
        printf(" %s (%s), plug-in ABI %s\n  ", jtext(p, "version"), jtext(p, "license"),
               jtext(p, "abi"));
        print_name(stdout, jtext(p, "path"));
        printf("@%s\n", jtext(p, "hash"));
        json_array_foreach(json_object_get(p, "ops"), k, r)
        {
            const char *name;
            printf("  operator %s.%s from version %.0f", jtext(r, "domain"), jtext(r, "type"),
                   jnum(r, "since"));
            json_object_foreach(json_object_get(r, "attributes"), name, e)
                printf(", %s (%g)", name, json_number_value(e));
            putchar('\n');
        }
        json_array_foreach(json_object_get(p, "readers"), k, r)
        {
            printf("  reads '%s':", jtext(r, "name"));
            json_array_foreach(json_object_get(r, "extensions"), n, e)
                printf(" *%s", json_string_value(e));
            if (jtext(r, "magic")[0]) printf(", files that begin with %s", jtext(r, "magic"));
            putchar('\n');
        }
    }
    return 0;
}

static int list(struct cli *c)
{
    hone_result *r = NULL;
    for (int i = 1; i < c->n_args; i++)
        if (hone_plugin_load(c->ctx, c->args[i], &c->err) != HONE_OK) return report_error(c);
    json_t *tree = hone_plugin_list(c->ctx, &r, &c->err) == HONE_OK ? result_tree(c, r) : NULL;
    if (!tree) return report_error(c);
    if (!c->json) print_list(tree);
    return print_tree(c, tree);
}

/* ---- check ---- */

struct trial {  /* in the child */
    char *step; /* the parent reads it */
    struct process_watch *watch;
};

static void note_step(void *user, const char *what)
{
    snprintf(((struct trial *)user)->step, STEP, "%s", what);
}

static const char *note_call(void *user)
{
    return process_watch_look(((struct trial *)user)->watch);
}

static const char *note_files(void *user)
{
    return process_watch_left(((struct trial *)user)->watch);
}

/* In the child: the result, or the error, as JSON into the pipe. */
static int child(struct cli *c, int fd, char *step)
{
    hone_result *r = NULL;
    alarm(LIMIT_SECONDS);
    struct trial trial = { step, process_watch_new() };
    if (!trial.watch) return EXIT_INTERNAL;
    const hone_plugin_check_opts opts = { .size = sizeof opts,
                                          .samples = c->args + 2,
                                          .n_samples = (size_t)(c->n_args - 2),
                                          .step = note_step,
                                          .changed = note_call,
                                          .left = note_files,
                                          .user = &trial };
    json_t *tree = NULL;
    if (hone_plugin_check(c->ctx, c->args[1], &opts, &r, &c->err) == HONE_OK)
        tree = result_tree(c, r);
    int bad = !tree || json_dumpfd(tree, fd, JSON_COMPACT) != 0;
    json_decref(tree);
    process_watch_free(trial.watch);
    close(fd);
    return bad ? EXIT_INTERNAL : 0;
}

static json_t *read_pipe(int fd)
{
    json_t *tree = json_loadfd(fd, 0, NULL);
    char rest[256];
    while (!tree && read(fd, rest, sizeof rest) > 0) continue;
    close(fd);
    return tree;
}

/* The child ended without a result: that is the result. */
static json_t *crashed(int status, const char *step)
{
    char text[STEP + 128];
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (sig == SIGALRM)
        snprintf(text, sizeof text, "it did not end within %d seconds", LIMIT_SECONDS);
    else if (sig)
        snprintf(text, sizeof text, "it ended the process by signal %d (%s)", sig, strsignal(sig));
    else
        snprintf(text, sizeof text, "it ended the process with exit status %d",
                 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return json_pack("{s:s, s:b, s:[{s:o, s:b, s:s}], s:i, s:b}", "schema", "hone.plugin_check/1",
                     "ok", 1, "checks", "check", json_name(step[0] ? step : "load and unload"),
                     "passed", 0, "text", text, "signal", sig, "passed", 0);
}

static json_t *run_child(struct cli *c)
{
    int fd[2], status = 0;
    char *step = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (step == MAP_FAILED) return NULL;
    fflush(NULL);
    if (pipe(fd) != 0) return NULL;
    pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        exit(child(c, fd[1], step));
    }
    close(fd[1]);
    json_t *tree = pid < 0 ? NULL : read_pipe(fd[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    int passed = json_is_true(json_object_get(tree, "passed"));
    if (pid > 0 &&
        (!tree || (passed && status != 0))) { /* also one that ended badly after its result */
        json_decref(tree);
        tree = crashed(status, step);
    }
    munmap(step, STEP);
    return tree;
}

static int check(struct cli *c)
{
    size_t i;
    json_t *e, *tree = run_child(c);
    if (!tree) {
        c->err.code = HONE_E_NOMEM;
        return report_error(c);
    }
    int passed = json_is_true(json_object_get(tree, "passed"));
    json_array_foreach(json_object_get(tree, "checks"), i, e)
    {
        if (c->json) break;
        printf("%-6s ", json_is_true(json_object_get(e, "passed")) ? "ok" : "FAILED");
        print_name(stdout, jtext(e, "check"));
        const char *of = jtext(e, jtext(e, "op")[0] ? "op" : "file");
        if (of[0]) printf(": ");
        print_name(stdout, of);
        if (jtext(e, "text")[0]) printf(": ");
        print_name(stdout, jtext(e, "text"));
        putchar('\n');
    }
    if (!c->json) print_list(tree);
    const json_t *plugin = json_array_get(json_object_get(tree, "plugins"), 0);
    if (c->n_args == 2 && !c->quiet && passed &&
        json_array_size(json_object_get(plugin, "readers")) > 0)
        fprintf(stderr, "no file was given, so that no reader was tried\n");
    int code = print_tree(c, tree);
    return code ? code : passed ? 0 : EXIT_NO;
}

static int run(struct cli *c)
{
    if (!strcmp(c->args[0], "list")) return list(c);
    if (!strcmp(c->args[0], "check")) return check(c);
    c->err.code = HONE_E_USAGE;
    snprintf(c->err.where, sizeof c->err.where, "plugin");
    snprintf(c->err.text, sizeof c->err.text, "found '%.100s', wanted list or check", c->args[0]);
    return report_error(c);
}

const struct command cmd_plugin = {
    .name = "plugin",
    .args = "list|check FILE.so [DATA...]",
    .words = "list|check",
    .min_args = 2,
    .max_args = -1,
    .schema = "hone.plugins/1",
    .groups = "",
    .summary = "what a plug-in offers; whether it keeps to the rules, tried in a child process",
    .examples = "hone plugin list ./sqlite_reader.so\n"
                "hone plugin check ./sqlite_reader.so table.db",
    .run = run
};
