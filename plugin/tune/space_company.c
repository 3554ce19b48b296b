/* SPDX-License-Identifier: MIT
 *
 * Axes beside what other options say (plugin/train/company.c): one that means nothing next to a fixed option is refused, as
 * hone train refuses the option. Where the option it needs is searched, too, the axis counts only where that has one of the
 * values it needs: the condition is added, unless the axis names that option in conditions of its own.
 *
 *     optimizer=adam,momentum  momentum=0.5..0.9     momentum=0.5..0.9?optimizer=momentum */
#include "hone.h"
#include "ops/base/format.h"
#include "ops/base/io.h"
#include "ops/base/json.h"
#include "plugin/train/options.h"
#include "plugin/tune/space_text.h"
#include "plugin/tune/study_open.h"
#include <string.h>

enum { NAME = 32, MOST_LEVELS = 64 }; /* of a list of values that somebody reads */

struct need {
    const struct hn_axis *up; /* the axis of the option that is needed */
    const char *words;        /* "a|b": its values that will do; NULL: any but 0 */
};

static int is_searched(void *space, const char *name) { return hn_space_find(space, name) >= 0; }

static int will_do(const struct need *n, const char *value)
{
    const size_t len = strlen(value);
    double v;
    if (!n->words) return !hn_parse_double(value, len, &v) || v != 0;
    for (const char *w = n->words; *w;) {
        const size_t k = strcspn(w, "|");
        if (k == len && !memcmp(w, value, len)) return 1;
        w += k + (w[k] == '|');
    }
    return 0;
}

/* What the option of that row needs of an axis; 0: nothing, or of none. */
static int find_need(const struct hn_search_space *s, const hone_param_info *row, struct need *out)
{
    const char *needs = row->when[0] ? row->when : hn_options_needs(row->name);
    const size_t n = needs ? strcspn(needs, "=|") : 0;
    char other[NAME];
    if (!n || n >= NAME || needs[n] == '|') return 0;
    memcpy(other, needs, n);
    other[n] = '\0';
    const int at = hn_space_find(s, other);
    if (at < 0) return 0;
    *out = (struct need){ &s->axes[at], needs[n] ? needs + n + 1 : NULL };
    return 1;
}

/* ---- what the user wrote ------------------------------------------------------------------------------------------------- */

/* Do the values [p, &) of a condition on n's axis hold one that will do? -1: out of memory. */
static int has_value(struct hn_arena *arena, const struct need *n, const char *p)
{
    for (;;) {
        const char *bar = hn_text_find(p, "|&");
        int quoted;
        const char *text = hn_text_plain(arena, p, bar, &quoted);
        if (!text) return -1;
        if (will_do(n, text)) return 1;
        if (*bar != '|') return 0;
        p = bar + 1;
    }
}

/* Its own condition on the axis that it needs: *found, and whether a value of it will do. */
static hone_status own_condition(struct hn_search_space *s, const struct hn_axis *a,
                                 const struct need *n, int *found, int *good, hone_error *err)
{
    *found = *good = 0;
    for (const char *p = a->conditions; *p;) {
        const char *end = hn_text_find(p, "&"), *eq = hn_text_find(p, "=&");
        int quoted, has = 0;
        const char *name = hn_text_plain(&s->arena, p, eq, &quoted);
        const int at = name ? hn_space_find(s, name) : -1;
        const int same = *eq == '=' && at >= 0 && &s->axes[at] == n->up;
        if (same) has = has_value(&s->arena, n, eq + 1);
        if (!name || has < 0) return hn_nomem(err, "the conditions of a space", 1);
        *found |= same, *good |= has;
        p = *end ? end + 1 : end;
    }
    return HONE_OK;
}

/* ---- what is added --------------------------------------------------------------------------------------------------------- */

static hone_status refuse(const struct hn_axis *a, const char *text, hone_error *err)
{
    return hn_hint(err, hn_fail(err, HONE_E_USAGE, a->place, "%s: %s", a->name, text),
                   "take it out of the space, or search what it depends on");
}

static hone_status never(const struct hn_axis *a, const struct need *n, const hone_param_info *row,
                         hone_error *err)
{
    char has[HN_AXIS_VALUES], text[2 * HN_AXIS_VALUES];
    hn_print(text, sizeof text, "means nothing with --%s %s, wanted --%s", n->up->name,
             hn_axis_values(n->up, has), row->when[0] ? row->when : hn_options_needs(row->name));
    return refuse(a, text, err);
}

/* "optimizer=momentum|nesterov": the levels of the axis that will do, of how many. */
static hone_status levels(const struct need *n, struct hn_buffer *out, int64_t *good,
                          hone_error *err)
{
    const int64_t all = hn_axis_levels(n->up);
    char text[32];
    *good = 0;
    for (int64_t i = 0; i < all; i++) {
        const char *value = hn_axis_text(n->up, hn_axis_level(n->up, i), text);
        if (!will_do(n, value)) continue;
        HN_TRY(hn_sink_printf(&out->sink, err, "%s%s%s", *good ? "|" : n->up->name,
                              *good ? "" : "=", value));
        ++*good;
    }
    return HONE_OK;
}

static hone_status add(struct hn_search_space *s, struct hn_axis *a, const char *when,
                       hone_error *err)
{
    a->conditions =
        hn_arena_printf(&s->arena, "%s%s%s", a->conditions, *a->conditions ? "&" : "", when);
    if (!a->conditions) return hn_nomem(err, "the conditions of a space", strlen(when));
    a->implied++;
    return HONE_OK;
}

/* An axis that goes on without gaps is one of something that is never 0, or hardly ever. */
static hone_status link_axis(struct hn_search_space *s, struct hn_axis *a, const struct need *n,
                             const hone_param_info *row, hone_error *err)
{
    const int64_t all = hn_axis_levels(n->up);
    struct hn_buffer when;
    int64_t good;
    int own, own_good;
    HN_TRY(own_condition(s, a, n, &own, &own_good, err));
    if (own) return own_good ? HONE_OK : never(a, n, row, err);
    if (n->up == a || n->up->kind == HN_AXIS_FLOAT || all > MOST_LEVELS) return HONE_OK;
    hn_buffer_init(&when, s->arena.mem);
    hone_status st = levels(n, &when, &good, err);
    if (st == HONE_OK && !good) st = never(a, n, row, err);
    if (st == HONE_OK && good < all) st = add(s, a, when.p, err);
    hn_buffer_free(&when);
    return st;
}

hone_status hn_space_company(struct hn_search_space *s, const hone_params *p, int listed,
                             hone_error *err)
{
    const struct hn_options_open open = { is_searched, s };
    hone_param_info row = { .size = sizeof row };
    for (size_t k = 0; hone_param_at(k, &row); k++) {
        const int at = hn_space_find(s, row.name);
        hone_error why = { 0 };
        struct need need;
        if (at < 0) continue;
        if (hn_options_needed(p, &row, &open, &why) != HONE_OK)
            return refuse(&s->axes[at], why.text, err);
        if (!listed && find_need(s, &row, &need))
            HN_TRY(link_axis(s, &s->axes[at], &need, &row, err));
    }
    return HONE_OK;
}
