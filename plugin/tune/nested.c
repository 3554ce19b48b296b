/* SPDX-License-Identifier: MIT
 *
 * Nested cross-validation (Cawley and Talbot, On over-fitting in model selection, JMLR 11, 2010): the value that a winner
 * won by is too good to be true, because it was chosen for it. So the whole procedure, search, choice, refit, and the right
 * to fall back on the imported model, runs once in each of K outer folds on the rows outside of it, and what would be
 * exported is judged by the fold's rows, which none of this has seen. The outer folds are scikit-learn's over all rows but
 * the test's; inside each of them the rows that judge trials are found as in the search itself. Every outer search has a
 * study of its own in the run folder, so that a run that was cut short goes on. The last search, of all rows, is the one that
 * exports. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include "plugin/train/fit.h"
#include "plugin/train/metric.h"
#include "plugin/tune/folds.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <string.h>

/* ---- rows -------------------------------------------------------------------------------------------------------------------- */

void hn_nested_free(struct hn_tune *t)
{
    struct hn_mem *m = &t->ctx->mem;
    for (int i = 0; t->nested.fold && i < t->nested.k; i++)
        for (int role = 0; role < 3; role++) hn_free(m, t->nested.fold[i].lists[role]);
    hn_free(m, t->nested.fold);
    t->nested.fold = NULL;
}

static hone_status list_of(struct hn_mem *m, int64_t n, uint32_t **out, hone_error *err)
{
    *out = hn_alloc(m, (size_t)n * sizeof **out + 1);
    return *out ? HONE_OK : hn_nomem(err, "the rows of an outer fold", (size_t)n * sizeof **out);
}

/* Groups of some rows, numbered by first appearance among them. */
static hone_status groups_of(struct hn_tune *t, const struct hn_given_rows *rows,
                             struct hn_split_options *o, uint32_t *out, hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    const struct hn_array *group = &t->data->role[HONE_TRAIN].group;
    uint32_t n_all, *ids = hn_alloc(m, (size_t)group->rows * sizeof *ids), *mine = NULL;
    hone_status st = ids ? hn_group_ids(group, m, ids, &n_all, err)
                         : hn_nomem(err, "the groups", (size_t)group->rows * sizeof *ids);
    if (st == HONE_OK && !(mine = hn_calloc(m, n_all, sizeof *mine)))
        st = hn_nomem(err, "the groups", n_all * sizeof *mine);
    for (int64_t i = 0; st == HONE_OK && i < rows->n; i++) {
        uint32_t *number = &mine[ids[rows->rows[i]]]; /* 0: not seen */
        if (!*number) *number = ++o->n_groups;
        out[i] = *number - 1;
    }
    o->groups = out;
    hn_free(m, ids);
    hn_free(m, mine);
    return st;
}

/* --val-split of the rows that are left outside a fold, as it would be drawn from a file of them alone. */
static hone_status split_inner(struct hn_tune *t, const struct hn_session *s, struct hn_outer *o,
                               hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    const int32_t *labels = hn_session_row_classes(s);
    struct hn_given_rows *train = &o->rows[HONE_TRAIN];
    struct hn_split_options opts = { .seed = (uint64_t)hn_param_i(t->params, "seed"),
                                     .val = hn_param_f(t->params, "val-split") };
    struct hn_split split = { 0 };
    size_t n = (size_t)train->n;
    int by_class = labels && !hn_param_b(t->params, "no-stratify"),
        grouped = t->data->role[HONE_TRAIN].group.rows > 0;
    uint32_t *groups = grouped ? hn_alloc(m, n * sizeof *groups + 1) : NULL;
    int32_t *classes = by_class ? hn_alloc(m, n * sizeof *classes + 1) : NULL;
    hone_status st = HONE_OK;
    if ((grouped && !groups) || (by_class && !classes))
        st = hn_nomem(err, "the rows of an outer fold", n * sizeof *groups);
    for (size_t i = 0; st == HONE_OK && classes && i < n; i++) classes[i] = labels[train->rows[i]];
    opts.classes = classes;
    if (st == HONE_OK && groups) st = groups_of(t, train, &opts, groups, err);
    if (st == HONE_OK) st = hn_split_rows(&split, m, train->n, &opts, err);
    if (st == HONE_OK) st = list_of(m, split.n_val, &o->lists[HONE_VAL], err);
    if (st == HONE_OK) {
        for (int64_t i = 0; i < split.n_val; i++) o->lists[HONE_VAL][i] = train->rows[split.val[i]];
        for (int64_t i = 0; i < split.n_train; i++) /* ascending: in place */
            o->lists[HONE_TRAIN][i] = train->rows[split.train[i]];
        train->n = split.n_train;
        o->rows[HONE_VAL] = (struct hn_given_rows){ o->lists[HONE_VAL], split.n_val, HONE_TRAIN };
    }
    hn_split_free(&split);
    hn_free(m, groups);
    hn_free(m, classes);
    return st;
}

static hone_status outer_rows(struct hn_tune *t, const struct hn_session *s,
                              const struct hn_folds *f, int i, hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    struct hn_outer *o = &t->nested.fold[i];
    const struct hn_rows *val = &s->rows[HONE_VAL];
    for (int test = 0; test < 2; test++) {
        int role = test ? HONE_TEST : HONE_TRAIN;
        int64_t n = test ? f->size[i] : f->n - f->size[i];
        HN_TRY(list_of(m, n, &o->lists[role], err));
        n = hn_fold_rows(f, i, test, o->lists[role]);
        for (int64_t k = 0; k < n; k++) o->lists[role][k] = t->judging.all[o->lists[role][k]];
        o->rows[role] = (struct hn_given_rows){ o->lists[role], n, HONE_TRAIN };
    }
    if (t->judging.k) return HONE_OK; /* folds judge inside, too */
    if (!t->judging.separate) return split_inner(t, s, o, err);
    HN_TRY(list_of(m, val->n, &o->lists[HONE_VAL], err));
    memcpy(o->lists[HONE_VAL], val->rows, (size_t)val->n * sizeof *val->rows);
    o->rows[HONE_VAL] = (struct hn_given_rows){ o->lists[HONE_VAL], val->n, s->set_of[HONE_VAL] };
    return HONE_OK;
}

hone_status hn_nested_rows(struct hn_tune *t, const struct hn_session *s, hone_error *err)
{
    struct hn_nested *e = &t->nested;
    struct hn_folds f = { 0 };
    struct hn_rows all = { t->judging.all, t->judging.refit[HONE_TRAIN].n };
    struct hn_draw draw = { &all, e->k, 0 };
    if (!strcmp(t->refit.kind, "none"))
        return hn_fail(err, HONE_E_USAGE, "nested",
                       "found together with --refit none: there would be no model to judge");
    e->fold = hn_calloc(&t->ctx->mem, (size_t)e->k, sizeof *e->fold);
    if (!e->fold) return hn_nomem(err, "the outer folds", (size_t)e->k * sizeof *e->fold);
    hone_status st = hn_draw_folds(t, s, &draw, &f, err);
    for (int i = 0; st == HONE_OK && i < e->k; i++) {
        st = outer_rows(t, s, &f, i, err);
        if (st == HONE_OK && e->fold[i].rows[HONE_TRAIN].n < t->judging.k)
            st = hn_fail(err, HONE_E_DATA, "nested",
                         "outer fold %d leaves %lld rows for %d folds inside", i + 1,
                         (long long)e->fold[i].rows[HONE_TRAIN].n, t->judging.k);
    }
    hn_folds_free(&f);
    return st;
}

/* ---- searches ---------------------------------------------------------------------------------------------------------------- */

static double monitored(const struct hn_tune *t, const struct hn_figures *f)
{
    double v;
    return hn_metric_get(f, t->monitor + strlen("val_"), &v) ? v : (double)NAN;
}

/* What would be exported, over the rows of the outer fold. */
static void note(const struct hn_tune *in, struct hn_outer *o, const struct hn_trial *best)
{
    const struct hn_figures *f = &in->judging.before_test;
    o->changed = in->ensemble.exported || in->refit.accepted;
    if (in->ensemble.exported)
        f = &in->ensemble.test;
    else if (in->refit.accepted)
        f = &in->refit.test;
    o->value = monitored(in, f);
    o->imported = monitored(in, &in->judging.before_test);
    o->best = best->number;
    o->best_value = best->value;
}

static hone_status search(struct hn_tune *in, struct hn_outer *o, hone_error *err)
{
    const struct hn_trial *trials;
    size_t n;
    HN_TRY(hn_tune_open(in, err));
    HN_TRY(hn_tune_run(in, err));
    HN_TRY(hn_tune_finish(in, err));
    HN_TRY(hn_study_trials(in->study, &trials, &n, err));
    if (!in->interrupted && in->best >= 0) note(in, o, &trials[in->best]);
    return HONE_OK;
}

/* Everything of the search that exports but rows, study and results. */
static hone_status run_fold(struct hn_tune *t, int i, hone_error *err)
{
    struct hn_outer *o = &t->nested.fold[i];
    struct hn_model_mark *mark;
    struct hone_data data = *t->data;
    struct hn_tune in = *t;
    data.given = o->rows;
    in.data = &data;
    in.dir = NULL; /* no files but the study */
    in.study = NULL;
    in.judging = (struct hn_judging){ .mem = NULL };
    in.refit = (struct hn_refit){ .kind = t->refit.kind };
    in.ensemble = (struct hn_ensemble){ .asked = t->ensemble.asked };
    in.nested = (struct hn_nested){ .k = t->nested.k };
    in.outer = i + 1;
    in.quiet = 1;
    in.best = -1;
    in.path = hn_arena_printf(&t->arena, "%s/nested-%d-of-%d.db", t->dir, i + 1, t->nested.k);
    if (!in.path) return hn_nomem(err, "a path", strlen(t->dir));
    if (hn_param_b(t->params, "force") && !hn_param_s(t->params, "study")[0])
        hn_tune_forget(t, in.path);
    if (t->deadline > 0) /* an even share of what is left, one for the search that exports */
        in.deadline = hn_seconds() + (t->deadline - hn_seconds()) / (t->nested.k - i + 1);
    hn_arena_init(&in.arena, &t->ctx->mem);
    hone_status st = hn_model_mark(t->model, &mark, err);
    if (st == HONE_OK) st = search(&in, o, err);
    hone_status back = mark ? hn_model_rewind(t->model, mark, st == HONE_OK ? err : NULL) : st;
    hn_model_mark_free(mark);
    t->interrupted = in.interrupted;
    t->told = in.told;
    t->nested.done += st == HONE_OK && !in.interrupted && in.best >= 0 && !in.told;
    hn_study_close(in.study);
    hn_judging_free(&in.judging);
    hn_arena_clear(&in.arena);
    return st == HONE_OK ? back : st;
}

hone_status hn_nested_run(struct hn_tune *t, hone_error *err)
{
    struct hn_nested *e = &t->nested;
    if (!t->dir)
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "nested", "found no run folder for its studies"),
                       "--run-dir DIR");
    hn_tune_watch(t); /* marks the folder as that of a search */
    for (int i = 0; i < e->k; i++) {
        HN_TRY(run_fold(t, i, err));
        if (e->done <= i) return HONE_OK; /* interrupted, told to end, out of time */
        hn_log(t->ctx, HONE_LOG_NOTE,
               "outer fold %d of %d: %s %.6g on rows the search has not seen, imported model %.6g",
               i + 1, e->k, t->monitor + strlen("val_"), e->fold[i].value, e->fold[i].imported);
        hn_tune_watch(t);
    }
    return HONE_OK;
}
