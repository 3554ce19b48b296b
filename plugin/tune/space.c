/* SPDX-License-Identifier: MIT
 *
 * Reading a search space: lines of text (the grammar is in space.h) become axes, conditions find their parents, and the whole
 * gets a canonical text by which two spaces are compared. */
#include "plugin/tune/space.h"
#include "ops/base/io.h"
#include "ops/base/json.h"
#include "plugin/tune/space_text.h"
#include <math.h>
#include <string.h>

enum { MAX_AXES = HN_SPACE_AXES, MAX_CHOICES = 4096, MAX_LEVELS = 4096, NUMBER = 32 };

void hn_space_init(struct hn_search_space *s, struct hn_mem *m)
{
    *s = (struct hn_search_space){ 0 };
    hn_arena_init(&s->arena, m);
}

void hn_space_clear(struct hn_search_space *s)
{
    if (!s->arena.mem) return;
    hn_free(s->arena.mem, s->axes);
    hn_arena_clear(&s->arena);
    *s = (struct hn_search_space){ 0 };
}

int hn_space_find(const struct hn_search_space *s, const char *name)
{
    for (int i = 0; i < s->n; i++) {
        const char *a = s->axes[i].name, *b = name;
        while (*a && (*a == *b || (*a == '-' && *b == '_') || (*a == '_' && *b == '-'))) a++, b++;
        if (*a == *b) return i;
    }
    return -1;
}

/* ---- pieces of a line ------------------------------------------------------------------------------------------- */

const char *hn_text_find(const char *p, const char *stops)
{
    int quoted = 0;
    for (; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && strchr(stops, *p))
            return p;
    }
    return p;
}

static int blank(char c) { return c == ' ' || c == '\t'; }

char *hn_text_plain(struct hn_arena *a, const char *p, const char *end, int *quoted)
{
    while (p < end && blank(*p)) p++;
    while (end > p && blank(end[-1]) && !(end - p >= 2 && end[-2] == '\\')) end--;
    *quoted = end - p >= 2 && *p == '"' && end[-1] == '"';
    if (*quoted) p++, end--;
    char *text = hn_arena_alloc(a, (size_t)(end - p) + 1, 1);
    size_t n = 0;
    if (!text) return NULL;
    for (; p < end; p++) {
        if (*p == '\\' && p + 1 < end) p++;
        text[n++] = *p;
    }
    text[n] = '\0';
    return text;
}

static int take(const char **p, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*p, prefix, n) != 0) return 0;
    *p += n;
    return 1;
}

static int number(const char *p, const char *end, double *out)
{
    while (p < end && blank(*p)) p++;
    while (end > p && blank(end[-1])) end--;
    return end > p && hn_parse_double(p, (size_t)(end - p), out);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static hone_status check_numbers(struct hn_axis *a, hone_error *err)
{
    if (!isfinite(a->low) || !isfinite(a->high))
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: bounds must be finite numbers", a->name);
    if (a->low > a->high)
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: low %g is above high %g", a->name, a->low,
                       a->high);
    if (a->log && !(a->low > 0))
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: a log scale needs low > 0, found low = %g",
                       a->name, a->low);
    if (a->kind == HN_AXIS_INT &&
        (a->low != floor(a->low) || a->high != floor(a->high) || a->step != floor(a->step) ||
         fabs(a->low) > HN_INT_MOST || fabs(a->high) > HN_INT_MOST))
        return hn_fail(err, HONE_E_USAGE, a->place,
                       "%s: int wants whole numbers, found %g..%g step %g", a->name, a->low,
                       a->high, a->step);
    if (a->step < 0 || !isfinite(a->step) || (a->step > 0 && a->step > a->high - a->low))
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: step %g does not fit into %g..%g", a->name,
                       a->step, a->low, a->high);
    if (a->log && a->step > 0 && !(a->kind == HN_AXIS_INT && a->step == 1))
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: log and step exclude each other", a->name);
    return HONE_OK;
}

static hone_status suffixes(struct hn_axis *a, const char *p, hone_error *err)
{
    while (*p == ':') {
        double v = 0;
        const char *end = hn_text_find(p + 1, ":");
        p++;
        while (blank(*p)) p++;
        if (take(&p, "step=") && number(p, end, &v) && v > 0)
            a->step = v;
        else if (take(&p, "points=") && number(p, end, &v) && v >= 1 && v <= 1e6 && v == floor(v))
            a->points = (int)v;
        else
            return hn_fail(err, HONE_E_USAGE, a->place,
                           "%s: found ':%.40s', wanted :step=S or :points=N", a->name, p);
        p = end;
    }
    return HONE_OK;
}

/* [int:|float:][log:]LOW..HIGH[:step=S][:points=N] */
static hone_status read_range(struct hn_axis *a, const char *p, hone_error *err)
{
    const char *dots = strstr(p, ".."), *end;
    if (dots && dots[2] == '.') dots++; /* "1...5" is 1. .. .5 or 1.. .5: the later pair */
    end = dots ? hn_text_find(dots + 2, ":") : NULL;
    if (!dots || !number(p, dots, &a->low) || !number(dots + 2, end, &a->high))
        return hn_fail(err, HONE_E_USAGE, a->place,
                       "%s: found '%.80s', wanted LOW..HIGH or choices A,B,C", a->name, p);
    HN_TRY(suffixes(a, end, err));
    HN_TRY(check_numbers(a, err));
    if (a->kind == HN_AXIS_INT && a->step == 0) a->step = 1;
    if (a->step > 0) a->high = hn_axis_level(a, hn_axis_levels(a) - 1);
    return HONE_OK;
}

/* ---- choices ------------------------------------------------------------------------------------------------------ */

static enum hn_choice_type type_of(const char *text, int quoted)
{
    int64_t i;
    double d;
    size_t n = strlen(text);
    if (quoted) return HN_CHOICE_TEXT;
    if (!strcmp(text, "true") || !strcmp(text, "false")) return HN_CHOICE_BOOL;
    if (hn_parse_i64(text, n, &i)) return HN_CHOICE_INT;
    if (strchr("+-.0123456789", text[0]) && hn_parse_double(text, n, &d) && isfinite(d))
        return HN_CHOICE_FLOAT;
    return HN_CHOICE_TEXT;
}

/* A space is kept and told as lines of text. */
static hone_status check_characters(const struct hn_axis *a, const char *text, int number,
                                    hone_error *err)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            return hn_fail(err, HONE_E_USAGE, a->place,
                           "%s: choice %d holds %s (behind '%.*s'), wanted text without tabs, line "
                           "breaks and control characters",
                           a->name, number,
                           *p == '\t'   ? "a tab"
                           : *p == '\n' ? "a line break"
                                        : "a control character",
                           (int)(p - text), text);
    return HONE_OK;
}

static hone_status read_choices(struct hn_search_space *s, struct hn_axis *a, const char *p,
                                int at_least, hone_error *err)
{
    size_t room = 1;
    for (const char *q = hn_text_find(p, ","); *q; q = hn_text_find(q + 1, ",")) room++;
    if (room > MAX_CHOICES)
        return hn_fail(err, HONE_E_BUDGET, a->place, "%s has %zu choices, at most %d are taken",
                       a->name, room, MAX_CHOICES);
    a->kind = HN_AXIS_CHOICE;
    a->choices = hn_arena_alloc(&s->arena, room, sizeof *a->choices);
    if (!a->choices) return hn_nomem(err, "the choices of a space", room);
    for (;;) {
        const char *end = hn_text_find(p, ",");
        int quoted;
        char *text = hn_text_plain(&s->arena, p, end, &quoted);
        if (!text) return hn_nomem(err, "a choice of a space", (size_t)(end - p));
        if (!*text && !quoted)
            return hn_fail(err, HONE_E_USAGE, a->place, "%s: choice %d is empty", a->name,
                           a->n_choices + 1);
        HN_TRY(check_characters(a, text, a->n_choices + 1, err));
        for (int i = 0; i < a->n_choices; i++)
            if (!strcmp(a->choices[i].text, text))
                return hn_fail(err, HONE_E_USAGE, a->place, "%s: the choice '%s' stands twice",
                               a->name, text);
        a->choices[a->n_choices++] = (struct hn_choice){ text, type_of(text, quoted) };
        if (!*end) break;
        p = end + 1;
    }
    if (a->n_choices < at_least)
        return hn_fail(err, HONE_E_USAGE, a->place,
                       "%s: found '%s', wanted LOW..HIGH, choices A,B,C, bool or choice:V", a->name,
                       a->choices[0].text);
    return HONE_OK;
}

static hone_status read_body(struct hn_search_space *s, struct hn_axis *a, const char *body,
                             hone_error *err)
{
    double v;
    const char *p = body, *dots = strstr(body, "..");
    int typed = 0;
    if (!strcmp(body, "bool")) return read_choices(s, a, "false,true", 2, err);
    if (take(&p, "choice:")) return read_choices(s, a, p, 1, err);
    for (;;) {
        if (take(&p, "int:"))
            a->kind = HN_AXIS_INT;
        else if (take(&p, "log:"))
            a->log = 1;
        else if (!take(&p, "float:"))
            break;
        typed = 1;
    }
    if (typed || (dots && number(p, dots, &v))) return read_range(a, p, err);
    return read_choices(s, a, body, 2, err);
}

/* ---- a line --------------------------------------------------------------------------------------------------------- */

static hone_status bad_name(const char *name, const char *place, hone_error *err)
{
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 32 || strchr(" ,;=?&|\"\\", *p))
            return hn_fail(err, HONE_E_USAGE, place,
                           "'%s' is no name: it must not hold blanks, quotes or , ; = ? & | \\",
                           name);
    return HONE_OK;
}

/* Does the line begin with a place, "FILE line N"? */
static int has_place(const char *line, const char *tab)
{
    static const char word[] = " line ";
    const char *p = tab;
    while (p > line && p[-1] >= '0' && p[-1] <= '9') p--;
    return p < tab && (size_t)(p - line) >= sizeof word - 1 &&
           !memcmp(p - (sizeof word - 1), word, sizeof word - 1);
}

hone_status hn_space_add(struct hn_search_space *s, const char *line, const char *place,
                         hone_error *err)
{
    struct hn_axis a = { 0 };
    const char *tab = strchr(line, '\t');
    if (!place && tab && has_place(line, tab)) {
        place = hn_arena_strndup(&s->arena, line, (size_t)(tab - line));
        if (!place) return hn_nomem(err, "an axis of a space", strlen(line));
        line = tab + 1;
    }
    const char *eq = strchr(line, '=');
    int quoted;
    if (s->text)
        return hn_fail(err, HONE_E_INTERNAL, "space", "an axis was added after the last one");
    if (!eq || eq == line)
        return hn_fail(err, HONE_E_USAGE, place ? place : "search",
                       "found '%s', wanted NAME=LOW..HIGH or NAME=A,B,C", line);
    a.name = hn_text_plain(&s->arena, line, eq, &quoted);
    a.place = hn_arena_strdup(&s->arena, place ? place : "search");
    if (!a.name || !a.place) return hn_nomem(err, "an axis of a space", strlen(line));
    HN_TRY(bad_name(a.name, a.place, err));
    if (hn_space_find(s, a.name) >= 0)
        return hn_fail(err, HONE_E_USAGE, a.place, "'%s' stands twice in the space", a.name);
    if (s->n == MAX_AXES)
        return hn_fail(err, HONE_E_BUDGET, a.place, "a space has at most %d parameters", MAX_AXES);

    const char *ask = hn_text_find(eq + 1, "?"), *from = eq + 1, *to = ask;
    while (from < to && blank(*from)) from++;
    while (to > from && blank(to[-1]) && !(to - from >= 2 && to[-2] == '\\')) to--;
    char *body = hn_arena_strndup(&s->arena, from, (size_t)(to - from));
    a.conditions = hn_arena_strdup(&s->arena, *ask ? ask + 1 : "");
    if (!body || !a.conditions) return hn_nomem(err, "an axis of a space", strlen(line));
    HN_TRY(read_body(s, &a, body, err));
    if (*ask && !*a.conditions)
        return hn_fail(err, HONE_E_USAGE, a.place, "%s: nothing follows the '?'", a.name);
    if (!HN_PUSH(s->arena.mem, s->axes, s->n_added, s->cap, a))
        return hn_nomem(err, "the axes of a space", sizeof a);
    s->n = (int)s->n_added;
    return HONE_OK;
}

/* ---- conditions ------------------------------------------------------------------------------------------------------ */

/* Values that the parent never has are passed over, as long as one is left. */
static hone_status read_values(struct hn_search_space *s, struct hn_axis *a, struct hn_when *w,
                               const char *p, const char *end, hone_error *err)
{
    const struct hn_axis *up = &s->axes[w->parent];
    size_t room = 1;
    for (const char *q = hn_text_find(p, "|"); q < end; q = hn_text_find(q + 1, "|")) room++;
    w->values = hn_arena_alloc(&s->arena, room, sizeof *w->values);
    if (!w->values) return hn_nomem(err, "the conditions of a space", room);
    char *text = NULL;
    while (p <= end) {
        const char *bar = hn_text_find(p, "|&");
        int quoted;
        double v;
        text = hn_text_plain(&s->arena, p, bar, &quoted);
        if (!text) return hn_nomem(err, "the conditions of a space", room);
        if (hn_axis_read(up, text, &v) &&
            (up->kind == HN_AXIS_CHOICE || (v >= up->low && v <= up->high)))
            w->values[w->n++] = v;
        p = bar + 1;
    }
    char has[HN_AXIS_VALUES];
    if (w->n == 0)
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: '%s' is never '%s', it is one of %s",
                       a->name, up->name, text ? text : "", hn_axis_values(up, has));
    return HONE_OK;
}

static hone_status read_condition(struct hn_search_space *s, int self, const char *p,
                                  const char *end, hone_error *err)
{
    struct hn_axis *a = &s->axes[self];
    struct hn_when *w = &a->whens[a->n_whens];
    const char *eq = hn_text_find(p, "=&");
    int quoted;
    char *name = hn_text_plain(&s->arena, p, eq, &quoted);
    if (!name) return hn_nomem(err, "the conditions of a space", 1);
    if (*eq != '=')
        return hn_fail(err, HONE_E_USAGE, a->place,
                       "%s: found '?%s', wanted ?PARAMETER=VALUE|VALUE", a->name, name);
    w->parent = hn_space_find(s, name);
    if (w->parent < 0)
        return hn_fail(err, HONE_E_USAGE, a->place, "%s depends on '%s', which is not in the space",
                       a->name, name);
    if (w->parent == self || (s->axes[w->parent].kind == HN_AXIS_FLOAT))
        return hn_fail(err, HONE_E_USAGE, a->place,
                       "%s cannot depend on %s: wanted a parameter with choices or whole numbers",
                       a->name, w->parent == self ? "itself" : name);
    HN_TRY(read_values(s, a, w, eq + 1, end, err));
    a->n_whens++;
    return HONE_OK;
}

static hone_status read_conditions(struct hn_search_space *s, int self, hone_error *err)
{
    struct hn_axis *a = &s->axes[self];
    const char *p = a->conditions;
    size_t n = 1;
    a->n_whens = 0;
    if (!*p) return HONE_OK;
    for (const char *q = hn_text_find(p, "&"); *q; q = hn_text_find(q + 1, "&")) n++;
    a->whens = hn_arena_alloc(&s->arena, n, sizeof *a->whens);
    if (!a->whens) return hn_nomem(err, "the conditions of a space", n);
    for (;;) {
        const char *end = hn_text_find(p, "&");
        HN_TRY(read_condition(s, self, p, end, err));
        if (!*end) return HONE_OK;
        p = end + 1;
    }
}

static hone_status sort_axes(struct hn_search_space *s, hone_error *err)
{
    int placed[MAX_AXES] = { 0 }, n = 0;
    s->order = hn_arena_alloc(&s->arena, (size_t)s->n, sizeof *s->order);
    if (!s->order) return hn_nomem(err, "the order of a space", (size_t)s->n);
    for (int before = -1; n < s->n && before != n;) {
        before = n;
        for (int i = 0; i < s->n; i++) {
            int ready = !placed[i];
            for (int k = 0; k < s->axes[i].n_whens; k++)
                ready = ready && placed[s->axes[i].whens[k].parent];
            if (ready) placed[i] = 1, s->order[n++] = i;
        }
    }
    for (int i = 0; i < s->n; i++)
        if (!placed[i])
            return hn_fail(err, HONE_E_USAGE, s->axes[i].place,
                           "%s depends on itself through its conditions", s->axes[i].name);
    return HONE_OK;
}

/* ---- the canonical text ---------------------------------------------------------------------------------------------- */

static hone_status put_choice(struct hn_sink *out, const struct hn_choice *c, hone_error *err)
{
    int quote = c->type == HN_CHOICE_TEXT && (!c->text[0] || type_of(c->text, 0) != HN_CHOICE_TEXT);
    if (quote) HN_TRY(hn_sink_str(out, "\"", err));
    for (const char *p = c->text; *p; p++)
        HN_TRY(hn_sink_printf(out, err, "%s%c", strchr(",|&?\\\" \t", *p) ? "\\" : "", *p));
    return quote ? hn_sink_str(out, "\"", err) : HONE_OK;
}

static hone_status put_value(struct hn_sink *out, const struct hn_axis *a, double v,
                             hone_error *err)
{
    char buf[NUMBER];
    if (a->kind == HN_AXIS_CHOICE) return put_choice(out, &a->choices[(int)v], err);
    hn_format_double(buf, v);
    return hn_sink_str(out, buf, err);
}

static hone_status put_whens(struct hn_sink *out, const struct hn_search_space *s,
                             const struct hn_axis *a, int n, hone_error *err)
{
    for (int k = 0; k < n; k++) {
        const struct hn_axis *up = &s->axes[a->whens[k].parent];
        HN_TRY(hn_sink_printf(out, err, "%s%s=", k ? "&" : "?", up->name));
        for (int i = 0; i < a->whens[k].n; i++) {
            if (i) HN_TRY(hn_sink_str(out, "|", err));
            HN_TRY(put_value(out, up, a->whens[k].values[i], err));
        }
    }
    return HONE_OK;
}

static hone_status put_axis(struct hn_sink *out, const struct hn_search_space *s,
                            const struct hn_axis *a, int loose, hone_error *err)
{
    char low[NUMBER], high[NUMBER], step[NUMBER];
    HN_TRY(hn_sink_printf(out, err, "%s=", a->name));
    if (a->kind == HN_AXIS_CHOICE) {
        if (a->n_choices == 1) HN_TRY(hn_sink_str(out, "choice:", err));
        for (int i = 0; i < a->n_choices; i++) {
            if (i) HN_TRY(hn_sink_str(out, ",", err));
            HN_TRY(put_choice(out, &a->choices[i], err));
        }
    } else {
        hn_format_double(low, a->low);
        hn_format_double(high, a->high);
        hn_format_double(step, a->step);
        HN_TRY(hn_sink_printf(out, err, "%s:%s%s..%s", a->kind == HN_AXIS_INT ? "int" : "float",
                              a->log ? "log:" : "", low, high));
        if (a->step > 0 && !a->log) HN_TRY(hn_sink_printf(out, err, ":step=%s", step));
        if (a->points) HN_TRY(hn_sink_printf(out, err, ":points=%d", a->points));
    }
    return put_whens(out, s, a, a->n_whens - (loose ? a->implied : 0), err);
}

static hone_status put_text(struct hn_search_space *s, int loose, const char **out, hone_error *err)
{
    struct hn_buffer text;
    hone_status st = HONE_OK;
    hn_buffer_init(&text, s->arena.mem);
    for (int i = 0; i < s->n && st == HONE_OK; i++) {
        if (i) st = hn_sink_str(&text.sink, "\n", err);
        if (st == HONE_OK) st = put_axis(&text.sink, s, &s->axes[i], loose, err);
    }
    if (st == HONE_OK) *out = hn_arena_strdup(&s->arena, text.p);
    if (st == HONE_OK && !*out) st = hn_nomem(err, "the text of a space", text.n);
    hn_buffer_free(&text);
    return st;
}

static uint64_t fnv1a(const char *p)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    return h;
}

/* The levels of a float go through text, and samplers ask for them by the million. */
static hone_status tabulate(struct hn_search_space *s, struct hn_axis *a, hone_error *err)
{
    int64_t n = hn_axis_levels(a);
    if (a->kind != HN_AXIS_FLOAT || a->step <= 0 || n > MAX_LEVELS) return HONE_OK;
    double *levels = hn_arena_alloc(&s->arena, (size_t)n, sizeof *levels);
    if (!levels) return hn_nomem(err, "the levels of a space", (size_t)n * sizeof *levels);
    for (int64_t i = 0; i < n; i++) levels[i] = hn_axis_level(a, i);
    a->levels = levels;
    return HONE_OK;
}

hone_status hn_space_finish(struct hn_search_space *s, hone_error *err)
{
    int implied = 0;
    if (s->n == 0) return hn_fail(err, HONE_E_USAGE, "space", "the search space has no parameters");
    for (int i = 0; i < s->n; i++) HN_TRY(read_conditions(s, i, err));
    HN_TRY(sort_axes(s, err));
    HN_TRY(hn_space_reachable(s, err));
    for (int i = 0; i < s->n; i++) HN_TRY(tabulate(s, &s->axes[i], err));
    for (int i = 0; i < s->n; i++) implied += s->axes[i].implied;
    HN_TRY(put_text(s, 0, &s->text, err));
    s->loose = s->text;
    if (implied) HN_TRY(put_text(s, 1, &s->loose, err));
    s->hash = fnv1a(s->text);
    return HONE_OK;
}

hone_status hn_space_read(struct hn_search_space *s, struct hn_mem *m, const char *text,
                          hone_error *err)
{
    hn_space_init(s, m);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        char *line = hn_arena_strndup(&s->arena, p, n);
        if (!line) return hn_nomem(err, "a study's space", n);
        HN_TRY(hn_space_add(s, line, NULL, err));
        p += n + (p[n] == '\n');
    }
    return hn_space_finish(s, err);
}
