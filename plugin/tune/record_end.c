/* SPDX-License-Identifier: MIT
 *
 * What the result of a search says of its end: the comparison with the imported model, the ensemble, the outer folds. */
#include "ops/base/status.h"
#include "plugin/tune/tune.h"
#include <math.h>

static void put_paired(hone_result *r, const struct hn_paired *c)
{
    hn_result_int(r, "folds", c->n);
    hn_result_int(r, "better", c->better);
    hn_result_int(r, "equal", c->equal);
    hn_result_double(r, "difference", c->mean);
    hn_result_double(r, "std", c->std);
    if (c->n < 2) { /* one split: no spread to judge by */
        hn_result_null(r, "se");
        hn_result_null(r, "t");
        hn_result_null(r, "p");
        return;
    }
    hn_result_double(r, "se", c->se);
    hn_result_double(r, "t", c->t);
    hn_result_double(r, "p", c->p);
}

/* What the exported model, or the best trial where none was, gains over the imported one on the rows that judge. */
hone_status hn_result_comparison(struct hn_tune *t, hone_result *r, const struct hn_trial *best,
                                 hone_error *err)
{
    struct hn_paired c;
    if (!best) {
        hn_result_null(r, "comparison");
        return HONE_OK;
    }
    HN_TRY(hn_tune_compare(t, best, &c, err));
    hn_result_object(r, "comparison");
    put_paired(r, &c);
    hn_result_close(r);
    return HONE_OK;
}

void hn_result_ensemble(const struct hn_tune *t, hone_result *r, const struct hn_trial *best)
{
    const struct hn_ensemble *e = &t->ensemble;
    if (!e->asked || !best) {
        hn_result_null(r, "ensemble");
        return;
    }
    hn_result_object(r, "ensemble");
    hn_result_int(r, "asked", e->asked);
    hn_result_array(r, "members");
    for (int i = 0; i < e->n; i++) hn_result_int(r, NULL, e->trial[i]);
    hn_result_close(r);
    if (e->n) {
        hn_result_double(r, "value", e->value);
        hn_result_double(r, "std", e->std);
        hn_result_array(r, "folds");
        for (int i = 0; i < t->judging.n; i++) hn_result_double(r, NULL, e->fold[i]);
        hn_result_close(r);
        hn_result_bool(r, "better_than_best", hn_tune_better(t, e->value, best->value));
    } else {
        hn_result_null(r, "value");
    }
    hn_result_bool(r, "exported", e->exported);
    hn_result_string(r, "why", e->why);
    hn_result_array(r, "epochs");
    for (int i = 0; i < e->n && e->exported; i++) hn_result_int(r, NULL, e->refit[i].epochs);
    hn_result_close(r);
    if (e->train.rows)
        hn_figures_result(r, "train", &e->train);
    else
        hn_result_null(r, "train");
    hn_result_double(r, "seconds", e->seconds);
    hn_result_close(r);
}

/* ---- nested cross-validation ------------------------------------------------------------------------------------------------ */

static void put_outer(hone_result *r, const struct hn_outer *o)
{
    hn_result_object(r, NULL);
    hn_result_int(r, "rows", o->rows[HONE_TEST].n);
    hn_result_double(r, "value", o->value);
    hn_result_double(r, "imported", o->imported);
    hn_result_int(r, "best_trial", o->best);
    hn_result_double(r, "best_value", o->best_value);
    hn_result_bool(r, "changed", o->changed);
    hn_result_close(r);
}

/* The outer values are free of the search's luck; the comparison of them is one of the procedure with the imported model. */
static void put_nested(const struct hn_tune *t, hone_result *r, double *v)
{
    const struct hn_nested *e = &t->nested;
    struct hn_paired c, own;
    for (int i = 0; i < e->done; i++) v[i] = e->fold[i].value;
    hn_paired_compare(v, e->done, e->k,
                      &own); /* mean, std and corrected se of the values themselves */
    for (int i = 0; i < e->done; i++)
        v[i] = (t->maximize ? 1 : -1) * (e->fold[i].value - e->fold[i].imported);
    hn_paired_compare(v, e->done, e->k, &c);
    hn_result_object(r, "nested");
    hn_result_int(r, "k", e->k);
    hn_result_bool(r, "complete", e->done == e->k);
    hn_result_array(r, "values");
    for (int i = 0; i < e->done; i++) hn_result_double(r, NULL, e->fold[i].value);
    hn_result_close(r);
    if (e->done) {
        hn_result_double(r, "mean", own.mean);
        hn_result_double(r, "std", own.std);
    } else {
        hn_result_null(r, "mean");
        hn_result_null(r, "std");
    }
    if (isnan(own.se))
        hn_result_null(r, "se");
    else
        hn_result_double(r, "se", own.se);
    hn_result_array(r, "folds");
    for (int i = 0; i < e->done; i++) put_outer(r, &e->fold[i]);
    hn_result_close(r);
    hn_result_object(r, "comparison");
    put_paired(r, &c);
    hn_result_close(r);
    hn_result_close(r);
}

hone_status hn_result_nested(struct hn_tune *t, hone_result *r, hone_error *err)
{
    if (!t->nested.k) {
        hn_result_null(r, "nested");
        return HONE_OK;
    }
    double *v = hn_arena_alloc(&t->arena, (size_t)t->nested.k, sizeof *v);
    if (!v) return hn_nomem(err, "the outer folds", (size_t)t->nested.k * sizeof *v);
    put_nested(t, r, v);
    return HONE_OK;
}
