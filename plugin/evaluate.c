/* SPDX-License-Identifier: MIT
 *
 * hone_evaluate: loss and metrics of a model on a data set. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include "plugin/train/metric.h"

static void put_guess(hone_result *r, const struct hn_figures *f, const struct hn_figures *guess)
{
    const char *name;
    double v;
    if (!guess->rows) return;
    hn_result_object(r, "guess");
    for (size_t i = 0; (name = hn_metric_name(i)); i++)
        if (hn_metric_get(guess, name, &v)) hn_result_double(r, name, v);
    hn_result_bool(r, "beaten", hn_guess_beaten(f, guess));
    hn_result_close(r);
}

static hone_status result_of(hone_model *m, const struct hn_session *s, const struct hn_figures *f,
                             hone_result **out, hone_error *err)
{
    const char *name;
    double v;
    struct hn_figures guess;
    HN_TRY(hn_guess_figures(s, HONE_TRAIN, &guess, err));
    hn_guess_say(s->ctx, "rows", f, &guess,
                 s->class_weights.n || hone_params_is_set(s->params, "sample-weights"));
    HN_TRY(hn_result_create(hn_model_context(m), "hone.eval/1", out, err));
    hn_result_int(*out, "rows", f->rows);
    for (size_t i = 0; (name = hn_metric_name(i)); i++)
        if (hn_metric_get(f, name, &v)) hn_result_double(*out, name, v);
    hn_class_weights_result(*out, &s->class_weights);
    put_guess(*out, f, &guess);
    hn_standard_error_result(*out, "standard_error", f);
    hone_status st = hn_result_done(*out, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

static hone_status figures_of(struct hn_session *s, struct hn_figures *f, hone_error *err)
{
    struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_replica r = { .hyper = &hyper };
    struct hn_evaluator *e = NULL;
    hone_status st = hn_session_load(s, &r, err);
    if (st == HONE_OK) st = hn_evaluator_create(s, &e, err);
    if (st == HONE_OK) hn_evaluator_with_error(e);
    if (st == HONE_OK) st = hn_evaluator_run(e, &r, HONE_TRAIN, f, err);
    hn_evaluator_destroy(e);
    if (r.slab[HN_SLAB_W]) s->backend->release(s->dev, r.slab[HN_SLAB_W]);
    return st;
}

static hone_status evaluate(hone_model *m, hone_data *d, const hone_params *params,
                            hone_result **out, hone_error *err)
{
    *out = NULL;
    struct hn_session *s = NULL;
    struct hn_figures f;
    HN_TRY(hn_session_open(m, d, params, HN_USE_EVAL, &s, err));
    hone_status st = figures_of(s, &f, err);
    if (st == HONE_OK) st = result_of(m, s, &f, out, err);
    hn_session_close(s);
    return st;
}

hone_status hone_evaluate(hone_model *m, hone_data *d, const hone_params *params, hone_result **out,
                          hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, evaluate(m, d, params, out, err), err);
}
