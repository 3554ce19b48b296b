/* SPDX-License-Identifier: MIT
 *
 * hone_lr_find: the learning rate range test (range.h) as a training job that is thrown away. The rate is a schedule of its
 * own; all else is as hone_train would begin: weights, batches, optimizer, losses. */
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include "plugin/train/range.h"
#include <math.h>
#include <string.h>

static const double TELL_SECONDS = 0.1;

enum ending { WHOLE, ROSE, NOT_FINITE, INTERRUPTED };

struct finder {
    struct hn_job *j;
    struct hn_range range;
    double low, high;
    enum ending ending;
    double seconds, told; /* since the test began; when the caller was last told */
    const hone_callbacks *cb;
};

static hone_status read_range(struct finder *f, hone_error *err)
{
    const hone_params *p = f->j->params;
    struct hn_range *r = &f->range;
    f->low = hn_param_f(p, "lr-from"), f->high = hn_param_f(p, "lr-to");
    r->steps = (int)hn_param_i(p, "steps");
    if (!(f->low < f->high))
        return hn_fail(err, HONE_E_USAGE, "lr-to", "found %g, wanted more than the %g of --lr-from",
                       f->high, f->low);
    r->point = hn_arena_alloc(&f->j->arena, (size_t)r->steps, sizeof *r->point);
    return r->point ? HONE_OK : hn_nomem(err, "the curve", (size_t)r->steps * sizeof *r->point);
}

/* One optimizer step; *loss of its batches. */
static hone_status take_step(struct finder *f, double *loss, hone_error *err)
{
    struct hn_cohort *c = f->j->cohort;
    struct hn_member *m = &c->member[0];
    const int64_t before = m->r.now.step;
    int64_t rows;
    if (m->state == HN_MEMBER_EPOCH_END) m->state = HN_MEMBER_READY;
    if (m->state == HN_MEMBER_READY) hn_cohort_begin_epoch(c, 0);
    memset(m->partial, 0, 2 * (size_t)c->prog->n_losses * sizeof *m->partial);
    while (m->state == HN_MEMBER_RUNNING && m->r.now.step == before)
        HN_TRY(hn_cohort_advance(c, 1, &rows, err));
    *loss = m->state == HN_MEMBER_DIVERGED ? (double)NAN : hn_member_loss(c, 0);
    return HONE_OK;
}

/* Tells the caller how far it is; not 0: stop. */
static int tell(struct finder *f, double seconds)
{
    const struct hn_range *r = &f->range;
    if (!f->cb || !f->cb->progress || !r->n || seconds < f->told + TELL_SECONDS) return 0;
    const hone_progress p = { .size = sizeof p,
                              .row = r->n,
                              .rows = r->steps,
                              .train_loss = r->point[r->n - 1].smoothed,
                              .lr = r->point[r->n - 1].lr,
                              .seconds = seconds,
                              .rows_per_second =
                                  (double)r->n * (double)f->j->cohort->member[0].batch / seconds,
                              .seconds_left = seconds / r->n * (r->steps - r->n),
                              .best_epoch = -1 };
    f->told = seconds;
    return f->cb->progress(f->cb->user, &p);
}

static hone_status test(struct finder *f, hone_error *err)
{
    struct hn_member *m = &f->j->cohort->member[0];
    const struct hn_schedule_opts o = { .kind = HN_LR_RANGE,
                                        .lr = f->low,
                                        .lr_max = f->high,
                                        .epochs = 1,
                                        .steps_per_epoch = f->range.steps };
    const double start = hn_seconds();
    hn_schedule_init(&m->schedule, &o);
    atomic_store(&f->j->ctx->begun, 1);
    while (f->range.n < f->range.steps && f->ending == WHOLE) {
        double loss;
        HN_TRY(take_step(f, &loss, err));
        if (!isfinite(loss))
            f->ending = NOT_FINITE;
        else if (!hn_range_add(&f->range, m->last_lr, loss))
            f->ending = ROSE;
        else if (atomic_load(&f->j->ctx->stop) || tell(f, hn_seconds() - start))
            f->ending = INTERRUPTED;
    }
    f->seconds = hn_seconds() - start;
    return HONE_OK;
}

/* ---- the result ---------------------------------------------------------------------------------------------------------- */

static void put_rate(hone_result *r, const char *key, const struct hn_range *range, int at)
{
    if (at < 0)
        hn_result_null(r, key);
    else
        hn_result_double(r, key, range->point[at].lr);
}

static void put_curve(hone_result *r, const struct hn_range *range)
{
    hn_result_array(r, "points");
    for (int i = 0; i < range->n; i++) {
        hn_result_object(r, NULL);
        hn_result_double(r, "lr", range->point[i].lr);
        hn_result_double(r, "loss", range->point[i].loss);
        hn_result_double(r, "smoothed", range->point[i].smoothed);
        hn_result_close(r);
    }
    hn_result_close(r);
}

static int lowest(const struct hn_range *range)
{
    int at = range->n ? 0 : -1;
    for (int i = 1; i < range->n; i++)
        if (range->point[i].smoothed < range->point[at].smoothed) at = i;
    return at;
}

static hone_status result(const struct finder *f, hone_result **out, hone_error *err)
{
    static const char *const endings[] = { "steps", "rose", "not_finite", "interrupted" };
    const struct hn_range *range = &f->range;
    const struct hn_job *j = f->j;
    int *room = hn_arena_alloc(&f->j->arena, (size_t)range->n + 1, sizeof *room);
    if (!room) return hn_nomem(err, "the curve", (size_t)range->n * sizeof *room);
    const int steep = hn_range_steepest(range), valley = hn_range_valley(range, room);
    HN_TRY(hn_result_create(j->ctx, "hone.lr-find/1", out, err));
    hone_result *r = *out;
    if (steep < 0)
        hn_result_null(r, "suggestion");
    else
        hn_result_double(r, "suggestion", hn_range_suggestion(range, steep, valley));
    hn_result_object(r, "suggestions");
    put_rate(r, "steepest", range, steep);
    put_rate(r, "valley", range, valley);
    hn_result_close(r);
    put_rate(r, "lowest", range, lowest(range));
    put_rate(r, "rises", range, hn_range_rises(range));
    hn_result_string(r, "stop_reason", endings[f->ending]);
    hn_result_int(r, "steps", range->n);
    hn_result_int(r, "batch_size", j->cohort->member[0].batch);
    hn_result_int(r, "rows", j->cohort->member[0].n_rows);
    hn_report_parameters(r, j->model, j->s->prog);
    hn_report_hyperparameters(r, j->params, &j->opts);
    hn_result_string(r, "device", j->s->backend->name);
    hn_result_int(r, "threads", j->s->threads);
    hn_result_double(r, "seconds", f->seconds);
    put_curve(r, range);
    hone_status st = hn_result_done(r, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(r);
    *out = NULL;
    return st;
}

/* ---- the call ------------------------------------------------------------------------------------------------------------- */

static hone_status find(struct hn_job *j, hone_data *d, const hone_callbacks *cb, hone_result **out,
                        hone_error *err)
{
    struct finder f = { .j = j, .cb = cb, .told = -TELL_SECONDS };
    HN_TRY(hn_options_company(j->params, NULL, err));
    HN_TRY(read_range(&f, err));
    HN_TRY(hn_job_open(j, d, NULL, err));
    HN_TRY(hn_job_weights(j, err));
    HN_TRY(test(&f, err));
    return result(&f, out, err);
}

static hone_status lr_find(hone_model *m, hone_data *d, const hone_params *params,
                           const hone_callbacks *cb, hone_result **out, hone_error *err)
{
    struct hn_job j;
    struct hn_model_mark *mark = NULL;
    *out = NULL;
    hn_context_enter(hn_model_context(m));
    if (!d) return hn_train_no_data(params, err);
    if (strcmp(hn_param_s(params, "batch-dim"), "symbolic") != 0)
        HN_TRY(hone_model_check(m, 1, err));
    HN_TRY(hn_model_mark(m, &mark, err));
    hone_status st = hn_job_init(&j, m, params, err);
    if (st == HONE_OK) st = find(&j, d, cb, out, err);
    hn_job_close(&j);
    hone_status back = hn_model_rewind(m, mark, st == HONE_OK ? err : NULL);
    hn_model_mark_free(mark);
    if (st != HONE_OK || back == HONE_OK) return st;
    hone_result_destroy(*out);
    *out = NULL;
    return back;
}

hone_status hone_lr_find(hone_model *m, hone_data *d, const hone_params *params,
                         const hone_callbacks *cb, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, lr_find(m, d, params, cb, out, err), err);
}
