/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over what the command itself reads: YAML search spaces (--space), YAML options (--config, and what --print-config
 * writes of them), and the folder of a run as a page (hone report). The first byte chooses; the rest is the file, for a folder
 * its files, "== NAME" a line between them. Properties: no crash, no leak, a refusal says why, printed options read as the
 * same. */
#include "tools/report.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* of main.c, which is not here */
const struct command *const commands[] = { &cmd_train, &cmd_tune, &cmd_report, NULL };
const struct command *find_command(const char *name) { return name ? NULL : commands[0]; }
int load_plugins(struct cli *c) { return c->n_args; }

static char folder[64];
static FILE *nowhere;

static void must(int ok, const char *what, const char *text)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static const char *put_file(const char *name, const void *p, size_t n)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    must(f && fwrite(p, 1, n, f) == n && fclose(f) == 0, "cannot be written", path);
    return path;
}

static void clean_up(void)
{
    char command[160];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) return;
}

static void set_up(void)
{
    (void)snprintf(folder, sizeof folder, "/dev/shm/hone-fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL, "cannot be made", folder);
    atexit(clean_up);
    nowhere = fopen("/dev/null", "w");
    must(nowhere != NULL, "cannot be opened", "/dev/null");
}

static void begin(struct cli *c, const struct command *cmd)
{
    *c = (struct cli){ .cmd = cmd };
    must(hone_context_create(NULL, &c->ctx, &c->err) == HONE_OK, "context", c->err.text);
    must(hone_params_create(c->ctx, &c->params, &c->err) == HONE_OK, "params", c->err.text);
    c->err.code = HONE_OK;
}

static void end(struct cli *c)
{
    hone_params_destroy(c->params);
    hone_context_destroy(c->ctx);
    free(c->model);
}

static void said(const struct cli *c, hone_status st)
{
    must(st == HONE_OK || (c->err.code == st && c->err.text[0]), "no reason", c->err.where);
}

static void space(const uint8_t *p, size_t n)
{
    struct cli c;
    begin(&c, &cmd_tune);
    const char *path = put_file("space.yaml", p, n);
    must(hone_params_set(c.params, "space", path, &c.err) == HONE_OK, "space", path);
    said(&c, read_space(&c));
    end(&c);
}

/* What --print-config writes of c, as a file. */
static const char *printed(const struct cli *c)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/printed.yaml", folder);
    FILE *real = stdout, *f = fopen(path, "w");
    must(f != NULL, "cannot be written", path);
    stdout = f;
    print_config(c);
    stdout = real;
    must(fclose(f) == 0, "cannot be written", path);
    return path;
}

static void config(const uint8_t *p, size_t n, int resumed)
{
    struct cli c, d;
    hone_param_info info = { .size = sizeof info };
    begin(&c, &cmd_train);
    c.resumed = resumed;
    hone_status st = read_config(&c, put_file("options.yaml", p, n));
    said(&c, st);
    if (st == HONE_OK && !resumed) {
        begin(&d, &cmd_train);
        st = read_config(&d, printed(&c));
        must(st == HONE_OK, "what was printed is refused", d.err.text);
        for (size_t i = 0; hone_param_at(i, &info); i++) {
            const char *a, *b = NULL;
            if (!takes_param(c.cmd, &info)) continue;
            for (size_t k = 0; (a = hone_params_get(c.params, info.name, k)); k++) {
                b = hone_params_get(d.params, info.name, k);
                must(b && !strcmp(a, b), "printed as another value", info.name);
            }
        }
        end(&d);
    }
    end(&c);
}

static void report(const char *text, size_t n)
{
    static const char *const names[] = { "run.json", "status.json", "result.json", "metrics.csv",
                                         "study.json" };
    char path[128];
    struct cli c;
    begin(&c, &cmd_report);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char mark[32];
        (void)snprintf(mark, sizeof mark, "== %s\n", names[i]);
        const char *from = memmem(text, n, mark, strlen(mark)), *to;
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
        if (!from) continue;
        from += strlen(mark);
        to = memmem(from, n - (size_t)(from - text), "== ", 3);
        put_file(names[i], from, (size_t)((to ? to : text + n) - from));
    }
    json_t *tree = report_read(&c, folder);
    must(tree || (c.err.code && c.err.text[0]), "no reason", c.err.where);
    if (tree) (strcmp(jtext(tree, "kind"), "tune") ? report_train : report_tune)(nowhere, tree);
    json_decref(tree);
    end(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!nowhere) set_up();
    if (size < 1) return 0;
    if (data[0] % 4 == 0) space(data + 1, size - 1);
    if (data[0] % 4 == 1) config(data + 1, size - 1, data[0] & 64);
    if (data[0] % 4 >= 2) report((const char *)data + 1, size - 1);
    return 0;
}
