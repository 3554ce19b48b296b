/* SPDX-License-Identifier: MIT
 *
 * A space over the parameter table: only what a search can set, with bounds and choices the parameter takes. A typo gets a
 * suggestion. */
#include "hone.h"
#include "ops/base/format.h"
#include "plugin/internal.h"
#include "plugin/tune/space.h"
#include <math.h>
#include <string.h>

enum { MAX_WORDS = 200, BOUND = 48 };

static int same(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b)) return 0;
    return *a == *b;
}

/* "units_#" stands for units_1, units_2, … */
static int same_knob(const char *pattern, const char *name)
{
    size_t n = strlen(pattern);
    if (!n || pattern[n - 1] != '#') return same(pattern, name);
    for (size_t i = 0; i + 1 < n; i++)
        if ((name[i] == '-' ? '_' : name[i]) != pattern[i]) return 0;
    const char *digits = name + n - 1;
    return digits[0] >= '1' && digits[0] <= '9' && strspn(digits, "0123456789") == strlen(digits);
}

/* Files and their columns are opened, and rows parted, once for all trials, and other weights make other losses, which cannot be
 * compared. What fills missing cells is a trial's own. */
static int tunable(const hone_param_info *p)
{
    static const char
        *const once[] = { "header",    "decimal",     "x-scale",   "test-split",
                          "val-split", "no-stratify", "class-axis" /* what the data mean */ };
    if (!strcmp(p->name, "impute")) return 1;
    if (!strcmp(p->group, "data") && !strcmp(p->type, "text")) return 0;
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        if (!strcmp(p->name, once[i])) return 0;
    return (!strcmp(p->group, "training") || !strcmp(p->group, "data")) && strcmp(p->type, "list");
}

static hone_status unknown(const struct hn_axis *a, const struct hn_knob *knobs, hone_error *err)
{
    const char *words[MAX_WORDS];
    hone_param_info p = { .size = sizeof p };
    size_t n = 0;
    int is_param = 0; /* no slip of the pen, then */
    for (size_t i = 0; hone_param_at(i, &p) && n + 1 < MAX_WORDS; i++) {
        if (tunable(&p)) words[n++] = p.name;
        is_param |= same(p.name, a->name);
    }
    for (; knobs && knobs->name && n + 1 < MAX_WORDS; knobs++)
        words[n++] = strchr(knobs->name, '#') ? "units_1" : knobs->name; /* a pattern's first */
    words[n] = NULL;
    const char *near = hn_param_called(a->name);
    if (!near && !is_param) near = hn_suggest(a->name, words);
    hone_status st =
        hn_fail(err, HONE_E_USAGE, a->place, "'%s' is nothing a search can set", a->name);
    return near ? hn_hint(err, st, "did you mean '%s'?", near) : st;
}

static int is_word(const char *choices, const char *word)
{
    size_t len = strlen(word);
    for (const char *c = choices; *c;) {
        size_t n = strcspn(c, "|");
        if (n == len && !memcmp(c, word, n)) return 1;
        c += n + (c[n] == '|');
    }
    return 0;
}

static void put_bound(char text[BOUND], const char *word, double v, int open)
{
    hn_print(text, BOUND, " %s %g%s", word, v, open ? " (not included)" : "");
}

static hone_status check_number(const struct hn_axis *a, double v, const struct hn_knob *k,
                                int low_open, int high_open, hone_error *err)
{
    if ((k->kind != HN_AXIS_INT || v == floor(v)) &&
        (isnan(k->low) || (low_open ? v > k->low : v >= k->low)) &&
        (isnan(k->high) || (high_open ? v < k->high : v <= k->high)))
        return HONE_OK;
    char low[BOUND] = "", high[BOUND] = "";
    if (!isnan(k->low)) put_bound(low, "from", k->low, low_open);
    if (!isnan(k->high)) put_bound(high, "to", k->high, high_open);
    return hn_fail(err, HONE_E_USAGE, a->place, "%s: found %g, wanted %s%s%s", a->name, v,
                   k->kind == HN_AXIS_INT ? "whole numbers" : "numbers", low, high);
}

/* Every value the axis can have against what the parameter takes. */
static hone_status check_axis(struct hn_axis *a, const struct hn_knob *k, int low_open,
                              int high_open, hone_error *err)
{
    if (a->kind != HN_AXIS_CHOICE && k->kind == HN_AXIS_CHOICE)
        return hn_fail(err, HONE_E_USAGE, a->place, "%s: found a range of numbers, wanted %s",
                       a->name, k->choices ? k->choices : "choices");
    for (int i = 0; a->kind == HN_AXIS_CHOICE && i < a->n_choices; i++) {
        const struct hn_choice *c = &a->choices[i];
        double v;
        if (k->kind == HN_AXIS_CHOICE) {
            if (k->choices && !is_word(k->choices, c->text))
                return hn_fail(err, HONE_E_USAGE, a->place, "%s: found '%s', wanted %s", a->name,
                               c->text, k->choices);
            continue;
        }
        if (c->type != HN_CHOICE_INT && c->type != HN_CHOICE_FLOAT)
            return hn_fail(err, HONE_E_USAGE, a->place, "%s: found '%s', wanted numbers", a->name,
                           c->text);
        struct hn_axis any = { .kind = HN_AXIS_FLOAT };
        if (!hn_axis_read(&any, c->text, &v)) v = (double)NAN;
        HN_TRY(check_number(a, v, k, low_open, high_open, err));
    }
    if (a->kind == HN_AXIS_CHOICE) return HONE_OK;
    if (k->kind == HN_AXIS_INT && a->kind == HN_AXIS_FLOAT) {
        if (a->low != floor(a->low) || a->high != floor(a->high) || a->step != floor(a->step))
            return hn_fail(err, HONE_E_USAGE, a->place, "%s takes whole numbers, found %g..%g",
                           a->name, a->low, a->high);
        a->kind = HN_AXIS_INT;
        if (a->step == 0) a->step = 1;
    }
    HN_TRY(check_number(a, a->low, k, low_open, high_open, err));
    return check_number(a, a->high, k, low_open, high_open, err);
}

/* Below 1 it is a share of the epochs, from 1 on a number of them: a range is of the one or of the other. */
static hone_status check_share(struct hn_axis *a, hone_error *err)
{
    if (a->kind != HN_AXIS_FLOAT || a->high < 1) return HONE_OK;
    if (a->high == 1 || a->low != floor(a->low) || a->high != floor(a->high) ||
        a->step != floor(a->step))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, a->place,
                               "%s: found %g..%g, wanted shares of the epochs, all below 1, or "
                               "whole epochs",
                               a->name, a->low, a->high),
                       "0.5..0.9, or 5..20; 0 is never");
    a->kind = HN_AXIS_INT;
    if (a->step == 0) a->step = 1;
    return HONE_OK;
}

hone_status hn_space_check_names(struct hn_search_space *s, const struct hn_knob *knobs,
                                 hone_error *err)
{
    for (int i = 0; i < s->n; i++) {
        struct hn_axis *a = &s->axes[i];
        const struct hn_knob *k = knobs;
        hone_param_info p = { .size = sizeof p };
        size_t row = 0;
        while (k && k->name && !same_knob(k->name, a->name)) k++;
        if (k && k->name) {
            HN_TRY(check_axis(a, k, 0, 0, err));
            continue;
        }
        while (hone_param_at(row, &p) && !(tunable(&p) && same(p.name, a->name))) row++;
        if (!hone_param_at(row, &p)) return unknown(a, knobs, err);
        struct hn_knob own = { p.name, HN_AXIS_CHOICE, p.low, p.high,
                               !strcmp(p.type, "bool")     ? "true|false"
                               : !strcmp(p.type, "choice") ? p.choices
                                                           : NULL };
        if (!strcmp(p.type, "int")) own.kind = HN_AXIS_INT;
        if (!strcmp(p.type, "float")) own.kind = HN_AXIS_FLOAT;
        HN_TRY(check_axis(a, &own, p.low_open, p.high_open, err));
        if (same(p.name, "swa-start")) HN_TRY(check_share(a, err));
    }
    return HONE_OK;
}
