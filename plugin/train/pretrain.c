/* SPDX-License-Identifier: MIT
 *
 * Pre-training, layer by layer: see pretrain.h. */
#include "plugin/train/pretrain.h"
#include "ops/base/status.h"
#include "plugin/train/diagnose.h"
#include "plugin/train/fit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVAL_ROWS = 256 };
static const double CHUNK_SECONDS = 0.03; /* a call of the backend: stop requests wait no longer */
static const double PROGRESS_SECONDS = 0.1;

struct trainer { /* one layer's autoencoder at work */
    struct hn_fit *f;
    struct hn_layer *layer;
    struct hn_program *prog, *clean; /* clean: without noise, of the same slab */
    struct hn_cohort *cohort;
    struct hn_plan *plan; /* of clean */
    void *exec;
    unsigned char *w; /* slab of prog on the host */
    const struct hn_rows *rows;
    const void *data;
    double seconds_per_row, seconds; /* of the last chunk; of all */
    int64_t rows_done;
};

static struct hn_member *member(const struct trainer *t) { return &t->cohort->member[0]; }

static int time_is_up(const struct hn_fit *f)
{
    return f->opts.max_seconds > 0 && hn_fit_seconds(f) >= f->opts.max_seconds;
}

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

/* The parameters of the training program, between its slab f->host and the autoencoder's. */
static void carry(const struct trainer *t, int back)
{
    const struct hn_program *from = t->f->s->prog;
    const size_t elem = t->f->s->backend->elem;
    for (int32_t i = 0; i < from->n_params; i++) {
        unsigned char *here = t->f->host + from->params[i].off * elem,
                      *there = t->w + t->prog->params[i].off * elem;
        memcpy(back ? here : there, back ? there : here, from->params[i].n * elem);
    }
}

static hone_status start_weights(struct trainer *t, hone_error *err)
{
    const size_t elem = t->f->s->backend->elem;
    const struct hn_param *w = &t->prog->params[t->f->s->prog->n_params];
    const double width = sqrt(6 / (w->fan_in + w->fan_out));
    HN_TRY(hn_member_get(t->f->cohort, 0, HN_SLAB_W, t->f->host, err));
    memset(t->w, 0, t->prog->n_slab * elem);
    carry(t, 0);
    for (size_t i = 0; i < w->n; i++) { /* the bias begins at 0 */
        double v = width * (2 * hn_rng_uniform(member(t)->r.key, HN_STREAM_INIT, i) - 1);
        hn_elem_set(t->w, elem, w->off + i, v);
    }
    return hn_member_put(t->cohort, 0, HN_SLAB_W, t->w, err);
}

static void diverged(struct trainer *t)
{
    t->f->reason = HN_STOP_DIVERGED;
    snprintf(t->f->bad, sizeof t->f->bad, "what pre-training restores in front of '%.120s'",
             t->layer->name);
}

static hone_status keep_weights(struct trainer *t, hone_error *err)
{
    HN_TRY(hn_member_get(t->cohort, 0, HN_SLAB_W, t->w, err));
    if (hn_first_bad_param(t->prog, t->w, t->f->s->backend->elem)) return diverged(t), HONE_OK;
    carry(t, 1);
    HN_TRY(hn_member_put(t->f->cohort, 0, HN_SLAB_W, t->f->host, err));
    if (t->f->cohort->member[0].hyper.ema <= 0) return HONE_OK;
    return hn_member_copy(t->f->cohort, 0, HN_SLAB_AVERAGE, HN_SLAB_W, err); /* begins here, too */
}

/* ---- opening ----------------------------------------------------------------------------------------------------------- */

/* By the node's place in the file, which no other setting moves. */
static void layer_key(const struct trainer *t, uint32_t key[2])
{
    const int32_t node = t->f->s->prog->ops[t->layer->op].node;
    const uint32_t counter[4] = { (uint32_t)node, 0, 0, HN_STREAM_PRETRAIN };
    uint32_t out[4];
    hn_philox(counter, t->f->cohort->member[0].r.key, out);
    key[0] = out[0], key[1] = out[1];
}

static hone_status open_cohort(struct trainer *t, hone_error *err)
{
    const struct hn_session *s = t->f->s;
    const struct hn_pretrain_opts *o = &t->f->pretrain.opts;
    const struct hn_member *run = &t->f->cohort->member[0];
    struct hn_cohort_opts c = { .mem = &s->ctx->mem,
                                .backend = s->backend,
                                .dev = s->dev,
                                .prog = t->prog,
                                .max_rows = o->batch < t->rows->n ? o->batch : t->rows->n,
                                .slots = 1 };
    struct hn_member_opts m = { .hyper = run->hyper,
                                .schedule = { .lr = o->lr },
                                .data = t->data,
                                .rows = t->rows->rows,
                                .n_rows = t->rows->n,
                                .batch = o->batch,
                                .shuffle = run->shuffle };
    m.hyper.ema = 0; /* an average is of the training */
    layer_key(t, m.key);
    HN_TRY(hn_cohort_create(&c, &t->cohort, err));
    return hn_cohort_add(t->cohort, 0, &m, err);
}

static hone_status open_trainer(struct trainer *t, hone_error *err)
{
    const struct hn_session *s = t->f->s;
    const int role = s->rows[HONE_PRETRAIN].n ? HONE_PRETRAIN : HONE_TRAIN;
    struct hn_mem *mem = &s->ctx->mem;
    t->rows = &s->rows[role];
    t->data = s->bound[s->set_of[role]];
    HN_TRY(hn_autoencoder(s->prog, t->layer, t->f->pretrain.opts.noise, mem, &t->prog, err));
    HN_TRY(hn_autoencoder(s->prog, t->layer, 0, mem, &t->clean, err));
    HN_TRY(open_cohort(t, err));
    t->w = hn_alloc(mem, t->prog->n_slab * s->backend->elem);
    if (!t->w) return hn_nomem(err, "an autoencoder", t->prog->n_slab * s->backend->elem);
    HN_TRY(
        hn_plan_create(mem, t->clean, HN_PASS_EVAL, EVAL_ROWS, s->backend->elem, 0, &t->plan, err));
    HN_TRY(s->backend->prepare(s->dev, t->plan, 1, &t->exec, err));
    return start_weights(t, err);
}

static void close_trainer(struct trainer *t)
{
    struct hn_mem *mem = &t->f->s->ctx->mem;
    if (t->exec) t->f->s->backend->finish(t->exec);
    hn_plan_destroy(t->plan, mem);
    hn_cohort_destroy(t->cohort);
    hn_program_destroy(t->prog, mem);
    hn_program_destroy(t->clean, mem);
    hn_free(mem, t->w);
}

/* ---- at work ----------------------------------------------------------------------------------------------------------- */

/* The mean square error over the rows, without noise. */
static hone_status measure(struct trainer *t, double *out, hone_error *err)
{
    struct hn_replica r = member(t)->r;
    double partial[2] = { 0, 0 };
    for (int64_t at = 0; at < t->rows->n; at += EVAL_ROWS) {
        int64_t left = t->rows->n - at;
        struct hn_slot slot = { .r = &r,
                                .data = t->data,
                                .index = t->rows->rows + at,
                                .rows = left < EVAL_ROWS ? left : EVAL_ROWS,
                                .partial = partial,
                                .bad_step = -1 };
        HN_TRY(t->f->s->backend->run(t->exec, &slot, 1, 1, err));
    }
    *out = partial[0] / partial[1];
    return HONE_OK;
}

static void call_progress(struct trainer *t, int end)
{
    struct hn_fit *f = t->f;
    const struct hn_member *m = member(t);
    f->last_progress = hn_seconds();
    if (!f->callbacks.progress) return;
    hone_progress p = { .size = sizeof p,
                        .epoch = m->r.now.epoch,
                        .epochs = f->pretrain.opts.epochs,
                        .row = m->r.now.row,
                        .rows = m->n_rows,
                        .train_loss = hn_member_loss(t->cohort, 0),
                        .lr = m->last_lr,
                        .seconds = hn_fit_seconds(f),
                        .seconds_left = (double)NAN,
                        .best_epoch = f->stop.best_epoch,
                        .epoch_end = end,
                        .pretrain = t->layer->name,
                        .layer = f->pretrain.done + 1,
                        .layers = f->pretrain.layers.n };
    if (t->seconds > 0) p.rows_per_second = (double)t->rows_done / t->seconds;
    if (f->callbacks.progress(f->callbacks.user, &p) && f->reason == HN_STOP_NONE)
        f->reason = HN_STOP_CALLBACK;
}

static hone_status tell(struct trainer *t, int64_t epoch, double loss, hone_error *err)
{
    struct hn_fit *f = t->f;
    const struct hn_pretrain_line line = { t->layer, epoch, loss, hn_fit_seconds(f) };
    return f->hooks.pretrain ? f->hooks.pretrain(f->hooks.user, f, &line, err) : HONE_OK;
}

static int chunk_steps(const struct trainer *t)
{
    if (t->seconds_per_row <= 0) return 1;
    double steps = CHUNK_SECONDS / (t->seconds_per_row * (double)member(t)->batch);
    return steps < 1 ? 1 : steps > HN_CHUNK_STEPS ? HN_CHUNK_STEPS : (int)steps;
}

static int goes_on(const struct hn_fit *f) { return f->reason == HN_STOP_NONE && !time_is_up(f); }

static hone_status train_chunk(struct trainer *t, hone_error *err)
{
    int64_t rows;
    double start = hn_seconds();
    HN_TRY(hn_cohort_advance(t->cohort, chunk_steps(t), &rows, err));
    double now = hn_seconds();
    t->seconds += now - start;
    t->rows_done += rows;
    if (rows > 0) t->seconds_per_row = (now - start) / (double)rows;
    if (member(t)->state == HN_MEMBER_DIVERGED) return diverged(t), HONE_OK;
    if (atomic_load(&t->f->s->ctx->stop))
        t->f->reason = HN_STOP_INTERRUPTED;
    else if (now - t->f->last_progress >= PROGRESS_SECONDS && member(t)->state == HN_MEMBER_RUNNING)
        call_progress(t, 0);
    return HONE_OK;
}

static hone_status train(struct trainer *t, hone_error *err)
{
    struct hn_member *m = member(t);
    while (goes_on(t->f) && m->r.now.epoch < t->f->pretrain.opts.epochs) {
        hn_cohort_begin_epoch(t->cohort, 0);
        do HN_TRY(train_chunk(t, err));
        while (m->state == HN_MEMBER_RUNNING && goes_on(t->f));
        if (m->state != HN_MEMBER_EPOCH_END) return HONE_OK;
        call_progress(t, 1);
        HN_TRY(tell(t, m->r.now.epoch, hn_member_loss(t->cohort, 0), err));
        m->r.now.row = 0;
        m->state = HN_MEMBER_READY;
    }
    return HONE_OK;
}

static hone_status finish_layer(struct trainer *t, hone_error *err)
{
    struct hn_fit *f = t->f;
    HN_TRY(measure(t, &t->layer->after, err));
    if (!isfinite(t->layer->after)) return diverged(t), HONE_OK;
    HN_TRY(keep_weights(t, err));
    if (f->reason == HN_STOP_DIVERGED) return HONE_OK;
    f->pretrain.done++;
    HN_TRY(tell(t, 0, t->layer->after, err));
    return f->hooks.tick ? f->hooks.tick(f->hooks.user, f, err) : HONE_OK;
}

static hone_status one_layer(struct hn_fit *f, hone_error *err)
{
    struct trainer t = { .f = f, .layer = &f->pretrain.layers.layer[f->pretrain.done] };
    hone_status st = open_trainer(&t, err);
    if (st == HONE_OK) st = measure(&t, &t.layer->before, err);
    if (st == HONE_OK) st = train(&t, err);
    int broken = f->reason == HN_STOP_INTERRUPTED || f->reason == HN_STOP_DIVERGED;
    if (st == HONE_OK && !broken) st = finish_layer(&t, err);
    close_trainer(&t);
    return st;
}

hone_status hn_pretrain_run(struct hn_fit *f, hone_error *err)
{
    struct hn_pretrain *p = &f->pretrain;
    if (!p->opts.epochs || p->over) return HONE_OK;
    while (p->done < p->layers.n && goes_on(f)) HN_TRY(one_layer(f, err));
    p->over = p->done == p->layers.n || f->reason != HN_STOP_INTERRUPTED;
    return HONE_OK;
}

/* ---- beginning, state and result --------------------------------------------------------------------------------------- */

hone_status hn_pretrain_open(struct hn_pretrain *p, const struct hn_session *s,
                             const struct hn_pretrain_opts *o, hone_error *err)
{
    *p = (struct hn_pretrain){ .opts = *o };
    hn_arena_init(&p->arena, &s->ctx->mem);
    if (!o->epochs) return HONE_OK;
    HN_TRY(hn_layers_find(s->prog, hn_model_graph(s->model), &p->arena, &p->layers, err));
    for (int i = 0; i < p->layers.n_skip; i++)
        hn_log(s->ctx, HONE_LOG_NOTE, "'%s' is not pre-trained: %s", p->layers.skip[i].name,
               p->layers.skip[i].why);
    return HONE_OK;
}

void hn_pretrain_close(struct hn_pretrain *p)
{
    if (p->arena.mem) hn_arena_clear(&p->arena);
}

void hn_pretrain_visit(struct hn_visit *v, struct hn_pretrain *p)
{
    if (!p->opts.epochs) return;
    hn_visit_same(v, "layers to pre-train", p->layers.n);
    hn_visit_int(v, &p->done);
    hn_visit_int(v, &p->over);
    if (p->done < 0 || p->done > p->layers.n) p->done = 0, p->over = 0; /* nobody wrote that */
    for (int i = 0; i < p->done; i++) {
        hn_visit_f64(v, &p->layers.layer[i].before);
        hn_visit_f64(v, &p->layers.layer[i].after);
    }
}

void hn_pretrain_result(hone_result *r, const struct hn_pretrain *p)
{
    if (!p->opts.epochs) return;
    hn_result_object(r, "pretrain");
    hn_result_array(r, "layers");
    for (int i = 0; i < p->done; i++) {
        const struct hn_layer *l = &p->layers.layer[i];
        hn_result_object(r, NULL);
        hn_result_string(r, "layer", l->name);
        hn_result_int(r, "inputs", l->in);
        hn_result_int(r, "units", l->units);
        hn_result_double(r, "before", l->before);
        hn_result_double(r, "after", l->after);
        hn_result_close(r);
    }
    hn_result_close(r);
    hn_result_array(r, "skipped");
    for (int i = 0; i < p->layers.n_skip; i++) {
        hn_result_object(r, NULL);
        hn_result_string(r, "layer", p->layers.skip[i].name);
        hn_result_string(r, "why", p->layers.skip[i].why);
        hn_result_close(r);
    }
    hn_result_close(r);
    hn_result_close(r);
}

hone_status hn_pretrain_check(const hone_params *p, int rows, hone_error *err)
{
    static const char *const data[] = { "pretrain-data", "pretrain-x" };
    for (size_t i = 0; i < 2; i++)
        if (hone_params_is_set(p, data[i]) && hn_param_i(p, "pretrain") < 1)
            return hn_hint(err,
                           hn_fail(err, HONE_E_USAGE, data[i], "found rows, and no --pretrain"),
                           "--pretrain EPOCHS");
    if (rows && hn_param_i(p, "pretrain") < 1)
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "pretrain",
                               "found rows without targets, wanted epochs in which they are read"),
                       "--pretrain EPOCHS");
    if (hn_param_i(p, "pretrain") > 0 && hn_param_i(p, "epochs") < 1)
        return hn_fail(
            err, HONE_E_USAGE, "pretrain",
            "found --epochs 0, wanted 1 at least: what pre-training finds is judged after "
            "an epoch of training");
    return HONE_OK;
}
