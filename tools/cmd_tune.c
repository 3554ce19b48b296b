/* SPDX-License-Identifier: MIT
 *
 * hone tune: a search for the best training parameters, with a line a trial while it runs and a table at the end. */
#include "tools/cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct live { /* what the lines need */
    int mode; /* 0 none, 1 people, 2 json */
};

static const char *number(double v, char *buf, size_t n)
{
    if (isnan(v))
        snprintf(buf, n, "-");
    else
        snprintf(buf, n, "%.6g", v);
    return buf;
}

static void print_json_line(const hone_trial *t)
{
    json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:I, s:f, s:I, s:f}", "event", "trial", "trial",
                          (json_int_t)t->trial, "state", t->state, "params", t->params, "epochs",
                          (json_int_t)t->epochs, "seconds", t->seconds, "best_trial",
                          (json_int_t)t->best_trial, "elapsed", t->elapsed);
    if (!o) return;
    if (!isnan(t->value)) json_object_set_new(o, "value", json_real(t->value));
    json_dumpf(o, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(o);
}

static int print_trial(void *user, const hone_trial *t)
{
    const struct live *live = user;
    char value[32], std[32], best[32];
    if (live->mode == 2) print_json_line(t);
    if (live->mode != 1) return 0;
    fprintf(stderr, "trial %-4lld %10s", (long long)t->trial,
            number(t->value, value, sizeof value));
    if (t->std > 0) fprintf(stderr, " ± %-9s", number(t->std, std, sizeof std));
    fprintf(stderr, "  best %s", number(t->best_value, best, sizeof best));
    if (t->trials) fprintf(stderr, "  %lld/%lld", (long long)t->finished, (long long)t->trials);
    if (!isnan(t->seconds_left)) fprintf(stderr, ", %.0f s left", t->seconds_left);
    fputs("  ", stderr);
    print_name(stderr, t->params);
    if (t->why[0]) {
        fputs("  failed: ", stderr);
        print_name(stderr, t->why);
    }
    fputc('\n', stderr);
    return 0;
}

/* ---- at the end ---------------------------------------------------------------------------------------------------------- */

struct row {
    const json_t *trial;
    double value, order; /* order: lower is better */
};

static int by_order(const void *a, const void *b)
{
    double x = ((const struct row *)a)->order, y = ((const struct row *)b)->order;
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

static void print_settings(FILE *f, const json_t *trial)
{
    const char *name;
    json_t *v;
    int any = 0;
    if (json_is_true(json_object_get(trial, "default"))) fputs("(the default settings) ", f);
    json_object_foreach(json_object_get(trial, "params"), name, v)
    {
        if (any++) fputs(", ", f);
        print_name(f, name);
        fputc('=', f);
        if (json_is_string(v))
            print_name(f, json_string_value(v));
        else if (json_is_real(v))
            fprintf(f, "%.4g", json_real_value(v));
        else
            json_dumpf(v, f, JSON_ENCODE_ANY);
    }
}

static void print_table(FILE *f, const json_t *t)
{
    enum { SHOWN = 10 };
    const json_t *trials = json_object_get(t, "trials");
    size_t n = json_array_size(trials);
    struct row *rows = calloc(n + 1, sizeof *rows);
    char value[32], std[32];
    if (!rows) return;
    for (size_t i = 0; i < n; i++) {
        rows[i].trial = json_array_get(trials, i);
        rows[i].value = jnum(rows[i].trial, "value");
        rows[i].order = strcmp(jtext(t, "direction"), "maximize") ? rows[i].value : -rows[i].value;
    }
    qsort(rows, n, sizeof *rows, by_order);
    fprintf(f, "\n%5s  %10s  %9s  %6s  %8s  settings\n", "trial", jtext(t, "monitor"), "std",
            "epochs", "seconds");
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        const json_t *r = rows[i].trial;
        fprintf(f, "%5.0f  %10s  %9s  %6.0f  %8.2f  ", jnum(r, "number"),
                isnan(rows[i].value) ? jtext(r, "state")
                                     : number(rows[i].value, value, sizeof value),
                number(jnum(r, "std"), std, sizeof std), jnum(r, "epochs"), jnum(r, "seconds"));
        print_settings(f, r);
        fputc('\n', f);
    }
    if (n > SHOWN) fprintf(f, "… %zu more in trials.csv\n", n - SHOWN);
    free(rows);
}

static void print_importances(FILE *f, const json_t *t)
{
    const char *name;
    json_t *v;
    int any = 0;
    json_object_foreach(json_object_get(t, "importances"), name, v)
    {
        fputs(any++ ? ", " : "\nwhat mattered: ", f);
        print_name(f, name);
        fprintf(f, " %.0f %%", 100 * json_number_value(v));
    }
    if (any) fputc('\n', f);
}

static void print_comparison(FILE *f, const json_t *c)
{
    char d[32], se[32];
    int folds = (int)jnum(c, "folds"), better = (int)jnum(c, "better");
    if (!json_is_object(c)) return;
    double difference = jnum(c, "difference");
    number(fabs(difference), d, sizeof d);
    if (folds < 2) {
        fprintf(f,
                "%s by %s on one validation split: there is no spread to judge that by; --folds "
                "gives one\n",
                difference > 0 ? "better" : "not better", d);
        return;
    }
    fprintf(f,
            "%s than the imported model on %d of %d folds: mean difference %s%s ± %s (corrected "
            "standard error), p = %.2g\n",
            difference > 0 ? "better" : "no better", difference > 0 ? better : folds - better,
            folds, difference < 0 ? "-" : "", d, number(jnum(c, "se"), se, sizeof se),
            jnum(c, "p"));
}

static void print_ensemble(FILE *f, const json_t *t)
{
    const json_t *e = json_object_get(t, "ensemble"), *members = json_object_get(e, "members");
    char a[32], b[32];
    if (!json_is_object(e)) return;
    if (json_is_true(json_object_get(e, "exported"))) {
        fputs("exported: the average of trials", f);
        for (size_t i = 0; i < json_array_size(members); i++)
            fprintf(f, "%s %.0f", i ? "," : "", json_number_value(json_array_get(members, i)));
        fprintf(f, "; together %s %s\n", jtext(t, "monitor"),
                number(jnum(e, "value"), a, sizeof a));
    } else {
        fprintf(f, "no ensemble: %s\n", jtext(e, "why"));
    }
    if (json_is_false(json_object_get(e, "better_than_best")))
        fprintf(f, "the best trial alone is better than the ensemble: %s against %s\n",
                number(jnum(t, "best_value"), b, sizeof b), number(jnum(e, "value"), a, sizeof a));
}

static void print_verdict(FILE *f, const json_t *t)
{
    const json_t *baseline = json_object_get(t, "baseline"), *refit = json_object_get(t, "refit");
    const json_t *imported = json_object_get(baseline, "imported");
    char a[32], b[32];
    fprintf(f, "\nimported model: %s %s; best trial: %s\n", jtext(t, "monitor"),
            number(jnum(imported, "value"), a, sizeof a),
            number(jnum(t, "best_value"), b, sizeof b));
    print_comparison(f, json_object_get(t, "comparison"));
    print_ensemble(f, t);
    if (!strcmp(jtext(t, "stop_reason"), "interrupted"))
        fprintf(f, "interrupted: the same command goes on where it was\n");
    else if (!json_is_true(json_object_get(t, "beaten")))
        fprintf(f, "the imported model was not beaten%s%s\n", jtext(refit, "why")[0] ? ": " : "",
                jtext(refit, "why"));
    else if (json_is_false(json_object_get(t, "min_gain_met")))
        fprintf(f, "the gain is less than --min-gain asks\n");
    else if (json_is_object(refit))
        fprintf(f, "trained again on %s: %.0f epochs\n",
                !strcmp(jtext(refit, "kind"), "all") ? "all rows but the test's"
                                                     : "the training rows",
                jnum(refit, "epochs"));
    const json_t *before = json_object_get(imported, "test"), *after = json_object_get(t, "test");
    static const char *const names[] = { "loss", "accuracy", "mae", "rmse", "r2", "f1", "auc" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!isnan(jnum(after, names[i])))
            fprintf(f, "test %-8s  before %12.6g  after %12.6g\n", names[i], jnum(before, names[i]),
                    jnum(after, names[i]));
    fprintf(f, "%.3g s\n", jnum(t, "seconds"));
}

static int finish(struct cli *c, hone_model *m, hone_result *r)
{
    double met = 1;
    const char *reason = hone_result_text(r, "stop_reason");
    int interrupted = reason && !strcmp(reason, "interrupted");
    hone_result_number(r, "min_gain_met", &met);
    if (!interrupted && hone_model_save(m, c->out, c->params, &c->err) != HONE_OK) {
        hone_result_destroy(r);
        return report_error(c);
    }
    json_t *tree = result_tree(c, r);
    if (!tree) return report_error(c);
    if (interrupted) json_object_set_new(tree, "model", json_null());
    if (!c->quiet) {
        FILE *f = people(c);
        print_table(f, tree);
        print_importances(f, tree);
        print_verdict(f, tree);
        if (!interrupted) {
            fputs("written to ", f);
            print_name(f, c->out);
            fputc('\n', f);
        }
    }
    int code = print_tree(c, tree);
    if (code) return code;
    if (interrupted && caught_signal()) return 128 + caught_signal();
    return met == 0 ? EXIT_REQUIRE : 0;
}

static int tune(struct cli *c, hone_model *m)
{
    struct progress p;
    int code = progress_init(&p, c->progress, c->quiet);
    if (code) return code;
    struct live live = { p.mode == 0 ? 0 : p.mode == 3 ? 2 : 1 };
    progress_free(&p);
    hone_tune_callbacks cb = HONE_TUNE_CALLBACKS;
    hone_data *d = NULL;
    hone_result *r = NULL;
    cb.trial = print_trial;
    cb.user = &live;
    catch_signals(c->ctx);
    hone_status st = hone_data_open(c->ctx, m, c->params, &d, &c->err);
    if (st == HONE_OK) st = hone_tune(m, d, c->params, &cb, &r, &c->err);
    code = st == HONE_OK ? finish(c, m, r) : report_error(c);
    hone_data_destroy(d);
    return code;
}

static int run(struct cli *c)
{
    hone_model *m = NULL;
    if (hone_params_set(c->params, "out", c->out, &c->err) != HONE_OK || read_space(c) != HONE_OK ||
        hone_model_load(c->ctx, c->args[0], &m, &c->err) != HONE_OK)
        return report_error(c);
    int code = tune(c, m);
    hone_model_destroy(m);
    return code;
}

const struct command cmd_tune = {
    .name = "tune",
    .args = "MODEL",
    .min_args = 1,
    .max_args = 1,
    .takes_out = 2,
    .schema = "hone.tune/1",
    .groups = " data training tune ",
    .also =
        " device threads run-dir force space search setting sampler acquisition startup trials ",
    .summary = "searches for the training parameters and hidden layers that give the best model",
    .examples = "hone tune model.onnx --data train.csv --target label --folds 5 --stratified "
                "--search lr=log:1e-4..1e-1 --search batch_size=16,32,64 --trials 20 "
                "-o best.onnx\n"
                "hone tune model.onnx --data train.csv --target label --test-split 0.2 "
                "--val-split 0.2 --early-stop-patience 5 --space auto --trials 30 --jobs 4 "
                "-o best.onnx\n"
                "hone tune model.onnx --data train.csv --target label --folds 3 "
                "--search hidden_layers=int:1..2 --search hidden_units=int:log:8..64 "
                "--search activation=relu,tanh --trials 10 -o best.onnx",
    .run = run,
};
