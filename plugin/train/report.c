/* SPDX-License-Identifier: MIT
 *
 * What a training run tells: the JSON result, and the provenance that travels in the exported file. The provenance holds
 * nothing that differs between two runs of the same job: no time, path, duration or thread count. */
#include "ops/base/status.h"
#include "plugin/hidden.h"
#include "plugin/model.h"
#include "plugin/session_own.h"
#include "plugin/train/job.h"
#include <math.h>
#include <string.h>

/* ---- hyper-parameters ------------------------------------------------------------------------------------------------------ */

/* Defaults that depend on other parameters. NaN: there is none. */
static double resolved(const char *name, const struct hn_train_opts *o)
{
    const struct hn_hyper *h = &o->member.hyper;
    const struct hn_schedule_opts *s = &o->member.schedule;
    int gamma = s->kind != HN_LR_CONSTANT && s->kind != HN_LR_COSINE && s->kind != HN_LR_ONECYCLE;
    const struct {
        const char *name;
        double value;
    } known[] = {
        { "lr", s->lr },
        { "momentum", h->momentum },
        { "eps", h->eps },
        { "weight-decay", h->weight_decay },
        { "lr-gamma", gamma ? s->gamma : (double)NAN },
        { "pretrain-lr", o->fit.pretrain.epochs ? o->fit.pretrain.lr : (double)NAN },
        { "lr-max", s->kind == HN_LR_ONECYCLE ? s->lr_max : (double)NAN },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].value;
    return (double)NAN;
}

/* "weight-decay" → "weight_decay". */
static const char *key_of(const char *name, char key[64])
{
    size_t n = strlen(name);
    if (n > 63) n = 63;
    for (size_t i = 0; i < n; i++) key[i] = name[i] == '-' ? '_' : name[i];
    key[n] = '\0';
    return key;
}

static int is_number(const hone_param_info *i)
{
    return strcmp(i->type, "float") == 0 || strcmp(i->type, "int") == 0;
}

static double number_of(const hone_param_info *i, const hone_params *p,
                        const struct hn_train_opts *o)
{
    double v = hn_param_f(p, i->name);
    return isnan(v) ? resolved(i->name, o) : v;
}

static void put_hyperparameter(hone_result *r, const hone_param_info *i, const hone_params *p,
                               const struct hn_train_opts *o)
{
    char key[64];
    const char *text;
    key_of(i->name, key);
    if (is_number(i)) {
        double v = number_of(i, p, o);
        if (isnan(v))
            hn_result_null(r, key);
        else if (strcmp(i->type, "int") == 0)
            hn_result_int(r, key, (int64_t)v);
        else
            hn_result_double(r, key, v);
    } else if (strcmp(i->type, "bool") == 0) {
        hn_result_bool(r, key, hn_param_b(p, i->name));
    } else if (strcmp(i->type, "list") == 0) {
        hn_result_array(r, key);
        for (size_t k = 0; (text = hone_params_get(p, i->name, k)); k++)
            hn_result_string(r, NULL, text);
        hn_result_close(r);
    } else {
        hn_result_string(r, key, hn_param_s(p, i->name));
    }
}

/* A record without what was not asked for is what it was before there was such a thing: the exported bytes do not change. */
static int left_out(const hone_param_info *i, const hone_params *p)
{
    static const char *const names[] = { "class-weights", "swa-start", "swa-lr", "swa-anneal",
                                         "ema" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(i->name, names[k]) == 0) return !hone_params_is_set(p, i->name);
    if (strncmp(i->name, "pretrain", 8) == 0) return hn_param_i(p, "pretrain") < 1;
    return 0;
}

void hn_report_hyperparameters(hone_result *r, const hone_params *p, const struct hn_train_opts *o)
{
    hone_param_info info = { .size = sizeof info };
    hn_result_object(r, "hyperparameters");
    for (size_t i = 0; hone_param_at(i, &info); i++)
        if (strcmp(info.group, "training") == 0 && !left_out(&info, p))
            put_hyperparameter(r, &info, p, o);
    hn_result_close(r);
}

void hn_report_parameters(hone_result *r, hone_model *m, const struct hn_program *prog)
{
    const struct hn_graph *g = hn_model_graph(m);
    const struct hn_param_list *list = hn_graph_params(g);
    int64_t all = 0, trainable = 0;
    for (size_t i = 0; i < list->n_params; i++) {
        const struct hn_value *v = &g->values[list->params[i].value];
        int64_t n = v->constant ? v->constant->n : 0;
        all += n;
        if (!prog && list->params[i].trained) trainable += n;
    }
    for (int i = 0; prog && i < prog->n_params; i++)
        if (prog->params[i].flags & HN_PARAM_TRAINED) trainable += (int64_t)prog->params[i].n;
    hn_result_int(r, "parameters", all);
    hn_result_int(r, "trainable_parameters", trainable);
}

/* ---- the result ------------------------------------------------------------------------------------------------------------- */

static void put_figures(hone_result *r, const char *key, const struct hn_figures *f)
{
    if (f->rows)
        hn_figures_result(r, key, f);
    else
        hn_result_null(r, key);
}

static void put_before(hone_result *r, const struct hn_fit *f)
{
    hn_result_object(r, "before");
    if (!f->before[HONE_VAL].rows) put_figures(r, "train", &f->before[HONE_TRAIN]);
    put_figures(r, "val", &f->before[HONE_VAL]);
    put_figures(r, "test", &f->before[HONE_TEST]);
    hn_result_close(r);
}

static void put_curve(hone_result *r, const struct hn_fit *f)
{
    hn_result_array(r, "curve");
    for (size_t i = 0; i < f->n_curve; i++) {
        const struct hn_epoch *e = &f->curve[i];
        hone_metric v[HN_EPOCH_VALUES];
        size_t n = hn_epoch_values(e, v);
        hn_result_object(r, NULL);
        hn_result_int(r, "epoch", e->epoch);
        for (size_t k = 0; k < n; k++) hn_result_double(r, v[k].name, v[k].value);
        hn_result_double(r, "lr", e->lr);
        hn_result_double(r, "seconds", e->seconds);
        hn_result_close(r);
    }
    hn_result_close(r);
}

static void put_stop(hone_result *r, const struct hn_job *j)
{
    const struct hn_fit *f = j->fit;
    hn_result_int(r, "epochs", f->done);
    hn_result_int(r, "best_epoch", hn_fit_result_epoch(f));
    if (f->averager) hn_result_int(r, "averaged_epochs", f->averaged);
    hn_result_string(r, "monitor", f->opts.monitor);
    hn_result_string(r, "stop_reason", hn_stop_name(f->reason));
    if (f->reason != HN_STOP_DIVERGED) return;
    hn_result_object(r, "diverged");
    hn_result_int(r, "epoch", j->cohort->member[0].r.now.epoch);
    hn_result_int(r, "step", j->cohort->member[0].r.now.step);
    hn_result_string(r, "tensor", f->bad);
    hn_result_close(r);
}

static void put_speed(hone_result *r, const struct hn_job *j)
{
    const struct hn_fit *f = j->fit;
    double rate = f->train_seconds > 0 ? (double)f->rows_trained / f->train_seconds : 0;
    hn_result_string(r, "device", j->s->backend->name);
    hn_result_int(r, "threads", j->s->threads);
    hn_result_double(r, "seconds", hn_fit_seconds(f));
    hn_result_double(r, "samples_per_second", rate);
}

/* What --require asked for, one by one, and whether all of it was met. */
static void put_requirements(hone_result *r, const struct hn_job *j)
{
    size_t n = hn_param_count(j->params, "require");
    int met = 1;
    double value;
    if (!n) return;
    hn_result_array(r, "require");
    for (size_t i = 0; i < n; i++) {
        int ok = hn_requirement(j->params, i, j->after, &value);
        met &= ok;
        hn_result_object(r, NULL);
        hn_result_string(r, "asked", hone_params_get(j->params, "require", i));
        if (isnan(value))
            hn_result_null(r, "found");
        else
            hn_result_double(r, "found", value);
        hn_result_bool(r, "met", ok);
        hn_result_close(r);
    }
    hn_result_close(r);
    hn_result_bool(r, "require_met", met);
}

/* Are an epoch's losses of targets that the model itself says how to scale? */
static int is_scaled_by_model(const struct hn_session *s)
{
    for (int t = 0; t < s->n_targets; t++)
        if (s->targets[t].in_file) return 1;
    return 0;
}

hone_status hn_job_result(struct hn_job *j, int finished, hone_result **out, hone_error *err)
{
    const char *path = hn_param_s(j->params, "out");
    hn_job_say_when_worse(j);
    HN_TRY(hn_worth_measure(j, err));
    HN_TRY(hn_result_create(j->ctx, "hone.train/1", out, err));
    hone_result *r = *out;
    put_stop(r, j);
    put_figures(r, "train", &j->after[HONE_TRAIN]);
    put_figures(r, "val", &j->after[HONE_VAL]);
    put_figures(r, "test", &j->after[HONE_TEST]);
    put_before(r, j->fit);
    if (is_scaled_by_model(j->s)) hn_result_bool(r, "scaled_by_model", 1);
    hn_worth_result(r, j);
    hn_result_string(r, "model", path[0] ? path : NULL);
    hn_report_parameters(r, j->model, j->s->prog);
    hn_report_hyperparameters(r, j->params, &j->opts);
    hn_class_weights_result(r, &j->s->class_weights);
    hn_pretrain_result(r, &j->fit->pretrain);
    put_speed(r, j);
    put_requirements(r, j);
    put_curve(r, j->fit);
    hn_result_string(r, "run_dir", j->dir.dir);
    hn_result_string(r, "out", path[0] ? path : NULL);
    if (finished >= 0) hn_result_bool(r, "finished", finished);
    hone_status st = hn_result_done(r, err);
    if (st == HONE_OK) st = hn_rundir_result(&j->dir, r, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(r);
    *out = NULL;
    return st;
}

/* ---- what travels in the file ------------------------------------------------------------------------------------------------- */

static void json_hyperparameter(struct hn_json *w, const hone_param_info *i, const hone_params *p,
                                const struct hn_train_opts *o)
{
    char key[64];
    const char *text;
    key_of(i->name, key);
    if (is_number(i)) {
        double v = number_of(i, p, o);
        if (isnan(v)) return;
        if (strcmp(i->type, "int") == 0)
            hn_json_int(w, key, (int64_t)v);
        else
            hn_json_double(w, key, v);
    } else if (strcmp(i->type, "bool") == 0) {
        hn_json_bool(w, key, hn_param_b(p, i->name));
    } else if (strcmp(i->type, "list") == 0) {
        hn_json_array(w, key);
        for (size_t k = 0; (text = hone_params_get(p, i->name, k)); k++)
            hn_json_string(w, NULL, text);
        hn_json_close(w);
    } else {
        hn_json_string(w, key, hn_param_s(p, i->name));
    }
}

/* Of the data options, those that shape the rows; the rest are paths and columns. */
static int travels(const hone_param_info *i)
{
    static const char *const data[] = { "scale", "scale-target", "x-scale", "val-split",
                                        "test-split" };
    if (strcmp(i->group, "training") == 0) return strcmp(i->name, "max-seconds") != 0;
    for (size_t k = 0; k < sizeof data / sizeof *data; k++)
        if (strcmp(i->name, data[k]) == 0) return 1;
    return 0;
}

static void json_settings(struct hn_json *w, const struct hn_job *j)
{
    hone_param_info info = { .size = sizeof info };
    hn_json_object(w, NULL);
    for (size_t i = 0; hone_param_at(i, &info); i++)
        if (travels(&info) && !left_out(&info, j->params))
            json_hyperparameter(w, &info, j->params, &j->opts);
    hn_json_close(w);
}

static void json_figures(struct hn_json *w, const char *key, const struct hn_figures *f)
{
    const char *name;
    double v;
    if (!f->rows) return;
    hn_json_object(w, key);
    for (size_t i = 0; (name = hn_metric_name(i)); i++)
        if (hn_metric_get(f, name, &v)) hn_json_double(w, name, v);
    hn_json_close(w);
}

static void json_run(struct hn_json *w, const struct hn_job *j)
{
    hn_json_object(w, NULL);
    hn_json_int(w, "epochs", j->fit->done);
    hn_json_int(w, "best_epoch", hn_fit_result_epoch(j->fit));
    hn_json_string(w, "stop_reason", hn_stop_name(j->fit->reason));
    json_figures(w, "train", &j->after[HONE_TRAIN]);
    json_figures(w, "val", &j->after[HONE_VAL]);
    json_figures(w, "test", &j->after[HONE_TEST]);
    hn_json_close(w);
}

static hone_status set_json(const struct hn_job *j, const char *key,
                            void (*write)(struct hn_json *w, const struct hn_job *j),
                            hone_error *err)
{
    struct hn_buffer b;
    struct hn_json w;
    hn_buffer_init(&b, &j->ctx->mem);
    hn_json_begin(&w, &b.sink, 0, err);
    write(&w, j);
    hone_status st = hn_json_end(&w);
    if (st == HONE_OK) st = hn_model_set_metadata(j->model, key, b.p, err);
    hn_buffer_free(&b);
    return st;
}

/* Where the hidden layers were rebuilt: the edits that made this graph of the one that came. */
hone_status hn_report_edits(hone_model *m, const hone_params *p, hone_error *err)
{
    static const char key[] = "hone.edits";
    struct hn_buffer b;
    hone_status st = HONE_OK;
    if (!hn_hidden_asked(p))
        return hn_onnx_meta(hn_model_onnx(m), key) ? hn_model_set_metadata(m, key, NULL, err)
                                                   : HONE_OK;
    hn_buffer_init(&b, &m->ctx->mem);
    for (size_t i = 0; i < hn_model_n_edits(m) && st == HONE_OK; i++)
        st = hn_sink_printf(&b.sink, err, "%s%s", i ? "\n" : "", hn_model_edit_line(m, i));
    if (st == HONE_OK && b.n) st = hn_model_set_metadata(m, key, b.p, err);
    hn_buffer_free(&b);
    return st;
}

hone_status hn_job_metadata(const struct hn_job *j, hone_error *err)
{
    char text[33];
    unsigned char hash[16];
    hone_model *m = j->model;
    if (j->origin.version)
        memcpy(hash, j->origin.data_hash, sizeof hash);
    else
        HN_TRY(hn_session_data_hash(j->s, hash, err));
    HN_TRY(hn_model_set_metadata(m, "hone.version", hone_version(), err));
    HN_TRY(hn_model_set_metadata(m, "hone.parent", hn_hash_text(j->origin.model_hash, text), err));
    HN_TRY(hn_model_set_metadata(m, "hone.data", hn_hash_text(hash, text), err));
    HN_TRY(hn_model_set_metadata(m, "hone.seed", hn_param_s(j->params, "seed"), err));
    HN_TRY(hn_report_edits(m, j->params, err));
    HN_TRY(hn_session_leave_losses(j->s, err));
    HN_TRY(set_json(j, "hone.hyperparameters", json_settings, err));
    return set_json(j, "hone.training", json_run, err);
}
