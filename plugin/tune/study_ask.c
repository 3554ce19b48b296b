/* SPDX-License-Identifier: MIT
 *
 * The public study: ask and tell. Sequential: a proposal knows every result that is there, and trials that were asked for wait
 * for their value as long as it takes. */
#include "plugin/train/options.h"
#include "plugin/tune/study_open.h"
#include <math.h>

struct hone_study {
    hone_context *ctx;
    struct hn_study *study;
};

static hone_status open_study(hone_study *s, const char *path, const hone_params *params,
                              hone_error *err)
{
    struct hn_search_space space;
    struct hn_study_opts o = { .path = path, .fingerprint = "", .attempts = 1 };
    int given = 0;
    HN_TRY(hn_options_company(params, NULL, err));
    hn_space_init(&space, &s->ctx->mem);
    hone_status st = hn_space_of_params(params, NULL, &space, &given, err);
    if (st == HONE_OK) st = hn_study_opts_of_params(params, &o, err);
    if (st == HONE_OK && given) st = hn_settings_check(params, &space, err);
    o.keep |= HN_KEEP_LAG | HN_KEEP_PRUNER;
    o.space = given ? &space : NULL;
    if (st == HONE_OK) st = hn_study_open(s->ctx, &o, &s->study, err);
    hn_space_clear(&space);
    return st == HONE_OK ? hn_study_enqueue_settings(s->study, params, err) : st;
}

static hone_status open_handle(hone_context *ctx, const char *path, const hone_params *params,
                               hone_study **out, hone_error *err)
{
    hone_study *s = hn_calloc(&ctx->mem, 1, sizeof *s);
    *out = NULL;
    if (!s) return hn_nomem(err, "a study", sizeof *s);
    s->ctx = ctx;
    hone_status st = open_study(s, path, params, err);
    if (st == HONE_OK)
        *out = s;
    else
        hone_study_close(s);
    return st;
}

hone_status hone_study_open(hone_context *ctx, const char *path, const hone_params *params,
                            hone_study **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, open_handle(ctx, path, params, out, err), err);
}

void hone_study_close(hone_study *s)
{
    if (!s) return;
    hn_study_close(s->study);
    hn_free(&s->ctx->mem, s);
}

static hone_status done(hone_result **out, hone_status st, hone_error *err)
{
    if (st == HONE_OK && *out) st = hn_result_done(*out, err);
    if (st == HONE_OK) return st;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

static hone_status ask(hone_study *s, hone_result **out, hone_error *err)
{
    struct hn_claimed c;
    HN_TRY(hn_result_create(s->ctx, "hone.ask/1", out, err));
    hone_status st = hn_study_claim(s->study, &c, err);
    if (st == HONE_OK && c.what == HN_CLAIM_TRIAL) {
        hn_result_int(*out, "trial", c.trial.number);
        hn_result_object(*out, "params");
        hn_result_settings(*out, hn_study_space(s->study), c.trial.x);
        hn_result_close(*out);
    } else if (st == HONE_OK) {
        hn_result_bool(*out, "exhausted", 1);
    }
    return done(out, st, err);
}

hone_status hone_study_ask(hone_study *s, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&s->ctx->mem, ask(s, out, err), err);
}

static void put_best(hone_study *s, hone_result *r, const struct hn_trial *trials, size_t n)
{
    int64_t best = hn_best_trial(trials, n, hn_study_settings(s->study)->maximize);
    if (best < 0) {
        hn_result_null(r, "best_trial");
        return;
    }
    hn_result_int(r, "best_trial", best);
    hn_result_double(r, "best_value", trials[best].value);
    hn_result_object(r, "best_params");
    hn_result_settings(r, hn_study_space(s->study), trials[best].x);
    hn_result_close(r);
}

static hone_status tell(hone_study *s, int64_t trial, double value, hone_result **out,
                        hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    struct hn_outcome_report r = { .state = HN_TRIAL_DONE, .value = value };
    *out = NULL;
    HN_TRY(hn_study_finish(s->study, trial, &r, err));
    HN_TRY(hn_study_trials(s->study, &trials, &n, err));
    HN_TRY(hn_result_create(s->ctx, "hone.tell/1", out, err));
    hn_result_int(*out, "trial", trial);
    hn_result_string(*out, "state", hn_trial_state_names[trials[trial].state]);
    hn_result_int(*out, "trials", (int64_t)n);
    put_best(s, *out, trials, n);
    return done(out, HONE_OK, err);
}

hone_status hone_study_tell(hone_study *s, int64_t trial, double value, hone_result **out,
                            hone_error *err)
{
    return hn_nomem_why(&s->ctx->mem, tell(s, trial, value, out, err), err);
}

static hone_status describe(hone_study *s, hone_result **out, hone_error *err)
{
    const struct hn_study_opts *o = hn_study_settings(s->study);
    const struct hn_trial *trials;
    size_t n;
    *out = NULL;
    HN_TRY(hn_study_trials(s->study, &trials, &n, err));
    HN_TRY(hn_result_create(s->ctx, "hone.study/1", out, err));
    hone_result *r = *out;
    hn_result_string(r, "sampler", hn_sampler_names[o->sampler.kind]);
    hn_result_string(r, "direction", o->maximize ? "maximize" : "minimize");
    hn_result_space(r, hn_study_space(s->study));
    hn_result_array(r, "trials");
    for (size_t i = 0; i < n; i++) {
        hn_result_object(r, NULL);
        hn_result_int(r, "number", trials[i].number);
        hn_result_string(r, "state", hn_trial_state_names[trials[i].state]);
        hn_result_object(r, "params");
        hn_result_settings(r, hn_study_space(s->study), trials[i].x);
        hn_result_close(r);
        if (trials[i].state == HN_TRIAL_DONE)
            hn_result_double(r, "value", trials[i].value);
        else
            hn_result_null(r, "value");
        hn_result_close(r);
    }
    hn_result_close(r);
    put_best(s, r, trials, n);
    return done(out, HONE_OK, err);
}

hone_status hone_study_describe(hone_study *s, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&s->ctx->mem, describe(s, out, err), err);
}
