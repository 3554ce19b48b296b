/* SPDX-License-Identifier: MIT
 *
 * Options that mean nothing beside what other options say: the table's "when" (params.def), and pairs of which one is about
 * the other. Refused, since who gives one believes that it does something. */
#include "ops/base/io.h"
#include "ops/base/status.h"
#include "plugin/train/options.h"
#include <string.h>

enum { NAME = 32 }; /* of an option */

/* `needs`: "a|b=value", of which one is enough: that option is given, or has that value. */
static const struct pair {
    const char *name, *needs, *why;
} pairs[] = {
    { "swa-lr", "swa-start", "it is the learning rate from there on" },
    { "swa-anneal", "swa-lr", "it is the way to that rate" },
    { "pretrain-noise", "pretrain", "it is what autoencoders have to restore" },
    { "pretrain-lr", "pretrain", "it is the learning rate of autoencoders" },
    { "no-decay", "weight-decay|optimizer=adamw", "there is nothing to be spared" },
    { "min-delta", "early-stop-patience", "it is what resets the patience" },
    { "min-epochs", "early-stop-patience|target-metric", "nothing stops early" },
    { "stratified", "folds", "it is how the folds are drawn" },
    { "group", "val-split|test-split|folds|nested",
      "it is what a split keeps together (--ignore COL leaves a column out)" },
    { "no-stratify", "val-split|test-split|folds|nested", "it is how rows are split" },
};

/* The value is what it would be anyway: nobody asks for anything. */
static int is_default(const hone_params *p, const hone_param_info *i)
{
    const char *text = hn_param_s(p, i->name);
    double a, b;
    if (!hone_params_is_set(p, i->name) || strcmp(text, i->initial) == 0) return 1;
    return hn_parse_double(text, strlen(text), &a) &&
           hn_parse_double(i->initial, strlen(i->initial), &b) && a == b;
}

/* Is value one of the words of "a|b|c"? */
static int is_word(const char *words, const char *value)
{
    const size_t n = strlen(value);
    for (const char *w = words;; w++) {
        const size_t len = strcspn(w, "|");
        if (len == n && memcmp(w, value, n) == 0) return 1;
        w += len;
        if (!*w) return 0;
    }
}

/* The option that the row's "when" names; "" when it has none, or has a value that will do. */
static void read_when(const hone_params *p, const hone_param_info *i, char other[NAME])
{
    const size_t n = strcspn(i->when, "=");
    other[0] = '\0';
    if (!i->when[0] || n >= NAME) return;
    memcpy(other, i->when, n);
    other[n] = '\0';
    if (is_word(i->when + n + 1, hn_param_s(p, other))) other[0] = '\0';
}

static int is_open(const struct hn_options_open *open, const char *name)
{
    return open && open->has(open->user, name);
}

/* Is one of what the pair needs there? */
static int has_company(const hone_params *p, const struct pair *pair,
                       const struct hn_options_open *open)
{
    char name[NAME];
    for (const char *w = pair->needs;; w++) {
        const size_t len = strcspn(w, "|"), n = strcspn(w, "=|");
        memcpy(name, w, n);
        name[n] = '\0';
        if (is_open(open, name)) return 1;
        const char *value = hn_param_s(p, name);
        if (n == len ? hone_params_is_set(p, name)
                     : strlen(value) == len - n - 1 && !memcmp(value, w + n + 1, len - n - 1))
            return 1;
        w += len;
        if (!*w) return 0;
    }
}

const char *hn_options_needs(const char *name)
{
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        if (!strcmp(pairs[k].name, name)) return pairs[k].needs;
    return NULL;
}

hone_status hn_options_needed(const hone_params *p, const hone_param_info *i,
                              const struct hn_options_open *open, hone_error *err)
{
    char other[NAME];
    read_when(p, i, other);
    if (other[0] && !is_open(open, other))
        return hn_fail(err, HONE_E_USAGE, i->name, "means nothing with --%s %s, wanted --%s", other,
                       hn_param_s(p, other), i->when);
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        if (!strcmp(pairs[k].name, i->name) && !has_company(p, &pairs[k], open))
            return hn_fail(err, HONE_E_USAGE, i->name, "means nothing without --%.*s: %s",
                           (int)strcspn(pairs[k].needs, "|"), pairs[k].needs, pairs[k].why);
    return HONE_OK;
}

static hone_status check(const hone_params *p, const hone_param_info *i,
                         const struct hn_options_open *open, hone_error *err)
{
    if (is_default(p, i) || is_open(open, i->name)) return HONE_OK;
    return hn_options_needed(p, i, open, err);
}

int hn_options_idle(const hone_params *p, const hone_param_info *i)
{
    return check(p, i, NULL, NULL) != HONE_OK;
}

hone_status hn_options_company(const hone_params *p, const struct hn_options_open *open,
                               hone_error *err)
{
    hone_param_info i = { .size = sizeof i };
    for (size_t k = 0; hone_param_at(k, &i); k++) HN_TRY(check(p, &i, open, err));
    return HONE_OK;
}
