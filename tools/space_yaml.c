/* SPDX-License-Identifier: MIT
 *
 * --space FILE.yaml: a mapping from a parameter's name to its domain, read with libyaml and handed to the library as lines of
 * its own form (parameter "search"); a list of mappings is a list of settings to try (parameter "setting"). A domain is
 *
 *     {type: float|int|categorical|bool, low: L, high: H, log: B, step: S, points: N, choices: [A, B], when: {P: [V, …]}}
 *
 * or a list of choices, or a line of the library's form (lr: log:1e-4..1e-1). Errors name the line. */
#include "tools/cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct text {
    char *p;
    size_t n, cap;
    int failed;
};

struct yaml {
    struct cli *c;
    const char *path;
    yaml_document_t doc;
    struct text line;
};

static void put(struct text *t, const char *s)
{
    size_t n = strlen(s);
    if (t->n + n + 1 > t->cap) {
        size_t cap = 2 * (t->n + n + 1);
        char *p = realloc(t->p, cap);
        if (!p) t->failed = 1;
        if (!p) return;
        t->p = p;
        t->cap = cap;
    }
    memcpy(t->p + t->n, s, n + 1);
    t->n += n;
}

static hone_status bad(struct yaml *y, size_t line, const char *name, const char *text)
{
    hone_error *e = &y->c->err;
    e->code = HONE_E_USAGE;
    e->hint[0] = 0;
    snprintf(e->where, sizeof e->where, "%s line %zu", y->path, line + 1);
    snprintf(e->text, sizeof e->text, "%s%s%s", name, name[0] ? ": " : "", text);
    return HONE_E_USAGE;
}

static yaml_node_t *node(struct yaml *y, int i) { return yaml_document_get_node(&y->doc, i); }

static const char *scalar(const yaml_node_t *n)
{
    if (!n || n->type != YAML_SCALAR_NODE) return NULL;
    const char *s = (const char *)n->data.scalar.value;
    return strlen(s) == n->data.scalar.length ? s : NULL;
}

static int truth(const char *s)
{
    static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "on", "On" };
    static const char *const no[] = { "false", "False", "FALSE", "no", "No", "off", "Off" };
    for (size_t i = 0; s && i < sizeof yes / sizeof *yes; i++) {
        if (!strcmp(s, yes[i])) return 1;
        if (!strcmp(s, no[i])) return 0;
    }
    return -1;
}

/* ---- pieces of a line ------------------------------------------------------------------------------------------------- */

/* A choice as the library reads it back: special characters escaped, what was quoted in the file stays text. */
static void put_choice(struct text *t, const yaml_node_t *n)
{
    const char *s = scalar(n);
    int quoted = n->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
                 n->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    char piece[3] = { '\\', 0, 0 };
    if (!quoted && truth(s) >= 0) s = truth(s) ? "true" : "false";
    if (quoted) put(t, "\"");
    for (; *s; s++) {
        int special = strchr(quoted ? "\"\\" : ",|&?\\\" \t", *s) != NULL;
        piece[1] = *s;
        put(t, special ? piece : piece + 1);
    }
    if (quoted) put(t, "\"");
}

/* One scalar or a list of scalars, between separators. */
static hone_status put_list(struct yaml *y, const char *name, yaml_node_t *n, const char *between)
{
    if (scalar(n)) {
        put_choice(&y->line, n);
        return HONE_OK;
    }
    if (!n || n->type != YAML_SEQUENCE_NODE)
        return bad(y, n ? n->start_mark.line : 0, name, "wanted a list of values");
    if (n->data.sequence.items.start == n->data.sequence.items.top)
        return bad(y, n->start_mark.line, name, "the list of choices is empty");
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        yaml_node_t *v = node(y, *i);
        if (!scalar(v)) return bad(y, v->start_mark.line, name, "a choice is a number or a word");
        if (i > n->data.sequence.items.start) put(&y->line, between);
        put_choice(&y->line, v);
    }
    return HONE_OK;
}

static hone_status put_when(struct yaml *y, const char *name, yaml_node_t *n)
{
    if (n->type != YAML_MAPPING_NODE)
        return bad(y, n->start_mark.line, name, "when: wanted a mapping {parameter: [value, …]}");
    const char *before = "?";
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const char *parent = scalar(node(y, p->key));
        if (!parent) return bad(y, n->start_mark.line, name, "when: wanted a parameter's name");
        put(&y->line, before);
        put(&y->line, parent);
        put(&y->line, "=");
        hone_status st = put_list(y, name, node(y, p->value), "|");
        if (st != HONE_OK) return st;
        before = "&";
    }
    return HONE_OK;
}

/* ---- a domain ---------------------------------------------------------------------------------------------------------- */

enum { TYPE, LOW, HIGH, LOG, STEP, POINTS, CHOICES, WHEN, KEYS };
static const char *const keys[KEYS] = { "type", "low",    "high",    "log",
                                        "step", "points", "choices", "when" };

static hone_status read_keys(struct yaml *y, const char *name, yaml_node_t *n, yaml_node_t **v)
{
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        yaml_node_t *key = node(y, p->key);
        const char *s = scalar(key);
        char text[200];
        int k = 0;
        while (k < KEYS && (!s || strcmp(s, keys[k]) != 0)) k++;
        if (k == KEYS) {
            snprintf(text, sizeof text,
                     "found '%.60s', wanted type, low, high, log, step, points, choices or when",
                     s ? s : "something that is no word");
            return bad(y, key->start_mark.line, name, text);
        }
        if (v[k]) return bad(y, key->start_mark.line, name, "a key stands twice");
        v[k] = node(y, p->value);
        if (k < CHOICES && !scalar(v[k]))
            return bad(y, key->start_mark.line, name, "wanted one value after the key");
    }
    return HONE_OK;
}

static hone_status put_range(struct yaml *y, const char *name, size_t line, yaml_node_t **v,
                             int is_int)
{
    int log = v[LOG] ? truth(scalar(v[LOG])) : 0;
    if (!v[LOW] || !v[HIGH]) return bad(y, line, name, "wanted low and high");
    if (log < 0) return bad(y, v[LOG]->start_mark.line, name, "log is true or false");
    put(&y->line, is_int ? "int:" : "float:");
    if (log) put(&y->line, "log:");
    put(&y->line, scalar(v[LOW]));
    put(&y->line, "..");
    put(&y->line, scalar(v[HIGH]));
    if (v[STEP]) put(&y->line, ":step="), put(&y->line, scalar(v[STEP]));
    if (v[POINTS]) put(&y->line, ":points="), put(&y->line, scalar(v[POINTS]));
    return HONE_OK;
}

static hone_status put_domain(struct yaml *y, const char *name, yaml_node_t *n)
{
    yaml_node_t *v[KEYS] = { NULL };
    size_t line = n->start_mark.line;
    if (scalar(n)) { /* a line of the library's own form */
        put(&y->line, scalar(n));
        return HONE_OK;
    }
    if (n->type == YAML_SEQUENCE_NODE) {
        put(&y->line, "choice:");
        return put_list(y, name, n, ",");
    }
    hone_status st = read_keys(y, name, n, v);
    if (st != HONE_OK) return st;
    const char *type = v[TYPE] ? scalar(v[TYPE]) : v[CHOICES] ? "categorical" : "float";
    int is_int = !strcmp(type, "int");
    if (is_int || !strcmp(type, "float")) {
        if (v[CHOICES]) return bad(y, line, name, "choices belong to type: categorical");
        st = put_range(y, name, line, v, is_int);
    } else if (!strcmp(type, "categorical") || !strcmp(type, "bool")) {
        if (v[LOW] || v[HIGH] || v[LOG] || v[STEP] || v[POINTS])
            return bad(y, line, name, "bounds belong to type: float or int");
        if (!v[CHOICES] && type[0] == 'c') return bad(y, line, name, "wanted choices: [A, B, …]");
        put(&y->line, v[CHOICES] ? "choice:" : "bool");
        if (v[CHOICES]) st = put_list(y, name, v[CHOICES], ",");
    } else {
        return bad(y, v[TYPE]->start_mark.line, name, "type is float, int, categorical or bool");
    }
    return st == HONE_OK && v[WHEN] ? put_when(y, name, v[WHEN]) : st;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static hone_status hand_over(struct yaml *y, const char *param)
{
    if (y->line.failed) return y->c->err.code = HONE_E_NOMEM;
    return hone_params_set(y->c->params, param, y->line.p, &y->c->err);
}

static hone_status read_mapping(struct yaml *y, yaml_node_t *root)
{
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = node(y, p->key);
        const char *name = scalar(key);
        char place[300];
        if (!name || !*name) return bad(y, key->start_mark.line, "", "wanted a parameter's name");
        snprintf(place, sizeof place, "%.200s line %zu\t", y->path, key->start_mark.line + 1);
        for (char *q = place; *q && *q != '\t'; q++)
            if ((unsigned char)*q < 32) *q = '?';
        y->line.n = 0;
        put(&y->line, place);
        put(&y->line, name);
        put(&y->line, "=");
        hone_status st = put_domain(y, name, node(y, p->value));
        if (st == HONE_OK) st = hand_over(y, "search");
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

static hone_status read_settings(struct yaml *y, yaml_node_t *root)
{
    for (yaml_node_item_t *i = root->data.sequence.items.start; i < root->data.sequence.items.top;
         i++) {
        yaml_node_t *n = node(y, *i);
        if (n->type != YAML_MAPPING_NODE)
            return bad(y, n->start_mark.line, "", "a setting is a mapping {name: value, …}");
        y->line.n = 0;
        put(&y->line, "");
        for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
             p++) {
            const char *name = scalar(node(y, p->key)), *value = scalar(node(y, p->value));
            if (!name || !value)
                return bad(y, n->start_mark.line, "", "a setting is a mapping {name: value, …}");
            if (strchr(name, ',') || strchr(value, ','))
                return bad(y, n->start_mark.line, name, "a setting's value cannot hold a comma");
            if (y->line.n) put(&y->line, ",");
            put(&y->line, name);
            put(&y->line, "=");
            put(&y->line, value);
        }
        hone_status st = hand_over(y, "setting");
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

static hone_status read_document(struct yaml *y, FILE *f)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return y->c->err.code = HONE_E_NOMEM;
    yaml_parser_set_input_file(&parser, f);
    hone_status st;
    if (!yaml_parser_load(&parser, &y->doc)) {
        st = bad(y, parser.problem_mark.line, "", parser.problem ? parser.problem : "is not YAML");
    } else {
        yaml_node_t *root = yaml_document_get_root_node(&y->doc);
        if (root && root->type == YAML_MAPPING_NODE)
            st = read_mapping(y, root);
        else if (root && root->type == YAML_SEQUENCE_NODE)
            st = read_settings(y, root);
        else
            st = bad(y, 0, "", "wanted a mapping 'parameter: domain'");
        yaml_document_delete(&y->doc);
    }
    yaml_parser_delete(&parser);
    return st;
}

hone_status read_space(struct cli *c)
{
    const char *path = hone_params_get(c->params, "space", 0);
    if (!path || !*path || !strcmp(path, "auto")) return HONE_OK;
    struct yaml y = { .c = c, .path = path };
    FILE *f = fopen(path, "rbe");
    if (!f) {
        c->err.code = HONE_E_IO;
        snprintf(c->err.where, sizeof c->err.where, "%s", path);
        snprintf(c->err.text, sizeof c->err.text, "the search space cannot be read: %s",
                 strerror(errno));
        return HONE_E_IO;
    }
    hone_status st = read_document(&y, f);
    fclose(f);
    free(y.line.p);
    return st;
}
