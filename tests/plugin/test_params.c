/* SPDX-License-Identifier: MIT
 *
 * The parameter table checks itself: unique names, defaults inside their ranges, choices that
 * parse; then what setting and reading do with good and bad text. */
#include "plugin/internal.h"
#include "tests/each_allocation.h"
#include <math.h>

static hone_context *ctx;
static hone_params *params;
static hone_error err;

static void setup(void)
{
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hone_params_create(ctx, &params, &err), err);
}

static void teardown(void)
{
    hone_params_destroy(params);
    hone_context_destroy(ctx);
}

START_TEST(table_is_sound)
{
    hone_param_info a = { .size = sizeof a }, b = { .size = sizeof b };
    size_t n = 0;
    for (; hone_param_at(n, &a); n++) {
        ck_assert_msg(a.name[0] && a.help[0] && a.group[0], "row %zu", n);
        ck_assert_msg(strspn(a.name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(a.name),
                      "%s", a.name);
        for (size_t k = 0; k < n && hone_param_at(k, &b); k++) ck_assert_str_ne(a.name, b.name);
        int number = !strcmp(a.type, "float") || !strcmp(a.type, "int");
        if (number)
            ck_assert_msg(strchr("([", a.choices[0]) && strchr(a.choices, ','), "%s: %s", a.name,
                          a.choices);
        if (number && !isnan(a.low) && !isnan(a.high)) ck_assert(a.low < a.high);
        if (!strcmp(a.type, "choice")) ck_assert_msg(strchr(a.choices, '|') != NULL, "%s", a.name);
        if (a.initial[0])
            ck_assert_msg(hone_params_set(params, a.name, a.initial, &err) == HONE_OK, "%s: %s",
                          a.name, err.text);
        if (a.log_scale) ck_assert(number);
        if (!a.when[0]) continue;
        char other[64] = "";
        memcpy(other, a.when, strcspn(a.when, "="));
        ck_assert_msg(hone_params_get(params, other, 0) != NULL, "%s: when %s", a.name, a.when);
        for (const char *v = strchr(a.when, '=') + 1; *v;) { /* each value is one of the other's */
            char word[64] = "";
            memcpy(word, v, strcspn(v, "|"));
            HN_OK(hone_params_set(params, other, word, &err), err);
            v += strlen(word) + (v[strlen(word)] == '|');
        }
    }
    ck_assert_uint_gt(n, 60);
    struct {
        size_t size;
        const char *name;
    } short_info = { .size = sizeof short_info };
    ck_assert(hone_param_at(0, (hone_param_info *)&short_info)); /* an older program's struct */
    ck_assert_str_eq(short_info.name, "data");
}
END_TEST

START_TEST(every_row_is_read_somewhere)
{
    hone_param_info a = { .size = sizeof a };
    for (size_t i = 0; hone_param_at(i, &a); i++) {
        char command[600];
        const char *name = a.name; /* val-x and test-x are read by a prefix and "x" */
        if (!strncmp(name, "val-", 4) && strcmp(name, "val-split")) name += 4;
        if (!strncmp(name, "test-", 5) && strcmp(name, "test-split")) name += 5;
        snprintf(command, sizeof command,
                 "grep -rqF --include=*.c '\"%s\"' '" HN_SOURCE_DIR "/plugin' '" HN_SOURCE_DIR
                 "/tools'",
                 name);
        ck_assert_msg(system(command) == 0, "no code reads parameter '%s'", a.name);
    }
}
END_TEST

START_TEST(wrong_names_and_values_are_refused)
{
    static const struct {
        const char *name, *value, *says;
    } bad[] = {
        { "lr", "-1", "(0, inf)" },
        { "lr", "0", "(0, inf)" },
        { "lr", "nan", "number" },
        { "lr", "inf", "number" },
        { "lr", "1e-3x", "number" },
        { "lr", "", "number" },
        { "epochs", "1.5", "whole" },
        { "epochs", "-1", "[0" },
        { "epochs", "+", "whole" },
        { "batch-size", "0", "[1" },
        { "val-split", "1", "[0, 1)" },
        { "val-split", "-0.1", "[0, 1)" },
        { "optimizer", "adamm", "sgd|" },
        { "optimizer", "", "sgd|" },
        { "optimizer", "sgd|momentum", "sgd|" },
        { "force", "maybe", "true or false" },
        { "no-decay", "norm,weights", "norm|bias" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(hone_params_set(params, bad[i].name, bad[i].value, &err), HONE_E_USAGE);
        ck_assert_str_eq(err.where, bad[i].name);
        ck_assert_msg(strstr(err.text, bad[i].says) != NULL, "%s", err.text);
        ck_assert(!hone_params_is_set(params, bad[i].name));
    }
    ck_assert_int_eq(hone_params_set(params, "lerning-rate", "1", &err), HONE_E_USAGE);
    ck_assert_int_eq(hone_params_set(params, "optimiser", "sgd", &err), HONE_E_USAGE);
    ck_assert_msg(strstr(err.hint, "'optimizer'") != NULL, "%s", err.hint);
    static const char *const called[] = { "learning_rate", "learning-rate" }; /* by others */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(hone_params_set(params, called[i], "1", &err), HONE_E_USAGE);
        ck_assert_str_eq(err.hint, "did you mean 'lr'?");
    }
    ck_assert_ptr_null(hone_params_get(params, "optimiser", 0));
    ck_assert_int_eq(hone_params_set(params, "epoch", "3", NULL), HONE_E_USAGE); /* no prefixes */
}
END_TEST

START_TEST(values_are_read_with_their_type)
{
    HN_OK(hone_params_set(params, "batch_size", "64", &err), err); /* '_' is '-' */
    HN_OK(hone_params_set(params, "lr", "1e-2", &err), err);
    HN_OK(hone_params_set(params, "epochs", "+5", &err), err);
    HN_OK(hone_params_set(params, "no-shuffle", "yes", &err), err);
    HN_OK(hone_params_set(params, "seed", "9223372036854775807", &err), err);
    ck_assert_int_eq(hn_param_i(params, "batch-size"), 64);
    ck_assert_double_eq(hn_param_f(params, "lr"), 0.01);
    ck_assert_int_eq(hn_param_i(params, "epochs"), 5);
    ck_assert_str_eq(hone_params_get(params, "epochs", 0), "+5");
    ck_assert_int_eq(hn_param_b(params, "no-shuffle"), 1);
    ck_assert_int_eq(hn_param_i(params, "seed"), INT64_MAX);
    ck_assert_int_eq(hone_params_is_set(params, "batch-size"), 1);
    ck_assert_int_eq(hone_params_is_set(params, "optimizer"), 0);
    ck_assert_str_eq(hn_param_s(params, "optimizer"), "adam");
    ck_assert(isnan(hn_param_f(params, "clip-norm")));
    ck_assert_int_eq(hn_param_i(params, "early-stop-patience"), 0);
    HN_OK(hone_params_set(params, "batch-size", NULL, &err), err);
    ck_assert_int_eq(hn_param_i(params, "batch-size"), 32);
    ck_assert_int_eq(hn_param_i(NULL, "batch-size"), 32); /* no handle: the defaults */
}
END_TEST

START_TEST(lists_keep_their_items)
{
    ck_assert_ptr_null(hone_params_get(params, "x", 0));
    ck_assert_str_eq(hone_params_get(params, "loss", 0), "auto");
    ck_assert_uint_eq(hn_param_count(params, "loss"), 1);
    HN_OK(hone_params_set(params, "x", "a=1,2.npy", &err), err); /* file names are not split */
    HN_OK(hone_params_set(params, "x", "b=3.npy", &err), err);
    HN_OK(hone_params_set(params, "target", "p,q", &err), err);
    HN_OK(hone_params_set(params, "target", "r", &err), err);
    ck_assert_uint_eq(hn_param_count(params, "x"), 2);
    ck_assert_str_eq(hone_params_get(params, "x", 0), "a=1,2.npy");
    ck_assert_uint_eq(hn_param_count(params, "target"), 3);
    ck_assert_str_eq(hone_params_get(params, "target", 1), "q");
    ck_assert_ptr_null(hone_params_get(params, "target", 3));
    ck_assert_int_eq(hone_params_set(params, "no-decay", "norm,typo", &err), HONE_E_USAGE);
    ck_assert_uint_eq(hn_param_count(params, "no-decay"), 0); /* all or nothing */

    hone_params *copy;
    HN_OK(hn_params_copy(params, &copy, &err), err);
    HN_OK(hone_params_set(params, "target", NULL, &err), err);
    ck_assert_uint_eq(hn_param_count(copy, "target"), 3);
    ck_assert_uint_eq(hn_param_count(params, "target"), 0);
    hone_params_destroy(copy);
}
END_TEST

START_TEST(optimizer_defaults_are_the_contracts)
{
    static const struct {
        const char *name;
        double lr, momentum, eps, decay;
    } want[] = { { "sgd", 0.01, 0, 1e-8, 0 },        { "momentum", 0.01, 0.9, 1e-8, 0 },
                 { "nesterov", 0.01, 0.9, 1e-8, 0 }, { "adagrad", 0.01, 0, 1e-10, 0 },
                 { "rmsprop", 0.01, 0, 1e-8, 0 },    { "adam", 0.001, 0, 1e-8, 0 },
                 { "adamw", 0.001, 0, 1e-8, 0.01 } };
    struct hn_hyper h;
    double lr;
    for (int i = 0; i < HN_OPTIMIZERS; i++) {
        HN_OK(hone_params_set(params, "optimizer", want[i].name, &err), err);
        HN_OK(hn_params_hyper(params, &h, &lr, &err), err);
        ck_assert_int_eq((int)h.optimizer, i);
        ck_assert_double_eq(lr, want[i].lr);
        ck_assert_double_eq(h.momentum, want[i].momentum);
        ck_assert_double_eq(h.eps, want[i].eps);
        ck_assert_double_eq(h.weight_decay, want[i].decay);
        ck_assert_double_eq(h.beta1, 0.9);
        ck_assert_double_eq(h.beta2, 0.999);
        ck_assert_double_eq(h.alpha, 0.99);
        ck_assert_double_eq(h.clip_norm, 0);
        ck_assert_double_eq(h.dropout, -1);
        ck_assert_int_eq(h.accumulate, 1);
    }
    HN_OK(hone_params_set(params, "optimizer", "sgd", &err), err);
    HN_OK(hone_params_set(params, "momentum", "0.5", &err), err);
    HN_OK(hone_params_set(params, "dropout", "0", &err), err);
    HN_OK(hone_params_set(params, "lr", "3", &err), err);
    HN_OK(hn_params_hyper(params, &h, &lr, &err), err);
    ck_assert_double_eq(h.momentum, 0.5);
    ck_assert_double_eq(h.dropout, 0);
    ck_assert_double_eq(lr, 3);
}
END_TEST

static hone_status job(struct hn_fault *f)
{
    hone_context_opts o = HONE_CONTEXT_OPTS;
    hone_context *c;
    hone_params *p = NULL, *copy = NULL;
    o.alloc = f->mem.alloc, o.release = f->mem.release, o.alloc_user = f;
    hone_status st = hone_context_create(&o, &c, NULL);
    if (st != HONE_OK) return st;
    st = hone_params_create(c, &p, NULL);
    if (st == HONE_OK) st = hone_params_set(p, "target", "a,b,c", NULL);
    if (st == HONE_OK) st = hone_params_set(p, "lr", "0.1", NULL);
    if (st == HONE_OK) st = hone_params_set(p, "lr", "0.2", NULL);
    if (st == HONE_OK) st = hn_params_copy(p, &copy, NULL);
    hone_params_destroy(copy);
    hone_params_destroy(p);
    hone_context_destroy(c);
    return st;
}

START_TEST(every_allocation_may_fail) { ck_assert_int_gt(hn_each_allocation_fails(job), 5); }
END_TEST

HN_TEST_MAIN("params", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, table_is_sound); tcase_add_test(tc, every_row_is_read_somewhere);
             tcase_add_test(tc, wrong_names_and_values_are_refused);
             tcase_add_test(tc, values_are_read_with_their_type);
             tcase_add_test(tc, lists_keep_their_items);
             tcase_add_test(tc, optimizer_defaults_are_the_contracts);
             tcase_add_test(tc, every_allocation_may_fail);)
