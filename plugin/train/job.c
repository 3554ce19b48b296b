/* SPDX-License-Identifier: MIT
 *
 * A training job: see job.h. */
#include "plugin/train/job.h"
#include "ops/base/status.h"
#include "plugin/hidden.h"
#include "plugin/plugins.h"
#include "plugin/session_own.h"
#include "plugin/train/calibrate.h"
#include <stdio.h>
#include <string.h>

hone_status hn_job_init(struct hn_job *j, hone_model *m, const hone_params *params, hone_error *err)
{
    *j =
        (struct hn_job){ .ctx = hn_model_context(m), .model = m, .unscales = hn_model_unscales(m) };
    hn_arena_init(&j->arena, &j->ctx->mem);
    hn_buffer_init(&j->bytes, &j->ctx->mem);
    hone_status st = params ? hn_params_copy(params, &j->params, err)
                            : hone_params_create(j->ctx, &j->params, err);
    return st == HONE_OK ? hn_options_metrics(j->params, err) : st;
}

void hn_job_close(struct hn_job *j)
{
    if (!j->ctx) return;
    hn_rundir_close(&j->dir);
    hn_fit_destroy(j->fit);
    hn_cohort_destroy(j->cohort);
    hn_evaluator_destroy(j->eval);
    hn_session_close(j->s);
    hone_params_destroy(j->params);
    hn_buffer_free(&j->bytes);
    hn_arena_clear(&j->arena);
    *j = (struct hn_job){ .ctx = NULL };
}

/* ---- what resume will need ------------------------------------------------------------------------------------------------ */

/* The study is a search's, and its address may hold a password. */
static int is_kept(const hone_params *p, const char *name)
{
    return hone_params_is_set(p, name) && strcmp(name, "study") != 0;
}

/* A plug-in with its hash: what continues the run must be the same. */
static char *copy_setting(struct hn_job *j, const char *name, const char *text)
{
    char pinned[HN_PLUGIN_PINNED];
    if (!strcmp(name, "plugin")) text = hn_plugin_pinned(j->ctx, text, pinned);
    return hn_arena_strdup(&j->arena, text);
}

static hone_status copy_settings(struct hn_job *j, hone_error *err)
{
    struct hn_origin *o = &j->origin;
    hone_param_info info = { .size = sizeof info };
    size_t cap = 0, n = 0;
    const char *text;
    for (size_t i = 0; hone_param_at(i, &info); i++)
        if (is_kept(j->params, info.name)) cap += hn_param_count(j->params, info.name);
    o->settings = hn_arena_alloc(&j->arena, cap + 1, sizeof *o->settings);
    if (!o->settings) return hn_nomem(err, "the settings", cap * sizeof *o->settings);
    for (size_t i = 0; hone_param_at(i, &info); i++) {
        if (!is_kept(j->params, info.name)) continue;
        for (size_t k = 0; (text = hone_params_get(j->params, info.name, k)); k++) {
            char *copy = copy_setting(j, info.name, text);
            if (!copy) return hn_nomem(err, "the settings", strlen(text));
            o->settings[n++] = (struct hn_setting){ info.name, copy };
        }
    }
    o->n_settings = n;
    return HONE_OK;
}

hone_status hn_job_origin(struct hn_job *j, hone_error *err)
{
    struct hn_origin *o = &j->origin;
    const char *path = hn_model_path(j->model);
    o->version = hone_version();
    o->model_path = path ? hn_arena_strdup(&j->arena, path) : "";
    if (!o->model_path) return hn_nomem(err, "the model's path", strlen(path));
    hn_model_hash(j->model, o->model_hash);
    HN_TRY(copy_settings(j, err));
    HN_TRY(hn_model_bytes(j->model, &j->bytes, err));
    o->model = j->bytes.p;
    o->model_size = j->bytes.n;
    return HONE_OK;
}

static hone_status name_backend(struct hn_job *j, hone_error *err)
{
    struct hn_origin *o = &j->origin;
    const struct hn_session *s = j->s;
    o->backend = s->backend->name;
    o->core = hn_device_core(s->backend, s->dev, &j->arena);
    if (!o->core) return hn_nomem(err, "the core's name", 0);
    return hn_session_data_hash(s, o->data_hash, err);
}

/* ---- opening -------------------------------------------------------------------------------------------------------------- */

/* Does training begin with a graph edit that changes what the model computes? */
static int starts_changed(const hone_params *p)
{
    return strcmp(hn_param_s(p, "scale"), "none") != 0 ||
           strcmp(hn_param_s(p, "scale-target"), "none") != 0 ||
           strcmp(hn_param_s(p, "batchnorm"), "insert") == 0 || hn_hidden_asked(p);
}

/* Are the figures of the model as it came no replica's of the session? */
static int judged_apart(const struct hn_job *j) { return j->unscales || starts_changed(j->params); }

static hone_status load_weights(struct hn_job *j, hone_error *err)
{
    size_t elem = j->s->backend->elem;
    HN_TRY(hn_model_get_weights(j->model, j->s->prog, j->fit->host, elem, err));
    return hn_member_put(j->cohort, 0, HN_SLAB_W, j->fit->host, err);
}

static hone_status epoch_hook(void *user, struct hn_fit *f, const struct hn_epoch *e,
                              hone_error *err)
{
    return hn_rundir_epoch(user, f, e, err);
}

static hone_status tick_hook(void *user, struct hn_fit *f, hone_error *err)
{
    return hn_rundir_tick(user, f, err);
}

static hone_status pretrain_hook(void *user, struct hn_fit *f, const struct hn_pretrain_line *l,
                                 hone_error *err)
{
    return hn_rundir_pretrain(user, f, l, err);
}

static hone_status check_trained(const struct hn_program *p, hone_error *err)
{
    int idle = 0;
    for (int i = 0; i < p->n_params; i++)
        idle |= p->params[i].flags & HN_PARAM_IDLE && !(p->params[i].flags & HN_PARAM_STATE);
    if (p->n_trained) return HONE_OK;
    return hn_fail(err, HONE_E_UNSUPPORTED, "model",
                   idle ? "found no parameter that the loss reaches and that can be trained"
                        : "found no parameter that can be trained");
}

hone_status hn_job_open(struct hn_job *j, hone_data *d, const hone_callbacks *cb, hone_error *err)
{
    uint32_t key[2];
    hn_rng_key((uint64_t)hn_param_i(j->params, "seed"), j->trial, j->fold, key);
    HN_TRY(hn_model_reshape(j->model, j->params, key, err));
    HN_TRY(hn_session_open(j->model, d, j->params, HN_USE_TRAIN, &j->s, err));
    struct hn_session *s = j->s;
    HN_TRY(check_trained(s->prog, err));
    HN_TRY(hn_options_read(j->params, s, &j->opts, err));
    memcpy(j->opts.member.key, key, sizeof key);
    j->opts.fit.judge_again = judged_apart(j);
    if (j->origin.version) HN_TRY(name_backend(j, err));
    hn_options_no_decay(j->params, s->prog);
    HN_TRY(hn_evaluator_create(s, &j->eval, err));
    struct hn_member_opts *m = &j->opts.member;
    struct hn_cohort_opts c = { .mem = &j->ctx->mem,
                                .backend = s->backend,
                                .dev = s->dev,
                                .prog = s->prog,
                                .max_rows = m->batch < m->n_rows ? m->batch : m->n_rows,
                                .slots = 1,
                                .kept = d->kept ? &d->kept->prepared : NULL };
    HN_TRY(hn_cohort_create(&c, &j->cohort, err));
    HN_TRY(hn_cohort_add(j->cohort, 0, m, err));
    HN_TRY(hn_fit_create(s, j->cohort, j->eval, &j->opts.fit, &j->fit, err));
    if (cb) {
        size_t n = cb->size < sizeof *cb ? cb->size : sizeof *cb;
        memcpy(&j->fit->callbacks, cb, n);
    }
    j->fit->hooks = (struct hn_fit_hooks){ &j->dir, epoch_hook, tick_hook, pretrain_hook };
    return load_weights(j, err);
}

/* ---- the model as it came -------------------------------------------------------------------------------------------------- */

/* Figures over the training rows are wanted when there is nothing else to compare, or when they decide something. */
static int wants_training_rows(const struct hn_session *s, const hone_params *p)
{
    const char *names[] = { hn_param_s(p, "monitor"), hn_param_s(p, "target-metric") };
    for (int i = 0; i < 2; i++)
        if (strncmp(names[i], "train_", 6) == 0) return 1;
    return s->rows[HONE_VAL].n == 0;
}

static hone_status figures(struct hn_evaluator *e, const struct hn_session *s,
                           const struct hn_replica *r, int with_training, struct hn_figures out[3],
                           hone_error *err)
{
    for (int role = 0; role < 3; role++)
        if (s->rows[role].n && (role != HONE_TRAIN || with_training))
            HN_TRY(hn_evaluator_run(e, r, (hone_role)role, &out[role], err));
    return HONE_OK;
}

/* Figures of the model as it stands, through a session of its own. */
static hone_status judge(struct hn_job *j, hone_data *d, int with_training,
                         struct hn_figures out[3], hone_error *err)
{
    struct hn_session *s = NULL;
    struct hn_evaluator *e = NULL;
    struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_replica r = { .hyper = &hyper };
    HN_TRY(hn_session_open(j->model, d, j->params, HN_USE_JUDGE, &s, err));
    hone_status st = hn_session_load(s, &r, err);
    if (st == HONE_OK) st = hn_evaluator_create(s, &e, err);
    if (st == HONE_OK) hn_evaluator_with_error(e);
    with_training = with_training || wants_training_rows(s, j->params);
    if (st == HONE_OK) st = figures(e, s, &r, with_training, out, err);
    hn_evaluator_destroy(e);
    if (r.slab[HN_SLAB_W]) s->backend->release(s->dev, r.slab[HN_SLAB_W]);
    hn_session_close(s);
    return st;
}

hone_status hn_job_judge(struct hn_job *j, hone_data *d, hone_error *err)
{
    return judged_apart(j) ? judge(j, d, 0, j->before, err) : HONE_OK;
}

void hn_job_say_left(hone_context *ctx, const struct hn_program *prog)
{
    char names[512] = "";
    int n = 0;
    for (int i = 0; i < prog->n_params; i++) {
        if (!hn_init_leaves(prog, i)) continue;
        const size_t used = strlen(names);
        if (n < 4)
            (void)snprintf(names + used, sizeof names - used, "%s%.100s", n ? ", " : "",
                           prog->params[i].name);
        n++;
    }
    if (n)
        hn_log(ctx, HONE_LOG_NOTE, "--init leaves %d tensor%s of no known kind as %s: %s%s", n,
               n > 1 ? "s" : "", n > 1 ? "they are" : "it is", names, n > 4 ? ", …" : "");
}

/* The slab's host copy holds the imported weights. */
hone_status hn_job_weights(struct hn_job *j, hone_error *err)
{
    const struct hn_train_opts *o = &j->opts;
    struct hn_replica *r = &j->cohort->member[0].r;
    size_t elem = j->s->backend->elem;
    void *w = j->fit->host;
    int inserted = strcmp(hn_param_s(j->params, "batchnorm"), "insert") == 0;
    if (o->init != HN_INIT_KEEP) {
        hn_init_weights(j->s->prog, o->init, o->init_std, o->member.key, w, elem);
        hn_job_say_left(j->s->ctx, j->s->prog);
    } else if (inserted)
        HN_TRY(hn_calibrate(j->s, r, w, elem, err));
    else
        return HONE_OK;
    return hn_member_put(j->cohort, 0, HN_SLAB_W, w, err);
}

hone_status hn_job_start(struct hn_job *j, hone_error *err)
{
    struct hn_fit *f = j->fit;
    const struct hn_train_opts *o = &j->opts;
    if (judged_apart(j))
        memcpy(f->before, j->before, sizeof f->before);
    else
        HN_TRY(figures(j->eval, j->s, &j->cohort->member[0].r, wants_training_rows(j->s, j->params),
                       f->before, err));
    HN_TRY(hn_options_check(o, f->before, err));
    return hn_job_weights(j, err);
}

/* ---- running and ending ---------------------------------------------------------------------------------------------------- */

/* What made epoch 0 another model than the one that came, so that all epochs may be worse; NULL: nothing. */
static const char *another_start(const struct hn_job *j)
{
    if (hn_hidden_asked(j->params)) return "with other hidden layers";
    if (j->opts.init != HN_INIT_KEEP) return "from the weights of --init";
    if (strcmp(hn_param_s(j->params, "scale"), "none") != 0) return "with --scale";
    if (strcmp(hn_param_s(j->params, "scale-target"), "none") != 0) return "with --scale-target";
    return hn_session_scales(j->s) ? "by losses of scaled targets" : NULL;
}

void hn_job_say_when_worse(const struct hn_job *j)
{
    const struct hn_fit *f = j->fit;
    const struct hn_epoch came = { .train = f->before[HONE_TRAIN], .val = f->before[HONE_VAL] },
                          made = { .train = j->after[HONE_TRAIN], .val = j->after[HONE_VAL] };
    const char *start = another_start(j);
    double was, is;
    if (!f->opts.stop.epochs || !f->opts.monitor || !f->opts.save_best || f->stop.best_epoch < 0)
        return;
    if (!start || !hn_epoch_value(&came, f->opts.monitor, &was) ||
        !hn_epoch_value(&made, f->opts.monitor, &is))
        return;
    if (!(hn_metric_direction(f->opts.monitor) ? is < was : is > was)) return;
    hn_log(j->ctx, HONE_LOG_WARNING,
           "%s it did not become as good as the model that came: %s %.6g, before %.6g", start,
           f->opts.monitor, is, was);
}

static void say_how_it_ended(const struct hn_job *j)
{
    const struct hn_fit *f = j->fit;
    if (!f->opts.stop.epochs) return; /* it was not trained */
    if (f->averager && !f->averaged && f->reason != HN_STOP_INTERRUPTED)
        hn_log(j->ctx, HONE_LOG_WARNING,
               "training ended in epoch %lld, before --swa-start: nothing was averaged",
               (long long)f->done);
    if (f->reason == HN_STOP_DIVERGED)
        hn_log(j->ctx, HONE_LOG_WARNING,
               "training diverged in epoch %lld: %s is not finite; the weights of epoch %lld are "
               "kept",
               (long long)j->cohort->member[0].r.now.epoch, f->bad,
               (long long)hn_fit_result_epoch(f));
    else if (!j->opts.fit.monitor && f->reason != HN_STOP_INTERRUPTED)
        hn_log(j->ctx, HONE_LOG_NOTE,
               "no validation data: the weights of the last epoch are the result");
}

hone_status hn_job_run(struct hn_job *j, hone_error *err)
{
    HN_TRY(hn_fit_run(j->fit, err));
    say_how_it_ended(j);
    return hn_rundir_end(&j->dir, j->fit, err);
}

hone_status hn_job_finish(struct hn_job *j, hone_error *err)
{
    struct hn_fit *f = j->fit;
    enum hn_slab slab = hn_fit_result_slab(f);
    const struct hn_param *beyond; /* putting the weights names it */
    struct hn_replica r;
    HN_TRY(hn_member_get(j->cohort, 0, slab, f->host, err));
    HN_TRY(hn_model_put_weights(j->model, j->s->prog, f->host, j->s->backend->elem, err));
    HN_TRY(hn_fit_as_stored(f, slab, &r, &beyond, err));
    HN_TRY(hn_session_finish(j->s, err));
    hn_evaluator_with_error(j->eval);
    if (hn_session_scales(j->s)) /* the loss of training was in scaled units, the model's is not */
        HN_TRY(judge(j, ((struct hn_own *)j->s->own)->data, 1, j->after, err));
    else
        HN_TRY(figures(j->eval, j->s, &r, 1, j->after, err));
    return hn_job_metadata(j, err);
}
