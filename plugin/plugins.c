/* SPDX-License-Identifier: MIT
 *
 * Loading plug-ins: a file that was named, its hash, its one symbol, its descriptor looked at before anything of it is
 * called. See hone_plugin.h for what they may rely on. */
#include "plugin/plugins.h"
#include "ops/base/status.h"
#include <ctype.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    HASH_TEXT = 32,
    MAGIC_MAX = 64,
    WORD_MAX = 128,
    EXTENSION_MAX = 32,
    READERS_MAX = 256,
    OPS_MAX = 256
};

/* ---- what a plug-in is handed ---------------------------------------------------------------------------------------- */

static void *host_alloc(const hone_host *host, size_t bytes)
{
    struct hn_plugin *p = host->own;
    if (p->in_init && p->ctx->plugin_fail_at && !--p->ctx->plugin_fail_at) return NULL;
    if (p->fail_at && atomic_fetch_add(&p->calls, 1) + 1 == p->fail_at) return NULL;
    void *block = hn_alloc(&p->ctx->mem, bytes);
    if (block) atomic_fetch_add(&p->live, 1);
    return block;
}

static void host_release(const hone_host *host, void *block)
{
    struct hn_plugin *p = host->own;
    if (!block) return;
    atomic_fetch_sub(&p->live, 1);
    hn_free(&p->ctx->mem, block);
}

static void host_log(const hone_host *host, int level, const char *text)
{
    struct hn_plugin *p = host->own;
    hn_log(p->ctx, level > 0 ? HONE_LOG_WARNING : HONE_LOG_NOTE, "%s: %s", p->full.id,
           text ? text : "");
}

/* A word of letters, digits and .-_ */
static int is_word(const char *s)
{
    if (!s) return 0;
    size_t n = strnlen(s, WORD_MAX);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr(".-_", s[i])) return 0;
    return n > 0 && n < WORD_MAX;
}

static const char *why_not_reader(const hone_reader *r)
{
    if (!is_word(r->name)) return "has no name of letters, digits and .-_";
    if (!r->open || !r->read || !r->close) return "lacks open, read or close (NULL)";
    if (r->magic_size > MAGIC_MAX) return "has a magic of more than 64 bytes";
    if (r->magic_size && !r->magic) return "has a magic at NULL";
    if (!r->magic_size && (!r->extensions || !r->extensions[0]))
        return "claims no file: neither a magic nor an extension";
    for (const char *const *e = r->extensions; e && *e; e++)
        if (**e != '.' || !is_word(*e) || strnlen(*e, EXTENSION_MAX) == EXTENSION_MAX)
            return "has an extension that is not like \".xyz\"";
    return NULL;
}

static hone_status add_reader(const hone_host *host, const hone_reader *r, hone_error *err)
{
    struct hn_plugin *p = host->own;
    if (!p->in_init)
        return hn_fail(err, HONE_E_USAGE, p->path, "adds a reader after init has returned");
    if (!r) return hn_fail(err, HONE_E_USAGE, p->path, "adds a reader at NULL");
    if (r->size < sizeof *r)
        return hn_fail(err, HONE_E_USAGE, p->path,
                       "reader %zu (from 0): its struct has %zu bytes, wanted at least %zu",
                       p->n_readers, r->size, sizeof *r);
    const char *why = p->n_readers == READERS_MAX ? "is one too many" : why_not_reader(r);
    if (why)
        return hn_fail(err, HONE_E_USAGE, p->path, "reader %zu (from 0) %s", p->n_readers, why);
    struct hn_foreign *f = hn_calloc(&p->ctx->mem, 1, sizeof *f), **end = &p->readers;
    if (!f) return hn_nomem(err, "a reader", sizeof *f);
    *f = (struct hn_foreign){ .reader = r, .host = host, .plugin = p->full.id };
    while (*end) end = &(*end)->next;
    *end = f;
    p->n_readers++;
    return HONE_OK;
}

static int is_ours(const char *domain)
{
    return !strncmp(domain, "ai.onnx", 7) || !strncmp(domain, "com.microsoft", 13);
}

static const char *why_not_op(const hone_op *o)
{
    size_t n = 0;
    if (!is_word(o->domain) || !is_word(o->type))
        return "has no domain and type of letters, digits and .-_";
    if (is_ours(o->domain)) return "is of a domain that is not the plug-in's";
    if (o->since < 1) return "has no version of its domain from which it is there";
    if (!o->forward64 || !o->backward64) return "lacks forward64 or backward64 (NULL)";
    if (!o->forward32 != !o->backward32) return "has one of forward32 and backward32 alone";
    while (o->attributes && n <= HN_CUSTOM_ATTRS && o->attributes[n]) n++;
    if (n > HN_CUSTOM_ATTRS) return "has more than 8 attributes";
    if (n && !o->defaults) return "has attributes without defaults (NULL)";
    for (size_t i = 0; i < n; i++)
        if (!is_word(o->attributes[i])) return "has an attribute without a name";
    return NULL;
}

/* The first attribute that another one before it is called like, or NULL. */
static const char *attribute_twice(const hone_op *o)
{
    for (size_t i = 0; o->attributes && o->attributes[i]; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(o->attributes[i], o->attributes[j])) return o->attributes[i];
    return NULL;
}

static int is_there(const struct hn_custom_op *list, const hone_op *o)
{
    for (; list; list = list->next)
        if (!strcmp(list->domain, o->domain) && !strcmp(list->type, o->type)) return 1;
    return 0;
}

static hone_status add_op(const hone_host *host, const hone_op *o, hone_error *err)
{
    struct hn_plugin *p = host->own;
    if (!p->in_init)
        return hn_fail(err, HONE_E_USAGE, p->path, "adds an operator after init has returned");
    if (!o) return hn_fail(err, HONE_E_USAGE, p->path, "adds an operator at NULL");
    if (o->size < sizeof *o)
        return hn_fail(err, HONE_E_USAGE, p->path,
                       "operator %zu (from 0): its struct has %zu bytes, wanted at least %zu",
                       p->n_ops, o->size, sizeof *o);
    const char *why = p->n_ops == OPS_MAX ? "is one too many" : why_not_op(o);
    if (!why && (is_there(p->ops, o) || is_there(p->ctx->ops, o))) why = "is there already";
    if (why) return hn_fail(err, HONE_E_USAGE, p->path, "operator %zu (from 0) %s", p->n_ops, why);
    const char *twice = attribute_twice(o);
    if (twice)
        return hn_fail(err, HONE_E_USAGE, p->path, "operator %s.%s has two attributes called '%s'",
                       o->domain, o->type, twice);
    struct hn_custom_op *c = hn_calloc(&p->ctx->mem, 1, sizeof *c), **end = &p->ops;
    if (!c) return hn_nomem(err, "an operator", sizeof *c);
    *c = (struct hn_custom_op){ .domain = o->domain,
                                .type = o->type,
                                .since = o->since,
                                .f = { o->forward64, o->backward64, o->forward32, o->backward32 } };
    for (; o->attributes && o->attributes[c->n_attrs]; c->n_attrs++) {
        c->attr[c->n_attrs] = o->attributes[c->n_attrs];
        c->dflt[c->n_attrs] = o->defaults[c->n_attrs];
    }
    while (*end) end = &(*end)->next;
    *end = c;
    p->n_ops++;
    return HONE_OK;
}

static const void *get_interface(const hone_host *host, const char *name)
{
    static const hone_reader_interface readers = { sizeof readers, add_reader };
    static const hone_op_interface ops = { sizeof ops, add_op };
    (void)host;
    if (name && !strcmp(name, "hone.op/1")) return &ops;
    return name && !strcmp(name, "hone.reader/1") ? &readers : NULL;
}

/* ---- a file ---------------------------------------------------------------------------------------------------------- */

/* "FILE.so@HASH" in its parts; the hash, NULL where none is asked for. */
static const char *split_item(const char *item, size_t *n)
{
    const char *at = strrchr(item, '@');
    *n = strlen(item);
    if (!at || strlen(at + 1) != HASH_TEXT) return NULL;
    if (strspn(at + 1, "0123456789abcdef") != HASH_TEXT) return NULL;
    *n = (size_t)(at - item);
    return at + 1;
}

static hone_status hash_file(struct hn_plugin *p, hone_error *err)
{
    struct hn_file f;
    XXH128_canonical_t hash;
    HN_TRY(hn_file_open(&f, p->ctx->io, &p->ctx->mem, p->path, 0, err));
    XXH128_canonicalFromHash(&hash, XXH3_128bits(f.p, f.n));
    hn_file_close(&f);
    hn_hash_text(hash.digest, p->hash);
    return HONE_OK;
}

static hone_status check_hash(const struct hn_plugin *p, const char *wanted, hone_error *err)
{
    if (!wanted || !strcmp(p->hash, wanted)) return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, p->path,
                           "the plug-in is another one than before: its hash is %s, wanted %s",
                           p->hash, wanted),
                   "--plugin %s takes it as it is now", p->path);
}

/* The descriptor, and how many bytes the file has for it. */
static const hone_plugin *find_symbol(void *so, size_t *room)
{
    void *symbol = dlsym(so, HONE_PLUGIN_SYMBOL), *extra = NULL;
    Dl_info info;
    *room = 0;
    if (symbol && dladdr1(symbol, &info, &extra, RTLD_DL_SYMENT) && extra &&
        info.dli_saddr == symbol)
        *room = (size_t)((const ElfW(Sym) *)extra)->st_size;
    return symbol;
}

/* A plug-in for another major version has another symbol. */
static hone_status no_symbol(const struct hn_plugin *p, hone_error *err)
{
    char name[32];
    for (int major = 2; major < 100; major++) {
        (void)snprintf(name, sizeof name, "hone_plugin_v%d", major);
        if (dlsym(p->so, name))
            return hn_fail(err, HONE_E_USAGE, p->path,
                           "is built for plug-in ABI %d, this Hone (%s) has %d.%d", major,
                           HN_VERSION, HONE_PLUGIN_MAJOR, HONE_PLUGIN_MINOR);
    }
    return hn_fail(err, HONE_E_USAGE, p->path,
                   "is no plug-in of Hone: it has no symbol " HONE_PLUGIN_SYMBOL);
}

static hone_status check_descriptor(struct hn_plugin *p, hone_error *err)
{
    size_t room, least = sizeof(hone_plugin);
    const hone_plugin *d = p->desc = find_symbol(p->so, &room);
    if (!d) return no_symbol(p, err);
    if (room && room < sizeof d->size + 2 * sizeof d->abi_major)
        return hn_fail(err, HONE_E_USAGE, p->path,
                       HONE_PLUGIN_SYMBOL " has %zu bytes, wanted %zu: it is no hone_plugin", room,
                       least);
    if (d->abi_major != HONE_PLUGIN_MAJOR)
        return hn_fail(err, HONE_E_USAGE, p->path,
                       "is built for plug-in ABI %u.%u, this Hone (%s) has %d.%d", d->abi_major,
                       d->abi_minor, HN_VERSION, HONE_PLUGIN_MAJOR, HONE_PLUGIN_MINOR);
    if (d->size < least || (room && room < d->size))
        return hn_fail(err, HONE_E_USAGE, p->path,
                       "its hone_plugin says it has %zu bytes, the file has %zu, wanted at least "
                       "%zu",
                       d->size, room, least);
    p->full = *d;
    if (!is_word(d->id))
        return hn_fail(err, HONE_E_USAGE, p->path, "has no id of letters, digits and .-_");
    if (!is_word(d->version))
        return hn_fail(err, HONE_E_USAGE, p->path, "plug-in '%s' has no version", d->id);
    if (!d->license || strnlen(d->license, WORD_MAX) == WORD_MAX)
        return hn_fail(err, HONE_E_USAGE, p->path, "plug-in '%s' does not say its licence", d->id);
    if (!d->init)
        return hn_fail(err, HONE_E_USAGE, p->path, "plug-in '%s' has no init (NULL)", d->id);
    return HONE_OK;
}

static void told(const struct hn_plugin *p, const char *call)
{
    if (p->ctx->plugin_called) p->ctx->plugin_called(p->ctx->plugin_called_user, call);
}

static hone_status call_init(struct hn_plugin *p, hone_error *err)
{
    hone_error e = { .code = HONE_OK };
    p->in_init = 1;
    hone_status st = p->desc->init(&p->host, &p->state, &e);
    p->in_init = 0;
    told(p, "init");
    if (st == HONE_OK) return HONE_OK;
    e.where[sizeof e.where - 1] = e.text[sizeof e.text - 1] = '\0';
    p->desc = NULL; /* there is nothing to undo */
    if (!hn_is_status(st) || !e.text[0])
        return hn_fail(err, HONE_E_USAGE, p->path,
                       "plug-in '%s' failed in init without a reason (%d)", p->full.id, (int)st);
    return hn_fail(err, st, e.where[0] ? e.where : p->path, "%s", e.text);
}

static hone_status load(struct hn_plugin *p, const char *wanted, hone_error *err)
{
    if (!strchr(p->path, '/'))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "plugin",
                               "found '%s', wanted a path with a '/': nothing is searched for",
                               p->path),
                       "./%s is the file in this folder", p->path);
    hone_status st = hash_file(p, err);
    if (st != HONE_OK && wanted)
        return hn_hint(err, st, "a run was started with this plug-in; --plugin says where it is");
    HN_TRY(st);
    HN_TRY(check_hash(p, wanted, err));
    p->so = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
    told(p, "loading the file");
    if (!p->so) {
        const char *why = dlerror();
        return hn_fail(err, HONE_E_USAGE, p->path, "cannot be loaded: %s", why ? why : "unknown");
    }
    HN_TRY(check_descriptor(p, err));
    return call_init(p, err);
}

static void unload(struct hn_plugin *p)
{
    struct hn_mem *m = &p->ctx->mem;
    if (p->desc && p->full.deinit) p->full.deinit(p->state);
    told(p, "deinit");
    for (; p->n_readers; p->n_readers--) { /* the next plug-in's follow */
        struct hn_foreign *next = p->readers->next;
        hn_free(m, p->readers);
        p->readers = next;
    }
    for (; p->n_ops; p->n_ops--) {
        struct hn_custom_op *next = p->ops->next;
        hn_free(m, p->ops);
        p->ops = next;
    }
    if (p->so) dlclose(p->so);
    told(p, "unloading the file");
    hn_free(m, p->path);
    hn_free(m, p);
}

/* ---- those of a context ---------------------------------------------------------------------------------------------- */

const struct hn_plugin *hn_plugin_find(const hone_context *ctx, const char *item)
{
    size_t n;
    split_item(item, &n);
    for (const struct hn_plugin *p = ctx->plugins; p; p = p->next)
        if (strlen(p->path) == n && !memcmp(p->path, item, n)) return p;
    return NULL;
}

/* The readers of all plug-ins are one list, and so are their operators, made anew when one more is there. */
static void link_all(hone_context *ctx)
{
    struct hn_custom_op **last = &ctx->ops;
    *last = NULL;
    struct hn_foreign **end = &ctx->readers;
    *end = NULL;
    for (struct hn_plugin *p = ctx->plugins; p; p = p->next) {
        *end = p->readers;
        for (size_t i = 0; i < p->n_readers; i++) end = &(*end)->next;
        *end = NULL;
        *last = p->ops;
        for (size_t i = 0; i < p->n_ops; i++) last = &(*last)->next;
        *last = NULL;
    }
}

static hone_status load_plugin(hone_context *ctx, const char *path, hone_error *err)
{
    size_t n;
    const char *wanted = split_item(path, &n);
    const struct hn_plugin *there = hn_plugin_find(ctx, path);
    if (there) return check_hash(there, wanted, err);
    struct hn_plugin *p = hn_calloc(&ctx->mem, 1, sizeof *p), **end = &ctx->plugins;
    char *copy = hn_alloc(&ctx->mem, n + 1);
    if (!p || !copy) {
        hn_free(&ctx->mem, p);
        hn_free(&ctx->mem, copy);
        return hn_nomem(err, "a plug-in", sizeof *p + n);
    }
    memcpy(copy, path, n);
    copy[n] = '\0';
    p->ctx = ctx;
    p->path = copy;
    p->host = (hone_host){
        sizeof p->host, HONE_PLUGIN_MAJOR, HONE_PLUGIN_MINOR, HN_VERSION, p,
        host_alloc,     host_release,      host_log,          hn_fail,    get_interface
    };
    atomic_init(&p->live, 0);
    hone_status st = load(p, wanted, err);
    if (st != HONE_OK) {
        unload(p);
        return st;
    }
    while (*end) end = &(*end)->next;
    *end = p;
    link_all(ctx);
    return HONE_OK;
}

hone_status hone_plugin_load(hone_context *ctx, const char *path, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, load_plugin(ctx, path, err), err);
}

hone_status hn_plugins_open(hone_context *ctx, const hone_params *p, hone_error *err)
{
    const char *item;
    for (size_t i = 0; (item = hone_params_get(p, "plugin", i)); i++)
        HN_TRY(hone_plugin_load(ctx, item, err));
    return HONE_OK;
}

void hn_plugins_close(hone_context *ctx)
{
    while (ctx->plugins) {
        struct hn_plugin **last = &ctx->plugins;
        while ((*last)->next) last = &(*last)->next;
        struct hn_plugin *p = *last;
        *last = NULL;
        unload(p);
    }
    ctx->readers = NULL;
    ctx->ops = NULL;
}

const char *hn_plugin_pinned(const hone_context *ctx, const char *item, char *buf)
{
    const struct hn_plugin *p = hn_plugin_find(ctx, item);
    if (!p) return item;
    int n = snprintf(buf, HN_PLUGIN_PINNED, "%s@%s", p->path, p->hash);
    return n > 0 && n < HN_PLUGIN_PINNED ? buf : item;
}

/* ---- told ------------------------------------------------------------------------------------------------------------ */

static void put_reader(hone_result *r, const hone_reader *reader)
{
    char magic[2 * MAGIC_MAX + 1] = "";
    for (size_t i = 0; i < reader->magic_size; i++)
        (void)snprintf(magic + 2 * i, 3, "%02x", ((const unsigned char *)reader->magic)[i]);
    hn_result_object(r, NULL);
    hn_result_string(r, "name", reader->name);
    hn_result_array(r, "extensions");
    for (const char *const *e = reader->extensions; e && *e; e++) hn_result_string(r, NULL, *e);
    hn_result_close(r);
    if (reader->magic_size) hn_result_string(r, "magic", magic);
    hn_result_close(r);
}

static void put_op(hone_result *r, const struct hn_custom_op *o)
{
    hn_result_object(r, NULL);
    hn_result_string(r, "domain", o->domain);
    hn_result_string(r, "type", o->type);
    hn_result_int(r, "since", o->since);
    hn_result_object(r, "attributes");
    for (int i = 0; i < o->n_attrs; i++) hn_result_double(r, o->attr[i], o->dflt[i]);
    hn_result_close(r);
    hn_result_bool(r, "float32", o->f.forward32 != NULL);
    hn_result_close(r);
}

void hn_plugins_result(hone_result *r, const hone_context *ctx)
{
    if (!ctx->plugins) return;
    hn_result_array(r, "plugins");
    for (const struct hn_plugin *p = ctx->plugins; p; p = p->next) {
        char abi[32];
        (void)snprintf(abi, sizeof abi, "%u.%u", p->full.abi_major, p->full.abi_minor);
        hn_result_object(r, NULL);
        hn_result_string(r, "path", p->path);
        hn_result_string(r, "hash", p->hash);
        hn_result_string(r, "id", p->full.id);
        hn_result_string(r, "version", p->full.version);
        hn_result_string(r, "license", p->full.license);
        hn_result_string(r, "abi", abi);
        hn_result_array(r, "readers");
        const struct hn_foreign *f = p->readers;
        for (size_t i = 0; i < p->n_readers; i++, f = f->next) put_reader(r, f->reader);
        hn_result_close(r);
        hn_result_array(r, "ops");
        const struct hn_custom_op *o = p->ops;
        for (size_t i = 0; i < p->n_ops; i++, o = o->next) put_op(r, o);
        hn_result_close(r);
        hn_result_close(r);
    }
    hn_result_close(r);
}

void hn_plugins_json(struct hn_json *j, const hone_context *ctx)
{
    if (!ctx->plugins) return;
    hn_json_array(j, "plugins");
    for (const struct hn_plugin *p = ctx->plugins; p; p = p->next) {
        hn_json_object(j, NULL);
        hn_json_string(j, "path", p->path);
        hn_json_string(j, "hash", p->hash);
        hn_json_string(j, "id", p->full.id);
        hn_json_string(j, "version", p->full.version);
        hn_json_close(j);
    }
    hn_json_close(j);
}

static hone_status list(hone_context *ctx, hone_result **out, hone_error *err)
{
    HN_TRY(hn_result_create(ctx, "hone.plugins/1", out, err));
    hn_plugins_result(*out, ctx);
    hone_status st = hn_result_done(*out, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

hone_status hone_plugin_list(hone_context *ctx, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, list(ctx, out, err), err);
}
