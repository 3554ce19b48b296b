/* SPDX-License-Identifier: MIT
 *
 * --impute and --unknown from text to rules:
 *
 *     median,age=mean,town=most,colour=red, dark,income=constant:0
 *
 * An item is RULE or COLUMN=RULE, and the last '=' counts, so that a column's name may hold one; behind "constant:" all is the value.
 * A comma ends an item where the next one has a '=' or is a word: "red, dark" is one value. */
#include "plugin/table_rules.h"
#include "ops/base/status.h"
#include "plugin/data_open.h"
#include <stdlib.h>
#include <string.h>

static const char constant[] = "constant:";
enum { CONSTANT = sizeof constant - 1 };

static int word_of(const char *text, enum hn_impute *how)
{
    static const struct {
        const char *word;
        enum hn_impute how;
    } words[] = { { "mean", HN_IMPUTE_MEAN },
                  { "median", HN_IMPUTE_MEDIAN },
                  { "most", HN_IMPUTE_MOST },
                  { "most_frequent", HN_IMPUTE_MOST },
                  { "missing", HN_IMPUTE_OWN } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i].word) == 0) return *how = words[i].how, 1;
    return 0;
}

static int begins_item(const char *text)
{
    char word[16];
    enum hn_impute how;
    const size_t n = strcspn(text, ",");
    if (memchr(text, '=', n) || !strncmp(text, constant, CONSTANT)) return 1;
    if (n >= sizeof word) return 0;
    memcpy(word, text, n);
    word[n] = 0;
    return word_of(word, &how);
}

static size_t item_length(const char *text)
{
    size_t n = strcspn(text, ",");
    while (text[n] && !begins_item(text + n + 1)) n += 1 + strcspn(text + n + 1, ",");
    return n;
}

/* Cuts an item into its column, NULL for all, and what is said of it. */
static const char *cut_item(char *item, const char **column)
{
    char *eq = strstr(item, "=constant:");
    *column = NULL;
    if (!strncmp(item, constant, CONSTANT)) return item;
    if (!eq) eq = strrchr(item, '=');
    if (!eq) return item;
    *column = item;
    *eq = 0;
    return eq + 1;
}

static hone_status read_item(struct hn_impute_rule *rule, struct hn_arena *a, const char *text,
                             size_t n, hone_error *err)
{
    char *item = hn_arena_strndup(a, text, n);
    if (!item) return hn_nomem(err, "a rule for missing cells", n);
    const char *said = cut_item(item, &rule->column);
    if ((rule->column && !rule->column[0]) || !said[0] || !strcmp(said, "constant"))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "impute",
                               "found '%.*s', wanted RULE or COLUMN=RULE, such as median or "
                               "age=mean",
                               (int)n, text),
                       "rules are mean, median, most, missing, VALUE and constant:VALUE");
    if (word_of(said, &rule->how)) return HONE_OK;
    rule->how = HN_IMPUTE_VALUE;
    rule->value = strncmp(said, constant, CONSTANT) ? said : said + CONSTANT;
    return HONE_OK;
}

static size_t count_items(const hone_params *p)
{
    const char *text;
    size_t n = 0;
    for (size_t i = 0; (text = hone_params_get(p, "impute", i)); i++)
        for (n++; *text; text += !!*text) {
            text += item_length(text);
            n += *text != 0;
        }
    return n;
}

hone_status hn_impute_rules_read(struct hn_impute_rules *r, struct hn_arena *a,
                                 const hone_params *p, hone_error *err)
{
    const char *text;
    const size_t room = count_items(p);
    r->n = 0;
    r->rule = hn_arena_alloc(a, room + 1, sizeof *r->rule);
    if (!r->rule) return hn_nomem(err, "the rules for missing cells", room * sizeof *r->rule);
    for (size_t i = 0; (text = hone_params_get(p, "impute", i)); i++) {
        if (!text[0]) continue; /* none, as for other text */
        for (size_t n;; text += n + 1) {
            n = item_length(text);
            r->rule[r->n] = (struct hn_impute_rule){ 0 };
            HN_TRY(read_item(&r->rule[r->n++], a, text, n, err));
            if (!text[n]) break;
        }
    }
    return HONE_OK;
}

/* A name wins over an index. */
static const char *name_of(const char *column, const struct hn_named_array *x, size_t n)
{
    int64_t place;
    for (size_t i = 0; i < n; i++)
        for (int64_t j = 0; x[i].a.columns && j < x[i].a.per_row; j++)
            if (!strcmp(x[i].a.columns[j].name, column)) return x[i].a.columns[j].name;
    if (!hn_parse_i64(column, strlen(column), &place)) return NULL;
    for (size_t i = 0; i < n; i++)
        for (int64_t j = 0; x[i].a.columns && j < x[i].a.per_row; j++)
            if (x[i].a.columns[j].place == place) return x[i].a.columns[j].name;
    return NULL;
}

hone_status hn_impute_rules_name(struct hn_impute_rules *r, const struct hn_named_array *x,
                                 size_t n, hone_error *err)
{
    for (size_t k = 0; k < r->n; k++) {
        const char *given = r->rule[k].column;
        if (given && !(r->rule[k].column = name_of(given, x, n)))
            return hn_fail(err, HONE_E_USAGE, "impute", "found no feature '%s' to fill", given);
    }
    return HONE_OK;
}

/* ---- --unknown: [COLUMN=]error|ignore|missing|infrequent:N|VALUE --------------------------------------------------------- */

static hone_status read_infrequent(struct hn_unknown_rule *rule, const char *text, hone_error *err)
{
    rule->how = HN_UNKNOWN_AS_RARE;
    if (hn_parse_i64(text, strlen(text), &rule->rows) && rule->rows >= 1) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "unknown",
                   "found 'infrequent:%s', wanted infrequent:N, the rows below which a category is "
                   "rare",
                   text);
}

static hone_status read_unknown(struct hn_unknown_rule *rule, struct hn_arena *a, const char *text,
                                hone_error *err)
{
    static const char infrequent[] = "infrequent";
    static const char *const words[] = { "error", "ignore", "missing" };
    char *item = hn_arena_strdup(a, text), *eq = item ? strrchr(item, '=') : NULL;
    if (!item) return hn_nomem(err, "a rule for unknown categories", strlen(text));
    const char *said = eq ? eq + 1 : item;
    *rule = (struct hn_unknown_rule){ .column = eq ? item : NULL };
    if (!said[0] || eq == item)
        return hn_fail(err, HONE_E_USAGE, "unknown",
                       "found '%s', wanted error, ignore, missing, infrequent:N or VALUE, or "
                       "COLUMN= in front of it",
                       text);
    if (eq) *eq = 0;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (!strcmp(said, words[k])) {
            rule->how = (enum hn_unknown_how)k;
            return HONE_OK;
        }
    const size_t n = sizeof infrequent - 1;
    if (!strncmp(said, infrequent, n) && (said[n] == ':' || !said[n]))
        return read_infrequent(rule, said + n + (said[n] == ':'), err);
    rule->how = HN_UNKNOWN_AS_VALUE;
    rule->value = said;
    return HONE_OK;
}

hone_status hn_unknown_rules_read(struct hn_csv_options *o, struct hn_arena *a,
                                  const hone_params *p, hone_error *err)
{
    const char *text;
    const size_t n = hn_param_count(p, "unknown");
    struct hn_unknown_rule *list = hn_arena_alloc(a, n + 1, sizeof *list);
    if (!list) return hn_nomem(err, "the rules for unknown categories", n * sizeof *list);
    for (size_t i = 0; (text = hone_params_get(p, "unknown", i)); i++)
        HN_TRY(read_unknown(&list[i], a, text, err));
    o->unknown = list, o->n_unknown = n;
    return HONE_OK;
}
