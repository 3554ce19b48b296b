/* SPDX-License-Identifier: MIT
 *
 * The end of a search: which trial won, whether it, or the ensemble, beats the imported model over the rows that judge, and
 * what of that leaves. An ensemble that was asked for comes first, then the best trial; where neither is better, or neither
 * stands the look at the rows it was trained on, the model stays the imported one. */
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <string.h>

static double gain_of(const struct hn_tune *t, double value)
{
    return t->maximize ? value - t->judging.value : t->judging.value - value;
}

/* Better than the imported model, and by as much as is wanted? Notes down what the result says of it. */
static int is_good(struct hn_tune *t, double value)
{
    double wanted = hn_param_f(t->params, "min-gain");
    int beats = hn_tune_better(t, value, t->judging.value),
        enough = isnan(wanted) || gain_of(t, value) >= wanted;
    t->beaten |= beats;
    t->gained |= enough;
    return beats && enough;
}

hone_status hn_tune_finish(struct hn_tune *t, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    HN_TRY(hn_study_trials(t->study, &trials, &n, err));
    t->best = hn_best_trial(trials, n, t->maximize);
    if (t->best < 0) {
        if (t->interrupted || !t->first_failure.code) return HONE_OK;
        if (err) *err = t->first_failure; /* every trial failed: why the first one did */
        return t->first_failure.code;
    }
    (void)is_good(t, trials[t->best].value);
    if (t->interrupted || !strcmp(t->refit.kind, "none")) return HONE_OK;
    HN_TRY(hn_ensemble_judge(t, trials, n, err));
    if (t->interrupted) return HONE_OK;
    if (t->ensemble.n && !is_good(t, t->ensemble.value))
        t->ensemble.why = "it is not better than the imported model";
    else if (t->ensemble.n)
        HN_TRY(hn_ensemble_make(t, trials, err));
    if (t->interrupted || t->ensemble.exported) return HONE_OK;
    t->beaten = t->gained = 0; /* the best trial alone has to */
    if (!is_good(t, trials[t->best].value)) return HONE_OK;
    return hn_tune_refit(t, &trials[t->best], err);
}

hone_status hn_tune_compare(struct hn_tune *t, const struct hn_trial *trial, struct hn_paired *out,
                            hone_error *err)
{
    const struct hn_judging *j = &t->judging;
    struct hn_score s;
    double *d = hn_arena_alloc(&t->arena, (size_t)j->n, sizeof *d);
    if (!d) return hn_nomem(err, "the folds' differences", (size_t)j->n * sizeof *d);
    HN_TRY(hn_score_read(&s, &t->arena, trial->note, err));
    for (int i = 0; i < j->n; i++) {
        double was = (double)NAN, is = t->ensemble.exported ? t->ensemble.fold[i]
                                       : i < s.n            ? s.fold[i].value
                                                            : (double)NAN;
        if (!hn_metric_get(&j->fold[i].before, t->monitor + strlen("val_"), &was))
            was = (double)NAN;
        d[i] = t->maximize ? is - was : was - is;
    }
    hn_paired_compare(d, j->n, j->k, out);
    return HONE_OK;
}
