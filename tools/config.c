/* SPDX-License-Identifier: MIT
 *
 * --config FILE.yaml: a flat mapping from long option names ('-' or '_') to a value or, where an option may be repeated, a list of
 * values, read with libyaml. What would be without effect is refused: options of other commands, but for their defaults,
 * names that come twice, a second document. So are anchors, aliases and nested mappings, which a file of options does not need. What is no text (names of files may
 * be any bytes) is !!binary BASE64. */
#include "tools/cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    struct cli *c;
    const char *path;
    yaml_parser_t parser;
    char key[64];
    int have_key, in_list, depth, documents;
    json_t *lines; /* of the names so far */
};

__attribute__((format(printf, 3, 4))) static hone_status
bad(struct reader *r, const yaml_mark_t *at, const char *fmt, ...)
{
    va_list ap;
    r->c->err.code = HONE_E_USAGE;
    snprintf(r->c->err.where, sizeof r->c->err.where, "%s line %zu", r->path, at->line + 1);
    va_start(ap, fmt);
    vsnprintf(r->c->err.text, sizeof r->c->err.text, fmt, ap);
    va_end(ap);
    return HONE_E_USAGE;
}

/* What is what it would be anyway does not count as asked for: --print-config writes such values, of options too that would
 * be refused if somebody asked for them here (monitor: val_loss, without validation rows). */
static int is_default(const struct cli *c, const char *key, const char *text)
{
    const char *value = hone_params_get(c->params, key, 0);
    return value && !hone_params_is_set(c->params, key) && !strcmp(value, text);
}

/* Of base64. */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The bytes of !!binary TEXT, in its own place: what YAML has no text for. 0: it is not base64. */
static int decode(char *text)
{
    size_t n = strcspn(text, "="), out = 0;
    unsigned v = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit) return 0;
        v = v << 6 | (unsigned)(digit - digits);
        if (i % 4) text[out++] = (char)(v >> (6 - 2 * (i % 4)));
    }
    int whole =
        n % 4 != 1 && (n + 3) / 4 * 4 == strlen(text) && strspn(text + n, "=") == strlen(text + n);
    text[out] = '\0';
    return whole && strlen(text) == out;
}

static hone_status take_key(struct reader *r, const char *text, const yaml_mark_t *at)
{
    if (strlen(text) >= sizeof r->key) return bad(r, at, "the option name is too long");
    for (size_t i = 0; i <= strlen(text); i++) r->key[i] = text[i] == '_' ? '-' : text[i];
    const json_t *before = json_object_get(r->lines, r->key);
    if (before)
        return bad(r, at, "'%s' is in line %d already", r->key, (int)json_integer_value(before));
    r->have_key = 1;
    /* a name that is no UTF-8 is none of an option, which is found out with its value */
    json_object_set_new(r->lines, r->key, json_integer((json_int_t)at->line + 1));
    return HONE_OK;
}

static hone_status take_list(struct reader *r, const yaml_mark_t *at)
{
    hone_param_info info;
    if (!r->have_key || r->in_list) return bad(r, at, "a list stands where an option was wanted");
    if (find_param(r->key, &info) && strcmp(info.type, "list") != 0)
        return bad(r, at, "'%s' takes one value, found a list", info.name);
    r->in_list = 1;
    return HONE_OK;
}

/* Refused as on the command line. */
static int is_of_another_command(const struct cli *c, const char *key)
{
    hone_param_info info;
    return !c->resumed && find_param(key, &info) && !takes_param(c->cmd, &info);
}

static hone_status take_scalar(struct reader *r, const yaml_event_t *e)
{
    char *text = (char *)e->data.scalar.value;
    const char *tag = (const char *)e->data.scalar.tag;
    if (strlen(text) != e->data.scalar.length) return bad(r, &e->start_mark, "holds a NUL byte");
    if (tag && !strcmp(tag, "tag:yaml.org,2002:binary") && !decode(text))
        return bad(r, &e->start_mark, "is no text in base64 (!!binary)");
    if (!r->have_key) return take_key(r, text, &e->start_mark);
    struct cli *c = r->c;
    hone_status st = HONE_OK;
    if (!strcmp(r->key, "model") && c->resumed) {
        free(c->model);
        c->model = strdup(text);
        if (!c->model) st = HONE_E_NOMEM;
    } else if (!strcmp(r->key, "out") && c->cmd->takes_out && !c->resumed) {
        st = bad(r, &e->start_mark, "'out' belongs on the command line (-o)");
    } else if (!c->resumed && !r->in_list && is_default(c, r->key, text)) {
        st = HONE_OK;
    } else if (is_of_another_command(c, r->key)) {
        st = bad(r, &e->start_mark, "'%s' is not an option of 'hone %s'", r->key, c->cmd->name);
    } else if (hone_params_set(c->params, r->key, text, &c->err) != HONE_OK) {
        char was[200];
        snprintf(was, sizeof was, "%.190s", c->err.where);
        snprintf(c->err.where, sizeof c->err.where, "%.120s line %zu: %.100s", r->path,
                 e->start_mark.line + 1, was);
        st = c->err.code;
    }
    if (!r->in_list) r->have_key = 0;
    return st;
}

static hone_status take_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_MAPPING_START_EVENT:
        if (r->depth++) return bad(r, &e->start_mark, "nested mappings are not options");
        return e->data.mapping_start.anchor ? bad(r, &e->start_mark, "anchors are not read")
                                            : HONE_OK;
    case YAML_MAPPING_END_EVENT: r->depth--; return HONE_OK;
    case YAML_DOCUMENT_START_EVENT:
        return r->documents++ ? bad(r, &e->start_mark, "a second document begins here, wanted one")
                              : HONE_OK;
    case YAML_SEQUENCE_START_EVENT: return take_list(r, &e->start_mark);
    case YAML_SEQUENCE_END_EVENT: r->in_list = r->have_key = 0; return HONE_OK;
    case YAML_ALIAS_EVENT: return bad(r, &e->start_mark, "aliases are not read");
    case YAML_SCALAR_EVENT:
        if (!r->depth) return bad(r, &e->start_mark, "wanted a mapping 'option: value'");
        return take_scalar(r, e);
    default: return HONE_OK;
    }
}

static hone_status read_events(struct reader *r)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->parser, &e))
            return bad(r, &r->parser.problem_mark, "%s",
                       r->parser.problem ? r->parser.problem : "is not YAML");
        int last = e.type == YAML_STREAM_END_EVENT;
        hone_status st = take_event(r, &e);
        yaml_event_delete(&e);
        if (st != HONE_OK || last) return st;
    }
}

hone_status read_config(struct cli *c, const char *path)
{
    struct reader r = { .c = c, .path = path };
    c->config = path;
    FILE *f = fopen(path, "rbe");
    if (!f) {
        c->err.code = HONE_E_IO;
        snprintf(c->err.where, sizeof c->err.where, "%s", path);
        snprintf(c->err.text, sizeof c->err.text, "the config file cannot be read: %s",
                 strerror(errno));
        return HONE_E_IO;
    }
    hone_status st = HONE_E_NOMEM;
    r.lines = json_object();
    if (r.lines && yaml_parser_initialize(&r.parser)) {
        yaml_parser_set_input_file(&r.parser, f);
        st = read_events(&r);
        yaml_parser_delete(&r.parser);
    }
    if (st == HONE_E_NOMEM) c->err.code = st;
    json_decref(r.lines);
    fclose(f);
    return st;
}

/* What a quoted text of YAML cannot hold as it is: bytes that are no UTF-8 (names of files may be any), control characters,
 * what counts as a line break or a mark of byte order. */
static int is_binary(const char *s)
{
    static const char *const odd[] = { "\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF",
                                       "\xEF\xBF\xBE", "\xEF\xBF\xBF" };
    json_t *text = json_string(s); /* NULL: not UTF-8 */
    int yes = !text;
    json_decref(text);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) yes |= strstr(s, odd[i]) != NULL;
    for (; *s; s++) {
        unsigned char c = (unsigned char)s[0], next = (unsigned char)s[1];
        yes |= c < 32 || c == 127 || (c == 0xC2 && next < 0xA0);
    }
    return yes;
}

static void print_binary(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = strlen(s), step;
    fputs("!!binary '", stdout);
    for (; n; n -= step, p += step) {
        step = n < 3 ? n : 3;
        unsigned v = p[0] * 65536u + (n > 1 ? p[1] * 256u : 0) + (n > 2 ? p[2] : 0);
        printf("%c%c%c%c", digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
               n > 2 ? digits[v & 63] : '=');
    }
    putchar('\'');
}

/* A scalar that reads back as the same text, quoted when YAML could see something else in it. */
static void print_scalar(const char *s)
{
    if (is_binary(s)) {
        print_binary(s);
        return;
    }
    if (s[0] &&
        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-") ==
            strlen(s) &&
        s[0] != '-') {
        fputs(s, stdout);
        return;
    }
    putchar('\'');
    for (; *s; s++) {
        if (*s == '\'') putchar('\'');
        putchar(*s);
    }
    putchar('\'');
}

void print_config(const struct cli *c)
{
    hone_param_info info = { .size = sizeof info };
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        const char *v = hone_params_get(c->params, info.name, 0);
        if (!takes_param(c->cmd, &info) || !v ||
            (!v[0] && !hone_params_is_set(c->params, info.name)))
            continue;
        printf("%s: ", info.name);
        if (strcmp(info.type, "list")) {
            char *shown = strdup(v);
            if (shown) hide_passwords(shown);
            if (shown) print_scalar(shown);
            free(shown);
        } else {
            putchar('[');
            for (size_t k = 0; (v = hone_params_get(c->params, info.name, k)); k++) {
                if (k) fputs(", ", stdout);
                print_scalar(v);
            }
            putchar(']');
        }
        putchar('\n');
    }
}
