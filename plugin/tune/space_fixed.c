/* SPDX-License-Identifier: MIT
 *
 * Conditions on what is not searched: "momentum=0.5..0.99?optimizer=momentum" with a fixed optimizer. A condition that holds is
 * taken away; an axis with one that does not hold leaves the space, and so do the axes that depend on it. */
#include "ops/base/io.h"
#include "ops/base/json.h"
#include "plugin/tune/space_text.h"
#include <string.h>

struct fixed {
    struct hn_search_space *s;
    const char *(*get)(void *user, const char *name);
    void *user;
    const char *gone[HN_SPACE_AXES]; /* names of axes that left */
    int n_gone, changed;
};

static int is_gone(const struct fixed *f, const char *name)
{
    for (int i = 0; i < f->n_gone; i++)
        if (!strcmp(f->gone[i], name)) return 1;
    return 0;
}

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

enum verdict { KEEP, HOLDS, FAILS, NO_MEMORY };

static enum verdict judge(struct fixed *f, const char *p, const char *end)
{
    const char *eq = hn_text_find(p, "=&"), *value;
    int quoted;
    char *name = hn_text_plain(&f->s->arena, p, eq, &quoted);
    if (!name) return NO_MEMORY;
    if (is_gone(f, name)) return FAILS;
    if (*eq != '=' || hn_space_find(f->s, name) >= 0) return KEEP;
    value = f->get(f->user, name);
    if (!value) return KEEP;
    int found = lists(f, eq + 1, end, value);
    return found < 0 ? NO_MEMORY : found ? HOLDS : FAILS;
}

/* The conditions of axis a without those that hold; *fails 1: one does not. */
static hone_status thin(struct fixed *f, struct hn_axis *a, int *fails, hone_error *err)
{
    struct hn_buffer left;
    hone_status st = HONE_OK;
    *fails = 0;
    if (!*a->conditions) return HONE_OK;
    hn_buffer_init(&left, f->s->arena.mem);
    for (const char *p = a->conditions; st == HONE_OK && !*fails;) {
        const char *end = hn_text_find(p, "&");
        enum verdict v = judge(f, p, end);
        if (v == NO_MEMORY) st = hn_nomem(err, "the conditions of a space", 1);
        if (v == FAILS) *fails = 1;
        if (v == KEEP)
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
    struct fixed f = { .s = s, .get = get, .user = user, .changed = 1 };
    while (f.changed) {
        f.changed = 0;
        for (int i = 0; i < s->n; i++) {
            int fails;
            HN_TRY(thin(&f, &s->axes[i], &fails, err));
            if (!fails) continue;
            f.gone[f.n_gone++] = s->axes[i].name;
            memmove(&s->axes[i], &s->axes[i + 1], (size_t)(s->n - i - 1) * sizeof *s->axes);
            s->n_added = (size_t)--s->n;
            f.changed = 1;
            i--;
        }
    }
    return HONE_OK;
}
