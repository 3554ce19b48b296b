/* SPDX-License-Identifier: MIT
 *
 * What the result of a search says of its end: the comparison with the imported model, the ensemble. */
#include "ops/base/status.h"
#include "plugin/tune/tune.h"

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
