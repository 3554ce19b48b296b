/* SPDX-License-Identifier: MIT
 *
 * hone resume: continues an interrupted run exactly; the model goes where the run said it would. A search's folder is for
 * resume_tune.c. */
#include "tools/cli.h"
#include <string.h>

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
    hone_status st = hone_resume(c->ctx, c->args[0], c->params, &cb, &m, &r, &c->err);
    progress_end(&p);
    c->hide = NULL;
    if (st != HONE_OK) {
        code = report_error(c);
    } else {
        double finished = 0;
        const char *out = c->out ? c->out : hone_result_text(r, "out");
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
    .also = " epochs threads device jobs force ",
    .summary = "continue an interrupted training run or search exactly",
    .examples = "hone resume better.onnx.run\nhone resume better.onnx.run --epochs +10",
    .run = run
};
