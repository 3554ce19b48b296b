/* SPDX-License-Identifier: MIT
 *
 * The address of a study in a PostgreSQL database: libpq's connection URI with two more options,
 *
 *     postgresql://USER@HOST:PORT/DATABASE?hone_study=NAME&hone_wait=SECONDS&sslmode=require
 *
 * taken apart into what libpq gets and what people may see. A password in it leaves this file in hn_uri.libpq only; nothing
 * that libpq says about an address it cannot read is passed on, because it would quote it. */
#include "ops/base/json.h"
#include "plugin/tune/store.h"
#include <string.h>

static const char *const schemes[] = { "postgresql://", "postgres://" };

static const char *behind_scheme(const char *where)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (!strncmp(where, schemes[i], strlen(schemes[i]))) return where + strlen(schemes[i]);
    return NULL;
}

int hn_store_is_uri(const char *where) { return behind_scheme(where) != NULL; }

static hone_status bad(hone_error *err, const char *what)
{
    hone_status st = hn_fail(err, HONE_E_USAGE, "study", "%s", what);
    return hn_hint(
        err, st,
        "postgresql://USER@HOST:PORT/DATABASE?hone_study=NAME; in user and password write "
        "%%2F for /, %%3F for ?, %%23 for #, %%40 for @, or keep the password in "
        "~/.pgpass");
}

/* "USER:PASSWORD@HOST" without ":PASSWORD"; n bytes. */
static char *without_password(struct hn_arena *a, const char *p, size_t n)
{
    const char *at = NULL, *colon = memchr(p, ':', n);
    for (size_t i = 0; i < n; i++)
        if (p[i] == '@') at = p + i;
    if (!at || !colon || colon > at) return hn_arena_strndup(a, p, n);
    return hn_arena_printf(a, "%.*s%.*s", (int)(colon - p), p, (int)(p + n - at), at);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %41 is A; NULL: out of memory. What cannot be read stays as it is, to be refused. */
static char *decode(struct hn_arena *a, const char *p, size_t n)
{
    char *out = hn_arena_strndup(a, p, n), *to = out;
    for (const char *c = out; c && *c; c++) {
        int high = *c == '%' ? hex(c[1]) : -1, low = high >= 0 ? hex(c[2]) : -1;
        *to++ = low >= 0 ? (char)(high * 16 + low) : *c;
        if (low >= 0) c += 2;
    }
    if (to) *to = '\0';
    return out;
}

/* Names are schemas, too, which are 63 bytes at most. */
static int good_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return n > 0 && n <= 50 && !s[n];
}

/* One "key=value" of the query; *ours 1: it is not for libpq. */
static hone_status option(struct hn_arena *a, const char *p, size_t n, struct hn_uri *u, int *ours,
                          hone_error *err)
{
    static const char study[] = "hone_study=", wait[] = "hone_wait=";
    *ours = n >= 5 && !strncmp(p, "hone_", 5);
    if (n >= strlen(study) && !strncmp(p, study, strlen(study))) {
        u->name = decode(a, p + strlen(study), n - strlen(study));
        if (!u->name) return hn_nomem(err, "the study's name", n);
        if (good_name(u->name)) return HONE_OK;
        return hn_fail(err, HONE_E_USAGE, "study",
                       "hone_study: found '%s', wanted 1 to 50 letters, digits, '_', '-', '.'",
                       u->name);
    }
    if (n >= strlen(wait) && !strncmp(p, wait, strlen(wait))) {
        size_t k = strlen(wait);
        if (hn_parse_i64(p + k, n - k, &u->wait_s) && u->wait_s >= 0 && u->wait_s <= 86400)
            return HONE_OK;
        return hn_fail(err, HONE_E_USAGE, "study", "hone_wait: wanted 0 to 86400 seconds");
    }
    if (*ours)
        return bad(
            err,
            "an option of the address begins with hone_ and is neither hone_study nor hone_wait");
    return HONE_OK;
}

/* The options behind '?': ours are read, the others are added to the address for libpq. */
static hone_status read_query(struct hn_arena *a, const char *p, struct hn_uri *u, hone_error *err)
{
    char sign = '?';
    while (p && *p) {
        size_t n = strcspn(p, "&");
        int ours;
        HN_TRY(option(a, p, n, u, &ours, err));
        if (!ours && n) {
            u->libpq = hn_arena_printf(a, "%s%c%.*s", u->libpq, sign, (int)n, p);
            if (!u->libpq) return hn_nomem(err, "the study's address", n);
            sign = '&';
        }
        p += n + (p[n] == '&');
    }
    return HONE_OK;
}

hone_status hn_uri_read(struct hn_arena *a, const char *where, struct hn_uri *u, hone_error *err)
{
    const char *p = behind_scheme(where);
    *u = (struct hn_uri){ .wait_s = 600 };
    if (!p) return bad(err, "the address is no connection URI");
    size_t host = strcspn(p, "/?#"), path = strcspn(p, "?#");
    const char *query = p[path] == '?' ? p + path + 1 : NULL;
    /* A password with such a byte in it would be taken for a part of the host or the database, and shown. */
    if (p[path] == '#' || memchr(p + host, '@', path - host) || (query && strchr(query, '@')) ||
        strcspn(p, "\r\n\t ") != strlen(p))
        return bad(err, "the address has a byte that must be written with %");
    u->name = hn_arena_strdup(a, "study");
    u->libpq = hn_arena_strndup(a, where, (size_t)(p + path - where));
    if (!u->name || !u->libpq) return hn_nomem(err, "the study's address", strlen(where));
    HN_TRY(read_query(a, query, u, err));
    const char *open = without_password(a, p, host);
    u->schema = hn_arena_printf(a, "hone_%s", u->name);
    u->shown = open ? hn_arena_printf(a, "postgresql://%s%.*s?hone_study=%s", open,
                                      (int)(path - host), p + host, u->name)
                    : NULL;
    return u->schema && u->shown ? HONE_OK : hn_nomem(err, "the study's address", strlen(where));
}

const char *hn_store_shown(struct hn_arena *a, const char *where)
{
    struct hn_uri u;
    if (!hn_store_is_uri(where)) return hn_arena_strdup(a, where);
    hone_status st = hn_uri_read(a, where, &u, NULL);
    if (st == HONE_OK) return u.shown;
    return st == HONE_E_NOMEM ? NULL : hn_arena_strdup(a, "postgresql://…");
}
