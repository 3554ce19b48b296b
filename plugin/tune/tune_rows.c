/* SPDX-License-Identifier: MIT
 *
 * Which rows train and which ones judge, and what the imported model is worth on them: see tune.h. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include "plugin/train/metric.h"
#include "plugin/tune/folds.h"
#include "plugin/tune/tune.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* a hash state on the stack */
#include <xxhash.h>

int hn_tune_better(const struct hn_tune *t, double a, double b)
{
    return t->maximize ? a > b : a < b;
}

void hn_judging_free(struct hn_judging *j)
{
    if (!j->mem) return;
    for (int i = 0; j->lists && i < 2 * j->n; i++) hn_free(j->mem, j->lists[i]);
    hn_free(j->mem, j->lists);
    hn_free(j->mem, j->fold);
    hn_free(j->mem, j->all);
    hn_free(j->mem, j->test);
    memset(j, 0, sizeof *j);
}

static hone_status room(struct hn_judging *j, int n, hone_error *err)
{
    j->fold = hn_calloc(j->mem, (size_t)n, sizeof *j->fold);
    j->lists = hn_calloc(j->mem, 2 * (size_t)n, sizeof *j->lists);
    j->n = n;
    return j->fold && j->lists ? HONE_OK : hn_nomem(err, "the folds", (size_t)n * sizeof *j->fold);
}

static hone_status copy_rows(struct hn_judging *j, const struct hn_rows *rows, uint32_t **out,
                             hone_error *err)
{
    size_t bytes = (size_t)rows->n * sizeof **out;
    *out = hn_alloc(j->mem, bytes ? bytes : 1);
    if (!*out) return hn_nomem(err, "the row list", bytes);
    if (bytes) memcpy(*out, rows->rows, bytes);
    return HONE_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------------ */

struct named {
    const struct hn_array *a;
    int64_t row;
    uint32_t id;
};

static int by_name(const void *x, const void *y)
{
    const struct named *a = x, *b = y;
    if (a->a->dtype == HN_STR) {
        const char *const *text = a->a->data;
        return strcmp(text[a->row], text[b->row]);
    }
    if (a->a->dtype == HN_I64) { /* a double cannot tell all of them apart */
        const int64_t *v = a->a->data;
        return v[a->row] < v[b->row] ? -1 : v[a->row] > v[b->row];
    }
    double u = hn_array_at(a->a, a->row, 0), v = hn_array_at(b->a, b->row, 0);
    return u < v ? -1 : u > v;
}

/* ids: of all rows by first appearance; out: of the given rows by name, without gaps. */
static void number_groups(const struct hn_rows *rows, const uint32_t *ids, struct named *name,
                          uint32_t *rank, struct hn_fold_options *o, uint32_t *out)
{
    uint32_t n = 0;
    for (int64_t i = 0; i < rows->n; i++) name[ids[rows->rows[i]]].row = rows->rows[i];
    for (uint32_t g = 0; g < o->n_groups; g++)
        if (name[g].row >= 0) name[n++] = name[g];
    qsort(name, n, sizeof *name, by_name);
    for (uint32_t g = 0; g < n; g++) rank[name[g].id] = g;
    for (int64_t i = 0; i < rows->n; i++) out[i] = rank[ids[rows->rows[i]]];
    o->groups = out;
    o->n_groups = n;
}

static hone_status group_numbers(struct hn_tune *t, const struct hn_rows *rows,
                                 struct hn_fold_options *o, uint32_t **out, hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    const struct hn_array *a = &t->data->role[HONE_TRAIN].group;
    uint32_t *ids = hn_alloc(m, (size_t)a->rows * sizeof *ids);
    hone_status st = ids ? hn_group_ids(a, m, ids, &o->n_groups, err)
                         : hn_nomem(err, "the groups", (size_t)a->rows * sizeof *ids);
    struct named *name = NULL;
    uint32_t *rank = NULL;
    if (st == HONE_OK) {
        name = hn_alloc(m, o->n_groups * sizeof *name);
        rank = hn_alloc(m, o->n_groups * sizeof *rank);
        *out = hn_alloc(m, (size_t)rows->n * sizeof **out);
        if (!name || !rank || !*out) st = hn_nomem(err, "the groups", o->n_groups * sizeof *name);
    }
    for (uint32_t g = 0; st == HONE_OK && g < o->n_groups; g++)
        name[g] = (struct named){ a, -1, g };
    if (st == HONE_OK) number_groups(rows, ids, name, rank, o, *out);
    hn_free(m, ids);
    hn_free(m, name);
    hn_free(m, rank);
    return st;
}

/* ---- folds ------------------------------------------------------------------------------------------------------------- */

static hone_status class_numbers(const struct hn_session *s, const struct hn_rows *rows,
                                 struct hn_fold_options *o, int32_t **out, hone_error *err)
{
    const int32_t *v = hn_session_row_classes(s);
    if (!v)
        return hn_fail(err, HONE_E_USAGE, "stratified",
                       "found a target that is no class: there are no shares to keep");
    *out = hn_alloc(&s->ctx->mem, (size_t)rows->n * sizeof **out);
    if (!*out) return hn_nomem(err, "the classes", (size_t)rows->n * sizeof **out);
    for (int64_t i = 0; i < rows->n; i++) (*out)[i] = v[rows->rows[i]];
    o->classes = *out;
    return HONE_OK;
}

static hone_status fold_rows(struct hn_judging *j, const struct hn_folds *f,
                             const struct hn_rows *rows, int i, hone_error *err)
{
    int at = i; /* among the folds of all repetitions */
    i %= f->k;
    for (int judge = 0; judge < 2; judge++) {
        int64_t n = judge ? f->size[i] : f->n - f->size[i];
        uint32_t *list = hn_alloc(j->mem, (size_t)n * sizeof *list + 1);
        if (!list) return hn_nomem(err, "the rows of a fold", (size_t)n * sizeof *list);
        j->lists[2 * at + judge] = list;
        n = hn_fold_rows(f, i, judge, list);
        for (int64_t k = 0; k < n; k++) list[k] = rows->rows[list[k]];
        j->fold[at].rows[judge ? HONE_VAL : HONE_TRAIN] =
            (struct hn_given_rows){ list, n, HONE_TRAIN };
    }
    return HONE_OK;
}

hone_status hn_draw_folds(struct hn_tune *t, const struct hn_session *s, const struct hn_draw *d,
                          struct hn_folds *f, hone_error *err)
{
    struct hn_mem *m = &t->ctx->mem;
    const struct hn_rows *rows = d->rows;
    int grouped = t->data->role[HONE_TRAIN].group.rows > 0,
        stratified = hn_param_b(t->params, "stratified");
    struct hn_fold_options o = { .n = rows->n,
                                 .k = d->k,
                                 .repeat = d->repeat,
                                 .shuffle = !hn_param_b(t->params, "no-shuffle"),
                                 .seed = (uint32_t)hn_param_i(t->params, "seed") };
    int32_t *classes = NULL;
    uint32_t *groups = NULL;
    hone_status st = HONE_OK;
    if (grouped) st = group_numbers(t, rows, &o, &groups, err);
    if (stratified) st = class_numbers(s, rows, &o, &classes, err);
    if (st == HONE_OK) st = hn_folds_make(f, m, &o, err);
    hn_free(m, classes);
    hn_free(m, groups);
    if (st == HONE_OK && f->small_classes && !d->repeat && !t->outer)
        hn_log(t->ctx, HONE_LOG_WARNING,
               grouped ? "whole groups leave some folds without a class: they are judged without it"
                       : "a class has fewer rows than there are folds: some folds are judged "
                         "without it");
    return st;
}

static hone_status make_folds(struct hn_tune *t, const struct hn_session *s, int k, hone_error *err)
{
    struct hn_judging *j = &t->judging;
    int repeats = (int)hn_param_i(t->params, "repeats");
    if (s->rows[HONE_VAL].n)
        return hn_fail(err, HONE_E_USAGE, "folds",
                       "found validation data as well: the folds judge, or those rows");
    if (repeats > 1 &&
        (hn_param_b(t->params, "no-shuffle") ||
         (t->data->role[HONE_TRAIN].group.rows && !hn_param_b(t->params, "stratified"))))
        return hn_fail(err, HONE_E_USAGE, "repeats",
                       "unshuffled folds, and folds of groups without --stratified, are the same "
                       "every time");
    if (k * repeats > HN_MAX_FOLDS)
        return hn_fail(err, HONE_E_USAGE, "repeats", "%d folds of %d draws, at most %d in all", k,
                       repeats, HN_MAX_FOLDS);
    HN_TRY(room(j, k * repeats, err));
    j->k = k;
    for (int r = 0; r < repeats; r++) {
        struct hn_folds f = { 0 };
        struct hn_draw draw = { &s->rows[HONE_TRAIN], k, r };
        hone_status st = hn_draw_folds(t, s, &draw, &f, err);
        for (int i = 0; st == HONE_OK && i < k; i++)
            st = fold_rows(j, &f, &s->rows[HONE_TRAIN], r * k + i, err);
        hn_folds_free(&f);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

static hone_status validation_rows(struct hn_tune *t, const struct hn_session *s, hone_error *err)
{
    struct hn_judging *j = &t->judging;
    if (!s->rows[HONE_VAL].n)
        return hn_hint(
            err,
            hn_fail(err, HONE_E_USAGE, "tune", "found no rows to judge the trials by, wanted some"),
            "--folds 5, or --val-split 0.2");
    HN_TRY(room(j, 1, err));
    j->separate = s->set_of[HONE_VAL] != HONE_TRAIN;
    for (int role = HONE_TRAIN; role <= HONE_VAL; role++) {
        HN_TRY(copy_rows(j, &s->rows[role], &j->lists[role], err));
        j->fold[0].rows[role] =
            (struct hn_given_rows){ j->lists[role], s->rows[role].n, s->set_of[role] };
    }
    return HONE_OK;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* What trains at the end: the training rows, and those that judged when they are of the same files. */
static hone_status refit_rows(struct hn_judging *j, const struct hn_session *s, hone_error *err)
{
    const struct hn_rows *train = &s->rows[HONE_TRAIN], *val = &s->rows[HONE_VAL];
    int64_t n = train->n + (j->separate ? 0 : val->n);
    j->all = hn_alloc(j->mem, (size_t)n * sizeof *j->all);
    if (!j->all) return hn_nomem(err, "the row list", (size_t)n * sizeof *j->all);
    memcpy(j->all, train->rows, (size_t)train->n * sizeof *j->all);
    if (n > train->n) memcpy(j->all + train->n, val->rows, (size_t)val->n * sizeof *j->all);
    qsort(j->all, (size_t)n, sizeof *j->all, ascending);
    j->refit[HONE_TRAIN] = (struct hn_given_rows){ j->all, n, HONE_TRAIN };
    HN_TRY(copy_rows(j, &s->rows[HONE_TEST], &j->test, err));
    j->refit[HONE_TEST] =
        (struct hn_given_rows){ j->test, s->rows[HONE_TEST].n, s->set_of[HONE_TEST] };
    return HONE_OK;
}

/* ---- the imported model ------------------------------------------------------------------------------------------------ */

static hone_status figures_over(struct hn_session *s, const struct hn_replica *r,
                                const struct hn_given_rows *g, struct hn_figures *out,
                                hone_error *err)
{
    struct hn_rows *at = &s->rows[HONE_TRAIN], was = *at;
    struct hn_evaluator *e = NULL;
    int set = s->set_of[HONE_TRAIN];
    if (g->n == 0) return HONE_OK;
    *at = (struct hn_rows){ (uint32_t *)(uintptr_t)g->rows, g->n };
    s->set_of[HONE_TRAIN] = g->set;
    hone_status st = hn_evaluator_create(s, &e, err);
    if (st == HONE_OK) st = hn_evaluator_run(e, r, HONE_TRAIN, out, err);
    hn_evaluator_destroy(e);
    *at = was;
    s->set_of[HONE_TRAIN] = set;
    return st;
}

/* The imported model over some rows. Balanced class weights are those of the rows that train when these judge. */
static hone_status figures_before(struct hn_tune *t, struct hn_session *s,
                                  const struct hn_replica *r, const struct hn_given_rows *trained,
                                  const struct hn_given_rows *rows, struct hn_figures *out,
                                  hone_error *err)
{
    return s->class_weights.balanced ? hn_judge_model(t, t->model, trained, rows, out, err)
                                     : figures_over(s, r, rows, out, err);
}

static hone_status guess_over(struct hn_session *s, const struct hn_given_rows *g,
                              struct hn_figures *out, hone_error *err)
{
    struct hn_rows *at = &s->rows[HONE_TRAIN], was = *at;
    const int set = s->set_of[HONE_TRAIN];
    *at = (struct hn_rows){ (uint32_t *)(uintptr_t)g->rows, g->n };
    s->set_of[HONE_TRAIN] = g->set;
    hone_status st = hn_guess_figures(s, HONE_TRAIN, out, err);
    *at = was;
    s->set_of[HONE_TRAIN] = set;
    return st;
}

/* The monitor of the best constant guess for each fold's rows, the mean of the folds. */
static hone_status guess(struct hn_tune *t, struct hn_session *s, hone_error *err)
{
    struct hn_judging *j = &t->judging;
    double sum = 0, v;
    for (int i = 0; i < j->n; i++) {
        struct hn_figures f;
        HN_TRY(guess_over(s, &j->fold[i].rows[HONE_VAL], &f, err));
        if (!f.rows || !hn_metric_get(&f, t->monitor + strlen("val_"), &v)) v = (double)NAN;
        sum += v;
    }
    j->guess = sum / j->n;
    return HONE_OK;
}

static hone_status no_monitor(const struct hn_tune *t, int fold, hone_error *err)
{
    const struct hn_judging *j = &t->judging;
    const int64_t n = j->fold[fold].rows[HONE_VAL].n;
    if (n > 1 || strcmp(t->monitor, "val_loss") == 0)
        return hn_fail(err, HONE_E_USAGE, "monitor",
                       "'%s' cannot be computed for this model and data", t->monitor);
    if (!j->k)
        return hn_fail(err, HONE_E_USAGE, "monitor",
                       "'%s' cannot be computed from one row, and there is one validation row",
                       t->monitor);
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "monitor",
                           "'%s' cannot be computed from one row, and fold %d has no more",
                           t->monitor, fold + 1),
                   "fewer folds, or --monitor val_loss, val_mae or val_rmse");
}

static hone_status baseline(struct hn_tune *t, struct hn_session *s, const struct hn_replica *r,
                            hone_error *err)
{
    struct hn_judging *j = &t->judging;
    struct hn_given_rows refit[3];
    double sum = 0, squares = 0;
    for (int i = 0; i < j->n; i++) {
        double v;
        HN_TRY(figures_before(t, s, r, &j->fold[i].rows[HONE_TRAIN], &j->fold[i].rows[HONE_VAL],
                              &j->fold[i].before, err));
        if (!hn_metric_get(&j->fold[i].before, t->monitor + strlen("val_"), &v))
            return no_monitor(t, i, err);
        sum += v;
        squares += v * v;
    }
    j->value = sum / j->n;
    double rest = squares / j->n - j->value * j->value;
    j->std = rest > 0 ? sqrt(rest) : 0;
    HN_TRY(guess(t, s, err));
    (void)hn_refit_rows(t, refit);
    HN_TRY(figures_before(t, s, r, &refit[HONE_TRAIN], &j->refit[HONE_TRAIN], &j->before_all, err));
    return figures_before(t, s, r, &refit[HONE_TRAIN], &j->refit[HONE_TEST], &j->before_test, err);
}

hone_status hn_judge_model(struct hn_tune *t, hone_model *m, const struct hn_given_rows *trained,
                           const struct hn_given_rows *rows, struct hn_figures *out,
                           hone_error *err)
{
    struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_replica r = { .hyper = &hyper };
    struct hn_given_rows given[3] = { *trained };
    struct hone_data d = *t->data;
    struct hn_session *s;
    given[rows->set == HONE_TRAIN ? HONE_VAL : rows->set] = *rows;
    d.given = given;
    *out = (struct hn_figures){ .rows = 0 };
    if (!rows->n) return HONE_OK;
    HN_TRY(hn_session_open(m, &d, t->base, HN_USE_JUDGE, &s, err));
    hone_status st = hn_session_load(s, &r, err);
    if (st == HONE_OK) st = figures_over(s, &r, rows, out, err);
    if (r.slab[HN_SLAB_W]) s->backend->release(s->dev, r.slab[HN_SLAB_W]);
    hn_session_close(s);
    return st;
}

/* The trials say nothing, and the refit speaks at the end. */
static void say_class_weights(const struct hn_tune *t, struct hn_session *s)
{
    const int apart = s->class_weights.balanced && (t->judging.k || t->nested.k);
    hn_class_weights_say(s, apart ? "; over all rows: each fold has those of its own" : "");
}

static hone_status make(struct hn_tune *t, struct hn_session *s, hone_error *err)
{
    struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_replica r = { .hyper = &hyper };
    int64_t k = hn_param_i(t->params, "folds");
    if (!k && hn_param_i(t->params, "repeats") > 1)
        return hn_hint(err, hn_fail(err, HONE_E_USAGE, "repeats", "found no folds to repeat"),
                       "--folds 5");
    HN_TRY(k ? make_folds(t, s, (int)k, err) : validation_rows(t, s, err));
    HN_TRY(refit_rows(&t->judging, s, err));
    if (t->nested.k && !t->outer) HN_TRY(hn_nested_rows(t, s, err));
    if (t->ensemble.asked) HN_TRY(hn_ensemble_prepare(t, s, err));
    HN_TRY(hn_session_data_hash(s, t->judging.data_hash, err));
    if (t->data->saying == HN_SAY) say_class_weights(t, s);
    hone_status st = hn_session_load(s, &r, err);
    if (st == HONE_OK) st = baseline(t, s, &r, err);
    if (r.slab[HN_SLAB_W]) s->backend->release(s->dev, r.slab[HN_SLAB_W]);
    return st;
}

hone_status hn_judging_make(struct hn_tune *t, hone_error *err)
{
    struct hn_session *s;
    t->judging.mem = &t->ctx->mem;
    HN_TRY(hn_session_open(t->model, t->data, t->base, HN_USE_JUDGE, &s, err));
    hone_status st = make(t, s, err);
    hn_session_close(s);
    return st;
}

/* ---- the fingerprint --------------------------------------------------------------------------------------------------- */

static int matters(const hone_param_info *p)
{
    return (!strcmp(p->group, "training") && strcmp(p->name, "max-seconds") != 0) ||
           !strncmp(p->name, "scale", 5);
}

hone_status hn_judging_fingerprint(struct hn_tune *t, char text[33], hone_error *err)
{
    static const char digits[] = "0123456789abcdef";
    const struct hn_judging *j = &t->judging;
    unsigned char model[16];
    const char *value;
    hone_param_info p = { .size = sizeof p };
    XXH3_state_t h;
    hn_model_hash(t->model, model);
    int bad = XXH3_128bits_reset(&h) == XXH_ERROR;
    bad |= XXH3_128bits_update(&h, model, sizeof model) == XXH_ERROR;
    bad |= XXH3_128bits_update(&h, j->data_hash, sizeof j->data_hash) == XXH_ERROR;
    for (int i = 0; i < j->n; i++)
        for (int role = HONE_TRAIN; role <= HONE_VAL; role++) {
            const struct hn_given_rows *g = &j->fold[i].rows[role];
            bad |= XXH3_128bits_update(&h, &g->n, sizeof g->n) == XXH_ERROR;
            bad |= XXH3_128bits_update(&h, g->rows, (size_t)g->n * sizeof *g->rows) == XXH_ERROR;
        }
    for (size_t i = 0; hone_param_at(i, &p); i++) {
        if (!matters(&p)) continue;
        for (size_t k = 0; (value = hone_params_get(t->base, p.name, k)); k++) {
            bad |= XXH3_128bits_update(&h, p.name, strlen(p.name) + 1) == XXH_ERROR;
            bad |= XXH3_128bits_update(&h, value, strlen(value) + 1) == XXH_ERROR;
        }
    }
    if (bad) return hn_fail(err, HONE_E_INTERNAL, "study", "its fingerprint failed");
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits_digest(&h));
    for (int i = 0; i < 16; i++) {
        text[2 * i] = digits[c.digest[i] >> 4];
        text[2 * i + 1] = digits[c.digest[i] & 15];
    }
    text[32] = '\0';
    return HONE_OK;
}
