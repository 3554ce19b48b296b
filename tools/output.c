/* SPDX-License-Identifier: MIT
 *
 * Results and errors on their way out. */
#include "tools/cli.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int exit_code_of(hone_status code)
{
    switch (code) {
    case HONE_OK: return 0;
    case HONE_E_USAGE: return EXIT_USAGE;
    case HONE_E_MODEL:
    case HONE_E_UNSUPPORTED:
    case HONE_E_BUDGET: return EXIT_MODEL;
    case HONE_E_DATA: return EXIT_DATA;
    case HONE_E_NOMEM:
    case HONE_E_DEVICE: return EXIT_MEMORY;
    case HONE_E_IO:
    case HONE_E_CORRUPT: return EXIT_IO;
    case HONE_E_DIVERGED: return EXIT_DIVERGED;
    default: return EXIT_INTERNAL;
    }
}

FILE *people(const struct cli *c) { return c->json ? stderr : stdout; }

void print_name(FILE *f, const char *s)
{
    for (; *s; s++) fputc((unsigned char)*s < 32 || *s == 127 ? '?' : *s, f);
}

static void cut(char *from, const char *to) { memmove(from, to, strlen(to) + 1); }

void hide_passwords(char *text)
{
    for (char *p = text; (p = strstr(p, "://")); p += 3) {
        if (p - text < 8 || strncmp(p - 8, "postgres", 8)) {
            if (p - text < 10 || strncmp(p - 10, "postgresql", 10)) continue;
        }
        size_t n = strcspn(p + 3, " '\"\n");
        char *name = p + 3, *colon = memchr(name, ':', n), *at = NULL;
        for (char *c = name; c < name + n; c++)
            if (*c == '@') at = c;
        size_t port = colon ? strspn(colon + 1, "0123456789") : 0;
        if (colon && at && colon < at)
            cut(colon, at);
        else if (colon && !at && !strchr("/?, ", colon[1 + port])) /* cut off before its '@' */
            cut(colon, name + n);
        for (char *k = name; (k = strstr(k, "password=")); k += 9)
            cut(k + 9, k + 9 + strcspn(k + 9, "& '\"\n"));
    }
}

json_t *json_name(const char *s)
{
    json_t *text = json_string(s);
    char *copy = text ? NULL : strdup(s);
    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p > 127) *p = '?';
    if (copy) text = json_string(copy);
    free(copy);
    return text;
}

int report_error(const struct cli *c)
{
    hone_error copy = c->err, *e = &copy;
    hide_passwords(e->where);
    hide_passwords(e->text);
    hide_passwords(e->hint);
    fputs("hone: ", stderr);
    if (e->where[0]) {
        print_name(stderr, e->where);
        fputs(": ", stderr);
    }
    print_name(stderr, e->text[0] ? e->text : hone_status_text(e->code));
    fputc('\n', stderr);
    if (e->hint[0]) {
        fputs("      hint: ", stderr);
        print_name(stderr, e->hint);
        fputc('\n', stderr);
    }
    if (c->json) {
        json_t *o =
            json_pack("{s:s, s:b, s:{s:s, s:o, s:o, s:o}}", "schema", c->cmd->schema, "ok", 0,
                      "error", "code", hone_status_name(e->code), "where", json_name(e->where),
                      "text", json_name(e->text), "hint", json_name(e->hint));
        if (o) print_tree(c, o);
    }
    return exit_code_of(e->code);
}

void report_reason(const struct cli *c, const char *fmt, ...)
{
    va_list ap;
    char text[1024];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->hide) c->hide(c->hide_user);
    fputs("hone: ", stderr);
    print_name(stderr, text);
    fputc('\n', stderr);
}

struct text {
    char *p;
    size_t n, cap;
};

static int append(void *user, const void *p, size_t n)
{
    struct text *t = user;
    if (t->cap - t->n < n) {
        size_t cap = (t->n + n) * 2 + 4096;
        char *q = realloc(t->p, cap);
        if (!q) return 1;
        t->p = q;
        t->cap = cap;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    return 0;
}

json_t *result_tree(struct cli *c, hone_result *r)
{
    struct text t = { 0 };
    json_t *tree = NULL, *out = NULL;
    if (hone_result_json(r, 0, append, &t, &c->err) == HONE_OK)
        tree = json_loadb(t.p, t.n, 0, NULL);
    free(t.p);
    hone_result_destroy(r);
    if (tree) out = json_object();
    if (out) { /* "schema" and "ok" stand first */
        json_object_set(out, "schema", json_object_get(tree, "schema"));
        json_object_set_new(out, "ok", json_true());
        json_object_update(out, tree);
    } else {
        c->err.code = c->err.code ? c->err.code : HONE_E_NOMEM;
    }
    json_decref(tree);
    return out;
}

int print_tree(const struct cli *c, json_t *tree)
{
    int bad = 0;
    if (c->json)
        bad = json_dumpf(tree, stdout, JSON_INDENT(1)) != 0 || putchar('\n') == EOF ||
              fflush(stdout) != 0;
    json_decref(tree);
    if (bad) fprintf(stderr, "hone: standard output could not be written\n");
    return bad ? EXIT_IO : 0;
}

const char *before_dash(const char *path) { return path[0] == '-' ? "./" : ""; }

void print_report_hint(FILE *f, const char *dir)
{
    if (!dir[0] || access(dir, F_OK) != 0) return;
    fprintf(f, "as a page: hone report %s", before_dash(dir));
    print_name(f, dir);
    fputc('\n', f);
}

const char *jtext(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

double jnum(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}
