/* SPDX-License-Identifier: MIT
 *
 * hone tune: a search for the best training parameters, with a line a trial while it runs and a table at the end. */
#include "tools/report.h"
#include "tools/tensorboard.h"
#include "tools/tune_table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct watcher { /* what the callback needs */
    int mode;    /* 0 none, 1 a line a trial, 2 json, 3 live */
    struct live *live;
    struct board *board; /* NULL: none */
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
    if (t->outer) json_object_set_new(o, "outer", json_integer(t->outer));
    json_dumpf(o, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(o);
}

static int print_trial(void *user, const hone_trial *t)
{
    const struct watcher *w = user;
    char value[32], std[32], best[32];
    board_trial(w->board, t);
    if (w->mode == 2) print_json_line(t);
    if (w->mode == 3) live_trial(w->live, t);
    if (w->mode != 1) return 0;
    if (t->outer) fprintf(stderr, "outer %d/%d  ", t->outer, t->outers);
    fprintf(stderr, "trial %-4lld %10s", (long long)t->trial,
            number(t->value, value, sizeof value));
    if (t->std > 0) fprintf(stderr, " ± %-9s", number(t->std, std, sizeof std));
    fprintf(stderr, "  best %s", number(t->best_value, best, sizeof best));
    if (!strcmp(t->state, "pruned")) fputs("  pruned", stderr);
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

static void print_table(FILE *f, const json_t *t)
{
    enum { SHOWN = 10 };
    static const char *const bold[] = { "\033[1m", "\033[0m" };
    struct trial_table table;
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    int width = terminal_width(f);
    int colour = width && !(no_colour && *no_colour) && !(term && !strcmp(term, "dumb"));
    size_t n = json_array_size(json_object_get(t, "trials")), pruned = 0, failed = 0, i;
    json_t *trial;
    const json_t *first = NULL;
    json_array_foreach(json_object_get(t, "trials"), i, trial)
    {
        pruned += !strcmp(jtext(trial, "state"), "pruned");
        if (strcmp(jtext(trial, "state"), "failed")) continue;
        if (!failed++) first = trial;
    }
    fputc('\n', f);
    if (trial_table_of(&table, t, SHOWN))
        trial_table_print(f, &table, width, 0, colour ? bold : NULL);
    trial_table_free(&table);
    if (n > SHOWN) fprintf(f, "%zu more in trials.csv\n", n - SHOWN);
    if (pruned) fprintf(f, "%zu of %zu trials were pruned\n", pruned, n);
    if (!failed) return;
    fprintf(f, "%zu of %zu trials failed; trial %.0f: ", failed, n, jnum(first, "number"));
    print_name(f, jtext(first, "why")[0] ? jtext(first, "why") : "no reason was noted");
    fputc('\n', f);
}

struct share {
    const char *name;
    double share;
};

static int by_share(const void *a, const void *b)
{
    double x = ((const struct share *)a)->share, y = ((const struct share *)b)->share;
    return (x < y) - (x > y);
}

static void print_importances(FILE *f, const json_t *t)
{
    const char *name;
    json_t *v, *all = json_object_get(t, "importances");
    size_t n = 0;
    struct share *s = calloc(json_object_size(all) + 1, sizeof *s);
    if (!s) return;
    json_object_foreach(all, name, v) s[n++] = (struct share){ name, json_number_value(v) };
    qsort(s, n, sizeof *s, by_share);
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ", " : "\nwhat mattered: ", f);
        print_name(f, s[i].name);
        fprintf(f, " %.0f %%", 100 * s[i].share);
    }
    if (n) fputc('\n', f);
    free(s);
}

static void print_comparison(FILE *f, const json_t *c)
{
    char d[32], se[32];
    int folds = (int)jnum(c, "folds"), better = (int)jnum(c, "better");
    if (!json_is_object(c)) return;
    double difference = jnum(c, "difference");
    snprintf(d, sizeof d, "%.4g", fabs(difference));
    snprintf(se, sizeof se, "%.2g", jnum(c, "se"));
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
            folds, difference < 0 ? "-" : "", d, se, jnum(c, "p"));
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
        if ((double)json_array_size(members) < jnum(e, "asked"))
            fprintf(f, "%.0f were asked for, no more trials could be members\n", jnum(e, "asked"));
    } else {
        fprintf(f, "no ensemble: %s\n", jtext(e, "why"));
    }
    if (json_is_false(json_object_get(e, "better_than_best")))
        fprintf(f, "the best trial alone is better than the ensemble: %s against %s\n",
                number(jnum(t, "best_value"), b, sizeof b), number(jnum(e, "value"), a, sizeof a));
}

/* What the whole search is worth, on rows that no part of it had seen. */
static void print_nested(FILE *f, const json_t *t)
{
    const json_t *n = json_object_get(t, "nested");
    char mean[32], se[32];
    size_t done = json_array_size(json_object_get(n, "values"));
    if (!json_is_object(n)) return;
    snprintf(se, sizeof se, "%.2g", jnum(n, "se"));
    if (!done) {
        fputs("nested: no outer fold was finished\n", f);
        return;
    }
    fprintf(f,
            "nested: on rows that it has not seen a search like this gives %s %s ± %s (%zu outer "
            "folds%s), ",
            jtext(t, "monitor") + strlen("val_"), number(jnum(n, "mean"), mean, sizeof mean), se,
            done, json_is_true(json_object_get(n, "complete")) ? "" : " of more");
    print_comparison(f, json_object_get(n, "comparison"));
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
    double guess;
    if (report_worthless(t, jnum(t, "best_value"), &guess))
        fprintf(f,
                "the best trial does no better than a constant: always guessing the same has %s\n",
                number(guess, a, sizeof a));
    if (json_is_object(json_object_get(t, "nested")))
        print_nested(f, t);
    else if (jnum(json_object_get(t, "comparison"), "folds") > 1)
        fprintf(f, "it was chosen by these folds, which flatters it; --nested K judges without\n");
    print_ensemble(f, t);
    if (!strcmp(jtext(t, "stop_reason"), "interrupted"))
        fprintf(f, "interrupted: hone resume, or the same command, goes on where it was\n");
    else if (!json_is_true(json_object_get(t, "beaten")))
        fprintf(f, "the imported model was not beaten%s%s\n", jtext(refit, "why")[0] ? ": " : "",
                jtext(refit, "why"));
    else if (json_is_false(json_object_get(t, "min_gain_met")))
        fprintf(f, "the gain is less than --min-gain asks: the model is written as it came\n");
    else if (json_is_object(refit))
        fprintf(f, "trained again on %s: %.0f epochs\n",
                !strcmp(jtext(refit, "kind"), "all") ? "all rows but the test's"
                                                     : "the training rows",
                jnum(refit, "epochs"));
    const json_t *before = json_object_get(imported, "test"), *after = json_object_get(t, "test");
    if (!strcmp(jtext(t, "stop_reason"), "interrupted")) after = NULL; /* nothing was written */
    static const char *const names[] = { "loss", "accuracy", "mae", "rmse", "r2", "f1", "auc" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!isnan(jnum(after, names[i])))
            fprintf(f, "test %-8s  before %12.6g  after %12.6g\n", names[i], jnum(before, names[i]),
                    jnum(after, names[i]));
    fprintf(f, "%.3g s\n", jnum(t, "seconds"));
}

static void print_end(FILE *f, const json_t *tree)
{
    char *text = NULL;
    size_t n;
    FILE *m = open_memstream(&text, &n);
    if (m) {
        print_importances(m, tree);
        print_verdict(m, tree);
        fclose(m);
    }
    if (text) print_wrapped(f, text, terminal_width(f));
    free(text);
}

/* The exit code, and the reason of one that is not 0. */
static int end_code(const struct cli *c, const json_t *t)
{
    int interrupted = !strcmp(jtext(t, "stop_reason"), "interrupted"), signal = caught_signal();
    double best = jnum(t, "best_value"),
           was = jnum(json_object_get(json_object_get(t, "baseline"), "imported"), "value");
    if (interrupted && c->quiet)
        report_reason(c, "interrupted; to go on: hone resume %s%s",
                      before_dash(jtext(t, "run_dir")), jtext(t, "run_dir"));
    if (interrupted && signal) return 128 + signal;
    if (!json_is_false(json_object_get(t, "min_gain_met"))) return 0;
    report_reason(
        c, "--min-gain %s is not met: the best trial's %s is %.6g, the imported model's %.6g",
        jtext(json_object_get(t, "settings"), "min-gain"), jtext(t, "monitor"), best, was);
    return EXIT_REQUIRE;
}

static int finish(struct cli *c, hone_model *m, hone_result *r)
{
    const char *reason = hone_result_text(r, "stop_reason");
    int interrupted = reason && !strcmp(reason, "interrupted");
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
        print_end(f, tree);
        if (!interrupted) {
            fputs("written to ", f);
            print_name(f, c->out);
            fputc('\n', f);
        }
        print_report_hint(f, jtext(tree, "run_dir"));
    }
    int end = end_code(c, tree), code = print_tree(c, tree);
    return code ? code : end;
}

static int tune(struct cli *c, hone_model *m)
{
    struct progress p;
    int code = progress_init(&p, c->progress, c->quiet);
    if (code) return code;
    struct watcher w = { p.mode == 0 ? 0 : p.mode == 3 ? 2 : 1, NULL, NULL };
    const char *monitor = hone_params_get(c->params, "monitor", 0);
    if (p.mode == 1 && terminal_width(stderr)) {
        w.live = live_start(monitor && monitor[0] ? monitor : "val_loss", p.colour);
        if (w.live) w.mode = 3;
        c->hide = w.live ? live_hide : NULL;
        c->hide_user = w.live;
    }
    progress_free(&p);
    hone_tune_callbacks cb = HONE_TUNE_CALLBACKS;
    hone_data *d = NULL;
    hone_result *r = NULL;
    cb.trial = print_trial;
    cb.user = &w;
    hone_status st = hone_data_open(c->ctx, m, c->params, &d, &c->err);
    if (st == HONE_OK) st = board_open(c, hone_params_get(c->params, "tensorboard", 0), &w.board);
    if (st == HONE_OK) st = hone_tune(m, d, c->params, &cb, &r, &c->err);
    c->hide = NULL;
    live_end(w.live);
    board_close(w.board);
    if (st != HONE_OK) hint_at_finished(c);
    code = st == HONE_OK ? finish(c, m, r) : report_error(c);
    hone_data_destroy(d);
    return code;
}

static int run(struct cli *c)
{
    hone_model *m = NULL;
    catch_signals(c->ctx);
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
    .also = " device math bn-impl dropout-impl threads run-dir tensorboard force space search "
            "setting sampler "
            "acquisition startup trials ",
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
