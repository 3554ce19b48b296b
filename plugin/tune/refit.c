/* SPDX-License-Identifier: MIT
 *
 * The model that leaves a search: the best settings trained once more, on all rows but the test's for as many epochs as the
 * folds were judged after (no row is left to stop by; with --save last the median of their ends, rounded), or on the training
 * rows as the trial was. More rows make more steps of the same number of epochs. A schedule that knows its end (cosine, poly,
 * onecycle) spans these epochs; one that counts epochs (step, multistep, exponential) goes as it did in the trial; plateau
 * watches the training loss. Shuffles, masks and initial weights are then those of hone train with the same seed, so that it
 * gives the same model (best.yaml has the settings); on the training rows they are the trial's, in an ensemble each member has
 * its own. It is taken only when
 * it is no worse than the imported model over the rows it was trained on; then it is judged once by the test rows. */
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <string.h>

struct pair {
    const char *name, *value;
};

static hone_status set_all(hone_params *p, const struct pair *list, hone_error *err)
{
    for (; list->name; list++) HN_TRY(hone_params_set(p, list->name, list->value, err));
    return HONE_OK;
}

/* The average begins with the epoch that it began with in the trial; where that one is never reached there is none. */
static hone_status keep_averaging(struct hn_tune *t, hone_params *p, int64_t epochs,
                                  hone_error *err)
{
    const char *const names[] = { "swa-start", "swa-lr", "swa-anneal" };
    double asked = hn_param_f(p, "swa-start");
    int64_t start = hn_swa_epoch(asked, hn_param_i(p, "epochs"));
    for (int i = 0; i < 3 && (start < 1 || start > epochs); i++)
        HN_TRY(hone_params_set(p, names[i], NULL, err));
    if (start < 1 || start > epochs) return HONE_OK;
    const char *text = hn_arena_printf(&t->arena, "%lld", (long long)start);
    return text ? hone_params_set(p, "swa-start", text, err) : hn_nomem(err, "a number", 0);
}

/* Nothing to watch but the training loss: a fixed number of epochs, the last weights. */
static hone_status for_epochs(struct hn_tune *t, hone_params *p, int64_t epochs, hone_error *err)
{
    const struct pair list[] = { { "early-stop-patience", NULL },
                                 { "target-metric", NULL },
                                 { "monitor", "train_loss" },
                                 { "save", "last" },
                                 { NULL, NULL } };
    const char *text = hn_arena_printf(&t->arena, "%lld", (long long)epochs);
    if (!text) return hn_nomem(err, "a number", 0);
    HN_TRY(set_all(p, list, err));
    HN_TRY(keep_averaging(t, p, epochs, err));
    return hone_params_set(p, "epochs", text, err);
}

/* Worse than what came, over the rows it was trained on? */
const char *hn_refit_objection(const struct hn_tune *t, const struct hn_figures *train)
{
    double was, is;
    const char *name = t->monitor + strlen("val_");
    if (!hn_metric_get(train, name, &is) || !isfinite(is)) return "its figures are not finite";
    if (hn_metric_get(&t->judging.before_all, name, &was) && hn_tune_better(t, was, is))
        return "trained on all rows it is worse on them than the imported model";
    return NULL;
}

static hone_status train(struct hn_tune *t, struct hn_job *j, struct hone_data *d,
                         struct hn_refit *r, hone_error *err)
{
    HN_TRY(hn_job_origin(j, err));
    HN_TRY(hn_job_judge(j, d, err));
    HN_TRY(hn_job_open(j, d, NULL, err));
    j->fit->hooks = (struct hn_fit_hooks){ 0 };
    HN_TRY(hn_job_start(j, err));
    HN_TRY(hn_fit_start(j->fit, err));
    HN_TRY(hn_fit_run(j->fit, err));
    if (j->fit->reason == HN_STOP_INTERRUPTED) {
        t->interrupted = 1;
        return HONE_OK;
    }
    HN_TRY(hn_job_finish(j, err));
    r->done = 1;
    r->epochs = j->fit->done;
    r->train = j->after[HONE_TRAIN];
    r->test = j->after[HONE_TEST];
    HN_TRY(hn_class_weights_copy(&j->s->class_weights, &t->arena, &r->classes, err));
    r->why = j->fit->reason == HN_STOP_DIVERGED ? "the training of all rows diverged"
                                                : hn_refit_objection(t, &r->train);
    r->accepted = !r->why;
    return HONE_OK;
}

hone_status hn_refit_settings(struct hn_tune *t, const struct hn_trial *best, int all,
                              hone_params **out, hone_error *err)
{
    struct hn_score score;
    const char *threads =
        hone_params_is_set(t->params, "threads") ? hone_params_get(t->params, "threads", 0) : NULL;
    hone_params *p;
    HN_TRY(hn_score_read(&score, &t->arena, best->note, err));
    HN_TRY(hn_tune_settings(t, best, &p, err));
    hone_status st = hone_params_set(p, "threads", threads, err);
    if (st == HONE_OK && all)
        st = for_epochs(t, p, score.best_epoch > 0 ? score.best_epoch : 1, err);
    if (st != HONE_OK) {
        hone_params_destroy(p);
        return st;
    }
    *out = p;
    return HONE_OK;
}

/* Rows of another file cannot join; with folds all rows are training rows. */
int hn_refit_rows(const struct hn_tune *t, struct hn_given_rows rows[3])
{
    const struct hn_judging *j = &t->judging;
    int all = j->k || (strcmp(t->refit.kind, "train") != 0 && !j->separate);
    for (int role = 0; role < 3; role++)
        rows[role] = all || role == HONE_TEST ? j->refit[role] : j->fold[0].rows[role];
    return all;
}

hone_status hn_refit_train(struct hn_tune *t, const struct hn_trial *trial, int alone,
                           struct hn_refit *r, hone_error *err)
{
    struct hn_job j;
    hone_params *p;
    double start = hn_seconds();
    struct hn_given_rows rows[3];
    int all = hn_refit_rows(t, rows);
    *r = (struct hn_refit){ .kind = all ? "all" : "train" };
    struct hone_data d = *t->data;
    d.given = rows;
    HN_TRY(hn_refit_settings(t, trial, all, &p, err));
    void (*log)(void *, hone_log_level, const char *) = t->ctx->log;
    if (t->quiet) t->ctx->log = NULL;
    hone_status st = hn_job_init(&j, t->model, p, err);
    j.trial = all && alone ? 0 : (uint32_t)trial->number;
    j.fold = all && !alone ? HN_REFIT_FOLD : 0;
    if (st == HONE_OK) st = train(t, &j, &d, r, err);
    hn_job_close(&j);
    t->ctx->log = log;
    hone_params_destroy(p);
    r->seconds = hn_seconds() - start;
    return st;
}

hone_status hn_tune_refit(struct hn_tune *t, const struct hn_trial *best, hone_error *err)
{
    struct hn_model_mark *mark;
    HN_TRY(hn_model_mark(t->model, &mark, err));
    hone_status st = hn_refit_train(t, best, 1, &t->refit, err);
    if (st == HONE_OK && !t->refit.accepted) st = hn_model_rewind(t->model, mark, err);
    hn_model_mark_free(mark);
    return st;
}
