/* SPDX-License-Identifier: MIT
 *
 * What the figures of a finished run are worth: beside those of a constant guess (plugin/guess.c), and whether the rows that
 * judged are enough to tell the differences they were used to tell. Said once, and in the result. */
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include <math.h>
#include <string.h>

/* The rows that decide: validation, else those it was trained on. */
static hone_role judging_role(const struct hn_job *j)
{
    return j->after[HONE_VAL].rows ? HONE_VAL : HONE_TRAIN;
}

static const char *rows_of(hone_role role)
{
    return role == HONE_VAL ? "validation rows" : "training rows";
}

static int is_weighted(const struct hn_job *j)
{
    return j->s->class_weights.n || hone_params_is_set(j->params, "sample-weights");
}

static int beats_guess(const struct hn_job *j)
{
    const hone_role role = judging_role(j);
    return hn_guess_beaten(&j->after[role], &j->guess[role]);
}

/* The figure that was watched, by name without the part, and its standard error; 0: not known. */
static double watched(const struct hn_job *j, const char **name, double *value)
{
    const char *monitor = j->fit->opts.monitor;
    const struct hn_figures *f = &j->after[HONE_VAL];
    *name = monitor && !strncmp(monitor, "val_", 4) ? monitor + 4 : "";
    if (!f->rows || !hn_metric_get(f, *name, value)) return 0;
    if (!strcmp(*name, "loss")) return f->loss_error;
    return strcmp(*name, "accuracy") ? 0 : sqrt(*value * (1 - *value) / (double)f->rows);
}

/* What it was used to tell: the result from the model that came, and from a constant guess. */
static void say_few(const struct hn_job *j)
{
    const char *name;
    double value, was, guess, error = watched(j, &name, &value);
    if (!(error > 0) || !hn_metric_get(&j->fit->before[HONE_VAL], name, &was)) return;
    const double gain = hn_metric_direction(name) > 0 ? value - was : was - value;
    const int guessed = j->guess[HONE_VAL].rows && hn_metric_get(&j->guess[HONE_VAL], name, &guess);
    const double lead = guessed ? fabs(value - guess) : (double)INFINITY;
    if (gain > 0 && error > gain)
        hn_log(j->ctx, HONE_LOG_WARNING,
               "%lld validation rows are few: val_%s %.4g has a standard error of %.2g, more than "
               "the %.2g between it and the model that came",
               (long long)j->after[HONE_VAL].rows, name, value, error, gain);
    else if (error > lead && beats_guess(j))
        hn_log(j->ctx, HONE_LOG_WARNING,
               "%lld validation rows are few: val_%s %.4g has a standard error of %.2g, more than "
               "the %.2g between it and a constant guess",
               (long long)j->after[HONE_VAL].rows, name, value, error, lead);
}

hone_status hn_worth_measure(struct hn_job *j, hone_error *err)
{
    for (int role = 0; role < 3; role++)
        if (j->after[role].rows)
            HN_TRY(hn_guess_figures(j->s, (hone_role)role, &j->guess[role], err));
    if (!j->fit->opts.stop.epochs || j->fit->reason == HN_STOP_INTERRUPTED)
        return HONE_OK; /* not trained, or not to its end */
    const hone_role role = judging_role(j);
    hn_guess_say(j->ctx, rows_of(role), &j->after[role], &j->guess[role], is_weighted(j));
    say_few(j);
    return HONE_OK;
}

void hn_worth_result(hone_result *r, const struct hn_job *j)
{
    static const char *const parts[3] = { "train", "val", "test" };
    hn_result_object(r, "guess");
    for (int role = 0; role < 3; role++)
        if (j->guess[role].rows) hn_figures_result(r, parts[role], &j->guess[role]);
    hn_result_bool(r, "beaten", beats_guess(j));
    hn_result_close(r);
    hn_result_object(r, "standard_error");
    for (int role = HONE_VAL; role < 3; role++)
        hn_standard_error_result(r, parts[role], &j->after[role]);
    hn_result_close(r);
}
