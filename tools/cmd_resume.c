/* SPDX-License-Identifier: MIT
 *
 * hone resume: continues an interrupted run exactly; the model goes where the run said it would. A search's folder is for
 * resume_tune.c. */
#include "tools/cli.h"
#include "tools/tensorboard.h"
#include <string.h>

/* The folder that is given, or the one that the run was given. */
static hone_status open_board(struct cli *c, struct board **board)
{
    char path[4096];
    const char *dir = hone_params_get(c->params, "tensorboard", 0);
    const int n = snprintf(path, sizeof path, "%s/run.json", c->args[0]);
    json_t *run = n > 0 && (size_t)n < sizeof path ? json_load_file(path, 0, NULL) : NULL;
    if (!dir || !*dir) dir = jtext(json_object_get(run, "settings"), "tensorboard");
    hone_status st = board_open(c, dir, board);
    json_decref(run);
    return st;
}

static int run(struct cli *c)
{
    if (is_search(c->args[0])) return resume_search(c);
    struct progress p;
    int code = progress_init(&p, c->progress, c->quiet);
    if (code) return code;
    hone_callbacks cb = HONE_CALLBACKS;
    hone_model *m = NULL;
    hone_result *r = NULL;
    cb.progress = progress_call;
    cb.user = &p;
    c->hide = progress_hide;
    c->hide_user = &p;
    catch_signals(c->ctx);
    hone_status st = open_board(c, &p.board);
    if (st == HONE_OK && c->out) st = hone_params_set(c->params, "out", c->out, &c->err);
    if (st == HONE_OK) st = hone_resume(c->ctx, c->args[0], c->params, &cb, &m, &r, &c->err);
    progress_end(&p);
    c->hide = NULL;
    if (st != HONE_OK) {
        code = report_error(c);
    } else {
        double finished = 0;
        const char *out = hone_result_text(r, "out");
        char path[4096] = "";
        if (out) snprintf(path, sizeof path, "%s", out);
        if (hone_result_number(r, "finished", &finished) && finished != 0) {
            if (!c->quiet) fprintf(stderr, "the run in %s was finished already\n", c->args[0]);
            json_t *tree = result_tree(c, r);
            code = tree ? print_tree(c, tree) : report_error(c);
        } else if (hone_params_set(c->params, "force", "true", &c->err) != HONE_OK) {
            hone_result_destroy(r);
            code = report_error(c);
        } else {
            code = finish_training(c, m, r, &p, path[0] ? path : NULL);
        }
    }
    board_close(p.board);
    progress_free(&p);
    hone_model_destroy(m);
    return code;
}

const struct command cmd_resume = {
    .name = "resume",
    .args = "RUNDIR",
    .min_args = 1,
    .max_args = 1,
    .takes_out = 1,
    .schema = "hone.train/1",
    .groups = " data ",
    .also = " epochs threads device jobs force tensorboard ",
    .summary = "continue an interrupted training run or search exactly",
    .examples = "hone resume better.onnx.run\nhone resume better.onnx.run --epochs +10",
    .run = run
};
