/* SPDX-License-Identifier: MIT
 *
 * hone train: one training run, and the end of a run that hone resume shares. */
#include "tools/cli.h"
#include "tools/tensorboard.h"
#include <math.h>
#include <string.h>

static const char *const rows[] = { "loss", "accuracy", "mae", "rmse", "r2", "f1", "auc" };

static void print_cell(FILE *f, const json_t *figures, const char *name)
{
    double v = jnum(figures, name);
    if (isnan(v))
        fprintf(f, "  %12s", "-");
    else
        fprintf(f, "  %12.6g", v);
}

/* before and after, side by side, for what was measured */
static void print_figures(FILE *f, const json_t *t)
{
    static const char *const parts[] = { "train", "val", "test" };
    const json_t *before = json_object_get(t, "before");
    for (size_t p = 0; p < 3; p++) {
        const json_t *b = json_object_get(before, parts[p]), *a = json_object_get(t, parts[p]);
        int titled = 0;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (isnan(jnum(a, rows[i])) || isnan(jnum(b, rows[i]))) continue;
            if (!titled++) fprintf(f, "%-12s  %12s  %12s\n", parts[p], "before", "after");
            fprintf(f, "  %-10s", rows[i]);
            print_cell(f, b, rows[i]);
            print_cell(f, a, rows[i]);
            fputc('\n', f);
        }
    }
}

/* How well each layer restores what reaches it. */
static void print_pretraining(FILE *f, const json_t *t)
{
    const json_t *layer;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(t, "pretrain"), "layers"), i, layer)
    {
        if (!i) fprintf(f, "%-12s  %12s  %12s\n", "pre-training", "before", "after");
        fprintf(f, "  %-10zu", i + 1);
        print_cell(f, layer, "before");
        print_cell(f, layer, "after");
        fprintf(f, "  %.0f to %.0f, ", jnum(layer, "inputs"), jnum(layer, "units"));
        print_name(f, jtext(layer, "layer"));
        fputc('\n', f);
    }
}

/* What a dry run found: everything opens, one step works, and what it takes. */
static void print_dry(FILE *f, const json_t *t)
{
    const json_t *n = json_object_get(t, "rows");
    if (!n) { /* no epochs, no data */
        fputs("\na dry run: nothing is trained, nothing is written\n", f);
        return;
    }
    fprintf(f, "\na dry run: %.0f parameters, %.0f of them learn\n", jnum(t, "parameters"),
            jnum(t, "trainable_parameters"));
    fprintf(f, "rows: %.0f to train on", jnum(n, "train"));
    if (jnum(n, "val") > 0) fprintf(f, ", %.0f to validate on", jnum(n, "val"));
    if (jnum(n, "test") > 0) fprintf(f, ", %.0f to test on", jnum(n, "test"));
    fprintf(f, "\none step: loss %.6g, %.3g ms on %s; %.3g MB of memory at most\n", jnum(t, "loss"),
            1e3 * jnum(t, "first_step_seconds"), jtext(t, "device"), jnum(t, "memory_peak") / 1e6);
    fputs("nothing is written\n", f);
}

/* What came of --swa-start: the best epoch may lie before it. */
static void print_average(FILE *f, const json_t *t)
{
    double n = jnum(t, "averaged_epochs"), best = jnum(t, "best_epoch");
    if (!(n > 0)) return;
    const json_t *asked = json_object_get(t, "hyperparameters");
    int last = !strcmp(jtext(asked, "save"), "last"), first = (int)(jnum(t, "epochs") - n + 1);
    if (last || best >= first)
        fprintf(f, "the weights are the average over epochs %d to %.0f\n", first,
                last ? jnum(t, "epochs") : best);
    else
        fprintf(f, "the average over epochs %d to %.0f was not better than epoch %.0f\n", first,
                jnum(t, "epochs"), best);
}

static void print_summary(FILE *f, const json_t *t, const struct progress *p)
{
    static const char *const reasons[][2] = { { "max_epochs", "all epochs were run" },
                                              { "patience", "validation stopped improving" },
                                              { "target", "the target was reached" },
                                              { "time", "the time was up" },
                                              { "diverged", "the loss was no longer finite" },
                                              { "interrupted", "interrupted" },
                                              { "callback", "stopped by the program" } };
    const char *reason = jtext(t, "stop_reason");
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (!strcmp(reason, reasons[i][0])) reason = reasons[i][1];
    progress_curve(p, f);
    if (jnum(t, "epochs") == 0 && !strcmp(jtext(t, "stop_reason"), "max_epochs"))
        fputs("\nnothing was trained\n", f);
    else
        fprintf(f, "\n%.0f epochs, best %.0f: %s; %.3g s, %.3g rows/s\n", jnum(t, "epochs"),
                jnum(t, "best_epoch"), reason, jnum(t, "seconds"), jnum(t, "samples_per_second"));
    print_average(f, t);
    print_pretraining(f, t);
    print_figures(f, t);
    if (!strcmp(jtext(t, "stop_reason"), "interrupted") && jtext(t, "run_dir")[0]) {
        fprintf(f, "to go on: hone resume %s", before_dash(jtext(t, "run_dir")));
        print_name(f, jtext(t, "run_dir"));
        fputc('\n', f);
    }
    if (jtext(t, "model")[0]) {
        fputs("written to ", f);
        print_name(f, jtext(t, "model"));
        fputc('\n', f);
    }
    print_report_hint(f, jtext(t, "run_dir"));
}

/* With --quiet nobody has heard of it yet. */
static void say_diverged(const struct cli *c, const json_t *t)
{
    const json_t *d = json_object_get(t, "diverged");
    if (c->quiet)
        report_reason(c,
                      "training diverged in epoch %.0f: %s is not finite; the weights of epoch "
                      "%.0f are kept",
                      jnum(d, "epoch"), jtext(d, "tensor"), jnum(t, "best_epoch"));
}

static void say_missed(const struct cli *c, const json_t *t)
{
    const json_t *goal;
    size_t i;
    json_array_foreach(json_object_get(t, "require"), i, goal)
    {
        const char *asked = jtext(goal, "asked");
        int name = (int)strcspn(asked, ":");
        if (json_is_true(json_object_get(goal, "met"))) continue;
        if (isnan(jnum(goal, "found")))
            report_reason(c, "--require %s is not met: there is no %.*s", asked, name, asked);
        else
            report_reason(c, "--require %s is not met: %.*s is %.6g", asked, name, asked,
                          jnum(goal, "found"));
    }
}

static void say_interrupted(const struct cli *c, const json_t *t)
{
    const char *dir = jtext(t, "run_dir");
    if (c->quiet && dir[0] && !strcmp(jtext(t, "stop_reason"), "interrupted"))
        report_reason(c, "interrupted; to go on: hone resume %s%s", before_dash(dir), dir);
}

int finish_training(struct cli *c, hone_model *m, hone_result *r, const struct progress *p,
                    const char *out)
{
    int diverged = 0, interrupted = 0, missed = 0, dry = 0;
    const char *reason = hone_result_text(r, "stop_reason");
    double flag;
    if (reason) diverged = !strcmp(reason, "diverged");
    if (reason) interrupted = !strcmp(reason, "interrupted");
    if (hone_result_number(r, "require_met", &flag)) missed = flag == 0;
    if (hone_result_number(r, "dry_run", &flag)) dry = flag != 0;
    int saved = out && !dry;
    if (saved && hone_model_save(m, out, c->params, &c->err) != HONE_OK) {
        hone_result_destroy(r);
        return report_error(c);
    }
    json_t *tree = result_tree(c, r);
    if (!tree) return report_error(c);
    if (saved) json_object_set_new(tree, "model", json_name(out));
    board_result(p->board, tree);
    if (!c->quiet) dry ? print_dry(people(c), tree) : print_summary(people(c), tree, p);
    int signal = interrupted ? caught_signal() : 0;
    if (signal)
        say_interrupted(c, tree);
    else if (diverged)
        say_diverged(c, tree);
    else if (missed)
        say_missed(c, tree);
    int code = print_tree(c, tree);
    if (code) return code;
    if (signal) return 128 + signal;
    return diverged ? EXIT_DIVERGED : missed ? EXIT_REQUIRE : 0;
}

/* hone_train says what it wants them for. */
static int has_data(const struct cli *c)
{
    return hone_params_is_set(c->params, "data") || hone_params_is_set(c->params, "x");
}

static int train(struct cli *c, hone_model *m)
{
    struct progress p;
    int code = progress_init(&p, c->progress, c->quiet);
    if (code) return code;
    hone_callbacks cb = HONE_CALLBACKS;
    hone_data *d = NULL;
    hone_result *r = NULL;
    int data = hone_train_needs_data(c->params);
    cb.progress = progress_call;
    cb.user = &p;
    c->hide = progress_hide;
    c->hide_user = &p;
    const char *batch = hone_params_get(c->params, "batch-dim", 0);
    int freed = batch && !strcmp(batch, "symbolic"); /* an edit may lift what blocks training */
    hone_status st =
        !data || freed ? HONE_OK : hone_model_check(m, 1, &c->err); /* before the data */
    if (st == HONE_OK && data && has_data(c))
        st = hone_data_open(c->ctx, m, c->params, &d, &c->err);
    const char *dry = hone_params_get(c->params, "dry-run", 0);
    if (st == HONE_OK && !(dry && !strcmp(dry, "true")))
        st = board_open(c, hone_params_get(c->params, "tensorboard", 0), &p.board);
    if (st == HONE_OK) st = hone_train(m, d, c->params, &cb, &r, &c->err);
    progress_end(&p);
    c->hide = NULL;
    code = st == HONE_OK ? finish_training(c, m, r, &p, c->out) : report_error(c);
    board_close(p.board);
    progress_free(&p);
    hone_data_destroy(d);
    return code;
}

static int run(struct cli *c)
{
    hone_model *m = NULL;
    catch_signals(c->ctx);
    if (hone_params_set(c->params, "out", c->out, &c->err) != HONE_OK ||
        hone_model_load(c->ctx, c->args[0], &m, &c->err) != HONE_OK)
        return report_error(c);
    int code = train(c, m);
    hone_model_destroy(m);
    return code;
}

const struct command cmd_train = { .name = "train",
                                   .args = "MODEL",
                                   .min_args = 1,
                                   .max_args = 1,
                                   .takes_out = 2,
                                   .schema = "hone.train/1",
                                   .groups = " data training run ",
                                   .summary = "one training run: the same model back, better",
                                   .examples =
                                       "hone train model.onnx --data train.csv --target label "
                                       "--val-split 0.2 --early-stop-patience 5 "
                                       "-o better.onnx\n"
                                       "hone train mnist.onnx --x images.idx3.gz --y "
                                       "labels.idx1.gz --x-scale 0.00392156862745098 --epochs 10 "
                                       "--val-split 0.2 --lr-schedule cosine -o better.onnx\n"
                                       "hone train model.onnx --x x.npy --y y.npy --loss mse "
                                       "--optimizer adamw --lr 3e-4 -o better.onnx\n"
                                       "hone train model.onnx --data train.csv --target label "
                                       "--val-split 0.2 --hidden-units 64,32 --activation gelu "
                                       "-o rebuilt.onnx\n"
                                       "hone train model.onnx --data train.csv --target label "
                                       "--class-weights balanced --sample-weights weight "
                                       "--val-split 0.2 -o better.onnx\n"
                                       "hone train model.onnx --data labelled.csv --target label "
                                       "--val-split 0.2 --scale standard --init xavier "
                                       "--pretrain 20 --pretrain-data rows.csv -o better.onnx\n"
                                       "hone train model.onnx --epochs 0 --hidden-units 64,32 "
                                       "--init fresh -o untrained.onnx",
                                   .run = run };
