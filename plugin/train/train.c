/* SPDX-License-Identifier: MIT
 *
 * hone_train: a model, data and parameters in; the model trained in place and a result out. On a failure the model is what
 * it was. */
#include "ops/base/status.h"
#include "plugin/data_open.h"
#include "plugin/train/job.h"
#include <string.h>

/* The folder asked for, or OUT.run; NULL in *dir when the run has none. */
static hone_status folder_name(struct hn_job *j, const char **dir, hone_error *err)
{
    const char *out = hn_param_s(j->params, "out");
    *dir = hn_param_s(j->params, "run-dir");
    if ((*dir)[0]) return HONE_OK;
    *dir = NULL;
    if (!out[0]) return HONE_OK;
    *dir = hn_arena_printf(&j->arena, "%s.run", out);
    return *dir ? HONE_OK : hn_nomem(err, "the run folder's name", strlen(out));
}

static hone_status open_folder(struct hn_job *j, hone_error *err)
{
    const char *dir;
    int force = hn_param_b(j->params, "force");
    HN_TRY(folder_name(j, &dir, err));
    return hn_rundir_open(&j->dir, j->ctx, dir, hn_param_s(j->params, "events"),
                          force ? HN_RUNDIR_FORCE : HN_RUNDIR_NEW, err);
}

/* One step, and what it took. */
static hone_status dry_run(struct hn_job *j, hone_result **out, hone_error *err)
{
    int64_t rows;
    double start = hn_seconds();
    hn_cohort_begin_epoch(j->cohort, 0);
    HN_TRY(hn_cohort_advance(j->cohort, 1, &rows, err));
    double took = hn_seconds() - start;
    HN_TRY(hn_result_create(j->ctx, "hone.train/1", out, err));
    hone_result *r = *out;
    hn_result_bool(r, "dry_run", 1);
    hn_report_parameters(r, j->model, j->s->prog);
    hn_report_hyperparameters(r, j->params, &j->opts);
    hn_class_weights_result(r, &j->s->class_weights);
    hn_result_object(r, "rows");
    hn_result_int(r, "train", j->s->rows[HONE_TRAIN].n);
    hn_result_int(r, "val", j->s->rows[HONE_VAL].n);
    hn_result_int(r, "test", j->s->rows[HONE_TEST].n);
    hn_result_close(r);
    hn_result_int(r, "memory_peak", (int64_t)atomic_load(&j->ctx->mem.peak));
    hn_result_string(r, "device", j->s->backend->name);
    hn_result_int(r, "threads", j->s->threads);
    hn_result_double(r, "loss", hn_member_loss(j->cohort, 0));
    hn_result_double(r, "first_step_seconds", took);
    hone_status st = hn_result_done(r, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(r);
    *out = NULL;
    return st;
}

static hone_status train(struct hn_job *j, hone_result **out, hone_error *err)
{
    HN_TRY(open_folder(j, err));
    atomic_store(&j->ctx->begun, 1);
    HN_TRY(hn_fit_start(j->fit, err));
    HN_TRY(hn_rundir_begin(&j->dir, j->fit, &j->origin, err));
    HN_TRY(hn_job_run(j, err));
    HN_TRY(hn_job_finish(j, err));
    return hn_job_result(j, -1, out, err);
}

static hone_status open_and_train(struct hn_job *j, hone_data *d, const hone_callbacks *cb,
                                  hone_result **out, hone_error *err)
{
    HN_TRY(hn_options_company(j->params, NULL, err));
    HN_TRY(hn_job_origin(j, err));
    HN_TRY(hn_job_judge(j, d, err));
    HN_TRY(hn_job_open(j, d, cb, err));
    HN_TRY(hn_job_start(j, err));
    return hn_param_b(j->params, "dry-run") ? dry_run(j, out, err) : train(j, out, err);
}

struct given { /* what hone_train was given */
    hone_model *m;
    hone_data *d;
    const hone_callbacks *cb;
    struct hn_model_mark *mark; /* of the model as it came */
};

/* One run, from opening to result; the model is what it was where that failed. *began: a run that
 * failed has left something to go on from. */
static hone_status run(const struct given *g, const hone_params *params, int *began,
                       hone_result **out, hone_error *err)
{
    struct hn_job j;
    hone_status st = hn_job_init(&j, g->m, params, err);
    if (st == HONE_OK) st = open_and_train(&j, g->d, g->cb, out, err);
    const int failed_there = st != HONE_OK && j.dir.dir;
    const int kept = failed_there && hn_checkpoint_exists(j.ctx, j.dir.dir);
    *began = kept || (j.fit && j.fit->done > 0);
    if (failed_there && !kept) hn_rundir_remove(j.ctx, j.dir.dir); /* nothing in it to go on from */
    const int undo = st != HONE_OK || hn_param_b(params, "dry-run");
    hn_job_close(&j);
    const hone_status back =
        undo ? hn_model_rewind(g->m, g->mark, st == HONE_OK ? err : NULL) : HONE_OK;
    if (st != HONE_OK || back == HONE_OK) return st;
    hone_result_destroy(*out);
    *out = NULL;
    return back;
}

/* Is it the GPU that "auto" gave which failed, with nothing lost by beginning again without? */
static int without_gpu(const hone_context *ctx, hone_status st, int began)
{
    return (st == HONE_E_NOMEM || st == HONE_E_DEVICE) && atomic_load(&ctx->chose_gpu) && !began;
}

static hone_status run_on_cpu(const struct given *g, const hone_params *params, hone_result **out,
                              hone_error *err)
{
    hone_params *p = NULL;
    int began;
    hone_status st = params ? hn_params_copy(params, &p, err)
                            : hone_params_create(hn_model_context(g->m), &p, err);
    if (st == HONE_OK) st = hone_params_set(p, "device", "cpu", err);
    if (st == HONE_OK) st = run(g, p, &began, out, err);
    hone_params_destroy(p);
    return st;
}

static hone_status train_model(hone_model *m, hone_data *d, const hone_params *params,
                               const hone_callbacks *cb, hone_result **out, hone_error *err)
{
    struct given g = { m, d, cb, NULL };
    hone_context *ctx = hn_model_context(m);
    hone_error why = { 0 };
    int began;
    const char *path = hn_param_s(params, "out");
    *out = NULL;
    hn_context_enter(ctx);
    atomic_store(&ctx->chose_gpu, 0);
    HN_TRY(hn_places_check(m, params, err));
    if (path[0]) HN_TRY(hn_model_check_output(m, path, hn_param_b(params, "force"), err));
    HN_TRY(hn_pretrain_check(params, d && d->role[HONE_PRETRAIN].n_x, err));
    if (!hone_train_needs_data(params)) return hn_train_nothing(m, params, out, err);
    if (!d) return hn_train_no_data(params, err);
    if (strcmp(hn_param_s(params, "batch-dim"), "symbolic") != 0) /* that edit may free the batch */
        HN_TRY(hone_model_check(m, 1, err));
    HN_TRY(hn_model_mark(m, &g.mark, err));
    hone_status st = run(&g, params, &began, out, &why);
    if (without_gpu(ctx, st, began)) {
        hn_device_not_gpu(ctx, &why);
        why = (hone_error){ 0 };
        st = run_on_cpu(&g, params, out, &why);
    }
    hn_model_mark_free(g.mark);
    if (st != HONE_OK && err) *err = why;
    return st;
}

hone_status hone_train(hone_model *m, hone_data *d, const hone_params *params,
                       const hone_callbacks *cb, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, train_model(m, d, params, cb, out, err), err);
}
