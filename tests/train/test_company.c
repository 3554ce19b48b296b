/* SPDX-License-Identifier: MIT
 *
 * Options that mean nothing beside the others: every row of the table with a "when", and the pairs; what is default or
 * searched is let through. */
#include "plugin/train/options.h"
#include "tests/harness.h"
#include <string.h>

static hone_error err;

struct setting {
    const char *name, *value;
};

static hone_params *made_of(hone_context *ctx, const struct setting *s, int n)
{
    hone_params *p;
    HN_OK(hone_params_create(ctx, &p, &err), err);
    for (int i = 0; i < n && s[i].name; i++)
        HN_OK(hone_params_set(p, s[i].name, s[i].value, &err), err);
    return p;
}

static int is_it(void *user, const char *name) { return !strcmp(user, name); }

/* A value of the row that is not its default. */
static const char *another(const hone_param_info *i)
{
    if (!strcmp(i->type, "choice")) return strncmp(i->choices, "ei|", 3) ? NULL : "ei";
    if (!strcmp(i->type, "list")) return "7";
    if (!strcmp(i->type, "int")) return "7";
    return "0.125";
}

START_TEST(every_when_is_held_to)
{
    hone_context *ctx;
    hone_param_info i = { .size = sizeof i }, o = { .size = sizeof o };
    int n = 0;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    for (size_t k = 0; hone_param_at(k, &i); k++) {
        char other[64] = "";
        if (!i.when[0]) continue;
        memcpy(other, i.when, strcspn(i.when, "="));
        for (size_t at = 0; hone_param_at(at, &o) && strcmp(o.name, other) != 0; at++) {}
        for (const char *v = o.choices; *v;) { /* with each value of the other option */
            char word[64] = "";
            memcpy(word, v, strcspn(v, "|"));
            v += strlen(word) + (v[strlen(word)] == '|');
            const char *found = strstr(strchr(i.when, '=') + 1, word);
            const int fits = found && (found[-1] == '=' || found[-1] == '|') &&
                             (!found[strlen(word)] || found[strlen(word)] == '|');
            const struct setting both[] = { { other, word }, { i.name, another(&i) } };
            hone_params *p = made_of(ctx, both, 2);
            hone_status st = hn_options_company(p, NULL, &err);
            ck_assert_msg(st == (fits ? HONE_OK : HONE_E_USAGE), "%s with %s %s: %d", i.name, other,
                          word, (int)st);
            ck_assert_int_eq(hn_options_idle(p, &i), !fits);
            if (!fits) {
                ck_assert_str_eq(err.where, i.name);
                ck_assert(strstr(err.text, other) && strstr(err.text, word));
                struct hn_options_open open = { is_it, other };
                HN_OK(hn_options_company(p, &open, &err), err);
                open.user = (char *)(uintptr_t)i.name;
                HN_OK(hn_options_company(p, &open, &err), err);
            }
            hone_params_destroy(p);
            n++;
        }
    }
    ck_assert_int_gt(n, 50);
    hone_context_destroy(ctx);
}
END_TEST

START_TEST(pairs)
{
    static const struct {
        struct setting s[3];
        const char *where, *text;
    } cases[] = {
        { { { "swa-lr", "0.1" } }, "swa-lr", "without --swa-start" },
        { { { "swa-start", "3" }, { "swa-anneal", "2" } }, "swa-anneal", "without --swa-lr" },
        { { { "swa-anneal", "0" } }, NULL, NULL },
        { { { "pretrain-noise", "0.5" } }, "pretrain-noise", "without --pretrain" },
        { { { "pretrain-noise", "0.20" } }, NULL, NULL }, /* the default, written otherwise */
        { { { "pretrain-lr", "0.5" } }, "pretrain-lr", "without --pretrain" },
        { { { "pretrain-lr", "0.5" }, { "pretrain", "3" } }, NULL, NULL },
        { { { "no-decay", "bias" } }, "no-decay", "without --weight-decay" },
        { { { "no-decay", "bias" }, { "optimizer", "adam" } }, "no-decay", "--weight-decay" },
        { { { "no-decay", "bias" }, { "optimizer", "adamw" } }, NULL, NULL },
        { { { "no-decay", "bias" }, { "weight-decay", "0.1" } }, NULL, NULL },
        { { { "min-delta", "0.1" } }, "min-delta", "without --early-stop-patience" },
        { { { "min-epochs", "4" } }, "min-epochs", "without --early-stop-patience" },
        { { { "min-epochs", "4" }, { "target-metric", "loss:1" } }, NULL, NULL },
        { { { "stratified", "true" } }, "stratified", "without --folds" },
        { { { "stratified", "true" }, { "folds", "3" } }, NULL, NULL },
        { { { "group", "site" } }, "group", "without --val-split" },
        { { { "group", "site" }, { "val-data", "v.csv" } }, "group", "--ignore COL" },
        { { { "group", "site" }, { "val-split", "0.2" } }, NULL, NULL },
        { { { "group", "site" }, { "test-split", "0.2" } }, NULL, NULL },
        { { { "group", "site" }, { "folds", "3" } }, NULL, NULL },
        { { { "group", "site" }, { "nested", "3" } }, NULL, NULL },
        { { { "no-stratify", "true" } }, "no-stratify", "without --val-split" },
        { { { "no-stratify", "false" } }, NULL, NULL },
        { { { "no-stratify", "true" }, { "val-split", "0.2" } }, NULL, NULL },
        { { { "no-stratify", "true" }, { "folds", "3" } }, NULL, NULL },
    };
    hone_context *ctx;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hone_params *p = made_of(ctx, cases[i].s, 3);
        hone_status st = hn_options_company(p, NULL, &err);
        ck_assert_msg(st == (cases[i].where ? HONE_E_USAGE : HONE_OK), "case %zu: %s", i, err.text);
        if (cases[i].where) {
            ck_assert_str_eq(err.where, cases[i].where);
            ck_assert_msg(strstr(err.text, cases[i].text), "%s: %s", err.where, err.text);
        }
        hone_params_destroy(p);
    }
    hone_context_destroy(ctx);
}
END_TEST

HN_TEST_MAIN("company", tcase_add_test(tc, every_when_is_held_to); tcase_add_test(tc, pairs);)
