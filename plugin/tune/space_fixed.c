/* SPDX-License-Identifier: MIT
 *
 * Conditions on what is not searched: "momentum=0.5..0.99?optimizer=momentum" with a fixed optimizer. A condition that holds is
 * taken away; an axis with one that does not hold would never be searched, and is refused. */
#include "ops/base/io.h"
#include "ops/base/json.h"
#include "plugin/tune/space_text.h"
#include <string.h>

struct fixed {
    struct hn_search_space *s;
    const char *(*get)(void *user, const char *name);
    void *user;
};

static int same_value(const char *a, const char *b)
{
    double x, y;
    if (!strcmp(a, b)) return 1;
    return hn_parse_double(a, strlen(a), &x) && hn_parse_double(b, strlen(b), &y) && x == y;
}

/* Is `value` in the list [p, end) of values? -1: out of memory. */
static int lists(struct fixed *f, const char *p, const char *end, const char *value)
{
    while (p <= end) {
        const char *bar = hn_text_find(p, "|&");
        int quoted;
        char *text = hn_text_plain(&f->s->arena, p, bar, &quoted);
        if (!text) return -1;
        if (same_value(text, value)) return 1;
        p = bar + 1;
    }
    return 0;
}

/* Condition [p, end) of axis a: *keep 0 when it holds. */
static hone_status judge(struct fixed *f, const struct hn_axis *a, const char *p, const char *end,
                         int *keep, hone_error *err)
{
    const char *eq = hn_text_find(p, "=&"), *value;
    int quoted;
    char *name = hn_text_plain(&f->s->arena, p, eq, &quoted);
    *keep = 1;
    if (!name) return hn_nomem(err, "the conditions of a space", 1);
    if (*eq != '=' || hn_space_find(f->s, name) >= 0) return HONE_OK;
    value = f->get(f->user, name);
    if (!value) return HONE_OK;
    int found = lists(f, eq + 1, end, value);
    if (found < 0) return hn_nomem(err, "the conditions of a space", 1);
    *keep = 0;
    if (found) return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, a->place,
                           "%s is never searched: it wants %.*s, but %s is %s, and is not searched",
                           a->name, (int)(end - p), p, name, value[0] ? value : "not set"),
                   "take it out of the space, or search what it depends on");
}

/* The conditions of axis a without those that hold. */
static hone_status thin(struct fixed *f, struct hn_axis *a, hone_error *err)
{
    struct hn_buffer left;
    hone_status st = HONE_OK;
    if (!*a->conditions) return HONE_OK;
    hn_buffer_init(&left, f->s->arena.mem);
    for (const char *p = a->conditions; st == HONE_OK;) {
        const char *end = hn_text_find(p, "&");
        int keep;
        st = judge(f, a, p, end, &keep, err);
        if (st == HONE_OK && keep)
            st = hn_sink_printf(&left.sink, err, "%s%.*s", left.n ? "&" : "", (int)(end - p), p);
        if (!*end) break;
        p = end + 1;
    }
    if (st == HONE_OK) {
        a->conditions = hn_arena_strdup(&f->s->arena, left.n ? left.p : "");
        if (!a->conditions) st = hn_nomem(err, "the conditions of a space", left.n);
    }
    hn_buffer_free(&left);
    return st;
}

hone_status hn_space_fix(struct hn_search_space *s,
                         const char *(*get)(void *user, const char *name), void *user,
                         hone_error *err)
{
    struct fixed f = { .s = s, .get = get, .user = user };
    for (int i = 0; i < s->n; i++) HN_TRY(thin(&f, &s->axes[i], err));
    return HONE_OK;
}
