/* SPDX-License-Identifier: MIT
 *
 * Results: a tree in one arena, built in the order it is printed, read by dotted path or written
 * as JSON. Building never fails loudly: a failed allocation sets a mark, and hn_result_done
 * reports it once.
 *
 *     hn_result_object(r, "val");
 *     hn_result_double(r, "loss", 0.1);      path "val.loss"
 *     hn_result_close(r); */
#include "ops/base/status.h"
#include "plugin/internal.h"
#include <string.h>

enum kind { OBJECT, ARRAY, STRING, INT, DOUBLE, BOOL, NONE };
enum { DEPTH = sizeof(((struct hone_result *)0)->stack) / sizeof(struct hn_node_r *) };

struct hn_node_r {
    enum kind kind;
    const char *key; /* NULL in arrays */
    struct hn_node_r *first, *last, *next;
    const char *s;
    int64_t i;
    double d;
};

static struct hn_node_r *add(hone_result *r, enum kind kind, const char *key)
{
    if (r->failed) return NULL;
    struct hn_node_r *n = hn_arena_alloc(&r->arena, 1, sizeof *n);
    if (n && key && !(n->key = hn_arena_strdup(&r->arena, key))) n = NULL;
    if (!n) {
        r->failed = 1;
        return NULL;
    }
    n->kind = kind;
    struct hn_node_r *up = r->depth ? r->stack[r->depth - 1] : NULL;
    if (up && up->last) up->last->next = n;
    if (up && !up->first) up->first = n;
    if (up) up->last = n;
    return n;
}

static void open_node(hone_result *r, enum kind kind, const char *key)
{
    if (r->depth == DEPTH) r->failed = 1; /* deeper than any result is */
    struct hn_node_r *n = add(r, kind, key);
    if (n) r->stack[r->depth++] = n;
}

void hn_result_object(hone_result *r, const char *key) { open_node(r, OBJECT, key); }
void hn_result_array(hone_result *r, const char *key) { open_node(r, ARRAY, key); }
void hn_result_close(hone_result *r)
{
    if (!r->failed) r->depth--;
}

void hn_result_string(hone_result *r, const char *key, const char *v)
{
    struct hn_node_r *n = add(r, v ? STRING : NONE, key);
    if (n && v && !(n->s = hn_arena_strdup(&r->arena, v))) r->failed = 1;
}

void hn_result_int(hone_result *r, const char *key, int64_t v)
{
    struct hn_node_r *n = add(r, INT, key);
    if (n) n->i = v;
}

void hn_result_double(hone_result *r, const char *key, double v)
{
    struct hn_node_r *n = add(r, DOUBLE, key);
    if (n) n->d = v;
}

void hn_result_bool(hone_result *r, const char *key, int v)
{
    struct hn_node_r *n = add(r, BOOL, key);
    if (n) n->i = v != 0;
}

void hn_result_null(hone_result *r, const char *key) { add(r, NONE, key); }

hone_status hn_result_create(hone_context *ctx, const char *schema, hone_result **out,
                             hone_error *err)
{
    hone_result *r = hn_calloc(&ctx->mem, 1, sizeof *r);
    *out = NULL;
    if (!r) return hn_nomem(err, "the result", sizeof *r);
    hn_arena_init(&r->arena, &ctx->mem);
    open_node(r, OBJECT, NULL);
    if (!r->failed) r->root = r->stack[0];
    hn_result_string(r, "schema", schema);
    hn_result_bool(r, "ok", 1);
    *out = r;
    return HONE_OK;
}

hone_status hn_result_done(hone_result *r, hone_error *err)
{
    if (r->failed) return hn_nomem(err, "the result", sizeof(struct hn_node_r));
    r->depth = 0;
    return HONE_OK;
}

void hone_result_destroy(hone_result *r)
{
    if (!r) return;
    struct hn_mem *mem = r->arena.mem;
    hn_arena_clear(&r->arena);
    hn_free(mem, r);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

struct host_sink {
    struct hn_sink sink;
    int (*write)(void *user, const void *p, size_t n);
    void *user;
};

static hone_status write_to_host(struct hn_sink *s, const void *p, size_t n, hone_error *err)
{
    struct host_sink *h = (struct host_sink *)s;
    if (n == 0 || h->write(h->user, p, n) == 0) return HONE_OK;
    return hn_fail(err, HONE_E_IO, "result", "the caller's write function failed");
}

static void put_scalar(struct hn_json *j, const struct hn_node_r *n)
{
    switch (n->kind) {
    case STRING: hn_json_string(j, n->key, n->s); break;
    case INT: hn_json_int(j, n->key, n->i); break;
    case DOUBLE: hn_json_double(j, n->key, n->d); break;
    case BOOL: hn_json_bool(j, n->key, (int)n->i); break;
    default: hn_json_null(j, n->key); break;
    }
}

/* A number that says how good the model is, or an object that may hold some: no list, text, answer or time. */
static int is_figure(const struct hn_node_r *n)
{
    return n->kind == OBJECT ||
           ((n->kind == INT || n->kind == DOUBLE) && n->key && strcmp(n->key, "seconds") != 0);
}

/* root and what is below it. */
static void put_tree(struct hn_json *j, const struct hn_node_r *root, int figures)
{
    const struct hn_node_r *up[DEPTH + 1];
    int depth = 0;
    for (const struct hn_node_r *n = root; n;) {
        if (figures && !is_figure(n)) {
            n = depth ? n->next : NULL;
        } else if (n->kind == OBJECT || n->kind == ARRAY) {
            if (n->kind == OBJECT) hn_json_object(j, n->key);
            if (n->kind == ARRAY) hn_json_array(j, n->key);
            up[depth++] = n;
            n = n->first;
        } else {
            put_scalar(j, n);
            n = depth ? n->next : NULL;
        }
        while (!n && depth) {
            hn_json_close(j);
            n = up[--depth];
            n = depth ? n->next : NULL;
        }
    }
}

hone_status hn_result_write(const hone_result *r, int indent, struct hn_sink *s, hone_error *err)
{
    struct hn_json j;
    hn_json_begin(&j, s, indent, err);
    put_tree(&j, r->root, 0);
    return hn_json_end(&j);
}

hone_status hn_result_write_figures(const hone_result *r, const char *const *keys, size_t n_keys,
                                    struct hn_sink *s, hone_error *err)
{
    struct hn_json j;
    hn_json_begin(&j, s, 1, err);
    hn_json_object(&j, NULL);
    for (const struct hn_node_r *n = r->root->first; n; n = n->next)
        for (size_t i = 0; i < n_keys; i++)
            if (!strcmp(n->key, keys[i])) put_tree(&j, n, 1);
    hn_json_close(&j);
    HN_TRY(hn_json_end(&j));
    return hn_sink_str(s, "\n", err);
}

hone_status hone_result_json(const hone_result *r, int indent,
                             int (*write)(void *user, const void *p, size_t n), void *user,
                             hone_error *err)
{
    struct host_sink sink = { { write_to_host }, write, user };
    return hn_result_write(r, indent, &sink.sink, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The child that the first n characters of part name: a key of an object, an index of an array. */
static const struct hn_node_r *child(const struct hn_node_r *n, const char *part, size_t len)
{
    int64_t index = -1;
    if (n->kind == ARRAY && (!hn_parse_i64(part, len, &index) || index < 0)) return NULL;
    for (const struct hn_node_r *c = n->first; c; c = c->next) {
        if (n->kind == ARRAY ? index-- == 0
                             : c->key && strncmp(c->key, part, len) == 0 && c->key[len] == '\0')
            return c;
    }
    return NULL;
}

/* Keys may hold dots themselves ("hone.classes"): the longest key that fits wins. */
static const struct hn_node_r *find(const struct hn_node_r *n, const char *path)
{
    while (n && *path) {
        const struct hn_node_r *c = NULL;
        for (size_t len = strlen(path); len > 0; len--) {
            if (path[len] != '\0' && path[len] != '.') continue;
            if (!(c = child(n, path, len))) continue;
            path += len;
            break;
        }
        n = c;
        if (*path == '.') path++;
    }
    return n;
}

int hone_result_number(const hone_result *r, const char *path, double *out)
{
    const struct hn_node_r *n = find(r->root, path);
    if (!n || (n->kind != INT && n->kind != DOUBLE && n->kind != BOOL)) return 0;
    *out = n->kind == DOUBLE ? n->d : (double)n->i;
    return 1;
}

const char *hone_result_text(const hone_result *r, const char *path)
{
    const struct hn_node_r *n = find(r->root, path);
    return n && n->kind == STRING ? n->s : NULL;
}
