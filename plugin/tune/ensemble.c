/* SPDX-License-Identifier: MIT
 *
 * --ensemble: the best trials of different settings as one graph. What they are worth together is found as a trial's worth
 * is: on every fold each member is trained as its trial was (a trial is repeatable to the bit, so nothing of it had to be
 * kept) up to the epoch by which all of its folds were judged, the graphs become one, and that one is judged by the fold's
 * other rows. For the model that leaves each member is
 * trained again as the winner alone would be. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include "plugin/tune/tune.h"
#include "plugin/tune/tune_crew.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double WAIT_SECONDS = 0.05; /* between looks at the stop flag */

/* ---- before the search ----------------------------------------------------------------------------------------------------- */

/* The model with weights of its own, as two trials leave it. */
static hone_status understudy(struct hn_tune *t, const hone_params *p,
                              const struct hn_buffer *bytes, hone_model **out, hone_error *err)
{
    hone_result *r = NULL;
    HN_TRY(hone_model_load_bytes(t->ctx, bytes->p, bytes->n, NULL, out, err));
    hone_status st = hn_train_nothing(*out, p, &r, err);
    hone_result_destroy(r);
    if (st == HONE_OK) return HONE_OK;
    hone_model_destroy(*out);
    *out = NULL;
    return st;
}

static hone_status rehearse_with(struct hn_tune *t, hone_params *p, struct hn_buffer b[2],
                                 hone_error *err)
{
    hone_model *m = NULL;
    hone_status st = hn_model_bytes(t->model, &b[0], err);
    if (st == HONE_OK) st = understudy(t, p, &b[0], &m, err);
    if (st == HONE_OK) st = hn_model_bytes(m, &b[1], err);
    hone_model_destroy(m);
    m = NULL;
    if (st == HONE_OK) st = hone_params_set(p, "seed", "1", err);
    if (st == HONE_OK) st = understudy(t, p, &b[0], &m, err);
    if (st == HONE_OK) st = hn_model_ensemble(m, t->ensemble.line, &b[1], 1, err);
    hone_model_destroy(m);
    return st;
}

/* Two members with other weights: what the graph does not allow is said before hours of search. */
static hone_status rehearse(struct hn_tune *t, hone_error *err)
{
    static const char *const unset[] = { "scale",         "scale-target", "batchnorm",
                                         "hidden-layers", "hidden-units", "activation",
                                         "seed" };
    struct hn_buffer b[2];
    hone_params *p;
    HN_TRY(hn_params_copy(t->base, &p, err));
    hone_status st = hone_params_set(p, "epochs", "0", err);
    if (st == HONE_OK) st = hone_params_set(p, "init", "normal=1", err);
    for (size_t i = 0; i < sizeof unset / sizeof *unset && st == HONE_OK; i++)
        st = hone_params_set(p, unset[i], NULL, err);
    for (int i = 0; i < 2; i++) hn_buffer_init(&b[i], &t->ctx->mem);
    if (st == HONE_OK) st = rehearse_with(t, p, b, err);
    for (int i = 0; i < 2; i++) hn_buffer_free(&b[i]);
    hone_params_destroy(p);
    if (st == HONE_E_UNSUPPORTED)
        return hn_hint(err, st, "leave out --ensemble: the best trial alone can be exported");
    return st;
}

hone_status hn_ensemble_prepare(struct hn_tune *t, const struct hn_session *s, hone_error *err)
{
    struct hn_buffer line;
    if (!strcmp(t->refit.kind, "none"))
        return hn_fail(err, HONE_E_USAGE, "ensemble",
                       "found together with --refit none: the members are trained again");
    hn_buffer_init(&line, &t->ctx->mem);
    hone_status st = hn_ensemble_line(s, &line, err);
    if (st == HONE_OK && !(t->ensemble.line = hn_arena_strdup(&t->arena, line.p)))
        st = hn_nomem(err, "the ensemble", line.n);
    hn_buffer_free(&line);
    return st == HONE_OK ? rehearse(t, err) : st;
}

/* ---- members ---------------------------------------------------------------------------------------------------------------- */

static int same_settings(const struct hn_tune *t, const struct hn_trial *a,
                         const struct hn_trial *b)
{
    for (int i = 0; i < t->space.n; i++)
        if (a->x[i] != b->x[i] && !(isnan(a->x[i]) && isnan(b->x[i]))) return 0;
    return 1;
}

/* Is a the better choice? Of equals the earlier one. */
static int before(const struct hn_tune *t, const struct hn_trial *a, const struct hn_trial *b)
{
    return hn_tune_better(t, a->value, b->value) ||
           (!hn_tune_better(t, b->value, a->value) && a->number < b->number);
}

static int is_taken(const struct hn_tune *t, const struct hn_trial *trials,
                    const struct hn_trial *x)
{
    for (int i = 0; i < t->ensemble.n; i++)
        if (same_settings(t, &trials[t->ensemble.trial[i]], x)) return 1;
    return 0;
}

static hone_status pick(struct hn_tune *t, const struct hn_trial *trials, size_t n, hone_error *err)
{
    struct hn_ensemble *e = &t->ensemble;
    size_t most = (size_t)e->asked < n ? (size_t)e->asked : n;
    e->trial = hn_arena_alloc(&t->arena, most + 1, sizeof *e->trial);
    e->refit = hn_arena_alloc(&t->arena, most + 1, sizeof *e->refit);
    e->fold = hn_arena_alloc(&t->arena, (size_t)t->judging.n, sizeof *e->fold);
    if (!e->trial || !e->refit || !e->fold) return hn_nomem(err, "the ensemble", most);
    e->n = 0;
    while (e->n < e->asked) {
        const struct hn_trial *best = NULL;
        for (size_t i = 0; i < n; i++)
            if (trials[i].state == HN_TRIAL_DONE && isfinite(trials[i].value) &&
                (!best || before(t, &trials[i], best)) && !is_taken(t, trials, &trials[i]))
                best = &trials[i];
        if (!best) break;
        e->trial[e->n++] = best->number;
    }
    if (e->n < e->asked)
        hn_log(t->ctx, HONE_LOG_WARNING,
               "an ensemble of %d was asked for; there are %d trials of different settings that "
               "gave a value",
               e->asked, e->n);
    if (e->n > 1) return HONE_OK;
    e->why = "there are not two trials of different settings";
    e->n = 0;
    return HONE_OK;
}

/* ---- what they are worth ----------------------------------------------------------------------------------------------------- */

struct bench { /* members of one fold in training */
    struct hn_tune *t;
    const struct hn_trial *trials;
    struct hn_crew *crew;
    hone_params **params;   /* of each member */
    int64_t *until;         /* its last epoch; 0: as its settings say */
    struct hn_task *task;   /* of each member */
    struct hn_buffer *keep; /* their models */
};

/* The model made of n members' bytes, opened. */
static hone_status join(struct hn_tune *t, const struct hn_buffer *b, int n, hone_model **out,
                        hone_error *err)
{
    HN_TRY(hone_model_load_bytes(t->ctx, b[0].p, b[0].n, NULL, out, err));
    hone_status st = hn_model_ensemble(*out, t->ensemble.line, b + 1, (size_t)n - 1, err);
    if (st == HONE_OK) return HONE_OK;
    hone_model_destroy(*out);
    *out = NULL;
    return st;
}

static hone_status train_members(struct bench *b, int fold, hone_error *err)
{
    struct hn_tune *t = b->t;
    int n = t->ensemble.n, stopped = 0;
    for (int i = 0; i < n; i++) {
        b->task[i] = (struct hn_task){ .params = b->params[i],
                                       .trial = (uint32_t)t->ensemble.trial[i],
                                       .fold = (uint32_t)fold,
                                       .rows = &t->judging.fold[fold],
                                       .keep = &b->keep[i],
                                       .until = b->until[i] };
        hn_crew_give(b->crew, &b->task[i]);
    }
    for (int left = n; left;) {
        if (hn_crew_take(b->crew, WAIT_SECONDS)) left--;
        if (!stopped && atomic_load(&t->ctx->stop)) {
            stopped = t->interrupted = 1;
            hn_crew_stop(b->crew);
        }
    }
    for (int i = 0; i < n; i++) hn_free(&t->ctx->mem, b->task[i].result.curve);
    for (int i = 0; i < n && !t->interrupted; i++) {
        const struct hn_fold_result *r = &b->task[i].result;
        if (r->state == HN_FOLD_COMPLETE) continue;
        if (err) *err = r->why;
        return r->why.code
                   ? r->why.code
                   : hn_fail(err, HONE_E_INTERNAL, "ensemble", "trial %lld could not be repeated",
                             (long long)t->ensemble.trial[i]);
    }
    return HONE_OK;
}

static hone_status judge_fold(struct bench *b, int fold, hone_error *err)
{
    struct hn_tune *t = b->t;
    const struct hn_given_rows *rows = t->judging.fold[fold].rows;
    struct hn_figures f;
    hone_model *m;
    HN_TRY(train_members(b, fold, err));
    if (t->interrupted) return HONE_OK;
    HN_TRY(join(t, b->keep, t->ensemble.n, &m, err));
    hone_status st = hn_judge_model(t, m, &rows[HONE_TRAIN], &rows[HONE_VAL], &f, err);
    hone_model_destroy(m);
    if (st != HONE_OK) return st;
    if (!hn_metric_get(&f, t->monitor + strlen("val_"), &t->ensemble.fold[fold]))
        t->ensemble.fold[fold] = (double)NAN;
    for (int i = 0; i < t->ensemble.n; i++) hn_buffer_free(&b->keep[i]);
    return HONE_OK;
}

/* Several folds took the weights of one epoch (see hn_folds_same_epoch); a member is trained again for one epoch at least. */
static hone_status member_settings(struct bench *b, int i, hone_error *err)
{
    struct hn_tune *t = b->t;
    const struct hn_trial *trial = &b->trials[t->ensemble.trial[i]];
    struct hn_score score;
    HN_TRY(hn_tune_settings(t, trial, &b->params[i], err));
    if (t->judging.n < 2 || strcmp(hn_param_s(b->params[i], "save"), "best") != 0) return HONE_OK;
    HN_TRY(hn_score_read(&score, &t->arena, trial->note, err));
    b->until[i] = score.best_epoch > 0 ? score.best_epoch : 1;
    return hone_params_set(b->params[i], "save", "last", err);
}

static hone_status judge_folds(struct bench *b, hone_error *err)
{
    struct hn_tune *t = b->t;
    struct hn_ensemble *e = &t->ensemble;
    double squares = 0;
    int n = t->judging.n;
    for (int i = 0; i < e->n; i++) HN_TRY(member_settings(b, i, err));
    for (int i = 0; i < n && !t->interrupted; i++) HN_TRY(judge_fold(b, i, err));
    e->value = 0;
    for (int i = 0; i < n; i++) e->value += e->fold[i] / n;
    for (int i = 0; i < n; i++) squares += (e->fold[i] - e->value) * (e->fold[i] - e->value);
    e->std = sqrt(squares / n);
    return HONE_OK;
}

hone_status hn_ensemble_judge(struct hn_tune *t, const struct hn_trial *trials, size_t n,
                              hone_error *err)
{
    struct hn_ensemble *e = &t->ensemble;
    struct hn_mem *mem = &t->ctx->mem;
    struct bench b = { .t = t, .trials = trials };
    struct hn_buffer bytes;
    double start = hn_seconds();
    if (!e->asked) return HONE_OK;
    HN_TRY(pick(t, trials, n, err));
    if (!e->n) return HONE_OK;
    if (!t->outer)
        hn_log(t->ctx, HONE_LOG_NOTE, "the %d best trials are judged as one model", e->n);
    hn_buffer_init(&bytes, mem);
    b.params = hn_calloc(mem, (size_t)e->n, sizeof *b.params);
    b.until = hn_calloc(mem, (size_t)e->n, sizeof *b.until);
    b.task = hn_calloc(mem, (size_t)e->n, sizeof *b.task);
    b.keep = hn_calloc(mem, (size_t)e->n, sizeof *b.keep);
    hone_status st = b.params && b.until && b.task && b.keep
                         ? hn_model_bytes(t->model, &bytes, err)
                         : hn_nomem(err, "the ensemble", (size_t)e->n);
    for (int i = 0; b.keep && i < e->n; i++) hn_buffer_init(&b.keep[i], mem);
    if (st == HONE_OK) st = hn_crew_create(t->ctx, &bytes, t->data, t->jobs, &b.crew, err);
    if (st == HONE_OK) st = judge_folds(&b, err);
    hn_crew_destroy(b.crew);
    for (int i = 0; b.params && i < e->n; i++) hone_params_destroy(b.params[i]);
    for (int i = 0; b.keep && i < e->n; i++) hn_buffer_free(&b.keep[i]);
    hn_buffer_free(&bytes);
    hn_free(mem, b.params);
    hn_free(mem, b.until);
    hn_free(mem, b.task);
    hn_free(mem, b.keep);
    e->seconds = hn_seconds() - start;
    return st;
}

/* ---- the model that leaves --------------------------------------------------------------------------------------------------- */

struct making {
    struct hn_tune *t;
    const struct hn_trial *trials;
    struct hn_model_mark *mark; /* the imported model */
    struct hn_buffer *bytes;    /* of the members but the first, which is the model */
    int n;
};

/* hone.ensemble: which trials, and their settings; those of one member would mislead. */
static hone_status describe(const struct making *k, hone_error *err)
{
    struct hn_tune *t = k->t;
    struct hn_buffer b;
    struct hn_json j;
    char number[32];
    hn_buffer_init(&b, &t->ctx->mem);
    hn_json_begin(&j, &b.sink, 0, err);
    hn_json_array(&j, NULL);
    for (int m = 0; m < t->ensemble.n; m++) {
        const struct hn_trial *trial = &k->trials[t->ensemble.trial[m]];
        hn_json_object(&j, NULL);
        hn_json_int(&j, "trial", trial->number);
        hn_json_int(&j, "epochs", t->ensemble.refit[m].epochs);
        for (int i = 0; i < t->space.n; i++)
            if (!isnan(trial->x[i]))
                hn_json_string(&j, t->space.axes[i].name,
                               hn_axis_text(&t->space.axes[i], trial->x[i], number));
        hn_json_close(&j);
    }
    hn_json_close(&j);
    hone_status st = hn_json_end(&j);
    if (st == HONE_OK) st = hn_model_set_metadata(t->model, "hone.ensemble", b.p, err);
    hn_buffer_free(&b);
    HN_TRY(st);
    HN_TRY(hn_model_set_metadata(t->model, "hone.training", NULL, err));
    return hn_model_set_metadata(t->model, "hone.hyperparameters", NULL, err);
}

/* The last one first, so that the model is the first member at the end. One whose training of all rows went wrong ends it:
 * without that member it would be another ensemble than the one that was judged. */
static hone_status train_again(struct making *k, hone_error *err)
{
    struct hn_tune *t = k->t;
    struct hn_ensemble *e = &t->ensemble;
    for (int i = e->n - 1; i >= 0; i--) {
        HN_TRY(hn_model_rewind(t->model, k->mark, err));
        t->quiet = t->outer || i; /* every member would say the same */
        hone_status st = hn_refit_train(t, &k->trials[e->trial[i]], 0, &e->refit[i], err);
        t->quiet = t->outer;
        HN_TRY(st);
        if (t->interrupted) return HONE_OK;
        if (!e->refit[i].accepted) {
            e->why = hn_arena_printf(&t->arena, "trial %lld: %s", (long long)e->trial[i],
                                     e->refit[i].why);
            return e->why ? HONE_OK : hn_nomem(err, "a reason", 0);
        }
        if (i) HN_TRY(hn_model_bytes(t->model, &k->bytes[i], err));
    }
    return HONE_OK;
}

static hone_status make(struct making *k, hone_error *err)
{
    struct hn_tune *t = k->t;
    struct hn_ensemble *e = &t->ensemble;
    struct hn_given_rows rows[3];
    HN_TRY(train_again(k, err));
    if (t->interrupted || e->why) return HONE_OK;
    HN_TRY(hn_model_ensemble(t->model, e->line, k->bytes + 1, (size_t)e->n - 1, err));
    (void)hn_refit_rows(t, rows);
    HN_TRY(hn_judge_model(t, t->model, &rows[HONE_TRAIN], &t->judging.refit[HONE_TRAIN], &e->train,
                          err));
    HN_TRY(hn_judge_model(t, t->model, &rows[HONE_TRAIN], &rows[HONE_TEST], &e->test, err));
    e->why = hn_refit_objection(t, &e->train);
    e->exported = !e->why;
    return e->exported ? describe(k, err) : HONE_OK;
}

hone_status hn_ensemble_make(struct hn_tune *t, const struct hn_trial *trials, hone_error *err)
{
    struct hn_mem *mem = &t->ctx->mem;
    struct making k = { .t = t, .trials = trials, .n = t->ensemble.n };
    double start = hn_seconds();
    k.bytes = hn_calloc(mem, (size_t)k.n, sizeof *k.bytes);
    if (!k.bytes) return hn_nomem(err, "the members", (size_t)k.n * sizeof *k.bytes);
    for (int i = 0; i < k.n; i++) hn_buffer_init(&k.bytes[i], mem);
    hone_status st = hn_model_mark(t->model, &k.mark, err);
    if (st == HONE_OK) st = make(&k, err);
    if (st == HONE_OK && !t->ensemble.exported) st = hn_model_rewind(t->model, k.mark, err);
    hn_model_mark_free(k.mark);
    for (int i = 0; i < k.n; i++) hn_buffer_free(&k.bytes[i]);
    hn_free(mem, k.bytes);
    t->ensemble.seconds += hn_seconds() - start;
    return st;
}
