/* SPDX-License-Identifier: MIT
 *
 * --epochs 0: nothing is trained. What changes the graph or the weights is done all the same: other hidden layers,
 * BatchNormalization inserted or removed, fresh weights, a free batch dimension. Where nothing of that is asked for, or the
 * model is so already, the model is what it was. No data are looked at; what is fitted on them (a scaler, BatchNormalization in
 * trained weights) is a training job of no epochs instead. */
#include "ops/base/status.h"
#include "plugin/hidden.h"
#include "plugin/train/job.h"
#include <string.h>

static int is(const hone_params *p, const char *name, const char *value)
{
    return strcmp(hn_param_s(p, name), value) == 0;
}

/* The option that wants data even so; NULL: none does. */
static const char *fitted(const hone_params *p)
{
    if (!is(p, "scale", "none")) return "scale";
    if (!is(p, "scale-target", "none")) return "scale-target";
    return is(p, "batchnorm", "insert") && is(p, "init", "keep") ? "batchnorm" : NULL;
}

int hone_train_needs_data(const hone_params *p) { return hn_param_i(p, "epochs") || fitted(p); }

hone_status hn_train_no_data(const hone_params *p, hone_error *err)
{
    const char *name = hn_param_i(p, "epochs") ? NULL : fitted(p);
    hone_status st = !name
                         ? hn_fail(err, HONE_E_USAGE, "data", "found none, wanted rows to train on")
                         : hn_fail(err, HONE_E_USAGE, name,
                                   "found no data, wanted the rows that '%s' is fitted on, also "
                                   "with --epochs 0",
                                   hn_param_s(p, name));
    return hn_hint(err, st, "--data FILE.csv --target COLUMN, or --x FILE --y FILE");
}

/* ---- what is changed ------------------------------------------------------------------------------------------------------- */

static hone_status fill(hone_model *m, const struct hn_program *prog, const struct hn_train_opts *o,
                        hone_error *err)
{
    struct hn_mem *mem = &hn_model_context(m)->mem;
    size_t elem = hn_dtype_size(hn_model_graph(m)->dtype), bytes = prog->n_slab * elem;
    void *w = hn_alloc(mem, bytes ? bytes : 1);
    if (!w) return hn_nomem(err, "the weights", bytes);
    hone_status st = hn_model_get_weights(m, prog, w, elem, err);
    if (st == HONE_OK) {
        hn_init_weights(prog, o->init, o->init_std, o->member.key, w, elem);
        hn_job_say_left(hn_model_context(m), prog);
        st = hn_model_put_weights(m, prog, w, elem, err);
    }
    hn_free(mem, w);
    return st;
}

/* The weights that training would begin with. */
static hone_status draw_weights(hone_model *m, const hone_params *p, const struct hn_train_opts *o,
                                hone_error *err)
{
    struct hn_lower_opts opts = { .part = HN_PART_BODY,
                                  .dropout = -1,
                                  .freeze_batchnorm = is(p, "batchnorm", "freeze") };
    struct hn_program *prog;
    HN_TRY(hn_lower(hn_model_graph(m), &opts, &prog, err));
    hone_status st = fill(m, prog, o, err);
    hn_program_destroy(prog, &hn_model_context(m)->mem);
    return st;
}

static hone_status change(hone_model *m, const hone_params *p, struct hn_train_opts *o,
                          hone_error *err)
{
    int prepared = !is(p, "batchnorm", "keep") && !is(p, "batchnorm", "freeze");
    hn_rng_key((uint64_t)hn_param_i(p, "seed"), 0, 0, o->member.key);
    HN_TRY(hn_init_parse(hn_param_s(p, "init"), &o->init, &o->init_std, err));
    HN_TRY(hn_model_reshape(m, p, o->member.key, err));
    if (prepared || o->init != HN_INIT_KEEP) HN_TRY(hn_model_prepare_training(m, p, err));
    if (is(p, "batch-dim", "symbolic") && hn_model_graph(m)->fixed_batch)
        HN_TRY(hone_model_edit(m, "batch-symbolic", err));
    return o->init == HN_INIT_KEEP ? HONE_OK : draw_weights(m, p, o, err);
}

/* Changed, the file says so, and no longer what a training before has left. */
static hone_status provenance(hone_model *m, const hone_params *p, const unsigned char parent[16],
                              hone_error *err)
{
    static const char *const gone[] = { "hone.data", "hone.hyperparameters", "hone.training" };
    char text[33];
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        HN_TRY(hn_model_set_metadata(m, gone[i], NULL, err));
    HN_TRY(hn_model_set_metadata(m, "hone.version", hone_version(), err));
    HN_TRY(hn_model_set_metadata(m, "hone.parent", hn_hash_text(parent, text), err));
    HN_TRY(hn_model_set_metadata(m, "hone.seed", hn_param_s(p, "seed"), err));
    return hn_report_edits(m, p, err);
}

static hone_status change_and_say(hone_model *m, const hone_params *p, struct hn_train_opts *o,
                                  hone_error *err)
{
    unsigned char parent[16];
    size_t edits = hn_model_n_edits(m);
    hn_model_hash(m, parent);
    HN_TRY(change(m, p, o, err));
    if (hn_model_n_edits(m) == edits && o->init == HN_INIT_KEEP) return HONE_OK;
    return provenance(m, p, parent, err);
}

/* ---- the result -------------------------------------------------------------------------------------------------------------- */

static hone_status result(hone_model *m, const hone_params *p, const struct hn_train_opts *o,
                          hone_result **out, hone_error *err)
{
    static const char *const empty[] = { "train", "val", "test" };
    const char *path = hn_param_s(p, "out");
    int dry = hn_param_b(p, "dry-run");
    HN_TRY(hn_result_create(hn_model_context(m), "hone.train/1", out, err));
    hone_result *r = *out;
    if (dry) hn_result_bool(r, "dry_run", 1);
    hn_result_int(r, "epochs", 0);
    hn_result_int(r, "best_epoch", 0);
    hn_result_null(r, "monitor");
    hn_result_string(r, "stop_reason", hn_stop_name(HN_STOP_MAX_EPOCHS));
    for (int i = 0; i < 3; i++) hn_result_null(r, empty[i]);
    hn_result_object(r, "before");
    for (int i = 1; i < 3; i++) hn_result_null(r, empty[i]);
    hn_result_close(r);
    hn_result_string(r, "model", path[0] && !dry ? path : NULL);
    hn_report_parameters(r, m, NULL);
    hn_report_hyperparameters(r, p, o);
    hn_result_null(r, "device");
    hn_result_int(r, "threads", 0);
    hn_result_double(r, "seconds", 0);
    hn_result_double(r, "samples_per_second", 0);
    hn_result_array(r, "curve");
    hn_result_close(r);
    hone_status st = hn_result_done(r, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(r);
    *out = NULL;
    return st;
}

hone_status hn_train_nothing(hone_model *m, const hone_params *p, hone_result **out,
                             hone_error *err)
{
    struct hn_train_opts o = { .init = HN_INIT_KEEP };
    struct hn_model_mark *mark;
    HN_TRY(hn_params_hyper(p, &o.member.hyper, &o.member.schedule.lr, err));
    HN_TRY(hn_model_mark(m, &mark, err));
    hone_status st = change_and_say(m, p, &o, err);
    if (st == HONE_OK) st = result(m, p, &o, out, err);
    int undo = st != HONE_OK || hn_param_b(p, "dry-run");
    hone_status back = undo ? hn_model_rewind(m, mark, st == HONE_OK ? err : NULL) : HONE_OK;
    hn_model_mark_free(mark);
    if (st != HONE_OK || back == HONE_OK) return st;
    hone_result_destroy(*out);
    *out = NULL;
    return back;
}
