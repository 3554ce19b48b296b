/* SPDX-License-Identifier: MIT
 *
 * The graph knobs: units_i depend on hidden_layers, trial 0 stands where the imported model does, a trial's settings say its
 * widths, a rebuilt replica is the same whatever ran before it on the model, and memory may run out. */
#include "plugin/tune/graph_knobs.h"
#include "plugin/tune/study_open.h"
#include "tests/tune/rig.h"
#include <math.h>

static hone_error err;

/* ---- conditions --------------------------------------------------------------------------------------------------------- */

static hone_status linked(struct hn_search_space *s, struct hn_mem *m, const char *text)
{
    char line[256];
    hn_mem_init(m, 0);
    hn_space_init(s, m);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ";");
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        HN_OK(hn_space_add(s, line, NULL, &err), err);
        p += n + (p[n] == ';');
    }
    hone_status st = hn_knobs_link(s, &err);
    return st == HONE_OK ? hn_space_finish(s, &err) : st;
}

START_TEST(units_depend_on_depth)
{
    static const struct {
        const char *space, *text;
    } cases[] = {
        { "hidden_layers=int:1..3;units_1=int:4..8;units_2=int:4..8;units_3=int:4..8",
          "units_1=int:4..8:step=1\nunits_2=int:4..8:step=1?hidden_layers=2|3\n"
          "units_3=int:4..8:step=1?hidden_layers=3" },
        { "hidden_layers=1,4,8;units_2=4,8", "units_2=4,8?hidden_layers=4|8" },
        { "hidden_layers=2,4;units_1=4,8;units_2=4,8;units_3=4,8",
          "units_1=4,8\nunits_2=4,8\nunits_3=4,8?hidden_layers=4" },
        { "hidden_layers=int:1..9:step=4;optimizer=sgd,adam;units_6=4,8?optimizer=adam",
          "units_6=4,8?optimizer=adam&hidden_layers=9" },
        { "hidden_layers=int:1..3;units_2=4,8?hidden_layers=3", "units_2=4,8?hidden_layers=3" },
        { "units_2=4,8;units_1=4,8", "units_2=4,8\nunits_1=4,8" },
    };
    struct hn_search_space s;
    struct hn_mem m;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HN_OK(linked(&s, &m, cases[i].space), err);
        const char *tail = s.text + strlen(s.text) - strlen(cases[i].text);
        ck_assert_msg(tail >= s.text && !strcmp(tail, cases[i].text), "case %zu: %s", i, s.text);
        hn_space_clear(&s);
    }
    static const struct {
        const char *space, *axis, *says;
    } bad[] = {
        { "hidden_layers=int:1..3;units_4=4,8", "units_4", "never 4 or more" },
        { "hidden_units=4,8;units_1=4,8", "units_1", "together with hidden_units" },
        { "hidden_layers=1,2;units_65=4,8", "units_65", "at most 64" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(linked(&s, &m, bad[i].space), HONE_E_USAGE);
        ck_assert_str_eq(err.where, "search");
        ck_assert_msg(strstr(err.text, bad[i].axis) != NULL, "%s", err.text);
        ck_assert_msg(strstr(err.text, bad[i].says) != NULL, "%s", err.text);
        hn_space_clear(&s);
    }
    ck_assert_uint_eq(atomic_load(&m.used), 0);
    ck_assert_int_eq(hn_knob_layer("units_12"), 12);
    ck_assert_int_eq(hn_knob_layer("units-3"), 3);
    ck_assert_int_eq(hn_knob_layer("units_0") + hn_knob_layer("units_") + hn_knob_layer("units") +
                         hn_knob_layer("units_x") + hn_knob_layer("unitss_1"),
                     0);
}
END_TEST

/* ---- axes beside what other options say ------------------------------------------------------------------------------------ */

/* The space of lines with ';' between and settings "name=value;…" of the rest. */
static hone_status beside(hone_context *ctx, struct hn_search_space *s, const char *lines,
                          const char *fixed)
{
    static const struct hn_knob none[] = { { .name = NULL } };
    char piece[128];
    hone_params *p;
    int given;
    hn_space_clear(s);
    hn_space_init(s, &ctx->mem);
    HN_OK(hone_params_create(ctx, &p, &err), err);
    for (const char *list = lines, *name = "search"; list; name = NULL) {
        for (const char *c = list; *c; c += strcspn(c, ";"), c += *c == ';') {
            snprintf(piece, sizeof piece, "%.*s", (int)strcspn(c, ";"), c);
            char *eq = strchr(piece, '=');
            if (!name) *eq = '\0';
            HN_OK(hone_params_set(p, name ? name : piece, name ? piece : eq + 1, &err), err);
        }
        list = name ? fixed : NULL;
    }
    hone_status st = hn_space_of_params(p, none, s, &given, &err);
    hone_params_destroy(p);
    return st;
}

static const struct {
    const char *lines, *fixed, *text; /* NULL: is refused */
    const char *says;
} beside_cases[] = {
    { "momentum=0.5..0.9", "", NULL, "momentum: means nothing with --optimizer adam, wanted --op" },
    { "momentum=0.5..0.9", "optimizer=momentum", "momentum=float:0.5..0.9", "" },
    { "momentum=0.5..0.9?optimizer=momentum", "optimizer=nesterov", NULL, "is never searched" },
    { "lr_gamma=0.1,0.5", "", NULL, "lr_gamma: means nothing with --lr-schedule constant" },
    { "lr-step=1..5", "", NULL, "lr-step: means nothing with --lr-schedule constant" },
    { "lr_patience=1..5", "lr-schedule=step", NULL, "with --lr-schedule step, wanted --lr-sch" },
    { "lr_max=0.1..0.5", "", NULL, "lr_max: means nothing with --lr-schedule constant" },
    { "alpha=0.9,0.99", "", NULL, "alpha: means nothing with --optimizer adam" },
    { "beta1=0.5..0.9", "optimizer=sgd", NULL, "beta1: means nothing with --optimizer sgd" },
    { "swa_lr=0.1..0.2", "", NULL, "swa_lr: means nothing without --swa-start: it is the lear" },
    { "swa_lr=0.1,0.2", "swa-start=2", "swa_lr=0.1,0.2", "" },
    { "min_delta=0..0.2", "", NULL, "means nothing without --early-stop-patience" },
    { "min_delta=0,0.2;early_stop_patience=1..5", "",
      "min_delta=0,0.2\nearly_stop_patience=int:1..5:step=1", "" },
    { "pretrain_noise=0..0.2", "", NULL, "means nothing without --pretrain" },
    { "pretrain_noise=0.1,0.2;pretrain=0,5,9", "",
      "pretrain_noise=0.1,0.2?pretrain=5|9\npretrain=0,5,9", "" },
    { "pretrain_noise=0.1,0.2;pretrain=choice:0", "", NULL, "wanted --pretrain" },
    { "swa_lr=0.1,0.2;swa_start=0..0.9", "", "swa_lr=0.1,0.2\nswa_start=float:0..0.9", "" },
    { "swa_lr=0.1,0.2;swa_start=0,0.5", "", "swa_lr=0.1,0.2?swa_start=0.5\nswa_start=0,0.5", "" },
    { "optimizer=adam,momentum;momentum=0.5,0.9", "",
      "optimizer=adam,momentum\nmomentum=0.5,0.9?optimizer=momentum", "" },
    { "optimizer=nesterov,momentum;momentum=0.5,0.9", "",
      "optimizer=nesterov,momentum\nmomentum=0.5,0.9", "" },
    { "optimizer=adam,adamw;momentum=0.5,0.9", "", NULL,
      "momentum: means nothing with --optimizer adam, adamw, wanted --optimizer=" },
    { "optimizer=adam,momentum,nesterov;momentum=0.5,0.9?optimizer=adam|momentum", "",
      "optimizer=adam,momentum,nesterov\nmomentum=0.5,0.9?optimizer=adam|momentum", "" },
    { "optimizer=adam,momentum;momentum=0.5,0.9?optimizer=adam", "", NULL, "means nothing with" },
    { "optimizer=adam,momentum;lr=1,2;momentum=0.5,0.9?lr=1", "",
      "optimizer=adam,momentum\nlr=1,2\nmomentum=0.5,0.9?lr=1&optimizer=momentum", "" },
};

START_TEST(what_means_nothing_is_not_searched)
{
    enum { CASES = sizeof beside_cases / sizeof *beside_cases };
    hone_context *ctx;
    struct hn_search_space s = { 0 };
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    for (size_t i = 0; i < CASES; i++) {
        const char *text = beside_cases[i].text, *lines = beside_cases[i].lines;
        hone_status st = beside(ctx, &s, lines, beside_cases[i].fixed);
        if (text) {
            ck_assert_msg(st == HONE_OK, "%s: %s", lines, err.text);
            ck_assert_str_eq(s.text, text);
            continue;
        }
        ck_assert_msg(st == HONE_E_USAGE, "%s is taken: %s", lines, s.text);
        ck_assert_str_eq(err.where, "search");
        ck_assert_msg(strstr(err.text, beside_cases[i].says) != NULL, "%s: %s", lines, err.text);
    }
    /* what such a space was called before there were implied conditions */
    HN_OK(beside(ctx, &s, "optimizer=adam,momentum;momentum=0.5,0.9", ""), err);
    ck_assert_str_eq(s.loose, "optimizer=adam,momentum\nmomentum=0.5,0.9");
    ck_assert_int_eq(s.axes[1].implied, 1);
    /* listed settings say what they have beside them */
    HN_OK(beside(ctx, &s, "",
                 "sampler=manual;setting=optimizer=momentum,momentum=0.9;"
                 "setting=optimizer=adam"),
          err);
    ck_assert_str_eq(s.text, "optimizer=momentum,adam\nmomentum=choice:0.9");
    ck_assert_int_eq(beside(ctx, &s, "", "sampler=manual;setting=momentum=0.9"), HONE_E_USAGE);
    hn_space_clear(&s);
    hone_context_destroy(ctx);
}
END_TEST

/* ---- searches --------------------------------------------------------------------------------------------------------------- */

static hone_status rig_open(struct rig *g, const char *name, const char *spec,
                            const char *const *search)
{
    char folder[64];
    const char *const list[][2] = { { "sampler", "random" }, { "trials", "4" },
                                    { "jobs", "1" },         { "epochs", "2" },
                                    { "folds", "2" },        { "run-dir", g->dir } };
    snprintf(folder, sizeof folder, "knobs-%s", name);
    hone_status st = rig_begin(g, folder, spec, &err);
    for (size_t i = 0; st == HONE_OK && i < sizeof list / sizeof *list; i++)
        st = hone_params_set(g->params, list[i][0], list[i][1], &err);
    for (; st == HONE_OK && *search; search++)
        st = hone_params_set(g->params, "search", *search, &err);
    return st;
}

/* Settings of trial 0: "name" in the result, NAN when it is not there. */
static double first(const hone_result *r, const char *name)
{
    char path[64];
    double v;
    snprintf(path, sizeof path, "trials.0.params.%s", name);
    return hone_result_number(r, path, &v) ? v : (double)NAN;
}

START_TEST(trial_0_is_where_the_model_stands)
{
    static const struct {
        const char *spec, *search[5];
        const char *name[4];
        double value[4]; /* NAN: no such setting */
    } cases[] = {
        { "4-6-3 relu",
          { "hidden_layers=int:1..3", "hidden_units=int:4..9", "freeze_layers=0,1" },
          { "hidden_layers", "hidden_units", "freeze_layers" },
          { 1, 6, 0 } },
        { "4-6-5-3 tanh",
          { "hidden_layers=int:1..3", "units_1=int:4..9", "units_2=int:4..9", "units_3=int:4..9" },
          { "hidden_layers", "units_1", "units_2", "units_3" },
          { 2, 6, 5, (double)NAN } },
        { "4-6-5-3 tanh", /* two widths are not one; more units than the space has */
          { "hidden_units=int:4..9", "lr=0.1,0.2" },
          { "hidden_units" },
          { (double)NAN } },
        { "4-6-6-3", { "hidden_units=int:8..9" }, { "hidden_units" }, { 6 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig g;
        hone_result *r;
        hn_fault_init(&g.fault);
        HN_OK(rig_open(&g, "first", cases[i].spec, cases[i].search), err);
        HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
        for (int k = 0; k < 4 && cases[i].name[k]; k++) {
            double v = first(r, cases[i].name[k]), want = cases[i].value[k];
            ck_assert_msg(isnan(want) ? isnan(v) : v == want, "case %zu: %s is %g", i,
                          cases[i].name[k], v);
        }
        hone_result_destroy(r);
        rig_close(&g);
    }
}
END_TEST

START_TEST(activation_of_trial_0)
{
    static const char *const search[] = { "activation=relu,elu", NULL };
    struct rig g;
    hone_result *r;
    hn_fault_init(&g.fault);
    HN_OK(rig_open(&g, "word", "4-6-3 elu", search), err);
    HN_OK(hone_tune(g.model, g.data, g.params, NULL, &r, &err), err);
    ck_assert_str_eq(hone_result_text(r, "trials.0.params.activation"), "elu");
    hone_result_destroy(r);
    rig_close(&g);
}
END_TEST

/* ---- settings of a trial ------------------------------------------------------------------------------------------------------ */

START_TEST(a_trial_says_its_widths)
{
    struct rig g;
    struct hn_tune t = { 0 };
    hone_params *p;
    static const char *const none[] = { NULL };
    hn_fault_init(&g.fault);
    HN_OK(rig_open(&g, "units", "4-6-3", none), err);
    t.ctx = g.ctx;
    HN_OK(hone_params_create(g.ctx, &t.base, &err), err);
    t.hidden = (struct hn_hidden_info){ .n = 2, .width = { 6, 5 } };
    t.start_as = (struct hn_hidden_plan){ .n = 2, .width = { 6, 5 } };
    hn_space_init(&t.space, &g.ctx->mem);
    HN_OK(hn_space_add(&t.space, "hidden_layers=int:1..4", NULL, &err), err);
    HN_OK(hn_space_add(&t.space, "units_2=8,16", NULL, &err), err);
    HN_OK(hn_space_add(&t.space, "freeze_layers=int:0..4", NULL, &err), err);
    HN_OK(hn_knobs_link(&t.space, &err), err);
    HN_OK(hn_space_finish(&t.space, &err), err);
    static const struct {
        double x[3];
        const char *units[5], *freeze;
    } cases[] = {
        { { 1, (double)NAN, 3 }, { "6" }, "1" }, /* no more than there are */
        { { 2, 1, 1 }, { "6", "16" }, "1" },
        { { 4, 0, 4 }, { "6", "8", "5", "5" }, "4" }, /* as wide as the model's last one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_trial trial = { .number = 1, .x = (double *)(uintptr_t)cases[i].x, .note = "" };
        HN_OK(hn_tune_settings(&t, &trial, &p, &err), err);
        for (size_t k = 0; k < 5; k++) {
            const char *has = hone_params_get(p, "hidden-units", k), *want = cases[i].units[k];
            ck_assert_msg(!has == !want && (!has || !strcmp(has, want)), "case %zu layer %zu: %s",
                          i, k, has ? has : "-");
            if (!want) break;
        }
        ck_assert_str_eq(hone_params_get(p, "freeze-layers", 0), cases[i].freeze);
        hone_params_destroy(p);
    }
    hone_params_destroy(t.base);
    hn_space_clear(&t.space);
    rig_close(&g);
}
END_TEST

/* ---- failures ----------------------------------------------------------------------------------------------------------------- */

static const char *const all_knobs[] = {
    "hidden_layers=int:1..2", "units_1=4,8",  "units_2=4,8", "activation=relu,gelu",
    "freeze_layers=0,1",      "init=keep,he", NULL
};

START_TEST(memory_runs_out)
{
    long calls = 0;
    for (long n = 0; n <= calls; n += 1 + calls / 120) {
        struct rig g;
        hone_result *r = NULL;
        hn_fault_init(&g.fault);
        g.fault.mem_fail.at = n;
        hone_status st = rig_open(&g, "memory", "4-6-3 relu batchnorm softmax", all_knobs);
        int opened = st == HONE_OK;
        if (opened) st = hone_tune(g.model, g.data, g.params, NULL, &r, &err);
        if (n == 0) calls = atomic_load(&g.fault.mem_fail.calls);
        ck_assert(st == HONE_OK ? r || !opened : !r);
        ck_assert_msg(st == HONE_OK || st == HONE_E_NOMEM || st == HONE_E_IO, "call %ld: %d %s: %s",
                      n, (int)st, err.where, err.text);
        g.fault.mem_fail.at = 0;
        hone_result_destroy(r);
        rig_close(&g);
    }
    ck_assert_int_gt(calls, 1000);
}
END_TEST

HN_TEST_MAIN("knobs", tcase_set_timeout(tc, 300); tcase_add_test(tc, units_depend_on_depth);
             tcase_add_test(tc, what_means_nothing_is_not_searched);
             tcase_add_test(tc, trial_0_is_where_the_model_stands);
             tcase_add_test(tc, activation_of_trial_0); tcase_add_test(tc, a_trial_says_its_widths);
             tcase_add_test(tc, memory_runs_out);)
