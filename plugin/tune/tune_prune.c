/* SPDX-License-Identifier: MIT
 *
 * Pruning in a search: by which earlier trials one is judged, and what a fold's curve says about it. A trial sees those that
 * the lag lets it see, and all of these have ended when it is claimed: so what becomes of it does not depend on who runs what
 * when, and a fold that was trained ahead of its turn is judged afterwards as if it had been watched. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <string.h>

/* The most epochs of any trial. */
static int64_t most_epochs(const struct hn_tune *t)
{
    int at = hn_space_find(&t->space, "epochs");
    const struct hn_axis *a = at < 0 ? NULL : &t->space.axes[at];
    int64_t most = hn_param_i(t->base, "epochs"), v;
    if (a && a->kind != HN_AXIS_CHOICE) most = a->high > (double)most ? (int64_t)a->high : most;
    for (int i = 0; a && a->kind == HN_AXIS_CHOICE && i < a->n_choices; i++)
        if (hn_parse_i64(a->choices[i].text, strlen(a->choices[i].text), &v) && v > most) most = v;
    return most;
}

void hn_pruning_init(struct hn_tune *t)
{
    struct hn_pruning *p = &t->pruning;
    *p = (struct hn_pruning){ .n = 0 };
    p->pruner = hn_study_settings(t->study)->pruner;
    p->lag = hn_study_settings(t->study)->lag;
    p->steps = (struct hn_steps){ .folds = t->judging.n,
                                  .maximize = t->maximize,
                                  .epochs = most_epochs(t) };
    if (p->steps.epochs < 1) p->pruner.kind = HN_PRUNER_NONE;
}

void hn_pruning_free(struct hn_tune *t) { hn_free(&t->ctx->mem, t->pruning.course); }

/* ---- earlier trials --------------------------------------------------------------------------------------------------- */

static hone_status read_scores(struct hn_tune *t, int64_t number, struct hn_course *c,
                               struct hn_arena *raw, hone_error *err)
{
    struct hn_fold_curve *fold, *score;
    size_t n, values = 0;
    HN_TRY(hn_study_curves(t->study, number, raw, &fold, &n, err));
    if (n > (size_t)t->judging.n) n = (size_t)t->judging.n;
    for (size_t i = 0; i < n; i++) values += fold[i].n;
    score = hn_arena_alloc(&t->arena, n + 1, sizeof *score);
    double *v = hn_arena_alloc(&t->arena, values + 1, sizeof *v);
    if (!score || !v) return hn_nomem(err, "the curves of a search", values * sizeof *v);
    c->folds = hn_course_scores(&t->pruning.steps, fold, (int)n, v, score);
    c->score = score;
    return HONE_OK;
}

/* A failed trial was nowhere: what it had before tells nothing of where it ended. */
static hone_status add_course(struct hn_tune *t, const struct hn_trial *trial, hone_error *err)
{
    struct hn_pruning *p = &t->pruning;
    struct hn_course c = { .complete = trial->state == HN_TRIAL_DONE,
                           .value = t->maximize ? -trial->value : trial->value };
    hone_status st = HONE_OK;
    if (p->pruner.kind == HN_PRUNER_HYPERBAND)
        c.bracket = hn_prune_bracket(&p->pruner, &p->steps, trial->number);
    if (trial->state == HN_TRIAL_DONE || trial->state == HN_TRIAL_PRUNED) {
        struct hn_arena raw;
        hn_arena_init(&raw, &t->ctx->mem);
        st = read_scores(t, trial->number, &c, &raw, err);
        hn_arena_clear(&raw);
    }
    if (st != HONE_OK || HN_PUSH(&t->ctx->mem, p->course, p->n, p->cap, c)) return st;
    return hn_nomem(err, "the courses of a search", p->n * sizeof c);
}

static hone_status see_earlier(struct hn_tune *t, size_t upto, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    if (t->pruning.n >= upto) return HONE_OK;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    for (size_t i = t->pruning.n; i < upto; i++) {
        if (i >= n || trials[i].state < HN_TRIAL_DONE)
            return hn_fail(err, HONE_E_INTERNAL, t->path, "trial %zu should have ended", i);
        struct hn_trial trial = trials[i]; /* reading curves leaves the rows alone */
        HN_TRY(add_course(t, &trial, err));
    }
    return HONE_OK;
}

hone_status hn_pruning_rule(struct hn_tune *t, int64_t number, struct hn_arena *arena,
                            struct hn_rule **out, hone_error *err)
{
    struct hn_pruning *p = &t->pruning;
    int64_t seen = number - p->lag + 1;
    *out = NULL;
    if (p->pruner.kind == HN_PRUNER_NONE || seen < 1) return HONE_OK;
    HN_TRY(see_earlier(t, (size_t)seen, err));
    struct hn_rule *r = hn_arena_alloc(arena, 1, sizeof *r);
    struct hn_course *others = hn_arena_alloc(arena, (size_t)seen, sizeof *others);
    double *work = hn_arena_alloc(arena, (size_t)seen, sizeof *work);
    if (!r || !others || !work) return hn_nomem(err, "a trial's rule", (size_t)seen * 64);
    *r = (struct hn_rule){ .pruner = p->pruner, .steps = p->steps, .others = others, .work = work };
    for (int64_t i = 0; i < seen; i++)
        if (p->course[i].folds) others[r->n++] = p->course[i];
    if (p->pruner.kind == HN_PRUNER_HYPERBAND)
        r->bracket = hn_prune_bracket(&p->pruner, &p->steps, number);
    *out = r;
    return HONE_OK;
}

/* ---- a trial's folds -------------------------------------------------------------------------------------------------- */

/* The epoch after which the trial ends, 0: it goes on. */
static int64_t verdict(struct hn_watch *w, const struct hn_fold_result *f, int watched)
{
    int64_t n = (int64_t)f->n_curve;
    int last = w->fold + 1 == w->rule->steps.folds;
    for (int64_t e = 1; e <= n; e++) {
        hn_watch_value(w, f->curve[e - 1]);
        if (watched && e < n) continue;
        if (e == n && last && f->state == HN_FOLD_COMPLETE) break; /* it has ended before */
        if (hn_watch_fails(w, e)) return e;
    }
    return hn_watch_end(w, n) ? n : 0;
}

int hn_pruning_judge(struct hn_watch *w, struct hn_fold_result *f, int watched)
{
    if (!f->n_curve || isnan(w->before)) { /* not a step was made: nothing to compare */
        w->before = (double)NAN;
        return 0;
    }
    int64_t end = verdict(w, f, watched);
    if (end) hn_fold_cut(f, end, w->rule->steps.maximize);
    f->state = HN_FOLD_COMPLETE;
    if (!end) w->before += w->best;
    return end != 0;
}

hone_status hn_pruning_estimate(struct hn_tune *t, const struct hn_watch *w,
                                const struct hn_fold_result *f, double *value, double *noise,
                                hone_error *err)
{
    double score = (w->before + w->best) / (w->fold + 1);
    double *work = hn_alloc(&t->ctx->mem, (3 * w->rule->n + 1) * sizeof *work);
    if (!work) return hn_nomem(err, "the estimate of a trial", 3 * w->rule->n * sizeof *work);
    *value = hn_prune_estimate(w->rule, w->fold, f->epochs, score, work, noise);
    if (t->maximize) *value = -*value;
    hn_free(&t->ctx->mem, work);
    return HONE_OK;
}
